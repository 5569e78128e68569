/* eval: how probable a model finds the right answers of a file. */
#include "lib/file.h"
#include "lib/json.h"
#include "program/commands.h"
#include "program/guard.h"
#include "program/requests.h"

/* Writes each record's log-likelihoods. */
static bool write_per_example(const char *path, const ExampleFile *data, bool pairs, Logps logp,
                              Error *err) {
    Buf b = {0};
    for (int i = 0; i < data->data.count; i++) {
        const Example *e = &data->examples.items[i];
        buf_puts(&b, "{\"id\":");
        json_put_string(&b, data->data.records[i].id);
        json_key_number(&b, pairs ? "logp_chosen" : "logp", logp.chosen[i]);
        json_key_number(&b, pairs ? "tokens_chosen" : "tokens", e->answer_n);
        if (pairs) {
            json_key_number(&b, "logp_rejected", logp.rejected[i]);
            json_key_number(&b, "tokens_rejected", e->rejected_n);
        }
        buf_puts(&b, "}\n");
    }
    bool ok = file_write(path, b.s, b.n, err);
    buf_free(&b);
    return ok;
}

/* DPO's reference log-likelihoods of `data`, by the model of another folder. */
static bool folder_logps(const char *folder, const ExampleFile *data, Logps out, Error *err) {
    Model *m = model_load(folder, err);
    if (!m) return false;
    Workspace *ws = workspace_new();
    bool ok = reference_logps(m, ws, data, out, NULL, err);
    workspace_free(ws);
    model_free(m);
    return ok;
}

static bool evaluate_pair_file(const Model *m, Workspace *ws, const Settings *s,
                               const ExampleFile *file, Buf *members, Logps logp, Error *err) {
    const Examples *data = &file->examples;
    PairOptions pair = settings_pair(s);
    Objective objective = s->objective;
    bool compares = OBJECTIVES[objective].needs_reference;
    Logps reference = compares ? logps_new(data->count) : (Logps){0};
    bool ok = !compares || folder_logps(s->reference, file, reference, err);
    if (ok) {
        PairMetrics x = evaluate_pairs(m, ws, data, objective, &pair, reference, &logp);
        if (x.broken >= 0) ok = example_broken(file, x.broken, err);
        pair_metrics_put(members, &x);
    }
    logps_free(&reference);
    return ok;
}

/* The result as JSON members, and each record's log-likelihoods. */
static bool evaluate_data(const Model *m, const Settings *s, const Splits *x, Buf *members,
                          Logps logp, Error *err) {
    const Examples *data = &x->eval.examples;
    Workspace *ws = workspace_new();
    bool ok = true;
    if (OBJECTIVES[s->objective].pairs)
        ok = evaluate_pair_file(m, ws, s, &x->eval, members, logp, err);
    else {
        Metrics metrics = evaluate_answers(m, ws, data, &x->holdout.examples, s->k, logp.chosen);
        if (metrics.broken >= 0) ok = example_broken(&x->eval, metrics.broken, err);
        metrics_put(members, &metrics);
        json_key_number(members, "dropped_demos", metrics.dropped);
        tell_dropped(metrics.dropped);
    }
    workspace_free(ws);
    return ok;
}

static bool check_options(const Settings *s, const ObjectiveInfo *objective, Error *err) {
    if (s->data.count != 1) return error_set(err, STATUS_USAGE, "eval: --data takes one file");
    if (objective->pairs && s->k > 0)
        return error_set(err, STATUS_USAGE,
                         "eval: --k is for --objective sft: pairs are evaluated "
                         "without demonstrations");
    if (!guard_outputs(s, err)) return false;
    if (s->k > 0 && !s->holdout)
        return error_set(err, STATUS_USAGE,
                         "eval: --k %d needs --holdout FILE to take the "
                         "demonstrations from",
                         s->k);
    if (objective->needs_reference && !s->reference)
        return error_set(err, STATUS_USAGE,
                         "eval: --objective %s needs --reference DIR, the model "
                         "that training started from",
                         objective->name);
    return true;
}

static void print_evaluation(const Settings *s, int records, const Buf *members, double seconds,
                             Error *err) {
    Buf b = {0};
    buf_puts(&b, "{\"command\":\"eval\"");
    json_key_string(&b, "model", s->model);
    json_key_string(&b, "data", s->data.values[0]);
    json_key_string(&b, "objective", OBJECTIVES[s->objective].name);
    json_key_number(&b, "k", s->k);
    json_key_number(&b, "records", records);
    buf_printf(&b, ",%s", members->s);
    json_key_number(&b, "seconds", seconds);
    buf_puts(&b, "}\n");
    settings_print(s, &b, err);
    buf_free(&b);
}

/* Evaluates the test of x and prints the result. */
static bool evaluate_splits(const Settings *s, const Model *m, Splits *x, Error *err) {
    int n = x->eval.examples.count;
    bool pairs = OBJECTIVES[s->objective].pairs;
    double start = seconds_now();
    if (s->k > 0 && s->k > x->holdout.examples.count)
        return error_set(err, STATUS_DATA,
                         "%s: has %d records and --k asks for %d demonstrations: "
                         "lower --k",
                         s->holdout, x->holdout.examples.count, s->k);
    if (s->per_example && !file_try(s->per_example, err)) return false;
    tell_data(s, x);
    Logps logp = logps_new(n);
    Buf members = {0};
    if (evaluate_data(m, s, x, &members, logp, err) &&
        (!s->per_example || write_per_example(s->per_example, &x->eval, pairs, logp, err)))
        print_evaluation(s, n, &members, seconds_now() - start, err);
    buf_free(&members);
    logps_free(&logp);
    return err->status == 0;
}

bool command_eval(const Settings *s, Error *err) {
    ModelFolder f;
    Splits x;
    const ObjectiveInfo *objective = &OBJECTIVES[s->objective];
    SplitFiles files = settings_files(s);
    files.eval = s->data.values[0];
    files.pairs = objective->pairs;
    if (!check_options(s, objective, err) || !settings_model(s, s->model, &f, err)) return false;
    if (splits_read(&x, &f, &files, err)) {
        evaluate_splits(s, f.model, &x, err);
        splits_free(&x);
    }
    model_folder_free(&f);
    return err->status == 0;
}
