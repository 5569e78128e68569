/* ica: the paper. What the model is shown, how probable answers then are, and what a candidate's
 * score is (E5, E7, E14 to E16 and the rivals). What weight a score becomes (E8, E9) is in
 * lib/weights.h, and what loss it weighs (E10 to E12) in lib/objectives.h.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 32, .vocab = 16};
 *   Model *model = model_new(shape, &err);
 *   model_initialize(model, 1);
 *   Workspace *ws = workspace_new();
 *   int t[] = {0, 5, 6, 3, 5, 7, 3};   // the start token, then a prompt and an answer, twice
 *   Example trusted = {.bare = t + 1, .prompt = t + 1, .answer = t + 2};
 *   trusted.bare_n = trusted.prompt_n = 1;
 *   trusted.answer_n = 2;
 *   Example candidate = trusted;
 *   candidate.answer = t + 5;
 *   Examples holdout = {.count = 1, .items = &trusted, .bos = t, .bos_n = 1};
 *   Examples pool = {.count = 1, .items = &candidate, .bos = t, .bos_n = 1};
 *   ScoreOptions how = {.method = METHOD_ICA, .k = 1, .allow_overlap = true};
 *   Scores s = {0};
 *   double weight[1];
 *   ica_score(model, NULL, ws, &pool, &holdout, &how, &s);   // s.score[i] for each candidate
 *   map_weights(MAP_MINMAX, &(MapOptions){0}, s.score, pool.count, weight);
 *   printf("score %g, weight %g\n", s.score[0], weight[0]);
 *   scores_free(&s);
 *   workspace_free(ws);
 *   model_free(model);
 *
 * This file asks the model one thing: token ids go in, log-likelihoods come out. It has no tensor
 * code. An example's "bare" prompt is the prompt without its template.
 *
 * Notation as in the paper: a candidate is z = (x, y), prompt and answer. C(x) is its context, and
 * l(y|x) = -logp(y|x). A log-likelihood is a sum over the answer's tokens, in nats, unless a name
 * says mean. Nothing here fails: rows must fit the model's context, which the reader of the data
 * checks. README has the table of equations.
 */
#ifndef ICA_H
#define ICA_H

#include "lib/fast/share.h"
#include "lib/objectives.h"
#include "lib/tfidf.h"
#include "lib/weights.h"
#include "model.h"

/* ---- examples as token ids ---- */

/* Tokens are borrowed from the set. For a preference pair `answer` is the chosen one. */
typedef struct {
    const int *bare;     /* the prompt's own tokens: what retrieval compares */
    const int *prompt;   /* the prompt inside its template: what the model reads */
    const int *answer;   /* the answer with its end token: what is scored */
    const int *rejected; /* pairs only, else NULL */
    int bare_n, prompt_n, answer_n, rejected_n;
} Example;

typedef struct {
    int count;
    Example *items;
    const int *bos; /* what every row starts with */
    int bos_n;
    Arena arena; /* owns items and tokens */
} Examples;

/* Log-likelihoods of the answers of n examples, [n] each. `rejected` is of pairs, else it may be
 * NULL. Both are NULL where nothing is known. */
typedef struct {
    double *chosen, *rejected;
} Logps;

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

/* Appends the query's row: start token, demonstrations, prompt, answer. Returns the answer's place
 * in the row. */
int query_row(const Examples *set, const Query *q, IntBuf *tokens);
/* How many tokens that row has. The last one is only predicted, never read. */
int query_length(const Examples *set, const Query *q);

/* Appends to the batch the rows of items index[0..n-1] (index NULL: items 0..n-1) without
 * demonstrations. A pair has two rows, the chosen answer's and then the rejected one's. */
void ica_batch(Batch *b, const Examples *data, const int *index, int n, bool pairs);

/* ---- contexts [E6] ---- */

/* The index of the holdout's prompts; tfidf_free it. Borrows the holdout. */
Tfidf *ica_index(const Examples *holdout);
/* The k holdout examples nearest to x, the nearest last. One with x's own prompt is among them only
 * if allow_overlap. nearest[k]: indices into the holdout. Returns how many there are. */
int ica_nearest(const Tfidf *index, const Example *x, int k, bool allow_overlap, int *nearest);

typedef enum { DEMOS_NEAREST, DEMOS_RANDOM, DEMOS_FIXED, DEMOS_SHUFFLED, DEMO_COUNT } DemoChoice;

/* One way to choose demonstrations. */
typedef struct DemoChooser DemoChooser; /* what it may look at: ica.c */
typedef struct {
    const char *name, *help;
    bool by_nearness; /* `contexts` applies: a cluster of candidates may share demonstrations */
    bool drawn;       /* draws random numbers for every candidate */
    int (*choose)(DemoChooser *c, const Example *x,
                  Demo *demos); /* fills demos[k], returns how many */
} DemoInfo;
extern const DemoInfo DEMO_CHOICES[]; /* [DEMO_COUNT] */

/* ---- log-likelihoods ---- */

/* Fills in logp and hits of queries[n]. What rows have in common before their answers
 * (demonstrations, a pair's prompt, the first words of a question) is computed once where that pays
 * (lib/fast/share.h). The bits do not depend on it. Every row must fit the model's context. *cost
 * (or NULL) grows by what the passes cost. */
void ica_logps(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
               Cost *cost);
/* The twin, which runs each entire row. Same signature, same bits. */
void ica_logps_naive(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
                     Cost *cost);

/* logp(y|x) of every item of `data`, for both answers where out.rejected is not NULL. cost may be
 * NULL. */
void ica_answer_logps(const Model *m, Workspace *ws, const Examples *data, Logps out, Cost *cost);
/* Evaluation in context: logp(y | k nearest demonstrations, x) of every item, and how many of the
 * answer's tokens were the most probable token (hits may be NULL). k = 0 needs no holdout. Returns
 * how many demonstrations did not fit and were dropped. */
int ica_evaluate(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout,
                 int k, double *logp, int *hits);

/* ---- scores ---- */

/* What the pair losses read of item i, whose answers have these log-likelihoods. reference: DPO's,
 * of the entire set. Its members are NULL if there is none. */
PairLogps pair_logps(const Example *e, double chosen, double rejected, Logps reference, int i);
/* Are both answers the same tokens? The pair's loss is then a constant. Its gradient is exactly 0,
 * while the difference of two computed gradients would be rounding. */
bool same_answers(const Example *e);

/* What scores a candidate. METHODS in ica.c says each in a line. */
typedef enum {
    METHOD_ICA,
    METHOD_RHO,
    METHOD_ONESHOT,
    METHOD_NUGGETS,
    METHOD_GRADIENT,
    METHOD_INCONTEXT,
    METHOD_LOSS,
    METHOD_RANDOM,
    METHOD_COUNT
} Method;
typedef enum { PAIR_MARGIN, PAIR_LOSS, PAIR_SCORE_COUNT } PairScore;
/* Anchors are holdout examples whose answers are scored after the candidate: One-shot, NUGGETS. */
typedef enum { ANCHORS_NEAREST, ANCHORS_RANDOM, ANCHORS_COUNT } Anchors;

typedef struct Evidence
    Evidence; /* what is known of one candidate when its score is computed: ica.c */

/* One method of scoring. ica_score computes what the needs_ members ask for, then calls `answer` or
 * `pair` for each candidate. */
typedef struct {
    const char *name, *help;
    bool needs_holdout;   /* trusted examples */
    bool needs_alone;     /* logp(y|x) of every candidate */
    bool needs_k;         /* k demonstrations for every candidate, and logp(y|C,x) */
    bool needs_reference; /* a model trained on the holdout */
    bool needs_anchors;   /* logp of holdout answers after the candidate */
    bool needs_gradients; /* of candidates and holdout; of pairs, the holdout needs both answers */
    double (*answer)(const Evidence *z); /* the score of a prompt with an answer */
    double (*pair)(const Evidence *z);   /* the score of a preference pair */
} MethodInfo;
extern const MethodInfo METHODS[]; /* [METHOD_COUNT] */

/* What ICA's score of a pair is [E7a, E7b]. */
typedef struct {
    const char *name, *help;
    double (*score)(const Evidence *z);
} PairScoreInfo;
extern const PairScoreInfo PAIR_SCORES[]; /* [PAIR_SCORE_COUNT] */
extern const Choice ANCHOR_CHOICES[];     /* [ANCHORS_COUNT] */

/* Does the method show or ask k holdout examples for each candidate? */
bool method_needs_k(Method method, Anchors anchors);

typedef struct {
    Method method;
    Objective objective;
    PairScore pair_score;
    PairOptions pair;
    /* DPO: log-likelihoods by the starting model, of the pool and (METHOD_GRADIENT) of the holdout.
     * Borrowed. */
    Logps pool_reference, holdout_reference;
    /* Log-likelihoods of the pool that the caller already has; members NULL: compute them.
     * earlier_alone is by exactly the weights that score now, as DPO's reference is at a run's
     * first step. earlier_by_reference is by METHOD_RHO's reference, which never changes.
     * Borrowed. */
    Logps earlier_alone, earlier_by_reference;
    int k;
    DemoChoice demos;
    /* DEMOS_NEAREST: group the candidates into at most this many clusters. A cluster shares one
     * list of demonstrations. A candidate that would see its own prompt there gets its own list. 0:
     * every candidate does. */
    int contexts;
    Reduce reduce; /* how an answer's log-likelihood enters a score: token mean or sum */
    Anchors anchors;
    int num_anchors;    /* for ANCHORS_RANDOM; ANCHORS_NEAREST takes k */
    bool allow_overlap; /* examples with the candidate's own prompt may be shown: the leak */
    uint64_t seed;      /* of random demonstrations, anchors and scores */
    /* The pool is a part of a larger one and begins at this record of it. The earlier records are
     * in front of its items. Random numbers are then those that the entire pool would get. */
    int first;
} ScoreOptions;

typedef struct {
    int count;
    double *score;                         /* [count] larger is better */
    Logps alone, in_context, by_reference; /* [count] token sums; NaN where the method has none */
    int *hits;       /* [count] in context: how many of the (chosen) answer's tokens were the most
                        * probable token */
    Demo *demos;     /* [count][k] */
    int *n_demos, k; /* [count] */
    int dropped;     /* demonstrations that did not fit the context */
    Cost cost;
    double alone_flops; /* the part of cost.flops for log-likelihoods without context */
    Arena arena;        /* owns the arrays */
} Scores;

/* Scores every candidate of the pool. `reference` (METHOD_RHO only, else NULL) is the model trained
 * on the holdout. The holdout may be empty where the method does not need it. Overwrites *out,
 * which may hold earlier scores. */
void ica_score(const Model *m, const Model *reference, Workspace *ws, const Examples *pool,
               const Examples *holdout, const ScoreOptions *how, Scores *out);
void scores_free(Scores *s);
/* Spearman's correlation of both pair scores, E7a and E7b, from log-likelihoods that ica_score has
 * computed: how much a run depends on the choice. NaN where the objective has no pairs or the
 * method no such log-likelihoods. */
double ica_pair_agreement(const ScoreOptions *how, const Examples *pool, const Scores *s);

#endif
