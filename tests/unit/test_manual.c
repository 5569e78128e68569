/* Tests of lib/manual: what each kind of option becomes on the page and in the completions. */
#include "lib/manual.h"

#include <string.h>

#include "tests/unit/check.h"

static const struct {
    const char *name, *help;
} MAPS[] = {{"rank", "by rank"}, {"top", "the best"}};

static const Option TABLE[] = {
    {"k", OPTION_INT, 0, "score", "3", RANGE(0, 1000), .help = "demonstrations"},
    {"map", OPTION_CHOICE, 0, "score", "rank", .help = "a map", CHOICES(MAPS, 2)},
    {"data", OPTION_FILES, 0, "score", NULL, .help = "files"},
    {"scores", OPTION_STRING, 0, "score", NULL, .value = "FILE", .help = "a file"},
    {"out", OPTION_STRING, 0, "score", NULL, .value = "DIR", .help = "a folder"},
    {"group", OPTION_STRING, 0, "score", NULL, .value = "NAME", .help = "it's [a] name"},
    {"json", OPTION_FLAG, 0, "score", NULL, .help = "as JSON"},
    {"check", OPTION_FLAG, 0, "score", "true", .help = "checks"},
    {0}};
static const Command COMMANDS[] = {
    {"score", NULL, NULL, "scores a pool"}, {"inspect", NULL, "FILE", "shows a file"}, {0}};
static const Manual MANUAL = {"ica", "0.1.0", "trains", "It trains.\n", TABLE, COMMANDS};

static void check_has(const char *shell, const Buf *b, const char *const *parts) {
    for (; *parts; parts++) CHECK(strstr(b->s, *parts), "%s: no %s", shell, *parts);
}

static void test_shells(void) {
    static const char *const shells[] = {"bash", "zsh", "fish"};
    static const char *const parts[3][16] = {
        {"complete -o filenames -F _ica ica", "words='score inspect --help", "score:--k) return ;;",
         "score:--map) words='rank top' ;;", "score:--data) COMPREPLY=($(compgen -f --",
         "score:--scores) COMPREPLY=($(compgen -f --", "score:--out) COMPREPLY=($(compgen -d --",
         "score:--group) return ;;",
         "score) words='--k --map --data --scores --out --group --json --no-check --help'",
         "inspect) words='--help'"},
        {"#compdef ica", "'score:scores a pool'", "'--k=[demonstrations]:value:'",
         "'--map=[a map]:value:(rank top)'", "'*--data=[files]:value:_files'",
         "'--scores=[a file]:FILE:_files'", "'--out=[a folder]:DIR:_files -/'",
         "'--group=[it'\\''s \\[a\\] name]:NAME:'", "'--json[as JSON]'", "'--no-check[checks]'",
         "'--help[list", "'*:file:_files'"},
        {"-a score -d 'scores a pool'", "from score' -l k -x -d 'demonstrations'",
         "-l map -x -a 'rank top' -d", "-l data -r -F -d 'files'", "-l scores -r -F -d 'a file'",
         "-l out -x -a '(__fish_complete_directories)' -d 'a folder'",
         "-l group -x -d 'it\\'s [a] name'", "-l json -d 'as JSON'", "-l no-check -d 'checks'"}};
    for (int i = 0; i < 3; i++) {
        Buf b = {0};
        CHECK(manual_completion(&MANUAL, shells[i], &b), "%s", shells[i]);
        check_has(shells[i], &b, parts[i]);
        CHECK(!strstr(b.s, "score:--json)"), "%s: a flag has no value", shells[i]);
        buf_free(&b);
    }
    Buf b = {0};
    CHECK(!manual_completion(&MANUAL, "csh", &b), "no shell of ours");
    buf_free(&b);
}

static void test_page(void) {
    static const char *const parts[] = {
        ".TH", "scores a pool", "demonstrations", "It trains.", "inspect FILE", "0.1.0", NULL};
    Buf b = {0};
    manual_page(&MANUAL, &b);
    check_has("the page", &b, parts);
    buf_free(&b);
}

int main(void) {
    test_shells();
    test_page();
    return check_report("test_manual");
}
