/* Loading collects what the files say about each name, then makes the parts of a tokenizer:
 *
 *   load_vocab     names with their ids
 *   load_bytes     the names of single bytes must be there; SentencePiece's of characters
 *   load_declared  names that are declared, special or not, perhaps new ones with an id
 *   load_merges    pairs of names; the names that they make
 *   compare_json   a tokenizer.json beside the other files must say the same
 *   make_tokenizer every name becomes a token, in bytes
 *
 * Declarations come before the merges, because a merge must know if its result is special.
 */
#include "data/tokenizer_folder.h"

#include "data/template_file.h"
#include "data/tokenizer_json.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/nfc.h"
#include "lib/text.h"
#include "lib/unicode.h"

#include <stdlib.h>
#include <string.h>

static const char END_OF_TEXT[] = "<|endoftext|>";

/* ---- loading: names and what is known of them ---- */

/* What files say about a name. An added one has an id and no word about special or not. */
typedef enum { UNDECLARED, DECLARED_ADDED, DECLARED_PLAIN, DECLARED_SPECIAL } Declared;

typedef struct {
    int id;
    bool made;    /* a byte, a character, or the result of a merge: text can become it */
    bool byte;    /* SentencePiece's <0x0A> */
    char value;   /* of such a byte */
    bool in_json; /* tokenizer.json has it too */
    Declared declared;
    const char *path; /* the file that gave the id, and then the one that declared it */
} NameEntry;

/* The roles of tokens that have a key of their own in files. */
enum { ROLE_BOS, ROLE_EOS, ROLE_PAD, ROLES = 7 };
static const char *const ROLE_KEYS[ROLES] = {"bos_token", "eos_token", "pad_token", "unk_token",
                                             "sep_token", "cls_token", "mask_token"};

typedef struct {
    bool said; /* a file has the key, perhaps with null */
    Str name;
    const char *path; /* the file that names it */
} Role;

typedef struct {
    Arena arena;        /* the names and the tokens' bytes */
    StrSet names;       /* as the files spell them */
    NameEntry *entries; /* [names.n] */
    Merge *merges;      /* [n_merges] */
    int entry_capacity, n_merges, merge_capacity;
    Map by_id;   /* from ids to entries */
    Map pairs;   /* the pairs of ids of all merges that may be applied */
    int next_id; /* without a vocabulary file: the id of the next byte or merge */
    /* Files, NULL if they are not there. The first two may both be tokenizer.json. */
    char *vocab_path, *merges_path, *config_path, *map_path, *added_path, *json_path;
    TokenizerJson json;
    Buf vocab_text; /* kept for line numbers */
    Buf json_text;  /* kept to be saved */
    Buf merges_text, scratch;
    Role roles[ROLES];
} Loader;

/* Are vocabulary and merges those of tokenizer.json? */
static bool is_json_alone(const Loader *l) { return l->json_path && l->vocab_path == l->json_path; }

static void add_entry(Loader *l, Str name, NameEntry entry) {
    int i = strset_add(&l->names, name);
    if (i == l->entry_capacity) {
        l->entry_capacity = l->entry_capacity ? l->entry_capacity * 2 : 1024;
        l->entries = mem_grow(l->entries, (size_t)l->entry_capacity, sizeof *l->entries);
    }
    l->entries[i] = entry;
    map_set(&l->by_id, (uint64_t)entry.id, i);
}

/* ---- the vocabulary ---- */

/* The line of a member of the object in a valid JSON text; no member before it is a list or an
 * object. */
static long member_line(const Buf *text, int member) {
    long line = 1;
    bool quoted = false;
    for (size_t i = 0; i < text->n; i++) {
        char c = text->s[i];
        if (c == '\n') line++;
        else if (quoted && c == '\\') i++;
        else if (c == '"' && member == 0) break;
        else if (c == '"') quoted = !quoted;
        else if (c == ',' && !quoted) member--;
    }
    return line;
}

/* Where a member of the vocabulary stands, "vocab.json:17". */
static const char *vocab_place(Loader *l, int member) {
    if (is_json_alone(l)) return l->json_path;
    return text_new(&l->arena, "%s:%ld", l->vocab_path, member_line(&l->vocab_text, member));
}

static bool load_vocab_member(Loader *l, int member, Str name, const Json *value, Error *err) {
    Str s = token_shown(name);
    if (value->type != JSON_NUMBER || !value->is_integer || value->number < 0 ||
        value->number > TOKENIZER_MAX_ID)
        return error_set(err, STATUS_DATA,
                         "%s: the id of token \"%.*s\" must be an integer from 0 to %d",
                         vocab_place(l, member), STR_ARG(s), TOKENIZER_MAX_ID);
    if (strset_find(&l->names, name) >= 0)
        return error_set(err, STATUS_DATA, "%s: token \"%.*s\" is there twice: remove one",
                         vocab_place(l, member), STR_ARG(s));
    int taken = map_get(&l->by_id, (uint64_t)value->number);
    if (taken >= 0) {
        Str other = token_shown(l->names.v[taken]);
        return error_set(err, STATUS_DATA,
                         "%s: tokens \"%.*s\" and \"%.*s\" have the same id %.0f: "
                         "make it unique",
                         vocab_place(l, member), STR_ARG(other), STR_ARG(s), value->number);
    }
    add_entry(l, name, (NameEntry){.id = (int)value->number, .path = l->vocab_path});
    return true;
}

static bool load_vocab(Loader *l, Error *err) {
    const Json *root = l->json.vocab;
    if (!is_json_alone(l))
        root = json_read_object(l->vocab_path, VOCABULARY_MOST, &l->arena, &l->vocab_text, err);
    for (int k = 0; root && k < root->count; k++)
        if (!load_vocab_member(l, k, root->keys[k], &root->items[k], err)) return false;
    return root != NULL;
}

/* Are all tokens of tokenizer.json made of characters, and not of bytes? */
static bool is_pieces(const Loader *l) { return l->json_path && l->json.rules.pieces; }

/* SentencePiece's characters are there from the start, like bytes. */
static void load_characters(Loader *l) {
    uint32_t c;
    for (int i = 0; i < l->names.n; i++) {
        Str name = l->names.v[i];
        if ((size_t)unicode_decode(name.s, name.n, &c) == name.n) l->entries[i].made = true;
    }
}

/* Finds the 256 tokens of single bytes. Without a vocabulary file, makes them. */
static bool load_bytes(Loader *l, Error *err) {
    if (is_pieces(l)) load_characters(l);
    for (int rank = 0; rank < 256; rank++) {
        char byte = (char)symbols_byte_of_rank(rank);
        l->scratch.n = 0;
        if (is_pieces(l)) buf_printf(&l->scratch, "<0x%02X>", (unsigned)(unsigned char)byte);
        else symbols_from_bytes(&l->scratch, (Str){&byte, 1});
        Str symbol = {l->scratch.s, l->scratch.n};
        if (!l->vocab_path)
            add_entry(l, str_copy(&l->arena, symbol),
                      (NameEntry){.id = l->next_id++, .path = l->merges_path});
        int i = strset_find(&l->names, symbol);
        if (i < 0)
            return error_set(err, STATUS_DATA,
                             "%s: there is no token \"%.*s\" for byte %d: such files have all "
                             "256",
                             l->vocab_path, STR_ARG(symbol), (unsigned char)byte);
        l->entries[i].made = true;
        l->entries[i].byte = is_pieces(l);
        l->entries[i].value = byte;
    }
    return true;
}

/* ---- declarations: added tokens, roles ---- */

/* The name in a value of a file: a string, or an object with the string as content. */
static Str token_content(const Json *value) {
    if (value && value->type == JSON_OBJECT) value = json_get(value, "content");
    return value && value->type == JSON_STRING ? value->string : (Str){NULL, 0};
}

/* Refuses a token that takes text around it along, or that only whole words become. */
static bool check_flags(const Json *value, const char *path, Error *err) {
    static const char *const flags[] = {"lstrip", "rstrip", "single_word"};
    for (int i = 0; i < 3; i++) {
        const Json *flag = json_get(value, flags[i]);
        if (!flag || flag->type != JSON_BOOL || !flag->boolean) continue;
        Str s = token_shown(token_content(value));
        return error_set(err, STATUS_DATA, "%s: token \"%.*s\" has %s true, which is not supported",
                         path, STR_ARG(s), flags[i]);
    }
    return true;
}

/* A new name with an id. */
static bool declare_new(Loader *l, const char *path, Str name, int id, Declared how, Error *err) {
    Str s = token_shown(name);
    int taken = map_get(&l->by_id, (uint64_t)id);
    if (taken >= 0 && !l->vocab_path)
        return error_set(err, STATUS_DATA,
                         "%s: vocab.json is missing beside it: without one id %d is not that of "
                         "\"%.*s\", as %s says",
                         l->merges_path, id, STR_ARG(s), path);
    if (taken >= 0) {
        Str other = token_shown(l->names.v[taken]);
        return error_set(
            err, STATUS_DATA,
            "%s: added token \"%.*s\" has the id %d, as \"%.*s\" in %s: make it unique", path,
            STR_ARG(s), id, STR_ARG(other), l->entries[taken].path);
    }
    add_entry(l, name, (NameEntry){.id = id, .declared = how, .path = path});
    return true;
}

/* Takes a declaration in. id -1: its id in another file. If it has none nothing happens. */
static bool declare(Loader *l, const char *path, Str name, int id, Declared how, Error *err) {
    Str s = token_shown(name);
    int i = name.n ? strset_find(&l->names, name) : -1;
    if (i < 0) return name.n == 0 || id < 0 || declare_new(l, path, name, id, how, err);
    NameEntry *entry = &l->entries[i];
    if (id >= 0 && entry->id != id)
        return error_set(err, STATUS_DATA,
                         "%s: token \"%.*s\" has id %d here and %d in %s: make them equal", path,
                         STR_ARG(s), id, entry->id, entry->path);
    if (entry->made || how <= DECLARED_ADDED) return true; /* a byte stays a byte */
    if (entry->declared > DECLARED_ADDED && entry->declared != how)
        return error_set(
            err, STATUS_DATA,
            "%s: token \"%.*s\" is %sspecial here and %sspecial in %s: make them equal", path,
            STR_ARG(s), how == DECLARED_SPECIAL ? "" : "not ",
            how == DECLARED_SPECIAL ? "not " : "", entry->path);
    entry->declared = how;
    entry->path = path;
    return true;
}

static Declared declared_by(const Json *value) {
    const Json *special = json_get(value, "special");
    bool is_plain = special && special->type == JSON_BOOL && !special->boolean;
    return is_plain ? DECLARED_PLAIN : DECLARED_SPECIAL;
}

/* added_tokens.json: {"name": id}. */
static bool load_added_file(Loader *l, Error *err) {
    Buf text = {0};
    const Json *root = json_read_object(l->added_path, TOKEN_LIST_MOST, &l->arena, &text, err);
    buf_free(&text);
    for (int k = 0; root && k < root->count; k++) {
        const Json *id = &root->items[k];
        Str s = token_shown(root->keys[k]);
        if (id->type != JSON_NUMBER || !id->is_integer || id->number < 0 ||
            id->number > TOKENIZER_MAX_ID || s.n == 0)
            return error_set(err, STATUS_DATA,
                             "%s: the id of token \"%.*s\" must be an integer from 0 to %d",
                             l->added_path, STR_ARG(s), TOKENIZER_MAX_ID);
        if (!declare(l, l->added_path, root->keys[k], (int)id->number, DECLARED_ADDED, err))
            return false;
    }
    return root != NULL;
}

/* Refuses an added token that is looked for in text after a normalizer has changed it. */
static bool check_normalized(const Loader *l, const Json *value, Error *err) {
    const TokenizerRules *rules = &l->json.rules;
    const Json *flag = json_get(value, "normalized");
    Str content = token_content(value), s = token_shown(content);
    bool is_same =
        rules->pieces ? rules->blank != BLANK_ALWAYS : !rules->nfc || nfc_is(content.s, content.n);
    if (is_same || !flag || flag->type != JSON_BOOL || !flag->boolean) return true;
    return error_set(err, STATUS_DATA,
                     "%s: token \"%.*s\" has normalized true beside a normalizer that changes it, "
                     "which is not supported",
                     l->json_path, STR_ARG(s));
}

/* tokenizer.json's added_tokens: [{"id", "content", "special"}]. */
static bool load_added_list(Loader *l, Error *err) {
    for (int k = 0; l->json.added && k < l->json.added->count; k++) {
        const Json *value = &l->json.added->items[k], *id = json_get(value, "id");
        Str content = token_content(value);
        if (!id || id->type != JSON_NUMBER || !id->is_integer || id->number < 0 ||
            id->number > TOKENIZER_MAX_ID || content.n == 0)
            return error_set(
                err, STATUS_DATA,
                "%s: added_tokens: element %d must have an id from 0 to %d and content",
                l->json_path, k + 1, TOKENIZER_MAX_ID);
        if (!check_flags(value, l->json_path, err) || !check_normalized(l, value, err) ||
            !declare(l, l->json_path, content, (int)id->number, declared_by(value), err))
            return false;
    }
    return true;
}

/* The id that a key of added_tokens_decoder spells, or -1. */
static int id_of_key(Str key) {
    int id = 0;
    if (key.n == 0 || key.n > 8) return -1;
    for (size_t i = 0; i < key.n; i++) {
        if (key.s[i] < '0' || key.s[i] > '9') return -1;
        id = id * 10 + (key.s[i] - '0');
    }
    return id <= TOKENIZER_MAX_ID ? id : -1;
}

/* tokenizer_config.json's added_tokens_decoder: {"id": {"content", "special"}}. */
static bool load_decoder(Loader *l, const Json *added, Error *err) {
    for (int k = 0; added && added->type == JSON_OBJECT && k < added->count; k++) {
        const Json *value = &added->items[k];
        Str content = token_content(value), s = token_shown(added->keys[k]);
        int id = id_of_key(added->keys[k]);
        if (id < 0 || content.n == 0)
            return error_set(err, STATUS_DATA,
                             "%s: added_tokens_decoder: \"%.*s\" must be an id from 0 to %d with "
                             "an object {\"content\": name}",
                             l->config_path, STR_ARG(s), TOKENIZER_MAX_ID);
        if (!check_flags(value, l->config_path, err) ||
            !declare(l, l->config_path, content, id, declared_by(value), err))
            return false;
    }
    return true;
}

/* A role's token, "bos_token": both files may name it, and must name the same one. */
static bool load_role(Loader *l, const char *path, int role, const Json *value, Error *err) {
    Role *r = &l->roles[role];
    Str name = token_content(value);
    if (!value) return true;
    if (r->name.n && name.n && !str_equal(r->name, name)) {
        Str s = token_shown(name), other = token_shown(r->name);
        return error_set(err, STATUS_DATA,
                         "%s: %s is \"%.*s\" here and \"%.*s\" in %s: make them equal", path,
                         ROLE_KEYS[role], STR_ARG(s), STR_ARG(other), r->path);
    }
    r->said = true;
    if (name.n) *r = (Role){true, name, path};
    return check_flags(value, path, err) && declare(l, path, name, -1, DECLARED_SPECIAL, err);
}

/* The roles and the lists of other special tokens, in tokenizer_config.json and in
 * special_tokens_map.json. A list may also be an object {"role": name}. */
static bool load_roles(Loader *l, const char *path, const Json *root, Error *err) {
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    for (int role = 0; role < ROLES; role++)
        if (!load_role(l, path, role, json_get(root, ROLE_KEYS[role]), err)) return false;
    for (int i = 0; i < 2; i++) {
        const Json *list = json_get(root, lists[i]);
        bool has_items = list && (list->type == JSON_ARRAY || list->type == JSON_OBJECT);
        for (int k = 0; has_items && k < list->count; k++)
            if (!check_flags(&list->items[k], path, err) ||
                !declare(l, path, token_content(&list->items[k]), -1, DECLARED_SPECIAL, err))
                return false;
    }
    return true;
}

/* Refuses a blank before each text that tokenizer.json does not put there, and the reverse. */
static bool check_prefix(const Loader *l, const Json *prefix, Error *err) {
    bool has_blank = is_pieces(l) && l->json.rules.blank != BLANK_NEVER;
    if (!prefix || prefix->type != JSON_BOOL || prefix->boolean == has_blank) return true;
    if (!is_pieces(l))
        return error_set(err, STATUS_DATA,
                         "%s: add_prefix_space true is not supported: use a tokenizer without it",
                         l->config_path);
    return error_set(err, STATUS_DATA,
                     "%s: add_prefix_space %s contradicts %s, which puts %s blank before a text: "
                     "make them equal",
                     l->config_path, prefix->boolean ? "true" : "false", l->json_path,
                     has_blank ? "a" : "no");
}

/* The value of a key that holds a text. */
static bool has_text(const Json *root, const char *key, Str *text) {
    const Json *v = json_get(root, key);
    if (!v || v->type != JSON_STRING) return false;
    *text = v->string;
    return true;
}

/* Without a tokenizer.json text is split as GPT-2 does. Whether that is right is asked as
 * transformers asks: tokenizer_class of tokenizer_config.json, then that of the model's
 * config.json, then the model's family. A folder that says nothing of these is GPT-2's. */
static bool check_class(Loader *l, const char *folder, const Json *own, Error *err) {
    Str said = str("GPT2Tokenizer"), family = str("gpt2");
    Buf text = {0};
    const Json *model = NULL;
    const char *where = l->config_path;
    char *path = path_join(folder, "config.json");
    if (!has_text(own, "tokenizer_class", &said) && file_exists(path)) {
        where = path;
        model = json_read_object(path, CONFIG_MOST, &l->arena, &text, err);
        if (!has_text(model, "tokenizer_class", &said)) has_text(model, "model_type", &family);
    }
    bool is_gpt2 = str_is(said, "GPT2Tokenizer") || str_is(said, "GPT2TokenizerFast");
    Str shown = token_shown(is_gpt2 ? family : said);
    if (err->status == 0 && (!is_gpt2 || !str_is(family, "gpt2")))
        error_set(err, STATUS_DATA,
                  is_gpt2
                      ? "%s: model_type is %.*s, whose tokenizer's rules are in tokenizer.json, "
                        "and there is none: write it with save_pretrained of the tokenizer; if "
                        "text is split as GPT-2 does, let tokenizer_config.json say "
                        "\"tokenizer_class\": \"GPT2Tokenizer\""
                      : "%s: tokenizer_class is %.*s, whose rules are in tokenizer.json, and "
                        "there is none: write it with save_pretrained of the class",
                  where, STR_ARG(shown));
    buf_free(&text);
    free(path);
    return err->status == 0;
}

/* Without a tokenizer.json nothing stands around a text. */
static bool check_around(const Loader *l, const Json *root, Error *err) {
    static const char *const added[] = {"add_bos_token", "add_eos_token"};
    for (int i = 0; i < 2; i++) {
        const Json *v = json_get(root, added[i]);
        if (v && v->type == JSON_BOOL && v->boolean)
            return error_set(err, STATUS_DATA,
                             "%s: %s true is not supported without tokenizer.json: write it with "
                             "save_pretrained of the class, or say false",
                             l->config_path, added[i]);
    }
    return true;
}

static bool load_config(Loader *l, const char *folder, Error *err) {
    Buf text = {0};
    const Json *root = json_read_object(l->config_path, TOKEN_LIST_MOST, &l->arena, &text, err);
    buf_free(&text);
    if (!root) return false;
    if (!check_prefix(l, json_get(root, "add_prefix_space"), err) ||
        (!l->json_path && (!check_around(l, root, err) || !check_class(l, folder, root, err))))
        return false;
    return load_decoder(l, json_get(root, "added_tokens_decoder"), err) &&
           load_roles(l, l->config_path, root, err);
}

static bool load_map(Loader *l, Error *err) {
    Buf text = {0};
    const Json *root = json_read_object(l->map_path, TOKEN_LIST_MOST, &l->arena, &text, err);
    buf_free(&text);
    return root && load_roles(l, l->map_path, root, err);
}

/* All declarations. Those with an id come first: the others go by name. */
static bool load_declared(Loader *l, const char *folder, Error *err) {
    if (!l->json_path && !l->config_path && !check_class(l, folder, NULL, err)) return false;
    return (!l->added_path || load_added_file(l, err)) && load_added_list(l, err) &&
           (!l->config_path || load_config(l, folder, err)) && (!l->map_path || load_map(l, err));
}

/* ---- merges ---- */

/* Where a merge stands: "merges.txt:17", or "tokenizer.json: merge 16". */
static const char *merge_place(Loader *l, long number) {
    bool is_json = l->merges_path == l->json_path;
    return text_new(&l->arena, is_json ? "%s: merge %ld" : "%s:%ld", l->merges_path, number);
}

/* Cuts "left right" in two. Without a blank the second is empty. */
static void split_line(Str line, Str names[2]) {
    const char *blank = line.n ? memchr(line.s, ' ', line.n) : NULL;
    names[0] = (Str){line.s, blank ? (size_t)(blank - line.s) : line.n};
    names[1] = blank ? (Str){blank + 1, line.n - names[0].n - 1} : (Str){"", 0};
}

/* Makes names[2] of the first two, in l->scratch. */
static bool join_names(Loader *l, Str names[3], long number, Error *err) {
    for (int k = 0; k < 2; k++)
        if (names[k].n == 0 || memchr(names[k].s, ' ', names[k].n))
            return error_set(err, STATUS_DATA,
                             "%s: a merge must be two tokens with one blank in between",
                             merge_place(l, number));
    l->scratch.n = 0;
    buf_put(&l->scratch, names[0].s, names[0].n);
    buf_put(&l->scratch, names[1].s, names[1].n);
    names[2] = (Str){l->scratch.s, l->scratch.n};
    return is_pieces(l) || symbols_to_bytes(names[2], NULL) ||
           error_set(err, STATUS_DATA,
                     "%s: a merge must be spelled in GPT-2's byte alphabet: this is another "
                     "kind of file, or damaged",
                     merge_place(l, number));
}

/* Without a vocabulary file, a merge's result gets the next id. */
static bool add_result(Loader *l, Str name, long number, Error *err) {
    if (map_get(&l->by_id, (uint64_t)l->next_id) >= 0 || l->next_id >= TOKENIZER_MAX_ID)
        return error_set(err, STATUS_DATA,
                         "%s: id %d of this merge is that of an added token: "
                         "vocab.json is missing beside it",
                         merge_place(l, number), l->next_id);
    add_entry(l, str_copy(&l->arena, name),
              (NameEntry){.id = l->next_id++, .path = l->merges_path});
    return true;
}

static void keep_merge(Loader *l, Merge merge) {
    if (l->n_merges == l->merge_capacity) {
        l->merge_capacity = l->merge_capacity ? l->merge_capacity * 2 : 1024;
        l->merges = mem_grow(l->merges, (size_t)l->merge_capacity, sizeof *l->merges);
    }
    l->merges[l->n_merges++] = merge;
}

/* names[0] and names[1] are the merge's; names[2] gets their result. */
static bool load_merge(Loader *l, Str names[3], long number, Error *err) {
    int found[3];
    if (!join_names(l, names, number, err)) return false;
    for (int k = 0; k < 3; k++) {
        bool is_new = k == 2 && !l->vocab_path && strset_find(&l->names, names[k]) < 0;
        if (is_new && !add_result(l, names[k], number, err)) return false;
        found[k] = strset_find(&l->names, names[k]);
        if (found[k] >= 0) continue;
        Str s = token_shown(names[k]);
        return error_set(err, STATUS_DATA, "%s: token \"%.*s\" is not in %s: %s",
                         merge_place(l, number), STR_ARG(s),
                         l->vocab_path ? l->vocab_path : "the lines before it",
                         l->vocab_path ? "the two files do not belong together, or one is cut short"
                                       : "lines are missing");
    }
    /* Add the merge. */
    NameEntry *result = &l->entries[found[2]];
    Merge merge = {l->entries[found[0]].id, l->entries[found[1]].id, result->id};
    uint64_t pair = map_pair(merge.left, merge.right);
    if (map_get(&l->pairs, pair) >= 0)
        return error_set(err, STATUS_DATA, "%s: this merge is there twice: remove one",
                         merge_place(l, number));
    result->made = true;
    if (result->declared != DECLARED_SPECIAL) map_set(&l->pairs, pair, l->n_merges);
    keep_merge(l, merge);
    return true;
}

/* A merge of tokenizer.json, "left right" or ["left", "right"]. */
static bool json_merge(const Loader *l, int k, Str names[2], Error *err) {
    const Json *v = &l->json.merges->items[k];
    bool is_pair = v->type == JSON_ARRAY && v->count == 2 && v->items[0].type == JSON_STRING &&
                   v->items[1].type == JSON_STRING;
    if (v->type == JSON_STRING) split_line(v->string, names);
    else if (is_pair) {
        names[0] = v->items[0].string;
        names[1] = v->items[1].string;
    } else
        return error_set(err, STATUS_DATA, "%s: merge %d must be \"left right\" or two strings",
                         l->json_path, k + 1);
    return true;
}

static bool load_json_merges(Loader *l, Error *err) {
    Str names[3];
    for (int k = 0; k < l->json.merges->count; k++)
        if (!json_merge(l, k, names, err) || !load_merge(l, names, k + 1, err)) return false;
    return true;
}

static bool load_merges(Loader *l, Error *err) {
    if (l->merges_path == l->json_path) return load_json_merges(l, err);
    if (!file_read_most(l->merges_path, VOCABULARY_MOST.bytes, &l->merges_text, err)) return false;
    const char *at = l->merges_text.s, *end = at + l->merges_text.n;
    for (long number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        Str line = {at, (size_t)((newline ? newline : end) - at)};
        at = newline ? newline + 1 : end;
        if (line.n > 0 && line.s[line.n - 1] == '\r') line.n--; /* never part of a symbol */
        bool is_version = number == 1 && line.n >= 8 && memcmp(line.s, "#version", 8) == 0;
        Str names[3];
        split_line(line, names);
        if (line.n > 0 && !is_version && !load_merge(l, names, number, err)) return false;
    }
    return true;
}

/* ---- tokenizer.json beside the other files ---- */

/* `names` are a token, or the two of a merge. */
static bool unequal(const Loader *l, const char *other_path, const char *what, const Str *names,
                    int n, Error *err) {
    Str first = token_shown(names[0]), second = token_shown(names[n - 1]);
    return error_set(err, STATUS_DATA,
                     "%s and %s are not the same tokenizer: %s \"%.*s%s%.*s\": remove the one that "
                     "is not this model's",
                     l->json_path, other_path, what, STR_ARG(first), n > 1 ? " " : "",
                     n > 1 ? (int)second.n : 0, second.s);
}

/* The vocabulary of tokenizer.json is that of the other files, with the same ids. */
static bool compare_vocab(Loader *l, Error *err) {
    const char *path = l->vocab_path ? l->vocab_path : l->merges_path;
    const Json *vocab = l->json.vocab;
    for (int k = 0; k < vocab->count; k++) {
        int i = strset_find(&l->names, vocab->keys[k]);
        const Json *id = &vocab->items[k];
        if (i < 0 || id->type != JSON_NUMBER || id->number != l->entries[i].id)
            return unequal(l, path, "they differ in token", &vocab->keys[k], 1, err);
        l->entries[i].in_json = true;
    }
    for (int k = 0; l->json.added && k < l->json.added->count; k++)
        l->entries[strset_find(&l->names, token_content(&l->json.added->items[k]))].in_json = true;
    for (int i = 0; i < l->names.n; i++)
        if (!l->entries[i].in_json && l->entries[i].declared == UNDECLARED)
            return unequal(l, path, "the first lacks token", &l->names.v[i], 1, err);
    return true;
}

/* So are the merges. */
static bool compare_merges(Loader *l, Error *err) {
    int count = l->json.merges->count;
    Str names[2] = {{"", 0}, {"", 0}};
    for (int k = 0; k < count; k++) {
        if (!json_merge(l, k, names, err)) return false;
        bool same = k < l->n_merges;
        for (int j = 0; same && j < 2; j++) {
            int i = strset_find(&l->names, names[j]);
            same = i >= 0 && l->entries[i].id == (j ? l->merges[k].right : l->merges[k].left);
        }
        if (!same) return unequal(l, l->merges_path, "they differ in merge", names, 2, err);
    }
    return count == l->n_merges ||
           unequal(l, l->merges_path, "the second has more merges than the first, from", names, 2,
                   err);
}

/* ---- loading: the tokenizer ---- */

static bool has_hidden_symbol(Str name) {
    for (size_t k = 0; k < name.n; k++)
        if ((unsigned char)name.s[k] >= 128) return true;
    return false;
}

/* The id of a role's token. Without a word about it, bos is what tokenizer.json puts before a row;
 * else bos and eos are GPT-2's. */
static int role_id(const Loader *l, const Token *tokens, int role) {
    bool is_open = !l->roles[role].said && role != ROLE_PAD;
    Str name = is_open ? str(END_OF_TEXT) : l->roles[role].name;
    if (is_open && role == ROLE_BOS && l->json.opening.n) name = l->json.opening;
    int i = name.n ? strset_find(&l->names, name) : -1;
    return i >= 0 && tokens[i].special ? tokens[i].id : -1;
}

/* The token that tokenizer.json puts before a row: -1 without one. */
static bool opening_id(const Loader *l, const Token *tokens, int *id, Error *err) {
    Str name = l->json.opening, s = token_shown(name);
    *id = l->json_path ? l->json.opening_id : -1;
    if (*id < 0) return true;
    int i = strset_find(&l->names, name);
    return (i >= 0 && tokens[i].special && tokens[i].id == *id) ||
           error_set(err, STATUS_DATA,
                     "%s: post_processor puts \"%.*s\" with id %d before a text, which is not a "
                     "special token with that id: make them equal",
                     l->json_path, STR_ARG(s), *id);
}

/* The bytes of a token that text can become, in l->scratch. */
static void put_bytes(Loader *l, Str name, const NameEntry *entry) {
    if (!is_pieces(l)) symbols_to_bytes(name, &l->scratch);
    else if (entry->byte) buf_putc(&l->scratch, entry->value);
    else
        for (size_t at = 0; at < name.n;) {
            bool blank = name.n - at >= 3 && memcmp(name.s + at, "\xe2\x96\x81", 3) == 0;
            buf_putc(&l->scratch, blank ? ' ' : name.s[at]);
            at += blank ? 3 : 1;
        }
}

/* A special token is declared so, or text cannot become it. SentencePiece has spare tokens too, and
 * with ignore_merges a piece can become a token that no merge makes. */
static bool is_special(const Loader *l, Str name, const NameEntry *entry) {
    bool has_spare = is_pieces(l) ||
                     (l->json_path && l->json.rules.whole_pieces && symbols_to_bytes(name, NULL));
    if (entry->declared == DECLARED_SPECIAL) return true;
    return !entry->made && !(has_spare && entry->declared == UNDECLARED);
}

/* Has a token a blank after another character? */
static bool has_inner_blank(Str bytes) {
    for (size_t i = 1; i < bytes.n; i++)
        if (bytes.s[i] == ' ' && bytes.s[i - 1] != ' ') return true;
    return false;
}

/* Refuses what looks like a merges.txt that was cut short: without its merge a token would silently
 * never be used again. "<pad>" may be special without a declaration, but a spelling such as "Ġthe"
 * must have a merge. */
static bool check_cut(Loader *l, int i, bool special, Error *err) {
    Str name = l->names.v[i], s = token_shown(name);
    bool fits = !special || l->entries[i].declared != UNDECLARED || !has_hidden_symbol(name) ||
                !symbols_to_bytes(name, NULL);
    return fits || error_set(err, STATUS_DATA,
                             "%s: no line of %s makes token \"%.*s\": the two files do not belong "
                             "together, or one is cut short",
                             vocab_place(l, i), l->merges_path, STR_ARG(s));
}

/* Makes the tokens. *apart: is no blank after another character in any of them? */
static Token *make_tokens(Loader *l, bool *apart, Error *err) {
    Token *tokens = arena_new(&l->arena, (size_t)l->names.n, sizeof *tokens);
    *apart = true;
    for (int i = 0; i < l->names.n; i++) {
        Str name = l->names.v[i];
        const NameEntry *entry = &l->entries[i];
        bool special = is_special(l, name, entry);
        bool plain =
            special && entry->declared != UNDECLARED && entry->declared != DECLARED_SPECIAL;
        if (!check_cut(l, i, special, err)) return NULL;
        l->scratch.n = 0;
        if (special) buf_put(&l->scratch, name.s, name.n);
        else put_bytes(l, name, entry);
        Str bytes = str_copy(&l->arena, (Str){l->scratch.s, l->scratch.n});
        tokens[i] = (Token){entry->id, special, plain, bytes, entry->byte};
        *apart &= special || entry->byte || !has_inner_blank(bytes);
    }
    return tokens;
}

/* Files that are saved as they are, beside a tokenizer.json. */
static const char *const KEPT_NAMES[KEPT_FILES] = {"tokenizer.json", "tokenizer_config.json",
                                                   "special_tokens_map.json", "added_tokens.json",
                                                   "chat_template.jinja"};

static bool read_kept(Loader *l, const char *folder, Str files[KEPT_FILES], Error *err) {
    bool ok = true;
    files[KEPT_JSON] = (Str){l->json_text.s, l->json_text.n};
    for (int i = KEPT_JSON + 1; ok && i < KEPT_FILES; i++) {
        Buf text = {0};
        char *path = path_join(folder, KEPT_NAMES[i]);
        if (file_exists(path)) ok = file_read_most(path, TOKEN_LIST_MOST.bytes, &text, err);
        if (ok && text.n) files[i] = str_copy(&l->arena, (Str){text.s, text.n});
        buf_free(&text);
        free(path);
    }
    return ok;
}

static Tokenizer *make_tokenizer(Loader *l, const char *folder, Error *err) {
    bool apart;
    Token *tokens = make_tokens(l, &apart, err);
    TokenizerParts parts = {.tokens = tokens,
                            .merges = l->merges,
                            .n_tokens = l->names.n,
                            .n_merges = l->n_merges,
                            .rules = l->json.rules,
                            .json_alone = is_json_alone(l)};
    if (!tokens || !opening_id(l, tokens, &parts.opening, err) ||
        (l->json_path && !read_kept(l, folder, parts.files, err)))
        return NULL;
    parts.bos = role_id(l, tokens, ROLE_BOS);
    parts.eos = role_id(l, tokens, ROLE_EOS);
    parts.pad = role_id(l, tokens, ROLE_PAD);
    if (parts.rules.pieces) parts.rules.splitter = apart ? SPLIT_WORDS : SPLIT_NONE;
    return tokenizer_new(&parts);
}

static Tokenizer *load_all(Loader *l, const char *folder, Error *err) {
    if (!l->merges_path) {
        error_set(err, STATUS_IO,
                  "%s: has neither tokenizer.json nor merges.txt nor vocab.bpe: name a folder "
                  "with the files of a tokenizer",
                  folder);
        return NULL;
    }
    if ((l->vocab_path && !load_vocab(l, err)) || !load_bytes(l, err)) return NULL;
    if (!load_declared(l, folder, err) || !load_merges(l, err)) return NULL;
    bool is_beside = l->json_path && !is_json_alone(l);
    if (is_beside && (!compare_vocab(l, err) || !compare_merges(l, err))) return NULL;
    if (!l->vocab_path && strset_find(&l->names, str(END_OF_TEXT)) < 0) {
        if (map_get(&l->by_id, (uint64_t)l->next_id) >= 0) {
            error_set(err, STATUS_DATA,
                      "%s: vocab.json is missing beside it: without one id %d is that of "
                      "<|endoftext|>, and of an added token",
                      l->merges_path, l->next_id);
            return NULL;
        }
        add_entry(l, str(END_OF_TEXT), (NameEntry){.id = l->next_id, .path = l->merges_path});
    }
    return make_tokenizer(l, folder, err);
}

/* The path of the first name that exists in the folder, or NULL. */
static char *find_file(const char *folder, const char *name, const char *other_name) {
    char *path = path_join(folder, name);
    if (file_exists(path)) return path;
    free(path);
    return other_name ? find_file(folder, other_name, NULL) : NULL;
}

/* GPT-2's files say nothing about SentencePiece's tokens. */
static void forget_lists(Loader *l) {
    free(l->vocab_path);
    free(l->merges_path);
    l->vocab_path = l->merges_path = NULL;
}

Tokenizer *tokenizer_load(const char *folder, Error *err) {
    Loader l = {0};
    l.vocab_path = find_file(folder, "vocab.json", "encoder.json");
    l.merges_path = find_file(folder, "merges.txt", "vocab.bpe");
    l.config_path = find_file(folder, "tokenizer_config.json", NULL);
    l.map_path = find_file(folder, "special_tokens_map.json", NULL);
    l.added_path = find_file(folder, "added_tokens.json", NULL);
    l.json_path = find_file(folder, "tokenizer.json", NULL);
    Tokenizer *t = NULL;
    if (!l.json_path || tokenizer_json_read(&l.json, l.json_path, &l.arena, &l.json_text, err)) {
        if (is_pieces(&l)) forget_lists(&l);
        if (!l.vocab_path && !l.merges_path) l.vocab_path = l.merges_path = l.json_path;
        t = load_all(&l, folder, err);
    }
    bool is_alone = is_json_alone(&l);
    arena_free(&l.arena);
    strset_free(&l.names);
    map_free(&l.by_id);
    map_free(&l.pairs);
    free(l.entries);
    free(l.merges);
    if (!is_alone) free(l.vocab_path);
    if (!is_alone) free(l.merges_path);
    free(l.config_path);
    free(l.map_path);
    free(l.added_path);
    free(l.json_path);
    buf_free(&l.vocab_text);
    buf_free(&l.json_text);
    buf_free(&l.merges_text);
    buf_free(&l.scratch);
    return t;
}

/* ---- saving ---- */

static void put_spelling(Buf *b, const Token *token) {
    if (token->special) buf_put(b, token->bytes.s, token->bytes.n);
    else symbols_from_bytes(b, token->bytes);
}

static int compare_id(const void *key, const void *token) {
    int id = *(const int *)key, other = ((const Token *)token)->id;
    return (id > other) - (id < other);
}

static const Token *token_of(const TokenizerParts *p, int id) {
    return bsearch(&id, p->tokens, (size_t)p->n_tokens, sizeof *p->tokens, compare_id);
}

static void put_vocab(Buf *b, const TokenizerParts *p) {
    Buf name = {0};
    for (int i = 0; i < p->n_tokens; i++) {
        name.n = 0;
        put_spelling(&name, &p->tokens[i]);
        buf_puts(b, i ? ",\n" : "{\n");
        json_put_string(b, (Str){name.s, name.n});
        buf_printf(b, ": %d", p->tokens[i].id);
    }
    buf_puts(b, "\n}\n");
    buf_free(&name);
}

static void put_merges(Buf *b, const TokenizerParts *p) {
    buf_puts(b, "#version: 0.2\n");
    for (int i = 0; i < p->n_merges; i++) {
        put_spelling(b, token_of(p, p->merges[i].left));
        buf_putc(b, ' ');
        put_spelling(b, token_of(p, p->merges[i].right));
        buf_putc(b, '\n');
    }
}

/* "key": the name of a token, or null. Without the key, readers would assume GPT-2's
 * <|endoftext|>. */
static void put_token_key(Buf *b, const char *key, const TokenizerParts *p, int id) {
    buf_printf(b, "  \"%s\": ", key);
    if (id >= 0) json_put_string(b, token_of(p, id)->bytes);
    else buf_puts(b, "null");
    buf_puts(b, ",\n");
}

/* The members of added_tokens_decoder: every special token. */
static void put_added_tokens(Buf *b, const TokenizerParts *p) {
    int count = 0;
    buf_puts(b, "  \"added_tokens_decoder\": {");
    for (int i = 0; i < p->n_tokens; i++) {
        const Token *token = &p->tokens[i];
        if (!token->special) continue;
        buf_printf(b, "%s    \"%d\": {\"content\": ", count++ ? ",\n" : "\n", token->id);
        json_put_string(b, token->bytes);
        buf_puts(b, ", \"lstrip\": false, \"normalized\": false, \"rstrip\": false, "
                    "\"single_word\": false, \"special\": ");
        buf_puts(b, token->plain ? "false}" : "true}");
    }
    buf_puts(b, count ? "\n  },\n" : "},\n");
}

static void put_config(Buf *b, const TokenizerParts *p, const Template *template) {
    buf_puts(b, "{\n  \"add_prefix_space\": false,\n");
    put_added_tokens(b, p);
    buf_puts(b, "  \"additional_special_tokens\": [");
    for (int i = 0, others = 0; i < p->n_tokens; i++) {
        const Token *token = &p->tokens[i];
        bool has_role = token->id == p->bos || token->id == p->eos || token->id == p->pad;
        if (!token->special || token->plain || has_role) continue;
        if (others++) buf_puts(b, ", ");
        json_put_string(b, token->bytes);
    }
    buf_puts(b, "],\n");
    if (template) {
        Buf jinja = {0};
        template_chat(template, &jinja);
        buf_puts(b, "  \"chat_template\": ");
        json_put_string(b, (Str){jinja.s, jinja.n});
        buf_puts(b, ",\n");
        buf_free(&jinja);
    }
    put_token_key(b, "bos_token", p, p->bos);
    put_token_key(b, "eos_token", p, p->eos);
    put_token_key(b, "pad_token", p, p->pad >= 0 ? p->pad : p->eos);
    put_token_key(b, "unk_token", p, -1);
    buf_puts(b, "  \"clean_up_tokenization_spaces\": false,\n  \"tokenizer_class\": ");
    buf_puts(b, p->json_alone ? "\"PreTrainedTokenizerFast\"\n}\n" : "\"GPT2Tokenizer\"\n}\n");
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool has_word(Str text, const char *word) {
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= text.n; i++)
        if (memcmp(text.s + i, word, n) == 0) return true;
    return false;
}

/* Is the folder's own chat template, which is not run, taken for this template by its marks? Not if
 * its text would be another one: today's date, or a row without the start that the template has. */
static bool is_own_template(const Tokenizer *t, const TokenizerParts *p, const Template *template) {
    Arena arena = {0};
    Error ignored = {0};
    Template own;
    Str jinja = p->files[KEPT_CHAT], config = p->files[KEPT_CONFIG];
    const Json *root = json_parse(&arena, config.s, config.n, NULL);
    const Json *key = json_get(root, "chat_template");
    if (jinja.n == 0 && key && key->type == JSON_STRING) jinja = key->string;
    bool same = jinja.n > 0 && template->name && template_recognize(&own, t, jinja, &ignored);
    if (same) {
        same = !has_word(jinja, "strftime_now") &&
               (template->bos[0] == 0 || has_word(jinja, "bos_token")) &&
               same_text(own.name, template->name) && same_text(own.system, template->system);
        template_free(&own);
    }
    arena_free(&arena);
    return same;
}

/* The config of a folder with tokenizer.json, of which the template becomes the chat_template. Some
 * classes bring their own steps, and without a class one is guessed from config.json. */
static void put_kept_config(Buf *b, const TokenizerParts *p, const Template *template) {
    Str kept = p->files[KEPT_CONFIG];
    Arena arena = {0};
    const Json *root = json_parse(&arena, kept.s, kept.n, NULL);
    Buf jinja = {0};
    template_chat(template, &jinja);
    buf_puts(b, "{\n  \"chat_template\": ");
    json_put_string(b, (Str){jinja.s, jinja.n});
    if (!json_get(root, "tokenizer_class"))
        buf_puts(b, ",\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\"");
    for (int i = 0; root && i < root->count; i++) {
        if (str_is(root->keys[i], "chat_template")) continue;
        buf_puts(b, ",\n  ");
        json_put_string(b, root->keys[i]);
        buf_puts(b, ": ");
        json_put_value(b, &root->items[i]);
    }
    buf_puts(b, "\n}\n");
    buf_free(&jinja);
    arena_free(&arena);
}

/* Writes a file, or removes what an older tokenizer left under that name if there is no text. */
static bool save_text(const char *folder, const char *name, Str text, Error *err) {
    char *path = path_join(folder, name);
    bool ok = true;
    if (text.n) ok = file_write(path, text.s, text.n, err);
    else {
        file_remove(path);
        ok = !file_exists(path) ||
             error_set(err, STATUS_IO, "%s: belongs to another tokenizer: remove it", path);
    }
    free(path);
    return ok;
}

bool tokenizer_save(const Tokenizer *t, const Template *template, const char *folder, Error *err) {
    TokenizerParts parts = tokenizer_parts(t);
    Buf vocab = {0}, merges = {0}, config = {0};
    bool has_json = parts.files[KEPT_JSON].n > 0;
    if (template && has_json && is_own_template(t, &parts, template)) template = NULL;
    if (!parts.json_alone) {
        put_vocab(&vocab, &parts);
        put_merges(&merges, &parts);
    }
    if (!has_json || (template && !parts.files[KEPT_CONFIG].n))
        put_config(&config, &parts, template);
    else if (template) put_kept_config(&config, &parts, template);
    if (config.n) parts.files[KEPT_CONFIG] = (Str){config.s, config.n};
    if (template || !has_json) parts.files[KEPT_CHAT] = (Str){NULL, 0};
    bool ok = save_text(folder, "vocab.json", (Str){vocab.s, vocab.n}, err) &&
              save_text(folder, "merges.txt", (Str){merges.s, merges.n}, err);
    for (int i = 0; ok && i < KEPT_FILES; i++)
        ok = save_text(folder, KEPT_NAMES[i], parts.files[i], err);
    buf_free(&vocab);
    buf_free(&merges);
    buf_free(&config);
    return ok;
}
