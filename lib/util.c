#define _POSIX_C_SOURCE 200809L
#include "lib/util.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/system.h"
#include "lib/unicode.h"

/* ---- errors ---- */

bool error_set(Error *err, int status, const char *format, ...) {
    if (err->status != 0) return false;
    err->status = status;
    va_list args;
    char text[sizeof err->text + 4];
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* A message may quote a file, which may hold anything. Keep it one line that can be printed. */
    char shown[UNICODE_SHOWN_MOST];
    size_t n = unicode_cut(text, strlen(text), sizeof err->text - 1), to = 0;
    int length;
    for (size_t i = 0; i < n;) {
        i += unicode_show(text + i, n - i, shown, &length);
        if (to + (size_t)length >= sizeof err->text) break;
        memcpy(err->text + to, shown, (size_t)length);
        to += (size_t)length;
    }
    err->text[to] = 0;
    return false;
}

int error_print(const Error *err) {
    fprintf(stderr, "ica: %s\n", err->text);
    return err->status ? err->status : STATUS_FAILED;
}

/* ---- memory ---- */

static void out_of_memory(size_t count, size_t size) {
    fprintf(stderr,
            "ica: out of memory (wanted %zu x %zu bytes); use a smaller model, context or batch\n",
            count, size);
    system_discard();
    exit(STATUS_IO);
}

size_t mem_mul(size_t a, size_t b) {
    if (b != 0 && a > SIZE_MAX / 2 / b) out_of_memory(a, b);
    return a * b;
}

void *mem_new(size_t count, size_t size) {
    size_t bytes = mem_mul(count, size);
    /* A multiple of 64, as aligned_alloc wants. No more: sanitizers then see reads past the end. */
    bytes = bytes ? (bytes + 63) / 64 * 64 : 64;
    void *p = system_calls.allocate(bytes);
    if (!p) out_of_memory(count, size);
    return memset(p, 0, bytes);
}

void *mem_grow(void *old, size_t count, size_t size) {
    size_t bytes = mem_mul(count, size);
    void *p = system_calls.resize(old, bytes ? bytes : 1);
    if (!p) out_of_memory(count, size);
    return p;
}

struct ArenaBlock {
    ArenaBlock *previous;
    size_t used, capacity;
    char *bytes;
};

/* `alignment` is a power of 2, at most 64. */
static void *arena_take(Arena *arena, size_t bytes, size_t alignment) {
    ArenaBlock *block = arena->last;
    if (block) block->used += -block->used & (alignment - 1);
    if (!block || block->used > block->capacity || block->capacity - block->used < bytes) {
        size_t capacity = bytes > (1u << 16) ? bytes : (1u << 16);
        block = mem_new(1, sizeof *block);
        block->bytes = mem_new(capacity, 1);
        block->capacity = capacity;
        block->previous = arena->last;
        arena->last = block;
    }
    void *p = block->bytes + block->used;
    block->used += bytes;
    return p;
}

void *arena_new(Arena *arena, size_t count, size_t size) {
    return arena_take(arena, mem_mul(count, size), 16);
}

void arena_adopt(Arena *arena, void *memory) {
    ArenaBlock *block = mem_new(1, sizeof *block), *last = arena->last;
    block->bytes = memory;
    if (last) { /* the last block stays the one with room */
        block->previous = last->previous;
        last->previous = block;
    } else arena->last = block;
}

void arena_free(Arena *arena) {
    for (ArenaBlock *block = arena->last, *previous; block; block = previous) {
        previous = block->previous;
        free(block->bytes);
        free(block);
    }
    arena->last = NULL;
}

/* ---- strings ---- */

Str str(const char *c_string) { return (Str){c_string, strlen(c_string)}; }

bool str_equal(Str a, Str b) { return a.n == b.n && (a.n == 0 || memcmp(a.s, b.s, a.n) == 0); }

bool str_is(Str a, const char *c_string) { return str_equal(a, str(c_string)); }

Str str_copy(Arena *arena, Str s) {
    char *copy = arena_take(arena, s.n + 1, 1);
    if (s.n) memcpy(copy, s.s, s.n);
    return (Str){copy, s.n};
}

void buf_reserve(Buf *b, size_t more) {
    if (b->capacity - b->n > more) return;
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity - b->n <= more) capacity = mem_mul(capacity, 2);
    b->s = mem_grow(b->s, capacity, 1);
    b->capacity = capacity;
}

void buf_put(Buf *b, const void *bytes, size_t n) {
    buf_reserve(b, n);
    if (n) memcpy(b->s + b->n, bytes, n);
    b->n += n;
    b->s[b->n] = 0;
}

void buf_puts(Buf *b, const char *c_string) { buf_put(b, c_string, strlen(c_string)); }

void buf_putc(Buf *b, char c) { buf_put(b, &c, 1); }

void buf_printf(Buf *b, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->s + b->n, (size_t)n + 1, format, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_free(Buf *b) {
    free(b->s);
    *b = (Buf){0};
}

static void ints_reserve(IntBuf *b, int more) {
    if (more > INT_MAX / 2 - b->n) out_of_memory((size_t)more, sizeof(int));
    if (b->n + more <= b->capacity) return;
    int capacity = b->capacity ? b->capacity : 64;
    while (capacity < b->n + more) capacity *= 2;
    b->v = mem_grow(b->v, (size_t)capacity, sizeof(int));
    b->capacity = capacity;
}

void ints_put(IntBuf *b, int value) {
    ints_reserve(b, 1);
    b->v[b->n++] = value;
}

void ints_append(IntBuf *b, const int *values, int n) {
    if (n <= 0) return;
    ints_reserve(b, n);
    memcpy(b->v + b->n, values, (size_t)n * sizeof(int));
    b->n += n;
}

void ints_free(IntBuf *b) {
    free(b->v);
    *b = (IntBuf){0};
}

/* ---- random numbers ---- */

static uint64_t splitmix64(uint64_t *x) {
    uint64_t z = (*x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

Rng rng_new(uint64_t seed, uint64_t stream) {
    uint64_t x = seed;
    x = splitmix64(&x) ^ (stream * 0xd1342543de82ef95u);
    Rng r;
    for (int i = 0; i < 4; i++) r.s[i] = splitmix64(&x);
    return r;
}

static uint64_t rotate_left(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t rng_u64(Rng *r) {
    uint64_t *s = r->s, result = rotate_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

int rng_below(Rng *r, int n) {
    /* Reject the tail, where the remainders are not equally frequent. */
    uint64_t range = (uint64_t)n, limit = UINT64_MAX - UINT64_MAX % range;
    uint64_t x;
    do x = rng_u64(r);
    while (x >= limit);
    return (int)(x % range);
}

double rng_uniform(Rng *r) { return (double)(rng_u64(r) >> 11) * 0x1p-53; }

double rng_normal(Rng *r) {
    double u = 1.0 - rng_uniform(r), v = rng_uniform(r); /* u is in (0,1], so its log is finite */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void rng_shuffle(Rng *r, int *v, int n) {
    for (int i = n - 1; i > 0; i--) {
        int j = rng_below(r, i + 1), t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}

int *rng_order(Rng *r, int n) {
    int *order = mem_new((size_t)n, sizeof *order);
    for (int i = 0; i < n; i++) order[i] = i;
    rng_shuffle(r, order, n);
    return order;
}

/* ---- checksums, time ---- */

uint64_t hash64(const void *bytes, size_t n, uint64_t start) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) start = (start ^ p[i]) * 0x100000001b3u;
    return start;
}

uint32_t crc32c(const void *bytes, size_t n, uint32_t start) {
    /* table[t][i]: the sum of byte i followed by t zero bytes, so that eight bytes need one step
     * ("slicing by 8"). Filling it at each call costs little next to a large file. */
    uint32_t table[8][256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = (c >> 1) ^ (0x82f63b78u & (0u - (c & 1)));
        table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            table[t][i] = (table[t - 1][i] >> 8) ^ table[0][table[t - 1][i] & 255];
    const unsigned char *p = bytes;
    uint32_t c = ~start;
    for (; n >= 8; n -= 8, p += 8) {
        c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        c = table[7][c & 255] ^ table[6][c >> 8 & 255] ^ table[5][c >> 16 & 255] ^
            table[4][c >> 24] ^ table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    }
    for (; n > 0; n--, p++) c = (c >> 8) ^ table[0][(c ^ *p) & 255];
    return ~c;
}

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
