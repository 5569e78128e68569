#include "lib/sampling.h"

#include <math.h>
#include <stdlib.h>

/* Sorts by falling logit. On a tie the smaller id comes first. */
static int compare_logits(const void *a, const void *b) {
    const Candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Each token of the row once, however often it stands there. */
static void penalize(const Sampling *how, const int *row, int n, int vocab, Candidate *list) {
    for (int i = 0; i < n && how->penalty != 1; i++) {
        if (row[i] < 0 || row[i] >= vocab || list[row[i]].p < 0) continue;
        Candidate *c = &list[row[i]];
        double logit = (double)c->logit;
        c->logit = (real)(logit < 0 ? logit * how->penalty : logit / how->penalty);
        c->p = -1; /* done */
    }
}

/* How many of the n candidates stay: the fewest whose sum is at least the share top_p. The first
 * always does. Sums start at the small end, as those of Hugging Face. */
static int nucleus(const Candidate *list, int n, double top_p) {
    double total = 0, tail = 0;
    for (int i = n - 1; i >= 0; i--) total += list[i].p;
    while (n > 1 && tail + list[n - 1].p <= (1 - top_p) * total) tail += list[--n].p;
    return n;
}

int sampling_candidates(const Sampling *how, const real *logits, int vocab, const int *row, int n,
                        Candidate *list) {
    for (int v = 0; v < vocab; v++) list[v] = (Candidate){logits[v], v, 0};
    penalize(how, row, n, vocab, list);
    qsort(list, (size_t)vocab, sizeof *list, compare_logits);
    list[0].p = 1;
    if (how->temperature <= 0) return 1;
    int kept = how->top_k > 0 && how->top_k < vocab ? how->top_k : vocab;
    for (int i = 0; i < kept; i++)
        list[i].p = exp((double)(list[i].logit - list[0].logit) / how->temperature);
    return how->top_p < 1 ? nucleus(list, kept, how->top_p) : kept;
}

int sampling_draw(const Sampling *how, const real *logits, int vocab, const int *row, int n,
                  Rng *rng) {
    Candidate *list = mem_new((size_t)vocab, sizeof *list);
    int kept = sampling_candidates(how, logits, vocab, row, n, list), chosen = list[0].id;
    double total = 0;
    for (int i = 0; i < kept && how->temperature > 0; i++) total += list[i].p;
    double at = rng_uniform(rng) * total;
    for (int i = 0; i < kept && how->temperature > 0; i++) {
        chosen = list[i].id;
        if ((at -= list[i].p) < 0) break;
    }
    free(list);
    return chosen;
}
