/* The table of options, and what follows from the values that a user gave. */
#include "program/settings.h"

#include <stdlib.h>
#include <string.h>

#include "data/run.h"
#include "lib/json.h"

#define AT(field) offsetof(Settings, field)
#define ALL "corpus tokenizer encode decode pretrain score train eval generate inspect diff report bench"
#define MODELS "pretrain score train eval generate"

const Option OPTIONS[] = {
    /* name, type, where, commands, default, least, most, value, help */
    {"out", OPTION_STRING, AT(out), "corpus tokenizer pretrain train", "!", 0, 0, "DIR", "folder to write"},
    {"out", OPTION_STRING, AT(out), "score", "!", 0, 0, "FILE", "JSONL to write: id, score, weight, log-probabilities, demonstrations"},
    {"out", OPTION_STRING, AT(out), "report", "report.html", 0, 0, "FILE", "HTML page to write"},
    {"results", OPTION_STRING, AT(results), "report", NULL, 0, 0, "FILE", "JSON with every figure of the tables"},
    {"model", OPTION_STRING, AT(model), "score train eval generate", "!", 0, 0, "DIR", "model folder (Hugging Face GPT-2 form)"},
    {"model", OPTION_STRING, AT(model), "pretrain", NULL, 0, 0, "DIR", "model folder to go on from, in place of a new model"},
    {"tokenizer", OPTION_STRING, AT(tokenizer), "pretrain", NULL, 0, 0, "DIR", "vocabulary of a new model"},
    {"tokenizer", OPTION_STRING, AT(tokenizer), "encode decode", "!", 0, 0, "DIR", "folder with vocab.json and merges.txt"},
    {"data", OPTION_FILES, AT(data), "tokenizer pretrain eval", "!", 0, 0, "FILE", "records to read (JSONL or JSON)"},
    {"pool", OPTION_STRING, AT(pool), "score train", "!", 0, 0, "FILE", "candidates: the fine-tuning data"},
    {"holdout", OPTION_STRING, AT(holdout), "pretrain score train eval", NULL, 0, 0, "FILE", "a few trusted examples: the demonstrations"},
    {"eval", OPTION_STRING, AT(eval), "pretrain train", NULL, 0, 0, "FILE", "test records to evaluate on"},
    {"resume", OPTION_STRING, AT(resume), "pretrain train", NULL, 0, 0, "RUN", "go on with an interrupted run, with its own options"},
    {"size", OPTION_CHOICE, AT(size), "corpus", "quick", 0, 0, "quick|full", "40,000 or 96,000 pretraining sessions"},
    {"control", OPTION_FLAG, AT(control), "corpus", "false", 0, 0, NULL, "each pretraining example has its own annotator: nothing to infer from context"},
    {"draw", OPTION_INT, AT(draw), "corpus score", "1", 0, 1000000, NULL, "which random pools and holdout (score: a name for reports)"},
    {"pretrain", OPTION_FLAG, AT(pretrain), "corpus", "true", 0, 0, NULL, "--no-pretrain leaves pretrain.jsonl out: draws of one seed share it"},
    {"vocab-size", OPTION_INT, AT(vocab_size), "tokenizer", "512", 260, 1000000, NULL, "tokens: 4 special, 256 bytes, the rest merges"},
    {"layers", OPTION_INT, AT(layers), "pretrain", "4", 1, 1000, NULL, "blocks of a new model"},
    {"heads", OPTION_INT, AT(heads), "pretrain", "4", 1, 10000, NULL, "attention heads of a new model"},
    {"channels", OPTION_INT, AT(channels), "pretrain", "64", 1, 100000, NULL, "width of a new model"},
    {"context", OPTION_INT, AT(context), "pretrain", "128", 2, 1048576, NULL, "longest row, in tokens, of a new model"},
    {"batch-tokens", OPTION_INT, AT(batch_tokens), "pretrain", "1024", 1, 100000000, NULL, "tokens of an optimizer step"},
    {"shuffle", OPTION_FLAG, AT(shuffle), "pretrain", "false", 0, 0, NULL, "take sessions in random order, new in every epoch, in place of the file's (text always is)"},
    {"prompt-loss-weight", OPTION_REAL, AT(prompt_loss_weight), "pretrain", "0.1", 0, 1, NULL, "weight of a session's prompt tokens; its answers have 1"},
    {"objective", OPTION_CHOICE, AT(objective), "score train eval", "sft", 0, 0, "sft|dpo|simpo", "the loss; dpo and simpo take preference pairs"},
    {"beta", OPTION_REAL, AT(beta), "score train eval", "0.1", OPTION_POSITIVE, 1000, NULL, "of the pair losses (simpo: 2 unless given)"},
    {"gamma-beta-ratio", OPTION_REAL, AT(gamma_beta_ratio), "score train eval", "0.25", 0, 1000, NULL, "simpo: target margin over beta"},
    {"label-smoothing", OPTION_REAL, AT(label_smoothing), "score train eval", "0", 0, 1, NULL, "of the pair losses: assumed share of swapped pairs"},
    {"pair-score", OPTION_CHOICE, AT(pair_score), "score train", "margin", 0, 0, "margin|loss", "ica on pairs: gain in margin, or drop of the pair loss"},
    {"reference", OPTION_STRING, AT(reference), "eval", NULL, 0, 0, "DIR", "dpo: the model that training started from"},
    {"method", OPTION_CHOICE, AT(method), "score", "ica", 0, 0, "ica|rho|oneshot|nuggets|gradient|incontext|loss|random", "how candidates are scored"},
    {"weights", OPTION_STRING, AT(weights), "train", "uniform", 0, 0, "W", "uniform, oracle (known truth), records (their own \"weight\"), file:PATH (of score; of scores without weights --weight-map makes them), or a method: ica, rho, oneshot, nuggets, gradient, incontext, loss, random"},
    {"weight-map", OPTION_CHOICE, AT(weight_map), "score", "minmax", 0, 0, "minmax|clip|rank|softmax|top|positive|filter", "how a score becomes a weight"},
    {"weight-map", OPTION_CHOICE, AT(weight_map), "train", "minmax-batch", 0, 0, "minmax|minmax-batch|clip|rank|softmax|top|positive|filter", "how a score becomes a weight"},
    {"temperature", OPTION_REAL, AT(temperature), "score train", "0.5", OPTION_POSITIVE, 1000, NULL, "of the map softmax"},
    {"share", OPTION_REAL, AT(share), "score train", "0.5", OPTION_POSITIVE, 1, NULL, "of the pool that the map top keeps"},
    {"clip", OPTION_REAL, AT(clip), "score train", "0.05", 0, 0.49, NULL, "of the scores that the map clip cuts off at each end"},
    {"normalize", OPTION_CHOICE, AT(normalize), "train", "batch", 0, 0, "batch|micro|count|none", "what the weighted sum of gradients is divided by"},
    {"k", OPTION_INT, AT(k), "pretrain score train", "3", 0, 1000, NULL, "demonstrations in context"},
    {"k", OPTION_INT, AT(k), "eval", "0", 0, 1000, NULL, "nearest holdout demonstrations in context"},
    {"demos", OPTION_CHOICE, AT(demos), "score train", "nearest", 0, 0, "nearest|random|fixed|shuffled", "which holdout examples are shown (shuffled: nearest, with answers of others)"},
    {"contexts", OPTION_INT, AT(contexts), "score train", "0", 0, 1000000, NULL, "most lists of demonstrations: clusters of candidates share theirs (cheaper); 0: every candidate has its own nearest"},
    {"reduce", OPTION_CHOICE, AT(reduce), "score train", "mean", 0, 0, "sum|mean", "log-probabilities of a score: token sum or token mean (pairs: sum unless given)"},
    {"anchors", OPTION_CHOICE, AT(anchors), "score train", "nearest", 0, 0, "nearest|random", "oneshot, nuggets: the k nearest holdout examples, or --num-anchors random ones"},
    {"num-anchors", OPTION_INT, AT(num_anchors), "score train", "8", 1, 100000, NULL, "with --anchors random"},
    {"reference-steps", OPTION_INT, AT(reference_steps), "score train", "150", 1, 1000000, NULL, "rho: steps of training the reference on the holdout"},
    {"shard", OPTION_STRING, AT(shard), "score", NULL, 0, 0, "I/N", "score the I-th of N parts of the pool, without weights; the parts' files one behind the other are the pool's, and train --weights file:PATH makes their weights"},
    {"refresh", OPTION_INT, AT(refresh), "train", "1", 1, 1000000, NULL, "score computations in the run (1: once, before training)"},
    {"batch-size", OPTION_INT, AT(batch_size), "score train", "32", 1, 1000000, NULL, "records of an optimizer step"},
    {"recompute", OPTION_FLAG, AT(recompute), "pretrain train", "false", 0, 0, NULL, "keep only the layers' inputs for the backward pass: less memory, a fifth more time, the same bits"},
    {"micro-batch-size", OPTION_INT, AT(micro_batch_size), "score train", "0", 0, 1000000, NULL, "records computed at once; 0: as many as keep memory small"},
    {"max-steps", OPTION_INT, AT(max_steps), "pretrain train", "-1", -1, 1000000000, NULL, "optimizer steps; -1: --num-train-epochs decides"},
    {"num-train-epochs", OPTION_REAL, AT(num_train_epochs), "pretrain", "1", OPTION_POSITIVE, 100000, NULL, "passes over the data"},
    {"num-train-epochs", OPTION_REAL, AT(num_train_epochs), "train", "3", OPTION_POSITIVE, 100000, NULL, "passes over the data"},
    {"learning-rate", OPTION_REAL, AT(learning_rate), "pretrain", "4e-3", OPTION_POSITIVE, 10, NULL, "peak"},
    {"learning-rate", OPTION_REAL, AT(learning_rate), "score train", "5e-5", OPTION_POSITIVE, 10, NULL, "peak (score: of rho's reference)"},
    {"lr-scheduler-type", OPTION_CHOICE, AT(lr_scheduler_type), "pretrain score train", "cosine", 0, 0, "cosine|linear|constant", "course of the learning rate after warm-up"},
    {"min-lr-ratio", OPTION_REAL, AT(min_lr_ratio), "pretrain score train", "0.1", 0, 1, NULL, "where it ends, as a share of the peak"},
    {"warmup-steps", OPTION_INT, AT(warmup_steps), "pretrain", "50", -1, 1000000000, NULL, "steps of linear warm-up; -1: --warmup-ratio decides"},
    {"warmup-steps", OPTION_INT, AT(warmup_steps), "score train", "-1", -1, 1000000000, NULL, "steps of linear warm-up; -1: --warmup-ratio decides"},
    {"warmup-ratio", OPTION_REAL, AT(warmup_ratio), "pretrain score train", "0.1", 0, 1, NULL, "the same as a share of all steps"},
    {"weight-decay", OPTION_REAL, AT(weight_decay), "pretrain", "0.01", 0, 10, NULL, "decoupled, on matrices only"},
    {"weight-decay", OPTION_REAL, AT(weight_decay), "score train", "0", 0, 10, NULL, "decoupled, on matrices only"},
    {"adam-beta1", OPTION_REAL, AT(adam_beta1), "pretrain score train", "0.9", 0, 0.999999, NULL, "decay of the mean of gradients"},
    {"adam-beta2", OPTION_REAL, AT(adam_beta2), "pretrain", "0.99", 0, 0.9999999, NULL, "decay of the mean of their squares"},
    {"adam-beta2", OPTION_REAL, AT(adam_beta2), "score train", "0.999", 0, 0.9999999, NULL, "decay of the mean of their squares"},
    {"max-grad-norm", OPTION_REAL, AT(max_grad_norm), "pretrain train", "1", 0, 1e9, NULL, "gradient clipping by the global norm; 0: none"},
    {"logging-steps", OPTION_INT, AT(logging_steps), "pretrain", "100", 1, 1000000000, NULL, "steps between log lines"},
    {"logging-steps", OPTION_INT, AT(logging_steps), "train", "10", 1, 1000000000, NULL, "steps between log lines"},
    {"eval-steps", OPTION_INT, AT(eval_steps), "pretrain", "1000", 0, 1000000000, NULL, "steps between evaluations in the log (0: none)"},
    {"eval-steps", OPTION_INT, AT(eval_steps), "train", "0", 0, 1000000000, NULL, "steps between evaluations in the log (0: only at the end)"},
    {"save-steps", OPTION_INT, AT(save_steps), "pretrain train", "0", 0, 1000000000, NULL, "steps between saves (0: only at the end and when interrupted)"},
    {"truncate", OPTION_FLAG, AT(truncate), "score train eval", "false", 0, 0, NULL, "cut completions that do not fit the context"},
    {"allow-overlap", OPTION_FLAG, AT(allow_overlap), "score train eval", "false", 0, 0, NULL, "let pool, holdout and test share examples, and candidates see their own answer: measures the leak"},
    {"dump-state", OPTION_STRING, AT(dump_state), "train", NULL, 0, 0, "FILE", "safetensors to write: the last step with weights, gradients and optimizer, for another framework to check"},
    {"per-example", OPTION_STRING, AT(per_example), "eval", NULL, 0, 0, "FILE", "JSONL to write: id, logp, tokens"},
    {"prompt", OPTION_STRING, AT(prompt), "generate", "!", 0, 0, "TEXT", "what to complete"},
    {"max-new-tokens", OPTION_INT, AT(max_new_tokens), "generate", "64", 1, 1000000, NULL, "longest completion"},
    {"temperature", OPTION_REAL, AT(sampling_temperature), "generate", "0", 0, 100, NULL, "0: the most probable token each time"},
    {"top-k", OPTION_INT, AT(top_k), "generate", "0", 0, 1000000, NULL, "draw from the k most probable tokens; 0: from all"},
    {"tolerance", OPTION_REAL, AT(tolerance), "diff", "0", 0, 1e300, NULL, "values that are at most this far apart count as equal"},
    {"group", OPTION_STRING, AT(group), "score train", NULL, 0, 0, "NAME", "table of the report (default: the pool's file name)"},
    {"arm", OPTION_STRING, AT(arm), "train", NULL, 0, 0, "NAME", "row of the report (default: weights and map)"},
    {"only", OPTION_CHOICE, AT(only), "bench", NULL, 0, 0, "gemm|step|score", "one part alone"},
    {"config", OPTION_CHOICE, AT(config), "bench", NULL, 0, 0, "A|B|C", "one model alone: A 6 layers of 384, vocabulary 50,304; B GPT-2 124M; C 4 layers of 128"},
    {"seed", OPTION_INT64, AT(seed), "corpus " MODELS, "1", 0, 9e15, NULL, "of everything random"},
    {"threads", OPTION_INT, AT(threads), ALL, "0", 0, 4096, NULL,
     "0: as many as are fastest, up to OMP_NUM_THREADS or all cores"},
    {"json", OPTION_FLAG, AT(json), "score train eval generate inspect diff report bench", "false", 0, 0, NULL, "the result as one JSON object on stdout"},
    {0}};

/* ---- arguments ---- */

/* The RUN of `--resume RUN` or `--resume=RUN`, or NULL. */
static char *resume_argument(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--resume=", 9) == 0) return argv[i] + 9;
        if (strcmp(argv[i], "--resume") == 0 && i + 1 < argc) return argv[i + 1];
    }
    return NULL;
}

/* How many of the arguments at i are the place of a run, `--out DIR` or `--resume RUN`: 0, 1 or 2. */
static int place_arguments(const Json *kept, int i) {
    Str a = kept->items[i].string;
    if (str_is(a, "--out") || str_is(a, "--resume")) return 2;
    return (a.n > 6 && memcmp(a.s, "--out=", 6) == 0) || (a.n > 9 && memcmp(a.s, "--resume=", 9) == 0);
}

/* A run is resumed with the arguments that run.json kept; those given now go behind them, and so before them. It is written where
 * it lies now, wherever it was made. */
static bool resumed_arguments(char *run, const Command *command, Arena *arena, int *argc, char ***argv, Error *err) {
    char *path = path_join(run, "run.json");
    Buf text = {0};
    JsonError where;
    bool ok = file_read(path, &text, err);
    const Json *root = ok ? json_parse(arena, text.s, text.n, &where) : NULL, *kept = json_get(root, "arguments");
    const Json *made_by = json_get(root, "command");
    if (ok && (!kept || kept->type != JSON_ARRAY)) ok = error_set(err, STATUS_DATA, "%s: not the record of a run", path);
    if (ok && (!made_by || !str_is(made_by->string, command->name)))
        ok = error_set(err, STATUS_DATA, "%s: not a run of `ica %s`: go on with the command that began it", path, command->name);
    if (ok) {
        char **all = arena_new(arena, (size_t)(kept->count + *argc) + 3, sizeof *all);
        int n = 0;
        for (int i = 0, place; i < kept->count; i += place ? place : 1) {
            if (kept->items[i].type != JSON_STRING) place = 1;
            else place = place_arguments(kept, i);
            if (place == 0) all[n++] = (char *)str_copy(arena, kept->items[i].string).s;
        }
        all[n++] = strcpy(arena_new(arena, sizeof "--out", 1), "--out");
        all[n++] = run;
        for (int i = 0; i < *argc; i++) all[n++] = (*argv)[i];
        *argv = all;
        *argc = n;
    }
    free(path);
    buf_free(&text);
    return ok;
}

bool settings_parse(const Command *command, int argc, char **argv, Settings *s, OptionResult *result,
                    Arena *arena, Buf *options, Error *err) {
    char *resume = resume_argument(argc, argv);
    if (resume && !resumed_arguments(resume, command, arena, &argc, &argv, err)) return false;
    if (!options_parse(OPTIONS, command, argc, argv, s, result, arena, err)) return false;
    if (result->help) return true;
    if (s->objective && strcmp(s->objective, "simpo") == 0 && !options_given(result, "beta")) s->beta = 2;
    if (s->objective && s->reduce && strcmp(s->objective, "sft") != 0 && !options_given(result, "reduce")) s->reduce = "sum";
    options_json(OPTIONS, command, s, options);
    s->command = command->name;
    s->options_json = options->s;
    s->argc = argc;
    s->argv = argv;
    s->inputs = result->positional;
    if (s->resume && !run_state_exists(s->resume) && !run_has_result(s->resume)) {
        fprintf(stderr, "%s: the run was stopped before its first save: it begins again\n", s->resume);
        s->resume = NULL;
    }
    return true;
}

/* ---- what follows from the values ---- */

bool settings_check_out(const Settings *s, Error *err) {
    char *weights = s->model ? path_join(s->model, "model.safetensors") : NULL;
    const struct {
        const char *option, *path;
    } inputs[] = {{"model", s->model}, {"model", weights}, {"pool", s->pool}, {"holdout", s->holdout}, {"eval", s->eval}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (file_same(s->dump_state, inputs[i].path))
            error_set(err, STATUS_USAGE, "%s: --dump-state %s would overwrite --%s: choose another place", s->command,
                      s->dump_state, inputs[i].option);
        if (!s->resume && (file_same(s->out, inputs[i].path) || file_same(s->per_example, inputs[i].path)))
            error_set(err, STATUS_USAGE, "%s: --out %s would overwrite --%s: choose another place", s->command, s->out,
                      inputs[i].option);
    }
    free(weights);
    if (err->status) return false;
    if (s->max_steps == 0 && s->num_train_epochs > 0)
        return error_set(err, STATUS_USAGE, "%s: --max-steps 0: say how many steps, or -1 for whole epochs", s->command);
    return true;
}

Objective settings_objective(const Settings *s) {
    return strcmp(s->objective, "dpo") == 0 ? OBJECTIVE_DPO : strcmp(s->objective, "simpo") == 0 ? OBJECTIVE_SIMPO : OBJECTIVE_SFT;
}

PairOptions settings_pair(const Settings *s) { return (PairOptions){s->beta, s->gamma_beta_ratio, s->label_smoothing}; }

SplitFiles settings_files(const Settings *s) {
    return (SplitFiles){
        .pool = s->pool, .holdout = s->holdout, .eval = s->eval, .truncate = s->truncate, .allow_overlap = s->allow_overlap};
}

void settings_print(const Settings *s, const Buf *object) {
    Arena arena = {0};
    JsonError where;
    const Json *root = s->json ? NULL : json_parse(&arena, object->s, object->n, &where);
    if (!root) fputs(object->s, stdout);
    for (int i = 0; root && i < root->count; i++) {
        const Json *v = &root->items[i];
        if (v->type == JSON_NUMBER) printf("%-26.*s %.6g\n", STR_ARG(root->keys[i]), v->number);
        if (v->type == JSON_STRING) printf("%-26.*s %.*s\n", STR_ARG(root->keys[i]), STR_ARG(v->string));
        for (int j = 0; v->type == JSON_OBJECT && j < v->count; j++)
            printf("%.*s %-*.*s %.4f\n", STR_ARG(root->keys[i]), 25 - (int)root->keys[i].n, STR_ARG(v->keys[j]),
                   v->items[j].number);
    }
    arena_free(&arena);
}

Str settings_group(const Settings *s) {
    if (s->group) return str(s->group);
    const char *path = s->pool ? s->pool : "", *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (strncmp(name, "pool-", 5) == 0) name += 5;
    const char *dot = strrchr(name, '.');
    return (Str){name, dot ? (size_t)(dot - name) : strlen(name)};
}

const char *settings_arm(const Settings *s, Arena *arena) {
    if (s->arm) return s->arm;
    if (!s->weights) return "uniform";
    bool plain = strcmp(s->weights, "uniform") == 0 || strcmp(s->weights, "oracle") == 0 ||
                 strcmp(s->weights, "records") == 0 || strncmp(s->weights, "file:", 5) == 0;
    if (plain) return s->weights;
    size_t n = strlen(s->weights) + strlen(s->weight_map) + 2;
    char *text = arena_new(arena, n, 1);
    snprintf(text, n, "%s:%s", s->weights, s->weight_map);
    return text;
}
