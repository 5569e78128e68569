/* Model folders: config.json and model.safetensors as Hugging Face writes them, in every type
 * and with every defect. */
#define _POSIX_C_SOURCE 200809L
#include "data/model_folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "tests/unit/check.h"

static const ModelConfig SMALL = {
    .layers = 2, .heads = 3, .channels = 24, .context = 160, .vocab = 61};

static bool same(const void *a, const void *b, size_t n) { return memcmp(a, b, n) == 0; }

/* How to write model.safetensors. All zero: as Hugging Face does, in F32.
 * edit: 'm' missing, 'f' flat, of shape [size], 't' turned, [columns, rows], 's' short, 'r' of
 * rank + 1.
 * head: 0 none, 1 as wte, 2 with another last element, 3 a row short, 4 of integers. */
typedef struct {
    const char *prefix; /* before every name */
    const char *type;   /* F32, F64, F16, BF16, or one that weights cannot have */
    const char *edited; /* this tensor is changed: */
    char edit;          /* how, or 0 */
    double poison;      /* its last element, if not 0 */
    const char *more;   /* one more tensor of this name, of shape [2] */
    int head;           /* lm_head.weight */
} Weights;

static size_t type_size(const char *type) {
    return strstr(type, "64") ? 8 : strstr(type, "32") ? 4 : 2;
}

/* The bits of x, which every type here can hold exactly, or is NaN or infinite. */
static void put_value(Buf *b, const char *type, double x) {
    float f = (float)x;
    uint32_t bits32;
    uint64_t bits;
    memcpy(&bits32, &f, 4);
    if (type[1] == '6' && type[2] == '4') memcpy(&bits, &x, 8);
    else if (type[1] == '1') { /* F16: 5 bits of exponent, bias 15, 10 of fraction */
        int exponent = 0;
        double fraction = frexp(fabs(x), &exponent); /* in [0.5, 1) */
        bits = x == 0 ? 0 : (uint64_t)(exponent + 14) << 10 | (uint64_t)((fraction * 2 - 1) * 1024);
        if (signbit(x)) bits |= 0x8000;
    } else bits = type[0] == 'B' ? bits32 >> 16 : bits32;
    for (size_t i = 0; i < type_size(type); i++) buf_putc(b, (char)(bits >> (8 * i) & 255));
}

/* The tensor whose bytes end the data so far, and start at `from`. */
static void put_header(Buf *header, const Buf *data, const char *type, const char *prefix,
                       const char *name, const char *shape, size_t from) {
    if (header->n > 1) buf_putc(header, ',');
    buf_printf(header, "\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
               prefix, name, type, shape, from, data->n);
}

static void put_tensor(Buf *header, Buf *data, const Model *m, const ModelTensor *t,
                       const Weights *how) {
    bool edited = how->edited && strcmp(t->name, how->edited) == 0;
    char edit = edited ? how->edit : 0, shape[64];
    int rows = t->shape[0] - (edit == 's'), columns = t->shape[1];
    size_t size = t->size, from = data->n;
    if (edit == 'm') return;
    if (edit == 's') size -= t->rank == 2 ? (size_t)columns : 1;
    if (t->rank == 1) snprintf(shape, sizeof shape, "%d", rows);
    else
        snprintf(shape, sizeof shape, "%d,%d", edit == 't' ? columns : rows,
                 edit == 't' ? rows : columns);
    if (edit == 'f') snprintf(shape, sizeof shape, "%zu", t->size);
    if (edit == 'r') snprintf(shape + strlen(shape), 3, ",1");
    for (size_t j = 0; j < size; j++)
        put_value(data, how->type,
                  edited && how->poison != 0 && j == size - 1 ? how->poison
                                                              : (double)m->w[t->offset + j]);
    put_header(header, data, how->type, how->prefix, t->name, shape, from);
}

static void put_lm_head(Buf *header, Buf *data, const Model *m, Weights how) {
    char shape[64];
    size_t from = data->n,
           size = m->tensors[0].size - (how.head == 3 ? (size_t)m->config.channels : 0);
    if (how.head == 4) how.type = "I32";
    snprintf(shape, sizeof shape, "%d,%d", m->config.vocab - (how.head == 3), m->config.channels);
    for (size_t j = 0; j < size; j++)
        put_value(data, how.type, how.head == 2 && j == size - 1 ? 3 : (double)m->w[j]);
    put_header(header, data, how.type, "", "lm_head.weight", shape, from);
}

static void write_or_exit(const char *path, const Buf *text) {
    Error err = {0};
    if (!file_write(path, text->s, text->n, &err)) exit(error_print(&err));
}

static void write_weights(const char *folder, const Model *m, Weights how) {
    Buf header = {0}, data = {0}, file = {0};
    if (!how.prefix) how.prefix = "";
    if (!how.type) how.type = "F32";
    buf_putc(&header, '{');
    for (int i = 0; i < m->tensor_count; i++) put_tensor(&header, &data, m, &m->tensors[i], &how);
    size_t from = data.n; /* a causal mask, as old files have it: not a weight */
    for (int i = 0; i < 4; i++) put_value(&data, how.type, i != 1);
    put_header(&header, &data, how.type, how.prefix, "h.0.attn.bias", "1,1,2,2", from);
    from = data.n;
    for (int i = 0; how.more && i < 2; i++) put_value(&data, how.type, 0);
    if (how.more) put_header(&header, &data, how.type, "", how.more, "2", from);
    if (how.head) put_lm_head(&header, &data, m, how);
    buf_putc(&header, '}');
    while (header.n % 8 != 0) buf_putc(&header, ' ');
    for (int i = 0; i < 8; i++) buf_putc(&file, (char)((uint64_t)header.n >> (8 * i) & 255));
    buf_put(&file, header.s, header.n);
    buf_put(&file, data.s, data.n);
    char *path = path_join(folder, "model.safetensors");
    write_or_exit(path, &file);
    free(path);
    buf_free(&header);
    buf_free(&data);
    buf_free(&file);
}

/* config.json as the model writes it, with one piece of the text replaced. */
static void write_config(const char *folder, const Buf *original, const char *from,
                         const char *to) {
    Buf text = {0};
    const char *at = from ? strstr(original->s, from) : NULL;
    CHECK(!from || at, "config.json has no %s", from);
    if (at) {
        buf_put(&text, original->s, (size_t)(at - original->s));
        buf_puts(&text, to);
        buf_puts(&text, at + strlen(from));
    } else buf_put(&text, original->s, original->n);
    char *path = path_join(folder, "config.json");
    write_or_exit(path, &text);
    free(path);
    buf_free(&text);
}

/* Loads the folder: the weights must be m's, or, with `word`, it must be refused with a message
 * that names the folder and says the word. */
static void check_load(const char *folder, const Model *m, const char *word, const char *what) {
    Error err = {0};
    Model *loaded = model_load(folder, &err);
    if (!word) {
        CHECK(loaded && err.status == 0, "%s: refused: %s", what, err.text);
        bool shape = loaded && loaded->parameters == m->parameters &&
                     loaded->config.heads == m->config.heads;
        CHECK(shape, "%s: other shape", what);
        if (shape)
            CHECK(same(loaded->w, m->w, m->parameters * sizeof(real)), "%s: other weights", what);
    } else {
        CHECK(!loaded, "%s: was loaded", what);
        CHECK(err.status == STATUS_DATA || err.status == STATUS_IO, "%s: status %d", what,
              err.status);
        CHECK(strstr(err.text, folder) && strstr(err.text, word), "%s: the message is \"%s\"", what,
              err.text);
    }
    model_free(loaded);
}

static void test_config(const char *folder, const Model *m, const Buf *config) {
    static const struct {
        const char *from, *to, *word;
    } cases[] = {
        {"\"gelu_new\"", "\"relu\"", "activation_function"},
        {"\"gelu_new\"", "7", "activation_function"},
        {"\"model_type\": \"gpt2\"", "\"model_type\": \"gptj\"", "model_type"},
        {"1e-05", "-1e-06", "layer_norm_epsilon"},
        {"\"scale_attn_weights\": true", "\"scale_attn_weights\": false", "scale_attn_weights"},
        {"idx\": false", "idx\": true", "scale_attn_by_inverse_layer_idx"},
        {"\"n_layer\": 2", "\"n_layer\": 0", "n_layer"},
        {"\"n_layer\": 2", "\"n_layer\": 1.5", "n_layer"},
        {"\"n_layer\": 2", "\"n_layer\": \"2\"", "n_layer"},
        {"\"n_layer\": 2", "\"n_layer\": 1e300", "n_layer"},
        {"\"n_layer\"", "\"n_lay\"", "n_layer"},
        {"\"n_layer\": 2", "\"n_layer\": 3", "h.2.ln_1.weight"},
        {"\"n_layer\": 2", "\"n_layer\": 1", "belongs to layer 1, and config.json has n_layer 1"},
        {"embeddings\": true", "embeddings\": false", "has no lm_head.weight"},
        {"embeddings\": true", "embeddings\": 1", "tie_word_embeddings"},
        {"\"n_head\": 3", "\"n_head\": -3", "n_head"},
        {"\"n_embd\": 24", "\"n_embd\": 48", "wte.weight"},
        {"\"vocab_size\": 61", "\"vocab_size\": 60", "wte.weight"},
        {"\"n_positions\": 160", "\"n_positions\": 161", "wpe.weight"},
        {"\"n_inner\": null", "\"n_inner\": 95", "h.0.mlp.c_fc.weight"},
        {"\"n_inner\": null", "\"n_inner\": \"96\"", "n_inner"},
        {"\"n_inner\": null", "\"n_inner\": 96.5", "n_inner"},
        {"\"n_inner\": null", "\"n_inner\": 1e300", "n_inner"},
        {"\"n_layer\"", "n_layer", "config.json:"},
        {"}", "", "config.json:"},
        {"{", "[", "config.json:"},
        {"\"n_inner\": null", "\"n_inner\": 96", NULL},
        {"\"n_positions\"", "\"n_something\"", NULL}, /* n_ctx stands in */
        {"\"model_type\"", "\"left_out\"", NULL},     /* what is not said is as GPT-2 has it */
        {"\"activation_function\"", "\"left_out\"", NULL},
        {"\"layer_norm_epsilon\"", "\"left_out\"", NULL},
        {"\"scale_attn_weights\"", "\"left_out\"", NULL},
        {"\"scale_attn_by_inverse_layer_idx\"", "\"left_out\"", NULL},
        {"\"n_inner\"", "\"left_out\"", NULL},
        {"1e-05", "0.00001", NULL},
        {"{", "{\"unknown\": [1, {}],", NULL},
        {NULL, NULL, NULL},
    };
    write_weights(folder, m, (Weights){0});
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char what[128];
        snprintf(what, sizeof what, "config.json with %s instead of %s", cases[i].to,
                 cases[i].from);
        write_config(folder, config, cases[i].from, cases[i].to);
        check_load(folder, m, cases[i].word, what);
    }
    Error err = {0};
    write_config(folder, config, "\"n_head\": 3", "\"n_head\": 5");
    Model *none = model_load(folder, &err);
    CHECK(!none && err.status == STATUS_DATA && strstr(err.text, "heads"),
          "24 channels in 5 heads: \"%s\"", err.text);
    write_config(folder, config, NULL, NULL);
}

static void test_weight_files(const char *folder, const Model *m) {
    static const struct {
        Weights how;
        const char *word;
    } cases[] = {
        {{.type = "F32"}, NULL},
        {{.type = "F64"}, NULL},
        {{.type = "F16"}, NULL},
        {{.type = "BF16"}, NULL},
        {{.prefix = "transformer."}, NULL},
        {{.prefix = "transformer.", .head = 1}, NULL},
        {{.head = 1}, NULL},
        {{.more = "h.1.attn.masked_bias"}, NULL},
        {{.more = "transformer.h.1.attn.bias"}, NULL},
        {{.more = "h.2.attn.bias"}, "tensor h.2.attn.bias belongs to layer 2"},
        {{.more = "h.1.attn.q_norm.weight"},
         "tensor h.1.attn.q_norm.weight is none of a gpt2 model's"},
        {{.more = "transformer.h.1.adapter"}, "tensor transformer.h.1.adapter is none"},
        {{.more = "score.weight"}, "tensor score.weight is none"},
        {{.more = "transformer.lm_head.weight"}, "tensor transformer.lm_head.weight is none"},
        {{.more = "ln_f.bias\\u0000"}, "tensor ln_f.bias"},
        {{.more = "transformer.ln_f.bias"}, "tensor ln_f.bias is there twice"},
        {{.type = "F16", .head = 1}, NULL},
        {{.prefix = "model."}, "wte.weight"},
        {{.type = "I32"}, "wte.weight"},
        {{.type = "I64"}, "wte.weight"},
        {{.head = 2}, "lm_head"},
        {{.head = 3}, "lm_head"},
        {{.head = 4}, "lm_head"},
        {{.edited = "ln_f.bias", .edit = 'm'}, "ln_f.bias"},
        {{.edited = "h.1.mlp.c_fc.weight", .edit = 'm'}, "h.1.mlp.c_fc.weight"},
        {{.edited = "h.1.mlp.c_fc.weight", .edit = 't'}, "h.1.mlp.c_fc.weight"},
        {{.edited = "h.0.attn.c_proj.weight", .edit = 'f'}, "h.0.attn.c_proj.weight"},
        {{.edited = "h.0.ln_2.weight", .edit = 's'}, "h.0.ln_2.weight"},
        {{.edited = "h.0.ln_2.weight", .edit = 'r'}, "h.0.ln_2.weight"},
        {{.edited = "h.0.attn.c_proj.weight", .edit = 'r'}, "h.0.attn.c_proj.weight"},
        {{.edited = "wpe.weight", .edit = 's'}, "wpe.weight"},
        {{.edited = "ln_f.bias", .poison = NAN}, "ln_f.bias"},
        {{.edited = "wte.weight", .poison = INFINITY}, "wte.weight"},
        {{.edited = "h.1.attn.c_attn.bias", .poison = -INFINITY}, "h.1.attn.c_attn.bias"},
        {{.type = "F64", .edited = "h.0.mlp.c_proj.weight", .poison = NAN},
         "h.0.mlp.c_proj.weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char what[160];
        const Weights *how = &cases[i].how;
        snprintf(what, sizeof what, "weights %zu: %s %s edited, lm_head %d", i,
                 how->type ? how->type : "F32", how->edited ? how->edited : "nothing", how->head);
        write_weights(folder, m, *how);
        check_load(folder, m, cases[i].word, what);
    }
}

/* Without the tie the head is a matrix of its own, whatever it holds. */
static void test_tie(const char *folder, const Model *m, const Buf *config) {
    write_config(folder, config, "embeddings\": true", "embeddings\": false");
    for (int head = 1; head <= 2; head++) {
        Error err = {0};
        write_weights(folder, m, (Weights){.head = head});
        Model *loaded = model_load(folder, &err);
        size_t size = m->tensors[0].size;
        CHECK(loaded && loaded->parameters == m->parameters + size &&
                  same(loaded->w, m->w, m->parameters * sizeof(real)) &&
                  same(loaded->view.head, m->w, (size - 1) * sizeof(real)) &&
                  loaded->view.head[size - 1] == (head == 2 ? 3 : m->w[size - 1]),
              "an untied head, %d: %s", head, err.text);
        model_free(loaded);
    }
    write_config(folder, config, NULL, NULL);
}

static void test_files(void) {
    char folder[512];
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_model.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    Error err = {0};
    Buf config = {0};
    Model *m = model_new(SMALL, &err);
    model_initialize(m, 22);
    char *config_path = path_join(folder, "config.json"),
         *weights_path = path_join(folder, "model.safetensors");
    check_load(folder, m, "config.json", "an empty folder");
    CHECK(model_save(m, folder, &err), "save: %s", err.text);
    check_load(folder, m, NULL, "saved and loaded");
    CHECK(file_read(config_path, &config, &err), "%s", err.text);
    for (size_t i = 0; i < m->parameters; i++)
        m->w[i] = (real)((int)(i % 65) - 32) / 16; /* exact in every type */
    test_config(folder, m, &config);
    test_weight_files(folder, m);
    test_tie(folder, m, &config);
    unlink(weights_path);
    check_load(folder, m, "model.safetensors", "a folder without weights");
    unlink(config_path);
    rmdir(folder);
    CHECK(!model_save(m, folder, &err) && err.status == STATUS_IO,
          "saved into a folder that is gone");
    err = (Error){0};
    CHECK(!model_load(folder, &err) && err.status != 0, "loaded from a folder that is gone");
    free(config_path);
    free(weights_path);
    buf_free(&config);
    model_free(m);
}

/* ---- what other programs want ---- */

static void put_text(const char *folder, const char *name, const char *text) {
    Error err = {0};
    char *path = path_join(folder, name);
    if (!file_write(path, text, strlen(text), &err)) exit(error_print(&err));
    free(path);
}

/* A file of the folder holds a piece of text. */
static void check_holds(const char *folder, const char *name, const char *piece) {
    Error err = {0};
    Buf text = {0};
    char *path = path_join(folder, name);
    bool ok = file_read(path, &text, &err);
    CHECK(ok, "%s", err.text);
    if (ok) CHECK(strstr(text.s, piece), "%s has no %s: %s", name, piece, text.s);
    free(path);
    buf_free(&text);
}

/* Loads the folder and saves it into another one. */
static void pass_on(const char *from, const char *to) {
    Error err = {0};
    ModelFolder f;
    bool ok = model_folder_load(&f, from, &err);
    CHECK(ok, "%s", err.text);
    if (!ok) return;
    CHECK(model_folder_save(&f, to, &err), "%s", err.text);
    model_folder_free(&f);
}

static void remove_folder(const char *folder) {
    static const char *const names[] = {"config.json",
                                        "model.safetensors",
                                        "vocab.json",
                                        "merges.txt",
                                        "tokenizer_config.json",
                                        "template.json",
                                        "generation_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_join(folder, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
}

/* bos, eos and pad: the ids of <bos>, of the answer's end, and of eos where there is no pad. */
static void check_token_ids(const char *folder, const char *to) {
    Error err = {0};
    Str text = str("low lower");
    ModelFolder f = {.tokenizer =
                         tokenizer_train(&text, 1, 262, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err),
                     .template = TEMPLATE_RECIPE};
    const char *ids = "\"bos_token_id\": 0, \"eos_token_id\": 3, \"pad_token_id\": 3";
    f.model = model_new(
        (ModelConfig){.layers = 1, .heads = 1, .channels = 8, .context = 16, .vocab = 262}, &err);
    model_initialize(f.model, 1);
    CHECK(model_folder_save(&f, folder, &err), "%s", err.text);
    model_free(f.model);
    tokenizer_free(f.tokenizer);
    check_holds(folder, "config.json", ids);
    check_holds(folder, "generation_config.json", ids);
    check_holds(folder, "tokenizer_config.json", "\"pad_token\": \"<e>\"");
    check_holds(folder, "tokenizer_config.json", "\"chat_template\": \"{{ '<bos>' }}{% set ns");
    /* The end is the template's, whatever token the tokenizer calls eos. */
    put_text(folder, "template.json",
             "{\"bos\": \"\", \"prompt_prefix\": \"\", "
             "\"answer_prefix\": \"\", \"example_end\": \"<a>\"}");
    pass_on(folder, to);
    check_holds(to, "config.json", "\"eos_token_id\": 2, \"pad_token_id\": 3");
    check_holds(to, "tokenizer_config.json", "\"eos_token\": \"<e>\"");
}

/* config.json's eos_token_id may be a list, as Llama 3 has it. It stays one. */
static void check_ends(const char *folder, const char *to) {
    static const struct {
        const char *in, *out;
    } cases[] = {{"[7, 2]", "\"eos_token_id\": [7,2], \"pad"},
                 {"[7, 8]", "\"eos_token_id\": [2,7,8], \"pad"},
                 {"[]", "\"eos_token_id\": [2], \"pad"},
                 {"null", "\"eos_token_id\": 2, \"pad"},
                 {"7", "\"eos_token_id\": 2, \"pad"}};
    Error err = {0};
    Buf config = {0};
    char *path = path_join(folder, "config.json");
    CHECK(file_read(path, &config, &err), "%s", err.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char changed[64];
        snprintf(changed, sizeof changed, "\"eos_token_id\": %s", cases[i].in);
        write_config(folder, &config, "\"eos_token_id\": 3", changed);
        pass_on(folder, to);
        check_holds(to, "config.json", cases[i].out);
    }
    write_config(folder, &config, NULL, NULL);
    free(path);
    buf_free(&config);
}

/* generation_config.json is carried over, byte by byte where it ends answers where we do. */
static void check_generation(const char *folder, const char *to) {
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"eos_token_id\": 2,  \"top_k\": 5}", "{\"eos_token_id\": 2,  \"top_k\": 5}"},
        {"{\"eos_token_id\":[7, 2]}\n", "{\"eos_token_id\":[7, 2]}\n"},
        {"{\"top_p\": 0.90, \"eos_token_id\": 7}", "{\"eos_token_id\":[2,7],\"top_p\":0.90}"},
        {"{\"eos_token_id\": [7, 8]}", "{\"eos_token_id\":[2,7,8]}"},
        {"{\"eos_token_id\": null, \"x\": [{}]}", "{\"eos_token_id\":[2],\"x\":[{}]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text(folder, "generation_config.json", cases[i].in);
        pass_on(folder, to);
        check_holds(to, "generation_config.json", cases[i].out);
    }
    Error err = {0};
    ModelFolder f;
    put_text(folder, "generation_config.json", "{");
    CHECK(!model_folder_load(&f, folder, &err), "half a file was read");
    CHECK(strstr(err.text, "generation_config.json:1: not valid JSON"), "%s", err.text);
}

/* Without a vocabulary the ids are those that config.json had. */
static void check_no_vocabulary(const char *folder, const char *to) {
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 16, .vocab = 262};
    Error err = {0};
    Buf config = {0};
    Model *m = model_new(shape, &err);
    model_initialize(m, 1);
    CHECK(model_save(m, folder, &err), "%s", err.text);
    char *path = path_join(folder, "config.json");
    CHECK(file_read(path, &config, &err), "%s", err.text);
    write_config(folder, &config, "\"eos_token_id\": null", "\"eos_token_id\": [9, 8]");
    pass_on(folder, to);
    check_holds(to, "config.json", "\"bos_token_id\": null, \"eos_token_id\": [9,8], \"pad");
    check_holds(to, "generation_config.json", "\"eos_token_id\": [9,8]");
    free(path);
    buf_free(&config);
    model_free(m);
}

/* Whose rules split text if no tokenizer.json says it: transformers takes the tokenizer's class
 * first, then that of the model's config.json, then the family. Only GPT-2's is read. */
static void check_rules(const char *folder, const char *to) {
    static const struct {
        const char *own, *model, *part; /* tokenizer_config.json, config.json, the message */
    } rows[] = {
        {NULL, "{\"model_type\": \"qwen2\"}", "config.json: model_type is qwen2, whose"},
        {"{}", "{\"model_type\": \"qwen3\"}", "config.json: model_type is qwen3, whose"},
        {"{\"eos_token\": \"<e>\"}", "{\"model_type\": \"llama\"}", "model_type is llama"},
        {NULL, "{\"tokenizer_class\": \"Qwen2Tokenizer\"}", "/config.json: tokenizer_class is Q"},
        {"{}", "{\"model_type\": 1", "config.json:1: not valid JSON"},
        {NULL, "{\"model_type\": \"gpt2\"}", NULL},
        {NULL, "{}", NULL},
        {NULL, "{\"tokenizer_class\": \"GPT2Tokenizer\", \"model_type\": \"llama\"}", NULL},
        {"{\"tokenizer_class\": \"GPT2Tokenizer\"}", "{\"model_type\": \"qwen2\"}", NULL},
    };
    Error err = {0};
    Str text = str("low lower");
    Tokenizer *t = tokenizer_train(&text, 1, 262, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err);
    char *own = path_join(folder, "tokenizer_config.json");
    CHECK(tokenizer_save(t, NULL, folder, &err), "%s", err.text);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].own) put_text(folder, "tokenizer_config.json", rows[i].own);
        else unlink(own);
        put_text(folder, "config.json", rows[i].model);
        err = (Error){0};
        Tokenizer *again = tokenizer_load(folder, &err);
        CHECK(rows[i].part ? !again && strstr(err.text, rows[i].part) : again != NULL,
              "%s and %s: got \"%s\"", rows[i].own ? rows[i].own : "nothing", rows[i].model,
              err.text);
        tokenizer_free(again);
    }
    tokenizer_free(t);
    free(own);
    (void)to;
}

static void test_other_programs(void) {
    char folder[512], to[600];
    void (*const checks[])(const char *, const char *) = {
        check_token_ids, check_ends, check_generation, check_no_vocabulary, check_rules};
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_folder.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(1);
    }
    snprintf(to, sizeof to, "%s/to", folder);
    for (int i = 0; i < 5; i++) {
        checks[i](folder, to);
        remove_folder(to);
        if (i >= 2) remove_folder(folder); /* the first three share one */
        if (i == 2 || i == 3) CHECK(folder_make(folder, &(Error){0}), "no folder");
    }
}

int main(void) {
    test_files();
    test_other_programs();
    return check_report("test_model_folder");
}
