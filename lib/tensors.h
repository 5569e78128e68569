/* tensors: safetensors files, read and written, with every check of the reference implementation.
 *
 *   8 bytes  the length of the header, little-endian
 *   header   JSON: {"__metadata__": {...}, "wte.weight": {"dtype": "F32", "shape": [50257, 768],
 *            "data_offsets": [0, 154389504]}, ...}, padded with blanks
 *   data     the tensors, without holes; offsets count from here
 *
 * Writing is atomic, and the same input gives the same bytes. Files that are written here have two
 * checksums in __metadata__, each a CRC-32C as 8 lower-case hex digits: "crc32c" covers all data;
 * "header_crc32c" covers everything before it, length and padding included, with its own digits
 * taken as "00000000". tensors_open checks them if they are present. One without the other is
 * damage. So not a single flipped bit goes unnoticed.
 *
 * Usage:
 *   Error err = {0};
 *   const real x[2] = {1.5, -2};
 *   TensorOut out = {.name = "wte.weight", .type = TENSOR_REAL, .rank = 1, .shape = {2}};
 *   out.data = x;
 *   TensorFile file;
 *   if (!tensors_write("example.safetensors", &out, 1, NULL, 0, &err)) return error_print(&err);
 *   if (!tensors_open(&file, "example.safetensors", &err)) return error_print(&err);
 *   const TensorInfo *t = tensors_find(&file, "wte.weight");
 *   real again[2];
 *   if (tensors_is_float(t) && t->elements == 2) tensors_read(t, again, &err); // 1.5, -2
 *   tensors_close(&file);
 */
#ifndef TENSORS_H
#define TENSORS_H

#include "lib/util.h"

enum { TENSOR_MAX_RANK = 8, TENSOR_HEADER_MOST = 8 << 20 };

typedef enum {
    TENSOR_F32,
    TENSOR_F64,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_I64,
    TENSOR_I32,
    TENSOR_OTHER /* can be listed, not read */
} TensorType;

/* The type of `real` in this build. */
#ifdef REAL_DOUBLE
#define TENSOR_REAL TENSOR_F64
#else
#define TENSOR_REAL TENSOR_F32
#endif

/* ---- reading ---- */

typedef struct TensorSource TensorSource; /* the open file, and a piece of it in memory */

typedef struct {
    Str name;
    TensorType type;
    Str type_name; /* as written: "F32" */
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    size_t elements;
    uint64_t at; /* position of its first byte in the file */
    size_t size; /* in bytes */
    TensorSource *source;
} TensorInfo;

typedef struct {
    char *path;
    TensorSource *source;
    Arena arena;
    int count;
    TensorInfo *tensors; /* [count], in the order of their offsets */
    int metadata_count;
    const Str *metadata_keys, *metadata_values;
} TensorFile;

/* Reads the header, which has at most TENSOR_HEADER_MOST bytes and must fit the file's size. Only
 * the checksums need a pass over the rest. The file stays open, and tensors are read from it one
 * at a time, so the memory for them is the caller's alone. On false (status 3 for damage, 4 if it
 * cannot be read) nothing needs closing. */
bool tensors_open(TensorFile *file, const char *path, Error *err);
void tensors_close(TensorFile *file);
const TensorInfo *tensors_find(const TensorFile *file, const char *name); /* NULL if absent */
Str tensors_metadata(const TensorFile *file, const char *key);            /* {NULL, 0} if absent */
bool tensors_is_float(const TensorInfo *t); /* one of the four types that tensors_read converts */
/* Converts the elements to real, out[elements]. The type must be a float type. */
bool tensors_read(const TensorInfo *t, real *out, Error *err);
/* The same to bfloat16. *exact: no element needs more. */
bool tensors_read_bf16(const TensorInfo *t, uint16_t *out, bool *exact, Error *err);
/* n bytes of the tensor as they are in the file, from byte `from` on. */
bool tensors_bytes(const TensorInfo *t, size_t from, void *out, size_t n, Error *err);
/* Element i of any type but TENSOR_OTHER. Neighbors are in memory afterwards, so a walk in order
 * is fast. If the file cannot be read it is NaN, and tensors_whole says why. */
double tensors_value(const TensorInfo *t, size_t i);
/* Could tensors_value read everything so far? */
bool tensors_whole(const TensorFile *file, Error *err);
/* Appends the shape as JSON, like [2,3]. */
void tensors_put_shape(Buf *b, const TensorInfo *t);

/* ---- writing ---- */

/* A tensor to write. `data` holds float for F32, double for F64, int64_t for I64, int32_t for I32,
 * and bits in uint16_t for F16 and BF16. */
typedef struct {
    const char *name;
    TensorType type;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    const void *data; /* may be NULL if there are no elements */
} TensorOut;

/* Writes the tensors sorted by type (larger alignment first), then by name. `pairs` is metadata: 2
 * * n_pairs strings key, value, key, value, ... "format": "pt" and the checksums are added. Names
 * and keys must be distinct. Status 4 if the file cannot be written. */
bool tensors_write(const char *path, const TensorOut *tensors, int count, const char *const *pairs,
                   int n_pairs, Error *err);

#endif
