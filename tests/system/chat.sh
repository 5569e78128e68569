#!/bin/sh
# The commands that talk: `ica generate` with a file of prompts, sampling and what ends an answer,
# `ica chat` with a pipe and, where `script` is installed, on a terminal; and templates by name,
# from --template and from a chat_template, end to end.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
cd "$work" || exit 1

# chat OPTION...: talks; stdin is the lines
chat() {
    "$ICA" chat --model base --max-new-tokens 12 "$@" >"$keep/out" 2>"$keep/err"
    status=$?
}
out() { tr '\n' '|' <"$keep/out"; }
json() { sed -n "$2s/.*\"$1\":\"\\{0,1\\}\\([^,}\"]*\\).*/\\1/p" "$keep/out"; }

ica corpus --out corpus
head -n 400 corpus/pretrain.jsonl >sessions
ica tokenizer --data sessions --vocab-size 400 --out tok
ica pretrain --data sessions --tokenizer tok --layers 1 --heads 2 --channels 32 --context 96 \
    --batch-tokens 512 --max-steps 150 --learning-rate 5e-3 --out base

# ---- a file of prompts ----

ask="generate --model base --max-new-tokens 12"
works "one prompt" $ask --prompt "what colour is grass ?" --json
one=$(json completion 1)
printf 'what colour is grass ?\n\n  name the capital of france . \r\n' >prompts
works "a file of prompts" $ask --prompt-file prompts
is "a line for each prompt" "$(wc -l <"$keep/out" | tr -d ' ')" 2
is "the answer is that of the prompt alone" "$(json completion 1)" "$one"
is "the id is the line" "$(json id 1) $(json id 2)" "1 3"
is "white space around a prompt is left out" "$(json prompt 2)" "name the capital of france ."
cp "$keep/out" two
works "the same as records" $ask --prompt-file corpus/test.jsonl --threads 2
is "an answer in the file is left out" "$(wc -l <"$keep/out")" "$(wc -l <corpus/test.jsonl)"
user() { printf '{"role": "user", "content": "%s"}' "$1"; }
says_back() { printf '{"role": "assistant", "content": "%s"}' "$1"; }
grass=$(user "what colour is grass ?")
cat >records <<END
{"prompt": "what colour is grass ?"}
{"messages": [$grass, $(says_back "left out")], "id": "x"}
{"prompt": [$(user a), $(says_back b), $grass], "system": ""}
END
works "records without answers" $ask --prompt-file records
is "a text and messages are the same prompt" "$(json completion 1)" "$(json completion 2)"
is "ids" "$(json id 1) $(json id 2) $(json id 3)" "1 x 3"
warm="--temperature 1 --seed 5"
works "each prompt draws its own numbers" $ask --prompt-file prompts $warm
second=$(json completion 2)
works "the same alone" $ask --prompt "name the capital of france ." $warm --json
is "the second prompt's answer" "$(json completion 1)" "$second"
# Samples draw anew, each prompt and each time; the file's order decides, not the threads.
printf 'what colour is grass ?\n%.0s' 1 2 3 4 >again
works "one answer each" $ask --prompt-file again $warm
distinct() { sed 's/"id":"[0-9]*"//' "$1" | sort -u | wc -l; }
is "one seed draws the same for one prompt" "$(distinct "$keep/out")" 1
works "three samples each" $ask --prompt-file again $warm --samples 3
cp "$keep/out" samples
is "ids of samples" "$(sed 's/.*"id":"\([0-9]*\)".*/\1/' samples | tr -d '\n')" 111222333444
sampled=$(distinct samples)
check "samples of one prompt differ ($sampled of 12)" test "$sampled" -gt 6
for threads in 2 5; do
    works "$threads threads" $ask --prompt-file again $warm --samples 3 --threads $threads
    same "samples by $threads threads" samples "$keep/out"
done
works "fewer prompts" $ask --prompt-file again --temperature 1 --seed 6 --samples 3
check "another seed, other samples" test "$(cmp -s samples "$keep/out" && echo same)" = ""
refuse 2 '--samples: at temperature 0' $ask --prompt-file again --samples 2
refuse 2 '--samples: --prompt has one answer' $ask --prompt a --samples 2 --temperature 1
printf '{"prompt": "a"}\nwhat ?\n' >mixed
refuse 3 'mixed:2: column 1' $ask --prompt-file mixed
printf '{"answer": "a"}\n' >none
refuse 3 'none:1: has no prompt' $ask --prompt-file none
printf '{"prompt": "a", "tools": [1]}\n' >tools
refuse 3 'tools:1: "tools" cannot be honoured' $ask --prompt-file tools
printf '{"prompt": "a", "system": "s"}\n' >system
refuse 3 'system:1: has a system turn, and the template has none' $ask --prompt-file system
printf '\n\n' >empty
printf '\n[\n {"prompt": "a"},\n {"prompt": "b"}\n]\n' >array
refuse 3 'array:2: the file is one JSON array' $ask --prompt-file array
refuse 3 'empty:1: the file has no prompts' $ask --prompt-file empty
long=$(printf 'grass %.0s' $(seq 100))
printf 'a\n%s\n' "$long" >long
refuse 3 'long:2: the prompt: has [0-9]+ tokens; it must have 1 to 95' $ask --prompt-file long
printf 'what ?\n\377\n' >bytes
refuse 3 'bytes:2: the line is not valid UTF-8' $ask --prompt-file bytes
bad=$(printf 'gr\344n') # as Latin-1 has it
refuse 2 'prompt: the text is not valid UTF-8' $ask --prompt "$bad"
refuse 2 'system: the text is not valid UTF-8' $ask --prompt a --system "$bad"
refuse 2 'either --prompt TEXT or --prompt-file' $ask
refuse 2 'either --prompt TEXT or --prompt-file' $ask --prompt a --prompt-file prompts

# ---- sampling ----

works "greedy" $ask --prompt-file corpus/test.jsonl
cp "$keep/out" greedy
works "a nucleus of one token" $ask --prompt-file corpus/test.jsonl --temperature 1 --top-p 1e-9
same "top-p near 0 is greedy" greedy "$keep/out"
works "top-k 1" $ask --prompt-file corpus/test.jsonl --temperature 1 --top-k 1
same "top-k 1 is greedy" greedy "$keep/out"
works "a penalty of 1" $ask --prompt-file corpus/test.jsonl --repetition-penalty 1
same "a penalty of 1 is none" greedy "$keep/out"
works "a penalty" $ask --prompt-file corpus/test.jsonl --repetition-penalty 1000
check "a large penalty changes answers" test "$(cmp -s greedy "$keep/out" && echo same)" = ""
# The threads change no text: of the most probable tokens, of drawn ones, of one prompt alone.
nucleus="--repetition-penalty 1.3 --temperature 0.9 --top-k 50 --top-p 0.8 --seed 3"
works "a small penalty" $ask --prompt-file corpus/test.jsonl --repetition-penalty 1.1
cp "$keep/out" penalized
check "a small penalty changes answers" test "$(cmp -s greedy penalized && echo same)" = ""
works "a nucleus and a penalty" $ask --prompt-file corpus/test.jsonl $nucleus
cp "$keep/out" nucleus
check "draws are not greedy" test "$(cmp -s greedy nucleus && echo same)" = ""
works "one prompt" $ask --prompt "what colour is grass ?" $nucleus
cp "$keep/out" alone
for threads in 1 2 5; do
    by="corpus/test.jsonl --threads $threads"
    works "greedy by $threads threads" $ask --prompt-file $by
    same "greedy by $threads threads" greedy "$keep/out"
    works "a penalty by $threads threads" $ask --prompt-file $by --repetition-penalty 1.1
    same "a penalty by $threads threads" penalized "$keep/out"
    works "a nucleus by $threads threads" $ask --prompt-file $by $nucleus
    same "a nucleus by $threads threads" nucleus "$keep/out"
    works "one prompt by $threads threads" $ask --prompt "what colour is grass ?" $nucleus \
        --threads $threads
    same "one prompt by $threads threads" alone "$keep/out"
done
refuse 2 '--top-p: at temperature 0' $ask --prompt a --top-p 0.5
refuse 2 '--top-k: at temperature 0' $ask --prompt a --top-k 5
refuse 2 '--top-p' $ask --prompt a --top-p 1.5 --temperature 1
refuse 2 '--repetition-penalty' $ask --prompt a --repetition-penalty 0

# ---- what ends an answer ----

works "a whole answer" generate --model base --prompt-file prompts
is "it ended" "$(json stopped 1)" end
works "a short one" generate --model base --prompt-file prompts --max-new-tokens 1
check "it was cut" grep -q '"stopped":"length"' "$keep/out"
# Whatever generation_config.json calls the end is one: here the first token of the answer.
works "encoding" encode --tokenizer base
printf '%s\n' "$one" | "$ICA" encode --tokenizer base >ids
first=$(sed 's/^\[\([0-9]*\).*/\1/' ids)
cp -R base other
printf '{"eos_token_id": [3, %s]}\n' "$first" >other/generation_config.json
works "another end" generate --model other --prompt "what colour is grass ?" --json
is "the answer ends before it" "$(json tokens 1)" 0
check "nothing else is asked for" test -z "$(grep 'generation_config.json' "$keep/err")"
# What else it asks for is named.
printf '{"do_sample":false,"top_k":null,"temperature":0.6,"use_cache":true,"min_p":0.1}\n' \
    >other/generation_config.json
works "a temperature in the folder" generate --model other --max-new-tokens 12 --json \
    --prompt "what colour is grass ?"
says "what is not read" '^generation_config.json: not read: temperature, min_p;'
is "the options' own choice" "$(json completion 1)" "$one"

# ---- a conversation ----

printf 'what colour is grass ?\n/reset\nwhat colour is grass ?\r\n\n' | chat
is "status" $status 0
answer=$(sed -n 1p "$keep/out")
is "an answer a line, and the same after /reset" "$(out)" "$answer|$answer|"
is "as generate has it" " $answer" "$one"
says "/reset is said" 'begins anew'
printf '/quit\nwhat ?\n' | chat
is "/quit ends it" "$status $(out)" "0 "
printf '/what\n' | chat
says "an unknown command" '/reset begins anew, /quit'
printf '//what\n' | chat
slash=$(out)
works "the same prompt" $ask --prompt /what --json
is "a message that begins with /" " $slash" "$(json completion 1)|"
# The history is in the row: the second answer is that to a conversation of two turns.
printf 'name the capital of france .\nwhat colour is grass ?\n' | chat
said=$(sed -n 1p "$keep/out")
france=$(user "name the capital of france .")
echo "{\"messages\": [$france, $(says_back "$said"), $grass]}" >turns
second=$(sed -n 2p "$keep/out")
works "the conversation as a record" $ask --prompt-file turns
is "the answer to it" "$(json completion 1)" " $second"
talk() { printf 'name the capital of france .\nwhat colour is grass ?\n' | chat "$@"; }
for how in "" "--repetition-penalty 1.3 --temperature 0.9 --top-p 0.8 --seed 3"; do
    talk $how
    cp "$keep/out" talked
    for threads in 1 2 5; do
        talk $how --threads $threads
        is "status of a chat by $threads threads" $status 0
        same "a chat $how by $threads threads" talked "$keep/out"
    done
done
check "the draws are others" test "$(sed -n 2p talked)" != "$second"
# A context of 96 tokens holds a few turns.
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "what colour is grass ?"; done | chat
is "all are answered" "$status $(wc -l <"$keep/out" | tr -d ' ')" "0 12"
says "the oldest are forgotten, and that is said" \
    'context of 96 tokens is full: the [0-9]+ oldest turns are forgotten'
printf '%s\nwhat colour is grass ?\n' "$long" | chat
is "a message that does not fit gets an empty line" "$(out)" "|$answer|"
says "it says why" 'the message has [0-9]+ tokens with its template, and the context holds 96'
printf 'what colour is grass ?\n%s\nwhat ?\n' "$bad" >lines
chat <lines
is "a message that is no text ends it" "$status $(out)" "3 $answer|"
is "in one line" "$(tail -n 1 "$keep/err")" "ica: stdin:2: the line is not valid UTF-8"
printf 'what colour is grass ?\n' | chat --max-new-tokens 1
says "a cut answer" 'cut after --max-new-tokens 1'
check "no escapes in a pipe" test "$(tr -d '[:print:]\n' <"$keep/out" | wc -c)" -eq 0
refuse 2 '--think: the template of base has no thoughts' chat --model base --think
refuse 2 '--system: the template of base has no system turn' chat --model base --system x

# On a terminal the marks are bold, unless NO_COLOR or TERM say otherwise.
terminal() { # SETTINGS...
    printf 'what colour is grass ?\n/quit\n' |
        env "$@" script -qec "'$ICA' chat --model base --max-new-tokens 12" /dev/null 2>/dev/null
}
if script -qec true /dev/null >/dev/null 2>&1; then
    terminal TERM=xterm NO_COLOR= >seen
    check "the answer is printed" grep -q "$answer" seen
    check "bold" grep -q "$(printf '\033')\[1myou:" seen
    terminal TERM=xterm NO_COLOR=1 >seen
    check "NO_COLOR" test "$(grep -c "$(printf '\033')" seen)" -eq 0
    terminal TERM=dumb >seen
    printf '%s\n/quit\n' "$bad" |
        script -qec "'$ICA' chat --model base" /dev/null >typed 2>/dev/null
    is "a message that is no text does not end it" $? 0
    check "another one is asked for" grep -q 'is not valid UTF-8: write it anew' typed
    check "TERM=dumb" test "$(grep -c "$(printf '\033')" seen)" -eq 0
fi

# ---- templates ----

# A vocabulary with ChatML's tokens; its config has a template in Jinja, as models have it.
cp -R tok chatml
rm chatml/template.json
cat >chatml/special_tokens_map.json <<'END'
{"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}
END
cat >chatml/added_tokens.json <<'END'
{"<|im_start|>": 400, "<|im_end|>": 401}
END
sed 's/"chat_template": ".*",$//' tok/tokenizer_config.json >chatml/tokenizer_config.json
cat >chatml/chat_template.jinja <<'END'
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}
{{ '<|im_start|>system
be brief<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}
END
new="pretrain --layers 1 --heads 1 --channels 8 --context 200 --batch-tokens 512 --max-steps 2"
works "a chat template" $new --data sessions --tokenizer chatml --out talk
says "it says what it took it for" \
    'chat_template.jinja: taken for the template "chatml" with its system turn by its marks; it is'
check "a folder keeps the name" grep -q '"name": "chatml"' talk/template.json
check "and the system turn" grep -q '"system": "be brief"' talk/template.json
works "the folder that was written" eval --model talk --data corpus/test.jsonl --json
nll() { sed 's/.*"nll":\([^,}]*\).*/\1/' "$keep/out"; }
brief=$(nll)
works "the same by a file" eval --model talk --data corpus/test.jsonl --json \
    --template chatml/chat_template.jinja
is "the file is the folder's template" "$(nll)" "$brief"
works "another template" eval --model talk --data corpus/test.jsonl --json --template alpaca
check "another template, other rows" test "$(nll)" != "$brief"
works "a system turn" generate --model talk --prompt a --system "be long" --max-new-tokens 2
for as in turns text; do
    works "demonstrations as $as" score --model talk --pool corpus/pool-even50.jsonl \
        --holdout corpus/holdout.jsonl --demos-as $as --out "as-$as" --k 1
done
check "they are other rows" test "$(cmp -s as-turns as-text && echo same)" = ""
works "no demonstrations as text" score --model talk --pool corpus/pool-even50.jsonl \
    --holdout corpus/holdout.jsonl --demos-as text --out zero --k 0
is "k = 0 scores exactly 0" "$(grep -c '"score":0,' zero)" "$(wc -l <zero | tr -d ' ')"

# A page about scores shows the rows that they were made of: the template and the demonstrations'
# form of the run that made them, or those given. Other rows have other numbers, and are refused.
files="--pool corpus/pool-even50.jsonl --holdout corpus/holdout.jsonl"
form="--template alpaca --demos-as text"
works "a model far from chance" $new --data sessions --tokenizer chatml --out told --max-steps 40 \
    --learning-rate 2e-2
page="$files --model told --out page.html"
works "scores of another form" score --model told $files $form --out alpaca.jsonl --k 1 --json
cp "$keep/out" alpaca.json
refuse 3 'alpaca.jsonl: --model told with its template and --demos-as turns gives other' \
    report alpaca.jsonl $page
refuse 3 'with --template alpaca and --demos-as turns gives other' \
    report alpaca.jsonl $page --template alpaca
works "the form is given" report alpaca.jsonl $page $form
check "the page has the tokens' gain" grep -q 'class="strip"' page.html
works "what score printed says it" report alpaca.json --model told --out page.html
check "the page has the tokens' gain" grep -q 'class="strip"' page.html
works "a run of that form" train --model told $files $form --weights ica --k 1 --max-steps 1 \
    --out formed
works "its run.json says it" report formed --model told --out page.html
check "the page has the tokens' gain" grep -q 'class="strip"' page.html
works "of its score file too" report formed/scores.jsonl $page
check "the page has the tokens' gain" grep -q 'class="strip"' page.html
refuse 3 'formed/scores.jsonl: --model told with --template plain and --demos-as text gives other' \
    report formed/scores.jsonl $page --template plain
works "without a model no rows are made" report alpaca.jsonl $files --out page.html $form
says "and that is told" 'WARNING: --demos-as, --template have no effect here: only --model'
refuse 3 'template qwen3: needs the token <think>' eval --model talk --data corpus/test.jsonl \
    --template qwen3
refuse 3 'template "chatlm": there is none of this name; take one of recipe, plain, chatml' \
    eval --model talk --data corpus/test.jsonl --template chatlm
echo '{{ messages }}' >chatml/chat_template.jinja
refuse 3 'none that is known .*; say what it is with --template' $new --data sessions \
    --tokenizer chatml --out nothing
works "the way out" $new --data sessions --tokenizer chatml --out out --template chatml
check "a template in Jinja goes with it" grep -q "<|im_start|>user" out/tokenizer_config.json

finish chat
