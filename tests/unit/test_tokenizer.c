/* The tokenizer: golden ids, splits and merges; round trips of any bytes; training against a naive
 * twin; files written, read back, and damaged; templates. */
#define _POSIX_C_SOURCE 200809L
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "tokenizer.h"

#include "lib/file.h"
#include "lib/json.h"
#include "lib/unicode.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The four strings that every template has. */
#define FRAME(a, b, c, d)                                                                          \
    (Template) { .bos = a, .prompt_prefix = b, .answer_prefix = c, .example_end = d }

/* ---- files for a test ---- */

static const char *const FILE_NAMES[] = {
    "vocab.json",     "encoder.json",      "merges.txt",
    "vocab.bpe",      "template.json",     "tokenizer_config.json",
    "tokenizer.json", "added_tokens.json", "special_tokens_map.json"};
/* Those that tokenizer_save writes. */
static const char *const SAVED_NAMES[] = {"vocab.json", "merges.txt", "tokenizer_config.json"};
enum { N_FILE_NAMES = sizeof FILE_NAMES / sizeof *FILE_NAMES };

static void put_file(const char *folder, const char *name, const char *bytes, size_t n) {
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || (n && fwrite(bytes, 1, n, f) != n) || fclose(f) != 0) abort();
    free(path);
}

static void put_text(const char *folder, const char *name, const char *text) {
    put_file(folder, name, text, strlen(text));
}

static Buf get_file(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    Buf b = {0};
    Error err = {0};
    CHECK(file_read(path, &b, &err), "%s", err.text);
    free(path);
    return b;
}

static void empty_folder(const char *folder) {
    for (int i = 0; i < N_FILE_NAMES; i++) {
        char *path = path_join(folder, FILE_NAMES[i]);
        unlink(path);
        free(path);
    }
}

static bool same_files(const char *a, const char *b) {
    bool same = true;
    for (int i = 0; i < 3; i++) {
        Buf x = get_file(a, SAVED_NAMES[i]), y = get_file(b, SAVED_NAMES[i]);
        same = same && str_equal((Str){x.s, x.n}, (Str){y.s, y.n});
        buf_free(&x);
        buf_free(&y);
    }
    return same;
}

/* Two folders that every test may fill; empty at the start of each. */
static char one[256], two[256];

/* The failure of a load, as one line; empty when it succeeded. */
static Error load_error(const char *folder) {
    Error err = {0};
    Tokenizer *t = tokenizer_load(folder, &err);
    CHECK((t == NULL) == (err.status != 0), "a failure must set the error, and only a failure");
    CHECK(!t || err.text[0] == 0, "error without failure");
    CHECK(t || err.status == STATUS_DATA || err.status == STATUS_IO, "status %d", err.status);
    CHECK(!strchr(err.text, '\n'), "more than one line");
    tokenizer_free(t);
    return err;
}

static Tokenizer *must_load(const char *folder) {
    Error err = {0};
    Tokenizer *t = tokenizer_load(folder, &err);
    if (!t) {
        printf("cannot go on: %s\n", err.text);
        exit(1);
    }
    return t;
}

static Tokenizer *must_train(const char *const *texts, int n_texts, int size,
                             const char *const *specials, int n_specials) {
    Error err = {0};
    Str *views = mem_new((size_t)n_texts + 1, sizeof *views);
    for (int i = 0; i < n_texts; i++) views[i] = str(texts[i]);
    Tokenizer *t = tokenizer_train(views, n_texts, size, specials, n_specials, NULL, &err);
    free(views);
    if (!t) {
        printf("cannot go on: %s\n", err.text);
        exit(1);
    }
    return t;
}

static void must_save(const Tokenizer *t, const char *folder) {
    Error err = {0};
    CHECK(tokenizer_save(t, NULL, folder, &err), "%s", err.text);
}

static void check_ids(const IntBuf *got, const int *want, int n, const char *what) {
    bool same = got->n == n && (n == 0 || memcmp(got->v, want, (size_t)n * sizeof *want) == 0);
    Buf text = {0};
    for (int i = 0; !same && i < got->n; i++) buf_printf(&text, " %d", got->v[i]);
    CHECK(same, "%s: got%s", what, text.s ? text.s : " nothing");
    buf_free(&text);
}

static void check_encode(Tokenizer *t, Str text, const int *want, int n) {
    IntBuf ids = {0};
    tokenizer_encode(t, text.s, text.n, &ids);
    check_ids(&ids, want, n, text.s);
    ints_free(&ids);
}
#define CHECK_ENCODE(t, text, ...)                                                                 \
    check_encode(t, str(text), (const int[]){__VA_ARGS__},                                         \
                 (int)(sizeof(int[]){__VA_ARGS__} / sizeof(int)))

/* ---- splitting ---- */

/* A tokenizer trained on text that occurs twice, with room for everything, makes one token of
 * each piece. */
static void check_split(const char *marked) {
    Buf text = {0}, got = {0};
    for (const char *c = marked; *c; c++)
        if (*c != '|') buf_putc(&text, *c);
    const char *twice[2] = {text.s, text.s};
    Tokenizer *t = must_train(twice, 2, 1000, NULL, 0);
    IntBuf ids = {0};
    tokenizer_encode(t, text.s, text.n, &ids);
    for (int i = 0; i < ids.n; i++) {
        if (i) buf_putc(&got, '|');
        tokenizer_decode(t, &ids.v[i], 1, &got);
    }
    CHECK(strcmp(got.s, marked) == 0, "split as \"%s\", wanted \"%s\"", got.s, marked);
    ints_free(&ids);
    tokenizer_free(t);
    buf_free(&text);
    buf_free(&got);
}

/* Checked with GPT-2's regular expression in a JavaScript engine, except U+0085, U+FEFF (whose
 * \s differs there) and bytes that are no UTF-8. */
static void test_splitting(void) {
    static const char *const marked[] = {
        "don|'t| DON|'|T| '|S| '|s|'| ''| '| t",
        "we|'re| I|'ve| I|'m| he|'ll| she|'d| '|r| '|v| '|l| '|rex| '|Re",
        "a| '|re|'|r",
        "a|'|Re|'|le|'|rx|'|el|'|vx|'ve",
        "a|'re",
        "b|'s",
        "a| | b|  | c",
        "a|\n| b|\n|\n|c| \n| d",
        "x|1|y|22| 3| z",
        " | lead| trail|  ",
        "tab|\t|\t|end|\t",
        "\r|\n|x|\r\n",
        "http|://|a|.|b|/|c|?|d|=|e|!",
        "日本語| ١٢٣| Ⅷ½²",
        "a|\u00a0|b| |\u2003|c|\u3000|\u3000|d",
        "a|\u200b|b",
        "\x1c\x1d| x",
        " '|s",
        " ",
        "   ",
        "a|\xC2\x85|b|\uFEFF|c",
        "a|\xff\xfe| \xc3|z|\xa0",
        "\xe2\x80|\n",
    };
    for (size_t i = 0; i < sizeof marked / sizeof *marked; i++) check_split(marked[i]);
}

/* ---- GPT-2's own ids ---- */

/* Some of GPT-2's merges with their ids (OpenAI, MIT license; vocab.bpe and encoder.json), in
 * order of rank: those that the texts below need. The others could not change the result. */
static const struct {
    const char *left, *right;
    int id;
} GPT2_MERGES[] = {
    {"o", "n", 261},     {"Ġ", "w", 266},       {"Ġ", "c", 269},     {"o", "r", 273},
    {"l", "l", 297},     {"v", "e", 303},       {"l", "d", 335},     {"Ġ", "D", 360},
    {"'", "t", 470},     {"Ġw", "or", 476},     {".", ".", 492},     {"e", "ll", 695},
    {"Ġ", "'", 705},     {"..", ".", 986},      {"Ġwor", "ld", 995}, {"Ġc", "a", 1275},
    {"O", "N", 1340},    {"n", "a", 2616},      {"Ã", "©", 2634},    {"!", "!", 3228},
    {"?", "?", 3548},    {"ð", "Ł", 8582},      {"d", "on", 9099},   {"!!", "!", 10185},
    {"ell", "o", 11109}, {"H", "ello", 15496},  {"æ", "ľ", 17312},   {"Ġca", "f", 19945},
    {"ĠD", "ON", 23917}, {"Ã", "¯", 26884},     {"??", "?", 28358},  {"æ", "Ĺ", 33768},
    {"Ã¯", "ve", 38776}, {"Ġcaf", "Ã©", 40304}, {"è", "ª", 45739},   {"ðŁ", "ĺ", 47249},
};
enum { N_GPT2_MERGES = sizeof GPT2_MERGES / sizeof *GPT2_MERGES };

/* The 256 byte entries of vocab.json, in order, without the opening brace. */
static void put_byte_entries(Buf *b) {
    int id = 0;
    for (int hidden = 0; hidden < 2; hidden++)
        for (int byte = 0, n = 0; byte < 256; byte++) {
            bool is_hidden = byte <= 32 || (byte >= 127 && byte <= 160) || byte == 173;
            int c = is_hidden ? 256 + n++ : byte;
            if (is_hidden != (hidden == 1)) continue;
            buf_printf(b, id ? ",\n\"\\u%04x\": %d" : "\"\\u%04x\": %d", (unsigned)c, id);
            id++;
        }
}

static void put_gpt2_files(const char *folder) {
    Buf vocab = {0}, merges = {0};
    buf_puts(&vocab, "{");
    put_byte_entries(&vocab);
    buf_puts(&merges, "#version: 0.2\n");
    for (int i = 0; i < N_GPT2_MERGES; i++) {
        buf_printf(&merges, "%s %s\n", GPT2_MERGES[i].left, GPT2_MERGES[i].right);
        buf_printf(&vocab, ",\n\"%s%s\": %d", GPT2_MERGES[i].left, GPT2_MERGES[i].right,
                   GPT2_MERGES[i].id);
    }
    buf_puts(&vocab, ",\n\"<|endoftext|>\": 50256}\n");
    put_file(folder, "vocab.json", vocab.s, vocab.n);
    put_file(folder, "merges.txt", merges.s, merges.n);
    buf_free(&vocab);
    buf_free(&merges);
}

static void check_gpt2_ids(Tokenizer *t) {
    CHECK(tokenizer_size(t) == 50257, "size %d", tokenizer_size(t));
    CHECK(tokenizer_special(t, "<|endoftext|>") == 50256, "end %d",
          tokenizer_special(t, "<|endoftext|>"));
    CHECK(tokenizer_special(t, "Hello") == -1, "an ordinary token is no special one");
    CHECK_ENCODE(t, "Hello world", 15496, 995);
    CHECK_ENCODE(t, "Hello  world", 15496, 220, 995);
    CHECK_ENCODE(t, "don't DON'T 'S 's'", 9099, 470, 23917, 6, 51, 705, 50, 705, 82, 6);
    CHECK_ENCODE(t, "naïve café", 2616, 38776, 40304);
    CHECK_ENCODE(t, "x1y2", 87, 16, 88, 17);
    CHECK_ENCODE(t, "日本語", 33768, 98, 17312, 105, 45739, 252);
    CHECK_ENCODE(t, "😀", 47249, 222);
    CHECK_ENCODE(t, "...!!!???", 986, 10185, 28358);
    CHECK_ENCODE(t, "\r\nx\r\n", 201, 198, 87, 201, 198);
    check_encode(t, (Str){"\0\1", 2}, (const int[]){188, 189}, 2);
    check_encode(t, (Str){NULL, 0}, NULL, 0);
}

static void test_gpt2(void) {
    put_gpt2_files(one);
    Tokenizer *t = must_load(one);
    check_gpt2_ids(t);
    check_gpt2_ids(t); /* from the cache */
    must_save(t, two);
    Tokenizer *again = must_load(two);
    check_gpt2_ids(again); /* the gaps in the ids survive */
    Buf text = {0};
    CHECK(tokenizer_decode(t, (const int[]){15496, 50256, 995}, 3, &text), "decode");
    CHECK(strcmp(text.s, "Hello<|endoftext|> world") == 0, "%s", text.s);
    text.n = 0;
    const int unknown[] = {-1, 15496, 256, 50255, 50257, 2147483647};
    CHECK(!tokenizer_decode(t, unknown, 6, &text), "unknown ids");
    CHECK(text.n == 5 && memcmp(text.s, "Hello", 5) == 0, "%s", text.s);
    buf_free(&text);
    tokenizer_free(t);
    tokenizer_free(again);
    empty_folder(one);
    empty_folder(two);
}

/* vocab.bpe alone: by hand. "h e" has rank 0, so id 256; "hello" is h e l l o -> he l l o -> he
 * ll o -> hell o. */
static void test_merges_alone(void) {
    put_text(one, "vocab.bpe", "#version: 0.2\nh e\nl l\nhe ll\nĠ w\na b\nb c\nc a\n");
    Tokenizer *t = must_load(one);
    CHECK(tokenizer_size(t) == 256 + 7 + 1, "size %d", tokenizer_size(t));
    CHECK(tokenizer_special(t, "<|endoftext|>") == 263, "end %d",
          tokenizer_special(t, "<|endoftext|>"));
    CHECK_ENCODE(t, "hello w!", 258, 78, 259, 0);
    CHECK_ENCODE(t, "lll", 257, 75);               /* left to right */
    CHECK_ENCODE(t, "abcabca", 260, 66, 260, 262); /* ab takes the b of bc and the a of ca */
    CHECK_ENCODE(t, "<|endoftext|>", 27, 91, 68, 77, 67, 78, 69, 83, 68, 87, 83, 91, 29);
    tokenizer_free(t);
    put_text(one, "merges.txt", "x y\r\nxy z"); /* goes before vocab.bpe; no version line, DOS
                                                 * lines, no last newline */
    t = must_load(one);
    CHECK_ENCODE(t, "xyz", 257);
    tokenizer_free(t);
    empty_folder(one);
}

/* ---- round trips ---- */

static const char *const RECIPE_TEXTS[] = {
    "what color is grass ? green", "what color is the sky ? blue", "where is the cat ? on the mat",
    "café naïve 日本語 — 123 456 1212"};

static void check_round_trip(Tokenizer *t, const char *s, size_t n) {
    IntBuf ids = {0};
    Buf back = {0};
    tokenizer_encode(t, s, n, &ids);
    bool known = tokenizer_decode(t, ids.v, ids.n, &back), special = false;
    for (int i = 0; i < ids.n; i++) special = special || (ids.v[i] < 4);
    CHECK(known && str_equal((Str){back.s, back.n}, (Str){s, n}), "%zu bytes came back as %zu", n,
          back.n);
    CHECK(!special, "text became a special token");
    ints_free(&ids);
    buf_free(&back);
}

static void test_round_trips(void) {
    Tokenizer *t = must_train(RECIPE_TEXTS, 4, 400, TEMPLATE_RECIPE_SPECIALS, 4);
    Rng r = rng_new(7, 1);
    char s[400];
    for (int byte = 0; byte < 256; byte++) {
        s[0] = (char)byte;
        check_round_trip(t, s, 1);
    }
    for (int k = 0; k < 3000; k++) {
        size_t n = (size_t)rng_below(&r, k % 10 ? 40 : 400);
        int kind = rng_below(&r, 3);
        for (size_t i = 0; i < n; i++)
            s[i] = kind == 0   ? (char)rng_below(&r, 256)
                   : kind == 1 ? "<q><a><e> the'ssll  \n"[rng_below(&r, 21)]
                               : "\xC3\xA9\xE6\x97\xA5 \xF0\x9F\x98\x80"[rng_below(&r, 10)];
        check_round_trip(t, s, n);
    }
    check_round_trip(t, "<bos><q><a><e>", 14);
    tokenizer_free(t);
}

/* More different pieces than the cache holds: the second pass must agree with the first. */
static void test_cache(void) {
    Tokenizer *t = must_train(RECIPE_TEXTS, 4, 400, NULL, 0);
    Rng r = rng_new(8, 1);
    Buf text = {0};
    for (int i = 0; i < 90000; i++) {
        int n = 1 + rng_below(&r, i % 50 ? 5 : 30);
        while (n-- > 0) buf_putc(&text, "acehrstwx0!"[rng_below(&r, 11)]);
        buf_putc(&text, ' ');
    }
    IntBuf whole = {0}, again = {0};
    tokenizer_encode(t, text.s, text.n, &whole);
    tokenizer_encode(t, text.s, text.n, &again);
    check_ids(&again, whole.v, whole.n, "second pass");
    Buf back = {0};
    CHECK(tokenizer_decode(t, whole.v, whole.n, &back) &&
              str_equal((Str){back.s, back.n}, (Str){text.s, text.n}),
          "decode");
    ints_free(&whole);
    ints_free(&again);
    buf_free(&text);
    buf_free(&back);
    tokenizer_free(t);
}

/* One piece of many letters: a quadratic encoder or trainer would not come back in time. */
static void test_long_pieces(void) {
    enum { N = 400000 };
    char *s = mem_new(N, 1);
    memset(s, 'a', N);
    put_text(one, "merges.txt", "a a\naa aa\naaaa aaaa\n");
    Tokenizer *t = must_load(one);
    IntBuf ids = {0};
    tokenizer_encode(t, s, N - 1, &ids); /* 8 x 49999, then 4, 2, 1 */
    CHECK(ids.n == N / 8 + 2 && ids.v[0] == 258 && ids.v[ids.n - 3] == 257 &&
              ids.v[ids.n - 2] == 256 && ids.v[ids.n - 1] == 64,
          "%d ids", ids.n);
    tokenizer_free(t);
    ids.n = 0;
    Rng r = rng_new(9, 1);
    for (int i = 0; i < N; i++) s[i] = "acgt"[rng_below(&r, 4)];
    Error err = {0};
    t = tokenizer_train(&(Str){s, N}, 1, 2000, NULL, 0, NULL, &err);
    CHECK(t && tokenizer_size(t) == 2000, "%s", err.text);
    if (t) tokenizer_encode(t, s, N, &ids);
    CHECK(ids.n > 0 && ids.n < N / 3, "%d ids", ids.n);
    memset(s, ' ', N);
    ids.n = 0;
    if (t) tokenizer_encode(t, s, N, &ids);
    CHECK(ids.n == N, "%d ids", ids.n);
    tokenizer_free(t);
    ints_free(&ids);
    free(s);
    empty_folder(one);
}

/* ---- training ---- */

/* The first merges that Hugging Face's trainer (tokenizers 0.23.2, ByteLevel, no prefix space)
 * makes of these lines: those whose pair occurs twice. */
static void test_training_golden(void) {
    static const char *const lines[] = {
        "low lower lowest\n", "new newer newest\n", "wide wider widest\n", "low low new\n",
        "aaaa aaa aa\n",      "café café thé\n",    "12 123 1212!!\n"};
    Tokenizer *t = must_train(lines, 7, 5000, NULL, 0);
    CHECK(tokenizer_size(t) == 256 + 21, "size %d", tokenizer_size(t));
    must_save(t, one);
    Buf merges = get_file(one, "merges.txt");
    CHECK(strcmp(merges.s, "#version: 0.2\na a\nl o\nlo w\n1 2\ne w\nn ew\nd e\ni de\ns t\nw "
                           "ide\nÃ ©\nĠ low\nĠ new\na f\n"
                           "c af\ne r\ne st\nĠ aa\nĠ 12\nĠ wide\ncaf Ã©\n") == 0,
          "%s", merges.s);
    buf_free(&merges);
    tokenizer_free(t);
    empty_folder(one);
}

/* The twin: counts all pairs anew before each merge. words are ids, -1 ends a word. False when
 * no pair occurs twice. */
static bool naive_step(int *words, int *n, int next_id, int *left, int *right) {
    int best = 1;
    for (int i = 0; i + 1 < *n; i++) {
        int a = words[i], b = words[i + 1], count = 0;
        if (a < 0 || b < 0) continue;
        for (int k = 0; k + 1 < *n; k++) count += words[k] == a && words[k + 1] == b;
        if (count < 2 || count < best) continue;
        if (count > best || a < *left || (a == *left && b < *right)) {
            best = count;
            *left = a;
            *right = b;
        }
    }
    if (best < 2) return false;
    int to = 0;
    for (int i = 0; i < *n; i++) {
        bool hit = words[i] == *left && i + 1 < *n && words[i + 1] == *right;
        words[to++] = hit ? next_id : words[i];
        i += hit;
    }
    *n = to;
    return true;
}

static void check_naive_training(Rng *r) {
    enum { WORDS = 40, LETTERS = 8 };
    int words[WORDS * (LETTERS + 1)], n = 0, letters = 1 + rng_below(r, 4);
    Buf text = {0};
    for (int w = 0; w < WORDS; w++) { /* no blanks: each newline is a piece of its own */
        for (int k = 1 + rng_below(r, LETTERS); k > 0; k--) {
            int letter = rng_below(r, letters);
            buf_putc(&text, (char)('a' + letter));
            words[n++] = 'a' - 33 + letter + 2; /* GPT-2's order, behind two special tokens */
        }
        buf_putc(&text, '\n');
        words[n++] = -1;
    }
    static const char *const specials[] = {"<x>", "<y>"};
    const char *texts[] = {text.s};
    Tokenizer *t = must_train(texts, 1, 2 + 256 + 25, specials, 2);
    int left = -1, right = -1, id = 258;
    for (; id < tokenizer_size(t); id++) {
        Buf got = {0}, want = {0};
        bool more = naive_step(words, &n, id, &left, &right);
        tokenizer_decode(t, &id, 1, &got);
        tokenizer_decode(t, (const int[]){left, right}, 2, &want);
        CHECK(more && strcmp(got.s, want.s) == 0, "merge %d is %s, wanted %s", id - 258, got.s,
              more ? want.s : "none");
        buf_free(&got);
        buf_free(&want);
        if (!more) break;
    }
    CHECK(id == 258 + 25 || !naive_step(words, &n, id, &left, &right), "stopped at %d too early",
          id);
    tokenizer_free(t);
    buf_free(&text);
}

static void test_training_naive(void) {
    Rng r = rng_new(10, 1);
    for (int k = 0; k < 40; k++) check_naive_training(&r);
}

static void test_training_rules(void) {
    static const char *const forward[] = {"yz yz ab", "ab cd cd", "b-c"}, *const backward[] = {
                                                                              "b-c", "ab cd cd",
                                                                              "yz yz ab"};
    Tokenizer *t = must_train(forward, 3, 261, NULL, 0), *u = must_train(backward, 3, 261, NULL, 0);
    CHECK(tokenizer_size(t) == 260, "size %d: nothing else occurs twice", tokenizer_size(t));
    /* Twice each: "ab", "cd", "yz", " cd"; the ids decide: a b, c d, y z, then the blank (220)
     * with cd (257). */
    CHECK_ENCODE(t, "abcdyz cd", 256, 257, 258, 259);
    CHECK_ENCODE(u, "abcdyz cd", 256, 257, 258, 259);
    tokenizer_free(t);
    tokenizer_free(u);
    /* A special token's spelling never comes out of text, not even from parts. */
    static const char *const tags[] = {"aqa", "zz"}, *const text[] = {
                                                         "aqa aqa aqa aqa zz zz zz zz"};
    t = must_train(text, 1, 2 + 256 + 20, tags, 2);
    IntBuf ids = {0};
    tokenizer_encode(t, "aqa zz", 6, &ids);
    bool special = false;
    for (int i = 0; i < ids.n; i++) special = special || ids.v[i] < 2;
    CHECK(!special && ids.n == 3, "%d ids", ids.n);
    CHECK(tokenizer_special(t, "aqa") == 0 && tokenizer_special(t, "zz") == 1, "specials");
    ints_free(&ids);
    tokenizer_free(t);
    t = must_train(NULL, 0, 300, NULL, 0);
    CHECK(tokenizer_size(t) == 256, "size %d without any text", tokenizer_size(t));
    tokenizer_free(t);
}

static void check_train_error(int size, const char *const *specials, int n, const char *part) {
    Error err = {0};
    Tokenizer *t = tokenizer_train(&(Str){"a a", 3}, 1, size, specials, n, NULL, &err);
    CHECK(!t && err.status == STATUS_USAGE && strstr(err.text, part), "\"%s\", wanted \"%s\"",
          err.text, part);
    tokenizer_free(t);
}

static void test_training_errors(void) {
    check_train_error(259, TEMPLATE_RECIPE_SPECIALS, 4, "choose 260");
    check_train_error(-5, NULL, 0, "choose 256");
    check_train_error(2000000000, NULL, 0, "16000000");
    check_train_error(300, (const char *const[]){"<x>", ""}, 2, "special token 2 is empty");
    check_train_error(300, (const char *const[]){"\xff"}, 1, "not UTF-8");
    check_train_error(300, (const char *const[]){"<x>", "<x>"}, 2, "named twice");
    check_train_error(300, (const char *const[]){"a"}, 1, "byte");
    check_train_error(300, (const char *const[]){"Ġ"}, 1, "byte");
    Tokenizer *t = must_train(RECIPE_TEXTS, 4, 260, TEMPLATE_RECIPE_SPECIALS, 4);
    CHECK(tokenizer_size(t) == 260, "just enough: %d", tokenizer_size(t));
    Error err = {0};
    char *nowhere = path_join(one, "nowhere");
    CHECK(!tokenizer_save(t, NULL, nowhere, &err) && err.status == STATUS_IO,
          "saving into no folder");
    free(nowhere);
    tokenizer_free(t);
}

/* ---- files ---- */

/* Every so many bytes cut off, and random bytes changed: a clean failure or a tokenizer that
 * works, never a crash. The files are those in folder one. */
static void check_damaged(void) {
    Rng r = rng_new(11, 1);
    for (int which = 0; which < 3; which++) {
        Buf good = get_file(one, SAVED_NAMES[which]);
        for (size_t n = 0; n < good.n - 2; n += 1 + good.n / 100) {
            put_file(one, SAVED_NAMES[which], good.s, n);
            Error err = load_error(one);
            CHECK(which == 1 || err.status == STATUS_DATA, "%s cut to %zu bytes was accepted",
                  SAVED_NAMES[which], n);
        }
        for (int k = 0; k < 200; k++) {
            Buf bad = {0};
            buf_put(&bad, good.s, good.n);
            for (int i = 1 + rng_below(&r, 3); i > 0; i--)
                bad.s[rng_below(&r, (int)bad.n)] = (char)rng_below(&r, 256);
            put_file(one, SAVED_NAMES[which], bad.s, bad.n);
            Error err = {0};
            Tokenizer *t = tokenizer_load(one, &err);
            if (t) {
                IntBuf ids = {0};
                Buf back = {0};
                tokenizer_encode(t, RECIPE_TEXTS[0], strlen(RECIPE_TEXTS[0]), &ids);
                CHECK(tokenizer_decode(t, ids.v, ids.n, &back) &&
                          strcmp(back.s, RECIPE_TEXTS[0]) == 0,
                      "%s", back.s);
                ints_free(&ids);
                buf_free(&back);
            }
            tokenizer_free(t);
            buf_free(&bad);
        }
        put_file(one, SAVED_NAMES[which], good.s, good.n);
        buf_free(&good);
    }
}

static void test_save_and_load(void) {
    static const char *const specials[] = {"<bos>", "<q>", "<a>", "<e>", "with blank \"é\""};
    Tokenizer *t = must_train(RECIPE_TEXTS, 4, 330, specials, 5);
    must_save(t, one);
    Tokenizer *u = must_load(one);
    must_save(u, two);
    CHECK(same_files(one, two), "saving what was loaded must give the same files");
    CHECK(tokenizer_size(u) == tokenizer_size(t), "%d", tokenizer_size(u));
    for (int i = 0; i < 5; i++) CHECK(tokenizer_special(u, specials[i]) == i, "%s", specials[i]);
    CHECK(tokenizer_special(u, "<z>") == -1, "unknown name");
    for (int i = 0; i < 4; i++) {
        IntBuf a = {0}, b = {0};
        tokenizer_encode(t, RECIPE_TEXTS[i], strlen(RECIPE_TEXTS[i]), &a);
        tokenizer_encode(u, RECIPE_TEXTS[i], strlen(RECIPE_TEXTS[i]), &b);
        check_ids(&b, a.v, a.n, RECIPE_TEXTS[i]);
        ints_free(&a);
        ints_free(&b);
    }
    Buf config = get_file(one, "tokenizer_config.json");
    Arena arena = {0};
    JsonError where;
    const Json *root = json_parse(&arena, config.s, config.n, &where);
    CHECK(root && str_is(json_get(root, "tokenizer_class")->string, "GPT2Tokenizer"), "class");
    CHECK(root && str_is(json_get(root, "bos_token")->string, "<bos>"), "bos");
    CHECK(root && str_is(json_get(root, "eos_token")->string, "<e>"), "eos");
    CHECK(root && json_get(root, "unk_token")->type == JSON_NULL, "unk");
    const Json *added = root ? json_get(root, "added_tokens_decoder") : NULL,
               *last = json_get(added, "4");
    CHECK(added && added->count == 5 && last &&
              str_is(json_get(last, "content")->string, specials[4]),
          "added tokens");
    CHECK(last && json_get(last, "special")->boolean, "special");
    CHECK(root && json_get(root, "additional_special_tokens")->count == 3, "additional");
    arena_free(&arena);
    buf_free(&config);
    tokenizer_free(t);
    tokenizer_free(u);
    check_damaged();
    empty_folder(one);
    empty_folder(two);
}

/* vocab.json with the bytes and more entries, merges.txt, tokenizer_config.json; NULL: not
 * there. */
static void put_files(const char *entries, const char *merges, const char *config) {
    empty_folder(one);
    if (entries) {
        Buf vocab = {0};
        buf_puts(&vocab, "{");
        put_byte_entries(&vocab);
        buf_puts(&vocab, entries);
        put_file(one, "vocab.json", vocab.s, vocab.n);
        buf_free(&vocab);
    }
    if (merges) put_text(one, "merges.txt", merges);
    if (config) put_text(one, "tokenizer_config.json", config);
}

static void test_config(void) {
    put_files(
        ",\n\"ab\": 300, \"<pad>\": 256, \"cd\": 301, \"ef\": 302}", "a b\nc d\ne f\n",
        "{\"added_tokens_decoder\": {\"400\": {\"content\": \"<néw>\", \"special\": true}, "
        "\"300\": {\"content\": \"ab\", \"special\": false}, \"401\": {\"content\": \"<é>\"}}, "
        "\"bos_token\": {\"content\": \"<néw>\"}, "
        "\"eos_token\": null, \"mask_token\": \"cd\", \"pad_token\": \"!\", "
        "\"additional_special_tokens\": [\"<pad>\", 5, \"ef\", \"<absent>\"], "
        "\"model_max_length\": 1024}");
    Tokenizer *t = must_load(one);
    CHECK(tokenizer_size(t) == 402, "size %d", tokenizer_size(t));
    CHECK(tokenizer_special(t, "<néw>") == 400 && tokenizer_special(t, "<pad>") == 256,
          "added and declared");
    CHECK(tokenizer_special(t, "<é>") == 401, "added only");
    CHECK(tokenizer_special(t, "<absent>") == -1 && tokenizer_special(t, "ab") == -1,
          "absent and ordinary");
    CHECK(tokenizer_special(t, "!") == -1, "a byte stays a byte");
    CHECK(tokenizer_special(t, "cd") == 301, "a declared token that has a merge");
    CHECK_ENCODE(t, "ab!", 300, 0);
    CHECK_ENCODE(t, "cd", 66, 67); /* its merge is never applied: text stays ordinary */
    CHECK_ENCODE(t, "ef", 68, 69);
    must_save(t, two);
    Buf config = get_file(two, "tokenizer_config.json"), merges = get_file(two, "merges.txt");
    Buf vocab = get_file(two, "vocab.json");
    CHECK(strstr(vocab.s, "\"<néw>\": 400,\n\"<é>\": 401\n}") && !strstr(vocab.s, "absent"),
          "the new vocabulary");
    buf_free(&vocab);
    CHECK(strstr(config.s, "\"bos_token\": \"<néw>\"") && strstr(config.s, "\"eos_token\": null"),
          "%s", config.s);
    CHECK(strstr(merges.s, "c d\n") != NULL, "the merge is kept for saving");
    buf_free(&config);
    buf_free(&merges);
    tokenizer_free(t);
    put_files(",\n\"ab\": 16000000, \"<|endoftext|>\": 257}", "a b\n",
              "{\"model_max_length\": 1024}");
    t = must_load(one);
    CHECK_ENCODE(t, "ab", 16000000);
    must_save(t, two);
    config = get_file(two, "tokenizer_config.json");
    CHECK(strstr(config.s, "\"bos_token\": \"<|endoftext|>\""), "the default of GPT-2: %s",
          config.s);
    buf_free(&config);
    tokenizer_free(t);
    empty_folder(one);
    empty_folder(two);
}

static void check_load_error(const char *entries, const char *merges, const char *config,
                             const char *part) {
    put_files(entries, merges, config);
    Error err = load_error(one);
    CHECK(strstr(err.text, part), "got \"%s\", wanted \"%s\"", err.text, part);
}

static void test_malformed_config(void) {
    const char *good = ",\n\"ab\": 256}", *ab = "#version: 0.2\na b\n";
    const char *added_x = "{\"added_tokens_decoder\": {\"x\": {\"content\": \"<n>\"}}}";
    const char *added_large = "{\"added_tokens_decoder\": {\"16000001\": {\"content\": \"<n>\"}}}";
    const char *added_256 = "{\"added_tokens_decoder\": {\"256\": {\"content\": \"<n>\"}}}";
    const char *added_257 = "{\"added_tokens_decoder\": {\"257\": {\"content\": \"<n>\"}}}";
    const char *moved = "{\"added_tokens_decoder\": {\"400\": {\"content\": \"ab\"}}}";
    check_load_error(good, ab, "[]", "tokenizer_config.json:1: the file must hold one JSON object");
    check_load_error(good, ab, "{\n}}", "tokenizer_config.json:2: not valid JSON");
    check_load_error(good, ab, "{\"add_prefix_space\": true}",
                     "add_prefix_space true is not supported");
    check_load_error(good, ab, "{\"tokenizer_class\": \"Qwen2Tokenizer\"}", "is Qwen2Tokenizer");
    check_load_error(good, ab, "{\"add_bos_token\": true}", "add_bos_token true is not supported");
    check_load_error(good, ab, "{\"add_eos_token\": true}", "add_eos_token true is not");
    check_load_error(good, ab, added_x, "\"x\" must be an id");
    check_load_error(good, ab, added_large, "\"16000001\" must be an id");
    check_load_error(good, ab, "{\"added_tokens_decoder\": {\"400\": {}}}",
                     "\"400\" must be an id");
    check_load_error(good, ab, added_256, "added token \"<n>\" has the id 256, as \"ab\" in ");
    check_load_error(good, ab, moved, "has id 400 here and 256 in");
    check_load_error(NULL, ab, added_256, "merges.txt:2: id 256 of this merge");
    check_load_error(NULL, "x y\n", added_257, "id 257 is that of <|endoftext|>");
}

static void test_malformed(void) {
    const char *good = ",\n\"ab\": 256}", *ab = "#version: 0.2\na b\n";
    check_load_error(good, ab, NULL, "");
    CHECK(load_error(one).status == 0, "the good one");
    check_load_error(NULL, NULL, NULL, "nor merges.txt nor vocab.bpe");
    check_load_error(good, NULL, NULL, "nor merges.txt nor vocab.bpe");
    /* vocab.json: 256 lines of bytes, so the first entry of ours stands on line 257 */
    check_load_error(",\n\"ab\" 256}", ab, NULL, "vocab.json:257: not valid JSON");
    check_load_error(",\n\"ab\": 256", ab, NULL, "vocab.json:257: not valid JSON");
    check_load_error(",\n\"ab\": 255}", ab, NULL,
                     "vocab.json:257: tokens \"\xC5\x83\" and \"ab\" have the same id 255");
    check_load_error(",\n\"ab\": 0}", ab, NULL,
                     "vocab.json:257: tokens \"!\" and \"ab\" have the same id 0");
    check_load_error(",\n\"x\\\"y{\": 300,\n\"ab\": 256,\n\"ab\": 257}", ab, NULL,
                     "vocab.json:259: token \"ab\" is there twice");
    check_load_error(",\n\"a,b\": 300,\n\"}\\\",\": 301, \"ab\": [],\n\"cd\": 302\n}", ab, NULL,
                     "vocab.json:258: the id of token \"ab\"");
    check_load_error(",\n\"ab\": -1}", ab, NULL, "vocab.json:257: the id of token \"ab\" must be");
    check_load_error(",\n\"ab\": 16000001}", ab, NULL,
                     "vocab.json:257: the id of token \"ab\" must be");
    check_load_error(",\n\"ab\": 256.5}", ab, NULL,
                     "vocab.json:257: the id of token \"ab\" must be");
    check_load_error(",\n\"ab\": \"256\"}", ab, NULL,
                     "vocab.json:257: the id of token \"ab\" must be");
    check_load_error(",\n\"xx\": 300,\n\"aĠb\": 256, \"ab\": 301}", ab, NULL,
                     "vocab.json:258: no line of ");
    check_load_error(good, "a b\nab c\n", NULL, "merges.txt:2: token \"abc\" is not in ");
    check_load_error(good, "a b\nabx c\n", NULL, "merges.txt:2: token \"abx\" is not in ");
    check_load_error(NULL, "a b\nx abc\n", NULL,
                     "merges.txt:2: token \"abc\" is not in the lines before");
    check_load_error(good, "#version: 0.2\na b\na b\n", NULL,
                     "merges.txt:3: this merge is there twice");
    check_load_error(good, "a b\nab\n", NULL, "merges.txt:2: a merge must be two tokens");
    check_load_error(good, "a b c\n", NULL, "merges.txt:1: a merge must be two tokens");
    check_load_error(good, " b\n", NULL, "merges.txt:1: a merge must be two tokens");
    check_load_error(good, "a \n", NULL, "merges.txt:1: a merge must be two tokens");
    check_load_error(good, "a b\n\xff x\n", NULL, "merges.txt:2: a merge must be spelled");
    check_load_error(good, "a 日\n", NULL, "merges.txt:1: a merge must be spelled");
    /* byte 173 is spelled otherwise */
    check_load_error(good, "a \xC2\xAD\n", NULL, "merges.txt:1: a merge must be spelled");
    check_load_error(good, "abcdefgh i\n", NULL, "merges.txt:1: token \"abcdefgh\"");
    check_load_error(good, "a b\n#version: 0.2\n", NULL, "merges.txt:2: token \"#version:\"");
    /* a long name is cut, and between characters: 29 x "é" and 1 byte are 59 bytes, the next "é"
     * would end at 61 */
    check_load_error(",\n\"xéééééééééééééééééééééééééééééééé\": -1}", ab, NULL,
                     "token \"xééééééééééééééééééééééééééééé\" must");
    empty_folder(one);
    put_text(one, "merges.txt", "a b\n");
    put_text(one, "encoder.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    Error err = load_error(one);
    CHECK(strstr(err.text, "encoder.json: there is no token \"!\" for byte 33"), "%s", err.text);
    put_text(one, "vocab.json", "[1, 2]");
    err = load_error(one);
    CHECK(strstr(err.text, "vocab.json:1: the file must hold one JSON object"), "%s", err.text);
    empty_folder(one);
}

/* ---- files beside vocab.json and merges.txt ---- */

/* The bytes, "ab" with its merge, and "<pad>", "<x>" without one, in ids 256 to 258. */
static void put_small(void) {
    put_files(",\n\"ab\": 256, \"<pad>\": 257, \"<x>\": 258}", "a b\n", NULL);
}

/* The small files with two more must be refused with these words. */
static void check_pair_error(const char *name, const char *text, const char *other_name,
                             const char *other_text, const char *part) {
    put_small();
    put_text(one, name, text);
    if (other_name) put_text(one, other_name, other_text);
    Error err = load_error(one);
    CHECK(err.status == STATUS_DATA && strstr(err.text, part), "got \"%s\", wanted \"%s\"",
          err.text, part);
}

static const char ADDED[] = "added_tokens.json", MAP[] = "special_tokens_map.json",
                  CONFIG[] = "tokenizer_config.json";

/* ids from added_tokens.json, roles and lists from special_tokens_map.json: special or not. */
static void test_added_tokens(void) {
    put_small();
    put_text(one, ADDED,
             "{\"<|im_start|>\": 300, \"<|im_end|>\": 301, \"<think>\": 302, \"ab\": 256}");
    put_text(one, MAP,
             "{\"eos_token\": {\"content\": \"<|im_end|>\", \"lstrip\": false}, "
             "\"pad_token\": \"<pad>\", \"additional_special_tokens\": [\"<|im_start|>\"]}");
    Tokenizer *t = must_load(one);
    TokenizerParts p = tokenizer_parts(t);
    CHECK(tokenizer_size(t) == 303, "size %d", tokenizer_size(t));
    CHECK(tokenizer_special(t, "<|im_start|>") == 300, "an added special token");
    CHECK(tokenizer_special(t, "<think>") == 302, "an added token that is not special is one too");
    CHECK(p.eos == 301 && p.pad == 257 && p.bos == -1, "roles %d %d %d", p.eos, p.pad, p.bos);
    CHECK_ENCODE(t, "ab", 256);
    const Template chat = FRAME("", "<|im_start|>", "<|im_end|><think>", "<|im_end|>");
    IntBuf ids = {0};
    template_prompt(&chat, t, str("ab"), TURN_LAST, &ids);
    check_ids(&ids, (const int[]){300, 256, 301, 302}, 4, "a template with added tokens");
    ints_free(&ids);
    must_save(t, two);
    Buf config = get_file(two, CONFIG);
    const char *think = strstr(config.s, "\"302\": {\"content\": \"<think>\"");
    const char *start = strstr(config.s, "\"300\": {\"content\": \"<|im_start|>\"");
    const char *more = "\"additional_special_tokens\": [\"<x>\", \"<|im_start|>\"]";
    CHECK(think && strstr(think, "\"special\": false}"), "<think> is not special: %s", config.s);
    CHECK(start && strncmp(strstr(start, "\"special\""), "\"special\": true}", 16) == 0, "%s",
          start);
    CHECK(strstr(config.s, more), "the others: %s", config.s);
    CHECK(strstr(config.s, "\"pad_token\": \"<pad>\""), "%s", config.s);
    buf_free(&config);
    tokenizer_free(t);
    t = must_load(two);
    p = tokenizer_parts(t);
    CHECK(p.eos == 301 && p.pad == 257 && p.n_tokens == 262, "saved and loaded");
    tokenizer_free(t);
    /* the newer list, and one of two files that says nothing */
    put_text(one, CONFIG, "{\"extra_special_tokens\": {\"think\": \"<x>\"}, \"eos_token\": null}");
    t = must_load(one);
    CHECK(tokenizer_parts(t).eos == 301, "null says nothing beside a name");
    tokenizer_free(t);
    empty_folder(two);
}

static void test_added_conflicts(void) {
    const char *plain_x = "{\"added_tokens_decoder\": {\"258\": {\"content\": \"<x>\", "
                          "\"special\": false}}}";
    check_pair_error(ADDED, "{\"<x>\": 300}", NULL, NULL,
                     "added_tokens.json: token \"<x>\" has id 300 here and 258 in ");
    check_pair_error(ADDED, "{\"<y>\": 258}", NULL, NULL,
                     "added_tokens.json: added token \"<y>\" has the id 258, as \"<x>\" in ");
    check_pair_error(ADDED, "{\"<y>\": -1}", NULL, NULL, "the id of token \"<y>\" must be");
    check_pair_error(ADDED, "{\"\": 300}", NULL, NULL, "the id of token \"\" must be");
    check_pair_error(ADDED, "[]", NULL, NULL, "added_tokens.json:1: the file must hold one");
    check_pair_error(MAP, "{", NULL, NULL, "special_tokens_map.json:1: not valid JSON");
    check_pair_error(ADDED, "{\"<y>\": 300}", CONFIG,
                     "{\"added_tokens_decoder\": {\"301\": {\"content\": \"<y>\"}}}",
                     "tokenizer_config.json: token \"<y>\" has id 301 here and 300 in ");
    check_pair_error(CONFIG, "{\"pad_token\": \"<pad>\"}", MAP, "{\"pad_token\": \"<x>\"}",
                     "special_tokens_map.json: pad_token is \"<x>\" here and \"<pad>\" in ");
    check_pair_error(CONFIG, plain_x, MAP, "{\"eos_token\": \"<x>\"}",
                     "special_tokens_map.json: token \"<x>\" is special here and not special in ");
    check_pair_error(MAP, "{\"mask_token\": {\"content\": \"<x>\", \"lstrip\": true}}", NULL, NULL,
                     "token \"<x>\" has lstrip true");
    check_pair_error(CONFIG,
                     "{\"added_tokens_decoder\": {\"258\": {\"content\": \"<x>\", "
                     "\"single_word\": true}}}",
                     NULL, NULL, "token \"<x>\" has single_word true");
    /* what the program writes, without its vocab.json */
    empty_folder(one);
    put_text(one, "merges.txt", "a b\n");
    put_text(one, CONFIG, "{\"added_tokens_decoder\": {\"0\": {\"content\": \"<bos>\"}}}");
    Error err = load_error(one);
    CHECK(strstr(err.text, "merges.txt: vocab.json is missing beside it"), "%s", err.text);
    empty_folder(one);
}

/* ---- tokenizer.json ---- */

static const char JSON_PARTS[] =
    "{\"version\": \"1.0\", \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
    "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, "
    "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": "
    "\"A\"}}], \"special_tokens\": {}}, \"decoder\": {\"type\": \"ByteLevel\"}, \"added_tokens\": "
    "[{\"id\": 258, \"content\": \"<x>\", \"special\": true}, {\"id\": 259, \"content\": "
    "\"<think>\", \"special\": false}], \"model\": {\"type\": \"BPE\", \"dropout\": null, "
    "\"continuing_subword_prefix\": \"\", \"byte_fallback\": false, \"ignore_merges\": false, ";

/* tokenizer.json with one piece of its parts replaced, these entries after the bytes, merges. */
static void put_json(const char *from, const char *to, const char *entries, const char *merges) {
    Buf b = {0};
    const char *at = from ? strstr(JSON_PARTS, from) : NULL;
    CHECK(!from || at, "tokenizer.json has no %s", from);
    if (at) {
        buf_put(&b, JSON_PARTS, (size_t)(at - JSON_PARTS));
        buf_puts(&b, to);
        buf_puts(&b, at + strlen(from));
    } else buf_puts(&b, JSON_PARTS);
    buf_puts(&b, "\"vocab\": {");
    put_byte_entries(&b);
    buf_printf(&b, "%s}, \"merges\": %s}}", entries, merges);
    put_file(one, "tokenizer.json", b.s, b.n);
    buf_free(&b);
}

static const char JSON_ENTRIES[] = ", \"ab\": 256, \"Ġab\": 257";

/* Alone, tokenizer.json is the tokenizer; merges are strings or pairs. */
static void test_json_alone(void) {
    static const char *const merges[] = {"[\"a b\", \"Ġ ab\"]",
                                         "[[\"a\", \"b\"], [\"Ġ\", \"ab\"]]"};
    for (int i = 0; i < 2; i++) {
        empty_folder(one);
        put_json(NULL, NULL, JSON_ENTRIES, merges[i]);
        Tokenizer *t = must_load(one);
        CHECK_ENCODE(t, "ab ab", 256, 257);
        CHECK(tokenizer_special(t, "<x>") == 258 && tokenizer_size(t) == 260, "added tokens");
        CHECK(tokenizer_special(t, "<think>") == 259, "one that is not special");
        must_save(t, two);
        tokenizer_free(t);
        t = must_load(two);
        CHECK_ENCODE(t, "ab ab", 256, 257);
        tokenizer_free(t);
    }
    empty_folder(two);
}

/* Parts that are not ours are refused by name, also where the other files are there. */
static void test_json_parts(void) {
    static const struct {
        const char *from, *to, *part;
    } cases[] = {
        {"\"normalizer\": null", "\"normalizer\": {\"type\": \"NFKC\"}", "normalizer"},
        {"\"add_prefix_space\": false", "\"add_prefix_space\": true", "pre_tokenizer"},
        {"\"add_prefix_space\"", "\"other\"", "pre_tokenizer"},
        {"\"use_regex\": true", "\"use_regex\": false", "pre_tokenizer"},
        {"r\": {\"type\": \"ByteLevel\"", "r\": {\"type\": \"Sequence\"", "pre_tokenizer"},
        {"{\"Sequence\"", "{\"SpecialToken\"", "post_processor"},
        {"[{\"Sequence\"", "[{\"SpecialToken\": {}}, {\"Sequence\"", "post_processor"},
        {"TemplateProcessing", "BertProcessing", "post_processor"},
        {"r\": {\"type\": \"ByteLevel\"}", "r\": null", "decoder"},
        {"\"BPE\"", "\"Unigram\"", "model.type"},
        {"\"dropout\": null", "\"dropout\": 0.1", "model.dropout"},
        {"prefix\": \"\"", "prefix\": \"##\"", "model.continuing_subword_prefix"},
        {"\"byte_fallback\": false", "\"byte_fallback\": true", "pre_tokenizer"},
        {"\"byte_fallback\": false", "\"byte_fallback\": 1", "model.byte_fallback"},
        {"\"ignore_merges\": false", "\"ignore_merges\": 1", "model.ignore_merges"},
    };
    for (int beside = 0; beside < 2; beside++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            empty_folder(one);
            if (beside) put_files(",\n\"ab\": 256}", "a b\n", NULL);
            put_json(cases[i].from, cases[i].to, ", \"ab\": 256", "[\"a b\"]");
            Error err = load_error(one);
            Buf want = {0};
            buf_printf(&want, "tokenizer.json: %s is ", cases[i].part);
            CHECK(err.status == STATUS_DATA && strstr(err.text, want.s),
                  "got \"%s\", wanted \"%s\"", err.text, want.s);
            buf_free(&want);
        }
    put_json("\"TemplateProcessing\"", "\"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}]",
             ", \"ab\": 256", "[\"a b\"]");
    tokenizer_free(must_load(one));
}

/* Errors in what it holds, and a tokenizer.json that is not that of the files beside it. */
static void test_json_malformed(void) {
    static const struct {
        bool beside;
        const char *entries, *merges, *part;
    } cases[] = {
        {false, ", \"ab\": 256", "[\"a c\"]", "tokenizer.json: merge 1: token \"ac\" is not in"},
        {false, ", \"ab\": 256", "[\"a b\", 5]", "tokenizer.json: merge 2 must be"},
        {false, ", \"ab\": 256", "[[\"a\"]]", "tokenizer.json: merge 1 must be"},
        {false, ", \"ab\": 256", "[[\"a \", \"b\"]]", "merge 1: a merge must be two tokens"},
        {false, ", \"ab\": 256", "[\"a b\", \"a b\"]", "merge 2: this merge is there twice"},
        {false, ", \"ab\": 255", "[]", "have the same id 255"},
        {false, ", \"Ġab\": 256", "[]", "makes token \"Ġab\""},
        {false, ", \"ab\": 256", "{}", "needs model.vocab"},
        {false, ", \"y\": 258", "[]", "token \"y\" is there twice"},
        {false, ", \"<y>\": 258", "[]", "added token \"<x>\" has the id 258, as \"<y>\" in "},
        {true, ", \"ab\": 256, \"cd\": 257", "[\"a b\", \"c d\"]", NULL},
        {true, ", \"ab\": 257, \"cd\": 256", "[\"a b\", \"c d\"]", "they differ in token \"ab\""},
        {true, ", \"ab\": 256, \"ac\": 257", "[\"a b\", \"c d\"]", "they differ in token \"ac\""},
        {true, ", \"ab\": 256", "[\"a b\"]", "the first lacks token \"cd\""},
        {true, ", \"ab\": 256, \"cd\": 257", "[\"c d\", \"a b\"]", "they differ in merge \"c d\""},
        {true, ", \"ab\": 256, \"cd\": 257", "[\"a b\"]", "the second has more merges"},
        {true, ", \"ab\": 256, \"cd\": 257", "[\"a b\", \"c d\", \"a b\"]",
         "they differ in merge \"a b\""},
        {true, ", \"ab\": 256, \"cd\": 257", "[\"a b\", 5]", "tokenizer.json: merge 2 must be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        empty_folder(one);
        if (cases[i].beside) put_files(",\n\"ab\": 256, \"cd\": 257}", "a b\nc d\n", NULL);
        put_json(NULL, NULL, cases[i].entries, cases[i].merges);
        Error err = load_error(one);
        const char *part = cases[i].part;
        CHECK(part ? err.status == STATUS_DATA && strstr(err.text, part) : !err.status,
              "%zu: got \"%s\", wanted \"%s\"", i, err.text, part ? part : "nothing");
    }
    empty_folder(one);
}

/* ---- templates ---- */

/* The tokens joined by '|': what stands where, and what was encoded together. */
static void check_form(Tokenizer *t, const IntBuf *ids, const char *want) {
    Buf got = {0};
    for (int i = 0; i < ids->n; i++) {
        if (i) buf_putc(&got, '|');
        tokenizer_decode(t, &ids->v[i], 1, &got);
    }
    CHECK(strcmp(got.s ? got.s : "", want) == 0, "got \"%s\", wanted \"%s\"", got.s ? got.s : "",
          want);
    buf_free(&got);
}

static void check_template(const Template *form, Tokenizer *t, const char *bos, const char *prompt,
                           const char *answer) {
    IntBuf ids = {0};
    template_start(form, t, (Str){NULL, 0}, &ids);
    check_form(t, &ids, bos);
    ids.n = 0;
    template_prompt(form, t, str("is the"), TURN_LAST, &ids);
    check_form(t, &ids, prompt);
    ids.n = 0;
    template_answer(form, t, str("the mat"), TURN_LAST, &ids);
    check_form(t, &ids, answer);
    ints_free(&ids);
}

static void test_templates(void) {
    static const char *const text[] = {" is the the mat is the mat", "Q: is the mat\n\n Q: is\n\n",
                                       "the mat. is", " mat. is", "<q> <q> <q>"};
    static const char *const specials[] = {"<bos>", "<q>", "<a>", "<e>", "<q>+", "<|endoftext|>"};
    Tokenizer *t = must_train(text, 5, 300, specials, 6);
    check_template(&TEMPLATE_RECIPE, t, "<bos>", "<q>|is| the|<a>", " the| mat|<e>");
    check_template(&FRAME("", "", "\n", "<|endoftext|>"), t, "", "is| the|\n",
                   "the| mat|<|endoftext|>");
    /* ordinary text is encoded with the field it touches: " is", ". " and so on are single
     * tokens here */
    check_template(&FRAME("<q>+x", "<q> ", " mat <a>", ".<e> is"), t, "<q>+|x",
                   "<q>| is| the| mat| |<a>", "the| mat|.|<e>| is");
    check_template(&FRAME("<q<q>>", "", " ", "\n\n"), t, "<|q|<q>|>", "is| the", " the| mat|\n\n");
    check_template(&FRAME("", "<bos>", "<a>  ", "x"), t, "", "<bos>|is| the|<a>| ", " the| mat|x");

    IntBuf a = {0}, b = {0};
    /* a field cannot spell a special token */
    template_prompt(&TEMPLATE_RECIPE, t, str("<q><a>"), TURN_LAST, &a);
    CHECK(a.n >= 4 && a.v[0] == 1 && a.v[a.n - 1] == 2, "prompt");
    for (int i = 1; i + 1 < a.n; i++) CHECK(a.v[i] > 5, "special token %d out of a prompt", a.v[i]);
    template_bare_prompt(t, str("<q><a>"), &b);
    check_ids(&b, a.v + 1, a.n - 2, "bare prompt");
    a.n = b.n = 0;
    template_prompt(&TEMPLATE_RECIPE, t, (Str){NULL, 0}, TURN_LAST, &a);
    check_ids(&a, (const int[]){1, 2}, 2, "empty prompt");
    a.n = 0;
    template_answer(&TEMPLATE_RECIPE, t, str("<e>"), TURN_LAST, &a);
    CHECK(a.n >= 2 && a.v[a.n - 1] == 3, "answer");
    for (int i = 0; i + 1 < a.n; i++)
        CHECK(a.v[i] > 5, "special token %d out of a completion", a.v[i]);
    ints_free(&a);
    ints_free(&b);
    tokenizer_free(t);
}

static void check_template_error(const Tokenizer *t, const char *json, const char *part) {
    Error err = {0};
    Template form;
    if (json) put_text(one, "template.json", json);
    bool ok = template_load(&form, t, one, NULL, &err);
    CHECK(!ok && err.status == STATUS_DATA && strstr(err.text, part), "got \"%s\", wanted \"%s\"",
          err.text, part);
    CHECK(!form.bos && !form.example_end, "nothing must be left of a template that failed");
    if (ok) template_free(&form);
}

/* What a chat template is made of. Golden: `make judge-transformers` renders such templates with
 * Hugging Face's library, and compares the text and the tokens with the program's. */
static void test_chat_template(void) {
    const Template odd = FRAME("'\\", "{% {{\n", " \r ", "<e>\n");
    Buf jinja = {0};
    template_chat(&odd, &jinja);
    const char *want =
        "{{ '\\'\\\\' }}{% set ns = namespace(before='') %}{% for m in messages %}"
        "{% if m['role'] == 'system' %}"
        "{% set ns.before = m['content'] + '\\n' if m['content'] else '' %}"
        "{% elif m['role'] == 'user' %}{{ '{% {{\\n' + ns.before + m['content'] }}"
        "{% set ns.before = '' %}{% if not loop.last or add_generation_prompt %}{{ ' \\r' }}"
        "{% endif %}{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + '<e>\\n' }}"
        "{% else %}{{ raise_exception('roles are system, user, assistant') }}{% endif %}{% endfor "
        "%}";
    CHECK(strcmp(jinja.s, want) == 0, "%s", jinja.s);
    buf_free(&jinja);
}

/* What looks like a token in a template must be one. */
static void test_template_pieces(void) {
    Tokenizer *t = must_train(RECIPE_TEXTS, 4, 300, TEMPLATE_RECIPE_SPECIALS, 4);
    Template form;
    Error err = {0};
    static const struct {
        const char *prefix, *piece; /* NULL: there is nothing to refuse */
    } pieces[] = {
        {"<|user|>", "<|user|>"}, {"<bos> <q><qu>", "<qu>"},
        {"x</s>", "</s>"},        {"<<é>", "<é>"},
        {"< q>", NULL},           {"a<b", NULL},
        {"<=> <>", NULL},         {"<q>a>", NULL},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        Buf json = {0}, want = {0};
        buf_printf(&json, "{\"bos\": \"\", \"prompt_prefix\": \"%s\", \"answer_prefix\": \"<a>\", ",
                   pieces[i].prefix);
        buf_puts(&json, "\"example_end\": \"<e>\"}");
        buf_printf(&want, "\"%s\" is no token of the vocabulary", pieces[i].piece);
        if (pieces[i].piece) check_template_error(t, json.s, want.s);
        else {
            put_text(one, "template.json", json.s);
            CHECK(template_load(&form, t, one, NULL, &err), "%s: %s", pieces[i].prefix, err.text);
            template_free(&form);
        }
        buf_free(&json);
        buf_free(&want);
    }
    tokenizer_free(t);
    empty_folder(one);
}

static void test_template_files(void) {
    Tokenizer *t = must_train(RECIPE_TEXTS, 4, 300, TEMPLATE_RECIPE_SPECIALS, 4);
    static const char *const end[] = {"<|endoftext|>"};
    Tokenizer *gpt2 = must_train(RECIPE_TEXTS, 4, 300, end, 1);
    Template form;
    Error err = {0};
    Tokenizer *nothing = must_train(RECIPE_TEXTS, 4, 300, (const char *const[]){"<x>"}, 1);
    check_template_error(nothing, NULL, "no <|endoftext|> and names no eos");
    tokenizer_free(nothing);
    CHECK(template_load(&form, gpt2, one, NULL, &err), "%s", err.text);
    CHECK(form.bos[0] == 0 && form.prompt_prefix[0] == 0 && strcmp(form.answer_prefix, "\n") == 0,
          "GPT-2's form");
    CHECK(strcmp(form.example_end, "<|endoftext|>") == 0, "GPT-2's form: %s", form.example_end);
    template_free(&form);
    CHECK(template_save(&TEMPLATE_RECIPE, one, &err) && template_load(&form, t, one, NULL, &err),
          "%s", err.text);
    CHECK(strcmp(form.bos, "<bos>") == 0 && strcmp(form.prompt_prefix, "<q>") == 0, "%s %s",
          form.bos, form.prompt_prefix);
    CHECK(strcmp(form.answer_prefix, "<a> ") == 0 && strcmp(form.example_end, "<e>") == 0, "%s %s",
          form.answer_prefix, form.example_end);
    template_free(&form);
    const Template odd = FRAME("\n\"", "é\t", "", "\\");
    CHECK(template_save(&odd, one, &err) && template_load(&form, t, one, NULL, &err), "%s",
          err.text);
    CHECK(strcmp(form.bos, odd.bos) == 0 && strcmp(form.prompt_prefix, odd.prompt_prefix) == 0,
          "escapes");
    CHECK(form.answer_prefix[0] == 0 && strcmp(form.example_end, odd.example_end) == 0, "escapes");
    template_free(&form);
    check_template_error(t, "{\"bos\": \"\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\"}",
                         "example_end must be a string");
    check_template_error(
        t, "{\"bos\": \"\", \"prompt_prefix\": 1, \"answer_prefix\": \"\", \"example_end\": \"x\"}",
        "prompt_prefix must be a string");
    check_template_error(t,
                         "{\"bos\": \"\\u0000\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\", "
                         "\"example_end\": \"x\"}",
                         "bos must be a string");
    check_template_error(
        t,
        "{\"bos\": \"\", \"prompt_prefix\": \"\", \"answer_prefix\": \"\", \"example_end\": \"\"}",
        "example_end must not be empty");
    check_template_error(t, "{\n\"bos\"}", "template.json:2: not valid JSON");
    tokenizer_free(t);
    tokenizer_free(gpt2);
    empty_folder(one);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(one, sizeof one, "%s/test_tokenizer.XXXXXX",
             base && strlen(base) < 200 ? base : "/tmp");
    snprintf(two, sizeof two, "%s/test_tokenizer.XXXXXX",
             base && strlen(base) < 200 ? base : "/tmp");
    if (!mkdtemp(one) || !mkdtemp(two)) {
        printf("cannot make a folder for temporary files: set TMPDIR\n");
        return 1;
    }
    test_splitting();
    test_gpt2();
    test_merges_alone();
    test_round_trips();
    test_cache();
    test_long_pieces();
    test_training_golden();
    test_training_naive();
    test_training_rules();
    test_training_errors();
    test_save_and_load();
    test_config();
    test_malformed();
    test_malformed_config();
    test_added_tokens();
    test_added_conflicts();
    test_json_alone();
    test_json_parts();
    test_json_malformed();
    test_templates();
    test_template_files();
    test_template_pieces();
    test_chat_template();
    rmdir(one);
    rmdir(two);
    return check_report("tokenizer");
}
