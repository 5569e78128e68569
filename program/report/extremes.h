/* extremes: the records with the highest and the lowest scores of each kind, as cards on the page.
 * With the model that scored them, each token of an answer shows what it gained.
 *
 * Usage:
 *   Error err = {0};
 *   Report r = {.model = "out/base"};
 *   Page page = {0};
 *   Buf html = {0};
 *   const char *inputs[] = {"out/score/ica-1.json"};
 *   if (report_read(&r, 1, inputs, &err) && sets_read(&r, &err))
 *       put_extremes(&page, &r, &err);
 *   page_finish(&page, "t", "s", &html);
 *   report_free(&r);
 *   buf_free(&html);
 */
#ifndef REPORT_EXTREMES_H
#define REPORT_EXTREMES_H

#include "lib/html.h"
#include "program/report/read.h"

/* What good and bad records are called: "clean" and "corrupted", of pairs "unflipped" and
 * "flipped". */
const char *kind_name(bool pairs, bool clean);

/* Adds the section for the first ICA scores, else for the first scores; nothing if there are none.
 * False with err for a file that cannot be parsed, and for a model, or a score file's holdout, that
 * cannot be read. */
bool put_extremes(Page *p, Report *r, Error *err);

#endif
