/* Chapter one: the GPT. It reads from front to back: the table of parameters; the layers, each
 * with its forward and backward formula; attention; the head, which turns hidden states into
 * log-likelihoods; the block; the passes; AdamW. This is the forward pass:
 *
 *       tokens [N]     the rows of a batch follow each other: N tokens in all
 *          |
 *       embed          x = wte[token] + wpe[position]
 *          |
 *     x [N][C]  -------------+
 *          |                 |
 *        norm ln1            |
 *          |                 |
 *       linear qkv           |          the block, L times:
 *          |                 |
 *     q, k, v [N][3 C]       |          x is the residual stream: C numbers for each token.
 *          |                 |          Attention lets a token read itself and those before it.
 *      attention  <--- keys and values  The MLP works on each token alone. Both add their
 *          |           of a prefix      result to the stream, so the derivative has
 *       linear out           |          a straight way back.
 *          |                 |
 *          + <---------------+
 *          |
 *    mid [N][C] -------------+
 *          |                 |
 *        norm ln2            |
 *          |                 |
 *       linear fc            |
 *          |                 |
 *     fc [N][F]              |
 *          |                 |
 *         gelu               |
 *          |                 |
 *       linear proj          |
 *          |                 |
 *          + <---------------+
 *          |
 *     x' [N][C]              after the last block only the tokens that are scored continue
 *          |
 *        norm lnf
 *          |
 *     h [scored][C]
 *          |
 *        head           logits = h wte^T, log p = logit of the target - log sum exp(logits)
 *          |
 *     logp [rows]       the sum over each row's scored tokens
 *
 * The backward pass is the same picture from bottom to top. It starts with d loss / d logp of
 * each row. In comments and code, d followed by a name is the derivative of the loss by that
 * quantity. So dx has the shape of x. In functions of layers, f is the layer's parameters and df
 * their gradient.
 *
 * The letters are those of model.h: N tokens, C channels, H heads, D = C / H, F = 4 C, T context,
 * V vocabulary, L layers. In the argument lists, what a function writes comes first, then what it
 * reads, then the parameters, then sizes.
 *
 * Four things have a faster twin in lib/fast/: attention, the head, inner products, and tokens
 * that end early. This chapter has the plain text of each, and PLAIN decides which one it calls. A
 * first reader can skip lib/fast/, but for rows.h (batches) and workspace.h (memory). */
#include "model.h"

#include <string.h>

#include "lib/fast/sums.h"
#include "lib/gemm.h"
#include "lib/threads.h"

/* `make naive` runs the chapter alone. The normal build takes the fast twins of attention, head,
 * tokens that end early, and inner products. */
#ifdef NAIVE
enum { PLAIN = 1 };
#else
enum { PLAIN = 0 };
#endif

/* ---- parameters ----
 * All parameters are in one flat buffer. Of GPT-2 and of Llama:
 *
 *     wte | wpe | layer 0: ln1.g ln1.b qkv.w qkv.b ... proj.b | layer 1: ... | lnf.g lnf.b
 *     wte | layer 0: ln1.g q.w k.w v.w out.w ln2.g gate.w up.w proj.w | layer 1: ... | lnf.g | head
 *
 * Gradients and the optimizer's means have the same layout. So AdamW, the norm of a gradient,
 * and copies are loops over one array, and know nothing of layers. Tensors that follow each other
 * there are one matrix as well: q.w k.w v.w are the rows of one, whose product with x gives
 * queries, keys and values at once. So are gate.w up.w.
 *
 * lib/table.c lists the tensors, with names and shapes. SLOT says where in ModelView or Layer the
 * pointer to each is, as an offset in bytes. To add a tensor, add a role and a row there, a member
 * in model.h, and a slot here. */

/* GPT-2 is one kind; the other families are variants of Llama. */
static bool is_gpt2(const Model *m) { return m->config.family == FAMILY_GPT2; }

#define AT_TOP(member) offsetof(ModelView, member)
#define IN_LAYER(member) offsetof(Layer, member)
#define NO_SLOT SIZE_MAX /* it belongs to the tensor before it */

static const size_t SLOT[ROLE_COUNT] = {
    [ROLE_WTE] = AT_TOP(wte),
    [ROLE_WPE] = AT_TOP(wpe),
    [ROLE_LN1_G] = IN_LAYER(ln1.g),
    [ROLE_LN1_B] = IN_LAYER(ln1.b),
    [ROLE_QKV_W] = IN_LAYER(qkv.w),
    [ROLE_Q_W] = IN_LAYER(qkv.w),
    [ROLE_K_W] = NO_SLOT,
    [ROLE_V_W] = NO_SLOT,
    [ROLE_QKV_B] = IN_LAYER(qkv.b),
    [ROLE_Q_B] = IN_LAYER(qkv.b),
    [ROLE_K_B] = NO_SLOT,
    [ROLE_V_B] = NO_SLOT,
    [ROLE_QN_G] = IN_LAYER(qn.g),
    [ROLE_KN_G] = IN_LAYER(kn.g),
    [ROLE_OUT_W] = IN_LAYER(out.w),
    [ROLE_OUT_B] = IN_LAYER(out.b),
    [ROLE_LN2_G] = IN_LAYER(ln2.g),
    [ROLE_LN2_B] = IN_LAYER(ln2.b),
    [ROLE_FC_W] = IN_LAYER(fc.w),
    [ROLE_GATE_W] = IN_LAYER(fc.w),
    [ROLE_UP_W] = NO_SLOT,
    [ROLE_FC_B] = IN_LAYER(fc.b),
    [ROLE_GATE_B] = IN_LAYER(fc.b),
    [ROLE_UP_B] = NO_SLOT,
    [ROLE_PROJ_W] = IN_LAYER(proj.w),
    [ROLE_PROJ_B] = IN_LAYER(proj.b),
    [ROLE_LNF_G] = AT_TOP(lnf.g),
    [ROLE_LNF_B] = AT_TOP(lnf.b),
    [ROLE_HEAD_W] = AT_TOP(head),
};

static Linear linear_of(const Model *m, int in, int out) {
    size_t row = (size_t)(is_gpt2(m) ? out : in);
    return (Linear){
        .in = in, .out = out, .step_in = is_gpt2(m) ? row : 1, .step_out = is_gpt2(m) ? 1 : row};
}

static Norm norm_of(const Model *m, int channels, int groups, int stride) {
    return (Norm){.channels = channels,
                  .groups = groups,
                  .stride = (size_t)stride,
                  .epsilon = (real)m->config.epsilon};
}

/* The adapter of a role's matrix, and which of the layer's outputs it changes. Queries, keys and
 * values are outputs of one product, gate and up of another. */
static Adapter *adapter_of(const Model *m, Layer *f, TensorRole role, int *from) {
    const LayerShape *s = &m->shape;
    *from = role == ROLE_K_W    ? s->queries
            : role == ROLE_V_W  ? s->queries + s->keys
            : role == ROLE_UP_W ? s->inner
                                : 0;
    switch (role) {
    case ROLE_K_W: return &f->qkv.adapter[1];
    case ROLE_V_W: return &f->qkv.adapter[2];
    case ROLE_OUT_W: return &f->out.adapter[0];
    case ROLE_FC_W:
    case ROLE_GATE_W: return &f->fc.adapter[0];
    case ROLE_UP_W: return &f->fc.adapter[1];
    case ROLE_PROJ_W: return &f->proj.adapter[0];
    default: return &f->qkv.adapter[0];
    }
}

/* Sets the pointer of a tensor of m in its slot of the view. That of a matrix in bfloat16 is in the
 * next one. */
static void view_set(const Model *m, ModelView *v, const ModelTensor *t, real *flat) {
    const uint16_t *half = m->half && tensor_is_half(t) ? m->half + t->offset : NULL;
    real *pointer = half ? NULL : flat + t->offset;
    char *owner = t->layer < 0 ? (char *)v : (char *)&v->layer[t->layer];
    if (t->adapter) {
        int from;
        Adapter *f = adapter_of(m, &v->layer[t->layer], t->role, &from);
        f->rank = m->lora.rank, f->scale = (real)lora_scale(&m->lora), f->from = from;
        if (t->adapter == 'A') f->a = pointer;
        else f->b = pointer, f->out = t->shape[0];
    } else if (SLOT[t->role] != NO_SLOT) {
        memcpy(owner + SLOT[t->role], &pointer, sizeof pointer);
        if (half) memcpy(owner + SLOT[t->role] + sizeof pointer, &half, sizeof half);
    }
}

ModelView model_view(const Model *m, real *flat) {
    LayerShape s = m->shape;
    int C = s.channels, D = s.head_size;
    ModelView v = {.layer = mem_new((size_t)m->config.layers, sizeof *v.layer)};
    /* Set each layer's sizes. */
    v.lnf = norm_of(m, C, 1, C);
    for (int l = 0; l < m->config.layers; l++)
        v.layer[l] = (Layer){.ln1 = norm_of(m, C, 1, C),
                             .qkv = linear_of(m, C, s.qkv),
                             .qn = norm_of(m, D, s.heads, s.qkv),
                             .kn = norm_of(m, D, s.kv_heads, s.qkv),
                             .out = linear_of(m, s.queries, C),
                             .ln2 = norm_of(m, C, 1, C),
                             .fc = linear_of(m, C, s.fc),
                             .proj = linear_of(m, s.inner, C)};
    for (int i = 0; i < m->tensor_count; i++) view_set(m, &v, &m->tensors[i], flat);
    if (!v.head && !v.head_half) v.head = v.wte, v.head_half = v.wte_half;
    return v;
}

void model_view_free(ModelView *v) {
    free(v->layer);
    v->layer = NULL;
}

/* ---- models ---- */

Model *model_shape(ModelConfig c, Error *err) {
    if (!config_complete(&c, err)) return NULL;
    Model *m = mem_new(1, sizeof *m);
    m->config = c;
    m->shape = layer_shape(&c);
    m->tensors = table_make(&c, NULL, &m->tensor_count, &m->parameters);
    return m;
}

void model_allocate(Model *m) {
    m->w = mem_new(m->parameters, sizeof(real));
    m->view = model_view(m, m->w);
    for (int i = 0; m->base && i < m->base->tensor_count; i++) {
        const ModelTensor *t = &m->base->tensors[i];
        view_set(m->base, &m->view, t, m->base->w);
    }
    if (m->base) m->view.head = m->base->view.head, m->view.head_half = m->base->view.head_half;
}

void model_allocate_frozen(Model *m) {
    size_t reals = PLAIN ? m->parameters : table_split(m->tensors, m->tensor_count, &m->halves);
    if (!PLAIN) m->half = mem_new(m->halves, sizeof *m->half);
    m->w = mem_new(reals, sizeof(real));
    m->view = model_view(m, m->w);
}

Model *model_lora(const Model *base, LoraConfig config, Error *err) {
    if (!lora_check(&config, err)) return NULL;
    Model *m = mem_new(1, sizeof *m);
    *m = (Model){.config = base->config, .shape = base->shape, .base = base, .lora = config};
    m->shape.low = config.rank;
    m->tensors = table_make(&m->config, &config, &m->tensor_count, &m->parameters);
    model_allocate(m);
    if (m->tensor_count > 0) return m;
    model_free(m);
    error_set(err, STATUS_DATA, "the adapters have no target; name a linear layer of %s",
              family_name(base->config.family));
    return NULL;
}

/* w_ij += s sum over r of B_jr A_ri, for input i and output j */
void model_merge(const Model *m, Model *into) {
    for (int i = 0; i < m->tensor_count; i += 2) {
        const ModelTensor *a = &m->tensors[i], *b = &m->tensors[i + 1];
        int from, in = a->shape[1], out = b->shape[0];
        const ModelTensor *w = into->tensors;
        while (w->role != a->role || w->layer != a->layer) w++;
        Layer *f = &m->view.layer[a->layer];
        Adapter *x = adapter_of(m, f, a->role, &from);
        size_t step_in = is_gpt2(m) ? (size_t)out : 1, step_out = is_gpt2(m) ? 1 : (size_t)in;
#pragma omp parallel for if ((long)in * out > PARALLEL_FROM)
        for (int o = 0; o < out; o++)
            for (int c = 0; c < in; c++) {
                double sum = 0;
                for (int r = 0; r < x->rank; r++)
                    sum += (double)x->b[o * x->rank + r] * (double)x->a[r * in + c];
                real *to = into->w + w->offset + (size_t)o * step_out + (size_t)c * step_in;
                *to = (real)((double)*to + lora_scale(&m->lora) * sum);
            }
    }
}

Model *model_new(ModelConfig c, Error *err) {
    Model *m = model_shape(c, err);
    if (m) model_allocate(m);
    return m;
}

/* Each tensor has its own random stream, so that another layer changes no tensor before it. */
void model_initialize(Model *m, uint64_t seed) {
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        Rng rng = rng_new(seed, (uint64_t)i);
        for (size_t j = 0; j < t->size; j++)
            m->w[t->offset + j] = (real)(t->std > 0     ? t->std * rng_normal(&rng)
                                         : t->bound > 0 ? t->bound * (2 * rng_uniform(&rng) - 1)
                                                        : t->constant);
    }
}

Model *model_copy(const Model *m) {
    Error never = {0}; /* the shape has passed these checks before */
    Model *copy = m->base ? model_lora(m->base, m->lora, &never) : model_new(m->config, &never);
    memcpy(copy->w, m->w, m->parameters * sizeof(real));
    return copy;
}

void model_free(Model *m) {
    if (!m) return;
    model_view_free(&m->view);
    free(m->tensors);
    free(m->w);
    free(m->half);
    free(m);
}

Prefix *prefix_new(const Model *m, int capacity) { return prefix_after(m, NULL, capacity); }

Prefix *prefix_after(const Model *m, const Prefix *parent, int capacity) {
    return prefix_make(m->config.layers, 2 * m->shape.keys, parent, capacity);
}

/* ---- layers ----
 * A layer is a forward function and its backward. Forward computes y from x and the layer's
 * parameters. Backward gets dy and applies the chain rule, which leaves two things: dx, the dy of
 * the layer below, and the gradient of the parameters.
 *
 * Where a gradient goes is said by a GradientTarget. Plainly, it is written to df, or with `add`
 * added to it. If `inner` is set, df holds a direction instead, and only the gradient's inner
 * product with it is wanted (E14). Each layer leaves that case to lib/fast/inner.h in one line,
 * which a first reader can skip.
 *
 * Every element is computed by one thread, and every sum has one order. So results have the same
 * bits for any number of threads. */

/* ---- [linear] y = x w + b ----
 * x [N][in], b [out] or none, y [N][out], w [in][out] in GPT-2, [out][in] in the others
 * backward: dx = dy w^T, dw += x^T dy, db += sum over n of dy_n
 * Element by element: y_nj = b_j + sum over i of x_ni w_ij. So x_ni reaches the loss through every
 * y_nj, with the factor w_ij, and w_ij reaches it through every token n, with the factor x_ni.
 *
 * One function computes all products (lib/gemm.h): gemm(m, n, k, A, strides of A, B, strides of B,
 * C, row stride of C, bias, add) is C[m][n] = A[m][k] B[k][n], plus the bias, or added to C. The
 * two strides are the steps to the next row and to the next column. Swapping them transposes.
 * sum_columns and its like (lib/fast/sums.h) are the sums over n, in a fixed order. Adapters add to
 * y and to dx (lib/lora.h); low is their scratch. */

static void linear_forward(real *y, const real *x, const Linear *f, int N, real *low) {
    size_t in = (size_t)f->in, out = (size_t)f->out;
    gemm_frozen(N, f->out, f->in, x, in, 1, f->w, f->half, f->step_in, f->step_out, y, out, f->b,
                false);
    for (int i = 0; i < ADAPTERS; i++)
        if (f->adapter[i].a) adapter_forward(y, f->out, x, &f->adapter[i], f->in, N, low);
}

/* y = residual + x w + b, for the two products that add to the residual stream. */
static void linear_onto(real *y, const real *residual, const real *x, const Linear *f, int N,
                        real *low) {
    size_t in = (size_t)f->in, out = (size_t)f->out;
#pragma omp parallel for if ((long)N * f->out > PARALLEL_FROM)
    for (int n = 0; n < N; n++)
        for (size_t j = 0; j < out; j++)
            y[(size_t)n * out + j] = residual[(size_t)n * out + j] + (f->b ? f->b[j] : 0);
    gemm_frozen(N, f->out, f->in, x, in, 1, f->w, f->half, f->step_in, f->step_out, y, out, NULL,
                true);
    for (int i = 0; i < ADAPTERS; i++)
        if (f->adapter[i].a) adapter_forward(y, f->out, x, &f->adapter[i], f->in, N, low);
}

static void linear_input_gradient(real *dx, const real *dy, const Linear *f, int N, real *low) {
    size_t in = (size_t)f->in, out = (size_t)f->out;
    gemm_frozen(N, f->in, f->out, dy, out, 1, f->w, f->half, f->step_out, f->step_in, dx, in, NULL,
                false);
    for (int i = 0; i < ADAPTERS; i++)
        if (f->adapter[i].a) adapter_input_gradient(dx, dy, f->out, &f->adapter[i], f->in, N, low);
}

/* df->w is NULL if only adapters are trained. */
static void linear_weight_gradient(const GradientTarget *to, const Linear *df, const real *dy,
                                   const real *x, const Linear *f, int N, real *low) {
    size_t in = (size_t)f->in, out = (size_t)f->out;
    for (int i = 0; i < ADAPTERS; i++) {
        const Adapter *a = &f->adapter[i], *da = &df->adapter[i];
        if (!a->a) continue;
        if (to->inner) inner_adapter(to, da, dy, f->out, x, a, f->in, N, low);
        else adapter_weight_gradient(da, dy, f->out, x, a, f->in, N, to->add, low);
    }
    if (!df->w) return;
    if (to->inner) {
        inner_linear(to, df->w, f->step_in, f->step_out, df->b, dy, out, x, N, f->in, f->out);
        return;
    }
    if (f->step_out == 1) gemm(f->in, f->out, N, x, 1, in, dy, out, 1, df->w, out, NULL, to->add);
    else gemm(f->out, f->in, N, dy, 1, out, x, in, 1, df->w, in, NULL, to->add);
    if (df->b) sum_columns(df->b, dy, N, f->out, to->add);
}

/* ---- [norm] y = g * h + b, h = (x - mean) * r, r = 1 / sqrt(variance + epsilon) ----
 * and RMS norm, which has no mean and no b. lib/layers.h has the forward and backward formulas,
 * and norm_forward, norm_again and norm_input_gradient. Here is where the gradients of g and b
 * go. */

static void norm_backward(const GradientTarget *to, real *dx, const Norm *df, const real *dy,
                          const real *x, const real *stat, const Norm *f, int N) {
    norm_input_gradient(dx, dy, x, stat, f, N);
    if (!df->g) return; /* only adapters are trained */
    if (to->inner) inner_norm(to, df, dy, x, stat, N);
    else sum_norm(df, dy, x, stat, N, to->add);
}

/* ---- [gelu] y = x/2 (1 + tanh(s (x + a x^3))), and [swiglu] y = gate / (1 + exp(-gate)) up ----
 * The MLP's activation: GPT-2's, and that of the others. lib/layers.h has the formulas. In the
 * backward pass y holds dy on entry, and on exit the output once more, because the gradient of the
 * product that follows reads it. */

static void act_forward(real *y, const real *x, const Model *m, int N) {
    if (is_gpt2(m)) gelu_forward(y, x, (size_t)N * (size_t)m->shape.inner);
    else swiglu_forward(y, x, N, m->shape.inner);
}

static void act_backward(real *y, real *dx, const real *x, const Model *m, int N) {
    if (is_gpt2(m)) gelu_backward(y, dx, x, (size_t)N * (size_t)m->shape.inner);
    else swiglu_backward(y, dx, x, N, m->shape.inner);
}

/* ---- [embedding] x_n = wte[token_n] + wpe[position_n] ----
 * backward: dwte[token_n] += dx_n, dwpe[position_n] += dx_n
 * With rotary positions there is no wpe. If the head is tied, wte is its matrix too, and the
 * gradient has two parts. */

static void embed_forward(real *x, const ModelView *f, const Batch *b, const RowMap *map, int C) {
#pragma omp parallel for if ((long)b->tokens * C > PARALLEL_FROM)
    for (int n = 0; n < b->tokens; n++) {
        real *x_n = x + (size_t)n * (size_t)C;
        const real *pe = f->wpe ? f->wpe + (size_t)map->position[n] * (size_t)C : NULL;
        real_copy(x_n, f->wte, f->wte_half, (size_t)b->token.v[n] * (size_t)C, (size_t)C);
        for (int c = 0; pe && c < C; c++) x_n[c] += pe[c];
    }
}

/* Always adds: the head has written its part of dwte, and body_backward has cleared the rest. */
static void embed_backward(const GradientTarget *to, const ModelView *df, const real *dx,
                           const Batch *b, const RowMap *map, int C) {
    const int *token = b->token.v, *position = map->position;
    if (!df->wte) return; /* only adapters are trained */
    if (to->inner) inner_embed(to, df->wte, df->wpe, dx, token, position, b->tokens, C);
    else sum_embeddings(df->wte, df->wpe, dx, token, position, b->tokens, C);
}

/* ---- [rotary] the heads of queries and keys turn by the angle position x frequency ----
 * Where there are no learned positions. Qwen3 first normalizes each head of queries and keys, with
 * one gain for all heads (`qn` and `kn`). lib/layers.h has the formulas of both.
 *
 * heads_forward returns what attention reads. The norms' backward pass reads their input, so qkv
 * stays then, and all layers share ws->heads. Otherwise qkv itself turns. */

static Rotary rotary_of(const Model *m) {
    return (Rotary){m->shape.head_size, m->config.theta, m->config.scaling};
}

static real *heads_forward(const Model *m, Workspace *ws, const Layer *f, real *qkv, int N) {
    Rotary rotary = rotary_of(m);
    int H = m->shape.heads, K = m->shape.kv_heads;
    size_t row = (size_t)m->shape.qkv, Q = (size_t)m->shape.queries, keys = (size_t)m->shape.keys;
    if (f->qn.g) {
        norm_forward(ws->heads, ws->stath, qkv, &f->qn, N);
        norm_forward(ws->heads + Q, ws->stath + 2 * N * H, qkv + Q, &f->kn, N);
        for (size_t n = 0, v = Q + keys; n < (size_t)N; n++, v += row)
            memcpy(ws->heads + v, qkv + v, keys * sizeof *qkv);
        qkv = ws->heads;
    }
    if (!is_gpt2(m)) rotary_turn(qkv, ws->turn, N, &rotary, H + K, row, false);
    return qkv;
}

/* On entry dqkv is the derivative by what attention read, on exit by qkv. ws->heads, which
 * attention has read, holds dy of the norms. */
static void heads_backward(const Model *m, Workspace *ws, const GradientTarget *to, const Layer *d,
                           const Layer *f, const real *qkv, int N) {
    Rotary rotary = rotary_of(m);
    int H = m->shape.heads, K = m->shape.kv_heads;
    size_t row = (size_t)m->shape.qkv, Q = (size_t)m->shape.queries, keys = (size_t)m->shape.keys;
    if (!is_gpt2(m)) rotary_turn(ws->dqkv, ws->turn, N, &rotary, H + K, row, true);
    if (!f->qn.g) return;
    memcpy(ws->heads, ws->dqkv, (size_t)N * row * sizeof *qkv);
    for (size_t n = 0; n < (size_t)N; n++) memset(ws->dqkv + n * row, 0, (Q + keys) * sizeof *qkv);
    norm_backward(to, ws->dqkv, &d->qn, ws->heads, qkv, ws->stath, &f->qn, N);
    norm_backward(to, ws->dqkv + Q, &d->kn, ws->heads + Q, qkv + Q, ws->stath + 2 * N * H, &f->kn,
                  N);
}

/* ---- [attention] o_i = sum over j <= i of p_ij v_j, p_i = softmax over j of s_ij ----
 * s_ij = q_i . k_j / sqrt(D)
 * Token i asks with its query q_i. Each token j up to i answers with its key k_j. The better the
 * two fit, the more of j's value v_j goes into i's output. softmax makes the weights p_ij of a
 * token positive with sum 1: p_ij = exp(s_ij) / sum over k <= i of exp(s_ik).
 *
 * Each head does this with its own D channels of the queries, keys and values. There may be fewer
 * heads of keys and values than of queries: then H / K heads of queries that follow each other read
 * the same one, and dk and dv sum over them. Positions j count from the start of the sequence. The
 * first `past` of them are cached in the row's prefix. The others are the row's own tokens.
 *
 * backward: dv_j += p_ij do_i, dp_ij = do_i . v_j,
 *           ds_ij = p_ij (dp_ij - sum over k <= i of p_ik dp_ik),
 *           dq_i += ds_ij k_j / sqrt(D), dk_j += ds_ij q_i / sqrt(D)
 * The sum is there because the p_ij of a token compete: to raise one is to lower the others.
 *
 * Fast twins: lib/fast/attention.c. */

/* One head of one row. */
typedef struct {
    int past, own, D; /* cached positions, own tokens, channels of a head */
    const Prefix *prefix;
    int layer;
    size_t q, k;     /* the head's first channel among the queries, and among the keys */
    size_t Q, keys;  /* numbers of a token: queries, and keys */
    size_t row;      /* from a token in qkv to the next: Q + 2 keys */
    const real *qkv; /* the row's first own token */
} PlainHead;

static PlainHead plain_head(const Attention *a, int row, int head, const real *qkv) {
    const Batch *b = a->batch;
    size_t D = (size_t)a->head_size;
    PlainHead x = {.D = a->head_size, .layer = a->layer};
    x.q = (size_t)head * D, x.k = (size_t)(head / (a->heads / a->kv_heads)) * D;
    x.Q = (size_t)a->heads * D, x.keys = (size_t)a->kv_heads * D, x.row = x.Q + 2 * x.keys;
    x.past = batch_past(b, row), x.own = batch_length(b, row), x.prefix = b->prefix[row];
    x.qkv = qkv + (size_t)b->start.v[row] * x.row;
    return x;
}

/* The query of own token i; the key and the value of position j. Each has D numbers. */
static const real *query_of(const PlainHead *a, int i) {
    return a->qkv + (size_t)i * a->row + a->q;
}

static const real *key_of(const PlainHead *a, int j) {
    if (j < a->past) return prefix_find(a->prefix, a->layer, j) + a->k;
    return a->qkv + (size_t)(j - a->past) * a->row + a->Q + a->k;
}

static const real *value_of(const PlainHead *a, int j) { return key_of(a, j) + a->keys; }

static real plain_dot(const real *x, const real *y, int n) {
    real sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* x[n] becomes exp(x_i) / sum of exp. All are shifted by their maximum, which cancels, so that
 * none overflows. */
static void plain_softmax(real *x, int n) {
    real most = x[0], total = 0;
    for (int i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++) total += x[i] = (real)exp((double)(x[i] - most));
    for (int i = 0; i < n; i++) x[i] /= total;
}

/* p[past + i + 1]: how much own token i reads from each position up to its own. */
static void probabilities(const PlainHead *a, int i, real *p) {
    int seen = a->past + i + 1;
    for (int j = 0; j < seen; j++)
        p[j] = plain_dot(query_of(a, i), key_of(a, j), a->D) / (real)sqrt((double)a->D);
    plain_softmax(p, seen);
}

void attention_forward_plain(const Attention *at, real *out, const real *qkv) {
    const Batch *b = at->batch;
    real *p = mem_new((size_t)at->context, sizeof *p);
    for (int r = 0; r < b->rows; r++)
        for (int h = 0; h < at->heads; h++) {
            PlainHead a = plain_head(at, r, h, qkv);
            for (int i = 0; i < a.own; i++) {
                real *o = out + (size_t)(b->start.v[r] + i) * a.Q + a.q;
                probabilities(&a, i, p);
                memset(o, 0, (size_t)a.D * sizeof *o);
                for (int j = 0; j <= a.past + i; j++)
                    for (int d = 0; d < a.D; d++) o[d] += p[j] * value_of(&a, j)[d];
            }
        }
    free(p);
}

/* Adds own token i's part to the derivatives of its row. dqkv is the row's first number. dout is
 * do_i. p is scratch for p_i and dp_i. A prefix is a constant: nothing is added
 * there. */
static void query_backward(const PlainHead *a, int i, real *dqkv, const real *dout, real *p) {
    int seen = a->past + i + 1;
    real *dp = p + seen, *dq = dqkv + (size_t)i * a->row + a->q, average = 0,
         scale = 1 / (real)sqrt((double)a->D);
    probabilities(a, i, p);
    for (int j = 0; j < seen; j++) dp[j] = plain_dot(dout, value_of(a, j), a->D);
    for (int j = 0; j < seen; j++) average += p[j] * dp[j];
    for (int j = 0; j < seen; j++) {
        real ds = p[j] * (dp[j] - average) * scale; /* the formula's ds_ij / sqrt(D) */
        for (int d = 0; d < a->D; d++) dq[d] += ds * key_of(a, j)[d];
        if (j < a->past) continue;
        real *dk = dqkv + (size_t)(j - a->past) * a->row + a->Q + a->k, *dv = dk + a->keys;
        for (int d = 0; d < a->D; d++) {
            dk[d] += ds * query_of(a, i)[d];
            dv[d] += p[j] * dout[d];
        }
    }
}

void attention_backward_plain(const Attention *at, real *dqkv, const real *dout, const real *qkv) {
    const Batch *b = at->batch;
    size_t row = (size_t)((at->heads + 2 * at->kv_heads) * at->head_size);
    real *p = mem_new(2 * (size_t)at->context, sizeof *p);
    memset(dqkv, 0, (size_t)b->tokens * row * sizeof *dqkv);
    for (int r = 0; r < b->rows; r++)
        for (int h = 0; h < at->heads; h++) {
            PlainHead a = plain_head(at, r, h, qkv);
            size_t first = (size_t)b->start.v[r];
            for (int i = 0; i < a.own; i++)
                query_backward(&a, i, dqkv + first * row, dout + (first + (size_t)i) * a.Q + a.q,
                               p);
        }
    free(p);
}

/* ---- [head] logit_v = h . w_v, log p(target) = logit_target - log sum of exp(logit_v) ----
 * h is a token's hidden state: its output of the last norm. The next token is likely to be v
 * if w_v, its row of the head's matrix, points where h points. The largest logit is subtracted from
 * all before exp, which changes no probability and keeps exp from overflowing.
 *
 * backward, with p = softmax of the logits and factor = dlogp[row] x weight of the token:
 *           dlogit_v = factor ((v is target) - p_v), dh = sum over v of dlogit_v w_v,
 *           dw_v += dlogit_v h
 * The larger the probability of the target already is, the less its logit is pushed.
 *
 * Fast twin: lib/fast/logits.c. */

/* logit[V] of one hidden state h[C]. */
static void plain_logits(const Logits *x, const real *h, real *logit) {
    for (int v = 0; v < x->V; v++) logit[v] = plain_dot(h, x->w + (size_t)v * (size_t)x->C, x->C);
}

/* term = weight x log p(target). hit: is the target the most probable token? Of equally probable
 * ones the first counts. */
static void token_forward(const real *logit, int V, int target, double weight, double *term,
                          int *hit) {
    real total = 0;
    int best = 0;
    for (int v = 1; v < V; v++) best = logit[v] > logit[best] ? v : best;
    for (int v = 0; v < V; v++) total += (real)exp((double)(logit[v] - logit[best]));
    *term = weight * ((double)(logit[target] - logit[best]) - log((double)total));
    *hit = best == target;
}

/* Adds to dh[C] and dw[V][C]; logit[V] becomes the probabilities. */
static void token_backward(const Logits *x, real *logit, int target, real factor, const real *h,
                           real *dh) {
    size_t C = (size_t)x->C;
    plain_softmax(logit, x->V);
    for (int v = 0; v < x->V; v++) {
        real dlogit = factor * ((v == target) - logit[v]);
        for (size_t c = 0; c < C; c++) {
            dh[c] += dlogit * x->w[(size_t)v * C + c];
            if (x->dw) x->dw[(size_t)v * C + c] += dlogit * h[c];
        }
    }
}

/* Goes forward if `forward`, backward if `to` is not NULL, or both. */
void logits_pass_plain(Logits *x, bool forward, const GradientTarget *to) {
    const Batch *b = x->batch;
    size_t C = (size_t)x->C;
    real *logit = mem_new((size_t)x->V, sizeof *logit);
    if (to && x->dw && !to->add) memset(x->dw, 0, (size_t)x->V * C * sizeof(real));
    for (int i = 0; i < x->map->live; i++) {
        int n = x->map->token[i], target = b->target.v[n];
        const real *h = x->h + (size_t)i * C;
        /* A token without a target adds nothing: its results stay 0. */
        if (forward) x->term[i] = x->hit[i] = 0;
        if (to) memset(x->dh + (size_t)i * C, 0, C * sizeof(real));
        if (target < 0) continue;
        /* Compute its logits, and go forward, backward, or both. */
        plain_logits(x, h, logit);
        if (forward)
            token_forward(logit, x->V, target, (double)b->weight[n], &x->term[i], &x->hit[i]);
        if (!to) continue;
        real factor = (real)(x->dlogp[x->map->row[n]] * (double)b->weight[n]);
        token_backward(x, logit, target, factor, h, x->dh + (size_t)i * C);
    }
    free(logit);
}

/* Sums the live tokens' terms and hits over their rows. */
static void logits_totals(const Logits *x, double *logp, int *hits) {
    for (int r = 0; r < x->batch->rows; r++) {
        logp[r] = 0;
        if (hits) hits[r] = 0;
    }
    for (int i = 0; i < x->map->live; i++) {
        int r = x->map->row[x->map->token[i]];
        logp[r] += x->term[i];
        if (hits) hits[r] += x->hit[i];
    }
}

/* ---- the memory of a pass ----
 * A Workspace holds the activations that the backward pass reads. lib/fast/workspace.h has the
 * list of its arrays, with shapes, and explains what is kept when. */

static void model_fit(Workspace *ws, const Model *m, int tokens, int longest, bool keep) {
    WorkspaceShape shape = {m->config.layers, m->config.vocab, m->shape};
    workspace_fit(ws, shape, tokens, longest, keep);
}

void workspace_reserve(Workspace *ws, const Model *m, int tokens) {
    int context = m->config.context;
    model_fit(ws, m, tokens, tokens < context ? tokens : context, false);
}

/* ---- the clock: where the time goes ----
 * Below this line the name of a layer's function is a macro. It calls the function, and adds the
 * time since the last such call to the layer's part. A macro does not expand inside itself, so the
 * name in its body is the function. The macros use the caller's variable `ws`. Those of attention
 * also choose between the plain and the fast twin. */

#define TIMED(part, call) (call, clock_add(ws, part))
#define linear_forward(...) TIMED(PART_MATMUL, linear_forward(__VA_ARGS__))
#define linear_onto(...) TIMED(PART_MATMUL, linear_onto(__VA_ARGS__))
#define linear_input_gradient(...) TIMED(PART_MATMUL, linear_input_gradient(__VA_ARGS__))
#define linear_weight_gradient(...) TIMED(PART_MATMUL, linear_weight_gradient(__VA_ARGS__))
#define norm_forward(...) TIMED(PART_NORM, norm_forward(__VA_ARGS__))
#define norm_again(...) TIMED(PART_NORM, norm_again(__VA_ARGS__))
#define norm_backward(...) TIMED(PART_NORM, norm_backward(__VA_ARGS__))
#define act_forward(...) TIMED(PART_GELU, act_forward(__VA_ARGS__))
#define act_backward(...) TIMED(PART_GELU, act_backward(__VA_ARGS__))
#define embed_forward(...) TIMED(PART_EMBEDDING, embed_forward(__VA_ARGS__))
#define embed_backward(...) TIMED(PART_EMBEDDING, embed_backward(__VA_ARGS__))
#define attention_forward(...)                                                                     \
    TIMED(PART_ATTENTION, (PLAIN ? attention_forward_plain : attention_forward_fast)(__VA_ARGS__))
#define attention_backward(...)                                                                    \
    TIMED(PART_ATTENTION, (PLAIN ? attention_backward_plain : attention_backward_fast)(__VA_ARGS__))

/* ---- one block: mid = x + attention(ln1(x)), x' = mid + mlp(ln2(mid)) ----
 * After the last layer's attention only the scored tokens are read: they are "live". So the rest
 * of that layer and the head run on the live tokens alone, packed at the front (lib/fast/rows.h).
 * No bit changes: tokens are independent there, and the gradient of an unscored token would be
 * zero. In the plain build all tokens are live.
 *
 * workspace_kept gives the arrays of layer l: x, the input; stat1, stat2, of the layer norms; qkv;
 * soft, of attention; att, its output; mid; fc; and next, the output. */

/* Collects the arguments of attention. `soft` and `scratch` are for the fast twin, and so is
 * `first`: in the last layer it may skip the queries that no live token reads. */
static Attention attention_of(const Model *m, const Workspace *ws, const Batch *b, int l,
                              real *soft) {
    Attention a = {.batch = b, .layer = l, .context = ws->longest};
    a.heads = m->shape.heads, a.kv_heads = m->shape.kv_heads, a.head_size = m->shape.head_size;
    a.first = l == m->config.layers - 1 ? ws->map.first : NULL;
    a.soft = soft, a.scratch = ws->scratch, a.scratch_size = ws->scratch_size;
    return a;
}

/* `extend`: append keys and values to the rows' prefixes. `again`: the backward pass runs the block
 * once more, and needs what it keeps but not its output. */
static void block_forward(const Model *m, Workspace *ws, const Batch *b, int l, bool extend,
                          bool again) {
    const Layer *f = &m->view.layer[l];
    Kept k = workspace_kept(ws, l);
    Attention attention = attention_of(m, ws, b, l, k.soft);
    int N = b->tokens, C = m->shape.channels, Q = m->shape.queries;
    const real *x = k.x;

    /* Read from the tokens before. */
    norm_forward(ws->normed, k.stat1, x, &f->ln1, N);
    linear_forward(k.qkv, ws->normed, &f->qkv, N, ws->low);
    const real *qkv = heads_forward(m, ws, f, k.qkv, N);
    if (extend) batch_store(b, l, qkv + Q, (size_t)m->shape.qkv);
    attention_forward(&attention, k.att, qkv);

    /* After the last attention, continue with the live tokens alone. ws->normed has done its work
     * and can take their x. */
    if (l == m->config.layers - 1) {
        rows_pick(&ws->map, k.att, k.att, Q);
        rows_pick(&ws->map, ws->normed, x, C);
        x = ws->normed;
        N = ws->map.live;
    }

    /* Add what was read to the residual stream. */
    linear_onto(k.mid, x, k.att, &f->out, N, ws->low);

    /* Work on each token alone, and add that too. */
    norm_forward(ws->normed, k.stat2, k.mid, &f->ln2, N);
    linear_forward(k.fc, ws->normed, &f->fc, N, ws->low);
    if (again) return;
    act_forward(ws->hidden, k.fc, m, N);
    linear_onto(k.next, k.mid, ws->hidden, &f->proj, N, ws->low);
}

/* On entry ws->dx is the derivative by the block's output, on exit by its input. Along the
 * residual stream it passes unchanged; each branch adds to it through its layer norm. */
static void block_backward(const Model *m, Workspace *ws, const Batch *b, int l,
                           const GradientTarget *to, const ModelView *df) {
    const Layer *f = &m->view.layer[l], *d = &df->layer[l];
    Kept k = workspace_kept(ws, l);
    Attention attention = attention_of(m, ws, b, l, k.soft);
    bool last = l == m->config.layers - 1;
    int N = last ? ws->map.live : b->tokens;
    /* The same target, and it knows which tokens are packed in the last layer. */
    GradientTarget live = target_of_tokens(to, last ? ws->map.token : NULL);

    /* Go back through the MLP. The weights of its second product need the activation's output,
     * which act_backward recomputes. So they come after it. */
    linear_input_gradient(ws->hidden, ws->dx, &f->proj, N, ws->low);
    act_backward(ws->hidden, ws->dhidden, k.fc, m, N);
    linear_weight_gradient(&live, &d->proj, ws->dx, ws->hidden, &f->proj, N, ws->low);
    norm_again(ws->normed, k.stat2, k.mid, &f->ln2, N);
    linear_input_gradient(ws->da, ws->dhidden, &f->fc, N, ws->low);
    linear_weight_gradient(&live, &d->fc, ws->dhidden, ws->normed, &f->fc, N, ws->low);
    norm_backward(&live, ws->dx, &d->ln2, ws->da, k.mid, k.stat2, &f->ln2, N);

    /* Go back through attention's projection. */
    linear_input_gradient(ws->da, ws->dx, &f->out, N, ws->low);
    linear_weight_gradient(&live, &d->out, ws->dx, k.att, &f->out, N, ws->low);

    /* Bring the live tokens back to their places, with zeros between them. */
    if (last) {
        N = b->tokens;
        rows_spread(&ws->map, ws->dx, N, m->shape.channels);
        rows_spread(&ws->map, ws->da, N, m->shape.queries);
    }

    /* Go back through attention, which spreads the derivative over the tokens that were read. If
     * the heads have norms, what it read is computed again. */
    const real *qkv = f->qn.g ? heads_forward(m, ws, f, k.qkv, N) : k.qkv;
    attention_backward(&attention, ws->dqkv, ws->da, qkv);
    heads_backward(m, ws, to, d, f, k.qkv, N);
    norm_again(ws->normed, k.stat1, k.x, &f->ln1, N);
    linear_input_gradient(ws->da, ws->dqkv, &f->qkv, N, ws->low);
    linear_weight_gradient(to, &d->qkv, ws->dqkv, ws->normed, &f->qkv, N, ws->low);
    norm_backward(to, ws->dx, &d->ln1, ws->da, k.x, k.stat1, &f->ln1, N);
}

/* ---- the passes ----
 *     model_forward             tokens to logp
 *     model_backward            dlogp to gradient; after a model_forward that keeps activations
 *     model_forward_backward    both, where dlogp is known beforehand: the logits are computed once
 *     model_gradient_dots       dlogp to each row's <gradient, direction>; after a model_forward
 *     model_extend              tokens to keys and values in prefixes
 *     model_hidden              tokens to what the head would read
 * Each tells lib/threads.h when its work begins and ends, and how many operations it was. That
 * chooses the number of threads by it. model_hidden tells too few: its tokens count as not scored,
 * though all of them pass the last layer. */

/* Positions, embeddings and blocks. With ROWS_LAST the rows' prefixes are extended. */
static void body_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, RowsLive live) {
    model_fit(ws, m, b->tokens, batch_longest(b), keep);
    rows_map(&ws->map, b, PLAIN ? ROWS_ALL : live);
    clock_start(ws);
    Rotary rotary = rotary_of(m);
    if (!is_gpt2(m)) rotary_table(ws->turn, ws->map.position, b->tokens, &rotary);
    embed_forward(ws->x, &m->view, b, &ws->map, m->shape.channels);
    for (int l = 0; l < m->config.layers; l++) block_forward(m, ws, b, l, live == ROWS_LAST, false);
}

/* All but the head: then ws->h is the last norm's output of the live tokens. */
static void last_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, RowsLive live) {
    body_forward(m, ws, b, keep, live);
    const real *x = workspace_kept(ws, m->config.layers - 1).next;
    norm_forward(ws->h, ws->statf, x, &m->view.lnf, ws->map.live);
}

/* Runs the head forward, backward (to and df are not NULL), or both. Forward leaves the terms and
 * hits of the live tokens, backward leaves ws->dh and writes or adds to df->head. */
static Logits head_pass(const Model *m, Workspace *ws, const Batch *b, bool forward,
                        const double *dlogp, const GradientTarget *to, const ModelView *df) {
    Logits x = {.batch = b, .map = &ws->map, .C = m->shape.channels, .V = m->config.vocab};
    /* What it reads; what it writes forward; what it reads and writes backward; its scratch. */
    x.h = ws->h, x.w = m->view.head, x.half = m->view.head_half;
    x.term = ws->term, x.hit = ws->hit;
    x.dlogp = dlogp, x.dh = ws->dh, x.dw = df ? df->head : NULL;
    x.logits = ws->logits, x.softmax = ws->softmax;
    (PLAIN ? logits_pass_plain : logits_pass_fast)(&x, forward, to);
    /* Its matrix products count as such. */
    clock_add(ws, PART_CROSS_ENTROPY);
    ws->part_seconds[PART_CROSS_ENTROPY] -= x.product_seconds;
    ws->part_seconds[PART_MATMUL] += x.product_seconds;
    return x;
}

/* From ws->dh back to the embeddings. */
static void body_backward(const Model *m, Workspace *ws, const Batch *b, const GradientTarget *to,
                          const ModelView *df) {
    int C = m->shape.channels, L = m->config.layers;
    GradientTarget live = target_of_tokens(to, ws->map.token);
    const real *x = workspace_kept(ws, L - 1).next;
    /* Clear what embed_backward adds to; the head has cleared its matrix. */
    bool clear = !to->add && !to->inner;
    size_t token = (size_t)C * sizeof(real);
    if (clear && df->wpe) memset(df->wpe, 0, (size_t)m->config.context * token);
    if (clear && df->wte != df->head) memset(df->wte, 0, (size_t)m->config.vocab * token);
    memset(ws->dx, 0, (size_t)ws->map.live * (size_t)C * sizeof(real));
    norm_backward(&live, ws->dx, &df->lnf, ws->dh, x, ws->statf, &m->view.lnf, ws->map.live);
    for (int l = L - 1; l >= 0; l--) {
        /* Run the layer forward once more if its arrays were not kept; those of the last layer
         * are still there. */
        if (ws->recompute && l < L - 1) block_forward(m, ws, b, l, false, true);
        block_backward(m, ws, b, l, to, df);
    }
    embed_backward(to, df, ws->dx, b, &ws->map, C);
}

void model_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, double *logp,
                   int *hits) {
    threads_begin(WORK_FORWARD);
    last_forward(m, ws, b, keep, ROWS_SCORED);
    Logits head = head_pass(m, ws, b, true, NULL, NULL, NULL);
    logits_totals(&head, logp, hits);
    threads_end(WORK_FORWARD, batch_flops(m, b));
}

/* A pass that goes backward. `to` says whether the flat buffer takes the gradient, or holds a
 * direction. With logp the forward pass comes first, and fills it. */
static void pass_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                          double *logp, const GradientTarget *to, real *flat) {
    ModelView df = model_view(m, flat);
    threads_begin(WORK_BACKWARD);
    clock_start(ws);
    if (logp) last_forward(m, ws, b, true, ROWS_SCORED);
    Logits head = head_pass(m, ws, b, logp != NULL, dlogp, to, &df);
    if (logp) logits_totals(&head, logp, NULL);
    body_backward(m, ws, b, to, &df);
    threads_end(WORK_BACKWARD, ((logp ? 2 : 1) + !m->base) * batch_flops(m, b));
    model_view_free(&df);
}

void model_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, real *grad,
                    bool add) {
    pass_backward(m, ws, b, dlogp, NULL, &(GradientTarget){.add = add}, grad);
}

void model_forward_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                            double *logp, real *grad, bool add) {
    pass_backward(m, ws, b, dlogp, logp, &(GradientTarget){.add = add}, grad);
}

/* E14's inner products as they are written: each row's gradient, then its product with the
 * direction. The rows run one by one. */
void model_gradient_dots_plain(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                               const real *direction, double *dot) {
    real *grad = mem_new(m->parameters, sizeof *grad);
    Batch one = {0};
    for (int r = 0; r < b->rows; r++) {
        int from = b->start.v[r], n = batch_length(b, r);
        double logp;
        /* Copy the row into a batch of its own. */
        batch_clear(&one);
        batch_row_inputs(&one, b->token.v + from, n, b->prefix[r]);
        memcpy(one.target.v, b->target.v + from, (size_t)n * sizeof *one.target.v);
        memcpy(one.weight, b->weight + from, (size_t)n * sizeof *one.weight);
        /* Compute its gradient and the product. */
        model_forward_backward(m, ws, &one, &dlogp[r], &logp, grad, false);
        dot[r] = 0;
        for (size_t i = 0; i < m->parameters; i++) dot[r] += (double)grad[i] * (double)direction[i];
    }
    batch_free(&one);
    free(grad);
}

/* The same from one backward pass for all rows; lib/fast/inner.h says how. */
void model_gradient_dots(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                         real *direction, double *dot) {
    if (PLAIN) {
        model_gradient_dots_plain(m, ws, b, dlogp, direction, dot);
        return;
    }
    size_t N = (size_t)b->tokens, C = (size_t)m->shape.channels, wide = (size_t)m->shape.qkv;
    if (wide < (size_t)m->shape.fc) wide = (size_t)m->shape.fc;
    if (wide < C) wide = C;
    if (wide < (size_t)m->shape.low) wide = (size_t)m->shape.low;
    GradientTarget to = {.inner = mem_new(N, sizeof(double)),
                         .product = mem_new(N, wide * sizeof(real))};
    pass_backward(m, ws, b, dlogp, NULL, &to, direction);
    for (int r = 0; r < b->rows; r++) {
        dot[r] = 0;
        for (int n = b->start.v[r]; n < b->start.v[r + 1]; n++) dot[r] += to.inner[n];
    }
    free(to.inner);
    free(to.product);
}

void model_extend(const Model *m, Workspace *ws, const Batch *b) {
    threads_begin(WORK_FORWARD);
    body_forward(m, ws, b, false, ROWS_LAST);
    threads_end(WORK_FORWARD, batch_flops(m, b));
    for (int r = 0; r < b->rows; r++) b->prefix[r]->length += batch_length(b, r);
}

const real *model_hidden(const Model *m, Workspace *ws, const Batch *b) {
    threads_begin(WORK_FORWARD);
    last_forward(m, ws, b, false, ROWS_ALL);
    threads_end(WORK_FORWARD, batch_flops(m, b));
    return ws->h;
}

void model_logits(const Model *m, Workspace *ws, int row, real *logits) {
    size_t C = (size_t)m->shape.channels, V = (size_t)m->config.vocab;
    const real *x =
        workspace_kept(ws, m->config.layers - 1).next + (size_t)rows_last(&ws->map, row) * C;
    norm_forward(ws->normed, ws->statf, x, &m->view.lnf, 1);
    gemm_frozen(1, m->config.vocab, m->shape.channels, ws->normed, C, 1, m->view.head,
                m->view.head_half, 1, C, logits, V, NULL, false);
}

double model_flops(const Model *m, double tokens, double length, double scored) {
    const LayerShape *s = &m->shape;
    double C = s->channels, Q = s->queries, L = m->config.layers, V = m->config.vocab;
    /* A multiply-add is two operations. A token meets these weights in a layer: */
    double first = 2 * C * s->qkv, rest = 2 * C * (Q + s->fc + s->inner);
    /* It sees (length + 1) / 2 keys on average, and each takes 2 Q multiply-adds, in a score and
     * with a value. In the last layer it meets qkv, and the rest only where it is scored. */
    double attention = 2 * Q * (length + 1);
    return tokens * ((L - 1) * (first + rest + attention) + first) +
           scored * (rest + attention + 2 * V * C);
}

double batch_flops(const Model *m, const Batch *b) {
    double flops = 0;
    for (int r = 0; r < b->rows; r++) {
        int n = batch_length(b, r), scored = 0;
        for (int i = b->start.v[r]; i < b->start.v[r + 1]; i++) scored += b->target.v[i] >= 0;
        /* With `past` cached tokens, a row of n sees past + (n + 1) / 2 keys per token on
         * average. model_flops gives the same number for a row of length n + 2 * past. */
        flops += model_flops(m, n, n + 2.0 * batch_past(b, r), scored);
    }
    return flops;
}

/* ---- AdamW ----
 * lib/adamw.h has the formula. Weight decay pulls on matrices only. */

Optimizer *optimizer_new(const Model *m, double beta1, double beta2, double weight_decay) {
    return adamw_new(m->parameters, beta1, beta2, weight_decay);
}

double gradient_norm(const Model *m, const real *grad) {
    return sqrt(sum_squares(grad, m->parameters));
}

void optimizer_step(Optimizer *o, Model *m, const real *grad, double scale, double learning_rate) {
    o->step++;
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        double decay = t->decay ? o->weight_decay : 0;
        adamw_update(o, m->w, grad, t->offset, t->size, decay, scale, learning_rate);
    }
}
