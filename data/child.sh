# A command as a child of a script that may be stopped: online.sh and tests/bench/study.sh read this
# with `.`. Whoever handles a signal kills $child, if it is not empty.
# shellcheck shell=sh
child=

# COMMAND...: runs it, with its status
as_child() {
    "$@" &
    child=$!
    status=0
    wait "$child" || status=$?
    child=
    return $status
}

ica() { as_child "$ICA" "$@"; }
