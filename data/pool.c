/* A pool that may be larger than memory. */
#include "data/pool.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "data/parts.h"

/* ---- what is known of each record ---- */

static void facts_add(PoolFacts *x, const ExampleFile *file) {
    int n = file->examples.count, all = x->count + n;
    if (all > x->room) {
        x->room = all > INT_MAX / 2 ? all : all + all / 2;
        x->answer_n = mem_grow(x->answer_n, (size_t)x->room, sizeof *x->answer_n);
        x->clean = mem_grow(x->clean, (size_t)x->room, sizeof *x->clean);
        x->source = mem_grow(x->source, (size_t)x->room, sizeof *x->source);
    }
    for (int i = 0; i < n; i++) {
        const Record *r = &file->data.records[i];
        int known = strset_find(&x->names, r->source), at = x->count + i;
        bool named = r->clean == 0 && r->source.n > 0;
        if (named && known < 0) known = strset_add(&x->names, str_copy(&x->arena, r->source));
        x->answer_n[at] = file->examples.items[i].answer_n;
        x->clean[at] = (signed char)r->clean;
        x->source[at] = named ? known : -1;
    }
    x->count = all;
}

PoolFacts facts_of(const ExampleFile *file) {
    PoolFacts x = {0};
    facts_add(&x, file);
    return x;
}

PoolFacts facts_part(const PoolFacts *facts, int first, int count) {
    PoolFacts part = *facts;
    part.answer_n += first;
    part.clean += first;
    part.source += first;
    part.count = count;
    return part;
}

void facts_free(PoolFacts *x) {
    free(x->answer_n);
    free(x->clean);
    free(x->source);
    strset_free(&x->names);
    arena_free(&x->arena);
    *x = (PoolFacts){0};
}

/* ---- the first pass ---- */

static size_t block_of(const PoolUse *use) {
    enum { BLOCK = 8 << 20 };
    return use->whole ? SIZE_MAX : use->block ? use->block : BLOCK;
}

/* Leaves out what teaches the same as a record of this pass before. */
static int drop_copies(Pool *p, ExampleFile *part) {
    bool *copy = mem_new((size_t)part->data.count, sizeof *copy);
    for (int i = 0; i < part->data.count; i++) {
        uint64_t hash = record_hash(&part->data.records[i]);
        copy[i] = map_get(&p->seen, hash) >= 0;
        map_set(&p->seen, hash, 0);
    }
    int copies = examples_leave_out(part, copy);
    free(copy);
    return copies;
}

/* Leaves out, or refuses, what is in another file too. */
static bool check_others(const Pool *p, ExampleFile *part, Error *err) {
    Splits *x = p->use.others;
    bool drop = p->use.how.drop_overlap;
    ExampleFile *const other[2] = {x ? &x->holdout : NULL, x ? &x->eval : NULL};
    for (int i = 0; i < 2 && x && !p->use.how.allow_overlap; i++) {
        bool gives_way = p->use.test;
        if (other[i]->data.path &&
            !examples_disjoint(gives_way ? other[i] : part, gives_way ? part : other[i], drop, err))
            return false;
    }
    return true;
}

/* Makes the examples of the records that were read, the same in both passes. The pool's first
 * record says what all are. */
static bool fill_part(Pool *p, ExampleFile *part, DataSummary *summary, Error *err) {
    if (p->facts.count == 0 && part->data.count > 0)
        p->kind.ids = part->data.records[0].kind == RECORD_IDS;
    p->bos_n = p->kind.ids ? 0 : p->f->bos_n;
    if (part->data.count > INT_MAX / 2 - p->facts.count)
        error_set(err, STATUS_DATA, "%s: too many records in all; score parts with --shard",
                  part->data.path);
    if (err->status) example_file_free(part);
    if (err->status || !example_file_fill(part, p->f, &p->kind, summary, err)) return false;
    if (p->use.how.drop_copies) summary->copies += drop_copies(p, part);
    bool ok = check_others(p, part, err);
    summary->overlap += part->summary.overlap;
    if (!ok) example_file_free(part);
    return ok;
}

/* A file that is read twice must be the same file both times. */
static bool check_twice(const Pool *p, Error *err) {
    for (int i = 0; i < p->use.files; i++)
        if (!file_is_regular(p->use.paths[i]) &&
            (strcmp(p->use.paths[i], "-") == 0 || file_exists(p->use.paths[i])))
            return error_set(err, STATUS_USAGE,
                             "%s: has more than %zu bytes, so it would be read twice, and a pipe "
                             "cannot be: save it as a file",
                             p->use.paths[i], block_of(&p->use));
    return true;
}

static void drop_kept(Pool *p) {
    for (int i = 0; i < p->parts; i++) example_file_free(&p->kept[i]);
    free(p->kept);
    p->kept = NULL;
    p->parts = 0;
}

/* Reads a block. *text grows by what it takes in memory as text. */
static bool read_block(Pool *p, int file, size_t *text, Error *err) {
    ExampleFile part = {0};
    DataSummary *summary = &p->summary[file];
    if (!records_read(p->stream, block_of(&p->use), &part.data, err)) return false;
    for (int i = 0; i < part.data.count; i++) *text += part.data.records[i].bytes;
    if (!fill_part(p, &part, summary, err)) return false;
    summary->path = p->use.paths[file];
    facts_add(&p->facts, &part);
    p->ended += part.ended;
    /* All that was read so far is kept, or nothing. */
    bool fits = records_ended(p->stream) && p->parts == file && *text <= block_of(&p->use);
    if (fits) p->kept[p->parts++] = part;
    else example_file_free(&part);
    if (!fits) drop_kept(p);
    return fits || check_twice(p, err);
}

static bool read_file(Pool *p, int file, size_t *text, Error *err) {
    Progress progress = progress_new("reading", NULL);
    p->stream = records_open(p->use.paths[file], err);
    bool ok = p->stream != NULL;
    if (ok) records_watch(p->stream, &progress);
    while (ok && !records_ended(p->stream)) ok = read_block(p, file, text, err);
    progress_end(&progress);
    records_close(p->stream);
    p->stream = NULL;
    DataSummary *summary = &p->summary[file];
    summary_end(summary);
    p->fingerprint = hash64(&summary->fingerprint, sizeof(uint64_t), p->fingerprint);
    return ok;
}

bool pool_open(Pool *p, const ModelFolder *f, const PoolUse *use, Error *err) {
    *p = (Pool){.f = f,
                .use = *use,
                .kind = {.truncate = use->how.truncate,
                         .pairs = use->how.pairs,
                         .skip_long = use->how.skip_long,
                         .demos_as = use->how.demos_as}};
    p->fingerprint = HASH_START;
    p->summary = mem_new((size_t)use->files, sizeof *p->summary);
    p->kept = mem_new((size_t)use->files, sizeof *p->kept);
    size_t text = 0;
    bool ok = true;
    for (int i = 0; ok && i < use->files; i++) ok = read_file(p, i, &text, err);
    map_free(&p->seen); /* The second pass begins anew. */
    if (ok && p->facts.count == 0)
        ok = error_set(err, STATUS_DATA, "%s: no record is left of those that were read",
                       use->paths[0]);
    const ExampleFile *holdout = use->others ? &use->others->holdout : NULL;
    if (ok && holdout && holdout->data.path && holdout->data.count == 0)
        ok =
            error_set(err, STATUS_DATA, "%s: every record is in %s too: --drop-overlap leaves none",
                      holdout->data.path, use->paths[0]);
    if (ok && holdout && holdout->data.path && holdout->examples.bos_n != p->bos_n)
        ok = error_set(err, STATUS_DATA,
                       "%s and %s: one has input_ids and the other text: both must be of one kind",
                       use->paths[0], holdout->data.path);
    if (!ok) pool_free(p);
    return ok;
}

/* ---- the second pass ---- */

/* The next block of a file; part->data.count is 0 at the end of the file. */
static bool next_block(Pool *p, Error *err) {
    DataSummary again = {0};
    example_file_free(&p->part);
    if (!p->stream) p->stream = records_open(p->use.paths[p->at], err);
    bool ok = p->stream && records_read(p->stream, block_of(&p->use), &p->part.data, err);
    bool ended = ok && records_ended(p->stream);
    if (ended && p->part.data.fingerprint != p->summary[p->at].fingerprint) {
        example_file_free(&p->part);
        ok = error_set(err, STATUS_DATA, "%s: changed while it was read", p->use.paths[p->at]);
    }
    ok = ok && fill_part(p, &p->part, &again, err);
    summary_end(&again);
    if (!ok || ended) {
        records_close(p->stream);
        p->stream = NULL;
        p->at++;
    }
    return ok;
}

bool pool_next(Pool *p, const ExampleFile **part, Error *err) {
    *part = NULL;
    if (p->kept) {
        while (!*part && p->at < p->parts)
            if (p->kept[p->at++].data.count > 0) *part = &p->kept[p->at - 1];
        return true;
    }
    while (p->at < p->use.files) {
        if (!next_block(p, err)) return false;
        if (p->part.data.count == 0) continue;
        *part = &p->part;
        return true;
    }
    return true;
}

void pool_free(Pool *p) {
    drop_kept(p);
    records_close(p->stream);
    example_file_free(&p->part);
    facts_free(&p->facts);
    map_free(&p->seen);
    free(p->summary);
    *p = (Pool){0};
}
