/* keep: which of a run's models lasts. It remembers the best evaluation, says when to stop because
 * nothing improves, and puts the best parameters back at the end.
 *
 * RUN/best.safetensors holds the parameters of the best evaluation so far. It is whole on the disk
 * before the training state names it, and that state is saved right after. Until then the state on
 * the disk names the best one before, and RUN/best.previous.safetensors still has that. So whatever
 * instant a run is killed at, the state and one of the two files agree.
 *
 * Usage:
 *   Error err = {0};
 *   RunState state = {0};                             // without a run nothing is written
 *   KeepOptions how = {.patience = 2};
 *   Keep keep;
 *   keep_new(&keep, &how, &state);
 *   for (int step = 10; step <= 50 && !keep_stops(&keep); step += 10) {
 *       LogLine line = log_line(&(LogWindow){0}, step);
 *       line.eval_nll = step == 10 ? 0.5 : 0.6;       // never as low as at first
 *       if (!keep_judge(&keep, &line, NULL, &err)) return error_print(&err);
 *   }
 *   if (!keep_stops(&keep) || keep.told.step != 10 || keep.told.since != 2) return 1;
 *
 * Errors: status 3 if the file of the best parameters is missing or of another step, 4 for files.
 */
#ifndef KEEP_H
#define KEEP_H

#include "data/run.h"

typedef struct {
    bool best;    /* At the end the run's model is that of the best evaluation. */
    int patience; /* Stop after so many evaluations without improvement; 0: never. */
} KeepOptions;

/* What is remembered. The training state keeps it as an array. */
typedef union {
    struct {
        double metric, step; /* the best evaluation: its loss, after how many steps; step 0: none */
        double since;        /* evaluations after it */
        double parameters;   /* a hash of its parameters */
    };
    double all[4];
} KeepTold;

typedef struct {
    const KeepOptions *o;
    const Run *run; /* NULL: nothing is written */
    KeepTold told;
    bool save;        /* A new best was found: the state must be saved before the run goes on. */
    bool in_previous; /* the parameters that `told` names are in best.previous.safetensors */
} Keep;

/* Registers what the state must keep. The Keep must not move afterwards. */
void keep_new(Keep *keep, const KeepOptions *o, RunState *state);
/* After run_state_load: are the parameters there that the state names? */
bool keep_resumed(Keep *keep, Error *err);
/* Judges an evaluation by the first of validation_nll, validation_loss, eval_nll, eval_loss and
 * icl_nll that the line has. Only a lower value is better. */
bool keep_judge(Keep *keep, const LogLine *line, const Model *m, Error *err);
/* Has the patience ended? */
bool keep_stops(const Keep *keep);
/* Puts the best parameters into the run's model, and saves that. `step`: how many steps were done.
 */
bool keep_finish(Keep *keep, long step, Model *m, Error *err);
/* Appends "best_step", "best_metric" and "stopped_early" as members of a result, if asked for. */
void keep_put_result(Buf *b, const Keep *keep);

#endif
