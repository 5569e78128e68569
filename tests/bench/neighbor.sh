#!/bin/sh
# Training alone and beside a program that never pauses on one core: with one thread, with all, and
# with as many as are fastest (--threads 0), in turn, so that all three meet the same machine. `make
# bench-neighbor`; ROUNDS=3 from the environment.
set -eu
cd "$(dirname "$0")/../.."
ROUNDS=${ROUNDS:-3}
threads=${OMP_NUM_THREADS:-$(getconf _NPROCESSORS_ONLN)}
work=$(mktemp -d)
neighbor=
trap '[ -z "$neighbor" ] || kill "$neighbor" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

./ica corpus --out "$work/corpus" --seed 1 >/dev/null 2>&1
head -n 2000 "$work/corpus/pretrain.jsonl" >"$work/data.jsonl"
./ica tokenizer --data "$work/data.jsonl" --out "$work/tokenizer" >/dev/null 2>&1

# train THREADS OPTION...: milliseconds a step. The log has the seconds since the run began: those
# of the last step less the first's.
train() {
    n=$1
    shift
    rm -rf "$work/run"
    ./ica pretrain --data "$work/data.jsonl" --tokenizer "$work/tokenizer" \
        --out "$work/run" --overwrite \
        --threads "$n" \
        --logging-steps 1 "$@" >/dev/null 2>&1
    sed -n 's/.*"step":\([0-9]*\),.*"seconds":\([0-9.]*\).*/\1 \2/p' "$work/run/log.jsonl" |
        awk 'NR == 1 { step = $1; start = $2 } { last = $1; end = $2 }
            END { printf "%.2f\n", 1e3 * (end - start) / (last - step) }'
}
middle() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# compare NAME OPTION...: one line
compare() {
    name=$1
    shift
    rm -f "$work"/ms.*
    for _ in $(seq "$ROUNDS"); do
        for n in 1 "$threads" 0; do train "$n" "$@" >>"$work/ms.$n"; done
    done
    one=$(middle <"$work/ms.1") all=$(middle <"$work/ms.$threads") adapted=$(middle <"$work/ms.0")
    awk -v name="$name" -v one="$one" -v all="$all" -v adapted="$adapted" -v n="$threads" 'BEGIN {
        printf "  %-28s 1 thread %8.2f ms a step   %d threads %8.2f (%.2f of one'"'"'s speed)", \
            name, one, n, all, one / all
        printf "   --threads 0 %8.2f (%.2f)\n", adapted, one / adapted }'
}
both() {
    compare "4 x 64, 640 tokens" --layers 4 --heads 4 --channels 64 --batch-tokens 640 \
        --max-steps 400
    compare "4 x 128, 1024 tokens" --layers 4 --heads 4 --channels 128 --batch-tokens 1024 \
        --max-steps 120
    compare "6 x 384, 1024 tokens" --layers 6 --heads 6 --channels 384 --batch-tokens 1024 \
        --max-steps 24
}

echo "alone"
both
command -v taskset >/dev/null 2>&1 || { echo \
    "taskset is not installed: no neighbor can be bound to a core; left out" && exit 0; }
taskset -c 0 sh -c 'while :; do :; done' &
neighbor=$!
echo "beside a program that never pauses on one core"
both
