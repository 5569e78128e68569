/* Tests of lib/options: parsing, messages, help and the JSON record, on a table of its own. */
#define _POSIX_C_SOURCE 200809L
#include "lib/options.h"
#include "lib/json.h"
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int layers, steps, any;
    int64_t seed;
    double rate, share;
    const char *out, *note;
    int map;
    enum { METHOD_A, METHOD_AB, METHOD_B } method;
    bool json, shuffle;
    OptionFiles data, extra;
    char guard;
} Values;

#define AT(field) offsetof(Values, field)
#define COUNT(table) (int)(sizeof(table) / sizeof *(table))

static const char *const MAPS[] = {"minmax",
                                   "minmax-batch",
                                   "clip",
                                   "rank",
                                   "softmax",
                                   "top",
                                   "filter",
                                   "a-rather-long-name",
                                   "another-rather-long-name"};
/* Rows of any size will do, as long as they begin with the name. */
static const struct {
    const char *name, *help;
    double more;
} METHODS[] = {
    {"a", "the first, which is explained at such length that its line does not fit the width", 1},
    {"ab", "the second", 2},
    {"b", "the third", 3}};
static bool not_second(int i) { return i != METHOD_AB; }

static const OptionHint HINTS[] = {{"lr peak-lr", "here it is --rate of learning"},
                                   {"n-layer layers", "say --layers"},
                                   {NULL, NULL}};

static const Option TABLE[] = {
    {"data", OPTION_FILES, AT(data), "learn tune", "!",
     .help = "the records, one JSON object a line"},
    {"out", OPTION_STRING, AT(out), "learn tune", "!", .value = "DIR",
     .help = "where the run goes"},
    {"layers", OPTION_INT, AT(layers), "learn", "4", RANGE(1, 96), .help = "blocks"},
    {"max-steps", OPTION_INT, AT(steps), "learn tune", "-1", RANGE(-1, INFINITY),
     .help = "optimizer steps; -1: by the epochs"},
    {"any", OPTION_INT, AT(any), "learn", NULL, .help = "any number"},
    {"seed", OPTION_INT64, AT(seed), "learn tune", "9007199254740993", RANGE(0, INFINITY),
     .help = "of everything random"},
    {"learning-rate", OPTION_REAL, AT(rate), "learn", "1e-3", RANGE(OPTION_POSITIVE, 1),
     .help = "peak step size"},
    {"learning-rate", OPTION_REAL, AT(rate), "tune", "5e-5", RANGE(OPTION_POSITIVE, INFINITY),
     .help = "peak step size"},
    {"share", OPTION_REAL, AT(share), "tune", NULL, RANGE(-INFINITY, 0.5), .value = "PART",
     .help =
         "a long explanation that goes on and on, past the right edge of any reasonable terminal "
         "window, so that it must be wrapped more than once to stay within the width that the help "
         "keeps to"},
    {"note", OPTION_STRING, AT(note), "learn tune", NULL, .help = "kept in the record"},
    {"weight-map", OPTION_CHOICE, AT(map), "tune", "minmax", NAMES(MAPS, COUNT(MAPS)),
     .help = "scores to weights"},
    {"method", OPTION_CHOICE, AT(method), "tune", NULL, CHOICES(METHODS, COUNT(METHODS)),
     .help = "how"},
    {"json", OPTION_FLAG, AT(json), "learn tune", "false", .help = "print JSON"},
    {"shuffle", OPTION_FLAG, AT(shuffle), "tune", "true", .help = "a new order for each epoch"},
    {"extra", OPTION_FILES, AT(extra), "tune", "default.txt", .value = "TEXT",
     .help = "more files"},
    {0},
};
static const Command COMMANDS[] = {
    {"learn", NULL, NULL, "learns from nothing"},
    {"tune", NULL, NULL, "learns more"},
    {"join", NULL, "RUN...", "joins runs"},
    {"compare", NULL, "A B", "compares two"},
    {"look", NULL, "[FILE]", "looks"},
    {0},
};

typedef struct {
    Values values;
    OptionResult result;
    Arena arena;
    Error err;
    bool ok;
} Run;

static Run run_with(const char *command, const char *const *argv) {
    Run r = {0};
    int argc = 0;
    while (argv[argc]) argc++;
    memset(&r.values, 0x55,
           sizeof r.values); /* whatever the caller's struct held must not matter */
    const Command *c = options_command(COMMANDS, command, &r.err);
    r.ok = c && options_parse(TABLE, HINTS, c, argc, (char **)argv, &r.values, &r.result, &r.arena,
                              &r.err);
    CHECK(r.values.guard == 0x55, "%s: wrote past a field", command);
    return r;
}
#define RUN(command, ...) run_with(command, (const char *[]){__VA_ARGS__, NULL})
#define TUNE(...) RUN("tune", "--data", "d", "--out", "o", __VA_ARGS__)

static bool same(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }

/* ---- what is accepted ---- */

static void test_defaults(void) {
    Run r = RUN("tune", "--data", "a.jsonl", "--out", "run");
    const Values *v = &r.values;
    CHECK(r.ok, "defaults: %s", r.err.text);
    CHECK(v->steps == -1 && v->rate == 5e-5 && v->share == 0, "defaults: numbers");
    CHECK(v->seed == 9007199254740993, "defaults: a seed above 2^53 is %lld", (long long)v->seed);
    CHECK(!v->note && v->method + 1 == 0 && v->map == 0, "defaults: texts");
    CHECK(!v->json && v->shuffle, "defaults: flags");
    CHECK(v->data.count == 1 && same(v->data.values[0], "a.jsonl") && same(v->out, "run"),
          "given: files and a text");
    CHECK(v->extra.count == 1 && same(v->extra.values[0], "default.txt"), "defaults: files");
    CHECK(v->layers == 0x55555555, "a field of another command was touched");
    CHECK(options_given(&r.result, "data") && options_given(&r.result, "out"), "given: not seen");
    CHECK(!options_given(&r.result, "seed") && !options_given(&r.result, "layers"),
          "not given: seen");
    CHECK(!options_given(&r.result, "no-such"), "what does not exist was given");
    CHECK(r.result.positional.count == 0 && !r.result.help, "nothing else was given");
    arena_free(&r.arena);
    r = RUN("learn", "--data", "a", "--out", "b");
    CHECK(r.ok && r.values.rate == 1e-3 && r.values.layers == 4 && r.values.any == 0,
          "another command has other defaults");
    arena_free(&r.arena);
}

static void test_forms(void) {
    Run r = RUN("tune", "--out=x=y", "--data", "a", "b", "--learning_rate=3e-1", "--max-steps",
                "-1", "--data=c", "--data", "-", "-e", "--weight_map", "minmax-batch",
                "--method=ab", "--seed", "7", "--seed=9223372036854775807", "--json",
                "--no-shuffle", "--note=", "--extra", "one", "two", "--share=-2.5E0");
    const Values *v = &r.values;
    CHECK(r.ok, "forms: %s", r.err.text);
    CHECK(same(v->out, "x=y"), "only the first = counts: %s", v->out);
    CHECK(v->data.count == 5 && same(v->data.values[1], "b") && same(v->data.values[2], "c") &&
              same(v->data.values[3], "-") && same(v->data.values[4], "-e"),
          "files: %d", v->data.count);
    CHECK(v->extra.count == 2 && same(v->extra.values[0], "one"),
          "given files come on top of the default ones");
    CHECK(v->rate == 0.3 && v->steps == -1 && v->share == -2.5, "numbers: %g %d %g", v->rate,
          v->steps, v->share);
    CHECK(v->seed == INT64_MAX, "the last one does not count");
    CHECK(v->map == 1 && v->method == METHOD_AB && same(v->note, ""), "texts");
    CHECK(v->json && !v->shuffle, "flags");
    CHECK(options_given(&r.result, "learning-rate") && options_given(&r.result, "learning_rate"),
          "given by another spelling");
    CHECK(options_given(&r.result, "shuffle") && options_given(&r.result, "max_steps"),
          "given: not seen");
    arena_free(&r.arena);
    r = TUNE("--json=True", "--json=FALSE", "--shuffle=false", "--no_shuffle", "--shuffle",
             "--note=--json", "--max-steps", "+3");
    v = &r.values;
    CHECK(r.ok && !v->json && v->shuffle && same(v->note, "--json") && v->steps == 3, "flags: %s",
          r.err.text);
    arena_free(&r.arena);
    r = TUNE("--note", "-n", "--");
    CHECK(r.ok && same(r.values.note, "-n"), "a bare -- at the end: %s", r.err.text);
    arena_free(&r.arena);
    r = TUNE("--share", ".5", "--max-steps", "2147483647");
    CHECK(r.ok && r.values.share == 0.5 && r.values.steps == 2147483647, "the ends of ranges: %s",
          r.err.text);
    arena_free(&r.arena);
    r = TUNE("--share=-0.0");
    CHECK(r.ok && r.values.share == 0 && !signbit(r.values.share), "-0 is 0: %s", r.err.text);
    arena_free(&r.arena);
    r = RUN("learn", "--data", "a", "--out", "b", "--layers", "96", "--any=-2147483648",
            "--learning-rate=1e-320");
    v = &r.values;
    CHECK(r.ok && v->layers == 96 && v->any == -2147483647 - 1 && v->rate > 0,
          "the ends of ranges: %s", r.err.text);
    arena_free(&r.arena);
}

static void test_positional(void) {
    Run r = RUN("join", "a", "b", "--", "--out", "-x", "--");
    CHECK(r.ok && r.result.positional.count == 5 && same(r.result.positional.values[2], "--out"),
          "join: %s", r.err.text);
    arena_free(&r.arena);
    r = RUN("compare", "a", "-");
    CHECK(r.ok && r.result.positional.count == 2 && same(r.result.positional.values[1], "-"),
          "compare: %s", r.err.text);
    arena_free(&r.arena);
    r = RUN("look", "f");
    CHECK(r.ok && r.result.positional.count == 1, "look: %s", r.err.text);
    arena_free(&r.arena);
    r = run_with("look", (const char *[]){NULL});
    CHECK(r.ok && r.result.positional.count == 0, "look at nothing: %s", r.err.text);
    arena_free(&r.arena);
    r = RUN("tune", "--data", "--nonsense", "--help");
    CHECK(r.ok && r.result.help, "--help is not seen behind a mistake");
    arena_free(&r.arena);
    r = RUN("join", "-h");
    CHECK(r.ok && r.result.help, "-h is not seen");
    arena_free(&r.arena);
    r = RUN("join", "--", "--help");
    CHECK(r.ok && !r.result.help && r.result.positional.count == 1, "--help counts behind --");
    arena_free(&r.arena);
}

/* ---- what is refused ---- */

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* A command line, and part of what is said to it. */
static const struct {
    const char *command;
    const char *argument[4];
    const char *fragment;
} WRONG[] = {
    {"tune",
     {"--lerning-rate", "1"},
     "unknown option --lerning-rate; the nearest is --learning-rate"},
    {"tune", {"--rate", "1"}, "the nearest is --learning-rate"},
    {"tune", {"--steps=3"}, "unknown option --steps; the nearest is --max-steps"},
    {"tune", {"--weightmap", "top"}, "the nearest is --weight-map"},
    {"tune", {"--outs", "top"}, "unknown option --outs; the nearest is --out"},
    {"tune", {"--Out", "top"}, "the nearest is --out"},
    {"tune", {"--" LONG LONG LONG}, "' lists all)"},
    {"tune", {"--lr", "1"}, "unknown option --lr; here it is --rate of learning"},
    {"tune", {"--peak_lr=1"}, "unknown option --peak_lr; here it is --rate of learning ("},
    {"tune", {"--peak", "1"}, "unknown option --peak ("},
    {"learn", {"--n_layer", "1"}, "unknown option --n_layer; say --layers ("},
    {"tune", {"--n-layer", "1"}, "say --layers, an option of: learn ("},
    {"tune", {"--layers", "3"}, "unknown option --layers; say --layers, an option of: learn ("},
    {"tune", {"--zz", "1"}, "unknown option --zz ('"},
    {"tune", {"--z", "1"}, "unknown option --z ('"},
    {"tune", {"--methdo", "1"}, "unknown option --methdo; the nearest is --method"},
    {"tune", {"--mode", "1"}, "unknown option --mode ("},
    {"tune", {"--=3"}, "unknown option -- ("},
    {"tune", {"--no-"}, "unknown option --no- ("},
    {"tune", {"--help=x"}, "unknown option --help ("},
    {"join", {"--xyz"}, "takes no options"},
    {"tune", {"--any", "3"}, "tune: takes no --any; that is an option of: learn"},
    {"look", {"--learning_rate", "3"}, "that is an option of: learn tune"},
    {"tune", {"--out"}, "--out: its value is missing"},
    {"tune", {"--out", "--json"}, "--out: its value is missing before '--json'"},
    {"tune", {"--out", "--"}, "--out: its value is missing"},
    {"tune", {"--data"}, "--data: its value is missing"},
    {"tune", {"--data", "--json"}, "--data: its value is missing before '--json'"},
    {"tune", {"--json", "True"}, "--json True: it is a switch, which takes no word after it; "},
    {"tune", {"--no-shuffle", "false"}, "write --shuffle or --shuffle=false"},
    {"tune", {"--json", "on"}, "--json on: it is a switch"},
    {"tune", {"--json", "0"}, "--json 0: it is a switch"},
    {"tune", {"--json", "10"}, "unexpected argument '10'"},
    {"tune", {"--json=yes"}, "--json 'yes': is neither true nor false"},
    {"tune", {"--json="}, "is neither true nor false"},
    {"tune", {"--json=Truey"}, "is neither true nor false"},
    {"tune", {"--json=tru"}, "is neither true nor false"},
    {"tune", {"--json=true", "true"}, "unexpected argument 'true'"},
    {"tune", {"--no-json=true"}, "--no-json: takes no value"},
    {"tune", {"--no-out"}, "--no-out: there is no such option"},
    {"tune", {"-json"}, "unknown argument '-json'; options start with two hyphens"},
    {"tune", {"--", "x"}, "unexpected argument 'x'"},
    {"tune", {"--data=a", "b"}, "unexpected argument 'b'"},
    {"tune", {"--method", "abc"}, "--method 'abc': is none of a|ab|b"},
    {"tune", {"--method="}, "is none of"},
    {"tune", {"--method", "a|ab"}, "is none of"},
    {"learn", {"--layers", "97"}, "--layers '97': is out of range; give 1 to 96"},
    {"learn", {"--layers", "0"}, "give 1 to 96"},
    {"learn", {"--layers", "4x"}, "'4x': is not a whole number"},
    {"learn", {"--layers", "1e1"}, "is not a whole number"},
    {"learn", {"--layers", "1_0"}, "is not a whole number"},
    {"learn", {"--layers", "0x10"}, "is not a whole number"},
    {"learn", {"--layers", "4.0"}, "is not a whole number"},
    {"learn", {"--layers", " 4"}, "is not a whole number"},
    {"learn", {"--layers", "4 "}, "is not a whole number"},
    {"learn", {"--layers="}, "is not a whole number"},
    {"learn", {"--layers", "-"}, "is not a whole number"},
    {"learn", {"--layers", "99999999999999999999"}, "give 1 to 96"},
    {"learn", {"--any", "2147483648"}, "out of range; give a number of 32 bits"},
    {"learn", {"--any", "-2147483649"}, "out of range"},
    {"tune", {"--max-steps", "4294967297"}, "give at least -1, at most 32 bits"},
    {"tune", {"--max-steps", "-2"}, "give at least -1"},
    {"tune", {"--seed", "9223372036854775808"}, "give at least 0, at most 64 bits"},
    {"tune", {"--seed", "-1"}, "give at least 0"},
    {"tune", {"--learning-rate", "0"}, "give above 0"},
    {"learn", {"--learning-rate", "1.01"}, "give above 0, at most 1"},
    {"tune", {"--share", "0.51"}, "give at most 0.5"},
    {"tune", {"--share", "nan"}, "'nan': is not a number"},
    {"tune", {"--share", "-inf"}, "is not a number"},
    {"tune", {"--share", "0x1p-2"}, "is not a number"},
    {"tune", {"--share", "0.1.2"}, "is not a number"},
    {"tune", {"--share", "1e"}, "is not a number"},
    {"tune", {"--share", "e"}, "is not a number"},
    {"tune", {"--share", "1 "}, "is not a number"},
    {"tune", {"--share", "0,5"}, "is not a number"},
    {"tune", {"--share="}, "is not a number"},
    {"tune", {"--share", "-1e400"}, "is too large"},
    {"tune", {"--json"}, "tune: needs --data FILE, --out DIR"},
    {"tune", {"--data", "a"}, "tune: needs --out DIR"},
    {"join", {NULL}, "wants RUN..., but got 0 arguments"},
    {"compare", {"a"}, "wants A B, but got 1 argument"},
    {"compare", {"a", "b", "c"}, "wants A B, but got 3 arguments"},
    {"look", {"a", "b"}, "wants [FILE], but got 2 arguments"},
};

static void test_mistakes(void) {
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        const char *argv[5] = {0};
        memcpy(argv, WRONG[i].argument, sizeof WRONG[i].argument);
        Run r = run_with(WRONG[i].command, argv);
        CHECK(!r.ok && r.err.status == STATUS_USAGE, "accepted: %s %s", WRONG[i].command,
              argv[0] ? argv[0] : "");
        CHECK(strstr(r.err.text, WRONG[i].fragment), "wanted '%s' in: %s", WRONG[i].fragment,
              r.err.text);
        CHECK(strncmp(r.err.text, WRONG[i].command, strlen(WRONG[i].command)) == 0,
              "names no command: %s", r.err.text);
        arena_free(&r.arena);
    }
    Run r = TUNE("--note=x", "--share", "a\nb");
    CHECK(!r.ok && !strchr(r.err.text, '\n'), "a message of two lines: %s", r.err.text);
    arena_free(&r.arena);
}

static void test_commands(void) {
    static const char *const typed[][2] = {
        {"lern", "'learn'"}, {"tun", "'tune'"}, {"comp", "'compare'"}, {"Look", "'look'"}};
    for (size_t i = 0; i < sizeof typed / sizeof typed[0]; i++) {
        Error err = {0};
        CHECK(!options_command(COMMANDS, typed[i][0], &err) && err.status == STATUS_USAGE,
              "%s is a command", typed[i][0]);
        CHECK(strstr(err.text, typed[i][1]), "wanted %s in: %s", typed[i][1], err.text);
    }
    Error err = {0};
    CHECK(!options_command(COMMANDS, NULL, &err) && err.status == STATUS_USAGE,
          "no command is a command");
    CHECK(strstr(err.text, "no command"), "no command: %s", err.text);
    err = (Error){0};
    CHECK(options_command(COMMANDS, "join", &err) == &COMMANDS[2] && err.status == 0,
          "join is not found");
}

/* ---- help and record ---- */

static char *help_text(const Option *table, const Command *command) {
    Buf text = {0};
    options_help(table, COMMANDS, command, &text);
    return text.s;
}

/* No line is too long or ends in a blank, and the text ends with a newline. Returns the longest
 * line. */
static size_t check_lines(const char *text) {
    size_t longest = 0;
    const char *line = text;
    while (*line) {
        size_t n = strcspn(line, "\n");
        if (n > longest) longest = n;
        CHECK(line[n] == '\n', "help ends without a newline");
        CHECK(n <= 100, "%zu columns: %.*s", n, (int)n, line);
        CHECK(n == 0 || line[n - 1] != ' ', "a blank at the end: %.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
    return longest;
}

static void check_has(const char *text, const char *fragment) {
    CHECK(strstr(text, fragment), "help lacks '%s'", fragment);
}

static void test_help(void) {
    char *text = help_text(TABLE, NULL);
    check_lines(text);
    check_has(text, "\n  learn    learns from nothing\n");
    check_has(text, "\n  compare  compares two\n");
    free(text);
    text = help_text(TABLE, &COMMANDS[1]);
    CHECK(check_lines(text) >= 90, "help wraps too early");
    static const char *const lines[] = {
        "usage: ica tune [options]\n",
        "\nlearns more\n",
        "\nneeded:\n  --data FILE...     the records, one JSON object a line\n  --out DIR          "
        "where",
        "\n\noptions:\n  --max-steps N      optimizer steps; -1: by the epochs (at least -1; "
        "default -1)\n",
        "\n  --seed N           of everything random (at least 0; default 9007199254740993)\n",
        "\n  --learning-rate X  peak step size (above 0; default 5e-5)\n",
        "\n  --share PART       a long explanation",
        "\n  --weight-map NAME  scores to weights (one of minmax, minmax-batch, clip, rank, "
        "softmax, top,\n",
        "; default minmax)\n",
        "\n  --method a|ab|b    how\n                       a   the first, which is explained at "
        "such",
        "\n                           the width\n                       ab  the second\n",
        "\n  --json             print JSON\n",
        "\n  --[no-]shuffle     a new order for each epoch (default true)\n",
        "\n  --extra TEXT...    more files (default default.txt)\n",
        "\n  --help             print this\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) check_has(text, lines[i]);
    CHECK(!strstr(text, "--layers"), "help shows an option of another command");
    CHECK(strstr(text, "--out") < strstr(text, "options:"),
          "a needed option stands among the others");
    CHECK(strstr(text, "to 0.5") == NULL && strstr(text, "(at most 0.5)"),
          "the open range is not shown");
    free(text);
    text = help_text(TABLE, &COMMANDS[3]);
    check_has(text, "usage: ica compare A B [options]\n");
    CHECK(!strstr(text, "needed:"), "an empty part is shown");
    free(text);
    /* A name too long for the column has a line of its own; a word too long for a line is split. */
    const Option wide[] = {{"a-name-that-is-much-too-long-for-a-column", OPTION_INT, 0, "look", "1",
                            .help = LONG LONG LONG " end"},
                           {0}};
    text = help_text(wide, &COMMANDS[4]);
    check_lines(text);
    check_has(text, "-column N\n          aaa");
    check_has(text, "a end (default 1)\n");
    free(text);
    /* 10 + 64 + 1 + 25 columns fill a line; one letter more and the word moves on. A word of 96
     * letters needs two lines. */
    const Option full[] = {
        {"x", OPTION_FLAG, 0, "look", NULL, .help = LONG " bbbbbbbbbbbbbbbbbbbbbbbbb"},
        {"y", OPTION_FLAG, 0, "look", NULL, .help = LONG " bbbbbbbbbbbbbbbbbbbbbbbbbb"},
        {"z", OPTION_FLAG, 0, "look", NULL, .help = LONG "cccccccccccccccccccccccccccccccc"},
        {0}};
    text = help_text(full, &COMMANDS[4]);
    CHECK(check_lines(text) == 100, "no line is full");
    check_has(text, "a bbbbbbbbbbbbbbbbbbbbbbbbb\n");
    check_has(text, "a\n          bbbbbbbbbbbbbbbbbbbbbbbbbb\n");
    check_has(text, "c\n          cccccc\n");
    free(text);
}

static void test_json(void) {
    Run r = TUNE("--note", "say \"hi\"\n", "--learning-rate", "0.1", "--json");
    r.values.steps = 12; /* what the caller resolves later is what counts */
    Buf b = {0};
    buf_puts(&b, "x");
    options_json(TABLE, &COMMANDS[1], &r.values, &b);
    const char *wanted = "x{\"data\":[\"d\"],\"out\":\"o\",\"max-steps\":12,\"seed\":"
                         "9007199254740993,\"learning-rate\":0.1,"
                         "\"share\":0,\"note\":\"say "
                         "\\\"hi\\\"\\n\",\"weight-map\":\"minmax\",\"method\":null,\"json\":true,"
                         "\"shuffle\":true,\"extra\":[\"default.txt\"]}";
    CHECK(r.ok && same(b.s, wanted), "record:\n%s\n%s", b.s, wanted);
    CHECK(json_parse(&r.arena, b.s + 1, b.n - 1, NULL) != NULL, "the record is no JSON");
    b.n = 0;
    r.values.data.count = 0;
    const char *lists[] = {"p", "q"};
    r.values.extra = (OptionFiles){2, lists};
    options_json(TABLE, &COMMANDS[1], &r.values, &b);
    CHECK(strstr(b.s, "\"data\":[],") && strstr(b.s, "[\"p\",\"q\"]"), "lists: %s", b.s);
    b.n = 0;
    options_json(TABLE, &COMMANDS[2], &r.values, &b);
    CHECK(same(b.s, "{}"), "no options: %s", b.s);
    buf_free(&b);
    arena_free(&r.arena);
}

/* ---- the table ---- */

static void test_table(void) {
    Error err = {0};
    CHECK(options_check(TABLE, COMMANDS, &err), "%s", err.text);
    static const char *const hole[] = {[0] = "a", [2] = "c"}, *const twice[] = {"a", "b", "a"};
    static const struct {
        Option rows[2];
        const char *fragment;
    } bad[] = {
        {{{"Big", OPTION_INT, 0, "tune", "1", .help = "h"}}, "lower case"},
        {{{"a_b", OPTION_INT, 0, "tune", "1", .help = "h"}}, "lower case"},
        {{{"-a", OPTION_INT, 0, "tune", "1", .help = "h"}}, "lower case"},
        {{{"help", OPTION_FLAG, 0, "tune", NULL, .help = "h"}}, "taken"},
        {{{"a", OPTION_INT, 0, "tune", "1", .help = NULL}}, "help text"},
        {{{"a", OPTION_INT, 0, "tune nap", "1", .help = "h"}}, "unknown"},
        {{{"a", OPTION_INT, 0, "", "1", .help = "h"}}, "unknown"},
        {{{"a", OPTION_CHOICE, 0, "tune", NULL, .help = "h"}}, "choices"},
        {{{"a", OPTION_CHOICE, 0, "tune", "c", CHOICES(METHODS, COUNT(METHODS)), .help = "h"}},
         "none of"},
        {{{"a", OPTION_CHOICE, 0, "tune", "ab", CHOICES(METHODS, COUNT(METHODS)),
           .takes = not_second, .help = "h"}},
         "none of a|b"},
        {{{"a", OPTION_CHOICE, 0, "tune", "a", NAMES(hole, COUNT(hole)), .help = "h"}}, "no name"},
        {{{"a", OPTION_CHOICE, 0, "tune", "a", NAMES(twice, COUNT(twice)), .help = "h"}},
         "same name"},
        {{{"a", OPTION_INT, 0, "tune", "0", RANGE(1, 2), .help = "h"}}, "give 1 to 2"},
        {{{"a", OPTION_INT, 0, "tune", "1", RANGE(2, 1), .help = "h"}}, "range is empty"},
        {{{"a", OPTION_INT, 0, "tune", "1.5", .help = "h"}}, "whole number"},
        {{{"a", OPTION_FLAG, 0, "tune", "no", .help = "h"}}, "true nor false"},
        {{{"a", OPTION_INT, 0, "tune join", "1", .help = "h"},
          {"a", OPTION_INT, 8, "look tune", "1", .help = "h"}},
         "twice"},
        {{{"a", OPTION_INT, 0, "tune", "1", .help = "h"},
          {"b", OPTION_INT, 0, "tune", "1", .help = "h"}},
         "stored"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        Option rows[3] = {bad[i].rows[0], bad[i].rows[1], {0}};
        err = (Error){0};
        CHECK(!options_check(rows, COMMANDS, &err), "table %zu passes", i);
        CHECK(strstr(err.text, bad[i].fragment), "table %zu: wanted '%s' in: %s", i,
              bad[i].fragment, err.text);
    }
}

int main(void) {
    test_defaults();
    test_forms();
    test_positional();
    test_mistakes();
    test_commands();
    test_help();
    test_json();
    test_table();
    return check_report("test_options");
}
