/* options: one table of options is the source for parsing, --help, range checks and the record of a run.
 *
 *   typedef struct { int layers; double rate; const char *out; bool json; OptionFiles data; } Values;
 *   #define AT(field) offsetof(Values, field)
 *   static const Option table[] = {
 *       {"data",          OPTION_FILES,  AT(data),   "pretrain train", "!",     0, 0, "FILE", "the records to train on"},
 *       {"out",           OPTION_STRING, AT(out),    "pretrain train", "!",     0, 0, "DIR",  "where the run goes"},
 *       {"layers",        OPTION_INT,    AT(layers), "pretrain",       "4",     1, 96, NULL,  "transformer blocks"},
 *       {"learning-rate", OPTION_REAL,   AT(rate),   "pretrain",       "1e-3",  OPTION_POSITIVE, 1, NULL, "peak step size"},
 *       {"learning-rate", OPTION_REAL,   AT(rate),   "train",          "1e-4",  OPTION_POSITIVE, 1, NULL, "peak step size"},
 *       {"json",          OPTION_FLAG,   AT(json),   "pretrain train", "false", 0, 0, NULL,   "print JSON"},
 *       {0}};
 *   static const Command commands[] = {
 *       {"pretrain", NULL, NULL, "trains from scratch"}, {"train", NULL, NULL, "tunes a model"}, {0}};
 *
 *   const Command *command = options_command(commands, argc > 1 ? argv[1] : NULL, &err);
 *   if (!command) return error_print(&err);
 *   if (!options_parse(table, command, argc - 2, argv + 2, &values, &result, &arena, &err)) return error_print(&err);
 *   if (result.help) return options_help(table, commands, command, stdout), 0;
 *   if (!options_given(&result, "layers")) values.layers = 12;   // a default that depends on other options
 *
 * On the command line: `--name value` or `--name=value`; a hyphen and an underscore in a name are the same; of a repeated
 * option the last value counts. A flag is `--name`, `--no-name` or `--name=true|false`. OPTION_FILES takes all arguments up
 * to the next one that starts with "--", and may be repeated (`--name=FILE` adds that one alone). A value that itself starts
 * with "--" must be written `--name=--value`, so that a forgotten value is noticed; -1 and "-" need no such care. A bare `--`
 * ends the options: what follows is positional.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "lib/util.h"

/* What is stored at a row's offset in the caller's struct: */
typedef enum {
    OPTION_INT,    /* int */
    OPTION_INT64,  /* int64_t */
    OPTION_REAL,   /* double, always finite */
    OPTION_STRING, /* const char *, NULL when unset */
    OPTION_FLAG,   /* bool */
    OPTION_CHOICE, /* const char *, the text of one of the choices (compare with strcmp), NULL when unset */
    OPTION_FILES   /* OptionFiles */
} OptionType;

typedef struct {
    int count;
    const char **values; /* [count] */
} OptionFiles;

/* As `min`: the value must be above 0, not 0 itself. (It is the smallest positive double.) */
#define OPTION_POSITIVE 4.9406564584124654e-324

typedef struct {
    const char *name; /* lower case, with hyphens */
    OptionType type;
    size_t offset;
    const char *commands; /* those that take it, separated by blanks; rows of one name have disjoint commands */
    const char *fallback; /* default as text; NULL: unset, stored as 0, NULL, false or no files; "!": the user must give it */
    double min, max;      /* numbers: inclusive range, INFINITY for an open end; both 0: any */
    const char *choices;  /* OPTION_CHOICE: "a|b|c". Others: the name of the value in --help ("DIR"); NULL: N, X, TEXT, FILE */
    const char *help;
} Option; /* a table ends with name NULL */

struct Settings; /* the caller's struct of values; options knows only the table's offsets into it */

typedef struct {
    const char *name;
    bool (*run)(const struct Settings *s, Error *err); /* what the command does; for the caller */
    const char *positional; /* NULL: none. Else words: "A B" two; "RUN..." one or more; "[FILE]" none or one */
    const char *summary;    /* for --help */
} Command;                  /* a list ends with name NULL */

typedef struct {
    bool help; /* --help or -h stands among the arguments: nothing else was looked at, no value is set */
    OptionFiles positional;
    const Option *table;
    const Command *command;
    const bool *given; /* [rows of the table]: did the user give it? Read it with options_given. */
} OptionResult;

/* The command of that name; NULL with an error (status 2) that names the nearest. */
const Command *options_command(const Command *commands, const char *name, Error *err);

/* Sets every field that the command's rows name: defaults first, then the arguments (those behind the command's name). Lists
 * and choices live in the arena, other strings are argv's own. On a mistake of the user: false, one line, status 2. */
bool options_parse(const Option *table, const Command *command, int argc, char **argv, void *values, OptionResult *result,
                   Arena *arena, Error *err);

/* Did the user give this option (as opposed to its default)? False for options that the command does not take. */
bool options_given(const OptionResult *result, const char *name);

/* Is there an option of that name that the command takes? */
bool options_takes(const Option *table, const Command *command, const char *name);

/* Help for one command, or with command NULL the list of commands; lines of at most 100 columns. */
void options_help(const Option *table, const Command *commands, const Command *command, FILE *out);

/* Appends {"name":value,...}: every option of the command in table order, from the values as they are now (so what the caller
 * resolved later is what is recorded). Unset strings are null. */
void options_json(const Option *table, const Command *command, const void *values, Buf *out);

/* For tests: is the table itself sound? Names well formed, commands known, no option twice for a command, each default of its
 * type and in its range. The error names the row. */
bool options_check(const Option *table, const Command *commands, Error *err);

#endif
