/* The best parameters of a run. */
#include "data/keep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/tensors.h"

static const char BEST[] = "best.safetensors", PREVIOUS[] = "best.previous.safetensors";

void keep_new(Keep *keep, const KeepOptions *o, RunState *state) {
    *keep = (Keep){.o = o, .run = state->run};
    if (o->best || o->patience > 0)
        run_state_keep(state, "best", keep->told.all, sizeof(KeepTold) / sizeof(double));
}

/* A hash of the parameters, as an exact double. */
static double hash_of(const real *w, size_t n) {
    return (double)(hash64(w, n * sizeof *w, HASH_START) >> 11);
}

/* The file holds the parameters that `told` names. They go to `to` [parameters]. */
static bool read_best(const Keep *keep, const char *name, real *to, Error *err) {
    TensorFile file;
    size_t n = keep->run->model->model->parameters;
    char *path = path_join(keep->run->header.folder, name);
    bool ok = tensors_open(&file, path, err);
    if (ok) {
        const TensorInfo *t = tensors_find(&file, "parameters");
        bool fits = t && tensors_is_float(t) && t->elements == n;
        ok = !fits || tensors_read(t, to, err);
        if (ok && (!fits || hash_of(to, n) != keep->told.parameters))
            ok = error_set(err, STATUS_DATA,
                           "%s: does not hold the parameters of step %.0f, the best evaluation of "
                           "the run",
                           path, keep->told.step);
        tensors_close(&file);
    }
    free(path);
    return ok;
}

/* Reads them from the file that has them, and notes which it is. */
static bool find_best(Keep *keep, real *to, Error *err) {
    Error first = {0}, second = {0};
    keep->in_previous = false;
    if (read_best(keep, BEST, to, &first)) return true;
    keep->in_previous = true;
    if (read_best(keep, PREVIOUS, to, &second)) return true;
    *err = first;
    return false;
}

bool keep_resumed(Keep *keep, Error *err) {
    if (!keep->o->best || !keep->run || keep->told.step <= 0) return true;
    real *scratch = mem_new(keep->run->model->model->parameters, sizeof *scratch);
    bool ok = find_best(keep, scratch, err);
    free(scratch);
    return ok;
}

/* Writes the parameters as the best ones. Those that the state on the disk names stay. */
static bool write_best(Keep *keep, const Model *m, Error *err) {
    const char *folder = keep->run->header.folder;
    char *path = path_join(folder, BEST), *previous = path_join(folder, PREVIOUS);
    TensorOut t = {.name = "parameters",
                   .type = TENSOR_REAL,
                   .rank = 1,
                   .shape = {(int64_t)m->parameters},
                   .data = m->w};
    bool named = keep->told.step > 0 && !keep->in_previous && file_exists(path);
    if (named) file_keep(path, previous);
    /* The other name must be safe before the new parameters take the first one. */
    bool ok = (!named || folder_settle(folder, err)) && tensors_write(path, &t, 1, NULL, 0, err);
    keep->in_previous = false;
    free(path);
    free(previous);
    return ok;
}

static double metric_of(const LogLine *line) {
    const double all[] = {line->validation_nll, line->validation_loss, line->eval_nll,
                          line->eval_loss, line->icl_nll};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!isnan(all[i])) return all[i];
    return NAN;
}

bool keep_judge(Keep *keep, const LogLine *line, const Model *m, Error *err) {
    double metric = metric_of(line);
    if ((!keep->o->best && keep->o->patience == 0) || isnan(metric)) return true;
    if (keep->told.step > 0 && !(metric < keep->told.metric)) {
        keep->told.since++;
        return true;
    }
    bool writes = keep->o->best && keep->run;
    if (writes && !write_best(keep, m, err)) return false;
    keep->told = (KeepTold){.metric = metric, .step = line->step};
    if (writes) keep->told.parameters = hash_of(m->w, m->parameters);
    keep->save = writes;
    return true;
}

bool keep_stops(const Keep *keep) {
    return keep->o->patience > 0 && keep->told.since >= keep->o->patience;
}

bool keep_finish(Keep *keep, long step, Model *m, Error *err) {
    if (!keep->o->best || !keep->run || keep->told.step <= 0) return true;
    fprintf(stderr, "the best evaluation was after step %.0f: %.4f\n", keep->told.step,
            keep->told.metric);
    if (keep->told.step == (double)step) return true;
    return find_best(keep, m->w, err) &&
           model_folder_save(keep->run->model, keep->run->header.folder, err);
}

void keep_put_result(Buf *b, const Keep *keep) {
    if (keep->told.step <= 0) return;
    json_key_number(b, "best_step", keep->told.step);
    json_key_number(b, "best_metric", keep->told.metric);
    buf_printf(b, ",\"stopped_early\":%s", keep_stops(keep) ? "true" : "false");
}
