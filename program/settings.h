/* settings: every option of every command, as one struct of values and one table.
 *
 * An option is a row of OPTIONS and a field of Settings. The table is the source of parsing,
 * --help, range checks and run.json. Names become enums here: the choices of an option are the rows
 * of the table that the rest of the program uses (METHODS, MAPS, ...), so a new method or map is
 * offered and explained without an edit here.
 *
 * Usage:
 *   static const Command commands[] = {{"score", NULL, NULL, "scores a pool"}, {0}};
 *   char *arguments[] = {"--model", "m", "--pool", "p", "--holdout", "h", "--out", "o", "--k=2"};
 *   Settings s;
 *   OptionResult result;
 *   Arena arena = {0};
 *   Buf options = {0};
 *   Error err = {0};
 *   if (settings_parse(commands, 9, arguments, &s, &result, &arena, &options, &err))
 *       printf("%s, %d demonstrations\n", METHODS[s.method].name, s.k); // "ica, 2 demonstrations"
 *   else error_print(&err);
 *   buf_free(&options);
 *   arena_free(&arena);
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include "data/corpus/corpus.h"
#include "data/examples.h"
#include "ica.h"
#include "lib/options.h"
#include "train.h"

/* Where `ica train` takes its weights from. */
typedef enum {
    WEIGHTS_FROM_NOTHING, /* every weight is 1 */
    WEIGHTS_FROM_ORACLE,  /* known truth: the key clean or flipped */
    WEIGHTS_FROM_RECORDS, /* the key weight */
    WEIGHTS_FROM_FILE,    /* a file that `ica score` wrote */
    WEIGHTS_FROM_METHOD   /* scores that the run computes */
} WeightsFrom;

/* Where else the log goes. */
typedef enum { DTYPE_FLOAT32, DTYPE_BF16, DTYPE_COUNT } Dtype;
extern const Choice DTYPES[]; /* [DTYPE_COUNT] */
typedef enum { REPORT_TO_NOTHING, REPORT_TO_TENSORBOARD, REPORT_TO_COUNT } ReportTo;
extern const Choice REPORT_CHOICES[]; /* [REPORT_TO_COUNT] */

/* Every option of every command, resolved. Strings are borrowed from the command line. A field
 * whose option the command does not have is 0. */
typedef struct Settings {
    /* files */
    const char *template; /* a name or a file, instead of the folder's own */
    const char *model, *tokenizer, *pool, *holdout, *eval, *out, *reference, *per_example;
    const char *results, *resume, *dump_state, *scores, *options_file, *csv;
    OptionFiles data, pools, inputs; /* pools: of score, and `pool` is the first; inputs: the
                                      * arguments without a name */
    /* corpus and tokenizer */
    CorpusSize size;
    bool control, pretrain;
    int draw, vocab_size;
    const char *noise;
    double noise_rate;
    /* shape of a new model */
    Family family;
    int layers, heads, channels, context, batch_tokens;
    int kv_heads, head_size, inner_channels; /* 0: the family's usual */
    double prompt_loss_weight;
    bool shuffle;
    /* optimization */
    bool recompute;
    int batch_size, micro_batch_size, max_steps, warmup_steps;
    int logging_steps, eval_steps, save_steps, save_total_limit, patience;
    bool load_best, save_only_model;
    const char *sample_prompt;
    ReportTo report_to;
    double num_train_epochs, learning_rate, warmup_ratio, min_lr_ratio;
    double weight_decay, adam_beta1, adam_beta2, max_grad_norm;
    Schedule lr_scheduler_type;
    Dtype dtype;
    int lora_rank; /* 0: no adapters */
    double lora_alpha;
    const char *lora_targets;
    bool lora_rs;
    /* scores */
    Objective objective;
    Method method; /* of `ica train`: the method that --weights names, if it names one */
    DemoChoice demos;
    DemosAs demos_as;
    Embedding embedding;
    Reduce reduce;
    Anchors anchors;
    PairScore pair_score;
    const char *shard;
    int k, contexts, num_anchors, reference_steps, refresh;
    double beta, gamma_beta_ratio, label_smoothing;
    bool allow_overlap, truncate, overwrite, force_resume;
    bool skip_long, drop_overlap, drop_duplicates, dry_run;
    double eval_share;
    bool proceed; /* --resume of score and eval */
    int chunk;
    /* weights */
    const char *weights;      /* as given */
    WeightsFrom weights_from; /* what that means */
    const char *weights_file; /* WEIGHTS_FROM_FILE: its path */
    WeightMap weight_map;
    Normalize normalize;
    double temperature, share, clip, accept_level, holdout_trim;
    bool relabel;
    const char *holdout_scores;
    bool with_weights; /* select */
    bool skip_unscored;
    /* generation */
    const char *prompt, *prompt_file, *system;
    int samples; /* answers to each prompt of the file, each drawn anew; 0: one answer */
    int max_new_tokens, top_k;
    double sampling_temperature, top_p, repetition_penalty;
    bool think;
    double tolerance; /* diff */
    /* bench */
    int only, config; /* a row of BENCH_PARTS and of BENCH_CONFIGS; -1: all */
    /* everywhere */
    int64_t seed;
    int threads;
    bool json;
    const char *group, *arm; /* names for reports */
    /* set by settings_parse: the command, its options as JSON, and the arguments as given */
    const char *command, *options_json;
    const char *idle; /* lines about options that nothing reads (program/idle.h), or NULL */
    bool again;       /* --resume of a run that has no state: it begins once more */
    int argc;
    char **argv;
    const OptionResult *given; /* which of them; NULL: no command line made these settings */
} Settings;

extern const Option OPTIONS[];

/* Fills the settings from the arguments after the command's name. `--resume RUN` continues with the
 * arguments of that run. The options as JSON go to `options`, and s->options_json points there.
 * Returns false with one line in err: status 2, or 3 or 4 for a run that cannot be read. With
 * result->help nothing else is set. */
bool settings_parse(const Command *command, int argc, char **argv, Settings *s,
                    OptionResult *result, Arena *arena, Buf *options, Error *err);

PairOptions settings_pair(const Settings *s);
/* Loads the model folder at `path`, with the template that --template names, and tells what a
 * template in Jinja was taken for. The folder of a resumed run has its template already. */
bool settings_model(const Settings *s, const char *path, ModelFolder *f, Error *err);
SplitFiles settings_files(const Settings *s);
/* The name of the data for reports: --group, or the pool's file name without folder, "pool-" and
 * ending. Borrowed from the settings. */
Str settings_group(const Settings *s);
/* The name of the run for reports: --arm, or its weights and map. */
const char *settings_arm(const Settings *s, Arena *arena);
/* Prints one JSON object on stdout. Without --json prints a line for each of its numbers instead.
 * Status 4 if that fails. */
bool settings_print(const Settings *s, const Buf *object, Error *err);

#endif
