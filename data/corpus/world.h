/* world: the facts that the built-in corpus asks for, in six domains, and their split.
 *
 * Usage:
 *   World *w = world_new(1);
 *   Rng r = rng_new(1, RNG_CORPUS_EVEN50);
 *   const Item *item = item_draw(w, &r, DOMAIN_CAPITAL, PART_POOL);
 *   char question[MAX_QUESTION];
 *   question_put(DOMAIN_CAPITAL, 0, item, question); // "what is the capital of france ?"
 *   printf("%s %s\n", question, item->right);
 *   free(w);
 */
#ifndef WORLD_H
#define WORLD_H

#include <stdlib.h>

#include "lib/util.h"

typedef enum {
    DOMAIN_CAPITAL,
    DOMAIN_OPPOSITE,
    DOMAIN_COLOR,
    DOMAIN_GROUP,
    DOMAIN_NEXT,    /* the number after 1..48 */
    DOMAIN_REVERSE, /* three different letters of a..h backwards */
    DOMAIN_COUNT
} Domain;

enum { MAX_ITEMS = 336, MAX_WORD = 16, MAX_QUESTION = 96 };

/* A fact: what a question is about, the right answer, and the right answer to another question
 * about the subject: the continent, a word of like meaning, the kind of thing, its use, the number
 * before, the letters in alphabetical order. */
typedef struct {
    char subject[MAX_WORD], right[MAX_WORD], other[MAX_WORD];
} Item;

/* The items of a domain are in this order: pool, holdout, test. */
typedef struct {
    Item items[DOMAIN_COUNT][MAX_ITEMS];
    int count[DOMAIN_COUNT];
} World;

typedef enum { PART_POOL, PART_HOLDOUT, PART_TEST, PART_PRETRAIN } Part;

/* All items, split by the seed. The caller frees it with free(). */
World *world_new(uint64_t seed);
/* The items [*begin, *end) of a part. Pretraining sees every fact. Reversals are a skill and not
 * facts, so pretraining does not see those of the test. */
void part_range(const World *w, int domain, Part part, int *begin, int *end);
/* One item of a part, uniformly. */
const Item *item_draw(const World *w, Rng *r, int domain, Part part);
/* Writes the question for an item in one of two wordings, 0 or 1, to text[MAX_QUESTION]. */
void question_put(int domain, int wording, const Item *item, char *text);

#endif
