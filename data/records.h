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
 * byte-order mark, CRLF, blank lines and a missing last newline are allowed. Unknown keys are
 * ignored.
 *
 * If a record has the keys of several forms, the first in this list wins:
 *
 * | keys | kind |
 * |---|---|
 * | input_ids, and labels if there are any | RECORD_IDS |
 * | chosen and rejected, with or without prompt | RECORD_PAIR |
 * | prompt and completion | RECORD_TURNS, one turn |
 * | messages: a list of {"role", "content"} | RECORD_TURNS |
 * | conversations: a list of {"from", "value"} (ShareGPT) | RECORD_TURNS |
 * | instruction and output, and input if there is one (Alpaca) | RECORD_TURNS, one turn |
 * | question and answer | RECORD_TURNS, one turn |
 * | text | RECORD_TEXT |
 *
 * A prompt or an answer may be a text or a list of messages. The roles are system (only first),
 * then user and assistant in turn; human and gpt are the same as user and assistant. A prompt of
 * several messages becomes one text with line breaks between them, and a system message goes before
 * the text of the first user. Alpaca's prompt is the instruction and, unless empty, a line break
 * and the input. An answer list may repeat the prompt's messages.
 *
 * The prompt of a pair is prompt, else instruction with input, else question. Without any of these
 * it is what both answers share. Of lists that is the common messages. Of texts it ends after the
 * last common "\n\nAssistant: ", else after the last common white space.
 *
 * Any record may carry id, weight, clean (pairs: flipped) and source. A null key of a form, id or
 * source counts as absent. The others must have their type.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include "lib/util.h"

enum { RECORD_MAX_LINE = 16 << 20 }; /* bytes of a line, and of a record of an array */

typedef enum { RECORD_TURNS, RECORD_PAIR, RECORD_TEXT, RECORD_IDS } RecordKind;

typedef struct {
    Str prompt, completion;
} Turn;

/* Every string points into the dataset's arena, and a NUL follows it. Prompts and answers are never
 * empty. */
typedef struct {
    RecordKind kind;
    long line;                    /* 1-based line of the file where the record starts */
    Str id;                       /* "id" as text, else the 1-based line (array: 1-based index) */
    int n_turns;                  /* RECORD_TURNS: at least 1 */
    Turn *turns;                  /* [n_turns], in order */
    Str prompt, chosen, rejected; /* RECORD_PAIR */
    Str text;                     /* RECORD_TEXT */
    int n_ids;                    /* RECORD_IDS */
    int *input_ids, *labels; /* [n_ids]; label -100: no loss; labels NULL: the record has none */
    double weight;           /* "weight", a finite number of at least 0; NaN: absent */
    int clean;               /* known truth, only for diagnostics: "clean" or not "flipped"; 1 true,
                                   * 0 false, -1 absent */
    Str source;              /* "source", or {NULL, 0} */
} Record;

typedef struct {
    char *path;
    int count;
    Record *records;      /* [count] */
    uint64_t fingerprint; /* hash64 of the file's bytes */
    Arena arena;
} Dataset;

/* Errors are "<path>:<line>: what is wrong; what to do" with status 3, or 4 if the file cannot be
 * read. A file without records is an error. On false nothing needs freeing. */
bool records_load(Dataset *d, const char *path, Error *err);
void records_free(Dataset *d);

#endif
