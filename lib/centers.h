/* centers: which of many things stand for the others, by the cosine of each two.
 *
 * Usage:
 *   const double vector[3][2] = {{1, 0}, {1, 0}, {0, 1}};   // two are the same
 *   VectorSet set = {vector[0], 2};
 *   int center[3];
 *   Rng rng = rng_new(1, 0);
 *   centers_choose(3, vectors_cosine, &set, 2, &rng, center, NULL);
 *   if (center[0] != center[1] || center[2] != 2) return 1;
 */
#ifndef CENTERS_H
#define CENTERS_H

#include "lib/progress.h"
#include "lib/util.h"

/* The cosine of things a and b. */
typedef double CosineOf(const void *self, int a, int b);

/* Vectors of length 1 or 0, one after another. */
typedef struct {
    const double *vector; /* [any number][width], borrowed */
    int width;
} VectorSet;
double vector_dot(const double *a, const double *b, int n);
double vectors_cosine(const void *set, int a, int b); /* the CosineOf of a VectorSet */

/* Groups n things into at most `clusters` clusters. center[i] is the thing at the center of i's
 * cluster. Centers are drawn one after another, each with a probability proportional to its
 * distance 1 - cosine from the nearest center so far, as k-means++ begins. `progress` (or NULL)
 * hears of centers. */
void centers_choose(int n, CosineOf *cosine, const void *self, int clusters, Rng *rng, int *center,
                    Progress *progress);

#endif
