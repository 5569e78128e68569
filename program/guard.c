#include "program/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/adapter.h"
#include "data/corpus/corpus.h"
#include "data/place.h"
#include "data/scores.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/tensors.h"

/* ---- outputs that are inputs ---- */

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
    static const char *const more[] = {"encoder.json", "vocab.bpe"};
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
    if (s->pools.count == 0) add(p, "--pool", s->pool);
    for (int i = 0; i < s->pools.count; i++) add(p, "--pool", s->pools.values[i]);
    add(p, "--holdout", s->holdout);
    add(p, "--eval", s->eval);
    add(p, "--weights", s->weights_file);
    add(p, "--scores", s->scores);
    add(p, "--holdout-scores", s->holdout_scores);
    add(p, "--options", s->options_file);
    for (int i = 0; i < s->data.count; i++) add(p, "--data", s->data.values[i]);
    if (!s->resume) add_folder(p, "--model", s->model);
    if (s->model && adapter_is(s->model)) {
        Error ignored = {0}; /* it is told where the model is read */
        char *base = adapter_base(s->model, &ignored);
        if (base) add_folder(p, "the base of --model", str_copy(&p->arena, str(base)).s);
        free(base);
    }
    if (!s->resume) add_folder(p, "--tokenizer", s->tokenizer);
    add_folder(p, "--reference", s->reference);
    for (int i = 0; i < s->inputs.count; i++) add_folder(p, "the input", s->inputs.values[i]);
}

static bool makes_run(const Settings *s) {
    return strcmp(s->command, "train") == 0 || strcmp(s->command, "pretrain") == 0;
}

/* Does the command write the holdout's own scores beside its scores? */
static bool writes_beside(const Settings *s) {
    return strcmp(s->command, "score") == 0 && MAPS[s->weight_map].of_holdout;
}

static void add_outputs(Paths *p, const Settings *s) {
    bool folder = strcmp(s->command, "tokenizer") == 0 || strcmp(s->command, "import") == 0 ||
                  strcmp(s->command, "merge") == 0;
    if (makes_run(s) || folder) add_folder(p, "--out", s->out);
    else add(p, "--out", s->out);
    add(p, "--results", s->results);
    add(p, "--csv", s->csv);
    add(p, "--per-example", s->per_example);
    add(p, "--dump-state", s->dump_state);
    if (writes_beside(s)) {
        char *beside = scores_holdout_path(s->out);
        add(p, "the file beside --out", str_copy(&p->arena, str(beside)).s);
        free(beside);
    }
}

/* ---- files that the command did not write ---- */

/* How a file begins that a command wrote: with these bytes, in any case. The first line's second
 * key begins with `second`, if that is given. Without `start` it is a dump (data/dump.h). */
typedef struct {
    const char *start, *second;
} Kind;

static const Kind SCORES = {"{\"id\":", "score"}, EACH = {"{\"id\":", "logp"},
                  PAGE = {"<!doctype html", NULL}, RESULTS = {"{\"version\":", "machine"},
                  TABLE = {"\"run\",\"group\",\"arm\",\"seed\"", NULL},
                  SESSIONS = {"{\"messages\":", "source"}, DUMP = {NULL, NULL};

static bool is_dump(const char *path) {
    TensorFile file;
    Error ignored = {0};
    if (!tensors_open(&file, path, &ignored)) return false;
    bool is = tensors_find(&file, "grad_norm") && tensors_find(&file, "labels");
    tensors_close(&file);
    return is;
}

/* Has the object that the file begins with a second key that begins so? */
static bool has_second_key(const char *path, const char *start) {
    enum { MOST = 1 << 20 };
    Buf text = {0};
    Arena arena = {0};
    Error ignored = {0};
    uint64_t size;
    size_t at = 0;
    bool read = file_read_start(path, MOST, &text, &size, &ignored);
    const Json *root = read ? json_parse_at(&arena, text.s, text.n, &at, NULL) : NULL;
    bool has = root && root->type == JSON_OBJECT && root->count >= 2 &&
               strncmp(root->keys[1].s, start, strlen(start)) == 0;
    arena_free(&arena);
    buf_free(&text);
    return has;
}

/* May the file be replaced? It is absent, empty, no regular file, or of the kind. */
static bool replaceable(const char *path, const Kind *kind) {
    enum { MOST = 256 };
    char head[MOST + 1];
    size_t n = file_head(path, head, MOST);
    if (n == 0) return true;
    if (!kind->start) return is_dump(path);
    size_t length = strlen(kind->start);
    return n >= length && strncasecmp(head, kind->start, length) == 0 &&
           (!kind->second || has_second_key(path, kind->second));
}

static bool check(const Settings *s, const char *option, const char *path, const Kind *kind,
                  Error *err) {
    return err->status == 0 &&
           (!path || replaceable(path, kind) ||
            error_set(err, STATUS_USAGE,
                      "%s: %s %s is another kind of file, not written by `ica %s`, and would be "
                      "lost: choose another place",
                      s->command, option, path, s->command));
}

/* The same for a file in the folder --out. */
static void check_in(const Settings *s, const char *name, const Kind *kind, Error *err) {
    char *path = path_join(s->out, name);
    check(s, "the file", path, kind, err);
    free(path);
}

/* A file of records has the id of its first one. */
static void check_corpus(const Settings *s, Error *err) {
    CorpusOptions o = {.pools_only = !s->pretrain, .noise = s->noise};
    const char *name, *id;
    for (int i = 0; (name = corpus_file(&o, i, &id)); i++) {
        char start[64];
        snprintf(start, sizeof start, "{\"id\":\"%s-0001\",", id ? id : "");
        check_in(s, name, id ? &(Kind){start, NULL} : &SESSIONS, err);
    }
}

/* A vocabulary begins with the recipe's special tokens. merges.txt is the command's if there is
 * such a vocabulary beside it. Other files of a tokenizer would be removed, since they say
 * something else, and are never the command's. The vocabulary of a model belongs to the model. */
static void check_tokenizer(const Settings *s, Error *err) {
    static const Kind vocab = {"{\n\"<bos>\": 0,\n\"<q>\": 1,", NULL},
                      merges = {"#version: 0.2\n", NULL}, never = {"\n", NULL},
                      config = {"{\n  \"add_prefix_space\": false,\n  \"added_tokens_decoder\": {\n"
                                "    \"0\": {\"content\": \"<bos>\"",
                                NULL},
                      template = {"{\n  \"bos\": \"<bos>\",\n  \"prompt_prefix\": \"<q>\",\n"
                                  "  \"answer_prefix\": \"<a> \",\n  \"example_end\": \"<e>\"\n}",
                                  NULL};
    char *model = path_join(s->out, "config.json"), *words = path_join(s->out, "vocab.json");
    if (file_exists(model))
        error_set(err, STATUS_USAGE,
                  "tokenizer: --out %s holds a model, whose vocabulary would be lost: choose "
                  "another place",
                  s->out);
    check_in(s, "vocab.json", &vocab, err);
    check_in(s, "merges.txt", file_exists(words) ? &merges : &never, err);
    check_in(s, "tokenizer_config.json", &config, err);
    check_in(s, "tokenizer.json", &never, err);
    check_in(s, "special_tokens_map.json", &never, err);
    check_in(s, "added_tokens.json", &never, err);
    check_in(s, "chat_template.jinja", &never, err);
    check_in(s, "template.json", &template, err);
    free(model);
    free(words);
}

/* A model has no mark of who wrote it. */
static void check_model(const Settings *s, Error *err) {
    static const char *const names[] = {
        "config.json",           "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "vocab.json",        "merges.txt",
        "template.json",         "run.json",          "generation_config.json",
        "adapter_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(s->out, names[i]);
        if (file_exists(path))
            error_set(err, STATUS_USAGE, "%s: exists, and would be lost: choose another --out",
                      path);
        free(path);
    }
}

/* A selection has the records of its pool alone, so nothing tells it from the user's own files. */
static void check_selection(const Settings *s, Error *err) {
    char head[2];
    if (s->overwrite) check(s, "--out", s->out, &(Kind){"{", NULL}, err);
    else if (file_head(s->out, head, 1) > 0)
        error_set(err, STATUS_USAGE,
                  "select: --out %s exists: --overwrite replaces it; or choose another place",
                  s->out);
}

static bool check_kinds(const Settings *s, const Paths *out, Error *err) {
    if (strcmp(s->command, "score") == 0) {
        check(s, "--out", s->out, &SCORES, err);
        if (writes_beside(s)) check(s, "the file", out->item[out->count - 1].path, &SCORES, err);
    }
    if (strcmp(s->command, "report") == 0) check(s, "--out", s->out, &PAGE, err);
    if (strcmp(s->command, "corpus") == 0) check_corpus(s, err);
    if (strcmp(s->command, "tokenizer") == 0) check_tokenizer(s, err);
    if (strcmp(s->command, "select") == 0) check_selection(s, err);
    if (strcmp(s->command, "import") == 0 || strcmp(s->command, "merge") == 0) check_model(s, err);
    check(s, "--results", s->results, &RESULTS, err);
    check(s, "--csv", s->csv, &TABLE, err);
    check(s, "--per-example", s->per_example, &EACH, err);
    check(s, "--dump-state", s->dump_state, &DUMP, err);
    return err->status == 0;
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
    if (err->status == 0 && (file_same(s->csv, s->out) || file_same(s->csv, s->results)))
        error_set(err, STATUS_USAGE, "%s: --csv is the file of another option", s->command);
    check_kinds(s, out, err);
    arena_free(&in->arena);
    arena_free(&out->arena);
    free(in);
    return err->status == 0;
}
