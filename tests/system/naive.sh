#!/bin/sh
# `make naive` against the fast program: both train, score and evaluate a small model on the
# built-in corpus, to the same numbers.
#
# Tolerance: a sum of k terms taken in two orders differs by at most 2 k u of its terms' sizes (u:
# half an ulp of 1; 6e-8 in float, 1.1e-16 in double). Here k <= 128 (4 x 32 channels), and 9
# products follow each other (4 a layer, 2 layers, the head): B = 2 x 128 x 9 u, 1.4e-4 and 2.6e-13,
# relative, or absolute below 1. Each training step starts from what the last one left: steps x B.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
STEPS=5
MODEL="--layers 2 --heads 4 --channels 32 --context 128 --batch-tokens 512"

# numbers FILE KEY...: the values under these keys, one "KEY VALUE" a line, in the order of the file
numbers() {
    from=$1
    shift
    tr ',{}' '\n\n\n' <"$from" | sed -n 's/^"\([a-z_]*\)":\([-+0-9.e]*\)$/\1 \2/p' |
        awk -v keys=" $* " 'index(keys, " " $1 " ")'
}

# agree WHAT LEAST TOLERANCE FILE KEY...: at least so many numbers of both flavors' files, within
# the tolerance
agree() {
    what=$1 least=$2 tolerance=$3 file=$4
    shift 4
    numbers "$work/$fast-$file" "$@" >"$work/a"
    numbers "$work/$naive-$file" "$@" >"$work/b"
    if paste "$work/a" "$work/b" | awk -v t="$tolerance" -v least="$least" '
        { d = $2 - $4; if (d < 0) d = -d; m = $2 < 0 ? -$2 : $2; if ($1 != $3 ||
            d > t * (m > 1 ? m : 1)) bad++ }
        END { exit !(NR >= least && !bad) }'; then pass
    else fail \
        "$what: $fast and $naive differ: $(paste "$work/a" "$work/b" |
            head -n 3 | tr '\n\t' '; ')"; fi
}

# run FLAVOR: the whole road; leaves its files as FLAVOR-NAME
run() {
    ica=build/$1/ica at=$work/$1
    # shellcheck disable=SC2086
    "$ica" pretrain --data "$work/pool.jsonl" --tokenizer "$work/tok" --out "$at-base" $MODEL \
        --max-steps $STEPS --logging-steps 1 \
        --learning-rate 1e-3 && cp "$at-base/log.jsonl" "$at-pretrain.jsonl" || fail "$1: pretrain"
    data="--model $work/base --pool $work/pool.jsonl --holdout $work/hold.jsonl"
    # shellcheck disable=SC2086
    {
        "$ica" train $data --weights ica --refresh 2 --max-steps $STEPS --batch-size 8 \
            --logging-steps 1 --out "$at-run" &&
            cp "$at-run/log.jsonl" "$at-train.jsonl" || fail "$1: train"
        for method in ica oneshot gradient; do
            "$ica" score $data --method $method --out "$at-$method.jsonl" ||
                fail "$1: score --method $method"
        done
        "$ica" eval --model "$work/base" --data "$work/test.jsonl" --holdout "$work/hold.jsonl" \
            --k 2 \
            --json >"$at-eval.json" || fail "$1: eval"
    }
}

build/float/ica corpus --out "$work/corpus" --no-pretrain >/dev/null 2>&1
head -n 40 "$work/corpus/pool-even50.jsonl" >"$work/pool.jsonl"
head -n 10 "$work/corpus/holdout.jsonl" >"$work/hold.jsonl"
head -n 12 "$work/corpus/test.jsonl" >"$work/test.jsonl"
build/float/ica tokenizer --data "$work/pool.jsonl" --vocab-size 400 --out "$work/tok" 2>/dev/null
# shellcheck disable=SC2086
build/float/ica pretrain --data "$work/pool.jsonl" --tokenizer "$work/tok" \
    --out "$work/base" $MODEL --max-steps 30 \
    --learning-rate 1e-3 2>/dev/null ||
    fail "the common base"

for pair in "float naive 6e-8" "double naive-double 1.1e-16"; do
    # shellcheck disable=SC2086
    set -- $pair
    fast=$1 naive=$2 bound=$(awk -v u="$3" 'BEGIN { print 2 * 128 * 9 * u }')
    far=$(awk -v b="$bound" -v s="$STEPS" 'BEGIN { print b * s }')
    for flavor in "$fast" "$naive"; do run "$flavor" >"$work/log" 2>&1 ||
        tail -n 5 "$work/log"; done
    grep FAILED "$work/log"
    agree pretrain $((2 * STEPS)) "$far" pretrain.jsonl loss grad_norm
    agree train $((2 * STEPS)) "$far" train.jsonl loss grad_norm
    agree "score, ica" 120 "$bound" ica.jsonl score logp logp_in_context
    agree "score, oneshot" 40 "$bound" oneshot.jsonl score
    agree "score, gradient" 40 "$bound" gradient.jsonl score
    agree eval 2 "$bound" eval.json nll p_sequence
done
finish naive
