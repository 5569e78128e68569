/* eval: how probable a model finds the right answers of a file. */
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "train.h"
#include "program/commands.h"

static bool write_per_example(const char *path, const ExampleFile *data, bool pairs, const double *logp, Error *err) {
    Buf b = {0};
    for (int i = 0; i < data->data.count; i++) {
        const Example *e = &data->examples.items[i];
        buf_puts(&b, "{\"id\":");
        json_put_string(&b, data->data.records[i].id);
        json_key_number(&b, pairs ? "logp_chosen" : "logp", logp[pairs ? 2 * i : i]);
        json_key_number(&b, pairs ? "tokens_chosen" : "tokens", e->answer_n);
        if (pairs) {
            json_key_number(&b, "logp_rejected", logp[2 * i + 1]);
            json_key_number(&b, "tokens_rejected", e->rejected_n);
        }
        buf_puts(&b, "}\n");
    }
    bool ok = file_write(path, b.s, b.n, err);
    buf_free(&b);
    return ok;
}

/* DPO's reference log-likelihoods of `data` by the model of another folder. */
static bool reference_logps(const char *folder, const Examples *data, double *const reference[2], Error *err) {
    Model *m = model_load(folder, err);
    if (!m) return false;
    Workspace *ws = workspace_new();
    ica_answer_logps(m, ws, data, (Logps){reference[0], reference[1]}, NULL);
    workspace_free(ws);
    model_free(m);
    return true;
}

/* The result of eval as JSON members, and each record's log-likelihoods. */
static bool evaluate_file(const ModelFolder *f, const Settings *s, const Splits *x, Buf *members, double *logp, Error *err) {
    const Examples *data = &x->eval.examples;
    Workspace *ws = workspace_new();
    bool ok = true;
    if (settings_objective(s) == OBJECTIVE_SFT) {
        Metrics metrics = evaluate_answers(f->model, ws, data, &x->holdout.examples, s->k, logp);
        evaluate_put(members, &metrics);
        json_key_number(members, "dropped_demos", metrics.dropped);
        if (metrics.dropped)
            fprintf(stderr, "%d demonstrations did not fit the context and were dropped, farthest first\n", metrics.dropped);
    } else {
        bool dpo = settings_objective(s) == OBJECTIVE_DPO;
        double *reference[2] = {0};
        for (int a = 0; a < 2 && dpo; a++) reference[a] = mem_new((size_t)data->count, sizeof(double));
        ok = !dpo || reference_logps(s->reference, data, reference, err);
        if (ok) {
            PairMetrics metrics = evaluate_pairs(f->model, ws, data, s, reference, logp);
            evaluate_put_pairs(members, &metrics);
        }
        free(reference[0]);
        free(reference[1]);
    }
    workspace_free(ws);
    return ok;
}

bool command_eval(const Settings *s, Error *err) {
    ModelFolder f;
    Splits x;
    bool pairs = settings_objective(s) != OBJECTIVE_SFT;
    SplitFiles files = settings_files(s);
    files.eval = s->data.values[0];
    files.pairs = pairs;
    if (s->data.count != 1) error_set(err, STATUS_USAGE, "eval: --data takes one file");
    if (pairs && s->k > 0)
        error_set(err, STATUS_USAGE, "eval: --k is for --objective sft: pairs are evaluated without demonstrations");
    if (file_same(s->per_example, files.eval) || file_same(s->per_example, s->holdout))
        error_set(err, STATUS_USAGE, "eval: --per-example %s would overwrite its own input: choose another place", s->per_example);
    if (s->k > 0 && !s->holdout)
        error_set(err, STATUS_USAGE, "eval: --k %d needs --holdout FILE to take the demonstrations from", s->k);
    if (strcmp(s->objective, "dpo") == 0 && !s->reference)
        error_set(err, STATUS_USAGE, "eval: --objective dpo needs --reference DIR, the model that training started from");
    if (err->status || !model_folder_load(&f, s->model, err)) return false;
    if (!splits_read(&x, &f, &files, err)) {
        model_folder_free(&f);
        return false;
    }
    int n = x.eval.examples.count;
    double *logp = mem_new(2 * (size_t)n, sizeof *logp), start = seconds_now();
    Buf members = {0};
    if (s->k > x.holdout.examples.count && s->k > 0)
        error_set(err, STATUS_DATA, "%s: has %d records and --k asks for %d demonstrations: lower --k", s->holdout,
                  x.holdout.examples.count, s->k);
    else if (evaluate_file(&f, s, &x, &members, logp, err) &&
             (!s->per_example || write_per_example(s->per_example, &x.eval, pairs, logp, err))) {
        Buf b = {0};
        buf_puts(&b, "{\"command\":\"eval\"");
        json_key_string(&b, "model", s->model);
        json_key_string(&b, "data", files.eval);
        json_key_string(&b, "objective", s->objective);
        json_key_number(&b, "k", s->k);
        json_key_number(&b, "records", n);
        buf_printf(&b, ",%s", members.s);
        json_key_number(&b, "seconds", seconds_now() - start);
        buf_puts(&b, "}\n");
        settings_print(s, &b);
        buf_free(&b);
    }
    buf_free(&members);
    free(logp);
    splits_free(&x);
    model_folder_free(&f);
    return err->status == 0;
}
