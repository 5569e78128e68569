/* score: a score and a weight for each record of a pool. */
#include <math.h>
#include <stdlib.h>

#include "lib/json.h"
#include "program/chunks.h"
#include "program/commands.h"
#include "program/dry_run.h"
#include "program/guard.h"
#include "program/outcome.h"
#include "program/requests.h"

/* What is known of the pool after its lines: a number for each record. */
typedef struct {
    double *score, *weight;    /* [count]; weight NULL: a shard */
    bool *swapped;             /* [count] a pair whose answers change places */
    double *gain, *likelihood; /* [count] for a map of the holdout, else NULL */
    /* Of pairs, what ica_pair_agreement reads. */
    Logps alone, in_context;
    Example *length;
    int unshown;
    Arena arena;
} Columns;

/* One call of the command. Its records are first .. first + facts.count - 1 of the pool. */
typedef struct {
    const Settings *s;
    const Model *m;
    Pool *pool;
    Splits *others; /* the holdout */
    int first;
    PoolFacts facts; /* borrowed from the pool */
    TrainOptions how;
    ScoreShared shared;
    ScoreNotes notes;
    Spent spent;
    Partial partial;
    Columns columns;
} Scorer;

/* --shard I/N: the part of the pool that is scored, records floor((I-1) n / N) .. floor(I n / N) -
 * 1 of its n. The files of all shards, concatenated, are the pool's. Without --shard the part is
 * the entire pool. */
static bool shard_of(const Settings *s, int n, int *first, int *count, Error *err) {
    int index = 1, of = 1;
    char rest;
    if (s->shard &&
        (sscanf(s->shard, "%d/%d%c", &index, &of, &rest) != 2 || index < 1 || index > of))
        return error_set(err, STATUS_USAGE,
                         "score: --shard %s: write I/N, the I-th of N parts, from "
                         "1/N to N/N",
                         s->shard);
    if (of > n)
        return error_set(err, STATUS_USAGE, "score: --shard %s: the pool has only %d records",
                         s->shard, n);
    *first = (int)((int64_t)(index - 1) * n / of);
    *count = (int)((int64_t)index * n / of) - *first;
    return true;
}

/* ---- the records, a chunk at a time ---- */

/* What the sums of the partial file are. */
enum { SUM_DROPPED, SUM_FLOPS, SUM_TOKENS, SUM_SECONDS, SUM_PARTLY };

/* Scores a chunk and appends its lines. Only the first one asks the holdout. */
static bool score_chunk(Scorer *x, const ExampleFile *chunk, int first, bool is_first, Error *err) {
    double start = seconds_now(), *sum = x->partial.sum;
    Splits part = {.pool = *chunk, .holdout = x->others->holdout};
    TrainOptions how = x->how;
    Scores scores = {0};
    ScoreNotes notes;
    Spent spent = {0};
    how.scoring.first = first;
    how.check = is_first && x->first == 0; /* One shard is enough. */
    if (train_score(x->m, &part, &how, &x->shared, &scores, &notes, &spent, err)) {
        x->shared.against.settled = true;
        scores_put_lines(&x->partial.lines, chunk, &x->others->holdout, &scores);
        if (is_first) x->notes = notes;
        sum[SUM_DROPPED] += notes.dropped_demos;
        sum[SUM_PARTLY] += notes.partly;
        sum[SUM_FLOPS] += spent.score_flops;
        sum[SUM_TOKENS] += spent.score_tokens;
        sum[SUM_SECONDS] += seconds_now() - start;
        x->spent.reference_seconds += spent.reference_seconds;
        x->spent.reference_flops += spent.reference_flops;
    }
    scores_free(&scores);
    return err->status == 0;
}

/* How often a record's row runs, and how many tokens of others run with it. */
static void estimate(const Scorer *x, Chunks *c) {
    const MethodInfo *method = &METHODS[x->s->method];
    double holdout = mean_tokens(&x->others->holdout.examples);
    int anchors = x->s->anchors == ANCHORS_NEAREST ? x->s->k : x->s->num_anchors;
    c->rows = method->needs_alone + method->needs_k + method->needs_reference;
    if (method->needs_k) c->beside = holdout * x->s->k;
    if (method->needs_anchors) c->rows = anchors;
    if (method->needs_anchors) c->beside = holdout * anchors;
    if (method->needs_gradients) c->rows = 3; /* forward, and backward twice as much */
}

static bool score_chunks(Scorer *x, Error *err) {
    Chunks c = {.settings = x->s,
                .model = x->m,
                .pool = x->pool,
                .first = x->first,
                .count = x->facts.count,
                .partial = &x->partial,
                .whole = x->s->contexts > 0 && METHODS[x->s->method].needs_k};
    ExampleFile chunk;
    int first;
    estimate(x, &c);
    if (x->partial.done > 0)
        fprintf(stderr, "%s: %d of %d records are scored already\n", x->partial.path,
                x->partial.done, x->facts.count);
    for (bool is_first = true; chunks_next(&c, &chunk, &first, err); is_first = false) {
        if (!score_chunk(x, &chunk, first, is_first, err)) return false;
        chunks_tell(&c, "scored");
    }
    return err->status == 0;
}

/* ---- what the lines say ---- */

static void columns_new(Scorer *x) {
    Columns *c = &x->columns;
    Arena *a = &c->arena;
    size_t n = (size_t)x->facts.count;
    c->score = arena_new(a, n, sizeof(double));
    if (MAPS[x->s->weight_map].of_holdout) {
        c->gain = arena_new(a, n, sizeof(double));
        c->likelihood = arena_new(a, n, sizeof(double));
    }
    if (!OBJECTIVES[x->s->objective].pairs) return;
    double *all = arena_new(a, mem_mul(n, 4), sizeof(double));
    c->alone = (Logps){all, all + n};
    c->in_context = (Logps){all + 2 * n, all + 3 * n};
    c->length = arena_new(a, n, sizeof *c->length);
}

/* Takes the numbers of a line into the columns. */
static bool take_line(void *self, int i, Str line, Error *err) {
    Scorer *x = self;
    Columns *c = &x->columns;
    Arena arena = {0};
    ScoreLine of;
    bool ok = i < x->facts.count && scores_line(json_parse(&arena, line.s, line.n, NULL), &of);
    arena_free(&arena);
    if (!ok)
        return error_set(err, STATUS_DATA, "%s: is damaged: --overwrite begins again",
                         x->partial.path);
    c->score[i] = of.record.score;
    c->unshown += isnan(of.record.score);
    if (c->gain) accept_numbers(&of.record, &c->gain[i], &c->likelihood[i]);
    if (!c->length) return true;
    c->alone.chosen[i] = of.record.alone[0];
    c->alone.rejected[i] = of.record.alone[1];
    c->in_context.chosen[i] = of.record.in_context[0];
    c->in_context.rejected[i] = of.record.in_context[1];
    c->length[i].answer_n = of.record.tokens;
    c->length[i].rejected_n = of.rejected;
    return true;
}

/* Completes what is told of the scores: of all records. */
static bool note(Scorer *x, Error *err) {
    const MethodInfo *method = &METHODS[x->s->method];
    Columns *c = &x->columns;
    int n = x->facts.count;
    bool asks = method->needs_k || method->needs_anchors;
    /* What the reference says is not asked for here. */
    Scores all = {
        .count = n, .alone = c->alone, .in_context = c->in_context, .by_reference = c->alone};
    all.unshown = mem_new((size_t)n, sizeof *all.unshown);
    for (int i = 0; i < n; i++) all.unshown[i] = asks && isnan(c->score[i]);
    all.n_unshown = asks ? c->unshown : 0;
    all.dropped = (int)x->partial.sum[SUM_DROPPED];
    x->notes.dropped_demos = x->partial.sum[SUM_DROPPED];
    x->notes.unshown = asks ? (double)c->unshown : NAN;
    x->notes.partly = x->partial.sum[SUM_PARTLY];
    x->notes.rank_agreement = NAN;
    if (c->length) {
        ScoreOptions how = {.objective = x->how.objective, .pair = x->how.pair};
        /* At the start DPO's reference is the model itself. */
        if (OBJECTIVES[how.objective].needs_reference) how.pool_reference = c->alone;
        Examples lengths = {.count = n, .items = c->length};
        x->notes.rank_agreement = ica_pair_agreement(&how, &lengths, &all);
    }
    bool ok = x->s->shard || scores_check(&all, x->m->config.context, err);
    free(all.unshown);
    return ok;
}

/* Makes the weights. A shard has none, unless the map looks at nothing but the record and the
 * holdout: most maps look at the entire pool. */
static void make_weights(Scorer *x) {
    Columns *c = &x->columns;
    WeightMap map = x->how.map;
    if (x->s->shard && map != MAP_ACCEPT) return;
    int n = x->facts.count;
    MapOptions how = x->how.map_options;
    Comparison *against = &x->shared.against;
    against->gain = c->gain;
    against->likelihood = c->likelihood;
    c->weight = arena_new(&c->arena, (size_t)n, sizeof(double));
    c->swapped = arena_new(&c->arena, (size_t)n, sizeof(bool));
    map_weights(map, &how, c->gain ? comparison_map(against, &how) : c->score, n, c->weight);
    comparison_swapped(against, n, c->swapped);
    if (c->gain) scores_tell_comparison(map, against, c->weight, n);
    if (!x->s->shard) scores_tell_nothing(map, against, c->weight, n);
}

/* A candidate without demonstrations weighs the mean of the entire pool, which a shard does not
 * know: its line has no number there, and who reads all shards takes the mean. */
static bool put_weight(void *self, int i, Str line, Buf *b, Error *err) {
    const Scorer *x = self;
    (void)err;
    bool open = x->s->shard && isnan(x->columns.score[i]);
    scores_put_weight(b, line, open ? NAN : x->columns.weight[i], x->columns.swapped[i]);
    return true;
}

/* Puts a copy of --holdout-scores beside the scores, for those who read them. */
static bool copy_holdout(const Settings *s, Error *err) {
    if (!s->holdout_scores) return true;
    Buf text = {0};
    char *beside = scores_holdout_path(s->out);
    bool ok = file_read(s->holdout_scores, &text, err) && file_write(beside, text.s, text.n, err);
    free(beside);
    buf_free(&text);
    return ok;
}

static bool save(Scorer *x, Error *err) {
    return scores_save_holdout(x->s->out, &x->others->holdout, &x->shared.against, err) &&
           copy_holdout(x->s, err) &&
           partial_write(&x->partial, x->s->out, x->columns.weight ? put_weight : NULL, x, err);
}

/* The records that have no line, because the options leave them out. */
static int left_out(const Pool *pool) {
    int sum = 0;
    for (int i = 0; i < pool->use.files; i++) sum += summary_left_out(&pool->summary[i]);
    return sum;
}

static void print_scores(const Scorer *x, Error *err) {
    const Settings *s = x->s;
    const double *sum = x->partial.sum;
    Buf b = {0};
    if (!s->json) {
        outcome_scores(&b, s, x->columns.score, x->columns.weight, x->facts.count,
                       left_out(x->pool) > 0);
        buf_putc(&b, '\n');
        if (!file_print(b.s, b.n, err)) return buf_free(&b);
        b.n = 0;
    }
    buf_puts(&b, "{\"command\":\"score\"");
    json_key_string(&b, "method", METHODS[s->method].name);
    buf_puts(&b, ",\"group\":");
    json_put_string(&b, settings_group(s));
    buf_printf(&b, ",\"draw\":\"%d\"", s->draw);
    json_key_string(&b, "objective", OBJECTIVES[s->objective].name);
    put_names(&b, "pool", &s->pools);
    if (s->shard) json_key_string(&b, "shard", s->shard);
    json_key_string(&b, "holdout", s->holdout);
    json_key_string(&b, "scores", s->out);
    json_key_string(&b, "weight_map", MAPS[s->weight_map].name);
    if (METHODS[s->method].needs_k) {
        json_key_number(&b, "k", s->k);
        json_key_string(&b, "demos", DEMO_CHOICES[s->demos].name);
    }
    json_key_string(&b, "template", s->template);
    json_key_string(&b, "demos_as", DEMOS_AS[s->demos_as].name);
    json_key_string(&b, "embedding", EMBEDDINGS[s->embedding].name);
    scores_put_result(&b, &x->facts, x->columns.score, x->columns.weight, &x->notes);
    if (x->columns.gain)
        scores_put_comparison(&b, s->weight_map, &x->shared.against, x->columns.weight,
                              x->facts.count);
    if (x->notes.partly > 0) json_key_number(&b, "fewer_demos", x->notes.partly);
    json_key_number(&b, "seconds", x->spent.seconds);
    json_key_number(&b, "reference_seconds", x->spent.reference_seconds);
    json_key_number(&b, "flops", sum[SUM_FLOPS] + x->spent.reference_flops);
    json_key_number(&b, "forward_tokens", sum[SUM_TOKENS]);
    json_key_number(&b, "records", x->facts.count);
    if (left_out(x->pool) > 0) json_key_number(&b, "left_out", left_out(x->pool));
    int clean = scores_known_clean(&x->facts);
    if (clean >= 0) json_key_number(&b, "clean", clean);
    buf_puts(&b, "}\n");
    settings_print(s, &b, err);
    buf_free(&b);
    tell_notes(&x->notes);
}

/* ---- the command ---- */

/* Scores the pool and writes the files. */
static bool score_pool(Scorer *x, Error *err) {
    double start = seconds_now(), before = x->partial.sum[SUM_SECONDS];
    if (!score_chunks(x, err)) return false;
    columns_new(x);
    bool ok = partial_each(&x->partial, take_line, x, err) && note(x, err);
    if (ok) make_weights(x);
    if (ok && save(x, err)) {
        x->spent.seconds = before + seconds_now() - start;
        print_scores(x, err);
    }
    arena_free(&x->columns.arena);
    return err->status == 0;
}

/* Are all records needed at once? Clusters are of the entire pool, and a candidate's random numbers
 * depend on what the candidates before it drew. */
static bool needs_whole(const Settings *s) {
    return METHODS[s->method].needs_k && (s->contexts > 0 || DEMO_CHOICES[s->demos].drawn);
}

static bool check_files(const Settings *s, Error *err) {
    if (s->pools.count > 1 && needs_whole(s))
        return error_set(err, STATUS_USAGE,
                         "score: --contexts, and --demos random and shuffled, look at the whole "
                         "pool: give one --pool file");
    if (s->contexts > 0 && needs_whole(s) && s->chunk > 0)
        return error_set(err, STATUS_USAGE,
                         "score: --contexts makes clusters of the whole pool: leave --chunk out");
    return true;
}

/* Measures on records of the pool's first part. */
static bool dry_run(const Settings *s, const ModelFolder *f, Pool *pool, int records,
                    Splits *others, Error *err) {
    const ExampleFile *part;
    if (!pool_next(pool, &part, err)) return false;
    Splits x = {.pool = *part, .holdout = others->holdout};
    tell_pool(s, pool, "pool", others);
    return dry_run_score(s, f->model, &x, records, err);
}

/* Takes the holdout's own scores from --holdout-scores. */
static bool settle(Scorer *x, int count, Error *err) {
    const char *file = x->s->holdout_scores;
    return !file || scores_settle(file, &x->others->holdout.data, x->how.map, &x->how.comparing,
                                  count, &x->shared.against, err);
}

static bool score_with(const Settings *s, const ModelFolder *f, const SplitFiles *files,
                       Splits *others, Error *err) {
    Pool pool;
    int count = 0;
    Scorer x = {.s = s, .m = f->model, .pool = &pool, .others = others};
    PoolUse use = {.paths = s->pools.values,
                   .files = s->pools.count,
                   .how = *files,
                   .whole = needs_whole(s),
                   .others = others};
    if (!pool_open(&pool, f, &use, err)) return false;
    x.how = request_train(s, 0);
    x.how.scoring.vectors = holdout_vectors(&others->holdout.examples);
    bool ok = check_holdout(s, &others->holdout, err) &&
              shard_of(s, pool.facts.count, &x.first, &count, err);
    if (ok && s->dry_run) ok = file_allowed(s->out, err);
    if (ok && s->dry_run) dry_run(s, f, &pool, count, others, err);
    else if (ok && file_try(s->out, err) && settle(&x, count, err) &&
             request_partial(s, &pool, &others->holdout, s->out, &x.partial, err)) {
        x.facts = facts_part(&pool.facts, x.first, count);
        tell_pool(s, &pool, "pool", others);
        partial_end(&x.partial, score_pool(&x, err));
    }
    score_shared_free(&x.shared);
    vectors_free(x.how.scoring.vectors);
    pool_free(&pool);
    return err->status == 0;
}

bool command_score(const Settings *s, Error *err) {
    ModelFolder f;
    Splits others;
    SplitFiles files = settings_files(s);
    bool pairs = OBJECTIVES[s->objective].pairs;
    files.pool = NULL;
    files.pairs = pairs;
    files.holdout_pairs =
        pairs && (METHODS[s->method].needs_gradients || MAPS[s->weight_map].of_holdout);
    if (!check_files(s, err) || !guard_outputs(s, err) || !settings_model(s, s->model, &f, err))
        return false;
    if (splits_read(&others, &f, &files, err)) {
        score_with(s, &f, &files, &others, err);
        splits_free(&others);
    }
    model_folder_free(&f);
    return err->status == 0;
}
