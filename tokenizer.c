#define _POSIX_C_SOURCE 200809L
#include "tokenizer.h"

#include "lib/json.h"
#include "lib/unicode.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ID = 16000000,      /* larger than any vocabulary; keeps sizes far from overflow */
    MAX_PIECE = 1 << 28,    /* a longer piece is cut, so that positions fit an int with room to spare */
    CACHE_LINES = 1 << 15,
    CACHE_PIECE = 22,       /* with CACHE_IDS: one entry fills the 64 bytes of a cache line */
    CACHE_IDS = 10
};

/* ---- the byte alphabet: GPT-2's files spell each byte as one visible character ---- */

/* Printable bytes stand for themselves, the other 68 in increasing order for U+0100 and up. */
static bool byte_is_visible(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; }

static int symbol_of_byte(int byte) {
    if (byte_is_visible(byte)) return byte;
    return 256 + (byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67);
}

/* -1 for a character that stands for no byte. */
static int byte_of_symbol(uint32_t c) {
    if (c < 256) return byte_is_visible((int)c) ? (int)c : -1;
    int hidden = (int)(c - 256);
    if (c >= 256 + 68) return -1;
    return hidden <= 32 ? hidden : hidden <= 66 ? hidden - 33 + 127 : 173;
}

/* The byte with a given rank in the order of symbols, which is the order of GPT-2's first 256 ids. */
static int byte_of_rank(int rank) {
    if (rank < 94) return 33 + rank;
    if (rank < 106) return 161 + rank - 94;
    if (rank < 188) return 174 + rank - 106;
    return byte_of_symbol((uint32_t)(256 + rank - 188));
}

static void put_symbols(Buf *b, Str bytes) {
    for (size_t i = 0; i < bytes.n; i++) {
        int c = symbol_of_byte((unsigned char)bytes.s[i]);
        if (c < 128) buf_putc(b, (char)c);
        else {
            char two[2] = {(char)(0xC0 | c >> 6), (char)(0x80 | (c & 0x3F))};
            buf_put(b, two, 2);
        }
    }
}

/* The bytes that a spelling stands for, appended to *bytes unless that is NULL; false if a character is no symbol. */
static bool read_symbols(Str symbols, Buf *bytes) {
    for (size_t i = 0; i < symbols.n;) {
        uint32_t c;
        int length = unicode_decode(symbols.s + i, symbols.n - i, &c), byte = length ? byte_of_symbol(c) : -1;
        if (byte < 0) return false;
        if (bytes) buf_putc(bytes, (char)byte);
        i += (size_t)length;
    }
    return true;
}

/* A name as messages show it: not so long that the rest of the line is lost, and cut between characters. */
static Str shown(Str s) {
    if (s.n <= 60) return s;
    s.n = 60;
    while (s.n > 0 && ((unsigned char)s.s[s.n] & 0xC0) == 0x80) s.n--;
    return s;
}

/* ---- maps and a heap ---- */

/* From 64-bit keys to ints >= 0; open addressing, at most half full. Zero-initialize. */
typedef struct { uint64_t key; int value_plus_1; } Slot; /* 0: empty */
typedef struct { Slot *slots; size_t used; int bits; } Map;

/* Where a key is, or the empty slot where it belongs. The product's high bits depend on all bits of the key, which ids in a
 * row, packed in pairs, need. */
static Slot *map_slot(const Map *m, uint64_t key) {
    size_t mask = ((size_t)1 << m->bits) - 1;
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> (64 - m->bits));
    while (m->slots[i].value_plus_1 != 0 && m->slots[i].key != key) i = (i + 1) & mask;
    return &m->slots[i];
}

/* -1 if the key is absent. */
static int map_get(const Map *m, uint64_t key) { return m->slots ? map_slot(m, key)->value_plus_1 - 1 : -1; }

static void map_set(Map *m, uint64_t key, int value) {
    if (!m->slots || m->used * 2 >= (size_t)1 << m->bits) {
        Map larger = {.bits = m->slots ? m->bits + 1 : 8};
        larger.slots = mem_new((size_t)1 << larger.bits, sizeof(Slot));
        for (size_t i = 0; m->slots && i < (size_t)1 << m->bits; i++)
            if (m->slots[i].value_plus_1 != 0) map_set(&larger, m->slots[i].key, m->slots[i].value_plus_1 - 1);
        free(m->slots);
        *m = larger;
    }
    Slot *slot = map_slot(m, key);
    if (slot->value_plus_1 == 0) m->used++;
    *slot = (Slot){key, value + 1};
}

static uint64_t pair_key(int left, int right) { return (uint64_t)left << 32 | (uint32_t)right; }

/* Distinct strings numbered from 0 in order of arrival. The bytes stay the caller's. */
typedef struct {
    Str *v;
    int *same_hash; /* [n] an earlier string with the same hash, or -1 */
    int n, capacity;
    Map by_hash;
} StrSet;

static int strset_find(const StrSet *set, Str s) {
    int i = map_get(&set->by_hash, hash64(s.s, s.n, HASH_START));
    while (i >= 0 && !str_equal(set->v[i], s)) i = set->same_hash[i];
    return i;
}

/* The number of a string, which is new if it equals the n of before. */
static int strset_add(StrSet *set, Str s) {
    int found = strset_find(set, s);
    if (found >= 0) return found;
    if (set->n == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 256;
        set->v = mem_grow(set->v, (size_t)set->capacity, sizeof *set->v);
        set->same_hash = mem_grow(set->same_hash, (size_t)set->capacity, sizeof *set->same_hash);
    }
    uint64_t hash = hash64(s.s, s.n, HASH_START);
    set->v[set->n] = s;
    set->same_hash[set->n] = map_get(&set->by_hash, hash);
    map_set(&set->by_hash, hash, set->n);
    return set->n++;
}

static void strset_free(StrSet *set) {
    free(set->v);
    free(set->same_hash);
    free(set->by_hash.slots);
}

/* A binary heap; the smallest (first, second) comes out first. */
typedef struct { uint64_t first, second; } Job;
typedef struct { Job *v; size_t n, capacity; } Heap;

static bool job_before(Job a, Job b) { return a.first != b.first ? a.first < b.first : a.second < b.second; }

static void heap_push(Heap *h, Job job) {
    if (h->n == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 64;
        h->v = mem_grow(h->v, h->capacity, sizeof *h->v);
    }
    size_t i = h->n++;
    for (; i > 0 && job_before(job, h->v[(i - 1) / 2]); i = (i - 1) / 2) h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = job;
}

static Job heap_pop(Heap *h) {
    Job top = h->v[0], last = h->v[--h->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && job_before(h->v[child + 1], h->v[child])) child++;
        if (!job_before(h->v[child], last)) break;
        h->v[i] = h->v[child];
    }
    h->v[i] = last;
    return top;
}

/* ---- the tokenizer ---- */

typedef struct {
    int id;
    bool special;
    Str bytes; /* what it decodes to: for a special token its name */
} Token;

typedef struct { int left, right, result; } Merge;

typedef struct {
    unsigned char n, n_ids; /* n = 0: empty */
    char piece[CACHE_PIECE];
    int ids[CACHE_IDS];
} CacheLine;

struct Tokenizer {
    Arena arena;   /* the tokens' bytes */
    Token *tokens; /* [n_tokens] by increasing id; ids may have gaps */
    int n_tokens, token_capacity;
    IntBuf specials; /* which of tokens are special */
    Merge *merges;   /* [n_merges] by rank: the smaller goes first */
    int n_merges, merge_capacity;
    Map ranks; /* from the pair of a merge to its rank */
    int byte_id[256];
    int bos, eos; /* ids for tokenizer_config.json, or -1 */
    /* [CACHE_LINES], once something was encoded; a new piece takes the place of an old one with the same hash. */
    CacheLine *cache;
};

static Tokenizer *tokenizer_new(void) {
    Tokenizer *t = mem_new(1, sizeof *t);
    t->bos = t->eos = -1;
    return t;
}

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    arena_free(&t->arena);
    ints_free(&t->specials);
    free(t->tokens);
    free(t->merges);
    free(t->ranks.slots);
    free(t->cache);
    free(t);
}

static void add_merge(Tokenizer *t, Merge merge) {
    if (t->n_merges == t->merge_capacity) {
        t->merge_capacity = t->merge_capacity ? t->merge_capacity * 2 : 256;
        t->merges = mem_grow(t->merges, (size_t)t->merge_capacity, sizeof *t->merges);
    }
    t->merges[t->n_merges++] = merge;
}

int tokenizer_size(const Tokenizer *t) { return t->tokens[t->n_tokens - 1].id + 1; }

static const Token *find_token(const Tokenizer *t, int id) {
    if (id >= 0 && id < t->n_tokens && t->tokens[id].id == id) return &t->tokens[id]; /* always, without gaps */
    int low = 0, high = t->n_tokens;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (t->tokens[middle].id < id) low = middle + 1;
        else high = middle;
    }
    return low < t->n_tokens && t->tokens[low].id == id ? &t->tokens[low] : NULL;
}

static int find_special(const Tokenizer *t, Str name) {
    for (int i = 0; i < t->specials.n; i++) {
        const Token *token = &t->tokens[t->specials.v[i]];
        if (str_equal(token->bytes, name)) return token->id;
    }
    return -1;
}

int tokenizer_special(const Tokenizer *t, const char *name) { return find_special(t, str(name)); }

/* ---- splitting: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ ---- */

/* The class of the first character and its length; a byte that is no UTF-8 is one "other" character. n >= 1. */
static UnicodeClass class_at(const char *s, size_t n, size_t *length) {
    uint32_t c;
    int bytes = unicode_decode(s, n, &c);
    *length = bytes ? (size_t)bytes : 1;
    return bytes ? unicode_class(c) : UNICODE_OTHER;
}

/* How many bytes at the start of s are characters of one class; *last is where the last of them starts. */
static size_t run_length(const char *s, size_t n, UnicodeClass class, size_t *last) {
    size_t at = 0, length;
    for (*last = 0; at < n && at < MAX_PIECE && class_at(s + at, n - at, &length) == class; at += length) *last = at;
    return at;
}

/* The length of a contraction at the start of s, or 0. Capital letters make none. */
static size_t contraction_length(const char *s, size_t n) {
    if (n < 2 || s[0] != '\'') return 0;
    if (s[1] == 's' || s[1] == 't' || s[1] == 'm' || s[1] == 'd') return 2;
    if (n < 3) return 0;
    return (s[1] == 'r' && s[2] == 'e') || (s[1] == 'v' && s[2] == 'e') || (s[1] == 'l' && s[2] == 'l') ? 3 : 0;
}

/* The length of the first piece of n >= 1 bytes. */
static size_t piece_length(const char *s, size_t n) {
    size_t length = contraction_length(s, n), last;
    if (length) return length;
    size_t blank = s[0] == ' ' && n > 1;
    UnicodeClass class = class_at(s + blank, n - blank, &length);
    if (class != UNICODE_SPACE) return blank + run_length(s + blank, n - blank, class, &last);
    /* White space leaves its last character to what follows, if there is another one and something follows. */
    length = run_length(s, n, UNICODE_SPACE, &last);
    return length < n && last > 0 ? last : length;
}

/* ---- encoding ---- */

/* A symbol of a piece under work, in a list: indices of its neighbors, -1 at the ends of the piece. id -1: merged away. */
typedef struct { int id, previous, next; } Spot;

typedef struct {
    Spot *spots;
    size_t capacity;
    Heap heap;
} Scratch;

/* Joins spot i and the one after it into the result; false if they are not, or no longer, the wanted pair. */
static bool join_spots(Spot *spots, int i, int left, int right, int result) {
    int j = spots[i].next;
    if (spots[i].id != left || j < 0 || spots[j].id != right) return false;
    spots[i].id = result;
    spots[i].next = spots[j].next;
    spots[j].id = -1;
    if (spots[i].next >= 0) spots[spots[i].next].previous = i;
    return true;
}

/* Notes the merge of a spot with the one after it, if there is such a merge. */
static void propose(const Tokenizer *t, Scratch *w, int i) {
    if (i < 0 || w->spots[i].next < 0) return;
    int rank = map_get(&t->ranks, pair_key(w->spots[i].id, w->spots[w->spots[i].next].id));
    if (rank >= 0) heap_push(&w->heap, (Job){(uint64_t)rank, (uint64_t)i});
}

/* Byte-pair encoding of one piece: always the merge of lowest rank, the leftmost of several; O(n log n). The ids end up in
 * the spots that are left, starting from spot 0. */
static void encode_piece(const Tokenizer *t, Scratch *w, const char *s, size_t n) {
    if (n > w->capacity) {
        w->capacity = n < 256 ? 256 : n;
        w->spots = mem_grow(w->spots, w->capacity, sizeof *w->spots);
    }
    for (int i = 0; i < (int)n; i++)
        w->spots[i] = (Spot){t->byte_id[(unsigned char)s[i]], i - 1, i + 1 < (int)n ? i + 1 : -1};
    for (int i = 0; i < (int)n; i++) propose(t, w, i);
    while (w->heap.n > 0) {
        Job job = heap_pop(&w->heap);
        const Merge *merge = &t->merges[job.first];
        int i = (int)job.second;
        /* A proposal is out of date once one of its two spots took part in another merge. */
        if (!join_spots(w->spots, i, merge->left, merge->right, merge->result)) continue;
        propose(t, w, w->spots[i].previous);
        propose(t, w, i);
    }
}

void tokenizer_encode(Tokenizer *t, const char *text, size_t n, IntBuf *ids) {
    Scratch w = {0};
    if (!t->cache) t->cache = mem_new(CACHE_LINES, sizeof *t->cache);
    for (size_t at = 0, length; at < n; at += length) { /* words repeat: nearly all pieces come from the cache */
        const char *piece = text + at;
        length = piece_length(piece, n - at);
        uint64_t hash = length <= CACHE_PIECE ? hash64(piece, length, HASH_START) : 0;
        CacheLine *line = &t->cache[(hash ^ hash >> 32) % CACHE_LINES];
        if (line->n == length && memcmp(line->piece, piece, length) == 0) {
            ints_append(ids, line->ids, line->n_ids);
            continue;
        }
        int before = ids->n;
        encode_piece(t, &w, piece, length);
        for (int i = 0; i >= 0; i = w.spots[i].next) ints_put(ids, w.spots[i].id);
        int count = ids->n - before;
        if (length > CACHE_PIECE || count > CACHE_IDS) continue;
        line->n = (unsigned char)length;
        line->n_ids = (unsigned char)count;
        memcpy(line->piece, piece, length);
        memcpy(line->ids, ids->v + before, (size_t)count * sizeof(int));
    }
    free(w.spots);
    free(w.heap.v);
}

bool tokenizer_decode(const Tokenizer *t, const int *ids, int n, Buf *text) {
    bool known = true;
    for (int i = 0; i < n; i++) {
        const Token *token = find_token(t, ids[i]);
        if (token) buf_put(text, token->bytes.s, token->bytes.n);
        else known = false;
    }
    return known;
}

/* ---- training ---- */

typedef struct {
    int left, right;
    int64_t count;
    IntBuf spots; /* where it stood when it was noted, in increasing order; some may have been merged away since */
} Pair;

/* All different pieces of the texts lie end to end in spots; the merges are made there, each only where its pair stands. */
typedef struct {
    Spot *spots;
    int64_t *weights; /* of each spot: how often its piece occurs */
    Pair *pairs;
    int n_pairs, capacity;
    Map index; /* from pair_key to pairs */
    Heap heap; /* (-count, pair_key): most frequent first, then the smaller ids; the count may be out of date */
} Trainer;

/* Counts the pair that starts at spot i. Overlapping pairs all count: "aaa" has two of (a, a). */
static void pair_add(Trainer *tr, int i, int64_t weight) {
    int left = tr->spots[i].id, right = tr->spots[tr->spots[i].next].id;
    int p = map_get(&tr->index, pair_key(left, right));
    if (p < 0) {
        if (tr->n_pairs == tr->capacity) {
            tr->capacity = tr->capacity ? tr->capacity * 2 : 1024;
            tr->pairs = mem_grow(tr->pairs, (size_t)tr->capacity, sizeof *tr->pairs);
        }
        p = tr->n_pairs++;
        tr->pairs[p] = (Pair){.left = left, .right = right};
        map_set(&tr->index, pair_key(left, right), p);
    }
    tr->pairs[p].count += weight;
    ints_put(&tr->pairs[p].spots, i);
}

/* Its place in the pair's list of spots stays: whoever reads the list checks what stands there. */
static void pair_take(Trainer *tr, int left, int right, int64_t weight) {
    tr->pairs[map_get(&tr->index, pair_key(left, right))].count -= weight;
}

static void push_pair(Trainer *tr, int p) {
    const Pair *pair = &tr->pairs[p];
    if (pair->count < 2) return;
    heap_push(&tr->heap, (Job){UINT64_MAX - (uint64_t)pair->count, pair_key(pair->left, pair->right)});
}

/* The index of the best pair, or -1. Counts only fall after a pair is pushed, so a pair that comes out with its true count
 * beats all others; one that comes out with an old count goes back. */
static int best_pair(Trainer *tr) {
    while (tr->heap.n > 0) {
        Job job = heap_pop(&tr->heap);
        int p = map_get(&tr->index, job.second);
        if (UINT64_MAX - (uint64_t)tr->pairs[p].count == job.first) return p;
        push_pair(tr, p);
    }
    return -1;
}

/* Replaces a pair by its result everywhere. All pairs that are new contain the result, hence nobody else adds to them. */
static void merge_pair(Trainer *tr, int p, int result) {
    Pair pair = tr->pairs[p];
    int first_new = tr->n_pairs;
    for (int k = 0; k < pair.spots.n; k++) {
        int i = pair.spots.v[k];
        int64_t weight = tr->weights[i];
        if (!join_spots(tr->spots, i, pair.left, pair.right, result)) continue;
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

/* Lays out the different pieces and counts their pairs. */
static bool trainer_init(Trainer *tr, const Tokenizer *t, const Str *texts, int n_texts, Error *err) {
    StrSet pieces = {0};
    int64_t *counts = NULL; /* of each piece */
    size_t total = 0;
    for (int k = 0; k < n_texts; k++)
        for (size_t at = 0, length; at < texts[k].n; at += length) {
            length = piece_length(texts[k].s + at, texts[k].n - at);
            int known = pieces.n, piece = strset_add(&pieces, (Str){texts[k].s + at, length});
            if (piece == known) {
                total += length;
                if (piece % 4096 == 0) counts = mem_grow(counts, (size_t)piece + 4096, sizeof *counts);
                counts[piece] = 0;
            }
            counts[piece]++;
        }
    bool ok = total < INT_MAX || error_set(err, STATUS_DATA, "too much text for one vocabulary: train on a part of it");
    if (ok) {
        tr->spots = mem_new(total, sizeof *tr->spots);
        tr->weights = mem_new(total, sizeof *tr->weights);
    }
    for (int piece = 0, start = 0; ok && piece < pieces.n; start += (int)pieces.v[piece++].n) {
        int end = start + (int)pieces.v[piece].n;
        for (int i = start; i < end; i++) {
            int byte = (unsigned char)pieces.v[piece].s[i - start];
            tr->spots[i] = (Spot){t->byte_id[byte], i > start ? i - 1 : -1, i + 1 < end ? i + 1 : -1};
            tr->weights[i] = counts[piece];
        }
        for (int i = start; i + 1 < end; i++) pair_add(tr, i, counts[piece]);
    }
    for (int p = 0; p < tr->n_pairs; p++) push_pair(tr, p);
    free(counts);
    strset_free(&pieces);
    return ok;
}

static void trainer_free(Trainer *tr) {
    for (int p = 0; p < tr->n_pairs; p++) ints_free(&tr->pairs[p].spots);
    free(tr->pairs);
    free(tr->spots);
    free(tr->weights);
    free(tr->index.slots);
    free(tr->heap.v);
}

static void append_token(Tokenizer *t, Str bytes, bool special) {
    if (t->n_tokens == t->token_capacity) {
        t->token_capacity = t->token_capacity ? t->token_capacity * 2 : 512;
        t->tokens = mem_grow(t->tokens, (size_t)t->token_capacity, sizeof *t->tokens);
    }
    if (special) ints_put(&t->specials, t->n_tokens);
    t->tokens[t->n_tokens] = (Token){t->n_tokens, special, str_copy(&t->arena, bytes)};
    t->n_tokens++;
}

/* Would this token be spelled in vocab.json as a special one is? Then ordinary text could turn into it. */
static bool spells_special(const Tokenizer *t, Str bytes) {
    Buf symbols = {0};
    put_symbols(&symbols, bytes);
    bool found = find_special(t, (Str){symbols.s, symbols.n}) >= 0;
    buf_free(&symbols);
    return found;
}

static bool add_special_names(Tokenizer *t, const char *const *specials, int n_specials, Error *err) {
    for (int i = 0; i < n_specials; i++) {
        Str name = str(specials[i]);
        size_t bad;
        Buf bytes = {0};
        bool is_byte = read_symbols(name, &bytes) && bytes.n == 1;
        buf_free(&bytes);
        if (name.n == 0 || !unicode_valid(name.s, name.n, &bad))
            return error_set(err, STATUS_USAGE, "special token %d is empty or not UTF-8: give it another name", i + 1);
        if (is_byte || find_special(t, name) >= 0)
            return error_set(err, STATUS_USAGE, "special token \"%.*s\" %s: give it another name", STR_ARG(shown(name)),
                             is_byte ? "is how a byte is spelled" : "is named twice");
        append_token(t, name, true);
    }
    return true;
}

static void train_merges(Tokenizer *t, Trainer *tr, int vocab_size) {
    Buf bytes = {0};
    for (int p; t->n_tokens < vocab_size && (p = best_pair(tr)) >= 0;) {
        Merge merge = {tr->pairs[p].left, tr->pairs[p].right, t->n_tokens};
        bytes.n = 0;
        buf_put(&bytes, t->tokens[merge.left].bytes.s, t->tokens[merge.left].bytes.n);
        buf_put(&bytes, t->tokens[merge.right].bytes.s, t->tokens[merge.right].bytes.n);
        Str joined = {bytes.s, bytes.n};
        /* Equal bytes never come from two different pairs: a stretch of a piece that no merge has crossed was merged in
         * the same way wherever it stands. So each merge makes a new token. */
        if (spells_special(t, joined)) continue; /* for good: best_pair does not give it again */
        merge_pair(tr, p, merge.result);
        map_set(&t->ranks, pair_key(merge.left, merge.right), t->n_merges);
        add_merge(t, merge);
        append_token(t, joined, false);
    }
    buf_free(&bytes);
}

Tokenizer *tokenizer_train(const Str *texts, int n_texts, int vocab_size, const char *const *specials, int n_specials,
                           Error *err) {
    if (vocab_size < n_specials + 256 || vocab_size > MAX_ID) {
        error_set(err, STATUS_USAGE, "a vocabulary of %d tokens is not possible: choose %d (special tokens and bytes) to %d",
                  vocab_size, n_specials + 256, MAX_ID);
        return NULL;
    }
    Tokenizer *t = tokenizer_new();
    Trainer tr = {0};
    bool ok = add_special_names(t, specials, n_specials, err);
    for (int rank = 0; ok && rank < 256; rank++) {
        char byte = (char)byte_of_rank(rank);
        t->byte_id[(unsigned char)byte] = t->n_tokens;
        append_token(t, (Str){&byte, 1}, false);
    }
    if (ok && (ok = trainer_init(&tr, t, texts, n_texts, err))) {
        train_merges(t, &tr, vocab_size);
        t->bos = tokenizer_special(t, TEMPLATE_RECIPE.bos);
        t->eos = tokenizer_special(t, TEMPLATE_RECIPE.example_end);
    }
    trainer_free(&tr);
    if (ok) return t;
    tokenizer_free(t);
    return NULL;
}

/* ---- loading ---- */

typedef struct {
    int id;
    bool made;    /* a byte, or what a merge makes: text can become it */
    bool special; /* tokenizer_config.json says so */
} Entry;

/* What the files say, before it becomes a Tokenizer: names as the files spell them, and what is known of each. */
typedef struct {
    Tokenizer *t;
    Arena arena; /* the names */
    StrSet names;
    Entry *entries; /* [names.n] */
    int entry_capacity;
    Map by_id;                            /* from ids to entries */
    int next_id;                          /* without a vocabulary file: the next merge's */
    char *vocab, *merges, *config;        /* paths; vocab and config NULL if not there */
    Buf vocab_text, merges_text, scratch; /* vocab_text stays for line numbers */
    Str bos, eos;
} Loader;

/* The line of entry number `entry` of the object in a valid JSON text, in which no entry before it is a list or an object. */
static long entry_line(const Buf *text, int entry) {
    long line = 1;
    bool quoted = false;
    for (size_t i = 0; i < text->n; i++) {
        char c = text->s[i];
        if (c == '\n') line++;
        else if (quoted && c == '\\') i++;
        else if (c == '"' && entry == 0) break;
        else if (c == '"') quoted = !quoted;
        else if (c == ',' && !quoted) entry--;
    }
    return line;
}

/* Reads a file that holds one JSON object. */
static const Json *read_object(const char *path, Arena *arena, Buf *text, Error *err) {
    JsonError where;
    if (!file_read(path, text, err)) return NULL;
    const Json *root = json_parse(arena, text->s, text->n, &where);
    if (!root) {
        error_set(err, STATUS_DATA, "%s:%ld: not valid JSON: %s (column %ld); mend or replace the file", path, where.line,
                  where.what, where.column);
        return NULL;
    }
    if (root->type == JSON_OBJECT) return root;
    error_set(err, STATUS_DATA, "%s:1: the file must hold one JSON object, {...}", path);
    return NULL;
}

static void add_entry(Loader *l, Str name, Entry entry) {
    int i = strset_add(&l->names, name);
    if (i == l->entry_capacity) {
        l->entry_capacity = l->entry_capacity ? l->entry_capacity * 2 : 1024;
        l->entries = mem_grow(l->entries, (size_t)l->entry_capacity, sizeof *l->entries);
    }
    l->entries[i] = entry;
    map_set(&l->by_id, (uint64_t)entry.id, i);
}

static bool load_vocab(Loader *l, Error *err) {
    const Json *root = read_object(l->vocab, &l->arena, &l->vocab_text, err);
    for (int k = 0; root && k < root->count; k++) {
        const Json *value = &root->items[k];
        Str name = root->keys[k], s = shown(name);
        if (value->type != JSON_NUMBER || !value->is_integer || value->number < 0 || value->number > MAX_ID)
            return error_set(err, STATUS_DATA, "%s:%ld: the id of token \"%.*s\" must be an integer from 0 to %d", l->vocab,
                             entry_line(&l->vocab_text, k), STR_ARG(s), MAX_ID);
        if (strset_find(&l->names, name) >= 0)
            return error_set(err, STATUS_DATA, "%s:%ld: token \"%.*s\" is there twice: remove one", l->vocab,
                             entry_line(&l->vocab_text, k), STR_ARG(s));
        int taken = map_get(&l->by_id, (uint64_t)value->number);
        if (taken >= 0) {
            Str other = shown(l->names.v[taken]);
            return error_set(err, STATUS_DATA, "%s:%ld: tokens \"%.*s\" and \"%.*s\" have the same id %.0f: make it unique",
                             l->vocab, entry_line(&l->vocab_text, k), STR_ARG(other), STR_ARG(s), value->number);
        }
        add_entry(l, name, (Entry){.id = (int)value->number});
    }
    return root != NULL;
}

/* Finds (or, without a vocabulary file, makes) the 256 tokens of single bytes. */
static bool load_bytes(Loader *l, Error *err) {
    for (int rank = 0; rank < 256; rank++) {
        char byte = (char)byte_of_rank(rank);
        l->scratch.n = 0;
        put_symbols(&l->scratch, (Str){&byte, 1});
        Str symbol = {l->scratch.s, l->scratch.n};
        if (!l->vocab) add_entry(l, str_copy(&l->arena, symbol), (Entry){.id = l->next_id++});
        int i = strset_find(&l->names, symbol);
        if (i < 0)
            return error_set(err, STATUS_DATA, "%s: there is no token \"%.*s\" for byte %d: byte-level files have all 256",
                             l->vocab, STR_ARG(symbol), (unsigned char)byte);
        l->entries[i].made = true;
        l->t->byte_id[(unsigned char)byte] = l->entries[i].id;
    }
    return true;
}

/* One line "left right" of the merges. */
static bool load_merge(Loader *l, Str line, long number, Error *err) {
    const char *blank = memchr(line.s, ' ', line.n);
    size_t n = blank ? (size_t)(blank - line.s) : 0;
    if (n == 0 || n + 1 == line.n || memchr(blank + 1, ' ', line.n - n - 1))
        return error_set(err, STATUS_DATA, "%s:%ld: a merge must be two tokens with one blank in between", l->merges, number);
    l->scratch.n = 0;
    buf_put(&l->scratch, line.s, n);
    buf_put(&l->scratch, blank + 1, line.n - n - 1);
    Str names[3] = {{line.s, n}, {blank + 1, line.n - n - 1}, {l->scratch.s, l->scratch.n}};
    if (!read_symbols(names[2], NULL))
        return error_set(err, STATUS_DATA, "%s:%ld: a merge must be spelled in GPT-2's byte alphabet: this is another kind of "
                         "file, or damaged", l->merges, number);
    int found[3];
    for (int k = 0; k < 3; k++) {
        found[k] = strset_find(&l->names, names[k]);
        if (found[k] < 0 && k == 2 && !l->vocab) { /* ids in order of the merges */
            if (map_get(&l->by_id, (uint64_t)l->next_id) >= 0 || l->next_id >= MAX_ID)
                return error_set(err, STATUS_DATA, "%s:%ld: id %d of this merge is taken in tokenizer_config.json: add the "
                                 "vocab.json", l->merges, number, l->next_id);
            found[k] = l->names.n;
            add_entry(l, str_copy(&l->arena, names[k]), (Entry){.id = l->next_id++});
        }
        if (found[k] < 0) {
            Str s = shown(names[k]);
            return error_set(err, STATUS_DATA, "%s:%ld: token \"%.*s\" is not in %s: %s", l->merges, number, STR_ARG(s),
                             l->vocab ? l->vocab : "the lines before it",
                             l->vocab ? "the two files do not belong together, or one is cut short" : "lines are missing");
        }
    }
    const Entry *left = &l->entries[found[0]], *right = &l->entries[found[1]];
    Entry *result = &l->entries[found[2]];
    if (map_get(&l->t->ranks, pair_key(left->id, right->id)) >= 0)
        return error_set(err, STATUS_DATA, "%s:%ld: this merge is there twice: remove one", l->merges, number);
    result->made = true;
    /* A merge into a token that is declared special is kept for saving but never made: text must not become special. */
    if (!result->special) map_set(&l->t->ranks, pair_key(left->id, right->id), l->t->n_merges);
    add_merge(l->t, (Merge){left->id, right->id, result->id});
    return true;
}

static bool load_merges(Loader *l, Error *err) {
    if (!file_read(l->merges, &l->merges_text, err)) return false;
    const char *at = l->merges_text.s, *end = at + l->merges_text.n;
    for (long number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        Str line = {at, (size_t)((newline ? newline : end) - at)};
        at = newline ? newline + 1 : end;
        if (line.n > 0 && line.s[line.n - 1] == '\r') line.n--; /* a raw one is never part of a symbol */
        bool is_version = number == 1 && line.n >= 8 && memcmp(line.s, "#version", 8) == 0;
        if (line.n > 0 && !is_version && !load_merge(l, line, number, err)) return false;
    }
    return true;
}

/* What a value of tokenizer_config.json names: a string, or an object with the string as its content. */
static Str token_content(const Json *value) {
    if (value && value->type == JSON_OBJECT) value = json_get(value, "content");
    return value && value->type == JSON_STRING ? value->string : (Str){NULL, 0};
}

/* Declares a token special. id -1: whichever it has in the vocabulary, and nothing if it is not there. */
static bool declare_special(Loader *l, Str name, int id, Error *err) {
    int i = name.n ? strset_find(&l->names, name) : -1;
    if (i >= 0) {
        if (id >= 0 && l->entries[i].id != id) {
            Str s = shown(name);
            return error_set(err, STATUS_DATA, "%s: token \"%.*s\" has id %d here and %d in the vocabulary: make them equal",
                             l->config, STR_ARG(s), id, l->entries[i].id);
        }
        if (!l->entries[i].made) l->entries[i].special = true; /* a byte stays a byte */
        return true;
    }
    if (name.n == 0 || id < 0) return true;
    if (map_get(&l->by_id, (uint64_t)id) >= 0)
        return error_set(err, STATUS_DATA, "%s: added token %d has the id of another token: make it unique", l->config, id);
    add_entry(l, name, (Entry){.id = id, .special = true});
    return true;
}

static bool load_added_tokens(Loader *l, const Json *added, Error *err) {
    for (int k = 0; added && added->type == JSON_OBJECT && k < added->count; k++) {
        Str key = added->keys[k], content = token_content(&added->items[k]), s = shown(key);
        int id = 0;
        bool valid = key.n > 0 && key.n <= 8 && content.n > 0;
        for (size_t i = 0; valid && i < key.n; i++) {
            valid = key.s[i] >= '0' && key.s[i] <= '9';
            id = id * 10 + (key.s[i] - '0');
        }
        if (!valid || id > MAX_ID)
            return error_set(err, STATUS_DATA, "%s: added_tokens_decoder: \"%.*s\" must be an id from 0 to %d with an object "
                             "{\"content\": name}", l->config, STR_ARG(s), MAX_ID);
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
    const Json *root = read_object(l->config, &l->arena, &text, err);
    buf_free(&text);
    if (!root) return false;
    const Json *prefix = json_get(root, "add_prefix_space"), *more = json_get(root, "additional_special_tokens");
    if (prefix && prefix->type == JSON_BOOL && prefix->boolean)
        return error_set(err, STATUS_DATA, "%s: add_prefix_space true is not supported: use a tokenizer without it", l->config);
    if (!load_added_tokens(l, json_get(root, "added_tokens_decoder"), err)) return false;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        if (!declare_special(l, token_content(json_get(root, keys[k])), -1, err)) return false;
    for (int k = 0; more && more->type == JSON_ARRAY && k < more->count; k++)
        if (!declare_special(l, token_content(&more->items[k]), -1, err)) return false;
    if (json_get(root, "bos_token")) l->bos = token_content(json_get(root, "bos_token"));
    if (json_get(root, "eos_token")) l->eos = token_content(json_get(root, "eos_token"));
    return true;
}

static int compare_tokens(const void *a, const void *b) {
    const Token *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Turns the entries into the tokenizer's tokens, and refuses what looks like a cut merges.txt: without its merge a token
 * would never be used again, and nobody would notice. */
static bool finish_load(Loader *l, Error *err) {
    Tokenizer *t = l->t;
    t->tokens = mem_new((size_t)l->names.n, sizeof *t->tokens);
    for (int i = 0; i < l->names.n; i++) {
        Str name = l->names.v[i], s = shown(name);
        Entry *entry = &l->entries[i];
        bool hidden = false;
        for (size_t k = 0; k < name.n; k++) hidden = hidden || (unsigned char)name.s[k] >= 128;
        /* "<pad>" may well be special without any declaration; text such as "Ġthe" lost its merge. */
        if (!entry->made && !entry->special && hidden && read_symbols(name, NULL))
            return error_set(err, STATUS_DATA, "%s:%ld: no line of %s makes token \"%.*s\": the two files do not belong "
                             "together, or one is cut short", l->vocab, entry_line(&l->vocab_text, i), l->merges, STR_ARG(s));
        bool special = entry->special || !entry->made;
        l->scratch.n = 0;
        if (special) buf_put(&l->scratch, name.s, name.n);
        else read_symbols(name, &l->scratch);
        t->tokens[i] = (Token){entry->id, special, str_copy(&t->arena, (Str){l->scratch.s, l->scratch.n})};
    }
    t->n_tokens = l->names.n;
    qsort(t->tokens, (size_t)t->n_tokens, sizeof *t->tokens, compare_tokens);
    for (int i = 0; i < t->n_tokens; i++)
        if (t->tokens[i].special) ints_put(&t->specials, i);
    t->bos = find_special(t, l->bos);
    t->eos = find_special(t, l->eos);
    return true;
}

static bool load_all(Loader *l, const char *folder, Error *err) {
    if (!l->merges)
        return error_set(err, STATUS_IO, "%s: has neither merges.txt nor vocab.bpe: name a folder with GPT-2's tokenizer files",
                         folder);
    if ((l->vocab && !load_vocab(l, err)) || !load_bytes(l, err)) return false;
    /* A merge must know whether its result is special, so the configuration goes first. */
    if ((l->config && !load_config(l, err)) || !load_merges(l, err)) return false;
    if (!l->vocab && strset_find(&l->names, str("<|endoftext|>")) < 0) {
        if (map_get(&l->by_id, (uint64_t)l->next_id) >= 0)
            return error_set(err, STATUS_DATA, "%s: without a vocab.json id %d is that of <|endoftext|>: add the vocab.json",
                             l->config, l->next_id);
        add_entry(l, str("<|endoftext|>"), (Entry){.id = l->next_id});
    }
    return finish_load(l, err);
}

/* The path of the first name that exists in the folder, or NULL. */
static char *find_file(const char *folder, const char *name, const char *other_name) {
    char *path = path_join(folder, name);
    if (file_exists(path)) return path;
    free(path);
    return other_name ? find_file(folder, other_name, NULL) : NULL;
}

Tokenizer *tokenizer_load(const char *folder, Error *err) {
    Loader l = {.t = tokenizer_new(), .bos = str("<|endoftext|>"), .eos = str("<|endoftext|>")}; /* where nothing is said */
    l.vocab = find_file(folder, "vocab.json", "encoder.json");
    l.merges = find_file(folder, "merges.txt", "vocab.bpe");
    l.config = find_file(folder, "tokenizer_config.json", NULL);
    bool ok = load_all(&l, folder, err);
    arena_free(&l.arena);
    strset_free(&l.names);
    free(l.entries);
    free(l.by_id.slots);
    free(l.vocab);
    free(l.merges);
    free(l.config);
    buf_free(&l.vocab_text);
    buf_free(&l.merges_text);
    buf_free(&l.scratch);
    if (ok) return l.t;
    tokenizer_free(l.t);
    return NULL;
}

/* ---- saving ---- */

static void put_spelling(Buf *b, const Token *token) {
    if (token->special) buf_put(b, token->bytes.s, token->bytes.n);
    else put_symbols(b, token->bytes);
}

static void put_vocab(Buf *b, const Tokenizer *t) {
    Buf name = {0};
    for (int i = 0; i < t->n_tokens; i++) {
        name.n = 0;
        put_spelling(&name, &t->tokens[i]);
        buf_puts(b, i ? ",\n" : "{\n");
        json_put_string(b, (Str){name.s, name.n});
        buf_printf(b, ": %d", t->tokens[i].id);
    }
    buf_puts(b, "\n}\n");
    buf_free(&name);
}

static void put_merges(Buf *b, const Tokenizer *t) {
    buf_puts(b, "#version: 0.2\n");
    for (int i = 0; i < t->n_merges; i++) {
        put_spelling(b, find_token(t, t->merges[i].left));
        buf_putc(b, ' ');
        put_spelling(b, find_token(t, t->merges[i].right));
        buf_putc(b, '\n');
    }
}

/* "key": "name" of the token, or null: without the key, readers would put in GPT-2's own <|endoftext|>. */
static void put_token_key(Buf *b, const char *key, const Tokenizer *t, int id) {
    buf_printf(b, "  \"%s\": ", key);
    if (id >= 0) json_put_string(b, find_token(t, id)->bytes);
    else buf_puts(b, "null");
    buf_puts(b, ",\n");
}

static void put_config(Buf *b, const Tokenizer *t) {
    buf_puts(b, "{\n  \"add_prefix_space\": false,\n  \"added_tokens_decoder\": {");
    for (int i = 0; i < t->specials.n; i++) {
        const Token *token = &t->tokens[t->specials.v[i]];
        buf_printf(b, "%s    \"%d\": {\"content\": ", i ? ",\n" : "\n", token->id);
        json_put_string(b, token->bytes);
        buf_puts(b, ", \"lstrip\": false, \"normalized\": false, \"rstrip\": false, \"single_word\": false, "
                    "\"special\": true}");
    }
    buf_puts(b, t->specials.n ? "\n  },\n" : "},\n");
    buf_puts(b, "  \"additional_special_tokens\": [");
    for (int i = 0, others = 0; i < t->specials.n; i++) {
        const Token *token = &t->tokens[t->specials.v[i]];
        if (token->id == t->bos || token->id == t->eos) continue;
        if (others++) buf_puts(b, ", ");
        json_put_string(b, token->bytes);
    }
    buf_puts(b, "],\n");
    put_token_key(b, "bos_token", t, t->bos);
    put_token_key(b, "eos_token", t, t->eos);
    put_token_key(b, "unk_token", t, -1);
    buf_puts(b, "  \"clean_up_tokenization_spaces\": false,\n  \"tokenizer_class\": \"GPT2Tokenizer\"\n}\n");
}

static bool save_text(const char *folder, const char *name, const Buf *text, Error *err) {
    char *path = path_join(folder, name);
    bool ok = file_write(path, text->s, text->n, err);
    free(path);
    return ok;
}

bool tokenizer_save(const Tokenizer *t, const char *folder, Error *err) {
    Buf vocab = {0}, merges = {0}, config = {0};
    put_vocab(&vocab, t);
    put_merges(&merges, t);
    put_config(&config, t);
    bool ok = save_text(folder, "vocab.json", &vocab, err) && save_text(folder, "merges.txt", &merges, err) &&
              save_text(folder, "tokenizer_config.json", &config, err);
    buf_free(&vocab);
    buf_free(&merges);
    buf_free(&config);
    return ok;
}

/* ---- the template ---- */

const Template TEMPLATE_RECIPE = {"<bos>", "<q>", "<a> ", "<e>"};
const char *const TEMPLATE_RECIPE_SPECIALS[4] = {"<bos>", "<q>", "<a>", "<e>"};

/* Weaves template text and fields into ids: ordinary text collects in `open` until a special token or the end closes it, so
 * that a field is encoded together with the text that touches it. */
typedef struct {
    Tokenizer *t;
    IntBuf *ids;
    Buf open;
} Weave;

/* Encodes what is open, before a special token or at the end. */
static void weave_close(Weave *w) {
    tokenizer_encode(w->t, w->open.s, w->open.n, w->ids);
    w->open.n = 0;
}

/* Template text: names of special tokens, the longest that fits, become the tokens. */
static void weave_form(Weave *w, Str s) {
    for (size_t at = 0; at < s.n;) {
        const Token *best = NULL;
        for (int i = 0; i < w->t->specials.n; i++) {
            const Token *token = &w->t->tokens[w->t->specials.v[i]];
            if (token->bytes.n <= s.n - at && memcmp(token->bytes.s, s.s + at, token->bytes.n) == 0 &&
                (!best || token->bytes.n > best->bytes.n))
                best = token;
        }
        if (best) {
            weave_close(w);
            ints_put(w->ids, best->id);
        } else buf_putc(&w->open, s.s[at]);
        at += best ? best->bytes.n : 1;
    }
}

static void weave_end(Weave *w) {
    weave_close(w);
    buf_free(&w->open);
}

/* The blank that belongs to the completion. */
static bool ends_in_blank(Str s) { return s.n > 0 && s.s[s.n - 1] == ' '; }

void template_bos(const Template *form, Tokenizer *t, IntBuf *ids) {
    Weave w = {t, ids, {0}};
    weave_form(&w, str(form->bos));
    weave_end(&w);
}

void template_prompt(const Template *form, Tokenizer *t, Str prompt, IntBuf *ids) {
    Weave w = {t, ids, {0}};
    Str answer_prefix = str(form->answer_prefix);
    if (ends_in_blank(answer_prefix)) answer_prefix.n--;
    weave_form(&w, str(form->prompt_prefix));
    buf_put(&w.open, prompt.s, prompt.n); /* as it is: a prompt cannot spell a special token */
    weave_form(&w, answer_prefix);
    weave_end(&w);
}

void template_answer(const Template *form, Tokenizer *t, Str completion, IntBuf *ids) {
    Weave w = {t, ids, {0}};
    if (ends_in_blank(str(form->answer_prefix))) buf_putc(&w.open, ' ');
    buf_put(&w.open, completion.s, completion.n);
    weave_form(&w, str(form->example_end));
    weave_end(&w);
}

void template_bare_prompt(Tokenizer *t, Str prompt, IntBuf *ids) { tokenizer_encode(t, prompt.s, prompt.n, ids); }

static char *new_string(Str s) {
    char *copy = mem_new(s.n + 1, 1);
    if (s.n) memcpy(copy, s.s, s.n);
    return copy;
}

/* One of the four strings of template.json. */
static bool read_form_key(char **to, const Json *root, const char *key, const char *path, Error *err) {
    const Json *value = json_get(root, key);
    if (!value || value->type != JSON_STRING || (value->string.n && memchr(value->string.s, 0, value->string.n)))
        return error_set(err, STATUS_DATA, "%s: %s must be a string (without U+0000): a template has bos, prompt_prefix, "
                         "answer_prefix, example_end", path, key);
    *to = new_string(value->string);
    return true;
}

static bool read_form(Template *form, const char *path, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    const Json *root = read_object(path, &arena, &text, err);
    bool ok = root && read_form_key(&form->bos, root, "bos", path, err) &&
              read_form_key(&form->prompt_prefix, root, "prompt_prefix", path, err) &&
              read_form_key(&form->answer_prefix, root, "answer_prefix", path, err) &&
              read_form_key(&form->example_end, root, "example_end", path, err);
    if (ok && form->example_end[0] == 0)
        ok = error_set(err, STATUS_DATA, "%s: example_end must not be empty: it marks where an answer stops", path);
    arena_free(&arena);
    buf_free(&text);
    return ok;
}

bool template_load(Template *form, const Tokenizer *t, const char *folder, Error *err) {
    static const char *const gpt2[4] = {"", "", "\n", "<|endoftext|>"};
    *form = (Template){0};
    char *path = path_join(folder, "template.json");
    bool ok = true;
    if (file_exists(path)) ok = read_form(form, path, err);
    else if (tokenizer_special(t, gpt2[3]) < 0)
        ok = error_set(err, STATUS_DATA, "%s: is not there, and the tokenizer has no <|endoftext|> to do without: add a "
                       "template.json with bos, prompt_prefix, answer_prefix, example_end", path);
    else
        *form = (Template){new_string(str(gpt2[0])), new_string(str(gpt2[1])), new_string(str(gpt2[2])),
                           new_string(str(gpt2[3]))};
    if (!ok) template_free(form);
    free(path);
    return ok;
}

bool template_save(const Template *form, const char *folder, Error *err) {
    const char *const keys[4] = {"bos", "prompt_prefix", "answer_prefix", "example_end"};
    const char *const values[4] = {form->bos, form->prompt_prefix, form->answer_prefix, form->example_end};
    Buf text = {0};
    for (int i = 0; i < 4; i++) {
        buf_printf(&text, "%s  \"%s\": ", i ? ",\n" : "{\n", keys[i]);
        json_put_string(&text, str(values[i]));
    }
    buf_puts(&text, "\n}\n");
    bool ok = save_text(folder, "template.json", &text, err);
    buf_free(&text);
    return ok;
}

void template_free(Template *form) {
    free(form->bos);
    free(form->prompt_prefix);
    free(form->answer_prefix);
    free(form->example_end);
    *form = (Template){0};
}
