/* system: the seam between the program and the operating system.
 *
 * What it is. Every call that opens, reads, writes, settles, renames or removes a file, makes or
 * removes a folder, or takes memory goes through the table system_calls. Nothing else in the
 * program calls these functions. So a test that replaces members of the table sees all of them in
 * their order, and can let any one fail: tests/unit/power.h records what is written,
 * tests/system/scarcity.c lets the n-th call fail. A member behaves as the POSIX function of its
 * name: -1 or NULL for a failure, with errno.
 *
 * Global state. There are two pieces, and the program has no third. The table is written by tests
 * alone, before they call anything else. The list of unfinished files is what a signal handler
 * must find without being handed it.
 *
 * Usage:
 *   SystemCalls real = system_calls;         // a test keeps the real table, replaces members,
 *   system_calls.fsync = NULL;               // (a function of its own in place of NULL)
 *   system_calls = real;                     // and puts it back
 *   int place = system_unfinished("out/model.safetensors.17.part");
 *   system_discard();                        // removes that file
 *   system_finished(place);                  // forgets it
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include <stddef.h>
#include <sys/types.h>

typedef struct {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *bytes, size_t n);
    ssize_t (*read_at)(int fd, void *bytes, size_t n, off_t at); /* pread */
    ssize_t (*write)(int fd, const void *bytes, size_t n);
    int (*truncate)(int fd, off_t n); /* ftruncate */
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*mkdir)(const char *path, mode_t mode);
    int (*link)(const char *path, const char *other);
    int (*unlink)(const char *path);
    int (*rmdir)(const char *path);
    void *(*allocate)(size_t bytes);          /* aligned to 64 bytes; `bytes` is a multiple of 64 */
    void *(*resize)(void *old, size_t bytes); /* realloc */
} SystemCalls;
extern SystemCalls system_calls;

/* Notes a temporary file that has to go if the program ends before it gets its name. Returns its
 * place in the list, or -1 if the list is full or the path is too long: such a file stays. */
int system_unfinished(const char *path);
void system_finished(int place);
/* Removes the noted files. A signal handler may call it, and ends the program afterwards. */
void system_discard(void);

#endif
