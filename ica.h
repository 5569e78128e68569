/* ica: the paper. Which holdout examples to show (E6), what a candidate's score is (E5, E7, E15, E16 and the rivals), what
 * weight a score becomes (E8 and other maps), what the weighted loss is (E9-E12), and how to judge all that (E18, AUROC).
 *
 *   ScoreOptions how = {.method = METHOD_ICA, .k = 3, .reduce = REDUCE_MEAN};
 *   Scores s = {0};
 *   ica_score(model, NULL, ws, &pool, &holdout, &how, &s);          // s.score[i] for each candidate
 *   ica_weights(MAP_MINMAX, &map_options, s.score, pool.count, weight);
 *
 * This room sees the model through one window: token ids go in, log-likelihoods come out. There is no tensor code here.
 * Notation as in the paper: a candidate z = (x, y), its context C(x), l(y|x) = -logp(y|x). Equation tags: README, "The method".
 */
#ifndef ICA_H
#define ICA_H

#include "lib/util.h"
#include "model.h"

/* ---- tables of choices ----
 * Everything that a user can choose by name is an enum and a table with one row a value. Each row begins with the name on the
 * command line and one sentence of help. Options, help, messages and reports are made from these tables. */

typedef struct { const char *name, *help; } Choice;

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
    Arena arena;    /* owns items and tokens */
} Examples;

/* ---- contexts [E6] ---- */

/* A demonstration: the prompt of one holdout example with the answer of one (the same, unless answers are shuffled). */
typedef struct { const Example *prompt_of, *answer_of; } Demo;

typedef enum { DEMOS_NEAREST, DEMOS_RANDOM, DEMOS_FIXED, DEMOS_SHUFFLED, DEMO_COUNT } DemoChoice;

/* Term frequencies times inverse document frequencies of a holdout's prompts. */
typedef struct Retriever Retriever;
Retriever *retriever_new(const Examples *holdout);
void retriever_free(Retriever *r);
/* The k holdout examples nearest to x, the nearest last, never one with x's own prompt unless `leak`; returns how many. */
int retriever_nearest(const Retriever *r, const Example *x, int k, bool leak, int *nearest);

/* ---- log-likelihoods of answers in contexts ---- */

/* What to compute: logp(y | demos, x), y being x's answer or its rejected one. */
typedef struct {
    const Demo *demos; /* [n_demos], in the order in which they stand in the prompt */
    int n_demos;
    const Example *x;
    bool rejected;
    double logp; /* out: token sum */
    int hits;    /* out: how many of the answer's tokens are the most probable one */
} Job;

/* Appends to the batch bos + prompt + answer of items index[0..n-1] (index NULL: items 0..n-1); for pairs two rows each, the chosen
 * answer's and the rejected one's. */
void ica_batch(Batch *b, const Examples *data, const int *index, int n, bool pairs);

/* Tokens that went through the model, and the floating-point operations of that. */
typedef struct { double forward, backward, flops; } Cost;

/* Fills in logp and hits of every job. What rows have in common before their answers (demonstrations, a pair's prompt, even the
 * first words of a question) is computed once where that pays, as decided by counts of tokens alone; the bits do not depend on it.
 * Every row must fit the model's context. cost may be NULL. */
void ica_logps(const Model *m, Workspace *ws, const Examples *form, Job *jobs, int n, Cost *cost);
/* The twin that shares nothing: every row whole. Same signature, same bits. */
void ica_logps_naive(const Model *m, Workspace *ws, const Examples *form, Job *jobs, int n, Cost *cost);

/* ---- scores ---- */

typedef enum {
    METHOD_ICA, METHOD_RHO, METHOD_ONESHOT, METHOD_NUGGETS, METHOD_GRADIENT, METHOD_INCONTEXT, METHOD_LOSS, METHOD_RANDOM,
    METHOD_COUNT
} Method;
typedef enum { OBJECTIVE_SFT, OBJECTIVE_DPO, OBJECTIVE_SIMPO, OBJECTIVE_COUNT } Objective;
typedef enum { REDUCE_MEAN, REDUCE_SUM, REDUCE_COUNT } Reduce;
typedef enum { PAIR_MARGIN, PAIR_LOSS, PAIR_SCORE_COUNT } PairScore;
typedef enum { ANCHORS_NEAREST, ANCHORS_RANDOM, ANCHORS_COUNT } Anchors;

/* One method of scoring. The questions say what must be there before it can score. */
typedef struct {
    const char *name, *help;
    bool needs_holdout;   /* trusted examples */
    bool needs_alone;     /* logp(y|x) of every candidate */
    bool needs_k;         /* k demonstrations for every candidate, and logp(y|C,x) */
    bool needs_reference; /* a model trained on the holdout */
    bool needs_anchors;   /* holdout examples that are scored after the candidate: k with ANCHORS_NEAREST, else num_anchors */
    bool needs_gradients; /* gradients of candidates and of the holdout; of pairs, the holdout must have both answers */
} MethodInfo;

/* One objective of training. */
typedef struct {
    const char *name, *help;
    bool pairs;           /* takes preference pairs */
    bool needs_reference; /* compares with the log-likelihoods of the starting model */
    bool token_means;     /* of pairs: divides log-likelihoods by the answer's tokens */
    Reduce reduce;        /* default of --reduce */
    double beta;          /* default of --beta */
} ObjectiveInfo;

/* One way to choose demonstrations. */
typedef struct {
    const char *name, *help;
    bool by_nearness; /* the nearest holdout prompts: clusters of candidates (contexts) may share them */
    bool drawn;       /* draws random numbers for every candidate */
} DemoInfo;

extern const MethodInfo METHODS[METHOD_COUNT];
extern const ObjectiveInfo OBJECTIVES[OBJECTIVE_COUNT];
extern const DemoInfo DEMO_CHOICES[DEMO_COUNT];
extern const Choice REDUCTIONS[REDUCE_COUNT], PAIR_SCORES[PAIR_SCORE_COUNT], ANCHOR_CHOICES[ANCHORS_COUNT];
/* Does the method show or ask k holdout examples for each candidate? */
bool method_needs_k(Method method, Anchors anchors);

/* The pair losses' constants. */
typedef struct { double beta, gamma_beta_ratio, label_smoothing; } PairOptions;

typedef struct {
    Method method;
    Objective objective;
    PairScore pair_score;
    PairOptions pair;
    /* DPO: logp of the starting model for every record of the pool and of the holdout (METHOD_GRADIENT only), else NULL */
    const double *pool_reference[2], *holdout_reference[2]; /* chosen, rejected; borrowed */
    /* What the caller has computed before, so that it is not computed again: the log-likelihoods of every candidate by the very
     * weights of the model that scores (DPO's reference is just that at the run's first step), and by METHOD_RHO's reference (which
     * stays the same when scores are refreshed). Chosen, rejected; NULL: not known; borrowed. */
    const double *known[2], *known_by_reference[2];
    int k;
    DemoChoice demos;
    int contexts;    /* DEMOS_NEAREST: at most so many lists of demonstrations, one for a cluster of candidates (and one more for a
                      * candidate that would see its own prompt); 0: every candidate has its own list */
    Reduce reduce;
    Anchors anchors;
    int num_anchors; /* for ANCHORS_RANDOM; ANCHORS_NEAREST takes k */
    bool leak;       /* --allow-overlap: a holdout example with the candidate's own prompt may be shown (to measure the leak) */
    uint64_t seed;   /* of random demonstrations, anchors and scores */
    int first;       /* the pool is a part of a larger one, from its record `first` on, and items lie behind those before: random
                        numbers are then those that the whole pool would get */
} ScoreOptions;

typedef struct {
    int count;
    double *score;                  /* [count] larger is better */
    double *logp, *logp_in_context; /* [count] token sums of the answer (pairs: chosen); NaN where the method has none */
    double *logp_rejected, *logp_rejected_in_context; /* [count] pairs: the same of the rejected answer */
    double *logp_by_reference, *rejected_by_reference; /* [count] METHOD_RHO: the same by its reference */
    Demo *demos;                    /* [count][k] */
    int *n_demos, k;                /* [count] */
    int dropped;                    /* demonstrations that did not fit the context */
    Cost cost;
    double base_flops;              /* the part of cost.flops that went into log-likelihoods without context */
} Scores;

/* Scores every candidate of the pool. `reference` (METHOD_RHO only, else NULL) is the model trained on the holdout. The holdout may
 * be empty for METHOD_LOSS and METHOD_RANDOM. Overwrites *out, which may hold the scores of an earlier call. */
void ica_score(const Model *m, const Model *reference, Workspace *ws, const Examples *pool, const Examples *holdout,
               const ScoreOptions *how, Scores *out);
void scores_free(Scores *s);
/* logp(chosen|x) and logp(rejected|x) of every pair of `data`: [count] each.
 * ica_evaluate: log p(y | k nearest demonstrations, x) of every item of `data`, and how many tokens are greedy: evaluation in
 * context. k = 0 is the plain log-likelihood. Returns the number of dropped demonstrations. */
void ica_pair_logps(const Model *m, Workspace *ws, const Examples *data, double *chosen, double *rejected, Cost *cost);
int ica_evaluate(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout, int k, double *logp, int *hits,
                 Cost *cost);

/* ---- weights ---- */

typedef enum {
    MAP_MINMAX, MAP_MINMAX_BATCH, MAP_CLIP, MAP_RANK, MAP_SOFTMAX, MAP_TOP, MAP_POSITIVE, MAP_FILTER, MAP_COUNT
} WeightMap;

/* One map from scores to weights. */
typedef struct {
    const char *name, *help;
    bool of_batch; /* looks at the scores of one training batch, not of the pool: `ica score`, which has no batches, lacks it */
} MapInfo;
extern const MapInfo MAPS[MAP_COUNT];

typedef struct {
    double temperature; /* softmax */
    double share;       /* top */
    double clip;        /* clip: percentile cut off at each end, 0.05 */
} MapOptions;

/* weight[n] >= 0 from score[n]. MAP_MINMAX_BATCH is E8 over the n scores given: the caller passes one batch. MAP_SOFTMAX: the
 * largest weight is 1, they do not sum to 1; MAP_POSITIVE has the score's units. NORMALIZE_COUNT and NORMALIZE_NONE see that
 * scale. */
void ica_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight);

typedef enum { NORMALIZE_BATCH, NORMALIZE_MICRO, NORMALIZE_COUNT, NORMALIZE_NONE, NORMALIZATION_COUNT } Normalize;
extern const Choice NORMALIZATIONS[NORMALIZATION_COUNT];

/* The factor of each example's loss in the batch's gradient: w_i / W. False if W = 0: the step must be skipped.
 * micro: examples computed at once (only NORMALIZE_MICRO looks at it; a micro-batch whose weights are all 0 gets 0). */
bool ica_coefficients(Normalize how, const double *weight, int n, int micro, double *coefficient);

/* ---- objectives: a loss and its derivatives by the log-likelihoods (token sums) ---- */

double objective_sft(double logp, int tokens, double *dlogp);

/* A pair's two log-likelihoods (token sums), its answers' lengths, and (DPO) the reference's log-likelihoods. */
typedef struct { double chosen, rejected, chosen_reference, rejected_reference; int chosen_tokens, rejected_tokens; } PairLogps;
/* Loss, derivatives by the two log-likelihoods (or NULL), and what the metrics call rewards. */
typedef struct { double d_chosen, d_rejected, reward_chosen, reward_rejected; } PairGradient;
double objective_dpo(const PairOptions *o, const PairLogps *p, PairGradient *g);
double objective_simpo(const PairOptions *o, const PairLogps *p, PairGradient *g);
double objective_pair(Objective objective, const PairOptions *o, const PairLogps *p, PairGradient *g);
/* Are the two answers the same tokens? DPO's loss then is a constant: its gradient is exactly 0, not a difference of roundings. */
bool same_answers(const Example *e);

/* ---- diagnostics ---- */

double effective_sample_size(const double *weight, int n);
/* The probability that a random positive outscores a random negative, ties half; label 1, 0, or -1 (left out). NaN if one
 * class is empty. */
double auroc(const double *score, const int *label, int n);
double correlation(const double *x, const double *y, int n);          /* Pearson; NaN if one is constant */
double rank_correlation(const double *x, const double *y, int n);     /* Spearman, ties averaged */

#endif
