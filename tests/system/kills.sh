#!/bin/sh
# A run that is killed at any instant (SIGKILL: nothing can be finished or tidied up) and resumed,
# again and again, ends with the same bits as one that was left alone: model, optimizer, scores,
# log, evaluation and result. From the environment: KILLS, how many (30; `make kills`: 1000); SEED
# of the instants (1); KINDS, of the runs below.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
KILLS=${KILLS:-30}
SEED=${SEED:-1}
sleep 0.01 2>/dev/null || { # whole seconds are too coarse to hit a small run
    finish kills
    exit
}
kills=0 begun_again=0
cd "$work" || exit 1

ica corpus --out corpus --seed 1 || fail "corpus"
head -n 100 corpus/pretrain.jsonl >sessions.jsonl
head -n 40 corpus/pool-even50.jsonl >pool.jsonl
head -n 10 corpus/holdout.jsonl >hold.jsonl
head -n 10 corpus/test.jsonl >test.jsonl
head -n 24 corpus/pairs-pool.jsonl >pairs.jsonl
head -n 8 corpus/pairs-holdout.jsonl >pairs-hold.jsonl
head -n 8 corpus/pairs-test.jsonl >pairs-test.jsonl
rm -r corpus
SHAPE="--layers 2 --heads 4 --channels 32 --context 128 --batch-tokens 512"
ica tokenizer --data sessions.jsonl --vocab-size 300 --out tok || fail "tokenizer"
# shellcheck disable=SC2086
ica pretrain --data sessions.jsonl --tokenizer tok $SHAPE --max-steps 20 --out base ||
    fail "pretrain"

# Saves after every step, so that many instants lie inside one; log lines that no save falls on.
OFTEN="--max-steps 14 --save-steps 1 --logging-steps 5"
TUNE="--model base --batch-size 8 --learning-rate 1e-3 --eval-steps 10 $OFTEN"
TRUST="--holdout hold.jsonl --eval test.jsonl"
# A map over the whole pool and batches of two leave some batches with weights of 0 alone. Their
# steps are skipped and counted.
SMALL="--batch-size 2"
KINDS=${KINDS:-"0 1 2 3 4 5 6 7 8 9 10 11"}
of_kind() {
    case $1 in
    0) echo "train $TUNE --pool pool.jsonl $TRUST --weights rho --reference-steps 5 --refresh 3" ;;
    1) echo "train $TUNE --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl" \
        "--eval pairs-test.jsonl --weights ica --refresh 2" ;;
    2) echo "pretrain --data sessions.jsonl --tokenizer tok $SHAPE $TRUST --eval-steps 10 $OFTEN" ;;
    3) echo "train $TUNE --pool pool.jsonl $TRUST --weights ica --refresh 2 $SMALL" \
        "--weight-map top --share 0.3" ;;
    4) echo "train $TUNE --objective simpo --pool pairs.jsonl --holdout pairs-hold.jsonl" \
        "--eval pairs-test.jsonl --weights ica --weight-map filter $SMALL --micro-batch-size 1" ;;
    # The model is that of the best evaluation, and the patience ends before the steps do.
    5) echo "train $TUNE --pool pool.jsonl --eval test.jsonl --eval-share .2 --eval-steps 2" \
        "--load-best-model-at-end --patience 3 --learning-rate 0.02 --max-steps 40" ;;
    # The same, with states at new bests alone, and none in the end.
    6) echo "train $TUNE --pool pool.jsonl --eval test.jsonl --eval-share .2 --eval-steps 1" \
        "--load-best-model-at-end --save-only-model --save-total-limit 1 --save-steps 0" \
        "--learning-rate 4e-3 --max-steps 30" ;;
    # Adapters, and those of RHO's reference.
    7) echo "train $TUNE --pool pool.jsonl $TRUST --weights rho --reference-steps 5 --refresh 3" \
        "--lora-rank 3 --learning-rate 1e-2" ;;
    # References of folds, of which the state keeps what they said.
    8) echo "train $TUNE --pool pool.jsonl $TRUST --weights rho --reference-steps 5 --refresh 3" \
        "--weight-map accept" ;;
    # What a refresh must know of the one before: records of the holdout that it left out.
    9) echo "train $TUNE --pool pool.jsonl $TRUST --weights ica --refresh 3 --weight-map accept" \
        "--holdout-trim .3 --report-to tensorboard" ;;
    # The state does not say which pairs are swapped: the scores do.
    10) echo "train $TUNE --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl" \
        "--eval pairs-test.jsonl --weights ica --refresh 2 --weight-map mirror --relabel" ;;
    # The model that embeds is another one at each refresh.
    11) echo "train $TUNE --pool pool.jsonl $TRUST --weights ica --refresh 3 --embedding hidden" ;;
    esac
}

# What a run leaves, without what depends on the clock or on the memory of a process, and without
# what it cost: a resumed run pays for RHO's reference log-likelihoods once more.
essence() {
    sed 's/"tokens_per_second":[^,]*,"seconds":[^,}]*//' "$1/log.jsonl"
    sed -n 's/^"result"://p' "$1/run.json" | sed \
        's/"activation_bytes":[0-9]*//;s/"\(overhead\|relative_cost\)[a-z_]*":[^,}]*//g'
    [ ! -f "$1/metrics.json" ] || cat "$1/metrics.json"
    [ ! -f "$1/scores.jsonl" ] || cat "$1/scores.jsonl"
    [ ! -f "$1/scores.jsonl.holdout.jsonl" ] || cat "$1/scores.jsonl.holdout.jsonl"
}

now() { date +%s%N 2>/dev/null; }
# took KIND FROM: a whole run of that kind began then and ends now; the least that one took is kept,
# as a moment of load would move most instants behind its end. Where the clock is too coarse: a
# second.
took() {
    awk -v a="$2" -v b="$(now)" -v least="$(cat "took-$1" 2>/dev/null)" 'BEGIN { t = (b - a) / 1e9
        if (!(t > 0.05 && t < 60)) t = 1
        print(least != "" && least + 0 < t ? least : t) }' >took
    mv took "took-$1"
}

for kind in $KINDS; do
    from=$(now)
    # shellcheck disable=SC2046
    ica $(of_kind $kind) --out whole-$kind ||
        fail "the run of kind $kind without a break"
    took $kind "$from"
    essence whole-$kind >whole-$kind.essence
    [ "$(wc -l <whole-$kind.essence)" -ge 4 ] || fail "kind $kind: nothing to compare"
    [ $kind -lt 5 ] || [ $kind -gt 6 ] || grep -q '"best_step":[1-9]' whole-$kind.essence ||
        fail "kind $kind: no best step"
    [ $kind -ne 5 ] || grep -q '"stopped_early":true' whole-$kind.essence ||
        fail "kind $kind: its patience does not end"
    [ $kind -lt 3 ] || [ $kind -gt 4 ] || grep -q '"skipped_steps":[1-9]' whole-$kind.essence ||
        fail "kind $kind: no step was skipped"
done

# compare KIND: the run that was killed with the one that was not
compare() {
    essence run >mine.essence
    weights=$(cd "whole-$1" && ls ./*model.safetensors)
    if ! cmp -s "whole-$1/$weights" "run/$weights"
    then fail "kind $1: another model (kills so far: $kills)"
    elif [ "$1" -eq 6 ] && ls run | grep -q '^training_state\|^best'
    then fail "kind $1: a finished run has a training state"
    elif [ "$1" -ne 6 ] &&
        ! ica diff "whole-$1/training_state.safetensors" run/training_state.safetensors
    then fail "kind $1: another training state (kills so far: $kills)"
    elif ! cmp -s "whole-$1.essence" mine.essence; then fail \
        "kind $1: $(diff "whole-$1.essence" mine.essence | head -n 4)"
    elif [ -n "$(find run -name '*.part')" ]; then fail "kind $1: a temporary file was left behind"
    else pass; fi
}

# Each round: a run, killed and resumed until it ends. The instants: 0 to what the whole run takes,
# and later after each 20 kills, should the machine have become slower than that.
round=0
while [ "$kills" -lt "$KILLS" ] && [ "$failed" -eq 0 ]; do
    kind=$(echo "$KINDS" | cut -d ' ' -f $((round % $(echo "$KINDS" | wc -w) + 1))) attempts=0
    rm -rf run
    while :; do
        command="$(of_kind $kind) --out run"
        if [ -f run/run.json ]; then command="${command%% *} --resume run"; fi
        attempts=$((attempts + 1)) from=$(now)
        # shellcheck disable=SC2086
        "$ICA" $command >"$keep/out" 2>"$keep/err" </dev/null &
        pid=$! killer=
        # beside the run: one that is over sooner than thought does not wait for its instant
        if [ "$kills" -lt "$KILLS" ]; then
            seed=$((SEED * 100003 + round * 1009 + attempts))
            instant=$(awk -v seed=$seed -v longer=$((1 + attempts / 20)) \
                '{ srand(seed); rand(); print rand() * $1 * longer }' took-$kind)
            { sleep "$instant" && kill -KILL $pid; } >kill.log 2>&1 &
            killer=$!
        fi
        wait $pid 2>/dev/null
        status=$?
        [ -z "$killer" ] || kill $killer 2>/dev/null
        case $status in
        0)
            [ $attempts -gt 1 ] || took $kind "$from"
            break ;;
        137) kills=$((kills + 1)) ;;
        *)
            fail "status $status from: ica $command"
            break ;;
        esac
        ! grep -q 'starts again' "$keep/err" || begun_again=$((begun_again + 1))
        if [ $attempts -gt 200 ]; then
            fail "kind $kind: no end after 200 kills"
            break
        fi
    done
    [ "$failed" -gt 0 ] || compare $kind
    round=$((round + 1))
done
echo "$kills kills in $round runs; $begun_again of them before the first save"
finish kills
