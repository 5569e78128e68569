"""LoRA's adapters, between PEFT and the program, both ways.

Usage: judge_adapters.py PROGRAM FOLDER   (judge_adapters.sh makes the folder)

For a GPT-2, a Llama, a Qwen2 and a Qwen3 of random weights, each with other targets, among them
regular expressions, which PEFT writes as they are:

  theirs   PEFT makes an adapter with random A and B and saves it. The program's
           log-probabilities of whole rows with `--model ADAPTER`, against PEFT's model in double
  start    an adapter that the program just made: the base's log-probabilities, bit for bit
  trained  the program trains an adapter for 20 steps. PEFT loads what it wrote, and gives the
           program's log-probabilities
  steps    the losses of these steps, against PEFT's model trained by PyTorch's AdamW in float
           from the adapter that the program began with
  merged   `ica merge` against merge_and_unload: the weights; and transformers loads it

The program's rounding is what audit_torch.py derives: 256 u of a logit's size, as a root over the
tokens.
"""
import json
import math
import subprocess
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (AutoModelForCausalLM, GPT2Config, LlamaConfig, Qwen2Config, Qwen3Config,
                          logging)

logging.set_verbosity_error()
logging.disable_progress_bar()
PROGRAM, WORK = sys.argv[1], sys.argv[2]
ROUNDINGS, UNIT = 256, 2.0 ** -24
VOCABULARY, ROWS, PROMPT, LENGTH, STEPS, BATCH = 41, 16, 4, 15, 20, 4
passed = failed = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("judge-adapters: FAILED:", what)


def ica(*arguments):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"judge-adapters: ica {' '.join(arguments)}: {done.stderr}")
    return done.stdout


SHAPE = {"vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 36,
         "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "max_position_embeddings": 64, "initializer_range": 0.2}
# The form that unsloth gives to PEFT.
FINE_TUNERS = (r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|up_proj|down_proj).*?)|"
               r"(?:\bmodel\.layers\.[\d]{1,}\.(?:self_attn|mlp)\."
               r"(?:(?:q_proj|up_proj|down_proj)))")
# What the program calls the modules of a regular expression.
NAMED = {"llama-pattern": "q_proj,v_proj", "qwen3-pattern": "q_proj,up_proj,down_proj",
         "gpt2-pattern": "c_attn,c_fc"}
MODELS = {
    "gpt2": (GPT2Config(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4, n_positions=64,
                        initializer_range=0.2, bos_token_id=1, eos_token_id=2, resid_pdrop=0,
                        embd_pdrop=0, attn_pdrop=0), {"target_modules": "all-linear"}),
    "gpt2-out": (GPT2Config(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4, n_positions=64,
                            initializer_range=0.2, bos_token_id=1, eos_token_id=2, resid_pdrop=0,
                            embd_pdrop=0, attn_pdrop=0), {"target_modules": ["mlp.c_proj"]}),
    "llama": (LlamaConfig(**SHAPE, tie_word_embeddings=True),
              {"target_modules": ["q_proj", "v_proj"], "use_rslora": True}),
    "qwen2": (Qwen2Config(**SHAPE), {"target_modules": "all-linear"}),
    "qwen3": (Qwen3Config(**SHAPE, head_dim=8),
              {"target_modules": ["o_proj", "up_proj", "down_proj", "k_proj"]}),
    "llama-pattern": (LlamaConfig(**SHAPE), {"target_modules": r".*\.(q_proj|v_proj)$"}),
    "qwen3-pattern": (Qwen3Config(**SHAPE, head_dim=8), {"target_modules": FINE_TUNERS}),
    "gpt2-pattern": (GPT2Config(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4,
                                n_positions=64, initializer_range=0.2, bos_token_id=1,
                                eos_token_id=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
                     {"target_modules": r"transformer\.h\.\d+\.(attn|mlp)\.c_(attn|fc)"}),
}


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        for row in rows:
            labels = [-100] * PROMPT + row[PROMPT:]
            out.write(json.dumps({"input_ids": row, "labels": labels}) + "\n")


def logp_of(model, rows):
    """The log-probability of each row's answer, and the largest logit."""
    logits = model(torch.tensor(rows)).logits[:, PROMPT - 1:-1]
    target = torch.tensor(rows)[:, PROMPT:, None]
    return (torch.log_softmax(logits, -1).gather(2, target)[:, :, 0].sum(1),
            float(logits.detach().abs().max()))


def ours(folder):
    ica("eval", "--model", folder, "--data", f"{WORK}/rows.jsonl", "--per-example", f"{WORK}/each")
    return [json.loads(x)["logp"] for x in open(f"{WORK}/each", encoding="utf-8")]


def check_logp(folder, model, rows, what):
    with torch.no_grad():
        wanted, most = logp_of(model, rows)
    apart = float((torch.tensor(ours(folder), dtype=torch.float64) - wanted).abs().max())
    bound = ROUNDINGS * UNIT * (1 + most) * math.sqrt(LENGTH - PROMPT)
    check(apart <= bound, f"{what}: {apart:.2g} apart, at most {bound:.2g}")


def double(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()


def check_steps(base, start, rows, log):
    """The same steps by PyTorch: in the pool's order, 4 rows a step, the mean over a step's rows
    of each row's mean over its tokens."""
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), start,
                                      is_trainable=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    model.train()
    for step, line in enumerate(log):
        part = [rows[i] for i in line["rows"]]
        loss = -(logp_of(model, part)[0] / (LENGTH - PROMPT)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        apart = abs(float(loss.detach()) - line["loss"])
        # Both are float, and steps amplify roundings. After 20 of them 6e-7 were seen, of 5.
        check(apart <= 2e-6 * (1 + abs(line["loss"])), f"{start}: step {step + 1}: {apart:.2g}")


def main():
    for seed, (name, (config, how)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        base, theirs, trained, merged, start = (
            f"{WORK}/{name}{x}" for x in ("", "-theirs", "-trained", "-merged", "-start"))
        AutoModelForCausalLM.from_config(config).save_pretrained(base)
        rows = torch.randint(0, VOCABULARY, (ROWS, LENGTH)).tolist()
        write_rows(f"{WORK}/rows.jsonl", rows)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base),
                               LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **how))
        for parameter_name, p in model.named_parameters():
            if "lora_" in parameter_name:
                p.data = 0.3 * torch.randn_like(p)
        model.save_pretrained(theirs)
        with open(f"{theirs}/adapter_config.json", encoding="utf-8") as written:
            kept = json.load(written)["target_modules"]
        check(name not in NAMED or kept == how["target_modules"], f"{name}: PEFT wrote {kept}")
        check_logp(theirs, PeftModel.from_pretrained(double(base), theirs), rows, f"{name}, theirs")
        targets = NAMED.get(name, how["target_modules"])
        lora = ["--lora-rank", "4", "--lora-alpha", "6", "--lora-targets",
                targets if isinstance(targets, str) else ",".join(targets)]
        lora += ["--lora-rs"] if how.get("use_rslora") else []
        steps = ["train", "--model", base, "--pool", f"{WORK}/rows.jsonl", "--batch-size",
                 str(ROWS), "--lr-scheduler-type", "constant", "--logging-steps", "1",
                 "--max-grad-norm", "0"]
        ica(*steps, *lora, "--max-steps", "1", "--learning-rate", "1e-30", "--weight-decay", "0",
            "--out", start)
        check(ours(start) == ours(base), f"{name}: a new adapter changes something")
        ica(*steps, *lora, "--max-steps", str(STEPS), "--learning-rate", "1e-2", "--weight-decay",
            "0.01", "--out", trained)
        check_logp(trained, PeftModel.from_pretrained(double(base), trained), rows,
                   f"{name}, trained")
        log = [{"rows": range(ROWS), "loss": json.loads(x)["loss"]}
               for x in open(f"{trained}/log.jsonl", encoding="utf-8")]
        check(len(log) == STEPS, f"{name}: {len(log)} lines of log")
        check_steps(base, start, rows, log)
        ica("merge", "--model", trained, "--out", merged)
        wanted = PeftModel.from_pretrained(double(base), trained).merge_and_unload().state_dict()
        got = double(merged).state_dict()
        apart = max(float((got[k] - wanted[k]).abs().max()) for k in wanted)
        check(got.keys() == wanted.keys() and apart < 1e-6, f"{name}, merged: {apart:.2g} apart")
        check_logp(merged, double(merged), rows, f"{name}, merged")
    print(f"judge-adapters: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
