/* Vectors of prompts by the model. */
#include "scoring/embedding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/gemm.h"

const Choice EMBEDDINGS[] = {
    [EMBEDDING_TFIDF] = {"tfidf", "rare tokens that they share"},
    [EMBEDDING_TOKENS] = {"tokens", "the mean of the model's token embeddings"},
    [EMBEDDING_HIDDEN] = {"hidden", "the mean of its last hidden states: a forward pass"},
};
_Static_assert(sizeof EMBEDDINGS / sizeof *EMBEDDINGS == EMBEDDING_COUNT, "a row each");

/* ---- one vector ---- */

static void add_reals(double *sum, const real *x, int n) {
    for (int i = 0; i < n; i++) sum[i] += (double)x[i];
}

/* Scales to length 1. A sum points where the mean does, so nothing divides by the tokens. */
static void normalize(double *vector, int n) {
    double length = sqrt(vector_dot(vector, vector, n));
    bool known = isfinite(length) && length > 0;
    for (int i = 0; i < n; i++) vector[i] = known ? vector[i] / length : 0;
}

/* ---- tokens ---- */

static void add_cost(const Embedder *e, double tokens, double flops) {
    if (!e->cost) return;
    e->cost->forward += tokens;
    e->cost->flops += flops;
}

static void embed_tokens(const Embedder *e, const Prompt *prompt, int n, double *vector) {
    const ModelView *f = &e->model->view;
    int C = e->model->shape.channels;
    real *row = mem_new((size_t)C, sizeof *row);
    for (int i = 0; i < n; i++) {
        double *sum = vector + (size_t)i * (size_t)C;
        for (int t = 0; t < prompt[i].bare.n; t++) {
            size_t at = (size_t)prompt[i].bare.token[t] * (size_t)C;
            real_copy(row, f->wte, f->wte_half, at, (size_t)C);
            add_reals(sum, row, C);
        }
        add_cost(e, 0, (double)prompt[i].bare.n * C);
    }
    free(row);
}

/* ---- hidden states ---- */

/* Runs the rows of a batch and adds up the hidden states of each one's prompt, which is the row's
 * end. A row is that of prompt[i]; vector is the first one's. */
static void run_rows(const Embedder *e, const Batch *b, const Prompt *prompt, double *vector) {
    const Model *m = e->model;
    int C = m->shape.channels;
    const real *hidden = model_hidden(m, e->ws, b);
    for (int r = 0; r < b->rows; r++) {
        int end = b->start.v[r + 1], n = batch_length(b, r);
        for (int t = end - prompt[r].prompt.n; t < end; t++)
            add_reals(vector + (size_t)r * (size_t)C, hidden + (size_t)t * (size_t)C, C);
        /* Every token passes the last layer, and none the head. */
        add_cost(e, n, model_flops(m, n, n, n) - 2.0 * m->config.vocab * C * n);
    }
}

/* Rows without a prompt are not run. As everywhere, a row's bits do not depend on its batch. */
static void embed_hidden(const Embedder *e, const Prompt *prompt, int n, double *vector) {
    size_t C = (size_t)e->model->shape.channels;
    Batch b = {0};
    IntBuf row = {0};
    for (int from = 0, to; from < n; from = to) {
        batch_clear(&b);
        for (to = from; to < n; to++) {
            const Prompt *p = &prompt[to];
            if (p->prompt.n == 0) break;
            if (b.rows > 0 && b.tokens + p->start.n + p->prompt.n > SHARE_TOKENS) break;
            row.n = 0;
            ints_append(&row, p->start.token, p->start.n);
            ints_append(&row, p->prompt.token, p->prompt.n);
            batch_row_inputs(&b, row.v, row.n, NULL);
        }
        if (b.rows > 0) run_rows(e, &b, prompt + from, vector + (size_t)from * C);
        else to++;
    }
    batch_free(&b);
    ints_free(&row);
}

void embed_prompts(const Embedder *e, const Prompt *prompt, int n, double *vector) {
    int C = e->model->shape.channels;
    if (n > 0) memset(vector, 0, mem_mul((size_t)n, (size_t)C) * sizeof *vector);
    if (e->by == EMBEDDING_TOKENS) embed_tokens(e, prompt, n, vector);
    if (e->by == EMBEDDING_HIDDEN) embed_hidden(e, prompt, n, vector);
    for (int i = 0; i < n; i++) normalize(vector + (size_t)i * (size_t)C, C);
}

/* ---- vectors that are kept ---- */

struct Vectors {
    int count;
    Prompt *prompt; /* [count], sorted */
    double *vector; /* [count][channels], or NULL before they are asked for */
    size_t channels;
};

static int compare_arrays(Document a, Document b) {
    if (a.token != b.token) return (uintptr_t)a.token < (uintptr_t)b.token ? -1 : 1;
    return (a.n > b.n) - (a.n < b.n);
}

/* By where the tokens are. */
static int compare_prompts(const void *a, const void *b) {
    const Prompt *x = a, *y = b;
    int c = compare_arrays(x->prompt, y->prompt);
    if (c == 0) c = compare_arrays(x->bare, y->bare);
    return c ? c : compare_arrays(x->start, y->start);
}

Vectors *vectors_new(const Prompt *prompt, int n) {
    Vectors *v = mem_new(1, sizeof *v);
    v->count = n;
    v->prompt = mem_new((size_t)n, sizeof *v->prompt);
    if (n > 0) memcpy(v->prompt, prompt, (size_t)n * sizeof *prompt);
    qsort(v->prompt, (size_t)n, sizeof *v->prompt, compare_prompts);
    return v;
}

void vectors_free(Vectors *v) {
    if (!v) return;
    free(v->prompt);
    free(v->vector);
    free(v);
}

const double *vectors_find(Vectors *v, const Embedder *e, const Prompt *prompt) {
    const Prompt *found =
        v ? bsearch(prompt, v->prompt, (size_t)v->count, sizeof *prompt, compare_prompts) : NULL;
    if (!found) return NULL;
    if (!v->vector) {
        v->channels = (size_t)e->model->shape.channels;
        v->vector = mem_new(mem_mul((size_t)v->count, v->channels), sizeof *v->vector);
        embed_prompts(e, v->prompt, v->count, v->vector);
    }
    return v->vector + (size_t)(found - v->prompt) * v->channels;
}
