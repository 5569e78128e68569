# What the judges in Python share. A script changes to the root of the project, reads this with `.`
# and calls find_python. It then has $python, the program as $ica, and the empty folder $work, which
# goes away at the end. From the environment: PYTHON, the one to use. Else python3 and
# /usr/bin/python3 are tried.
# shellcheck shell=sh disable=SC2034
root=$PWD ica=$PWD/ica
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# find_python NAME LIBRARY TEST: a Python that runs TEST. Without one says so and ends well.
find_python() {
    judge=$1
    for python in ${PYTHON:-python3 /usr/bin/python3}; do
        ! "$python" -c "$3" >/dev/null 2>&1 || return 0
    done
    echo "$1: skipped: no $2 in ${PYTHON:-python3 or /usr/bin/python3} (PYTHON=... names another)"
    exit 0
}

run() { # COMMAND: what it says is shown only when it fails
    "$@" >said 2>&1 || {
        echo "$judge: failed: $*"
        cat said
        exit 1
    }
}
