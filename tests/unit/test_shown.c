/* What is printed of foreign text: which characters are escaped, and that all ways to print it do
 * so. */
#include "lib/json.h"
#include "lib/text.h"
#include "lib/unicode.h"

#include <string.h>

#include "tests/unit/check.h"

/* Written apart from the table in lib/unicode.c. */
static bool should_hide(uint32_t c) {
    bool control = c < 32 || (c >= 127 && c < 160);
    bool direction = c == 0x61C || c == 0x200E || c == 0x200F || (c >= 0x202A && c <= 0x202E) ||
                     (c >= 0x2066 && c <= 0x2069);
    bool separator = c == 0x2028 || c == 0x2029;
    bool no_width = c == 0x180E || c == 0x200B || (c >= 0x2060 && c <= 0x2065) ||
                    (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
                    (c >= 0xE0000 && c <= 0xE007F);
    return control || direction || separator || no_width;
}

/* Has the text a character that should have been escaped, or a byte that is not UTF-8? */
static bool has_hidden(const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t c;
        int length = unicode_decode(s + i, n - i, &c);
        if (length == 0 || should_hide(c)) return true;
        i += (size_t)length;
    }
    return false;
}

static void test_each_character(void) {
    int wrong = 0, wrong_json = 0;
    Buf json = {0};
    Arena arena = {0};
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char utf8[4], to[UNICODE_SHOWN_MOST], escape[16];
        int n = 0;
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        int length = unicode_encode(utf8, c);
        size_t taken = unicode_show(utf8, (size_t)length, to, &n);
        snprintf(escape, sizeof escape, c > 0xFFFF ? "\\U%08x" : "\\u%04x", (unsigned)c);
        bool right = should_hide(c) ? n == (int)strlen(escape) && !memcmp(to, escape, (size_t)n)
                                    : n == length && !memcmp(to, utf8, (size_t)n);
        wrong += !right || taken != (size_t)length;
        /* A JSON string hides the same characters, and says the same. */
        json.n = 0;
        json_put_string(&json, (Str){utf8, (size_t)length});
        const Json *v = json_parse(&arena, json.s, json.n, NULL);
        wrong_json +=
            !v || !str_equal(v->string, (Str){utf8, (size_t)length}) || has_hidden(json.s, json.n);
    }
    CHECK(wrong == 0, "%d characters are shown wrongly", wrong);
    CHECK(wrong_json == 0, "%d characters are wrong in JSON", wrong_json);
    arena_free(&arena);
    buf_free(&json);
}

static const struct {
    const char *text, *keep, *shown;
} CASES[] = {
    {"h.0.\x1b[31mred", "", "h.0.\\u001b[31mred"},
    {"a\nb\tc", "\n\t", "a\nb\tc"},
    {"a\nb\r", "", "a\\u000ab\\u000d"},
    {"caf\xc3\xa9 \xe2\x80\xae", "", "caf\xc3\xa9 \\u202e"},
    {"\xc2\x9b"
     "2J",
     "", "\\u009b2J"},
    {"\x9b"
     "2J\xff\xc3",
     "", "\\x9b2J\\xff\\xc3"},
    {"\xf3\xa0\x81\x81", "", "\\U000e0041"},
    {"\xed\xa0\x80", "", "\\xed\\xa0\\x80"},
    {"", "", ""},
};

static void test_texts(void) {
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Buf b = {0};
        buf_puts(&b, "");
        text_show(&b, str(CASES[i].text), CASES[i].keep);
        CHECK(!strcmp(b.s, CASES[i].shown), "case %zu: %s", i, b.s);
        buf_free(&b);
    }
    Buf b = {0};
    text_show(&b, (Str){"a\0b", 3}, "\n");
    CHECK(!strcmp(b.s, "a\\u0000b"), "NUL: %s", b.s);
    buf_free(&b);
}

/* Messages are one line that can be printed, however long they are. */
static void test_errors(void) {
    char text[3000];
    for (size_t n = 0; n < 40; n++) {
        Error err = {0};
        memset(text, 'a', sizeof text);
        for (size_t i = n; i + 3 < sizeof text - 1; i += 3 + n) memcpy(text + i, "\xe2\x80\xae", 3);
        text[1000 + n] = '\n';
        text[sizeof text - 1] = 0;
        error_set(&err, STATUS_DATA, "%s", text);
        CHECK(!has_hidden(err.text, strlen(err.text)), "%zu: %s", n, err.text);
        CHECK(strlen(err.text) > 1000, "%zu: %zu bytes are left", n, strlen(err.text));
        /* Whole characters, however the message is cut. */
        err = (Error){0};
        for (size_t i = 0; i + 4 < sizeof text; i += 4) memcpy(text + i, "\xf0\x9f\x98\x80", 4);
        error_set(&err, STATUS_DATA, "%.*s%s", (int)n, "0123456789012345678901234567890123456789",
                  text);
        CHECK(!has_hidden(err.text, strlen(err.text)), "%zu: cut inside a character", n);
    }
}

static void test_tables(void) {
    Table t = {.title = "a\x1b[1m"};
    table_head(&t, "ten\nsor");
    table_put(&t, "%s", "w\xc2\x85");
    buf_puts(&t.remarks, "one\x07\ntwo\n");
    Buf b = {0};
    table_text(&t, 80, &b);
    CHECK(!strcmp(b.s, "a\\u001b[1m\nten\\u000asor\nw\\u0085\none\\u0007\ntwo\n"), "%s", b.s);
    buf_free(&b);
    table_free(&t);
}

static void test_cut(void) {
    CHECK(unicode_cut("ab\xc3\xa9", 4, 4) == 4 && unicode_cut("ab\xc3\xa9", 4, 3) == 2,
          "two bytes");
    CHECK(unicode_cut("\xf0\x9f\x98\x80", 4, 3) == 0 && unicode_cut("abc", 3, 2) == 2,
          "other cuts");
}

int main(void) {
    test_each_character();
    test_texts();
    test_errors();
    test_tables();
    test_cut();
    return check_report("test_shown");
}
