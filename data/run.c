/* The run folder: run.json, log.jsonl, metrics.json and the training state. */
#include "data/adapter.h"
#include "data/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/depends.h"
#include "lib/file.h"
#include "lib/gemm.h"
#include "lib/json.h"
#include "lib/stats.h"
#include "lib/tensorboard.h"
#include "lib/tensors.h"
#include "lib/text.h"
#include "lib/threads.h"

/* ---- lines of the log ---- */

/* Every member of LogLine with its key, in the order of the file. */
static const struct {
    const char *key;
    size_t at;
} LOG[] = {{"step", offsetof(LogLine, step)},
           {"loss", offsetof(LogLine, loss)},
           {"learning_rate", offsetof(LogLine, learning_rate)},
           {"grad_norm", offsetof(LogLine, grad_norm)},
           {"tokens_per_second", offsetof(LogLine, tokens_per_second)},
           {"seconds", offsetof(LogLine, seconds)},
           {"ess", offsetof(LogLine, ess)},
           {"weight_clean", offsetof(LogLine, weight_clean)},
           {"weight_corrupted", offsetof(LogLine, weight_corrupted)},
           {"rewards/chosen", offsetof(LogLine, reward_chosen)},
           {"rewards/rejected", offsetof(LogLine, reward_rejected)},
           {"rewards/accuracies", offsetof(LogLine, reward_accuracy)},
           {"rewards/margins", offsetof(LogLine, reward_margin)},
           {"logps/chosen", offsetof(LogLine, logp_chosen)},
           {"logps/rejected", offsetof(LogLine, logp_rejected)},
           {"icl_p_sequence", offsetof(LogLine, icl_p_sequence)},
           {"icl_nll", offsetof(LogLine, icl_nll)},
           {"eval_nll", offsetof(LogLine, eval_nll)},
           {"eval_loss", offsetof(LogLine, eval_loss)},
           {"validation_nll", offsetof(LogLine, validation_nll)},
           {"validation_loss", offsetof(LogLine, validation_loss)}};
_Static_assert(sizeof LOG / sizeof *LOG == LOG_MEMBERS, "a key for each member of LogLine");

const char *log_key(int i) { return LOG[i].key; }

double log_value(const LogLine *line, int i) {
    return *(const double *)(const void *)((const char *)line + LOG[i].at);
}

LogLine log_line_read(const Json *object) {
    LogLine line;
    for (int i = 0; i < LOG_MEMBERS; i++) {
        double x = json_number(object, LOG[i].key);
        memcpy((char *)&line + LOG[i].at, &x, sizeof x);
    }
    return line;
}

/* ---- the run folder ---- */

#define STATE_NAME "training_state.safetensors"
#define EVENTS_NAME "events.out.tfevents.ica"
#define PREVIOUS_NAME "training_state.previous.safetensors"

Run run_new(const RunHeader *header, const ModelFolder *model) {
    return (Run){.header = *header, .model = model, .start = seconds_now()};
}

void run_free(Run *run) {
    log_close(&run->log);
    log_close(&run->events);
    sample_free(&run->sample);
    buf_free(&run->inputs);
    buf_free(&run->base);
    buf_free(&run->before);
    buf_free(&run->result);
    buf_free(&run->data);
    buf_free(&run->opening);
    buf_free(&run->depends);
}

void run_input(Run *run, const char *path, uint64_t fingerprint) {
    if (!path) return;
    buf_puts(&run->inputs, run->inputs.n ? ",{" : "{");
    json_key_string(&run->inputs, "path", path);
    buf_printf(&run->inputs, ",\"fingerprint\":\"%016llx\"}", (unsigned long long)fingerprint);
}

const Json *run_json(const char *folder, Arena *arena, Error *err) {
    enum { MOST = 4 << 20 };
    Buf text = {0};
    JsonError where = {.what = "it must have arguments, a command and a result"};
    char *path = path_join(folder, "run.json");
    bool read = file_read_most(path, MOST, &text, err);
    const Json *root = read ? json_parse(arena, text.s, text.n, &where) : NULL;
    const Json *arguments = json_get(root, "arguments"), *command = json_get(root, "command"),
               *result = json_get(root, "result");
    bool whole = arguments && arguments->type == JSON_ARRAY && command &&
                 command->type == JSON_STRING && result && result->type == JSON_OBJECT;
    if (read && !whole)
        error_set(err, STATUS_DATA,
                  "%s: damaged, or not the run.json of a run: %s; put a copy of it back, or begin "
                  "the run anew in another folder; its model and its log are not touched",
                  path, where.what);
    free(path);
    buf_free(&text);
    return whole ? root : NULL;
}

/* Appends the members of an object of a run.json, if it has this object. */
static void put_kept(const Json *root, const char *name, Buf *b) {
    const Json *object = json_get(root, name);
    for (int i = 0; object && object->type == JSON_OBJECT && i < object->count; i++) {
        buf_puts(b, i ? "," : "");
        json_put_string(b, object->keys[i]);
        buf_puts(b, ":");
        json_put_value(b, &object->items[i]);
    }
}

bool run_base(Run *run, const char *folder, const Model *m, Error *err) {
    run->base.n = run->before.n = 0;
    if (run->header.resume) {
        Arena arena = {0};
        const Json *root = run_json(run->header.resume, &arena, err);
        put_kept(root, "base", &run->base);
        put_kept(root, "before", &run->before);
        arena_free(&arena);
        return root != NULL;
    }
    if (folder) {
        const Model *whole = m->base ? m->base : m;
        size_t reals = whole->parameters - whole->halves;
        uint64_t print = hash64(whole->w, reals * sizeof *whole->w, HASH_START);
        print = hash64(whole->half, whole->halves * sizeof *whole->half, print);
        if (m->base && adapter_is(folder)) /* new adapters change nothing */
            print = hash64(m->w, m->parameters * sizeof *m->w, print);
        json_key_string(&run->base, "path", folder);
        buf_printf(&run->base, ",\"fingerprint\":\"%016llx\"", (unsigned long long)print);
    }
    return true;
}

void run_before(Run *run, const char *name, double loss) {
    if (!isnan(loss) && !run->header.resume) json_key_number(&run->before, name, loss);
}

double run_was_before(const Run *run, const char *name) {
    Arena arena = {0};
    Buf b = {0};
    buf_printf(&b, "{%s}", run->before.n ? run->before.s : "");
    double loss = json_number(json_parse(&arena, b.s, b.n, NULL), name);
    buf_free(&b);
    arena_free(&arena);
    return loss;
}

void run_data(Run *run, const DataSummary *file) {
    if (file->records == 0) return;
    run_input(run, file->path, file->fingerprint);
    buf_puts(&run->data, run->data.n ? ",{" : "{");
    summary_put(&run->data, file);
    buf_puts(&run->data, "}");
}

void run_inputs(Run *run, const Splits *x) {
    run_data(run, &x->pool.summary);
    run_data(run, &x->holdout.summary);
    run_data(run, &x->eval.summary);
}

void run_depends(Run *run, const char *name, const char *value) {
    depends_put(&run->depends, name, value);
}

void run_depends_file(Run *run, const char *name, uint64_t fingerprint) {
    depends_put_file(&run->depends, name, fingerprint);
}

#ifndef BUILD_FLAGS
#define BUILD_FLAGS "unknown"
#endif
#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* What was asked for, and of what: the same in each run.json of a run. */
static void put_header(Buf *b, const Run *run) {
    const RunHeader *h = &run->header;
    json_key_string(b, "version", ICA_VERSION);
    json_key_string(b, "command", h->command);
    json_key_string(b, "group", h->group);
    json_key_string(b, "arm", h->arm);
    json_key_string(b, "objective", h->objective);
    json_key_number(b, "seed", (double)h->seed);
    buf_printf(b, ",\n\"options\":%s", h->options);
    buf_puts(b, ",\n\"arguments\":[");
    for (int i = 0; i < h->argc; i++) {
        if (i) buf_putc(b, ',');
        json_put_string(b, str(h->argv[i]));
    }
    buf_printf(b, "],\n\"threads\":%d", threads_most());
    json_key_string(b, "compiler", COMPILER);
    json_key_string(b, "flags", BUILD_FLAGS);
    buf_printf(b, ",\"machine\":%s", h->machine);
    buf_printf(b, ",\n\"inputs\":[%.*s]", (int)run->inputs.n, run->inputs.s ? run->inputs.s : "");
    if (run->base.n) buf_printf(b, ",\n\"base\":{%.*s}", (int)run->base.n, run->base.s);
    if (run->before.n) buf_printf(b, ",\n\"before\":{%.*s}", (int)run->before.n, run->before.s);
    buf_printf(b, ",\n\"data\":[%s]", run->data.n ? run->data.s : "");
}

/* Written when the run begins, so that a killed one can be resumed, and again with its result at
 * the end. */
static bool run_write(const Run *run, Error *err) {
    const Spent *spent = &run->spent;
    Buf b = {0};
    buf_puts(&b, "{");
    put_header(&b, run);
    buf_printf(&b,
               ",\n\"seconds\":{\"score\":%.3f,\"reference\":%.3f,\"train\":%.3f,\"eval\":%.3f,"
               "\"total\":%.3f}",
               spent->score_seconds, spent->reference_seconds, spent->train_seconds,
               spent->eval_seconds, seconds_now() - run->start);
    buf_printf(&b, ",\"tokens\":{\"score_forward\":%.0f,\"train\":%.0f}", spent->score_tokens,
               spent->train_tokens);
    buf_printf(&b, ",\"flops\":{\"score\":%.4g,\"reference\":%.4g,\"train\":%.4g}",
               spent->score_flops, spent->reference_flops, spent->train_flops);
    buf_printf(&b, ",\n\"result\":{%.*s}}\n", (int)run->result.n,
               run->result.s ? run->result.s : "");
    char *path = path_join(run->header.folder, "run.json");
    bool ok = file_write(path, b.s, b.n, err);
    free(path);
    buf_free(&b);
    return ok;
}

/* Opens the log. A resumed run's is cut back to what the state knows of it. */
static bool open_log(Run *run, Error *err) {
    char *path = path_join(run->header.folder, "log.jsonl");
    int64_t known = run->header.resume ? run->log_bytes : 0;
    bool ok = log_open(&run->log, path, known, err);
    if (ok && run->log.bytes < known)
        fprintf(stderr, "%s: has %lld of the %lld bytes that the run logged: lines are missing\n",
                path, (long long)run->log.bytes, (long long)known);
    free(path);
    return ok;
}

/* The tag of a number: what TRL's users find on their pages. */
static void put_tag(Buf *b, const char *key) {
    static const char *const parts[] = {"eval_", "validation_", "icl_"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size_t n = strlen(parts[i]);
        if (strncmp(key, parts[i], n) != 0) continue;
        buf_printf(b, "%.*s/%s", (int)n - 1, key, key + n);
        return;
    }
    buf_printf(b, "train/%s", key);
}

/* Appends the events of a line. */
static bool put_events(Run *run, const LogLine *line, Error *err) {
    TensorboardScalar x[LOG_MEMBERS];
    Buf tags[LOG_MEMBERS] = {{0}}, b = {0};
    int n = 0;
    for (int i = 1; i < LOG_MEMBERS; i++) { /* the first is the step */
        if (isnan(log_value(line, i))) continue;
        put_tag(&tags[n], LOG[i].key);
        x[n] = (TensorboardScalar){tags[n].s, log_value(line, i)};
        n++;
    }
    double seconds = isnan(line->seconds) ? 0 : line->seconds;
    tensorboard_scalars(&b, run->wall + seconds, (int64_t)line->step, x, n);
    bool ok = log_put(&run->events, b.s, b.n, err);
    for (int i = 0; i < n; i++) buf_free(&tags[i]);
    buf_free(&b);
    return ok;
}

/* Begins the events anew with those of the lines that are in the log: a resumed run's log was cut
 * back, and what a kill left of the last event is no event. */
static bool open_events(Run *run, Error *err) {
    if (!run->header.tensorboard) return true;
    char *path = path_join(run->header.folder, EVENTS_NAME),
         *log = path_join(run->header.folder, "log.jsonl");
    Buf b = {0}, text = {0};
    Arena arena = {0};
    Str line;
    run->wall = (double)time(NULL) - (seconds_now() - run->start);
    tensorboard_begin(&b, run->wall);
    bool ok = log_open(&run->events, path, 0, err) && log_put(&run->events, b.s, b.n, err) &&
              file_read(log, &text, err);
    for (size_t at = 0; ok && text_line((Str){text.s, text.n}, &at, &line);) {
        const Json *object = json_parse(&arena, line.s, line.n, NULL);
        if (!object) continue;
        LogLine x = log_line_read(object);
        ok = isnan(x.step) || put_events(run, &x, err);
    }
    arena_free(&arena);
    buf_free(&text);
    buf_free(&b);
    free(path);
    free(log);
    return ok;
}

bool run_begin(Run *run, Error *err) {
    RunPlace *place = run->header.place;
    run->peak_flops = gemm_peak_flops() * threads_most();
    if (place && !place_begin(place, err)) return false;
    if (place) run->header.folder = place->writes;
    /* run.json comes first: it tells that the other files are a run's. */
    if (!folder_make(run->header.folder, err) || !run_write(run, err) || !open_log(run, err) ||
        !open_events(run, err))
        return false;
    if (run->opening.n > 0) fputs(run->opening.s, stderr);
    return true;
}

bool run_end(Run *run, Error *err) {
    if (!run->log.path) return true;
    log_close(&run->log);
    log_close(&run->events);
    return run_write(run, err);
}

bool run_has_result(const char *folder, Error *err) {
    Arena arena = {0};
    const Json *result = json_get(run_json(folder, &arena, err), "result");
    bool has = result && result->count > 0;
    arena_free(&arena);
    return has;
}

/* ---- the log ---- */

void step_report_add(StepReport *sum, const StepReport *r) {
    for (size_t i = 0; i < sizeof r->all / sizeof *r->all; i++) sum->all[i] += r->all[i];
}

void step_spend(const StepReport *r, double seconds, double scoring, LogWindow *window,
                Spent *spent, Tempo *tempo) {
    step_report_add(&window->sum, r);
    window->seconds += seconds;
    spent->train_seconds += seconds - scoring;
    spent->train_tokens += r->tokens;
    spent->train_flops += r->flops;
    spent->trained += r->trained;
    work_add(&tempo->steps, seconds - scoring);
    tempo->records += r->trained;
    if (scoring > 0) work_add(&tempo->scorings, scoring);
}

void step_report_weights(StepReport *r, const Dataset *d, const int *record, const double *weight,
                         int n) {
    r->weighted = 1;
    r->ess = effective_sample_size(weight, n);
    for (int i = 0; i < n && d->count > 0; i++) {
        int clean = d->records[record[i]].clean;
        if (clean < 0) continue; /* unknown */
        r->weight[clean] += weight[i];
        r->records[clean]++;
    }
}

void step_report_pair(StepReport *r, const PairLogps *p, const PairGradient *g, bool means) {
    r->pairs++;
    r->reward_chosen += g->reward_chosen;
    r->reward_rejected += g->reward_rejected;
    r->accuracy += g->reward_chosen > g->reward_rejected;
    r->logp_chosen += means ? p->chosen / p->chosen_tokens : p->chosen;
    r->logp_rejected += means ? p->rejected / p->rejected_tokens : p->rejected;
}

LogLine log_line(const LogWindow *w, long step) {
    const StepReport *r = &w->sum;
    double speed = w->seconds > 0 ? 1 / w->seconds : 0;
    LogLine x = {.step = (double)step,
                 .loss = r->steps > 0 ? r->loss / r->steps : 0,
                 .learning_rate = NAN,
                 .grad_norm = NAN,
                 .tokens_per_second = r->tokens * speed,
                 .seconds = NAN,
                 .ess = r->weighted > 0 ? r->ess / r->weighted : NAN,
                 .weight_clean = r->records[1] > 0 ? r->weight[1] / r->records[1] : NAN,
                 .weight_corrupted = r->records[0] > 0 ? r->weight[0] / r->records[0] : NAN,
                 .icl_p_sequence = NAN,
                 .icl_nll = NAN,
                 .eval_nll = NAN,
                 .eval_loss = NAN,
                 .validation_nll = NAN,
                 .validation_loss = NAN};
    /* Without pairs each of these is 0 / 0, which is NaN. */
    x.reward_chosen = r->reward_chosen / r->pairs;
    x.reward_rejected = r->reward_rejected / r->pairs;
    x.reward_accuracy = r->accuracy / r->pairs;
    x.reward_margin = (r->reward_chosen - r->reward_rejected) / r->pairs;
    x.logp_chosen = r->logp_chosen / r->pairs;
    x.logp_rejected = r->logp_rejected / r->pairs;
    return x;
}

bool run_log(Run *run, const LogLine *line, Error *err) {
    Buf b = {0};
    buf_puts(&b, "{");
    for (int i = 0; i < LOG_MEMBERS; i++)
        if (!isnan(log_value(line, i))) json_key_number(&b, LOG[i].key, log_value(line, i));
    buf_puts(&b, "}\n");
    /* Events first: if the log then fails, a resumed run makes them anew of what it has. */
    bool ok =
        (!run->events.path || put_events(run, line, err)) && log_put(&run->log, b.s, b.n, err);
    buf_free(&b);
    return ok;
}

void run_sample(Run *run, long step, Error *err) {
    Buf text = {0}, b = {0};
    sample_answer(&run->sample, &text);
    if (run->sample.prompt.n > 0) fprintf(stderr, "  sample: %s\n", text.s ? text.s : "");
    if (run->sample.prompt.n > 0 && run->events.path) {
        double now = run->wall + (seconds_now() - run->start);
        tensorboard_text(&b, now, step, "sample", (Str){text.s, text.n});
        log_put(&run->events, b.s, b.n, err);
    }
    buf_free(&text);
    buf_free(&b);
}

void run_progress(Run *run, const LogWindow *w, const LogLine *line, long steps, double left) {
    enum { EVERY = 10 }; /* seconds between lines where nobody looks at a terminal */
    double speed = w->seconds > 0 ? 1 / w->seconds : 0, now = seconds_now();
    bool last = line->step >= (double)steps, evaluated = false;
    Buf b = {0};
    buf_puts(&b, "step ");
    put_count(&b, line->step);
    buf_putc(&b, '/');
    put_count(&b, (double)steps);
    buf_printf(&b, "  loss %.4f  ", line->loss);
    put_count(&b, line->tokens_per_second);
    buf_printf(&b, " tokens/s  %.0f%% of peak  ", 100 * w->sum.flops * speed / run->peak_flops);
    put_duration(&b, left);
    buf_puts(&b, " left");
    if (threads_now() < threads_most())
        buf_printf(&b, "  %d of %d threads", threads_now(), threads_most());
    for (int i = 0; i < LOG_MEMBERS; i++) {
        if (LOG[i].at < offsetof(LogLine, icl_p_sequence) || isnan(log_value(line, i))) continue;
        buf_printf(&b, "  %s %.4f", LOG[i].key, log_value(line, i));
        evaluated = true;
    }
    bool due = run->told == 0 || now - run->told >= EVERY || progress_terminal();
    if (due || last || evaluated) {
        fprintf(stderr, "%s\n", b.s);
        run->told = now;
    }
    buf_free(&b);
}

/* ---- the training state ---- */

void run_state_keep(RunState *state, const char *name, double *values, int count) {
    if (!values) return;
    int i = state->kept_count++;
    snprintf(state->kept[i].name, sizeof state->kept[i].name, "%s", name);
    state->kept[i].values = values;
    state->kept[i].count = count;
}

void run_state_keep_logps(RunState *state, const char *name, Logps x, int count) {
    char text[40];
    snprintf(text, sizeof text, "%s.chosen", name);
    run_state_keep(state, text, x.chosen, count);
    snprintf(text, sizeof text, "%s.rejected", name);
    run_state_keep(state, text, x.rejected, count);
}

void run_state_keep_comparison(RunState *state, Comparison *c) {
    if (!c->gain) return;
    run_state_keep(state, "comparison", c->told.all, COMPARISON_TOLD);
    run_state_keep(state, "holdout.kept", c->kept, c->holdout);
    run_state_keep(state, "pool.gain", c->gain, c->pool);
    run_state_keep(state, "pool.likelihood", c->likelihood, c->pool);
    run_state_keep_logps(state, "by_reference.pool", c->pool_by_reference, c->pool);
    run_state_keep_logps(state, "by_reference.holdout", c->holdout_by_reference, c->holdout);
}

void run_state_data(RunState *state, uint64_t pool, uint64_t holdout, uint64_t weights) {
    const uint64_t hash[3] = {pool, holdout, weights};
    for (int i = 0; i < 3; i++) state->data[i] = (double)(hash[i] >> 11); /* exact in a double */
    run_state_keep(state, "fingerprints", state->data, 3);
}

static const struct {
    const char *name;
    size_t at;
} SPENT[] = {{"seconds", offsetof(Spent, seconds)},
             {"score_seconds", offsetof(Spent, score_seconds)},
             {"reference_seconds", offsetof(Spent, reference_seconds)},
             {"train_seconds", offsetof(Spent, train_seconds)},
             {"eval_seconds", offsetof(Spent, eval_seconds)},
             {"score_tokens", offsetof(Spent, score_tokens)},
             {"train_tokens", offsetof(Spent, train_tokens)},
             {"score_flops", offsetof(Spent, score_flops)},
             {"reference_flops", offsetof(Spent, reference_flops)},
             {"train_flops", offsetof(Spent, train_flops)},
             {"scored", offsetof(Spent, scored)},
             {"trained", offsetof(Spent, trained)}};

/* What two runs of the same bits may differ in: what was spent, and the log's length. */
static void put_run(Buf *b, const Run *run) {
    buf_puts(b, "{");
    json_key_number(b, "log_bytes", (double)run->log_bytes);
    for (size_t i = 0; i < sizeof SPENT / sizeof *SPENT; i++)
        json_key_number(b, SPENT[i].name,
                        *(const double *)(const void *)((const char *)&run->spent + SPENT[i].at));
    buf_puts(b, "}");
}

static bool read_run(Run *run, Str text) {
    Arena arena = {0};
    const Json *root = text.s ? json_parse(&arena, text.s, text.n, NULL) : NULL,
               *bytes = json_get(root, "log_bytes");
    bool ok = bytes && bytes->type == JSON_NUMBER && bytes->is_integer && bytes->number >= 0;
    if (ok) run->log_bytes = (int64_t)bytes->number;
    for (size_t i = 0; i < sizeof SPENT / sizeof *SPENT && ok; i++) {
        const Json *v = json_get(root, SPENT[i].name);
        ok = v && v->type == JSON_NUMBER && v->number >= 0;
        if (ok) *(double *)(void *)((char *)&run->spent + SPENT[i].at) = v->number;
    }
    run->start -= run->spent.seconds;
    arena_free(&arena);
    return ok;
}

/* Brings the lines logged so far to the disk, before the state that counts them. */
static bool settle_log(Run *run, Error *err) {
    if (!run->log.path) return true;
    if (!log_settle(&run->log, err)) return false;
    run->log_bytes = run->log.bytes;
    return true;
}

static bool all_finite(const real *x, size_t n) {
    bool finite = true;
    for (size_t i = 0; i < n; i++) finite &= isfinite(x[i]) != 0;
    return finite;
}

bool run_state_check(const RunState *state, const Model *m, Error *err) {
    const Optimizer *o = state->optimizer;
    size_t n = m->parameters;
    if (all_finite(m->w, n) && all_finite(o->m, n) && all_finite(o->v, n)) return true;
    return error_set(err, STATUS_DIVERGED,
                     "training diverged at step %ld: a parameter is not finite: lower "
                     "--learning-rate; nothing was saved since",
                     o->step + state->skipped);
}

/* Keeps the newest state under the other name. */
static void keep_previous(const char *folder) {
    char *newest = path_join(folder, STATE_NAME), *previous = path_join(folder, PREVIOUS_NAME);
    if (file_exists(newest)) file_keep(newest, previous);
    free(newest);
    free(previous);
}

static void remove_previous(const char *folder) {
    char *previous = path_join(folder, PREVIOUS_NAME);
    file_remove(previous);
    free(previous);
}

bool run_state_save(RunState *state, Error *err) {
    enum { OWN = 5 };
    Run *run = state->run;
    const Model *m = state->run->model->model;
    const Optimizer *o = state->optimizer;
    int64_t step = o->step, skipped = state->skipped, n = (int64_t)m->parameters;
    TensorOut tensors[OWN + sizeof state->kept / sizeof *state->kept] = {
        {.name = "parameters", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = m->w},
        {.name = "optimizer.m", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = o->m},
        {.name = "optimizer.v", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = o->v},
        {.name = "step", .type = TENSOR_I64, .rank = 1, .shape = {1}, .data = &step},
        {.name = "skipped", .type = TENSOR_I64, .rank = 1, .shape = {1}, .data = &skipped}};
    for (int i = 0; i < state->kept_count; i++)
        tensors[OWN + i] = (TensorOut){.name = state->kept[i].name,
                                       .type = TENSOR_F64,
                                       .rank = 1,
                                       .shape = {state->kept[i].count},
                                       .data = state->kept[i].values};
    if (!run_state_check(state, m, err) || !settle_log(run, err) ||
        !model_folder_save(run->model, run->header.folder, err))
        return false;
    run->spent.seconds = seconds_now() - run->start;
    Buf text = {0};
    put_run(&text, run);
    Buf depends = {0};
    buf_printf(&depends, "%s}", run->depends.n ? run->depends.s : "{");
    const char *pairs[4] = {"run", text.s, "depends", depends.s};
    char *path = path_join(run->header.folder, STATE_NAME);
    /* A damaged file must not take the place of the state that the run was loaded from. */
    if (!state->damaged && !run->header.one_state) keep_previous(run->header.folder);
    bool ok = tensors_write(path, tensors, OWN + state->kept_count, pairs, 2, err) &&
              (!run->header.place || place_settle(run->header.place, err));
    if (ok) state->damaged = false;
    if (run->header.place) run->header.folder = run->header.place->writes;
    if (ok && run->header.one_state) remove_previous(run->header.folder);
    free(path);
    buf_free(&text);
    buf_free(&depends);
    return ok;
}

/* Compares what the bits depend on with what it was. */
static bool check_depends(Run *run, Str text, const char *path, Error *err) {
    Buf differences = {0};
    bool was = depends_compare(&run->depends, text, &differences);
    if (!was) fprintf(stderr, "%s: is older: options and inputs are not compared\n", path);
    bool differ = differences.n > 0;
    if (differ && run->header.force) fprintf(stderr, "%s: %s\n", path, differences.s);
    if (differ && !run->header.force)
        error_set(err, STATUS_DATA,
                  "%s: %s: a resumed run needs what it began with; --force-resume goes on", path,
                  differences.s);
    buf_free(&differences);
    return err->status == 0;
}

/* Fills the state from an open file; false if a tensor is missing or has another size, or, with
 * err set, if it cannot be read. */
static bool state_read(RunState *state, const TensorFile *file, Error *err) {
    Model *model = state->run->model->model;
    Optimizer *o = state->optimizer;
    int64_t value[2];
    /* Read how many steps were learned and how many skipped. */
    const TensorInfo *step = tensors_find(file, "step"), *skipped = tensors_find(file, "skipped");
    if (!step || !skipped || step->size != sizeof *value || skipped->size != sizeof *value ||
        !tensors_bytes(step, 0, &value[0], sizeof *value, err) ||
        !tensors_bytes(skipped, 0, &value[1], sizeof *value, err))
        return false;
    o->step = (long)value[0];
    state->skipped = (int)value[1];
    /* Read the parameters and the optimizer's moments. */
    const struct {
        const char *name;
        real *to;
    } big[3] = {{"parameters", model->w}, {"optimizer.m", o->m}, {"optimizer.v", o->v}};
    for (int i = 0; i < 3; i++) {
        const TensorInfo *t = tensors_find(file, big[i].name);
        if (!t || !tensors_is_float(t) || t->elements != model->parameters ||
            !tensors_read(t, big[i].to, err))
            return false;
    }
    /* Read what the command keeps. */
    for (int i = 0; i < state->kept_count; i++) {
        const TensorInfo *t = tensors_find(file, state->kept[i].name);
        if (!t || t->size != sizeof(double) * (size_t)state->kept[i].count ||
            !tensors_bytes(t, 0, state->kept[i].values, t->size, err))
            return false;
    }
    return read_run(state->run, tensors_metadata(file, "run"));
}

/* Reads one file. *refused: it is whole, and of a run with other options or inputs. */
static bool load_file(RunState *state, const char *path, bool *refused, Error *err) {
    TensorFile file;
    if (!tensors_open(&file, path, err)) return false;
    *refused = !check_depends(state->run, tensors_metadata(&file, "depends"), path, err);
    if (!*refused && !state_read(state, &file, err))
        error_set(err, STATUS_DATA, "%s: does not belong to this run", path);
    tensors_close(&file);
    return err->status == 0;
}

bool run_state_load(RunState *state, const char *folder, Error *err) {
    char *newest = path_join(folder, STATE_NAME), *previous = path_join(folder, PREVIOUS_NAME);
    Error first = {0};
    double data[3];
    memcpy(data, state->data, sizeof data);
    bool refused = false, ok = load_file(state, newest, &refused, &first);
    if (!ok && !refused && file_exists(previous) && load_file(state, previous, &refused, err)) {
        fprintf(stderr, "%s; the run continues from the state before, of step %ld\n", first.text,
                state->optimizer->step + state->skipped);
        ok = state->damaged = true;
    }
    if (!ok) *err = first;
    if (ok && !state->run->header.force && memcmp(data, state->data, sizeof data) != 0)
        error_set(err, STATUS_DATA,
                  "%s: pool, holdout or weights changed since the run began: a resumed run needs "
                  "the same data",
                  folder);
    free(newest);
    free(previous);
    return err->status == 0;
}

bool run_state_exists(const char *folder) {
    char *newest = path_join(folder, STATE_NAME), *previous = path_join(folder, PREVIOUS_NAME);
    bool there = file_exists(newest) || file_exists(previous);
    free(newest);
    free(previous);
    return there;
}
