#!/bin/sh
# Nothing that a run did not write is replaced or removed; one process writes into a folder; a
# resumed run is the run that began.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

"$ICA" corpus --out corpus 2>"$keep/err" || fail "corpus"
head -n 60 corpus/pretrain.jsonl >sessions.jsonl
head -n 24 corpus/pool-even50.jsonl >pool.jsonl
head -n 8 corpus/holdout.jsonl >hold.jsonl
head -n 8 corpus/test.jsonl >test.jsonl
rm -r corpus
works "tokenizer" tokenizer --data sessions.jsonl --vocab-size 300 --out tok
SHAPE="--layers 1 --heads 2 --channels 16 --context 128 --batch-tokens 512"
# shellcheck disable=SC2086
works "pretrain" pretrain --data sessions.jsonl --tokenizer tok $SHAPE --max-steps 4 --out base
T="train --model base --pool pool.jsonl --holdout hold.jsonl --batch-size 4 --max-steps 6"
# transformers puts Qwen2's split in place of the folder's own: docs/cluster.md
for family in llama qwen2 qwen3; do
    # shellcheck disable=SC2086
    works "family $family" pretrain --data sessions.jsonl --tokenizer tok $SHAPE --max-steps 1 \
        --family $family --out family
    is "a word on the split of $family" "$(grep -c '^tok: .*AutoTokenizer' "$keep/err")" \
        "$([ $family = qwen2 ] && echo 1 || echo 0)"
    rm -r family
done

# ---- what lies in the folder ----

# shellcheck disable=SC2086
{
    works "a run" $T --weights ica --eval test.jsonl --out R
    refuse 2 '^ica: R: holds a run: .*--resume R.*--overwrite' $T --out R
    cp -R R before
    works "--overwrite" $T --weights uniform --seed 2 --out R --overwrite
    check "the new model is there" sh -c '! cmp -s before/model.safetensors R/model.safetensors'
    check "scores of the old run are gone" test ! -e R/scores.jsonl -a ! -e R/metrics.json
    check "nothing is left of the change" test ! -e R/next -a ! -e R/ready -a ! -e R/run.lock
    works "the replaced run is complete" train --resume R
    works "the same run elsewhere" $T --weights uniform --seed 2 --out fresh
    check "a run that replaces one has the same bits" cmp fresh/model.safetensors \
        R/model.safetensors
    # A new run that fails before its first state leaves the old one whole.
    cp -R R before-failure
    ica $T --out R --overwrite --learning-rate 10 --weight-decay 10 --max-steps 200 \
        --max-grad-norm 0 --adam-beta2 0
    check "it diverged" test $? -eq 5
    check "the old run is whole" diff -r before-failure R
    # The user's own files
    mkdir own
    for file in scores.jsonl metrics.json log.jsonl config.json; do
        echo '{"mine":1}' >own/$file
        refuse 2 "own/$file: no run wrote" $T --out own
        refuse 2 "own/$file: no run wrote" $T --out own --overwrite
        rm own/$file
    done
    echo mine >R/scores.jsonl
    refuse 2 'R/scores.jsonl: no run wrote' $T --out R --overwrite
    rm R/scores.jsonl
    echo mine >R/notes.txt
    works "other files stay" $T --out R --overwrite
    check "they are as they were" grep -qx mine R/notes.txt
    cp hold.jsonl log.jsonl
    refuse 2 '\./log.jsonl: no run wrote' $T --out .
    rm log.jsonl
}

# ---- a model of another program ----

tail -c +3 "$root/tests/fuzz/corpus/llama2c/zero" | head -c 516 >other.bin
works "import" import --model other.bin --out imported
works "an imported model" inspect imported/model.safetensors
refuse 2 'imported/config.json: exists, and would be lost' import --model other.bin --out imported
refuse 3 'base/config.json: .*llama2.c' import --model base/config.json --out never
refuse 2 'would overwrite --model' import --model imported/config.json --out imported
check "nothing is left of it" test ! -e never
rm -r imported other.bin

# ---- inputs and outputs ----

works "scores" score --model base --pool pool.jsonl --holdout hold.jsonl --out kept.jsonl
works "scores again" score --model base --pool pool.jsonl --holdout hold.jsonl --out kept.jsonl
mkdir W
cp kept.jsonl W/scores.jsonl
refuse 2 'overwrite --weights W/scores.jsonl' train --model base --pool pool.jsonl \
    --weights file:W/scores.jsonl --out W
ln pool.jsonl W/metrics.json && rm W/scores.jsonl
refuse 2 'overwrite --pool pool.jsonl' train --model base --pool pool.jsonl --out W
rm W/metrics.json
ln -s ../pool.jsonl W/log.jsonl
refuse 2 'overwrite --pool .*pool.jsonl' train --model base --pool .//pool.jsonl --out ./W
rm -r W
ln -s base link
for out in base ./base base/ link; do
    refuse 2 'overwrite --model' train --model base --pool pool.jsonl --out $out --overwrite
done
ln hold.jsonl hard.jsonl
S="score --model base --pool pool.jsonl --holdout hold.jsonl"
for out in base/config.json link//model.safetensors hard.jsonl ./pool.jsonl base/run.json; do
    # shellcheck disable=SC2086
    refuse 2 'overwrite --' $S --out $out
done
echo 'dear diary' >diary.txt
# shellcheck disable=SC2086
refuse 2 'diary.txt is another kind' $S --out diary.txt
refuse 2 'diary.txt is another kind' eval --model base --data test.jsonl --per-example diary.txt
refuse 2 'overwrite --model' eval --model base --data test.jsonl --per-example base/merges.txt
refuse 2 'R/run.json would overwrite' report R --out R/run.json
refuse 2 'R/run.json would overwrite' report R --out page.html --results R/run.json
refuse 2 'diary.txt is another kind' report R --out diary.txt
refuse 2 'overwrite --data' tokenizer --data tok/merges.txt --out tok
# What another tokenizer left, and cannot be removed: a folder
mkdir -p held/tokenizer.json
ica tokenizer --data sessions.jsonl --vocab-size 300 --out held
is "a tokenizer beside another's file" "$status" 4
says "the file is named" 'held/tokenizer.json: belongs to another tokenizer'
rm -r held
refuse 2 'overwrite --model' train --model base --pool pool.jsonl --out new \
    --dump-state base/model.safetensors
# Files in the user's folders that no command of this name wrote
mkdir data
for file in pretrain.jsonl test.jsonl pool-noise.jsonl; do
    for text in 'dear diary' '{"id":"mine-0001","prompt":"a","completion":"b"}' \
        '{"messages":[{"role":"user","content":"a"}]}'; do
        echo "$text" >data/$file
        refuse 2 "data/$file is another kind" corpus --noise typo --out data
    done
    rm data/$file
done
works "a corpus" corpus --noise typo --out data
works "a corpus over an earlier one" corpus --noise typo --out data --draw 2
cp pool.jsonl own.jsonl
# shellcheck disable=SC2086
{
    refuse 2 'own.jsonl is another kind' $S --out own.jsonl
    cp pool.jsonl kept2.jsonl.holdout.jsonl
    refuse 2 'kept2.jsonl.holdout.jsonl is another kind' $S --weight-map accept --out kept2.jsonl
    rm kept2.jsonl.holdout.jsonl
    works "scores with the holdout's own" $S --weight-map accept --out kept2.jsonl
    works "and again" $S --weight-map accept --out kept2.jsonl
}
refuse 2 'kept.jsonl is another kind' eval --model base --data test.jsonl --per-example kept.jsonl
works "each example" eval --model base --data test.jsonl --per-example each.jsonl
works "each example again" eval --model base --data test.jsonl --per-example each.jsonl
cp R/run.json run.json.copy
refuse 2 'run.json.copy is another kind' report R --out page.html --results run.json.copy
works "a report" report R --out page.html --results results.json
works "a report over an earlier one" report R --out page.html --results results.json
SELECT="select --pool pool.jsonl --scores kept.jsonl"
# shellcheck disable=SC2086
{
    refuse 2 'own.jsonl exists: --overwrite' $SELECT --out own.jsonl
    refuse 2 'diary.txt is another kind' $SELECT --out diary.txt --overwrite
    works "a selection" $SELECT --out chosen.jsonl
    refuse 2 'chosen.jsonl exists: --overwrite' $SELECT --share 0.5 --out chosen.jsonl
    works "another one in its place" $SELECT --share 0.5 --out chosen.jsonl --overwrite
}
K="tokenizer --data sessions.jsonl --vocab-size 300"
mkdir words
# shellcheck disable=SC2086
{
    for file in vocab.json merges.txt tokenizer_config.json template.json; do
        case $file in
        merges.txt) echo '#version: 0.2' ;;
        *) echo '{"!": 0}' ;;
        esac >words/$file
        refuse 2 "words/$file is another kind" $K --out words
        rm words/$file
    done
    refuse 2 '--out base holds a model' $K --out base
    works "a tokenizer over an earlier one" $K --out tok
    refuse 2 'diary.txt is another kind' $T --out new --dump-state diary.txt
    cp base/model.safetensors again.safetensors
    refuse 2 'again.safetensors is another kind' $T --out new --dump-state again.safetensors
    works "a dump" $T --out new --dump-state dump.safetensors
    works "a dump over an earlier one" $T --out new --overwrite --dump-state dump.safetensors
}

# ---- one process at a time ----

# slow PID: a run in the folder `live` has begun to log
begin() {
    rm -rf live
    # shellcheck disable=SC2086
    "$ICA" $T --max-steps 100000 --logging-steps 1 --out live >"$keep/live" 2>&1 </dev/null &
    pid=$!
    while kill -0 $pid 2>/dev/null && ! [ -s live/log.jsonl ]; do :; done
}
begin
ica train --resume live
check "a second resume has status 4" test $? -eq 4
says "a second resume" "run.lock: process $pid writes here"
# shellcheck disable=SC2086
ica $T --out live --overwrite
check "so has a second run" test $? -eq 4
kill -USR1 $pid
tries=0
while ! grep -q '^saved after step' "$keep/live" && kill -0 $pid && [ $tries -lt 2400 ]; do
    sleep 0.05 2>/dev/null || sleep 1
    tries=$((tries + 1))
done
check "SIGUSR1 saves" test -s live/training_state.safetensors
check "and the run goes on" kill -0 $pid
kill -"${hang_up%:*}" $pid
wait $pid
is "SIGHUP ends it" $? "${hang_up#*:}"
check "after saving" grep -q 'saved; continue with' "$keep/live"
begin
kill -KILL $pid
wait $pid 2>/dev/null
works "a lock dies with its process" train --resume live --max-steps 5
mkfifo pipe
"$ICA" train --model base --pool pipe --out waiting >"$keep/live" 2>&1 </dev/null &
pid=$!
exec 3>pipe # waits until the program opens the other end
kill -TERM $pid
wait $pid
check "SIGTERM while a pipe is read: 143" test $? -eq 143
exec 3>&-

# ---- resume ----

# begun: a run of 6 steps that was stopped after 3: its state is kept, its result is not
# shellcheck disable=SC2086
{
    works "a run" $T --weights ica --eval test.jsonl --save-steps 3 --logging-steps 1 --out B
    cp B/training_state.previous.safetensors B/training_state.safetensors
    sed 's/^"result":.*/"result":{}}/' B/run.json >"$keep/run.json"
    cp "$keep/run.json" B/run.json
}
while read -r option value; do
    refuse 3 "--$option was .* and is $value: .*--force-resume" train --resume B "--$option" $value
done <<'X'
learning-rate 0.002
batch-size 5
micro-batch-size 2
seed 7
max-steps 8
refresh 2
k 2
weights random
weight-map rank
normalize none
weight-decay 0.1
max-grad-norm 2
warmup-ratio 0.2
lr-scheduler-type linear
demos random
reduce sum
adam-beta2 0.9
X
sed '1s/"completion":"/&x/' hold.jsonl >other.jsonl
for input in pool holdout eval; do
    refuse 3 "--$input was content [0-9a-f]* and is content" train --resume B --$input other.jsonl \
        --allow-overlap
done
cp -R base other
printf ' ' >>other/config.json
refuse 3 '--model was content' train --resume B --model other
# A base in shards: the index names files, and their bytes count too.
cp -R base shards
mv shards/model.safetensors shards/model-00001-of-00001.safetensors
{
    echo '{"weight_map": {'
    "$ICA" inspect base/model.safetensors | sed -n '/^h[.]\|^w[tp]e\|^ln_f/s/ .*//p' |
        sed 's/.*/"&": "model-00001-of-00001.safetensors",/; $s/,$//'
    echo '}}'
} >shards/model.safetensors.index.json
# shellcheck disable=SC2086
works "a base in shards" $T --model shards --save-steps 3 --out S
cp S/training_state.previous.safetensors S/training_state.safetensors
sed 's/^"result":.*/"result":{}}/' S/run.json >"$keep/run.json"
cp "$keep/run.json" S/run.json
cp S/model.safetensors shards/model-00001-of-00001.safetensors
refuse 3 '--model was content' train --resume S
cp B/template.json "$keep/template.json"
sed 's/"answer_prefix": *"/&<q>/' "$keep/template.json" >B/template.json
refuse 3 'vocabulary or template was content' train --resume B
cp "$keep/template.json" B/template.json
cp -R B C
head -n 1 B/log.jsonl >C/log.jsonl
works "what bits do not depend on may change" train --resume C --threads 2 --logging-steps 1 \
    --recompute --save-steps 1 --arm other
says "a log that was cut" 'C/log.jsonl: has [0-9]* of the [0-9]* bytes'
works "--resume" train --resume B
check "and the bits are the same" cmp B/model.safetensors C/model.safetensors
works "--force-resume" train --resume B --force-resume --max-steps 7 --learning-rate 0.002
says "--force-resume" '--learning-rate was .* and is 0.002'
works "pretraining that saves" pretrain --model base --data sessions.jsonl --max-steps 3 \
    --batch-tokens 512 --out P
refuse 3 '--data was content' pretrain --resume P --data pool.jsonl
# A damaged run.json of a finished run: nothing is done again, and the line says what to do.
cp R/run.json "$keep/run.json"
for damage in 's/^"result":.*//' 's/^"result":{/"result":0,"x":{/' 's/"result"/"resulT"/' \
    's/^"arguments":.*//' 's/"command":"train"/"command":7/'; do
    sed "$damage" "$keep/run.json" >R/run.json
    refuse 3 'R/run.json: damaged.*put a copy of it back, or begin' train --resume R
done
: >R/run.json
refuse 3 'R/run.json: damaged' train --resume R
cp "$keep/run.json" R/run.json
works "a whole run.json again" train --resume R
says "a whole run.json" 'the run is complete'
# What a run.json from elsewhere names is not written.
echo precious >precious
cp R/run.json "$keep/run.json"
for given in '"--dump-state","precious"' '"--dump_state=precious"' '"--out","precious"' \
    '"--dump-state\u0000x","precious"'; do
    sed "s/\"arguments\":\[/&$given,/" "$keep/run.json" >R/run.json
    rm -f R/training_state*
    sed 's/^"result":.*/"result":{}}/' R/run.json >"$keep/edited"
    cp "$keep/edited" R/run.json
    ica train --resume R
    check "$given is not replayed" grep -qx precious precious
done

finish folders
