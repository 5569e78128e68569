#define _XOPEN_SOURCE 700
#include "tests/fuzz/targets.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/adapter.h"
#include "data/llama2c.h"
#include "data/model_folder.h"
#include "data/prompts.h"
#include "data/records.h"
#include "data/run.h"
#include "data/scores.h"
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/nfc.h"
#include "lib/tensors.h"
#include "lib/text.h"
#include "lib/unicode.h"
#include "program/report/csv.h"
#include "program/report/page.h"
#include "program/settings.h"

/* Ends the program if a reader contradicts itself. */
static void must(bool condition) {
    if (!condition) abort();
}

/* ---- files ---- */

static char folder[64];

static void remove_folder(void) {
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "model.safetensors.index.json",
                                        "a.safetensors",
                                        "adapter_config.json",
                                        "adapter_model.safetensors",
                                        "vocab.json",
                                        "merges.txt",
                                        "tokenizer.json",
                                        "added_tokens.json",
                                        "special_tokens_map.json",
                                        "tokenizer_config.json",
                                        "chat_template.jinja",
                                        "template.json",
                                        "run.json",
                                        "log.jsonl",
                                        "scores.jsonl",
                                        "training_state.safetensors",
                                        "file",
                                        "score.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

/* The folder that holds the files of one input, in memory where there is such a file system. */
static const char *work_folder(void) {
    if (folder[0]) return folder;
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(folder, sizeof folder, "%s/ica-fuzz.XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(folder)) exit(STATUS_IO);
    atexit(remove_folder);
    return folder;
}

/* Writes a file of the folder and returns its path, which the caller frees. Without fsync. */
static char *put_file(const char *name, const void *bytes, size_t n) {
    char *path = path_join(work_folder(), name);
    FILE *f = fopen(path, "wb");
    if (!f || (n && fwrite(bytes, 1, n, f) != n) || fclose(f) != 0) exit(STATUS_IO);
    return path;
}

/* Cuts the input into parts and writes each as a file; one that is not there, or empty, is
 * removed. */
static void put_parts(const uint8_t *bytes, size_t n, const char *const *names, int count) {
    for (int i = 0; i < count; i++) {
        const uint8_t *end = n && i < count - 1 ? memchr(bytes, 0x1E, n) : NULL;
        size_t part = end ? (size_t)(end - bytes) : n;
        char *path = put_file(names[i], bytes, part);
        if (part == 0) unlink(path);
        free(path);
        if (end) part++;
        if (part > 0) bytes += part;
        n -= part;
    }
}

/* A message is there if and only if something failed, and it is one line that can be printed. */
static void check_error(bool ok, const Error *err) {
    must(ok == (err->status == 0));
    for (const unsigned char *c = (const unsigned char *)err->text; *c; c++)
        must(*c >= 32 && *c != 127);
    must(unicode_valid(err->text, strlen(err->text), NULL));
}

/* ---- texts ---- */

int fuzz_json(const uint8_t *bytes, size_t n) {
    Arena arena = {0};
    Buf once = {0}, again = {0};
    JsonError where = {0};
    const Json *v = json_parse(&arena, (const char *)bytes, n, &where);
    if (v) {
        json_put_value(&once, v);
        const Json *same = json_parse(&arena, once.s, once.n, NULL);
        must(same != NULL);
        json_put_value(&again, same);
        must(once.n == again.n && memcmp(once.s, again.s, once.n) == 0);
        json_duplicate_key(&arena, v);
    } else must(where.offset <= n && where.line >= 1 && where.column >= 1 && where.what[0]);
    size_t at = 0;
    while (at < n && json_parse_at(&arena, (const char *)bytes, n, &at, NULL)) must(at <= n);
    buf_free(&once);
    buf_free(&again);
    arena_free(&arena);
    return 0;
}

/* Form C is stable, the quick look knows it, and pieces make up the text. */
static void check_forms(const char *s, size_t n) {
    Buf once = {0}, twice = {0};
    nfc_put(&once, s, n);
    nfc_put(&twice, once.s ? once.s : "", once.n);
    must(once.n == twice.n && (once.n == 0 || memcmp(once.s, twice.s, once.n) == 0));
    must(!nfc_is(s, n) || (once.n == n && (n == 0 || memcmp(once.s, s, n) == 0)));
    for (int rule = 0; rule < SPLIT_COUNT; rule++)
        for (size_t at = 0, length; at < n; at += length) {
            length = split_piece((Splitter)rule, s + at, n - at);
            must(length >= 1 && length <= n - at);
        }
    buf_free(&once);
    buf_free(&twice);
}

int fuzz_unicode(const uint8_t *bytes, size_t n) {
    const char *s = (const char *)bytes;
    size_t bad = n, at = 0;
    bool valid = unicode_valid(s, n, &bad);
    while (at < n) {
        uint32_t c = 0;
        char back[4], shown[UNICODE_SHOWN_MOST];
        int shown_n, length = unicode_decode(s + at, n - at, &c);
        must((size_t)length <= n - at && (length > 0 || !valid));
        if (length == 0) must(at >= bad);
        else must(unicode_encode(back, c) == length && memcmp(back, s + at, (size_t)length) == 0);
        size_t taken = unicode_show(s + at, n - at, shown, &shown_n);
        must(taken == (length ? (size_t)length : 1) && shown_n > 0);
        must(unicode_valid(shown, (size_t)shown_n, NULL));
        unicode_class(c);
        unicode_lower(c);
        at += taken;
    }
    Buf b = {0};
    check_forms(s, n);
    text_show(&b, (Str){s, n}, "\n");
    must(unicode_valid(b.s ? b.s : "", b.n, NULL));
    text_wrap(&b, (Str){s, n}, 10);
    must(unicode_cut(s, n, n / 2) <= n / 2);
    b.n = 0;
    if (valid) text_fold(&b, (Str){s, n});
    buf_free(&b);
    return 0;
}

/* ---- tokenizers ---- */

/* One tokenizer of the recipe's, made at the first call. */
static Tokenizer *recipe_tokenizer(void) {
    static Tokenizer *t;
    Error err = {0};
    Str text = str("the low lower lowest, the new newer newest 's 're 12 123");
    if (!t) t = tokenizer_train(&text, 1, 290, TEMPLATE_RECIPE_SPECIALS, 4, &err);
    return t;
}

/* Encodes any bytes, and decodes them to the same, or to their form C where the tokenizer has that.
 * SentencePiece gives blanks for U+2581, and may lose one before the text. */
static void check_codec(Tokenizer *t, const void *bytes, size_t n) {
    TokenizerRules rules = tokenizer_parts(t).rules;
    IntBuf ids = {0};
    Buf text = {0}, want = {0};
    tokenizer_encode(t, bytes, n, &ids);
    for (int i = 0; i < ids.n; i++) must(ids.v[i] >= 0 && ids.v[i] < tokenizer_size(t));
    must(tokenizer_decode(t, ids.v, ids.n, &text));
    if (rules.nfc) nfc_put(&want, bytes, n);
    else if (!rules.pieces) buf_put(&want, bytes, n);
    if (!rules.pieces) must(text.n == want.n && (want.n == 0 || !memcmp(text.s, want.s, want.n)));
    ids.n = 0;
    tokenizer_encode_template(t, bytes, n, &ids);
    tokenizer_encode_on(t, bytes, n, &ids);
    must(tokenizer_decode(t, ids.v, ids.n, &text));
    ints_free(&ids);
    buf_free(&text);
    buf_free(&want);
}

int fuzz_codec(const uint8_t *bytes, size_t n) {
    check_codec(recipe_tokenizer(), bytes, n);
    return 0;
}

static void load_tokenizer(const uint8_t *bytes, size_t n) {
    Error err = {0};
    Tokenizer *t = tokenizer_load(work_folder(), &err);
    check_error(t != NULL, &err);
    if (!t) return;
    check_codec(t, bytes, n);
    tokenizer_free(t);
}

static const char *const TOKEN_LISTS[] = {"added_tokens.json", "special_tokens_map.json",
                                          "tokenizer_config.json"};

int fuzz_words(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"vocab.json", "tokenizer.json", "merges.txt"};
    put_parts(NULL, 0, TOKEN_LISTS, 3);
    put_parts(bytes, n, names, 3);
    load_tokenizer(bytes, n);
    return 0;
}

int fuzz_tokens(const uint8_t *bytes, size_t n) {
    static bool ready;
    Error err = {0};
    if (!ready) ready = tokenizer_save(recipe_tokenizer(), NULL, work_folder(), &err);
    put_parts(bytes, n, TOKEN_LISTS, 3);
    load_tokenizer(bytes, n);
    return 0;
}

/* Every part of a conversation in which each field has these bytes. */
static void put_talk(const Template *template, Tokenizer *t, Str text) {
    IntBuf ids = {0};
    Buf jinja = {0};
    template_start(template, t, text, &ids);
    template_turn(template, t, text, text, &ids);
    TurnForm form = template_form(template, text);
    template_prompt(template, t, text, form, &ids);
    template_answer(template, t, template_strip_end(template, t, text), form, &ids);
    template_chat(template, &jinja);
    ints_free(&ids);
    buf_free(&jinja);
}

int fuzz_template(const uint8_t *bytes, size_t n) {
    static const char *const specials[] = {
        "<e>",        "<|im_start|>",      "<|im_end|>",          "<think>",          "</think>",
        "<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"};
    static Tokenizer *chat;
    Template template;
    Error err = {0};
    Str text = {(const char *)bytes, n};
    if (!chat) chat = tokenizer_train(&text, 0, 265, specials, 9, &err);
    free(put_file("template.json", bytes, n));
    for (int i = 0; i < 3; i++) { /* as a template.json of two vocabularies, and as Jinja */
        Tokenizer *t = i ? chat : recipe_tokenizer();
        err = (Error){0};
        bool ok = i == 2 ? template_recognize(&template, t, text, &err)
                         : template_load(&template, t, work_folder(), NULL, &err);
        check_error(ok, &err);
        if (!ok) continue;
        put_talk(&template, t, text);
        template_free(&template);
    }
    return 0;
}

/* ---- models ---- */

int fuzz_tensors(const uint8_t *bytes, size_t n) {
    char *path = put_file("file", bytes, n);
    TensorFile file;
    Error err = {0};
    bool ok = tensors_open(&file, path, &err);
    check_error(ok, &err);
    size_t size = 0;
    Buf b = {0};
    for (int i = 0; ok && i < file.count; i++) {
        const TensorInfo *t = &file.tensors[i];
        real *values = mem_new(tensors_is_float(t) ? t->elements : 0, sizeof *values);
        if (tensors_is_float(t)) must(tensors_read(t, values, &err));
        for (size_t j = 0; t->type != TENSOR_OTHER && j < t->elements; j++) tensors_value(t, j);
        tensors_put_shape(&b, t);
        must(tensors_find(&file, "") == NULL || file.count > 0);
        size += t->size;
        free(values);
    }
    must(!ok || size < n);
    if (ok) tensors_close(&file);
    buf_free(&b);
    free(path);
    return 0;
}

/* A model of llama2.c, after two bytes that say its length, then its tokenizer. */
int fuzz_llama2c(const uint8_t *bytes, size_t n) {
    if (n < 2) return 0;
    size_t model = bytes[0] | (size_t)bytes[1] << 8;
    bytes += 2;
    n -= 2;
    if (model > n) model = n;
    Error err = {0};
    Buf json = {0};
    char *path = put_file("file", bytes, model);
    Model *m = llama2c_model(path, &err);
    check_error(m != NULL, &err);
    model_free(m);
    free(path);
    err = (Error){0};
    path = put_file("file", bytes + model, n - model);
    bool ok = llama2c_tokenizer(path, 259 + (n ? bytes[n - 1] & 7 : 0), &json, &err);
    check_error(ok, &err);
    free(path);
    buf_free(&json);
    return 0;
}

/* Adapters of a small Llama. */
int fuzz_adapter(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    ModelConfig base = {.layers = 1, .heads = 2, .channels = 4, .context = 8, .vocab = 5};
    LoraConfig lora;
    Error err = {0};
    base.family = FAMILY_LLAMA;
    must(config_complete(&base, &err));
    put_parts(bytes, n, names, 2);
    char *path = adapter_base(work_folder(), &err);
    check_error(path != NULL, &err);
    free(path);
    err = (Error){0};
    bool ok = adapter_config_load(&lora, &base, work_folder(), &err);
    check_error(ok, &err);
    if (!ok) return 0;
    int count;
    size_t numbers;
    ModelTensor *list = table_make(&base, &lora, &count, &numbers);
    real *w = mem_new(numbers, sizeof *w);
    ok = adapter_weights_load(w, list, count, work_folder(), &err);
    check_error(ok, &err);
    free(w);
    free(list);
    return 0;
}

/* A model whose weights are in a.safetensors, as an index says. */
int fuzz_shards(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"config.json", "model.safetensors.index.json",
                                        "a.safetensors"};
    Error err = {0};
    put_parts(bytes, n, names, 3);
    Model *m = model_load(work_folder(), &err);
    check_error(m != NULL, &err);
    model_free(m);
    return 0;
}

int fuzz_model(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"config.json", "model.safetensors"};
    Error err = {0};
    put_parts(bytes, n, names, 2);
    Model *m = model_load(work_folder(), &err);
    check_error(m != NULL, &err);
    model_free(m);
    return 0;
}

/* The state of a run of a very small model. */
int fuzz_state(const uint8_t *bytes, size_t n) {
    Error err = {0};
    ModelFolder f = {
        .model = model_new(
            (ModelConfig){.layers = 1, .heads = 1, .channels = 2, .context = 2, .vocab = 3}, &err)};
    RunHeader header = {.folder = work_folder(), .resume = work_folder(), .command = "train"};
    Run run = run_new(&header, &f);
    RunState state = {.run = &run, .optimizer = optimizer_new(f.model, 0.9, 0.999, 0)};
    double scores[2];
    run_state_keep(&state, "scores", scores, 2);
    run_state_data(&state, 0, 0, 0);
    free(put_file("training_state.safetensors", bytes, n));
    bool ok = run_state_load(&state, work_folder(), &err);
    check_error(ok, &err);
    optimizer_free(state.optimizer);
    run_free(&run);
    model_folder_free(&f);
    return 0;
}

/* ---- data ---- */

/* The file in parts has as many records as the whole, or an error too. */
static void read_parts(const char *path, size_t most, int count) {
    Error err = {0};
    Dataset part;
    RecordStream *s = records_open(path, &err);
    int records = 0;
    bool ok = s != NULL, ended = !ok;
    while (!ended) {
        ok = records_read(s, most, &part, &err);
        ended = !ok || records_ended(s);
        if (ok) records += part.count;
        if (ok) records_free(&part);
    }
    records_close(s);
    check_error(ok, &err);
    must(ok == (count > 0) && (!ok || records == count));
}

int fuzz_records(const uint8_t *bytes, size_t n) {
    char *path = put_file("file", bytes, n);
    Dataset d;
    Error err = {0};
    int count = 0;
    bool ok = records_load(&d, path, &err);
    check_error(ok, &err);
    if (ok) {
        int distinct = records_distinct(&d);
        must(d.count > 0 && distinct > 0 && distinct <= d.count);
        count = d.count;
        records_free(&d);
    }
    err = (Error){0};
    ok = prompts_load(&d, path, &err);
    check_error(ok, &err);
    for (int i = 0; ok && i < d.count; i++) must(d.records[i].n_turns > 0);
    if (ok) records_free(&d);
    read_parts(path, n ? bytes[n - 1] % 64u + 1 : 1, count);
    free(path);
    return 0;
}

int fuzz_scores(const uint8_t *bytes, size_t n) {
    char *path = put_file("file", bytes, n);
    Record records[3] = {
        {.id = str("1"), .line = 1}, {.id = str("b"), .line = 2}, {.id = str(""), .line = 3}};
    Dataset pool = {.path = path, .count = 3, .records = records};
    double score[3] = {0}, weight[3] = {0};
    bool swapped[3] = {0};
    ScoreColumns read = {.score = score, .weight = weight, .swapped = swapped};
    Error err = {0};
    bool ok = scores_read(path, &pool, &read, &err);
    check_error(ok, &err);
    for (int i = 0; ok && i < 3; i++) must(read.bare || (weight[i] >= 0 && weight[i] <= 1e15));
    /* The same bytes as the holdout's own scores. */
    Comparison c = {0};
    Error own = {0};
    ok = scores_settle(path, &pool, MAP_ACCEPT, &(ComparisonOptions){.level = 0.05}, 3, &c, &own);
    check_error(ok, &own);
    double kept = 0;
    for (int i = 0; i < 3; i++) kept += c.kept[i];
    must(!ok || (c.told.levels.records >= 1 && kept == 3 - c.told.trimmed));
    comparison_free(&c);
    free(path);
    return 0;
}

/* ---- runs and reports ---- */

static void build_report(const char *input) {
    Buf text = {0}, results = {0}, html = {0};
    Arena arena = {0};
    Error err = {0};
    ReportInputs in = {.count = 1, .paths = &input};
    bool ok = report_build(&in, &text, &results, &html, &err);
    check_error(ok, &err);
    if (ok) {
        must(unicode_valid(text.s, text.n, NULL) && unicode_valid(html.s, html.n, NULL));
        must(json_parse(&arena, results.s, results.n, NULL) != NULL);
    }
    arena_free(&arena);
    buf_free(&text);
    buf_free(&results);
    buf_free(&html);
}

int fuzz_report(const uint8_t *bytes, size_t n) {
    char *path = put_file("score.json", bytes, n);
    build_report(path);
    free(path);
    return 0;
}

static void parse_options(const char *name, int argc, char **argv) {
    Command command = {.name = name, .summary = ""};
    Settings s;
    OptionResult result;
    Arena arena = {0};
    Buf options = {0};
    Error err = {0};
    bool ok = settings_parse(&command, argc, argv, &s, &result, &arena, &options, &err);
    check_error(ok, &err);
    arena_free(&arena);
    buf_free(&options);
}

/* A run folder: for a report, and to be resumed. */
int fuzz_run(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"run.json", "log.jsonl", "scores.jsonl"};
    put_parts(bytes, n, names, 3);
    build_report(work_folder());
    Error err = {0};
    const char *path_of_run = work_folder();
    Buf table = {0};
    bool ok = csv_build(1, &path_of_run, &table, &err);
    check_error(ok, &err);
    buf_free(&table);
    err = (Error){0};
    run_has_result(work_folder(), &err);
    char resume[] = "--resume", file[] = "--options", path[sizeof folder];
    snprintf(path, sizeof path, "%s", work_folder());
    char *arguments[] = {resume, path};
    parse_options("train", 2, arguments);
    char *json = path_join(work_folder(), "run.json");
    char *from_file[] = {file, json};
    parse_options("train", 2, from_file);
    free(json);
    return 0;
}

/* The command's number, then arguments, each ended by a NUL. */
int fuzz_options(const uint8_t *bytes, size_t n) {
    static const char *const commands[] = {"corpus", "tokenizer", "encode",   "pretrain", "score",
                                           "train",  "eval",      "generate", "diff",     "bench"};
    enum { ARGUMENTS = 40 };
    char *argv[ARGUMENTS], *text = mem_new(n + 1, 1);
    int argc = 0;
    if (n > 1) memcpy(text, bytes + 1, n - 1);
    for (size_t at = 0; at + 1 < n && argc < ARGUMENTS; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    size_t count = sizeof commands / sizeof *commands;
    parse_options(commands[n ? bytes[0] % count : 0], argc, argv);
    free(text);
    return 0;
}
