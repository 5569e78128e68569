/* What a model makes of a file, and of a prompt: eval and generate. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "train.h"
#include "program/commands.h"

/* ---- evaluation ---- */

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
    ica_pair_logps(m, ws, data, reference[0], reference[1], NULL);
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

/* ---- generation ---- */

enum { SAMPLE_STREAM = 13 }; /* of the seed */

typedef struct { real logit; int id; } Candidate;

static int compare_candidates(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The next token: the most probable one at temperature 0, else a draw from the top_k (0: all). */
static int sample(const real *logits, int V, double temperature, int top_k, Rng *rng) {
    Candidate *c = mem_new((size_t)V, sizeof *c);
    for (int v = 0; v < V; v++) c[v] = (Candidate){logits[v], v};
    qsort(c, (size_t)V, sizeof *c, compare_candidates);
    int n = temperature <= 0 ? 1 : top_k > 0 && top_k < V ? top_k : V, chosen = c[0].id;
    double total = 0, *p = mem_new((size_t)n, sizeof *p);
    for (int i = 0; i < n && temperature > 0; i++) total += p[i] = exp((double)(c[i].logit - c[0].logit) / temperature);
    double at = rng_uniform(rng) * total;
    for (int i = 0; i < n && temperature > 0; i++) {
        chosen = c[i].id;
        if ((at -= p[i]) < 0) break;
    }
    free(p);
    free(c);
    return chosen;
}

bool command_generate(const Settings *s, Error *err) {
    ModelFolder f;
    if (!model_folder_load(&f, s->model, err)) return false;
    if (!f.tokenizer) {
        model_folder_free(&f);
        return error_set(err, STATUS_DATA, "%s: generating needs a vocabulary (vocab.json, merges.txt)", s->model);
    }
    IntBuf row = {0}, answer = {0}, end = {0};
    Str nothing = {"", 0};
    int T = f.model->config.context, V = f.model->config.vocab;
    template_bos(&f.template, f.tokenizer, &row);
    template_prompt(&f.template, f.tokenizer, str(s->prompt), &row);
    template_answer(&f.template, f.tokenizer, nothing, &end); /* its last token is where an answer stops */
    if (row.n < 1 || row.n >= T)
        error_set(err, STATUS_DATA,
                  "--prompt: has %d tokens; the model's context of %d needs at least one and leaves room for an answer "
                  "below %d",
                  row.n, T, T);
    else {
        Rng rng = rng_new((uint64_t)s->seed, SAMPLE_STREAM);
        Prefix *past = prefix_new(f.model, T);
        Workspace *ws = workspace_new();
        Batch b = {0};
        real *logits = mem_new((size_t)V, sizeof *logits);
        for (int left = s->max_new_tokens; left > 0 && past->length + row.n <= T; left--) {
            batch_clear(&b);
            batch_row_inputs(&b, row.v, row.n, past);
            model_extend(f.model, ws, &b);
            model_logits(f.model, ws, 0, logits);
            int next = sample(logits, V, s->sampling_temperature, s->top_k, &rng);
            if (next == end.v[end.n - 1]) break;
            ints_put(&answer, next);
            row.n = 0;
            ints_put(&row, next);
        }
        Buf text = {0};
        buf_puts(&text, "");
        tokenizer_decode(f.tokenizer, answer.v, answer.n, &text);
        if (s->json) {
            Buf out = {0};
            buf_puts(&out, "{");
            buf_puts(&out, "\"prompt\":");
            json_put_string(&out, str(s->prompt));
            buf_puts(&out, ",\"completion\":");
            json_put_string(&out, (Str){text.s, text.n});
            buf_printf(&out, ",\"tokens\":%d}", answer.n);
            puts(out.s);
            buf_free(&out);
        } else {
            fwrite(text.s, 1, text.n, stdout);
            putchar('\n');
        }
        buf_free(&text);
        free(logits);
        batch_free(&b);
        workspace_free(ws);
        prefix_free(past);
    }
    ints_free(&row);
    ints_free(&answer);
    ints_free(&end);
    model_folder_free(&f);
    return err->status == 0;
}
