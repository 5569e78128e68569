#!/bin/sh
# Signals, and a disk that fills up while a run trains. A second SIGINT and a SIGQUIT end a run at
# once: the last state on the disk stays, no temporary does, and the resumed run ends with the model
# of one that was left alone. A save that does not fit on the disk is status 4 and one line; when
# there is room again the run goes on from the state before. `ica score` keeps what is in OUT.part.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
export ICA_SETTLED=1 # it would start itself twice, and the process that a signal finds is the first
cd "$work" || exit 1
sleep 0.01 2>/dev/null || {
    finish signals
    exit
}

ica corpus --out corpus --seed 1 || fail "corpus"
head -n 60 corpus/pretrain.jsonl >sessions.jsonl
head -n 40 corpus/pool-even50.jsonl >pool.jsonl
cp corpus/pool-even50.jsonl large.jsonl
head -n 10 corpus/holdout.jsonl >hold.jsonl
rm -r corpus
ica tokenizer --data sessions.jsonl --vocab-size 300 --out tok || fail "tokenizer"
ica pretrain --data sessions.jsonl --tokenizer tok --layers 3 --heads 2 --channels 64 \
    --context 128 --batch-tokens 512 --max-steps 5 --out base || fail "pretrain"

# until SECONDS COMMAND: waits until it succeeds
until_true() {
    tries=$(($1 * 50))
    shift
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.02
    done
}

# start ARGUMENTS: in the background, as $pid
start() {
    "$ICA" "$@" >"$keep/out" 2>"$keep/err" </dev/null &
    pid=$!
}

# A step of 800 records takes a good part of a second, so both signals come within one step.
LONG="train --model base --pool large.jsonl --batch-size 800 --max-steps 4 --save-steps 1
    --logging-steps 1 --learning-rate 1e-3"
# shellcheck disable=SC2086
works "a run that is left alone" $LONG --out whole

# ended WHAT STATUS: by that signal, with a state and without temporaries; then it is resumed
ended() {
    wait $pid 2>/dev/null
    is "$1: status" $? "$2"
    [ -f run/training_state.safetensors ] || fail "$1: no state is left"
    is "$1: temporaries" "$(find run -name '*.part')" ""
    if grep -q 'saved; continue' "$keep/err"; then fail "$1: it saved"; else pass; fi
    works "$1: resumed" train --resume run
    same "$1: the model" whole/model.safetensors run/model.safetensors
    rm -rf run
}
# shellcheck disable=SC2086
{
    start $LONG --out run
    until_true 60 test -f run/training_state.safetensors || fail "no state in a minute"
    kill -QUIT $pid
    ended SIGQUIT 131
    start $LONG --out run
    until_true 60 test -f run/training_state.safetensors || fail "no state in a minute"
    kill -INT $pid
    sleep 0.02
    kill -INT $pid 2>/dev/null
    ended "a second SIGINT" 130
    start $LONG --out run
    until_true 60 test -f run/training_state.safetensors || fail "no state in a minute"
    kill -TERM $pid
    wait $pid
    is "SIGTERM: status" $? 143
    says "SIGTERM" 'saved; continue with: ica train --resume run'
    works "SIGTERM: resumed" train --resume run
    same "SIGTERM: the model" whole/model.safetensors run/model.safetensors
    rm -rf run
}

# score ends at once, and what it has stays for --resume.
SCORE="score --model base --pool pool.jsonl --holdout hold.jsonl"
# shellcheck disable=SC2086
{
    works "scores" $SCORE --out whole.jsonl
    for signal in INT:130 TERM:143 QUIT:131 HUP:129; do
        start $SCORE --out s.jsonl --chunk 1 --method gradient
        until_true 60 test -s s.jsonl.part || fail "no part file in a minute"
        # A job in the background does not hear SIGINT unless it asks for it.
        [ $signal = INT:130 ] && signal=TERM:143
        kill -"${signal%:*}" $pid
        wait $pid 2>/dev/null
        got=$?
        if [ $got -eq 0 ]; then
            rm -f s.jsonl
            continue
        fi
        is "score, $signal" $got "${signal#*:}"
        works "score, $signal: resumed" $SCORE --out s.jsonl --method gradient --resume
        is "score, $signal: what is left" "$(find . -name 's.jsonl.*')" ""
        rm -f s.jsonl
    done
}

# A disk that fills up while the run trains.
mkdir disk
if mount -t tmpfs -o size=16m none disk 2>/dev/null; then
    # shellcheck disable=SC2086
    start $LONG --out disk/run
    until_true 60 test -f disk/run/training_state.safetensors || fail "no state in a minute"
    dd if=/dev/zero of=disk/filler bs=65536 >/dev/null 2>&1
    wait $pid
    is "a full disk: status" $? 4
    is "a full disk: lines" "$(grep -c '^ica: ' "$keep/err")" 1
    is "a full disk: temporaries" "$(find disk -name '*.part')" ""
    rm disk/filler
    works "a full disk: resumed" train --resume disk/run
    same "a full disk: the model" whole/model.safetensors disk/run/model.safetensors
    umount disk
else echo "skipped: a disk that fills up (mount is not allowed)"; fi
finish signals
