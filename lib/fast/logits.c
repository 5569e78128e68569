/* [head] The head by chunks of tokens and blocks of the vocabulary. */
#include "lib/fast/logits.h"

#include <math.h>
#include <string.h>

#include "lib/gemm.h"
#include "lib/threads.h"

enum {
    VOCAB_BLOCK = 512,  /* columns of logits computed at once */
    HEAD_ROWS = 512,    /* tokens whose block of logits stays in the cache */
    FEWEST_STORED = 32, /* tokens that a chunk has at least where logits are stored */
    LOGITS_BUDGET =
        1
        << 25 /* logits stored at once: with GPT-2's vocabulary some 660 tokens, 128 MB in float */
};

/* How many of `live` tokens have their logits stored at once; at least 1, so that chunks can be
 * counted with it. */
static int stored_rows(int vocab, int live) {
    int rows = LOGITS_BUDGET / vocab;
    if (rows < FEWEST_STORED) rows = FEWEST_STORED;
    if (rows > live) rows = live;
    return rows > 0 ? rows : 1;
}

size_t logits_room(int vocab, int tokens, bool both) {
    int block = vocab < VOCAB_BLOCK ? vocab : VOCAB_BLOCK,
        rows = tokens < HEAD_ROWS ? tokens : HEAD_ROWS;
    size_t one = mem_mul((size_t)rows, (size_t)block),
           stored = mem_mul((size_t)stored_rows(vocab, tokens), (size_t)vocab);
    return both && stored > one ? stored : one;
}

/* ---- one token's softmax, block by block ---- */

/* The first place of `value` among n numbers; the last place if it is NaN. */
static int place_of(real value, const real *x, int n) {
    int at = 0, found = 0;
    for (; at + LANES <= n && !found; at += LANES) {
#pragma GCC unroll 1 /* gcc makes vectors of the loop, but not of its 16 unrolled lines */
        for (int l = 0; l < LANES; l++) found |= x[at + l] == value;
    }
    if (found) at -= LANES;
    while (at < n && x[at] != value) at++;
    return at < n ? at : n - 1;
}

/* Extends the softmax by a block [width] of logits that starts at column `first`. */
static void softmax_extend(Softmax *x, const real *logit, int first, int width, int target) {
    real most = real_max(logit, width);
    if (first == 0) *x = (Softmax){.most = most, .best = -1};
    if (target >= first && target < first + width) x->at_target = logit[target - first];
    if (x->best < 0 || most > x->most) {
        x->total *= real_exp(x->most - most);
        x->most = most;
        x->best = first + place_of(most, logit, width);
    }
    x->total += real_sum_exp(logit, x->most, width);
}

/* In place: a block of logits becomes factor * (one-hot - p). */
static void softmax_gradient(const Softmax *x, real *logit, int first, int width, int target,
                             real factor) {
    real scale = -factor / x->total;
    for (int v = 0; v < width; v++) logit[v] = real_exp(logit[v] - x->most) * scale;
    if (target >= first && target < first + width) logit[target - first] += factor;
}

/* ---- one chunk of tokens, block by block ---- */

/* The chunk: live tokens from..from+rows-1. */
typedef struct {
    int from, rows;
    bool stored;
} Chunk;

static int block_width(const Logits *x, int first) {
    return x->V - first < VOCAB_BLOCK ? x->V - first : VOCAB_BLOCK;
}

/* Where the chunk's block [rows][width] of logits is. Stored blocks follow each other; else all
 * use the same place. */
static real *block_of(const Logits *x, Chunk c, int first) {
    return x->logits + (c.stored ? (size_t)first * (size_t)c.rows : 0);
}

/* Computes that block. */
static void block_logits(Logits *x, Chunk c, int first, int width) {
    size_t C = (size_t)x->C;
    double start = seconds_now();
    size_t at = (size_t)first * C;
    gemm_frozen(c.rows, width, x->C, x->h + (size_t)c.from * C, C, 1, x->w ? x->w + at : NULL,
                x->half ? x->half + at : NULL, 1, C, block_of(x, c, first), (size_t)width, NULL,
                false);
    x->product_seconds += seconds_now() - start;
}

static void chunk_forward(Logits *x, Chunk c) {
    const int *target = x->batch->target.v, *token = x->map->token + c.from;
    Softmax *softmax = x->softmax + c.from;
    for (int first = 0; first < x->V; first += VOCAB_BLOCK) {
        int width = block_width(x, first);
        const real *block = block_of(x, c, first);
        block_logits(x, c, first, width);
#pragma omp parallel for if ((long)c.rows * width > PARALLEL_FROM)
        for (int i = 0; i < c.rows; i++)
            softmax_extend(&softmax[i], block + (size_t)i * (size_t)width, first, width,
                           target[token[i]]);
    }
    for (int i = 0; i < c.rows; i++) {
        double weight = (double)x->batch->weight[token[i]];
        x->term[c.from + i] = weight * ((double)(softmax[i].at_target - softmax[i].most) -
                                        log((double)softmax[i].total));
        x->hit[c.from + i] = softmax[i].best == target[token[i]];
    }
}

/* dh and dw from a block of dlogits. Inner products want <dlogits^T h, G> = h . (dlogits G),
 * and the rows of dlogits G add up over the blocks. */
static void block_gradients(Logits *x, Chunk c, const GradientTarget *to, int first, int width) {
    size_t C = (size_t)x->C, W = (size_t)width;
    const real *block = block_of(x, c, first), *h = x->h + (size_t)c.from * C;
    const real *w = x->w ? x->w + (size_t)first * C : NULL;
    const uint16_t *half = x->half ? x->half + (size_t)first * C : NULL;
    real *g = x->dw ? x->dw + (size_t)first * C : NULL, *dh = x->dh + (size_t)c.from * C;
    double start = seconds_now();
    gemm_frozen(c.rows, x->C, width, block, W, 1, w, half, C, 1, dh, C, NULL, first > 0);
    if (g && to->inner)
        gemm(c.rows, x->C, width, block, W, 1, g, C, 1, to->product, C, NULL, first > 0);
    else if (g) gemm(width, x->C, c.rows, block, 1, W, h, C, 1, g, C, NULL, to->add || c.from > 0);
    x->product_seconds += seconds_now() - start;
}

static void chunk_backward(Logits *x, Chunk c, const GradientTarget *to) {
    const Batch *b = x->batch;
    const int *token = x->map->token + c.from;
    for (int first = 0; first < x->V; first += VOCAB_BLOCK) {
        int width = block_width(x, first);
        real *block = block_of(x, c, first);
        if (!c.stored) block_logits(x, c, first, width);
#pragma omp parallel for if ((long)c.rows * width > PARALLEL_FROM)
        for (int i = 0; i < c.rows; i++) {
            int n = token[i];
            real factor = (real)(x->dlogp[x->map->row[n]] * (double)b->weight[n]),
                 *logit = block + (size_t)i * (size_t)width;
            softmax_gradient(&x->softmax[c.from + i], logit, first, width, b->target.v[n], factor);
        }
        block_gradients(x, c, to, first, width);
    }
    if (!to->inner || !x->dw) return;
    GradientTarget of = target_of_tokens(to, token);
    size_t C = (size_t)x->C;
    inner_add(&of, x->h + (size_t)c.from * C, C, to->product, c.rows, x->C);
}

/* ---- all chunks ---- */

void logits_pass_fast(Logits *x, bool forward, const GradientTarget *to) {
    int live = x->map->live, most = forward && to ? stored_rows(x->V, live) : HEAD_ROWS;
    int chunks = (live + most - 1) / most;
    if (live == 0 && to && x->dw && !to->inner && !to->add)
        memset(x->dw, 0, (size_t)x->V * (size_t)x->C * sizeof(real));
    for (int i = 0; i < chunks; i++) {
        Chunk c = {.from = (int)((long)live * i / chunks), .stored = forward && to};
        c.rows = (int)((long)live * (i + 1) / chunks) - c.from;
        if (forward) chunk_forward(x, c);
        if (to) chunk_backward(x, c, to);
    }
}
