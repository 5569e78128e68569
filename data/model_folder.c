/* A model folder: config.json, model.safetensors, and the tokenizer's files. */
#include "data/model_folder.h"

#include <stdlib.h>
#include <string.h>

#include "data/adapter.h"
#include "data/model_config.h"
#include "data/model_weights.h"
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"

/* ---- config.json and the weights ---- */

Model *model_load(const char *folder, Error *err) {
    ModelConfig shape;
    return model_config_load(&shape, folder, err) ? model_weights_load(&shape, folder, NULL, err)
                                                  : NULL;
}

static bool save_with(const Model *m, const char *token_keys, const char *folder, Error *err) {
    Buf text = {0};
    char *config = path_join(folder, "config.json");
    model_config_put(&text, &m->config, token_keys);
    bool ok = file_write(config, text.s, text.n, err) && model_weights_save(m, folder, err);
    free(config);
    buf_free(&text);
    return ok;
}

bool model_save(const Model *m, const char *folder, Error *err) {
    return save_with(m, NO_TOKENS, folder, err);
}

/* ---- adapters ---- */

/* The folder's adapters, beside a base. */
static Model *load_adapters(const Model *base, const char *folder, Error *err) {
    LoraConfig lora;
    if (!adapter_config_load(&lora, &base->config, folder, err)) return NULL;
    Model *m = model_lora(base, lora, err);
    if (m && adapter_weights_load(m->w, m->tensors, m->tensor_count, folder, err)) return m;
    model_free(m);
    return NULL;
}

static bool save_adapters(const Model *m, const char *base_path, const char *folder, Error *err) {
    return adapter_config_save(&m->lora, &m->config, base_path, folder, err) &&
           adapter_weights_save(m->w, m->tensors, m->tensor_count, folder, err);
}

Model *model_load_like(const ModelFolder *f, const char *path, Error *err) {
    if (!adapter_is(path)) return model_load(path, err);
    char *base = adapter_base(path, err);
    bool ours = base && f->base && file_same(base, f->base_path);
    if (base && !ours)
        error_set(err, STATUS_DATA,
                  "%s: its adapters stand beside another base than the model's; merge them with "
                  "`ica merge` first",
                  path);
    free(base);
    return ours ? load_adapters(f->base, path, err) : NULL;
}

bool model_save_like(const ModelFolder *f, const Model *m, const char *path, Error *err) {
    return f->base ? save_adapters(m, f->base_path, path, err) : model_save(m, path, err);
}

bool model_folder_adapt(ModelFolder *f, const char *path, const LoraConfig *lora, uint64_t seed,
                        Error *err) {
    if (f->base)
        return error_set(err, STATUS_DATA,
                         "%s: has adapters already; train these on, or make one model of them and "
                         "their base with `ica merge`",
                         path);
    Model *m = model_lora(f->model, *lora, err);
    if (!m) return false;
    model_initialize(m, seed);
    f->base = f->model;
    f->model = m;
    f->base_path = mem_new(strlen(path) + 1, 1);
    strcpy(f->base_path, path);
    return true;
}

void model_folder_merge(ModelFolder *f) {
    model_merge(f->model, f->base);
    model_free(f->model);
    free(f->base_path);
    f->model = f->base;
    f->base = NULL;
    f->base_path = NULL;
}

/* ---- what other programs want ---- */

static const char *const TOKEN_KEYS[] = {"bos_token_id", "eos_token_id", "pad_token_id"};

/* The id of the token that ends an answer. */
static int end_id(const ModelFolder *f) {
    IntBuf ids = {0};
    template_end(&f->template, f->tokenizer, &ids);
    int id = ids.v[ids.n - 1];
    ints_free(&ids);
    return id;
}

static bool is_id(const Json *v, int id) { return v->type == JSON_NUMBER && v->number == id; }

/* Is the id among the tokens that end a generation? */
static bool stops_at(const Json *eos, int id) {
    if (!eos) return false;
    for (int i = 0; eos->type == JSON_ARRAY && i < eos->count; i++)
        if (is_id(&eos->items[i], id)) return true;
    return is_id(eos, id);
}

/* The answer's end, followed by the tokens that ended a generation before. */
static void put_ends(Buf *b, const Json *eos, int end) {
    buf_printf(b, "[%d", end);
    for (int i = 0; eos && eos->type == JSON_ARRAY && i < eos->count; i++) {
        buf_putc(b, ',');
        json_put_value(b, &eos->items[i]);
    }
    if (eos && eos->type == JSON_NUMBER) buf_printf(b, ",%.*s", STR_ARG(eos->string));
    buf_putc(b, ']');
}

/* The value of config.json's eos_token_id: a list stays one, and gets the answer's end. */
static void put_eos(Buf *b, const char *was, int end) {
    Arena arena = {0};
    const Json *eos = was ? json_parse(&arena, was, strlen(was), NULL) : NULL;
    if (!eos || eos->type != JSON_ARRAY) buf_printf(b, "%d", end);
    else if (stops_at(eos, end)) json_put_value(b, eos);
    else put_ends(b, eos, end);
    arena_free(&arena);
}

/* The members of config.json that name tokens by their ids. */
static void put_token_keys(Buf *b, const ModelFolder *f) {
    TokenizerParts p = {0};
    if (f->tokenizer) p = tokenizer_parts(f->tokenizer);
    int ids[] = {p.bos, 0, p.pad >= 0 ? p.pad : p.eos};
    for (int i = 0; i < 3; i++) {
        buf_printf(b, "%s\"%s\": ", i ? ", " : "", TOKEN_KEYS[i]);
        if (f->tokenizer && i == 1) put_eos(b, f->ids[i], end_id(f));
        else if (f->tokenizer && ids[i] >= 0) buf_printf(b, "%d", ids[i]);
        else buf_puts(b, !f->tokenizer && f->ids[i] ? f->ids[i] : "null");
    }
}

/* The same members of a config.json that was read. */
static bool read_token_keys(ModelFolder *f, const char *folder, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    char *path = path_join(folder, "config.json");
    const Json *root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    for (int i = 0; root && i < 3; i++) {
        const Json *v = json_get(root, TOKEN_KEYS[i]);
        Buf value = {0};
        if (v) json_put_value(&value, v);
        f->ids[i] = value.s;
    }
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
        buf_puts(b, "{\"eos_token_id\":");
        put_ends(b, eos, end);
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
    model_free(f->base);
    free(f->base_path);
    if (f->tokenizer) {
        tokenizer_free(f->tokenizer);
        template_free(&f->template);
    }
    free(f->bos);
    free(f->note);
    free(f->generation_config);
    for (int i = 0; i < 3; i++) free(f->ids[i]);
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

bool model_folder_load_tokenizer(ModelFolder *f, const char *path, const char *template,
                                 Error *err) {
    Buf note = {0};
    f->tokenizer = tokenizer_load(path, err);
    if (!f->tokenizer) return false;
    if (template ? !template_choose(&f->template, f->tokenizer, template, &note, err)
                 : !template_load(&f->template, f->tokenizer, path, &note, err)) {
        tokenizer_free(f->tokenizer);
        f->tokenizer = NULL;
        buf_free(&note);
        return false;
    }
    IntBuf ids = {0};
    f->note = note.s;
    template_start(&f->template, f->tokenizer, (Str){NULL, 0}, &ids);
    f->bos = ids.v;
    f->bos_n = ids.n;
    return true;
}

bool model_folder_load(ModelFolder *f, const char *path, Error *err) {
    return model_folder_load_as(f, path, NULL, false, err);
}

/* The base's folder, if `path` has adapters; else it is the model's own. */
static bool find_base(ModelFolder *f, const char *path, Error *err) {
    if (!adapter_is(path)) return true;
    char *own = path_join(path, "config.json");
    if (file_exists(own))
        error_set(err, STATUS_DATA,
                  "%s: holds a model and adapters; put each into a folder of its own", path);
    else f->base_path = adapter_base(path, err);
    free(own);
    if (f->base_path && adapter_is(f->base_path))
        error_set(err, STATUS_DATA,
                  "%s: its base %s has adapters itself; make one model of these first, with `ica "
                  "merge`",
                  path, f->base_path);
    return err->status == 0;
}

/* Loads tokenizer and template of the folder, or else of the base. */
static bool load_words(ModelFolder *f, const char *path, const char *template, int vocab,
                       Error *err) {
    if (f->base_path && !has_vocabulary(path)) path = f->base_path;
    if (!has_vocabulary(path)) return true;
    if (!model_folder_load_tokenizer(f, path, template, err)) return false;
    return tokenizer_size(f->tokenizer) <= vocab ||
           error_set(err, STATUS_DATA,
                     "%s: the vocabulary has %d tokens and the model only %d; they do not belong "
                     "together",
                     path, tokenizer_size(f->tokenizer), vocab);
}

/* The weights come last: until then nothing has taken long or much memory. */
bool model_folder_load_as(ModelFolder *f, const char *path, const char *template, bool frozen,
                          Error *err) {
    ModelConfig shape;
    *f = (ModelFolder){0};
    bool ok = find_base(f, path, err);
    const char *model = f->base_path ? f->base_path : path;
    ok = ok && model_config_load(&shape, model, err) && read_generation(f, path, err) &&
         (f->generation_config || read_generation(f, model, err)) &&
         read_token_keys(f, model, err) && load_words(f, path, template, shape.vocab, err);
    Model *m = NULL;
    Buf note = {0};
    if (f->note) buf_puts(&note, f->note);
    if (ok && frozen) m = model_weights_load_frozen(&shape, model, &note, err);
    else if (ok) m = model_weights_load(&shape, model, &note, err);
    free(f->note);
    f->note = note.s;
    if (m && f->base_path) {
        f->base = m;
        f->model = load_adapters(m, path, err);
    } else f->model = m;
    if (!f->model) model_folder_free(f);
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
              (f->base ? save_adapters(f->model, f->base_path, path, err)
                       : save_with(f->model, keys.s, path, err));
    free(generation_path);
    buf_free(&keys);
    buf_free(&generation);
    return ok;
}
