#!/bin/sh
# Two builds in turn: training steps by `ica bench --only step` of an older program and of ./ica.
# `make bench-turns OLD=PROGRAM`; CONFIGS="E C A B", THREADS=1, ROUNDS=7 from the environment.
# Prints for each part of a step the medians of both in milliseconds, and the median of old over
# new, with the lowest and the highest; above 1 the new one is faster.
set -eu
cd "$(dirname "$0")/../.."
CONFIGS=${CONFIGS:-E C A B}
THREADS=${THREADS:-1}
ROUNDS=${ROUNDS:-7}
die() {
    echo "bench-turns: $*" >&2
    exit 2
}
[ -f "${OLD:-}" ] && [ -x "$OLD" ] || die "OLD=PROGRAM names the older ./ica; '${OLD:-}' is none"
case $ROUNDS in '' | 0* | *[!0-9]*) die "ROUNDS=$ROUNDS: write a number from 1" ;; esac
case $OLD in */*) ;; *) OLD=./$OLD ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# PROGRAM CONFIG: its step with THREADS, as lines PART MILLISECONDS in $work/step. Older programs
# print them on stderr.
step() {
    "$1" bench --only step --config "$2" --threads "$THREADS" >"$work/told" 2>&1 &&
        awk -v config="$2" -v threads="$THREADS" '
            $1 == config && $3 ~ /^thread/ {
                ours = $2 == threads
                if (ours) print "step", $4
                next
            }
            ours { for (i = 1; i < NF; i += 2) print $i, $(i + 1); ours = 0 }' \
            "$work/told" >"$work/step" && [ -s "$work/step" ] || {
        cat "$work/told" >&2
        die "$1 bench: has no step of $2 with $THREADS thread(s)"
    }
}

for config in $CONFIGS; do
    echo "== $config, $THREADS thread(s), milliseconds, $ROUNDS rounds"
    : >"$work/all"
    for round in $(seq "$ROUNDS"); do
        for build in old new; do
            program=$OLD
            [ $build = old ] || program=./ica
            step "$program" "$config"
            sed "s/^/$round $build /" "$work/step" >>"$work/all"
        done
    done
    awk '
        function middle(v, n,   i, j, t) {
            for (i = 2; i <= n; i++)
                for (j = i; j > 1 && v[j - 1] > v[j]; j--) {
                    t = v[j]; v[j] = v[j - 1]; v[j - 1] = t
                }
            least = v[1]; most = v[n]
            return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
        }
        { ms[$1, $2, $3] = $4; rounds = $1; if (!($3 in known)) { known[$3]; part[++parts] = $3 } }
        END {
            for (p = 1; p <= parts; p++) {
                name = part[p]; n = 0
                for (r = 1; r <= rounds; r++) {
                    a[r] = ms[r, "old", name]; b[r] = ms[r, "new", name]
                    if (b[r] > 0) ratio[++n] = a[r] / b[r]
                }
                x = middle(a, rounds); range = sprintf("(%.1f to %.1f)", least, most)
                y = middle(b, rounds); other = sprintf("(%.1f to %.1f)", least, most)
                printf "%-14s %8.1f %-20s %8.1f %-20s", name, x, range, y, other
                if (n > 0) { z = middle(ratio, n); printf "  %.2f (%.2f to %.2f)", z, least, most }
                print ""
            }
        }' "$work/all"
done
