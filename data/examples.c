/* Records into examples. */
#include "data/examples.h"

#include <stdlib.h>
#include <string.h>

#include "data/parts.h"
#include "lib/text.h"

/* ---- records into examples ---- */

static const int *keep_ids(Arena *arena, const IntBuf *ids, int from, int n) {
    int *copy = arena_new(arena, (size_t)n + 1, sizeof *copy);
    if (n) memcpy(copy, ids->v + from, (size_t)n * sizeof *copy);
    return copy;
}

/* What one file is read with. */
typedef struct {
    const ModelFolder *f;
    const Dataset *d;
    bool truncate;
    bool ids;   /* the file has input_ids */
    bool pairs; /* it must have preference pairs */
    DemosAs demos_as;
    bool *too_long; /* NULL: a record that does not fit is an error; else this is set instead */
    Arena *arena;
    DataSummary *summary;
    Progress *progress;
    Error *err;
} ExampleReader;

/* Cuts an answer to what the context leaves, if `truncate` allows that. False if the answer does
 * not fit: with an error that names the line, or too_long set. */
static bool fit_answer(const ExampleReader *x, const Record *r, int bos_n, int prompt_n,
                       int *answer_n) {
    int context = x->f->model->config.context, before = bos_n + prompt_n, whole = *answer_n;
    int room = context + 1 - before; /* the last token is only predicted, never read */
    if (before < 1)
        return record_refuse(
            x->d, r, x->err,
            "the prompt has no tokens: nothing would predict the first token of the answer");
    bool fits = room >= 1 && (*answer_n <= room || x->truncate);
    if (!fits && x->too_long) {
        *x->too_long = true;
        return false;
    }
    if (room < 1)
        return record_refuse(x->d, r, x->err,
                             "the prompt has %d tokens and the model's context is %d: no token "
                             "of the completion would be left; "
                             "shorten the prompt, or leave such records out with --skip-long",
                             prompt_n, context);
    if (*answer_n > room && !x->truncate)
        return record_refuse(x->d, r, x->err,
                             "prompt and completion have %d tokens and the model's context is "
                             "%d; shorten them, cut completions with --truncate, or leave such "
                             "records out with --skip-long",
                             prompt_n + *answer_n, context);
    if (*answer_n > room) *answer_n = room;
    summary_row(x->summary, before + whole, before + *answer_n);
    return true;
}

/* {"input_ids", "labels"}: what comes before the first label is the prompt. The rest is the answer.
 * The first token is always of the prompt, since nothing predicts it. Tokens after the last label
 * are left out: no trained token sees them. */
static bool example_from_ids(const ExampleReader *x, const Record *r, Example *e) {
    int vocab = x->f->model->config.vocab;
    int first = 1, end = r->n_ids;
    while (r->labels && first < end && r->labels[first] == -100) first++;
    while (r->labels && end > first && r->labels[end - 1] == -100) end--;
    for (int i = 0; i < end; i++) {
        if (r->input_ids[i] >= vocab)
            return record_refuse(x->d, r, x->err,
                                 "input_ids holds %d and the model's vocabulary has %d tokens",
                                 r->input_ids[i], vocab);
        if (r->labels && i >= first && r->labels[i] == -100)
            return record_refuse(x->d, r, x->err,
                                 "\"labels\", item %d: is -100 inside the answer; give each answer "
                                 "its own record",
                                 i + 1);
    }
    if (x->demos_as == DEMOS_AS_TEXT)
        return record_refuse(x->d, r, x->err,
                             "--demos-as text needs prompts and answers as text: input_ids do not "
                             "say where the user's text begins");
    if (first >= end)
        return record_refuse(x->d, r, x->err,
                             "input_ids and labels leave no prompt or no response");
    IntBuf ids = {.v = r->input_ids, .n = r->n_ids};
    *e = (Example){.prompt_n = first, .bare_n = first, .answer_n = end - first};
    e->bare = e->prompt = keep_ids(x->arena, &ids, 0, first);
    e->answer = keep_ids(x->arena, &ids, first, e->answer_n);
    return fit_answer(x, r, 0, first, &e->answer_n);
}

/* Appends a text as it is compared, and a byte that no UTF-8 text has: where it ends. */
static void put_folded(Buf *b, Str text) {
    text_fold(b, text);
    buf_putc(b, '\xff');
}

/* What retrieval compares, and what makes two examples the same. The prompt is everything before
 * the answer: of a conversation all turns, so that "Continue." is not the prompt of them all. */
static void identify(const ModelFolder *f, const Record *r, Arena *arena, Example *e) {
    IntBuf ids = {0};
    Buf text = {0};
    bool turns = r->kind == RECORD_TURNS;
    int earlier = turns ? r->n_turns - 1 : r->n_turns;
    if (r->system.n) put_folded(&text, r->system);
    for (int t = 0; t < earlier; t++) {
        template_bare_prompt(f->tokenizer, r->turns[t].prompt, &ids);
        template_bare_prompt(f->tokenizer, r->turns[t].completion, &ids);
        put_folded(&text, r->turns[t].prompt);
        put_folded(&text, r->turns[t].completion);
    }
    Str prompt = turns ? r->turns[earlier].prompt : r->prompt;
    template_bare_prompt(f->tokenizer, prompt, &ids);
    put_folded(&text, prompt);
    e->bare_n = ids.n;
    e->bare = keep_ids(arena, &ids, 0, ids.n);
    e->prompt_text = str_copy(arena, (Str){text.s, text.n});
    text.n = 0;
    put_folded(&text, turns ? r->turns[earlier].completion : r->chosen);
    e->answer_text = str_copy(arena, (Str){text.s, text.n});
    ints_free(&ids);
    buf_free(&text);
}

bool system_turn_fits(const Dataset *d, const Record *r, const ModelFolder *f, Error *err) {
    if (r->system.n == 0 || f->template.system_prefix) return true;
    return record_refuse(d, r, err,
                         "has a system turn, and the template has none: put its text into the "
                         "user's, or take a template that has one (--template)");
}

/* Appends the turns before the answer, in the template's form. *insert: after how many tokens of
 * them demonstrations as text would stand. */
static void put_prompt(const ModelFolder *f, const Record *r, int earlier, Str prompt,
                       TurnForm form, bool as_text, int *insert, IntBuf *ids) {
    int start = ids->n;
    if (as_text) template_opening(&f->template, f->tokenizer, ids);
    *insert = ids->n - start;
    for (int t = 0; t < earlier; t++)
        if (t > 0 || !as_text)
            template_turn(&f->template, f->tokenizer, r->turns[t].prompt, r->turns[t].completion,
                          ids);
        else {
            template_asking(&f->template, f->tokenizer, r->turns[t].prompt, TURN_EARLIER, ids);
            template_answer(&f->template, f->tokenizer, r->turns[t].completion, TURN_EARLIER, ids);
            template_between(&f->template, f->tokenizer, ids);
        }
    if (as_text && earlier == 0) template_asking(&f->template, f->tokenizer, prompt, form, ids);
    else template_prompt(&f->template, f->tokenizer, prompt, form, ids);
}

#define TEXT_GAP "\n"     /* between a prompt and its answer, told as text */
#define TEXT_AFTER "\n\n" /* after that */

/* The prompt as a demonstration tells it: the turns before the answer, without a template. */
static void tell_prompt(const ExampleReader *x, const Record *r, int earlier, Str prompt,
                        Example *e) {
    IntBuf ids = {0};
    Buf text = {0};
    for (int t = 0; t < earlier; t++) {
        buf_put(&text, r->turns[t].prompt.s, r->turns[t].prompt.n);
        buf_puts(&text, TEXT_GAP);
        buf_put(&text, r->turns[t].completion.s, r->turns[t].completion.n);
        buf_puts(&text, TEXT_AFTER);
    }
    buf_put(&text, prompt.s, prompt.n);
    template_bare_prompt(x->f->tokenizer, (Str){text.s, text.n}, &ids);
    e->told_n = ids.n;
    e->told = keep_ids(x->arena, &ids, 0, ids.n);
    ints_free(&ids);
    buf_free(&text);
}

/* How the file's examples are shown as demonstrations. */
static DemoFrame frame_of(const ModelFolder *f, DemosAs as, Arena *arena) {
    DemoFrame frame = {.as = as};
    IntBuf after = {0}, gap = {0}, end = {0};
    if (as == DEMOS_AS_TEXT) {
        tokenizer_encode(f->tokenizer, TEXT_GAP, strlen(TEXT_GAP), &gap);
        tokenizer_encode(f->tokenizer, TEXT_AFTER, strlen(TEXT_AFTER), &after);
        template_end(&f->template, f->tokenizer, &end);
    } else template_between(&f->template, f->tokenizer, &after);
    frame.after_n = after.n;
    frame.after = keep_ids(arena, &after, 0, after.n);
    frame.gap_n = gap.n;
    frame.gap = keep_ids(arena, &gap, 0, gap.n);
    frame.end_n = end.n;
    frame.end = keep_ids(arena, &end, 0, end.n);
    ints_free(&after);
    ints_free(&gap);
    ints_free(&end);
    return frame;
}

/* Text. Earlier turns of a conversation become part of the prompt, in the template's form. */
static bool example_from_text(const ExampleReader *x, const Record *r, Example *e) {
    const ModelFolder *f = x->f;
    if (r->kind == RECORD_TEXT)
        return record_refuse(
            x->d, r, x->err,
            "a \"text\" record has no prompt and completion: it can only be pretrained on");
    if (!f->tokenizer)
        return record_refuse(
            x->d, r, x->err,
            "the model folder has no tokenizer.json or vocab.json: only input_ids can be read");
    if (!system_turn_fits(x->d, r, f, x->err)) return false;
    IntBuf ids = {0};
    bool turns = r->kind == RECORD_TURNS, as_text = x->demos_as == DEMOS_AS_TEXT;
    int earlier = turns ? r->n_turns - 1 : r->n_turns;
    Str prompt = turns ? r->turns[earlier].prompt : r->prompt;
    Str answer = turns ? r->turns[earlier].completion : r->chosen;
    TurnForm form = template_form(&f->template, answer);
    if (x->pairs && form == TURN_LAST) form = template_form(&f->template, r->rejected);
    template_start(&f->template, f->tokenizer, r->system, &ids);
    int start = ids.n;
    put_prompt(f, r, earlier, prompt, form, as_text, &e->insert, &ids);
    int end = ids.n;
    if (r->system.s && f->template.system_prefix) {
        e->start_n = start;
        e->start = keep_ids(x->arena, &ids, 0, start);
    }
    if (as_text) tell_prompt(x, r, earlier, prompt, e);
    e->prompt_n = end - start;
    e->prompt = keep_ids(x->arena, &ids, start, e->prompt_n);
    identify(f, r, x->arena, e);
    template_answer(&f->template, f->tokenizer, answer, form, &ids);
    e->answer_n = ids.n - end;
    e->answer = keep_ids(x->arena, &ids, end, e->answer_n);
    if (x->pairs) { /* Else nothing may depend on the rejected answer, not even what fits. */
        ids.n = end;
        template_answer(&f->template, f->tokenizer, r->rejected, form, &ids);
        e->rejected_n = ids.n - end;
        e->rejected = keep_ids(x->arena, &ids, end, e->rejected_n);
    }
    ints_free(&ids);
    return fit_answer(x, r, start, e->prompt_n, &e->answer_n) &&
           (!x->pairs || fit_answer(x, r, start, e->prompt_n, &e->rejected_n));
}

/* ---- files ---- */

static bool strip_end(const Dataset *d, const Record *r, const ModelFolder *f, Str *answer,
                      int *ended, Error *err) {
    Str own = template_strip_end(&f->template, f->tokenizer, *answer);
    *ended += own.n < answer->n;
    *answer = own;
    return own.n > 0 || record_refuse(d, r, err,
                                      "the answer is only the end token's text: fill it in or "
                                      "remove the record");
}

bool answers_strip_end(Dataset *d, const ModelFolder *f, bool pairs, int *ended, Error *err) {
    for (int i = 0; f->tokenizer && i < d->count; i++) {
        Record *r = &d->records[i];
        for (int t = 0; t < r->n_turns; t++)
            if (!strip_end(d, r, f, &r->turns[t].completion, ended, err)) return false;
        if (r->kind == RECORD_PAIR && (!strip_end(d, r, f, &r->chosen, ended, err) ||
                                       (pairs && !strip_end(d, r, f, &r->rejected, ended, err))))
            return false;
        if (r->kind != RECORD_TEXT) continue;
        size_t n = r->text.n;
        r->text = template_strip_end(&f->template, f->tokenizer, r->text);
        *ended += r->text.n < n;
    }
    return true;
}

void example_file_free(ExampleFile *l) {
    if (l->data.path) records_free(&l->data);
    arena_free(&l->examples.arena);
    *l = (ExampleFile){0};
}

static bool example_from_record(const ExampleReader *x, const Record *r, Example *e) {
    if (x->pairs && r->kind != RECORD_PAIR)
        return record_refuse(x->d, r, x->err,
                             "not a preference pair: this objective needs \"prompt\", "
                             "\"chosen\" and \"rejected\"");
    if ((r->kind == RECORD_IDS) != x->ids)
        return record_refuse(x->d, r, x->err,
                             "input_ids and text records cannot be mixed in one file");
    return x->ids ? example_from_ids(x, r, e) : example_from_text(x, r, e);
}

/* Reads every record, so that a message can name all bad ones. out[i]: it does not fit. */
static bool read_examples(ExampleReader *x, bool skip_long, Example *items, bool *out, Error *err) {
    const Dataset *d = x->d;
    BadRecords bad = {0};
    bool too_long = false;
    if (skip_long) x->too_long = &too_long;
    for (int i = 0; i < d->count; i++) {
        Error one = {0};
        x->err = &one;
        too_long = false;
        progress_add(x->progress, (double)d->records[i].bytes);
        if (example_from_record(x, &d->records[i], &items[i])) continue;
        out[i] = too_long;
        if (!too_long) bad_records_add(&bad, d->records[i].line, d->records[i].number, &one, err);
    }
    return bad_records_end(&bad, err);
}

bool example_file_fill(ExampleFile *l, const ModelFolder *f, const ExampleUse *use,
                       DataSummary *summary, Error *err) {
    Dataset *d = &l->data;
    Examples *x = &l->examples;
    bool ids = use->ids;
    x->count = d->count;
    x->items = arena_new(&x->arena, (size_t)d->count, sizeof *x->items);
    x->bos = f->bos;
    x->bos_n = ids ? 0 : f->bos_n; /* input_ids are whole rows, their first token included */
    if (!ids && f->tokenizer) x->frame = frame_of(f, use->demos_as, &x->arena);
    bool *out = mem_new((size_t)d->count, sizeof *out);
    ExampleReader reader = {.f = f,
                            .d = d,
                            .truncate = use->truncate,
                            .ids = ids,
                            .pairs = use->pairs,
                            .demos_as = use->demos_as,
                            .arena = &x->arena,
                            .summary = summary,
                            .progress = use->progress};
    bool ok = answers_strip_end(d, f, use->pairs, &l->ended, err) &&
              read_examples(&reader, use->skip_long, x->items, out, err);
    summary_add(summary, d, use->pairs ? SUMMARY_PAIRS : SUMMARY_LAST_ANSWERS);
    summary->too_long += examples_leave_out(l, out);
    free(out);
    if (!ok) example_file_free(l);
    return ok;
}

static bool example_file_read(ExampleFile *l, const ModelFolder *f, const char *path,
                              const SplitFiles *how, bool pairs, Error *err) {
    *l = (ExampleFile){0};
    if (!records_load(&l->data, path, err)) {
        l->data.path = NULL;
        return false;
    }
    DataSummary summary = {0};
    Progress progress = progress_new("encoding", NULL);
    ExampleUse use = {.truncate = how->truncate,
                      .pairs = pairs,
                      .ids = l->data.records[0].kind == RECORD_IDS,
                      .skip_long = how->skip_long,
                      .demos_as = how->demos_as,
                      .progress = &progress};
    progress_part(&progress, path);
    progress_begin(&progress, records_bytes(&l->data));
    bool ok = example_file_fill(l, f, &use, &summary, err);
    progress_end(&progress);
    summary_end(&summary);
    if (ok && l->data.count == 0) {
        example_file_free(l);
        ok = error_set(err, STATUS_DATA,
                       "%s: no record fits the model's context of %d tokens: --skip-long leaves "
                       "none",
                       path, f->model->config.context);
    }
    if (ok) l->summary = summary;
    return ok;
}

/* ---- the files of a command ---- */

void splits_free(Splits *x) {
    example_file_free(&x->pool);
    example_file_free(&x->holdout);
    example_file_free(&x->eval);
    example_file_free(&x->validation);
}

static bool check_left(const ExampleFile *a, const ExampleFile *b, Error *err) {
    return a->data.count > 0 ||
           error_set(err, STATUS_DATA, "%s: every record is in %s too: --drop-overlap leaves none",
                     a->data.path, b->data.path);
}

bool splits_read(Splits *x, const ModelFolder *f, const SplitFiles *s, Error *err) {
    *x = (Splits){0};
    const struct {
        ExampleFile *to;
        const char *path;
        bool pairs;
    } files[3] = {{&x->pool, s->pool, s->pairs},
                  {&x->holdout, s->holdout, s->holdout_pairs},
                  {&x->eval, s->eval, s->pairs}};
    for (int i = 0; i < 3; i++)
        if (files[i].path &&
            !example_file_read(files[i].to, f, files[i].path, s, files[i].pairs, err))
            goto failed;
    if (s->pool && s->drop_copies) examples_drop_copies(&x->pool);
    for (int i = 0; i < 3 && !s->allow_overlap; i++)
        for (int j = i + 1; j < 3; j++)
            if (files[i].path && files[j].path &&
                (!examples_disjoint(files[i].to, files[j].to, s->drop_overlap, err) ||
                 !check_left(files[i].to, files[j].to, err)))
                goto failed;
    if (s->pool && s->holdout && x->pool.examples.bos_n != x->holdout.examples.bos_n) {
        error_set(err, STATUS_DATA,
                  "%s and %s: one has input_ids and the other text: both must be of one kind",
                  s->pool, s->holdout);
        goto failed;
    }
    return true;
failed:
    splits_free(x);
    return false;
}

bool example_broken(const ExampleFile *file, int i, Error *err) {
    const Dataset *d = &file->data;
    char where[40] = "";
    if (i >= d->count) snprintf(where, sizeof where, "record %d", i + 1); /* of no file */
    else snprintf(where, sizeof where, ":%ld: record", d->records[i].line);
    return error_set(err, STATUS_DIVERGED,
                     "%s%s has no finite log-likelihood: the model's parameters are not usable, as "
                     "after a training that diverged",
                     i < d->count ? d->path : "", where);
}
