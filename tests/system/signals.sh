#!/bin/sh
# Settings of libraries, signals, and a disk that fills up while a run trains. A second SIGINT and a
# SIGQUIT end a run at once: the last state on the disk stays, no temporary does, and the resumed
# run ends with the model of one that was left alone. A save that does not fit on the disk is status
# 4 and one line; when there is room again the run goes on from the state before. `ica score` keeps
# what is in OUT.part.
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

# until_true COMMAND: waits until it succeeds, or $pid is over, two minutes at most
until_true() {
    tries=6000
    while ! "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] && kill -0 $pid 2>/dev/null || return 1
        sleep 0.02
    done
}

# start ARGUMENTS: in the background, as $pid
start() {
    "$ICA" "$@" >"$keep/out" 2>"$keep/err" </dev/null &
    pid=$!
}

# What the program asks of its libraries as it starts itself once more: its own settings, and before
# them the user's. /proc shows the environment that a process began with, so the second start's.
settings() { # NAME=VALUE...
    rm -f input
    mkfifo input
    (
        unset ICA_SETTLED GOMP_SPINCOUNT OMP_WAIT_POLICY GLIBC_TUNABLES
        exec env "$@" "$ICA" encode --tokenizer tok <input >"$keep/out" 2>"$keep/err"
    ) &
    pid=$!
    exec 3>input
    until_true grep -q ICA_SETTLED=1 /proc/$pid/environ || fail "no second start"
    tr '\0' '\n' </proc/$pid/environ |
        grep -E '^(GOMP_SPINCOUNT|OMP_WAIT_POLICY|GLIBC_TUNABLES)=' | sort | paste -s -d ' ' -
    exec 3>&-
    wait $pid
}
ica encode --tokenizer tok --threads 2
if [ -r /proc/self/environ ] && ! grep -q 'no OpenMP' "$keep/err"; then
    is "settings" "$(settings MINE=1)" \
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=1 GOMP_SPINCOUNT=10000 OMP_WAIT_POLICY=passive"
    mine="GLIBC_TUNABLES=glibc.malloc.check=0 GOMP_SPINCOUNT=7 OMP_WAIT_POLICY=active"
    # shellcheck disable=SC2086
    is "the user's settings" "$(settings $mine)" "$mine"
else echo "skipped: settings of libraries (no OpenMP, or no /proc)"; fi

LONG="train --model base --pool large.jsonl --batch-size 200 --max-steps 16 --save-steps 1
    --logging-steps 1 --learning-rate 1e-3"
# shellcheck disable=SC2086
works "a run that is left alone" $LONG --out whole

# signalled SIGNAL...: a run that has a state and gets these signals at once; its status is in $got.
# It sees them together, because it is stopped while they are sent. On a busy machine it may be over
# before (status 0): then once more.
signalled() {
    got=0 attempts=0
    while [ $got -eq 0 ] && [ $attempts -lt 20 ]; do
        attempts=$((attempts + 1))
        rm -rf run
        # shellcheck disable=SC2086
        start $LONG --out run
        until_true test -f run/training_state.safetensors || fail "no state"
        kill -STOP $pid
        for signal in "$@"; do kill -"$signal" $pid; done
        kill -CONT $pid
        wait $pid 2>/dev/null
        got=$?
    done
}

# ended WHAT STATUS: by that signal, with a state and without temporaries; then it is resumed
ended() {
    is "$1: status" $got "$2"
    [ -f run/training_state.safetensors ] || fail "$1: no state is left"
    is "$1: temporaries" "$(find run -name '*.part')" ""
    if grep -q 'saved; continue' "$keep/err"; then fail "$1: it saved"; else pass; fi
    works "$1: resumed" train --resume run
    same "$1: the model" whole/model.safetensors run/model.safetensors
    rm -rf run
}
signalled QUIT
ended SIGQUIT 131
# The one that is handled second decides about the status, and which that is the system does.
signalled INT TERM
[ $got -ne 143 ] || got=130
ended "a second signal" 130
signalled TERM
is "SIGTERM: status" $got 143
says "SIGTERM" 'saved; continue with: ica train --resume run'
works "SIGTERM: resumed" train --resume run
same "SIGTERM: the model" whole/model.safetensors run/model.safetensors
rm -rf run

# score ends at once, and what it has stays for --resume.
SCORE="score --model base --pool pool.jsonl --holdout hold.jsonl"
# shellcheck disable=SC2086
{
    works "scores" $SCORE --out whole.jsonl
    for signal in INT:130 TERM:143 QUIT:131 "$hang_up"; do
        start $SCORE --out s.jsonl --chunk 1 --method gradient
        until_true test -s s.jsonl.part || fail "no part file"
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

# A disk that fills up while the run trains: it is stopped until the disk is full.
mkdir disk
if mount -t tmpfs -o size=16m none disk 2>/dev/null; then
    got=0 attempts=0
    while [ $got -eq 0 ] && [ $attempts -lt 20 ]; do # as in signalled
        attempts=$((attempts + 1))
        rm -rf disk/run disk/filler
        # shellcheck disable=SC2086
        start $LONG --out disk/run
        until_true test -f disk/run/training_state.safetensors ||
            fail "no state"
        kill -STOP $pid
        dd if=/dev/zero of=disk/filler bs=65536 >/dev/null 2>&1
        kill -CONT $pid
        wait $pid
        got=$?
    done
    is "a full disk: status" $got 4
    is "a full disk: lines" "$(grep -c '^ica: ' "$keep/err")" 1
    is "a full disk: temporaries" "$(find disk -name '*.part')" ""
    rm disk/filler
    works "a full disk: resumed" train --resume disk/run
    same "a full disk: the model" whole/model.safetensors disk/run/model.safetensors
    umount disk
else echo "skipped: a disk that fills up (mount is not allowed)"; fi
finish signals
