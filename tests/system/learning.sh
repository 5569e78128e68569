#!/bin/sh
# docs/exercises.md and docs/tutorial.md: the places in the code that an exercise names exist, there
# are ten of them with an answer each, and the options that both pages use are options of that
# command. `make tutorial` runs the tutorial.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh

# places PAGE: "file name" for each "`file`, `name`"
places() {
    tr '\n' ' ' <"$1" | grep -oE '`[a-z_/]+[.][ch]`, +`[a-z_]+`' | tr -d '`,' | tr -s ' '
}
found() { # PAGE: each place is there
    places "$1" | while read -r file name; do
        grep -Eq "[ *]$name\\(" "$file" 2>/dev/null || echo "$file has no $name"
    done
}
is "places of the exercises" "$(found docs/exercises.md)" ""
is "exercises" "$(grep -c '^## [0-9]*[.]' docs/exercises.md)" 10
is "exercises with a place" "$(grep -c '^Place: ' docs/exercises.md)" 10
is "answers" "$(grep -c '^<details><summary>Answer</summary>$' docs/exercises.md)" 10

# used PAGE: "command option" for each option after ./ica COMMAND, lines continued by \ joined
used() {
    awk '{ sub(/^> +/, ""); line = line $0
           if (sub(/\\$/, " ", line)) next
           n = split(line, part, "./ica ")
           for (i = 2; i <= n; i++) {
               split(part[i], word, " ")
               m = split(part[i], w, /[ \t`)";]+/)
               for (j = 2; j <= m && w[j] !~ /^[|;]/; j++)
                   if (w[j] ~ /^--[a-z]/) print word[1], w[j]
           }
           line = "" }' "$1" | sort -u
}
for page in docs/exercises.md docs/tutorial.md; do
    used "$page" >"$keep/used"
    while read -r command option; do
        check "$page: $command takes $option" \
            sh -c "./ica $command --help | grep -q -e '^  $option[ ]'"
    done <"$keep/used"
done
[ "$passed" -gt 20 ] && pass || fail "only $passed options were found"

# The script itself: a place that is gone.
sed 's/`probabilities`/`improbable`/' docs/exercises.md >"$keep/broken.md"
is "self-test" "$(found "$keep/broken.md")" "model.c has no improbable"
finish learning
