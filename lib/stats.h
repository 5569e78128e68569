/* stats: how to judge scores, weights and repeated runs. Plain arrays of doubles: effective sample
 * size, AUROC, correlations, quantiles, ranks, means. Knows nothing of models or examples. Nothing
 * fails; n may be 0 unless said otherwise.
 *
 * Usage:
 *   double weight[] = {1, 0.5, 0}, score[] = {0.2, -0.1, -0.4};
 *   int clean[] = {1, 0, 0};
 *   printf("%g of 3 examples count\n", effective_sample_size(weight, 3));   // 1.8
 *   printf("AUROC %g\n", auroc(score, clean, 3));                           // 1
 *   printf("correlation %g\n", rank_correlation(score, weight, 3));         // 1
 *   double loss[] = {0.5, 0.75, NAN}, mean, sd;
 *   int finite = mean_sd(loss, 3, &mean, &sd);
 *   printf("mean %g of %d\n", mean, finite);                                // 0.625 of 2
 */
#ifndef STATS_H
#define STATS_H

#include "lib/util.h"

#include <math.h>

/* ---- scores and weights ---- */

/* A copy of x[n] in increasing order; free() it. */
double *sorted_copy(const double *x, int n);
/* The median of x[n], n >= 1. Sorts x. */
double median(double *x, int n);
/* The p-quantile, 0 <= p <= 1, of sorted values [n >= 1], linear between neighbors. */
double quantile(const double *sorted, int n, double p);
/* The rank of x among sorted values, from 0. Equal values share the mean of their ranks. x is one
 * of the values. */
double average_rank(const double *sorted, int n, double x);

/* The indices of the k largest values, the largest first. On a tie the smaller index comes first.
 * A value that is NaN is left out. index has room for k. Returns how many there are. */
int largest(const double *value, int n, int k, int *index);
/* The mean of x[n >= 1] and its standard deviation, both with the divisor n. */
void moments(const double *x, int n, double *mean, double *deviation);
/* log(1 / (1 + exp(-z))), stable for any z. */
double log_sigmoid(double z);

/* (sum of weights)^2 / (sum of their squares), between 1 and n. 0 if all weights are 0. */
double effective_sample_size(const double *weight, int n);
/* The probability that a random positive has a larger score than a random negative; a tie counts
 * half. label[i] is 1 for a positive, 0 for a negative, -1 for one that is left out. NaN if a class
 * is empty. */
double auroc(const double *score, const int *label, int n);
/* The same for many kinds of negatives at once: area[g] is the AUROC of all positives against the
 * negatives of group g. group[n] is AUROC_POSITIVE, AUROC_LEFT_OUT, or a number below `groups`.
 * area[groups] has the bits that auroc gives for each group alone. Time O(n log n). */
enum { AUROC_POSITIVE = -1, AUROC_LEFT_OUT = -2 };
void auroc_groups(const double *score, const int *group, int n, int groups, double *area);
double correlation(const double *x, const double *y,
                   int n); /* Pearson's; NaN if x or y is constant */
double rank_correlation(const double *x, const double *y,
                        int n); /* Spearman's, ties averaged; NaN likewise */

/* ---- repeated runs: values that are not finite are left out ---- */

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
