#include "lib/split.h"

#include "lib/unicode.h"

#include <stdbool.h>

/* The class of the first character and its length in bytes; n >= 1. */
static UnicodeClass class_at(const char *s, size_t n, size_t *length) {
    unsigned char first = (unsigned char)s[0];
    *length = 1;
    if (first < 0x80) return unicode_class(first);
    uint32_t c;
    int bytes = unicode_decode(s, n, &c);
    if (bytes == 0) return UNICODE_OTHER;
    *length = (size_t)bytes;
    return unicode_class(c);
}

/* Number of bytes at the start of s that are characters of one class. *last is where the last of
 * these characters starts. */
static size_t run_length(const char *s, size_t n, UnicodeClass class, size_t *last) {
    size_t at = 0, length;
    *last = 0;
    while (at < n && at < SPLIT_MOST && class_at(s + at, n - at, &length) == class) {
        *last = at;
        at += length;
    }
    return at;
}

/* The length of a contraction at the start of s, or 0. With `any_case` capital letters make one
 * too, and U+017F, the long s, which is an s in another case. */
static size_t contraction_length(const char *s, size_t n, bool any_case) {
    if (n < 2 || s[0] != '\'') return 0;
    int fold = any_case ? 32 : 0, a = s[1] | fold, b = n > 2 ? s[2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (any_case && n > 2 && s[1] == '\xc5' && s[2] == '\xbf') return 3;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* ---- GPT-2, SmolLM2 ---- */

/* GPT-2 cuts text by a regular expression, whose first alternative that fits is the next piece:
 *
 *     's|'t|'re|'ve|'m|'ll|'d      a contraction
 *     | ?\p{L}+                    letters, with at most one blank before them
 *     | ?\p{N}+                    numbers, likewise
 *     | ?[^\s\p{L}\p{N}]+          everything else that is not white space, likewise
 *     |\s+(?!\S)|\s+               white space, but its last character is left to a word after it
 *
 * With `digits_alone` the text is first cut around each number, as SmolLM2 does. A number then
 * ends the text before it: no blank goes with it, and white space before it is left whole. */
static size_t gpt2_piece(const char *s, size_t n, bool digits_alone) {
    size_t length = contraction_length(s, n, false), next, last;
    if (length) return length;
    size_t blank = s[0] == ' ' && n > 1;
    UnicodeClass class = class_at(s + blank, n - blank, &length);
    if (class == UNICODE_NUMBER && digits_alone) return blank ? 1 : length;
    if (class != UNICODE_SPACE) return blank + run_length(s + blank, n - blank, class, &last);
    /* White space: leave its last character to what follows, unless it is the only one. */
    length = run_length(s, n, UNICODE_SPACE, &last);
    bool is_end =
        length == n || (digits_alone && class_at(s + length, n - length, &next) == UNICODE_NUMBER);
    return !is_end && last > 0 ? last : length;
}

/* ---- Llama 3, Qwen ---- */

static bool is_break(char c) { return c == '\r' || c == '\n'; }

/* White space at the start of s: up to its last line break. Without a line break all of it, but its
 * last character is left to what follows, unless it is the only one. */
static size_t white_piece(const char *s, size_t n) {
    size_t last, length = run_length(s, n, UNICODE_SPACE, &last), at = length;
    while (at > 0 && !is_break(s[at - 1])) at--;
    if (at > 0) return at;
    return length < n && last > 0 ? last : length;
}

/* The regular expression of Llama 3, and of Qwen with one digit at most:
 *
 *     (?i:'s|'t|'re|'ve|'m|'ll|'d)   a contraction, also of capital letters
 *     |[^\r\n\p{L}\p{N}]?\p{L}+      letters, with one character before them: a blank, a quote
 *     |\p{N}{1,3}                    at most three numbers
 *     | ?[^\s\p{L}\p{N}]+[\r\n]*     everything else, with a blank before and line breaks after it
 *     |\s*[\r\n]+                    white space up to its last line break
 *     |\s+(?!\S)|\s+                 other white space, as in GPT-2's rule
 */
static size_t llama_piece(const char *s, size_t n, int most_digits) {
    size_t at = contraction_length(s, n, true), length, last;
    if (at) return at;
    UnicodeClass class = class_at(s, n, &length);
    if (class == UNICODE_LETTER) return run_length(s, n, UNICODE_LETTER, &last);
    if (class == UNICODE_NUMBER) {
        for (int digits = 0; digits < most_digits && at < n; digits++, at += length)
            if (class_at(s + at, n - at, &length) != UNICODE_NUMBER) break;
        return at;
    }
    size_t first = length, rest = n - first;
    UnicodeClass next = rest ? class_at(s + first, rest, &length) : UNICODE_SPACE;
    if (next == UNICODE_LETTER && !is_break(s[0]))
        return first + run_length(s + first, rest, UNICODE_LETTER, &last);
    if (class == UNICODE_SPACE && !(s[0] == ' ' && next == UNICODE_OTHER)) return white_piece(s, n);
    at = class == UNICODE_SPACE;
    at += run_length(s + at, n - at, UNICODE_OTHER, &last);
    while (at < n && at < SPLIT_MOST && is_break(s[at])) at++;
    return at;
}

/* ---- SentencePiece ---- */

/* A blank, or U+2581, which stands for one. Its length in bytes, or 0. */
static size_t blank_length(const char *s, size_t n) {
    if (s[0] == ' ') return 1;
    return n >= 3 && memcmp(s, "\xe2\x96\x81", 3) == 0 ? 3 : 0;
}

static size_t word_piece(const char *s, size_t n) {
    size_t at = 0, length;
    while (at < n && at < SPLIT_MOST && (length = blank_length(s + at, n - at)) > 0) at += length;
    while (at < n && at < SPLIT_MOST && blank_length(s + at, n - at) == 0) at++;
    return at;
}

size_t split_piece(Splitter splitter, const char *s, size_t n) {
    switch (splitter) {
    case SPLIT_DIGITS: return gpt2_piece(s, n, true);
    case SPLIT_LLAMA3: return llama_piece(s, n, 3);
    case SPLIT_QWEN: return llama_piece(s, n, 1);
    case SPLIT_WORDS: return word_piece(s, n);
    case SPLIT_NONE: return n < SPLIT_MOST ? n : SPLIT_MOST;
    case SPLIT_GPT2:
    case SPLIT_COUNT: break;
    }
    return gpt2_piece(s, n, false);
}
