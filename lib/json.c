#include "lib/json.h"

#include "lib/file.h"
#include "lib/unicode.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the parser ---- */

/* Values of containers that are still open are on a stack. A closing bracket moves those of its
 * container, the topmost, into the arena as one block. The depth of recursion is that of nesting,
 * at most JSON_MAX_DEPTH. */
typedef struct {
    Arena *arena;
    const char *s;
    size_t n, at;
    int depth;
    size_t left; /* how many more values are allowed */
    Json *values;
    size_t n_values, value_room;
    Str *keys;
    size_t n_keys, key_room;
    size_t bad; /* offset of the error */
    char what[sizeof((JsonError *)0)->what];
} JsonParser;

static bool parse_value(JsonParser *p, Json *out);

static bool fail(JsonParser *p, size_t at, const char *what) {
    p->bad = at;
    snprintf(p->what, sizeof p->what, "%s", what);
    return false;
}

static int peek(const JsonParser *p) { return p->at < p->n ? (unsigned char)p->s[p->at] : -1; }

static void skip_white(JsonParser *p) {
    while (p->at < p->n && (p->s[p->at] == ' ' || p->s[p->at] == '\n' || p->s[p->at] == '\r' ||
                            p->s[p->at] == '\t'))
        p->at++;
}

/* Fails at the present byte and names it. */
static bool expected(JsonParser *p, const char *wanted) {
    int c = peek(p);
    p->bad = p->at;
    if (c < 0) snprintf(p->what, sizeof p->what, "expected %s, but the text ends here", wanted);
    else if (c > 32 && c < 127)
        snprintf(p->what, sizeof p->what, "expected %s, found '%c'", wanted, c);
    else if (p->at == 0 && unicode_mark(p->s, p->n) > 0)
        snprintf(p->what, sizeof p->what,
                 "the text starts with a byte-order mark; save it without one");
    else snprintf(p->what, sizeof p->what, "expected %s, found byte 0x%02x", wanted, (unsigned)c);
    return false;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/* Skips digits, at least one. */
static bool skip_digits(JsonParser *p) {
    if (!is_digit(peek(p))) return expected(p, "a digit");
    while (is_digit(peek(p))) p->at++;
    return true;
}

/* -?(0|[1-9][0-9]*) with an optional fraction and exponent. */
static bool scan_number(JsonParser *p, bool *integer) {
    if (peek(p) == '-') p->at++;
    if (peek(p) == '0') {
        p->at++;
        if (is_digit(peek(p))) return fail(p, p->at - 1, "a number must not start with 0");
    } else if (!skip_digits(p)) return false;
    *integer = true;
    if (peek(p) == '.') {
        *integer = false;
        p->at++;
        if (!skip_digits(p)) return false;
    }
    if (peek(p) == 'e' || peek(p) == 'E') {
        *integer = false;
        p->at++;
        if (peek(p) == '+' || peek(p) == '-') p->at++;
        if (!skip_digits(p)) return false;
    }
    return true;
}

static bool parse_number(JsonParser *p, Json *out) {
    size_t start = p->at;
    bool integer;
    if (!scan_number(p, &integer)) return false;
    out->type = JSON_NUMBER;
    out->string = str_copy(p->arena, (Str){p->s + start, p->at - start});
    bool negative = out->string.s[0] == '-';
    size_t digits = out->string.n - (negative ? 1 : 0);
    if (integer && digits <= 16) { /* exact in 64 bits; strtod cannot tell 2^53 from 2^53 + 1 */
        uint64_t x = 0;
        for (const char *c = out->string.s + negative; *c; c++) x = x * 10 + (uint64_t)(*c - '0');
        out->is_integer = x <= (uint64_t)1 << 53;
        out->number = negative ? -(double)x : (double)x;
        return true;
    }
    out->number = strtod(out->string.s, NULL);
    if (isinf(out->number))
        return fail(p, start, "the number is too large for a double (at most about 1.8e308)");
    return true;
}

/* The four hexadecimal digits at s[at]; false if there are fewer. */
static bool hex4(const char *s, size_t at, size_t end, unsigned *code) {
    if (end - at < 4) return false;
    *code = 0;
    for (size_t i = at; i < at + 4; i++) {
        char c = s[i];
        if (is_digit(c)) *code = *code << 4 | (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f') *code = *code << 4 | (unsigned)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') *code = *code << 4 | (unsigned)(c - 'A' + 10);
        else return false;
    }
    return true;
}

/* \uXXXX, or two of them for a code above U+FFFF. *at moves from after the 'u' past them. */
static bool decode_unicode(JsonParser *p, size_t *at, size_t end, unsigned *code) {
    size_t start = *at - 2;
    unsigned low;
    if (!hex4(p->s, *at, end, code)) return fail(p, start, "\\u needs four hexadecimal digits");
    *at += 4;
    if (*code < 0xd800 || *code > 0xdfff) return true;
    bool paired = *code < 0xdc00 && end - *at >= 6 && p->s[*at] == '\\' && p->s[*at + 1] == 'u' &&
                  hex4(p->s, *at + 2, end, &low) && low >= 0xdc00 && low <= 0xdfff;
    if (!paired)
        return fail(p, start,
                    "a \\u escape is half a surrogate pair; both halves must follow each other");
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    *at += 6;
    return true;
}

/* Decodes s[start..end), which has escapes. No escape is shorter than what it stands for, so the
 * raw length is enough room. */
static bool decode_string(JsonParser *p, size_t start, size_t end, Str *out) {
    static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    char *to = arena_new(p->arena, end - start + 1, 1);
    size_t n = 0;
    for (size_t at = start; at < end;) {
        char c = p->s[at++];
        if (c != '\\') {
            to[n++] = c;
            continue;
        }
        c = p->s[at++]; /* exists: a backslash before the closing quote would have escaped that */
        const char *name = memchr(names, c, sizeof names - 1);
        unsigned code;
        if (name) to[n++] = bytes[name - names];
        else if (c != 'u')
            return fail(p, at - 2, "unknown escape; a plain backslash is written \\\\");
        else if (!decode_unicode(p, &at, end, &code)) return false;
        else n += (size_t)unicode_encode(to + n, code);
    }
    *out = (Str){to, n};
    return true;
}

static bool parse_string(JsonParser *p, Str *out) {
    size_t start = p->at + 1, end = start, bad;
    bool escapes = false, ascii = true;
    for (; end < p->n && p->s[end] != '"'; end++) {
        unsigned char c = (unsigned char)p->s[end];
        if (c < 32)
            return fail(p, end,
                        "a control character or line break in a string must be escaped (\\n, \\t, "
                        "\\u00XX)");
        if (c >= 0x80) ascii = false;
        if (c == '\\') {
            escapes = true;
            end++; /* an escaped byte does not close the string */
        }
    }
    if (end >= p->n) return fail(p, p->n, "a string is not closed when the text ends");
    if (!ascii && !unicode_valid(p->s + start, end - start, &bad))
        return fail(p, start + bad, "the text is not valid UTF-8");
    p->at = end + 1;
    if (escapes) return decode_string(p, start, end, out);
    *out = str_copy(p->arena, (Str){p->s + start, end - start});
    return true;
}

/* Doubling would leave up to half of a large stack empty. */
static size_t more_room(size_t room) { return room < 1024 ? 2 * room + 32 : room + room / 4; }

static bool parse_key(JsonParser *p) {
    Str key;
    if (peek(p) != '"') return expected(p, "a key in double quotes");
    if (!parse_string(p, &key)) return false;
    skip_white(p);
    if (peek(p) != ':') return expected(p, "':' after the key");
    p->at++;
    if (p->n_keys == p->key_room) {
        p->key_room = more_room(p->key_room);
        p->keys = mem_grow(p->keys, p->key_room, sizeof *p->keys);
    }
    p->keys[p->n_keys++] = key;
    return true;
}

static void push_value(JsonParser *p, const Json *value) {
    if (p->n_values == p->value_room) {
        p->value_room = more_room(p->value_room);
        p->values = mem_grow(p->values, p->value_room, sizeof *p->values);
    }
    p->values[p->n_values++] = *value;
}

/* A container this large takes the stack's memory along in place of a copy. */
enum { ADOPTED_LEAST = 4096 };

/* Makes both stacks, which hold nothing else, the members of `out`. */
static void adopt_stack(JsonParser *p, Json *out) {
    out->items = mem_grow(p->values, p->n_values, sizeof *p->values);
    arena_adopt(p->arena, (Json *)out->items);
    p->values = NULL;
    p->n_values = p->value_room = 0;
    if (out->type != JSON_OBJECT) return;
    out->keys = mem_grow(p->keys, p->n_keys, sizeof *p->keys);
    arena_adopt(p->arena, (Str *)out->keys);
    p->keys = NULL;
    p->n_keys = p->key_room = 0;
}

/* Moves the values from `first` on, and the keys from `first_key` on, into the arena as members of
 * `out`. */
static void close_container(JsonParser *p, Json *out, size_t first, size_t first_key) {
    out->count = (int)(p->n_values - first);
    if (out->count == 0) return;
    bool is_bottom = first == 0 && (out->type != JSON_OBJECT || first_key == 0);
    if (is_bottom && out->count >= ADOPTED_LEAST) {
        adopt_stack(p, out);
        return;
    }
    Json *items = arena_new(p->arena, (size_t)out->count, sizeof *items);
    memcpy(items, p->values + first, (size_t)out->count * sizeof *items);
    out->items = items;
    p->n_values = first;
    if (out->type != JSON_OBJECT) return;
    Str *keys = arena_new(p->arena, (size_t)out->count, sizeof *keys);
    memcpy(keys, p->keys + first_key, (size_t)out->count * sizeof *keys);
    out->keys = keys;
    p->n_keys = first_key;
}

static bool parse_container(JsonParser *p, Json *out, JsonType type, char close) {
    size_t first = p->n_values, first_key = p->n_keys;
    if (p->depth == JSON_MAX_DEPTH)
        return fail(p, p->at, "arrays and objects are nested too deeply (more than 128 levels)");
    p->depth++;
    p->at++;
    out->type = type;
    skip_white(p);
    if (peek(p) != close)
        for (;;) {
            Json value = {0};
            if (type == JSON_OBJECT && !parse_key(p)) return false;
            skip_white(p);
            if (!parse_value(p, &value)) return false;
            push_value(p, &value);
            skip_white(p);
            if (peek(p) == close) break;
            if (peek(p) != ',')
                return expected(p, type == JSON_OBJECT ? "',' or '}'" : "',' or ']'");
            p->at++;
            skip_white(p);
        }
    p->at++;
    p->depth--;
    close_container(p, out, first, first_key);
    return true;
}

static bool parse_word(JsonParser *p, const char *word) {
    size_t n = strlen(word);
    if (p->n - p->at < n || memcmp(p->s + p->at, word, n) != 0) return expected(p, "a value");
    p->at += n;
    return true;
}

static bool parse_value(JsonParser *p, Json *out) {
    int c = peek(p);
    if (p->left == 0)
        return fail(p, p->at,
                    "there are more values than such a text may have; is it the right one?");
    p->left--;
    switch (c) {
    case '{': return parse_container(p, out, JSON_OBJECT, '}');
    case '[': return parse_container(p, out, JSON_ARRAY, ']');
    case '"': out->type = JSON_STRING; return parse_string(p, &out->string);
    case 't':
        out->type = JSON_BOOL;
        out->boolean = true;
        return parse_word(p, "true");
    case 'f': out->type = JSON_BOOL; return parse_word(p, "false");
    case 'n': return parse_word(p, "null");
    default: return c == '-' || is_digit(c) ? parse_number(p, out) : expected(p, "a value");
    }
}

static void locate(const JsonParser *p, JsonError *where) {
    where->offset = p->bad;
    where->line = where->column = 1;
    for (size_t i = 0; i < p->bad; i++) {
        if (p->s[i] == '\n') {
            where->line++;
            where->column = 1;
        } else if (((unsigned char)p->s[i] & 0xc0) != 0x80)
            where->column++; /* a continuation byte starts no character */
    }
    memcpy(where->what, p->what, sizeof where->what);
}

/* One value from *at on. With `all` only white space may follow it. */
static const Json *parse(JsonParser *p, size_t *at, bool all, JsonError *where) {
    Json value = {0}, *root = NULL;
    p->at = *at;
    skip_white(p);
    bool ok = parse_value(p, &value);
    if (ok && all) {
        skip_white(p);
        if (p->at < p->n) ok = expected(p, "the end of the text");
    }
    if (ok) {
        root = arena_new(p->arena, 1, sizeof *root);
        *root = value;
        *at = p->at;
    } else if (where) locate(p, where);
    free(p->values);
    free(p->keys);
    return root;
}

const Json *json_parse_limited(Arena *arena, const char *text, size_t n, size_t values,
                               JsonError *where) {
    JsonParser p = {.arena = arena, .s = text, .n = n, .left = values};
    return parse(&p, &(size_t){0}, true, where);
}

const Json *json_parse(Arena *arena, const char *text, size_t n, JsonError *where) {
    return json_parse_limited(arena, text, n, JSON_MAX_VALUES, where);
}

const Json *json_parse_at(Arena *arena, const char *text, size_t n, size_t *at, JsonError *where) {
    JsonParser p = {.arena = arena, .s = text, .n = n, .left = JSON_MAX_VALUES};
    return parse(&p, at, false, where);
}

const Json *json_read_object(const char *path, JsonLimits most, Arena *arena, Buf *text,
                             Error *err) {
    JsonError where;
    if (!file_read_most(path, most.bytes, text, err)) return NULL;
    const Json *root = json_parse_limited(arena, text->s, text->n, most.values, &where);
    if (root && root->type == JSON_OBJECT) return root;
    if (root) error_set(err, STATUS_DATA, "%s:1: the file must hold one JSON object, {...}", path);
    else
        error_set(err, STATUS_DATA,
                  "%s:%ld: not valid JSON: %s (column %ld); mend or replace the file", path,
                  where.line, where.what, where.column);
    return NULL;
}

/* ---- reading values ---- */

const Json *json_get(const Json *object, const char *key) {
    if (!object || object->type != JSON_OBJECT) return NULL;
    size_t n = strlen(key);
    for (int i = object->count - 1; i >= 0; i--)
        if (object->keys[i].n == n && memcmp(object->keys[i].s, key, n) == 0)
            return &object->items[i];
    return NULL;
}

double json_number(const Json *object, const char *key) {
    const Json *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : NAN;
}

/* By content, then by place in the file: of equal keys the earlier comes first. */
static int compare_key_order(const void *a, const void *b) {
    const Str *x = *(const Str *const *)a, *y = *(const Str *const *)b;
    int order = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    if (order != 0) return order;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x < y ? -1 : x > y;
}

const Str *json_duplicate_key(Arena *scratch, const Json *object) {
    if (!object || object->type != JSON_OBJECT || object->count < 2) return NULL;
    size_t n = (size_t)object->count;
    const Str **sorted = arena_new(scratch, n, sizeof *sorted), *first = NULL;
    for (size_t i = 0; i < n; i++) sorted[i] = &object->keys[i];
    qsort(sorted, n, sizeof *sorted, compare_key_order);
    for (size_t i = 1; i < n; i++)
        if (str_equal(*sorted[i - 1], *sorted[i]) && (!first || sorted[i] < first))
            first = sorted[i];
    return first;
}

/* ---- writing ---- */

static void put_escaped(Buf *b, uint32_t c) {
    static const char bytes[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *found = c < 128 ? memchr(bytes, (int)c, sizeof bytes - 1) : NULL;
    if (found) buf_printf(b, "\\%c", names[found - bytes]);
    else if (c <= 0xFFFF) buf_printf(b, "\\u%04x", (unsigned)c);
    else
        buf_printf(b, "\\u%04x\\u%04x", (unsigned)(0xD7C0 + (c >> 10)),
                   (unsigned)(0xDC00 + (c & 0x3FF)));
}

void json_put_string(Buf *b, Str s) {
    size_t done = 0, at = 0; /* the bytes between them are copied unchanged */
    buf_putc(b, '"');
    while (at < s.n) {
        uint32_t code = 0;
        size_t length = (size_t)unicode_decode(s.s + at, s.n - at, &code);
        if (length > 0 && code != '"' && code != '\\' && !unicode_hidden(code)) {
            at += length;
            continue;
        }
        buf_put(b, s.s + done, at - done);
        if (length == 0) buf_puts(b, "\xef\xbf\xbd");
        else put_escaped(b, code);
        done = at += length ? length : unicode_broken(s.s + at, s.n - at);
    }
    if (at > done) buf_put(b, s.s + done, at - done);
    buf_putc(b, '"');
}

void json_put_number(Buf *b, double x) {
    char text[40];
    if (!isfinite(x)) {
        buf_puts(b, "null");
        return;
    }
    if (fabs(x) < 0x1p53 && x == floor(x)) {
        buf_printf(b, "%.0f", x);
        return;
    }
    /* A double keeps any 15 digits, and %g drops trailing zeros. Subnormal numbers keep fewer. */
    int digits = fabs(x) < DBL_MIN ? 1 : DBL_DIG;
    do snprintf(text, sizeof text, "%.*g", digits, x);
    while (digits++ < DBL_DECIMAL_DIG && strtod(text, NULL) != x);
    buf_puts(b, text);
}

void json_put_value(Buf *b, const Json *v) {
    switch (v->type) {
    case JSON_NULL: buf_puts(b, "null"); return;
    case JSON_BOOL: buf_puts(b, v->boolean ? "true" : "false"); return;
    case JSON_STRING: json_put_string(b, v->string); return;
    case JSON_NUMBER:
        if (v->string.n > 0) buf_put(b, v->string.s, v->string.n);
        else json_put_number(b, v->number);
        return;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    bool object = v->type == JSON_OBJECT;
    buf_putc(b, object ? '{' : '[');
    for (int i = 0; i < v->count; i++) {
        if (i > 0) buf_putc(b, ',');
        if (object) {
            json_put_string(b, v->keys[i]);
            buf_putc(b, ':');
        }
        json_put_value(b, &v->items[i]);
    }
    buf_putc(b, object ? '}' : ']');
}

void json_key_number(Buf *b, const char *key, double x) {
    if (b->n && b->s[b->n - 1] != '{') buf_putc(b, ',');
    json_put_string(b, str(key));
    buf_putc(b, ':');
    json_put_number(b, x);
}

void json_key_string(Buf *b, const char *key, const char *text) {
    if (b->n && b->s[b->n - 1] != '{') buf_putc(b, ',');
    json_put_string(b, str(key));
    buf_putc(b, ':');
    if (text) json_put_string(b, str(text));
    else buf_puts(b, "null");
}
