/* score: a score and a weight for each record of a pool. */
#include <math.h>
#include <stdlib.h>

#include "lib/json.h"
#include "program/commands.h"
#include "program/dry_run.h"
#include "program/guard.h"
#include "program/requests.h"

/* --shard I/N: the part of the pool that is scored, records floor((I-1) n / N) .. floor(I n / N) -
 * 1 of its n. The files of all shards, concatenated, are the pool's. The part borrows from the
 * pool. *first is its first record. Without --shard the part is the entire pool. */
static bool shard_of(const Settings *s, const ExampleFile *pool, ExampleFile *part, int *first,
                     Error *err) {
    int index = 1, of = 1, n = pool->data.count;
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
    *part = *pool;
    part->data.records += *first;
    part->examples.items += *first;
    part->data.count = part->examples.count = (int)((int64_t)index * n / of) - *first;
    return true;
}

static void print_scores(const Settings *s, const ExampleFile *part, const Scores *scores,
                         const double *weight, const ScoreNotes *notes, const Comparison *against,
                         const Spent *spent, Error *err) {
    Buf b = {0};
    buf_puts(&b, "{\"command\":\"score\"");
    json_key_string(&b, "method", METHODS[s->method].name);
    buf_puts(&b, ",\"group\":");
    json_put_string(&b, settings_group(s));
    buf_printf(&b, ",\"draw\":\"%d\"", s->draw);
    json_key_string(&b, "objective", OBJECTIVES[s->objective].name);
    json_key_string(&b, "pool", s->pool);
    if (s->shard) json_key_string(&b, "shard", s->shard);
    json_key_string(&b, "holdout", s->holdout);
    json_key_string(&b, "scores", s->out);
    scores_put_result(&b, part, scores->score, weight, notes);
    if (against->gain)
        scores_put_comparison(&b, s->weight_map, against, weight, part->examples.count);
    json_key_number(&b, "seconds", spent->seconds);
    json_key_number(&b, "reference_seconds", spent->reference_seconds);
    json_key_number(&b, "flops", spent->score_flops + spent->reference_flops);
    json_key_number(&b, "forward_tokens", spent->score_tokens);
    json_key_number(&b, "records", scores->count);
    json_key_number(&b, "clean", scores_known_clean(&part->data));
    buf_puts(&b, "}\n");
    settings_print(s, &b, err);
    buf_free(&b);
    tell_notes(notes);
}

/* Makes the weights. A shard has none, unless the map looks at nothing but the record and the
 * holdout: most maps look at the entire pool. */
static double *score_weights(const Settings *s, const TrainOptions *o, const Scores *scores,
                             const Comparison *against) {
    if (s->shard && o->map != MAP_ACCEPT) return NULL;
    double *weight = mem_new((size_t)scores->count, sizeof *weight);
    MapOptions how = o->map_options;
    bool compares = MAPS[o->map].of_holdout;
    const double *score = compares ? comparison_map(against, &how) : scores->score;
    map_weights(o->map, &how, score, scores->count, weight);
    if (compares) scores_tell_comparison(o->map, against, weight, scores->count);
    return weight;
}

/* Writes the files. A candidate without demonstrations weighs the mean of the entire pool, which a
 * shard does not know: its line has no number there, and who reads all shards takes the mean. */
static bool save(const Settings *s, const Splits *x, const Scores *scores, const double *weight,
                 const Comparison *against, Error *err) {
    double *known = weight ? mem_new((size_t)scores->count, sizeof *known) : NULL;
    for (int i = 0; weight && i < scores->count; i++)
        known[i] = s->shard && isnan(scores->score[i]) ? NAN : weight[i];
    bool ok = scores_save(s->out, x, scores, known, against, err);
    free(known);
    return ok;
}

/* Scores the pool of x and writes the files. */
static bool score_splits(const Settings *s, const Model *m, const Splits *x, int first,
                         Error *err) {
    double start = seconds_now();
    TrainOptions o = request_train(s, 0);
    Scores scores = {0};
    ScoreNotes notes;
    Comparison against = {0};
    Spent spent = {0};
    double *weight = NULL;
    o.scoring.first = first;
    o.check = first == 0; /* One shard is enough. */
    if (train_score(m, x, &o, &scores, &notes, &against, &spent, err) &&
        (s->shard || scores_check(&scores, m->config.context, err))) {
        weight = score_weights(s, &o, &scores, &against);
        if (save(s, x, &scores, weight, &against, err)) {
            spent.seconds = seconds_now() - start;
            print_scores(s, &x->pool, &scores, weight, &notes, &against, &spent, err);
        }
    }
    free(weight);
    scores_free(&scores);
    comparison_free(&against);
    return err->status == 0;
}

bool command_score(const Settings *s, Error *err) {
    ModelFolder f;
    Splits x, part;
    int first = 0;
    SplitFiles files = settings_files(s);
    files.pairs = OBJECTIVES[s->objective].pairs;
    files.holdout_pairs =
        files.pairs && (METHODS[s->method].needs_gradients || MAPS[s->weight_map].of_holdout);
    if (!guard_outputs(s, err) || !settings_model(s, s->model, &f, err)) return false;
    if (splits_read(&x, &f, &files, err)) {
        part = x;
        if (check_holdout(s, &x.holdout, err) && shard_of(s, &x.pool, &part.pool, &first, err) &&
            (s->dry_run || file_try(s->out, err))) {
            tell_data(s, &x);
            if (s->dry_run) dry_run_score(s, f.model, &part, err);
            else score_splits(s, f.model, &part, first, err);
        }
        splits_free(&x);
    }
    model_folder_free(&f);
    return err->status == 0;
}
