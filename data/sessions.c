/* Files into rows, rows into batches. */
#include "data/sessions.h"

#include <stdlib.h>

#include "data/examples.h"
#include "data/records.h"

/* ---- rows ---- */

/* The token at which the row that is being written begins. */
static int row_begin(Sessions *s) {
    if (s->start.n == 0) ints_put(&s->start, 0);
    return s->start.v[s->start.n - 1];
}

void sessions_add(Sessions *s, int token, double weight) {
    real value = (real)weight;
    ints_put(&s->token, token);
    buf_put(&s->weight, &value, sizeof value);
}

void sessions_end_row(Sessions *s, int longest) {
    int from = row_begin(s), n = s->token.n - from;
    if (n > longest) n = longest;
    if (n < 2) n = 0; /* nothing to predict */
    s->token.n = from + n;
    s->weight.n = (size_t)s->token.n * sizeof(real);
    if (n > 0) ints_put(&s->start, s->token.n);
}

/* Gives a weight to the tokens that were appended without one. */
static void weigh(Sessions *s, double weight) {
    real value = (real)weight;
    while (s->weight.n < (size_t)s->token.n * sizeof value)
        buf_put(&s->weight, &value, sizeof value);
}

/* One session is one row: the template's form of every turn. Answers weigh 1, prompts less. */
static void add_turns(Sessions *s, const ModelFolder *f, const Record *r, double prompt_weight) {
    template_start(&f->template, f->tokenizer, r->system, &s->token);
    weigh(s, prompt_weight);
    for (int t = 0; t < r->n_turns; t++) {
        Str answer = r->turns[t].completion;
        bool last = t == r->n_turns - 1;
        TurnForm form = last ? template_form(&f->template, answer) : TURN_EARLIER;
        template_prompt(&f->template, f->tokenizer, r->turns[t].prompt, form, &s->token);
        weigh(s, prompt_weight);
        template_answer(&f->template, f->tokenizer, answer, form, &s->token);
        weigh(s, r->turns[t].trained ? 1 : prompt_weight);
        if (!last) template_between(&f->template, f->tokenizer, &s->token);
        weigh(s, prompt_weight);
    }
}

static bool add_ids(Sessions *s, const Dataset *d, const Record *r, int vocab, Error *err) {
    for (int i = 0; i < r->n_ids; i++) {
        if (r->input_ids[i] >= vocab)
            return record_refuse(d, r, err, "input_ids holds %d and the vocabulary has %d tokens",
                                 r->input_ids[i], vocab);
        sessions_add(s, r->input_ids[i], !r->labels || r->labels[i] != -100);
    }
    return true;
}

/* Cuts the stream of all texts into rows. The last token of a row is the first of the next, so
 * that every token is predicted once. */
static void add_stream(Sessions *s, const IntBuf *stream, int longest) {
    for (int at = 0; at + 1 < stream->n; at += longest - 1) {
        int n = stream->n - at < longest ? stream->n - at : longest;
        ints_append(&s->token, stream->v + at, n);
        weigh(s, 1);
        sessions_end_row(s, longest);
    }
}

/* ---- files ---- */

/* Ends the row and counts it. With skip_long a row that would be cut is left out. */
static void end_row(Sessions *s, int longest, const SessionOptions *o, DataSummary *summary) {
    int from = row_begin(s), n = s->token.n - from;
    if (o->skip_long && n > longest) {
        s->token.n = from;
        summary->too_long++;
    } else summary_row(summary, n, n < longest ? n : longest);
    sessions_end_row(s, longest);
}

static bool add_record(Sessions *s, const ModelFolder *f, const Dataset *d, const Record *r,
                       const SessionOptions *o, IntBuf *stream, DataSummary *summary, Error *err) {
    int longest = f->model->config.context + 1; /* the last token is only a target */
    int before = stream->n;
    switch (r->kind) {
    case RECORD_PAIR: return record_refuse(d, r, err, "a preference pair cannot be pretrained on");
    case RECORD_TURNS:
        if (!system_turn_fits(d, r, f, err)) return false;
        add_turns(s, f, r, o->prompt_loss_weight);
        end_row(s, longest, o, summary);
        return true;
    case RECORD_IDS:
        if (!add_ids(s, d, r, f->model->config.vocab, err)) return false;
        end_row(s, longest, o, summary);
        return true;
    case RECORD_TEXT:
        s->shuffle = true; /* Only sessions come in training order: their order is a curriculum. */
        tokenizer_encode(f->tokenizer, r->text.s, r->text.n, stream);
        template_end(&f->template, f->tokenizer, stream);
        summary_row(summary, stream->n - before, stream->n - before);
    }
    return true;
}

/* Adds the rows of one file, and its texts to the stream. */
static bool add_file(Sessions *s, const ModelFolder *f, const char *path, const SessionOptions *o,
                     IntBuf *stream, DataSummary *summary, Error *err) {
    Dataset d;
    BadRecords bad = {0};
    if (!records_load(&d, path, err)) return false;
    bool *copy = mem_new((size_t)d.count, sizeof *copy);
    if (o->drop_copies) summary->copies = records_copies(&d, copy);
    bool ok = answers_strip_end(&d, f, false, &s->ended, err);
    Progress p = progress_new("encoding", NULL);
    progress_part(&p, path);
    progress_begin(&p, records_bytes(&d));
    for (int j = 0; ok && j < d.count; j++) {
        const Record *r = &d.records[j];
        Error one = {0};
        if (!copy[j] && !add_record(s, f, &d, r, o, stream, summary, &one))
            bad_records_add(&bad, r->line, r->number, &one, err);
        progress_add(&p, (double)r->bytes);
    }
    progress_end(&p);
    if (ok) ok = bad_records_end(&bad, err);
    free(copy);
    summary_add(summary, &d, SUMMARY_EVERY_ANSWER);
    summary_end(summary);
    summary_ignore_weights(summary);
    summary->path = path;
    records_free(&d);
    return ok;
}

bool sessions_read(Sessions *s, const ModelFolder *f, const char *const *files, int n,
                   const SessionOptions *o, Error *err) {
    IntBuf stream = {0};
    s->shuffle = o->shuffle;
    s->summary = mem_new((size_t)n, sizeof *s->summary);
    for (int i = 0; i < n && err->status == 0; i++)
        if (add_file(s, f, files[i], o, &stream, &s->summary[i], err)) s->files++;
    add_stream(s, &stream, f->model->config.context + 1);
    ints_free(&stream);
    if (err->status == 0 && sessions_rows(s) == 0)
        error_set(err, STATUS_DATA, "%s: no tokens to train on", files[0]);
    sessions_make_batches(s, o->batch_tokens);
    return err->status == 0;
}

void sessions_free(Sessions *s) {
    ints_free(&s->token);
    ints_free(&s->start);
    ints_free(&s->batch);
    buf_free(&s->weight);
    free(s->summary);
}

/* ---- batches ---- */

int sessions_rows(const Sessions *s) { return s->start.n > 0 ? s->start.n - 1 : 0; }
int sessions_batches(const Sessions *s) { return s->batch.n > 0 ? s->batch.n - 1 : 0; }

void sessions_make_batches(Sessions *s, int batch_tokens) {
    int tokens = 0, rows = sessions_rows(s);
    s->batch.n = 0;
    ints_put(&s->batch, 0);
    for (int r = 0; r < rows; r++) {
        int n = s->start.v[r + 1] - s->start.v[r] - 1; /* inputs */
        if (tokens > 0 && tokens + n > batch_tokens) {
            ints_put(&s->batch, r);
            tokens = 0;
        }
        tokens += n;
    }
    if (rows > 0) ints_put(&s->batch, rows);
}

double sessions_batch(const Sessions *s, int batch, Batch *out) {
    const real *weight = (const real *)(const void *)s->weight.s;
    double total = 0;
    batch_clear(out);
    for (int r = s->batch.v[batch]; r < s->batch.v[batch + 1]; r++) {
        int from = s->start.v[r], n = s->start.v[r + 1] - from;
        batch_row_weighted(out, s->token.v + from, n, weight + from, NULL);
        for (int i = 1; i < n; i++) total += (double)weight[from + i];
    }
    return total;
}
