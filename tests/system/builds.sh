#!/bin/sh
# The program builds, without a warning, with every compiler that is here, with and without OpenMP,
# for the plain machine of its kind too, and in one plain command; and each build trains a small
# model to the same loss as the first (to rounding).
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
unset OMP_NUM_THREADS # the builds with OpenMP use all cores
sources=$(ls ./*.c ./lib/*.c ./scoring/*.c ./data/*.c ./program/*.c ./*/*/*.c |
    grep -v "^./tests/\|^./build/\|^./out")

./ica corpus --out "$work/corpus" --no-pretrain >/dev/null 2>&1
./ica tokenizer --data "$work/corpus/pool-even50.jsonl" --vocab-size 400 --out "$work/tokenizer" \
    2>/dev/null

# build NAME COMMAND...
build() {
    name=$1
    shift
    if "$@" -o "$work/ica-$name" -lm >"$work/$name.log" 2>&1; then
        loss=$("$work/ica-$name" pretrain --data "$work/corpus/pool-even50.jsonl" \
            --tokenizer "$work/tokenizer" \
            --out "$work/run-$name" --layers 2 --channels 32 --max-steps 20 --logging-steps 20 \
                --learning-rate 1e-3 2>/dev/null &&
            sed -n 's/.*"loss":\([0-9.]*\).*/\1/p' "$work/run-$name/log.jsonl")
        first=${first:-$loss}
        # 20 small steps: another order of rounding moves the loss by some 1e-6
        if [ -n "$loss" ] && awk -v a="$loss" -v b="$first" \
            'BEGIN { d = a - b; exit !(d < 1e-4 && d > -1e-4) }'; then
            pass
        else fail "build $name: trains to a loss of '$loss', the first build to '$first'"; fi
    else
        fail "build $name"
        cat "$work/$name.log"
    fi
}

# Each compiler once with all that it has, once with nothing: the optimizer's warnings and this
# machine's vectors in one, narrow vectors and the code for one thread in the other. -O1 is enough
# for that, and half the time. README's command at the end is the plain machine's build by CC: there
# only the warnings are asked for here.
strict="-I. -std=c11 -Wall -Wextra -Wshadow -Wconversion -Wwrite-strings
    -Wno-unknown-pragmas -Werror -fno-math-errno -ffp-contract=off"
plain=gcc
"${CC:-cc}" --version 2>/dev/null | grep -q clang && plain=clang
for cc in gcc clang; do
    command -v $cc >/dev/null 2>&1 || continue
    openmp=
    if echo 'int omp_get_max_threads(void); int main(void) { return omp_get_max_threads() < 1; }' \
        >"$work/t.c" &&
        $cc -fopenmp "$work/t.c" -o "$work/t" 2>/dev/null; then openmp=-fopenmp; fi
    # shellcheck disable=SC2086
    {
        build $cc $cc $strict -O2 -march=native $openmp $sources
        if [ $cc = "$plain" ]; then check "$cc's warnings" $cc $strict -fsyntax-only $sources
        else build $cc-plain-machine $cc $strict -O1 $sources; fi
    }
done

# width NAME RUNNER COMPILER FLAGS...: lib/gemm.c in the vectors of another machine, tested in float
# and double. SHORT: fewer cases.
SHORT=
width() {
    name=$1 runner=$2
    shift 2
    for precision in "" -DREAL_DOUBLE; do
        # shellcheck disable=SC2086
        if "$@" $strict -O2 $precision tests/unit/test_gemm.c lib/gemm.c lib/threads.c lib/util.c \
            lib/system.c lib/unicode.c -o "$work/gemm" -lm \
            >"$work/log" 2>&1 &&
            $runner "$work/gemm" $SHORT >>"$work/log" 2>&1; then pass
        else
            fail "width $name $precision"
            tail -n 10 "$work/log"
        fi
    done
}

# The compiler takes the flag, and this machine runs what comes out.
for level in x86-64-v3 x86-64; do
    printf 'int main(void) { return !%s || !%s; }\n' '__builtin_cpu_supports("avx2")' \
        '__builtin_cpu_supports("fma")' >"$work/t.c"
    if { [ $level = x86-64 ] || { "${CC:-cc}" "$work/t.c" -o "$work/t" && "$work/t"; }; } \
        2>/dev/null &&
        "${CC:-cc}" -march=$level -c "$work/t.c" -o "$work/t.o" 2>/dev/null; then
        width $level "" "${CC:-cc}" -march=$level
        # shellcheck disable=SC2086
        # x86-64: the plain machine, built above
        [ $level = x86-64 ] || build $level "${CC:-cc}" $strict -O1 -march=$level $sources
    else echo "skipped: $level (not this compiler or machine)"; fi
done
if command -v aarch64-linux-gnu-gcc >/dev/null 2>&1 && command -v qemu-aarch64 >/dev/null 2>&1; then
    SHORT=short
    width aarch64 qemu-aarch64 aarch64-linux-gnu-gcc -static
else echo "skipped: aarch64 (needs aarch64-linux-gnu-gcc and qemu-aarch64)"; fi
# README's command
# shellcheck disable=SC2086
build one-command "${CC:-cc}" -O2 -I. $sources
finish builds
