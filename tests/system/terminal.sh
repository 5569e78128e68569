#!/bin/sh
# Where the program is run: without a terminal, on one, on a dumb one, with NO_COLOR, with stdin,
# stdout or stderr closed. Each command prints the same results, without escapes and carriage
# returns but for progress on a real terminal, and never waits for input that it did not ask for.
# Also what people type first: help in all its forms, for run.sh too.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1
escape=$(printf '\033') return=$(printf '\r')

ica corpus --out corpus --seed 1
mkdir in
head -n 60 corpus/pretrain.jsonl >in/sessions.jsonl
for file in pool-even50 holdout test pairs-pool; do
    head -n 12 corpus/$file.jsonl >in/$file.jsonl
done
rm -r corpus
ica tokenizer --data in/sessions.jsonl --vocab-size 300 --out in/tok
ica pretrain --data in/sessions.jsonl --tokenizer in/tok --layers 1 --heads 1 --channels 8 \
    --max-steps 2 --out in/base
ica train --model in/base --pool in/pool-even50.jsonl --max-steps 2 --lora-rank 2 --out in/lora
ica score --model in/base --pool in/pool-even50.jsonl --holdout in/holdout.jsonl --k 1 \
    --out in/scores.jsonl
tail -c +3 "$root/tests/fuzz/corpus/llama2c/zero" | head -c 516 >in/llama2c.bin
printf 'low ?\nnew\n' >in/text
printf '[5,17]\n[6]\n' >in/ids

# What each command is given; what it makes goes below w/.
commands=$("$ICA" --help | awk '/^commands:/ { on = 1; next } on && /^$/ { exit } on { print $1 }')
given() {
    base="--model in/base" pool="--pool in/pool-even50.jsonl" hold="--holdout in/holdout.jsonl"
    case $1 in
    corpus) echo "--out w/c --no-pretrain" ;;
    tokenizer) echo "--data in/sessions.jsonl --vocab-size 262 --out w/t" ;;
    encode | decode) echo "--tokenizer in/tok" ;;
    pretrain) echo "$base --data in/sessions.jsonl --max-steps 2 --eval in/test.jsonl --out w/r" ;;
    score) echo "$base $pool $hold --k 1 --out w/s --json" ;;
    select) echo "$pool --scores in/scores.jsonl --out w/s" ;;
    train) echo "$base $pool $hold --k 1 --weights ica --max-steps 2 --out w/r" ;;
    eval) echo "$base --data in/test.jsonl --json" ;;
    generate) echo "$base --prompt low --max-new-tokens 4" ;;
    chat) echo "$base --max-new-tokens 4" ;;
    merge) echo "--model in/lora --out w/m" ;;
    import) echo "--model in/llama2c.bin --out w/m" ;;
    inspect) echo "in/base/model.safetensors" ;;
    diff) echo "in/base/model.safetensors in/base/model.safetensors" ;;
    report) echo "in/scores.jsonl --out w/page.html" ;;
    bench) echo "--only step --config E" ;;
    *) echo "--no-arguments-for-$1" ;; # a new command has its line here
    esac
}
input() { # COMMAND
    case $1 in
    encode | chat) echo in/text ;;
    decode) echo in/ids ;;
    *) echo /dev/null ;;
    esac
}

# run COMMAND FILE: its output goes to FILE.out and FILE.err, from an empty folder w
run() {
    rm -rf w
    mkdir w
    # shellcheck disable=SC2046
    "$ICA" "$1" $(given "$1") <"$(input "$1")" >"$2.out" 2>"$2.err"
    status=$?
}
# closed COMMAND WHICH: as run, with a descriptor closed
closed() {
    rm -rf w
    mkdir w
    case $2 in
    # shellcheck disable=SC2046
    stdin) "$ICA" "$1" $(given "$1") <&- >closed.out 2>closed.err ;;
    # shellcheck disable=SC2046
    stdout) "$ICA" "$1" $(given "$1") <"$(input "$1")" >&- 2>closed.err ;;
    # shellcheck disable=SC2046
    stderr) "$ICA" "$1" $(given "$1") <"$(input "$1")" >closed.out 2>&- ;;
    esac
    status=$?
}
# What the clock decides is left out.
essence() {
    sed -E 's/("[a-z_]*(seconds|cost)[a-z_]*":)[^,}]*/\1_/g
        /seconds|_measured|relative_cost/d' "$1"
}
on_terminal() { # FILE TERM=... COMMAND: on a terminal of its own
    rm -rf w
    mkdir w
    line="'$ICA' $3 $(given "$3") <$(input "$3")"
    env "$2" NO_COLOR= script -qec "$line" /dev/null >"$1" 2>/dev/null
    status=$?
}
has_script=
if script -qec true /dev/null >/dev/null 2>&1; then has_script=1
else echo "skipped: commands on a terminal (needs script)"; fi

for command in $commands; do
    : >"$keep/err"
    [ "$command" != bench ] || continue # its figures are of the clock
    run "$command" plain
    is "$command" "$status" 0
    check "$command: no escapes without a terminal" \
        test "$(cat plain.out plain.err | grep -c "$escape\|$return")" -eq 0
    (TERM=xterm NO_COLOR=1 && export TERM NO_COLOR && run "$command" other)
    essence plain.out >plain.essence
    essence other.out >other.essence
    same "$command: NO_COLOR" plain.essence other.essence
    # Who reads stdin says that it is not there; all others do not miss it.
    closed "$command" stdin
    case $command in
    encode | decode | chat)
        is "$command: stdin is closed" "$status" 4
        check "$command: it says so" grep -q '^ica: cannot read the standard input: ' closed.err
        is "$command: nothing is printed" "$(cat closed.out)" "" ;;
    *)
        is "$command: stdin is closed" "$status" 0
        essence closed.out >closed.essence
        same "$command: stdin is closed" plain.essence closed.essence ;;
    esac
    # Results that cannot be written are an error. No result goes into a file that is open instead.
    closed "$command" stdout
    if [ -s plain.out ]; then
        is "$command: stdout is closed" "$status" 4
        check "$command: it says so" \
            grep -q '^ica: cannot write to the standard output: ' closed.err
    else is "$command: stdout is closed" "$status" 0; fi
    closed "$command" stderr
    is "$command: stderr is closed" "$status" 0
    essence closed.out >closed.essence
    same "$command: stderr is closed" plain.essence closed.essence
    [ -n "$has_script" ] || continue
    on_terminal dumb TERM=dumb "$command"
    is "$command: on a dumb terminal" "$status" 0
    check "$command: no escapes there" test "$(grep -c "$escape" dumb)" -eq 0
    # A terminal ends each line with a carriage return; no other one is there.
    check "$command: nor lines that change in place" \
        test "$(sed "s/$return\$//" dumb | grep -c "$return")" -eq 0
done

# A real terminal gets a line that changes in place, and results without escapes.
if [ -n "$has_script" ]; then
    on_terminal real TERM=xterm train
    is "train on a terminal" "$status" 0
    check "no escapes: stdin is no terminal" test "$(grep -c "$escape" real)" -eq 0
fi

# ---- help ----

for command in $commands; do
    "$ICA" "$command" --help >help1
    check "$command --help" test -s help1
    for words in "help $command" "--help $command" "-h $command" "$command -h" \
        "$command --no-such-option --help"; do
        # shellcheck disable=SC2086
        works "$words" $words
        same "ica $words" help1 "$keep/out"
    done
    check "help has no escapes" test "$(grep -c "$escape" help1)" -eq 0
done
works "help" help
check "help is the list" grep -q '^commands:' "$keep/out"
refuse 2 "unknown command 'trian'; the nearest is 'train'" help trian
ica
is "no command: help, and the status of wrong usage" "$status" 2

# run.sh says what it is from any folder, and needs nothing for it.
for option in --help -h help; do
    (cd / && sh "$root/run.sh" $option) >help2 2>"$keep/err"
    is "run.sh $option" "$? $(grep -c '^The main job' help2)" "0 1"
    for word in quick full control base SEEDS OUT THREADS; do
        check "run.sh $option has $word" grep -q "$word" help2
    done
    check "run.sh $option: nothing else" test ! -s "$keep/err"
done
for words in nonsense "quick nonsense" "quick --help"; do
    # shellcheck disable=SC2086
    OUT=$work/none sh "$root/run.sh" $words >help2 2>"$keep/err"
    case $words in
    *--help) is "run.sh $words" "$? $(grep -c '^The main job' help2)" "0 1" ;;
    *)
        is "run.sh $words" "$?" 2
        says "run.sh $words" '^usage: ./run.sh .*--help' ;;
    esac
done
check "nothing was made" test ! -e none

finish terminal
