#!/bin/sh
# The main job, from an empty folder to the report:  ./run.sh [quick|full|control] [base]
#
# quick    (default) recipe S: a small model, minutes on two cores
# full     recipe M: a larger model, more draws and seeds
# control  the falsification: every pretraining example has its own annotator, so that nothing can
#          be learned in context
# base     stops after the pretrained base model, which the audit and the studies need
#
# ./run.sh --help prints this.
#
# From the environment: SEEDS ("1 2 3"; full: "1 2 3 4 5"), OUT (out, beside this script), THREADS
# (all cores). What is done stays done: run it again and it continues. Remove OUT/MODE, or a part of
# it, to do that again.
set -eu
cd "$(dirname "$0")"

for word; do
    case $word in
    -h | --help | help)
        sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0"
        exit ;;
    esac
done
MODE=${1:-quick} UPTO=${2:-report}
OUT=${OUT:-out}
THREADS=${THREADS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}
export OMP_NUM_THREADS="$THREADS"
DRAWS="1 2 3 4 5"
case $MODE in
quick | control)
    SEEDS=${SEEDS:-"1 2 3"}
    SIZE=quick
    MODEL="--layers 4 --heads 4 --channels 64 --batch-tokens 640 --num-train-epochs 1.5"
    MODEL="$MODEL --learning-rate 4e-3" ;;
full)
    SEEDS=${SEEDS:-"1 2 3 4 5"} DRAWS="1 2 3 4 5 6 7 8 9 10"
    SIZE=full MODEL="--layers 4 --heads 4 --channels 96 --batch-tokens 2048 --learning-rate 3e-3" ;;
*) UPTO= ;;
esac
MODEL="${MODEL:-} --min-lr-ratio 0.1"
case $UPTO in
report | base) ;;
*)
    echo "usage: ./run.sh [quick|full|control] [base]; ./run.sh --help says more" >&2
    exit 2 ;;
esac
CONTROL=
[ "$MODE" = control ] && CONTROL=--control
WORK=$OUT/$MODE
mkdir -p "$WORK/done" "$WORK/score" "$WORK/eval" "$WORK/log"
workers=
trap 'trap - INT TERM; [ -z "$workers" ] || kill $workers 2>/dev/null; exit 130' INT TERM

say() { printf '%s\n' "$*" >&2; }

# stage NAME TITLE COMMAND...: runs the command unless it was done before, and keeps its seconds.
stage() {
    stamp=$WORK/done/$1 title=$2
    shift 2
    if [ -f "$stamp" ]; then
        say "== $title: done before ($(cat "$stamp") s)"
        return
    fi
    say "== $title"
    from=$(date +%s)
    "$@"
    echo $(($(date +%s) - from)) >"$stamp"
    say "   $title: $(cat "$stamp") s"
}

# jobs_of FUNCTION FILE: calls the function with the words of each line, on all cores. Worker w
# takes every THREADS-th line.
jobs_of() {
    function=$1 list=$2 workers=
    w=0
    while [ "$w" -lt "$THREADS" ]; do
        (
            OMP_NUM_THREADS=1
            n=0
            while read -r line; do
                # shellcheck disable=SC2086  # the words of the line are the arguments
                [ $((n % THREADS)) -ne "$w" ] || "$function" $line
                n=$((n + 1))
            done <"$list"
        ) &
        workers="$workers $!"
        w=$((w + 1))
    done
    for worker in $workers; do wait "$worker"; done
}

make_corpus() {
    for d in $(printf '%s\n' $DRAWS $SEEDS | sort -un); do
        ./ica corpus --out "$WORK/corpus/$d" --seed 1 --draw "$d" --no-pretrain
    done
}

# The sessions are most of what a mode would keep, and are made again in seconds. So they stay until
# the base is trained.
sessions() {
    [ -f "$WORK/corpus/1/pretrain.jsonl" ] ||
        ./ica corpus --out "$WORK/corpus/1" --size $SIZE $CONTROL --seed 1 --draw 1
}

tokenizer() {
    sessions
    ./ica tokenizer --data "$WORK/corpus/1/pretrain.jsonl" --vocab-size 512 --out "$WORK/tokenizer"
}

pretrain() {
    sessions
    if [ -f "$WORK/base/run.json" ]; then # interrupted before
        ./ica pretrain --resume "$WORK/base"
        rm "$WORK/corpus/1/pretrain.jsonl"
        return
    fi
    # shellcheck disable=SC2086
    ./ica pretrain --data "$WORK/corpus/1/pretrain.jsonl" --tokenizer "$WORK/tokenizer" \
        --out "$WORK/base" $MODEL --context 128 --holdout "$WORK/corpus/1/holdout.jsonl" \
        --eval "$WORK/corpus/1/test.jsonl" --logging-steps 250 --eval-steps 500
    rm "$WORK/corpus/1/pretrain.jsonl"
}

in_context() {
    for k in 0 1 2 3; do
        ./ica eval --model "$WORK/base" --data "$WORK/corpus/1/test.jsonl" \
            --holdout "$WORK/corpus/1/holdout.jsonl" --k $k --json >"$WORK/eval/k$k.json"
    done
}

# Fine-tuning: the same for every arm, for RHO's reference, and for training on the holdout alone.
TUNE="--learning-rate 5e-4 --warmup-steps 20 --min-lr-ratio 0.1 --batch-size 32"
TUNE="$TUNE --reference-steps 150 --anchors random --num-anchors 8"

# Pairs: with 30 % flipped, `top` keeps the best 60 %.
PAIRS="--learning-rate 2e-4 --warmup-steps 20 --min-lr-ratio 0.1 --batch-size 32"
PAIRS="$PAIRS --reference-steps 150 --share 0.6"

score_one() { # METHOD DRAW
    # shellcheck disable=SC2086
    ./ica score --model "$WORK/base" --pool "$WORK/corpus/$2/pool-even50.jsonl" \
        --holdout "$WORK/corpus/$2/holdout.jsonl" --method "$1" --draw "$2" --seed "$2" $TUNE \
        --json --out "$WORK/score/$1-$2.jsonl" \
        >"$WORK/score/$1-$2.json" 2>"$WORK/log/score-$1-$2" || {
        say "scoring $1 on draw $2 failed: $(tail -n 1 "$WORK/log/score-$1-$2")"
        return 1
    }
}

# The share of a pool that ica:filter keeps. Where weights are 0 or 1, the ESS is how many are 1.
kept() { # GROUP SEED
    ./ica score --model "$WORK/base" --pool "$WORK/corpus/$2/pool-$1.jsonl" \
        --holdout "$WORK/corpus/$2/holdout.jsonl" --weight-map filter --json \
        --out "$WORK/log/kept-$1-$2.jsonl" 2>/dev/null |
        sed 's/.*"ess":\([0-9.]*\).*"records":\([0-9]*\).*/\1 \2/' | awk '{ print $1 / $2 }'
    rm "$WORK/log/kept-$1-$2.jsonl"
}

train_one() { # GROUP ARM SEED
    group=$1 arm=$2 seed=$3 run=$WORK/runs/$1/$2/$3 data=$WORK/corpus/$3
    [ ! -f "$run/done" ] || return 0
    case $group in
    dpo) tune="--objective dpo $PAIRS --beta 0.1 --max-steps 120" ;;
    simpo) tune="--objective simpo $PAIRS --beta 2 --gamma-beta-ratio 0.25 --max-steps 100" ;;
    *) tune="--objective sft $TUNE --max-steps 120" ;;
    esac
    case $group in
    dpo | simpo)
        pool=$data/pairs-pool.jsonl holdout=$data/pairs-holdout.jsonl
        test=$WORK/corpus/1/pairs-test.jsonl ;;
    *)
        pool=$data/pool-$group.jsonl holdout=$data/holdout.jsonl
        test=$WORK/corpus/1/test.jsonl ;;
    esac
    set -- --holdout "$holdout"
    case $arm in
    uniform | oracle) set -- "$@" --weights "$arm" ;;
    random-subset)
        set -- "$@" --weights random --weight-map top --share "$(kept "$group" "$seed")" ;;
    holdout-only) pool=$holdout && set -- --weights uniform ;;
    *) set -- "$@" --weights "${arm%%:*}" --weight-map "${arm#*:}" ;;
    esac
    mkdir -p "$run"
    # shellcheck disable=SC2086
    ./ica train --model "$WORK/base" --pool "$pool" "$@" --eval "$test" --out "$run" \
        --group "$group" --arm "$arm" --seed "$seed" --eval-steps 20 $tune --overwrite \
        --save-only-model \
        >"$run/result" 2>"$run/stderr" || {
        say "$run failed: $(tail -n 1 "$run/stderr")"
        return 1
    }
    # A hundred models would be most of out/. Those of even50 and the first seed are there to try.
    [ "$group/$seed" = "even50/${SEEDS%% *}" ] || rm "$run/model.safetensors"
    : >"$run/done"
}

SFT_ARMS="uniform oracle holdout-only random-subset random:minmax-batch
ica:minmax ica:minmax-batch ica:filter ica:positive ica:top ica:accept
rho:minmax-batch rho:top oneshot:minmax-batch"
PAIR_ARMS="uniform oracle ica:minmax ica:minmax-batch ica:top rho:minmax random:minmax"
SLOW="gradient incontext nuggets" # one seed and draw of these rivals; all of them in the full size

score_list() {
    for d in $DRAWS; do for m in ica rho oneshot loss random; do echo "$m $d"; done; done
    slow_draws=1
    [ "$MODE" != full ] || slow_draws=$DRAWS
    for d in $slow_draws; do for m in $SLOW; do echo "$m $d"; done; done
}

train_list() { # GROUP
    case $1 in dpo | simpo) arms=$PAIR_ARMS ;; *) arms=$SFT_ARMS ;; esac
    for seed in $SEEDS; do for arm in $arms; do echo "$1 $arm $seed"; done; done
    slow_seeds=${SEEDS%% *}
    [ "$MODE" != full ] || slow_seeds=$SEEDS
    [ "$1" = even50 ] || return 0
    for seed in $slow_seeds; do for m in $SLOW; do echo "$1 $m:minmax-batch $seed"; done; done
}

score_all() {
    score_list >"$WORK/log/score.list"
    jobs_of score_one "$WORK/log/score.list"
}

train_all() { # GROUP
    train_list "$1" >"$WORK/log/$1.list"
    jobs_of train_one "$WORK/log/$1.list"
}

# The seconds that a stage took, over all sets of seeds that were run.
seconds_of() {
    sum=0
    for stamp in "$WORK/done/$1"*; do [ ! -f "$stamp" ] || sum=$((sum + $(cat "$stamp"))); done
    echo $sum
}

report() {
    {
        printf '{"total":%s,"corpus":%s,' "$(seconds_of '')" "$(seconds_of corpus)"
        printf '"tokenizer":%s,"pretrain":%s,' "$(seconds_of tokenizer)" "$(seconds_of pretrain)"
        printf '"score":%s,' "$(seconds_of score)"
        printf '"sft":%s,' "$(($(seconds_of even50) + $(seconds_of verbose60)))"
        printf '"dpo":%s,"simpo":%s}\n' "$(seconds_of dpo)" "$(seconds_of simpo)"
    } >"$WORK/seconds.json"
    set -- "$WORK/seconds.json" "$WORK/base"
    for k in 0 1 2 3; do set -- "$@" "$WORK/eval/k$k.json"; done
    score_list >"$WORK/log/score.list"
    while read -r m d; do set -- "$@" "$WORK/score/$m-$d.json"; done <"$WORK/log/score.list"
    for group in even50 verbose60 dpo simpo; do
        train_list $group >"$WORK/log/$group.list"
        while read -r _ arm seed; do
            set -- "$@" "$WORK/runs/$group/$arm/$seed"
        done <"$WORK/log/$group.list"
    done
    ./ica report "$@" --model "$WORK/base" --out "$OUT/report.html" --results "$OUT/results.json"
    cp "$OUT/report.html" "$OUT/results.json" "$WORK/" # another mode replaces those in OUT
}

say "== building"
make -s ica
seeds=$(printf '%s' "$SEEDS" | tr ' ' '-')
stage corpus-$seeds "corpus" make_corpus
stage tokenizer "tokenizer" tokenizer
stage pretrain "pretraining" pretrain
[ "$UPTO" != base ] || exit 0
stage eval "answers with 0 to 3 demonstrations" in_context
stage score "scoring the pool, draws $DRAWS" score_all
for group in even50 verbose60 dpo simpo; do
    stage "$group-$seeds" "fine-tuning on $group, seeds $SEEDS" train_all $group
done
report
say "report: $OUT/report.html  figures: $OUT/results.json"
