#define _XOPEN_SOURCE 700 /* POSIX 2008 and realpath */
#include "lib/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/system.h"

/* ---- calls that are continued ---- */

/* What one call moves at most. Larger counts are refused by some systems. */
enum { CALL_MOST = 1 << 30, READ_LEAST = 1 << 16, PENDING_MOST = 1 << 16 };

static int open_again(const char *path, int flags) {
    int fd;
    do fd = system_calls.open(path, flags, 0666);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static bool sync_again(int fd) {
    int failed;
    do failed = system_calls.fsync(fd);
    while (failed && errno == EINTR);
    return !failed;
}

/* An interrupted close has closed the file on Linux, and a second call could close another one. */
static bool close_once(int fd) { return system_calls.close(fd) == 0 || errno == EINTR; }

static bool truncate_again(int fd, int64_t n) {
    int failed;
    do failed = system_calls.truncate(fd, (off_t)n);
    while (failed && errno == EINTR);
    return !failed;
}

static bool rename_again(const char *from, const char *to) {
    int failed;
    do failed = system_calls.rename(from, to);
    while (failed && errno == EINTR);
    return !failed;
}

static bool unlink_again(const char *path) {
    int failed;
    do failed = system_calls.unlink(path);
    while (failed && errno == EINTR);
    return !failed;
}

static bool write_all(int fd, const void *bytes, size_t n) {
    const char *p = bytes;
    while (n > 0) {
        ssize_t done = system_calls.write(fd, p, n < CALL_MOST ? n : CALL_MOST);
        if (done < 0 && errno == EINTR) continue;
        if (done == 0) errno = ENOSPC; /* no progress and no reason */
        if (done <= 0) return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

/* Appends what the file has up to its end, until b has `most` bytes. */
static bool read_all(int fd, size_t most, Buf *b) {
    for (;;) {
        size_t left = most - b->n;
        if (left == 0) return true;
        buf_reserve(b, left < READ_LEAST ? left : READ_LEAST);
        size_t room = b->capacity - b->n - 1;
        if (room > left) room = left;
        ssize_t got = system_calls.read(fd, b->s + b->n, room < CALL_MOST ? room : CALL_MOST);
        if (got < 0 && errno == EINTR) continue;
        if (got > 0) b->n += (size_t)got;
        b->s[b->n] = 0;
        if (got <= 0) return got == 0;
    }
}

/* ---- whole files ---- */

static bool cannot(Error *err, const char *path, const char *what, int reason) {
    if (strcmp(path, "-") == 0)
        return error_set(err, STATUS_IO, "cannot %s the standard input: %s", what,
                         strerror(reason));
    return error_set(err, STATUS_IO, "%s: cannot %s: %s", path, what, strerror(reason));
}

bool file_read(const char *path, Buf *b, Error *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open_again(path, O_RDONLY);
    b->n = 0;
    if (fd < 0) return cannot(err, path, "open", errno);
    bool ok = read_all(fd, SIZE_MAX, b);
    int reason = errno;
    if (!is_stdin) close_once(fd);
    if (ok) return true;
    buf_free(b);
    return cannot(err, path, "read", reason);
}

/* The size of a regular file. */
static bool regular_size(const char *path, uint64_t *size, Error *err) {
    struct stat s;
    if (stat(path, &s) != 0) return cannot(err, path, "open", errno);
    if (S_ISDIR(s.st_mode)) return cannot(err, path, "read", EISDIR);
    *size = (uint64_t)s.st_size;
    return S_ISREG(s.st_mode) ||
           error_set(err, STATUS_DATA, "%s: is a pipe or a device; it must be a regular file",
                     path);
}

bool file_read_start(const char *path, size_t most, Buf *b, uint64_t *size, Error *err) {
    b->n = 0;
    if (!regular_size(path, size, err)) return false;
    int fd = open_again(path, O_RDONLY);
    if (fd < 0) return cannot(err, path, "open", errno);
    if (*size < most) most = (size_t)*size;
    if (b->capacity <= most) { /* exactly, where buf_reserve would take up to twice as much */
        b->s = mem_grow(b->s, most + 1, 1);
        b->capacity = most + 1;
    }
    b->s[0] = 0;
    bool ok = read_all(fd, most, b);
    int reason = errno;
    close_once(fd);
    if (ok) return true;
    buf_free(b);
    return cannot(err, path, "read", reason);
}

bool file_read_most(const char *path, size_t most, Buf *b, Error *err) {
    uint64_t size;
    if (!regular_size(path, &size, err)) return false;
    if (size <= most) return file_read_start(path, most, b, &size, err);
    return error_set(err, STATUS_DATA,
                     "%s: has %llu bytes, and a file of its kind at most %zu; is it the right "
                     "file?",
                     path, (unsigned long long)size, most);
}

bool file_write(const char *path, const void *bytes, size_t n, Error *err) {
    FileWriter w = {0};
    return file_begin(&w, path, err) && file_put(&w, bytes, n, err) && file_commit(&w, err);
}

bool file_print(const void *bytes, size_t n, Error *err) {
    return write_all(STDOUT_FILENO, bytes, n) ||
           error_set(err, STATUS_IO, "cannot write to the standard output: %s", strerror(errno));
}

size_t file_head(const char *path, char *head, size_t most) {
    struct stat s;
    ssize_t got = -1;
    int fd = stat(path, &s) == 0 && S_ISREG(s.st_mode) ? open_again(path, O_RDONLY) : -1;
    do got = fd >= 0 ? system_calls.read(fd, head, most) : 0;
    while (got < 0 && errno == EINTR);
    if (fd >= 0) close_once(fd);
    size_t n = got > 0 ? (size_t)got : 0;
    head[n] = 0;
    return n;
}

bool file_fingerprint(const char *path, uint64_t *fingerprint, Error *err) {
    char part[READ_LEAST];
    int fd = open_again(path, O_RDONLY);
    if (fd < 0) return cannot(err, path, "open", errno);
    ssize_t got;
    *fingerprint = HASH_START;
    while ((got = system_calls.read(fd, part, sizeof part)) != 0) {
        if (got > 0) *fingerprint = hash64(part, (size_t)got, *fingerprint);
        else if (errno != EINTR) break;
    }
    int reason = errno;
    close_once(fd);
    return got == 0 || cannot(err, path, "read", reason);
}

/* ---- in pieces ---- */

/* Is it no failure that a folder cannot be synced? Some file systems refuse to, and some folders
 * may be written to and not read. A name there is as durable as the system makes it. */
static bool may_lack_sync(int reason) {
    return reason == EINVAL || reason == ENOTSUP || reason == EACCES || reason == EPERM;
}

/* Makes the names in a folder durable. */
static bool sync_names(const char *folder) {
    int fd = open_again(folder, O_RDONLY);
    bool ok = (fd >= 0 && sync_again(fd)) || may_lack_sync(errno);
    int reason = errno;
    if (fd >= 0) close_once(fd);
    errno = reason;
    return ok;
}

/* The folder of a path, in a buffer that is large enough for any path that the system takes. False
 * if it is not. */
static bool folder_of(const char *path, char folder[PATH_MAX + 1]) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
    if (n > PATH_MAX) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(folder, slash ? path : ".", n);
    folder[n] = 0;
    return true;
}

/* Makes the names in the folder of a path durable. Takes no memory: a file has been made, and would
 * stay if there were none. */
static bool sync_folder(const char *path) {
    char folder[PATH_MAX + 1];
    return folder_of(path, folder) && sync_names(folder);
}

/* The target of a link that leads to nothing yet: a path relative to the folder of the link. NULL
 * if path is not a link. free() it. */
static char *link_target(const char *path) {
    char text[PATH_MAX + 1];
    ssize_t n = readlink(path, text, PATH_MAX);
    if (n < 0) return NULL;
    text[n] = 0;
    const char *slash = text[0] == '/' ? NULL : strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
    char *target = mem_new(folder + (size_t)n + 1, 1);
    memcpy(target, path, folder);
    strcpy(target + folder, text);
    return target;
}

/* The path that a file gets: links are followed, so that the target is replaced and not the link.
 * free() it. */
static char *final_path(const char *path) {
    enum { LINKS_MOST = 40 }; /* as many as Linux follows */
    char *found = realpath(path, NULL);
    char *to = mem_new(strlen(found ? found : path) + 1, 1);
    strcpy(to, found ? found : path);
    for (int i = 0; !found && i < LINKS_MOST; i++) {
        char *next = link_target(to);
        if (!next) break;
        free(to);
        to = next;
    }
    free(found);
    return to;
}

bool file_begin(FileWriter *w, const char *path, Error *err) {
    struct stat s;
    *w = (FileWriter){.path = final_path(path), .fd = -1, .place = -1};
    bool special = stat(w->path, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
    if (!special) { /* a rename would replace a device or a pipe */
        size_t n = strlen(w->path) + 32;
        w->temporary = mem_new(n, 1);
        snprintf(w->temporary, n, "%s.%ld.part", w->path, (long)getpid());
        w->place = system_unfinished(w->temporary);
    }
    buf_reserve(&w->pending, PENDING_MOST);
    w->fd = open_again(special ? w->path : w->temporary, O_WRONLY | O_CREAT | O_TRUNC);
    if (w->fd >= 0) return true;
    cannot(err, path, "write", errno);
    file_abort(w);
    return false;
}

bool file_allowed(const char *path, Error *err) {
    struct stat s;
    char folder[PATH_MAX + 1];
    bool exists = stat(path, &s) == 0;
    if (exists && S_ISDIR(s.st_mode)) return cannot(err, path, "write", EISDIR);
    /* A file gets its name by a rename, and others are written to where they are. */
    bool special = exists && !S_ISREG(s.st_mode);
    bool ok = folder_of(path, folder) &&
              access(special ? path : folder, special ? W_OK : W_OK | X_OK) == 0;
    return ok || cannot(err, path, "write", errno);
}

bool file_try(const char *path, Error *err) {
    struct stat s;
    FileWriter w = {0};
    bool exists = stat(path, &s) == 0;
    if (exists && S_ISDIR(s.st_mode)) return cannot(err, path, "write", EISDIR);
    if (exists && !S_ISREG(s.st_mode)) return true; /* opening a pipe could wait for its reader */
    if (!file_begin(&w, path, err)) return false;
    file_abort(&w);
    return true;
}

/* Takes the writer back after a call failed. */
static bool fail(FileWriter *w, Error *err) {
    cannot(err, w->path, "write", errno);
    file_abort(w);
    return false;
}

static bool flush(FileWriter *w) {
    bool ok = write_all(w->fd, w->pending.s, w->pending.n);
    w->pending.n = 0;
    return ok;
}

bool file_put(FileWriter *w, const void *bytes, size_t n, Error *err) {
    if (w->pending.n + n > PENDING_MOST && !flush(w)) return fail(w, err);
    if (n <= PENDING_MOST) buf_put(&w->pending, bytes, n);
    else if (!write_all(w->fd, bytes, n)) return fail(w, err);
    return true;
}

bool file_commit(FileWriter *w, Error *err) {
    if (!flush(w) || (w->temporary && !sync_again(w->fd))) return fail(w, err);
    bool closed = close_once(w->fd);
    w->fd = -1;
    if (!closed || (w->temporary && !rename_again(w->temporary, w->path))) return fail(w, err);
    bool safe = !w->temporary || sync_folder(w->path);
    if (!safe) cannot(err, w->path, "write its folder", errno);
    free(w->temporary); /* it has its name now */
    w->temporary = NULL;
    file_abort(w);
    return safe;
}

void file_abort(FileWriter *w) {
    if (!w->path) return;
    if (w->fd >= 0) close_once(w->fd);
    if (w->temporary) unlink_again(w->temporary);
    system_finished(w->place);
    free(w->path);
    free(w->temporary);
    buf_free(&w->pending);
    *w = (FileWriter){0};
}

/* ---- by position ---- */

bool file_open(FileReader *r, const char *path, Error *err) {
    if (!regular_size(path, &r->size, err)) return false;
    r->fd = open_again(path, O_RDONLY);
    if (r->fd < 0) return cannot(err, path, "open", errno);
    r->path = mem_new(strlen(path) + 1, 1);
    strcpy(r->path, path);
    return true;
}

bool file_read_at(const FileReader *r, uint64_t at, void *bytes, size_t n, Error *err) {
    char *p = bytes;
    while (n > 0) {
        ssize_t got = system_calls.read_at(r->fd, p, n < CALL_MOST ? n : CALL_MOST, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return cannot(err, r->path, "read", errno);
        if (got == 0)
            return error_set(err, STATUS_DATA, "%s: it changes while it is read", r->path);
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

void file_close(FileReader *r) {
    if (!r->path) return;
    close_once(r->fd);
    free(r->path);
    *r = (FileReader){0};
}

/* ---- a file that is read in order ---- */

bool input_open(FileInput *in, const char *path, Error *err) {
    bool is_stdin = strcmp(path, "-") == 0;
    *in = (FileInput){.fd = is_stdin ? STDIN_FILENO : open_again(path, O_RDONLY)};
    if (in->fd < 0) return cannot(err, path, "open", errno);
    in->path = mem_new(strlen(path) + 1, 1);
    strcpy(in->path, path);
    return true;
}

bool input_read(FileInput *in, size_t most, Buf *b, Error *err) {
    size_t until = most > SIZE_MAX - b->n ? SIZE_MAX : b->n + most;
    if (!read_all(in->fd, until, b)) return cannot(err, in->path, "read", errno);
    in->ended = b->n < until;
    return true;
}

void input_close(FileInput *in) {
    if (!in->path) return;
    if (in->fd != STDIN_FILENO) close_once(in->fd);
    free(in->path);
    *in = (FileInput){0};
}

bool file_is_regular(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

/* ---- a file that grows ---- */

/* Only a regular file can be cut. */
static bool cut(int fd, int64_t bytes) {
    struct stat s;
    return fstat(fd, &s) == 0 &&
           (!S_ISREG(s.st_mode) || s.st_size <= bytes || truncate_again(fd, bytes));
}

bool log_open(FileLog *log, const char *path, int64_t keep, Error *err) {
    struct stat s;
    char *copy = mem_new(strlen(path) + 1, 1); /* first: without memory no file is made */
    strcpy(copy, path);
    bool made = !file_exists(path);
    log->fd = open_again(path, O_WRONLY | O_CREAT | O_APPEND);
    bool ok = log->fd >= 0 && cut(log->fd, keep) && fstat(log->fd, &s) == 0 &&
              (!made || sync_folder(path));
    if (!ok) {
        cannot(err, path, "write", errno);
        if (log->fd >= 0) close_once(log->fd);
        if (log->fd >= 0 && made) unlink_again(path);
        free(copy);
        return false;
    }
    log->bytes = s.st_size;
    log->path = copy;
    return true;
}

bool log_put(FileLog *log, const void *bytes, size_t n, Error *err) {
    if (write_all(log->fd, bytes, n)) {
        log->bytes += (int64_t)n;
        return true;
    }
    cannot(err, log->path, "write", errno);
    cut(log->fd, log->bytes);
    return false;
}

bool log_settle(FileLog *log, Error *err) {
    return sync_again(log->fd) || errno == EINVAL || cannot(err, log->path, "write", errno);
}

void log_close(FileLog *log) {
    if (!log->path) return;
    close_once(log->fd);
    free(log->path);
    *log = (FileLog){0};
}

/* ---- paths and folders ---- */

bool file_same(const char *a, const char *b) {
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

bool file_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

/* Makes one folder, unless it is there. */
static bool make_one(const char *path) {
    int failed;
    do failed = system_calls.mkdir(path, 0777);
    while (failed && errno == EINTR);
    return failed ? errno == EEXIST : sync_folder(path);
}

bool folder_make(const char *path, Error *err) {
    char *p = mem_new(strlen(path) + 1, 1);
    strcpy(p, path);
    for (char *c = p + 1;; c++) {
        if (*c != '/' && *c != 0) continue;
        char kept = *c;
        *c = 0;
        if (!make_one(p)) {
            cannot(err, path, "make the folder", errno);
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

bool folder_settle(const char *path, Error *err) {
    return sync_names(path) || cannot(err, path, "write", errno);
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
            file_remove(old);
            free(old);
        }
    if (d) closedir(d);
}

void file_remove(const char *path) {
    if (!unlink_again(path) && errno != ENOENT)
        fprintf(stderr, "WARNING: %s: cannot remove: %s\n", path, strerror(errno));
}

void file_keep(const char *path, const char *other) {
    int failed;
    unlink_again(other);
    do failed = system_calls.link(path, other);
    while (failed && errno == EINTR);
    if (failed) rename_again(path, other);
}

char *path_join(const char *folder, const char *name) {
    size_t n = strlen(folder) + strlen(name) + 2;
    char *p = mem_new(n, 1);
    snprintf(p, n, "%s/%s", folder, name);
    return p;
}
