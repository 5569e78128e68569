"""Training step by step, by TRL's trainers and by the program.

Usage: judge_trl.py PROGRAM FOLDER [OPTION]   (judge_trl.sh makes the folder)

For a GPT-2, a Llama, a Qwen2 and a Qwen3 of random weights that transformers makes, 20 steps on the
same records, as text, with a tokenizer of bytes:

  sft     SFTTrainer on prompts with completions. The loss is the mean over the answers' tokens of
          a step (--normalize tokens), also where a step is computed in parts
  lora    the same with an adapter of peft's, which both begin with
  dpo     DPOTrainer, sigmoid, against the model at the start; with an adapter, against its base
  simpo   CPOTrainer with loss_type simpo and cpo_alpha 0

Each with linear warm-up and decay, weight decay on matrices, and clipping to a norm that is
reached. A step takes all records, so that their order is no question. Compared are the loss and the
gradient's norm of each step and the weights at the end.

Tolerances. Both compute in float, u = 2^-24. A loss is a mean of log-probabilities whose logits
carry 256 u of their size (audit_torch.py), and a step of AdamW can turn a rounding of a small
gradient into a difference as large as the learning rate in that weight. So two runs drift apart by
a factor of some units in 20 steps. At the first step, where nothing has drifted, the loss has to
agree to 1e-6 of 1 + its size; at all later ones to 1e-5, the norm to 1e-4 of its size, and weights
to a twentieth of what one step changes at the peak rate, in the root of the mean square. With
OPTION, one of --weight-decay, --learning-rate, --warmup-steps, --max-grad-norm, the program gets
more of it than the trainers, and the judge has to fail.
"""
import json
import subprocess
import sys

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast,
                          PrinterCallback, Qwen2Config, Qwen3Config, logging)
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer

logging.set_verbosity_error()
logging.disable_progress_bar()
disable_progress_bars()
PROGRAM, WORK = sys.argv[1], sys.argv[2]
BROKEN = sys.argv[3] if len(sys.argv) > 3 else None
RECORDS, STEPS, WARMUP, RATE, DECAY, NORM = 8, 20, 4, 2e-3, 0.1, 0.5
BETA, GAMMA = {"dpo": 0.3, "simpo": 2.0}, 0.7
passed = failed = 0
worst = {}


def check(what, name, apart, bound):
    global passed, failed
    ok = apart <= bound
    passed, failed = passed + ok, failed + (not ok)
    worst[what] = max(worst.get(what, 0), apart)
    if not ok:
        print(f"judge-trl: FAILED: {name}, {what}: {apart:.2g} apart, at most {bound:.2g}")


def ica(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"judge-trl: ica {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def byte_tokenizer():
    """One token a byte, and two special ones."""
    vocabulary = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<pad>")


TOKENIZER = byte_tokenizer()
IDS = {"vocab_size": len(TOKENIZER), "bos_token_id": None,
       "eos_token_id": TOKENIZER.eos_token_id, "pad_token_id": TOKENIZER.pad_token_id}
SHAPE = {**IDS, "hidden_size": 24, "intermediate_size": 36, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96,
         "initializer_range": 0.2}
MODELS = {
    "gpt2": GPT2Config(**IDS, n_embd=24, n_layer=2, n_head=4, n_positions=96, resid_pdrop=0,
                       embd_pdrop=0, attn_pdrop=0, initializer_range=0.2),
    "llama": LlamaConfig(**SHAPE, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**SHAPE),
    "qwen3": Qwen3Config(**SHAPE, head_dim=8),
}
# Answers of different lengths, so that a mean over tokens is not one over records.
ANSWERS = ["Paris.", "It is seven, I think.", "42", "no", "the red one, not the blue one", "Yes!",
           "a b c d", "perhaps tomorrow"]
WORDS = ["what", "is", "the", "capital of", "sum of", "next to", "under", "seven", "France", "this"]


def records():
    rows = []
    for i in range(RECORDS):
        prompt = " ".join(WORDS[(i * 3 + j * (i + 1)) % len(WORDS)] for j in range(3 + i % 3)) + "?"
        rows.append({"prompt": prompt, "answer": ANSWERS[i],
                     "other": ANSWERS[(i * 3 + 1) % len(ANSWERS)]})
    return rows


def pool_of(kind):
    rows = records()
    if kind in ("sft", "lora"):
        return [{"prompt": r["prompt"], "completion": r["answer"]} for r in rows]
    return [{"prompt": r["prompt"], "chosen": r["answer"], "rejected": r["other"]} for r in rows]


def trainer_of(kind, base, adapter, parts):
    """TRL's trainer, with all that is not compared turned off."""
    common = dict(
        output_dir=f"{WORK}/trl", max_steps=STEPS, warmup_steps=WARMUP, learning_rate=RATE,
        lr_scheduler_type="linear", weight_decay=DECAY, max_grad_norm=NORM, logging_steps=1,
        per_device_train_batch_size=RECORDS // parts, gradient_accumulation_steps=parts,
        report_to=[], save_strategy="no", bf16=False, gradient_checkpointing=False, use_cpu=True,
        disable_tqdm=True, max_length=96, optim="adamw_torch", dataloader_pin_memory=False)
    data = Dataset.from_list(pool_of(kind))
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    if kind in ("sft", "lora"):
        return SFTTrainer(model, SFTConfig(**common, completion_only_loss=True, packing=False),
                          train_dataset=data, processing_class=TOKENIZER)
    if kind == "dpo":
        return DPOTrainer(model, args=DPOConfig(**common, beta=BETA[kind]), train_dataset=data,
                          ref_model=None if adapter else AutoModelForCausalLM.from_pretrained(base),
                          processing_class=TOKENIZER)
    return CPOTrainer(model, args=CPOConfig(**common, beta=BETA[kind], loss_type="simpo",
                                            cpo_alpha=0.0, simpo_gamma=GAMMA),
                      train_dataset=data, processing_class=TOKENIZER)


def theirs(kind, base, adapter, parts):
    """Loss and norm of each step, and the weights at the end."""
    trainer = trainer_of(kind, base, adapter, parts)
    losses, step = [], trainer.training_step
    # The log rounds a loss. These are what was differentiated.
    trainer.training_step = lambda *a, **k: losses.append(step(*a, **k)) or losses[-1]
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    whole = [sum(float(x) for x in losses[i:i + parts]) for i in range(0, len(losses), parts)]
    norms = [float(x["grad_norm"]) for x in trainer.state.log_history if "grad_norm" in x]
    # DPOTrainer copies the adapter it begins with, for its reference. It adds nothing (B = 0).
    return whole, norms, {k: v.detach().double() for k, v in trainer.model.state_dict().items()
                          if ".ref." not in k}


def ours(kind, base, adapter, parts, out):
    with open(f"{WORK}/pool.jsonl", "w", encoding="utf-8") as pool:
        pool.writelines(json.dumps(r) + "\n" for r in pool_of(kind))
    more = {"sft": ["--normalize", "tokens"], "lora": ["--normalize", "tokens"],
            "dpo": ["--objective", "dpo"],
            "simpo": ["--objective", "simpo", "--gamma-beta-ratio", str(GAMMA / BETA["simpo"])],
            }[kind]
    if kind in BETA:
        more += ["--beta", str(BETA[kind])]
    settings = {"--weight-decay": DECAY, "--learning-rate": RATE, "--warmup-steps": WARMUP,
                "--max-grad-norm": NORM}
    if BROKEN:
        settings[BROKEN] += settings[BROKEN] / 2 if BROKEN != "--warmup-steps" else 2
    ica("train", "--model", adapter or base, "--pool", f"{WORK}/pool.jsonl", "--out", out,
        "--overwrite", "--batch-size", str(RECORDS), "--micro-batch-size", str(RECORDS // parts),
        "--max-steps", str(STEPS), "--lr-scheduler-type", "linear", "--logging-steps", "1",
        *[str(x) for pair in settings.items() for x in pair], *more)
    log = [json.loads(x) for x in open(f"{out}/log.jsonl", encoding="utf-8")]
    log = [x for x in log if "grad_norm" in x]
    model = AutoModelForCausalLM.from_pretrained(base if adapter else out, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, out)
    return ([x["loss"] for x in log], [x["grad_norm"] for x in log],
            {k: v.double() for k, v in model.state_dict().items()})


def root_mean_square(a, b):
    return float(torch.cat([(a[k] - b[k]).flatten() for k in a]).square().mean().sqrt())


def compare(name, kind, base, adapter=None, parts=1):
    what = f"{name} {kind}" + (f" in {parts} parts" if parts > 1 else "")
    what += " with an adapter" if adapter and kind != "lora" else ""
    a = ours(kind, base, adapter, parts, f"{WORK}/{name}-{kind}")
    b = theirs(kind, base, adapter, parts)
    check(f"{kind}: steps", what, abs(len(a[0]) - STEPS) + abs(len(b[0]) - STEPS), 0)
    for step, (x, y, p, q) in enumerate(zip(a[0], b[0], a[1], b[1])):
        check(f"{kind}: loss", f"{what}, step {step + 1}", abs(x - y) / (1 + abs(y)),
              1e-5 if step else 1e-6)
        check(f"{kind}: gradient's norm", f"{what}, step {step + 1}", abs(p - q) / q,
              1e-4 if step else 1e-5)
    check(f"{kind}: names", what, len(a[2].keys() ^ b[2].keys()), 0)
    check(f"{kind}: weights", what, root_mean_square(a[2], b[2]), RATE / 20)
    return a, b


def main():
    for seed, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        base = f"{WORK}/{name}"
        AutoModelForCausalLM.from_config(config).save_pretrained(base)
        TOKENIZER.save_pretrained(base)
        with open(f"{base}/template.json", "w", encoding="utf-8") as out:
            json.dump({"bos": "", "prompt_prefix": "", "answer_prefix": "",
                       "example_end": "<eos>"}, out)
        compare(name, "sft", base)
        compare(name, "sft", base, parts=4)
        compare(name, "dpo", base)
        compare(name, "simpo", base)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(
            r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM"))
        model.save_pretrained(f"{base}-adapter")
        for kind in ("lora", "dpo"):
            compare(name, kind, base, f"{base}-adapter")
    print("judge-trl: largest differences: " +
          ", ".join(f"{k} {v:.2g}" for k, v in worst.items() if v))
    print(f"judge-trl: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
