/* report: from run folders and the JSON that score and eval print to the tables, results.json and one HTML page with plots.
 *
 *   const char *inputs[] = {"out/base", "out/runs/ica-1", "out/score/ica-1.json", "out/eval-k3.json"};
 *   return report_main(4, inputs, "out/report.html", "out/results.json", false, &err);
 *
 * Inputs come in any mix and order: run folders (have run.json; log.jsonl and scores.jsonl are read when they are there),
 * files with the JSON that `ica score --json` or `ica eval --json` printed (one object, or one a line), and at most one
 * seconds.json whose keys go before the sums over the runs. Data files that the runs name (pool, holdout) are read again
 * for the known truth and for texts; when one is gone, what needs it is left out and a note says so.
 */
#ifndef REPORT_H
#define REPORT_H

#include "lib/util.h"

/* Builds everything in memory: text for people, results.json, the page. Appends; same inputs, same bytes. On false (bad
 * input: status 3, or 4 if a file cannot be read) err names the file and the buffers may hold a part: don't use it. */
bool report_build(int n_inputs, const char *const *inputs, Buf *text, Buf *results, Buf *html, Error *err);

/* Builds, writes out_html and out_results (NULL: not wanted) and prints the tables, or with json the content of
 * results.json, on stdout. Returns 0, or the status in err; the caller prints err. Nothing is written after a bad input. */
int report_main(int n_inputs, const char *const *inputs, const char *out_html, const char *out_results, bool json, Error *err);

#endif
