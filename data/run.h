/* run: the folder of one training run. It is a model folder with more files, and this room has the
 * one writer of each:
 *   run.json                     what was asked for, of which program and machine, and the result
 *   log.jsonl                    one line for each logging step
 *   training_state.safetensors   everything that a resumed run needs
 *   training_state.previous.safetensors   the same of the save before, if the newest is damaged
 *   events.out.tfevents.ica      the lines of log.jsonl for TensorBoard, if that is asked for
 * (data/scores.h and data/metrics.h have scores.jsonl and metrics.json.)
 *
 * Usage:
 *   RunHeader header = {.folder = "out/run", .command = "train", .group = "pool", .arm = "uniform",
 *                       .objective = "sft", .seed = 1, .options = "{}", .machine = "{}"};
 *   Error err = {0};
 *   Run run = run_new(&header, NULL);            // the clock starts; saves no model
 *   run_input(&run, "pool.jsonl", 0x1234);       // a file that was read, and its hash
 *   if (run_begin(&run, &err)) {                 // makes the folder, opens the log
 *       LogWindow window = {.sum = {.steps = 1, .loss = 2.5}, .seconds = 0.1};
 *       LogLine line = log_line(&window, 1);     // after step 1
 *       run_log(&run, &line, &err);
 *       buf_puts(&run.result, "\"loss\":2.5");
 *   }
 *   run_end(&run, &err);                         // writes run.json with its result
 *   run_free(&run);
 *   if (err.status) return error_print(&err);
 *
 * Errors: status 3 for a state that does not belong to the run, 4 for files.
 */
#ifndef RUN_H
#define RUN_H

#include "data/examples.h"
#include "data/model_folder.h"
#include "data/place.h"
#include "data/sample.h"
#include "scoring/holdout.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/progress.h"

#define ICA_VERSION "0.1.0"

/* ---- run.json ---- */

/* What run.json says about a run before its first step. Strings are borrowed. */
typedef struct {
    const char *folder; /* where the run is written */
    RunPlace *place;    /* guards that folder; NULL: it is taken as it is */
    bool force;         /* Continue with other options or inputs than before. */
    bool one_state;     /* Keep only the newest training state. */
    bool tensorboard;   /* Write what the log has as events, too. */
    const char *resume; /* the folder of the run that is continued; NULL: the run begins */
    const char *command, *group, *arm, *objective; /* group and arm name the run in reports */
    int64_t seed;
    const char *options; /* every option, resolved: a JSON object */
    int argc;            /* the arguments of the command line, for the next --resume */
    char **argv;
    const char *machine; /* a JSON object */
} RunHeader;

/* Totals of the whole run, interruptions included. */
typedef struct {
    double seconds; /* in all, loading and saving too; without steps that an interruption lost */
    double score_seconds, reference_seconds, train_seconds, eval_seconds;
    double score_tokens, train_tokens, score_flops, reference_flops, train_flops;
    double scored, trained; /* records: once for each score, and for each step that ran them */
} Spent;

typedef struct {
    RunHeader header;
    const ModelFolder *model; /* what is trained and saved; borrowed */
    FileLog log;              /* log.jsonl; open from run_begin to run_end */
    FileLog events;           /* the same for TensorBoard, if that is asked for */
    double wall;              /* seconds since 1970 when the run would have begun: see `start` */
    Sample sample;            /* asked at each evaluation */
    /* The log's length when the state was last saved. Lines after it belong to steps that will be
     * repeated. */
    int64_t log_bytes;
    double start;      /* when the run would have begun if nothing had interrupted it */
    double peak_flops; /* of this machine, a second */
    double told;       /* when the last line of progress was printed; 0: none was */
    Spent spent;
    Buf data;    /* the elements of "data": what was read of each file of records */
    Buf inputs;  /* the elements of "inputs" */
    Buf base;    /* the members of "base" */
    Buf before;  /* the members of "before" */
    Buf depends; /* the members that run_depends noted */
    Buf result;  /* the members of "result", without braces */
    Buf opening; /* what run_begin prints on stderr: what was read */
} Run;

Run run_new(const RunHeader *header, const ModelFolder *model); /* the clock starts */
void run_free(Run *run);
/* Notes a file that was read, and hash64 of its bytes. Does nothing if path is NULL. */
void run_input(Run *run, const char *path, uint64_t fingerprint);
/* Notes the model that training starts from: its folder (NULL: a new one) and its parameters. A
 * resumed run starts from its own folder, and keeps what it noted when it began. False with an
 * error if its run.json cannot be read. */
bool run_base(Run *run, const char *folder, const Model *m, Error *err);
/* Notes an evaluation before the first step, under a name such as "eval_nll"; nothing if it is NaN.
 * A resumed run keeps what it noted when it began. */
void run_before(Run *run, const char *name, double loss);
double run_was_before(const Run *run, const char *name); /* NaN: not known */
void run_data(Run *run, const DataSummary *file); /* a file of records; nothing if it has none */
void run_inputs(Run *run, const Splits *x);       /* the same for each file of the splits */
/* Notes an option, or an input's fingerprint, that the bits of the run depend on, as text. The
 * state keeps it. run_state_load refuses (status 3) another value, by name; with the header's
 * `force` it says so and goes on. */
void run_depends(Run *run, const char *name, const char *value);
void run_depends_file(Run *run, const char *name, uint64_t fingerprint); /* nothing if it is 0 */
/* Makes the folder, writes run.json, opens the log. Continues the run loaded by run_state_load;
 * otherwise removes what an earlier run left in the folder. */
bool run_begin(Run *run, Error *err);
/* Closes the log and writes run.json with the result, also after a failure: err's first error
 * stays. Does nothing if the run never began, so that a run that could not be resumed keeps its
 * files. */
bool run_end(Run *run, Error *err);
/* The run.json of a folder, in the arena. NULL (status 3) if it is damaged: it must have arguments,
 * a command and a result, which is {} until the run has ended. */
const Json *run_json(const char *folder, Arena *arena, Error *err);
/* Did the run in that folder end with a result? False with an error if its run.json is damaged. */
bool run_has_result(const char *folder, Error *err);

/* ---- log.jsonl ---- */

/* Sums over steps. All members are doubles, because the training state keeps them as an array. */
typedef union {
    struct {
        double steps, loss, tokens, flops; /* of steps that learned something */
        double trained;                    /* records, each as often as it ran */
        double weighted, ess;              /* steps with weights; their effective sample sizes */
        double weight[2], records[2];      /* of records known to be corrupted [0], clean [1] */
        double pairs, reward_chosen, reward_rejected, accuracy, logp_chosen, logp_rejected;
    };
    double all[17];
} StepReport;
_Static_assert(sizeof(StepReport) == 17 * sizeof(double), "StepReport.all has every member");
void step_report_add(StepReport *sum, const StepReport *r);
/* Reports the weights [n] of a batch. `record` are the batch's indices into d, which knows perhaps
 * which records are clean; it is empty if the examples come from no file. */
void step_report_weights(StepReport *r, const Dataset *d, const int *record, const double *weight,
                         int n);
/* Reports a pair and its two log-likelihoods: token sums, or with `means` token means. */
void step_report_pair(StepReport *r, const PairLogps *p, const PairGradient *g, bool means);

/* The steps since the last log line. */
typedef union {
    struct {
        StepReport sum;
        double seconds;
        double last_loss; /* of the last line */
    };
    double all[19];
} LogWindow;
_Static_assert(sizeof(LogWindow) == 19 * sizeof(double), "LogWindow.all has every member");

/* Adds what a step reports to the window, and what it cost to the totals. `scoring` is the part of
 * its seconds that went into scores, which the totals count apart. */
void step_spend(const StepReport *r, double seconds, double scoring, LogWindow *window,
                Spent *spent, Tempo *tempo);

/* One line: means over a window. docs/formats.md explains each number. One that is NaN is not
 * known, and the line has no such key. */
typedef struct {
    double step, loss, learning_rate, grad_norm, tokens_per_second, seconds;
    double ess, weight_clean, weight_corrupted;
    double reward_chosen, reward_rejected, reward_accuracy, reward_margin;
    double logp_chosen, logp_rejected;
    double icl_p_sequence, icl_nll, eval_nll, eval_loss; /* at evaluation steps */
    double validation_nll, validation_loss;
} LogLine;

/* A line of the file, parsed. */
LogLine log_line_read(const Json *object);
/* The line of a window that ends after `step` steps. */
LogLine log_line(const LogWindow *w, long step);
/* What a line has: LOG_MEMBERS numbers with their keys, in the order of the file. */
enum { LOG_MEMBERS = sizeof(LogLine) / sizeof(double) };
const char *log_key(int i);
double log_value(const LogLine *line, int i);
/* Appends a line. False (status 4) if it cannot be written in full; no part of it is then left. */
bool run_log(Run *run, const LogLine *line, Error *err);
/* Asks the run's sample after `step` steps, and prints the answer. err is set (status 4) if the
 * event cannot be written. */
void run_sample(Run *run, long step, Error *err);
/* The same for people, on stderr. steps: of the whole run; left: the seconds that remain. A
 * terminal gets every line. Anything else gets the first, the last, evaluations, and one each ten
 * seconds. */
void run_progress(Run *run, const LogWindow *w, const LogLine *line, long steps, double left);

/* ---- the training state ---- */

/* What a run must keep so that it can be resumed to the same bits.
 *
 * What it is. The state of a run after some step is: the parameters, the optimizer's moments and
 * step, the number of skipped steps, the sums since the last log line, and what the command itself
 * adds with run_state_keep (scores, weights, a reference's log-likelihoods). The order of the data
 * is not in it: that is a function of seed and step. Random generators are not in it either: each
 * use draws from its own stream, begun anew.
 *
 * Its states. A state is EMPTY when it is made: kept arrays are registered, nothing is on the
 * disk. It is LOADED when run_state_load has filled the parameters, the optimizer and all
 * registered arrays from a file. It is RUNNING when steps have changed it, and SAVED when the file
 * holds exactly what memory holds.
 *
 * The usual calls:  run_state_keep (once for each array), then run_state_load if the run is
 * resumed, then run_begin, then steps and run_state_save in turn, and at the end run_state_save
 * and run_end.
 *
 * The rule that keeps it right. One file, replaced at once, holds the entire state: the disk never
 * has half of one step and half of another. The files beside it may be newer, and nothing may
 * depend on them. The model folder is written first and is for other programs: a run that is
 * killed between the two files has the new model and the old state, and continues from the old
 * state, parameters included. The log is flushed to the disk before the state that counts its
 * bytes; a resumed run cuts the log back to that length. So a killed run loses work but never
 * consistency, and a resumed run ends with the bits of one that was never interrupted.
 *
 * The state before the newest stays beside it. If the newest is missing or damaged, run_state_load
 * takes the previous one and says so: the run repeats more steps and ends with the same bits. The
 * next save then replaces the damaged file and leaves the previous one alone.
 * Nothing that is not finite is ever saved, so neither state can be that of a run that diverged.
 *
 * What two runs of the same bits may differ in (seconds, the log's length) is in the file's
 * header, not in tensors. */
typedef struct {
    Run *run;             /* whose model is saved, with spent and log_bytes; NULL: nothing is */
    Optimizer *optimizer; /* its step is the number of steps learned */
    int skipped;          /* steps whose weights were all 0 */
    bool damaged;         /* run_state_load could not read the newest state */
    double data[3];       /* fingerprints of the data, see run_state_data */
    struct {
        char name[40];
        double *values; /* [count] borrowed, and must live as long as the state */
        int count;
    } kept[24];
    int kept_count;
} RunState;

/* Also keeps these values [count], borrowed. Does nothing if they are NULL. */
void run_state_keep(RunState *state, const char *name, double *values, int count);
/* The same for log-likelihoods [count], as NAME.chosen and NAME.rejected. */
void run_state_keep_logps(RunState *state, const char *name, Logps x, int count);
void run_state_keep_comparison(RunState *state, Comparison *c); /* nothing if it is empty */
/* Also keeps hash64 of the files of the data: pool, holdout, weights (0: none). run_state_load then
 * checks that a resumed run has the same. The state must not move afterwards. */
void run_state_data(RunState *state, uint64_t pool, uint64_t holdout, uint64_t weights);
/* Status 5 if a parameter of m or a moment of the optimizer is not finite. */
bool run_state_check(const RunState *state, const Model *m, Error *err);
/* Checks the state and writes into the run's folder: the model folder, then
 * training_state.safetensors. The file of the save before becomes the previous one, unless it is
 * damaged. */
bool run_state_save(RunState *state, Error *err);
/* Reads what run_state_save wrote into the run's model, the optimizer, the run and the kept arrays:
 * the newest state, or the one before if the newest cannot be read. */
bool run_state_load(RunState *state, const char *folder, Error *err);
bool run_state_exists(const char *folder);

#endif
