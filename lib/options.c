#include "lib/options.h"
#include "lib/json.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char PROGRAM[] = "ica";

/* ---- names ---- */

/* Does a list of words separated by blanks hold this word? */
bool options_list_has(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *p = list; *p;) {
        size_t length = strcspn(p, " ");
        if (length == n && memcmp(p, word, n) == 0) return true;
        p += length;
        p += strspn(p, " ");
    }
    return false;
}

static char fold(char c) { return c == '_' ? '-' : c; }

static bool name_is(Str typed, const char *name) {
    size_t i = 0;
    for (; i < typed.n && name[i]; i++)
        if (fold(typed.s[i]) != fold(name[i])) return false;
    return i == typed.n && name[i] == 0;
}

const char *options_hint(const OptionHint *hints, Str typed) {
    for (const OptionHint *h = hints; h->names && typed.n > 0; h++)
        for (const char *p = h->names; *p;) {
            size_t length = strcspn(p, " "), i = 0;
            while (i < length && i < typed.n && fold(typed.s[i]) == p[i]) i++;
            if (i == length && i == typed.n) return h->hint;
            p += length;
            p += strspn(p, " ");
        }
    return NULL;
}

static const Option *row_find(const Option *table, const Command *command, Str typed) {
    for (const Option *row = table; row->name; row++)
        if (name_is(typed, row->name) && options_list_has(row->commands, command->name)) return row;
    return NULL;
}

enum { NAME_MAX_COMPARED = 64 };

/* Levenshtein's distance between what was typed and a name. Overlong text is cut to save time: it
 * is far from everything. */
static int edit_distance(Str typed, const char *name) {
    int row[NAME_MAX_COMPARED + 1];
    size_t n = strlen(name);
    if (n > NAME_MAX_COMPARED) n = NAME_MAX_COMPARED;
    if (typed.n > NAME_MAX_COMPARED) typed.n = NAME_MAX_COMPARED;
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 1; i <= typed.n; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int best = diagonal + (fold(typed.s[i - 1]) != name[j - 1]);
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[n];
}

/* How far a name is from what was typed, for suggestions. Someone who types --rate means
 * --learning-rate although --data is fewer edits away: a name that contains the typed text counts
 * as one edit away, and as none if that is a word of it. */
static int name_cost(Str typed, const char *name) {
    int distance = edit_distance(typed, name), cost = distance;
    size_t n = strlen(name);
    for (size_t at = 0; typed.n >= 3 && at + typed.n <= n; at++) {
        size_t i = 0, end = at + typed.n;
        while (i < typed.n && fold(typed.s[i]) == name[at + i]) i++;
        if (i < typed.n) continue;
        bool word = (at == 0 || name[at - 1] == '-') && (end == n || name[end] == '-');
        int contained = word ? 0 : 1;
        if (contained < cost) cost = contained;
    }
    return cost * 256 + distance;
}

/* Is a name of this cost near enough to be meant? It takes at most one edit for three letters. */
static bool name_is_near(Str typed, int cost) { return (size_t)cost / 256 <= (typed.n + 1) / 3; }

const Command *options_command(const Command *commands, const char *name, Error *err) {
    if (!name) {
        error_set(err, STATUS_USAGE, "no command given; '%s --help' lists them", PROGRAM);
        return NULL;
    }
    const Command *nearest = commands;
    for (const Command *c = commands; c->name; c++) {
        if (name_is(str(name), c->name)) return c;
        if (name_cost(str(name), c->name) < name_cost(str(name), nearest->name)) nearest = c;
    }
    if (name_is_near(str(name), name_cost(str(name), nearest->name)))
        error_set(err, STATUS_USAGE,
                  "unknown command '%.200s'; the nearest is '%s' ('%s --help' lists all)", name,
                  nearest->name, PROGRAM);
    else
        error_set(err, STATUS_USAGE, "unknown command '%.200s' ('%s --help' lists all)", name,
                  PROGRAM);
    return NULL;
}

/* ---- values ---- */

static bool range_is_open(const Option *row) { return row->min == 0 && row->max == 0; }

/* "1 to 96", "at least 0", "above 0, at most 1"; empty if any value will do. */
static void range_put(const Option *row, Buf *out) {
    if (range_is_open(row)) return;
    bool above = row->min == OPTION_POSITIVE, low = row->min > -INFINITY,
         high = row->max < INFINITY;
    if (above) buf_puts(out, "above 0");
    if (low && !above && high) buf_printf(out, "%.15g to %.15g", row->min, row->max);
    else if (low && !above) buf_printf(out, "at least %.15g", row->min);
    else if (high) buf_printf(out, "%sat most %.15g", above ? ", " : "", row->max);
}

/* ---- choices ---- */

static const char *choice_name(const Option *row, int i) {
    const char *const *name =
        (const void *)((const char *)row->names.rows + (size_t)i * row->names.size);
    return name[0];
}

static const char *choice_help(const Option *row, int i) {
    const char *const *name =
        (const void *)((const char *)row->names.rows + (size_t)i * row->names.size);
    return name[1];
}

static bool choice_offered(const Option *row, int i) { return !row->takes || row->takes(i); }

/* Appends the names, separated. */
static void choices_put(const Option *row, const char *separator, Buf *out) {
    bool first = true;
    for (int i = 0; i < row->names.count; i++) {
        if (!choice_offered(row, i)) continue;
        buf_printf(out, "%s%s", first ? "" : separator, choice_name(row, i));
        first = false;
    }
}

/* ---- values of one option ---- */

/* An option of a command with its value, while it is parsed. Messages are about it. */
typedef struct {
    const Command *command;
    const Option *row;
    const char *text;
    Error *err;
} Value;

static bool value_fails(const Value *v, const char *why) {
    return error_set(v->err, STATUS_USAGE, "%s: --%s '%.200s': %s", v->command->name, v->row->name,
                     v->text, why);
}

static bool value_out_of_range(const Value *v) {
    Buf why = {0};
    buf_puts(&why, "is out of range; give ");
    size_t before = why.n;
    range_put(v->row, &why);
    bool limited = !range_is_open(v->row) && v->row->max < INFINITY;
    if (!limited && v->row->type != OPTION_REAL)
        buf_printf(&why, "%s %d bits", why.n == before ? "a number of" : ", at most",
                   v->row->type == OPTION_INT ? 32 : 64);
    value_fails(v, why.s);
    buf_free(&why);
    return false;
}

static bool in_range(const Option *row, double x) {
    return range_is_open(row) || (x >= row->min && x <= row->max);
}

static bool parse_integer(const Value *v, int64_t *out) {
    const char *digits = v->text + (v->text[0] == '-' || v->text[0] == '+');
    if (digits[0] == 0 || digits[strspn(digits, "0123456789")] != 0)
        return value_fails(v, "is not a whole number; write only digits");
    errno = 0;
    long long x = strtoll(v->text, NULL, 10);
    bool fits = errno == 0 && (v->row->type == OPTION_INT64 || (x >= INT_MIN && x <= INT_MAX));
    if (!fits || !in_range(v->row, (double)x)) return value_out_of_range(v);
    *out = x;
    return true;
}

static bool parse_real(const Value *v, double *out) {
    /* The set of bytes keeps out what strtod knows beyond decimal numbers: blanks, hexadecimal, inf
     * and nan. */
    char *end = NULL;
    bool plain = v->text[0] != 0 && v->text[strspn(v->text, "0123456789+-.eE")] == 0;
    double x = plain ? strtod(v->text, &end) : 0;
    if (!plain || *end != 0) return value_fails(v, "is not a number; write it as 0.001 or 1e-3");
    if (!isfinite(x)) return value_fails(v, "is too large for a number");
    if (!in_range(v->row, x)) return value_out_of_range(v);
    *out = x == 0 ? 0 : x; /* a record of -0 would not be one of 0 */
    return true;
}

/* Stores the index of the choice that was typed. */
static bool parse_choice(const Value *v, int *out) {
    for (int i = 0; i < v->row->names.count; i++)
        if (choice_offered(v->row, i) && strcmp(choice_name(v->row, i), v->text) == 0) {
            *out = i;
            return true;
        }
    Buf why = {0};
    buf_puts(&why, "is none of ");
    choices_put(v->row, "|", &why);
    value_fails(v, why.s);
    buf_free(&why);
    return false;
}

/* Is it the word, small or capital? Python writes True. */
static bool word_is(const char *text, const char *word) {
    size_t i = 0;
    for (; text[i] && word[i]; i++)
        if (text[i] != word[i] && text[i] != word[i] - 'a' + 'A') return false;
    return text[i] == word[i];
}

/* Parses the text by the row's type, checks it, and stores it at `field`. Files are stored
 * elsewhere: they are lists. */
static bool value_store(const Value *v, void *field) {
    int64_t integer = 0;
    bool yes = word_is(v->text, "true"), no = word_is(v->text, "false");
    switch (v->row->type) {
    case OPTION_INT:
        if (!parse_integer(v, &integer)) return false;
        *(int *)field = (int)integer;
        return true;
    case OPTION_INT64: return parse_integer(v, field);
    case OPTION_REAL: return parse_real(v, field);
    case OPTION_FLAG:
        if (!yes && !no) return value_fails(v, "is neither true nor false");
        *(bool *)field = yes;
        return true;
    case OPTION_CHOICE: return parse_choice(v, field);
    case OPTION_STRING: *(const char **)field = v->text; return true;
    case OPTION_FILES: break;
    }
    return true;
}

/* ---- parsing ---- */

typedef struct {
    const Option *table;
    const OptionHint *hints;
    const Command *command;
    int argc, at; /* argv[at] is next */
    char **argv;
    char *values;
    bool *given;
    const Option *flag; /* the argument before argv[at] if that is a flag without a value */
    OptionResult *result;
    Arena *arena;
    Error *err;
} Parser;

static bool starts_option(const char *argument) { return argument[0] == '-' && argument[1] == '-'; }

static void list_add(Parser *p, OptionFiles *list, const char *text) {
    /* Room for the most there can be: no list needs to grow. */
    if (!list->values)
        list->values = arena_new(p->arena, (size_t)p->argc + 1, sizeof *list->values);
    list->values[list->count++] = text;
}

static bool set_default(Parser *p, const Option *row) {
    Value v = {p->command, row, row->fallback, p->err};
    void *field = p->values + row->offset;
    bool unset = !row->fallback || strcmp(row->fallback, "!") == 0;
    if (row->type == OPTION_FILES) {
        OptionFiles list = {0};
        if (!unset) list_add(p, &list, row->fallback);
        *(OptionFiles *)field = list;
        return true;
    }
    if (!unset) return value_store(&v, field);
    switch (row->type) {
    case OPTION_INT: *(int *)field = 0; break;
    case OPTION_INT64: *(int64_t *)field = 0; break;
    case OPTION_REAL: *(double *)field = 0; break;
    case OPTION_FLAG: *(bool *)field = false; break;
    case OPTION_CHOICE: *(int *)field = -1; break;
    default: *(const char **)field = NULL; break;
    }
    return true;
}

static void help_hint(const Command *command, Buf *out) {
    buf_printf(out, " ('%s %s --help' lists all)", PROGRAM, command->name);
}

/* Appends the commands that have an option of this name. Returns how many rows there are. */
static int put_commands(const Parser *p, Str typed, Buf *out) {
    int rows = 0;
    for (const Option *row = p->table; row->name; row++)
        if (name_is(typed, row->name)) buf_printf(out, "%s%s", rows++ ? " " : "", row->commands);
    return rows;
}

/* Appends a hint. "say --NAME" gets the commands of that option if this one has it not. */
static void put_hint(const Parser *p, const char *hint, Buf *out) {
    static const char SAY[] = "say --";
    buf_printf(out, "; %s", hint);
    if (strncmp(hint, SAY, sizeof SAY - 1) != 0) return;
    const char *at = hint + sizeof SAY - 1;
    Str name = {at, strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-")};
    Buf commands = {0};
    if (!row_find(p->table, p->command, name) && put_commands(p, name, &commands))
        buf_printf(out, ", an option of: %s", commands.s);
    buf_free(&commands);
}

/* An option that this command does not take: another program's, another command's, or a slip of
 * the fingers. */
static bool unknown_option(const Parser *p, Str typed) {
    Buf text = {0};
    const char *hint = options_hint(p->hints, typed);
    const Option *nearest = NULL;
    if (!hint && put_commands(p, typed, &text)) {
        error_set(p->err, STATUS_USAGE, "%s: takes no --%.*s; that is an option of: %s",
                  p->command->name, STR_ARG(typed), text.s);
        buf_free(&text);
        return false;
    }
    for (const Option *row = p->table; row->name; row++)
        if (options_list_has(row->commands, p->command->name) &&
            (!nearest || name_cost(typed, row->name) < name_cost(typed, nearest->name)))
            nearest = row;
    if (hint) put_hint(p, hint, &text);
    else if (!nearest) buf_puts(&text, "; this command takes no options");
    else if (name_is_near(typed, name_cost(typed, nearest->name)))
        buf_printf(&text, "; the nearest is --%s", nearest->name);
    help_hint(p->command, &text);
    if (typed.n > 200) typed.n = 200;
    error_set(p->err, STATUS_USAGE, "%s: unknown option --%.*s%s", p->command->name, STR_ARG(typed),
              text.s);
    buf_free(&text);
    return false;
}

static bool missing_value(const Parser *p, const Option *row) {
    const char *next = p->at < p->argc ? p->argv[p->at] : NULL;
    if (!next)
        return error_set(p->err, STATUS_USAGE, "%s: --%s: its value is missing", p->command->name,
                         row->name);
    return error_set(p->err, STATUS_USAGE,
                     "%s: --%s: its value is missing before '%.200s' (a value that starts with -- "
                     "is given as --%s=...)",
                     p->command->name, row->name, next, row->name);
}

static bool parse_files(Parser *p, const Option *row, const char *attached) {
    OptionFiles *list = (OptionFiles *)(void *)(p->values + row->offset);
    if (!p->given[row - p->table]) *list = (OptionFiles){0}; /* the default goes */
    if (attached) {
        list_add(p, list, attached);
        return true;
    }
    if (p->at == p->argc || starts_option(p->argv[p->at])) return missing_value(p, row);
    while (p->at < p->argc && !starts_option(p->argv[p->at])) list_add(p, list, p->argv[p->at++]);
    return true;
}

/* One option with its value; p->at is after the name. */
static bool parse_option(Parser *p, const char *argument) {
    const char *name = argument + 2, *equals = strchr(name, '=');
    const char *text = equals ? equals + 1 : NULL;
    Str typed = {name, equals ? (size_t)(equals - name) : strlen(name)};
    const Option *row = row_find(p->table, p->command, typed);
    bool negated = !row && typed.n > 3 && name[0] == 'n' && name[1] == 'o' && fold(name[2]) == '-';
    if (negated) row = row_find(p->table, p->command, (Str){name + 3, typed.n - 3});
    if (!row) return unknown_option(p, typed);
    if (negated && (row->type != OPTION_FLAG || text))
        return error_set(p->err, STATUS_USAGE, "%s: --no-%s: %s", p->command->name, row->name,
                         text ? "takes no value"
                              : "there is no such option; its plain form takes a value");
    bool done;
    if (row->type == OPTION_FILES) done = parse_files(p, row, text);
    else {
        if (row->type == OPTION_FLAG && !text) {
            text = negated ? "false" : "true";
            p->flag = row;
        }
        if (!text) {
            if (p->at == p->argc || starts_option(p->argv[p->at])) return missing_value(p, row);
            text = p->argv[p->at++];
        }
        Value v = {p->command, row, text, p->err};
        done = value_store(&v, p->values + row->offset);
    }
    if (done) p->given[row - p->table] = true;
    return done;
}

/* argument: what follows a flag. Refuses what other programs take for its value. */
static bool check_flag_value(const Parser *p, const char *argument) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    bool is_value = false;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        is_value |= (i < 2 || !p->command->positional) && word_is(argument, words[i]);
    if (!is_value) return true;
    return error_set(p->err, STATUS_USAGE,
                     "%s: --%s %s: it is a switch, which takes no word after it; write --%s or "
                     "--%s=false",
                     p->command->name, p->flag->name, argument, p->flag->name, p->flag->name);
}

static bool parse_positional(Parser *p, const char *argument, bool after_end) {
    if (argument[0] == '-' && argument[1] && !after_end)
        return error_set(p->err, STATUS_USAGE,
                         "%s: unknown argument '%.200s'; options start with two hyphens",
                         p->command->name, argument);
    if (!p->command->positional)
        return error_set(p->err, STATUS_USAGE,
                         "%s: unexpected argument '%.200s'; this command takes options only",
                         p->command->name, argument);
    list_add(p, &p->result->positional, argument);
    return true;
}

/* How many arguments the words of Command.positional ask for. */
static bool check_positional(const Parser *p) {
    int least = 0, most = 0, found = p->result->positional.count;
    bool any_number = false;
    for (const char *word = p->command->positional; word && *word;) {
        size_t n = strcspn(word, " ");
        least += word[0] != '[';
        most++;
        for (size_t i = 0; i + 3 <= n; i++) any_number |= memcmp(word + i, "...", 3) == 0;
        word += n;
        word += strspn(word, " ");
    }
    if (found >= least && (any_number || found <= most)) return true;
    return error_set(p->err, STATUS_USAGE, "%s: wants %s, but got %d argument%s", p->command->name,
                     p->command->positional, found, found == 1 ? "" : "s");
}

static const char *value_name(const Option *row) {
    static const char *const names[] = {"N", "N",    "X",   "TEXT",
                                        "",  "NAME", "FILE"}; /* in the order of OptionType */
    return row->value ? row->value : names[row->type];
}

static bool check_needed(const Parser *p) {
    Buf missing = {0};
    for (const Option *row = p->table; row->name; row++)
        if (row->fallback && strcmp(row->fallback, "!") == 0 &&
            options_list_has(row->commands, p->command->name) && !p->given[row - p->table])
            buf_printf(&missing, "%s--%s %s", missing.n ? ", " : "", row->name, value_name(row));
    if (missing.n == 0) return true;
    help_hint(p->command, &missing);
    error_set(p->err, STATUS_USAGE, "%s: needs %s", p->command->name, missing.s);
    buf_free(&missing);
    return false;
}

static bool wants_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

bool options_parse(const Option *table, const OptionHint *hints, const Command *command, int argc,
                   char **argv, void *values, OptionResult *result, Arena *arena, Error *err) {
    size_t rows = 0;
    while (table[rows].name) rows++;
    bool *given = arena_new(arena, rows + 1, sizeof *given);
    *result = (OptionResult){
        .help = wants_help(argc, argv), .table = table, .command = command, .given = given};
    if (result->help) return true;
    Parser p = {table, hints, command, argc, 0, argv, values, given, NULL, result, arena, err};
    for (const Option *row = table; row->name; row++)
        if (options_list_has(row->commands, command->name) && !set_default(&p, row)) return false;
    bool after_end = false;
    while (p.at < argc) {
        const char *argument = argv[p.at++];
        bool ok = !p.flag || check_flag_value(&p, argument);
        p.flag = NULL;
        if (!ok) return false;
        if (!after_end && strcmp(argument, "--") == 0) after_end = true;
        else if (!after_end && starts_option(argument)) ok = parse_option(&p, argument);
        else ok = parse_positional(&p, argument, after_end);
        if (!ok) return false;
    }
    return check_needed(&p) && check_positional(&p);
}

bool options_given(const OptionResult *result, const char *name) {
    const Option *row = row_find(result->table, result->command, str(name));
    return row && result->given[row - result->table];
}

const Option *options_argument(const Option *table, const Command *command, Str argument) {
    if (argument.n < 2 || !starts_option(argument.s)) return NULL;
    const char *name = argument.s + 2, *equals = memchr(name, '=', argument.n - 2);
    Str typed = {name, equals ? (size_t)(equals - name) : argument.n - 2};
    const Option *row = row_find(table, command, typed);
    if (row || typed.n <= 3 || memcmp(name, "no", 2) != 0) return row;
    return row_find(table, command, (Str){name + 3, typed.n - 3});
}

/* ---- help ---- */

enum { HELP_WIDTH = 100, HELP_LEFT_MOST = 34 };

/* Appends words from column `at`, wrapped at HELP_WIDTH; further lines start at `indent`. Overlong
 * words are split. */
static void put_wrapped(Buf *out, const char *text, int at, int indent) {
    bool line_empty = true;
    while (*text) {
        text += strspn(text, " \n");
        int n = (int)strcspn(text, " \n");
        if (n == 0) break;
        if (!line_empty && at + 1 + n > HELP_WIDTH) {
            buf_printf(out, "\n%*s", indent, "");
            at = indent;
            line_empty = true;
        }
        if (!line_empty) {
            buf_putc(out, ' ');
            at++;
        }
        if (n > HELP_WIDTH - at) n = HELP_WIDTH - at;
        buf_put(out, text, (size_t)n);
        text += n;
        at += n;
        line_empty = false;
    }
    buf_putc(out, '\n');
}

/* "--name VALUE", or all the choices when they are few. */
static void put_left(Buf *out, const Option *row) {
    bool on = row->type == OPTION_FLAG && row->fallback && strcmp(row->fallback, "true") == 0;
    buf_printf(out, "--%s%s", on ? "[no-]" : "", row->name);
    if (row->type == OPTION_FLAG) return;
    Buf choices = {0};
    if (row->type == OPTION_CHOICE) choices_put(row, "|", &choices);
    bool shown = choices.n && strlen(row->name) + choices.n + 3 <= HELP_LEFT_MOST;
    buf_printf(out, " %s%s", shown ? choices.s : value_name(row),
               row->type == OPTION_FILES ? "..." : "");
    buf_free(&choices);
}

/* The help text, then range and default in parentheses. Choices are named there if they have no
 * help of their own and are not in the left column. */
static void put_right(Buf *out, const Option *row) {
    buf_puts(out, row->help);
    Buf more = {0}, left = {0};
    put_left(&left, row);
    if (row->type == OPTION_CHOICE && !row->names.has_help && !strchr(left.s, '|')) {
        buf_puts(&more, "one of ");
        choices_put(row, ", ", &more);
    }
    bool number = row->type == OPTION_INT || row->type == OPTION_INT64 || row->type == OPTION_REAL;
    if (number && !range_is_open(row)) range_put(row, &more);
    bool plain_flag =
        row->type == OPTION_FLAG && row->fallback && strcmp(row->fallback, "false") == 0;
    if (row->fallback && strcmp(row->fallback, "!") != 0 && !plain_flag)
        buf_printf(&more, "%sdefault %s", more.n ? "; " : "", row->fallback);
    if (more.n) buf_printf(out, " (%s)", more.s);
    buf_free(&more);
    buf_free(&left);
}

/* A line for each choice with help of its own, below the option's entry. */
static void put_choices(Buf *out, const Option *row, int column) {
    int widest = 0;
    for (int i = 0; i < row->names.count; i++) {
        int n = (int)strlen(choice_name(row, i));
        if (choice_offered(row, i) && n > widest) widest = n;
    }
    for (int i = 0; i < row->names.count && row->names.has_help; i++) {
        if (!choice_offered(row, i)) continue;
        buf_printf(out, "%*s%-*s", column + 2, "", widest + 2, choice_name(row, i));
        put_wrapped(out, choice_help(row, i), column + widest + 4, column + widest + 4);
    }
}

/* One entry: a left column of `column` characters, then wrapped text; a longer left part gets a
 * line of its own. */
static void put_entry(Buf *out, const char *left, const char *right, int column) {
    int n = (int)strlen(left);
    buf_printf(out, "  %s", left);
    if (n + 4 > column) buf_printf(out, "\n%*s", column, "");
    else buf_printf(out, "%*s", column - n - 2, "");
    put_wrapped(out, right, column, column);
}

static void put_section(Buf *out, const char *section) {
    buf_printf(out, "\noptions%s%s:\n", section ? ", " : "", section ? section : "");
}

/* The rows that the user must give, or the others by section. Without any there is one section. */
static void put_rows(Buf *out, const Option *table, const Command *command, bool needed,
                     int column) {
    Buf left = {0}, right = {0};
    const char *section = NULL, *shown = NULL;
    bool any = false;
    for (const Option *row = table; row->name; row++) {
        bool is_needed = row->fallback && strcmp(row->fallback, "!") == 0;
        if (row->section) section = row->section;
        if (is_needed != needed || !options_list_has(row->commands, command->name)) continue;
        if (needed && !any) buf_puts(out, "\nneeded:\n");
        if (!needed && (!any || section != shown)) put_section(out, section);
        any = true;
        shown = section;
        left.n = right.n = 0;
        put_left(&left, row);
        put_right(&right, row);
        put_entry(out, left.s, right.s, column);
        put_choices(out, row, column);
    }
    if (!needed && !any) put_section(out, NULL);
    buf_free(&left);
    buf_free(&right);
}

static void put_command_help(Buf *out, const Option *table, const Command *command) {
    int column = (int)strlen("--help") + 4;
    Buf left = {0};
    for (const Option *row = table; row->name; row++) {
        if (!options_list_has(row->commands, command->name)) continue;
        left.n = 0;
        put_left(&left, row);
        if (left.n <= HELP_LEFT_MOST && (int)left.n + 4 > column) column = (int)left.n + 4;
    }
    buf_free(&left);
    buf_printf(out, "usage: %s %s%s%s [options]\n\n", PROGRAM, command->name,
               command->positional ? " " : "", command->positional ? command->positional : "");
    put_wrapped(out, command->summary, 0, 0);
    put_rows(out, table, command, true, column);
    put_rows(out, table, command, false, column);
    put_entry(out, "--help", "print this", column);
}

void options_help(const Option *table, const Command *commands, const Command *command, Buf *out) {
    if (command) {
        put_command_help(out, table, command);
        return;
    }
    int column = 0;
    for (const Command *c = commands; c->name; c++)
        if ((int)strlen(c->name) + 4 > column) column = (int)strlen(c->name) + 4;
    buf_printf(out, "usage: %s COMMAND [options]\n\ncommands:\n", PROGRAM);
    for (const Command *c = commands; c->name; c++) put_entry(out, c->name, c->summary, column);
    buf_printf(
        out,
        "\n'%s COMMAND --help' lists a command's options; '%s --version' prints the version.\n",
        PROGRAM, PROGRAM);
}

/* ---- for the manual ---- */

bool options_takes(const Option *row, const Command *command) {
    return options_list_has(row->commands, command->name);
}

void options_left(const Option *row, Buf *out) { put_left(out, row); }

void options_right(const Option *row, Buf *out) { put_right(out, row); }

const char *options_choice(const Option *row, int i, const char **help) {
    if (!choice_offered(row, i)) return NULL;
    *help = row->names.has_help ? choice_help(row, i) : NULL;
    return choice_name(row, i);
}

/* ---- the record ---- */

static void put_json_string(Buf *out, const char *s) {
    if (s) json_put_string(out, str(s));
    else buf_puts(out, "null");
}

static void put_json_files(Buf *out, const OptionFiles *files) {
    buf_putc(out, '[');
    for (int i = 0; i < files->count; i++) {
        if (i) buf_putc(out, ',');
        put_json_string(out, files->values[i]);
    }
    buf_putc(out, ']');
}

static const char *chosen_name(const Option *row, int choice) {
    return choice < 0 ? NULL : choice_name(row, choice);
}

void options_json(const Option *table, const Command *command, const void *values, Buf *out) {
    bool first = true;
    buf_putc(out, '{');
    for (const Option *row = table; row->name; row++) {
        if (!options_list_has(row->commands, command->name)) continue;
        const void *field = (const char *)values + row->offset;
        if (!first) buf_putc(out, ',');
        first = false;
        put_json_string(out, row->name);
        buf_putc(out, ':');
        switch (row->type) {
        case OPTION_INT: buf_printf(out, "%d", *(const int *)field); break;
        case OPTION_INT64: buf_printf(out, "%lld", (long long)*(const int64_t *)field); break;
        case OPTION_REAL: json_put_number(out, *(const double *)field); break;
        case OPTION_FLAG: buf_puts(out, *(const bool *)field ? "true" : "false"); break;
        case OPTION_STRING: put_json_string(out, *(const char *const *)field); break;
        case OPTION_CHOICE: put_json_string(out, chosen_name(row, *(const int *)field)); break;
        case OPTION_FILES: put_json_files(out, field); break;
        }
    }
    buf_putc(out, '}');
}

/* ---- is the table sound? ---- */

static bool share_command(const Option *a, const Option *b, const Command *commands) {
    for (const Command *c = commands; c->name; c++)
        if (options_list_has(a->commands, c->name) && options_list_has(b->commands, c->name))
            return true;
    return false;
}

static bool check_commands(const Option *row, const Command *commands) {
    for (const char *p = row->commands; *p;) {
        size_t n = strcspn(p, " ");
        const Command *c = commands;
        while (c->name && (strlen(c->name) != n || memcmp(p, c->name, n) != 0)) c++;
        if (!c->name) return false;
        p += n;
        p += strspn(p, " ");
    }
    return row->commands[0] != 0;
}

/* Every choice needs a name of its own. A hole is an enum value that its table forgot. */
static const char *check_choices(const Option *row) {
    if (row->names.count == 0) return "it lacks its choices";
    for (int i = 0; i < row->names.count; i++) {
        if (!choice_name(row, i)) return "a choice has no name";
        for (int j = 0; j < i; j++)
            if (strcmp(choice_name(row, i), choice_name(row, j)) == 0)
                return "two choices have the same name";
    }
    return NULL;
}

bool options_check(const Option *table, const Command *commands, Error *err) {
    union {
        int integer;
        int64_t large;
        double number;
        bool flag;
        const char *text;
    } scratch;
    for (const Option *row = table; row->name && err->status == 0; row++) {
        const char *wrong = NULL;
        if (row->name[0] < 'a' || row->name[0] > 'z' ||
            row->name[strspn(row->name, "abcdefghijklmnopqrstuvwxyz0123456789-")])
            wrong = "its name is not lower case with hyphens";
        else if (strcmp(row->name, "help") == 0) wrong = "help is taken";
        else if (!row->help || !row->commands) wrong = "it lacks a help text or its commands";
        else if (!check_commands(row, commands)) wrong = "one of its commands is unknown";
        else if (row->type == OPTION_CHOICE && check_choices(row)) wrong = check_choices(row);
        else if (!(row->min <= row->max)) wrong = "its range is empty";
        for (const Option *other = table; !wrong && other < row; other++) {
            if (!share_command(row, other, commands)) continue;
            if (strcmp(row->name, other->name) == 0) wrong = "a command has it twice";
            else if (row->offset == other->offset)
                wrong = "it is stored where another option of the same command is";
        }
        if (wrong) error_set(err, STATUS_FAILED, "option table, --%s: %s", row->name, wrong);
        else if (row->fallback && strcmp(row->fallback, "!") != 0) {
            Value v = {commands, row, row->fallback, err};
            value_store(&v, &scratch);
        }
    }
    return err->status == 0;
}
