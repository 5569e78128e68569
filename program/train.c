/* train: weighted fine-tuning. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/order.h"
#include "data/parts.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/stats.h"
#include "program/commands.h"
#include "program/dry_run.h"
#include "program/guard.h"
#include "program/machine.h"
#include "program/outcome.h"
#include "program/requests.h"

/* ---- weights ---- */

/* The weight of one record by what the pool's file says about it. */
static bool record_weight(const Dataset *d, const Record *r, WeightsFrom from, double *weight,
                          Error *err) {
    if (from == WEIGHTS_FROM_ORACLE) {
        if (r->clean < 0)
            return error_set(err, STATUS_DATA,
                             "%s:%ld: --weights oracle needs the key \"%s\" in "
                             "every record",
                             d->path, r->line, r->kind == RECORD_PAIR ? "flipped" : "clean");
        *weight = r->clean;
    }
    if (from == WEIGHTS_FROM_RECORDS) {
        if (isnan(r->weight))
            return error_set(err, STATUS_DATA,
                             "%s:%ld: --weights records needs the key \"weight\" "
                             "in every record",
                             d->path, r->line);
        if (r->weight > WEIGHT_MOST)
            return error_set(err, STATUS_DATA,
                             "%s:%ld: a weight of %g is too large: scale the "
                             "weights down",
                             d->path, r->line, r->weight);
        *weight = r->weight;
    }
    return true;
}

/* Weights that are all 0 leave nothing to learn. */
static void warn_of_none(const char *path, const PoolWeights *w, int count) {
    for (int i = 0; i < count; i++)
        if (w->weight[i] > 0) return;
    fprintf(stderr, "WARNING: %s: every weight is 0: nothing is learned\n", path);
}

/* Weights in a file count, whatever map was asked for. */
static void tell_fixed(const Settings *s) {
    if (s->weight_map != MAP_MINMAX_BATCH)
        fprintf(stderr, "WARNING: --weight-map %s has no effect here: ", MAPS[s->weight_map].name);
    fprintf(stderr,
            "%s: has weights, which count; only --weight-map accept and mirror make others\n",
            s->weights_file);
}

/* A dump has no place for pairs whose answers change places, and SFT reads one answer of a pair. */
static bool check_swapped(const Settings *s, const Dataset *d, const PoolWeights *w, Error *err) {
    bool pairs = OBJECTIVES[s->objective].pairs;
    for (int i = 0; i < d->count; i++)
        if (w->swapped[i] && !pairs)
            return error_set(
                err, STATUS_DATA,
                "%s:%d: swaps a pair (\"relabel\"), and --objective %s reads its chosen "
                "answer alone: give --objective dpo or simpo, or score without "
                "--relabel",
                s->weights_file, i + 1, OBJECTIVES[s->objective].name);
        else if (w->swapped[i] && s->dump_state)
            return error_set(err, STATUS_USAGE,
                             "%s:%d: swaps a pair (\"relabel\"), and --dump-state has no place "
                             "for that; leave it out",
                             s->weights_file, i + 1);
    return true;
}

/* Fills in the pool's weights, or says what makes them. Notes the file that they come from. */
static bool read_weights(const Settings *s, const Splits *x, PoolWeights *w, Run *run, Error *err) {
    const Dataset *d = &x->pool.data;
    for (int i = 0; i < d->count; i++)
        if (!record_weight(d, &d->records[i], s->weights_from, &w->weight[i], err)) return false;
    if (s->weights_from == WEIGHTS_FROM_METHOD) {
        w->source = WEIGHTS_SCORED;
        return check_holdout(s, &x->holdout, err);
    }
    if (s->weights_from != WEIGHTS_FROM_FILE) {
        warn_of_none(d->path, w, d->count);
        return true;
    }
    const char *path = s->weights_file;
    uint64_t beside;
    ComparisonOptions how = {.level = s->accept_level, .relabel = s->relabel};
    bool ok = scores_load(path, s->holdout_scores, d, s->weight_map, &how, false, w, &beside, err);
    run_input(run, path, w->fingerprint);
    run_depends_file(run, "--weights file", w->fingerprint);
    if (ok && w->against.gain) {
        char *holdout = scores_holdout_path(path);
        run_input(run, s->holdout_scores ? s->holdout_scores : holdout, beside);
        run_depends_file(run, "--holdout-scores", beside);
        free(holdout);
    }
    if (!ok || !check_swapped(s, d, w, err)) return false;
    if (w->source == WEIGHTS_FIXED) warn_of_none(path, w, d->count);
    if (w->source == WEIGHTS_FIXED && !s->resume) tell_fixed(s);
    return true;
}

/* ---- results ---- */

/* What scoring cost beside training: in seconds, and in operations. Both include the check of the
 * holdout and the comparison with it. r is the cost of one score over the training cost of one
 * record. All scores together then cost `scored` r / `trained` of training: n r / (P B) for n
 * records and P batches between two refreshes, of which B records each have a weight and run. */
static void put_overhead(Run *run, const TrainResult *result, Buf *told) {
    const Spent *spent = &run->spent;
    if (spent->score_flops <= 0 || spent->train_flops <= 0 || spent->train_seconds <= 0) return;
    double scored = spent->scored, trained = spent->trained;
    double r = spent->score_flops / scored / (spent->train_flops / trained);
    double measured = spent->score_seconds / spent->train_seconds;
    double formula = scored * r / trained;
    double base = result->alone_share * r * (1 - result->notes.check.flops / spent->score_flops);
    json_key_number(&run->result, "relative_cost", r);
    json_key_number(&run->result, "relative_cost_base", base);
    json_key_number(&run->result, "relative_cost_measured", measured * trained / scored);
    json_key_number(&run->result, "overhead_formula", formula);
    json_key_number(&run->result, "overhead_measured", measured);
    buf_printf(
        told,
        "scoring: %.1f%% of the training time; by operations %.1f%%: %.0f scores of r = %.2f "
        "(%.2f without context) over %.0f records that ran\n",
        100 * measured, 100 * formula, scored, r, base, trained);
}

/* What the weights were, and at last what everything cost, of which `told` is for people. */
static void put_rest(Run *run, const Splits *x, const PoolWeights *w, WeightMap map,
                     const TrainResult *result, Buf *told) {
    int n = x->pool.examples.count;
    Buf *b = &run->result;
    if (w->source == WEIGHTS_SCORED) {
        PoolFacts facts = facts_of(&x->pool);
        scores_put_result(b, &facts, w->score, w->used, &result->notes);
        facts_free(&facts);
    } else json_key_number(b, "ess", effective_sample_size(w->used, n));
    if (w->against.gain) scores_put_comparison(b, map, &w->against, w->weight, n);
    json_key_number(b, "skipped_steps", result->loop.skipped);
    if (w->source == WEIGHTS_SCORED) put_overhead(run, result, told);
    json_key_number(b, "activation_bytes", (double)result->loop.activation_bytes);
}

/* What a user may have to know before the result. */
static void tell_result(const PoolWeights *w, const TrainResult *result) {
    if (w->source == WEIGHTS_SCORED) tell_notes(&result->notes);
    if (result->loop.skipped)
        fprintf(stderr, "%d steps were skipped: all weights of the batch were 0\n",
                result->loop.skipped);
}

/* Writes metrics.json, and adds the metrics of the test and the validation part to the result. */
static bool put_metrics(Run *run, const TrainOptions *o, const TrainResult *result, Error *err) {
    Buf members = {0};
    bool pairs = OBJECTIVES[o->objective].pairs, ok = true;
    const Measured *test = &result->test, *validation = &result->validation;
    if (test->records > 0) {
        if (pairs) pair_metrics_put(&members, &test->pairs);
        else metrics_put(&members, &test->answers);
        buf_printf(&run->result, ",%s", members.s);
        ok = metrics_write(run->header.folder, &members, test->records, err);
    }
    if (validation->records > 0) {
        json_key_number(&run->result, "validation_records", validation->records);
        json_key_number(&run->result, pairs ? "validation_loss" : "validation_nll",
                        pairs ? validation->pairs.loss : validation->answers.nll);
    }
    buf_free(&members);
    return ok;
}

/* The loss of an evaluation, by the objective. */
static double loss_of(const Measured *x, bool pairs) {
    return x->records == 0 ? NAN : pairs ? x->pairs.loss : x->answers.nll;
}

static bool print_result(const Settings *s, const Run *run, const TrainResult *result, Error *err) {
    bool pairs = OBJECTIVES[s->objective].pairs;
    const Keep *keep = &result->loop.keep;
    Outcome o = {.steps = (double)result->loop.steps,
                 .best_step = s->load_best ? keep->told.step : 0,
                 .test = {run_was_before(run, pairs ? "eval_loss" : "eval_nll"),
                          loss_of(&result->test, pairs)},
                 .validation = {run_was_before(run, pairs ? "validation_loss" : "validation_nll"),
                                loss_of(&result->validation, pairs)},
                 .train = {NAN, result->loop.loss}};
    Buf b = {0};
    bool ok = outcome_first_loss(run->header.folder, &o.train[0], err);
    outcome_warn(&o);
    if (!s->json) outcome_put(&b, s, &o);
    if (!s->json) buf_putc(&b, '\n');
    if (!s->json) ok = ok && file_print(b.s, b.n, err);
    b.n = 0;
    buf_printf(&b, "{%.*s}\n", (int)run->result.n, run->result.s);
    ok = ok && settings_print(s, &b, err);
    buf_free(&b);
    return ok;
}

/* Measures the model as it is before the first step. DPO's loss is then log 2 for every pair. What
 * cannot be measured is left out: training says what is wrong. */
static void measure_before(const TrainOptions *o, const Model *m, const Splits *x, Run *run) {
    const ExampleFile *files[] = {&x->eval, &x->validation};
    bool pairs = OBJECTIVES[o->objective].pairs, dpo = OBJECTIVES[o->objective].needs_reference;
    static const char *const names[2][2] = {{"eval_nll", "validation_nll"},
                                            {"eval_loss", "validation_loss"}};
    Workspace *ws = workspace_new();
    double start = seconds_now();
    for (int i = 0; i < 2 && !run->header.resume; i++) {
        Measured found = {.records = files[i]->examples.count, .pairs = {.loss = log(2)}};
        Error unsaid = {0};
        if (found.records > 0 && !dpo)
            evaluate_file(m, ws, files[i], o->objective, &o->pair, (Logps){NULL, NULL}, &found,
                          &unsaid);
        if (found.records > 0 && unsaid.status == 0)
            run_before(run, names[pairs][i], loss_of(&found, pairs));
    }
    if (!run->header.resume) run->spent.eval_seconds += seconds_now() - start;
    workspace_free(ws);
}

/* ---- the command ---- */

/* Tells how many pairs have the same tokens as both answers: they carry no gradient. */
static void tell_equal_answers(const Examples *pool) {
    int equal = 0;
    for (int i = 0; i < pool->count; i++)
        equal += pool->items[i].rejected && same_answers(&pool->items[i]);
    if (equal)
        fprintf(stderr, "pairs with two equal answers, which have a loss and no gradient: %d\n",
                equal);
}

static long count_steps(const Settings *s, int records) {
    if (s->max_steps > 0) return s->max_steps;
    return batches_of_epochs(s->num_train_epochs, epoch_batches(records, s->batch_size));
}

/* Trains, and writes and prints the result. */
static bool train_run(const Settings *s, ModelFolder *f, const Splits *x, TrainOptions *o,
                      PoolWeights *w, Run *run, Error *err) {
    TrainResult result;
    Buf cost = {0};
    if (s->dump_state)
        o->dump = dump_new(s->dump_state, &x->pool, OBJECTIVES[o->objective].pairs, o->batch_size);
    measure_before(o, f->model, x, run);
    bool ok = train(f->model, x, o, w, run, &result, err);
    if (ok && result.loop.complete) tell_complete(s);
    else if (ok) {
        tell_result(w, &result);
        json_key_number(&run->result, "steps", (double)result.loop.steps);
        json_key_number(&run->result, "train_loss", result.loop.loss);
        keep_put_result(&run->result, &result.loop.keep);
        bool written = put_metrics(run, o, &result, err);
        put_rest(run, x, w, o->map, &result, &cost);
        if (written && print_result(s, run, &result, err) && cost.n > 0) fputs(cost.s, stderr);
    }
    buf_free(&cost);
    run_end(run, err);
    request_end(s, err);
    dump_free(o->dump);
    return err->status == 0;
}

/* Trains with the pool's weights and ends the run, or says what that would take. */
static bool train_on(const Settings *s, ModelFolder *f, const Splits *x, Run *run, Error *err) {
    int n = x->pool.examples.count;
    TrainOptions o = request_train(s, count_steps(s, n));
    PoolWeights w = pool_weights_new(n);
    if (read_weights(s, x, &w, run, err)) {
        if (s->dry_run) fputs(run->opening.s, stderr);
        if (OBJECTIVES[o.objective].pairs) tell_equal_answers(&x->pool.examples);
        tell_still(&o.loop, o.loop.steps);
        if (s->dry_run) dry_run_train(s, f->model, x, &o, &w, err);
        else train_run(s, f, x, &o, &w, run, err);
    }
    pool_weights_free(&w);
    return err->status == 0;
}

/* The run, from its header to its end. */
static void train_splits(const Settings *s, ModelFolder *f, Splits *x, RunPlace *place,
                         double start, Error *err) {
    Arena arena = {0};
    RunHeader header = request_run(s, &arena);
    header.place = place;
    Run run = run_new(&header, f);
    run.start = start;
    put_data(&run.opening, s, x, 0);
    request_sample(&run, s, x);
    run_inputs(&run, x);
    machine_stop_on_signals();
    if (run_base(&run, s->model, f->model, err) && request_depends(&run, s, x, NULL, err))
        train_on(s, f, x, &run, err);
    run_free(&run);
    arena_free(&arena);
}

bool command_train(const Settings *s, Error *err) {
    double start = seconds_now();
    ModelFolder f;
    Splits x;
    SplitFiles files = settings_files(s);
    RunPlace place = {0};
    if (!guard_outputs(s, err) || request_over(s, err)) return err->status == 0;
    files.pairs = OBJECTIVES[s->objective].pairs;
    files.holdout_pairs = files.pairs && s->weights_from == WEIGHTS_FROM_METHOD &&
                          (METHODS[s->method].needs_gradients || MAPS[s->weight_map].of_holdout);
    if (request_place(s, &place, err) &&
        settings_model(s, s->resume ? s->resume : s->model, &f, err)) {
        if (request_adapters(s, &f, err) && splits_read(&x, &f, &files, err)) {
            if (s->eval_share <= 0 || splits_hold_out(&x, s->eval_share, (uint64_t)s->seed, err))
                train_splits(s, &f, &x, &place, start, err);
            splits_free(&x);
        }
        model_folder_free(&f);
    }
    place_close(&place);
    return err->status == 0;
}
