/* lock: a file that one process at a time holds.
 *
 * The lock is the kernel's (fcntl) and dies with its process, however that ends; the file itself
 * means nothing and may stay behind. It holds between the processes of one machine, and between
 * machines on a network file system whose lock service runs (NFS 4, or NFS 3 with lockd). On a file
 * system without locks, lock_take says so on stderr and goes on.
 *
 * Usage:
 *   Error err = {0};
 *   FileLock lock = {0};
 *   if (!lock_take(&lock, "run.lock", &err)) return error_print(&err);
 *   lock_free(&lock);
 */
#ifndef LOCK_H
#define LOCK_H

#include "lib/util.h"

typedef struct {
    char *path; /* NULL: not held */
    int fd;
} FileLock; /* zero-initialize */

/* Makes the file and takes its lock. Status 4 if another process has it, whose number is named
 * where the system knows it. */
bool lock_take(FileLock *lock, const char *path, Error *err);
/* Gives it back and removes the file. Does nothing if it is not held. */
void lock_free(FileLock *lock);

#endif
