#!/bin/sh
# Where each equation and each layer stands: in the program, in README's table, in the tests, and
# which tests hold it against the oracle. Prints the places for every tag, and one line for each
# that is missing, double or at odds with the others. `make trace`.
#
# A tag stands on a function when the comment right above its definition holds it in brackets: [E5].
# The equations that the program computes stand on exactly one function of model.c, ica.c,
# scoring/context.c or lib (adamw, stats, tfidf, weights, objectives), and nowhere else there; the
# exact claims (E2, E3, E4, E17) on exactly one function in tests/; E1 cannot be computed and is in
# the README alone. README's row must name the function.
#
# A layer's tag, as [linear], stands in the heading of one section of model.c and of one of the
# oracle: "/* ---- [linear] ...". A file of lib/fast that computes it sooner may have the tag too.
# AdamW is E13.
#
# A name in backticks in README.md, docs/CONTRIBUTING.md or docs/derivation.md is a file that
# exists, or, with an underscore or in capitals, a word of the code.
#
# A test holds a tag against the oracle when one of its functions has the tag, in the comment above
# it or inside, and uses the oracle. At the end the script is tested itself, on copies with one
# defect each.
cd "$(dirname "$0")/../.." || exit 1
COMPUTED="E5 E6 E7a E7b E8 E9 E10 E11 E12 E13 E14 E15 E16 E18 E19 E20"
CLAIMED="E2 E3 E4 E17"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
LAYERS="embedding linear norm rotary attention gelu swiglu head"

# held FOLDER: one line "TAG FILE FUNCTION" for each tag in a test's function that uses the oracle
held() {
    (cd "$1" && awk '
        function over(   tag) {
            if (name != "" && oracle) for (tag in has) print tag, FILENAME, name
            name = ""; oracle = 0; split("", has)
        }
        FNR == 1 { name = ""; oracle = 0; split("", has) }
        {
            line = $0
            while (match(line, /\[(E[0-9]+[a-z]?|[a-z]+)\]/)) {
                has[substr(line, RSTART + 1, RLENGTH - 2)]
                line = substr(line, RSTART + RLENGTH)
            }
            if (/oracle_[a-z_]+\(/ || /Oracle/) oracle = 1
        }
        /^[A-Za-z].*[({,]$/ && name == "" && /\(/ {
            name = $0
            sub(/\(.*/, "", name)
            sub(/.*[ *]/, "", name)
        }
        /^}/ { over() }
        /^$/ && name == "" { oracle = 0; split("", has) }' tests/unit/*.c tests/audit/*.c)
}

# layers FOLDER: the table of the layers, then the defects
layers() {
    held "$1" >"$work/held"
    (cd "$1" && awk -v layers="$LAYERS" -v held="$work/held" '
        BEGIN {
            n = split(layers, layer, " ")
            while ((getline line <held) > 0) {
                split(line, part, " ")
                sub(/.*\//, "", part[2])
                tests[part[1]] = tests[part[1]] " " part[2] ":" part[3]
            }
        }
        FNR == 1 { fast = FILENAME ~ /^lib\// }
        {
            for (i = 1; i <= n; i++) {
                if (!index($0, "[" layer[i] "]")) continue
                if (fast) { if (/\*/) twin[layer[i]] = FILENAME }
                else if (/^\/\* ---- \[/) {
                    where = FILENAME ":" FNR
                    file = FILENAME == "model.c" ? "model.c" : "the oracle"
                    if ((layer[i], file) in at)
                        wrong[++bad] = layer[i] ": two sections of " file ": " \
                            at[layer[i], file] ", " where
                    at[layer[i], file] = where
                }
            }
        }
        END {
            printf "\n%-10s %-14s %-20s %-30s %s\n", "layer", "section", "sooner", "oracle",
                "tests against the oracle"
            for (i = 1; i <= n; i++) {
                x = layer[i]
                printf "%-10s %-14s %-20s %-30s%s\n", x, at[x, "model.c"], twin[x] ? twin[x] : "-",
                    at[x, "the oracle"], tests[x]
                if (at[x, "model.c"] == "") wrong[++bad] = x ": no section of model.c"
                if (at[x, "the oracle"] == "") wrong[++bad] = x ": no section of the oracle"
                if (tests[x] == "") wrong[++bad] = x ": no test holds it against the oracle"
            }
            for (i = 1; i <= bad; i++) print "trace: " wrong[i]
        }' model.c tests/reference/oracle.c $(ls lib/fast/*.[ch] 2>/dev/null))
}

# trace FOLDER: the table, then the defects, each behind "trace: "
trace() {
    held "$1" >"$work/held"
    (cd "$1" && awk -v computed="$COMPUTED" -v claimed="$CLAIMED" -v held="$work/held" '
        # the tags of a text, into found[1..n]
        function tags(text,   n) {
            for (n = 0; match(text, /\[E[0-9]+[a-z]?\]/); text = substr(text, RSTART + RLENGTH))
                found[++n] = substr(text, RSTART + 1, RLENGTH - 2)
            return n
        }
        function base(path) { sub(/.*\//, "", path); return path }
        function wrong(text) { defects[++n_defects] = text }
        function place(tag, where, name) {
            if ((tag, name) in seen_here) return
            seen_here[tag, name]
            if (places[tag]++)
                wrong(tag ": on two functions: " where_of[tag] " " function_of[tag] \
                    ", " where " " name)
            else { where_of[tag] = where; function_of[tag] = name }
        }
        # a comment has ended at this line: its tags wait for the function below
        function comment_over() { waiting = open; waiting_line = comment_line; open = "" }
        BEGIN {
            n_all = split("E1 " computed " " claimed, all, " ")
            for (i = 1; i <= n_all; i++) known[all[i]]
            split(computed, list, " "); for (i in list) is_computed[list[i]]
            split(claimed, list, " "); for (i in list) is_claimed[list[i]]
        }
        FNR == 1 { waiting = open = ""; inside = 0; is_test = FILENAME ~ /^tests\//;
            is_code = FILENAME ~ /\.c$/ }
        FILENAME == "README.md" {
            if (!/^\| E[0-9]/) next
            n_cells = split($0, cell, /[ ]*\|[ ]*/)
            n = split(cell[2], list, /, */)
            for (i = 1; i <= n; i++) {
                if (!(list[i] in known))
                    wrong(list[i] ": README.md:" FNR ": there is no such equation")
                else if (list[i] in row)
                    wrong(list[i] ": twice in the table of README.md: lines " row[list[i]] \
                        " and " FNR)
                else { row[list[i]] = FNR; said[list[i]] = cell[n_cells - 1] }
            }
            next
        }
        !is_code { next }
        {
            n = tags($0)
            for (i = 1; i <= n; i++) {
                if (!(found[i] in known))
                    wrong(found[i] ": " FILENAME ":" FNR ": there is no such equation")
                else if (found[i] == "E1")
                    wrong("E1: " FILENAME ":" FNR ": it cannot be computed; it is in the README")
                else if (is_test && !((found[i], FILENAME) in tested)) {
                    tested[found[i], FILENAME]
                    tests_of[found[i]] = tests_of[found[i]] " " base(FILENAME)
                }
            }
            line = $0
            if (waiting != "" && !inside) { # the line below a comment that held tags
                is_function = match(line, /^[A-Za-z].*[ *][a-z_0-9A-Z]+\(/) && line !~ /;[ ]*$/
                name = substr(line, 1, RLENGTH - 1)
                sub(/.*[ *]/, "", name)
                n_waiting = split(waiting, list, " ")
                for (i = 1; i <= n_waiting; i++) {
                    mine = is_test ? list[i] in is_claimed : list[i] in is_computed
                    if (is_function && mine) place(list[i], FILENAME ":" FNR, name)
                    else if (!is_test)
                        wrong(list[i] ": " FILENAME ":" waiting_line \
                            ": the tag stands on no function that computes it")
                }
                waiting = ""
            }
            if (!inside && line ~ /^\/\*/) { inside = 1; comment_line = FNR }
            if (inside) {
                for (i = 1; i <= n; i++)
                    if (index(" " open " ", " " found[i] " ") == 0) open = open " " found[i]
                if (line ~ /\*\//) { inside = 0; comment_over() }
            } else if (!is_test)
                for (i = 1; i <= n; i++)
                    wrong(found[i] ": " FILENAME ":" FNR ": the tag stands inside a function")
        }
        END {
            while ((getline line <held) > 0) {
                split(line, part, " ")
                oracle_of[part[1]] = oracle_of[part[1]] " " part[3]
            }
            printf "%-5s %-46s %-11s %s\n", "tag", "function", "README.md",
                "tests; against the oracle"
            for (number = 1; number <= 20; number++)
                for (letter = 0; letter <= 2; letter++) {
                    tag = "E" number substr(" ab", letter + 1, 1)
                    sub(/ /, "", tag)
                    if (!(tag in known)) continue
                    printf "%-5s %-46s %-11s%s\n", tag,
                        tag == "E1" ? "(cannot be computed)" : where_of[tag] " " function_of[tag],
                        row[tag] ? "line " row[tag] : "-", tests_of[tag]
                    if (oracle_of[tag] != "") printf "%-65s%s\n", "", oracle_of[tag]
                    if (!row[tag]) wrong(tag ": not in the table of README.md")
                    if (tag == "E1") continue
                    if (!places[tag])
                        wrong(tag ": on no function of " (tag in is_computed ? \
                            "model.c, ica.c or lib" : "tests/*/*.c"))
                    else if (row[tag] && index(said[tag], "`" function_of[tag] "`") == 0)
                        wrong(tag ": README.md:" row[tag] " does not name " function_of[tag])
                    if (tests_of[tag] == "") wrong(tag ": in no test")
                    else if (tag in is_computed && oracle_of[tag] == "")
                        wrong(tag ": no test holds it against the oracle")
                }
            for (i = 1; i <= n_defects; i++) print "trace: " defects[i]
            exit n_defects > 0
        }' README.md model.c scoring/context.c ica.c \
        lib/adamw.c lib/stats.c lib/tfidf.c lib/weights.c lib/objectives.c tests/*/*.c)
}

# names FOLDER: the names in backticks that do not exist
names() {
    word='[a-z][a-z0-9]*(_[a-z0-9]+)+|[A-Z][A-Z_]{2,}' file='[a-zA-Z_0-9./]+[.](c|h|sh|md|py)'
    (cd "$1" && find . -name '*.[ch]' ! -path './build/*' -exec cat {} + |
        tr -cs 'A-Za-z0-9_' '\n' | sort -u >"$work/words"
    for page in README.md docs/CONTRIBUTING.md docs/derivation.md; do
        grep -o '`[^`]*`' "$page" | tr -s '` ,:()' '\n' | sort -u | grep -E "^($word|$file)$" |
            while read -r name; do
                case $name in
                *.*) [ -e "$name" ] || [ -n "$(find . -name "${name##*/}" -path "*/$name")" ] ;;
                *) grep -qx "$name" "$work/words" ;;
                esac || echo "trace: $page: \`$name\` does not exist"
            done
    done)
}

# ---- the script itself: a copy with one defect must give that line more ----

passed=0 failed=0

copy() {
    rm -rf "$work/copy"
    mkdir -p "$work/copy"
    mkdir -p "$work/copy/lib" && cp README.md model.c ica.c "$work/copy" &&
        cp -r tests scoring "$work/copy" && cp -r lib/fast lib/*.c "$work/copy/lib"
}

expect() { # LINE: the copy gives it
    trace "$work/copy" >"$work/after"
    layers "$work/copy" >>"$work/after"
    if grep -q "^trace: $1" "$work/after"; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "trace: self-test: a defect does not give the line '$1'"
    fi
}

# defect FILE SED-PROGRAM LINE
defect() {
    copy
    sed "$2" "$1" >"$work/copy/$1"
    if cmp -s "$1" "$work/copy/$1" || grep -q "^trace: $3" "$work/before"; then
        failed=$((failed + 1))
        echo "trace: self-test: '$2' changes nothing in $1, or '$3' is there without it"
    else expect "$3"; fi
}

trace . >"$work/before"
layers . >>"$work/before"
names . >"$work/unknown"
cat "$work/before" "$work/unknown"
if [ -s "$work/unknown" ]; then failed=$((failed + 1)); else passed=$((passed + 1)); fi
for tag in $COMPUTED $CLAIMED $LAYERS; do
    if grep -q "^trace: $tag: " "$work/before"; then failed=$((failed + 1))
    else passed=$((passed + 1)); fi
done
if grep -q "^trace: E1: " "$work/before"; then failed=$((failed + 1))
else passed=$((passed + 1)); fi

defect ica.c 's/\[E5\]/E5/' 'E5: on no function of model.c, ica.c or lib'
defect lib/adamw.c 's/\[E13\]//' 'E13: on no function of model.c, ica.c or lib'
defect ica.c 's/^\/\* \[E15\]/\/* [E15] [E16]/' \
    'E16: on two functions: ica.c:.* score_rho, ica.c:.* score_oneshot'
defect lib/adamw.c 's/^\/\* \[E13\]/\/* [E13] [E18]/' \
    'E18: on two functions: lib/adamw.c:.* adamw, lib/stats.c:.* effective_sample_size'
defect lib/weights.c 's/^\/\* \[E8\]/\/* [E8] [E99]/' \
    'E99: lib/weights.c:[0-9]*: there is no such equation'
defect lib/weights.c 's/^\/\* \[E8\]/\/* [E8] [E1]/' \
    'E1: lib/weights.c:[0-9]*: it cannot be computed'
defect lib/weights.c 's/^\/\* \[E8\]/\/* [E8] [E4]/' \
    'E4: lib/weights.c:[0-9]*: the tag stands on no function that computes it'
defect scoring/context.c 's/^\/\* ---- demonst/\/* ---- [E6] demonst/' \
    'E6: scoring/context.c:[0-9]*: the tag stands on no function'
defect lib/stats.c 's/double sum = 0, square = 0, most = 0;/& \/* [E18] *\//' \
    'E18: lib/stats.c:[0-9]*: the tag stands inside a function'
defect README.md 's/^| E6 |/| (E6) |/' 'E6: not in the table of README.md'
defect README.md 's/^| E6 |/| E6, E18 |/' 'E18: twice in the table of README.md'
defect README.md 's/^| E18 |/| E18, E21 |/' 'E21: README.md:[0-9]*: there is no such equation'
defect README.md 's/.score_margin./margin/' 'E7a: README.md:[0-9]* does not name score_margin'
defect ica.c 's/score_margin/margin_score/' 'E7a: README.md:[0-9]* does not name margin_score'
defect tests/unit/test_ica.c 's/\[E6\]/[E21]/' \
    'E21: tests/unit/test_ica.c:[0-9]*: there is no such equation'
without() { # TAG: gone from all tests
    copy
    for file in tests/*/*.c; do sed "s/\\[$1\\]//g" "$file" >"$work/copy/$file"; done
}

without E18
expect "E18: in no test"
for tag in $CLAIMED; do # on one function in tests/: doubled, and taken away
    copy
    for name in one two; do
        printf '/* [%s] */\nstatic void claim_%s(void) {\n}\n' "$tag" $name
    done >"$work/copy/tests/unit/zz.c"
    expect "$tag: on two functions: .*claim_two"
    without "$tag"
    expect "$tag: on no function of tests"
done

defect model.c 's/^\/\* ---- \[norm\]/\/* ---- [gelu]/' 'norm: no section of model.c'
defect model.c 's/^\/\* ---- \[norm\]/\/* ---- [gelu]/' 'gelu: two sections of model.c'
defect tests/reference/oracle.c 's/\[head\]//' 'head: no section of the oracle'
without linear
expect 'linear: no test holds it against the oracle'
copy
for file in tests/*/*.c; do sed 's/[oO]racle/else/g' "$file" >"$work/copy/$file"; done
expect 'E13: no test holds it against the oracle'
copy
mkdir "$work/copy/docs"
cp docs/CONTRIBUTING.md "$work/copy/docs"
sed 's/`adamw`/`adamx_y`/; s,`tests/audit/audit_exact.c`,`tests/audit/no.c`,' docs/derivation.md \
    >"$work/copy/docs/derivation.md"
names "$work/copy" >"$work/after"
for name in adamx_y tests/audit/no.c; do
    if grep -q "derivation.md: .$name. does not exist" "$work/after"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "trace: self-test: nobody misses $name"
    fi
done
echo "trace: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
