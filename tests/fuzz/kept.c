/* Runs the inputs kept in tests/fuzz/corpus without libFuzzer, with any compiler: each input, cuts
 * of it, and each of its bytes changed. A fault ends the program. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "tests/fuzz/targets.h"

static const char CORPUS[] = "tests/fuzz/corpus";

static const struct {
    const char *name;
    FuzzTarget *run;
} TARGETS[] = {
    {"adapter", fuzz_adapter},   {"codec", fuzz_codec},
    {"examples", fuzz_examples}, {"generation", fuzz_generation},
    {"json", fuzz_json},         {"lines", fuzz_lines},
    {"llama2c", fuzz_llama2c},   {"model", fuzz_model},
    {"options", fuzz_options},   {"options_file", fuzz_options_file},
    {"partial", fuzz_partial},   {"pattern", fuzz_pattern},
    {"records", fuzz_records},   {"report", fuzz_report},
    {"run", fuzz_run},           {"scores", fuzz_scores},
    {"select", fuzz_select},     {"shards", fuzz_shards},
    {"state", fuzz_state},       {"template", fuzz_template},
    {"tensors", fuzz_tensors},   {"tokens", fuzz_tokens},
    {"unicode", fuzz_unicode},   {"words", fuzz_words},
};

enum { CUTS = 40, CHANGES = 100 };

/* Runs n bytes in memory of exactly that size, so that a sanitizer sees every read past the end. */
static void run(FuzzTarget *target, const char *bytes, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) exit(1);
    if (n) memcpy(copy, bytes, n);
    target(copy, n);
    free(copy);
}

static int run_around(FuzzTarget *target, Buf *input) {
    size_t step = input->n / CUTS + 1;
    int runs = 1;
    run(target, input->s, input->n);
    for (size_t n = 0; n < input->n; n += step, runs++) run(target, input->s, n);
    step = input->n / CHANGES + 1;
    for (size_t i = 0; i < input->n; i += step, runs++) {
        char kept = input->s[i];
        input->s[i] = (char)(kept ^ (1 << (i / step % 8)));
        run(target, input->s, input->n);
        input->s[i] = kept;
    }
    return runs;
}

int main(void) {
    int files = 0, failed = 0;
    long runs = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
        char *folder = path_join(CORPUS, TARGETS[i].name);
        DIR *d = opendir(folder);
        int before = files;
        for (const struct dirent *e; d && (e = readdir(d));) {
            if (e->d_name[0] == '.') continue;
            char *path = path_join(folder, e->d_name);
            Buf input = {0};
            Error err = {0};
            printf("%s\n", path);
            if (file_read(path, &input, &err)) runs += run_around(TARGETS[i].run, &input);
            else failed++;
            files++;
            buf_free(&input);
            free(path);
        }
        if (d) closedir(d);
        if (files == before) {
            printf("%s: no input is kept\n", folder);
            failed++;
        }
        free(folder);
    }
    printf("%ld runs\nkept: %d passed, %d failed\n", runs, files - failed, failed);
    return failed != 0;
}
