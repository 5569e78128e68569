/* unicode: the little of Unicode that GPT-2's splitting rule asks for: is a character a letter, a number or white space?
 *
 *   uint32_t c;
 *   for (size_t i = 0; i < n; i += (size_t)length) {
 *       length = unicode_decode(s + i, n - i, &c);
 *       if (length == 0) { not UTF-8 here; step over one byte }
 *       else if (unicode_class(c) == UNICODE_LETTER) ...
 *   }
 *
 * The tables are those of Unicode 15.0.
 */
#ifndef UNICODE_H
#define UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* \p{L}, \p{N} and \s (the property White_Space) of regular expressions; no character is in two of them. */
typedef enum { UNICODE_OTHER, UNICODE_LETTER, UNICODE_NUMBER, UNICODE_SPACE } UnicodeClass;

UnicodeClass unicode_class(uint32_t c);

/* Reads the character at the start of n bytes: its length, 1 to 4, and its code in *c. 0, with *c untouched, if there is
 * none: n is 0 or the bytes are no UTF-8 (overlong forms, surrogates and codes above U+10FFFF are none). */
int unicode_decode(const char *s, size_t n, uint32_t *c);

#endif
