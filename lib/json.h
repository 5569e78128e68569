/* json: a strict JSON parser (RFC 8259) and a writer.
 *
 * Usage:
 *   const char *text = "{\"vocab_size\": 512}";
 *   Arena arena = {0};
 *   JsonError where;
 *   const Json *root = json_parse(&arena, text, strlen(text), &where);
 *   if (!root) printf("line %ld, column %ld: %s\n", where.line, where.column, where.what);
 *   const Json *v = json_get(root, "vocab_size");
 *   if (v && v->type == JSON_NUMBER) printf("%g\n", v->number);      // 512
 *   arena_free(&arena);                                              // every value and string
 */
#ifndef JSON_H
#define JSON_H

#include "lib/util.h"

#include <string.h>

/* A value takes some 100 bytes and two bytes of text can make one, so a text has at most 2^20
 * values. */
enum { JSON_MAX_DEPTH = 128, JSON_MAX_VALUES = 1 << 20 };

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonType;

typedef struct Json Json;
struct Json {
    JsonType type;
    int count;         /* JSON_ARRAY, JSON_OBJECT: how many */
    bool boolean;      /* JSON_BOOL */
    bool is_integer;   /* JSON_NUMBER: no fraction, no exponent, within +-2^53 */
    double number;     /* JSON_NUMBER */
    Str string;        /* JSON_STRING: decoded, may hold NUL; JSON_NUMBER: as written */
    const Json *items; /* [count] values */
    const Str *keys;   /* [count] JSON_OBJECT: decoded, in file order, duplicates kept */
};

typedef struct {
    size_t offset;     /* bytes from the start of the text */
    long line, column; /* from 1; a column is a character, not a byte */
    char what[128];    /* what is wrong */
} JsonError;

/* Parses a text that is one value, with white space around it. Refuses what RFC 8259 refuses, and
 * also a byte-order mark, text that is not UTF-8, lone surrogate escapes, numbers too large for a
 * double (tiny ones become 0), nesting deeper than JSON_MAX_DEPTH, and more than JSON_MAX_VALUES.
 *
 * The result is in the arena alone, so the text may be freed at once. It takes memory linear in n.
 * Decoded strings and numbers as written have a NUL after them. NULL on error; *where says where,
 * unless it is NULL. */
const Json *json_parse(Arena *arena, const char *text, size_t n, JsonError *where);
/* The same with a smaller limit of values. */
const Json *json_parse_limited(Arena *arena, const char *text, size_t n, size_t values,
                               JsonError *where);
/* Parses the value that starts at text[*at], after white space, and moves *at after it. For long
 * arrays whose elements are wanted one by one. Lines of errors count from the start of the text. On
 * error *at stays. */
const Json *json_parse_at(Arena *arena, const char *text, size_t n, size_t *at, JsonError *where);
/* What a file of some kind has at most. */
typedef struct {
    size_t bytes, values;
} JsonLimits;
/* Reads a regular file that holds one JSON object. *text gets the file's contents. NULL with err
 * set: status 4 if the file cannot be read, 3, if possible with its line, if it is something
 * else. */
const Json *json_read_object(const char *path, JsonLimits most, Arena *arena, Buf *text,
                             Error *err);

/* The value of a key, the last one if it is repeated. NULL if it is absent, or if `object` is NULL
 * or not an object. */
const Json *json_get(const Json *object, const char *key);
/* A number of an object. NaN if there is none under that key, or no object. */
double json_number(const Json *object, const char *key);
/* The first key, in file order, that occurs earlier in the same object, or NULL. O(n log n). */
const Str *json_duplicate_key(Arena *scratch, const Json *object);

/* ---- writing, into a Buf ---- */

/* Quoted and escaped, so that it can go to a terminal (unicode_hidden). Bytes that are not UTF-8
 * become U+FFFD, so that the output always parses. */
void json_put_string(Buf *b, Str s);
/* The shortest form that reads back as x (at some powers of two one digit longer). Integers below
 * 2^53 have neither exponent nor fraction. NaN and infinities become null. */
void json_put_number(Buf *b, double x);
/* The next member of an object that was opened with '{': a comma if one is due, key, value. A NULL
 * text becomes null. */
void json_key_number(Buf *b, const char *key, double x);
void json_key_string(Buf *b, const char *key, const char *text);
/* Any value, compact, members in their order. A number is as it was written, or by json_put_number
 * if its string is empty. */
void json_put_value(Buf *b, const Json *v);

#endif
