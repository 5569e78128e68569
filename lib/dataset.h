/* dataset: records from JSONL or JSON, in the forms that fine-tuning data comes in.
 *
 *   Dataset d;
 *   if (!dataset_load(&d, "pool.jsonl", &err)) return error_print(&err);    // "pool.jsonl:17: ...", status 3
 *   for (int i = 0; i < d.count; i++) use(&d.records[i]);
 *   dataset_free(&d);
 *
 * One record a line (JSONL), or one JSON array of records. Text is UTF-8; a byte-order mark, CRLF, blank lines and a missing
 * last newline are tolerated. Every string points into the data set's arena and has a NUL behind it; none that must be there
 * is empty. Unknown keys are ignored.
 *
 * A record with the keys of several forms is of the first in this order: input_ids, chosen/rejected, prompt/completion,
 * messages, conversations (ShareGPT: from and value), instruction/output, question/answer, text. A null key of a form, id or
 * source counts as absent; weight, clean and flipped must be what they should be.
 * A prompt or an answer may be a text or a list of messages. Roles are system (only first), then user and assistant in turn;
 * human and gpt are taken as user and assistant. A system message goes before the first user's text, a line break between.
 * A prompt of several messages becomes one text in the same way. Alpaca's prompt is the instruction and, unless empty, a line
 * break and the input. An answer list may repeat the prompt's messages. The prompt of a pair is prompt, else instruction with
 * input, else question; without any it is what both answers share: of lists the common messages, of texts all up to the last
 * common "\n\nAssistant: ", else up to the last common white space (both included).
 */
#ifndef DATASET_H
#define DATASET_H

#include "lib/util.h"

enum { DATASET_MAX_LINE = 16 << 20 }; /* bytes of a line, and of a record of an array */

typedef enum {
    RECORD_TURNS, /* {"prompt","completion"}, {"messages"}, Alpaca {"instruction","input","output"}, {"question","answer"} */
    RECORD_PAIR,  /* {"prompt","chosen","rejected"}, also as message lists, also with the prompt inside both answers */
    RECORD_TEXT,  /* {"text"} */
    RECORD_IDS    /* {"input_ids"} with optional "labels" (-100 = no loss) */
} RecordKind;

typedef struct { Str prompt, completion; } Turn;

typedef struct {
    RecordKind kind;
    long line;      /* 1-based line of the file where the record starts */
    Str id;         /* "id" as text when present, else the 1-based line (of a JSON array: the 1-based index) */
    int n_turns;    /* RECORD_TURNS: at least 1; a prompt/completion record has exactly 1 */
    Turn *turns;    /* [n_turns], in order */
    Str prompt, chosen, rejected;     /* RECORD_PAIR */
    Str text;                         /* RECORD_TEXT */
    int n_ids;                        /* RECORD_IDS */
    int *input_ids, *labels;          /* [n_ids]; labels NULL when the record has none */
    double weight;  /* "weight" when present and a finite number >= 0, else NaN */
    int clean;      /* "clean": 1 true, 0 false; for pairs "flipped" inverted; -1 when absent. Known truth: diagnostics only */
    Str source;     /* "source", or {NULL, 0} */
} Record;

typedef struct {
    char *path;
    int count;
    Record *records;
    uint64_t fingerprint; /* hash64 of the file's bytes */
    Arena arena;
} Dataset;

/* Errors (status 3, or 4 when the file cannot be read): "<path>:<line>: what is wrong; what to do". An empty file, or one
 * without records, is an error. On false nothing needs freeing. */
bool dataset_load(Dataset *d, const char *path, Error *err);
void dataset_free(Dataset *d);

#endif
