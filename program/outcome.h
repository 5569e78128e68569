/* outcome: the end of a run for people. What came out first: the loss before and after, where the
 * model is, and what to do next.
 *
 * Usage:
 *   Settings s = {.command = "train", .out = "run", .eval = "test.jsonl"};
 *   Outcome o = {.steps = 20, .test = {2.34, 2.23}, .validation = {NAN, NAN}, .train = {2.5, 2.4}};
 *   Buf b = {0};
 *   outcome_put(&b, &s, &o);     // "loss on test.jsonl         2.3400 before, 2.2300 after ..."
 *   buf_free(&b);
 */
#ifndef OUTCOME_H
#define OUTCOME_H

#include <math.h>

#include "program/settings.h"

/* Losses before the first step [0] and at the end [1]. NaN: not known. */
typedef struct {
    double steps;
    double best_step; /* the model is that of this step; 0: of the last */
    double test[2], validation[2];
    double train[2]; /* of the first and the last line of the log, means over their steps */
} Outcome;

void outcome_put(Buf *b, const Settings *s, const Outcome *o);
/* What `ica score` made, and the next commands. score and weight [count], weight NULL for a part of
 * a pool. skips: records of the pool were left out. */
void outcome_scores(Buf *b, const Settings *s, const double *score, const double *weight, int count,
                    bool skips);
/* Prints a warning on stderr if the training loss has risen by more than a nat. */
void outcome_warn(const Outcome *o);
/* The loss of the first line of a run's log; NaN if there is none. False if it cannot be read. */
bool outcome_first_loss(const char *folder, double *loss, Error *err);

#endif
