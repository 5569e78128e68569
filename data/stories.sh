#!/bin/sh
# Stories that a small model wrote itself, half of them spoiled: does ICA find the others?
#
#   data/stories.sh make MODEL OUT      the stories, the data sets for seeds 1 to 3, and two bases
#   data/stories.sh study OUT           scores, and the arms of both tasks
#
# Both go on where they were stopped.
#
# MODEL is a folder with stories260K of llama2.c (MIT), a Llama of 260,032 parameters and 512
# tokens, as `ica import` or Hugging Face's form has it. It stays where it is. docs/results.md,
# "Stories", has the results.
#
# The model ends a story with its token <s>, which begins one too, so OUT/base/stories is MODEL with
# a template of nothing but <s>. It continues 96 openings ("Once upon a time, there was a little
# dog") at the temperature 0.8, again and again with other seeds. A record's prompt is the first two
# sentences of a story. Its completion is the next ones, at least three, as long as all of them have
# at most 270 characters. Then nearly every record with three demonstrations fits 512 tokens.
#
# make writes OUT/data/SEED/{pool,holdout,test}.jsonl: of 2,600 distinct stories the last 400 are
# the test of all seeds, and of the others 200 are a seed's holdout and 2,000 its pool. Half of the
# pool is spoiled ("clean": false), by three kinds in turn:
#
#   shuffled   the words of each sentence in random order
#   mixed      every second sentence is one of another story
#   looped     the first sentence again and again, as often as there were sentences
#
# OUT/sessions.jsonl has 600 sessions of four other stories, of one kind each: right, shuffled,
# mixed, looped, in turn. So the kind of a story can be inferred from the stories before it. The
# base OUT/base/sessions is the model after 300 steps on these.
set -eu
. "$(dirname "$0")/text.sh"
LC_ALL=C
OMP_NUM_THREADS=1
export LC_ALL OMP_NUM_THREADS

openings() {
    for kind in girl boy dog cat bird bear fish bunny frog mouse tree car; do
        for how in little big small happy kind funny shy brave; do
            echo "Once upon a time, there was a $how $kind"
        done
    done
}

# The sentences of a text are these words; a quotation mark may follow the stop.
SENTENCES='
    function sentences(text, s, word, n, i, m) {
        n = split(text, word, " ")
        m = 0
        s[1] = ""
        for (i = 1; i <= n; i++) {
            s[m + 1] = s[m + 1] (s[m + 1] == "" ? "" : " ") word[i]
            if (word[i] ~ /[.!?](\\")*$/) s[++m + 1] = ""
        }
        return m
    }'

# Lines of `generate` to lines "prompt<TAB>completion", both still quoted as in JSON. A story with
# other characters than ASCII's is left out, and so is a part of a sentence at the end.
cut_stories() {
    awk "$SENTENCES"'
        {
            text = substr($0, index($0, "\"prompt\":\"") + 10)
            sub(/","completion":"/, " ", text)
            sub(/","tokens":[0-9]*,"stopped":.*/, "", text)
            gsub(/\\n/, " ", text)
            if (text ~ /[^ -~]/ || text ~ /\\[^"]/) next
            n = sentences(text, s)
            prompt = s[1] " " s[2]
            completion = s[3]
            for (i = 4; i <= n; i++) {
                if (length(prompt completion s[i]) + 2 > 270) break
                completion = completion " " s[i]
            }
            if (i > 5) print prompt "\t" completion
        }'
}

# MODEL FILE FIRST LAST: the stories that the model writes with these seeds, each prompt once
write_stories() {
    mkdir -p "$2.seeds"
    seed=$3
    while [ "$seed" -le "$4" ]; do
        of_seed=$2.seeds/$seed
        [ -f "$of_seed" ] || {
            openings | "$here/ica" generate --model "$1" --prompt-file - --temperature 0.8 \
                --max-new-tokens 112 --seed "$seed" >"$of_seed.part"
            mv "$of_seed.part" "$of_seed"
        }
        seed=$((seed + 1))
    done
    cat "$2.seeds"/* | cut_stories | awk -F '\t' '!seen[$1]++' >"$2"
}

# Standard input: lines "KIND<TAB>prompt<TAB>completion". Output: the same, spoiled. What a mixed
# one takes is of the next line.
spoil() {
    awk -F '\t' -v OFS='\t' "$SENTENCES"'
        function draw(n) { x = (x * 16807) % 2147483647; return x % n + 1 }
        function disordered(sentence, word, n, i, j, text) {
            n = split(sentence, word, " ")
            for (i = n; i > 1; i--) {
                j = draw(i); text = word[i]; word[i] = word[j]; word[j] = text
            }
            text = word[1]
            for (i = 2; i <= n; i++) text = text " " word[i]
            return text
        }
        BEGIN { x = 4711 }
        { kind[NR] = $1; prompt[NR] = $2; completion[NR] = $3 }
        END {
            for (k = 1; k <= NR; k++) {
                n = sentences(completion[k], s)
                m = sentences(completion[k % NR + 1], other)
                text = ""
                for (i = 1; i <= n; i++) {
                    if (kind[k] == "shuffled") s[i] = disordered(s[i])
                    if (kind[k] == "mixed" && i % 2 == 0) s[i] = other[(i - 1) % m + 1]
                    if (kind[k] == "looped") s[i] = s[1]
                    text = text (i > 1 ? " " : "") s[i]
                }
                print kind[k], prompt[k], text
            }
        }'
}

# The first half stays right.
half_spoiled() {
    awk -v OFS='\t' '
        { line[NR] = $0 }
        END {
            split("shuffled mixed looped", kinds, " ")
            for (i = 1; i <= NR; i++) print i <= NR / 2 ? "right" : kinds[i % 3 + 1], line[i]
        }' | spoil
}

# Four stories of a kind, then four of the next
in_fours() {
    awk -v OFS='\t' '
        BEGIN { split("right shuffled mixed looped", kinds, " ") }
        { print kinds[int((NR - 1) / 4) % 4 + 1], $0 }' | spoil
}

# enough FILE NUMBER: its first lines, of which there must be so many
enough() {
    [ "$(wc -l <"$1")" -ge "$2" ] || {
        echo "stories.sh: $1 has fewer than $2 stories; is the model stories260K?" >&2
        exit 1
    }
    head -n "$2" "$1"
}

make_data() { # MODEL OUT
    base=$2/base/stories
    mkdir -p "$2/base"
    if [ ! -d "$base" ]; then
        rm -rf "$base.part"
        cp -r "$1" "$base.part"
        printf '{"bos":"<s>","prompt_prefix":"","answer_prefix":"","example_end":"<s>"}\n' \
            >"$base.part/template.json"
        mv "$base.part" "$base"
    fi
    cmp -s "$1/model.safetensors" "$base/model.safetensors" || {
        echo "stories.sh: $2 was made with another model than $1; give another OUT" >&2
        exit 1
    }
    write_stories "$base" "$2/written" 1 40
    write_stories "$base" "$2/others" 101 140
    enough "$2/written" 2600 | shuffled 1 >"$2/stories"
    # What a session shows is in no pool, holdout or test.
    awk -F '\t' 'NR == FNR { seen[$1]; next } !($1 in seen)' "$2/stories" "$2/others" >"$2/more"
    enough "$2/more" 2400 | in_fours | sessions | shuffled 1 >"$2/sessions.jsonl"
    for seed in 1 2 3; do
        to=$2/data/$seed
        mkdir -p "$to"
        tail -n 400 "$2/stories" | of right | records right test >"$to/test.jsonl"
        head -n 2200 "$2/stories" | shuffled "$((seed + 100))" >"$to/drawn"
        head -n 200 "$to/drawn" | of right | records right holdout >"$to/holdout.jsonl"
        tail -n 2000 "$to/drawn" | half_spoiled | shuffled "$seed" |
            records right pool >"$to/pool.jsonl"
        rm "$to/drawn"
    done
    wc -l "$2/sessions.jsonl" "$2"/data/1/*.jsonl
}

make_base() { # OUT
    [ ! -f "$1/base/sessions/model.safetensors" ] || return 0
    "$here/ica" pretrain --model "$1/base/stories" --data "$1/sessions.jsonl" --shuffle \
        --batch-tokens 2048 --max-steps 300 --learning-rate 1e-3 --min-lr-ratio 0.1 \
        --holdout "$1/data/1/holdout.jsonl" --eval "$1/data/1/test.jsonl" \
        --save-only-model --overwrite --out "$1/base/sessions"
}

case "${1:-}" in
make)
    [ -f "${2:-}/model.safetensors" ] || {
        echo "stories.sh: \"${2:-}\" is no model folder; give that of stories260K (MODEL=DIR)" >&2
        exit 2
    }
    build
    make_data "$2" "$3"
    make_base "$3" ;;
study)
    study STORIES "stories sessions" "$2" ;;
*)
    sed -n '2,5p' "$0" >&2
    exit 2 ;;
esac
