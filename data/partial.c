/* Results that grow beside the file that they will become. */
#include "data/partial.h"

#include <math.h>
#include <stdlib.h>

#include "lib/json.h"

/* How lines begin that are not of a record. */
#define HEAD "{\"partial\":"
#define MARK "{\"records\":"

static bool begins(Str line, const char *what) {
    return line.n >= strlen(what) && memcmp(line.s, what, strlen(what)) == 0;
}

/* Can the text be the start of a part file, perhaps cut off? */
static bool may_be_ours(Str s) {
    size_t n = s.n < strlen(HEAD) ? s.n : strlen(HEAD);
    return n == 0 || memcmp(s.s, HEAD, n) == 0;
}

/* Has the file zeros alone? So it may look when the power failed before its bytes were safe. */
static bool only_zeros(const char *path, Error *err) {
    enum { BLOCK = 1 << 16 };
    FileInput in;
    Buf b = {0};
    if (!input_open(&in, path, err)) return false;
    bool zeros = true;
    for (size_t at = 0; zeros && !in.ended; b.n = at = 0) {
        zeros = input_read(&in, BLOCK, &b, err);
        while (zeros && at < b.n) zeros = b.s[at++] == 0;
    }
    input_close(&in);
    buf_free(&b);
    return zeros;
}

static bool refuse_kind(const Partial *p, Error *err) {
    return error_set(err, STATUS_USAGE, "%s: is another kind of file: choose another --out",
                     p->path);
}

static char *with_ending(const char *path, const char *ending) {
    size_t n = strlen(path) + strlen(ending) + 1;
    char *all = mem_new(n, 1);
    snprintf(all, n, "%s%s", path, ending);
    return all;
}

/* ---- lines of a file that may be larger than memory ---- */

typedef struct {
    FileInput in;
    Buf text;
    size_t at; /* in text */
} Lines;

/* The next line with its line break. False at the end, and if the rest has none: then it was cut
 * off by a kill. False with an error if the file cannot be read. */
static bool next_line(Lines *l, Str *line, Error *err) {
    enum { BLOCK = 1 << 20 };
    for (size_t seen = l->at;;) {
        const char *end =
            l->text.n > seen ? memchr(l->text.s + seen, '\n', l->text.n - seen) : NULL;
        if (end) {
            *line = (Str){l->text.s + l->at, (size_t)(end + 1 - l->text.s) - l->at};
            l->at += line->n;
            return true;
        }
        if (l->in.ended) return false;
        seen = l->text.n - l->at;
        if (l->at > 0) memmove(l->text.s, l->text.s + l->at, seen);
        l->text.n = seen;
        l->at = 0;
        if (!input_read(&l->in, BLOCK, &l->text, err)) return false;
    }
}

static void lines_close(Lines *l) {
    input_close(&l->in);
    buf_free(&l->text);
}

/* ---- what an earlier process left ---- */

/* How the line after a group ends: with a hash of all bytes before this end. */
enum { HASH_END = sizeof ",\"hash\":\"0123456789abcdef\"}\n" - 1 };

static void put_hash(Buf *b, uint64_t hash) {
    buf_printf(b, ",\"hash\":\"%016llx\"}\n", (unsigned long long)hash);
}

/* Reads the line after a group. hash: of all bytes before it. False if anything is damaged. */
static bool read_mark(Str line, uint64_t hash, int *done, double *sum) {
    Arena arena = {0};
    Buf end = {0};
    if (line.n < HASH_END) return false;
    size_t n = line.n - HASH_END;
    put_hash(&end, hash64(line.s, n, hash));
    bool ok = memcmp(line.s + n, end.s, HASH_END) == 0;
    const Json *mark = ok ? json_parse(&arena, line.s, line.n, NULL) : NULL;
    const Json *sums = json_get(mark, "sums");
    double records = json_number(mark, "records");
    ok = records >= 1 && records <= 1e9 && sums && sums->type == JSON_ARRAY &&
         sums->count == PARTIAL_SUMS;
    for (int i = 0; ok && i < PARTIAL_SUMS; i++) {
        ok = sums->items[i].type == JSON_NUMBER;
        sum[i] = sums->items[i].number;
    }
    if (ok) *done = (int)records;
    buf_free(&end);
    arena_free(&arena);
    return ok;
}

/* Compares the first line with what the work depends on now. */
static bool check_head(const Partial *p, Str line, const char *command, const Buf *depends,
                       Error *err) {
    Arena arena = {0};
    Buf now = {0}, was = {0}, differences = {0};
    const Json *head = json_parse(&arena, line.s, line.n, NULL), *then = json_get(head, "depends");
    const Json *made_by = json_get(head, "partial");
    if (then) json_put_value(&was, then);
    buf_put(&now, depends->s, depends->n);
    if (!made_by || made_by->type != JSON_STRING || !str_is(made_by->string, command) ||
        !depends_compare(&now, (Str){was.s, was.n}, &differences))
        error_set(err, STATUS_USAGE,
                  "%s: was not left by `ica %s`, and would be lost: choose another --out", p->path,
                  command);
    else if (differences.n > 0)
        error_set(err, STATUS_DATA,
                  "%s: %s: continued work needs what it began with; --overwrite begins again",
                  p->path, differences.s);
    buf_free(&now);
    buf_free(&was);
    buf_free(&differences);
    arena_free(&arena);
    return err->status == 0;
}

/* Finds the last group that is whole. *keep: the bytes up to its end; 0 if there is none. */
static bool find_done(Partial *p, const char *command, const Buf *depends, int64_t *keep,
                      Error *err) {
    Lines l = {0};
    Str line;
    int64_t at = 0;
    uint64_t hash = HASH_START;
    if (!input_open(&l.in, p->path, err)) return false;
    for (bool sound = true; sound && next_line(&l, &line, err); at += (int64_t)line.n) {
        if (at == 0 && !check_head(p, line, command, depends, err)) break;
        int done;
        double sum[PARTIAL_SUMS];
        bool is_mark = begins(line, MARK);
        if (is_mark) sound = read_mark(line, hash, &done, sum);
        hash = hash64(line.s, line.n, hash);
        if (!is_mark || !sound) continue;
        p->done = done;
        p->hash = hash;
        memcpy(p->sum, sum, sizeof sum);
        *keep = at + (int64_t)line.n;
    }
    /* Not one whole line: a kill or a power loss in the first write, or another's file. */
    if (err->status == 0 && at == 0 && !may_be_ours((Str){l.text.s, l.text.n}) &&
        !only_zeros(p->path, err) && err->status == 0)
        refuse_kind(p, err);
    lines_close(&l);
    return err->status == 0;
}

/* Takes the lock, and what an earlier process left. */
static bool take_over(Partial *p, const char *command, const Buf *depends, PartialUse use,
                      Error *err) {
    int64_t keep = 0;
    char *lock = with_ending(p->path, ".lock");
    bool ok = lock_take(&p->lock, lock, err);
    free(lock);
    if (!ok) return false;
    if (use == PARTIAL_AGAIN) {
        /* Only what begins as such a file does may go. */
        char head[sizeof HEAD];
        size_t n = file_head(p->path, head, sizeof HEAD - 1);
        if (!may_be_ours((Str){head, n}) && !only_zeros(p->path, err))
            return err->status == 0 && refuse_kind(p, err);
        file_remove(p->path);
        return true;
    }
    if (!find_done(p, command, depends, &keep, err)) return false;
    if (keep == 0) file_remove(p->path);
    return keep == 0 || log_open(&p->log, p->path, keep, err);
}

bool partial_open(Partial *p, const char *out, const char *command, const Buf *depends,
                  PartialUse use, Error *err) {
    *p = (Partial){.path = with_ending(out, ".part"), .hash = HASH_START};
    bool exists = file_exists(p->path);
    buf_puts(&p->head, HEAD);
    json_put_string(&p->head, str(command));
    buf_printf(&p->head, ",\"depends\":%s}}\n", depends->n ? depends->s : "{");
    if (exists && use == PARTIAL_NEW)
        error_set(err, STATUS_USAGE,
                  "%s: %s was interrupted before: --resume continues it, --overwrite begins again",
                  p->path, command);
    if (err->status == 0 && exists) take_over(p, command, depends, use, err);
    if (err->status) partial_end(p, false);
    return err->status == 0;
}

/* ---- growing ---- */

/* Makes the file, if this is the first group. */
static bool begin_file(Partial *p, Error *err) {
    if (p->log.path) return true;
    char *lock = with_ending(p->path, ".lock");
    bool ok =
        (p->lock.path || lock_take(&p->lock, lock, err)) && log_open(&p->log, p->path, 0, err);
    free(lock);
    return ok;
}

bool partial_save(Partial *p, int done, Error *err) {
    Buf all = {0}; /* made first: without memory no file is */
    if (!p->log.path) buf_put(&all, p->head.s, p->head.n);
    buf_put(&all, p->lines.s, p->lines.n);
    buf_printf(&all, MARK "%d,\"sums\":[", done);
    for (int i = 0; i < PARTIAL_SUMS; i++) {
        buf_puts(&all, i ? "," : "");
        json_put_number(&all, p->sum[i]);
    }
    buf_putc(&all, ']');
    size_t end = all.n;
    p->hash = hash64(all.s, end, p->hash);
    put_hash(&all, p->hash);
    p->hash = hash64(all.s + end, all.n - end, p->hash);
    bool begun = begin_file(p, err);
    bool ok = begun && log_put(&p->log, all.s, all.n, err) && log_settle(&p->log, err);
    if (begun && !ok && p->done == 0) { /* a file without a group is of no use */
        log_close(&p->log);
        file_remove(p->path);
    }
    if (ok) p->done = done;
    p->lines.n = 0;
    buf_free(&all);
    return ok;
}

bool partial_each(const Partial *p, PartialLine line, void *self, Error *err) {
    Lines l = {0};
    Str s;
    int i = 0;
    bool ok = !p->log.path || input_open(&l.in, p->path, err);
    while (ok && p->log.path && next_line(&l, &s, err))
        if (!begins(s, HEAD) && !begins(s, MARK)) ok = line(self, i++, (Str){s.s, s.n - 1}, err);
    ok = ok && err->status == 0;
    lines_close(&l);
    for (size_t at = 0; ok && at < p->lines.n;) {
        const char *from = p->lines.s + at, *end = memchr(from, '\n', p->lines.n - at);
        ok = line(self, i++, (Str){from, (size_t)(end - from)}, err);
        at += (size_t)(end - from) + 1;
    }
    return ok;
}

/* ---- the result ---- */

typedef struct {
    FileWriter file;
    PartialEdit edit;
    void *self;
    Buf line;
} Result;

static bool put_line(void *self, int i, Str line, Error *err) {
    Result *r = self;
    r->line.n = 0;
    if (!r->edit) buf_put(&r->line, line.s, line.n);
    if (r->edit && !r->edit(r->self, i, line, &r->line, err)) return false;
    buf_putc(&r->line, '\n');
    return file_put(&r->file, r->line.s, r->line.n, err);
}

bool partial_write(const Partial *p, const char *out, PartialEdit edit, void *self, Error *err) {
    Result r = {.edit = edit, .self = self};
    bool ok = file_begin(&r.file, out, err) && partial_each(p, put_line, &r, err) &&
              file_commit(&r.file, err);
    if (!ok) file_abort(&r.file);
    buf_free(&r.line);
    return ok;
}

void partial_end(Partial *p, bool complete) {
    bool has_file = p->log.path != NULL;
    log_close(&p->log);
    if (complete && has_file) file_remove(p->path);
    lock_free(&p->lock);
    free(p->path);
    buf_free(&p->head);
    buf_free(&p->lines);
    *p = (Partial){0};
}
