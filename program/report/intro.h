/* intro: what a reader must know first: what was compared, what came out, and what the words mean.
 *
 * Usage:
 *   Error err = {0};
 *   Report r = {0};
 *   Page page = {0};
 *   Buf html = {0};
 *   const char *inputs[] = {"out/runs/ica-1"};
 *   if (report_read(&r, 1, inputs, &err)) {
 *       Numbers n = numbers_make(&r);
 *       put_intro(&page, &r, &n);      // after the body: the glossary has the words in it
 *   }
 *   page_finish(&page, "t", "s", &html);
 *   report_free(&r);
 *   buf_free(&html);
 */
#ifndef REPORT_INTRO_H
#define REPORT_INTRO_H

#include "lib/html.h"
#include "program/report/numbers.h"

/* Fills the page's head: at most six sentences, each left out if its numbers are not there, and a
 * glossary of the words that the body has. */
void put_intro(Page *p, Report *r, const Numbers *n);

#endif
