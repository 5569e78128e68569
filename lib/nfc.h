/* nfc: Unicode's normalization form C, version 15.0.
 *
 * Some characters can be written in two ways: é as one character, or as e and a mark. Form C (UAX
 * #15) has the shorter one, and marks in one order. Bytes that are not UTF-8 stay as they are, and
 * what is on their two sides does not meet.
 *
 * Usage:
 *   const char *s = "cafe\xcc\x81";
 *   Buf text = {0};
 *   if (!nfc_is(s, strlen(s))) nfc_put(&text, s, strlen(s));       // "caf\xc3\xa9"
 *   buf_free(&text);
 */
#ifndef NFC_H
#define NFC_H

#include "lib/util.h"

#include <string.h>

/* A quick look: are the n bytes in form C for sure? False also for text that only a slower look
 * would find in form C. All text below U+0300 is. */
bool nfc_is(const char *s, size_t n);
/* Appends the form C of n bytes, in O(n log n) time. */
void nfc_put(Buf *to, const char *s, size_t n);

#endif
