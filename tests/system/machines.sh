#!/bin/sh
# The same program from other hands (`make machines`, some minutes):
#   two builds of the same text in two folders are the same bytes;
#   gcc and clang, at -O1 and -O3, give the same bits: model, scores, log-likelihoods and training
#   state, each compared with those of gcc at -O1;
#   the parsers pass their tests on a machine of 32 bits (-m32), with chars that are unsigned
#   (-funsigned-char), and under clang.
# What the machine lacks is left out by name. From the environment: ONLY, some of folders, bits,
# parsers.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
sources=$(ls ./*.c ./lib/*.c ./scoring/*.c ./data/*.c ./program/*.c ./*/*/*.c |
    sed 's,^[.]/,,' | grep -v "^tests/\|^build/\|^out")
strict="-I. -std=c11 -fno-math-errno -ffp-contract=off -w"
wants() { case " ${ONLY:-folders bits parsers} " in *" $1 "*) ;; *) return 1 ;; esac; }

# ---- two folders ----

if wants folders; then
    for name in here elsewhere/with-a-longer-name; do
        mkdir -p "$work/$name"
        cp -R ./*.[ch] Makefile lib scoring data program tests "$work/$name"
        (cd "$work/$name" && make ica >"$work/log" 2>&1) || fail "the build in $name"
    done
    same "two builds" "$work/here/ica" "$work/elsewhere/with-a-longer-name/ica"
fi

# ---- the same bits ----

# run BINARY FOLDER: some runs that use all of the arithmetic
run() {
    ICA=$1
    mkdir "$2"
    (
        cd "$2" || exit 1
        ica pretrain --data ../pool.jsonl --tokenizer ../tok --layers 2 --heads 2 --channels 32 \
            --context 128 --max-steps 20 --save-steps 10 --out base &&
            ica score --model base --pool ../pool.jsonl --holdout ../hold.jsonl --out ica.jsonl &&
            ica score --model base --pool ../pool.jsonl --holdout ../hold.jsonl --method gradient \
                --out gradient.jsonl &&
            ica train --model base --pool ../pool.jsonl --holdout ../hold.jsonl --weights rho \
                --reference-steps 4 --max-steps 6 --learning-rate 1e-3 --out sft &&
            ica train --model base --objective dpo --pool ../pairs.jsonl --max-steps 4 \
                --learning-rate 1e-3 --out dpo &&
            ica eval --model sft --data ../hold.jsonl --per-example each.jsonl
    )
}
if wants bits; then
    ica corpus --out "$work/c" --seed 1 --no-pretrain || fail "corpus"
    head -n 60 "$work/c/pool-even50.jsonl" >"$work/pool.jsonl"
    head -n 10 "$work/c/holdout.jsonl" >"$work/hold.jsonl"
    head -n 20 "$work/c/pairs-pool.jsonl" >"$work/pairs.jsonl"
    ica tokenizer --data "$work/pool.jsonl" --vocab-size 300 --out "$work/tok" || fail "tokenizer"
    plainest=
    for cc in gcc clang; do
        command -v $cc >/dev/null || {
            echo "left out: $cc, which is not here"
            continue
        }
        for level in -O1 -O3; do
            build=$cc$level
            # shellcheck disable=SC2086
            $cc $strict $level -march=native $sources -o "$work/$build" -lm >"$work/log" 2>&1 ||
                $cc $strict $level $sources -o "$work/$build" -lm >"$work/log" 2>&1 ||
                fail "$build does not build"
            if run "$work/$build" "$work/run-$build"; then pass; else fail "$build"; fi
            plainest=${plainest:-$build}
            for file in base/model.safetensors sft/model.safetensors dpo/model.safetensors \
                ica.jsonl gradient.jsonl each.jsonl sft/scores.jsonl sft/metrics.json; do
                [ ! -f "$work/run-$plainest/$file" ] ||
                    same "$build: $file" "$work/run-$plainest/$file" "$work/run-$build/$file"
            done
            for kind in base sft dpo; do
                check "$build: the state of $kind" "$work/$plainest" diff \
                    "$work/run-$plainest/$kind/training_state.safetensors" \
                    "$work/run-$build/$kind/training_state.safetensors"
            done
        done
    done
fi

# ---- the parsers elsewhere ----

# parsers NAME COMPILER FLAGS...
parsers() {
    name=$1
    shift
    printf '#include <errno.h>\nint main(void) { return errno; }\n' >"$work/t.c"
    if ! "$@" "$work/t.c" -o "$work/t" >"$work/log" 2>&1 || ! "$work/t"; then
        echo "left out: $name (apt-get install gcc-multilib, or the like)"
        return
    fi
    mkdir -p "$work/$name"
    for source in $(echo "$sources" | grep -v program/main.c) tests/unit/world.c \
        tests/reference/oracle.c tests/fuzz/targets.c; do
        # shellcheck disable=SC2086
        "$@" $strict -O1 -c "$source" -o "$work/$name/$(echo "$source" | tr / _).o" \
            >"$work/log" 2>&1 || fail "$name: $source: $(head -n 3 "$work/log")"
    done
    for test in json unicode nfc split map options options_file tensors records forms template \
        frames tokenizer model_folder model_config examples parts pool summary settings shown \
        power llama2c pattern scores tensorboard; do
        [ -f tests/unit/test_$test.c ] || continue
        # shellcheck disable=SC2086
        if "$@" $strict -O1 tests/unit/test_$test.c "$work/$name"/*.o -o "$work/test" -lm \
            >"$work/log" 2>&1 && "$work/test" >"$work/log" 2>&1; then pass
        else fail "$name: test_$test: $(tail -n 2 "$work/log")"; fi
    done
    # shellcheck disable=SC2086
    if "$@" $strict -O1 tests/fuzz/kept.c "$work/$name"/*.o -o "$work/test" -lm >"$work/log" 2>&1 &&
        "$work/test" >"$work/log" 2>&1; then pass
    else fail "$name: the kept inputs: $(tail -n 2 "$work/log")"; fi
}
if wants parsers; then
    # SSE2: like 64 bits it computes floats as floats, and not with more digits
    parsers gcc-32-bits gcc -m32 -msse2 -mfpmath=sse
    parsers gcc-unsigned-char gcc -funsigned-char
    if command -v clang >/dev/null; then parsers clang-32-bits clang -m32 -msse2
    else echo "left out: clang, which is not here"; fi
fi
finish machines
