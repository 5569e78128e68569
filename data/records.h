/* records: the records of a JSONL or JSON file, in the forms that fine-tuning data comes in.
 *
 * Usage:
 *   Dataset d;
 *   Error err = {0};
 *   if (!records_load(&d, "pool.jsonl", &err)) error_print(&err); // "pool.jsonl:17: ...", status 3
 *   else {
 *       for (int i = 0; i < d.count; i++) printf("%s\n", d.records[i].id.s);
 *       records_free(&d);
 *   }
 *
 * A file has one record a line (JSONL), or is one JSON array of records. Text is UTF-8. A
 * byte-order mark, CRLF, blank lines and a missing last newline are allowed. A key whose value is
 * null counts as absent.
 *
 * The rule for keys: a key that changes what is to be learned is read, or the record is refused
 * with the key's name. Any other key that is not read is counted in Dataset.ignored. The rule is in
 * data/forms.c, and docs/formats.md lists every key.
 *
 * If a record has the keys of several forms, the first row of RECORD_FORMS wins, and the keys of
 * the others count as not read.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include "lib/progress.h"
#include "lib/util.h"

enum { RECORD_MAX_LINE = 16 << 20 }; /* bytes of a line, and of a record of an array */

typedef enum { RECORD_TURNS, RECORD_PAIR, RECORD_TEXT, RECORD_IDS } RecordKind;

typedef enum {
    FORM_IDS,
    FORM_PAIR,
    FORM_PROMPT_COMPLETION,
    FORM_PROMPT_RESPONSE,
    FORM_MESSAGES,
    FORM_CONVERSATIONS,
    FORM_INSTRUCTION_OUTPUT,
    FORM_INSTRUCTION_RESPONSE,
    FORM_QUESTION_ANSWER,
    FORM_QUESTION_RESPONSE,
    FORM_QUERY_RESPONSE,
    FORM_INPUT_OUTPUT,
    FORM_TEXT,
    FORM_COUNT
} RecordForm;

/* A form needs its keys. The second may be NULL. */
typedef struct {
    const char *name; /* in messages and in run.json */
    const char *keys[2];
} RecordFormInfo;
extern const RecordFormInfo RECORD_FORMS[]; /* [FORM_COUNT] */

typedef struct {
    Str prompt, completion;
    bool trained; /* Is the completion an answer to learn? Else it is context. */
} Turn;

/* Every string points into the dataset's arena, and a NUL follows it. Prompts and answers are never
 * empty. */
typedef struct {
    RecordKind kind;
    RecordForm form;
    long line;        /* 1-based line of the file where the record starts */
    long number;      /* in an array: the 1-based number of the record; else 0 */
    size_t at, bytes; /* where the record stands in the file, a byte-order mark not counted */
    int gone;         /* records of the file before this one that were left out (data/parts.h) */
    Str id;           /* "id" as text, else the 1-based line (array: number) */
    bool named;       /* it has an "id", and no earlier record of the file has the same */
    uint64_t hash;    /* record_hash of the record as the file has it */
    /* RECORD_TURNS: at least 1; the last one's completion is trained. RECORD_PAIR: the turns before
     * the prompt, often none. */
    int n_turns;
    Turn *turns;                  /* [n_turns], in order */
    Str prompt, chosen, rejected; /* RECORD_PAIR */
    Str system;                   /* RECORD_TURNS, RECORD_PAIR: the system turn, or {NULL, 0} */
    Str text;                     /* RECORD_TEXT */
    int n_ids;                    /* RECORD_IDS; padding is left out */
    int *input_ids, *labels;      /* [n_ids]; a label is the id, or -100: no loss. labels NULL: none
                                   * has -100 */
    double weight;                /* "weight", a finite number of at least 0; NaN: absent */
    int clean;                    /* known truth, only for diagnostics: "clean" or not "flipped";
                                   * 1 true, 0 false, -1 absent */
    Str source;                   /* "source", or {NULL, 0} */
} Record;

/* A key that is not read, and in how many records. A key of a message is named messages[].KEY. */
typedef struct {
    char name[72]; /* printable, perhaps cut */
    int records;
    int last; /* the last record that has it, so that each counts once */
} IgnoredKey;

enum { RECORD_MAX_IGNORED = 32 }; /* further names share the last row */

typedef struct {
    char *path;
    int count;
    int gone;             /* records of the file that were left out (data/parts.h) */
    int same_ids;         /* records whose id an earlier one of the file has */
    Str same_id;          /* the first of these ids */
    Record *records;      /* [count] */
    uint64_t fingerprint; /* hash64 of the file's bytes */
    IgnoredKey ignored[RECORD_MAX_IGNORED];
    int n_ignored;
    Arena arena;
} Dataset;

/* Errors are "<path>:<line>: what is wrong; what to do" with status 3, or 4 if the file cannot be
 * read. In an array "record <number>: " follows the line. A file without records is an error. On
 * false nothing needs freeing. */
bool records_load(Dataset *d, const char *path, Error *err);
double records_bytes(const Dataset *d); /* of all records, as text */
void records_free(Dataset *d);

/* The same file in parts, for one that is larger than memory. An array is held in memory as text;
 * of a file of lines only the part is. */
typedef struct RecordStream RecordStream;
RecordStream *records_open(const char *path, Error *err); /* NULL on an error */
/* `progress` hears of the bytes of all records, the file's size in all. Of a pipe it hears
 * nothing. It outlives the reading. */
void records_watch(RecordStream *s, Progress *progress);
/* Reads on: the next records, about `most` bytes of text, at least one record. None if there are
 * no more; a file that has none at all is an error. The fingerprint is that of all bytes so far.
 * records_free(d) if it returns true. */
bool records_read(RecordStream *s, size_t most, Dataset *d, Error *err);
bool records_ended(const RecordStream *s); /* Was the last record read? */
void records_close(RecordStream *s);       /* NULL is fine */

/* Collects bad records, so that one message names the first few and the number of all. */
enum { BAD_RECORDS_NAMED = 5 };
typedef struct {
    int count;
    long place[BAD_RECORDS_NAMED]; /* their lines, or in an array their numbers */
    bool numbered;                 /* the file is an array */
} BadRecords;
/* Adds the record of that line or (unless it is 0) number. `one` is its error; the first one goes
 * to err. */
void bad_records_add(BadRecords *bad, long line, long number, const Error *one, Error *err);
/* Appends the others to err, which holds the first. Returns true if there is none. */
bool bad_records_end(const BadRecords *bad, Error *err);

/* The number of the record with that id; -1: none has it, or several have. */
int records_find(const Dataset *d, Str id);
/* Sets such an error about a record and returns false. */
bool record_refuse(const Dataset *d, const Record *r, Error *err, const char *format, ...)
    PRINTF_LIKE(4, 5);
/* A hash of what a record teaches: all but id, weight, truth and source. */
uint64_t record_hash(const Record *r);
int hashes_distinct(uint64_t *hash, int n); /* How many of hash[n] differ? Sorts them. */
int records_distinct(const Dataset *d);     /* How many records differ in what they teach? */
/* copy[count]: does the record teach the same as an earlier one? Returns how many do. */
int records_copies(const Dataset *d, bool *copy);

#endif
