#!/bin/sh
# The mutation test: small defects, one at a time, in the code that computes; the fast tests must
# find them. A defect that they do not find ("survives") is tried under sanitizers too, as `make
# test` does; if it survives that, it shows where tests are weak: it needs a test, or, when it
# changes no result, a line in tests/mutation/mutate.equivalent that says why. Status 1 if fewer
# than 95 % of those that count are found. `make mutate`; some 30 minutes of one processor.
#
# From the environment: MUTANTS (200) how many, SEED (1) which ones, JOBS (1) how many at once,
# FILES which files, LIMIT (20) seconds of processor time after which a test counts as endless,
# VERIFY=1 tries those listed as equivalent too, FRESH=1 forgets what is known, CC, FLAGS.
#
# What is known stands in build/mutate/results, one file a mutant, by the text of its function: a
# run that was stopped goes on where it was, and another SEED shares it. What was found stays found
# as long as its function stays as it is; what survived is tried again when a test or any source
# changes. A mutant that does not compile, or that compiles to the very code of the original, does
# not count.
cd "$(dirname "$0")/../.." || exit 1
MUTANTS=${MUTANTS:-200} SEED=${SEED:-1} JOBS=${JOBS:-1} LIMIT=${LIMIT:-20} CC=${CC:-cc}
FILES=${FILES:-model.c lib/fast/rows.c lib/fast/attention.c lib/fast/logits.c lib/fast/inner.c \
    lib/fast/sums.c lib/fast/workspace.c context.c ica.c lib/tfidf.c lib/stats.c \
    lib/weights.c lib/objectives.c lib/fast/share.c lib/gemm.c lib/gemm.h lib/threads.c}
omp=$(echo 'int main(void) { return 0; }' | $CC -fopenmp -x c - -o /dev/null 2>/dev/null &&
    echo -fopenmp)
FLAGS="${FLAGS:--std=c11 -fno-math-errno -ffp-contract=off $omp}
    -w -Werror=int-conversion -Werror=incompatible-pointer-types"
OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 LC_ALL=C
export OMP_WAIT_POLICY OMP_NUM_THREADS LC_ALL
work=$PWD/build/mutate
tool=$work/mutate
equivalent=$PWD/tests/mutation/mutate.equivalent
tab=$(printf '\t')

objects="$(ls ./*.c ./lib/*.c ./*/*/*.c ./data/*.c ./program/*.c | sed 's,^[.]/,,' |
    grep -v -e '^tests/' -e '^build/' -e '^out' -e '^program/main.c$')
    tests/reference/oracle.c tests/unit/world.c"
programs="test_stats test_weights test_tfidf test_report test_pairs test_ica test_scoring
    test_model test_gemm test_threads"

stop() {
    echo "mutate: $1" >&2
    exit 1
}

object_name() { echo "$1" | tr / _; }

flavor_flags() {
    case $1 in
    double) echo "-O2 -DREAL_DOUBLE" ;;
    sanitize) echo "-O1 -fsanitize=address,undefined -fno-sanitize-recover=all" ;;
    *) echo "-O2" ;;
    esac
}

# compile TREE FLAVOR SOURCE OBJECT
compile() {
    # shellcheck disable=SC2086,SC2046
    (cd "$1" && nice -n 10 $CC $FLAGS $(flavor_flags "$2") -DCHECK_STOP -I. -c "$3" -o "$4") \
        >>"$work/compiler.log" 2>&1
}

# link FLAVOR PROGRAM FOLDER OUT: objects of FOLDER where there are some, else the original's
link() {
    list=
    for source in tests/unit/$2.c $objects; do
        o=$1/$(object_name "$source").o
        if [ -f "$3/$o" ]; then list="$list $3/$o"; else list="$list $work/base/$o"; fi
    done
    # shellcheck disable=SC2086,SC2046
    nice -n 10 $CC $FLAGS $(flavor_flags "$1") $list -o "$4" -lm >>"$work/compiler.log" 2>&1
}

# run FLAVOR PROGRAM FOR-TEMPORARY-FILES
run() {
    seconds=$LIMIT space=4
    [ "$1" != sanitize ] || seconds=$((5 * LIMIT)) space=0
    ASAN_OPTIONS=detect_leaks=0 TMPDIR=$3 nice -n 10 "$tool" run "$seconds" "$space" "$2"
}

# ---- the original: its objects, and that its tests pass ----

# Compiles what has changed, and runs the tests whose objects have changed. FLAVOR...
build_base() {
    rm -rf "$work/base/tree"
    mkdir -p "$work/base/tree" "$work/base/tmp"
    for source in $objects; do echo "$source"; done >"$work/base/objects"
    cp ./*.[ch] "$work/base/tree" && cp -r lib data program tests "$work/base/tree" || exit 1
    for flavor in "$@"; do
        mkdir -p "$work/base/$flavor"
        for source in $objects $(for p in $programs; do echo "tests/unit/$p.c"; done); do
            o=$work/base/$flavor/$(object_name "$source").o
            inputs="$(cat "$source" ./*.h */*.h */*/*.h | cksum) $CC $FLAGS"
            [ "$(cat "$o.inputs" 2>/dev/null)" != "$inputs" ] || continue
            compile "$work/base/tree" "$flavor" "$source" "$o" ||
                stop "$source does not compile: $work/compiler.log"
            printf '%s\n' "$inputs" >"$o.inputs"
        done
        for program in $programs; do
            link "$flavor" "$program" "$work/base" "$work/base/test" ||
                stop "$program does not link: $work/compiler.log"
            sum=$(cksum <"$work/base/test")
            [ "$(cat "$work/base/$flavor/$program.passed" 2>/dev/null)" != "$sum" ] || continue
            run "$flavor" "$work/base/test" "$work/base/tmp" >"$work/base/output" 2>&1 ||
                stop "the unchanged code fails $program ($flavor) in $LIMIT s: $work/base/output"
            printf '%s\n' "$sum" >"$work/base/$flavor/$program.passed"
        done
    done
}

# ---- one mutant ----

# Those that contain the file, the quickest first.
programs_for() {
    case $1 in
    context.c | ica.c) echo "test_pairs test_ica test_scoring" ;;
    lib/weights.c) echo "test_weights test_pairs" ;;
    lib/objectives.c) echo "test_pairs test_ica" ;;
    lib/tfidf.c) echo "test_tfidf test_ica test_scoring" ;;
    lib/stats.c) echo "test_stats test_pairs test_ica test_report" ;;
    lib/fast/share.c) echo "test_scoring test_ica" ;;
    model.c | lib/fast/*) echo "test_pairs test_model test_ica test_scoring" ;;
    lib/threads.c) echo "test_threads" ;;
    *) echo "test_pairs test_ica test_scoring test_model test_gemm" ;;
    esac
}

sources_of() { # the sources that a mutated file is part of
    case $1 in
    *.h)
        for program in $programs; do echo "tests/unit/$program.c"; done |
            cat - "$work/base/objects" | while read -r source; do
            grep -q "include \".*$(basename "$1")\"" "$work/base/tree/$source" && echo "$source"
        done
        ;;
    *) echo "$1" ;;
    esac
}

# try FOLDER FILE FLAVOR: compiles and tests; sets verdict
try() {
    changed=false
    for source in $(sources_of "$2"); do
        o=$3/$(object_name "$source").o
        if ! compile "$1/tree" "$3" "$source" "$1/$o"; then
            verdict=uncompiled
            return
        fi
        cmp -s "$1/$o" "$work/base/$o" || changed=true
    done
    $changed || return 0
    verdict=survived
    for program in $(programs_for "$2"); do
        link "$3" "$program" "$1" "$1/test" || { verdict=uncompiled && return; }
        run "$3" "$1/test" "$1/tmp" >"$1/output" 2>&1
        status=$?
        if [ $status -ne 0 ]; then
            verdict="killed$tab$3/$program, status $status"
            return
        fi
    done
}

# mutant FOLDER FILE START LENGTH TEXT RESULT FLAVOR...
mutant() {
    folder=$1 file=$2 start=$3 length=$4 text=$5 result=$6
    shift 6
    "$tool" apply "$work/base/tree/$file" "$start" "$length" "$text" >"$folder/tree/$file"
    verdict=same
    for flavor in "$@"; do
        rm -rf "${folder:?}/$flavor" "$folder/tmp"
        mkdir -p "$folder/$flavor" "$folder/tmp"
        case $verdict in killed* | uncompiled) ;; *) try "$folder" "$file" "$flavor" ;; esac
    done
    cp "$work/base/tree/$file" "$folder/tree/$file"
    case $verdict in survived) verdict="$verdict$tab$everything" ;; esac
    printf '%s\n' "$verdict" >"$result.part" && mv "$result.part" "$result"
}

result_of() { # FILE KEY LENGTH TEXT
    echo "$work/results/$(printf '%s' "$*" | cksum | tr ' ' -)"
}

known() { # RESULT: is it still true?
    [ -f "$1" ] && { ! grep -q ^survived "$1" || grep -q "$everything" "$1"; }
}

new_folder() {
    rm -rf "$1"
    mkdir -p "$1"
    cp -r "$work/base/tree" "$1/tree"
}

# job NUMBER: of the plan's lines on stdin, every JOBS-th
job() {
    new_folder "$work/job$1"
    awk -v j="$1" -v n="$JOBS" 'NR % n == j' |
    while IFS=$tab read -r reason file start length text key function line operation _; do
        [ "$reason" = - ] || [ -n "$VERIFY" ] || continue
        result=$(result_of "$file" "$key" "$length" "$text")
        known "$result" && continue
        mutant "$work/job$1" "$file" "$start" "$length" "$text" "$result" float double </dev/null \
            2>/dev/null
        printf '%s %s:%s %s %s: %s\n' "$(date +%T)" "$file" "$line" "$function" "$operation" \
            "$(cat "$result")" >>"$work/log"
    done
    rm -rf "$work/job$1"
}

# What survived, once more under sanitizers: an index out of bounds need not change a result.
sanitize_survivors() {
    [ "$(cut -f 1 "$work/verdicts" | grep -c survived)" -gt 0 ] || return
    build_base sanitize
    new_folder "$work/job"
    head -n "$taken" "$work/plan" | while IFS=$tab read -r reason file start length text key _; do
        result=$(result_of "$file" "$key" "$length" "$text")
        if [ "$reason" = - ] && grep -q ^survived "$result" && ! grep -q sanitized "$result"; then
            mutant "$work/job" "$file" "$start" "$length" "$text" "$result" sanitize </dev/null \
                2>/dev/null
            if grep -q ^survived "$result"; then
                printf 'survived\t%s\tsanitized\n' "$everything" >"$result"
            fi
        fi
    done
    rm -rf "$work/job"
}

# ---- all ----

# The plan: what tests/mutation/mutate.equivalent says of a mutant, or -, before each. A line of
# that list: file | function | part of the old line | part of the new line | reason; the parts may
# be *.
make_plan() {
    skipped=$(awk -F ' \\| ' '!/^#/ && NF >= 5 && $3 == "*" && $4 == "*" { printf "%s ", $2 }' \
        "$equivalent")
    # shellcheck disable=SC2086
    "$tool" plan "$SEED" "$skipped" $FILES | awk -F "$tab" -v list="$equivalent" '
        function fits(part, text) { return part == "*" || index(text, part) > 0 }
        BEGIN {
            while ((getline line <list) > 0) {
                if (line ~ /^#/ || split(line, part, / \| /) < 5) continue
                n++
                for (i = 1; i <= 5; i++) entry[n, i] = part[i]
            }
        }
        {
            reason = "-"
            for (i = 1; i <= n && reason == "-"; i++)
                if (fits(entry[i, 1], $1) && (entry[i, 2] == "*" || entry[i, 2] == $6) &&
                    fits(entry[i, 3], $9) &&
                    fits(entry[i, 4], $10))
                    reason = entry[i, 5]
            print reason "\t" $0
        }' >"$work/plan"
}

# lines COUNT: of the plan's first lines those about which something is known: verdict, reason,
# file, function, line, operator, texts
lines() {
    head -n "$1" "$work/plan" | while IFS=$tab read -r reason file start length text key rest; do
        result=$(result_of "$file" "$key" "$length" "$text")
        verdict=
        if known "$result"; then verdict=$(cut -f 1 "$result"); fi
        case $reason$verdict in
        -) continue ;;
        -*) ;;
        *killed) verdict=mislisted ;;
        *) verdict=equivalent ;;
        esac
        printf '%s\t%s\t%s\t%s\n' "$verdict" "$reason" "$file" "$rest"
    done
}

run_all() {
    total=$(wc -l <"$work/plan")
    taken=0 count=0
    while [ "$count" -lt "$MUTANTS" ] && [ "$taken" -lt "$total" ]; do
        taken=$((taken + MUTANTS - count))
        j=0
        while [ $j -lt "$JOBS" ]; do
            head -n $taken "$work/plan" | job $j &
            j=$((j + 1))
        done
        wait
        lines $taken >"$work/verdicts"
        count=$(grep -c -e ^killed -e ^survived "$work/verdicts")
        echo "$(date +%T) $count of $MUTANTS mutants: $(grep -c ^killed "$work/verdicts") killed" \
            >&2
    done
    sanitize_survivors
    lines "$taken" >"$work/verdicts"
}

report() {
    awk -F "$tab" -v seed="$SEED" '
        {
            all[$1]++
            if ($1 == "killed" || $1 == "survived") {
                rows[$3]; columns[$6]
                of[$3, $6]++; of[$3, ""]++; of["", $6]++
                if ($1 == "killed") { killed[$3, $6]++; killed[$3, ""]++; killed["", $6]++ }
            }
            text = sprintf("%s:%s %s, %s\n    - %s\n    + %s\n", $3, $5, $4, $6, $7, $8)
            if ($1 == "survived") survivors = survivors text
            if ($1 == "equivalent") equivalents = equivalents text "    = " $2 "\n"
            if ($1 == "mislisted") mislisted = mislisted text "    = " $2 "\n"
        }
        END {
            counted = all["killed"] + all["survived"]
            rate = counted ? 100 * all["killed"] / counted : 0
            if (equivalents) printf "Equivalent, by tests/mutation/mutate.equivalent:\n%s\n",
                equivalents
            if (mislisted) printf "Listed there, but found by a test:\n%s\n", mislisted
            if (survivors) printf "Survived:\n%s\n", survivors
            printf "%-24s", "killed of"
            for (c in columns) printf " %9s", c
            printf " %9s\n", "all"
            for (r in rows) {
                printf "%-24s", r
                for (c in columns) printf " %9s", killed[r, c] + 0 "/" of[r, c] + 0
                printf " %9s\n", killed[r, ""] + 0 "/" of[r, ""] + 0
            }
            printf "%-24s", "all"
            for (c in columns) printf " %9s", killed["", c] + 0 "/" of["", c] + 0
            printf " %9s\n\n", all["killed"] + 0 "/" counted
            printf "mutate: seed %d: %d killed of %d, %.1f %%; ", seed, all["killed"], counted, rate
            printf "%d survived, %d equivalent (listed); ", all["survived"], all["equivalent"]
            printf "not counted: %d do not compile, %d compile to the same code\n",
                all["uncompiled"], all["same"]
            exit rate < 95 || mislisted != ""
        }'
}

mkdir -p "$work/results"
# shellcheck disable=SC2086
$CC -std=c11 -O1 -I. tests/mutation/mutate.c lib/util.c -o "$tool" -lm || exit 1
everything=$(cat ./*.[ch] lib/*.[ch] data/*.[ch] tests/unit/*.[ch] tests/reference/*.[ch] | cksum |
    tr ' ' -)
[ -z "$FRESH" ] || rm -rf "$work/base" "$work/results"
mkdir -p "$work/results"
: >"$work/compiler.log"
build_base float double
make_plan || exit 1
trap 'exit 1' INT TERM
run_all
report <"$work/verdicts"
