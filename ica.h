/* ica: the paper. How probable answers are with a context and without, and what a candidate's score
 * is (E5, E7, E14 to E16 and the rivals). What the model is shown (E6) is in scoring/context.h,
 * what weight a score becomes (E8, E9) in lib/weights.h, and what loss it weighs (E10 to E12) in
 * lib/objectives.h.
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

#include "scoring/context.h"
#include "scoring/share.h"
#include "lib/objectives.h"
#include "lib/weights.h"
#include "model.h"

/* ---- log-likelihoods ---- */

/* Log-likelihoods of the answers of n examples, [n] each. `rejected` is of pairs, else it may be
 * NULL. Both are NULL where nothing is known. */
typedef struct {
    double *chosen, *rejected;
} Logps;

/* Appends to the batch the rows of items index[0..n-1] (index NULL: items 0..n-1) without
 * demonstrations. A pair has two rows, the chosen answer's and then the rejected one's. */
void ica_batch(Batch *b, const Examples *data, const int *index, int n, bool pairs);

/* Fills in logp and hits of queries[n]. What rows have in common before their answers
 * (demonstrations, a pair's prompt, the first words of a question) is computed once where that pays
 * (scoring/share.h). The bits do not depend on it. Every row must fit the model's context. *cost
 * (or NULL) grows by what the passes cost. */
void ica_logps(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
               Cost *cost);
/* The twin, which runs each entire row. Same signature, same bits. */
void ica_logps_naive(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
                     Cost *cost);

/* logp(y|x) of every item of `data`, for both answers where out.rejected is not NULL. cost may be
 * NULL. */
void ica_answer_logps(const Model *m, Workspace *ws, const Examples *data, Logps out, Cost *cost);
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
    Embedding embedding; /* what makes prompts near, of demonstrations and anchors */
    /* EMBEDDING_TOKENS, _HIDDEN: the vectors of the entire holdout by the weights that score now
     * (holdout_vectors), for calls that share them; NULL: each makes its own. Borrowed. */
    Vectors *vectors;
    /* DEMOS_NEAREST: group the candidates into at most this many clusters. A cluster shares one
     * list: the k nearest to its center. A candidate that would see its own prompt there is shown
     * the next nearest to the center instead. 0: every candidate has a list of its own. */
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
    bool *unshown;   /* [count] no demonstration could be shown (or no anchor asked), though the
                      * method needs one: the score is NaN and means "not known" */
    int n_unshown;   /* how many */
    bool by_folds;   /* by_reference is of references for each fold (scoring/holdout.h) */
    int broken;      /* the first candidate for which the model gave numbers that are not finite, so
                      * that its score means nothing; -1: there is none */
    Cost cost;
    double alone_flops; /* the part of cost.flops for log-likelihoods without context */
    Arena arena;        /* owns the arrays */
} Scores;

/* Scores every candidate of the pool. `reference` (METHOD_RHO only, else NULL) is the model trained
 * on the holdout. The holdout may be empty where the method does not need it. Overwrites *out,
 * which may hold earlier scores. */
void ica_score(const Model *m, const Model *reference, Workspace *ws, const Examples *pool,
               const Examples *holdout, const ScoreOptions *how, Scores *out);
/* Evaluation in context: logp(y | k nearest demonstrations, x) of every item, and how many of the
 * answer's tokens were the most probable token (hits may be NULL). Of `how` these are read: k,
 * embedding and vectors. NULL, or k = 0: no demonstrations, and no holdout. Returns how many
 * demonstrations did not fit and were dropped. */
int ica_evaluate(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout,
                 const ScoreOptions *how, double *logp, int *hits);
/* Empties *s and makes room for `count` candidates with k demonstrations each. */
void scores_resize(Scores *s, int count, int k);
void scores_free(Scores *s);
/* Spearman's correlation of both pair scores, E7a and E7b, from log-likelihoods that ica_score has
 * computed: how much a run depends on the choice. NaN where the objective has no pairs or the
 * method no such log-likelihoods. */
double ica_pair_agreement(const ScoreOptions *how, const Examples *pool, const Scores *s);

#endif
