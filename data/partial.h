/* partial: results that grow, record by record, beside the file that they will become. Work that is
 * killed continues from them and ends with the same bytes.
 *
 * OUT.part has lines of JSON. The first says which command makes it, and what its bits depend on.
 * Then come the records' lines. After each group of them one line says how many records there are,
 * sums that the caller keeps, and a hash of everything before. Records after the last such line are
 * made again. A group is on the disk before the next one begins. Work that ends within one group
 * never makes the file. A file of zeros alone, as a power loss may leave it, has no record.
 *
 * Usage:
 *   Buf depends = {0}, whole = {0};
 *   Error err = {0};
 *   Partial p;
 *   depends_put(&depends, "--k", "3");
 *   if (!partial_open(&p, "s.jsonl", "score", &depends, PARTIAL_NEW, &err))
 *       return error_print(&err);
 *   buf_puts(&p.lines, "{\"id\":\"1\",\"score\":0.5}\n");
 *   if (!partial_save(&p, 1, &err)) return error_print(&err);   // s.jsonl.part
 *   buf_puts(&p.lines, "{\"id\":\"2\",\"score\":0.25}\n");
 *   partial_write(&p, "s.jsonl", NULL, NULL, &err);             // both lines
 *   partial_end(&p, err.status == 0);                           // s.jsonl.part goes
 *   buf_free(&depends);
 *   buf_free(&whole);
 *
 * Errors: status 2 for a file of that name that must not be replaced, 3 for one that belongs to
 * other options or inputs, 4 for files.
 */
#ifndef PARTIAL_H
#define PARTIAL_H

#include "data/depends.h"
#include "lib/file.h"
#include "lib/lock.h"

enum { PARTIAL_SUMS = 8 };

typedef enum {
    PARTIAL_NEW,    /* OUT.part must not exist: it is interrupted work */
    PARTIAL_RESUME, /* it is continued, if it exists */
    PARTIAL_AGAIN   /* it is thrown away */
} PartialUse;

typedef struct {
    char *path;    /* OUT.part */
    FileLock lock; /* from the first save on, or from the start if the work is continued */
    FileLog log;   /* open from the first save on */
    Buf head;      /* the first line */
    Buf lines;     /* of records that are not in the file */
    uint64_t hash; /* of the file's bytes */
    int done;      /* records in the file */
    double sum[PARTIAL_SUMS]; /* the caller's; finite */
} Partial;

/* depends: an object without its brace. If the work is continued, p->done records are known and
 * p->sum is theirs. On false nothing needs freeing. */
bool partial_open(Partial *p, const char *out, const char *command, const Buf *depends,
                  PartialUse use, Error *err);
/* Appends p->lines, so that the file has `done` records, and settles them on the disk. */
bool partial_save(Partial *p, int done, Error *err);
/* Calls `line` for each record's line, without its line break, in order: i counts from 0. */
typedef bool (*PartialLine)(void *self, int i, Str line, Error *err);
bool partial_each(const Partial *p, PartialLine line, void *self, Error *err);
/* Writes the result, atomically: the lines as they are, or what `edit` appends for each. */
typedef bool (*PartialEdit)(void *self, int i, Str line, Buf *b, Error *err);
bool partial_write(const Partial *p, const char *out, PartialEdit edit, void *self, Error *err);
/* complete: OUT.part has served and is removed. */
void partial_end(Partial *p, bool complete);

#endif
