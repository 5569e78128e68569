#include "lib/centers.h"

#include <stdlib.h>

double vector_dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

double vectors_cosine(const void *set, int a, int b) {
    const VectorSet *s = set;
    size_t n = (size_t)s->width;
    return vector_dot(s->vector + (size_t)a * n, s->vector + (size_t)b * n, s->width);
}

/* An index drawn with a probability proportional to its distance, or -1 if no distance is left. */
static int draw_center(const double *distance, int n, Rng *rng) {
    double total = 0;
    for (int i = 0; i < n; i++) total += distance[i];
    double at = rng_uniform(rng) * total;
    int drawn = -1;
    for (int i = 0; i < n && (drawn < 0 || at >= 0); i++) {
        if (distance[i] > 0) drawn = i;
        at -= distance[i];
    }
    return drawn;
}

void centers_choose(int n, CosineOf *cosine, const void *self, int clusters, Rng *rng, int *center,
                    Progress *progress) {
    double *distance = mem_new((size_t)n, sizeof *distance);
    for (int i = 0; i < n; i++) {
        distance[i] = 4; /* above any, which is at most 2: the first center becomes everyone's */
        center[i] = i;
    }
    progress_begin(progress, clusters);
    for (int c = 0; c < clusters; c++, progress_add(progress, 1)) {
        int drawn = draw_center(distance, n, rng);
        if (drawn < 0) break; /* everything is a center's equal */
        for (int i = 0; i < n; i++) {
            /* In float, equal things have distance 0 exactly. */
            double d = i == drawn ? 0 : 1 - (double)(float)cosine(self, i, drawn);
            if (d >= distance[i]) continue;
            distance[i] = d;
            center[i] = drawn;
        }
    }
    free(distance);
}
