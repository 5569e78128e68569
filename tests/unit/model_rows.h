/* model_rows: random models and rows of tokens, for tests of the model.
 *
 *   Model *m = model_shaken(SMALL, 1);
 *   Row rows[2] = {row_new(&rng, m, 20, 0, false), row_new(&rng, m, 30, 8, true)};
 *   run_rows(m, rows, 2, logp, grad);
 *   check_gradient(m, grad, expected, ROUNDINGS * U, "two rows");
 *
 * Rows own nothing. A Load, and what *_new returns, is the caller's to free. */
#ifndef MODEL_ROWS_H
#define MODEL_ROWS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tests/unit/check.h"

/* The unit roundoff. */
#ifdef REAL_DOUBLE
static const double U = 0x1p-53;
#else
static const double U = 0x1p-24;
#endif

/* Without FMA a product and its sum are rounded apart: twice as many roundings. */
#if defined __FMA__ || defined __ARM_FEATURE_FMA
enum { ROUNDINGS = 256 };
#else
enum { ROUNDINGS = 512 };
#endif
enum { MOST = 160, ROWS = 16 };

static inline bool same(const void *a, const void *b, size_t n) { return memcmp(a, b, n) == 0; }

/* Weights so large that neither softmax nor gelu is flat, and no gain is 1 and no bias 0. */
static inline Model *model_shaken(ModelConfig config, uint64_t seed) {
    Error err = {0};
    Model *m = model_new(config, &err);
    CHECK(m, "%s", err.text);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        Rng rng = rng_new(seed, (uint64_t)i);
        int in = t->layer < 0 ? config.channels : t->shape[config.family != FAMILY_GPT2];
        double mean = t->constant, std = t->rank == 2 ? 1.5 / sqrt(in) : 0.3;
        for (size_t j = 0; j < t->size; j++)
            m->w[t->offset + j] = (real)(mean + std * rng_normal(&rng));
    }
    return m;
}

static const ModelConfig SMALL = {
    .layers = 2, .heads = 3, .channels = 24, .context = MOST, .vocab = 61};
/* More than a block of logits. */
static const ModelConfig WIDE = {
    .layers = 2, .heads = 4, .channels = 96, .context = MOST, .vocab = 600};

/* A model of each family, with sizes that differ where they may: heads from heads of keys and
 * values, heads x head size from channels, inner channels from four times channels. */
static const ModelConfig FAMILIES[] = {
    {.layers = 2, .heads = 2, .channels = 10, .context = MOST, .vocab = 31, .untied = true},
    {.layers = 2,
     .heads = 6,
     .channels = 12,
     .context = MOST,
     .vocab = 61,
     .family = FAMILY_LLAMA,
     .kv_heads = 2,
     .head_size = 6,
     .inner = 20},
    {.layers = 3,
     .heads = 4,
     .channels = 20,
     .context = MOST,
     .vocab = 37,
     .family = FAMILY_LLAMA,
     .kv_heads = 4,
     .head_size = 8,
     .inner = 33,
     .epsilon = 1e-5,
     .theta = 500,
     .scaling = {.kind = SCALING_LLAMA3, .factor = 8, .low = 1, .high = 4, .original = 64},
     .qkv_bias = true,
     .out_bias = true,
     .mlp_bias = true,
     .untied = true},
    {.layers = 2,
     .heads = 3,
     .channels = 24,
     .context = MOST,
     .vocab = 41,
     .family = FAMILY_QWEN2,
     .kv_heads = 1,
     .inner = 30,
     .theta = 1e6,
     .scaling = {.kind = SCALING_LINEAR, .factor = 4}},
    {.layers = 2,
     .heads = 4,
     .channels = 12,
     .context = MOST,
     .vocab = 43,
     .family = FAMILY_QWEN3,
     .kv_heads = 2,
     .head_size = 16,
     .inner = 18,
     .untied = true},
};
enum { FAMILY_MODELS = sizeof FAMILIES / sizeof *FAMILIES };

/* A sequence whose first P tokens will stand in a prefix; the tokens from `first` on are scored. */
typedef struct {
    int n, P, first, scored;
    bool weighted;
    int sequence[MOST + 1];
    real weight[MOST + 1]; /* 0: not scored */
    double dlogp;
} Row;

static inline Row row_new(Rng *rng, const Model *m, int n, int P, bool weighted) {
    Row row = {.n = n,
               .P = P,
               .weighted = weighted,
               .first = P + 1 + rng_below(rng, (n - P) / 2 < 1 ? 1 : (n - P) / 2)};
    for (int i = 0; i < n; i++) {
        row.sequence[i] = rng_below(rng, m->config.vocab);
        bool dropped = i < row.first || (weighted && i < n - 1 && rng_below(rng, 5) == 0);
        row.weight[i] = dropped ? 0 : weighted ? (real)(rng_uniform(rng) * 2.5 - 0.4) : 1;
        row.scored += row.weight[i] != 0;
    }
    row.dlogp = -(0.5 + rng_uniform(rng)) /
                row.scored; /* a weight of the row, and the mean over its tokens */
    return row;
}

static inline void row_add(Batch *b, const Row *row, Prefix *prefix) {
    if (row->weighted)
        batch_row_weighted(b, row->sequence + row->P, row->n - row->P, row->weight + row->P,
                           prefix);
    else batch_row(b, row->sequence + row->P, row->n - row->P, row->first - row->P, prefix);
}

static inline void extend(const Model *m, Workspace *ws, Prefix *p, const int *tokens, int n) {
    Batch b = {0};
    batch_row_inputs(&b, tokens, n, p);
    model_extend(m, ws, &b);
    batch_free(&b);
}

/* Rows as a batch, with the prefixes that they need. */
typedef struct {
    int count;
    Batch batch;
    Prefix *prefix[ROWS];
    double dlogp[ROWS];
} Load;

static inline Load load_new(const Model *m, Workspace *ws, const Row *rows, int count) {
    Load load = {.count = count};
    for (int r = 0; r < count; r++) {
        load.dlogp[r] = rows[r].dlogp;
        if (rows[r].P > 0) {
            load.prefix[r] = prefix_new(m, rows[r].P);
            extend(m, ws, load.prefix[r], rows[r].sequence, rows[r].P);
        }
        row_add(&load.batch, &rows[r], load.prefix[r]);
    }
    return load;
}

static inline void load_free(Load *load) {
    for (int r = 0; r < load->count; r++) prefix_free(load->prefix[r]);
    batch_free(&load->batch);
}

static inline real *grad_new(const Model *m) { return mem_new(m->parameters, sizeof(real)); }

/* logp and gradient of some rows, from nothing. */
static inline void run_rows(const Model *m, const Row *rows, int count, double *logp, real *grad) {
    Workspace *ws = workspace_new();
    Load load = load_new(m, ws, rows, count);
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad, true);
    load_free(&load);
    workspace_free(ws);
}

static inline double largest(const double *x, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* Each tensor of grad against the expected one, within `bound` of the tensor's largest element. */
static inline void check_gradient(const Model *m, const real *grad, const double *expected,
                                  double bound, const char *what) {
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        double most = largest(expected + t->offset, t->size), worst = 0;
        for (size_t j = t->offset; j < t->offset + t->size; j++) {
            double error = fabs((double)grad[j] - expected[j]);
            if (!(error <= worst)) worst = error; /* NaN counts */
        }
        CHECK(worst <= bound * most, "%s: %s is off by %.3g of its largest, %.3g (%.0f u)", what,
              t->name, worst / most, most, worst / most / U);
    }
}

#endif
