#!/bin/sh
# Other C libraries and other processors: what `make portability` runs. In copies of the sources
# under a temporary folder it builds and tests with
#   native   this compiler, no OpenMP, no vectors of this machine (ARCH=): what others compare with
#   musl     musl-gcc: another C library
#   aarch64  a cross-compiler, static, the tests under qemu-aarch64: another processor
# Then each makes a corpus, a tokenizer, a small model and scores, and the files are compared.
#   macos    zig cc with the headers and stubs of macOS, for ARM and Intel: the program and all unit
#            programs are compiled without a warning and linked. Nothing runs, as there is no macOS.
# What is not installed is left out, and a line says so. On Windows the program does not compile: it
# needs POSIX. From the environment: ONLY="musl", "aarch64", "macos" or several; TESTS, the unit
# tests to run (all that are not too slow there); ZIG, the command "zig", or "python3 -m ziglang" of
# PyPI's package ziglang.
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
passed=0 failed=0
# test_train, test_finite and test_references start ./ica some hundred times, and test_corpus and
# test_threads are long: too slow for an emulator. Others start ./ica, which is no program here.
SLOW="test_train test_finite test_references"
SLOWER="$SLOW test_corpus test_threads test_power test_audit test_methods test_model test_pairs \
test_dry_run test_states test_inspect"

# copy NAME: the sources
copy() {
    mkdir "$work/$1"
    git archive HEAD 2>/dev/null | tar x -C "$work/$1" || cp -r ./*.[ch] Makefile lib scoring \
        data program tests run.sh "$work/$1"
}

# platform NAME RUNNER LEFT-OUT COMPILER...: builds and tests there
platform() {
    name=$1 runner=$2 out=$3
    shift 3
    copy "$name"
    if ! make -C "$work/$name" -s -j2 CC="$*" NO_OMP=1 ARCH= ica >"$work/$name.log" 2>&1; then
        failed=$((failed + 1))
        grep -m 3 error "$work/$name.log"
        echo "portability: $name: does not build"
        return 1
    fi
    for source in "$work/$name"/tests/unit/test_*.c; do
        test=$(basename "$source" .c)
        case " $out test_audit " in *" $test "*) continue ;; esac
        case " ${TESTS:-$test} " in *" $test "*) ;; *) continue ;; esac
        if make -C "$work/$name" -s CC="$*" NO_OMP=1 ARCH= "build/float/tests/unit/$test" \
            >"$work/said" 2>&1 &&
            (cd "$work/$name" && $runner "build/float/tests/unit/$test" >"$work/said" 2>&1); then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "portability: $name: $test: $(tail -n 1 "$work/said")"
        fi
    done
    (cd "$work/$name" && make_files "$runner" ./ica) || echo "portability: $name: the commands fail"
    echo "portability: $name: done"
    return 0
}

# compiles NAME COMPILER...: the program and the unit programs are made there and not run
compiles() {
    name=$1
    shift
    copy "$name"
    for source in "$work/$name"/tests/unit/test_*.c; do
        echo "build/float/tests/unit/$(basename "$source" .c)"
    done | grep -v '/test_audit$' >"$work/targets"
    # shellcheck disable=SC2046
    if make -C "$work/$name" -s -k -j2 CC="$*" NO_OMP=1 ARCH= EXTRA=-Werror ica \
        $(cat "$work/targets") >"$work/$name.log" 2>&1; then
        passed=$((passed + 1 + $(wc -l <"$work/targets")))
        echo "portability: $name: compiled and linked, and not run"
    else
        failed=$((failed + 1))
        grep -m 3 error "$work/$name.log"
        echo "portability: $name: does not compile"
    fi
}

make_files() { # RUNNER PROGRAM
    $1 "$2" corpus --out corpus --seed 1 >said 2>&1 &&
        head -n 300 corpus/pretrain.jsonl >sessions.jsonl &&
        head -n 40 corpus/pool-even50.jsonl >pool.jsonl &&
        head -n 12 corpus/holdout.jsonl >trusted.jsonl &&
        $1 "$2" tokenizer --data sessions.jsonl --vocab-size 400 --out tokens >said 2>&1 &&
        $1 "$2" pretrain --data sessions.jsonl --tokenizer tokens --layers 2 --heads 2 \
            --channels 32 --context 96 --max-steps 20 --out base >said 2>&1 &&
        $1 "$2" score --model base --pool pool.jsonl --holdout trusted.jsonl --out scores.jsonl \
            >said 2>&1
}

# compare NAME: the files of that platform against the native ones
compare() {
    for file in corpus/pool-even50.jsonl corpus/pretrain.jsonl tokens/merges.txt; do
        if cmp -s "$work/native/$file" "$work/$1/$file"; then passed=$((passed + 1))
        else
            failed=$((failed + 1))
            echo "portability: $1: $file differs from the native one"
        fi
    done
    for file in base/model.safetensors scores.jsonl; do
        if cmp -s "$work/native/$file" "$work/$1/$file"; then
            echo "portability: $1: $file: the same bytes as native"
        else echo "portability: $1: $file: other bytes than native"; fi
    done
}

case " ${ONLY:-musl} " in *" musl "*) musl=1 ;; *) musl= ;; esac
case " ${ONLY:-aarch64} " in *" aarch64 "*) arm=1 ;; *) arm= ;; esac
case " ${ONLY:-macos} " in *" macos "*) macos=1 ;; *) macos= ;; esac
[ -z "$musl$arm" ] || platform native "" "$SLOW" "${CC:-cc}"
if [ -z "$musl" ]; then :
elif command -v musl-gcc >/dev/null; then
    if platform musl "" "$SLOW" musl-gcc; then compare musl; fi
else echo "portability: left out: musl-gcc (package musl-tools)"; fi
if [ -z "$arm" ]; then :
elif command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then
    if platform aarch64 qemu-aarch64 "$SLOWER" aarch64-linux-gnu-gcc -static; then
        compare aarch64
    fi
else echo "portability: left out: aarch64 (packages gcc-aarch64-linux-gnu, qemu-user)"; fi
ZIG=${ZIG:-$(command -v zig || echo python3 -m ziglang)}
if [ -z "$macos" ]; then :
elif $ZIG version >/dev/null 2>&1; then
    for machine in aarch64 x86_64; do
        compiles macos-$machine "$ZIG" cc -target $machine-macos
    done
else echo "portability: left out: macOS (zig, or PyPI's package ziglang)"; fi
cd "$root" || exit 1
echo "portability: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
