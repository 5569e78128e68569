#!/bin/sh
# What README and docs tell people to type. Each option that a page names is one of the program's;
# beside a command, as in `ica eval --k 3`, one of that command's. Each target of make and each file
# of the sources that is named is there. And the blocks of README and docs/commands.md that need
# nothing but a model and records are run as they stand, on a tiny world: status 0, and each file
# that a command line names with --out is made. docs/tutorial.md and docs/cluster.md have tests of
# their own (make tutorial, make judge-cluster).
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
PAGES="README.md docs/tutorial.md docs/exercises.md docs/cluster.md docs/commands.md
docs/formats.md docs/CONTRIBUTING.md docs/reliability.md docs/security.md docs/speed.md
docs/results.md docs/derivation.md docs/trl/README.md data/README.md"

# code PAGE: one line for each piece of code: a line of a block, with the lines that continue it,
# and what stands between two backticks, over the end of a line too. "block" or "span" comes first.
code() {
    awk '
        function flush(   n, part, i) {
            n = split(prose, part, "`")
            for (i = 2; i <= n; i += 2) { gsub(/[ \t]+/, " ", part[i]); print "span " part[i] }
            prose = ""
        }
        /^```/ { flush(); fenced = !fenced; next }
        fenced || (/^    / && !paragraph) || held {
            flush()
            sub(/^[$>] /, ""); sub(/^ +[$>] /, "")
            line = held $0
            if (sub(/\\$/, "", line)) { held = line; next }
            held = ""
            print "block " line
            next
        }
        /^$/ { flush(); paragraph = 0; next }
        /^\|/ { flush(); prose = $0; flush(); next }
        { paragraph = 1; prose = prose " " $0 }
        END { flush() }' "$1"
}

# What each command takes, "command --name", and how --no-name is spelled.
for command in $(./ica --help | awk '/^commands:/ { on = 1; next } on && /^$/ { exit }
    on { print $1 }'); do
    echo "$command --help"
    ./ica "$command" --help | awk -v command="$command" '
        /^  --/ {
            if (sub(/\[no-\]/, "", $1)) print command, "--no-" substr($1, 3)
            print command, $1
        }'
done >"$work/takes"
# Options of programs beside ica: of itself without a command, make, git, gcc, parallel, scripts.
OTHERS="--name --no-name --version --manual --completion --logdir --sshlogin --halt --dependency
--array --cpus-per-task --time --write --figures"

# unknown PAGE: the options in it that nothing takes
unknown() {
    code "$1" | awk -v page="$1" -v others="$OTHERS" '
        FILENAME != "-" { takes[$1, $2] = 1; any[$2] = 1; is_command[$1] = 1; next }
        FNR == 1 { n = split(others, other); for (i = 1; i <= n; i++) any[other[i]] = 1 }
        {
            gsub(/[|;&()"\047,.]+( |$)/, " | ")
            gsub(/--[a-z]+[a-z0-9_-]*=/, "& ")
            command = ""
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^[|]/ || $i ~ /^[<>]/) command = ""
                if ($i ~ /(^|\/)ica$/ && $(i + 1) in is_command) command = $(i + 1)
                # In prose a command stands without the program: `train --resume RUN`.
                if (i == 2 && $1 == "span" && $2 in is_command) command = $2
                name = $i
                sub(/=$/, "", name)
                if (name !~ /^--[a-z]/) continue
                if (command != "" && !((command, name) in takes) && index(name, "--no-") != 1)
                    print "pages: " page ": " command " has no " name
                else if (!(name in any))
                    print "pages: " page ": nothing has " name
            }
        }' "$work/takes" -
}

# missing PAGE: targets of make and files of the sources that it names and that are not there
missing() {
    code "$1" | awk '{
        for (i = 2; i < NF; i++)
            if ($i == "make" && $(i + 1) ~ /^[a-z][a-z-]*$/) print $(i + 1)
    }' | sort -u | while read -r target; do
        grep -qE "^([a-z-]+ )*$target( [a-z-]+)*:" Makefile ||
            echo "pages: $1: no target of make: $target"
    done
    path='^[a-z_]+(/[a-z0-9_.-]+)+[.](c|h|sh|md|py|awk)$'
    code "$1" | tr ' ' '\n' | grep -E "$path" | sort -u |
        while read -r file; do
            [ -e "$file" ] || [ -e "$(dirname "$1")/$file" ] || [ "${file#out/}" != "$file" ] ||
                echo "pages: $1: no such file: $file"
        done
}

for page in $PAGES; do
    { unknown "$page"; missing "$page"; } >"$work/found"
    cat "$work/found"
    n=$(wc -l <"$work/found")
    passed=$((passed + 1)) failed=$((failed + n))
    code "$page" | grep -o -e ' --[a-z]' | wc -l >>"$work/count"
done
named=$(awk '{ n += $1 } END { print n + 0 }' "$work/count")
[ "$named" -gt 300 ] || fail "only $named options were found on the pages"

# The script itself: defects that it must see.
defect() { # TEXT LINE
    printf '%b\n' "$1" >"$work/broken.md"
    { unknown "$work/broken.md"; missing "$work/broken.md"; } >"$work/found"
    if grep -q -- "$2" "$work/found"; then pass; else fail "self-test: '$1' does not give '$2'"; fi
}
defect 'text `ica eval --refresh 2` text' 'eval has no --refresh'
defect 'text `eval\n--refresh 2` text' 'eval has no --refresh'
defect '```\n$ ./ica score --model m \\\n>     --patience 3 | head\n```' 'score has no --patience'
defect 'text\n\n    ./ica score --model m --patience=3' 'score has no --patience'
defect '| `--no-such` | x |' 'nothing has --no-such'
defect 'say `make nothing` now' 'no target of make: nothing'
defect 'read `lib/nothing.h`' 'no such file: lib/nothing.h'

# ---- the blocks are run ----

cd "$work" || exit 1
ica corpus --out corpus --seed 1
head -n 200 corpus/pretrain.jsonl >sessions
ica tokenizer --data sessions --vocab-size 300 --out tok
ica pretrain --data sessions --tokenizer tok --layers 1 --heads 2 --channels 16 --max-steps 60 \
    --out base

# world FOLDER: what the pages take for given
world() {
    mkdir "$1"
    ln -s "$ICA" "$1/ica"
    cp -R base "$1/RUN"
    head -n 40 corpus/pool-even50.jsonl >"$1/my.jsonl"
    head -n 20 "$1/my.jsonl" >"$1/a.jsonl"
    tail -n 20 "$1/my.jsonl" >"$1/b.jsonl"
    head -n 12 corpus/holdout.jsonl >"$1/trusted.jsonl"
    head -n 12 corpus/test.jsonl >"$1/test.jsonl"
    mkdir -p "$1/out/quick/runs/even50/ica:filter"
    cp -R base "$1/out/quick/base"
    cp -R base "$1/out/quick/runs/even50/ica:filter/1"
}

# blocks PAGE: a script of its blocks that call ./ica, without those that build, install, or make
# the world; each command line is told before it runs
blocks() {
    awk '
        function flush() {
            if (text ~ /[.]\/ica / && text !~ /(^|\n)([.]\/run[.]sh|make|seq|python|== )/)
                printf "%s", text
            text = ""
        }
        /^```/ { flush(); fenced = !fenced; next }
        fenced || (/^    / && (blank || indented)) {
            indented = !fenced
            if (fenced && (/^\$ / || prompted)) {
                prompted = 1
                if (sub(/^[$>] /, "")) text = text $0 "\n"
            } else text = text $0 "\n"
            blank = 0
            next
        }
        { if (indented) flush(); indented = prompted = 0; blank = /^$/ }
        END { flush() }' "$1"
}

for page in README.md docs/commands.md; do
    world=world-$(basename "$page" .md)
    world "$world"
    blocks "$root/$page" | sed 's/^    \([.c]\)/\1/' | grep -v 'ica COMMAND' >"$world/script"
    lines=$(grep -c '[.]/ica ' "$world/script")
    check "$page has commands" test "$lines" -ge 6
    (cd "$world" && sh -e script) >"$keep/out" 2>"$keep/err" </dev/null
    is "the commands of $page" "$?" 0
    grep -oE -e '--out [A-Za-z0-9.-]+' "$world/script" | sort -u >"$keep/outs"
    while read -r _ file; do check "$page: --out $file" test -e "$world/$file"; done <"$keep/outs"
    check "$page: files are written" test "$(wc -l <"$keep/outs")" -ge 3
done

finish pages
