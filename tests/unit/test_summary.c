/* summary: examples and sessions have the right tokens and weights, and the summary of a file has
 * the right numbers. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/examples.h"
#include "data/sessions.h"
#include "lib/file.h"
#include "lib/json.h"
#include "tests/unit/check.h"

static char folder[512], file[600];

/* A model whose tokens are the four special ones and 256 bytes: a character is a token. */
static bool new_folder(ModelFolder *f, int context) {
    Error err = {0};
    Str text = str("x");
    *f = (ModelFolder){0};
    f->tokenizer = tokenizer_train(&text, 1, 260, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err);
    f->model = model_new(
        (ModelConfig){.layers = 1, .heads = 1, .channels = 8, .context = context, .vocab = 260},
        &err);
    f->template = TEMPLATE_RECIPE;
    f->bos = mem_new(1, sizeof *f->bos);
    f->bos[0] = tokenizer_special(f->tokenizer, "<bos>");
    f->bos_n = 1;
    return err.status == 0;
}

static void free_folder(ModelFolder *f) {
    tokenizer_free(f->tokenizer);
    model_free(f->model);
    free(f->bos);
}

static void write_text(const char *text) {
    Error err = {0};
    if (file_write(file, text, strlen(text), &err)) return;
    error_print(&err);
    exit(4);
}

/* Appends tokens as text. */
static void put_tokens(const ModelFolder *f, const int *ids, int n, Buf *b) {
    tokenizer_decode(f->tokenizer, ids, n, b);
}

/* Reads the file as a pool. */
static bool read_pool(Splits *x, const ModelFolder *f, const char *text, bool pairs, bool truncate,
                      Error *err) {
    SplitFiles files = {.pool = file, .pairs = pairs, .truncate = truncate};
    *err = (Error){0};
    write_text(text);
    return splits_read(x, f, &files, err);
}

/* ---- examples ---- */

/* The first example as "prompt|answer" or "prompt|chosen|rejected". */
static void check_example(const char *text, bool pairs, const char *wanted) {
    ModelFolder f;
    Splits x;
    Error err = {0};
    Buf b = {0};
    if (!new_folder(&f, 100) || !read_pool(&x, &f, text, pairs, false, &err)) {
        CHECK(false, "%s: %s", text, err.text);
        return;
    }
    const Example *e = &x.pool.examples.items[0];
    put_tokens(&f, e->prompt, e->prompt_n, &b);
    buf_puts(&b, "|");
    put_tokens(&f, e->answer, e->answer_n, &b);
    if (pairs) buf_puts(&b, "|");
    if (pairs) put_tokens(&f, e->rejected, e->rejected_n, &b);
    CHECK(strcmp(b.s, wanted) == 0, "%s\n    %s", text, b.s);
    buf_free(&b);
    splits_free(&x);
    free_folder(&f);
}

#define USER(x) "{\"role\":\"user\",\"content\":\"" x "\"}"
#define SAYS(x) "{\"role\":\"assistant\",\"content\":\"" x "\"}"

/* A conversation teaches the same in each form. */
static void test_turns(void) {
    static const char wanted[] = "<q>1<a> 2<e><q>3<a>| c<e>";
    check_example("{\"messages\":[" USER("1") "," SAYS("2") "," USER("3") "," SAYS("c") "]}", false,
                  wanted);
    check_example("{\"prompt\":[" USER("1") "," SAYS("2") "," USER("3") "],\"completion\":\"c\"}",
                  false, wanted);
    check_example("{\"prompt\":[" USER("1") "," SAYS("2") "," USER("3") "],\"chosen\":\"c\","
                                                                        "\"rejected\":\"r\"}",
                  false, wanted);
    check_example("{\"prompt\":[" USER("1") "," SAYS("2") "," USER("3") "],\"chosen\":\"c\","
                                                                        "\"rejected\":\"r\"}",
                  true, "<q>1<a> 2<e><q>3<a>| c<e>| r<e>");
}

static void check_ids(const char *text, int prompt_n, int answer_n) {
    ModelFolder f;
    Splits x;
    Error err = {0};
    if (!new_folder(&f, 100) || !read_pool(&x, &f, text, false, false, &err)) {
        CHECK(false, "%s: %s", text, err.text);
        return;
    }
    const Example *e = &x.pool.examples.items[0];
    CHECK(e->prompt_n == prompt_n && e->answer_n == answer_n, "%s: %d + %d", text, e->prompt_n,
          e->answer_n);
    CHECK(e->answer[0] == 10 + prompt_n, "%s: the answer begins with %d", text, e->answer[0]);
    splits_free(&x);
    free_folder(&f);
}

static void test_ids(void) {
    static const char inside[] = "{\"input_ids\":[10,11,12,13],\"labels\":[-100,11,-100,13]}";
    check_ids("{\"input_ids\":[10,11,12,13]}", 1, 3);
    check_ids("{\"input_ids\":[10,11,12,13],\"labels\":[10,11,12,13]}", 1, 3);
    check_ids("{\"input_ids\":[10,11,12,13],\"labels\":[-100,-100,12,13]}", 2, 2);
    /* What comes after the last label is seen by nothing that is trained. */
    check_ids("{\"input_ids\":[10,11,12,13],\"labels\":[-100,11,12,-100]}", 1, 2);
    check_ids("{\"input_ids\":[10,11,12,999,999],\"attention_mask\":[1,1,1,0,0]}", 1, 2);
    ModelFolder f;
    Splits x;
    Error err;
    new_folder(&f, 100);
    CHECK(!read_pool(&x, &f, inside, false, false, &err) && err.status == STATUS_DATA &&
              strstr(err.text, "item 3: is -100 inside the answer"),
          "status %d, %s", err.status, err.text);
    free_folder(&f);
}

/* ---- sessions ---- */

/* The sum of the weights of all predicted tokens. */
static double session_weight(const char *text, DataSummary *summary) {
    ModelFolder f;
    Sessions s = {0};
    Error err = {0};
    Batch b = {0};
    const char *files[] = {file};
    SessionOptions o = {.prompt_loss_weight = 0, .batch_tokens = 1000};
    double total = -1;
    write_text(text);
    new_folder(&f, 10);
    if (sessions_read(&s, &f, files, 1, &o, &err)) total = sessions_batch(&s, 0, &b);
    else CHECK(false, "%s: %s", text, err.text);
    *summary = s.summary[0];
    batch_free(&b);
    sessions_free(&s);
    free_folder(&f);
    return total;
}

static void test_sessions(void) {
    static const char weights[] =
        "{\"messages\":[" USER("1") ",{\"role\":\"assistant\","
                                    "\"content\":\"2\",\"weight\":0}," USER("3") "," SAYS("4") "]}";
    DataSummary s;
    /* <bos> <q>1<a> 2<e> <q>3<a> 4<e>: 13 tokens; " 2" and " 4" are two tokens each. */
    double total = session_weight("{\"messages\":[" USER("1") "," SAYS("2") "]}", &s);
    CHECK(total == 3, "one answer weighs %g", total);
    CHECK(s.answers == 1 && s.context == 0 && s.longest == 7 && s.cut == 0, "%d answers, %d others",
          s.answers, s.context);
    /* The context of 10 leaves 11 tokens: " " of the last answer. */
    total = session_weight(weights, &s);
    CHECK(total == 1, "weight 0 still weighs: %g", total);
    CHECK(s.answers == 1 && s.context == 1 && s.cut == 1 && s.cut_tokens == 2 && s.longest == 13,
          "%d answers, %d others, %d cut by %ld, longest %d", s.answers, s.context, s.cut,
          s.cut_tokens, s.longest);
}

/* ---- the summary ---- */

static void test_summary(void) {
    Buf text = {0}, json = {0};
    ModelFolder f;
    Splits x;
    Error err;
    for (int i = 0; i < 20; i++) /* rows of 7 + i tokens, and two copies */
        buf_printf(&text, "{\"prompt\":\"p\",\"completion\":\"%.*s\"%s}\n", i + 1,
                   "abcdefghijklmnopqrstuvwxyz", i % 4 ? "" : ",\"topic\":1,\"weight\":2");
    buf_puts(&text,
             "{\"question\":\"p\",\"answer\":\"a\"}\n{\"prompt\":\"p\",\"response\":\"a\"}\n");
    new_folder(&f, 20); /* keeps 21 tokens: five rows are cut, by 1 to 5 */
    if (read_pool(&x, &f, text.s, false, true, &err)) {
        DataSummary *s = &x.pool.summary;
        CHECK(s->records == 22 && s->distinct == 20, "%d distinct", s->distinct);
        CHECK(s->forms[FORM_PROMPT_COMPLETION] == 20 && s->forms[FORM_QUESTION_ANSWER] == 1 &&
                  s->forms[FORM_PROMPT_RESPONSE] == 1,
              "wrong forms");
        /* lengths 7, 7, 7, 8, ..., 26: ranks 11 and 21 of 22 */
        CHECK(s->median == 15 && s->p95 == 25 && s->longest == 26, "%d %d %d", s->median, s->p95,
              s->longest);
        CHECK(s->cut == 5 && s->cut_tokens == 15, "%d cut by %ld", s->cut, s->cut_tokens);
        summary_ignore_weights(s);
        buf_puts(&json, "{");
        summary_put(&json, s);
        CHECK(strstr(json.s, "\"ignored\":{\"topic\":5,\"weight\":5}"), "%s", json.s);
        CHECK(s->same_ids == 0 && !strstr(json.s, "same_ids"), "ids of their own: %s", json.s);
        splits_free(&x);
    } else CHECK(false, "%s", err.text);
    /* Two files that were put together have their ids twice. */
    text.n = 0;
    for (int i = 0; i < 6; i++)
        buf_printf(&text, "{\"id\":%d,\"prompt\":\"p%d\",\"completion\":\"a\"}\n", i % 4, i);
    if (read_pool(&x, &f, text.s, false, true, &err)) {
        json.n = 0;
        summary_tell(&json, &x.pool.summary, "pool");
        CHECK(strstr(json.s,
                     "WARNING: 2 records have an id that an earlier one has, the first \"0\""),
              "%s", json.s);
        json.n = 0;
        buf_puts(&json, "{");
        summary_put(&json, &x.pool.summary);
        CHECK(strstr(json.s, "\"same_ids\":2"), "%s", json.s);
        splits_free(&x);
    } else CHECK(false, "%s", err.text);
    free_folder(&f);
    buf_free(&text);
    buf_free(&json);
}

/* What run.json has of a file: of the forms those that it has. */
static void test_written(void) {
    DataSummary s = {.path = "pool.jsonl", .records = 5, .distinct = 4};
    Arena arena = {0};
    Buf b = {0};
    s.forms[1] = 2;
    s.forms[FORM_COUNT - 1] = 3;
    buf_puts(&b, "{");
    summary_put(&b, &s);
    buf_puts(&b, "}");
    const Json *root = json_parse(&arena, b.s, b.n, NULL), *forms = json_get(root, "forms");
    CHECK(json_number(root, "records") == 5 && json_number(root, "distinct") == 4, "%s", b.s);
    CHECK(forms && forms->count == 2 && json_number(forms, RECORD_FORMS[1].name) == 2 &&
              json_number(forms, RECORD_FORMS[FORM_COUNT - 1].name) == 3,
          "forms: %s", b.s);
    buf_free(&b);
    arena_free(&arena);
}

static void told(const DataSummary *s, const char *want) {
    Buf b = {0};
    summary_tell(&b, s, "pool");
    CHECK(strcmp(b.s ? b.s : "", want) == 0, "got\n%s\nwanted\n%s", b.s ? b.s : "", want);
    buf_free(&b);
}

/* Every part of what people read, by itself and beside the others. */
static void test_told(void) {
    DataSummary s = {.path = "p.jsonl", .records = 9, .distinct = 7};
    told(&(DataSummary){.path = "p.jsonl"}, "");
    s.forms[FORM_PROMPT_COMPLETION] = 4;
    s.forms[FORM_TEXT] = 5;
    s.answers = 4;
    s.context = 2;
    s.unread = 3;
    s.rows = 9;
    s.median = 5;
    s.p95 = 8;
    s.longest = 9;
    s.cut = 2;
    s.cut_tokens = 7;
    s.dropped = 1;
    s.too_long = 1;
    s.copies = 2;
    s.overlap = 3;
    s.validation = 4;
    s.ignored[0] = (IgnoredKey){.name = "topic", .records = 2};
    s.n_ignored = 1;
    s.weights = 6;
    summary_ignore_weights(&s);
#define FORMS "pool p.jsonl: 9 records (prompt/completion 4, text 5), "
#define ROWS "  tokens of a row: median 5, 95 % at most 8, longest 9; "
    told(&s, FORMS
         "7 distinct: 2 are copies\n  every token of 5 texts\n  4 answers count, the last of each "
         "record; 2 others are context; 3 rejected answers are not read\n" ROWS
         "2 rows cut by 7 tokens, 1 dropped: fewer than 2 tokens\n  left out: 1 longer than the "
         "context, 2 copies of earlier ones, 3 also in another file\n  held out for validation: 4 "
         "records\n  keys not read: topic (2 records), weight (6 records)\n");
    s.distinct = 9;
    s.context = s.unread = s.cut = s.dropped = s.too_long = s.copies = s.validation = 0;
    s.use = SUMMARY_PAIRS;
    s.n_ignored = 1;
    told(&s, FORMS "all distinct\n  every token of 5 texts\n  4 answers count, chosen and "
                   "rejected\n" ROWS "none cut, none dropped\n  left out: 3 also in another file\n"
                   "  keys not read: topic (2 records)\n");
    s.overlap = s.n_ignored = s.answers = s.rows = 0;
    told(&s, FORMS "all distinct\n  every token of 5 texts\n");
    s.forms[FORM_TEXT] = 0;
    s.forms[FORM_PROMPT_COMPLETION] = 9;
    s.answers = 9;
    s.use = SUMMARY_EVERY_ANSWER;
    told(&s, "pool p.jsonl: 9 records (prompt/completion), all distinct\n  9 answers count\n");
    s.use = SUMMARY_TEXTS;
    told(&s, "pool p.jsonl: 9 records (prompt/completion), all distinct\n");
}

/* Keys that are not read: of two files together, and those beyond the table share its last row. */
static void test_ignored(void) {
    DataSummary s = {0};
    Buf text = {0};
    Error err = {0};
    Dataset d[2];
    for (int i = 0; i < RECORD_MAX_IGNORED; i++)
        buf_printf(&text, "{\"prompt\":\"p\",\"completion\":\"a\",\"k%d\":1}\n", i);
    write_text(text.s);
    CHECK(records_load(&d[0], file, &err), "%s", err.text);
    write_text("{\"prompt\":\"p\",\"completion\":\"a\",\"k0\":1,\"new\":1}\n"
               "{\"prompt\":\"p\",\"completion\":\"a\",\"new\":1}\n");
    CHECK(records_load(&d[1], file, &err), "%s", err.text);
    for (int i = 0; i < 2; i++) summary_add(&s, &d[i], SUMMARY_LAST_ANSWERS);
    summary_end(&s);
    CHECK(s.n_ignored == RECORD_MAX_IGNORED, "%d rows", s.n_ignored);
    CHECK(strcmp(s.ignored[0].name, "k0") == 0 && s.ignored[0].records == 2, "%s %d",
          s.ignored[0].name, s.ignored[0].records);
    CHECK(s.ignored[1].records == 1 && s.ignored[RECORD_MAX_IGNORED - 1].records == 3,
          "%d records in the last row", s.ignored[RECORD_MAX_IGNORED - 1].records);
    for (int i = 0; i < 2; i++) records_free(&d[i]);
    buf_free(&text);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ica-summary-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make a folder like %s\n", folder);
        return 1;
    }
    snprintf(file, sizeof file, "%s/data", folder);
    test_turns();
    test_ids();
    test_sessions();
    test_summary();
    test_written();
    test_told();
    test_ignored();
    unlink(file);
    rmdir(folder);
    return check_report("test_summary");
}
