/* Options from a file. */
#include "program/options_file.h"

#include <stdlib.h>

#include "lib/json.h"
#include "lib/text.h"
#include "lib/unicode.h"
#include "program/hints.h"
#include "program/settings.h"

enum { MOST = 4 << 20 };

/* What a file is read with. */
typedef struct {
    const char *path;
    const Command *command;
    bool of_run;    /* it is a run.json */
    Command run;    /* the command that wrote it */
    Objective made; /* the objective that the run had */
    Buf paths;      /* names of options that are not taken */
    Arena *arena;
    Error *err;
} OptionsFile;

/* The row of any command's option of that name. */
static const Option *row_of_any(Str key) {
    for (const Option *row = OPTIONS; row->name; row++) {
        size_t i = 0;
        while (i < key.n && row->name[i] && (key.s[i] == '_' ? '-' : key.s[i]) == row->name[i]) i++;
        if (i == key.n && row->name[i] == 0) return row;
    }
    return NULL;
}

static const Option *row_of(const Command *command, Str key) {
    Buf name = {0};
    buf_printf(&name, "--%.*s", STR_ARG(key));
    bool plain = memchr(key.s, '=', key.n) == NULL;
    const Option *row = plain ? options_argument(OPTIONS, command, (Str){name.s, name.n}) : NULL;
    buf_free(&name);
    /* "no-shuffle" is an argument, not an option's name. */
    return row && row_of_any(key) ? row : NULL;
}

/* Does the value name a file or a folder? */
static bool is_path(const Option *row, const Json *v) {
    static const char *const values[] = {"DIR", "FILE", "RUN"};
    bool path = row->type == OPTION_FILES || row->writes;
    for (size_t i = 0; row->value && i < sizeof values / sizeof *values; i++)
        path |= strcmp(row->value, values[i]) == 0;
    return path || (v->type == JSON_STRING && strncmp(v->string.s, "file:", 5) == 0);
}

/* Is it what the option has anyway? Some defaults depend on the objective. */
static bool is_default(const OptionsFile *f, const Option *row, const Json *v) {
    const ObjectiveInfo *o = &OBJECTIVES[f->made];
    const char *text = row->fallback;
    if (strcmp(row->name, "beta") == 0) return v->type == JSON_NUMBER && v->number == o->beta;
    if (strcmp(row->name, "reduce") == 0) text = REDUCTIONS[o->reduce].name;
    if (!text) return false;
    if (v->type == JSON_STRING) return str_is(v->string, text);
    if (v->type == JSON_BOOL) return strcmp(text, v->boolean ? "true" : "false") == 0;
    return v->type == JSON_NUMBER && v->number == strtod(text, NULL);
}

/* The value as a user types it. NULL: it is of no type that an option has, or has a NUL, which
 * would cut it. */
static const char *value_text(const OptionsFile *f, const Json *v) {
    if (v->type == JSON_STRING) return memchr(v->string.s, 0, v->string.n) ? NULL : v->string.s;
    if (v->type == JSON_BOOL) return v->boolean ? "true" : "false";
    if (v->type != JSON_NUMBER) return NULL;
    Buf b = {0};
    json_put_number(&b, v->number);
    const char *text = str_copy(f->arena, (Str){b.s, b.n}).s;
    buf_free(&b);
    return text;
}

/* The argument of one key, or NULL if none is made of it; with an error if it is refused. */
static char *argument_of(OptionsFile *f, Str key, const Json *v) {
    const Option *row = row_of(f->command, key), *any = row_of_any(key);
    Buf shown = {0};
    text_show(&shown, key, "");
    const char *hint = options_hint(HINTS, key);
    if (!any)
        error_set(f->err, STATUS_DATA,
                  "%s: \"%.200s\" is not an option%s%s ('ica %s --help' lists all)", f->path,
                  shown.s ? shown.s : "", hint ? "; " : "", hint ? hint : "", f->command->name);
    else if (!row && !f->of_run)
        error_set(f->err, STATUS_DATA, "%s: %s takes no \"%s\"; that is an option of: %s", f->path,
                  f->command->name, any->name, any->commands);
    buf_free(&shown);
    if (f->err->status || !row || v->type == JSON_NULL) return NULL;
    if (is_path(row, v) && v->type != JSON_OBJECT) {
        bool says = v->type == JSON_STRING || (v->type == JSON_ARRAY && v->count > 0);
        if (says) buf_printf(&f->paths, "%s%s", f->paths.n ? ", " : "", row->name);
        return NULL;
    }
    /* Commands differ in defaults: what the run left alone is left alone here. */
    const Option *of_run = f->of_run ? row_of(&f->run, key) : NULL;
    if (f->of_run && (is_default(f, row, v) || (of_run && is_default(f, of_run, v)))) return NULL;
    const char *text = value_text(f, v);
    if (!text)
        error_set(f->err, STATUS_DATA,
                  "%s: \"%s\": must be a text without NUL, a number, true or false", f->path,
                  row->name);
    return text ? (char *)text_new(f->arena, "--%s=%s", row->name, text) : NULL;
}

/* Is the option among the n arguments already, in whatever spelling? */
static bool occurs(char *const *argument, int n, const char *made) {
    size_t name = strcspn(made, "=") + 1;
    for (int i = 0; i < n; i++)
        if (strncmp(argument[i], made, name) == 0) return true;
    return false;
}

/* Fills in the arguments [count of the object]. Returns how many there are. */
static int read_arguments(OptionsFile *f, const Json *root, char **argument) {
    const Json *of_run = json_get(root, "options"), *all = root, *by = json_get(root, "command");
    int n = 0;
    f->of_run = of_run && of_run->type == JSON_OBJECT && by && by->type == JSON_STRING;
    if (f->of_run) {
        all = of_run;
        f->run.name = by->string.s;
    }
    const Json *objective = json_get(all, "objective");
    for (int i = 0; objective && i < OBJECTIVE_COUNT; i++)
        if (str_is(objective->string, OBJECTIVES[i].name)) f->made = (Objective)i;
    for (int i = 0; i < all->count && f->err->status == 0; i++) {
        char *made = argument_of(f, all->keys[i], &all->items[i]);
        if (made && occurs(argument, n, made))
            error_set(f->err, STATUS_DATA, "%s: \"%s\" occurs twice; keep one of them", f->path,
                      row_of(f->command, all->keys[i])->name);
        else if (made) argument[n++] = made;
    }
    if (f->paths.n > 0 && f->err->status == 0)
        fprintf(stderr, "%s: paths are not taken from it: %s\n", f->path, f->paths.s);
    return n;
}

/* Puts the arguments of the file in the place of argv[at] and `words` - 1 more, and first. */
static bool expand(OptionsFile *f, int at, int words, int *argc, char ***argv) {
    Buf text = {0};
    JsonError where = {.what = "it is not an object"};
    bool read = file_read_most(f->path, MOST, &text, f->err);
    size_t mark = read ? unicode_mark(text.s, text.n) : 0;
    const Json *root = read ? json_parse(f->arena, text.s + mark, text.n - mark, &where) : NULL;
    if (read && (!root || root->type != JSON_OBJECT))
        error_set(f->err, STATUS_DATA,
                  "%s: %s; it must be an object of options, {\"learning-rate\": 1e-3}, or a "
                  "run.json",
                  f->path, where.what);
    if (f->err->status == 0) {
        const Json *of_run = json_get(root, "options");
        size_t most = (size_t)root->count + (of_run ? (size_t)of_run->count : 0);
        char **all = arena_new(f->arena, most + (size_t)*argc + 1, sizeof *all);
        int n = read_arguments(f, root, all);
        for (int i = 0; i < *argc; i++)
            if (i < at || i >= at + words) all[n++] = (*argv)[i];
        *argv = all;
        *argc = n;
    }
    buf_free(&text);
    buf_free(&f->paths);
    return f->err->status == 0;
}

bool options_file_expand(const Command *command, int *argc, char ***argv, const char **file,
                         Arena *arena, Error *err) {
    static const char NAME[] = "--options";
    int at = -1, words = 1, found = 0;
    *file = NULL;
    for (int i = 0; i < *argc && strcmp((*argv)[i], "--") != 0; i++) {
        char *equals =
            strncmp((*argv)[i], "--options=", sizeof NAME) == 0 ? (*argv)[i] + sizeof NAME : NULL;
        bool next = strcmp((*argv)[i], NAME) == 0 && i + 1 < *argc;
        if (!equals && !next) continue;
        found++;
        at = i;
        words = next ? 2 : 1;
        *file = next ? (*argv)[i + 1] : equals;
    }
    if (found > 1)
        return error_set(err, STATUS_USAGE, "%s: --options is given twice; join the files",
                         command->name);
    OptionsFile f = {.path = *file, .command = command, .arena = arena, .err = err};
    return found == 0 || expand(&f, at, words, argc, argv);
}
