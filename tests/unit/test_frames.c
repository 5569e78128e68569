/* The frame of a candidate: the same with and without demonstrations, for every template, as turns
 * and as text, with a system turn that stands once, first. */
#define _POSIX_C_SOURCE 200809L
#include "data/examples.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/check.h"

static const char *const SPECIALS[] = {"<bos>",
                                       "<q>",
                                       "<a>",
                                       "<e>",
                                       "<|im_start|>",
                                       "<|im_end|>",
                                       "<|eot_id|>",
                                       "<think>",
                                       "</think>",
                                       "<|begin_of_text|>",
                                       "<|start_header_id|>",
                                       "<|end_header_id|>"};

static char pool[256], holdout[256], single[256], pair[256];

static void put_file(char *path, const char *text) {
    Error err = {0};
    const char *base = getenv("TMPDIR");
    snprintf(path, 256, "%s/test_frames.XXXXXX", base && strlen(base) < 200 ? base : "/tmp");
    int file = mkstemp(path);
    CHECK(file >= 0 && close(file) == 0 && file_write(path, text, strlen(text), &err), "%s",
          err.text);
}

/* A folder with a template, and a model that is only asked for its context. */
static ModelFolder new_folder(const char *name) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 2, .context = 900, .vocab = 300};
    Str text = str("low lower lowest");
    Tokenizer *t = tokenizer_train(&text, 1, 300, SPECIALS, 12, NULL, &err);
    CHECK(t, "%s", err.text);
    ModelFolder f = {.model = model_new(shape, &err), .tokenizer = t};
    CHECK(template_named(&f.template, name, (Str){NULL, 0}, t, &err), "%s", err.text);
    IntBuf ids = {0};
    template_start(&f.template, t, (Str){NULL, 0}, &ids);
    f.bos = ids.v;
    f.bos_n = ids.n;
    return f;
}

/* The row's text, with a bar before the answer. */
static void put_row(const ModelFolder *f, const Examples *set, const Query *q, Buf *out) {
    IntBuf ids = {0};
    int first = query_row(set, q, &ids);
    CHECK(query_length(set, q) == ids.n, "length %d of %d", query_length(set, q), ids.n);
    tokenizer_decode(f->tokenizer, ids.v, first, out);
    buf_putc(out, '|');
    tokenizer_decode(f->tokenizer, ids.v + first, ids.n - first, out);
    ints_free(&ids);
}

static void check_row(const ModelFolder *f, const Examples *set, const Query *q, const char *want) {
    Buf got = {0};
    put_row(f, set, q, &got);
    CHECK(strcmp(got.s, want) == 0, "%s, %d demonstrations:\ngot  %s\nwant %s", f->template.name,
          q->n_demos, got.s, want);
    buf_free(&got);
}

#define IM(role, text) "<|im_start|>" role "\n" text "<|im_end|>\n"
#define ASKED "<|im_start|>assistant\n"
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define L3(role, text) HEADER(role) text "<|eot_id|>"
#define TODAY "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
#define SMOL "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define TASK                                                                                       \
    "Below is an instruction that describes a task. Write a response that appropriately "          \
    "completes the request."
#define TOLD "P\nQ\n\nA\nB\n\n"
#define TOLD_BLANK "P\n Q\n\nA\n B\n\n" /* an answer carries its blank */
#define NO_THOUGHT "<think>\n\n</think>\n\n"

/* The pool's first record is "x" to "y", the demonstrations are "P" to "Q" and "A" to "B". */
static const struct {
    const char *name, *alone, *turns, *text;
} ROWS[] = {
    {"recipe", "<bos><q>x<a>| y<e>", "<bos><q>P<a> Q<e><q>A<a> B<e><q>x<a>| y<e>",
     "<bos><q>" TOLD_BLANK "x<a>| y<e>"},
    {"plain", "x\n|y<e>", "P\nQ<e>A\nB<e>x\n|y<e>", TOLD "x\n|y<e>"},
    {"chatml", IM("user", "x") ASKED "|y<|im_end|>",
     IM("user", "P") IM("assistant", "Q") IM("user", "A") IM("assistant", "B") IM("user", "x") ASKED
     "|y<|im_end|>",
     IM("user", TOLD "x") ASKED "|y<|im_end|>"},
    {"smollm2", IM("system", SMOL) IM("user", "x") ASKED "|y<|im_end|>",
     IM("system", SMOL) IM("user", "P") IM("assistant", "Q") IM("user", "A") IM("assistant", "B")
         IM("user", "x") ASKED "|y<|im_end|>",
     IM("system", SMOL) IM("user", TOLD "x") ASKED "|y<|im_end|>"},
    {"qwen2.5", IM("system", QWEN) IM("user", "x") ASKED "|y<|im_end|>",
     IM("system", QWEN) IM("user", "P") IM("assistant", "Q") IM("user", "A") IM("assistant", "B")
         IM("user", "x") ASKED "|y<|im_end|>",
     IM("system", QWEN) IM("user", TOLD "x") ASKED "|y<|im_end|>"},
    /* demonstrations look as the candidate does: like a last turn */
    {"qwen3", IM("user", "x") ASKED NO_THOUGHT "|y<|im_end|>",
     IM("user", "P") IM("assistant", NO_THOUGHT "Q") IM("user", "A") IM("assistant", NO_THOUGHT "B")
         IM("user", "x") ASKED NO_THOUGHT "|y<|im_end|>",
     IM("user", TOLD "x") ASKED NO_THOUGHT "|y<|im_end|>"},
    {"llama3", "<|begin_of_text|>" L3("user", "x") HEADER("assistant") "|y<|eot_id|>",
     "<|begin_of_text|>" L3("user", "P") L3("assistant", "Q") L3("user", "A") L3("assistant", "B")
         L3("user", "x") HEADER("assistant") "|y<|eot_id|>",
     "<|begin_of_text|>" L3("user", TOLD "x") HEADER("assistant") "|y<|eot_id|>"},
    {"llama3.2",
     "<|begin_of_text|>" L3("system", TODAY) L3("user", "x") HEADER("assistant") "|y<|eot_id|>",
     "<|begin_of_text|>" L3("system", TODAY) L3("user", "P") L3("assistant", "Q") L3("user", "A")
         L3("assistant", "B") L3("user", "x") HEADER("assistant") "|y<|eot_id|>",
     "<|begin_of_text|>" L3("system", TODAY) L3("user", TOLD "x")
         HEADER("assistant") "|y<|eot_id|>"},
    {"zephyr", "<|user|>\nx<e>\n<|assistant|>\n|y<e>",
     "<|user|>\nP<e>\n<|assistant|>\nQ<e>\n<|user|>\nA<e>\n<|assistant|>\nB<e>\n<|user|>\nx<e>\n"
     "<|assistant|>\n|y<e>",
     "<|user|>\n" TOLD "x<e>\n<|assistant|>\n|y<e>"},
    {"alpaca", TASK "\n\n### Instruction:\nx\n\n### Response:\n|y<e>",
     TASK "\n\n### Instruction:\nP\n\n### Response:\nQ<e>\n\n### Instruction:\nA\n\n### Response:\n"
          "B<e>\n\n### Instruction:\nx\n\n### Response:\n|y<e>",
     TASK "\n\n### Instruction:\n" TOLD "x\n\n### Response:\n|y<e>"},
};
_Static_assert(sizeof ROWS / sizeof *ROWS == TEMPLATE_COUNT, "a row for each template");

static void test_rows(void) {
    for (int i = 0; i < TEMPLATE_COUNT; i++) {
        ModelFolder f = new_folder(ROWS[i].name);
        CHECK(strcmp(ROWS[i].name, TEMPLATES[i].name) == 0, "%s is not row %d", ROWS[i].name, i);
        for (int as = 0; as < DEMOS_AS_COUNT; as++) {
            Splits x;
            Error err = {0};
            SplitFiles files = {.pool = single, .holdout = pair, .demos_as = (DemosAs)as};
            CHECK(splits_read(&x, &f, &files, &err), "%s: %s", ROWS[i].name, err.text);
            const Example *item = x.holdout.examples.items;
            const Demo demos[2] = {{&item[0], &item[0]}, {&item[1], &item[1]}};
            Query q = {.x = x.pool.examples.items};
            check_row(&f, &x.pool.examples, &q, ROWS[i].alone);
            q.demos = demos;
            q.n_demos = 2;
            check_row(&f, &x.pool.examples, &q, as ? ROWS[i].text : ROWS[i].turns);
            splits_free(&x);
        }
        model_folder_free(&f);
    }
}

/* The pool's second record has a system turn and an earlier turn of its own; the second
 * demonstration has them too. The row shows the candidate's system turn, first, and no other. */
static void test_system_turn(void) {
    static const char *const want[DEMOS_AS_COUNT] = {
        IM("system", "be brief") IM("user", "P") IM("assistant", "Q") IM("user", "C")
            IM("assistant", "D") IM("user", "E") IM("assistant", "F") IM("user", "v")
                IM("assistant", "w") IM("user", "x") ASKED "|y<|im_end|>",
        IM("system", "be brief") IM("user", "P\nQ\n\nC\nD\n\nE\nF\n\nv") IM("assistant", "w")
            IM("user", "x") ASKED "|y<|im_end|>"};
    ModelFolder f = new_folder("qwen2.5");
    for (int as = 0; as < DEMOS_AS_COUNT; as++) {
        Splits x;
        Error err = {0};
        SplitFiles files = {.pool = pool, .holdout = holdout, .demos_as = (DemosAs)as};
        CHECK(splits_read(&x, &f, &files, &err), "%s", err.text);
        const Example *item = x.holdout.examples.items;
        const Demo demos[2] = {{&item[0], &item[0]}, {&item[2], &item[2]}};
        Query q = {.demos = demos, .n_demos = 2, .x = &x.pool.examples.items[1]};
        check_row(&f, &x.pool.examples, &q, want[as]);
        /* a prompt under another system turn is another prompt */
        CHECK(!same_prompt(&x.pool.examples.items[1], &x.pool.examples.items[2]), "the same");
        splits_free(&x);
    }
    model_folder_free(&f);
}

/* An answer that was cut to the context has no end token; as text all of it is told. Of a pair the
 * chosen answer is told. */
static void test_cut(void) {
    ModelFolder f = new_folder("chatml");
    Splits x;
    Error err = {0};
    SplitFiles files = {.pool = single, .holdout = pair, .demos_as = DEMOS_AS_TEXT};
    CHECK(splits_read(&x, &f, &files, &err), "%s", err.text);
    Example cut = x.holdout.examples.items[0];
    cut.answer_n--; /* without <|im_end|> */
    const Demo demo = {&cut, &cut};
    Query q = {.demos = &demo, .n_demos = 1, .x = x.pool.examples.items};
    check_row(&f, &x.pool.examples, &q, IM("user", "P\nQ\n\nx") ASKED "|y<|im_end|>");
    splits_free(&x);
    model_folder_free(&f);
}

/* A template without a system turn, and token ids whose user's turn nobody knows. */
static void test_refused(void) {
    ModelFolder f = new_folder("zephyr");
    Splits x;
    Error err = {0};
    char ids[256];
    const char *turn[] = {f.template.system_prefix, f.template.system_end};
    f.template.system_prefix = f.template.system_end = NULL;
    SplitFiles files = {.pool = pool};
    CHECK(!splits_read(&x, &f, &files, &err) && err.status == STATUS_DATA &&
              strstr(err.text, ":2: has a system turn, and the template has none"),
          "%s", err.text);
    put_file(ids, "{\"input_ids\": [1, 2, 3]}\n");
    err = (Error){0};
    files = (SplitFiles){.pool = ids, .demos_as = DEMOS_AS_TEXT};
    CHECK(!splits_read(&x, &f, &files, &err) && strstr(err.text, "--demos-as text needs"), "%s",
          err.text);
    unlink(ids);
    f.template.system_prefix = turn[0];
    f.template.system_end = turn[1];
    model_folder_free(&f);
}

int main(void) {
    put_file(single, "{\"prompt\": \"x\", \"completion\": \"y\"}\n");
    put_file(pair, "{\"prompt\": \"P\", \"completion\": \"Q\"}\n"
                   "{\"prompt\": \"A\", \"completion\": \"B\"}\n");
    put_file(pool, "{\"prompt\": \"x\", \"completion\": \"y\"}\n"
                   "{\"system\": \"be brief\", \"prompt\": [{\"role\": \"user\", \"content\": "
                   "\"v\"}, {\"role\": \"assistant\", \"content\": \"w\"}, {\"role\": \"user\", "
                   "\"content\": \"x\"}], \"completion\": \"y\"}\n"
                   "{\"prompt\": [{\"role\": \"user\", \"content\": \"v\"}, {\"role\": "
                   "\"assistant\", \"content\": \"w\"}, {\"role\": \"user\", \"content\": \"x\"}], "
                   "\"completion\": \"y\"}\n");
    put_file(holdout, "{\"prompt\": \"P\", \"completion\": \"Q\"}\n"
                      "{\"prompt\": \"A\", \"completion\": \"B\"}\n"
                      "{\"messages\": [{\"role\": \"system\", \"content\": \"be long\"}, "
                      "{\"role\": \"user\", \"content\": \"C\"}, {\"role\": \"assistant\", "
                      "\"content\": \"D\"}, {\"role\": \"user\", \"content\": \"E\"}, {\"role\": "
                      "\"assistant\", \"content\": \"F\"}]}\n");
    test_rows();
    test_system_turn();
    test_cut();
    test_refused();
    unlink(pool);
    unlink(holdout);
    unlink(single);
    unlink(pair);
    return check_report("frames");
}
