/* Files that claim to be more than they are, or are far too large for their kind. Each is refused
 * with little memory and little reading: 16 MiB and 8 bytes for each byte of the file (and none for
 * what is beyond its kind's limit). No byte is read twice, and what is taken over the whole time is
 * limited too, so that little work is left to do. Pipes and devices are refused unopened. The
 * program prints the most processor time that a refusal took; docs/reliability.md has it. */
#define _XOPEN_SOURCE 700
#include "data/model_folder.h"
#include "data/records.h"
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/system.h"
#include "lib/tensors.h"
#include "program/report/read.h"
#include "tests/unit/check.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static char folder[64];

static char *at(const char *name) { return path_join(folder, name); }

static void store(const char *name, const char *bytes, size_t n) {
    char *path = at(name);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f) ok = fclose(f) == 0 && ok;
    CHECK(ok, "cannot write %s", path);
    free(path);
}

/* Makes the file longer by a hole, which takes no disk. */
static void stretch(const char *name, off_t n) {
    char *path = at(name);
    CHECK(truncate(path, n) == 0, "cannot stretch %s", path);
    free(path);
}

static void repeat(Buf *b, const char *text, size_t times) {
    for (size_t i = 0; i < times; i++) buf_puts(b, text);
}

/* ---- readers, each of the folder's one file ---- */

static bool read_tensors(Error *err) {
    char *path = at("model.safetensors");
    TensorFile file;
    bool ok = tensors_open(&file, path, err);
    if (ok) tensors_close(&file);
    free(path);
    return ok;
}

static bool read_words(Error *err) {
    Tokenizer *t = tokenizer_load(folder, err);
    if (t) tokenizer_free(t);
    return t != NULL;
}

static bool read_model(Error *err) {
    Model *m = model_load(folder, err);
    if (m) model_free(m);
    return m != NULL;
}

static bool read_template(Error *err) {
    Str text = str("ab");
    Tokenizer *t = tokenizer_train(&text, 1, 260, TEMPLATE_RECIPE_SPECIALS, 4, NULL, err);
    Template template;
    bool ok = template_load(&template, t, folder, NULL, err);
    if (ok) template_free(&template);
    tokenizer_free(t);
    return ok;
}

static bool read_records(Error *err) {
    char *path = at("pool.jsonl");
    Dataset d;
    bool ok = records_load(&d, path, err);
    if (ok) records_free(&d);
    free(path);
    return ok;
}

static bool read_report(Error *err) {
    const char *input = folder;
    Report r = {0};
    bool ok = report_read(&r, 1, &input, err);
    ok = ok && sets_read(&r, err);
    report_free(&r);
    return ok;
}

/* ---- under limits, and counted ---- */

/* The program's address space now, in bytes; 0: not known here. */
static size_t address_space(void) {
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static SystemCalls real_calls;
static struct {
    size_t read, taken, calls; /* bytes read; bytes asked for in all, and in how many calls */
} work;

static ssize_t count_read(int fd, void *bytes, size_t n) {
    ssize_t got = real_calls.read(fd, bytes, n);
    if (got > 0) work.read += (size_t)got;
    return got;
}

static ssize_t count_read_at(int fd, void *bytes, size_t n, off_t from) {
    ssize_t got = real_calls.read_at(fd, bytes, n, from);
    if (got > 0) work.read += (size_t)got;
    return got;
}

static void *count_allocate(size_t bytes) {
    work.taken += bytes;
    work.calls++;
    return real_calls.allocate(bytes);
}

static void *count_resize(void *old, size_t bytes) {
    work.taken += bytes;
    work.calls++;
    return real_calls.resize(old, bytes);
}

static void count_work(void) {
    real_calls = system_calls;
    system_calls.read = count_read;
    system_calls.read_at = count_read_at;
    system_calls.allocate = count_allocate;
    system_calls.resize = count_resize;
}

/* The work that a refusal may do: a pool is read twice, and a block that grows doubles, so that all
 * sizes it has had are at most twice the last one; some blocks are of what another one held. */
static bool little_work(size_t size) {
    return work.read <= 2 * size + 4096 && work.taken <= 4 * ((16u << 20) + 8 * size) &&
           work.calls <= 200;
}

static void read_limited(bool (*reader)(Error *), const char *fragment, size_t size) {
    size_t now = SANITIZED ? 0 : address_space();
    struct rlimit most = {now + (16u << 20) + 8 * size, now + (16u << 20) + 8 * size};
    if (now) setrlimit(RLIMIT_AS, &most);
    Error err = {0};
    count_work();
    bool accepted = reader(&err);
    bool right = !accepted && err.status == STATUS_DATA && strstr(err.text, fragment);
    if (!right) printf("status %d, wanted '%s': %s\n", err.status, fragment, err.text);
    if (!little_work(size)) {
        printf("%zu bytes read, %zu taken in %zu calls\n", work.read, work.taken, work.calls);
        right = false;
    }
    fflush(stdout);
    _exit(!right);
}

/* The processor's time that the children of this process took so far. */
static double children_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_CHILDREN, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static double slowest; /* refusal, in seconds */
static char slowest_what[64];

/* Does the reader refuse what the folder holds? size: the bytes that it may count on. */
static void refused(const char *what, bool (*reader)(Error *), const char *fragment, size_t size) {
    int status = -1;
    fflush(stdout);
    double before = children_seconds();
    pid_t child = fork();
    if (child == 0) read_limited(reader, fragment, size);
    waitpid(child, &status, 0);
    double seconds = children_seconds() - before;
    CHECK(status == 0, "%s: not refused, or not with little memory and work (status %d)", what,
          status);
    if (seconds <= slowest) return;
    slowest = seconds;
    snprintf(slowest_what, sizeof slowest_what, "%s", what);
}

static void clean(void) {
    static const char *const names[] = {"model.safetensors", "vocab.json",  "merges.txt",
                                        "tokenizer.json",    "config.json", "template.json",
                                        "pool.jsonl",        "run.json",    "log.jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = at(names[i]);
        unlink(path);
        free(path);
    }
}

/* ---- tensors ---- */

/* A file with this header, and a hole of `data` bytes after it. */
static void store_header(const Buf *header, uint64_t claimed, off_t data) {
    Buf b = {0};
    for (int i = 0; i < 8; i++) buf_putc(&b, (char)(claimed >> (8 * i) & 255));
    buf_put(&b, header->s, header->n);
    store("model.safetensors", b.s, b.n);
    stretch("model.safetensors", (off_t)b.n + data);
    buf_free(&b);
}

static void header_refused(const char *what, const Buf *header, off_t data, const char *fragment) {
    store_header(header, header->n, data);
    refused(what, read_tensors, fragment, header->n < 8u << 20 ? header->n : 8u << 20);
    clean();
}

static void test_tensors(void) {
    static const char shape[] = "{\"w\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[0,4]}}";
    static const char *const shapes[][2] = {{"2147483648", "by its shape"},
                                            {"9223372036854775808", "unsigned integer"},
                                            {"4294967296,4294967296", "overflows"},
                                            {"65536,65536,65536,65536", "overflows"},
                                            {"9007199254740992,1024", "overflows"},
                                            {"9007199254740992", "by its shape"},
                                            {"18446744073709551616", "unsigned integer"}};
    Buf b = {0};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        b.n = 0;
        buf_printf(&b, shape, shapes[i][0]);
        header_refused(shapes[i][0], &b, 4, shapes[i][1]);
    }
    /* 10^6 members, 10^9 tensors, and the most tensors that fit a header, all of them nonsense. */
    b.n = 0;
    buf_puts(&b, "{");
    for (int i = 0; i < 1000000; i++)
        buf_printf(&b, "%s\"%d\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,0]}",
                   i ? "," : "", i);
    buf_puts(&b, "}");
    header_refused("10^6 members", &b, 0, "header claims");
    b.n = 0;
    buf_puts(&b, "{\"w\":[0");
    repeat(&b, ",0", (4u << 20) - 16);
    buf_puts(&b, "]}");
    header_refused("a header of numbers", &b, 0, "more values");
    b.n = 0;
    repeat(&b, "{\"a\":", 1500000);
    header_refused("a deep header", &b, 0, "nested too deeply");
    b.n = 0;
    buf_puts(&b, "{}");
    store_header(&b, 75000000000u, (off_t)80 << 30);
    refused("10^9 tensors", read_tensors, "header claims", 0);
    store_header(&b, (uint64_t)1 << 63, 0);
    refused("2^63 bytes", read_tensors, "header claims", 0);
    store_header(&b, 2, (off_t)1 << 40);
    refused("a file of 1 TiB with nothing in it", read_tensors, "belong to none", 0);
    clean();
    buf_free(&b);
}

/* ---- texts ---- */

static void config_refused(const char *what, const char *config, const char *fragment) {
    store("config.json", config, strlen(config));
    store("model.safetensors", "\2\0\0\0\0\0\0\0{}", 10);
    refused(what, read_model, fragment, strlen(config));
    clean();
}

static void test_texts(void) {
    Buf b = {0};
    store("merges.txt", "a b\n", 4);
    store("vocab.json", "{", 1);
    stretch("vocab.json", 200 << 20);
    refused("vocab.json of 200 MB", read_words, "at most 16777216", 0);
    repeat(&b, "{\"a\":", 1000000);
    store("vocab.json", b.s, b.n);
    refused("vocab.json, deep", read_words, "nested too deeply", b.n);
    stretch("merges.txt", (off_t)10 << 30);
    unlink("vocab.json");
    clean();
    store("merges.txt", "", 0);
    stretch("merges.txt", (off_t)10 << 30);
    refused("merges.txt of 10 GB", read_words, "at most 16777216", 0);
    clean();
    store("tokenizer.json", "", 0);
    stretch("tokenizer.json", (off_t)1 << 30);
    refused("tokenizer.json of 1 GB", read_words, "at most 33554432", 0);
    clean();
    store("template.json", "", 0);
    stretch("template.json", 50 << 20);
    refused("template.json of 50 MB", read_template, "at most 1048576", 0);
    clean();
    b.n = 0;
    repeat(&b, "[", 1000000);
    store("pool.jsonl", b.s, b.n);
    stretch("pool.jsonl", 100 << 20);
    refused("100 MB, nested 10^6 deep", read_records, "nested too deeply", 100 << 20);
    b.n = 0;
    repeat(&b, "{\"prompt\":", 1000000);
    store("pool.jsonl", b.s, b.n);
    refused("one record, nested 10^6 deep", read_records, "nested too deeply", b.n);
    clean();
    store("config.json", "", 0);
    stretch("config.json", (off_t)1 << 40);
    refused("config.json of 1 TiB", read_model, "at most 1048576", 0);
    clean();
#define SHAPE(layer, embd, vocab)                                                                  \
    "{\"n_layer\":" layer ",\"n_head\":1,\"n_embd\":" embd                                         \
    ",\"n_positions\":8,\"vocab_size\":" vocab "}"
    config_refused("2^31 layers", SHAPE("2147483648", "8", "8"), "n_layer");
    config_refused("2^63 channels", SHAPE("1", "9223372036854775808", "8"), "n_embd");
    config_refused("all the most", SHAPE("10000", "65536", "16000000"), "");
    config_refused("10^4 layers", SHAPE("1000", "1", "1"), "missing");
    buf_free(&b);
}

/* ---- pipes and devices ---- */

static void test_not_files(void) {
    char *path = at("pipe");
    Buf b = {0};
    Error err = {0};
    uint64_t size;
    CHECK(mkfifo(path, 0600) == 0, "mkfifo");
    CHECK(!file_read_most(path, 10, &b, &err) && err.status == STATUS_DATA &&
              strstr(err.text, "pipe"),
          "a pipe: %s", err.text);
    err = (Error){0};
    CHECK(!file_read_start("/dev/zero", 10, &b, &size, &err) && err.status == STATUS_DATA,
          "a device: %s", err.text);
    err = (Error){0};
    CHECK(!file_read_most(folder, 10, &b, &err) && err.status == STATUS_IO, "a folder: %s",
          err.text);
    err = (Error){0};
    Dataset d;
    CHECK(!data_load(&d, "-", &err) && err.status == STATUS_IO, "stdin: %s", err.text);
    err = (Error){0};
    CHECK(!data_load(&d, path, &err) && err.status == STATUS_DATA, "data: %s", err.text);
    unlink(path);
    free(path);
    /* A run folder whose files are pipes. */
    path = at("run.json");
    mkfifo(path, 0600);
    refused("run.json is a pipe", read_report, "pipe", 0);
    unlink(path);
    free(path);
    store("run.json", "{}", 2);
    path = at("log.jsonl");
    mkfifo(path, 0600);
    refused("log.jsonl is a pipe", read_report, "pipe", 0);
    free(path);
    clean();
    buf_free(&b);
}

/* The limit itself is allowed, one byte more is not; a beginning is as long as asked for. */
static void test_limits(void) {
    char *path = at("pool.jsonl");
    Buf b = {0};
    Error err = {0};
    uint64_t size = 0;
    store("pool.jsonl", "0123456789", 10);
    CHECK(file_read_most(path, 10, &b, &err) && b.n == 10 && !strcmp(b.s, "0123456789"),
          "10 of 10");
    CHECK(file_read_start(path, 4, &b, &size, &err) && size == 10 && !strcmp(b.s, "0123"),
          "4 of 10");
    CHECK(file_read_start(path, 40, &b, &size, &err) && size == 10 && b.n == 10, "40 of 10");
    CHECK(file_read_start(path, 0, &b, &size, &err) && size == 10 && b.n == 0, "0 of 10");
    CHECK(!file_read_most(path, 9, &b, &err) && err.status == STATUS_DATA, "9 of 10: %s", err.text);
    free(path);
    clean();
    buf_free(&b);
}

/* Values are counted, and large containers are whole wherever they stand. */
static void test_values(void) {
    Arena arena = {0};
    JsonError where;
    CHECK(json_parse_limited(&arena, "[1,{\"a\":2}]", 11, 4, &where), "4 values of 4");
    CHECK(!json_parse_limited(&arena, "[1,{\"a\":2}]", 11, 3, &where) && where.offset == 8,
          "4 values of 3");
    static const char *const forms[][2] = {{"", ""}, {"[", "]"}, {"[0,", ",1]"}, {"{\"k\":", "}"}};
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
        for (int object = 0; object < 2; object++) {
            Buf b = {0};
            buf_printf(&b, "%s%s", forms[f][0], object ? "{" : "[");
            for (int i = 0; i < 5000; i++)
                buf_printf(&b, object ? "%s\"k%d\":%d" : "%s%.0d%d", i ? "," : "", object ? i : 0,
                           i);
            buf_printf(&b, "%s%s", object ? "}" : "]", forms[f][1]);
            const Json *v = json_parse(&arena, b.s, b.n, &where);
            if (v && f > 0) v = &v->items[f == 2];
            int right = 0;
            for (int i = 0; v && i < v->count; i++) {
                char key[16];
                snprintf(key, sizeof key, "k%d", i);
                right += v->items[i].number == i && (!object || str_is(v->keys[i], key));
            }
            CHECK(right == 5000, "form %zu %d: %d of 5000", f, object, right);
            buf_free(&b);
        }
    arena_free(&arena);
}

int main(void) {
    snprintf(folder, sizeof folder, "/tmp/test_lies.XXXXXX");
    if (!mkdtemp(folder)) return 1;
    test_limits();
    test_values();
    test_not_files();
    test_texts();
    test_tensors();
    rmdir(folder);
    printf("the slowest refusal took %.3f s of the processor: %s\n", slowest, slowest_what);
    return check_report("test_lies");
}
