/* Tests of lib/tensors: the reference's own example, every type, damage of every kind. */
#define _POSIX_C_SOURCE 200809L
#include "lib/tensors.h"
#include "lib/file.h"
#include "lib/system.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put_length(Buf *b, uint64_t n) {
    for (int i = 0; i < 8; i++) buf_putc(b, (char)(n >> (8 * i) & 255));
}

/* Plain, without the fsync of file_write: thousands of small files are written here. Some file
 * systems flush a file that is written over, hence the unlink. */
static void store(const char *path, const char *bytes, size_t n) {
    unlink(path);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(bytes, 1, n, f) == n;
    if (f) ok = fclose(f) == 0 && ok;
    CHECK(ok, "cannot write %s", path);
}

/* A file of this header text and `data` bytes of zeros behind it. */
static void store_header(const char *path, const char *header, size_t n, size_t data) {
    Buf b = {0};
    put_length(&b, n);
    buf_put(&b, header, n);
    for (size_t i = 0; i < data; i++) buf_putc(&b, 0);
    store(path, b.s, b.n);
    buf_free(&b);
}

static bool opens(const char *path, Error *err) {
    TensorFile file;
    *err = (Error){0};
    bool ok = tensors_open(&file, path, err);
    if (ok) tensors_close(&file);
    return ok;
}

static void check_refused(const char *path, const char *what, const char *fragment) {
    Error err;
    CHECK(!opens(path, &err), "%s: was accepted", what);
    CHECK(err.status == STATUS_DATA, "%s: status %d", what, err.status);
    CHECK(strstr(err.text, path) && strstr(err.text, fragment), "%s: wanted '%s' in: %s", what,
          fragment, err.text);
    CHECK(!strchr(err.text, '\n'), "%s: more than one line", what);
}

/* The number that the next file to be opened gets. */
static int next_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

/* ---- good files ---- */

static const char GOLDEN[] =
    "{\"attn.0\":{\"dtype\":\"F32\",\"shape\":[1,2,3],\"data_offsets\":[0,24]}}";

static void test_golden(const char *path) {
    Buf b = {0};
    put_length(&b, 64);
    buf_puts(&b, GOLDEN);
    static const unsigned char high[6] = {0, 0x80, 0, 0x40, 0x80, 0xa0},
                               top[6] = {0, 0x3f, 0x40, 0x40, 0x40, 0x40};
    for (int i = 0; i < 6; i++) { /* 0 to 5 as little-endian floats */
        buf_put(&b, "\0\0", 2);
        buf_putc(&b, (char)high[i]);
        buf_putc(&b, (char)top[i]);
    }
    store(path, b.s, b.n);
    buf_free(&b);
    TensorFile file;
    Error err = {0};
    bool ok = tensors_open(&file, path, &err);
    CHECK(ok, "golden example: %s", err.text);
    if (!ok) return;
    const TensorInfo *t = tensors_find(&file, "attn.0");
    CHECK(file.count == 1 && t && t->type == TENSOR_F32 && str_is(t->type_name, "F32"),
          "golden example: type");
    CHECK(t && t->rank == 3 && t->shape[0] == 1 && t->shape[1] == 2 && t->shape[2] == 3,
          "golden example: shape");
    CHECK(t && t->elements == 6 && t->size == 24, "golden example: size");
    CHECK(!tensors_find(&file, "attn.") && !tensors_find(&file, "attn.01"),
          "a tensor was found by part of its name");
    CHECK(file.metadata_count == 0 && !tensors_metadata(&file, "format").s,
          "golden example has no metadata");
    real values[6] = {9, 9, 9, 9, 9, 9};
    if (t) tensors_read(t, values, &err);
    for (int i = 0; i < 6; i++)
        CHECK(values[i] == (real)i, "golden value %d is %g", i, (double)values[i]);
    tensors_close(&file);
    CHECK(!file.path && !file.source && file.count == 0, "close leaves nothing");
    store(path, "\10\0\0\0\0\0\0\0{}      ", 16);
    int before = next_descriptor();
    CHECK(opens(path, &err), "the empty file: %s", err.text);
    CHECK(next_descriptor() == before, "close leaves the file open");
}

static void test_accepted(const char *path) {
    static const struct {
        const char *what, *header;
        size_t data;
    } good[] = {
        {"no bytes at all", "{\"a\":{\"dtype\":\"F32\",\"shape\":[3,0,2],\"data_offsets\":[0,0]}}",
         0},
        {"empty tensor between others",
         "{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]},\"z\":{\"dtype\":\"F32\","
         "\"shape\":[0],\"data_offsets\":[4,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_"
         "offsets\":[0,4]}}",
         6},
        {"a scalar", "{\"a\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]}}", 8},
        {"eight dimensions",
         "{\"a\":{\"dtype\":\"BOOL\",\"shape\":[1,1,1,1,1,1,1,2],\"data_offsets\":[0,2]}}", 2},
        {"unknown keys",
         "{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1],\"more\":{\"x\":[null]}}}",
         1},
        {"empty metadata", "{\"__metadata__\":{}}  \n", 0},
        {"every other type",
         "{\"a\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U32\","
         "\"shape\":[1]"
         ",\"data_offsets\":[8,12]},\"c\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[12,14]"
         "},\"d\":{\"dtype\":\"I16\","
         "\"shape\":[1],\"data_offsets\":[14,16]},\"e\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],"
         "\"data_offsets\":[16,17]},"
         "\"f\":{\"dtype\":\"F8_E5M2\",\"shape\":[1],\"data_offsets\":[17,18]}}",
         18},
    };
    Error err;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        store_header(path, good[i].header, strlen(good[i].header), good[i].data);
        CHECK(opens(path, &err), "%s: %s", good[i].what, err.text);
    }
    TensorFile file;
    store_header(path, good[1].header, strlen(good[1].header), 6);
    if (tensors_open(&file, path, &err)) {
        bool sorted = file.count == 3 && str_is(file.tensors[0].name, "a") &&
                      str_is(file.tensors[1].name, "z") && str_is(file.tensors[2].name, "b");
        CHECK(sorted, "tensors are not in the order of their offsets");
        CHECK(file.tensors[2].type == TENSOR_OTHER && !tensors_is_float(&file.tensors[2]),
              "U8 is a float");
        tensors_close(&file);
    }
    const char *names =
        "{\"\\u0077te.weight\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
        "\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}";
    store_header(path, names, strlen(names), 2);
    bool ok = tensors_open(&file, path, &err);
    CHECK(ok, "escaped names: %s", err.text);
    if (!ok) return;
    CHECK(tensors_find(&file, "wte.weight") != NULL, "an escaped name is not found");
    CHECK(!tensors_find(&file, "a"), "a name with a NUL is taken for its beginning");
    CHECK(file.tensors[1].name.n == 3, "a name with a NUL has %zu bytes", file.tensors[1].name.n);
    tensors_close(&file);
}

static void test_many(const char *path) {
    Buf b = {0};
    enum { MANY = 100000 };
    for (int i = 0; i < MANY; i++)
        buf_printf(&b, "%c\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                   i ? ',' : '{', i, MANY - 1 - i, MANY - i);
    buf_putc(&b, '}');
    store_header(path, b.s, b.n, MANY);
    TensorFile file;
    Error err = {0};
    bool ok = tensors_open(&file, path, &err);
    CHECK(ok, "many tensors: %s", err.text);
    if (ok) {
        CHECK(file.count == MANY && str_is(file.tensors[0].name, "t99999"),
              "many tensors: %d, wrong order", file.count);
        tensors_close(&file);
    }
    buf_free(&b);
}

/* ---- values ---- */

static bool same_real(real a, real b) {
    return (isnan(a) && isnan(b)) || (a == b && !signbit(a) == !signbit(b));
}

/* What 16 bits mean by the definition of the format: 1 sign, `exponents` exponent and the rest
 * mantissa bits. */
static double value_of(unsigned bits, int exponents) {
    int mantissas = 15 - exponents, bias = (1 << (exponents - 1)) - 1,
        e = (int)(bits >> mantissas) & ((1 << exponents) - 1);
    int mantissa = (int)bits & ((1 << mantissas) - 1);
    double x = e == 0 ? ldexp(mantissa, 1 - bias - mantissas)
                      : ldexp(mantissa + (1 << mantissas), e - bias - mantissas);
    if (e == (1 << exponents) - 1) x = mantissa ? NAN : INFINITY;
    return bits & 0x8000 ? -x : x;
}

static void test_halves(const char *path) {
    enum { ALL = 1 << 16 };
    uint16_t *bits = mem_new(ALL, sizeof *bits);
    for (int i = 0; i < ALL; i++) bits[i] = (uint16_t)i;
    TensorOut out[2] = {{"half", TENSOR_F16, 2, {256, 256}, bits},
                        {"brain", TENSOR_BF16, 1, {ALL}, bits}};
    TensorFile file;
    Error err = {0};
    bool ok = tensors_write(path, out, 2, NULL, 0, &err) && tensors_open(&file, path, &err);
    CHECK(ok, "halves: %s", err.text);
    if (ok) {
        real *values = mem_new(ALL, sizeof *values);
        static const struct {
            const char *name;
            int exponents;
        } kinds[2] = {{"half", 5}, {"brain", 8}};
        for (int k = 0; k < 2; k++) {
            const TensorInfo *t = tensors_find(&file, kinds[k].name);
            CHECK(t && tensors_is_float(t), "%s is not there", kinds[k].name);
            if (t) tensors_read(t, values, &err);
            int wrong = 0;
            for (int i = 0; i < ALL; i++)
                wrong += !same_real(values[i], (real)value_of((unsigned)i, kinds[k].exponents));
            CHECK(wrong == 0, "%s: %d of 65536 values are wrong", kinds[k].name, wrong);
        }
        CHECK(str_is(file.tensors[0].name, "brain"), "BF16 does not come before F16");
        free(values);
        tensors_close(&file);
    }
    free(bits);
}

static void test_round_trip(const char *path, const char *again) {
    const float f[8] = {0, -0.0f, 1.5f, 1e-45f, -1e-39f, INFINITY, -INFINITY, NAN};
    const double d[3] = {0.1, 5e-324, -1e300};
    const int64_t large[2] = {INT64_MIN, 0x0102030405060708};
    const int32_t small[2] = {-2, INT32_MAX};
    const char *pairs[] = {"step", "12", "odd \"key\"", "line\nend \xc3\xa9"};
    TensorOut out[] = {
        {"z", TENSOR_F32, 2, {2, 4}, f},        {"a\"b", TENSOR_F32, 0, {0}, f + 2},
        {"empty", TENSOR_F32, 2, {0, 5}, NULL}, {"d", TENSOR_F64, 1, {3}, d},
        {"counts", TENSOR_I64, 1, {2}, large},  {"ints", TENSOR_I32, 1, {2}, small},
    };
    static const char *const order[] = {"counts", "d", "a\"b", "empty", "z", "ints"};
    TensorFile file;
    Error err = {0};
    bool ok = tensors_write(path, out, 6, pairs, 2, &err) && tensors_open(&file, path, &err);
    CHECK(ok, "round trip: %s", err.text);
    if (!ok) return;
    CHECK(file.count == 6, "round trip: %d tensors", file.count);
    for (int i = 0; i < file.count && i < 6; i++)
        CHECK(str_is(file.tensors[i].name, order[i]), "place %d holds '%.*s'", i,
              STR_ARG(file.tensors[i].name));
    const TensorInfo *t = tensors_find(&file, "z");
    real values[8];
    tensors_read(t, values, &err);
    CHECK(t->rank == 2 && t->shape[0] == 2 && t->shape[1] == 4, "shape of z");
    for (int i = 0; i < 8; i++)
        CHECK(same_real(values[i], (real)f[i]), "F32 %d: %g", i, (double)values[i]);
    t = tensors_find(&file, "d");
    tensors_read(t, values, &err);
    for (int i = 0; i < 3; i++)
        CHECK(same_real(values[i], (real)d[i]), "F64 %d: %g", i, (double)values[i]);
    t = tensors_find(&file, "counts");
    char bytes[16];
    CHECK(t->type == TENSOR_I64 && tensors_bytes(t, 0, bytes, 16, &err) &&
              memcmp(bytes, "\0\0\0\0\0\0\0\x80\10\7\6\5\4\3\2\1", 16) == 0,
          "bytes of I64");
    t = tensors_find(&file, "ints");
    CHECK(t->type == TENSOR_I32 && tensors_bytes(t, 0, bytes, 8, &err) &&
              memcmp(bytes, "\xfe\xff\xff\xff\xff\xff\xff\x7f", 8) == 0,
          "bytes of I32");
    CHECK(str_is(tensors_metadata(&file, "step"), "12") &&
              str_is(tensors_metadata(&file, pairs[2]), pairs[3]) &&
              str_is(tensors_metadata(&file, "format"), "pt"),
          "metadata");
    CHECK(tensors_metadata(&file, "crc32c").n == 8 &&
              tensors_metadata(&file, "header_crc32c").n == 8,
          "checksums");
    TensorOut turned[6];
    for (int i = 0; i < 6; i++) turned[i] = out[5 - i];
    Buf first = {0}, second = {0};
    ok = tensors_write(again, turned, 6, pairs, 2, &err) && file_read(again, &second, &err) &&
         file_read(path, &first, &err);
    CHECK(ok && first.n > 0 && first.s[0] % 8 == 0, "the header is not padded");
    CHECK(ok && second.n == first.n && memcmp(second.s, first.s, second.n) == 0,
          "bytes depend on the order");
    buf_free(&first);
    buf_free(&second);
    tensors_close(&file);
}

/* Single elements of every type, as doubles: nothing is rounded to float on the way. */
static void test_values(const char *path) {
    float f32[2] = {1.5f, -0.0f};
    double f64[2] = {0.1, -1e300};
    /* 1 + 2^-10, -2^-24; 1 + 2^-7, -infinity */
    uint16_t f16[2] = {0x3c01, 0x8001}, bf16[2] = {0x3f81, 0xff80};
    int64_t i64[2] = {(int64_t)1 << 52, -7};
    int32_t i32[2] = {INT32_MAX, INT32_MIN};
    const struct {
        const char *name;
        TensorType type;
        const void *data;
        double value[2];
    } cases[] = {{"f32", TENSOR_F32, f32, {1.5, 0}},
                 {"f64", TENSOR_F64, f64, {0.1, -1e300}},
                 {"f16", TENSOR_F16, f16, {1 + 1.0 / 1024, -1.0 / (1 << 24)}},
                 {"bf16", TENSOR_BF16, bf16, {1 + 1.0 / 128, -INFINITY}},
                 {"i64", TENSOR_I64, i64, {4503599627370496.0, -7}},
                 {"i32", TENSOR_I32, i32, {2147483647.0, -2147483648.0}}};
    enum { CASES = sizeof cases / sizeof *cases };
    TensorOut out[CASES];
    for (int c = 0; c < CASES; c++)
        out[c] = (TensorOut){cases[c].name, cases[c].type, 1, {2}, cases[c].data};
    Error err = {0};
    TensorFile file;
    CHECK(tensors_write(path, out, CASES, NULL, 0, &err) && tensors_open(&file, path, &err), "%s",
          err.text);
    if (err.status) return;
    for (int c = 0; c < CASES; c++)
        for (size_t i = 0; i < 2; i++) {
            const TensorInfo *t = tensors_find(&file, cases[c].name);
            CHECK(t && tensors_value(t, i) == cases[c].value[i],
                  "%s[%zu] is read as %.17g, not %.17g", cases[c].name, i,
                  t ? tensors_value(t, i) : NAN, cases[c].value[i]);
        }
    tensors_close(&file);
}

/* The memory that the program takes, counted at its seam. */
static size_t taken;

static void *count_allocate(size_t bytes) {
    taken += bytes;
    return aligned_alloc(64, bytes);
}

static void *count_resize(void *old, size_t bytes) {
    taken += bytes;
    return realloc(old, bytes);
}

/* More elements than one piece holds, and no multiple of it. They are read in place: what opening
 * and reading take does not grow with them. A file that gets shorter meanwhile is an error. */
static void test_large(const char *path) {
    enum { N = 200001 };
    float *x = mem_new(N, sizeof *x);
    for (int i = 0; i < N; i++) x[i] = (float)i;
    TensorOut out = {"x", TENSOR_F32, 1, {N}, x};
    TensorFile file;
    Error err = {0};
    bool ok = tensors_write(path, &out, 1, NULL, 0, &err);
    real *y = mem_new(N, sizeof *y);
    SystemCalls real_calls = system_calls;
    system_calls.allocate = count_allocate;
    system_calls.resize = count_resize;
    taken = 0;
    ok = ok && tensors_open(&file, path, &err);
    CHECK(ok, "large: %s", err.text);
    if (ok) {
        const TensorInfo *t = &file.tensors[0];
        CHECK(tensors_read(t, y, &err), "large: %s", err.text);
        system_calls = real_calls;
        /* A piece of 2^18 bytes, and less than that for the header. */
        CHECK(taken < 1 << 19, "reading takes %zu bytes", taken);
        int wrong = 0;
        for (int i = 0; i < N; i++) wrong += y[i] != (real)x[i];
        for (size_t i = 0; i < N; i += 50000)
            wrong += tensors_value(t, i) != (double)x[i] ||
                     tensors_value(t, N - 1 - i) != N - 1 - (double)i;
        CHECK(wrong == 0 && tensors_whole(&file, &err), "large: %d values differ", wrong);
        CHECK(truncate(path, 4 * N) == 0 && isnan(tensors_value(t, N - 1)) &&
                  !tensors_read(t, y, &err) && err.status == STATUS_DATA,
              "a file that gets shorter is read");
        err = (Error){0};
        CHECK(!tensors_whole(&file, &err) && strstr(err.text, "changes while"), "%s", err.text);
        tensors_close(&file);
    }
    system_calls = real_calls;
    free(x);
    free(y);
}

/* ---- bad files ---- */

static void test_lengths(const char *path) {
    static const struct {
        uint64_t n;
        const char *fragment;
    } lies[] = {{0, "start with {"},
                {7, "line 1"},
                {(uint64_t)1 << 63, "more than"},
                {UINT64_MAX, "more than"},
                {65, "follow"},
                {8388609, "more than"},
                {8388608, "follow"},
                {81, "follow"},
                {88, "follow"},
                {63, "line 1"},
                {64, "ends at byte"}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        Buf b = {0};
        put_length(&b, lies[i].n);
        buf_puts(&b, GOLDEN);
        char what[40];
        snprintf(what, sizeof what, "length %llu", (unsigned long long)lies[i].n);
        store(path, b.s, b.n);
        check_refused(path, what, lies[i].fragment);
        buf_free(&b);
    }
    for (size_t i = 0; i < 8; i++) {
        store(path, "\10\0\0\0\0\0\0", i < 7 ? i : 7);
        check_refused(path, "a file shorter than its length field", "alone takes 8");
    }
}

/* `data` bytes of zeros follow each header. */
static const struct {
    const char *what, *header, *fragment;
    size_t data;
} BAD[] = {
    {"not UTF-8", "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", "line 1",
     0},
    {"byte-order mark", "\xef\xbb\xbf{}", "start with {", 0},
    {"leading space", " {}", "start with {", 0},
    {"array", "[]", "start with {", 0},
    {"text behind it", "{}x", "line 1", 0},
    {"no end", "{", "line 1", 0},
    {"trailing bytes", "{}", "belong to none", 1},
    {"name twice",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
     "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
     "'a' is there twice", 0},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", "twice", 0},
    {"metadata key twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", "'a' twice", 0},
    {"metadata of numbers", "{\"__metadata__\":{\"a\":1}}", "is not a string", 0},
    {"metadata is a list", "{\"__metadata__\":[]}", "is not an object", 0},
    {"dtype twice",
     "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
     "'dtype' twice", 1},
    {"tensor is a number", "{\"a\":1}", "is not an object", 0},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", "no dtype", 1},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", "no shape", 1},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", "data_offsets", 1},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", "data_offsets",
     1},
    {"three offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}",
     "data_offsets", 1},
    {"unknown dtype", "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", "'F33'",
     4},
    {"dtype is a number", "{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", "no dtype",
     4},
    {"negative offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}",
     "data_offsets", 0},
    {"minus zero", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-0,1]}}",
     "data_offsets", 1},
    {"fraction", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}}",
     "data_offsets", 1},
    {"exponent", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1e0]}}",
     "data_offsets", 1},
    {"1e400", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1e400]}}", "line 1", 1},
    {"offset of 2^64",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,18446744073709551617]}}",
     "data_offsets", 1},
    {"offset as text", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,\"1\"]}}",
     "data_offsets", 1},
    {"reversed", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", "data_offsets",
     1},
    {"beyond the end", "{\"a\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9]}}",
     "ends at byte 9", 8},
    {"does not start at 0", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}",
     "starts at byte 1", 2},
    {"overlap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
     "'b' starts at byte 1", 3},
    {"same bytes twice",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
     "'b' starts at byte 0", 2},
    {"hole",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
     "'b' starts at byte 2", 3},
    {"empty tensor in the middle of another",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
     "'b' starts at byte 1", 2},
    {"shape too small", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}",
     "4 bytes by its shape, 8", 8},
    {"shape too large", "{\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,7]}}",
     "8 bytes by its shape, 7", 7},
    {"shape overflow to 0",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[65536,65536,65536,65536],\"data_offsets\":[0,0]}}",
     "overflows", 0},
    {"overflow before a 0",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}}",
     "overflows", 0},
    {"overflow by the type",
     "{\"a\":{\"dtype\":\"F64\",\"shape\":[1073741824,2147483648],\"data_offsets\":[0,0]}}",
     "overflows", 0},
    {"negative dimension", "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1,-1],\"data_offsets\":[0,1]}}",
     "dimension 1", 1},
    {"dimension as text", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,\"1\"],\"data_offsets\":[0,1]}}",
     "dimension 2", 1},
    {"shape is a number", "{\"a\":{\"dtype\":\"U8\",\"shape\":1,\"data_offsets\":[0,1]}}",
     "no shape", 1},
    {"nine dimensions",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}",
     "9 dimensions", 1},
    {"one checksum", "{\"__metadata__\":{\"crc32c\":\"00000000\"}}", "checksum of its header", 0},
    {"the other checksum", "{\"__metadata__\":{\"header_crc32c\":\"00000000\"}}",
     "checksum of its header", 0},
    {"short checksum", "{\"__metadata__\":{\"crc32c\":\"0\",\"header_crc32c\":\"0\"}}",
     "checksum of its header", 0},
};

static void test_malformed(const char *path) {
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        store_header(path, BAD[i].header, strlen(BAD[i].header), BAD[i].data);
        check_refused(path, BAD[i].what, BAD[i].fragment);
    }
    Buf b = {0};
    buf_puts(&b, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1");
    for (int i = 1; i < 10000; i++) buf_puts(&b, ",1");
    buf_puts(&b, "],\"data_offsets\":[0,1]}}");
    store_header(path, b.s, b.n, 1);
    check_refused(path, "10,000 dimensions", "10000 dimensions");
    b.n = 0;
    buf_puts(&b, "{\"a\":");
    for (int i = 0; i < 100000; i++) buf_putc(&b, '[');
    store_header(path, b.s, b.n, 0);
    check_refused(path, "deep nesting", "line 1");
    b.n = 0;
    buf_puts(&b, "{\"");
    for (int i = 0; i < 100000; i++) buf_putc(&b, 'n');
    buf_puts(&b, "\":1}");
    store_header(path, b.s, b.n, 0);
    check_refused(path, "a long name", "get or write it again");
    buf_free(&b);
}

/* A small file of ours: each beginning of it, and each bit of it turned, must be refused. */
static void test_damage(const char *path) {
    const float f[3] = {1, 2, 3};
    const int64_t n[1] = {7};
    const char *pairs[] = {"note", "text"};
    TensorOut out[2] = {{"h.0.w", TENSOR_F32, 2, {3, 1}, f}, {"n", TENSOR_I64, 1, {1}, n}};
    Buf b = {0};
    Error err = {0};
    bool ok = tensors_write(path, out, 2, pairs, 1, &err) && file_read(path, &b, &err) &&
              opens(path, &err);
    CHECK(ok, "small file: %s", err.text);
    int accepted = 0, other_status = 0;
    for (size_t i = 0; i < b.n; i++) {
        store(path, b.s, i);
        accepted += opens(path, &err);
        other_status += err.status != STATUS_DATA;
    }
    CHECK(accepted == 0, "%d truncated files were accepted", accepted);
    for (size_t i = 0; i < 8 * b.n; i++) {
        b.s[i / 8] = (char)(b.s[i / 8] ^ (1 << i % 8));
        store(path, b.s, b.n);
        if (opens(path, &err)) {
            accepted++;
            printf("bit %zu of byte %zu ('%c') went unnoticed\n", i % 8, i / 8, b.s[i / 8]);
        }
        other_status += err.status != STATUS_DATA;
        b.s[i / 8] = (char)(b.s[i / 8] ^ (1 << i % 8));
    }
    CHECK(accepted == 0, "%d damaged files were accepted", accepted);
    CHECK(other_status == 0, "%d damaged files gave another status than %d", other_status,
          STATUS_DATA);
    buf_putc(&b, 0);
    store(path, b.s, b.n);
    check_refused(path, "one byte more", "belong to none");
    buf_free(&b);
}

/* What a caller must not ask for gives an error and leaves the old file alone. */
static void test_writer_errors(const char *path, const char *missing) {
    const float f[1] = {1};
    TensorOut good[2] = {{"a", TENSOR_F32, 1, {1}, f}, {"b", TENSOR_F32, 1, {1}, f}};
    Error err = {0};
    CHECK(tensors_write(path, good, 2, NULL, 0, &err), "good: %s", err.text);
    TensorOut bad[][2] = {
        {{"a", TENSOR_F32, 1, {1}, f}, {"a", TENSOR_I32, 1, {1}, f}},
        {{"a", TENSOR_OTHER, 1, {1}, f}, good[1]},
        {{"a", TENSOR_F32, 1, {-1}, f}, good[1]},
        {{"a", TENSOR_F32, 9, {1}, f}, good[1]},
        {{"__metadata__", TENSOR_F32, 1, {1}, f}, good[1]},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        err = (Error){0};
        CHECK(!tensors_write(path, bad[i], 2, NULL, 0, &err) && err.status == STATUS_FAILED,
              "bad tensors %zu: accepted", i);
    }
    const char *const keys[][4] = {{"a", "1", "a", "2"},
                                   {"format", "x", "b", ""},
                                   {"a", "", "crc32c", ""},
                                   {"header_crc32c", "", "a", ""}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        err = (Error){0};
        CHECK(!tensors_write(path, good, 2, keys[i], 2, &err) && err.status == STATUS_FAILED,
              "bad keys %zu: accepted", i);
    }
    CHECK(opens(path, &err), "the old file does not stand: %s", err.text);
    err = (Error){0};
    CHECK(!tensors_write(missing, good, 2, NULL, 0, &err) && err.status == STATUS_IO,
          "written into a missing folder");
    CHECK(!opens(missing, &err) && err.status == STATUS_IO && strstr(err.text, missing),
          "a missing file: %s", err.text);
}

int main(void) {
    char folder[512];
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_tensors.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make a temporary folder %s\n", folder);
        return 1;
    }
    char *path = path_join(folder, "a.safetensors"), *again = path_join(folder, "b.safetensors");
    char *missing = path_join(folder, "none/a.safetensors");
    test_golden(path);
    test_accepted(path);
    test_many(path);
    test_halves(path);
    test_round_trip(path, again);
    test_values(path);
    test_large(path);
    test_lengths(path);
    test_malformed(path);
    test_damage(path);
    test_writer_errors(path, missing);
    unlink(path);
    unlink(again);
    CHECK(rmdir(folder) == 0, "a file was left behind in %s", folder);
    free(path);
    free(again);
    free(missing);
    return check_report("test_tensors");
}
