#!/bin/sh
# data/online.sh: which of two answers is chosen and which pairs are flipped, by a case by hand. A
# run has the same bits with 1, 2 and 5 threads, and after it was killed. Finished stages are not
# done again. With the base as scorer the scores are those of the base.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh

# ---- ranking and flips, by hand ----

# line PROMPT COMPLETION: a record, or an answer as `generate` prints it
line() { printf '{"id":"x","prompt":"%s","completion":"%s","tokens":1}\n' "$1" "$2"; }
asks() { # PROMPT RIGHT FIRST SECOND
    line "$1" "$2"
    line "$1" " $3"
    line "$1" " $4"
}
eval "$(sed -n '/^ranked() {/,/^}/p; /^asked() {/,/^}/p' data/online.sh)"
{
    asks p1 rome rome oslo                      # pair 1: the right one first
    asks p2 rome rome rome                      # tie: both right
    asks p3 rome "so oslo" "so rome ."          # pair 2: right among its words, second
    asks p4 rome "so rome ." rome               # pair 3: the right one alone, second
    asks p5 rome oslo aachen                    # tie: both wrong
    asks p6 rome rome chrome                    # pair 4: a part of a word is not the word
    asks p7 rome "" rome                        # empty: dropped
    asks p8 '\"b\" c' 'no \\ \u0001' '\"b\" c'  # pair 5: what JSON escapes stays as it is
    asks p9 "c b a" "c b" "b c b a ."           # pair 6
} >"$work/answers"
NOISE=30 TRUTH=graded
ranked 7 <"$work/answers" >"$work/pairs"
# 30 % of n pairs, rounded down, are flipped: of 6 it is one, and the fourth reaches it.
sed 's/^/{"id":"7-/; s/ F /,"flipped":false,"source":/; s/ T /,"flipped":true,"source":/; s/$/}/' \
    >"$work/wanted" <<'END'
1","prompt":"p1","chosen":"rome","rejected":"oslo" F "right-wrong"
3","prompt":"p3","chosen":"so rome .","rejected":"so oslo" F "wordy-wrong"
4","prompt":"p4","chosen":"rome","rejected":"so rome ." F "right-wordy"
6","prompt":"p6","chosen":"chrome","rejected":"rome" T "right-wrong"
8","prompt":"p8","chosen":"\"b\" c","rejected":"no \\ \u0001" F "right-wrong"
9","prompt":"p9","chosen":"b c b a .","rejected":"c b" F "wordy-wrong"
END
same "pairs by hand" "$work/wanted" "$work/pairs"
for noise in 0 100; do
    NOISE=$noise
    is "$noise % noise" "$(ranked 1 <"$work/answers" | grep -c '"flipped":true')" \
        $((noise * 6 / 100))
done
NOISE=100
is "a flipped pair is the pair with its answers swapped" \
    "$(ranked 7 <"$work/answers" | sed -n '1s/.*"chosen":\(.*\),"rejected":\(.*\),"fl.*/\2 \1/p')" \
    '"rome" "oslo"'
TRUTH=exact
is "with exact truth one of the two is right" "$(ranked 7 <"$work/answers" |
    sed 's/.*"id":"7-\([0-9]*\)".*"flipped":\([a-z]*\).*/\1 \2/' | tr '\n' ' ')" \
    "1 true 4 true 6 true 8 true "
TRUTH=graded
printf '%s\n' a b c d e >"$work/prompts"
ASK=2
is "stages take the prompts in turn, and again" \
    "$(for stage in 1 2 3 4; do asked "$work/prompts" $stage; done | tr -d '\n')" abcdeabc
printf '\na\n \nb\n\n' >"$work/prompts"
is "blank lines are no prompts" "$(asked "$work/prompts" 1 | tr -d '\n')" ab

# ---- entire runs, of a small model that is right a third of the time ----

cd "$work" || exit 1
awk 'BEGIN {
    split("a b c d", right, " ")
    for (i = 0; i < 300; i++) {
        row = ""
        for (t = 0; t < 6; t++) {
            x = (i * 7 + t * 3) % 4 + 1
            say = (i + t) % 3 == 0 ? right[x] : (i + t) % 3 == 1 ? "it is " right[x] : "z"
            row = row (t ? "," : "") "{\"role\":\"user\",\"content\":\"say " right[x] " .\"}"
            row = row ",{\"role\":\"assistant\",\"content\":\"" say "\"}"
        }
        print "{\"messages\":[" row "]}"
    } }' >sessions.jsonl
for p in a b c d; do
    echo "{\"id\":\"$p\",\"prompt\":\"say $p .\",\"completion\":\"$p\"}"
done >right.jsonl
for p in e f g h; do
    echo "{\"id\":\"$p\",\"prompt\":\"say $p .\",\"chosen\":\"$p\",\"rejected\":\"z\"}"
done >hold.jsonl
ica tokenizer --data sessions.jsonl --vocab-size 262 --out tok || fail "tokenizer"
ica pretrain --data sessions.jsonl --tokenizer tok --layers 1 --heads 2 --channels 16 \
    --context 128 --batch-tokens 512 --learning-rate 2e-2 --max-steps 80 --out base ||
    fail "pretrain"

online() { # OUT [WEIGHTS]: three stages
    STAGES=3 ASK=24 STEPS=4 ICA=${PROGRAM:-$ICA} sh "$root/data/online.sh" base right.jsonl \
        hold.jsonl "$1" "${2:-ica:filter}" --batch-size 8 --learning-rate 1e-3 --k 2 \
        >"$keep/out" 2>"$keep/err"
}
# What the clock cannot change of a run
bits() {
    (cd "$1" && cksum -- */answers.jsonl */pairs.jsonl */model/model.safetensors \
        $(ls -- */scores.jsonl */model/scores.jsonl 2>/dev/null))
}
for threads in 1 2 5; do
    OMP_NUM_THREADS=$threads online "run-$threads" || fail "$threads threads"
done
says=$(sed 's/{"id":"[^"]*",//' run-1/*/pairs.jsonl | sort -u | wc -l)
check "the stages have pairs of more than one kind ($says)" test "$says" -gt 5
for threads in 2 5; do is "$threads threads" "$(bits run-$threads)" "$(bits run-1)"; done

# Killed (SIGKILL) as it begins to train its second stage, and as it asks its
# third: what was finished is not touched.
for instant in "2/pairs.jsonl" "3/asked.jsonl"; do
    cat >killer <<END
#!/bin/sh
case "\$*" in *"$instant"*) kill -9 \$(cat parent) ;; esac
exec $ICA "\$@"
END
    chmod +x killer
    rm -rf killed
    # shellcheck disable=SC2016  # the child's own number
    PROGRAM=$work/killer sh -c 'echo $$ >parent; exec "$@"' sh env STAGES=3 ASK=24 STEPS=4 \
        ICA="$work/killer" sh "$root/data/online.sh" base right.jsonl hold.jsonl killed ica:filter \
        --batch-size 8 --learning-rate 1e-3 --k 2 >"$keep/out" 2>"$keep/err"
    is "killed at $instant" $? 137
    finished=$(ls -d killed/*/done | wc -l)
    touch marker
    sleep 1
    online killed || fail "continued after $instant"
    is "files of the stage that was killed, made again, $instant" \
        "$(find killed/$((finished + 1))/asked.jsonl -newer marker)" ""
    is "the bits of a run that was left alone, $instant" "$(bits killed)" "$(bits run-1)"
    is "stages that were made anew, $instant" \
        "$(find killed/*/done -newer marker | wc -l)" $((3 - finished))
    is "stages that trained" "$(find killed/*/model/run.json -newer marker | wc -l)" \
        $((3 - finished))
done

online run-1 ica:accept && fail "another command goes on in a folder with stages"
says "it names the folder's own command" 'another command: online.sh .* ica:filter'

# ---- what is refused before anything is made ----

refuses() { # PATTERN COMMAND...
    pattern=$1
    shift
    "$@" && fail "it goes on: $pattern"
    says "it says what is wrong" "^online.sh: $pattern"
    check "nothing is made" test ! -e bad
}
for word in STAGES=x NOISE=3O STEPS=-1 SEED=1.5 SCORER=Base TRUTH=Exact; do
    refuses "$word: " env "$word" ICA="$ICA" sh "$root/data/online.sh" base right.jsonl hold.jsonl \
        bad uniform 2>"$keep/err"
done
refuses "--lora-rank: " env ICA="$ICA" sh "$root/data/online.sh" base right.jsonl hold.jsonl bad \
    uniform --lora-rank 2 2>"$keep/err"
refuses "--relabel goes with" env SCORER=base ICA="$ICA" sh "$root/data/online.sh" base \
    right.jsonl hold.jsonl bad ica:mirror --relabel 2>"$keep/err"
record='{"prompt":"say a .","completion":"a"}'
for line in '{"instruction":"say a .","output":"a"}' '{"prompt":"say a .","completion":""}' \
    '{"prompt":[{"role":"user","content":"say a ."}],"completion":"a"}' '[' \
    '{"system":"be brief","prompt":"say a .","completion":"a"}'; do
    printf '%s\n\n%s\n' "$record" "$line" >wrong.jsonl
    refuses "wrong.jsonl:3: " env ICA="$ICA" sh "$root/data/online.sh" base wrong.jsonl hold.jsonl \
        bad uniform 2>"$keep/err"
done

# ---- the base as scorer ----

SCORER=base online by-base || fail "the base as scorer"
same "the first stage is the same" run-1/1/pairs.jsonl by-base/1/pairs.jsonl
works "the base's scores" score --model base --objective dpo --pool by-base/2/pairs.jsonl \
    --holdout hold.jsonl --weight-map filter --seed 1002 --k 2 --out scores
same "of the second stage" scores by-base/2/scores.jsonl
finish online
