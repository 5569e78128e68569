#!/bin/sh
# The rules of the house that a script can check: lines of at most 100 columns, functions of at
# most 64 lines, files in C of at most 1200, chapters that stay short, comments that
# stay dense, includes that only point down, a README that fits, and the style of
# tests/system/clang-format where that program is installed. Each defect is one line that begins
# with "house: ". With --figures it prints what the chapters measure and checks nothing.
# At the end the script is tested itself, on copies with one defect each.
cd "$(dirname "$0")/../.." || exit 1
LC_ALL=C
export LC_ALL
COLUMNS=100 FUNCTION=64 FILE=1200 README=12288
CHAPTERS="model.c 700 0.3
ica.c 500 0.3
train.c 450 0"
STYLE=14 # the version of clang-format: others break lines elsewhere
# The floors, from the ground up: an include may point to its own floor or to a lower one.
FLOORS='^lib/[^/]*$ 1
^lib/fast/(attention|inner|logits|rows|sums|workspace)[.] 2
^(model|tokenizer)[.] 3
^scoring/(context|embedding|share)[.] 4
^(ica|scoring/holdout)[.] 5
^data/ 6
^train[.] 7
^program/ 8
^tests/ 9'

# sources FOLDER PATTERN...: the files of these names below FOLDER, without what is built or made
sources() {
    (
        cd "$1" || exit 1
        shift
        for pattern in "$@"; do
            find . \( -path './build*' -o -path './out*' -o -path './.git' \) -prune -o \
                -name "$pattern" -type f -print
        done | sed 's,^[.]/,,' | sort
    )
}

# columns FOLDER: characters, not bytes. Rows of tables and lines with an address may be longer.
columns() {
    # shellcheck disable=SC2046
    (cd "$1" && awk -v most=$COLUMNS '
        FILENAME ~ /[.]md$/ && (/^[ ]*\|/ || /https?:\/\//) { next }
        length($0) > most {
            line = $0
            gsub(/[\200-\277]/, "", line)
            if (length(line) > most)
                printf "house: %s:%d: %d columns, at most %d\n", FILENAME, FNR, length(line), most
        }' $(sources . '*.[ch]' '*.sh' '*.awk' '*.py' '*.md' Makefile))
}

# read_c FOLDER FILE...: one line for each function, "function FILE LINE NAME LINES", and for each
# file, "file FILE LINES CODE COMMENT": a line that is code and comment counts half as a comment.
read_c() {
    (cd "$1" && shift && awk '
        function end_file() {
            if (file != "") printf "file %s %d %d %.1f\n", file, lines, code, comment
        }
        FNR == 1 { end_file(); file = FILENAME; lines = code = comment = inside = start = 0 }
        {
            lines++
            has_code = 0; has_comment = inside; rest = $0; bare = ""
            while (rest != "") {
                if (inside) {
                    at = index(rest, "*/")
                    if (!at) break
                    rest = substr(rest, at + 2); inside = 0
                } else if (match(rest, /"([^"\\]|\\.)*"|\047([^\047\\]|\\.)*\047|\/\/|\/\*/)) {
                    found = substr(rest, RSTART, RLENGTH)
                    bare = bare substr(rest, 1, RSTART - 1)
                    rest = substr(rest, RSTART + RLENGTH)
                    if (found == "//") { has_comment = 1; break }
                    if (found == "/*") { has_comment = inside = 1 }
                    else bare = bare "s"
                } else { bare = bare rest; break }
            }
            has_code = bare ~ /[^ \t\r]/
            code += has_code
            comment += has_comment ? (has_code ? 0.5 : 1) : 0
            # a definition begins in the first column and has its brace at the end of a line
            if (has_code && bare ~ /^[A-Za-z]/) { start = FNR; head = bare }
            else if (has_code && start && !body) head = head " " bare
            if (!body && start && bare ~ /[{][ ]*$/) body = 1
            if (body && bare ~ /^}/ || start == FNR && bare ~ /[{].*}[ ]*$/) {
                # the name is before the first parenthesis; tables and types have none, or an =
                name = head
                if (index(name, "(") && (!index(name, "=") ||
                    index(name, "(") < index(name, "="))) {
                    sub(/[ ]*[(].*/, "", name)
                    sub(/.*[ *]/, "", name)
                    printf "function %s %d %s %d\n", file, start, name, FNR - start + 1
                }
                body = start = 0
            }
            if (!body && bare ~ /;[ ]*$/) start = 0
        }
        END { end_file() }' "$@")
}

lengths() { # FOLDER
    # shellcheck disable=SC2046
    read_c "$1" $(sources "$1" '*.[ch]') | awk -v most_function=$FUNCTION -v most_file=$FILE '
        $1 == "function" && $5 > most_function {
            printf "house: %s:%d: %s has %d lines, at most %d\n", $2, $3, $4, $5, most_function }
        $1 == "file" && $3 > most_file {
            printf "house: %s: %d lines, at most %d\n", $2, $3, most_file }'
}

chapters() { # FOLDER
    # shellcheck disable=SC2046
    read_c "$1" model.c ica.c train.c | awk -v chapters="$CHAPTERS" '
        BEGIN {
            n = split(chapters, line, "\n")
            for (i = 1; i <= n; i++) {
                split(line[i], part, " ")
                most[part[1]] = part[2]; least[part[1]] = part[3]
            }
        }
        $1 == "file" && $4 > most[$2] {
            printf "house: %s: %d lines of code, at most %d\n", $2, $4, most[$2] }
        $1 == "file" && $5 < least[$2] * $4 {
            printf "house: %s: %.2f lines of comment a line of code, at least %s\n", $2, $5 / $4,
                least[$2] }'
}

includes() { # FOLDER
    # shellcheck disable=SC2046
    (cd "$1" && awk -v floors="$FLOORS" '
        function floor_of(path,   i) {
            for (i = 1; i <= n; i++) if (path ~ pattern[i]) return number[i]
            return 0
        }
        BEGIN {
            n = split(floors, line, "\n")
            for (i = 1; i <= n; i++) { split(line[i], part, " "); pattern[i] = part[1];
                number[i] = part[2] }
        }
        /^#include "/ {
            split($0, part, "\"")
            where = "house: " FILENAME ":" FNR ": "
            if (!floor_of(FILENAME)) print where "stands on no floor of tests/system/house.sh"
            else if (system("test -f " part[2])) print where part[2] " is no path from the root"
            else if (floor_of(part[2]) > floor_of(FILENAME))
                print where part[2] " is above " FILENAME
        }' $(sources . '*.[ch]'))
}

words() { # FOLDER
    # shellcheck disable=SC2046
    (cd "$1" && awk '
        /TO[D]O|FIX[M]E/ { printf "house: %s:%d: something is left to do\n", FILENAME, FNR }
        /[ \t]$/ { printf "house: %s:%d: white space at the end\n", FILENAME, FNR }' \
        $(sources . '*.[ch]' '*.sh' '*.awk' '*.py' '*.md' Makefile))
    [ "$(wc -c <"$1/README.md")" -le $README ] ||
        echo "house: README.md: $(wc -c <"$1/README.md") bytes, at most $README"
}

style() { # FOLDER
    version=$(clang-format --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p')
    if [ "$version" != $STYLE ]; then
        echo "skipped: the style (needs clang-format $STYLE)"
        return
    fi
    # shellcheck disable=SC2046
    (cd "$1" && clang-format --dry-run --style=file:tests/system/clang-format \
        $(sources . '*.[ch]') 2>&1 |
        sed -n 's/^\([^:]*:[0-9]*\):.*clang-format-violations.*/\1/p' |
        sed 's,.*,house: &: not in the style of tests/system/clang-format,' |
        sort -u)
}

figures() { # of the chapters, for the log
    # shellcheck disable=SC2046
    read_c . $(sources . '*.[ch]' | grep -v ^tests/) | awk '
        $1 == "file" { lines[$2] = $3; code[$2] = $4; comment[$2] = $5
            all_lines += $3; all_code += $4; all_comment += $5 }
        $1 == "function" { length_of[++n] = $5; count[$2]++;
            if ($5 > longest[$2]) longest[$2] = $5 }
        END {
            printf "%-12s %6s %6s %17s %10s %8s\n", "file", "lines", "code", "comment per line",
                "functions",
                "longest"
            m = split("model.c ica.c train.c tokenizer.c", name, " ")
            for (i = 1; i <= m; i++)
                printf "%-12s %6d %6d %17.2f %10d %8d\n", name[i], lines[name[i]], code[name[i]],
                    comment[name[i]] / code[name[i]], count[name[i]], longest[name[i]]
            printf "%-12s %6d %6d %17.2f %10d\n", "the product", all_lines, all_code,
                all_comment / all_code, n
            for (i = 2; i <= n; i++) { # by insertion: a thousand functions
                x = length_of[i]
                for (j = i - 1; j > 0 && length_of[j] > x; j--) length_of[j + 1] = length_of[j]
                length_of[j + 1] = x
            }
            for (i = 1; i <= n; i++) over += length_of[i] > 40
            printf "functions: median %d lines, nine of ten <= %d, longest %d; %d of %d over 40\n",
                length_of[int((n + 1) / 2)], length_of[int(n * 0.9)], length_of[n], over, n
        }'
    wc -c README.md | awk '{ print "README.md: " $1 " bytes" }'
}

if [ "${1:-}" = --figures ]; then
    figures
    exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
passed=0 failed=0
for rule in columns lengths chapters includes words style; do
    $rule . >"$work/found"
    cat "$work/found"
    n=$(grep -c ^house: "$work/found")
    if [ "$n" -eq 0 ]; then passed=$((passed + 1)); else failed=$((failed + n)); fi
done
figures

# ---- the script itself ----

copy() {
    rm -rf "$work/copy"
    mkdir "$work/copy"
    cp -r ./*.[ch] lib scoring data program README.md Makefile "$work/copy"
    mkdir -p "$work/copy/tests/system"
    cp tests/system/clang-format "$work/copy/tests/system"
}
# breaks RULE LINE: on the copy, which has a defect, the rule gives that line
breaks() {
    if $1 "$work/copy" 2>&1 | grep -q "^house: $2"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "house: self-test: a defect does not give the line '$2'"
    fi
}
copy
{
    printf 'int wide; /* %0100d */\n#include "program/main.h"\n#include "util.h"\n' 0
    printf '#include "model.h"\nstatic int\n  badly ( int x )\n{\n'
    awk 'BEGIN { for (i = 0; i < 70; i++) print "    x++;" }'
    printf '    return x; \n}\n/* TO''DO */\n'
} >"$work/copy/lib/zz.c"
: >"$work/copy/program/main.h"
awk 'BEGIN { for (i = 0; i < 1201; i++) print "int x" i ";" }' >"$work/copy/model.c"
cp "$work/copy/model.c" "$work/copy/tests/zz.c"
printf '# %0100d \n' 0 | tee "$work/copy/tests/zz.awk" >"$work/copy/tests/zz.py"
awk 'BEGIN { for (i = 0; i < 2000; i++) print "word" }' >>"$work/copy/README.md"
breaks columns 'lib/zz.c:1: 1[0-9]* columns'
breaks columns 'tests/zz.awk:1: 10[0-9] columns'
breaks columns 'tests/zz.py:1: 10[0-9] columns'
breaks lengths 'lib/zz.c:[56]: badly has 7[0-9] lines'
breaks lengths 'model.c: 1201 lines'
breaks lengths 'tests/zz.c: 1201 lines'
breaks chapters 'model.c: 1201 lines of code'
breaks chapters 'model.c: 0.00 lines of comment'
breaks includes 'lib/zz.c:2: program/main.h is above lib/zz.c'
breaks includes 'lib/zz.c:3: util.h is no path'
breaks includes 'lib/zz.c:4: model.h is above lib/zz.c'
breaks words 'lib/zz.c:[0-9]*: something is left'
breaks words 'lib/zz.c:[0-9]*: white space'
breaks words 'tests/zz.awk:1: white space'
breaks words 'README.md: [0-9]* bytes'
[ "$version" != $STYLE ] || breaks style 'lib/zz.c:[0-9]*: not in the style'
echo "house: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
