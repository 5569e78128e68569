/* The program's work. Read from top to bottom: the training loop; evaluation; pretraining; weighted fine-tuning; scores. */
#include "train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dump.h"
#include "data/examples.h"
#include "data/run.h"
#include "data/scores.h"
#include "ica.h"
#include "lib/dataset.h"
#include "lib/json.h"
#include "lib/stats.h"
#include "lib/threads.h"
#include "model.h"
#include "tokenizer.h"

/* Streams of the one seed, so that no use of random numbers shifts another. */
enum { STREAM_ORDER = 11, STREAM_REFERENCE = 14 };

/* ---- the training loop: pretraining and fine-tuning differ only in what one step's gradient is ---- */

/* Sums over steps; all members are numbers, so that a window of steps can be kept with the state as an array of them. */
typedef struct {
    double steps, loss, tokens, flops;     /* steps that learned something */
    double weighted, ess;                  /* steps with weights, and their effective sample sizes */
    double weight[2], records[2];          /* of records known to be corrupted [0], clean [1] */
    double pairs, reward_chosen, reward_rejected, accuracy, logp_chosen, logp_rejected;
} StepReport;

/* The steps since the last log line. */
typedef struct {
    StepReport sum;
    double seconds;
    double last_loss; /* of the last line */
} Window;

typedef struct Loop Loop;
struct Loop {
    Model *model;
    Workspace *ws;
    real *grad;
    const Settings *s;
    Run *run;            /* NULL: a silent loop (RHO's reference) */
    RunState state;      /* the optimizer, and what is saved */
    Dump *dump;          /* --dump-state: where the last step goes; else NULL */
    long steps;
    Window window;
    double flops; /* of the steps done here, forward and backward */
    /* Adds this step's gradient to grad; false: nothing to learn from it, the step is skipped. */
    bool (*gradient)(void *self, Loop *loop, long step, StepReport *report);
    /* Appends members to a log line at the steps where --eval-steps asks for it; may be NULL. */
    void (*evaluate)(void *self, Loop *loop, Buf *line);
    /* Writes what belongs beside the state; may be NULL. */
    bool (*save)(void *self, const Loop *loop, Error *err);
    void *self; /* what the three functions work on */
};

static long warmup_steps(const Settings *s, long steps) {
    return s->warmup_steps >= 0 ? s->warmup_steps : (long)ceil(s->warmup_ratio * (double)steps);
}

/* Warm-up: lr (step + 1) / warmup. Then from 1 at its end to min_lr_ratio at the last step, by a cosine or a line. */
static double learning_rate(const Settings *s, long step, long steps) {
    long warmup = warmup_steps(s, steps);
    if (step < warmup) return s->learning_rate * (double)(step + 1) / (double)warmup;
    double part = steps - 1 > warmup ? (double)(step - warmup) / (double)(steps - 1 - warmup) : 1, low = s->min_lr_ratio;
    if (strcmp(s->lr_scheduler_type, "constant") == 0) return s->learning_rate;
    if (strcmp(s->lr_scheduler_type, "linear") == 0) return s->learning_rate * (1 - (1 - low) * part);
    return s->learning_rate * (low + (1 - low) * 0.5 * (1 + cos(3.14159265358979323846 * part)));
}

/* One line of log.jsonl, and one on stderr: means over the steps since the last line. */
static void loop_log(Loop *loop, long step, double lr, double norm) {
    Run *run = loop->run;
    const StepReport *r = &loop->window.sum;
    bool evaluate = loop->evaluate && loop->s->eval_steps > 0 && ((step + 1) % loop->s->eval_steps == 0 || step + 1 == loop->steps);
    double loss = r->steps > 0 ? r->loss / r->steps : 0, seconds = loop->window.seconds, speed = seconds > 0 ? 1 / seconds : 0;
    char fewer[40] = "";
    if (threads_now() < threads_most()) snprintf(fewer, sizeof fewer, "  %d of %d threads", threads_now(), threads_most());
    Buf line = {0};
    buf_puts(&line, "{");
    json_key_number(&line, "step", (double)(step + 1));
    json_key_number(&line, "loss", loss);
    json_key_number(&line, "learning_rate", lr);
    json_key_number(&line, "grad_norm", norm);
    json_key_number(&line, "tokens_per_second", r->tokens * speed);
    json_key_number(&line, "seconds", seconds_now() - run->start);
    if (r->weighted > 0) json_key_number(&line, "ess", r->ess / r->weighted);
    if (r->records[1] > 0) json_key_number(&line, "weight_clean", r->weight[1] / r->records[1]);
    if (r->records[0] > 0) json_key_number(&line, "weight_corrupted", r->weight[0] / r->records[0]);
    if (r->pairs > 0) {
        json_key_number(&line, "rewards/chosen", r->reward_chosen / r->pairs);
        json_key_number(&line, "rewards/rejected", r->reward_rejected / r->pairs);
        json_key_number(&line, "rewards/accuracies", r->accuracy / r->pairs);
        json_key_number(&line, "rewards/margins", (r->reward_chosen - r->reward_rejected) / r->pairs);
        json_key_number(&line, "logps/chosen", r->logp_chosen / r->pairs);
        json_key_number(&line, "logps/rejected", r->logp_rejected / r->pairs);
    }
    size_t before = line.n;
    double start = seconds_now();
    if (evaluate) loop->evaluate(loop->self, loop, &line);
    run->spent.eval_seconds += seconds_now() - start;
    double left = seconds * (double)(loop->steps - step - 1) / loop->s->logging_steps;
    fprintf(stderr, "step %ld/%ld  loss %.4f  %.0f tokens/s  %.0f%% of peak  %.0f s left%s%s%.*s\n", step + 1, loop->steps, loss,
            r->tokens * speed, 100 * r->flops * speed / run->peak_flops, left, fewer, line.n > before ? "  " : "",
            (int)(line.n > before ? line.n - before - 1 : 0), line.s + before + 1);
    buf_puts(&line, "}\n");
    fwrite(line.s, 1, line.n, run->log);
    fflush(run->log);
    buf_free(&line);
    loop->window = (Window){.last_loss = loss};
}

/* Adds what a step reports to the window, and what it cost to the run: scoring inside the step has its own account. */
static void loop_account(Loop *loop, const StepReport *r, double seconds, double scoring) {
    double *sum = (double *)&loop->window.sum;
    for (size_t i = 0; i < sizeof *r / sizeof(double); i++) sum[i] += ((const double *)r)[i];
    loop->window.seconds += seconds;
    loop->flops += r->flops;
    if (!loop->run) return;
    loop->run->spent.train_seconds += seconds - scoring;
    loop->run->spent.train_tokens += r->tokens;
    loop->run->spent.train_flops += r->flops;
}

static bool loop_save(Loop *loop, Error *err) {
    return (!loop->save || loop->save(loop->self, loop, err)) && run_state_save(&loop->state, err);
}

/* One step. False with an error when training diverged, or its dump cannot be. */
static bool loop_step(Loop *loop, long step, Error *err) {
    const Settings *s = loop->s;
    Model *m = loop->model;
    StepReport r = {0};
    double start = seconds_now(), scored = loop->run ? loop->run->spent.score_seconds : 0;
    double lr = learning_rate(s, step, loop->steps), norm = 0;
    bool dumped = loop->dump && step + 1 == loop->steps;
    if (dumped) dump_begin(loop->dump, m);
    if (loop->gradient(loop->self, loop, step, &r)) {
        r.steps = 1;
        norm = gradient_norm(m, loop->grad);
        if (!isfinite(norm) || !isfinite(r.loss))
            return error_set(err, STATUS_DIVERGED,
                             "training diverged at step %ld (loss %g, gradient norm %g): lower --learning-rate", step + 1, r.loss,
                             norm);
        optimizer_step(loop->state.optimizer, m, loop->grad,
                       s->max_grad_norm > 0 && norm > s->max_grad_norm ? s->max_grad_norm / norm : 1, lr);
    } else
        loop->state.skipped++;
    if (dumped && r.steps == 0)
        return error_set(err, STATUS_FAILED, "--dump-state: step %ld was skipped, all its weights are 0", step + 1);
    if (dumped && !dump_write(loop->dump, m, loop->grad, loop->state.optimizer, r.loss, lr, norm, err)) return false;
    loop_account(loop, &r, seconds_now() - start, loop->run ? loop->run->spent.score_seconds - scored : 0);
    if (loop->run && ((step + 1) % s->logging_steps == 0 || step + 1 == loop->steps)) loop_log(loop, step, lr, norm);
    return true;
}

static long loop_at(const Loop *loop) { return loop->state.optimizer->step + loop->state.skipped; }

/* Runs the steps that are left. False when training diverged (status 5), saving failed, or a signal came (after saving). */
static bool loop_run(Loop *loop, Error *err) {
    const Settings *s = loop->s;
    for (long step = loop_at(loop); step < loop->steps; step++) {
        if (!loop_step(loop, step, err)) return false;
        bool stop = machine_stop_signal() != 0;
        if (loop->state.folder && (stop || (s->save_steps > 0 && (step + 1) % s->save_steps == 0 && step + 1 < loop->steps)) &&
            !loop_save(loop, err))
            return false;
        if (stop) {
            if (loop->state.folder)
                error_set(err, 128 + machine_stop_signal(), "stopped by a signal after step %ld; saved; go on with: ica %s --resume %s",
                          step + 1, s->command, s->out);
            else error_set(err, 128 + machine_stop_signal(), "stopped by a signal; nothing was changed");
            return false;
        }
    }
    return true;
}

static void loop_new(Loop *loop, Model *m, const Settings *s, Run *run, const ModelFolder *folder, long steps, void *self) {
    Optimizer *optimizer = optimizer_new(m, s->adam_beta1, s->adam_beta2, s->weight_decay);
    Workspace *ws = workspace_new();
    workspace_recompute(ws, s->recompute);
    *loop = (Loop){.model = m, .ws = ws, .state = {.folder = folder, .optimizer = optimizer, .run = run},
                   .grad = mem_new(m->parameters, sizeof(real)), .s = s, .run = run, .steps = steps, .self = self};
    run_state_keep(&loop->state, "window", (double *)&loop->window, sizeof loop->window / sizeof(double));
}

/* Is a resumed run at its end, its result included? (One that was killed behind its last step still has to write that.) */
static bool loop_complete(const Loop *loop) {
    if (!loop->s->resume || loop_at(loop) < loop->steps || !run_has_result(loop->s->resume)) return false;
    fprintf(stderr, "%s: the run is complete, nothing is left to do\n", loop->s->resume);
    return true;
}

static void loop_free(Loop *loop) {
    workspace_free(loop->ws);
    optimizer_free(loop->state.optimizer);
    dump_free(loop->dump);
    free(loop->grad);
}

/* ---- evaluation ---- */

/* Of logp (token sums) and hits of every item, as commands of this kind report them. */
static Metrics metrics_of(const Examples *data, const double *logp, const int *hits) {
    Metrics x = {0};
    double total = 0, tokens = 0;
    for (int i = 0; i < data->count; i++) {
        double unused, n = data->items[i].answer_n;
        x.nll += objective_sft(logp[i], data->items[i].answer_n, &unused) / data->count;
        x.p_sequence += exp(logp[i]) / data->count;
        x.exact_match += hits[i] == data->items[i].answer_n;
        total -= logp[i];
        tokens += n;
    }
    x.exact_match /= data->count; /* a sum of counts is exact, a sum of shares is not */
    x.perplexity = exp(total / tokens);
    return x;
}

Metrics evaluate_answers(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout, int k, double *logp) {
    double *own = mem_new((size_t)data->count, sizeof *own);
    int *hits = mem_new((size_t)data->count, sizeof *hits);
    int dropped = ica_evaluate(m, ws, data, holdout, k, logp ? logp : own, hits, NULL);
    Metrics x = metrics_of(data, logp ? logp : own, hits);
    x.dropped = dropped;
    free(own);
    free(hits);
    return x;
}

PairMetrics evaluate_pairs(const Model *m, Workspace *ws, const Examples *data, const Settings *s,
                                  double *const reference[2], double *logp) {
    PairMetrics x = {0};
    PairOptions o = settings_pair(s);
    int n = data->count;
    double *chosen = mem_new((size_t)n, sizeof *chosen), *rejected = mem_new((size_t)n, sizeof *rejected);
    ica_answer_logps(m, ws, data, (Logps){chosen, rejected}, NULL);
    for (int i = 0; i < n; i++) {
        PairLogps p = pair_logps(&data->items[i], chosen[i], rejected[i], (Logps){reference[0], reference[1]}, i);
        PairGradient g;
        x.loss += objective_pair(settings_objective(s), &o, &p, &g) / n;
        x.margin += (g.reward_chosen - g.reward_rejected) / n;
        x.reward_accuracy += g.reward_chosen > g.reward_rejected;
        if (logp) {
            logp[2 * i] = chosen[i];
            logp[2 * i + 1] = rejected[i];
        }
    }
    x.reward_accuracy /= n;
    free(chosen);
    free(rejected);
    return x;
}

void evaluate_put_pairs(Buf *b, const PairMetrics *x) {
    json_key_number(b, "loss", x->loss);
    json_key_number(b, "reward_accuracy", x->reward_accuracy);
    json_key_number(b, "margin", x->margin);
}

void evaluate_put(Buf *b, const Metrics *x) {
    json_key_number(b, "nll", x->nll);
    json_key_number(b, "perplexity", x->perplexity);
    json_key_number(b, "p_sequence", x->p_sequence);
    json_key_number(b, "exact_match", x->exact_match);
}

/* metrics.json: the members given, and the number of records. */
static bool write_metrics(const Settings *s, const Buf *members, int records, Error *err) {
    Buf b = {0};
    buf_printf(&b, "{%.*s,\"records\":%d}\n", (int)members->n, members->s, records);
    char *path = path_join(s->out, "metrics.json");
    bool ok = file_write(path, b.s, b.n, err);
    free(path);
    buf_free(&b);
    return ok;
}

/* ---- pretraining ---- */

/* All rows end to end, and the batches: consecutive rows of at most --batch-tokens inputs together. */
typedef struct {
    IntBuf token, start; /* row r is token[start[r] .. start[r+1]-1] */
    Buf weight;          /* real for each token */
    IntBuf batch;        /* batch b is rows batch[b] .. batch[b+1]-1 */
    Batch rows;
    IntBuf order;        /* of the batches, this epoch */
    long epoch;
    bool shuffle;
    Splits splits;   /* --holdout and --eval: the progress meter */
} Pretraining;

static void put_weight(Pretraining *p, double w, int times) {
    real value = (real)w;
    for (int i = 0; i < times; i++) buf_put(&p->weight, &value, sizeof value);
}

static void end_row(Pretraining *p, int from, int longest) {
    if (p->token.n - from > longest) {
        p->token.n = from + longest;
        p->weight.n = (size_t)p->token.n * sizeof(real);
    }
    if (p->token.n - from >= 2) ints_put(&p->start, p->token.n);
    else { /* nothing to predict */
        p->token.n = from;
        p->weight.n = (size_t)from * sizeof(real);
    }
}

/* One session a row: the template's form of every turn, cut at the context. Answers weigh 1, prompts less. */
static void add_session(Pretraining *p, const ModelFolder *f, const Settings *s, const Record *r, int longest) {
    int from = p->token.n;
    ints_append(&p->token, f->bos, f->bos_n);
    put_weight(p, s->prompt_loss_weight, f->bos_n);
    for (int t = 0; t < r->n_turns && p->token.n - from < longest; t++) {
        int before = p->token.n;
        template_prompt(&f->template, f->tokenizer, r->turns[t].prompt, &p->token);
        put_weight(p, s->prompt_loss_weight, p->token.n - before);
        before = p->token.n;
        template_answer(&f->template, f->tokenizer, r->turns[t].completion, &p->token);
        put_weight(p, 1, p->token.n - before);
    }
    end_row(p, from, longest);
}

static void add_ids(Pretraining *p, const Record *r, int longest) {
    int from = p->token.n;
    ints_append(&p->token, r->input_ids, r->n_ids);
    for (int i = 0; i < r->n_ids; i++) put_weight(p, !r->labels || r->labels[i] != -100, 1);
    end_row(p, from, longest);
}

/* Text records follow each other in one stream, each closed by the end token; rows are cut from it, the last token of one being
 * the first of the next, so that every token is predicted once. */
static void pack_text(Pretraining *p, const IntBuf *stream, int longest) {
    for (int at = 0; at + 1 < stream->n; at += longest - 1) {
        int from = p->token.n, n = stream->n - at < longest ? stream->n - at : longest;
        ints_append(&p->token, stream->v + at, n);
        put_weight(p, 1, n);
        end_row(p, from, longest);
    }
}

static bool pretraining_rows(Pretraining *p, const ModelFolder *f, const Settings *s, Run *run, Error *err) {
    IntBuf stream = {0};
    int longest = f->model->config.context + 1;
    ints_put(&p->start, 0);
    for (int i = 0; i < s->data.count && err->status == 0; i++) {
        Dataset d;
        if (!dataset_load(&d, s->data.values[i], err)) break;
        run_input(run, d.path, d.fingerprint);
        for (int j = 0; j < d.count && err->status == 0; j++) {
            const Record *r = &d.records[j];
            if (r->kind == RECORD_PAIR)
                error_set(err, STATUS_DATA, "%s:%ld: a preference pair cannot be pretrained on", d.path, r->line);
            else if (r->kind == RECORD_TURNS) add_session(p, f, s, r, longest);
            else if (r->kind == RECORD_TEXT) {
                Str nothing = {"", 0};
                tokenizer_encode(f->tokenizer, r->text.s, r->text.n, &stream);
                template_answer(&f->template, f->tokenizer, nothing, &stream);
            } else {
                for (int t = 0; t < r->n_ids && err->status == 0; t++)
                    if (r->input_ids[t] >= f->model->config.vocab)
                        error_set(err, STATUS_DATA, "%s:%ld: input_ids holds %d and the vocabulary has %d tokens", d.path, r->line,
                                  r->input_ids[t], f->model->config.vocab);
                if (err->status == 0) add_ids(p, r, longest);
            }
            p->shuffle |= r->kind == RECORD_TEXT; /* sessions come in training order: a curriculum is an order */
        }
        dataset_free(&d);
    }
    pack_text(p, &stream, longest);
    ints_free(&stream);
    if (err->status == 0 && p->start.n < 2) error_set(err, STATUS_DATA, "%s: no tokens to train on", s->data.values[0]);
    ints_put(&p->batch, 0);
    for (int r = 0, tokens = 0; r + 1 < p->start.n; r++) {
        int n = p->start.v[r + 1] - p->start.v[r] - 1;
        if (tokens > 0 && tokens + n > s->batch_tokens) {
            ints_put(&p->batch, r);
            tokens = 0;
        }
        tokens += n;
        if (r + 2 == p->start.n) ints_put(&p->batch, r + 1);
    }
    return err->status == 0;
}

/* Which batch a step takes. Text, and sessions with --shuffle: a new shuffle every epoch. Else sessions come in training order, and
 * a second helping must keep it: the file is cut into PARTS, and each part is gone through as often as there are epochs before the
 * next one begins. (Good for one or two epochs; with many the model would learn part after part by heart.) */
static int batch_at(Pretraining *p, const Settings *s, long step, long steps) {
    enum { PARTS = 20 };
    int n = p->batch.n - 1;
    if (!p->shuffle) {
        long part = n < PARTS || steps <= n ? 0 : step * PARTS / steps, parts = n < PARTS || steps <= n ? 1 : PARTS;
        long first_step = (part * steps + parts - 1) / parts, first = part * n / parts, size = (part + 1) * n / parts - first;
        return (int)(first + (step - first_step) % size);
    }
    long epoch = step / n;
    if (epoch != p->epoch || p->order.n == 0) {
        Rng rng = rng_new((uint64_t)s->seed + (uint64_t)epoch * 1000003u, STREAM_ORDER);
        p->order.n = 0;
        for (int i = 0; i < n; i++) ints_put(&p->order, i);
        rng_shuffle(&rng, p->order.v, n);
        p->epoch = epoch;
    }
    return p->order.v[step % n];
}

static bool pretraining_gradient(void *self, Loop *loop, long step, StepReport *report) {
    Pretraining *p = self;
    int b = batch_at(p, loop->s, step, loop->steps);
    const real *weight = (const real *)(const void *)p->weight.s;
    batch_clear(&p->rows);
    double total = 0;
    for (int r = p->batch.v[b]; r < p->batch.v[b + 1]; r++) {
        int from = p->start.v[r], n = p->start.v[r + 1] - from;
        batch_row_weighted(&p->rows, p->token.v + from, n, weight + from, NULL);
        for (int i = 1; i < n; i++) total += (double)weight[from + i];
    }
    if (total <= 0) return false;
    int rows = p->rows.rows;
    double *dlogp = mem_new((size_t)rows, sizeof *dlogp), *logp = mem_new((size_t)rows, sizeof *logp);
    for (int r = 0; r < rows; r++) dlogp[r] = -1 / total; /* the weighted mean over the batch's tokens */
    model_forward_backward(loop->model, loop->ws, &p->rows, dlogp, logp, loop->grad, false);
    for (int r = 0; r < rows; r++) report->loss -= logp[r] / total;
    report->tokens = p->rows.tokens;
    report->flops = 3 * batch_flops(loop->model, &p->rows);
    free(dlogp);
    free(logp);
    return true;
}

/* The cheap progress meter of in-context learning: the answer's probability with k demonstrations. */
static void pretraining_evaluate(void *self, Loop *loop, Buf *line) {
    Pretraining *p = self;
    Examples some = p->splits.eval.examples;
    if (some.count > 100) some.count = 100;
    Metrics x = evaluate_answers(loop->model, loop->ws, &some, &p->splits.holdout.examples,
                         p->splits.holdout.examples.count ? loop->s->k : 0, NULL);
    json_key_number(line, "icl_p_sequence", x.p_sequence);
    json_key_number(line, "icl_nll", x.nll);
}

static void pretraining_free(Pretraining *p) {
    ints_free(&p->token);
    ints_free(&p->start);
    ints_free(&p->batch);
    ints_free(&p->order);
    buf_free(&p->weight);
    batch_free(&p->rows);
    splits_free(&p->splits);
}

/* A new model for --tokenizer, or --model to go on from, or the run to resume. */
static bool pretrain_folder(ModelFolder *f, const Settings *s, Error *err) {
    *f = (ModelFolder){0};
    if (s->resume || s->model) return model_folder_load(f, s->resume ? s->resume : s->model, err);
    if (!s->tokenizer)
        return error_set(err, STATUS_USAGE, "pretrain: give --tokenizer DIR for a new model, or --model DIR to go on from one");
    if (!model_folder_load_tokenizer(f, s->tokenizer, err)) return false;
    ModelConfig shape = {s->layers, s->heads, s->channels, s->context, tokenizer_size(f->tokenizer)};
    f->model = model_new(shape, err);
    if (f->model) model_initialize(f->model, (uint64_t)s->seed);
    else model_folder_free(f);
    return f->model != NULL;
}

/* The files of a command, for run.json. */
static void note_inputs(Run *run, const Splits *x) {
    run_input(run, x->pool.data.path, x->pool.data.fingerprint);
    run_input(run, x->holdout.data.path, x->holdout.data.fingerprint);
    run_input(run, x->eval.data.path, x->eval.data.fingerprint);
}

/* The loop, from its beginning or from where the run was left. */
static void pretraining_run(Pretraining *p, Loop *loop, Error *err) {
    Run *run = loop->run;
    if ((loop->s->resume && !run_state_load(&loop->state, loop->s->resume, err)) || loop_complete(loop) || !run_begin(run, err))
        return;
    fprintf(stderr, "%zu parameters, %d rows, %d tokens an epoch, %ld steps, %d threads\n", loop->model->parameters, p->start.n - 1,
            p->token.n, loop->steps, threads_most());
    bool ok = loop_run(loop, err) && loop_save(loop, err);
    if (ok) {
        json_key_number(&run->result, "steps", (double)loop->steps);
        json_key_number(&run->result, "loss", loop->window.last_loss);
        json_key_number(&run->result, "ess", NAN);
        json_key_number(&run->result, "skipped_steps", loop->state.skipped);
        json_key_number(&run->result, "activation_bytes", (double)workspace_bytes(loop->ws));
    }
    Error unsaid = {0}; /* after a failure the first error is the one to tell */
    run_end(run, ok ? err : &unsaid);
}

bool command_pretrain(const Settings *s, Error *err) {
    ModelFolder f;
    Run run = run_new(s);
    Pretraining p = {0};
    if (!settings_check_out(s, err) || !pretrain_folder(&f, s, err)) return false;
    SplitFiles files = settings_files(s);
    if (!f.tokenizer) error_set(err, STATUS_DATA, "%s: pretraining needs a vocabulary (vocab.json, merges.txt)", s->model);
    if (err->status == 0 && pretraining_rows(&p, &f, s, &run, err) && splits_read(&p.splits, &f, &files, err)) {
        int batches = p.batch.n - 1;
        p.shuffle |= s->shuffle;
        note_inputs(&run, &p.splits);
        Loop loop;
        loop_new(&loop, f.model, s, &run, &f, s->max_steps > 0 ? s->max_steps : (long)ceil(s->num_train_epochs * batches), &p);
        loop.gradient = pretraining_gradient;
        if (s->eval) loop.evaluate = pretraining_evaluate;
        pretraining_run(&p, &loop, err);
        loop_free(&loop);
    }
    run_free(&run);
    pretraining_free(&p);
    model_folder_free(&f);
    return err->status == 0;
}

/* ---- fine-tuning ---- */

static int choice(const char *text, const char *const *names) {
    int i = 0;
    while (strcmp(text, names[i]) != 0) i++;
    return i;
}

static const char *const METHOD_NAMES[] = {"ica", "rho", "oneshot", "nuggets", "gradient", "incontext", "loss", "random", NULL};
static const char *const DEMO_NAMES[] = {"nearest", "random", "fixed", "shuffled", NULL};
static const char *const REDUCE_NAMES[] = {"mean", "sum", NULL};
static const char *const ANCHOR_NAMES[] = {"nearest", "random", NULL};
static const char *const MAP_NAMES[] = {"minmax", "minmax-batch", "clip", "rank", "softmax", "top", "positive", "filter", NULL};
static const char *const PAIR_SCORE_NAMES[] = {"margin", "loss", NULL};
static const char *const NORMALIZE_NAMES[] = {"batch", "micro", "count", "none", NULL};

static bool is_method(const char *name) {
    for (int i = 0; METHOD_NAMES[i]; i++)
        if (strcmp(name, METHOD_NAMES[i]) == 0) return true;
    return false;
}

static MapOptions map_options(const Settings *s) {
    return (MapOptions){.temperature = s->temperature, .share = s->share, .clip = s->clip};
}

/* Weighted fine-tuning of one model on one set of examples. */
typedef struct {
    const Examples *pool, *holdout, *eval;
    const Splits *splits;  /* of the run: known truth for the log, names for scores.jsonl; NULL: none */
    const char *method;        /* NULL: nothing is computed; else scores are, at the refresh steps */
    bool mapped;               /* weights are made of scores, those of the method or of a file; else they are fixed */
    Model *reference;          /* RHO's */
    Objective objective;
    PairOptions pair;
    /* DPO: log-likelihoods by the starting model, chosen and rejected, of pool, holdout and test; else NULL */
    double *pool_reference[2], *holdout_reference[2], *eval_reference[2];
    double *by_reference[2];   /* RHO: log-likelihoods by its reference, from the first scores on; else NULL */
    double *score, *weight;    /* [pool->count] */
    double *used;              /* [pool->count] the weight that each record had last, in its batch; NULL: not asked for */
    Scores scores;             /* the last ones; count 0 in a resumed run that computed none itself */
    double told[2];            /* of the last scores: demonstrations dropped, rank correlation of both pair scores (or NaN) */
    IntBuf order;              /* the records of this epoch */
    long epoch;
    Batch rows;
} Tuning;

/* The record at a position of the endless data order: one shuffled epoch after another, a function of seed and position only. */
static int record_at(Tuning *t, const Settings *s, long position) {
    int n = t->pool->count;
    long epoch = position / n;
    if (t->order.n == 0 || epoch != t->epoch) {
        Rng rng = rng_new((uint64_t)s->seed + (uint64_t)epoch * 1000003u, STREAM_ORDER);
        t->order.n = 0;
        for (int i = 0; i < n; i++) ints_put(&t->order, i);
        rng_shuffle(&rng, t->order.v, n);
        t->epoch = epoch;
    }
    return t->order.v[position % n];
}

static ScoreOptions score_options(const Settings *s, const char *method, int refresh, const Tuning *t) {
    return (ScoreOptions){.objective = settings_objective(s),
                          .pair_score = (PairScore)choice(s->pair_score, PAIR_SCORE_NAMES),
                          .pair = settings_pair(s),
                          .pool_reference = {t->pool_reference[0], t->pool_reference[1]},
                          .holdout_reference = {t->holdout_reference[0], t->holdout_reference[1]},
                          .method = (Method)choice(method, METHOD_NAMES),
                          .k = s->k,
                          .demos = (DemoChoice)choice(s->demos, DEMO_NAMES),
                          .contexts = s->contexts,
                          .reduce = (Reduce)choice(s->reduce, REDUCE_NAMES),
                          .anchors = (Anchors)choice(s->anchors, ANCHOR_NAMES),
                          .num_anchors = s->num_anchors,
                          .allow_overlap = s->allow_overlap,
                          .seed = (uint64_t)s->seed * 1000003u + (uint64_t)refresh}; /* another one for each refresh */
}

static void weights_from_scores(const Settings *s, const double *score, int n, double *weight) {
    MapOptions how = map_options(s);
    ica_weights((WeightMap)choice(s->weight_map, MAP_NAMES), &how, score, n, weight);
}

/* At steps floor(j S / R), j = 0..R-1: is this one, and which j? */
static int refresh_at(const Settings *s, long step, long steps) {
    for (int j = 0; j < s->refresh; j++)
        if ((long)((double)j * (double)steps / s->refresh) == step) return j;
    return -1;
}

static void rescore(Tuning *t, Loop *loop, int refresh) {
    double start = seconds_now();
    ScoreOptions how = score_options(loop->s, t->method, refresh, t);
    if (refresh == 0) how.earlier_alone = how.pool_reference; /* at the first step the model is DPO's reference */
    how.earlier_by_reference = (Logps){t->by_reference[0], t->by_reference[1]};
    Workspace *ws = workspace_new(); /* its own: in that of training a large batch would take room in every layer, for good */
    ica_score(loop->model, t->reference, ws, t->pool, t->holdout, &how, &t->scores);
    workspace_free(ws);
    size_t bytes = (size_t)t->pool->count * sizeof *t->score;
    for (int a = 0; a < 2 && how.method == METHOD_RHO; a++) {
        if (!t->by_reference[a]) t->by_reference[a] = mem_new(bytes, 1);
        memcpy(t->by_reference[a], a ? t->scores.by_reference.rejected : t->scores.by_reference.chosen, bytes);
    }
    memcpy(t->score, t->scores.score, bytes);
    weights_from_scores(loop->s, t->score, t->pool->count, t->weight);
    if (t->used) memcpy(t->used, t->weight, (size_t)t->pool->count * sizeof *t->used);
    t->told[0] = t->scores.dropped;
    t->told[1] = ica_pair_agreement(&how, t->pool, &t->scores);
    if (loop->run) {
        loop->run->spent.score_seconds += seconds_now() - start;
        loop->run->spent.score_tokens += t->scores.cost.forward;
        loop->run->spent.score_flops += t->scores.cost.flops;
    }
}

/* One pair's loss and the derivatives by its two rows, times its coefficient. */
static void tune_pair(const Tuning *t, int record, double coefficient, const double logp[2], double dlogp[2], StepReport *report) {
    const Example *e = &t->pool->items[record];
    PairLogps p = pair_logps(e, logp[0], logp[1], (Logps){t->pool_reference[0], t->pool_reference[1]}, record);
    PairGradient g;
    report->loss += coefficient * objective_pair(t->objective, &t->pair, &p, &g);
    bool constant = same_answers(e); /* both losses are then constants: exactly no gradient, not a difference of roundings */
    dlogp[0] = constant ? 0 : coefficient * g.d_chosen;
    dlogp[1] = constant ? 0 : coefficient * g.d_rejected;
    report->pairs++;
    report->reward_chosen += g.reward_chosen;
    report->reward_rejected += g.reward_rejected;
    report->accuracy += g.reward_chosen > g.reward_rejected;
    report->logp_chosen +=
        t->objective == OBJECTIVE_SIMPO ? logp[0] / e->answer_n : logp[0]; /* as SimPO's log has them: averages */
    report->logp_rejected += t->objective == OBJECTIVE_SIMPO ? logp[1] / e->rejected_n : logp[1];
}

/* The rows of batch entries from..to-1, forward and backward; adds to the report. */
static void tune_rows(Tuning *t, Loop *loop, const int *record, const double *coefficient, int from, int to, StepReport *report) {
    bool pairs = t->objective != OBJECTIVE_SFT;
    int n = to - from;
    double *dlogp = mem_new(2 * (size_t)n, sizeof *dlogp), *logp = mem_new(2 * (size_t)n, sizeof *logp), unused;
    batch_clear(&t->rows);
    ica_batch(&t->rows, t->pool, record + from, n, pairs);
    if (pairs) {
        model_forward(loop->model, loop->ws, &t->rows, true, logp, NULL);
        for (int i = 0; i < n; i++) tune_pair(t, record[from + i], coefficient[from + i], logp + 2 * i, dlogp + 2 * i, report);
        model_backward(loop->model, loop->ws, &t->rows, dlogp, loop->grad, from > 0);
    } else { /* linear: the derivative does not need logp */
        for (int i = 0; i < n; i++) {
            objective_sft(0, t->pool->items[record[from + i]].answer_n, &dlogp[i]);
            dlogp[i] *= coefficient[from + i];
        }
        model_forward_backward(loop->model, loop->ws, &t->rows, dlogp, logp, loop->grad, from > 0);
        for (int i = 0; i < n; i++)
            report->loss += coefficient[from + i] * objective_sft(logp[i], t->pool->items[record[from + i]].answer_n, &unused);
    }
    if (loop->dump) dump_rows(loop->dump, from, n, logp);
    report->flops += 3 * batch_flops(loop->model, &t->rows);
    report->tokens += t->rows.tokens;
    free(dlogp);
    free(logp);
}

/* Where the micro-batch that begins at `from` ends: --micro-batch-size rows, or (0) as many as keep the activations small. */
static int micro_end(const Tuning *t, const Settings *s, const int *record, int from, int n) {
    enum { TOKENS = 4096 };
    if (s->micro_batch_size > 0) return from + s->micro_batch_size < n ? from + s->micro_batch_size : n;
    int tokens = 0, to = from;
    for (; to < n; to++) {
        const Example *z = &t->pool->items[record[to]];
        tokens += query_length(t->pool, &(Query){.x = z});
        if (z->rejected) tokens += query_length(t->pool, &(Query){.x = z, .rejected = true});
        if (tokens > TOKENS && to > from) break;
    }
    return to;
}

static void report_weights(const Tuning *t, const int *record, const double *weight, int n, StepReport *report) {
    report->weighted = 1;
    report->ess = effective_sample_size(weight, n);
    for (int i = 0; t->splits && i < n; i++) {
        int clean = t->splits->pool.data.records[record[i]].clean;
        if (clean < 0) continue;
        report->weight[clean] += weight[i];
        report->records[clean]++;
    }
}

static bool tuning_gradient(void *self, Loop *loop, long step, StepReport *report) {
    Tuning *t = self;
    const Settings *s = loop->s;
    int B = s->batch_size, refresh = t->method ? refresh_at(s, step, loop->steps) : -1;
    if (refresh >= 0) rescore(t, loop, refresh);
    int *record = mem_new((size_t)B, sizeof *record);
    double *weight = mem_new((size_t)B, sizeof *weight), *coefficient = mem_new((size_t)B, sizeof *coefficient);
    for (int i = 0; i < B; i++) {
        record[i] = record_at(t, s, step * B + i);
        weight[i] = t->weight[record[i]];
    }
    if (t->mapped && strcmp(s->weight_map, "minmax-batch") == 0) {
        double *score = mem_new((size_t)B, sizeof *score);
        for (int i = 0; i < B; i++) score[i] = t->score[record[i]];
        weights_from_scores(s, score, B, weight);
        for (int i = 0; i < B && t->used; i++) t->used[record[i]] = weight[i];
        free(score);
    }
    Normalize how = (Normalize)choice(s->normalize, NORMALIZE_NAMES);
    bool any = ica_coefficients(how, weight, B, s->micro_batch_size > 0 ? s->micro_batch_size : B, coefficient);
    report_weights(t, record, weight, B, report);
    if (loop->dump) dump_batch(loop->dump, record, weight);
    for (int from = 0, to; any && from < B; from = to) {
        to = micro_end(t, s, record, from, B);
        tune_rows(t, loop, record, coefficient, from, to, report);
    }
    free(record);
    free(weight);
    free(coefficient);
    return any;
}

static void tuning_evaluate(void *self, Loop *loop, Buf *line) {
    Tuning *t = self;
    if (t->objective == OBJECTIVE_SFT)
        json_key_number(line, "eval_nll", evaluate_answers(loop->model, loop->ws, t->eval, NULL, 0, NULL).nll);
    else json_key_number(line, "eval_loss", evaluate_pairs(loop->model, loop->ws, t->eval, loop->s, t->eval_reference, NULL).loss);
}

static void tuning_free(Tuning *t) {
    ints_free(&t->order);
    batch_free(&t->rows);
    scores_free(&t->scores);
    model_free(t->reference);
    for (int a = 0; a < 2; a++) {
        free(t->pool_reference[a]);
        free(t->holdout_reference[a]);
        free(t->eval_reference[a]);
        free(t->by_reference[a]);
    }
    free(t->score);
    free(t->weight);
    free(t->used);
}

/* DPO's reference: the starting model's log-likelihoods of pool, holdout (if asked for) and test, once: no second model stays in
 * memory. With compute they are computed and paid for by the run, else only the arrays are made. loop (or NULL) keeps them. */
static void tuning_references(Tuning *t, const Model *m, Workspace *ws, Loop *loop, Run *run, bool holdout, bool compute) {
    static const char *const names[3][2] = {{"reference.pool.chosen", "reference.pool.rejected"},
                                            {"reference.holdout.chosen", "reference.holdout.rejected"},
                                            {"reference.eval.chosen", "reference.eval.rejected"}};
    const Examples *data[3] = {t->pool, t->holdout, t->eval};
    double **slots[3] = {t->pool_reference, t->holdout_reference, t->eval_reference}, start = seconds_now();
    Cost cost = {0};
    for (int i = 0; i < 3; i++) {
        if (!data[i] || data[i]->count == 0 || (i == 1 && !holdout)) continue;
        for (int a = 0; a < 2; a++) {
            slots[i][a] = mem_new((size_t)data[i]->count, sizeof(double));
            if (loop) run_state_keep(&loop->state, names[i][a], slots[i][a], data[i]->count);
        }
        if (compute) ica_answer_logps(m, ws, data[i], (Logps){slots[i][0], slots[i][1]}, &cost);
    }
    run->spent.reference_seconds += seconds_now() - start;
    run->spent.reference_flops += cost.flops;
}

/* RHO's reference: the same model trained on the holdout alone, with the run's own settings and --reference-steps steps. */
static Model *train_reference(const Model *m, const Settings *s, const Examples *holdout, Run *run, Error *err) {
    double start = seconds_now();
    Settings own = *s;
    own.seed = s->seed + STREAM_REFERENCE; /* another order than the run itself */
    own.normalize = "batch"; /* score has no such option */
    own.objective = "sft";   /* pairs too: on the holdout's prompts and chosen answers */
    own.max_grad_norm = 1;
    Model *reference = model_copy(m);
    Tuning t = {.pool = holdout, .weight = mem_new((size_t)holdout->count, sizeof(double))};
    for (int i = 0; i < holdout->count; i++) t.weight[i] = 1;
    Loop loop;
    loop_new(&loop, reference, &own, NULL, NULL, s->reference_steps, &t);
    loop.gradient = tuning_gradient;
    bool ok = loop_run(&loop, err);
    run->spent.reference_flops += loop.flops;
    run->spent.reference_seconds += seconds_now() - start;
    loop_free(&loop);
    tuning_free(&t);
    if (ok) return reference;
    model_free(reference);
    return NULL;
}

/* ---- scores: diagnostics ---- */

static bool needs_holdout(const char *method) { return strcmp(method, "loss") != 0 && strcmp(method, "random") != 0; }

/* Does the method show or ask k holdout examples for each candidate? */
static bool needs_k(const Settings *s, const char *method) {
    if (strcmp(method, "oneshot") == 0 || strcmp(method, "nuggets") == 0) return strcmp(s->anchors, "nearest") == 0;
    return strcmp(method, "ica") == 0 || strcmp(method, "incontext") == 0;
}

static bool check_holdout(const Settings *s, const char *method, const ExampleFile *holdout, Error *err) {
    if (!needs_holdout(method)) return true;
    if (s->contexts > 0 && s->shard)
        return error_set(err, STATUS_USAGE, "%s: --contexts cannot go with --shard: its clusters are of the whole pool",
                         s->command);
    if (s->contexts > 0 && strcmp(s->demos, "nearest") != 0)
        return error_set(err, STATUS_USAGE, "%s: --contexts goes with --demos nearest: other lists are not chosen by nearness",
                         s->command);
    if (!s->holdout)
        return error_set(err, STATUS_USAGE, "%s: the method %s needs --holdout FILE, a few trusted examples", s->command,
                         method);
    if (needs_k(s, method) && s->k > holdout->data.count)
        return error_set(err, STATUS_DATA, "%s: has %d records and --k asks for %d demonstrations: lower --k", s->holdout,
                         holdout->data.count, s->k);
    return true;
}

/* What `score` scores: the whole pool, or (--shard I/N) records floor((I-1) n / N) .. floor(I n / N) - 1 of its n, so that the
 * files of the shards, one behind the other, are the whole pool's. The part borrows from the pool; *first is its first record. */
static bool shard_of(const Settings *s, const ExampleFile *pool, ExampleFile *part, int *first, Error *err) {
    int index = 1, of = 1, n = pool->data.count;
    char rest;
    if (s->shard && (sscanf(s->shard, "%d/%d%c", &index, &of, &rest) != 2 || index < 1 || index > of))
        return error_set(err, STATUS_USAGE, "score: --shard %s: write I/N, the I-th of N parts, from 1/N to N/N", s->shard);
    if (of > n)
        return error_set(err, STATUS_USAGE, "score: --shard %s: the pool has only %d records", s->shard, n);
    *first = (int)((int64_t)(index - 1) * n / of);
    *part = *pool;
    part->data.records += *first;
    part->examples.items += *first;
    part->data.count = part->examples.count = (int)((int64_t)index * n / of) - *first;
    return true;
}

static void print_scores(const Settings *s, const Run *run, const ExampleFile *part, const Scores *scores, const double *weight,
                         double agreement) {
    double told[2] = {scores->dropped, agreement};
    Buf b = {0};
    buf_puts(&b, "{\"command\":\"score\"");
    json_key_string(&b, "method", s->method);
    buf_puts(&b, ",\"group\":");
    settings_put_group(&b, s);
    buf_printf(&b, ",\"draw\":\"%d\"", s->draw);
    json_key_string(&b, "objective", s->objective);
    json_key_string(&b, "pool", s->pool);
    if (s->shard) json_key_string(&b, "shard", s->shard);
    json_key_string(&b, "holdout", s->holdout);
    json_key_string(&b, "scores", s->out);
    scores_put_result(&b, part, scores->score, weight, told);
    json_key_number(&b, "seconds", seconds_now() - run->start);
    json_key_number(&b, "reference_seconds", run->spent.reference_seconds);
    json_key_number(&b, "flops", scores->cost.flops + run->spent.reference_flops);
    json_key_number(&b, "forward_tokens", scores->cost.forward);
    json_key_number(&b, "records", scores->count);
    json_key_number(&b, "clean", scores_known_clean(&part->data));
    buf_puts(&b, "}\n");
    settings_print(s, &b);
    buf_free(&b);
    if (scores->dropped)
        fprintf(stderr, "%d demonstrations did not fit the context and were dropped, farthest first\n", scores->dropped);
}

/* Scores the part and writes the file; a shard's has no weights, because most maps look at the whole pool. */
static bool score_part(const Settings *s, const ModelFolder *f, const ExampleFile *part, int first, const ExampleFile *holdout, Error *err) {
    Run run = run_new(s);
    Tuning t = {.pool = &part->examples, .holdout = &holdout->examples, .objective = settings_objective(s)};
    Workspace *ws = workspace_new();
    bool rho = strcmp(s->method, "rho") == 0;
    if (rho) t.reference = train_reference(f->model, s, t.holdout, &run, err);
    if (!rho || t.reference) {
        if (t.objective == OBJECTIVE_DPO) /* the start of DPO: the reference is the model itself */
            tuning_references(&t, f->model, ws, NULL, &run, strcmp(s->method, "gradient") == 0, true);
        ScoreOptions how = score_options(s, s->method, 0, &t);
        how.first = first;
        how.earlier_alone = how.pool_reference; /* DPO's start: the model is its own reference */
        ica_score(f->model, t.reference, ws, t.pool, t.holdout, &how, &t.scores);
        t.weight = s->shard ? NULL : mem_new((size_t)t.scores.count, sizeof(double));
        if (t.weight) weights_from_scores(s, t.scores.score, t.scores.count, t.weight);
        if (scores_write(s->out, part, holdout, &t.scores, t.weight, err))
            print_scores(s, &run, part, &t.scores, t.weight, ica_pair_agreement(&how, t.pool, &t.scores));
    }
    tuning_free(&t);
    workspace_free(ws);
    run_free(&run);
    return err->status == 0;
}

bool command_score(const Settings *s, Error *err) {
    ModelFolder f;
    Splits x;
    ExampleFile part;
    int first = 0;
    SplitFiles files = settings_files(s);
    files.pairs = settings_objective(s) != OBJECTIVE_SFT;
    files.holdout_pairs = files.pairs && strcmp(s->method, "gradient") == 0;
    if (!settings_check_out(s, err) || !model_folder_load(&f, s->model, err)) return false;
    if (splits_read(&x, &f, &files, err)) {
        if (check_holdout(s, s->method, &x.holdout, err) && shard_of(s, &x.pool, &part, &first, err))
            score_part(s, &f, &part, first, &x.holdout, err);
        splits_free(&x);
    }
    model_folder_free(&f);
    return err->status == 0;
}

/* ---- train ---- */

/* Sets fixed weights, or the method whose scores become weights. *print: the fingerprint of their file, if they come from one. */
static bool tuning_weights(Tuning *t, const Settings *s, const Splits *x, Run *run, uint64_t *print, Error *err) {
    const Dataset *d = &x->pool.data;
    const char *w = s->weights;
    for (int i = 0; i < d->count; i++) {
        const Record *r = &d->records[i];
        t->weight[i] = 1;
        if (strcmp(w, "records") == 0 && r->weight > 1e15) /* sums of weights must stay finite, and mean something */
            return error_set(err, STATUS_DATA, "%s:%ld: a weight of %g is too large: scale the weights down", d->path, r->line,
                             r->weight);
        if (strcmp(w, "oracle") == 0) {
            if (r->clean < 0)
                return error_set(err, STATUS_DATA, "%s:%ld: --weights oracle needs the key \"%s\" in every record", d->path,
                                 r->line, r->kind == RECORD_PAIR ? "flipped" : "clean");
            t->weight[i] = r->clean;
        } else if (strcmp(w, "records") == 0) {
            if (isnan(r->weight))
                return error_set(err, STATUS_DATA, "%s:%ld: --weights records needs the key \"weight\" in every record",
                                 d->path, r->line);
            t->weight[i] = r->weight;
        }
    }
    if (strncmp(w, "file:", 5) == 0) {
        bool ok = scores_read(w + 5, d, t->score, t->weight, &t->mapped, print, err);
        run_input(run, w + 5, *print);
        if (ok && t->mapped) weights_from_scores(s, t->score, d->count, t->weight);
        memcpy(t->used, t->weight, (size_t)d->count * sizeof *t->used);
        return ok;
    }
    if (strcmp(w, "uniform") == 0 || strcmp(w, "oracle") == 0 || strcmp(w, "records") == 0) return true;
    if (!is_method(w))
        return error_set(err, STATUS_USAGE,
                         "train: --weights %s: choose uniform, oracle, records, file:PATH, or a method: ica, rho, oneshot, "
                         "nuggets, gradient, incontext, loss, random",
                         w);
    t->method = w;
    t->mapped = true;
    return check_holdout(s, w, &x->holdout, err);
}

static long tuning_steps(const Settings *s, int records) {
    if (s->max_steps > 0) return s->max_steps;
    long steps = (long)ceil(s->num_train_epochs * records / s->batch_size);
    return steps > 0 ? steps : 1;
}

/* Writes scores.jsonl if scores were computed; a run that goes on behind a break keeps the file of its first part. */
static bool tuning_save(void *self, const Loop *loop, Error *err) {
    const Tuning *t = self;
    if (!t->method || t->scores.count == 0) return true;
    char *path = path_join(loop->s->out, "scores.jsonl");
    bool ok = scores_write(path, &t->splits->pool, &t->splits->holdout, &t->scores, t->weight, err);
    free(path);
    return ok;
}

/* The last evaluation: metrics.json, and into the run's result. */
static bool tuning_metrics(Tuning *t, Loop *loop, Run *run, Error *err) {
    const ExampleFile *eval = &t->splits->eval;
    double start = seconds_now();
    Buf members = {0};
    if (t->objective == OBJECTIVE_SFT) {
        Metrics metrics = evaluate_answers(loop->model, loop->ws, &eval->examples, NULL, 0, NULL);
        evaluate_put(&members, &metrics);
    } else {
        PairMetrics metrics = evaluate_pairs(loop->model, loop->ws, &eval->examples, loop->s, t->eval_reference, NULL);
        evaluate_put_pairs(&members, &metrics);
    }
    run->spent.eval_seconds += seconds_now() - start;
    buf_printf(&run->result, ",%s", members.s);
    bool ok = write_metrics(loop->s, &members, eval->examples.count, err);
    buf_free(&members);
    return ok;
}

/* After the last step: save, evaluate, write metrics.json; fills the run's result. */
static bool tuning_finish(Tuning *t, Loop *loop, Run *run, Error *err) {
    const Settings *s = loop->s;
    int n = t->pool->count;
    if (!loop_save(loop, err)) return false;
    json_key_number(&run->result, "steps", (double)loop->steps);
    json_key_number(&run->result, "train_loss", loop->window.last_loss);
    if (t->method) scores_put_result(&run->result, &t->splits->pool, t->score, t->used, t->told);
    else json_key_number(&run->result, "ess", effective_sample_size(t->mapped ? t->used : t->weight, n));
    json_key_number(&run->result, "skipped_steps", loop->state.skipped);
    json_key_number(&run->result, "activation_bytes", (double)workspace_bytes(loop->ws));
    if (loop->state.skipped) fprintf(stderr, "%d steps were skipped: all weights of the batch were 0\n", loop->state.skipped);
    return !s->eval || tuning_metrics(t, loop, run, err);
}

static void print_train_result(const Settings *s, const Run *run) {
    Buf b = {0};
    buf_printf(&b, "{%.*s}\n", (int)run->result.n, run->result.s);
    settings_print(s, &b);
    buf_free(&b);
}

/* RHO's reference: trained from the weights that the run starts with, and kept in RUN/reference; a resumed run takes it there. */
static Model *reference_of(const ModelFolder *f, const Settings *s, const Examples *holdout, Run *run, Error *err) {
    char *path = path_join(s->out, "reference");
    Model *reference = s->resume ? model_load(path, err) : train_reference(f->model, s, holdout, run, err);
    if (reference && !s->resume && (!folder_make(path, err) || !model_save(reference, path, err))) {
        model_free(reference);
        reference = NULL;
    }
    free(path);
    return reference;
}

/* Pairs whose answers are the same tokens: they carry no gradient, and the user should know. */
static void tell_equal_answers(const Examples *pool) {
    int equal = 0;
    for (int i = 0; i < pool->count; i++) equal += pool->items[i].rejected && same_answers(&pool->items[i]);
    if (equal) fprintf(stderr, "%d pairs have equal answers: they have a loss and no gradient\n", equal);
}

/* What scoring cost beside training: in seconds, and in operations n r / (P B), r = cost of one score over the training cost of one
 * sequence, P = steps / R. */
static void put_overhead(Run *run, const Loop *loop, int pool, const Scores *last) {
    const Settings *s = loop->s;
    const Spent *spent = &run->spent;
    double scored = (double)pool * s->refresh, trained = (double)loop->steps * s->batch_size;
    if (spent->score_flops <= 0 || spent->train_flops <= 0 || spent->train_seconds <= 0) return;
    double r = spent->score_flops / scored / (spent->train_flops / trained), measured = spent->score_seconds / spent->train_seconds;
    double formula = pool * r / ((double)loop->steps / s->refresh * s->batch_size);
    double base = last->cost.flops > 0 ? last->alone_flops / last->cost.flops : 0; /* of the last scores, for all */
    json_key_number(&run->result, "relative_cost", r);
    json_key_number(&run->result, "relative_cost_base", base * r);
    json_key_number(&run->result, "relative_cost_measured", measured * trained / scored);
    json_key_number(&run->result, "overhead_formula", formula);
    json_key_number(&run->result, "overhead_measured", measured);
    fprintf(stderr, "scoring: %.1f%% of the training time, r = %.2f; by operations n r / (P B) = %.1f%%, r = %.2f (%.2f of it "
            "without context)\n", 100 * measured, measured * trained / scored, 100 * formula, r, base * r);
}

/* Of pool, holdout and the file of weights. */
typedef struct { double v[3]; } Prints;

/* What the state keeps of a tuning. */
static void tuning_keep(Tuning *t, Loop *loop, Prints *prints) {
    run_state_keep(&loop->state, "fingerprints", prints->v, 3);
    if (!t->mapped) return;
    run_state_keep(&loop->state, "scores", t->score, t->pool->count);
    run_state_keep(&loop->state, "weights", t->used, t->pool->count);
    run_state_keep(&loop->state, "told", t->told, 2);
}

/* Where the run was left. The data must be the same. */
static bool tuning_resume(Tuning *t, Loop *loop, const Prints *kept, Error *err) {
    const Settings *s = loop->s;
    Prints now = *kept;
    if (!run_state_load(&loop->state, s->resume, err)) return false;
    if (memcmp(&now, kept, sizeof now) != 0)
        return error_set(err, STATUS_DATA,
                         "%s: pool, holdout or weights changed since the run began: a resumed run needs the same data", s->resume);
    if (t->mapped) weights_from_scores(s, t->score, t->pool->count, t->weight);
    return true;
}

/* From the checks to the result. */
static void tuning_run(Tuning *t, Loop *loop, const ModelFolder *f, Error *err) {
    const Settings *s = loop->s;
    Run *run = loop->run;
    uint64_t print = 0;
    if (!tuning_weights(t, s, t->splits, run, &print, err)) return;
    Prints prints = {{run_fingerprint(t->splits->pool.data.fingerprint), run_fingerprint(t->splits->holdout.data.fingerprint),
                      run_fingerprint(print)}};
    tuning_keep(t, loop, &prints);
    if (t->objective == OBJECTIVE_DPO)
        tuning_references(t, loop->model, loop->ws, loop, run, t->method && strcmp(t->method, "gradient") == 0, !s->resume);
    if ((s->resume && !tuning_resume(t, loop, &prints, err)) || loop_complete(loop)) return;
    if (t->objective != OBJECTIVE_SFT) tell_equal_answers(t->pool);
    if (!run_begin(run, err)) return;
    if (t->method && strcmp(t->method, "rho") == 0) t->reference = reference_of(f, s, t->holdout, run, err);
    bool ok = err->status == 0 && loop_run(loop, err);
    if (ok && t->method) put_overhead(run, loop, t->pool->count, &t->scores);
    ok = ok && tuning_finish(t, loop, run, err);
    if (ok) print_train_result(s, run);
    Error unsaid = {0};
    if (!ok) tuning_save(t, loop, &unsaid);
    run_end(run, ok ? err : &unsaid);
}

bool command_train(const Settings *s, Error *err) {
    ModelFolder f;
    Splits x;
    SplitFiles files = settings_files(s);
    files.pairs = settings_objective(s) != OBJECTIVE_SFT;
    files.holdout_pairs = files.pairs && strcmp(s->weights, "gradient") == 0;
    Run run = run_new(s);
    if (!settings_check_out(s, err)) return false;
    if (!model_folder_load(&f, s->resume ? s->resume : s->model, err)) return false;
    if (!splits_read(&x, &f, &files, err)) {
        model_folder_free(&f);
        return false;
    }
    note_inputs(&run, &x);
    int n = x.pool.examples.count;
    Tuning t = {.pool = &x.pool.examples,
                .holdout = &x.holdout.examples,
                .eval = &x.eval.examples,
                .splits = &x,
                .objective = settings_objective(s),
                .pair = settings_pair(s),
                .score = mem_new((size_t)n, sizeof(double)),
                .weight = mem_new((size_t)n, sizeof(double)),
                .used = mem_new((size_t)n, sizeof(double)),
                .told = {0, NAN}};
    Loop loop;
    loop_new(&loop, f.model, s, &run, &f, tuning_steps(s, n), &t);
    loop.gradient = tuning_gradient;
    loop.save = tuning_save;
    if (s->dump_state) loop.dump = dump_new(s->dump_state, &x.pool, files.pairs, s->batch_size);
    if (s->eval) loop.evaluate = tuning_evaluate;
    tuning_run(&t, &loop, &f, err);
    loop_free(&loop);
    tuning_free(&t);
    splits_free(&x);
    run_free(&run);
    model_folder_free(&f);
    return err->status == 0;
}
