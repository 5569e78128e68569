/* json: what is accepted and rejected, where errors are said to be, decoded values, numbers, the
 * writer. */
#include "lib/json.h"
#include "lib/system.h"
#include "lib/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/check.h"

/* Parses a copy of exactly n bytes, so that a sanitizer sees every read past the end, and frees
 * it before use. */
static const Json *parse(Arena *arena, const char *text, size_t n, JsonError *where) {
    char *copy = malloc(n ? n : 1);
    if (!copy) exit(4);
    if (n) memcpy(copy, text, n);
    const Json *v = json_parse(arena, copy, n, where);
    free(copy);
    return v;
}

static const Json *parse_c(Arena *arena, const char *text, JsonError *where) {
    return parse(arena, text, strlen(text), where);
}

static void test_accepted(void) {
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1e2",
        "1E+2",
        "1.5e-3",
        "0e1",
        "0.0",
        "-0.5",
        "123456789012345678901234567890",
        "1e-400",
        "1.7976931348623157e308",
        "\"\"",
        "[]",
        "{}",
        " \t\r\n[ 1 , 2 ] \n",
        "{\"\":0}",
        "{\"a\":{\"b\":[{}]}}",
        "[[]   ]",
        "{\"a\":1,\"a\":2}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\"",
        "\"\\uD83d\\uDE00\"",
        "\"\\uFFFF\"",
        "\"\x7f\"",
        "\"\xe2\x80\xa8\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\xed\x9f\xbf\xee\x80\x80\"",
        "[true,false,null]",
        "\"\\\\u0041\"",
        "[1\n]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        Arena arena = {0};
        JsonError where = {0};
        const Json *v = parse_c(&arena, texts[i], &where);
        CHECK(v != NULL, "rejected %s: %s", texts[i], where.what);
        Buf once = {0}, twice = {0};
        if (v) json_put_value(&once, v);
        const Json *again = v ? parse(&arena, once.s, once.n, &where) : NULL;
        CHECK(again != NULL, "what was written for %s does not parse", texts[i]);
        if (again) json_put_value(&twice, again);
        CHECK(once.n == twice.n && once.n > 0 && memcmp(once.s, twice.s, once.n) == 0,
              "%s: writing is not stable", texts[i]);
        buf_free(&once);
        buf_free(&twice);
        arena_free(&arena);
    }
}

/* No JSON. */
/* clang-format off */
static const char *const REJECTED[] = {
    "", " ", "nul", "nulL", "True", "truee", "tru", "NaN", "Infinity", "-Infinity", "+1", "01",
    "-01", "00", "-", "1.", ".5", "-.5", "1.e1", "1e", "1e+", "1E-", "0x10", "1_000", "1 2", "1,",
    "1e400", "-1e400", "1a", "'a'", "\"", "\"a", "\"\\", "\"\\\"", "\"\\x41\"", "\"\\u12\"",
    "\"\\u12G4\"", "\"\\u 123\"", "\"\\U0041\"", "\"\\a\"", "\"\\0\"", "\"\n\"", "\"\t\"",
    "\"\x1f\"", "\"\\\n\"", "\"\\uD800\"", "\"\\uDC00\"", "\"\\uD800x\"", "\"\\uD800\\n\"",
    "\"\\uD800\\uD800\"", "\"\\uD800\\u0041\"", "\"\\uDBFF\\uE000\"", "\"\\uDC00\\uDC00\"",
    "\"\\uDE00\\uD83D\"", "\"\\uD83D\\uDE0\"", "\"\x80\"", "\"\xc0\x80\"", "\"\xc1\xbf\"",
    "\"\xe0\x9f\xbf\"", "\"\xed\xa0\x80\"", "\"\xf0\x8f\xbf\xbf\"", "\"\xf4\x90\x80\x80\"",
    "\"\xf5\x80\x80\x80\"", "\"\xe2\x82\"", "\"\xe2\"", "\"\xff\"", "\"\\\xff\"", "\"\\\xc3\xa9\"",
    "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[1:2]", "[1}", "[\"a", "[1]]",
    "[][]", "{", "}", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{,}", "{\"a\"}",
    "{\"a\",1}", "{\"a\" 1}", "{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{\"a\":1 \"b\":2}",
    "{\"a\"::1}", "{\"a\":1]", "{\"a\":1}}", "{}{}", "[1]//c", "/**/1", "[1]#", "\xef\xbb\xbf{}",
    "\xc2\xa0 1", "1\xc2\xa0", "\f1", "\v1", "[\xe9]", "\xff\xfe", "\\u0031"};
/* clang-format on */

static void test_rejected(void) {
    for (size_t i = 0; i < sizeof REJECTED / sizeof *REJECTED; i++) {
        Arena arena = {0};
        JsonError where = {0};
        CHECK(!parse_c(&arena, REJECTED[i], &where), "accepted %s", REJECTED[i]);
        CHECK(where.what[0] && where.line >= 1 && where.column >= 1 &&
                  where.offset <= strlen(REJECTED[i]),
              "%s: bad place", REJECTED[i]);
        CHECK(!parse_c(&arena, REJECTED[i], NULL), "accepted %s without a place for the error",
              REJECTED[i]);
        arena_free(&arena);
    }
    Arena arena = {0};
    CHECK(!parse(&arena, "\"a\0b\"", 5, NULL) && !parse(&arena, "1\0", 2, NULL) &&
              !parse(&arena, "\0", 1, NULL) && !parse(&arena, "\"\\\0\"", 4, NULL),
          "accepted a NUL");
    arena_free(&arena);
}

static void test_places(void) {
    static const struct {
        const char *text;
        size_t offset;
        long line, column;
        const char *what;
    } cases[] = {
        {"", 0, 1, 1, "expected a value, but the text ends here"},
        {"[1,\n 2,\n x]", 9, 3, 2, "expected a value, found 'x'"},
        /* columns are characters */
        {"{\"\xc3\xa9\xe2\x82\xac\": 01}", 10, 1, 8, "a number must not start with 0"},
        {"{\"a\":1,}", 7, 1, 8, "expected a key in double quotes, found '}'"},
        {"{\"a\" 1}", 5, 1, 6, "expected ':' after the key, found '1'"},
        {"[1 2]", 3, 1, 4, "expected ',' or ']', found '2'"},
        {"{\"a\":1 2}", 7, 1, 8, "expected ',' or '}', found '2'"},
        {"[1] x", 4, 1, 5, "expected the end of the text, found 'x'"},
        {"\n\"ab", 4, 2, 4, "a string is not closed when the text ends"},
        {"\"ab\tc\"", 3, 1, 4,
         "a control character or line break in a string must be escaped (\\n, \\t, \\u00XX)"},
        {"\"a\\qc\"", 2, 1, 3, "unknown escape; a plain backslash is written \\\\"},
        {"\"a\\u12\"", 2, 1, 3, "\\u needs four hexadecimal digits"},
        {"\"a\\ud800\"", 2, 1, 3,
         "a \\u escape is half a surrogate pair; both halves must follow each other"},
        {"\"ab\xff\"", 3, 1, 4, "the text is not valid UTF-8"},
        {"[1e999]", 1, 1, 2, "the number is too large for a double (at most about 1.8e308)"},
        {"[1.x]", 3, 1, 4, "expected a digit, found 'x'"},
        {"\xef\xbb\xbf[]", 0, 1, 1, "the text starts with a byte-order mark; save it without one"},
        {"[\x01]", 1, 1, 2, "expected a value, found byte 0x01"},
        {"[\x7f]", 1, 1, 2, "expected a value, found byte 0x7f"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena arena = {0};
        JsonError e = {0};
        CHECK(!parse_c(&arena, cases[i].text, &e), "accepted %s", cases[i].text);
        CHECK(e.offset == cases[i].offset && e.line == cases[i].line &&
                  e.column == cases[i].column && !strcmp(e.what, cases[i].what),
              "%s: %zu, %ld:%ld, %s", cases[i].text, e.offset, e.line, e.column, e.what);
        arena_free(&arena);
    }
}

static void test_values(void) {
    Arena arena = {0};
    JsonError where = {0};
    const Json *v = parse_c(
        &arena,
        "{\"s\":\"a\\u0000\\u00e9\\u20AC\\ud83d\\ude00\\n\",\"n\":-12.50,\"t\":true,\"f\":false,"
        "\"z\":null,\"l\":[1,[2,3],{}],\"s2\":\"\",\"n\":7}",
        &where);
    CHECK(v && v->type == JSON_OBJECT && v->count == 8, "no object of 8: %s", where.what);
    if (!v) return;
    const Json *s = json_get(v, "s"), *l = json_get(v, "l"), *n = json_get(v, "n");
    static const char decoded[] = "a\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n";
    CHECK(s && s->type == JSON_STRING && s->string.n == sizeof decoded - 1 &&
              !memcmp(s->string.s, decoded, sizeof decoded),
          "wrong string, or no NUL behind it");
    CHECK(n && n->number == 7 && n->is_integer && str_is(n->string, "7"),
          "the last of repeated keys must win");
    CHECK(v->items[1].number == -12.5 && !v->items[1].is_integer &&
              str_is(v->items[1].string, "-12.50"),
          "wrong first n");
    CHECK(json_get(v, "t")->boolean && !json_get(v, "f")->boolean &&
              json_get(v, "f")->type == JSON_BOOL,
          "wrong booleans");
    CHECK(json_get(v, "z")->type == JSON_NULL && !json_get(v, "none") && !json_get(v, "sX") &&
              !json_get(l, "s"),
          "wrong lookups");
    CHECK(json_get(v, "s2")->string.n == 0 && json_get(v, "s2")->string.s, "wrong empty string");
    CHECK(l->type == JSON_ARRAY && l->count == 3 && l->items[0].number == 1 &&
              l->items[1].count == 2 && l->items[1].items[1].number == 3 &&
              l->items[2].type == JSON_OBJECT && l->items[2].count == 0,
          "wrong list");
    CHECK(str_is(v->keys[0], "s") && str_is(v->keys[7], "n"), "keys are not in file order");
    CHECK(json_get(NULL, "a") == NULL, "NULL has no keys");
    v = parse_c(&arena, "{\"a\":{\"b\":1,\"c\":{\"d\":[{\"e\":2}]}},\"f\":{\"g\":3},\"h\":4}",
                &where);
    CHECK(v && v->count == 3 && str_is(v->keys[0], "a") && str_is(v->keys[1], "f") &&
              str_is(v->keys[2], "h") &&
              json_get(json_get(json_get(v, "a"), "c"), "d")->items[0].items[0].number == 2 &&
              json_get(v, "h")->number == 4,
          "wrong keys around inner objects");
    arena_free(&arena);
}

static void test_escapes(void) {
    static const struct {
        const char *text, *decoded;
    } cases[] = {
        {"\"a b\"", "a b"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u007f\"", "\x7f"},
        {"\"\\u0080\"", "\xc2\x80"},
        {"\"\\u07ff\"", "\xdf\xbf"},
        {"\"\\u0800\"", "\xe0\xa0\x80"},
        {"\"\\uabcd\\uEF90\"", "\xea\xaf\x8d\xee\xbe\x90"},
        {"\"\\uFFFF\"", "\xef\xbf\xbf"},
        {"\"\\uD800\\uDC00\"", "\xf0\x90\x80\x80"},
        {"\"\\uDBFF\\uDFFF\"", "\xf4\x8f\xbf\xbf"},
        {"\"\\ud7ff\\ue000\"", "\xed\x9f\xbf\xee\x80\x80"},
        {"\"x\\ud83d\\ude00y\"", "x\xf0\x9f\x98\x80y"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena arena = {0};
        const Json *v = parse_c(&arena, cases[i].text, NULL);
        CHECK(v && str_is(v->string, cases[i].decoded), "%s read as %s", cases[i].text,
              v ? v->string.s : "nothing");
        arena_free(&arena);
    }
}

static void test_duplicates(void) {
    Arena arena = {0};
    const Json *v =
        parse_c(&arena, "{\"b\":1,\"a\":2,\"ab\":3,\"b\":4,\"a\":5,\"\":6,\"b\":7}", NULL);
    CHECK(v && json_duplicate_key(&arena, v) == &v->keys[3],
          "the first repeated key is the second b");
    v = parse_c(&arena, "{\"b\":1,\"a\":2,\"ab\":3,\"\":6,\"B\":1,\"a\\u0000\":0}", NULL);
    CHECK(v && !json_duplicate_key(&arena, v), "no key is repeated");
    v = parse_c(&arena, "{\"a\":1,\"\\u0061\":2}", NULL);
    CHECK(v && json_duplicate_key(&arena, v) == &v->keys[1], "keys are compared decoded");
    /* What stands in memory behind a key is no part of it. */
    v = parse_c(&arena, "{\"a\":\"z\",\"a\\u0000m\":1,\"a\":\"b\",\"c\":1}", NULL);
    CHECK(v && json_duplicate_key(&arena, v) == &v->keys[2], "a, a with more, a");
    v = parse_c(&arena, "{\"a\":\"b\",\"a\\u0000m\":1,\"a\":\"z\",\"c\":1}", NULL);
    CHECK(v && json_duplicate_key(&arena, v) == &v->keys[2], "a, a with more, a");
    v = parse_c(&arena, "[1,1]", NULL);
    CHECK(v && !json_duplicate_key(&arena, v), "a list has no keys");
    arena_free(&arena);
}

static void test_integers(void) {
    static const struct {
        const char *text;
        double value;
        bool is_integer;
    } cases[] = {
        {"0", 0, true},
        {"9007199254740992", 9007199254740992.0, true},
        {"-9007199254740992", -9007199254740992.0, true},
        {"9007199254740993", 9007199254740992.0, false},
        {"-9007199254740993", -9007199254740992.0, false},
        {"9999999999999999", 1e16, false},
        {"10000000000000000", 1e16, false},
        {"18446744073709551617", 18446744073709551616.0, false},
        {"1.0", 1, false},
        {"1e3", 1000, false},
        {"123456789012345", 123456789012345.0, true},
        {"-7", -7, true},
        {"0.1", 0.1, false},
        {"5e-324", 5e-324, false},
        {"1e-400", 0, false},
        {"2.2250738585072014e-308", 0x1p-1022, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Arena arena = {0};
        const Json *v = parse_c(&arena, cases[i].text, NULL);
        CHECK(v && v->number == cases[i].value && v->is_integer == cases[i].is_integer &&
                  str_is(v->string, cases[i].text),
              "%s read as %.17g", cases[i].text, v ? v->number : NAN);
        arena_free(&arena);
    }
    Arena arena = {0};
    const Json *v = parse_c(&arena, "-0", NULL);
    CHECK(v && v->number == 0 && signbit(v->number) && v->is_integer, "-0 keeps its sign");
    arena_free(&arena);
}

static void test_depth(void) {
    static const char *const open[] = {"[", "{\"a\":"}, *const close[] = {"]", "}"};
    for (int depth = JSON_MAX_DEPTH; depth <= JSON_MAX_DEPTH + 1; depth++) {
        for (int kind = 0; kind < 2; kind++) {
            Buf text = {0};
            Arena arena = {0};
            JsonError where = {0};
            for (int i = 0; i < depth; i++) buf_puts(&text, open[kind]);
            buf_puts(&text, "1");
            for (int i = 0; i < depth; i++) buf_puts(&text, close[kind]);
            CHECK((parse(&arena, text.s, text.n, &where) != NULL) == (depth == JSON_MAX_DEPTH),
                  "depth %d", depth);
            arena_free(&arena);
            buf_free(&text);
        }
    }
    Buf text = {0}; /* depth counts what is open, not what was */
    Arena arena = {0};
    buf_puts(&text, "[0");
    for (int i = 0; i < 1000; i++) buf_puts(&text, ",[{}]");
    buf_puts(&text, "]");
    const Json *v = parse(&arena, text.s, text.n, NULL);
    CHECK(v && v->count == 1001, "many shallow lists");
    text.n = 0;
    for (int i = 0; i < 200000; i++) buf_putc(&text, '[');
    CHECK(!parse(&arena, text.s, text.n, NULL), "200,000 open brackets");
    arena_free(&arena);
    buf_free(&text);
}

static SystemCalls real_calls;
static size_t taken; /* bytes asked for, in all */

static void *count_allocate(size_t bytes) {
    taken += bytes;
    return real_calls.allocate(bytes);
}

static void *count_resize(void *old, size_t bytes) {
    taken += bytes;
    return real_calls.resize(old, bytes);
}

/* A vocabulary of so many keys is whole. Returns the bytes that reading it took. */
static size_t read_vocabulary(int keys) {
    Buf text = {0};
    Arena arena = {0};
    JsonError where = {0};
    for (int i = 0; i < keys; i++) buf_printf(&text, "%c\"\\u0120key%d\":%d", i ? ',' : '{', i, i);
    buf_putc(&text, '}');
    real_calls = system_calls;
    system_calls.allocate = count_allocate;
    system_calls.resize = count_resize;
    taken = 0;
    const Json *v = parse(&arena, text.s, text.n, &where);
    bool repeated = !v || json_duplicate_key(&arena, v);
    system_calls = real_calls;
    CHECK(v && v->count == keys && !repeated, "a vocabulary of %d keys: %s", keys, where.what);
    int wrong = 0;
    for (int i = 0; v && i < keys; i++) {
        char key[32];
        snprintf(key, sizeof key, "\xc4\xa0key%d", i);
        wrong += !str_is(v->keys[i], key) || v->items[i].number != i;
    }
    CHECK(wrong == 0, "%d keys are wrong", wrong);
    arena_free(&arena);
    buf_free(&text);
    return taken;
}

/* Memory grows with the keys: 8 times as many take 8 times the bytes, or twice that, because blocks
 * that double may have just doubled. GPT-2's vocabulary has 50257. */
static void test_large(void) {
    size_t few = read_vocabulary(50257 / 8), many = read_vocabulary(50257);
    CHECK(few > 0 && many <= 16 * few, "%zu bytes, and %zu for 8 times the keys", few, many);
}

static void test_parse_at(void) {
    static const char text[] = " {\"a\":1} ,\n[2] 3 x";
    Arena arena = {0};
    JsonError where = {0};
    size_t at = 0, n = sizeof text - 1;
    const Json *v = json_parse_at(&arena, text, n, &at, &where);
    CHECK(v && v->type == JSON_OBJECT && at == 8, "first value ends at %zu", at);
    at = 10;
    v = json_parse_at(&arena, text, n, &at, &where);
    CHECK(v && v->type == JSON_ARRAY && at == 14, "second value ends at %zu", at);
    v = json_parse_at(&arena, text, n, &at, &where);
    CHECK(v && v->number == 3 && at == 16, "third value ends at %zu", at);
    v = json_parse_at(&arena, text, n, &at, &where);
    CHECK(!v && at == 16 && where.offset == 17 && where.line == 2 && where.column == 7,
          "error at %ld:%ld", where.line, where.column);
    arena_free(&arena);
}

static void test_utf8(void) {
    static const struct {
        const char *s;
        size_t n, bad;
    } cases[] = {
        /* bad == n: valid */
        {"", 0, 0},
        {"plain text, longer than eight", 29, 29},
        {"12345678\xc3\xa9", 10, 10},
        {"1234567\xc3\xa9"
         "2345678\x80",
         17, 16},
        {"\x80", 1, 0},
        {"a\xc0\xaf", 3, 1},
        {"\xc2", 1, 0},
        {"\xc2\x80", 2, 2},
        {"\xdf\xbf", 2, 2},
        {"ab\xe2\x28\xa1", 5, 2},
        {"\xe0\xa0\x80", 3, 3},
        {"\xe0\x80\x80", 3, 0},
        {"\xed\x9f\xbf", 3, 3},
        {"\xed\xa0\x80", 3, 0},
        {"\xef\xbf\xbf", 3, 3},
        {"\xf0\x90\x80\x80", 4, 4},
        {"\xf0\x8f\x80\x80", 4, 0},
        {"\xf4\x8f\xbf\xbf", 4, 4},
        {"\xf4\x90\x80\x80", 4, 0},
        {"\xf1\x80\x80", 3, 0},
        {"\xf1\x80\x80\x41", 4, 0},
        {"\xf1\x80\x41\x80", 4, 0},
        {"\xf8\x88\x80\x80\x80", 5, 0},
        {"\0\x7f", 2, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t bad = cases[i].n;
        bool ok = unicode_valid(cases[i].s, cases[i].n, &bad);
        CHECK(bad == cases[i].bad && ok == (bad == cases[i].n), "case %zu: bad byte at %zu", i,
              bad);
        CHECK(unicode_valid(cases[i].s, cases[i].n, NULL) == ok, "case %zu without a place", i);
    }
}

static void test_put_string(void) {
    static const struct {
        const char *s;
        size_t n;
        const char *written;
    } cases[] = {
        {"", 0, "\"\""},
        {NULL, 0, "\"\""},
        {"a<b>&/'", 7, "\"a<b>&/'\""},
        {"\"\\\b\f\n\r\t", 7, "\"\\\"\\\\\\b\\f\\n\\r\\t\""},
        {"\0\x01\x1f\x7f", 4, "\"\\u0000\\u0001\\u001f\\u007f\""},
        {"\xc3\xa9\xf0\x9f\x98\x80", 6, "\"\xc3\xa9\xf0\x9f\x98\x80\""},
        {"a\xff"
         "b\xc3",
         4,
         "\"a\xef\xbf\xbd"
         "b\xef\xbf\xbd\""},
        {"\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\\u0041", 6, "\"\\\\u0041\""},
        {" a b ", 5, "\" a b \""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Buf b = {0};
        json_put_string(&b, (Str){cases[i].s, cases[i].n});
        CHECK(!strcmp(b.s, cases[i].written), "case %zu: %s", i, b.s);
        buf_free(&b);
    }
}

static void test_put_number(void) {
    static const struct {
        double x;
        const char *written;
    } cases[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-42, "-42"},
        {1e15, "1000000000000000"},
        {9007199254740991.0, "9007199254740991"},
        {0.1, "0.1"},
        {-2.5, "-2.5"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e22, "1e+22"},
        {1e-7, "1e-07"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {123456.789, "123456.789"},
    };
    Buf b = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b.n = 0;
        json_put_number(&b, cases[i].x);
        CHECK(!strcmp(b.s, cases[i].written), "%.17g written as %s", cases[i].x, b.s);
    }
    const double odd[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        b.n = 0;
        json_put_number(&b, odd[i]);
        CHECK(!strcmp(b.s, "null"), "%g written as %s", odd[i], b.s);
    }
    Rng rng = rng_new(1, 1);
    int wrong = 0;
    for (int i = 0; i < 5000; i++) { /* any bit pattern comes back as it was */
        uint64_t bits = rng_u64(&rng);
        double x;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        Arena arena = {0};
        b.n = 0;
        json_put_number(&b, x);
        const Json *v = parse(&arena, b.s, b.n, NULL);
        wrong += !v || memcmp(&v->number, &x, sizeof x) != 0;
        arena_free(&arena);
    }
    CHECK(wrong == 0, "%d of 5000 doubles came back differently", wrong);
    buf_free(&b);
}

static void test_put_value(void) {
    static const char text[] =
        " { \"a\" : [ 1 , 2.50 , \"x\\u0079\" , null , true , false , { } , [ ] ] ,"
        " \"b\" : 123456789012345678901 } ";
    static const char wanted[] =
        "{\"a\":[1,2.50,\"xy\",null,true,false,{},[]],\"b\":123456789012345678901}";
    Arena arena = {0};
    Buf b = {0};
    const Json *v = parse_c(&arena, text, NULL);
    if (v) json_put_value(&b, v);
    CHECK(v && !strcmp(b.s, wanted), "written: %s", v ? b.s : "nothing");
    b.n = 0;
    Json made = {.type = JSON_NUMBER, .number = 0.5};
    json_put_value(&b, &made);
    CHECK(!strcmp(b.s, "0.5"), "a number without text: %s", b.s);
    buf_free(&b);
    arena_free(&arena);
}

/* Damaged texts: never a crash; what is accepted comes back the same from what is written. */
static void test_damaged(void) {
    static const char seed[] =
        "{\"a\":[1,-2.5e3,\"\\ud83d\\ude00\\n\xc3\xa9\"],\"b\":{\"c\":null,\"d\":true},\"e\":\"\"}";
    static const char alphabet[] = "{}[]\",:\\u0019eE+-. \ntfn\x80\xc3\xff";
    Rng rng = rng_new(2, 1);
    int accepted = 0;
    for (int round = 0; round < 5000; round++) {
        char text[sizeof seed];
        size_t n = sizeof seed - 1;
        memcpy(text, seed, n);
        for (int edits = 1 + rng_below(&rng, 3); edits > 0; edits--) {
            size_t at = (size_t)rng_below(&rng, (int)n);
            if (rng_below(&rng, 3) == 0) memmove(text + at, text + at + 1, --n - at);
            else text[at] = alphabet[rng_below(&rng, (int)sizeof alphabet - 1)];
        }
        Arena arena = {0};
        JsonError where = {0};
        const Json *v = parse(&arena, text, n, &where);
        if (!v && (where.offset > n || !where.what[0])) CHECK(false, "round %d: no place", round);
        if (v) {
            Buf b = {0};
            json_put_value(&b, v);
            if (!parse(&arena, b.s, b.n, &where)) CHECK(false, "round %d: %s", round, where.what);
            buf_free(&b);
            accepted++;
        }
        arena_free(&arena);
    }
    CHECK(accepted > 25 && accepted < 4900, "%d of 5000 accepted", accepted);
}

int main(void) {
    test_accepted();
    test_rejected();
    test_places();
    test_values();
    test_escapes();
    test_duplicates();
    test_integers();
    test_depth();
    test_large();
    test_parse_at();
    test_utf8();
    test_put_string();
    test_put_number();
    test_put_value();
    test_damaged();
    return check_report("json");
}
