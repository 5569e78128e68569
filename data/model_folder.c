/* A model folder: config.json, model.safetensors, and the tokenizer's files. */
#include "data/model_folder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/template.h"
#include "data/tokenizer_folder.h"
#include "lib/json.h"
#include "lib/tensors.h"

/* ---- config.json ---- */

static bool config_int(const Json *root, const char *path, const char *key, int *out, Error *err) {
    const Json *v = json_get(root, key);
    if (!v || v->type != JSON_NUMBER || !v->is_integer || v->number < 1 || v->number > 1 << 24)
        return error_set(err, STATUS_DATA,
                         "%s: \"%s\" is missing or no positive integer: is this a GPT-2 folder?",
                         path, key);
    *out = (int)v->number;
    return true;
}

/* A value that we do not implement is refused, never ignored. */
static bool config_flag(const Json *root, const char *path, const char *key, bool wanted,
                        Error *err) {
    const Json *v = json_get(root, key);
    if (!v || (v->type == JSON_BOOL && v->boolean == wanted)) return true;
    return error_set(err, STATUS_DATA,
                     "%s: \"%s\" must be %s: other variants of GPT-2 are not supported", path, key,
                     wanted ? "true" : "false");
}

static bool config_read(const Json *root, const char *path, ModelConfig *c, Error *err) {
    const Json *type = json_get(root, "model_type"), *act = json_get(root, "activation_function"),
               *inner = json_get(root, "n_inner");
    const Json *eps = json_get(root, "layer_norm_epsilon");
    if (type && !(type->type == JSON_STRING && str_is(type->string, "gpt2")))
        return error_set(err, STATUS_DATA,
                         "%s: model_type is not \"gpt2\": only GPT-2 models can be loaded", path);
    if (act && !(act->type == JSON_STRING && str_is(act->string, "gelu_new")))
        return error_set(err, STATUS_DATA,
                         "%s: activation_function is not \"gelu_new\": not supported", path);
    if (eps && !(eps->type == JSON_NUMBER && fabs(eps->number - 1e-5) < 1e-12))
        return error_set(err, STATUS_DATA, "%s: layer_norm_epsilon is not 1e-5: not supported",
                         path);
    if (!config_flag(root, path, "scale_attn_weights", true, err) ||
        !config_flag(root, path, "scale_attn_by_inverse_layer_idx", false, err) ||
        !config_int(root, path, "n_layer", &c->layers, err) ||
        !config_int(root, path, "n_head", &c->heads, err) ||
        !config_int(root, path, "n_embd", &c->channels, err) ||
        !config_int(root, path, "vocab_size", &c->vocab, err) ||
        !config_int(root, path, json_get(root, "n_positions") ? "n_positions" : "n_ctx",
                    &c->context, err))
        return false;
    if (inner && inner->type != JSON_NULL &&
        !(inner->type == JSON_NUMBER && inner->number == 4.0 * c->channels))
        return error_set(err, STATUS_DATA, "%s: n_inner is not 4 x n_embd: not supported", path);
    return true;
}

/* A tensor of the table in the file, under its name with or without "transformer.". NULL: not
 * there. */
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

/* Refuses a tensor that the model has no use for: whoever wrote it computes something else with
 * it. Two buffers of old files hold no parameters, the causal mask and the number that it puts
 * out of sight. lm_head.weight is looked at when the weights are read. */
static bool tensor_check(const Model *m, const TensorFile *file, const TensorInfo *info,
                         Error *err) {
    static const char prefix[] = "transformer.";
    const char *name = info->name.s, *rest = "";
    if (strncmp(name, prefix, strlen(prefix)) == 0) {
        name += strlen(prefix);
        if (tensors_find(file, name))
            return error_set(err, STATUS_DATA,
                             "%s: tensor %s is there twice, with and without \"%s\" before it: "
                             "remove one",
                             file->path, name, prefix);
    }
    int layer = layer_of(name, &rest);
    if (layer >= m->config.layers)
        return error_set(err, STATUS_DATA,
                         "%s: tensor %s belongs to layer %d, and config.json has n_layer %d: "
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

/* Does the file hold what config.json says? Asked before memory is taken for what it says. */
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
static bool head_check(const Json *root, const char *path, const TensorFile *file, Error *err) {
    const Json *tied = json_get(root, "tie_word_embeddings");
    if (!tied || (tied->type == JSON_BOOL && tied->boolean)) return true;
    return tensors_find(file, "lm_head.weight") ||
           error_set(err, STATUS_DATA,
                     "%s: tie_word_embeddings is not true, and %s has no lm_head.weight: "
                     "add the tensor, or say true if the head is wte.weight",
                     path, file->path);
}

/* Every tensor of the table from the file. */
static bool weights_read(Model *m, const TensorFile *file, Error *err) {
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        tensors_read(find_tensor(file, t), m->w + t->offset);
        for (size_t j = 0; j < t->size; j++)
            if (!isfinite(m->w[t->offset + j]))
                return error_set(err, STATUS_DATA, "%s: tensor %s holds a value that is not finite",
                                 file->path, t->name);
    }
    const TensorInfo *untied = tensors_find(file, "lm_head.weight");
    if (untied && (!tensors_is_float(untied) || untied->elements != m->tensors[0].size))
        return error_set(err, STATUS_DATA, "%s: lm_head.weight has another shape than wte.weight",
                         file->path);
    if (untied) {
        real *copy = mem_new(untied->elements, sizeof(real));
        tensors_read(untied, copy);
        bool same = memcmp(copy, m->view.wte, untied->elements * sizeof(real)) == 0;
        free(copy);
        if (!same)
            return error_set(
                err, STATUS_DATA,
                "%s: lm_head.weight differs from wte.weight: only a tied head is supported",
                file->path);
    }
    return true;
}

Model *model_load(const char *folder, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    JsonError where;
    ModelConfig config;
    TensorFile file;
    Model *m = NULL;
    char *config_path = path_join(folder, "config.json"),
         *weights_path = path_join(folder, "model.safetensors");
    if (!file_exists(config_path))
        error_set(err, STATUS_DATA,
                  "%s: no model folder: config.json is missing (a GPT-2 folder has config.json, "
                  "model.safetensors, "
                  "vocab.json and merges.txt)",
                  folder);
    else if (file_read(config_path, &text, err)) {
        const Json *root = json_parse(&arena, text.s, text.n, &where);
        if (!root) error_set(err, STATUS_DATA, "%s:%ld: %s", config_path, where.line, where.what);
        else if (config_read(root, config_path, &config, err) &&
                 tensors_open(&file, weights_path, err)) {
            Error own = {0};
            m = model_shape(config, &own);
            if (!m) error_set(err, own.status, "%s: %s", config_path, own.text);
            bool fits =
                m && head_check(root, config_path, &file, err) && weights_check(m, &file, err);
            if (fits) model_allocate(m);
            if (!fits || !weights_read(m, &file, err)) {
                model_free(m);
                m = NULL;
            }
            tensors_close(&file);
        }
    }
    free(config_path);
    free(weights_path);
    buf_free(&text);
    arena_free(&arena);
    return m;
}

bool model_save(const Model *m, const char *folder, Error *err) {
    ModelConfig c = m->config;
    Buf text = {0};
    buf_printf(&text,
               "{\n  \"model_type\": \"gpt2\",\n  \"architectures\": [\"GPT2LMHeadModel\"],\n  "
               "\"vocab_size\": %d,\n"
               "  \"n_positions\": %d,\n  \"n_ctx\": %d,\n  \"n_embd\": %d,\n  \"n_layer\": %d,\n  "
               "\"n_head\": %d,\n  \"n_inner\": "
               "null,\n"
               "  \"activation_function\": \"gelu_new\",\n  \"layer_norm_epsilon\": 1e-05,\n  "
               "\"initializer_range\": 0.02,\n"
               "  \"scale_attn_weights\": true,\n  \"scale_attn_by_inverse_layer_idx\": false,\n  "
               "\"tie_word_embeddings\": true,\n"
               "  \"resid_pdrop\": 0.0,\n  \"embd_pdrop\": 0.0,\n  \"attn_pdrop\": 0.0\n}\n",
               c.vocab, c.context, c.context, c.channels, c.layers, c.heads);
    TensorOut *out = mem_new((size_t)m->tensor_count, sizeof *out);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        out[i] = (TensorOut){.name = t->name,
                             .type = TENSOR_REAL,
                             .rank = t->rank,
                             .shape = {t->shape[0], t->shape[1]},
                             .data = m->w + t->offset};
    }
    char *config_path = path_join(folder, "config.json"),
         *weights_path = path_join(folder, "model.safetensors");
    bool ok = tensors_write(weights_path, out, m->tensor_count, NULL, 0, err) &&
              file_write(config_path, text.s, text.n, err);
    free(config_path);
    free(weights_path);
    free(out);
    buf_free(&text);
    return ok;
}

/* ---- the folder: model, tokenizer, template ---- */

void model_folder_free(ModelFolder *f) {
    model_free(f->model);
    if (f->tokenizer) {
        tokenizer_free(f->tokenizer);
        template_free(&f->template);
    }
    free(f->bos);
    *f = (ModelFolder){0};
}

static bool has_vocabulary(const char *path) {
    const char *const names[] = {"vocab.json", "encoder.json", "merges.txt", "vocab.bpe"};
    bool found = false;
    for (int i = 0; i < 4; i++) {
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
    if (f->model && has_vocabulary(path) && model_folder_load_tokenizer(f, path, err) &&
        tokenizer_size(f->tokenizer) > f->model->config.vocab)
        error_set(
            err, STATUS_DATA,
            "%s: the vocabulary has %d tokens and the model only %d: they do not belong together",
            path, tokenizer_size(f->tokenizer), f->model->config.vocab);
    if (err->status) model_folder_free(f);
    return err->status == 0;
}

bool model_folder_save(const ModelFolder *f, const char *path, Error *err) {
    return folder_make(path, err) && model_save(f->model, path, err) &&
           (!f->tokenizer ||
            (tokenizer_save(f->tokenizer, path, err) && template_save(&f->template, path, err)));
}
