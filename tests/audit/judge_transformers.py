"""Model folders of the program, loaded by Hugging Face's transformers.

Usage: judge_transformers.py PROGRAM FOLDER   (judge_transformers.sh makes the folder)

What must agree, for the folders that pretrain and train write:

  ids       AutoTokenizer's, of ordinary text; and decoding, with special tokens in between
  rows      apply_chat_template's tokens, against the rows of `ica train --dump-state`; its text,
            against template.json
  logp      of the answers in these rows, by AutoModelForCausalLM in double. The program's rounding
            is what audit_torch.py derives: 256 u of a logit's size, as a root over the tokens
  answers   generate()'s, against `ica generate`; it ends at the answer's end, without being told
  files     what save_pretrained writes of the folder, loaded by the program: the same bytes
"""
import json
import math
import os
import shutil
import subprocess
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, logging

logging.set_verbosity_error()
logging.disable_progress_bar()
PROGRAM, WORK = sys.argv[1], sys.argv[2]
ROUNDINGS, UNIT = 256, 2.0 ** -24
passed = failed = 0


def check(ok, what):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("judge-transformers: FAILED:", what)


def ica(*arguments, text=None):
    done = subprocess.run([PROGRAM, *arguments], input=text, capture_output=True, encoding="utf-8")
    if done.returncode:
        sys.exit(f"judge-transformers: ica {' '.join(arguments)}: {done.stderr}")
    return done.stdout


def records(name):
    """Each record as the messages of a conversation."""
    out = []
    for line in open(f"{WORK}/{name}.jsonl", encoding="utf-8"):
        r = json.loads(line)
        out.append(r.get("messages") or [{"role": "user", "content": r["prompt"]},
                                         {"role": "assistant", "content": r["completion"]}])
    return out


TEXTS = ["what color is grass ? green", "naïve café 日本語 😀", "  two  blanks ",
         "x1y2 DON'T '", "<e> and <q> are text here", "tab\tand é"]


def check_words(name, tokenizer):
    ours = [json.loads(x) for x in ica("encode", "--tokenizer", f"{WORK}/{name}",
                                       text="\n".join(TEXTS) + "\n").splitlines()]
    for text, ids in zip(TEXTS, ours):
        check(tokenizer(text, split_special_tokens=True).input_ids == ids, f"{name}: ids of {text}")
        mixed = [0, *ids, 1, 2, 3]
        back = ica("decode", "--tokenizer", f"{WORK}/{name}", text=json.dumps(mixed) + "\n")
        check(tokenizer.decode(mixed) == back[:-1], f"{name}: text of {mixed}")
    vocabulary = json.load(open(f"{WORK}/{name}/vocab.json", encoding="utf-8"))
    check(tokenizer.get_vocab() == vocabulary, f"{name}: vocabulary")
    for special in ("<bos>", "<q>", "<a>", "<e>"):
        check(tokenizer(special).input_ids == [vocabulary[special]], f"{name}: {special}")
    check(tokenizer.pad_token_id == tokenizer.eos_token_id == vocabulary["<e>"], f"{name}: pad")


def plain_text(name, messages):
    """The text of a row by the words of docs/formats.md."""
    t = json.load(open(f"{WORK}/{name}/template.json", encoding="utf-8"))
    text, before = t["bos"], ""
    for m in messages:
        if m["role"] == "system":
            before = m["content"] + "\n" if m["content"] else ""
        elif m["role"] == "user":
            text += t["prompt_prefix"] + before + m["content"] + t["answer_prefix"]
            before = ""
        else:
            text += m["content"] + t["example_end"]
    return text


def rows_of(name, data):
    """The rows of a dump: tokens, how many of them are prompt, log-likelihood of the rest."""
    x = load_file(f"{WORK}/{name}-{data}.safetensors")
    rows = {}
    for line, ids, labels, logp in zip(x["row"], x["input_ids"], x["labels"], x["logp"]):
        scored = [i for i, v in enumerate(labels.tolist()) if v != -100]
        rows[int(line)] = (ids.tolist()[:scored[-1] + 1], scored[0], float(logp))
    return [rows[i] for i in sorted(rows)]


def check_rows(name, data, tokenizer, model):
    for i, (messages, row) in enumerate(zip(records(data), rows_of(name, data), strict=True)):
        ids, prompt, logp = row
        what = f"{name}, {data} {i + 1}"
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        check(text == plain_text(name, messages), f"{what}: text {text!r}")
        asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False,
                                              add_generation_prompt=True)
        check(text.startswith(asked), f"{what}: the prompt is no beginning")
        check(tokenizer(text).input_ids == ids, f"{what}: tokens of the row")
        check(tokenizer(asked).input_ids == ids[:prompt], f"{what}: tokens of the prompt")
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, prompt - 1:-1]
        wanted = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[prompt:])[:, None])
        bound = ROUNDINGS * UNIT * (1 + float(logits.abs().max())) * math.sqrt(len(wanted))
        check(abs(float(wanted.sum()) - logp) <= bound, f"{what}: logp {wanted.sum()} and {logp}")


def check_system(name, tokenizer):
    """The program refuses a system message; the template that it writes still renders one."""
    for messages in records("talk"):
        messages[0]["content"] = "be brief"
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        check(text == plain_text(name, messages), f"{name}: with a system message {text!r}")


def check_answers(name, tokenizer, model):
    end = tokenizer.convert_tokens_to_ids("<e>")
    ends = model.generation_config.eos_token_id
    check(ends == end or isinstance(ends, list) and end in ends, f"{name}: ends are {ends}")
    stopped = 0
    for messages in records("test")[:6]:
        asked = tokenizer.apply_chat_template(messages[:-1], tokenize=True, return_tensors="pt",
                                              add_generation_prompt=True, return_dict=True)
        out = model.generate(**asked, max_new_tokens=40, do_sample=False)[0]
        new = out[asked["input_ids"].shape[1]:].tolist()
        ours = json.loads(ica("generate", "--model", f"{WORK}/{name}", "--json", "--temperature",
                              "0", "--prompt", messages[0]["content"], "--max-new-tokens", "40"))
        stopped += new[-1] == end and len(new) < 40
        if new[-1] == end:
            new.pop()
        check(tokenizer.decode(new) == ours["completion"] and len(new) == ours["tokens"],
              f"{name}: {ours} and {tokenizer.decode(new)!r}")
    check(stopped > 0, f"{name}: no generation stops")


def check_back(name, tokenizer, model):
    """What transformers saves is the same model and the same tokenizer to the program."""
    folder = f"{WORK}/back-{name}"
    tokenizer.save_pretrained(folder)
    model.float().save_pretrained(folder)
    shutil.copy(f"{WORK}/{name}/template.json", folder)
    shown = []
    for path in (f"{WORK}/{name}", folder):
        each = f"{WORK}/each"
        ica("eval", "--model", path, "--data", f"{WORK}/test.jsonl", "--per-example", each)
        shown.append(open(each, encoding="utf-8").read())
    check(shown[0] == shown[1], f"{name}: saved by transformers ({sorted(os.listdir(folder))})")


# ---- templates of chat models ----

TRL = {"qwen2.5": "qwen2_5", "qwen3": "qwen3", "llama3": "llama3", "llama3.2": "llama3_2"}


def original(name):
    """The template that the models have, as trl keeps it; None without trl."""
    try:
        import trl
    except ImportError:
        return None
    path = os.path.join(os.path.dirname(trl.__file__), "chat_templates", f"{TRL.get(name)}.jinja")
    return open(path, encoding="utf-8").read() if os.path.exists(path) else None


def check_chat(name):
    """apply_chat_template of the folder that the program wrote gives the program's rows, and the
    text of the model's own template. What follows an answer is no part of a row."""
    folder = f"{WORK}/made-{name}"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    theirs = original(name)
    for i, (messages, row) in enumerate(zip(records("chat"), rows_of(f"made-{name}", "chat"),
                                            strict=True)):
        ids, prompt, _ = row
        what = f"{name}, conversation {i + 1}"
        thinks = name == "qwen3" and "</think>" in messages[-1]["content"]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        whole = tokenizer(text).input_ids
        check(whole[:len(ids)] == ids, f"{what}: tokens of the row")
        check(tokenizer.decode(whole[len(ids):]) in ("", "\n"), f"{what}: after the row")
        asked = tokenizer.apply_chat_template(messages[:-1], tokenize=False, enable_thinking=thinks,
                                              add_generation_prompt=True)
        check(tokenizer(asked).input_ids == ids[:prompt], f"{what}: tokens of the prompt")
        if theirs:
            wanted = tokenizer.apply_chat_template(messages, tokenize=False, chat_template=theirs,
                                                   bos_token="<|begin_of_text|>",
                                                   date_string="26 Jul 2024")
            check(text == wanted, f"{what}: {text!r}, not {wanted!r}")
    # What transformers saves has the template in Jinja alone; the program knows it again.
    back = f"{WORK}/back-{name}"
    tokenizer.save_pretrained(back)
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(back)
    nll = [json.loads(ica("eval", "--model", path, "--data", f"{WORK}/chat.jsonl", "--json"))["nll"]
           for path in (folder, back)]
    check(nll[0] == nll[1], f"{name}: saved by transformers: {nll}")


for name in ("chatml", "smollm2", "qwen2.5", "qwen3", "llama3", "llama3.2", "zephyr"):
    check_chat(name)
for name in ("base", "tuned", "made-odd", "made-plain"):
    tokenizer = AutoTokenizer.from_pretrained(f"{WORK}/{name}")
    model = AutoModelForCausalLM.from_pretrained(f"{WORK}/{name}", dtype=torch.float64).eval()
    check_words(name, tokenizer)
    for data in ("talk", "test"):
        check_rows(name, data, tokenizer, model)
    check_system(name, tokenizer)
    if name in ("base", "tuned"):
        check_answers(name, tokenizer, model)
    check_back(name, tokenizer, model)
carried = json.load(open(f"{WORK}/made-odd/generation_config.json"))
check(carried["temperature"] == 0.7 and carried["top_k"] == 5, f"carried over: {carried}")
print(f"judge-transformers: {passed} passed, {failed} failed")
sys.exit(failed > 0)
