/* Vaswani et al. 2017, Radford et al. 2019 and Touvron et al. 2023 in loops. Subscripts in the code
 * are the equations': t a position, i and j channels, h a head. Every backward function takes the
 * derivative of the loss by the output and adds to those by its inputs: the chain rule, dx_i += sum
 * over j of dy_j (dy_j / dx_i). Below the model the equations of the paper stand in the order of
 * their tags' subjects: contexts, scores, objectives, weights, the step. */
#include "tests/reference/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights ---- */

static double *find(const Oracle *o, double *flat, const char *name) {
    for (int i = 0; i < o->model->tensor_count; i++)
        if (strcmp(o->model->tensors[i].name, name) == 0) return flat + o->model->tensors[i].offset;
    return NULL;
}

/* A tensor of layer l, or with l < 0 of none. Each family has one of the two names. */
static double *find_in(const Oracle *o, double *flat, int l, const char *gpt2, const char *other,
                       const char *ending) {
    char full[96];
    bool is_gpt2 = o->model->config.family == FAMILY_GPT2;
    const char *name = is_gpt2 ? gpt2 : other, *layers = is_gpt2 ? "h" : "model.layers";
    if (l < 0) snprintf(full, sizeof full, "%s.%s", name, ending);
    else snprintf(full, sizeof full, "%s.%d.%s.%s", layers, l, name, ending);
    return find(o, flat, full);
}

static OracleNorm norm_in(const Oracle *o, double *flat, int l, const char *gpt2,
                          const char *other) {
    return (OracleNorm){find_in(o, flat, l, gpt2, other, "weight"),
                        find_in(o, flat, l, gpt2, other, "bias")};
}

/* `part`: which third of the columns of GPT-2's c_attn. */
static OracleLinear linear_in(const Oracle *o, double *flat, int l, const char *gpt2,
                              const char *other, int in, int out, int part) {
    bool is_gpt2 = o->model->config.family == FAMILY_GPT2;
    bool is_third = strcmp(gpt2, "attn.c_attn") == 0;
    OracleLinear x = {.W = find_in(o, flat, l, gpt2, other, "weight"),
                      .b = find_in(o, flat, l, gpt2, other, "bias"),
                      .in = in,
                      .out = out,
                      .row = is_gpt2 ? (is_third ? 3 : 1) * out : 1,
                      .column = is_gpt2 ? 1 : in};
    if (is_gpt2 && is_third) x.W += part * out, x.b += part * out;
    return x;
}

static OracleTensors tensors_of(const Oracle *o, double *flat) {
    int C = o->C, Q = o->H * o->D, KD = o->K * o->D, F = o->F;
    OracleTensors w;
    w.wte = find_in(o, flat, -1, "wte", "model.embed_tokens", "weight");
    w.wpe = find(o, flat, "wpe.weight");
    w.head = find(o, flat, "lm_head.weight");
    if (!w.head) w.head = w.wte;
    w.norm = norm_in(o, flat, -1, "ln_f", "model.norm");
    w.layer = mem_new((size_t)o->L, sizeof *w.layer);
    for (int l = 0; l < o->L; l++) {
        OracleLayer *y = &w.layer[l];
        y->norm_1 = norm_in(o, flat, l, "ln_1", "input_layernorm");
        y->norm_2 = norm_in(o, flat, l, "ln_2", "post_attention_layernorm");
        y->q_norm = norm_in(o, flat, l, "none", "self_attn.q_norm");
        y->k_norm = norm_in(o, flat, l, "none", "self_attn.k_norm");
        y->q = linear_in(o, flat, l, "attn.c_attn", "self_attn.q_proj", C, Q, 0);
        y->k = linear_in(o, flat, l, "attn.c_attn", "self_attn.k_proj", C, KD, 1);
        y->v = linear_in(o, flat, l, "attn.c_attn", "self_attn.v_proj", C, KD, 2);
        y->o = linear_in(o, flat, l, "attn.c_proj", "self_attn.o_proj", Q, C, 0);
        y->gate = linear_in(o, flat, l, "none", "mlp.gate_proj", C, F, 0);
        y->up = linear_in(o, flat, l, "mlp.c_fc", "mlp.up_proj", C, F, 0);
        y->down = linear_in(o, flat, l, "mlp.c_proj", "mlp.down_proj", F, C, 0);
    }
    return w;
}

Oracle *oracle_new(const Model *m) {
    Oracle *o = mem_new(1, sizeof *o);
    ModelConfig c = m->config;
    *o = (Oracle){.L = c.layers,
                  .H = c.heads,
                  .K = c.kv_heads,
                  .D = c.head_size,
                  .C = c.channels,
                  .F = c.inner,
                  .T = c.context,
                  .V = c.vocab,
                  .model = m};
    o->flat = mem_new(m->parameters, sizeof(double));
    for (size_t i = 0; i < m->parameters; i++) o->flat[i] = (double)m->w[i];
    o->w = tensors_of(o, o->flat);
    return o;
}

void oracle_free(Oracle *o) {
    free(o->w.layer);
    free(o->flat);
    free(o);
}

/* ---- [linear] y_j = b_j + sum_i x_i W_ij ---- */

static void linear(double *y, const double *x, const OracleLinear *f) {
    for (int j = 0; j < f->out; j++) {
        y[j] = f->b ? f->b[j] : 0;
        for (int i = 0; i < f->in; i++) y[j] += x[i] * f->W[i * f->row + j * f->column];
    }
}

/* dy_j / dx_i = W_ij, dy_j / dW_ij = x_i, dy_j / db_j = 1 */
static void linear_back(double *dx, const OracleLinear *df, const double *dy, const double *x,
                        const OracleLinear *f) {
    for (int i = 0; i < f->in; i++)
        for (int j = 0; j < f->out; j++) {
            int at = i * f->row + j * f->column;
            dx[i] += dy[j] * f->W[at];
            df->W[at] += dy[j] * x[i];
        }
    for (int j = 0; j < f->out && f->b; j++) df->b[j] += dy[j];
}

/* ---- [norm] y_i = g_i h_i + b_i, h_i = (x_i - mean) / s, s = sqrt(variance + epsilon) ----
 * and without b: h_i = x_i / s, s = sqrt(mean of x_i^2 + epsilon) */

static double normalize(const Oracle *o, double *h, const double *x, bool centred,
                        int C) { /* h, and returns s */
    double mean = 0, variance = 0;
    for (int i = 0; i < C && centred; i++) mean += x[i] / C;
    for (int i = 0; i < C; i++) variance += (x[i] - mean) * (x[i] - mean) / C;
    double s = sqrt(variance + o->model->config.epsilon);
    for (int i = 0; i < C; i++) h[i] = (x[i] - mean) / s;
    return s;
}

static void norm(const Oracle *o, double *y, const double *x, OracleNorm f, int C) {
    normalize(o, y, x, f.b != NULL, C);
    for (int i = 0; i < C; i++) y[i] = f.g[i] * y[i] + (f.b ? f.b[i] : 0);
}

/* dmean/dx_j = 1/C, dvariance/dx_j = 2 (x_j - mean)/C, so ds/dx_j = h_j/C and
 * dh_i/dx_j = ((i = j) - 1/C - h_i h_j / C) / s; without a mean, without the 1/C */
static void norm_back(const Oracle *o, double *dx, OracleNorm df, const double *dy, const double *x,
                      OracleNorm f, int C) {
    double *h = mem_new((size_t)C, sizeof *h), s = normalize(o, h, x, f.b != NULL, C);
    for (int i = 0; i < C; i++) {
        df.g[i] += dy[i] * h[i];
        if (f.b) df.b[i] += dy[i];
        for (int j = 0; j < C; j++) {
            double dh_i_dx_j = ((i == j) - (f.b ? 1.0 / C : 0) - h[i] * h[j] / C) / s;
            dx[j] += dy[i] * f.g[i] * dh_i_dx_j;
        }
    }
    free(h);
}

/* ---- [gelu] the tanh form: y = x (1 + tanh u) / 2, u = sqrt(2/pi) (x + 0.044715 x^3) ---- */

static double gelu(double x) {
    return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * pow(x, 3))));
}

/* dtanh(u)/du = 1 / cosh(u)^2 */
static double gelu_slope(double x) {
    double c = sqrt(2 / acos(-1)), u = c * (x + 0.044715 * pow(x, 3)),
           du = c * (1 + 3 * 0.044715 * pow(x, 2));
    return 0.5 * (1 + tanh(u)) + 0.5 * x * du / pow(cosh(u), 2);
}

/* ---- [swiglu] y = silu(gate) up, silu(x) = x / (1 + exp(-x)) ---- */

static double silu(double x) { return x / (1 + exp(-x)); }

static double silu_slope(double x) { return (1 + exp(-x) + x * exp(-x)) / pow(1 + exp(-x), 2); }

/* ---- [rotary] a head's channels i and i + D/2 turn by the angle t / period_i ----
 * wave_i = 2 pi period_i positions are a whole turn. Llama 3 stretches long waves by its factor,
 * leaves short ones, and goes from one to the other between original / low and original / high. */

static double period(const Oracle *o, int i) {
    const Scaling *s = &o->model->config.scaling;
    double plain = pow(o->model->config.theta, 2.0 * i / o->D), wave = 2 * acos(-1) * plain;
    if (s->kind == SCALING_LINEAR) return plain * s->factor;
    if (s->kind == SCALING_NONE || wave < s->original / s->high) return plain;
    if (wave > s->original / s->low) return plain * s->factor;
    double share = (s->original / wave - s->low) / (s->high - s->low);
    return 1 / ((1 - share) / (plain * s->factor) + share / plain);
}

/* Turns a head's D channels of position t, forward or back. */
static void turn(const Oracle *o, double *x, int t, int direction) {
    int half = o->D / 2;
    for (int i = 0; i < half; i++) {
        double angle = direction * t / period(o, i), a = x[i], b = x[i + half];
        x[i] = cos(angle) * a - sin(angle) * b;
        x[i + half] = sin(angle) * a + cos(angle) * b;
    }
}

/* Queries or keys of one position, as the scores use them, from what the projection gave. */
static void place(const Oracle *o, double *x, const double *raw, OracleNorm f, int heads, int t) {
    for (int i = 0; i < heads * o->D; i++) x[i] = raw[i];
    for (int h = 0; h < heads; h++) {
        if (f.g) norm(o, x + h * o->D, raw + h * o->D, f, o->D);
        if (!o->w.wpe) turn(o, x + h * o->D, t, 1);
    }
}

/* d raw from dx, in place: a turn's derivative is the turn back. */
static void place_back(const Oracle *o, double *dx, OracleNorm df, const double *raw, OracleNorm f,
                       int heads, int t) {
    double *dy = mem_new((size_t)o->D, sizeof *dy);
    for (int h = 0; h < heads; h++) {
        double *of = dx + h * o->D;
        if (!o->w.wpe) turn(o, of, t, -1);
        if (!f.g) continue;
        for (int i = 0; i < o->D; i++) dy[i] = of[i], of[i] = 0;
        norm_back(o, of, df, dy, raw + h * o->D, f, o->D);
    }
    free(dy);
}

/* ---- softmax of n numbers: p_j = exp(s_j) / sum_k exp(s_k), shifted by the largest ---- */

static void softmax(double *p, const double *s, int n) {
    double largest = s[0], sum = 0;
    for (int j = 1; j < n; j++) largest = fmax(largest, s[j]);
    for (int j = 0; j < n; j++) sum += exp(s[j] - largest);
    for (int j = 0; j < n; j++) p[j] = exp(s[j] - largest) / sum;
}

/* ---- [attention] of one query t of head h: it sees the keys 0..t of head h K / H ----
 * s_j = sum_i q_ti k_ji / sqrt(D), p = softmax(s), o_i = sum_j p_j v_ji */

static void attend(const Oracle *o, OracleActivations *a, int n, int h, int t) {
    int D = o->D, Q = o->H * D, KD = o->K * D, at = h * o->K / o->H * D;
    const double *q = a->q + t * Q + h * D;
    double *s = mem_new((size_t)n, sizeof *s),
           *p = a->p + ((size_t)h * (size_t)n + (size_t)t) * (size_t)n;
    for (int j = 0; j <= t; j++)
        for (int i = 0; i < D; i++) s[j] += q[i] * a->k[j * KD + at + i] / sqrt(D);
    softmax(p, s, t + 1);
    for (int i = 0; i < D; i++) {
        a->heads[t * Q + h * D + i] = 0;
        for (int j = 0; j <= t; j++) a->heads[t * Q + h * D + i] += p[j] * a->v[j * KD + at + i];
    }
    free(s);
}

/* dp_j = sum_i do_i v_ji, dp_k/ds_j = p_k ((k = j) - p_j). Keys and values of positions before P
 * are constants. */
static void attend_back(const Oracle *o, const OracleActivations *a, int n, int h, int t, int P,
                        const double *dheads, double *dq, double *dk, double *dv) {
    int D = o->D, Q = o->H * D, KD = o->K * D, at = h * o->K / o->H * D;
    const double *p = a->p + ((size_t)h * (size_t)n + (size_t)t) * (size_t)n,
                 *dout = dheads + t * Q + h * D;
    double *dp = mem_new((size_t)n, sizeof *dp);
    for (int j = 0; j <= t; j++)
        for (int i = 0; i < D; i++) {
            dp[j] += dout[i] * a->v[j * KD + at + i];
            if (j >= P) dv[j * KD + at + i] += dout[i] * p[j];
        }
    for (int j = 0; j <= t; j++) {
        double ds_j = 0;
        for (int k = 0; k <= t; k++) ds_j += dp[k] * p[k] * ((k == j) - p[j]);
        for (int i = 0; i < D; i++) {
            dq[t * Q + h * D + i] += ds_j * a->k[j * KD + at + i] / sqrt(D);
            if (j >= P) dk[j * KD + at + i] += ds_j * a->q[t * Q + h * D + i] / sqrt(D);
        }
    }
    free(dp);
}

/* ---- a layer: middle = x + o(attention(norm_1(x))), y = middle + mlp(norm_2(middle)) ---- */

static void layer_forward(const Oracle *o, const OracleLayer *w, OracleActivations *a, double *y,
                          int n) {
    int C = o->C, F = o->F, Q = o->H * o->D, KD = o->K * o->D;
    double *out = mem_new((size_t)C, sizeof *out);
    for (int t = 0; t < n; t++) {
        const double *x = a->normed_1 + t * C;
        norm(o, a->normed_1 + t * C, a->x + t * C, w->norm_1, C);
        linear(a->raw_q + t * Q, x, &w->q);
        linear(a->raw_k + t * KD, x, &w->k);
        linear(a->v + t * KD, x, &w->v);
        place(o, a->q + t * Q, a->raw_q + t * Q, w->q_norm, o->H, t);
        place(o, a->k + t * KD, a->raw_k + t * KD, w->k_norm, o->K, t);
    }
    for (int t = 0; t < n; t++) {
        for (int h = 0; h < o->H; h++) attend(o, a, n, h, t);
        linear(out, a->heads + t * Q, &w->o);
        for (int i = 0; i < C; i++) a->middle[t * C + i] = a->x[t * C + i] + out[i];
        norm(o, a->normed_2 + t * C, a->middle + t * C, w->norm_2, C);
        linear(a->up + t * F, a->normed_2 + t * C, &w->up);
        if (w->gate.W) linear(a->gate + t * F, a->normed_2 + t * C, &w->gate);
        for (int i = t * F; i < (t + 1) * F; i++)
            a->act[i] = w->gate.W ? silu(a->gate[i]) * a->up[i] : gelu(a->up[i]);
        linear(out, a->act + t * F, &w->down);
        for (int i = 0; i < C; i++) y[t * C + i] = a->middle[t * C + i] + out[i];
    }
    free(out);
}

/* dmiddle_t from dy_t: straight through, and through the MLP. */
static void mlp_back(const Oracle *o, const OracleLayer *w, OracleLayer *g,
                     const OracleActivations *a, int t, const double *dy, double *dmiddle) {
    int C = o->C, F = o->F;
    const double *gate = a->gate + t * F, *up = a->up + t * F, *normed = a->normed_2 + t * C;
    double *dact = mem_new((size_t)F, sizeof *dact), *dgate = mem_new((size_t)F, sizeof *dgate),
           *dup = mem_new((size_t)F, sizeof *dup), *dnormed = mem_new((size_t)C, sizeof *dnormed);
    linear_back(dact, &g->down, dy, a->act + t * F, &w->down);
    for (int i = 0; i < F; i++) {
        dup[i] = dact[i] * (w->gate.W ? silu(gate[i]) : gelu_slope(up[i]));
        dgate[i] = dact[i] * silu_slope(gate[i]) * up[i];
    }
    linear_back(dnormed, &g->up, dup, normed, &w->up);
    if (w->gate.W) linear_back(dnormed, &g->gate, dgate, normed, &w->gate);
    for (int i = 0; i < C; i++) dmiddle[i] += dy[i];
    norm_back(o, dmiddle, g->norm_2, dnormed, a->middle + t * C, w->norm_2, C);
    free(dact);
    free(dgate);
    free(dup);
    free(dnormed);
}

/* dx [n][C] from dy [n][C] */
static void layer_backward(const Oracle *o, const OracleLayer *w, OracleLayer *g,
                           const OracleActivations *a, int n, int P, const double *dy, double *dx) {
    int C = o->C, Q = o->H * o->D, KD = o->K * o->D;
    size_t nC = (size_t)(n * C), nQ = (size_t)(n * Q), nK = (size_t)(n * KD);
    double *dmiddle = mem_new(nC, sizeof *dmiddle), *dheads = mem_new(nQ, sizeof *dheads);
    double *dq = mem_new(nQ, sizeof *dq), *dk = mem_new(nK, sizeof *dk),
           *dv = mem_new(nK, sizeof *dv), *dnormed = mem_new(nC, sizeof *dnormed);
    for (int t = 0; t < n; t++) {
        mlp_back(o, w, g, a, t, dy + t * C, dmiddle + t * C);
        linear_back(dheads + t * Q, &g->o, dmiddle + t * C, a->heads + t * Q, &w->o);
        for (int h = 0; h < o->H; h++) attend_back(o, a, n, h, t, P, dheads, dq, dk, dv);
    }
    for (int t = 0; t < n; t++) {
        const double *x = a->normed_1 + t * C;
        place_back(o, dq + t * Q, g->q_norm, a->raw_q + t * Q, w->q_norm, o->H, t);
        place_back(o, dk + t * KD, g->k_norm, a->raw_k + t * KD, w->k_norm, o->K, t);
        linear_back(dnormed + t * C, &g->q, dq + t * Q, x, &w->q);
        linear_back(dnormed + t * C, &g->k, dk + t * KD, x, &w->k);
        linear_back(dnormed + t * C, &g->v, dv + t * KD, x, &w->v);
        for (int i = 0; i < C; i++) dx[t * C + i] += dmiddle[t * C + i];
        norm_back(o, dx + t * C, g->norm_1, dnormed + t * C, a->x + t * C, w->norm_1, C);
    }
    double *all[] = {dmiddle, dheads, dq, dk, dv, dnormed};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

/* ---- [embedding] x_t = wte_token + wpe_t, or without wpe_t ---- */

static void embed(const Oracle *o, OracleRun *run, int t) {
    int C = o->C;
    for (int i = 0; i < C; i++)
        run->layer[0].x[t * C + i] =
            o->w.wte[run->token[t] * C + i] + (o->w.wpe ? o->w.wpe[t * C + i] : 0);
}

/* dx_i / dwte_i = dx_i / dwpe_i = 1 */
static void embed_back(const Oracle *o, const OracleRun *run, OracleTensors *g, int t,
                       const double *dx) {
    int C = o->C;
    for (int i = 0; i < C; i++) {
        g->wte[run->token[t] * C + i] += dx[t * C + i];
        if (g->wpe) g->wpe[t * C + i] += dx[t * C + i];
    }
}

/* ---- [head] logit_v = sum_i normed_i head_vi; log p_v = logit_v - log sum_u exp(logit_u) ---- */

static void head(const Oracle *o, OracleRun *run, int t) {
    int C = o->C, V = o->V;
    double *logit = run->logits + (size_t)t * (size_t)V, *logp = run->logp + (size_t)t * (size_t)V,
           sum = 0;
    for (int v = 0; v < V; v++)
        for (int i = 0; i < C; i++) logit[v] += run->normed[t * C + i] * o->w.head[v * C + i];
    int best = 0;
    for (int v = 1; v < V; v++)
        if (logit[v] > logit[best]) best = v;
    run->best[t] = best;
    for (int v = 0; v < V; v++) sum += exp(logit[v] - logit[best]);
    for (int v = 0; v < V; v++) logp[v] = logit[v] - logit[best] - log(sum);
}

/* d logp_target / d logit_v = (v = target) - p_v */
static void head_back(const Oracle *o, const OracleRun *run, OracleTensors *g, int t, int target,
                      double factor, double *dx) {
    int C = o->C;
    double *dnormed = mem_new((size_t)C, sizeof *dnormed);
    for (int v = 0; v < o->V; v++) {
        double dlogit = factor * ((v == target) - exp(run->logp[t * o->V + v]));
        for (int i = 0; i < C; i++) {
            dnormed[i] += dlogit * o->w.head[v * C + i];
            g->head[v * C + i] += dlogit * run->normed[t * C + i];
        }
    }
    norm_back(o, dx + t * C, g->norm, dnormed, run->x + t * C, o->w.norm, C);
    free(dnormed);
}

/* ---- the whole ---- */

static OracleRun *run_new(const Oracle *o, int n) {
    size_t N = (size_t)n, C = (size_t)o->C, F = (size_t)o->F, V = (size_t)o->V, R = sizeof(double);
    size_t Q = (size_t)(o->H * o->D), KD = (size_t)(o->K * o->D);
    OracleRun *run = mem_new(1, sizeof *run);
    *run = (OracleRun){
        .n = n, .layers = o->L, .token = mem_new(N, sizeof(int)), .best = mem_new(N, sizeof(int))};
    run->layer = mem_new((size_t)o->L, sizeof *run->layer);
    for (int l = 0; l < o->L; l++)
        run->layer[l] = (OracleActivations){.x = mem_new(N * C, R),
                                            .normed_1 = mem_new(N * C, R),
                                            .q = mem_new(N * Q, R),
                                            .k = mem_new(N * KD, R),
                                            .v = mem_new(N * KD, R),
                                            .raw_q = mem_new(N * Q, R),
                                            .raw_k = mem_new(N * KD, R),
                                            .p = mem_new((size_t)o->H * N * N, R),
                                            .heads = mem_new(N * Q, R),
                                            .middle = mem_new(N * C, R),
                                            .normed_2 = mem_new(N * C, R),
                                            .gate = mem_new(N * F, R),
                                            .up = mem_new(N * F, R),
                                            .act = mem_new(N * F, R)};
    run->x = mem_new(N * C, R);
    run->normed = mem_new(N * C, R);
    run->logits = mem_new(N * V, R);
    run->logp = mem_new(N * V, R);
    return run;
}

void oracle_run_free(OracleRun *run) {
    for (int l = 0; l < run->layers; l++) {
        OracleActivations *a = &run->layer[l];
        double *all[] = {a->x, a->normed_1, a->q,      a->k,        a->v,    a->raw_q, a->raw_k,
                         a->p, a->heads,    a->middle, a->normed_2, a->gate, a->up,    a->act};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    }
    free(run->layer);
    free(run->token);
    free(run->best);
    free(run->x);
    free(run->normed);
    free(run->logits);
    free(run->logp);
    free(run);
}

OracleRun *oracle_run(const Oracle *o, const int *tokens, int n) {
    int C = o->C;
    OracleRun *run = run_new(o, n);
    memcpy(run->token, tokens, (size_t)n * sizeof *tokens);
    for (int t = 0; t < n; t++) embed(o, run, t);
    for (int l = 0; l < o->L; l++) {
        double *y = l + 1 < o->L ? run->layer[l + 1].x : run->x;
        layer_forward(o, &o->w.layer[l], &run->layer[l], y, n);
    }
    for (int t = 0; t < n; t++) {
        norm(o, run->normed + t * C, run->x + t * C, o->w.norm, C);
        head(o, run, t);
    }
    return run;
}

void oracle_backward(const Oracle *o, const OracleRun *run, int P, const int *target,
                     const double *factor, double *grad) {
    int n = run->n, C = o->C;
    OracleTensors g = tensors_of(o, grad);
    double *dy = mem_new((size_t)n * (size_t)C, sizeof *dy);
    for (int t = 0; t < n; t++)
        if (target[t] >= 0) head_back(o, run, &g, t, target[t], factor[t], dy);
    for (int l = o->L - 1; l >= 0; l--) {
        double *dx = mem_new((size_t)n * (size_t)C, sizeof *dx);
        layer_backward(o, &o->w.layer[l], &g.layer[l], &run->layer[l], n, P, dy, dx);
        free(dy);
        dy = dx;
    }
    for (int t = 0; t < n; t++) embed_back(o, run, &g, t, dy);
    free(dy);
    free(g.layer);
}

/* ---- E6: tf-idf vectors over all token ids, their cosines, and k times the largest one that is
 * left ---- */

enum { IDS = 200 };

static bool has_token(const Example *e, int id) {
    for (int i = 0; i < e->bare_n; i++)
        if (e->bare[i] == id) return true;
    return false;
}

/* v_id = tf (ln((1 + N) / (1 + df)) + 1) */
static void tfidf(const Examples *holdout, const Example *x, double *v) {
    for (int id = 0; id < IDS; id++) {
        int tf = 0, df = 0;
        for (int i = 0; i < x->bare_n; i++) tf += x->bare[i] == id;
        for (int h = 0; h < holdout->count && tf; h++) df += has_token(&holdout->items[h], id);
        v[id] = tf * (log((1.0 + holdout->count) / (1.0 + df)) + 1);
    }
}

static double cosine_of(const double *a, const double *b) {
    double ab = 0, aa = 0, bb = 0;
    for (int id = 0; id < IDS; id++) {
        ab += a[id] * b[id];
        aa += a[id] * a[id];
        bb += b[id] * b[id];
    }
    return aa > 0 && bb > 0 ? ab / (sqrt(aa) * sqrt(bb)) : 0;
}

static bool equal_prompts(const Example *a, const Example *b) {
    if (a->bare_n != b->bare_n) return false;
    for (int i = 0; i < a->bare_n; i++)
        if (a->bare[i] != b->bare[i]) return false;
    return true;
}

static bool equal_examples(const Example *a, const Example *b) {
    if (!equal_prompts(a, b) || a->answer_n != b->answer_n) return false;
    for (int i = 0; i < a->answer_n; i++)
        if (a->answer[i] != b->answer[i]) return false;
    return true;
}

int oracle_nearest(const Examples *holdout, const Example *x, int k, bool leak, int *nearest) {
    double *cosine = mem_new((size_t)holdout->count, sizeof *cosine), a[IDS], b[IDS];
    int *best_first = mem_new((size_t)holdout->count + 1, sizeof *best_first), n = 0;
    tfidf(holdout, x, a);
    for (int h = 0; h < holdout->count; h++) {
        tfidf(holdout, &holdout->items[h], b);
        cosine[h] = !leak && equal_prompts(x, &holdout->items[h]) ? -1 : cosine_of(a, b);
    }
    for (; n < k; n++) {
        int best = -1;
        for (int h = 0; h < holdout->count; h++)
            if (cosine[h] >= 0 && (best < 0 || cosine[h] > cosine[best] + 1e-9)) best = h;
        if (best < 0) break;
        best_first[n] = best;
        for (int h = 0; h < holdout->count; h++) /* the chosen one and all that are the same */
            if (equal_examples(&holdout->items[h], &holdout->items[best])) cosine[h] = -1;
    }
    for (int i = 0; i < n; i++) nearest[i] = best_first[n - 1 - i];
    free(cosine);
    free(best_first);
    return n;
}

int oracle_context(const Oracle *o, const Examples *holdout, const Example *x, int k,
                   const Example **shown) {
    int *nearest = mem_new((size_t)k + 1, sizeof *nearest),
        n = oracle_nearest(holdout, x, k, false, nearest), kept = 0;
    /* the model reads all but the row's last token */
    int length = holdout->bos_n + x->prompt_n +
                 (x->answer_n > x->rejected_n ? x->answer_n : x->rejected_n) - 1;
    for (int i = n - 1; i >= 0; i--) { /* from the nearest on, until one does not fit */
        length += holdout->items[nearest[i]].prompt_n + holdout->items[nearest[i]].answer_n;
        if (length > o->T) break;
        kept++;
    }
    for (int i = 0; i < kept; i++) shown[i] = &holdout->items[nearest[n - kept + i]];
    free(nearest);
    return kept;
}

/* ---- log-likelihoods: logp(y|C,x) = sum over y's tokens of log p(token | all before it) ---- */

/* The whole row; *first is where the answer begins. */
static IntBuf row_of(const Examples *form, const Example *const *shown, int n, const Example *x,
                     bool rejected, int *first) {
    IntBuf row = {0};
    for (int i = 0; i < form->bos_n; i++) ints_put(&row, form->bos[i]);
    for (int d = 0; d < n; d++) {
        for (int i = 0; i < shown[d]->prompt_n; i++) ints_put(&row, shown[d]->prompt[i]);
        for (int i = 0; i < shown[d]->answer_n; i++) ints_put(&row, shown[d]->answer[i]);
    }
    for (int i = 0; i < x->prompt_n; i++) ints_put(&row, x->prompt[i]);
    *first = row.n;
    for (int i = 0; i < (rejected ? x->rejected_n : x->answer_n); i++)
        ints_put(&row, rejected ? x->rejected[i] : x->answer[i]);
    return row;
}

double oracle_logp(const Oracle *o, const Examples *form, const Example *const *shown, int n,
                   const Example *x, bool rejected) {
    int first;
    IntBuf row = row_of(form, shown, n, x, rejected, &first);
    OracleRun *run = oracle_run(o, row.v, row.n - 1);
    double logp = 0;
    for (int t = first; t < row.n; t++)
        logp += run->logp[(size_t)(t - 1) * (size_t)o->V + (size_t)row.v[t]];
    oracle_run_free(run);
    ints_free(&row);
    return logp;
}

/* ---- scores ---- */

/* Log-likelihoods of z's two answers (the second is 0 where there is none), with its context and
 * without. */
typedef struct {
    double without[2], with[2];
} BothWays;

static BothWays both_ways(const Oracle *o, const Examples *holdout, const Example *z, int k) {
    const Example **shown = mem_new((size_t)k + 1, sizeof *shown);
    int n = oracle_context(o, holdout, z, k, shown);
    BothWays p = {{0}, {0}};
    for (int a = 0; a < (z->rejected ? 2 : 1); a++) {
        p.without[a] = oracle_logp(o, holdout, NULL, 0, z, a == 1);
        p.with[a] = oracle_logp(o, holdout, shown, n, z, a == 1);
    }
    free(shown);
    return p;
}

/* E5: s = l(y|x) - l(y|x,C), l = -logp */
double oracle_ica(const Oracle *o, const Examples *holdout, const Example *z, int k, bool mean) {
    BothWays p = both_ways(o, holdout, z, k);
    double n_y = mean ? z->answer_n : 1;
    return -p.without[0] / n_y - -p.with[0] / n_y;
}

/* E7a: s = [logp(y_w|C,x) - logp(y_l|C,x)] - [logp(y_w|x) - logp(y_l|x)] */
double oracle_margin(const Oracle *o, const Examples *holdout, const Example *z, int k) {
    BothWays p = both_ways(o, holdout, z, k);
    return (p.with[0] - p.with[1]) - (p.without[0] - p.without[1]);
}

/* E15: s = l(y|x; theta) - l(y|x; theta_ref) */
double oracle_rho(const Oracle *o, const Oracle *reference, const Examples *form, const Example *z,
                  bool mean) {
    double n_y = mean ? z->answer_n : 1;
    return -oracle_logp(o, form, NULL, 0, z, false) / n_y -
           -oracle_logp(reference, form, NULL, 0, z, false) / n_y;
}

/* E16: s = mean over h of logp(y_h|z,x_h) - logp(y_h|x_h) */
double oracle_oneshot(const Oracle *o, const Examples *holdout, const Example *z, const int *anchor,
                      int m, bool mean) {
    double s = 0;
    for (int i = 0; i < m; i++) {
        const Example *h = &holdout->items[anchor[i]];
        double n_y = mean ? h->answer_n : 1;
        s += (oracle_logp(o, holdout, &z, 1, h, false) / n_y -
              oracle_logp(o, holdout, NULL, 0, h, false) / n_y) /
             m;
    }
    return s;
}

/* ---- objectives ---- */

/* E10: l = -(1/n_y) logp(y|x) */
OracleLoss oracle_sft(double logp, int tokens) {
    return (OracleLoss){-logp / tokens, -1.0 / tokens, 0};
}

static double sigmoid(double z) { return 1 / (1 + exp(-z)); }

/* E11: z = beta ([logp(y_w) - ref(y_w)] - [logp(y_l) - ref(y_l)]) E12: z = (beta / n_w)
 * logp(y_w) - (beta / n_l) logp(y_l) - gamma, gamma = beta x ratio l = -(1 - e) log sigmoid(z) -
 * e log sigmoid(-z), so dl/dz = -(1 - e) (1 - sigmoid(z)) + e sigmoid(z) */
OracleLoss oracle_pair(Objective dpo_or_simpo, const PairOptions *how, const PairLogps *p) {
    double e = how->label_smoothing, z, dz_dw, dz_dl;
    if (dpo_or_simpo == OBJECTIVE_DPO) {
        z = how->beta * ((p->chosen - p->chosen_reference) - (p->rejected - p->rejected_reference));
        dz_dw = how->beta;
        dz_dl = -how->beta;
    } else {
        dz_dw = how->beta / p->chosen_tokens;
        dz_dl = -how->beta / p->rejected_tokens;
        z = dz_dw * p->chosen + dz_dl * p->rejected - how->beta * how->gamma_beta_ratio;
    }
    double dl_dz = -(1 - e) * (1 - sigmoid(z)) + e * sigmoid(z);
    return (OracleLoss){-(1 - e) * log(sigmoid(z)) - e * log(sigmoid(-z)), dl_dz * dz_dw,
                        dl_dz * dz_dl};
}

static OracleLoss loss_from(const Example *z, double w, double l, Objective objective,
                            const PairOptions *how, const double *reference) {
    if (objective == OBJECTIVE_SFT) return oracle_sft(w, z->answer_n);
    PairLogps p = {w,
                   l,
                   reference ? reference[0] : 0,
                   reference ? reference[1] : 0,
                   z->answer_n,
                   z->rejected_n};
    return oracle_pair(objective, how, &p);
}

OracleLoss oracle_loss(const Oracle *o, const Examples *form, const Example *z, Objective objective,
                       const PairOptions *how, const double *reference) {
    double w = oracle_logp(o, form, NULL, 0, z, false);
    double l = objective == OBJECTIVE_SFT ? 0 : oracle_logp(o, form, NULL, 0, z, true);
    return loss_from(z, w, l, objective, how, reference);
}

/* E7b: s = l_pair(theta) - l_pair(theta given C), the reference always without C */
double oracle_pair_drop(const Oracle *o, const Examples *holdout, const Example *z, int k,
                        Objective objective, const PairOptions *how, const double *reference) {
    BothWays p = both_ways(o, holdout, z, k);
    return loss_from(z, p.without[0], p.without[1], objective, how, reference).loss -
           loss_from(z, p.with[0], p.with[1], objective, how, reference).loss;
}

/* grad += factor x d logp(answer) / d weights */
static void logp_gradient(const Oracle *o, const Examples *form, const Example *z, bool rejected,
                          double factor, double *grad) {
    int first;
    IntBuf row = row_of(form, NULL, 0, z, rejected, &first);
    int *target = mem_new((size_t)row.n, sizeof *target);
    double *factors = mem_new((size_t)row.n, sizeof *factors);
    OracleRun *run = oracle_run(o, row.v, row.n - 1);
    for (int t = 0; t + 1 < row.n; t++) {
        target[t] = t + 1 >= first ? row.v[t + 1] : -1;
        factors[t] = factor;
    }
    oracle_backward(o, run, 0, target, factors, grad);
    oracle_run_free(run);
    free(factors);
    free(target);
    ints_free(&row);
}

void oracle_loss_gradient(const Oracle *o, const Examples *form, const Example *z,
                          Objective objective, const PairOptions *how, const double *reference,
                          double factor, double *grad) {
    OracleLoss loss = oracle_loss(o, form, z, objective, how, reference);
    logp_gradient(o, form, z, false, factor * loss.by_chosen, grad);
    if (objective != OBJECTIVE_SFT)
        logp_gradient(o, form, z, true, factor * loss.by_rejected, grad);
}

/* ---- weights ---- */

/* The p-quantile, linear between neighbors. */
static double quantile_of(const double *score, int n, double p) {
    double *sorted = mem_new((size_t)n, sizeof *sorted);
    for (int i = 0; i < n; i++) { /* by insertion */
        int at = i;
        for (; at > 0 && sorted[at - 1] > score[i]; at--) sorted[at] = sorted[at - 1];
        sorted[at] = score[i];
    }
    double position = p * (n - 1), below = floor(position), part = position - below;
    double value = (1 - part) * sorted[(int)below] + part * sorted[(int)below + (part > 0)];
    free(sorted);
    return value;
}

/* E19: the share of values that are not larger, the candidate's own among them */
double oracle_p(const double *holdout, int m, double value) {
    double count = 1;
    for (int j = 0; j < m; j++) count += holdout[j] <= value;
    return count / (m + 1);
}

/* E20: P(not flipped) of score i, with the share pi by expectation and maximization */
double oracle_unflipped(double slope, const double *score, int n, int i) {
    double pi = 0.5, before = 0;
    for (int round = 0; round < 1000 && fabs(pi - before) >= 1e-10; round++) {
        double sum = 0;
        before = pi;
        for (int j = 0; j < n; j++) {
            double clean = pi * exp(slope * score[j] / 2);
            double flipped = (1 - pi) * exp(-slope * score[j] / 2);
            sum += clean / (clean + flipped);
        }
        pi = sum / n;
    }
    double clean = pi * exp(slope * score[i] / 2);
    double flipped = (1 - pi) * exp(-slope * score[i] / 2);
    return clean / (clean + flipped);
}

/* E8: w = (s - low) / (high - low), in [0, 1]; all equal: 1 */
static double minmax(double s, double low, double high) {
    if (high > low) return fmin(1, fmax(0, (s - low) / (high - low)));
    return s < low ? 0 : 1;
}

double oracle_weight(WeightMap map, const MapOptions *how, const double *score, int n, int i) {
    double low = INFINITY, high = -INFINITY, mean = 0, variance = 0, s = score[i];
    int less = 0, equal = 0, before = 0;
    for (int j = 0; j < n; j++) {
        low = fmin(low, score[j]);
        high = fmax(high, score[j]);
        mean += score[j] / n;
        less += score[j] < s;
        equal += score[j] == s;
        before += score[j] > s || (score[j] == s && j < i);
    }
    for (int j = 0; j < n; j++) variance += (score[j] - mean) * (score[j] - mean) / n;
    switch (map) {
    case MAP_CLIP:
        return minmax(s, quantile_of(score, n, how->clip), quantile_of(score, n, 1 - how->clip));
    case MAP_RANK: return n > 1 ? (less + (equal - 1) / 2.0) / (n - 1) : 1;
    /* up to a common factor */
    case MAP_SOFTMAX: return high > low ? exp((s - mean) / sqrt(variance) / how->temperature) : 1;
    case MAP_TOP: return before < fmax(1, floor(how->share * n + 0.5));
    case MAP_POSITIVE: return fmax(0, s);
    case MAP_FILTER: return s > 0;
    case MAP_ACCEPT:
        return s >= how->threshold[0] &&
               (!how->likelihood || how->likelihood[i] >= how->threshold[1]);
    case MAP_MIRROR: {
        double w = 2 * oracle_unflipped(how->slope, score, n, i) - 1;
        return how->relabel ? fabs(w) : fmax(0, w);
    }
    default: return minmax(s, low, high);
    }
}

/* E9: w_i / W. Micro-batches each have their own W, and the gradient is the mean over
 * micro-batches, by their sizes. */
double oracle_coefficient(Normalize how, const double *weight, const int *tokens, int n, int micro,
                          int i) {
    double all = 0, own = 0, words = 0;
    int in_own = 0;
    for (int j = 0; j < n; j++) {
        all += weight[j];
        words += tokens[j] * weight[j];
        if (j / micro != i / micro) continue;
        own += weight[j];
        in_own++;
    }
    if (all == 0) return 0;
    switch (how) {
    case NORMALIZE_MICRO: return own > 0 ? weight[i] / own * in_own / n : 0;
    case NORMALIZE_COUNT: return weight[i] / n;
    case NORMALIZE_NONE: return weight[i];
    case NORMALIZE_TOKENS: return tokens[i] / words * weight[i];
    default: return weight[i] / all;
    }
}

/* E18: (sum w)^2 / sum w^2 */
double oracle_sample_size(const double *weight, int n) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        sum += weight[i];
        squares += pow(weight[i], 2);
    }
    return squares > 0 ? pow(sum, 2) / squares : 0;
}

/* E13, Loshchilov and Hutter 2019: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, w -= lr
 * (m_hat / (sqrt(v_hat) + epsilon) + decay w), m_hat = m / (1 - b1^t), v_hat = v / (1 - b2^t) */
void oracle_adamw(const OracleAdam *how, OracleWeight *x, double g, int t) {
    x->m = how->beta1 * x->m + (1 - how->beta1) * g;
    x->v = how->beta2 * x->v + (1 - how->beta2) * pow(g, 2);
    double m_hat = x->m / (1 - pow(how->beta1, t)), v_hat = x->v / (1 - pow(how->beta2, t));
    x->w -= how->learning_rate * (m_hat / (sqrt(v_hat) + how->epsilon) + how->decay * x->w);
}
