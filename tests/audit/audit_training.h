/* audit_training: the third part of the exact half: whole runs of the program's own training
 * against the oracle's. */
#ifndef AUDIT_TRAINING_H
#define AUDIT_TRAINING_H

#include "tests/audit/audit.h"

void audit_training(Audit *a); /* appends its rows; called by audit_exact */

#endif
