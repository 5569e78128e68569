/* TensorBoard's event files. */
#include "lib/tensorboard.h"

#include <string.h>

/* ---- numbers, little-endian on every machine ---- */

static void put_fixed(Buf *b, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++) buf_putc(b, (char)(x >> (8 * i) & 0xff));
}

/* Seven bits a byte, the lowest first; the eighth says that more follow. */
static void put_varint(Buf *b, uint64_t x) {
    for (; x >= 0x80; x >>= 7) buf_putc(b, (char)((x & 0x7f) | 0x80));
    buf_putc(b, (char)x);
}

/* ---- fields of a message: its number and its kind, then its value ---- */

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

static void put_key(Buf *b, int field, int kind) { put_varint(b, (uint64_t)((field << 3) | kind)); }

static void put_bytes(Buf *b, int field, const void *s, size_t n) {
    put_key(b, field, BYTES);
    put_varint(b, n);
    buf_put(b, s, n);
}

static void put_text(Buf *b, int field, const char *s) { put_bytes(b, field, s, strlen(s)); }

/* A message inside of a message. Empties it. */
static void put_message(Buf *b, int field, Buf *message) {
    put_bytes(b, field, message->s ? message->s : "", message->n);
    message->n = 0;
}

static void put_double(Buf *b, int field, double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_key(b, field, FIXED64);
    put_fixed(b, bits, 8);
}

static void put_float(Buf *b, int field, float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_key(b, field, FIXED32);
    put_fixed(b, bits, 4);
}

static void put_number(Buf *b, int field, int64_t x) {
    put_key(b, field, VARINT);
    put_varint(b, (uint64_t)x);
}

/* ---- records ---- */

static uint32_t masked(const void *s, size_t n) {
    uint32_t crc = crc32c(s, n, 0);
    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

static void put_record(Buf *b, const Buf *data) {
    size_t at = b->n;
    put_fixed(b, data->n, 8);
    uint32_t of_length = masked(b->s + at, 8);
    put_fixed(b, of_length, 4);
    buf_put(b, data->s, data->n);
    put_fixed(b, masked(data->s, data->n), 4);
}

/* Writes an event with this summary, and empties both. */
static void put_event(Buf *b, double wall_time, int64_t step, Buf *summary) {
    Buf event = {0};
    put_double(&event, 1, wall_time);
    put_number(&event, 2, step);
    put_message(&event, 5, summary);
    put_record(b, &event);
    buf_free(&event);
    buf_free(summary);
}

void tensorboard_begin(Buf *b, double wall_time) {
    Buf event = {0};
    put_double(&event, 1, wall_time);
    put_text(&event, 3, "brain.Event:2");
    put_record(b, &event);
    buf_free(&event);
}

void tensorboard_scalars(Buf *b, double wall_time, int64_t step, const TensorboardScalar *x,
                         int n) {
    Buf summary = {0}, value = {0};
    for (int i = 0; i < n; i++) {
        put_text(&value, 1, x[i].tag);
        put_float(&value, 2, (float)x[i].value);
        put_message(&summary, 1, &value);
    }
    put_event(b, wall_time, step, &summary);
    buf_free(&value);
}

void tensorboard_text(Buf *b, double wall_time, int64_t step, const char *tag, Str text) {
    enum { STRING = 7 }; /* DT_STRING */
    Buf summary = {0}, value = {0}, inner = {0}, outer = {0};
    put_text(&value, 1, tag);
    /* tensor: dtype, tensor_shape { dim { size: 1 } }, string_val */
    put_number(&inner, 1, 1);
    put_message(&outer, 2, &inner);
    buf_put(&inner, outer.s, outer.n);
    outer.n = 0;
    put_number(&outer, 1, STRING);
    put_message(&outer, 2, &inner);
    put_bytes(&outer, 8, text.s ? text.s : "", text.n);
    put_message(&value, 8, &outer);
    /* metadata: plugin_data { plugin_name: "text" } */
    put_text(&inner, 1, "text");
    put_message(&outer, 1, &inner);
    put_message(&value, 9, &outer);
    put_message(&summary, 1, &value);
    put_event(b, wall_time, step, &summary);
    buf_free(&value);
    buf_free(&inner);
    buf_free(&outer);
}
