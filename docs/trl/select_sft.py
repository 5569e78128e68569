"""What `ica select` chose, as training data of TRL's SFTTrainer.

Usage: select_sft.py BASE POOL SELECTED TEST

Trains the model folder BASE with TRL for seeds 1 2 3 on three sets of records and prints the loss
on TEST: the whole POOL, the records that `ica select` chose of it (SELECTED), and as many records
of the pool drawn at random. Every training takes 120 steps of 32. The loss is that of `ica eval`:
the mean over records of the answer's mean negative log-likelihood a token, end token included.

A record has "prompt" and "completion", both texts, and no "system". BASE/template.json has the text
of the template, not its name. docs/cluster.md has scripts without these limits.

docs/trl/README.md has the commands and what they gave. Needs torch, transformers, trl, datasets.
"""
import json
import math
import random
import sys
import tempfile

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, logging, set_seed
from trl import SFTConfig, SFTTrainer

logging.set_verbosity_error()
logging.disable_progress_bar()
BASE, POOL, SELECTED, TEST = sys.argv[1:5]
PARTS = ("bos", "prompt_prefix", "answer_prefix", "example_end")
SEEDS, STEPS, BATCH, RATE, WARMUP = (1, 2, 3), 120, 32, 5e-4, 20
FRAME = json.load(open(f"{BASE}/template.json", encoding="utf-8"))
if not all(isinstance(FRAME.get(key), str) for key in PARTS):
    sys.exit(f"{BASE}/template.json: must have {', '.join(PARTS)} as texts (docs/cluster.md reads "
             "any chat template)")
TOKENIZER = AutoTokenizer.from_pretrained(BASE)


def read(path):
    records = [json.loads(line) for line in open(path, encoding="utf-8")]
    for number, record in enumerate(records, 1):
        texts = all(isinstance(record.get(key), str) for key in ("prompt", "completion"))
        if not texts or record.get("system"):
            sys.exit(f'{path}:{number}: the keys are {", ".join(record)}; they must be "prompt" '
                     'and "completion", both texts, without "system"')
    return records


def framed(record):
    """The record in the template of the base. The blank of the answer prefix is the answer's."""
    prefix = FRAME["answer_prefix"]
    blank = prefix[len(prefix.rstrip()):]
    return {"prompt": FRAME["bos"] + FRAME["prompt_prefix"] + record["prompt"] + prefix.rstrip(),
            "completion": blank + record["completion"] + FRAME["example_end"]}


def loss(model, records):
    total = 0
    for r in map(framed, records):
        prompt = TOKENIZER(r["prompt"], add_special_tokens=False).input_ids
        answer = TOKENIZER(r["completion"], add_special_tokens=False).input_ids
        with torch.no_grad():
            logits = model(torch.tensor([prompt + answer])).logits[0].double()
        logp = torch.log_softmax(logits, -1)
        at = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
        total -= sum(logp[i, t].item() for i, t in zip(at, answer)) / len(answer)
    return total / len(records)


def train(records, seed):
    set_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        how = SFTConfig(output_dir=folder, max_steps=STEPS, per_device_train_batch_size=BATCH,
                        learning_rate=RATE, lr_scheduler_type="cosine", warmup_steps=WARMUP,
                        weight_decay=0.0, completion_only_loss=True, max_length=128, seed=seed,
                        use_cpu=True, bf16=False, save_strategy="no", report_to=[],
                        logging_steps=STEPS, disable_tqdm=True)
        trainer = SFTTrainer(model=model, args=how, processing_class=TOKENIZER,
                             train_dataset=Dataset.from_list([framed(r) for r in records]))
        trainer.train()
    return model.eval()


def main():
    pool, selected, test = read(POOL), read(SELECTED), read(TEST)
    known = all("clean" in r for r in pool)
    print(f"pool {len(pool)} records, selected {len(selected)}, test {len(test)}; "
          f"{STEPS} steps of {BATCH}, seeds {' '.join(map(str, SEEDS))}")
    print(f"base: {loss(AutoModelForCausalLM.from_pretrained(BASE), test):.4f}", flush=True)
    for name in ("all", "selected", "random subset"):
        losses, clean = [], []
        for seed in SEEDS:
            of = {"all": pool, "selected": selected}.get(name)
            records = of or random.Random(seed).sample(pool, len(selected))
            losses.append(loss(train(records, seed), test))
            clean.append(sum(r["clean"] for r in records) / len(records) if known else math.nan)
        mean = sum(losses) / len(losses)
        spread = math.sqrt(sum((x - mean) ** 2 for x in losses) / (len(losses) - 1))
        print(f"{name}: {mean:.4f} +- {spread:.4f}  ({' '.join(f'{x:.4f}' for x in losses)}), "
              f"clean {100 * sum(clean) / len(clean):.1f} %", flush=True)


main()
