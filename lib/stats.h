/* stats: small statistics over arrays of doubles. Values that are not finite are left out.
 *
 * Usage:
 *   const double loss[3] = {0.5, 0.75, NAN};
 *   double mean, sd;
 *   int n = mean_sd(loss, 3, &mean, &sd);   // n = 2, mean = 0.625
 *   (void)n;
 */
#ifndef STATS_H
#define STATS_H

#include "lib/util.h"

#include <math.h>

/* Mean of the finite values and their sample standard deviation, which is NaN for fewer than two.
 * Returns how many were finite; with none the mean is NaN. */
int mean_sd(const double *v, int n, double *mean, double *sd);

/* The ROC curve of ranking by score: points (false positive rate, true positive rate) from (0,0)
 * to (1,1). Equal scores make one slanted piece. x and y have room for n + 1 points. Returns the
 * number of points and sets *area to the area under the curve. If one class is empty: 0 points and
 * NaN. */
int roc_curve(const double *score, const bool *positive, int n, double *x, double *y, double *area);

/* Two arms compared pair by pair (seed by seed), over the pairs with two finite values. */
typedef struct {
    int wins, ties, n;   /* of n pairs: how many mine wins, and how many are equal */
    double mine, theirs; /* the means */
} Duel;
Duel duel_of(const double *mine, const double *theirs, int n, bool higher_is_better);
/* Appends "better (0.21 against 0.32; better in 3 of 3 seeds)". It says better, worse or equal
 * only if every pair agrees, else undecided. */
void duel_text(Buf *b, const Duel *d, int decimals, const char *unit);

#endif
