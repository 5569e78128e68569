#!/bin/sh
# The program as its user meets it: the whole road on tiny data, the same bits for any number of
# threads, interruption and --resume, every form of record, and bad input. Needs only a POSIX shell
# with sed, awk, grep and cmp.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
SANITIZED=$PWD/build/sanitize/ica
SETTINGS=$PWD/program/settings.c
cd "$work" || exit 1

# ---- how to check; check.sh has more ----

absent() { [ ! -e "$1" ]; }

same_tensors() { # WHAT FILE FILE: of training states, whose headers also hold seconds
    if ica diff "$2" "$3"; then pass; else fail "$1: $2 and $3 differ"; fi
}

differ() { # WHAT FILE FILE: guards a comparison of equals against comparing nothing
    if [ -s "$2" ] && [ -s "$3" ] && ! cmp -s "$2" "$3"; then pass
    else fail "$1: $2 and $3 should differ"; fi
}

keys() { # FILE KEY...: every key stands in the file
    file=$1 missing=
    shift
    for key in "$@"; do grep -q "\"$key\":" "$file" || missing="$missing $key"; done
    if [ -z "$missing" ]; then pass; else fail "$file lacks:$missing"; fi
}

# FILE KEY: the last number under that key
value() { sed -n "s/.*\"$2\":\\([-+0-9.e]*\\).*/\\1/p" "$1" | tail -n 1; }

near() { # WHAT A B RELATIVE-TOLERANCE
    if awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { d = a - b; if (d < 0) d = -d; m = b < 0 ? -b : b
        exit !(a != "" && b != "" && d <= t * (m > 1e-300 ? m : 1)) }'; then pass
    else fail "$1: $2 against $3"; fi
}

# ---- the tiny data ----

"$ICA" corpus --out corpus >"$keep/out" 2>"$keep/err" || fail "corpus"
for f in pretrain pool-even50 pool-verbose60 holdout test pairs-pool pairs-holdout pairs-test; do
    check "corpus writes $f.jsonl" test -s corpus/$f.jsonl
done
head -n 150 corpus/pretrain.jsonl >sessions.jsonl
head -n 40 corpus/pool-even50.jsonl >pool.jsonl
head -n 10 corpus/holdout.jsonl >hold.jsonl
head -n 16 corpus/test.jsonl >test.jsonl
keys sessions.jsonl messages source
keys pool.jsonl id prompt completion clean source
works "corpus without sessions" corpus --out again --no-pretrain
check "--no-pretrain writes no sessions" absent again/pretrain.jsonl
for f in pool-even50 pool-verbose60 holdout test pairs-pool
do same "corpus is a function of its seed" corpus/$f.jsonl again/$f.jsonl; done
works "a corpus with noise" corpus --out noise --no-pretrain --noise typo,similar --noise-rate 0.6
check "480 of its 800 records are corrupted" \
    test "$(grep -c '"clean":false' noise/pool-noise.jsonl)" = 480
same "noise is kept out of the other pools" corpus/pool-even50.jsonl noise/pool-even50.jsonl
refuse 2 '"typos" is not a kind of noise.*typo, cut' corpus --out none --noise typos
refuse 2 'there is no noise' corpus --out none --noise-rate 0.5
refuse 2 'there is no noise' corpus --out none --noise none --noise-rate 0.5
check "nothing is written" test ! -e none
rm -rf noise
works "another draw" corpus --out again --no-pretrain --draw 2
differ "another draw has another pool" corpus/pool-even50.jsonl again/pool-even50.jsonl
same "another draw has the same test" corpus/test.jsonl again/test.jsonl
cp corpus/pairs-pool.jsonl pairs-all.jsonl
head -n 8 corpus/pairs-holdout.jsonl >pairs-hold.jsonl
head -n 12 corpus/pairs-test.jsonl >pairs-test.jsonl
rm -rf corpus again
sed 's/,"clean".*}/}/' pool.jsonl >pool-unknown.jsonl
sed 's/,"clean".*}/}/' hold.jsonl >hold-unknown.jsonl
if grep -q '"clean"\|"source"' pool-unknown.jsonl hold-unknown.jsonl
then fail "known truth is still in the files made without it"; fi

TUNE="--batch-size 8 --max-steps 50 --learning-rate 1e-3 --reference-steps 10"
DATA="--model base --pool pool.jsonl --holdout hold.jsonl"

# ---- the whole road ----

works "tokenizer" tokenizer --data sessions.jsonl --vocab-size 300 --out tok
for f in vocab.json merges.txt tokenizer_config.json template.json
do check "tokenizer writes $f" test -s tok/$f; done
{
    printf 'what colour is grass ?\n\n  two  blanks\tand a tab\n'
    printf '\303\247a va \342\202\254 <e> <bos>\n\377\376 no UTF-8\nlast\n'
} >text
"$ICA" encode --tokenizer tok <text >ids 2>"$keep/err" || fail "encode"
"$ICA" decode --tokenizer tok <ids >text2 2>"$keep/err" || fail "decode"
same "encode and decode give back any bytes" text text2
check "encode writes one array of ids a line" test "$(grep -c '^\[[0-9,]*\]$' ids)" -eq \
    "$(wc -l <text)"

# A tokenizer.json: its ids are those of tests/reference/tokenizers/vectors.jsonl. Models carry it.
words=$root/tests/reference/tokenizers
ids_of() { # TOKENIZER TEXT
    grep "^{\"tokenizer\":\"$1\",\"text\":\"$2\"," "$words/vectors.jsonl" |
        sed 's/.*"ids":\(\[[0-9,]*\]\).*/\1/'
}
for name in gpt2 smollm2 llama3 qwen llama2 metaspace; do
    for line in 'the quick brown fox' '3.14159, 2,718 and 100 000' ' theater'; do
        echo "$line" | "$ICA" encode --tokenizer "$words/$name" >got 2>"$keep/err"
        ids_of "$name" "$line" >want
        check "$name: ids are there" test -s want
        same "$name: ids of '$line'" want got
        echo "$line" >want
        [ "$name" != metaspace ] || echo "${line# }" >want
        "$ICA" decode --tokenizer "$words/$name" <got >back 2>"$keep/err"
        same "$name: '$line' comes back" want back
    done
done
printf '{"name": "chatml"}' >chatml.json
for name in llama3 qwen; do
    mkdir words-$name
    cp "$words/$name/tokenizer.json" words-$name
    cp chatml.json words-$name/template.json
    works "$name: a model" pretrain --data sessions.jsonl --tokenizer words-$name --layers 1 \
        --heads 2 --channels 16 --context 192 --max-steps 2 --out carry-$name
    same "$name: a model carries tokenizer.json" words-$name/tokenizer.json \
        carry-$name/tokenizer.json
    check "$name: and nothing that it says again" absent carry-$name/vocab.json
    works "$name: and the next" train --model carry-$name --pool pool.jsonl --batch-size 8 \
        --max-steps 1 --out carried-$name
    same "$name: so does the next" words-$name/tokenizer.json carried-$name/tokenizer.json
done

PRETRAIN="--data sessions.jsonl --tokenizer tok --layers 2 --heads 4 --channels 32
    --context 128 --batch-tokens 512"
# shellcheck disable=SC2086
works "pretrain" pretrain $PRETRAIN --max-steps 40 --warmup-steps 5 --out base \
    --holdout hold.jsonl --eval test.jsonl --eval-steps 20 \
    --logging-steps 10
for f in config.json model.safetensors vocab.json merges.txt tokenizer_config.json template.json \
    training_state.safetensors run.json log.jsonl; do
    check "pretrain writes $f" test -s base/$f
done
keys base/config.json model_type n_layer n_head n_embd n_positions vocab_size
keys base/run.json version command group arm objective seed options threads compiler flags machine \
    cpu cores peak_gflops inputs path fingerprint \
    seconds score reference train eval total tokens score_forward result steps loss ess \
        skipped_steps
keys base/log.jsonl step loss learning_rate grad_norm tokens_per_second seconds icl_p_sequence \
    icl_nll
check "one log line every --logging-steps" test "$(wc -l <base/log.jsonl)" -eq 4
check "pretraining lowers the loss" awk -v \
    a="$(sed -n '1s/.*"loss":\([0-9.]*\).*/\1/p' base/log.jsonl)" -v \
    b="$(value base/log.jsonl loss)" \
    'BEGIN { exit !(b + 0.3 < a) }'

works "eval" eval --model base --data test.jsonl --json --per-example each.jsonl
cp "$keep/out" eval.json
keys eval.json command data k records nll perplexity p_sequence exact_match
# The definitions, worked out once more from the log-probabilities of each record.
awk -F'[:,}]' \
    '{ logp = n = ""
    for (i = 1; i < NF; i++) {
        if ($i ~ /"logp"/) logp = $(i + 1)
        if ($i ~ /"tokens"/) n = $(i + 1)
    }
    nll -= logp / n; p += exp(logp); total -= logp; tokens += n }
    END { printf "{\"nll\":%.12g,\"perplexity\":%.12g,\"p_sequence\":%.12g}\n", nll / NR,
        exp(total / tokens), p / NR }' each.jsonl >mine.json
for key in nll perplexity p_sequence; do near "eval's $key follows from --per-example" \
    "$(value eval.json $key)" "$(value mine.json $key)" 1e-9; done
check "--per-example writes a line a record" test "$(wc -l <each.jsonl)" -eq 16
works "eval with demonstrations" eval --model base --data test.jsonl --holdout hold.jsonl --k 2 \
    --json
check "eval says its k" test "$(value "$keep/out" k)" -eq 2
near "every demonstration fits" "$(value "$keep/out" dropped_demos)" 0 0
works "eval with more demonstrations than fit" eval --model base --data test.jsonl \
    --holdout hold.jsonl --k 10 --json
check "eval says how many did not fit" grep -q \
    "^$(value "$keep/out" dropped_demos) demonstrations did not fit" "$keep/err"
works "eval for people" eval --model base --data test.jsonl
check "a table has no braces" test -z "$(grep '{' "$keep/out")"

for method in ica rho oneshot nuggets gradient incontext loss random; do
    # shellcheck disable=SC2086
    works "score --method $method" score $DATA --method $method --out score-$method.jsonl \
        --reference-steps 10 --json
    cp "$keep/out" score-$method.json
    check "score writes a line a record" test "$(wc -l <score-$method.jsonl)" -eq 40
    keys score-$method.json command method group draw objective pool holdout scores auroc all ess \
        weight_length_correlation seconds \
        records clean
    keys score-$method.jsonl id score weight tokens
    if grep -qi 'nan\|inf[^o]' score-$method.jsonl score-$method.json
    then fail "--method $method: a number is not finite"; fi
done
keys score-ica.jsonl logp logp_in_context demos
check "each candidate has three demonstrations, or the context had no room" test \
    "$(grep -o '"demos":[^]]*' score-ica.jsonl | grep -o '"holdout-[0-9]*"' | wc -l)" -eq $((120 - \
        $(value score-ica.json dropped_demos)))
differ "methods differ" score-ica.jsonl score-oneshot.jsonl
# What shows no k demonstrations asks for none: a k above the holdout's 10 records changes nothing.
for method in "rho --reference-steps 10" gradient loss random; do
    # shellcheck disable=SC2086
    works "score --method $method --k 11" score $DATA --method $method --k 11 --out k.jsonl
    same "$method has no k" "score-${method%% *}.jsonl" k.jsonl
done
# shellcheck disable=SC2086
works "random anchors have no k" score $DATA --method oneshot --anchors random --k 11 --out k.jsonl

# Shards: one behind the other they are the whole file without its weights, random numbers included,
# and train makes the weights.
for options in "ica" "ica --demos random" "incontext --demos shuffled" "oneshot --anchors random" \
    "gradient" "random"; do
    # shellcheck disable=SC2086
    works "score --method $options" score $DATA --method $options --out all.jsonl
    : >merged.jsonl
    for shard in 1/3 2/3 3/3; do
        # shellcheck disable=SC2086
        works "score --shard $shard" score $DATA --method $options --shard $shard --out part.jsonl \
            --json
        cat part.jsonl >>merged.jsonl
    done
    sed 's/,"weight":[^,]*//' all.jsonl >bare.jsonl
    same "shards of $options" bare.jsonl merged.jsonl
done
keys "$keep/out" shard auroc records
near "the last shard of three has 14 of 40 records" "$(value "$keep/out" records)" 14 0
# shellcheck disable=SC2086
{
    works "the whole file's shards" score $DATA --out all.jsonl
    sed 's/,"weight":[^,]*//' all.jsonl >bare.jsonl
    for map in minmax minmax-batch top; do
        works "weights of merged shards, $map" train --model base --pool pool.jsonl $TUNE \
            --max-steps 6 --weights file:bare.jsonl \
            --weight-map $map --out from-bare --overwrite
        works "weights of the method, $map" train $DATA $TUNE --max-steps 6 --weights ica \
            --weight-map $map --out from-ica --overwrite
        same "scores without weights get them from --weight-map $map" from-ica/model.safetensors \
            from-bare/model.safetensors
        near "and their effective sample size" "$(value from-ica/run.json ess)" \
            "$(value from-bare/run.json ess)" 0
    done
}
rm -rf from-bare from-ica
# E5, E8 and E18 and the rank statistic, worked out once more from the file and the pool's known
# truth.
sed 's/.*"clean":\([a-z]*\).*/\1/' pool.jsonl >truth
sed 's/.*"score":\([^,]*\),"weight":\([^,]*\),"logp":\([^,]*\),/\1 \2 \3 /' score-ica.jsonl |
    sed 's/"logp_in_context":\([^,]*\),.*"tokens":\([0-9]*\).*/\1 \2/' |
    paste -d' ' - truth >numbers
check "score = (logp in context - logp) / tokens" awk \
    '{ d = $1 - ($4 - $3) / $5; if (d > 1e-9 || d < -1e-9) exit 1 }' numbers
check "minmax maps scores onto 0..1 in order" awk \
    '{
        s[NR] = $1; w[NR] = $2
        if (NR == 1 || $1 < low) low = $1
        if (NR == 1 || $1 > high) high = $1
    }
    END {
        for (i = 1; i <= NR; i++) {
            d = w[i] - (s[i] - low) / (high - low)
            if (d > 1e-9 || d < -1e-9) exit 1
        }
    }' numbers
near "ess = (sum w)^2 / sum w^2" "$(value score-ica.json ess)" \
    "$(awk '{ a += $2; b += $2 * $2 } END { printf "%.12g", a * a / b }' numbers)" 1e-9
near "auroc counts pairs" "$(sed -n 's/.*"auroc":{"all":\([0-9.e-]*\).*/\1/p' score-ica.json)" \
    "$(awk '{ s[NR] = $1; t[NR] = $6 }
    END { for (i = 1; i <= NR; i++)
              for (j = 1; j <= NR; j++)
                  if (t[i] == "true" && t[j] == "false") {
                      n++
                      a += s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0
                  }
          printf "%.12g", a / n }' numbers)" 1e-9
# shellcheck disable=SC2086
works "no demonstrations" score $DATA --k 0 --out zero.jsonl
says "no demonstrations: told" '^WARNING: --k 0 shows no demonstration'
check "no demonstrations: every score is exactly 0" test "$(grep -c '"score":0,' zero.jsonl)" -eq 40
check "equal scores: every weight is 1" test "$(grep -c '"weight":1,' zero.jsonl)" -eq 40
# shellcheck disable=SC2086
works "one list for all" score $DATA --contexts 1 --k 1 --out one-list.jsonl
check "one list for all" test \
    "$(sed 's/.*"demos"://' one-list.jsonl | sed 's/].*//' | sort -u | wc -l)" -eq 1
# shellcheck disable=SC2086
works "a list for each" score $DATA --contexts 40 --out own-lists.jsonl
same "as many lists as candidates are their own" own-lists.jsonl score-ica.jsonl
# shellcheck disable=SC2086
refuse 2 '--contexts' score $DATA --contexts 4 --demos random --out no
for map in clip rank softmax top positive filter; do
    # shellcheck disable=SC2086
    works "score --weight-map $map" score $DATA --weight-map $map --out map-$map.jsonl
    differ "map $map is not minmax" map-$map.jsonl score-ica.jsonl
done

for weights in uniform oracle ica:minmax-batch ica:filter rho:top oneshot:rank random:softmax; do
    run=run-$(echo $weights | tr : -)
    map=${weights#*:}
    [ "$map" != "$weights" ] || map=minmax
    # shellcheck disable=SC2086
    works "train --weights $weights" train $DATA --eval test.jsonl --weights "${weights%%:*}" \
        --weight-map "$map" --out "$run" $TUNE --max-steps 12 \
        --eval-steps 6 --logging-steps 3
    for f in config.json model.safetensors vocab.json merges.txt template.json \
        training_state.safetensors run.json log.jsonl metrics.json; do
        [ -s "$run/$f" ] || fail "train --weights $weights leaves no $f"
    done
    keys "$run/log.jsonl" step loss learning_rate grad_norm tokens_per_second seconds ess eval_nll
    keys "$run/run.json" command group arm objective options pool holdout weights weight-map \
        seconds tokens result ess skipped_steps nll perplexity \
        p_sequence exact_match
    case $weights in *:*) check "$weights leaves scores.jsonl" test \
        "$(wc -l <"$run/scores.jsonl")" -eq 40 ;; esac
done
same "the first scores of a run are those of score" score-ica.jsonl \
    run-ica-minmax-batch/scores.jsonl
keys run-ica-minmax-batch/log.jsonl weight_clean weight_corrupted
near "the oracle gives corrupted records nothing" "$(value run-oracle/log.jsonl weight_corrupted)" \
    0 0
check "the arm is named by weights and map" grep -q '"arm":"ica:filter"' run-ica-filter/run.json
works "eval of a run" eval --model run-uniform --data test.jsonl --json
near "metrics.json is what eval finds" "$(value run-uniform/metrics.json nll)" \
    "$(value "$keep/out" nll)" 0
check "fine-tuning lowers the test loss" awk -v a="$(value eval.json nll)" -v \
    b="$(value run-uniform/metrics.json nll)" 'BEGIN { exit !(b < a) }'

works "generate" generate --model base --prompt "what colour is grass ?" --max-new-tokens 8 \
    --temperature 1 --seed 3
cp "$keep/out" generated
works "generate again" generate --model base --prompt "what colour is grass ?" --max-new-tokens 8 \
    --temperature 1 --seed 3
same "generation is a function of its seed" generated "$keep/out"
works "generate --json" generate --model base --prompt "what colour is grass ?" --max-new-tokens 8 \
    --json
keys "$keep/out" prompt completion tokens

# ---- inspect and diff ----

works "inspect" inspect base/model.safetensors
check "a row for each tensor" test "$(grep -c ' F32 ' "$keep/out")" -eq 28
check "its checksums are told" grep -q '^28 tensors, .* there, and right' "$keep/out"
works "inspect --json" inspect base/model.safetensors --json
keys "$keep/out" file metadata crc32c tensors name type shape min max rms not_finite
works "a file has no difference to itself" diff base/model.safetensors base/model.safetensors
check "and that is said" grep -q '28 tensors, no difference' "$keep/out"
# A copy whose float at wpe[3,5] is changed to 1: the file's checksums are taken out of the header
# (blanks take their place).
size=$(od -An -tu8 -N8 base/model.safetensors | tr -d ' ')
at=$(head -c $((8 + size)) base/model.safetensors | tail -c "$size" |
    sed -n 's/.*"wpe.weight":{[^}]*"data_offsets":\[\([0-9]*\),.*/\1/p')
{
    head -c 8 base/model.safetensors
    head -c $((8 + size)) base/model.safetensors | tail -c "$size" |
        sed 's/"[a-z0-9_]*crc32c":"[0-9a-f]*",*//g;s/,}/}/' |
        awk -v n="$size" '{ printf "%-" n "s", $0 }'
    tail -c +$((9 + size)) base/model.safetensors
} >changed.safetensors
printf '\000\000\200\077' | dd of=changed.safetensors bs=1 seek=$((8 + size + at + 4 * (3 * 32 + \
    5))) conv=notrunc 2>/dev/null
ica diff base/model.safetensors changed.safetensors
check "files that differ: status 1" test $? -eq 1
check "one line about them" grep -q \
    '^ica: base/model.safetensors and changed.safetensors differ in 1 of 28 tensors' "$keep/err"
check "the tensor, its shape and the place" grep -Eq \
    '^wpe\.weight +\[128,32\] .* \[3,5\] .* 1 +1 of 4096' "$keep/out"
ica diff base/model.safetensors changed.safetensors --json
old=$(value "$keep/out" a)
near "--json has the distance" "$(value "$keep/out" max_abs_difference)" \
    "$(awk -v a="$old" 'BEGIN { d = 1 - a; printf "%.17g", d < 0 ? -d : d }')" 1e-12
near "and the other value" "$(value "$keep/out" b)" 1 0
works "diff --tolerance" diff base/model.safetensors changed.safetensors --tolerance 3
ica diff base/model.safetensors base/training_state.safetensors
check "other tensors: status 1" test $? -eq 1
check "those of one file alone are told" grep -q 'only in B' "$keep/out"
# Files of 60,000 tensors each: names are found by hash, in a tenth of a second.
many() { # FILE FROM: empty tensors with the numbers FROM, FROM + 1...
    awk -v from="$2" 'BEGIN { printf "{"
        for (i = 0; i < 60000; i++) printf "%s\"a.long.name.%06d\":{\"dtype\":\"F32\"," \
            "\"shape\":[0],\"data_offsets\":[0,0]}", i ? "," : "", from + i
        printf "}" }' >"$keep/header"
    awk -v n="$(wc -c <"$keep/header")" 'BEGIN { for (i = 0; i < 8; i++) {
        printf "\\%03o", n % 256; n = int(n / 256) } }' >"$keep/size"
    { printf "$(cat "$keep/size")"; cat "$keep/header"; } >"$1"
}
many many-a.safetensors 0
many many-b.safetensors 1
ica diff many-a.safetensors many-b.safetensors
check "60,000 tensors are compared" test $? -eq 1
check "one is in B alone" grep -q '^a.long.name.060000 .* only in B' "$keep/out"
rm many-?.safetensors

# ---- preference pairs ----

head -n 24 pairs-all.jsonl >pairs.jsonl
works "eval of pairs" eval --model base --objective simpo --data pairs-test.jsonl --json \
    --per-example base-each.jsonl
keys base-each.jsonl id logp_chosen tokens_chosen logp_rejected tokens_rejected
for objective in dpo simpo; do
    works "score pairs, $objective" score --model base --pool pairs.jsonl \
        --holdout pairs-hold.jsonl --objective $objective \
        --out pairs-$objective.jsonl --json
    keys pairs-$objective.jsonl id score weight logp_chosen logp_rejected logp_chosen_in_context \
        logp_rejected_in_context demos tokens
    check "score of pairs = gain in margin" awk -F'[:,]' \
        '{ for (i = 1; i < NF; i++) v[$i] = $(i + 1)
        inside = v["\"logp_chosen_in_context\""] - v["\"logp_rejected_in_context\""]
        d = v["\"score\""] - (inside - v["\"logp_chosen\""] + v["\"logp_rejected\""])
        if (d > 1e-9 || d < -1e-9) exit 1 }' pairs-$objective.jsonl
    for weights in uniform oracle ica random; do
        works "train --objective $objective --weights $weights" train --model base \
            --objective $objective --pool pairs.jsonl --holdout pairs-hold.jsonl \
            --weights $weights --max-steps 8 --batch-size 8 --learning-rate 1e-3 --logging-steps 4 \
                --eval pairs-test.jsonl --out pair-$weights --overwrite
        keys pair-$weights/metrics.json loss reward_accuracy margin
    done
    differ "weights matter for $objective" pair-uniform/model.safetensors pair-ica/model.safetensors
    works "eval --objective $objective" eval --model pair-ica --reference base \
        --objective $objective --data pairs-test.jsonl --json \
        --per-example pair-each.jsonl
    cp "$keep/out" pair.json
    # The losses, worked out once more from the log-probabilities of model and reference: beta 0.1;
    # SimPO beta 2, gamma / beta 0.25.
    paste -d, base-each.jsonl pair-each.jsonl | awk -F'[:,}]' -v o=$objective '{
        k = 0
        for (i = 1; i < NF; i++) # base: chosen, tokens, rejected, tokens; then the model
            if ($i ~ /"(logp|tokens)_/) v[++k] = $(i + 1)
        h = o == "dpo" ? 0.1 * (v[5] - v[1] - v[7] + v[3]) : 2 * (v[5] / v[6] - v[7] / v[8])
        t = o == "dpo" ? h : h - 0.5
        loss += log(1 + exp(-t)); right += h > 0; margin += h }
        END { printf "{\"loss\":%.12g,\"reward_accuracy\":%.12g,\"margin\":%.12g}\n", loss / NR,
            right / NR, margin / NR }' >mine.json
    for key in loss reward_accuracy margin; do
        near "$objective: eval's $key follows from --per-example" "$(value pair.json $key)" \
            "$(value mine.json $key)" 1e-9
        near "$objective: metrics.json is what eval finds, $key" \
            "$(value pair-ica/metrics.json $key)" "$(value pair.json $key)" 0
    done
    for threads in 1 3; do
        works "pairs with $threads threads" train --model base --objective $objective \
            --pool pairs.jsonl --holdout pairs-hold.jsonl --weights ica \
            --max-steps 8 --batch-size 8 --learning-rate 1e-3 --threads $threads \
                --out pair-$threads --overwrite
    done
    same "pairs, any number of threads" pair-ica/model.safetensors pair-1/model.safetensors \
        pair-3/model.safetensors
done
works "sft on pairs" train --model base --pool pairs.jsonl --max-steps 3 --out pair-chosen
sed 's/"chosen"/"completion"/;s/,"rejected":"[^"]*"//' pairs.jsonl >chosen.jsonl
# The rejected answer has no part in it: here it is longer than the context.
sed "s/\"rejected\":\"/&$(awk 'BEGIN { for (i = 0; i < 140; i++) printf "%d ", i % 7 }')/" \
    pairs.jsonl >pairs-long.jsonl
for pool in pairs-long chosen; do
    works "sft scores of $pool" score --model base --pool $pool.jsonl --holdout hold.jsonl --k 8 \
        --out $pool-scores.jsonl
done
check "demonstrations were dropped" grep -q 'did not fit' "$keep/err"
for file in chosen pairs-long; do # they are records of two forms, and have hashes of their own
    sed 's/,"hash":"[0-9a-f]*"//' $file-scores.jsonl >$file-unhashed
done
same "sft scores a pair as its chosen answer" chosen-unhashed pairs-long-unhashed
works "sft on their chosen answers" train --model base --pool chosen.jsonl --max-steps 3 \
    --out chosen
same "sft reads a pair as its chosen answer" pair-chosen/model.safetensors chosen/model.safetensors
# What the log says of pairs are means over the steps since the last line.
for steps in 1 4; do
    works "log every $steps" train --model base --objective dpo --pool pairs.jsonl --max-steps 4 \
        --batch-size 8 --learning-rate 1e-3 \
        --logging-steps $steps --out log-$steps
done
for key in loss rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen \
    logps/rejected ess; do
    near "$key is a mean over the window" \
        "$(value log-4/log.jsonl "$(echo $key | sed 's:/:\\/:')")" \
        "$(sed -n "s:.*\"$key\"\:\([-+0-9.e]*\).*:\1:p" log-1/log.jsonl |
            awk '{ a += $1 } END { printf "%.17g", a / NR }')" 1e-12
done
# DPO's reference is paid for once: at its start the reference's log-likelihoods are those of the
# model that is scored.
works "score pairs, dpo" score --model base --pool pairs.jsonl --holdout pairs-hold.jsonl \
    --objective dpo --out dpo.jsonl --json
cp "$keep/out" dpo.json
works "score pairs, simpo" score --model base --pool pairs.jsonl --holdout pairs-hold.jsonl \
    --objective simpo --out simpo.jsonl --json
check "DPO's reference is in the cost of scores once" [ "$(value dpo.json flops)" = \
    "$(value "$keep/out" flops)" ]
check "and in that of a run" awk -v \
    a="$(sed -n 's/.*"flops":{.*"reference":\([0-9.e+]*\).*/\1/p' log-4/run.json)" \
    'BEGIN { exit !(a > 0) }'
rm -rf log-1 log-4
works "one micro-batch" train --model base --objective dpo --pool pairs.jsonl --max-steps 3 \
    --batch-size 8 --logging-steps 1 \
    --out pair-whole
works "micro-batches of pairs" train --model base --objective dpo --pool pairs.jsonl --max-steps 3 \
    --batch-size 8 --logging-steps 1 \
    --micro-batch-size 1 --out pair-parts
near "micro-batches of 1 and 8 pairs, loss" "$(value pair-whole/log.jsonl loss)" \
    "$(value pair-parts/log.jsonl loss)" 1e-5
sed 's/,"flipped".*}/}/' pairs.jsonl >pairs-unknown.jsonl
works "pairs without known truth" train --model base --objective dpo --pool pairs-unknown.jsonl \
    --holdout pairs-hold.jsonl --weights ica --max-steps 8 \
    --batch-size 8 --learning-rate 1e-3 --out pair-unknown
works "pairs with known truth" train --model base --objective dpo --pool pairs.jsonl \
    --holdout pairs-hold.jsonl --weights ica --max-steps 8 \
    --batch-size 8 --learning-rate 1e-3 --out pair-known
same "pairs: ica reads no known truth" pair-known/model.safetensors pair-unknown/model.safetensors

# ---- the same bits ----

# bits NAME ARGUMENTS: a run of 50 steps with ica's weights, kept as bits-NAME, and its scores
bits() {
    name=$1
    shift
    # shellcheck disable=SC2086
    works "train $*" train $DATA $TUNE --weights ica --refresh 2 --out bits-$name "$@"
}
for threads in 1 2 3 8; do bits $threads --threads $threads; done
bits again --threads 2
same "weights after 50 steps, any number of threads" bits-1/model.safetensors \
    bits-2/model.safetensors bits-3/model.safetensors bits-8/model.safetensors
same "scores, any number of threads" bits-1/scores.jsonl bits-2/scores.jsonl bits-3/scores.jsonl \
    bits-8/scores.jsonl
same "two runs" bits-2/model.safetensors bits-again/model.safetensors
same_tensors "two runs" bits-2/training_state.safetensors bits-again/training_state.safetensors
differ "the second scores are new" bits-1/scores.jsonl score-ica.jsonl
for threads in 1 2 3 8; do
    # shellcheck disable=SC2086
    works "score with $threads threads" score $DATA --method rho --reference-steps 10 \
        --threads $threads --out rho-$threads.jsonl
done
same "scores and reference, any number of threads" rho-1.jsonl rho-2.jsonl rho-3.jsonl rho-8.jsonl \
    score-rho.jsonl
# shellcheck disable=SC2086
works "another seed" train $DATA $TUNE --weights ica --refresh 2 --out other --seed 2
differ "another seed gives another model" other/model.safetensors bits-1/model.safetensors
rm -rf bits-2 bits-3 bits-8 bits-again other

# few NAME ARGUMENTS: a short run in few-NAME
few() {
    name=$1
    shift
    # shellcheck disable=SC2086
    works "train $*" train --model base $TUNE --max-steps 10 --out few-$name --overwrite "$@"
}
sed 's/^{/{"weight":1,/' pool.jsonl >pool-ones.jsonl
few uniform --pool pool.jsonl
few ones --pool pool-ones.jsonl --weights records
same "weights of 1 are no weights" few-uniform/model.safetensors few-ones/model.safetensors
for method in ica rho oneshot random; do
    few known --pool pool.jsonl --holdout hold.jsonl --weights $method
    few unknown --pool pool-unknown.jsonl --holdout hold-unknown.jsonl --weights $method
    same "$method reads no known truth" few-known/model.safetensors few-unknown/model.safetensors
    same "$method reads no known truth" few-known/scores.jsonl few-unknown/scores.jsonl
    differ "$method weighs" few-known/model.safetensors few-uniform/model.safetensors
done
for method in ica rho; do
    few map --pool pool.jsonl --holdout hold.jsonl --weights $method --weight-map minmax
    # RHO's reference is trained with the run's own settings
    works "score" score --model base --pool pool.jsonl --holdout hold.jsonl --method $method \
        --learning-rate 1e-3 --batch-size 8 \
        --reference-steps 10 --out kept.jsonl
    few file --pool pool.jsonl --weights file:kept.jsonl
    same "weights of score's file are the map's, $method" few-map/model.safetensors \
        few-file/model.safetensors
done

# One record at a time adds the same gradient in another order: sums differ by rounding, and Adam,
# which divides each gradient by its own size, turns rounding into whole steps where the true
# gradient is zero. So losses agree closely and bits need not.
for micro in 1 16; do
    # shellcheck disable=SC2086
    works "micro-batches of $micro" train --model base --pool pool.jsonl \
        --weights file:kept.jsonl $TUNE --max-steps 6 --batch-size 16 --logging-steps 1 \
        --micro-batch-size $micro --out micro-$micro
done
for step in 1 2 3 4 5 6; do
    near "micro-batches of 1 and 16, loss of step $step" \
        "$(sed -n "${step}s/.*\"loss\":\\([0-9.]*\\).*/\\1/p" micro-1/log.jsonl)" \
        "$(sed -n "${step}s/.*\"loss\":\\([0-9.]*\\).*/\\1/p" micro-16/log.jsonl)" 1e-5
done

# ---- one step as a file, for another framework ----

# dump FILE: what the next calls of tensor and shape read. Its header, one tensor a line, and "NAME
# F32[2,3]" of each.
dump() {
    dumped=$1
    begin=$(($(od -An -v -t u8 -N 8 "$dumped") + 8))
    head -c $begin "$dumped" | tail -c +9 | tr '}' '\n' >"$keep/header"
    sed -n 's/.*"\([^"]*\)":{"dtype":"\([A-Z0-9]*\)","shape":\(\[[0-9,]*\]\).*/\1 \2\3/p' \
        "$keep/header" >"$keep/shapes"
}
has() { check "$dumped has $1" grep -Fqx -e "$1" "$keep/shapes"; } # "NAME F32[2,3]"

tensor() { # NAME: its numbers, one a line
    line=$(grep -F "\"$1\":{" "$keep/header") || return 1
    case $line in *'"I64"'*) form=d8 ;; *'"F64"'*) form=f8 ;; *) form=f4 ;; esac
    from=${line##*offsets\":[} end=${line##*,}
    from=${from%%,*} end=${end%]*}
    od -An -v -t $form -j $((from + begin)) -N $((end - from)) "$dumped" |
        awk '{ for (i = 1; i <= NF; i++) print $i }'
}

# moved STEP LR: every weight is where AdamW puts it, from the dump's own gradient, m and v; the
# first step's m and v too. Decay is 0.1 on matrices, betas 0.9 and 0.999. One rounding of the
# weight and ten of the step are allowed, in float.
moved() {
    norm=$(tensor grad_norm)
    for name in wte.weight h.0.attn.c_attn.weight h.1.mlp.c_fc.bias ln_f.weight; do
        for ending in '' .grad .after .m .v; do tensor "$name$ending" >"$keep/part$ending"; done
        paste -d' ' "$keep/part" "$keep/part.grad" "$keep/part.after" "$keep/part.m" \
            "$keep/part.v" >"$keep/parts"
        if grep -q "^$name .*," "$keep/shapes"; then decay=0.1; else decay=0; fi
        check "$dumped: AdamW's step on $name" awk -v step="$1" -v lr="$2" -v decay=$decay -v \
            norm="$norm" '
            function size(x) { return x < 0 ? -x : x }
            { d = $2 * (norm > 1 ? 1 / norm : 1)
              m = step == 1 ? 0.1 * d : $4
              v = step == 1 ? 0.001 * d * d : $5
              root = sqrt(v / (1 - 0.999 ^ step))
              change = lr * (m / (1 - 0.9 ^ step) / (root + 1e-8) + decay * $1)
              if (!(size($1 - change - $3) <= 6e-7 * size(change) + 1.2e-7 * size($3))) exit 1
              if (size(m - $4) > 6e-7 * size(m) + 1e-37 ||
                  size(v - $5) > 6e-7 * size(v) + 1e-37) exit 1
              any += $2 != 0 }
            END { exit !(NR > 0 && any > 0) }' "$keep/parts"
    done
}

DUMP="--batch-size 8 --learning-rate 1e-3 --weight-decay 0.1 --lr-scheduler-type constant
    --warmup-steps 0"
# shellcheck disable=SC2086
{
    works "score" score $DATA --weight-map rank --out kept.jsonl
    for step in 1 3; do
        works "--dump-state, step $step" train --model base --pool pool.jsonl \
            --weights file:kept.jsonl $DUMP --max-steps $step --out run-dump --overwrite \
            --dump-state step-$step.safetensors
        dump step-$step.safetensors
        moved $step 1e-3
    done
    works "without --dump-state" train --model base --pool pool.jsonl \
        --weights file:kept.jsonl $DUMP --max-steps 3 --out run-plain
    same "a dump changes nothing" run-dump/model.safetensors run-plain/model.safetensors
    # A single step with a warm-up has the rate 0.
    works "one step" train --model base --pool pool.jsonl --max-steps 1 --out still
    check "it says that nothing will move" \
        grep -q '^WARNING: no parameter will move.*of the 1 steps' "$keep/err"
    same "and nothing does" base/model.safetensors still/model.safetensors
    works "two steps" train --model base --pool pool.jsonl --max-steps 2 --out moves
    check "say nothing" sh -c '! grep -q WARNING "$1"' sh "$keep/err"
    differ "and move" base/model.safetensors moves/model.safetensors
    works "no warm-up" train --model base --pool pool.jsonl --max-steps 1 --warmup-steps 0 \
        --out moves --overwrite
    check "says nothing" sh -c '! grep -q WARNING "$1"' sh "$keep/err"
    differ "and moves" base/model.safetensors moves/model.safetensors
    rm -r still moves
    works "--dump-state in parts" train --model base --pool pool.jsonl \
        --weights file:kept.jsonl $DUMP --max-steps 1 --micro-batch-size 3 \
        --out run-dump --overwrite --dump-state parts.safetensors
}
dump parts.safetensors
for name in logp weight row input_ids labels lr; do tensor $name >"$keep/again-$name"; done
dump step-1.safetensors
for name in logp weight row input_ids labels lr; do
    tensor $name >"$keep/$name"
    same "$name in one batch and in parts" "$keep/$name" "$keep/again-$name"
done
width=$(sed -n 's/^input_ids .*,\([0-9]*\)]/\1/p' "$keep/shapes")
for entry in 'wte.weight F32[300,32]' 'wpe.weight F32[128,32]' 'h.1.attn.c_attn.weight F32[32,96]' \
    'h.1.attn.c_attn.bias F32[96]' \
    'h.0.mlp.c_proj.weight F32[128,32]' 'ln_f.bias F32[32]'; do
    for ending in '' .grad .after .m .v; do has "${entry% *}$ending ${entry#* }"; done
done
for entry in 'logp F64[8]' 'weight F64[8]' 'row I64[8]' "input_ids I64[8,$width]" \
    "labels I64[8,$width]" 'loss F64[1]' 'lr F64[1]' \
    'grad_norm F64[1]'; do has "$entry"; done
check "and nothing else" test "$(wc -l <"$keep/shapes")" -eq $((28 * 5 + 8))
tensor wte.weight >"$keep/first"
dump base/model.safetensors
tensor wte.weight >"$keep/again"
same "the first step begins with the model" "$keep/first" "$keep/again"
dump step-3.safetensors
tensor wte.weight.after >"$keep/first"
dump run-dump/model.safetensors
tensor wte.weight >"$keep/again"
differ "three steps lead elsewhere than one" "$keep/first" "$keep/again"
dump run-plain/model.safetensors
tensor wte.weight >"$keep/again"
same "the last step ends with the run's model" "$keep/first" "$keep/again"
dump step-1.safetensors
# What stands beside the tensors, worked out once more: from eval's log-likelihoods of the base, the
# file of weights, and the records.
works "eval of the pool" eval --model base --data pool.jsonl --per-example each.jsonl
sed 's/.*"logp":\([^,]*\),"tokens":\([0-9]*\).*/\1 \2/' each.jsonl >"$keep/each"
sed 's/.*"weight":\([^,]*\),.*/\1/' kept.jsonl | paste -d' ' "$keep/each" - >"$keep/records"
check "logp, weight and row belong together" awk 'FNR == NR { known[FNR] = $0; next }
    { split(known[$3], k, " "); d = $1 - k[1]; e = $2 - k[3]; if (seen[$3]++ || !(d * d <= 1e-22 &&
        e * e <= 1e-24)) exit 1 }
    END { exit FNR != 8 }' "$keep/records" - <<EOF
$(paste -d' ' "$keep/logp" "$keep/weight" "$keep/row")
EOF
near "the loss is the weighted mean of token means" "$(tensor loss)" \
    "$(paste -d' ' "$keep/weight" "$keep/row" |
    awk 'FNR == NR { split($0, k, " "); loss[FNR] = -k[1] / k[2]; next }
        { sum += $1 * loss[$2]; total += $1 }
        END { printf "%.15g", sum / total }' \
        "$keep/records" -)" 1e-12
check "labels are the answer's tokens in their place, -100 else" awk -v width="$width" \
    'FILENAME ~ /records/ { tokens[FNR] = $2; next }
    FILENAME ~ /row/ { row[FNR] = $1; next }
    { r = int((FNR - 1) / width) + 1; t = (FNR - 1) % width
      if ($2 != -100) { if ($2 != $1) exit 1; if (!scored[r]++) begin[r] = t; last[r] = t } }
    END { for (r = 1; r <= 8; r++) if (scored[r] != tokens[row[r]] ||
        last[r] - begin[r] + 1 != scored[r]) exit 1 }' "$keep/records" "$keep/row" - <<EOF
$(paste -d' ' "$keep/input_ids" "$keep/labels")
EOF
near "grad_norm is the norm over all tensors" "$(tensor grad_norm)" \
    "$(sed -n 's/\(.*\.grad\) .*/\1/p' "$keep/shapes" |
    while read -r name; do tensor "$name"; done |
        awk '{ sum += $1 * $1 } END { printf "%.15g", sqrt(sum) }')" 1e-7
# shellcheck disable=SC2086
works "--dump-state with ica" train $DATA --weights ica $DUMP --max-steps 1 \
    --out run-dump --overwrite \
    --dump-state ica.safetensors
sed 's/.*"score":\([^,]*\),.*/\1/' run-dump/scores.jsonl >"$keep/scores"
dump ica.safetensors
tensor weight >"$keep/weight"
check "the weights are max-min of the batch's scores" awk 'FNR == NR { score[FNR] = $1; next }
    { w[FNR] = $1; s[FNR] = score[$2]; if (FNR == 1 || s[FNR] < low) low = s[FNR]; if (FNR == 1 ||
        s[FNR] > high) high = s[FNR] }
    END { for (i = 1; i <= 8; i++) { d = w[i] - (s[i] - low) / (high - low);
        if (!(d * d < 1e-22)) exit 1 } }' "$keep/scores" - <<EOF
$(tensor row | paste -d' ' "$keep/weight" -)
EOF
for objective in dpo simpo; do
    # shellcheck disable=SC2086
    works "--dump-state of $objective" train --model base --objective $objective \
        --pool pairs.jsonl $DUMP --max-steps 1 --micro-batch-size 3 \
        --out run-dump --overwrite --dump-state pairs.safetensors
    dump pairs.safetensors
    moved 1 1e-3
    width=$(sed -n 's/^labels .*,\([0-9]*\)]/\1/p' "$keep/shapes")
    for entry in 'logp F64[16]' 'weight F64[8]' 'row I64[8]' "input_ids I64[16,$width]" \
        "labels I64[16,$width]"; do has "$entry"; done
    works "eval of the pairs" eval --model base --objective simpo --data pairs.jsonl \
        --per-example each.jsonl
    sed 's/.*"logp_chosen":\([^,]*\),.*"logp_rejected":\([^,]*\),.*/\1 \2/' each.jsonl \
        >"$keep/records"
    tensor row >"$keep/row"
    check "$objective: chosen answers first, then the rejected ones" awk \
        'FILENAME ~ /records/ { chosen[FNR] = $1; rejected[FNR] = $2; next }
        FILENAME ~ /row/ { row[FNR] = $1; next }
        { d = $1 - (FNR <= 8 ? chosen[row[FNR]] : rejected[row[FNR - 8]]); if (!(d < 1e-11 &&
            d > -1e-11)) exit 1 }
        END { exit FNR != 16 }' "$keep/records" "$keep/row" - <<EOF
$(tensor logp)
EOF
done
near "the loss of the dump is the log's" "$(value run-dump/log.jsonl loss)" "$(tensor loss)" 1e-12
sed 's/"weight":[^,]*/"weight":0/' kept.jsonl >nothing.jsonl
# shellcheck disable=SC2086
ica train --model base --pool pool.jsonl --weights file:nothing.jsonl $DUMP --max-steps 1 \
    --out run-dump --overwrite --dump-state nothing.safetensors
check "a step without weight is told, not dumped" test $? -eq 1 -a ! -e nothing.safetensors
check "and says why" grep -q '^ica: --dump-state: step 1 was skipped' "$keep/err"

# ---- interruption ----

# interrupted SIGNAL STATUS LINES ARGUMENTS: starts the program and sends the signal when
# stopped/log.jsonl has more lines than that. On a busy machine the signal may come late, when the
# run is over (status 0) or has 60 lines more: then once more, from where it began.
interrupted() {
    signal=$1 status=$2 lines=$3
    shift 3
    rm -rf "$keep/begin"
    [ ! -d stopped ] || cp -R stopped "$keep/begin"
    attempts=0 got=0
    while [ $attempts -lt 50 ]; do
        [ $attempts -eq 0 ] || rm -rf stopped
        [ $attempts -eq 0 ] || [ ! -d "$keep/begin" ] || cp -R "$keep/begin" stopped
        attempts=$((attempts + 1))
        "$ICA" "$@" >"$keep/out" 2>"$keep/err" </dev/null &
        pid=$!
        # no pause in this loop: on a fast machine the whole run is over in a moment
        while kill -0 $pid 2>/dev/null && ! { [ -s stopped/log.jsonl ] &&
            [ "$(wc -l <stopped/log.jsonl)" -gt "$lines" ]; }; do :; done
        kill -"$signal" $pid 2>/dev/null
        wait $pid
        got=$?
        [ $got -eq 0 ] || [ "$(wc -l <stopped/log.jsonl)" -gt $((lines + 60)) ] || break
    done
    if [ $got -eq "$status" ] && grep -q "^ica: .*--resume stopped" "$keep/err"; then pass
    else fail "kill -$signal: status $got from: ica $*"; fi
}
LONG="--batch-size 16 --max-steps 100 --learning-rate 1e-3 --logging-steps 1"
# shellcheck disable=SC2086
works "the run without a break" train $DATA --weights ica $LONG --out whole --eval test.jsonl
# shellcheck disable=SC2086
interrupted INT 130 0 train $DATA --weights ica $LONG --out stopped --eval test.jsonl
lines=$(wc -l <stopped/log.jsonl)
check "it stopped early" test "$lines" -lt 100
check "a stopped run is a model folder" "$ICA" eval --model stopped --data test.jsonl
interrupted TERM 143 "$((lines + 3))" train --resume stopped
works "--resume" train --resume stopped
same "a resumed run ends with the same model" whole/model.safetensors stopped/model.safetensors
same_tensors "and the same optimizer" whole/training_state.safetensors \
    stopped/training_state.safetensors
same "and the same scores" whole/scores.jsonl stopped/scores.jsonl
check "and the same base model" test -n "$(sed -n '/^"base":{"path"/p' stopped/run.json)" \
    -a "$(grep '^"base":' stopped/run.json)" = "$(grep '^"base":' whole/run.json)"
near "and the same AUROC" "$(sed -n 's/.*"auroc":{"all":\([0-9.e-]*\).*/\1/p' whole/run.json)" \
    "$(sed -n 's/.*"auroc":{"all":\([0-9.e-]*\).*/\1/p' stopped/run.json)" 0
near "and the same result" "$(value whole/metrics.json nll)" "$(value stopped/metrics.json nll)" 0
check "its log has every step once" test \
    "$(sed 's/.*"step":\([0-9]*\).*/\1/' stopped/log.jsonl | sort -nu | wc -l)" -eq 100 -a \
    "$(wc -l <stopped/log.jsonl)" -eq 100
mv stopped moved
works "--resume of a finished run that was moved" train --resume moved
check "a run is written where it lies" absent stopped
same "a finished run stays as it is" whole/model.safetensors moved/model.safetensors
rm -rf whole moved
# RHO's reference comes from the weights that the run started with, before the break and behind it.
RHO="--weights rho --refresh 3 --reference-steps 10 --batch-size 16 --max-steps 60
    --logging-steps 1"
# shellcheck disable=SC2086
works "a run with a reference" train $DATA $RHO --out whole
# shellcheck disable=SC2086
interrupted INT 130 0 train $DATA $RHO --out stopped
works "--resume with a reference" train --resume stopped
same "the resumed run ends with the same model" whole/model.safetensors stopped/model.safetensors
same "and the same scores" whole/scores.jsonl stopped/scores.jsonl
rm -rf whole stopped
# DPO's reference is the model that the run started with, not the one that it goes on from.
PAIRS="--model base --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl
    --weights ica --eval pairs-test.jsonl --batch-size 16 --max-steps 40
    --learning-rate 1e-3 --logging-steps 1"
# shellcheck disable=SC2086
works "a run on pairs" train $PAIRS --out whole
# shellcheck disable=SC2086
interrupted INT 130 0 train $PAIRS --out stopped
works "--resume on pairs" train --resume stopped
same "the resumed run on pairs ends with the same model" whole/model.safetensors \
    stopped/model.safetensors
same "and the same evaluation" whole/metrics.json stopped/metrics.json
rm -rf whole stopped
# shellcheck disable=SC2086
works "pretraining without a break" pretrain $PRETRAIN --max-steps 100 --logging-steps 1 --out whole
# shellcheck disable=SC2086
interrupted INT 130 0 pretrain $PRETRAIN --max-steps 100 --logging-steps 1 --out stopped
works "pretrain --resume" pretrain --resume stopped
same "resumed pretraining ends with the same model" whole/model.safetensors \
    stopped/model.safetensors
same_tensors "and the same optimizer" whole/training_state.safetensors \
    stopped/training_state.safetensors
rm -rf whole stopped

# Killed between two files: the model folder is newer than the state, and what was logged behind the
# save is done again. (kills.sh kills at random instants.)
# shellcheck disable=SC2086
{
    ODD="--weights ica --refresh 2 $LONG --max-steps 24 --logging-steps 7 --eval test.jsonl
        --eval-steps 14"
    works "the run without a break" train $DATA $ODD --out whole
    "$ICA" train $DATA $ODD --save-steps 10 --out stopped >"$keep/out" 2>"$keep/err" </dev/null
}
rm stopped/metrics.json
sed 's/^"result":.*/"result":{}}/' stopped/run.json >"$keep/run.json"
cp "$keep/run.json" stopped/run.json
works "--resume of a run that was killed behind its last save" train --resume stopped
same "it still gets its evaluation" whole/metrics.json stopped/metrics.json
near "and its result" "$(value whole/run.json ess)" "$(value stopped/run.json ess)" 0
unclocked() { sed 's/"tokens_per_second":[^,]*,"seconds":[^,}]*//' "$1"; }
# shellcheck disable=SC2086
{
    attempts=0
    while [ $attempts -lt 50 ]; do # until it is killed before its end
        attempts=$((attempts + 1))
        rm -rf stopped
        "$ICA" train $DATA $ODD --save-steps 10 --learning-rate 1e-3 --out stopped >"$keep/out" \
            2>"$keep/err" </dev/null &
        pid=$!
        while kill -0 $pid 2>/dev/null && ! [ -s stopped/training_state.safetensors ]; do :; done
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        [ $? -eq 0 ] || break
    done
}
cp base/model.safetensors stopped/model.safetensors
echo '{"step":11,"loss":99,"tokens_per_second":1,"seconds":0.001}' >>stopped/log.jsonl
echo torn >stopped/model.safetensors.4711.part
mkdir -p stopped/reference
echo torn >stopped/reference/model.safetensors.12.part
echo mine >stopped/notes.part
echo mine >stopped/film.001.part
works "--resume with a model of another step" train --resume stopped
same "the state is all that counts: the same model" whole/model.safetensors \
    stopped/model.safetensors
same_tensors "and the same state" whole/training_state.safetensors \
    stopped/training_state.safetensors
same "and the same scores" whole/scores.jsonl stopped/scores.jsonl
unclocked whole/log.jsonl >log-whole
unclocked stopped/log.jsonl >log-stopped
same "and the same log, each line once" log-whole log-stopped
check "and seconds that go on" awk -F'"seconds":' '{ s = $2 + 0; if (s < last) exit 1; last = s }' \
    stopped/log.jsonl
check "what a killed program left is gone" test -z "$(find stopped -name 'model*.part')"
check "what it did not make is not" test -s stopped/notes.part -a -s stopped/film.001.part
near "no account of a part alone: tokens" \
    "$(sed -n 's/.*"tokens":{.*"train":\([0-9]*\).*/\1/p' whole/run.json)" \
    "$(sed -n 's/.*"tokens":{.*"train":\([0-9]*\).*/\1/p' stopped/run.json)" 0
cp pool.jsonl kept-pool.jsonl
sed '3s/"completion":"/&x/' kept-pool.jsonl >pool.jsonl
refuse 3 '--pool was content' train --resume stopped
cp kept-pool.jsonl pool.jsonl
works "a run with a file of weights" train --model base --pool pool.jsonl \
    --weights file:kept.jsonl --max-steps 2 --out weighed
check "the file of weights is an input" grep -q '"path":"kept.jsonl","fingerprint":"[0-9a-f]*"' \
    weighed/run.json
cp kept.jsonl kept-as-it-was.jsonl
sed '3s/"weight":[^,]*/"weight":0.123/' kept-as-it-was.jsonl >kept.jsonl
refuse 3 '--max-steps was 2.* --weights file was content' train --resume weighed --max-steps 3
cp kept-as-it-was.jsonl kept.jsonl
works "the same weights" train --resume weighed --force-resume --max-steps 3
rm -rf weighed
rm stopped/training_state*.safetensors
refuse 4 'stopped/training_state\.safetensors' train --resume stopped
sed 's/^"result":.*/"result":{}}/' stopped/run.json >"$keep/run.json"
cp "$keep/run.json" stopped/run.json
works "--resume of a run that was killed before its first save" train --resume stopped
check "it says that it starts again" grep -q '^stopped: .*starts again' "$keep/err"
same "and ends with the same model" whole/model.safetensors stopped/model.safetensors
check "arguments do not pile up" test "$(grep -o '"--out"' stopped/run.json | wc -l)" -eq 1
rm -rf whole stopped

# Asked twice, the program leaves in the middle of a step: no model then, or a whole one. (The same
# signal twice may count as one, and a run that was asked once ends with the same status.)
"$ICA" train --model base --pool pool.jsonl --batch-size 2000 --max-steps 100000 --out stopped \
    >"$keep/out" 2>"$keep/err" </dev/null &
pid=$!
while kill -0 $pid 2>/dev/null && ! [ -f stopped/log.jsonl ]; do :; done
kill -INT $pid
kill -INT $pid 2>/dev/null
wait $pid
check "a second signal ends the program with 130" test $? -eq 130
if [ -e stopped/model.safetensors ]; then works "the model is whole" eval --model stopped \
    --data test.jsonl; else pass; fi
rm -rf stopped
# A pool from a pipe that nobody writes to is read until the signal.
mkfifo pipe
"$ICA" score --model base --pool pipe --holdout pairs-all.jsonl --out stopped \
    >"$keep/out" 2>"$keep/err" </dev/null &
pid=$!
exec 3>pipe # waits until the program opens the other end
kill -TERM $pid
wait $pid 2>/dev/null
check "what has nothing to save ends at the first signal" test $? -eq 143
exec 3>&-
rm pipe
check "and leaves nothing" absent stopped

# ---- other forms of records ----

turns='s/"prompt":\("[^"]*"\),"completion":\("[^"]*"\)'
sed "$turns"'/"messages":[{"role":"user","content":\1},{"role":"assistant","content":\2}]/' \
    pool.jsonl >form-messages.jsonl
sed "$turns"'/"question":\1,"answer":\2/' pool.jsonl >form-question.jsonl
for keys in instruction/response prompt/response query/response input/output question/response; do
    sed "$turns/\"${keys%/*}\":\\1,\"${keys#*/}\":\\2/" pool.jsonl \
        >"form-${keys%/*}-${keys#*/}.jsonl"
done
answer='{"role":"user","content":"x"},{"role":"assistant","content":"BAD","weight":0}'
sed "s/}]/,\"weight\":1},$answer]/" form-messages.jsonl >form-weights.jsonl
{ echo '['; sed "$turns"'/"instruction":\1,"input":"","output":\2/;$!s/$/,/' pool.jsonl; echo ']'
} >form-alpaca.json
{ printf '\357\273\277'; awk '{ printf "%s\r\n", $0 }' pool.jsonl; echo; } >form-windows.jsonl
for f in form-*.json*; do
    works "score of $f" score --model base --pool $f --holdout hold.jsonl --out form.jsonl
    same "$f is read as prompt and completion" score-ica.jsonl form.jsonl
done
sed '3s/}$/,"system":"be brief"}/' form-question.jsonl >form-system.jsonl
refuse 3 'form-system\.jsonl:3: has a system turn, and the template has none: .*--template' score \
    --model base --pool form-system.jsonl --holdout hold.jsonl --out no
# What is read is told at the start: of each file by form, copies, answers, lengths, ignored keys.
{ sed 's/}$/,"topic":"x","weight":2}/' pool.jsonl; head -n 2 form-question.jsonl
} >told.jsonl
works "train says what it reads" train --model base --pool told.jsonl --max-steps 1 --out told
for line in \
    '^pool told\.jsonl: 42 records (prompt/completion 40, question/answer 2), 40 distinct: 2' \
    '^  42 answers count, the last of each record$' \
    '^  tokens of a row: median [0-9]*, 95 % at most [0-9]*, longest [0-9]*; none cut, none d' \
    '^  keys not read: topic (40 records), weight (40 records)$'; do
    check "train says $line" grep -q "$line" "$keep/err"
done
keys told/run.json records distinct forms answers row_tokens median p95 longest cut dropped ignored
sed 's/}$/,"weight":2}/' pool.jsonl >weighted.jsonl
works "weights of records" train --model base --pool weighted.jsonl --weights records \
    --max-steps 1 --out told-weights
if grep -q "keys not read" "$keep/err"; then fail "--weights records reads weight"; else pass; fi
{ printf '\357\273\277'; cat score-ica.jsonl; } >score-mark.jsonl
works "a byte-order mark before scores" train --model base --pool pool.jsonl \
    --weights file:score-mark.jsonl --max-steps 1 --out told-mark
works "train on an Alpaca file" train --model base --pool form-alpaca.json --holdout hold.jsonl \
    --weights ica --max-steps 3 --out run-alpaca
echo '{"text":"the cat sat on the mat . the cat sat on the mat ."}' >text.jsonl
works "pretrain on text" pretrain --model base --data text.jsonl --max-steps 2 --out run-text

works "a pool in a file" train --model base --pool pool.jsonl --max-steps 2 --out run-file
if "$ICA" train --model base --pool - --max-steps 2 --out run-stdin <pool.jsonl >"$keep/out" \
    2>"$keep/err"; then pass; else fail "a pool on stdin"; fi
same "a pool on stdin is a pool" run-file/model.safetensors run-stdin/model.safetensors
print=$(sed -n 's/.*"path":"pool.jsonl","fingerprint":"\([0-9a-f]*\)".*/\1/p' run-file/run.json)
check "and has its fingerprint" grep -q "\"path\":\"-\",\"fingerprint\":\"${print:-none}\"" \
    run-stdin/run.json

# input_ids: a folder without a vocabulary is enough
mkdir bare
cp base/config.json base/model.safetensors bare
sed 's/.*"prompt":"\([^"]*\)".*"completion":"\([^"]*\)".*/\1 \2/' pool.jsonl hold.jsonl |
    "$ICA" encode --tokenizer tok | awk '{
    n = split(substr($0, 2, length($0) - 2), id, ","); cut = int(n / 2); labels = ""
    for (i = 1; i <= n; i++) labels = labels (i > 1 ? "," : "") (i <= cut ? -100 : id[i])
    printf "{\"input_ids\":%s,\"labels\":[%s]}\n", $0, labels }' >ids.jsonl
head -n 40 ids.jsonl >pool-ids.jsonl
tail -n 10 ids.jsonl >hold-ids.jsonl
for method in ica rho oneshot; do
    works "train on input_ids, $method" train --model bare --pool pool-ids.jsonl \
        --holdout hold-ids.jsonl --weights $method \
        --reference-steps 3 --max-steps 3 --out run-ids --overwrite
done
check "no vocabulary came from nowhere" absent run-ids/vocab.json
works "score input_ids" score --model bare --pool pool-ids.jsonl --holdout hold-ids.jsonl \
    --out score-ids.jsonl
check "demonstrations are named by their line" grep -q '"demos":\["[0-9]*","[0-9]*","[0-9]*"\]' \
    score-ids.jsonl
works "eval of input_ids" eval --model run-ids --data hold-ids.jsonl --json

# A GPT-2 folder from elsewhere: plain text, no template
mkdir foreign
cp base/config.json base/model.safetensors base/merges.txt foreign
sed 's/"<e>"/"<|endoftext|>"/' base/vocab.json >foreign/vocab.json
works "score with a foreign folder" score --model foreign --pool pool.jsonl --holdout hold.jsonl \
    --out foreign.jsonl
differ "another template gives other scores" foreign.jsonl score-ica.jsonl
works "train a foreign folder" train --model foreign --pool pool.jsonl --holdout hold.jsonl \
    --weights ica --max-steps 3 \
    --out run-foreign --eval test.jsonl
works "eval of it" eval --model run-foreign --data test.jsonl --json
near "its plain template went with it" "$(value run-foreign/metrics.json nll)" \
    "$(value "$keep/out" nll)" 0
works "generate from it" generate --model run-foreign --prompt hello --max-new-tokens 4

# Weights of 0: nothing to learn from
sed 's/^{/{"weight":0,/' pool.jsonl >pool-zeros.jsonl
works "all weights 0" train --model base --pool pool-zeros.jsonl --weights records --max-steps 5 \
    --out run-zeros
says "and at the start" '^WARNING: pool-zeros.jsonl: every weight is 0: nothing is learned'
check "skipped steps are told" grep -q '^5 steps were skipped' "$keep/err"
check "skipped steps are counted" test "$(value run-zeros/run.json skipped_steps)" -eq 5
same "nothing was learned" base/model.safetensors run-zeros/model.safetensors

# ---- bad input ----

rm -rf pair-* few-* bits-* micro-* run-* log-* # refuse goes through all that lies here
T="train --model base --out no"
lines_with() { head -n 2 pool.jsonl; printf '%b\n' "$2"; tail -n 2 pool.jsonl; } # FILE TEXT
bad() { lines_with x "$2" >"bad-$1.jsonl"; }
: >bad-empty.jsonl
printf '\n \t\n\n' >bad-blank.jsonl
bad keys '{"prompt":"what is it ?","reply":"no"}'
bad utf8 '{"prompt":"caf\0351","completion":"x"}'
bad json '{"prompt":"a","completion":"b"'
bad number '17'
bad null '{"prompt":null,"completion":"b"}'
bad blank-prompt '{"prompt":"","completion":"b"}'
bad text '{"text":"only text"}'
bad ids '{"input_ids":[1,2,3],"labels":[-100,2,3]}'
bad pair '{"prompt":"a","chosen":"b","rejected":"c"}'
bad weight '{"prompt":"a","completion":"b","weight":-1}'
long=$(awk 'BEGIN { for (i = 0; i < 140; i++) printf "%d ", i % 7 }')
bad long-prompt "{\"prompt\":\"$long\",\"completion\":\"b\"}"
bad long-answer "{\"prompt\":\"a\",\"completion\":\"$long\"}"
printf '\037\213\010\000zipped' >bad-gzip.jsonl
cp pool.jsonl file

# shellcheck disable=SC2086
{
    refuse 3 'bad-empty\.jsonl:1: ' $T --pool bad-empty.jsonl
    refuse 3 'bad-blank\.jsonl:1: ' $T --pool bad-blank.jsonl
    refuse 3 'bad-keys\.jsonl:3: .*prompt, reply' $T --pool bad-keys.jsonl
    refuse 3 'bad-utf8\.jsonl:3: .*UTF-8' $T --pool bad-utf8.jsonl
    refuse 3 'bad-json\.jsonl:3: ' $T --pool bad-json.jsonl
    refuse 3 'bad-number\.jsonl:3: ' $T --pool bad-number.jsonl
    refuse 3 'bad-null\.jsonl:3: ' $T --pool bad-null.jsonl
    refuse 3 'bad-blank-prompt\.jsonl:3: "prompt" is empty' $T --pool bad-blank-prompt.jsonl
    refuse 3 'bad-text\.jsonl:3: .*pretrain' $T --pool bad-text.jsonl
    refuse 3 'bad-ids\.jsonl:3: ' $T --pool bad-ids.jsonl
    refuse 3 'bad-weight\.jsonl:3: "weight" is negative' $T --pool bad-weight.jsonl
    refuse 3 'bad-gzip\.jsonl:1: .*gzip' $T --pool bad-gzip.jsonl
    refuse 3 'bad-long-prompt\.jsonl:3: .*context' $T --pool bad-long-prompt.jsonl
    refuse 3 'bad-long-prompt\.jsonl:3: .*no token of the completion' $T \
        --pool bad-long-prompt.jsonl --truncate
    refuse 3 'bad-long-answer\.jsonl:3: .*--truncate' $T --pool bad-long-answer.jsonl
    for f in empty utf8 json keys long-prompt; do # the same everywhere that records are read
        refuse 3 "bad-$f\\.jsonl:[13]: " score --model base --out no --pool bad-$f.jsonl \
            --holdout hold.jsonl
        refuse 3 "bad-$f\\.jsonl:[13]: " score --model base --out no --pool pool.jsonl \
            --holdout bad-$f.jsonl
        refuse 3 "bad-$f\\.jsonl:[13]: " eval --model base --data bad-$f.jsonl --per-example no
        refuse 3 "bad-$f\\.jsonl:[13]: " $T --pool pool.jsonl --eval bad-$f.jsonl
    done
    for f in empty utf8 json keys; do
        refuse 3 "bad-$f\\.jsonl:[13]: " pretrain --data bad-$f.jsonl --tokenizer tok --out no
        refuse 3 "bad-$f\\.jsonl:[13]: " tokenizer --data bad-$f.jsonl --out no
    done
    refuse 3 'bad-pair\.jsonl:3: ' pretrain --data bad-pair.jsonl --tokenizer tok --out no
    refuse 3 'pool\.jsonl:1: .*pair|pool\.jsonl:1: .*chosen' $T --objective dpo --pool pool.jsonl
    refuse 2 'reference' eval --model base --objective dpo --data pairs-test.jsonl
    refuse 3 'pairs-unknown\.jsonl:1: .*flipped' $T --objective dpo --pool pairs-unknown.jsonl \
        --weights oracle
    refuse 4 'nowhere\.jsonl: ' $T --pool nowhere.jsonl
    refuse 4 'base: ' $T --pool base

    refuse 3 'hold\.jsonl.*10.*11' $T --pool pool.jsonl --holdout hold.jsonl --weights ica --k 11
    for method in ica incontext oneshot nuggets; do refuse 3 'hold\.jsonl.*10.*11' score $DATA \
        --method $method --k 11 --out no; done
    refuse 3 'hold\.jsonl.*10.*11' eval --model base --data test.jsonl --holdout hold.jsonl --k 11
    refuse 2 'holdout' $T --pool pool.jsonl --weights ica
    refuse 2 'holdout' score --model base --pool pool.jsonl --out no
    refuse 2 'holdout' eval --model base --data test.jsonl --k 2
    { cat hold.jsonl; sed -n '7s/"prompt":"\([^ ]*\) /"prompt":" \1 \\t /p' pool.jsonl |
        sed 's/"completion":"\([^"]*\)"/"completion":"\1 "/'; } >hold-leak.jsonl
    {
        cat test.jsonl
        sed -n 5p pool.jsonl | sed 's/"prompt":"w/"prompt":"W/;s/"prompt":"n/"prompt":"N/' |
            sed 's/"prompt":"r/"prompt":"R/;s/"prompt":"t/"prompt":"T/'
    } >test-leak.jsonl
    { sed -n 2p hold.jsonl; cat test.jsonl; } >test-leak2.jsonl
    refuse 3 'pool\.jsonl:7 .*hold-leak\.jsonl:11 ' $T --pool pool.jsonl --holdout hold-leak.jsonl \
        --weights ica
    refuse 3 'pool\.jsonl:7 .*hold-leak\.jsonl:11 ' score --model base --pool pool.jsonl \
        --holdout hold-leak.jsonl --out no
    refuse 3 'pool\.jsonl:5 .*test-leak\.jsonl:17 ' $T --pool pool.jsonl --eval test-leak.jsonl
    refuse 3 'hold\.jsonl:2 .*test-leak2\.jsonl:1 ' eval --model base --data test-leak2.jsonl \
        --holdout hold.jsonl --k 1
}
differ "the leaking records are spelled differently" hold-leak.jsonl pool.jsonl
works "--allow-overlap" score --model base --pool pool.jsonl --holdout hold-leak.jsonl \
    --out leak.jsonl --allow-overlap
works "--truncate" train --model base --pool bad-long-answer.jsonl --truncate --max-steps 2 \
    --out run-truncated

# folder NAME: a copy of base to spoil
folder() { rm -rf "$1" && mkdir "$1" && cp base/config.json base/*.safetensors base/*.txt \
    base/vocab.json base/t*.json "$1" && rm "$1/training_state.safetensors"; }
for f in weightless mistral torn stub flipped unshaped huge deep wordy; do folder m-$f; done
rm m-weightless/model.safetensors
sed 's/"gpt2"/"mistral"/' base/config.json >m-mistral/config.json
head -c 20000 base/model.safetensors >m-torn/model.safetensors
head -c 5 base/model.safetensors >m-stub/model.safetensors
sed 's/\("n_embd": *\)32/\148/' base/config.json >m-unshaped/config.json
sed 's/\("n_embd": *\)32/\1100000/;s/\("vocab_size": *\)[0-9]*/\116777216/' base/config.json \
    >m-huge/config.json
sed 's/\("n_layer": *\)2/\11000000/' base/config.json >m-deep/config.json
printf 'XXXXXX' | dd of=m-flipped/model.safetensors bs=1 seek=20000 conv=notrunc 2>/dev/null
"$ICA" tokenizer --data sessions.jsonl --vocab-size 310 --out large 2>/dev/null
cp large/* m-wordy
refuse 3 'nowhere.*config\.json' train --model nowhere --out no --pool pool.jsonl
refuse 3 'tok: .*config\.json' train --model tok --out no --pool pool.jsonl
refuse 4 'm-weightless/model\.safetensors' train --model m-weightless --out no --pool pool.jsonl
refuse 3 'm-mistral/config\.json.*gpt2' train --model m-mistral --out no --pool pool.jsonl
refuse 3 'm-torn/model\.safetensors' train --model m-torn --out no --pool pool.jsonl
refuse 3 'm-stub/model\.safetensors' train --model m-stub --out no --pool pool.jsonl
refuse 3 'm-flipped/model\.safetensors' train --model m-flipped --out no --pool pool.jsonl
refuse 3 'm-unshaped/model\.safetensors: tensor' train --model m-unshaped --out no --pool pool.jsonl
refuse 3 'm-huge/config\.json: head size is 25000' train --model m-huge --out no --pool pool.jsonl
refuse 3 'm-deep/config\.json: .*layers is 1000000' train --model m-deep --out no --pool pool.jsonl
refuse 3 'm-wordy.*310.*300' train --model m-wordy --out no --pool pool.jsonl
for command in "score --holdout hold.jsonl --pool pool.jsonl --out no" "eval --data test.jsonl" \
    "generate --prompt x"; do
    # shellcheck disable=SC2086
    refuse 3 'm-torn/model\.safetensors' $command --model m-torn
done
refuse 3 'bare.*vocabulary|bare.*vocab\.json|pool\.jsonl:1: .*vocab\.json' train --model bare \
    --out no --pool pool.jsonl
refuse 3 'bare: .*vocab' generate --model bare --prompt x
sed '1s/\[[0-9]*/[300/' pool-ids.jsonl >bad-id.jsonl
refuse 3 'bad-id\.jsonl:1: .*300' train --model bare --out no --pool bad-id.jsonl
refuse 3 'pool-ids\.jsonl.*hold\.jsonl|hold\.jsonl.*pool-ids\.jsonl' train --model base --out no \
    --pool pool-ids.jsonl \
    --holdout hold.jsonl --weights ica

# shellcheck disable=SC2086
{
    refuse 2 'weigths.*--weights' $T --pool pool.jsonl --weigths ica
    refuse 2 'trian.*train' trian --pool pool.jsonl
    refuse 2 '--pool' $T
    refuse 2 '--out' train --model base --pool pool.jsonl
    refuse 2 '--model' score --pool pool.jsonl --out no
    refuse 2 '--k.*0' $T --pool pool.jsonl --k -1
    refuse 2 '--batch-size' $T --pool pool.jsonl --batch-size 0
    refuse 2 '--learning-rate' $T --pool pool.jsonl --learning-rate 0
    refuse 2 '--share' $T --pool pool.jsonl --share 1.5
    refuse 2 '--k.*three' $T --pool pool.jsonl --k three
    refuse 2 '--learning-rate' $T --pool pool.jsonl --learning-rate nan
    refuse 2 '--weight-map.*minmax' $T --pool pool.jsonl --weight-map minimax
    refuse 2 '--pool' $T --pool --eval test.jsonl
    refuse 2 'surplus' $T --pool pool.jsonl surplus
    for shard in 0/3 4/3 3 1/x 1/3x -1/3; do refuse 2 "--shard" score $DATA --out no \
        --shard $shard; done
    refuse 2 '--shard 1/41.*40' score $DATA --out no --shard 1/41
    refuse 2 'inspect' inspect
    refuse 2 'diff' diff base/model.safetensors
    refuse 4 'nowhere' inspect nowhere
    refuse 4 'nowhere' diff base/model.safetensors nowhere
    refuse 3 'm-flipped/model\.safetensors' inspect m-flipped/model.safetensors
    refuse 2 '--weights wrong.*uniform.*ica' $T --pool pool.jsonl --weights wrong
    refuse 2 '--dump-state pool\.jsonl.*--pool' $T --pool pool.jsonl --dump-state pool.jsonl
    refuse 2 '--dump-state base/model\.safetensors.*--model' $T --pool pool.jsonl \
        --dump-state base/model.safetensors
    refuse 2 'tokenizer' pretrain --data sessions.jsonl --out no
    refuse 3 'pool-unknown\.jsonl:1: .*oracle.*clean' $T --pool pool-unknown.jsonl --weights oracle
    refuse 3 'pool\.jsonl:1: .*weight' $T --pool pool.jsonl --weights records
    { head -n 5 bare.jsonl; sed -n '6,$p' all.jsonl; } >kept-mixed.jsonl
    { head -n 5 all.jsonl; sed -n '6,$p' bare.jsonl; } >kept-mixed2.jsonl
    refuse 3 'kept-mixed\.jsonl:6: .*score' $T --pool pool.jsonl --weights file:kept-mixed.jsonl
    refuse 3 'kept-mixed2\.jsonl:6: .*weight' $T --pool pool.jsonl --weights file:kept-mixed2.jsonl
    head -n 39 kept.jsonl >kept-short.jsonl
    { cat kept.jsonl; tail -n 1 kept.jsonl; } >kept-long.jsonl
    sed '4s/even50-0004/even50-0444/' kept.jsonl >kept-other.jsonl
    sed '6s/"weight":[^,]*/"weight":-1/' kept.jsonl >kept-negative.jsonl
    sed '6s/"weight"/"wait"/' kept.jsonl >kept-keyless.jsonl
    refuse 3 'kept-short\.jsonl.*39.*40' $T --pool pool.jsonl --weights file:kept-short.jsonl
    refuse 3 'kept-long\.jsonl:41.*40' $T --pool pool.jsonl --weights file:kept-long.jsonl
    refuse 3 'kept-other\.jsonl:4.*even50-0444.*pool\.jsonl:4' $T --pool pool.jsonl \
        --weights file:kept-other.jsonl
    refuse 3 'kept-negative\.jsonl:6' $T --pool pool.jsonl --weights file:kept-negative.jsonl
    refuse 3 'kept-keyless\.jsonl:6' $T --pool pool.jsonl --weights file:kept-keyless.jsonl
    refuse 4 'nowhere' $T --pool pool.jsonl --weights file:nowhere
    refuse 4 'file' train --model base --pool pool.jsonl --max-steps 2 --out file
    refuse 4 'file/run' train --model base --pool pool.jsonl --max-steps 2 --out file/run
    refuse 4 'file' score $DATA --out file/scores.jsonl
    refuse 4 'nowhere' score $DATA --out nowhere/scores.jsonl
    refuse 4 'file' tokenizer --data sessions.jsonl --vocab-size 300 --out file
    refuse 4 'file' corpus --no-pretrain --out file
    refuse 4 'nowhere' train --resume nowhere
    refuse 3 'base/run\.json.*command that started it' train --resume base
    refuse 2 '--prompt' generate --model base
}
refuse 3 'context' generate --model base --prompt "$long"
refuse 4 'nowhere' encode --tokenizer nowhere
check "no trace of any refused command" absent no
for spoiled in '[1,2' '[1.5]' '[-1]' '"x"' '[9999]'; do
    printf '[5]\n%s\n' "$spoiled" | "$ICA" decode --tokenizer tok >"$keep/out" 2>"$keep/err"
    got=$?
    if [ $got -eq 3 ] && grep -q '^ica: stdin:2: ' "$keep/err" && [ ! -s "$keep/out" ]; then pass
    else fail "decode of $spoiled: status $got"; fi
done
if [ -c /dev/full ]; then
    "$ICA" encode --tokenizer tok <text >/dev/full 2>"$keep/err"
    check "a full disk behind stdout is told" test $? -eq 4
fi
# shellcheck disable=SC2086
if ica train $DATA --max-steps 20 --learning-rate 10 --max-grad-norm 0 --weights uniform \
    --adam-beta2 0 --out run-diverged; then pass
else check "divergence has status 5 and advice" grep -q \
    '^ica: training diverged at step .*--learning-rate' "$keep/err"; fi

# ---- help ----

works "--version" --version
check "--version names the version" grep -q '^ica [0-9]' "$keep/out"
works "--help" --help
commands=$(sed -n 's/^  \([a-z]*\) .*/\1/p' "$keep/out")
cp "$keep/out" help
check "--help lists the commands" test "$(echo "$commands" | wc -w)" -ge 10
# The option table of program/settings.c, one line "command option" each: the help must hold them
# all.
awk '/^#define [A-Z_]+ "/ {
        macro[$2] = $0
        sub(/^[^"]*"/, "", macro[$2])
        sub(/".*/, "", macro[$2])
    }
    /^    \{"[a-z0-9-]+", OPTION_/ {
        name = $0; sub(/^ *\{"/, "", name); sub(/".*/, "", name)
        list = $0; sub(/^.*AT\([a-z_0-9]*\), */, "", list); sub(/,.*/, "", list);
            gsub(/"/, " ", list)
        n = split(list, word, " ")
        for (i = 1; i <= n; i++) {
            m = split(word[i] in macro ? macro[word[i]] : word[i], each, " ")
            for (j = 1; j <= m; j++) print each[j], name
        } }' "$SETTINGS" >table
check "the table was read" test "$(wc -l <table)" -gt 150
for command in $commands; do
    works "$command --help" "$command" --help
    check "$command --help says nothing on stderr" test ! -s "$keep/err"
    while read -r owner option; do
        [ "$owner" = "$command" ] || continue
        grep -Eq -e "^  --(\\[no-\\])?$option( |\$)" "$keep/out" ||
            fail "$command --help lacks --$option"
    done <table
done

# ---- the same road under the sanitizers ----

if [ -x "$SANITIZED" ] && [ "$SANITIZED" != "$ICA" ]; then
    ICA=$SANITIZED
    works "sanitized: tokenizer" tokenizer --data sessions.jsonl --vocab-size 300 --out s-tok
    # shellcheck disable=SC2086
    works "sanitized: pretrain" pretrain $PRETRAIN --max-steps 3 --out s-base --holdout hold.jsonl \
        --eval test.jsonl --eval-steps 2
    for method in ica rho oneshot nuggets gradient incontext; do
        works "sanitized: train with $method" train --model s-base --pool pool.jsonl \
            --holdout hold.jsonl --weights $method --refresh 2 --max-steps 2 \
            --batch-size 4 --reference-steps 2 --eval test.jsonl --out s-run --overwrite
    done
    for objective in dpo simpo; do
        works "sanitized: $objective" train --model s-base --objective $objective \
            --pool pairs.jsonl --holdout pairs-hold.jsonl --weights ica --max-steps 2 \
            --batch-size 4 --eval pairs-test.jsonl --out s-run-$objective
        works "sanitized: eval $objective" eval --model s-run-$objective --reference s-base \
            --objective $objective --data pairs-test.jsonl
    done
    works "sanitized: --dump-state" train --model s-base --objective dpo --pool pairs.jsonl \
        --max-steps 1 --batch-size 4 --out s-run-dpo --overwrite \
        --dump-state s.safetensors
    works "sanitized: score" score --model s-run --pool pool.jsonl --holdout hold.jsonl \
        --out s.jsonl
    works "sanitized: resume" train --resume s-run
    works "sanitized: inspect" inspect s-run/training_state.safetensors
    works "sanitized: diff" diff s-run/model.safetensors s-run/model.safetensors
    ica diff s-base/model.safetensors s-run/model.safetensors
    check "sanitized: a difference" test $? -eq 1
    works "sanitized: shard" score --model s-run --pool pool.jsonl --holdout hold.jsonl \
        --shard 2/3 --out s.jsonl
    works "sanitized: eval" eval --model s-run --data test.jsonl --holdout hold.jsonl --k 2 \
        --per-example s-each.jsonl
    works "sanitized: generate" generate --model s-run --prompt "what colour is grass ?" \
        --max-new-tokens 5
    works "sanitized: input_ids" train --model bare --pool pool-ids.jsonl --holdout hold-ids.jsonl \
        --weights ica --max-steps 2 \
        --batch-size 4 --out s-ids
    refuse 3 'bad-utf8\.jsonl:3: .*UTF-8' train --model s-base --out no --pool bad-utf8.jsonl
    refuse 3 'm-torn/model\.safetensors' train --model m-torn --out no --pool pool.jsonl
fi

finish end-to-end
