/* Loading collects what the three files say about each name, then makes the parts of a tokenizer:
 *
 *   load_vocab    names with their ids
 *   load_bytes    the names of single bytes must be there
 *   load_config   names that are declared special, perhaps new ones with an id
 *   load_merges   pairs of names; the names that they make
 *   finish        every name becomes a token, in bytes
 *
 * The configuration comes before the merges, because a merge must know if its result is special.
 */
#include "data/tokenizer_folder.h"

#include "lib/json.h"
#include "lib/map.h"

#include <stdlib.h>
#include <string.h>

static const char END_OF_TEXT[] = "<|endoftext|>";

/* ---- loading: names and what is known of them ---- */

typedef struct {
    int id;
    bool made;    /* a byte, or the result of a merge: text can become it */
    bool special; /* declared by tokenizer_config.json */
} NameEntry;

typedef struct {
    Arena arena;        /* the names and the tokens' bytes */
    StrSet names;       /* as the files spell them */
    NameEntry *entries; /* [names.n] */
    Merge *merges;      /* [n_merges] */
    int entry_capacity, n_merges, merge_capacity;
    Map by_id;   /* from ids to entries */
    Map pairs;   /* the pairs of ids of all merges that may be applied */
    int next_id; /* without a vocabulary file: the id of the next byte or merge */
    char *vocab_path, *merges_path, *config_path; /* the first and the last may be NULL */
    Buf vocab_text;                               /* kept for line numbers */
    Buf merges_text, scratch;
    Str bos, eos; /* names */
} Loader;

static void add_entry(Loader *l, Str name, NameEntry entry) {
    int i = strset_add(&l->names, name);
    if (i == l->entry_capacity) {
        l->entry_capacity = l->entry_capacity ? l->entry_capacity * 2 : 1024;
        l->entries = mem_grow(l->entries, (size_t)l->entry_capacity, sizeof *l->entries);
    }
    l->entries[i] = entry;
    map_set(&l->by_id, (uint64_t)entry.id, i);
}

/* ---- vocab.json ---- */

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

static bool load_vocab_member(Loader *l, int member, Str name, const Json *value, Error *err) {
    Str s = token_shown(name);
    if (value->type != JSON_NUMBER || !value->is_integer || value->number < 0 ||
        value->number > TOKENIZER_MAX_ID)
        return error_set(
            err, STATUS_DATA, "%s:%ld: the id of token \"%.*s\" must be an integer from 0 to %d",
            l->vocab_path, member_line(&l->vocab_text, member), STR_ARG(s), TOKENIZER_MAX_ID);
    if (strset_find(&l->names, name) >= 0)
        return error_set(err, STATUS_DATA, "%s:%ld: token \"%.*s\" is there twice: remove one",
                         l->vocab_path, member_line(&l->vocab_text, member), STR_ARG(s));
    int taken = map_get(&l->by_id, (uint64_t)value->number);
    if (taken >= 0) {
        Str other = token_shown(l->names.v[taken]);
        return error_set(err, STATUS_DATA,
                         "%s:%ld: tokens \"%.*s\" and \"%.*s\" have the same id %.0f: "
                         "make it unique",
                         l->vocab_path, member_line(&l->vocab_text, member), STR_ARG(other),
                         STR_ARG(s), value->number);
    }
    add_entry(l, name, (NameEntry){.id = (int)value->number});
    return true;
}

static bool load_vocab(Loader *l, Error *err) {
    const Json *root = json_read_object(l->vocab_path, &l->arena, &l->vocab_text, err);
    for (int k = 0; root && k < root->count; k++)
        if (!load_vocab_member(l, k, root->keys[k], &root->items[k], err)) return false;
    return root != NULL;
}

/* Finds the 256 tokens of single bytes. Without a vocabulary file, makes them. */
static bool load_bytes(Loader *l, Error *err) {
    for (int rank = 0; rank < 256; rank++) {
        char byte = (char)symbols_byte_of_rank(rank);
        l->scratch.n = 0;
        symbols_from_bytes(&l->scratch, (Str){&byte, 1});
        Str symbol = {l->scratch.s, l->scratch.n};
        if (!l->vocab_path)
            add_entry(l, str_copy(&l->arena, symbol), (NameEntry){.id = l->next_id++});
        int i = strset_find(&l->names, symbol);
        if (i < 0)
            return error_set(err, STATUS_DATA,
                             "%s: there is no token \"%.*s\" for byte %d: byte-level files have "
                             "all 256",
                             l->vocab_path, STR_ARG(symbol), (unsigned char)byte);
        l->entries[i].made = true;
    }
    return true;
}

/* ---- tokenizer_config.json ---- */

/* The name in a value of the configuration: a string, or an object with the string as content. */
static Str token_content(const Json *value) {
    if (value && value->type == JSON_OBJECT) value = json_get(value, "content");
    return value && value->type == JSON_STRING ? value->string : (Str){NULL, 0};
}

/* Declares a token special. id -1: its id in the vocabulary. If it has none nothing happens. */
static bool declare_special(Loader *l, Str name, int id, Error *err) {
    int i = name.n ? strset_find(&l->names, name) : -1;
    if (i >= 0) {
        Str s = token_shown(name);
        if (id >= 0 && l->entries[i].id != id)
            return error_set(err, STATUS_DATA,
                             "%s: token \"%.*s\" has id %d here and %d in the vocabulary: "
                             "make them equal",
                             l->config_path, STR_ARG(s), id, l->entries[i].id);
        if (!l->entries[i].made) l->entries[i].special = true; /* a byte stays a byte */
        return true;
    }
    if (name.n == 0 || id < 0) return true;
    if (map_get(&l->by_id, (uint64_t)id) >= 0)
        return error_set(err, STATUS_DATA,
                         "%s: added token %d has the id of another token: make it unique",
                         l->config_path, id);
    add_entry(l, name, (NameEntry){.id = id, .special = true});
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

static bool load_added_tokens(Loader *l, const Json *added, Error *err) {
    for (int k = 0; added && added->type == JSON_OBJECT && k < added->count; k++) {
        Str content = token_content(&added->items[k]), s = token_shown(added->keys[k]);
        int id = id_of_key(added->keys[k]);
        if (id < 0 || content.n == 0)
            return error_set(err, STATUS_DATA,
                             "%s: added_tokens_decoder: \"%.*s\" must be an id from 0 to %d with "
                             "an object {\"content\": name}",
                             l->config_path, STR_ARG(s), TOKENIZER_MAX_ID);
        const Json *special = json_get(&added->items[k], "special");
        bool is_plain = special && special->type == JSON_BOOL && !special->boolean;
        if (is_plain && strset_find(&l->names, content) >= 0) continue;
        if (!declare_special(l, content, id, err)) return false;
    }
    return true;
}

static bool load_config(Loader *l, Error *err) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                       "sep_token", "cls_token", "mask_token"};
    Buf text = {0};
    const Json *root = json_read_object(l->config_path, &l->arena, &text, err);
    buf_free(&text);
    if (!root) return false;
    const Json *prefix = json_get(root, "add_prefix_space");
    const Json *more = json_get(root, "additional_special_tokens");
    if (prefix && prefix->type == JSON_BOOL && prefix->boolean)
        return error_set(err, STATUS_DATA,
                         "%s: add_prefix_space true is not supported: use a tokenizer without it",
                         l->config_path);
    if (!load_added_tokens(l, json_get(root, "added_tokens_decoder"), err)) return false;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        if (!declare_special(l, token_content(json_get(root, keys[k])), -1, err)) return false;
    for (int k = 0; more && more->type == JSON_ARRAY && k < more->count; k++)
        if (!declare_special(l, token_content(&more->items[k]), -1, err)) return false;
    if (json_get(root, "bos_token")) l->bos = token_content(json_get(root, "bos_token"));
    if (json_get(root, "eos_token")) l->eos = token_content(json_get(root, "eos_token"));
    return true;
}

/* ---- merges.txt ---- */

/* Cuts "left right" into names[0] and names[1]. names[2] is what they make, in l->scratch. */
static bool split_merge(Loader *l, Str line, long number, Str names[3], Error *err) {
    const char *blank = memchr(line.s, ' ', line.n);
    size_t n = blank ? (size_t)(blank - line.s) : 0;
    if (n == 0 || n + 1 == line.n || memchr(blank + 1, ' ', line.n - n - 1))
        return error_set(err, STATUS_DATA,
                         "%s:%ld: a merge must be two tokens with one blank in between",
                         l->merges_path, number);
    names[0] = (Str){line.s, n};
    names[1] = (Str){blank + 1, line.n - n - 1};
    l->scratch.n = 0;
    buf_put(&l->scratch, names[0].s, names[0].n);
    buf_put(&l->scratch, names[1].s, names[1].n);
    names[2] = (Str){l->scratch.s, l->scratch.n};
    return symbols_to_bytes(names[2], NULL) ||
           error_set(err, STATUS_DATA,
                     "%s:%ld: a merge must be spelled in GPT-2's byte alphabet: this is another "
                     "kind of file, or damaged",
                     l->merges_path, number);
}

/* Without a vocabulary file, a merge's result gets the next id. */
static bool add_result(Loader *l, Str name, long number, Error *err) {
    if (map_get(&l->by_id, (uint64_t)l->next_id) >= 0 || l->next_id >= TOKENIZER_MAX_ID)
        return error_set(err, STATUS_DATA,
                         "%s:%ld: id %d of this merge is taken in tokenizer_config.json: "
                         "add the vocab.json",
                         l->merges_path, number, l->next_id);
    add_entry(l, str_copy(&l->arena, name), (NameEntry){.id = l->next_id++});
    return true;
}

static void keep_merge(Loader *l, Merge merge) {
    if (l->n_merges == l->merge_capacity) {
        l->merge_capacity = l->merge_capacity ? l->merge_capacity * 2 : 1024;
        l->merges = mem_grow(l->merges, (size_t)l->merge_capacity, sizeof *l->merges);
    }
    l->merges[l->n_merges++] = merge;
}

static bool load_merge(Loader *l, Str line, long number, Error *err) {
    /* Find the entries of both names and of their result. */
    Str names[3];
    int found[3];
    if (!split_merge(l, line, number, names, err)) return false;
    for (int k = 0; k < 3; k++) {
        bool is_new = k == 2 && !l->vocab_path && strset_find(&l->names, names[k]) < 0;
        if (is_new && !add_result(l, names[k], number, err)) return false;
        found[k] = strset_find(&l->names, names[k]);
        if (found[k] >= 0) continue;
        Str s = token_shown(names[k]);
        return error_set(err, STATUS_DATA, "%s:%ld: token \"%.*s\" is not in %s: %s",
                         l->merges_path, number, STR_ARG(s),
                         l->vocab_path ? l->vocab_path : "the lines before it",
                         l->vocab_path ? "the two files do not belong together, or one is cut short"
                                       : "lines are missing");
    }
    /* Add the merge. */
    NameEntry *result = &l->entries[found[2]];
    Merge merge = {l->entries[found[0]].id, l->entries[found[1]].id, result->id};
    uint64_t pair = map_pair(merge.left, merge.right);
    if (map_get(&l->pairs, pair) >= 0)
        return error_set(err, STATUS_DATA, "%s:%ld: this merge is there twice: remove one",
                         l->merges_path, number);
    result->made = true;
    if (!result->special) map_set(&l->pairs, pair, l->n_merges);
    keep_merge(l, merge);
    return true;
}

static bool load_merges(Loader *l, Error *err) {
    if (!file_read(l->merges_path, &l->merges_text, err)) return false;
    const char *at = l->merges_text.s, *end = at + l->merges_text.n;
    for (long number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        Str line = {at, (size_t)((newline ? newline : end) - at)};
        at = newline ? newline + 1 : end;
        if (line.n > 0 && line.s[line.n - 1] == '\r') line.n--; /* never part of a symbol */
        bool is_version = number == 1 && line.n >= 8 && memcmp(line.s, "#version", 8) == 0;
        if (line.n > 0 && !is_version && !load_merge(l, line, number, err)) return false;
    }
    return true;
}

/* ---- loading: the tokenizer ---- */

static bool has_hidden_symbol(Str name) {
    for (size_t k = 0; k < name.n; k++)
        if ((unsigned char)name.s[k] >= 128) return true;
    return false;
}

static int special_id(const Loader *l, const Token *tokens, Str name) {
    int i = strset_find(&l->names, name);
    return i >= 0 && tokens[i].special ? tokens[i].id : -1;
}

/* Makes the tokenizer. Refuses what looks like a merges.txt that was cut short: without its merge a
 * token would silently never be used again. "<pad>" may be special without a declaration, but a
 * spelling such as "Ġthe" must have a merge. */
static Tokenizer *make_tokenizer(Loader *l, Error *err) {
    int n = l->names.n;
    Token *tokens = arena_new(&l->arena, (size_t)n, sizeof *tokens);
    for (int i = 0; i < n; i++) {
        Str name = l->names.v[i], s = token_shown(name);
        const NameEntry *entry = &l->entries[i];
        bool special = entry->special || !entry->made;
        if (!entry->made && !entry->special && has_hidden_symbol(name) &&
            symbols_to_bytes(name, NULL)) {
            error_set(err, STATUS_DATA,
                      "%s:%ld: no line of %s makes token \"%.*s\": the two files do not belong "
                      "together, or one is cut short",
                      l->vocab_path, member_line(&l->vocab_text, i), l->merges_path, STR_ARG(s));
            return NULL;
        }
        l->scratch.n = 0;
        if (special) buf_put(&l->scratch, name.s, name.n);
        else symbols_to_bytes(name, &l->scratch);
        Str bytes = str_copy(&l->arena, (Str){l->scratch.s, l->scratch.n});
        tokens[i] = (Token){entry->id, special, bytes};
    }
    return tokenizer_new(&(TokenizerParts){tokens, l->merges, n, l->n_merges,
                                           special_id(l, tokens, l->bos),
                                           special_id(l, tokens, l->eos)});
}

static Tokenizer *load_all(Loader *l, const char *folder, Error *err) {
    if (!l->merges_path) {
        error_set(err, STATUS_IO,
                  "%s: has neither merges.txt nor vocab.bpe: name a folder with GPT-2's "
                  "tokenizer files",
                  folder);
        return NULL;
    }
    if ((l->vocab_path && !load_vocab(l, err)) || !load_bytes(l, err)) return NULL;
    if ((l->config_path && !load_config(l, err)) || !load_merges(l, err)) return NULL;
    if (!l->vocab_path && strset_find(&l->names, str(END_OF_TEXT)) < 0) {
        if (map_get(&l->by_id, (uint64_t)l->next_id) >= 0) {
            error_set(err, STATUS_DATA,
                      "%s: without a vocab.json id %d is that of <|endoftext|>: add the "
                      "vocab.json",
                      l->config_path, l->next_id);
            return NULL;
        }
        add_entry(l, str(END_OF_TEXT), (NameEntry){.id = l->next_id});
    }
    return make_tokenizer(l, err);
}

/* The path of the first name that exists in the folder, or NULL. */
static char *find_file(const char *folder, const char *name, const char *other_name) {
    char *path = path_join(folder, name);
    if (file_exists(path)) return path;
    free(path);
    return other_name ? find_file(folder, other_name, NULL) : NULL;
}

Tokenizer *tokenizer_load(const char *folder, Error *err) {
    Loader l = {.bos = str(END_OF_TEXT), .eos = str(END_OF_TEXT)}; /* without a configuration */
    l.vocab_path = find_file(folder, "vocab.json", "encoder.json");
    l.merges_path = find_file(folder, "merges.txt", "vocab.bpe");
    l.config_path = find_file(folder, "tokenizer_config.json", NULL);
    Tokenizer *t = load_all(&l, folder, err);
    arena_free(&l.arena);
    strset_free(&l.names);
    map_free(&l.by_id);
    map_free(&l.pairs);
    free(l.entries);
    free(l.merges);
    free(l.vocab_path);
    free(l.merges_path);
    free(l.config_path);
    buf_free(&l.vocab_text);
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
                    "\"single_word\": false, \"special\": true}");
    }
    buf_puts(b, count ? "\n  },\n" : "},\n");
}

static void put_config(Buf *b, const TokenizerParts *p) {
    buf_puts(b, "{\n  \"add_prefix_space\": false,\n");
    put_added_tokens(b, p);
    buf_puts(b, "  \"additional_special_tokens\": [");
    for (int i = 0, others = 0; i < p->n_tokens; i++) {
        const Token *token = &p->tokens[i];
        if (!token->special || token->id == p->bos || token->id == p->eos) continue;
        if (others++) buf_puts(b, ", ");
        json_put_string(b, token->bytes);
    }
    buf_puts(b, "],\n");
    put_token_key(b, "bos_token", p, p->bos);
    put_token_key(b, "eos_token", p, p->eos);
    put_token_key(b, "unk_token", p, -1);
    buf_puts(b, "  \"clean_up_tokenization_spaces\": false,\n"
                "  \"tokenizer_class\": \"GPT2Tokenizer\"\n}\n");
}

static bool save_text(const char *folder, const char *name, const Buf *text, Error *err) {
    char *path = path_join(folder, name);
    bool ok = file_write(path, text->s, text->n, err);
    free(path);
    return ok;
}

bool tokenizer_save(const Tokenizer *t, const char *folder, Error *err) {
    TokenizerParts parts = tokenizer_parts(t);
    Buf vocab = {0}, merges = {0}, config = {0};
    put_vocab(&vocab, &parts);
    put_merges(&merges, &parts);
    put_config(&config, &parts);
    bool ok = save_text(folder, "vocab.json", &vocab, err) &&
              save_text(folder, "merges.txt", &merges, err) &&
              save_text(folder, "tokenizer_config.json", &config, err);
    buf_free(&vocab);
    buf_free(&merges);
    buf_free(&config);
    return ok;
}
