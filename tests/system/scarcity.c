/* Linked into ./ica it makes the n-th call of a kind fail (lib/system.h has the calls). From the
 * environment:
 *   SCARCITY        "CALL N HOW": CALL is a member of SystemCalls, as write; N counts from 1; HOW
 *                   is EIO, ENOSPC, EMFILE, ENOMEM or EINTR, or short: a read or write then moves
 *                   half of what it should
 *   SCARCITY_COUNT  a file that gets a line "CALL N" for each call that was made, at the end. Of
 *                   calls that take memory only the first from each place in the program (a chain
 *                   of callers) has a line, unless SCARCITY_EVERY is set
 * For one thread: nothing here is locked. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <execinfo.h>
#endif

#include "lib/system.h"

typedef enum {
    CALL_OPEN,
    CALL_READ,
    CALL_READ_AT,
    CALL_WRITE,
    CALL_TRUNCATE,
    CALL_FSYNC,
    CALL_CLOSE,
    CALL_RENAME,
    CALL_MKDIR,
    CALL_LINK,
    CALL_UNLINK,
    CALL_RMDIR,
    CALL_ALLOCATE,
    CALL_RESIZE,
    CALL_COUNT
} Call;
static const char *const NAMES[CALL_COUNT] = {"open",   "read",  "read_at",  "write", "truncate",
                                              "fsync",  "close", "rename",   "mkdir", "link",
                                              "unlink", "rmdir", "allocate", "resize"};

enum { PLACES = 1 << 16 };

static struct {
    SystemCalls real;
    long made[CALL_COUNT];
    Call call;  /* that is to fail */
    long n;     /* 0: none */
    int reason; /* 0: short */
    FILE *count;
    uint64_t *place; /* [PLACES] hashes of the callers seen */
} plan;

/* Is this the first call from its chain of callers? */
static bool new_place(void) {
    uint64_t hash = 0xcbf29ce484222325u;
#ifdef __GLIBC__
    void *frame[24];
    int n = backtrace(frame, 24);
    for (int i = 0; i < n; i++) hash = (hash ^ (uint64_t)(uintptr_t)frame[i]) * 0x100000001b3u;
#else
    return true;
#endif
    uint64_t i = hash % PLACES;
    while (plan.place[i] && plan.place[i] != hash) i = (i + 1) % PLACES;
    bool is_new = plan.place[i] == 0;
    plan.place[i] = hash;
    return is_new;
}

/* Counts a call. True if it is the one that fails, and then errno is set. */
static bool fails(Call call) {
    long n = ++plan.made[call];
    if (plan.count && (call < CALL_ALLOCATE || getenv("SCARCITY_EVERY") || new_place()))
        fprintf(plan.count, "%s %ld\n", NAMES[call], n);
    if (call != plan.call || n != plan.n) return false;
    errno = plan.reason;
    return true;
}

static int try_open(const char *path, int flags, mode_t mode) {
    return fails(CALL_OPEN) ? -1 : plan.real.open(path, flags, mode);
}

static ssize_t try_read(int fd, void *bytes, size_t n) {
    bool chosen = fails(CALL_READ);
    if (chosen && plan.reason) return -1;
    return plan.real.read(fd, bytes, chosen && n > 1 ? n / 2 : n);
}

static ssize_t try_read_at(int fd, void *bytes, size_t n, off_t at) {
    bool chosen = fails(CALL_READ_AT);
    if (chosen && plan.reason) return -1;
    return plan.real.read_at(fd, bytes, chosen && n > 1 ? n / 2 : n, at);
}

static ssize_t try_write(int fd, const void *bytes, size_t n) {
    bool chosen = fails(CALL_WRITE);
    if (chosen && plan.reason) return -1;
    return plan.real.write(fd, bytes, chosen && n > 1 ? n / 2 : n);
}

static int try_truncate(int fd, off_t n) {
    return fails(CALL_TRUNCATE) ? -1 : plan.real.truncate(fd, n);
}

static int try_fsync(int fd) { return fails(CALL_FSYNC) ? -1 : plan.real.fsync(fd); }

/* A close that fails has closed the file all the same. */
static int try_close(int fd) {
    bool chosen = fails(CALL_CLOSE);
    int status = plan.real.close(fd);
    if (!chosen) return status;
    errno = plan.reason;
    return -1;
}

static int try_rename(const char *from, const char *to) {
    return fails(CALL_RENAME) ? -1 : plan.real.rename(from, to);
}

static int try_mkdir(const char *path, mode_t mode) {
    return fails(CALL_MKDIR) ? -1 : plan.real.mkdir(path, mode);
}

static int try_link(const char *path, const char *other) {
    return fails(CALL_LINK) ? -1 : plan.real.link(path, other);
}

static int try_unlink(const char *path) { return fails(CALL_UNLINK) ? -1 : plan.real.unlink(path); }

static int try_rmdir(const char *path) { return fails(CALL_RMDIR) ? -1 : plan.real.rmdir(path); }

static void *try_allocate(size_t bytes) {
    return fails(CALL_ALLOCATE) ? NULL : plan.real.allocate(bytes);
}

static void *try_resize(void *old, size_t bytes) {
    return fails(CALL_RESIZE) ? NULL : plan.real.resize(old, bytes);
}

static const struct {
    const char *name;
    int value;
} REASONS[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EMFILE", EMFILE},
               {"ENOMEM", ENOMEM}, {"EINTR", EINTR},   {"short", 0}};

static void read_plan(const char *text) {
    char call[16], how[16];
    if (sscanf(text, "%15s %ld %15s", call, &plan.n, how) != 3) abort();
    while (plan.call < CALL_COUNT && strcmp(call, NAMES[plan.call]) != 0) plan.call++;
    size_t i = 0, n = sizeof REASONS / sizeof *REASONS;
    while (i < n && strcmp(how, REASONS[i].name) != 0) i++;
    if (plan.call == CALL_COUNT || i == n) abort();
    plan.reason = REASONS[i].value;
}

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("SCARCITY"), *count = getenv("SCARCITY_COUNT");
    if (text) read_plan(text);
    if (count) {
        plan.place = calloc(PLACES, sizeof *plan.place);
        plan.count = fopen(count, "w");
        if (!plan.place || !plan.count) abort();
    }
    plan.real = system_calls;
    system_calls = (SystemCalls){.open = try_open,
                                 .read = try_read,
                                 .read_at = try_read_at,
                                 .write = try_write,
                                 .truncate = try_truncate,
                                 .fsync = try_fsync,
                                 .close = try_close,
                                 .rename = try_rename,
                                 .mkdir = try_mkdir,
                                 .link = try_link,
                                 .unlink = try_unlink,
                                 .rmdir = try_rmdir,
                                 .allocate = try_allocate,
                                 .resize = try_resize};
}

__attribute__((destructor)) static void end(void) {
    if (plan.count) fclose(plan.count);
    free(plan.place);
}
