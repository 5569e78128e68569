#!/bin/sh
# What `make audit-torch` runs: finds a Python that has PyTorch (without one: says so and ends
# well), lets the program train a small model on weighted SFT, DPO and SimPO with every step dumped,
# and lets tests/audit/audit_torch.py check the dumps. From the environment: PYTHON, the one to use;
# else python3 and /usr/bin/python3 are tried.
cd "$(dirname "$0")/../.." || exit 1
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
. tests/audit/python.sh
find_python audit-torch PyTorch 'import torch; torch.frombuffer'
cd "$work" || exit 1

run "$ica" corpus --out corpus
head -n 150 corpus/pretrain.jsonl >sessions.jsonl
head -n 40 corpus/pool-even50.jsonl >sft.jsonl
head -n 40 corpus/pairs-pool.jsonl >pairs.jsonl
head -n 30 corpus/holdout.jsonl >holdout.jsonl
rm -r corpus
run "$ica" tokenizer --data sessions.jsonl --vocab-size 300 --out tokenizer
run "$ica" pretrain --data sessions.jsonl --tokenizer tokenizer --layers 2 --heads 4 \
    --channels 32 --context 128 \
    --batch-tokens 512 --max-steps 40 --warmup-steps 5 --out base

builds=float
[ ! -x "$root/ica-double" ] || builds="float double"
for objective in sft dpo simpo; do
    # constants as in tests/audit/audit_torch.py
    case $objective in
    sft) pool=sft.jsonl options= ;;
    dpo) pool=pairs.jsonl options="--beta 0.5 --label-smoothing 0.1" ;;
    simpo) pool=pairs.jsonl options="--beta 2 --gamma-beta-ratio 0.25" ;;
    esac
    # shellcheck disable=SC2086
    run "$ica" score --model base --pool $pool --holdout holdout.jsonl --objective $objective \
        --weight-map rank \
        --out weights-$objective.jsonl
    # batches of 8 in parts of 3
    common="train --model base --pool $pool --objective $objective
        --weights file:weights-$objective.jsonl --batch-size 8 --micro-batch-size 3
        --learning-rate 1e-3 --weight-decay 0.1 --max-grad-norm 1 --out run --overwrite $options"
    for build in $builds; do
        program=$ica
        [ "$build" = float ] || program=$root/ica-double
        step=1
        # with a constant rate a shorter run is the beginning of a longer one
        while [ $step -le 20 ]; do
            # shellcheck disable=SC2086
            run "$program" $common --lr-scheduler-type constant --warmup-steps 0 --max-steps $step \
                --dump-state $build-$objective-$step.safetensors
            step=$((step + 1))
        done
        # shellcheck disable=SC2086
        run "$program" $common --warmup-steps 4 --min-lr-ratio 0.1 --max-steps 20 \
            --dump-state $build-$objective-cosine.safetensors
    done
done
# shellcheck disable=SC2086
env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE "$python" "$root/tests/audit/audit_torch.py" "$work" \
    $builds
