/* Settings, the run folder and the training state. */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/gemm.h"
#include "../lib/json.h"
#include "../lib/tensors.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- settings ---- */

bool settings_check_out(const Settings *s, Error *err) {
    char *weights = s->model ? path_join(s->model, "model.safetensors") : NULL;
    const struct {
        const char *option, *path;
    } inputs[] = {{"model", s->model}, {"model", weights}, {"pool", s->pool}, {"holdout", s->holdout}, {"eval", s->eval}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (file_same(s->dump_state, inputs[i].path))
            error_set(err, STATUS_USAGE, "%s: --dump-state %s would overwrite --%s: choose another place", s->command,
                      s->dump_state, inputs[i].option);
        if (!s->resume && (file_same(s->out, inputs[i].path) || file_same(s->per_example, inputs[i].path)))
            error_set(err, STATUS_USAGE, "%s: --out %s would overwrite --%s: choose another place", s->command, s->out,
                      inputs[i].option);
    }
    free(weights);
    if (err->status) return false;
    if (s->max_steps == 0 && s->num_train_epochs > 0)
        return error_set(err, STATUS_USAGE, "%s: --max-steps 0: say how many steps, or -1 for whole epochs", s->command);
    return true;
}

Objective settings_objective(const Settings *s) {
    return strcmp(s->objective, "dpo") == 0 ? OBJECTIVE_DPO : strcmp(s->objective, "simpo") == 0 ? OBJECTIVE_SIMPO : OBJECTIVE_SFT;
}

PairOptions settings_pair(const Settings *s) { return (PairOptions){s->beta, s->gamma_beta_ratio, s->label_smoothing}; }

MaterialFiles settings_files(const Settings *s) {
    return (MaterialFiles){
        .pool = s->pool, .holdout = s->holdout, .eval = s->eval, .truncate = s->truncate, .allow_overlap = s->allow_overlap};
}

void settings_print(const Settings *s, const Buf *object) {
    Arena arena = {0};
    JsonError where;
    const Json *root = s->json ? NULL : json_parse(&arena, object->s, object->n, &where);
    if (!root) fputs(object->s, stdout);
    for (int i = 0; root && i < root->count; i++) {
        const Json *v = &root->items[i];
        if (v->type == JSON_NUMBER) printf("%-26.*s %.6g\n", STR_ARG(root->keys[i]), v->number);
        if (v->type == JSON_STRING) printf("%-26.*s %.*s\n", STR_ARG(root->keys[i]), STR_ARG(v->string));
        for (int j = 0; v->type == JSON_OBJECT && j < v->count; j++)
            printf("%.*s %-*.*s %.4f\n", STR_ARG(root->keys[i]), 25 - (int)root->keys[i].n, STR_ARG(v->keys[j]),
                   v->items[j].number);
    }
    arena_free(&arena);
}

/* ---- signals ---- */

static volatile sig_atomic_t caught_signal;

static void on_signal(int number) {
    if (caught_signal) _exit(128 + number); /* asked twice: leave at once; files are replaced atomically, so none is torn */
    caught_signal = number;
}

void run_stop_on_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int run_stop_signal(void) { return caught_signal; }

/* ---- this machine ---- */

int machine_threads(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

void machine_json(Buf *b) {
    Buf info = {0};
    Error ignored = {0};
    Str cpu = str("unknown");
    if (file_exists("/proc/cpuinfo") && file_read("/proc/cpuinfo", &info, &ignored)) {
        const char *at = strstr(info.s, "model name");
        const char *colon = at ? strchr(at, ':') : NULL, *end = colon ? strchr(colon, '\n') : NULL;
        if (end && end > colon + 2) cpu = (Str){colon + 2, (size_t)(end - colon - 2)};
    }
    buf_puts(b, "{\"cpu\":");
    json_put_string(b, cpu);
    buf_printf(b, ",\"cores\":%ld,\"threads\":%d,\"vectors\":\"%s\",\"peak_gflops\":%.1f}", sysconf(_SC_NPROCESSORS_ONLN),
               machine_threads(), gemm_description(), gemm_peak_flops() * 1e-9);
    buf_free(&info);
}

/* ---- the run folder ---- */

static void put_inputs(Buf *b, const Settings *s) {
    const char *named[] = {s->pool, s->holdout, s->eval};
    int total = 3 + s->data.count;
    buf_puts(b, "\"inputs\":[");
    for (int i = 0, n = 0; i < total; i++) {
        const char *path = i < 3 ? named[i] : s->data.values[i - 3];
        Buf contents = {0};
        Error ignored = {0};
        if (path && file_read(path, &contents, &ignored)) {
            buf_puts(b, n++ ? ",{" : "{");
            json_key_string(b, "path", path);
            buf_printf(b, ",\"fingerprint\":\"%016llx\"}", (unsigned long long)hash64(contents.s, contents.n, HASH_START));
        }
        buf_free(&contents);
    }
    buf_puts(b, "]");
}

void settings_put_group(Buf *b, const Settings *s) {
    const char *name = s->group ? s->group : s->pool ? s->pool : "";
    const char *slash = strrchr(name, '/'), *from = s->group ? name : slash ? slash + 1 : name;
    if (!s->group && strncmp(from, "pool-", 5) == 0) from += 5;
    const char *dot = s->group ? NULL : strrchr(from, '.');
    json_put_string(b, (Str){from, dot ? (size_t)(dot - from) : strlen(from)});
}

static void put_arm(Buf *b, const Settings *s) {
    char text[256];
    bool plain = !s->weights || strcmp(s->weights, "uniform") == 0 || strcmp(s->weights, "oracle") == 0 ||
                 strcmp(s->weights, "records") == 0 || strncmp(s->weights, "file:", 5) == 0;
    if (s->arm) snprintf(text, sizeof text, "%s", s->arm);
    else if (plain) snprintf(text, sizeof text, "%s", s->weights ? s->weights : "uniform");
    else snprintf(text, sizeof text, "%s:%s", s->weights, s->weight_map);
    json_put_string(b, str(text));
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
    put_arm(&b, s);
    json_key_string(&b, "objective", s->objective);
    json_key_number(&b, "seed", (double)s->seed);
    buf_printf(&b, ",\n\"options\":%s", s->options_json);
    buf_puts(&b, ",\n\"arguments\":[");
    for (int i = 0; i < s->argc; i++) {
        if (i) buf_putc(&b, ',');
        json_put_string(&b, str(s->argv[i]));
    }
    buf_printf(&b, "],\n\"threads\":%d", machine_threads());
    json_key_string(&b, "compiler", COMPILER);
    json_key_string(&b, "flags", BUILD_FLAGS);
    buf_puts(&b, ",\"machine\":");
    machine_json(&b);
    buf_puts(&b, ",\n");
    put_inputs(&b, s);
    buf_printf(&b, ",\n\"seconds\":{\"score\":%.3f,\"reference\":%.3f,\"train\":%.3f,\"eval\":%.3f,\"total\":%.3f}",
               run->score_seconds, run->reference_seconds, run->train_seconds, run->eval_seconds, seconds_now() - run->start);
    buf_printf(&b, ",\"tokens\":{\"score_forward\":%.0f,\"train\":%.0f}", run->score_tokens, run->train_tokens);
    buf_printf(&b, ",\"flops\":{\"score\":%.4g,\"reference\":%.4g,\"train\":%.4g}", run->score_flops, run->reference_flops,
               run->train_flops);
    buf_printf(&b, ",\n\"result\":{%.*s}}\n", (int)run->result.n, run->result.s ? run->result.s : "");
    char *path = path_join(s->out, "run.json");
    bool ok = file_write(path, b.s, b.n, err);
    free(path);
    buf_free(&b);
    return ok;
}

bool run_begin(Run *run, const Settings *s, bool append, Error *err) {
    *run = (Run){.s = s, .start = seconds_now(), .peak_flops = gemm_peak_flops() * machine_threads()};
    if (!folder_make(s->out, err)) return false;
    static const char *const stale[] = {"scores.jsonl", "metrics.json", "training_state.safetensors"};
    for (int i = 0; i < 3 && !append; i++) { /* of an earlier run in this folder: they would pass for this run's */
        char *old = path_join(s->out, stale[i]);
        remove(old);
        free(old);
    }
    char *path = path_join(s->out, "log.jsonl");
    run->log = fopen(path, append ? "ab" : "wb");
    if (!run->log) error_set(err, STATUS_IO, "%s: cannot write", path);
    free(path);
    return run->log && run_write(run, err);
}

bool run_end(Run *run, Error *err) {
    if (run->log) fclose(run->log);
    bool ok = run_write(run, err);
    buf_free(&run->result);
    return ok;
}

double run_fingerprint(const Loaded *l) { return (double)(l->data.fingerprint >> 11); }

/* ---- the training state ---- */

void run_state_keep(RunState *state, const char *name, double *values, int count) {
    if (!values) return;
    state->kept[state->kept_count].name = name;
    state->kept[state->kept_count].values = values;
    state->kept[state->kept_count++].count = count;
}

bool run_state_save(const RunState *state, const char *out, Error *err) {
    int64_t step = state->optimizer->step, skipped = state->skipped, n = (int64_t)state->folder->model->parameters;
    TensorOut tensors[14] = {
        {.name = "optimizer.m", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = state->optimizer->m},
        {.name = "optimizer.v", .type = TENSOR_REAL, .rank = 1, .shape = {n}, .data = state->optimizer->v},
        {.name = "step", .type = TENSOR_I64, .rank = 1, .shape = {1}, .data = &step},
        {.name = "skipped", .type = TENSOR_I64, .rank = 1, .shape = {1}, .data = &skipped}};
    for (int i = 0; i < state->kept_count; i++)
        tensors[4 + i] = (TensorOut){.name = state->kept[i].name, .type = TENSOR_F64, .rank = 1,
                                     .shape = {state->kept[i].count}, .data = state->kept[i].values};
    char *path = path_join(out, "training_state.safetensors");
    bool ok = folder_save(state->folder, out, err) && tensors_write(path, tensors, 4 + state->kept_count, NULL, 0, err);
    free(path);
    return ok;
}

bool run_state_load(RunState *state, const char *folder, Error *err) {
    char *path = path_join(folder, "training_state.safetensors");
    TensorFile file;
    bool ok = tensors_open(&file, path, err);
    if (ok) {
        const TensorInfo *m = tensors_find(&file, "optimizer.m"), *v = tensors_find(&file, "optimizer.v");
        const TensorInfo *step = tensors_find(&file, "step"), *skipped = tensors_find(&file, "skipped");
        size_t n = state->folder->model->parameters;
        ok = m && v && step && skipped && tensors_is_float(m) && tensors_is_float(v) && m->elements == n && v->elements == n &&
             step->size == 8 && skipped->size == 8;
        for (int i = 0; i < state->kept_count && ok; i++) {
            const TensorInfo *kept = tensors_find(&file, state->kept[i].name);
            ok = kept && kept->size == 8 * (size_t)state->kept[i].count;
            if (ok) memcpy(state->kept[i].values, kept->bytes, kept->size);
        }
        if (!ok)
            error_set(err, STATUS_DATA, "%s: does not belong to this run", path);
        else {
            int64_t value;
            tensors_read(m, state->optimizer->m);
            tensors_read(v, state->optimizer->v);
            memcpy(&value, step->bytes, 8);
            state->optimizer->step = (long)value;
            memcpy(&value, skipped->bytes, 8);
            state->skipped = (int)value;
        }
        tensors_close(&file);
    }
    free(path);
    return ok;
}
