/* guard: no command writes over what it reads, nor over a file of another kind.
 *
 * Usage:
 *   Settings s = {.command = "score", .pool = "pool.jsonl", .out = "./pool.jsonl"};
 *   Error err = {0};
 *   if (!guard_outputs(&s, &err)) error_print(&err); // if there is such a file
 */
#ifndef GUARD_H
#define GUARD_H

#include "program/settings.h"

/* Checks every output of the command before anything is written. Status 2.
 *
 * It must not be an input. Two paths are the same file if the system says so, whatever their
 * spelling: links and hard links too.
 *
 * A file is replaced only if this command wrote it, as far as its beginning tells. What `select`
 * writes has no mark of its own, so it takes --overwrite to replace a file of records. A run's
 * folder has its own guard (data/place.h). */
bool guard_outputs(const Settings *s, Error *err);

#endif
