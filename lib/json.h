/* json: a strict JSON parser (RFC 8259) and a writer.
 *
 *   Arena arena = {0};
 *   JsonError where;
 *   const Json *root = json_parse(&arena, text, n, &where);
 *   if (!root) printf("line %ld, column %ld: %s\n", where.line, where.column, where.what);
 *   const Json *v = json_get(root, "vocab_size");
 *   if (v && v->type == JSON_NUMBER) use(v->number);
 *   arena_free(&arena);      // frees every value and string
 */
#ifndef JSON_H
#define JSON_H

#include "lib/util.h"

enum { JSON_MAX_DEPTH = 128 };

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } JsonType;

typedef struct Json Json;
struct Json {
    JsonType type;
    bool boolean;       /* JSON_BOOL */
    double number;      /* JSON_NUMBER */
    bool is_integer;    /* JSON_NUMBER: written without fraction and exponent, and within +-2^53 */
    Str string;         /* JSON_STRING: decoded UTF-8, may hold NUL; JSON_NUMBER: as written */
    int count;          /* JSON_ARRAY, JSON_OBJECT: how many */
    const Json *items;  /* [count] values */
    const Str *keys;    /* [count] JSON_OBJECT only, decoded, in file order, duplicates kept */
};

typedef struct {
    size_t offset;     /* bytes from the start of the text */
    long line, column; /* 1-based; a column is a character, not a byte */
    char what[128];    /* what is wrong */
} JsonError;

/* Parses one value that fills the whole text (white space around it allowed). Rejects what RFC 8259 rejects, a byte-order
 * mark, invalid UTF-8, lone surrogate escapes, numbers too large for a double (tiny ones become 0) and nesting deeper than
 * JSON_MAX_DEPTH. Memory is linear in n; what is returned lies in the arena alone: the text may be freed at once.
 * Decoded strings and numbers as written have a NUL behind them. NULL on error, with *where filled unless it is NULL. */
const Json *json_parse(Arena *arena, const char *text, size_t n, JsonError *where);
/* The same for the one value that starts at text[*at], behind white space; *at moves to the byte behind it. For long arrays
 * whose elements are wanted one by one. Errors count lines from the start of the text. On error *at stays. */
const Json *json_parse_at(Arena *arena, const char *text, size_t n, size_t *at, JsonError *where);
/* Reads a file that holds one JSON object. *text gets the file's contents. NULL with err set: status 4
 * if the file cannot be read, 3 with its line if it is something else. */
const Json *json_read_object(const char *path, Arena *arena, Buf *text, Error *err);

/* The value of a key, the last one if it is repeated; NULL if absent or if this is no object. */
const Json *json_get(const Json *object, const char *key);
/* The first key, in file order, that stood before in this object, or NULL. O(n log n). */
const Str *json_duplicate_key(Arena *scratch, const Json *object);

/* ---- writing, into a Buf ---- */

/* Quoted and escaped; also escapes '<' never: plain JSON. Malformed UTF-8 becomes U+FFFD, so that the output always parses. */
void json_put_string(Buf *b, Str s);
/* The shortest form that reads back as x (a digit longer at some powers of two); whole numbers below 2^53 have neither
 * exponent nor fraction; NaN and infinities become null. */
void json_put_number(Buf *b, double x);
/* The next member of an object that was opened with '{': a comma where one is due, key, value. NULL is null. */
void json_key_number(Buf *b, const char *key, double x);
void json_key_string(Buf *b, const char *key, const char *text);
/* Compact, members in their order, a number as it was written (or by json_put_number if its string is empty). */
void json_put_value(Buf *b, const Json *v);

#endif
