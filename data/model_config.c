/* config.json: from Hugging Face's keys of four families to one ModelConfig, and back. */
#include "data/model_config.h"

#include <string.h>

#include "data/template_file.h"
#include "lib/file.h"
#include "lib/json.h"

/* ---- the keys ---- */

/* Families as a set. */
enum {
    GPT2 = 1 << FAMILY_GPT2,
    LLAMA = 1 << FAMILY_LLAMA,
    QWEN2 = 1 << FAMILY_QWEN2,
    QWEN3 = 1 << FAMILY_QWEN3,
    QWEN = QWEN2 | QWEN3,
    ROTARY = LLAMA | QWEN,
    ANY = GPT2 | ROTARY
};

typedef enum { WHOLE, NUMBER, TRUTH } KeyType;

/* Keys whose value is a member of ModelConfig. `need`: a file without the key is refused. */
static const struct {
    const char *key;
    int families;
    KeyType type;
    size_t member;
    bool need;
} KEYS[] = {
    {"vocab_size", ANY, WHOLE, offsetof(ModelConfig, vocab), true},
    {"n_positions", GPT2, WHOLE, offsetof(ModelConfig, context), true},
    {"n_embd", GPT2, WHOLE, offsetof(ModelConfig, channels), true},
    {"n_layer", GPT2, WHOLE, offsetof(ModelConfig, layers), true},
    {"n_head", GPT2, WHOLE, offsetof(ModelConfig, heads), true},
    {"n_inner", GPT2, WHOLE, offsetof(ModelConfig, inner), false},
    {"layer_norm_epsilon", GPT2, NUMBER, offsetof(ModelConfig, epsilon), false},
    {"max_position_embeddings", ROTARY, WHOLE, offsetof(ModelConfig, context), true},
    {"hidden_size", ROTARY, WHOLE, offsetof(ModelConfig, channels), true},
    {"num_hidden_layers", ROTARY, WHOLE, offsetof(ModelConfig, layers), true},
    {"num_attention_heads", ROTARY, WHOLE, offsetof(ModelConfig, heads), true},
    {"num_key_value_heads", LLAMA, WHOLE, offsetof(ModelConfig, kv_heads), false},
    {"num_key_value_heads", QWEN, WHOLE, offsetof(ModelConfig, kv_heads), true},
    {"head_dim", ROTARY, WHOLE, offsetof(ModelConfig, head_size), false},
    {"intermediate_size", ROTARY, WHOLE, offsetof(ModelConfig, inner), true},
    {"rms_norm_eps", ROTARY, NUMBER, offsetof(ModelConfig, epsilon), false},
    {"rope_theta", ROTARY, NUMBER, offsetof(ModelConfig, theta), false},
    {"attention_bias", LLAMA | QWEN3, TRUTH, offsetof(ModelConfig, qkv_bias), false},
    {"mlp_bias", LLAMA, TRUTH, offsetof(ModelConfig, mlp_bias), false},
};
enum { KEY_COUNT = sizeof KEYS / sizeof *KEYS };

/* Names that the family's class takes for a key too. */
static const struct {
    const char *key, *other;
    int families;
} OTHER_NAMES[] = {{"n_positions", "max_position_embeddings", GPT2},
                   {"n_embd", "hidden_size", GPT2},
                   {"n_layer", "num_hidden_layers", GPT2},
                   {"n_head", "num_attention_heads", GPT2}};
enum { OTHER_COUNT = sizeof OTHER_NAMES / sizeof *OTHER_NAMES };

/* Keys of which one value is implemented, as JSON text. A file without the key means it. Those
 * that are usual are written. */
static const struct {
    const char *key, *value;
    int families;
    bool usual;
} FIXED[] = {
    {"activation_function", "\"gelu_new\"", GPT2, true},
    {"scale_attn_weights", "true", GPT2, true},
    {"scale_attn_by_inverse_layer_idx", "false", GPT2, true},
    {"add_cross_attention", "false", GPT2, false},
    {"hidden_act", "\"silu\"", ROTARY, true},
    {"partial_rotary_factor", "1", ROTARY, false},
    {"rope_interleaved", "false", ROTARY, false},
    {"use_sliding_window", "false", QWEN, true},
    {"use_bidirectional_attention", "false", ROTARY, false},
    {"is_causal", "true", ANY, false},
    {"quantization_config", "null", ANY, false},
};
enum { FIXED_COUNT = sizeof FIXED / sizeof *FIXED };

/* ---- reading ---- */

/* The value of a key. NULL if it is absent or null. */
static const Json *get(const Json *object, const char *key) {
    const Json *v = json_get(object, key);
    return v && v->type != JSON_NULL ? v : NULL;
}

static bool is_text(const Json *v, const char *text) {
    return v && v->type == JSON_STRING && str_is(v->string, text);
}

/* Is v what the JSON text says: a string, a boolean, or a number? */
static bool value_is(const Json *v, const char *text) {
    size_t n = strlen(text);
    if (v->type == JSON_STRING)
        return *text == '"' && v->string.n + 2 == n && memcmp(v->string.s, text + 1, n - 2) == 0;
    if (v->type == JSON_BOOL) return strcmp(text, v->boolean ? "true" : "false") == 0;
    return v->type == JSON_NUMBER && *text >= '0' && *text <= '9' &&
           v->number == strtod(text, NULL);
}

static bool read_family(const Json *root, const char *path, Family *family, Error *err) {
    const Json *type = get(root, "model_type");
    *family = FAMILY_GPT2;
    if (!type) return true;
    for (int i = 0; i < FAMILY_COUNT; i++) {
        *family = (Family)i;
        if (is_text(type, family_name(*family))) return true;
    }
    Str name = type->type == JSON_STRING ? token_shown(type->string) : str("no text");
    return error_set(err, STATUS_DATA,
                     "%s: \"model_type\" is %.*s; the program has gpt2, llama, qwen2 and qwen3",
                     path, STR_ARG(name));
}

/* Refuses what the program does not compute. */
static bool check_fixed(const Json *root, const char *path, Family family, Error *err) {
    for (int i = 0; i < FIXED_COUNT; i++) {
        const Json *v = FIXED[i].families >> family & 1 ? get(root, FIXED[i].key) : NULL;
        if (v && !value_is(v, FIXED[i].value))
            return error_set(err, STATUS_DATA,
                             "%s: \"%s\" must be %s or absent; other variants of %s are not "
                             "supported",
                             path, FIXED[i].key, FIXED[i].value, family_name(family));
    }
    /* Each layer may have a kind of attention of its own. */
    const Json *layers = family == FAMILY_GPT2 ? NULL : get(root, "layer_types");
    bool full = !layers || layers->type == JSON_ARRAY;
    for (int i = 0; full && layers && i < layers->count; i++)
        full = is_text(&layers->items[i], "full_attention");
    return full || error_set(err, STATUS_DATA,
                             "%s: \"layer_types\" must be \"full_attention\" for every layer; "
                             "sliding windows are not supported",
                             path);
}

static bool read_whole(const Json *v, const char *path, const char *key, int *to, Error *err) {
    if (!v || v->type != JSON_NUMBER || !v->is_integer || v->number < 1 || v->number > 1 << 24)
        return error_set(err, STATUS_DATA,
                         "%s: \"%s\" is missing or not a positive integer; is this a model folder "
                         "of Hugging Face's form?",
                         path, key);
    *to = (int)v->number;
    return true;
}

static bool read_positive(const Json *v, const char *path, const char *key, double *to,
                          Error *err) {
    if (!v || v->type != JSON_NUMBER || !(v->number > 0))
        return error_set(err, STATUS_DATA, "%s: \"%s\" is missing or not a positive number", path,
                         key);
    *to = v->number;
    return true;
}

static bool read_truth(const Json *v, const char *path, const char *key, bool *to, Error *err) {
    if (v->type != JSON_BOOL)
        return error_set(err, STATUS_DATA, "%s: \"%s\" must be true or false", path, key);
    *to = v->boolean;
    return true;
}

/* The value of a key, or of its other name. Both may be there with the same number. */
static bool find_member(const Json *root, const char *path, Family family, const char *key,
                        const Json **v, Error *err) {
    const Json *other = NULL;
    const char *name = "";
    *v = get(root, key);
    for (int i = 0; i < OTHER_COUNT; i++) {
        if (!(OTHER_NAMES[i].families >> family & 1) || strcmp(OTHER_NAMES[i].key, key) != 0)
            continue;
        name = OTHER_NAMES[i].other;
        other = get(root, name);
    }
    if (*v && other && !(other->type == JSON_NUMBER && other->number == (*v)->number))
        return error_set(err, STATUS_DATA, "%s: \"%s\" contradicts \"%s\"; remove one of them",
                         path, name, key);
    if (!*v) *v = other;
    return true;
}

static bool read_members(const Json *root, const char *path, ModelConfig *c, Error *err) {
    for (int i = 0; i < KEY_COUNT; i++) {
        const char *key = KEYS[i].key;
        void *member = (char *)c + KEYS[i].member;
        if (!(KEYS[i].families >> c->family & 1)) continue;
        const Json *v;
        if (!find_member(root, path, c->family, key, &v, err)) return false;
        /* Old files have n_ctx. */
        if (!v && strcmp(key, "n_positions") == 0) v = get(root, key = "n_ctx");
        if (!v && !KEYS[i].need) continue;
        if (KEYS[i].type == WHOLE && !read_whole(v, path, key, member, err)) return false;
        if (KEYS[i].type == NUMBER && !read_positive(v, path, key, member, err)) return false;
        if (KEYS[i].type == TRUTH && !read_truth(v, path, key, member, err)) return false;
    }
    return true;
}

/* ---- rotary positions ---- */

static const struct {
    const char *name;
    ScalingKind kind;
} ROPE_TYPES[] = {
    {"default", SCALING_NONE}, {"linear", SCALING_LINEAR}, {"llama3", SCALING_LLAMA3}};
enum { ROPE_TYPE_COUNT = sizeof ROPE_TYPES / sizeof *ROPE_TYPES };

/* Refuses members of rope_scaling and rope_parameters that no supported type has. */
static bool check_rope_keys(const Json *v, const char *path, const char *key, Error *err) {
    static const char *const known[] = {"rope_type",
                                        "type",
                                        "rope_theta",
                                        "factor",
                                        "low_freq_factor",
                                        "high_freq_factor",
                                        "original_max_position_embeddings"};
    for (int i = 0; i < v->count; i++) {
        bool ok = v->items[i].type == JSON_NULL ||
                  (str_is(v->keys[i], "partial_rotary_factor") && value_is(&v->items[i], "1"));
        for (size_t j = 0; !ok && j < sizeof known / sizeof *known; j++)
            ok = str_is(v->keys[i], known[j]);
        Str shown = token_shown(v->keys[i]);
        if (!ok)
            return error_set(err, STATUS_DATA, "%s: \"%s\": \"%.*s\" is not supported", path, key,
                             STR_ARG(shown));
    }
    return true;
}

/* Reads rope_scaling, of older files, or rope_parameters. *theta stays if it is not there. */
static bool read_rope(const Json *v, const char *path, const char *key, Scaling *s, double *theta,
                      Error *err) {
    if (v->type != JSON_OBJECT)
        return error_set(err, STATUS_DATA, "%s: \"%s\" must be an object or null", path, key);
    const Json *type = get(v, "rope_type"), *old = get(v, "type"), *base = get(v, "rope_theta");
    if (!type) type = old;
    int kind = 0;
    while (type && kind < ROPE_TYPE_COUNT && !is_text(type, ROPE_TYPES[kind].name)) kind++;
    if (kind == ROPE_TYPE_COUNT || (old && !is_text(old, ROPE_TYPES[kind].name))) {
        Str name = type->type == JSON_STRING ? token_shown(type->string) : str("no text");
        return error_set(err, STATUS_DATA,
                         "%s: \"%s\" has the type %.*s; default, linear and llama3 are supported",
                         path, key, STR_ARG(name));
    }
    if (!check_rope_keys(v, path, key, err)) return false;
    *s = (Scaling){.kind = ROPE_TYPES[kind].kind};
    if (base && !read_positive(base, path, "rope_theta", theta, err)) return false;
    if (s->kind == SCALING_NONE) return true;
    if (!read_positive(get(v, "factor"), path, "factor", &s->factor, err)) return false;
    if (s->kind == SCALING_LINEAR) return true;
    static const char original[] = "original_max_position_embeddings";
    if (!read_positive(get(v, "low_freq_factor"), path, "low_freq_factor", &s->low, err) ||
        !read_positive(get(v, "high_freq_factor"), path, "high_freq_factor", &s->high, err) ||
        !read_whole(get(v, original), path, original, &s->original, err))
        return false;
    return s->high > s->low || error_set(err, STATUS_DATA,
                                         "%s: \"high_freq_factor\" must be larger than "
                                         "\"low_freq_factor\"",
                                         path);
}

static bool same_scaling(const Scaling *a, const Scaling *b) {
    return a->kind == b->kind && a->factor == b->factor && a->low == b->low && a->high == b->high &&
           a->original == b->original;
}

/* A file may say the base and the scaling in its old and in its new form, but not differently. */
static bool read_rotary(const Json *root, const char *path, ModelConfig *c, Error *err) {
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    bool found = false;
    for (int i = 0; i < 2; i++) {
        const Json *v = get(root, keys[i]);
        Scaling scaling;
        double theta = 0;
        if (!v) continue;
        if (!read_rope(v, path, keys[i], &scaling, &theta, err)) return false;
        if ((found && !same_scaling(&scaling, &c->scaling)) ||
            (theta > 0 && c->theta > 0 && theta != c->theta))
            return error_set(err, STATUS_DATA, "%s: \"%s\" contradicts %s; remove one of them",
                             path, keys[i], found ? "\"rope_scaling\"" : "\"rope_theta\"");
        if (theta > 0) c->theta = theta;
        c->scaling = scaling;
        found = true;
    }
    return true;
}

/* ---- the file ---- */

static bool read_config(const Json *root, const char *path, ModelConfig *c, Error *err) {
    *c = (ModelConfig){0};
    if (!read_family(root, path, &c->family, err) || !check_fixed(root, path, c->family, err) ||
        !read_members(root, path, c, err))
        return false;
    bool rotary = ROTARY >> c->family & 1, tied = !rotary;
    if (rotary && !read_rotary(root, path, c, err)) return false;
    const Json *tie = get(root, "tie_word_embeddings");
    if (tie && !read_truth(tie, path, "tie_word_embeddings", &tied, err)) return false;
    c->untied = !tied;
    if ((LLAMA | QWEN3) >> c->family & 1) c->out_bias = c->qkv_bias;
    if (c->family == FAMILY_QWEN3 && c->head_size == 0) c->head_size = 128;
    Error own = {0};
    return config_complete(c, &own) || error_set(err, own.status, "%s: %s", path, own.text);
}

bool model_config_load(ModelConfig *c, const char *folder, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    char *path = path_join(folder, "config.json");
    const Json *root = NULL;
    if (!file_exists(path))
        error_set(err, STATUS_DATA,
                  "%s: config.json is missing, so this is not a model folder (it has config.json, "
                  "model.safetensors, and tokenizer.json or vocab.json and merges.txt)",
                  folder);
    else root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    bool ok = root && read_config(root, path, c, err);
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

/* ---- writing ---- */

/* Readers that know types want a point in a number that is no count. */
static void put_real(Buf *b, double x) {
    size_t from = b->n;
    json_put_number(b, x);
    if (!memchr(b->s + from, '.', b->n - from) && !memchr(b->s + from, 'e', b->n - from))
        buf_puts(b, ".0");
}

static const void *member_of(const ModelConfig *c, int key) {
    return (const char *)c + KEYS[key].member;
}

static void put_whole(Buf *b, int key, const ModelConfig *c) {
    const char *name = KEYS[key].key;
    int n = *(const int *)member_of(c, key);
    /* Qwen2's class has no head_dim, and Llama's means this by its absence. */
    bool usual = c->family != FAMILY_QWEN3 && n * c->heads == c->channels;
    if (strcmp(name, "head_dim") == 0 && usual) return;
    if (strcmp(name, "n_inner") == 0 && n == 4 * c->channels) buf_puts(b, "  \"n_inner\": null,\n");
    else buf_printf(b, "  \"%s\": %d,\n", name, n);
    if (strcmp(name, "n_positions") == 0) buf_printf(b, "  \"n_ctx\": %d,\n", n); /* old readers */
}

static void put_number(Buf *b, int key, const ModelConfig *c) {
    buf_printf(b, "  \"%s\": ", KEYS[key].key);
    put_real(b, *(const double *)member_of(c, key));
    buf_puts(b, ",\n");
}

static void put_truth(Buf *b, int key, const ModelConfig *c) {
    bool is = *(const bool *)member_of(c, key);
    buf_printf(b, "  \"%s\": %s,\n", KEYS[key].key, is ? "true" : "false");
}

static void put_scaling(Buf *b, const Scaling *s) {
    if (s->kind == SCALING_NONE) {
        buf_puts(b, "  \"rope_scaling\": null,\n");
        return;
    }
    bool linear = s->kind == SCALING_LINEAR;
    buf_printf(b, "  \"rope_scaling\": {\"rope_type\": \"%s\", \"factor\": ",
               linear ? "linear" : "llama3");
    put_real(b, s->factor);
    if (!linear) {
        buf_puts(b, ", \"low_freq_factor\": ");
        put_real(b, s->low);
        buf_puts(b, ", \"high_freq_factor\": ");
        put_real(b, s->high);
        buf_printf(b, ", \"original_max_position_embeddings\": %d", s->original);
    }
    buf_puts(b, "},\n");
}

void model_config_put(Buf *b, const ModelConfig *c, const char *token_keys) {
    static const char *const classes[] = {[FAMILY_GPT2] = "GPT2LMHeadModel",
                                          [FAMILY_LLAMA] = "LlamaForCausalLM",
                                          [FAMILY_QWEN2] = "Qwen2ForCausalLM",
                                          [FAMILY_QWEN3] = "Qwen3ForCausalLM"};
    bool gpt2 = c->family == FAMILY_GPT2;
    int set = 1 << c->family;
    buf_printf(b, "{\n  \"model_type\": \"%s\",\n  \"architectures\": [\"%s\"],\n",
               family_name(c->family), classes[c->family]);
    for (int i = 0; i < KEY_COUNT; i++)
        if (KEYS[i].families & set && KEYS[i].type == WHOLE) put_whole(b, i, c);
    for (int i = 0; i < FIXED_COUNT; i++)
        if (FIXED[i].families & set && *FIXED[i].value == '"')
            buf_printf(b, "  \"%s\": %s,\n", FIXED[i].key, FIXED[i].value);
    for (int i = 0; i < KEY_COUNT; i++)
        if (KEYS[i].families & set && KEYS[i].type == NUMBER) put_number(b, i, c);
    if (!gpt2) put_scaling(b, &c->scaling);
    buf_puts(b, "  \"initializer_range\": 0.02,\n");
    for (int i = 0; i < KEY_COUNT; i++)
        if (KEYS[i].families & set && KEYS[i].type == TRUTH) put_truth(b, i, c);
    for (int i = 0; i < FIXED_COUNT; i++)
        if (FIXED[i].families & set && FIXED[i].usual && *FIXED[i].value != '"')
            buf_printf(b, "  \"%s\": %s,\n", FIXED[i].key, FIXED[i].value);
    buf_printf(b, "  %s,\n", token_keys);
    buf_printf(b, "  \"tie_word_embeddings\": %s,\n", c->untied ? "false" : "true");
    buf_puts(b, gpt2 ? "  \"resid_pdrop\": 0.0,\n  \"embd_pdrop\": 0.0,\n  \"attn_pdrop\": 0.0\n}\n"
                     : "  \"attention_dropout\": 0.0\n}\n");
}
