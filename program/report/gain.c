#include "program/report/gain.h"

#include "scoring/context.h"

#include <math.h>
#include <stdlib.h>

struct Gains {
    ModelFolder folder;
    Splits files;
    Workspace *ws;
};

Gains *gains_open(const GainFiles *in, Error *err) {
    Gains *g = mem_new(1, sizeof *g);
    SplitFiles files = {.pool = in->pool,
                        .holdout = in->holdout,
                        .demos_as = in->demos_as,
                        .truncate = true,
                        .allow_overlap = true,
                        .pairs = in->pairs,
                        .holdout_pairs = in->pairs};
    bool loaded = model_folder_load_as(&g->folder, in->model, in->template, false, err);
    if (loaded && splits_read(&g->files, &g->folder, &files, err)) {
        g->ws = workspace_new();
        return g;
    }
    if (loaded) model_folder_free(&g->folder);
    free(g);
    return NULL;
}

void gains_close(Gains *g) {
    if (!g) return;
    workspace_free(g->ws);
    splits_free(&g->files);
    model_folder_free(&g->folder);
    free(g);
}

int gains_record(const Gains *g, Str id) { return records_find(&g->files.pool.data, id); }

int gains_demo(const Gains *g, Str id) { return records_find(&g->files.holdout.data, id); }

/* log p(token) by the logits[vocab] before it. */
static double log_p(const real *logits, int vocab, int token) {
    double most = (double)logits[0], sum = 0;
    for (int v = 1; v < vocab; v++)
        if ((double)logits[v] > most) most = (double)logits[v];
    for (int v = 0; v < vocab; v++) sum += exp((double)logits[v] - most);
    return (double)logits[token] - most - log(sum);
}

/* Fills logp[n] for the tokens row[from..from + n), one after the other. */
static void token_logps(const Gains *g, const int *row, int from, int n, double *logp) {
    const Model *m = g->folder.model;
    Prefix *past = prefix_new(m, from + n - 1);
    Batch b = {0};
    real *logits = mem_new((size_t)m->config.vocab, sizeof *logits);
    for (int i = 0, done = 0; i < n; done = from + i, i++) {
        batch_clear(&b);
        batch_row_inputs(&b, row + done, from + i - done, past);
        model_extend(m, g->ws, &b);
        model_logits(m, g->ws, 0, logits);
        logp[i] = log_p(logits, m->config.vocab, row[from + i]);
    }
    free(logits);
    batch_free(&b);
    prefix_free(past);
}

/* The same for the answer of a query. False if it does not fit. */
static bool query_logps(const Gains *g, const Query *q, double *logp) {
    IntBuf row = {0};
    int from = query_row(&g->files.pool.examples, q, &row);
    bool fits = from > 0 && row.n - 1 <= g->folder.model->config.context;
    if (fits) token_logps(g, row.v, from, row.n - from, logp);
    ints_free(&row);
    return fits;
}

static Str token_text(const Gains *g, Arena *arena, int token) {
    Buf text = {0};
    if (!g->folder.tokenizer || !tokenizer_decode(g->folder.tokenizer, &token, 1, &text)) {
        text.n = 0;
        buf_printf(&text, "#%d", token);
    }
    Str copy = str_copy(arena, (Str){text.s, text.n});
    buf_free(&text);
    return copy;
}

bool gains_of(Gains *g, int record, bool rejected, const int *demos, int n_demos, Arena *arena,
              TokenGains *out) {
    const Example *x = &g->files.pool.examples.items[record];
    const int *answer = rejected ? x->rejected : x->answer;
    int n = rejected ? x->rejected_n : x->answer_n;
    Demo *shown = arena_new(arena, (size_t)n_demos + 1, sizeof *shown);
    for (int i = 0; i < n_demos; i++) {
        const Example *h = &g->files.holdout.examples.items[demos[i]];
        shown[i] = (Demo){h, h};
    }
    double *alone = arena_new(arena, (size_t)n + 1, sizeof *alone),
           *gain = arena_new(arena, (size_t)n + 1, sizeof *gain);
    Query q = {.x = x, .rejected = rejected};
    if (n < 1 || !query_logps(g, &q, alone)) return false;
    q.demos = shown, q.n_demos = n_demos;
    if (!query_logps(g, &q, gain)) return false;
    *out = (TokenGains){n, arena_new(arena, (size_t)n, sizeof *out->text), gain, 0, 0};
    for (int i = 0; i < n; i++) {
        out->text[i] = token_text(g, arena, answer[i]);
        out->alone += alone[i], out->in_context += gain[i];
        gain[i] -= alone[i];
    }
    return isfinite(out->alone) && isfinite(out->in_context);
}
