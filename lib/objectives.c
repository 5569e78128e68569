#include "lib/objectives.h"

#include <math.h>

#include "lib/stats.h"

static double token_mean(double logp, int tokens) { return logp / tokens; }

static double token_sum(double logp, int tokens) { return (void)tokens, logp; }

const ReduceInfo REDUCTIONS[] = {
    [REDUCE_MEAN] = {"mean", "log-likelihoods divided by the answer's tokens", token_mean},
    [REDUCE_SUM] = {"sum", "log-likelihoods summed over the answer's tokens", token_sum},
};
_Static_assert(sizeof REDUCTIONS / sizeof *REDUCTIONS == REDUCE_COUNT, "a row each");

/* [E10] SFT: l = -(1/n_y) logp(y|x). The derivative does not depend on logp. */
double objective_sft(double logp, int tokens, double *dlogp) {
    *dlogp = -1.0 / tokens;
    return -logp / tokens;
}

/* -(1 - e) log sigmoid(z) - e log sigmoid(-z), where e is the label smoothing: the loss as if a
 * share e of all pairs were swapped. Its derivative by z is sigmoid(z) - (1 - e). */
static double smoothed(double z, double e, double *derivative) {
    *derivative = exp(log_sigmoid(z)) - (1 - e);
    return -(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z);
}

/* [E11] DPO: l = -log sigmoid(beta ([logp(y_w) - ref(y_w)] - [logp(y_l) - ref(y_l)])), token sums.
 */
double objective_dpo(const PairOptions *o, const PairLogps *p, PairGradient *g) {
    double chosen = o->beta * (p->chosen - p->chosen_reference), dz;
    double rejected = o->beta * (p->rejected - p->rejected_reference);
    double loss = smoothed(chosen - rejected, o->label_smoothing, &dz);
    if (g) *g = (PairGradient){o->beta * dz, -o->beta * dz, chosen, rejected};
    return loss;
}

/* [E12] SimPO: l = -log sigmoid((beta / n_w) logp(y_w) - (beta / n_l) logp(y_l) - gamma), where
 * gamma = beta x gamma-beta-ratio. */
double objective_simpo(const PairOptions *o, const PairLogps *p, PairGradient *g) {
    double by_w = o->beta / p->chosen_tokens, by_l = o->beta / p->rejected_tokens, dz;
    double chosen = by_w * p->chosen, rejected = by_l * p->rejected;
    double z = chosen - rejected - o->beta * o->gamma_beta_ratio;
    double loss = smoothed(z, o->label_smoothing, &dz);
    if (g) *g = (PairGradient){by_w * dz, -by_l * dz, chosen, rejected};
    return loss;
}

PairLogps pair_swapped(const PairLogps *p) {
    return (PairLogps){p->rejected,         p->chosen,          p->rejected_reference,
                       p->chosen_reference, p->rejected_tokens, p->chosen_tokens};
}

/* clang-format off */
const ObjectiveInfo OBJECTIVES[] = {
    /* name, help,                                   pairs needs_reference token_means reduce  beta
     * pair */
    [OBJECTIVE_SFT] = {"sft", "supervised fine-tuning on prompts with answers",
                       false, false, false, REDUCE_MEAN, 0.1, NULL},
    [OBJECTIVE_DPO] = {"dpo", "direct preference optimization of pairs, against the starting model",
                       true, true, false, REDUCE_SUM, 0.1, objective_dpo},
    [OBJECTIVE_SIMPO] = {"simpo", "simple preference optimization of pairs, without a reference",
                         true, false, true, REDUCE_SUM, 2, objective_simpo},
};
/* clang-format on */
_Static_assert(sizeof OBJECTIVES / sizeof *OBJECTIVES == OBJECTIVE_COUNT, "a row each");

double objective_pair(Objective objective, const PairOptions *o, const PairLogps *p,
                      PairGradient *g) {
    return OBJECTIVES[objective].pair(o, p, g);
}
