#!/bin/sh
# Candidates against the holdout's own scores (E19, E20), from end to end: score, shards, train from
# a method and from a file, refresh, resume, threads, what is refused, and select.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

ica corpus --out c
head -n 60 c/pretrain.jsonl >sessions
ica tokenizer --data sessions --vocab-size 300 --out tok
ica pretrain --data sessions --tokenizer tok --layers 1 --heads 1 --channels 8 --context 256 \
    --batch-tokens 512 --max-steps 20 --out base
head -n 100 c/pool-even50.jsonl >pool
head -n 40 c/holdout.jsonl >hold
head -n 60 c/pairs-pool.jsonl >pairs
head -n 40 c/pairs-holdout.jsonl >pairs-hold
score="score --model base --pool pool --holdout hold --weight-map accept"
train="train --model base --pool pool --holdout hold --batch-size 8 --max-steps 6"

# stopped RUN ARGUMENTS: trains into RUN with a save after each step, and stops that after one. On a
# busy machine the run may be over before the signal is sent (status 0): then once more.
stopped() {
    to=$1 attempts=0 got=0
    shift
    while [ $got -eq 0 ] && [ $attempts -lt 50 ]; do
        attempts=$((attempts + 1))
        rm -rf "$to"
        "$ICA" "$@" --save-steps 1 --out "$to" >/dev/null 2>&1 &
        run=$!
        while kill -0 $run 2>/dev/null && ! [ -e "$to/training_state.safetensors" ]; do :; done
        kill -TERM $run 2>/dev/null
        wait $run 2>/dev/null
        got=$?
    done
    is "$to: the status of a run that is stopped" $got 143
}

# ---- score: the weights follow from the two files ----
works "scores" $score --out s --json
[ "$(wc -l <s.holdout.jsonl)" -eq 40 ] && pass || fail "a line for each holdout record"
# weights FILE LEVEL [KEY]: the map by awk, from both files, of which KEY is what stands against the
# log-likelihood alone. %.12g hides nothing here: ties apart, values of different records differ by
# far more.
weights() {
    awk -v level="$2" -v key="${3:-logp_in_context}" '
        function get(key) {
            if (!match($0, "\"" key "\":[-0-9.e+]+")) return "none"
            return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3) + 0
        }
        {
            n = get("tokens")
            gain = get(key) / n - get("logp") / n
            likelihood = get(key) / n
        }
        FNR == NR { if (get("score") != "none") { g[++m] = gain; l[m] = likelihood }; next }
        FNR == 1 {
            r = int(level / 2 * (m + 1) + 1e-9)
            if (r < 1) r = 1
        }
        {
            p = q = 0
            for (j = 1; j <= m; j++) { p += g[j] <= gain; q += l[j] <= likelihood }
            print (p >= r && q >= r) == get("weight") ? "same" : "other"
        }' "$1.holdout.jsonl" "$1" | sort | uniq -c | tr -s ' '
}
[ "$(weights s .05)" = " 100 same" ] && pass || fail "weights by hand: $(weights s .05)"
works "scores" $score --out s2 --accept-level .4 --reduce sum
[ "$(weights s2 .4)" = " 100 same" ] && pass || fail "weights by hand at .4: $(weights s2 .4)"
says "score" 'accept: .* of 40 holdout records, level 0.4, gain >= .* and log-likelihood'

# The report's picture has a dot for each record and says what reaches both thresholds.
works "scores" $score --out pict --json
cp "$keep/out" pict.json
works "report" report pict.json --out pict.html
dots=$(awk '{ n += gsub(/<circle class="dot /, "") } END { print n }' pict.html)
[ "$dots" -eq 140 ] && pass || fail "$dots dots of 100 candidates and 40 holdout records"
both=$(paste pool pict | awk '/"clean":true/ { n++; k += /"weight":1,/ }
    END { printf "%.0f %% of clean records, and ", 100 * k / n }')
grep -q "$both" pict.html && pass || fail "the picture does not say: $both"

# Known truth changes nothing, and neither does the number of threads.
sed 's/,"clean":[a-z]*//; s/,"source":"[^"]*"//' pool >blind
sed 's/,"clean":[a-z]*//; s/,"source":"[^"]*"//' hold >blind-hold
works "scores" score --model base --pool blind --holdout blind-hold --weight-map accept --out b
same "without known truth" s b
for threads in 2 5; do
    works "scores" $score --out t --threads $threads
    same "$threads threads" s t
    same "$threads threads" s.holdout.jsonl t.holdout.jsonl
done

# Four shards have weights, and are the file of one run.
: >joined
for i in 1 2 3 4; do
    works "scores" $score --out part --shard $i/4
    cat part >>joined
    same "shard $i" s.holdout.jsonl part.holdout.jsonl
done
same "four shards" s joined

# The same with a candidate before which no demonstration fits: it weighs the mean of the pool.
long=$(awk 'BEGIN { for (i = 0; i < 244; i++) printf "q" }')
head -n 24 pool | sed "2s/\"prompt\":\"[^\"]*\"/\"prompt\":\"$long\"/" >lone
lone="score --model base --pool lone --holdout hold --weight-map accept"
works "scores" $lone --out l1
[ "$(grep -c '"score":null,"weight":0.[0-9]*' l1)" -eq 1 ] && pass ||
    fail "one has no demonstration"
: >l2
for i in 1 2 3 4; do
    works "a shard" $lone --out part --shard $i/4
    cat part >>l2
done
grep -q '"score":null,"weight":null' l2 && pass || fail "a shard does not know the mean"
for file in l1 l2; do
    works "training" train --model base --pool lone --weights file:$file --batch-size 4 \
        --max-steps 6 --out $file.run
    works "select" select --pool lone --scores $file --with-weights --out $file.chosen
done
same "training on four shards" l1.run/model.safetensors l2.run/model.safetensors
same "a selection from four shards" l1.chosen l2.chosen
sed 's/"weight":[0-9.]*/"weight":null/' s >nulls
refuse 3 'needs a "weight"' train --model base --pool pool --weights file:nulls --max-steps 1 \
    --out no

# The order of the holdout changes no weight. (Ties of cosine in the pool go by place.)
sort -r hold >turned
works "scores" score --model base --pool pool --holdout turned --weight-map accept --k 1 --out o
works "scores" $score --k 1 --out o1
sort o.holdout.jsonl | sed 's/,"demos":\[[^]]*\]//' >o.sorted
sort o1.holdout.jsonl | sed 's/,"demos":\[[^]]*\]//' >o1.sorted
same "the order of the holdout" o.sorted o1.sorted

# Trimming leaves out exactly floor(share * records), which are no demonstrations afterwards.
works "scores" $score --out trim --holdout-trim .33 --json
[ "$(grep -c '"trimmed":true' trim.holdout.jsonl)" -eq 13 ] && pass || fail "13 are left out"
grep '"trimmed":true' trim.holdout.jsonl | sed 's/.*"id":\("[^"]*"\).*/\1/' >gone
if sed -n 's/.*"demos"//p' trim trim.holdout.jsonl | grep -qFf gone; then
    fail "a record that is left out is shown"
else pass; fi
grep -q '"records":27,"trimmed":13' "$keep/out" && pass || fail "the result says 27 and 13"
[ "$(grep -c '"score":null.*"trimmed":true' trim.holdout.jsonl)" -eq 13 ] && pass ||
    fail "a record that is left out has no score"
[ "$(weights trim .05)" = " 100 same" ] && pass || fail "weights by hand: $(weights trim .05)"

# ---- --holdout-scores: a file takes the place of scoring the holdout ----
works "scores" $score --holdout-scores s.holdout.jsonl --out own
same "scores with the holdout's own from a file" s own
same "the holdout's own scores are copied" s.holdout.jsonl own.holdout.jsonl
works "scores" $score --holdout-scores trim.holdout.jsonl --out own.trim --json
same "and what was left out stays out" trim own.trim
grep -q '"records":27,"trimmed":13' "$keep/out" && pass || fail "27 and 13 from the file"
: >joined.own
for i in 1 2 3; do
    works "a shard" $score --holdout-scores s.holdout.jsonl --out part.own --shard $i/3
    cat part.own >>joined.own
done
same "three shards with the same file" s joined.own
works "training" $train --weights file:joined.own --weight-map accept \
    --holdout-scores s.holdout.jsonl --out own.run
works "training" $train --weights file:s --weight-map accept --out beside.run
same "training with the file named, and beside" own.run/model.safetensors \
    beside.run/model.safetensors
works "select" select --pool pool --scores joined.own --weight-map accept --accept-level .4 \
    --holdout-scores s.holdout.jsonl --out own.chosen
works "select" select --pool pool --scores s --weight-map accept --accept-level .4 \
    --out beside.chosen
same "select with the file named, and beside" own.chosen beside.chosen
refuse 2 'leave it out' score --model base --pool pool --holdout hold \
    --holdout-scores s.holdout.jsonl --out no
refuse 2 'goes with --weights file' $train --weights ica --weight-map accept \
    --holdout-scores s.holdout.jsonl --out no
refuse 2 'leave one of them out' $score --holdout-scores s.holdout.jsonl --holdout-trim .2 --out no
refuse 3 'another holdout' $score --holdout-scores l1.holdout.jsonl --pool lone \
    --holdout turned --out no
head -n 39 s.holdout.jsonl >short.own
refuse 3 'has 39 lines' $score --holdout-scores short.own --out no
refuse 4 'none.own' $score --holdout-scores none.own --out no

# Methods with one number.
for method in oneshot nuggets gradient loss incontext; do
    works "scores" $score --out one --method $method --json
    grep -q gain_threshold "$keep/out" && ! grep -q likelihood_threshold "$keep/out" && pass ||
        fail "$method has one number"
done

# ---- train ----
works "training" $train --weights ica --weight-map accept --out r1
works "training" $train --weights file:s --weight-map accept --out r2
cut -d, -f1-3 r1/scores.jsonl >r1.scores
cut -d, -f1-3 s >s.scores
same "train scores as score does" r1.scores s.scores
same "a method and its file" r1/model.safetensors r2/model.safetensors
grep -q '"comparison":{"records":40' r1/run.json && pass || fail "run.json has the comparison"
works "training" $train --weights ica --weight-map accept --refresh 3 --holdout-trim .2 \
    --save-steps 1 --out r3
[ "$(grep -c '"trimmed":true' r3/scores.jsonl.holdout.jsonl)" -eq 8 ] && pass ||
    fail "a refresh keeps the choice of the first scores"
for threads in 2 5; do
    works "training" $train --weights ica --weight-map accept --refresh 3 --holdout-trim .2 \
        --threads $threads --out r4 --overwrite
    same "$threads threads" r3/model.safetensors r4/model.safetensors
    same "$threads threads" r3/scores.jsonl.holdout.jsonl r4/scores.jsonl.holdout.jsonl
done
# A run of 200 steps with a refresh at steps 0, 67 and 134, stopped after a step: the next refresh
# must know which records were left out.
trimmed="$train --max-steps 200 --weights ica --weight-map accept --refresh 3 --holdout-trim .2"
works "training" $trimmed --out r5
stopped r6 $trimmed
works "training" train --resume r6
same "resumed" r5/model.safetensors r6/model.safetensors
same "resumed" r5/scores.jsonl.holdout.jsonl r6/scores.jsonl.holdout.jsonl

# ---- rho: a reference for each fold ----
rho="--method rho --reference-steps 5 --learning-rate 1e-2 --batch-size 8 --accept-level .3"
works "scores" $score $rho --out rho --json
says "score" 'accept: .* and log-likelihood by the reference'
[ "$(weights rho .3 logp_by_reference)" = " 100 same" ] && pass ||
    fail "weights by hand: $(weights rho .3 logp_by_reference)"
[ "$(grep -c '"logp_by_reference"' rho.holdout.jsonl)" -eq 40 ] && pass ||
    fail "what the references say of the holdout"
for threads in 2 5; do
    works "scores" $score $rho --out t --threads $threads
    same "rho, $threads threads" rho t
    same "rho, $threads threads" rho.holdout.jsonl t.holdout.jsonl
done
: >joined
for i in 1 2 3 4; do
    works "a shard" $score $rho --out part --shard $i/4
    cat part >>joined
    same "rho, shard $i" rho.holdout.jsonl part.holdout.jsonl
done
same "rho, four shards" rho joined
works "scores" $score $rho --out t --chunk 7
same "rho, by chunks" rho t
works "scores" $score $rho --out t --holdout-scores rho.holdout.jsonl
same "rho, the holdout's own from a file" rho t
works "scores" score --model base --pool pool --holdout turned --weight-map accept $rho --out o
same "rho, the order of the holdout" rho o
refuse 3 'scored by a reference, and --method is another' $score \
    --holdout-scores rho.holdout.jsonl --out no
refuse 3 'scored without a reference, and --method is rho' $score $rho \
    --holdout-scores s.holdout.jsonl --out no
refuse 2 'each of its rounds would train' $score $rho --holdout-trim .2 --out no
works "select" select --pool pool --scores rho --weight-map accept --accept-level .4 --out rho.4
works "scores" $score $rho --accept-level .4 --out rho4
[ "$(grep -c '"weight":1' rho4)" -eq "$(wc -l <rho.4)" ] && pass || fail "select at another level"

rho="--weights rho --weight-map accept --reference-steps 5 --learning-rate 1e-2 --accept-level .3"
works "training" $train $rho --out w1
works "training" $train --weights file:rho --weight-map accept --learning-rate 1e-2 \
    --accept-level .3 --out w2
same "rho and its file" w1/model.safetensors w2/model.safetensors
same "rho scores the holdout as score does" w1/scores.jsonl.holdout.jsonl rho.holdout.jsonl
[ ! -e w1/reference ] && pass || fail "the references of folds are kept"
works "training" $train $rho --refresh 3 --out w3
for threads in 2 5; do
    works "training" $train $rho --refresh 3 --threads $threads --out w4 --overwrite
    same "rho, $threads threads" w3/model.safetensors w4/model.safetensors
    same "rho, $threads threads" w3/scores.jsonl.holdout.jsonl w4/scores.jsonl.holdout.jsonl
done
# Stopped between refreshes and resumed: what the references said is in the state.
stopped w5 $train $rho --refresh 30 --max-steps 300
works "resumed" train --resume w5
works "training" $train $rho --refresh 30 --max-steps 300 --save-steps 1 --out w6
same "rho, resumed" w5/model.safetensors w6/model.safetensors
same "rho, resumed" w5/scores.jsonl w6/scores.jsonl

# ---- pairs ----
pairs="--model base --pool pairs --holdout pairs-hold --objective dpo"
works "scores" score $pairs --weight-map accept --out p
works "scores" score $pairs --weight-map accept --out p3 --pair-score loss
works "scores" score $pairs --weight-map mirror --out p2 --json
grep -q '"slope"' "$keep/out" && pass || fail "mirror says its slope"
rho="--reference-steps 5 --learning-rate 1e-2"
for map in accept mirror; do
    works "scores" score $pairs --weight-map $map --method rho $rho --out pr
    works "training" train $pairs --weights rho --weight-map $map $rho --batch-size 8 \
        --max-steps 3 --refresh 2 --out pr3 --overwrite
    works "training" train $pairs --weights file:pr --weight-map $map $rho --batch-size 8 \
        --max-steps 3 --out pr4 --overwrite
    works "training" train $pairs --weights rho --weight-map $map $rho --batch-size 8 \
        --max-steps 3 --out pr5 --overwrite
    same "pairs, $map by rho and by its file" pr4/model.safetensors pr5/model.safetensors
done
works "resumed" train --resume pr3
works "training" train $pairs --weights ica --weight-map mirror --batch-size 8 --max-steps 3 \
    --out pr1
works "training" train $pairs --weights file:p2 --weight-map mirror --batch-size 8 --max-steps 3 \
    --out pr2
same "mirror from a method and from its file" pr1/model.safetensors pr2/model.safetensors

# ---- --relabel: pairs that are more likely flipped than not change places ----
# Three of five pairs are turned, which makes the share about one half.
turn() { # three of five pairs, or, after a score line and a tab, those that it relabels
    awk '{ split($0, part, "\t"); line = part[2] == "" ? $0 : part[2] }
        part[2] == "" ? NR % 5 < 3 : part[1] ~ /"relabel":true/ {
            sub(/"chosen"/, "\"was\"", line); sub(/"rejected"/, "\"chosen\"", line)
            sub(/"was"/, "\"rejected\"", line)
        }
        { print line }'
}
turn <pairs >mixed
mixed="--model base --pool mixed --holdout pairs-hold --objective dpo"
relabel="--weight-map mirror --relabel"
works "scores" score $mixed --weight-map mirror --out p4
works "scores" score $mixed $relabel --out q --json
n=$(grep -c '"relabel":true' q)
[ "$n" -gt 0 ] && grep -q "\"relabelled\":$n," "$keep/out" && pass || fail "$n pairs are swapped"
# By hand from p4, whose map leaves out what q swaps: the weights of the others are the same.
paste p4 q | awk -F '\t' '
    function w(s) { match(s, /"weight":[^,]*/); return substr(s, RSTART + 9, RLENGTH - 9) }
    { bad += $2 ~ /"relabel":true/ ? !(w($1) == 0 && w($2) > 0) : w($1) != w($2) }
    END { exit bad > 0 }' && pass || fail "weights of mirror with and without --relabel"
tune="--batch-size 8 --max-steps 6 --logging-steps 1"
works "training" train $mixed --weights ica $relabel $tune --refresh 2 --save-steps 1 --out q1
works "training" train $mixed --weights ica $relabel $tune --out q2
works "training" train $mixed --weights file:q $tune --out q3
works "training" train $mixed --weights file:p4 $relabel $tune --out q4
same "relabelled by a method and by its file" q2/model.safetensors q3/model.safetensors
same "relabelled by a file without relabel" q2/model.safetensors q4/model.safetensors
for threads in 2 5; do
    works "training" train $mixed --weights ica $relabel $tune --refresh 2 --threads $threads \
        --out q5 --overwrite
    same "relabelled, $threads threads" q1/model.safetensors q5/model.safetensors
    same "relabelled, $threads threads" q1/scores.jsonl q5/scores.jsonl
done
# Stopped after a step, and resumed: the state does not say which pairs are swapped.
stopped q6 train $mixed --weights ica $relabel $tune --refresh 2 --max-steps 600
works "resumed" train --resume q6
works "training" train $mixed --weights ica $relabel $tune --refresh 2 --max-steps 600 --out q7
same "relabelled, resumed" q6/model.safetensors q7/model.safetensors
# The same loss and gradient as on a pool whose pairs are swapped in the file, with the weights of
# q. The rows of a swapped pair change places, so sums are rounded otherwise: 1e-4 of a number.
paste q mixed | turn >turned
sed 's/,"relabel":true//; s/,"hash":"[0-9a-f]*"//' q >q.bare
figures() { sed 's/.*"loss":\([^,]*\),.*"grad_norm":\([^,]*\),.*/\1 \2/' "$1/log.jsonl"; }
works "training" train --model base --pool turned --objective dpo --weights file:q.bare $tune \
    --out q8
works "training" train $mixed --weights file:q.bare $tune --out q9
apart() { # RUN RUN: the largest difference of a loss or gradient norm, relative
    figures "$1" >one
    figures "$2" | paste -d ' ' one - | awk '
        {
            for (i = 1; i <= 2; i++) {
                d = ($i - $(i + 2)) / $i
                if (d < 0) d = -d
                if (d > m) m = d
            }
        }
        END { print m < 1e-4 ? "the same" : "others" }'
}
[ "$(apart q2 q8)" = "the same" ] && pass || fail "a pool with swapped pairs"
[ "$(apart q2 q9)" = others ] && pass || fail "swapping changes nothing"
refuse 2 'relabel: only --weight-map mirror' score $mixed --relabel --out no
refuse 2 'relabel: only --weight-map mirror' train $mixed --weights uniform $relabel --out no
refuse 2 'does not go with --dump-state' train $mixed --weights ica $relabel --dump-state no.d \
    --out no
refuse 2 'swaps a pair' train $mixed --weights file:q --dump-state no.d --max-steps 1 --out no
refuse 3 'change places' select --pool mixed --scores q --out no
sed 's/"relabel":true/"relabel":1/' q >q.bad
refuse 3 'is true or false' train $mixed --weights file:q.bad --max-steps 1 --out no
sed '1s/,"tokens"/,"relabel":true,"tokens"/' s >s.bad
refuse 3 'is no pair' train --model base --pool pool --weights file:s.bad --max-steps 1 --out no

# No weight at all is said by name: a holdout of flipped pairs, and a pool of noise.
sed 's/"chosen"/"was"/; s/"rejected"/"chosen"/; s/"was"/"rejected"/' pairs-hold >flipped-hold
sed 's/"completion":"[^"]*"/"completion":"zq xv jk ww zq"/' pool >noise
flipped="--model base --pool pairs --holdout flipped-hold --objective dpo"
works "flipped pairs" score $flipped --weight-map mirror --out f --json
warned() { grep -q "^WARNING: --weight-map $1: every weight is 0: .*$2" "$keep/err"; }
warned mirror "do not sum to more than 0" && pass || fail "score: mirror has no weight"
grep -q '"kept_share":0,' "$keep/out" && pass || fail "a kept share of 0"
works "flipped pairs" train $flipped --weights ica --weight-map mirror --batch-size 8 \
    --max-steps 3 --out fr
warned mirror "do not sum to more than 0" && pass || fail "train: mirror has no weight"
works "noise" score --model base --pool noise --holdout hold --weight-map accept \
    --accept-level 1 --out f
warned accept "no candidate reaches" && pass || fail "accept keeps nothing"
works "the pool" $score --out f
grep -q '^WARNING: --weight-map' "$keep/err" && fail "a warning with weights" || pass
# E7a of swapped pairs is minus their own, to the bit: the same gains with the other sign.
sed 's/"chosen"/"was"/; s/"rejected"/"chosen"/; s/"was"/"rejected"/' pairs >swapped
works "scores" score --model base --pool swapped --holdout pairs-hold --objective dpo \
    --weight-map mirror --out w
for file in p2 w; do sed 's/.*"score":\([^,]*\),.*/\1/' $file >$file.scores; done
sed 's/^/-/; s/^--//' p2.scores >turned.scores
same "[E7a] swapped pairs" w.scores turned.scores

# ---- select: the user's own bytes ----
works "select" select --pool pool --scores s --out chosen --json
awk 'FNR == NR { w[FNR] = /"weight":1[,}]/; next } w[FNR]' s pool >wanted
same "select" chosen wanted
[ "$(sed 's/.*"chosen":\([0-9]*\).*/\1/' "$keep/out")" -eq "$(wc -l <chosen)" ] && pass ||
    fail "select says how many"
works "select" select --pool pool --scores s --weight-map accept --accept-level .4 \
    --out chosen --overwrite
awk 'FNR == NR { w[FNR] = /"weight":1[,}]/; next } w[FNR]' s2 pool >wanted
same "select with another level" chosen wanted
works "select" select --pool pool --scores s --share .25 --out best --with-weights
[ "$(grep -c ',"weight":1}$' best)" -eq 25 ] && pass || fail "a share of 25"
sed 's/,"weight":1}$/}/' best >bare
[ "$(grep -cxFf pool bare)" -eq 25 ] && pass || fail "each is a record of the pool, with its weight"
# Odd bytes stay: spaces, escapes, unknown keys, CRLF; an array gives the same records.
printf '%s\r\n\n  %s\n' '{ "prompt" : "a\u0041", "completion":"b" , "x":[1, 2]}' \
    '{"completion":"c","prompt":"d"}' >odd
printf '[%s,\n\n%s]' '{ "prompt" : "a\u0041", "completion":"b" ,\n"x":[1, 2]}' \
    '{"completion":"c","prompt":"d"}' | sed 's/\\n/\
/' >array
printf '{"id":"1","score":2,"weight":1}\n{"id":"3","score":1,"weight":0.5}\n' >odd.scores
sed 's/"3"/"2"/' odd.scores >array.scores
works "select" select --pool odd --scores odd.scores --out e1 --with-weights
[ "$(head -n 1 e1)" = '{ "prompt" : "a\u0041", "completion":"b" , "x":[1, 2],"weight":1}' ] &&
    [ "$(tail -n 1 e1)" = '  {"completion":"c","prompt":"d","weight":0.5}' ] && pass ||
    fail "odd bytes: $(cat e1)"
works "select" select --pool array --scores array.scores --out e2 --share .5
[ "$(cat e2)" = '{ "prompt" : "a\u0041", "completion":"b" , "x":[1, 2]}' ] && pass ||
    fail "an array: $(cat e2)"
sed '1s/"score":2,"weight":1/"score":null,"weight":null/' array.scores >null.scores
works "select" select --pool array --scores null.scores --out e3 --share .5
says "a share leaves out what has no score" '^1 records have no score: they are left out'
works "select" select --pool array --scores null.scores --weight-map rank --with-weights --out e4
says "a map gives it the mean" '^1 records have no score: they weigh the mean of the others'
refuse 3 "already" select --pool e1 --scores array.scores --with-weights --out no
refuse 3 "another pool" select --pool pool --scores p --out no
# An id does not say which text was scored.
sed '3s/"completion":"/&no /' pool >mended
refuse 3 's:3: the pool.s record there \(mended:3\) has another text' select --pool mended \
    --scores s --share .5 --out no
sed 's/,"hash":"[0-9a-f]*"//' s >unhashed
works "lines without a hash" select --pool mended --scores unhashed --share .5 --out u0
# A pool of which records were left out when it was scored: it says what to do.
sed 1d p >less
refuse 3 "remove these from the pool, too" select --pool pool --scores less --out no
# Asked to, it chooses among the records that have a line: as of a pool of these alone.
sed '2d;7d;$d' s >less
sed '2d;7d;$d' pool >known
for how in "--share .5" "--weight-map accept --holdout-scores s.holdout.jsonl" --with-weights; do
    works "of known ones" select --pool known --scores less --out u1 --overwrite $how
    works "of a pool with others" select --pool pool --scores less --out u2 --overwrite $how \
        --skip-unscored --json
    says "it says how many" '^3 records have no line in less: they are not chosen$'
    grep -q '"left_out":3' "$keep/out" && pass || fail "and notes it"
    same "the same are chosen" u1 u2
done
works "of all" select --pool pool --scores s --out u3 --share .5 --skip-unscored
grep -q 'have no line' "$keep/err" && fail "nobody is passed over" || pass
works "of all, without it" select --pool pool --scores s --out u4 --share .5
same "it changes nothing" u3 u4
sed '2h;2d;3G' less >turned
refuse 3 "turned:3: is of no record of pool that comes after" select --pool pool --scores turned \
    --share .5 --out no --skip-unscored
(cat s; tail -n 1 s) >more
refuse 3 ":.*: is of no record" select --pool pool --scores more --out no --skip-unscored

# A record without an id of its own is known by its text: the same lines in another order are
# another pool, and so is a text that was mended since.
sed 's/"id":"[^"]*",//' pool >nameless
{ tail -n 1 nameless; sed '$d' nameless; } >turned
works "scores" score --model base --pool nameless --holdout hold --out n
works "the pool that was scored" select --pool nameless --scores n --out n1 --overwrite
refuse 3 "another text" select --pool turned --scores n --out no
refuse 3 "another text" train --model base --pool turned --holdout hold --weights file:n \
    --max-steps 1 --out no
refuse 3 "name the pool that was scored" report n --pool turned --out no.html
is "each line has a hash" "$(grep -c '"hash":"[0-9a-f]\{16\}"' s)" "$(wc -l <s | tr -d ' ')"
# Of two records with one id the second has a hash, so they cannot change places.
sed '2s/"id":"[^"]*"/"id":"even50-0001"/' pool >twice
{ sed -n '2p;1p' twice; sed 1,2d twice; } | sed '1{h;d};2{G}' >turned
head -n 2 turned | cmp -s - twice && fail "the same order"
"$ICA" score --model base --pool twice --holdout hold --out tw >tw.out 2>&1
grep -q 'WARNING: 1 records have an id that an earlier one has, the first "even50-0001"' tw.out &&
    pass || fail "two records with one id: $(cat tw.out)"
refuse 3 "another text" select --pool turned --scores tw --out no
refuse 2 "not both" select --pool pool --scores s --share .5 --weight-map filter --out no
refuse 2 "needs --share" select --pool pool --scores s --weight-map top --out no
sed 's/"weight":[^,}]*/"x":0/' s >bare.scores
refuse 2 "no weights" select --pool pool --scores bare.scores --out no
ica select --pool pool --scores s --out s
[ $status -eq 2 ] && pass || fail "select over its scores"

# ---- refused ----
cp hold mine.holdout.jsonl
ica score --model base --pool pool --holdout mine.holdout.jsonl --weight-map accept --out mine
[ $status -eq 2 ] && cmp -s hold mine.holdout.jsonl && pass || fail "a holdout is overwritten"
refuse 2 "random numbers" $score --method random --out no
refuse 2 "gradient on pairs" score $pairs --weight-map accept --method gradient --out no
refuse 2 "is for pairs" score --model base --pool pool --holdout hold --weight-map mirror --out no
refuse 2 "entire pool" score $pairs --weight-map mirror --shard 1/2 --out no
refuse 2 "needs --holdout" score --model base --pool pool --weight-map accept --method loss --out no
refuse 2 "accept-level" $score --accept-level 0 --out no
head -n 1 hold >few
few="score --model base --pool pool --holdout few --weight-map accept --k 1 --out no"
ica $few
is "one prompt" $status 3
says "one prompt" "distinct prompts"
head -n 20 hold >few
ica $few --holdout-trim .9
is "two prompts, trimmed" $status 3
says "two prompts, trimmed" "distinct prompts"
[ ! -e no ] && pass || fail "a refusal leaves scores"
cp s lone
refuse 4 "lone.holdout.jsonl" $train --weights file:lone --weight-map accept --out no
echo '{"id":"1"}' >lone.holdout.jsonl
refuse 3 "lone.holdout.jsonl:1: is no score" $train --weights file:lone --weight-map accept --out no

finish accept
