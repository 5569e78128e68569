#!/bin/sh
# `make audit`: takes the base models of the main job and of its control from out/, or first trains
# them, then runs the audit, whose program is the argument. OUT as for ./run.sh. The audit itself
# takes minutes; so does each base model that is missing.
set -eu
cd "$(dirname "$0")/../.."
OUT=${OUT:-out}
for mode in quick control; do
    ready=yes
    for file in done/pretrain base/model.safetensors corpus/1/holdout.jsonl \
        corpus/5/holdout.jsonl; do
        [ -f "$OUT/$mode/$file" ] || ready=
    done
    [ -n "$ready" ] || {
        echo "audit: $OUT/$mode has no base model yet: training it first, minutes" \
            "(./run.sh $mode base)" >&2
        OUT=$OUT ./run.sh $mode base
    }
done
OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive} GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}
export OMP_WAIT_POLICY GOMP_SPINCOUNT
exec "$1" "$OUT"
