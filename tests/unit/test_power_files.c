/* The power fails while a command writes files. Each command runs in this process, over what an
 * earlier call of it has left, and its calls are recorded. Then every disk is built that a power
 * loss may leave (tests/unit/power.h). Each file that the command writes must be the old one or the
 * new one, whole, and a model's weights come last. Of `score` and `eval`, which keep what they have
 * done, --resume on each of these disks must end with the bytes of a command that was left alone.
 */
#define _XOPEN_SOURCE 700
#include "tests/unit/power.h"

#include "data/llama2c.h"
#include "data/model_folder.h"
#include "data/partial.h"
#include "program/commands.h"

/* ---- commands in this process ---- */

static const Command COMMANDS[] = {
    {"corpus", command_corpus, NULL, ""},     {"tokenizer", command_tokenizer, NULL, ""},
    {"score", command_score, NULL, ""},       {"select", command_select, NULL, ""},
    {"train", command_train, NULL, ""},       {"eval", command_eval, NULL, ""},
    {"import", command_import, NULL, ""},     {"merge", command_merge, NULL, ""},
    {"report", command_report, "RUN...", ""}, {0}};

enum { WORDS_MOST = 40, WORD_MOST = 300 };
typedef struct {
    char text[WORDS_MOST][WORD_MOST], *v[WORDS_MOST];
    int n;
} Words;

static char *in, *out, *crashed; /* folders: what commands read, what is recorded, a disk */

/* The words of a line, apart by blanks. @X is the file X of the folder `in`, $X that of `to`. */
static void split(const char *line, const char *to, Words *w) {
    w->n = 0;
    for (const char *p = line; *p;) {
        const char *folder = *p == '@' ? in : *p == '$' ? to : NULL;
        if (folder) p++;
        int size = (int)strcspn(p, " ");
        char *text = w->v[w->n] = w->text[w->n];
        snprintf(text, WORD_MOST, "%s%s%.*s", folder ? folder : "", folder ? "/" : "", size, p);
        w->n++;
        p += size;
        p += strspn(p, " ");
    }
}

/* Runs a command line that must succeed, without its streams. */
static void ica(const char *line, const char *to) {
    static Words words;
    Error err = {0};
    Settings s = {0};
    OptionResult result;
    Arena arena = {0};
    Buf options = {0};
    split(line, to, &words);
    const Command *command = options_command(COMMANDS, words.v[0], &err);
    fflush(NULL);
    int streams[2] = {dup(1), dup(2)}, nowhere = open("/dev/null", O_WRONLY);
    for (int i = 0; i < 2; i++) dup2(nowhere, i + 1);
    if (command &&
        settings_parse(command, words.n - 1, words.v + 1, &s, &result, &arena, &options, &err))
        command->run(&s, &err);
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(streams[i], i + 1);
        close(streams[i]);
    }
    close(nowhere);
    CHECK(err.status == 0, "%s: %s", line, err.text);
    arena_free(&arena);
    buf_free(&options);
}

/* ---- what they read ---- */

static void put(const char *name, const char *text, size_t n) {
    Error err = {0};
    char *path = path_join(in, name);
    CHECK(file_write(path, text, n, &err), "%s", err.text);
    free(path);
}

static void put_records(const char *name, int from, int count) {
    Buf b = {0};
    for (int i = from; i < from + count; i++)
        buf_printf(&b, "{\"input_ids\":[1,%d,2,%d],\"labels\":[-100,-100,2,%d],\"id\":\"r%d\"}\n",
                   i % 3 + 5, i + 8, i + 8, i);
    put(name, b.s, b.n);
    buf_free(&b);
}

static void put_text(void) {
    static const char text[] = "{\"prompt\":\"low lower lowest\",\"completion\":\"low low\"}\n"
                               "{\"prompt\":\"new newer newest\",\"completion\":\"new new\"}\n";
    put("text", text, sizeof text - 1);
}

/* A model of llama2.c, version 0: its sizes, its numbers, and a table that is not read. */
static void put_llama2c(void) {
    ModelConfig shape = {.layers = 1,
                         .heads = 2,
                         .channels = 8,
                         .context = 8,
                         .vocab = 16,
                         .family = FAMILY_LLAMA,
                         .kv_heads = 2,
                         .inner = 12,
                         .epsilon = 1e-5};
    int sizes[] = {shape.channels, shape.inner, shape.layers, shape.heads,
                   shape.kv_heads, shape.vocab, shape.context};
    Error err = {0};
    Buf b = {0};
    Model *m = model_new(shape, &err);
    CHECK(m, "%s", err.text);
    buf_put(&b, (const char *)sizes, sizeof sizes);
    for (size_t i = 0; m && i < m->parameters + (size_t)(shape.context * m->config.head_size); i++)
        buf_put(&b, (const char *)&(float){(float)i / 64}, sizeof(float));
    put("llama2c", b.s, b.n);
    model_free(m);
    buf_free(&b);
}

static void make_inputs(void) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 32, .vocab = 64};
    ModelFolder f = {.model = model_new(shape, &err)};
    char *base = path_join(in, "base");
    CHECK(f.model, "%s", err.text);
    model_initialize(f.model, 1);
    CHECK(model_folder_save(&f, base, &err), "%s", err.text);
    model_folder_free(&f);
    free(base);
    put_records("pool", 0, 6);
    put_records("hold", 10, 4);
    put_records("test", 20, 4);
    put_text();
    put_llama2c();
    ica("train --model @base --pool @pool --max-steps 1 --out @run", out);
    ica("train --model @base --pool @pool --max-steps 1 --lora-rank 2 --out @lora", out);
    ica("score --model @base --pool @pool --holdout @hold --k 1 --out @scores", out);
}

/* ---- what a disk must have ---- */

static struct {
    Loss before, after; /* what was there, and what the command left */
    bool weights_last;
    const char *resume; /* the command that ends the work, or NULL */
    int old, whole;     /* disks with the old files alone, with the new ones alone */
} seen;

static int loss_find(const Loss *loss, const char *path) {
    for (int i = 0; i < loss->n; i++)
        if (strcmp(loss->entry[i].path, path) == 0) return i;
    return -1;
}

static bool same_bytes(const Loss *a, int i, const Loss *b, int j) {
    Buf x = {0}, y = {0};
    if (i < 0 || j < 0) return i == j;
    loss_bytes(a, i, &x);
    loss_bytes(b, j, &y);
    bool same = x.n == y.n && (x.n == 0 || memcmp(x.s, y.s, x.n) == 0);
    buf_free(&x);
    buf_free(&y);
    return same;
}

/* How many of the files of `as` the disk has just so. */
static int agreeing(const Loss *loss, const Loss *as) {
    int n = 0;
    for (int i = 0; i < as->n; i++) {
        int at = loss_find(loss, as->entry[i].path);
        n += at >= 0 && same_bytes(loss, at, as, i);
    }
    return n;
}

/* Ends the work on that disk: its bytes are those of the command that was left alone. */
static void finish(const Loss *loss, const char *where) {
    Error err = {0};
    Buf got = {0}, wanted = {0};
    loss_write(loss, crashed);
    ica(seen.resume, crashed);
    for (int i = 0; i < seen.after.n; i++) {
        char *path = path_join(crashed, seen.after.entry[i].path);
        loss_bytes(&seen.after, i, &wanted);
        CHECK(file_read(path, &got, &err) && got.n == wanted.n &&
                  memcmp(got.s, wanted.s, got.n) == 0,
              "%s: %s differs after %s", where, path, seen.resume);
        free(path);
        path = mem_new(WORD_MOST, 1);
        snprintf(path, WORD_MOST, "%s/%s.part", crashed, seen.after.entry[i].path);
        CHECK(!file_exists(path), "%s: %s is left", where, path);
        free(path);
    }
    buf_free(&got);
    buf_free(&wanted);
}

static void look(const Loss *loss, const Stretch *part, const char *where) {
    (void)part;
    for (int i = 0; i < seen.after.n; i++) {
        const char *path = seen.after.entry[i].path;
        int at = loss_find(loss, path), was = loss_find(&seen.before, path);
        CHECK(same_bytes(loss, at, &seen.before, was) ||
                  (at >= 0 && same_bytes(loss, at, &seen.after, i)),
              "%s: %s is neither the old nor the new file", where, path);
    }
    bool whole = agreeing(loss, &seen.after) == seen.after.n;
    seen.whole += whole;
    seen.old += agreeing(loss, &seen.before) == seen.before.n && !whole;
    if (seen.weights_last)
        CHECK(whole || loss_find(loss, "model.safetensors") < 0,
              "%s: weights without the other files", where);
    if (seen.resume) finish(loss, where);
}

/* ---- the commands ---- */

/* The disk after so many calls, if everything is safe. */
static Disk *disk_after(int ops) {
    Disk *d = mem_new(1, sizeof *d);
    for (int i = 0; i < ops; i++) disk_step(d, &tape.ops[i]);
    disk_step(d, &(Op){.kind = OP_SETTLE, .node = -1});
    return d;
}

static void test_command(const char *before, const char *line, const char *resume,
                         bool weights_last) {
    tape_begin(out);
    if (before) ica(before, out);
    int settled = tape.n;
    tape_settle();
    ica(line, out);
    tape_stretch(&(Stretch){0});
    tape.on = false;
    Disk *first = disk_after(settled), *last = disk_after(tape.n);
    disk_lose(first, 0, BYTES_ALL, &seen.before);
    disk_lose(last, 0, BYTES_ALL, &seen.after);
    seen.resume = resume;
    seen.weights_last = weights_last;
    seen.old = seen.whole = 0;
    int disks = power_each(look);
    printf("%.*s: %d calls, %d files, %d disks: %d old, %d new\n", (int)strcspn(line, " "), line,
           tape.n - settled, seen.after.n, disks, seen.old, seen.whole);
    CHECK(seen.after.n > 0 && seen.old > 0 && seen.whole > 0, "%s: %d files, %d old, %d new", line,
          seen.after.n, seen.old, seen.whole);
    tape_end();
    disk_free(first);
    disk_free(last);
    empty_folder(out);
    empty_folder(crashed);
}

/* ---- a part file ---- */

static bool open_part(const char *folder, Partial *p, Error *err) {
    char *path = path_join(folder, "out");
    bool ok = partial_open(p, path, "score", &(Buf){0}, PARTIAL_RESUME, err);
    free(path);
    return ok;
}

/* A group that was saved is on the disk. */
static void look_at_part(const Loss *loss, const Stretch *part, const char *where) {
    Error err = {0};
    Partial p;
    loss_write(loss, crashed);
    bool ok = open_part(crashed, &p, &err);
    CHECK(ok && (p.done == part->from || p.done == part->to), "%s: %d groups, not %d or %d: %s",
          where, ok ? p.done : -1, part->from, part->to, err.text);
    if (ok) partial_end(&p, false);
}

static void test_part(void) {
    enum { GROUPS = 3 };
    Error err = {0};
    Partial p;
    tape_begin(out);
    CHECK(open_part(out, &p, &err), "%s", err.text);
    for (int i = 1; i <= GROUPS; i++) {
        buf_printf(&p.lines, "{\"id\":\"%d\"}\n", i);
        CHECK(partial_save(&p, i, &err), "%s", err.text);
        tape_stretch(&(Stretch){.from = i - 1, .to = i});
    }
    partial_end(&p, false);
    tape.on = false;
    printf("a part file: %d calls, %d disks\n", tape.n, power_each(look_at_part));
    tape_end();
    empty_folder(out);
    empty_folder(crashed);
}

#define SCORE "score --model @base --pool @pool --holdout @hold --out $s "
#define SCORE_PARTS SCORE "--k 2 --chunk 2 --weight-map accept"
#define EVAL "eval --model @base --data @test --per-example $e "
#define EVAL_PARTS EVAL "--holdout @hold --k 1 --chunk 1"
#define SELECT "select --pool @pool --scores @scores --out $c "
#define DUMP "train --model @base --pool @pool --max-steps 1 --dump-state $d "
#define REPORT " --out $p --csv $t --results $r"

static void test_commands(void) {
    test_command(SCORE "--k 1", SCORE_PARTS, SCORE_PARTS " --resume", false);
    test_command(EVAL, EVAL_PARTS, EVAL_PARTS " --resume", false);
    test_command(SELECT "--share .4", SELECT "--share .8 --overwrite", NULL, false);
    test_command("corpus --out $ --seed 1 --no-pretrain", "corpus --out $ --seed 2 --no-pretrain",
                 NULL, false);
    test_command("tokenizer --data @text --out $ --vocab-size 262",
                 "tokenizer --data @text --out $ --vocab-size 264", NULL, false);
    test_command(DUMP "--out @first", DUMP "--max-steps 2 --out @second", NULL, false);
    test_command("report @run" REPORT, "report @lora" REPORT, NULL, false);
    test_command(NULL, "import --model @llama2c --out $", NULL, true);
    test_command(NULL, "merge --model @lora --out $", NULL, true);
}

int main(void) {
    char name[] = "/tmp/test_power.XXXXXX", *base = mkdtemp(name) ? realpath(name, NULL) : NULL;
    CHECK(base, "cannot make %s", name);
    if (!base) return check_report("test_power_files");
    in = path_join(base, "in");
    out = path_join(base, "out");
    crashed = path_join(base, "crashed");
    Error err = {0};
    CHECK(folder_make(in, &err) && folder_make(out, &err) && folder_make(crashed, &err), "%s",
          err.text);
    test_part();
    make_inputs();
    test_commands();
    empty_folder(base);
    CHECK(rmdir(base) == 0, "%s is not empty", base);
    free(in);
    free(out);
    free(crashed);
    free(base);
    return check_report("test_power_files");
}
