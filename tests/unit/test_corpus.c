/* The corpus: its counts, its shares, its split, and what each option may change. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/corpus/corpus.h"
#include "data/corpus/words.h"
#include "lib/file.h"
#include "lib/json.h"
#include "tests/unit/check.h"

enum {
    FEW = 3000,
    N_ITEMS = 40 + 60 + 40 + 44 + 48 + 336,
    N_FILES = 8,
    N_DOMAINS = 6,
    REVERSE = 5
};
enum { TARGET, CARELESS, VERBOSE, ABSENT, LAZY, ECHOED, REFUSER, N_SOURCES };

/* first those that depend on the seed alone */
static const char *const FILES[N_FILES] = {
    "pretrain.jsonl",       "test.jsonl",    "pairs-test.jsonl", "pool-even50.jsonl",
    "pool-verbose60.jsonl", "holdout.jsonl", "pairs-pool.jsonl", "pairs-holdout.jsonl"};
enum {
    PRETRAIN,
    TEST,
    PAIRS_TEST,
    EVEN50,
    VERBOSE60,
    HOLDOUT,
    PAIRS_POOL,
    PAIRS_HOLDOUT,
    FIRST_DRAWN = EVEN50
};

static const char *const SOURCES[N_SOURCES] = {"target", "careless", "verbose", "absent",
                                               "lazy",   "echo",     "refuser"};
static const char *const LAZY_ANSWER[N_DOMAINS] = {"london", "different", "blue",
                                                   "thing",  "100",       "a b c"};
static const char *const ASK[N_DOMAINS][2][2] = {
    {{"what is the capital of ", " ?"}, {"name the capital city of ", " ."}},
    {{"what is the opposite of ", " ?"}, {"give a word that means the opposite of ", " ."}},
    {{"what colour is ", " ?"}, {"tell me the colour of ", " ."}},
    {{"what kind of thing is a ", " ?"}, {"a ", " is a type of what ?"}},
    {{"which number comes after ", " ?"}, {"what follows ", " when you count ?"}},
    {{"reverse the letters ", " ."}, {"write ", " backwards ."}}};

/* ---- an independent account of the world ---- */

typedef struct {
    int domain;
    char subject[32], right[32];
} Item;
typedef struct {
    Item items[N_ITEMS];
    int n;
} World;

static void add(World *w, int domain, const char *subject, const char *right) {
    Item *item = &w->items[w->n++];
    item->domain = domain;
    snprintf(item->subject, sizeof item->subject, "%s", subject);
    snprintf(item->right, sizeof item->right, "%s", right);
}

static void world_fill(World *w) {
    w->n = 0;
    for (int i = 0; i < 40; i++) add(w, 0, FACTS_CAPITAL[i].subject, FACTS_CAPITAL[i].right);
    for (int i = 0; i < 30; i++) add(w, 1, FACTS_OPPOSITE[i].subject, FACTS_OPPOSITE[i].right);
    for (int i = 0; i < 30; i++) add(w, 1, FACTS_OPPOSITE[i].right, FACTS_OPPOSITE[i].subject);
    for (int i = 0; i < 40; i++) add(w, 2, FACTS_COLOR[i].subject, FACTS_COLOR[i].right);
    for (int i = 0; i < 44; i++) add(w, 3, FACTS_GROUP[i].subject, FACTS_GROUP[i].right);
    for (int i = 1; i <= 48; i++) {
        char a[16], b[16];
        snprintf(a, sizeof a, "%d", i);
        snprintf(b, sizeof b, "%d", i + 1);
        add(w, 4, a, b);
    }
    for (int i = 0; i < 512; i++) {
        int a = i / 64, b = i / 8 % 8, c = i % 8;
        if (a == b || a == c || b == c) continue;
        char s[6] = {(char)('a' + a), ' ', (char)('a' + b), ' ', (char)('a' + c), 0};
        char t[6] = {s[4], ' ', s[2], ' ', s[0], 0};
        add(w, REVERSE, s, t);
    }
}

static bool is_word(const char *s) {
    return *s && strspn(s, "abcdefghijklmnopqrstuvwxyz") == strlen(s);
}

static void test_facts(const World *w) {
    CHECK(w->n == N_ITEMS, "%d items", w->n);
    for (int i = 0; i < w->n; i++) {
        const Item *a = &w->items[i];
        if (a->domain < 4)
            CHECK(is_word(a->subject) && is_word(a->right), "'%s' '%s' are not words", a->subject,
                  a->right);
        CHECK(strcmp(a->subject, a->right) != 0, "'%s' is its own answer", a->subject);
        if (a->domain == 3) CHECK(!strchr("aeiou", a->subject[0]), "a %s", a->subject);
        for (int j = 0; j < i; j++)
            if (strcmp(a->subject, w->items[j].subject) == 0)
                CHECK(false, "'%s' stands twice", a->subject);
    }
}

/* The item a question asks for, and in which of the two wordings; NULL if it is no question of
 * this world. */
static const Item *item_of(const World *w, Str q, int *form) {
    for (int d = 0; d < N_DOMAINS; d++)
        for (*form = 0; *form < 2; ++*form) {
            size_t before = strlen(ASK[d][*form][0]), after = strlen(ASK[d][*form][1]);
            if (q.n <= before + after || memcmp(q.s, ASK[d][*form][0], before) != 0) continue;
            if (memcmp(q.s + q.n - after, ASK[d][*form][1], after) != 0) continue;
            Str subject = {q.s + before, q.n - before - after};
            for (int i = 0; i < w->n; i++)
                if (w->items[i].domain == d && str_is(subject, w->items[i].subject))
                    return &w->items[i];
        }
    return NULL;
}

static bool is_answer_of(const World *w, Str answer, int domain, bool other_domains) {
    for (int i = 0; i < w->n; i++)
        if ((w->items[i].domain == domain) != other_domains && str_is(answer, w->items[i].right))
            return true;
    return false;
}

/* Which form of a verbose answer or refusal this is, or -1. */
static int style_form(const Item *item, int source, Str answer) {
    char expected[2][96] = {"i do not know .", "sorry , i have no idea ."};
    if (source == VERBOSE) {
        snprintf(expected[0], 96, "well , i think it is %s .", item->right);
        snprintf(expected[1], 96, "the answer is %s , my friend .", item->right);
    }
    return str_is(answer, expected[0]) ? 0 : str_is(answer, expected[1]) ? 1 : -1;
}

/* Is this an answer that the source could have given? */
static bool fits(const World *w, const Item *item, int source, Str answer) {
    if (source == TARGET) return str_is(answer, item->right);
    if (str_is(answer, item->right)) return false;
    if (source == CARELESS) return is_answer_of(w, answer, item->domain, false);
    if (source == ABSENT) return is_answer_of(w, answer, item->domain, true);
    if (source == LAZY) return str_is(answer, LAZY_ANSWER[item->domain]);
    if (source == ECHOED) return str_is(answer, item->subject);
    return style_form(item, source, answer) >= 0;
}

/* Did an event of probability p happen k times of n, within 4.5 standard deviations (one false
 * alarm in 150,000)? */
static bool near(int k, int n, double p) {
    return n > 0 && fabs(k - n * p) <= 4.5 * sqrt(n * p * (1 - p)) + 0.5;
}

/* ---- reading the files ---- */

typedef struct {
    Buf text[N_FILES];
} Corpus;

static bool corpus_load(Corpus *c, const CorpusOptions *o) {
    Error err = {0};
    bool ok = corpus_write(o, &err);
    for (int f = 0; f < N_FILES; f++) {
        char *path = path_join(o->out, FILES[f]);
        ok = ok && file_read(path, &c->text[f], &err);
        unlink(path);
        free(path);
    }
    CHECK(ok, "%s", err.text);
    CHECK(rmdir(o->out) == 0, "the folder holds something else than the eight files");
    return ok;
}

static void corpus_free(Corpus *c) {
    for (int f = 0; f < N_FILES; f++) buf_free(&c->text[f]);
}

static bool same(const Corpus *a, const Corpus *b, int f) {
    return a->text[f].n == b->text[f].n && memcmp(a->text[f].s, b->text[f].s, a->text[f].n) == 0;
}

static int count_lines(const Buf *b) {
    int n = 0;
    for (size_t i = 0; i < b->n; i++) n += b->s[i] == '\n';
    return n;
}

/* The target's sessions among the lines from..to-1, by the end of the line: parsing so many
 * would take too long. */
static int count_targets(const Buf *b, int from, int to) {
    static const char END[] = "\"source\":\"target\"}";
    const size_t n = sizeof END - 1;
    int line = 0, targets = 0;
    for (size_t i = 0; i < b->n && line < to; i++) {
        if (b->s[i] != '\n') continue;
        if (line++ >= from) targets += i >= n && memcmp(b->s + i - n, END, n) == 0;
    }
    return targets;
}

/* The next line of a file as JSON, NULL at its end; *at is the place. */
static const Json *next_record(const Buf *b, size_t *at, Arena *arena) {
    if (*at >= b->n) return NULL;
    const char *line = b->s + *at, *end = memchr(line, '\n', b->n - *at);
    CHECK(end != NULL, "the last line does not end");
    if (!end) return NULL;
    JsonError where = {0};
    const Json *root = json_parse(arena, line, (size_t)(end - line), &where);
    CHECK(root != NULL, "%.*s: %s", (int)(end - line), line, where.what);
    *at += (size_t)(end - line) + 1;
    return root;
}

static Str text_of(const Json *record, const char *key) {
    const Json *v = json_get(record, key);
    CHECK(v && v->type == JSON_STRING, "no text '%s'", key);
    return v && v->type == JSON_STRING ? v->string : str("");
}

static int source_of(const Json *record) {
    Str name = text_of(record, "source");
    for (int s = 0; s < N_SOURCES; s++)
        if (str_is(name, SOURCES[s])) return s;
    return -1;
}

static bool truth_of(const Json *record, const char *key) {
    const Json *v = json_get(record, key);
    CHECK(v && v->type == JSON_BOOL, "no truth value '%s'", key);
    return v && v->boolean;
}

/* ---- pools, holdout, test, pairs ---- */

/* Which items a file asks for, and how often in the first wording; checks every record on the
 * way. */
typedef struct {
    bool seen[N_ITEMS];
    int n, first_form, flipped, sources[N_SOURCES], domains[N_DOMAINS];
    int early_targets; /* among the first 400 records */
} Census;

static void check_answers(const World *w, const Json *record, const Item *item, int source,
                          bool pairs, Census *c) {
    if (!pairs) {
        CHECK(fits(w, item, source, text_of(record, "completion")), "%s: wrong completion",
              item->subject);
        CHECK(truth_of(record, "clean") == (source == TARGET), "%s: clean is wrong", item->subject);
        return;
    }
    bool flipped = truth_of(record, "flipped");
    c->flipped += flipped;
    CHECK(source != TARGET, "a pair of two right answers");
    CHECK(str_is(text_of(record, flipped ? "rejected" : "chosen"), item->right),
          "%s: the right answer is lost", item->subject);
    CHECK(fits(w, item, source, text_of(record, flipped ? "chosen" : "rejected")),
          "%s: wrong rejection", item->subject);
}

static Census census(const World *w, const Corpus *corpus, int file, const char *id_prefix) {
    Census c = {0};
    Arena arena = {0};
    size_t at = 0;
    for (const Json *record; (record = next_record(&corpus->text[file], &at, &arena)); c.n++) {
        int form = 0, source = source_of(record);
        char id[64];
        snprintf(id, sizeof id, "%s-%04d", id_prefix, c.n + 1);
        CHECK(str_is(text_of(record, "id"), id), "%s: record %d has another id", FILES[file],
              c.n + 1);
        const Item *item = item_of(w, text_of(record, "prompt"), &form);
        CHECK(item && source >= 0, "%s: record %d asks no question of this world", FILES[file],
              c.n + 1);
        if (!item || source < 0) continue;
        check_answers(w, record, item, source, strncmp(id_prefix, "pair", 4) == 0, &c);
        c.seen[item - w->items] = true;
        c.first_form += form == 0;
        c.sources[source]++;
        c.early_targets += source == TARGET && c.n < 400;
        c.domains[item->domain]++;
    }
    arena_free(&arena);
    CHECK(near(c.first_form, c.n, 0.5), "%s: %d of %d in the first wording", FILES[file],
          c.first_form, c.n);
    for (int d = 0; d < N_DOMAINS; d++)
        CHECK(near(c.domains[d], c.n, 1.0 / N_DOMAINS), "%s: domain %d has %d of %d", FILES[file],
              d, c.domains[d], c.n);
    return c;
}

static void check_disjoint(const World *w, const Census *a, const Census *b, const char *what) {
    for (int i = 0; i < w->n; i++)
        CHECK(!(a->seen[i] && b->seen[i]), "%s share '%s'", what, w->items[i].subject);
}

/* No part may be larger than its share of the domain's items. */
static void check_part_size(const World *w, const Census *c, int percent, const char *name) {
    int seen[N_DOMAINS] = {0}, all[N_DOMAINS] = {0};
    for (int i = 0; i < w->n; i++) {
        seen[w->items[i].domain] += c->seen[i];
        all[w->items[i].domain]++;
    }
    for (int d = 0; d < N_DOMAINS; d++)
        CHECK(seen[d] * 100 <= all[d] * percent + 99, "%s: %d of the %d items of domain %d", name,
              seen[d], all[d], d);
}

static void test_records(const World *w, const Corpus *corpus) {
    Census even = census(w, corpus, EVEN50, "even50"),
           verbose = census(w, corpus, VERBOSE60, "verbose60");
    Census holdout = census(w, corpus, HOLDOUT, "holdout"), test = census(w, corpus, TEST, "test");
    Census pairs = census(w, corpus, PAIRS_POOL, "pair"),
           pairs_holdout = census(w, corpus, PAIRS_HOLDOUT, "pair-holdout");
    Census pairs_test = census(w, corpus, PAIRS_TEST, "pair-test");

    CHECK(even.n == 800 && verbose.n == 800 && holdout.n == 200 && test.n == 400, "record counts");
    CHECK(pairs.n == 800 && pairs_holdout.n == 200 && pairs_test.n == 300, "pair counts");
    CHECK(even.sources[TARGET] == 400, "even50 has %d targets", even.sources[TARGET]);
    for (int s = 1; s < N_SOURCES; s++) {
        CHECK(even.sources[s] == 66 || even.sources[s] == 67, "even50 has %d %s", even.sources[s],
              SOURCES[s]);
        CHECK(near(pairs.sources[s], 800, 1.0 / 6), "pairs-pool has %d %s", pairs.sources[s],
              SOURCES[s]);
        CHECK(near(pairs_holdout.sources[s], 200, 1.0 / 6), "pairs-holdout has %d %s",
              pairs_holdout.sources[s], SOURCES[s]);
        CHECK(near(pairs_test.sources[s], 300, 1.0 / 6), "pairs-test has %d %s",
              pairs_test.sources[s], SOURCES[s]);
    }
    CHECK(verbose.sources[TARGET] == 320 && verbose.sources[VERBOSE] == 480,
          "the shares of verbose60");
    CHECK(near(even.early_targets, 400, 0.5), "even50 is not shuffled: %d targets come first",
          even.early_targets);
    CHECK(near(verbose.early_targets, 400, 0.4), "verbose60 is not shuffled: %d targets come first",
          verbose.early_targets);
    CHECK(holdout.sources[TARGET] == 200 && test.sources[TARGET] == 400,
          "holdout and test are not all target");
    CHECK(near(pairs.flipped, 800, 0.3), "%d flipped", pairs.flipped);
    CHECK(pairs_holdout.flipped == 0 && pairs_test.flipped == 0, "flips outside the pool");

    for (int i = 0; i < w->n; i++) {
        even.seen[i] |= verbose.seen[i] || pairs.seen[i];
        holdout.seen[i] |= pairs_holdout.seen[i];
        test.seen[i] |= pairs_test.seen[i];
    }
    check_disjoint(w, &even, &holdout, "pool and holdout");
    check_disjoint(w, &even, &test, "pool and test");
    check_disjoint(w, &holdout, &test, "holdout and test");
    check_part_size(w, &even, 60, "pool");
    check_part_size(w, &holdout, 15, "holdout");
    check_part_size(w, &test, 25, "test");
}

/* Another seed is another split: about a quarter of one's test items are the other's. */
static void test_another_split(const World *w, const Corpus *a, const Corpus *b) {
    Census one = census(w, a, TEST, "test"), other = census(w, b, TEST, "test");
    int both = 0, asked = 0;
    for (int i = 0; i < w->n; i++) {
        asked += one.seen[i];
        both += one.seen[i] && other.seen[i];
    }
    CHECK(both < asked / 2, "%d of %d test items are test items of another seed", both, asked);
}

/* ---- pretraining ---- */

typedef struct {
    int sessions, sources[N_SOURCES], single_domain, examples, first_form, styled, first_style,
        right;
    int mixed_with_right;   /* sessions of the control that hold a right answer and another */
    bool seen[N_ITEMS];     /* asked for */
    bool borrowed[N_ITEMS]; /* reversals whose right answer stands as a wrong one elsewhere */
} Sessions;

static void mark_borrowed(const World *w, Str answer, bool *borrowed) {
    for (int i = 0; i < w->n; i++)
        if (w->items[i].domain == REVERSE && str_is(answer, w->items[i].right)) borrowed[i] = true;
}

static void session_count(const World *w, const Json *messages, int source, Sessions *c) {
    int domain = -1, words = 1, right = 0, n = messages->count / 2;
    bool single = true;
    for (int i = 0; i < n; i++) {
        int form = 0, style = -1;
        const Json *user = &messages->items[2 * i], *assistant = user + 1;
        Str question = text_of(user, "content"), answer = text_of(assistant, "content");
        CHECK(str_is(text_of(user, "role"), "user") &&
                  str_is(text_of(assistant, "role"), "assistant"),
              "roles");
        const Item *item = item_of(w, question, &form);
        CHECK(item != NULL, "'%.*s' is no question of this world", STR_ARG(question));
        if (!item) return;
        if (source >= 0)
            CHECK(fits(w, item, source, answer), "%s cannot say '%.*s'", SOURCES[source],
                  STR_ARG(answer));
        if (source == VERBOSE || source == REFUSER) style = style_form(item, source, answer);
        c->styled += style >= 0;
        c->first_style += style == 0;
        c->first_form += form == 0;
        c->seen[item - w->items] = true;
        if (source == CARELESS || source == ABSENT) mark_borrowed(w, answer, c->borrowed);
        right += str_is(answer, item->right);
        single = single && (domain < 0 || domain == item->domain);
        domain = item->domain;
        words += 5;
        for (size_t k = 0; k < question.n; k++) words += question.s[k] == ' ';
        for (size_t k = 0; k < answer.n; k++) words += answer.s[k] == ' ';
    }
    CHECK(words >= 129, "a session of %d words does not fill a row of 128 tokens", words);
    CHECK(n >= 5 && n <= 16, "a session of %d examples", n);
    c->single_domain += single;
    c->mixed_with_right += right > 0 && right < n;
    c->examples += n;
    c->right += right;
}

/* Counts the sessions from..to-1 of a pretraining file. */
static Sessions sessions_count(const World *w, const Corpus *corpus, int from, int to,
                               bool control) {
    Sessions c = {0};
    Arena arena = {0};
    size_t at = 0;
    int line = 0;
    for (const Json *record;
         line < to && (record = next_record(&corpus->text[PRETRAIN], &at, &arena)); line++) {
        const Json *messages = json_get(record, "messages");
        int source = source_of(record);
        CHECK(messages && messages->type == JSON_ARRAY && messages->count % 2 == 0,
              "line %d: no messages", line + 1);
        if (control)
            CHECK(str_is(text_of(record, "source"), "mixed"), "line %d: a source in the control",
                  line + 1);
        else CHECK(source >= 0, "line %d: no source", line + 1);
        if (line < from || !messages || (!control && source < 0)) continue;
        session_count(w, messages, control ? -1 : source, &c);
        if (source >= 0) c.sources[source]++;
        c.sessions++;
        if (line % 64 == 0) arena_free(&arena);
    }
    arena_free(&arena);
    return c;
}

static void check_prior(const Sessions *c, const double *prior, const char *name) {
    for (int s = 0; s < N_SOURCES; s++)
        CHECK(near(c->sources[s], c->sessions, prior[s]) && (prior[s] > 0 || c->sources[s] == 0),
              "%s: %d of %d sessions are %s", name, c->sources[s], c->sessions, SOURCES[s]);
    /* 0.7, and hardly ever by chance */
    CHECK(near(c->single_domain, c->sessions, 0.7), "%s: %d of %d of one domain", name,
          c->single_domain, c->sessions);
    CHECK(near(c->first_form, c->examples, 0.5), "%s: %d of %d in the first wording", name,
          c->first_form, c->examples);
    CHECK(near(c->first_style, c->styled, 0.5), "%s: %d of %d in the first style", name,
          c->first_style, c->styled);
}

/* Every item is learnt from but the reversals of the test set, which the pool, the holdout and
 * the test set tell apart. */
static void check_coverage(const World *w, const Corpus *corpus, const Sessions *c) {
    Census test = census(w, corpus, TEST, "test"),
           pairs = census(w, corpus, PAIRS_TEST, "pair-test");
    int unseen = 0;
    for (int i = 0; i < w->n; i++) {
        bool reversal = w->items[i].domain == REVERSE;
        if (!c->seen[i]) unseen++;
        if (!reversal) CHECK(c->seen[i], "'%s' does not occur in pretraining", w->items[i].subject);
        else if (test.seen[i] || pairs.seen[i])
            CHECK(!c->seen[i] && !c->borrowed[i], "test item '%s' occurs in pretraining",
                  w->items[i].subject);
    }
    CHECK(unseen == 84, "%d items do not occur in pretraining", unseen);
}

static const double FULL_PRIOR[N_SOURCES] = {.30, .20, .12, .10, .10, .10, .08};
static const double FIRST_PRIOR[N_SOURCES] = {.8, 0, .2};

static void test_pretraining(const World *w, const Corpus *quick, const Corpus *full,
                             const Corpus *control) {
    int first = FEW * 3 / 10;
    Sessions stage1 = sessions_count(w, quick, 0, first, false),
             stage2 = sessions_count(w, quick, first, FEW, false);
    check_prior(&stage1, FIRST_PRIOR, "first stage");
    check_prior(&stage2, FULL_PRIOR, "second stage");
    for (int i = 0; i < w->n; i++) stage2.seen[i] |= stage1.seen[i];
    check_coverage(w, quick, &stage2);
    Sessions all = sessions_count(w, full, 0, FEW, false),
             begin = sessions_count(w, full, 0, first, false);
    check_prior(&all, FULL_PRIOR, "full size");
    check_prior(&begin, FULL_PRIOR, "full size, first part");
    check_coverage(w, full, &all);

    /* Within the control's sessions sources change, and the share of right answers stays that of
     * the prior. */
    Sessions mixed = sessions_count(w, control, first, FEW, true);
    check_coverage(w, control, &mixed);
    CHECK(near(mixed.single_domain, mixed.sessions, 0.7), "control: %d of one domain",
          mixed.single_domain);
    CHECK(near(mixed.right, mixed.examples, 0.3), "control: %d of %d right", mixed.right,
          mixed.examples);
    CHECK(mixed.mixed_with_right > 0.9 * mixed.sessions, "control: only %d sessions mix sources",
          mixed.mixed_with_right);
    CHECK(stage2.mixed_with_right == 0, "%d sessions mix sources", stage2.mixed_with_right);
}

/* ---- options ---- */

static void test_options(const Corpus *base, const Corpus *again, const Corpus *draw,
                         const Corpus *seed, const Corpus *full, const Corpus *control) {
    for (int f = 0; f < N_FILES; f++) {
        CHECK(same(base, again, f), "%s: not the same bytes twice", FILES[f]);
        CHECK(same(base, draw, f) == (f < FIRST_DRAWN), "%s: what another draw does to it",
              FILES[f]);
        CHECK(!same(base, seed, f), "%s: the same for another seed", FILES[f]);
        CHECK(same(base, full, f) == (f != PRETRAIN), "%s: what the size does to it", FILES[f]);
        CHECK(same(base, control, f) == (f != PRETRAIN), "%s: what the control does to it",
              FILES[f]);
    }
}

static void test_sizes(const char *folder) {
    Corpus quick = {0}, full = {0};
    if (corpus_load(&quick, &(CorpusOptions){.out = folder, .seed = 3})) {
        CHECK(count_lines(&quick.text[PRETRAIN]) == 40000, "%d sessions",
              count_lines(&quick.text[PRETRAIN]));
        int first = count_targets(&quick.text[PRETRAIN], 0, 12000),
            rest = count_targets(&quick.text[PRETRAIN], 12000, 40000);
        CHECK(near(first, 12000, 0.8), "%d of the first 12000 sessions are target", first);
        CHECK(near(rest, 28000, 0.3), "%d of the other 28000 sessions are target", rest);
    }
    corpus_free(&quick);
    if (corpus_load(&full, &(CorpusOptions){.out = folder, .seed = 3, .size = CORPUS_FULL}))
        CHECK(count_lines(&full.text[PRETRAIN]) == 96000, "%d sessions",
              count_lines(&full.text[PRETRAIN]));
    corpus_free(&full);
}

static void test_failure(const char *folder) {
    Error err = {0};
    char *file = path_join(folder, "file");
    CHECK(file_write(file, "x", 1, &err), "%s", err.text);
    CHECK(!corpus_write(&(CorpusOptions){.out = file, .sessions = 1}, &err),
          "a corpus inside a file");
    CHECK(err.status == STATUS_IO && strstr(err.text, file), "status %d, %s", err.status, err.text);
    unlink(file);
    free(file);
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/test_corpus.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make %s\n", folder);
        return 1;
    }
    World *w = mem_new(1, sizeof *w);
    world_fill(w);
    test_facts(w);

    char *out = path_join(folder, "deeper/corpus"), *parent = path_join(folder, "deeper");
    CorpusOptions o[6] = {{.seed = 1, .draw = 1},
                          {.seed = 1, .draw = 1},
                          {.seed = 1, .draw = 2},
                          {.seed = 2, .draw = 1},
                          {.seed = 1, .draw = 1, .size = CORPUS_FULL},
                          {.seed = 1, .draw = 1, .control = true}};
    Corpus c[6] = {0};
    bool ok = true;
    for (int i = 0; i < 6; i++) {
        o[i].out = out;
        o[i].sessions = FEW;
        ok = corpus_load(&c[i], &o[i]) && ok;
    }
    if (ok) {
        test_options(&c[0], &c[1], &c[2], &c[3], &c[4], &c[5]);
        test_records(w, &c[0]);
        test_records(w, &c[2]);
        test_another_split(w, &c[0], &c[3]);
        test_pretraining(w, &c[0], &c[4], &c[5]);
    }
    test_sizes(out);
    test_failure(folder);
    for (int i = 0; i < 6; i++) corpus_free(&c[i]);
    rmdir(parent);
    rmdir(folder);
    free(out);
    free(parent);
    free(w);
    return check_report("corpus");
}
