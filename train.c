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
#include "model.h"
#include "tokenizer.h"

/* Streams of the one seed, so that no use of random numbers shifts another. */
enum { STREAM_ORDER = 11, STREAM_REFERENCE = 14 };

/* ---- the training loop: pretraining and fine-tuning differ only in what one step's gradient is ---- */

/* What a step reports. */
typedef struct {
    double loss, tokens, flops, ess;
    double weight_clean, weight_corrupted; /* NaN where no truth is known */
    int pairs;                             /* pairs: how many, and sums over them, under TRL's names */
    double reward_chosen, reward_rejected, accuracy, logp_chosen, logp_rejected;
} StepReport;

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
    double loss;  /* of the last logged step */
    double flops; /* of all steps, forward and backward */
    /* Adds this step's gradient to grad; false: nothing to learn from it, the step is skipped. */
    bool (*gradient)(void *self, Loop *loop, long step, StepReport *report);
    /* Appends members to a log line at the steps where --eval-steps asks for it; may be NULL. */
    void (*evaluate)(void *self, Loop *loop, Buf *line);
    void *self; /* what the two functions work on */
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

/* One line of log.jsonl, and one on stderr. */
static void loop_log(Loop *loop, long step, const StepReport *r, double lr, double norm, double seconds, double tokens,
                     double flops) {
    Run *run = loop->run;
    bool evaluate = loop->evaluate && loop->s->eval_steps > 0 && ((step + 1) % loop->s->eval_steps == 0 || step + 1 == loop->steps);
    Buf line = {0};
    buf_puts(&line, "{");
    json_key_number(&line, "step", (double)(step + 1));
    json_key_number(&line, "loss", r->loss);
    json_key_number(&line, "learning_rate", lr);
    json_key_number(&line, "grad_norm", norm);
    json_key_number(&line, "tokens_per_second", seconds > 0 ? tokens / seconds : 0);
    json_key_number(&line, "seconds", seconds_now() - run->start);
    if (isfinite(r->ess)) json_key_number(&line, "ess", r->ess);
    if (isfinite(r->weight_clean)) json_key_number(&line, "weight_clean", r->weight_clean);
    if (isfinite(r->weight_corrupted)) json_key_number(&line, "weight_corrupted", r->weight_corrupted);
    if (r->pairs) {
        json_key_number(&line, "rewards/chosen", r->reward_chosen / r->pairs);
        json_key_number(&line, "rewards/rejected", r->reward_rejected / r->pairs);
        json_key_number(&line, "rewards/accuracies", r->accuracy / r->pairs);
        json_key_number(&line, "rewards/margins", (r->reward_chosen - r->reward_rejected) / r->pairs);
        json_key_number(&line, "logps/chosen", r->logp_chosen / r->pairs);
        json_key_number(&line, "logps/rejected", r->logp_rejected / r->pairs);
    }
    size_t before = line.n;
    if (evaluate) loop->evaluate(loop->self, loop, &line);
    double left = seconds * (double)(loop->steps - step - 1) / loop->s->logging_steps;
    fprintf(stderr, "step %ld/%ld  loss %.4f  %.0f tokens/s  %.0f%% of peak  %.0f s left%s%.*s\n", step + 1, loop->steps, r->loss,
            seconds > 0 ? tokens / seconds : 0, seconds > 0 ? 100 * flops / seconds / run->peak_flops : 0, left,
            line.n > before ? "  " : "", (int)(line.n > before ? line.n - before - 1 : 0), line.s + before + 1);
    buf_puts(&line, "}\n");
    fwrite(line.s, 1, line.n, run->log);
    fflush(run->log);
    buf_free(&line);
}

/* Runs the steps that are left. False when training diverged (status 5), saving failed, or a signal came (after saving). */
static bool loop_run(Loop *loop, Error *err) {
    const Settings *s = loop->s;
    Model *m = loop->model;
    double since = seconds_now(), tokens = 0, flops = 0, loss_sum = 0;
    int count = 0;
    for (long step = loop->state.optimizer->step + loop->state.skipped; step < loop->steps; step++) {
        StepReport r = {.ess = NAN, .weight_clean = NAN, .weight_corrupted = NAN};
        double lr = learning_rate(s, step, loop->steps), norm = 0;
        memset(loop->grad, 0, m->parameters * sizeof(real));
        bool dumped = loop->dump && step + 1 == loop->steps;
        if (dumped) dump_begin(loop->dump, m);
        bool learned = loop->gradient(loop->self, loop, step, &r);
        if (learned) {
            norm = gradient_norm(m, loop->grad);
            if (!isfinite(norm) || !isfinite(r.loss))
                return error_set(err, STATUS_DIVERGED,
                                 "training diverged at step %ld (loss %g, gradient norm %g): lower --learning-rate", step + 1,
                                 r.loss, norm);
            optimizer_step(loop->state.optimizer, m, loop->grad,
                           s->max_grad_norm > 0 && norm > s->max_grad_norm ? s->max_grad_norm / norm : 1, lr);
        } else
            loop->state.skipped++;
        if (dumped && !learned)
            return error_set(err, STATUS_FAILED, "--dump-state: step %ld was skipped, all its weights are 0", step + 1);
        if (dumped && !dump_write(loop->dump, m, loop->grad, loop->state.optimizer, r.loss, lr, norm, err)) return false;
        tokens += r.tokens;
        flops += r.flops;
        loop->flops += r.flops;
        loss_sum += r.loss;
        count += learned;
        if (loop->run && ((step + 1) % s->logging_steps == 0 || step + 1 == loop->steps)) {
            r.loss = loop->loss = count ? loss_sum / count : 0;
            loop_log(loop, step, &r, lr, norm, seconds_now() - since, tokens, flops);
            loop->run->train_tokens += tokens;
            since = seconds_now();
            tokens = flops = loss_sum = count = 0;
        }
        bool stop = run_stop_signal() != 0;
        if (loop->state.folder && (stop || (s->save_steps > 0 && (step + 1) % s->save_steps == 0 && step + 1 < loop->steps)) &&
            !run_state_save(&loop->state, s->out, err))
            return false;
        if (stop) {
            if (loop->state.folder)
                error_set(err, 128 + run_stop_signal(), "stopped by a signal after step %ld; saved; go on with: ica %s --resume %s",
                          step + 1, s->command, s->out);
            else error_set(err, 128 + run_stop_signal(), "stopped by a signal; nothing was changed");
            return false;
        }
    }
    return true;
}

static Loop loop_new(Model *m, const Settings *s, Run *run, const Folder *folder, long steps, void *self) {
    Optimizer *optimizer = optimizer_new(m, s->adam_beta1, s->adam_beta2, s->weight_decay);
    Workspace *ws = workspace_new();
    workspace_recompute(ws, s->recompute);
    return (Loop){.model = m, .ws = ws, .state = {.folder = folder, .optimizer = optimizer},
                  .grad = mem_new(m->parameters, sizeof(real)), .s = s, .run = run, .steps = steps, .self = self};
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
    ica_evaluate(m, ws, data, holdout, k, logp ? logp : own, hits, NULL);
    Metrics x = metrics_of(data, logp ? logp : own, hits);
    free(own);
    free(hits);
    return x;
}

static PairLogps pair_logps(const Example *e, double chosen, double rejected, double *const reference[2], int i) {
    return (PairLogps){.chosen = chosen, .rejected = rejected, .chosen_reference = reference[0] ? reference[0][i] : 0,
                       .rejected_reference = reference[1] ? reference[1][i] : 0, .chosen_tokens = e->answer_n,
                       .rejected_tokens = e->rejected_n};
}

PairMetrics evaluate_pairs(const Model *m, Workspace *ws, const Examples *data, const Settings *s,
                                  double *const reference[2], double *logp) {
    PairMetrics x = {0};
    PairOptions o = settings_pair(s);
    int n = data->count;
    double *chosen = mem_new((size_t)n, sizeof *chosen), *rejected = mem_new((size_t)n, sizeof *rejected);
    ica_pair_logps(m, ws, data, chosen, rejected, NULL);
    for (int i = 0; i < n; i++) {
        PairLogps p = pair_logps(&data->items[i], chosen[i], rejected[i], reference, i);
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
    Material material;   /* --holdout and --eval: the progress meter */
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
static void add_session(Pretraining *p, const Folder *f, const Settings *s, const Record *r, int longest) {
    int from = p->token.n;
    ints_append(&p->token, f->bos, f->bos_n);
    put_weight(p, s->prompt_loss_weight, f->bos_n);
    for (int t = 0; t < r->n_turns && p->token.n - from < longest; t++) {
        int before = p->token.n;
        template_prompt(&f->form, f->tokenizer, r->turns[t].prompt, &p->token);
        put_weight(p, s->prompt_loss_weight, p->token.n - before);
        before = p->token.n;
        template_answer(&f->form, f->tokenizer, r->turns[t].completion, &p->token);
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

static bool pretraining_rows(Pretraining *p, const Folder *f, const Settings *s, Error *err) {
    IntBuf stream = {0};
    int longest = f->model->config.context + 1;
    ints_put(&p->start, 0);
    for (int i = 0; i < s->data.count && err->status == 0; i++) {
        Dataset d;
        if (!dataset_load(&d, s->data.values[i], err)) break;
        for (int j = 0; j < d.count && err->status == 0; j++) {
            const Record *r = &d.records[j];
            if (r->kind == RECORD_PAIR)
                error_set(err, STATUS_DATA, "%s:%ld: a preference pair cannot be pretrained on", d.path, r->line);
            else if (r->kind == RECORD_TURNS) add_session(p, f, s, r, longest);
            else if (r->kind == RECORD_TEXT) {
                Str nothing = {"", 0};
                tokenizer_encode(f->tokenizer, r->text.s, r->text.n, &stream);
                template_answer(&f->form, f->tokenizer, nothing, &stream);
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
    model_forward_backward(loop->model, loop->ws, &p->rows, dlogp, logp, loop->grad);
    for (int r = 0; r < rows; r++) report->loss -= logp[r] / total;
    report->tokens = p->rows.tokens;
    report->flops = 3 * model_flops(loop->model, report->tokens, report->tokens / rows, report->tokens);
    free(dlogp);
    free(logp);
    return true;
}

/* The cheap progress meter of in-context learning: the answer's probability with k demonstrations. */
static void pretraining_evaluate(void *self, Loop *loop, Buf *line) {
    Pretraining *p = self;
    Examples some = p->material.eval.examples;
    if (some.count > 100) some.count = 100;
    Metrics x = evaluate_answers(loop->model, loop->ws, &some, &p->material.holdout.examples,
                         p->material.holdout.examples.count ? loop->s->k : 0, NULL);
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
    material_free(&p->material);
}

/* A new model for --tokenizer, or --model to go on from, or the run to resume. */
static bool pretrain_folder(Folder *f, const Settings *s, Error *err) {
    *f = (Folder){0};
    if (s->resume || s->model) return folder_load(f, s->resume ? s->resume : s->model, err);
    if (!s->tokenizer)
        return error_set(err, STATUS_USAGE, "pretrain: give --tokenizer DIR for a new model, or --model DIR to go on from one");
    if (!folder_load_tokenizer(f, s->tokenizer, err)) return false;
    ModelConfig shape = {s->layers, s->heads, s->channels, s->context, tokenizer_size(f->tokenizer)};
    f->model = model_new(shape, err);
    if (f->model) model_initialize(f->model, (uint64_t)s->seed);
    else folder_free(f);
    return f->model != NULL;
}

bool command_pretrain(const Settings *s, Error *err) {
    Folder f;
    Run run = {0};
    Pretraining p = {0};
    if (!settings_check_out(s, err) || !pretrain_folder(&f, s, err)) return false;
    MaterialFiles files = settings_files(s);
    if (!f.tokenizer) error_set(err, STATUS_DATA, "%s: pretraining needs a vocabulary (vocab.json, merges.txt)", s->model);
    if (err->status == 0 && pretraining_rows(&p, &f, s, err) && material_read(&p.material, &f, &files, err)) {
        int batches = p.batch.n - 1;
        p.shuffle |= s->shuffle;
        long steps = s->max_steps > 0 ? s->max_steps : (long)ceil(s->num_train_epochs * batches);
        Loop loop = loop_new(f.model, s, &run, &f, steps, &p);
        loop.gradient = pretraining_gradient;
        if (s->eval) loop.evaluate = pretraining_evaluate;
        bool begin = !s->resume || run_state_load(&loop.state, s->resume, err);
        if (begin && s->resume && loop.state.optimizer->step + loop.state.skipped >= steps) {
            fprintf(stderr, "%s: the run is complete, nothing is left to do\n", s->resume);
            begin = false; /* no error: only nothing to begin */
        }
        if (begin && run_begin(&run, s, s->resume != NULL, err)) {
            fprintf(stderr, "%zu parameters, %d rows, %d tokens an epoch, %ld steps, %d threads\n", f.model->parameters,
                    p.start.n - 1, p.token.n, steps, machine_threads());
            double start = seconds_now();
            bool ok = loop_run(&loop, err) && run_state_save(&loop.state, s->out, err);
            run.train_seconds = seconds_now() - start;
            json_key_number(&run.result, "steps", (double)loop.steps);
            json_key_number(&run.result, "loss", loop.loss);
            json_key_number(&run.result, "ess", NAN);
            json_key_number(&run.result, "skipped_steps", loop.state.skipped);
            json_key_number(&run.result, "activation_bytes", (double)workspace_bytes(loop.ws));
            Error unsaid = {0}; /* after a failure the first error is the one to tell */
            run_end(&run, ok ? err : &unsaid);
        }
        loop_free(&loop);
    }
    pretraining_free(&p);
    folder_free(&f);
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
    const Dataset *records;    /* the pool's, for known truth in the log; NULL: none */
    const char *method;        /* NULL: fixed weights; else scores are computed at the refresh steps */
    Model *reference;          /* RHO's */
    Objective objective;
    PairOptions pair;
    /* DPO: log-likelihoods by the starting model, chosen and rejected, of pool, holdout and test; else NULL */
    double *pool_reference[2], *holdout_reference[2], *eval_reference[2];
    double *score, *weight;    /* [pool->count] */
    double *used;              /* [pool->count] the weight that each record had last, in its batch; NULL: not asked for */
    Scores scores;             /* the last ones */
    IntBuf order;              /* the records of this epoch */
    long epoch;
    Batch rows;
    Run *run;
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
                          .reduce = (Reduce)choice(s->reduce, REDUCE_NAMES),
                          .anchors = (Anchors)choice(s->anchors, ANCHOR_NAMES),
                          .num_anchors = s->num_anchors,
                          .leak = s->allow_overlap,
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
    ica_score(loop->model, t->reference, loop->ws, t->pool, t->holdout, &how, &t->scores);
    memcpy(t->score, t->scores.score, (size_t)t->pool->count * sizeof *t->score);
    weights_from_scores(loop->s, t->score, t->pool->count, t->weight);
    if (t->used) memcpy(t->used, t->weight, (size_t)t->pool->count * sizeof *t->used);
    if (t->run) {
        t->run->score_seconds += seconds_now() - start;
        t->run->score_tokens += t->scores.cost.forward;
        t->run->score_flops += t->scores.cost.flops;
    }
}

/* One pair's loss and the derivatives by its two rows, times its coefficient. */
static void tune_pair(const Tuning *t, int record, double coefficient, const double logp[2], double dlogp[2], StepReport *report) {
    const Example *e = &t->pool->items[record];
    PairLogps p = pair_logps(e, logp[0], logp[1], t->pool_reference, record);
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
        model_backward(loop->model, loop->ws, &t->rows, dlogp, loop->grad);
    } else { /* linear: the derivative does not need logp */
        for (int i = 0; i < n; i++) {
            objective_sft(0, t->pool->items[record[from + i]].answer_n, &dlogp[i]);
            dlogp[i] *= coefficient[from + i];
        }
        model_forward_backward(loop->model, loop->ws, &t->rows, dlogp, logp, loop->grad);
        for (int i = 0; i < n; i++)
            report->loss += coefficient[from + i] * objective_sft(logp[i], t->pool->items[record[from + i]].answer_n, &unused);
    }
    if (loop->dump) dump_rows(loop->dump, from, n, logp);
    double scored = 0;
    for (int i = from; i < to; i++)
        scored += t->pool->items[record[i]].answer_n + (pairs ? t->pool->items[record[i]].rejected_n : 0);
    report->flops += 3 * model_flops(loop->model, t->rows.tokens, (double)t->rows.tokens / t->rows.rows, scored);
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
        tokens += t->pool->bos_n + z->prompt_n + z->answer_n + (z->rejected ? t->pool->bos_n + z->prompt_n + z->rejected_n : 0);
        if (tokens > TOKENS && to > from) break;
    }
    return to;
}

static void report_weights(const Tuning *t, const int *record, const double *weight, int n, StepReport *report) {
    double sum[2] = {0};
    int count[2] = {0};
    report->ess = effective_sample_size(weight, n);
    for (int i = 0; t->records && i < n; i++) {
        int clean = t->records->records[record[i]].clean;
        if (clean < 0) continue;
        sum[clean] += weight[i];
        count[clean]++;
    }
    if (count[1]) report->weight_clean = sum[1] / count[1];
    if (count[0]) report->weight_corrupted = sum[0] / count[0];
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
    if (t->method && strcmp(s->weight_map, "minmax-batch") == 0) {
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
    double start = seconds_now();
    if (t->objective == OBJECTIVE_SFT)
        json_key_number(line, "eval_nll", evaluate_answers(loop->model, loop->ws, t->eval, NULL, 0, NULL).nll);
    else json_key_number(line, "eval_loss", evaluate_pairs(loop->model, loop->ws, t->eval, loop->s, t->eval_reference, NULL).loss);
    t->run->eval_seconds += seconds_now() - start;
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
    }
    free(t->score);
    free(t->weight);
    free(t->used);
}

/* The starting model's log-likelihoods, once: no second model stays in memory. Kept with the run's state. */
static void tuning_references(Tuning *t, Loop *loop, bool holdout, bool compute) {
    static const char *const names[3][2] = {{"reference.pool.chosen", "reference.pool.rejected"},
                                            {"reference.holdout.chosen", "reference.holdout.rejected"},
                                            {"reference.eval.chosen", "reference.eval.rejected"}};
    const Examples *data[3] = {t->pool, t->holdout, t->eval};
    double **slots[3] = {t->pool_reference, t->holdout_reference, t->eval_reference};
    for (int i = 0; i < 3; i++) {
        if (data[i]->count == 0 || (i == 1 && !holdout)) continue;
        for (int a = 0; a < 2; a++) {
            slots[i][a] = mem_new((size_t)data[i]->count, sizeof(double));
            run_state_keep(&loop->state, names[i][a], slots[i][a], data[i]->count);
        }
        if (compute) ica_pair_logps(loop->model, loop->ws, data[i], slots[i][0], slots[i][1], &t->scores.cost);
    }
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
    Loop loop = loop_new(reference, &own, NULL, NULL, s->reference_steps, &t);
    loop.gradient = tuning_gradient;
    bool ok = loop_run(&loop, err);
    run->reference_flops += loop.flops;
    run->reference_seconds += seconds_now() - start;
    loop_free(&loop);
    tuning_free(&t);
    if (ok) return reference;
    model_free(reference);
    return NULL;
}

/* ---- scores: diagnostics ---- */

static double weight_length_correlation(const Examples *pool, const double *weight) {
    double *length = mem_new((size_t)pool->count, sizeof *length);
    for (int i = 0; i < pool->count; i++) length[i] = pool->items[i].answer_n;
    double r = correlation(weight, length, pool->count);
    free(length);
    return r;
}

static bool needs_holdout(const char *method) { return strcmp(method, "loss") != 0 && strcmp(method, "random") != 0; }

static bool check_holdout(const Settings *s, const char *method, const Loaded *holdout, Error *err) {
    if (!needs_holdout(method)) return true;
    if (!s->holdout)
        return error_set(err, STATUS_USAGE, "%s: the method %s needs --holdout FILE, a few trusted examples", s->command,
                         method);
    if (s->k > holdout->data.count)
        return error_set(err, STATUS_DATA, "%s: has %d records and --k asks for %d demonstrations: lower --k", s->holdout,
                         holdout->data.count, s->k);
    return true;
}

/* Spearman's correlation of both pair scores, E7a and E7b: by how much the run's results would depend on the choice. */
static double pair_score_agreement(const Settings *s, const Examples *pool, const Scores *scores, double *const reference[2]) {
    int n = pool->count;
    PairOptions o = settings_pair(s);
    double *margin = mem_new((size_t)n, sizeof *margin), *loss = mem_new((size_t)n, sizeof *loss);
    for (int i = 0; i < n; i++) {
        PairLogps p = pair_logps(&pool->items[i], scores->logp[i], scores->logp_rejected[i], reference, i);
        PairLogps in = pair_logps(&pool->items[i], scores->logp_in_context[i], scores->logp_rejected_in_context[i], reference, i);
        margin[i] = (in.chosen - in.rejected) - (p.chosen - p.rejected);
        loss[i] = objective_pair(settings_objective(s), &o, &p, NULL) - objective_pair(settings_objective(s), &o, &in, NULL);
    }
    double r = rank_correlation(margin, loss, n);
    free(margin);
    free(loss);
    return r;
}

/* The scores' own part of a result: AUROC, effective sample size, correlation with length, dropped demonstrations. */
static void put_score_result(Buf *b, const Settings *s, const Loaded *pool, const Scores *scores, const double *weight,
                             double *const reference[2]) {
    if (settings_objective(s) != OBJECTIVE_SFT && scores->count && isfinite(scores->logp_rejected[0]) &&
        isfinite(scores->logp_rejected_in_context[0]))
        json_key_number(b, "margin_loss_rank_correlation", pair_score_agreement(s, &pool->examples, scores, reference));
    scores_put_auroc(b, &pool->data, scores->score);
    json_key_number(b, "ess", effective_sample_size(weight, pool->examples.count));
    json_key_number(b, "weight_length_correlation", weight_length_correlation(&pool->examples, weight));
    json_key_number(b, "dropped_demos", scores->dropped);
}

/* `score` looks at DPO's start: the reference is the model itself. */
static void score_references(Tuning *t, const Model *m, Workspace *ws, bool holdout) {
    const Examples *data[2] = {t->pool, t->holdout};
    double **slots[2] = {t->pool_reference, t->holdout_reference};
    for (int i = 0; i < 1 + holdout; i++) {
        for (int a = 0; a < 2; a++) slots[i][a] = mem_new((size_t)data[i]->count, sizeof(double));
        ica_pair_logps(m, ws, data[i], slots[i][0], slots[i][1], NULL);
    }
}

bool command_score(const Settings *s, Error *err) {
    Folder f;
    Material x;
    MaterialFiles files = settings_files(s);
    files.pairs = settings_objective(s) != OBJECTIVE_SFT;
    files.holdout_pairs = files.pairs && strcmp(s->method, "gradient") == 0;
    if (!settings_check_out(s, err)) return false;
    if (!folder_load(&f, s->model, err)) return false;
    if (!material_read(&x, &f, &files, err)) {
        folder_free(&f);
        return false;
    }
    Scores scores = {0};
    Workspace *ws = workspace_new();
    Tuning t = {.pool = &x.pool.examples, .holdout = &x.holdout.examples, .objective = settings_objective(s)};
    Model *reference = NULL;
    Run run = {0};
    double start = seconds_now(), *weight = mem_new((size_t)x.pool.examples.count, sizeof *weight);
    bool ok = check_holdout(s, s->method, &x.holdout, err);
    if (ok && strcmp(s->method, "rho") == 0) {
        reference = train_reference(f.model, s, &x.holdout.examples, &run, err);
        ok = reference != NULL;
    }
    if (ok) {
        if (t.objective == OBJECTIVE_DPO) score_references(&t, f.model, ws, strcmp(s->method, "gradient") == 0);
        ScoreOptions how = score_options(s, s->method, 0, &t);
        ica_score(f.model, reference, ws, &x.pool.examples, &x.holdout.examples, &how, &scores);
        weights_from_scores(s, scores.score, scores.count, weight);
        if (scores_write(s->out, &x.pool, &x.holdout, &scores, weight, err)) {
            Buf b = {0};
            buf_puts(&b, "{\"command\":\"score\"");
            json_key_string(&b, "method", s->method);
            buf_puts(&b, ",\"group\":");
            settings_put_group(&b, s);
            buf_printf(&b, ",\"draw\":\"%d\"", s->draw);
            json_key_string(&b, "objective", s->objective);
            json_key_string(&b, "pool", s->pool);
            json_key_string(&b, "holdout", s->holdout);
            json_key_string(&b, "scores", s->out);
            put_score_result(&b, s, &x.pool, &scores, weight, t.pool_reference);
            json_key_number(&b, "seconds", seconds_now() - start);
            json_key_number(&b, "reference_seconds", run.reference_seconds);
            json_key_number(&b, "flops", scores.cost.flops + run.reference_flops);
            json_key_number(&b, "forward_tokens", scores.cost.forward);
            json_key_number(&b, "records", scores.count);
            json_key_number(&b, "clean", scores_known_clean(&x.pool.data));
            buf_puts(&b, "}\n");
            settings_print(s, &b);
            if (scores.dropped)
                fprintf(stderr, "%d demonstrations did not fit the context and were dropped, farthest first\n", scores.dropped);
            buf_free(&b);
        }
    }
    free(weight);
    tuning_free(&t);
    model_free(reference);
    scores_free(&scores);
    workspace_free(ws);
    material_free(&x);
    folder_free(&f);
    return err->status == 0;
}

/* ---- train ---- */

/* Sets fixed weights, or the method whose scores become weights. */
static bool tuning_weights(Tuning *t, const Settings *s, const Material *x, Error *err) {
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
    if (strncmp(w, "file:", 5) == 0) return scores_read_weights(w + 5, d, t->weight, err);
    if (strcmp(w, "uniform") == 0 || strcmp(w, "oracle") == 0 || strcmp(w, "records") == 0) return true;
    if (!is_method(w))
        return error_set(err, STATUS_USAGE,
                         "train: --weights %s: choose uniform, oracle, records, file:PATH, or a method: ica, rho, oneshot, "
                         "nuggets, gradient, incontext, loss, random",
                         w);
    t->method = w;
    return check_holdout(s, w, &x->holdout, err);
}

static long tuning_steps(const Settings *s, int records) {
    if (s->max_steps > 0) return s->max_steps;
    long steps = (long)ceil(s->num_train_epochs * records / s->batch_size);
    return steps > 0 ? steps : 1;
}

/* Writes scores.jsonl if scores were computed; a run that goes on behind a break keeps the file of its first part. */
static bool keep_scores(const Tuning *t, const Settings *s, const Material *x, Error *err) {
    if (!t->method || t->scores.count == 0) return true;
    char *path = path_join(s->out, "scores.jsonl");
    bool ok = scores_write(path, &x->pool, &x->holdout, &t->scores, t->weight, err);
    free(path);
    return ok;
}

/* After the last step: save, evaluate, write scores.jsonl, metrics.json; fills the run's result. */
static bool tuning_finish(Tuning *t, Loop *loop, Run *run, const Material *x, Error *err) {
    const Settings *s = loop->s;
    int n = x->pool.examples.count;
    if (!run_state_save(&loop->state, s->out, err) || !keep_scores(t, s, x, err)) return false;
    json_key_number(&run->result, "steps", (double)loop->steps);
    json_key_number(&run->result, "train_loss", loop->loss);
    if (t->method && t->scores.count) put_score_result(&run->result, s, &x->pool, &t->scores, t->used, t->pool_reference);
    else {
        if (t->method) scores_put_auroc(&run->result, &x->pool.data, t->score);
        json_key_number(&run->result, "ess", effective_sample_size(t->method ? t->used : t->weight, n));
    }
    json_key_number(&run->result, "skipped_steps", loop->state.skipped);
    json_key_number(&run->result, "activation_bytes", (double)workspace_bytes(loop->ws));
    if (loop->state.skipped) fprintf(stderr, "%d steps were skipped: all weights of the batch were 0\n", loop->state.skipped);
    if (!s->eval) return true;
    double start = seconds_now();
    Buf members = {0};
    if (t->objective == OBJECTIVE_SFT) {
        Metrics metrics = evaluate_answers(loop->model, loop->ws, &x->eval.examples, NULL, 0, NULL);
        evaluate_put(&members, &metrics);
    } else {
        PairMetrics metrics = evaluate_pairs(loop->model, loop->ws, &x->eval.examples, s, t->eval_reference, NULL);
        evaluate_put_pairs(&members, &metrics);
    }
    run->eval_seconds += seconds_now() - start;
    buf_printf(&run->result, ",%s", members.s);
    bool ok = write_metrics(s, &members, x->eval.examples.count, err);
    buf_free(&members);
    return ok;
}

static void print_train_result(const Settings *s, const Run *run) {
    Buf b = {0};
    buf_printf(&b, "{%.*s}\n", (int)run->result.n, run->result.s);
    settings_print(s, &b);
    buf_free(&b);
}

/* RHO's reference: trained from the weights that the run starts with, and kept in RUN/reference; a resumed run takes it there. */
static Model *reference_of(const Folder *f, const Settings *s, const Examples *holdout, Run *run, Error *err) {
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
static void put_overhead(Run *run, const Loop *loop, int pool) {
    const Settings *s = loop->s;
    double scored = (double)pool * s->refresh, trained = (double)loop->steps * s->batch_size;
    if (run->score_flops <= 0 || loop->flops <= 0 || run->train_seconds <= 0) return;
    double r = run->score_flops / scored / (loop->flops / trained);
    double formula = pool * r / ((double)loop->steps / s->refresh * s->batch_size);
    json_key_number(&run->result, "relative_cost", r);
    json_key_number(&run->result, "overhead_formula", formula);
    json_key_number(&run->result, "overhead_measured", run->score_seconds / run->train_seconds);
    fprintf(stderr, "scoring: %.1f%% of the training time, by operations n r / (P B) = %.1f%% with r = %.2f\n",
            100 * run->score_seconds / run->train_seconds, 100 * formula, r);
}

bool command_train(const Settings *s, Error *err) {
    Folder f;
    Material x;
    MaterialFiles files = settings_files(s);
    files.pairs = settings_objective(s) != OBJECTIVE_SFT;
    files.holdout_pairs = files.pairs && strcmp(s->weights, "gradient") == 0;
    Run run = {0};
    if (!settings_check_out(s, err)) return false;
    if (!folder_load(&f, s->resume ? s->resume : s->model, err)) return false;
    if (!material_read(&x, &f, &files, err)) {
        folder_free(&f);
        return false;
    }
    int n = x.pool.examples.count;
    Tuning t = {.pool = &x.pool.examples,
                .holdout = &x.holdout.examples,
                .eval = &x.eval.examples,
                .records = &x.pool.data,
                .run = &run,
                .objective = settings_objective(s),
                .pair = settings_pair(s),
                .score = mem_new((size_t)n, sizeof(double)),
                .weight = mem_new((size_t)n, sizeof(double)),
                .used = mem_new((size_t)n, sizeof(double))};
    Loop loop = loop_new(f.model, s, &run, &f, tuning_steps(s, n), &t);
    loop.gradient = tuning_gradient;
    if (s->dump_state) loop.dump = dump_new(s->dump_state, &x.pool, files.pairs, s->batch_size);
    if (s->eval) loop.evaluate = tuning_evaluate;
    bool ok = tuning_weights(&t, s, &x, err);
    double print[2] = {run_fingerprint(&x.pool), run_fingerprint(&x.holdout)};
    run_state_keep(&loop.state, "fingerprints", print, 2);
    if (ok && t.method) {
        run_state_keep(&loop.state, "scores", t.score, n);
        run_state_keep(&loop.state, "weights", t.used, n);
    }
    if (ok && t.objective == OBJECTIVE_DPO) tuning_references(&t, &loop, t.method && strcmp(t.method, "gradient") == 0, !s->resume);
    if (ok && s->resume) {
        ok = run_state_load(&loop.state, s->resume, err);
        if (ok && (print[0] != run_fingerprint(&x.pool) || print[1] != run_fingerprint(&x.holdout)))
            ok = error_set(err, STATUS_DATA,
                           "%s: pool or holdout changed since the run began: a resumed run needs the same data", s->resume);
        if (ok && t.method) weights_from_scores(s, t.score, n, t.weight);
    }
    if (ok && loop.state.optimizer->step + loop.state.skipped >= loop.steps) {
        fprintf(stderr, "%s: the run is complete, nothing is left to do\n", s->resume);
        ok = false; /* no error: only nothing to begin */
    }
    if (ok && t.objective != OBJECTIVE_SFT) tell_equal_answers(t.pool);
    if (ok && run_begin(&run, s, s->resume != NULL, err)) {
        if (t.method && strcmp(t.method, "rho") == 0) t.reference = reference_of(&f, s, t.holdout, &run, err);
        double start = seconds_now();
        ok = err->status == 0 && loop_run(&loop, err);
        run.train_seconds = seconds_now() - start - run.score_seconds - run.eval_seconds;
        run.train_flops = loop.flops;
        if (ok && t.method && !s->resume) put_overhead(&run, &loop, n);
        ok = ok && tuning_finish(&t, &loop, &run, &x, err);
        if (ok) print_train_result(s, &run);
        Error unsaid = {0};
        if (!ok) keep_scores(&t, s, &x, &unsaid);
        run_end(&run, ok ? err : &unsaid);
    }
    loop_free(&loop);
    tuning_free(&t);
    material_free(&x);
    folder_free(&f);
    return err->status == 0;
}
