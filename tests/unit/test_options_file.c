/* options_file: a file's options become arguments, before those of the command line. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "program/options_file.h"
#include "tests/unit/check.h"

static char path[] = "/tmp/test_options_file.XXXXXX";

/* The arguments that `ica train --options FILE --k 9` gets, joined by blanks, or the message. */
static const char *expanded(const char *text, Arena *arena, Error *err) {
    const Command command = {.name = "train"};
    const char *given[] = {"--options", path, "--k", "9", NULL};
    char **argv = (char **)given;
    int argc = 4;
    const char *file;
    Buf b = {0};
    *err = (Error){0};
    if (!file_write(path, text, strlen(text), err)) exit(error_print(err));
    if (!options_file_expand(&command, &argc, &argv, &file, arena, err)) return err->text;
    CHECK(file && strcmp(file, path) == 0, "the path is kept");
    for (int i = 0; i < argc; i++) buf_printf(&b, "%s%s", i ? " " : "", argv[i]);
    const char *joined = str_copy(arena, (Str){b.s, b.n}).s;
    buf_free(&b);
    return joined;
}

/* wanted: the arguments, or with a status a part of the message. */
static void check_file(const char *text, int status, const char *wanted) {
    Arena arena = {0};
    Error err;
    const char *got = expanded(text, &arena, &err);
    CHECK(err.status == status, "status %d of %s: %s", err.status, text, got);
    CHECK(status ? strstr(got, wanted) != NULL : strcmp(got, wanted) == 0, "%s gives: %s", text,
          got);
    arena_free(&arena);
}

static void test_files(void) {
    check_file("{}", 0, "--k 9");
    check_file("{\"learning_rate\":0.001,\"k\":2,\"max-steps\":-1}", 0,
               "--learning-rate=0.001 --k=2 --max-steps=-1 --k 9");
    check_file("\xef\xbb\xbf{\"recompute\":true,\"truncate\":false}", 0,
               "--recompute=true --truncate=false --k 9");
    check_file("{\"learning-rate\":\"5e-4\",\"eval\":null}", 0, "--learning-rate=5e-4 --k 9");
    /* paths, and what names what is written, are not taken */
    check_file("{\"pool\":\"p\",\"out\":\"o\",\"model\":\"m\",\"overwrite\":true,\"k\":1}", 0,
               "--k=1 --k 9");
    check_file("{\"weights\":\"file:scores.jsonl\"}", 0, "--k 9");
    check_file("{\"pool\":[\"p\",\"q\"],\"eval\":[],\"k\":1}", 0, "--k=1 --k 9");
    check_file("{\"weights\":\"ica\"}", 0, "--weights=ica --k 9");
    /* refused by name */
    check_file("{\"learning_rat\":1}", 3, "\"learning_rat\" is not an option");
    check_file("{\"output_dir\":\"o\"}", 3, "\"output_dir\" is not an option; say --out ('ica");
    check_file("{\"layers\":4}", 3, "train takes no \"layers\"; that is an option of: pretrain");
    check_file("{\"no-truncate\":true}", 3, "\"no-truncate\" is not an option");
    check_file("{\"k=1 --out\":2}", 3, "is not an option");
    check_file("{\"k\":[2]}", 3, "\"k\": must be a text without NUL, a number, true or");
    check_file("{\"objective\":\"dpo\\u0000x\"}", 3, "\"objective\": must be a text without NUL");
    check_file("[]", 3, "must be an object of options");
    check_file("{\"k\":", 3, "must be an object of options");
    check_file("", 3, "must be an object of options");
}

/* Of a run.json: the member "options", without what is the default today. */
static void test_run(void) {
    check_file(
        "{\"command\":\"train\",\"arguments\":[],\"options\":{\"k\":3,\"demos\":\"random\"}}", 0,
        "--demos=random --k 9");
    check_file("{\"command\":\"pretrain\",\"options\":{\"layers\":8,\"learning-rate\":0.002}}", 0,
               "--learning-rate=0.002 --k 9");
    /* pretrain's own default is not train's */
    check_file("{\"command\":\"pretrain\",\"options\":{\"layers\":8,\"learning-rate\":0.004}}", 0,
               "--k 9");
    check_file("{\"max_steps\":4,\"max-steps\":5}", 3, "\"max-steps\" occurs twice");
    check_file("{\"command\":\"train\",\"options\":{\"objective\":\"simpo\",\"beta\":2,"
               "\"reduce\":\"sum\",\"gamma-beta-ratio\":0.25}}",
               0, "--objective=simpo --k 9");
    check_file("{\"command\":\"train\",\"options\":{\"objective\":\"simpo\",\"beta\":0.1}}", 0,
               "--objective=simpo --beta=0.1 --k 9");
    check_file("{\"command\":\"train\",\"options\":{\"unknown\":1}}", 3, "\"unknown\"");
    /* a default of another type is no default; options that are no object are no run's */
    check_file(
        "{\"command\":\"train\",\"options\":{\"beta\":\"0.1\",\"k\":\"3\",\"truncate\":false,"
        "\"recompute\":true}}",
        0, "--beta=0.1 --recompute=true --k 9");
    check_file("{\"command\":\"train\",\"options\":[]}", 3, "\"command\" is not an option");
    check_file("{\"options\":{\"k\":2}}", 3, "\"options\": must be a text");
}

static void test_twice(void) {
    const Command command = {.name = "train"};
    const char *given[] = {"--options=a", "--options", "b"};
    char **argv = (char **)given;
    int argc = 3;
    const char *file;
    Arena arena = {0};
    Error err = {0};
    CHECK(!options_file_expand(&command, &argc, &argv, &file, &arena, &err) &&
              err.status == STATUS_USAGE,
          "two files");
    const char *after[] = {"--", "--options", "b"};
    argv = (char **)after;
    err = (Error){0};
    CHECK(options_file_expand(&command, &argc, &argv, &file, &arena, &err) && argc == 3 && !file,
          "after the end of options");
    arena_free(&arena);
}

int main(void) {
    int fd = mkstemp(path);
    if (fd < 0) return 4;
    close(fd);
    test_files();
    test_run();
    test_twice();
    unlink(path);
    return check_report("test_options_file");
}
