#!/bin/sh
# Pools larger than memory (`make large`, some minutes): `ica score` and `ica eval` of 1, 3 and 10
# tenths of LARGE (1,000,000) records. Prints the time and the largest resident set, and what a
# further record takes. That may be BYTES (96) at most, whatever its text: the same number of long
# records must not take more. If each record tells a source of its own, the names are held too:
# SOURCES (256) bytes at most.
# From the environment: LARGE; BYTES; SOURCES; ONLY, the names of what is measured.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
LARGE=${LARGE:-1000000}
BYTES=${BYTES:-96}
SOURCES=${SOURCES:-256}
TOOL=$root/build/float/tests/bench/scale_tool
cd "$work" || exit 1

head -c 0 /dev/null >holdout.jsonl
for i in 1 2 3 4; do echo "{\"input_ids\":[$i,2,3,5]}" >>holdout.jsonl; done
"$TOOL" model 1 1 8 32 64 base || fail "model"

# pool RECORDS WORDS SOURCES: short records, or long ones with a key that is not read
pool() {
    awk -v n="$1" -v words="$2" -v sources="$3" 'BEGIN {
        for (i = 0; i < words; i++) text = text "word "
        for (i = 0; i < n; i++) printf(\
            "{\"input_ids\":[%d,%d,%d,%d],\"clean\":%s,\"source\":\"s%d\",\"topic\":\"%s\"}\n",
            10 + i % 50, 10 + int(i / 50) % 50, 10 + int(i / 2500) % 50, 10 + int(i / 125000) % 50,
            i % 2 ? "true" : "false", i % sources, text)
    }' >"pool-$1-$2-$3.jsonl"
}

# given NAME POOL
given() {
    case $1 in
    loss | sources) echo "score --model base --method loss --pool $2 --out out" ;;
    ica) echo "score --model base --k 1 --holdout holdout.jsonl --pool $2 --out out" ;;
    accept)
        echo "score --model base --k 1 --weight-map accept --holdout holdout.jsonl --pool $2" \
            "--out out" ;;
    eval) echo "eval --model base --data $2 --per-example out" ;;
    esac
}

# measure NAME RECORDS WORDS SOURCES: a line "NAME RECORDS WORDS SECONDS BYTES"
measure() {
    rm -f out out.*
    # shellcheck disable=SC2046
    "$TOOL" run took "$ICA" $(given "$1" "pool-$2-$3-$4.jsonl") >"$keep/out" 2>"$keep/err" ||
        fail "$1 of $2 records"
    [ "$(wc -l <out)" -eq "$2" ] || fail "$1 of $2 records: $(wc -l <out) lines"
    echo "$1 $2 $3 $(cat took)"
}

tenth=$((LARGE / 10)) third=$((3 * LARGE / 10))
for name in ${ONLY:-loss sources ica accept eval}; do
    sources=7 most=$BYTES
    [ "$name" != sources ] || sources=$LARGE most=$SOURCES
    for records in $tenth $third $LARGE; do
        [ -f pool-$records-0-$sources.jsonl ] || pool $records 0 $sources
        measure "$name" $records 0 $sources >>took-"$name"
    done
    [ -f pool-$tenth-200-$sources.jsonl ] || pool $tenth 200 $sources
    measure "$name" $tenth 200 $sources >>took-"$name"
    awk -v name="$name" -v most="$most" '
        { printf "%-7s %8d records with %3d words: %6.1f s, %6.1f MB\n", $1, $2, $3, $4, $5 / 1e6
          n[NR] = $2; bytes[NR] = $5 }
        END { each = (bytes[3] - bytes[2]) / (n[3] - n[2])
              printf "%s: %.0f bytes for a further record; 200 more words in each take %.1f MB\n",
                  name, each, (bytes[4] - bytes[1]) / 1e6
              exit each > most || bytes[4] > bytes[1] + 8e6 }' "took-$name"
    is "$name: at most $most bytes a record" $? 0
done
finish large
