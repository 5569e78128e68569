/* util: memory, errors, strings, random numbers, time. Knows nothing of models or data.
 *
 * Conventions of the entire project: a function that can fail because of the outside world takes an
 * `Error *` last, returns false or NULL, and sets one line for the user. Running out of memory ends
 * the program with one line and status 4, since no caller could do better. Nothing here has global
 * state.
 *
 * Usage:
 *   Error err = {0};
 *   Buf text = {0};
 *   buf_printf(&text, "{\"prompt\": \"%s\"}\n", "low ?");
 *   if (text.n > 100) error_set(&err, STATUS_DATA, "pool.jsonl:1: %zu bytes, at most 100", text.n);
 *   if (err.status) return error_print(&err);   // the exit status
 *   Rng rng = rng_new(1, RNG_ORDER);
 *   int order[3] = {0, 1, 2};
 *   rng_shuffle(&rng, order, 3);
 *   buf_free(&text);
 */
#ifndef UTIL_H
#define UTIL_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "do not compile with -ffast-math or -Ofast: they remove NaN checks and change results"
#endif

/* The working precision: float, or double in the audit build (make double). */
#ifdef REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#if defined(__GNUC__)
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#else
#define PRINTF_LIKE(f, a)
#endif

/* ---- errors and exit statuses ---- */

enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,   /* the command line */
    STATUS_DATA = 3,    /* what a file says */
    STATUS_IO = 4,      /* a file that cannot be read or written, or no memory */
    STATUS_DIVERGED = 5 /* a loss that is not finite */
};

typedef struct {
    int status;      /* 0: no error; else one of the above */
    char text[1024]; /* one line without a newline: where, what is wrong, what to do */
} Error;

/* Sets the error and returns false, so that `return error_set(...)` leaves a failing function. An
 * error that is set already stays. */
bool error_set(Error *err, int status, const char *format, ...) PRINTF_LIKE(3, 4);
/* Prints "ica: <text>" on stderr and returns the status. */
int error_print(const Error *err);

/* ---- memory ---- */

/* Zeroed memory for `count` objects of `size` bytes, aligned to 64 bytes. Never NULL. The caller
 * frees it with free(). */
void *mem_new(size_t count, size_t size);
/* Like realloc: default alignment, the new part is not zeroed. Never NULL. */
void *mem_grow(void *old, size_t count, size_t size);
/* a * b, for sizes made of several factors. Ends the program if it overflows. */
size_t mem_mul(size_t a, size_t b);

/* Many small allocations that are freed at once. Zero-initialize; empty again after arena_free. */
typedef struct ArenaBlock ArenaBlock;
typedef struct {
    ArenaBlock *last;
} Arena;
void *arena_new(Arena *arena, size_t count, size_t size); /* zeroed, aligned to 16 bytes */
void arena_adopt(Arena *arena, void *memory);             /* from mem_grow; freed with the rest */
void arena_free(Arena *arena);

/* ---- strings ---- */

/* Borrowed bytes with a length. They may be any bytes, also NUL. */
typedef struct {
    const char *s;
    size_t n;
} Str;
Str str(const char *c_string);
bool str_equal(Str a, Str b);
bool str_is(Str a, const char *c_string);
Str str_copy(Arena *arena, Str s);   /* with a NUL after it */
#define STR_ARG(x) (int)(x).n, (x).s /* for "%.*s" */

/* A growing buffer of bytes. Zero-initialize, free with buf_free. Once written to, it has a NUL
 * after its n bytes. */
typedef struct {
    char *s;
    size_t n, capacity;
} Buf;
void buf_put(Buf *b, const void *bytes, size_t n);
void buf_reserve(Buf *b, size_t more); /* room for `more` bytes and the NUL */
void buf_puts(Buf *b, const char *c_string);
void buf_putc(Buf *b, char c);
void buf_printf(Buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_free(Buf *b);

/* A growing list of ints, such as token ids. */
typedef struct {
    int *v;
    int n, capacity;
} IntBuf;
void ints_put(IntBuf *b, int value);
void ints_append(IntBuf *b, const int *values, int n);
void ints_free(IntBuf *b);

/* ---- random numbers: the same on every machine ---- */

/* The generator is xoshiro256**, seeded by splitmix64 (Blackman and Vigna 2018). */
typedef struct {
    uint64_t s[4];
} Rng;

/* Every use of random numbers in the project has its own stream of the seed, so a new use never
 * shifts an old one. The values are part of what a seed means: never change or reuse one.
 * Initial weights: tensor i of the model uses stream RNG_TENSORS + i, so that one more layer
 * changes no other tensor. These streams coincide with the small ones below, which is harmless:
 * no result combines initial weights with a random choice of the same seed. */
enum RngStream {
    RNG_TENSORS = 0,         /* initial weights, see above */
    RNG_DEMOS = 1,           /* random demonstrations */
    RNG_ANCHORS = 2,         /* random anchors */
    RNG_RANDOM_SCORE = 3,    /* the scores of the method `random` */
    RNG_CENTERS = 4,         /* centers of --contexts */
    RNG_ORDER = 11,          /* order of the examples in an epoch */
    RNG_GENERATE = 13,       /* sampling in `ica generate` */
    RNG_REFERENCE_SEED = 14, /* not a stream: added to the seed for the training of a reference */
    RNG_SAMPLES = 15,        /* the seed of each answer of `ica generate --samples` */
    RNG_CORPUS_SPLIT = 1001, /* the built-in corpus: its items into parts, then its files */
    RNG_CORPUS_PRETRAIN = 1002,
    RNG_CORPUS_EVEN50 = 1003,
    RNG_CORPUS_VERBOSE60 = 1004,
    RNG_CORPUS_HOLDOUT = 1005,
    RNG_CORPUS_TEST = 1006,
    RNG_CORPUS_PAIRS_POOL = 1007,
    RNG_CORPUS_PAIRS_HOLDOUT = 1008,
    RNG_CORPUS_PAIRS_TEST = 1009,
    RNG_CORPUS_NOISE = 1010
};

/* The generator at the start of one stream of a seed. `stream` is one of enum RngStream. */
Rng rng_new(uint64_t seed, uint64_t stream);
uint64_t rng_u64(Rng *r);
int rng_below(Rng *r, int n);            /* uniform in 0..n-1 without bias; n >= 1 */
double rng_uniform(Rng *r);              /* uniform in [0,1), 53 bits */
double rng_normal(Rng *r);               /* standard normal, by Box and Muller */
void rng_shuffle(Rng *r, int *v, int n); /* Fisher-Yates */
int *rng_order(Rng *r, int n);           /* 0..n-1 in random order; free() it */

/* ---- checksums, time ---- */

/* FNV-1a. Start with HASH_START; to continue, pass the previous result. */
uint64_t hash64(const void *bytes, size_t n, uint64_t start);
#define HASH_START 0xcbf29ce484222325u
/* CRC-32C (Castagnoli). Start with 0; to continue, pass the previous result. */
uint32_t crc32c(const void *bytes, size_t n, uint32_t start);
/* Seconds of a clock that never goes back. */
double seconds_now(void);

#endif
