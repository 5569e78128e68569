/* rows: ragged batches of token rows, cached prefixes, and the map that says which tokens a pass
 * still needs.
 *
 * Usage:
 *   const int shared[] = {3, 1, 4}, tail[] = {1, 5, 9, 2};
 *   Batch batch = {0};
 *   batch_row(&batch, tail, 4, 2, NULL);        // a row of 3 inputs that scores two tokens
 *   batch_clear(&batch);
 *   batch_row_inputs(&batch, shared, 3, NULL);  // one row of 3 inputs; it scores nothing
 *   batch_free(&batch);
 *
 * Everything here is bookkeeping: copies and indices, no arithmetic. Model.h includes this file.
 * All pointers are borrowed, except for what a function named _make or _new returns. Nothing
 * fails (running out of memory ends the program). */
#ifndef ROWS_H
#define ROWS_H

#include <stdlib.h> /* free */

#include "lib/util.h"

/* ---- prefixes ----
 * A Prefix caches the keys and values of the first `length` positions of a sequence, in every
 * layer. A row that starts after a prefix attends to these positions as if they were its own.
 * Many rows may share one prefix: its work is done once.
 *
 * Prefixes form a tree. A prefix may start where its parent ends, and stores only the positions
 * that it adds. Here rows share demonstrations ("demos", examples shown before the row's own):
 *
 *     start + demo A [0..40) ---+---- demo B  [40..71) ----+---- row 1  [71..90)
 *                               |                          +---- row 2  [71..84)
 *                               +---- demo C  [40..66) --------- row 3  [66..80)
 *
 * The usual sequence of calls: prefix_new or prefix_after; model_extend, which runs tokens and
 * appends their keys and values; batch_row with the prefix, as often as wanted; prefix_free,
 * children before parents.
 *
 * Two rules keep this right. A prefix belongs to the weights that made it: after an optimizer
 * step it is stale and must be made again. And a parent must neither move, grow nor shrink while
 * a child lives, because the child counts its positions from the parent's length.
 *
 * A prefix is a constant for the backward pass: no gradient flows into it. In the forward pass
 * it changes no bit: a row after a prefix has the bits of the entire row computed at once
 * (lib/fast/attention.h says why). */
typedef struct Prefix Prefix;
struct Prefix {
    const Prefix *parent; /* NULL, or what comes before; borrowed */
    int length;           /* positions cached so far, the parent's included */
    int capacity;         /* most positions of its own */
    int width;            /* numbers for each position and layer: keys, then values */
    real *kv;             /* [layers][capacity][width] */
};

/* model.h's prefix_new and prefix_after call this with the model's sizes. */
Prefix *prefix_make(int layers, int width, const Prefix *parent, int capacity);
void prefix_free(Prefix *p); /* NULL is fine */
/* The first position that is p's own. */
int prefix_start(const Prefix *p);
/* The [width] numbers of one of p's own positions. */
real *prefix_own(const Prefix *p, int layer, int position);
/* The same for any position below p->length: looks in p and its parents. */
const real *prefix_find(const Prefix *p, int layer, int position);

/* ---- batches ----
 * A Batch is a list of rows of tokens that run together. Rows are ragged: they follow each other
 * without padding.
 *
 *     token     b  W  h  y  ?  A  b  H  i  A        N = 10 inputs in 2 rows
 *     target    .  .  .  .  A  e  .  .  A  e        the token that follows; . is -1, not scored
 *     start     0                 6           10    [rows + 1]
 *
 * The letters are tokens: b begins a row, A is an answer, and e ends it.
 *
 * The layers work on all N tokens at once and do not know about rows. Only attention and the
 * positions do. So padding costs nothing, and no row's bits depend on its neighbors.
 *
 * A row of n tokens has n - 1 inputs: its last token is only a target. Each input has a target,
 * the token that follows it, or -1 where nothing is scored, and a weight. The log-likelihood of
 * a row is
 *     logp[row] = sum over its scored tokens of weight * log p(target | everything before it)
 * with the prefix as part of "everything before".
 *
 * The usual sequence of calls: zero-initialize; batch_row for each row; a pass of model.h;
 * batch_clear and again; batch_free. A batch owns its arrays, which grow as needed and are kept
 * by batch_clear. It borrows the prefixes. */
typedef struct {
    int rows, tokens;
    IntBuf start;  /* [rows + 1] first token of each row */
    IntBuf token;  /* [tokens] inputs */
    IntBuf target; /* [tokens] the token that follows, or -1 where nothing is scored */
    real *weight;  /* [tokens] factor of this target's log-probability in the row's logp */
    int weight_capacity;
    Prefix **prefix; /* [rows] NULL, or what comes before the row; borrowed */
    int prefix_capacity;
} Batch;

/* Appends sequence[0..n), of which the tokens from `first` on are scored, each with weight 1.
 * After a prefix, the sequence continues it. n >= 2, and first >= 1 because nothing predicts the
 * first token. Prefix and row together must fit the model's context. */
void batch_row(Batch *b, const int *sequence, int n, int first, Prefix *prefix);
/* The same with a weight for each of the n tokens; weight 0 is not scored. */
void batch_row_weighted(Batch *b, const int *sequence, int n, const real *weight, Prefix *prefix);
/* Appends n >= 1 inputs of which nothing is scored: to extend a prefix, or to generate. */
void batch_row_inputs(Batch *b, const int *sequence, int n, Prefix *prefix);
void batch_clear(Batch *b); /* empty again; memory is kept */
void batch_free(Batch *b);
/* Number of inputs of a row, and number of cached positions before it. */
int batch_length(const Batch *b, int row);
int batch_past(const Batch *b, int row);
/* Number of positions of the longest sequence: a row with what is cached before it. */
int batch_longest(const Batch *b);
/* Appends the keys and values of all tokens to the prefixes of their rows. kv points to the
 * first token's; the next token's are `stride` numbers further. The prefixes' lengths stay: they
 * move once all layers have been stored. */
void batch_store(const Batch *b, int layer, const real *kv, size_t stride);

/* ---- the map of a batch: tokens that end early ----
 * After the last layer's attention, a token's activations are read only to predict the token that
 * follows. Where nothing is scored, nothing reads them. So the rest of the last layer, the final
 * norm and the head need only the scored tokens. Of a batch of long contexts these are about a
 * tenth. The map lists these "live" tokens:
 *
 *     all tokens   0  1  2  3  4  5  6  7  8  9
 *     scored                   *  *        *  *
 *     token[live]              4  5        8  9
 *
 * rows_pick packs the activations of live tokens at the front of an array, and rows_spread brings
 * them back with zeros between them. No bit changes: after attention tokens are independent of
 * each other, and the gradient of a dropped one would be zero.
 *
 * The plain twin is the map with ROWS_ALL, where every token is live and both functions change
 * nothing. */
typedef enum {
    ROWS_SCORED, /* live: tokens with a target */
    ROWS_LAST,   /* live: each row's last token, whose logits model_logits may be asked for */
    ROWS_ALL     /* live: every token (plain) */
} RowsLive;

typedef struct {
    int live;      /* how many tokens continue after the last layer's attention */
    int *token;    /* [live] which tokens they are, ascending */
    int *row;      /* [tokens] the row of each token */
    int *position; /* [tokens] the position of each token in its sequence, prefix included */
    /* [rows] each row's first live token, counted from the row's start; its length if none. The
     * last layer's attention may skip the queries before it. */
    int *first;
} RowMap;

/* Fills the map; its arrays are the caller's, with room for all tokens. */
void rows_map(RowMap *map, const Batch *b, RowsLive live);
/* to[i] = from[token[i]] for all live i, where a token has `width` numbers. `to` may be `from`. */
void rows_pick(const RowMap *map, real *to, const real *from, int width);
/* The way back, in place: x[token[i]] = x[i], and 0 for all others of N tokens. */
void rows_spread(const RowMap *map, real *x, int N, int width);
/* The place of a row's last token among the live ones. */
int rows_last(const RowMap *map, int row);

#endif
