/* The built-in corpus: a world of facts, annotators who answer questions about it, and the files.
 * */
#include "data/corpus/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "data/corpus/words.h"
#include "lib/file.h"
#include "lib/json.h"

/* ---- the world: six domains of items ---- */

enum { CAPITAL, OPPOSITE, COLOR, GROUP, NEXT, REVERSE, N_DOMAINS };
enum { MAX_ITEMS = 336, MAX_WORD = 16, MAX_QUESTION = 96, MAX_ANSWER = 64 };
enum { LETTERS = 8, NUMBERS = 48 };

/* A fact: what a question is about, and the right answer. */
typedef struct {
    char subject[MAX_WORD], right[MAX_WORD];
} Item;

/* After world_split the items of a domain are in this order: pool, holdout, test. */
typedef struct {
    Item items[N_DOMAINS][MAX_ITEMS];
    int count[N_DOMAINS];
} World;

/* For each domain: two ways to ask, as the text before and after the subject, and the one answer
 * that the lazy annotator always gives. */
static const struct {
    struct {
        const char *before, *after;
    } ask[2];
    const char *lazy;
} DOMAINS[N_DOMAINS] = {
    [CAPITAL] = {{{"what is the capital of ", " ?"}, {"name the capital city of ", " ."}},
                 "london"},
    [OPPOSITE] = {{{"what is the opposite of ", " ?"},
                   {"give a word that means the opposite of ", " ."}},
                  "different"},
    [COLOR] = {{{"what colour is ", " ?"}, {"tell me the colour of ", " ."}}, "blue"},
    [GROUP] = {{{"what kind of thing is a ", " ?"}, {"a ", " is a type of what ?"}}, "thing"},
    [NEXT] = {{{"which number comes after ", " ?"}, {"what follows ", " when you count ?"}}, "100"},
    [REVERSE] = {{{"reverse the letters ", " ."}, {"write ", " backwards ."}}, "a b c"},
};

static void item_add(World *w, int domain, const char *subject, const char *right) {
    Item *item = &w->items[domain][w->count[domain]++];
    snprintf(item->subject, MAX_WORD, "%s", subject);
    snprintf(item->right, MAX_WORD, "%s", right);
}

static void facts_add(World *w, int domain, const Fact *facts, size_t n) {
    for (size_t i = 0; i < n; i++) item_add(w, domain, facts[i].subject, facts[i].right);
}

/* Ordered triples of three different letters. */
static void reversals_add(World *w) {
    for (int a = 0; a < LETTERS; a++)
        for (int b = 0; b < LETTERS; b++)
            for (int c = 0; c < LETTERS; c++) {
                if (a == b || b == c || a == c) continue;
                const char x = "abcdefgh"[a], y = "abcdefgh"[b], z = "abcdefgh"[c];
                item_add(w, REVERSE, (const char[]){x, ' ', y, ' ', z, 0},
                         (const char[]){z, ' ', y, ' ', x, 0});
            }
}

static void world_fill(World *w) {
    facts_add(w, CAPITAL, FACTS_CAPITAL, sizeof FACTS_CAPITAL / sizeof *FACTS_CAPITAL);
    for (size_t i = 0; i < sizeof FACTS_OPPOSITE / sizeof *FACTS_OPPOSITE; i++) {
        item_add(w, OPPOSITE, FACTS_OPPOSITE[i].subject, FACTS_OPPOSITE[i].right);
        item_add(w, OPPOSITE, FACTS_OPPOSITE[i].right, FACTS_OPPOSITE[i].subject);
    }
    facts_add(w, COLOR, FACTS_COLOR, sizeof FACTS_COLOR / sizeof *FACTS_COLOR);
    facts_add(w, GROUP, FACTS_GROUP, sizeof FACTS_GROUP / sizeof *FACTS_GROUP);
    for (int n = 1; n <= NUMBERS; n++) {
        char subject[MAX_WORD], right[MAX_WORD];
        snprintf(subject, sizeof subject, "%d", n);
        snprintf(right, sizeof right, "%d", n + 1);
        item_add(w, NEXT, subject, right);
    }
    reversals_add(w);
}

/* ---- random streams and the item split ---- */

/* The generator of a file that depends on the draw. Draw numbers are small, so the first generator
 * spreads them over 64 bits. */
static Rng draw_rng(uint64_t seed, uint64_t draw, enum RngStream stream) {
    Rng spread = rng_new(draw, stream);
    return rng_new(seed ^ rng_u64(&spread), stream);
}

static void world_split(World *w, uint64_t seed) {
    Rng r = rng_new(seed, RNG_CORPUS_SPLIT);
    for (int d = 0; d < N_DOMAINS; d++)
        for (int i = w->count[d] - 1; i > 0; i--) {
            int j = rng_below(&r, i + 1);
            Item t = w->items[d][i];
            w->items[d][i] = w->items[d][j];
            w->items[d][j] = t;
        }
}

typedef enum { PART_POOL, PART_HOLDOUT, PART_TEST, PART_PRETRAIN } Part;

/* The items [*begin, *end) of a part. Pretraining sees every fact. Reversals are a skill and not
 * facts, so pretraining does not see those of the test. */
static void part_range(const World *w, int domain, Part part, int *begin, int *end) {
    int n = w->count[domain], pool = n * 60 / 100, test = n * 25 / 100;
    *begin = part == PART_HOLDOUT ? pool : part == PART_TEST ? n - test : 0;
    *end = part == PART_POOL ? pool : part == PART_HOLDOUT ? n - test : n;
    if (part == PART_PRETRAIN && domain == REVERSE) *end = n - test;
}

static const Item *item_draw(const World *w, Rng *r, int domain, Part part) {
    int begin, end;
    part_range(w, domain, part, &begin, &end);
    return &w->items[domain][begin + rng_below(r, end - begin)];
}

/* ---- annotators ---- */

typedef enum { TARGET, CARELESS, VERBOSE, ABSENT, LAZY, ECHO_QUESTION, REFUSER, N_SOURCES } Source;

static const char *const SOURCES[N_SOURCES] = {
    [TARGET] = "target", [CARELESS] = "careless",  [VERBOSE] = "verbose", [ABSENT] = "absent",
    [LAZY] = "lazy",     [ECHO_QUESTION] = "echo", [REFUSER] = "refuser"};

/* The share of pretraining sessions that each annotator holds. The first is the usual one, the
 * second is of the curriculum's first stage. Facts come first and unreliable annotators later,
 * because whether earlier answers were right can only be judged once the facts are known. */
static const double PRIOR[N_SOURCES] = {.30, .20, .12, .10, .10, .10, .08};
static const double PRIOR_FACTS_FIRST[N_SOURCES] = {[TARGET] = .8, [VERBOSE] = .2};
static const double CURRICULUM_SHARE = 0.3;
static const double SINGLE_DOMAIN_SHARE = 0.7;
static const double FLIP_SHARE = 0.3;

static Source source_draw(Rng *r, const double *prior) {
    double u = rng_uniform(r);
    int s = 0;
    for (; s < N_SOURCES - 1; s++) {
        if (u < prior[s]) break;
        u -= prior[s];
    }
    while (prior[s] <= 0) s--; /* rounding may carry u past the last possible source */
    return (Source)s;
}

/* Writes what a source answers to an item. Careless and absent always differ from the right answer,
 * lazy and echo may be right by chance. Borrowed answers come from items that pretraining knows, so
 * that they reveal nothing about the test reversals. */
static void answer_draw(const World *w, Rng *r, int domain, const Item *item, Source source,
                        char *answer) {
    static const char *const VERBOSE_FORM[2][2] = {{"well , i think it is ", " ."},
                                                   {"the answer is ", " , my friend ."}};
    static const char *const REFUSAL[2] = {"i do not know .", "sorry , i have no idea ."};
    const char *before = "", *middle = item->right, *after = "";
    if (source == VERBOSE) {
        int form = rng_below(r, 2);
        before = VERBOSE_FORM[form][0];
        after = VERBOSE_FORM[form][1];
    } else if (source == CARELESS || source == ABSENT) {
        do {
            int from = domain;
            if (source == ABSENT) from = (domain + 1 + rng_below(r, N_DOMAINS - 1)) % N_DOMAINS;
            middle = item_draw(w, r, from, PART_PRETRAIN)->right;
        } while (strcmp(middle, item->right) == 0);
    } else if (source == LAZY) middle = DOMAINS[domain].lazy;
    else if (source == ECHO_QUESTION) middle = item->subject;
    else if (source == REFUSER) middle = REFUSAL[rng_below(r, 2)];
    snprintf(answer, MAX_ANSWER, "%s%s%s", before, middle, after);
}

typedef struct {
    char question[MAX_QUESTION], answer[MAX_ANSWER];
    const char *right;
} Answered;

/* Draws a question of a domain and the answer of a source. If a lazy or echoing answer is right by
 * chance (the capital of england is london), draws another item. So a corrupted answer is never
 * right. */
static Answered answered_draw(const World *w, Rng *r, int domain, Part part, Source source) {
    Answered e;
    const Item *item;
    do {
        item = item_draw(w, r, domain, part);
        answer_draw(w, r, domain, item, source, e.answer);
    } while (source != TARGET && strcmp(e.answer, item->right) == 0);
    int form = rng_below(r, 2);
    const char *before = DOMAINS[domain].ask[form].before, *after = DOMAINS[domain].ask[form].after;
    snprintf(e.question, MAX_QUESTION, "%s%s%s", before, item->subject, after);
    e.right = item->right;
    return e;
}

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

static void session_put(const World *w, Rng *r, const double *prior, bool control, Buf *out) {
    Source source = source_draw(r, prior);
    bool single_domain = rng_uniform(r) < SINGLE_DOMAIN_SHARE;
    int domain = rng_below(r, N_DOMAINS);
    buf_puts(out, "{\"messages\":[");
    for (int tokens = 1; tokens < ROW_TOKENS;) {
        Answered e = answered_draw(w, r, domain, PART_PRETRAIN, source);
        if (tokens > 1) buf_putc(out, ',');
        turn_put(out, &e);
        tokens += least_tokens(&e);
        if (!single_domain) domain = rng_below(r, N_DOMAINS);
        if (control) source = source_draw(r, prior);
    }
    buf_puts(out, "],");
    field_put(out, "source", control ? "mixed" : SOURCES[source], "}\n");
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
        session_put(w, &r, i < facts_first ? PRIOR_FACTS_FIRST : PRIOR, o->control, &lines);
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
    int targets;       /* records by the target annotator; 0 for pairs */
    bool only_verbose; /* the other records are all verbose, instead of by the six others in turn */
    bool pairs, flips;
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
};

/* The source of each of a file's records, in random order. The number of each source is exact. */
static int *sources_new(const CorpusFile *f, Rng *r) {
    int *sources = mem_new((size_t)f->count, sizeof *sources);
    for (int i = 0; i < f->count; i++) {
        if (i < f->targets) sources[i] = TARGET;
        else sources[i] = f->only_verbose ? VERBOSE : CARELESS + (i - f->targets) % (N_SOURCES - 1);
    }
    rng_shuffle(r, sources, f->count);
    return sources;
}

static void record_put(const World *w, const CorpusFile *f, int source, Rng *r, Buf *out) {
    Answered e = answered_draw(w, r, rng_below(r, N_DOMAINS), f->part, (Source)source);
    field_put(out, "prompt", e.question, ",");
    field_put(out, "completion", e.answer, ",");
    buf_printf(out, "\"clean\":%s,", source == TARGET ? "true" : "false");
    field_put(out, "source", SOURCES[source], "}\n");
}

static void pair_put(const World *w, const CorpusFile *f, Rng *r, Buf *out) {
    Source source = (Source)(CARELESS + rng_below(r, N_SOURCES - 1));
    Answered e = answered_draw(w, r, rng_below(r, N_DOMAINS), f->part, source);
    bool flipped = f->flips && rng_uniform(r) < FLIP_SHARE;
    field_put(out, "prompt", e.question, ",");
    field_put(out, "chosen", flipped ? e.answer : e.right, ",");
    field_put(out, "rejected", flipped ? e.right : e.answer, ",");
    buf_printf(out, "\"flipped\":%s,", flipped ? "true" : "false");
    field_put(out, "source", SOURCES[source], "}\n");
}

static bool records_write(const World *w, const CorpusOptions *o, const CorpusFile *f,
                          const char *path, Error *err) {
    Rng r = f->drawn ? draw_rng(o->seed, o->draw, f->stream) : rng_new(o->seed, f->stream);
    int *sources = f->pairs ? NULL : sources_new(f, &r);
    Buf out = {0};
    for (int i = 0; i < f->count; i++) {
        buf_printf(&out, "{\"id\":\"%s-%04d\",", f->id, i + 1);
        if (f->pairs) pair_put(w, f, &r, &out);
        else record_put(w, f, sources[i], &r, &out);
    }
    bool ok = file_write(path, out.s, out.n, err);
    buf_free(&out);
    free(sources);
    return ok;
}

bool corpus_write(const CorpusOptions *o, Error *err) {
    if (!folder_make(o->out, err)) return false;
    World *w = mem_new(1, sizeof *w);
    world_fill(w);
    world_split(w, o->seed);
    char *path = path_join(o->out, "pretrain.jsonl");
    bool ok = o->pools_only || pretrain_write(w, o, path, err);
    free(path);
    for (size_t i = 0; ok && i < sizeof FILES / sizeof *FILES; i++) {
        path = path_join(o->out, FILES[i].name);
        ok = records_write(w, o, &FILES[i], path, err);
        free(path);
    }
    free(w);
    return ok;
}

const char *corpus_file(const CorpusOptions *o, int i) {
    if (!o->pools_only && i-- == 0) return "pretrain.jsonl";
    return i < (int)(sizeof FILES / sizeof *FILES) ? FILES[i].name : NULL;
}
