#!/bin/sh
# What `make judge-transformers` runs: finds a Python that has transformers and torch (without one:
# says so and ends well), lets the program make model folders, and lets
# tests/audit/judge_transformers.py load them with the real library. From the environment: PYTHON,
# the one to use. Else python3 and /usr/bin/python3 are tried.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python judge-transformers transformers 'import torch, transformers'
cd "$work" || exit 1

CHATS="chatml smollm2 qwen2.5 qwen3 llama3 llama3.2 zephyr"
run "$ica" corpus --out corpus
head -n 400 corpus/pretrain.jsonl >sessions.jsonl
head -n 40 corpus/pool-even50.jsonl >pool.jsonl
head -n 12 corpus/test.jsonl >test.jsonl
rm -r corpus
# Conversations: an empty system message, several turns, what Jinja and HTML would read.
python_talk='
import json
def talk(system, *turns):
    messages = [{"role": "system", "content": system}]
    for i, text in enumerate(turns):
        messages.append({"role": ("user", "assistant")[i % 2], "content": text})
    print(json.dumps({"messages": messages}))
talk("", "is it ?", "yes", "why \"so\" ?", "because")
talk("", "na\u00efve <b>", "no {{ it }} is")'
"$python" -c "$python_talk" >talk.jsonl
run "$ica" tokenizer --data sessions.jsonl --vocab-size 512 --out tokenizer
run "$ica" pretrain --data sessions.jsonl --tokenizer tokenizer --layers 2 --heads 4 \
    --channels 48 --context 160 --batch-tokens 1024 --max-steps 150 --learning-rate 5e-3 --out base
run "$ica" train --model base --pool pool.jsonl --batch-size 8 --max-steps 60 \
    --learning-rate 3e-3 --out tuned

# Templates that Jinja could misread, and one of another form.
mkdir odd plain
cp base/* odd
cp base/* plain
cat >odd/template.json <<'ODD'
{"bos": "\\n'<bos>{{ x }}", "prompt_prefix": "<q>it's \"{% if %}\"\r\n\n",
 "answer_prefix": "\n<a>  ", "example_end": "<e>\n"}
ODD
cat >plain/template.json <<'PLAIN'
{"bos": "", "prompt_prefix": "Q: ", "answer_prefix": "\nA:", "example_end": "<e>"}
PLAIN
cat >odd/generation_config.json <<'GENERATION'
{"eos_token_id": [2], "temperature": 0.7, "top_k": 5, "do_sample": true}
GENERATION
for name in odd plain; do
    run "$ica" train --model $name --pool pool.jsonl --batch-size 8 --max-steps 2 --out made-$name
done
# The rows that each folder makes of the records, with their log-likelihoods.
for name in base tuned made-odd made-plain; do
    run "$ica" train --model $name --pool talk.jsonl --batch-size 2 --max-steps 1 --out rows \
        --overwrite --dump-state $name-talk.safetensors
    rm -rf rows
    run "$ica" train --model $name --pool test.jsonl --batch-size 12 --max-steps 1 --out rows \
        --overwrite --dump-state $name-test.safetensors
    rm -rf rows
done
# Conversations in the templates of chat models, whose tokens the vocabulary has in added files.
# Only Qwen3's has <think>: in data it is text for the program, and a token for the library.
"$python" - >chat.jsonl <<'CHAT'
import json
def talk(system, *turns):
    messages = [{"role": "system", "content": system}] if system is not None else []
    for i, text in enumerate(turns):
        messages.append({"role": ("user", "assistant")[i % 2], "content": text})
    print(json.dumps({"messages": messages}))
talk(None, "what colour is grass ?", "green")
talk("be brief", "is it ?", "yes", "why ?", "because")
talk(" be brief\n", " is it ?\n", "<think>\nhm\n</think>\n\nyes ", "why \"so\" ?", "it's {{ no }}")
talk("", "na\u00efve <b>", "<think>\nlet me see\n</think>\n\nno")
CHAT
for name in $CHATS; do
    cp -R tokenizer chat-$name
    rm chat-$name/template.json
    sed '/"chat_template"/d' tokenizer/tokenizer_config.json >chat-$name/tokenizer_config.json
    "$python" - chat-$name <<'TOKENS'
import json, sys
names = ["<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
         "<|end_header_id|>", "<|eot_id|>"]
if sys.argv[1] == "chat-qwen3":
    names += ["<think>", "</think>"]
size = len(json.load(open("tokenizer/vocab.json")))
json.dump({n: size + i for i, n in enumerate(names)}, open(sys.argv[1] + "/added_tokens.json", "w"))
json.dump({"additional_special_tokens": names},
          open(sys.argv[1] + "/special_tokens_map.json", "w"))
TOKENS
    run "$ica" pretrain --data sessions.jsonl --tokenizer chat-$name --template $name --layers 1 \
        --heads 2 --channels 16 --context 200 --batch-tokens 1024 --max-steps 3 --out made-$name
    run "$ica" train --model made-$name --pool chat.jsonl --batch-size 4 --max-steps 1 --out rows \
        --overwrite --dump-state made-$name-chat.safetensors
    rm -rf rows
done
HF_HUB_OFFLINE=1 "$python" "$root/tests/audit/judge_transformers.py" "$root/ica" "$work"
