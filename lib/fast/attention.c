/* [attention] By blocks of queries. One task handles one head of keys and values of some
 * consecutive rows, with all heads of queries that read it. */
#include "lib/fast/attention.h"

#include <math.h>
#include <string.h>

#include "lib/gemm.h"

enum {
    QUERY_BLOCK = 32, /* queries handled at once */
    TILE = 16 /* a multiple of LANES and of every build's vector; only speed depends on it */
};

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

/* A head's keys and values in scratch, padded with zeros to a multiple of TILE, and packed for
 * the products that follow. */
typedef struct {
    int room;                    /* positions that fit */
    real *k, *v, *dk, *dv;       /* [room][D]; dk and dv only backward */
    real *packed_k, *packed_v;   /* k and v as the right side of a product; k backward, v forward */
    real *packed_kt, *packed_vt; /* their transposes; kt always, vt backward */
    real *s, *ds; /* [QUERY_BLOCK][room] scores or probabilities, and their derivative */
} HeadScratch;

static int padded(int n) { return (n + TILE - 1) / TILE * TILE; }
static int aligned(int n) { return (n + GEMM_ALIGN - 1) / GEMM_ALIGN * GEMM_ALIGN; }

size_t attention_scratch(int context, int head_size) {
    size_t each = 4 * (size_t)head_size + 4 * (size_t)aligned(head_size) + 2 * QUERY_BLOCK;
    return mem_mul((size_t)aligned(context), each);
}

static HeadScratch head_scratch(const Attention *a) {
    size_t D = (size_t)a->head_size, wide = (size_t)aligned(a->head_size);
    real *memory = a->scratch + (size_t)thread_number() * a->scratch_size;
    HeadScratch x = {.room = aligned(a->context)};
    real **rows[] = {&x.k, &x.v, &x.dk, &x.dv};
    real **packed[] = {&x.packed_k, &x.packed_v, &x.packed_kt, &x.packed_vt};
    for (int i = 0; i < 4; i++, memory += (size_t)x.room * D) *rows[i] = memory;
    for (int i = 0; i < 4; i++, memory += (size_t)x.room * wide) *packed[i] = memory;
    x.s = memory;
    x.ds = memory + QUERY_BLOCK * (size_t)x.room;
    return x;
}

/* ---- gather and pack ---- */

/* to[D] = from[D]: memcpy for the few numbers of a head, without a call. */
static inline void copy_row(real *to, const real *from, int D) {
    int d = 0;
    for (; d + LANES <= D; d += LANES) memcpy(to + d, from + d, LANES * sizeof(real));
    for (; d < D; d++) to[d] = from[d];
}

/* Keys (at = 0) or values (at = a->keys) of all P + n positions, cached ones first unless they are
 * known; then zeros up to a TILE. */
static void gather_positions(real *to, const HeadTask *a, size_t at) {
    for (const Prefix *p = a->past; p && !a->known; p = p->parent) {
        const real *from = prefix_own(p, a->layer, prefix_start(p)) + a->channel + at;
        for (int j = prefix_start(p); j < p->length; j++, from += p->width)
            copy_row(to + (size_t)j * (size_t)a->D, from, a->D);
    }
    int all = a->P + a->n;
    const real *own = a->k + at;
    for (int j = a->P; j < all; j++, own += a->row)
        copy_row(to + (size_t)j * (size_t)a->D, own, a->D);
    memset(to + (size_t)all * (size_t)a->D, 0,
           (size_t)(padded(all) - all) * (size_t)a->D * sizeof(real));
}

/* Packs the gathered [positions][D] as the right side of a product: those that are not packed
 * already. */
static void pack_positions(const HeadTask *a, const HeadScratch *x, real *packed,
                           const real *from) {
    size_t D = (size_t)a->D;
    int first = a->known ? a->P : 0;
    gemm_pack(packed, x->room, first, 0, padded(a->P + a->n) - first, a->D,
              from + (size_t)first * D, D, 1);
}

/* The same for their transpose. */
static void pack_transposed(const HeadTask *a, real *packed, const real *from) {
    size_t D = (size_t)a->D;
    int first = a->known ? a->P / GEMM_ALIGN * GEMM_ALIGN : 0;
    gemm_pack(packed, a->D, 0, first, a->D, padded(a->P + a->n) - first, from + (size_t)first * D,
              1, D);
}

/* ---- forward ---- */

/* On entry s[0..keys) holds q . k, and the query may see the first `seen` keys. On exit s holds
 * exp(s * scale - maximum) for those and 0 for the rest; inverse = 1 / their sum. */
static void softmax_row(real *s, int seen, int keys, real scale, real *maximum, real *inverse) {
    int whole = padded(seen); /* full vectors, so that no rest of a row is handled apart */
    for (int j = seen; j < whole; j++) s[j] = -INFINITY;
    for (int j = whole; j < keys; j++) s[j] = 0;
    *maximum = real_max(s, whole) * scale;
    *inverse = 1 / real_exp_in_place(s, scale, *maximum, whole);
}

/* One head of queries, after its keys and values were packed. */
static void head_forward(const HeadTask *a, const HeadScratch *x, const real *q, real *out,
                         real *soft) {
    size_t D = (size_t)a->D, W = (size_t)x->room;
    real scale = 1 / (real)sqrt((double)a->D);
    out += (size_t)a->begin * a->wide;
    soft += (size_t)a->begin * a->soft_stride;
    for (int from = a->begin; from < a->n; from += QUERY_BLOCK, out += QUERY_BLOCK * a->wide) {
        int rows = a->n - from < QUERY_BLOCK ? a->n - from : QUERY_BLOCK,
            keys = padded(a->P + from + rows);
        real inverse[QUERY_BLOCK];
        /* Compute the block's scores, and turn them into probabilities but for the factor 1 /
         * sum. */
        gemm_packed(rows, keys, a->D, q + (size_t)from * a->row, a->row, 1, x->packed_kt, a->D,
                    x->s, W, false);
        for (int i = 0; i < rows; i++, soft += a->soft_stride) {
            softmax_row(x->s + (size_t)i * W, a->P + from + i + 1, keys, scale, &soft[0], &soft[1]);
            inverse[i] = soft[1];
        }
        /* Average the values, and apply that factor to the few outputs instead of the many
         * probabilities. */
        gemm_packed(rows, a->D, keys, x->s, W, 1, x->packed_v, x->room, out, a->wide, false);
        for (int i = 0; i < rows; i++)
            for (size_t d = 0; d < D; d++) out[(size_t)i * a->wide + d] *= inverse[i];
    }
}

/* All heads of queries that read one head of keys and values. */
static void group_forward(const HeadTask *a, const HeadScratch *x, real *out, real *soft) {
    gather_positions(x->k, a, 0);
    gather_positions(x->v, a, a->keys);
    pack_transposed(a, x->packed_kt, x->k);
    pack_positions(a, x, x->packed_v, x->v);
    for (int g = 0; g < a->group; g++)
        head_forward(a, x, a->q + g * a->D, out + g * a->D, soft + (size_t)g * 2);
}

/* ---- backward ---- */

/* On entry s holds q . k and ds holds do . v for a block. On exit they hold the probabilities,
 * and the scores' derivative. */
static void softmax_backward(const HeadTask *a, const HeadScratch *x, const real *soft, int from,
                             int rows, int keys, real scale) {
    for (int i = 0; i < rows; i++) {
        int seen = a->P + from + i + 1, whole = padded(seen);
        const real *stat = soft + (size_t)(from + i) * a->soft_stride;
        real *p = x->s + (size_t)i * (size_t)x->room, *ds = x->ds + (size_t)i * (size_t)x->room;
        for (int j = seen; j < whole; j++) p[j] = -INFINITY;
        for (int j = 0; j < whole; j++) p[j] = real_exp(p[j] * scale - stat[0]) * stat[1];
        real inner = real_dot(p, ds, whole);
        for (int j = 0; j < whole; j++) ds[j] = p[j] * (ds[j] - inner) * scale;
        for (int j = whole; j < keys; j++) p[j] = ds[j] = 0;
    }
}

/* dq of one head of queries; adds to dk and dv in the scratch. Rows of q and dq have stride
 * a->row, those of dout a->wide. */
static void head_backward(const HeadTask *a, const HeadScratch *x, const real *q, real *dq,
                          const real *dout, const real *soft) {
    size_t D = (size_t)a->D, W = (size_t)x->room;
    real scale = 1 / (real)sqrt((double)a->D);
    for (int j = 0; j < a->begin; j++) memset(dq + (size_t)j * a->row, 0, D * sizeof(real));
    for (int from = a->begin; from < a->n; from += QUERY_BLOCK) {
        int rows = a->n - from < QUERY_BLOCK ? a->n - from : QUERY_BLOCK,
            keys = padded(a->P + from + rows);
        const real *q_from = q + (size_t)from * a->row, *dout_from = dout + (size_t)from * a->wide;
        /* Recompute the block's probabilities, and find the derivative of its scores. */
        gemm_packed(rows, keys, a->D, q_from, a->row, 1, x->packed_kt, a->D, x->s, W, false);
        gemm_packed(rows, keys, a->D, dout_from, a->wide, 1, x->packed_vt, a->D, x->ds, W, false);
        softmax_backward(a, x, soft, from, rows, keys, scale);
        /* Carry that on to the block's queries, and add to all its keys and values. */
        gemm_packed(rows, a->D, keys, x->ds, W, 1, x->packed_k, x->room, dq + (size_t)from * a->row,
                    a->row, false);
        gemm(keys, a->D, rows, x->s, 1, W, dout_from, a->wide, 1, x->dv, D, NULL, true);
        gemm(keys, a->D, rows, x->ds, 1, W, q_from, a->row, 1, x->dk, D, NULL, true);
    }
}

/* dk and dv sum over the heads of queries, in their order. dq and dk point to the row's first
 * token, to the group's first head and to this head. */
static void group_backward(const HeadTask *a, const HeadScratch *x, real *dq, real *dk,
                           const real *dout, const real *soft) {
    size_t D = (size_t)a->D, past = (size_t)a->P * D;
    /* Gather and pack keys and values, and clear what the heads add to. */
    gather_positions(x->k, a, 0);
    gather_positions(x->v, a, a->keys);
    pack_transposed(a, x->packed_kt, x->k);
    pack_transposed(a, x->packed_vt, x->v);
    pack_positions(a, x, x->packed_k, x->k);
    memset(x->dk, 0, (size_t)x->room * D * sizeof(real));
    memset(x->dv, 0, (size_t)x->room * D * sizeof(real));
    for (int g = 0; g < a->group; g++)
        head_backward(a, x, a->q + g * a->D, dq + g * a->D, dout + g * a->D, soft + (size_t)g * 2);
    /* Keep the part of the row's own tokens: the prefix is a constant. */
    for (int j = 0; j < a->n; j++) {
        copy_row(dk + (size_t)j * a->row, x->dk + past + (size_t)j * D, a->D);
        copy_row(dk + (size_t)j * a->row + a->keys, x->dv + past + (size_t)j * D, a->D);
    }
}

/* ---- all heads of all rows ---- */

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
#pragma omp parallel for schedule(dynamic, 4) if ((long)b->tokens * a->heads * a->head_size >      \
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
#pragma omp parallel for schedule(dynamic, 4) if ((long)b->tokens * a->heads * a->head_size >      \
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
