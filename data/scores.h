/* scores: scores.jsonl, one JSON object a line for each record of a pool; its writer and its
 * reader. And what the scores are worth where the truth about the records is known.
 *
 *   {"id", "score", "weight", log-likelihoods that the method computed, "demos", "tokens"}
 *
 * "weight" is missing in the file of a part of a pool: most maps look at the whole pool. "demos"
 * are the ids of the holdout records in the context. Of pairs there are two log-likelihoods each.
 *
 * Usage:
 *   Error err = {0};
 *   const char line[] = "{\"id\":\"1\",\"score\":0.5,\"weight\":0.25}\n";
 *   Record record = {.id = str("1"), .line = 1};
 *   Dataset pool = {.path = "pool.jsonl", .count = 1, .records = &record};
 *   ScoreColumns read = {.score = &(double){0}, .weight = &(double){0}};
 *   if (!file_write("scores.jsonl", line, sizeof line - 1, &err) ||
 *       !scores_read("scores.jsonl", &pool, &read, &err))   // also a file of another program
 *       return error_print(&err);
 *   if (read.weight[0] != 0.25 || read.bare) return 1;       // not bare: the lines have weights
 *
 * Errors: status 3 with the file's line, 4 if a file cannot be read or written.
 */
#ifndef SCORES_H
#define SCORES_H

#include "data/pool.h"
#include "data/run.h"
#include "scoring/holdout.h"
#include "lib/file.h"
#include "lib/json.h"

/* False with status 5 if the model gave a candidate a number that is not finite. The error names
 * its record, and the scores are freed, so that nothing can write them. */
bool scores_finite(Scores *s, const ExampleFile *pool, Error *err);
/* False if the scores say nothing of any candidate: none could be shown a demonstration. context:
 * the model's, in tokens. */
bool scores_check(const Scores *s, int context, Error *err);

/* Sums of weights must stay finite, and mean something. */
#define WEIGHT_MOST 1e15

/* What scores_read fills in. */
typedef struct {
    double *score,
        *weight;   /* [pool->count], the caller's: weight, or, if the file is bare, score */
    bool *swapped; /* [pool->count] "relabel" of a line that has a weight; NULL: not read */
    bool remap;    /* The caller maps the scores: weights in the file do not count, it is bare. */
    double *gain, *likelihood; /* [pool->count] the numbers for a map of the holdout; NULL: not
                                * read */
    bool bare;            /* The lines have scores and no weights: parts of one pool, joined. */
    uint64_t fingerprint; /* hash64 of the file's bytes */
} ScoreColumns;

/* The file of the holdout's own scores, beside the file `path` of a map of the holdout. The caller
 * frees the path. */
char *scores_holdout_path(const char *path);
/* Writes it unless the comparison is empty, and then the scores of the pool of x. weight [count],
 * or NULL for a part of a pool. */
bool scores_save(const char *path, const Splits *x, const Scores *s, const double *weight,
                 const Comparison *c, Error *err);

/* The same in pieces, for a pool of which only parts are in memory: the lines of a part without
 * weights; what such a line says; and the line with its weight. */
void scores_put_lines(Buf *b, const ExampleFile *pool, const ExampleFile *holdout, const Scores *s);
typedef struct {
    ScoredRecord record; /* NaN where the line has no number */
    int rejected;        /* tokens of a pair's rejected answer, or 0 */
} ScoreLine;
bool scores_line(const Json *line, ScoreLine *out); /* false if it is no such line */
/* Does each key of a line of a score file occur once, and is its score a number or null? Without a
 * score, does it need none? If not, status 3. */
bool scores_line_check(const char *path, int number, const Json *line, bool needs_score,
                       Arena *scratch, Error *err);
/* Is the line of this record: by id, and by the text's hash if the line has one? By the hash alone
 * if the record has no id of its own. */
bool scores_line_is_of(const Json *line, const Record *r);
void scores_put_weight(Buf *b, Str line, double weight, bool swapped);
bool scores_save_holdout(const char *path, const ExampleFile *holdout, const Comparison *c,
                         Error *err);

/* Reads one record a line. Position and id must match the pool, else status 3. Of a pool of which
 * records were left out, the file may be of the whole pool too. */
bool scores_read(const char *path, const Dataset *pool, ScoreColumns *out, Error *err);
/* Keeps the next record of the pool, from *next on, that the line is of: it moves to *kept, and
 * both go behind it. Those between have no line. False if there is none. */
bool scores_keep_next(const Json *line, Dataset *pool, int *next, int *kept);
/* Removes the pool's records that the score file has no line of, because they were left out when it
 * was scored: pool->gone of them. Status 3 if a line is of no record after that of the line
 * before. */
bool scores_skip_unscored(const char *path, Dataset *pool, Error *err);

/* What is told beside scores. The training state keeps it as an array. */
typedef union {
    struct {
        double dropped_demos;  /* demonstrations that did not fit the context */
        double rank_agreement; /* Spearman's correlation of both pair scores, E7a and E7b; or NaN */
        double unshown; /* candidates without any demonstration: their score is null; NaN: the
                         * method shows none */
        /* The holdout against itself (scoring/holdout.h), before the first scores. Without it, as
         * of a method without demonstrations, check.records is 0. */
        HoldoutCheck check;
        /* Candidates with fewer demonstrations than --k, but not none. Printed by who scores, and
         * not kept. */
        double partly;
    };
    double all[3 + sizeof(HoldoutCheck) / sizeof(double)];
} ScoreNotes;
enum { SCORE_NOTES = sizeof((ScoreNotes *)NULL)->all / sizeof(double) };

/* If the method shows demonstrations, asks the holdout whether they help (holdout_check) and prints
 * what it says, with a warning where they do not. */
void scores_ask_holdout(const Model *m, Workspace *ws, const Examples *holdout,
                        const ScoreOptions *how, HoldoutCheck *check);
/* Fills in what is told of these scores, but for the check. */
void scores_note(const Scores *s, const ScoreOptions *how, const Examples *pool, ScoreNotes *notes);

/* Accounts for scores: the pool's, what the holdout was scored for to compare with (it is in their
 * cost), and its check before the first scores (or NULL). */
void scores_spend(const Scores *s, const HoldoutCheck *check, Spent *spent);

/* Scores the pool: ica_score, or with a comparison that is not empty, holdout_compare. */
bool scores_compute(const Model *m, const Model *reference, Workspace *ws, const Splits *x,
                    const ScoreOptions *how, Comparison *c, Scores *out, Error *err);
/* Prints what a map of the holdout found, and what it keeps of n candidates. */
void scores_tell_comparison(WeightMap map, const Comparison *c, const double *weight, int n);
/* Warns if all n weights of the map are 0, which leaves nothing to learn: why, and what helps. */
void scores_tell_nothing(WeightMap map, const Comparison *c, const double *weight, int n);
/* Appends what scores_tell_comparison prints as a member. */
void scores_put_comparison(Buf *b, WeightMap map, const Comparison *c, const double *weight, int n);

/* What the parts of one pool share when they are scored one after the other. The first call of
 * train_score makes it. */
typedef struct {
    Model *reference;   /* METHOD_RHO's, else NULL */
    Comparison against; /* if the map is of the holdout, else empty */
} ScoreShared;          /* zero-initialize */
void score_shared_free(ScoreShared *shared);

/* DPO's reference [E11]: the starting model's log-likelihoods of all answers, computed once, so
 * that no second model stays in memory. Members are NULL where there are no records. */
typedef struct {
    Logps pool, holdout, eval, validation;
} SplitLogps; /* zero-initialize */
/* holdout: of that too. state (or NULL) keeps them. compute false: only the memory is made, and the
 * state of a resumed run fills it. Adds to *spent. */
bool split_logps(const Model *m, const Splits *x, bool holdout, bool compute, RunState *state,
                 SplitLogps *to, Spent *spent, Error *err);
void split_logps_free(SplitLogps *x);
/* Copies what RHO's reference says of scored records, if *to is empty: it stays the same. */
void logps_keep(const Scores *s, Logps *to);

/* Where the weights of a pool come from. */
typedef enum {
    WEIGHTS_FIXED,  /* `weight` is given and stays. */
    WEIGHTS_MAPPED, /* `score` is given and stays. A map makes weights of it. */
    WEIGHTS_SCORED  /* A method computes `score` at each refresh. A map makes weights of it. */
} WeightSource;

/* The scores and weights of a pool in training. */
typedef struct {
    WeightSource source;
    uint64_t fingerprint; /* hash64 of the file that they were read from, or 0 */
    double *score;        /* [count] */
    double *weight;       /* [count] given, or by the map over the pool */
    bool *swapped;        /* [count] the pair's answers change places */
    double *used;         /* [count] the weight that each record had last, in its batch */
    Comparison against;   /* for a map of the holdout (scoring/holdout.h); else empty */
} PoolWeights;

PoolWeights pool_weights_new(int count); /* fixed weights of 1 */
void pool_weights_free(PoolWeights *w);
/* Makes room for a comparison where weights come from scores and the map is of the holdout. */
void pool_weights_compare(PoolWeights *w, WeightMap map, const ComparisonOptions *how,
                          const Splits *x);
/* Lets the state of a run keep what a resumed one needs: scores, weights and notes, unless the
 * weights are fixed. */
void pool_weights_keep(PoolWeights *w, ScoreNotes *notes, int count, RunState *state);
/* Makes the weights from the scores. */
void pool_weights_map(PoolWeights *w, WeightMap map, const MapOptions *how, const Splits *x);

/* Reads a score file, so that pool_weights_map can make weights of it: scores where its lines have
 * no weights, with remap, or for a map of the holdout. For that it reads the holdout's own scores
 * too: the file `own`, or (NULL) the one beside `path`; *own_bytes is the hash of its bytes. Else
 * the weights are the file's. */
bool scores_load(const char *path, const char *own, const Dataset *pool, WeightMap map,
                 const ComparisonOptions *how, bool remap, PoolWeights *w, uint64_t *own_bytes,
                 Error *err);
/* Reads the holdout's own scores from `file` into an empty comparison for a pool of `count`. It
 * need then not score the holdout. Lines must match the holdout's records, else status 3. */
bool scores_settle(const char *file, const Dataset *holdout, WeightMap map,
                   const ComparisonOptions *how, int count, Comparison *c, Error *err);

/* How many records are known to be good; -1 if of none it is known whether it is. */
int scores_known_clean(const PoolFacts *facts);
/* Appends the scores' part of a result: "auroc" by kind of corruption ({} without known truth),
 * "ess" and "weight_length_correlation" (without, if weight is NULL), and the notes. */
void scores_put_result(Buf *b, const PoolFacts *facts, const double *score, const double *weight,
                       const ScoreNotes *notes);

#endif
