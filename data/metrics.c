#include "data/metrics.h"

#include <math.h>
#include <stdlib.h>

#include "lib/file.h"
#include "lib/json.h"

Logps logps_new(int count) {
    size_t n = (size_t)count;
    return (Logps){mem_new(n, sizeof(double)), mem_new(n, sizeof(double))};
}

void logps_free(Logps *x) {
    free(x->chosen);
    free(x->rejected);
    *x = (Logps){0};
}

/* ---- evaluation ---- */

void evaluate_answers_part(const Model *m, Workspace *ws, const Examples *data,
                           const Examples *holdout, const ScoreOptions *how, int all, double *logp,
                           Metrics *x) {
    double unused;
    int *hits = mem_new((size_t)data->count, sizeof *hits);
    Progress p = progress_new("evaluating", NULL);
    ws->progress = &p;
    x->dropped += ica_evaluate(m, ws, data, holdout, how, logp, hits);
    ws->progress = NULL;
    progress_end(&p);
    for (int i = 0; i < data->count; i++) {
        int n = data->items[i].answer_n;
        if (x->broken < 0 && !isfinite(logp[i])) x->broken = i;
        x->nll += objective_sft(logp[i], n, &unused) / all;
        x->p_sequence += exp(logp[i]) / all;
        x->exact_match += hits[i] == n;
        x->nats -= logp[i];
        x->tokens += n;
    }
    free(hits);
}

void metrics_end(Metrics *x, int all) {
    x->exact_match /= all; /* A sum of counts is exact, a sum of shares is not. */
    x->perplexity = exp(x->nats / x->tokens);
}

Metrics evaluate_answers(const Model *m, Workspace *ws, const Examples *data,
                         const Examples *holdout, const ScoreOptions *how, double *logp) {
    Metrics x = {.broken = -1};
    double *own = logp ? NULL : mem_new((size_t)data->count, sizeof *own);
    evaluate_answers_part(m, ws, data, holdout, how, data->count, logp ? logp : own, &x);
    metrics_end(&x, data->count);
    free(own);
    return x;
}

void evaluate_pairs_part(const Model *m, Workspace *ws, const Examples *data, Objective objective,
                         const PairOptions *pair, Logps reference, int all, Logps logp,
                         PairMetrics *x) {
    Progress watch = progress_new("evaluating", NULL);
    ws->progress = &watch;
    ica_answer_logps(m, ws, data, logp, NULL);
    ws->progress = NULL;
    progress_end(&watch);
    for (int i = 0; i < data->count; i++) {
        PairLogps p = pair_logps(&data->items[i], logp.chosen[i], logp.rejected[i], reference, i);
        PairGradient g;
        if (x->broken < 0 && !isfinite(p.chosen + p.rejected)) x->broken = i;
        x->loss += objective_pair(objective, pair, &p, &g) / all;
        x->margin += (g.reward_chosen - g.reward_rejected) / all;
        x->reward_accuracy += g.reward_chosen > g.reward_rejected;
    }
}

void pair_metrics_end(PairMetrics *x, int all) { x->reward_accuracy /= all; }

PairMetrics evaluate_pairs(const Model *m, Workspace *ws, const Examples *data, Objective objective,
                           const PairOptions *pair, Logps reference, const Logps *logp) {
    PairMetrics x = {.broken = -1};
    Logps own = logp ? *logp : logps_new(data->count);
    evaluate_pairs_part(m, ws, data, objective, pair, reference, data->count, own, &x);
    pair_metrics_end(&x, data->count);
    if (!logp) logps_free(&own);
    return x;
}

bool evaluate_file(const Model *m, Workspace *ws, const ExampleFile *data, Objective objective,
                   const PairOptions *pair, Logps reference, Measured *out, Error *err) {
    bool of_pairs = OBJECTIVES[objective].pairs;
    const Examples *x = &data->examples;
    *out = (Measured){x->count, {.nll = NAN}, {.loss = NAN}};
    if (x->count == 0) return true;
    if (of_pairs) out->pairs = evaluate_pairs(m, ws, x, objective, pair, reference, NULL);
    else out->answers = evaluate_answers(m, ws, x, NULL, NULL, NULL);
    int broken = of_pairs ? out->pairs.broken : out->answers.broken;
    return broken < 0 || example_broken(data, broken, err);
}

bool reference_logps(const Model *m, Workspace *ws, const ExampleFile *data, Logps out, Cost *cost,
                     Error *err) {
    Progress p = progress_new("answers by the reference", NULL);
    ws->progress = &p;
    ica_answer_logps(m, ws, &data->examples, out, cost);
    ws->progress = NULL;
    progress_end(&p);
    for (int i = 0; i < data->examples.count; i++)
        if (!isfinite(out.chosen[i]) || (out.rejected && !isfinite(out.rejected[i])))
            return example_broken(data, i, err);
    return true;
}

/* ---- the file ---- */

void metrics_put(Buf *b, const Metrics *x) {
    json_key_number(b, "nll", x->nll);
    json_key_number(b, "perplexity", x->perplexity);
    json_key_number(b, "p_sequence", x->p_sequence);
    json_key_number(b, "exact_match", x->exact_match);
}

void pair_metrics_put(Buf *b, const PairMetrics *x) {
    json_key_number(b, "loss", x->loss);
    json_key_number(b, "reward_accuracy", x->reward_accuracy);
    json_key_number(b, "margin", x->margin);
}

bool metrics_write(const char *folder, const Buf *members, int records, Error *err) {
    Buf b = {0};
    buf_printf(&b, "{%.*s,\"records\":%d}\n", (int)members->n, members->s, records);
    char *path = path_join(folder, "metrics.json");
    bool ok = file_write(path, b.s, b.n, err);
    free(path);
    buf_free(&b);
    return ok;
}
