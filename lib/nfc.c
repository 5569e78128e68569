/* The text is cut before each character that no earlier one can act on. A stretch between two cuts
 * is mostly one character, or a letter with its marks. Then, for each stretch,
 *
 *   1. each character is taken apart as far as it goes:       ệ                ->  e  ^  .
 *   2. marks are sorted by their combining class, stably:     e  ^230  .220    ->  e  .  ^
 *   3. each is put together with the last character of class 0, unless one between them has its
 *      class or a higher one:                                 e  .  ^          ->  ẹ  ^  ->  ệ
 *
 * Korean syllables are computed: there are 19 leading consonants, 21 vowels, and 27 trailing
 * consonants or none. */
#include "lib/nfc.h"

#include "lib/nfc_table.h"
#include "lib/unicode.h"

#include <stdlib.h>

#define COUNT(table) (sizeof(table) / sizeof *(table))

enum {
    SYLLABLE = 0xAC00,
    LEAD = 0x1100,
    VOWEL = 0x1161,
    TRAIL = 0x11A7, /* the one before the first */
    LEADS = 19,
    VOWELS = 21,
    TRAILS = 28, /* with none */
    SYLLABLES = LEADS * VOWELS * TRAILS
};

/* ---- the tables ---- */

static const NfcRange *find_range(const NfcRange *ranges, size_t n, uint32_t c) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < c) low = middle + 1;
        else high = middle;
    }
    return low < n && ranges[low].first <= c ? &ranges[low] : NULL;
}

/* Between U+3400 and U+9FFF are Chinese characters, which have class 0 and stay alone. */
static bool is_chinese(uint32_t c) { return c >= 0x3400 && c < 0xA000; }

static uint64_t class_of(uint32_t c) {
    if (c < 0x300 || is_chinese(c)) return 0;
    const NfcRange *range = find_range(NFC_CLASSES, COUNT(NFC_CLASSES), c);
    return range ? range->value : 0;
}

/* Can a character before it be put together with c? */
static bool is_second(uint32_t c) {
    return c >= 0x300 && !is_chinese(c) && find_range(NFC_SECONDS, COUNT(NFC_SECONDS), c);
}

/* A step of the decomposition of c, or NULL. */
static const NfcPair *find_pair(uint32_t c) {
    size_t low = 0, high = COUNT(NFC_PAIRS);
    if (c < 0xC0 || is_chinese(c)) return NULL;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (NFC_PAIRS[middle].code < c) low = middle + 1;
        else high = middle;
    }
    return low < COUNT(NFC_PAIRS) && NFC_PAIRS[low].code == c ? &NFC_PAIRS[low] : NULL;
}

/* The character that two make, or 0. */
static uint32_t compose(uint32_t first, uint32_t second) {
    if (first - LEAD < LEADS && second - VOWEL < VOWELS)
        return SYLLABLE + ((first - LEAD) * VOWELS + second - VOWEL) * TRAILS;
    if (first - SYLLABLE < SYLLABLES && (first - SYLLABLE) % TRAILS == 0 &&
        second - TRAIL - 1 < TRAILS - 1)
        return first + second - TRAIL;
    size_t low = 0, high = COUNT(NFC_COMPOSED);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const NfcPair *pair = &NFC_PAIRS[NFC_COMPOSED[middle]];
        if (pair->first < first || (pair->first == first && pair->second < second))
            low = middle + 1;
        else high = middle;
    }
    const NfcPair *pair = &NFC_PAIRS[NFC_COMPOSED[low < COUNT(NFC_COMPOSED) ? low : 0]];
    return pair->first == first && pair->second == second ? pair->code : 0;
}

/* Does nothing before c act on it, or on what it is made of? */
static bool starts_stretch(uint32_t c) {
    const NfcPair *pair;
    while ((pair = find_pair(c)) != NULL) c = pair->first;
    return class_of(c) == 0 && !is_second(c);
}

/* ---- a stretch ---- */

/* Characters that are taken apart: (class, place, code), of which a number orders as it should. */
typedef struct {
    uint64_t *v;
    size_t n, capacity;
} Stretch;

enum { PLACE_SHIFT = 21, CLASS_SHIFT = 56 };

static uint32_t code_of(uint64_t item) { return (uint32_t)(item & ((1 << PLACE_SHIFT) - 1)); }

static void add_code(Stretch *stretch, uint32_t c) {
    if (stretch->n == stretch->capacity) {
        stretch->capacity = stretch->capacity ? stretch->capacity * 2 : 16;
        stretch->v = mem_grow(stretch->v, stretch->capacity, sizeof *stretch->v);
    }
    stretch->v[stretch->n] = class_of(c) << CLASS_SHIFT | stretch->n << PLACE_SHIFT | c;
    stretch->n++;
}

/* Adds what c is made of. The first of a pair may be one itself, the second is none. */
static void add_apart(Stretch *stretch, uint32_t c) {
    uint32_t syllable = c - SYLLABLE;
    const NfcPair *pair = find_pair(c);
    if (syllable < SYLLABLES) {
        add_code(stretch, LEAD + syllable / TRAILS / VOWELS);
        add_code(stretch, VOWEL + syllable / TRAILS % VOWELS);
        if (syllable % TRAILS) add_code(stretch, TRAIL + syllable % TRAILS);
    } else if (pair) {
        add_apart(stretch, pair->first);
        if (pair->second) add_code(stretch, pair->second);
    } else add_code(stretch, c);
}

static int compare_items(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts each run of characters that have a class other than 0. */
static void sort_marks(Stretch *stretch) {
    for (size_t i = 0, end; i < stretch->n; i = end + 1) {
        for (end = i; end < stretch->n && stretch->v[end] >> CLASS_SHIFT; end++) continue;
        if (end > i + 1) qsort(stretch->v + i, end - i, sizeof *stretch->v, compare_items);
    }
}

/* Puts characters together and makes the stretch empty. */
static void end_stretch(Stretch *stretch, Buf *to) {
    size_t kept = 0, starter = 0;
    uint64_t last = 0; /* the class of the character before, if that is not the starter */
    sort_marks(stretch);
    for (size_t i = 0; i < stretch->n; i++) {
        uint64_t item = stretch->v[i], class = item >> CLASS_SHIFT;
        bool is_open = kept > 0 && (kept == starter + 1 || last < class);
        uint32_t made = is_open ? compose(code_of(stretch->v[starter]), code_of(item)) : 0;
        if (made) stretch->v[starter] = made;
        else {
            if (class == 0) starter = kept;
            stretch->v[kept++] = item;
            last = class;
        }
    }
    for (size_t i = 0; i < kept; i++) {
        char utf8[4];
        buf_put(to, utf8, (size_t)unicode_encode(utf8, code_of(stretch->v[i])));
    }
    stretch->n = 0;
}

/* ---- a text ---- */

bool nfc_is(const char *s, size_t n) {
    uint64_t last = 0, eight;
    for (size_t at = 0; at < n;) {
        if (n - at >= sizeof eight) { /* eight bytes below 0x80 */
            memcpy(&eight, s + at, sizeof eight);
            if ((eight & 0x8080808080808080u) == 0) {
                at += sizeof eight;
                last = 0;
                continue;
            }
        }
        if ((unsigned char)s[at] < 0x80) { /* and single ones, at the end of a line */
            at++;
            last = 0;
            continue;
        }
        uint32_t c = 0; /* also for a byte that is not UTF-8 */
        int length = unicode_decode(s + at, n - at, &c);
        uint64_t class = class_of(c);
        const NfcPair *pair = find_pair(c);
        if ((class > 0 && class < last) || is_second(c) ||
            (pair && compose(pair->first, pair->second) != c))
            return false;
        last = class;
        at += length > 0 ? (size_t)length : 1;
    }
    return true;
}

void nfc_put(Buf *to, const char *s, size_t n) {
    Stretch stretch = {0};
    for (size_t at = 0; at < n;) {
        uint32_t c;
        int length = unicode_decode(s + at, n - at, &c);
        if (length == 0 || starts_stretch(c)) end_stretch(&stretch, to);
        if (length > 0) add_apart(&stretch, c);
        else buf_putc(to, s[at]);
        at += length > 0 ? (size_t)length : 1;
    }
    end_stretch(&stretch, to);
    free(stretch.v);
}
