/* eval: how probable a model finds the right answers of a file. */
#include <string.h>

#include "data/metrics.h"
#include "lib/json.h"
#include "program/chunks.h"
#include "program/commands.h"
#include "program/dry_run.h"
#include "program/guard.h"
#include "program/requests.h"

/* One call of the command. */
typedef struct {
    const Settings *s;
    const Model *m;
    Pool *data;
    const Examples *holdout;
    Workspace *ws;
    ScoreOptions shows;     /* which demonstrations */
    const Model *reference; /* DPO's, else NULL */
    bool pairs;
    Partial partial;
    Metrics answers;
    PairMetrics pair;
} Evaluation;

/* What the sums of the partial file are: those of Metrics or of PairMetrics. */
static void keep_sums(Evaluation *x) {
    double *sum = x->partial.sum;
    const Metrics *a = &x->answers;
    const PairMetrics *p = &x->pair;
    const double answers[] = {a->nll,  a->p_sequence, a->exact_match,
                              a->nats, a->tokens,     a->dropped},
                 pairs[] = {p->loss, p->margin, p->reward_accuracy};
    if (x->pairs) memcpy(sum, pairs, sizeof pairs);
    else memcpy(sum, answers, sizeof answers);
}

static void take_sums(Evaluation *x) {
    const double *sum = x->partial.sum;
    x->answers = (Metrics){.nll = sum[0],
                           .p_sequence = sum[1],
                           .exact_match = sum[2],
                           .nats = sum[3],
                           .tokens = sum[4],
                           .dropped = (int)sum[5],
                           .broken = -1};
    x->pair =
        (PairMetrics){.loss = sum[0], .margin = sum[1], .reward_accuracy = sum[2], .broken = -1};
}

/* Appends each record's log-likelihoods. */
static void put_lines(Buf *b, const ExampleFile *data, bool pairs, Logps logp) {
    for (int i = 0; i < data->data.count; i++) {
        const Example *e = &data->examples.items[i];
        buf_puts(b, "{\"id\":");
        json_put_string(b, data->data.records[i].id);
        json_key_number(b, pairs ? "logp_chosen" : "logp", logp.chosen[i]);
        json_key_number(b, pairs ? "tokens_chosen" : "tokens", e->answer_n);
        if (pairs) {
            json_key_number(b, "logp_rejected", logp.rejected[i]);
            json_key_number(b, "tokens_rejected", e->rejected_n);
        }
        buf_puts(b, "}\n");
    }
}

static bool evaluate_pair_chunk(Evaluation *x, const ExampleFile *chunk, Logps logp, Error *err) {
    const Examples *data = &chunk->examples;
    PairOptions pair = settings_pair(x->s);
    Logps reference = x->reference ? logps_new(data->count) : (Logps){0};
    bool ok = !x->reference || reference_logps(x->reference, x->ws, chunk, reference, NULL, err);
    if (ok)
        evaluate_pairs_part(x->m, x->ws, data, x->s->objective, &pair, reference,
                            x->data->facts.count, logp, &x->pair);
    logps_free(&reference);
    return ok && (x->pair.broken < 0 || example_broken(chunk, x->pair.broken, err));
}

static bool evaluate_chunk(Evaluation *x, const ExampleFile *chunk, Error *err) {
    const Examples *data = &chunk->examples;
    Logps logp = logps_new(data->count);
    bool ok = true;
    if (x->pairs) ok = evaluate_pair_chunk(x, chunk, logp, err);
    else {
        evaluate_answers_part(x->m, x->ws, data, x->holdout, &x->shows, x->data->facts.count,
                              logp.chosen, &x->answers);
        ok = x->answers.broken < 0 || example_broken(chunk, x->answers.broken, err);
    }
    if (ok && x->s->per_example) put_lines(&x->partial.lines, chunk, x->pairs, logp);
    keep_sums(x);
    logps_free(&logp);
    return ok;
}

/* Evaluates all records, a chunk at a time. */
static bool evaluate_chunks(Evaluation *x, Error *err) {
    bool keeps = x->s->per_example != NULL;
    Chunks c = {.settings = x->s,
                .model = x->m,
                .pool = x->data,
                .count = x->data->facts.count,
                .partial = keeps ? &x->partial : NULL,
                .rows = x->reference ? 2 : 1,
                .beside = x->s->k * mean_tokens(x->holdout)};
    ExampleFile chunk;
    int first;
    take_sums(x);
    if (x->partial.done > 0)
        fprintf(stderr, "%s: %d of %d records are evaluated already\n", x->partial.path,
                x->partial.done, c.count);
    while (chunks_next(&c, &chunk, &first, err)) {
        if (!evaluate_chunk(x, &chunk, err)) return false;
        chunks_tell(&c, "evaluated");
    }
    return err->status == 0;
}

static bool check_options(const Settings *s, const ObjectiveInfo *objective, Error *err) {
    if (s->proceed && !s->per_example)
        return error_set(err, STATUS_USAGE,
                         "eval: --resume continues the file of --per-example, so it needs that");
    if (objective->pairs && s->k > 0)
        return error_set(err, STATUS_USAGE,
                         "eval: --k is for --objective sft: pairs are evaluated "
                         "without demonstrations");
    if (!guard_outputs(s, err)) return false;
    if (s->k > 0 && !s->holdout)
        return error_set(err, STATUS_USAGE,
                         "eval: --k %d needs --holdout FILE to take the "
                         "demonstrations from",
                         s->k);
    if (objective->needs_reference && !s->reference)
        return error_set(err, STATUS_USAGE,
                         "eval: --objective %s needs --reference DIR, the model "
                         "that training started from",
                         objective->name);
    return true;
}

static void print_evaluation(Evaluation *x, double seconds, Error *err) {
    const Settings *s = x->s;
    int records = x->data->facts.count;
    Buf b = {0};
    buf_puts(&b, "{\"command\":\"eval\"");
    json_key_string(&b, "model", s->model);
    put_names(&b, "data", &s->data);
    json_key_string(&b, "objective", OBJECTIVES[s->objective].name);
    json_key_number(&b, "k", s->k);
    json_key_number(&b, "records", records);
    if (x->pairs) {
        pair_metrics_end(&x->pair, records);
        pair_metrics_put(&b, &x->pair);
    } else {
        metrics_end(&x->answers, records);
        metrics_put(&b, &x->answers);
        json_key_number(&b, "dropped_demos", x->answers.dropped);
        tell_dropped(x->answers.dropped);
    }
    json_key_number(&b, "seconds", seconds);
    buf_puts(&b, "}\n");
    settings_print(s, &b, err);
    buf_free(&b);
}

/* Measures on records of the first part. */
static bool dry_run(const Evaluation *x, Error *err) {
    const ExampleFile *part;
    return pool_next(x->data, &part, err) &&
           dry_run_eval(x->s, x->m, part, x->holdout, x->data->facts.count, err);
}

/* Evaluates the records and prints the result. */
static bool evaluate(const Settings *s, const ModelFolder *f, Pool *data, Splits *others,
                     Error *err) {
    double start = seconds_now();
    Evaluation x = {.s = s,
                    .m = f->model,
                    .data = data,
                    .holdout = &others->holdout.examples,
                    .shows = {.k = s->k, .embedding = s->embedding},
                    .pairs = OBJECTIVES[s->objective].pairs};
    if (s->k > 0 && !check_k(s, &others->holdout.data, err)) return false;
    if (s->per_example && s->dry_run && !file_allowed(s->per_example, err)) return false;
    if (s->per_example && !s->dry_run &&
        (!file_try(s->per_example, err) ||
         !request_partial(s, data, &others->holdout, s->per_example, &x.partial, err)))
        return false;
    tell_pool(s, data, "test", others);
    x.ws = workspace_new();
    x.shows.vectors = holdout_vectors(x.holdout);
    /* The base of adapters is in memory already. */
    bool compares = OBJECTIVES[s->objective].needs_reference,
         is_base = compares && file_same(s->reference, f->base_path);
    Model *loaded = compares && !is_base ? model_load_like(f, s->reference, err) : NULL;
    x.reference = is_base ? f->base : loaded;
    bool writes = s->per_example && !s->dry_run;
    if (s->dry_run) {
        if (err->status == 0) dry_run(&x, err);
    } else {
        bool ok = err->status == 0 && evaluate_chunks(&x, err) &&
                  (!writes || partial_write(&x.partial, s->per_example, NULL, NULL, err));
        if (ok) print_evaluation(&x, seconds_now() - start, err);
        if (writes) partial_end(&x.partial, ok);
    }
    model_free(loaded);
    vectors_free(x.shows.vectors);
    workspace_free(x.ws);
    return err->status == 0;
}

bool command_eval(const Settings *s, Error *err) {
    ModelFolder f;
    Splits others;
    Pool data;
    const ObjectiveInfo *objective = &OBJECTIVES[s->objective];
    SplitFiles files = settings_files(s);
    if (!check_options(s, objective, err) || !settings_model(s, s->model, &f, err)) return false;
    if (splits_read(&others, &f, &files, err)) {
        files.pairs = objective->pairs;
        PoolUse use = {.paths = s->data.values,
                       .files = s->data.count,
                       .how = files,
                       .others = &others,
                       .test = true};
        if (pool_open(&data, &f, &use, err)) {
            evaluate(s, &f, &data, &others, err);
            pool_free(&data);
        }
        splits_free(&others);
    }
    model_folder_free(&f);
    return err->status == 0;
}
