/* forms: one JSON object becomes one record. The rule for keys (data/records.h) is enforced here
 * and nowhere else.
 *
 * Usage:
 *   const char text[] = "{\"prompt\":\"low ?\",\"completion\":\"lower\",\"topic\":\"words\"}";
 *   Dataset d = {0};
 *   Error err = {0};
 *   RecordReader r = {.path = "pool.jsonl", .line = 1, .d = &d, .err = &err};
 *   Record record = {.line = 1};
 *   const Json *object = json_parse(&r.scratch, text, strlen(text), NULL);
 *   if (!form_read(&r, object, &record)) return error_print(&err);
 *   if (strcmp(d.ignored[0].name, "topic") != 0) return 1;   // the key that is not read
 *   arena_free(&r.scratch);
 *   arena_free(&d.arena);
 */
#ifndef FORMS_H
#define FORMS_H

#include "data/records.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/progress.h"

/* What one load works with. Parsed JSON lives in `scratch`. What a record keeps is copied into the
 * dataset's arena. */
typedef struct {
    const char *path;
    long line;   /* where the current record starts */
    long number; /* of the current record, if the file is an array; else 0 */
    Dataset *d;
    int room; /* how many records d->records has room for */
    Arena scratch;
    size_t scratch_text;      /* bytes of text parsed into it */
    const char *taken[24];    /* keys that were read: of the record, then of its current message */
    int n_taken, first_taken; /* first_taken: where those of the current object begin */
    Str system;               /* the record's system turn so far, or {NULL, 0} */
    BadRecords bad;
    Map *ids; /* of hash64 of each "id" so far; NULL: none are kept */
    Error *err;
    Progress *progress; /* hears of bytes; may be NULL */
} RecordReader;

/* Fails with a message about the current record. */
bool reader_refuse(const RecordReader *r, const char *format, ...) PRINTF_LIKE(2, 3);
/* What messages call the type of a value: "a number". */
const char *json_type_name(const Json *v);
/* Reads the object into record, whose line is set. Counts the keys that are not read. */
bool form_read(RecordReader *r, const Json *object, Record *record);
/* The same of a record whose answer is to be found: RECORD_TURNS, the last of which has an empty
 * completion. An answer that the record has is left out, and so is a last message from the
 * assistant. */
bool form_read_prompt(RecordReader *r, const Json *object, Record *record);

#endif
