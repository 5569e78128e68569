/* attention: causal attention of ragged rows after cached prefixes, by blocks of queries.
 *
 * Usage:
 *   Batch batch = {0};
 *   batch_row_inputs(&batch, (const int[]){0, 1}, 2, NULL);          // one row of two tokens
 *   real qkv[2][3] = {{1, 1, 5}, {1, 1, 7}}, out[2], soft[4];        // one head, D = 1: q, k, v
 *   Attention a = {.batch = &batch, .heads = 1, .kv_heads = 1, .head_size = 1, .context = 2,
 *                  .soft = soft};
 *   a.scratch_size = attention_scratch(a.context, a.head_size);
 *   a.scratch = mem_new((size_t)threads_most() * a.scratch_size, sizeof(real));
 *   attention_forward_fast(&a, out, qkv[0]);                         // out = {5, 6}
 *   free(a.scratch);
 *   batch_free(&batch);
 *
 * The formulas stand above the plain twins, attention_forward_plain and attention_backward_plain
 * in model.c. What is faster here, and why it changes no bit beyond the rounding of sums in
 * another order:
 *
 * - Queries are handled in blocks of 32, so scores and outputs are matrix products. A block
 *   multiplies only the keys up to its own last position.
 * - Scores are [keys][queries]. The softmax of 16 queries is then computed at once, each in a lane
 *   of the vectors, and no sum runs across a vector.
 * - Keys and values are gathered from prefix and row into contiguous scratch once for all blocks of
 *   a row. Consecutive rows after one prefix gather the prefix's part once.
 * - The heads of queries that read one head of keys and values share what is gathered.
 * - The forward pass saves maximum and 1 / sum of each softmax. The backward pass recomputes the
 *   probabilities from these.
 * - In the last layer, blocks before a row's first live query are skipped: nothing reads their
 *   output (lib/fast/rows.h).
 *
 * Key j has absolute position j in every sum, and keys that a query must not see have
 * probability exactly 0 and add nothing to finite numbers. That is why a cached prefix and an
 * entire row give the same bits, for any grouping and any number of threads: each task, a head
 * of keys and values of some rows, is one thread's. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include "lib/fast/rows.h"
#include "lib/threads.h"

/* One layer's attention over a batch. Q = heads * head_size and K D = kv_heads * head_size; a
 * token's row of qkv has Q + 2 K D numbers: queries, keys, values. Head h of the queries reads head
 * h / (heads / kv_heads) of the keys and values. */
typedef struct {
    const Batch *batch;
    int layer, heads, kv_heads, head_size;
    int context; /* positions of the longest sequence, or more */
    /* The plain twin reads nothing below this line. */
    const int *first; /* NULL, or [rows] each row's first query whose output is read */
    real *soft;    /* [N][heads][2] softmax's maximum and 1 / sum: written forward, read backward */
    real *scratch; /* [threads_most()][scratch_size] */
    size_t scratch_size; /* what attention_scratch says */
} Attention;

/* Elements of scratch that each thread needs. */
size_t attention_scratch(int context, int head_size);
/* out[N][Q] from qkv[N][Q + 2 K D]. */
void attention_forward_fast(const Attention *a, real *out, const real *qkv);
/* dqkv[N][Q + 2 K D], overwritten, from dout[N][Q]. A prefix is a constant. Follows
 * attention_forward_fast on the same batch. */
void attention_backward_fast(const Attention *a, real *dqkv, const real *dout, const real *qkv);

#endif
