/* Records into examples: an answer that already ends in the end token's text. */
#define _POSIX_C_SOURCE 200809L
#include "data/examples.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/sessions.h"
#include "lib/file.h"
#include "tests/unit/check.h"

static char folder[256];
static const Template CHAT = {.bos = "",
                              .prompt_prefix = "<|u|>",
                              .answer_prefix = "<|end|>\n",
                              .example_end = "<|end|>\n"},
                      WORDS = {.bos = "<|u|>",
                               .prompt_prefix = "",
                               .answer_prefix = "\n",
                               .example_end = "\n\n"};

static char *put_file(const char *name, const char *text) {
    Error err = {0};
    char *path = path_join(folder, name);
    if (!file_write(path, text, strlen(text), &err)) exit(error_print(&err));
    return path;
}

/* A model and a tokenizer with the tokens of both templates. The template is the caller's. */
static ModelFolder make_folder(const Template *template) {
    static const char *const specials[] = {"<|u|>", "<|end|>"};
    Error err = {0};
    Str text = str("low lower lowest");
    ModelFolder f = {.tokenizer = tokenizer_train(&text, 1, 270, specials, 2, NULL, &err),
                     .template = *template};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 64, .vocab = 270};
    f.model = model_new(shape, &err);
    if (!f.model) exit(error_print(&err));
    model_initialize(f.model, 1);
    return f;
}

static void free_folder(ModelFolder *f) {
    model_free(f->model);
    tokenizer_free(f->tokenizer);
}

static bool same_ids(const int *a, int a_n, const int *b, int b_n) {
    return a_n == b_n && memcmp(a, b, (size_t)a_n * sizeof *a) == 0;
}

/* The answer of record 0 must have the tokens of record 1's, or others. `ended` answers in all. */
static void check_answers(const ModelFolder *f, const char *pool, bool pairs, bool same, int ended,
                          const char *what) {
    Error err = {0};
    Splits x;
    char *path = put_file("pool.jsonl", pool);
    SplitFiles files = {.pool = path, .pairs = pairs};
    bool ok = splits_read(&x, f, &files, &err);
    CHECK(ok, "%s: %s", what, err.text);
    if (ok) {
        const Example *e = x.pool.examples.items;
        CHECK(x.pool.ended == ended, "%s: %d ended", what, x.pool.ended);
        CHECK(same_ids(e[0].answer, e[0].answer_n, e[1].answer, e[1].answer_n) == same, "%s", what);
        if (pairs)
            CHECK(same_ids(e[0].rejected, e[0].rejected_n, e[1].rejected, e[1].rejected_n) == same,
                  "%s: rejected", what);
        CHECK(same_ids(e[0].prompt, e[0].prompt_n, e[1].prompt, e[1].prompt_n) == same,
              "%s: earlier turns", what);
        splits_free(&x);
    }
    free(path);
}

#define PROMPT "{\"prompt\":\"low ?\",\"completion\":"
#define TURNS "{\"messages\":[{\"role\":\"user\",\"content\":\"low\"},{\"role\":\"assistant\","
#define MORE "},{\"role\":\"user\",\"content\":\"?\"},{\"role\":\"assistant\",\"content\":"

static void test_answers(void) {
    ModelFolder f = make_folder(&CHAT), words = make_folder(&WORDS);
    check_answers(&f, PROMPT "\"low<|end|>\\n\"}\n" PROMPT "\"low\"}\n", false, true, 1, "whole");
    check_answers(&f, PROMPT "\"low<|end|>\"}\n" PROMPT "\"low\"}\n", false, true, 1, "token");
    check_answers(&f, PROMPT "\"low \"}\n" PROMPT "\"low <|end|>\"}\n", false, true, 1, "blank");
    check_answers(&f,
                  "{\"prompt\":\"?\",\"chosen\":\"low<|end|>\",\"rejected\":\"new<|end|>\"}\n"
                  "{\"prompt\":\"?\",\"chosen\":\"low\",\"rejected\":\"new\"}\n",
                  true, true, 2, "pairs");
    check_answers(&f,
                  TURNS "\"content\":\"new<|end|>\"" MORE "\"low<|end|>\"}]}\n" TURNS
                        "\"content\":\"new\"" MORE "\"low\"}]}\n",
                  false, true, 2, "turns");
    /* there alone: elsewhere it is the answer's own text, and twice is once too often */
    const char *const others[] = {"\"<|end|>low\"", "\"low<|end|>\\n\\n\"", "\"low<|end|>.\"",
                                  "\"low<|u|>\"", "\"low\\n\""};
    for (int i = 0; i < 5; i++) {
        Buf pool = {0};
        buf_printf(&pool, PROMPT "%s}\n{\"prompt\":\"new ?\",\"completion\":\"low\"}\n", others[i]);
        check_answers(&f, pool.s, false, false, 0, others[i]);
        buf_free(&pool);
    }
    /* an end that is ordinary text is part of the answers that have it */
    check_answers(&words, PROMPT "\"low\\n\\n\"}\n{\"prompt\":\"new\",\"completion\":\"low\"}\n",
                  false, false, 0, "an end in words");
    free_folder(&f);
    free_folder(&words);
}

static void test_nothing_left(void) {
    ModelFolder f = make_folder(&CHAT);
    Error err = {0};
    Splits x;
    char *path = put_file("pool.jsonl", PROMPT "\"low\"}\n" PROMPT "\"<|end|>\"}\n");
    SplitFiles files = {.pool = path};
    bool ok = splits_read(&x, &f, &files, &err);
    CHECK(!ok && err.status == STATUS_DATA, "an answer without text was read");
    CHECK(strstr(err.text, "pool.jsonl:2: the answer is only the end token's text"), "%s",
          err.text);
    free(path);
    free_folder(&f);
}

/* The tokens of a session and of a text are those without the end's text. */
static void test_sessions(void) {
    ModelFolder f = make_folder(&CHAT);
    Error err = {0};
    SessionOptions o = {.batch_tokens = 512};
    const char *const text[2] = {TURNS "\"content\":\"new\"" MORE
                                       "\"low\"}]}\n{\"text\":\"lower\"}\n",
                                 TURNS "\"content\":\"new<|end|>\\n\"" MORE "\"low<|end|>\"}]}\n"
                                       "{\"text\":\"lower<|end|>\"}\n"};
    Sessions s[2] = {0};
    for (int i = 0; i < 2; i++) {
        const char *path = put_file("sessions.jsonl", text[i]);
        CHECK(sessions_read(&s[i], &f, &path, 1, &o, &err), "%s", err.text);
        CHECK(s[i].ended == (i ? 3 : 0), "%d ended", s[i].ended);
        free((char *)(uintptr_t)path);
    }
    CHECK(same_ids(s[0].token.v, s[0].token.n, s[1].token.v, s[1].token.n), "other tokens");
    for (int i = 0; i < 2; i++) sessions_free(&s[i]);
    free_folder(&f);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_examples.XXXXXX",
             base && strlen(base) < 200 ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    test_answers();
    test_nothing_left();
    test_sessions();
    const char *const names[] = {"pool.jsonl", "sessions.jsonl"};
    for (int i = 0; i < 2; i++) {
        char *path = path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
    return check_report("test_examples");
}
