#!/bin/sh
# Runs test programs and scripts, each of which ends with a line "NAME: N passed, N failed"; adds
# them up. One that does not end so has crashed and counts as a failure. The last line is the sum;
# the status is 1 if anything failed. From the environment: JOBS, how many at once (as many as there
# are cores, at most 4).
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
JOBS=${JOBS:-$((cores < 4 ? cores : 4))}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'trap "" TERM; kill 0; exit 1' INT # what stands behind & does not hear Ctrl-C
trap 'exit 1' TERM

# run NUMBER PROGRAM: leaves "PASSED FAILED" in NUMBER/sum, and says in one piece what became of it
run() {
    started=$(date +%s)
    case $2 in
    *.sh) sh "$2" >"$work/$1/output" 2>&1 ;;
    *) "$2" >"$work/$1/output" 2>&1 ;;
    esac
    status=$?
    line=$(grep -E '^[^ ]+: [0-9]+ passed, [0-9]+ failed$' "$work/$1/output" | tail -n 1)
    p=$(printf '%s' "$line" | sed -n 's/.*: \([0-9]*\) passed.*/\1/p')
    f=$(printf '%s' "$line" | sed -n 's/.*, \([0-9]*\) failed/\1/p')
    if [ -z "$line" ] || { [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; }; then
        p=${p:-0} f=$((${f:-0} + 1))
        echo "$2: ended with status $status" >>"$work/$1/output"
    fi
    {
        [ "$f" -eq 0 ] || tail -n 40 "$work/$1/output"
        echo "$2: $p passed, $f failed ($(($(date +%s) - started)) s)"
    } >"$work/$1/said"
    cat "$work/$1/said"
    echo "$p $f" >"$work/$1/sum"
}

# Each worker goes through the whole list; what another one has begun (its folder is there) it
# leaves to that one.
worker() {
    number=0
    for program in "$@"; do
        number=$((number + 1))
        if mkdir "$work/$number" 2>/dev/null; then run $number "$program"; fi
    done
}

job=0
while [ $job -lt "$JOBS" ]; do
    worker "$@" &
    job=$((job + 1))
done
wait
passed=0 failed=0 number=0
for program in "$@"; do
    number=$((number + 1)) p=0 f=1
    if [ -s "$work/$number/sum" ]; then read -r p f <"$work/$number/sum"
    else echo "$program: did not run"; fi
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
