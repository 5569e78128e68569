#define _XOPEN_SOURCE 700
#include "tests/fuzz/targets.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/adapter.h"
#include "data/generation.h"
#include "data/llama2c.h"
#include "data/model_config.h"
#include "data/model_folder.h"
#include "data/partial.h"
#include "data/place.h"
#include "data/pool.h"
#include "data/prompts.h"
#include "data/records.h"
#include "data/run.h"
#include "data/scores.h"
#include "data/sessions.h"
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/nfc.h"
#include "lib/pattern.h"
#include "lib/tensors.h"
#include "lib/text.h"
#include "lib/unicode.h"
#include "program/commands.h"
#include "program/outcome.h"
#include "program/report/csv.h"
#include "program/report/page.h"
#include "program/settings.h"

/* Ends the program if a reader contradicts itself. */
static void must(bool condition) {
    if (!condition) abort();
}

/* ---- files ---- */

static char folder[64];

/* Removes what is in a folder, and in folders in it. */
static void empty_folder(const char *path) {
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char *entry = path_join(path, e->d_name);
        if (unlink(entry) != 0) {
            empty_folder(entry);
            rmdir(entry);
        }
        free(entry);
    }
    if (d) closedir(d);
}

static void remove_folder(void) {
    empty_folder(folder);
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
    if (!t) t = tokenizer_train(&text, 1, 290, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err);
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

/* Does `copies` times the name fit what the pattern becomes? What is only too much counts as it
 * should be. */
static void check_pattern(const char *format, Str pattern, Str name, int copies, int wanted) {
    Buf text = {0}, names = {0};
    PatternError why = {0, ""};
    for (const char *c = format; *c; c++)
        if (*c == 'P') buf_put(&text, pattern.s, pattern.n);
        else buf_putc(&text, *c);
    for (int i = 0; i < copies; i++) buf_put(&names, name.s, name.n);
    int fits = pattern_fits((Str){text.s, text.n}, (Str){names.s, names.n}, &why);
    must(fits == wanted || (fits < 0 && strstr(why.what, "too ")));
    buf_free(&text);
    buf_free(&names);
}

/* A regular expression and a name, in one file for both. */
int fuzz_pattern(const uint8_t *bytes, size_t n) {
    const char *s = (const char *)bytes, *end = n ? memchr(s, 0x1E, n) : NULL;
    Str pattern = {s, end ? (size_t)(end - s) : n};
    Str name = {end ? end + 1 : s + n, end ? n - pattern.n - 1 : 0};
    PatternError why = {0, ""};
    int fits = pattern_fits(pattern, name, &why);
    if (fits < 0) must(why.at >= 1 && why.at <= pattern.n + 1 && why.what[0]);
    else {
        check_pattern("(?:P)", pattern, name, 1, fits);
        check_pattern("P|P", pattern, name, 1, fits);
        check_pattern("(P)?", pattern, name, 0, 1);
        check_pattern("(P){2}", pattern, (Str){"", 0}, 0, pattern_fits(pattern, str(""), &why));
        if (fits == 1) check_pattern("(P)(?:P|x){0}", pattern, name, 1, 1);
    }
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
    if (!chat) chat = tokenizer_train(&text, 0, 265, specials, 9, NULL, &err);
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

/* A model for the recipe's tokenizer. */
static Model *tiny_model(void) {
    Error err = {0};
    Model *m = model_new(
        (ModelConfig){.layers = 1, .heads = 1, .channels = 2, .context = 24, .vocab = 290}, &err);
    must(m != NULL);
    model_initialize(m, 1);
    return m;
}

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

/* The answer of b to a short row begins with a's. Without words it is the same: with them another
 * token may have ended it. */
static void compare_answers(const ModelFolder *a, const ModelFolder *b) {
    const ModelFolder *f[] = {a, b};
    const Sampling greedy = {.penalty = 1, .top_p = 1};
    IntBuf row = {0}, answer[2] = {{0}, {0}};
    StopReason why[2];
    Error err[2] = {{0}, {0}};
    ints_put(&row, 1);
    for (int i = 0; i < 2; i++) {
        Generator *g = generator_new(f[i], "model", &greedy, 1);
        generator_answer(g, &row, 4, NULL, NULL, &answer[i], &why[i], &err[i]);
        generator_free(g);
    }
    must(err[0].status == err[1].status && answer[0].n <= answer[1].n);
    must(a->tokenizer || (answer[0].n == answer[1].n && why[0] == why[1]));
    for (int i = 0; i < answer[0].n; i++) must(answer[0].v[i] == answer[1].v[i]);
    for (int i = 0; i < 2; i++) ints_free(&answer[i]);
    ints_free(&row);
}

/* Members of a config.json, and a generation_config.json, of a model whose tokenizer the last byte
 * chooses. What is read is saved, and means the same when it is read again. */
int fuzz_generation(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"members", "generation_config.json"};
    Error err = {0};
    bool words = n && bytes[n - 1] == '\n';
    ModelFolder f, again;
    Buf members = {0}, config = {0};
    empty_folder(work_folder());
    ModelFolder small = {.model = tiny_model()};
    must(model_save(small.model, work_folder(), &err));
    must(!words || tokenizer_save(recipe_tokenizer(), NULL, work_folder(), &err));
    put_parts(bytes, n, names, 2);
    char *path = path_join(work_folder(), "members");
    if (file_exists(path)) must(file_read(path, &members, &err));
    buf_putc(&members, 0);
    model_config_put(&config, &small.model->config, members.n > 1 ? members.s : NO_TOKENS);
    free(put_file("config.json", config.s, config.n));
    bool ok = model_folder_load(&f, work_folder(), &err);
    check_error(ok, &err);
    if (ok) {
        char *other = path_join(work_folder(), "saved");
        must(model_folder_save(&f, other, &err) && model_folder_load(&again, other, &err));
        compare_answers(&f, &again);
        model_folder_free(&f);
        model_folder_free(&again);
        free(other);
    }
    model_folder_free(&small);
    buf_free(&members);
    buf_free(&config);
    free(path);
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

/* Is the record of a the same example in b? */
static void compare_examples(const Example *a, const Example *b) {
    must(a->prompt_n == b->prompt_n && a->answer_n == b->answer_n &&
         a->rejected_n == b->rejected_n && a->start_n == b->start_n);
    for (int i = 0; i < a->prompt_n; i++) must(a->prompt[i] == b->prompt[i]);
    for (int i = 0; i < a->answer_n; i++) must(a->answer[i] == b->answer[i]);
}

/* The pool in blocks gives the examples of the whole. */
static void compare_pool(const ModelFolder *f, const SplitFiles *how, const char *path,
                         size_t block, const Examples *whole) {
    Error err = {0};
    Pool pool;
    const ExampleFile *part;
    PoolUse use = {.paths = &path, .files = 1, .how = *how, .block = block};
    bool ok = pool_open(&pool, f, &use, &err);
    check_error(ok, &err);
    must(ok == (whole != NULL));
    if (!ok) return;
    int at = 0;
    must(pool.facts.count == whole->count);
    while (must(pool_next(&pool, &part, &err)), part)
        for (int i = 0; i < part->examples.count; i++, at++) {
            must(at < whole->count);
            compare_examples(&part->examples.items[i], &whole->items[at]);
        }
    must(at == whole->count);
    pool_free(&pool);
}

/* The rows of pretraining fit, and hold tokens of the vocabulary. */
static void check_sessions(const ModelFolder *f, const char *path, bool skip_long) {
    Sessions s = {0};
    Error err = {0};
    Batch b = {0};
    const SessionOptions how = {
        .prompt_loss_weight = 0.5, .batch_tokens = 40, .skip_long = skip_long, .drop_copies = true};
    bool ok = sessions_read(&s, f, &path, 1, &how, &err);
    check_error(ok, &err);
    must(!ok || (sessions_rows(&s) > 0 && sessions_batches(&s) > 0));
    for (int r = 0; ok && r < sessions_rows(&s); r++) {
        int length = s.start.v[r + 1] - s.start.v[r];
        must(length >= 2 && length <= f->model->config.context + 1);
    }
    for (int i = 0; ok && i < s.token.n; i++)
        must(s.token.v[i] >= 0 && s.token.v[i] < f->model->config.vocab);
    for (int i = 0; ok && i < sessions_batches(&s); i++) must(sessions_batch(&s, i, &b) >= 0);
    batch_free(&b);
    sessions_free(&s);
}

/* Records as examples of one model: a pool and a holdout. The last byte says how they are read. */
int fuzz_examples(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"file", "holdout"};
    static Model *model;
    if (!model) model = tiny_model();
    int flags = n ? bytes[n - 1] : 0;
    char *pool = path_join(work_folder(), names[0]), *holdout = path_join(work_folder(), names[1]);
    put_parts(bytes, n ? n - 1 : 0, names, 2);
    Error err = {0};
    Splits x;
    Template template;
    must(template_named(&template, "recipe", (Str){NULL, 0}, recipe_tokenizer(), &err));
    ModelFolder f = {.model = model, .tokenizer = recipe_tokenizer(), .template = template};
    IntBuf bos = {0};
    template_start(&template, f.tokenizer, (Str){NULL, 0}, &bos);
    f.bos = bos.v;
    f.bos_n = bos.n;
    if (flags & 64) {
        f.template.system_prefix = "<q>s ";
        f.template.system_end = "<e>";
    }
    SplitFiles how = {.truncate = flags & 1,
                      .skip_long = flags & 2,
                      .drop_copies = flags & 4,
                      .pairs = flags & 8,
                      .demos_as = flags & 16 ? DEMOS_AS_TEXT : DEMOS_AS_TURNS};
    SplitFiles files = how;
    files.pool = pool;
    bool ok = splits_read(&x, &f, &files, &err);
    check_error(ok, &err);
    compare_pool(&f, &how, pool, (size_t)flags % 50 + 1, ok ? &x.pool.examples : NULL);
    if (ok) splits_free(&x);
    files.holdout = holdout;
    files.drop_overlap = flags & 32;
    err = (Error){0};
    ok = splits_read(&x, &f, &files, &err);
    check_error(ok, &err);
    if (ok) splits_free(&x);
    check_sessions(&f, pool, flags & 2);
    ints_free(&bos);
    template_free(&template);
    free(pool);
    free(holdout);
    return 0;
}

/* What was chosen are records of the pool, in its order. */
static void check_chosen(const char *pool, const char *chosen, bool weights) {
    Dataset all, some;
    Error err = {0};
    must(records_load(&all, pool, &err) && records_load(&some, chosen, &err));
    int at = 0;
    for (int i = 0; i < some.count; i++) {
        while (at < all.count && record_hash(&all.records[at]) != record_hash(&some.records[i]))
            at++;
        must(at++ < all.count);
        must(!weights || some.records[i].weight > 0);
    }
    records_free(&all);
    records_free(&some);
}

/* A pool, its score file and the holdout's own scores, for `ica select`. The last byte says how. */
int fuzz_select(const uint8_t *bytes, size_t n) {
    static const char *const names[] = {"pool.jsonl", "scores.jsonl", "own.jsonl"};
    static const WeightMap maps[] = {(WeightMap)-1, MAP_FILTER, MAP_MINMAX, MAP_ACCEPT};
    int how = n ? bytes[n - 1] : 0;
    put_parts(bytes, n ? n - 1 : 0, names, 3);
    char *file[4];
    for (int i = 0; i < 3; i++) file[i] = path_join(work_folder(), names[i]);
    file[3] = path_join(work_folder(), "chosen.jsonl");
    unlink(file[3]);
    Settings s = {.command = "select",
                  .pool = file[0],
                  .scores = file[1],
                  .out = file[3],
                  .weight_map = how & 4 ? (WeightMap)-1 : maps[how & 3],
                  .share = how & 4 ? 0.5 : 0,
                  .temperature = 1,
                  .accept_level = 0.05,
                  .with_weights = how & 8,
                  .skip_unscored = how & 16,
                  .json = true};
    if (s.weight_map == MAP_ACCEPT) s.holdout_scores = file[2];
    Error err = {0};
    bool ok = command_select(&s, &err);
    check_error(ok, &err);
    must(ok == file_exists(file[3]));
    if (ok) check_chosen(file[0], file[3], s.with_weights);
    for (int i = 0; i < 4; i++) free(file[i]);
    return 0;
}

/* One line of what interrupted work left gets a weight. */
static bool edit_line(void *self, int i, Str line, Buf *b, Error *err) {
    int *lines = self;
    Arena arena = {0};
    ScoreLine x;
    (void)err;
    must(i == (*lines)++);
    scores_line(json_parse(&arena, line.s, line.n, NULL), &x);
    scores_put_weight(b, line, 0.5, i & 1);
    arena_free(&arena);
    return true;
}

/* OUT.part, continued: it has as many records as it says. */
int fuzz_partial(const uint8_t *bytes, size_t n) {
    Buf depends = {0}, text = {0};
    Error err = {0};
    Partial p;
    int lines = 0;
    char *out = path_join(work_folder(), "file");
    free(put_file("file.part", bytes, n));
    depends_put(&depends, "--k", "3");
    bool ok = partial_open(&p, out, "score", &depends, PARTIAL_RESUME, &err);
    check_error(ok, &err);
    if (ok) {
        buf_puts(&p.lines, "{\"id\":\"9\",\"score\":1,\"tokens\":1}\n");
        must(partial_write(&p, out, edit_line, &lines, &err) && lines == p.done + 1);
        must(file_read(out, &text, &err));
        must(partial_save(&p, p.done + 1, &err));
        partial_end(&p, false);
        must(partial_open(&p, out, "score", &depends, PARTIAL_RESUME, &err) && p.done == lines);
        partial_end(&p, true);
    }
    buf_free(&text);
    buf_free(&depends);
    free(out);
    return 0;
}

/* Lines on stdin: of text and of token ids. */
int fuzz_lines(const uint8_t *bytes, size_t n) {
    Error err = {0};
    char *path = put_file("file", bytes, n), *words = path_join(work_folder(), "words");
    if (!file_exists(words))
        must(folder_make(words, &err) && tokenizer_save(recipe_tokenizer(), NULL, words, &err));
    Settings s = {.tokenizer = words};
    for (int i = 0; i < 2; i++) {
        int fd = open(path, O_RDONLY);
        must(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
        close(fd);
        err = (Error){0};
        bool ok = i ? command_decode(&s, &err) : command_encode(&s, &err);
        check_error(ok, &err);
        must(ok || i == 1);
    }
    free(words);
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

/* Are the arguments taken? options: the values that a run.json would have. */
static bool parse_options(const Command *command, int argc, char **argv, Buf *options) {
    Settings s;
    OptionResult result;
    Arena arena = {0};
    Error err = {0};
    bool ok = settings_parse(command, argc, argv, &s, &result, &arena, options, &err);
    check_error(ok, &err);
    arena_free(&arena);
    return ok;
}

/* A new run is written into the folder of any other, or refused; the other's files stay. */
static void check_place(void) {
    RunPlace place;
    Error err = {0};
    char *run = path_join(work_folder(), "run.json");
    bool there = file_exists(run);
    bool ok = place_open(&place, work_folder(), PLACE_NEW, &err);
    check_error(ok, &err);
    place_close(&place);
    must(there == file_exists(run) && !(ok && there));
    free(run);
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
    double loss;
    err = (Error){0};
    check_error(outcome_first_loss(work_folder(), &loss, &err), &err);
    check_place();
    char resume[] = "--resume", file[] = "--options", path[sizeof folder];
    snprintf(path, sizeof path, "%s", work_folder());
    char *arguments[] = {resume, path};
    const Command train = {.name = "train"};
    Buf options = {0};
    parse_options(&train, 2, arguments, &options);
    char *json = path_join(work_folder(), "run.json");
    char *from_file[] = {file, json};
    parse_options(&train, 2, from_file, &options);
    buf_free(&options);
    free(json);
    return 0;
}

/* The command's number, then arguments, each ended by a NUL. */
int fuzz_options(const uint8_t *bytes, size_t n) {
    static const Command commands[] = {
        {.name = "corpus"},
        {.name = "tokenizer"},
        {.name = "encode"},
        {.name = "pretrain"},
        {.name = "score"},
        {.name = "train"},
        {.name = "eval"},
        {.name = "generate"},
        {.name = "diff", .positional = "A B"},
        {.name = "bench"},
        {.name = "decode"},
        {.name = "select"},
        {.name = "chat"},
        {.name = "merge"},
        {.name = "import"},
        {.name = "inspect", .positional = "FILE"},
        {.name = "report", .positional = "RUN..."},
    };
    enum { ARGUMENTS = 40 };
    char *argv[ARGUMENTS], *text = mem_new(n + 1, 1);
    int argc = 0;
    if (n > 1) memcpy(text, bytes + 1, n - 1);
    for (size_t at = 0; at + 1 < n && argc < ARGUMENTS; at += strlen(text + at) + 1)
        argv[argc++] = text + at;
    size_t count = sizeof commands / sizeof *commands;
    Buf options = {0};
    parse_options(&commands[n ? bytes[0] % count : 0], argc, argv, &options);
    buf_free(&options);
    free(text);
    return 0;
}

/* The command's number, then a file for --options. The run.json of what was taken from it gives
 * the same. */
int fuzz_options_file(const uint8_t *bytes, size_t n) {
    enum { NEEDS = 4 };
    static const struct {
        const char *name, *needs[NEEDS];
    } commands[] = {
        {"pretrain", {"--data=d", "--out=o", "--eval=e"}},
        {"score", {"--model=m", "--pool=p", "--out=o"}},
        {"train", {"--model=m", "--pool=p", "--out=o", "--eval=e"}},
        {"eval", {"--model=m", "--data=d"}},
        {"generate", {"--model=m"}},
    };
    size_t chosen = n ? bytes[0] % (sizeof commands / sizeof *commands) : 0;
    const Command command = {.name = commands[chosen].name};
    char *path = put_file("options.json", bytes + (n > 0), n - (n > 0));
    const char *argv[2 + NEEDS] = {"--options", path};
    int argc = 2;
    for (int i = 0; i < NEEDS && commands[chosen].needs[i]; i++)
        argv[argc++] = commands[chosen].needs[i];
    Buf once = {0}, run = {0}, again = {0};
    if (parse_options(&command, argc, (char **)argv, &once)) {
        buf_printf(&run, "{\"command\":\"%s\",\"options\":%s}", command.name, once.s);
        free(put_file("options.json", run.s, run.n));
        must(parse_options(&command, argc, (char **)argv, &again));
        must(strcmp(once.s, again.s) == 0);
    }
    buf_free(&once);
    buf_free(&run);
    buf_free(&again);
    free(path);
    return 0;
}
