/* scores.jsonl, and diagnostics where the truth is known. */
#include "data/scores.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/metrics.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/stats.h"
#include "lib/text.h"
#include "lib/unicode.h"

/* ---- the file ---- */

/* The ids of a candidate's demonstrations, as a JSON array. */
static void put_demos(Buf *b, const ExampleFile *holdout, const Scores *s, int i) {
    const Demo *demos = s->demos + (size_t)i * (size_t)s->k;
    buf_puts(b, ",\"demos\":[");
    for (int d = 0; d < s->n_demos[i]; d++) {
        if (d) buf_putc(b, ',');
        json_put_string(b, holdout->data.records[demos[d].prompt_of - holdout->examples.items].id);
    }
    buf_putc(b, ']');
}

/* The record without its closing brace. */
static void put_score_record(Buf *b, const ExampleFile *pool, const ExampleFile *holdout,
                             const Scores *s, const double *weight, bool swapped, int i) {
    const Example *e = &pool->examples.items[i];
    const Record *r = &pool->data.records[i];
    double alone = s->alone.chosen[i], in_context = s->in_context.chosen[i];
    double rejected = s->alone.rejected[i], rejected_in_context = s->in_context.rejected[i];
    bool pairs = isfinite(rejected) || isfinite(rejected_in_context);
    buf_puts(b, "{\"id\":");
    json_put_string(b, r->id);
    json_key_number(b, "score", s->score[i]);
    if (weight) json_key_number(b, "weight", weight[i]);
    if (swapped) buf_puts(b, ",\"relabel\":true");
    /* Write the log-likelihoods that the method computed. */
    if (isfinite(alone)) json_key_number(b, pairs ? "logp_chosen" : "logp", alone);
    if (isfinite(rejected)) json_key_number(b, "logp_rejected", rejected);
    if (isfinite(rejected_in_context))
        json_key_number(b, "logp_rejected_in_context", rejected_in_context);
    if (isfinite(in_context)) {
        json_key_number(b, pairs ? "logp_chosen_in_context" : "logp_in_context", in_context);
        put_demos(b, holdout, s, i);
    }
    if (s->by_folds) {
        double by = s->by_reference.chosen[i], rejected_by = s->by_reference.rejected[i];
        json_key_number(b, pairs ? "logp_chosen_by_reference" : "logp_by_reference", by);
        if (pairs) json_key_number(b, "logp_rejected_by_reference", rejected_by);
    }
    json_key_number(b, "tokens", e->answer_n);
    if (e->rejected) json_key_number(b, "tokens_rejected", e->rejected_n);
    /* An id does not say which text was scored: it may be changed since, or another pool's. */
    buf_printf(b, ",\"hash\":\"%016" PRIx64 "\"", r->hash);
}

void scores_put_lines(Buf *b, const ExampleFile *pool, const ExampleFile *holdout,
                      const Scores *s) {
    for (int i = 0; i < s->count; i++) {
        put_score_record(b, pool, holdout, s, NULL, false, i);
        buf_puts(b, "}\n");
    }
}

static bool write_pool(const char *path, const ExampleFile *pool, const ExampleFile *holdout,
                       const Scores *s, const double *weight, const Comparison *c, Error *err) {
    Buf b = {0};
    bool *swapped = mem_new((size_t)s->count, sizeof *swapped);
    comparison_swapped(c, s->count, swapped);
    for (int i = 0; i < s->count; i++) {
        put_score_record(&b, pool, holdout, s, weight, swapped[i], i);
        buf_puts(&b, "}\n");
    }
    bool ok = file_write(path, b.s, b.n, err);
    free(swapped);
    buf_free(&b);
    return ok;
}

bool scores_finite(Scores *s, const ExampleFile *pool, Error *err) {
    int broken = s->broken;
    if (broken < 0) return true;
    scores_free(s);
    return example_broken(pool, broken, err);
}

static void tell_check(const HoldoutCheck *c) {
    if (c->records == 0)
        fprintf(stderr, "holdout check: left out, the holdout has fewer than %d distinct prompts\n",
                FOLD_PROMPTS_LEAST);
    /* Of a broken model the scoring says what is wrong. */
    if (c->records == 0 || !isfinite(c->loss) || !isfinite(c->in_context)) return;
    bool any_answer = c->gain > 2 * c->gain_error; /* but shuffled ones help as much */
    fprintf(stderr,
            "holdout check: loss %.4f alone, %.4f with %.0f demonstrations from the rest of the "
            "holdout, %.4f with their answers shuffled (%.0f records, %.0f prompts, %.1f GFLOP)\n",
            c->loss, c->in_context, c->k, c->shuffled, c->records, c->prompts, c->flops / 1e9);
    if (!holdout_helps(c) && any_answer)
        fprintf(stderr, "WARNING: demonstrations with shuffled answers help as much: the holdout's "
                        "answers are alike, or the model reads only their manner, so scores by "
                        "demonstrations say little of what is right\n");
    else if (!holdout_helps(c))
        fprintf(stderr, "WARNING: demonstrations do not help this model on the holdout, so scores "
                        "by demonstrations say little; take a model that learns in context, or "
                        "--method rho\n");
}

void scores_ask_holdout(const Model *m, Workspace *ws, const Examples *holdout,
                        const ScoreOptions *how, HoldoutCheck *check) {
    if (!METHODS[how->method].needs_k || how->k == 0) return;
    Progress p = progress_new("does the holdout help itself?", NULL);
    ws->progress = &p;
    holdout_check(m, ws, holdout, how, check);
    ws->progress = NULL;
    progress_end(&p);
    tell_check(check);
}

void scores_note(const Scores *s, const ScoreOptions *how, const Examples *pool,
                 ScoreNotes *notes) {
    const MethodInfo *method = &METHODS[how->method];
    notes->dropped_demos = s->dropped;
    notes->rank_agreement = ica_pair_agreement(how, pool, s);
    int partly = 0;
    for (int i = 0; i < s->count; i++) partly += s->n_demos[i] > 0 && s->n_demos[i] < how->k;
    notes->partly = method->needs_k ? (double)partly : 0;
    notes->unshown = method->needs_k || method->needs_anchors ? (double)s->n_unshown : NAN;
}

bool scores_compute(const Model *m, const Model *reference, Workspace *ws, const Splits *x,
                    const ScoreOptions *how, Comparison *c, Scores *out, Error *err) {
    const Examples *pool = &x->pool.examples, *holdout = &x->holdout.examples;
    Progress p = progress_new("scoring", NULL);
    bool ok = true;
    ws->progress = &p;
    if (c->gain) ok = holdout_compare(m, ws, pool, holdout, how, c, out, err);
    else ica_score(m, reference, ws, pool, holdout, how, out);
    ws->progress = NULL;
    progress_end(&p);
    return ok;
}

/* The share of n weights that are above 0. */
static double kept_share(const double *weight, int n) {
    int kept = 0;
    for (int i = 0; i < n; i++) kept += weight[i] > 0;
    return n ? (double)kept / n : 0;
}

void scores_tell_nothing(WeightMap map, const Comparison *c, const double *weight, int n) {
    const char *why = MAPS[map].of_holdout
                          ? "no candidate reaches what the holdout says of itself; lower "
                            "--accept-level, or give a holdout of the pool's kind"
                          : "no score is above 0; give scores of another method";
    if (n == 0 || kept_share(weight, n) > 0) return;
    if (map == MAP_MIRROR)
        why = c->told.slope > 0
                  ? "no pair is more likely right than flipped"
                  : "the scores of the holdout do not sum to more than 0, so nothing tells flipped "
                    "pairs from others; give a holdout without flipped pairs, or a model that "
                    "learns in context";
    fprintf(stderr,
            "WARNING: --weight-map %s: every weight is 0: nothing is learned, since %s; or take "
            "another map\n",
            MAPS[map].name, why);
}

/* How many of the n pairs are swapped. */
static int swapped_pairs(const Comparison *c, int n) {
    bool *swapped = mem_new((size_t)n, sizeof *swapped);
    int pairs = 0;
    comparison_swapped(c, n, swapped);
    for (int i = 0; i < n; i++) pairs += swapped[i];
    free(swapped);
    return pairs;
}

void scores_tell_comparison(WeightMap map, const Comparison *c, const double *weight, int n) {
    const AcceptLevels *a = &c->told.levels;
    double clean = comparison_clean(c, map, n);
    Buf b = {0}; /* printed at once: a failure must not end half a line */
    buf_printf(&b, "%s: %.1f%% of %d candidates have a weight; ", MAPS[map].name,
               100 * kept_share(weight, n), n);
    if (map == MAP_ACCEPT) {
        buf_printf(&b, "of %.0f holdout records, level %.3g, gain >= %.4g", a->records, a->level,
                   a->threshold[0]);
        if (a->numbers > 1)
            buf_printf(&b, " and log-likelihood %s >= %.4g",
                       c->how.by_reference ? "by the reference" : "in context", a->threshold[1]);
        buf_printf(&b, "; about %.0f%% are as good as the holdout", 100 * clean);
    } else buf_printf(&b, "slope %.4g; about %.1f%% are not flipped", c->told.slope, 100 * clean);
    if (c->told.trimmed > 0)
        buf_printf(&b, "; %.0f holdout records were left out", c->told.trimmed);
    if (c->how.relabel) buf_printf(&b, "; %d pairs are swapped", swapped_pairs(c, n));
    fprintf(stderr, "%s\n", b.s);
    buf_free(&b);
}

void scores_put_comparison(Buf *b, WeightMap map, const Comparison *c, const double *weight,
                           int n) {
    const AcceptLevels *a = &c->told.levels;
    buf_puts(b, ",\"comparison\":{");
    json_key_number(b, "records", a->records);
    json_key_number(b, "trimmed", c->told.trimmed);
    if (map == MAP_ACCEPT) {
        json_key_number(b, "level", a->level);
        json_key_number(b, "gain_threshold", a->threshold[0]);
        if (a->numbers > 1) json_key_number(b, "likelihood_threshold", a->threshold[1]);
    } else json_key_number(b, "slope", c->told.slope);
    if (c->how.relabel) json_key_number(b, "relabelled", swapped_pairs(c, n));
    json_key_number(b, "kept_share", kept_share(weight, n));
    json_key_number(b, "clean_share", comparison_clean(c, map, n));
    json_key_number(b, "flops", c->told.flops);
    buf_putc(b, '}');
}

void scores_spend(const Scores *s, const HoldoutCheck *check, Spent *spent) {
    spent->score_tokens += s->cost.forward + (check ? check->forward : 0);
    spent->score_flops += s->cost.flops + (check ? check->flops : 0);
    spent->scored += s->count;
}

void score_shared_free(ScoreShared *shared) {
    model_free(shared->reference);
    comparison_free(&shared->against);
    *shared = (ScoreShared){0};
}

bool scores_check(const Scores *s, int context, Error *err) {
    if (s->n_unshown < s->count) return true;
    if (s->dropped)
        return error_set(err, STATUS_DATA,
                         "no holdout record fits before any candidate in the model's context of %d "
                         "tokens: give shorter holdout records, or a model with a longer context",
                         context);
    return error_set(err, STATUS_DATA,
                     "no candidate has a demonstration: every holdout record has the candidate's "
                     "own prompt; give a holdout with other prompts (what differs between records "
                     "belongs into the prompt), or a method without demonstrations, such as rho");
}

/* ---- the holdout's own scores ---- */

char *scores_holdout_path(const char *path) {
    static const char END[] = ".holdout.jsonl";
    size_t n = strlen(path);
    char *all = mem_new(n + sizeof END, 1);
    memcpy(all, path, n);
    memcpy(all + n, END, sizeof END);
    return all;
}

bool scores_save_holdout(const char *path, const ExampleFile *holdout, const Comparison *c,
                         Error *err) {
    if (c->self.count == 0) return true;
    Buf b = {0};
    char *file = scores_holdout_path(path);
    for (int i = 0; i < c->self.count; i++) {
        put_score_record(&b, holdout, holdout, &c->self, NULL, false, i);
        if (c->kept[i] <= 0) buf_puts(&b, ",\"trimmed\":true");
        buf_puts(&b, "}\n");
    }
    bool ok = file_write(file, b.s, b.n, err);
    buf_free(&b);
    free(file);
    return ok;
}

bool scores_save(const char *path, const Splits *x, const Scores *s, const double *weight,
                 const Comparison *c, Error *err) {
    return scores_save_holdout(path, &x->holdout, c, err) &&
           write_pool(path, &x->pool, &x->holdout, s, weight, c, err);
}

/* Does a line have log-likelihoods by RHO's references? They stand where ICA's in context do. */
static bool by_reference(const Json *r) {
    return json_get(r, "logp_by_reference") || json_get(r, "logp_chosen_by_reference");
}

bool scores_line(const Json *r, ScoreLine *out) {
    bool pair = json_get(r, "logp_chosen") || json_get(r, "logp_chosen_in_context"),
         by = by_reference(r);
    const char *in = by ? "logp_by_reference" : "logp_in_context",
               *chosen = by ? "logp_chosen_by_reference" : "logp_chosen_in_context",
               *lost = by ? "logp_rejected_by_reference" : "logp_rejected_in_context";
    double tokens = json_number(r, "tokens"), rejected = json_number(r, "tokens_rejected");
    if (!json_get(r, "score") || !(tokens >= 1 && tokens <= INT_MAX)) return false;
    *out = (ScoreLine){
        .record = {json_number(r, "score"),
                   {json_number(r, pair ? "logp_chosen" : "logp"), json_number(r, "logp_rejected")},
                   {json_number(r, pair ? chosen : in), json_number(r, lost)},
                   (int)tokens},
        .rejected = rejected >= 1 && rejected <= INT_MAX ? (int)rejected : 0};
    return true;
}

bool scores_line_check(const char *path, int number, const Json *line, bool needs_score,
                       Arena *scratch, Error *err) {
    const Str *twice = json_duplicate_key(scratch, line);
    const Json *score = json_get(line, "score");
    if (twice)
        return error_set(err, STATUS_DATA, "%s:%d: \"%.40s\" occurs twice; keep one of them", path,
                         number, twice->s);
    if (!score && needs_score)
        return error_set(err, STATUS_DATA, "%s:%d: has no \"score\"", path, number);
    return !score || score->type == JSON_NUMBER || score->type == JSON_NULL ||
           error_set(err, STATUS_DATA, "%s:%d: its \"score\" is no number and not null", path,
                     number);
}

bool scores_line_is_of(const Json *line, const Record *r) {
    const Json *id = json_get(line, "id"), *said = json_get(line, "hash");
    char hash[17];
    snprintf(hash, sizeof hash, "%016" PRIx64, r->hash);
    bool has_id = id && (id->type == JSON_STRING || id->type == JSON_NUMBER);
    bool same_text = said && said->type == JSON_STRING && str_is(said->string, hash);
    /* Without an id of its own a record has that of its line, which is another one where several
     * files were scored and are one now. */
    return has_id && (str_equal(id->string, r->id) ? !said || same_text : !r->named && same_text);
}

/* The numbers of a line for a map of the holdout. False if it is no line of a score file. */
static bool line_numbers(const Json *r, double *gain, double *likelihood) {
    ScoreLine x;
    if (!scores_line(r, &x)) return false;
    accept_numbers(&x.record, gain, likelihood);
    return true;
}

void scores_put_weight(Buf *b, Str line, double weight, bool swapped) {
    /* The id is a string, so the first quote after it that no backslash hides ends it. */
    size_t at = sizeof "{\"id\":\"" - 1;
    for (; at < line.n && line.s[at] != '"'; at++) at += line.s[at] == '\\';
    const char *comma = at + 2 < line.n ? memchr(line.s + at + 2, ',', line.n - at - 2) : NULL;
    size_t head = comma ? (size_t)(comma - line.s) : line.n;
    buf_put(b, line.s, head);
    json_key_number(b, "weight", weight);
    if (swapped) buf_puts(b, ",\"relabel\":true");
    buf_put(b, line.s + head, line.n - head);
}

/* A line of the holdout's own scores, at `where`. With a holdout it must be of its record n, and c
 * keeps whether that was left out. */
static bool read_own(const char *where, int n, const Json *r, const Dataset *holdout, Comparison *c,
                     double *gain, double *likelihood, Error *err) {
    const Json *trimmed = json_get(r, "trimmed");
    if (!r || !line_numbers(r, gain, likelihood))
        return error_set(err, STATUS_DATA,
                         "%s: is no score of a holdout record, as `ica score` with --weight-map "
                         "accept writes it; score the pool again",
                         where);
    /* Without a holdout nothing is scored: the file itself says what its method was. */
    if (!holdout) c->how.by_reference = by_reference(r);
    if (!holdout) return true;
    if (by_reference(r) != c->how.by_reference)
        return error_set(err, STATUS_DATA,
                         "%s: scored %s a reference, and --method is %s: give the file of the "
                         "same method",
                         where, by_reference(r) ? "by" : "without",
                         c->how.by_reference ? "rho" : "another");
    if (n >= holdout->count || !scores_line_is_of(r, &holdout->records[n]))
        return error_set(err, STATUS_DATA,
                         "%s: is not of the holdout's record %d (%s): the file belongs to "
                         "another holdout",
                         where, n + 1, holdout->path);
    if (trimmed && trimmed->type != JSON_BOOL)
        return error_set(err, STATUS_DATA, "%s: \"trimmed\" is true or false", where);
    if (trimmed && trimmed->boolean) {
        c->kept[n] = 0;
        c->told.trimmed++;
    }
    return true;
}

/* Reads the holdout's own scores, and c's levels from them. *fingerprint: hash64 of the bytes. */
static bool read_holdout(const char *file, const Dataset *holdout, Comparison *c,
                         uint64_t *fingerprint, Error *err) {
    Buf text = {0};
    Arena arena = {0};
    Str line;
    int n = 0, number = 0;
    bool ok = file_read(file, &text, err);
    size_t at = unicode_mark(text.s, text.n);
    /* There are at most as many lines as bytes that can hold one. */
    double *gain = mem_new(text.n + 1, sizeof *gain),
           *likelihood = mem_new(text.n + 1, sizeof *gain);
    for (; ok && text_line_full((Str){text.s, text.n}, &at, &line, &number); n++) {
        const Json *r = json_parse(&arena, line.s, line.n, NULL);
        const char *where = text_new(&arena, "%s:%d", file, number);
        ok = scores_line_check(file, number, r, false, &arena, err) &&
             read_own(where, n, r, holdout, c, &gain[n], &likelihood[n], err);
    }
    if (ok && holdout && n < holdout->count)
        ok = error_set(err, STATUS_DATA,
                       "%s: has %d lines and the holdout %d records: the file belongs to another "
                       "holdout",
                       file, n, holdout->count);
    if (ok && !comparison_levels(c, gain, likelihood, n))
        ok = error_set(err, STATUS_DATA, "%s: no line has a score: score the pool again", file);
    *fingerprint = hash64(text.s, text.n, HASH_START);
    free(gain);
    free(likelihood);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

bool scores_settle(const char *file, const Dataset *holdout, WeightMap map,
                   const ComparisonOptions *how, int count, Comparison *c, Error *err) {
    uint64_t unused;
    comparison_new(c, map, how, count, holdout->count);
    c->settled = true;
    return read_holdout(file, holdout, c, &unused, err);
}

/* ---- the reader ---- */

/* Reads whether the pair of a line is swapped. */
static bool read_relabel(const char *path, int number, int i, const Json *r, const Dataset *pool,
                         ScoreColumns *out, Error *err) {
    const Json *relabel = json_get(r, "relabel");
    if (!relabel) return true;
    if (relabel->type != JSON_BOOL)
        return error_set(err, STATUS_DATA, "%s:%d: \"relabel\" is true or false", path, number);
    if (relabel->boolean && pool->records[i].kind != RECORD_PAIR)
        return error_set(err, STATUS_DATA,
                         "%s:%d: \"relabel\" is true, but the pool's record (%s:%ld) is no pair",
                         path, number, pool->path, pool->records[i].line);
    if (out->swapped && !out->bare) out->swapped[i] = relabel->boolean;
    return true;
}

/* Reads a line of the file, for record i of the pool: its weight, or, if the file is bare, its
 * score. */
static bool read_line(const char *path, int number, int i, Str line, const Dataset *pool,
                      ScoreColumns *out, Arena *arena, Error *err) {
    JsonError where;
    const Json *r = json_parse(arena, line.s, line.n, &where), *id = json_get(r, "id");
    const Json *v = json_get(r, out->bare ? "score" : "weight");
    if (!r) return error_set(err, STATUS_DATA, "%s:%d: %s", path, number, where.what);
    if (!scores_line_check(path, number, r, out->bare, arena, err)) return false;
    /* Check that the line is of the pool's record. */
    if (!id || (id->type != JSON_STRING && id->type != JSON_NUMBER))
        return error_set(err, STATUS_DATA, "%s:%d: needs \"id\", as `ica score` writes it", path,
                         number);
    bool is = scores_line_is_of(r, &pool->records[i]);
    if (!is && !str_equal(id->string, pool->records[i].id))
        return error_set(err, STATUS_DATA,
                         "%s:%d: id \"%.*s\" is not the pool's record there (%s:%ld): the file "
                         "belongs to another pool, or to this one less records that were left out "
                         "when it was scored (--drop-overlap and others): remove these from the "
                         "pool, too; select and report take --skip-unscored",
                         path, number, STR_ARG(id->string), pool->path, pool->records[i].line);
    if (!is)
        return error_set(err, STATUS_DATA,
                         "%s:%d: the pool's record there (%s:%ld) has another text than the one "
                         "that was scored (\"hash\"): the file belongs to another pool",
                         path, number, pool->path, pool->records[i].line);
    /* Check the number. Without demonstrations there is no score, and in a shard no weight. */
    const Json *score = json_get(r, "score");
    bool unknown = v && v->type == JSON_NULL && score && score->type == JSON_NULL;
    if (out->bare && !out->remap && json_get(r, "weight"))
        return error_set(
            err, STATUS_DATA,
            "%s:%d: earlier lines have a \"score\" and no \"weight\", so this line must "
            "too (concatenated shards of one pool)",
            path, number);
    if (!out->bare && !unknown && (!v || v->type != JSON_NUMBER || !(v->number >= 0)))
        return error_set(
            err, STATUS_DATA,
            "%s:%d: needs a \"weight\" of at least 0, or in every line a \"score\" alone", path,
            number);
    if (!out->bare && !unknown && v->number > WEIGHT_MOST)
        return error_set(err, STATUS_DATA,
                         "%s:%d: a weight of %g is too large: scale the weights down", path, number,
                         v->number);
    if (out->bare && !unknown && fabs(v->number) > WEIGHT_MOST)
        return error_set(err, STATUS_DATA,
                         "%s:%d: a score of %g is too large: scale the scores down", path, number,
                         v->number);
    (out->bare ? out->score : out->weight)[i] = unknown ? NAN : v->number;
    if (!read_relabel(path, number, i, r, pool, out, err)) return false;
    if (out->gain && !line_numbers(r, &out->gain[i], &out->likelihood[i]))
        return error_set(err, STATUS_DATA, "%s:%d: needs \"tokens\", as `ica score` writes it",
                         path, number);
    return true;
}

/* Gives unknown weights the mean of the others, as map_weights does. False if nothing is known. */
static bool fill_unknown(ScoreColumns *out, int n) {
    int known = 0;
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double x = out->bare ? out->score[i] : out->weight[i];
        if (isnan(x)) continue;
        sum += x;
        known++;
    }
    for (int i = 0; i < n && !out->bare && known; i++)
        if (isnan(out->weight[i])) out->weight[i] = sum / known;
    return known > 0;
}

/* Which record of the pool a line is of, or -1 for one that was left out. `whole`: the file has a
 * line for those too. *next: the record that is expected. */
static int record_of_line(const Dataset *pool, int line, bool whole, int *next) {
    if (*next == pool->count || (whole && *next + pool->records[*next].gone != line)) return -1;
    return (*next)++;
}

bool scores_read(const char *path, const Dataset *pool, ScoreColumns *out, Error *err) {
    Buf text = {0};
    Arena arena = {0};
    Str line;
    int lines = 0, i = 0, next = 0, number = 0;
    bool ok = file_read(path, &text, err);
    Str all = {text.s, text.n};
    size_t start = unicode_mark(text.s, text.n);
    out->fingerprint = hash64(text.s, text.n, HASH_START);
    for (size_t at = start; ok && text_line_full(all, &at, &line, &number);) lines++;
    number = 0;
    /* A file of the whole pool has lines of records that were left out since. */
    bool whole = pool->gone > 0 && lines > pool->count;
    int wanted = pool->count + (whole ? pool->gone : 0);
    for (size_t at = start; ok && text_line_full(all, &at, &line, &number); i++) {
        const Json *first = i == 0 ? json_parse(&arena, line.s, line.n, NULL) : NULL;
        if (i == 0)
            out->bare = out->remap || (json_get(first, "score") && !json_get(first, "weight"));
        if (i >= wanted)
            ok = error_set(err, STATUS_DATA, "%s:%d: more lines than the pool's %d records", path,
                           number, wanted);
        int record = ok ? record_of_line(pool, i, whole, &next) : -1;
        if (record >= 0) ok = read_line(path, number, record, line, pool, out, &arena, err);
    }
    if (ok && i < wanted)
        ok =
            error_set(err, STATUS_DATA,
                      "%s: has %d lines and the pool %d records: the file belongs to another pool, "
                      "or to this one less records that were left out when it was scored "
                      "(--drop-overlap and others): remove these from the pool, too; select and "
                      "report take --skip-unscored",
                      path, i, wanted);
    if (ok && !fill_unknown(out, pool->count))
        ok = error_set(err, STATUS_DATA, "%s: no line has a score: score the pool again", path);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

bool scores_keep_next(const Json *line, Dataset *pool, int *next, int *kept) {
    while (*next < pool->count && !scores_line_is_of(line, &pool->records[*next])) ++*next;
    if (*next == pool->count) return false;
    pool->records[*kept] = pool->records[*next];
    pool->records[*kept].gone = *next - *kept;
    ++*next;
    ++*kept;
    return true;
}

bool scores_skip_unscored(const char *path, Dataset *pool, Error *err) {
    Buf text = {0};
    Arena arena = {0};
    Str line;
    int lines = 0, kept = 0, next = 0;
    bool ok = file_read(path, &text, err);
    for (size_t at = unicode_mark(text.s, text.n);
         ok && text_line_full((Str){text.s, text.n}, &at, &line, &lines);) {
        JsonError where;
        const Json *r = json_parse(&arena, line.s, line.n, &where);
        if (!r) ok = error_set(err, STATUS_DATA, "%s:%d: %s", path, lines, where.what);
        if (ok && !scores_keep_next(r, pool, &next, &kept))
            ok = error_set(err, STATUS_DATA,
                           "%s:%d: is of no record of %s that comes after that of the line before: "
                           "name the pool that was scored",
                           path, lines, pool->path);
    }
    pool->gone = ok ? pool->count - kept : 0;
    if (ok) pool->count = kept;
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

/* ---- what references say ---- */

bool split_logps(const Model *m, const Splits *x, bool holdout, bool compute, RunState *state,
                 SplitLogps *to, Spent *spent, Error *err) {
    Logps *out[4] = {&to->pool, &to->holdout, &to->eval, &to->validation};
    const ExampleFile *data[4] = {&x->pool, &x->holdout, &x->eval, &x->validation};
    const char *const name[4] = {"reference.pool", "reference.holdout", "reference.eval",
                                 "reference.validation"};
    double start = seconds_now();
    Cost cost = {0};
    Workspace *ws = workspace_new(); /* training's would get room for these batches in each layer */
    for (int i = 0; i < 4 && err->status == 0; i++) {
        int n = data[i]->examples.count;
        if (n == 0 || (i == 1 && !holdout)) continue;
        *out[i] = logps_new(n);
        if (state) run_state_keep_logps(state, name[i], *out[i], n);
        if (compute) reference_logps(m, ws, data[i], *out[i], &cost, err);
    }
    workspace_free(ws);
    spent->reference_seconds += seconds_now() - start;
    spent->reference_flops += cost.flops;
    return err->status == 0;
}

void split_logps_free(SplitLogps *x) {
    logps_free(&x->pool);
    logps_free(&x->holdout);
    logps_free(&x->eval);
    logps_free(&x->validation);
}

void logps_keep(const Scores *s, Logps *to) {
    size_t bytes = (size_t)s->count * sizeof(double);
    if (to->chosen) return;
    *to = logps_new(s->count);
    memcpy(to->chosen, s->by_reference.chosen, bytes);
    memcpy(to->rejected, s->by_reference.rejected, bytes);
}

/* ---- the weights of a pool ---- */

PoolWeights pool_weights_new(int count) {
    size_t n = (size_t)count;
    PoolWeights w = {.score = mem_new(n, sizeof(double)),
                     .weight = mem_new(n, sizeof(double)),
                     .swapped = mem_new(n, sizeof(bool)),
                     .used = mem_new(n, sizeof(double))};
    for (int i = 0; i < count; i++) w.weight[i] = 1;
    return w;
}

void pool_weights_free(PoolWeights *w) {
    free(w->score);
    free(w->weight);
    free(w->swapped);
    free(w->used);
    comparison_free(&w->against);
}

void pool_weights_compare(PoolWeights *w, WeightMap map, const ComparisonOptions *how,
                          const Splits *x) {
    if (w->source == WEIGHTS_SCORED)
        comparison_new(&w->against, map, how, x->pool.examples.count, x->holdout.examples.count);
}

void pool_weights_keep(PoolWeights *w, ScoreNotes *notes, int count, RunState *state) {
    if (w->source == WEIGHTS_FIXED) return;
    run_state_keep(state, "scores", w->score, count);
    run_state_keep(state, "weights", w->used, count);
    run_state_keep(state, "told", notes->all, SCORE_NOTES);
    if (w->source == WEIGHTS_SCORED) run_state_keep_comparison(state, &w->against);
}

void pool_weights_map(PoolWeights *w, WeightMap map, const MapOptions *how, const Splits *x) {
    MapOptions all = *how;
    int count = x->pool.examples.count;
    bool compares = MAPS[map].of_holdout;
    const double *score = compares ? comparison_map(&w->against, &all) : w->score;
    map_weights(map, &all, score, count, w->weight);
    if (compares) comparison_swapped(&w->against, count, w->swapped);
    if (compares) scores_tell_comparison(map, &w->against, w->weight, count);
    scores_tell_nothing(map, &w->against, w->weight, count);
}

bool scores_load(const char *path, const char *own, const Dataset *pool, WeightMap map,
                 const ComparisonOptions *how, bool remap, PoolWeights *w, uint64_t *own_bytes,
                 Error *err) {
    Comparison *c = &w->against;
    comparison_new(c, map, how, pool->count, 0);
    ScoreColumns columns = {.score = w->score,
                            .weight = w->weight,
                            .swapped = w->swapped,
                            .gain = c->gain,
                            .likelihood = c->likelihood,
                            .remap = remap || c->gain};
    char *beside = scores_holdout_path(path);
    bool ok = scores_read(path, pool, &columns, err) &&
              (!c->gain || read_holdout(own ? own : beside, NULL, c, own_bytes, err));
    free(beside);
    w->fingerprint = columns.fingerprint;
    w->source = columns.bare ? WEIGHTS_MAPPED : WEIGHTS_FIXED;
    return ok;
}

/* ---- known truth ---- */

int scores_known_clean(const PoolFacts *facts) {
    int clean = 0, known = 0;
    for (int i = 0; i < facts->count; i++) clean += facts->clean[i] == 1;
    for (int i = 0; i < facts->count; i++) known += facts->clean[i] >= 0;
    return known > 0 ? clean : -1;
}

/* Appends an AUROC as a member if it is defined. */
static void put_auroc_member(Buf *b, Str key, double area) {
    if (!isfinite(area)) return;
    if (b->s[b->n - 1] != '{') buf_putc(b, ',');
    json_put_string(b, key);
    buf_putc(b, ':');
    json_put_number(b, area);
}

/* {"all": AUROC of clean against corrupted, SOURCE: of clean against this source's corrupted
 * records, ...}; {} without known truth. */
static void put_auroc(Buf *b, const PoolFacts *facts, const double *score) {
    int n = facts->count, sources = facts->names.n;
    int *label = mem_new((size_t)n, sizeof *label), *group = mem_new((size_t)n, sizeof *group);
    for (int i = 0; i < n; i++) {
        int source = facts->source[i] >= 0 ? facts->source[i] : AUROC_LEFT_OUT;
        label[i] = isnan(score[i]) ? -1 : facts->clean[i];
        group[i] = facts->clean[i] == 1 ? AUROC_POSITIVE : source;
        if (isnan(score[i])) group[i] = AUROC_LEFT_OUT;
    }
    /* Compare the clean records with all corrupted ones, then with those of each source. */
    double *area = mem_new((size_t)sources, sizeof *area);
    auroc_groups(score, group, n, sources, area);
    buf_puts(b, ",\"auroc\":{");
    put_auroc_member(b, str("all"), auroc(score, label, n));
    for (int i = 0; i < sources; i++) put_auroc_member(b, facts->names.v[i], area[i]);
    buf_putc(b, '}');
    free(label);
    free(group);
    free(area);
}

static double weight_length_correlation(const PoolFacts *facts, const double *weight) {
    double *length = mem_new((size_t)facts->count, sizeof *length);
    for (int i = 0; i < facts->count; i++) length[i] = facts->answer_n[i];
    double r = correlation(weight, length, facts->count);
    free(length);
    return r;
}

/* What the holdout says of itself, as a member. */
static void put_check(Buf *b, const HoldoutCheck *c) {
    if (c->records == 0) return;
    buf_puts(b, ",\"holdout_check\":{");
    json_key_number(b, "records", c->records);
    json_key_number(b, "prompts", c->prompts);
    json_key_number(b, "folds", c->folds);
    json_key_number(b, "k", c->k);
    json_key_number(b, "nll", c->loss);
    json_key_number(b, "nll_in_context", c->in_context);
    json_key_number(b, "nll_shuffled", c->shuffled);
    json_key_number(b, "gain", c->gain);
    json_key_number(b, "gain_error", c->gain_error);
    buf_printf(b, ",\"helps\":%s", holdout_helps(c) ? "true" : "false");
    json_key_number(b, "flops", c->flops);
    buf_putc(b, '}');
}

void scores_put_result(Buf *b, const PoolFacts *facts, const double *score, const double *weight,
                       const ScoreNotes *notes) {
    if (isfinite(notes->rank_agreement))
        json_key_number(b, "margin_loss_rank_correlation", notes->rank_agreement);
    put_auroc(b, facts, score);
    if (weight) {
        json_key_number(b, "ess", effective_sample_size(weight, facts->count));
        json_key_number(b, "weight_length_correlation", weight_length_correlation(facts, weight));
    }
    json_key_number(b, "dropped_demos", notes->dropped_demos);
    put_check(b, &notes->check);
    if (isfinite(notes->unshown)) json_key_number(b, "without_demos", notes->unshown);
}
