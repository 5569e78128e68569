# What the studies on text share, gsm8k.sh and stories.sh: each reads this with `.`. Between the
# steps text is lines "SOURCE<TAB>prompt<TAB>completion", quoted as in JSON.
# shellcheck shell=sh
here=$(cd "$(dirname "$0")/.." && pwd)

# Lines in an order shuffled by seed $1. The generator is written out, because rand differs from
# awk to awk.
shuffled() {
    awk -v seed="$1" 'BEGIN { x = seed * 7919 + 17 }
        { x = (x * 16807) % 2147483647; printf "%010d\t%s\n", x, $0 }' | sort | cut -f2-
}

of() { sed "s/^/$1	/"; } # SOURCE: puts it before lines "prompt<TAB>completion"

# CLEAN [NAME]: records, of which those of the source CLEAN are clean. An id has NAME, or else the
# source, and the number of the line.
records() {
    awk -F '\t' -v clean="$1" -v name="${2:-}" '{
        printf "{\"id\":\"%s-%d\",", name == "" ? $1 : name, NR
        printf "\"prompt\":\"%s\",\"completion\":\"%s\",", $2, $3
        printf "\"clean\":%s,\"source\":\"%s\"}\n", $1 == clean ? "true" : "false", $1 }'
}

# Conversations, of which each has four lines and the source of the last
sessions() {
    awk -F '\t' '{
        row = row (row == "" ? "" : ",") "{\"role\":\"user\",\"content\":\"" $2 "\"},"
        row = row "{\"role\":\"assistant\",\"content\":\"" $3 "\"}"
        if (NR % 4 == 0) { print "{\"messages\":[" row "],\"source\":\"" $1 "\"}"; row = "" }
    }'
}

build() { make -s -C "$here" ica; }

# VARIABLE TABLES OUT: these tables of the study. Its variable says where OUT is.
study() {
    build
    OUT=$(cd "$3" && pwd)
    export OUT "$1=$OUT"
    ONLY=${ONLY:-$2} sh "$here/tests/bench/study.sh"
}
