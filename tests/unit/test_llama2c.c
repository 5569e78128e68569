/* llama2.c's files: both versions of a model, tied and untied, and a tokenizer; and files that are
 * none. The model that stories260K.bin gives is tensor for tensor that of its
 * published Hugging Face form, and its tokenizer.json has the same values; here are small ones. */
#define _POSIX_C_SOURCE 200809L
#include "data/llama2c.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"
#include "tests/unit/check.h"

static char folder[512];

static void put_int(Buf *b, int x) {
    uint32_t bits = (uint32_t)x;
    for (int i = 0; i < 4; i++) buf_putc(b, (char)(bits >> (8 * i) & 255));
}

static void put_float(Buf *b, double x) {
    float f = (float)x;
    int bits;
    memcpy(&bits, &f, sizeof bits);
    put_int(b, bits);
}

/* Appends all tensors of a role, as the other program has them: pairs of a head are neighbors. */
static void put_role(Buf *b, const Model *m, TensorRole role) {
    int D = m->config.head_size;
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        if (t->role != role) continue;
        int rows = t->rank == 2 ? t->shape[0] : 1, columns = (int)t->size / rows;
        for (int r = 0; r < rows; r++) {
            int from = r;
            if (role == ROLE_Q_W || role == ROLE_K_W) {
                int head = r / D, pair = r % D / 2, second = r % 2;
                from = head * D + second * D / 2 + pair;
            }
            for (int c = 0; c < columns; c++)
                put_float(b, (double)m->w[t->offset + (size_t)(from * columns + c)]);
        }
    }
}

static void put_sizes(Buf *b, const ModelConfig *c, int vocab) {
    const int sizes[] = {c->channels, c->inner, c->layers, c->heads,
                         c->kv_heads, vocab,    c->context};
    for (int i = 0; i < 7; i++) put_int(b, sizes[i]);
}

/* The bytes of a model, by the words of the other program's export.py: legacy_export for version
 * 0, version1_export for 1. */
static void put_model(Buf *b, const Model *m, int version) {
    static const TensorRole zero[] = {ROLE_WTE,    ROLE_LN1_G, ROLE_Q_W,   ROLE_K_W,
                                      ROLE_V_W,    ROLE_OUT_W, ROLE_LN2_G, ROLE_GATE_W,
                                      ROLE_PROJ_W, ROLE_UP_W,  ROLE_LNF_G},
                            one[] = {ROLE_LN1_G,  ROLE_LN2_G,  ROLE_LNF_G, ROLE_WTE,
                                     ROLE_Q_W,    ROLE_K_W,    ROLE_V_W,   ROLE_OUT_W,
                                     ROLE_GATE_W, ROLE_PROJ_W, ROLE_UP_W};
    const ModelConfig *c = &m->config;
    b->n = 0;
    if (version == 1) {
        buf_puts(b, "24ka");
        put_int(b, 1);
        put_sizes(b, c, c->vocab);
        buf_putc(b, (char)!c->untied);
        while (b->n < 256) buf_putc(b, 0);
    } else put_sizes(b, c, c->untied ? -c->vocab : c->vocab);
    for (int i = 0; i < 11; i++) put_role(b, m, version ? one[i] : zero[i]);
    for (int i = 0; version == 0 && i < c->context * c->head_size; i++) put_float(b, 7);
    put_role(b, m, ROLE_HEAD_W);
}

static char *store(const char *name, const Buf *b) {
    Error err = {0};
    char *path = path_join(folder, name);
    if (!file_write(path, b->s, b->n, &err)) exit(error_print(&err));
    return path;
}

static void refused(const char *what, const Buf *b, const char *word) {
    Error err = {0};
    char *path = store("model.bin", b);
    Model *m = llama2c_model(path, &err);
    CHECK(!m && err.status == STATUS_DATA && strstr(err.text, word) && strstr(err.text, path),
          "%s: status %d, %s", what, err.status, err.text);
    model_free(m);
    free(path);
}

static void test_models(void) {
    for (int kind = 0; kind < 4; kind++) {
        int version = kind % 2;
        ModelConfig shape = {.layers = 2,
                             .heads = 4,
                             .channels = 24,
                             .context = 9,
                             .vocab = 13,
                             .family = FAMILY_LLAMA,
                             .kv_heads = 2,
                             .inner = 20,
                             .epsilon = 1e-5,
                             .untied = kind >= 2};
        Error err = {0};
        Buf b = {0};
        Model *m = model_new(shape, &err);
        model_initialize(m, 3);
        for (size_t i = 0; i < m->parameters; i++) m->w[i] = (real)(float)m->w[i];
        put_model(&b, m, version);
        char *path = store("model.bin", &b);
        Model *read = llama2c_model(path, &err);
        CHECK(read && read->parameters == m->parameters && read->config.untied == shape.untied &&
                  read->config.epsilon == 1e-5 && read->config.theta == 10000 &&
                  read->config.context == 9 &&
                  memcmp(read->w, m->w, m->parameters * sizeof(real)) == 0,
              "version %d, untied %d: %s", version, shape.untied, err.text);
        model_free(read);
        b.n--;
        refused("a byte less", &b, "its size");
        b.n++;
        buf_putc(&b, 0);
        refused("a byte more", &b, "its size");
        b.n--;
        memcpy(b.s + 300, "\0\0\xc0\x7f", 4);
        refused("not a number", &b, "not finite");
        if (version) b.s[4] = 2;
        else b.s[3] = 127;
        refused("a header of something else", &b, version ? "version" : "llama2.c");
        b.n = 100;
        refused("a short file", &b, "too short");
        unlink(path);
        free(path);
        buf_free(&b);
        model_free(m);
    }
}

/* ---- the tokenizer ---- */

static void put_token(Buf *b, double score, const char *text) {
    put_float(b, score);
    put_int(b, (int)strlen(text));
    buf_puts(b, text);
}

/* Bytes, then the pieces. Scores fall with the id by `step`: by 1 as they are trained. */
static int put_tokens(Buf *b, const char *const *pieces, double step) {
    int n = 0;
    put_int(b, 4);
    put_token(b, 0, "<unk>");
    put_token(b, 0, "\n<s>\n");
    put_token(b, 0, "\n</s>\n");
    for (int i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        put_token(b, 0, text);
    }
    for (; pieces[n]; n++) put_token(b, -n * step, pieces[n]);
    return 259 + n;
}

static void test_tokenizer(void) {
    static const char *const pieces[] = {" a", "ab", " ab", " ", "a", "b", "\"", NULL};
    /* By score: " a" from " " and "a"; "ab"; then " ab", first from the left part of lower id. */
    static const char merges[] = "\"merges\":[\n[\"\xe2\x96\x81\",\"a\"],\n[\"a\",\"b\"],\n"
                                 "[\"\xe2\x96\x81"
                                 "a\",\"b\"],\n[\"\xe2\x96\x81\",\"ab\"]]";
    Error err = {0};
    Buf b = {0}, json = {0};
    Arena arena = {0};
    int n = put_tokens(&b, pieces, 1);
    char *path = store("tokens.bin", &b);
    CHECK(llama2c_tokenizer(path, n, &json, &err), "%s", err.text);
    CHECK(strstr(json.s, merges), "%s", json.s);
    const Json *root = json_parse(&arena, json.s, json.n, NULL),
               *vocab = json_get(json_get(root, "model"), "vocab");
    CHECK(vocab && vocab->count == n, "%d tokens", vocab ? vocab->count : -1);
    CHECK(json_number(vocab, "<s>") == 1 && json_number(vocab, "<0x0A>") == 13 &&
              json_number(vocab, "\xe2\x96\x81"
                                 "ab") == 261 &&
              json_number(vocab, "\"") == 265,
          "ids");
    static const struct {
        int more;
        const char *word;
    } cases[] = {{1, "is not whole"}, {-1, "more than the model's"}, {-100, "fewer than"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err = (Error){0};
        CHECK(!llama2c_tokenizer(path, n + cases[i].more, &json, &err) &&
                  err.status == STATUS_DATA && strstr(err.text, cases[i].word),
              "%s: %s", cases[i].word, err.text);
    }
    static const char *const twice[] = {"a", "a", NULL}, *const broken[] = {"\xff", NULL},
                             *const empty[] = {"", NULL};
    const char *const *const bad[] = {twice, broken, empty};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (Error){0};
        b.n = 0;
        n = put_tokens(&b, bad[i], 1);
        free(store("tokens.bin", &b));
        CHECK(!llama2c_tokenizer(path, n, &json, &err) && strstr(err.text, "there twice"), "%s",
              err.text);
    }
    unlink(path);
    free(path);
    buf_free(&b);
    buf_free(&json);
    arena_free(&arena);
}

/* Of equal scores the piece of the lower id comes first, then the left part of the lower id. A
 * score that is not a number is refused, and a length that no token has. */
static void test_scores(void) {
    static const char *const pieces[] = {"a", "b", "c", "bc", "ab", "abc", NULL}, *const one[] = {
                                                                                      "a", NULL};
    static const char merges[] = "\"merges\":[\n[\"b\",\"c\"],\n[\"a\",\"b\"],\n"
                                 "[\"a\",\"bc\"],\n[\"ab\",\"c\"]]";
    Error err = {0};
    Buf b = {0}, json = {0};
    int n = put_tokens(&b, pieces, 0);
    char *path = store("tokens.bin", &b);
    CHECK(llama2c_tokenizer(path, n, &json, &err) && strstr(json.s, merges), "%s %s", err.text,
          json.s);
    for (int bad = 0; bad < 4; bad++) {
        b.n = 0;
        n = put_tokens(&b, one, 1);
        b.n -= 9; /* the last token */
        put_float(&b, bad == 0 ? NAN : bad == 1 ? INFINITY : 0);
        put_int(&b, bad < 2 ? 1 : bad == 2 ? -1 : 5000);
        for (int i = 0; i < (bad < 3 ? 1 : 5000); i++) buf_putc(&b, 'a');
        free(store("tokens.bin", &b));
        err = (Error){0};
        CHECK(!llama2c_tokenizer(path, n, &json, &err) && err.status == STATUS_DATA &&
                  strstr(err.text, bad < 2 ? "token 259 is empty" : "token 259 is not whole"),
              "case %d: %s", bad, err.text);
    }
    unlink(path);
    free(path);
    buf_free(&b);
    buf_free(&json);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_llama2c.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    test_models();
    test_tokenizer();
    test_scores();
    CHECK(rmdir(folder) == 0, "something is left in %s", folder);
    return check_report("test_llama2c");
}
