#!/bin/sh
# Adapters (LoRA) from the command line: trained, resumed, scored with, merged, refused by name.
# What they compute is held in tests/unit/test_families.c, and by `make judge-adapters`.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

"$ICA" corpus --out corpus 2>"$keep/err" || fail "corpus"
head -n 60 corpus/pretrain.jsonl >sessions.jsonl
head -n 24 corpus/pool-even50.jsonl >pool.jsonl
head -n 8 corpus/holdout.jsonl >hold.jsonl
head -n 8 corpus/test.jsonl >test.jsonl
head -n 16 corpus/pairs-pool.jsonl >pairs.jsonl
rm -r corpus
works "tokenizer" tokenizer --data sessions.jsonl --vocab-size 300 --out tok
works "pretrain" pretrain --data sessions.jsonl --tokenizer tok --layers 2 --heads 2 \
    --channels 16 --context 128 --batch-tokens 512 --max-steps 4 --out base
LORA="--lora-rank 3 --lora-alpha 6"
T="train --model base --batch-size 4 --max-steps 6 --save-steps 3 --learning-rate 1e-2"

# each: the log-probability of each record of the test, by the model in folder $1
each() {
    ica eval --model "$1" --data test.jsonl --per-example each.jsonl || fail "eval of $1"
    sed 's/.*"logp":\([^,]*\).*/\1/' each.jsonl
}

# shellcheck disable=SC2086
{
    cp -R base before
    works "adapters" $T $LORA --pool pool.jsonl --holdout hold.jsonl --weights ica --out R
    check "the run has adapters and no model" test -f R/adapter_model.safetensors -a \
        -f R/adapter_config.json -a ! -e R/model.safetensors -a ! -e R/config.json
    check "the base is as it was" diff -r before base
    for n in 1 2 5; do
        works "$n threads" $T $LORA --pool pool.jsonl --holdout hold.jsonl --weights ica \
            --threads $n --micro-batch-size $n --out threads-$n
        check "the same bits with $n threads" cmp R/adapter_model.safetensors \
            threads-$n/adapter_model.safetensors
    done
    # A new adapter is the base.
    works "no step" $T $LORA --pool pool.jsonl --max-steps 1 --learning-rate 1e-30 \
        --weight-decay 0 --out new
    each base >base.each
    each new >new.each
    check "a new adapter changes no bit" cmp base.each new.each
    each R >R.each
    check "a trained one does" sh -c '! cmp -s base.each R.each'
    # From the state before the last to the end
    cp -R R again
    cp again/training_state.previous.safetensors again/training_state.safetensors
    works "resume" train --resume again
    check "a resumed run has the same bits" cmp R/adapter_model.safetensors \
        again/adapter_model.safetensors
    works "complete" train --resume R
    # Adapters that are trained on
    works "more steps" $T --model R --pool pool.jsonl --out more
    check "they stand beside the same base" sh -c \
        'grep base_model R/adapter_config.json >a && grep base_model more/adapter_config.json >b &&
        cmp a b'
    # Everything that a model is for
    works "rho" $T $LORA --pool pool.jsonl --holdout hold.jsonl --weights rho \
        --reference-steps 3 --out rho
    check "the reference has adapters" test -f rho/reference/adapter_model.safetensors
    cp -R rho rho-again
    cp rho-again/training_state.previous.safetensors rho-again/training_state.safetensors
    works "resume rho" train --resume rho-again
    check "with the same bits" cmp rho/adapter_model.safetensors rho-again/adapter_model.safetensors
    works "dpo" $T $LORA --objective dpo --logging-steps 1 --pool pairs.jsonl --out dpo
    check "dpo begins at log 2" grep -q '"loss":0.693147' dpo/log.jsonl
    works "eval of dpo" eval --model dpo --reference base --objective dpo --data pairs.jsonl
    cp "$keep/out" dpo.eval
    cp -R base copy
    works "with another copy" eval --model dpo --reference copy --objective dpo --data pairs.jsonl
    grep -v '^\(seconds\|command\)' "$keep/out" >a
    grep -v '^\(seconds\|command\)' dpo.eval >b
    same "the base is the reference" a b
    works "adapters as reference" eval --model dpo --reference R --objective dpo --data pairs.jsonl
    ica eval --model copy --reference R --objective dpo --data pairs.jsonl
    check "adapters of another base" grep -q '^ica: R: its adapters stand beside' "$keep/err"
    for method in ica gradient; do
        works "score, $method" score --model R --pool pool.jsonl --holdout hold.jsonl \
            --method $method --out scores-$method.jsonl
    done
    works "generate" generate --model R --prompt low --max-new-tokens 3
    works "another kind of run there" $T --pool pool.jsonl --out more --overwrite
    check "it has a model and no adapters" test -f more/model.safetensors -a \
        ! -e more/adapter_config.json -a ! -e more/adapter_model.safetensors
    # One model of both
    works "merge" merge --model R --out merged
    each merged >merged.each
    # 256 roundings of logits of less than 16, over the tokens of an answer: far below 1e-2.
    check "merged weights compute the same" sh -c 'paste R.each merged.each |
        awk "{ d = \$1 - \$2; if (d * d > 1e-4) exit 1 }"'
    refuse 2 'merged/config.json: exists' merge --model R --out merged
    refuse 3 'base: has no adapters' merge --model base --out never
    refuse 2 'would overwrite the base of --model' merge --model R --out base
    # What is refused
    refuse 2 '--lora-alpha: there are no new adapters' $T --lora-alpha 4 --pool pool.jsonl --out no
    refuse 2 '--lora-targets: q_proj is no linear layer.*attn.c_attn' $T --lora-rank 2 \
        --lora-targets c_attn,q_proj --pool pool.jsonl --out no
    refuse 2 '--lora-rank' $T --lora-rank 100000 --pool pool.jsonl --out no
    refuse 3 'R: has adapters already.*ica merge' $T $LORA --model R --pool pool.jsonl --out no
    cp -R R moved
    sed 's/"base_model_name_or_path": .*/"base_model_name_or_path": "..\/base",/' \
        R/adapter_config.json >moved/adapter_config.json
    each moved >moved.each
    check "a base beside the adapters' folder" cmp R.each moved.each
    sed 's/"r": 3/"r": 4/' R/adapter_config.json >moved/adapter_config.json
    refuse 3 'moved/adapter_model.safetensors: tensor .*c_attn.lora_A.* 4 x 16' eval --model moved \
        --data test.jsonl
    sed 's/"use_rslora": false/"use_dora": true/' R/adapter_config.json >moved/adapter_config.json
    refuse 3 'moved/adapter_config.json: "use_dora" is not supported' eval --model moved \
        --data test.jsonl
    cp R/adapter_config.json moved
    cp base/config.json moved
    refuse 3 'moved: holds a model and adapters' eval --model moved --data test.jsonl
    mv base gone
    refuse 3 'R/adapter_config.json: "base_model_name_or_path" is .*/base' eval --model R \
        --data test.jsonl
}
finish adapters
