/* tokenizer.json of each kind: ids and decoding as the library tokenizers has them, files that are
 * saved byte for byte, and parts that are refused.
 *
 * tests/reference/tokenizers has small tokenizers and what the library makes of some texts:
 *   python3 tests/reference/small_tokenizers.py tests/reference/tokenizers */
#define _POSIX_C_SOURCE 200809L
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "data/tokenizer_json.h"
#include "tokenizer.h"

#include "lib/file.h"
#include "lib/json.h"
#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char REFERENCE[] = "tests/reference/tokenizers";
static const char *const KINDS[] = {"gpt2",   "smollm2",   "llama3", "qwen",
                                    "llama2", "metaspace", "never"};
enum { N_KINDS = sizeof KINDS / sizeof *KINDS };
static const char *const FILES[] = {
    "tokenizer.json",    "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja",   "vocab.json",
    "merges.txt"};
enum { N_FILES = sizeof FILES / sizeof *FILES };

/* ---- files for a test ---- */

static char folder[64], saved[80]; /* folder/saved */

static void put_file(const char *name, Str text) {
    Error err = {0};
    char *path = path_join(folder, name);
    if (!file_write(path, text.s, text.n, &err)) abort();
    free(path);
}

static Buf get_file(const char *in, const char *name) {
    Buf text = {0};
    Error err = {0};
    char *path = path_join(in, name);
    CHECK(file_read(path, &text, &err), "%s", err.text);
    free(path);
    return text;
}

static bool has_file(const char *in, const char *name) {
    char *path = path_join(in, name);
    bool has = file_exists(path);
    free(path);
    return has;
}

static void empty_folders(void) {
    const char *const both[] = {folder, saved};
    for (int i = 0; i < 2 * N_FILES; i++) {
        char *path = path_join(both[i % 2], FILES[i / 2]);
        file_remove(path);
        free(path);
    }
}

static char *kind_path(const char *kind, const char *name) {
    char *at = path_join(REFERENCE, kind), *path = path_join(at, name);
    free(at);
    return path;
}

static Tokenizer *load_kind(const char *kind) {
    Error err = {0};
    char *path = path_join(REFERENCE, kind);
    Tokenizer *t = tokenizer_load(path, &err);
    CHECK(t, "%s", err.text);
    free(path);
    if (!t) exit(check_report("test_tokenizer_json"));
    return t;
}

/* The text of a kind's tokenizer.json in which the first `from`, if any, becomes `to`. */
static Buf kind_text(const char *kind, const char *from, const char *to) {
    Buf text = {0}, changed = {0};
    Error err = {0};
    char *path = kind_path(kind, "tokenizer.json");
    CHECK(file_read(path, &text, &err), "%s", err.text);
    const char *at = from ? strstr(text.s, from) : text.s + text.n;
    CHECK(at, "%s has no %s", path, from);
    if (!at) at = text.s + text.n;
    buf_put(&changed, text.s, (size_t)(at - text.s));
    if (from) buf_puts(&changed, to);
    if (*at) buf_puts(&changed, at + strlen(from));
    free(path);
    buf_free(&text);
    return changed;
}

static void put_kind(const char *kind, const char *from, const char *to) {
    Buf text = kind_text(kind, from, to);
    put_file("tokenizer.json", (Str){text.s, text.n});
    buf_free(&text);
}

/* ---- ids and decoding ---- */

static void check_vector(Tokenizer *t, const Json *vector) {
    const Json *text = json_get(vector, "text"), *want = json_get(vector, "ids");
    const Json *decoded = json_get(vector, "decoded"), *kind = json_get(vector, "tokenizer");
    IntBuf ids = {0};
    Buf again = {0};
    tokenizer_encode_template(t, text->string.s, text->string.n, &ids);
    bool same = ids.n == want->count;
    for (int i = 0; same && i < ids.n; i++) same = ids.v[i] == (int)want->items[i].number;
    CHECK(same, "%s: \"%s\" has other ids", kind->string.s, text->string.s);
    CHECK(tokenizer_decode(t, ids.v, ids.n, &again), "an id that does not exist");
    CHECK(str_equal((Str){again.s, again.n}, decoded->string), "%s: \"%s\" decodes to \"%.*s\"",
          kind->string.s, decoded->string.s, (int)again.n, again.s);
    ints_free(&ids);
    buf_free(&again);
}

static void test_vectors(void) {
    Tokenizer *t[N_KINDS];
    Buf text = get_file(REFERENCE, "vectors.jsonl");
    Arena arena = {0};
    int count = 0;
    for (int k = 0; k < N_KINDS; k++) t[k] = load_kind(KINDS[k]);
    for (size_t at = 0; at + 1 < text.n; count++) {
        const Json *vector = json_parse_at(&arena, text.s, text.n, &at, NULL);
        int k = 0;
        if (!vector) break;
        while (k < N_KINDS && !str_is(json_get(vector, "tokenizer")->string, KINDS[k])) k++;
        CHECK(k < N_KINDS, "line %d", count + 1);
        if (k < N_KINDS) check_vector(t[k], vector);
    }
    CHECK(count > 300, "%d vectors", count);
    for (int k = 0; k < N_KINDS; k++) tokenizer_free(t[k]);
    arena_free(&arena);
    buf_free(&text);
}

static void check_ids(const char *what, const IntBuf *got, const IntBuf *want, bool equal) {
    bool same = got->n == want->n;
    for (int i = 0; same && i < got->n; i++) same = got->v[i] == want->v[i];
    CHECK(same == equal, "%s: %s", what, equal ? "other ids" : "the same ids");
}

/* In data the names of tokens are text, byte tokens among them; a template has the tokens. */
static void test_safety(void) {
    static const char *const names[] = {"<|endoftext|>", "<|im_end|>", "<s>",  "</s>",
                                        "<think>",       "<0x41>",     "<unk>"};
    for (int k = 0; k < N_KINDS; k++) {
        Tokenizer *t = load_kind(KINDS[k]);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            IntBuf ids = {0};
            Buf text = {0};
            int id = tokenizer_special(t, names[i]);
            tokenizer_encode(t, names[i], strlen(names[i]), &ids);
            CHECK(ids.n > 1, "%s: \"%s\" becomes one token", KINDS[k], names[i]);
            for (int j = 0; j < ids.n; j++) CHECK(ids.v[j] != id, "%s: %s", KINDS[k], names[i]);
            tokenizer_decode(t, ids.v, ids.n, &text);
            CHECK(str_is((Str){text.s, text.n}, names[i]), "%s: %.*s", names[i], (int)text.n,
                  text.s);
            ids.n = 0;
            tokenizer_encode_template(t, names[i], strlen(names[i]), &ids);
            CHECK(id < 0 || (ids.n == 1 && ids.v[0] == id), "%s: %s in a template", KINDS[k],
                  names[i]);
            ints_free(&ids);
            buf_free(&text);
        }
        tokenizer_free(t);
    }
}

/* What each kind's file says about its text. */
static void test_rules(void) {
    static const struct {
        Splitter splitter;
        bool nfc, whole, pieces;
        BlankBefore blank;
        const char *opening;
    } want[N_KINDS] = {
        {SPLIT_GPT2, false, false, false, BLANK_ALWAYS, NULL},
        {SPLIT_DIGITS, false, false, false, BLANK_ALWAYS, NULL},
        {SPLIT_LLAMA3, false, true, false, BLANK_ALWAYS, "<s>"},
        {SPLIT_QWEN, true, false, false, BLANK_ALWAYS, NULL},
        {SPLIT_WORDS, false, false, true, BLANK_ALWAYS, "<s>"},
        {SPLIT_WORDS, false, false, true, BLANK_IF_NONE, "<s>"},
        {SPLIT_NONE, false, false, true, BLANK_NEVER, "<s>"},
    };
    for (int k = 0; k < N_KINDS; k++) {
        Tokenizer *t = load_kind(KINDS[k]);
        TokenizerParts parts = tokenizer_parts(t);
        TokenizerRules got = parts.rules;
        CHECK(got.splitter == want[k].splitter && got.nfc == want[k].nfc &&
                  got.whole_pieces == want[k].whole && got.pieces == want[k].pieces &&
                  got.blank == want[k].blank,
              "%s: splitter %d, nfc %d, whole %d, pieces %d, blank %d", KINDS[k], got.splitter,
              got.nfc, got.whole_pieces, got.pieces, got.blank);
        int opening = want[k].opening ? tokenizer_special(t, want[k].opening) : -1;
        CHECK(tokenizer_opening(t) == opening, "%s: %d is put first", KINDS[k],
              tokenizer_opening(t));
        CHECK(opening < 0 || parts.bos == opening, "%s: bos is %d", KINDS[k], parts.bos);
        tokenizer_free(t);
    }
}

/* Text in two parts has the ids of the whole, if the second is encoded as a continuation and no
 * token crosses the cut. Only SentencePiece's differ when it is not. */
static void test_continuation(void) {
    for (int k = 0; k < N_KINDS; k++) {
        Tokenizer *t = load_kind(KINDS[k]);
        IntBuf whole = {0}, parts = {0}, apart = {0};
        tokenizer_encode(t, "the\nquick fox", 13, &whole);
        tokenizer_encode(t, "the\n", 4, &parts);
        tokenizer_encode(t, "the\n", 4, &apart);
        tokenizer_encode_on(t, "quick fox", 9, &parts);
        tokenizer_encode(t, "quick fox", 9, &apart);
        check_ids(KINDS[k], &parts, &whole, true);
        check_ids(KINDS[k], &apart, &whole,
                  !tokenizer_parts(t).rules.pieces ||
                      tokenizer_parts(t).rules.blank == BLANK_NEVER);
        ints_free(&whole);
        ints_free(&parts);
        ints_free(&apart);
        tokenizer_free(t);
    }
}

/* ignore_merges: without it " theater" is spelled by merges. */
static void test_ignore_merges(void) {
    IntBuf with = {0}, without = {0};
    Error err = {0};
    Tokenizer *t = load_kind("llama3");
    tokenizer_encode(t, " theater", 8, &with);
    CHECK(with.n == 1, "%d tokens", with.n);
    tokenizer_free(t);
    empty_folders();
    put_kind("llama3", "\"ignore_merges\":true", "\"ignore_merges\":false");
    t = tokenizer_load(folder, &err);
    CHECK(!t && strstr(err.text, "makes token \"\xc4\xa0theater\""), "%s", err.text);
    ints_free(&with);
    ints_free(&without);
}

/* Any bytes come back, also those that are not UTF-8. NFC acts on the characters around them. */
static void test_bytes(void) {
    static const char text[] = "a\xff\xc3 e\xcc\x81\x80 \xe2\x96\xf0\x9f\x98 x\n\0y";
    static const char form[] = "a\xff\xc3 \xc3\xa9\x80 \xe2\x96\xf0\x9f\x98 x\n\0y";
    for (int k = 0; k < N_KINDS; k++) {
        Tokenizer *t = load_kind(KINDS[k]);
        bool nfc = tokenizer_parts(t).rules.nfc;
        Str want = nfc ? (Str){form, sizeof form - 1} : (Str){text, sizeof text - 1};
        IntBuf ids = {0};
        Buf again = {0};
        tokenizer_encode(t, text, sizeof text - 1, &ids);
        tokenizer_decode(t, ids.v, ids.n, &again);
        CHECK(str_equal((Str){again.s, again.n}, want), "%s: other bytes", KINDS[k]);
        ints_free(&ids);
        buf_free(&again);
        tokenizer_free(t);
    }
}

/* A million characters without a cut take no quadratic time. */
static void test_long(void) {
    enum { MOST = 1 << 20 };
    char *text = mem_new(MOST, 1);
    for (int k = 0; k < N_KINDS; k++)
        for (int c = 0; c < 3; c++) {
            Tokenizer *t = load_kind(KINDS[k]);
            IntBuf ids = {0};
            Buf again = {0};
            memset(text, "a \n"[c], MOST);
            tokenizer_encode(t, text, MOST, &ids);
            tokenizer_decode(t, ids.v, ids.n, &again);
            size_t lost = tokenizer_parts(t).rules.blank == BLANK_IF_NONE && c == 1;
            CHECK(again.n == MOST - lost && memcmp(again.s, text, again.n) == 0, "%s: %zu bytes",
                  KINDS[k], again.n);
            ints_free(&ids);
            buf_free(&again);
            tokenizer_free(t);
        }
    free(text);
}

/* ---- saving ---- */

static const char CONFIG[] = "{ \"eos_token\": \"<|im_end|>\",\n\"odd\": [1, 2.50],"
                             "\"chat_template\": \"{{ '<|im_start|>' }}\" }",
                  MAP[] = "{\"pad_token\": {\"content\": \"<|endoftext|>\", \"lstrip\": false}}",
                  ADDED[] = "{\"<think>\": 333}", CHAT[] = "{{ messages }}";

static void check_saved(const char *name, Str want) {
    Buf got = {0};
    if (has_file(saved, name)) got = get_file(saved, name);
    CHECK(str_equal((Str){got.s, got.n}, want), "%s is not as it was", name);
    buf_free(&got);
}

/* Every file byte for byte; with a template of its own, its text as the chat template. */
static void test_saving(void) {
    Error err = {0};
    for (int templated = 0; templated < 2; templated++) {
        empty_folders();
        put_kind("qwen", NULL, NULL);
        put_file("tokenizer_config.json", str(CONFIG));
        put_file("special_tokens_map.json", str(MAP));
        put_file("added_tokens.json", str(ADDED));
        put_file("chat_template.jinja", str(CHAT));
        Buf json = get_file(folder, "tokenizer.json");
        Tokenizer *t = tokenizer_load(folder, &err), *again;
        CHECK(t, "%s", err.text);
        if (!t) return;
        CHECK(tokenizer_parts(t).eos == tokenizer_special(t, "<|im_end|>"), "eos");
        CHECK(tokenizer_parts(t).pad == tokenizer_special(t, "<|endoftext|>"), "pad");
        const Template plain = {"", "", "\n", "<|im_end|>", .name = NULL};
        CHECK(tokenizer_save(t, templated ? &plain : NULL, saved, &err), "%s", err.text);
        check_saved("tokenizer.json", (Str){json.s, json.n});
        check_saved("special_tokens_map.json", str(MAP));
        check_saved("added_tokens.json", str(ADDED));
        check_saved("chat_template.jinja", templated ? (Str){NULL, 0} : str(CHAT));
        check_saved("vocab.json", (Str){NULL, 0});
        check_saved("merges.txt", (Str){NULL, 0});
        if (!templated) check_saved("tokenizer_config.json", str(CONFIG));
        Buf config = get_file(saved, "tokenizer_config.json");
        CHECK(!templated || (strstr(config.s, "\"odd\": [1,2.50]") &&
                             !strstr(config.s, "{{ '<|im_start|>' }}") &&
                             strstr(config.s, "add_generation_prompt")),
              "%s", config.s);
        again = tokenizer_load(saved, &err);
        CHECK(again && tokenizer_size(again) == tokenizer_size(t), "%s", err.text);
        tokenizer_free(again);
        tokenizer_free(t);
        buf_free(&json);
        buf_free(&config);
    }
}

/* With the lists of GPT-2's form beside it all are written. A tokenizer of another form takes the
 * files of an older one away. */
static void test_saving_lists(void) {
    Error err = {0};
    empty_folders();
    Tokenizer *t = load_kind("gpt2"), *both;
    TokenizerParts parts = tokenizer_parts(t);
    parts.json_alone = false;
    parts.files[KEPT_JSON].n = 0;
    Tokenizer *lists = tokenizer_new(&parts);
    CHECK(tokenizer_save(lists, NULL, folder, &err), "%s", err.text);
    CHECK(!has_file(folder, "tokenizer.json"), "tokenizer.json comes from nowhere");
    put_kind("gpt2", NULL, NULL);
    both = tokenizer_load(folder, &err);
    CHECK(both && tokenizer_save(both, NULL, saved, &err), "%s", err.text);
    CHECK(has_file(saved, "vocab.json") && has_file(saved, "tokenizer.json"), "both forms");
    CHECK(tokenizer_save(t, NULL, saved, &err), "%s", err.text);
    CHECK(!has_file(saved, "vocab.json") && !has_file(saved, "merges.txt"), "old lists stay");
    CHECK(tokenizer_save(lists, NULL, saved, &err), "%s", err.text);
    CHECK(!has_file(saved, "tokenizer.json") && has_file(saved, "merges.txt"), "old form stays");
    tokenizer_free(t);
    tokenizer_free(lists);
    tokenizer_free(both);
}

/* ---- what is refused ---- */

static void check_refused(const char *kind, const char *from, const char *to, const char *want) {
    Error err = {0};
    empty_folders();
    put_kind(kind, from, to);
    Tokenizer *t = tokenizer_load(folder, &err);
    CHECK(!t && err.status == STATUS_DATA && strstr(err.text, want),
          "%s with %s: got \"%s\", "
          "wanted \"%s\"",
          kind, to, err.text, want);
    tokenizer_free(t);
}

typedef struct {
    const char *kind, *from, *to, *want;
} Refused;

static void check_all(const Refused *cases, size_t n) {
    for (size_t i = 0; i < n; i++)
        check_refused(cases[i].kind, cases[i].from, cases[i].to, cases[i].want);
}

/* The parts of tokenizers over bytes, of SentencePiece's, and those of both. */
static void test_refused_bytes(void) {
    static const Refused cases[] = {
        {"gpt2", "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}",
         "tokenizer.json: normalizer is {\"type\":\"NFKC\"}: this tokenizer"},
        {"gpt2", "\"normalizer\":null", "\"normalizer\":{\"type\":\"NFC\",\"more\":1}",
         "normalizer is {\"type\":\"NFC\",\"more\":1}"},
        {"gpt2", "\"add_prefix_space\":false", "\"add_prefix_space\":true",
         "pre_tokenizer is {\"type\":\"ByteLevel\",\"add_prefix_space\":true"},
        {"smollm2", "\"individual_digits\":true", "\"individual_digits\":false",
         "pre_tokenizer is {\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\""},
        {"smollm2", "{\"type\":\"Digits\",\"individual_digits\":true}", "{\"type\":\"Whitespace\"}",
         "pre_tokenizer is {\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Whitespace\"}"},
        {"llama3", "{1,3}", "{1,4}", "pre_tokenizer is {"},
        {"qwen", "\\\\p{N}|", "[\\\\p{N}]|", "pre_tokenizer is {"},
        {"qwen", "\"Isolated\"", "\"Removed\"", "pre_tokenizer is {"},
        {"qwen", "\"invert\":false", "\"invert\":true", "pre_tokenizer is {"},
        {"qwen", "\"use_regex\":false", "\"use_regex\":true", "pre_tokenizer is {"},
        {"qwen", "\"decoder\":{\"type\":\"ByteLevel\"", "\"decoder\":{\"type\":\"WordPiece\"",
         "decoder is {\"type\":\"WordPiece\""},
    };
    check_all(cases, sizeof cases / sizeof *cases);
}

static void test_refused_pieces(void) {
    static const Refused cases[] = {
        {"llama3", "\"ids\":[", "\"ids\":[1,", "post_processor is {\"type\":\"Sequence\""},
        {"llama3", "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]",
         "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{\"id\":\"</s>\"}}]",
         "post_processor is {\"type\":\"Sequence\""},
        {"llama2", "\"ids\":[1]", "\"ids\":[2]",
         "post_processor puts \"<s>\" with id 2 before a text"},
        {"llama2", "\"Prepend\"", "\"Append\"", "normalizer is {\"type\":\"Sequence\""},
        {"llama2", "\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}",
         "pre_tokenizer is {\"type\":\"ByteLevel\"}"},
        {"llama2", "\"start\":1", "\"start\":2", "decoder is {\"type\":\"Sequence\""},
        {"metaspace", "\"prepend_scheme\":\"always\"", "\"prepend_scheme\":\"first\"",
         "pre_tokenizer is {\"type\":\"Metaspace\""},
        {"metaspace", "\"split\":false", "\"split\":true",
         "pre_tokenizer is {\"type\":\"Metaspace\""},
        {"metaspace", "\"prepend_scheme\":\"always\"", "\"prepend_scheme\":\"never\"",
         "decoder is {\"type\":\"Sequence\""},
        {"metaspace", "\"pre_tokenizer\":{", "\"pre_tokenizer\":null,\"padding\":{",
         "pre_tokenizer is null"},
        {"llama2", "\"byte_fallback\":true", "\"byte_fallback\":false",
         "normalizer is {\"type\":\"Sequence\""},
        {"llama2", "\"<0x41>\"", "\"<0xAG>\"", "there is no token \"<0x41>\" for byte 65"},
        {"llama2", "\"ignore_merges\":false", "\"ignore_merges\":true",
         "model.ignore_merges is true: this tokenizer"},
        {"llama2", "\"normalized\":false", "\"normalized\":true",
         "token \"<unk>\" has normalized true beside a normalizer"},
        {"llama2", "\"rstrip\":false", "\"rstrip\":true", "token \"<unk>\" has rstrip true"},
        {"qwen", "\"lstrip\":false", "\"lstrip\":true", "has lstrip true"},
    };
    check_all(cases, sizeof cases / sizeof *cases);
}

/* What may stand after the encoding: one token before a text, whose id is whole and in range. */
static void test_refused_openings(void) {
    static const char template[] = "post_processor is {\"type\":\"TemplateProcessing\"",
                      sequence[] = "post_processor is {\"type\":\"Sequence\"",
                      special[] = "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}}";
    static const Refused cases[] = {
        {"llama2", "\"ids\":[1]", "\"ids\":[-1]", template},
        {"llama2", "\"ids\":[1]", "\"ids\":[1.5]", template},
        {"llama2", "\"ids\":[1]", "\"ids\":[4294967297]", template},
        {"llama2", "\"ids\":[1]", "\"ids\":[\"1\"]", template},
        {"llama2", "\"ids\":[1]", "\"ids\":[]", template},
        {"llama2", "\"ids\":[1]", "\"ids\":1", template},
        {"llama2", "\"special_tokens\":{\"<s>\"", "\"special_tokens\":{\"<t>\"", template},
        {"llama2", special, "{\"SpecialToken\":{\"id\":\"\"}}", template},
        {"llama2", special, "{\"SpecialToken\":{\"id\":1}}", template},
        {"llama2", special, "{\"Sequence\":{\"id\":\"B\"}}", template},
        {"llama2", "\"single\":[", "\"single\":[],\"other\":[", template},
        {"llama2", "\"single\":[", "\"single\":1,\"other\":[", template},
        {"llama2", "\"single\":[", "\"other\":[", template},
        {"llama2", "{\"type\":\"TemplateProcessing\"", "{\"type\":\"BertProcessing\"",
         "post_processor is {\"type\":\"BertProcessing\""},
        {"llama3", "\"processors\":[", "\"steps\":[", sequence},
        {"llama3", "\"processors\":[", "\"processors\":1,\"steps\":[", sequence},
        /* two tokens before a text, each by a step of its own */
        {"llama3", "\"processors\":[{",
         "\"processors\":[{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
         "\"<s>\"}},{\"Sequence\":{}}],\"special_tokens\":{\"<s>\":{\"ids\":[333]}}},{",
         sequence},
        {"gpt2", "\"added_tokens\":[", "\"added_tokens\":{},\"padding\":[", "needs model.vocab"},
        {"gpt2", "\"vocab\":{", "\"vocab\":[],\"unk_token\":{", "needs model.vocab"},
        {"gpt2", "\"merges\":[", "\"merges\":null,\"unk_token\":[", "needs model.vocab"},
    };
    check_all(cases, sizeof cases / sizeof *cases);
}

static void test_refused(void) {
    static const Refused cases[] = {
        {"gpt2", "\"dropout\":null", "\"dropout\":0.1", "model.dropout is 0.1"},
        {"gpt2", "\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"##\"",
         "model.continuing_subword_prefix is \"##\""},
        {"gpt2", "\"end_of_word_suffix\":null", "\"end_of_word_suffix\":\"</w>\"",
         "model.end_of_word_suffix is \"</w>\""},
        {"gpt2", "\"type\":\"BPE\"", "\"type\":\"WordLevel\"", "model.type is \"WordLevel\""},
        {"gpt2", "\"dropout\"", "\"cache_size\":5,\"dropout\"",
         "the key \"model.cache_size\" is not known"},
        {"gpt2", "\"version\"", "\"revision\"", "the key \"revision\" is not known"},
        {"gpt2", "\"version\":\"1.0\"", "\"version\":\"2.0\"", "version is \"2.0\""},
        {"gpt2", "\"merges\":[", "\"merges\":[[\"a\",\"zq\"],",
         "tokenizer.json: merge 1: token \"zq\" is not in"},
        {"gpt2", "\"merges\":[", "\"merges\":[[\"a\",\"\"],",
         "merge 1: a merge must be two tokens"},
        {"gpt2", "\"merges\":[", "\"merges\":[[\"a\"],", "merge 1 must be \"left right\""},
        {"qwen", "{\"id\":330", "{\"id\":0", "has the id 0"},
    };
    check_all(cases, sizeof cases / sizeof *cases);
}

/* Values that change no id are not looked at. */
static void test_accepted(void) {
    static const struct {
        const char *kind, *from, *to;
    } cases[] = {
        {"gpt2", "\"truncation\":null", "\"truncation\":{\"max_length\":512}"},
        {"gpt2", "\"unk_token\":null", "\"unk_token\":\"<|endoftext|>\""},
        {"gpt2", "\"trim_offsets\":true", "\"trim_offsets\":false"},
        {"gpt2", ",\"use_regex\":true", ""},
        {"gpt2", "\"normalized\":false", "\"normalized\":true"},
        {"qwen", "\"normalized\":false", "\"normalized\":true"},
        {"gpt2", "\"dropout\":null", "\"dropout\":0.0"},
        {"llama2", "\"fuse_unk\":true", "\"fuse_unk\":false"},
        {"llama2", "\"unk_token\":\"<unk>\"", "\"unk_token\":null"},
        {"gpt2", "\"type\":\"BPE\",", ""},
        {"gpt2", "\"version\":\"1.0\"", "\"version\":null"},
        {"gpt2", "\"continuing_subword_prefix\":null", "\"continuing_subword_prefix\":\"\""},
        {"gpt2", "\"end_of_word_suffix\":null,", ""},
        {"gpt2", "\"post_processor\":{", "\"post_processor\":null,\"padding\":{"},
        {"llama3", "\"processors\":[{\"type\":\"ByteLevel\"",
         "\"processors\":[{\"type\":\"ByteLevel\",\"odd\":1"},
    };
    static const char text[] = "It's a new  day, 1234 \xc3\xa9t\xc3\xa9s.\n";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        empty_folders();
        put_kind(cases[i].kind, cases[i].from, cases[i].to);
        Tokenizer *t = tokenizer_load(folder, &err);
        CHECK(t, "%s with %s: %s", cases[i].kind, cases[i].to, err.text);
        if (!t) continue;
        Tokenizer *plain = load_kind(cases[i].kind);
        IntBuf ids = {0}, want = {0};
        tokenizer_encode(t, text, sizeof text - 1, &ids);
        tokenizer_encode(plain, text, sizeof text - 1, &want);
        check_ids(cases[i].to, &ids, &want, true);
        ints_free(&ids);
        ints_free(&want);
        tokenizer_free(plain);
        tokenizer_free(t);
    }
}

/* A byte that tokenizer.json has among its added tokens alone is not missing in it. */
static void test_added_byte(void) {
    static const char vocab[] = "\"vocab\":", first[] = "{\"!\":0,";
    Arena arena = {0};
    Error err = {0};
    Buf json = {0}, lines = {0},
        text = kind_text("gpt2", "\"added_tokens\":[",
                         "\"added_tokens\":[{\"id\":0,\"content\":\"!\","
                         "\"special\":false},");
    const Json *root = json_parse(&arena, text.s, text.n, NULL),
               *merges = json_get(json_get(root, "model"), "merges");
    const char *from = strstr(text.s, vocab), *to = strstr(text.s, ",\"merges\":");
    CHECK(merges && from && to && strncmp(from + sizeof vocab - 1, first, sizeof first - 1) == 0,
          "gpt2");
    if (!merges || !from || !to) return;
    from += sizeof vocab - 1;
    empty_folders();
    put_file("vocab.json", (Str){from, (size_t)(to - from)});
    for (int i = 0; i < merges->count; i++)
        buf_printf(&lines, "%s %s\n", merges->items[i].items[0].string.s,
                   merges->items[i].items[1].string.s);
    put_file("merges.txt", (Str){lines.s, lines.n});
    buf_put(&json, text.s, (size_t)(from - text.s));
    buf_putc(&json, '{');
    buf_puts(&json, from + sizeof first - 1);
    put_file("tokenizer.json", (Str){json.s, json.n});
    Tokenizer *t = tokenizer_load(folder, &err);
    CHECK(t, "%s", err.text);
    tokenizer_free(t);
    buf_free(&json);
    buf_free(&lines);
    buf_free(&text);
    arena_free(&arena);
}

/* What tokenizer_config.json says beside it: another blank is refused, the class is not read. */
static void test_config_beside(void) {
    static const struct {
        const char *kind, *config, *want;
    } cases[] = {
        {"llama2", "{\"add_prefix_space\":false}", "add_prefix_space false contradicts"},
        {"metaspace", "{\"add_prefix_space\":false}", "which puts a blank before a text"},
        {"never", "{\"add_prefix_space\":true}", "which puts no blank before a text"},
        {"gpt2", "{\"add_prefix_space\":true}", "add_prefix_space true is not supported"},
        {"llama2", "{\"add_prefix_space\":true,\"tokenizer_class\":\"LlamaTokenizer\"}", NULL},
        {"metaspace", "{\"add_prefix_space\":true,\"add_bos_token\":true}", NULL},
        {"never", "{\"add_prefix_space\":false}", NULL},
        {"qwen", "{\"add_prefix_space\":null,\"tokenizer_class\":\"Qwen2Tokenizer\"}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        empty_folders();
        put_kind(cases[i].kind, NULL, NULL);
        put_file("tokenizer_config.json", str(cases[i].config));
        Tokenizer *t = tokenizer_load(folder, &err);
        CHECK(!t == !!cases[i].want && (t || strstr(err.text, cases[i].want)), "%s with %s: %s",
              cases[i].kind, cases[i].config, err.text);
        tokenizer_free(t);
    }
}

int main(void) {
    snprintf(folder, sizeof folder, "/tmp/test_tokenizer_json.XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(saved, sizeof saved, "%s/saved", folder);
    Error err = {0};
    if (!folder_make(saved, &err)) return error_print(&err);
    test_vectors();
    test_safety();
    test_rules();
    test_continuation();
    test_ignore_merges();
    test_bytes();
    test_long();
    test_saving();
    test_saving_lists();
    test_refused_bytes();
    test_refused_pieces();
    test_refused_openings();
    test_refused();
    test_accepted();
    test_added_byte();
    test_config_beside();
    empty_folders();
    rmdir(saved);
    rmdir(folder);
    return check_report("test_tokenizer_json");
}
