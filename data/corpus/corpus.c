/* The built-in corpus: sessions, pools, holdout, test and pairs as files. */
#include "data/corpus/corpus.h"

#include <math.h>
#include <stdlib.h>

#include "data/corpus/annotators.h"
#include "lib/file.h"
#include "lib/json.h"

static const double CURRICULUM_SHARE = 0.3;
static const double SINGLE_DOMAIN_SHARE = 0.7;
static const double FLIP_SHARE = 0.3;

/* ---- pretraining sessions ---- */

const CorpusSizeInfo CORPUS_SIZES[] = {
    [CORPUS_QUICK] = {.name = "quick",
                      .help = "40,000 sessions; reliable annotators come first",
                      .sessions = 40000,
                      .facts_first = true},
    [CORPUS_FULL] = {.name = "full",
                     .help = "96,000 sessions, all annotators from the start",
                     .sessions = 96000},
};
_Static_assert(sizeof CORPUS_SIZES / sizeof *CORPUS_SIZES == CORPUS_SIZE_COUNT, "a row each");

/* A session fills a row of 128 tokens and the token that the last of them predicts. The trainer
 * cuts what is too long. */
enum { ROW_TOKENS = 128 + 1 };

/* A lower bound on the tokens of a question with its answer: three marks of the template, and one
 * token a word, since the tokenizer never merges across a space. With a vocabulary of 512 a session
 * has about a quarter more tokens than this bound, so every row is full. */
static int least_tokens(const Answered *e) {
    int tokens = 3 + 2;
    for (const char *c = e->question; *c; c++) tokens += *c == ' ';
    for (const char *c = e->answer; *c; c++) tokens += *c == ' ';
    return tokens;
}

/* Appends a field, and the text after it: the comma or the end of the object. */
static void field_put(Buf *out, const char *key, const char *value, const char *after) {
    buf_putc(out, '"');
    buf_puts(out, key);
    buf_puts(out, "\":");
    json_put_string(out, str(value));
    buf_puts(out, after);
}

static void turn_put(Buf *out, const Answered *e) {
    buf_puts(out, "{\"role\":\"user\",");
    field_put(out, "content", e->question, "},{\"role\":\"assistant\",");
    field_put(out, "content", e->answer, "}");
}

static void session_put(const World *w, Rng *r, bool facts_first, bool control, Buf *out) {
    Annotator source = annotator_draw(r, facts_first);
    bool single_domain = rng_uniform(r) < SINGLE_DOMAIN_SHARE;
    int domain = rng_below(r, DOMAIN_COUNT);
    buf_puts(out, "{\"messages\":[");
    for (int tokens = 1; tokens < ROW_TOKENS;) {
        Answered e = answered_draw(w, r, domain, PART_PRETRAIN, source);
        if (tokens > 1) buf_putc(out, ',');
        turn_put(out, &e);
        tokens += least_tokens(&e);
        if (!single_domain) domain = rng_below(r, DOMAIN_COUNT);
        if (control) source = annotator_draw(r, facts_first);
    }
    buf_puts(out, "],");
    field_put(out, "source", control ? "mixed" : ANNOTATORS[source].name, "}\n");
}

static bool pretrain_write(const World *w, const CorpusOptions *o, const char *path, Error *err) {
    const CorpusSizeInfo *size = &CORPUS_SIZES[o->size];
    int sessions = o->sessions > 0 ? o->sessions : size->sessions;
    int facts_first = size->facts_first ? (int)(CURRICULUM_SHARE * sessions) : 0;
    Rng r = rng_new(o->seed, RNG_CORPUS_PRETRAIN);
    FileWriter file = {0};
    Buf lines = {0};
    bool ok = file_begin(&file, path, err);
    for (int i = 0; ok && i < sessions; i++) {
        session_put(w, &r, i < facts_first, o->control, &lines);
        if (lines.n < 1 << 20 && i + 1 < sessions) continue;
        ok = file_put(&file, lines.s, lines.n, err);
        lines.n = 0;
    }
    buf_free(&lines);
    return ok && file_commit(&file, err);
}

/* ---- pools, holdout, test, pairs ---- */

typedef struct {
    const char *name, *id;
    enum RngStream stream;
    bool drawn; /* depends on seed and draw, instead of on the seed alone */
    Part part;
    int count;
    int targets;       /* records by the target annotator; 0 for pairs and noise */
    bool only_verbose; /* the other records are all verbose, instead of by the six others in turn */
    bool pairs, flips, noise;
} CorpusFile;

static const CorpusFile FILES[] = {
    {.name = "pool-even50.jsonl",
     .id = "even50",
     .stream = RNG_CORPUS_EVEN50,
     .part = PART_POOL,
     .count = 800,
     .targets = 400,
     .drawn = true},
    {.name = "pool-verbose60.jsonl",
     .id = "verbose60",
     .stream = RNG_CORPUS_VERBOSE60,
     .part = PART_POOL,
     .count = 800,
     .targets = 320,
     .drawn = true,
     .only_verbose = true},
    {.name = "holdout.jsonl",
     .id = "holdout",
     .stream = RNG_CORPUS_HOLDOUT,
     .part = PART_HOLDOUT,
     .count = 200,
     .targets = 200,
     .drawn = true},
    {.name = "test.jsonl",
     .id = "test",
     .stream = RNG_CORPUS_TEST,
     .part = PART_TEST,
     .count = 400,
     .targets = 400},
    {.name = "pairs-pool.jsonl",
     .id = "pair",
     .stream = RNG_CORPUS_PAIRS_POOL,
     .part = PART_POOL,
     .count = 800,
     .drawn = true,
     .pairs = true,
     .flips = true},
    {.name = "pairs-holdout.jsonl",
     .id = "pair-holdout",
     .stream = RNG_CORPUS_PAIRS_HOLDOUT,
     .part = PART_HOLDOUT,
     .count = 200,
     .drawn = true,
     .pairs = true},
    {.name = "pairs-test.jsonl",
     .id = "pair-test",
     .stream = RNG_CORPUS_PAIRS_TEST,
     .part = PART_TEST,
     .count = 300,
     .pairs = true},
    {.name = "pool-noise.jsonl",
     .id = "noise",
     .stream = RNG_CORPUS_NOISE,
     .part = PART_POOL,
     .count = 800,
     .drawn = true,
     .noise = true},
};
enum { FILE_COUNT = sizeof FILES / sizeof *FILES };

/* The annotators of pool-noise.jsonl besides target, and their share. */
typedef struct {
    IntBuf kinds;
    double rate;
} Noise;

/* Does a corpus with this noise (NULL: without) have this file? */
static bool file_wanted(const CorpusFile *f, const char *noise) { return !f->noise || noise; }

/* Who answers the i-th record before they are shuffled. */
static int source_at(const CorpusFile *f, const Noise *noise, int i) {
    if (f->noise) {
        int clean = f->count - (noise->kinds.n ? (int)lround(noise->rate * f->count) : 0);
        return i < clean ? ANNOTATOR_TARGET : noise->kinds.v[(i - clean) % noise->kinds.n];
    }
    if (i < f->targets) return ANNOTATOR_TARGET;
    if (f->only_verbose) return ANNOTATOR_VERBOSE;
    return ANNOTATOR_CARELESS + (i - f->targets) % (ANNOTATOR_SEEN_COUNT - 1);
}

/* The source of each of a file's records, in random order. The number of each source is exact. */
static int *sources_new(const CorpusFile *f, const Noise *noise, Rng *r) {
    int *sources = mem_new((size_t)f->count, sizeof *sources);
    for (int i = 0; i < f->count; i++) sources[i] = source_at(f, noise, i);
    rng_shuffle(r, sources, f->count);
    return sources;
}

static void record_put(const World *w, const CorpusFile *f, int source, Rng *r, Buf *out) {
    Annotator annotator = (Annotator)source;
    Answered e = answered_draw(w, r, annotator_domain(r, annotator), f->part, annotator);
    field_put(out, "prompt", e.question, ",");
    field_put(out, "completion", e.answer, ",");
    buf_printf(out, "\"clean\":%s,", annotator == ANNOTATOR_TARGET ? "true" : "false");
    field_put(out, "source", ANNOTATORS[annotator].name, "}\n");
}

static void pair_put(const World *w, const CorpusFile *f, Rng *r, Buf *out) {
    Annotator source = (Annotator)(ANNOTATOR_CARELESS + rng_below(r, ANNOTATOR_SEEN_COUNT - 1));
    Answered e = answered_draw(w, r, rng_below(r, DOMAIN_COUNT), f->part, source);
    bool flipped = f->flips && rng_uniform(r) < FLIP_SHARE;
    field_put(out, "prompt", e.question, ",");
    field_put(out, "chosen", flipped ? e.answer : e.right, ",");
    field_put(out, "rejected", flipped ? e.right : e.answer, ",");
    buf_printf(out, "\"flipped\":%s,", flipped ? "true" : "false");
    field_put(out, "source", ANNOTATORS[source].name, "}\n");
}

/* The generator of a file that depends on the draw. Draw numbers are small, so the first generator
 * spreads them over 64 bits. */
static Rng draw_rng(uint64_t seed, uint64_t draw, enum RngStream stream) {
    Rng spread = rng_new(draw, stream);
    return rng_new(seed ^ rng_u64(&spread), stream);
}

static bool records_write(const World *w, const CorpusOptions *o, const CorpusFile *f,
                          const Noise *noise, const char *path, Error *err) {
    Rng r = f->drawn ? draw_rng(o->seed, o->draw, f->stream) : rng_new(o->seed, f->stream);
    int *sources = f->pairs ? NULL : sources_new(f, noise, &r);
    Buf out = {0};
    for (int i = 0; i < f->count; i++) {
        buf_printf(&out, "{\"id\":\"%s-%04d\",", f->id, i + 1);
        /* A generator for each record, so that its neighbors' noise does not change it. */
        Rng own = f->noise ? rng_new(rng_u64(&r), f->stream) : r;
        if (f->pairs) pair_put(w, f, &own, &out);
        else record_put(w, f, sources[i], &own, &out);
        if (!f->noise) r = own;
    }
    bool ok = file_write(path, out.s, out.n, err);
    buf_free(&out);
    free(sources);
    return ok;
}

static bool files_write(const CorpusOptions *o, const Noise *noise, Error *err) {
    if (!folder_make(o->out, err)) return false;
    World *w = world_new(o->seed);
    char *path = path_join(o->out, "pretrain.jsonl");
    bool ok = o->pools_only || pretrain_write(w, o, path, err);
    free(path);
    for (int i = 0; ok && i < FILE_COUNT; i++) {
        if (!file_wanted(&FILES[i], o->noise)) continue;
        path = path_join(o->out, FILES[i].name);
        ok = records_write(w, o, &FILES[i], noise, path, err);
        free(path);
    }
    free(w);
    return ok;
}

bool corpus_write(const CorpusOptions *o, Error *err) {
    Noise noise = {.rate = o->noise_rate};
    bool ok = !o->noise || annotators_parse(o->noise, &noise.kinds, err);
    ok = ok && files_write(o, &noise, err);
    ints_free(&noise.kinds);
    return ok;
}

const char *corpus_file(const CorpusOptions *o, int i, const char **id) {
    *id = NULL;
    if (!o->pools_only && i-- == 0) return "pretrain.jsonl";
    if (i == FILE_COUNT || !file_wanted(&FILES[i], o->noise)) return NULL;
    *id = FILES[i].id;
    return FILES[i].name;
}
