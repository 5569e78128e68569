#include "scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/json.h"

static void put_score_record(Buf *b, const Loaded *pool, const Loaded *holdout, const Scores *s, const double *weight, int i) {
    buf_puts(b, "{\"id\":");
    json_put_string(b, pool->data.records[i].id);
    json_key_number(b, "score", s->score[i]);
    json_key_number(b, "weight", weight[i]);
    const Example *e = &pool->examples.items[i];
    bool pairs = isfinite(s->logp_rejected[i]) || isfinite(s->logp_rejected_in_context[i]);
    if (isfinite(s->logp[i])) json_key_number(b, pairs ? "logp_chosen" : "logp", s->logp[i]);
    if (isfinite(s->logp_rejected[i])) json_key_number(b, "logp_rejected", s->logp_rejected[i]);
    if (isfinite(s->logp_rejected_in_context[i])) json_key_number(b, "logp_rejected_in_context", s->logp_rejected_in_context[i]);
    if (isfinite(s->logp_in_context[i])) {
        json_key_number(b, pairs ? "logp_chosen_in_context" : "logp_in_context", s->logp_in_context[i]);
        buf_puts(b, ",\"demos\":[");
        for (int d = 0; d < s->n_demos[i]; d++) {
            if (d) buf_putc(b, ',');
            json_put_string(
                b,
                holdout->data.records[s->demos[(size_t)i * (size_t)s->k + (size_t)d].prompt_of - holdout->examples.items].id);
        }
        buf_putc(b, ']');
    }
    json_key_number(b, "tokens", e->answer_n);
    if (e->rejected) json_key_number(b, "tokens_rejected", e->rejected_n);
    buf_puts(b, "}\n");
}

bool scores_write(const char *path, const Loaded *pool, const Loaded *holdout, const Scores *s, const double *weight,
                         Error *err) {
    Buf b = {0};
    for (int i = 0; i < s->count; i++) put_score_record(&b, pool, holdout, s, weight, i);
    bool ok = file_write(path, b.s, b.n, err);
    buf_free(&b);
    return ok;
}

bool scores_read_weights(const char *path, const Dataset *pool, double *weight, Error *err) {
    Buf text = {0};
    Arena arena = {0};
    JsonError where;
    int line = 0;
    bool ok = file_read(path, &text, err);
    for (size_t at = 0; ok && at < text.n; line++) {
        const char *from = text.s + at, *end = memchr(from, '\n', text.n - at);
        size_t n = end ? (size_t)(end - from) : text.n - at;
        at += n + 1;
        if (line >= pool->count)
            ok = error_set(err, STATUS_DATA, "%s:%d: more lines than the pool's %d records", path, line + 1, pool->count);
        const Json *r = ok ? json_parse(&arena, from, n, &where) : NULL;
        const Json *id = r ? json_get(r, "id") : NULL, *w = r ? json_get(r, "weight") : NULL;
        if (!ok) break;
        if (!r) ok = error_set(err, STATUS_DATA, "%s:%d: %s", path, line + 1, where.what);
        else if (!id || (id->type != JSON_STRING && id->type != JSON_NUMBER) || !w || w->type != JSON_NUMBER || !(w->number >= 0))
            ok = error_set(err, STATUS_DATA, "%s:%d: needs \"id\" and a \"weight\" of at least 0, as `ica score` writes them",
                           path, line + 1);
        else if (!str_equal(id->string, pool->records[line].id))
            ok = error_set(err, STATUS_DATA,
                           "%s:%d: id \"%.*s\" is not the pool's record there (%s:%ld): the file belongs to another pool", path,
                           line + 1, STR_ARG(id->string), pool->path, pool->records[line].line);
        else if (w->number > 1e15)
            ok = error_set(err, STATUS_DATA, "%s:%d: a weight of %g is too large: scale the weights down", path, line + 1,
                           w->number);
        else weight[line] = w->number;
    }
    if (ok && line < pool->count)
        ok = error_set(err, STATUS_DATA, "%s: has %d lines and the pool %d records: the file belongs to another pool", path,
                       line, pool->count);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

/* ---- known truth ---- */

int scores_known_clean(const Dataset *d) {
    int clean = 0;
    for (int i = 0; i < d->count; i++) clean += d->records[i].clean == 1;
    return clean;
}

void scores_put_auroc(Buf *b, const Dataset *d, const double *score) {
    int *label = mem_new((size_t)d->count, sizeof *label), n = d->count;
    buf_puts(b, ",\"auroc\":{");
    for (int i = 0; i < n; i++) label[i] = d->records[i].clean;
    double all = auroc(score, label, n);
    if (isfinite(all)) json_key_number(b, "all", all);
    for (int i = 0; i < n; i++) {
        const Record *r = &d->records[i];
        bool first = r->clean == 0 && r->source.n > 0;
        for (int j = 0; j < i && first; j++) first = !(d->records[j].clean == 0 && str_equal(d->records[j].source, r->source));
        if (!first) continue;
        for (int j = 0; j < n; j++)
            label[j] = d->records[j].clean == 1                                                 ? 1
                       : d->records[j].clean == 0 && str_equal(d->records[j].source, r->source) ? 0
                                                                                                : -1;
        double a = auroc(score, label, n);
        if (!isfinite(a)) continue;
        if (b->s[b->n - 1] != '{') buf_putc(b, ',');
        json_put_string(b, r->source);
        buf_putc(b, ':');
        json_put_number(b, a);
    }
    buf_putc(b, '}');
    free(label);
}
