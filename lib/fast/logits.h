/* logits: the language-model head over the live tokens, by chunks of tokens and blocks of the
 * vocabulary.
 *
 * Usage:
 *   Batch batch = {0};
 *   batch_row(&batch, (const int[]){0, 1}, 2, 1, NULL);              // one token of target 1
 *   int zero = 0, hit;
 *   RowMap map = {.live = 1, .token = &zero, .row = &zero, .position = &zero, .first = &zero};
 *   real h[1] = {1}, w[2] = {0, 0}, logits[2];         // C = 1, two words with logit 0
 *   Softmax softmax;
 *   double term;
 *   Logits x = {.batch = &batch, .map = &map, .C = 1, .V = 2, .h = h, .w = w,
 *               .term = &term, .hit = &hit, .logits = logits, .softmax = &softmax};
 *   logits_pass_fast(&x, true, NULL);                                // term = -log 2
 *   batch_free(&batch);
 *
 * The formulas stand above the plain twin, logits_pass_plain in model.c. What is faster here,
 * and why it changes no bit beyond the rounding of sums in another order:
 *
 * - Logits are matrix products. They are computed for one chunk of tokens and one block of the
 *   vocabulary at a time, so that a block is still in the cache when it is used. The logits of
 *   all tokens at once would need gigabytes for GPT-2's vocabulary.
 * - Softmax runs along: its maximum and sum are kept up to date from block to block. When a
 *   block has a larger maximum, the sum so far is scaled to it.
 * - A pass that goes forward and backward at once stores the chunk's logits in between, and so
 *   computes them once. */
#ifndef LOGITS_H
#define LOGITS_H

#include "lib/fast/inner.h"
#include "lib/fast/rows.h"

/* A token's softmax over its logits. */
typedef struct {
    real most;      /* the largest logit */
    real total;     /* sum of exp(logit - most) */
    real at_target; /* the target's logit */
    int best;       /* the first column that has the largest logit */
} Softmax;

/* The head over the live tokens of a batch: i counts live tokens, n = map->token[i] is the token
 * itself. */
typedef struct {
    const Batch *batch;
    const RowMap *map;
    int C, V;             /* channels, vocabulary */
    const real *h;        /* [live][C] hidden states */
    const real *w;        /* [V][C] the head's matrix; if tied, the embeddings' */
    const uint16_t *half; /* the same in bfloat16, if w is NULL */
    double *term;         /* [live] forward: weight * log p(target), 0 where nothing is scored */
    int *hit;             /* [live] forward: is the target the most probable token? */
    const double *dlogp;  /* [rows] backward: d loss / d logp of each row */
    real *dh;             /* [live][C] backward: d loss / d h */
    real *dw;             /* [V][C] backward: the gradient, as the GradientTarget says; or NULL */
    /* The plain twin reads nothing below this line. */
    real *logits;           /* [logits_room] */
    Softmax *softmax;       /* [live] written forward, read backward */
    double product_seconds; /* grows by the time spent in matrix products */
} Logits;

/* Elements of the buffer of logits for at most so many tokens. both: forward and backward in one
 * pass. */
size_t logits_room(int vocab, int tokens, bool both);
/* With `forward`: term and hit. With `to`: dh and dwte, which needs the softmax of an earlier or
 * the same forward pass. */
void logits_pass_fast(Logits *x, bool forward, const GradientTarget *to);

#endif
