/* csv: the logs of runs as one table, for a spreadsheet or another program.
 *
 * A row is a line of a run's log.jsonl. The columns: run (its folder), group, arm, seed, and each
 * key that any line has. Texts are in double quotes. A number that a line has not is empty.
 *
 * Usage:
 *   const char *runs[] = {"out/base", "out/runs/ica-1"};
 *   Error err = {0};
 *   Buf b = {0};
 *   if (!csv_build(2, runs, &b, &err)) error_print(&err);   // what is not a run is passed over
 *   buf_free(&b);
 *
 * Errors: status 3 for a run.json or a log that is damaged, 4 if one cannot be read.
 */
#ifndef REPORT_CSV_H
#define REPORT_CSV_H

#include "lib/util.h"

bool csv_build(int count, const char *const *inputs, Buf *b, Error *err);

#endif
