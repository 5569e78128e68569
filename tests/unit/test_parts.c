/* parts, keep: records that are left out, the part that is held out for validation, all bad records
 * in one message; and the best parameters of a run, whatever is on the disk. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/keep.h"
#include "data/scores.h"
#include "data/parts.h"
#include "lib/file.h"
#include "lib/tensors.h"
#include "tests/unit/check.h"

static char folder[] = "/tmp/test_parts.XXXXXX", pool[200], test[200], scores[200];

static void write_text(const char *path, const char *text) {
    Error err = {0};
    if (file_write(path, text, strlen(text), &err)) return;
    error_print(&err);
    exit(4);
}

/* Rows of ids and a model whose context is 4 tokens. */
static ModelFolder new_folder(void) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 4, .vocab = 50};
    return (ModelFolder){.model = model_new(shape, &err)};
}

/* Record i: input_ids [1 + prompt[i], 2, answers...] with `answers` answer tokens. */
static void put_record(Buf *b, int i, int prompt, int answer, int answers) {
    buf_printf(b, "{\"id\":\"r%d\",\"input_ids\":[%d,2", i, 1 + prompt);
    for (int t = 0; t < answers; t++) buf_printf(b, ",%d", answer);
    buf_puts(b, "],\"labels\":[-100,-100");
    for (int t = 0; t < answers; t++) buf_printf(b, ",%d", answer);
    buf_puts(b, "]}\n");
}

/* ---- what is left out ---- */

/* A line with a hash is of that text alone. */
static void check_hash(const Dataset *d) {
    double weight[2];
    ScoreColumns columns = {.weight = weight};
    Error err = {0};
    Buf b = {0};
    char line[2][80];
    for (int i = 0; i < 2; i++)
        snprintf(line[i], sizeof line[i], "{\"id\":\"%s\",\"weight\":%d,\"hash\":\"%016llx\"}\n",
                 d->records[i].id.s, i, (unsigned long long)d->records[i].hash);
    buf_printf(&b, "%s%s", line[0], line[1]);
    write_text(scores, b.s);
    CHECK(scores_read(scores, d, &columns, &err) && weight[0] == 0 && weight[1] == 1, "%s",
          err.text);
    b.n = 0;
    buf_printf(&b, "%s{\"id\":\"r4\",\"weight\":1,\"weight\":0}\n", line[0]);
    write_text(scores, b.s);
    CHECK(!scores_read(scores, d, &columns, &err) &&
              strstr(err.text, ":2: \"weight\" occurs twice"),
          "%s", err.text);
    err = (Error){0};
    memcpy(strstr(line[1], "hash") + 7, strstr(line[0], "hash") + 7, 16);
    b.n = 0;
    buf_printf(&b, "%s%s", line[0], line[1]);
    write_text(scores, b.s);
    CHECK(!scores_read(scores, d, &columns, &err) && strstr(err.text, ":2: ") &&
              strstr(err.text, "another text"),
          "%s", err.text);
    buf_free(&b);
}

static void test_left_out(void) {
    ModelFolder f = new_folder();
    Error err = {0};
    Buf b = {0};
    /* 0 stays, 1 is too long, 2 is a copy of 0, 3 is in the test, 4 stays */
    put_record(&b, 0, 0, 3, 2);
    put_record(&b, 1, 0, 3, 4);
    put_record(&b, 2, 0, 3, 2);
    put_record(&b, 3, 1, 4, 2);
    put_record(&b, 4, 2, 4, 2);
    write_text(pool, b.s);
    b.n = 0;
    put_record(&b, 0, 1, 4, 2);
    write_text(test, b.s);
    SplitFiles files = {.pool = pool, .eval = test};
    Splits x;
    CHECK(!splits_read(&x, &f, &files, &err) && strstr(err.text, ":2:"), "%s", err.text);
    files.skip_long = true;
    err = (Error){0};
    CHECK(!splits_read(&x, &f, &files, &err) && strstr(err.text, ":4 and"), "%s", err.text);
    files.drop_overlap = files.drop_copies = true;
    err = (Error){0};
    CHECK(splits_read(&x, &f, &files, &err), "%s", err.text);
    const Dataset *d = &x.pool.data;
    const DataSummary *s = &x.pool.summary;
    CHECK(d->count == 2 && x.pool.examples.count == 2 && d->gone == 3, "%d, %d gone", d->count,
          d->gone);
    CHECK(str_is(d->records[0].id, "r0") && d->records[0].gone == 0, "the first stays");
    CHECK(str_is(d->records[1].id, "r4") && d->records[1].gone == 3, "%d gone before the last",
          d->records[1].gone);
    CHECK(x.pool.examples.items[1].prompt[0] == 3, "items follow their records");
    CHECK(s->too_long == 1 && s->copies == 1 && s->overlap == 1 && s->records == 5,
          "%d too long, %d copies, %d elsewhere", s->too_long, s->copies, s->overlap);
    /* Scores of the whole file, and of what is left. */
    double score[2], weight[2];
    ScoreColumns columns = {.score = score, .weight = weight};
    write_text(scores, "{\"id\":\"r0\",\"weight\":0.5}\n{\"id\":\"r1\",\"weight\":9}\n"
                       "{\"id\":\"r2\",\"weight\":9}\n{\"id\":\"r3\",\"weight\":9}\n"
                       "{\"id\":\"r4\",\"weight\":0.25}\n");
    CHECK(scores_read(scores, d, &columns, &err) && weight[0] == 0.5 && weight[1] == 0.25,
          "scores of the whole file: %s", err.text);
    write_text(scores, "{\"id\":\"r0\",\"weight\":0.5}\n{\"id\":\"r4\",\"weight\":1}\n");
    CHECK(scores_read(scores, d, &columns, &err) && weight[1] == 1, "of what is left: %s",
          err.text);
    write_text(scores, "{\"id\":\"r0\",\"weight\":1}\n{\"id\":\"r1\",\"weight\":9}\n"
                       "{\"id\":\"r4\",\"weight\":1}\n");
    CHECK(!scores_read(scores, d, &columns, &err) && err.status == STATUS_DATA, "of another: %s",
          err.text);
    check_hash(d);
    splits_free(&x);
    buf_free(&b);
    model_folder_free(&f);
}

/* Of the records that are in both files the first is named, whatever their text. */
static void test_overlap(void) {
    ModelFolder f = new_folder();
    Error err = {0};
    Buf b = {0};
    Splits x;
    put_record(&b, 0, 0, 3, 2);
    put_record(&b, 1, 9, 3, 2);
    put_record(&b, 2, 1, 4, 2);
    put_record(&b, 3, 5, 4, 2);
    write_text(pool, b.s);
    b.n = 0;
    put_record(&b, 0, 5, 4, 2);
    put_record(&b, 1, 1, 4, 2);
    put_record(&b, 2, 9, 3, 2);
    write_text(test, b.s);
    SplitFiles both = {.pool = pool, .eval = test};
    CHECK(!splits_read(&x, &f, &both, &err) && strstr(err.text, "pool.jsonl:2 and ") &&
              strstr(err.text, "test.jsonl:3 are the same example; remove one") &&
              strstr(err.text, "(3 bad records in all; the others: lines 3, 4)"),
          "%s", err.text);
    buf_free(&b);
    model_folder_free(&f);
}

/* Where nothing would be left: an error, and not an empty pool. */
static void test_nothing_left(void) {
    ModelFolder f = new_folder();
    Error err = {0};
    Buf b = {0};
    Splits x;
    SplitFiles files = {.pool = pool, .eval = test, .skip_long = true, .drop_overlap = true};
    put_record(&b, 0, 1, 4, 2);
    write_text(test, b.s);
    b.n = 0;
    put_record(&b, 0, 1, 4, 2);
    write_text(pool, b.s);
    err = (Error){0};
    CHECK(!splits_read(&x, &f, &files, &err) && err.status == STATUS_DATA, "%s", err.text);
    b.n = 0;
    put_record(&b, 0, 1, 4, 9);
    write_text(pool, b.s);
    err = (Error){0};
    CHECK(!splits_read(&x, &f, &files, &err) && strstr(err.text, "--skip-long"), "%s", err.text);
    buf_free(&b);
    model_folder_free(&f);
}

/* ---- bad records ---- */

static void check_bad(const char *text, const char *wanted) {
    Dataset d;
    Error err = {0};
    write_text(pool, text);
    CHECK(!records_load(&d, pool, &err) && err.status == STATUS_DATA, "it is read: %s", text);
    CHECK(strstr(err.text, wanted), "%s, not %s", err.text, wanted);
}

static void test_bad_records(void) {
#define GOOD "{\"prompt\":\"a\",\"completion\":\"b\"}"
#define BAD "{\"prompt\":\"a\",\"completion\":\"\"}"
    check_bad(GOOD "\n" BAD "\n" GOOD "\n" BAD "\n", "(2 bad records in all; the others: lines 4)");
    check_bad(BAD "\n" BAD "\n{\n" BAD "\n" BAD "\n" BAD "\n" BAD "\n",
              ":1: \"completion\" is empty; fill it in or remove the record (7 bad records in all; "
              "the others: lines 2, 3, 4, 5 and 2 more)");
    check_bad("[" GOOD "," BAD "," BAD "]",
              ":1: record 2: \"completion\" is empty; fill it in or remove the record (2 bad "
              "records in all; the others: numbers 3)");
    check_bad("[" BAD "," GOOD ",{]", "(2 bad records in all; the others: numbers 3)");
}

/* ---- validation ---- */

static void test_hold_out(void) {
    enum { N = 60, PROMPTS = 20 };
    ModelFolder f = new_folder();
    Error err = {0};
    Buf b = {0};
    for (int i = 0; i < N; i++) put_record(&b, i, i % PROMPTS, 2 + i / PROMPTS, 1);
    write_text(pool, b.s);
    SplitFiles files = {.pool = pool};
    bool first[PROMPTS] = {0}, differs = false;
    for (int seed = 1; seed <= 3; seed++) {
        for (int again = 0; again < 2; again++) {
            Splits x;
            bool held[PROMPTS] = {0};
            CHECK(splits_read(&x, &f, &files, &err) &&
                      splits_hold_out(&x, 0.2, (uint64_t)seed, &err),
                  "%s", err.text);
            const Examples *v = &x.validation.examples, *p = &x.pool.examples;
            /* 20 % of 60 are 12 records, and every prompt has three. */
            CHECK(v->count == 12 && p->count == 48 && x.pool.summary.validation == 12,
                  "%d and %d records", v->count, p->count);
            for (int i = 0; i < v->count; i++) held[v->items[i].prompt[0] - 1] = true;
            for (int i = 0; i < p->count; i++)
                CHECK(!held[p->items[i].prompt[0] - 1], "prompt %d is in both parts",
                      p->items[i].prompt[0]);
            for (int i = 0; i < PROMPTS; i++) {
                if (seed == 1 && !again) first[i] = held[i];
                if (seed == 1) CHECK(first[i] == held[i], "the same seed, another part");
                differs |= first[i] != held[i];
            }
            splits_free(&x);
        }
    }
    CHECK(differs, "every seed has the same part");
    /* Of two prompts one always stays. */
    Splits x;
    b.n = 0;
    for (int i = 0; i < 4; i++) put_record(&b, i, i == 3, 3 + i, 1);
    write_text(pool, b.s);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        CHECK(splits_read(&x, &f, &files, &err) && splits_hold_out(&x, 0.9, seed, &err), "%s",
              err.text);
        CHECK(x.pool.examples.count > 0 && x.validation.examples.count > 0, "a part is empty");
        splits_free(&x);
    }
    /* One prompt cannot be split. */
    b.n = 0;
    for (int i = 0; i < 4; i++) put_record(&b, i, 0, 3 + i, 1);
    write_text(pool, b.s);
    CHECK(splits_read(&x, &f, &files, &err) && !splits_hold_out(&x, 0.5, 1, &err) &&
              strstr(err.text, "--eval-share"),
          "%s", err.text);
    splits_free(&x);
    buf_free(&b);
    model_folder_free(&f);
}

/* ---- the best parameters ---- */

/* One process of a run: a state whose folder is `folder`. */
typedef struct {
    Run run;
    RunState state;
    KeepOptions how;
    Keep keep;
} Process;

static void begin(Process *p, const ModelFolder *f, bool best, int patience) {
    *p = (Process){.run = {.header = {.folder = folder}, .model = f},
                   .how = {.best = best, .patience = patience}};
    p->state = (RunState){.run = &p->run};
    keep_new(&p->keep, &p->how, &p->state);
}

/* The parameters are all `value`, and the evaluation after `step` steps is `loss`. */
static void judge(Process *p, double value, double step, double loss) {
    Error err = {0};
    Model *m = p->run.model->model;
    for (size_t i = 0; i < m->parameters; i++) m->w[i] = (real)value;
    LogLine line = log_line(&(LogWindow){0}, (long)step);
    line.validation_nll = loss;
    line.eval_nll = -loss; /* the test does not count where there is a validation part */
    CHECK(keep_judge(&p->keep, &line, m, &err), "%s", err.text);
}

static void test_patience(void) {
    ModelFolder f = new_folder();
    Process p;
    static const double loss[] = {3, 2, 2, 1.5, 1.5, 1.6};
    begin(&p, &f, false, 2);
    for (int i = 0; i < 6; i++) {
        CHECK(!keep_stops(&p.keep), "it stops before evaluation %d", i + 1);
        judge(&p, 0, i + 1, loss[i]);
        CHECK(!p.keep.save, "nothing is to be saved");
    }
    CHECK(keep_stops(&p.keep) && p.keep.told.step == 4, "an equal loss is no improvement");
    model_folder_free(&f);
}

/* What the state names is found after a kill between the file of the new best and its state. */
static void test_best(void) {
    ModelFolder f = new_folder();
    Model *m = f.model;
    Error err = {0};
    Process p, q;
    begin(&p, &f, true, 0);
    judge(&p, 0.5, 1, 3);
    KeepTold first = p.keep.told; /* the state that was saved */
    CHECK(p.keep.save, "a new best is to be saved");
    judge(&p, 0.25, 2, 2);
    judge(&p, 0.75, 3, 4);
    CHECK(keep_finish(&p.keep, 3, m, &err) && m->w[7] == (real)0.25, "the best is put back: %s",
          err.text);
    /* Resumed from the newest state, and from the one before the newest best. */
    begin(&q, &f, true, 0);
    q.keep.told = p.keep.told;
    CHECK(keep_resumed(&q.keep, &err) && !q.keep.in_previous, "%s", err.text);
    begin(&q, &f, true, 0);
    q.keep.told = first;
    CHECK(keep_resumed(&q.keep, &err) && q.keep.in_previous, "%s", err.text);
    /* Killed again at the same place: the first best must still be there. */
    judge(&q, 0.25, 2, 2);
    begin(&q, &f, true, 0);
    q.keep.told = first;
    CHECK(keep_resumed(&q.keep, &err), "the named best is gone: %s", err.text);
    CHECK(keep_finish(&q.keep, 9, m, &err) && m->w[7] == (real)0.5, "another best: %s", err.text);
    /* Two new bests after that: the state of the first of them must find its parameters. */
    begin(&q, &f, true, 0);
    q.keep.told = first;
    CHECK(keep_resumed(&q.keep, &err), "%s", err.text);
    judge(&q, 0.25, 2, 2);
    KeepTold second = q.keep.told;
    judge(&q, 0.125, 3, 1);
    begin(&q, &f, true, 0);
    q.keep.told = second;
    CHECK(keep_resumed(&q.keep, &err) && q.keep.in_previous, "the second best is gone: %s",
          err.text);
    /* What is not there is an error, and not another model. */
    err = (Error){0};
    begin(&q, &f, true, 0);
    q.keep.told = first;
    q.keep.told.parameters++;
    CHECK(!keep_resumed(&q.keep, &err) && err.status == STATUS_DATA, "%s", err.text);
    model_folder_free(&f);
}

/* Files of the best parameters that are damaged, of another shape, or of another kind are not
 * taken: the other file is, or the first one's fault is said. */
static void test_other_best(void) {
    enum { MORE = 4000 };
    static const real numbers[MORE];
    static const char *const says[] = {"does not hold", "does not hold", "does not hold", "damaged",
                                       "cannot open"};
    ModelFolder f = new_folder();
    Error err = {0};
    Process p, q;
    begin(&p, &f, true, 0);
    judge(&p, 0.5, 1, 3);
    judge(&p, 0.25, 2, 2);
    char *best = path_join(folder, "best.safetensors"),
         *previous = path_join(folder, "best.previous.safetensors");
    int64_t n = (int64_t)f.model->parameters;
    for (int kind = 0; kind < 5; kind++) {
        TensorOut t = {.name = kind == 0 ? "another" : "parameters",
                       .type = kind == 1 ? TENSOR_I64 : TENSOR_REAL,
                       .rank = 1,
                       .shape = {kind == 2   ? n + 1
                                 : kind == 1 ? 1
                                             : n},
                       .data = numbers};
        CHECK(n < MORE, "%d parameters", (int)n);
        if (kind < 3) CHECK(tensors_write(best, &t, 1, NULL, 0, &err), "%s", err.text);
        else if (kind == 3) CHECK(file_write(best, "x", 1, &err), "%s", err.text);
        else file_remove(best);
        begin(&q, &f, true, 0);
        q.keep.told = p.keep.told;
        err = (Error){0};
        CHECK(!keep_resumed(&q.keep, &err) && err.status == (kind < 4 ? STATUS_DATA : STATUS_IO) &&
                  strstr(err.text, "best.safetensors") && strstr(err.text, says[kind]),
              "%d: status %d, %s", kind, err.status, err.text);
    }
    file_remove(previous);
    free(best);
    free(previous);
    model_folder_free(&f);
}

int main(void) {
    if (!mkdtemp(folder)) return 4;
    snprintf(pool, sizeof pool, "%s/pool.jsonl", folder);
    snprintf(test, sizeof test, "%s/test.jsonl", folder);
    snprintf(scores, sizeof scores, "%s/scores.jsonl", folder);
    test_left_out();
    test_overlap();
    test_nothing_left();
    test_bad_records();
    test_hold_out();
    test_patience();
    test_best();
    test_other_best();
    char command[240];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return check_report("test_parts") | system(command);
}
