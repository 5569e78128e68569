/* audit_product: the second part of the exact half: what the program computes (E5-E16, E18-E20)
 * against the oracle and closed forms. */
#ifndef AUDIT_PRODUCT_H
#define AUDIT_PRODUCT_H

#include "tests/audit/audit.h"

void audit_product(Audit *a); /* appends its rows; called by audit_exact */

#endif
