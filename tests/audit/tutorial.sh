#!/bin/sh
# docs/tutorial.md: runs each of its commands in order and compares what they print with what the
# page says, except for seconds. `make tutorial`. It works in out/ as a reader would.
#
#   sh tests/audit/tutorial.sh [--write] [PAGE]     --write puts the present output into the page
#
# A block that begins with ```console has commands after "$ ", continued after "> ", and below each
# the lines that it prints.
cd "$(dirname "$0")/../.." || exit 1
write=
[ "${1:-}" != --write ] || { write=1; shift; }
page=${1:-docs/tutorial.md}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# The commands as one script, which marks where the output of each begins.
awk '
    /^```console$/ { on = 1; next }
    /^```$/ { on = 0 }
    on && /^\$ / { if (n) print ""; printf "echo \"@@%d\"\n", ++n; print substr($0, 3) }
    on && /^> / { print substr($0, 3) }' "$page" >"$work/script"
commands=$(grep -c '^echo "@@' "$work/script")
LC_ALL=C sh "$work/script" >"$work/out" 2>&1 </dev/null

# The page with this output.
awk -v out="$work/out" '
    BEGIN {
        while ((getline line <out) > 0)
            if (line ~ /^@@[0-9]+$/) n = substr(line, 3)
            else text[n] = text[n] line "\n"
    }
    function flush() { if (at) printf "%s", text[at]; at = 0 }
    /^```console$/ { on = 1; print; next }
    /^```$/ { flush(); on = 0 }
    on && /^\$ / { flush(); at = ++count; print; next }
    on && /^> / { print; next }
    on { next }
    { print }' "$page" >"$work/page"

# What differs from run to run.
plain() {
    sed -E 's/[0-9.]+ (s|seconds|tokens\/s|GFLOP\/s)([^a-z]|$)/N \1\2/g
        s/(seconds[a-z_ ]*) +[0-9.e-]+/\1 N/; s/"([a-z_]*seconds)":[0-9.e-]+/"\1":N/g' "$1"
}
if [ "$write" ]; then
    cp "$work/page" "$page"
    echo "tutorial: $page has the output of $commands commands"
    exit
fi
plain "$page" >"$work/said"
plain "$work/page" >"$work/found"
if diff "$work/said" "$work/found"; then echo "tutorial: $commands passed, 0 failed"
else
    echo "tutorial: FAILED: < is what $page says, > what the commands print"
    exit 1
fi
