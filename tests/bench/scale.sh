#!/bin/sh
# How time and memory grow: scoring and training on random tokens and random weights, one factor at
# a time around a middle point, each measured figure beside its formula. And fine-tuning a model of
# GPT-2's shape (124M), as on a laptop: speed, memory, hours.
#
#   tests/bench/scale.sh [pool] [length] [k] [channels] [layers] [vocabulary] [gpt2]
#
# All parts without an argument (`make scale`); some ten minutes; for gpt2 5 GB of memory and 3 GB
# of disk, else far less. From the environment: ROUNDS (3), THREADS (1; gpt2: all cores).
#
# Seconds are the least of ROUNDS runs, because the machine's other work only ever adds to them.
# Training's are those of the quickest step, once for each step: the first step also pays for fresh
# pages of memory, which is most of the time of so short a run. Scoring's are what score reports for
# the whole pool, its pages included, but neither loading nor saving. Memory is the largest resident
# set of the whole program.
#
# Operations (L layers, C channels, V vocabulary; T inputs in a row, A of them scored; model_flops):
#   a layer of a token             b = 24 C^2 + 2 C (T + 1), of which in the last layer a token
#                                  that is not scored has only 6 C^2 (queries, keys, values)
#   a scored token's logits        h = 2 V C
#   one forward pass               T ((L - 1) b + 6 C^2) + A (b - 6 C^2 + h)
#   training                       three times that
#   a score                        the candidate's pass without context, and one whose row has k
#                                  demonstrations more
# Bytes (P parameters, H heads; N tokens computed at once; floats of 4 bytes):
#   training 16 P: weights, gradient, m, v; scoring 4 P, and 8 P while the file is read
#   activations of a token, training       4 (L (10 C + 2 H + 4) + 17 C + 2) + 44
#                           --recompute    4 (26 C + L C + 2 H + 6) + 44     less if L > 1
#                           scoring        4 (16 C + 2 H + 6) + 44
#   logits, training               4 V x min(N, max(64, 2^25 / V))
#   logits, scoring                4 x min(N, 512) x min(V, 512)
#   attention's scratch            4 W (7 C / H + 128) a thread, W = the model's context in whole
#                                  sixteens, and sixteen more
#   a prefix's cached position     8 L C
#   N: training, the rows of a batch that have no more than 4096 tokens together; scoring, 2048 or
#   one longer row.
#
# The status is 1 if what the program prints of itself (activation_bytes, flops) is not what the
# formulas say.
set -eu
cd "$(dirname "$0")/../.."
TOOL=build/float/tests/bench/scale_tool
if ! [ -x ./ica ] || ! [ -x $TOOL ]; then
    echo "scale: run it by make scale, which builds ./ica and $TOOL" >&2
    exit 1
fi
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-passive}"
LC_ALL=C
export LC_ALL
ROUNDS=${ROUNDS:-3}
HOLDOUT=1000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# COUNT LENGTH VOCABULARY SEED: records of random tokens on stdout; the first half of each is its
# prompt
records() {
    awk -v n="$1" -v length_of="$2" -v v="$3" -v seed="$4" 'BEGIN {
        srand(seed)
        for (i = 0; i < n; i++) {
            ids = labels = ""
            for (t = 0; t < length_of; t++) {
                id = int(v * rand())
                ids = ids (t ? "," : "") id
                labels = labels (t ? "," : "") (t < length_of / 2 ? -100 : id)
            }
            print "{\"input_ids\":[" ids "],\"labels\":[" labels "]}"
        }
    }'
}

# measured FILE COMMAND...: runs it; its output stays in $work/out, seconds and bytes in FILE
measured() {
    file=$1
    shift
    $TOOL run "$file" "$@" >"$work/out" 2>"$work/err" ||
        { echo "scale: $* failed: $(tail -n 1 "$work/err")" >&2; exit 1; }
}
value() { sed -n "s/.*\"$1\":\([-0-9.e+]*\).*/\1/p"; }
# What the tables are made of, a line a run: NAME VALUE WHAT SECONDS PEAK PRINTED L H C V LENGTH K N
# BATCH CONTEXT. PRINTED is what the program itself says: training, the bytes of its activations;
# scoring, the operations counted.
note() { echo "$1 $2 $3 $4 $5 $6 $L $H $C $V $T $K $N $B $context" >>"$work/runs"; }

train() { # NAME VALUE WHAT OPTIONS...: one epoch
    name=$1 at=$2 what=$3
    shift 3
    measured "$work/took" ./ica train --model "$model" --pool "$work/pool.jsonl" \
        --out "$work/run" --overwrite \
        --num-train-epochs 1 \
        --batch-size "$B" --logging-steps 1 "$@"
    seconds=$(value tokens_per_second <"$work/run/log.jsonl" |
        awk -v tokens="$((N * (T - 1)))" '$1 > most { most = $1 } END { print tokens / most }')
    note "$name" "$at" "$what" "$seconds" "$(cut -d ' ' -f 2 "$work/took")" \
        "$(value activation_bytes <"$work/run/run.json")"
    rm -rf "$work/run"
}

score() { # NAME VALUE WHAT OPTIONS...
    name=$1 at=$2 what=$3
    shift 3
    measured "$work/took" ./ica score --model "$model" --pool "$work/pool.jsonl" \
        --holdout "$work/holdout.jsonl" --k "$K" \
        --out "$work/scores.jsonl" --json "$@"
    note "$name" "$at" "$what" "$(value seconds <"$work/out")" "$(cut -d ' ' -f 2 "$work/took")" \
        "$(value flops <"$work/out")"
}

# Model and data of L H C V T K N, with a context for the longest row, or as given. The holdout is
# so large that hardly two candidates begin with the same random example.
prepare() {
    model=$work/model context=${1:-$((T * (K + 1)))}
    rm -rf "$model"
    $TOOL model "$L" "$H" "$C" "$context" "$V" "$model"
    records "$N" "$T" "$V" 1 >"$work/pool.jsonl"
    records "$HOLDOUT" "$T" "$V" 2 >"$work/holdout.jsonl"
}

# The formulas, for lines of note: what the comment at the top says. Used by the tables of both
# parts.
# shellcheck disable=SC2016
FORMULAS='
function least(a, b) { return a < b ? a : b }
function most(a, b) { return a > b ? a : b }
function read_point() { L = $7; H = $8; C = $9; V = $10; T = $11; k = $12; n = $13; B = $14;
    context = $15 }
function parameters() { return (V + context) * C + L * (12 * C * C + 13 * C) + 2 * C }
function layer(inputs) { return 24 * C * C + 2 * C * (inputs + 1) }
function forward(inputs, scored) {
    last = 6 * C * C
    return inputs * ((L - 1) * layer(inputs) + last) + scored * (layer(inputs) - last + 2 * V * C)
}
# a row of T tokens has T - 1 inputs; its answer is the second half
function operations(what) {
    if (what != "score") return 3 * n * forward(T - 1, T - int((T + 1) / 2))
    return n * (forward(T - 1, T - int((T + 1) / 2)) + forward((k + 1) * T - 1,
        T - int((T + 1) / 2)))
}
function at_once(what) {
    if (what == "score") return most(least(n * ((k + 1) * T), 2048), (k + 1) * T)
    return least(least(n, B), most(1, int(4096 / T))) * (T - 1)
}
function activations(what,   N, token, logits, W) {
    N = at_once(what)
    token = L * (10 * C + 2 * H + 4) + 17 * C + 2
    if (what == "recompute") token = 26 * C + L * C + 2 * H + 6
    if (what == "score") token = 16 * C + 2 * H + 6
    logits = what == "score" ? least(N, 512) * least(V, 512) : V * least(N, most(64,
        int(2 ^ 25 / V)))
    W = int((context + 15) / 16) * 16 + 16
    return N * (4 * token + 44) + 4 * logits + threads * 4 * W * (7 * C / H + 128)
}
function peak(what) {
    if (what != "score") return program + 16 * parameters() + activations(what)
    return program + most(8 * parameters(),
        4 * parameters() + activations(what) + 8 * L * C * cached())
}
# Positions cached for random demonstrations: the first ones that several candidates have drawn, by
# expectation; a window at most.
function cached(   q) {
    if (k == 0) return 0
    q = 1 - 1 / holdout
    return least(2048 + T, T * holdout * (1 - q ^ n - n / holdout * q ^ (n - 1)))
}'

# The program without a model: its own code and libraries.
program_bytes() {
    measured "$work/took" ./ica --version
    cut -d ' ' -f 2 "$work/took"
}

# ---- one factor at a time ----

# One table for WHAT = train, recompute or score, over all points.
table() {
    awk -v what="$1" -v threads="$threads" -v holdout=$HOLDOUT -v program="$(program_bytes)" \
        "$FORMULAS"'
        $3 != what { next }
        {
            point = $1 " | " $2
            if (!(point in seconds)) { order[++points] = point; seconds[point] = $4;
                bytes[point] = $5; line[point] = $0 }
            seconds[point] = least(seconds[point], $4)
            bytes[point] = most(bytes[point], $5)
        }
        END {
            # the middle comes first: its rate is what the others are held against
            $0 = line[order[1]]
            read_point()
            rate = operations(what) / seconds[order[1]]
            for (i = 1; i <= points; i++) {
                point = order[i]
                $0 = line[point]
                read_point()
                # what the program says of itself: activations to the byte but for padding;
                # operations less what chance let it share
                off = $6 / (what == "score" ? operations(what) : activations(what))
                wrong += off > 1.005 || off < (what == "score" ? 0.9 : 0.995)
                counted = what == "score" ? sprintf(" %.1f |", $6 / 1e9) : sprintf(" %.2f |",
                    $6 / activations(what))
                printf "| %s | %.2f | %.1f |%s %.0f | %.2f | %.0f | %.0f | %.2f |\n", point,
                    seconds[point],
                    operations(what) / 1e9, counted, operations(what) / seconds[point] / 1e9,
                    seconds[point] / (operations(what) / rate), bytes[point] / 1e6,
                    peak(what) / 1e6, bytes[point] / peak(what)
            }
            if (!wrong) exit 0
            print "scale: " wrong " points where the program counts otherwise than the formula" \
                >"/dev/stderr"
            exit 1
        }' "$work/runs"
}

# NAME VALUE: measures the point that the variables describe
point() {
    prepare
    train "$1" "$2" train --threads "$threads"
    train "$1" "$2" recompute --recompute --threads "$threads"
    score "$1" "$2" score --demos random --threads "$threads"
}
middle() { L=4 H=4 C=256 V=8192 T=64 K=3 N=128 B=16; }


# FACTOR: its points, beside the middle
vary() {
    middle
    case $1 in
    pool) for N in 64 256 512; do point pool $N; done ;;
    length) for T in 32 128 256; do point length $T; done ;;
    k) for K in 0 1 7; do point k $K; done ;;
    channels) for C in 64 128 512; do H=$((C / 64)) && point channels $C; done ;;
    layers) for L in 1 2 8; do point layers $L; done ;;
    vocabulary) for V in 512 32768; do point vocabulary $V; done ;;
    esac
}

grow() { # FACTOR...
    threads=${THREADS:-1}
    : >"$work/runs"
    round=0
    while [ "$round" -lt "$ROUNDS" ]; do
        round=$((round + 1))
        middle
        point middle -
        for factor in "$@"; do vary "$factor"; done
    done
    middle
    echo "One factor at a time around $L layers, $H heads, $C channels, vocabulary $V," \
        "examples of $T tokens (half of them answer),"
    echo "k = $K, a pool of $N, batches of $B; threads: $threads; the least of $ROUNDS runs."
    echo "x: seconds over what the operations would take at the middle's GFLOP/s;" \
        "ratio: peak memory over its formula."
    for what in train recompute score; do
        case $what in
        train) title="Training, one epoch" head="activations: printed / formula" ;;
        recompute) title="Training, one epoch, --recompute" head="activations: printed / formula" ;;
        score) title="Scoring the pool, random demonstrations" head="GFLOP counted by the program" \
            ;;
        esac
        printf '\n**%s**\n\n' "$title"
        echo "| factor | value | seconds | GFLOP | $head | GFLOP/s | x |" \
            "peak MB | formula MB | ratio |"
        echo "|---|---|---|---|---|---|---|---|---|---|"
        table $what
    done
}

# ---- GPT-2 124M ----

# Lines of note into hours: EXAMPLES of T tokens, R scorings and one epoch.
hours() {
    awk -v threads="$threads" -v holdout=$HOLDOUT -v program="$(program_bytes)" "$FORMULAS"'
        {
            read_point()
            per[$3] = $4 / n
            what = $3 == "train" || $3 == "recompute" ? $3 : "score"
            ops = $3 == "fixed" ? $6 : operations(what)
            tokens = what == "score" ? n * (T - 1 + (k + 1) * T - 1) : n * (T - 1)
            printf "| %s | %d x %d | %.1f | %.0f | %.2f | %.0f | %.0f | %.0f | %.2f |\n", $2, n, T,
                $4, tokens / $4, n / $4,
                ops / $4 / 1e9, $5 / 1e6, peak(what) / 1e6, $5 / peak(what)
        }
        END {
            examples = 10000
            printf "\n| %d examples of %d tokens, one epoch | no scores | R = 1 | R = 3 |\n",
                examples, T
            printf "|---|---|---|---|\n"
            split("train recompute", way, " ")
            split("score fixed", lists, " ")
            title["score"] = "own lists"
            title["fixed"] = "one list"
            for (w = 1; w <= 2; w++)
                for (l = 1; l <= 2; l++) {
                    t = examples * per[way[w]] / 3600
                    one = examples * per[lists[l]] / 3600
                    printf "| hours%s, %s | %.1f | %.1f | %.1f |\n", w == 2 ? ", --recompute" : "",
                        title[lists[l]], t, t + one,
                        t + 3 * one
                }
        }' "$work/runs"
}

gpt2() {
    threads=${THREADS:-$(getconf _NPROCESSORS_ONLN)}
    L=12 H=12 C=768 V=50257 T=128 K=3 N=96 B=32
    : >"$work/runs"
    prepare 1024
    train gpt2 training train --threads "$threads"
    train gpt2 training,--recompute recompute --recompute --threads "$threads"
    N=16 # no more are needed: the cost of a candidate does not depend on the others here
    head -n $N "$work/pool.jsonl" >"$work/few.jsonl" && mv "$work/few.jsonl" "$work/pool.jsonl"
    score gpt2 scoring,own-lists score --demos random --threads "$threads"
    score gpt2 scoring,one-list fixed --demos fixed --threads "$threads"
    echo
    echo "GPT-2's shape (124M): $L layers, $H heads, $C channels, context $context," \
        "vocabulary $V, random weights;"
    echo "examples of $T tokens (half of them answer), k = $K, batches of $B;" \
        "threads: $threads. Training: the quickest of three"
    echo "steps; scoring: $N candidates, each with its own list of demonstrations, or all" \
        "with one. The hours are"
    echo "extrapolated from these."
    printf '\n| what | examples | seconds | tokens/s | examples/s | GFLOP/s |'
    printf ' peak MB | formula MB | ratio |\n'
    printf '|---|---|---|---|---|---|---|---|---|\n'
    hours
}

[ $# -gt 0 ] || set -- pool length k channels layers vocabulary gpt2
factors='' shape=''
for part in "$@"; do
    case $part in
    pool | length | k | channels | layers | vocabulary) factors="$factors $part" ;;
    gpt2) shape=gpt2 ;;
    *)
        echo "usage: tests/bench/scale.sh" \
            "[pool] [length] [k] [channels] [layers] [vocabulary] [gpt2]" >&2
        exit 2 ;;
    esac
done
# shellcheck disable=SC2086
[ -z "$factors" ] || grow $factors
[ -z "$shape" ] || gpt2
