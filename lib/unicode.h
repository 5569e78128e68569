/* unicode: UTF-8, and the little of Unicode that GPT-2's splitting rule asks for.
 *
 * Every module that reads or writes UTF-8 uses these functions. Overlong forms, surrogates and
 * codes above U+10FFFF are not UTF-8. The tables of letters and numbers are those of Unicode 15.0.
 *
 * Usage:
 *   const char *s = "caf\xc3\xa9 7";
 *   size_t n = 7, letters = 0;
 *   for (size_t i = 0; i < n;) {
 *       uint32_t c;
 *       int length = unicode_decode(s + i, n - i, &c);
 *       if (length > 0 && unicode_class(c) == UNICODE_LETTER) letters++;
 *       i += length > 0 ? (size_t)length : 1;            // a byte that is not UTF-8: step over it
 *   }
 *   (void)letters;                                       // 4
 */
#ifndef UNICODE_H
#define UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* \p{L}, \p{N} and \s (the property White_Space) of regular expressions. They are disjoint. */
typedef enum { UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE } UnicodeClass;

UnicodeClass unicode_class(uint32_t c);
/* The small letter of a capital one in Latin, Greek, Cyrillic, Armenian and full-width Latin; any
 * other character itself. One character for one: what becomes two (as I with a dot) stays. */
uint32_t unicode_lower(uint32_t c);

/* Reads the character at the start of n bytes. Returns its length, 1 to 4, and its code in *c.
 * Returns 0 and leaves *c alone if n is 0 or the bytes are not UTF-8. */
int unicode_decode(const char *s, size_t n, uint32_t *c);
/* How many of the n > 0 bytes at s, where unicode_decode finds no character, are the beginning of
 * one, and at least 1: what one U+FFFD stands for, as in Python and Rust (Unicode, section 3.9). */
size_t unicode_broken(const char *s, size_t n);
/* The length of a byte-order mark at the start of n bytes: 3, or 0 without one. */
size_t unicode_mark(const char *s, size_t n);
/* Writes character c, which is not a surrogate, as UTF-8. Returns its length, 1 to 4. */
int unicode_encode(char to[4], uint32_t c);
/* Are all n bytes UTF-8? If not, *bad is the offset of the first malformed sequence (unless bad is
 * NULL). */
bool unicode_valid(const char *s, size_t n, size_t *bad);

/* Is it a control character, or a mark that hides or reorders text? */
bool unicode_hidden(uint32_t c);
/* How a foreign text is printed. Writes the character at the start of n > 0 bytes into `to`, and
 * its length there into *length; returns how many bytes of s it took. These are escaped:
 *
 * | character                                                  | becomes              |
 * |---|---|
 * | controls: U+0000..1F, U+7F, U+80..9F                       | \u001b               |
 * | marks that change the direction of text                    | \u202e               |
 * | line and paragraph separators, marks that have no width    | \u2028, \U000e0041   |
 * | a byte that is not UTF-8                                   | \x9f                 |
 *
 * Joiners (U+200C, U+200D) stay: words and emoji need them. A backslash stays too, so a text may
 * spell an escape itself. */
enum { UNICODE_SHOWN_MOST = 12 };
size_t unicode_show(const char *s, size_t n, char to[UNICODE_SHOWN_MOST], int *length);
/* The length of the longest start of s that has at most `most` bytes and does not end inside a
 * character. */
size_t unicode_cut(const char *s, size_t n, size_t most);

#endif
