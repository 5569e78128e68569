#!/bin/sh
# The net under a rewrite: some 350 small runs over all commands and options, and a hash of every
# result that they leave. A change that shall change no result leaves each hash as it is.
#
#   same_bits.sh                  compares ./ica with the recorded table that fits (`make test`)
#   same_bits.sh BINARY           prints the table of a binary, one line "NAME HASH" per result
#   same_bits.sh BINARY OTHER     compares two binaries now, whatever their compiler or vectors
#   same_bits.sh --record BINARY  writes the table of a binary into same_bits.recorded
#
# A NAME is RUN.PART. RUN is a run below, which shows its command. PART is one of
#   model    model.safetensors or adapter_model.safetensors, byte by byte
#   state    training_state.safetensors, tensor by tensor; its metadata holds the clock
#   scores   scores.jsonl, byte by byte
#   log      log.jsonl without its times
#   metrics  metrics.json
#   result   the member "result" of run.json without its times, and the fingerprints of the input
#   cost     tokens and operations of run.json
#   out      what the program prints; or the file that the command names
# JSON members may come in any order, and time, machine, version and options do not count.
#
# Bits depend on whether products and sums are fused (FMA) and on the C library's mathematical
# functions. A table is of one pair of the two, and its name says which. Bits depend neither on the
# number of threads, nor on the compiler, nor on the width of the vectors: each sum has one order.
# Where no table fits, only runs are compared that have to agree with each other: RUN=OTHER has the
# hashes of OTHER, but for its cost.
#
# From the environment: CC, for the helper same_bits.c; KEEP, a new folder for the files of the
# runs, in which a difference can be looked at.
here=$(cd "$(dirname "$0")" && pwd) || exit 1
recorded=$here/same_bits.recorded
LC_ALL=C
OMP_NUM_THREADS=1 # tiny models are quickest so; --threads comes before it where threads matter
OMP_WAIT_POLICY=passive
export LC_ALL OMP_NUM_THREADS OMP_WAIT_POLICY
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

stop() { # WHAT
    echo "same_bits: $1" >&2
    exit 2
}

# ---- hashes ----

line() { # NAME FORM FILE [WORD...]
    name=$1
    shift
    if [ -s "$2" ]; then echo "$name $("$work/tool" "$@" || echo unreadable)"
    else echo "$name absent"; fi
}

# ica RUN ARGUMENTS: a run; its status counts as a result
ica() {
    run=$1
    shift
    "$ICA" "$@" >"out/$run" 2>"err/$run" </dev/null || echo "$run.status $?"
}

# parts RUN [WORD...]: hashes what the folder RUN holds; the words go to the hash of the result
parts() {
    run=$1
    shift
    if [ -f "$run/adapter_model.safetensors" ]; then
        line "$run.model" raw "$run/adapter_model.safetensors"
    else line "$run.model" raw "$run/model.safetensors"; fi
    line "$run.state" tensors "$run/training_state.safetensors"
    line "$run.log" json "$run/log.jsonl"
    line "$run.result" json "$run/run.json" +result +inputs "$@"
    if [ -f "$run/scores.jsonl" ]; then line "$run.scores" raw "$run/scores.jsonl"; fi
    if [ -f "$run/metrics.json" ]; then line "$run.metrics" json "$run/metrics.json"; fi
}

trains() { # RUN ARGUMENTS: a run that leaves a folder
    ica "$@" --out "$1"
    parts "$1"
    line "$1.cost" json "$1/run.json" +tokens +flops
}

# The tables are older than the count of candidates with fewer demonstrations, which demos.sh tests.
scores() { # RUN ARGUMENTS
    run=$1
    shift
    ica "$run" score "$@" --json --out scores.jsonl
    line "$run.scores" raw scores.jsonl
    line "$run.out" json "out/$run" -fewer_demos -embedding
    if [ -f scores.jsonl ]; then mv scores.jsonl "$run.jsonl"; fi
}

prints() { # RUN FORM ARGUMENTS: a run whose output is its result
    run=$1 form=$2
    shift 2
    ica "$run" "$@"
    line "$run.out" "$form" "out/$run"
}

# A stopped run and its end: what a run has paid up to the instant of a signal is no result.
UNPAID="-relative_cost -relative_cost_base -overhead_formula"
# interrupted RUN SIGNAL ARGUMENTS: stopped when its log has lines, then resumed to its end
interrupted() {
    run=$1 signal=$2
    shift 2
    "$ICA" "$@" --out "$run" >"out/$run" 2>"err/$run" </dev/null &
    pid=$!
    while [ ! -s "$run/log.jsonl" ] && kill -0 $pid 2>/dev/null; do
        sleep 0.01 2>/dev/null || sleep 1
    done
    kill -"$signal" $pid 2>/dev/null
    wait $pid 2>/dev/null
    ica "$run" "$1" --resume "$run"
    # shellcheck disable=SC2086
    parts "$run" $UNPAID
}

# ---- the runs ----

world() {
    ica world corpus --out corpus --seed 1
    ica world-2 corpus --out corpus-2 --no-pretrain --draw 2
    ica world-control corpus --out corpus-3 --no-pretrain --control --seed 3
    for f in pretrain pool-even50 pool-verbose60 holdout test \
        pairs-pool pairs-holdout pairs-test; do
        line "corpus-$f.out" raw corpus/$f.jsonl
        [ $f = pretrain ] || line "corpus-2-$f.out" raw corpus-2/$f.jsonl
    done
    line "corpus-3.out" raw corpus-3/pool-even50.jsonl
    head -n 100 corpus/pretrain.jsonl >sessions.jsonl
    head -n 40 corpus/pool-even50.jsonl >pool.jsonl
    head -n 30 corpus/pool-verbose60.jsonl >other.jsonl
    head -n 10 corpus/holdout.jsonl >hold.jsonl
    head -n 12 corpus/test.jsonl >test.jsonl
    head -n 24 corpus/pairs-pool.jsonl >pairs.jsonl
    head -n 8 corpus/pairs-holdout.jsonl >pairs-hold.jsonl
    head -n 10 corpus/pairs-test.jsonl >pairs-test.jsonl
    rm -r corpus corpus-2 corpus-3
    weigh='{ sub(/^{/, sprintf("{\"weight\":%.2f,", NR % 5 / 4)); print }'
    awk "$weigh" pool.jsonl >weighted.jsonl
    awk "$weigh" pairs.jsonl >pairs-weighted.jsonl
    # records in other forms, and some that do not fit the context
    turns='s/.*"prompt":\("[^"]*"\),"completion":\("[^"]*"\).*'
    {
        echo '['
        sed "$turns"'/{"instruction":\1,"input":"","output":\2},/;$s/,$//' pool.jsonl
        echo ']'
    } >alpaca.json
    sed "$turns"'/{"messages":[{"role":"user","content":\1},{"role":"assistant","content":\2}]}/' \
        pool.jsonl >messages.jsonl
    sed "$turns"'/{"text":\1}/' pool.jsonl >text.jsonl
    awk 'NR % 8 == 0 { long = ""; for (i = 0; i < 60; i++) long = long " seven " (NR + i)
        sub(/"completion":"/, "&" long " ") } { print }' pool.jsonl >long.jsonl
    printf '%s\n' 'what colour is grass ?' 'it is 23 , my friend .' '' >lines
    printf 'äöü €  tabs\tand "quotes"\n' >>lines
}

# What holds for the three models: the small one of most runs, one whose sizes fill neither vectors
# nor tiles, and one that is wider than the blocks of a product.
SMALL="--layers 2 --heads 4 --channels 32 --context 128 --batch-tokens 512"
ODD="--layers 1 --heads 3 --channels 39 --context 101 --batch-tokens 700"
WIDE="--layers 2 --heads 2 --channels 144 --context 256 --batch-tokens 2048"
OFTEN="--logging-steps 10"

pretraining() {
    ica tok tokenizer --data sessions.jsonl --vocab-size 300 --out tok
    ica tok-odd tokenizer --data sessions.jsonl pool.jsonl --vocab-size 419 --out tok-odd
    for t in tok tok-odd; do
        for f in vocab.json merges.txt template.json tokenizer_config.json; do
            line "$t-$f.out" raw $t/$f
        done
        "$ICA" encode --tokenizer $t <lines >ids 2>err/encode
        line "encode-$t.out" raw ids
        "$ICA" decode --tokenizer $t <ids >text 2>err/decode
        line "decode-$t.out" raw text
    done
    data="pretrain --data sessions.jsonl --tokenizer tok $OFTEN"
    # shellcheck disable=SC2086
    {
        trains base $data $SMALL --max-steps 40 --warmup-steps 5
        line base-config.out raw base/config.json
        for t in 1 2 5; do
            trains "base-threads-$t=base" $data $SMALL --max-steps 40 \
                --warmup-steps 5 --threads $t
        done
        trains base-recompute=base $data $SMALL --max-steps 40 --warmup-steps 5 --recompute
        trains odd pretrain --data sessions.jsonl --tokenizer tok-odd $OFTEN $ODD \
            --max-steps 20 --warmup-steps 5
        trains odd-threads=odd pretrain --data sessions.jsonl --tokenizer tok-odd $OFTEN $ODD \
            --max-steps 20 --warmup-steps 5 --threads 2
        trains wide $data $WIDE --max-steps 4 --warmup-steps 1 --learning-rate 1e-3
        trains wide-threads=wide $data $WIDE --max-steps 4 --warmup-steps 1 \
            --learning-rate 1e-3 --threads 5
        trains pretrain-shuffle $data $SMALL --max-steps 30 --shuffle --seed 5
        trains pretrain-eval $data $SMALL --max-steps 12 --holdout hold.jsonl \
            --eval test.jsonl --eval-steps 5 --k 2
        trains pretrain-prompts $data $SMALL --max-steps 6 --prompt-loss-weight 1
        trains pretrain-answers $data $SMALL --max-steps 6 --prompt-loss-weight 0
        trains pretrain-epochs $data $SMALL --num-train-epochs 1.3 --warmup-steps -1 \
            --lr-scheduler-type linear
        trains pretrain-adam $data $SMALL --max-steps 6 --adam-beta1 0.8 --adam-beta2 0.95 \
            --weight-decay 0.1 --max-grad-norm 0.1
        trains pretrain-text pretrain --data text.jsonl --tokenizer tok $SMALL --max-steps 6 \
            --logging-steps 2
        trains pretrain-more pretrain --data text.jsonl sessions.jsonl --model base \
            --max-steps 6 --batch-tokens 300 --logging-steps 2
    }
}

POOL="--model base --pool pool.jsonl"
HOLD="--holdout hold.jsonl"
PAIRS="--model base --pool pairs.jsonl --holdout pairs-hold.jsonl"

# shellcheck disable=SC2086
scoring() {
    for m in ica rho oneshot nuggets gradient incontext loss random; do
        rho="--reference-steps 10 --learning-rate 1e-3 --batch-size 8"
        [ $m = rho ] || rho=
        scores score-$m $POOL $HOLD --method $m $rho
        for t in 1 2 5; do
            scores score-$m-threads-$t=score-$m $POOL $HOLD --method $m $rho --threads $t
        done
        scores score-$m-sum $POOL $HOLD --method $m $rho --reduce sum
        scores score-$m-odd --model odd --pool other.jsonl $HOLD --method $m $rho --seed 7
        scores score-$m-wide --model wide --pool other.jsonl $HOLD --method $m $rho
        for objective in dpo simpo; do
            scores score-$objective-$m $PAIRS --objective $objective --method $m $rho
            reduce="--reduce mean"
            case $m-$objective in gradient-* | loss-simpo) reduce= ;; esac
            scores score-$objective-$m-odd --model odd --pool pairs.jsonl \
                --holdout pairs-hold.jsonl \
                --objective $objective --method $m $rho $reduce --threads 2
        done
    done
    for map in minmax clip rank softmax top positive filter; do
        scores map-$map $POOL $HOLD --weight-map $map
    done
    # several values each: one value may round to the same bits in another order of the same formula
    for x in 0.1 0.3 1.7; do
        scores map-softmax-$x $POOL $HOLD --weight-map softmax --temperature $x
    done
    for x in 0.2 0.33 0.9; do scores map-top-$x $POOL $HOLD --weight-map top --share $x; done
    for x in 0 0.13 0.2 0.4; do scores map-clip-$x $POOL $HOLD --weight-map clip --clip $x; done
    for demos in nearest random fixed shuffled; do
        scores demos-$demos $POOL $HOLD --demos $demos
        scores demos-$demos-incontext $POOL $HOLD --demos $demos --method incontext --k 2 --seed 3
        scores demos-$demos-pairs $PAIRS --objective dpo --demos $demos --k 2
    done
    for by in tokens hidden; do
        scores embedding-$by $POOL $HOLD --embedding $by
        for t in 2 5; do
            scores embedding-$by-threads-$t=embedding-$by $POOL $HOLD --embedding $by --threads $t
        done
        scores embedding-$by-pairs $PAIRS --objective dpo --embedding $by
        scores embedding-$by-oneshot $POOL $HOLD --method oneshot --embedding $by
        scores embedding-$by-contexts $POOL $HOLD --embedding $by --contexts 4
    done
    for k in 0 1 5 9; do scores k-$k $POOL $HOLD --k $k; done
    for contexts in 1 4 40; do scores contexts-$contexts $POOL $HOLD --contexts $contexts; done
    scores contexts-pairs $PAIRS --objective simpo --contexts 3
    for m in oneshot nuggets; do
        scores anchors-$m $POOL $HOLD --method $m --anchors random --num-anchors 4
    done
    scores micro-rho $POOL $HOLD --method rho --reference-steps 5 --batch-size 8 \
        --micro-batch-size 3
    scores micro-ica $POOL $HOLD --micro-batch-size 1
    scores micro-ica-threads=micro-ica $POOL $HOLD --micro-batch-size 1 --threads 2
    scores overlap --model base --pool pool.jsonl --holdout pool.jsonl --allow-overlap
    scores truncated --model base --pool long.jsonl $HOLD --truncate
    scores form-alpaca --model base --pool alpaca.json $HOLD
    scores form-messages --model base --pool messages.jsonl $HOLD
    for s in 1/3 2/3 3/3; do
        scores "shard-${s%/3}" $POOL $HOLD --shard $s
        scores "shard-random-${s%/3}" $POOL $HOLD --method ica --demos random --shard $s
    done
    cat shard-1.jsonl shard-2.jsonl shard-3.jsonl >merged.jsonl
    line shards.scores raw merged.jsonl
    sed 's/,"weight":[^,]*//' score-ica.jsonl >bare.jsonl
    line shards=shards.scores raw bare.jsonl
    for objective in dpo simpo; do
        for score in margin loss; do
            reduce="--reduce mean"
            [ $score = margin ] || reduce=
            scores pair-$objective-$score $PAIRS --objective $objective --pair-score $score
            scores pair-$objective-$score-smooth $PAIRS --objective $objective \
                --pair-score $score \
                --label-smoothing 0.2 --beta 0.7 $reduce
        done
    done
    scores pair-simpo-gamma $PAIRS --objective simpo --pair-score loss --gamma-beta-ratio 0.9
    scores pair-sft $PAIRS
}

TUNE="--batch-size 8 --learning-rate 1e-3 --max-steps 7 --logging-steps 2"
EVAL="--eval test.jsonl"

# shellcheck disable=SC2086
tuning() {
    trains uniform train $POOL $TUNE $EVAL --eval-steps 3
    trains oracle train $POOL $TUNE --weights oracle
    trains records train --model base --pool weighted.jsonl $TUNE --weights records
    trains file train $POOL $TUNE --weights file:score-ica.jsonl
    trains file-bare train $POOL $TUNE --weights file:merged.jsonl --weight-map softmax
    for m in ica rho oneshot nuggets gradient incontext loss random; do
        rho="--reference-steps 5"
        [ $m = rho ] || rho=
        trains train-$m train $POOL $HOLD $EVAL $TUNE --weights $m $rho --refresh 2
    done
    for map in minmax minmax-batch clip rank softmax top positive filter; do
        trains train-map-$map train $POOL $HOLD $TUNE --weights ica --weight-map $map --refresh 3
    done
    for t in 1 2 5; do
        trains train-ica-threads-$t=train-ica train $POOL $HOLD $EVAL $TUNE --weights ica \
            --refresh 2 --threads $t
        trains train-rho-threads-$t=train-rho train $POOL $HOLD $EVAL $TUNE --weights rho \
            --reference-steps 5 --refresh 2 --threads $t
    done
    trains train-ica-again=train-ica train $POOL $HOLD $EVAL $TUNE --weights ica --refresh 2
    trains train-ica-recompute=train-ica train $POOL $HOLD $EVAL $TUNE --weights ica \
        --refresh 2 --recompute
    for n in batch micro count none; do
        trains normalize-$n train $POOL $HOLD $TUNE --weights ica --normalize $n
        trains normalize-$n-micro train $POOL $HOLD $TUNE --weights ica --normalize $n \
            --micro-batch-size 3
        trains normalize-$n-micro-top train $POOL $HOLD $TUNE --weights ica --weight-map top \
            --normalize $n --micro-batch-size 2 --refresh 2
        trains normalize-$n-pairs train $PAIRS $TUNE --objective dpo --weights ica \
            --normalize $n --micro-batch-size 3
    done
    trains micro-recompute=normalize-batch-micro train $POOL $HOLD $TUNE --weights ica \
        --micro-batch-size 3 --recompute --threads 2
    for demos in random fixed shuffled; do
        trains train-demos-$demos train $POOL $HOLD $TUNE \
            --weights ica --demos $demos --refresh 2
    done
    trains train-embedding train $POOL $HOLD $TUNE --weights ica --embedding hidden --refresh 2
    trains train-contexts train $POOL $HOLD $TUNE --weights ica --contexts 3 --k 2 --refresh 2
    trains train-sum train $POOL $HOLD $TUNE --weights ica --reduce sum --k 1
    trains train-anchors train $POOL $HOLD $TUNE --weights oneshot --anchors random \
        --num-anchors 3 --refresh 2
    trains train-epochs train $POOL $HOLD --weights ica --batch-size 12 --num-train-epochs 2.5 \
        --learning-rate 1e-3 --logging-steps 3 --refresh 4
    trains train-linear train $POOL $TUNE --lr-scheduler-type linear --warmup-steps 3 \
        --min-lr-ratio 0
    trains train-constant train $POOL $TUNE --lr-scheduler-type constant --warmup-ratio 0.5
    trains train-adam train $POOL $TUNE --weight-decay 0.1 --adam-beta1 0.7 --adam-beta2 0.9 \
        --max-grad-norm 0
    trains train-seed train $POOL $HOLD $TUNE --weights random --seed 99
    trains train-truncated train --model base --pool long.jsonl $HOLD $TUNE --weights ica \
        --truncate
    trains train-odd train --model odd --pool other.jsonl $HOLD $EVAL $TUNE --weights ica \
        --refresh 2
    trains train-odd-threads=train-odd train --model odd --pool other.jsonl $HOLD $EVAL $TUNE \
        --weights ica --refresh 2 --threads 5
    trains train-wide train --model wide --pool other.jsonl $HOLD $EVAL $TUNE --weights rho \
        --reference-steps 3 --micro-batch-size 5
    trains train-alpaca train --model base --pool alpaca.json $HOLD $TUNE --weights ica
}

# shellcheck disable=SC2086
tuning_pairs() {
    pairs_eval="--eval pairs-test.jsonl --eval-steps 3"
    for objective in dpo simpo; do
        for w in uniform ica rho oneshot nuggets gradient incontext loss; do
            rho="--reference-steps 4"
            [ $w = rho ] || rho=
            trains $objective-$w train $PAIRS $TUNE $pairs_eval --objective $objective \
                --weights $w $rho --refresh 2
        done
        trains $objective-threads=$objective-ica train $PAIRS $TUNE $pairs_eval \
            --objective $objective --weights ica --refresh 2 --threads 2
        trains $objective-recompute=$objective-ica train $PAIRS $TUNE $pairs_eval \
            --objective $objective --weights ica --refresh 2 --recompute
        trains $objective-oracle train $PAIRS $TUNE --objective $objective --weights oracle
        trains $objective-records train --model base --pool pairs-weighted.jsonl $TUNE \
            --objective $objective --weights records --micro-batch-size 3
        trains $objective-loss-score train $PAIRS $TUNE --objective $objective --weights ica \
            --pair-score loss --weight-map softmax --refresh 3
        for x in 0.07 0.1 0.45; do
            trains $objective-smooth-$x train $PAIRS --batch-size 8 --learning-rate 1e-3 \
                --max-steps 30 --logging-steps 5 --objective $objective --label-smoothing $x
        done
        trains $objective-smooth train $PAIRS $TUNE --objective $objective \
            --label-smoothing 0.3 --beta 0.6 --weights ica --reduce mean
    done
    trains simpo-gamma train $PAIRS $TUNE --objective simpo --gamma-beta-ratio 1.2
    trains sft-pairs train $PAIRS $TUNE --weights ica
}

# shellcheck disable=SC2086
resuming() {
    long="--batch-size 8 --learning-rate 1e-3 --max-steps 40 --logging-steps 1"
    # the first part of a run that is lengthened
    ica longer train $POOL $HOLD $TUNE --weights ica --refresh 2 --out longer
    ica longer train --resume longer --max-steps 11 --force-resume
    parts longer $UNPAID
    ica pretrain-longer pretrain --data sessions.jsonl --tokenizer tok $SMALL $OFTEN \
        --max-steps 7 --out pretrain-longer
    ica pretrain-longer pretrain --resume pretrain-longer --max-steps 15 --force-resume
    parts pretrain-longer $UNPAID
    for kind in ica rho dpo pretrain; do
        case $kind in
        ica) set -- train $POOL $HOLD $EVAL $long --weights ica --refresh 5 --eval-steps 7 ;;
        rho) set -- train $POOL $HOLD $long --weights rho --reference-steps 8 --refresh 3 \
            --micro-batch-size 3 ;;
        dpo) set -- train $PAIRS $long --objective dpo --weights ica --refresh 3 ;;
        pretrain) set -- pretrain --data sessions.jsonl --tokenizer tok $SMALL --max-steps 60 \
            --logging-steps 1 --shuffle ;;
        esac
        ica whole-$kind "$@" --out whole-$kind
        parts whole-$kind $UNPAID
        interrupted "stopped-$kind=whole-$kind" TERM "$@"
        interrupted "killed-$kind=whole-$kind" KILL "$@" --save-steps 3
    done
}

# shellcheck disable=SC2086
using() {
    for model in base odd wide train-ica; do
        prints eval-$model json eval --model $model --data test.jsonl --json \
            --per-example each.jsonl
        line eval-$model.each raw each.jsonl
    done
    for k in 1 3 10; do
        prints eval-k-$k json eval --model base --data test.jsonl $HOLD --k $k \
            --json
    done
    prints eval-threads=eval-base json eval --model base --data test.jsonl --json --threads 5
    prints eval-truncated json eval --model base --data long.jsonl --truncate --json
    ica eval-people eval --model train-ica --data test.jsonl --seed 4
    sed "/^seconds/d" out/eval-people >people
    line eval-people.out raw people
    for objective in dpo simpo; do
        reference="--reference base"
        [ $objective = dpo ] || reference=
        prints eval-$objective json eval --model $objective-ica $reference \
            --objective $objective --data pairs-test.jsonl --json \
            --per-example each.jsonl
        line eval-$objective.each raw each.jsonl
        prints eval-$objective-smooth json eval --model $objective-rho $reference \
            --objective $objective --data pairs-test.jsonl \
            --json --beta 0.4 --label-smoothing 0.1
    done
    say="generate --model base --max-new-tokens 24 --prompt"
    prints generate raw $say "what colour is grass ?"
    prints generate-threads=generate raw $say "what colour is grass ?" --threads 2
    prints generate-warm raw $say "what colour is grass ?" --temperature 1 --seed 3
    prints generate-top json $say "tell me" --temperature 0.8 --top-k 5 --seed 4 --json
    prints generate-wide json generate --model wide --max-new-tokens 24 --prompt "name the" \
        --temperature 2 --json
    dump="--batch-size 6 --learning-rate 1e-3 --max-steps 2 --out dump-run \
        --dump-state dump.safetensors"
    for d in "uniform $POOL" "ica $POOL $HOLD --weights ica --micro-batch-size 4" "dpo $PAIRS \
        --objective dpo --weights ica" \
        "simpo $PAIRS --objective simpo"; do
        name=dump-${d%% *}
        rm -rf dump-run dump.safetensors
        ica $name train ${d#* } $dump
        line $name.out tensors dump.safetensors
    done
    prints inspect raw inspect base/model.safetensors
    prints inspect-json json inspect train-ica/model.safetensors --json
    prints inspect-dump json inspect dump.safetensors --json
    "$ICA" diff base/model.safetensors train-ica/model.safetensors --json >out/diff 2>err/diff
    line diff.out json out/diff
    prints report json report uniform train-ica train-rho dpo-ica dpo-uniform simpo-ica --json \
        --results results.json --out page.html
    line report.results json results.json
}

# The other families: threads, recomputing and grouping change no bit of theirs either.
FAMILY="--layers 2 --heads 6 --kv-heads 2 --channels 36 --context 128 --batch-tokens 512
    --max-steps 10 --warmup-steps 2 --learning-rate 1e-3"

# shellcheck disable=SC2086
families() {
    for f in llama qwen2 qwen3; do
        data="pretrain --data sessions.jsonl --tokenizer tok $FAMILY --family $f"
        size=
        [ $f = qwen2 ] || size="--head-size 10 --inner-channels 50"
        trains $f $data $size
        for t in 2 5; do trains $f-threads-$t=$f $data $size --threads $t; done
        trains $f-recompute=$f $data $size --recompute
        pool="--model $f --pool pool.jsonl $HOLD"
        for m in ica rho gradient; do
            rho="--reference-steps 3 --learning-rate 1e-3 --batch-size 8"
            [ $m = rho ] || rho=
            scores $f-$m $pool --method $m $rho
            for t in 2 5; do scores $f-$m-threads-$t=$f-$m $pool --method $m $rho --threads $t; done
        done
        scores $f-ica-micro=$f-ica $pool --micro-batch-size 3
        pairs="--model $f --pool pairs.jsonl --holdout pairs-hold.jsonl"
        trains $f-sft train $pool $TUNE --weights ica --refresh 3
        for o in dpo simpo; do
            trains $f-$o train $pairs $TUNE --weights ica --objective $o
        done
        lora="--lora-rank 3 --lora-targets all-linear"
        trains $f-lora train $pool $TUNE --weights ica --refresh 3 $lora
        trains $f-lora-threads=$f-lora train $pool $TUNE --weights ica --refresh 3 $lora --threads 2
        trains $f-lora-dpo train $pairs $TUNE --objective dpo $lora
    done
}

# table BINARY FOLDER: makes the folder, runs everything in it and prints the table
table() {
    ICA=$1
    mkdir -p "$2/out" "$2/err" && cd "$2" || exit 1
    world
    pretraining
    scoring
    tuning
    tuning_pairs
    resuming
    using
    families
}

# ---- tables and their names ----

whole_path() { # BINARY
    case $1 in /*) ;; *) set -- "$PWD/$1" ;; esac
    [ -f "$1" ] && [ -x "$1" ] || stop "$1: no such program; build it first"
    echo "$1"
}

said() { sed -n 's/.*"'"$2"'":"\([^"]*\)".*/\1/p' "$1"; } # FILE KEY: a string in a file of JSON

# key FOLDER: what the bits of the runs in this folder depend on, as the name of a table. On x86-64
# vectors of 8 and 16 floats come with FMA, those of 4 without.
key() {
    vectors=$(said "$1/base/run.json" vectors)
    case $(uname -m):$vectors in
    "x86_64:16 x float" | "x86_64:8 x float") sums=fma ;;
    "x86_64:4 x float") sums=plain ;;
    *) sums=$(uname -m)-$(echo "$vectors" | tr -d " ") ;;
    esac
    echo "$sums-libm-$("$work/tool" libm | cut -c 1-8)"
}

origin() { # FOLDER: the first lines of a table
    echo "$(said "$1/base/run.json" compiler), $(said "$1/base/run.json" flags)" |
        fold -s -w 98 | sed 's/^/# /; s/ *$//'
    echo "# table: $(key "$1")"
}

# twins TABLE: lines "NAME HASH HASH-OF-ITS-TWIN" for all names "RUN=OTHER.PART". The cost is of
# the options and not of the numbers, and --recompute pays more.
twins() {
    awk '/^#/ { next } { hash[$1] = $2 }
        END {
            for (name in hash) {
                at = index(name, "=")
                other = substr(name, at + 1)
                if (at && name !~ /\.cost$/)
                    print name, hash[name], other in hash ? hash[other] : "absent"
            }
        }' "$1" | sort
}

# versus TABLE OTHER: lines "NAME HASH OTHER-HASH" for all names of both, in the order of the runs:
# a later run uses what earlier ones left, so the first difference is the one to look at
versus() {
    awk '/^#/ { next } !seen[$1]++ { order[++n] = $1 } FNR == NR { a[$1] = $2; next } { b[$1] = $2 }
        END {
            for (i = 1; i <= n; i++)
                print order[i], order[i] in a ? a[order[i]] : "absent", \
                    order[i] in b ? b[order[i]] : "absent"
        }' "$1" "$2"
}

# broken TABLE: lines "NAME HASH ok" for all that a table holds, where the hash of a result is "ok",
# so that a run that fails or leaves nothing is a failure wherever it is looked at
broken() {
    awk '/^#/ { next } { print $1, $1 !~ /\.status$/ && $2 ~ /^[0-9a-f]+$/ ? "ok" : $2, "ok" }' "$1"
}

# judge WHAT COMMAND...: counts the command's lines "NAME HASH HASH" and shows those that differ
passed=0 failed=0
judge() {
    what=$1
    shift
    "$@" >"$work/judged"
    awk '$2 != $3' "$work/judged" >"$work/bad"
    bad=$(wc -l <"$work/bad")
    failed=$((failed + bad)) passed=$((passed + $(wc -l <"$work/judged") - bad))
    [ "$bad" -gt 0 ] || return
    echo "FAILED: $bad results, $what:"
    sed 's/^/    /' "$work/bad" | head -n 30
}

finish() {
    echo "same_bits: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

start=$PWD
keep=${KEEP:-$work/runs}
case $keep in /*) ;; *) keep=$start/$keep ;; esac
[ ! -e "$keep" ] || stop "$keep is there already; KEEP names a new folder"
"${CC:-cc}" -std=c11 -O1 "$here/same_bits.c" -o "$work/tool" -lm ||
    stop "the helper does not compile"
case $#:${1-} in
2:--record)
    a=$(whole_path "$2") || exit
    (table "$a" "$keep/a") >"$work/a"
    name=$(key "$keep/a")
    { origin "$keep/a"; cat "$work/a"; } >"$work/table"
    judge "NAME, what is wrong" broken "$work/a"
    judge "NAME=OTHER, its hash, hash of OTHER" twins "$work/table"
    if [ "$failed" -eq 0 ]; then
        cp "$work/table" "$recorded/$name" || exit
        echo "$recorded/$name: $(grep -vc '^#' "$work/table") results"
    fi
    finish ;;
1:--*) stop "usage: same_bits.sh [BINARY [OTHER] | --record BINARY]" ;;
1:*)
    a=$(whole_path "$1") || exit
    (table "$a" "$keep/a") >"$work/a"
    origin "$keep/a"
    cat "$work/a" ;;
2:*)
    a=$(whole_path "$1") && b=$(whole_path "$2") || exit
    (table "$a" "$keep/a") >"$work/a" &
    (table "$b" "$keep/b") >"$work/b"
    wait
    judge "with $1: NAME, what is wrong" broken "$work/a"
    judge "with $2: NAME, what is wrong" broken "$work/b"
    judge "NAME, hash with $1, hash with $2" versus "$work/a" "$work/b"
    finish ;;
0:)
    a=$(cd "$here/../.." && whole_path "${ICA:-./ica}") || exit
    (table "$a" "$keep/a") >"$work/a"
    judge "NAME, what is wrong" broken "$work/a"
    judge "NAME=OTHER, its hash, hash of OTHER" twins "$work/a"
    name=$(key "$keep/a")
    if [ -f "$recorded/$name" ]; then
        judge "NAME, recorded hash, hash with ./ica" versus "$recorded/$name" "$work/a"
    else
        echo "no recorded table fits this build ($name)"
        echo "only runs that have to agree are compared"
    fi
    finish ;;
*) stop "usage: same_bits.sh [BINARY [OTHER] | --record BINARY]" ;;
esac
