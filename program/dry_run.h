/* dry_run: `--dry-run`. What a command would take, of memory and of time, by a few steps that are
 * done in memory. Nothing is written.
 *
 * Usage:
 *   Settings s = {.command = "train", .json = true};
 *   DryRun d = {.parameters = 1000, .states = 4, .steps = 100, .step_seconds = 2,
 *               .evaluations = 3, .eval_seconds = 10};
 *   Error err = {0};
 *   if (dry_run_seconds(&d) != 230 || dry_run_peak(&d) != 3 * 1000 * sizeof(real)) return 1;
 *   if (!dry_run_print(&s, &d, &err)) error_print(&err);   // one JSON object
 */
#ifndef DRY_RUN_H
#define DRY_RUN_H

#include "program/settings.h"
#include "train.h"

/* What was found. Seconds are of one piece, memory is in bytes. */
typedef struct {
    size_t parameters;  /* that are trained, or all */
    size_t frozen;      /* the base of adapters */
    int states;         /* arrays of that size: weights, gradients, two moments, a reference */
    size_t activations; /* the workspace of training */
    size_t before;      /* the most that the process had taken when measuring began */
    size_t scoring, evaluating; /* what these took beyond that; scoring: with RHO's reference */
    size_t again, kept;         /* of scoring, what comes again, and what stays, in training */
    size_t process;             /* the most that the process took, if it did what a run does */
    double steps, step_seconds, measured_steps;
    double scorings, score_seconds, measured_scores; /* a scoring is of the entire pool */
    double evaluations, eval_seconds;
    double reference_seconds; /* DPO's log-likelihoods, RHO's reference: once */
    double references;        /* pairs that DPO's reference is asked for */
    bool open;                /* The weights are not known yet: some may be 0. */
} DryRun;

double dry_run_seconds(const DryRun *d);
/* The most memory that the process will take. */
double dry_run_peak(const DryRun *d);
/* Prints it on stdout. Status 4 if that fails. */
bool dry_run_print(const Settings *s, const DryRun *d, Error *err);

/* Measure, and print. The model's parameters change. */
bool dry_run_train(const Settings *s, Model *m, const Splits *x, const TrainOptions *o,
                   PoolWeights *w, Error *err);
/* The pool of x may be a part of `records` records. */
bool dry_run_score(const Settings *s, Model *m, const Splits *x, int records, Error *err);
/* x is the first part of `records` records. */
bool dry_run_eval(const Settings *s, const Model *m, const ExampleFile *x, const Examples *holdout,
                  int records, Error *err);
/* Runs a few steps of a loop that has no run, and fills in the seconds of a step and the
 * activations. */
bool dry_run_steps(Loop *loop, LoopOptions *o, DryRun *d, Error *err);

#endif
