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
 * The plain twin of share_logps is ica_rows_plain in ica.c. It runs every row whole. Both give the same bits, because
 * a row after a cached prefix has the bits of the whole row (model.h) and no row's bits depend on its neighbors.
 */
#ifndef SHARE_H
#define SHARE_H

#include "model.h"

/* One sequence to run, and what comes out. */
typedef struct {
    const int *token; /* [n] borrowed; n >= 2 */
    int n, first;     /* the answer is token[first..n-1], 1 <= first < n */
    double logp;      /* out: the sum of the answer's log-probabilities, each token given all before it */
    int hits;         /* out: how many of the answer's tokens are the most probable one */
} TokenRow;

/* Tokens that went through the model, and the floating-point operations of that. */
typedef struct { double forward, backward, flops; } Cost;
/* Adds one forward pass of a batch; with `backward` also the backward pass, which costs twice as much. */
void cost_add(Cost *cost, const Model *m, const Batch *b, bool backward);

/* The most tokens that one batch of rows takes: enough to keep matrix products busy, few enough for the caches. */
enum { ROW_TOKENS_AT_ONCE = 2048 };
/* Allocates the workspace for batches of these rows now, instead of growing it batch by batch. */
void rows_reserve(const Model *m, Workspace *ws, const TokenRow *rows, int n);

/* Fills in logp and hits of rows[n], and adds what that cost. Every row must fit the model's context. */
void share_logps(const Model *m, Workspace *ws, TokenRow *rows, int n, Cost *cost);

#endif
