#!/bin/sh
# docs/commands.md against the program: every option of every command is in a table there, with the
# default and the range that `ica COMMAND --help` prints, and nothing else is. Each value of a
# choice (a method, a map) is named there too: in its option's row, or in the first column of a
# table. And the program reads the field that an option is stored in.
#
# A table of options begins with the row "| option | of | default | range | meaning |". The second
# column lists the commands. The third is empty, a default, or "needed".
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
DOC=docs/commands.md

# One line for each option of each command: "command --name default range".
helped() {
    ./ica --help | awk '/^commands:/ { on = 1; next } on && /^$/ { exit } on { print $1 }' |
        while read -r command; do
            ./ica "$command" --help | awk -v command="$command" '
                function put(   at, range, value) {
                    if (name == "") return
                    sub(/\[no-\]/, "", name)
                    value = needed ? "needed" : ""
                    range = ""
                    if (match(text, /default [^() ]*[)]$/)) {
                        value = substr(text, RSTART + 8, RLENGTH - 9)
                        text = substr(text, 1, RSTART - 1)
                    }
                    while ((at = index(text, "("))) text = substr(text, at + 1)
                    if (match(text, /^(-?[0-9][^ ]* to [0-9][^ ;)]*|above 0, at most [0-9]+)/))
                        range = substr(text, 1, RLENGTH)
                    printf "%s %s [%s] [%s]\n", command, name, value, range
                    name = ""
                }
                /^needed:/ { put(); needed = 1; next }
                /^options[:,]/ { put(); needed = 0; next }
                /^  --/ { put(); name = $1; text = $0; next }
                # The values of a choice are listed below its default.
                /^    / && text !~ /default [^() ]*[)]$/ { sub(/^ +/, ""); text = text " " $0 }
                END { put() }'
        done | sort
}

# The same of the document.
documented() {
    awk '
        /^\|/ {
            split($0, cell, /[ ]*\|[ ]*/)
            if (cell[2] == "option") { on = 1; next }
            if (!on || cell[2] !~ /^`--/) next
            gsub(/`/, "", cell[2])
            n = split(cell[3], command, " ")
            for (i = 1; i <= n; i++)
                printf "%s %s [%s] [%s]\n", command[i], cell[2], cell[4], cell[5]
            next
        }
        { on = 0 }' "$1" | sort
}

# One line for each value of each choice: "--name value". Below an option, --help sets the values
# two columns to the right of the text.
chosen() {
    ./ica --help | awk '/^commands:/ { on = 1; next } on && /^$/ { exit } on { print $1 }' |
        while read -r command; do
            ./ica "$command" --help | awk '
                /^  --/ {
                    name = $1
                    sub(/\[no-\]/, "", name)
                    if (match($0, /[^ ]  +[^ ]/)) text = RSTART + RLENGTH - 1
                    next
                }
                match($0, /[^ ]/) && RSTART == text + 2 { print name, $1 }'
        done | sort -u
}

# unnamed DOCUMENT: the values of chosen() that it does not name
unnamed() {
    awk '
        function has(text, word) { return match(text, "(^|[^a-z0-9_-])" word "([^a-z0-9_-]|$)") }
        FILENAME == ARGV[1] && /^\|/ {
            split($0, cell, /[ ]*\|[ ]*/)
            first[cell[2]] = 1
            gsub(/`/, "", cell[2])
            row[cell[2]] = row[cell[2]] $0
        }
        FILENAME == ARGV[2] && !($2 in first) && !has(row[$1], $2) {
            print "commands: no row names the value: " $0
        }' "$1" "$work/chosen"
}

# wrong_examples: the examples of --help with an option that the command does not have
wrong_examples() {
    ./ica --help | awk '/^commands:/ { on = 1; next } on && /^$/ { exit } on { print $1 }' |
        while read -r command; do
            ./ica "$command" --help | awk -v command="$command" '
                /^examples:/ { on = 1; next }
                !on && /^  --/ { sub(/\[no-\]/, "", $1); known[$1] = 1 }
                on {
                    if ($2 != command) print "commands: an example of another command: " $0
                    for (i = 3; i <= NF; i++) {
                        name = $i
                        sub(/^--no-/, "--", name)
                        if (name ~ /^--/ && !(name in known))
                            print "commands: " command " has no " $i ", which its example takes"
                    }
                    if (length($0) > 100) print "commands: too long: " $0
                }'
        done
}

# unread TABLE: the fields of its rows that nothing in program/ reads
unread() {
    grep -v '^#' "$1" | grep -o ' AT([a-z_0-9]*)' | sed 's/ AT(\(.*\))/\1/' | sort -u |
        while read -r field; do
            grep -qE "[^a-z_]s(->|[.])$field([^a-z_0-9]|\$)" program/*.c program/report/*.c ||
                echo "commands: $1: nothing reads s->$field"
        done
}

# compare DOCUMENT: the lines that one has and the other has not
compare() {
    documented "$1" >"$work/said"
    comm -23 "$work/helped" "$work/said" | sed "s,^,commands: not in $DOC: ,"
    comm -13 "$work/helped" "$work/said" | sed "s,^,commands: in $DOC alone: ,"
}

helped >"$work/helped"
chosen >"$work/chosen"
compare $DOC >"$work/differ"
unnamed $DOC >>"$work/differ"
unread program/settings.c >>"$work/differ"
wrong_examples >>"$work/differ"
cat "$work/differ"
failed=$((failed + $(wc -l <"$work/differ")))
passed=$((passed + $(comm -12 "$work/helped" "$work/said" | wc -l)))
[ "$passed" -gt 100 ] && [ "$(wc -l <"$work/chosen")" -gt 40 ] ||
    fail "only $passed options and $(wc -l <"$work/chosen") values were found"

# The script itself: an option that is gone, another default, another range, a command too many, a
# value that no row names.
defect() { # SED-PROGRAM LINE
    sed "$1" $DOC >"$work/broken.md"
    if { compare "$work/broken.md"; unnamed "$work/broken.md"; } | grep -q "$2"; then pass
    else fail "self-test: '$1' does not give '$2'"; fi
}
defect '/^| `--refresh`/d' "not in .*: train --refresh "
defect 's/^| `--refresh` | train | 1 /| `--refresh` | train | 3 /' "alone: train --refresh \[3\]"
defect 's/^\(| `--share` .*\) at most 1 /\1 at most 2 /' "alone: score --share "
defect 's/^| `--refresh` | train /| `--refresh` | train eval /' "alone: eval --refresh "
defect '/^| clip |/d' "the value: --weight-map clip"
defect 's/micro (of each micro-batch), //' "the value: --normalize micro"
echo '    {"foo", OPTION_INT, AT(foo), "train",' >"$work/rows"
if unread "$work/rows" | grep -q 's->foo'; then pass
else fail "self-test: nobody misses the reader of --foo"; fi
finish commands
