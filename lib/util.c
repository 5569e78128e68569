#define _XOPEN_SOURCE 700 /* POSIX 2008 and realpath */
#include "lib/util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- errors ---- */

bool error_set(Error *err, int status, const char *format, ...) {
    if (err->status != 0) return false;
    err->status = status;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    /* Keep the message one line: a text from outside may hold anything. */
    for (char *c = err->text; *c; c++)
        if ((unsigned char)*c < 32 || *c == 127) *c = ' ';
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
    exit(STATUS_IO);
}

size_t mem_mul(size_t a, size_t b) {
    if (b != 0 && a > SIZE_MAX / 2 / b) out_of_memory(a, b);
    return a * b;
}

void *mem_new(size_t count, size_t size) {
    size_t bytes = mem_mul(count, size);
    /* aligned_alloc wants a multiple of 64. No more, so that sanitizers see reads past the end. */
    bytes = bytes ? (bytes + 63) / 64 * 64 : 64;
    void *p = aligned_alloc(64, bytes);
    if (!p) out_of_memory(count, size);
    return memset(p, 0, bytes);
}

void *mem_grow(void *old, size_t count, size_t size) {
    size_t bytes = mem_mul(count, size);
    void *p = realloc(old, bytes ? bytes : 1);
    if (!p) out_of_memory(count, size);
    return p;
}

struct ArenaBlock {
    ArenaBlock *previous;
    size_t used, capacity;
    char *bytes;
};

void *arena_new(Arena *arena, size_t count, size_t size) {
    size_t bytes = (mem_mul(count, size) + 15) / 16 * 16;
    ArenaBlock *block = arena->last;
    if (!block || block->capacity - block->used < bytes) {
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
    char *copy = arena_new(arena, s.n + 1, 1);
    if (s.n) memcpy(copy, s.s, s.n);
    return (Str){copy, s.n};
}

static void buf_reserve(Buf *b, size_t more) {
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

/* ---- files ---- */

bool file_read(const char *path, Buf *b, Error *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "rb");
    b->n = 0;
    if (!f) return error_set(err, STATUS_IO, "%s: cannot open: %s", path, strerror(errno));
    for (;;) {
        buf_reserve(b, 1 << 16);
        size_t got = fread(b->s + b->n, 1, 1 << 16, f);
        b->n += got;
        b->s[b->n] = 0;
        if (got == 0) break;
    }
    bool failed = ferror(f) != 0;
    int reason = errno;
    if (!is_stdin) fclose(f);
    if (failed) return error_set(err, STATUS_IO, "%s: cannot read: %s", path, strerror(reason));
    return true;
}

/* Makes a rename durable: fsync of the folder of a path. */
static void sync_folder(const char *path) {
    char *folder = mem_new(strlen(path) + 3, 1);
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (slash == folder) slash[1] = 0;
    else if (slash) *slash = 0;
    else strcpy(folder, ".");
    int fd = open(folder, O_RDONLY);
    if (fd >= 0) {
        fsync(fd); /* some file systems refuse; the rename is atomic anyway */
        close(fd);
    }
    free(folder);
}

bool file_begin(FileWriter *w, const char *path, Error *err) {
    struct stat s;
    char *target = realpath(path, NULL); /* replace a link's target, not the link */
    const char *to = target ? target : path;
    bool special = stat(to, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
    size_t n = strlen(to) + 32;
    w->path = mem_new(n, 1);
    strcpy(w->path, to);
    if (!special) { /* a rename would replace a device or a pipe */
        w->temporary = mem_new(n, 1);
        snprintf(w->temporary, n, "%s.%ld.part", to, (long)getpid());
    }
    free(target);
    w->f = fopen(special ? w->path : w->temporary, "wb");
    if (w->f) return true;
    error_set(err, STATUS_IO, "%s: cannot write: %s", path, strerror(errno));
    file_abort(w);
    return false;
}

bool file_try(const char *path, Error *err) {
    struct stat s;
    FileWriter w = {0};
    bool exists = stat(path, &s) == 0;
    if (exists && S_ISDIR(s.st_mode))
        return error_set(err, STATUS_IO, "%s: cannot write: %s", path, strerror(EISDIR));
    if (exists && !S_ISREG(s.st_mode)) return true; /* opening a pipe could wait for its reader */
    if (!file_begin(&w, path, err)) return false;
    file_abort(&w);
    return true;
}

bool file_put(FileWriter *w, const void *bytes, size_t n, Error *err) {
    if (n == 0 || fwrite(bytes, 1, n, w->f) == n) return true;
    error_set(err, STATUS_IO, "%s: cannot write: %s", w->path, strerror(errno));
    file_abort(w);
    return false;
}

bool file_commit(FileWriter *w, Error *err) {
    bool ok = fflush(w->f) == 0 && (!w->temporary || fsync(fileno(w->f)) == 0);
    int reason = errno;
    if (fclose(w->f) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    w->f = NULL;
    if (ok && w->temporary && rename(w->temporary, w->path) != 0) {
        ok = false;
        reason = errno;
    }
    if (!ok) {
        error_set(err, STATUS_IO, "%s: cannot write: %s", w->path, strerror(reason));
        file_abort(w);
        return false;
    }
    if (w->temporary) sync_folder(w->path);
    free(w->path);
    free(w->temporary);
    *w = (FileWriter){0};
    return true;
}

void file_abort(FileWriter *w) {
    if (w->f) fclose(w->f);
    if (w->temporary) unlink(w->temporary);
    free(w->path);
    free(w->temporary);
    *w = (FileWriter){0};
}

bool file_write(const char *path, const void *bytes, size_t n, Error *err) {
    FileWriter w = {0};
    return file_begin(&w, path, err) && file_put(&w, bytes, n, err) && file_commit(&w, err);
}

bool file_same(const char *a, const char *b) {
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

bool file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

bool folder_make(const char *path, Error *err) {
    char *p = mem_new(strlen(path) + 1, 1);
    strcpy(p, path);
    for (char *c = p + 1;; c++) {
        if (*c != '/' && *c != 0) continue;
        char kept = *c;
        *c = 0;
        if (mkdir(p, 0777) != 0 && errno != EEXIST) {
            error_set(err, STATUS_IO, "%s: cannot make the folder: %s", path, strerror(errno));
            break;
        }
        *c = kept;
        if (kept == 0) break;
    }
    free(p);
    struct stat s;
    if (err->status == 0 && (stat(path, &s) != 0 || !S_ISDIR(s.st_mode)))
        error_set(err, STATUS_IO, "%s: is not a folder", path);
    return err->status == 0;
}

/* Is the entry NAME.PID.part, a temporary of NAME as file_begin calls it? */
static bool is_temporary(const char *entry, const char *name) {
    size_t n = strlen(name);
    if (strncmp(entry, name, n) != 0 || entry[n] != '.') return false;
    size_t digits = strspn(entry + n + 1, "0123456789");
    return digits > 0 && strcmp(entry + n + 1 + digits, ".part") == 0;
}

void folder_sweep(const char *path, const char *const *names, int n) {
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));)
        for (int i = 0; i < n; i++) {
            if (!is_temporary(e->d_name, names[i])) continue;
            char *old = path_join(path, e->d_name);
            remove(old);
            free(old);
        }
    if (d) closedir(d);
}

char *path_join(const char *folder, const char *name) {
    size_t n = strlen(folder) + strlen(name) + 2;
    char *p = mem_new(n, 1);
    snprintf(p, n, "%s/%s", folder, name);
    return p;
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
