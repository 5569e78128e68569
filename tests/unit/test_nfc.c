/* Unicode's form C. With an argument, the path of NormalizationTest.txt of Unicode 15.0 (Debian's
 * package unicode-data), all its rows are tested. */
#include "lib/nfc.h"

#include "lib/file.h"
#include "lib/text.h"
#include "lib/unicode.h"
#include "tests/unit/check.h"

/* Rows of that file, made by `python3 tests/reference/nfc_table.py FOLDER rows 150`: the form C of
 * the first three columns is the second, that of the last two the fourth. */
static const char *const ROWS[][5] = {
    {"1E0A", "1E0A", "0044 0307", "1E0A", "0044 0307"},
    {"0140", "0140", "0140", "006C 00B7", "006C 00B7"},
    {"022B", "022B", "006F 0308 0304", "022B", "006F 0308 0304"},
    {"09DC", "09A1 09BC", "09A1 09BC", "09A1 09BC", "09A1 09BC"},
    {"1DB0", "1DB0", "1DB0", "0274", "0274"},
    {"1E86", "1E86", "0057 0307", "1E86", "0057 0307"},
    {"1F2A", "1F2A", "0397 0313 0300", "1F2A", "0397 0313 0300"},
    {"1FCC", "1FCC", "0397 0345", "1FCC", "0397 0345"},
    {"212D", "212D", "212D", "0043", "0043"},
    {"247D", "247D", "247D", "0028 0031 0030 0029", "0028 0031 0030 0029"},
    {"2F1E", "2F1E", "2F1E", "56D7", "56D7"},
    {"2FB4", "2FB4", "2FB4", "9801", "9801"},
    {"3162", "3162", "3162", "1174", "1174"},
    {"3264", "3264", "3264", "1106", "1106"},
    {"32FB", "32FB", "32FB", "30EF", "30EF"},
    {"3391", "3391", "3391", "006B 0048 007A", "006B 0048 007A"},
    {"AC1A", "AC1A", "1100 1161 11C1", "AC1A", "1100 1161 11C1"},
    {"ACB0", "ACB0", "1100 1167 11AF", "ACB0", "1100 1167 11AF"},
    {"AD46", "AD46", "1100 116C 11B9", "AD46", "1100 116C 11B9"},
    {"ADDC", "ADDC", "1100 1172", "ADDC", "1100 1172"},
    {"AE72", "AE72", "1101 1162 11B1", "AE72", "1101 1162 11B1"},
    {"AF08", "AF08", "1101 1167 11BB", "AF08", "1101 1167 11BB"},
    {"AF9E", "AF9E", "1101 116D 11A9", "AF9E", "1101 116D 11A9"},
    {"B034", "B034", "1101 1172 11B3", "B034", "1101 1172 11B3"},
    {"B0CA", "B0CA", "1102 1162 11BD", "B0CA", "1102 1162 11BD"},
    {"B160", "B160", "1102 1168 11AB", "B160", "1102 1168 11AB"},
    {"B1F6", "B1F6", "1102 116D 11B5", "B1F6", "1102 116D 11B5"},
    {"B28C", "B28C", "1102 1172 11BF", "B28C", "1102 1172 11BF"},
    {"B322", "B322", "1103 1163 11AD", "B322", "1103 1163 11AD"},
    {"B3B8", "B3B8", "1103 1168 11B7", "B3B8", "1103 1168 11B7"},
    {"B44E", "B44E", "1103 116D 11C1", "B44E", "1103 116D 11C1"},
    {"B4E4", "B4E4", "1103 1173 11AF", "B4E4", "1103 1173 11AF"},
    {"B57A", "B57A", "1104 1163 11B9", "B57A", "1104 1163 11B9"},
    {"B610", "B610", "1104 1169", "B610", "1104 1169"},
    {"B6A6", "B6A6", "1104 116E 11B1", "B6A6", "1104 116E 11B1"},
    {"B73C", "B73C", "1104 1173 11BB", "B73C", "1104 1173 11BB"},
    {"B7D2", "B7D2", "1105 1164 11A9", "B7D2", "1105 1164 11A9"},
    {"B868", "B868", "1105 1169 11B3", "B868", "1105 1169 11B3"},
    {"B8FE", "B8FE", "1105 116E 11BD", "B8FE", "1105 116E 11BD"},
    {"B994", "B994", "1105 1174 11AB", "B994", "1105 1174 11AB"},
    {"BA2A", "BA2A", "1106 1164 11B5", "BA2A", "1106 1164 11B5"},
    {"BAC0", "BAC0", "1106 1169 11BF", "BAC0", "1106 1169 11BF"},
    {"BB56", "BB56", "1106 116F 11AD", "BB56", "1106 116F 11AD"},
    {"BBEC", "BBEC", "1106 1174 11B7", "BBEC", "1106 1174 11B7"},
    {"BC82", "BC82", "1107 1164 11C1", "BC82", "1107 1164 11C1"},
    {"BD18", "BD18", "1107 116A 11AF", "BD18", "1107 116A 11AF"},
    {"BDAE", "BDAE", "1107 116F 11B9", "BDAE", "1107 116F 11B9"},
    {"BE44", "BE44", "1107 1175", "BE44", "1107 1175"},
    {"BEDA", "BEDA", "1108 1165 11B1", "BEDA", "1108 1165 11B1"},
    {"BF70", "BF70", "1108 116A 11BB", "BF70", "1108 116A 11BB"},
    {"C006", "C006", "1108 1170 11A9", "C006", "1108 1170 11A9"},
    {"C09C", "C09C", "1108 1175 11B3", "C09C", "1108 1175 11B3"},
    {"C132", "C132", "1109 1165 11BD", "C132", "1109 1165 11BD"},
    {"C1C8", "C1C8", "1109 116B 11AB", "C1C8", "1109 116B 11AB"},
    {"C25E", "C25E", "1109 1170 11B5", "C25E", "1109 1170 11B5"},
    {"C2F4", "C2F4", "1109 1175 11BF", "C2F4", "1109 1175 11BF"},
    {"C38A", "C38A", "110A 1166 11AD", "C38A", "110A 1166 11AD"},
    {"C420", "C420", "110A 116B 11B7", "C420", "110A 116B 11B7"},
    {"C4B6", "C4B6", "110A 1170 11C1", "C4B6", "110A 1170 11C1"},
    {"C54C", "C54C", "110B 1161 11AF", "C54C", "110B 1161 11AF"},
    {"C5E2", "C5E2", "110B 1166 11B9", "C5E2", "110B 1166 11B9"},
    {"C678", "C678", "110B 116C", "C678", "110B 116C"},
    {"C70E", "C70E", "110B 1171 11B1", "C70E", "110B 1171 11B1"},
    {"C7A4", "C7A4", "110C 1161 11BB", "C7A4", "110C 1161 11BB"},
    {"C83A", "C83A", "110C 1167 11A9", "C83A", "110C 1167 11A9"},
    {"C8D0", "C8D0", "110C 116C 11B3", "C8D0", "110C 116C 11B3"},
    {"C966", "C966", "110C 1171 11BD", "C966", "110C 1171 11BD"},
    {"C9FC", "C9FC", "110D 1162 11AB", "C9FC", "110D 1162 11AB"},
    {"CA92", "CA92", "110D 1167 11B5", "CA92", "110D 1167 11B5"},
    {"CB28", "CB28", "110D 116C 11BF", "CB28", "110D 116C 11BF"},
    {"CBBE", "CBBE", "110D 1172 11AD", "CBBE", "110D 1172 11AD"},
    {"CC54", "CC54", "110E 1162 11B7", "CC54", "110E 1162 11B7"},
    {"CCEA", "CCEA", "110E 1167 11C1", "CCEA", "110E 1167 11C1"},
    {"CD80", "CD80", "110E 116D 11AF", "CD80", "110E 116D 11AF"},
    {"CE16", "CE16", "110E 1172 11B9", "CE16", "110E 1172 11B9"},
    {"CEAC", "CEAC", "110F 1163", "CEAC", "110F 1163"},
    {"CF42", "CF42", "110F 1168 11B1", "CF42", "110F 1168 11B1"},
    {"CFD8", "CFD8", "110F 116D 11BB", "CFD8", "110F 116D 11BB"},
    {"D06E", "D06E", "110F 1173 11A9", "D06E", "110F 1173 11A9"},
    {"D104", "D104", "1110 1163 11B3", "D104", "1110 1163 11B3"},
    {"D19A", "D19A", "1110 1168 11BD", "D19A", "1110 1168 11BD"},
    {"D230", "D230", "1110 116E 11AB", "D230", "1110 116E 11AB"},
    {"D2C6", "D2C6", "1110 1173 11B5", "D2C6", "1110 1173 11B5"},
    {"D35C", "D35C", "1111 1163 11BF", "D35C", "1111 1163 11BF"},
    {"D3F2", "D3F2", "1111 1169 11AD", "D3F2", "1111 1169 11AD"},
    {"D488", "D488", "1111 116E 11B7", "D488", "1111 116E 11B7"},
    {"D51E", "D51E", "1111 1173 11C1", "D51E", "1111 1173 11C1"},
    {"D5B4", "D5B4", "1112 1164 11AF", "D5B4", "1112 1164 11AF"},
    {"D64A", "D64A", "1112 1169 11B9", "D64A", "1112 1169 11B9"},
    {"D6E0", "D6E0", "1112 116F", "D6E0", "1112 116F"},
    {"D776", "D776", "1112 1174 11B1", "D776", "1112 1174 11B1"},
    {"F968", "6CCC", "6CCC", "6CCC", "6CCC"},
    {"F9FE", "8336", "8336", "8336", "8336"},
    {"FAA2", "7506", "7506", "7506", "7506"},
    {"FB75", "FB75", "FB75", "0684", "0684"},
    {"FC2C", "FC2C", "FC2C", "063A 0645", "063A 0645"},
    {"FCC2", "FCC2", "FCC2", "0642 062D", "0642 062D"},
    {"FD6A", "FD6A", "FD6A", "0634 0645 062E", "0634 0645 062E"},
    {"FE56", "FE56", "FE56", "003F", "003F"},
    {"FEF3", "FEF3", "FEF3", "064A", "064A"},
    {"FF8D", "FF8D", "FF8D", "30D8", "30D8"},
    {"114BE", "114BE", "114B9 114BD", "114BE", "114B9 114BD"},
    {"1D486", "1D486", "1D486", "0065", "0065"},
    {"1D52C", "1D52C", "1D52C", "006F", "006F"},
    {"1D5C9", "1D5C9", "1D5C9", "0070", "0070"},
    {"1D65F", "1D65F", "1D65F", "006A", "006A"},
    {"1D6F7", "1D6F7", "1D6F7", "03A6", "03A6"},
    {"1D78D", "1D78D", "1D78D", "03C6", "03C6"},
    {"1E055", "1E055", "1E055", "0434", "0434"},
    {"1EEAC", "1EEAC", "1EEAC", "0645", "0645"},
    {"1F250", "1F250", "1F250", "5F97", "5F97"},
    {"2F88A", "387C", "387C", "387C", "387C"},
    {"2F920", "7228", "7228", "7228", "7228"},
    {"2F9B6", "8669", "8669", "8669", "8669"},
    {"0061 059A 0316 1DFA 0317 0062", "0061 1DFA 0316 0317 059A 0062",
     "0061 1DFA 0316 0317 059A 0062", "0061 1DFA 0316 0317 059A 0062",
     "0061 1DFA 0316 0317 059A 0062"},
    {"0061 0315 0300 05AE 0363 0062", "00E0 05AE 0363 0315 0062", "0061 05AE 0300 0363 0315 0062",
     "00E0 05AE 0363 0315 0062", "0061 05AE 0300 0363 0315 0062"},
    {"0061 0315 0300 05AE 0616 0062", "00E0 05AE 0616 0315 0062", "0061 05AE 0300 0616 0315 0062",
     "00E0 05AE 0616 0315 0062", "0061 05AE 0300 0616 0315 0062"},
    {"0061 0315 0300 05AE 07EC 0062", "00E0 05AE 07EC 0315 0062", "0061 05AE 0300 07EC 0315 0062",
     "00E0 05AE 07EC 0315 0062", "0061 05AE 0300 07EC 0315 0062"},
    {"0061 059A 0316 1DFA 08ED 0062", "0061 1DFA 0316 08ED 059A 0062",
     "0061 1DFA 0316 08ED 059A 0062", "0061 1DFA 0316 08ED 059A 0062",
     "0061 1DFA 0316 08ED 059A 0062"},
    {"0061 0315 0300 05AE 0F86 0062", "00E0 05AE 0F86 0315 0062", "0061 05AE 0300 0F86 0315 0062",
     "00E0 05AE 0F86 0315 0062", "0061 05AE 0300 0F86 0315 0062"},
    {"0061 05B0 094D 3099 1BF2 0062", "0061 3099 094D 1BF2 05B0 0062",
     "0061 3099 094D 1BF2 05B0 0062", "0061 3099 094D 1BF2 05B0 0062",
     "0061 3099 094D 1BF2 05B0 0062"},
    {"0061 0315 0300 05AE 1DED 0062", "00E0 05AE 1DED 0315 0062", "0061 05AE 0300 1DED 0315 0062",
     "00E0 05AE 1DED 0315 0062", "0061 05AE 0300 1DED 0315 0062"},
    {"0061 0315 0300 05AE 2DFA 0062", "00E0 05AE 2DFA 0315 0062", "0061 05AE 0300 2DFA 0315 0062",
     "00E0 05AE 2DFA 0315 0062", "0061 05AE 0300 2DFA 0315 0062"},
    {"0061 059A 0316 1DFA FE27 0062", "0061 1DFA 0316 FE27 059A 0062",
     "0061 1DFA 0316 FE27 059A 0062", "0061 1DFA 0316 FE27 059A 0062",
     "0061 1DFA 0316 FE27 059A 0062"},
    {"0061 0315 0300 05AE 11370 0062", "00E0 05AE 11370 0315 0062",
     "0061 05AE 0300 11370 0315 0062", "00E0 05AE 11370 0315 0062",
     "0061 05AE 0300 11370 0315 0062"},
    {"0061 0315 0300 05AE 1D1AC 0062", "00E0 05AE 1D1AC 0315 0062",
     "0061 05AE 0300 1D1AC 0315 0062", "00E0 05AE 1D1AC 0315 0062",
     "0061 05AE 0300 1D1AC 0315 0062"},
    {"0B47 0334 0B3E", "0B47 0334 0B3E", "0B47 0334 0B3E", "0B47 0334 0B3E", "0B47 0334 0B3E"},
    {"D14C 0334 11AE", "D14C 0334 11AE", "1110 1166 0334 11AE", "D14C 0334 11AE",
     "1110 1166 0334 11AE"},
};

/* The text of characters that are written as "1E0A 0323". */
static void put_codes(Buf *text, const char *codes) {
    for (char *end = NULL; *codes; codes = end) {
        char utf8[4];
        unsigned long c = strtoul(codes, &end, 16);
        if (end == codes) return;
        buf_put(text, utf8, (size_t)unicode_encode(utf8, (uint32_t)c));
    }
}

static void check_nfc(Str text, Str want) {
    Buf got = {0};
    nfc_put(&got, text.s, text.n);
    CHECK(str_equal((Str){got.s, got.n}, want), "\"%.*s\" becomes \"%.*s\", not \"%.*s\"",
          STR_ARG(text), (int)got.n, got.s, STR_ARG(want));
    CHECK(!nfc_is(text.s, text.n) || str_equal(text, want), "\"%.*s\" is no form C", STR_ARG(text));
    buf_free(&got);
}

static void check_row(const char *const columns[5]) {
    Buf text[5] = {{0}};
    for (int i = 0; i < 5; i++) put_codes(&text[i], columns[i]);
    for (int i = 0; i < 5; i++) {
        const Buf *want = &text[i < 3 ? 1 : 3];
        check_nfc((Str){text[i].s, text[i].n}, (Str){want->s, want->n});
    }
    for (int i = 0; i < 5; i++) buf_free(&text[i]);
}

static void test_rows(void) {
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) check_row(ROWS[i]);
}

/* All rows of a file: columns that end in ';', comments, and parts that begin with '@'. */
static void test_file(const char *path) {
    Buf text = {0};
    Error err = {0};
    int rows = 0;
    CHECK(file_read(path, &text, &err), "%s", err.text);
    for (char *line = strtok(text.s, "\n"); line; line = strtok(NULL, "\n")) {
        const char *columns[5];
        if (*line == '#' || *line == '@') continue;
        for (int i = 0; i < 5; i++) {
            columns[i] = line;
            line = strchr(line, ';');
            if (!line) break;
            *line++ = 0;
        }
        if (line) check_row(columns);
        rows += line != NULL;
    }
    printf("%s: %d rows\n", path, rows);
    CHECK(rows > 19000, "%d rows", rows);
    buf_free(&text);
}

/* Every character alone: form C is stable, and the quick look agrees. */
static void test_every_character(void) {
    int changed = 0, unstable = 0, wrong = 0;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        if (c >= 0xD800 && c < 0xE000) continue;
        char utf8[4];
        Buf once = {0}, twice = {0};
        size_t n = (size_t)unicode_encode(utf8, c);
        nfc_put(&once, utf8, n);
        nfc_put(&twice, once.s, once.n);
        bool same = str_equal((Str){utf8, n}, (Str){once.s, once.n});
        changed += !same;
        unstable += !str_equal((Str){twice.s, twice.n}, (Str){once.s, once.n});
        wrong += nfc_is(utf8, n) && !same;
        buf_free(&once);
        buf_free(&twice);
    }
    /* Those with NFC_QC=N in DerivedNormalizationProps.txt. */
    CHECK(changed == 1120 && unstable == 0 && wrong == 0, "%d changed, %d unstable, %d wrong",
          changed, unstable, wrong);
}

static void test_bytes(void) {
    check_nfc(str(""), str(""));
    check_nfc(str("plain ASCII text, long"), str("plain ASCII text, long"));
    CHECK(nfc_is("plain ASCII text, \xc3\xa9 \xe4\xb8\xad", 23), "text below U+0300, Chinese");
    check_nfc(str("e\x80\xcc\x81"), str("e\x80\xcc\x81")); /* a byte keeps them apart */
    check_nfc(str("e\xcc\x81\xff"), str("\xc3\xa9\xff"));
    check_nfc(str("\xcc\x81"
                  "e\xcc"),
              str("\xcc\x81"
                  "e\xcc")); /* a mark without a letter */
    CHECK(!nfc_is("e\xcc\x81", 3) && !nfc_is("a\xcc\x95\xcc\x80", 5), "a quick look at marks");
}

/* Many marks on one letter take no quadratic time: this would be 10^12 steps. */
static void test_long_stretch(void) {
    Buf text = {0}, got = {0};
    buf_putc(&text, 'e');
    for (int i = 0; i < 500000; i++) buf_puts(&text, "\xcc\x81\xcc\xa3"); /* above, then below */
    nfc_put(&got, text.s, text.n);
    CHECK(got.n == text.n && memcmp(got.s, "\xe1\xba\xb9\xcc\xa3", 5) == 0, "%zu bytes", got.n);
    buf_free(&text);
    buf_free(&got);
}

static void check_fold(const char *text, const char *want) {
    Buf got = {0};
    buf_puts(&got, "x"); /* what stands before is left alone */
    text_fold(&got, str(text));
    CHECK(got.n == strlen(want) + 1 && memcmp(got.s + 1, want, got.n - 1) == 0, "%s: %s", text,
          got.s);
    buf_free(&got);
}

/* What counts when two prompts are compared. */
static void test_fold(void) {
    check_fold("", "");
    check_fold(" \t\n", "");
    check_fold("  What\t\nIS it ? ", "what is it ?");
    check_fold("a\xc2\xa0\xe3\x80\x80"
               "b\xe2\x80\xa8",
               "a b");                            /* blanks of all kinds */
    check_fold("CAFE\xcc\x81", "caf\xc3\xa9");    /* form C */
    check_fold("H\xcc\xb1", "\xe1\xba\x96");      /* after small letters too */
    check_fold("\xef\xbc\xa1\xef\xbc\x9f", "a?"); /* full width */
    check_fold("\xef\xbb\xbf"
               "a\xc2\xad\xe2\x80\x8b"
               "b\xe2\x80\x8f",
               "ab"); /* not seen */
    check_fold("a \xe2\x81\xa0 b", "a b");
    check_fold("\xce\x9f\xce\xa3", "\xce\xbf\xcf\x83"); /* sigma at the end of a word */
    check_fold("\xce\xbf\xcf\x82", "\xce\xbf\xcf\x83");
    check_fold("stra\xc3\x9f"
               "e",
               "stra\xc3\x9f"
               "e"); /* other letters are others */
}

int main(int argc, char **argv) {
    test_rows();
    test_every_character();
    test_bytes();
    test_long_stretch();
    test_fold();
    if (argc > 1) test_file(argv[1]);
    return check_report("nfc");
}
