/* file: reads and writes files through lib/system.h.
 *
 * What it promises. A call that a signal interrupts, or that moves fewer bytes than asked for, is
 * continued. A file is replaced at once or not at all: its bytes go to a temporary beside it, to
 * the disk (fsync), and only then get the name (rename), which goes to the disk too (fsync of the
 * folder). After a failure there is one line, status 4, and no temporary. A log grows in place; a
 * line that cannot be written in full leaves no part of itself.
 *
 * Usage:
 *   Error err = {0};
 *   Buf text = {0};
 *   buf_puts(&text, "{\"prompt\": \"low ?\"}\n");
 *   if (!file_write("pool.jsonl", text.s, text.n, &err)) return error_print(&err);
 *   if (!file_read("pool.jsonl", &text, &err)) return error_print(&err);   // the exit status
 *   FileLog log = {0};
 *   if (log_open(&log, "log.jsonl", 0, &err)) log_put(&log, "{}\n", 3, &err);
 *   log_close(&log);
 *   if (err.status == 0) file_print(text.s, text.n, &err);
 *   FileReader in = {0};
 *   char first[2];
 *   if (file_open(&in, "pool.jsonl", &err)) file_read_at(&in, 0, first, 2, &err); // {"
 *   file_close(&in);
 *   buf_free(&text);
 */
#ifndef FILE_H
#define FILE_H

#include "lib/util.h"

/* ---- whole files ---- */

/* Reads a file ("-" is stdin) into b, which is emptied first. On false b needs no freeing. */
bool file_read(const char *path, Buf *b, Error *err);
/* Reads a regular file of at most `most` bytes. Any other is refused before it is opened, so that
 * neither a pipe nor a lie about its size can hold the program up: status 3. */
bool file_read_most(const char *path, size_t most, Buf *b, Error *err);
/* Reads the first `most` bytes, or fewer if it is shorter, of a regular file, and tells its
 * size. */
bool file_read_start(const char *path, size_t most, Buf *b, uint64_t *size, Error *err);
/* Replaces a file atomically. A link's target is replaced, also one that does not exist yet. A
 * device or a pipe is written to directly. */
bool file_write(const char *path, const void *bytes, size_t n, Error *err);
/* Checks at the start of long work that file_write can begin. Leaves nothing. */
bool file_try(const char *path, Error *err);
/* The same, as far as the folder tells, without touching anything. */
bool file_allowed(const char *path, Error *err);
/* Writes to stdout. A closed pipe is a failure like a full disk. */
bool file_print(const void *bytes, size_t n, Error *err);

/* ---- in pieces ---- */

/* After a failure or file_abort the old file is unchanged and no temporary is left. */
typedef struct {
    char *path;      /* NULL: nothing is being written */
    char *temporary; /* NULL for a device or a pipe */
    int fd;          /* -1: closed */
    int place;       /* of system_unfinished */
    Buf pending;     /* bytes that were put and not yet written */
} FileWriter;        /* zero-initialize */
bool file_begin(FileWriter *w, const char *path, Error *err);
bool file_put(FileWriter *w, const void *bytes, size_t n, Error *err);
bool file_commit(FileWriter *w, Error *err);
void file_abort(FileWriter *w);

/* ---- by position ---- */

/* An open regular file, of which only the parts that are asked for take memory. */
typedef struct {
    char *path; /* NULL: not open */
    int fd;
    uint64_t size;
} FileReader; /* zero-initialize */
/* A pipe or a device is refused before it is opened: status 3. */
bool file_open(FileReader *r, const char *path, Error *err);
/* Reads n bytes from position `at`. A file that ends before them has changed since it was opened:
 * status 3. */
bool file_read_at(const FileReader *r, uint64_t at, void *bytes, size_t n, Error *err);
void file_close(FileReader *r); /* does nothing if it is not open */

/* ---- a file that is read in order ---- */

typedef struct {
    char *path; /* NULL: not open */
    int fd;
    bool ended; /* its end was reached */
} FileInput;    /* zero-initialize */
/* "-" is stdin. */
bool input_open(FileInput *in, const char *path, Error *err);
/* Appends the next `most` bytes to b, or fewer at the end of the file. */
bool input_read(FileInput *in, size_t most, Buf *b, Error *err);
void input_close(FileInput *in);        /* does nothing if it is not open */
bool file_is_regular(const char *path); /* Can it be read twice? A pipe, a device or "-" cannot. */

/* ---- a file that grows ---- */

typedef struct {
    char *path; /* NULL: not open */
    int fd;
    int64_t bytes; /* written so far, older ones included */
} FileLog;         /* zero-initialize */
/* Opens the file, or makes it and brings its name to the disk, and cuts it to at most `keep` bytes.
 */
bool log_open(FileLog *log, const char *path, int64_t keep, Error *err);
/* Appends all bytes or, with status 4, none. */
bool log_put(FileLog *log, const void *bytes, size_t n, Error *err);
bool log_settle(FileLog *log, Error *err); /* brings the bytes to the disk */
void log_close(FileLog *log);              /* does nothing if it is not open */

/* The first bytes of a regular file, at most `most`, and a NUL after them in head[most + 1].
 * Returns how many; 0 if it cannot be read. */
size_t file_head(const char *path, char *head, size_t most);
/* hash64 of the file's bytes, in little memory. */
bool file_fingerprint(const char *path, uint64_t *fingerprint, Error *err);

/* ---- paths and folders ---- */

bool file_exists(const char *path);
bool file_same(const char *a, const char *b);   /* do both lead to one existing file or folder? */
bool folder_make(const char *path, Error *err); /* with its parents; it may exist */
/* Brings the names in a folder to the disk: what was renamed, linked or removed there is safe
 * before anything that follows. */
bool folder_settle(const char *path, Error *err);
/* Removes temporaries of the n named files, which a program left in the folder when it was killed
 * inside file_write. */
void folder_sweep(const char *path, const char *const *names, int n);
/* Does nothing if there is none. A file that stays is told on stderr. */
void file_remove(const char *path);
/* Gives a file another name too, which it takes from the file that has it. A hard link leaves no
 * instant without the first name. Where the file system has none, the file is renamed. */
void file_keep(const char *path, const char *other);
char *path_join(const char *folder, const char *name); /* free() it */

#endif
