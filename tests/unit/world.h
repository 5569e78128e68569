/* world: a small world for tests of scores: a model of large random weights, examples of random
 * words.
 *
 *   World w = {.m = random_model(1, 96), .other = random_model(2, 96), .ws = workspace_new()};
 *   random_examples(&w.pool, &rng, 400, 30);
 *   random_examples(&w.holdout, &rng, 40, 30);
 *   ... world_free(&w);
 *
 * The template is ASK bare REPLY | answer END, behind BOS. Examples own what they point to, in
 * their arena, unless said otherwise. Nothing fails. */
#ifndef WORLD_H
#define WORLD_H

#include "ica.h"

enum { VOCAB = 50, BOS = 0, ASK = 1, REPLY = 2, END = 3, WORD = 4 };
extern const int BOS_ROW[1];

typedef struct {
    Model *m, *other; /* the other: RHO's and DPO's reference */
    Workspace *ws;
    Examples pool, holdout;
} World;

void world_free(World *w);

/* 2 layers, 2 heads, 32 channels. Weights far larger than GPT-2's first ones, so that contexts
 * matter a lot. */
Model *random_model(uint64_t seed, int context);

/* Makes room for so many examples, to be filled in. */
void examples_begin(Examples *e, int count);
/* n words, of which there are `words` different ones: few make many prompts begin alike. They
 * belong to the arena. */
int *random_words(Arena *arena, Rng *rng, int n, int words);
/* An example with this bare prompt [bare_n], which it borrows; answers include END. rejected_n
 * 0: none was rejected. */
Example example_of(Arena *arena, Rng *rng, const int *bare, int bare_n, int answer_n,
                   int rejected_n);
Example random_example(Arena *arena, Rng *rng, int bare_n, int words, int answer_n, int rejected_n);
/* Prompts of 2 to 6 words, answers and rejected ones of 2 to 5 tokens. */
void random_examples(Examples *e, Rng *rng, int count, int words);
/* Both models; 40 random examples as holdout; and a pool about 56 topics. Candidates of one topic
 * have the same prompt, hence the same nearest demonstrations. One to five a topic. */
World topic_world(uint64_t seed, int context);
/* The first n examples. They stay e's. */
Examples first_of(const Examples *e, int n);

/* ---- log-likelihoods by hand ---- */

/* Appends v[n]. */
void put_all(IntBuf *row, const int *v, int n);
/* logp(y | demos, x): one row, alone in its batch. hits or NULL. */
double logp_by_hand(const Model *m, Workspace *ws, const Demo *demos, int n_demos, const Example *x,
                    bool rejected, int *hits);
double logp_alone(const Model *m, Workspace *ws, const Example *x);
double reduced(Reduce how, double logp, int tokens);
bool same_bits(double a, double b);

#endif
