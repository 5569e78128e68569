/* select: the records of a pool that its scores choose, byte for byte, so that any other program
 * can train on them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/stats.h"
#include "lib/unicode.h"
#include "program/commands.h"
#include "program/guard.h"

/* A chosen pair whose answers change places cannot be handed over byte for byte. */
static bool check_swapped(const Settings *s, const Dataset *d, const PoolWeights *w, Error *err) {
    for (int i = 0; i < d->count; i++)
        if (w->swapped[i] && w->weight[i] > 0)
            return error_set(err, STATUS_DATA,
                             "%s:%d: the pair's answers would have to change places (\"relabel\"), "
                             "and select keeps records as they are: score without --relabel",
                             s->scores, i + 1);
    return true;
}

/* Makes the weights, and sets to 0 what is not chosen. */
static bool choose(const Settings *s, const Dataset *d, PoolWeights *w, Error *err) {
    bool by_share = s->share > 0, remap = by_share || (int)s->weight_map >= 0;
    WeightMap map = by_share ? MAP_TOP : remap ? s->weight_map : MAP_FILTER;
    MapOptions how = {.share = s->share, .temperature = s->temperature, .clip = s->clip};
    Splits x = {.pool.examples.count = d->count};
    uint64_t beside;
    int unknown = 0;
    if (by_share && (int)s->weight_map >= 0 && s->weight_map != MAP_TOP)
        return error_set(err, STATUS_USAGE, "select: take --share or --weight-map, not both");
    if (!by_share && (int)s->weight_map == MAP_TOP)
        return error_set(err, STATUS_USAGE, "select: --weight-map top needs --share");
    if (!scores_load(s->scores, s->holdout_scores, d, map,
                     &(ComparisonOptions){.level = s->accept_level}, remap, w, &beside, err))
        return false;
    if (w->source == WEIGHTS_MAPPED && !remap)
        return error_set(err, STATUS_USAGE,
                         "%s: its lines have no weights: give --weight-map or --share", s->scores);
    if (!remap) return check_swapped(s, d, w, err);
    pool_weights_map(w, map, &how, &x);
    for (int i = 0; i < d->count; i++) {
        unknown += isnan(w->score[i]);
        if (by_share && isnan(w->score[i])) w->weight[i] = 0;
    }
    if (unknown > 0)
        fprintf(stderr, "%d records have no score: they %s\n", unknown,
                by_share ? "are left out" : "weigh the mean of the others");
    return true;
}

/* Appends a record as one line. A line break in it can only stand between tokens. */
static bool put_record(Buf *b, const Dataset *d, const Record *r, const char *text,
                       const double *weight, Error *err) {
    size_t from = b->n;
    if (weight && !isnan(r->weight))
        return record_refuse(d, r, err, "has the key \"weight\" already: leave --with-weights out");
    for (size_t i = 0; i < r->bytes; i++) {
        char c = text[r->at + i];
        buf_putc(b, c == '\n' || c == '\r' ? ' ' : c);
    }
    if (weight) {
        while (b->n > from && b->s[b->n - 1] != '}') b->n--;
        b->n--;
        json_key_number(b, "weight", *weight);
        buf_putc(b, '}');
    }
    buf_putc(b, '\n');
    return true;
}

static bool write_chosen(const Settings *s, const Dataset *d, const PoolWeights *w, Error *err) {
    Buf text = {0}, out = {0}, result = {0};
    int chosen = 0;
    bool ok = file_read(s->pool, &text, err);
    if (ok && hash64(text.s, text.n, HASH_START) != d->fingerprint)
        ok = error_set(err, STATUS_DATA, "%s: changed while it was read", s->pool);
    const char *bytes = ok ? text.s + unicode_mark(text.s, text.n) : NULL;
    for (int i = 0; ok && i < d->count; i++) {
        if (!(w->weight[i] > 0)) continue;
        ok =
            put_record(&out, d, &d->records[i], bytes, s->with_weights ? &w->weight[i] : NULL, err);
        chosen++;
    }
    if (ok && chosen == 0)
        ok = error_set(err, STATUS_DATA, "%s: every weight is 0, so nothing would be chosen",
                       s->scores);
    if (ok && file_write(s->out, out.s, out.n, err)) {
        buf_puts(&result, "{\"command\":\"select\"");
        json_key_string(&result, "pool", s->pool);
        json_key_string(&result, "scores", s->scores);
        json_key_string(&result, "out", s->out);
        json_key_number(&result, "records", d->count);
        if (d->gone > 0) json_key_number(&result, "left_out", d->gone);
        json_key_number(&result, "chosen", chosen);
        json_key_number(&result, "ess", effective_sample_size(w->weight, d->count));
        buf_puts(&result, "}\n");
        settings_print(s, &result, err);
    }
    buf_free(&text);
    buf_free(&out);
    buf_free(&result);
    return err->status == 0;
}

bool command_select(const Settings *s, Error *err) {
    Dataset d;
    if (!guard_outputs(s, err) || !records_load(&d, s->pool, err)) return false;
    bool ok = !s->skip_unscored || scores_skip_unscored(s->scores, &d, err);
    if (d.gone > 0)
        fprintf(stderr, "%d records have no line in %s: they are not chosen\n", d.gone, s->scores);
    PoolWeights w = pool_weights_new(d.count);
    if (ok && choose(s, &d, &w, err)) write_chosen(s, &d, &w, err);
    pool_weights_free(&w);
    records_free(&d);
    return err->status == 0;
}
