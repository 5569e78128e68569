/* train: chapter three. One loop runs every kind of training. What differs is the gradient of a
 * step: pretraining learns whole rows of text, fine-tuning learns weighted answers (E9). Scores
 * are computed when training asks for them, with the parameters that it then has.
 *
 * Usage:
 *   // Two steps on two examples in memory. The second one counts half.
 *   static const int prompt[2][2] = {{1, 2}, {1, 3}}, answer[2][2] = {{4, 0}, {5, 0}};
 *   Example item[2];
 *   for (int i = 0; i < 2; i++)
 *       item[i] = (Example){.bare = prompt[i], .bare_n = 2, .prompt = prompt[i], .prompt_n = 2,
 *                           .answer = answer[i], .answer_n = 2};
 *   Splits data = {.pool.examples = {.count = 2, .items = item}};
 *   Error err = {0};
 *   Model *m = model_new((ModelConfig){.layers = 1, .heads = 2, .channels = 8, .context = 8,
 *                                      .vocab = 6}, &err);
 *   model_initialize(m, 1);
 *   PoolWeights weights = pool_weights_new(2);      // every weight is 1
 *   weights.weight[1] = 0.5;
 *   TrainOptions o = {.loop = {.steps = 2, .schedule = SCHEDULE_CONSTANT, .learning_rate = 1e-3,
 *                              .beta1 = 0.9, .beta2 = 0.999, .max_grad_norm = 1, .seed = 1},
 *                     .batch_size = 2};
 *   TrainResult result;
 *   if (!train(m, &data, &o, &weights, NULL, &result, &err)) return error_print(&err);
 *   pool_weights_free(&weights);
 *   model_free(m);
 *
 * Errors: 3 if a resumed run has other data than before, 4 for files, 5 if training diverged,
 * 128 + N if signal N stopped it (after saving). err holds one line for the user.
 */
#ifndef TRAIN_H
#define TRAIN_H

#include "data/dump.h"
#include "data/keep.h"
#include "data/metrics.h"
#include "data/run.h"
#include "data/scores.h"
#include "lib/schedule.h"

/* ---- the loop ---- */

/* What pretraining and fine-tuning have in common. */
typedef struct {
    long steps; /* the commands make it of --max-steps, or of epochs (data/order.h) */
    /* the learning rate (lib/schedule.h) */
    Schedule schedule;
    double learning_rate; /* the peak */
    double min_lr_ratio;  /* the share of the peak that is reached right after the last step */
    double warmup_ratio;  /* the share of the steps that warm up... */
    long warmup_steps;    /* ... or their number, if that is not below 0 */
    /* AdamW [E13] */
    double beta1, beta2, weight_decay;
    double max_grad_norm; /* a longer gradient is scaled down to this norm; 0: none is */
    /* when things happen, in steps */
    int logging_steps; /* between log lines */
    int eval_steps;    /* between evaluations in the log; 0: none */
    int save_steps;    /* between saves; 0: only at the end and when stopped */
    int scorings;      /* how often the run computes scores: for the time that is left */
    bool recompute;    /* less memory and more time, see workspace_recompute */
    KeepOptions keep;  /* is the model in the end the best one, and when does the run stop? */
    uint64_t seed;     /* of the order of the data and of random scores */
    /* The signal that asks to stop, or 0. Asked after every step. May be NULL. */
    int (*stop)(void);
    /* Is a save asked for now? Asked after every step. May be NULL. */
    bool (*save_now)(void);
    const char *what; /* names a loop without a run, for its progress; NULL: the reference's */
} LoopOptions;

/* What a loop ends with. */
typedef struct {
    bool complete;           /* the resumed run had ended before, so nothing was done */
    long steps;              /* fewer than were asked for if the patience ended */
    Keep keep;               /* the best evaluation, if that was asked for */
    double loss;             /* mean over the last log line's steps */
    int skipped;             /* steps whose weights were all 0 */
    double flops;            /* of the steps done here, forward and backward */
    size_t activation_bytes; /* of the workspace */
} LoopResult;

/* One training loop.
 *
 * loop_new makes it, and the caller then gives it its three functions. If the run is resumed, the
 * caller loads the state next, and with it the step at which to continue. loop_run does
 * the steps that are left. Each step asks `gradient` for the gradient of its batch, clips it, and
 * lets AdamW move the parameters. Log lines and saves follow the step that makes them due.
 * loop_free ends the loop. What a stopped loop must keep is its state (data/run.h).
 *
 * The rule that keeps it right: what a step computes is a function of its number, of the options,
 * and of what the state keeps. A function that needs anything else from earlier steps must
 * register it with run_state_keep, or a resumed run will differ. */
typedef struct Loop Loop;
struct Loop {
    const LoopOptions *o;
    Model *model;
    Workspace *ws;
    real *grad;          /* [parameters] */
    RunState state;      /* the optimizer, and what is saved */
    Keep keep;           /* the best evaluation so far */
    Spent own, *spent;   /* the totals: spent is the run's, or without a run `own` */
    LogWindow window;    /* sums over the steps since the last log line */
    Error stopped;       /* set by a signal, or a log line that could not be written */
    double flops;        /* of the steps done here, forward and backward */
    Tempo tempo;         /* of what was done here: for the time that is left */
    double eval_records; /* records of an evaluation, for the same */
    Dump *dump;          /* NULL, or gets the last step */
    /* Writes this step's gradient to grad. False: nothing to learn from it, the step is skipped. */
    bool (*gradient)(Loop *loop, long step, StepReport *report, Error *err);
    /* Adds to a log line at the steps where eval_steps asks for it. May be NULL. */
    bool (*evaluate)(Loop *loop, LogLine *line, Error *err);
    /* Writes what belongs beside the state. May be NULL. */
    bool (*save)(const Loop *loop, Error *err);
    void *self; /* what the three functions work on */
};

/* A loop that points into itself: it must not move. run NULL: it saves and prints nothing. */
void loop_new(Loop *loop, Model *m, const LoopOptions *o, Run *run, void *self);
void loop_free(Loop *loop);
/* Begins the run, or continues it after its state was loaded. *complete: the resumed run has
 * finished, result included, and nothing is left to do. (A run killed after its last step but
 * before writing the result has not.) */
bool loop_begin(Loop *loop, bool *complete, Error *err);
/* Runs the steps that are left. False when training diverged (status 5), saving failed, or, after
 * saving, when a log line could not be written or a signal came. */
bool loop_run(Loop *loop, Error *err);
/* Saves what a resumed loop needs. */
bool loop_save(Loop *loop, Error *err);
/* Saves after the last step. Where the best model is asked for, the run's model then is that. Does
 * nothing without a run. */
bool loop_finish(Loop *loop, Error *err);
/* The folder of the run to continue, or NULL. */
const char *loop_resumes(const Loop *loop);
LoopResult loop_result(const Loop *loop);

/* ---- fine-tuning ---- */

typedef struct {
    LoopOptions loop;
    Objective objective;
    PairOptions pair;
    int batch_size;       /* records of an optimizer step; an epoch's last may have fewer */
    int micro_batch_size; /* records computed at once; 0: as many as keep the activations small */
    Normalize normalize;  /* [E9] */
    WeightMap map;        /* of scores to weights */
    MapOptions map_options;
    ComparisonOptions comparing; /* for accept and mirror, see scoring/holdout.h */
    int refresh;                 /* R: how many times the run computes scores, at equal distances */
    int reference_steps;         /* METHOD_RHO: training steps of its reference */
    /* How candidates are scored. The functions below set its objective, pair and seed, and its
     * log-likelihoods: the references and the earlier ones. */
    ScoreOptions scoring;
    /* Before the first scores with demonstrations, ask the holdout whether they help, and print
     * what it says (scoring/holdout.h). */
    bool check;
    Dump *dump; /* NULL, or gets the last step */
} TrainOptions;

typedef struct {
    LoopResult loop;
    ScoreNotes notes;   /* of the last scores */
    double alone_share; /* the share of the last scores' operations that ran without context */
    Measured test, validation;
} TrainResult;

/* Fine-tunes m on the pool of x by weighted gradients. With a run, m is the run's model, its folder
 * gets everything that data/run.h and data/scores.h describe, and the run may be resumed. Without
 * one (NULL) only m changes. *weights then holds the weights that were used. Afterwards the caller
 * ends the run with run_end, also after a failure. */
bool train(Model *m, const Splits *x, const TrainOptions *o, PoolWeights *weights, Run *run,
           TrainResult *result, Error *err);

/* Scores the pool of x with a model that is not being trained: `ica score`. Trains RHO's reference
 * and computes DPO's first, and adds what they cost to *spent. */
bool train_score(const Model *m, const Splits *x, const TrainOptions *o, ScoreShared *shared,
                 Scores *scores, ScoreNotes *notes, Spent *spent, Error *err);

#endif
