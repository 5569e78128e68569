/* Regular expressions, against what Python's re.fullmatch says of them. */
#include "lib/pattern.h"

#include "tests/unit/check.h"

#include <string.h>

static const char *const NAMES[] = {"model.layers.0.self_attn.q_proj",
                                    "model.layers.11.mlp.gate_proj", "transformer.h.3.attn.c_attn",
                                    "lm_head", ""};

/* Made by Python 3.11: for each name, does re.fullmatch(pattern, name) find it? */
static const struct {
    const char *pattern, *fits;
} GOLDEN[] = {
    {".*\\.(q_proj|v_proj)$", "10000"},
    {".*\\.(q_proj|v_proj)", "10000"},
    {"(q_proj|v_proj)", "00000"},
    {"model\\.layers\\.\\d+\\.(?:self_attn|mlp)\\..*_proj", "11000"},
    {"(?:.*?(?:language|text|model|layers).*?(?:self_attn|attention|attn|mlp|feed_forward|ffn|"
     "dense).*?(?:k_proj|v_proj|q_proj|gate_proj|fc1|fc2).*?)|(?:\\bmodel\\.layers\\.[\\d]{1,}\\.(?"
     ":self_attn|attention|mlp|feed_forward|ffn|dense)\\.(?:(?:q_proj|k_proj|v_proj)))",
     "11000"},
    {"^.*$", "11111"},
    {".*[^a-p]roj", "00000"},
    {"model\\.layers\\.(?:[0-9]|1[0-5])\\..*", "11000"},
    {"model\\.layers\\.\\d\\..*", "10000"},
    {".*h\\.[1-3]\\..*", "00100"},
    {".{31}", "10000"},
    {".{,30}", "01111"},
    {".{32,}", "00000"},
    {"[\\w.]+", "11110"},
    {"[\\w.-]*?", "11111"},
    {"[a-z]+", "00000"},
    {"(a|b*)*", "00001"},
    {"", "00001"},
    {"|x", "00001"},
    {".*\\b_proj", "00000"},
    {".*\\bq_proj", "10000"},
    {".*\\Bq_proj", "00000"},
    {".*q\\B_proj", "10000"},
    {"[]m]odel.*", "11000"},
    {"[^]m]odel.*", "00000"},
    {"\\S+", "11110"},
    {"\\D+", "00010"},
    {".*\\Wattn\\W.*", "00100"},
    {"(?:(?:lm|x)_?)+head", "00010"},
    {"lm_{1}head", "00010"},
    {"(.*\\.)?lm_head", "00010"},
    {"lm$_head", "00000"},
    {"lm_^head", "00000"},
    {"(lm$|lm)_head$", "00010"},
    {"x{0}lm_head", "00010"},
    {"(?:m|l)+_head", "00010"},
    {"[+--a-z._0-9]*", "11111"},
};

static void test_golden(void) {
    for (size_t i = 0; i < sizeof GOLDEN / sizeof *GOLDEN; i++)
        for (size_t k = 0; k < sizeof NAMES / sizeof *NAMES; k++) {
            PatternError why = {0, ""};
            int fits = pattern_fits(str(GOLDEN[i].pattern), str(NAMES[k]), &why);
            CHECK(fits == GOLDEN[i].fits[k] - '0', "%s on %s: %d %s", GOLDEN[i].pattern, NAMES[k],
                  fits, why.what);
        }
}

/* What Python refuses, or what it has and the program not: the place, and a word about it. */
static void test_refused(void) {
    static const struct {
        const char *pattern;
        size_t at;
        const char *word;
    } cases[] = {
        {"(a", 3, "without its end"},
        {"a)", 2, "without its ("},
        {"[a", 3, "a set"},
        {"[a-", 4, "a set"},
        {"[]", 3, "a set"},
        {"a**", 3, "a count of a count"},
        {"a++", 3, "a count of a count"},
        {"a{2}{3}", 5, "a count of a count"},
        {"*a", 1, "a count of nothing"},
        {"^*", 2, "a count of nothing"},
        {"(|*)", 3, "a count of nothing"},
        {"[b-a]", 5, "a range that falls"},
        {"[\\w-a]", 4, "a range that begins"},
        {"[a-\\d]", 5, "not known in a set"},
        {"[\\b]", 3, "not known in a set"},
        {"(?i)a", 3, "(?"},
        {"(?=a)", 3, "(?"},
        {"(a)\\1", 5, "an escape"},
        {"\\Z", 2, "an escape"},
        {"a\\", 3, "an escape"},
        {"a{3,2}", 6, "a count that is"},
        {"a{1001}", 7, "a count that is"},
        {"a{x}", 3, "a brace"},
        {"a{}", 3, "a brace"},
        {"\xc3\xa9", 1, "not ASCII"},
        {"[\xc3\xa9]", 2, "not ASCII"},
        {"((((((((((((((((((((((((((((((((((a))))))))))))))))))))))))))))))))))", 34, "too deep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        PatternError why = {0, ""};
        int fits = pattern_fits(str(cases[i].pattern), str("model"), &why);
        CHECK(fits == -1 && why.at == cases[i].at && strstr(why.what, cases[i].word),
              "%s: %d at %zu: %s", cases[i].pattern, fits, why.at, why.what);
    }
    PatternError why = {0, ""};
    CHECK(pattern_fits((Str){"a\0b", 3}, str("a"), &why) == -1 && why.at == 2, "a NUL");
}

/* A name of every length up to the longest, and repetitions in repetitions. */
static void test_long(void) {
    char name[PATTERN_NAME + 2];
    PatternError why = {0, ""};
    memset(name, 'a', sizeof name);
    for (size_t n = 0; n <= PATTERN_NAME; n++) {
        CHECK(pattern_fits(str("(a*a*)*"), (Str){name, n}, &why) == 1, "%zu", n);
        CHECK(pattern_fits(str("(a|aa)+b"), (Str){name, n}, &why) == 0, "%zu", n);
        CHECK(pattern_fits(str("(aa)*"), (Str){name, n}, &why) == (n % 2 == 0), "%zu", n);
    }
    CHECK(pattern_fits(str("a*"), (Str){name, PATTERN_NAME + 1}, &why) == -1, "a longer name");
    CHECK(pattern_fits(str("((((a*)*)*)*)*b"), (Str){name, 120}, &why) == 0, "nested");
    CHECK(pattern_fits(str("((a?){1000}){1000}"), (Str){name, 120}, &why) == -1 &&
              strstr(why.what, "too long"),
          "%s", why.what);
}

int main(void) {
    test_golden();
    test_refused();
    test_long();
    return check_report("pattern");
}
