#!/bin/sh
# Which lines and branches the tests run (`make coverage`, some minutes): of the parsers, ica.c,
# train.c, scoring/ and data/. The unit tests and the scripts that compare results run in a build
# with counters; then gcov says of each file which share of its lines was executed, and which share
# of its branches was taken in either direction. A file without a right value to compare with does
# not count as tested: make mutate says whether the tests look at what they run.
# Wanted are LINES (95) % and BRANCHES (90) % over all; the files below that are listed first. The
# branches of checks that cannot fail here (an overflow of size_t) are counted too.
# Files that fail, by tests/system/scarcity.sh, are every third case of all.
# From the environment: LINES, BRANCHES; SCRIPTS, names of scripts; JOBS; SHOW, a file of which the
# lines are printed that were not executed, and those with a branch that was never taken.
cd "$(dirname "$0")/../.." || exit 1
LINES=${LINES:-95}
BRANCHES=${BRANCHES:-90}
SCRIPTS=${SCRIPTS-"end_to_end pools garbage folders accept demos runs chat adapters scarcity"}
BUILD=$PWD/build/coverage
GCOV=${GCOV:-gcov}
OMP_NUM_THREADS=1
LC_ALL=C
export OMP_NUM_THREADS LC_ALL
# The parsers, the chapters and the room of data.
FILES="ica.c train.c tokenizer.c lib/json.c lib/tensors.c lib/text.c lib/unicode.c lib/options.c
    lib/split.c lib/nfc.c lib/file.c lib/weights.c lib/objectives.c lib/schedule.c lib/stats.c
    lib/tfidf.c lib/map.c $(ls scoring/*.c data/*.c program/settings.c program/options_file.c)"

command -v "$GCOV" >/dev/null || {
    echo "coverage: left out: $GCOV is not there (GCOV=gcov-12 names another)"
    exit 0
}
find "$BUILD" -name '*.gcda' -exec rm -f {} +
list=
for script in $SCRIPTS; do list="$list tests/system/$script.sh"; done
for program in "$BUILD"/tests/unit/test_* "$BUILD/tests/fuzz/kept"; do
    case $program in *.o | *.d | *.gc*) ;; *) list="$list $program" ;; esac
done
# Counters of programs that end at the same time are added up.
# shellcheck disable=SC2086
ICA=$BUILD/ica CHECKED=$BUILD/scarcity FILES=1 STRIDE=3 \
    sh tests/system/run.sh $list >"$BUILD/out" ||
    grep -v ' 0 failed' "$BUILD/out"

rm -rf "$BUILD/gcov"
mkdir -p "$BUILD/gcov"
for file in $FILES; do
    (cd "$BUILD/gcov" && "$GCOV" -b -o "$BUILD/${file%.c}.o" "$OLDPWD/$file" 2>/dev/null) |
        awk -v file="$file" '
            /^File / { mine = index($0, "/" file "\047") || index($0, "\047" file "\047") }
            mine && /^Lines executed/ { split($2, p, /[:%]/); lines = p[2]; n = $4 }
            mine && /^Taken at least once/ { split($4, p, /[:%]/); taken = p[2]; b = $6 }
            END { if (n) printf "%s %.2f %d %.2f %d\n", file, lines, n, taken, b }'
done >"$BUILD/table"
# gcov finds the source from here alone.
[ -z "$SHOW" ] || "$GCOV" -b -t -o "$BUILD/${SHOW%.c}.o" "$SHOW" 2>/dev/null | awk '
    /^ *[0-9#=-]+\*?: *[0-9]+:/ { line = $0; shown = /#####/; if (shown) print line }
    /^branch .*(taken 0%|never executed)/ && !shown { print line "  <- a branch"; shown = 1 }' |
    cut -c 1-140
sort -k 4 -n "$BUILD/table" | awk -v lines="$LINES" -v branches="$BRANCHES" '
    { printf "%-28s lines %6.2f %% of %4d, branches %6.2f %% of %4d%s\n", $1, $2, $3, $4, $5,
          ($2 < lines || $4 < branches) ? "  <" : ""
      l += $2 * $3; ln += $3; b += $4 * $5; bn += $5 }
    END {
        printf "all: lines %.2f %% of %d, branches %.2f %% of %d\n", l / ln, ln, b / bn, bn
        ok = l / ln >= lines && b / bn >= branches
        printf "coverage: %d passed, %d failed\n", ok, !ok
        exit !ok
    }'
