/* Chapter four: from text to numbers and back.
 *
 * A model reads a row of numbers, the ids of tokens. Byte-level byte-pair encoding (BPE: Gage 1994;
 * Sennrich, Haddow and Birch 2016; over bytes: Radford et al. 2019, GPT-2) starts from the 256
 * bytes, so it can spell anything. Then it merges: the pair of neighboring tokens that is most
 * frequent in the training text becomes a token of its own, again and again, until the vocabulary
 * is full. The list of merges, in this order, is the tokenizer. A merge's place in it is its rank.
 *
 * Encoding first cuts the text into pieces, about one a word. No token crosses from one piece into
 * the next. Inside a piece it applies merges, the lowest rank first:
 *
 *     text        "low lower"
 *     pieces      "low" | " lower"
 *     bytes        l o w | _ l o w e r                 _ is the blank
 *     rank 0: l o     lo w | _ lo w e r
 *     rank 1: lo w     low | _ low e r
 *     rank 2: _ low    low | _low e r
 *     rank 3: e r      low | _low er                    three tokens
 *
 * Decoding writes the bytes of one token after the other. So decode(encode(text)) is the text.
 *
 * Llama 2 starts from characters instead (SentencePiece: Kudo and Richardson 2018). A blank is
 * written as U+2581, and a character that is not in the vocabulary as its bytes.
 *
 * The chapter has five parts: how files spell bytes, the tokenizer, encoding, decoding and
 * training. lib/split.c cuts the pieces.
 */
#include "tokenizer.h"

#include "lib/map.h"
#include "lib/nfc.h"
#include "lib/unicode.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    CACHE_LINES = 1 << 15,
    CACHE_PIECE = 22, /* bytes; with CACHE_IDS a line is the 64 bytes of a processor's cache line */
    CACHE_IDS = 10
};

/* ---- how files spell bytes ---- */

/* Vocabulary files are text, so each byte is written as one visible character, its symbol. The 188
 * bytes that are visible in Latin-1 are their own symbols. The other 68, in increasing order, are
 * U+0100 and up. The blank is "Ġ" (U+0120). */
static bool byte_is_visible(int byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/* The bytes without a visible character are 0 to 32, 127 to 160, and 173. */
static uint32_t symbol_of_byte(int byte) {
    if (byte_is_visible(byte)) return (uint32_t)byte;
    return 256 + (uint32_t)(byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67);
}

/* The byte of a symbol, or -1 for a character that is not a symbol. */
static int byte_of_symbol(uint32_t c) {
    if (c < 256) return byte_is_visible((int)c) ? (int)c : -1;
    if (c >= 256 + 68) return -1;
    int hidden = (int)c - 256;
    return hidden <= 32 ? hidden : hidden <= 66 ? hidden - 33 + 127 : 173;
}

/* The 94, 12 and 82 visible bytes, as in byte_is_visible, then the 68 others. */
int symbols_byte_of_rank(int rank) {
    if (rank < 94) return 33 + rank;
    if (rank < 106) return 161 + rank - 94;
    if (rank < 188) return 174 + rank - 106;
    return byte_of_symbol((uint32_t)(256 + rank - 188));
}

void symbols_from_bytes(Buf *symbols, Str bytes) {
    for (size_t i = 0; i < bytes.n; i++) {
        char utf8[4];
        int length = unicode_encode(utf8, symbol_of_byte((unsigned char)bytes.s[i]));
        buf_put(symbols, utf8, (size_t)length);
    }
}

bool symbols_to_bytes(Str symbols, Buf *bytes) {
    for (size_t i = 0; i < symbols.n;) {
        uint32_t c;
        int length = unicode_decode(symbols.s + i, symbols.n - i, &c);
        int byte = length ? byte_of_symbol(c) : -1;
        if (byte < 0) return false;
        if (bytes) buf_putc(bytes, (char)byte);
        i += (size_t)length;
    }
    return true;
}

Str token_shown(Str name) { return (Str){name.s, unicode_cut(name.s, name.n, 60)}; }

/* ---- the tokenizer ---- */

/* The ids of a piece that was encoded before. */
typedef struct {
    unsigned char n, n_ids; /* bytes and ids; n 0: the line is empty */
    char piece[CACHE_PIECE];
    int ids[CACHE_IDS];
} CacheLine;

struct Tokenizer {
    Arena arena;   /* the bytes of the tokens */
    Token *tokens; /* [n_tokens] by increasing id; ids may have gaps */
    int n_tokens, token_capacity;
    IntBuf specials; /* indices of the special tokens in `tokens` */
    Merge *merges;   /* [n_merges] by rank */
    int n_merges, merge_capacity;
    Map ranks;                  /* from the pair of a merge that may be applied to its rank */
    int byte_id[256];           /* the id of each single byte */
    int bos, eos, pad, opening; /* ids, or -1 */
    TokenizerRules rules;
    Map characters;   /* SentencePiece: from a character to its id */
    StrSet whole;     /* rules.whole_pieces: the bytes of all tokens that text can become */
    IntBuf whole_ids; /* [whole.n] */
    bool json_alone;  /* as in TokenizerParts, as the next */
    Str files[KEPT_FILES];
    bool starts[256]; /* can a special token's name start with this byte? */
    CacheLine *cache; /* [CACHE_LINES], or NULL before the first encoding; one line for each hash */
};

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    arena_free(&t->arena);
    ints_free(&t->specials);
    map_free(&t->ranks);
    map_free(&t->characters);
    strset_free(&t->whole);
    ints_free(&t->whole_ids);
    free(t->tokens);
    free(t->merges);
    free(t->cache);
    free(t);
}

/* Makes a token known by what text it can start from: a byte, a character, a piece. */
static void index_token(Tokenizer *t, const Token *token) {
    unsigned char first = token->bytes.n ? (unsigned char)token->bytes.s[0] : 0;
    uint32_t c;
    if (token->special) {
        t->starts[first] = true;
        return;
    }
    size_t length = (size_t)unicode_decode(token->bytes.s, token->bytes.n, &c);
    if (t->rules.pieces ? token->byte : token->bytes.n == 1) t->byte_id[first] = token->id;
    else if (t->rules.pieces && length > 0 && length == token->bytes.n)
        map_set(&t->characters, c, token->id);
    int known = t->whole.n;
    if (t->rules.whole_pieces && !token->byte && strset_add(&t->whole, token->bytes) == known)
        ints_put(&t->whole_ids, token->id);
}

/* Adds a copy of a token, whose id is above all others. */
static void add_token(Tokenizer *t, Token token) {
    if (t->n_tokens == t->token_capacity) {
        t->token_capacity = t->token_capacity ? t->token_capacity * 2 : 512;
        t->tokens = mem_grow(t->tokens, (size_t)t->token_capacity, sizeof *t->tokens);
    }
    token.bytes = str_copy(&t->arena, token.bytes);
    if (token.special) ints_put(&t->specials, t->n_tokens);
    index_token(t, &token);
    t->tokens[t->n_tokens++] = token;
}

/* The token with an id, or NULL. Without gaps it is at index id. Else a binary search finds it. */
static const Token *find_token(const Tokenizer *t, int id) {
    if (id >= 0 && id < t->n_tokens && t->tokens[id].id == id) return &t->tokens[id];
    int low = 0, high = t->n_tokens;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (t->tokens[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low < t->n_tokens && t->tokens[low].id == id ? &t->tokens[low] : NULL;
}

/* Adds a merge with the next rank. The token of its result is there already. */
static void add_merge(Tokenizer *t, Merge merge) {
    if (t->n_merges == t->merge_capacity) {
        t->merge_capacity = t->merge_capacity ? t->merge_capacity * 2 : 256;
        t->merges = mem_grow(t->merges, (size_t)t->merge_capacity, sizeof *t->merges);
    }
    if (!find_token(t, merge.result)->special)
        map_set(&t->ranks, map_pair(merge.left, merge.right), t->n_merges);
    t->merges[t->n_merges++] = merge;
}

static int compare_tokens(const void *a, const void *b) {
    const Token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

Tokenizer *tokenizer_new(const TokenizerParts *parts) {
    Tokenizer *t = mem_new(1, sizeof *t);
    Token *sorted = mem_new((size_t)parts->n_tokens, sizeof *sorted);
    t->rules = parts->rules;
    for (int i = 0; i < parts->n_tokens; i++) sorted[i] = parts->tokens[i];
    qsort(sorted, (size_t)parts->n_tokens, sizeof *sorted, compare_tokens);
    for (int i = 0; i < parts->n_tokens; i++) add_token(t, sorted[i]);
    free(sorted);
    for (int i = 0; i < parts->n_merges; i++) add_merge(t, parts->merges[i]);
    t->bos = parts->bos;
    t->eos = parts->eos;
    t->pad = parts->pad;
    t->opening = parts->opening;
    t->json_alone = parts->json_alone;
    for (int i = 0; i < KEPT_FILES; i++)
        if (parts->files[i].n) t->files[i] = str_copy(&t->arena, parts->files[i]);
    return t;
}

TokenizerParts tokenizer_parts(const Tokenizer *t) {
    TokenizerParts parts = {.tokens = t->tokens,
                            .merges = t->merges,
                            .n_tokens = t->n_tokens,
                            .n_merges = t->n_merges,
                            .bos = t->bos,
                            .eos = t->eos,
                            .pad = t->pad,
                            .rules = t->rules,
                            .opening = t->opening,
                            .json_alone = t->json_alone};
    memcpy(parts.files, t->files, sizeof parts.files);
    return parts;
}

int tokenizer_opening(const Tokenizer *t) { return t->opening; }

int tokenizer_size(const Tokenizer *t) { return t->tokens[t->n_tokens - 1].id + 1; }

static int find_special(const Tokenizer *t, Str name) {
    for (int i = 0; i < t->specials.n; i++) {
        const Token *token = &t->tokens[t->specials.v[i]];
        if (str_equal(token->bytes, name)) return token->id;
    }
    return -1;
}

int tokenizer_special(const Tokenizer *t, const char *name) { return find_special(t, str(name)); }

bool tokenizer_is_special(const Tokenizer *t, int id) {
    const Token *token = find_token(t, id);
    return token && token->special;
}

/* ---- encoding ---- */

/* The tokens of a piece are a doubly linked list of spots. A spot starts as one byte. A merge gives
 * its result to the left spot and takes the right one out of the list:
 *
 *     before     [ _ ] <-> [ l ] <-> [ o ] <-> [ w ]          spot indices 0 1 2 3
 *     merge l o  [ _ ] <-> [ lo ] <----------> [ w ]          spot 2 has id -1 now
 */
typedef struct {
    int id, previous, next;
} Spot; /* indices of neighbors, -1 at the piece's ends */

typedef struct {
    Spot *spots;
    int n, capacity;
    Heap heap; /* proposed merges: (rank, spot of the left token) */
} Scratch;

/* Joins spot i and the next one into the result. False if they are not the pair left, right (or are
 * no longer). */
static bool join_spots(Spot *spots, int i, int left, int right, int result) {
    int j = spots[i].next;
    if (spots[i].id != left || j < 0 || spots[j].id != right) return false;
    spots[i].id = result;
    spots[i].next = spots[j].next;
    spots[j].id = -1;
    if (spots[i].next >= 0) spots[spots[i].next].previous = i;
    return true;
}

/* Proposes to merge spot i with the next one, if there is a merge of their tokens. */
static void propose(const Tokenizer *t, Scratch *w, int i) {
    if (i < 0 || w->spots[i].next < 0) return;
    int rank = map_get(&t->ranks, map_pair(w->spots[i].id, w->spots[w->spots[i].next].id));
    if (rank >= 0) heap_push(&w->heap, (HeapItem){(uint64_t)rank, (uint64_t)i});
}

/* Appends a token to the list of w. */
static void add_spot(Scratch *w, int id) {
    if (w->n == w->capacity) {
        w->capacity = w->capacity ? w->capacity * 2 : 256;
        w->spots = mem_grow(w->spots, (size_t)w->capacity, sizeof *w->spots);
    }
    w->spots[w->n] = (Spot){id, w->n - 1, w->n + 1};
    w->n++;
}

/* One spot for each byte. */
static void start_from_bytes(const Tokenizer *t, Scratch *w, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) add_spot(w, t->byte_id[(unsigned char)s[i]]);
}

/* One spot for each character that is a token, and one for each byte of any other. */
static void start_from_characters(const Tokenizer *t, Scratch *w, const char *s, size_t n) {
    uint32_t c;
    for (size_t at = 0, length; at < n; at += length) {
        length = (size_t)unicode_decode(s + at, n - at, &c);
        int id = length ? map_get(&t->characters, c == 0x2581 ? ' ' : c) : -1;
        if (length == 0) length = 1;
        if (id >= 0) add_spot(w, id);
        else start_from_bytes(t, w, s + at, length);
    }
}

/* Encodes one piece of n >= 1 bytes in O(n log n). The lowest rank goes first, of equal ones the
 * leftmost. The tokens are then in the list that starts at spot 0. */
static void encode_piece(const Tokenizer *t, Scratch *w, const char *s, size_t n) {
    int whole = t->rules.whole_pieces ? strset_find(&t->whole, (Str){s, n}) : -1;
    w->n = 0;
    if (whole >= 0) add_spot(w, t->whole_ids.v[whole]);
    else if (t->rules.pieces) start_from_characters(t, w, s, n);
    else start_from_bytes(t, w, s, n);
    w->spots[w->n - 1].next = -1;
    /* Take the best proposal until there is none. Each merge makes at most two new pairs. */
    for (int i = 0; i < w->n; i++) propose(t, w, i);
    while (w->heap.n > 0) {
        HeapItem best = heap_pop(&w->heap);
        const Merge *merge = &t->merges[best.first];
        int i = (int)best.second;
        /* A proposal is out of date once one of its spots took part in another merge. */
        if (!join_spots(w->spots, i, merge->left, merge->right, merge->result)) continue;
        propose(t, w, w->spots[i].previous);
        propose(t, w, i);
    }
}

static void encode_pieces(Tokenizer *t, const char *text, size_t n, IntBuf *ids) {
    Scratch w = {0};
    if (!t->cache) t->cache = mem_new(CACHE_LINES, sizeof *t->cache);
    for (size_t at = 0, length; at < n; at += length) {
        /* Look the piece up. Words repeat, so nearly all pieces come from the cache. */
        const char *piece = text + at;
        length = split_piece(t->rules.splitter, piece, n - at);
        uint64_t hash = length <= CACHE_PIECE ? hash64(piece, length, HASH_START) : 0;
        CacheLine *line = &t->cache[(hash ^ hash >> 32) % CACHE_LINES];
        if (line->n == length && memcmp(line->piece, piece, length) == 0) {
            ints_append(ids, line->ids, line->n_ids);
            continue;
        }
        /* Encode a piece that is not there. */
        int before = ids->n;
        encode_piece(t, &w, piece, length);
        for (int i = 0; i >= 0; i = w.spots[i].next) ints_put(ids, w.spots[i].id);
        /* Keep it if it fits a line, instead of the piece that had the same hash. */
        int count = ids->n - before;
        if (length > CACHE_PIECE || count > CACHE_IDS) continue;
        line->n = (unsigned char)length;
        line->n_ids = (unsigned char)count;
        memcpy(line->piece, piece, length);
        memcpy(line->ids, ids->v + before, (size_t)count * sizeof(int));
    }
    free(w.spots);
    heap_free(&w.heap);
}

void tokenizer_encode_on(Tokenizer *t, const char *text, size_t n, IntBuf *ids) {
    Buf form = {0};
    bool is_form = !t->rules.nfc || nfc_is(text, n);
    if (!is_form) nfc_put(&form, text, n);
    encode_pieces(t, is_form ? text : form.s, is_form ? n : form.n, ids);
    buf_free(&form);
}

/* Does SentencePiece put a blank before a text? */
static bool needs_blank(const Tokenizer *t, const char *text, size_t n) {
    if (!t->rules.pieces || n == 0 || t->rules.blank == BLANK_NEVER) return false;
    bool has_blank = text[0] == ' ' || (n >= 3 && memcmp(text, "\xe2\x96\x81", 3) == 0);
    return t->rules.blank == BLANK_ALWAYS || !has_blank;
}

void tokenizer_encode(Tokenizer *t, const char *text, size_t n, IntBuf *ids) {
    if (!needs_blank(t, text, n)) {
        tokenizer_encode_on(t, text, n, ids);
        return;
    }
    Buf blank = {0};
    buf_reserve(&blank, n + 1);
    buf_putc(&blank, ' ');
    buf_put(&blank, text, n);
    tokenizer_encode_on(t, blank.s, blank.n, ids);
    buf_free(&blank);
}

/* The special token with the longest name that s starts with, or NULL. */
const Token *tokenizer_special_at(const Tokenizer *t, Str s) {
    const Token *best = NULL;
    if (s.n == 0 || !t->starts[(unsigned char)s.s[0]]) return NULL;
    for (int i = 0; i < t->specials.n; i++) {
        const Token *token = &t->tokens[t->specials.v[i]];
        Str name = token->bytes;
        if (name.n <= s.n && memcmp(name.s, s.s, name.n) == 0 && (!best || name.n > best->bytes.n))
            best = token;
    }
    return best;
}

void tokenizer_encode_template(Tokenizer *t, const char *text, size_t n, IntBuf *ids) {
    size_t start = 0; /* of the stretch without a special token */
    for (size_t at = 0; at < n;) {
        const Token *special = tokenizer_special_at(t, (Str){text + at, n - at});
        if (!special) {
            at++;
            continue;
        }
        tokenizer_encode(t, text + start, at - start, ids);
        ints_put(ids, special->id);
        start = at += special->bytes.n;
    }
    tokenizer_encode(t, text + start, n - start, ids);
}

/* ---- decoding ---- */

bool tokenizer_decode(const Tokenizer *t, const int *ids, int n, Buf *text) {
    bool known = true;
    size_t start = text->n;
    for (int i = 0; i < n; i++) {
        const Token *token = find_token(t, ids[i]);
        if (token) buf_put(text, token->bytes.s, token->bytes.n);
        else known = false;
    }
    bool has_blank = t->rules.pieces && text->n > start && text->s[start] == ' ';
    if (has_blank && t->rules.blank != BLANK_NEVER) {
        memmove(text->s + start, text->s + start + 1, text->n - start); /* with the NUL */
        text->n--;
    }
    return known;
}

/* ---- training ---- */

/* Training repeats: find the most frequent pair of neighbors, make it a token, replace the pair by
 * it everywhere. Counting anew for each merge would read the text vocab_size times. Instead:
 *
 *   - Only distinct pieces are kept, each with a weight: how often it occurs in the texts.
 *   - The spots of all pieces are in one array, piece after piece.
 *   - Each pair knows its count and the spots where it was seen. A merge visits only these.
 *   - A heap gives the pair with the largest count. Its counts may be out of date; see best_pair.
 *
 * For N bytes of distinct pieces this takes O(N log N) time and O(N) memory: each merge removes a
 * spot, and each removed spot changes the counts of at most four pairs. */
typedef struct {
    int left, right;
    int64_t count;
    IntBuf spots; /* of the left token, increasing; some may have been merged away since */
} Pair;

typedef struct {
    Spot *spots;
    int64_t *weights; /* [spots] how often the spot's piece occurs */
    Pair *pairs;      /* [n_pairs] every pair that was ever seen */
    int n_pairs, capacity;
    Map index; /* from map_pair to the index in pairs */
    Heap heap; /* (maximum - count, map_pair): the most frequent first, then the smaller ids */
} Trainer;

/* Counts the pair that starts at spot i. Overlapping pairs all count: "aaa" has two of (a, a). */
static void pair_add(Trainer *tr, int i, int64_t weight) {
    int left = tr->spots[i].id, right = tr->spots[tr->spots[i].next].id;
    int p = map_get(&tr->index, map_pair(left, right));
    if (p < 0) {
        if (tr->n_pairs == tr->capacity) {
            tr->capacity = tr->capacity ? tr->capacity * 2 : 1024;
            tr->pairs = mem_grow(tr->pairs, (size_t)tr->capacity, sizeof *tr->pairs);
        }
        p = tr->n_pairs++;
        tr->pairs[p] = (Pair){.left = left, .right = right};
        map_set(&tr->index, map_pair(left, right), p);
    }
    tr->pairs[p].count += weight;
    ints_put(&tr->pairs[p].spots, i);
}

/* Takes one occurrence off a pair's count. Its spot stays in the list; a reader of the list checks
 * which tokens are there now. */
static void pair_take(Trainer *tr, int left, int right, int64_t weight) {
    tr->pairs[map_get(&tr->index, map_pair(left, right))].count -= weight;
}

/* Puts a pair into the heap with its present count. A pair that occurs once makes no token. */
static void push_pair(Trainer *tr, int p) {
    const Pair *pair = &tr->pairs[p];
    if (pair->count < 2) return;
    uint64_t key = map_pair(pair->left, pair->right);
    heap_push(&tr->heap, (HeapItem){UINT64_MAX - (uint64_t)pair->count, key});
}

/* The index of the most frequent pair, or -1. After a pair is pushed its count only falls, because
 * merge_pair makes new pairs and adds to no old one. So a pair that comes out with its true count
 * beats all others. One with an old count is pushed again. */
static int best_pair(Trainer *tr) {
    while (tr->heap.n > 0) {
        HeapItem best = heap_pop(&tr->heap);
        int p = map_get(&tr->index, best.second);
        if (UINT64_MAX - (uint64_t)tr->pairs[p].count == best.first) return p;
        push_pair(tr, p);
    }
    return -1;
}

/* Replaces pair p by the result everywhere. Every pair that this creates contains the result, which
 * is a new token, so no older pair gains a count. */
static void merge_pair(Trainer *tr, int p, int result) {
    Pair pair = tr->pairs[p]; /* a copy: pair_add may move the array */
    int first_new = tr->n_pairs;
    for (int k = 0; k < pair.spots.n; k++) {
        int i = pair.spots.v[k];
        int64_t weight = tr->weights[i];
        if (!join_spots(tr->spots, i, pair.left, pair.right, result)) continue;
        /* Recount pairs with the neighbors: a (l r) b had (a l) and (r b), now (a lr), (lr b). */
        int before = tr->spots[i].previous, after = tr->spots[i].next;
        if (before >= 0) {
            pair_take(tr, tr->spots[before].id, pair.left, weight);
            pair_add(tr, before, weight);
        }
        if (after >= 0) {
            pair_take(tr, pair.right, tr->spots[after].id, weight);
            pair_add(tr, i, weight);
        }
    }
    ints_free(&tr->pairs[p].spots);
    for (int q = first_new; q < tr->n_pairs; q++) push_pair(tr, q);
}

/* Collects the distinct pieces of the texts and how often each occurs, *counts [pieces->n], which
 * the caller frees. Returns the sum of their lengths in bytes. */
static size_t count_pieces(const Str *texts, int n_texts, StrSet *pieces, int64_t **counts,
                           Progress *progress) {
    size_t total = 0;
    double bytes = 0;
    for (int k = 0; k < n_texts; k++) bytes += (double)texts[k].n;
    progress_part(progress, "words");
    progress_begin(progress, bytes);
    for (int k = 0; k < n_texts; k++) {
        for (size_t at = 0, length; at < texts[k].n; at += length) {
            length = split_piece(SPLIT_GPT2, texts[k].s + at, texts[k].n - at);
            int known = pieces->n, piece = strset_add(pieces, (Str){texts[k].s + at, length});
            if (piece == known) {
                total += length;
                if (piece % 4096 == 0)
                    *counts = mem_grow(*counts, (size_t)piece + 4096, sizeof **counts);
                (*counts)[piece] = 0;
            }
            (*counts)[piece]++;
        }
        progress_add(progress, (double)texts[k].n);
    }
    return total;
}

/* Makes the spots of all pieces and counts their pairs. */
static void lay_out(Trainer *tr, const Tokenizer *t, const StrSet *pieces, const int64_t *counts) {
    for (int piece = 0, start = 0; piece < pieces->n; piece++) {
        Str s = pieces->v[piece];
        int end = start + (int)s.n;
        for (int i = start; i < end; i++) {
            int id = t->byte_id[(unsigned char)s.s[i - start]];
            tr->spots[i] = (Spot){id, i > start ? i - 1 : -1, i + 1 < end ? i + 1 : -1};
            tr->weights[i] = counts[piece];
        }
        for (int i = start; i + 1 < end; i++) pair_add(tr, i, counts[piece]);
        start = end;
    }
    for (int p = 0; p < tr->n_pairs; p++) push_pair(tr, p);
}

static bool trainer_init(Trainer *tr, const Tokenizer *t, const Str *texts, int n_texts,
                         Progress *progress, Error *err) {
    StrSet pieces = {0};
    int64_t *counts = NULL;
    size_t total = count_pieces(texts, n_texts, &pieces, &counts, progress);
    bool ok = total < INT_MAX;
    if (ok) {
        tr->spots = mem_new(total, sizeof *tr->spots);
        tr->weights = mem_new(total, sizeof *tr->weights);
        lay_out(tr, t, &pieces, counts);
    } else
        error_set(err, STATUS_DATA,
                  "the distinct words of the text take %zu bytes, and at most %d are possible: "
                  "train the vocabulary on a part of the text",
                  total, INT_MAX - 1);
    free(counts);
    strset_free(&pieces);
    return ok;
}

static void trainer_free(Trainer *tr) {
    for (int p = 0; p < tr->n_pairs; p++) ints_free(&tr->pairs[p].spots);
    free(tr->pairs);
    free(tr->spots);
    free(tr->weights);
    map_free(&tr->index);
    heap_free(&tr->heap);
}

/* Would a vocabulary file spell this token as it spells a special one? Then ordinary text could
 * turn into the special token. */
static bool spells_special(const Tokenizer *t, Str bytes) {
    Buf symbols = {0};
    symbols_from_bytes(&symbols, bytes);
    bool found = find_special(t, (Str){symbols.s, symbols.n}) >= 0;
    buf_free(&symbols);
    return found;
}

/* What merge i of a vocabulary takes, in some unit. The pair of rank i is about 1 / (i + 10) as
 * frequent, as words are, and a merge visits the places of its pair. */
static double merge_work(int i) { return 1 / (i + 10.0); }

/* Makes merges and their tokens until there are vocab_size tokens.
 *
 * Every merge makes bytes that no earlier token has. The merges inside of a stretch of bytes depend
 * on these bytes alone, unless a merge crosses the stretch's ends. So equal bytes never come from
 * two different pairs. */
static void train_merges(Tokenizer *t, Trainer *tr, int vocab_size, Progress *progress) {
    Buf bytes = {0};
    int first = t->n_tokens;
    double work = 0;
    for (int i = first; i < vocab_size; i++) work += merge_work(i - first);
    progress_part(progress, "merges");
    progress_begin(progress, work);
    for (int p; t->n_tokens < vocab_size && (p = best_pair(tr)) >= 0;) {
        Merge merge = {tr->pairs[p].left, tr->pairs[p].right, t->n_tokens};
        Str left = t->tokens[merge.left].bytes, right = t->tokens[merge.right].bytes;
        bytes.n = 0;
        buf_put(&bytes, left.s, left.n);
        buf_put(&bytes, right.s, right.n);
        Str joined = {bytes.s, bytes.n};
        if (spells_special(t, joined)) continue; /* it has left the heap and does not come again */
        merge_pair(tr, p, merge.result);
        add_token(t, (Token){.id = merge.result, .bytes = joined});
        add_merge(t, merge);
        progress_add(progress, merge_work(merge.result - first));
    }
    buf_free(&bytes);
}

static bool add_special_names(Tokenizer *t, const char *const *specials, int n_specials,
                              Error *err) {
    for (int i = 0; i < n_specials; i++) {
        Str name = str(specials[i]), s = token_shown(name);
        Buf bytes = {0};
        bool is_byte = symbols_to_bytes(name, &bytes) && bytes.n == 1;
        buf_free(&bytes);
        if (name.n == 0 || !unicode_valid(name.s, name.n, NULL))
            return error_set(err, STATUS_USAGE,
                             "special token %d is empty or not UTF-8: give it another name", i + 1);
        if (is_byte || find_special(t, name) >= 0)
            return error_set(err, STATUS_USAGE, "special token \"%.*s\" %s: give it another name",
                             STR_ARG(s), is_byte ? "is how a byte is spelled" : "is named twice");
        add_token(t, (Token){.id = t->n_tokens, .special = true, .bytes = name});
    }
    return true;
}

Tokenizer *tokenizer_train(const Str *texts, int n_texts, int vocab_size,
                           const char *const *specials, int n_specials, Progress *progress,
                           Error *err) {
    if (vocab_size < n_specials + 256 || vocab_size > TOKENIZER_MAX_ID) {
        error_set(err, STATUS_USAGE,
                  "the vocabulary is %d tokens; choose %d (special tokens and bytes) to %d",
                  vocab_size, n_specials + 256, TOKENIZER_MAX_ID);
        return NULL;
    }
    /* The ids: special tokens, bytes, merges. */
    Tokenizer *t = mem_new(1, sizeof *t);
    Trainer tr = {0};
    t->bos = t->eos = t->pad = t->opening = -1;
    bool ok = add_special_names(t, specials, n_specials, err);
    for (int rank = 0; ok && rank < 256; rank++) {
        char byte = (char)symbols_byte_of_rank(rank);
        add_token(t, (Token){.id = t->n_tokens, .bytes = {&byte, 1}});
    }
    ok = ok && trainer_init(&tr, t, texts, n_texts, progress, err);
    if (ok) {
        train_merges(t, &tr, vocab_size, progress);
        t->bos = tokenizer_special(t, "<bos>");
        t->eos = tokenizer_special(t, "<e>");
    }
    trainer_free(&tr);
    if (ok) return t;
    tokenizer_free(t);
    return NULL;
}
