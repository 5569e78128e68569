#!/bin/sh
# Real text: does ICA find the domain of a trusted holdout in a mixed pool, and right answers among
# wrong ones?
#
#   data/gsm8k.sh make GSM8K_FOLDER INSTRUCTION_FILE OUT   the data sets, for seeds 1 to 3
#   data/gsm8k.sh study OUT                                a base, and the arms of both tasks;
#                                                          ONLY names tables of study.sh
#   data/gsm8k.sh instruct INSTRUCTION_FILE OUT            the instructions alone (docs/tutorial.md)
#
# GSM8K_FOLDER holds train.jsonl and test.jsonl of openai/grade-school-math (MIT). INSTRUCTION_FILE
# is instruction-data.json of rasbt/LLMs-from-scratch, ch07 (Apache-2.0), which is here too, as
# docs/real/instructions.json. Both stay where they are. docs/results.md, "Real text", has the
# results.
#
# make writes OUT/data/SEED/{pool,holdout,test,others}.jsonl and OUT/data/pretrain.jsonl. The pool
# is 300 GSM8K training questions ("clean": true) and 300 instructions ("clean": false). The holdout
# is 200 other training questions, the test GSM8K's own first 400. others.jsonl has instructions
# that neither the pool nor pretraining has, for a holdout that is partly wrong. Pretraining has the
# rest of both training texts, four records of one domain a session. The key "clean" is for the
# AUROC only.
#
# It writes OUT/instruct/SEED/{pool,holdout,test}.jsonl too, of the 500 instructions that
# pretraining does not have, each prompt once: 100 for the test, 100 others for the holdout, and the
# rest for the pool. Half of the pool has a wrong answer ("clean": false). A refusal alternates with
# the right answer's words in reverse order.
set -eu
. "$(dirname "$0")/text.sh"

gsm8k() { # FILE
    awk '{
        at = index($0, "\", \"answer\": \"")
        if (substr($0, 1, 14) != "{\"question\": \"" || at == 0) {
            print FILENAME ":" FNR ": not a record of GSM8K" > "/dev/stderr"
            exit 3
        }
        print substr($0, 15, at - 15) "\t" substr($0, at + 14, length($0) - at - 15)
    }' "$1"
}

instructions() { # FILE: one key a line, as the file is published
    awk 'function text(s) { sub(/^[^:]*: "/, "", s); sub(/",?[ \r]*$/, "", s); return s }
        /^ *"instruction":/ { prompt = text($0) }
        /^ *"input":/ { input = text($0); if (input != "") prompt = prompt "\\n" input }
        /^ *"output":/ { print prompt "\t" text($0) }' "$1"
}

# Standard input: "prompt<TAB>completion". The first half gets wrong answers.
half_wrong() {
    awk -F '\t' -v OFS='\t' '
        { prompt[NR] = $1; answer[NR] = $2 }
        END {
            for (i = 1; i <= NR; i++) {
                source = i > NR / 2 ? "right" : i % 2 ? "jumbled" : "refusal"
                text = answer[i]
                if (source == "refusal") text = "I am sorry, but I cannot help with that."
                if (source == "jumbled") {
                    n = split(answer[i], word, " ")
                    text = word[n]
                    for (j = n - 1; j > 0; j--) text = text " " word[j]
                }
                print source, prompt[i], text
            }
        }'
}

make_instruct() { # INSTRUCTION_FILE OUT
    for seed in 1 2 3; do
        to=$2/instruct/$seed
        mkdir -p "$to"
        instructions "$1" | shuffled 1 | head -n 500 | awk -F '\t' '!seen[$1]++' >"$to/all"
        head -n 100 "$to/all" | of test | records test >"$to/test.jsonl"
        tail -n +101 "$to/all" | shuffled "$((seed + 300))" >"$to/rest"
        head -n 100 "$to/rest" | of holdout | records holdout >"$to/holdout.jsonl"
        tail -n +101 "$to/rest" | half_wrong | records right | shuffled "$seed" >"$to/pool.jsonl"
        rm "$to/all" "$to/rest"
    done
    wc -l "$2"/instruct/1/*.jsonl
}

make_data() { # GSM8K_FOLDER INSTRUCTION_FILE OUT
    for seed in 1 2 3; do
        to=$3/data/$seed
        mkdir -p "$to"
        # There is one base, so pretraining's texts are the same for all seeds. A seed draws its
        # pool and holdout from the others.
        gsm8k "$1/train.jsonl" | shuffled 1 | head -n 1000 |
            shuffled "$((seed + 100))" >"$to/questions"
        instructions "$2" | shuffled 1 | head -n 500 |
            shuffled "$((seed + 200))" >"$to/instructions"
        head -n 200 "$to/questions" | of holdout | records holdout >"$to/holdout.jsonl"
        {
            tail -n +201 "$to/questions" | head -n 300 | of gsm8k | records gsm8k
            head -n 300 "$to/instructions" | of instruct | records gsm8k
        } | shuffled "$seed" >"$to/pool.jsonl"
        tail -n +301 "$to/instructions" | of others | records gsm8k >"$to/others.jsonl"
        gsm8k "$1/test.jsonl" | head -n 400 | of test | records test >"$to/test.jsonl"
        rm "$to/questions" "$to/instructions"
    done
    {
        gsm8k "$1/train.jsonl" | shuffled 1 | tail -n +1001 | of gsm8k | sessions
        instructions "$2" | shuffled 1 | tail -n +501 | of instruct | sessions
    } | shuffled 1 >"$3/data/pretrain.jsonl"
    wc -l "$3"/data/pretrain.jsonl "$3"/data/1/*.jsonl
}

case "${1:-}" in
make)
    make_data "$2" "$3" "$4"
    make_instruct "$3" "$4" ;;
instruct)
    make_instruct "$2" "$3"
    instructions "$2" | shuffled 1 | tail -n +501 | of instruct | sessions >"$3/pretrain.jsonl" ;;
study)
    study GSM8K "gsm8k instruct gsm8k_trim instruct_trim" "$2" ;;
*)
    sed -n '2,6p' "$0" >&2
    exit 2 ;;
esac
