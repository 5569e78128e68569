/* holdout: the holdout against itself. Each record is scored like a candidate, with demonstrations
 * from the rest of the holdout, so its score is what a good candidate's would be.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 32, .vocab = 16};
 *   Model *m = model_new(shape, &err);
 *   model_initialize(m, 1);
 *   Workspace *ws = workspace_new();
 *   int t[] = {0, 4, 5, 6, 3};   // the start token, three prompts, one answer for all
 *   Example item[3];
 *   for (int i = 0; i < 3; i++)
 *       item[i] = (Example){.bare = t + 1 + i, .bare_n = 1, .prompt = t + 1 + i, .prompt_n = 1,
 *                           .answer = t + 4, .answer_n = 1};
 *   Examples holdout = {.count = 3, .items = item, .bos = t, .bos_n = 1};
 *   HoldoutCheck check;
 *   if (holdout_check(m, ws, &holdout, &(ScoreOptions){.k = 2}, &check))
 *       printf("%g alone, %g in context\n", check.loss, check.in_context);
 *   workspace_free(ws);
 *   model_free(m);
 *
 * The holdout's own scores do not depend on the order of its records: folds and ties go by hashes
 * of what the records say. Copies of a record are in one fold. Candidates are scored as without a
 * comparison, so their ties go by index (E6).
 */
#ifndef HOLDOUT_H
#define HOLDOUT_H

#include "ica.h"

/* What is too little to cut: below this number of distinct prompts there are no folds. */
enum { FOLD_PROMPTS_LEAST = 3, FOLDS_MOST = 5 };

/* The holdout cut into folds, prompt by prompt. */
typedef struct {
    int count, prompts; /* records, distinct prompts */
    int folds;          /* min(FOLDS_MOST, prompts) */
    int *order;         /* [count] the records sorted by a hash of prompt and answer */
    int *prompt;        /* [count] the number of each record's prompt, 0..prompts-1 */
    int *fold;          /* [count] of each record */
    Arena arena;        /* owns the arrays */
} Folds;

/* Sorts the distinct prompts (same_prompt) by a hash of prompt and seed and deals them round robin
 * into folds. Every refresh has another seed, and so other folds. False if there are fewer than
 * FOLD_PROMPTS_LEAST; folds_free it in any case. */
bool folds_new(const Examples *holdout, uint64_t seed, Folds *folds);
void folds_free(Folds *folds);
/* The records of one fold, or with `others` all but these, in hash order: what is later decided by
 * index, as ties of the cosine are, is then decided by hash. index[i] becomes item i's place in the
 * holdout; it has room for all. The items belong to the folds, their tokens to the
 * holdout. */
Examples folds_part(Folds *folds, const Examples *holdout, int fold, bool others, int *index);

/* Scores every record of the holdout by how->method, with demonstrations and idf from the other
 * folds; with `kept` (or NULL) only from records whose kept[] is above 0. Fills in *out like
 * ica_score. The demonstrations in it are items of the holdout. Of `how` these are not looked at:
 * clusters, the pair score (it is E7a), and the caller's log-likelihoods. METHOD_RHO is not for
 * this function: it needs a reference for each fold (below). */
void holdout_score(const Model *m, Workspace *ws, const Examples *holdout, Folds *folds,
                   const double *kept, const ScoreOptions *how, Scores *out);

/* Does the model learn from demonstrations? The loss of the holdout's (chosen) answers: alone,
 * with k demonstrations from other folds, and after the same prompts with answers to others. Means
 * over the records of token means, in nats. */
typedef struct {
    double records, prompts, folds, k; /* counts, as doubles: the training state keeps doubles */
    double loss, in_context, shuffled;
    double gain, gain_error; /* the mean drop by demonstrations, and its standard error: records of
                              * one prompt count as one draw */
    double flops, forward;   /* what the check cost: operations, and tokens run forward */
} HoldoutCheck;

/* Do demonstrations help? No, if the gain is not clearly above 0, or if shuffled answers do as
 * well. */
bool holdout_helps(const HoldoutCheck *check);

/* False, and *out has 0 records, if the holdout has too few prompts. Of `how` these are read: k,
 * seed, the embedding with its vectors, and demos, where DEMOS_SHUFFLED counts as DEMOS_NEAREST. */
bool holdout_check(const Model *m, Workspace *ws, const Examples *holdout, const ScoreOptions *how,
                   HoldoutCheck *out);

/* ---- a reference for each fold ---- */

/* METHOD_RHO against the holdout: no reference may score what it was trained on. So there is one
 * for each fold, trained on the records of the others. It scores the records of its fold, and those
 * candidates that are dealt to it: every candidate meets one reference, drawn like a record's
 * (E15, E19). The caller trains them. */
typedef struct {
    Folds folds; /* of the entire holdout, dealt once in a run */
    uint64_t seed;
    Model *model[FOLDS_MOST]; /* owned; all NULL before, and when they have said what they can */
} References;

/* Deals the holdout. False with an error if it has too few prompts. */
bool references_deal(References *r, const Examples *holdout, uint64_t seed, Error *err);
/* The fold to which a candidate is dealt: by a hash of its prompt and the seed, so that it does not
 * depend on the pool. */
int references_fold(const References *r, const Example *candidate);
/* logp(y|x) of every item by the reference of its fold. fold[count] of the items; NULL: candidates
 * are dealt. Of pairs both answers, where out.rejected is not NULL. */
void references_logps(const References *r, Workspace *ws, const Examples *data, const int *fold,
                      Logps out, Cost *cost);
/* Frees the models and the folds. */
void references_free(References *r);
/* How many references a method trains at most, for this map. */
int references_most(Method method, WeightMap map);

/* ---- candidates against the holdout ---- */

typedef struct {
    double level;      /* of accept */
    double trim;       /* the share of the holdout to leave out, chosen once */
    bool relabel;      /* mirror: pairs that are more likely flipped than not are swapped */
    bool by_reference; /* METHOD_RHO: the second number is by a reference, not in context */
    bool pairs;        /* by_reference: references score both answers */
} ComparisonOptions;

/* What a map of the holdout (MapInfo.of_holdout) compares: the numbers of every candidate
 * (accept_numbers of lib/weights.h: one or two), and what the holdout's own say. In the order of a
 * run: comparison_new; at each refresh holdout_compare, then comparison_map and map_weights;
 * comparison_clean for the report; comparison_free. */
typedef struct {
    ComparisonOptions how;
    int pool, holdout;         /* their counts */
    double *gain, *likelihood; /* [pool] by accept_numbers */
    double *kept;              /* [holdout] 1, or 0 for a record that is left out */
    /* how.by_reference: the references, and what they say of [pool] and [holdout]. That stays as it
     * is when the model moves on. Without models it is known already. */
    References references;
    Logps pool_by_reference, holdout_by_reference;
    union {
        struct {
            AcceptLevels levels;
            double slope;   /* of mirror */
            double trimmed; /* records left out */
            double flops;   /* what the holdout's own scores cost */
        };
        double all[3 + sizeof(AcceptLevels) / sizeof(double)];
    } told;       /* What is printed and put into run.json. The state keeps it as an array. */
    Scores self;  /* of the holdout, by folds; of a record that is left out, not known */
    bool settled; /* The model is that of the comparison before, so `self` and `told` stand. */
    Arena arena;  /* owns the arrays */
} Comparison;
enum { TRIM_ROUNDS = 5 };
enum { COMPARISON_TOLD = sizeof(((Comparison *)0)->told) / sizeof(double) };

/* Makes room and keeps the entire holdout, if the map is of the holdout and *c is empty. */
void comparison_new(Comparison *c, WeightMap map, const ComparisonOptions *how, int pool,
                    int holdout);
void comparison_free(Comparison *c);

/* Scores the holdout by folds and the pool like ica_score. out->cost includes both. The first time
 * it chooses the records to leave out, exactly floor(trim * records): those with the smallest
 * min(rank of gain, rank of likelihood). It then scores all records anew after demonstrations from
 * the rest, and chooses again, until the choice stays the same, at most TRIM_ROUNDS times. At last
 * the rest is scored by folds of its own. A record that is left out is no demonstration. False with
 * an error if fewer than FOLD_PROMPTS_LEAST prompts are left. For METHOD_RHO the caller has trained
 * c->references, and nothing is left out. */
bool holdout_compare(const Model *m, Workspace *ws, const Examples *pool, const Examples *holdout,
                     const ScoreOptions *how, Comparison *c, Scores *out, Error *err);

/* Fills in c->told from the holdout's numbers: accept's thresholds at its level, mirror's slope.
 * False if none is known. */
bool comparison_levels(Comparison *c, const double *gain, const double *likelihood, int records);
/* Completes the options of a map of the holdout. Returns what it maps instead of scores: the gain
 * of every candidate. */
const double *comparison_map(const Comparison *c, MapOptions *how);
/* swapped[n]: does the comparison swap the pair? Only with how.relabel, else all false. */
void comparison_swapped(const Comparison *c, int n, bool *swapped);
/* The estimated share of the pool's n candidates that are as good as the holdout; for mirror, that
 * are not flipped. */
double comparison_clean(const Comparison *c, WeightMap map, int n);

#endif
