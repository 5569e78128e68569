/* A model folder: config.json, model.safetensors, and the tokenizer's files. */
#include "data/model_folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/template.h"
#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/tensors.h"

/* ---- config.json ---- */

static const char NO_TOKENS[] =
    "\"bos_token_id\": null, \"eos_token_id\": null, \"pad_token_id\": null";

typedef struct {
    char *path;
    ModelConfig shape;
    bool tied; /* the head's matrix is wte */
} Config;

/* Keys that hold the model's shape. */
static const struct {
    const char *key;
    size_t member;
} SHAPE_KEYS[] = {
    {"n_layer", offsetof(ModelConfig, layers)},   {"n_head", offsetof(ModelConfig, heads)},
    {"n_embd", offsetof(ModelConfig, channels)},  {"n_positions", offsetof(ModelConfig, context)},
    {"vocab_size", offsetof(ModelConfig, vocab)},
};
enum { SHAPE_KEY_COUNT = sizeof SHAPE_KEYS / sizeof *SHAPE_KEYS };

/* Keys of which the program implements one value. A file that lacks the key means this value. */
static const struct {
    const char *key, *value; /* the value as JSON text */
} FIXED_KEYS[] = {
    {"model_type", "\"gpt2\""},
    {"activation_function", "\"gelu_new\""},
    {"layer_norm_epsilon", "1e-05"},
    {"scale_attn_weights", "true"},
    {"scale_attn_by_inverse_layer_idx", "false"},
};
enum { FIXED_KEY_COUNT = sizeof FIXED_KEYS / sizeof *FIXED_KEYS };

/* Is v what the JSON text says: a string, a boolean, or a number up to rounding? */
static bool value_is(const Json *v, const char *text) {
    size_t n = strlen(text);
    if (v->type == JSON_STRING)
        return *text == '"' && v->string.n + 2 == n && memcmp(v->string.s, text + 1, n - 2) == 0;
    if (v->type == JSON_BOOL) return strcmp(text, v->boolean ? "true" : "false") == 0;
    if (v->type != JSON_NUMBER || *text < '0' || *text > '9') return false;
    return fabs(v->number - strtod(text, NULL)) < 1e-12;
}

static bool config_int(const Json *root, const char *path, const char *key, int *out, Error *err) {
    const Json *v = json_get(root, key);
    if (!v || v->type != JSON_NUMBER || !v->is_integer || v->number < 1 || v->number > 1 << 24)
        return error_set(err, STATUS_DATA,
                         "%s: \"%s\" is missing or not a positive integer; is this a GPT-2 folder?",
                         path, key);
    *out = (int)v->number;
    return true;
}

static bool config_read(const Json *root, Config *config, Error *err) {
    const char *path = config->path;
    ModelConfig *c = &config->shape;
    /* Refuse what changes the model's arithmetic. */
    for (int i = 0; i < FIXED_KEY_COUNT; i++) {
        const Json *v = json_get(root, FIXED_KEYS[i].key);
        if (v && !value_is(v, FIXED_KEYS[i].value))
            return error_set(err, STATUS_DATA,
                             "%s: \"%s\" must be %s; other models than GPT-2 and "
                             "other variants of it are not supported",
                             path, FIXED_KEYS[i].key, FIXED_KEYS[i].value);
    }
    /* Read the shape; old files call n_positions n_ctx. */
    for (int i = 0; i < SHAPE_KEY_COUNT; i++) {
        const char *key = SHAPE_KEYS[i].key;
        int *member = (int *)((char *)c + SHAPE_KEYS[i].member);
        if (strcmp(key, "n_positions") == 0 && !json_get(root, key)) key = "n_ctx";
        if (!config_int(root, path, key, member, err)) return false;
    }
    /* Does the file say that the head is wte? */
    const Json *tied = json_get(root, "tie_word_embeddings");
    config->tied = !tied || (tied->type == JSON_BOOL && tied->boolean);
    /* The width inside the MLP may be given, and then must be GPT-2's. */
    const Json *inner = json_get(root, "n_inner");
    if (inner && inner->type != JSON_NULL &&
        !(inner->type == JSON_NUMBER && inner->number == 4.0 * c->channels))
        return error_set(err, STATUS_DATA, "%s: \"n_inner\" must be null or 4 x n_embd, %.0f", path,
                         4.0 * c->channels);
    return true;
}

/* token_keys: members with the ids of bos, eos and pad. Without them readers assume GPT-2's ids. */
static void config_write(Buf *text, ModelConfig c, const char *token_keys) {
    buf_puts(text, "{\n  \"model_type\": \"gpt2\",\n");
    buf_puts(text, "  \"architectures\": [\"GPT2LMHeadModel\"],\n");
    buf_printf(text, "  \"vocab_size\": %d,\n", c.vocab);
    buf_printf(text, "  \"n_positions\": %d,\n  \"n_ctx\": %d,\n", c.context, c.context);
    buf_printf(text, "  \"n_embd\": %d,\n  \"n_layer\": %d,\n", c.channels, c.layers);
    buf_printf(text, "  \"n_head\": %d,\n  \"n_inner\": null,\n", c.heads);
    buf_puts(text, "  \"activation_function\": \"gelu_new\",\n  \"layer_norm_epsilon\": 1e-05,\n");
    buf_puts(text, "  \"initializer_range\": 0.02,\n  \"scale_attn_weights\": true,\n");
    buf_puts(text, "  \"scale_attn_by_inverse_layer_idx\": false,\n");
    buf_printf(text, "  %s,\n", token_keys);
    buf_puts(text, "  \"tie_word_embeddings\": true,\n  \"resid_pdrop\": 0.0,\n");
    buf_puts(text, "  \"embd_pdrop\": 0.0,\n  \"attn_pdrop\": 0.0\n}\n");
}

/* Loads config.json. */
static bool config_load(Config *config, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    const Json *root = json_read_object(config->path, CONFIG_MOST, &arena, &text, err);
    bool ok = root && config_read(root, config, err);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

/* ---- model.safetensors ---- */

/* The file's tensor for a row of the table, under its name with or without "transformer.". NULL:
 * the file has none. */
static const TensorInfo *find_tensor(const TensorFile *file, const ModelTensor *t) {
    char name[80];
    snprintf(name, sizeof name, "transformer.%s", t->name);
    const TensorInfo *info = tensors_find(file, t->name);
    return info ? info : tensors_find(file, name);
}

/* The layer that a tensor's name belongs to, "h.12.ln_1.weight", and what follows it in the name.
 * -1: to none. */
static int layer_of(const char *name, const char **rest) {
    if (strncmp(name, "h.", 2) != 0 || name[2] < '0' || name[2] > '9') return -1;
    char *end;
    long layer = strtol(name + 2, &end, 10);
    *rest = end + 1;
    return *end == '.' && layer < 1 << 24 ? (int)layer : -1;
}

/* Is a tensor of the file in the model's table? */
static bool is_known(const Model *m, const char *name) {
    for (int i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0) return true;
    return false;
}

/* Refuses a tensor that the model has no use for, because whoever wrote it computes something else
 * with it. Two buffers of old files hold no parameters: the causal mask, and the number that it
 * puts in place of hidden scores. weights_read checks lm_head.weight. */
static bool tensor_check(const Model *m, const TensorFile *file, const TensorInfo *info,
                         Error *err) {
    static const char prefix[] = "transformer.";
    const char *name = info->name.s, *rest = "";
    if (strncmp(name, prefix, strlen(prefix)) == 0) {
        name += strlen(prefix);
        if (tensors_find(file, name))
            return error_set(err, STATUS_DATA,
                             "%s: tensor %s is there twice, with and without \"%s\" before it; "
                             "remove one",
                             file->path, name, prefix);
    }
    int layer = layer_of(name, &rest);
    if (layer >= m->config.layers)
        return error_set(err, STATUS_DATA,
                         "%s: tensor %s belongs to layer %d, and config.json has n_layer %d; "
                         "they do not belong together",
                         file->path, name, layer, m->config.layers);
    bool is_buffer =
        layer >= 0 && (strcmp(rest, "attn.bias") == 0 || strcmp(rest, "attn.masked_bias") == 0);
    bool is_head = strcmp(info->name.s, "lm_head.weight") == 0;
    if (strlen(info->name.s) == info->name.n && (is_buffer || is_head || is_known(m, name)))
        return true;
    Str shown = token_shown(info->name);
    return error_set(err, STATUS_DATA,
                     "%s: tensor %.*s is none of GPT-2's: the model computes something else than "
                     "GPT-2, which is not supported",
                     file->path, STR_ARG(shown));
}

/* Does the file hold the tensors that config.json promises, and no other? Asked before memory is
 * allocated. */
static bool weights_check(const Model *m, const TensorFile *file, Error *err) {
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        const TensorInfo *info = find_tensor(file, t);
        if (!info)
            return error_set(err, STATUS_DATA, "%s: tensor %s is missing", file->path, t->name);
        if (!tensors_is_float(info) || info->rank != t->rank || info->shape[0] != t->shape[0] ||
            (t->rank == 2 && info->shape[1] != t->shape[1]))
            return error_set(err, STATUS_DATA,
                             "%s: tensor %s has another shape or type than config.json says",
                             file->path, t->name);
    }
    for (int i = 0; i < file->count; i++)
        if (!tensor_check(m, file, &file->tensors[i], err)) return false;
    return true;
}

/* Without lm_head.weight the head is wte. Refuses a configuration that says otherwise. */
static bool tie_check(const Config *config, const TensorFile *file, Error *err) {
    return config->tied || tensors_find(file, "lm_head.weight") ||
           error_set(err, STATUS_DATA,
                     "%s: tie_word_embeddings is not true, and %s has no lm_head.weight; "
                     "add the tensor, or say true if the head is wte.weight",
                     config->path, file->path);
}

/* A file may repeat the embeddings as the head's matrix, but not have another one. */
static bool head_check(const Model *m, const TensorFile *file, Error *err) {
    const TensorInfo *head = tensors_find(file, "lm_head.weight");
    if (!head) return true;
    if (!tensors_is_float(head) || head->elements != m->tensors[ROLE_WTE].size)
        return error_set(err, STATUS_DATA, "%s: lm_head.weight has another shape than wte.weight",
                         file->path);
    real *copy = mem_new(head->elements, sizeof(real));
    bool read = tensors_read(head, copy, err);
    bool same = read && memcmp(copy, m->view.wte, head->elements * sizeof(real)) == 0;
    free(copy);
    return same || error_set(err, STATUS_DATA,
                             "%s: lm_head.weight differs from wte.weight; only models whose head "
                             "is tied to the embeddings are supported",
                             file->path);
}

/* Reads every tensor of the table. */
static bool weights_read(Model *m, const TensorFile *file, Error *err) {
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        if (!tensors_read(find_tensor(file, t), m->w + t->offset, err)) return false;
        for (size_t j = 0; j < t->size; j++)
            if (!isfinite(m->w[t->offset + j]))
                return error_set(err, STATUS_DATA, "%s: tensor %s holds a value that is not finite",
                                 file->path, t->name);
    }
    return head_check(m, file, err);
}

/* A model as config.json describes it, with the weights of a file. */
static Model *weights_load(const Config *config, const char *path, Error *err) {
    TensorFile file;
    Error own = {0};
    if (!tensors_open(&file, path, err)) return NULL;
    Model *m = model_shape(config->shape, &own);
    if (!m) error_set(err, own.status, "%s: %s", config->path, own.text);
    bool fits = m && tie_check(config, &file, err) && weights_check(m, &file, err);
    if (fits) model_allocate(m);
    if (!fits || !weights_read(m, &file, err)) {
        model_free(m);
        m = NULL;
    }
    tensors_close(&file);
    return m;
}

static bool weights_save(const Model *m, const char *path, Error *err) {
    TensorOut *out = mem_new((size_t)m->tensor_count, sizeof *out);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        out[i] = (TensorOut){.name = t->name, .type = TENSOR_REAL, .rank = t->rank};
        out[i].shape[0] = t->shape[0];
        out[i].shape[1] = t->shape[1];
        out[i].data = m->w + t->offset;
    }
    bool ok = tensors_write(path, out, m->tensor_count, NULL, 0, err);
    free(out);
    return ok;
}

/* ---- both ---- */

Model *model_load(const char *folder, Error *err) {
    Model *m = NULL;
    Config config = {.path = path_join(folder, "config.json")};
    char *weights = path_join(folder, "model.safetensors");
    if (!file_exists(config.path))
        error_set(err, STATUS_DATA,
                  "%s: config.json is missing, so this is not a model folder (a GPT-2 folder has "
                  "config.json, model.safetensors, vocab.json and merges.txt)",
                  folder);
    else if (config_load(&config, err)) m = weights_load(&config, weights, err);
    free(config.path);
    free(weights);
    return m;
}

static bool save_with(const Model *m, const char *token_keys, const char *folder, Error *err) {
    Buf text = {0};
    char *config = path_join(folder, "config.json");
    char *weights = path_join(folder, "model.safetensors");
    config_write(&text, m->config, token_keys);
    bool ok = file_write(config, text.s, text.n, err) && weights_save(m, weights, err);
    free(config);
    free(weights);
    buf_free(&text);
    return ok;
}

bool model_save(const Model *m, const char *folder, Error *err) {
    return save_with(m, NO_TOKENS, folder, err);
}

/* ---- what other programs want ---- */

static const char *const TOKEN_KEYS[] = {"bos_token_id", "eos_token_id", "pad_token_id"};

/* The id of the token that ends an answer. */
static int end_id(const ModelFolder *f) {
    IntBuf ids = {0};
    template_answer(&f->template, f->tokenizer, (Str){"", 0}, &ids);
    int id = ids.v[ids.n - 1];
    ints_free(&ids);
    return id;
}

/* The members of config.json that name tokens by their ids. */
static void put_token_keys(Buf *b, const ModelFolder *f) {
    if (!f->tokenizer) {
        buf_puts(b, f->token_keys ? f->token_keys : NO_TOKENS);
        return;
    }
    TokenizerParts p = tokenizer_parts(f->tokenizer);
    int ids[] = {p.bos, end_id(f), p.pad >= 0 ? p.pad : p.eos};
    for (int i = 0; i < 3; i++) {
        buf_printf(b, "%s\"%s\": ", i ? ", " : "", TOKEN_KEYS[i]);
        if (ids[i] >= 0) buf_printf(b, "%d", ids[i]);
        else buf_puts(b, "null");
    }
}

/* The same members of a config.json that was read, for a folder without a tokenizer. */
static bool read_token_keys(ModelFolder *f, const char *folder, Error *err) {
    Arena arena = {0};
    Buf text = {0}, keys = {0};
    char *path = path_join(folder, "config.json");
    const Json *root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    for (int i = 0; root && i < 3; i++) {
        const Json *v = json_get(root, TOKEN_KEYS[i]);
        buf_printf(&keys, "%s\"%s\": ", i ? ", " : "", TOKEN_KEYS[i]);
        if (v) json_put_value(&keys, v);
        else buf_puts(&keys, "null");
    }
    f->token_keys = keys.s;
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return root != NULL;
}

/* Reads generation_config.json, if it is there. */
static bool read_generation(ModelFolder *f, const char *folder, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    char *path = path_join(folder, "generation_config.json");
    bool ok = !file_exists(path) || json_read_object(path, CONFIG_MOST, &arena, &text, err);
    if (ok && text.n) f->generation_config = text.s;
    else buf_free(&text);
    free(path);
    arena_free(&arena);
    return ok;
}

static bool is_id(const Json *v, int id) { return v->type == JSON_NUMBER && v->number == id; }

/* Is the id among the tokens that end a generation? */
static bool stops_at(const Json *eos, int id) {
    if (!eos) return false;
    for (int i = 0; eos->type == JSON_ARRAY && i < eos->count; i++)
        if (is_id(&eos->items[i], id)) return true;
    return is_id(eos, id);
}

/* The folder's generation_config.json as it was, but with the answer's end among the tokens that
 * end a generation. Without one, a file that says no more than that. */
static void put_generation(Buf *b, const ModelFolder *f) {
    Arena arena = {0};
    const char *text = f->generation_config;
    const Json *root = text ? json_parse(&arena, text, strlen(text), NULL) : NULL;
    const Json *eos = json_get(root, "eos_token_id");
    int end = f->tokenizer ? end_id(f) : -1;
    if (root && (end < 0 || stops_at(eos, end))) buf_puts(b, text);
    else if (root) {
        buf_printf(b, "{\"eos_token_id\":[%d", end);
        for (int i = 0; eos && eos->type == JSON_ARRAY && i < eos->count; i++) {
            buf_putc(b, ',');
            json_put_value(b, &eos->items[i]);
        }
        if (eos && eos->type == JSON_NUMBER) buf_printf(b, ",%.*s", STR_ARG(eos->string));
        buf_putc(b, ']');
        for (int i = 0; i < root->count; i++) {
            if (str_is(root->keys[i], "eos_token_id")) continue;
            buf_putc(b, ',');
            json_put_string(b, root->keys[i]);
            buf_putc(b, ':');
            json_put_value(b, &root->items[i]);
        }
        buf_puts(b, "}\n");
    } else {
        buf_puts(b, "{");
        put_token_keys(b, f);
        buf_puts(b, "}\n");
    }
    arena_free(&arena);
}

/* ---- the folder: model, tokenizer, template ---- */

void model_folder_free(ModelFolder *f) {
    model_free(f->model);
    if (f->tokenizer) {
        tokenizer_free(f->tokenizer);
        template_free(&f->template);
    }
    free(f->bos);
    free(f->generation_config);
    free(f->token_keys);
    *f = (ModelFolder){0};
}

/* Does the folder have any file of a vocabulary? */
static bool has_vocabulary(const char *path) {
    const char *const names[] = {"vocab.json", "encoder.json", "merges.txt", "vocab.bpe",
                                 "tokenizer.json"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *file = path_join(path, names[i]);
        found |= file_exists(file);
        free(file);
    }
    return found;
}

bool model_folder_load_tokenizer(ModelFolder *f, const char *path, Error *err) {
    f->tokenizer = tokenizer_load(path, err);
    if (!f->tokenizer) return false;
    if (!template_load(&f->template, f->tokenizer, path, err)) {
        tokenizer_free(f->tokenizer);
        f->tokenizer = NULL;
        return false;
    }
    IntBuf ids = {0};
    template_bos(&f->template, f->tokenizer, &ids);
    f->bos = ids.v;
    f->bos_n = ids.n;
    return true;
}

bool model_folder_load(ModelFolder *f, const char *path, Error *err) {
    *f = (ModelFolder){.model = model_load(path, err)};
    bool has_words = has_vocabulary(path);
    bool ok =
        f->model && read_generation(f, path, err) &&
        (has_words ? model_folder_load_tokenizer(f, path, err) : read_token_keys(f, path, err));
    if (ok && has_words && tokenizer_size(f->tokenizer) > f->model->config.vocab)
        error_set(
            err, STATUS_DATA,
            "%s: the vocabulary has %d tokens and the model only %d; they do not belong together",
            path, tokenizer_size(f->tokenizer), f->model->config.vocab);
    if (err->status) model_folder_free(f);
    return err->status == 0;
}

bool model_folder_save(const ModelFolder *f, const char *path, Error *err) {
    Buf keys = {0}, generation = {0};
    char *generation_path = path_join(path, "generation_config.json");
    put_token_keys(&keys, f);
    put_generation(&generation, f);
    bool words = folder_make(path, err) &&
                 (!f->tokenizer || (tokenizer_save(f->tokenizer, &f->template, path, err) &&
                                    template_save(&f->template, path, err)));
    bool ok = words && file_write(generation_path, generation.s, generation.n, err) &&
              save_with(f->model, keys.s, path, err);
    free(generation_path);
    buf_free(&keys);
    buf_free(&generation);
    return ok;
}
