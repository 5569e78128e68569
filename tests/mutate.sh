#!/bin/sh
# The mutation test: small defects, one at a time, in the code that computes; the fast tests must find them. A defect that they do
# not find ("survives") shows where tests are weak: it needs a test, or, when it changes no result, a line in
# tests/mutate.equivalent that says why. Status 1 if fewer than 95 % of those that count are found. `make mutate`; some 30 minutes.
#
# From the environment: MUTANTS (200) how many, SEED (1) which ones, JOBS (1) how many at once, FILES which files, LIMIT (20)
# seconds of processor time after which a test counts as endless, FRESH=1 forget what is known, CC, FLAGS.
#
# What is known stands in build/mutate/results, one file a mutant: a run that was stopped goes on where it was, and another SEED
# shares it. When the code changes all is forgotten; when only tests change, survivors are tried again, and what was found stays
# found. A mutant that does not compile, or that compiles to the very code of the original, does not count.
cd "$(dirname "$0")/.." || exit 1
MUTANTS=${MUTANTS:-200} SEED=${SEED:-1} JOBS=${JOBS:-1} LIMIT=${LIMIT:-20} CC=${CC:-cc}
FILES=${FILES:-model.c ica.c lib/gemm.c lib/gemm.h}
FLAGS="${FLAGS:--std=c11 -fno-math-errno -ffp-contract=off} -O2 -w -Werror=int-conversion -Werror=incompatible-pointer-types"
OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 LC_ALL=C
export OMP_WAIT_POLICY OMP_NUM_THREADS LC_ALL
work=$PWD/build/mutate
tool=$work/mutate
equivalent=$PWD/tests/mutate.equivalent
tab=$(printf '\t')

objects="model.c ica.c $(echo lib/*.c) tests/oracle.c"
programs="test_pairs test_ica test_model test_gemm"

stop() {
    echo "mutate: $1" >&2
    exit 1
}

object_name() { echo "$1" | tr / _; }

# compile TREE FLAVOR SOURCE OBJECT
compile() {
    real=
    [ "$2" = float ] || real=-DREAL_DOUBLE
    # shellcheck disable=SC2086
    (cd "$1" && nice -n 10 $CC $FLAGS $real -DCHECK_STOP -I. -c "$3" -o "$4") >>"$work/compiler.log" 2>&1
}

# link FLAVOR PROGRAM FOLDER OUT: objects of FOLDER where there are some, else the original's
link() {
    list=
    for source in tests/$2.c $objects; do
        o=$1/$(object_name "$source").o
        if [ -f "$3/$o" ]; then list="$list $3/$o"; else list="$list $work/base/$o"; fi
    done
    # shellcheck disable=SC2086
    nice -n 10 $CC $FLAGS $list -o "$4" -lm >>"$work/compiler.log" 2>&1
}

# ---- the original: its objects, and that its tests pass ----

build_base() {
    [ "$(cat "$work/base/passed" 2>/dev/null)" = "$state $tests" ] && return
    rm -rf "$work/base"
    mkdir -p "$work/base/float" "$work/base/double" "$work/base/tree/lib" "$work/base/tree/tests" "$work/base/tmp"
    for source in $objects; do echo "$source"; done >"$work/base/objects"
    cp ./*.c ./*.h "$work/base/tree" && cp lib/*.[ch] "$work/base/tree/lib" && cp tests/*.[ch] "$work/base/tree/tests" || exit 1
    for flavor in float double; do
        for source in $objects $(for p in $programs; do echo "tests/$p.c"; done); do
            compile "$work/base/tree" $flavor "$source" "$work/base/$flavor/$(object_name "$source").o" ||
                stop "$source does not compile: $work/compiler.log"
        done
        for program in $programs; do
            link $flavor "$program" "$work/base" "$work/base/test" || stop "$program does not link: $work/compiler.log"
            TMPDIR=$work/base/tmp nice -n 10 "$tool" run "$LIMIT" "$work/base/test" >"$work/base/output" 2>&1 ||
                stop "the unchanged code fails $program ($flavor) within $LIMIT s: $work/base/output"
        done
    done
    printf '%s\n' "$state $tests" >"$work/base/passed"
}

# ---- one mutant ----

# Those that contain the file, the quickest first.
programs_for() {
    case $1 in
    ica.c) echo "test_pairs test_ica" ;;
    model.c) echo "test_pairs test_model test_ica" ;;
    *) echo "$programs" ;;
    esac
}

sources_of() { # the sources that a mutated file is part of
    case $1 in
    *.h)
        for program in $programs; do echo "tests/$program.c"; done | cat - "$work/base/objects" | while read -r source; do
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
        TMPDIR=$1/tmp nice -n 10 "$tool" run "$LIMIT" "$1/test" >"$1/output" 2>&1
        status=$?
        if [ $status -ne 0 ]; then
            verdict="killed$tab$3/$program, status $status"
            return
        fi
    done
}

# mutant FOLDER FILE START LENGTH TEXT RESULT
mutant() {
    rm -rf "$1/float" "$1/double" "$1/tmp"
    mkdir -p "$1/float" "$1/double" "$1/tmp"
    "$tool" apply "$work/base/tree/$2" "$3" "$4" "$5" >"$1/tree/$2"
    verdict=same
    try "$1" "$2" float
    case $verdict in killed* | uncompiled) ;; *) try "$1" "$2" double ;; esac
    cp "$work/base/tree/$2" "$1/tree/$2"
    case $verdict in survived) verdict="$verdict$tab$tests" ;; esac
    printf '%s\n' "$verdict" >"$6.part" && mv "$6.part" "$6"
}

result_of() { echo "$work/results/$(printf '%s' "$*" | cksum | tr ' ' -)"; }

known() { # RESULT: is it still true?
    [ -f "$1" ] && { ! grep -q ^survived "$1" || grep -q "$tests" "$1"; }
}

# job NUMBER: of the plan's first lines on stdin, every JOBS-th
job() {
    folder=$work/job$1
    rm -rf "$folder"
    mkdir -p "$folder"
    cp -r "$work/base/tree" "$folder/tree"
    awk -v j="$1" -v n="$JOBS" 'NR % n == j' | while IFS=$tab read -r file start length text function line operation _; do
        result=$(result_of "$file" "$start" "$length" "$text")
        known "$result" && continue
        mutant "$folder" "$file" "$start" "$length" "$text" "$result" </dev/null 2>/dev/null
        printf '%s %s:%s %s %s: %s\n' "$(date +%T)" "$file" "$line" "$function" "$operation" "$(cat "$result")" >>"$work/log"
    done
    rm -rf "$folder"
}

# ---- all ----

# lines COUNT: the plan's first lines, each behind its verdict
lines() {
    head -n "$1" "$work/plan" | while IFS=$tab read -r file start length text rest; do
        result=$(result_of "$file" "$start" "$length" "$text")
        known "$result" && printf '%s\t%s\t%s\n' "$(cut -f 1 "$result")" "$file" "$rest"
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
        echo "$(date +%T) $count of $MUTANTS mutants: $(grep -c ^killed "$work/verdicts") killed" >&2
    done
}

# Verdicts on stdin. A line of the list of equivalents: file | function | part of the old line | part of the new line | reason;
# the parts may be *.
report() {
    awk -F "$tab" -v list="$equivalent" -v mutants="$MUTANTS" -v seed="$SEED" '
        function fits(part, text) { return part == "*" || index(text, part) > 0 }
        BEGIN {
            while ((getline line <list) > 0) {
                if (line ~ /^#/ || split(line, part, / \| /) < 5) continue
                n++
                for (i = 1; i <= 5; i++) entry[n, i] = part[i]
            }
        }
        {
            verdict = $1
            if (verdict == "survived")
                for (i = 1; i <= n && verdict == "survived"; i++)
                    if (fits(entry[i, 1], $2) && fits(entry[i, 2], $3) && fits(entry[i, 3], $6) && fits(entry[i, 4], $7)) {
                        verdict = "equivalent"
                        reason = entry[i, 5]
                    }
            all[verdict]++
            if (verdict == "killed" || verdict == "survived") {
                rows[$2]; columns[$5]
                of[$2, $5]++; of[$2, ""]++; of["", $5]++
                if (verdict == "killed") { killed[$2, $5]++; killed[$2, ""]++; killed["", $5]++ }
            }
            text = sprintf("%s:%s %s, %s\n    - %s\n    + %s\n", $2, $4, $3, $5, $6, $7)
            if (verdict == "survived") survivors = survivors text
            if (verdict == "equivalent") equivalents = equivalents text "    = " reason "\n"
        }
        END {
            counted = all["killed"] + all["survived"]
            rate = counted ? 100 * all["killed"] / counted : 0
            if (equivalents) printf "Equivalent, by tests/mutate.equivalent:\n%s\n", equivalents
            if (survivors) printf "Survived:\n%s\n", survivors
            printf "%-12s", "killed of"
            for (c in columns) printf " %10s", c
            printf " %10s\n", "all"
            columns[""]; rows[""]
            for (r in rows) if (r != "") {
                printf "%-12s", r
                for (c in columns) if (c != "") printf " %10s", killed[r, c] + 0 "/" of[r, c] + 0
                printf " %10s\n", killed[r, ""] + 0 "/" of[r, ""] + 0
            }
            printf "%-12s", "all"
            for (c in columns) if (c != "") printf " %10s", killed["", c] + 0 "/" of["", c] + 0
            printf " %10s\n\n", all["killed"] + 0 "/" counted
            printf "mutate: seed %d: %d killed of %d, %.1f %%; %d survived, %d equivalent (listed); not counted: %d do not compile, %d compile to the same code\n",
                seed, all["killed"], counted, rate, all["survived"], all["equivalent"], all["uncompiled"], all["same"]
            exit rate < 95
        }'
}

mkdir -p "$work"
# shellcheck disable=SC2086
$CC -std=c11 -O1 tests/mutate.c lib/util.c -o "$tool" -lm || exit 1
state="$(cat model.c ica.c ./*.h lib/*.[ch] | cksum) $CC $FLAGS"
tests=$(cat tests/test_*.c tests/oracle.[ch] tests/check.h | cksum | tr ' ' -)
if [ -n "$FRESH" ] || [ "$(cat "$work/state" 2>/dev/null)" != "$state" ]; then rm -rf "$work/results"; fi
mkdir -p "$work/results"
printf '%s\n' "$state" >"$work/state"
: >"$work/compiler.log"
build_base
skipped=$(awk -F ' \\| ' '!/^#/ && NF >= 5 && $3 == "*" && $4 == "*" { printf "%s ", $2 }' "$equivalent")
# shellcheck disable=SC2086
"$tool" plan "$SEED" "$skipped" $FILES >"$work/plan" || exit 1
trap 'exit 1' INT TERM
run_all
report <"$work/verdicts"
