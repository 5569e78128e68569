/* oracle: GPT-2 a second time, for tests: forward and backward from the equations, in plain loops over doubles.
 *
 *   Oracle *o = oracle_new(m);                          // a copy of the weights in double
 *   OracleRun *run = oracle_run(o, tokens, n);          // one sequence, every position, nothing cached
 *   double p = run->logp[t * V + next];                 // log p(next | tokens[0..t])
 *   oracle_backward(o, run, P, target, factor, grad);   // grad += d (sum_t factor[t] logp[t][target[t]]) / d weights
 *   oracle_run_free(run);
 *   oracle_free(o);
 *
 * It shares nothing with the model but the list of tensor names and shapes, and no trick: no blocks, no batches, no cache, no
 * threads; every derivative is the chain rule with the whole Jacobian written out. So it is slow, and easy to check by eye.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include "../model.h"

/* The weights of one layer, or their gradient. Matrices are [in][out], as y = x W + b wants them. */
typedef struct {
    double *ln_1_weight, *ln_1_bias, *c_attn_weight, *c_attn_bias, *attn_proj_weight, *attn_proj_bias;
    double *ln_2_weight, *ln_2_bias, *c_fc_weight, *c_fc_bias, *mlp_proj_weight, *mlp_proj_bias;
} OracleLayer;

typedef struct { double *wte, *wpe, *ln_f_weight, *ln_f_bias; OracleLayer *layer; } OracleTensors;

typedef struct {
    int L, H, C, T, V;   /* layers, heads, channels, context, vocabulary */
    const Model *model;  /* borrowed, for its tensor table */
    double *flat;        /* [parameters], laid out as the model's */
    OracleTensors w;     /* where each tensor lies in flat, found by name */
} Oracle;

Oracle *oracle_new(const Model *m);
void oracle_free(Oracle *o);

/* What one layer computed at every position, for the backward pass. */
typedef struct {
    double *x;          /* [n][C] input */
    double *normed_1;   /* [n][C] after the first layer norm */
    double *q, *k, *v;  /* [n][C] all heads side by side */
    double *p;          /* [H][n][n] attention probabilities: query, key */
    double *heads;      /* [n][C] outputs of the heads side by side */
    double *middle;     /* [n][C] after attention was added */
    double *normed_2;   /* [n][C] */
    double *fc, *act;   /* [n][4C] before and after gelu */
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

/* grad[parameters] += d (sum over t of factor[t] x logp[t][target[t]]) / d weights; target[t] < 0: nothing at t. The first P
 * positions are a constant prefix: no derivative goes into their keys and values (and they have no targets). */
void oracle_backward(const Oracle *o, const OracleRun *run, int P, const int *target, const double *factor, double *grad);

#endif
