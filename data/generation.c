/* Tokens one after the other: the model's logits, a choice, and the chosen token as the next input.
 */
#include "data/generation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

const char *const STOP_REASONS[] = {
    [STOP_END] = "end", [STOP_LENGTH] = "length", [STOP_CONTEXT] = "context"};
_Static_assert(sizeof STOP_REASONS / sizeof *STOP_REASONS == STOP_COUNT, "a row each");

struct Generator {
    const ModelFolder *f;
    const char *path;
    const Sampling *how;
    Rng rng;
    bool *ends; /* [vocab] does the token end an answer? */
    IntBuf row; /* the row so far; the first past->length tokens are in `past` */
    Prefix *past;
    Workspace *ws;
    real *logits; /* [vocab] */
};

/* Marks an id, or a list of them. */
static void mark_ends(Generator *g, const Json *v) {
    int vocab = g->f->model->config.vocab;
    if (v && v->type == JSON_NUMBER && v->is_integer && v->number >= 0 && v->number < vocab)
        g->ends[(int)v->number] = true;
    for (int i = 0; v && v->type == JSON_ARRAY && i < v->count; i++)
        if (v->items[i].type == JSON_NUMBER) mark_ends(g, &v->items[i]);
}

/* Marks what a text in JSON says: an id or a list, or an object that has them under a key. */
static void mark_text(Generator *g, const char *text, const char *key) {
    Arena arena = {0};
    const Json *v = text ? json_parse(&arena, text, strlen(text), NULL) : NULL;
    mark_ends(g, key ? json_get(v, key) : v);
    arena_free(&arena);
}

Generator *generator_new(const ModelFolder *f, const char *path, const Sampling *how,
                         uint64_t seed) {
    size_t vocab = (size_t)f->model->config.vocab;
    Generator *g = mem_new(1, sizeof *g);
    *g = (Generator){.f = f, .path = path, .how = how, .ws = workspace_new()};
    g->ends = mem_new(vocab, sizeof *g->ends);
    g->logits = mem_new(vocab, sizeof *g->logits);
    g->past = prefix_new(f->model, f->model->config.context);
    generator_seed(g, seed);
    mark_text(g, f->ids[1], NULL);
    mark_text(g, f->generation_config, "eos_token_id");
    if (f->tokenizer) {
        IntBuf end = {0};
        template_end(&f->template, f->tokenizer, &end);
        g->ends[end.v[end.n - 1]] = true;
        ints_free(&end);
    }
    return g;
}

void generator_seed(Generator *g, uint64_t seed) { g->rng = rng_new(seed, RNG_GENERATE); }

void generator_free(Generator *g) {
    if (!g) return;
    prefix_free(g->past);
    workspace_free(g->ws);
    ints_free(&g->row);
    free(g->ends);
    free(g->logits);
    free(g);
}

/* Takes a new row. What it has in common with the one before stays cached, but for its last token:
 * that must run to predict. */
static void take_row(Generator *g, const IntBuf *row) {
    int common = 0, most = g->past->length < row->n ? g->past->length : row->n - 1;
    while (common < most && g->row.v[common] == row->v[common]) common++;
    g->past->length = common;
    g->row.n = 0;
    ints_append(&g->row, row->v, row->n);
}

/* Runs the row's tokens that are not cached, and leaves the last one's logits. */
static bool next_logits(Generator *g, int place, Error *err) {
    const Model *m = g->f->model;
    Batch b = {0};
    bool finite = true;
    batch_row_inputs(&b, g->row.v + g->past->length, g->row.n - g->past->length, g->past);
    model_extend(m, g->ws, &b);
    model_logits(m, g->ws, 0, g->logits);
    batch_free(&b);
    for (int v = 0; v < m->config.vocab; v++) finite &= isfinite(g->logits[v]) != 0;
    return finite ||
           error_set(err, STATUS_DIVERGED,
                     "%s: token %d has no finite logits: the model's parameters are not usable, as "
                     "after a training that diverged",
                     g->path, place);
}

bool generator_answer(Generator *g, const IntBuf *row, int most, AnswerHeard heard, void *whose,
                      IntBuf *answer, StopReason *why, Error *err) {
    const ModelConfig *shape = &g->f->model->config;
    int from = answer->n;
    take_row(g, row);
    for (*why = STOP_LENGTH; answer->n - from < most;) {
        if (g->row.n > shape->context) {
            *why = STOP_CONTEXT;
            break;
        }
        if (!next_logits(g, answer->n - from + 1, err)) return false;
        int next = sampling_draw(g->how, g->logits, shape->vocab, g->row.v, g->row.n, &g->rng);
        if (g->ends[next]) {
            *why = STOP_END;
            break;
        }
        ints_put(answer, next);
        ints_put(&g->row, next);
        if (heard && !heard(whose, answer, err)) return false;
    }
    return true;
}
