/* share: the log-likelihoods of many rows, with each common beginning of theirs computed once.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 32, .vocab = 16};
 *   Model *m = model_new(shape, &err);
 *   model_initialize(m, 1);
 *   Workspace *ws = workspace_new();
 *   int a[] = {0, 4, 5, 6, 7, 3}, b[] = {0, 4, 5, 6, 8, 3};
 *   TokenRow row[] = {{.token = a, .n = 6, .first = 4}, {.token = b, .n = 6, .first = 4}};
 *   Cost cost = {0};
 *   share_logps(m, ws, row, 2, &cost);
 *   printf("%g %g, %g tokens\n", row[0].logp, row[1].logp, cost.forward);
 *   workspace_free(ws);
 *   model_free(m);
 *
 * share_logps and its plain twin give the same bits, because a row after a cached prefix has the
 * bits of the entire row (lib/fast/attention.h), and no row's bits depend on its neighbors.
 */
#ifndef SHARE_H
#define SHARE_H

#include "model.h"

/* One sequence to run, and what comes out. */
typedef struct {
    const int *token; /* [n] borrowed; n >= 2 */
    int n, first;     /* the answer is token[first..n-1], 1 <= first < n */
    double
        logp; /* out: the sum of the answer's log-probabilities, each token given all before it */
    int hits; /* out: how many of the answer's tokens were the most probable token */
} TokenRow;

/* Tokens that went through the model, and the floating-point operations of that. */
typedef struct {
    double forward, backward, flops;
} Cost;
/* Adds one forward pass of a batch; with `backward` also the backward pass, which costs twice as
 * much. */
void cost_add(Cost *cost, const Model *m, const Batch *b, bool backward);

/* Tokens of a batch of rows: enough to keep products busy, few enough for the caches. */
enum { SHARE_TOKENS = 2048 };
/* Fills in logp and hits of rows[n], and adds what that cost. Every row must fit the model's
 * context. */
void share_logps(const Model *m, Workspace *ws, TokenRow *rows, int n, Cost *cost);
/* The plain twin, which runs each entire row, a batch at a time. */
void plain_logps(const Model *m, Workspace *ws, TokenRow *rows, int n, Cost *cost);

#endif
