#!/bin/sh
# Pools in parts: `ica score` and `ica eval --per-example` go through their records chunk by chunk,
# and what they know grows in OUT.part. A command that is killed at any instant and continued ends
# with the bytes of one that was left alone. So does one whose part file was cut or damaged at any
# place. What it began with is compared, by name. Several files, standard input, and a pool that is
# read twice because it is larger than a block, give the bytes of one small file.
# From the environment: KILLS, how many (20; `make kills`: 300); SEED of the instants (1); CUTS,
# every how many bytes the part file is cut (97).
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
KILLS=${KILLS:-20}
SEED=${SEED:-1}
CUTS=${CUTS:-97}
cd "$work" || exit 1

ica corpus --out corpus --seed 1 || fail "corpus"
head -n 100 corpus/pretrain.jsonl >sessions.jsonl
head -n 30 corpus/pool-even50.jsonl >pool.jsonl
head -n 10 corpus/holdout.jsonl >hold.jsonl
head -n 20 corpus/test.jsonl >test.jsonl
head -n 16 corpus/pairs-pool.jsonl >pairs.jsonl
head -n 8 corpus/pairs-holdout.jsonl >pairs-hold.jsonl
rm -r corpus
ica tokenizer --data sessions.jsonl --vocab-size 300 --out tok || fail "tokenizer"
ica pretrain --data sessions.jsonl --tokenizer tok --layers 2 --heads 4 --channels 32 \
    --context 128 --batch-tokens 512 --max-steps 20 --out base || fail "pretrain"
SCORE="score --model base --pool pool.jsonl --holdout hold.jsonl"
PAIRS="--pool pairs.jsonl --holdout pairs-hold.jsonl"

# What a command prints, without what depends on the clock, on chunks or on a break.
figures() { grep -v -e '^seconds' -e '^reference_seconds' -e '^flops' -e '^forward_tokens' \
    -e '^scores ' -e '^next ' "$keep/out"; }

# of_kind N: a command without --out or --per-example, which comes last
of_kind() {
    case $1 in
    0) echo "$SCORE" ;;
    1) echo "$SCORE --method rho --reference-steps 3 --learning-rate 1e-3" ;;
    2) echo "$SCORE --weight-map accept" ;;
    3) echo "score --model base --objective dpo $PAIRS --weight-map mirror" ;;
    4) echo "score --model base --objective simpo $PAIRS --pair-score loss" ;;
    5) echo "$SCORE --demos shuffled --k 2" ;;
    6) echo "$SCORE --method oneshot --anchors random --num-anchors 2" ;;
    7) echo "$SCORE --method gradient" ;;
    8) echo "$SCORE --method random --weight-map rank" ;;
    9) echo "$SCORE --shard 2/3" ;;
    10) echo "eval --model base --data test.jsonl --holdout hold.jsonl --k 2" ;;
    11) echo "eval --model base --objective dpo --reference base --data pairs.jsonl" ;;
    12) echo "eval --model base --data test.jsonl --holdout hold.jsonl --k 2 --embedding hidden" ;;
    13) echo "$SCORE --embedding hidden --weight-map accept" ;;
    14) echo "$SCORE --method oneshot --embedding tokens" ;;
    esac
}
KINDS="0 1 2 3 4 5 6 7 8 9 10 11 12 13 14"
OUT="--out"
out_of() { case $1 in 10 | 11 | 12) OUT=--per-example ;; *) OUT=--out ;; esac; }

# ---- chunks ----

for kind in $KINDS; do
    out_of "$kind"
    # shellcheck disable=SC2046
    works "kind $kind in one piece" $(of_kind "$kind") $OUT "whole-$kind"
    figures >"figures-$kind"
    # shellcheck disable=SC2046
    works "kind $kind in chunks" $(of_kind "$kind") $OUT chunks --chunk 3
    figures >now
    same "kind $kind: chunks" "whole-$kind" chunks
    same "kind $kind: figures of chunks" "figures-$kind" now
    [ ! -f "whole-$kind.holdout.jsonl" ] ||
        same "kind $kind: the holdout" "whole-$kind.holdout.jsonl" chunks.holdout.jsonl
    [ -z "$(find . -name '*.part*')" ] || fail "kind $kind: a part file is left"
    rm -f chunks chunks.holdout.jsonl
done

# ---- each kind, killed as soon as a chunk is saved ----

for kind in $KINDS; do
    out_of "$kind"
    rm -f run run.part* run.holdout.jsonl
    tries=0
    while [ ! -s run.part ] && [ $tries -lt 40 ]; do
        tries=$((tries + 1))
        rm -f run run.holdout.jsonl
        # shellcheck disable=SC2046
        "$ICA" $(of_kind "$kind") $OUT run --chunk 1 >"$keep/out" 2>"$keep/err" </dev/null &
        pid=$!
        while [ ! -s run.part ] && kill -0 $pid 2>/dev/null; do :; done
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
    done
    check "kind $kind: a kill after a chunk" test -s run.part
    # shellcheck disable=SC2046
    works "kind $kind: continued" $(of_kind "$kind") $OUT run --resume
    figures >now
    same "kind $kind: continued" "whole-$kind" run
    same "kind $kind: figures of what was continued" "figures-$kind" now
done

# ---- kills ----

kills=0 round=0 continued=0
took=$(awk 'BEGIN { print 0.15 }')
while [ "$kills" -lt "$KILLS" ] && [ "$failed" -eq 0 ] && sleep 0.01 2>/dev/null; do
    kind=$((round % 15)) attempts=0
    out_of "$kind"
    rm -f run run.part* run.holdout.jsonl
    while :; do
        attempts=$((attempts + 1))
        # shellcheck disable=SC2046
        "$ICA" $(of_kind "$kind") $OUT run --chunk 1 --resume >"$keep/out" 2>"$keep/err" \
            </dev/null &
        pid=$! killer=
        if [ "$kills" -lt "$KILLS" ] && [ $attempts -lt 20 ]; then
            instant=$(awk -v seed=$((SEED * 100003 + round * 1009 + attempts)) -v most="$took" \
                'BEGIN { srand(seed); rand(); print rand() * most }')
            { sleep "$instant" && kill -KILL $pid; } >kill.log 2>&1 &
            killer=$!
        fi
        wait $pid 2>/dev/null
        status=$?
        [ -z "$killer" ] || kill $killer 2>/dev/null
        [ $status -eq 137 ] || break
        kills=$((kills + 1))
    done
    ! grep -q 'already$' "$keep/err" || continued=$((continued + 1))
    is "kind $kind after $((attempts - 1)) kills: status" $status 0
    figures >now
    same "kind $kind: after kills" "whole-$kind" run
    same "kind $kind: figures after kills" "figures-$kind" now
    round=$((round + 1))
done
rm -f run run.part* run.holdout.jsonl
echo "$kills kills; $continued of $round runs ended with records of an earlier process"

# ---- a part file that is cut, damaged, or of something else ----

# A limit on the size of files stops the command in a save.
rm -f s s.part*
# shellcheck disable=SC2086
(ulimit -f 5 && exec "$ICA" $SCORE --out s --chunk 2) >"$keep/out" 2>"$keep/err" </dev/null
status=$?
is "a disk that is full: status" $status 4
says "a disk that is full" 's\.part: cannot write'
if [ -s s.part ] && [ ! -f s ]; then pass; else fail "no part file after a full disk"; fi
cp s.part kept.part
bytes=$(wc -c <kept.part)
at=0
while [ $at -le "$bytes" ]; do
    head -c $at kept.part >s.part
    rm -f s
    # shellcheck disable=SC2086
    works "cut after $at bytes" $SCORE --out s --chunk 9 --resume
    same "cut after $at bytes" whole-0 s
    [ ! -f s.part ] || fail "cut after $at bytes: the part file is left"
    # a flipped bit, after the first line
    if [ $at -gt "$(head -n 1 kept.part | wc -c)" ] && [ $at -lt "$bytes" ]; then
        { head -c $at kept.part && printf '~' && tail -c +$((at + 2)) kept.part; } >s.part
        rm -f s
        # shellcheck disable=SC2086
        works "damaged at $at" $SCORE --out s --chunk 9 --resume
        same "damaged at $at" whole-0 s
    fi
    at=$((at + CUTS))
done
rm -f s s.part

cp kept.part s.part
# shellcheck disable=SC2086
{
    refuse 2 's\.part: score was interrupted before: --resume' $SCORE --out s
    refuse 3 's\.part: --k was 3 and is 2' $SCORE --out s --resume --k 2
    refuse 3 's\.part: --embedding was tfidf and is hidden' $SCORE --out s --resume \
        --embedding hidden
    refuse 3 's\.part: --reduce was mean and is sum' $SCORE --out s --resume --reduce sum
    refuse 3 '--seed was 1 and is 2' $SCORE --out s --resume --seed 2
    sed 's/a/e/' pool.jsonl >other.jsonl
    refuse 3 's\.part: --pool was content [0-9a-f]+ and is' \
        score --model base --pool other.jsonl --holdout hold.jsonl --out s --resume
    refuse 3 's\.part: --holdout was content' \
        score --model base --pool pool.jsonl --holdout test.jsonl --out s --resume
    cp -R base base2
    sed 's/}/ }/' base2/config.json >config && cp config base2/config.json
    refuse 3 's\.part: --model was content' \
        score --model base2 --pool pool.jsonl --holdout hold.jsonl --out s --resume
    # What says how text is read counts too, each file of it: changed, added or gone.
    for file in tokenizer_config.json added_tokens.json special_tokens_map.json \
        chat_template.jinja template.json; do
        rm -rf base2
        cp -R base base2
        if [ -f base2/$file ]; then sed 's/}/ }/' base/$file >base2/$file
        else echo '{}' >base2/$file; fi
        refuse 3 's\.part: --model was content [0-9a-f]+ and is content [0-9a-f]+' \
            score --model base2 --pool pool.jsonl --holdout hold.jsonl --out s --resume
    done
    rm base2/template.json # another line says what is taken in its place
    ica score --model base2 --pool pool.jsonl --holdout hold.jsonl --out s --resume
    is "a template.json that is gone: status" $status 3
    says "a template.json that is gone" '^ica: s\.part: --model was content'
    refuse 3 's\.part: --template was null and is plain' $SCORE --out s --resume --template plain
    refuse 2 's\.part: was not left by .ica eval' \
        eval --model base --data test.jsonl --per-example s --resume
    refuse 2 '--resume continues the file of --per-example' \
        eval --model base --data test.jsonl --resume
    works "the same with other threads, chunks and paths" score --model base \
        --pool ./pool.jsonl --holdout ./hold.jsonl --out s --resume --threads 2 --chunk 4
    same "the same with other threads" whole-0 s
    cp kept.part s.part
    works "--overwrite" $SCORE --out s --overwrite
    same "--overwrite" whole-0 s
    if [ -f s.part ]; then fail "--overwrite leaves the part file"; else pass; fi
    echo mine >s.part
    refuse 2 's\.part: was not left by .ica score' $SCORE --out s --resume
    refuse 2 's\.part: is another kind of file' $SCORE --out s --overwrite
    printf '{"partial":"score"' >s.part
    works "a part file without a whole line" $SCORE --out s --resume
    rm -f s s.part
}
# The file of --template, of score and of eval.
# template WHAT OUT COMMAND...: stopped by the limit on files, and continued with another template
template() {
    what=$1 to=$2
    shift 2
    cp base/template.json template.json
    (ulimit -f 4 && exec "$ICA" "$@" --template template.json --chunk 2) >"$keep/out" \
        2>"$keep/err" </dev/null
    is "$what, stopped: status" $? 4
    check "$what, stopped: there is a part" test -s $to.part
    sed 's/}/ }/' base/template.json >template.json
    refuse 3 "$to\.part: file of --template was content [0-9a-f]+ and is content [0-9a-f]+" \
        "$@" --template template.json --resume
    refuse 3 "$to\.part: --template was template.json and is " "$@" --resume
    cp base/template.json template.json
    works "$what, with its template again" "$@" --template template.json --resume
    same "$what, with its template again" $to.whole $to
    rm -f $to
}
cp whole-0 s.whole
cp whole-10 e.whole
# shellcheck disable=SC2086
{
    template "score" s $SCORE --out s
    template "eval" e $(of_kind 10) --per-example e
}
# Two at once: the second is refused.
# shellcheck disable=SC2086
"$ICA" $SCORE --out s --chunk 1 --resume >"$keep/first" 2>&1 </dev/null &
pid=$!
# whoever has saved a chunk has the lock
while kill -0 $pid 2>/dev/null && [ ! -s s.part ] && [ ! -f s ]; do :; done
kill -STOP $pid 2>/dev/null
if [ -s s.part ] && [ ! -f s ]; then
    # shellcheck disable=SC2086
    ica $SCORE --out s --chunk 1 --resume
    is "a second process: status" $status 4
    says "a second process" 'process [0-9]+ writes here'
fi
kill -CONT $pid 2>/dev/null
wait $pid
is "the first of two: status" $? 0
same "the first of two" whole-0 s
rm -f s

# ---- files ----

head -n 11 pool.jsonl >one.jsonl
tail -n +12 pool.jsonl | head -n 9 >two.jsonl
{ printf '[' && tail -n 10 pool.jsonl | sed '$!s/$/,/' && printf ']'; } >three.json
H="--holdout hold.jsonl"
# shellcheck disable=SC2086
{
    works "several files" score --model base --pool one.jsonl two.jsonl three.json $H --out s
    same "several files" whole-0 s
    works "several files in chunks" score --model base --pool one.jsonl --pool two.jsonl \
        three.json $H --out s --chunk 4
    same "several files in chunks" whole-0 s
    for i in 1 2 3; do
        works "shard $i of several files" score --model base --pool one.jsonl two.jsonl \
            three.json $H --out s-$i --shard $i/3 --chunk 2
    done
    same "a shard of several files" whole-9 s-2
    refuse 2 'look at the whole pool' score --model base --pool one.jsonl two.jsonl $H --out n \
        --contexts 2
    sed '3s/.*/{"prompt":"x"}/' two.jsonl >bad.jsonl
    refuse 3 'bad\.jsonl:3: ' score --model base --pool one.jsonl bad.jsonl $H --out n
    { sed -n 4p one.jsonl && cat hold.jsonl; } >hold2.jsonl
    refuse 3 'one\.jsonl:4 and hold2\.jsonl:1 are the same example' score --model base \
        --pool two.jsonl one.jsonl --holdout hold2.jsonl --out n
    "$ICA" score --model base --pool - $H --out s <pool.jsonl >"$keep/out" 2>"$keep/err"
    is "standard input: status" $? 0
    same "standard input" whole-0 s
    cat pool.jsonl | "$ICA" score --model base --pool - $H --out s --chunk 3 \
        >"$keep/out" 2>"$keep/err"
    is "a pipe: status" $? 0
    same "a pipe" whole-0 s
    "$ICA" eval --model base --data - $H --k 2 --per-example e <test.jsonl \
        >"$keep/out" 2>"$keep/err"
    is "eval of standard input: status" $? 0
    same "eval of standard input" whole-10 e
    head -n 7 test.jsonl >t1.jsonl
    tail -n +8 test.jsonl >t2.jsonl
    works "eval of two files" eval --model base --data t1.jsonl t2.jsonl $H --k 2 --per-example e
    figures | grep -v '^data' >now
    grep -v '^data' figures-10 >then
    same "eval of two files" whole-10 e
    same "eval of two files: figures" then now
    gzip -c pool.jsonl >pool.jsonl.gz 2>/dev/null || printf '\037\213' >pool.jsonl.gz
    refuse 3 'gunzip -c FILE >FILE\.jsonl' score --model base --pool pool.jsonl.gz $H --out n
    echo "prompt,completion" >pool.csv
    refuse 3 'csv\.DictReader' score --model base --pool pool.csv $H --out n
    printf 'PAR1....' >pool.parquet
    refuse 3 'pandas\.read_parquet' score --model base --pool pool.parquet $H --out n
    refuse 3 'pandas\.read_parquet' eval --model base --data pool.parquet
}

# ---- a pool that is larger than a block ----

# 9 MB of text, in lines that repeat.
awk '{ line[NR] = $0 } END { for (i = 0; bytes < 9e6; i++) { s = line[i % NR + 1]; print s;
    bytes += length(s) + 1 } }' pool.jsonl >large.jsonl
records=$(wc -l <large.jsonl)
L="score --model base --method random --weight-map rank --seed 5"
# shellcheck disable=SC2086
{
    works "a large pool" $L --pool large.jsonl --out s
    is "a large pool: lines" "$(wc -l <s)" "$records"
    half=$((records / 2))
    head -n $half large.jsonl >l1.jsonl
    tail -n +$((half + 1)) large.jsonl >l2.jsonl
    works "the same as two small files" $L --pool l1.jsonl l2.jsonl --out s2
    # ids are of a file, and whether an earlier record has the same, which gives a line its hash
    for f in s s2; do sed 's/"id":"[^"]*"//;s/,"hash":"[^"]*"//' $f >$f.bare; done
    same "the same as two small files" s.bare s2.bare
    cat large.jsonl | "$ICA" $L --pool - --out n >"$keep/out" 2>"$keep/err"
    is "a large pipe: status" $? 2
    says "a large pipe" '^ica: -: has more than 8388608 bytes, .* a pipe cannot be: save it'
    if [ -f n ]; then fail "a large pipe leaves a file"; else pass; fi
}
finish pools
