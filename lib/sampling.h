/* sampling: the next token, chosen from a model's logits.
 *
 * In this order, which is the one of Hugging Face's generate:
 *   1. penalty      the logit of a token that stands in the row already is divided by it, or
 *                   multiplied if it is negative (Keskar et al. 2019)
 *   2. temperature  logits are divided by it; 0: the most probable token, and what follows is void
 *   3. top_k        only that many most probable tokens stay (Fan, Lewis and Dauphin 2018)
 *   4. top_p        only the fewest most probable tokens stay whose probabilities, among those that
 *                   stayed, sum to at least top_p (Holtzman et al. 2019)
 *   5. a draw from what stayed
 * Of tokens with equal logits the smaller id comes first.
 *
 * Usage:
 *   const real logits[4] = {0.5f, 2, 1.5f, -1};
 *   const int row[] = {1};
 *   Sampling greedy = {.penalty = 2, .top_p = 1};
 *   Rng rng = rng_new(1, RNG_GENERATE);
 *   if (sampling_draw(&greedy, logits, 4, row, 1, &rng) != 2) return 1; // 2 / 2 is below 1.5
 */
#ifndef SAMPLING_H
#define SAMPLING_H

#include "lib/util.h"

typedef struct {
    double penalty;     /* 1: none */
    double temperature; /* 0: the most probable token */
    int top_k;          /* 0: all */
    double top_p;       /* 1: all */
} Sampling;

typedef struct {
    real logit; /* after the penalty */
    int id;
    double p; /* its share of exp(logit / temperature), not normalized */
} Candidate;

/* Fills list[vocab] with what stays after step 4, the most probable first, and returns how many
 * they are: at least 1. row[n]: the tokens so far. */
int sampling_candidates(const Sampling *how, const real *logits, int vocab, const int *row, int n,
                        Candidate *list);
/* A token, by one number of the stream. */
int sampling_draw(const Sampling *how, const real *logits, int vocab, const int *row, int n,
                  Rng *rng);

#endif
