/* The files of records: one record a line, or one array. data/forms.c reads a record. */
#include "data/records.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/forms.h"
#include "lib/file.h"
#include "lib/unicode.h"

bool record_refuse(const Dataset *d, const Record *r, Error *err, const char *format, ...) {
    char what[768];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    const RecordReader where = {.path = d->path, .line = r->line, .number = r->number, .err = err};
    return reader_refuse(&where, "%s", what);
}

int records_find(const Dataset *d, Str id) {
    int found = -1;
    for (int i = 0; i < d->count; i++) {
        if (!str_equal(d->records[i].id, id)) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found;
}

/* ---- bad records ---- */

void bad_records_add(BadRecords *bad, long line, long number, const Error *one, Error *err) {
    if (bad->count == 0) *err = *one;
    if (bad->count < BAD_RECORDS_NAMED) bad->place[bad->count] = number > 0 ? number : line;
    bad->numbered = number > 0;
    bad->count++;
}

bool bad_records_end(const BadRecords *bad, Error *err) {
    int named = bad->count < BAD_RECORDS_NAMED ? bad->count : BAD_RECORDS_NAMED;
    Buf b = {0};
    for (int i = 1; i < named; i++) buf_printf(&b, "%s%ld", i == 1 ? "" : ", ", bad->place[i]);
    if (bad->count > named) buf_printf(&b, " and %d more", bad->count - named);
    size_t n = strlen(err->text);
    if (bad->count > 1)
        snprintf(err->text + n, sizeof err->text - n, " (%d bad records in all; the others: %s %s)",
                 bad->count, bad->numbered ? "numbers" : "lines", b.s);
    buf_free(&b);
    return bad->count == 0;
}

/* ---- what records teach ---- */

static uint64_t hash_text(Str s, uint64_t hash) {
    return hash64(s.s, s.n, hash64(&s.n, sizeof s.n, hash));
}

uint64_t record_hash(const Record *r) {
    int head[3] = {(int)r->kind, r->n_turns, r->n_ids};
    size_t ids = (size_t)r->n_ids * sizeof(int);
    uint64_t hash = hash64(head, sizeof head, HASH_START);
    hash = hash64(r->input_ids, ids, hash);
    hash = hash64(r->labels ? r->labels : r->input_ids, ids, hash);
    for (int t = 0; t < r->n_turns; t++) {
        hash = hash_text(r->turns[t].completion, hash_text(r->turns[t].prompt, hash));
        hash = hash64(&r->turns[t].trained, sizeof r->turns[t].trained, hash);
    }
    if (r->system.n) hash = hash_text(r->system, hash);
    hash = hash_text(r->chosen, hash_text(r->prompt, hash));
    return hash_text(r->text, hash_text(r->rejected, hash));
}

static int compare_hashes(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int hashes_distinct(uint64_t *hash, int n) {
    int distinct = 0;
    if (n) qsort(hash, (size_t)n, sizeof *hash, compare_hashes);
    for (int i = 0; i < n; i++) distinct += i == 0 || hash[i - 1] != hash[i];
    return distinct;
}

int records_distinct(const Dataset *d) {
    uint64_t *hash = mem_new((size_t)d->count, sizeof *hash);
    for (int i = 0; i < d->count; i++) hash[i] = record_hash(&d->records[i]);
    int distinct = hashes_distinct(hash, d->count);
    free(hash);
    return distinct;
}

typedef struct {
    uint64_t hash;
    int at;
} HashedRecord;

/* By hash. Records of one hash go in the file's order. */
static int compare_hashed(const void *a, const void *b) {
    const HashedRecord *x = a, *y = b;
    if (x->hash != y->hash) return x->hash > y->hash ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

int records_copies(const Dataset *d, bool *copy) {
    int copies = 0;
    HashedRecord *h = mem_new((size_t)d->count, sizeof *h);
    for (int i = 0; i < d->count; i++) h[i] = (HashedRecord){record_hash(&d->records[i]), i};
    if (d->count) qsort(h, (size_t)d->count, sizeof *h, compare_hashed);
    for (int i = 0; i < d->count; i++)
        copies += copy[h[i].at] = i > 0 && h[i - 1].hash == h[i].hash;
    free(h);
    return copies;
}

/* ---- files ---- */

/* Score files name records by their ids. An id counts for the record that has it first. */
static void note_id(RecordReader *r, bool given, Record *record) {
    Dataset *d = r->d;
    uint64_t key = hash64(record->id.s, record->id.n, HASH_START);
    record->hash = record_hash(record);
    if (!r->ids) return;
    bool again = map_get(r->ids, key) >= 0;
    record->named = given && !again;
    if (given) map_set(r->ids, key, 0); /* a line's number is no name, and takes no room */
    if (again && d->same_ids++ == 0) d->same_id = record->id;
}

static bool add_record(RecordReader *r, const Json *object) {
    Dataset *d = r->d;
    if (object->type != JSON_OBJECT)
        return reader_refuse(r, "the record is %s; it must be an object: {...}",
                             json_type_name(object));
    if (d->count == INT_MAX / 2) return reader_refuse(r, "too many records; split the file");
    if (d->count == r->room) {
        r->room = r->room ? 2 * r->room : 256;
        d->records = mem_grow(d->records, (size_t)r->room, sizeof *d->records);
    }
    Record record = {.line = r->line, .number = r->number};
    if (!form_read(r, object, &record)) return false;
    note_id(r, json_get(object, "id") && json_get(object, "id")->type != JSON_NULL, &record);
    d->records[d->count++] = record;
    return true;
}

/* Empties the scratch arena after many records, since emptying costs more than a short record. */
static void recycle(RecordReader *r, size_t parsed) {
    r->scratch_text += parsed;
    if (r->scratch_text < 1 << 16) return;
    arena_free(&r->scratch);
    r->scratch_text = 0;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Reads the record of one line, which is s[at..at + length - 1]. *syntax: the line is no JSON. */
static bool load_line(RecordReader *r, const char *s, size_t at, size_t length, bool *syntax) {
    JsonError where;
    const char *line = s + at;
    *syntax = false;
    if (length > RECORD_MAX_LINE)
        return reader_refuse(r, "the line is longer than %d bytes; split the record",
                             (int)RECORD_MAX_LINE);
    while (length > 0 && is_space(line[length - 1])) length--;
    if (length == 0) return true;
    const Json *object = json_parse(&r->scratch, line, length, &where);
    *syntax = !object;
    if (!object)
        return reader_refuse(r, "column %ld: %s%s", where.column, where.what,
                             where.offset > 0 && where.offset < length
                                 ? ""
                                 : "; each line must be one record {...}, or the file must be one "
                                   "array of them");
    if (!add_record(r, object)) return false;
    r->d->records[r->d->count - 1].at = at;
    r->d->records[r->d->count - 1].bytes = length;
    return true;
}

/* Notes that the current record is bad. `one` is its error. The file is read on, so that the
 * message can name all of them. */
static void note_bad(RecordReader *r, Error *one, Error *err) {
    bad_records_add(&r->bad, r->line, r->number, one, err);
    *one = (Error){0};
}

static bool load_lines(RecordReader *r, const char *s, size_t n) {
    Error *err = r->err, one = {0};
    r->err = &one;
    for (size_t at = 0, next; at < n; at = next) {
        const char *newline = memchr(s + at, '\n', n - at);
        size_t length = newline ? (size_t)(newline - (s + at)) : n - at;
        next = at + length + 1;
        bool syntax;
        r->line++;
        if (!load_line(r, s, at, length, &syntax)) {
            note_bad(r, &one, err);
            /* A file that begins with something else is of another kind. */
            if (syntax && r->d->count == 0 && r->bad.count == 1) break;
        }
        recycle(r, length);
        progress_add(r->progress, (double)length + 1);
    }
    r->err = err;
    return bad_records_end(&r->bad, err);
}

static size_t skip_space(const char *s, size_t n, size_t at, long *line) {
    for (; at < n && is_space(s[at]); at++) *line += s[at] == '\n';
    return at;
}

/* Reads one record of the array, at s[*at]. *syntax: the text is no JSON, so that what follows
 * cannot be read. */
static bool load_element(RecordReader *r, const char *s, size_t n, size_t *at, bool *syntax) {
    JsonError where;
    size_t start = *at, end = n - start > RECORD_MAX_LINE ? start + RECORD_MAX_LINE : n;
    const Json *object = json_parse_at(&r->scratch, s, end, at, &where);
    *syntax = !object;
    if (!object) {
        /* An error within 16 bytes of an artificial end comes from the cut: no token is named
         * further back. */
        if (end < n && end - where.offset <= 16)
            return reader_refuse(r, "the record is longer than %d bytes; split it",
                                 (int)RECORD_MAX_LINE);
        r->line = where.line;
        return reader_refuse(r, "column %ld: %s", where.column, where.what);
    }
    bool ok = add_record(r, object);
    if (ok) r->d->records[r->d->count - 1].at = start;
    if (ok) r->d->records[r->d->count - 1].bytes = *at - start;
    return ok;
}

/* What a text is written in that is not UTF-8, or NULL. Its first character is a byte-order mark or
 * one below 128, which has bytes of 0 in a wider code. */
static const char *wide_code(const char *s, size_t n) {
    char first[4] = {' ', ' ', ' ', ' '};
    memcpy(first, s, n < 4 ? n : 4);
    bool little = first[1] == 0 || memcmp(first, "\xff\xfe", 2) == 0;
    bool big = first[0] == 0 || memcmp(first, "\xfe\xff", 2) == 0;
    bool wider = (little && first[2] == 0 && first[3] == 0) || (first[0] == 0 && first[1] == 0);
    return wider ? "UTF-32" : little || big ? "UTF-16" : NULL;
}

/* Refuses files that are often given by mistake. Their first bytes or their names tell. */
static bool check_kind_of_file(const RecordReader *r, const char *s, size_t n) {
#define ARROW                                                                                      \
    "the file is in Arrow form; write it as JSONL: python3 -c 'import datasets; "                  \
    "datasets.Dataset.from_file(\"FILE\").to_json(\"FILE.jsonl\")'"
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } kinds[] = {
        {"\x1f\x8b", 2,
         "the file is compressed (gzip); unpack it first: gunzip -c FILE >FILE.jsonl"},
        {"\x28\xb5\x2f\xfd", 4,
         "the file is compressed (zstd); unpack it first: zstd -dc FILE >FILE.jsonl"},
        {"BZh", 3, "the file is compressed (bzip2); unpack it first: bunzip2 -c FILE >FILE.jsonl"},
        {"\xfd"
         "7zXZ",
         5, "the file is compressed (xz); unpack it first: xz -dc FILE >FILE.jsonl"},
        {"PK\x03\x04", 4, "the file is a zip archive; unpack it first: unzip FILE"},
        {"PAR1", 4,
         "the file is in Parquet form; write it as JSONL: python3 -c 'import pandas; "
         "pandas.read_parquet(\"FILE\").to_json(\"FILE.jsonl\", orient=\"records\", "
         "lines=True)'"},
        {"ARROW1", 6, ARROW},
        {"\xff\xff\xff\xff", 4, ARROW},
    };
#undef ARROW
    const char *ending = strrchr(r->path, '.'), *code = wide_code(s, n);
    if (code) return reader_refuse(r, "the text is %s; save it as UTF-8", code);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].n && memcmp(s, kinds[i].magic, kinds[i].n) == 0)
            return reader_refuse(r, "%s", kinds[i].what);
    if (ending && (strcmp(ending, ".csv") == 0 || strcmp(ending, ".tsv") == 0))
        return reader_refuse(
            r,
            "the file is a table; write it as JSONL: python3 -c 'import csv, json; "
            "[print(json.dumps(r)) for r in csv.DictReader(open(\"FILE\")%s)]' >FILE.jsonl",
            ending[1] == 't' ? ", delimiter=\"\\t\"" : "");
    return true;
}

static bool check_utf8(RecordReader *r, const char *s, size_t n) {
    size_t bad, start = 0;
    if (unicode_valid(s, n, &bad)) return true;
    for (size_t i = 0; i < bad; i++) {
        if (s[i] != '\n') continue;
        start = i + 1;
        r->line++;
    }
    return reader_refuse(r, "byte %zu of the line is not valid UTF-8; save the file as UTF-8",
                         bad - start + 1);
}

/* Loads the first record of a file that is larger than any record, before the rest is read: what
 * is no file of records need not be read whole to be refused. */
static bool check_first(const char *path, uint64_t *size, Error *err) {
    Dataset d = {0};
    Buf text = {0};
    Error ignored = {0};
    RecordReader r = {.path = path, .d = &d, .err = err, .line = 1};
    size_t most = RECORD_MAX_LINE + 4, at = 0; /* with a byte-order mark and a line break */
    bool look = file_read_start(path, most, &text, size, &ignored) && *size > most;
    if (look) at = unicode_mark(text.s, text.n);
    if (look && check_kind_of_file(&r, text.s, text.n)) {
        at = skip_space(text.s, text.n, at, &r.line);
        const char *line = text.s + at, *end = memchr(line, '\n', text.n - at);
        bool is_array = at < text.n && *line == '[';
        if (is_array) at = skip_space(text.s, text.n, at + 1, &r.line);
        r.number = is_array;
        bool syntax;
        if (is_array && at < text.n && text.s[at] != ']')
            load_element(&r, text.s, text.n, &at, &syntax);
        r.line--; /* load_lines counts it */
        if (!is_array) load_lines(&r, line, end ? (size_t)(end - line) : text.n - at);
    }
    arena_free(&r.scratch);
    buf_free(&text);
    records_free(&d);
    return err->status == 0;
}

/* ---- a file in parts ---- */

struct RecordStream {
    FileInput in;
    Buf text;                     /* what was read and is needed still */
    size_t at;                    /* in text: where the next record may begin */
    size_t before;                /* bytes of the file before text, a byte-order mark not counted */
    long line;                    /* of text at `at` */
    long number;                  /* of the last record of an array; 0: none yet */
    bool begun, is_array, closed; /* closed: the array's end was reached */
    long records;
    uint64_t fingerprint;
    Map ids;            /* of the records so far */
    double size;        /* of the file; 0: not known */
    Progress *progress; /* hears of the bytes of records, or NULL */
};

RecordStream *records_open(const char *path, Error *err) {
    FileInput in;
    uint64_t size = 0;
    if (!check_first(path, &size, err) || !input_open(&in, path, err)) return NULL;
    RecordStream *s = mem_new(1, sizeof *s);
    *s = (RecordStream){.in = in, .line = 1, .fingerprint = HASH_START, .size = (double)size};
    return s;
}

void records_watch(RecordStream *s, Progress *progress) {
    s->progress = progress;
    progress_part(progress, s->in.path);
    progress_begin(progress, s->size);
}

void records_close(RecordStream *s) {
    if (!s) return;
    input_close(&s->in);
    buf_free(&s->text);
    map_free(&s->ids);
    free(s);
}

bool records_ended(const RecordStream *s) { return s->begun && s->in.ended && s->at == s->text.n; }

uint64_t records_fingerprint(const RecordStream *s) { return s->fingerprint; }

/* Reads on until the text has `most` bytes or the file has no more. */
static bool fill(RecordStream *s, size_t most, Error *err) {
    size_t old = s->text.n;
    if (s->in.ended || old >= most) return true;
    if (!input_read(&s->in, most - old, &s->text, err)) return false;
    s->fingerprint = hash64(s->text.s + old, s->text.n - old, s->fingerprint);
    return true;
}

/* Forgets the text before `at`. */
static void forget(RecordStream *s) {
    if (s->at == 0) return;
    memmove(s->text.s, s->text.s + s->at, s->text.n - s->at);
    s->text.n -= s->at;
    s->before += s->at;
    s->at = 0;
}

/* Looks at the beginning: is it a file of records, and is it an array, which is then read whole? */
static bool begin(RecordStream *s, RecordReader *r, size_t most) {
    enum { LEAST = 1 << 12 };
    s->begun = true;
    if (!fill(s, most > LEAST ? most : LEAST, r->err)) return false;
    if (s->text.n == 0) return true;
    if (!check_kind_of_file(r, s->text.s, s->text.n)) return false;
    s->at = unicode_mark(s->text.s, s->text.n);
    forget(s);
    s->before = 0;
    size_t start = skip_space(s->text.s, s->text.n, 0, &s->line);
    s->is_array = start < s->text.n && s->text.s[start] == '[';
    if (!s->is_array) s->line = 1;
    if (!s->is_array) return true;
    long line = s->line;
    s->line = r->line = 1;
    if (!fill(s, SIZE_MAX, r->err) || !check_utf8(r, s->text.s, s->text.n)) return false;
    s->line = line;
    s->at = skip_space(s->text.s, s->text.n, start + 1, &s->line);
    s->closed = s->at < s->text.n && s->text.s[s->at] == ']';
    s->at += s->closed;
    return true;
}

/* Where the last whole line of the text ends. At the end of the file that is its end. */
static size_t lines_end(const RecordStream *s) {
    size_t end = s->text.n;
    while (!s->in.ended && end > 0 && s->text.s[end - 1] != '\n') end--;
    return end;
}

/* Reads whole lines, about `most` bytes of them. */
static bool read_lines(RecordStream *s, RecordReader *r, size_t most) {
    forget(s);
    if (!fill(s, most, r->err)) return false;
    size_t end = lines_end(s);
    if (end == 0 && !fill(s, (size_t)RECORD_MAX_LINE + 2, r->err)) return false;
    if (end == 0) end = lines_end(s);
    r->line = s->line;
    if (end == 0 && s->text.n > 0)
        return reader_refuse(r, "the line is longer than %d bytes; split the record",
                             (int)RECORD_MAX_LINE);
    if (!check_utf8(r, s->text.s, end)) return false;
    r->line--; /* load_lines counts each line when it reaches it */
    if (!load_lines(r, s->text.s, end)) return false;
    for (int i = 0; i < r->d->count; i++) r->d->records[i].at += s->before;
    s->line = r->line + 1;
    s->at = end;
    return true;
}

/* Reads records of the array, about `most` bytes of them. */
static bool read_elements(RecordStream *s, RecordReader *r, size_t most) {
    const char *text = s->text.s;
    size_t n = s->text.n, start = s->at;
    Error *err = r->err, one = {0};
    r->line = s->line;
    while (!s->closed && (s->at == start || s->at - start < most)) {
        size_t from = s->at;
        bool syntax;
        r->number = ++s->number;
        r->err = &one;
        if (!load_element(r, text, n, &s->at, &syntax)) note_bad(r, &one, err);
        r->err = err;
        if (syntax) break;
        for (size_t i = from; i < s->at; i++) r->line += text[i] == '\n';
        recycle(r, s->at - from);
        progress_add(r->progress, (double)(s->at - from));
        r->number = 0;
        s->at = skip_space(text, n, s->at, &r->line);
        s->closed = s->at < n && text[s->at] == ']';
        if (!s->closed && (s->at == n || text[s->at] != ','))
            return reader_refuse(r, "expected ',' or ']' after record %ld of the array%s",
                                 s->number, s->at == n ? ", but the file ends here" : "");
        s->at = s->closed ? s->at + 1 : skip_space(text, n, s->at + 1, &r->line);
    }
    if (!bad_records_end(&r->bad, err)) return false;
    if (s->closed) s->at = skip_space(text, n, s->at, &r->line);
    s->line = r->line;
    if (s->closed && s->at < n)
        return reader_refuse(
            r,
            "there is more after the end of the array; a file is one array, or one record a line");
    return true;
}

bool records_read(RecordStream *s, size_t most, Dataset *d, Error *err) {
    *d = (Dataset){.path = mem_new(strlen(s->in.path) + 1, 1)};
    strcpy(d->path, s->in.path);
    RecordReader r = {
        .path = d->path, .line = 1, .d = d, .ids = &s->ids, .err = err, .progress = s->progress};
    bool ok = s->begun || begin(s, &r, most);
    if (ok && s->is_array) ok = read_elements(s, &r, most);
    while (ok && !s->is_array && d->count == 0 && !records_ended(s)) ok = read_lines(s, &r, most);
    s->records += d->count;
    if (ok && s->records == 0) {
        r.line = 1;
        ok = reader_refuse(&r, "the file has no records; write one JSON object a line");
    }
    d->fingerprint = s->fingerprint;
    arena_free(&r.scratch);
    if (!ok) records_free(d);
    return ok;
}

bool records_load(Dataset *d, const char *path, Error *err) {
    *d = (Dataset){0};
    RecordStream *s = records_open(path, err);
    Progress p = progress_new("reading", NULL);
    if (s) records_watch(s, &p);
    bool ok = s && records_read(s, SIZE_MAX, d, err);
    progress_end(&p);
    records_close(s);
    return ok;
}

double records_bytes(const Dataset *d) {
    double bytes = 0;
    for (int i = 0; i < d->count; i++) bytes += (double)d->records[i].bytes;
    return bytes;
}

void records_free(Dataset *d) {
    free(d->path);
    free(d->records);
    arena_free(&d->arena);
    *d = (Dataset){0};
}
