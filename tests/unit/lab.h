/* lab: what tests of the program share. They run ./ica in a folder of their own and read the files
 * that it leaves. From the environment: ICA, the program to test.
 *
 *   Lab l = {0};
 *   char folder[] = "/tmp/test_train.XXXXXX";
 *   if (lab_open(&l, argv[0], folder)) {
 *       WORKS(&l, "eval --model base --data test.jsonl --json");
 *       double nll = number(json_of(&l, "out"), "nll");
 *       lab_close(&l, folder);
 *   }
 *
 * A file that includes it first defines _XOPEN_SOURCE 700. */
#ifndef LAB_H
#define LAB_H

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"
#include "tests/unit/check.h"

typedef struct {
    Arena arena;   /* all that is read */
    char *program; /* ica */
} Lab;

/* ---- files and runs ---- */

static inline const char *text_of(Lab *l, const char *path) {
    Buf b = {0};
    Error err = {0};
    bool ok = file_read(path, &b, &err);
    CHECK(ok, "%s: %s", path, err.text);
    Str s = str_copy(&l->arena, (Str){ok && b.s ? b.s : "", ok ? b.n : 0});
    buf_free(&b);
    return s.s;
}

static inline void write_text(const char *path, const char *text) {
    Error err = {0};
    CHECK(file_write(path, text, strlen(text), &err), "%s", err.text);
}

/* A file of records; ' stands for ". */
static inline void write_records(const char *path, const char *text) {
    Buf b = {0};
    for (; *text; text++) buf_putc(&b, *text == '\'' ? '"' : *text);
    write_text(path, b.s);
    buf_free(&b);
}

/* Runs the program with these arguments and returns its status. It leaves what it says in the files
 * out and err. */
static inline int PRINTF_LIKE(2, 3) ica(Lab *l, const char *format, ...) {
    Buf b = {0};
    va_list ap;
    char arguments[2000];
    va_start(ap, format);
    vsnprintf(arguments, sizeof arguments, format, ap);
    va_end(ap);
    /* Tests use the folder of a run again and again. */
    bool run = strncmp(arguments, "train ", 6) == 0 || strncmp(arguments, "pretrain ", 9) == 0;
    buf_printf(&b, "'%s' %s%s >out 2>err </dev/null", l->program, arguments,
               run && !strstr(arguments, "--resume") ? " --overwrite" : "");
    int status = system(b.s);
    buf_free(&b);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define WORKS(l, ...)                                                                              \
    do {                                                                                           \
        int status_ = ica(l, __VA_ARGS__);                                                         \
        CHECK(status_ == 0, "status %d: %s", status_, text_of(l, "err"));                          \
    } while (0)

static inline const Json *json_of(Lab *l, const char *path) {
    const char *text = text_of(l, path);
    const Json *root = json_parse(&l->arena, text, strlen(text), NULL);
    CHECK(root, "%s: no JSON", path);
    return root;
}

/* One line of a JSONL file, the first being 0. NULL if there is none. */
static inline const Json *line_of(Lab *l, const char *path, int line) {
    const char *s = text_of(l, path);
    for (int i = 0; i < line && s; i++) s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL;
    const char *end = s ? strchr(s, '\n') : NULL;
    return end ? json_parse(&l->arena, s, (size_t)(end - s), NULL) : NULL;
}

static inline int lines_of(Lab *l, const char *path) {
    int n = 0;
    for (const char *s = text_of(l, path); *s; s++) n += *s == '\n';
    return n;
}

static inline double number(const Json *object, const char *key) {
    const Json *v = object ? json_get(object, key) : NULL;
    return v && v->type == JSON_NUMBER ? v->number : NAN;
}

/* result.KEY of RUN/run.json. */
static inline double result(Lab *l, const char *run, const char *key) {
    char path[200];
    snprintf(path, sizeof path, "%s/run.json", run);
    return number(json_get(json_of(l, path), "result"), key);
}

static inline bool close_to(double x, double y, double tolerance) {
    return fabs(x - y) <= tolerance * fmax(1, fmax(fabs(x), fabs(y)));
}

static inline bool same_bytes(const char *a, const char *b) {
    Buf x = {0}, y = {0};
    Error err = {0};
    bool same = file_read(a, &x, &err) && file_read(b, &y, &err) && x.n > 0 && x.n == y.n &&
                memcmp(x.s, y.s, x.n) == 0;
    buf_free(&x);
    buf_free(&y);
    return same;
}

/* ---- the laboratory ---- */

/* The program beside the tests: build/float/ica for build/float/tests/unit/test_train. */
static inline bool lab_open(Lab *l, const char *own, char *folder) {
    const char *given = getenv("ICA"), *slash = strrchr(own, '/');
    char path[4000];
    snprintf(path, sizeof path, "%.*s/../../ica", slash ? (int)(slash - own) : 1,
             slash ? own : ".");
    *l = (Lab){.program = realpath(given ? given : path, NULL)};
    CHECK(l->program, "%s: no such program", given ? given : path);
    setenv("OMP_NUM_THREADS", "1", 1);
    return l->program && mkdtemp(folder) && chdir(folder) == 0;
}

static inline void lab_close(Lab *l, const char *folder) {
    Buf b = {0};
    buf_printf(&b, "rm -rf '%s'", folder);
    if (chdir("/") != 0 || system(b.s) != 0) printf("%s: left behind\n", folder);
    buf_free(&b);
    arena_free(&l->arena);
    free(l->program);
}

#endif
