#!/bin/sh
# The report's page in a real browser, at the width of a telephone and of a desk, light and dark:
# no part is wider than the screen, no text is below 11 pixels, and the page is not endless.
#
#   sh tests/audit/page.sh [PAGE...]      (make judge-page)
#
# Without a PAGE it makes small runs and their page, takes out/report.html too where that exists,
# and the page of a score file. BROWSER names the browser; without one nothing is checked, and the
# last line says so. KEEP=DIR keeps a picture of each page, as people see it.
cd "$(dirname "$0")/../.." || exit 1
BROWSER=${BROWSER:-$(command -v chromium || command -v chromium-browser ||
    command -v google-chrome)}
if [ -z "$BROWSER" ]; then
    echo "page: left out: no chromium here (BROWSER=PATH names another browser)"
    exit 0
fi
MOST=8000 # pixels of height with everything that a reader must open closed
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
passed=0 failed=0

make_runs() {
    model="$work/base" corpus="$work/corpus"
    ./ica corpus --out "$corpus" --seed 1 &&
        ./ica tokenizer --data "$corpus/pretrain.jsonl" --vocab-size 400 --out "$work/tokens" &&
        ./ica pretrain --data "$corpus/pretrain.jsonl" --tokenizer "$work/tokens" --out "$model" \
            --layers 2 --channels 32 --heads 2 --context 64 --max-steps 200 --logging-steps 20 \
            --holdout "$corpus/holdout.jsonl" --eval "$corpus/test.jsonl" --eval-steps 50 || return
    for k in 0 3; do
        ./ica eval --model "$model" --data "$corpus/test.jsonl" --k $k --json \
            --holdout "$corpus/holdout.jsonl" >"$work/k$k.json" || return
    done
    ./ica score --model "$model" --pool "$corpus/pool-even50.jsonl" --json \
        --holdout "$corpus/holdout.jsonl" --out "$work/scores.jsonl" >"$work/score.json" || return
    for weights in uniform ica rho oracle; do
        ./ica train --model "$model" --pool "$corpus/pool-even50.jsonl" --weights $weights \
            --holdout "$corpus/holdout.jsonl" --eval "$corpus/test.jsonl" --max-steps 20 \
            --eval-steps 5 --logging-steps 5 --refresh 2 --reference-steps 5 \
            --out "$work/runs/$weights" || return
    done
    ./ica train --model "$model" --pool "$corpus/pool-even50.jsonl" --eval-share 0.2 \
        --max-steps 60 --eval-steps 10 --logging-steps 10 --learning-rate 1e-3 --weights ica \
        --holdout "$corpus/holdout.jsonl" --load-best-model-at-end --out "$work/judged" || return
    ./ica report "$work/judged" --model "$model" --out "$work/judged.html" || return
    ./ica report "$model" "$work"/k?.json "$work/score.json" "$work"/runs/* --model "$model" \
        --out "$work/runs.html" &&
        ./ica report "$work/scores.jsonl" --pool "$corpus/pool-even50.jsonl" \
            --holdout "$corpus/holdout.jsonl" --out "$work/scores.html" &&
        ./ica report "$work/scores.jsonl" --out "$work/bare.html"
}

# measure PAGE WIDTH SCHEME: prints "overflow N small N height N", where overflow is how far the
# page is wider than the screen with all lines opened, and small how many texts are below 11 pixels
measure() {
    cat >"$work/frame.html" <<END
<!DOCTYPE html><body style="margin:0"><iframe id="f" src="file://$1"
style="border:0;width:$2px;height:900px"></iframe><pre id="out"></pre><script>
document.getElementById("f").onload = function () {
    var d = this.contentDocument, e = d.documentElement, w = this.contentWindow, small = 0
    var height = e.scrollHeight, s, all = d.querySelectorAll("body *"), i, j, size
    d.querySelectorAll("details").forEach(function (x) { x.open = true })
    for (i = 0; i < all.length; i++) {
        size = parseFloat(w.getComputedStyle(all[i]).fontSize)
        s = all[i].ownerSVGElement
        if (s) size *= s.getBoundingClientRect().width / s.viewBox.baseVal.width
        for (j = 0; j < all[i].childNodes.length; j++)
            if (all[i].childNodes[j].nodeType == 3 && all[i].childNodes[j].data.trim() &&
                all[i].nodeName != "title" && all[i].nodeName != "desc" && size < 10.99) small++
    }
    document.getElementById("out").textContent = "overflow " + (e.scrollWidth - $2) +
        " small " + small + " height " + height + " width " + w.innerWidth
}
</script></body>
END
    timeout 120 "$BROWSER" --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
        --allow-file-access-from-files \
        --user-data-dir="$work/profile" \
        --blink-settings=preferredColorScheme=$3 \
        --window-size=1400,1000 --virtual-time-budget=5000 --dump-dom \
        "file://$work/frame.html" 2>/dev/null | sed -n 's/.*<pre id="out">\(.*\)<\/pre>.*/\1/p'
}

check() { # PAGE
    case $1 in /*) page=$1 ;; *) page=$PWD/$1 ;; esac
    for width in 390 1280; do
        for scheme in 0 1; do # dark, light
            found=$(measure "$page" $width $scheme)
            echo "page: $1 at $width: $found"
            # shellcheck disable=SC2086
            set -- "$1" $found
            if [ "${3:-9}" -le 0 ] && [ "${5:-9}" -eq 0 ] && [ "${7:-99999}" -le $MOST ] &&
                [ "${9:-0}" -eq $width ]; then passed=$((passed + 1))
            else
                failed=$((failed + 1))
                echo "page: FAILED: $1 at $width: want overflow 0, small 0, height <= $MOST"
            fi
        done
        [ -z "${KEEP:-}" ] || picture "$page" $width
    done
}

picture() { # PAGE WIDTH
    timeout 120 "$BROWSER" --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
        --user-data-dir="$work/profile" --window-size="$2,$MOST" \
        --screenshot="$KEEP/$(basename "$1" .html)-$2.png" "file://$1" >/dev/null 2>&1
}

if [ $# -eq 0 ]; then
    if ! make_runs >"$work/log" 2>&1; then
        tail -n 3 "$work/log"
        echo "page: the runs failed"
        exit 1
    fi
    set -- "$work/runs.html" "$work/judged.html" "$work/scores.html" "$work/bare.html"
    [ ! -f out/report.html ] || set -- "$@" out/report.html
fi
for page_given in "$@"; do check "$page_given"; done

# The script itself: a page that is too wide, and one with small text.
echo '<body><p style="width:2000px">wide' >"$work/wide.html"
echo '<body><p style="font-size:10px">small' >"$work/small.html"
for defect in wide small; do
    found=$(measure "$work/$defect.html" 390 1)
    case $defect:$found in
    wide:overflow\ [1-9]* | small:*small\ 1*) passed=$((passed + 1)) ;;
    *)
        failed=$((failed + 1))
        echo "page: self-test: $defect gives '$found'" ;;
    esac
done
echo "page: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
