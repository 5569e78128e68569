#include "program/guard.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/place.h"
#include "lib/file.h"

/* A list of paths, each with the option that names it. */
typedef struct {
    int count;
    struct {
        const char *option, *path;
    } item[400];
    Arena arena;
} Paths;

static void add(Paths *p, const char *option, const char *path) {
    if (!path || p->count == (int)(sizeof p->item / sizeof *p->item)) return;
    p->item[p->count].option = option;
    p->item[p->count++].path = path;
}

/* A folder, and everything that a model or a run has in it. */
static void add_folder(Paths *p, const char *option, const char *folder) {
    static const char *const more[] = {"encoder.json", "vocab.bpe", "tokenizer.json",
                                       "added_tokens.json", "special_tokens_map.json"};
    enum { MORE = sizeof more / sizeof *more };
    add(p, option, folder);
    for (int i = 0, extra = 0; folder && extra < MORE; i++) {
        const char *name = place_file(i) ? place_file(i) : more[extra++];
        char *path = path_join(folder, name);
        add(p, option, str_copy(&p->arena, str(path)).s);
        free(path);
    }
}

/* What the command reads. A resumed run does not read its base. */
static void add_inputs(Paths *p, const Settings *s) {
    add(p, "--pool", s->pool);
    add(p, "--holdout", s->holdout);
    add(p, "--eval", s->eval);
    add(p, "--weights", s->weights_file);
    add(p, "--scores", s->scores);
    for (int i = 0; i < s->data.count; i++) add(p, "--data", s->data.values[i]);
    if (!s->resume) add_folder(p, "--model", s->model);
    if (!s->resume) add_folder(p, "--tokenizer", s->tokenizer);
    add_folder(p, "--reference", s->reference);
    for (int i = 0; i < s->inputs.count; i++) add_folder(p, "the input", s->inputs.values[i]);
}

static bool makes_run(const Settings *s) {
    return strcmp(s->command, "train") == 0 || strcmp(s->command, "pretrain") == 0;
}

static void add_outputs(Paths *p, const Settings *s) {
    if (makes_run(s) || strcmp(s->command, "tokenizer") == 0) add_folder(p, "--out", s->out);
    else add(p, "--out", s->out);
    add(p, "--results", s->results);
    add(p, "--per-example", s->per_example);
    add(p, "--dump-state", s->dump_state);
}

/* Is the file empty, absent, no regular file, or one that begins so? */
static bool begins(const char *path, const char *start) {
    enum { MOST = 64 };
    char head[MOST + 1];
    size_t n = file_head(path, head, MOST);
    return n == 0 || strncasecmp(head, start, n < strlen(start) ? n : strlen(start)) == 0;
}

static bool check_kinds(const Settings *s, Error *err) {
    bool scores = strcmp(s->command, "score") == 0, report = strcmp(s->command, "report") == 0;
    const struct {
        const char *option, *path, *start;
    } file[] = {{"--out", scores ? s->out : NULL, "{\"id\":"},
                {"--out", report ? s->out : NULL, "<!doctype html"},
                {"--results", s->results, "{"},
                {"--per-example", s->per_example, "{\"id\":"}};
    for (size_t i = 0; i < sizeof file / sizeof *file; i++)
        if (file[i].path && !begins(file[i].path, file[i].start))
            return error_set(err, STATUS_USAGE,
                             "%s: %s %s is another kind of file and would be lost: choose another "
                             "place",
                             s->command, file[i].option, file[i].path);
    return true;
}

bool guard_outputs(const Settings *s, Error *err) {
    Paths *in = mem_new(2, sizeof *in), *out = in + 1;
    add_inputs(in, s);
    add_outputs(out, s);
    for (int o = 0; o < out->count && err->status == 0; o++)
        for (int i = 0; i < in->count && err->status == 0; i++)
            if (file_same(out->item[o].path, in->item[i].path))
                error_set(err, STATUS_USAGE,
                          "%s: %s %s would overwrite %s %s; choose another place", s->command,
                          out->item[o].option, out->item[o].path, in->item[i].option,
                          in->item[i].path);
    if (err->status == 0 && file_same(s->out, s->results))
        error_set(err, STATUS_USAGE, "%s: --out and --results are one file", s->command);
    arena_free(&in->arena);
    arena_free(&out->arena);
    free(in);
    return err->status == 0 && check_kinds(s, err);
}
