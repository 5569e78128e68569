#!/bin/sh
# Before, during and after a run: --dry-run writes nothing, --options takes a run's options, records
# are left out by name, the best model is kept, and a finished run keeps what it should.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

ica corpus --out corpus --seed 1 || fail "corpus"
head -n 300 corpus/pretrain.jsonl >sessions.jsonl
head -n 60 corpus/pool-even50.jsonl >pool.jsonl
head -n 20 corpus/holdout.jsonl >hold.jsonl
head -n 20 corpus/test.jsonl >test.jsonl
head -n 24 corpus/pairs-pool.jsonl >pairs.jsonl
head -n 8 corpus/pairs-holdout.jsonl >pairs-hold.jsonl
ica tokenizer --data sessions.jsonl --vocab-size 300 --out tok || fail "tokenizer"
SHAPE="--layers 1 --heads 2 --channels 16 --batch-tokens 512"
# shellcheck disable=SC2086
ica pretrain --data sessions.jsonl --tokenizer tok $SHAPE --max-steps 40 --out base ||
    fail "pretrain"
TRAIN="train --model base --pool pool.jsonl --batch-size 8"

# ---- a dry run ----

find . -type f | sort >"$keep/before"
for method in "" "--weights ica --holdout hold.jsonl" "--weights rho --holdout hold.jsonl"; do
    # shellcheck disable=SC2086
    works "a dry run" $TRAIN $method --eval test.jsonl --eval-steps 5 --out none --dry-run
    check "it says what it would take" grep -q '^time: about [0-9]' "$keep/out"
    says "and what is in the files" '^pool pool.jsonl: 60 records'
done
works "of pairs" train --objective dpo --model base --pool pairs.jsonl --out none --dry-run --json
check "as JSON" grep -q '"dry_run":true.*"steps":3,' "$keep/out"
# shellcheck disable=SC2086
works "of pretraining" pretrain --data sessions.jsonl --tokenizer tok $SHAPE --eval test.jsonl \
    --out none --dry-run
check "it tries some steps" grep -q '^measured on [15] steps' "$keep/out"
# shellcheck disable=SC2086
works "of a single step" pretrain --data sessions.jsonl --tokenizer tok $SHAPE --max-steps 1 \
    --out none --dry-run
check "it tries no more than that" grep -q '^measured on 1 steps' "$keep/out"
check "a tiny step takes less than a minute" grep -Eq '^  1 step of [0-9.]+ m?s$' "$keep/out"
for method in ica rho gradient oneshot random; do
    works "of scores by $method" score --model base --pool pool.jsonl --holdout hold.jsonl \
        --method $method --reference-steps 3 --out none --dry-run
done
works "of an evaluation" eval --model base --data test.jsonl --holdout hold.jsonl --k 2 \
    --per-example none.jsonl --dry-run
check "its memory" grep -q '^memory: about [0-9.]* MB at most' "$keep/out"
mkdir huge
echo '{"model_type":"gpt2","n_layer":1000,"n_head":8,"n_embd":16000,"n_positions":1024,
"vocab_size":50000}' >huge/config.json
ica eval --model huge --data test.jsonl
says "a model that is too large for this machine is told" '^huge: takes up to [0-9.]* GB of memory'
rm -r huge
find . -type f | sort >"$keep/after"
same "a dry run writes nothing" "$keep/before" "$keep/after"
mkdir taken.jsonl
for out in nowhere/s.jsonl taken.jsonl; do
    for dry in "" --dry-run; do
        ica score --model base --pool pool.jsonl --holdout hold.jsonl --k 1 --out $out $dry
        is "scores into $out $dry" "$status" 4
        ica eval --model base --data test.jsonl --per-example $out $dry
        is "an evaluation into $out $dry" "$status" 4
    done
done
rmdir taken.jsonl
refuse_dry() { # STATUS WHAT ARGUMENTS: it fails as the command itself fails
    wanted=$1 what=$2
    shift 2
    ica "$@" --out none --dry-run
    is "$what" "$status" "$wanted"
}
refuse_dry 3 "a dry run with records in two files" train --model base --pool pool.jsonl \
    --eval pool.jsonl
refuse_dry 3 "a dry run without oracle's key" train --model base --pool sessions.jsonl \
    --weights oracle
refuse_dry 2 "a dry run of a run that goes on" pretrain --resume base
mkdir foreign
echo '{}' >foreign/config.json
find . -type f | sort >"$keep/before"
# shellcheck disable=SC2086
for out in base foreign; do
    ica $TRAIN --out $out --dry-run
    is "a dry run into $out, which a run may not take" "$status" 2
    said=$(tail -n 1 "$keep/err")
    ica $TRAIN --out $out
    is "the run says the same" "$(tail -n 1 "$keep/err")" "$said"
    ica pretrain --data sessions.jsonl --tokenizer tok $SHAPE --out $out --dry-run
    is "of pretraining into $out" "$status" 2
done
works "a dry run of one that replaces a run" pretrain --data sessions.jsonl --tokenizer tok $SHAPE \
    --out base --overwrite --dry-run
find . -type f | grep -v /run.lock | sort >"$keep/after"
same "it writes nothing either" "$keep/before" "$keep/after"

# ---- a model that exists has a shape ----

FROM="pretrain --model base --data sessions.jsonl --max-steps 1 --out on"
for option in "layers 2" "heads 4" "channels 32" "context 64" "kv-heads 1" "head-size 4" \
    "inner-channels 32" "family llama"; do
    # shellcheck disable=SC2086
    ica $FROM --$option
    is "another shape: $option" "$status" 2
    says "named" "^ica: --${option% *}.* leave it out"
done
# shellcheck disable=SC2086
ica $FROM --tokenizer tok
is "another vocabulary" "$status" 2
check "nothing is written" test ! -d on
# shellcheck disable=SC2086
works "its own shape, said again" $FROM --layers 1 --heads 2 --channels 16 --family gpt2

# ---- records that are left out ----

cat pool.jsonl pool.jsonl >twice.jsonl
head -n 5 test.jsonl >>twice.jsonl
# shellcheck disable=SC2086
works "copies and overlaps" train --model base --pool twice.jsonl --eval test.jsonl --batch-size 8 \
    --drop-duplicates --drop-overlap --out left --max-steps 4
check "they are counted" grep -q '"left_out":{"too_long":0,"copies":6[0-9],"overlap":[1-9]' \
    left/run.json
works "scores of the whole file" score --model base --pool twice.jsonl --holdout hold.jsonl \
    --weight-map rank --out whole.jsonl
works "with a pool of which records are left out" train --model base --pool twice.jsonl \
    --weights file:whole.jsonl --drop-duplicates --max-steps 2 --out from-file

# ---- the best model, patience, and what stays ----

# shellcheck disable=SC2086
works "the best model" $TRAIN --eval-share 0.2 --eval-steps 2 --patience 2 --learning-rate 0.05 \
    --load-best-model-at-end --max-steps 60 --out best
best=$(sed -n 's/.*"best_metric":\([^,}]*\).*/\1/p' best/run.json)
last=$(sed -n 's/.*"validation_nll":\([^,}]*\).*/\1/p' best/run.json | tail -n 1)
is "its loss is that of the result" "$last" "$best"
check "it stopped early" grep -q '"stopped_early":true' best/run.json
least=$(sed -n 's/.*"validation_nll":\([^,}]*\).*/\1/p' best/log.jsonl | sort -g | head -n 1)
is "and it is the lowest of the log" "$best" "$least"
for threads in 1 2 5; do
    # shellcheck disable=SC2086
    works "with $threads threads" $TRAIN --eval-share 0.2 --eval-steps 2 --patience 2 \
        --learning-rate 0.05 --load-best-model-at-end --max-steps 60 --threads $threads \
        --out best-$threads
    same "the same best model" best/model.safetensors best-$threads/model.safetensors
done
works "a stopped run is complete" train --resume best
says "and says so" 'complete'
# shellcheck disable=SC2086
works "only the model" $TRAIN --max-steps 3 --save-only-model --out only
check "no state is left" sh -c '! ls only | grep -q "state\|best"'
works "it is complete" train --resume only
ica train --resume only --max-steps 9
is "and cannot go on" "$status" 3
# shellcheck disable=SC2086
works "one state" $TRAIN --max-steps 6 --save-steps 1 --save-total-limit 1 --out one
check "the one before is gone" test ! -e one/training_state.previous.safetensors
# A sample is what the model generates. What ends at the most tokens of a sample ends in dots.
question="what is the capital of france ?"
# shellcheck disable=SC2086
works "asks after evaluations" $TRAIN --max-steps 4 --eval test.jsonl --eval-steps 2 \
    --sample-prompt "$question" --out asked
is "two samples" "$(grep -c '^  sample: ' "$keep/err")" 2
sed -n 's/^  sample: //p' "$keep/err" | tail -n 1 | sed 's/ [.][.][.]$//' >sample
works "the same" generate --model asked --prompt "$question" --temperature 0 --max-new-tokens 32
is "its answer" "$(cat sample)" "$(cat "$keep/out")"
check "is one" grep -q . sample
for options in "--patience 2 --eval-steps 1" "--sample-prompt a --eval test.jsonl" \
    "--load-best-model-at-end --eval-share .2" \
    "--patience 2 --eval-share .2 --eval-steps 1 --dump-state step"; do
    # shellcheck disable=SC2086
    ica $TRAIN $options --out none
    is "refused: $options" "$status" 2
done
# shellcheck disable=SC2086
works "with --eval-steps from elsewhere" $TRAIN --eval-share .2 --eval-steps 3 --max-steps 6 \
    --load-best-model-at-end --save-steps 2 --out other
ica train --resume other --eval-steps 2
is "the best depends on when the model is evaluated" "$status" 3

# ---- options from a file ----

# shellcheck disable=SC2086
works "a run" $TRAIN --max-steps 5 --learning-rate 1e-3 --seed 7 --out a
works "the same with the options of its run.json" train --options a/run.json --model base \
    --pool pool.jsonl --out b
same "ends with the same model" a/model.safetensors b/model.safetensors
echo '{"max_steps": 4, "learning-rate": 1e-3, "seed": 7, "batch-size": 8}' >options.json
works "a file by hand, and the command line wins" train --options options.json --max-steps 5 \
    --model base --pool pool.jsonl --out c
same "ends with the same model again" a/model.safetensors c/model.safetensors
rm options.json
works "a run does not need its file again" train --resume c
for wrong in '{"max_steps":4,"max-steps":5}|w.json: "max-steps" occurs twice' \
    '{"k":"two"}|--k .two.: is not a whole number.*(options come from w.json, too)'; do
    echo "${wrong%%|*}" >w.json
    ica train --options w.json --model base --pool pool.jsonl --out none
    check "refused: ${wrong%%|*}" grep -q "^ica: .*${wrong#*|}" "$keep/err"
    check "makes nothing" test ! -e none
done
# Commands differ in defaults: 4e-3 of pretrain, minmax-batch of train.
works "the options of pretraining" train --options base/run.json --model base --pool pool.jsonl \
    --out d
check "the learning rate that nobody gave is that of train" grep -q '"learning-rate":5e-05' \
    d/run.json
check "what was given is taken" grep -q '"max-steps":40' d/run.json
works "scores of the holdout" $TRAIN --weights ica --holdout hold.jsonl --max-steps 1 --k 2 --out e
works "the options of training" score --options e/run.json --model base --pool pool.jsonl \
    --holdout hold.jsonl --out scores.jsonl
works "without the file" score --k 2 --model base --pool pool.jsonl --holdout hold.jsonl --out plain
same "the map that nobody gave is that of score" scores.jsonl plain

# ---- scores of several files, of records without ids ----

sed 's/"id":"[^"]*",//' pool.jsonl >all.jsonl
head -n 25 all.jsonl >one.jsonl
tail -n 35 all.jsonl >two.jsonl
HOW="score --model base --holdout hold.jsonl --weight-map rank"
# shellcheck disable=SC2086
works "scores of two files" $HOW --pool one.jsonl two.jsonl --out parts
# shellcheck disable=SC2086
works "of both in one" $HOW --pool all.jsonl --out whole
for scores in parts whole; do
    works "the files as one, chosen by $scores" select --pool all.jsonl --scores $scores \
        --share .5 --out chosen-$scores.jsonl
done
same "the same are chosen" chosen-parts.jsonl chosen-whole.jsonl
works "trained" train --model base --pool all.jsonl --weights file:parts --max-steps 1 --out f
works "with another map" train --model base --pool all.jsonl --weights file:whole --max-steps 1 \
    --weight-map top --out g
says "it warns" '^WARNING: --weight-map top has no effect here: whole: has weights, which count'
sed 's/"score":[^,]*,"weight":[^,]*/"score":-1/' whole >below
for weights in file:below loss; do
    works "no score above 0, $weights" train --model base --pool all.jsonl --weights $weights \
        --weight-map filter --max-steps 1 --out "h-$weights"
    says "it says that nothing is learned" \
        '^WARNING: --weight-map filter: every weight is 0: nothing is learned, since no score is'
    is "once" "$(grep -c 'every weight is 0' "$keep/err")" 1
done
works "scores below 0" score --model base --pool all.jsonl --method loss --weight-map positive \
    --out below-loss
says "the scores, too" '^WARNING: --weight-map positive: every weight is 0.*; or take another map'
works "a page of them" report parts --pool all.jsonl --out parts.html
# Whoever reads scores takes a mark and blank lines, as in records, and refuses the same lines.
(printf '\357\273\277'; sed '3s/$/\r\n\n \t/' whole) >spaced
works "a mark and blank lines" select --pool all.jsonl --scores spaced --share .5 --out spaced.jsonl
same "they change nothing" spaced.jsonl chosen-whole.jsonl
works "a page of them" report spaced --pool all.jsonl --out spaced.html
sed 1d whole | sed '1s/"score":/"score":1,&/' >>spaced
refuse 3 'spaced:63: "score" occurs twice' report spaced --out no.html
sed '2s/"score":/"score":1,&/' whole >double
sed '3s/"score":[^,]*/"score":"abc"/' whole >words
sed '1s/"score":[^,]*,//' whole >lacks
for wrong in 'double:2: "score" occurs twice' 'words:3: its "score" is no number' \
    'lacks:1: has no "score"'; do
    scores=${wrong%%:*}
    refuse 3 "$wrong" select --pool all.jsonl --scores $scores --share .5 --out no.jsonl
done
refuse 3 'double:2: "score" occurs twice' report double --out no.html
refuse 3 'words:3: its "score" is no number' report words --out no.html
refuse 3 'words:3: its "score" is no number' select --pool all.jsonl --scores words --out no.jsonl
works "weights alone" select --pool all.jsonl --scores lacks --out weighed.jsonl
cat two.jsonl one.jsonl >turned.jsonl
refuse 3 "parts:1: the pool's record there .* has another text" select --pool turned.jsonl \
    --scores parts --share .5 --out none.jsonl

(cat one.jsonl; head -n 1 one.jsonl) >copy.jsonl
# shellcheck disable=SC2086
works "scores without copies" $HOW --pool copy.jsonl --drop-duplicates --out fewer
refuse 3 'add --skip-unscored' report fewer --pool copy.jsonl --out no.html
works "a page of those left" report fewer --pool copy.jsonl --skip-unscored --out fewer.html
LEFT='1 records of copy.jsonl have no line in fewer'
grep -q "$LEFT" "$keep/out" && pass || fail "the page counts them"
refuse 3 'add --skip-unscored' report parts --pool one.jsonl --skip-unscored --out no.html
works "no pool" report fewer --skip-unscored --out no.html
says "it warns" '^WARNING: --skip-unscored has no effect here: no --pool is given'
works "a run alone" report base --pool copy.jsonl --holdout hold.jsonl --skip-unscored --out no.html
says "nothing reads them" '^WARNING: --pool, --holdout, --skip-unscored have no effect here'
works "one of them" report base --holdout hold.jsonl --out no.html
says "it has none" '^WARNING: --holdout has no effect here: no score file is among the inputs$'
works "both kinds" report base fewer --pool copy.jsonl --skip-unscored --out no.html
check "all have a reader" test "$(grep -c '^WARNING: --' "$keep/err")" -eq 0
# What score prints knows that some were left out, so the report finds the pool again.
# shellcheck disable=SC2086
works "its result" $HOW --pool copy.jsonl --drop-duplicates --out fewer --overwrite --json
grep -q '"left_out":1[,}]' "$keep/out" && pass || fail "it says how many were left out"
cp "$keep/out" fewer.json
works "a page of it" report fewer.json --out fewer.html
grep -q "$LEFT" "$keep/out" && pass || fail "it is the pool"
# Scores of several pools and of a shard say what they are, and what to give in their place.
# shellcheck disable=SC2086
works "two pools" $HOW --pool one.jsonl two.jsonl --out apart --json
cp "$keep/out" apart.json
works "a page of the result" report apart.json --out no.html
grep -q 'they are of several pools (one.jsonl, two.jsonl): give the score file itself (apart)' \
    "$keep/out" && pass || fail "the note names both"
# shellcheck disable=SC2086
works "a shard" $HOW --pool all.jsonl --shard 2/3 --out shard --json
cp "$keep/out" shard.json
works "a page of the result" report shard.json --out no.html
grep -q 'they are of shard 2/3 of all.jsonl: join the score files of all shards' "$keep/out" &&
    pass || fail "the note names the shard"

# ---- runs in one table ----

works "a run" $TRAIN --max-steps 1 --learning-rate 1e-4 --out slow
works "another" $TRAIN --weights random --max-steps 1 --learning-rate 1e-3 --out quick
works "both" report slow quick --out both.html
grep -q 'slow and quick differ in --learning-rate, too: 0.0001 and 0.001' "$keep/out" && pass ||
    fail "they were trained in other ways"
grep -q 'differ in --batch-size' "$keep/out" && fail "the same batches" || pass
mkdir half
sed 's/"result":{.*/"result":{}}/' slow/run.json >half/run.json
cp slow/log.jsonl half
works "one that is not finished" report half --out half.html
grep -q "half is not finished: ica train --resume 'half' goes on" "$keep/out" && pass ||
    fail "it is not finished"

# ---- records of weight 0, which do not run ----

awk '{ sub(/}$/, ",\"weight\":" (NR % 3 ? 0 : 1) "}") } 1' pool.jsonl >some.jsonl
sed 's/"weight":0}/"weight":5e-324}/' some.jsonl >tiny.jsonl
RECORDS="train --model base --weights records --learning-rate 1e-2 --logging-steps 1"
for pool in some tiny; do
    # shellcheck disable=SC2086
    works "weights of $pool" $RECORDS --pool $pool.jsonl --batch-size 2 --normalize count \
        --max-steps 30 --out $pool
done
same "a weight whose share rounds to 0 is one of 0" some/model.safetensors tiny/model.safetensors
grep -q '"skipped_steps":[1-9]' some/run.json && pass || fail "no batch without a weight"
# One by one or all at once: the gradient of the step before is not in that of the next.
for micro in 1 6; do
    # shellcheck disable=SC2086
    works "$micro at once" $RECORDS --pool some.jsonl --batch-size 6 --micro-batch-size $micro \
        --max-steps 10 --out micro$micro
    sed 's/.*"grad_norm":\([^,]*\),.*/\1/' micro$micro/log.jsonl >norms$micro
done
paste norms1 norms6 | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-3 * $2) wrong = 1 }
    END { exit wrong || NR != 10 }' && pass || fail "gradients: $(paste norms1 norms6)"

# ---- what score says ----

works "scores" score --model base --pool pool.jsonl --holdout hold.jsonl --out told.scores
is "the result is first" "$(sed -n 1p "$keep/out")" \
    "scores                     told.scores: 59 of 60 records have a weight"
grep '^next' "$keep/out" | sed 's/^next *ica //; s/CHOSEN/chosen-next/' >next
is "and then what to do" "$(sed -n 2p next)" \
    "select --scores told.scores --pool pool.jsonl --weight-map filter --out chosen-next.jsonl"
# What it prints can be typed: with odd names, records that were left out, other methods and maps.
cp pool.jsonl "odd 'pool"
(cat pool.jsonl; head -n 1 pool.jsonl) >copied.jsonl
SCORES="score --model base --holdout hold.jsonl"
next_of() { # OPTIONS of score
    # shellcheck disable=SC2086
    works "scores, $*" $SCORES "$@"
    n=$((n + 1))
    grep '^next' "$keep/out" | sed "s/^next *ica //; s/CHOSEN/chosen-$n/" >>next
}
n=0
next_of --pool "odd 'pool" --out=-o
next_of --pool copied.jsonl --drop-duplicates --out fewer2
next_of --pool pool.jsonl --method loss --out lost
next_of --pool pool.jsonl --weight-map filter --method loss --out none
next_of --pool pool.jsonl --weight-map accept --accept-level 0.9 --out kept
is "so many commands" "$(wc -l <next | tr -d ' ')" 11
next_of --pool pool.jsonl --weight-map accept --shard 1/2 --out part
next_of --pool pool.jsonl copied.jsonl --out both
is "none of a part, or of several pools" "$(wc -l <next | tr -d ' ')" 11
while read -r line; do
    if eval "ica $line"; then pass; else fail "the next command: $line"; fi
done <next

# ---- what a sample answers ----

printf '{"prompt":"Write  H G E .","completion":"x"}\n' >asked.jsonl
works "a sample" $TRAIN --eval asked.jsonl --max-steps 2 --out sampled
says "it says of which prompt" '^samples answer: Write  H G E \.$'
works "a sample of another" $TRAIN --eval asked.jsonl --eval-steps 1 --sample-prompt 'why ?' \
    --max-steps 2 --out sampled2
says "it says of which prompt" '^samples answer: why \?$'

# ---- the loss of training ----

works "a rate that is too high" $TRAIN --max-steps 20 --learning-rate 5 --logging-steps 1 --out wild
says "it warns" '^WARNING: the training loss rose from [0-9.]* to [0-9.]*: .*lower --learning-rate'
works "a short run" $TRAIN --max-steps 2 --out short
grep -Eq '^training loss +[0-9.]+$' "$keep/out" && pass || fail "it has one line in its log"

# ---- a pair whose answers change places ----

head -n 1 pairs.jsonl >pair.jsonl
echo '{"id":"pair-0001","score":-1,"weight":1,"relabel":true,"tokens":1}' >swap
SWAP="train --model base --pool pair.jsonl --weights file:swap --max-steps 1"
# shellcheck disable=SC2086
refuse 3 'swap:1: swaps a pair .*, and --objective sft reads its chosen answer alone' $SWAP --out no
# shellcheck disable=SC2086
works "of pairs" $SWAP --objective dpo --out swapped

finish runs
