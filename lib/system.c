#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE 1 /* on macOS: F_FULLFSYNC */
#include "lib/system.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int call_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

/* macOS's fsync leaves bytes in the drive's cache, where a loss of power loses them. F_FULLFSYNC
 * empties it; a file system that lacks it gets fsync. */
static int call_fsync(int fd) {
#ifdef __APPLE__
    int failed = fcntl(fd, F_FULLFSYNC);
    if (!failed || (errno != ENOTSUP && errno != EINVAL && errno != ENOTTY)) return failed;
#endif
    return fsync(fd);
}

static void *call_allocate(size_t bytes) { return aligned_alloc(64, bytes); }

SystemCalls system_calls = {.open = call_open,
                            .read = read,
                            .read_at = pread,
                            .write = write,
                            .truncate = ftruncate,
                            .fsync = call_fsync,
                            .close = close,
                            .rename = rename,
                            .mkdir = mkdir,
                            .link = link,
                            .unlink = unlink,
                            .rmdir = rmdir,
                            .allocate = call_allocate,
                            .resize = realloc};

/* Files that are written side by side are few. The paths are copies of a fixed size, so that a
 * handler on another thread never reads freed memory. */
enum { UNFINISHED_MOST = 4, UNFINISHED_PATH = 4096 };
static struct {
    volatile sig_atomic_t used; /* set after the path is complete */
    char path[UNFINISHED_PATH];
} unfinished[UNFINISHED_MOST];

int system_unfinished(const char *path) {
    size_t n = strlen(path) + 1;
    for (int i = 0; i < UNFINISHED_MOST && n <= UNFINISHED_PATH; i++) {
        if (unfinished[i].used) continue;
        memcpy(unfinished[i].path, path, n);
        unfinished[i].used = 1;
        return i;
    }
    return -1;
}

void system_finished(int place) {
    if (place >= 0) unfinished[place].used = 0;
}

void system_discard(void) {
    for (int i = 0; i < UNFINISHED_MOST; i++)
        if (unfinished[i].used) system_calls.unlink(unfinished[i].path);
}
