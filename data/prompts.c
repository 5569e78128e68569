#include "data/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "data/forms.h"
#include "lib/text.h"
#include "lib/unicode.h"

static Str trimmed(Str s) {
    while (s.n > 0 && memchr(" \t\r", s.s[0], 3)) s = (Str){s.s + 1, s.n - 1};
    while (s.n > 0 && memchr(" \t\r", s.s[s.n - 1], 3)) s.n--;
    return s;
}

/* A line that is a prompt as it stands. */
static void add_text(RecordReader *r, Str line, Record *record) {
    char number[32];
    snprintf(number, sizeof number, "%ld", r->line);
    record->kind = RECORD_TURNS;
    record->id = str_copy(&r->d->arena, str(number));
    record->n_turns = 1;
    record->turns = arena_new(&r->d->arena, 1, sizeof *record->turns);
    record->turns[0] = (Turn){.prompt = str_copy(&r->d->arena, line), .completion = {"", 0}};
}

static bool add_line(RecordReader *r, Str line, bool json) {
    Dataset *d = r->d;
    JsonError where;
    Record record = {.line = r->line};
    const Json *object = json ? json_parse(&r->scratch, line.s, line.n, &where) : NULL;
    if (json && !object) return reader_refuse(r, "column %ld: %s", where.column, where.what);
    if (json && object->type != JSON_OBJECT)
        return reader_refuse(r, "the record is %s; it must be an object: {...}",
                             json_type_name(object));
    if (json && !form_read_prompt(r, object, &record)) return false;
    if (!json) add_text(r, line, &record);
    if (d->count == r->room) {
        r->room = r->room ? 2 * r->room : 64;
        d->records = mem_grow(d->records, (size_t)r->room, sizeof *d->records);
    }
    d->records[d->count++] = record;
    arena_free(&r->scratch);
    return true;
}

/* Is the text one JSON array of objects? */
static bool is_array(RecordReader *r, Str text) {
    const Json *root = json_parse(&r->scratch, text.s, text.n, NULL);
    bool is =
        root && root->type == JSON_ARRAY && root->count > 0 && root->items[0].type == JSON_OBJECT;
    arena_free(&r->scratch);
    return is;
}

bool prompts_load(Dataset *d, const char *path, Error *err) {
    Buf text = {0};
    *d = (Dataset){0};
    if (!file_read(path, &text, err)) return false;
    d->path = mem_new(strlen(path) + 1, 1);
    strcpy(d->path, path);
    RecordReader r = {.path = d->path, .d = d, .err = err};
    size_t at = unicode_mark(text.s, text.n), bad;
    Str line;
    bool ok = true, json = false, first = true;
    while (ok && text_line((Str){text.s, text.n}, &at, &line)) {
        r.line++;
        line = trimmed(line);
        if (line.n == 0) continue;
        if (first) json = line.s[0] == '{';
        size_t from = (size_t)(line.s - text.s);
        if (first && line.s[0] == '[' && is_array(&r, (Str){line.s, text.n - from})) {
            ok = reader_refuse(&r, "the file is one JSON array; write a record a line");
            break;
        }
        first = false;
        ok = unicode_valid(line.s, line.n, &bad)
                 ? add_line(&r, line, json)
                 : reader_refuse(&r, "the line is not valid UTF-8; save the file as UTF-8");
    }
    if (ok && d->count == 0) {
        r.line = 1;
        ok = reader_refuse(&r, "the file has no prompts; write one a line, as text or {...}");
    }
    arena_free(&r.scratch);
    buf_free(&text);
    if (!ok) records_free(d);
    return ok;
}
