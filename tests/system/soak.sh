#!/bin/sh
# Long runs (`make soak`, some minutes): STEPS (1,000,000) tiny steps of `ica train` and of `ica
# pretrain`, with log lines, evaluations, new scores and saves on the way. While a run goes, its
# resident memory and its open files are counted. After the first third neither may grow: what the
# last third has at most may be KB (64) above what the second third had.
# From the environment: STEPS; KB; ONLY, train or pretrain. Needs /proc.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
export ICA_SETTLED=1 # it would start itself twice
STEPS=${STEPS:-1000000}
KB=${KB:-64}
TOOL=$root/build/float/tests/bench/scale_tool
[ -r /proc/self/statm ] || {
    echo "skipped: there is no /proc here"
    finish soak
    exit
}
cd "$work" || exit 1
"$TOOL" model 1 1 8 16 32 base || fail "model"
awk 'BEGIN { for (i = 0; i < 24; i++) printf("{\"input_ids\":[1,%d,%d,%d]}\n", 3 + i, 4 + i, 5) }' \
    >pool.jsonl
awk 'BEGIN { for (i = 0; i < 6; i++) printf("{\"input_ids\":[2,%d,%d,6]}\n", 9 + i, 3 + i) }' \
    >hold.jsonl
for i in 1 2 3 4; do echo "{\"prompt\":\"low $i\",\"completion\":\"er\"}"; done >words.jsonl
ica tokenizer --data words.jsonl --vocab-size 261 --out tok || fail "tokenizer"

given() {
    often="--max-steps $STEPS --logging-steps $((STEPS / 200)) --eval-steps $((STEPS / 100))
        --save-steps $((STEPS / 50)) --learning-rate 1e-5"
    case $1 in
    train)
        echo "train --model base --pool pool.jsonl --holdout hold.jsonl --eval hold.jsonl" \
            "--allow-overlap --weights ica --k 1 --refresh 50 --batch-size 2 $often" ;;
    pretrain)
        echo "pretrain --tokenizer tok --layers 1 --heads 1 --channels 8 --context 16" \
            "--data words.jsonl --eval words.jsonl --batch-tokens 8 $often" ;;
    esac
}

# sample PID: a line "KILOBYTES FILES"; nothing when the process is gone
sample() {
    files=$(ls "/proc/$1/fd" 2>/dev/null | wc -l)
    awk -v files="$files" '/^VmRSS/ { print $2, files }' "/proc/$1/status" 2>/dev/null
}

for name in ${ONLY:-train pretrain}; do
    # shellcheck disable=SC2046
    "$ICA" $(given "$name") --out "$name" >"$keep/out" 2>"$keep/err" </dev/null &
    pid=$!
    from=$(date +%s)
    while kill -0 $pid 2>/dev/null; do
        sample $pid >>"$name.samples"
        sleep 0.2 2>/dev/null || sleep 1
    done
    wait $pid
    is "$name: status" $? 0
    is "$name: steps" "$(tail -n 1 "$name/log.jsonl" | sed 's/.*"step":\([0-9]*\).*/\1/')" "$STEPS"
    awk -v name="$name" -v most="$KB" -v steps="$STEPS" -v seconds=$(($(date +%s) - from)) '
        NF == 2 { kb[++n] = $1; files[n] = $2 }
        END {
            for (i = 1; i <= n; i++) {
                part = int(3 * (i - 1) / n)
                if (kb[i] > top[part]) top[part] = kb[i]
                if (files[i] > open[part]) open[part] = files[i]
            }
            printf "%s: %d steps in %d s; of %d samples the largest in each third: " \
                "%d, %d, %d KB, and %d, %d, %d open files\n", name, steps, seconds, n,
                top[0], top[1], top[2], open[0], open[1], open[2]
            exit n < 9 || top[2] > top[1] + most || open[2] > open[1]
        }' "$name.samples"
    is "$name: flat" $? 0
done
finish soak
