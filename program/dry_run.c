/* What a command would take. */
#include "program/dry_run.h"

#include <stdlib.h>
#include <string.h>

#include "data/memory.h"
#include "lib/json.h"
#include "lib/progress.h"
#include "program/machine.h"
#include "program/requests.h"
#include "scoring/share.h"

/* What is measured: at least so many records, and at least so many tokens. These are two batches,
 * so that the memory of a pass is that of the entire file. */
enum { RECORDS = 48, TOKENS = 2 * SHARE_TOKENS };

static const char MEASURES[] = "measuring steps";

/* ---- what was found ---- */

double dry_run_seconds(const DryRun *d) {
    return d->steps * d->step_seconds + d->scorings * d->score_seconds +
           d->evaluations * d->eval_seconds + d->reference_seconds;
}

double dry_run_peak(const DryRun *d) {
    /* The weights are there before. Gradients and two moments stay to the end. Evaluations, and
     * scores after the first ones, come while training has its workspace. */
    double optimizer = d->states > 1 ? 3.0 * (double)d->parameters * sizeof(real) : 0;
    size_t beside = d->kept + (d->evaluating > d->again ? d->evaluating : d->again);
    double training = (double)d->activations + (double)beside, scoring = (double)d->scoring;
    double most = (double)d->before + optimizer + (training > scoring ? training : scoring);
    return most > (double)d->process ? most : (double)d->process;
}

static double state_bytes(const DryRun *d) {
    return (double)d->parameters * d->states * sizeof(real) + (double)d->frozen;
}

static void put_bytes(Buf *b, double bytes) {
    if (bytes < 1e6) put_count(b, bytes / 1e3);
    else if (bytes < 1e9) buf_printf(b, "%.1f", bytes / 1e6);
    else buf_printf(b, "%.2f", bytes / 1e9);
    buf_puts(b, bytes < 1e6 ? " kB" : bytes < 1e9 ? " MB" : " GB");
}

static void put_json(Buf *b, const Settings *s, const DryRun *d) {
    buf_puts(b, "{\"command\":");
    json_put_string(b, str(s->command));
    buf_puts(b, ",\"dry_run\":true");
    json_key_number(b, "parameters", (double)d->parameters);
    json_key_number(b, "frozen_bytes", (double)d->frozen);
    json_key_number(b, "state_bytes", state_bytes(d));
    json_key_number(b, "activation_bytes", (double)d->activations);
    json_key_number(b, "process_bytes", (double)machine_peak_bytes());
    json_key_number(b, "score_bytes", (double)d->scoring);
    json_key_number(b, "eval_bytes", (double)d->evaluating);
    json_key_number(b, "peak_bytes", dry_run_peak(d));
    json_key_number(b, "steps", d->steps);
    json_key_number(b, "step_seconds", d->step_seconds);
    json_key_number(b, "scorings", d->scorings);
    json_key_number(b, "score_seconds", d->score_seconds);
    json_key_number(b, "evaluations", d->evaluations);
    json_key_number(b, "eval_seconds", d->eval_seconds);
    json_key_number(b, "reference_seconds", d->reference_seconds);
    json_key_number(b, "seconds", dry_run_seconds(d));
    buf_puts(b, "}\n");
}

static void put_times(Buf *b, const char *what, double times, double seconds) {
    if (times <= 0) return;
    buf_printf(b, "  ");
    put_count(b, times);
    buf_printf(b, " %s%s of ", what, times == 1 ? "" : "s");
    put_duration(b, seconds);
    buf_putc(b, '\n');
}

/* Appends "WHAT of BYTES" to a list, if there are any. */
static void put_part(Buf *b, const char *what, size_t bytes) {
    if (bytes == 0) return;
    buf_printf(b, ", %s ", what);
    put_bytes(b, (double)bytes);
}

static void put_text(Buf *b, const DryRun *d) {
    buf_puts(b, "dry run: nothing is written\nmodel: ");
    put_count(b, (double)d->parameters);
    buf_puts(b, " parameters\nmemory: about ");
    put_bytes(b, dry_run_peak(d));
    buf_printf(b, " at most: %d array%s of ", d->states, d->states > 1 ? "s" : "");
    put_bytes(b, (double)d->parameters * sizeof(real));
    buf_puts(b, d->states > 1 ? " (weights, gradients, moments)" : " (weights)");
    put_part(b, "activations", d->activations);
    put_part(b, "scoring", d->scoring);
    put_part(b, "an evaluation", d->evaluating);
    put_part(b, "a frozen base", d->frozen);
    buf_puts(b, ", program and data\ntime: about ");
    put_duration(b, dry_run_seconds(d));
    buf_puts(b, ", if the machine stays as busy as it is\n");
    if (d->open) buf_puts(b, "  less if weights are 0, because such records do not run\n");
    put_times(b, "step", d->steps, d->step_seconds);
    put_times(b, "scoring", d->scorings, d->score_seconds);
    put_times(b, "evaluation", d->evaluations, d->eval_seconds);
    put_times(b, "reference", d->reference_seconds > 0, d->reference_seconds);
    if (d->measured_steps > 0) buf_printf(b, "measured on %.0f steps", d->measured_steps);
    if (d->measured_scores > 0)
        buf_printf(b, "%s%.0f scores", d->measured_steps > 0 ? " and " : "measured on ",
                   d->measured_scores);
    if (d->measured_steps + d->measured_scores > 0) buf_putc(b, '\n');
}

bool dry_run_print(const Settings *s, const DryRun *d, Error *err) {
    Buf b = {0};
    if (s->json) put_json(&b, s, d);
    else put_text(&b, d);
    bool ok = file_print(b.s, b.n, err);
    buf_free(&b);
    return ok;
}

/* ---- measuring ---- */

/* By how much the process has grown beyond `before`. */
static size_t grown(size_t before) {
    size_t now = machine_peak_bytes();
    return now > before ? now - before : 0;
}

/* Where the i-th of m records of a sample stands among all n. */
static int sampled(int i, int m, int n) { return (int)((int64_t)i * n / m); }

/* Some records of a file, at least so many, evenly from all of it. It borrows from the file and the
 * arena. */
static ExampleFile sample_of(const ExampleFile *file, int least, Arena *arena) {
    ExampleFile part = *file;
    int n = file->examples.count, m = 0;
    for (double tokens = 0; m < n && (m < least || m < RECORDS || tokens < TOKENS); m++)
        tokens += file->examples.items[m].prompt_n + file->examples.items[m].answer_n;
    part.data.records = arena_new(arena, (size_t)m + 1, sizeof *part.data.records);
    part.examples.items = arena_new(arena, (size_t)m + 1, sizeof *part.examples.items);
    for (int i = 0; i < m; i++) {
        int at = sampled(i, m, n);
        part.data.records[i] = file->data.records[at];
        part.examples.items[i] = file->examples.items[at];
    }
    part.data.count = part.examples.count = m;
    return part;
}

/* How many further steps are measured, if the first took so long. */
enum { FURTHER = 5 };
static long steps_to_measure(double first) { return first > 5 ? 1 : FURTHER; }

bool dry_run_steps(Loop *loop, LoopOptions *o, DryRun *d, Error *err) {
    d->steps = (double)o->steps;
    double start = seconds_now();
    o->what = MEASURES;
    o->steps = 1;
    if (!loop_run(loop, err)) return false;
    double first = seconds_now() - start;
    long more = steps_to_measure(first);
    if (d->steps <= 1) more = 0;
    start = seconds_now();
    o->steps = 1 + more;
    if (more > 0 && !loop_run(loop, err)) return false;
    d->step_seconds = more > 0 ? (seconds_now() - start) / (double)more : first;
    d->measured_steps = (double)(more > 0 ? more : 1);
    d->activations = loop_result(loop).activation_bytes;
    return true;
}

/* Trains some steps with these weights, or with weights of 1. Adds to *seconds what they took. */
static bool train_some(Model *m, const Splits *x, const TrainOptions *o, long steps,
                       const double *weight, double *seconds, DryRun *d, Error *err) {
    TrainOptions few = *o;
    Splits data = {.pool = x->pool};
    TrainResult result;
    int n = x->pool.examples.count;
    PoolWeights fixed = pool_weights_new(n);
    if (weight) memcpy(fixed.weight, weight, (size_t)n * sizeof *weight);
    few.dump = NULL;
    few.loop.what = MEASURES;
    few.loop.steps = steps;
    double start = seconds_now();
    bool ok = train(m, &data, &few, &fixed, NULL, &result, err);
    *seconds += seconds_now() - start;
    if (result.loop.activation_bytes > d->activations)
        d->activations = result.loop.activation_bytes;
    pool_weights_free(&fixed);
    return ok;
}

/* What is measured once more if it was quick: the first time has threads to start and memory to
 * take, which a long run does once. */
static bool again(double seconds, int times) { return times < 3 && seconds < 2; }

/* Trains a few steps. What both calls have besides steps goes out in the difference of their
 * times. weight [pool], or NULL for weights of 1. */
static bool measure_steps(Model *m, const Splits *x, const TrainOptions *o, const double *weight,
                          DryRun *d, Error *err) {
    double took[2], unused = 0;
    long more = 0;
    for (int call = 0; call < 2; call++) {
        for (int i = 0; i == 0 || again(took[call], i); i++) {
            double seconds = 0;
            if (!train_some(m, x, o, 1 + more, weight, &seconds, d, err)) return false;
            if (i == 0 || seconds < took[call]) took[call] = seconds;
        }
        more = steps_to_measure(took[0]);
    }
    /* The memory is that of a batch in which every record runs. */
    if (weight && !train_some(m, x, o, 1, NULL, &unused, d, err)) return false;
    double each = (took[1] - took[0]) / (double)more;
    d->step_seconds = each > 0 ? each : took[1] / (double)(1 + more);
    d->measured_steps = (double)more;
    /* Each call asks DPO's reference for the pool. */
    double asked = took[0] - d->step_seconds;
    if (OBJECTIVES[o->objective].needs_reference && asked > 0)
        d->reference_seconds += asked / x->pool.examples.count * d->references;
    return true;
}

/* The same on a part of the pool, as the reference need not be asked for all of it. */
static bool measure_part(Model *m, const Splits *x, const TrainOptions *o, const double *weight,
                         DryRun *d, Error *err) {
    Arena arena = {0};
    int all = x->pool.examples.count, batch = o->batch_size < all ? o->batch_size : all;
    Splits part = {.pool = sample_of(&x->pool, batch * (1 + FURTHER), &arena)};
    int n = part.pool.examples.count;
    double *some = arena_new(&arena, (size_t)n, sizeof *some);
    for (int i = 0; weight && i < n; i++) some[i] = weight[sampled(i, n, all)];
    bool ok = measure_steps(m, &part, o, weight ? some : NULL, d, err);
    arena_free(&arena);
    return ok;
}

/* Makes the vectors of the holdout's prompts, which are made once for all records. Returns the
 * seconds that takes. */
static double embed_holdout(const Model *m, const Examples *holdout, const TrainOptions *o,
                            Vectors **vectors) {
    double start = seconds_now();
    bool asks = method_needs_k(o->scoring.method, o->scoring.anchors);
    Workspace *ws = workspace_new();
    Embedder by = {o->scoring.embedding, m, ws, NULL, *vectors = holdout_vectors(holdout)};
    HoldoutIndex *index = holdout_index(holdout, &by);
    int unused;
    if (asks && holdout->count > 0) holdout_nearest(index, holdout->items, 1, false, &unused);
    holdout_index_free(index);
    workspace_free(ws);
    return seconds_now() - start;
}

/* The seconds of scoring the pool once, with what the holdout is asked before. */
static bool measure_scores(const Model *m, const Splits *x, int records, const TrainOptions *o,
                           DryRun *d, Error *err) {
    Arena arena = {0};
    TrainOptions few = *o;
    Splits part = {.pool = sample_of(&x->pool, 0, &arena), .holdout = x->holdout};
    double once = embed_holdout(m, &x->holdout.examples, o, &few.scoring.vectors);
    double holdout = x->holdout.examples.count, all = records, least = 0;
    /* The check asks each holdout record alone, in context and with other answers; accept and
     * mirror score the holdout once. */
    if (METHODS[o->scoring.method].needs_k && o->check) all += 1.5 * holdout;
    if (MAPS[o->map].of_holdout) all += holdout;
    few.map = MAP_MINMAX;
    few.check = false;
    few.reference_steps = 1;
    ScoreShared shared = {0}; /* RHO's reference is trained once */
    for (int i = 0; err->status == 0 && (i == 0 || again(least, i)); i++) {
        Scores scores = {0};
        ScoreNotes notes;
        Spent spent = {0};
        double start = seconds_now();
        train_score(m, &part, &few, &shared, &scores, &notes, &spent, err);
        double seconds = seconds_now() - start - spent.reference_seconds;
        if (i == 0 || seconds < least) least = seconds;
        scores_free(&scores);
    }
    score_shared_free(&shared);
    vectors_free(few.scoring.vectors);
    d->scoring = grown(d->before);
    d->measured_scores = part.pool.examples.count;
    d->score_seconds = least / d->measured_scores * all + once;
    arena_free(&arena);
    return err->status == 0;
}

/* The seconds of RHO's references: steps on the holdout. */
static bool measure_reference(const Model *m, const Splits *x, const TrainOptions *o, DryRun *d,
                              Error *err) {
    Splits holdout = {.pool = x->holdout};
    TrainOptions sft = *o;
    DryRun steps = {0};
    Model *copy = model_copy(m);
    sft.objective = OBJECTIVE_SFT;
    bool ok = measure_steps(copy, &holdout, &sft, NULL, &steps, err);
    model_free(copy);
    int references = references_most(o->scoring.method, o->map);
    d->reference_seconds += steps.step_seconds * o->reference_steps * references;
    d->scoring += (size_t)(references - 1) * m->parameters * sizeof(real); /* one was measured */
    if (references == 1) d->kept = m->parameters * sizeof(real);           /* others go */
    return ok;
}

/* One evaluation of an answers' or pairs' file, the answers after k demonstrations. */
typedef struct {
    const Model *m;
    const ExampleFile *file;
    const Examples *holdout;
    const ScoreOptions *shows; /* NULL: no demonstrations */
    const TrainOptions *o;
} Evaluating;

static bool evaluate_once(const Evaluating *e, Error *err) {
    const Examples *x = &e->file->examples;
    Workspace *ws = workspace_new();
    if (e->shows && e->shows->k > 0) {
        Metrics found = evaluate_answers(e->m, ws, x, e->holdout, e->shows, NULL);
        if (found.broken >= 0) example_broken(e->file, found.broken, err);
    } else {
        Measured unused;
        Logps zeros = logps_new(x->count); /* a reference takes no time to read */
        evaluate_file(e->m, ws, e->file, e->o->objective, &e->o->pair, zeros, &unused, err);
        logps_free(&zeros);
    }
    workspace_free(ws);
    return err->status == 0;
}

/* The seconds of evaluating a file of `records` records once, and its memory. */
static bool measure_evaluation(const Evaluating *e, int records, DryRun *d, Error *err) {
    Arena arena = {0};
    if (records == 0) return true;
    ExampleFile part = sample_of(e->file, 0, &arena);
    Evaluating some = *e;
    double least = 0;
    some.file = &part;
    for (int i = 0; err->status == 0 && (i == 0 || again(least, i)); i++) {
        double start = seconds_now();
        evaluate_once(&some, err);
        double seconds = seconds_now() - start;
        if (i == 0 || seconds < least) least = seconds;
    }
    d->evaluating = grown(d->before);
    d->eval_seconds += least / part.examples.count * records;
    arena_free(&arena);
    return err->status == 0;
}

/* ---- the commands ---- */

static DryRun dry_run_new(const Model *m) {
    DryRun d = {.parameters = m->parameters, .states = 1, .before = machine_peak_bytes()};
    const Model *base = m->base;
    if (base)
        d.frozen =
            (base->parameters - base->halves) * sizeof(real) + base->halves * sizeof *base->half;
    return d;
}

/* What a pass over many records takes. */
static size_t pass_bytes(const Model *m) {
    MemoryAsked asked = {
        .shape = m->config, .lora = m->base ? &m->lora : NULL, .tokens = SHARE_TOKENS};
    return memory_of(&asked).activations;
}

/* Are all weights known before the first step? Those that a map makes of given scores are made. */
static bool weights_known(PoolWeights *w, const Splits *x, const TrainOptions *o) {
    if (w->source == WEIGHTS_FIXED) return true;
    if (w->source == WEIGHTS_SCORED || MAPS[o->map].of_batch) return false;
    pool_weights_map(w, o->map, &o->map_options, x);
    return true;
}

static bool has_zero(const double *weight, int n) {
    for (int i = 0; i < n; i++)
        if (weight[i] == 0) return true;
    return false;
}

bool dry_run_train(const Settings *s, Model *m, const Splits *x, const TrainOptions *o,
                   PoolWeights *w, Error *err) {
    DryRun d = dry_run_new(m);
    bool scores = s->weights_from == WEIGHTS_FROM_METHOD;
    bool rho = scores && METHODS[o->scoring.method].needs_reference;
    int tests = x->eval.examples.count, validations = x->validation.examples.count;
    Evaluating test = {m, &x->eval, NULL, NULL, o}, validation = {m, &x->validation, NULL, NULL, o};
    d.open = !weights_known(w, x, o);
    const double *weight =
        !d.open && has_zero(w->weight, x->pool.examples.count) ? w->weight : NULL;
    bool dpo = OBJECTIVES[o->objective].needs_reference;
    d.references = x->pool.examples.count + tests + validations;
    d.states = 4;
    d.steps = (double)o->loop.steps;
    /* First what needs the model as it is. */
    if (!measure_evaluation(&test, tests, &d, err) ||
        !measure_evaluation(&validation, validations, &d, err) ||
        (scores && !measure_scores(m, x, x->pool.examples.count, o, &d, err)) ||
        (rho && !measure_reference(m, x, o, &d, err)) ||
        !(dpo ? measure_part : measure_steps)(m, x, o, weight, &d, err))
        return false;
    if (scores) d.scorings = o->refresh < d.steps ? o->refresh : d.steps;
    if (!rho) d.process = machine_peak_bytes();
    if (d.scorings > 1) d.again = rho ? pass_bytes(m) : d.scoring;
    if (d.eval_seconds > 0)
        d.evaluations = 1 + (double)multiples_left(o->loop.eval_steps, -1, o->loop.steps);
    return dry_run_print(s, &d, err);
}

bool dry_run_score(const Settings *s, Model *m, const Splits *x, int records, Error *err) {
    TrainOptions o = request_train(s, 0);
    DryRun d = dry_run_new(m);
    bool rho = METHODS[s->method].needs_reference;
    d.scorings = 1;
    if (!measure_scores(m, x, records, &o, &d, err)) return false;
    if (rho && !measure_reference(m, x, &o, &d, err)) return false;
    return dry_run_print(s, &d, err);
}

bool dry_run_eval(const Settings *s, const Model *m, const ExampleFile *x, const Examples *holdout,
                  int records, Error *err) {
    TrainOptions o = request_train(s, 0);
    DryRun d = dry_run_new(m);
    d.evaluations = 1;
    ScoreOptions shows = {.k = s->k, .embedding = s->embedding};
    double once = s->k > 0 ? embed_holdout(m, holdout, &o, &shows.vectors) : 0;
    Evaluating all = {m, x, holdout, &shows, &o};
    bool ok = measure_evaluation(&all, records, &d, err);
    d.eval_seconds += once;
    vectors_free(shows.vectors);
    return ok && dry_run_print(s, &d, err);
}
