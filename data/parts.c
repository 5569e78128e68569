/* Parts of files: what is left out, and what is held out for validation. */
#include "data/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int examples_leave_out(ExampleFile *file, const bool *out) {
    Dataset *d = &file->data;
    int kept = 0, gone = 0;
    for (int i = 0; i < d->count; i++) {
        gone += out[i];
        if (out[i]) continue;
        d->records[kept] = d->records[i];
        d->records[kept].gone += gone;
        file->examples.items[kept++] = file->examples.items[i];
    }
    d->count = file->examples.count = kept;
    d->gone += gone;
    return gone;
}

void examples_drop_copies(ExampleFile *file) {
    bool *copy = mem_new((size_t)file->data.count, sizeof *copy);
    file->summary.copies = records_copies(&file->data, copy);
    examples_leave_out(file, copy);
    free(copy);
}

/* ---- the same example in two files ---- */

/* What counts as the same example: all ids, or the texts of prompt and answer. */
static Str key_of(Arena *arena, const Record *r, const Example *e) {
    Buf b = {0};
    if (r->kind == RECORD_IDS) buf_put(&b, r->input_ids, (size_t)r->n_ids * sizeof(int));
    buf_put(&b, e->prompt_text.s, e->prompt_text.n);
    buf_put(&b, e->answer_text.s, e->answer_text.n);
    Str kept = str_copy(arena, (Str){b.s, b.n});
    buf_free(&b);
    return kept;
}

typedef struct {
    Str text;
    const Record *record;
} Key;

static int compare_keys(const void *a, const void *b) {
    const Key *x = a, *y = b;
    size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
    int c = n ? memcmp(x->text.s, y->text.s, n) : 0;
    if (c == 0) c = (x->text.n > y->text.n) - (x->text.n < y->text.n);
    return c;
}

static Key *sorted_keys(Arena *arena, const ExampleFile *file) {
    const Dataset *d = &file->data;
    Key *keys = arena_new(arena, (size_t)d->count, sizeof *keys);
    for (int i = 0; i < d->count; i++)
        keys[i] = (Key){key_of(arena, &d->records[i], &file->examples.items[i]), &d->records[i]};
    qsort(keys, (size_t)d->count, sizeof *keys, compare_keys);
    return keys;
}

/* Names the first record that is in another file too, the next ones, and the number of all. */
static void name_overlap(const ExampleFile *file, const bool *in, const Record *first,
                         const char *path, const Record *other, Error *err) {
    const Dataset *d = &file->data;
    BadRecords bad = {0};
    Error one = {0};
    error_set(&one, STATUS_DATA,
              "%s:%ld and %s:%ld are the same example; remove one, let --drop-overlap leave such "
              "records out, or say --allow-overlap to measure the leak",
              d->path, first->line, path, other->line);
    for (int i = 0; i < d->count; i++)
        if (in[i]) bad_records_add(&bad, d->records[i].line, d->records[i].number, &one, err);
    bad_records_end(&bad, err);
}

bool examples_disjoint(ExampleFile *a, const ExampleFile *b, bool drop, Error *err) {
    Arena arena = {0};
    Key *x = sorted_keys(&arena, a), *y = sorted_keys(&arena, b);
    const Record *first = NULL, *other = NULL; /* the first of a that is in b too */
    bool *out = mem_new((size_t)a->data.count, sizeof *out);
    for (int i = 0, j = 0; i < a->data.count && j < b->data.count;) {
        int c = compare_keys(&x[i], &y[j]);
        if (c == 0) out[x[i].record - a->data.records] = true;
        if (c == 0 && (!first || x[i].record < first)) {
            first = x[i].record;
            other = y[j].record;
        }
        if (c <= 0) i++;
        else j++;
    }
    if (drop) a->summary.overlap += examples_leave_out(a, out);
    else if (first) name_overlap(a, out, first, b->data.path, other, err);
    free(out);
    arena_free(&arena);
    return err->status == 0;
}

/* ---- validation ---- */

/* Copies the records with in[i] into another file in memory, which borrows what they hold. */
static void take_part(const ExampleFile *from, const bool *in, ExampleFile *to) {
    const Dataset *d = &from->data;
    size_t n = strlen(d->path) + 1;
    *to = (ExampleFile){.examples = {.bos = from->examples.bos,
                                     .bos_n = from->examples.bos_n,
                                     .frame = from->examples.frame}};
    to->data.path = memcpy(mem_new(n, 1), d->path, n);
    to->data.fingerprint = d->fingerprint;
    to->data.records = mem_new((size_t)d->count, sizeof *d->records);
    to->examples.items = arena_new(&to->examples.arena, (size_t)d->count, sizeof(Example));
    for (int i = 0; i < d->count; i++) {
        if (!in[i]) continue;
        to->data.records[to->data.count++] = d->records[i];
        to->examples.items[to->examples.count++] = from->examples.items[i];
    }
}

ExampleFile examples_other_folds(const ExampleFile *file, Folds *folds, int fold, Arena *arena) {
    ExampleFile part = *file;
    int *place = arena_new(arena, (size_t)file->data.count, sizeof *place);
    part.examples = folds_part(folds, &file->examples, fold, true, place);
    part.data.count = part.examples.count;
    part.data.records = arena_new(arena, (size_t)part.data.count, sizeof *part.data.records);
    for (int i = 0; i < part.data.count; i++) part.data.records[i] = file->data.records[place[i]];
    return part;
}

bool splits_hold_out(Splits *x, double share, uint64_t seed, Error *err) {
    int n = x->pool.examples.count, taken = 0;
    double wanted = share * n;
    Folds folds;
    folds_new(&x->pool.examples, seed, &folds);
    int *size = mem_new((size_t)folds.prompts, sizeof *size);
    bool *in = mem_new((size_t)n, sizeof *in), *takes = mem_new((size_t)folds.prompts, 1);
    for (int i = 0; i < n; i++) size[folds.prompt[i]]++;
    /* Prompts are numbered in the order of a hash. One is taken if the part gets nearer to the
     * wanted size with it, and if another remains. */
    for (int p = 0; p < folds.prompts; p++) {
        bool nearer = fabs(taken + size[p] - wanted) < fabs(taken - wanted);
        takes[p] = nearer && taken + size[p] < n;
        if (takes[p]) taken += size[p];
    }
    for (int i = 0; i < n; i++) in[i] = takes[folds.prompt[i]];
    if (taken == 0)
        error_set(err, STATUS_DATA,
                  "%s: --eval-share %g: %d records with %d distinct prompts have no part of that "
                  "size: take a larger share, or give --eval FILE",
                  x->pool.data.path, share, n, folds.prompts);
    else {
        take_part(&x->pool, in, &x->validation);
        examples_leave_out(&x->pool, in);
        x->pool.summary.validation = taken;
    }
    free(takes);
    free(in);
    free(size);
    folds_free(&folds);
    return err->status == 0;
}
