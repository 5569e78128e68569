#!/bin/sh
# Runs test programs and scripts, each of which ends with a line "NAME: N passed, N failed"; adds them up. One that does not end
# so has crashed and counts as a failure. The last line is the sum; the status is 1 if anything failed.
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
passed=0 failed=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
for program in "$@"; do
    started=$(date +%s)
    case $program in
    *.sh) sh "$program" >"$output" 2>&1 ;;
    *) "$program" >"$output" 2>&1 ;;
    esac
    status=$?
    line=$(grep -E '^[^ ]+: [0-9]+ passed, [0-9]+ failed$' "$output" | tail -n 1)
    p=$(printf '%s' "$line" | sed -n 's/.*: \([0-9]*\) passed.*/\1/p')
    f=$(printf '%s' "$line" | sed -n 's/.*, \([0-9]*\) failed/\1/p')
    if [ -z "$line" ] || { [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; }; then
        p=${p:-0} f=$((${f:-0} + 1))
        line="$program: ended with status $status"
    fi
    [ "$f" -eq 0 ] || tail -n 40 "$output"
    echo "$program: $p passed, $f failed ($(($(date +%s) - started)) s)"
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
