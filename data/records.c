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

/* ---- what records teach ---- */

static int compare_ints(const int *a, const int *b, int n) {
    for (int i = 0; i < n; i++)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static int compare_texts(Str a, Str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.s, b.s, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare_ids(const Record *a, const Record *b) {
    if (a->n_ids != b->n_ids) return a->n_ids < b->n_ids ? -1 : 1;
    int c = compare_ints(a->input_ids, b->input_ids, a->n_ids);
    const int *x = a->labels ? a->labels : a->input_ids, *y = b->labels ? b->labels : b->input_ids;
    return c ? c : compare_ints(x, y, a->n_ids);
}

/* Orders records by everything that they teach. */
static int compare_records(const void *x, const void *y) {
    const Record *a = *(const Record *const *)x, *b = *(const Record *const *)y;
    int c = (int)a->kind - (int)b->kind;
    if (c == 0) c = a->n_turns - b->n_turns;
    if (c == 0 && a->kind == RECORD_IDS) c = compare_ids(a, b);
    for (int t = 0; c == 0 && t < a->n_turns; t++) {
        c = compare_texts(a->turns[t].prompt, b->turns[t].prompt);
        if (c == 0) c = compare_texts(a->turns[t].completion, b->turns[t].completion);
        if (c == 0) c = (int)a->turns[t].trained - (int)b->turns[t].trained;
    }
    if (c == 0) c = compare_texts(a->prompt, b->prompt);
    if (c == 0) c = compare_texts(a->chosen, b->chosen);
    if (c == 0) c = compare_texts(a->rejected, b->rejected);
    return c ? c : compare_texts(a->text, b->text);
}

int records_distinct(const Dataset *d) {
    const Record **sorted = mem_new((size_t)d->count, sizeof *sorted);
    int distinct = 0;
    for (int i = 0; i < d->count; i++) sorted[i] = &d->records[i];
    qsort(sorted, (size_t)d->count, sizeof *sorted, compare_records);
    for (int i = 0; i < d->count; i++)
        distinct += i == 0 || compare_records(&sorted[i - 1], &sorted[i]) != 0;
    free(sorted);
    return distinct;
}

/* ---- files ---- */

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

static bool load_lines(RecordReader *r, const char *s, size_t n) {
    JsonError where;
    for (size_t at = 0, next; at < n; at = next) {
        const char *line = s + at, *newline = memchr(line, '\n', n - at);
        size_t length = newline ? (size_t)(newline - line) : n - at;
        next = at + length + 1;
        r->line++;
        if (length > RECORD_MAX_LINE)
            return reader_refuse(r, "the line is longer than %d bytes; split the record",
                                 (int)RECORD_MAX_LINE);
        while (length > 0 && is_space(line[length - 1])) length--;
        if (length == 0) continue;
        const Json *object = json_parse(&r->scratch, line, length, &where);
        if (!object)
            return reader_refuse(
                r, "column %ld: %s%s", where.column, where.what,
                where.offset > 0 && where.offset < length
                    ? ""
                    : "; each line must be one record {...}, or the file must be one "
                      "array of them");
        if (!add_record(r, object)) return false;
        r->d->records[r->d->count - 1].at = at;
        r->d->records[r->d->count - 1].bytes = length;
        recycle(r, length);
    }
    return true;
}

static size_t skip_space(const char *s, size_t n, size_t at, long *line) {
    for (; at < n && is_space(s[at]); at++) *line += s[at] == '\n';
    return at;
}

/* Reads one record of the array, at s[*at]. */
static bool load_element(RecordReader *r, const char *s, size_t n, size_t *at) {
    JsonError where;
    size_t start = *at, end = n - start > RECORD_MAX_LINE ? start + RECORD_MAX_LINE : n;
    const Json *object = json_parse_at(&r->scratch, s, end, at, &where);
    if (!object) {
        /* An error within 16 bytes of an artificial end comes from the cut: no token is named
         * further back. */
        if (end < n && end - where.offset <= 16)
            return reader_refuse(r, "the record is longer than %d bytes; split it",
                                 (int)RECORD_MAX_LINE);
        r->line = where.line;
        return reader_refuse(r, "column %ld: %s", where.column, where.what);
    }
    if (!add_record(r, object)) return false;
    r->d->records[r->d->count - 1].at = start;
    r->d->records[r->d->count - 1].bytes = *at - start;
    for (size_t i = start; i < *at; i++) r->line += s[i] == '\n';
    recycle(r, *at - start);
    return true;
}

/* Reads a text that is one array. s[at] is its bracket, and r->line the line of the bracket. */
static bool load_array(RecordReader *r, const char *s, size_t n, size_t at) {
    at = skip_space(s, n, at + 1, &r->line);
    bool closed = at < n && s[at] == ']';
    if (closed) at++;
    for (long number = 1; !closed; number++) {
        r->number = number;
        if (!load_element(r, s, n, &at)) return false;
        r->number = 0;
        at = skip_space(s, n, at, &r->line);
        closed = at < n && s[at] == ']';
        if (!closed && (at == n || s[at] != ','))
            return reader_refuse(r, "expected ',' or ']' after record %ld of the array%s", number,
                                 at == n ? ", but the file ends here" : "");
        at = skip_space(s, n, at + 1, &r->line);
    }
    if (skip_space(s, n, at, &r->line) < n)
        return reader_refuse(
            r,
            "there is more after the end of the array; a file is one array, or one record a line");
    return true;
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
        {"\xff\xfe", 2, "the text is UTF-16; save it as UTF-8"},
        {"\xfe\xff", 2, "the text is UTF-16; save it as UTF-8"},
    };
#undef ARROW
    const char *ending = strrchr(r->path, '.');
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

static bool load(RecordReader *r, const char *s, size_t n) {
    r->line = 1;
    if (!check_kind_of_file(r, s, n) || !check_utf8(r, s, n)) return false;
    size_t mark = unicode_mark(s, n);
    s += mark;
    n -= mark;
    size_t start = skip_space(s, n, 0, &r->line);
    if (start < n && s[start] == '[') {
        if (!load_array(r, s, n, start)) return false;
    } else {
        r->line = 0; /* load_lines counts each line when it reaches it */
        if (!load_lines(r, s, n)) return false;
    }
    if (r->d->count > 0) return true;
    r->line = 1;
    return reader_refuse(r, "the file has no records; write one JSON object a line");
}

/* Loads the first record of a file that is larger than any record, before the rest is read: what
 * is no file of records need not be read whole to be refused. */
static bool check_first(const char *path, Error *err) {
    Dataset d = {0};
    Buf text = {0};
    uint64_t size = 0;
    Error ignored = {0};
    RecordReader r = {.path = path, .d = &d, .err = err, .line = 1};
    size_t most = RECORD_MAX_LINE + 4, at = 0; /* with a byte-order mark and a line break */
    bool look = file_read_start(path, most, &text, &size, &ignored) && size > most;
    if (look) at = unicode_mark(text.s, text.n);
    if (look && check_kind_of_file(&r, text.s, text.n)) {
        at = skip_space(text.s, text.n, at, &r.line);
        const char *line = text.s + at, *end = memchr(line, '\n', text.n - at);
        bool is_array = at < text.n && *line == '[';
        if (is_array) at = skip_space(text.s, text.n, at + 1, &r.line);
        r.number = is_array;
        if (is_array && at < text.n && text.s[at] != ']') load_element(&r, text.s, text.n, &at);
        r.line--; /* load_lines counts it */
        if (!is_array) load_lines(&r, line, end ? (size_t)(end - line) : text.n - at);
    }
    arena_free(&r.scratch);
    buf_free(&text);
    records_free(&d);
    return err->status == 0;
}

bool records_load(Dataset *d, const char *path, Error *err) {
    Buf text = {0};
    *d = (Dataset){0};
    RecordReader r = {.path = path, .d = d, .err = err};
    bool ok = check_first(path, err) && file_read(path, &text, err);
    if (ok) {
        d->path = mem_new(strlen(path) + 1, 1);
        strcpy(d->path, path);
        ok = load(&r, text.s, text.n);
        if (ok) d->fingerprint = hash64(text.s, text.n, HASH_START);
    }
    arena_free(&r.scratch);
    buf_free(&text);
    if (!ok) records_free(d);
    return ok;
}

void records_free(Dataset *d) {
    free(d->path);
    free(d->records);
    arena_free(&d->arena);
    *d = (Dataset){0};
}
