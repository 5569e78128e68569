#!/bin/sh
# docs/cluster.md: what `make judge-cluster` runs. Its blocks of Python train small models with
# weights, and the parameters are compared with those of `ica train`. One model is this program's,
# two are Qwen3 as transformers saves it, with the templates of ChatML and Zephyr. The shards run
# under GNU parallel, where that is installed. Without a Python that has trl: says so and ends well.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
page=$root/docs/cluster.md
passed=0 failed=0
OMP_NUM_THREADS=1
export OMP_NUM_THREADS
is() { # WHAT CONDITION...
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "judge-cluster: FAILED: $what"
    fi
}
# block KIND N: the N-th block of this kind of the page
block() {
    awk -v kind="\`\`\`$1" -v n="$2" '
        $0 == kind && ++count == n { on = 1; next }
        /^```$/ { on = 0 }
        on' "$page"
}
cd "$work" || exit 1

"$ica" corpus --out corpus --seed 1 >said 2>&1
head -n 400 corpus/pretrain.jsonl >sessions.jsonl
head -n 40 corpus/pool-even50.jsonl >pool.jsonl
head -n 20 corpus/holdout.jsonl >trusted.jsonl
ln -s "$ica" ica
find_python judge-cluster 'trl or accelerate' 'import trl, accelerate, torch'
run ./ica tokenizer --data sessions.jsonl --vocab-size 400 --out tokens
run ./ica pretrain --data sessions.jsonl --tokenizer tokens --layers 2 --heads 2 --channels 32 \
    --context 96 --max-steps 60 --out MODEL
run ./ica score --model MODEL --pool pool.jsonl --holdout trusted.jsonl --out scores.jsonl

# Shards: the joined parts are the file of one run, but for the weights.
block sh 1 >shards.sh
if command -v parallel >/dev/null; then
    mv scores.jsonl whole.jsonl
    run sh shards.sh
    sed 's/"weight":[^,]*,//' whole.jsonl >want
    is "the shards' scores" cmp -s want scores.jsonl
    is "records that the shards choose" [ "$(wc -l <clean.jsonl)" -eq \
        "$(grep -c '"score":[0-9]' whole.jsonl)" ]
    mv whole.jsonl scores.jsonl
else echo "judge-cluster: skipped: the shards, without GNU parallel"; fi
block slurm 1 | sed 's,64,4,' >array.sh
is "the array job reads" sh -n array.sh
SLURM_ARRAY_TASK_ID=3 SLURM_CPUS_PER_TASK=1 run sh array.sh
is "the array job's part" [ -f part-3.jsonl ]

# Training: eight records a step, in order. Sixteen records with weights, so none is left out.
run ./ica select --pool pool.jsonl --scores scores.jsonl --with-weights --weight-map rank \
    --out all.jsonl
head -n 16 all.jsonl | sed 's/,"clean":[a-z]*//; s/,"source":"[a-z]*"//' >weighted.jsonl
block python 1 >records.py
{ block python 2; block python 3; } >train_trl.py
block python 4 >train_accelerate.py
# ica takes records in an order of its own, so that each step here has all sixteen.
for way in "trl 16 16 batch" "trl 4 16 micro" "accelerate 1 16 batch"; do
    set -- $way
    run "$python" "train_$1.py" MODEL weighted.jsonl "$1-$2" "$2" "$3"
    cp MODEL/template.json MODEL/vocab.json MODEL/merges.txt MODEL/tokenizer_config.json "$1-$2"
done
run ./ica train --model MODEL --pool weighted.jsonl --weights records --batch-size 16 \
    --max-steps 5 --learning-rate 1e-3 --lr-scheduler-type constant --out ours --seed 1
run ./ica eval --model trl-16 --data trusted.jsonl
is "a folder of save_pretrained is read" [ -s said ]
# Parameters move by about 5e-3 in five steps of 1e-3. Two AdamW in single precision agree to some
# 1e-5: where a gradient is near 0 its sign, and so a whole step, may differ by rounding.
far() { # BASE OURS THEIRS: root of the mean square of the difference over that of the movement
    "$python" - "$@" <<'PY'
import sys
from safetensors.torch import load_file
def read(folder):
    tensors = load_file(folder + "/model.safetensors")
    return {name.replace("transformer.", ""): value for name, value in tensors.items()}
base, ours, theirs = map(read, sys.argv[1:])
moved = sum(float((ours[k] - base[k]).double().pow(2).sum()) for k in base)
off = sum(float((ours[k] - theirs[k]).double().pow(2).sum()) for k in base)
print("%.6f" % (off / moved) ** 0.5)
PY
}
agrees() { # BASE OURS THEIRS
    distance=$(far "$@")
    echo "judge-cluster: $3 against ica train: $distance of the way moved"
    is "$3 learns the weights as ica train does" awk "BEGIN { exit !($distance < 0.01) }"
}
for folder in trl-16 accelerate-1; do agrees MODEL ours $folder; done
# The test can fail: without the weights the way is another.
sed 's/"weight":[0-9.e-]*/"weight":1/' weighted.jsonl >flat.jsonl
run "$python" train_trl.py MODEL flat.jsonl flat 16 16
distance=$(far MODEL ours flat)
echo "judge-cluster: without weights: $distance"
is "weights matter" awk "BEGIN { exit !($distance > 0.05) }"
distance=$(far MODEL ours trl-4)
echo "judge-cluster: trl-4, each micro-batch by its own sum: $distance"
is "accumulation is a mean of means" awk "BEGIN { exit !($distance < 0.5) }"

# Templates with a line break after the end token, which no answer learns. The records have the
# forms that the page promises: prompts of text and of messages, whole conversations, system turns.
"$python" - >forms.jsonl <<'PY'
import json
for i, line in enumerate(open("weighted.jsonl")):
    r = json.loads(line)
    turns = [{"role": "user", "content": r["prompt"]},
             {"role": "assistant", "content": r["completion"]}]
    shapes = [{"prompt": r["prompt"], "completion": r["completion"]},
              {"prompt": turns[:1], "completion": turns[1:]},
              {"messages": turns + turns},
              {"messages": turns, "system": "Answer."},
              {"prompt": r["prompt"], "completion": r["completion"], "system": "Be brief."}]
    print(json.dumps({"id": r["id"], "weight": r["weight"], **shapes[i % len(shapes)]}))
PY
cat >make_folders.py <<'PY'
import json
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
          "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
ROLE = ("{%% %s message['role'] == '%s' %%}\n{{ '<|%s|>\n' + message['content'] + eos_token }}\n")
ZEPHYR = ("{% for message in messages %}\n"
          + ROLE % ("if", "user", "user") + ROLE % ("elif", "system", "system")
          + ROLE % ("elif", "assistant", "assistant") + "{% endif %}\n"
          "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n"
          "{% endfor %}")
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
for name, template, end in (("chatml", CHATML, "<|im_end|>"), ("zephyr", ZEPHYR, "</s>")):
    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer, tokens.decoder = byte_level, decoders.ByteLevel()
    tokens.train_from_iterator(open("sessions.jsonl"), trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>", "<|im_start|>", end],
        initial_alphabet=byte_level.alphabet()))
    # As in SmolLM2, the end token pads.
    PreTrainedTokenizerFast(tokenizer_object=tokens, eos_token=end, pad_token=end,
                            chat_template=template).save_pretrained(name)
    torch.manual_seed(1)
    Qwen3ForCausalLM(Qwen3Config(
        vocab_size=tokens.get_vocab_size(), hidden_size=32, intermediate_size=64,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        max_position_embeddings=256, eos_token_id=2, pad_token_id=2)).save_pretrained(name)
PY
run "$python" make_folders.py
for name in chatml zephyr; do
    run ./ica train --model $name --pool forms.jsonl --weights records --batch-size 16 \
        --max-steps 5 --learning-rate 1e-3 --lr-scheduler-type constant --out $name-ours --seed 1
    run "$python" train_trl.py $name forms.jsonl $name-trl 16 16
    run "$python" train_accelerate.py $name forms.jsonl $name-accelerate 1 16
    agrees $name $name-ours $name-trl
    agrees $name $name-ours $name-accelerate
    # The test can fail: with the text after the end token the way is another.
    sed 's/if ends else row/if False else row/' records.py >records.tmp
    cp records.py records.kept && mv records.tmp records.py
    run "$python" train_accelerate.py $name forms.jsonl $name-longer 1 16
    mv records.kept records.py
    distance=$(far $name $name-ours $name-longer)
    echo "judge-cluster: $name with the text after the end token: $distance"
    is "$name: the text after the end token matters" awk "BEGIN { exit !($distance > 0.02) }"
done
# What the scripts cannot read is refused with file, line and keys.
refuses() { # RECORD WORDS
    { cat weighted.jsonl; echo "$1"; } >bad.jsonl
    ! "$python" train_accelerate.py chatml bad.jsonl never 1 16 >said 2>&1
    is "refused: $1" [ $? -eq 0 -a ! -e never ]
    is "by name: $1" grep -q "^bad.jsonl:17: .*$2" said
}
refuses '{"instruction":"a","output":"b","weight":1}' 'the keys are instruction, output, weight'
refuses '{"prompt":"a","completion":"b"}' 'must be "weight"'
refuses '{"prompt":"a","completion":"b","weight":1,"input":"c"}' 'input'
refuses '{"messages":[{"role":"user","content":"a"}],"weight":1}' "must be the assistant's"
refuses '{"messages":[{"role":"assistant","content":"a","weight":0}],"weight":1}' 'take turns'
echo "judge-cluster: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
