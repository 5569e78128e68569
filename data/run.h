/* run: the settings of a command, and the run folder that it writes: run.json, log.jsonl, the training state, signals.
 *
 *   Run run;
 *   RunState state = {.folder = &folder, .optimizer = optimizer};
 *   if (s->resume && !run_state_load(&state, s->resume, &err)) return false;
 *   if (!run_begin(&run, s, s->resume != NULL, &err)) return false;
 *   ... train; write lines to run.log; run_state_save(&state, s->out, &err) now and then; json_key_number(&run.result, ...)
 *   run_end(&run, &err);
 *
 * Errors: 2 for a setting that cannot be, 3 for a state that does not belong to the run, 4 for files.
 */
#ifndef RUN_H
#define RUN_H

#include "../lib/options.h"
#include "../lib/util.h"
#include "examples.h"

#define ICA_VERSION "0.1.0"

/* Every option of every command, resolved. Strings are borrowed from the command line. */
typedef struct {
    /* files */
    const char *model, *tokenizer, *pool, *holdout, *eval, *out, *reference, *per_example, *results, *resume, *dump_state;
    OptionFiles data;
    /* corpus and tokenizer */
    const char *size;
    bool control, pretrain;
    int draw, vocab_size;
    /* shape of a new model */
    int layers, heads, channels, context, batch_tokens;
    double prompt_loss_weight;
    bool shuffle;
    /* optimization */
    bool recompute;
    int batch_size, micro_batch_size, max_steps, warmup_steps, logging_steps, eval_steps, save_steps;
    double num_train_epochs, learning_rate, warmup_ratio, min_lr_ratio, weight_decay, adam_beta1, adam_beta2, max_grad_norm;
    const char *lr_scheduler_type;
    /* scores and weights */
    const char *method, *objective, *weights, *weight_map, *normalize, *demos, *reduce, *anchors, *pair_score;
    int k, num_anchors, reference_steps, refresh;
    double temperature, share, clip, beta, gamma_beta_ratio, label_smoothing;
    bool allow_overlap, truncate;
    /* generation */
    const char *prompt;
    int max_new_tokens, top_k;
    double sampling_temperature;
    /* bench */
    const char *only, *config;
    /* everywhere */
    int64_t seed;
    int threads;
    bool json;
    const char *group, *arm; /* names for reports */
    /* set by main: the command, its options as JSON, and the arguments as given (for --resume) */
    const char *command, *options_json;
    int argc;
    char **argv;
} Settings;

/* Nothing may be written over what is read. */
bool settings_check_out(const Settings *s, Error *err);
Objective settings_objective(const Settings *s);
PairOptions settings_pair(const Settings *s);
MaterialFiles settings_files(const Settings *s);
/* The name of the data for reports: --group, or the pool's file name without folder, "pool-" and ending; as a JSON string. */
void settings_put_group(Buf *b, const Settings *s);
/* One JSON object on stdout: as it is with --json, else a line for each of its numbers. */
void settings_print(const Settings *s, const Buf *object);

/* After run_stop_on_signals, SIGINT and SIGTERM only set what run_stop_signal returns (else 0); a second one ends the process. */
void run_stop_on_signals(void);
int run_stop_signal(void);

/* {"cpu", "cores", "threads", "peak_gflops", "vectors"}: what this machine is, measured now. Appends. */
void machine_json(Buf *b);
int machine_threads(void);

/* What a command spends and finds; written to run.json at its end. */
typedef struct {
    const Settings *s;
    FILE *log; /* log.jsonl, or NULL */
    double start, score_seconds, reference_seconds, train_seconds, eval_seconds;
    double score_tokens, train_tokens, score_flops, reference_flops, train_flops, peak_flops;
    Buf result; /* the members of "result", without braces */
} Run;

/* Makes the folder, writes run.json, opens the log; append: goes on with a run, else what an earlier one left is removed. */
bool run_begin(Run *run, const Settings *s, bool append, Error *err);
/* Closes the log, writes run.json with the result; frees it. Also after a failure. */
bool run_end(Run *run, Error *err);

/* What a run must keep so that it can be resumed to the same bits: beside the folder's model the optimizer, and arrays of the
 * command's own. */
typedef struct {
    const Folder *folder; /* what is saved; NULL: nothing is (RHO's reference) */
    Optimizer *optimizer; /* its step is the number of steps learned */
    int skipped;          /* steps whose weights were all 0 */
    /* so that a resumed run has the same weights and the same reference; each may be empty */
    struct { const char *name; double *values; int count; } kept[10]; /* values [count] borrowed */
    int kept_count;
} RunState;

/* Also keep these values [count], borrowed; NULL: nothing. */
void run_state_keep(RunState *state, const char *name, double *values, int count);
/* The model folder, and training_state.safetensors beside it. */
bool run_state_save(const RunState *state, const char *out, Error *err);
/* Reads what run_state_save wrote, into the optimizer and the arrays that are kept. The model is loaded by folder_load. */
bool run_state_load(RunState *state, const char *folder, Error *err);

/* Of the file's bytes, as a number that a double holds exactly. */
double run_fingerprint(const Loaded *l);

#endif
