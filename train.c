/* Chapter three, from top to bottom: the loop; then fine-tuning: references, scores,
 * the weighted gradient, and a run from its first check to its last evaluation.
 *
 * What comes from data/:
 *   Splits         pool, holdout and test, each the examples of a file (examples.h)
 *   Run            the run's folder and header, and what the run has spent (Spent); run.h
 *   RunState       what a stopped run must keep: the optimizer, and arrays that are registered
 *   StepReport     what one step says of itself; LogWindow sums them; LogLine is what is printed
 *   PoolWeights    scores and weights of the pool, and where they come from (scores.h)
 *   ShuffledOrder  which record comes when (order.h)
 *   Dump           the last step's tensors, for other programs to check */
#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/order.h"
#include "data/parts.h"
#include "ica.h"
#include "model.h"

/* ---- the loop ---- */

void loop_new(Loop *loop, Model *m, const LoopOptions *o, Run *run, void *self) {
    Optimizer *optimizer = optimizer_new(m, o->beta1, o->beta2, o->weight_decay);
    *loop = (Loop){.o = o,
                   .model = m,
                   .ws = workspace_new(),
                   .self = self,
                   .grad = mem_new(m->parameters, sizeof(real)),
                   .state = {.optimizer = optimizer, .run = run}};
    loop->spent = run ? &run->spent : &loop->own;
    workspace_recompute(loop->ws, o->recompute);
    keep_new(&loop->keep, &o->keep, &loop->state);
    run_state_keep(&loop->state, "window", loop->window.all, sizeof(LogWindow) / sizeof(double));
}

void loop_free(Loop *loop) {
    workspace_free(loop->ws);
    optimizer_free(loop->state.optimizer);
    free(loop->grad);
}

/* The number of the next step. AdamW counts the steps that moved the parameters. */
static long loop_at(const Loop *loop) { return loop->state.optimizer->step + loop->state.skipped; }

LoopResult loop_result(const Loop *loop) {
    return (LoopResult){.steps = loop_at(loop),
                        .keep = loop->keep,
                        .loss = loop->window.last_loss,
                        .skipped = loop->state.skipped,
                        .flops = loop->flops,
                        .activation_bytes = workspace_bytes(loop->ws)};
}

const char *loop_resumes(const Loop *loop) {
    return loop->state.run ? loop->state.run->header.resume : NULL;
}

/* Is a thing that comes every `steps` steps due after this one? With 0 it never is. */
static bool every(int steps, long step) { return steps > 0 && (step + 1) % steps == 0; }

/* The learning rate of a step, from its number. With a warm-up, step 0 has the rate 0. */
static double loop_rate(const LoopOptions *o, long step) {
    long warmup = schedule_warmup(o->warmup_steps, o->warmup_ratio, o->steps);
    return schedule_rate(o->schedule, o->learning_rate, step, o->steps, warmup, o->min_lr_ratio);
}

bool loop_begin(Loop *loop, bool *complete, Error *err) {
    const char *resume = loop_resumes(loop);
    bool over = loop_at(loop) >= loop->o->steps || keep_stops(&loop->keep);
    *complete = resume && over && run_has_result(resume, err);
    if (err->status || *complete) return err->status == 0;
    if (resume && !keep_resumed(&loop->keep, err)) return false;
    return !loop->state.run || run_begin(loop->state.run, err);
}

/* Is the model evaluated after this step? After the last one too, if at any. */
static bool evaluates(const Loop *loop, long step) {
    const LoopOptions *o = loop->o;
    bool last = o->eval_steps > 0 && step + 1 == o->steps;
    return loop->evaluate && (last || every(o->eval_steps, step));
}

/* The seconds that the run will still take after this step. */
static double loop_left(const Loop *loop, long step) {
    const LoopOptions *o = loop->o;
    long evaluations = loop->evaluate ? multiples_left(o->eval_steps, step, o->steps) + 1 : 0;
    return tempo_left(&loop->tempo, (double)(o->steps - step - 1),
                      (double)refreshes_left(o->scorings, step, o->steps), (double)evaluations,
                      loop->eval_records);
}

/* Logs the steps since the last line. If the line cannot be written, the window stays as it is, and
 * loop_run saves and ends. */
static bool loop_log(Loop *loop, long step, double lr, double norm, Error *err) {
    const LoopOptions *o = loop->o;
    Run *run = loop->state.run;
    LogLine line = log_line(&loop->window, step + 1);
    line.learning_rate = lr;
    line.grad_norm = norm;
    line.seconds = seconds_now() - run->start;
    double start = seconds_now();
    if (evaluates(loop, step)) {
        if (!loop->evaluate(loop, &line, err) || !keep_judge(&loop->keep, &line, loop->model, err))
            return false;
        run_sample(run, step + 1, &loop->stopped);
        work_add(&loop->tempo.evaluations, seconds_now() - start);
        loop->spent->eval_seconds += seconds_now() - start;
    }
    run_progress(run, &loop->window, &line, o->steps, loop_left(loop, step));
    if (run_log(run, &line, &loop->stopped)) loop->window = (LogWindow){.last_loss = line.loss};
    return true;
}

bool loop_save(Loop *loop, Error *err) {
    loop->keep.save = false;
    return (!loop->save || loop->save(loop, err)) && run_state_save(&loop->state, err);
}

bool loop_finish(Loop *loop, Error *err) {
    if (!loop->state.run) return true;
    return loop_save(loop, err) && keep_finish(&loop->keep, loop_at(loop), loop->model, err);
}

/* One step. False with an error when training diverged, or its dump cannot be written. */
static bool loop_step(Loop *loop, long step, Error *err) {
    const LoopOptions *o = loop->o;
    Optimizer *optimizer = loop->state.optimizer;
    StepReport r = {0};
    double start = seconds_now(), scored = loop->spent->score_seconds;
    double lr = loop_rate(o, step), norm = 0;
    Dump *dump = step + 1 == o->steps ? loop->dump : NULL;
    if (dump) dump_begin(dump, loop->model);
    /* Compute the gradient, and move the parameters along it if it is finite [E13]. */
    if (loop->gradient(loop, step, &r, err)) {
        r.steps = 1;
        norm = gradient_norm(loop->model, loop->grad);
        if (!isfinite(norm) || !isfinite(r.loss))
            return error_set(err, STATUS_DIVERGED,
                             "training diverged at step %ld (loss %g, gradient "
                             "norm %g): lower --learning-rate",
                             step + 1, r.loss, norm);
        bool clip = o->max_grad_norm > 0 && norm > o->max_grad_norm;
        optimizer_step(optimizer, loop->model, loop->grad, clip ? o->max_grad_norm / norm : 1, lr);
    } else if (err->status) return false;
    else loop->state.skipped++;
    /* After the last step every parameter must be finite, or else the result is not written. */
    if (step + 1 == o->steps && !run_state_check(&loop->state, loop->model, err)) return false;
    /* Dump the step if it is the last one. */
    if (dump && r.steps == 0)
        return error_set(err, STATUS_FAILED,
                         "--dump-state: step %ld was skipped, all its weights are 0", step + 1);
    if (dump && !dump_write(dump, loop->model, loop->grad, optimizer, r.loss, lr, norm, err))
        return false;
    /* Account for it, and write the log line that is due. */
    loop->flops += r.flops;
    step_spend(&r, seconds_now() - start, loop->spent->score_seconds - scored, &loop->window,
               loop->spent, &loop->tempo);
    bool due = every(o->logging_steps, step) || evaluates(loop, step) || step + 1 == o->steps;
    return !loop->state.run || !due || loop_log(loop, step, lr, norm, err);
}

bool loop_run(Loop *loop, Error *err) {
    const LoopOptions *o = loop->o;
    const Run *run = loop->state.run;
    Progress p = progress_new(o->what ? o->what : "training the reference", NULL);
    Progress *line = run ? NULL : &p; /* a run has its log */
    progress_begin(line, (double)(o->steps - loop_at(loop)));
    for (long step = loop_at(loop); step < o->steps && !keep_stops(&loop->keep); step++) {
        if (!loop_step(loop, step, err)) return false;
        progress_add(line, 1);
        Error *stop = &loop->stopped;
        if (o->stop && o->stop()) error_set(stop, 128 + o->stop(), "stopped by a signal");
        bool asked = run && o->save_now && o->save_now();
        bool often = loop->keep.save || every(o->save_steps, step);
        bool due = stop->status || asked || (often && step + 1 < o->steps);
        if (run && due && !loop_save(loop, err)) return false;
        if (asked) fprintf(stderr, "saved after step %ld\n", step + 1);
        if (stop->status && !run)
            return error_set(err, stop->status, "%s; nothing was changed", stop->text);
        if (stop->status)
            return error_set(err, stop->status,
                             "%s after step %ld; saved; continue with: ica %s --resume %s",
                             stop->text, step + 1, run->header.command, run->header.folder);
    }
    progress_end(line);
    return true;
}

/* ---- fine-tuning ---- */

/* Fine-tuning of one model on one pool. A candidate is an index into the pool everywhere here. */
typedef struct {
    const TrainOptions *o;
    const Splits *x;
    PoolWeights *w;      /* the pool's scores and weights, and where they come from */
    SplitLogps by_start; /* DPO: log-likelihoods by the model that training started from */
    Model *reference;    /* METHOD_RHO: a model trained on the holdout; else NULL */
    Logps by_reference;  /* its log-likelihoods of the pool, known after the first scores */
    Scores scores;       /* the last ones; count 0 in a resumed run that computed none */
    ScoreNotes notes;
    /* The step's batch. */
    ShuffledOrder order;
    int batch;            /* how many records: batch_size, or fewer at the end of an epoch */
    int *record, *tokens; /* [batch]; tokens: of the (chosen) answer */
    double *weight;       /* [batch] */
    double *coefficient;  /* [batch] the factor of each record's loss, w_i / W. A micro-batch moves
                           * its records that run to its front, and these with them. */
    Batch rows;           /* of one micro-batch */
    double *logp, *dlogp; /* [2 batch_size] of its rows */
    Arena arena;          /* owns the arrays */
} Tuning;

static Tuning tuning_new(const Splits *x, const TrainOptions *o, PoolWeights *w) {
    size_t n = (size_t)o->batch_size;
    Tuning t = {.o = o, .x = x, .w = w, .notes = {.rank_agreement = NAN}};
    pool_weights_compare(w, o->map, &o->comparing, x);
    t.record = arena_new(&t.arena, n, sizeof *t.record);
    t.tokens = arena_new(&t.arena, n, sizeof *t.tokens);
    t.weight = arena_new(&t.arena, n, sizeof *t.weight);
    t.coefficient = arena_new(&t.arena, n, sizeof *t.coefficient);
    t.logp = arena_new(&t.arena, 2 * n, sizeof *t.logp);
    t.dlogp = arena_new(&t.arena, 2 * n, sizeof *t.dlogp);
    return t;
}

static void tuning_free(Tuning *t) {
    split_logps_free(&t->by_start);
    logps_free(&t->by_reference);
    scores_free(&t->scores);
    model_free(t->reference);
    ints_free(&t->order.item);
    batch_free(&t->rows);
    arena_free(&t->arena);
}

/* What the method of the run needs; of fixed weights, nothing. */
static MethodInfo tuning_method(const Tuning *t) {
    return t->w->source == WEIGHTS_SCORED ? METHODS[t->o->scoring.method] : (MethodInfo){0};
}

/* Each refresh has its own draws and folds. */
static uint64_t score_seed(const TrainOptions *o, int refresh) {
    return o->loop.seed * 1000003u + (uint64_t)refresh;
}

/* ---- references ---- */

/* DPO's reference [E11] is the starting model: what it says of each split. */
static bool dpo_references(Tuning *t, const Model *m, RunState *state, bool compute, Spent *spent,
                           Error *err) {
    bool gradients = tuning_method(t).needs_gradients;
    return split_logps(m, t->x, gradients, compute, state, &t->by_start, spent, err);
}

/* RHO's reference [E15]: a copy of the model, trained on the holdout, or a part of it, alone with
 * the run's own settings. NULL if that fails. */
static Model *rho_reference(const Model *m, const ExampleFile *holdout, const TrainOptions *o,
                            Spent *spent, Error *err) {
    double start = seconds_now();
    Splits x = {.pool = *holdout};
    TrainOptions own = *o;
    own.loop.steps = o->reference_steps;
    own.loop.seed += RNG_REFERENCE_SEED; /* another order than the run itself */
    own.objective = OBJECTIVE_SFT;       /* of pairs, prompts with their chosen answers */
    own.dump = NULL;
    Model *reference = model_copy(m);
    PoolWeights ones = pool_weights_new(holdout->examples.count);
    TrainResult result;
    bool ok = train(reference, &x, &own, &ones, NULL, &result, err);
    pool_weights_free(&ones);
    spent->reference_flops += result.loop.flops;
    spent->reference_seconds += seconds_now() - start;
    if (!ok) model_free(reference);
    return ok ? reference : NULL;
}

/* The references that the method needs and that are not there: one in *whole, or for a map of the
 * holdout one a fold, each trained on the records of the other folds (scoring/holdout.h). */
static bool make_references(const Model *m, const Splits *x, const TrainOptions *o, Comparison *c,
                            Model **whole, Spent *spent, Error *err) {
    References *r = &c->references;
    if (!METHODS[o->scoring.method].needs_reference) return true;
    if (!c->gain && !*whole) *whole = rho_reference(m, &x->holdout, o, spent, err);
    if (!c->gain) return *whole;
    if (r->model[0]) return true;
    if (!references_deal(r, &x->holdout.examples, score_seed(o, 0), err)) return false;
    for (int f = 0; err->status == 0 && f < r->folds.folds; f++) {
        Arena arena = {0};
        ExampleFile others = examples_other_folds(&x->holdout, &r->folds, f, &arena);
        r->model[f] = rho_reference(m, &others, o, spent, err);
        arena_free(&arena);
    }
    return err->status == 0;
}

/* The run's references, trained from the model that the run starts with. RUN/reference keeps a
 * single one for a resumed run. Of those of folds the state keeps what they said. */
static bool run_references(Tuning *t, const Loop *loop, Error *err) {
    const Run *run = loop->state.run;
    bool resumes = loop_resumes(loop), whole = !t->w->against.gain;
    if (resumes && !whole) return true;
    char *path = run ? path_join(run->header.folder, "reference") : NULL;
    if (resumes) t->reference = model_load_like(run->model, path, err);
    else if (make_references(loop->model, t->x, t->o, &t->w->against, &t->reference, loop->spent,
                             err) &&
             whole && run && folder_make(path, err))
        model_save_like(run->model, t->reference, path, err);
    free(path);
    return err->status == 0;
}

/* ---- scores ---- */

/* Scores the pool with the model as it is. `refresh` counts such calls in a run, from 0. */
static bool score_pool(Tuning *t, const Model *m, int refresh, Error *err) {
    ScoreOptions how = t->o->scoring;
    how.objective = t->o->objective;
    how.pair = t->o->pair;
    how.pool_reference = t->by_start.pool;
    how.holdout_reference = t->by_start.holdout;
    how.earlier_by_reference = t->by_reference;
    if (refresh == 0) how.earlier_alone = t->by_start.pool; /* DPO's reference is this model. */
    how.seed = score_seed(t->o, refresh);
    /* A separate workspace: in training's, one large scoring batch would enlarge every layer's
     * buffers for the rest of the run. */
    Workspace *ws = workspace_new();
    /* The model has moved since the scores before, and so have its vectors of prompts. */
    Vectors *vectors = how.vectors ? NULL : holdout_vectors(&t->x->holdout.examples);
    if (vectors) how.vectors = vectors;
    if (refresh == 0 && t->o->check)
        scores_ask_holdout(m, ws, &t->x->holdout.examples, &how, &t->notes.check);
    bool ok = scores_compute(m, t->reference, ws, t->x, &how, &t->w->against, &t->scores, err);
    vectors_free(vectors);
    workspace_free(ws);
    if (ok) scores_note(&t->scores, &how, &t->x->pool.examples, &t->notes);
    return ok && scores_finite(&t->scores, &t->x->pool, err);
}

/* Computes scores with the present parameters, and makes weights from them. With accept or mirror
 * the weights come from t->w->against, which score_pool fills in (holdout_compare). */
static bool refresh_weights(Tuning *t, Loop *loop, int refresh, Error *err) {
    double start = seconds_now();
    size_t bytes = (size_t)t->x->pool.examples.count * sizeof(double);
    if (!score_pool(t, loop->model, refresh, err)) return false;
    if (!scores_check(&t->scores, loop->model->config.context, err)) return false;
    /* Keep what RHO's reference says: it stays the same. The comparison keeps what those of folds
     * say. */
    if (t->reference) logps_keep(&t->scores, &t->by_reference);
    references_free(&t->w->against.references);
    memcpy(t->w->score, t->scores.score, bytes);
    pool_weights_map(t->w, t->o->map, &t->o->map_options, t->x);
    memcpy(t->w->used, t->w->weight, bytes);
    loop->spent->score_seconds += seconds_now() - start;
    scores_spend(&t->scores, refresh == 0 ? &t->notes.check : NULL, loop->spent);
    return true;
}

bool train_score(const Model *m, const Splits *x, const TrainOptions *o, ScoreShared *shared,
                 Scores *scores, ScoreNotes *notes, Spent *spent, Error *err) {
    PoolWeights w = {.source = WEIGHTS_SCORED, .against = shared->against};
    Tuning t = tuning_new(x, o, &w);
    if (make_references(m, x, o, &w.against, &shared->reference, spent, err)) {
        t.reference = shared->reference;
        bool dpo = OBJECTIVES[o->objective].needs_reference;
        if ((!dpo || dpo_references(&t, m, NULL, true, spent, err)) && score_pool(&t, m, 0, err))
            scores_spend(&t.scores, &t.notes.check, spent);
    }
    *notes = t.notes;
    *scores = t.scores;
    shared->against = w.against;
    t.scores = (Scores){0}; /* They are the caller's now. */
    t.reference = NULL;
    tuning_free(&t);
    return err->status == 0;
}

/* ---- the weighted gradient [E9] ---- */

/* Takes the step's records and their weights. In an epoch every record comes once, in random
 * order (batch_at). */
static void take_batch(Tuning *t, long step) {
    PoolWeights *w = t->w;
    int B = t->batch = batch_at(&t->order, t->o->loop.seed, t->x->pool.examples.count,
                                t->o->batch_size, step, t->record);
    for (int i = 0; i < B; i++) t->weight[i] = w->weight[t->record[i]];
    for (int i = 0; i < B; i++) t->tokens[i] = t->x->pool.examples.items[t->record[i]].answer_n;
    if (w->source == WEIGHTS_FIXED || !MAPS[t->o->map].of_batch) return;
    /* Make the weights anew: this map looks at the scores of the batch alone. */
    double *score = mem_new((size_t)B, sizeof *score);
    for (int i = 0; i < B; i++) score[i] = w->score[t->record[i]];
    map_weights(t->o->map, &t->o->map_options, score, B, t->weight);
    for (int i = 0; i < B; i++) w->used[t->record[i]] = t->weight[i];
    free(score);
}

/* Batch entry i is an example with one answer: its loss [E10], and its derivative. The loss is
 * linear in logp, so the derivative can be asked for before logp is known. */
static double answer_loss(const Tuning *t, int i, double logp, double *dlogp) {
    double loss = objective_sft(logp, t->x->pool.examples.items[t->record[i]].answer_n, dlogp);
    *dlogp *= t->coefficient[i];
    return t->coefficient[i] * loss;
}

/* Batch entry i is a pair: its loss [E11, E12], and the derivatives by its two rows. If it is
 * swapped, the loss takes the rejected answer for the chosen one. */
static double pair_loss(const Tuning *t, int i, const double logp[2], double dlogp[2],
                        StepReport *report) {
    const Example *e = &t->x->pool.examples.items[t->record[i]];
    PairLogps p = pair_logps(e, logp[0], logp[1], t->by_start.pool, t->record[i]);
    bool swapped = t->w->swapped[t->record[i]];
    if (swapped) p = pair_swapped(&p);
    PairGradient g;
    double loss = t->coefficient[i] * objective_pair(t->o->objective, &t->o->pair, &p, &g);
    /* If both answers are the same tokens, the loss is a constant. Its gradient is exactly 0, not
     * a difference of roundings. */
    bool constant = same_answers(e);
    dlogp[swapped] = constant ? 0 : t->coefficient[i] * g.d_chosen;
    dlogp[!swapped] = constant ? 0 : t->coefficient[i] * g.d_rejected;
    step_report_pair(report, &p, &g, OBJECTIVES[t->o->objective].token_means);
    return loss;
}

/* Adds the gradient of batch entries from..to-1: rows, log-likelihoods, losses, backward. Those of
 * weight 0 do not run: the gradient has the same bits without them. */
static void micro_gradient(Tuning *t, Loop *loop, int from, int to, StepReport *report) {
    bool pairs = OBJECTIVES[t->o->objective].pairs, add = report->trained > 0;
    double *logp = t->logp, *dlogp = t->dlogp, unused;
    int n = weighted_first(t->record + from, t->coefficient + from, to - from);
    if (n == 0) return;
    batch_clear(&t->rows);
    ica_batch(&t->rows, &t->x->pool.examples, t->record + from, n, pairs);
    if (pairs) {
        model_forward(loop->model, loop->ws, &t->rows, true, logp, NULL);
        for (int i = 0; i < n; i++)
            report->loss += pair_loss(t, from + i, logp + 2 * i, dlogp + 2 * i, report);
        model_backward(loop->model, loop->ws, &t->rows, dlogp, loop->grad, add);
    } else {
        for (int i = 0; i < n; i++) answer_loss(t, from + i, 0, &dlogp[i]);
        model_forward_backward(loop->model, loop->ws, &t->rows, dlogp, logp, loop->grad, add);
        for (int i = 0; i < n; i++) report->loss += answer_loss(t, from + i, logp[i], &unused);
    }
    if (loop->dump) dump_rows(loop->dump, t->record + from, n, logp);
    report->flops += 3 * batch_flops(loop->model, &t->rows);
    report->tokens += t->rows.tokens;
    report->trained += n;
}

/* The gradient of a step: the sum over the batch of w_i grad l_i, divided by W, which is the sum of
 * the weights unless --normalize says otherwise (lib/weights.h). */
static bool tuning_gradient(Loop *loop, long step, StepReport *report, Error *err) {
    Tuning *t = loop->self;
    const TrainOptions *o = t->o;
    /* Compute scores if they are due. */
    int refresh = t->w->source == WEIGHTS_SCORED ? refresh_at(o->refresh, step, o->loop.steps) : -1;
    if (refresh >= 0 && !refresh_weights(t, loop, refresh, err)) return false;
    /* Take the batch, and divide its weights by W. Without a micro_batch_size, piece_end cuts the
     * batch for memory alone: E9 sees one piece. */
    take_batch(t, step);
    int B = t->batch, micro = o->micro_batch_size > 0 ? o->micro_batch_size : B;
    bool any = loss_coefficients(o->normalize, t->weight, t->tokens, B, micro, t->coefficient);
    step_report_weights(report, &t->x->pool.data, t->record, t->weight, B);
    if (loop->dump) dump_batch(loop->dump, B, t->record, t->weight);
    /* Sum the gradient over micro-batches. */
    for (int from = 0, to; any && from < B; from = to) {
        to = piece_end(&t->x->pool.examples, t->record, from, B, o->micro_batch_size);
        micro_gradient(t, loop, from, to, report);
    }
    return report->trained > 0;
}

/* ---- a run of fine-tuning ---- */

/* Evaluates on the test and on the validation part, as the objective asks for. */
static bool tuning_measure(const Tuning *t, const Model *m, Measured *test, Measured *validation,
                           Error *err) {
    Workspace *ws = workspace_new(); /* its own, as in score_pool */
    const TrainOptions *o = t->o;
    bool ok =
        evaluate_file(m, ws, &t->x->eval, o->objective, &o->pair, t->by_start.eval, test, err) &&
        evaluate_file(m, ws, &t->x->validation, o->objective, &o->pair, t->by_start.validation,
                      validation, err);
    workspace_free(ws);
    return ok;
}

static bool tuning_evaluate(Loop *loop, LogLine *line, Error *err) {
    Measured test, validation;
    if (!tuning_measure(loop->self, loop->model, &test, &validation, err)) return false;
    line->eval_nll = test.answers.nll;
    line->eval_loss = test.pairs.loss;
    line->validation_nll = validation.answers.nll;
    line->validation_loss = validation.pairs.loss;
    return true;
}

/* Writes scores.jsonl if scores were computed. A resumed run that computed no scores keeps the
 * file written before the interruption. */
static bool tuning_save(const Loop *loop, Error *err) {
    const Tuning *t = loop->self;
    if (t->scores.count == 0) return true;
    char *path = path_join(loop->state.run->header.folder, "scores.jsonl");
    bool ok = scores_save(path, t->x, &t->scores, t->w->weight, &t->w->against, err);
    free(path);
    return ok;
}

/* Registers what the state keeps, and loads the state if the run is resumed. */
static bool tuning_start(Tuning *t, Loop *loop, Error *err) {
    PoolWeights *w = t->w;
    const char *resume = loop_resumes(loop);
    int n = t->x->pool.examples.count;
    if (w->source == WEIGHTS_MAPPED && !resume)
        pool_weights_map(w, t->o->map, &t->o->map_options, t->x);
    memcpy(w->used, w->weight, (size_t)n * sizeof *w->used);
    run_state_data(&loop->state, t->x->pool.data.fingerprint, t->x->holdout.data.fingerprint,
                   w->fingerprint);
    pool_weights_keep(w, &t->notes, n, &loop->state);
    if (OBJECTIVES[t->o->objective].needs_reference)
        dpo_references(t, loop->model, &loop->state, !resume, loop->spent, err);
    if (!resume || err->status) return err->status == 0;
    bool ok = run_state_load(&loop->state, resume, err);
    if (ok && w->source != WEIGHTS_FIXED) pool_weights_map(w, t->o->map, &t->o->map_options, t->x);
    return ok;
}

/* Saves after the last step, and evaluates. */
static bool tuning_finish(Tuning *t, Loop *loop, TrainResult *result, Error *err) {
    if (!loop_finish(loop, err)) return false;
    result->loop = loop_result(loop);
    result->notes = t->notes;
    double flops = t->scores.cost.flops, start = seconds_now();
    if (flops > 0) result->alone_share = t->scores.alone_flops / flops;
    bool ok = tuning_measure(t, loop->model, &result->test, &result->validation, err);
    loop->spent->eval_seconds += seconds_now() - start;
    return ok;
}

/* Begins or resumes the run, does its steps, and finishes it. */
static bool tuning_run(Tuning *t, Loop *loop, TrainResult *result, Error *err) {
    if (!tuning_start(t, loop, err) || !loop_begin(loop, &result->loop.complete, err)) return false;
    if (result->loop.complete) return true;
    if (tuning_method(t).needs_reference) run_references(t, loop, err);
    if (err->status == 0 && loop_run(loop, err) && tuning_finish(t, loop, result, err)) return true;
    /* Keep the scores that were computed. If that fails too, the first error is printed. */
    Error unsaid = {0};
    if (loop->state.run) tuning_save(loop, &unsaid);
    return false;
}

bool train(Model *m, const Splits *x, const TrainOptions *o, PoolWeights *weights, Run *run,
           TrainResult *result, Error *err) {
    Tuning t = tuning_new(x, o, weights);
    Loop loop;
    *result = (TrainResult){0};
    loop_new(&loop, m, &o->loop, run, &t);
    loop.dump = o->dump;
    loop.gradient = tuning_gradient;
    loop.save = tuning_save;
    loop.eval_records = x->eval.examples.count + x->validation.examples.count;
    if (loop.eval_records > 0) loop.evaluate = tuning_evaluate;
    bool ok = tuning_run(&t, &loop, result, err);
    loop_free(&loop);
    tuning_free(&t);
    return ok;
}
