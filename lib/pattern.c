#include "lib/pattern.h"

#include <limits.h>
#include <string.h>

enum { DEEPEST = 32, MOST_WORK = 1 << 16, MOST_COUNT = 1000 };

typedef struct {
    bool at[PATTERN_NAME + 1]; /* place i is before byte i of the name */
} Places;

typedef struct {
    Str pattern, name;
    size_t p;        /* place in the pattern */
    int depth, work; /* groups around p; parts that were looked at */
    PatternError *why;
} Matcher;

static bool wrong(Matcher *m, const char *what) {
    *m->why = (PatternError){m->p + 1, what};
    return false;
}

/* The byte at place p, or 0 at the end. A NUL in the pattern is refused, as what is not ASCII. */
static char here(const Matcher *m) { return m->p < m->pattern.n ? m->pattern.s[m->p] : 0; }

static char after_here(const Matcher *m) {
    return m->p + 1 < m->pattern.n ? m->pattern.s[m->p + 1] : 0;
}

/* Of char alone a compiler may make numbers below 0, or above 127. */
static bool is_ascii(char c) { return c != 0 && (unsigned char)c < 128; }

static bool is_count(char c) { return c == '*' || c == '+' || c == '?' || c == '{'; }

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Does c belong to \d, \w or \s, or with a capital letter not? *known is false for another one. */
static bool in_class(char class, char c, bool *known) {
    bool is = false;
    switch (class | 32) {
    case 'd': is = c >= '0' && c <= '9'; break;
    case 'w': is = is_word(c); break;
    case 's': is = c == ' ' || (c >= '\t' && c <= '\r') || (c >= '\x1c' && c <= '\x1f'); break;
    default: *known = false;
    }
    return is != (class < 'a');
}

/* ---- parts of a pattern: each puts into `to` where it leads from `from`, and moves p ---- */

static bool alternatives(Matcher *m, const Places *from, Places *to);

/* Letters and digits after a backslash have a meaning, of which some are known. All else stands for
 * itself. */
static bool is_plain_escape(char c) { return c >= ' ' && c < 127 && (!is_word(c) || c == '_'); }

/* One character of a set, with its backslash. */
static bool set_end(Matcher *m, char *c) {
    *c = here(m);
    if (*c == '\\') {
        m->p++;
        *c = here(m);
        if (!is_plain_escape(*c)) return wrong(m, "an escape that is not known in a set");
    }
    if (!is_ascii(*c)) return wrong(m, "a set without its end, or what is not ASCII");
    m->p++;
    return true;
}

static bool is_range(const Matcher *m) { return here(m) == '-' && after_here(m) != ']'; }

/* A member of a set: a class, a character or a range. Marks what belongs to it. */
static bool set_member(Matcher *m, bool *in) {
    char first, last, class = after_here(m);
    if (here(m) == '\\' && class && strchr("dDwWsS", class)) {
        bool known = true;
        for (int c = 0; c < 128; c++) in[c] |= in_class(class, (char)c, &known);
        m->p += 2;
        return !is_range(m) || wrong(m, "a range that begins with a class");
    }
    if (!set_end(m, &first)) return false;
    last = first;
    if (is_range(m)) {
        m->p++;
        if (!set_end(m, &last)) return false;
        if (last < first) return wrong(m, "a range that falls");
    }
    for (int c = first; c <= last; c++) in[c] = true;
    return true;
}

/* [...] at p. */
static bool set(Matcher *m, bool *in) {
    m->p++;
    bool is_not = here(m) == '^', ok = true;
    m->p += is_not;
    for (bool first = true; ok && (first || here(m) != ']'); first = false) ok = set_member(m, in);
    m->p++;
    for (int c = 0; ok && c < 128; c++) in[c] ^= is_not;
    return ok;
}

/* A character, or what stands for one: marks all that fit. */
static bool one_of(Matcher *m, bool *in) {
    char c = here(m);
    if (c == '[') return set(m, in);
    m->p++;
    if (c == '.')
        for (int i = 0; i < 128; i++) in[i] = i != '\n';
    else if (c == '\\') {
        bool known = true;
        c = here(m);
        for (int i = 0; i < 128; i++) in[i] = in_class(c, (char)i, &known);
        if (!known && !is_plain_escape(c)) return wrong(m, "an escape that is not known");
        if (!known)
            for (int i = 0; i < 128; i++) in[i] = i == c;
        m->p++;
    } else if (is_ascii(c)) in[(int)c] = true;
    else {
        m->p--;
        return wrong(m, "what is not ASCII");
    }
    return true;
}

/* ^ $ \b and \B stay where they are, if they are in the right place. */
static bool is_border(const Matcher *m) {
    char c = here(m), next = after_here(m);
    return c == '^' || c == '$' || (c == '\\' && (next == 'b' || next == 'B'));
}

static void border(Matcher *m, const Places *from, Places *to) {
    char c = here(m);
    size_t n = m->name.n;
    if (c == '\\') c = m->pattern.s[++m->p];
    m->p++;
    for (size_t i = 0; i <= n; i++) {
        bool is_edge = (i > 0 && is_word(m->name.s[i - 1])) != (i < n && is_word(m->name.s[i]));
        bool fits = c == '^' ? i == 0 : c == '$' ? i == n : is_edge == (c == 'b');
        to->at[i] = from->at[i] && fits;
    }
}

/* ( ) or (?: ) at p. */
static bool group(Matcher *m, const Places *from, Places *to) {
    m->p++;
    if (here(m) == '?') {
        m->p++;
        if (here(m) != ':') return wrong(m, "a group that begins with (?");
        m->p++;
    }
    if (++m->depth > DEEPEST) return wrong(m, "groups that are too deep");
    if (!alternatives(m, from, to)) return false;
    m->depth--;
    if (here(m) != ')') return wrong(m, "a group without its end");
    m->p++;
    return true;
}

static bool atom(Matcher *m, const Places *from, Places *to) {
    bool in[128] = {false};
    memset(to, 0, sizeof *to);
    if (++m->work > MOST_WORK) return wrong(m, "counts in counts that take too long");
    if (here(m) == '(') return group(m, from, to);
    bool stays = is_border(m);
    if (stays) border(m, from, to);
    if (is_count(here(m))) return wrong(m, "a count of nothing");
    if (stays) return true;
    if (!one_of(m, in)) return false;
    for (size_t i = 0; i < m->name.n; i++) {
        unsigned char c = (unsigned char)m->name.s[i];
        to->at[i + 1] = from->at[i] && c < 128 && in[c];
    }
    return true;
}

/* A number at p, or `none`. */
static int number(Matcher *m, int none) {
    int value = 0;
    if (here(m) < '0' || here(m) > '9') return none;
    for (; here(m) >= '0' && here(m) <= '9'; m->p++)
        if (value <= MOST_COUNT) value = 10 * value + here(m) - '0';
    return value;
}

/* What stands after a part: how often it may come. Once, if nothing does. */
static bool count_of(Matcher *m, int *least, int *most) {
    char c = here(m);
    *least = c == '*' || c == '?' ? 0 : 1;
    *most = c == '*' || c == '+' ? INT_MAX : 1;
    if (!is_count(c)) return true;
    m->p++;
    if (c == '{') {
        bool has_least = here(m) >= '0' && here(m) <= '9';
        *most = *least = number(m, 0);
        if (here(m) == ',') {
            m->p++;
            *most = number(m, INT_MAX);
        } else if (!has_least) return wrong(m, "a brace that is no count");
        if (here(m) != '}') return wrong(m, "a brace that is no count");
        if (*least > MOST_COUNT || (*most > MOST_COUNT && *most < INT_MAX) || *most < *least)
            return wrong(m, "a count that is above 1,000, or falls");
        m->p++;
    }
    if (here(m) == '?') m->p++; /* lazy: the same names fit */
    return is_count(here(m)) ? wrong(m, "a count of a count") : true;
}

/* Adds `more` to `sum`. Does it grow? */
static bool add_places(Places *sum, const Places *more) {
    bool grows = false;
    for (int i = 0; i <= PATTERN_NAME; i++) {
        grows |= more->at[i] && !sum->at[i];
        sum->at[i] |= more->at[i];
    }
    return grows;
}

/* A part and its count. */
static bool repeated(Matcher *m, const Places *from, Places *to) {
    size_t start = m->p, end;
    Places now = *from, next;
    int least, most;
    if (!atom(m, &now, &next) || !count_of(m, &least, &most)) return false;
    end = m->p;
    memset(to, 0, sizeof *to);
    bool grows = least > 0 || add_places(to, from);
    for (int i = 1; grows && i <= most; i++) {
        m->p = start;
        if (!atom(m, &now, &next)) return false;
        now = next;
        grows = i < least || add_places(to, &now);
    }
    m->p = end;
    return true;
}

static bool sequence(Matcher *m, const Places *from, Places *to) {
    *to = *from;
    while (m->p < m->pattern.n && here(m) != '|' && here(m) != ')') {
        Places next;
        if (!repeated(m, to, &next)) return false;
        *to = next;
    }
    return true;
}

static bool alternatives(Matcher *m, const Places *from, Places *to) {
    Places one;
    memset(to, 0, sizeof *to);
    for (;;) {
        if (!sequence(m, from, &one)) return false;
        add_places(to, &one);
        if (here(m) != '|') return true;
        m->p++;
    }
}

int pattern_fits(Str pattern, Str name, PatternError *why) {
    Matcher m = {.pattern = pattern, .name = name, .why = why};
    Places start = {{true}}, end;
    if (name.n > PATTERN_NAME) wrong(&m, "a name that is too long for it");
    else if (alternatives(&m, &start, &end)) {
        if (m.p == pattern.n) return end.at[name.n];
        wrong(&m, "a ) without its (");
    }
    return -1;
}
