#!/bin/sh
# Speed beside others, in pairs: products against OpenBLAS, training steps against PyTorch (eager,
# and by torch.compile) and against llm.c's train_gpt2, each where it is present. `make
# bench-anchors LLMC=DIR`; THREADS=1, ROUNDS=3 and PYTHON from the environment. Ratios above 1: this
# program is faster. With one thread times are of the processor, which other programs disturb less.
# llm.c prints times of the wall: build it with CLOCK_PROCESS_CPUTIME_ID instead of CLOCK_MONOTONIC
# where others run.
#
# LLMC is a folder with llm.c's train_gpt2 as you built it. Its batch is a constant of its source, 4
# x 64; for the batches of A and C put builds with other constants beside it, as train_gpt2_4x256
# and train_gpt2_8x128. Without them all are compared at 4 x 64.
set -eu
cd "$(dirname "$0")/../.."
anchors=build/float/tests/bench/anchors
THREADS=${THREADS:-1}
ROUNDS=${ROUNDS:-3}
LLMC=${LLMC:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS="$THREADS" OPENBLAS_NUM_THREADS="$THREADS" \
    OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}" GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"
unset OPENBLAS_L2_SIZE # where it is set it chooses slower kernels

middle() { sort -n | awk \
    '{ v[NR] = $1 } END { if (NR)
        printf "%.1f\n", NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
# malloc keeps what it has: else PyTorch loses a quarter to page faults at a large vocabulary
torch_step() {
    MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=99999999999 MALLOC_TOP_PAD_=500000000 "$PYTHON" \
        tests/bench/anchors_torch.py "$@"
}
# PROGRAM: the milliseconds of its first steps (it goes on to 40 of them: it is stopped by its
# closed output)
llmc_step() {
    (cd "$work/llmc" && $line_by_line "$1" 2>/dev/null || true) |
        sed -un 's/.*took \([0-9.]*\) ms.*/\1/p' | head -n 4 | tail -n 3
}

# An OpenBLAS that does not know the processor takes its oldest kernels; anchors then refuses it and
# says which to ask for.
echo "== products, one thread"
unset OPENBLAS_CORETYPE
products() { OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 "$anchors" gemm; }
products 2>"$work/refused" || {
    cat "$work/refused"
    OPENBLAS_CORETYPE=$(sed -n 's/.*OPENBLAS_CORETYPE=//p' "$work/refused")
    export OPENBLAS_CORETYPE
    products
}

PYTHON=${PYTHON:-}
for python in python3 /usr/bin/python3; do
    [ -n "$PYTHON" ] || ! "$python" -c 'import torch' 2>/dev/null || PYTHON=$python
done
[ -n "$PYTHON" ] || echo "PyTorch is not installed: left out"
[ -z "$PYTHON" ] || "$PYTHON" -c 'import torch; print("PyTorch " + torch.__version__)'
if [ -z "$LLMC" ]; then echo "LLMC=DIR names no build of llm.c: left out"
elif [ ! -x "$LLMC/train_gpt2" ]; then echo \
    "$LLMC has no train_gpt2: build it there first; left out" && LLMC=
else LLMC=$(cd "$LLMC" && pwd); fi
line_by_line=
command -v stdbuf >/dev/null 2>&1 && line_by_line="stdbuf -oL"

echo "== training steps, $THREADS thread(s), milliseconds: median of $ROUNDS rounds, each in turn"
for config in A B C; do
    case $config in A) batch=4x256 ;; B) batch=4x64 ;; C) batch=8x128 ;; esac
    rivals=
    [ -z "$PYTHON" ] || rivals="torch:$batch compiled:$batch"
    program=
    if [ -n "$LLMC" ]; then
        program=$LLMC/train_gpt2_$batch llmc_batch=$batch
        [ -x "$program" ] || { program=$LLMC/train_gpt2 llmc_batch=4x64; }
        rivals="$rivals llm.c:$llmc_batch"
        mkdir -p "$work/llmc/dev/data/tinyshakespeare"
        "$anchors" files $config "$work/llmc"
    fi
    [ -n "$rivals" ] || rivals=none:$batch
    for rival in $rivals; do
        rows=${rival#*:} length=${rival#*x} name=${rival%%:*}
        rows=${rows%x*}
        : >"$work/ours"
        : >"$work/theirs"
        : >"$work/ratios"
        for _ in $(seq "$ROUNDS"); do
            a=$("$anchors" step $config "$rows" "$length" | middle)
            case $name in
            torch) b=$(torch_step $config "$rows" "$length" eager | middle) ;;
            compiled) b=$(torch_step $config "$rows" "$length" compiled | middle) ;;
            llm.c) b=$(llmc_step "$program" | middle) ;;
            *) b= ;;
            esac
            echo "$a" >>"$work/ours"
            [ -z "$b" ] || echo "$b" >>"$work/theirs"
            [ -z "$b" ] || awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f\n", b / a }' \
                >>"$work/ratios"
        done
        printf '%s  %s x %s tokens  ica.c %s' $config "$rows" "$length" "$(middle <"$work/ours")"
        [ "$name" = none ] || printf '  %s %s  ratio %s (%s)' "$name" "$(middle <"$work/theirs")" \
            "$(sort -n "$work/ratios" |
                awk '{ v[NR] = $1 } END { printf "%.2f", v[int((NR + 1) / 2)] }')" \
            "$(sort -n "$work/ratios" | tr '\n' ' ')"
        echo
    done
done
