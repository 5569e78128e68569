#!/bin/sh
# docs/formats.md names each key that the program writes, and no other. The program runs on a tiny
# world, its files are read for their keys, and each is looked up in the table of its file.
#
# In docs/formats.md the table of a file stands below a heading that names the file, and its first
# column is the key in backticks: | `seconds.train` | ... A key inside of an object has the object's
# before it; elements of a list count as one. A part in capitals stands for any name:
# `options.NAME`, `sft.POOL.ARM.nll`; PARAMETER for the tensors of a model.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
DOC=$root/docs/formats.md KEYS=$root/build/float/tests/system/keys
cd "$work" || exit 1
[ -f "$DOC" ] || DOC=/dev/null

run() { ica "$@" || fail "status $status from: ica $*"; }

# ---- one file of each kind, with all that it can hold ----

run corpus --out corpus
while read -r count from to; do head -n "$count" "corpus/$from.jsonl" >"$to.jsonl"; done <<END
100 pretrain sessions
40 pool-even50 pool
10 holdout hold
10 test test
24 pairs-pool pairs
8 pairs-holdout pairs-hold
8 pairs-test pairs-test
END
sed 's/}$/,"topic":"a"}/; 2s/"id":"[^"]*"/"id":"even50-0001"/' pool.jsonl >topics.jsonl
run tokenizer --data sessions.jsonl --vocab-size 300 --out tok
run pretrain --data sessions.jsonl --tokenizer tok --layers 2 --heads 2 --channels 16 \
    --context 128 \
    --batch-tokens 512 --max-steps 4 --holdout hold.jsonl --eval test.jsonl --eval-steps 2 \
    --logging-steps 1 --out base
TUNE="--model base --batch-size 8 --max-steps 4 --logging-steps 1 --eval-steps 2"
# shellcheck disable=SC2086
{
    run train $TUNE --pool topics.jsonl --eval test.jsonl --out uniform
    run train $TUNE --pool pool.jsonl --eval test.jsonl --weights oracle --out oracle
    run train $TUNE --pool pool.jsonl --holdout hold.jsonl --eval test.jsonl --weights ica \
        --refresh 2 --eval-share .3 --out ica
    run train $TUNE --objective dpo --pool pairs.jsonl --eval pairs-test.jsonl \
        --eval-share .3 --out dpo-uniform
    run train $TUNE --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl \
        --eval pairs-test.jsonl --weights ica --dump-state step.safetensors --out dpo
    run train $TUNE --pool topics.jsonl --holdout hold.jsonl --weights ica --weight-map accept \
        --holdout-trim .2 --out accept
    run train $TUNE --pool pool.jsonl --holdout hold.jsonl --weights rho --reference-steps 2 \
        --weight-map accept --out rho
    run train $TUNE --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl \
        --weights ica --weight-map mirror --out mirror
    run train $TUNE --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl \
        --weights rho --reference-steps 2 --weight-map mirror --out rho-pairs
    run train $TUNE --objective simpo --pool pairs.jsonl --eval pairs-test.jsonl \
        --eval-share .3 --out simpo
    best="--eval-share .3 --load-best-model-at-end --drop-duplicates"
    run train $TUNE --pool pool.jsonl $best --out best
    run train $TUNE --objective dpo --pool pairs.jsonl $best --out dpo-best
}
# shellcheck disable=SC2086
run train $TUNE --pool pool.jsonl --holdout hold.jsonl --weights ica --out none --dry-run --json
cp "$keep/out" dry-run.json
run score --model base --pool pool.jsonl --holdout hold.jsonl --shard 1/2 --out half.jsonl --json
cp "$keep/out" shard.json
# The first candidate's own prompt is in this holdout, so it sees two of three.
{ head -n 1 pool.jsonl | sed 's/"completion":"[^"]*"/"completion":"else"/'
    head -n 2 hold.jsonl; } >few.jsonl
(cat pool.jsonl; head -n 1 pool.jsonl) >copies.jsonl
run score --model base --pool copies.jsonl --drop-duplicates --holdout few.jsonl \
    --out few-scores.jsonl --json
cp "$keep/out" few.json
run select --pool copies.jsonl --scores few-scores.jsonl --skip-unscored --share .5 \
    --out few-chosen.jsonl --json
cp "$keep/out" few-select.json
run score --model base --pool pool.jsonl --holdout hold.jsonl --out scores.jsonl --json
cp "$keep/out" score.json
run score --model base --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl \
    --out pair-scores.jsonl --json
cp "$keep/out" pair-score.json
run score --model base --pool pool.jsonl --holdout hold.jsonl --weight-map accept \
    --holdout-trim .2 --out accept.jsonl --json
cp "$keep/out" accept-score.json
run score --model base --objective dpo --pool pairs.jsonl --holdout pairs-hold.jsonl \
    --weight-map mirror --out mirror.jsonl --json
cp "$keep/out" mirror-score.json
# Pairs are turned, so that some are swapped back.
awk '{ sub(/"chosen"/, "\"was\""); sub(/"rejected"/, "\"chosen\"")
    sub(/"was"/, "\"rejected\"") } { print }' pairs.jsonl >turned.jsonl
run score --model base --objective dpo --pool turned.jsonl --holdout pairs-hold.jsonl \
    --weight-map mirror --relabel --out relabel.jsonl --json
cp "$keep/out" relabel-score.json
run train $TUNE --objective dpo --pool turned.jsonl --holdout pairs-hold.jsonl \
    --weights ica --weight-map mirror --relabel --out relabel
run select --pool pool.jsonl --scores accept.jsonl --out chosen.jsonl --json
cp "$keep/out" select.json
run eval --model ica --data test.jsonl --holdout hold.jsonl --k 2 --json --per-example each.jsonl
cp "$keep/out" eval.json
run eval --model dpo --reference base --objective dpo --data pairs-test.jsonl --json \
    --per-example pair-each.jsonl
cp "$keep/out" pair-eval.json
run report base uniform oracle ica dpo dpo-uniform simpo score.json pair-score.json \
    eval.json scores.jsonl --pool pool.jsonl --out report.html --results results.json

# ---- the keys that stand in the document, and those in the files ----

# documented FILE DOCUMENT: the first columns below the heading that names the file
documented() {
    awk -v file="$1" '
        /^#/ { here = index($0, file) > 0 && (index($0, file) == 1 ||
            substr($0, index($0, file) - 1, 1) !~ /[a-z_]/); next }
        here && /^\|/ {
            split($0, cell, "|")
            while (match(cell[2], /`[^`]+`/)) {
                print substr(cell[2], RSTART + 1, RLENGTH - 2)
                cell[2] = substr(cell[2], RSTART + RLENGTH)
            }
        }' "$2"
}

# compare DOCUMENT NAME FILE...: says what one has and the other has not
compare() {
    document=$1 name=$2
    shift 2
    "$KEYS" "$@" | sort -u >written
    documented "$name" "$document" >known
    awk -v name="$name" '
        function pattern(key,   n, part, i, text) {
            n = split(key, part, ".")
            for (i = 1; i <= n; i++) {
                if (part[i] == "PARAMETER")
                    part[i] = "(wte|wpe|ln_f|h[.][0-9]+[.].+)[.](weight|bias)"
                else if (part[i] ~ /^[A-Z]+$/) part[i] = "[^.]+"
                text = text (i > 1 ? "[.]" : "") part[i]
            }
            return "^" text "$"
        }
        FILENAME == "known" { key[++n] = $0; p[n] = pattern($0); next }
        {
            found = 0
            for (i = 1; i <= n; i++) if ($0 ~ p[i]) { used[i] = 1; found = 1 }
            if (!found) print name ": `" $0 "` is written, but not in docs/formats.md"
        }
        END {
            for (i = 1; i <= n; i++)
                if (!used[i]) print name ": `" key[i] "` is in docs/formats.md, but not written"
        }' known written
}

all() { # DOCUMENT
    compare "$1" run.json ./*/run.json
    compare "$1" log.jsonl ./*/log.jsonl
    compare "$1" metrics.json ./*/metrics.json
    compare "$1" scores.jsonl ./*/scores.jsonl scores.jsonl pair-scores.jsonl \
        accept.jsonl.holdout.jsonl
    compare "$1" training_state.safetensors ./*/training_state.safetensors
    compare "$1" best.safetensors ./*/best.safetensors
    compare "$1" results.json results.json
    compare "$1" "score --json" score.json pair-score.json shard.json few.json accept-score.json \
        mirror-score.json relabel-score.json
    compare "$1" "dry-run --json" dry-run.json
    compare "$1" "select --json" select.json few-select.json
    compare "$1" "eval --json" eval.json pair-eval.json
    compare "$1" "eval --per-example" each.jsonl pair-each.jsonl
    compare "$1" "train --dump-state" step.safetensors
}
all "$DOC" >differ
cat differ
passed=$((passed + $("$KEYS" ./*/*.json ./*.json | sort -u | wc -l)))
failed=$((failed + $(wc -l <differ)))

# Each form of records that a refusal offers has a row in the table of forms, with its keys in
# quotes.
echo '{}' >none.jsonl
"$ICA" tokenizer --data none.jsonl --out none 2>&1 | sed 's/.*; use //; s/ or /, /' |
    tr -s ', ' '\n' >forms
unlisted() { # DOCUMENT: the forms without a row
    awk '
        FILENAME == ARGV[1] && /^\| form \|/ { on = 1; next }
        FILENAME == ARGV[1] && /^\|/ && on { row[++n] = $0; next }
        FILENAME == ARGV[1] { on = 0; next }
        {
            keys = split($0, key, "/")
            for (i = found = 0; ++i <= n && !found;) {
                for (k = 0; ++k <= keys && index(row[i], "\"" key[k] "\"");) continue
                found = k > keys
            }
            if (!found) print "docs/formats.md: the form " $0 " has no row"
        }' "$1" forms
}
unlisted "$DOC" >differ
cat differ
passed=$((passed + $(wc -l <forms)))
failed=$((failed + $(wc -l <differ)))

# The script itself: a key taken away from the document, one put in, and a form taken away.
sed '/^| Dolly/d' "$DOC" >less.md
if unlisted less.md | grep -q 'instruction/response'; then pass
else fail "self-test: nobody misses a form"; fi
sed '/^| `seconds.train`/d' "$DOC" >less.md
if compare less.md run.json ./*/run.json | grep -q '`seconds.train` is written'; then pass
else fail "self-test: nobody misses seconds.train"; fi
sed 's/^| `seconds.train`/| `seconds.nap` | x |\n&/' "$DOC" >more.md
if compare more.md run.json ./*/run.json | grep -q '`seconds.nap` is in'; then pass
else fail "self-test: nobody notices seconds.nap"; fi
finish formats
