#!/bin/sh
# The mutation test: small defects, one at a time; the tests must find them. A defect that they do
# not find ("survives") is tried under sanitizers too, as `make test` does; if it survives that, it
# shows where tests are weak: it needs a test, or, when it changes no result, a line in
# tests/mutation/mutate.equivalent that says why. Status 1 if fewer than 95 % of those that count
# are found, or more than 5 % are listed as equivalent. `make mutate`; an hour of two processors.
#
# Lines of code are drawn by the seed, evenly within each room of the house, as many in one room as
# in another. For each defect the tests that concern its file run first, the quickest of them before
# the others, and the first failure ends it.
#
# From the environment: MUTANTS (200) how many, SEED (1) which ones, JOBS (as many as there are
# cores) how many at once, ROOMS which rooms, LIMIT (20) seconds of processor time after which a
# test counts as endless, VERIFY=1 tries those listed as equivalent too, FRESH=1 forgets what is
# known, CC, FLAGS. Not under nohup: that SIGHUP ends a run is among what is tested.
#
# What is known stands in build/mutate/results, one file a mutant, by the text of its function: a
# run that was stopped goes on where it was, and another SEED shares it. What was found stays found
# as long as its function stays as it is; what survived is tried again when a test or any source
# changes. A mutant that does not compile, or that compiles to the very code of the original, does
# not count.
cd "$(dirname "$0")/../.." || exit 1
MUTANTS=${MUTANTS:-200} SEED=${SEED:-1} LIMIT=${LIMIT:-20} CC=${CC:-cc}
JOBS=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}
ROOMS=${ROOMS:-ica model train lib data program}
omp=$(echo 'int main(void) { return 0; }' | $CC -fopenmp -x c - -o /dev/null 2>/dev/null &&
    echo -fopenmp)
# No -w: with gcc it would silence these two as well.
FLAGS="${FLAGS:--std=c11 -fno-math-errno -ffp-contract=off $omp}
    -Werror=int-conversion -Werror=incompatible-pointer-types"
OMP_WAIT_POLICY=passive OMP_NUM_THREADS=1 LC_ALL=C
export OMP_WAIT_POLICY OMP_NUM_THREADS LC_ALL
work=$PWD/build/mutate
tool=$work/mutate
equivalent=$PWD/tests/mutation/mutate.equivalent
tab=$(printf '\t')

# What draws pages for people is left out.
files_of() {
    case $1 in
    ica) ls ica.c scoring/*.c ;;
    model | train) echo "$1.c" ;;
    lib) ls tokenizer.c lib/*.c lib/fast/*.c lib/gemm.h | grep -v -e charts -e html -e text.c ;;
    data) ls data/*.c data/*/*.c ;;
    program) ls program/*.c program/report/*.c | grep -v -e page.c ;;
    *) stop "there is no room $1" ;;
    esac
}

objects="$(ls ./*.c ./lib/*.c ./scoring/*.c ./*/*/*.c ./data/*.c ./program/*.c | sed 's,^[.]/,,' |
    grep -v -e '^tests/' -e '^build/' -e '^out' -e '^program/main.c$')
    tests/reference/oracle.c tests/unit/world.c"
audit_objects="tests/audit/audit.c tests/audit/audit_exact.c tests/audit/audit_product.c
    tests/audit/audit_training.c"
float_programs=$(ls tests/unit/test_*.c | sed 's,.*/\(.*\)[.]c,\1,' | grep -v test_audit)
# Scripts of tests/system that run the program, in the flavor float alone.
scripts="end_to_end pools chat accept demos runs folders adapters garbage idle bench"
double_programs="test_pairs test_ica test_methods test_scoring test_model test_parameters
    test_families test_gemm test_audit"

stop() {
    echo "mutate: $1" >&2
    exit 1
}

is_script() { case " $scripts " in *" $1 "*) ;; *) return 1 ;; esac; }

# What the scripts say: a change of it counts as a change of the tests.
script_texts() {
    for script in $scripts check; do cat "tests/system/$script.sh"; done
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

main_of() { # PROGRAM: the sources that are in it alone
    case $1 in
    ica) echo program/main.c ;;
    test_audit) echo "tests/unit/test_audit.c $audit_objects" ;;
    *) echo "tests/unit/$1.c" ;;
    esac
}

# link FLAVOR PROGRAM FOLDER OUT: objects of FOLDER where there are some, else the original's
link() {
    list=
    for source in $(main_of "$2"); do
        o=$1/$(object_name "$source").o
        if [ -f "$3/$o" ]; then list="$list $3/$o"; else list="$list $work/base/$o"; fi
    done
    changed_objects=
    [ "$3" = "$work/base" ] || changed_objects=$(ls "$3/$1"/*.o 2>/dev/null)
    for o in $changed_objects; do
        case " $list " in *" $o "*) ;; *) list="$list $o" ;; esac
    done
    # shellcheck disable=SC2086,SC2046
    nice -n 10 $CC $FLAGS $(flavor_flags "$1") $list "$work/base/$1/all.a" -o "$4" -lm \
        >>"$work/compiler.log" 2>&1
}

# run FLAVOR PROGRAM FOLDER: what is called `test` there, or a script with the program `ica` there
run() {
    seconds=$LIMIT space=4
    [ "$1" != sanitize ] || seconds=$((5 * LIMIT)) space=0
    set -- "$2" "$3"
    if is_script "$1"; then set -- "$2" /bin/sh "$work/base/tree/tests/system/$1.sh"
    else set -- "$2" "$2/test"; fi
    folder_of_run=$1
    shift
    KILLS=3 CUTS=397 CHECK_STOP=1 ICA=$folder_of_run/ica ASAN_OPTIONS=detect_leaks=0 \
        TMPDIR=$folder_of_run/tmp \
        nice -n 10 "$tool" run "$seconds" "$space" "$@"
}

# prepare FLAVOR PROGRAM FOLDER: links what running it needs
prepare() {
    is_script "$2" || link "$1" "$2" "$3" "$3/test" || return 1
    ! runs_program "$2" || link "$1" ica "$3" "$3/ica"
}

runs_program() { is_script "$1" || grep -q 'unit/lab[.]h"' "tests/unit/$1.c"; }

# ---- the original: its objects, and that its tests pass ----

programs_of() { # FLAVOR: all that run in it
    case $1 in
    float) echo "$float_programs $scripts" ;;
    double) echo "$double_programs" ;;
    *) echo "$wanted" ;;
    esac
}

sources_for() { # FLAVOR
    echo "$objects"
    for program in $(programs_of "$1"); do
        if is_script "$program"; then main_of ica
        else main_of "$program"; fi
    done
}

# share FUNCTION FLAVOR NUMBER: calls the function with the flavor, a folder of its own and each
# line of the input that is this job's
share() {
    at=0
    while read -r line; do
        at=$(((at + 1) % JOBS))
        [ $at -ne "$3" ] || "$1" "$2" "$work/base$3" "$line" </dev/null || exit 1
    done
}

# all_jobs FUNCTION FLAVOR: the same, by all jobs at once
all_jobs() {
    cat >"$work/base/lines"
    j=0 jobs_of_base=
    while [ $j -lt "$JOBS" ]; do
        mkdir -p "$work/base$j/tmp"
        share "$1" "$2" $j <"$work/base/lines" &
        jobs_of_base="$jobs_of_base $!"
        j=$((j + 1))
    done
    for j in $jobs_of_base; do wait "$j" || failed_base=yes; done
    [ -z "$failed_base" ] || exit 1
}

compile_base() { # FLAVOR FOLDER SOURCE
    o=$work/base/$1/$(object_name "$3").o
    inputs="$(cat "$3" ./*.h */*.h */*/*.h | cksum) $CC $FLAGS"
    [ "$(cat "$o.inputs" 2>/dev/null)" != "$inputs" ] || return 0
    compile "$work/base/tree" "$1" "$3" "$o" || stop "$3 does not compile: $work/compiler.log"
    printf '%s\n' "$inputs" >"$o.inputs"
    rm -f "$work/base/$1/all.a"
}

test_base() { # FLAVOR FOLDER PROGRAM
    rm -f "$2/test" "$2/ica"
    prepare "$1" "$3" "$2" || stop "$3 does not link: $work/compiler.log"
    sum=$({
        cat "$2/test" "$2/ica" 2>/dev/null
        ! is_script "$3" || cat "tests/system/$3.sh" tests/system/check.sh
    } | cksum)
    [ "$(cat "$work/base/$1/$3.passed" 2>/dev/null)" != "$sum" ] || return 0
    run "$1" "$3" "$2" >"$2/output" 2>&1 || run "$1" "$3" "$2" >"$2/output" 2>&1 ||
        stop "the unchanged code fails $3 ($1) in $LIMIT s: $2/output"
    printf '%s\n' "$sum" >"$work/base/$1/$3.passed"
}

# Compiles what has changed, and runs the tests whose objects have changed. FLAVOR...
build_base() {
    rm -rf "$work/base/tree"
    mkdir -p "$work/base/tree"
    for source in $objects program/main.c; do echo "$source"; done >"$work/base/objects"
    cp ./*.[ch] "$work/base/tree" &&
        cp -r lib scoring data program tests "$work/base/tree" || exit 1
    for flavor in "$@"; do
        mkdir -p "$work/base/$flavor"
        sources_for "$flavor" | tr -s ' ' '\n' | awk 'NF && !seen[$0]++' |
            all_jobs compile_base "$flavor" || exit 1
        # shellcheck disable=SC2046
        [ -f "$work/base/$flavor/all.a" ] || ar rcs "$work/base/$flavor/all.a" \
            $(for source in $objects; do echo "$work/base/$flavor/$(object_name "$source").o"; done)
        programs_of "$flavor" | tr -s ' ' '\n' | awk NF | all_jobs test_base "$flavor" || exit 1
    done
}

# ---- one mutant ----

# programs_for FLAVOR FILE: those that concern the file, the quickest first
programs_for() {
    for program in $(programs_of_file "$1" "$2"); do echo "$program"; done | awk '!seen[$0]++'
}

programs_of_file() {
    case $1:$2 in
    double:scoring/context.c | double:ica.c | double:scoring/share.c)
        echo "test_pairs test_ica test_methods test_scoring test_audit"
        ;;
    double:model.c | double:lib/fast/* | double:lib/layers.c | double:lib/table.c | \
        double:lib/shape.c | double:lib/lora.c | double:lib/adamw.c)
        echo "test_parameters test_families test_model test_audit"
        ;;
    double:lib/gemm*) echo "test_gemm test_model" ;;
    double:train.c | double:lib/schedule.c | double:data/order.c | double:lib/weights.c | \
        double:lib/objectives.c | double:lib/stats.c | double:lib/tfidf.c) echo test_audit ;;
    double:*) ;;
    *:scoring/holdout.c)
        echo "test_holdout $(in_float "$1" test_references accept)" ;;
    *) echo "$(own_test "$2") $(others_for "$2") $(in_float "$1" "$(by_program "$2")")" ;;
    esac
}

# Unit tests of other names that concern the file.
others_for() { # FILE
    case $1 in
    scoring/context.c | ica.c)
        echo "test_frames test_pairs test_ica test_methods test_progress test_scoring" \
            "test_embedding" ;;
    lib/weights.c | lib/objectives.c) echo "test_pairs test_methods" ;;
    lib/tfidf.c) echo "test_ica test_progress test_scoring" ;;
    lib/centers.c) echo "test_scoring test_embedding" ;;
    lib/stats.c) echo "test_pairs test_methods test_report" ;;
    scoring/share.c) echo "test_scoring test_ica test_progress test_methods" ;;
    model.c | lib/fast/* | lib/layers.c | lib/table.c | lib/shape.c | lib/lora.c | lib/adamw.c)
        echo "test_parameters test_families test_pairs test_model test_ica test_methods" \
            "test_scoring test_model_weights"
        ;;
    lib/gemm*) echo "test_gemm test_pairs test_ica test_methods test_scoring test_model" ;;
    lib/json.c) echo test_records ;;
    lib/map.c) echo "test_records test_tokenizer" ;;
    lib/options.c) echo test_settings ;;
    lib/tensors.c) echo test_model_folder ;;
    lib/unicode.c) echo "test_shown test_tokenizer" ;;
    data/corpus/*) echo test_corpus ;;
    data/tokenizer* | data/model_folder.c)
        echo "test_tokenizer test_tokenizer_json test_model_folder test_adapter" ;;
    data/pool.c | data/partial.c | data/depends.c | program/chunks.c | program/score.c | \
        program/evaluate.c) echo "test_pool test_power_files" ;;
    data/records.c | data/examples.c)
        echo "test_records test_examples test_pool test_parts test_frames" ;;
    data/forms.c) echo "test_records test_examples test_summary test_parts" ;;
    data/template*) echo "test_template test_frames test_tokenizer" ;;
    program/report/*) echo test_report ;;
    lib/schedule.c | data/order.c) echo "test_schedule test_order" ;;
    lib/util.c | lib/file.c | lib/system.c)
        echo "test_json test_tensors test_ica test_power test_power_files" ;;
    data/place.c | data/keep.c | data/run.c) echo "test_power" ;;
    esac
}

# What runs ./ica.
by_program() { # FILE
    case $1 in
    scoring/holdout.c) echo "accept" ;;
    scoring/context.c) echo "test_train demos" ;;
    ica.c | model.c | lib/fast/* | lib/layers.c | lib/table.c | lib/shape.c | lib/adamw.c | \
        lib/objectives.c | lib/schedule.c | data/order.c) echo "test_train" ;;
    lib/weights.c) echo "test_train accept" ;;
    lib/tfidf.c | lib/centers.c | lib/stats.c | scoring/share.c | \
        scoring/embedding.c | lib/gemm* | lib/threads.c | lib/map.c) ;;
    lib/json.c | lib/options.c | lib/tensors.c | lib/unicode.c | tokenizer.c | data/corpus/* | \
        program/report/* | lib/util.c | lib/file.c | lib/system.c) echo "end_to_end" ;;
    lib/lora.c | data/adapter.c | data/model_folder.c | program/merge.c)
        echo "adapters test_train end_to_end"
        ;;
    data/pool.c | data/partial.c | data/depends.c | program/chunks.c | program/evaluate.c)
        echo "pools test_train end_to_end" ;;
    program/score.c | program/select.c | data/scores.c | program/requests.c)
        echo "pools accept test_train end_to_end" ;;
    data/template*) echo "chat garbage" ;;
    train.c) echo "test_states test_train test_finite runs accept" ;;
    program/idle.c) echo "idle" ;;
    program/dry_run.c) echo "runs" ;;
    program/bench*) echo "bench" ;;
    program/inspect.c | program/diff.c | program/codec.c | program/corpus.c | program/import.c | \
        program/tokenizer.c) echo "end_to_end" ;;
    data/generation.c | data/prompts.c | program/talk.c | program/chat.c | program/generate.c)
        echo "chat test_train end_to_end" ;;
    data/place.c | program/guard.c | lib/lock.c) echo "folders runs test_train end_to_end" ;;
    *) echo "runs test_train end_to_end" ;;
    esac
}

own_test() { # FILE: the test of its name, if there is one
    own=test_$(basename "$1" .c)
    [ ! -f "$work/base/tree/tests/unit/$own.c" ] || echo "$own"
}

in_float() { # FLAVOR PROGRAM...: what runs ./ica runs in one flavor alone
    [ "$1" != float ] || { shift && echo "$@"; }
}

sources_of() { # the sources that a mutated file is part of
    case $1 in
    *.h)
        ls tests/unit/test_*.c | cat - "$work/base/objects" | while read -r source; do
            grep -q "include \".*$(basename "$1")\"" "$work/base/tree/$source" && echo "$source"
        done
        ;;
    *) echo "$1" ;;
    esac
}

# try FOLDER FILE FLAVOR: compiles and tests; sets verdict
try() {
    changed=false
    [ -n "$(programs_for "$3" "$2")" ] || return 0
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
    for program in $(programs_for "$3" "$2"); do
        prepare "$3" "$program" "$1" || { verdict=uncompiled && return; }
        run "$3" "$program" "$1" >"$1/output" 2>&1
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
    case $verdict in survived | same) verdict="$verdict$tab$everything" ;; esac
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

# job NUMBER: goes through all lines that are taken, but for those that another job has begun
job() {
    new_folder "$work/job$1"
    while IFS=$tab read -r reason file start length text key function line operation _; do
        [ "$reason" = - ] || [ -n "$VERIFY" ] || continue
        result=$(result_of "$file" "$key" "$length" "$text")
        known "$result" && continue
        mkdir "$work/claims/$(basename "$result")" 2>/dev/null || continue
        mutant "$work/job$1" "$file" "$start" "$length" "$text" "$result" float </dev/null \
            2>/dev/null
        log_result
    done <"$work/taken"
    rm -rf "$work/job$1"
}

log_result() {
    printf '%s %s:%s %s %s: %s\n' "$(date +%T)" "$file" "$line" "$function" "$operation" \
        "$(cat "$result")" >>"$work/log"
}

# again NUMBER: what survived in the flavor float, in the others: double, where other code may be
# compiled, and under sanitizers: an index out of bounds need not change a result.
again() {
    new_folder "$work/job$1"
    while IFS=$tab read -r reason file start length text key function line operation _; do
        [ "$reason" = - ] || [ -n "$VERIFY" ] || continue
        result=$(result_of "$file" "$key" "$length" "$text")
        grep -q -e ^survived -e ^same "$result" && ! grep -q "all flavors" "$result" || continue
        mkdir "$work/claims/$(basename "$result")" 2>/dev/null || continue
        verdict_of_float=$(cut -f 1 "$result") others="double sanitize"
        [ "$verdict_of_float" = survived ] || others=double
        # shellcheck disable=SC2086
        mutant "$work/job$1" "$file" "$start" "$length" "$text" "$result" $others </dev/null \
            2>/dev/null
        case $(cut -f 1 "$result") in
        survived) printf 'survived\t%s\tall flavors\n' "$everything" >"$result" ;;
        same) printf '%s\t%s\tall flavors\n' "$verdict_of_float" "$everything" >"$result" ;;
        esac
        log_result
    done <"$work/taken"
    rm -rf "$work/job$1"
}

all_again() {
    files=$(awk -F "$tab" '$1 == "survived" { print $4 }' "$work/verdicts" | sort -u)
    wanted=$(for file in $files; do programs_for sanitize "$file"; done | sort -u)
    build_base double
    [ -z "$wanted" ] || build_base sanitize
    rm -rf "$work/claims" && mkdir "$work/claims"
    all_at_once again
}

# ---- all ----

# The plan of a room: what tests/mutation/mutate.equivalent says of a mutant, or -, before each. A
# line of that list: file | function | part of the old line | part of the new line | reason; the
# parts may be *.
make_plan() { # ROOM
    skipped=$(awk -F ' \\| ' '!/^#/ && NF >= 5 && $3 == "*" && $4 == "*" { printf "%s ", $2 }' \
        "$equivalent")
    # shellcheck disable=SC2046
    "$tool" plan "$SEED" "$skipped" $(files_of "$1") | awk -F "$tab" -v list="$equivalent" '
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
        }' >"$work/plan.$1"
}

# lines ROOM: of the lines taken in it those about which something is known: verdict, reason, room,
# file, function, line, operator, texts
lines() {
    head -n "$(cat "$work/taken.$1")" "$work/plan.$1" |
        while IFS=$tab read -r reason file start length text key rest; do
        result=$(result_of "$file" "$key" "$length" "$text")
        verdict=
        if known "$result"; then verdict=$(cut -f 1 "$result"); fi
        case $reason$verdict in
        -) continue ;;
        -*) ;;
        *killed) verdict=mislisted ;;
        *) verdict=equivalent ;;
        esac
        printf '%s\t%s\t%s\t%s\t%s\n' "$verdict" "$reason" "$1" "$file" "$rest"
    done
}

all_lines() { for room in $ROOMS; do lines "$room"; done; }

# Takes as many more lines in each room as are missing there. Status 1: none is.
take_more() {
    more=
    : >"$work/taken"
    for room in $ROOMS; do
        at=$(cat "$work/taken.$room") total=$(wc -l <"$work/plan.$room")
        counted=$(lines "$room" | grep -c -e ^killed -e ^survived)
        [ "$counted" -ge "$share" ] || [ "$at" -ge "$total" ] || {
            more=yes
            echo $((at + share - counted)) >"$work/taken.$room"
        }
        head -n "$(cat "$work/taken.$room")" "$work/plan.$room" >>"$work/taken"
    done
    [ -n "$more" ]
}

# all_at_once FUNCTION: calls it with the number of each job, all at once
all_at_once() {
    j=0
    while [ $j -lt "$JOBS" ]; do
        "$1" $j &
        j=$((j + 1))
    done
    wait
}

run_all() {
    share=$(((MUTANTS + $(echo "$ROOMS" | wc -w) - 1) / $(echo "$ROOMS" | wc -w)))
    for room in $ROOMS; do echo 0 >"$work/taken.$room"; done
    while take_more; do
        rm -rf "$work/claims" && mkdir "$work/claims"
        all_at_once job
        all_lines >"$work/verdicts"
        counted=$(grep -c -e ^killed -e ^survived "$work/verdicts")
        killed=$(grep -c ^killed "$work/verdicts")
        echo "$(date +%T) $counted of $MUTANTS mutants: $killed killed" >&2
    done
    all_lines >"$work/verdicts"
    all_again
    all_lines >"$work/verdicts"
}

report() {
    awk -F "$tab" -v seed="$SEED" '
        {
            all[$1]++
            if ($1 == "killed" || $1 == "survived") {
                rows[$3]; columns[$7]
                of[$3, $7]++; of[$3, ""]++; of["", $7]++
                if ($1 == "killed") { killed[$3, $7]++; killed[$3, ""]++; killed["", $7]++ }
            }
            text = sprintf("%s:%s %s, %s\n    - %s\n    + %s\n", $4, $6, $5, $7, $8, $9)
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
            many = 20 * all["equivalent"] > counted + all["equivalent"]
            exit rate < 95 || mislisted != "" || many
        }'
}

mkdir -p "$work/results"
# shellcheck disable=SC2086
$CC -std=c11 -O1 -I. tests/mutation/mutate.c lib/util.c lib/unicode.c lib/file.c \
    lib/system.c -o "$tool" -lm || exit 1
everything=$({
    cat ./*.[ch] ./*/*.[ch] ./*/*/*.[ch]
    script_texts
} | cksum | tr ' ' -)
[ -z "$FRESH" ] || rm -rf "$work/base" "$work/results"
mkdir -p "$work/results"
: >"$work/compiler.log"
build_base float
for room in $ROOMS; do make_plan "$room" || exit 1; done
trap 'exit 1' INT TERM
run_all
report <"$work/verdicts"
