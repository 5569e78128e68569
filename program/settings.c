/* The table of options, and what follows from the values that a user gave. */
#include "program/settings.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/adapter.h"
#include "data/memory.h"
#include "data/model_config.h"
#include "data/corpus/annotators.h"
#include "data/order.h"
#include "data/run.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/progress.h"
#include "lib/text.h"
#include "program/bench.h"
#include "program/hints.h"
#include "program/machine.h"
#include "program/options_file.h"
#include "scoring/share.h"

/* options.h stores the choice of a name as an int. */
_Static_assert(sizeof(Method) == sizeof(int) && sizeof(Objective) == sizeof(int) &&
                   sizeof(DemoChoice) == sizeof(int) && sizeof(Reduce) == sizeof(int) &&
                   sizeof(Anchors) == sizeof(int) && sizeof(PairScore) == sizeof(int) &&
                   sizeof(WeightMap) == sizeof(int) && sizeof(Normalize) == sizeof(int) &&
                   sizeof(Schedule) == sizeof(int) && sizeof(CorpusSize) == sizeof(int) &&
                   sizeof(DemosAs) == sizeof(int),
               "an enum of Settings is not as large as an int");

/* `ica score` has no batches. */
static bool map_of_pool(int map) { return !MAPS[map].of_batch; }

#define AT(field) offsetof(Settings, field)
#define MODELS "pretrain score train eval generate chat"
#define OTHERS "corpus tokenizer select encode decode merge import inspect diff report bench"

const Choice REPORT_CHOICES[] = {
    [REPORT_TO_NOTHING] = {"none", "log.jsonl alone"},
    [REPORT_TO_TENSORBOARD] = {"tensorboard", "RUN/events.out.tfevents.ica"},
};
static const Choice FAMILY_CHOICES[] = {
    [FAMILY_GPT2] = {"gpt2", "layer norm, learned positions, gelu"},
    [FAMILY_LLAMA] = {"llama", "RMS norm, rotary positions, SwiGLU"},
    [FAMILY_QWEN2] = {"qwen2", "the same with biases of queries, keys and values"},
    [FAMILY_QWEN3] = {"qwen3", "the same with norms of heads"},
};
_Static_assert(sizeof FAMILY_CHOICES / sizeof *FAMILY_CHOICES == FAMILY_COUNT, "a row each");
_Static_assert(sizeof REPORT_CHOICES / sizeof *REPORT_CHOICES == REPORT_TO_COUNT, "a row each");

const Choice DTYPES[] = {
    [DTYPE_FLOAT32] = {"float32", "as they are computed with"},
    [DTYPE_BF16] = {"bf16", "half the memory, if the file's numbers are bfloat16"},
};
_Static_assert(sizeof DTYPES / sizeof *DTYPES == DTYPE_COUNT, "a row each");

const Option OPTIONS[] = {
    /* name, type, where, commands, default */
    {"out", OPTION_STRING, AT(out), "corpus tokenizer pretrain train merge import", "!",
     .value = "DIR", .free = true, .writes = true, .help = "folder to write", .section = "files"},
    {"out", OPTION_STRING, AT(out), "score", "!", .value = "FILE", .free = true, .writes = true,
     .help = "JSONL to write: id, score, weight, log-probabilities, demonstrations"},
    {"out", OPTION_STRING, AT(out), "select", "!", .value = "FILE", .free = true, .writes = true,
     .help = "JSONL to write: the chosen records of the pool"},
    {"out", OPTION_STRING, AT(out), "report", "report.html", .value = "FILE", .free = true,
     .writes = true, .help = "HTML page to write"},
    {"results", OPTION_STRING, AT(results), "report", NULL, .value = "FILE", .free = true,
     .writes = true, .help = "JSON with every figure of the tables"},
    {"csv", OPTION_STRING, AT(csv), "report", NULL, .value = "FILE", .free = true, .writes = true,
     .help = "the logs of the runs as one table of comma-separated values"},
    {"model", OPTION_STRING, AT(model), "score train eval generate chat", "!", .value = "DIR",
     .free = true, .help = "model folder of Hugging Face's form, or a run"},
    {"model", OPTION_STRING, AT(model), "report", NULL, .value = "DIR", .free = true,
     .help = "the model that scored: the page then shows what each token of an answer gained"},
    {"model", OPTION_STRING, AT(model), "pretrain", NULL, .value = "DIR", .free = true,
     .help = "model folder to continue from, instead of a new model"},
    {"template", OPTION_STRING, AT(template), MODELS " report", NULL, .value = "NAME",
     .help = "the text around prompts and answers, instead of the model folder's: recipe, plain, "
             "chatml, smollm2, qwen2.5, qwen3, llama3, llama3.2, zephyr, alpaca, or a file "
             "(template.json, or Jinja with known marks)"},
    {"tokenizer", OPTION_STRING, AT(tokenizer), "pretrain", NULL, .value = "DIR", .free = true,
     .help = "vocabulary of a new model"},
    {"model", OPTION_STRING, AT(model), "merge", "!", .value = "DIR", .free = true,
     .help = "folder of adapters, which names its base"},
    {"model", OPTION_STRING, AT(model), "import", "!", .value = "FILE", .free = true,
     .help = "model of llama2.c: a .bin file in float32"},
    {"tokenizer", OPTION_STRING, AT(tokenizer), "import", NULL, .value = "FILE", .free = true,
     .help = "its tokenizer, a .bin file; without one, data must be input_ids"},
    {"tokenizer", OPTION_STRING, AT(tokenizer), "encode decode", "!", .value = "DIR", .free = true,
     .help = "folder with tokenizer.json, or vocab.json and merges.txt"},
    {"data", OPTION_FILES, AT(data), "tokenizer pretrain eval", "!", .value = "FILE", .free = true,
     .help = "records to read (JSONL or JSON)"},
    {"pool", OPTION_STRING, AT(pool), "train", "!", .value = "FILE", .free = true,
     .help = "the candidates, which are the fine-tuning data"},
    {"pool", OPTION_STRING, AT(pool), "report", NULL, .value = "FILE", .free = true,
     .help = "the pool of a score file: its texts and known truth"},
    {"pool", OPTION_FILES, AT(pools), "score", "!", .value = "FILE", .free = true,
     .help = "the candidates, which are the fine-tuning data; - is standard input"},
    {"pool", OPTION_STRING, AT(pool), "select", "!", .value = "FILE",
     .help = "the records to choose from (JSONL or JSON)"},
    {"scores", OPTION_STRING, AT(scores), "select", "!", .value = "FILE",
     .help = "the pool's scores, as ica score or a run writes them"},
    {"holdout-scores", OPTION_STRING, AT(holdout_scores), "score select train", NULL,
     .value = "FILE", .free = true,
     .help =
         "accept, mirror: the holdout's own scores, as ica score writes them beside the pool's; "
         "score then does not make them, train and select read this file"},
    {"with-weights", OPTION_FLAG, AT(with_weights), "select", "false",
     .help = "add the key \"weight\" to each record"},
    {"skip-unscored", OPTION_FLAG, AT(skip_unscored), "select report", "false",
     .help = "pass over the pool's records that the score file has no line of, as those that "
             "--skip-long left out, and say how many"},
    {"holdout", OPTION_STRING, AT(holdout), "pretrain score train eval", NULL, .value = "FILE",
     .free = true, .help = "a few trusted examples, which serve as demonstrations"},
    {"holdout", OPTION_STRING, AT(holdout), "report", NULL, .value = "FILE", .free = true,
     .help = "the holdout of a score file: its demonstrations"},
    {"eval", OPTION_STRING, AT(eval), "pretrain train", NULL, .value = "FILE", .free = true,
     .help = "test records to evaluate on"},
    {"eval-share", OPTION_REAL, AT(eval_share), "train", "0", RANGE(0, 0.9),
     .help = "hold out this share of the pool, by prompt, as a validation part that the run is not "
             "trained on; 0: none"},
    {"resume", OPTION_FLAG, AT(proceed), "score", "false", .free = true, .writes = true,
     .help = "continue what was interrupted and is in OUT.part, with the same options"},
    {"resume", OPTION_FLAG, AT(proceed), "eval", "false", .free = true, .writes = true,
     .help = "continue what was interrupted and is in the file of --per-example with .part, with "
             "the same options"},
    {"chunk", OPTION_INT, AT(chunk), "score eval", "0", RANGE(0, 1000000000), .free = true,
     .help = "records between two saves of what is known; 0: some minutes of work"},
    {"resume", OPTION_STRING, AT(resume), "pretrain train", NULL, .value = "RUN", .free = true,
     .writes = true, .help = "continue an interrupted run, with the options it was started with"},
    {"options", OPTION_STRING, AT(options_file), "pretrain score train eval generate", NULL,
     .value = "FILE", .free = true,
     .help =
         "take options from a JSON file, such as a run.json, but no paths; those given here win"},
    {"dry-run", OPTION_FLAG, AT(dry_run), "pretrain score train eval", "false", .free = true,
     .help = "read and check everything, measure a few steps, say what it would take, and write "
             "nothing"},
    {"overwrite", OPTION_FLAG, AT(overwrite), "pretrain train", "false", .free = true,
     .writes = true,
     .help = "replace the run in --out, once the first state of the new one is safe"},
    {"overwrite", OPTION_FLAG, AT(overwrite), "score eval", "false", .free = true, .writes = true,
     .help = "begin again where interrupted work could be continued"},
    {"overwrite", OPTION_FLAG, AT(overwrite), "select", "false", .free = true, .writes = true,
     .help = "replace the records in --out"},
    {"force-resume", OPTION_FLAG, AT(force_resume), "pretrain train", "false", .free = true,
     .writes = true,
     .help = "with --resume: go on though options or inputs differ from those it began with"},
    {"size", OPTION_CHOICE, AT(size), "corpus", "quick", CHOICES(CORPUS_SIZES, CORPUS_SIZE_COUNT),
     .help = "how many pretraining sessions", .section = "the corpus and the tokenizer"},
    {"control", OPTION_FLAG, AT(control), "corpus", "false",
     .help = "give each pretraining example its own annotator, so that nothing can be inferred "
             "from context"},
    {"draw", OPTION_INT, AT(draw), "corpus score", "1", RANGE(0, 1000000),
     .help = "number of the random pools and holdout (score: a label for reports)"},
    {"pretrain", OPTION_FLAG, AT(pretrain), "corpus", "true",
     .help = "write pretrain.jsonl too; draws of one seed share it, so --no-pretrain saves time"},
    {"noise", OPTION_STRING, AT(noise), "corpus", NULL, .value = "KINDS",
     .help = "write pool-noise.jsonl too, with answers of these kinds, separated by commas (none: "
             "all right)",
     CHOICES(ANNOTATORS + 1, ANNOTATOR_COUNT - 1)},
    {"noise-rate", OPTION_REAL, AT(noise_rate), "corpus", "0.5", RANGE(0, 1),
     .help = "share of wrong answers in pool-noise.jsonl, rounded to whole records"},
    {"vocab-size", OPTION_INT, AT(vocab_size), "tokenizer", "512", RANGE(260, 1000000),
     .help = "number of tokens: 4 special ones, 256 bytes, the rest merges"},
    {"family", OPTION_CHOICE, AT(family), "pretrain", "gpt2", CHOICES(FAMILY_CHOICES, FAMILY_COUNT),
     .help = "kind of a new model", .section = "a new model, and its data"},
    {"layers", OPTION_INT, AT(layers), "pretrain", "4", RANGE(1, 1000),
     .help = "number of blocks of a new model"},
    {"heads", OPTION_INT, AT(heads), "pretrain", "4", RANGE(1, 10000),
     .help = "number of attention heads of a new model"},
    {"channels", OPTION_INT, AT(channels), "pretrain", "64", RANGE(1, 100000),
     .help = "width of a new model"},
    {"kv-heads", OPTION_INT, AT(kv_heads), "pretrain", "0", RANGE(0, 10000),
     .help = "heads of keys and values of a new model, which --heads is a multiple of; 0: as many "
             "as --heads"},
    {"head-size", OPTION_INT, AT(head_size), "pretrain", "0", RANGE(0, 10000),
     .help = "channels of a head of a new model; 0: --channels / --heads"},
    {"inner-channels", OPTION_INT, AT(inner_channels), "pretrain", "0", RANGE(0, 1000000),
     .help = "width inside the MLP of a new model; 0: 4 x --channels, or where it is gated 8/3 x"},
    {"context", OPTION_INT, AT(context), "pretrain", "128", RANGE(2, 1048576),
     .help = "longest row, in tokens, of a new model"},
    {"batch-tokens", OPTION_INT, AT(batch_tokens), "pretrain", "1024", RANGE(1, 100000000),
     .help = "tokens in an optimizer step"},
    {"shuffle", OPTION_FLAG, AT(shuffle), "pretrain", "false",
     .help = "take sessions in a new random order in every epoch, instead of the file's order "
             "(text always is shuffled)"},
    {"prompt-loss-weight", OPTION_REAL, AT(prompt_loss_weight), "pretrain", "0.1", RANGE(0, 1),
     .help = "loss weight of a session's prompt tokens; answers have 1"},
    {"dtype", OPTION_CHOICE, AT(dtype), "score train eval generate chat", "float32",
     CHOICES(DTYPES, DTYPE_COUNT), .free = true,
     .help = "numbers of a frozen model's matrices in memory; results have the same bits",
     .section = "adapters and frozen models"},
    {"lora-rank", OPTION_INT, AT(lora_rank), "train", "0", RANGE(0, 4096),
     .help = "train adapters of this rank (LoRA) beside the model's matrices; 0: train the model"},
    {"lora-alpha", OPTION_REAL, AT(lora_alpha), "train", "0", RANGE(0, 1000000),
     .help = "an adapter counts alpha / rank; 0: as the rank, so 1"},
    {"lora-targets", OPTION_STRING, AT(lora_targets), "train", "all-linear", .value = "LIST",
     .help = "matrices with an adapter, as q_proj,v_proj; all-linear: all of the blocks"},
    {"lora-rs", OPTION_FLAG, AT(lora_rs), "train", "false",
     .help = "an adapter counts alpha / sqrt(rank) (PEFT's use_rslora)"},
    {"objective", OPTION_CHOICE, AT(objective), "score train eval", "sft",
     CHOICES(OBJECTIVES, OBJECTIVE_COUNT), .help = "the loss to minimize", .section = "the loss"},
    {"beta", OPTION_REAL, AT(beta), "score train eval", "0.1", RANGE(OPTION_POSITIVE, 1000),
     .help = "beta of the pair losses (simpo: 2 unless given)"},
    {"gamma-beta-ratio", OPTION_REAL, AT(gamma_beta_ratio), "score train eval", "0.25",
     RANGE(0, 1000), .help = "simpo: target margin divided by beta"},
    {"label-smoothing", OPTION_REAL, AT(label_smoothing), "score train eval", "0", RANGE(0, 1),
     .help = "pair losses: assumed share of swapped pairs"},
    {"pair-score", OPTION_CHOICE, AT(pair_score), "score train", "margin",
     CHOICES(PAIR_SCORES, PAIR_SCORE_COUNT),
     .help = "ica on pairs: what the demonstrations improve"},
    {"reference", OPTION_STRING, AT(reference), "eval", NULL, .value = "DIR", .free = true,
     .help = "dpo: the model that training started from"},
    {"method", OPTION_CHOICE, AT(method), "score", "ica", CHOICES(METHODS, METHOD_COUNT),
     .help = "how candidates are scored", .section = "scores and weights"},
    {"weights", OPTION_STRING, AT(weights), "train", "uniform", .value = "W",
     CHOICES(METHODS, METHOD_COUNT),
     .help = "where the weights come from: uniform (all 1), oracle (known truth), records (the "
             "key \"weight\" of each record), file:PATH (written by ica score; if its lines have "
             "no weights, --weight-map makes them), or one of these methods"},
    {"weight-map", OPTION_CHOICE, AT(weight_map), "score", "minmax", CHOICES(MAPS, MAP_COUNT),
     .takes = map_of_pool, .help = "how a score becomes a weight"},
    {"weight-map", OPTION_CHOICE, AT(weight_map), "train", "minmax-batch", CHOICES(MAPS, MAP_COUNT),
     .help = "how a score becomes a weight"},
    {"weight-map", OPTION_CHOICE, AT(weight_map), "select", NULL, CHOICES(MAPS, MAP_COUNT),
     .takes = map_of_pool,
     .help = "make the weights anew from the scores; records with a weight above 0 are chosen"},
    {"share", OPTION_REAL, AT(share), "select", "0", RANGE(0, 1),
     .help = "choose this share of the pool, the best scores; 0: the weights choose"},
    {"temperature", OPTION_REAL, AT(temperature), "score select train", "0.5",
     RANGE(OPTION_POSITIVE, 1000), .help = "temperature of the map softmax"},
    {"share", OPTION_REAL, AT(share), "score train", "0.5", RANGE(OPTION_POSITIVE, 1),
     .help = "share of the pool that the map top keeps"},
    {"clip", OPTION_REAL, AT(clip), "score select train", "0.05", RANGE(0, 0.49),
     .help = "share of the scores that the map clip cuts off at each end"},
    {"accept-level", OPTION_REAL, AT(accept_level), "score select train", "0.05",
     RANGE(OPTION_POSITIVE, 1),
     .help = "accept: the largest share of candidates as good as the holdout that is lost"},
    {"holdout-trim", OPTION_REAL, AT(holdout_trim), "score train", "0", RANGE(0, 0.9),
     .help = "accept, mirror: share of the holdout that is left out because the rest of it makes "
             "it improbable; against wrong answers there"},
    {"relabel", OPTION_FLAG, AT(relabel), "score train", "false",
     .help = "mirror: swap the answers of pairs that are more likely flipped than not, instead of "
             "leaving these out"},
    {"normalize", OPTION_CHOICE, AT(normalize), "score train", "batch",
     CHOICES(NORMALIZATIONS, NORMALIZATION_COUNT),
     .help = "what the weighted sum of gradients is divided by (score: of rho's reference)"},
    {"k", OPTION_INT, AT(k), "pretrain score train", "3", RANGE(0, 1000),
     .help = "number of demonstrations in context"},
    {"k", OPTION_INT, AT(k), "eval", "0", RANGE(0, 1000),
     .help = "number of nearest holdout demonstrations in context"},
    {"demos", OPTION_CHOICE, AT(demos), "score train", "nearest", CHOICES(DEMO_CHOICES, DEMO_COUNT),
     .help = "which holdout examples are shown"},
    {"embedding", OPTION_CHOICE, AT(embedding), "score train eval", "tfidf",
     CHOICES(EMBEDDINGS, EMBEDDING_COUNT),
     .help = "what makes two prompts near, of demonstrations and of nearest anchors"},
    {"demos-as", OPTION_CHOICE, AT(demos_as), "pretrain score train eval", "turns",
     CHOICES(DEMOS_AS, DEMOS_AS_COUNT), .help = "how demonstrations stand before a prompt"},
    {"demos-as", OPTION_CHOICE, AT(demos_as), "report", NULL, CHOICES(DEMOS_AS, DEMOS_AS_COUNT),
     .help = "with --model: how demonstrations stood when the scores were made, if their run.json "
             "is not beside them"},
    {"contexts", OPTION_INT, AT(contexts), "score train", "0", RANGE(0, 1000000),
     .help = "largest number of different contexts; clusters of candidates share one, which is "
             "cheaper; 0: every candidate has its own"},
    {"reduce", OPTION_CHOICE, AT(reduce), "score train", "mean", CHOICES(REDUCTIONS, REDUCE_COUNT),
     .help = "how the tokens of an answer make one log-likelihood (pairs: sum unless given)"},
    {"anchors", OPTION_CHOICE, AT(anchors), "score train", "nearest",
     CHOICES(ANCHOR_CHOICES, ANCHORS_COUNT),
     .help = "oneshot, nuggets: which holdout answers are asked"},
    {"num-anchors", OPTION_INT, AT(num_anchors), "score train", "8", RANGE(1, 100000),
     .help = "number of anchors with --anchors random"},
    {"reference-steps", OPTION_INT, AT(reference_steps), "score train", "150", RANGE(1, 1000000),
     .help = "rho: training steps of the reference on the holdout"},
    {"shard", OPTION_STRING, AT(shard), "score", NULL, .value = "I/N",
     .help = "score the I-th of N parts of the pool, without weights. Concatenate the files of "
             "all parts in order; train --weights file:PATH then makes the weights"},
    {"refresh", OPTION_INT, AT(refresh), "train", "1", RANGE(1, 1000000),
     .help = "how often scores are computed in the run (1: once, before training)"},
    {"batch-size", OPTION_INT, AT(batch_size), "score train", "32", RANGE(1, 1000000),
     .help = "records in an optimizer step", .section = "optimization"},
    {"recompute", OPTION_FLAG, AT(recompute), "pretrain train", "false", .free = true,
     .help = "keep only the layers' inputs for the backward pass: less memory, more time, the "
             "same bits"},
    {"micro-batch-size", OPTION_INT, AT(micro_batch_size), "score train", "0", RANGE(0, 1000000),
     .help = "records computed at once; 0: as many as keep memory small"},
    {"max-steps", OPTION_INT, AT(max_steps), "pretrain train", "-1", RANGE(-1, 1000000000),
     .help = "optimizer steps; -1: --num-train-epochs decides"},
    {"num-train-epochs", OPTION_REAL, AT(num_train_epochs), "pretrain", "1",
     RANGE(OPTION_POSITIVE, 100000), .help = "passes over the data"},
    {"num-train-epochs", OPTION_REAL, AT(num_train_epochs), "train", "3",
     RANGE(OPTION_POSITIVE, 100000), .help = "passes over the data"},
    {"learning-rate", OPTION_REAL, AT(learning_rate), "pretrain", "4e-3",
     RANGE(OPTION_POSITIVE, 10), .help = "peak learning rate"},
    {"learning-rate", OPTION_REAL, AT(learning_rate), "score train", "5e-5",
     RANGE(OPTION_POSITIVE, 10), .help = "peak learning rate (score: of rho's reference)"},
    {"lr-scheduler-type", OPTION_CHOICE, AT(lr_scheduler_type), "pretrain score train", "cosine",
     CHOICES(SCHEDULES, SCHEDULE_COUNT),
     .help = "course of the learning rate, as Hugging Face's of that name"},
    {"min-lr-ratio", OPTION_REAL, AT(min_lr_ratio), "pretrain score train", "0", RANGE(0, 1),
     .help = "cosine, linear: what the rate falls to, as a share of the peak"},
    {"warmup-steps", OPTION_INT, AT(warmup_steps), "pretrain", "50", RANGE(-1, 1000000000),
     .help = "steps of linear warm-up; -1: --warmup-ratio decides"},
    {"warmup-steps", OPTION_INT, AT(warmup_steps), "score train", "-1", RANGE(-1, 1000000000),
     .help = "steps of linear warm-up; -1: --warmup-ratio decides"},
    {"warmup-ratio", OPTION_REAL, AT(warmup_ratio), "pretrain score train", "0.1", RANGE(0, 1),
     .help = "linear warm-up as a share of all steps"},
    {"weight-decay", OPTION_REAL, AT(weight_decay), "pretrain", "0.01", RANGE(0, 10),
     .help = "decoupled weight decay, on matrices only"},
    {"weight-decay", OPTION_REAL, AT(weight_decay), "score train", "0", RANGE(0, 10),
     .help = "decoupled weight decay, on matrices only"},
    {"adam-beta1", OPTION_REAL, AT(adam_beta1), "pretrain score train", "0.9", RANGE(0, 0.999999),
     .help = "decay rate of the mean of gradients"},
    {"adam-beta2", OPTION_REAL, AT(adam_beta2), "pretrain", "0.99", RANGE(0, 0.9999999),
     .help = "decay rate of the mean of squared gradients"},
    {"adam-beta2", OPTION_REAL, AT(adam_beta2), "score train", "0.999", RANGE(0, 0.9999999),
     .help = "decay rate of the mean of squared gradients"},
    {"max-grad-norm", OPTION_REAL, AT(max_grad_norm), "pretrain score train", "1", RANGE(0, 1e9),
     .help = "gradient clipping by the global norm; 0: none (score: of rho's reference)"},
    {"logging-steps", OPTION_INT, AT(logging_steps), "pretrain", "100", RANGE(1, 1000000000),
     .free = true, .help = "steps between log lines",
     .section = "log, evaluations, and what is saved"},
    {"logging-steps", OPTION_INT, AT(logging_steps), "train", "10", RANGE(1, 1000000000),
     .free = true, .help = "steps between log lines"},
    {"eval-steps", OPTION_INT, AT(eval_steps), "pretrain", "1000", RANGE(0, 1000000000),
     .free = true, .help = "steps between evaluations in the log (0: none)"},
    {"eval-steps", OPTION_INT, AT(eval_steps), "train", "0", RANGE(0, 1000000000), .free = true,
     .help = "steps between evaluations in the log (0: only at the end)"},
    {"save-steps", OPTION_INT, AT(save_steps), "pretrain train", "0", RANGE(0, 1000000000),
     .free = true, .help = "steps between saves (0: only at the end and when interrupted)"},
    {"sample-prompt", OPTION_STRING, AT(sample_prompt), "pretrain train", NULL, .value = "TEXT",
     .free = true,
     .help =
         "what the model is asked at each evaluation (default: the first test record's prompt)"},
    {"report-to", OPTION_CHOICE, AT(report_to), "pretrain train", "none",
     CHOICES(REPORT_CHOICES, REPORT_TO_COUNT), .free = true,
     .help = "write the log for another program, too"},
    {"load-best-model-at-end", OPTION_FLAG, AT(load_best), "pretrain train", "false",
     .help = "the run's model is that of the best evaluation, not of the last step"},
    {"patience", OPTION_INT, AT(patience), "pretrain train", "0", RANGE(0, 1000000),
     .help = "stop after so many evaluations without improvement; 0: never"},
    {"save-total-limit", OPTION_INT, AT(save_total_limit), "pretrain train", "2", RANGE(1, 2),
     .free = true, .help = "training states that stay: 2, the newest and the one before, or 1"},
    {"save-only-model", OPTION_FLAG, AT(save_only_model), "pretrain train", "false", .free = true,
     .help = "a finished run keeps its model and no training state"},
    {"truncate", OPTION_FLAG, AT(truncate), "score train eval", "false",
     .help = "cut completions that do not fit the context", .section = "records"},
    {"allow-overlap", OPTION_FLAG, AT(allow_overlap), "score train eval", "false",
     .help = "let pool, holdout and test share examples, and candidates see their own answer, to "
             "measure the leak"},
    {"skip-long", OPTION_FLAG, AT(skip_long), "pretrain score train eval", "false",
     .help = "leave out records that do not fit the context, and say how many"},
    {"drop-overlap", OPTION_FLAG, AT(drop_overlap), "pretrain score train eval", "false",
     .help =
         "leave out records that are in two files: of the pool those in holdout or test, of the "
         "holdout those in the test"},
    {"drop-duplicates", OPTION_FLAG, AT(drop_duplicates), "pretrain score train", "false",
     .help = "leave out records of the pool (pretrain: of a file) that are copies of earlier ones"},
    {"dump-state", OPTION_STRING, AT(dump_state), "train", NULL, .value = "FILE", .free = true,
     .writes = true,
     .help = "safetensors to write: the last step's weights, gradients and optimizer, for a "
             "check by another framework",
     .section = "more files"},
    {"per-example", OPTION_STRING, AT(per_example), "eval", NULL, .value = "FILE", .free = true,
     .writes = true, .help = "JSONL to write: id, logp, tokens"},
    {"prompt", OPTION_STRING, AT(prompt), "generate", NULL, .value = "TEXT",
     .help = "what to complete", .section = "text"},
    {"prompt-file", OPTION_STRING, AT(prompt_file), "generate", NULL, .value = "FILE",
     .help = "prompts to complete, one a line, as text or as records {...}; the answers are lines "
             "of JSON on stdout"},
    {"samples", OPTION_INT, AT(samples), "generate", "0", RANGE(0, 1000000),
     .help = "answers to each prompt of the file, each with random numbers of its own; 0: one, "
             "with those that its prompt would draw alone"},
    {"system", OPTION_STRING, AT(system), "generate chat", NULL, .value = "TEXT",
     .help = "system turn, instead of the template's own"},
    {"max-new-tokens", OPTION_INT, AT(max_new_tokens), "generate", "64", RANGE(1, 1000000),
     .help = "longest completion"},
    {"max-new-tokens", OPTION_INT, AT(max_new_tokens), "chat", "256", RANGE(1, 1000000),
     .help = "longest answer"},
    {"temperature", OPTION_REAL, AT(sampling_temperature), "generate chat", "0", RANGE(0, 100),
     .help = "sampling temperature; 0: always the most probable token"},
    {"top-k", OPTION_INT, AT(top_k), "generate chat", "0", RANGE(0, 1000000),
     .help = "draw from this many most probable tokens; 0: from all"},
    {"top-p", OPTION_REAL, AT(top_p), "generate chat", "1", RANGE(OPTION_POSITIVE, 1),
     .help = "draw from the fewest most probable tokens whose probabilities sum to this"},
    {"repetition-penalty", OPTION_REAL, AT(repetition_penalty), "generate chat", "1",
     RANGE(OPTION_POSITIVE, 1000),
     .help = "divide positive logits of tokens that stand in the row already, and multiply "
             "negative ones"},
    {"think", OPTION_FLAG, AT(think), "generate chat", "false",
     .help = "qwen3: let the model think before it answers"},
    {"tolerance", OPTION_REAL, AT(tolerance), "diff", "0", RANGE(0, 1e300),
     .help = "largest difference of values that count as equal", .section = "comparison"},
    {"group", OPTION_STRING, AT(group), "score train", NULL, .value = "NAME", .free = true,
     .help = "table of the report (default: the pool's file name)", .section = "names in reports"},
    {"arm", OPTION_STRING, AT(arm), "train", NULL, .value = "NAME", .free = true,
     .help = "row of the report (default: weights and map)"},
    {"only", OPTION_CHOICE, AT(only), "bench", NULL, CHOICES(BENCH_PARTS, BENCH_PART_COUNT),
     .help = "run this part alone", .section = "what is measured"},
    {"config", OPTION_CHOICE, AT(config), "bench", NULL, NAMES(BENCH_CONFIGS, BENCH_CONFIG_COUNT),
     .help = "run this model alone: A 6 layers of 384, vocabulary 50,304; B GPT-2 124M; C 4 "
             "layers of 128; D 6 layers of SmolLM2-135M's size, vocabulary 49,152; E that of "
             "./run.sh"},
    {"seed", OPTION_INT64, AT(seed), "corpus " MODELS, "1", RANGE(0, 9e15),
     .help = "seed of everything random", .section = "everywhere"},
    {"threads", OPTION_INT, AT(threads), MODELS " " OTHERS, "0", RANGE(0, 4096), .free = true,
     .help = "number of threads; 0: as many as are fastest, up to OMP_NUM_THREADS or all cores"},
    {"json", OPTION_FLAG, AT(json), "score select train eval generate inspect diff report bench",
     "false", .free = true, .help = "print the result as one JSON object on stdout"},
    {0}};

/* ---- the arguments of a resumed run ---- */

/* The RUN of `--resume RUN` or `--resume=RUN`, or NULL. */
static char *resume_argument(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--resume=", 9) == 0) return argv[i] + 9;
        if (strcmp(argv[i], "--resume") == 0 && i + 1 < argc) return argv[i + 1];
    }
    return NULL;
}

/* How many arguments at i the resumed run does not take over: those that name what is written, for
 * a run.json from elsewhere must not choose that, and what is no text. */
static int dropped_arguments(const Json *kept, int i, const Command *command) {
    if (kept->items[i].type != JSON_STRING) return 1;
    Str a = str(kept->items[i].string.s); /* as the parser will see it: up to a NUL */
    const Option *row = options_argument(OPTIONS, command, a);
    if (!row || !row->writes) return 0;
    return row->type == OPTION_FLAG || memchr(a.s, '=', a.n) ? 1 : 2;
}

/* Puts the arguments that run.json kept before those given now, so that the latter win. Output goes
 * to the folder named by --resume, even if it was moved. */
static bool resumed_arguments(char *run, const Command *command, Arena *arena, int *argc,
                              char ***argv, Error *err) {
    const Json *root = place_recover(run, err) ? run_json(run, arena, err) : NULL;
    const Json *kept = json_get(root, "arguments"), *made_by = json_get(root, "command");
    if (root && !str_is(made_by->string, command->name))
        return error_set(err, STATUS_DATA,
                         "%s/run.json: is not from `ica %s`; resume the run with the command that "
                         "started it",
                         run, command->name);
    if (root) {
        char **all = arena_new(arena, (size_t)(kept->count + *argc) + 3, sizeof *all);
        int n = 0;
        for (int i = 0, drop; i < kept->count; i += drop ? drop : 1) {
            drop = dropped_arguments(kept, i, command);
            if (drop == 0) all[n++] = (char *)str_copy(arena, kept->items[i].string).s;
        }
        all[n++] = strcpy(arena_new(arena, sizeof "--out", 1), "--out");
        all[n++] = run;
        for (int i = 0; i < *argc; i++) all[n++] = (*argv)[i];
        *argv = all;
        *argc = n;
    }
    return root != NULL;
}

/* ---- parsing ---- */

static const char FILE_PREFIX[] = "file:";
/* The other values of --weights that are not a method. */
static const char *const WEIGHTS_NAMES[] = {[WEIGHTS_FROM_NOTHING] = "uniform",
                                            [WEIGHTS_FROM_ORACLE] = "oracle",
                                            [WEIGHTS_FROM_RECORDS] = "records"};

static bool resolve_weights(Settings *s, Error *err) {
    size_t prefix = strlen(FILE_PREFIX);
    if (!s->weights) return true;
    if (strncmp(s->weights, FILE_PREFIX, prefix) == 0) {
        s->weights_from = WEIGHTS_FROM_FILE;
        s->weights_file = s->weights + prefix;
        return true;
    }
    for (int i = WEIGHTS_FROM_NOTHING; i <= WEIGHTS_FROM_RECORDS; i++)
        if (strcmp(s->weights, WEIGHTS_NAMES[i]) == 0) {
            s->weights_from = (WeightsFrom)i;
            return true;
        }
    Buf names = {0};
    for (int i = 0; i < METHOD_COUNT; i++) {
        buf_printf(&names, "%s%s", i ? ", " : "", METHODS[i].name);
        if (strcmp(s->weights, METHODS[i].name) != 0) continue;
        s->weights_from = WEIGHTS_FROM_METHOD;
        s->method = (Method)i;
    }
    if (s->weights_from != WEIGHTS_FROM_METHOD)
        error_set(
            err, STATUS_USAGE,
            "train: --weights %s: choose uniform, oracle, records, file:PATH, or a method: %s",
            s->weights, names.s);
    buf_free(&names);
    return err->status == 0;
}

/* What happens at evaluations needs some. */
static bool check_judged(const Settings *s, Error *err) {
    const char *option = s->load_best      ? "--load-best-model-at-end"
                         : s->patience > 0 ? "--patience"
                                           : "--sample-prompt";
    bool train = s->pool != NULL;
    if (!s->load_best && s->patience == 0 && !s->sample_prompt) return true;
    if (!s->eval && s->eval_share <= 0)
        return error_set(err, STATUS_USAGE, "%s needs evaluations: give --eval FILE%s", option,
                         train ? ", or hold out a part of the pool with --eval-share 0.1" : "");
    if (s->eval_steps == 0)
        return error_set(err, STATUS_USAGE, "%s needs evaluations: give --eval-steps N", option);
    if (s->patience > 0 && s->dump_state)
        return error_set(err, STATUS_USAGE,
                         "--dump-state writes the last step, which --patience may never reach; "
                         "leave one of them out");
    return true;
}

/* A file with the holdout's own scores takes the place of scoring it. */
static bool check_holdout_scores(const Settings *s, Error *err) {
    bool train = s->weights != NULL;
    if (!s->holdout_scores) return true;
    if ((int)s->weight_map < 0 || !MAPS[s->weight_map].of_holdout)
        return error_set(err, STATUS_USAGE,
                         "--holdout-scores %s: only --weight-map accept and mirror compare with "
                         "them; leave it out",
                         s->holdout_scores);
    if (train && s->weights_from != WEIGHTS_FROM_FILE)
        return error_set(err, STATUS_USAGE,
                         "--holdout-scores goes with --weights file:PATH: a method scores the "
                         "holdout itself, at each refresh");
    if (s->holdout_trim > 0)
        return error_set(err, STATUS_USAGE,
                         "--holdout-trim %g: the file of --holdout-scores says what is left out; "
                         "leave one of them out",
                         s->holdout_trim);
    return true;
}

/* Refuses, by name, options whose values another option leaves without a meaning. */
static bool check_together(const Settings *s, const OptionResult *given, Error *err) {
    const ObjectiveInfo *objective = &OBJECTIVES[s->objective];
    const ScheduleInfo *schedule = &SCHEDULES[s->lr_scheduler_type];
    bool no_noise = !s->noise || strcmp(s->noise, "none") == 0;
    if (no_noise && options_given(given, "noise-rate") && (!s->noise || s->noise_rate > 0))
        return error_set(err, STATUS_USAGE,
                         "--noise-rate %g: there is no noise; name its kinds with --noise, or "
                         "leave --noise-rate out",
                         s->noise_rate);
    const char *draws = options_given(given, "top-k")   ? "top-k"
                        : options_given(given, "top-p") ? "top-p"
                        : s->samples > 0                ? "samples"
                                                        : NULL;
    if (draws && s->sampling_temperature <= 0)
        return error_set(err, STATUS_USAGE,
                         "--%s: at temperature 0 the most probable token is always taken; give a "
                         "--temperature, or leave --%s out",
                         draws, draws);
    if (s->min_lr_ratio > 0 && !schedule->falls)
        return error_set(err, STATUS_USAGE,
                         "--min-lr-ratio %g: --lr-scheduler-type %s does not fall; take cosine or "
                         "linear, or leave --min-lr-ratio out",
                         s->min_lr_ratio, schedule->name);
    static const char *const lora[] = {"lora-alpha", "lora-targets", "lora-rs"};
    for (size_t i = 0; i < sizeof lora / sizeof *lora && s->lora_rank == 0; i++)
        if (options_given(given, lora[i]))
            return error_set(err, STATUS_USAGE,
                             "--%s: there are no new adapters; give --lora-rank, or leave it out",
                             lora[i]);
    if (!check_judged(s, err) || !check_holdout_scores(s, err)) return false;
    if (s->dry_run && s->resume)
        return error_set(err, STATUS_USAGE,
                         "--dry-run is for a run that has not begun; leave --resume out");
    if (s->drop_overlap && s->allow_overlap)
        return error_set(err, STATUS_USAGE,
                         "--drop-overlap and --allow-overlap contradict each other; leave one out");
    if (s->relabel &&
        (s->weight_map != MAP_MIRROR || (s->weights && s->weights_from != WEIGHTS_FROM_METHOD &&
                                         s->weights_from != WEIGHTS_FROM_FILE)))
        return error_set(err, STATUS_USAGE,
                         "--relabel: only --weight-map mirror, with the weights of a method or a "
                         "score file, knows which pairs to swap; leave --relabel out");
    if (s->relabel && s->dump_state)
        return error_set(err, STATUS_USAGE,
                         "--relabel does not go with --dump-state, which has no place for swapped "
                         "pairs");
    if (!objective->pairs) return true;
    if (s->normalize == NORMALIZE_TOKENS)
        return error_set(err, STATUS_USAGE,
                         "--normalize tokens: the loss of --objective %s is of a pair and not a "
                         "sum over tokens; take batch",
                         objective->name);
    /* These scores are of the pair's whole loss. */
    bool whole = s->method == METHOD_GRADIENT ||
                 (s->method == METHOD_ICA && s->pair_score == PAIR_LOSS) ||
                 (s->method == METHOD_LOSS && s->objective == OBJECTIVE_SIMPO);
    if (whole && options_given(given, "reduce"))
        return error_set(err, STATUS_USAGE,
                         "--reduce %s: with --objective %s this score is of the pair's loss, which "
                         "--reduce does not touch; leave it out",
                         REDUCTIONS[s->reduce].name, objective->name);
    return true;
}

/* Adds to an error where the wrong option may stand, too. */
static bool of_file(const char *file, Error *err) {
    Error plain = *err;
    if (!file) return false;
    *err = (Error){0};
    return error_set(err, plain.status, "%s (options come from %s, too)", plain.text, file);
}

bool settings_parse(const Command *command, int argc, char **argv, Settings *s,
                    OptionResult *result, Arena *arena, Buf *options, Error *err) {
    const char *file;
    *s = (Settings){0};
    if (!options_file_expand(command, &argc, &argv, &file, arena, err)) return false;
    const Option *row = options_argument(OPTIONS, command, str("--resume"));
    bool resumes = row && row->type == OPTION_STRING; /* a run, whose arguments come first */
    char *resume = resumes ? resume_argument(argc, argv) : NULL;
    if (resume && !resumed_arguments(resume, command, arena, &argc, &argv, err)) return false;
    if (!options_parse(OPTIONS, HINTS, command, argc, argv, s, result, arena, err))
        return of_file(file, err);
    if (result->help) return true;
    if (!resolve_weights(s, err)) return false;
    /* Some defaults depend on the objective. */
    if (!options_given(result, "beta")) s->beta = OBJECTIVES[s->objective].beta;
    if (!options_given(result, "reduce")) s->reduce = OBJECTIVES[s->objective].reduce;
    /* pretrain has a number of steps by default. A share that is asked for comes before it. */
    if (options_given(result, "warmup-ratio") && !options_given(result, "warmup-steps"))
        s->warmup_steps = -1;
    if (!check_together(s, result, err)) return false;
    if (s->max_steps == 0 && s->num_train_epochs > 0)
        return error_set(err, STATUS_USAGE,
                         "%s: --max-steps is 0; give a number of steps, or -1 for whole epochs",
                         command->name);
    options_json(OPTIONS, command, s, options);
    s->options_file = file;
    s->command = command->name;
    s->options_json = options->s;
    s->argc = argc;
    s->argv = argv;
    s->given = result;
    s->inputs = result->positional;
    if (s->pools.count > 0) s->pool = s->pools.values[0];
    bool begun = s->resume && (run_state_exists(s->resume) || run_has_result(s->resume, err));
    if (err->status) return false;
    if (s->resume && !begun) {
        fprintf(stderr, "%s: the run was stopped before its first save; it starts again\n",
                s->resume);
        s->resume = NULL;
        s->again = true;
    }
    return true;
}

/* ---- what follows from the values ---- */

PairOptions settings_pair(const Settings *s) {
    return (PairOptions){s->beta, s->gamma_beta_ratio, s->label_smoothing};
}

SplitFiles settings_files(const Settings *s) {
    return (SplitFiles){.pool = s->pool,
                        .holdout = s->holdout,
                        .eval = s->eval,
                        .truncate = s->truncate,
                        .demos_as = s->demos_as,
                        .skip_long = s->skip_long,
                        .drop_copies = s->drop_duplicates,
                        .drop_overlap = s->drop_overlap,
                        .allow_overlap = s->allow_overlap};
}

/* Settings that no command line made have no command. */
static bool is_command(const Settings *s, const char *name) {
    return s->command && strcmp(s->command, name) == 0;
}

/* The tokens of the largest pass: a piece of a batch, or rows that are scored. What records are
 * like is not known here; a row has at most the context. */
static int largest_pass(const Settings *s, int context) {
    bool trains = is_command(s, "train");
    if (is_command(s, "pretrain")) return s->batch_tokens > context ? s->batch_tokens : context;
    int rows = s->micro_batch_size > 0 ? s->micro_batch_size : s->batch_size;
    double most = (double)rows * context, piece = trains ? PIECE_TOKENS : SHARE_TOKENS;
    if (trains && s->micro_batch_size > 0) return most < INT_MAX ? (int)most : INT_MAX;
    if (piece < context) piece = context;
    return (int)(trains && most < piece ? most : piece);
}

/* Tells what the model takes, before it is read, if that is most of the machine's memory. What is
 * wrong with the folder is told where it is read. */
static void tell_memory(const Settings *s, const char *path) {
    Error ignored = {0};
    LoraConfig lora = {.rank = s->lora_rank};
    bool has_adapters = adapter_is(path), trains = is_command(s, "train");
    MemoryAsked asked = {.frozen = s->dtype == DTYPE_BF16,
                         .trains = trains || is_command(s, "pretrain"),
                         .recompute = s->recompute,
                         .references = trains ? references_most(s->method, s->weight_map) : 0};
    char *base = has_adapters ? adapter_base(path, &ignored) : NULL;
    const char *model = base ? base : path;
    bool known = !ignored.status && model_config_load(&asked.shape, model, &ignored) &&
                 config_complete(&asked.shape, &ignored);
    if (known && has_adapters) known = adapter_config_load(&lora, &asked.shape, path, &ignored);
    else if (known && lora.rank > 0)
        known = adapter_targets(&lora.targets, &asked.shape, str(s->lora_targets), &ignored);
    free(base);
    if (!known) return;
    if (lora.rank > 0) asked.lora = &lora;
    asked.tokens = largest_pass(s, asked.shape.context);
    double need = (double)memory_of(&asked).total, has = (double)machine_memory_bytes();
    if (has <= 0 || need < 0.8 * has) return;
    fprintf(stderr,
            "%s: takes up to %.1f GB of memory for %s and activations, without the data; this "
            "machine has %.1f GB%s\n",
            path, 1e-9 * need, asked.trains ? "weights, gradients, moments" : "weights", 1e-9 * has,
            asked.trains && !asked.lora ? ": --lora-rank trains adapters alone"
            : !asked.frozen             ? ": --dtype bf16 halves frozen weights"
                                        : "");
}

bool settings_model(const Settings *s, const char *path, ModelFolder *f, Error *err) {
    const char *template = path == s->resume ? NULL : s->template;
    tell_memory(s, path);
    if (!model_folder_load_as(f, path, template, s->dtype == DTYPE_BF16, err)) return false;
    bool alone = s->dtype == DTYPE_BF16 && !s->resume && s->lora_rank == 0 && !f->base;
    bool gradients = is_command(s, "train") ||
                     (is_command(s, "score") &&
                      (METHODS[s->method].needs_gradients || METHODS[s->method].needs_reference));
    if (alone && gradients) {
        model_folder_free(f);
        return error_set(
            err, STATUS_USAGE,
            "--dtype bf16: this trains or differentiates the model itself, which takes "
            "float32; give --lora-rank, score with adapters, or leave it out");
    }
    if (s->template && !f->tokenizer) {
        model_folder_free(f);
        return error_set(err, STATUS_USAGE,
                         "--template %s: %s has no vocabulary, so its records are input_ids, which "
                         "have no template; leave it out",
                         s->template, path);
    }
    if (f->note) fprintf(stderr, "%s\n", f->note);
    return true;
}

/* Appends a number as people read it: whole ones with commas, seconds as a time. */
static void put_value(Buf *b, Str key, double x, const char *format) {
    static const char SECONDS[] = "seconds";
    size_t n = strlen(SECONDS);
    bool time = key.n >= n && memcmp(key.s + key.n - n, SECONDS, n) == 0;
    if (time) put_duration(b, x);
    else if (x == floor(x) && fabs(x) < 1e15) put_count(b, x);
    else if (strcmp(format, "%.4f") == 0) buf_printf(b, "%.4f", x);
    else buf_printf(b, "%.6g", x);
    buf_putc(b, '\n');
}

bool settings_print(const Settings *s, const Buf *object, Error *err) {
    Arena arena = {0};
    Buf out = {0}, name = {0};
    JsonError where;
    const Json *root = s->json ? NULL : json_parse(&arena, object->s, object->n, &where);
    if (!root) buf_put(&out, object->s, object->n);
    for (int i = 0; root && i < root->count; i++) {
        const Json *v = &root->items[i];
        Str key = root->keys[i]; /* one of this program's */
        if (v->type == JSON_NUMBER) {
            buf_printf(&out, "%-26.*s ", STR_ARG(key));
            put_value(&out, key, v->number, "%.6g");
        }
        if (v->type == JSON_BOOL)
            buf_printf(&out, "%-26.*s %s\n", STR_ARG(key), v->boolean ? "yes" : "no");
        if (v->type == JSON_STRING) buf_printf(&out, "%-26.*s ", STR_ARG(key));
        if (v->type == JSON_STRING) text_show(&out, v->string, "");
        if (v->type == JSON_STRING) buf_putc(&out, '\n');
        for (int j = 0; v->type == JSON_OBJECT && j < v->count; j++) {
            name.n = 0;
            text_show(&name, v->keys[j], "");
            buf_printf(&out, "%.*s %-*.*s ", STR_ARG(key), 25 - (int)key.n, STR_ARG(name));
            const Json *item = &v->items[j];
            if (item->type == JSON_BOOL) buf_puts(&out, item->boolean ? "yes\n" : "no\n");
            else
                put_value(&out, v->keys[j], item->type == JSON_NUMBER ? item->number : NAN, "%.4f");
        }
    }
    bool ok = file_print(out.s, out.n, err);
    buf_free(&name);
    buf_free(&out);
    arena_free(&arena);
    return ok;
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
    if (!s->weights) return WEIGHTS_NAMES[WEIGHTS_FROM_NOTHING];
    if (s->weights_from != WEIGHTS_FROM_METHOD) return s->weights;
    const char *map = MAPS[s->weight_map].name;
    size_t n = strlen(s->weights) + strlen(map) + 2;
    char *text = arena_new(arena, n, 1);
    snprintf(text, n, "%s:%s", s->weights, map);
    return text;
}
