#!/bin/sh
# The example in each header compiles without a warning and runs, under sanitizers, so that a header
# never shows what is not so. The example is the first block of lines " *   ..." below a line
# " * Usage:"; it becomes the body of a function that returns 0 unless the example returns sooner.
# It may use what the header declares or includes, <stdio.h>, and what it declares itself; it runs
# in an empty folder of its own. `make test` builds the objects that it is linked with.
# From the environment: CC. An argument names one header, and shows what its example prints.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
CC=${CC:-cc}
export OMP_WAIT_POLICY=passive
# Tables and instructions that are no interface.
NONE="data/corpus/words.h lib/nfc_table.h lib/vector.h"
flags="-std=c11 -g -O0 -Wall -Wextra -Wshadow -Werror -Wno-unused-variable -Wno-unknown-pragmas
    -Wno-unused-but-set-variable -ffp-contract=off -fsanitize=address,undefined
    -fno-sanitize-recover=all"
echo 'int omp_get_max_threads(void); int main(void) { return omp_get_max_threads() < 1; }' \
    >"$work/t.c"
if $CC -fopenmp "$work/t.c" -o "$work/t" 2>/dev/null; then flags="$flags -fopenmp"; fi

# product SUFFIX: all files of the product with it, in whichever folder
product() {
    find . \( -name .git -o -path './build*' -o -path './out*' -o -path ./tests \) -prune -o \
        -name "*$1" -type f -print | sed 's,^[.]/,,' | sort
}

# example HEADER: the example as a program; nothing if there is none
example() {
    awk -v header="$1" '
        /^ \* Usage:/ && !seen { seen = 1; next }
        seen == 1 && /^ \*   / { body = body substr($0, 6) "\n"; next }
        seen == 1 && /^ \*$/ && body != "" { body = body "\n"; next }
        seen == 1 && body != "" { seen = 2 }
        END {
            if (body !~ /[^ \n]/) exit
            printf "#include \"%s\"\n#include <stdio.h>\n", header
            printf "static int example(int argc, char **argv) {\n(void)argc;\n(void)argv;\n"
            printf "%sreturn 0;\n}\n", body
            print "int main(int argc, char **argv) { return example(argc, argv); }"
        }' "$1"
}

# try HEADER: leaves what went wrong in $work/said
try() {
    rm -rf "$work/run"
    mkdir "$work/run"
    example "$1" >"$work/example.c"
    if [ ! -s "$work/example.c" ]; then
        echo "there is no example below \" * Usage:\"" >"$work/said"
        return 1
    fi
    # shellcheck disable=SC2086
    $CC $flags -I. "$work/example.c" $objects -o "$work/example" -lm >"$work/said" 2>&1 || return 1
    (cd "$work/run" && "$work/example") >"$work/said" 2>&1
}

objects=$(product .c | grep -v '^program/main.c$' | sed 's,.*,build/sanitize/&,; s/[.]c$/.o/')
for header in ${1:-$(product .h)}; do
    case " $NONE " in *" $header "*) continue ;; esac
    if try "$header"; then
        pass
        [ $# -eq 0 ] || cat "$work/said"
    else
        fail "the example of $header:"
        sed 's/^/    /' "$work/said" | head -n 12
    fi
done

# The script itself: an example that runs; one that does not compile, one that fails, one that
# leaks, none at all.
self_test() { # BODY PASSES
    printf '/* util\n *\n * Usage:\n *   %s\n */\n#include <stdlib.h>\n' "$1" >"$work/util.h"
    if try "$work/util.h"; then found=true; else found=false; fi
    if [ $found = "$2" ]; then pass; else fail "self-test: does the example '$1' pass? $found"; fi
}
if [ $# -eq 0 ]; then
    self_test 'return 0;' true
    self_test 'int x = no_such_thing();' false
    self_test 'return 1;' false
    self_test 'return malloc(7) == NULL;' false
    self_test '' false
fi
finish examples
