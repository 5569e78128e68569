/* summary: what a command read of a file of records, so that nothing is left out in silence. It is
 * printed at the start and kept in run.json.
 *
 * Usage:
 *   const char pool[] = "{\"prompt\":\"low ?\",\"completion\":\"lower\",\"topic\":\"words\"}\n";
 *   Error err = {0};
 *   Dataset d;
 *   DataSummary s = {0};
 *   if (!file_write("pool.jsonl", pool, sizeof pool - 1, &err) ||
 *       !records_load(&d, "pool.jsonl", &err))
 *       return error_print(&err);
 *   summary_row(&s, 40, 32);                      // a row of 40 tokens, of which 32 are kept
 *   summary_add(&s, &d, SUMMARY_LAST_ANSWERS);
 *   summary_end(&s);
 *   Buf text = {0};
 *   summary_tell(&text, &s, "pool");              // four lines; the last: keys not read: topic
 *   if (s.cut != 1 || s.longest != 40 || s.distinct != 1) return 1;
 *   buf_free(&text);
 *   records_free(&d);
 */
#ifndef SUMMARY_H
#define SUMMARY_H

#include "data/records.h"
#include "lib/file.h"

/* Which answers count. */
typedef enum {
    SUMMARY_LAST_ANSWERS, /* the last of a record; of a pair the chosen one */
    SUMMARY_PAIRS,        /* both of a pair */
    SUMMARY_EVERY_ANSWER, /* every one that is not context */
    SUMMARY_TEXTS         /* all text, without a model */
} SummaryUse;

typedef struct {
    const char *path; /* borrowed from the dataset */
    uint64_t fingerprint;
    SummaryUse use;
    int records, distinct, forms[FORM_COUNT];
    int answers;                    /* that count */
    int context;                    /* that are context only */
    int unread;                     /* rejected answers that are not read */
    int rows, median, p95, longest; /* tokens of a row before it is cut */
    int cut, dropped;               /* rows that did not fit; rows too short to learn from */
    long cut_tokens;
    /* Records that were left out: they do not fit, are copies, or are in another file too. Records
     * of the pool that are held out for validation. */
    int too_long, copies, overlap, validation;
    IgnoredKey ignored[RECORD_MAX_IGNORED + 1]; /* one more for weight */
    int n_ignored;
    int weights;      /* records with the key weight */
    int same_ids;     /* records whose id an earlier one has */
    char same_id[40]; /* the first of these, printable, perhaps cut */
    /* until summary_end */
    IntBuf lengths;
    uint64_t *hash; /* [records] of what each teaches */
} DataSummary;

/* Counts a row of `tokens`, of which `kept` are used. Fewer than two are none. */
void summary_row(DataSummary *s, int tokens, int kept);
/* Counts the records of a file, or of a part of it. */
void summary_add(DataSummary *s, const Dataset *d, SummaryUse use);
/* Completes the counts, after all parts, and frees what counting needed. */
void summary_end(DataSummary *s);
/* How many records were left out, for any reason. */
int summary_left_out(const DataSummary *s);
/* Says that the key weight of the records, if they have it, is not read. */
void summary_ignore_weights(DataSummary *s);
/* Appends some lines for people; nothing if no records were read. `what` is the part that the file
 * plays. */
void summary_tell(Buf *b, const DataSummary *s, const char *what);
/* The members of an object in run.json: the path and all numbers. */
void summary_put(Buf *b, const DataSummary *s);

#endif
