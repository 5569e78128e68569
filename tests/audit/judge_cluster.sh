#!/bin/sh
# docs/cluster.md: what `make judge-cluster` runs. Its blocks of Python train a small model with
# weights, and the parameters are compared with those of `ica train`. Its shards run under GNU
# parallel, where that is installed. Without a Python that has trl: says so and ends well.
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
{ block python 1; block python 2; } >train_trl.py
block python 3 >train_accelerate.py
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
far() { # FOLDER: the root of the mean square of the difference over that of the movement
    "$python" - "$1" <<'PY'
import sys
from safetensors.torch import load_file
def read(folder):
    tensors = load_file(folder + "/model.safetensors")
    return {name.replace("transformer.", ""): value for name, value in tensors.items()}
base, ours, theirs = read("MODEL"), read("ours"), read(sys.argv[1])
moved = sum(float((ours[k] - base[k]).double().pow(2).sum()) for k in base)
off = sum(float((ours[k] - theirs[k]).double().pow(2).sum()) for k in base)
print("%.6f" % (off / moved) ** 0.5)
PY
}
for folder in trl-16 accelerate-1; do
    distance=$(far $folder)
    echo "judge-cluster: $folder against ica train: $distance of the way moved"
    is "$folder learns the weights as ica train does" awk "BEGIN { exit !($distance < 0.01) }"
done
# The test can fail: without the weights the way is another.
sed 's/"weight":[0-9.e-]*/"weight":1/' weighted.jsonl >flat.jsonl
run "$python" train_trl.py MODEL flat.jsonl flat 16 16
distance=$(far flat)
echo "judge-cluster: without weights: $distance"
is "weights matter" awk "BEGIN { exit !($distance > 0.05) }"
distance=$(far trl-4)
echo "judge-cluster: trl-4, each micro-batch by its own sum: $distance"
is "accumulation is a mean of means" awk "BEGIN { exit !($distance < 0.5) }"
echo "judge-cluster: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
