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

/* Checks every output of the command against every input. Two paths are the same file if the
 * system says so, whatever their spelling: links and hard links too. A file that --out or another
 * option names is replaced only if it looks like one that this command wrote. Status 2. */
bool guard_outputs(const Settings *s, Error *err);

#endif
