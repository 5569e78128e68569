"""Model folders of every family, from transformers to the program and back.

Usage: judge_folders.py PROGRAM FOLDER   (judge_folders.sh makes the folder)

Transformers makes small models from random weights and saves them: in one file, in shards, in
bfloat16. For each of them:

  theirs   the program's log-probability of every token of the vocabulary, after prefixes of
           several lengths, against their model in double
  trained  the program trains the folder for 20 steps. Their AutoModelForCausalLM loads what it
           wrote, gives the program's log-probabilities, and generates
  back     what save_pretrained writes of that, in shards, gives the program the same bytes

The program's rounding is what audit_torch.py derives: 256 u of a logit's size.
"""
import json
import os
import subprocess
import sys

import torch
from transformers import (AutoConfig, AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config,
                          Qwen3Config, logging)

logging.set_verbosity_error()
logging.disable_progress_bar()
PROGRAM, WORK = sys.argv[1], sys.argv[2]
ROUNDINGS, UNIT = 256, 2.0 ** -24
VOCABULARY, PREFIXES = 41, (1, 2, 7, 23)
passed = failed = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("judge-folders: FAILED:", what)


def ica(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"judge-folders: ica {' '.join(arguments)}: {done.stderr}")
    return done.stdout


SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 36,
         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "max_position_embeddings": 64, "initializer_range": 0.2}
SCALED = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_positions": 64,
        "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2}
# name: the configuration, and how it is saved
MODELS = {
    "gpt2": (GPT2Config(**GPT2), {}),
    "gpt2-untied": (GPT2Config(**GPT2, tie_word_embeddings=False, n_inner=40,
                               layer_norm_epsilon=1e-3), {"max_shard_size": "9KB"}),
    "llama": (LlamaConfig(**SHAPE, tie_word_embeddings=True, eos_token_id=[2, 5]), {}),
    "llama-scaled": (LlamaConfig(**SHAPE, rope_parameters=SCALED, attention_bias=True,
                                 mlp_bias=True, head_dim=8), {"max_shard_size": "9KB"}),
    "llama-linear": (LlamaConfig(**SHAPE, rope_parameters=LINEAR, rms_norm_eps=1e-5),
                     {"half": True}),
    "qwen2": (Qwen2Config(**SHAPE, tie_word_embeddings=True,
                          rope_parameters={"rope_type": "default", "rope_theta": 1e6}), {}),
    "qwen3": (Qwen3Config(**SHAPE, head_dim=16), {"max_shard_size": "9KB"}),
    "qwen3-tied": (Qwen3Config(**SHAPE, head_dim=8, tie_word_embeddings=True), {"half": True}),
}


def ids(n, seed):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, VOCABULARY, (n,), generator=source).tolist()


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row, first in rows:
            labels = [-100] * first + row[first:]
            out.write(json.dumps({"input_ids": row, "labels": labels}) + "\n")


def check_logits(folder, what):
    """Each token of the vocabulary after each prefix, against the library in double."""
    rows = [(ids(n, n) + [v], n) for n in PREFIXES for v in range(VOCABULARY)]
    write_rows(f"{WORK}/every.jsonl", rows)
    ica("eval", "--model", folder, "--data", f"{WORK}/every.jsonl", "--per-example", f"{WORK}/each")
    ours = [json.loads(x)["logp"] for x in open(f"{WORK}/each", encoding="utf-8")]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    for k, n in enumerate(PREFIXES):
        with torch.no_grad():
            logits = model(torch.tensor([ids(n, n)])).logits[0, -1]
        wanted = torch.log_softmax(logits, -1)
        got = torch.tensor(ours[k * VOCABULARY:(k + 1) * VOCABULARY], dtype=torch.float64)
        bound = ROUNDINGS * UNIT * (1 + float(logits.abs().max()))
        apart = float((got - wanted).abs().max())
        check(apart <= bound, f"{what}: after {n} tokens {apart:.2g} apart, at most {bound:.2g}")
    return model


def same_weights(a, b):
    x, y = (AutoModelForCausalLM.from_pretrained(f).state_dict() for f in (a, b))
    return x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)


for seed, (name, (config, how)) in enumerate(MODELS.items()):
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    for p in model.parameters():  # biases and gains too
        p.data += 0.1 * torch.randn_like(p)
    if how.pop("half", False):
        model = model.to(torch.bfloat16)
    theirs, trained, back = (f"{WORK}/{name}{x}" for x in ("", "-trained", "-back"))
    model.save_pretrained(theirs, **how)
    if "max_shard_size" in how:
        check(os.path.exists(f"{theirs}/model.safetensors.index.json"), f"{name}: is not sharded")
    check_logits(theirs, f"{name}, theirs")
    write_rows(f"{WORK}/pool.jsonl", [(ids(12 + i, 100 + i), 4) for i in range(16)])
    ica("train", "--model", theirs, "--pool", f"{WORK}/pool.jsonl", "--batch-size", "4",
        "--max-steps", "20", "--learning-rate", "1e-2", "--out", trained)
    ours = check_logits(trained, f"{name}, trained")
    asked = torch.tensor([ids(5, 3)])
    out = ours.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=8,
                        do_sample=False, pad_token_id=0)
    check(out.shape[1] > 5, f"{name}: generates nothing")
    before, after = (AutoConfig.from_pretrained(f).to_dict() for f in (theirs, trained))
    for key in ("rope_parameters", "tie_word_embeddings", "eos_token_id", "head_dim", "hidden_act",
                "num_key_value_heads", "attention_bias", "mlp_bias", "rms_norm_eps", "n_inner"):
        check(before.get(key) == after.get(key),
              f"{name}: {key} {before.get(key)} {after.get(key)}")
    ours.float().save_pretrained(back, max_shard_size="9KB")
    for folder in (trained, back):
        ica("eval", "--model", folder, "--data", f"{WORK}/every.jsonl", "--per-example",
            f"{folder}/each")
    check(open(f"{trained}/each").read() == open(f"{back}/each").read(), f"{name}: comes back")
    check(same_weights(trained, back), f"{name}: weights come back")
print(f"judge-folders: {passed} passed, {failed} failed")
sys.exit(failed > 0)
