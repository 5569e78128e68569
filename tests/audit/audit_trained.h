/* audit_trained: what the empirical half of the audit measures, and the rows and tables that are
 * made of it. audit_trained.c measures, audit_claims.c says what it means. A measurement fills in
 * numbers; each list of figures below names their places. */
#ifndef AUDIT_TRAINED_H
#define AUDIT_TRAINED_H

#include "tests/audit/audit.h"
#include "train.h"

enum {
    DRAWS = 5,  /* of pool and holdout; */
    COSTLY = 3, /* ... what is dear, and the control, take the first of them */
    K = 3,      /* demonstrations */
    EVERY = 5   /* single steps on candidates, and both orders of E17: every fifth candidate, 160 a
                 * draw */
};

/* ---- base models and draws ---- */

/* What several measurements need of one draw. */
typedef struct {
    int n;
    int *clean, *careless, *verbose; /* [n] 1 clean, 0 corrupted (by any, by this annotator), -1
                                      * corrupted by another */
    Scores ica;                      /* E5 with the K nearest */
    double *loss, *rho, *dot;        /* [n] mean logp, E15, E14's inner product */
} Facts;

/* Conditioned prompts in another form than unconditioned ones. */
enum { FRAMES = 2 };
extern const char *const FRAME_NAMES[FRAMES];

typedef struct {
    const char *name;                  /* of the folder in OUT */
    ModelFolder folder, frame[FRAMES]; /* a frame borrows all of folder but template and bos */
    int draws, frames;
    Splits draw[DRAWS], framed[FRAMES][DRAWS];
    Facts facts[DRAWS];
} Base;

/* ---- the figures ---- */

/* The scores, against known truth and against each other. */
enum { BY_ICA, BY_RHO, BY_DOT, BY_LOSS, SCORERS };
enum {
    SCORES_AUROC = 0,                            /* [SCORERS][all, careless, verbose] */
    SCORES_ICA_DOT = SCORES_AUROC + 3 * SCORERS, /* [all, clean, corrupted] Spearman */
    SCORES_ICA_RHO = SCORES_ICA_DOT + 3,
    SCORES_RHO_DOT = SCORES_ICA_RHO + 3,
    SCORES_GAIN_CLEAN = SCORES_RHO_DOT + 3, /* mean of ICA */
    SCORES_GAIN_CORRUPTED,
    SCORES_FIGURES
};

/* Reading the holdout against training on it (E3, E4): full-batch plain SGD on the holdout. A row
 * with the rate of the one before goes on from there. */
typedef struct {
    int steps;
    double rate;
} Training;
enum { TRAININGS = 8, ONE_STEP = 2 /* the row of one step of .1 */, TEN_STEPS = 5, LONGEST = 6 };
extern const Training TRAINING[TRAININGS];
enum {
    GAIN_PEARSON,
    GAIN_RANK,
    GAIN_RANK_CLEAN,
    GAIN_RANK_CORRUPTED,
    GAIN_AUROC,
    GAIN_SLOPE,
    GAIN_LOSS,
    GAIN_CLEAN,
    GAIN_CORRUPTED,
    GAIN_FIGURES
};
/* How far a gain is a constant times E14's inner product: over all, over the clean, over the
 * corrupted, and what is left. */
enum { STEP_ALL, STEP_CLEAN, STEP_CORRUPTED, STEP_LEFT, STEP_FIGURES };
enum {
    TRAINED_STEP_ICA = TRAININGS * GAIN_FIGURES,          /* of the gain in context */
    TRAINED_STEP_REAL = TRAINED_STEP_ICA + STEP_FIGURES,  /* of the gain by one real step of .01 */
    TRAINED_STEP_LONG = TRAINED_STEP_REAL + STEP_FIGURES, /* ... and of .1 */
    TRAINED_START = TRAINED_STEP_LONG + STEP_FIGURES,     /* the holdout's loss before */
    /* the factor of the gain by the step of .01 that is nearest to the gain in context, and to .01
     * times the inner product */
    TRAINED_AS_STEP,
    TRAINED_AS_PRODUCT,
    TRAINED_AS_BOUND, /* the size of that gain less .01 times the product, of the gain's size */
    TRAINED_FIGURES
};

/* One step on a candidate, and what that does to the holdout's loss (E3, E14). */
enum { ORACLE_DOT, ORACLE_COSINE, ORACLE_SGD, ORACLE_ADAM, ORACLES };
enum {
    SINGLE_AUROC = 0,                    /* [ORACLES] */
    SINGLE_ICA = SINGLE_AUROC + ORACLES, /* [ORACLES][all, clean, corrupted] Spearman */
    SINGLE_RHO = SINGLE_ICA + 3 * ORACLES,
    SINGLE_LOSS = SINGLE_RHO + 3 * ORACLES,
    SINGLE_FACTOR = SINGLE_LOSS + 3 * ORACLES, /* drop by the SGD step as a constant times the
                                                * inner product, */
    SINGLE_LEFT,                               /* ... and the relative remainder */
    SINGLE_PRODUCT,                            /* the program's inner product against the two
                                                * whole gradients: */
    SINGLE_EXPLICIT,                           /* ... where they differ most in terms of the
                                                * bound, */
    SINGLE_BOUND,                              /* ... and that bound */
    SINGLE_FIRST_DOT,                          /* the inner product of the first clean candidate,
                                                * and */
    SINGLE_SLOPE,                              /* ... [both directions][slope, its bound] */
    SINGLE_FIGURES = SINGLE_SLOPE + 4
};

/* Both orders of conditioning (E17). */
enum {
    BOTH_PEARSON,
    BOTH_RANK,
    BOTH_GAP,
    BOTH_SIZE,
    BOTH_AUROC_ICA,
    BOTH_AUROC_OTHER,
    BOTH_FIGURES
};
enum {
    CHAIN = BOTH_FIGURES,
    EXCHANGE_COUNT = 2 * BOTH_FIGURES, /* how many candidates */
    EXCHANGE_OWN_GAP,                  /* the gap where the candidate itself is the demonstration */
    EXCHANGE_OWN_CHAIN,
    EXCHANGE_FIGURES
};

/* The order of the demonstrations. */
enum { ORDERS = 6 };
extern const int ORDER[ORDERS][K];
enum {
    ORDER_AUROC = 0,                         /* [ORDERS][all, careless, verbose] */
    ORDER_WITHIN = ORDER_AUROC + 3 * ORDERS, /* root mean square deviation of a candidate's score
                                              * over the orders */
    ORDER_ACROSS,                            /* standard deviation of the mean score over
                                              * candidates */
    ORDER_RATIO,                             /* the former over the latter */
    ORDER_REVERSED,                          /* Spearman: nearest last (the default) against
                                              * nearest first */
    ORDER_FIGURES
};

/* Other demonstrations, smaller and noisier holdouts. */
enum { CHOICES = 4, SIZES = 4, NOISES = 4 };
typedef struct {
    const char *name;
    DemoChoice choice;
} Choosing;
extern const Choosing CHOICE[CHOICES];
extern const int SIZE[SIZES], NOISE[NOISES];
enum {
    HOLDOUT_CHOICE = 0,                          /* [CHOICES][all, careless, verbose] */
    HOLDOUT_SIZE = HOLDOUT_CHOICE + 3 * CHOICES, /* [SIZES][...] */
    HOLDOUT_NOISE = HOLDOUT_SIZE + 3 * SIZES,    /* [NOISES][...] */
    HOLDOUT_FIGURES = HOLDOUT_NOISE + 3 * NOISES
};

/* What goes wrong in the public code, at the level of scores: AUROCs (all, careless, verbose) of
 * three scores, then their mean sizes. */
enum {
    FRAME_EMPTY,
    FRAME_MIXED = 3,
    FRAME_ALONE = 6,
    FRAME_SIZE = 9,
    FRAME_FIGURES = FRAME_SIZE + 3
};
enum {
    LEAK_CLOSED,
    LEAK_OPEN,
    TRAPS_NONE,
    TRAPS_FRAME,
    TRAPS_FIGURES = TRAPS_FRAME + FRAMES * FRAME_FIGURES
};

/* ---- all measurements ---- */

typedef struct {
    void (*measure)(const Base *b, int draw, double *out);
    const Base *base;
    int draws, figures;
    double *out; /* [draws][figures], 0 before it is measured */
} Experiment;

enum {
    SCORES,
    SCORES_CONTROL,
    TRAINED,
    TRAINED_CONTROL,
    SINGLE,
    SINGLE_CONTROL,
    EXCHANGE,
    EXCHANGE_CONTROL,
    ORDERED,
    HOLDOUTS,
    TRAPS,
    EXPERIMENTS
};

/* Appends the rows and tables of all EXPERIMENTS. */
void audit_claims(Audit *a, const Experiment *e);
/* Appends a row that fails: why there is nothing to measure. */
void audit_claims_missing(Audit *a, const char *why);

#endif
