/* sample: what a model answers to one prompt while it trains, so that people see more than a loss.
 *
 * Usage:
 *   static const int prompt[] = {1, 2};
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 8, .vocab = 5};
 *   Model *m = model_new(shape, &err);
 *   model_initialize(m, 1);
 *   IntBuf answer = {0};
 *   sample_greedy(m, prompt, 2, 0, 4, &answer);    // until token 0, at most 4 tokens
 *   if (answer.n > 4) return 1;
 *   ints_free(&answer);
 *   model_free(m);
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "data/examples.h"

/* Appends the most probable token, again and again, until it is `end`, `most` tokens are there, or
 * the context is full. `end` is left out. */
void sample_greedy(const Model *m, const int *prompt, int n, int end, int most, IntBuf *answer);

/* A prompt to be asked again and again. */
typedef struct {
    const ModelFolder *folder; /* borrowed */
    IntBuf prompt;             /* in its template; empty: nothing is asked */
    int end;                   /* the token that ends an answer */
} Sample;

/* The prompt is `text`, or if that is NULL the prompt of the first example of the set (or NULL).
 * Without a vocabulary, or if the prompt fills the context, nothing is asked. */
Sample sample_new(const ModelFolder *f, const char *text, const Examples *set);
void sample_free(Sample *s);
/* Appends the answer of the model as text, cut after some tokens. Nothing if nothing is asked. */
void sample_answer(const Sample *s, Buf *b);

#endif
