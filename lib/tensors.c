#include "lib/tensors.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/progress.h"
#include "lib/unicode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char METADATA[] = "__metadata__", DATA_SUM[] = "crc32c",
                  HEADER_SUM[] = "header_crc32c";

enum { LENGTH_BYTES = 8, SUM_DIGITS = 8 };
/* Values of a header of n bytes. A tensor needs 8 values and some 75 bytes. */
static size_t values_most(size_t n) { return (1 << 14) + n / 9; }

/* Every type of the format, in the order in which writers sort: descending alignment. */
static const struct {
    char name[8];
    size_t size;
    TensorType type;
} TYPES[] = {
    {"U64", 8, TENSOR_OTHER}, {"I64", 8, TENSOR_I64},       {"F64", 8, TENSOR_F64},
    {"F32", 4, TENSOR_F32},   {"U32", 4, TENSOR_OTHER},     {"I32", 4, TENSOR_I32},
    {"BF16", 2, TENSOR_BF16}, {"F16", 2, TENSOR_F16},       {"U16", 2, TENSOR_OTHER},
    {"I16", 2, TENSOR_OTHER}, {"F8_E4M3", 1, TENSOR_OTHER}, {"F8_E5M2", 1, TENSOR_OTHER},
    {"I8", 1, TENSOR_OTHER},  {"U8", 1, TENSOR_OTHER},      {"BOOL", 1, TENSOR_OTHER},
};
enum { TYPE_COUNT = sizeof TYPES / sizeof TYPES[0] };

/* ---- reading ---- */

enum { CHUNK_BYTES = 1 << 18 }; /* what one read or write moves; a multiple of each type's size */

struct TensorSource {
    FileReader in;
    Error err;   /* of a read for tensors_value */
    uint64_t at; /* position of the piece in the file */
    size_t n;    /* its bytes; 0: there is none */
    unsigned char piece[CHUNK_BYTES];
};

typedef struct {
    TensorFile *file;
    Buf top; /* the file up to the tensors: the length field and the JSON text */
    Error *err;
} HeaderReader;

static uint64_t size_of(const HeaderReader *r) { return r->file->source->in.size; }

static bool damaged(const HeaderReader *r, const char *format, ...) PRINTF_LIKE(2, 3);
static bool damaged(const HeaderReader *r, const char *format, ...) {
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(r->err, STATUS_DATA,
                     "%s: damaged, or not a safetensors file: %s; get or write it again",
                     r->file->path, what);
}

/* A name as messages show it. Names come from the file and may be long. */
static Str name_shown(Str name) { return (Str){name.s, unicode_cut(name.s, name.n, 80)}; }

/* An unsigned integer, written as digits alone and at most 2^53. No file is larger. */
static bool unsigned_integer(const Json *v, int64_t *out) {
    if (v->type != JSON_NUMBER || !v->is_integer || v->string.s[0] == '-') return false;
    *out = (int64_t)v->number;
    return true;
}

static bool checked_multiply(size_t a, size_t b, size_t *product) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *product = a * b;
    return true;
}

static bool parse_shape(const HeaderReader *r, TensorInfo *t, const Json *shape) {
    if (!shape || shape->type != JSON_ARRAY)
        return damaged(r, "tensor '%.*s' has no shape", STR_ARG(name_shown(t->name)));
    if (shape->count > TENSOR_MAX_RANK)
        return damaged(r, "tensor '%.*s' has %d dimensions, at most %d can be read",
                       STR_ARG(name_shown(t->name)), shape->count, (int)TENSOR_MAX_RANK);
    t->rank = shape->count;
    t->elements = 1;
    for (int i = 0; i < shape->count; i++) {
        if (!unsigned_integer(&shape->items[i], &t->shape[i]))
            return damaged(r, "tensor '%.*s': dimension %d is not an unsigned integer",
                           STR_ARG(name_shown(t->name)), i + 1);
        if ((uint64_t)t->shape[i] > SIZE_MAX ||
            !checked_multiply(t->elements, (size_t)t->shape[i], &t->elements))
            return damaged(r, "tensor '%.*s': its shape overflows", STR_ARG(name_shown(t->name)));
    }
    return true;
}

/* Fills everything but its place in the file. *begin and *end are the offsets as written. They are
 * compared with those of the neighbors later. */
static bool parse_tensor(const HeaderReader *r, TensorInfo *t, const Json *v, size_t *begin,
                         size_t *end) {
    if (v->type != JSON_OBJECT)
        return damaged(r, "tensor '%.*s' is not an object", STR_ARG(name_shown(t->name)));
    const Str *twice = json_duplicate_key(&r->file->arena, v);
    if (twice)
        return damaged(r, "tensor '%.*s' has '%.*s' twice", STR_ARG(name_shown(t->name)),
                       STR_ARG(name_shown(*twice)));
    const Json *type = json_get(v, "dtype"), *offsets = json_get(v, "data_offsets");
    if (!type || type->type != JSON_STRING)
        return damaged(r, "tensor '%.*s' has no dtype", STR_ARG(name_shown(t->name)));
    int k = 0;
    while (k < TYPE_COUNT && !str_is(type->string, TYPES[k].name)) k++;
    if (k == TYPE_COUNT)
        return damaged(r, "tensor '%.*s': unknown dtype '%.*s'", STR_ARG(name_shown(t->name)),
                       STR_ARG(name_shown(type->string)));
    t->type = TYPES[k].type;
    t->type_name = type->string;
    if (!parse_shape(r, t, json_get(v, "shape"))) return false;
    int64_t from, to;
    if (!offsets || offsets->type != JSON_ARRAY || offsets->count != 2 ||
        !unsigned_integer(&offsets->items[0], &from) ||
        !unsigned_integer(&offsets->items[1], &to) || from > to || (uint64_t)to > SIZE_MAX)
        return damaged(r, "tensor '%.*s': data_offsets is not a pair [begin,end]",
                       STR_ARG(name_shown(t->name)));
    *begin = (size_t)from;
    *end = (size_t)to;
    if (!checked_multiply(t->elements, TYPES[k].size, &t->size))
        return damaged(r, "tensor '%.*s': its shape overflows", STR_ARG(name_shown(t->name)));
    if (t->size != *end - *begin)
        return damaged(r, "tensor '%.*s' takes %zu bytes by its shape, %zu by its offsets",
                       STR_ARG(name_shown(t->name)), t->size, *end - *begin);
    return true;
}

static bool parse_metadata(const HeaderReader *r, const Json *v) {
    if (v->type != JSON_OBJECT) return damaged(r, "%s is not an object", METADATA);
    const Str *twice = json_duplicate_key(&r->file->arena, v);
    if (twice) return damaged(r, "%s has '%.*s' twice", METADATA, STR_ARG(name_shown(*twice)));
    Str *values = arena_new(&r->file->arena, (size_t)v->count, sizeof *values);
    for (int i = 0; i < v->count; i++) {
        if (v->items[i].type != JSON_STRING)
            return damaged(r, "%s: '%.*s' is not a string", METADATA,
                           STR_ARG(name_shown(v->keys[i])));
        values[i] = v->items[i].string;
    }
    r->file->metadata_count = v->count;
    r->file->metadata_keys = v->keys;
    r->file->metadata_values = values;
    return true;
}

/* A tensor before the list is sorted by offsets. */
typedef struct {
    size_t begin, end;
    int place; /* in the header */
    TensorInfo info;
} TensorEntry;

static int compare_entries(const void *a, const void *b) {
    const TensorEntry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    /* An empty tensor comes before the one that starts at the same byte. */
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return x->place - y->place;
}

/* The tensors must cover the data exactly, without holes or overlaps. So the file has no room for
 * anything that another program would read differently. */
static bool check_cover(const HeaderReader *r, const TensorEntry *entries, int count) {
    uint64_t data = size_of(r) - r->top.n;
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        Str name = name_shown(entries[i].info.name);
        if (entries[i].begin != at)
            return damaged(r, "tensor '%.*s' starts at byte %zu, but the one before ends at %zu",
                           STR_ARG(name), entries[i].begin, at);
        at = entries[i].end;
        if (at > data)
            return damaged(r, "tensor '%.*s' ends at byte %zu of the data, the file at %llu",
                           STR_ARG(name), at, (unsigned long long)data);
    }
    return at == data || damaged(r, "%llu bytes after the last tensor belong to none",
                                 (unsigned long long)(data - at));
}

static bool parse_header(const HeaderReader *r) {
    TensorFile *file = r->file;
    JsonError where;
    const char *text = r->top.s + LENGTH_BYTES;
    size_t n = r->top.n - LENGTH_BYTES;
    if (n == 0 || text[0] != '{') return damaged(r, "its header does not start with {");
    const Json *root = json_parse_limited(&file->arena, text, n, values_most(n), &where);
    if (!root)
        return damaged(r, "its header, character %ld of line %ld: %s", where.column, where.line,
                       where.what);
    const Str *twice = json_duplicate_key(&file->arena, root);
    if (twice)
        return damaged(r, "the name '%.*s' is there twice in its header",
                       STR_ARG(name_shown(*twice)));
    TensorEntry *entries = arena_new(&file->arena, (size_t)root->count, sizeof *entries);
    int count = 0;
    for (int i = 0; i < root->count; i++) {
        if (str_is(root->keys[i], METADATA)) {
            if (!parse_metadata(r, &root->items[i])) return false;
            continue;
        }
        TensorEntry *e = &entries[count++];
        e->place = i;
        e->info.name = root->keys[i];
        if (!parse_tensor(r, &e->info, &root->items[i], &e->begin, &e->end)) return false;
    }
    if (count > 1) qsort(entries, (size_t)count, sizeof *entries, compare_entries);
    if (!check_cover(r, entries, count)) return false;
    file->count = count;
    file->tensors = arena_new(&file->arena, (size_t)count, sizeof *file->tensors);
    for (int i = 0; i < count; i++) {
        file->tensors[i] = entries[i].info;
        file->tensors[i].source = file->source;
        file->tensors[i].at = r->top.n + entries[i].begin;
    }
    return true;
}

/* The offset of the digits of the header's own checksum among the first n bytes, or n. The text
 * that it looks for cannot occur inside a string, where its quotes would be escaped. */
static size_t find_header_sum(const char *s, size_t n) {
    char key[32];
    size_t length = (size_t)snprintf(key, sizeof key, "\"%s\":\"", HEADER_SUM);
    for (size_t i = 0; i + length + SUM_DIGITS <= n; i++)
        if (s[i] == '"' && memcmp(s + i, key, length) == 0) return i + length;
    return n;
}

/* The checksum of a header whose own digits, at offset `digits`, count as zeros. */
static uint32_t header_sum(const char *s, size_t n, size_t digits) {
    uint32_t sum = crc32c(s, digits, 0);
    sum = crc32c("00000000", SUM_DIGITS, sum);
    return crc32c(s + digits + SUM_DIGITS, n - digits - SUM_DIGITS, sum);
}

static bool sum_is(Str digits, uint32_t sum) {
    char text[16];
    snprintf(text, sizeof text, "%08lx", (unsigned long)sum);
    return str_is(digits, text);
}

/* The checksum of everything after the header. */
static bool rest_sum(const HeaderReader *r, uint32_t *sum) {
    TensorSource *source = r->file->source;
    *sum = 0;
    for (uint64_t at = r->top.n; at < source->in.size; at += source->n) {
        uint64_t left = source->in.size - at;
        source->at = at;
        source->n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
        if (!file_read_at(&source->in, at, source->piece, source->n, r->err)) return false;
        *sum = crc32c(source->piece, source->n, *sum);
    }
    return true;
}

static bool check_sums(const HeaderReader *r) {
    Str data = tensors_metadata(r->file, DATA_SUM), header = tensors_metadata(r->file, HEADER_SUM);
    if (!data.s && !header.s)
        return true; /* with only one, the other is empty, which no checksum equals */
    const char *text = r->top.s;
    size_t n = r->top.n, digits = find_header_sum(text, n);
    bool header_ok = digits < n && sum_is(header, header_sum(text, n, digits));
    uint32_t sum = 0;
    if (header_ok && !rest_sum(r, &sum)) return false;
    if (header_ok && sum_is(data, sum)) return true;
    return damaged(r,
                   "the checksum of its %s differs (a program that changes it on purpose should "
                   "drop %s and %s)",
                   header_ok ? "tensors" : "header", DATA_SUM, HEADER_SUM);
}

/* Reads the length field, checks it, and reads the header. */
static bool read_top(HeaderReader *r) {
    const FileReader *in = &r->file->source->in;
    unsigned char field[LENGTH_BYTES];
    if (in->size < LENGTH_BYTES)
        return damaged(r, "it has %llu bytes, the header's length alone takes %d",
                       (unsigned long long)in->size, (int)LENGTH_BYTES);
    if (!file_read_at(in, 0, field, LENGTH_BYTES, r->err)) return false;
    uint64_t length = 0, follow = in->size - LENGTH_BYTES;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | field[i];
    if (length > TENSOR_HEADER_MOST)
        return damaged(r, "its header claims %llu bytes, more than %d", (unsigned long long)length,
                       (int)TENSOR_HEADER_MOST);
    if (length > follow)
        return damaged(r, "its header claims %llu bytes, but only %llu follow",
                       (unsigned long long)length, (unsigned long long)follow);
    buf_put(&r->top, field, LENGTH_BYTES);
    buf_reserve(&r->top, (size_t)length);
    r->top.n += (size_t)length;
    r->top.s[r->top.n] = 0;
    return file_read_at(in, LENGTH_BYTES, r->top.s + LENGTH_BYTES, (size_t)length, r->err);
}

bool tensors_open(TensorFile *file, const char *path, Error *err) {
    *file = (TensorFile){.path = mem_new(strlen(path) + 1, 1),
                         .source = mem_new(1, sizeof *file->source)};
    strcpy(file->path, path);
    HeaderReader r = {.file = file, .err = err};
    bool ok = file_open(&file->source->in, path, err) && read_top(&r) && parse_header(&r) &&
              check_sums(&r);
    buf_free(&r.top);
    if (!ok) tensors_close(file);
    return ok;
}

void tensors_close(TensorFile *file) {
    free(file->path);
    if (file->source) file_close(&file->source->in);
    free(file->source);
    arena_free(&file->arena);
    *file = (TensorFile){0};
}

const TensorInfo *tensors_find(const TensorFile *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (str_is(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

Str tensors_metadata(const TensorFile *file, const char *key) {
    for (int i = 0; i < file->metadata_count; i++)
        if (str_is(file->metadata_keys[i], key)) return file->metadata_values[i];
    return (Str){NULL, 0};
}

/* ---- values ---- */

bool tensors_is_float(const TensorInfo *t) {
    return t->type == TENSOR_F32 || t->type == TENSOR_F64 || t->type == TENSOR_F16 ||
           t->type == TENSOR_BF16;
}

static uint32_t get16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }

static uint32_t get32(const unsigned char *p) { return get16(p) | get16(p + 2) << 16; }

static uint64_t get64(const unsigned char *p) { return get32(p) | (uint64_t)get32(p + 4) << 32; }

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static double double_of(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Half precision: 1 bit of sign, 5 of exponent, 10 of mantissa. Every value is a float, and its
 * subnormal numbers are normal floats. */
static float half_of(uint32_t bits) {
    uint32_t sign = (bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
    if (exponent == 0) {
        float x = (float)mantissa * 0x1p-24f;
        return sign ? -x : x;
    }
    uint32_t wide =
        exponent == 31 ? 255 : exponent + (127 - 15); /* infinity and NaN keep the mantissa */
    return float_of(sign | wide << 23 | mantissa << 13);
}

/* The value of one element's bytes. */
static double value_of(TensorType type, const unsigned char *p) {
    switch (type) {
    case TENSOR_F32: return (double)float_of(get32(p));
    case TENSOR_F64: return double_of(get64(p));
    case TENSOR_F16: return (double)half_of(get16(p));
    case TENSOR_BF16: return (double)float_of(get16(p) << 16);
    case TENSOR_I64: return (double)(int64_t)get64(p);
    case TENSOR_I32: return (double)(int32_t)get32(p);
    default: return NAN;
    }
}

/* Converts n elements of a float type. */
static void convert(TensorType type, const unsigned char *p, size_t n, real *out) {
    if (type == TENSOR_F32)
        for (size_t i = 0; i < n; i++) out[i] = (real)float_of(get32(p + 4 * i));
    else if (type == TENSOR_BF16)
        for (size_t i = 0; i < n; i++) out[i] = (real)float_of(get16(p + 2 * i) << 16);
    else
        for (size_t i = 0; i < n; i++)
            out[i] = (real)value_of(type, p + (type == TENSOR_F64 ? 8 : 2) * i);
}

/* Brings the piece of the file that starts at byte `from` of a tensor, or less of it if the tensor
 * ends there, into memory. */
static bool load_piece(const TensorInfo *t, size_t from, Error *err) {
    TensorSource *source = t->source;
    source->at = t->at + from;
    source->n = 0;
    size_t n = t->size - from < CHUNK_BYTES ? t->size - from : CHUNK_BYTES;
    if (!file_read_at(&source->in, source->at, source->piece, n, err)) return false;
    source->n = n;
    return true;
}

bool tensors_read(const TensorInfo *t, real *out, Error *err) {
    size_t each = t->elements ? t->size / t->elements : 1;
    for (size_t from = 0; from < t->size; from += t->source->n) {
        if (!load_piece(t, from, err)) return false;
        convert(t->type, t->source->piece, t->source->n / each, out + from / each);
    }
    return true;
}

bool tensors_read_bf16(const TensorInfo *t, uint16_t *out, bool *exact, Error *err) {
    size_t each = t->elements ? t->size / t->elements : 1;
    int lost = 0;
    for (size_t from = 0; from < t->size; from += t->source->n) {
        if (!load_piece(t, from, err)) return false;
        for (size_t i = 0; i < t->source->n / each; i++) {
            double x = value_of(t->type, t->source->piece + i * each);
            float near = (float)x;
            uint32_t bits;
            memcpy(&bits, &near, sizeof bits);
            out[from / each + i] = (uint16_t)(bits >> 16);
            lost |= (bits & 0xFFFF) != 0 || (double)near != x;
        }
    }
    *exact = !lost;
    return true;
}

bool tensors_bytes(const TensorInfo *t, size_t from, void *out, size_t n, Error *err) {
    return file_read_at(&t->source->in, t->at + from, out, n, err);
}

double tensors_value(const TensorInfo *t, size_t i) {
    TensorSource *source = t->source;
    size_t each = t->size / t->elements, from = i * each;
    uint64_t at = t->at + from;
    bool here = at >= source->at && at + each <= source->at + source->n;
    if (!here && !load_piece(t, from, &source->err)) return NAN;
    return value_of(t->type, source->piece + (at - source->at));
}

bool tensors_whole(const TensorFile *file, Error *err) {
    const Error *own = &file->source->err;
    return own->status == 0 || error_set(err, own->status, "%s", own->text);
}

/* ---- writing ---- */

typedef struct {
    const TensorOut *tensor;
    int type; /* index in TYPES, which is the order in the file */
    size_t elements;
} Planned;

static int compare_names(const void *a, const void *b) {
    return strcmp(((const Planned *)a)->tensor->name, ((const Planned *)b)->tensor->name);
}

static int compare_planned(const void *a, const void *b) {
    const Planned *x = a, *y = b;
    return x->type != y->type ? x->type - y->type : compare_names(a, b);
}

/* Puts the tensors into the order of the file. A failure here is a caller's mistake. It is better
 * to write no file than one that nothing can open. */
static bool plan_file(const char *path, const TensorOut *tensors, int count, Planned *plan,
                      Error *err) {
    for (int i = 0; i < count; i++) {
        const TensorOut *t = &tensors[i];
        Planned *p = &plan[i];
        *p = (Planned){t, 0, 1};
        while (p->type < TYPE_COUNT && TYPES[p->type].type != t->type) p->type++;
        bool ok = t->type != TENSOR_OTHER && p->type < TYPE_COUNT && t->rank >= 0 &&
                  t->rank <= TENSOR_MAX_RANK && strcmp(t->name, METADATA) != 0;
        for (int d = 0; ok && d < t->rank; d++) {
            ok = t->shape[d] >= 0;
            if (ok) p->elements = mem_mul(p->elements, (size_t)t->shape[d]);
        }
        if (!ok)
            return error_set(err, STATUS_FAILED,
                             "%s: tensor '%.80s' cannot be stored: bad type or shape", path,
                             t->name);
    }
    if (count > 1) qsort(plan, (size_t)count, sizeof *plan, compare_names);
    for (int i = 1; i < count; i++)
        if (strcmp(plan[i - 1].tensor->name, plan[i].tensor->name) == 0)
            return error_set(err, STATUS_FAILED, "%s: two tensors are named '%.80s'", path,
                             plan[i].tensor->name);
    if (count > 1) qsort(plan, (size_t)count, sizeof *plan, compare_planned);
    return true;
}

static bool check_pairs(const char *path, const char *const *pairs, int n_pairs, Error *err) {
    for (int i = 0; i < n_pairs; i++) {
        const char *key = pairs[2 * i];
        bool taken = strcmp(key, "format") == 0 || strcmp(key, DATA_SUM) == 0 ||
                     strcmp(key, HEADER_SUM) == 0;
        for (int j = 0; j < i; j++) taken |= strcmp(key, pairs[2 * j]) == 0;
        if (taken)
            return error_set(err, STATUS_FAILED, "%s: the metadata key '%.80s' is taken", path,
                             key);
    }
    return true;
}

/* Writes the next elements of a tensor, from `done` on, as the file's bytes to the chunk. Returns
 * how many elements. It shifts values, so the byte order of this machine does not matter. */
static size_t encode(const Planned *p, size_t done, unsigned char *chunk) {
    size_t size = TYPES[p->type].size, n = p->elements - done;
    if (n > CHUNK_BYTES / size) n = CHUNK_BYTES / size;
    const char *from = (const char *)p->tensor->data + done * size;
    for (size_t i = 0; size == 8 && i < n; i++) {
        uint64_t bits;
        memcpy(&bits, from + 8 * i, 8);
        for (int b = 0; b < 8; b++) chunk[8 * i + (size_t)b] = (unsigned char)(bits >> (8 * b));
    }
    for (size_t i = 0; size == 4 && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, from + 4 * i, 4);
        for (int b = 0; b < 4; b++) chunk[4 * i + (size_t)b] = (unsigned char)(bits >> (8 * b));
    }
    for (size_t i = 0; size == 2 && i < n; i++) {
        uint16_t bits;
        memcpy(&bits, from + 2 * i, 2);
        chunk[2 * i] = (unsigned char)bits;
        chunk[2 * i + 1] = (unsigned char)(bits >> 8);
    }
    return n;
}

static uint32_t data_sum(const Planned *plan, int count, unsigned char *chunk, Progress *p) {
    uint32_t sum = 0;
    for (int i = 0; i < count; i++)
        for (size_t done = 0, n; done < plan[i].elements; done += n) {
            n = encode(&plan[i], done, chunk);
            sum = crc32c(chunk, n * TYPES[plan[i].type].size, sum);
            progress_add(p, (double)n);
        }
    return sum;
}

static bool put_data(FileWriter *w, const Planned *plan, int count, unsigned char *chunk,
                     Progress *p, Error *err) {
    for (int i = 0; i < count; i++)
        for (size_t done = 0, n; done < plan[i].elements; done += n) {
            n = encode(&plan[i], done, chunk);
            if (!file_put(w, chunk, n * TYPES[plan[i].type].size, err)) return false;
            progress_add(p, (double)n);
        }
    return true;
}

/* The numbers of a file, of which each is encoded twice: for the sum, and to be written. */
static void watch(Progress *p, const char *path, const Planned *plan, int count) {
    double numbers = 0;
    for (int i = 0; i < count; i++) numbers += (double)plan[i].elements;
    progress_part(p, path);
    progress_begin(p, 2 * numbers);
}

static void put_metadata(Buf *b, const char *const *pairs, int n_pairs, uint32_t sum) {
    buf_printf(b, "\"%s\":{\"format\":\"pt\",", METADATA);
    for (int i = 0; i < n_pairs; i++) {
        json_put_string(b, str(pairs[2 * i]));
        buf_putc(b, ':');
        json_put_string(b, str(pairs[2 * i + 1]));
        buf_putc(b, ',');
    }
    buf_printf(b, "\"%s\":\"%08lx\",\"%s\":\"00000000\"}", DATA_SUM, (unsigned long)sum,
               HEADER_SUM);
}

/* Length, JSON, and padding to a multiple of 8, so that tensors are aligned in the file. */
static void put_file_header(Buf *b, const Planned *plan, int count, const char *const *pairs,
                            int n_pairs, uint32_t sum) {
    buf_put(b, "\0\0\0\0\0\0\0\0", LENGTH_BYTES);
    buf_putc(b, '{');
    put_metadata(b, pairs, n_pairs, sum);
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        const TensorOut *t = plan[i].tensor;
        buf_putc(b, ',');
        json_put_string(b, str(t->name));
        buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", TYPES[plan[i].type].name);
        for (int d = 0; d < t->rank; d++)
            buf_printf(b, "%s%lld", d ? "," : "", (long long)t->shape[d]);
        size_t size = mem_mul(plan[i].elements, TYPES[plan[i].type].size);
        buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", at, at + size);
        at += size;
    }
    buf_putc(b, '}');
    while (b->n % 8) buf_putc(b, ' ');
    for (int i = 0; i < LENGTH_BYTES; i++)
        b->s[i] = (char)((uint64_t)(b->n - LENGTH_BYTES) >> (8 * i) & 255);
    size_t digits = find_header_sum(b->s, b->n);
    char text[16];
    snprintf(text, sizeof text, "%08lx", (unsigned long)header_sum(b->s, b->n, digits));
    memcpy(b->s + digits, text, SUM_DIGITS);
}

bool tensors_write(const char *path, const TensorOut *tensors, int count, const char *const *pairs,
                   int n_pairs, Error *err) {
    Planned *plan = mem_new((size_t)count, sizeof *plan);
    unsigned char *chunk = mem_new(CHUNK_BYTES, 1);
    Buf header = {0};
    Progress p = progress_new("writing", NULL);
    bool ok = plan_file(path, tensors, count, plan, err) && check_pairs(path, pairs, n_pairs, err);
    if (ok) {
        watch(&p, path, plan, count);
        put_file_header(&header, plan, count, pairs, n_pairs, data_sum(plan, count, chunk, &p));
        if (header.n - LENGTH_BYTES > TENSOR_HEADER_MOST)
            ok = error_set(err, STATUS_FAILED,
                           "%s: too many tensors for one file: the header would take %zu bytes",
                           path, header.n);
    }
    FileWriter w = {0};
    ok = ok && file_begin(&w, path, err) && file_put(&w, header.s, header.n, err) &&
         put_data(&w, plan, count, chunk, &p, err) && file_commit(&w, err);
    progress_end(&p);
    buf_free(&header);
    free(chunk);
    free(plan);
    return ok;
}

void tensors_put_shape(Buf *b, const TensorInfo *t) {
    buf_putc(b, '[');
    for (int i = 0; i < t->rank; i++) buf_printf(b, i ? ",%lld" : "%lld", (long long)t->shape[i]);
    buf_putc(b, ']');
}
