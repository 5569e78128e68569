/* The table of other trainers' names for options. */
#include "program/hints.h"

const OptionHint HINTS[] = {
    /* files */
    {"output-dir out-dir save-dir save-path output output-path", "say --out"},
    {"model-name-or-path model-name model-path base-model base-model-name-or-path ckpt checkpoint",
     "say --model"},
    {"adapter-name-or-path adapter adapter-path peft-model lora-weights lora-model-dir",
     "--model takes a folder of adapters"},
    {"model-revision revision trust-remote-code token hf-token hf-hub-token cache-dir",
     "a model is a folder of this machine: nothing is downloaded, and none of its code runs"},
    {"tokenizer-name tokenizer-path tokenizer-name-or-path",
     "the model's folder has its tokenizer; --tokenizer is of a new model"},
    {"ref-model ref-model-name-or-path sync-ref-model ref-model-mixup-alpha ref-model-sync-steps",
     "the reference of train is the model that it starts from; eval has --reference"},
    {"train-file train-files train-data train-dataset dataset dataset-name dataset-path datasets "
     "dataset-dir data-path data-files",
     "the candidates are --pool FILE; pretrain and eval read --data FILE"},
    {"validation-file validation-data val-file val-data val-dataset eval-file eval-data "
     "eval-dataset test-file test-dataset test-datasets",
     "test records are --eval; --eval-share holds out a part of the pool"},
    {"test-size val-size eval-size val-set-size validation-split dataset-test-split eval-fraction",
     "say --eval-share"},
    {"dataset-text-field text-field text-column prompt-column response-column input-column "
     "output-column column-mapping dataset-kwargs dataset-format data-format conversation-column "
     "remove-unused-columns label-names",
     "a record's keys say what it is; docs/formats.md lists the forms"},
    {"dataset-config dataset-train-split dataset-streaming dataset-prepared-path overwrite-cache "
     "dataloader-pin-memory dataloader-persistent-workers dataloader-prefetch-factor",
     "the file is read once, into memory"},
    {"max-samples max-train-samples max-eval-samples num-samples limit",
     "take lines of the file: head -n 1000 FILE"},
    {"shuffle-dataset", "train shuffles anew in every epoch, by --seed"},
    {"num-workers dataloader-num-workers dataset-num-proc num-proc preprocessing-num-workers "
     "num-threads nthreads n-jobs cpus",
     "say --threads"},
    {"run-name wandb-run-name experiment-name", "say --arm"},
    {"config config-file", "say --options FILE"},
    {"early-stopping-patience early-stopping-steps early-stopping", "say --patience"},
    {"resume-from-checkpoint resume-checkpoint auto-resume-from-checkpoints", "say --resume"},
    {"overwrite-output-dir", "say --overwrite"},
    {"save-safetensors max-shard-size", "weights are one safetensors file"},
    /* sizes of a model */
    {"n-layer n-layers num-layers num-hidden-layers depth", "say --layers"},
    {"n-head n-heads num-heads num-attention-heads", "say --heads"},
    {"n-embd n-embed embed-dim emb-dim d-model dim hidden-size hidden-dim", "say --channels"},
    {"n-kv-head n-kv-heads num-kv-heads num-key-value-heads", "say --kv-heads"},
    {"head-dim", "say --head-size"},
    {"intermediate-size n-inner ffn-dim d-ff", "say --inner-channels"},
    {"block-size n-ctx n-positions ctx-size context-length context-size max-position-embeddings "
     "model-max-length",
     "--context is of a new model; others keep their own"},
    {"model-type arch architecture", "say --family"},
    {"rope-theta rope-scaling rope-scaling-type rope-scaling-factor",
     "config.json of the model's folder says how positions are turned"},
    {"dropout attn-dropout attention-dropout hidden-dropout resid-pdrop lora-dropout "
     "disable-dropout",
     "there is no dropout"},
    /* batches and lengths */
    {"per-device-train-batch-size per-gpu-train-batch-size train-batch-size train-micro-batch-size "
     "gradient-accumulation-steps gradient-accumulation grad-accum-steps accumulate-grad-batches "
     "global-batch-size device-train-microbatch-size",
     "--batch-size is the optimizer's batch, --micro-batch-size what is computed at once; pretrain "
     "has --batch-tokens"},
    {"per-device-eval-batch-size eval-batch-size val-batch-size eval-accumulation-steps",
     "evaluations choose their own batches"},
    {"auto-find-batch-size", "--micro-batch-size 0 keeps memory small by itself"},
    {"max-length max-seq-length max-seq-len max-sequence-length sequence-len sequence-length "
     "seq-len seq-length cutoff-len",
     "the model's context is the limit; --truncate cuts, --skip-long leaves out"},
    {"max-prompt-length", "a prompt is never cut; --skip-long leaves records out"},
    {"max-completion-length", "the model's context is the limit; --truncate cuts completions"},
    {"truncation truncation-mode truncation-side",
     "--truncate cuts completions at their end; a prompt is never cut"},
    {"packing eval-packing packing-strategy sample-packing neat-packing pack-sequences",
     "pretrain packs text; answers are never packed"},
    {"padding-free padding padding-side pad-token pad-to-multiple-of pad-to-max-length "
     "pad-to-sequence-len",
     "rows are never padded"},
    {"group-by-length length-column-name train-sampling-strategy",
     "rows are never padded, so their order does not matter for speed"},
    {"dataloader-drop-last", "an epoch's last batch has what is left"},
    /* the loss */
    {"loss-type pref-loss dpo-loss training-type stage rl", "say --objective: sft, dpo or simpo"},
    {"pref-beta dpo-beta rl-beta", "say --beta"},
    {"simpo-gamma gamma", "say --gamma-beta-ratio: gamma divided by beta"},
    {"cpo-alpha rpo-alpha sft-alpha pref-ftx ld-alpha loss-weights f-divergence-type "
     "f-alpha-divergence-coef discopop-tau",
     "the losses of --objective have no further terms"},
    {"use-weighting sample-weights weight-column",
     "--weights says where the weights of records come from"},
    {"label-smoothing-factor", "--label-smoothing is of the pair losses"},
    {"completion-only-loss assistant-only-loss train-on-inputs train-on-input train-on-prompt "
     "train-on-responses-only mask-prompt mask-history response-template instruction-template",
     "train learns the last answer alone; pretrain has --prompt-loss-weight"},
    {"precompute-ref-log-probs precompute-ref-batch-size",
     "they always are: DPO's reference is run once"},
    {"reference-free", "take --objective simpo"},
    {"neftune-noise-alpha neft-alpha noisy-embedding-alpha", "no noise is added to embeddings"},
    {"average-tokens-across-devices", "--normalize tokens is the token mean of a batch"},
    {"compute-accuracy predict-with-generate generate-during-eval eval-on-start",
     "eval prints exact_match; --sample-prompt is asked at each evaluation"},
    /* the optimizer */
    {"optim optimizer optim-args optim-target-modules use-galore use-badam",
     "the optimizer is AdamW"},
    {"adam-epsilon adam-eps", "it is 1e-8"},
    {"beta1 beta2 betas", "say --adam-beta1 and --adam-beta2"},
    {"lr max-lr peak-lr", "say --learning-rate"},
    {"min-lr lr-end min-learning-rate lr-scheduler-kwargs",
     "--min-lr-ratio is what the rate falls to, as a share of its peak"},
    {"lr-scheduler lr-schedule scheduler scheduler-type decay-lr", "say --lr-scheduler-type"},
    {"warmup warmup-iters num-warmup-steps", "say --warmup-steps or --warmup-ratio"},
    {"max-norm grad-clip gradient-clipping gradient-clip-val clip-grad-norm",
     "say --max-grad-norm"},
    {"wd", "say --weight-decay"},
    {"epochs num-epochs n-epochs max-epochs train-epochs", "say --num-train-epochs"},
    {"steps iters max-iters num-steps num-iterations train-steps max-train-steps total-steps",
     "say --max-steps"},
    {"data-seed random-seed", "--seed is of everything random"},
    {"full-determinism deterministic", "a run has the same bits for any number of threads"},
    /* numbers and machines */
    {"bf16 bfloat16", "say --dtype bf16: frozen matrices; everything is computed in float32"},
    {"fp16 fp32 tf32 float16 half amp pure-bf16 bf16-full-eval fp16-full-eval mixed-precision "
     "precision torch-dtype compute-dtype",
     "everything is computed in float32"},
    {"load-in-4bit load-in-8bit quantization quantization-bit bnb-4bit-quant-type "
     "bnb-4bit-compute-dtype bnb-4bit-quant-storage use-bnb-nested-quant qlora",
     "numbers have 32 bits, or 16 with --dtype bf16"},
    {"attn-implementation flash-attn flash-attention use-flash-attn xformers-attention "
     "sdp-attention",
     "there is one, which is the fast one"},
    {"torch-compile torch-compile-backend torch-compile-mode compile",
     "the program is compiled already"},
    {"use-liger-kernel enable-liger-kernel liger-kernel-config use-unsloth",
     "the program has its own kernels"},
    {"deepspeed fsdp fsdp-config accelerator-config parallelism-config tensor-parallel-size "
     "num-processes num-machines nnodes num-nodes nproc-per-node local-rank multi-gpu "
     "ddp-backend ddp-timeout ddp-find-unused-parameters",
     "one machine trains; score --shard spreads scoring over several"},
    {"device devices device-map gpus gpu num-gpus n-gpu gpu-id gpu-ids cuda no-cuda use-cpu "
     "use-mps-device n-gpu-layers accelerator",
     "everything runs on the processor; say --threads"},
    {"gradient-checkpointing gradient-checkpointing-kwargs use-gradient-checkpointing "
     "activation-checkpointing activation-checkpointing-kwargs activation-offloading",
     "say --recompute"},
    {"use-cache", "generated text always takes the cached keys and values"},
    /* adapters */
    {"lora-r r rank lora-dim use-lora lora use-peft finetuning-type", "say --lora-rank"},
    {"lora-target lora-target-modules lora-target-linear lora-modules lora-target-parameters "
     "target-modules target-parameters exclude-modules layers-to-transform",
     "say --lora-targets"},
    {"use-rslora rslora", "say --lora-rs"},
    {"use-dora dora init-lora-weights loftq-config pissa-init lora-task-type task-type peft-type "
     "loraplus-lr-ratio fan-in-fan-out",
     "adapters are LoRA's, with --lora-rs rsLoRA's"},
    {"modules-to-save lora-modules-to-save additional-target lora-bias bias "
     "trainable-token-indices",
     "adapters train matrices of the blocks alone: --lora-targets"},
    {"merge merge-lora merge-adapter merge-and-unload merge-weights export-dir",
     "the command is merge"},
    /* logs and what is saved */
    {"eval-strategy evaluation-strategy eval-interval eval-every eval-freq evals-per-epoch "
     "eval-delay val-check-interval",
     "--eval-steps above 0 evaluates in the course of a run"},
    {"save-strategy save-interval save-every save-freq saves-per-epoch checkpoint-interval",
     "--save-steps above 0 saves in the course of a run"},
    {"logging-strategy log-interval log-every log-freq log-steps", "say --logging-steps"},
    {"logging-dir log-dir log-file", "log.jsonl is in the run's folder"},
    {"wandb use-wandb wandb-log wandb-project wandb-entity project use-swanlab use-mlflow",
     "say --report-to tensorboard; log.jsonl has the same figures"},
    {"metric-for-best-model", "it is the loss: validation_nll, else eval_nll"},
    {"greater-is-better", "the best model has the lowest loss"},
    {"push-to-hub hub-model-id hub-token hub-strategy hub-private-repo hub-always-push",
     "the run's folder is a model folder: huggingface-cli upload sends it"},
    {"plot-loss", "the command report draws the curves"},
    {"do-train", "the command is train"},
    {"do-eval", "the command is eval; train evaluates if it has --eval"},
    {"do-predict", "the command is generate"},
    {"chat-template chat-template-path template-name prompt-template", "say --template"},
    {"eos-token bos-token add-eos-token add-bos-token special-tokens",
     "the model folder's template counts (docs/formats.md), or --template"},
    {"system-prompt default-system system-message", "say --system"},
    {"disable-tqdm quiet silent", "progress goes to stderr: 2>/dev/null"},
    {"verbose debug log-level", "progress goes to stderr, and the log to log.jsonl"},
    {"version", "ica --version prints it"},
    /* scores */
    {"num-fewshot n-shot num-shots fewshot num-demos num-demonstrations",
     "--k is the number of demonstrations"},
    {"embeddings embed retrieval retriever similarity embedding-model embedding-model-name "
     "encoder sentence-transformer",
     "--embedding says what makes prompts near: tfidf, tokens or hidden, of the model itself"},
    {"keep keep-ratio fraction select-ratio percent top-percent", "say --share"},
    /* text */
    {"do-sample", "give a --temperature above 0"},
    {"num-beams beam-size",
     "there is no beam search: --temperature 0 takes the most probable token"},
    {"max-tokens n-predict num-predict max-new-token max-gen-len", "say --max-new-tokens"},
    {"temp", "say --temperature"},
    {"min-p typical-p no-repeat-ngram-size length-penalty",
     "--top-k, --top-p and --repetition-penalty shape the draw"},
    {"repeat-penalty frequency-penalty presence-penalty", "say --repetition-penalty"},
    {"stop stop-sequences eos-token-id", "an answer ends at the template's end token"},
    {"n num-return-sequences best-of", "say --samples, with --prompt-file"},
    {"prompts input-file prompt-path", "say --prompt-file"},
    {"enable-thinking thinking", "say --think"},
    {"interactive", "the command is chat"},
    {"stream", "text is printed as it comes"},
    {NULL, NULL}};
