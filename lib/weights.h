/* weights: from scores to weights (E8 and the other maps), and from weights to the factors of a
 * batch's losses (E9). Numbers go in, numbers come out. Nothing fails.
 *
 * Usage:
 *   double score[] = {0.4, -0.1, 0.2}, weight[3], factor[3];
 *   map_weights(MAP_MINMAX, &(MapOptions){0}, score, 3, weight);              // 1, 0, 0.6
 *   if (loss_coefficients(NORMALIZE_BATCH, weight, NULL, 3, 3, factor))
 *       printf("%s: %g %g %g\n", MAPS[MAP_MINMAX].name, factor[0], factor[1], factor[2]);
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
    MAP_COUNT
} WeightMap;

typedef struct {
    double temperature; /* softmax */
    double share;       /* top */
    double clip;        /* clip: the share cut off at each end, 0.05 */
} MapOptions;

typedef struct MapInput MapInput; /* what a map may look at: lib/weights.c */

/* One map from scores to weights. */
typedef struct {
    const char *name, *help;
    bool of_batch; /* looks at the scores of one training batch, which `ica score` does not have */
    void (*weights)(const MapInput *in, double *weight);
} MapInfo;
extern const MapInfo MAPS[]; /* [MAP_COUNT] */

/* weight[n] >= 0 from score[n]. A score of NaN is not known: its weight is the mean of the others',
 * or 1 if none is known. For a map of_batch the caller passes the scores of one batch.
 * MAP_SOFTMAX's weights do not sum to 1: the largest is 1. MAP_POSITIVE has the score's units.
 * NORMALIZE_COUNT and NORMALIZE_NONE see that scale. */
void map_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight);

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

#endif
