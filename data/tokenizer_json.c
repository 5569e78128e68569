/* Which tokenizer.json is one of ours. */
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

static bool is_text(const Json *v, const char *text) {
    return v && v->type == JSON_STRING && str_is(v->string, text);
}

static bool has_type(const Json *part, const char *type) {
    return is_text(json_get(part, "type"), type);
}

/* Refuses a part by its name and its value. */
static bool refuse(const char *path, const char *part, const Json *v, Error *err) {
    Buf text = {0};
    if (v) json_put_value(&text, v);
    else buf_puts(&text, "absent");
    Str shown = token_shown((Str){text.s, text.n});
    error_set(
        err, STATUS_DATA,
        "%s: %s is %.*s%s: this tokenizer gives other ids than those of GPT-2, SmolLM2, Llama "
        "or Qwen, and is not supported",
        path, part, STR_ARG(shown), shown.n < text.n ? "..." : "");
    buf_free(&text);
    return false;
}

/* ---- forms ---- */

/* The parts that make text into pieces, and ids into text, must have one of these forms. "*" stands
 * for any value, or none. %s is the regular expression of the row. */
typedef enum { NORMALIZER, PRE_TOKENIZER, DECODER, FORM_PARTS } FormPart;
static const char *const FORM_NAMES[FORM_PARTS] = {"normalizer", "pre_tokenizer", "decoder"};

#define BYTE_LEVEL(prefix_space, more)                                                             \
    "{\"type\":\"ByteLevel\",\"trim_offsets\":\"*\",\"add_prefix_space\":" prefix_space more "}"
#define AFTER(first, more)                                                                         \
    "{\"type\":\"Sequence\",\"pretokenizers\":[" first "," BYTE_LEVEL("false", more) "]}"
#define SPLIT                                                                                      \
    AFTER("{\"type\":\"Split\",\"pattern\":{\"Regex\":%s},\"behavior\":\"Isolated\","              \
          "\"invert\":false}",                                                                     \
          ",\"use_regex\":false")
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"
#define REPLACE(from, to)                                                                          \
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\"" from "\"},\"content\":\"" to "\"}"
#define METASPACE(prepend)                                                                         \
    "{\"type\":\"Metaspace\",\"replacement\":\"" BLANK "\",\"prepend_scheme\":\"" prepend          \
    "\",\"split\":false}"
#define PIECES_DECODER(more)                                                                       \
    "{\"type\":\"Sequence\",\"decoders\":[" REPLACE(BLANK, " ") ",{\"type\":\"ByteFallback\"},"    \
                                                                "{\"type\":\"Fuse\"}" more "]}"
#define BLANK "\xe2\x96\x81" /* U+2581 */

#define LLAMA_WORDS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define LLAMA_OTHERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

typedef struct {
    FormPart part;
    const char *form;
    TokenizerRules rules; /* what it adds to the rules; `pieces`: which kind has it */
    const char *regex;
} Form;

static const Form FORMS[] = {
    {NORMALIZER, "null", {.pieces = false}, NULL},
    {NORMALIZER, "{\"type\":\"NFC\"}", {.nfc = true}, NULL},
    {PRE_TOKENIZER, BYTE_LEVEL("false", ""), {.splitter = SPLIT_GPT2}, NULL},
    {PRE_TOKENIZER, BYTE_LEVEL("false", ",\"use_regex\":true"), {.splitter = SPLIT_GPT2}, NULL},
    {PRE_TOKENIZER, AFTER(DIGITS, ""), {.splitter = SPLIT_DIGITS}, NULL},
    {PRE_TOKENIZER, AFTER(DIGITS, ",\"use_regex\":true"), {.splitter = SPLIT_DIGITS}, NULL},
    {PRE_TOKENIZER,
     SPLIT,
     {.splitter = SPLIT_GPT2},
     "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"},
    {PRE_TOKENIZER, SPLIT, {.splitter = SPLIT_LLAMA3}, LLAMA_WORDS "\\p{N}{1,3}" LLAMA_OTHERS},
    {PRE_TOKENIZER, SPLIT, {.splitter = SPLIT_QWEN}, LLAMA_WORDS "\\p{N}" LLAMA_OTHERS},
    {DECODER, BYTE_LEVEL("\"*\"", ",\"use_regex\":\"*\""), {.pieces = false}, NULL},
    /* SentencePiece: a blank before each text, by one part or the other; or none. */
    {NORMALIZER,
     "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" BLANK
     "\"}," REPLACE(" ", BLANK) "]}",
     {.pieces = true, .blank = BLANK_ALWAYS},
     NULL},
    {PRE_TOKENIZER, "null", {.pieces = true, .blank = BLANK_ALWAYS}, NULL},
    {DECODER,
     PIECES_DECODER(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"),
     {.pieces = true, .blank = BLANK_ALWAYS},
     NULL},
    {NORMALIZER, "null", {.pieces = true, .blank = BLANK_IF_NONE}, NULL},
    {PRE_TOKENIZER, METASPACE("always"), {.pieces = true, .blank = BLANK_IF_NONE}, NULL},
    {DECODER,
     PIECES_DECODER(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}"),
     {.pieces = true, .blank = BLANK_IF_NONE},
     NULL},
    {NORMALIZER, "null", {.pieces = true, .blank = BLANK_NEVER}, NULL},
    {PRE_TOKENIZER, METASPACE("never"), {.pieces = true, .blank = BLANK_NEVER}, NULL},
    {DECODER, PIECES_DECODER(""), {.pieces = true, .blank = BLANK_NEVER}, NULL},
};
enum { FORM_COUNT = sizeof FORMS / sizeof *FORMS };

/* Does a value have a form? An object has the same keys, in any order. */
static bool has_form(const Json *form, const Json *v) {
    if (is_text(form, "*") || (is_absent(form) && is_absent(v))) return true;
    if (!v || v->type != form->type) return false;
    switch (form->type) {
    case JSON_NULL: return true;
    case JSON_BOOL: return form->boolean == v->boolean;
    case JSON_NUMBER: return form->number == v->number;
    case JSON_STRING: return str_equal(form->string, v->string);
    case JSON_ARRAY:
        for (int i = 0; i < form->count && i < v->count; i++)
            if (!has_form(&form->items[i], &v->items[i])) return false;
        return form->count == v->count;
    case JSON_OBJECT: break;
    }
    for (int i = 0; i < form->count; i++)
        if (!has_form(&form->items[i], json_get(v, form->keys[i].s))) return false;
    for (int i = 0; i < v->count; i++)
        if (!json_get(form, v->keys[i].s)) return false;
    return true;
}

/* Does a value have the form of a row? */
static bool fits_row(const Form *row, const Json *v) {
    Arena arena = {0};
    Buf regex = {0}, text = {0};
    json_put_string(&regex, str(row->regex ? row->regex : ""));
    const char *place = strstr(row->form, "%s");
    size_t before = place ? (size_t)(place - row->form) : strlen(row->form);
    buf_put(&text, row->form, before);
    if (place) {
        buf_put(&text, regex.s, regex.n);
        buf_puts(&text, place + 2);
    }
    bool fits = has_form(json_parse(&arena, text.s, text.n, NULL), v);
    buf_free(&regex);
    buf_free(&text);
    arena_free(&arena);
    return fits;
}

/* Finds the forms of the three parts. The first choice that SentencePiece has, whether a blank
 * stands before a text, binds the later ones. */
static bool read_forms(TokenizerRules *rules, const Json *root, const char *path, Error *err) {
    bool is_open[BLANK_COUNT] = {true, true, true};
    for (int part = 0; part < FORM_PARTS; part++) {
        const Json *v = json_get(root, FORM_NAMES[part]);
        bool fits[BLANK_COUNT] = {false, false, false}, found = false;
        for (int i = 0; i < FORM_COUNT; i++) {
            const Form *row = &FORMS[i];
            if ((int)row->part != part || row->rules.pieces != rules->pieces) continue;
            if (!is_open[row->rules.blank] || !fits_row(row, v)) continue;
            fits[row->rules.blank] = found = true;
            rules->nfc |= row->rules.nfc;
            rules->blank = row->rules.blank;
            if (row->rules.splitter) rules->splitter = row->rules.splitter;
        }
        if (!found) return refuse(path, FORM_NAMES[part], v, err);
        memcpy(is_open, fits, sizeof is_open);
    }
    return true;
}

/* ---- the other parts ---- */

/* Any key of an object that is not among the known ones is refused: it might change the ids. */
static bool check_keys(const char *path, const Json *object, const char *prefix,
                       const char *const *known, int n, Error *err) {
    for (int k = 0; object && k < object->count; k++) {
        Str key = object->keys[k], s = token_shown(key);
        bool found = false;
        for (int i = 0; i < n; i++) found |= str_is(key, known[i]);
        if (!found)
            return error_set(err, STATUS_DATA,
                             "%s: the key \"%s%.*s\" is not known: this tokenizer may give other "
                             "ids, and is not supported",
                             path, prefix, STR_ARG(s));
    }
    return true;
}

/* The first part of the model that is none of ours, or NULL. */
static const char *other_part(const Json *model, const TokenizerRules *rules) {
    const Json *type = json_get(model, "type"), *ignore = json_get(model, "ignore_merges");
    bool is_bpe = is_absent(type) || is_text(type, "BPE");
    bool knows_ignore = is_false(ignore) || (is_true(ignore) && !rules->pieces);
    if (!is_bpe) return "type";
    if (!is_zero(json_get(model, "dropout"))) return "dropout";
    if (!is_empty(json_get(model, "continuing_subword_prefix"))) return "continuing_subword_prefix";
    if (!is_empty(json_get(model, "end_of_word_suffix"))) return "end_of_word_suffix";
    if (!is_false(json_get(model, "byte_fallback")) && !rules->pieces) return "byte_fallback";
    return knows_ignore ? NULL : "ignore_merges";
}

static bool read_model(TokenizerJson *parts, const Json *model, const char *path, Error *err) {
    static const char *const known[] = {
        "type",     "dropout",       "unk_token",     "continuing_subword_prefix",
        "fuse_unk", "byte_fallback", "ignore_merges", "end_of_word_suffix",
        "vocab",    "merges"};
    const Json *ignore = json_get(model, "ignore_merges");
    parts->rules.pieces = is_true(json_get(model, "byte_fallback"));
    parts->rules.whole_pieces = is_true(ignore);
    const char *other = other_part(model, &parts->rules);
    if (other) {
        Buf name = {0};
        buf_printf(&name, "model.%s", other);
        refuse(path, name.s, json_get(model, other), err);
        buf_free(&name);
        return false;
    }
    return check_keys(path, model, "model.", known, sizeof known / sizeof *known, err);
}

/* A TemplateProcessing of one text: [{"Sequence"}], or a token before it. */
static bool read_opening(TokenizerJson *parts, const Json *v) {
    const Json *single = json_get(v, "single");
    int count = single && single->type == JSON_ARRAY ? single->count : 0;
    if (count < 1 || count > 2 || !json_get(&single->items[count - 1], "Sequence")) return false;
    if (count == 1) return true;
    const Json *name = json_get(json_get(&single->items[0], "SpecialToken"), "id");
    if (!name || name->type != JSON_STRING || name->string.n == 0 || parts->opening.n) return false;
    const Json *ids = json_get(json_get(json_get(v, "special_tokens"), name->string.s), "ids");
    bool has_id = ids && ids->type == JSON_ARRAY && ids->count == 1 &&
                  ids->items[0].type == JSON_NUMBER && ids->items[0].is_integer;
    if (!has_id || ids->items[0].number < 0 || ids->items[0].number > TOKENIZER_MAX_ID)
        return false;
    parts->opening = name->string;
    parts->opening_id = (int)ids->items[0].number;
    return true;
}

/* The step after the encoding may put one token before the others. */
static bool read_post_processor(TokenizerJson *parts, const Json *v) {
    if (is_absent(v) || has_type(v, "ByteLevel")) return true;
    const Json *steps = json_get(v, "processors");
    if (has_type(v, "TemplateProcessing")) return read_opening(parts, v);
    if (!has_type(v, "Sequence") || !steps || steps->type != JSON_ARRAY) return false;
    for (int i = 0; i < steps->count; i++)
        if (!read_post_processor(parts, &steps->items[i])) return false;
    return true;
}

bool tokenizer_json_read(TokenizerJson *parts, const char *path, Arena *arena, Buf *text,
                         Error *err) {
    static const char *const known[] = {"version", "truncation",    "padding",
                                        "model",   "added_tokens",  "normalizer",
                                        "decoder", "pre_tokenizer", "post_processor"};
    *parts = (TokenizerJson){.opening_id = -1};
    const Json *root = json_read_object(path, TOKENIZER_JSON_MOST, arena, text, err);
    if (!root) return false;
    const Json *model = json_get(root, "model"), *added = json_get(root, "added_tokens");
    const Json *post = json_get(root, "post_processor"), *version = json_get(root, "version");
    parts->vocab = json_get(model, "vocab");
    parts->merges = json_get(model, "merges");
    parts->added = is_absent(added) ? NULL : added;
    bool whole = parts->vocab && parts->vocab->type == JSON_OBJECT && parts->merges &&
                 parts->merges->type == JSON_ARRAY && (!parts->added || added->type == JSON_ARRAY);
    if (!read_model(parts, model, path, err) || !read_forms(&parts->rules, root, path, err) ||
        !check_keys(path, root, "", known, sizeof known / sizeof *known, err))
        return false;
    if (!is_absent(version) && !is_text(version, "1.0"))
        return refuse(path, "version", version, err);
    if (!read_post_processor(parts, post)) return refuse(path, "post_processor", post, err);
    return whole || error_set(err, STATUS_DATA,
                              "%s: needs model.vocab, an object, model.merges and added_tokens, "
                              "lists: the file is damaged or of another kind",
                              path);
}
