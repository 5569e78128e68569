/* encode and decode: text to token ids and back, line by line from stdin to stdout. */
#include <string.h>

#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/text.h"
#include "program/commands.h"
#include "tokenizer.h"

/* Appends to `out` what becomes of one line. `number` counts from 1. */
typedef bool LineWork(Tokenizer *t, Str line, long number, Buf *out, Error *err);

/* Works on each line of stdin. If one of them is wrong, nothing is printed. */
static bool each_line(const Settings *s, LineWork *work, Error *err) {
    Tokenizer *t = tokenizer_load(s->tokenizer, err);
    if (!t) return false;
    Buf text = {0}, out = {0};
    bool ok = file_read("-", &text, err);
    long number = 1;
    for (size_t at = 0; ok && at < text.n; number++) {
        const char *line = text.s + at, *end = memchr(line, '\n', text.n - at);
        size_t n = end ? (size_t)(end - line) : text.n - at;
        ok = work(t, (Str){line, n}, number, &out, err);
        at += n + 1;
    }
    ok = ok && text_print(out.s, out.n, err);
    buf_free(&text);
    buf_free(&out);
    tokenizer_free(t);
    return ok;
}

/* Appends an id, which is at least 0. With buf_printf this takes longer than the encoding. */
static void put_id(Buf *out, int id) {
    char digits[16];
    int at = sizeof digits;
    do digits[--at] = (char)('0' + id % 10);
    while ((id /= 10) > 0);
    buf_put(out, digits + at, sizeof digits - (size_t)at);
}

static bool encode_line(Tokenizer *t, Str line, long number, Buf *out, Error *err) {
    (void)number, (void)err;
    IntBuf ids = {0};
    tokenizer_encode(t, line.s, line.n, &ids);
    buf_putc(out, '[');
    for (int i = 0; i < ids.n; i++) {
        if (i) buf_putc(out, ',');
        put_id(out, ids.v[i]);
    }
    buf_puts(out, "]\n");
    ints_free(&ids);
    return true;
}

bool command_encode(const Settings *s, Error *err) { return each_line(s, encode_line, err); }

static bool ids_of(const Json *array, IntBuf *ids) {
    if (!array || array->type != JSON_ARRAY) return false;
    for (int i = 0; i < array->count; i++) {
        const Json *v = &array->items[i];
        if (v->type != JSON_NUMBER || !v->is_integer || v->number < 0 || v->number > 1 << 24)
            return false;
        ints_put(ids, (int)v->number);
    }
    return true;
}

static bool decode_line(Tokenizer *t, Str line, long number, Buf *out, Error *err) {
    if (line.n == 0) return true;
    Arena arena = {0};
    IntBuf ids = {0};
    JsonError where;
    bool ok = true;
    if (!ids_of(json_parse(&arena, line.s, line.n, &where), &ids))
        ok = error_set(err, STATUS_DATA, "stdin:%ld: is not a JSON array of token ids, as [5,17]",
                       number);
    else if (!tokenizer_decode(t, ids.v, ids.n, out))
        ok = error_set(err, STATUS_DATA,
                       "stdin:%ld: has an id that is not in the vocabulary; ids are 0 to %d",
                       number, tokenizer_size(t) - 1);
    buf_putc(out, '\n');
    ints_free(&ids);
    arena_free(&arena);
    return ok;
}

bool command_decode(const Settings *s, Error *err) { return each_line(s, decode_line, err); }
