# What the scripts of this folder share. A script changes to the root of the project and reads this
# with `.`. It then has an empty folder, $work, and a folder for its own notes, $keep, in which no
# check for leftovers looks. Both go away at the end. The last line of a script is `finish NAME`.
# From the environment: ICA, the program to test (./ica); CHECK_STOP=1: the first failure ends it.
# shellcheck shell=sh disable=SC2034
root=$PWD
ICA=${ICA:-./ica}
case $ICA in /*) ;; *) ICA=$root/$ICA ;; esac
OMP_NUM_THREADS=1 # tiny models are quickest so; --threads comes before it where threads matter
LC_ALL=C
export LC_ALL OMP_NUM_THREADS
passed=0 failed=0
work=$(mktemp -d) keep=$(mktemp -d)
trap 'rm -rf "$work" "$keep"' EXIT
trap 'exit 1' INT TERM
# The signal of a terminal that goes away, and the status that it ends a program with. Below nohup
# all ignore it, so another one takes its place there.
if sh -c 'kill -HUP $$' 2>/dev/null; then hang_up=TERM:143; else hang_up=HUP:129; fi

pass() { passed=$((passed + 1)); }

fail() { # WHAT: says also what the last command said
    failed=$((failed + 1))
    echo "FAILED: $1"
    [ ! -s "$keep/err" ] || tail -n 8 "$keep/err" | sed 's/^/    stderr: /'
    [ -z "$CHECK_STOP" ] || exit 1
}

finish() { # NAME
    echo "$1: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}

# ica ARGUMENTS: runs the program. What it prints goes to $keep/out and $keep/err.
ica() {
    "$ICA" "$@" >"$keep/out" 2>"$keep/err" </dev/null
    status=$?
    return $status
}

# works WHAT ARGUMENTS: the program ends with status 0
works() {
    what=$1
    shift
    if ica "$@"; then pass; else fail "$what: status $status from: ica $*"; fi
}

# check WHAT COMMAND: an ordinary command succeeds
check() {
    what=$1
    shift
    if "$@" >/dev/null 2>&1; then pass; else fail "$what: $*"; fi
}

is() { # WHAT GOT WANTED
    if [ "$2" = "$3" ]; then pass; else fail "$1: $2, not $3"; fi
}

says() { # WHAT PATTERN: the program printed it on stderr
    if grep -Eq -e "$2" "$keep/err"; then pass; else fail "$1: it does not say: $2"; fi
}

same() { # WHAT FILE FILE...: equal bytes, all
    what=$1 first=$2
    shift 2
    for other in "$@"; do
        if cmp -s "$first" "$other"; then pass; else fail "$what: $first and $other differ"; fi
    done
}

# unsorted: the same order as long as nothing changes
listing() { find "$work"; find "$work" -type f -exec cksum {} +; }

# refuse STATUS PATTERN ARGUMENTS: that status, nothing on stdout, one line for the user that fits
# the pattern, and not a file or folder made, changed or removed
refuse() {
    wanted=$1 pattern=$2
    shift 2
    listing >"$keep/before"
    ica "$@"
    listing >"$keep/after"
    if [ "$status" -ne "$wanted" ]; then fail "status $status in place of $wanted from: ica $*"
    elif [ "$(wc -l <"$keep/err")" -ne 1 ] || ! grep -q '^ica: ' "$keep/err"
    then fail "not one line \"ica: ...\" from: ica $*"
    elif ! grep -Eq -e "$pattern" "$keep/err"
    then fail "the message lacks \"$pattern\" from: ica $*"
    elif [ -s "$keep/out" ]; then fail "an error with output on stdout from: ica $*"
    elif ! cmp -s "$keep/before" "$keep/after"
    then fail "files changed by: ica $*: $(diff "$keep/before" "$keep/after" |
            sed -n 's/^[<>]//p' | tr '\n' ';')"
    else pass; fi
}
