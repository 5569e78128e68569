#!/bin/sh
# No memory, no disk. In each command each call that touches a file or takes memory fails once: the
# n-th open, read, write, truncate, fsync, close, rename, mkdir, link, unlink, rmdir, for every n,
# and the n-th allocation, for the first n from each place in the program. Then real scarcity: a
# disk that is full, files that may not grow, little memory, a stdout that cannot be written,
# Ctrl-C.
#   A failure: status 4, one line, no temporary, no partial output, no leak; or the call did not
#   matter, and everything is as without it. Inputs are untouched.
#   EINTR, and reads and writes that move half: everything is as without them.
# From the environment: ALL=1, each n (`make scarcity`; a sample of about 65 else); EVERY=1, each
# allocation; STRIDE and FIRST: each STRIDE-th case, from the FIRST on; ONLY, names of
# commands, eval among them; FILES=1, no allocations; CHECKED, another build for the calls of files.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
PLAIN=$root/build/float/scarcity CHECKED=${CHECKED:-$root/build/sanitize/scarcity}
STRIDE=${STRIDE:-${ALL:+1}}
STRIDE=${STRIDE:-61}
FIRST=${FIRST:-0}
export ICA_SETTLED=1 # it would start itself twice
[ -z "$EVERY" ] || export SCARCITY_EVERY=1
out=$keep/out err=$keep/err cases=0 stopped=0 unharmed=0
cd "$work" || exit 1

# ---- a tiny world ----

must() { "$PLAIN" "$@" >"$out" 2>"$err" || fail "ica $*"; }
mkdir in
must corpus --out corpus --seed 1
head -n 16 corpus/pretrain.jsonl >in/sessions.jsonl
head -n 6 corpus/pool-even50.jsonl >in/pool.jsonl
head -n 4 corpus/holdout.jsonl >in/hold.jsonl
head -n 4 corpus/test.jsonl >in/test.jsonl
head -n 4 corpus/pairs-pool.jsonl >in/pairs.jsonl
head -n 4 corpus/pairs-holdout.jsonl >in/pairs-hold.jsonl
head -n 4 corpus/pairs-test.jsonl >in/pairs-test.jsonl
rm -r corpus
SHAPE="--layers 1 --heads 1 --channels 8 --context 128 --batch-tokens 256"
STEPS="--max-steps 2 --logging-steps 1"
must tokenizer --data in/sessions.jsonl --vocab-size 270 --out in/tok
# shellcheck disable=SC2086
must pretrain --data in/sessions.jsonl --tokenizer in/tok $SHAPE --max-steps 2 --out in/base
must train --model in/base --pool in/pool.jsonl --max-steps 2 --logging-steps 1 --out in/run
must train --model in/base --pool in/pool.jsonl --max-steps 2 --lora-rank 2 --out in/lora
must score --model in/base --pool in/pool.jsonl --method random --weight-map rank \
    --out in/scores.jsonl
must score --model in/base --pool in/pool.jsonl --holdout in/hold.jsonl --k 1 --out in/gains.jsonl
must score --model in/base --pool in/pool.jsonl --holdout in/hold.jsonl --k 1 --weight-map accept \
    --out in/own
rm in/own
cp in/run/run.json in/run.json # what made the gains, for their page
echo "[5,17]" >in/ids
echo '{"learning_rate":1e-3,"seed":2}' >in/o.json
tail -c +3 "$root/tests/fuzz/corpus/llama2c/zero" | head -c 516 >in/llama2c.bin
echo "low ?" >in/text
# A pool with a copy, a record of the holdout and one that is too long.
{
    cat in/pool.jsonl
    head -n 1 in/pool.jsonl
    head -n 1 in/hold.jsonl
    printf '{"id":"long","prompt":"low ?","completion":"%s"}\n' "$(seq 200 | tr '\n' ' ')"
} >in/mixed.jsonl
printf '{"prompt": "low ?"}\n{"prompt": "new"}\n' >in/prompts

# What each command is given. It writes below w/.
COMMANDS="help corpus tokenizer encode decode pretrain score near accept own parts proceed select
chosen train anew best dry dpo lora trim folds mirror weighed resume eval each generate prompts chat
merge import inspect diff report gains manual complete"
given() {
    model="--model in/base --pool in/pool.jsonl --holdout in/hold.jsonl"
    pairs="--model in/base --pool in/pairs.jsonl --holdout in/pairs-hold.jsonl"
    mixed="--model in/base --pool in/mixed.jsonl --holdout in/hold.jsonl --skip-long"
    mixed="$mixed --drop-overlap --drop-duplicates"
    drawn="--temperature 1 --top-p .9 --repetition-penalty 1.5"
    case $1 in
    help) echo "train --help" ;;
    corpus) echo "corpus --out w/c/d --seed 1 --no-pretrain --noise typo,similar" ;;
    tokenizer) echo "tokenizer --data in/pool.jsonl --vocab-size 262 --out w/t" ;;
    encode) echo "encode --tokenizer in/tok" ;;
    decode) echo "decode --tokenizer in/tok" ;;
    pretrain) echo "pretrain --data in/sessions.jsonl --tokenizer in/tok $SHAPE $STEPS --out w/r" ;;
    score) echo "score $model --k 1 --out w/s.jsonl --json" ;;
    accept) echo "score $model --k 1 --weight-map accept --out w/s.jsonl --json" ;;
    own) echo "score $model --k 1 --weight-map accept --holdout-scores in/own.holdout.jsonl" \
        "--out w/s.jsonl --json" ;;
    parts) echo "score $model --k 1 --chunk 2 --out w/s.jsonl --json" ;;
    proceed) echo "score $model --k 1 --chunk 2 --resume --out w/s.jsonl --json" ;;
    select) echo "select --pool in/pool.jsonl --scores in/scores.jsonl --out w/s.jsonl" ;;
    chosen) echo "select --pool in/pool.jsonl --scores in/scores.jsonl --weight-map softmax" \
        "--with-weights --skip-unscored --out w/s.jsonl" ;;
    near) echo "score $mixed --k 1 --embedding hidden --chunk 2 --out w/s.jsonl --json" ;;
    anew) echo "train $model --weights ica --k 1 --embedding tokens --contexts 2 --refresh 2" \
        "--save-steps 1 $STEPS --out w/r" ;;
    train) echo "train $model --eval in/test.jsonl --weights ica --k 1 $STEPS --out w/r" ;;
    best) echo "train --model in/base --pool in/pool.jsonl --eval-share .3 --eval-steps 1 $STEPS" \
        "--load-best-model-at-end --save-only-model --report-to tensorboard --options in/o.json" \
        "--drop-duplicates --out w/r" ;;
    dry) echo "train $model --weights ica --k 1 --eval in/test.jsonl $STEPS --out w/r --dry-run" ;;
    dpo) echo "train --objective dpo $pairs --weights ica --k 1 $STEPS --out w/r" ;;
    lora) echo "train $model --weights rho --reference-steps 1 --lora-rank 2 $STEPS --out w/r" ;;
    trim) echo "train $model --weights ica --k 1 --weight-map accept --holdout-trim .3 $STEPS" \
        "--dump-state w/d.safetensors --out w/r" ;;
    folds) echo "train $mixed --weights rho --weight-map accept --reference-steps 1 $STEPS" \
        "--out w/r" ;;
    mirror) echo "train --objective simpo $pairs --weights ica --k 1 --weight-map mirror" \
        "--relabel --eval in/pairs-test.jsonl --eval-steps 1 --sample-prompt low --patience 1" \
        "$STEPS --learning-rate 1 --max-steps 3 --out w/r" ;;
    weighed) echo "train --model in/base --pool in/pool.jsonl --weights file:in/gains.jsonl" \
        "--template in/base/template.json $STEPS --out w/r" ;;
    resume) echo "train --resume w/r --save-total-limit 1" ;;
    eval) echo "eval --model in/base --data in/test.jsonl --per-example w/e.jsonl --json" ;;
    each)
        echo "eval --model in/base --data in/test.jsonl --chunk 1 --per-example w/e.jsonl --json" ;;
    generate) echo "generate --model in/base --prompt low --max-new-tokens 4" ;;
    prompts) echo "generate --model in/base --prompt-file in/prompts --max-new-tokens 4" \
        "--samples 2 $drawn" ;;
    chat) echo "chat --model in/base --max-new-tokens 4 $drawn" ;;
    merge) echo "merge --model in/lora --out w/m" ;;
    import) echo "import --model in/llama2c.bin --out w/m" ;;
    inspect) echo "inspect in/base/model.safetensors" ;;
    diff) echo "diff in/base/model.safetensors in/base/model.safetensors" ;;
    manual) echo "--manual" ;;
    complete) echo "--completion zsh" ;;
    gains) echo "report in/gains.jsonl --pool in/pool.jsonl --holdout in/hold.jsonl" \
        "--model in/base --out w/page.html" ;;
    report) echo "report in/run --out w/page.html --results w/results.json --csv w/t.csv" ;;
    esac
}

# begin COMMAND: makes w as the command finds it
begin() {
    rm -rf w
    mkdir w
    [ "$1" != resume ] || cp -R begun/r w/r
    [ "$1" != proceed ] || cp begun/s.jsonl.part w/s.jsonl.part
}

input() { # COMMAND
    case $1 in
    encode | chat) echo in/text ;;
    decode) echo in/ids ;;
    *) echo /dev/null ;;
    esac
}

# ---- what must hold ----

# Without what depends on the clock, the process or a failure that does not matter.
essence() { # FILE
    case $1 in
    *run.json) sed -n 's/^"result"://p' "$1" |
        sed 's/"\(overhead\|relative_cost\|activation\)[a-z_]*":[^,}]*//g' ;;
    *log.jsonl) sed 's/"tokens_per_second":[^,]*,"seconds":[^,}]*//' "$1" ;;
    *tfevents*) ;; # it has the time of day
    *training_state*) "$PLAIN" inspect "$1" | grep -v '^run: \|^[0-9]* tensors\|crc32c' ;;
    *) sed 's/"\(reference_\)\{0,1\}seconds":[^,}]*//g' "$1" ;;
    esac
}

# The essence of all that a run left: of the folder w and of what it printed.
essences() {
    find w -type f ! -name '*.lock' ! -name '*.jsonl.part' | sort | while read -r file; do
        echo "== $file"
        essence "$file"
    done
    echo "== out"
    essence "$out" | sed "s/^\(scoring\|.*seconds\|overhead\|relative_cost\|memory\|time\).*//
        s/^  [0-9].* of .*//"
}

# partial REFERENCE: is there a file that is neither whole nor the one before?
partial() {
    find w -type f | while read -r file; do
        case $file in
        *.jsonl.part) # grows by whole lines
            grep -q '^{"partial":' "$file" && [ -z "$(tail -c 1 "$file")" ] || echo "$file" ;;
        *.part) echo "$file" ;;
        *.lock) ;; # the lock itself dies with its process
        *tfevents*) ;; # a reader takes the whole events before a torn one
        *.safetensors) "$PLAIN" inspect "$file" >inspected 2>&1 || echo "$file" ;;
        *run.json) tail -c 2 "$file" | grep -q '}' || echo "$file" ;;
        *log.jsonl) [ ! -s "$file" ] || [ -z "$(tail -c 1 "$file")" ] || echo "$file" ;;
        *r/scores.jsonl) # of this refresh or of an earlier one
            [ -z "$(tail -c 1 "$file")" ] && [ "$(wc -l <"$file")" -eq "$(wc -l <"$1/$file")" ] ||
                echo "$file" ;;
        *) cmp -s "$file" "$1/$file" || echo "$file" ;;
        esac
    done
}

# judge COMMAND STATUS WHAT: one run whose call failed hard
judge() {
    if grep -q 'Sanitizer\|runtime error' "$err"; then fail "$1, $3: a sanitizer speaks"
    elif [ "$2" -eq 0 ]; then
        unharmed=$((unharmed + 1))
        # A file that could not be removed is told.
        sed -n 's/^WARNING: \(.*\): cannot remove: .*/\1/p' "$err" | while read -r file; do
            [ ! -f "$file" ] || rm "$file"
        done
        essences >now
        if cmp -s now "whole-$1/essence"; then pass
        else fail "$1, $3: status 0, but $(diff -a now "whole-$1/essence" | head -n 3)"; fi
    elif [ "$2" -ne 4 ]; then fail "$1, $3: status $2"
    elif [ "$(grep -c '^ica: ' "$err")" -ne 1 ]; then fail "$1, $3: not one line"
    elif [ -n "$(partial "whole-$1")" ]; then fail "$1, $3: left $(partial "whole-$1")"
    else
        stopped=$((stopped + 1))
        pass
    fi
}

# attempt PROGRAM COMMAND CALL N HOW
attempt() {
    cases=$((cases + 1))
    [ $((cases % STRIDE)) -eq $((FIRST % STRIDE)) ] || return 0
    begin "$2"
    # shellcheck disable=SC2046
    SCARCITY="$3 $4 $5" "$1" $(given "$2") <"$(input "$2")" >"$out" 2>"$err"
    status=$?
    case $5 in
    EINTR | short)
        [ $status -ne 0 ] || essences >now
        if [ $status -ne 0 ]; then fail "$2, $3 $4 $5: status $status"
        elif cmp -s now "whole-$2/essence"; then pass
        else fail "$2, $3 $4 $5: $(diff -a now "whole-$2/essence" | head -n 3)"; fi ;;
    *)
        judge "$2" $status "$3 $4 $5"
        case $3:$status in
        allocate:0 | resize:0 | write:0 | rename:0 | mkdir:0)
            fail "$2, $3 $4 $5: nobody noticed" ;;
        esac ;;
    esac
}

ways() { # CALL: how it can fail
    case $1 in
    open) echo EMFILE EINTR ;;
    read | read_at) echo EIO EINTR short ;;
    write) echo ENOSPC EIO EINTR short ;;
    allocate | resize) echo ENOMEM ;;
    mkdir | rename) echo ENOSPC ;;
    fsync | close) echo EIO EINTR ;;
    *) echo EIO ;;
    esac
}

before=$(find in -type f -exec cksum {} + | sort)
begin train
# shellcheck disable=SC2046
mkdir begun && must $(given train) --save-steps 1 && mv w/r begun/r
# A file size limit stops a scoring after its first chunks.
begin parts
# shellcheck disable=SC2046
(ulimit -f 3 && exec "$PLAIN" $(given parts)) >"$out" 2>"$err"
mv w/s.jsonl.part begun/s.jsonl.part || fail "no part of a scoring"
# The state before the last is that of step 1. Both are there, so that one is to be removed.
cp begun/r/training_state.previous.safetensors begun/r/training_state.safetensors
for command in ${ONLY:-$COMMANDS}; do
    begin "$command"
    # shellcheck disable=SC2046
    SCARCITY_COUNT=count "$PLAIN" $(given "$command") <"$(input "$command")" >"$out" 2>"$err" ||
        fail "$command"
    mkdir "whole-$command"
    essences >"whole-$command/essence"
    cp -R w "whole-$command/w"
    cp count "whole-$command/count"
    while read -r call n <&3; do
        case $call in
        allocate | resize)
            [ -z "$FILES" ] || continue
            program=$PLAIN ;;
        *) program=$CHECKED ;;
        esac
        for how in $(ways "$call"); do attempt "$program" "$command" "$call" "$n" "$how"; done
    done 3<"whole-$command/count"
done
after=$(find in -type f -exec cksum {} + | sort)
if [ "$before" = "$after" ]; then pass; else fail "an input has changed"; fi
echo "$cases cases, each $STRIDE-th tried: $stopped ended with status 4, $unharmed did not matter"

# ---- real scarcity ----

# A stdout on a full disk, closed, and with nobody at the other end.
mkfifo pipe
for command in help encode decode score eval generate prompts chat inspect diff report gains \
    manual complete; do
    for to in /dev/full closed pipe; do
        begin $command
        # shellcheck disable=SC2046
        case $to in
        closed) "$PLAIN" $(given $command) <"$(input $command)" >&- 2>"$err" ;;
        pipe)
            # the reader is gone before the program starts
            : <pipe &
            exec 3>pipe # waits until the reader is there
            wait $!
            "$PLAIN" $(given $command) <"$(input $command)" >&3 2>"$err"
            status=$?
            exec 3>&-
            (exit $status) ;;
        *) "$PLAIN" $(given $command) <"$(input $command)" >/dev/full 2>"$err" ;;
        esac
        status=$?
        if [ $status -eq 4 ] && [ "$(grep -c '^ica: cannot write' "$err")" -eq 1 ]
        then pass; else fail "$command, stdout is $to: status $status"; fi
    done
done

# ended STATUS WHAT: status 4 and one line, and nothing partial in w
ended() {
    if [ "$1" -eq 4 ] && [ "$(grep -c '^ica: ' "$err")" -eq 1 ] && [ -z "$(find w -name '*.part')" ]
    then pass; else fail "$2: status $1, $(find w -name '*.part')"; fi
}

# A log on a full disk: the state is saved all the same, and the run can be continued.
begin resume
rm w/r/log.jsonl
ln -s /dev/full w/r/log.jsonl
"$PLAIN" train --resume w/r >"$out" 2>"$err"
ended $? "a log that cannot be written"
rm w/r/log.jsonl
if "$PLAIN" train --resume w/r >"$out" 2>"$err"; then pass
else fail "continuing after it"; fi

# A file above the limit of the shell (SIGXFSZ).
begin corpus
(ulimit -f 64 && exec "$PLAIN" corpus --out w/c --seed 1 --no-pretrain) >"$out" 2>"$err"
ended $? "a file above the limit"

# A disk of a megabyte, where one can be made.
begin corpus
if mount -t tmpfs -o size=256k none w 2>/dev/null; then
    "$PLAIN" corpus --out w/c --seed 1 --no-pretrain >"$out" 2>"$err"
    ended $? "a full disk"
    umount w
else echo "skipped: a full disk (mount is not allowed)"; fi

# Memory, from what just starts the program: it works or says in one line that it does not.
enough=0
for megabytes in 8 12 16 24 32 48 64 96 128 192 256; do
    kilobytes=$((megabytes * 1024))
    (ulimit -v $kilobytes && exec "$PLAIN" --version) >/dev/null 2>&1 || continue
    begin train
    # shellcheck disable=SC2046
    (ulimit -v $kilobytes && exec "$PLAIN" $(given train)) >"$out" 2>"$err"
    status=$?
    [ $status -eq 0 ] && enough=$megabytes && pass && continue
    ended $status "$megabytes MB of memory"
done
[ $enough -gt 0 ] || fail "a tiny run does not fit into 256 MB"

# Ctrl-C while files are written leaves no temporary: at the first one, and when some are whole.
for files in 0 1 2 4 8; do
    begin corpus
    "$PLAIN" corpus --out w/c --seed 1 >"$out" 2>"$err" &
    pid=$!
    while kill -0 $pid 2>/dev/null && ! { [ "$(find w -name '*.jsonl' | wc -l)" -ge $files ] &&
        [ -n "$(find w -name '*.part')" ]; }; do :; done
    kill -TERM $pid 2>/dev/null # a job in the background does not hear SIGINT
    wait $pid 2>/dev/null
    if [ -z "$(find w -name '*.part')" ]; then pass
    else fail "a temporary is left after a signal"; fi
done
# A terminal that goes away: the run saves first.
begin train
# shellcheck disable=SC2046
"$PLAIN" $(given train) --max-steps 1000000 >"$out" 2>"$err" &
pid=$!
tries=0
while ! grep -q '^step' "$err" && kill -0 $pid && [ $tries -lt 1200 ]; do
    sleep 0.1 2>/dev/null || sleep 1
    tries=$((tries + 1))
done
kill -"${hang_up%:*}" $pid
wait $pid
status=$?
if [ $status -eq "${hang_up#*:}" ] && grep -q saved "$err" &&
    [ -s w/r/training_state.safetensors ]
then pass; else fail "SIGHUP: status $status"; fi

# A link to a file that is not there yet is followed.
begin eval
ln -s target.jsonl w/e.jsonl
# shellcheck disable=SC2046
"$PLAIN" $(given eval) >"$out" 2>"$err"
if [ -h w/e.jsonl ] && cmp -s w/target.jsonl whole-eval/w/e.jsonl; then pass
else fail "a link to nothing"; fi

# Without a stdout no file gets its number: messages must not end up in it.
begin eval
# shellcheck disable=SC2046
"$PLAIN" $(given eval) >&- 2>&- <&-
if cmp -s w/e.jsonl whole-eval/w/e.jsonl; then pass
else fail "closed streams"; fi
finish scarcity
