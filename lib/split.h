/* split: cuts text into pieces before byte-pair encoding.
 *
 * A tokenizer first cuts its text into pieces, about one a word, and no token crosses from one
 * piece into the next. Each family of models has its own rule. The rules come as regular
 * expressions, and are written here by hand.
 *
 * Usage:
 *   const char *s = "it's 2024";
 *   size_t n = strlen(s);
 *   for (size_t at = 0, length; at < n; at += length) {
 *       length = split_piece(SPLIT_QWEN, s + at, n - at);
 *       printf("[%.*s]", (int)length, s + at);                 // [it]['s][ ][2][0][2][4]
 *   }
 */
#ifndef SPLIT_H
#define SPLIT_H

#include <stddef.h>
#include <string.h>

/* The rules, by the family that has each first. */
typedef enum {
    SPLIT_GPT2,   /* words with the blank before them, any number of digits */
    SPLIT_DIGITS, /* SmolLM2: each digit alone, and GPT-2's rule between digits */
    SPLIT_LLAMA3, /* up to three digits; line breaks are apart */
    SPLIT_QWEN,   /* the same with one digit */
    SPLIT_WORDS,  /* SentencePiece: blanks and the word after them. It gives the ids of SPLIT_NONE
                     where no token has a blank after another character */
    SPLIT_NONE,   /* SentencePiece: all text is one piece */
    SPLIT_COUNT
} Splitter;

/* A longer piece is cut, so that positions in it fit an int. */
enum { SPLIT_MOST = 1 << 28 };

/* The length in bytes of the first piece of s; n >= 1. A byte that is not UTF-8 counts as a
 * character that is neither letter, number nor white space. Pieces take time linear in the
 * text. */
size_t split_piece(Splitter splitter, const char *s, size_t n);

#endif
