/* What was read of a file of records. */
#include "data/summary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/text.h"

void summary_row(DataSummary *s, int tokens, int kept) {
    ints_put(&s->lengths, tokens);
    if (kept < tokens) {
        s->cut++;
        s->cut_tokens += tokens - kept;
    }
    if (kept < 2) s->dropped++;
}

static int compare_lengths(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* The smallest length that at least this share of the rows do not exceed. */
static int length_of_share(const IntBuf *sorted, double share) {
    int rank = (int)ceil(share * sorted->n);
    return sorted->v[rank > 0 ? rank - 1 : 0];
}

static void count_answers(DataSummary *s, const Record *r) {
    int trained = 0;
    bool pair = r->kind == RECORD_PAIR;
    for (int t = 0; t < r->n_turns; t++) trained += r->turns[t].trained;
    if (s->use != SUMMARY_EVERY_ANSWER && r->kind == RECORD_TURNS) trained = 1;
    if (pair || r->kind == RECORD_IDS) trained = 1;
    s->answers += trained + (pair && s->use == SUMMARY_PAIRS);
    s->unread += pair && s->use == SUMMARY_LAST_ANSWERS;
    s->context += pair ? r->n_turns : r->n_turns > 0 ? r->n_turns - trained : 0;
}

/* Adds a part's count of a key that is not read to that of the file. */
static void add_ignored(DataSummary *s, const IgnoredKey *key) {
    int at = 0;
    while (at < s->n_ignored && strcmp(s->ignored[at].name, key->name) != 0) at++;
    if (at == RECORD_MAX_IGNORED) at--; /* further names share the last row */
    if (at == s->n_ignored) s->ignored[s->n_ignored++] = (IgnoredKey){0};
    int before = s->ignored[at].records;
    s->ignored[at] = *key;
    s->ignored[at].records += before;
}

void summary_add(DataSummary *s, const Dataset *d, SummaryUse use) {
    size_t all = (size_t)s->records + (size_t)d->count;
    s->path = d->path;
    s->fingerprint = d->fingerprint;
    s->use = use;
    s->hash = mem_grow(s->hash, all + 1, sizeof *s->hash);
    for (int i = 0; i < d->count; i++) {
        s->hash[s->records + i] = record_hash(&d->records[i]);
        s->forms[d->records[i].form]++;
        s->weights += !isnan(d->records[i].weight);
        count_answers(s, &d->records[i]);
    }
    s->records = (int)all;
    if (s->same_ids == 0 && d->same_ids > 0) {
        Buf shown = {0};
        text_show(&shown, d->same_id, "");
        snprintf(s->same_id, sizeof s->same_id, "%s", shown.s);
        buf_free(&shown);
    }
    s->same_ids += d->same_ids;
    for (int i = 0; i < d->n_ignored; i++) add_ignored(s, &d->ignored[i]);
}

void summary_end(DataSummary *s) {
    s->distinct = hashes_distinct(s->hash, s->records);
    s->rows = s->lengths.n;
    if (s->rows > 0) {
        qsort(s->lengths.v, (size_t)s->rows, sizeof *s->lengths.v, compare_lengths);
        s->median = length_of_share(&s->lengths, .5);
        s->p95 = length_of_share(&s->lengths, .95);
        s->longest = s->lengths.v[s->rows - 1];
    }
    ints_free(&s->lengths);
    free(s->hash);
    s->hash = NULL;
}

int summary_left_out(const DataSummary *s) {
    return s->too_long + s->copies + s->overlap + s->validation;
}

void summary_ignore_weights(DataSummary *s) {
    if (s->weights == 0) return;
    s->ignored[s->n_ignored++] = (IgnoredKey){.name = "weight", .records = s->weights};
}

/* ---- for people ---- */

static void put_answers(Buf *b, const DataSummary *s) {
    if (s->forms[FORM_TEXT] > 0) buf_printf(b, "  every token of %d texts", s->forms[FORM_TEXT]);
    if (s->forms[FORM_TEXT] > 0 && s->answers > 0) buf_printf(b, "\n");
    if (s->answers > 0)
        buf_printf(b, "  %d answers count%s", s->answers,
                   s->use == SUMMARY_PAIRS          ? ", chosen and rejected"
                   : s->use == SUMMARY_EVERY_ANSWER ? ""
                                                    : ", the last of each record");
    if (s->context > 0) buf_printf(b, "; %d others are context", s->context);
    if (s->unread > 0) buf_printf(b, "; %d rejected answers are not read", s->unread);
    buf_printf(b, "\n");
}

static void put_rows(Buf *b, const DataSummary *s) {
    if (s->rows == 0) return;
    buf_printf(b, "  tokens of a row: median %d, 95 %% at most %d, longest %d; ", s->median, s->p95,
               s->longest);
    if (s->cut > 0) buf_printf(b, "%d rows cut by %ld tokens, ", s->cut, s->cut_tokens);
    else buf_printf(b, "none cut, ");
    if (s->dropped > 0) buf_printf(b, "%d dropped: fewer than 2 tokens\n", s->dropped);
    else buf_puts(b, "none dropped\n");
}

static void put_left_out(Buf *b, const DataSummary *s) {
    const struct {
        int records;
        const char *what;
    } parts[] = {{s->too_long, "longer than the context"},
                 {s->copies, "copies of earlier ones"},
                 {s->overlap, "also in another file"}};
    int n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].records > 0)
            buf_printf(b, "%s%d %s", n++ ? ", " : "  left out: ", parts[i].records, parts[i].what);
    if (n > 0) buf_putc(b, '\n');
    if (s->validation > 0) buf_printf(b, "  held out for validation: %d records\n", s->validation);
}

void summary_tell(Buf *b, const DataSummary *s, const char *what) {
    if (s->records == 0) return;
    buf_printf(b, "%s %s: %d records", what, s->path, s->records);
    for (int i = 0, n = 0; i < FORM_COUNT; i++) {
        if (s->forms[i] == 0) continue;
        buf_printf(b, "%s%s", n++ ? ", " : " (", RECORD_FORMS[i].name);
        if (s->forms[i] < s->records) buf_printf(b, " %d", s->forms[i]);
    }
    if (s->distinct < s->records)
        buf_printf(b, "), %d distinct: %d are copies\n", s->distinct, s->records - s->distinct);
    else buf_printf(b, "), all distinct\n");
    if (s->use != SUMMARY_TEXTS) put_answers(b, s);
    put_rows(b, s);
    put_left_out(b, s);
    if (s->same_ids > 0)
        buf_printf(b,
                   "  WARNING: %d records have an id that an earlier one has, the first \"%s\": "
                   "what names a record by its id may mean another\n",
                   s->same_ids, s->same_id);
    for (int i = 0; i < s->n_ignored; i++)
        buf_printf(b, "%s%s (%d records)%s", i ? ", " : "  keys not read: ", s->ignored[i].name,
                   s->ignored[i].records, i + 1 < s->n_ignored ? "" : "\n");
}

/* ---- for run.json ---- */

void summary_put(Buf *b, const DataSummary *s) {
    json_key_string(b, "path", s->path);
    json_key_number(b, "records", s->records);
    json_key_number(b, "distinct", s->distinct);
    buf_puts(b, ",\"forms\":{");
    for (int i = 0; i < FORM_COUNT; i++)
        if (s->forms[i] > 0) json_key_number(b, RECORD_FORMS[i].name, s->forms[i]);
    buf_puts(b, "}");
    json_key_number(b, "answers", s->answers);
    json_key_number(b, "context_answers", s->context);
    json_key_number(b, "unread_answers", s->unread);
    buf_puts(b, ",\"row_tokens\":{");
    json_key_number(b, "median", s->median);
    json_key_number(b, "p95", s->p95);
    json_key_number(b, "longest", s->longest);
    buf_puts(b, "}");
    json_key_number(b, "cut", s->cut);
    json_key_number(b, "cut_tokens", (double)s->cut_tokens);
    json_key_number(b, "dropped", s->dropped);
    if (summary_left_out(s) > 0) {
        buf_puts(b, ",\"left_out\":{");
        json_key_number(b, "too_long", s->too_long);
        json_key_number(b, "copies", s->copies);
        json_key_number(b, "overlap", s->overlap);
        json_key_number(b, "validation", s->validation);
        buf_puts(b, "}");
    }
    if (s->same_ids > 0) json_key_number(b, "same_ids", s->same_ids);
    if (s->n_ignored == 0) return;
    buf_puts(b, ",\"ignored\":{");
    for (int i = 0; i < s->n_ignored; i++)
        json_key_number(b, s->ignored[i].name, s->ignored[i].records);
    buf_puts(b, "}");
}
