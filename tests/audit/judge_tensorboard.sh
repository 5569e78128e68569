#!/bin/sh
# What `make judge-tensorboard` runs: finds a Python that has tensorboard (without one: says so and
# ends well), lets the program train with --report-to tensorboard, also a run that is killed and
# resumed, and lets the real library read the event files. From the environment: PYTHON, the one to
# use. Else python3 and /usr/bin/python3 are tried.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python judge-tensorboard tensorboard 'import tensorboard'
judge_py=$root/tests/audit/judge_tensorboard.py
cd "$work" || exit 1

run "$ica" corpus --out corpus
head -n 300 corpus/pretrain.jsonl >sessions.jsonl
head -n 60 corpus/pool-even50.jsonl >pool.jsonl
head -n 20 corpus/holdout.jsonl >hold.jsonl
head -n 20 corpus/test.jsonl >test.jsonl
head -n 24 corpus/pairs-pool.jsonl >pairs.jsonl
head -n 8 corpus/pairs-test.jsonl >pairs-test.jsonl
run "$ica" tokenizer --data sessions.jsonl --vocab-size 300 --out tok
run "$ica" pretrain --data sessions.jsonl --tokenizer tok --layers 1 --heads 2 --channels 16 \
    --max-steps 40 --eval test.jsonl --holdout hold.jsonl --eval-steps 10 --logging-steps 5 \
    --report-to tensorboard --out base
TUNE="--model base --batch-size 8 --eval-steps 5 --logging-steps 2 --report-to tensorboard"
# shellcheck disable=SC2086
run "$ica" train $TUNE --pool pool.jsonl --eval test.jsonl --eval-share .2 --out whole \
    --sample-prompt "what is the capital of france ?"
# shellcheck disable=SC2086
run "$ica" train $TUNE --pool pairs.jsonl --objective dpo --eval pairs-test.jsonl --out pairs
# Killed in the middle, with half an event at the end of the file, and resumed.
# shellcheck disable=SC2086
"$ica" train $TUNE --pool pool.jsonl --eval test.jsonl --max-steps 4000 --save-steps 1 \
    --out broken >said 2>&1 &
pid=$!
while kill -0 $pid 2>/dev/null && ! [ -s broken/training_state.safetensors ]; do :; done
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
printf '\030\000\000\000' >>broken/events.out.tfevents.ica
run "$ica" train --resume broken --max-steps 30 --force-resume
"$python" "$judge_py" base whole pairs broken
