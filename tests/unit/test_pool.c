/* Pools in parts, and results that grow: the parts have the records of the whole; what is kept and
 * what is read twice; what an interrupted process leaves, in any state. */
#define _POSIX_C_SOURCE 200809L
#include "data/pool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/partial.h"
#include "data/scores.h"
#include "program/chunks.h"
#include "tests/unit/check.h"

static char folder[256];

static const char *put(const char *name, const char *text) {
    static char path[4][300];
    static int turn;
    Error err = {0};
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    if (!file_write(p, text, strlen(text), &err)) exit(error_print(&err));
    return p;
}

static ModelFolder make_folder(void) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 8, .vocab = 64};
    ModelFolder f = {.model = model_new(shape, &err)};
    if (!f.model) exit(error_print(&err));
    model_initialize(f.model, 1);
    return f;
}

/* Records n..n + count - 1: the last token is the record's number. Each third is corrupted. */
static void put_records(Buf *b, int n, int count) {
    static const char *const sources[] = {"typo", "swap"};
    for (int i = n; i < n + count; i++) {
        buf_printf(b, "{\"input_ids\":[1,2,%d],\"id\":\"r%d\"", i + 3, i);
        if (i % 3 == 0) buf_printf(b, ",\"clean\":false,\"source\":\"%s\"", sources[i % 2]);
        else buf_puts(b, ",\"clean\":true");
        buf_printf(b, "%s}\n", i == 1 ? ",\"topic\":1" : "");
    }
}

static void check_facts(const PoolFacts *x, int count) {
    CHECK(x->count == count, "%d facts", x->count);
    for (int i = 0; i < count && x->count == count; i++) {
        CHECK(x->answer_n[i] == 2 && x->clean[i] == (i % 3 != 0), "facts of %d", i);
        const char *source = i % 3 ? "" : i % 2 ? "swap" : "typo";
        CHECK((x->source[i] >= 0) == (i % 3 == 0), "the source of %d", i);
        if (x->source[i] >= 0) CHECK(str_is(x->names.v[x->source[i]], source), "its name, %d", i);
    }
}

/* Reads the files in blocks of so many bytes. */
static void check_pool(const ModelFolder *f, const char *const *paths, int files, size_t block,
                       int count) {
    Pool p;
    Error err = {0};
    const ExampleFile *part;
    PoolUse use = {.paths = paths, .files = files, .block = block};
    bool ok = pool_open(&p, f, &use, &err);
    CHECK(ok, "%zu: %s", block, err.text);
    if (!ok) return;
    check_facts(&p.facts, count);
    int at = 0, records = 0;
    while (pool_next(&p, &part, &err) && part)
        for (int i = 0; i < part->examples.count; i++, at++) {
            const Example *e = &part->examples.items[i];
            char id[16];
            snprintf(id, sizeof id, "r%d", at);
            CHECK(e->answer[e->answer_n - 1] == at + 3 && str_is(part->data.records[i].id, id),
                  "%zu: record %d", block, at);
        }
    CHECK(at == count && err.status == 0, "%zu: %d of %d records, %s", block, at, count, err.text);
    for (int i = 0; i < files; i++) {
        const DataSummary *s = &p.summary[i];
        records += s->records;
        CHECK(s->distinct == s->records && s->longest == 3 && s->rows == s->records &&
                  strcmp(s->path, paths[i]) == 0,
              "%zu: the summary of %s", block, s->path);
        CHECK(s->n_ignored == (i == 0), "%zu: %d keys not read", block, s->n_ignored);
        if (i == 0) CHECK(s->ignored[0].records == 1, "%zu: topic", block);
    }
    CHECK(records == count, "%zu: %d records in the summaries", block, records);
    PoolFacts tail = facts_part(&p.facts, 2, 3);
    CHECK(tail.count == 3 && tail.clean[1] == p.facts.clean[3], "a part of the facts");
    pool_free(&p);
}

static void test_parts(void) {
    Buf a = {0}, b = {0};
    put_records(&a, 0, 7);
    put_records(&b, 7, 6);
    ModelFolder f = make_folder();
    const char *paths[] = {put("a", a.s), put("b", b.s)};
    for (size_t block = 1; block < a.n + b.n + 9; block += 7) {
        check_pool(&f, paths, 1, block, 7);
        check_pool(&f, paths, 2, block, 13);
    }
    check_pool(&f, paths, 2, 0, 13);
    model_folder_free(&f);
    buf_free(&a);
    buf_free(&b);
}

static void refused(const ModelFolder *f, const PoolUse *use, int status, const char *says) {
    Pool p;
    Error err = {0};
    bool ok = pool_open(&p, f, use, &err);
    CHECK(!ok && err.status == status && strstr(err.text, says), "%d, %s: not %s", err.status,
          err.text, says);
    if (ok) pool_free(&p);
}

static void test_refusals(void) {
    ModelFolder f = make_folder();
    Buf a = {0};
    put_records(&a, 0, 6);
    const char *good = put("a", a.s),
               *bad = put("b", "{\"input_ids\":[1,2]}\n{\"input_ids\":[99,1]}\n"),
               *text = put("c", "{\"prompt\":\"x\",\"completion\":\"y\"}\n"), *none = "/dev/null/x";
    for (size_t block = 1; block < 2000; block += 400) {
        refused(&f, &(PoolUse){.paths = &bad, .files = 1, .block = block}, STATUS_DATA,
                "b:2: input_ids holds 99");
        refused(&f, &(PoolUse){.paths = (const char *[]){good, bad}, .files = 2, .block = block},
                STATUS_DATA, "b:2: input_ids holds 99");
        refused(&f, &(PoolUse){.paths = (const char *[]){good, text}, .files = 2, .block = block},
                STATUS_DATA, "c:1: input_ids and text records cannot be mixed");
        refused(&f, &(PoolUse){.paths = (const char *[]){good, none}, .files = 2, .block = block},
                STATUS_IO, "cannot open");
    }
    /* The holdout may have none of its records, whatever the block; or it may, if asked. */
    Splits others = {0};
    Error err = {0};
    const char *hold = put("h", "{\"input_ids\":[1,2,8]}\n");
    CHECK(splits_read(&others, &f, &(SplitFiles){.holdout = hold}, &err), "%s", err.text);
    PoolUse use = {.paths = &good, .files = 1, .others = &others};
    for (use.block = 1; use.block < 500; use.block += 100)
        refused(&f, &use, STATUS_DATA, "a:6 and ");
    use.how.allow_overlap = true;
    Pool p;
    CHECK(pool_open(&p, &f, &use, &err), "%s", err.text);
    if (err.status == 0) pool_free(&p);
    splits_free(&others);
    buf_free(&a);
    model_folder_free(&f);
}

/* Collects the last tokens of all answers, as text. */
static bool answers_of(Pool *p, Buf *b) {
    Error err = {0};
    const ExampleFile *part;
    b->n = 0;
    while (pool_next(p, &part, &err) && part)
        for (int i = 0; i < part->examples.count; i++) {
            const Example *e = &part->examples.items[i];
            buf_printf(b, "%d ", e->answer[e->answer_n - 1]);
        }
    return err.status == 0;
}

/* What is left out is left out in both passes, over blocks and files, and counted once. */
static void test_left_out(void) {
    ModelFolder f = make_folder();
    const char *paths[] = {
        put("a", "{\"input_ids\":[1,2,3]}\n{\"input_ids\":[1,2,4]}\n{\"input_ids\":[1,2,3]}\n"
                 "{\"input_ids\":[1,2,2,2,2,2,2,2,2,2,9]}\n{\"input_ids\":[1,2,5]}\n"),
        put("b", "{\"input_ids\":[1,2,5]}\n{\"input_ids\":[1,2,6]}\n{\"input_ids\":[1,2,4]}\n")};
    const char *hold = put("h", "{\"input_ids\":[1,2,6]}\n{\"input_ids\":[1,2,7]}\n");
    Buf left = {0};
    for (size_t block = 1; block < 300; block += 30) {
        Splits others;
        Error err = {0};
        Pool p;
        CHECK(splits_read(&others, &f, &(SplitFiles){.holdout = hold}, &err), "%s", err.text);
        PoolUse use = {.paths = paths, .files = 2, .block = block, .others = &others};
        use.how = (SplitFiles){.skip_long = true, .drop_copies = true, .drop_overlap = true};
        bool ok = pool_open(&p, &f, &use, &err);
        CHECK(ok && answers_of(&p, &left) && strcmp(left.s, "3 4 5 ") == 0, "%zu: %s, %s", block,
              ok ? left.s : "", err.text);
        if (ok) {
            const DataSummary *a = &p.summary[0], *b = &p.summary[1];
            CHECK(p.facts.count == 3 && a->too_long == 1 && a->copies == 1 && a->overlap == 0 &&
                      b->too_long == 0 && b->copies == 2 && b->overlap == 1,
                  "%zu: %d records; %d %d %d, %d %d %d", block, p.facts.count, a->too_long,
                  a->copies, a->overlap, b->too_long, b->copies, b->overlap);
            pool_free(&p);
        }
        /* Of a test the holdout gives way. */
        use.test = true;
        use.how.drop_copies = false;
        ok = pool_open(&p, &f, &use, &err);
        CHECK(ok && answers_of(&p, &left) && strcmp(left.s, "3 4 3 5 5 6 4 ") == 0 &&
                  others.holdout.data.count == 1 && others.holdout.examples.items[0].answer[1] == 7,
              "%zu: %s, %d left of the holdout, %s", block, ok ? left.s : "",
              others.holdout.data.count, err.text);
        if (ok) pool_free(&p);
        splits_free(&others);
    }
    /* Nothing is left. */
    Error err = {0};
    Splits others;
    const char *six = put("c", "{\"input_ids\":[1,2,6]}\n");
    CHECK(splits_read(&others, &f, &(SplitFiles){.holdout = hold}, &err), "%s", err.text);
    refused(&f,
            &(PoolUse){.paths = &six, .files = 1, .others = &others, .how = {.drop_overlap = true}},
            STATUS_DATA, "c: no record is left");
    splits_free(&others);
    CHECK(splits_read(&others, &f, &(SplitFiles){.holdout = six}, &err), "%s", err.text);
    refused(&f,
            &(PoolUse){.paths = (const char *[]){hold},
                       .files = 1,
                       .others = &others,
                       .how = {.drop_overlap = true},
                       .test = true},
            STATUS_DATA, "c: every record is in");
    splits_free(&others);
    buf_free(&left);
    model_folder_free(&f);
}

/* A file that is another one when it is read again. */
static void test_changed(void) {
    ModelFolder f = make_folder();
    Buf a = {0};
    put_records(&a, 0, 6);
    const char *path = put("a", a.s);
    Pool p;
    Error err = {0};
    const ExampleFile *part;
    CHECK(pool_open(&p, &f, &(PoolUse){.paths = &path, .files = 1, .block = 1}, &err), "%s",
          err.text);
    char *digit = strchr(a.s, '3');
    *digit = '4';
    put("a", a.s);
    while (pool_next(&p, &part, &err) && part) continue;
    CHECK(err.status == STATUS_DATA && strstr(err.text, "changed while it was read"), "%s",
          err.text);
    pool_free(&p);
    model_folder_free(&f);
    buf_free(&a);
}

/* ---- results that grow ---- */

typedef struct {
    int lines;
    Buf text;
} Seen;

static bool see(void *self, int i, Str line, Error *err) {
    Seen *s = self;
    (void)err;
    CHECK(i == s->lines, "line %d comes as %d", s->lines, i);
    s->lines++;
    buf_put(&s->text, line.s, line.n);
    buf_putc(&s->text, '|');
    return true;
}

static bool open_part(Partial *p, const char *value, PartialUse use, Error *err) {
    char out[300];
    Buf depends = {0};
    snprintf(out, sizeof out, "%s/out", folder);
    depends_put(&depends, "--k", value);
    *err = (Error){0};
    bool ok = partial_open(p, out, "score", &depends, use, err);
    buf_free(&depends);
    return ok;
}

/* Three records in two groups, and a fourth that no save has. */
static void grow(Partial *p) {
    Error err = {0};
    buf_puts(&p->lines, "{\"id\":\"1\"}\n{\"id\":\"2\"}\n");
    p->sum[0] = 0.1;
    CHECK(partial_save(p, 2, &err), "%s", err.text);
    buf_puts(&p->lines, "{\"id\":\"3\"}\n");
    p->sum[0] = 0.1 + 0.2;
    CHECK(partial_save(p, 3, &err), "%s", err.text);
    buf_puts(&p->lines, "{\"id\":\"4\"}\n");
}

/* The part file, cut after n bytes or with byte n changed, gives 0, 2 or 3 records, with the sums
 * of that time. */
static void check_left(const Buf *whole, size_t n, bool cut, size_t head, size_t first) {
    Partial p;
    Error err;
    Buf text = {0};
    Seen seen = {0};
    buf_put(&text, whole->s, cut ? n : whole->n);
    if (!cut) text.s[n] ^= 1;
    char path[300];
    snprintf(path, sizeof path, "%s/out.part", folder);
    err = (Error){0};
    if (!file_write(path, text.s, text.n, &err)) exit(error_print(&err));
    bool ok = open_part(&p, "3", PARTIAL_RESUME, &err);
    int wanted = n < first ? 0 : n < whole->n ? 2 : 3;
    if (!cut && n < head) CHECK(!ok || p.done == 0, "a first line damaged at %zu", n);
    else
        CHECK(ok && p.done == wanted, "%s %zu: %d records, not %d: %s", cut ? "cut" : "damaged", n,
              ok ? p.done : -1, wanted, err.text);
    if (ok) {
        double sum = p.done == 2 ? 0.1 : p.done == 3 ? 0.1 + 0.2 : 0;
        CHECK(!(p.sum[0] < sum) && !(p.sum[0] > sum), "%zu: the sum is %.17g", n, p.sum[0]);
        CHECK(partial_each(&p, see, &seen, &err) && seen.lines == p.done, "%d lines", seen.lines);
        partial_end(&p, true);
        CHECK(!file_exists(path), "the part file is left");
    }
    buf_free(&seen.text);
    buf_free(&text);
}

static void test_partial(void) {
    Partial p, second;
    Error err;
    Buf whole = {0};
    Seen seen = {0};
    char out[300], path[300];
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(path, sizeof path, "%s/out.part", folder);
    CHECK(open_part(&p, "3", PARTIAL_NEW, &err) && !file_exists(path), "%s", err.text);
    grow(&p);
    CHECK(partial_each(&p, see, &seen, &err) && seen.lines == 4 &&
              strcmp(seen.text.s, "{\"id\":\"1\"}|{\"id\":\"2\"}|{\"id\":\"3\"}|{\"id\":\"4\"}|") ==
                  0,
          "%s", seen.text.s);
    CHECK(!open_part(&second, "3", PARTIAL_NEW, &err) && err.status == STATUS_USAGE &&
              strstr(err.text, "--resume continues it"),
          "%s", err.text);
    err = (Error){0};
    CHECK(file_read(path, &whole, &err), "%s", err.text);
    CHECK(partial_write(&p, out, NULL, NULL, &err), "%s", err.text);
    partial_end(&p, false);
    CHECK(file_exists(path), "what is not complete is gone");
    CHECK(!open_part(&p, "4", PARTIAL_RESUME, &err) && err.status == STATUS_DATA &&
              strstr(err.text, "--k was 3 and is 4"),
          "%s", err.text);
    /* Continued: the file has what one process would have written. */
    CHECK(open_part(&p, "3", PARTIAL_RESUME, &err) && p.done == 3, "%s", err.text);
    buf_puts(&p.lines, "{\"id\":\"4\"}\n");
    seen.text.n = 0;
    seen.lines = 0;
    CHECK(partial_each(&p, see, &seen, &err) && seen.lines == 4, "%d lines", seen.lines);
    partial_end(&p, false);
    size_t head = (size_t)(strchr(whole.s, '\n') - whole.s) + 1;
    const char *mark = strstr(whole.s, "{\"records\":2");
    size_t first = (size_t)(strchr(mark, '\n') - whole.s) + 1;
    for (size_t n = 0; n <= whole.n; n++) check_left(&whole, n, true, head, first);
    for (size_t n = 0; n < whole.n; n++) check_left(&whole, n, false, head, first);
    put("out.part", "mine\n");
    CHECK(!open_part(&p, "3", PARTIAL_AGAIN, &err) && err.status == STATUS_USAGE &&
              !open_part(&p, "3", PARTIAL_RESUME, &err) && err.status == STATUS_USAGE,
          "another's file");
    put("out.part", "mine");
    CHECK(!open_part(&p, "3", PARTIAL_RESUME, &err) && err.status == STATUS_USAGE, "%s", err.text);
    buf_free(&seen.text);
    buf_free(&whole);
}

/* A power loss may leave zeros in place of the bytes: that is begun again. With one other byte, be
 * it the last one, it is another's file. */
static void test_zeros(void) {
    enum { MANY = 70000 }; /* more than one read */
    static const char zeros[MANY + 1];
    static const PartialUse uses[] = {PARTIAL_RESUME, PARTIAL_AGAIN};
    char path[300];
    Buf b = {0};
    Partial p;
    Error err = {0};
    snprintf(path, sizeof path, "%s/out.part", folder);
    for (int i = 0; i < 2; i++) {
        CHECK(file_write(path, zeros, MANY, &err), "%s", err.text);
        CHECK(open_part(&p, "3", uses[i], &err) && p.done == 0 && !file_exists(path), "zeros: %s",
              err.text);
        partial_end(&p, false);
        b.n = 0;
        buf_put(&b, zeros, MANY);
        buf_putc(&b, '1');
        CHECK(file_write(path, b.s, b.n, &err), "%s", err.text);
        CHECK(!open_part(&p, "3", uses[i], &err) && err.status == STATUS_USAGE && file_exists(path),
              "zeros and a 1: %d, %s", err.status, err.text);
    }
    buf_free(&b);
}

/* A line gets its weight after the score, whatever its id says. */
static void test_weights(void) {
    static const char *const lines[][2] = {
        {"{\"id\":\"1\",\"score\":-0.5,\"tokens\":2}",
         "{\"id\":\"1\",\"score\":-0.5,\"weight\":0.25,\"tokens\":2}"},
        {"{\"id\":\"a\\\",\\\"score\\\":1,b\",\"score\":null,\"tokens\":2}",
         "{\"id\":\"a\\\",\\\"score\\\":1,b\",\"score\":null,\"weight\":0.25,\"tokens\":2}"},
        {"{\"id\":\"\\\\\",\"score\":1e-9,\"logp\":1,\"tokens\":2}",
         "{\"id\":\"\\\\\",\"score\":1e-9,\"weight\":0.25,\"logp\":1,\"tokens\":2}"},
        {"{\"id\":\"\",\"score\":1,\"tokens\":2}",
         "{\"id\":\"\",\"score\":1,\"weight\":0.25,\"tokens\":2}"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        Buf b = {0};
        scores_put_weight(&b, str(lines[i][0]), 0.25, false);
        CHECK(strcmp(b.s, lines[i][1]) == 0, "%s", b.s);
        buf_free(&b);
    }
}

/* The chunks of a pool are cut by the tokens of a holdout record, its prompt and answer. */
static void test_mean_tokens(void) {
    Example items[2] = {{.prompt_n = 3, .answer_n = 2}, {.prompt_n = 6, .answer_n = 4}};
    Examples two = {.items = items, .count = 2}, none = {0};
    CHECK(mean_tokens(&two) == 7.5 && mean_tokens(&none) == 0, "%g tokens", mean_tokens(&two));
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ica-pool-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) return 1;
    test_parts();
    test_refusals();
    test_left_out();
    test_changed();
    test_partial();
    test_zeros();
    test_weights();
    static const char *const names[] = {"a", "b", "c", "h", "out", "out.part"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    if (rmdir(folder) != 0) CHECK(false, "%s is not empty", folder);
    test_mean_tokens();
    return check_report("test_pool");
}
