#!/bin/sh
# Demonstrations as turns or as text (--demos-as): which is better? ICA's AUROC on the mixed pool of
# the built-in corpus, draws 1 to 5, k = 1 and 3, with two bases: the quick one of ./run.sh, whose
# sessions are turns, and one of the same shape whose sessions are text in one user's turn. Prints a
# table in Markdown. From the environment: OUT, the folder that it works in and continues in
# (out/demos-as). About 10 minutes.
cd "$(dirname "$0")/../.." || exit 1
OUT=${OUT:-out/demos-as}
SHAPE="--layers 4 --heads 4 --channels 64 --batch-tokens 640 --learning-rate 4e-3
    --min-lr-ratio 0.1"
mkdir -p "$OUT"

# told: each session's last 8 turns, all but the last prompt and answer told in the first prompt
told() {
    awk '{
        n = split($0, part, /"content":"/)
        for (i = 2; i <= n; i++) sub(/"}.*/, "", part[i])
        text = ""
        for (i = n - 15 < 2 ? 2 : n - 15; i < n - 1; i += 2)
            text = text part[i] "\\n " part[i + 1] "\\n\\n"
        printf "{\"prompt\":\"%s%s\",\"completion\":\"%s\"}\n", text, part[n - 1], part[n]
    }'
}

for d in 1 2 3 4 5; do
    again=--no-pretrain
    [ $d != 1 ] || again=
    # shellcheck disable=SC2086
    [ -d "$OUT/corpus/$d" ] ||
        ./ica corpus --out "$OUT/corpus/$d" --seed 1 --draw $d $again || exit 1
done
first=$OUT/corpus/1
[ -d "$OUT/tokenizer" ] ||
    ./ica tokenizer --data "$first/pretrain.jsonl" --vocab-size 512 --out "$OUT/tokenizer" || exit 1
# shellcheck disable=SC2086
[ -d "$OUT/turns" ] || ./ica pretrain --data "$first/pretrain.jsonl" --tokenizer "$OUT/tokenizer" \
    $SHAPE --context 128 --num-train-epochs 1.5 --out "$OUT/turns" || exit 1
[ -f "$OUT/told.jsonl" ] || told <"$first/pretrain.jsonl" >"$OUT/told.jsonl"
# shellcheck disable=SC2086
[ -d "$OUT/text" ] || ./ica pretrain --data "$OUT/told.jsonl" --tokenizer "$OUT/tokenizer" $SHAPE \
    --context 144 --num-train-epochs 1 --prompt-loss-weight 1 --out "$OUT/text" || exit 1

: >"$OUT/rows"
for base in turns text; do
    for k in 1 3; do
        for as in turns text; do
            for d in 1 2 3 4 5; do
                ./ica score --model "$OUT/$base" --pool "$OUT/corpus/$d/pool-even50.jsonl" \
                    --holdout "$OUT/corpus/$d/holdout.jsonl" --k $k --demos-as $as --draw $d \
                    --seed $d --weight-map filter --json --out "$OUT/scores.jsonl" \
                    >"$OUT/score.json" 2>/dev/null || exit 1
                sed "s/.*\"all\":\([^,}]*\).*\"nll\":\([^,]*\),\"nll_in_context\":\([^,]*\).*/\
$base $k $as $d \1 \2 \3/" "$OUT/score.json" >>"$OUT/rows"
            done
        done
    done
done
printf '| base | k | demonstrations as | AUROC | text less turns, 95 %% over draws | loss '
echo '| in context |'
echo "|---|---|---|---|---|---|---|"
awk '{
    key = $1 " " $2 " " $3
    if (!(key in n)) order[++keys] = key
    n[key]++; sum[key] += $5; square[key] += $5 * $5; alone[key] += $6; shown[key] += $7
    value[key, $4] = $5
} END {
    for (i = 1; i <= keys; i++) {
        split(order[i], p, " ")
        m = sum[order[i]] / 5
        s = sqrt((square[order[i]] - 5 * m * m) / 4)
        between = "-"
        if (p[3] == "text") {
            t = q = 0
            for (d = 1; d <= 5; d++) {
                x = value[order[i], d] - value[p[1] " " p[2] " turns", d]
                t += x / 5; q += x * x
            }
            half = 2.776 * sqrt((q - 5 * t * t) / 4 / 5) # 97.5 % of t with 4 degrees of freedom
            between = sprintf("%+.3f [%+.3f, %+.3f]", t, t - half, t + half)
        }
        printf "| of %s | %s | %s | %.3f +- %.3f | %s | %.2f | %.2f |\n", p[1], p[2], p[3], m, s,
            between, alone[order[i]] / 5, shown[order[i]] / 5
    }
}' "$OUT/rows"
