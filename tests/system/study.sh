#!/bin/sh
# The statistics of tests/bench/study.awk on differences whose intervals are computed by hand, and
# of tests/bench/study.sh the wrong answers that it puts into a holdout and its rank correlation.
cd "$(dirname "$0")/../.." || exit 1
LC_ALL=C
export LC_ALL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # TITLE GOT WANTED
    if [ "$2" = "$3" ]; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s\n  got    %s\n  wanted %s\n' "$1" "$2" "$3"
    fi
}

# Two bases with two draws. Arm "a" differs from "uniform" by 1, 2, 3 and 6: mean 3, deviation
# sqrt(14/3) = 2.1602, t(3) = 3.1824, so the interval is 3 +- 3.1824 x 2.1602 / 2 = 3 +- 3.4373.
# By bases: 1.5 and 4.5, deviation 2.1213, t(1) = 12.7062, 3 +- 12.7062 x 2.1213 / sqrt(2).
# The gap is 100 (u - a) / (u - o) = -10, -20, -30, -60: mean -30, deviation 21.602.
run() { # ROW BASE DRAW NLL
    printf '{"table":"t","row":"%s","base":"%s","draw":%d,' "$1" "$2" "$3"
    printf '"kind":"train","options":"-","build":"x","figures":{"nll":%s,"loss.nll":9}}\n' "$4"
}
{
    for unit in "1:9 1 1" "1:9 2 2" "2:9 1 3" "2:9 2 6"; do
        # shellcheck disable=SC2086
        set -- $unit
        run uniform "$1" "$2" 20
        run oracle "$1" "$2" 10
        run a "$1" "$2" $((20 + $3))
    done
} >"$work/results.jsonl"
table() { # COLUMNS [CHOOSE]
    awk -v table=t -v first=arm -v columns="$1" -v choose="${2:-}" -f tests/bench/study.awk \
        "$work/results.jsonl"
}
row() { table "$2" | sed -n "s/^| $1 | //p"; }
check "mean and deviation" "$(row a 'mean nll 2 1 NLL')" "23.00 +- 2.16 |"
check "paired intervals" "$(row a 'diff nll 2 1 difference')" \
    "+3.00 | [-0.44, +6.44] | [-16.06, +22.06] |"
check "the baseline has no difference" "$(row uniform 'diff nll 2 1 difference')" "- | - | - |"
check "gap" "$(row a 'gap nll')" "-30.0 +- 21.6 |"
check "a sum of figures, scaled" "$(row uniform 'mean nll+nll 1 0.5 twice')" "20.0 +- 0.0 |"
check "a figure that no run has" "$(row a 'mean loss 2 1 loss')" "- |"
{
    run "p: uniform" 1:9 1 8
    run "p: oracle" 1:9 1 4
    run "p: a" 1:9 1 5
    run "q: a" 1:9 1 15
} >>"$work/results.jsonl"
check "a gap from its own uniform and oracle: 100 (8 - 5) / (8 - 4)" \
    "$(row 'p: a (1 runs)' 'gap nll')" "75.0 |"
check "and a difference from its own uniform" "$(row 'p: a (1 runs)' 'diff nll 1 1 difference')" \
    "-3.0 | - | - |"
check "without its own, the table's: 100 (20 - 15) / (20 - 10)" \
    "$(row 'q: a (1 runs)' 'gap nll')" "50.0 |"
check "an oracle of one's own has no gap" "$(row 'p: oracle (1 runs)' 'gap nll')" "- |"
sed '/"row":"[pq]: /d' "$work/results.jsonl" >"$work/more" && mv "$work/more" "$work/results.jsonl"
check "the worst gap" "$(row a 'worst nll')" "-60.0 |"
by_base() {
    awk -v table=t -v first=base -v columns="mean nll 1 1 NLL" -v choose= -v by=base \
        -f tests/bench/study.awk "$work/results.jsonl"
}
check "a row for each base" "$(by_base | sed -n 's/^| 1:9 | //p')" "21.5 +- 0.7 |"
check "the same figure" "$(row oracle 'same nll')" "0 of 4 |"
check "what the table says of itself" "$(table 'mean nll 2 1 NLL' | tail -n 1)" \
    "2 bases, 4 runs a row. Build x."
{
    cat "$work/results.jsonl"
    run a 1:9 3 17
    run a 2:9 3 19
    run uniform 1:9 3 20
    run uniform 2:9 3 20
    run b 1:9 1 30
} >"$work/more" && mv "$work/more" "$work/results.jsonl"
check "chosen on draws 1 and 2, reported on the third: 17 and 19" \
    "$(table 'mean nll 2 1 NLL' a,b | sed -n 's/^On the other //p')" \
    "2 runs it has 18.0000 +- 1.4142, which is -2.0000 from uniform"

# Three of four are kept, two of these are clean, and three are clean in all.
eval "$(sed -n '/^chosen() {/,/^}/p; /^flatten() {/,/^}/p' tests/bench/study.sh)"
i=0
for clean in true true false true; do
    i=$((i + 1))
    echo "{\"id\":\"$i\",\"clean\":$clean,\"source\":\"a\"}" >>"$work/pool.jsonl"
    echo "{\"id\":\"$i\",\"score\":1,\"weight\":$([ $i = 1 ] && echo 0 || echo 0.5),\"logp\":1}"
done >"$work/scores.jsonl"
check "what was chosen" "$(chosen "$work/scores.jsonl" "$work/pool.jsonl")" \
    '"chosen":{"share":0.750000,"purity":0.666667,"recall":0.666667},'
check "numbers and truth of an object" \
    "$(echo '{"a":1,"result":{"b":{"helps":true,"c":false}},"l":[2],"s":"true"}' | flatten)" \
    '"a":1,"b.helps":1,"b.c":0'

# Of 10 prompts, two of which are asked twice, 30 % get another answer of the same kind, the same
# one wherever the prompt stands.
eval "$(sed -n "/^PROMPTS=/,/^ *}'\$/p; /^spoil() {/,/^}/p; /^same_kind() {/,/^}/p" \
    tests/bench/study.sh)"
i=0
for n in 1 2 3 4 5 6 7 8 9 10 3 7; do
    i=$((i + 1))
    printf '{"id":"h-%d","prompt":"which number comes after %d ?","completion":"%d"}\n' $i $n \
        $((n + 1))
done >"$work/holdout.jsonl"
spoil "$work/holdout.jsonl" 12 30 >"$work/spoiled"
said=$(sed 's/.*after \([0-9]*\) .*completion":"\([0-9]*\)".*/\1 \2/' "$work/spoiled" | awk '
    $1 in given && given[$1] != $2 { print "two answers to " $1 }
    { given[$1] = $2 }
    END { for (p in given) { n++; if (given[p] != p + 1) wrong++ }; print n, wrong }')
check "wrong answers of 10 prompts" "$said" "10 3"
check "without wrong answers the first records as they are" \
    "$(spoil "$work/holdout.jsonl" 5 0)" "$(head -n 5 "$work/holdout.jsonl")"
# Records of real text have escapes.
one='{"prompt":"d","completion":"e"}'
cat >"$work/two" <<end
$one
{"prompt":"say \"a\"","completion":"\"b\" c"}
end
check "the answer of another prompt, of any kind" "$(spoil "$work/two" 2 50 any)" "$one
"'{"prompt":"say \"a\"","completion":"e"}'
check "a refusal and words in reverse, in turn" "$(spoil "$work/two" 2 100 pool)" \
    '{"prompt":"d","completion":"I am sorry, but I cannot help with that."}
{"prompt":"say \"a\"","completion":"c \"b\""}'
echo '{"prompt":"f","completion":"g"}' >"$work/others.jsonl"
check "entire records of another file" "$(spoil "$work/two" 2 50 others)" "$one
"'{"prompt":"f","completion":"g"}'

# Two candidates see two demonstrations and one; two of the three are about numbers, as both are.
{
    printf '{"id":"a","prompt":"which number comes after 1 ?"}\n'
    printf '{"id":"b","prompt":"name the capital city of x ."}\n'
} >"$work/shown"
{
    printf '{"id":"1","prompt":"what follows 4 when you count ?"}\n'
    printf '{"id":"2","prompt":"which number comes after 5 ?"}\n'
} >"$work/asked"
printf '{"id":"1","demos":["a","b"],"tokens":2}\n{"id":"2","demos":["a"]}\n' >"$work/told"
check "demonstrations of the same kind" \
    "$(same_kind "$work/told" "$work/asked" "$work/shown")" 0.666667

# Ranks by hand: X has 2 3 4 5 1, Y has 3.5 3.5 1 5 2. Their deviations from 3 have the products
# -0.5, 0, -2, 4, 2, which sum to 3.5, and squares that sum to 10 and 9.5: 3.5 / sqrt(95).
eval "$(sed -n '/^agreement() {/,/^}/p; /^mean_ranks() {/,/^}/p' tests/bench/study.sh)"
check "Spearman's correlation, two values alike" \
    "$(printf '%s\n' "1 5 true" "2 5 true" "3 -7 false" "10 8 true" "-3 1 false" | agreement)" \
    "0.359092"

# Stories: a prompt of two sentences, and at least three that are whole.
eval "$(sed -n "/^SENTENCES=/,/^ *}'\$/p; /^cut_stories() {/,/^}/p; /^spoil() {/,/^}/p" \
    data/stories.sh)"
line() { printf '{"id":"1","prompt":"Tim","completion":"%s","tokens":9,"stopped":"end"}\n' "$1"; }
whole='sat. He\nran. \"Oh!\" he said. He ate. He slept.'
check "prompt and completion of a story" "$(line "$whole And then" | cut_stories)" \
    "Tim sat. He ran.$(printf '\t')\\\"Oh!\\\" he said. He ate. He slept."
check "two sentences are no completion" "$(line 'sat. He ran. He ate. He slept.' | cut_stories)" ""
check "other letters" "$(line "$whole caf\303\251." | cut_stories)" ""
for kind in looped mixed shuffled; do
    printf '%s\tP. Q.\tA b c. D e f? G h i.\n' $kind
done | spoil | cut -f 3 >"$work/spoiled"
check "a looped story" "$(sed -n 1p "$work/spoiled")" "A b c. A b c. A b c."
printf 'mixed\tP\tA b. C d. E f.\nright\tP\tU v. W x. Y z.\n' | spoil | cut -f 3 >"$work/mixed"
check "a mixed story, and a right one" "$(cat "$work/mixed")" "A b. W x. E f.
U v. W x. Y z."
words=$(sed -n 3p "$work/spoiled" | tr ' ' '\n' | sort | tr '\n' ' ')
check "a shuffled story has its words" "$words" "A D G b c. e f? h i. "
check "in another order" "$(sed -n 3p "$work/spoiled" | grep -c '^A b c. D e f? G h i.$')" 0

echo "study: $passed passed, $failed failed"
[ $failed -eq 0 ]
