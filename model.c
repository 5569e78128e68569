/* The GPT. Read it from top to bottom: parameters; the layers, each forward and backward with its formula; attention; the head
 * that turns hidden states into log-likelihoods; the block that strings them together; the passes; AdamW; files.
 *
 * In comments, d followed by a name is the derivative of the loss by that quantity. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/gemm.h"
#include "lib/threads.h"
#ifdef NAIVE
#include "tests/reference/naive.h" /* `make naive`: the fast parts hand over to their plain twins */
#endif

static const real EPSILON = (real)1e-5; /* inside layer norm's square root */

enum {
    QUERY_BLOCK = 32,       /* queries that attention handles at once */
    PARALLEL_FROM = 20000,  /* elements below which waking the threads costs more than it saves */
    VOCAB_BLOCK = 512,      /* columns of logits computed at once */
    HEAD_ROWS = 512,        /* scored tokens whose block of logits stays in the cache */
    LOGITS_BUDGET = 1 << 25 /* logits stored between forward and backward pass, in elements: at V = 50,257 some 660 rows, 128 MB */
};

/* ---- parameters: the tensor table ---- */

static void table_add(Model *m, const char *name, int rank, int rows, int columns, double std) {
    ModelTensor *t = &m->tensors[m->tensor_count++];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->rank = rank;
    t->shape[0] = rows;
    t->shape[1] = columns;
    t->size = rank == 2 ? mem_mul((size_t)rows, (size_t)columns) : (size_t)rows;
    t->offset = m->parameters;
    t->std = std;
    t->decay = rank == 2;
    m->parameters += t->size;
}

static void table_build(Model *m) {
    int C = m->config.channels, L = m->config.layers;
    double residual = 0.02 / sqrt(2.0 * L); /* outputs that add to the residual stream: keeps its variance from growing with L */
    m->tensors = mem_new((size_t)(4 + 12 * L), sizeof *m->tensors);
    table_add(m, "wte.weight", 2, m->config.vocab, C, 0.02);
    table_add(m, "wpe.weight", 2, m->config.context, C, 0.02);
    for (int l = 0; l < L; l++) {
        const struct { const char *name; int rank, rows, columns; double std; } rows[12] = {
            {"ln_1.weight", 1, C, 0, -1},
            {"ln_1.bias", 1, C, 0, 0},
            {"attn.c_attn.weight", 2, C, 3 * C, 0.02},
            {"attn.c_attn.bias", 1, 3 * C, 0, 0},
            {"attn.c_proj.weight", 2, C, C, residual},
            {"attn.c_proj.bias", 1, C, 0, 0},
            {"ln_2.weight", 1, C, 0, -1},
            {"ln_2.bias", 1, C, 0, 0},
            {"mlp.c_fc.weight", 2, C, 4 * C, 0.02},
            {"mlp.c_fc.bias", 1, 4 * C, 0, 0},
            {"mlp.c_proj.weight", 2, 4 * C, C, residual},
            {"mlp.c_proj.bias", 1, C, 0, 0},
        };
        for (int i = 0; i < 12; i++) {
            char name[48];
            snprintf(name, sizeof name, "h.%d.%s", l, rows[i].name);
            table_add(m, name, rows[i].rank, rows[i].rows, rows[i].columns, rows[i].std);
        }
    }
    table_add(m, "ln_f.weight", 1, C, 0, -1);
    table_add(m, "ln_f.bias", 1, C, 0, 0);
}

ModelView model_view(const Model *m, real *flat) {
    const ModelTensor *t = m->tensors;
    ModelView v = {.layer = mem_new((size_t)m->config.layers, sizeof *v.layer)};
    v.wte = flat + (t++)->offset;
    v.wpe = flat + (t++)->offset;
    for (int l = 0; l < m->config.layers; l++) {
        LayerView *layer = &v.layer[l];
        real **slots[12] = {&layer->ln1w, &layer->ln1b, &layer->qkvw, &layer->qkvb, &layer->outw, &layer->outb,
                            &layer->ln2w, &layer->ln2b, &layer->fcw,  &layer->fcb,  &layer->projw, &layer->projb};
        for (int i = 0; i < 12; i++) *slots[i] = flat + (t++)->offset;
    }
    v.lnfw = flat + (t++)->offset;
    v.lnfb = flat + (t++)->offset;
    return v;
}

void model_view_free(ModelView *v) {
    free(v->layer);
    v->layer = NULL;
}

Model *model_shape(ModelConfig c, Error *err) {
    const struct { const char *name; int value, most; } limits[] = {
        {"layers", c.layers, 1000}, {"heads", c.heads, 10000}, {"channels", c.channels, 100000}, {"context", c.context, 1 << 20},
        {"vocabulary", c.vocab, 1 << 24}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value < 1 || limits[i].value > limits[i].most) {
            error_set(err, STATUS_DATA, "%s is %d; it must be between 1 and %d", limits[i].name, limits[i].value,
                      limits[i].most);
            return NULL;
        }
    if (c.channels % c.heads != 0) {
        error_set(err, STATUS_DATA, "%d channels cannot be split into %d heads: make channels a multiple of heads", c.channels,
                  c.heads);
        return NULL;
    }
    Model *m = mem_new(1, sizeof *m);
    m->config = c;
    table_build(m);
    return m;
}

void model_allocate(Model *m) {
    m->w = mem_new(m->parameters, sizeof(real));
    m->view = model_view(m, m->w);
}

Model *model_new(ModelConfig c, Error *err) {
    Model *m = model_shape(c, err);
    if (m) model_allocate(m);
    return m;
}

void model_initialize(Model *m, uint64_t seed) {
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        Rng rng = rng_new(seed, (uint64_t)i); /* a stream a tensor: adding a layer changes no other tensor */
        for (size_t j = 0; j < t->size; j++)
            m->w[t->offset + j] = t->std > 0 ? (real)(t->std * rng_normal(&rng)) : t->std < 0 ? 1 : 0;
    }
}

Model *model_copy(const Model *m) {
    Error never = {0};
    Model *copy = model_new(m->config, &never);
    memcpy(copy->w, m->w, m->parameters * sizeof(real));
    return copy;
}

void model_free(Model *m) {
    if (!m) return;
    model_view_free(&m->view);
    free(m->tensors);
    free(m->w);
    free(m);
}

/* ---- where parameter gradients go ----
 * Either they are added up (into `g`), or only their inner product with a fixed direction G is wanted, per token: then `g` is G and
 * inner[n] += <contribution of token n, G>. That needs no gradient in memory: token n adds x_n^T dy_n to a matrix, and
 * <x_n^T dy_n, G> = dy_n . (x_n G). E14 is built on it. */

typedef struct {
    ModelView g;
    bool add;      /* to what stands in g; else g is overwritten */
    double *inner; /* [N], or NULL: add up */
    real *product; /* with inner: [N][the widest layer] */
    const int *token; /* which tokens the rows are, or NULL: row n is token n */
} GradientTarget;

static GradientTarget sink_of_tokens(const GradientTarget *sink, const int *token) {
    GradientTarget some = *sink;
    some.token = token;
    return some;
}

/* inner[token of row n] += dy_n . product_n, rows of the given width. */
static void sink_dot(const GradientTarget *sink, const real *dy, int N, int width) {
#pragma omp parallel for if ((long)N * width > PARALLEL_FROM)
    for (int n = 0; n < N; n++)
        sink->inner[sink->token ? sink->token[n] : n] +=
            (double)real_dot(dy + (size_t)n * width, sink->product + (size_t)n * width, width);
}

/* ---- linear layer: y = x W + b ----
 * x [N][in], W [in][out], b [out], y [N][out]
 * backward: dx = dy W^T, dW += x^T dy, db += sum over n of dy_n */

static void linear_forward(real *y, const real *x, const real *w, const real *b, int N, int in, int out) {
    gemm(N, out, in, x, (size_t)in, 1, w, (size_t)out, 1, y, (size_t)out, b, false);
}

/* y = residual + x w + b */
static void linear_onto(real *y, const real *residual, const real *x, const real *w, const real *b, int N, int in, int out) {
#pragma omp parallel for if ((long)N * out > PARALLEL_FROM)
    for (int n = 0; n < N; n++)
        for (int j = 0; j < out; j++) y[(size_t)n * out + j] = residual[(size_t)n * out + j] + b[j];
    gemm(N, out, in, x, (size_t)in, 1, w, (size_t)out, 1, y, (size_t)out, NULL, true);
}

/* dst[j] = (dst[j] +) sum over n of x[n][j]. Each column is summed by one thread, n in order. */
static void sum_columns(real *dst, const real *x, int N, int columns, bool add) {
    enum { BLOCK = 64 };
    int blocks = (columns + BLOCK - 1) / BLOCK;
#pragma omp parallel for if ((long)N * columns > PARALLEL_FROM)
    for (int block = 0; block < blocks; block++) {
        int from = block * BLOCK, width = columns - from < BLOCK ? columns - from : BLOCK;
        real sum[BLOCK] = {0};
        for (int n = 0; n < N; n++)
            for (int j = 0; j < width; j++) sum[j] += x[(size_t)n * columns + from + j];
        for (int j = 0; j < width; j++) dst[from + j] = (add ? dst[from + j] : 0) + sum[j];
    }
}

static void linear_input_gradient(real *dx, const real *dy, const real *w, int N, int in, int out) {
    gemm(N, in, out, dy, (size_t)out, 1, w, 1, (size_t)out, dx, (size_t)in, NULL, false);
}

static void linear_weight_gradient(const GradientTarget *sink, real *dw, real *db, const real *dy, const real *x, int N, int in, int out) {
    if (sink->inner) {
        linear_forward(sink->product, x, dw, db, N, in, out);
        sink_dot(sink, dy, N, out);
        return;
    }
    gemm(in, out, N, x, 1, (size_t)in, dy, (size_t)out, 1, dw, (size_t)out, NULL, sink->add);
    sum_columns(db, dy, N, out, sink->add);
}

/* ---- layer norm: y = g * h + b, h = (x - mean) * r, r = 1 / sqrt(variance + epsilon) ----
 * x, y [N][C], g, b [C], stat [N][2] = mean, r
 * backward: dh = dy * g, dx += r (dh - avg(dh) - h avg(dh * h)), dg += sum dy * h, db += sum dy */

static void layernorm_forward(real *y, real *stat, const real *x, const real *g, const real *b, int N, int C) {
#pragma omp parallel for if ((long)N * C > PARALLEL_FROM)
    for (int n = 0; n < N; n++) {
        const real *x_n = x + (size_t)n * C;
        real *y_n = y + (size_t)n * C, mean = real_sum(x_n, C) / (real)C;
        for (int c = 0; c < C; c++) y_n[c] = x_n[c] - mean;
        real r = 1 / (real)sqrt(real_dot(y_n, y_n, C) / (real)C + EPSILON);
        for (int c = 0; c < C; c++) y_n[c] = y_n[c] * r * g[c] + b[c];
        stat[2 * n] = mean;
        stat[2 * n + 1] = r;
    }
}

/* The output again from x and the saved statistics, so that it need not be kept for the backward pass. */
static void layernorm_again(real *y, const real *stat, const real *x, const real *g, const real *b, int N, int C) {
#pragma omp parallel for if ((long)N * C > PARALLEL_FROM)
    for (int n = 0; n < N; n++) {
        real mean = stat[2 * n], r = stat[2 * n + 1];
        for (int c = 0; c < C; c++) {
            size_t i = (size_t)n * C + (size_t)c;
            y[i] = (x[i] - mean) * r * g[c] + b[c];
        }
    }
}

static void layernorm_backward(const GradientTarget *sink, real *dx, real *dg, real *db, const real *dy, const real *x, const real *stat,
                               const real *g, int N, int C) {
#pragma omp parallel for if ((long)N * C > PARALLEL_FROM)
    for (int n = 0; n < N; n++) {
        const real *x_n = x + (size_t)n * C, *dy_n = dy + (size_t)n * C;
        real *dx_n = dx + (size_t)n * C, mean = stat[2 * n], r = stat[2 * n + 1];
        real dh_lane[LANES] = {0}, dhh_lane[LANES] = {0};
        for (int c = 0; c < C; c += LANES)
            for (int l = 0, width = C - c < LANES ? C - c : LANES; l < width; l++) {
                real dh = dy_n[c + l] * g[c + l], h = (x_n[c + l] - mean) * r;
                dh_lane[l] += dh;
                dhh_lane[l] += dh * h;
            }
        real dh_avg = lanes_total(dh_lane) / (real)C, dhh_avg = lanes_total(dhh_lane) / (real)C;
        for (int c = 0; c < C; c++) {
            real dh = dy_n[c] * g[c], h = (x_n[c] - mean) * r;
            dx_n[c] += r * (dh - dh_avg - h * dhh_avg);
        }
    }
    if (sink->inner) {
        layernorm_again(sink->product, stat, x, dg, db, N, C);
        sink_dot(sink, dy, N, C);
        return;
    }
    enum { BLOCK = 64 };
    int blocks = (C + BLOCK - 1) / BLOCK;
#pragma omp parallel for if ((long)N * C > PARALLEL_FROM)
    for (int block = 0; block < blocks; block++) {
        int from = block * BLOCK, width = C - from < BLOCK ? C - from : BLOCK;
        real dg_sum[BLOCK] = {0}, db_sum[BLOCK] = {0};
        for (int n = 0; n < N; n++) {
            const real *x_n = x + (size_t)n * C + from, *dy_n = dy + (size_t)n * C + from;
            for (int j = 0; j < width; j++) {
                dg_sum[j] += dy_n[j] * ((x_n[j] - stat[2 * n]) * stat[2 * n + 1]);
                db_sum[j] += dy_n[j];
            }
        }
        for (int j = 0; j < width; j++) {
            dg[from + j] = (sink->add ? dg[from + j] : 0) + dg_sum[j];
            db[from + j] = (sink->add ? db[from + j] : 0) + db_sum[j];
        }
    }
}

/* ---- gelu_new: y = x/2 (1 + t), t = tanh(u), u = s (x + a x^3), s = sqrt(2/pi), a = 0.044715 ----
 * backward: dx = dy ((1 + t)/2 + x/2 (1 - t^2) s (1 + 3 a x^2)) */

#define GELU_S ((real)0.7978845608028654)
#define GELU_A ((real)0.044715)

static void gelu_forward(real *y, const real *x, size_t count) {
#pragma omp parallel for if (count > PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) y[i] = (real)0.5 * x[i] * (1 + real_tanh(GELU_S * (x[i] + GELU_A * x[i] * x[i] * x[i])));
}

/* dy becomes dx in place, and y is computed again: one tanh serves both. */
static void gelu_backward(real *y, real *dy, const real *x, size_t count) {
#pragma omp parallel for if (count > PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) {
        real v = x[i], t = real_tanh(GELU_S * (v + GELU_A * v * v * v));
        y[i] = (real)0.5 * v * (1 + t);
        dy[i] *= (real)0.5 * (1 + t) + (real)0.5 * v * (1 - t * t) * GELU_S * (1 + 3 * GELU_A * v * v);
    }
}

/* ---- batches ---- */

static void batch_grow(Batch *b) {
    if (b->tokens > b->weight_capacity) {
        b->weight_capacity = b->tokens * 2;
        b->weight = mem_grow(b->weight, (size_t)b->weight_capacity, sizeof *b->weight);
    }
    if (b->rows > b->prefix_capacity) {
        b->prefix_capacity = b->rows * 2;
        b->prefix = mem_grow(b->prefix, (size_t)b->prefix_capacity, sizeof *b->prefix);
    }
}

static int batch_add(Batch *b, const int *inputs, int n, Prefix *prefix) {
    int at = b->tokens;
    if (b->rows == 0) {
        b->start.n = 0;
        ints_put(&b->start, 0);
    }
    ints_append(&b->token, inputs, n);
    b->tokens += n;
    b->rows++;
    ints_put(&b->start, b->tokens);
    batch_grow(b);
    b->prefix[b->rows - 1] = prefix;
    return at;
}

void batch_row_weighted(Batch *b, const int *sequence, int n, const real *weight, Prefix *prefix) {
    int at = batch_add(b, sequence, n - 1, prefix);
    for (int i = 1; i < n; i++) {
        ints_put(&b->target, weight[i] != 0 ? sequence[i] : -1);
        b->weight[at + i - 1] = weight[i];
    }
}

void batch_row(Batch *b, const int *sequence, int n, int first, Prefix *prefix) {
    int at = batch_add(b, sequence, n - 1, prefix);
    for (int i = 1; i < n; i++) {
        ints_put(&b->target, i >= first ? sequence[i] : -1);
        b->weight[at + i - 1] = i >= first;
    }
}

void batch_row_inputs(Batch *b, const int *sequence, int n, Prefix *prefix) {
    int at = batch_add(b, sequence, n, prefix);
    for (int i = 0; i < n; i++) {
        ints_put(&b->target, -1);
        b->weight[at + i] = 0;
    }
}

void batch_clear(Batch *b) { b->rows = b->tokens = b->start.n = b->token.n = b->target.n = 0; }

void batch_free(Batch *b) {
    ints_free(&b->start);
    ints_free(&b->token);
    ints_free(&b->target);
    free(b->weight);
    free(b->prefix);
    *b = (Batch){0};
}

/* ---- prefixes ---- */

Prefix *prefix_new(const Model *m, int capacity) { return prefix_after(m, NULL, capacity); }

Prefix *prefix_after(const Model *m, const Prefix *parent, int capacity) {
    Prefix *p = mem_new(1, sizeof *p);
    p->parent = parent;
    p->length = parent ? parent->length : 0;
    p->capacity = capacity;
    size_t count = mem_mul((size_t)m->config.layers * (size_t)capacity, 2 * (size_t)m->config.channels);
    p->kv = mem_grow(NULL, count, sizeof(real)); /* not zeroed: nobody reads beyond the length */
    return p;
}

/* The position at which a prefix's own ones begin. */
static int prefix_start(const Prefix *p) { return p->parent ? p->parent->length : 0; }

void prefix_truncate(Prefix *p, int length) {
    if (length < prefix_start(p)) length = prefix_start(p);
    if (length < p->length) p->length = length;
}

void prefix_free(Prefix *p) {
    if (!p) return;
    free(p->kv);
    free(p);
}

/* ---- the workspace ---- */

/* A token's softmax over its logits: the largest logit and the first column that has it, sum of exp(logit - most), the target's
 * logit. */
typedef struct { real most, total, at_target; int best; } Softmax;

/* Activations that the backward pass reads are kept for each layer; scoring keeps one layer's worth (the layer stride is 0). With
 * `recompute` only each layer's input is kept, and the backward pass runs a layer forward once more before it turns round. */
struct Workspace {
    double part_seconds[MODEL_PARTS], lap; /* where the time goes, and when the running part began */
    int tokens, threads; /* capacity */
    bool keep, recompute;
    ModelConfig config;
    char *memory;
    size_t bytes;
    int scored;     /* of the last forward: how many tokens go on behind the last layer's attention. These are the scored ones; in
                     * model_extend, where there are none, each row's last, for its logits */
    /* kept for each layer; the last one's mid, stat2, fc, and its output have rows for the scored tokens alone, the first ones: */
    real *x;    /* [L+1][N][C] residual stream before the block; the last: after all */
    real *stat1, *stat2; /* [L][N][2] of the two layer norms */
    real *qkv;  /* [L][N][3C] queries, keys, values */
    real *soft; /* [L][N][H][2] softmax: maximum and 1 / sum */
    real *att;  /* [L][N][C] attention's output, before its projection */
    real *mid;  /* [L][N][C] residual stream between attention and MLP */
    real *fc;   /* [L][N][4C] MLP before gelu */
    /* shared by all layers: */
    real *statf;   /* [N][2] of the last layer norm, at the scored tokens */
    real *normed;  /* [N][C] a layer norm's output */
    real *hidden;  /* [N][4C] gelu's output */
    real *dx, *da; /* [N][C] */
    real *dqkv;    /* [N][3C] */
    real *dhidden; /* [N][4C] */
    /* the head, over the scored tokens only: */
    int *scored_token;   /* [N] which tokens these are */
    int *first;          /* [rows] each row's first scored token, counted from its begin; its length if it has none */
    int *row;            /* [N] the row of each token */
    int *position;       /* [N] the position of each token, prefix included */
    real *h, *dh;        /* [N][C] last layer norm's output at the scored tokens */
    real *logits;        /* one block of a chunk, or all blocks of one: see lm_block */
    Softmax *softmax;    /* [N] of each scored token */
    double *term;        /* [N] weight x log p of each scored token */
    int *hit;            /* [N] is it the most probable token? */
    real *scratch;       /* [threads][scratch_size] for attention */
    size_t scratch_size;
};

static void lap_start(Workspace *ws) { ws->lap = seconds_now(); }

/* Ends the part that ran since the last lap. */
static void lap(Workspace *ws, ModelPart part) {
    double now = seconds_now();
    ws->part_seconds[part] += now - ws->lap;
    ws->lap = now;
}

Workspace *workspace_new(void) { return mem_new(1, sizeof(Workspace)); }

void workspace_free(Workspace *ws) {
    if (!ws) return;
    free(ws->memory);
    free(ws);
}

size_t workspace_bytes(const Workspace *ws) { return ws->bytes; }

void workspace_recompute(Workspace *ws, bool recompute) {
    free(ws->memory);
    *ws = (Workspace){.recompute = recompute};
}

double workspace_seconds(const Workspace *ws, ModelPart part) { return ws->part_seconds[part]; }

/* Of `scored` tokens, how many have their logits stored at once. */
static int stored_rows(const Model *m, int scored) {
    int rows = LOGITS_BUDGET / m->config.vocab;
    if (rows < QUERY_BLOCK) rows = QUERY_BLOCK;
    if (rows > scored) rows = scored;
    return rows > 0 ? rows : 1; /* also where nothing is scored: chunks are counted with it */
}

/* Elements of the logits' buffer. */
static size_t logits_size(const Model *m, int tokens, bool keep) {
    int block = m->config.vocab < VOCAB_BLOCK ? m->config.vocab : VOCAB_BLOCK, rows = tokens < HEAD_ROWS ? tokens : HEAD_ROWS;
    size_t one = mem_mul((size_t)rows, (size_t)block), stored = mem_mul((size_t)stored_rows(m, tokens), (size_t)m->config.vocab);
    return keep && stored > one ? stored : one;
}

static size_t head_scratch_size(int T, int D); /* with attention, below */

/* Makes the workspace large enough: one list of arrays, walked twice, first to add up, then to carve. */
static void workspace_fit(Workspace *ws, const Model *m, int tokens, bool keep) {
    ModelConfig c = m->config, k = ws->config;
    bool same =
        k.layers == c.layers && k.heads == c.heads && k.channels == c.channels && k.context == c.context && k.vocab == c.vocab;
    if (same && ws->tokens >= tokens && ws->keep >= keep && ws->threads >= threads_most()) return;
    if (same && ws->tokens > tokens) tokens = ws->tokens;
    if (same && ws->keep) keep = true;
    free(ws->memory);
    Workspace old = *ws;
    *ws = (Workspace){.tokens = tokens, .threads = threads_most(), .keep = keep, .recompute = old.recompute, .config = c};
    memcpy(ws->part_seconds, old.part_seconds, sizeof ws->part_seconds);
    size_t N = (size_t)tokens, C = (size_t)c.channels, H = (size_t)c.heads, R = sizeof(real);
    size_t L = keep && !ws->recompute ? (size_t)c.layers : 1;
    size_t backward = keep ? N : 0;
    ws->scratch_size = head_scratch_size(c.context, c.channels / c.heads);
    struct { void **slot; size_t count, size; } list[] = {
        {(void **)&ws->x, (keep ? (size_t)c.layers + 1 : 1) * N * C, R},
        {(void **)&ws->stat1, L * N * 2, R},
        {(void **)&ws->stat2, L * N * 2, R},
        {(void **)&ws->qkv, L * N * 3 * C, R},
        {(void **)&ws->soft, L * N * H * 2, R},
        {(void **)&ws->att, L * N * C, R},
        {(void **)&ws->mid, L * N * C, R},
        {(void **)&ws->fc, L * N * 4 * C, R},
        {(void **)&ws->statf, N * 2, R},
        {(void **)&ws->normed, N * C, R},
        {(void **)&ws->hidden, N * 4 * C, R},
        {(void **)&ws->dx, backward * C, R},
        {(void **)&ws->da, backward * C, R},
        {(void **)&ws->dqkv, backward * 3 * C, R},
        {(void **)&ws->dhidden, backward * 4 * C, R},
        {(void **)&ws->scored_token, N, sizeof(int)},
        {(void **)&ws->first, N, sizeof(int)},
        {(void **)&ws->row, N, sizeof(int)},
        {(void **)&ws->position, N, sizeof(int)},
        {(void **)&ws->h, N * C, R},
        {(void **)&ws->dh, backward * C, R},
        {(void **)&ws->logits, logits_size(m, tokens, keep), R},
        {(void **)&ws->softmax, N, sizeof(Softmax)},
        {(void **)&ws->term, N, sizeof(double)},
        {(void **)&ws->hit, N, sizeof(int)},
        {(void **)&ws->scratch, (size_t)ws->threads * ws->scratch_size, R},
    };
    enum { COUNT = sizeof list / sizeof *list };
    size_t total = 0;
    for (int i = 0; i < COUNT; i++) total += (mem_mul(list[i].count, list[i].size) + 63) / 64 * 64;
    ws->memory = mem_new(total, 1);
    ws->bytes = total;
    for (size_t i = 0, at = 0; i < COUNT; i++) {
        *list[i].slot = ws->memory + at;
        at += (list[i].count * list[i].size + 63) / 64 * 64;
    }
}

void workspace_reserve(Workspace *ws, const Model *m, int tokens) { workspace_fit(ws, m, tokens, false); }

/* ---- attention: o_i = sum over j <= i of p_ij v_j, p_i = softmax over j of q_i k_j / sqrt(D) ----
 * backward: dv_j = sum_i p_ij do_i, dp_ij = do_i v_j, ds_ij = p_ij (dp_ij - sum_j p_ij dp_ij),
 *           dq_i = sum_j ds_ij k_j / sqrt(D), dk_j = sum_i ds_ij q_i / sqrt(D)
 * One call handles one head of one row: n queries behind P cached positions, by blocks of queries; a block needs the keys up to
 * its own last position only. Key j stands at absolute position j in every reduction, and keys that a query must not see have
 * probability exactly 0 and add nothing (to finite numbers): that is why a cached prefix and a whole row give the same bits. */

typedef struct {
    int n, P, C, D;        /* own tokens, cached positions, channels, channels a head */
    int begin;             /* queries before this one, a multiple of QUERY_BLOCK, are not asked for */
    size_t soft_stride;    /* between the softmax statistics of consecutive tokens */
    const real *q, *k, *v; /* of the row's own tokens, this head: [n] rows of stride 3C */
    const Prefix *past;    /* NULL, or the cached positions: */
    int layer, channel;    /* this head's keys begin at this channel of this layer */
    bool known;            /* the keys and values of `past` stand in the scratch already: the row before had the same */
} Head;

/* A head's keys and values, gathered into scratch, padded with zeros to a multiple of TILE, and packed for the products that
 * follow: once for all blocks of queries, and the part of a prefix once for consecutive rows behind it. `room` positions fit. */
typedef struct {
    int room;
    real *k, *v, *dk, *dv;       /* [room][D]; dk, dv: backward only */
    real *packed_k, *packed_v;   /* k, v as the right side of a product: k backward, v forward */
    real *packed_kt, *packed_vt; /* their transposes: kt always, vt backward */
    real *s, *ds;                /* [QUERY_BLOCK][room] */
} HeadScratch;

enum { TILE = 16 }; /* a multiple of LANES and of a vector in every build; but for LANES only speed depends on it */

static int padded(int n) { return (n + TILE - 1) / TILE * TILE; }
static int aligned(int n) { return (n + GEMM_ALIGN - 1) / GEMM_ALIGN * GEMM_ALIGN; }

static size_t head_scratch_size(int T, int D) { /* elements */
    size_t room = (size_t)aligned(T);
    return room * (4 * (size_t)D + 4 * (size_t)aligned(D) + 2 * QUERY_BLOCK);
}

static HeadScratch head_scratch(int T, int D, real *memory) {
    HeadScratch x = {.room = aligned(T)};
    real **rows[] = {&x.k, &x.v, &x.dk, &x.dv}, **packed[] = {&x.packed_k, &x.packed_v, &x.packed_kt, &x.packed_vt};
    for (int i = 0; i < 4; i++, memory += (size_t)x.room * (size_t)D) *rows[i] = memory;
    for (int i = 0; i < 4; i++, memory += (size_t)x.room * (size_t)aligned(D)) *packed[i] = memory;
    x.s = memory;
    x.ds = memory + QUERY_BLOCK * (size_t)x.room;
    return x;
}

/* to[D] = from[D]: memcpy for the few numbers of a head, without a call. */
static inline void copy_row(real *to, const real *from, int D) {
    int d = 0;
    for (; d + LANES <= D; d += LANES) memcpy(to + d, from + d, LANES * sizeof(real));
    for (; d < D; d++) to[d] = from[d];
}

/* Keys (at = 0) or values (at = C) of all P + n positions, cached ones first, unless they are known; then zeros up to a TILE. */
static void gather_positions(real *to, const Head *a, int at, const real *own) {
    for (const Prefix *p = a->past; p && !a->known; p = p->parent) {
        const real *from = p->kv + (size_t)a->layer * (size_t)p->capacity * 2 * (size_t)a->C + (size_t)(a->channel + at);
        for (int j = prefix_start(p); j < p->length; j++, from += 2 * (size_t)a->C)
            copy_row(to + (size_t)j * a->D, from, a->D);
    }
    int all = a->P + a->n;
    for (int j = a->P; j < all; j++, own += 3 * (size_t)a->C) copy_row(to + (size_t)j * a->D, own, a->D);
    memset(to + (size_t)all * a->D, 0, (size_t)(padded(all) - all) * (size_t)a->D * sizeof(real));
}

/* The gathered [positions][D] as the right side of a product, or transposed as that: what is not packed already. */
static void pack_positions(const Head *a, const HeadScratch *x, real *packed, const real *from) {
    int first = a->known ? a->P : 0;
    gemm_pack(packed, x->room, first, 0, padded(a->P + a->n) - first, a->D, from + (size_t)first * a->D, a->D, 1);
}

static void pack_transposed(const Head *a, real *packed, const real *from) {
    int first = a->known ? a->P / GEMM_ALIGN * GEMM_ALIGN : 0;
    gemm_pack(packed, a->D, 0, first, a->D, padded(a->P + a->n) - first, from + (size_t)first * a->D, 1, a->D);
}

/* s[keys] holds q k, of which the row sees the first `seen`: turns it into exp(s scale - maximum), 0 beyond; inverse: 1 / sum. */
static void softmax_row(real *s, int seen, int keys, real scale, real *maximum, real *inverse) {
    int whole = padded(seen); /* vectors, and no rest of a row */
    for (int j = seen; j < whole; j++) s[j] = -INFINITY;
    for (int j = whole; j < keys; j++) s[j] = 0;
    *maximum = real_max(s, whole) * scale;
    *inverse = 1 / real_exp_in_place(s, scale, *maximum, whole);
}

static void head_forward(const Head *a, const HeadScratch *x, real *out, real *soft) {
    size_t C = (size_t)a->C, C3 = 3 * C, W = (size_t)x->room;
    real scale = 1 / (real)sqrt((double)a->D);
    gather_positions(x->k, a, 0, a->k);
    gather_positions(x->v, a, a->C, a->v);
    pack_transposed(a, x->packed_kt, x->k);
    pack_positions(a, x, x->packed_v, x->v);
    out += (size_t)a->begin * C;
    soft += (size_t)a->begin * a->soft_stride;
    for (int from = a->begin; from < a->n; from += QUERY_BLOCK, out += QUERY_BLOCK * C) {
        int rows = a->n - from < QUERY_BLOCK ? a->n - from : QUERY_BLOCK, keys = padded(a->P + from + rows);
        real inverse[QUERY_BLOCK];
        gemm_packed(rows, keys, a->D, a->q + (size_t)from * C3, C3, 1, x->packed_kt, a->D, x->s, W, false);
        for (int i = 0; i < rows; i++, soft += a->soft_stride) {
            softmax_row(x->s + (size_t)i * W, a->P + from + i + 1, keys, scale, &soft[0], &soft[1]);
            inverse[i] = soft[1];
        }
        gemm_packed(rows, a->D, keys, x->s, W, 1, x->packed_v, x->room, out, C, false);
        for (int i = 0; i < rows; i++)
            for (int d = 0; d < a->D; d++) out[(size_t)i * C + (size_t)d] *= inverse[i];
    }
}

/* ds of one block: on entry s holds q k, ds holds do v; on exit probabilities and ds. */
static void softmax_backward(const Head *a, const HeadScratch *x, const real *soft, int from, int rows, int keys, real scale) {
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

/* dq, dk, dv of the row's own tokens: rows of stride 3C. dout: rows of stride C. */
static void head_backward(const Head *a, const HeadScratch *x, real *dq, real *dk, real *dv, const real *dout, const real *soft) {
    size_t C = (size_t)a->C, C3 = 3 * C, D = (size_t)a->D, W = (size_t)x->room, past = (size_t)a->P * D;
    real scale = 1 / (real)sqrt((double)a->D);
    gather_positions(x->k, a, 0, a->k);
    gather_positions(x->v, a, a->C, a->v);
    pack_transposed(a, x->packed_kt, x->k);
    pack_transposed(a, x->packed_vt, x->v);
    pack_positions(a, x, x->packed_k, x->k);
    memset(x->dk, 0, W * D * sizeof(real));
    memset(x->dv, 0, W * D * sizeof(real));
    for (int j = 0; j < a->begin; j++) memset(dq + (size_t)j * C3, 0, D * sizeof(real));
    for (int from = a->begin; from < a->n; from += QUERY_BLOCK) {
        int rows = a->n - from < QUERY_BLOCK ? a->n - from : QUERY_BLOCK, keys = padded(a->P + from + rows);
        const real *q = a->q + (size_t)from * C3, *dout_from = dout + (size_t)from * C;
        gemm_packed(rows, keys, a->D, q, C3, 1, x->packed_kt, a->D, x->s, W, false);
        gemm_packed(rows, keys, a->D, dout_from, C, 1, x->packed_vt, a->D, x->ds, W, false);
        softmax_backward(a, x, soft, from, rows, keys, scale);
        gemm_packed(rows, a->D, keys, x->ds, W, 1, x->packed_k, x->room, dq + (size_t)from * C3, C3, false);
        gemm(keys, a->D, rows, x->s, 1, W, dout_from, C, 1, x->dv, D, NULL, true);
        gemm(keys, a->D, rows, x->ds, 1, W, q, C3, 1, x->dk, D, NULL, true);
    }
    for (int j = 0; j < a->n; j++) {
        copy_row(dk + (size_t)j * C3, x->dk + past + (size_t)j * D, a->D);
        copy_row(dv + (size_t)j * C3, x->dv + past + (size_t)j * D, a->D);
    }
}

/* Head h of row r, for layer l: where its queries, keys, values and past lie; `known` as above. */
static Head head_of(const Model *m, const Workspace *ws, const Batch *b, const real *qkv, int l, int r, int h, bool known) {
    size_t C = (size_t)m->config.channels;
    int D = m->config.channels / m->config.heads, first = b->start.v[r];
    const Prefix *p = b->prefix[r];
    const real *own = qkv + (size_t)first * 3 * C + (size_t)(h * D);
    return (Head){.n = b->start.v[r + 1] - first,
                  .begin = l == m->config.layers - 1 ? ws->first[r] / QUERY_BLOCK * QUERY_BLOCK : 0,
                  .P = p ? p->length : 0,
                  .C = (int)C,
                  .D = D,
                  .soft_stride = 2 * (size_t)m->config.heads,
                  .q = own,
                  .k = own + C,
                  .v = own + 2 * C,
                  .past = p,
                  .layer = l,
                  .channel = h * D,
                  .known = known};
}

/* Rows that one task handles in turn, so that those behind one prefix gather and pack it once; few enough for every thread. */
static int rows_together(const Batch *b) {
    enum { MOST = 8 };
    int share = b->rows / (4 * threads_now());
    return share < 1 ? 1 : share < MOST ? share : MOST;
}

static void attention_forward(const Model *m, Workspace *ws, const Batch *b, int l, real *out, real *soft, const real *qkv) {
#ifdef NAIVE
    naive_attention_forward(m, b, l, out, qkv);
    return;
#endif
    int H = m->config.heads, C = m->config.channels, D = C / H, together = rows_together(b);
#pragma omp parallel for schedule(dynamic, 4) if ((long)b->tokens * C > PARALLEL_FROM / 8)
    for (int task = 0; task < (b->rows + together - 1) / together * H; task++) {
        int begin = task / H * together, h = task % H;
        HeadScratch x = head_scratch(m->config.context, D, ws->scratch + (size_t)thread_number() * ws->scratch_size);
        for (int r = begin; r < b->rows && r < begin + together; r++) {
            size_t first = (size_t)b->start.v[r];
            Head a = head_of(m, ws, b, qkv, l, r, h, r > begin && b->prefix[r] == b->prefix[r - 1]);
            head_forward(&a, &x, out + first * (size_t)C + (size_t)(h * D), soft + (first * (size_t)H + (size_t)h) * 2);
        }
    }
}

static void attention_backward(const Model *m, Workspace *ws, const Batch *b, int l, real *dqkv, const real *dout,
                               const real *soft, const real *qkv) {
#ifdef NAIVE
    naive_attention_backward(m, b, l, dqkv, dout, qkv);
    return;
#endif
    int H = m->config.heads, C = m->config.channels, D = C / H;
#pragma omp parallel for schedule(dynamic, 4) if ((long)b->tokens * C > PARALLEL_FROM / 8)
    for (int task = 0; task < b->rows * H; task++) {
        int r = task / H, h = task % H;
        size_t first = (size_t)b->start.v[r];
        HeadScratch x = head_scratch(m->config.context, D, ws->scratch + (size_t)thread_number() * ws->scratch_size);
        Head a = head_of(m, ws, b, qkv, l, r, h, false);
        real *dq = dqkv + first * 3 * (size_t)C + (size_t)(h * D);
        head_backward(&a, &x, dq, dq + C, dq + 2 * (size_t)C, dout + first * (size_t)C + (size_t)(h * D),
                      soft + (first * (size_t)H + (size_t)h) * 2);
    }
}

/* ---- embeddings: x_n = wte[token_n] + wpe[position_n] ----
 * backward: dwte[token_n] += dx_n, dwpe[position_n] += dx_n. Each thread owns some channels, tokens in order. */

static void embed_forward(const Model *m, const Workspace *ws, const Batch *b, real *x) {
    int C = m->config.channels;
#pragma omp parallel for if ((long)b->tokens * C > PARALLEL_FROM)
    for (int n = 0; n < b->tokens; n++) {
        const real *te = m->view.wte + (size_t)b->token.v[n] * C, *pe = m->view.wpe + (size_t)ws->position[n] * C;
        for (int c = 0; c < C; c++) x[(size_t)n * C + c] = te[c] + pe[c];
    }
}

static void embed_backward(const Model *m, const Workspace *ws, const Batch *b, const GradientTarget *sink, const real *dx) {
    enum { BLOCK = 16 };
    const ModelView *grad = &sink->g;
    int C = m->config.channels, blocks = (C + BLOCK - 1) / BLOCK;
    if (sink->inner) {
        for (int n = 0; n < b->tokens; n++)
            for (int c = 0; c < C; c++)
                sink->product[(size_t)n * C + c] =
                    grad->wte[(size_t)b->token.v[n] * C + c] + grad->wpe[(size_t)ws->position[n] * C + c];
        sink_dot(sink, dx, b->tokens, C);
        return;
    }
#pragma omp parallel for if ((long)b->tokens * C > PARALLEL_FROM)
    for (int block = 0; block < blocks; block++) {
        int from = block * BLOCK, to = from + BLOCK < C ? from + BLOCK : C;
        for (int n = 0; n < b->tokens; n++) {
            real *te = grad->wte + (size_t)b->token.v[n] * C, *pe = grad->wpe + (size_t)ws->position[n] * C;
            const real *d = dx + (size_t)n * C;
            for (int c = from; c < to; c++) {
                te[c] += d[c];
                pe[c] += d[c];
            }
        }
    }
}

/* ---- one block: mid = x + attention(ln1(x)), x' = mid + mlp(ln2(mid)) ----
 * Behind the last layer's attention nobody reads tokens that are not scored: its other parts, and the head, have rows for the
 * scored ones alone. A row's bits do not depend on the others, and to gradients such tokens would add zeros. */

/* The slices of layer l; what is not kept for each layer is the same memory for all. */
typedef struct { real *x, *stat1, *qkv, *soft, *att, *mid, *stat2, *fc, *next; } Slices;

static Slices slices(const Workspace *ws, const Model *m, int l) {
    size_t N = (size_t)ws->tokens, C = (size_t)m->config.channels, H = (size_t)m->config.heads;
    size_t at = ws->keep ? (size_t)l : 0, i = ws->recompute ? 0 : at;
    return (Slices){.x = ws->x + at * N * C,
                    .stat1 = ws->stat1 + i * N * 2,
                    .qkv = ws->qkv + i * N * 3 * C,
                    .soft = ws->soft + i * N * H * 2,
                    .att = ws->att + i * N * C,
                    .mid = ws->mid + i * N * C,
                    .stat2 = ws->stat2 + i * N * 2,
                    .fc = ws->fc + i * N * 4 * C,
                    .next = ws->keep ? ws->x + (at + 1) * N * C : ws->x};
}

/* Appends the keys and values just computed to each row's prefix (its length moves once all layers have been through). */
static void store_keys(const Model *m, const Batch *b, int l, const real *qkv) {
    size_t C = (size_t)m->config.channels;
    for (int r = 0; r < b->rows; r++) {
        Prefix *p = b->prefix[r];
        real *to = p->kv + ((size_t)l * (size_t)p->capacity + (size_t)(p->length - prefix_start(p))) * 2 * C;
        for (int n = b->start.v[r]; n < b->start.v[r + 1]; n++, to += 2 * C)
            memcpy(to, qkv + (size_t)n * 3 * C + C, 2 * C * sizeof(real));
    }
}

/* to[i] = from[scored token i], rows of C; `to` may be `from`. */
static void pick_scored(const Workspace *ws, real *to, const real *from, int C) {
    for (int i = 0; i < ws->scored; i++)
        memmove(to + (size_t)i * C, from + (size_t)ws->scored_token[i] * C, (size_t)C * sizeof(real));
}

/* The way back, in place: x[scored token i] = x[i], and 0 at the other ones of N tokens. */
static void spread_scored(const Workspace *ws, real *x, int N, int C) {
    for (int n = N - 1, i = ws->scored - 1; n >= 0; n--) {
        bool scored = i >= 0 && ws->scored_token[i] == n;
        if (scored) memmove(x + (size_t)n * C, x + (size_t)(i--) * C, (size_t)C * sizeof(real));
        else memset(x + (size_t)n * C, 0, (size_t)C * sizeof(real));
    }
}

/* `again`: only what the backward pass reads, not the block's output. */
static void block_forward(const Model *m, Workspace *ws, const Batch *b, int l, bool extend, bool again) {
    const LayerView *w = &m->view.layer[l];
    Slices s = slices(ws, m, l);
    int N = b->tokens, C = m->config.channels;
    const real *x = s.x;
    layernorm_forward(ws->normed, s.stat1, s.x, w->ln1w, w->ln1b, N, C);
    lap(ws, PART_NORM);
    linear_forward(s.qkv, ws->normed, w->qkvw, w->qkvb, N, C, 3 * C);
    lap(ws, PART_MATMUL);
    if (extend) store_keys(m, b, l, s.qkv);
    attention_forward(m, ws, b, l, s.att, s.soft, s.qkv);
    lap(ws, PART_ATTENTION);
    if (l == m->config.layers - 1) {
        pick_scored(ws, s.att, s.att, C);
        pick_scored(ws, ws->normed, s.x, C); /* the layer norm's output has been used */
        x = ws->normed;
        N = ws->scored;
    }
    linear_onto(s.mid, x, s.att, w->outw, w->outb, N, C, C);
    lap(ws, PART_MATMUL);
    layernorm_forward(ws->normed, s.stat2, s.mid, w->ln2w, w->ln2b, N, C);
    lap(ws, PART_NORM);
    linear_forward(s.fc, ws->normed, w->fcw, w->fcb, N, C, 4 * C);
    lap(ws, PART_MATMUL);
    if (again) return;
    gelu_forward(ws->hidden, s.fc, 4 * (size_t)N * (size_t)C);
    lap(ws, PART_GELU);
    linear_onto(s.next, s.mid, ws->hidden, w->projw, w->projb, N, 4 * C, C);
    lap(ws, PART_MATMUL);
}

/* On entry ws->dx is the derivative by the block's output, on exit by its input: both residual branches add to it. */
static void block_backward(const Model *m, Workspace *ws, const Batch *b, int l, const GradientTarget *sink) {
    const LayerView *w = &m->view.layer[l], *g = &sink->g.layer[l];
    Slices s = slices(ws, m, l);
    bool last = l == m->config.layers - 1;
    int N = last ? ws->scored : b->tokens, C = m->config.channels;
    GradientTarget rows = sink_of_tokens(sink, last ? ws->scored_token : NULL);
    /* MLP; gelu's output is computed again on the way, and the projection's weights wait for it */
    linear_input_gradient(ws->dhidden, ws->dx, w->projw, N, 4 * C, C);
    lap(ws, PART_MATMUL);
    gelu_backward(ws->hidden, ws->dhidden, s.fc, 4 * (size_t)N * (size_t)C);
    lap(ws, PART_GELU);
    linear_weight_gradient(&rows, g->projw, g->projb, ws->dx, ws->hidden, N, 4 * C, C);
    lap(ws, PART_MATMUL);
    layernorm_again(ws->normed, s.stat2, s.mid, w->ln2w, w->ln2b, N, C);
    lap(ws, PART_NORM);
    linear_input_gradient(ws->da, ws->dhidden, w->fcw, N, C, 4 * C);
    linear_weight_gradient(&rows, g->fcw, g->fcb, ws->dhidden, ws->normed, N, C, 4 * C);
    lap(ws, PART_MATMUL);
    layernorm_backward(&rows, ws->dx, g->ln2w, g->ln2b, ws->da, s.mid, s.stat2, w->ln2w, N, C);
    lap(ws, PART_NORM);
    /* attention */
    linear_input_gradient(ws->da, ws->dx, w->outw, N, C, C);
    linear_weight_gradient(&rows, g->outw, g->outb, ws->dx, s.att, N, C, C);
    lap(ws, PART_MATMUL);
    if (last) {
        N = b->tokens;
        spread_scored(ws, ws->dx, N, C);
        spread_scored(ws, ws->da, N, C);
    }
    attention_backward(m, ws, b, l, ws->dqkv, ws->da, s.soft, s.qkv);
    lap(ws, PART_ATTENTION);
    layernorm_again(ws->normed, s.stat1, s.x, w->ln1w, w->ln1b, N, C);
    lap(ws, PART_NORM);
    linear_input_gradient(ws->da, ws->dqkv, w->qkvw, N, C, 3 * C);
    linear_weight_gradient(sink, g->qkvw, g->qkvb, ws->dqkv, ws->normed, N, C, 3 * C);
    lap(ws, PART_MATMUL);
    layernorm_backward(sink, ws->dx, g->ln1w, g->ln1b, ws->da, s.x, s.stat1, w->ln1w, N, C);
    lap(ws, PART_NORM);
}

/* ---- the language-model head (lm): log p(target | before) = logit_target - log sum_v exp(logit_v), logits = h wte^T ----
 * backward, with f = dlogp[row] x weight: dlogit_v = f ((v is target) - p_v), dh = dlogits wte, dwte += dlogits^T h
 * Only scored tokens have logits. They go through the vocabulary by blocks of columns, so that a block is still in the cache when
 * it is used, and the softmax runs along: its maximum and sum are kept up to date from block to block. */

/* h = ln_f(x) of the scored tokens. */
static void lm_norm(const Model *m, Workspace *ws) {
    const real *x = slices(ws, m, m->config.layers - 1).next;
    layernorm_forward(ws->h, ws->statf, x, m->view.lnfw, m->view.lnfb, ws->scored, m->config.channels);
    lap(ws, PART_NORM);
}

/* One token's softmax over the vocabulary up to the end of a block [width] that begins at column `first`. */
static void softmax_go_on(Softmax *x, const real *logit, int first, int width, int target) {
    real most = real_max(logit, width);
    if (first == 0) *x = (Softmax){.most = most, .best = -1};
    if (target >= first && target < first + width) x->at_target = logit[target - first];
    if (x->best < 0 || most > x->most) {
        int at = 0;
        while (logit[at] != most && at < width - 1) at++; /* NaN stops at the end */
        x->total *= real_exp(x->most - most);
        x->most = most;
        x->best = first + at;
    }
    x->total += real_sum_exp(logit, x->most, width);
}

/* In place: a block of logits becomes factor x (one-hot - p). */
static void softmax_gradient(const Softmax *x, real *logit, int first, int width, int target, real factor) {
    real scale = -factor / x->total;
    for (int v = 0; v < width; v++) logit[v] = real_exp(logit[v] - x->most) * scale;
    if (target >= first && target < first + width) logit[target - first] += factor;
}

/* The scored tokens from..from+rows-1, columns first..first+width-1 of their logits, into ws->logits. With `store` each block has
 * its own place there, [rows][width], one behind the other. */
static real *lm_block(const Model *m, Workspace *ws, int from, int rows, int first, int width, bool store) {
    size_t C = (size_t)m->config.channels;
    real *block = ws->logits + (store ? (size_t)first * (size_t)rows : 0);
    gemm(rows, width, (int)C, ws->h + (size_t)from * C, C, 1, m->view.wte + (size_t)first * C, 1, C, block, (size_t)width, NULL,
         false);
    lap(ws, PART_MATMUL);
    return block;
}

static int block_width(const Model *m, int first) {
    return m->config.vocab - first < VOCAB_BLOCK ? m->config.vocab - first : VOCAB_BLOCK;
}

/* Terms and hits of a chunk of scored tokens; with `store` its logits stay. */
static void lm_forward(const Model *m, Workspace *ws, const Batch *b, int from, int rows, bool store) {
    for (int first = 0; first < m->config.vocab; first += VOCAB_BLOCK) {
        int width = block_width(m, first);
        const real *block = lm_block(m, ws, from, rows, first, width, store);
#pragma omp parallel for if ((long)rows * width > PARALLEL_FROM)
        for (int i = 0; i < rows; i++)
            softmax_go_on(&ws->softmax[from + i], block + (size_t)i * width, first, width, b->target.v[ws->scored_token[from + i]]);
        lap(ws, PART_CROSS_ENTROPY);
    }
    for (int i = from; i < from + rows; i++) {
        const Softmax *x = &ws->softmax[i];
        int n = ws->scored_token[i];
        ws->term[i] = (double)b->weight[n] * ((double)(x->at_target - x->most) - log((double)x->total));
        ws->hit[i] = x->best == b->target.v[n];
    }
}

/* dwte of one block. For inner products: <dlogits^T h, G> = h . (dlogits G), and the rows of dlogits G add up over the blocks. */
static void lm_weight_gradient(const Model *m, Workspace *ws, const GradientTarget *sink, const real *block, int from, int rows, int first,
                                 int width) {
    size_t C = (size_t)m->config.channels, W = (size_t)width;
    real *g = sink->g.wte + (size_t)first * C, *h = ws->h + (size_t)from * C;
    if (sink->inner) gemm(rows, (int)C, width, block, W, 1, g, C, 1, sink->product, C, NULL, first > 0);
    else gemm(width, (int)C, rows, block, 1, W, h, C, 1, g, C, NULL, sink->add || from > 0);
}

/* dh of a chunk, and what the sink wants of dwte. The logits are where lm_forward stored them, or are computed again. */
static void lm_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, const GradientTarget *sink, int from, int rows,
                          bool stored) {
    size_t C = (size_t)m->config.channels;
    real *h = ws->h + (size_t)from * C, *dh = ws->dh + (size_t)from * C;
    for (int first = 0; first < m->config.vocab; first += VOCAB_BLOCK) {
        int width = block_width(m, first);
        real *block = stored ? ws->logits + (size_t)first * (size_t)rows : lm_block(m, ws, from, rows, first, width, false);
#pragma omp parallel for if ((long)rows * width > PARALLEL_FROM)
        for (int i = 0; i < rows; i++) {
            int n = ws->scored_token[from + i];
            real factor = (real)(dlogp[ws->row[n]] * (double)b->weight[n]);
            softmax_gradient(&ws->softmax[from + i], block + (size_t)i * width, first, width, b->target.v[n], factor);
        }
        lap(ws, PART_CROSS_ENTROPY);
        gemm(rows, (int)C, width, block, (size_t)width, 1, m->view.wte + (size_t)first * C, C, 1, dh, C, NULL, first > 0);
        lm_weight_gradient(m, ws, sink, block, from, rows, first, width);
        lap(ws, PART_MATMUL);
    }
    for (int i = 0; i < rows && sink->inner; i++)
        sink->inner[ws->scored_token[from + i]] += (double)real_dot(h + (size_t)i * C, sink->product + (size_t)i * C, (int)C);
}

/* The scored tokens by chunks: forward, backward, or (when dlogp is known beforehand) both, with the logits computed once. */
static void lm_pass(const Model *m, Workspace *ws, const Batch *b, bool forward, const double *dlogp, const GradientTarget *sink) {
#ifdef NAIVE
    if (dlogp && !sink->add) memset(sink->g.wte, 0, m->tensors[0].size * sizeof(real));
    for (int i = 0, n, C = m->config.channels; i < ws->scored; i++) {
        n = ws->scored_token[i];
        real *h = ws->h + (size_t)i * C, *dh = ws->dh + (size_t)i * C, weight = b->weight[n];
        if (forward) naive_lm_forward(m, h, b->target.v[n], weight, &ws->term[i], &ws->hit[i]);
        if (dlogp) naive_lm_backward(m, h, b->target.v[n], (real)(dlogp[ws->row[n]] * (double)weight), dh, sink->g.wte);
    }
    lap(ws, PART_CROSS_ENTROPY);
    return;
#endif
    bool store = forward && dlogp;
    int most = store ? stored_rows(m, ws->scored) : HEAD_ROWS, chunks = (ws->scored + most - 1) / most;
    for (int i = 0; i < chunks; i++) {
        int from = (int)((long)ws->scored * i / chunks), rows = (int)((long)ws->scored * (i + 1) / chunks) - from;
        if (forward) lm_forward(m, ws, b, from, rows, store);
        if (dlogp) lm_backward(m, ws, b, dlogp, sink, from, rows, store);
    }
}

static void lm_totals(const Workspace *ws, const Batch *b, double *logp, int *hits) {
    for (int r = 0; r < b->rows; r++) {
        logp[r] = 0;
        if (hits) hits[r] = 0;
    }
    for (int i = 0; i < ws->scored; i++) {
        int r = ws->row[ws->scored_token[i]];
        logp[r] += ws->term[i];
        if (hits) hits[r] += ws->hit[i];
    }
}

/* ---- the passes ---- */

/* Each token's row and position, and which tokens are scored. */
static void batch_survey(Workspace *ws, const Batch *b, bool extend) {
    ws->scored = 0;
    for (int r = 0; r < b->rows; r++) {
        int begin = b->start.v[r], end = b->start.v[r + 1], past = b->prefix[r] ? b->prefix[r]->length : 0, before = ws->scored;
        for (int n = begin; n < end; n++) {
            ws->row[n] = r;
            ws->position[n] = past + n - begin;
            if (extend ? n == end - 1 : b->target.v[n] >= 0) ws->scored_token[ws->scored++] = n;
        }
        ws->first[r] = (ws->scored > before ? ws->scored_token[before] : end) - begin;
    }
}

static void body_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, bool extend) {
    workspace_fit(ws, m, b->tokens, keep);
    batch_survey(ws, b, extend);
    lap_start(ws);
    embed_forward(m, ws, b, ws->x);
    lap(ws, PART_EMBEDDING);
    for (int l = 0; l < m->config.layers; l++) block_forward(m, ws, b, l, extend, false);
}

static void body_backward(const Model *m, Workspace *ws, const Batch *b, const GradientTarget *sink) {
    int C = m->config.channels, L = m->config.layers;
    if (!sink->add && !sink->inner) { /* the embeddings' gradients are scattered into, and the head may have had nothing to score */
        memset(sink->g.wpe, 0, (size_t)m->config.context * (size_t)C * sizeof(real));
        if (!ws->scored) memset(sink->g.wte, 0, (size_t)m->config.vocab * (size_t)C * sizeof(real));
    }
    GradientTarget scored = sink_of_tokens(sink, ws->scored_token);
    memset(ws->dx, 0, (size_t)ws->scored * (size_t)C * sizeof(real));
    layernorm_backward(&scored, ws->dx, sink->g.lnfw, sink->g.lnfb, ws->dh, slices(ws, m, L - 1).next, ws->statf, m->view.lnfw,
                       ws->scored, C);
    lap(ws, PART_NORM);
    for (int l = L - 1; l >= 0; l--) {
        if (ws->recompute && l < L - 1) block_forward(m, ws, b, l, false, true); /* the last layer's activations are still there */
        block_backward(m, ws, b, l, sink);
    }
    embed_backward(m, ws, b, sink, ws->dx);
    lap(ws, PART_EMBEDDING);
}

double batch_flops(const Model *m, const Batch *b) {
    double flops = 0;
    for (int r = 0; r < b->rows; r++) {
        int n = b->start.v[r + 1] - b->start.v[r], past = b->prefix[r] ? b->prefix[r]->length : 0, scored = 0;
        for (int i = b->start.v[r]; i < b->start.v[r + 1]; i++) scored += b->target.v[i] >= 0;
        /* behind a prefix a token sees past + (n + 1) / 2 keys on average: as in a row of n + 2 past tokens */
        flops += model_flops(m, n, n + 2.0 * past, scored);
    }
    return flops;
}

void model_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, double *logp, int *hits) {
    threads_begin(WORK_FORWARD);
    body_forward(m, ws, b, keep, false);
    lm_norm(m, ws);
    lm_pass(m, ws, b, true, NULL, NULL);
    lm_totals(ws, b, logp, hits);
    threads_end(WORK_FORWARD, batch_flops(m, b));
}

void model_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, real *grad, bool add) {
    GradientTarget sink = {.g = model_view(m, grad), .add = add};
    threads_begin(WORK_BACKWARD);
    lap_start(ws);
    lm_pass(m, ws, b, false, dlogp, &sink);
    body_backward(m, ws, b, &sink);
    threads_end(WORK_BACKWARD, 2 * batch_flops(m, b));
    model_view_free(&sink.g);
}

void model_forward_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, double *logp, real *grad,
                            bool add) {
    GradientTarget sink = {.g = model_view(m, grad), .add = add};
    threads_begin(WORK_BACKWARD);
    body_forward(m, ws, b, true, false);
    lm_norm(m, ws);
    lm_pass(m, ws, b, true, dlogp, &sink);
    lm_totals(ws, b, logp, NULL);
    body_backward(m, ws, b, &sink);
    threads_end(WORK_BACKWARD, 3 * batch_flops(m, b));
    model_view_free(&sink.g);
}

void model_gradient_dots(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, real *direction, double *dot) {
#ifdef NAIVE
    naive_gradient_dots(m, ws, b, dlogp, direction, dot);
    return;
#endif
    GradientTarget sink = {.g = model_view(m, direction),
                 .inner = mem_new((size_t)b->tokens, sizeof *sink.inner),
                 .product = mem_new((size_t)b->tokens, 4 * (size_t)m->config.channels * sizeof(real))};
    threads_begin(WORK_BACKWARD);
    lap_start(ws);
    lm_pass(m, ws, b, false, dlogp, &sink);
    body_backward(m, ws, b, &sink);
    threads_end(WORK_BACKWARD, 2 * batch_flops(m, b));
    for (int r = 0; r < b->rows; r++) {
        dot[r] = 0;
        for (int n = b->start.v[r]; n < b->start.v[r + 1]; n++) dot[r] += sink.inner[n];
    }
    free(sink.inner);
    free(sink.product);
    model_view_free(&sink.g);
}

void model_extend(const Model *m, Workspace *ws, const Batch *b) {
    threads_begin(WORK_FORWARD);
    body_forward(m, ws, b, false, true);
    threads_end(WORK_FORWARD, batch_flops(m, b));
    for (int r = 0; r < b->rows; r++) b->prefix[r]->length += b->start.v[r + 1] - b->start.v[r];
}

void model_logits(const Model *m, Workspace *ws, int row, real *logits) {
    int C = m->config.channels;
    const real *x = slices(ws, m, m->config.layers - 1).next + (size_t)row * C;
    layernorm_forward(ws->normed, ws->statf, x, m->view.lnfw, m->view.lnfb, 1, C);
    gemm(1, m->config.vocab, C, ws->normed, (size_t)C, 1, m->view.wte, 1, (size_t)C, logits, (size_t)m->config.vocab, NULL, false);
}

double model_flops(const Model *m, double tokens, double length, double scored) {
    double C = m->config.channels, L = m->config.layers, V = m->config.vocab, attention = 2 * C * (length + 1);
    /* a token: 12 C^2 weights a layer, and (length + 1) / 2 keys seen on average, each twice (scores, values); in the last layer
     * the 3 C^2 of queries, keys and values, and the rest where it is scored */
    return tokens * ((L - 1) * (24 * C * C + attention) + 6 * C * C) + scored * (18 * C * C + attention + 2 * V * C);
}

/* ---- AdamW ---- */

Optimizer *optimizer_new(const Model *m, double beta1, double beta2, double weight_decay) {
    Optimizer *o = mem_new(1, sizeof *o);
    o->m = mem_new(m->parameters, sizeof(real));
    o->v = mem_new(m->parameters, sizeof(real));
    o->beta1 = beta1;
    o->beta2 = beta2;
    o->epsilon = 1e-8;
    o->weight_decay = weight_decay;
    return o;
}

void optimizer_free(Optimizer *o) {
    if (!o) return;
    free(o->m);
    free(o->v);
    free(o);
}

double gradient_norm(const Model *m, const real *grad) {
    enum { CHUNK = 4096 };
    size_t chunks = (m->parameters + CHUNK - 1) / CHUNK;
    double *part = mem_new(chunks, sizeof *part), total = 0;
#pragma omp parallel for if (m->parameters > PARALLEL_FROM)
    for (size_t i = 0; i < chunks; i++) {
        size_t from = i * CHUNK, to = from + CHUNK < m->parameters ? from + CHUNK : m->parameters;
        double lane[LANES] = {0};
        size_t j = from;
        for (; j + LANES <= to; j += LANES)
            for (int l = 0; l < LANES; l++) lane[l] += (double)grad[j + (size_t)l] * (double)grad[j + (size_t)l];
        for (int l = 0; j < to; j++, l++) lane[l] += (double)grad[j] * (double)grad[j];
        for (int l = 0; l < LANES; l++) part[i] += lane[l];
    }
    for (size_t i = 0; i < chunks; i++) total += part[i];
    free(part);
    return sqrt(total);
}

/* What one step has for all parameters: the optimizer's settings, the corrections 1 / (1 - b^t), and the factor of the gradient. */
typedef struct { real b1, b2, rest1, rest2, correct1, correct2, eps, lr, scale; } StepFactors;

/* [E13] m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= lr ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay w);
 * decay on matrices only, and outside of the moments ("decoupled"). For n parameters; by value, so that compilers see that no store
 * changes a factor. */
static void adamw(StepFactors f, real decay, real *w, real *mean, real *square, const real *grad, size_t n) {
    for (size_t j = 0; j < n; j++) {
        real d = grad[j] * f.scale;
        mean[j] = f.b1 * mean[j] + f.rest1 * d;
        square[j] = f.b2 * square[j] + f.rest2 * d * d;
#ifdef REAL_DOUBLE
        real root = sqrt(square[j] * f.correct2);
#else
        real root = sqrtf(square[j] * f.correct2);
#endif
        w[j] -= f.lr * (mean[j] * f.correct1 / (root + f.eps) + decay * w[j]);
    }
}

void optimizer_step(Optimizer *o, Model *m, const real *grad, double scale, double learning_rate) {
    enum { CHUNK = 4096 };
    double t = (double)++o->step;
    StepFactors f = {.b1 = (real)o->beta1, .b2 = (real)o->beta2, .rest1 = (real)(1 - o->beta1), .rest2 = (real)(1 - o->beta2),
                     .correct1 = (real)(1 / (1 - pow(o->beta1, t))), .correct2 = (real)(1 / (1 - pow(o->beta2, t))),
                     .eps = (real)o->epsilon, .lr = (real)learning_rate, .scale = (real)scale};
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *tensor = &m->tensors[i];
        real decay = tensor->decay ? (real)o->weight_decay : 0;
        size_t chunks = (tensor->size + CHUNK - 1) / CHUNK;
#pragma omp parallel for if (tensor->size > PARALLEL_FROM)
        for (size_t c = 0; c < chunks; c++) {
            size_t from = c * CHUNK, n = tensor->size - from < CHUNK ? tensor->size - from : CHUNK, at = tensor->offset + from;
            adamw(f, decay, m->w + at, o->m + at, o->v + at, grad + at, n);
        }
    }
}
