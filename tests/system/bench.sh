#!/bin/sh
# What `ica bench` reports, not how fast the machine is: a row for each number of threads, and parts
# of a step that are no longer than the step. tests/bench/turns.sh reads that, or fails.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
OMP_NUM_THREADS=2

# numbers KEY: its values, a line each
numbers() { tr ',{' '\n\n' <"$keep/out" | sed -n "s/^\"$1\":\([0-9.]*\).*/\1/p"; }

works "scores" bench --only score --config E --json
most=$(numbers threads | head -n 1) # of the machine; without OpenMP it is 1
groups="1 4 16 64"
wanted=$(for threads in 1 $([ "$most" -eq 1 ] || echo "$most"); do
    for group in $groups; do echo "$group $threads"; done
done)
numbers threads | tail -n +2 >"$keep/threads"
is "rows of scores" "$(numbers group | paste -d ' ' - "$keep/threads")" "$wanted"
check "no steps" grep -q '"step":\[\],"score"' "$keep/out"

# A part is no longer than its step in any run, so neither are the medians.
works "steps" bench --only step --config E --json
is "rows of steps" "$(numbers ms | wc -l | tr -d ' ')" "$([ "$most" -eq 1 ] && echo 1 || echo 2)"
sed 's/.*"step":\[//; s/"ms":/\
&/g' "$keep/out" | tr -d '}]' | tr ',{' '\n\n' | sed -n 's/^"\([a-z_]*\)":\([0-9.]*\)$/\1 \2/p' |
    awk '$1 == "ms" { ms = $2 } ms && $1 ~ /^(embedding|norm|matmul|attention|gelu|adamw)$/ {
            parts++
            if ($2 > ms) bad = 1
        }
        END { exit bad || parts < 6 }' && pass || fail "a part is longer than its step"

# The result is on stdout: as JSON, with the lines for people on stderr, or these lines alone.
says "progress" '^training step$'
works "steps for people" bench --only step --config E --threads 1
check "the result is on stdout" grep -q '^  E  1 thread .* tokens/s' "$keep/out"
check "and nothing else on stderr" test ! -s "$keep/err"
if [ -w /dev/full ]; then
    "$ICA" bench --only step --config E --threads 1 >/dev/full 2>"$keep/err"
    is "a result that cannot be written" $? 4
fi

# ---- two builds in turn ----

turns() { # SETTINGS: of the environment
    env CONFIGS=E ROUNDS=1 OLD="$ICA" "$@" sh tests/bench/turns.sh >"$keep/out" 2>"$keep/err"
}
for threads in 1 $([ "$most" -eq 1 ] || echo $((most + 1))); do # too many are told before steps
    turns THREADS=$threads || fail "turns with $threads threads"
    is "parts of a step with $threads threads" "$(sed 1d "$keep/out" | cut -d ' ' -f 1 | sort |
        tr '\n' ' ')" "adamw attention cross_entropy embedding gelu matmul norm step "
done
for wrong in OLD=/bin OLD="$(command -v true)" CONFIGS=Z ROUNDS=x THREADS=y; do
    turns "$wrong"
    is "turns with $wrong" $? 2
    says "it says why" '^bench-turns: '
done

finish bench
