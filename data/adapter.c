/* LoRA's matrices in PEFT's form. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "data/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/pattern.h"
#include "lib/tensors.h"
#include "lib/unicode.h"

static const char CONFIG[] = "adapter_config.json", WEIGHTS[] = "adapter_model.safetensors",
                  ALL[] = "all-linear";
/* A list of modules may name every one of 1,000 layers. */
static const JsonLimits CONFIG_MOST = {1 << 20, 1 << 15};

static Str shown(Str name) { return (Str){name.s, unicode_cut(name.s, name.n, 80)}; }

/* ---- modules ---- */

static bool ends_with_module(Str module, Str name) {
    if (name.n == 0 || module.n < name.n) return false;
    const char *from = module.s + (module.n - name.n);
    return memcmp(from, name.s, name.n) == 0 && (module.n == name.n || from[-1] == '.');
}

static bool is_all(Str name) { return str_is(name, ALL); }

/* The roles that have a module in this model. */
static unsigned all_roles(const ModelConfig *c) {
    unsigned roles = 0;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (role_module(c->family, (TensorRole)role).s) roles |= 1u << role;
    return roles;
}

/* Those that a name means in every layer. */
static unsigned roles_of(const ModelConfig *c, Str name) {
    unsigned roles = 0;
    if (is_all(name)) return all_roles(c);
    for (int role = 0; role < ROLE_COUNT; role++)
        if (ends_with_module(role_module(c->family, (TensorRole)role), name)) roles |= 1u << role;
    return roles;
}

/* Appends the names of all modules of the blocks, for people. */
static void put_modules(Buf *b, const ModelConfig *c) {
    for (int role = 0; role < ROLE_COUNT; role++) {
        Str module = role_module(c->family, (TensorRole)role);
        if (module.s) buf_printf(b, "%s%.*s", b->n ? ", " : "", STR_ARG(module));
    }
}

bool adapter_targets(unsigned *targets, const ModelConfig *base, Str list, Error *err) {
    *targets = 0;
    for (size_t at = 0; at <= list.n;) {
        const char *comma = memchr(list.s + at, ',', list.n - at);
        size_t end = comma ? (size_t)(comma - list.s) : list.n;
        Str name = {list.s + at, end - at};
        unsigned roles = roles_of(base, name);
        if (!roles) {
            Buf names = {0};
            put_modules(&names, base);
            error_set(err, STATUS_USAGE,
                      "--lora-targets: %.*s is no linear layer of the blocks of this model; it has "
                      "%s, and all-linear is all of them",
                      STR_ARG(shown(name)), names.s);
            buf_free(&names);
            return false;
        }
        *targets |= roles;
        at = end + 1;
    }
    return true;
}

/* ---- adapter_config.json: reading ---- */

bool adapter_is(const char *folder) {
    char *path = path_join(folder, CONFIG);
    bool is = file_exists(path);
    free(path);
    return is;
}

static char *copy_of(const char *s) {
    char *copy = mem_new(strlen(s) + 1, 1);
    strcpy(copy, s);
    return copy;
}

/* The base's folder for the path that the file says. */
static char *find_base(const char *folder, const char *path, const char *said, Error *err) {
    char *beside = said[0] == '/' ? copy_of(said) : path_join(folder, said);
    if (file_exists(beside)) return beside;
    free(beside);
    if (said[0] && file_exists(said)) return copy_of(said);
    error_set(err, STATUS_DATA,
              "%s: \"base_model_name_or_path\" is %.200s, and there is no such folder; write the "
              "path of the base model's folder there",
              path, said);
    return NULL;
}

char *adapter_base(const char *folder, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    char *path = path_join(folder, CONFIG), *base = NULL;
    const Json *root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    const Json *said = json_get(root, "base_model_name_or_path");
    if (root && (!said || said->type != JSON_STRING || strlen(said->string.s) != said->string.n))
        error_set(err, STATUS_DATA, "%s: \"base_model_name_or_path\" is missing or no text", path);
    else if (root) base = find_base(folder, path, said->string.s, err);
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return base;
}

/* Keys that change nothing here: who wrote it, and how training began and went on. */
static const char *const UNREAD[] = {"auto_mapping",           "peft_version", "revision",
                                     "inference_mode",         "lora_dropout", "fan_in_fan_out",
                                     "megatron_core",          "eva_config",   "runtime_config",
                                     "qalora_group_size",      "task_type",    "peft_type",
                                     "base_model_name_or_path"};
static const char *const READ[] = {"r",    "lora_alpha",       "use_rslora", "target_modules",
                                   "bias", "init_lora_weights"};

static bool is_among(Str name, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, list[i])) return true;
    return false;
}

/* null, false, and what is empty. */
static bool says_nothing(const Json *v) {
    return v->type == JSON_NULL || (v->type == JSON_BOOL && !v->boolean) ||
           ((v->type == JSON_ARRAY || v->type == JSON_OBJECT) && v->count == 0);
}

static bool is_text(const Json *v, const char *text) {
    return v->type == JSON_STRING && str_is(v->string, text);
}

/* Some ways to begin change the base's weights too, so the adapter fits another base. */
static bool keeps_base(const Json *v) {
    return v->type == JSON_BOOL || is_text(v, "gaussian") || is_text(v, "eva") ||
           is_text(v, "orthogonal");
}

/* Refuses what this program does not compute. */
static bool check_keys(const Json *root, const char *path, Error *err) {
    const Json *type = json_get(root, "peft_type"), *task = json_get(root, "task_type"),
               *bias = json_get(root, "bias"), *init = json_get(root, "init_lora_weights");
    if (!type || !is_text(type, "LORA"))
        return error_set(err, STATUS_DATA, "%s: \"peft_type\" must be LORA", path);
    if (task && task->type != JSON_NULL && !is_text(task, "CAUSAL_LM"))
        return error_set(err, STATUS_DATA, "%s: \"task_type\" must be CAUSAL_LM", path);
    if (bias && !says_nothing(bias) && !is_text(bias, "none"))
        return error_set(err, STATUS_DATA, "%s: \"bias\" must be none", path);
    if (init && !says_nothing(init) && !keeps_base(init))
        return error_set(err, STATUS_DATA,
                         "%s: \"init_lora_weights\" changes the base's weights, which is not "
                         "supported; let PEFT convert the adapter to plain LoRA",
                         path);
    for (int i = 0; i < root->count; i++) {
        Str key = root->keys[i];
        if (is_among(key, UNREAD, sizeof UNREAD / sizeof *UNREAD) ||
            is_among(key, READ, sizeof READ / sizeof *READ) || says_nothing(&root->items[i]))
            continue;
        return error_set(err, STATUS_DATA,
                         "%s: \"%.*s\" is not supported; it must be null or absent", path,
                         STR_ARG(shown(key)));
    }
    return true;
}

/* target_modules: names, or one regular expression. */
typedef struct {
    const Json *list;
    bool is_pattern;
} Modules;

/* Does an element of target_modules mean the module of a role in a layer? PEFT compares whole
 * names, as model.layers.0.self_attn.q_proj, and their ends. A regular expression must fit an
 * entire name. -1 with *why set if it is not known. */
static int means(const ModelConfig *c, const Modules *m, int i, TensorRole role, int layer,
                 PatternError *why) {
    char name[PATTERN_NAME + 1];
    Str element = m->list->items[i].string, module = role_module(c->family, role);
    const char *start = c->family == FAMILY_GPT2 ? "transformer.h" : "model.layers";
    if (is_all(element)) return true;
    int n = snprintf(name, sizeof name, "%s.%d.%.*s", start, layer, STR_ARG(module));
    Str whole = {name, (size_t)n};
    return m->is_pattern ? pattern_fits(element, whole, why) : ends_with_module(whole, element);
}

static bool refuse_pattern(const PatternError *why, const char *path, Error *err) {
    return error_set(err, STATUS_DATA,
                     "%s: \"target_modules\" is a regular expression with %s at character %zu, "
                     "which is not supported; write a list of names there, such as [\"q_proj\", "
                     "\"v_proj\"]",
                     path, why->what, why->at);
}

/* A role has an adapter in all layers or in none. */
static bool read_role(const Modules *m, const ModelConfig *c, TensorRole role, bool *used,
                      unsigned *targets, const char *path, Error *err) {
    int layers = 0;
    PatternError why;
    for (int l = 0; l < c->layers; l++) {
        bool any = false;
        for (int i = 0; i < m->list->count; i++) {
            int does = means(c, m, i, role, l, &why);
            if (does < 0) return refuse_pattern(&why, path, err);
            if (does) any = used[i] = true;
        }
        layers += any;
    }
    if (layers == c->layers) *targets |= 1u << role;
    Str module = role_module(c->family, role);
    return layers == 0 || layers == c->layers ||
           error_set(err, STATUS_DATA,
                     "%s: \"target_modules\" names %.*s in %d of %d layers; it must be in all or "
                     "in none",
                     path, STR_ARG(module), layers, c->layers);
}

static bool read_targets(const Json *v, const ModelConfig *c, unsigned *targets, const char *path,
                         Error *err) {
    Json one = {.type = JSON_ARRAY, .count = 1, .items = v};
    bool is_text = v && v->type == JSON_STRING;
    Modules m = {is_text ? &one : v, is_text && !is_all(v->string)};
    bool ok = m.list && m.list->type == JSON_ARRAY && m.list->count > 0;
    for (int i = 0; ok && i < m.list->count; i++) ok = m.list->items[i].type == JSON_STRING;
    if (!ok)
        return error_set(err, STATUS_DATA,
                         "%s: \"target_modules\" must be a list of names, a regular expression or "
                         "all-linear",
                         path);
    bool *used = mem_new((size_t)m.list->count, sizeof *used);
    *targets = 0;
    for (int role = 0; ok && role < ROLE_COUNT; role++)
        if (role_module(c->family, (TensorRole)role).s)
            ok = read_role(&m, c, (TensorRole)role, used, targets, path, err);
    for (int i = 0; ok && i < m.list->count; i++)
        if (!used[i])
            ok = error_set(err, STATUS_DATA,
                           "%s: \"target_modules\" %s %.*s, which %s no linear layer of the "
                           "base's blocks; other adapters are not supported",
                           path, m.is_pattern ? "is the regular expression" : "names",
                           STR_ARG(shown(m.list->items[i].string)), m.is_pattern ? "fits" : "is");
    free(used);
    return ok;
}

static bool read_config(const Json *root, LoraConfig *lora, const ModelConfig *base,
                        const char *path, Error *err) {
    if (!check_keys(root, path, err)) return false;
    const Json *rank = json_get(root, "r"), *alpha = json_get(root, "lora_alpha"),
               *rslora = json_get(root, "use_rslora");
    *lora = (LoraConfig){.rank = 8, .alpha = 8};
    if (rank && (rank->type != JSON_NUMBER || !rank->is_integer || fabs(rank->number) > 1 << 20))
        return error_set(err, STATUS_DATA, "%s: \"r\" must be a whole number", path);
    if (alpha && alpha->type != JSON_NUMBER)
        return error_set(err, STATUS_DATA, "%s: \"lora_alpha\" must be a number", path);
    if (rslora && rslora->type != JSON_NULL && rslora->type != JSON_BOOL)
        return error_set(err, STATUS_DATA, "%s: \"use_rslora\" must be true or false", path);
    if (rank) lora->rank = (int)rank->number;
    if (alpha) lora->alpha = alpha->number;
    lora->rslora = rslora && rslora->type == JSON_BOOL && rslora->boolean;
    Error own = {0};
    if (!lora_check(lora, &own)) return error_set(err, own.status, "%s: %s", path, own.text);
    return read_targets(json_get(root, "target_modules"), base, &lora->targets, path, err);
}

bool adapter_config_load(LoraConfig *lora, const ModelConfig *base, const char *folder,
                         Error *err) {
    Arena arena = {0};
    Buf text = {0};
    char *path = path_join(folder, CONFIG);
    const Json *root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    bool ok = root && read_config(root, lora, base, path, err);
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

/* ---- adapter_config.json: writing ---- */

/* The shortest name that means the targeted roles and no other. */
static void put_targets(Buf *b, const ModelConfig *c, unsigned targets) {
    StrSet names = {0};
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (!(targets >> role & 1)) continue;
        Str module = role_module(c->family, (TensorRole)role), last = module;
        while (memchr(last.s, '.', last.n)) {
            size_t n = (size_t)((const char *)memchr(last.s, '.', last.n) - last.s) + 1;
            last = (Str){last.s + n, last.n - n};
        }
        strset_add(&names, roles_of(c, last) & ~targets ? module : last);
    }
    for (int i = 0; i < names.n; i++) {
        buf_puts(b, i ? ", " : "");
        json_put_string(b, names.v[i]);
    }
    strset_free(&names);
}

bool adapter_config_save(const LoraConfig *lora, const ModelConfig *base, const char *base_path,
                         const char *folder, Error *err) {
    Buf b = {0};
    char *path = path_join(folder, CONFIG), *whole = realpath(base_path, NULL);
    buf_puts(&b, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\",\n"
                 "  \"base_model_name_or_path\": ");
    json_put_string(&b, str(whole ? whole : base_path));
    buf_printf(&b, ",\n  \"r\": %d,\n  \"lora_alpha\": ", lora->rank);
    json_put_number(&b, lora->alpha);
    buf_puts(&b, ",\n  \"lora_dropout\": 0.0,\n  \"target_modules\": [");
    put_targets(&b, base, lora->targets);
    buf_printf(&b,
               "],\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": %s,\n  \"use_rslora\": %s,\n"
               "  \"modules_to_save\": null,\n  \"init_lora_weights\": true,\n"
               "  \"inference_mode\": true\n}\n",
               base->family == FAMILY_GPT2 ? "true" : "false", lora->rslora ? "true" : "false");
    bool ok = file_write(path, b.s, b.n, err);
    free(path);
    free(whole);
    buf_free(&b);
    return ok;
}

/* ---- adapter_model.safetensors ---- */

static bool check_tensor(const TensorInfo *info, const ModelTensor *t, const char *path,
                         Error *err) {
    return (tensors_is_float(info) && info->rank == 2 && info->shape[0] == t->shape[0] &&
            info->shape[1] == t->shape[1]) ||
           error_set(err, STATUS_DATA,
                     "%s: tensor %s has another shape or type than %s and the base say: %d x %d "
                     "numbers",
                     path, t->name, CONFIG, t->shape[0], t->shape[1]);
}

static bool read_weights(real *w, const ModelTensor *list, int count, const TensorFile *file,
                         Error *err) {
    StrSet names = {0};
    bool ok = true;
    for (int i = 0; i < count; i++) strset_add(&names, str(list[i].name));
    for (int i = 0; ok && i < file->count; i++)
        if (strset_find(&names, file->tensors[i].name) < 0)
            ok = error_set(err, STATUS_DATA,
                           "%s: tensor %.*s is no adapter that %s and the base say", file->path,
                           STR_ARG(shown(file->tensors[i].name)), CONFIG);
    strset_free(&names);
    for (int i = 0; ok && i < count; i++) {
        const ModelTensor *t = &list[i];
        const TensorInfo *info = tensors_find(file, t->name);
        real *to = w + t->offset;
        ok = info ? check_tensor(info, t, file->path, err) && tensors_read(info, to, err)
                  : error_set(err, STATUS_DATA, "%s: tensor %s is missing", file->path, t->name);
        int bad = 0;
        for (size_t j = 0; ok && j < t->size; j++) bad |= !isfinite(to[j]);
        if (bad)
            ok = error_set(err, STATUS_DATA, "%s: tensor %s holds a value that is not finite",
                           file->path, t->name);
    }
    return ok;
}

bool adapter_weights_load(real *w, const ModelTensor *list, int count, const char *folder,
                          Error *err) {
    char *path = path_join(folder, WEIGHTS), *pickle = path_join(folder, "adapter_model.bin");
    TensorFile file;
    bool ok = file_exists(path) || !file_exists(pickle) ||
              error_set(err, STATUS_DATA,
                        "%s: holds pickled Python, which is not read; save the adapter as %s "
                        "(save_pretrained of PEFT)",
                        pickle, WEIGHTS);
    ok = ok && tensors_open(&file, path, err);
    if (ok) {
        ok = read_weights(w, list, count, &file, err);
        tensors_close(&file);
    }
    free(path);
    free(pickle);
    return ok;
}

bool adapter_weights_save(const real *w, const ModelTensor *list, int count, const char *folder,
                          Error *err) {
    TensorOut *out = mem_new((size_t)count, sizeof *out);
    for (int i = 0; i < count; i++) {
        const ModelTensor *t = &list[i];
        out[i] = (TensorOut){.name = t->name, .type = TENSOR_REAL, .rank = 2};
        out[i].shape[0] = t->shape[0];
        out[i].shape[1] = t->shape[1];
        out[i].data = w + t->offset;
    }
    char *path = path_join(folder, WEIGHTS);
    bool ok = tensors_write(path, out, count, NULL, 0, err);
    free(path);
    free(out);
    return ok;
}
