#!/bin/sh
# make install and uninstall below a DESTDIR, the manual page, and the completions: each shell that
# is here reads its file and completes with it. The version is the same wherever it is written.
cd "$(dirname "$0")/../.." || exit 1
. tests/system/check.sh
dest="$work/a root" # with a blank

placed() { (cd "$dest" 2>/dev/null && find . -type f | sort); }
wanted="./usr/bin/ica
./usr/share/bash-completion/completions/ica
./usr/share/fish/vendor_completions.d/ica.fish
./usr/share/man/man1/ica.1
./usr/share/zsh/site-functions/_ica"

${MAKE:-make} -s install DESTDIR="$dest" PREFIX=/usr >"$keep/out" 2>"$keep/err" ||
    { fail "make install"; finish install; exit 1; }
is "what is installed" "$(placed)" "$wanted"
share="$dest/usr/share"
cmp -s "$dest/usr/bin/ica" ./ica && [ -x "$dest/usr/bin/ica" ] && pass ||
    fail "the program is another"
version=$("$dest/usr/bin/ica" --version)
is "the version in CITATION.cff" "ica $(sed -n 's/^version: //p' docs/CITATION.cff)" "$version"
is "the version in the manual page" \
    "$(sed -n '1s/^.TH "ica" 1 "" "\(.*\)"$/\1/p' "$share/man/man1/ica.1")" "$version"
is "versions in the sources" "$(grep -rl '^[^*]*"[0-9]*[.][0-9]*[.][0-9]*"' ./*.[ch] lib scoring \
    data program)" data/run.h

# Every option of every command is in the page and in each completion.
for command in $(./ica --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\)  .*/\1/p'); do
    for name in $(./ica "$command" --help | sed -n 's/^  --\([a-z0-9[][^ ]*\).*/\1/p' |
        grep -v '^help$'); do
        plain=$(echo "$name" | tr -d '[]')
        wanted=".B \\-\\-$(echo "$name" | sed 's/-/\\-/g')" \
            awk -v c=".SS \"$command" '
            BEGIN { n = ENVIRON["wanted"] }
            index($0, ".SS ") == 1 { on = $0 == c "\"" || index($0, c " ") == 1 }
            on && (index($0, n " ") == 1 || $0 == n) { found = 1 }
            END { exit !found }' "$share/man/man1/ica.1" ||
            fail "manual page: no $command --$name"
        grep -q "^            $command) words='.*--$plain " \
            "$share/bash-completion/completions/ica" || fail "bash: no $command --$plain"
        grep -q "^complete -c ica -n '__fish_seen_subcommand_from $command' -l $plain " \
            "$share/fish/vendor_completions.d/ica.fish" || fail "fish: no $command --$plain"
        awk -v c="    $command)" -v n="--$plain" '
            /^    [a-z]*\)$/ { on = $0 == c }
            on && (index($0, n "=[") || index($0, n "[")) { found = 1 }
            END { exit !found }' "$share/zsh/site-functions/_ica" ||
            fail "zsh: no $command --$plain"
        pass
    done
done
[ "$passed" -gt 200 ] && pass || fail "only $passed options were found"

# The page is what man reads, and the shells read their files.
if command -v mandoc >/dev/null; then
    is "mandoc" "$(mandoc -T lint -W error "$share/man/man1/ica.1" 2>&1)" ""
    mandoc -T ascii "$share/man/man1/ica.1" | sed 's/.\x08//g' >"$keep/page"
    check "the page names an option" grep -q -e "--learning-rate X" "$keep/page"
else echo "install: skipped: mandoc"; fi
if command -v bash >/dev/null; then
    bashed() { # WORD...: what bash would offer for the last word
        bash -c '. "$0"; COMP_WORDS=(ica "$@"); COMP_CWORD=$#; _ica
            printf "%s\n" "${COMPREPLY[@]}"' "$share/bash-completion/completions/ica" "$@" |
            tr '\n' ' '
    }
    is "bash: commands" "$(bashed s)" "score select "
    is "bash: options" "$(bashed train --obj)" "--objective "
    is "bash: choices" "$(bashed train --objective s)" "sft simpo "
    is "bash: after =" "$(bashed train --objective = d)" "dpo "
    mkdir -p "$keep/b/folder one" && : >"$keep/b/file one"
    is "bash: files" "$(cd "$keep/b" && bashed score --pool fi)" "file one "
    is "bash: folders" "$(cd "$keep/b" && bashed score --model fo)" "folder one "
else echo "install: skipped: bash"; fi
if command -v zsh >/dev/null; then
    check "zsh reads its file" zsh -n "$share/zsh/site-functions/_ica"
    cat >"$keep/tab.zsh" <<'ZSH'
zmodload zsh/zpty
zpty -b z zsh -f -i
zpty -w z "PS1=; fpath=('$1' \$fpath); autoload -Uz compinit; compinit -u -D"
sleep 1
zpty -n -w z "ica train --objective simp"$'\t'
sleep 2
all=
while zpty -r -t z more; do all+=$more; done
print -r -- "$all"
ZSH
    TERM=dumb timeout 30 zsh -f "$keep/tab.zsh" "$share/zsh/site-functions" >"$keep/tab" 2>&1
    check "zsh completes a choice" grep -q 'objective simpo' "$keep/tab"
else echo "install: skipped: zsh"; fi
if command -v fish >/dev/null; then
    fished() {
        HOME="$keep" XDG_CONFIG_HOME="$keep" fish -N -c "
            source '$share/fish/vendor_completions.d/ica.fish'
            complete -C '$1'" | sed 's/\t.*//' | tr '\n' ' '
    }
    is "fish: commands" "$(fished 'ica s')" "score select "
    is "fish: options" "$(fished 'ica train --obj')" "--objective "
    is "fish: choices" "$(fished 'ica train --objective s')" "sft simpo "
else echo "install: skipped: fish"; fi

refuse 2 "is none of bash, zsh, fish" --completion csh
refuse 2 "is none of bash, zsh, fish" --completion
${MAKE:-make} -s uninstall DESTDIR="$dest" PREFIX=/usr >/dev/null || fail "make uninstall"
is "what is left" "$(placed)" ""
finish install
