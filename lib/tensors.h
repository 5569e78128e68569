/* tensors: safetensors files, read and written, with every check of the reference implementation.
 *
 *   TensorFile file;
 *   if (!tensors_open(&file, "model.safetensors", &err)) return error_print(&err);
 *   const TensorInfo *t = tensors_find(&file, "wte.weight");
 *   tensors_read(&file, t, out);                     // converts F32, F64, F16, BF16 to real
 *   tensors_close(&file);
 *
 * Writing is atomic and the same input gives the same bytes. Two checksums stand in __metadata__, each a CRC-32C as 8 lower
 * case hex digits: "crc32c" covers all bytes behind the header; "header_crc32c" covers everything before them, the length
 * field and the padding included, taken with its own digits as "00000000". tensors_open checks them when present; one without
 * the other counts as damage. So no single flipped bit of a file written here goes unnoticed.
 */
#ifndef TENSORS_H
#define TENSORS_H

#include "lib/util.h"

enum { TENSOR_MAX_RANK = 8 };

typedef enum { TENSOR_F32, TENSOR_F64, TENSOR_F16, TENSOR_BF16, TENSOR_I64, TENSOR_I32, TENSOR_OTHER } TensorType;

typedef struct {
    Str name;
    TensorType type;
    Str type_name; /* as written: "F32" */
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    size_t elements;
    const unsigned char *bytes; /* inside TensorFile.contents; not aligned */
    size_t size;                /* in bytes */
} TensorInfo;

typedef struct {
    char *path;
    Buf contents;
    Arena arena;
    int count;
    TensorInfo *tensors; /* [count], in the order of their offsets */
    int metadata_count;
    const Str *metadata_keys, *metadata_values;
} TensorFile;

bool tensors_open(TensorFile *file, const char *path, Error *err); /* on false nothing needs closing; status 3 or 4 */
void tensors_close(TensorFile *file);
const TensorInfo *tensors_find(const TensorFile *file, const char *name); /* NULL if absent */
Str tensors_metadata(const TensorFile *file, const char *key);            /* {NULL, 0} if absent */
bool tensors_is_float(const TensorInfo *t);                               /* one of the four that tensors_read converts */
void tensors_read(const TensorInfo *t, real *out);                        /* out [elements]; t must be a float type */
/* Element i of any type but TENSOR_OTHER. */
double tensors_value(const TensorInfo *t, size_t i);

/* What to write. F32 from float, F64 from double, I64 from int64_t, I32 from int32_t; F16 and BF16 as bits in uint16_t. */
typedef struct {
    const char *name;
    TensorType type;
    int rank;
    int64_t shape[TENSOR_MAX_RANK];
    const void *data; /* may be NULL if there are no elements */
} TensorOut;

/* Sorts by type (larger alignment first), then by name. Metadata: `pairs` holds 2 * n_pairs strings key, value, key, value, ...
 * ("format":"pt" and the checksums are added). Names and keys must not repeat. */
bool tensors_write(const char *path, const TensorOut *tensors, int count, const char *const *pairs, int n_pairs, Error *err);
/* The type that `real` has in this build. */
#ifdef REAL_DOUBLE
#define TENSOR_REAL TENSOR_F64
#else
#define TENSOR_REAL TENSOR_F32
#endif

/* Appends the shape as JSON, like [2,3]. */
void tensors_put_shape(Buf *b, const TensorInfo *t);

#endif
