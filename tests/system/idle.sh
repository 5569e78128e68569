#!/bin/sh
# No option is ignored without a word. For each method, objective, map and command, each option of
# the command's --help is given, with a value that is not its default. Then the result must differ
# from the one without it, or the program refuses the option by name, or says that it has no effect
# here. And it says that of no option that makes a difference. From the environment: ALL=1, each
# option everywhere (`make idle`; a fifth of them else, others at each method).
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

# What makes no difference to these files by its nature: places, names, machines, logs, saves; what
# depends on the records; draws that these methods do not make.
OTHER="out model pool data threads json help resume options dry-run overwrite force-resume chunk \
group arm draw logging-steps save-steps save-total-limit save-only-model recompute report-to \
dump-state per-example truncate allow-overlap skip-long drop-overlap drop-duplicates \
skip-unscored seed sample-prompt scores eval tokenizer prompt prompt-file batch-tokens"

# What messages say in place of an option's name.
NAMED='bfloat16|context|family|no score of a holdout'

# value OPTION: one that is not the default
value() {
    case $1 in
    adam-beta1 | adam-beta2 | num-train-epochs | eval-share | top-p) echo 0.5 ;;
    beta | gamma-beta-ratio | label-smoothing) echo 0.7 ;;
    accept-level) echo 0.9 ;;
    holdout-trim | clip | share) echo 0.3 ;;
    min-lr-ratio | warmup-ratio | weight-decay | prompt-loss-weight) echo 0.6 ;;
    temperature) echo 2 ;;
    repetition-penalty) echo 100 ;;
    max-grad-norm | learning-rate) echo 0.001 ;;
    batch-size | max-new-tokens) echo 5 ;;
    micro-batch-size | reference-steps | warmup-steps | contexts | top-k | eval-steps) echo 3 ;;
    k | kv-heads) echo 1 ;;
    num-anchors | max-steps | refresh | layers | patience) echo 2 ;;
    lora-rank | lora-alpha) echo 4 ;;
    heads) echo 4 ;;
    channels | head-size | inner-channels | context) echo 32 ;;
    lr-scheduler-type) echo linear ;;
    pair-score) echo loss ;;
    weight-map) echo rank ;;
    normalize) echo none ;;
    demos | anchors) echo random ;;
    demos-as) echo text ;;
    embedding) echo hidden ;;
    reduce) echo "$reduce" ;;
    shard) echo 1/2 ;;
    template) echo alpaca ;;
    dtype) echo bf16 ;;
    family) echo llama ;;
    objective) echo simpo ;;
    method) echo loss ;;
    weights) echo random ;;
    lora-targets) echo c_fc ;;
    holdout) echo "$holdout" ;;
    holdout-scores) echo "$holdout" ;;
    reference) echo other ;;
    system) echo 'be brief' ;;
    size) echo full ;;
    esac
}

# What the command makes: files, or text without times.
run() {
    rm -rf out out.jsonl out.jsonl.holdout.jsonl
    ica "$@"
    case $1 in
    eval | generate) sed 's/"seconds":[^,}]*//' "$keep/out" ;;
    *) cat out/model.safetensors out/scores.jsonl out.jsonl 2>/dev/null ;;
    esac | cksum >"$keep/result"
}

# idle NAME COMMAND ARGUMENTS: tries each option that is not among the arguments
idle() {
    name=$1 command=$2
    shift
    run "$@"
    [ "$status" -eq 0 ] || { fail "$name: status $status" && return; }
    cp "$keep/result" "$keep/base"
    "$ICA" "$command" --help | sed -n 's/^  --\(\[no-\]\)\{0,1\}\([a-z0-9-]*\).*/\2/p' >"$keep/all"
    while read -r option; do
        case " $OTHER $* " in *" $option "* | *" --$option "*) continue ;; esac
        tried=$((tried + 1))
        [ -n "${ALL:-}" ] || [ $((tried % 5)) -eq 0 ] || continue
        v=$(value "$option")
        run "$@" "--$option${v:+=$v}"
        warned=$(grep -Ec "^WARNING: .*--$option[ ,].*no effect here|which count; no --$option" \
            "$keep/err")
        if [ "$status" -eq 2 ] || [ "$status" -eq 3 ]; then
            if grep -Eq -e "$(echo "$option" | tr - .)|$NAMED" "$keep/err"
            then pass; else fail "$name: --$option is refused and not named"; fi
        elif [ "$status" -ne 0 ]; then fail "$name: --$option: status $status"
        elif cmp -s "$keep/base" "$keep/result"; then
            if [ "$warned" -eq 1 ]; then pass
            else fail "$name: --$option has no effect, and nothing says so"; fi
        elif [ "$warned" -eq 0 ]; then pass
        else fail "$name: --$option has an effect, and the program says that it has none"; fi
    done <"$keep/all"
}

tried=0
works "corpus" corpus --out c
head -n 30 c/pool-even50.jsonl >pool.jsonl
head -n 10 c/holdout.jsonl >hold.jsonl
head -n 30 c/pairs-pool.jsonl >pairs.jsonl
head -n 10 c/pairs-holdout.jsonl >pairs-hold.jsonl
head -n 10 c/test.jsonl >test.jsonl
head -n 10 c/pairs-test.jsonl >pairs-test.jsonl
head -n 60 c/pretrain.jsonl >pretrain.jsonl
SHAPE="--layers 1 --heads 2 --channels 16 --context 192"
works "tokenizer" tokenizer --data pretrain.jsonl --vocab-size 300 --out t
# shellcheck disable=SC2086
works "model" pretrain --data pretrain.jsonl --tokenizer t $SHAPE --max-steps 20 --out m
works "another" pretrain --data pretrain.jsonl --model m --max-steps 2 --out other

for objective in sft dpo simpo; do
    pool=pool.jsonl holdout=hold.jsonl test=test.jsonl reduce=sum
    [ $objective = sft ] ||
        { pool=pairs.jsonl holdout=pairs-hold.jsonl test=pairs-test.jsonl reduce=mean; }
    for method in ica rho oneshot nuggets gradient incontext loss random; do
        with="--holdout $holdout" # what it needs
        case $method in
        loss | random) with= ;;
        rho) with="$with --reference-steps 5 --batch-size 7 --learning-rate 0.01" ;;
        esac
        # shellcheck disable=SC2086
        idle "$objective $method" score --model m --pool $pool --out out.jsonl --objective \
            $objective --method $method $with
    done
    works "weights" score --model m --pool $pool --objective $objective --method loss --out w.jsonl
    sed 's/"weight":[^,]*,//' w.jsonl >bare.jsonl
    for weights in uniform oracle file:w.jsonl file:bare.jsonl ica loss; do
        with=
        [ $weights != ica ] || with="--holdout $holdout"
        # shellcheck disable=SC2086
        idle "$objective train $weights" train --model m --pool $pool --out out --objective \
            $objective --weights $weights --batch-size 7 --learning-rate 0.01 $with
    done
    with=
    [ $objective != dpo ] || with="--reference other"
    # shellcheck disable=SC2086
    idle "$objective eval" eval --model m --data $test --objective $objective --json $with
done
pool=pool.jsonl holdout=hold.jsonl reduce=sum
for map in clip softmax top accept; do
    idle "$map" score --model m --pool pool.jsonl --holdout hold.jsonl --out out.jsonl \
        --weight-map $map
done
idle "eval in context" eval --model m --data test.jsonl --holdout hold.jsonl --k 2 --json
works "scores" score --model m --pool pool.jsonl --holdout hold.jsonl --out w.jsonl
for map in minmax clip softmax; do
    idle "select $map" select --pool pool.jsonl --scores w.jsonl --out out.jsonl --with-weights \
        --weight-map $map
done
# shellcheck disable=SC2086
idle "pretrain" pretrain --data pretrain.jsonl --tokenizer t $SHAPE --max-steps 4 --warmup-steps 1 \
    --out out
idle "pretrain on" pretrain --data pretrain.jsonl --model m --max-steps 4 --warmup-steps 1 --out out
idle "generate" generate --model m --template recipe --prompt "what colour is ink?"
idle "generate by chance" generate --model m --template recipe --temperature 1 \
    --prompt "what colour is ink?"

finish idle
