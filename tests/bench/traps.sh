#!/bin/sh
# Three traps of the paper's public code, each shown by runs on the base model and the corpora of
# the main job (./run.sh quick base makes them): tests/bench/traps.sh [weights] [leak] [template];
# all three without an argument (`make traps`; some minutes).
#
# weights   what the weighted sum of gradients is divided by (E9): per micro-batch of one example
# the weights cancel leak      the holdout inside the pool, its examples shown to themselves: how
# much of the gain is that? template  conditioned prompts in another template than unconditioned
# ones: a score without any demonstration
set -eu
cd "$(dirname "$0")/../.."
OUT=${OUT:-out}
BASE=$OUT/quick/base CORPUS=$OUT/quick/corpus
[ -f "$BASE/model.safetensors" ] || { echo "traps: run ./run.sh quick base first" >&2; exit 1; }
SEEDS=${SEEDS:-"1 2 3"}
DRAWS="1 2 3 4 5"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # small batches are quickest so
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
TUNE="--learning-rate 5e-4 --warmup-steps 20 --min-lr-ratio 0.1 --batch-size 32 --max-steps 120"

# numbers on stdin: mean +- standard deviation, to so many decimals (4)
spread() {
    awk -v d="${1:-4}" '{ n++; s += $1; q += $1 * $1 }
        END { m = s / n; v = n > 1 ? (q - n * m * m) / (n - 1) : 0;
            printf "%." d "f +- %." d "f", m, sqrt(v > 0 ? v : 0) }'
}
value() { sed -n "s/.*\"$1\":\([-0-9.e]*\).*/\1/p"; }

# ARM POOL-OF-SEED OPTIONS...: a run for each seed in $work/ARM/SEED; %s in POOL stands for the seed
train() {
    arm=$1 pool=$2
    shift 2
    for s in $SEEDS; do
        mkdir -p "$work/$arm"
        # shellcheck disable=SC2059,SC2086
        ./ica train --model "$BASE" --pool "$(printf "$pool" "$s")" \
            --holdout "$CORPUS/$s/holdout.jsonl" --seed "$s" \
            --eval "$CORPUS/1/test.jsonl" $TUNE --out "$work/$arm/$s" "$@" >/dev/null \
                2>"$work/stderr" || {
            echo "traps: $arm, seed $s failed: $(tail -n 1 "$work/stderr")" >&2
            exit 1
        }
    done
}
nll() { for s in $SEEDS; do value nll <"$work/$1/$s/metrics.json"; done; } # ARM: one number a seed

# ARM: in how many seeds are the trained parameters those of the uniform run, to the last bit?
same_as_uniform() {
    same=0 all=0
    for s in $SEEDS; do
        all=$((all + 1))
        ! cmp -s "$work/$1/$s/model.safetensors" "$work/uniform/$s/model.safetensors" ||
            same=$((same + 1))
    done
    echo "$same of $all"
}

weights() {
    echo "What the weighted sum of gradients is divided by (E9);" \
        "ICA, fine-tuning on even50; seeds $SEEDS"
    row="%-22s %-12s %-12s %-20s %s\n"
    # shellcheck disable=SC2059
    printf "$row" "weights" "--normalize" "micro-batch" "test NLL" \
        "parameters as uniform's, bit by bit"
    train uniform "$CORPUS/%s/pool-even50.jsonl" --micro-batch-size 1
    # shellcheck disable=SC2059
    printf "$row" uniform batch 1 "$(nll uniform | spread)" -
    for line in "softmax micro 1" "softmax micro 8" "softmax batch 1" "minmax micro 1" \
        "minmax batch 1" "minmax-batch micro 1" \
        "minmax-batch micro 8" "minmax-batch batch 1" "minmax-batch count 1" "minmax-batch none 1"
        do
        # shellcheck disable=SC2086
        set -- $line
        train "$1-$2-$3" "$CORPUS/%s/pool-even50.jsonl" --weights ica --weight-map "$1" \
            --normalize "$2" --micro-batch-size "$3"
        # shellcheck disable=SC2059
        printf "$row" "$1" "$2" "$3" "$(nll "$1-$2-$3" | spread)" "$(same_as_uniform "$1-$2-$3")"
    done
    echo "micro, 1: each weight is divided by itself, and nothing is left of it. Where that still"
    echo "differs from uniform, examples have weight 0: max-min gives it to the worst of the"
    echo "pool, or of each batch; softmax to none. A constant factor (count, none) is mostly undone"
    echo "by the clipping of the gradient and by Adam."
}

leak() {
    echo "The holdout inside the pool (--allow-overlap), its examples shown to themselves;" \
        "ICA, fine-tuning on even50; seeds $SEEDS"
    for s in $SEEDS; do cat "$CORPUS/$s/pool-even50.jsonl" "$CORPUS/$s/holdout.jsonl" \
        >"$work/mixed-$s.jsonl"; done
    train uniform "$CORPUS/%s/pool-even50.jsonl"
    train uniform-mixed "$work/mixed-%s.jsonl" --allow-overlap
    nll uniform >"$work/u"
    nll uniform-mixed >"$work/m"
    printf '%-14s %-20s %-20s %-22s %s\n' "weights" "pool" "pool and holdout" \
        "leak's share of gain %" "uniform with holdout's %"
    printf '%-14s %-20s %s\n' uniform "$(spread <"$work/u")" "$(spread <"$work/m")"
    for map in minmax minmax-batch filter top; do
        train "apart-$map" "$CORPUS/%s/pool-even50.jsonl" --weights ica --weight-map $map
        train "leak-$map" "$work/mixed-%s.jsonl" --allow-overlap --weights ica --weight-map $map
        nll apart-$map >"$work/a"
        nll leak-$map >"$work/l"
        printf '%-14s %-20s %-20s %-22s %s\n' "$map" "$(spread <"$work/a")" "$(spread <"$work/l")" \
            "$(paste "$work/u" "$work/a" "$work/l" |
                awk '{ print 100 * (1 - ($1 - $2) / ($1 - $3)) }' | spread 1)" \
            "$(paste "$work/u" "$work/m" "$work/l" |
                awk '{ print 100 * ($1 - $2) / ($1 - $3) }' | spread 1)"
    done
    echo "Test NLL. The gain is what the leaking run is better than uniform on the pool; the leak's"
    echo "share of it is what ICA with the holdout apart does not have, and beside it the share"
    echo "that uniform training on pool and holdout has without any score."
}

scores() { # MODEL DRAW METHOD: the pool's scores, one a line, token means
    ./ica score --model "$1" --pool "$CORPUS/$2/pool-even50.jsonl" \
        --holdout "$CORPUS/$2/holdout.jsonl" --seed "$2" --method "$3" \
        --out "$work/scores.jsonl" >/dev/null 2>&1
    value score <"$work/scores.jsonl"
}

# MODEL DRAW METHOD: its score minus the plain log-likelihood in the base's own template, with the
# known truth
difference() {
    scores "$1" "$2" "$3" >"$work/inside"
    scores "$BASE" "$2" loss >"$work/outside"
    sed 's/.*"clean":\([a-z]*\).*"source":"\([a-z]*\)".*/\1 \2/' "$CORPUS/$2/pool-even50.jsonl" \
        >"$work/truth"
    paste -d ' ' "$work/inside" "$work/outside" "$work/truth" |
        awk '{ printf "%.15f %s %s\n", $1 - $2, $3, $4 }'
}

# SOURCE: the AUROC of clean against corrupted by SOURCE (all: by any) of lines from difference
area() {
    awk -v source="$1" 'source == "all" || $2 == "true" || $3 == source' | sort -n | awk '
        { s[NR] = $1; clean[NR] = $2 == "true"; positives += clean[NR] }
        END { for (i = 1; i <= NR; i = j) {
                for (j = i; j <= NR && s[j] == s[i]; j++) continue
                for (t = i; t < j; t++) if (clean[t]) rank += (i + j - 1) / 2 }
            print (rank - positives * (positives + 1) / 2) / (positives * (NR - positives)) }'
}

frame() { # NAME KEY VALUE: a copy of the base whose template has another KEY
    mkdir -p "$work/$1"
    cp "$BASE"/*.json "$BASE/merges.txt" "$BASE/model.safetensors" "$work/$1/"
    sed "s/\"$2\": *\"[^\"]*\"/\"$2\": \"$3\"/" "$BASE/template.json" >"$work/$1/template.json"
}

template_rows() { # TITLE MODEL
    for method in loss incontext; do
        for d in $DRAWS; do difference "$2" "$d" $method >"$work/difference-$d"; done
        for kind in all careless verbose; do
            for d in $DRAWS; do area $kind <"$work/difference-$d"; done | spread >"$work/$kind"
        done
        demos=3
        [ $method = incontext ] || demos=0
        size=$(for d in $DRAWS; do awk '{ s += $1 < 0 ? -$1 : $1 } END { print s / NR }' \
            "$work/difference-$d"; done | spread)
        printf '%-34s %-6s %-20s %-20s %-20s %s\n' "$1" $demos "$size" "$(cat "$work/all")" \
            "$(cat "$work/careless")" \
            "$(cat "$work/verbose")"
    done
}

template() {
    echo "Conditioned prompts in another template than unconditioned ones;" \
        "AUROC on even50, draws $DRAWS"
    printf '%-34s %-6s %-20s %-20s %-20s %s\n' "template of the conditioned prompt" "demos" \
        "mean |score|" \
        "all" "careless" "verbose"
    frame preamble bos '<bos>here are some examples . '
    frame words prompt_prefix '<q>question : '
    template_rows "the same" "$BASE"
    template_rows "a preamble before them" "$work/preamble"
    template_rows "a word before each question" "$work/words"
}

[ $# -gt 0 ] || set -- weights leak template
for trap in "$@"; do
    case $trap in
    weights | leak | template) $trap ;;
    *)
        echo "usage: tests/bench/traps.sh [weights] [leak] [template]" >&2
        exit 2 ;;
    esac
done
