/* Sessions: which tokens of a file become which rows, what each weighs, and which rows make a
 * batch. The tokenizer has a token for each byte and the recipe's four, so a row's text shows its
 * tokens. */
#define _POSIX_C_SOURCE 200809L
#include "data/sessions.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/check.h"

enum { VOCAB = 260, MOST = 6 };

typedef struct {
    const char *records;
    SessionOptions how;
    const char *row[MOST];    /* its text, or NULL after the last one */
    const char *weight[MOST]; /* a letter for each token: 0, h (.5) or 1 */
    int batches;
    int ended, copies, too_long;
    const char *error; /* what the message has, instead of rows */
} Case;

#define HALF                                                                                       \
    { .prompt_loss_weight = 0.5, .batch_tokens = 1000 }
#define SKIP                                                                                       \
    { .prompt_loss_weight = 0, .batch_tokens = 1000, .skip_long = true }
#define ONCE                                                                                       \
    { .prompt_loss_weight = 1, .batch_tokens = 1000, .drop_copies = true }

#define TURN(p, a) "{\"prompt\":\"" p "\",\"completion\":\"" a "\"}\n"
#define SAID(who, what) "{\"role\":\"" who "\",\"content\":\"" what "\"}"

/* The context is 15, so a row has at most 16 tokens. */
static const Case CASES[] = {
    {TURN("ab", "c"), HALF, {"<bos><q>ab<a> c<e>"}, {"hhhhh111"}, 1, 0, 0, 0, NULL},
    /* Every answer of a conversation is trained, but for one with the weight 0. */
    {"{\"messages\":[" SAID("user", "a") "," SAID("assistant", "b") "," SAID("user", "c") "," SAID(
         "assistant", "d") "]}\n",
     HALF,
     {"<bos><q>a<a> b<e><q>c<a> d<e>"},
     {"hhhh111hhh111"},
     1,
     0,
     0,
     0,
     NULL},
    {"{\"messages\":[" SAID("user", "a") ",{\"role\":\"assistant\",\"content\":\"b\",\"weight\":0}"
                                         "," SAID("user", "c") "," SAID("assistant", "d") "]}\n",
     HALF,
     {"<bos><q>a<a> b<e><q>c<a> d<e>"},
     {"hhhhhhhhhh111"},
     1,
     0,
     0,
     0,
     NULL},
    /* A row is cut after 16 tokens; with skip_long it is left out. */
    {TURN("abcdefghijk", "xyz"),
     HALF,
     {"<bos><q>abcdefghijk<a> x"},
     {"hhhhhhhhhhhhhh11"},
     1,
     0,
     0,
     0,
     NULL},
    {TURN("abcdefghijk", "xyz") TURN("a", "b"),
     SKIP,
     {"<bos><q>a<a> b<e>"},
     {"0000111"},
     1,
     0,
     0,
     1,
     NULL},
    {TURN("abcdefghij", "x"),
     SKIP,
     {"<bos><q>abcdefghij<a> x<e>"},
     {"0000000000000111"},
     1,
     0,
     0,
     0,
     NULL},
    /* The end token's text at the end of an answer is the token that the template adds. */
    {TURN("a", "b<e>"), HALF, {"<bos><q>a<a> b<e>"}, {"hhhh111"}, 1, 1, 0, 0, NULL},
    {TURN("a", "b") TURN("c", "d") TURN("a", "b"),
     ONCE,
     {"<bos><q>a<a> b<e>", "<bos><q>c<a> d<e>"},
     {"1111111", "1111111"},
     1,
     0,
     1,
     0,
     NULL},
    /* Texts are one stream. A row begins with the token that ended the one before. */
    {"{\"text\":\"abcdefghij\"}\n{\"text\":\"klmnopqrstu\"}\n",
     HALF,
     {"abcdefghij<e>klmno", "opqrstu<e>"},
     {"1111111111111111", "11111111"},
     1,
     0,
     0,
     0,
     NULL},
    /* A stream of 17 tokens leaves one token to predict, from the last of the row before. */
    {"{\"text\":\"abcdefghijklmnop\"}\n",
     HALF,
     {"abcdefghijklmnop", "p<e>"},
     {"1111111111111111", "11"},
     1,
     0,
     0,
     0,
     NULL},
    {"{\"input_ids\":[68,69,70,71],\"labels\":[-100,69,-100,71]}\n",
     HALF,
     {"abcd"},
     {"0101"},
     1,
     0,
     0,
     0,
     NULL},
    {"{\"input_ids\":[64]}\n{\"input_ids\":[259,258]}\n", HALF, {"?"}, {"11"}, 1, 0, 0, 0, NULL},
    {TURN("a", "b") "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n",
     HALF,
     {NULL},
     {NULL},
     0,
     0,
     0,
     0,
     ":2: a preference pair cannot be pretrained on"},
    {"{\"input_ids\":[1,259]}\n{\"input_ids\":[1,260]}\n",
     HALF,
     {NULL},
     {NULL},
     0,
     0,
     0,
     0,
     ":2: input_ids holds 260 and the vocabulary has 260 tokens"},
    {"{\"input_ids\":[1]}\n", HALF, {NULL}, {NULL}, 0, 0, 0, 0, "no tokens to train on"},
    {"{\"system\":\"s\",\"prompt\":\"a\",\"completion\":\"b\"}\n",
     HALF,
     {NULL},
     {NULL},
     0,
     0,
     0,
     0,
     ":1: "},
};

static ModelFolder new_folder(void) {
    Error err = {0};
    Str text = str("ab");
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 2, .context = 15, .vocab = VOCAB};
    ModelFolder f = {.model = model_new(shape, &err)};
    f.tokenizer = tokenizer_train(&text, 1, VOCAB, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err);
    CHECK(f.model && f.tokenizer &&
              template_named(&f.template, "recipe", (Str){NULL, 0}, f.tokenizer, &err),
          "%s", err.text);
    return f;
}

static void check_row(const ModelFolder *f, const Sessions *s, const Case *c, int r) {
    const real *weight = (const real *)(const void *)s->weight.s;
    Buf text = {0}, weights = {0};
    int from = s->start.v[r], end = s->start.v[r + 1];
    tokenizer_decode(f->tokenizer, s->token.v + from, end - from, &text);
    buf_putc(&text, 0);
    for (int i = from; i < end; i++)
        buf_putc(&weights, weight[i] >= 1 ? '1' : weight[i] > 0 ? 'h' : '0');
    buf_putc(&weights, 0);
    CHECK(c->row[r][0] == '?' || strcmp(text.s, c->row[r]) == 0, "%s row %d: %s", c->records, r,
          text.s);
    CHECK(strcmp(weights.s, c->weight[r]) == 0, "%s row %d: %s", c->records, r, weights.s);
    buf_free(&text);
    buf_free(&weights);
}

static void test_rows(const char *folder) {
    ModelFolder f = new_folder();
    char *path = path_join(folder, "s.jsonl");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const Case *c = &CASES[i];
        Sessions s = {0};
        Error err = {0};
        const char *file = path;
        int rows = 0;
        while (rows < MOST && c->row[rows]) rows++;
        CHECK(file_write(path, c->records, strlen(c->records), &err), "%s", err.text);
        bool ok = sessions_read(&s, &f, &file, 1, &c->how, &err);
        CHECK(ok == !c->error && (ok || strstr(err.text, c->error)), "%s: %s", c->records,
              err.text);
        if (!ok) CHECK(err.status == STATUS_DATA, "status %d", (int)err.status);
        if (ok) {
            CHECK(sessions_rows(&s) == rows && sessions_batches(&s) == c->batches,
                  "%s: %d rows, %d batches", c->records, sessions_rows(&s), sessions_batches(&s));
            CHECK(s.ended == c->ended && s.summary[0].copies == c->copies &&
                      s.summary[0].too_long == c->too_long && s.files == 1,
                  "%s: %d %d %d", c->records, s.ended, s.summary[0].copies, s.summary[0].too_long);
            for (int r = 0; r < rows && r < sessions_rows(&s); r++) check_row(&f, &s, c, r);
        }
        sessions_free(&s);
    }
    unlink(path);
    free(path);
    model_folder_free(&f);
}

/* Text of all files is one stream, and only sessions keep their order. */
static void test_files(const char *folder) {
    static const SessionOptions half = HALF;
    static const char *const texts[] = {"{\"text\":\"abc\"}\n", TURN("a", "b"),
                                        "{\"text\":\"def\"}\n", "{\"prompt\":"};
    ModelFolder f = new_folder();
    char *paths[4];
    Sessions s = {0};
    Error err = {0};
    for (int i = 0; i < 4; i++) {
        const char *const names[] = {"1", "2", "3", "4"};
        paths[i] = path_join(folder, names[i]);
        CHECK(file_write(paths[i], texts[i], strlen(texts[i]), &err), "%s", err.text);
    }
    CHECK(sessions_read(&s, &f, (const char *const *)paths, 3, &half, &err) && s.files == 3, "%s",
          err.text);
    CHECK(s.shuffle, "text is shuffled");
    static const Case both = {"three files",
                              HALF,
                              {"<bos><q>a<a> b<e>", "abc<e>def<e>"},
                              {"hhhh111", "11111111"},
                              1,
                              0,
                              0,
                              0,
                              NULL};
    CHECK(sessions_rows(&s) == 2, "%d rows", sessions_rows(&s));
    for (int r = 0; r < 2; r++) check_row(&f, &s, &both, r);
    sessions_free(&s);
    s = (Sessions){0};
    CHECK(sessions_read(&s, &f, (const char *const *)paths + 1, 1, &half, &err) && !s.shuffle,
          "sessions come in their order");
    sessions_free(&s);
    s = (Sessions){0};
    CHECK(!sessions_read(&s, &f, (const char *const *)paths + 2, 2, &half, &err) && s.files == 1 &&
              err.status == STATUS_DATA,
          "the second file is broken: %d files, %s", s.files, err.text);
    sessions_free(&s);
    for (int i = 0; i < 4; i++) {
        unlink(paths[i]);
        free(paths[i]);
    }
    model_folder_free(&f);
}

/* Rows of 3, 2, 5, 1, 4 inputs in batches of at most `most`: where each begins. */
static void test_batches(void) {
    static const int inputs[] = {3, 2, 5, 1, 4};
    static const struct {
        int most, n, begin[6];
    } cases[] = {{1, 5, {0, 1, 2, 3, 4, 5}}, {5, 3, {0, 2, 3, 5}}, {4, 5, {0, 1, 2, 3, 4, 5}},
                 {6, 3, {0, 2, 4, 5}},       {10, 2, {0, 3, 5}},   {15, 1, {0, 5}},
                 {14, 2, {0, 4, 5}},         {1000000, 1, {0, 5}}};
    Sessions s = {0};
    Batch b = {0};
    for (int r = 0; r < 5; r++) {
        for (int i = 0; i <= inputs[r]; i++) sessions_add(&s, r, 0.25 * (i + 1));
        sessions_end_row(&s, 100);
    }
    sessions_add(&s, 1, 1);
    sessions_end_row(&s, 100); /* one token predicts nothing: dropped */
    CHECK(sessions_rows(&s) == 5 && s.token.n == 20, "%d rows", sessions_rows(&s));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sessions_make_batches(&s, cases[i].most);
        bool same = sessions_batches(&s) == cases[i].n;
        for (int j = 0; same && j <= cases[i].n; j++) same = s.batch.v[j] == cases[i].begin[j];
        CHECK(same, "batches of %d tokens: %d", cases[i].most, sessions_batches(&s));
    }
    /* The first token of a row is not predicted: weights .5, .75, 1 and .5, .75. */
    sessions_make_batches(&s, 5);
    double total = sessions_batch(&s, 0, &b);
    CHECK(total > 3.4999 && total < 3.5001 && b.rows == 2 && b.tokens == 5, "%g, %d rows", total,
          b.rows);
    total = sessions_batch(&s, 1, &b);
    CHECK(total > 4.9999 && total < 5.0001 && b.rows == 1 && b.tokens == 5, "%g, %d rows", total,
          b.rows);
    batch_free(&b);
    sessions_free(&s);
    Sessions none = {0};
    sessions_make_batches(&none, 5);
    CHECK(sessions_rows(&none) == 0 && sessions_batches(&none) == 0, "nothing has no batch");
    sessions_free(&none);
}

int main(void) {
    char folder[] = "/tmp/test_sessions.XXXXXX";
    if (!mkdtemp(folder)) return 1;
    test_rows(folder);
    test_files(folder);
    test_batches();
    rmdir(folder);
    return check_report("test_sessions");
}
