#!/bin/sh
# Which demonstrations a candidate is shown (E6), on files as people have them: no example twice,
# never the candidate's own prompt in any spelling, conversations by everything before the answer,
# and what happens to candidates that can be shown nothing.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

score() { # POOL HOLDOUT OPTION...: writes scores
    pool=$1 holdout=$2
    shift 2
    ica score --model base --pool "$pool" --holdout "$holdout" --out scores --json "$@"
}
# demos LINE: the ids of that candidate's demonstrations, sorted
demos() { sed -n "$1s/.*\"demos\":\[\([^]]*\)\].*/\1/p" scores | tr -d '"' | tr , '\n' | sort -n |
    tr '\n' ' ' | sed 's/ $//'; }
field() { sed -n "$1s/.*\"$2\":\([^,}]*\).*/\1/p" scores; }
printed() { sed -n "s/.*\"$1\":\([^,}]*\).*/\1/p" "$keep/out"; }

ica corpus --out corpus
head -n 60 corpus/pretrain.jsonl >sessions
ica tokenizer --data sessions --vocab-size 300 --out tok
ica pretrain --data sessions --tokenizer tok --layers 1 --heads 1 --channels 8 --context 256 \
    --batch-tokens 512 --max-steps 1 --out base

# ---- the built-in corpus: no candidate sees one example twice ----

# twice: how many candidates have two demonstrations whose lines say the same
twice() {
    awk -v holdout=hold '
        BEGIN {
            while ((getline line <holdout) > 0) {
                sub(/,"source".*/, "", line)
                of[++n] = line
            }
        }
        {
            sub(/.*"demos":\[/, ""); sub(/\].*/, ""); gsub(/"/, "")
            m = split($0, id, ",")
            split("", seen)
            for (i = 1; i <= m; i++) if (of[id[i]] in seen) { found++; break } else seen[of[id[i]]]
        }
        END { print found + 0 }' scores
}
for draw in 1 2; do
    ica corpus --out c --draw $draw --no-pretrain
    head -n 150 c/pool-even50.jsonl >pool
    sed 's/"id":"[^"]*",//' c/holdout.jsonl >hold
    is "draw $draw: the holdout has copies" \
        "$(sed 's/,"source".*//' hold | sort -u | wc -l | awk '{ print $1 < 150 }')" 1
    for choice in "nearest" "random" "fixed" "shuffled" "nearest --contexts 8" \
        "nearest --embedding tokens" "nearest --embedding hidden --contexts 8"; do
        # shellcheck disable=SC2086
        score pool hold --k 3 --demos $choice
        is "draw $draw, $choice: candidates that see an example twice" "$(twice)" 0
        is "draw $draw, $choice: lists of three" \
            "$(grep -c '"demos":\[[^,]*,[^,]*,[^,]*\]' scores)" 150
    done
done

# ---- one notion of the same prompt ----

cat >pool <<'END'
{"prompt":"What is the capital of France?","completion":"Rome"}
{"prompt":"Über  den Wolken ","completion":"ja"}
{"prompt":"another question","completion":"yes"}
END
cat >hold <<'END'
{"id":"1","prompt":"What is the capital of France? ","completion":"Paris"}
{"id":"2","prompt":"what is the  capital of FRANCE?","completion":"Paris!"}
{"id":"3","prompt":"\tWhat is\nthe capital of\u00a0France?","completion":"It is Paris"}
{"id":"4","prompt":"ÜBER DEN WOLKEN","completion":"nein"}
{"id":"5","prompt":"What is the capital of Spain?","completion":"Madrid"}
{"id":"6","prompt":"what is the capital of spain? ","completion":"MADRID"}
{"id":"7","prompt":"What is the capital of Spain?","completion":"Toledo"}
END
for choice in nearest random fixed shuffled; do
    score pool hold --k 7 --demos $choice
    is "$choice: status" $status 0
    [ $choice = nearest ] || continue
    is "blanks and case: another prompt's examples alone" "$(demos 1)" "4 5 7"
    is "not only ASCII; of 5 and 6, which are one example, one" \
        "$(demos 2 | sed 's/6/5/')" "1 2 3 5 7"
done
score pool hold --k 7 --demos random
is "random: not the own prompt" "$(demos 1 | tr ' ' '\n' | grep -c '[123]')" 0
score pool hold --k 7 --contexts 1
is "contexts: not the own prompt" "$(demos 1 | tr ' ' '\n' | grep -c '[123]')" 0
score pool hold --method oneshot --k 7 --reduce sum
cp scores all
sed -n '4p;5p;7p' hold >rest
score pool rest --method oneshot --k 3 --reduce sum
is "anchors: not the own prompt, no copy" "$(field 1 score)" \
    "$(sed -n '1s/.*"score":\([^,}]*\).*/\1/p' all)"

# No example is shown twice, so a holdout of copies has no more than one.
for i in 1 2 3 4 5; do sed -n 7p hold; done >copies
score pool copies --k 1
is "copies: one is shown" "$status $(demos 3)" "0 7"
score pool copies --k 2
is "copies: there are not two" $status 3
says "copies" "copies: has 1 distinct records and --k asks for 2"
ica eval --model base --data pool --holdout copies --k 2
is "copies: status of eval" $status 3
ica pretrain --data sessions --tokenizer tok --layers 1 --heads 1 --channels 8 --max-steps 1 \
    --holdout copies --eval pool --k 2 --out none
is "copies: status of pretrain" $status 3

# The check that files are disjoint knows the same prompts.
printf '{"prompt":"ÜBER den  wolken ","completion":"Ja"}\n' >>hold
score pool hold --k 2
is "the same example in two files" $status 3
says "it names both" "pool:2 and hold:8 are the same example"

# ---- conversations ----

turns() { # FIRST REPLY ANSWER: a conversation that ends in "Continue."
    printf '{"messages":[{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},' \
        "$1" "$2"
    printf '{"role":"user","content":"Continue."},{"role":"assistant","content":"%s"}]}\n' "$3"
}
{
    turns "a story of a fox" "the fox ran" "and ran on"
    turns "the price of salt" "salt is cheap" "and sugar too"
} >pool
{
    turns "salt and its price" "it is low" "as of bread"
    turns "a fox and a hare" "the hare ran" "and the fox"
    turns "A story of a  fox" "the fox ran" "and stood"
    turns "tea" "is hot" "and sweet"
} >hold
score pool hold --k 1
is "conversations have demonstrations" $status 0
is "the fox sees the other fox, not its own conversation" "$(demos 1)" 2
is "the salt sees the salt" "$(demos 2)" 1
is "none is without" "$(printed without_demos)" 0

# ---- fewer to show than asked for ----

cat >pool <<'END'
{"prompt":"one","completion":"1"}
{"prompt":"ONE ","completion":"2"}
{"prompt":"five","completion":"5"}
END
printf '{"prompt":"%s","completion":"x"}\n' one two three >hold
for chunk in 0 1; do
    score pool hold --k 3 --chunk $chunk
    is "fewer: status" $status 0
    is "fewer than --k are counted" "$(printed fewer_demos) $(printed without_demos)" "2 0"
    says "and told" "^2 candidates have fewer demonstrations than --k: "
done
score pool hold --k 2
is "enough for all" "$(printed fewer_demos)" ""
ica train --model base --pool pool --holdout hold --weights ica --k 3 --batch-size 2 --max-steps 2 \
    --out few --json
is "training" "$status" 0
says "tells them too" "^2 candidates have fewer demonstrations than --k: "

# ---- nothing to show ----

cat >pool <<'END'
{"prompt":"constant","completion":"one"}
{"prompt":"constant ","completion":"two"}
{"prompt":"something else","completion":"three"}
{"prompt":"a third thing","completion":"four"}
END
printf '{"prompt":"Constant","completion":"%s"}\n' a b c >hold
score pool hold --k 2
is "some without: status" $status 0
is "their score is null" "$(field 1 score) $(field 2 score)" "null null"
is "and they are counted" "$(printed without_demos)" 2
says "and told" "^2 candidates have no demonstration: their score is null"
is "their weight is the mean of the others'" \
    "$(awk -F'"weight":' '{ split($2, w, ","); v[NR] = w[1] }
    END { print v[1] == (v[3] + v[4]) / 2 && v[1] == v[2] }' scores)" 1
ica train --model base --pool pool --holdout hold --weights ica --k 2 --batch-size 2 --max-steps 2 \
    --out run --json
is "training too: status" $status 0
is "training too" "$(printed without_demos)" 2
score pool hold --k 2
cp scores whole
for shard in 1/2 2/2; do
    score pool hold --k 2 --shard $shard
    is "a shard, even one of which nothing is known" $status 0
    cat scores
done >joined
is "joined, the shards have the same scores" "$(sed 's/"weight":[^,]*,//' whole)" "$(cat joined)"
ica train --model base --pool pool --weights file:joined --batch-size 2 --max-steps 2 --out run2
is "and train" $status 0
sed 's/"score":[^,]*/"score":null/' joined >nothing
ica train --model base --pool pool --weights file:nothing --batch-size 2 --max-steps 2 --out run3
is "a file that knows nothing" $status 3
head -n 2 pool >same
for method in ica incontext oneshot nuggets; do
    score same hold --k 2 --method $method
    is "$method, none for all: status" $status 3
    says "$method, none for all: what to do" "no candidate has a demonstration.*other prompts"
done
ica train --model base --pool same --holdout hold --weights ica --k 2 --batch-size 2 \
    --max-steps 2 --out none
is "training, none for all: status" $status 3
score same hold --k 2 --method loss
is "a method without demonstrations scores them" $status 0
score same hold --k 2 --allow-overlap
is "so does the leak" $status 0

long=$(awk 'BEGIN { for (i = 0; i < 120; i++) printf "word%d ", i }')
printf '{"prompt":"long","completion":"%s"}\n' "$(printf "%s" "$long" | cut -c 1-200)" >hold
printf '{"prompt":"%s","completion":"no"}\n' "$(printf "%s" "$long" | cut -c 1-120)" >pool
score pool hold --k 1
is "nothing fits: status" $status 3
says "nothing fits: what to do" "no holdout record fits before any candidate.*256 tokens"

# ---- the holdout against itself ----

head -n 20 corpus/pool-even50.jsonl >pool
head -n 30 corpus/holdout.jsonl >hold
found() { sed -n "s/.*\"holdout_check\":{[^}]*\"$1\":\([^,}]*\).*/\1/p" "$2"; }
score pool hold --k 2
cp "$keep/out" first
says "the check is printed" "^holdout check: loss [0-9.]* alone, [0-9.]* with 2 demonstrations"
says "a model of one step does not learn in context" "^WARNING: demonstrations do not help"
is "and this is kept" "$(found helps first)" false
awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }' hold >turned
score pool turned --k 2
for key in prompts folds nll_in_context nll_shuffled gain gain_error; do
    is "the order of the holdout does not change $key" \
        "$(found $key "$keep/out" | awk '{ printf "%.9g", $1 }')" \
        "$(found $key first | awk '{ printf "%.9g", $1 }')"
done
ica eval --model base --data hold --json
is "alone it is what eval says" "$(printed nll | awk '{ printf "%.9g", $1 }')" \
    "$(found nll first | awk '{ printf "%.9g", $1 }')"
score pool hold --k 2 --shard 2/2
is "one shard is enough" "$(found nll "$keep/out")" ""
score pool hold --method loss
is "nothing to check without demonstrations" "$(found nll "$keep/out")" ""
ica train --model base --pool pool --holdout hold --weights ica --k 2 --batch-size 4 --max-steps 4 \
    --refresh 2 --out checked --json
is "a run keeps it" "$(found records checked/run.json)" 30
ica train --model base --pool pool --holdout hold --weights ica --k 2 --batch-size 4 --max-steps 1 \
    --out table
is "a table for people says it in a word" \
    "$(sed -n 's/^holdout_check helps *//p' "$keep/out")" no
is "one check, whatever --refresh says" "$(grep -c '^holdout check' "$keep/err")" 1
ica report checked --out page.html
is "the report has it" \
    "$(grep -c 'The holdout against itself: demonstrations help in 0 of 1' page.html)" 1
head -n 2 hold >two
score pool two --k 1
is "two prompts: status" $status 0
says "two prompts cannot be checked" "^holdout check: left out"

# ---- what makes prompts near ----

# What is said and what is scored differ by embedding; pieces and threads change nothing.
ica pretrain --data sessions --tokenizer tok --layers 1 --heads 1 --channels 8 --context 256 \
    --batch-tokens 512 --max-steps 30 --learning-rate 1e-2 --out base --overwrite
head -n 40 c/pool-even50.jsonl >pool
score pool hold
cp scores default
for by in tfidf tokens hidden; do
    score pool hold --embedding $by
    is "$by: printed" "$(printed embedding)" "\"$by\""
    cp scores $by
    for threads in 2 5; do
        score pool hold --embedding $by --threads $threads
        same "$by: $threads threads" $by scores
    done
    score pool hold --embedding $by --chunk 7
    same "$by: chunks" $by scores
    for part in 1 2 3; do
        score pool hold --embedding $by --shard $part/3
        cat scores
    done >parts
    sed 's/,"weight":[^,]*//' $by >whole
    same "$by: shards" whole parts
    ica eval --model base --data pool --holdout hold --k 3 --embedding $by --per-example each --json
    sed 's/.*"logp_in_context":\([^,]*\).*/\1/' $by >inside
    sed 's/.*"logp":\([^,]*\).*/\1/' each >evaluated
    same "$by: eval shows what score shows" inside evaluated
done
same "tfidf is the default" default tfidf
for by in tokens hidden; do
    check "$by: other demonstrations" test "$(demos 1; cat $by)" != "$(demos 1; cat tfidf)"
done
check "tokens are not hidden states" test "$(cat tokens)" != "$(cat hidden)"

# A refresh embeds with the model as it has become: the same scores as from its folder. A candidate
# before the refresh is embedded by the base.
train="train --pool pool --holdout hold --eval-share 0 --weights ica --embedding hidden
    --learning-rate 1e-2 --batch-size 8 --lr-scheduler-type constant --weight-map top"
# shellcheck disable=SC2086
{
    works "a run to its middle" $train --model base --max-steps 4 --out half
    works "a run with a refresh there" $train --model base --max-steps 8 --refresh 2 --out anew
}
ica score --model half --pool pool --holdout hold --embedding hidden --weight-map top --out again
cut -d '"' -f -6 again | sort >again.scores
cut -d '"' -f -6 anew/scores.jsonl | sort >anew.scores
same "scores of a refresh are the model's own" again.scores anew.scores
sed 's/.*"demos"/"demos"/' again >again.demos
sed 's/.*"demos"/"demos"/' anew/scores.jsonl >anew.demos
same "and so are its demonstrations" again.demos anew.demos
sed 's/.*"demos"/"demos"/' hidden >first.demos
if cmp -s first.demos anew.demos; then fail "eight steps moved no vector"; else pass; fi

# Adapters embed too.
works "adapters" $train --model base --max-steps 4 --lora-rank 2 --refresh 2 --out adapted
works "with their base" score --model adapted --pool pool --holdout hold --embedding hidden \
    --out lora
ica merge --model adapted --out merged
ica score --model merged --pool pool --holdout hold --embedding hidden --out scores
sed 's/.*"demos"/"demos"/' lora >lora.demos
sed 's/.*"demos"/"demos"/' scores >merged.demos
# The merged matrices are rounded, so a cosine may fall on the other side of another.
paste -d '@' lora.demos merged.demos | awk -F @ '$1 == $2' >alike
check "adapters choose what the merged model chooses" test "$(wc -l <alike)" -ge 38

score pool hold --method loss --embedding hidden
says "nothing is compared" 'WARNING: --embedding has no effect here: only ica and incontext'
score pool hold --method oneshot --anchors random --embedding hidden
says "no anchor is compared" 'WARNING: --embedding has no effect here'
ica eval --model base --data pool --embedding hidden
says "nothing is shown" 'WARNING: --embedding has no effect here: no demonstrations'
refuse 2 '--embedding bert: choose tfidf, tokens or hidden|--embedding.*tfidf.*tokens.*hidden' \
    score --model base --pool pool --holdout hold --embedding bert --out no
refuse 2 'embedding' score --model base --pool pool --holdout hold --embedding '' --out no
refuse 2 '--embedding-model.*--embedding says what makes prompts near' \
    score --model base --pool pool --holdout hold --embedding-model mpnet --out no
works "--dry-run" score --model base --pool pool --holdout hold --embedding hidden --out no \
    --dry-run

finish demos
