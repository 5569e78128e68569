#!/bin/sh
# Hostile names in files: whatever a command prints of them, a terminal takes as text. Escape
# sequences, C1 controls, marks that reorder text and forged lines are in names of tensors, tokens,
# keys, sources, groups and paths.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

# What must not be printed: controls but the line break, U+0080..9F, U+200E, U+200F, U+2028..202E,
# U+2066..2069.
CONTROL=$(printf '[\001-\011\013-\037\177]')
HIDDEN=$(printf '\302[\200-\237]\\|\342\200[\216\217\250-\256]\\|\342\201[\246-\251]')
# The same in JSON, and raw where JSON allows it.
EVIL="\\u001b[31mred\\nica: forged\\u009b2J\\u202e$(printf '\342\200\256\302\233\177')"

clean() { # WHAT STATUS COMMAND...: the status is right, the name is shown, nothing else is
    what=$1 wanted=$2
    shift 2
    "$@" >out 2>err </dev/null
    status=$?
    if [ "$status" -eq "$wanted" ] && ! grep -q "$CONTROL" out err &&
        ! grep -q "$HIDDEN" out err && ! grep -q '^ica: forged' out err &&
        cat out err | grep -q 'u001b'; then
        pass
    else
        fail "$what: status $status, wanted $wanted"
        cat -v out err | head -n 20
    fi
}

tensors() { # FILE HEADER DATA: a safetensors file; the header has fewer than 256 bytes
    length=$(printf '%s' "$2" | wc -c)
    # shellcheck disable=SC2059
    printf "\\$(printf '%o' "$length")\\0\\0\\0\\0\\0\\0\\0" >"$1"
    printf '%s%s' "$2" "$3" >>"$1"
}

tensors a "{\"$EVIL\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}" abcd
tensors b "{\"$EVIL\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}" abce
tensors meta "{\"__metadata__\":{\"$EVIL\":\"$EVIL\"}}" ""
tensors kind "{\"w\":{\"dtype\":\"$EVIL\",\"shape\":[4],\"data_offsets\":[0,4]}}" abcd
clean "inspect" 0 "$ICA" inspect a
clean "inspect --json" 0 "$ICA" inspect a --json
clean "inspect: metadata" 0 "$ICA" inspect meta
clean "inspect: a type" 3 "$ICA" inspect kind
clean "diff" 1 "$ICA" diff a b
clean "diff --json" 1 "$ICA" diff a b --json
clean "a path" 4 "$ICA" inspect "$(printf 'no\033[1m\302\233')"
clean "an option" 2 "$ICA" inspect "$(printf -- '--no\033[1m')"
clean "a command" 2 "$ICA" "$(printf 'no\033[1m')"

mkdir words run
printf '{"%s":-1}' "$EVIL" >words/vocab.json
printf 'a b\n' >words/merges.txt
clean "a token" 3 "$ICA" encode --tokenizer words
printf '{"text":"a","%s":1,"%s":2}\n' "$EVIL" "$EVIL" >twice.jsonl
clean "a key that is there twice" 3 "$ICA" tokenizer --data twice.jsonl --out tok --vocab-size 300
printf '{"text":"low lower","%s":1}\n' "$EVIL" >text.jsonl
clean "a key that is not read" 0 "$ICA" tokenizer --data text.jsonl --out tok --vocab-size 300

cat >run/run.json <<END
{"command": "train", "group": "$EVIL", "arm": "$EVIL", "objective": "sft", "seed": 1,
 "version": "$EVIL", "machine": {"cpu": "$EVIL"},
 "options": {"pool": "$EVIL", "holdout": "-", "weights": "$EVIL"},
 "seconds": {"total": 1}, "result": {"nll": 1, "ess": 2, "auroc": {"$EVIL": 0.5}}}
END
printf '{"id":"1","score":1}\n' >run/scores.jsonl
clean "report" 0 "$ICA" report run
clean "report --json" 0 "$ICA" report run --json
cat >score.json <<END
{"command": "score", "method": "$EVIL", "group": "$EVIL", "scores": "$EVIL", "pool": "-"}
END
clean "report of scores" 0 "$ICA" report score.json

# Model text reaches a terminal escaped, and a file as it is. One of the ids is ESC.
if [ -d tok ] && script -qec true /dev/null >/dev/null 2>&1; then
    : >raw
    id=0
    while ! grep -q "$(printf '\033')" raw && [ $id -lt 300 ]; do
        id=$((id + 1))
        echo "[$id]" >ids
        "$ICA" decode --tokenizer tok <ids >raw
    done
    script -qec "$ICA decode --tokenizer tok <ids" /dev/null | tr -d '\r' >shown
    if printf '\033\n' | cmp -s - raw && [ "$(cat shown)" = '\u001b' ]; then
        pass
    else
        fail "decode: $(cat -v raw) in a file, $(cat -v shown) on a terminal"
    fi
fi
finish garbage
