/* train: what the program does: the training loop, pretraining, scoring, weighted fine-tuning, and the evaluation that they share.
 * The command line (program/main.c) parses into Settings and calls one of these.
 *
 *   Settings s = {.command = "score", .model = "out/base", .pool = "pool.jsonl", .holdout = "trusted.jsonl", ...};
 *   Error err = {0};
 *   return command_score(&s, &err) ? STATUS_OK : error_print(&err);
 *
 * Each command checks all its input before it writes anything; on false, err holds one line for the user and its status.
 */
#ifndef TRAIN_H
#define TRAIN_H

#include "data/run.h"

bool command_pretrain(const Settings *s, Error *err);
bool command_score(const Settings *s, Error *err);
bool command_train(const Settings *s, Error *err);

/* ---- evaluation ---- */

typedef struct {
    double nll, perplexity, p_sequence, exact_match;
    int dropped; /* demonstrations that did not fit the context */
} Metrics;
typedef struct { double loss, reward_accuracy, margin; } PairMetrics;

/* With k nearest holdout demonstrations in context; k = 0: none. logp (or NULL) receives [count]. */
Metrics evaluate_answers(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout, int k, double *logp);
/* Loss, margin and accuracy (ties count as wrong) of pairs. reference: DPO's log-likelihoods. logp (or NULL) receives chosen and
 * rejected of each pair: [2 count]. */
PairMetrics evaluate_pairs(const Model *m, Workspace *ws, const Examples *data, const Settings *s, double *const reference[2],
                           double *logp);
/* Appends members of a JSON object. */
void evaluate_put(Buf *b, const Metrics *x);
void evaluate_put_pairs(Buf *b, const PairMetrics *x);

#endif
