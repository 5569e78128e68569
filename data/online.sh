#!/bin/sh
# Online DPO: stage after stage the model answers twice, known truth ranks the two answers, and DPO
# trains on these pairs. Do ICA's scores keep up with pairs that are made while the model changes?
#
#   data/online.sh MODEL PROMPTS HOLDOUT OUT WEIGHTS [OPTIONS...]
#
#   PROMPTS   records with "prompt" and the right "completion", both texts, one a line
#   HOLDOUT   trusted pairs
#   WEIGHTS   uniform, oracle, or METHOD:MAP as ica:filter
#   OPTIONS   of `ica train`, and of `ica score` too where SCORER is base; not --lora-rank
#
# From the environment: STAGES (4), ASK (400, prompts of a stage), NOISE (30, per cent of the pairs
# that are flipped), STEPS (20, of a stage), SEED (1), SCORER: present (the model that the stage
# begins with makes the scores) or base (MODEL makes them in all stages), TRUTH: graded or exact, as
# pairs.jsonl says.
#
# A stage T goes on from the model of the stage before, and makes these files in OUT/T:
#
#   asked.jsonl   records of PROMPTS. Stages take them in turn, and begin again after the last
#   answers.jsonl two answers to each, by `ica generate --samples 2` at temperature 1
#   pairs.jsonl   the answer that is nearer to the truth is chosen: the right one is nearest, then
#                 one with the right one among its words ("source" says which two it were). With
#                 TRUTH=exact all but the right one are equally far. Two of the same distance are
#                 a tie, and are dropped, as are pairs with an empty answer. Of the others NOISE %
#                 are flipped, evenly spread, and "flipped" says which
#   scores.jsonl  MODEL's scores of the pairs, if it is the scorer; else they are in model/
#   model/        STEPS steps of DPO on the pairs. The reference of a stage is the model that it
#                 begins with, as of every `ica train`. So each stage may move as far as a first
#                 one, and nothing draws the model back to MODEL
#   done          the stage is finished
#
# A stage that is finished is not done again, nor are the files of one that was interrupted: give
# the same command again. Results are the same bits for any number of threads.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
LC_ALL=C
export LC_ALL
ICA=${ICA:-$here/ica}
STAGES=${STAGES:-4} ASK=${ASK:-400} NOISE=${NOISE:-30} STEPS=${STEPS:-20} SEED=${SEED:-1}
SCORER=${SCORER:-present} TRUTH=${TRUTH:-graded}
LONGEST=24 # tokens of an answer
. "$here/data/child.sh"
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 143' INT TERM

# asked PROMPTS STAGE: the records that a stage asks
asked() {
    awk -v ask="$ASK" -v stage="$2" '
        NF { line[n++] = $0 } # `ica generate` passes over blank lines, too
        END { for (i = (stage - 1) * ask; n && i < stage * ask; i++) print line[i % n] }' "$1"
}

# ranked STAGE: standard input is a record, its two answers, and so on; output the stage's pairs.
ranked() {
    awk -v stage="$1" -v rate="$NOISE" -v exact="$([ "$TRUTH" != exact ] || echo 1)" '
        # The text of a key, without blanks around it, as JSON has it
        function text(line, key) {
            if (!match(line, "\"" key "\": *\"([^\"\\\\]|\\\\.)*\"")) return ""
            line = substr(line, RSTART, RLENGTH - 1)
            sub(/^"[a-z]*": *" */, "", line)
            sub(/ *$/, "", line)
            return line
        }
        function distance(answer, right) {
            if (answer == right) return 0
            return index(" " answer " ", " " right " ") ? 1 : 2
        }
        BEGIN { split("right wordy wrong", name, " ") }
        NR % 3 == 1 { prompt = text($0, "prompt"); right = text($0, "completion"); next }
        NR % 3 == 2 { chosen = text($0, "completion"); next }
        {
            rejected = text($0, "completion")
            a = distance(chosen, right)
            b = distance(rejected, right)
            if (a == b || (exact && a && b) || chosen == "" || rejected == "") next
            n++
            flip = int(n * rate / 100 + 1e-9) > int((n - 1) * rate / 100 + 1e-9)
            # Nearer and not flipped, or farther and flipped: they stand as they must.
            if ((a < b) == flip) { other = chosen; chosen = rejected; rejected = other }
            source = name[(a < b ? a : b) + 1] "-" name[(a < b ? b : a) + 1]
            printf "{\"id\":\"%d-%d\",\"prompt\":\"%s\",\"chosen\":\"%s\",\"rejected\":\"%s\",",
                stage, NR / 3, prompt, chosen, rejected
            printf "\"flipped\":%s,\"source\":\"%s\"}\n", flip ? "true" : "false", source
        }'
}

# What a record lacks that pairs are made of, as PROMPTS:LINE: WHAT; nothing if it lacks nothing
lacks() { # PROMPTS
    awk -v path="$1" '
        function has(key) { return match($0, "\"" key "\": *\"([^\"\\\\]|\\\\.)+\"") }
        function say(what) { print path ":" NR ": " what; exit }
        !NF { next }
        !has("prompt") { say("needs \"prompt\", a text that is not empty") }
        !has("completion") { say("needs \"completion\", a text that is not empty") }
        has("system[a-z_]*") { say("has a system turn, which the pairs would lose") }' "$1"
}

# kept FILE COMMAND...: what the command prints becomes the file when it is whole.
kept() {
    file=$1
    shift
    [ ! -f "$file" ] || return 0
    "$@" >"$file.part" && mv "$file.part" "$file"
}

answers() { # STAGE MODEL
    ica generate --model "$2" --prompt-file "$OUT/$1/asked.jsonl" --samples 2 --temperature 1 \
        --max-new-tokens $LONGEST --seed $((SEED * 1000 + $1))
}

# The pairs of a stage: of each record and its two answers
pairs() { # STAGE
    awk 'FNR == NR { record[NR] = $0; next }
        FNR % 2 { print record[(FNR + 1) / 2] } { print }' \
        "$OUT/$1/asked.jsonl" "$OUT/$1/answers.jsonl" | ranked "$1"
}

# train STAGE MODEL [OPTIONS...]
train() {
    to=$OUT/$1 from=$2 seed=$((SEED * 1000 + $1))
    shift 2
    set -- --objective dpo --pool "$to/pairs.jsonl" --seed $seed "$@"
    weights="--weights $WEIGHTS"
    case $WEIGHTS in
    *:*)
        weights="--weights ${WEIGHTS%%:*} --weight-map ${WEIGHTS#*:}"
        set -- "$@" --holdout "$HOLDOUT" ;;
    esac
    case $WEIGHTS-$SCORER in
    *:*-base)
        # shellcheck disable=SC2086  # options and their values
        [ -f "$to/scores.jsonl" ] || ica score --model "$MODEL" --method ${weights#--weights } \
            "$@" --out "$to/scores.jsonl" --overwrite
        weights="--weights file:$to/scores.jsonl" ;;
    esac
    # shellcheck disable=SC2086
    ica train --model "$from" $weights "$@" --max-steps "$STEPS" --out "$to/model" \
        --save-only-model --overwrite
}

# What a run depends on, but for how many stages it has
settings() {
    echo "online.sh $MODEL $PROMPTS $HOLDOUT $WEIGHTS $* ASK=$ASK NOISE=$NOISE STEPS=$STEPS" \
        "SEED=$SEED SCORER=$SCORER TRUTH=$TRUTH"
}

die() {
    echo "online.sh: $*" >&2
    exit 1
}

[ $# -ge 5 ] || {
    sed -n '2,6p' "$0" >&2
    exit 2
}
MODEL=$1 PROMPTS=$2 HOLDOUT=$3 OUT=$4 WEIGHTS=$5
shift 5
[ -s "$MODEL/config.json" ] || [ -s "$MODEL/adapter_config.json" ] ||
    die "$MODEL is no model folder"
for file in "$PROMPTS" "$HOLDOUT"; do [ -s "$file" ] || die "there is no $file"; done
for number in STAGES ASK NOISE STEPS SEED; do
    eval "value=\$$number"
    case $value in '' | *[!0-9]*) die "$number=$value: write a whole number" ;; esac
done
case $SCORER in present | base) ;; *) die "SCORER=$SCORER: is none of present, base" ;; esac
case $TRUTH in graded | exact) ;; *) die "TRUTH=$TRUTH: is none of graded, exact" ;; esac
case "$* $SCORER" in
*--lora-rank*) die "--lora-rank: a stage begins with the adapters of the one before; ica merge" \
    "them and give the model" ;;
*--relabel*" base") die "--relabel goes with SCORER=present alone" ;;
esac
lack=$(lacks "$PROMPTS")
[ -z "$lack" ] || die "$lack"
mkdir -p "$OUT"
settings "$@" >"$OUT/settings.part"
[ ! -f "$OUT/settings" ] || cmp -s "$OUT/settings" "$OUT/settings.part" ||
    die "$OUT has stages of another command: $(cat "$OUT/settings")"
mv "$OUT/settings.part" "$OUT/settings"
model=$MODEL stage=1
while [ "$stage" -le "$STAGES" ]; do
    mkdir -p "$OUT/$stage"
    if [ ! -f "$OUT/$stage/done" ]; then
        kept "$OUT/$stage/asked.jsonl" asked "$PROMPTS" "$stage"
        kept "$OUT/$stage/answers.jsonl" answers "$stage" "$model"
        kept "$OUT/$stage/pairs.jsonl" pairs "$stage"
        [ -s "$OUT/$stage/pairs.jsonl" ] || die "stage $stage: all answers tie, no pair is left"
        train "$stage" "$model" "$@" >"$OUT/$stage/told"
        : >"$OUT/$stage/done"
        echo "stage $stage: $(wc -l <"$OUT/$stage/pairs.jsonl") pairs" >&2
    fi
    model=$OUT/$stage/model
    stage=$((stage + 1))
done
