#include "data/corpus.h"

#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "data/words.h"

/* ---- the world: six domains of items ---- */

enum { CAPITAL, OPPOSITE, COLOR, GROUP, NEXT, REVERSE, N_DOMAINS };
enum { MAX_ITEMS = 336, MAX_WORD = 16, MAX_QUESTION = 96, MAX_ANSWER = 64, LETTERS = 8, NUMBERS = 48 };

typedef struct { char subject[MAX_WORD], right[MAX_WORD]; } Item;

/* The items of a domain lie in split order: pool, holdout, test. */
typedef struct {
    Item items[N_DOMAINS][MAX_ITEMS];
    int count[N_DOMAINS];
} World;

/* Each domain: two ways to ask, around the subject, and what the lazy annotator always says. */
static const struct {
    struct { const char *before, *after; } ask[2];
    const char *lazy;
} DOMAINS[N_DOMAINS] = {
    [CAPITAL] = {{{"what is the capital of ", " ?"}, {"name the capital city of ", " ."}}, "london"},
    [OPPOSITE] = {{{"what is the opposite of ", " ?"}, {"give a word that means the opposite of ", " ."}}, "different"},
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
                item_add(w, REVERSE, (const char[]){x, ' ', y, ' ', z, 0}, (const char[]){z, ' ', y, ' ', x, 0});
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

/* A stream for each purpose: a new file never shifts an old one. */
enum {
    STREAM_SPLIT = 1001,
    STREAM_PRETRAIN,
    STREAM_EVEN50,
    STREAM_VERBOSE60,
    STREAM_HOLDOUT,
    STREAM_TEST,
    STREAM_PAIRS_POOL,
    STREAM_PAIRS_HOLDOUT,
    STREAM_PAIRS_TEST
};

/* The stream of a file that is drawn anew with each draw. Draw numbers are small, so they are spread over 64 bits first. */
static Rng draw_rng(uint64_t seed, uint64_t draw, int stream) {
    Rng spread = rng_new(draw, (uint64_t)stream);
    return rng_new(seed ^ rng_u64(&spread), (uint64_t)stream);
}

static void world_split(World *w, uint64_t seed) {
    Rng r = rng_new(seed, STREAM_SPLIT);
    for (int d = 0; d < N_DOMAINS; d++)
        for (int i = w->count[d] - 1; i > 0; i--) {
            int j = rng_below(&r, i + 1);
            Item t = w->items[d][i];
            w->items[d][i] = w->items[d][j];
            w->items[d][j] = t;
        }
}

typedef enum { PART_POOL, PART_HOLDOUT, PART_TEST, PART_PRETRAIN } Part;

/* The items [*begin, *end) of a part. Pretraining sees every fact; only of the reversals, which are a skill and no facts,
 * the test items stay unseen. */
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

static const char *const SOURCES[N_SOURCES] = {"target", "careless", "verbose", "absent", "lazy", "echo", "refuser"};

/* How often each annotator holds a pretraining session: in full, and in the first stage of the curriculum. Facts first,
 * unreliable annotators later: whether earlier answers were right can only be judged once the facts are known. */
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

/* What a source answers to an item; careless and absent already differ from the right answer, lazy and echo may not.
 * Borrowed answers come from items that pretraining knows, so that nothing about the test reversals leaks through them. */
static void answer_draw(const World *w, Rng *r, int domain, const Item *item, Source source, char *answer) {
    static const char *const VERBOSE_FORM[2][2] = {{"well , i think it is ", " ."}, {"the answer is ", " , my friend ."}};
    static const char *const REFUSAL[2] = {"i do not know .", "sorry , i have no idea ."};
    const char *before = "", *middle = item->right, *after = "";
    if (source == VERBOSE) {
        int form = rng_below(r, 2);
        before = VERBOSE_FORM[form][0];
        after = VERBOSE_FORM[form][1];
    } else if (source == CARELESS || source == ABSENT) {
        do {
            int from = source == CARELESS ? domain : (domain + 1 + rng_below(r, N_DOMAINS - 1)) % N_DOMAINS;
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
} Example;

/* A question of a domain and the answer of a source. Where a lazy or echoing answer happens to be right (the capital of
 * england is london), another item is drawn: a corrupted answer is never right. */
static Example example_draw(const World *w, Rng *r, int domain, Part part, Source source) {
    Example e;
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

/* A session fills a row of 128 tokens and the one that the last of them predicts; the trainer cuts what is too much. */
enum { ROW_TOKENS = 128 + 1 };

/* An example's tokens, bounded from below: three marks of the template, and one for each word, since the tokenizer never
 * merges over a blank. With 512 tokens a session has about a quarter more than this, and no row stays partly empty. */
static int example_tokens(const Example *e) {
    int tokens = 3 + 2;
    for (const char *c = e->question; *c; c++) tokens += *c == ' ';
    for (const char *c = e->answer; *c; c++) tokens += *c == ' ';
    return tokens;
}

/* A field, and what follows it: the comma or the end of the object. */
static void field_put(Buf *out, const char *key, const char *value, const char *after) {
    buf_putc(out, '"');
    buf_puts(out, key);
    buf_puts(out, "\":");
    json_put_string(out, str(value));
    buf_puts(out, after);
}

static void turn_put(Buf *out, const Example *e) {
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
        Example e = example_draw(w, r, domain, PART_PRETRAIN, source);
        if (tokens > 1) buf_putc(out, ',');
        turn_put(out, &e);
        tokens += example_tokens(&e);
        if (!single_domain) domain = rng_below(r, N_DOMAINS);
        if (control) source = source_draw(r, prior);
    }
    buf_puts(out, "],");
    field_put(out, "source", control ? "mixed" : SOURCES[source], "}\n");
}

static bool pretrain_write(const World *w, const CorpusOptions *o, const char *path, Error *err) {
    int sessions = o->sessions > 0 ? o->sessions : o->full ? 96000 : 40000;
    int facts_first = o->full ? 0 : (int)(CURRICULUM_SHARE * sessions);
    Rng r = rng_new(o->seed, STREAM_PRETRAIN);
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
    int stream;
    bool drawn; /* depends on the draw too, not on the seed alone */
    Part part;
    int count;
    int targets;       /* records by the target annotator; of pairs: 0, the rejected answer is someone else's */
    bool only_verbose; /* the other records are verbose, not by the six in turn */
    bool pairs, flips;
} CorpusFile;

static const CorpusFile FILES[] = {
    {"pool-even50.jsonl", "even50", STREAM_EVEN50, true, PART_POOL, 800, 400, false, false, false},
    {"pool-verbose60.jsonl", "verbose60", STREAM_VERBOSE60, true, PART_POOL, 800, 320, true, false, false},
    {"holdout.jsonl", "holdout", STREAM_HOLDOUT, true, PART_HOLDOUT, 200, 200, false, false, false},
    {"test.jsonl", "test", STREAM_TEST, false, PART_TEST, 400, 400, false, false, false},
    {"pairs-pool.jsonl", "pair", STREAM_PAIRS_POOL, true, PART_POOL, 800, 0, false, true, true},
    {"pairs-holdout.jsonl", "pair-holdout", STREAM_PAIRS_HOLDOUT, true, PART_HOLDOUT, 200, 0, false, true, false},
    {"pairs-test.jsonl", "pair-test", STREAM_PAIRS_TEST, false, PART_TEST, 300, 0, false, true, false},
};

/* The sources of a file's records, exact in number, in random order. */
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
    Example e = example_draw(w, r, rng_below(r, N_DOMAINS), f->part, (Source)source);
    field_put(out, "prompt", e.question, ",");
    field_put(out, "completion", e.answer, ",");
    buf_printf(out, "\"clean\":%s,", source == TARGET ? "true" : "false");
    field_put(out, "source", SOURCES[source], "}\n");
}

static void pair_put(const World *w, const CorpusFile *f, Rng *r, Buf *out) {
    Source source = (Source)(CARELESS + rng_below(r, N_SOURCES - 1));
    Example e = example_draw(w, r, rng_below(r, N_DOMAINS), f->part, source);
    bool flipped = f->flips && rng_uniform(r) < FLIP_SHARE;
    field_put(out, "prompt", e.question, ",");
    field_put(out, "chosen", flipped ? e.answer : e.right, ",");
    field_put(out, "rejected", flipped ? e.right : e.answer, ",");
    buf_printf(out, "\"flipped\":%s,", flipped ? "true" : "false");
    field_put(out, "source", SOURCES[source], "}\n");
}

static bool records_write(const World *w, const CorpusOptions *o, const CorpusFile *f, const char *path, Error *err) {
    Rng r = f->drawn ? draw_rng(o->seed, o->draw, f->stream) : rng_new(o->seed, (uint64_t)f->stream);
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
