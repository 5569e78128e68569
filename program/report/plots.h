/* plots: the charts of a report. The title of each is what it shows, computed from the numbers.
 *
 * Usage:
 *   Error err = {0};
 *   Report r = {0};
 *   Page page = {0};
 *   Buf html = {0};
 *   const char *inputs[] = {"out/runs/ica-1"};
 *   if (report_read(&r, 1, inputs, &err)) {
 *       Numbers n = numbers_make(&r);
 *       for (int i = 0; i < n.blocks.n; i++) plot_arms(&page, &r, &n.blocks.v[i], 0);
 *   }
 *   page_finish(&page, "t", "s", &html);
 *   report_free(&r);
 *   buf_free(&html);
 */
#ifndef REPORT_PLOTS_H
#define REPORT_PLOTS_H

#include "lib/html.h"
#include "program/report/numbers.h"

/* Each arm's seeds, mean and spread of one metric of the block. */
void plot_arms(Page *p, Report *r, const Block *b, int metric);
/* One column of the logs for all arms of a block, as `what`. Steps at which scores were computed
 * anew are marked. False if no log has it. */
bool plot_log(Page *p, Report *r, const Block *b, int column, const char *what);

/* The loss on what --eval-share holds out, for all arms of a block; of one arm beside its training
 * loss. The lowest point is marked. False if no log has it at two steps. */
bool plot_validation(Page *p, Report *r, const Block *b);

/* The scores of one set, good and bad records apart where the truth is known. */
void plot_scores(Page *p, Report *r, const ScoreSet *s);
/* Both numbers of every candidate against the holdout's own (E19), with its thresholds where the
 * result has them. Nothing if the set has no such numbers. */
void plot_numbers(Page *p, Report *r, const ScoreSet *s);
/* The ROC curves of n sets of one group, as far as they differ. Nothing if no truth is known. */
void plot_roc(Page *p, Report *r, const ScoreSet *s, int n);

/* Loss and in-context meters of a pretraining run. A jump of the loss is marked. */
void plot_pretraining(Page *p, Report *r, const FinishedRun *run);
/* How much k demonstrations help. */
void plot_shots(Page *p, Report *r, const Shots *shots, int n);

#endif
