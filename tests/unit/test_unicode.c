/* Unicode: letters, numbers and spaces, small letters, and UTF-8. */
#include "lib/json.h"
#include "lib/unicode.h"

#include "lib/util.h"
#include "tests/unit/check.h"

/* Of each block all capital letters have their small one, and nothing else changes. The counts are
 * those of Python 3.11: sum(len(chr(c).lower()) == 1 and chr(c).lower() != chr(c) for c in
 * range(...)), but for the blocks' letters of old or phonetic alphabets. */
static void test_lower(void) {
    static const struct {
        uint32_t from, to;
        int capitals;
    } blocks[] = {{0, 0x7F, 26},        {0x80, 0xFF, 30},     {0x100, 0x17F, 62},
                  {0x370, 0x3CE, 33},   {0x400, 0x45F, 48},   {0x460, 0x52F, 100},
                  {0x531, 0x556, 38},   {0x1E00, 0x1E95, 75}, {0x1EA0, 0x1EFF, 48},
                  {0xFF00, 0xFF5A, 26}, {0x4E00, 0x9FFF, 0}};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        int capitals = 0, unstable = 0;
        for (uint32_t c = blocks[b].from; c <= blocks[b].to; c++) {
            capitals += unicode_lower(c) != c;
            unstable += unicode_lower(unicode_lower(c)) != unicode_lower(c);
        }
        CHECK(capitals == blocks[b].capitals && unstable == 0, "U+%04X: %d capitals, %d unstable",
              blocks[b].from, capitals, unstable);
    }
    CHECK(unicode_lower(0xC4) == 0xE4 && unicode_lower(0x178) == 0xFF &&
              unicode_lower(0x416) == 0x436 && unicode_lower(0x3A9) == 0x3C9 &&
              unicode_lower(0xD7) == 0xD7 && unicode_lower('[') == '[',
          "a small letter is another's");
}

static void test_unicode(void) {
    long count[4] = {0};
    for (uint32_t c = 0; c <= 0x10FFFF; c++) count[unicode_class(c)]++;
    /* Counted with UnicodeData.txt and PropList.txt of Unicode 15.0.0. */
    CHECK(count[UNICODE_LETTER] == 136104, "%ld letters", count[UNICODE_LETTER]);
    CHECK(count[UNICODE_NUMBER] == 1831, "%ld numbers", count[UNICODE_NUMBER]);
    CHECK(count[UNICODE_SPACE] == 25, "%ld spaces", count[UNICODE_SPACE]);
    const uint32_t letters[] = {'A',    'z',    0xAA,    0xB5,    0xC0,   0xF8,
                                0x1C5,  0x2B0,  0x3B1,   0x4E00,  0x9FFF, 0xAC00,
                                0xD7A3, 0xFB01, 0x1D4B3, 0x20000, 0x323AF};
    const uint32_t numbers[] = {'0', '9', 0xB2, 0xBD, 0x661, 0x2167, 0x3007, 0x1D7D8, 0x1FBF9};
    const uint32_t spaces[] = {9,      13,     32,     0x85,   0xA0,   0x1680,
                               0x2000, 0x200A, 0x2028, 0x202F, 0x205F, 0x3000};
    const uint32_t others[] = {0,    8,    14,   0x1C,  '@',    '[',    '`',    '{',     0x7F,
                               0xAD, 0xD7, 0xF7, 0x300, 0x200B, 0xFEFF, 0xFFFD, 0x1F600, 0x323B0};
    for (size_t i = 0; i < sizeof letters / 4; i++)
        CHECK(unicode_class(letters[i]) == UNICODE_LETTER, "U+%04X", letters[i]);
    for (size_t i = 0; i < sizeof numbers / 4; i++)
        CHECK(unicode_class(numbers[i]) == UNICODE_NUMBER, "U+%04X", numbers[i]);
    for (size_t i = 0; i < sizeof spaces / 4; i++)
        CHECK(unicode_class(spaces[i]) == UNICODE_SPACE, "U+%04X", spaces[i]);
    for (size_t i = 0; i < sizeof others / 4; i++)
        CHECK(unicode_class(others[i]) == UNICODE_OTHER, "U+%04X", others[i]);
}

static void check_decode(const char *s, size_t n, int length, uint32_t code) {
    uint32_t c = 12345;
    int got = unicode_decode(s, n, &c);
    CHECK(got == length && c == (length ? code : 12345), "length %d, U+%04X; wanted %d, U+%04X",
          got, c, length, code);
}

static void test_decoding_utf8(void) {
    check_decode("a\xC3", 2, 1, 'a');
    check_decode("\xC3\xA9", 2, 2, 0xE9);
    check_decode("\xE0\xA0\x80", 3, 3, 0x800);
    check_decode("\xF0\x90\x80\x80", 4, 4, 0x10000);
    check_decode("\xF4\x8F\xBF\xBF", 4, 4, 0x10FFFF);
    check_decode("\xF4\x90\x80\x80", 4, 0, 0);
    check_decode("\xED\x9F\xBF", 3, 3, 0xD7FF);
    check_decode("\xED\xA0\x80", 3, 0, 0);
    check_decode("\xE0\x9F\xBF", 3, 0, 0);
    check_decode("\xC1\xBF", 2, 0, 0);
    check_decode("\xC3\xA9", 1, 0, 0);
    check_decode("\xC3", 0, 0, 0);
    check_decode("\x80\x80", 2, 0, 0);
    Rng r = rng_new(1, 1);
    int wrong = 0;
    for (int k = 0; k < 300000; k++) { /* against the JSON parser's own check */
        char s[4];
        size_t n = 1 + (size_t)rng_below(&r, 4), bad;
        for (size_t i = 0; i < n; i++)
            s[i] = (char)(i ? 0x78 + rng_below(&r, 0x50) : 0x70 + rng_below(&r, 0x90));
        uint32_t c;
        size_t at = 0;
        for (int length; at < n && (length = unicode_decode(s + at, n - at, &c)) > 0;)
            at += (size_t)length;
        bad = n;
        if (unicode_valid(s, n, &bad) != (at == n)) wrong++;
    }
    CHECK(wrong == 0, "%d strings", wrong);
}

/* One U+FFFD for each beginning of a character: the standard's own example, and what Python's
 * bytes.decode(errors="replace") makes of others. */
static void test_broken(void) {
    static const struct {
        const char *bytes, *shown;
    } cases[] = {{"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a???b?c??d"},
                 {"\xf0\x9f\x91", "?"},
                 {"\xf0\x9f\x91x", "?x"},
                 {"\xe2\x82\xe2\x82\xac", "?\xe2\x82\xac"},
                 {"\xc0\xaf\xc1", "???"},
                 {"\xed\xa0\x80", "???"},
                 {"\xe0\x80\xaf", "???"},
                 {"\xf0\x80\x80\x80", "????"},
                 {"\xf4\x90\x80\x80", "????"},
                 {"\xf5\xff\x80", "???"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        Buf json = {0}, wanted = {0};
        json_put_string(&json, str(cases[k].bytes));
        buf_putc(&wanted, '"');
        for (const char *s = cases[k].shown; *s; s++)
            if (*s == '?') buf_puts(&wanted, "\xef\xbf\xbd");
            else buf_putc(&wanted, *s);
        buf_putc(&wanted, '"');
        CHECK(strcmp(json.s, wanted.s) == 0, "%zu: %s, not %s", k, json.s, wanted.s);
        buf_free(&json);
        buf_free(&wanted);
    }
}

int main(void) {
    test_lower();
    test_unicode();
    test_decoding_utf8();
    test_broken();
    return check_report("test_unicode");
}
