/* Which tokenizer.json is GPT-2's. */
#include "data/tokenizer_json.h"

static bool is_absent(const Json *v) { return !v || v->type == JSON_NULL; }

static bool is_false(const Json *v) {
    return is_absent(v) || (v->type == JSON_BOOL && !v->boolean);
}

static bool is_true(const Json *v) { return v && v->type == JSON_BOOL && v->boolean; }

static bool is_empty(const Json *v) {
    return is_absent(v) || (v->type == JSON_STRING && v->string.n == 0);
}

static bool is_zero(const Json *v) {
    return is_absent(v) || (v->type == JSON_NUMBER && v->number == 0);
}

static bool has_type(const Json *part, const char *type) {
    const Json *v = json_get(part, "type");
    return v && v->type == JSON_STRING && str_is(v->string, type);
}

/* ---- the parts ---- */

static bool is_pre_tokenizer(const Json *v) {
    const Json *prefix = json_get(v, "add_prefix_space"), *regex = json_get(v, "use_regex");
    return has_type(v, "ByteLevel") && prefix && is_false(prefix) && (!regex || is_true(regex));
}

/* Does a step after the encoding leave the tokens as they are? */
static bool adds_nothing(const Json *v) {
    if (is_absent(v) || has_type(v, "ByteLevel")) return true;
    const Json *steps = json_get(v, "processors"), *single = json_get(v, "single");
    bool is_list = has_type(v, "Sequence") && steps && steps->type == JSON_ARRAY;
    bool is_form = has_type(v, "TemplateProcessing") && single && single->type == JSON_ARRAY;
    for (int i = 0; is_list && i < steps->count; i++)
        if (!adds_nothing(&steps->items[i])) return false;
    return is_list || (is_form && single->count == 1 && json_get(&single->items[0], "Sequence"));
}

/* The first part that is not GPT-2's, or NULL. */
static const char *other_part(const Json *root, const Json *model) {
    const Json *type = json_get(model, "type");
    const struct {
        const char *name;
        bool fits;
    } parts[] = {
        {"model.type", is_absent(type) || has_type(model, "BPE")},
        {"model.dropout", is_zero(json_get(model, "dropout"))},
        {"model.continuing_subword_prefix", is_empty(json_get(model, "continuing_subword_prefix"))},
        {"model.end_of_word_suffix", is_empty(json_get(model, "end_of_word_suffix"))},
        {"model.byte_fallback", is_false(json_get(model, "byte_fallback"))},
        {"model.ignore_merges", is_false(json_get(model, "ignore_merges"))},
        {"normalizer", is_absent(json_get(root, "normalizer"))},
        {"pre_tokenizer", is_pre_tokenizer(json_get(root, "pre_tokenizer"))},
        {"decoder", has_type(json_get(root, "decoder"), "ByteLevel")},
        {"post_processor", adds_nothing(json_get(root, "post_processor"))},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!parts[i].fits) return parts[i].name;
    return NULL;
}

bool tokenizer_json_read(TokenizerJson *parts, const char *path, Arena *arena, Error *err) {
    Buf text = {0};
    const Json *root = json_read_object(path, TOKENIZER_MOST, arena, &text, err);
    buf_free(&text);
    if (!root) return false;
    const Json *model = json_get(root, "model"), *added = json_get(root, "added_tokens");
    const char *other = other_part(root, model);
    if (other)
        return error_set(err, STATUS_DATA,
                         "%s: %s is not as in GPT-2's byte-level BPE: this tokenizer gives other "
                         "ids, and is not supported",
                         path, other);
    *parts = (TokenizerJson){json_get(model, "vocab"), json_get(model, "merges"),
                             is_absent(added) ? NULL : added};
    bool whole = parts->vocab && parts->vocab->type == JSON_OBJECT && parts->merges &&
                 parts->merges->type == JSON_ARRAY && (!parts->added || added->type == JSON_ARRAY);
    return whole || error_set(err, STATUS_DATA,
                              "%s: needs model.vocab, an object, model.merges and added_tokens, "
                              "lists: the file is damaged or of another kind",
                              path);
}
