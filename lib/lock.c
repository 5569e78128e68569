#define _POSIX_C_SOURCE 200809L
#include "lib/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/system.h"

/* Is the open file still the one of that path? Who held the lock before may have removed it. */
static bool still_there(int fd, const char *path) {
    struct stat mine, now;
    return fstat(fd, &mine) == 0 && stat(path, &now) == 0 && mine.st_ino == now.st_ino &&
           mine.st_dev == now.st_dev;
}

static bool held_elsewhere(int fd, const char *path, Error *err) {
    struct flock who = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_GETLK, &who) == 0 && who.l_type != F_UNLCK && who.l_pid > 0)
        return error_set(err, STATUS_IO, "%s: process %ld writes here: wait for it, or stop it",
                         path, (long)who.l_pid);
    return error_set(err, STATUS_IO, "%s: another process writes here: wait for it, or stop it",
                     path);
}

bool lock_take(FileLock *lock, const char *path, Error *err) {
    for (;;) {
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int fd = system_calls.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666), failed;
        if (fd < 0 && errno == EINTR) continue;
        if (fd < 0) return error_set(err, STATUS_IO, "%s: cannot write: %s", path, strerror(errno));
        do failed = fcntl(fd, F_SETLK, &all);
        while (failed && errno == EINTR);
        if (failed && (errno == EAGAIN || errno == EACCES)) {
            held_elsewhere(fd, path, err);
            system_calls.close(fd);
            return false;
        }
        if (failed)
            fprintf(stderr, "%s: no lock on this file system (%s): start no second run here\n",
                    path, strerror(errno));
        if (!failed && !still_there(fd, path)) {
            system_calls.close(fd);
            continue;
        }
        lock->fd = fd;
        lock->path = mem_new(strlen(path) + 1, 1);
        strcpy(lock->path, path);
        return true;
    }
}

void lock_free(FileLock *lock) {
    if (!lock->path) return;
    system_calls.unlink(lock->path); /* before the lock goes: whoever waits finds another file */
    system_calls.close(lock->fd);
    free(lock->path);
    *lock = (FileLock){0};
}
