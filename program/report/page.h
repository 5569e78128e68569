/* page: the command `ica report`: one HTML page with charts, results.json, and tables as text.
 *
 * Usage:
 *   Error err = {0};
 *   const char *paths[] = {"out/base", "out/runs/ica-1", "out/eval-k3.json"};
 *   ReportInputs in = {.count = 3, .paths = paths, .text = {NULL, -1}};
 *   int status = report_main(&in, "out/report.html", "out/results.json", false, &err);
 *   if (status != 0) error_print(&err);
 */
#ifndef REPORT_PAGE_H
#define REPORT_PAGE_H

#include "program/report/read.h"

typedef struct {
    int count;
    const char *const *paths;
    const char *pool, *holdout; /* of score files among the paths; NULL: not given */
    bool skip_unscored;         /* The pool may have records that a score file has no line of. */
    const char *model; /* made the scores: the page has the tokens' gain; NULL: not given */
    RowText text;      /* of the rows that it read; {NULL, -1}: as the scores' own run says */
} ReportInputs;

/* Appends the text for people, results.json and the page. The same inputs give the same bytes. On
 * false (status 3 for bad input, 4 if a file cannot be read) err names the file, and the buffers
 * may hold a part that must not be used. */
bool report_build(const ReportInputs *in, Buf *text, Buf *results, Buf *html, Error *err);

/* Builds the report, writes out_html and out_results (NULL: not wanted) and prints the tables, or
 * with json the content of results.json, on stdout. Returns 0, or the status in err, which the
 * caller prints. After a bad input nothing is written. */
int report_main(const ReportInputs *in, const char *out_html, const char *out_results, bool json,
                Error *err);

#endif
