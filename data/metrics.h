/* metrics: what a model makes of examples, measured, and metrics.json, where a run keeps it.
 *
 * Usage:
 *   static const int prompt[] = {1, 2}, answer[] = {3, 0};
 *   Example item = {.bare = prompt, .bare_n = 2, .prompt = prompt, .prompt_n = 2,
 *                   .answer = answer, .answer_n = 2};
 *   Examples data = {.count = 1, .items = &item};
 *   Error err = {0};
 *   Model *m = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8, .context = 8,
 *                                      .vocab = 5}, &err);
 *   Workspace *ws = workspace_new();
 *   Buf members = {0};
 *   Metrics x = evaluate_answers(m, ws, &data, NULL, NULL, NULL);  // weights 0: each token 1/5
 *   metrics_put(&members, &x);                                  // "nll":1.609...
 *   buf_free(&members);
 *   workspace_free(ws);
 *   model_free(m);
 *
 * Errors: status 4 if the file cannot be written, 5 for numbers that are not finite.
 */
#ifndef METRICS_H
#define METRICS_H

#include "data/examples.h"

/* An evaluation on examples with one right answer. */
typedef struct {
    double nll;          /* mean over records of the token mean of -log p */
    double perplexity;   /* exp(total loss / total tokens) */
    double p_sequence;   /* mean over records of the whole answer's probability */
    double exact_match;  /* share of records whose greedy tokens are the answer's */
    double nats, tokens; /* the total loss, and the tokens */
    int dropped;         /* demonstrations that did not fit the context */
    int broken;          /* the first record whose log-likelihood is not finite, or -1 */
} Metrics;

/* An evaluation on preference pairs: means over the pairs. */
typedef struct {
    double loss;
    double reward_accuracy; /* share of pairs whose chosen reward is larger than the rejected one */
    double margin;          /* chosen reward minus rejected reward */
    int broken;             /* the first pair with a log-likelihood that is not finite, or -1 */
} PairMetrics;

/* An evaluation of a file. What is not there is NaN. */
typedef struct {
    int records;       /* 0: there is no such file */
    Metrics answers;   /* of prompts with an answer */
    PairMetrics pairs; /* of pairs */
} Measured;

/* With the nearest holdout demonstrations in context, by how->k, embedding and vectors; how NULL:
 * none. logp (or NULL): [count]. */
Metrics evaluate_answers(const Model *m, Workspace *ws, const Examples *data,
                         const Examples *holdout, const ScoreOptions *how, double *logp);
/* reference: DPO's log-likelihoods, else empty. logp (or NULL): the pairs' own, [count] each. */
PairMetrics evaluate_pairs(const Model *m, Workspace *ws, const Examples *data, Objective objective,
                           const PairOptions *pair, Logps reference, const Logps *logp);

/* The same in parts: `data` is a part of `all` records. Adds it to *x, which begins as {.broken =
 * -1} and is complete after metrics_end or pair_metrics_end. Then x has the bits of the whole. */
void evaluate_answers_part(const Model *m, Workspace *ws, const Examples *data,
                           const Examples *holdout, const ScoreOptions *how, int all, double *logp,
                           Metrics *x);
void metrics_end(Metrics *x, int all);
void evaluate_pairs_part(const Model *m, Workspace *ws, const Examples *data, Objective objective,
                         const PairOptions *pair, Logps reference, int all, Logps logp,
                         PairMetrics *x);
void pair_metrics_end(PairMetrics *x, int all);

/* One of the two for a file, as the objective asks for, without demonstrations. False with status 5
 * if a log-likelihood is not finite: the error names its record. */
bool evaluate_file(const Model *m, Workspace *ws, const ExampleFile *data, Objective objective,
                   const PairOptions *pair, Logps reference, Measured *out, Error *err);
/* logp(y|x) of every answer of a file by a model that others are compared with, into out [count].
 * False with status 5 if one is not finite: the error names its record. */
bool reference_logps(const Model *m, Workspace *ws, const ExampleFile *data, Logps out, Cost *cost,
                     Error *err);
/* Log-likelihoods of count answers, zeroed. */
Logps logps_new(int count);
void logps_free(Logps *x);

/* Append members of a JSON object. */
void metrics_put(Buf *b, const Metrics *x);
void pair_metrics_put(Buf *b, const PairMetrics *x);
/* Writes metrics.json into the folder: these members, and how many records they are of. */
bool metrics_write(const char *folder, const Buf *members, int records, Error *err);

#endif
