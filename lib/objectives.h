/* objectives: the losses E10, E11 and E12 as scalar functions of log-likelihoods, with their
 * derivatives. A log-likelihood is a token sum in nats. Numbers go in, numbers come out. Nothing
 * fails.
 *
 * Usage:
 *   PairOptions o = {.beta = 0.1};
 *   PairLogps p = {.chosen = -5, .rejected = -7, .chosen_reference = -6, .rejected_reference = -6};
 *   PairGradient g;
 *   double loss = objective_pair(OBJECTIVE_DPO, &o, &p, &g);   // below log 2: the margin grew
 *   printf("%s: %g, by chosen %g\n", OBJECTIVES[OBJECTIVE_DPO].name, loss, g.d_chosen);
 */
#ifndef OBJECTIVES_H
#define OBJECTIVES_H

#include "lib/util.h"

typedef enum { OBJECTIVE_SFT, OBJECTIVE_DPO, OBJECTIVE_SIMPO, OBJECTIVE_COUNT } Objective;
typedef enum { REDUCE_MEAN, REDUCE_SUM, REDUCE_COUNT } Reduce;

/* The pair losses' constants. E12's gamma is beta * gamma_beta_ratio. With label_smoothing e, the
 * losses are as if a share e of all pairs had their answers swapped; E11 and E12 have e = 0. */
typedef struct {
    double beta, gamma_beta_ratio, label_smoothing;
} PairOptions;

/* A pair's two log-likelihoods, its answers' lengths, and (DPO) the reference's log-likelihoods. */
typedef struct {
    double chosen, rejected, chosen_reference, rejected_reference;
    int chosen_tokens, rejected_tokens;
} PairLogps;
/* The same with both answers swapped. */
PairLogps pair_swapped(const PairLogps *p);
/* Derivatives of the loss by the two log-likelihoods. And the rewards: the two terms whose
 * difference the loss takes, beta times each answer's log-likelihood (DPO: minus the reference's;
 * SimPO: its token mean). */
typedef struct {
    double d_chosen, d_rejected, reward_chosen, reward_rejected;
} PairGradient;

/* E10, of one answer; *dlogp: its derivative. */
double objective_sft(double logp, int tokens, double *dlogp);
/* E11, E12, and whichever `objective` names. g may be NULL. */
double objective_dpo(const PairOptions *o, const PairLogps *p, PairGradient *g);
double objective_simpo(const PairOptions *o, const PairLogps *p, PairGradient *g);
double objective_pair(Objective objective, const PairOptions *o, const PairLogps *p,
                      PairGradient *g);
typedef double PairLoss(const PairOptions *o, const PairLogps *p, PairGradient *g);

/* One objective of training. */
typedef struct {
    const char *name, *help;
    bool pairs;           /* takes preference pairs */
    bool needs_reference; /* compares with the log-likelihoods of the starting model */
    bool token_means;     /* of pairs: divides log-likelihoods by the answer's number of tokens */
    Reduce reduce;        /* default of --reduce */
    double beta;          /* default of --beta */
    PairLoss *pair;       /* SFT has none */
} ObjectiveInfo;
extern const ObjectiveInfo OBJECTIVES[]; /* [OBJECTIVE_COUNT] */

/* How an answer's log-likelihood enters a score. */
typedef struct {
    const char *name, *help;
    double (*reduce)(double logp, int tokens);
} ReduceInfo;
extern const ReduceInfo REDUCTIONS[]; /* [REDUCE_COUNT] */

#endif
