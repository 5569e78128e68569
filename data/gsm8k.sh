#!/bin/sh
# Real text: does ICA find the domain of a trusted holdout in a mixed pool?
#
#   data/gsm8k.sh make GSM8K_FOLDER INSTRUCTION_FILE OUT     the data sets, for seeds 1 to 3
#   data/gsm8k.sh study OUT                                  a base model, three seeds of each arm, and the report
#
# GSM8K_FOLDER holds train.jsonl and test.jsonl of openai/grade-school-math (MIT); INSTRUCTION_FILE is instruction-data.json of
# rasbt/LLMs-from-scratch, ch07 (Apache-2.0). Both stay where they are; README, "On real text", says where they can be had.
#
# make writes OUT/data/SEED/{pool,holdout,test}.jsonl and OUT/data/SEED/pretrain.jsonl: the pool is 300 GSM8K training questions
# ("clean": true) and 300 instructions ("clean": false), the holdout 200 other training questions, the test GSM8K's own first 400;
# pretraining has what is left of both training texts, four records of one domain a session. The "clean" key is for the AUROC only.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

# Lines "prompt<TAB>completion", both still quoted as in the file, in an order shuffled by $1 (a generator of our own: awk's rand
# differs from awk to awk).
shuffled() {
    awk -v seed="$1" 'BEGIN { x = seed * 7919 + 17 } { x = (x * 16807) % 2147483647; printf "%010d\t%s\n", x, $0 }' | sort | cut -f2-
}

gsm8k() { # FILE
    awk '{
        at = index($0, "\", \"answer\": \"")
        if (substr($0, 1, 14) != "{\"question\": \"" || at == 0) { print FILENAME ":" FNR ": no GSM8K record" > "/dev/stderr"; exit 3 }
        print substr($0, 15, at - 15) "\t" substr($0, at + 14, length($0) - at - 15)
    }' "$1"
}

instructions() { # FILE: one key a line, as the file is published
    awk 'function text(s) { sub(/^[^:]*: "/, "", s); sub(/",?[ \r]*$/, "", s); return s }
        /^ *"instruction":/ { prompt = text($0) }
        /^ *"input":/ { input = text($0); if (input != "") prompt = prompt "\\n" input }
        /^ *"output":/ { print prompt "\t" text($0) }' "$1"
}

records() { # SOURCE CLEAN
    awk -F '\t' -v source="$1" -v clean="$2" '{
        printf "{\"id\":\"%s-%d\",\"prompt\":\"%s\",\"completion\":\"%s\",\"clean\":%s,\"source\":\"%s\"}\n", source, NR, $1, $2, clean, source }'
}

sessions() { # SOURCE: four records a line
    awk -F '\t' -v source="$1" '{
        row = row (row == "" ? "" : ",") "{\"role\":\"user\",\"content\":\"" $1 "\"},{\"role\":\"assistant\",\"content\":\"" $2 "\"}"
        if (NR % 4 == 0) { print "{\"messages\":[" row "],\"source\":\"" source "\"}"; row = "" }
    }'
}

make_data() { # GSM8K_FOLDER INSTRUCTION_FILE OUT
    for seed in 1 2 3; do
        to=$3/data/$seed
        mkdir -p "$to"
        # One split of pool + holdout against pretraining for all seeds: there is one base. A seed draws pool and holdout from it.
        gsm8k "$1/train.jsonl" | shuffled 1 | head -n 1000 | shuffled "$((seed + 100))" >"$to/questions"
        instructions "$2" | shuffled 1 | head -n 500 | shuffled "$((seed + 200))" >"$to/instructions"
        head -n 200 "$to/questions" | records holdout true >"$to/holdout.jsonl"
        { tail -n +201 "$to/questions" | head -n 300 | records gsm8k true; head -n 300 "$to/instructions" | records instruct false; } |
            shuffled "$seed" >"$to/pool.jsonl"
        gsm8k "$1/test.jsonl" | head -n 400 | records test true >"$to/test.jsonl"
        rm "$to/questions" "$to/instructions"
    done
    { gsm8k "$1/train.jsonl" | shuffled 1 | tail -n +1001 | sessions gsm8k; instructions "$2" | shuffled 1 | tail -n +501 | sessions instruct; } |
        shuffled 1 >"$3/data/pretrain.jsonl"
    wc -l "$3"/data/pretrain.jsonl "$3"/data/1/*.jsonl
}

study() { # OUT
    out=$1 ica=$here/ica
    make -s -C "$here" ica
    [ -d "$out/tokenizer" ] || "$ica" tokenizer --data "$out/data/pretrain.jsonl" --vocab-size 2048 --out "$out/tokenizer"
    [ -f "$out/base/model.safetensors" ] || "$ica" pretrain --data "$out/data/pretrain.jsonl" --tokenizer "$out/tokenizer" --out "$out/base" --layers 4 \
        --heads 4 --channels 128 --context 768 --batch-tokens 2048 --learning-rate 2e-3 --num-train-epochs 5 --shuffle --prompt-loss-weight 0.5 \
        --holdout "$out/data/1/holdout.jsonl" --eval "$out/data/1/test.jsonl" --eval-steps 500 --logging-steps 50
    set --
    for seed in 1 2 3; do
        d=$out/data/$seed
        for method in ica rho loss random; do
            [ -f "$out/score-$method-$seed.json" ] || "$ica" score --model "$out/base" --pool "$d/pool.jsonl" --holdout "$d/holdout.jsonl" \
                --method $method --draw "$seed" --seed "$seed" --learning-rate 5e-4 --batch-size 16 --reference-steps 60 --truncate \
                --out "$out/score-$method-$seed.jsonl" --json >"$out/score-$method-$seed.json"
            set -- "$@" "$out/score-$method-$seed.json"
        done
        for arm in uniform ica:minmax-batch ica:filter ica:top rho:top holdout-only oracle; do
            run=$out/runs/$arm/$seed pool=$d/pool.jsonl weights="--holdout $d/holdout.jsonl --weights ${arm%%:*} --weight-map ${arm#*:}"
            case $arm in
            uniform | oracle) weights="--weights $arm" ;;
            holdout-only) pool=$d/holdout.jsonl weights="--weights uniform" ;;
            esac
            # shellcheck disable=SC2086
            [ -f "$run/metrics.json" ] || "$ica" train --model "$out/base" --pool "$pool" --eval "$d/test.jsonl" \
                --objective sft $weights --out "$run" --group gsm8k --arm "$arm" --seed "$seed" --learning-rate 5e-4 --max-steps 60 \
                --batch-size 16 --reference-steps 60 --truncate >"$out/last.result" 2>"$out/last.log" || { tail -n 1 "$out/last.log" >&2; exit 1; }
            set -- "$@" "$run"
        done
    done
    "$ica" report "$out/base" "$@" --out "$out/report.html" --results "$out/results.json"
}

case "${1:-}" in
make) make_data "$2" "$3" "$4" ;;
study) study "$2" ;;
*) sed -n '2,6p' "$0" >&2; exit 2 ;;
esac
