/* oracle: the families of models and the paper a second time, for tests: forward, backward,
 * objectives, scores, weights and the optimizer's step from the equations, in plain loops over
 * doubles.
 *
 *   Oracle *o = oracle_new(m);                        // a copy of the weights in double
 *   OracleRun *run = oracle_run(o, tokens, n);        // one sequence, every position, no cache
 *   double p = run->logp[t * V + next];               // log p(next | tokens[0..t])
 *   // grad += d (sum over t of factor[t] logp[t][target[t]]) / d weights
 *   oracle_backward(o, run, P, target, factor, grad);
 *   oracle_run_free(run);
 *   // E5 with three demonstrations, a token mean
 *   double s = oracle_ica(o, &holdout, &pool.items[7], 3, true);
 *   oracle_free(o);
 *
 * It shares no code with the program, only its types and the list of tensor names and shapes,
 * and no trick: no blocks, no batches, no cache, no threads; every derivative is the chain rule
 * with the whole Jacobian written out. So it is slow, and easy to check by eye.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "ica.h"

/* y_j = b_j + sum_i x_i W_ij, where W_ij is W[i * row + j * column]. Files have GPT-2's matrices as
 * [in][out] and all others as [out][in]; queries, keys and values of GPT-2 are columns of one. */
typedef struct {
    double *W, *b; /* b NULL: none */
    int in, out, row, column;
} OracleLinear;

/* b NULL: RMS norm. */
typedef struct {
    double *g, *b;
} OracleNorm;

/* The weights of one layer, or their gradient. */
typedef struct {
    OracleNorm norm_1, norm_2;
    OracleNorm q_norm, k_norm; /* g NULL: none */
    OracleLinear q, k, v, o;
    OracleLinear gate, up, down; /* gate.W NULL: gelu */
} OracleLayer;

typedef struct {
    double *wte, *wpe, *head; /* wpe NULL: rotary positions */
    OracleNorm norm;
    OracleLayer *layer;
} OracleTensors;

typedef struct {
    int L, H, K, D, C, F, T, V; /* layers, heads, key/value heads, channels of a head, channels,
                                   inner channels, context, vocabulary */
    const Model *model;         /* borrowed, for its tensor table */
    double *flat;               /* [parameters], laid out as the model's */
    OracleTensors w;            /* where each tensor lies in flat, found by name */
} Oracle;

Oracle *oracle_new(const Model *m);
void oracle_free(Oracle *o);

/* What one layer computed at every position, for the backward pass. */
typedef struct {
    double *x;               /* [n][C] input */
    double *normed_1;        /* [n][C] after the first norm */
    double *q, *k, *v;       /* [n][H D], [n][K D] as the scores use them: all heads side by side */
    double *raw_q, *raw_k;   /* before the norms of heads and the turn */
    double *p;               /* [H][n][n] attention probabilities: query, key */
    double *heads;           /* [n][H D] outputs of the heads side by side */
    double *middle;          /* [n][C] after attention was added */
    double *normed_2;        /* [n][C] */
    double *gate, *up, *act; /* [n][F] gate, what it lets through, and what goes on */
} OracleActivations;

typedef struct {
    int n, layers;
    int *token;               /* [n] */
    OracleActivations *layer; /* [L] */
    double *x, *normed;       /* [n][C] after the last layer; after the last layer norm */
    double *logits, *logp;    /* [n][V] and their log-softmax */
    int *best;                /* [n] the first of the largest logits */
} OracleRun;

OracleRun *oracle_run(const Oracle *o, const int *tokens, int n); /* 1 <= n <= T */
void oracle_run_free(OracleRun *run);

/* grad[parameters] += d (sum over t of factor[t] x logp[t][target[t]]) / d weights; target[t] <
 * 0: nothing at t. The first P positions are a constant prefix: no derivative goes into their
 * keys and values (and they have no targets). */
void oracle_backward(const Oracle *o, const OracleRun *run, int P, const int *target,
                     const double *factor, double *grad);

/* ---- log-likelihoods of answers [E6, E10] ---- */

/* The k holdout examples of largest cosine similarity, the nearest last; what differs by
 * rounding only is a tie, and goes to the smaller index. Never one with x's own prompt, unless
 * leak. At most 200 different token ids. Returns how many. */
int oracle_nearest(const Examples *holdout, const Example *x, int k, bool leak, int *nearest);
/* C(x): the nearest ones without those, farthest first, that do not fit before x. shown[k];
 * returns how many. */
int oracle_context(const Oracle *o, const Examples *holdout, const Example *x, int k,
                   const Example **shown);
/* logp(y | shown_1, ..., shown_n, x), a token sum: y is x's answer, or its rejected one. `form`
 * says what a row starts with. */
double oracle_logp(const Oracle *o, const Examples *form, const Example *const *shown, int n,
                   const Example *x, bool rejected);

/* ---- scores: `mean` divides log-likelihoods by the answer's number of tokens ---- */

/* E5 */
double oracle_ica(const Oracle *o, const Examples *holdout, const Example *z, int k, bool mean);
/* E7a, token sums */
double oracle_margin(const Oracle *o, const Examples *holdout, const Example *z, int k);
/* E15 */
double oracle_rho(const Oracle *o, const Oracle *reference, const Examples *form, const Example *z,
                  bool mean);
/* E16 over the m holdout examples anchor[0..m-1]. */
double oracle_oneshot(const Oracle *o, const Examples *holdout, const Example *z, const int *anchor,
                      int m, bool mean);

/* ---- objectives: the loss, and its derivatives by the two log-likelihoods (token sums) ---- */

typedef struct {
    double loss, by_chosen, by_rejected;
} OracleLoss;
/* E10 */
OracleLoss oracle_sft(double logp, int tokens);
/* E11, E12 */
OracleLoss oracle_pair(Objective dpo_or_simpo, const PairOptions *how, const PairLogps *p);
/* The same of one example through the model. reference: DPO's two log-likelihoods, else NULL. */
OracleLoss oracle_loss(const Oracle *o, const Examples *form, const Example *z, Objective objective,
                       const PairOptions *how, const double *reference);
/* E7b: the drop of a pair's loss by its context. */
double oracle_pair_drop(const Oracle *o, const Examples *holdout, const Example *z, int k,
                        Objective objective, const PairOptions *how, const double *reference);
/* grad[parameters] += factor x d oracle_loss / d weights. */
void oracle_loss_gradient(const Oracle *o, const Examples *form, const Example *z,
                          Objective objective, const PairOptions *how, const double *reference,
                          double factor, double *grad);

/* ---- weights, and what is done with them ---- */

/* E19, from holdout values in any order */
double oracle_p(const double *holdout, int m, double value);
/* E20: P(not flipped) of score i */
double oracle_unflipped(double slope, const double *score, int n, int i);
/* of score i; E8 and the others */
double oracle_weight(WeightMap map, const MapOptions *how, const double *score, int n, int i);
/* E9: w_i / W, or the share of i's weighted tokens; 0 if W = 0 */
double oracle_coefficient(Normalize how, const double *weight, const int *tokens, int n, int micro,
                          int i);
/* E18 */
double oracle_sample_size(const double *weight, int n);
/* E13 for one weight: step t (from 1) with gradient g. */
typedef struct {
    double w, m, v;
} OracleWeight;
typedef struct {
    double learning_rate, beta1, beta2, epsilon, decay;
} OracleAdam;
void oracle_adamw(const OracleAdam *how, OracleWeight *x, double g, int t);

#endif
