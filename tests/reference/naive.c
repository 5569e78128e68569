/* The twins: nested loops over the formulas that stand above their fast forms in model.c. */
#include "tests/reference/naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- attention ---- */

/* One head of one row: who asks, and where everybody's keys and values are. */
typedef struct {
    const Prefix *past; /* NULL, or the positions before the row: */
    int P, C, D, layer, channel;
    const real *own; /* [n][3C] queries, keys and values of the row's tokens */
} Asked;

static const real *query(const Asked *a, int i) { return a->own + (size_t)i * 3 * (size_t)a->C + a->channel; }

/* The key (which = 1) or value (which = 2) of position j: the row's own, or that of the prefix that holds it. */
static const real *position(const Asked *a, int j, int which) {
    size_t C = (size_t)a->C;
    if (j >= a->P) return a->own + (size_t)(j - a->P) * 3 * C + (size_t)which * C + a->channel;
    const Prefix *p = a->past;
    while (p->parent && j < p->parent->length) p = p->parent;
    size_t at = (size_t)a->layer * (size_t)p->capacity + (size_t)(j - (p->parent ? p->parent->length : 0));
    return p->kv + at * 2 * C + (size_t)(which - 1) * C + a->channel;
}

static real dot(const real *x, const real *y, int n) {
    real sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* x[n] becomes exp(x_i) / sum of exp; all are shifted by their maximum, which cancels, so that none overflows. */
static void softmax(real *x, int n) {
    real most = x[0], total = 0;
    for (int i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++) total += x[i] = (real)exp((double)(x[i] - most));
    for (int i = 0; i < n; i++) x[i] /= total;
}

/* p[P + i + 1]: p_ij = softmax over j of q_i k_j / sqrt(D). */
static void probabilities(const Asked *a, int i, real *p) {
    for (int j = 0; j <= a->P + i; j++) p[j] = dot(query(a, i), position(a, j, 1), a->D) / (real)sqrt((double)a->D);
    softmax(p, a->P + i + 1);
}

static Asked asked(const Model *m, const Batch *b, int layer, int row, int head, const real *qkv) {
    int C = m->config.channels, D = C / m->config.heads;
    const Prefix *past = b->prefix[row];
    return (Asked){past, past ? past->length : 0, C, D, layer, head * D, qkv + (size_t)b->start.v[row] * 3 * (size_t)C};
}

/* o_i = sum over j of p_ij v_j */
void naive_attention_forward(const Model *m, const Batch *b, int layer, real *out, const real *qkv) {
    real *p = mem_new((size_t)m->config.context, sizeof *p);
    for (int r = 0; r < b->rows; r++)
        for (int h = 0; h < m->config.heads; h++) {
            Asked a = asked(m, b, layer, r, h, qkv);
            for (int i = 0; i < b->start.v[r + 1] - b->start.v[r]; i++) {
                real *o = out + (size_t)(b->start.v[r] + i) * (size_t)a.C + a.channel;
                probabilities(&a, i, p);
                memset(o, 0, (size_t)a.D * sizeof *o);
                for (int j = 0; j <= a.P + i; j++)
                    for (int d = 0; d < a.D; d++) o[d] += p[j] * position(&a, j, 2)[d];
            }
        }
    free(p);
}

/* What query i adds to the derivatives of its row, [n][3C] with the head's channel first; p has room for two rows. */
static void query_backward(const Asked *a, int i, real *dqkv, const real *dout, real *p) {
    size_t C = (size_t)a->C;
    int seen = a->P + i + 1;
    real *dp = p + seen, inner = 0, scale = 1 / (real)sqrt((double)a->D), *dq = dqkv + (size_t)i * 3 * C;
    probabilities(a, i, p);
    for (int j = 0; j < seen; j++) dp[j] = dot(dout, position(a, j, 2), a->D);
    for (int j = 0; j < seen; j++) inner += p[j] * dp[j];
    for (int j = 0; j < seen; j++) {
        real ds = p[j] * (dp[j] - inner) * scale;
        for (int d = 0; d < a->D; d++) dq[d] += ds * position(a, j, 1)[d];
        if (j < a->P) continue;
        real *dk = dqkv + (size_t)(j - a->P) * 3 * C + C, *dv = dk + C;
        for (int d = 0; d < a->D; d++) {
            dk[d] += ds * query(a, i)[d];
            dv[d] += p[j] * dout[d];
        }
    }
}

void naive_attention_backward(const Model *m, const Batch *b, int layer, real *dqkv, const real *dout, const real *qkv) {
    real *p = mem_new(2 * (size_t)m->config.context, sizeof *p);
    memset(dqkv, 0, (size_t)b->tokens * 3 * (size_t)m->config.channels * sizeof *dqkv);
    for (int r = 0; r < b->rows; r++)
        for (int h = 0; h < m->config.heads; h++) {
            Asked a = asked(m, b, layer, r, h, qkv);
            size_t first = (size_t)b->start.v[r], C = (size_t)a.C, channel = (size_t)a.channel;
            for (int i = 0; i < b->start.v[r + 1] - b->start.v[r]; i++)
                query_backward(&a, i, dqkv + first * 3 * C + channel, dout + (first + (size_t)i) * C + channel, p);
        }
    free(p);
}

/* ---- the head: logit_v = h wte_v, log p(target) = logit_target - log sum_v exp(logit_v) ---- */

static real *logits_new(const Model *m, const real *h) {
    int C = m->config.channels;
    real *logit = mem_new((size_t)m->config.vocab, sizeof *logit);
    for (int v = 0; v < m->config.vocab; v++) logit[v] = dot(h, m->view.wte + (size_t)v * (size_t)C, C);
    return logit;
}

void naive_lm_forward(const Model *m, const real *h, int target, double weight, double *term, int *hit) {
    real *logit = logits_new(m, h), total = 0;
    int best = 0;
    for (int v = 1; v < m->config.vocab; v++) best = logit[v] > logit[best] ? v : best;
    for (int v = 0; v < m->config.vocab; v++) total += (real)exp((double)(logit[v] - logit[best]));
    *term = weight * ((double)(logit[target] - logit[best]) - log((double)total));
    *hit = best == target;
    free(logit);
}

/* dlogit_v = factor ((v is target) - p_v), dh = sum_v dlogit_v wte_v, dwte_v += dlogit_v h */
void naive_lm_backward(const Model *m, const real *h, int target, real factor, real *dh, real *dwte) {
    size_t C = (size_t)m->config.channels;
    real *p = logits_new(m, h);
    softmax(p, m->config.vocab);
    memset(dh, 0, C * sizeof *dh);
    for (int v = 0; v < m->config.vocab; v++) {
        real dlogit = factor * ((v == target) - p[v]);
        for (size_t c = 0; c < C; c++) {
            dh[c] += dlogit * m->view.wte[(size_t)v * C + c];
            dwte[(size_t)v * C + c] += dlogit * h[c];
        }
    }
    free(p);
}

/* ---- gradients of single rows ---- */

void naive_gradient_dots(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, const real *direction,
                         double *product) {
    real *grad = mem_new(m->parameters, sizeof *grad);
    Batch one = {0};
    for (int r = 0; r < b->rows; r++) {
        int from = b->start.v[r], n = b->start.v[r + 1] - from;
        double logp;
        batch_clear(&one);
        batch_row_inputs(&one, b->token.v + from, n, b->prefix[r]);
        for (int i = 0; i < n; i++) {
            one.target.v[i] = b->target.v[from + i];
            one.weight[i] = b->weight[from + i];
        }
        model_forward_backward(m, ws, &one, &dlogp[r], &logp, grad, false);
        product[r] = 0;
        for (size_t i = 0; i < m->parameters; i++) product[r] += (double)grad[i] * (double)direction[i];
    }
    batch_free(&one);
    free(grad);
}
