/* [attention] By blocks of queries. One task handles one head of keys and values of some
 * consecutive rows, with all heads of queries that read it. */
#include "lib/fast/attention.h"

#include <math.h>
#include <string.h>

#include "lib/gemm.h"

enum {
    QUERY_BLOCK = 32, /* queries handled at once */
    TILE = 16         /* queries whose softmax is computed at once */
};

_Static_assert(QUERY_BLOCK % GEMM_ALIGN == 0, "a block of queries fills strips of a product");

/* ---- one head of keys and values of one row ---- */

typedef struct {
    int n, P, D;        /* own tokens, cached positions, channels of a head */
    int group;          /* heads of queries that read this head */
    int begin;          /* queries before this one, a multiple of QUERY_BLOCK, are skipped */
    size_t row, wide;   /* numbers of a token in qkv, and in out */
    size_t soft_stride; /* between the softmax statistics of consecutive tokens */
    size_t keys;        /* from a token's keys to its values */
    const real *q;      /* of the row's own tokens: the group's first head; stride `row` */
    const real *k;      /* this head; the values are `keys` further */
    const Prefix *past; /* NULL, or the cached positions */
    int layer, channel; /* where this head's keys start: layer, and channel in it */
    bool known;         /* the row before had the same prefix: its part is still in the scratch */
} HeadTask;

/* A head's keys and values in scratch, and a block of queries with its scores. Scores are [keys]
 * [QUERY_BLOCK]: a row is one key's with all queries of the block. So a loop over keys is a loop
 * over rows, and the queries beside each other fill the vectors. */
typedef struct {
    real *k, *v;    /* [positions][D] */
    real *q, *dout; /* [D][QUERY_BLOCK] packed; dout only backward, as ds */
    real *s, *ds;   /* [positions][QUERY_BLOCK] scores or probabilities, and their derivative */
} HeadScratch;

size_t attention_scratch(int context, int head_size) {
    size_t D = (size_t)head_size;
    return mem_mul((size_t)context, 2 * D + 2 * QUERY_BLOCK) + 2 * D * QUERY_BLOCK;
}

static HeadScratch head_scratch(const Attention *a) {
    size_t context = (size_t)a->context, D = (size_t)a->head_size;
    real *memory = a->scratch + (size_t)thread_number() * a->scratch_size;
    HeadScratch x = {.k = memory, .v = memory + context * D};
    x.s = x.v + context * D, x.ds = x.s + context * QUERY_BLOCK;
    x.q = x.ds + context * QUERY_BLOCK, x.dout = x.q + D * QUERY_BLOCK;
    return x;
}

/* ---- gather ---- */

/* to[D] = from[D]: memcpy for the few numbers of a head, without a call. */
static inline void copy_row(real *to, const real *from, int D) {
    int d = 0;
    for (; d + LANES <= D; d += LANES) memcpy(to + d, from + d, LANES * sizeof(real));
    for (; d < D; d++) to[d] = from[d];
}

/* Keys (at = 0) or values (at = a->keys) of all P + n positions, cached ones first unless they are
 * known. */
static void gather_positions(real *to, const HeadTask *a, size_t at) {
    for (const Prefix *p = a->past; p && !a->known; p = p->parent) {
        const real *from = prefix_own(p, a->layer, prefix_start(p)) + a->channel + at;
        for (int j = prefix_start(p); j < p->length; j++, from += p->width)
            copy_row(to + (size_t)j * (size_t)a->D, from, a->D);
    }
    const real *own = a->k + at;
    for (int j = a->P; j < a->P + a->n; j++, own += a->row)
        copy_row(to + (size_t)j * (size_t)a->D, own, a->D);
}

/* One block of queries of a head: `rows` of them from own token `from` on. */
typedef struct {
    int from, rows, wide; /* wide: rows rounded up to a TILE; the columns between are not read */
    int first, keys;      /* position of the first query; keys that some query may see */
} Block;

static Block block_at(const HeadTask *a, int from) {
    int rows = a->n - from < QUERY_BLOCK ? a->n - from : QUERY_BLOCK;
    return (Block){.from = from,
                   .rows = rows,
                   .wide = (rows + TILE - 1) / TILE * TILE,
                   .first = a->P + from,
                   .keys = a->P + from + rows};
}

/* scores[keys][QUERY_BLOCK] = the products of all keys' rows [D] with those of the block's queries.
 * The queries [rows][D], of stride `row`, are packed first. */
static void block_products(real *scores, const HeadTask *a, Block b, const real *keys, real *packed,
                           const real *queries, size_t row) {
    gemm_pack(packed, a->D, 0, 0, a->D, b.rows, queries, 1, row);
    gemm_packed(b.keys, b.wide, a->D, keys, (size_t)a->D, 1, packed, a->D, scores, QUERY_BLOCK,
                false);
}

/* to[rows][D] = the keys' rows [D], weighted by the columns of scores. */
static void block_average(real *to, size_t row, const HeadTask *a, Block b, const real *scores,
                          const real *keys) {
    gemm(b.rows, a->D, b.keys, scores, 1, QUERY_BLOCK, keys, (size_t)a->D, 1, to, row, NULL, false);
}

/* ---- forward ---- */

/* Of TILE queries, the first of which is at position `first`, sets the scores with later keys to
 * -infinity. */
static void mask_later(real *s, int first, int keys) {
    for (int j = first + 1; j < keys; j++) {
        real *s_j = s + (size_t)j * QUERY_BLOCK;
        for (int i = 0; i < TILE && i < j - first; i++) s_j[i] = -INFINITY;
    }
}

/* On entry s holds k . q for TILE queries, the first of which is at position `first`. On exit it
 * holds exp(s * scale - maximum) for the keys that a query may see, and 0 for the rest; inverse =
 * 1 / their sum. Each sum is the one of LANES parts of lib/gemm.h. */
static void softmax_forward(real *s, int first, int keys, real scale, real maximum[TILE],
                            real inverse[TILE]) {
    real most[TILE], lane[LANES][TILE] = {{0}};
    mask_later(s, first, keys);
    for (int i = 0; i < TILE; i++) most[i] = s[i];
    for (int j = 0; j < keys; j++) {
        const real *s_j = s + (size_t)j * QUERY_BLOCK;
#pragma GCC unroll 1 /* gcc makes vectors of the loop, but not of its 16 unrolled lines */
        for (int i = 0; i < TILE; i++) most[i] = s_j[i] > most[i] ? s_j[i] : most[i];
    }
    for (int i = 0; i < TILE; i++) most[i] *= scale;
    for (int j = 0; j < keys; j++) {
        real *s_j = s + (size_t)j * QUERY_BLOCK, *lane_j = lane[j % LANES];
        for (int i = 0; i < TILE; i++) lane_j[i] += s_j[i] = real_exp(s_j[i] * scale - most[i]);
    }
    for (int i = 0; i < TILE; i++) {
        real total = 0;
        for (int l = 0; l < LANES; l++) total += lane[l][i];
        maximum[i] = most[i];
        inverse[i] = 1 / total;
    }
}

/* One head of queries, after its keys and values were gathered. */
static void head_forward(const HeadTask *a, const HeadScratch *x, const real *q, real *out,
                         real *soft) {
    real scale = 1 / (real)sqrt((double)a->D), maximum[QUERY_BLOCK], inverse[QUERY_BLOCK];
    for (int from = a->begin; from < a->n; from += QUERY_BLOCK) {
        Block b = block_at(a, from);
        real *to = out + (size_t)from * a->wide, *stat = soft + (size_t)from * a->soft_stride;
        /* Compute the block's scores, and turn them into probabilities but for the factor 1 /
         * sum. */
        block_products(x->s, a, b, x->k, x->q, q + (size_t)from * a->row, a->row);
        for (int i = 0; i < b.wide; i += TILE)
            softmax_forward(x->s + i, b.first + i, b.keys, scale, maximum + i, inverse + i);
        /* Average the values, and apply that factor to the few outputs instead of the many
         * probabilities. */
        block_average(to, a->wide, a, b, x->s, x->v);
        for (int i = 0; i < b.rows; i++, to += a->wide, stat += a->soft_stride) {
            for (int d = 0; d < a->D; d++) to[d] *= inverse[i];
            stat[0] = maximum[i], stat[1] = inverse[i];
        }
    }
}

/* All heads of queries that read one head of keys and values. */
static void group_forward(const HeadTask *a, const HeadScratch *x, real *out, real *soft) {
    gather_positions(x->k, a, 0);
    gather_positions(x->v, a, a->keys);
    for (int g = 0; g < a->group; g++)
        head_forward(a, x, a->q + g * a->D, out + g * a->D, soft + (size_t)g * 2);
}

/* ---- backward ---- */

/* On entry s holds k . q and ds holds v . do for TILE queries, the first of which is at position
 * `first`. On exit they hold the probabilities, and the scores' derivative. */
static void softmax_backward(real *s, real *ds, int first, int keys, real scale,
                             const real maximum[TILE], const real inverse[TILE]) {
    real lane[LANES][TILE] = {{0}}, inner[TILE] = {0};
    mask_later(s, first, keys);
    for (int j = 0; j < keys; j++) {
        real *p = s + (size_t)j * QUERY_BLOCK, *ds_j = ds + (size_t)j * QUERY_BLOCK,
             *lane_j = lane[j % LANES];
        for (int i = 0; i < TILE; i++) {
            p[i] = real_exp(p[i] * scale - maximum[i]) * inverse[i];
            lane_j[i] += p[i] * ds_j[i];
        }
    }
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < TILE; i++) inner[i] += lane[l][i];
    for (int j = 0; j < keys; j++) {
        const real *p = s + (size_t)j * QUERY_BLOCK;
        real *ds_j = ds + (size_t)j * QUERY_BLOCK;
        for (int i = 0; i < TILE; i++) ds_j[i] = p[i] * (ds_j[i] - inner[i]) * scale;
    }
}

/* dq of one head of queries; adds to dk and dv. Rows of q, dq, dk and dv have stride a->row, those
 * of dout a->wide. */
static void head_backward(const HeadTask *a, const HeadScratch *x, const real *q, real *dq,
                          real *dk, const real *dout, const real *soft) {
    size_t own = (size_t)a->P * QUERY_BLOCK; /* the prefix is a constant: its keys get nothing */
    real scale = 1 / (real)sqrt((double)a->D);
    for (int j = 0; j < a->begin; j++)
        memset(dq + (size_t)j * a->row, 0, (size_t)a->D * sizeof(real));
    for (int from = a->begin; from < a->n; from += QUERY_BLOCK) {
        Block b = block_at(a, from);
        const real *q_from = q + (size_t)from * a->row, *dout_from = dout + (size_t)from * a->wide;
        real maximum[QUERY_BLOCK] = {0}, inverse[QUERY_BLOCK] = {0};
        for (int i = 0; i < b.rows; i++) {
            maximum[i] = soft[(size_t)(from + i) * a->soft_stride];
            inverse[i] = soft[(size_t)(from + i) * a->soft_stride + 1];
        }
        /* Recompute the block's probabilities, and find the derivative of its scores. */
        block_products(x->s, a, b, x->k, x->q, q_from, a->row);
        block_products(x->ds, a, b, x->v, x->dout, dout_from, a->wide);
        for (int i = 0; i < b.wide; i += TILE)
            softmax_backward(x->s + i, x->ds + i, b.first + i, b.keys, scale, maximum + i,
                             inverse + i);
        /* Carry that on to the block's queries, and add to all its keys and values. */
        block_average(dq + (size_t)from * a->row, a->row, a, b, x->ds, x->k);
        gemm(b.keys - a->P, a->D, b.rows, x->s + own, QUERY_BLOCK, 1, dout_from, a->wide, 1,
             dk + a->keys, a->row, NULL, true);
        gemm(b.keys - a->P, a->D, b.rows, x->ds + own, QUERY_BLOCK, 1, q_from, a->row, 1, dk,
             a->row, NULL, true);
    }
}

/* dk and dv sum over the heads of queries, in their order. dq and dk point to the row's first
 * token, to the group's first head and to this head. */
static void group_backward(const HeadTask *a, const HeadScratch *x, real *dq, real *dk,
                           const real *dout, const real *soft) {
    gather_positions(x->k, a, 0);
    gather_positions(x->v, a, a->keys);
    /* Clear what the heads add to. */
    for (int j = 0; j < a->n; j++) {
        real *dk_j = dk + (size_t)j * a->row, *dv_j = dk_j + a->keys;
        for (int d = 0; d < a->D; d++) dk_j[d] = dv_j[d] = 0;
    }
    for (int g = 0; g < a->group; g++)
        head_backward(a, x, a->q + g * a->D, dq + g * a->D, dk, dout + g * a->D,
                      soft + (size_t)g * 2);
}

/* ---- all heads of all rows ----
 * Tasks are in the order of the rows and each thread takes one stretch of them. So it finds most
 * of its tokens in its cache, where the products before attention have left them. */

/* Where queries, keys, values and past of a row's head are; `known` as above. */
static HeadTask head_task(const Attention *a, const real *qkv, int row, int head, bool known) {
    int D = a->head_size, group = a->heads / a->kv_heads;
    size_t Q = (size_t)(a->heads * D), keys = (size_t)(a->kv_heads * D);
    const real *own = qkv + (size_t)a->batch->start.v[row] * (Q + 2 * keys);
    return (HeadTask){.n = batch_length(a->batch, row),
                      .P = batch_past(a->batch, row),
                      .D = D,
                      .group = group,
                      .begin = a->first ? a->first[row] / QUERY_BLOCK * QUERY_BLOCK : 0,
                      .row = Q + 2 * keys,
                      .wide = Q,
                      .soft_stride = 2 * (size_t)a->heads,
                      .keys = keys,
                      .q = own + head * group * D,
                      .k = own + Q + head * D,
                      .past = a->batch->prefix[row],
                      .layer = a->layer,
                      .channel = head * D,
                      .known = known};
}

/* How many consecutive rows one task takes. Rows that share a prefix then gather and pack it
 * once; kept small so that every thread has work. */
static int rows_together(const Batch *b) {
    enum { MOST = 8 };
    int share = b->rows / (4 * threads_now());
    return share < 1 ? 1 : share < MOST ? share : MOST;
}

void attention_forward_fast(const Attention *a, real *out, const real *qkv) {
    const Batch *b = a->batch;
    int together = rows_together(b);
#pragma omp parallel for schedule(static) if ((long)b->tokens * a->heads * a->head_size >          \
                                              PARALLEL_FROM / 8)
    for (int task = 0; task < (b->rows + together - 1) / together * a->kv_heads; task++) {
        int begin = task / a->kv_heads * together, head = task % a->kv_heads;
        HeadScratch x = head_scratch(a);
        for (int r = begin; r < b->rows && r < begin + together; r++) {
            bool known = r > begin && b->prefix[r] == b->prefix[r - 1];
            HeadTask one = head_task(a, qkv, r, head, known);
            size_t first = (size_t)b->start.v[r], h = (size_t)(head * one.group);
            group_forward(&one, &x, out + first * one.wide + h * (size_t)one.D,
                          a->soft + first * one.soft_stride + h * 2);
        }
    }
}

void attention_backward_fast(const Attention *a, real *dqkv, const real *dout, const real *qkv) {
    const Batch *b = a->batch;
#pragma omp parallel for schedule(static) if ((long)b->tokens * a->heads * a->head_size >          \
                                              PARALLEL_FROM / 8)
    for (int task = 0; task < b->rows * a->kv_heads; task++) {
        int r = task / a->kv_heads, head = task % a->kv_heads;
        HeadScratch x = head_scratch(a);
        HeadTask one = head_task(a, qkv, r, head, false);
        size_t first = (size_t)b->start.v[r], h = (size_t)(head * one.group), D = (size_t)one.D;
        real *row = dqkv + first * one.row;
        group_backward(&one, &x, row + h * D, row + one.wide + (size_t)head * D,
                       dout + first * one.wide + h * D, a->soft + first * one.soft_stride + h * 2);
    }
}
