/* weights: from scores to weights (E8 and the other maps), and from weights to the factors of a
 * batch's losses (E9). Numbers go in, numbers come out. Nothing fails.
 *
 * Usage:
 *   double score[] = {0.4, -0.1, 0.2}, weight[3], factor[3];
 *   map_weights(MAP_MINMAX, &(MapOptions){0}, score, 3, weight);              // 1, 0, 0.6
 *   if (loss_coefficients(NORMALIZE_BATCH, weight, NULL, 3, 3, factor))
 *       printf("%s: %g %g %g\n", MAPS[MAP_MINMAX].name, factor[0], factor[1], factor[2]);
 *
 * Two maps compare candidates with the holdout's own values (accept, mirror): they read what
 * accept_levels and mirror_slope made of these.
 *
 * A new map is one value of WeightMap, one row of MAPS with its function above it in lib/weights.c,
 * and its formula in the oracle, against which tests/unit/test_weights.c holds every row.
 */
#ifndef WEIGHTS_H
#define WEIGHTS_H

#include "lib/util.h"

/* A row of a table of choices. Everything that a user chooses by name is an enum, and a table with
 * one row for each value. A row begins with the name on the command line and one sentence of help.
 * Options, help, messages and reports are made from these tables. */
typedef struct {
    const char *name, *help;
} Choice;

/* The maps. s is a score; minimum, maximum and ranks are of the scores that the map is given. */
typedef enum {
    MAP_MINMAX,       /* [E8] (s - min) / (max - min), over the pool */
    MAP_MINMAX_BATCH, /* the same, over each batch */
    MAP_CLIP,         /* the same between two percentiles, 0 below and 1 above */
    MAP_RANK,         /* rank / (n - 1), the smallest score has rank 0 */
    MAP_SOFTMAX,      /* exp((s - max) / (standard deviation * temperature)) */
    MAP_TOP,          /* 1 for the best `share`, else 0 */
    MAP_POSITIVE,     /* max(0, s) */
    MAP_FILTER,       /* 1 if s > 0, else 0 */
    MAP_ACCEPT,       /* [E19] 1 unless a number of the candidate is below its threshold */
    MAP_MIRROR,       /* [E20] of pairs: max(0, 2 P(not flipped) - 1) */
    MAP_COUNT
} WeightMap;

typedef struct {
    double temperature; /* softmax */
    double share;       /* top */
    double clip;        /* clip: the share cut off at each end, 0.05 */
    /* Maps of the holdout. The score is then the gain of accept_numbers. */
    double threshold[2];      /* accept: of the gain and of the likelihood */
    const double *likelihood; /* accept: [n] the second number; NULL: there is one alone */
    double slope;             /* mirror */
    bool relabel;             /* mirror: |2 P - 1|, for pairs that are swapped where P < 1/2 */
} MapOptions;

typedef struct MapInput MapInput; /* what a map may look at: lib/weights.c */

/* One map from scores to weights. */
typedef struct {
    const char *name, *help;
    bool of_batch; /* looks at the scores of one training batch, which `ica score` does not have */
    bool of_holdout; /* compares with the holdout's own scores */
    void (*weights)(const MapInput *in, double *weight);
} MapInfo;
extern const MapInfo MAPS[]; /* [MAP_COUNT] */

/* weight[n] >= 0 from score[n]. A score of NaN is not known: its weight is the mean of the others',
 * or 1 if none is known. For a map of_batch the caller passes the scores of one batch.
 * MAP_SOFTMAX's weights do not sum to 1: the largest is 1. MAP_POSITIVE has the score's units.
 * NORMALIZE_COUNT and NORMALIZE_NONE see that scale. */
void map_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight);

/* ---- candidates against the holdout ---- */

/* What is known of one scored record; NaN where the method has none. [0] is the (chosen) answer,
 * [1] a pair's rejected one. */
typedef struct {
    double score, alone[2]; /* log-likelihoods are token sums */
    double in_context[2];   /* after demonstrations; of RHO by a reference that has seen them */
    int tokens;             /* of the (chosen) answer */
} ScoredRecord;

/* The numbers that accept compares. Of ICA there are two: the gain (E5 by token means, of a pair
 * E7a) and the (chosen) answer's mean log-likelihood in context. Of RHO they are E15 and the mean
 * log-likelihood by the reference. Of other methods the gain is the score, and the likelihood NaN.
 * Both are NaN where the score is not known. */
void accept_numbers(const ScoredRecord *r, double *gain, double *likelihood);

/* The p-value of a number against m others. It says what accept means. The map
 * itself compares with thresholds, which is the same (accept_levels). */
double conformal_p(const double *other, int m, double value);

/* What the holdout's own numbers say, as doubles: the training state keeps doubles. */
typedef struct {
    double numbers;      /* 1 or 2 */
    double records;      /* m: how many holdout records have them */
    double level;        /* what is asked for, or numbers / (m + 1) if that is larger */
    double threshold[2]; /* the r-th smallest of each number */
    double clean[2];     /* the median of each, from which clean_share counts */
} AcceptLevels;

/* gain[m], likelihood[m] (or NULL) of the holdout; NaN is not known. level: the share of good
 * candidates that may be lost. False if nothing is known. */
bool accept_levels(const double *gain, const double *likelihood, int m, double level,
                   AcceptLevels *out);
/* The estimated share of candidates that are as good as the holdout, at most 1: half of these
 * exceed the holdout's median. The smaller estimate of the two numbers. */
double accept_clean_share(const AcceptLevels *levels, const double *gain, const double *likelihood,
                          int n);

/* The slope b of P(not flipped | s) = sigmoid(b s) from scores [m] of pairs that are not flipped
 * (NaN is not known). A flipped pair's score is minus its own. b is never below 0. It is 0, and
 * then mirror weighs every pair 0, if the scores do not sum to more than 0. */
double mirror_slope(const double *score, int m);
/* P(not flipped | s) of a pair. share is pi of E20: of the pairs that are not flipped. */
double mirror_probability(double slope, double share, double score);
/* The share of pairs that are not flipped, of n scores (NaN is not known), from .5 by expectation
 * and maximization. NaN if none is known. */
double mirror_share(double slope, const double *score, int n);
/* swapped[n]: is the pair more likely flipped than not, P < 1/2? Of an unknown score (NaN): no. */
void mirror_swapped(double slope, const double *score, int n, bool *swapped);

/* ---- the weighted gradient ---- */

/* What W is in g = sum of w_i grad l_i / W. */
typedef enum {
    NORMALIZE_BATCH,  /* [E9] the sum of the batch's weights */
    NORMALIZE_MICRO,  /* each micro-batch's sum, as in the public code; then their mean */
    NORMALIZE_COUNT,  /* the number of examples */
    NORMALIZE_NONE,   /* 1 */
    NORMALIZE_TOKENS, /* sum of w_i n_i, each w_i l_i being multiplied by n_i too */
    NORMALIZATION_COUNT
} Normalize;
extern const Choice NORMALIZATIONS[]; /* [NORMALIZATION_COUNT] */

/* coefficient[n]: the factor w_i / W of each example's loss in the batch's gradient. False if the
 * weights sum to 0: the step must be skipped. tokens[n]: the lengths of the answers, whose losses
 * are token means. Only NORMALIZE_TOKENS looks at them; else they may be NULL. micro: how many
 * examples are computed at once. Only NORMALIZE_MICRO looks at it, and gives 0 to a micro-batch
 * whose weights are all 0. */
bool loss_coefficients(Normalize how, const double *weight, const int *tokens, int n, int micro,
                       double *coefficient);
/* Moves the examples whose coefficient is not 0 to the front, in their order, with their
 * coefficients: the gradient of the others is 0. Returns how many. */
int weighted_first(int *example, double *coefficient, int n);

#endif
