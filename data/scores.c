#include "data/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/stats.h"
#include "lib/text.h"

static void put_score_record(Buf *b, const ExampleFile *pool, const ExampleFile *holdout, const Scores *s, const double *weight, int i) {
    buf_puts(b, "{\"id\":");
    json_put_string(b, pool->data.records[i].id);
    json_key_number(b, "score", s->score[i]);
    if (weight) json_key_number(b, "weight", weight[i]);
    const Example *e = &pool->examples.items[i];
    bool pairs = isfinite(s->alone.rejected[i]) || isfinite(s->in_context.rejected[i]);
    if (isfinite(s->alone.chosen[i])) json_key_number(b, pairs ? "logp_chosen" : "logp", s->alone.chosen[i]);
    if (isfinite(s->alone.rejected[i])) json_key_number(b, "logp_rejected", s->alone.rejected[i]);
    if (isfinite(s->in_context.rejected[i])) json_key_number(b, "logp_rejected_in_context", s->in_context.rejected[i]);
    if (isfinite(s->in_context.chosen[i])) {
        json_key_number(b, pairs ? "logp_chosen_in_context" : "logp_in_context", s->in_context.chosen[i]);
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

bool scores_write(const char *path, const ExampleFile *pool, const ExampleFile *holdout, const Scores *s, const double *weight, Error *err) {
    Buf b = {0};
    for (int i = 0; i < s->count; i++) put_score_record(&b, pool, holdout, s, weight, i);
    bool ok = file_write(path, b.s, b.n, err);
    buf_free(&b);
    return ok;
}

/* One line of the file: sets weight[i], or, if `bare`, score[i]. */
static bool read_line(const char *path, int i, Str line, const Dataset *pool, bool bare, double *score, double *weight,
                      Arena *arena, Error *err) {
    JsonError where;
    if (i >= pool->count)
        return error_set(err, STATUS_DATA, "%s:%d: more lines than the pool's %d records", path, i + 1, pool->count);
    const Json *r = json_parse(arena, line.s, line.n, &where), *id = json_get(r, "id");
    const Json *v = json_get(r, bare ? "score" : "weight");
    if (!r) return error_set(err, STATUS_DATA, "%s:%d: %s", path, i + 1, where.what);
    if (!id || (id->type != JSON_STRING && id->type != JSON_NUMBER))
        return error_set(err, STATUS_DATA, "%s:%d: needs \"id\", as `ica score` writes it", path, i + 1);
    if (!str_equal(id->string, pool->records[i].id))
        return error_set(err, STATUS_DATA,
                         "%s:%d: id \"%.*s\" is not the pool's record there (%s:%ld): the file belongs to another pool", path,
                         i + 1, STR_ARG(id->string), pool->path, pool->records[i].line);
    if (bare && (!v || v->type != JSON_NUMBER || json_get(r, "weight")))
        return error_set(err, STATUS_DATA,
                         "%s:%d: the lines before have a \"score\" and no \"weight\", and this one must be of their kind: shards "
                         "of one pool, one behind the other",
                         path, i + 1);
    if (!bare && (!v || v->type != JSON_NUMBER || !(v->number >= 0)))
        return error_set(err, STATUS_DATA, "%s:%d: needs a \"weight\" of at least 0, or in every line a \"score\" alone", path,
                         i + 1);
    if (!bare && v->number > 1e15)
        return error_set(err, STATUS_DATA, "%s:%d: a weight of %g is too large: scale the weights down", path, i + 1,
                         v->number);
    (bare ? score : weight)[i] = v->number;
    return true;
}

bool scores_read(const char *path, const Dataset *pool, double *score, double *weight, bool *bare, uint64_t *fingerprint,
                 Error *err) {
    Buf text = {0};
    Arena arena = {0};
    Str line;
    int i = 0;
    bool ok = file_read(path, &text, err);
    *fingerprint = hash64(text.s, text.n, HASH_START);
    for (size_t at = 0; ok && text_line((Str){text.s, text.n}, &at, &line); i++) {
        const Json *first = i == 0 ? json_parse(&arena, line.s, line.n, NULL) : NULL;
        if (i == 0) *bare = json_get(first, "score") && !json_get(first, "weight");
        ok = read_line(path, i, line, pool, *bare, score, weight, &arena, err);
    }
    if (ok && i < pool->count)
        ok = error_set(err, STATUS_DATA, "%s: has %d lines and the pool %d records: the file belongs to another pool", path, i,
                       pool->count);
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

/* {"all": AUROC of clean against corrupted, SOURCE: of clean against this source's corrupted records, ...}; {} without truth. */
static void put_auroc(Buf *b, const Dataset *d, const double *score) {
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

static double weight_length_correlation(const Examples *pool, const double *weight) {
    double *length = mem_new((size_t)pool->count, sizeof *length);
    for (int i = 0; i < pool->count; i++) length[i] = pool->items[i].answer_n;
    double r = correlation(weight, length, pool->count);
    free(length);
    return r;
}

void scores_put_result(Buf *b, const ExampleFile *pool, const double *score, const double *weight, const double told[2]) {
    if (isfinite(told[1])) json_key_number(b, "margin_loss_rank_correlation", told[1]);
    put_auroc(b, &pool->data, score);
    if (weight) {
        json_key_number(b, "ess", effective_sample_size(weight, pool->examples.count));
        json_key_number(b, "weight_length_correlation", weight_length_correlation(&pool->examples, weight));
    }
    json_key_number(b, "dropped_demos", told[0]);
}
