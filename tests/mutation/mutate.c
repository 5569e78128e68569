/* mutate: small defects for the mutation test (tests/mutation/mutate.sh). It reads C as a list
 * of tokens and finds the places where a sign, a term, an operand, an index, a comparison, a
 * condition, a constant, an assignment or a statement can be changed.
 *
 *   mutate plan SEED SKIP FILE...
 *       Every mutant of the files, one a line, in a seeded order: lines of code are drawn evenly,
 *       one mutant each, then a second one of each, and so on. How a line is drawn does not depend
 *       on other lines. Fields, separated by tabs: file, start, length, replacement, key (the
 *       function's text and the place in it), function, line, operator, old line, new line. SKIP:
 *       names of functions to leave out, separated by spaces.
 *   mutate apply FILE START LENGTH TEXT
 *       The file on stdout, with TEXT instead of the bytes START .. START + LENGTH - 1.
 *   mutate run SECONDS GIGABYTES PROGRAM...
 *       Runs it with a limit of processor time (load does not shorten it) and, if not 0, of memory.
 *       After 30 times as long it is ended also if it waits.
 *
 * Left alone: comments, strings, included and conditional lines, enums (tile and block sizes:
 * speed only), OpenMP's lines, declarations, the text of error messages, and what frees memory. */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/util.h"
#include "lib/file.h"

typedef enum { NAME, NUMBER, TEXT, SIGN } Kind;

typedef struct {
    Kind kind;
    int start, length, line;
    int match;    /* brackets: the partner's index, else -1 */
    int inside;   /* the innermost bracket around it, or -1 */
    int function; /* index into Source.function, -1: between functions */
    bool skip;    /* nothing here may be changed */
} Token;

typedef struct {
    const char *path;
    Buf text;
    Token *v;
    int n, capacity;
    char (*function)[64];
    int functions, *from, *to; /* names, and where their bodies lie */
} Source;

/* One mutant: bytes start..start+length-1 become `to`. */
typedef struct {
    const Source *s;
    int start, length, function, line;
    const char *operation;
    char *to;
} Mutant;
typedef struct {
    Mutant *v;
    int n, capacity;
} Mutants;

/* ---- tokens ---- */

static bool is(const Source *s, int i, const char *what) {
    size_t n = strlen(what);
    return i >= 0 && i < s->n && (size_t)s->v[i].length == n &&
           memcmp(s->text.s + s->v[i].start, what, n) == 0;
}

static bool is_one_of(const Source *s, int i, const char *const *list) {
    for (; *list; list++)
        if (is(s, i, *list)) return true;
    return false;
}

static void token_add(Source *s, Kind kind, int start, int end, int line) {
    if (s->n == s->capacity) {
        s->capacity = s->capacity ? 2 * s->capacity : 1024;
        s->v = mem_grow(s->v, (size_t)s->capacity, sizeof *s->v);
    }
    s->v[s->n++] = (Token){.kind = kind,
                           .start = start,
                           .length = end - start,
                           .line = line,
                           .match = -1,
                           .inside = -1,
                           .function = -1};
}

static int sign_length(const char *p) {
    static const char *const longer[] = {"<<=", ">>=", "...", "->", "++", "--", "+=", "-=",
                                         "*=",  "/=",  "%=",  "&=", "|=", "^=", "&&", "||",
                                         "==",  "!=",  "<=",  ">=", "<<", ">>", NULL};
    for (const char *const *l = longer; *l; l++)
        if (strncmp(p, *l, strlen(*l)) == 0) return (int)strlen(*l);
    return 1;
}

/* Where a line of the preprocessor ends; the value of a #define without arguments is kept: it is
 * a constant. */
static int directive_end(const char *t, int at) {
    int name = -1;
    if (sscanf(t + at, "#define %*[A-Za-z0-9_]%n", &name) == 0 && name > 0 && t[at + name] == ' ')
        return at + name;
    while (t[at] && t[at] != '\n') at += t[at] == '\\' && t[at + 1] ? 2 : 1;
    return at;
}

static void tokenize(Source *s) {
    const char *t = s->text.s;
    for (int at = 0, line = 1, end; t[at]; at = end) {
        end = at + 1;
        if (isalpha((unsigned char)t[at]) || t[at] == '_') {
            while (isalnum((unsigned char)t[end]) || t[end] == '_') end++;
            token_add(s, NAME, at, end, line);
        } else if (isdigit((unsigned char)t[at])) {
            while (isalnum((unsigned char)t[end]) || t[end] == '.' ||
                   (strchr("+-", t[end]) && strchr("eE", t[end - 1]) && t[at + 1] != 'x'))
                end++;
            token_add(s, NUMBER, at, end, line);
        } else if (t[at] == '"' || t[at] == '\'') {
            while (t[end] != t[at]) end += t[end] == '\\' ? 2 : 1;
            token_add(s, TEXT, at, ++end, line);
        } else if (t[at] == '/' && t[at + 1] == '*') end = (int)(strstr(t + at + 2, "*/") - t) + 2;
        else if (t[at] == '/' && t[at + 1] == '/') end = at + (int)strcspn(t + at, "\n");
        else if (t[at] == '#') end = directive_end(t, at);
        else if (!isspace((unsigned char)t[at])) {
            end = at + sign_length(t + at);
            token_add(s, SIGN, at, end, line);
        }
        for (int i = at; i < end; i++) line += t[i] == '\n';
    }
}

static void match_brackets(Source *s) {
    int *open = mem_new((size_t)s->n + 1, sizeof *open), depth = 0;
    for (int i = 0; i < s->n; i++) {
        if ((is(s, i, ")") || is(s, i, "]") || is(s, i, "}")) && depth > 0) {
            s->v[i].match = open[--depth];
            s->v[open[depth]].match = i;
        }
        if (depth > 0) s->v[i].inside = open[depth - 1];
        if (is(s, i, "(") || is(s, i, "[") || is(s, i, "{")) open[depth++] = i;
    }
    free(open);
}

static void skip_range(Source *s, int from, int to) {
    for (int i = from; i <= to && i < s->n; i++) s->v[i].skip = true;
}

/* Which tokens are whose, and which are no code to be changed. */
static void find_functions(Source *s, const char *skipped) {
    static const char *const messages[] = {"error_set", "sizeof", "__attribute__", "_Static_assert",
                                           NULL};
    s->function = mem_new((size_t)s->n + 1, sizeof *s->function);
    s->from = mem_new((size_t)s->n + 1, sizeof *s->from);
    s->to = mem_new((size_t)s->n + 1, sizeof *s->to);
    for (int i = 0; i < s->n; i++) {
        if (s->v[i].skip) continue;
        if (is(s, i, "{") && s->v[i].function < 0) {
            int open = is(s, i - 1, ")") ? s->v[i - 1].match : 0;
            if (!open) { /* a table or a type */
                skip_range(s, i, s->v[i].match);
                continue;
            }
            Token name = s->v[open - 1];
            char padded[70], list[1024];
            snprintf(s->function[s->functions], sizeof *s->function, "%.*s", name.length,
                     s->text.s + name.start);
            snprintf(padded, sizeof padded, " %s ", s->function[s->functions]);
            snprintf(list, sizeof list, " %s ", skipped);
            for (int j = i; j <= s->v[i].match; j++) s->v[j].function = s->functions;
            s->from[s->functions] = s->v[i].start;
            s->to[s->functions] = s->v[s->v[i].match].start;
            if (strstr(list, padded) || strstr(padded, "_free ")) skip_range(s, i, s->v[i].match);
            s->functions++;
        }
        if ((is(s, i, "enum") || is(s, i, "struct")) && (is(s, i + 1, "{") || is(s, i + 2, "{")))
            for (int j = i; j < s->n && !is(s, j, ";");
                 j = is(s, j, "{") ? s->v[j].match + 1 : j + 1)
                if (is(s, j, "{")) skip_range(s, j, s->v[j].match);
        if (is_one_of(s, i, messages) && is(s, i + 1, "(")) skip_range(s, i, s->v[i + 1].match);
    }
}

/* ---- expressions ---- */

static const char *const TYPES[] = {
    "int",      "real",  "double", "float",    "char",     "void",     "size_t",    "long", "bool",
    "unsigned", "const", "static", "volatile", "uint32_t", "uint64_t", "uintptr_t", NULL};
static const char *const KEYWORDS[] = {"return", "else", "do", "case", "sizeof", "goto", NULL};
static const char *const CONTROLS[] = {"if", "for", "while", "switch", NULL};

/* The house names types in CamelCase; constants and sizes have no small letter. */
static bool is_type(const Source *s, int i) {
    if (i < 0 || i >= s->n || s->v[i].kind != NAME) return false;
    const char *p = s->text.s + s->v[i].start;
    if (is_one_of(s, i, TYPES) || strncmp(p, "__m", 3) == 0) return true;
    for (int j = 1; j < s->v[i].length; j++)
        if (isupper((unsigned char)*p) && islower((unsigned char)p[j])) return true;
    return false;
}

static bool is_control_end(const Source *s, int i) {
    return is(s, i, ")") && s->v[i].match > 0 && is_one_of(s, s->v[i].match - 1, CONTROLS);
}

static bool is_cast_end(const Source *s, int i) {
    if (!is(s, i, ")") || s->v[i].match < 0 || !is_type(s, s->v[i].match + 1)) return false;
    for (int j = s->v[i].match + 1; j < i; j++)
        if (!is_type(s, j) && !is(s, j, "*")) return false;
    return true;
}

/* Does an operand end with token i? Then an operator behind it has two operands. */
static bool ends_operand(const Source *s, int i) {
    if (i < 0) return false;
    if (s->v[i].kind == NAME) return !is_type(s, i) && !is_one_of(s, i, KEYWORDS);
    if (s->v[i].kind != SIGN) return true;
    return is(s, i, "]") || (is(s, i, ")") && !is_cast_end(s, i) && !is_control_end(s, i)) ||
           is(s, i, "++") || is(s, i, "--");
}

/* How strongly the operator with two operands at i binds; 0: it is none. */
static int strength(const Source *s, int i) {
    static const struct {
        const char *sign;
        int strength;
    } table[] = {{"*", 10}, {"/", 10}, {"%", 10}, {"+", 9}, {"-", 9},  {"<<", 8},
                 {">>", 8}, {"<", 7},  {"<=", 7}, {">", 7}, {">=", 7}, {"==", 6},
                 {"!=", 6}, {"&", 5},  {"^", 4},  {"|", 3}, {"&&", 2}, {"||", 1}};
    if (i < 0 || i >= s->n || s->v[i].kind != SIGN || !ends_operand(s, i - 1)) return 0;
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        if (is(s, i, table[k].sign)) return table[k].strength;
    return 0;
}

static bool is_assignment(const Source *s, int i) {
    static const char *const signs[] = {
        "=", "+=", "-=", "*=", "/=", "%=", "|=", "&=", "<<=", ">>=", NULL};
    return is_one_of(s, i, signs);
}

static bool bounds(const Source *s, int i) {
    static const char *const signs[] = {",", ";", "?", ":", "(", ")", "[", "]", "{", "}", NULL};
    return i < 0 || i >= s->n || is_one_of(s, i, signs) || is_assignment(s, i) ||
           is_one_of(s, i, KEYWORDS);
}

/* The last token of the operand that begins at i, up to an operator of this strength or weaker. */
static int operand_end(const Source *s, int i, int limit) {
    while (i < s->n) {
        if (is(s, i, "(") || is(s, i, "[") || (is(s, i, "{") && is_cast_end(s, i - 1))) {
            i = s->v[i].match + 1;
            continue;
        }
        if (bounds(s, i) && !is(s, i, "sizeof")) break;
        int own = strength(s, i);
        if (own > 0 && own <= limit) break;
        i++;
    }
    return i - 1;
}

/* The first token of the operand that ends at i, back to an operator weaker than this strength. */
static int operand_start(const Source *s, int i, int limit) {
    while (i >= 0) {
        if ((is(s, i, ")") && !is_control_end(s, i)) || is(s, i, "]")) {
            i = s->v[i].match - 1;
            continue;
        }
        if (bounds(s, i) && !is(s, i, "sizeof")) break;
        int own = strength(s, i);
        if (own > 0 && own < limit) break;
        i--;
    }
    return i + 1;
}

/* ---- mutants ---- */

static char *copy_text(const Source *s, int from, int to) {
    Buf b = {0};
    buf_put(&b, s->text.s + s->v[from].start,
            (size_t)(s->v[to].start + s->v[to].length - s->v[from].start));
    return b.s;
}

/* Tokens from..to become what the format says. Line ends become spaces: a mutant is one line of
 * the plan. */
static void put(Mutants *m, const Source *s, const char *operation, int from, int to,
                const char *format, ...) PRINTF_LIKE(6, 7);
static void put(Mutants *m, const Source *s, const char *operation, int from, int to,
                const char *format, ...) {
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (int i = from; i <= to; i++)
        if (s->v[i].skip) return;
    if (n >= (int)sizeof text) return;
    for (char *p = text; *p; p++)
        if (*p == '\n' || *p == '\t') *p = ' ';
    if (m->n == m->capacity) {
        m->capacity = m->capacity ? 2 * m->capacity : 1024;
        m->v = mem_grow(m->v, (size_t)m->capacity, sizeof *m->v);
    }
    Buf to_text = {0};
    buf_puts(&to_text, text);
    if (n == 0) buf_put(&to_text, "", 0);
    int start = s->v[from].start, length = s->v[to].start + s->v[to].length - start;
    m->v[m->n++] =
        (Mutant){s, start, length, s->v[from].function, s->v[from].line, operation, to_text.s};
}

/* a op b: another operator, one operand alone, the operands changed over. */
static void arithmetic(Mutants *m, const Source *s, int i) {
    int own = strength(s, i), left = operand_start(s, i - 1, own),
        right = operand_end(s, i + 1, own);
    if (own < 9 || right <= i || left >= i) return;
    char *a = copy_text(s, left, i - 1), *b = copy_text(s, i + 1, right);
    if (is(s, i, "+")) put(m, s, "sign", i, i, "-");
    if (is(s, i, "-")) put(m, s, "sign", i, i, "+");
    if (is(s, i, "*")) put(m, s, "factor", i, i, "/");
    if (is(s, i, "/")) put(m, s, "factor", i, i, "*");
    put(m, s, "drop", i - 1, right, "%.*s", s->v[i - 1].length, s->text.s + s->v[i - 1].start);
    if (is(s, i, "+") || is(s, i, "*")) put(m, s, "drop", left, right, "%s", b);
    else
        put(m, s, "swap", left, right, "(%s) %.*s (%s)", b, s->v[i].length,
            s->text.s + s->v[i].start, a);
    free(a);
    free(b);
}

static void comparison(Mutants *m, const Source *s, int i) {
    static const char *const table[][3] = {{"<", "<=", ">="}, {"<=", "<", ">"}, {">", ">=", "<="},
                                           {">=", ">", "<"},  {"==", "!=", ""}, {"!=", "==", ""}};
    for (size_t k = 0; k < sizeof table / sizeof *table; k++)
        if (strength(s, i) > 0 && is(s, i, table[k][0])) {
            put(m, s, "compare", i, i, "%s", table[k][1]);
            if (*table[k][2]) put(m, s, "negate", i, i, "%s", table[k][2]);
        }
}

/* if (c), !c, a && b, a || b, c ? a : b */
static void condition(Mutants *m, const Source *s, int i) {
    if (is(s, i, "if") && is(s, i + 1, "(")) {
        put(m, s, "condition", i + 2, s->v[i + 1].match - 1, "0");
        put(m, s, "condition", i + 2, s->v[i + 1].match - 1, "1");
    }
    if (is(s, i, "!")) put(m, s, "condition", i, i, " ");
    int own = strength(s, i);
    if (own == 1 || own == 2) {
        int left = operand_start(s, i - 1, own), right = operand_end(s, i + 1, own);
        char *a = copy_text(s, left, i - 1), *b = copy_text(s, i + 1, right);
        put(m, s, "condition", left, right, "%s", a);
        put(m, s, "condition", left, right, "%s", b);
        put(m, s, "condition", i, i, "%s", own == 1 ? "&&" : "||");
        free(a);
        free(b);
    }
    if (is(s, i, "?")) {
        int colon = i + 1, open = 1;
        for (; colon < s->n && open > 0;
             colon = s->v[colon].match > colon ? s->v[colon].match + 1 : colon + 1)
            open += is(s, colon, "?") - is(s, colon, ":");
        int middle = colon - 1, end = middle + 1; /* the other branch may hold another question */
        for (end = operand_end(s, end, 0); is(s, end + 1, "?") || is(s, end + 1, ":");
             end = operand_end(s, end + 2, 0))
            continue;
        char *a = copy_text(s, i + 1, middle - 1), *b = copy_text(s, middle + 1, end);
        put(m, s, "choice", i + 1, end, "(%s) : (%s)", b, a);
        free(a);
        free(b);
    }
}

static void constant(Mutants *m, const Source *s, int i) {
    if (is(s, i, "true")) put(m, s, "constant", i, i, "false");
    if (is(s, i, "false")) put(m, s, "constant", i, i, "true");
    if (s->v[i].kind != NUMBER || (is(s, i - 1, "[") && is_type(s, i - 3))) return;
    char *text = copy_text(s, i, i);
    bool whole = text[1] == 'x' || !strpbrk(text, ".eE");
    double value = strtod(text, NULL);
    if (!whole)
        put(m, s, "constant", i, i, value == 0.5 ? "1.0" : value == 1 ? "0.0" : "(2 * %s)", text);
    else if (value == 0) put(m, s, "constant", i, i, "1");
    else {
        put(m, s, "constant", i, i, "(%s - 1)", text);
        put(m, s, "constant", i, i, "(%s + 1)", text);
    }
    free(text);
}

static void assignment(Mutants *m, const Source *s, int i) {
    static const char *const both[][2] = {{"+=", "-="}, {"-=", "+="}, {"*=", "/="},
                                          {"/=", "*="}, {"|=", "="},  {"++", "--"}};
    bool in_for = false; /* of a loop's head only sizes and starts are changed: a step backwards
                          * never ends */
    for (int j = i; j >= 0; j = s->v[j].inside)
        in_for = in_for || (is(s, j, "(") && is(s, j - 1, "for"));
    for (size_t k = 0; k < sizeof both / sizeof *both && !in_for; k++)
        if (is(s, i, both[k][0])) {
            put(m, s, "assign", i, i, "%s", both[k][1]);
            if (k < 4) put(m, s, "assign", i, i, "=");
        }
}

/* a[i] and f(a, b) */
static void bracket(Mutants *m, const Source *s, int i) {
    static const char *const symmetric[] = {"mem_new", "mem_mul", "mem_grow", "snprintf", NULL};
    int close = s->v[i].match;
    if (close <= i + 1 || !ends_operand(s, i - 1) || s->v[i].function < 0) return;
    if (is(s, i, "[") && !is_type(s, i - 2) && !(is(s, i - 2, "*") && is_type(s, i - 3))) {
        char *inner = copy_text(s, i + 1, close - 1);
        put(m, s, "index", i + 1, close - 1, "(%s) + 1", inner);
        put(m, s, "index", i + 1, close - 1, "(%s) - 1", inner);
        free(inner);
    }
    if (!is(s, i, "(") || s->v[i - 1].kind != NAME || is_one_of(s, i - 1, CONTROLS) ||
        is_one_of(s, i - 1, symmetric))
        return;
    for (int from = i + 1, end; (end = operand_end(s, from, 0)) < close && is(s, end + 1, ",");
         from = end + 2) {
        int next = operand_end(s, end + 2, 0);
        char *a = copy_text(s, from, end), *b = copy_text(s, end + 2, next);
        if (!is(s, next + 1, "?") && strcmp(a, b) != 0)
            put(m, s, "arguments", from, next, "%s, %s", b, a);
        free(a);
        free(b);
    }
}

/* A whole statement that is an assignment, a step or a call, not a declaration, and does not
 * free memory. */
static void statement(Mutants *m, const Source *s, int i) {
    static const char *const before[] = {";", "{", "}", "else", "do", NULL};
    bool starts = is_one_of(s, i - 1, before) || is_control_end(s, i - 1);
    if (!starts || s->v[i].function < 0 || !is(s, s->v[i].inside, "{")) return;
    if (is(s, i, "continue") && is(s, i + 1, ";")) put(m, s, "delete", i, i, " ");
    int end = i;
    bool acts = false;
    for (; end < s->n && !is(s, end, ";");
         end = s->v[end].match > end ? s->v[end].match + 1 : end + 1) {
        bool call = is(s, end, "(") && s->v[end - 1].kind == NAME;
        acts = acts || call || is_assignment(s, end) || is(s, end, "++") || is(s, end, "--");
        if (is(s, end, "{")) return;
    }
    char *text = copy_text(s, i, i);
    bool name = s->v[i].kind == NAME && !is_type(s, i) && !is_one_of(s, i, KEYWORDS) &&
                !is_one_of(s, i, CONTROLS);
    if (acts && (name || is(s, i, "*")) && !strstr(text, "free") && !is(s, i + 1, ":"))
        put(m, s, "delete", i, end - 1, " ");
    free(text);
}

static void find_mutants(Mutants *m, const Source *s) {
    for (int i = 0; i < s->n; i++) {
        if (s->v[i].skip) continue;
        if (strength(s, i) >= 9) arithmetic(m, s, i);
        if (is(s, i, "-") && s->v[i].kind == SIGN && !strength(s, i)) put(m, s, "sign", i, i, " ");
        comparison(m, s, i);
        condition(m, s, i);
        constant(m, s, i);
        if (s->v[i].kind == SIGN) assignment(m, s, i);
        if (is(s, i, "[") || is(s, i, "(")) bracket(m, s, i);
        statement(m, s, i);
    }
}

/* ---- the plan ---- */

static void print_line(const Buf *text, int at, int length, const char *to) {
    int from = at, end = at + length;
    while (from > 0 && text->s[from - 1] != '\n') from--;
    while (text->s[from] == ' ') from++;
    while (text->s[end] && text->s[end] != '\n') end++;
    putchar('\t');
    for (int i = from; i < end; i++) {
        if (i == at && to) fputs(to, stdout);
        if (to && i >= at && i < at + length) continue;
        putchar(text->s[i] == '\n' || text->s[i] == '\t' ? ' ' : text->s[i]);
    }
}

static void print_mutant(const Mutant *m) {
    const char *function = m->function < 0 ? "-" : m->s->function[m->function];
    int from = m->function < 0 ? 0 : m->s->from[m->function],
        to = m->function < 0 ? (int)m->s->text.n : m->s->to[m->function];
    printf("%s\t%d\t%d\t%s\t", m->s->path, m->start, m->length, m->to);
    printf("%016llx-%d\t",
           (unsigned long long)hash64(m->s->text.s + from, (size_t)(to - from), HASH_START),
           m->start - from);
    printf("%s\t%d\t%s", function, m->line, m->operation);
    print_line(&m->s->text, m->start, m->length, NULL);
    print_line(&m->s->text, m->start, m->length, m->to);
    putchar('\n');
}

/* A mutant in the draw: its line's number and its own are drawn by the seed; `turn` counts those
 * of its line that come before it. */
typedef struct {
    const Mutant *mutant;
    uint64_t line, own;
    int turn;
} Drawn;

static int compare_u64(uint64_t x, uint64_t y) { return (x > y) - (x < y); }

static int by_line(const void *a, const void *b) {
    const Drawn *x = a, *y = b;
    return x->line != y->line ? compare_u64(x->line, y->line) : compare_u64(x->own, y->own);
}

static int by_turn(const void *a, const void *b) {
    const Drawn *x = a, *y = b;
    return x->turn != y->turn ? x->turn - y->turn : by_line(a, b);
}

static uint64_t drawn_number(uint64_t seed, const char *text, size_t n, uint64_t start) {
    Rng rng = rng_new(seed, hash64(text, n, start));
    return rng_u64(&rng);
}

/* The line is drawn by its file, its function and its text, so that it keeps its number when other
 * code changes. */
static Drawn draw(uint64_t seed, const Mutant *m) {
    const Source *s = m->s;
    const char *name = m->function < 0 ? "-" : s->function[m->function];
    int from = m->start, to = m->start;
    while (from > 0 && s->text.s[from - 1] != '\n') from--;
    while (s->text.s[to] && s->text.s[to] != '\n') to++;
    uint64_t place = hash64(s->path, strlen(s->path), HASH_START);
    place = hash64(name, strlen(name), place);
    Drawn d = {.mutant = m,
               .line = drawn_number(seed, s->text.s + from, (size_t)(to - from), place)};
    d.own = drawn_number(d.line + (uint64_t)(m->start - from), m->to, strlen(m->to),
                         (uint64_t)m->length);
    return d;
}

/* First one mutant of every line, then a second one of every line that has one, and so on. */
static void print_plan(uint64_t seed, const Mutants *all) {
    Drawn *drawn = mem_new((size_t)all->n, sizeof *drawn);
    for (int i = 0; i < all->n; i++) drawn[i] = draw(seed, &all->v[i]);
    qsort(drawn, (size_t)all->n, sizeof *drawn, by_line);
    for (int i = 1; i < all->n; i++)
        if (drawn[i].line == drawn[i - 1].line) drawn[i].turn = drawn[i - 1].turn + 1;
    qsort(drawn, (size_t)all->n, sizeof *drawn, by_turn);
    for (int i = 0; i < all->n; i++) print_mutant(drawn[i].mutant);
    free(drawn);
}

static void read_source(Source *s, const char *path, const char *skipped, Mutants *all) {
    Error err = {0};
    s->path = path;
    if (!file_read(path, &s->text, &err)) exit(error_print(&err));
    tokenize(s);
    match_brackets(s);
    find_functions(s, skipped);
    find_mutants(all, s);
}

static int plan(uint64_t seed, const char *skipped, char **paths, int files) {
    Mutants all = {0};
    Source *sources = mem_new((size_t)files, sizeof *sources);
    for (int f = 0; f < files; f++) read_source(&sources[f], paths[f], skipped, &all);
    print_plan(seed, &all);
    return 0;
}

static int apply(const char *path, size_t start, size_t length, const char *to) {
    Error err = {0};
    Buf text = {0};
    if (!file_read(path, &text, &err)) return error_print(&err);
    if (start + length > text.n) return 1;
    fwrite(text.s, 1, start, stdout);
    fputs(to, stdout);
    fwrite(text.s + start + length, 1, text.n - start - length, stdout);
    buf_free(&text);
    return fflush(stdout) != 0;
}

static int run(rlim_t seconds, rlim_t gigabytes, char **program) {
    struct rlimit time = {seconds, seconds}, space = {gigabytes << 30, gigabytes << 30},
                  core = {0, 0};
    setrlimit(RLIMIT_CPU, &time);
    if (gigabytes > 0) setrlimit(RLIMIT_AS, &space);
    setrlimit(RLIMIT_CORE, &core);
    alarm(30 * (unsigned)seconds);
    execv(program[0], program);
    perror(program[0]);
    return 127;
}

int main(int argc, char **argv) {
    if (argc >= 5 && strcmp(argv[1], "plan") == 0)
        return plan(strtoull(argv[2], NULL, 10), argv[3], argv + 4, argc - 4);
    if (argc == 6 && strcmp(argv[1], "apply") == 0)
        return apply(argv[2], (size_t)strtoull(argv[3], NULL, 10),
                     (size_t)strtoull(argv[4], NULL, 10), argv[5]);
    if (argc >= 5 && strcmp(argv[1], "run") == 0)
        return run((rlim_t)strtoull(argv[2], NULL, 10), (rlim_t)strtoull(argv[3], NULL, 10),
                   argv + 4);
    fprintf(stderr, "usage: mutate plan SEED SKIP FILE... | apply FILE START LENGTH TEXT | run "
                    "SECONDS GIGABYTES PROGRAM...\n");
    return 2;
}
