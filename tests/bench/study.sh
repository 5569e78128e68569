#!/bin/sh
# Ablations on the base model and the corpora that ./run.sh left in out/quick: which demonstrations,
# how many, in how many lists, sums or means, and how often scores are refreshed. Mean and standard
# deviation over draws (AUROC) and seeds (test NLL). `make study`; two minutes.
set -eu
cd "$(dirname "$0")/../.."
OUT=${OUT:-out}/quick
[ -f "$OUT/base/model.safetensors" ] || { echo "study: run ./run.sh first" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TUNE="--learning-rate 5e-4 --warmup-steps 20 --min-lr-ratio 0.1 --batch-size 32 --max-steps 120"

# numbers on stdin: mean +- standard deviation
spread() { awk \
    '{ n++; s += $1; q += $1 * $1 } END {
        m = s / n; v = n > 1 ? (q - n * m * m) / (n - 1) : 0
        printf "%.4f +- %.4f\n", m, sqrt(v > 0 ? v : 0) }'; }
value() { sed -n "s/.*\"$1\":\([-0-9.e]*\).*/\1/p"; }

auroc() { # TITLE OPTIONS...
    title=$1
    shift
    for d in 1 2 3 4 5; do
        ./ica score --model "$OUT/base" --pool "$OUT/corpus/$d/pool-even50.jsonl" \
            --holdout "$OUT/corpus/$d/holdout.jsonl" --seed $d \
            --out "$work/scores.jsonl" --json "$@" 2>/dev/null >"$work/$d.json"
    done
    printf '%-34s all %s   careless %s\n' "$title" \
        "$(for d in 1 2 3 4 5; do value all <"$work/$d.json"; done | spread)" \
        "$(for d in 1 2 3 4 5; do value careless <"$work/$d.json"; done | spread)"
}

contexts() { # TITLE N: what fewer lists of demonstrations cost in AUROC, and save
    auroc "$1" --contexts "$2"
    printf '%-34s seconds %s   GFLOP %s\n' "" \
        "$(for d in 1 2 3 4 5; do value seconds <"$work/$d.json"; done | spread)" \
        "$(for d in 1 2 3 4 5; do value flops <"$work/$d.json"; done |
            awk '{ print $1 / 1e9 }' | spread)"
}

train() { # TITLE OPTIONS...
    title=$1
    shift
    for s in 1 2 3; do
        # shellcheck disable=SC2086
        ./ica train --model "$OUT/base" --pool "$OUT/corpus/$s/pool-even50.jsonl" \
            --holdout "$OUT/corpus/$s/holdout.jsonl" --seed $s \
            --eval "$OUT/corpus/1/test.jsonl" $TUNE --out "$work/run$s" "$@" >/dev/null 2>&1
    done
    printf '%-34s test NLL %s   overhead %s\n' "$title" \
        "$(for s in 1 2 3; do value nll <"$work/run$s/metrics.json"; done | spread)" \
        "$(for s in 1 2 3; do value overhead_measured <"$work/run$s/run.json"; done | spread)"
}

echo "AUROC of ICA on even50, 5 draws"
auroc "nearest, k = 3 (default)"
for k in 1 2 5; do auroc "nearest, k = $k" --k $k; done
auroc "random, k = 3" --demos random
auroc "one fixed list for all, k = 3" --demos fixed
auroc "nearest, shuffled answers, k = 3" --demos shuffled
auroc "token sums, k = 3" --reduce sum
echo "Fewer lists of demonstrations (--contexts N): AUROC, and what scoring one draw takes"
contexts "every candidate its own" 0
for N in 64 16 4 1; do contexts "N = $N" $N; done
echo "Fine-tuning on even50 with ICA, 3 seeds"
for map in filter minmax-batch; do
    for R in 1 3 6; do train "$map, R = $R" --weights ica --weight-map $map --refresh $R; done
done
