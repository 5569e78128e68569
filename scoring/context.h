/* context: what the model is shown (E6). Examples as token ids, when two of them are the same, the
 * rows that the model reads, and the demonstrations of a candidate.
 *
 * Usage:
 *   int t[] = {0, 5, 6, 5, 7};   // the start token, a prompt with its answer, and another
 *   Example trusted = {.bare = t + 1, .prompt = t + 1, .answer = t + 2};
 *   trusted.bare_n = trusted.prompt_n = trusted.answer_n = 1;
 *   Example items[2] = {trusted, trusted};   // the same example twice: one is shown
 *   Example candidate = {.bare = t + 4, .prompt = t + 4, .answer = t + 2};
 *   candidate.bare_n = candidate.prompt_n = candidate.answer_n = 1;
 *   Examples holdout = {.count = 2, .items = items, .bos = t, .bos_n = 1};
 *   Examples pool = {.count = 1, .items = &candidate, .bos = t, .bos_n = 1};
 *   Demo demos[2];
 *   int n;
 *   contexts_choose(&pool, &holdout, &(ContextOptions){.k = 2, .room = 32}, demos, &n);
 *   if (n != 1 || demos[0].prompt_of != &items[0]) return 1;
 *
 * The chapter ica.c asks what a context does for an answer. Here a model runs only to embed prompts
 * (scoring/embedding.h). Nothing fails.
 */
#ifndef CONTEXT_H
#define CONTEXT_H

#include "lib/progress.h"
#include "lib/util.h"
#include "scoring/embedding.h"

/* ---- examples as token ids ---- */

/* Tokens and texts are borrowed from the set. For a preference pair `answer` is the chosen one. */
typedef struct {
    const int *bare;     /* the prompt's own tokens: what retrieval compares */
    const int *prompt;   /* the prompt inside its template: what the model reads */
    const int *answer;   /* the answer with its end token: what is scored */
    const int *rejected; /* pairs only, else NULL */
    int bare_n, prompt_n, answer_n, rejected_n;
    const int *start; /* what the row starts with, if it has a system turn of its own, else NULL */
    int start_n;
    /* Demonstrations as text stand inside the prompt's first turn, after so many of its tokens. As
     * turns they stand before the prompt: 0. */
    int insert;
    const int *told; /* demonstrations as text: the prompt as it is told, without its template */
    int told_n;
    /* What makes two prompts, and two answers, the same: their texts folded (text_fold of
     * lib/text.h). Of a conversation the prompt is everything before the answer. s is NULL where
     * there is no text: then the token ids are compared, `bare` and `answer`. */
    Str prompt_text, answer_text;
} Example;

/* How demonstrations stand in a row. */
typedef enum { DEMOS_AS_TURNS, DEMOS_AS_TEXT, DEMOS_AS_COUNT } DemosAs;
typedef struct {
    const char *name, *help;
} DemosAsInfo;
extern const DemosAsInfo DEMOS_AS[]; /* [DEMOS_AS_COUNT] */

/* The tokens between the parts of a demonstration. All zero: turns with nothing between. */
typedef struct {
    DemosAs as;
    const int *after; /* [after_n] after each demonstration: the template's `between`, or as text a
                       * blank line */
    const int *gap;   /* [gap_n] as text: from the prompt to its answer */
    const int *end;   /* [end_n] as text: the template's end of an answer, which is left out */
    int after_n, gap_n, end_n;
} DemoFrame;

typedef struct {
    int count;
    Example *items;
    const int *bos; /* what every row starts with that has no start of its own */
    int bos_n;
    DemoFrame frame;
    Arena arena; /* owns items, tokens and texts */
} Examples;

/* The one notion of "the same" in the project. The check that files are disjoint, own prompts, and
 * distinct demonstrations all ask these. */
bool same_prompt(const Example *a, const Example *b);
bool same_example(const Example *a, const Example *b); /* the same prompt and the same answer */
/* An order of examples by prompt, then answer, for qsort and the like. 0: the same example. */
int example_compare(const Example *a, const Example *b);

/* The same by token ids, which may differ where texts are the same. */
int example_compare_tokens(const Example *a, const Example *b);
/* A hash of seed and prompt, or with `answer` of seed, prompt and answer. Examples that are the
 * same have the same hash. */
uint64_t example_hash(const Example *e, uint64_t seed, bool answer);

/* ---- rows ---- */

/* One holdout example as it is shown: a prompt and the answer to it, of one example unless answers
 * are shuffled. */
typedef struct {
    const Example *prompt_of, *answer_of;
} Demo;

/* A question to the model: logp(y | demos, x), where y is x's answer or its rejected one. */
typedef struct {
    const Demo *demos; /* [n_demos], in the order of the row */
    int n_demos;
    const Example *x;
    bool rejected;
    double logp; /* out: token sum */
    int hits;    /* out: how many of the answer's tokens were the most probable token */
} Query;

/* Appends the query's row: start, demonstrations, prompt, answer; as text the demonstrations stand
 * inside the prompt. Returns the answer's place in the row. */
int query_row(const Examples *set, const Query *q, IntBuf *tokens);
/* How many tokens that row has. The last one is only predicted, never read. */
int query_length(const Examples *set, const Query *q);
/* Drops the farthest demonstrations, which are the first ones, until the row fits `room` tokens.
 * Both answers of a pair must fit, so that both see the same list. q->demos is `demos`, which is
 * changed in place. Returns how many were dropped. */
int query_fit(const Examples *set, int room, Query *q, Demo *demos);

/* ---- contexts [E6] ---- */

/* The index of a holdout's prompts, and which of its examples are copies of each other. Borrows the
 * holdout, and what `by` (NULL: TF-IDF) points to. Nothing is embedded before somebody asks. */
typedef struct HoldoutIndex HoldoutIndex;
HoldoutIndex *holdout_index(const Examples *holdout, const Embedder *by);
void holdout_index_free(HoldoutIndex *index); /* NULL is fine */
/* Items of the pool will be asked for, mostly in its order: many are embedded at a time, and with
 * `all` every one stays in memory. Without this each x is embedded alone. Borrows the pool. */
void holdout_index_expect(HoldoutIndex *index, const Examples *pool, bool all);
/* For Embedder.kept: the vectors of all prompts of a holdout, of which parts are indexed. */
Vectors *holdout_vectors(const Examples *holdout);
/* The k holdout examples nearest to x, the nearest last: distinct ones, and none with x's own
 * prompt unless allow_overlap. nearest[k]: indices into the holdout. Returns how many there are. */
int holdout_nearest(HoldoutIndex *index, const Example *x, int k, bool allow_overlap, int *nearest);
/* The first k distinct examples in the order of order[count], written to its front. Returns how
 * many there are. */
int holdout_distinct(const HoldoutIndex *index, int *order, int k);

typedef enum { DEMOS_NEAREST, DEMOS_RANDOM, DEMOS_FIXED, DEMOS_SHUFFLED, DEMO_COUNT } DemoChoice;

/* One way to choose demonstrations. */
typedef struct DemoChooser DemoChooser; /* what it may look at: context.c */
typedef struct {
    const char *name, *help;
    bool by_nearness; /* clusters apply: candidates of one may share demonstrations */
    bool drawn;       /* draws random numbers for every candidate */
    int (*choose)(DemoChooser *c, const Example *x,
                  Demo *demos); /* fills demos[k], returns how many */
} DemoInfo;
extern const DemoInfo DEMO_CHOICES[]; /* [DEMO_COUNT] */

typedef struct {
    DemoChoice demos;
    int k;
    Embedder embed; /* what makes prompts near; {0}: TF-IDF */
    /* DEMOS_NEAREST: group the candidates into at most this many clusters. A cluster shares one
     * list: the k nearest to its center. A candidate that would see its own prompt there is shown
     * the next nearest to the center instead. 0: every candidate has a list of its own. */
    int clusters;
    bool allow_overlap; /* examples with the candidate's own prompt may be shown: the leak */
    uint64_t seed;      /* of random demonstrations */
    int first;          /* the pool begins at this record of a larger one: ScoreOptions of ica.h */
    int room;           /* the model's context, in tokens */
    Progress *progress; /* hears of candidates; may be NULL */
} ContextOptions;

/* Chooses the demonstrations of every candidate, as many as fit: demos[count][k], of which
 * n_demos[i] count. Returns how many did not fit and were dropped. */
int contexts_choose(const Examples *pool, const Examples *holdout, const ContextOptions *how,
                    Demo *demos, int *n_demos);

#endif
