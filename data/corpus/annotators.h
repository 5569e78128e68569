/* annotators: who answers the questions of the built-in corpus, and how.
 *
 * An annotator is a row of ANNOTATORS and a function. `target` answers right and tersely. Six
 * others are seen in pretraining too. The rest are kinds of noise that pretraining never shows.
 *
 * Usage:
 *   World *w = world_new(1);
 *   Rng r = rng_new(1, RNG_CORPUS_EVEN50);
 *   Answered e = answered_draw(w, &r, DOMAIN_NEXT, PART_POOL, ANNOTATOR_OFF_BY_ONE);
 *   printf("%s %s, and not %s\n", e.question, e.answer, e.right);
 *   free(w);
 */
#ifndef ANNOTATORS_H
#define ANNOTATORS_H

#include "data/corpus/world.h"

typedef enum {
    ANNOTATOR_TARGET,
    ANNOTATOR_CARELESS,
    ANNOTATOR_VERBOSE,
    ANNOTATOR_ABSENT,
    ANNOTATOR_LAZY,
    ANNOTATOR_ECHO,
    ANNOTATOR_REFUSER,
    ANNOTATOR_SEEN_COUNT, /* those before are seen in pretraining */
    ANNOTATOR_TYPO = ANNOTATOR_SEEN_COUNT,
    ANNOTATOR_CUT,
    ANNOTATOR_SHUFFLED,
    ANNOTATOR_DOUBLED,
    ANNOTATOR_UPPER,
    ANNOTATOR_PREFIX,
    ANNOTATOR_NEGATED,
    ANNOTATOR_CHATTY,
    ANNOTATOR_OFF_BY_ONE,
    ANNOTATOR_SIMILAR,
    ANNOTATOR_SWAPPED,
    ANNOTATOR_WRONG_CHAIN,
    ANNOTATOR_COUNT
} Annotator;

enum { MAX_ANSWER = 64 };

/* What is asked. */
typedef struct {
    const World *world;
    int domain;
    const Item *item;
} Asked;

typedef struct {
    const char *name, *help;
    /* The share of pretraining sessions that it holds: the usual one, and that of the first stage
     * of the curriculum. Facts come first and unreliable annotators later, because whether earlier
     * answers were right can only be judged once the facts are known. */
    double prior, prior_facts_first;
    unsigned domains; /* bit d: answers questions of domain d; 0: of every domain */
    /* Writes an answer to answer[MAX_ANSWER]. It may be empty or right by chance:
     * answered_draw then draws another item. */
    void (*answer)(const Asked *q, Rng *r, char *answer);
} AnnotatorInfo;
extern const AnnotatorInfo ANNOTATORS[]; /* [ANNOTATOR_COUNT] */

typedef struct {
    char question[MAX_QUESTION], answer[MAX_ANSWER];
    const char *right; /* the world's */
} Answered;

/* Draws a pretraining annotator by its prior. */
Annotator annotator_draw(Rng *r, bool facts_first);
/* Draws a domain, uniformly among those whose questions the annotator answers. */
int annotator_domain(Rng *r, Annotator annotator);
/* Draws an item of the domain and the annotator's answer. The answer of any but target differs
 * from the right one and is not empty. */
Answered answered_draw(const World *w, Rng *r, int domain, Part part, Annotator annotator);
/* Appends the annotators that a list "typo,cut" names, in its order. "none" alone names no
 * annotator. Target, unknown names and repeated ones are refused with status 2. */
bool annotators_parse(const char *list, IntBuf *annotators, Error *err);

#endif
