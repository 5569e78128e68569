/* The run folder and the training state. */
#define _POSIX_C_SOURCE 200809L
#include "data/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/gemm.h"
#include "lib/json.h"
#include "lib/tensors.h"
#include "lib/threads.h"

/* ---- the run folder ---- */

#define STATE_NAME "training_state.safetensors"

Run run_new(const Settings *s) { return (Run){.s = s, .start = seconds_now()}; }

void run_free(Run *run) {
    buf_free(&run->inputs);
    buf_free(&run->result);
}

void run_input(Run *run, const char *path, uint64_t fingerprint) {
    if (!path) return;
    buf_puts(&run->inputs, run->inputs.n ? ",{" : "{");
    json_key_string(&run->inputs, "path", path);
    buf_printf(&run->inputs, ",\"fingerprint\":\"%016llx\"}", (unsigned long long)fingerprint);
}

#ifndef BUILD_FLAGS
#define BUILD_FLAGS "unknown"
#endif
#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* Written when the run begins, so that a killed one can be resumed, and again with its result when it ends. */
static bool run_write(const Run *run, Error *err) {
    const Settings *s = run->s;
    Buf b = {0};
    buf_puts(&b, "{");
    json_key_string(&b, "version", ICA_VERSION);
    json_key_string(&b, "command", s->command);
    buf_puts(&b, ",\"group\":");
    settings_put_group(&b, s);
    buf_puts(&b, ",\"arm\":");
    settings_put_arm(&b, s);
    json_key_string(&b, "objective", s->objective);
    json_key_number(&b, "seed", (double)s->seed);
    buf_printf(&b, ",\n\"options\":%s", s->options_json);
    buf_puts(&b, ",\n\"arguments\":[");
    for (int i = 0; i < s->argc; i++) {
        if (i) buf_putc(&b, ',');
        json_put_string(&b, str(s->argv[i]));
    }
    buf_printf(&b, "],\n\"threads\":%d", threads_most());
    json_key_string(&b, "compiler", COMPILER);
    json_key_string(&b, "flags", BUILD_FLAGS);
    buf_puts(&b, ",\"machine\":");
    machine_json(&b);
    buf_printf(&b, ",\n\"inputs\":[%.*s]", (int)run->inputs.n, run->inputs.s ? run->inputs.s : "");
    const Spent *spent = &run->spent;
    buf_printf(&b, ",\n\"seconds\":{\"score\":%.3f,\"reference\":%.3f,\"train\":%.3f,\"eval\":%.3f,\"total\":%.3f}",
               spent->score_seconds, spent->reference_seconds, spent->train_seconds, spent->eval_seconds,
               seconds_now() - run->start);
    buf_printf(&b, ",\"tokens\":{\"score_forward\":%.0f,\"train\":%.0f}", spent->score_tokens, spent->train_tokens);
    buf_printf(&b, ",\"flops\":{\"score\":%.4g,\"reference\":%.4g,\"train\":%.4g}", spent->score_flops,
               spent->reference_flops, spent->train_flops);
    buf_printf(&b, ",\n\"result\":{%.*s}}\n", (int)run->result.n, run->result.s ? run->result.s : "");
    char *path = path_join(s->out, "run.json");
    bool ok = file_write(path, b.s, b.n, err);
    free(path);
    buf_free(&b);
    return ok;
}

/* The temporaries that a killed run left here and in its reference's folder. */
static void sweep(const char *out) {
    static const char *const names[] = {STATE_NAME, "model.safetensors", "config.json", "vocab.json", "merges.txt", "template.json",
                                        "tokenizer_config.json", "run.json", "scores.jsonl", "metrics.json"};
    char *reference = path_join(out, "reference");
    folder_sweep(out, names, sizeof names / sizeof *names);
    folder_sweep(reference, names, sizeof names / sizeof *names);
    free(reference);
}

bool run_begin(Run *run, Error *err) {
    const Settings *s = run->s;
    run->peak_flops = gemm_peak_flops() * threads_most();
    if (!folder_make(s->out, err)) return false;
    sweep(s->out);
    static const char *const stale[] = {STATE_NAME, "scores.jsonl", "metrics.json"};
    for (int i = 0; i < 3 && !s->resume; i++) { /* of an earlier run in this folder: they would pass for this run's */
        char *old = path_join(s->out, stale[i]);
        remove(old);
        free(old);
    }
    char *path = path_join(s->out, "log.jsonl");
    struct stat now;
    bool longer = s->resume && stat(path, &now) == 0 && now.st_size > run->log_bytes;
    if (!longer || truncate(path, (off_t)run->log_bytes) == 0) run->log = fopen(path, s->resume ? "ab" : "wb");
    if (!run->log) error_set(err, STATUS_IO, "%s: cannot write", path);
    free(path);
    return run->log && run_write(run, err);
}

bool run_end(Run *run, Error *err) {
    if (run->log) fclose(run->log);
    return run_write(run, err);
}

bool run_has_result(const char *folder) {
    Arena arena = {0};
    Buf text = {0};
    Error ignored = {0};
    char *path = path_join(folder, "run.json");
    const Json *root = file_exists(path) && file_read(path, &text, &ignored) ? json_parse(&arena, text.s, text.n, NULL) : NULL;
    const Json *result = root ? json_get(root, "result") : NULL;
    bool has = result && result->type == JSON_OBJECT && result->count > 0;
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return has;
}

double run_fingerprint(uint64_t fingerprint) { return (double)(fingerprint >> 11); }

/* ---- the training state ---- */

void run_state_keep(RunState *state, const char *name, double *values, int count) {
    if (!values) return;
    state->kept[state->kept_count].name = name;
    state->kept[state->kept_count].values = values;
    state->kept[state->kept_count++].count = count;
}

static const struct { const char *name; size_t at; } SPENT[] = {
    {"seconds", offsetof(Spent, seconds)},
    {"score_seconds", offsetof(Spent, score_seconds)},
    {"reference_seconds", offsetof(Spent, reference_seconds)},
    {"train_seconds", offsetof(Spent, train_seconds)},
    {"eval_seconds", offsetof(Spent, eval_seconds)},
    {"score_tokens", offsetof(Spent, score_tokens)},
    {"train_tokens", offsetof(Spent, train_tokens)},
    {"score_flops", offsetof(Spent, score_flops)},
    {"reference_flops", offsetof(Spent, reference_flops)},
    {"train_flops", offsetof(Spent, train_flops)}};

/* What differs between two runs of the same bits stands in the header, beside the tensors: what was spent, the log's length. */
static void put_run(Buf *b, const Run *run) {
    buf_puts(b, "{");
    json_key_number(b, "log_bytes", (double)run->log_bytes);
    for (size_t i = 0; i < sizeof SPENT / sizeof *SPENT; i++)
        json_key_number(b, SPENT[i].name, *(const double *)(const void *)((const char *)&run->spent + SPENT[i].at));
    buf_puts(b, "}");
}

static bool read_run(Run *run, Str text) {
    Arena arena = {0};
    const Json *root = text.s ? json_parse(&arena, text.s, text.n, NULL) : NULL, *bytes = json_get(root, "log_bytes");
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

/* The lines logged so far are on the disk before the state that counts them. */
static bool log_settle(Run *run, Error *err) {
    struct stat now;
    if (!run->log) return true;
    if (fflush(run->log) != 0 || fsync(fileno(run->log)) != 0 || fstat(fileno(run->log), &now) != 0)
        return error_set(err, STATUS_IO, "%s/log.jsonl: cannot write; is the disk full?", run->s->out);
    run->log_bytes = now.st_size;
    return true;
}

bool run_state_save(RunState *state, Error *err) {
    enum { OWN = 5 };
    Run *run = state->run;
    const Model *m = state->folder->model;
    const Optimizer *o = state->optimizer;
    int64_t step = o->step, skipped = state->skipped, n = (int64_t)m->parameters;
    TensorOut tensors[OWN + sizeof state->kept / sizeof *state->kept] = {
        {.name = "parameters", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = m->w},
        {.name = "optimizer.m", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = o->m},
        {.name = "optimizer.v", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = o->v},
        {.name = "step", .type = TENSOR_I64, .rank = 1, .shape = {1}, .data = &step},
        {.name = "skipped", .type = TENSOR_I64, .rank = 1, .shape = {1}, .data = &skipped}};
    for (int i = 0; i < state->kept_count; i++)
        tensors[OWN + i] = (TensorOut){.name = state->kept[i].name, .type = TENSOR_F64, .rank = 1,
                                       .shape = {state->kept[i].count}, .data = state->kept[i].values};
    if (!log_settle(run, err) || !model_folder_save(state->folder, run->s->out, err)) return false;
    run->spent.seconds = seconds_now() - run->start;
    Buf text = {0};
    put_run(&text, run);
    const char *pair[2] = {"run", text.s};
    char *path = path_join(run->s->out, STATE_NAME);
    bool ok = tensors_write(path, tensors, OWN + state->kept_count, pair, 1, err);
    free(path);
    buf_free(&text);
    return ok;
}

bool run_state_load(RunState *state, const char *folder, Error *err) {
    char *path = path_join(folder, STATE_NAME);
    TensorFile file;
    Model *model = state->folder->model;
    bool ok = tensors_open(&file, path, err);
    if (ok) {
        const struct { const char *name; real *to; } big[3] = {
            {"parameters", model->w}, {"optimizer.m", state->optimizer->m}, {"optimizer.v", state->optimizer->v}};
        const TensorInfo *step = tensors_find(&file, "step"), *skipped = tensors_find(&file, "skipped");
        ok = step && skipped && step->size == 8 && skipped->size == 8;
        for (int i = 0; i < 3 && ok; i++) {
            const TensorInfo *t = tensors_find(&file, big[i].name);
            ok = t && tensors_is_float(t) && t->elements == model->parameters;
            if (ok) tensors_read(t, big[i].to);
        }
        for (int i = 0; i < state->kept_count && ok; i++) {
            const TensorInfo *kept = tensors_find(&file, state->kept[i].name);
            ok = kept && kept->size == 8 * (size_t)state->kept[i].count;
            if (ok) memcpy(state->kept[i].values, kept->bytes, kept->size);
        }
        int64_t value[2];
        if (ok) {
            memcpy(&value[0], step->bytes, 8);
            memcpy(&value[1], skipped->bytes, 8);
            state->optimizer->step = (long)value[0];
            state->skipped = (int)value[1];
        }
        ok = ok && read_run(state->run, tensors_metadata(&file, "run"));
        if (!ok) error_set(err, STATUS_DATA, "%s: does not belong to this run", path);
        tensors_close(&file);
    }
    free(path);
    return ok;
}

bool run_state_exists(const char *folder) {
    char *path = path_join(folder, STATE_NAME);
    bool there = file_exists(path);
    free(path);
    return there;
}
