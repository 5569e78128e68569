/* pretrain: next-token training of a new model, or of one that exists. */
#include <math.h>
#include <stdlib.h>

#include "data/order.h"
#include "data/sessions.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/threads.h"
#include "program/commands.h"
#include "program/dry_run.h"
#include "program/guard.h"
#include "program/machine.h"
#include "program/outcome.h"
#include "program/requests.h"

/* ---- the gradient and the evaluation of a step ---- */

enum { EVALUATED = 100 }; /* records of an evaluation in the log: it must be cheap */

typedef struct {
    int k; /* demonstrations in the evaluations of the log */
    const Sessions *sessions;
    const Splits *x;
    ShuffledOrder order;
    Batch rows;
} Pretraining;

/* The gradient of the weighted mean of -log p over the batch's tokens. The batches go in random
 * order or keep that of the files: data/order.h. */
static bool pretraining_gradient(Loop *loop, long step, StepReport *report, Error *err) {
    (void)err; /* nothing fails */
    Pretraining *p = loop->self;
    int n = sessions_batches(p->sessions);
    int batch = p->sessions->shuffle ? shuffled_at(&p->order, loop->o->seed, n, step)
                                     : ordered_at(n, step, loop->o->steps);
    double total = sessions_batch(p->sessions, batch, &p->rows);
    if (total <= 0) return false;
    size_t rows = (size_t)p->rows.rows;
    double *dlogp = mem_new(rows, sizeof *dlogp), *logp = mem_new(rows, sizeof *logp);
    for (size_t r = 0; r < rows; r++) dlogp[r] = -1 / total;
    model_forward_backward(loop->model, loop->ws, &p->rows, dlogp, logp, loop->grad, false);
    for (size_t r = 0; r < rows; r++) report->loss -= logp[r] / total;
    report->tokens = p->rows.tokens;
    report->trained = p->rows.rows;
    report->flops = 3 * batch_flops(loop->model, &p->rows);
    free(dlogp);
    free(logp);
    return true;
}

/* Measures in-context learning: the probability of test answers after k demonstrations. */
static bool pretraining_evaluate(Loop *loop, LogLine *line, Error *err) {
    const Pretraining *p = loop->self;
    const Examples *holdout = &p->x->holdout.examples;
    Examples some = p->x->eval.examples;
    if (some.count > EVALUATED) some.count = EVALUATED;
    ScoreOptions how = {.k = holdout->count ? p->k : 0};
    Workspace *ws = workspace_new(); /* in training's each layer would get room for this batch */
    Metrics x = evaluate_answers(loop->model, ws, &some, holdout, &how, NULL);
    workspace_free(ws);
    line->icl_p_sequence = x.p_sequence;
    line->icl_nll = x.nll;
    return x.broken < 0 || example_broken(&p->x->eval, x.broken, err);
}

/* Runs the loop from its beginning, or from where the run was left. */
static bool pretraining_run(Loop *loop, LoopResult *result, Error *err) {
    const char *resume = loop_resumes(loop);
    if (resume && !run_state_load(&loop->state, resume, err)) return false;
    if (!loop_begin(loop, &result->complete, err) || result->complete) return err->status == 0;
    if (!loop_run(loop, err) || !loop_finish(loop, err)) return false;
    *result = loop_result(loop);
    return true;
}

/* Trains the run's model on the sessions, which are rows of tokens in batches (data/sessions.h).
 * x holds the holdout and the test of the evaluations in the log; both may be empty. Afterwards
 * the caller ends the run with run_end, also after a failure. */
static bool pretrain(const Sessions *sessions, const Splits *x, const LoopOptions *o, int k,
                     Run *run, LoopResult *result, Error *err) {
    Pretraining p = {.k = k, .sessions = sessions, .x = x};
    Loop loop;
    *result = (LoopResult){0};
    loop_new(&loop, run->model->model, o, run, &p);
    loop.gradient = pretraining_gradient;
    if (x->eval.examples.count) loop.evaluate = pretraining_evaluate;
    loop.eval_records = x->eval.examples.count < EVALUATED ? x->eval.examples.count : EVALUATED;
    bool ok = pretraining_run(&loop, result, err);
    loop_free(&loop);
    ints_free(&p.order.item);
    batch_free(&p.rows);
    return ok;
}

/* The same in memory, a few steps of it, and what the whole would take. */
static bool pretrain_dry(const Settings *s, Model *m, const Sessions *sessions, const Splits *x,
                         LoopOptions *o, Error *err) {
    Pretraining p = {.k = s->k, .sessions = sessions, .x = x};
    DryRun d = {.parameters = m->parameters, .states = 4, .before = machine_peak_bytes()};
    Loop loop;
    LogLine line = {0};
    loop_new(&loop, m, o, NULL, &p);
    loop.gradient = pretraining_gradient;
    double start = seconds_now();
    size_t before = machine_peak_bytes();
    bool ok = x->eval.examples.count == 0 || pretraining_evaluate(&loop, &line, err);
    d.eval_seconds = seconds_now() - start;
    d.evaluating = machine_peak_bytes() - before; /* a maximum never falls */
    if (x->eval.examples.count > 0)
        d.evaluations = (double)multiples_left(o->eval_steps, -1, o->steps);
    ok = ok && dry_run_steps(&loop, o, &d, err) && dry_run_print(s, &d, err);
    loop_free(&loop);
    ints_free(&p.order.item);
    batch_free(&p.rows);
    return ok;
}

/* ---- the command ---- */

/* Refuses a shape that the model of --model does not have. */
static bool check_shape(const Settings *s, const ModelConfig *c, Error *err) {
    const struct {
        const char *name;
        int asked, has;
    } size[] = {{"layers", s->layers, c->layers},
                {"heads", s->heads, c->heads},
                {"channels", s->channels, c->channels},
                {"context", s->context, c->context},
                {"kv-heads", s->kv_heads, c->kv_heads},
                {"head-size", s->head_size, c->head_size},
                {"inner-channels", s->inner_channels, c->inner}};
    if (s->tokenizer)
        return error_set(err, STATUS_USAGE,
                         "pretrain: --tokenizer is for a new model, and %s has its own; leave one "
                         "of the two out",
                         s->model);
    if (options_given(s->given, "family") && s->family != c->family)
        return error_set(err, STATUS_USAGE, "--family: %s is of another family; leave it out",
                         s->model);
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (options_given(s->given, size[i].name) && size[i].asked > 0 && /* 0: what fits */
            size[i].asked != size[i].has)
            return error_set(err, STATUS_USAGE, "--%s %d: %s has %d; leave it out", size[i].name,
                             size[i].asked, s->model, size[i].has);
    return true;
}

/* A new model for --tokenizer, the one of --model, or that of the run to resume. */
static bool load_folder(ModelFolder *f, const Settings *s, Error *err) {
    const char *from = s->resume ? s->resume : s->model;
    *f = (ModelFolder){0};
    if (from && !settings_model(s, from, f, err)) return false;
    if (from && !f->tokenizer)
        error_set(err, STATUS_DATA, "%s: pretraining needs a vocabulary (vocab.json, merges.txt)",
                  from);
    else if (from && !s->resume) check_shape(s, &f->model->config, err);
    if (from && err->status) model_folder_free(f);
    if (from) return err->status == 0;
    if (!s->tokenizer)
        return error_set(err, STATUS_USAGE,
                         "pretrain: give --tokenizer DIR for a new model, or "
                         "--model DIR to continue from one");
    if (!model_folder_load_tokenizer(f, s->tokenizer, s->template, err)) return false;
    if (f->note) fprintf(stderr, "%s\n", f->note);
    ModelConfig shape = {.layers = s->layers,
                         .heads = s->heads,
                         .channels = s->channels,
                         .context = s->context,
                         .vocab = tokenizer_size(f->tokenizer),
                         .family = s->family,
                         .kv_heads = s->kv_heads,
                         .head_size = s->head_size,
                         .inner = s->inner_channels};
    f->model = model_new(shape, err);
    if (!f->model) {
        model_folder_free(f);
        return false;
    }
    model_initialize(f->model, (uint64_t)s->seed);
    TokenizerRules rules = tokenizer_parts(f->tokenizer).rules;
    if (s->family == FAMILY_QWEN2 && (rules.splitter != SPLIT_QWEN || !rules.nfc))
        fprintf(stderr,
                "%s: does not split text as Qwen2 does, so AutoTokenizer of transformers gives "
                "other ids for this model; docs/cluster.md has the line that loads it\n",
                s->tokenizer);
    return true;
}

static void put_result(Buf *b, const LoopResult *x) {
    json_key_number(b, "steps", (double)x->steps);
    json_key_number(b, "loss", x->loss);
    keep_put_result(b, &x->keep);
    json_key_number(b, "ess", NAN);
    json_key_number(b, "skipped_steps", x->skipped);
    json_key_number(b, "activation_bytes", (double)x->activation_bytes);
}

static bool print_result(const Settings *s, const LoopResult *x, Error *err) {
    Buf b = {0};
    Outcome o = {.steps = (double)x->steps,
                 .test = {NAN, NAN},
                 .validation = {NAN, NAN},
                 .train = {NAN, x->loss}};
    bool ok = outcome_first_loss(s->out, &o.train[0], err);
    outcome_warn(&o);
    outcome_put(&b, s, &o);
    ok = ok && file_print(b.s, b.n, err);
    buf_free(&b);
    return ok;
}

/* Trains, and writes the result. */
static bool pretrain_run(const Settings *s, const Sessions *sessions, const Splits *x,
                         const LoopOptions *o, Run *run, Error *err) {
    LoopResult result;
    bool ok = request_depends(run, s, x, sessions, err) &&
              pretrain(sessions, x, o, s->k, run, &result, err);
    if (ok && !result.complete) put_result(&run->result, &result);
    if (ok && result.complete) tell_complete(s);
    run_end(run, err);
    request_end(s, err);
    if (ok && !result.complete && err->status == 0) print_result(s, &result, err);
    return err->status == 0;
}

/* Trains on the sessions and ends the run. */
static bool pretrain_on(const Settings *s, const ModelFolder *f, const Sessions *sessions,
                        Splits *x, RunPlace *place, double start, Error *err) {
    Arena arena = {0};
    RunHeader header = request_run(s, &arena);
    header.place = place;
    Run run = run_new(&header, f);
    run.start = start;
    for (int i = 0; i < sessions->files; i++) {
        run_data(&run, &sessions->summary[i]);
        summary_tell(&run.opening, &sessions->summary[i], "data");
    }
    put_data(&run.opening, s, x, sessions->ended);
    request_sample(&run, s, x);
    run_inputs(&run, x);
    bool ready = run_base(&run, s->model, f->model, err);
    long epoch = sessions_batches(sessions);
    long steps = s->max_steps > 0 ? s->max_steps : batches_of_epochs(s->num_train_epochs, epoch);
    LoopOptions o = request_loop(s, steps);
    put_amount(&run.opening, "", (double)f->model->parameters, "parameter");
    put_amount(&run.opening, ", ", sessions_rows(sessions), "row");
    put_amount(&run.opening, ", ", sessions->token.n, "token");
    put_amount(&run.opening, " an epoch, ", (double)steps, "step");
    put_amount(&run.opening, ", ", threads_most(), "thread");
    buf_putc(&run.opening, '\n');
    tell_still(&o, steps);
    if (ready && s->dry_run) {
        fputs(run.opening.s, stderr);
        pretrain_dry(s, f->model, sessions, x, &o, err);
    } else if (ready) pretrain_run(s, sessions, x, &o, &run, err);
    run_free(&run);
    arena_free(&arena);
    return err->status == 0;
}

bool command_pretrain(const Settings *s, Error *err) {
    double start = seconds_now();
    ModelFolder f;
    Splits x;
    Sessions sessions = {0};
    SplitFiles files = settings_files(s);
    SessionOptions o = {.prompt_loss_weight = s->prompt_loss_weight,
                        .batch_tokens = s->batch_tokens,
                        .shuffle = s->shuffle,
                        .skip_long = s->skip_long,
                        .drop_copies = s->drop_duplicates};
    RunPlace place = {0};
    if (!guard_outputs(s, err) || request_over(s, err)) return err->status == 0;
    if (request_place(s, &place, err) && load_folder(&f, s, err)) {
        if (sessions_read(&sessions, &f, s->data.values, s->data.count, &o, err) &&
            splits_read(&x, &f, &files, err)) {
            machine_stop_on_signals();
            if (x.holdout.data.count == 0 || check_k(s, &x.holdout.data, err))
                pretrain_on(s, &f, &sessions, &x, &place, start, err);
            splits_free(&x);
        }
        sessions_free(&sessions);
        model_folder_free(&f);
    }
    place_close(&place);
    return err->status == 0;
}
