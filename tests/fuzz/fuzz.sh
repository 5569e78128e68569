#!/bin/sh
# Fuzzes each target that make built for FUZZ_SECONDS (60), from the inputs kept in
# tests/fuzz/corpus, with inputs of at most FUZZ_LENGTH (8192) bytes. What libFuzzer learns stays in
# build/fuzz/corpus, for the next time; an input that breaks a target is put into build/fuzz/found.
# The last line is the sum.
cd "$(dirname "$0")/../.." || exit 1
seconds=${FUZZ_SECONDS:-60}
longest=${FUZZ_LENGTH:-8192}
found=build/fuzz/found
mkdir -p $found
passed=0 failed=0 all=0
for program in "$@"; do
    name=${program##*/}
    learned=build/fuzz/corpus/$name
    mkdir -p "$learned"
    "$program" -max_total_time="$seconds" -max_len="$longest" -timeout=10 -rss_limit_mb=2048 \
        -close_fd_mask=1 -print_final_stats=1 -artifact_prefix="$found/$name-" "$learned" \
        "tests/fuzz/corpus/$name" >"build/fuzz/$name.log" 2>&1
    status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log")
    rate=$(sed -n 's/^stat::average_exec_per_sec: *//p' "build/fuzz/$name.log")
    all=$((all + ${runs:-0}))
    echo "$name: ${runs:-0} executions, ${rate:-0} a second"
    if [ $status -eq 0 ]; then passed=$((passed + 1))
    else
        failed=$((failed + 1))
        tail -n 30 "build/fuzz/$name.log"
    fi
done
echo "$all executions in all"
echo "fuzz: $passed passed, $failed failed"
[ $failed -eq 0 ]
