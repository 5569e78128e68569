/* run: the run folder that a command writes: run.json, log.jsonl, the training state.
 *
 *   Run run = run_new(s);
 *   RunState state = {.folder = &folder, .optimizer = optimizer, .run = &run};
 *   if (s->resume && !run_state_load(&state, s->resume, &err)) return false;
 *   if (!run_begin(&run, &err)) return false;
 *   ... train; write lines to run.log; run_state_save(&state, &err) now and then; json_key_number(&run.result, ...)
 *   run_end(&run, &err);
 *   run_free(&run);
 *
 * Errors: 3 for a state that does not belong to the run, 4 for files.
 */
#ifndef RUN_H
#define RUN_H

#include "program/machine.h"
#include "program/settings.h"
#include "data/examples.h"

#define ICA_VERSION "0.1.0"

/* What a run has spent so far, over all its parts when it was interrupted. */
typedef struct {
    double seconds; /* in all, loading and saving included; what was computed behind the last save and lost is not counted */
    double score_seconds, reference_seconds, train_seconds, eval_seconds;
    double score_tokens, train_tokens, score_flops, reference_flops, train_flops;
} Spent;

/* What a command spends and finds; written to run.json at its end. */
typedef struct {
    const Settings *s;
    FILE *log;         /* log.jsonl, or NULL */
    int64_t log_bytes; /* its length when the state was saved: what stands behind belongs to steps that will be done again */
    double start;      /* when this run began, had it never been interrupted */
    double peak_flops;
    Spent spent;
    Buf inputs; /* the elements of "inputs" */
    Buf result; /* the members of "result", without braces */
} Run;

Run run_new(const Settings *s); /* the clock starts */
void run_free(Run *run);
/* Notes a file that was read, and hash64 of its bytes; path NULL: nothing. */
void run_input(Run *run, const char *path, uint64_t fingerprint);
/* Makes the folder, writes run.json, opens the log. Goes on with the run that run_state_load read, else what an earlier one left
 * is removed. */
bool run_begin(Run *run, Error *err);
/* Closes the log, writes run.json with the result. Also after a failure. */
bool run_end(Run *run, Error *err);
/* Did the run that lies there end with a result? */
bool run_has_result(const char *folder);

/* What a run must keep so that it can be resumed to the same bits: the parameters, the optimizer, and arrays of the command's own.
 * All of it stands in one file that is replaced at once. The model folder beside it is written first and is for others: a run
 * that is killed between the two files has the new model and the old state, and goes on from the old state, parameters included. */
typedef struct {
    const ModelFolder *folder; /* what is saved; NULL: nothing is (RHO's reference) */
    Optimizer *optimizer; /* its step is the number of steps learned */
    Run *run;             /* spent and log_bytes are saved with it */
    int skipped;          /* steps whose weights were all 0 */
    /* so that a resumed run has the same weights and the same reference; each may be empty */
    struct { const char *name; double *values; int count; } kept[12]; /* values [count] borrowed */
    int kept_count;
} RunState;

/* Also keep these values [count], borrowed; NULL: nothing. */
void run_state_keep(RunState *state, const char *name, double *values, int count);
/* Into the run's folder: the model folder, then training_state.safetensors beside it. */
bool run_state_save(RunState *state, Error *err);
/* Reads what run_state_save wrote, into the folder's model, the optimizer, the run and the arrays that are kept. */
bool run_state_load(RunState *state, const char *folder, Error *err);
bool run_state_exists(const char *folder);

/* A fingerprint as a number that a double holds exactly. */
double run_fingerprint(uint64_t fingerprint);

#endif
