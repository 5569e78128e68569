"""Speed and memory of the program beside transformers and peft, at the sizes that people have.

Usage: backbones.py PROGRAM FOLDER [MODEL ...]   (backbones.sh makes the folder)
       backbones.py --theirs KIND FOLDER DTYPE THREADS COMPILE   one, in a process of its own

Each model has its published shape and random weights. Both sides read the same folder and the same
rows of token ids, of which the second half is scored. For each model, in turn:

  train   ROUNDS + 1 steps of AdamW on 4 rows of 256 tokens, with clipping: the whole model, or
          LoRA of rank 8 on all linear layers. Milliseconds of a step: the median of all but the
          first. A base in bf16 is frozen, and LoRA is in float32 on both sides
  score   ICA's scores: each candidate of 256 tokens without and after 3 demonstrations of 256
          tokens that all share. Theirs are entire rows in batches of 4, as Hugging Face's library
          computes a loss. Seconds of all, loading left out

With COMPILE their model is compiled by torch.compile, and one batch of each shape goes before the
clock starts. Peak memory is the largest resident set of the process. Loss and scores of both are
compared, so that both do the same work.
"""
import json
import os
import statistics
import subprocess
import sys
import time

ROUNDS, ROWS, LENGTH, DEMONSTRATIONS, RANK = 5, 4, 256, 3, 8
ROPE3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
# name: family, shape, LoRA or whole, candidates to score
MODELS = {
    "SmolLM2-135M": ("llama", dict(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
        rms_norm_eps=1e-5, max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0}), False, 32),
    "Qwen3-0.6B": ("qwen3", dict(
        vocab_size=151936, hidden_size=1024, intermediate_size=3072, num_hidden_layers=28,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        max_position_embeddings=40960,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}), True, 16),
    "Llama-3.2-1B": ("llama", dict(
        vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=True,
        rms_norm_eps=1e-5, max_position_embeddings=131072, rope_parameters=ROPE3), True, 8),
}


def rows_of(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def their_scores(model, ids, labels, demonstrations):
    """One a row, in batches of ROWS."""
    import torch
    scores = []
    for at in range(0, len(ids), ROWS):
        both = []
        for before in (demonstrations[:0], demonstrations):
            row = torch.cat([before.expand(ROWS, -1), ids[at:at + ROWS]], 1)
            logits = model(row, use_cache=False).logits[:, len(before):]
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), labels[at:at + ROWS, 1:].flatten(),
                reduction="none").view(ROWS, -1)
            both.append(-loss.sum(1) / (loss != 0).sum(1))
        scores += (both[1] - both[0]).tolist()
    return scores


def theirs(kind, folder, dtype, threads, compiled):
    """Prints one number a step (loss, milliseconds), or one a candidate (score)."""
    import torch
    from transformers import AutoModelForCausalLM, logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype={"float32": torch.float32, "bf16": torch.bfloat16}[dtype])
    rows = rows_of(f"{folder}/rows.jsonl")
    ids = torch.tensor([r["input_ids"] for r in rows])
    labels = torch.tensor([r["labels"] for r in rows])
    if kind == "score":
        model.eval()
        holdout = rows_of(f"{folder}/holdout.jsonl")
        demonstrations = torch.tensor([i for n in json.load(open(f"{folder}/order.json"))
                                       for i in holdout[int(n) - 1]["input_ids"]])
        with torch.inference_mode():
            if compiled:
                model = torch.compile(model)
                their_scores(model, ids[:ROWS], labels[:ROWS], demonstrations)
            start = time.perf_counter()
            scores = their_scores(model, ids, labels, demonstrations)
        print(json.dumps({"seconds": time.perf_counter() - start, "scores": scores}))
        return
    if kind == "lora":
        from peft import LoraConfig, get_peft_model
        model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0,
                                                 target_modules="all-linear"))
    model.train()
    free = [p for p in model.parameters() if p.requires_grad]
    if compiled:
        model = torch.compile(model)
    optimizer = torch.optim.AdamW(free, lr=1e-4, weight_decay=0)
    losses, times = [], []
    for step in range(ROUNDS + 1):
        start = time.perf_counter()
        take = slice(0, ROWS)
        loss = model(input_ids=ids[take], labels=labels[take], use_cache=False).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(free, 1.0)
        optimizer.step()
        losses.append(loss.item())
        times.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": times, "losses": losses}))


def watched(command, **more):
    """Runs it. Returns what it prints, what it says, and its peak in GB."""
    out, said = f"{WORK}/stdout", f"{WORK}/stderr"
    with open(out, "w") as a, open(said, "w") as b:
        child = subprocess.Popen(command, stdout=a, stderr=b, env={**os.environ, **more})
        _, status, used = os.wait4(child.pid, 0)
    text = open(out, encoding="utf-8").read()
    if status:
        sys.exit(f"{' '.join(command)}\n{open(said, encoding='utf-8').read()}")
    return text, used.ru_maxrss / 1e6


def make_model(name):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
    family, shape, _, candidates = MODELS[name]
    config, build = {"llama": (LlamaConfig, LlamaForCausalLM),
                     "qwen3": (Qwen3Config, Qwen3ForCausalLM)}[family]
    torch.manual_seed(1)
    folder = f"{WORK}/{name}"
    model = build(config(**shape, bos_token_id=1, eos_token_id=2)).to(torch.bfloat16)
    model.save_pretrained(folder)
    for path, count in (("rows", candidates), ("holdout", DEMONSTRATIONS)):
        with open(f"{folder}/{path}.jsonl", "w", encoding="utf-8") as out:
            for row in torch.randint(shape["vocab_size"], (count, LENGTH)).tolist():
                labels = [-100] * (LENGTH // 2) + row[LENGTH // 2:]
                out.write(json.dumps({"input_ids": row, "labels": labels}) + "\n")
    head = open(f"{folder}/rows.jsonl", encoding="utf-8").readlines()[:ROWS]
    open(f"{folder}/batch.jsonl", "w", encoding="utf-8").writelines(head)
    return folder


def our_steps(folder, dtype, lora, threads):
    more = ["--lora-rank", str(RANK), "--dtype", dtype] if lora else []
    _, peak = watched([
        PROGRAM, "train", "--model", folder, "--pool", f"{folder}/batch.jsonl", "--out",
        f"{WORK}/run", "--overwrite", "--batch-size", str(ROWS), "--max-steps", str(ROUNDS + 1),
        "--learning-rate", "1e-4", "--lr-scheduler-type", "constant", "--weight-decay", "0",
        "--max-grad-norm", "1", "--normalize", "tokens", "--logging-steps", "1",
        "--save-only-model", "--threads", str(threads), *more])
    log = [x for x in rows_of(f"{WORK}/run/log.jsonl") if "grad_norm" in x]
    return {"ms": [1e3 * ROWS * LENGTH / x["tokens_per_second"] for x in log],
            "losses": [x["loss"] for x in log]}, peak


def our_scores(folder, dtype, threads):
    text, peak = watched([
        PROGRAM, "score", "--model", folder, "--pool", f"{folder}/rows.jsonl", "--holdout",
        f"{folder}/holdout.jsonl", "--k", str(DEMONSTRATIONS), "--demos", "fixed", "--dtype", dtype,
        "--out", f"{WORK}/scores.jsonl", "--overwrite", "--json", "--threads", str(threads)])
    scores = rows_of(f"{WORK}/scores.jsonl")
    with open(f"{folder}/order.json", "w", encoding="utf-8") as out:
        json.dump(scores[0]["demos"], out)
    return {"seconds": json.loads(text)["seconds"], "scores": [x["score"] for x in scores]}, peak


def their(kind, folder, dtype, threads, compiled):
    """malloc keeps what it has, else PyTorch loses time to page faults at a large vocabulary."""
    text, peak = watched(
        [sys.executable, __file__, "--theirs", kind, folder, dtype, str(threads), compiled],
        MALLOC_MMAP_MAX_="0", MALLOC_TRIM_THRESHOLD_="99999999999", MALLOC_TOP_PAD_="500000000",
        OMP_NUM_THREADS=str(threads), OMP_WAIT_POLICY="passive")
    return json.loads(text.splitlines()[-1]), peak


def compare_steps(name, dtype, threads, compiled):
    folder, lora = f"{WORK}/{name}", MODELS[name][2] or dtype == "bf16"
    what = (f"LoRA {RANK}" if lora else "whole") + compiled
    a, a_peak = our_steps(folder, dtype, lora, threads)
    b, b_peak = their("lora" if lora else "full", folder, dtype, threads, compiled)
    ms = [statistics.median(x["ms"][1:]) for x in (a, b)]
    away = max(abs(p - q) for p, q in zip(a["losses"], b["losses"]))
    print(f"{name} {dtype} train {what}: {ms[0]:.0f} : {ms[1]:.0f} ms a step, ratio "
          f"{ms[1] / ms[0]:.2f}; {1e3 * ROWS * LENGTH / ms[0]:.0f} tokens/s; peak {a_peak:.2f} : "
          f"{b_peak:.2f} GB, {a_peak / b_peak:.2f}; loss {a['losses'][0]:.4f} to "
          f"{a['losses'][-1]:.4f}, largest difference {away:.1e}; ours "
          f"{min(a['ms'][1:]):.0f} to {max(a['ms'][1:]):.0f}, theirs {min(b['ms'][1:]):.0f} to "
          f"{max(b['ms'][1:]):.0f}", flush=True)


def compare_scores(name, dtype, threads, compiled):
    folder = f"{WORK}/{name}"
    a, a_peak = our_scores(folder, dtype, threads)
    b, b_peak = their("score", folder, dtype, threads, compiled)
    away = max(abs(p - q) for p, q in zip(a["scores"], b["scores"]))
    print(f"{name} {dtype} score {len(a['scores'])}{compiled}: "
          f"{a['seconds']:.1f} : {b['seconds']:.1f} s, "
          f"ratio {b['seconds'] / a['seconds']:.2f}; peak {a_peak:.2f} : {b_peak:.2f} GB, "
          f"{a_peak / b_peak:.2f}; largest difference of a score {away:.1e}", flush=True)


def main():
    import peft
    import torch
    import transformers
    threads = int(os.environ.get("THREADS", "2"))
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, peft "
          f"{peft.__version__}, {threads} threads; ica.c : theirs, above 1 is faster", flush=True)
    for name in sys.argv[3:] or MODELS:
        if not os.path.isfile(f"{WORK}/{name}/model.safetensors"):
            make_model(name)
        for dtype in os.environ.get("DTYPES", "float32").split():
            for compiled in ("", ", torch.compile")[:2 if os.environ.get("COMPILE") else 1]:
                compare_steps(name, dtype, threads, compiled)
                compare_scores(name, dtype, threads, compiled)


if sys.argv[1] == "--theirs":
    theirs(*sys.argv[2:5], int(sys.argv[5]), sys.argv[6])
else:
    PROGRAM, WORK = sys.argv[1], sys.argv[2]
    main()
