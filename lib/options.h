/* options: one table of options is the source of parsing, --help, range checks and a run's record.
 *
 * Usage:
 *   typedef struct { int layers, map; double rate; const char *out; OptionFiles data; } Values;
 *   #define AT_VALUE(field) offsetof(Values, field)
 *   static const char *const maps[] = {"linear", "rank"};
 *   static const Option table[] = {
 *       {"data", OPTION_FILES, AT_VALUE(data), "pretrain train", "!", .help = "what to train on"},
 *       {"out", OPTION_STRING, AT_VALUE(out), "pretrain train", "run", .value = "DIR",
 *        .help = "where the run goes"},
 *       {"layers", OPTION_INT, AT_VALUE(layers), "pretrain", "4", RANGE(1, 96), .help = "blocks"},
 *       {"learning-rate", OPTION_REAL, AT_VALUE(rate), "pretrain", "1e-3",
 *        RANGE(OPTION_POSITIVE, 1), .help = "peak step size"},
 *       {"learning-rate", OPTION_REAL, AT_VALUE(rate), "train", "1e-4",
 *        RANGE(OPTION_POSITIVE, 1), .help = "peak step size"},
 *       {"map", OPTION_CHOICE, AT_VALUE(map), "train", "rank", NAMES(maps, 2), .help = "the map"},
 *       {0}};
 *   static const Command commands[] = {{"pretrain", NULL, NULL, "trains from scratch"},
 *                                      {"train", NULL, NULL, "tunes a model"}, {0}};
 *   const OptionHint hints[] = {{"method", "the map is --map"}, {NULL, NULL}};
 *   char *arguments[] = {"--data", "pool.jsonl", "--map", "linear"};
 *   Values values;
 *   OptionResult result;
 *   Arena arena = {0};
 *   Error err = {0};
 *   Buf help = {0};
 *   const Command *command = options_command(commands, "train", &err);
 *   if (!command ||
 *       !options_parse(table, hints, command, 4, arguments, &values, &result, &arena, &err))
 *       error_print(&err);
 *   else if (result.help) options_help(table, commands, command, &help);
 *   else printf("%s %s\n", maps[values.map], options_given(&result, "out") ? "given" : "default");
 *   buf_free(&help);
 *   arena_free(&arena);
 *
 * On the command line: `--name value` or `--name=value`. A hyphen and an underscore in a name are
 * the same. If an option is repeated, the last value counts. A flag is `--name`, `--no-name` or
 * `--name=true|false`. OPTION_FILES takes all arguments up to the next one that starts with "--",
 * and may be repeated (`--name=FILE` adds only that one). A value that itself starts with "--" must
 * be written `--name=--value`, so that a forgotten value is noticed; -1 and "-" are plain values. A
 * bare `--` ends the options: what follows is positional.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "lib/util.h"

/* What is stored at a row's offset in the caller's struct. Unset numbers are 0, flags false,
 * strings NULL, lists empty and choices -1. */
typedef enum {
    OPTION_INT,    /* int */
    OPTION_INT64,  /* int64_t */
    OPTION_REAL,   /* double, always finite */
    OPTION_STRING, /* const char *, NULL when unset */
    OPTION_FLAG,   /* bool */
    OPTION_CHOICE, /* int or an enum: the index of the name in the row's table, -1 when unset */
    OPTION_FILES   /* OptionFiles */
} OptionType;

typedef struct {
    int count;
    const char **values; /* [count] */
} OptionFiles;

/* As `min`: the value must be above 0, not 0 itself. (It is the smallest positive double.) */
#define OPTION_POSITIVE 4.9406564584124654e-324

/* A table of names that a value is chosen from. Its rows may be of any struct that begins with
 * `const char *name`, so that the table can be the one that the rest of the program uses. */
typedef struct {
    const void *rows;
    size_t size; /* of a row in bytes */
    int count;
    bool has_help; /* each row's second member is `const char *help`, which --help prints */
} OptionNames;
/* The count is the enum's last value, such as MAP_COUNT. Headers declare these tables without a
 * size: with one, sizeof would be the declared size, and no assert could find a missing row. */
#define NAMES(table, count) .names = {table, sizeof *(table), count, false}
#define CHOICES(table, count) .names = {table, sizeof *(table), count, true}
#define RANGE(least, most) .min = least, .max = most

typedef struct {
    const char *name; /* lower case, with hyphens */
    OptionType type;
    size_t offset;        /* of the field that stores it */
    const char *commands; /* those that take it, separated by spaces; one row of a name for each */
    const char *fallback; /* the default as text; NULL: unset; "!": the user must give it */
    double min, max;      /* numbers: inclusive range, INFINITY for an open end; both 0: any */
    const char *value; /* the name of the value in --help ("DIR"); NULL: N, X, TEXT, NAME, FILE */
    const char *help;
    OptionNames names; /* OPTION_CHOICE: all choices. OPTION_STRING: names to list in --help */
    /* Nothing that is computed depends on it, or a file's content is what counts: a resumed run may
     * have another value. */
    bool free;
    bool writes;        /* names what is written: never taken from a file of arguments */
    bool (*takes)(int); /* OPTION_CHOICE: is this one of the names a choice here? NULL: all are */
    /* In --help, what this row and those after it are about. NULL: as the row before. */
    const char *section;
} Option; /* a table ends with name NULL */

struct Settings; /* the caller's struct of values; options knows only the table's offsets into it */

typedef struct {
    const char *name;
    bool (*run)(const struct Settings *s, Error *err); /* what the command does; for the caller */
    /* Arguments without a name, as words. NULL: none. "A B": two. "RUN...": one or more. "[FILE]":
     * none or one. */
    const char *positional;
    const char *summary; /* for --help */
} Command;               /* a list ends with name NULL */

typedef struct {
    bool help; /* --help or -h was among the arguments: nothing else was read, no value is set */
    OptionFiles positional;
    const Option *table;
    const Command *command;
    const bool *given; /* [rows of the table]: did the user give it? Read it with options_given. */
} OptionResult;

/* What to say to somebody who uses another program's name for an option. */
typedef struct {
    const char *names; /* as they are typed, without the two hyphens; separated by blanks */
    const char *hint;  /* what this program has instead; options are named with their hyphens */
} OptionHint;          /* a list ends with names NULL */

/* The hint for what was typed, with hyphens or underscores, or NULL. */
const char *options_hint(const OptionHint *hints, Str typed);

/* The command of that name; NULL with an error (status 2) that names the nearest if one is near. */
const Command *options_command(const Command *commands, const char *name, Error *err);

/* Sets every field that the command's rows name: defaults first, then the arguments, which start
 * after the command's name. Lists live in the arena, strings are argv's own. hints: names of other
 * programs. On a mistake of the user returns false with one line and status 2. */
bool options_parse(const Option *table, const OptionHint *hints, const Command *command, int argc,
                   char **argv, void *values, OptionResult *result, Arena *arena, Error *err);

/* Did the user give this option? False if its default is in use, and for options that the command
 * does not take. */
bool options_given(const OptionResult *result, const char *name);

/* The row of an option that the command takes, named as a user may write it: after "--", with
 * hyphens or underscores, perhaps with "=value" or a flag's "no-". NULL: it is none. */
const Option *options_argument(const Option *table, const Command *command, Str argument);

/* Appends help for one command, or with command NULL the list of commands. No line has more than
 * 100 columns. */
void options_help(const Option *table, const Command *commands, const Command *command, Buf *out);

/* Is the word in a list that blanks divide, such as an option's commands? */
bool options_list_has(const char *list, const char *word);

/* What lib/manual.h is made of. Does the command take this row? The row's name with its value, as
 * "--k N"; its text, with range and default; its i-th choice, NULL if it is not offered, and the
 * help of that choice, NULL if it has none. */
bool options_takes(const Option *row, const Command *command);
void options_left(const Option *row, Buf *out);
void options_right(const Option *row, Buf *out);
const char *options_choice(const Option *row, int i, const char **help);

/* Appends {"name":value,...} with every option of the command, in table order. The values are those
 * of now, so what the caller resolved after parsing is recorded. An unset value is null. */
void options_json(const Option *table, const Command *command, const void *values, Buf *out);

/* For tests: is the table itself sound? Names must be well formed, commands known, no option twice
 * for a command, no choice without a name, and each default of its type and in its range. The error
 * names the row. */
bool options_check(const Option *table, const Command *commands, Error *err);

#endif
