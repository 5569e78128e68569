/* settings: every option of every command, as one struct of values and one table.
 *
 * An option is one row of OPTIONS and one field of Settings. The table is the source of parsing,
 * --help, range checks and run.json.
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "data/examples.h"
#include "lib/options.h"
#include "lib/util.h"

/* Every option of every command, resolved. Strings are borrowed from the command line. */
typedef struct Settings {
    /* files */
    const char *model, *tokenizer, *pool, *holdout, *eval, *out, *reference, *per_example, *results, *resume, *dump_state;
    OptionFiles data, inputs; /* inputs: the arguments without a name */
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
    const char *method, *objective, *weights, *weight_map, *normalize, *demos, *reduce, *anchors, *pair_score, *shard;
    int k, contexts, num_anchors, reference_steps, refresh;
    double temperature, share, clip, beta, gamma_beta_ratio, label_smoothing;
    bool allow_overlap, truncate;
    /* generation */
    const char *prompt;
    int max_new_tokens, top_k;
    double sampling_temperature;
    double tolerance; /* diff */
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

extern const Option OPTIONS[];

/* Fills the settings from the arguments after the command's name. `--resume RUN` continues with the
 * arguments of that run. The options as JSON go to `options`, which s->options_json then points to.
 * Returns false with one line in err, status 2, or 3 or 4 for a run that cannot be read. With
 * result->help set nothing else is. */
bool settings_parse(const Command *command, int argc, char **argv, Settings *s, OptionResult *result,
                    Arena *arena, Buf *options, Error *err);

/* Nothing may be written over what is read. */
bool settings_check_out(const Settings *s, Error *err);
Objective settings_objective(const Settings *s);
PairOptions settings_pair(const Settings *s);
SplitFiles settings_files(const Settings *s);
/* The name of the data for reports: --group, or the pool's file name without folder, "pool-" and
 * ending. Borrowed from the settings. */
Str settings_group(const Settings *s);
/* The name of the run for reports: --arm, or its weights and map. */
const char *settings_arm(const Settings *s, Arena *arena);
/* One JSON object on stdout: as it is with --json, else a line for each of its numbers. */
void settings_print(const Settings *s, const Buf *object);

#endif
