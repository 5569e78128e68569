/* train: what the program does: the training loop, pretraining, scoring, weighted fine-tuning, evaluation, and the folders they
 * write. main.c parses the command line into Settings and calls one of these.
 *
 *   Settings s = {.command = "eval", .model = "out/base", .data = {1, files}};
 *   Error err = {0};
 *   return command_eval(&s, &err) ? STATUS_OK : error_print(&err);
 *
 * Each command checks all its input before it writes anything; on false, err holds one line for the user and its status.
 */
#ifndef TRAIN_H
#define TRAIN_H

#include "lib/options.h"
#include "lib/util.h"

#define ICA_VERSION "0.1.0"

/* Every option of every command, resolved. Strings are borrowed from the command line. */
typedef struct {
    /* files */
    const char *model, *tokenizer, *pool, *holdout, *eval, *out, *reference, *per_example, *results, *resume;
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

bool command_pretrain(const Settings *s, Error *err);
bool command_score(const Settings *s, Error *err);
bool command_train(const Settings *s, Error *err);
bool command_eval(const Settings *s, Error *err);
bool command_bench(const Settings *s, Error *err); /* bench.c */

/* Asks a running loop to stop after its step, as a signal handler does; stop_signal() is the signal, or 0. */
void stop_on_signals(void);
int stop_signal(void);

/* {"cpu", "cores", "threads", "peak_gflops", "vectors"}: what this machine is, measured now. Appends. */
void machine_json(Buf *b);

#endif
