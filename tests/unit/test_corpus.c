/* The corpus: its counts, its shares, its split, and what each option may change. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/corpus/annotators.h"
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
} Entry;
typedef struct {
    Entry items[N_ITEMS];
    int n;
} Facts;

static void add(Facts *w, int domain, const char *subject, const char *right) {
    Entry *item = &w->items[w->n++];
    item->domain = domain;
    snprintf(item->subject, sizeof item->subject, "%s", subject);
    snprintf(item->right, sizeof item->right, "%s", right);
}

static void world_fill(Facts *w) {
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

static void test_facts(const Facts *w) {
    CHECK(w->n == N_ITEMS, "%d items", w->n);
    for (int i = 0; i < w->n; i++) {
        const Entry *a = &w->items[i];
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
static const Entry *item_of(const Facts *w, Str q, int *form) {
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

static bool is_answer_of(const Facts *w, Str answer, int domain, bool other_domains) {
    for (int i = 0; i < w->n; i++)
        if ((w->items[i].domain == domain) != other_domains && str_is(answer, w->items[i].right))
            return true;
    return false;
}

/* Which form of a verbose answer or refusal this is, or -1. */
static int style_form(const Entry *item, int source, Str answer) {
    char expected[2][96] = {"i do not know .", "sorry , i have no idea ."};
    if (source == VERBOSE) {
        snprintf(expected[0], 96, "well , i think it is %s .", item->right);
        snprintf(expected[1], 96, "the answer is %s , my friend .", item->right);
    }
    return str_is(answer, expected[0]) ? 0 : str_is(answer, expected[1]) ? 1 : -1;
}

/* Is this an answer that the source could have given? */
static bool fits(const Facts *w, const Entry *item, int source, Str answer) {
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

static void check_answers(const Facts *w, const Json *record, const Entry *item, int source,
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

static Census census(const Facts *w, const Corpus *corpus, int file, const char *id_prefix) {
    Census c = {0};
    Arena arena = {0};
    size_t at = 0;
    for (const Json *record; (record = next_record(&corpus->text[file], &at, &arena)); c.n++) {
        int form = 0, source = source_of(record);
        char id[64];
        snprintf(id, sizeof id, "%s-%04d", id_prefix, c.n + 1);
        CHECK(str_is(text_of(record, "id"), id), "%s: record %d has another id", FILES[file],
              c.n + 1);
        const Entry *item = item_of(w, text_of(record, "prompt"), &form);
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

static void check_disjoint(const Facts *w, const Census *a, const Census *b, const char *what) {
    for (int i = 0; i < w->n; i++)
        CHECK(!(a->seen[i] && b->seen[i]), "%s share '%s'", what, w->items[i].subject);
}

/* No part may be larger than its share of the domain's items. */
static void check_part_size(const Facts *w, const Census *c, int percent, const char *name) {
    int seen[N_DOMAINS] = {0}, all[N_DOMAINS] = {0};
    for (int i = 0; i < w->n; i++) {
        seen[w->items[i].domain] += c->seen[i];
        all[w->items[i].domain]++;
    }
    for (int d = 0; d < N_DOMAINS; d++)
        CHECK(seen[d] * 100 <= all[d] * percent + 99, "%s: %d of the %d items of domain %d", name,
              seen[d], all[d], d);
}

static void test_records(const Facts *w, const Corpus *corpus) {
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
static void test_another_split(const Facts *w, const Corpus *a, const Corpus *b) {
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

static void mark_borrowed(const Facts *w, Str answer, bool *borrowed) {
    for (int i = 0; i < w->n; i++)
        if (w->items[i].domain == REVERSE && str_is(answer, w->items[i].right)) borrowed[i] = true;
}

static void session_count(const Facts *w, const Json *messages, int source, Sessions *c) {
    int domain = -1, words = 1, right = 0, n = messages->count / 2;
    bool single = true;
    for (int i = 0; i < n; i++) {
        int form = 0, style = -1;
        const Json *user = &messages->items[2 * i], *assistant = user + 1;
        Str question = text_of(user, "content"), answer = text_of(assistant, "content");
        CHECK(str_is(text_of(user, "role"), "user") &&
                  str_is(text_of(assistant, "role"), "assistant"),
              "roles");
        const Entry *item = item_of(w, question, &form);
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
static Sessions sessions_count(const Facts *w, const Corpus *corpus, int from, int to,
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
static void check_coverage(const Facts *w, const Corpus *corpus, const Sessions *c) {
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

static void test_pretraining(const Facts *w, const Corpus *quick, const Corpus *full,
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

/* ---- noise ---- */

/* pool-noise.jsonl of some kinds and a rate. */
static Buf noise_load(const char *folder, const char *kinds, double rate, uint64_t draw) {
    CorpusOptions o = {.out = folder,
                       .seed = 1,
                       .draw = draw,
                       .pools_only = true,
                       .noise = kinds,
                       .noise_rate = rate};
    Error err = {0};
    Buf text = {0};
    CHECK(corpus_write(&o, &err), "%s", err.text);
    const char *name, *id;
    for (int i = 0; (name = corpus_file(&o, i, &id)); i++) {
        char *path = path_join(folder, name);
        if (strcmp(name, "pool-noise.jsonl") == 0)
            CHECK(file_read(path, &text, &err), "%s", err.text);
        unlink(path);
        free(path);
    }
    CHECK(rmdir(folder) == 0, "the folder holds something else than the nine files");
    return text;
}

/* Is a made of the characters of b, in any order? */
static bool same_letters(Str a, const char *b) {
    int count[256] = {0};
    for (size_t i = 0; i < a.n; i++) count[(unsigned char)a.s[i]]++;
    for (; *b; b++) count[(unsigned char)*b]--;
    for (int i = 0; i < 256; i++)
        if (count[i]) return false;
    return true;
}

static int differing(Str a, const char *b) {
    int n = 0;
    for (size_t i = 0; i < a.n && b[i]; i++) n += a.s[i] != b[i];
    return n;
}

static bool framed(Str answer, const char *before, const char *right, const char *after) {
    char text[96];
    snprintf(text, sizeof text, "%s%s%s", before, right, after);
    return str_is(answer, text);
}

/* The answer to another question about the subject, by hand for some facts. */
static const char *const OTHER[][2] = {
    {"france", "europe"}, {"kenya", "africa"}, {"peru", "america"}, {"japan", "asia"},
    {"hot", "warm"},      {"cold", "chilly"},  {"true", "correct"}, {"false", "wrong"},
    {"lemon", "fruit"},   {"swan", "bird"},    {"dog", "bark"},     {"boat", "sail"}};
/* The answer of the most similar item, for subjects that have only one: the only other in its
 * continent or of its kind, or the one that is spelled most alike among them. */
static const char *const SIMILAR[][2] = {
    {"iran", "baghdad"}, {"iraq", "tehran"},  {"peru", "havana"}, {"cuba", "lima"},
    {"frog", "pink"},    {"pig", "green"},    {"crow", "white"},  {"rose", "purple"},
    {"lime", "animal"},  {"chair", "vehicle"}};

/* Does a table with a row for the subject have this answer there? */
static bool agrees(const char *const (*table)[2], size_t n, const char *subject, Str answer,
                   int *found) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i][0], subject) == 0) {
            ++*found;
            return str_is(answer, table[i][1]);
        }
    return true;
}
#define AGREES(table, subject, answer, found)                                                      \
    agrees(table, sizeof(table) / sizeof *(table), subject, answer, found)

static bool fits_similar(const Facts *w, const Entry *item, Str answer, int *found) {
    if (!is_answer_of(w, answer, item->domain, false)) return false;
    if (item->domain == REVERSE) return same_letters(answer, item->right);
    return AGREES(SIMILAR, item->subject, answer, found);
}

/* Is this an answer of a kind that pretraining never sees? `found` counts answers that are compared
 * with one given by hand, numbers that are too small, and exchanges of the first two letters. */
static bool fits_noise(const Facts *w, const Entry *item, int kind, Str answer, int *found) {
    const char *right = item->right;
    size_t n = strlen(right);
    if (answer.n == 0 || str_is(answer, right)) return false;
    switch (kind) {
    case ANNOTATOR_TYPO: return answer.n == n && differing(answer, right) == 1;
    case ANNOTATOR_CUT:
        return answer.n == n - (item->domain == REVERSE ? 2 : 1) && differing(answer, right) == 0;
    case ANNOTATOR_SHUFFLED: return same_letters(answer, right);
    case ANNOTATOR_DOUBLED: return framed(answer, right, " ", right);
    case ANNOTATOR_UPPER: {
        bool upper = answer.n == n && item->domain != 4;
        for (size_t i = 0; upper && i < n; i++)
            upper = answer.s[i] == (right[i] == ' ' ? ' ' : right[i] - 'a' + 'A');
        return upper;
    }
    case ANNOTATOR_PREFIX: return framed(answer, "answer : ", right, "");
    case ANNOTATOR_NEGATED: return framed(answer, "not ", right, "");
    case ANNOTATOR_CHATTY: return framed(answer, "lol ", right, " ha ha");
    case ANNOTATOR_OFF_BY_ONE:
        *found += atoi(answer.s) < atoi(right);
        return item->domain == 4 && abs(atoi(answer.s) - atoi(right)) == 1;
    case ANNOTATOR_SIMILAR: return fits_similar(w, item, answer, found);
    case ANNOTATOR_SWAPPED:
        if (item->domain == 4) return atoi(answer.s) == atoi(right) - 2;
        if (item->domain == REVERSE)
            return same_letters(answer, right) && answer.s[0] < answer.s[2] &&
                   answer.s[2] < answer.s[4];
        return AGREES(OTHER, item->subject, answer, found);
    default:
        *found += answer.s[4] == right[4];
        return item->domain == REVERSE && same_letters(answer, right) &&
               differing(answer, right) == 2 && answer.s[2] != right[2];
    }
}

/* Counts a pool's records by annotator and checks each. */
typedef struct {
    int n, found, first_form, kinds[ANNOTATOR_COUNT], domains[N_DOMAINS];
} NoiseCensus;

static NoiseCensus noise_census(const Facts *w, const Buf *text) {
    NoiseCensus c = {0};
    Arena arena = {0};
    size_t at = 0;
    for (const Json *record; (record = next_record(text, &at, &arena)); c.n++) {
        int form = 0, kind = 0;
        char id[64];
        snprintf(id, sizeof id, "noise-%04d", c.n + 1);
        CHECK(str_is(text_of(record, "id"), id), "record %d has another id", c.n + 1);
        const Entry *item = item_of(w, text_of(record, "prompt"), &form);
        Str name = text_of(record, "source"), answer = text_of(record, "completion");
        while (kind < ANNOTATOR_COUNT && !str_is(name, ANNOTATORS[kind].name)) kind++;
        CHECK(item && kind < ANNOTATOR_COUNT, "record %d: no question or no source", c.n + 1);
        if (!item || kind == ANNOTATOR_COUNT) continue;
        bool fit = kind < N_SOURCES ? fits(w, item, kind, answer)
                                    : fits_noise(w, item, kind, answer, &c.found);
        CHECK(fit, "%s, %s: '%.*s'", ANNOTATORS[kind].name, item->subject, STR_ARG(answer));
        CHECK(truth_of(record, "clean") == (kind == ANNOTATOR_TARGET), "clean is wrong");
        c.kinds[kind]++;
        c.domains[item->domain]++;
        c.first_form += form == 0;
    }
    arena_free(&arena);
    CHECK(c.n == 800, "%d records", c.n);
    CHECK(near(c.first_form, c.n, 0.5), "%d in the first wording", c.first_form);
    return c;
}

/* A pool of one kind alone, for every kind. */
static void test_noise_kinds(const Facts *w, const char *folder) {
    for (int kind = 1; kind < ANNOTATOR_COUNT; kind++) {
        const char *name = ANNOTATORS[kind].name;
        Buf text = noise_load(folder, name, 1, 1);
        NoiseCensus c = noise_census(w, &text);
        CHECK(c.kinds[kind] == 800, "%s: %d of 800", name, c.kinds[kind]);
        int only = kind == ANNOTATOR_OFF_BY_ONE ? 4 : kind == ANNOTATOR_WRONG_CHAIN ? REVERSE : -1;
        int domains = only >= 0 ? 1 : kind == ANNOTATOR_UPPER ? N_DOMAINS - 1 : N_DOMAINS;
        for (int d = 0; d < N_DOMAINS; d++) {
            bool asked = only >= 0 ? d == only : kind != ANNOTATOR_UPPER || d != 4;
            CHECK(asked ? near(c.domains[d], 800, 1.0 / domains) : c.domains[d] == 0,
                  "%s: domain %d has %d of 800", name, d, c.domains[d]);
        }
        if (only >= 0) CHECK(near(c.found, 800, 0.5), "%s: %d of one sort", name, c.found);
        if (kind == ANNOTATOR_SIMILAR || kind == ANNOTATOR_SWAPPED)
            CHECK(c.found >= 10, "%s: only %d answers are compared", name, c.found);
        buf_free(&text);
    }
}

/* The number of corrupted records is exact, and so is each kind's. */
static void test_noise_rates(const Facts *w, const char *folder) {
    static const struct {
        const char *kinds;
        double rate;
        int clean, typo, similar, careless;
    } CASES[] = {{"none", .5, 800, 0, 0, 0},
                 {"typo", 0, 800, 0, 0, 0},
                 {"typo", 0.0006, 800, 0, 0, 0},   /* .48 of a record */
                 {"typo", 0.000625, 799, 1, 0, 0}, /* half a record counts as one */
                 {"typo,similar,careless", .5, 400, 134, 133, 133},
                 {"similar,typo", .95, 40, 380, 380, 0},
                 {"careless", 1, 0, 0, 0, 800}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Buf text = noise_load(folder, CASES[i].kinds, CASES[i].rate, 1);
        NoiseCensus c = noise_census(w, &text);
        CHECK(c.kinds[ANNOTATOR_TARGET] == CASES[i].clean &&
                  c.kinds[ANNOTATOR_TYPO] == CASES[i].typo &&
                  c.kinds[ANNOTATOR_SIMILAR] == CASES[i].similar &&
                  c.kinds[ANNOTATOR_CARELESS] == CASES[i].careless,
              "%s at %g: %d clean, %d typo, %d similar, %d careless", CASES[i].kinds, CASES[i].rate,
              c.kinds[ANNOTATOR_TARGET], c.kinds[ANNOTATOR_TYPO], c.kinds[ANNOTATOR_SIMILAR],
              c.kinds[ANNOTATOR_CARELESS]);
        buf_free(&text);
    }
}

/* A clean record is the same for all kinds and rates. Records that a low rate corrupts are not
 * clean at a higher one. Another draw is another pool. */
static void test_noise_pairing(const char *folder) {
    Buf pools[3] = {noise_load(folder, "none", 0, 1), noise_load(folder, "cut,lazy", .2, 1),
                    noise_load(folder, "similar", .6, 1)};
    Buf other = noise_load(folder, "none", 0, 2);
    CHECK(other.n != pools[0].n || memcmp(other.s, pools[0].s, other.n) != 0,
          "another draw has the same pool");
    Arena arena = {0};
    size_t at[3] = {0};
    int early = 0;
    for (int line = 0; line < 800; line++) {
        Str prompts[3];
        bool clean[3];
        for (int i = 0; i < 3; i++) {
            const Json *record = next_record(&pools[i], &at[i], &arena);
            prompts[i] = text_of(record, "prompt");
            clean[i] = truth_of(record, "clean");
            if (clean[i])
                CHECK(prompts[i].n == prompts[0].n &&
                          memcmp(prompts[i].s, prompts[0].s, prompts[0].n) == 0,
                      "record %d asks something else in pool %d", line + 1, i);
        }
        CHECK(clean[1] || !clean[2], "record %d is corrupted at .2 and clean at .6", line + 1);
        early += line < 400 && clean[2];
    }
    CHECK(near(early, 400, 0.4), "not shuffled: %d of the first 400 are clean", early);
    arena_free(&arena);
    for (int i = 0; i < 3; i++) buf_free(&pools[i]);
    buf_free(&other);
}

/* The eight files do not depend on the noise. */
static void test_noise_aside(const Corpus *without, const char *folder) {
    CorpusOptions o = {
        .out = folder, .seed = 1, .draw = 1, .sessions = FEW, .noise = "typo", .noise_rate = .5};
    Error err = {0};
    CHECK(corpus_write(&o, &err), "%s", err.text);
    char *path = path_join(folder, "pool-noise.jsonl");
    CHECK(unlink(path) == 0, "no pool-noise.jsonl");
    free(path);
    Corpus with = {0};
    for (int f = 0; f < N_FILES; f++) {
        path = path_join(folder, FILES[f]);
        CHECK(file_read(path, &with.text[f], &err), "%s", err.text);
        CHECK(same(&with, without, f), "%s changes with the noise", FILES[f]);
        unlink(path);
        free(path);
    }
    rmdir(folder);
    corpus_free(&with);
}

static void test_noise_refused(const char *folder) {
    static const char *const LISTS[][2] = {{"typos", "\"typos\" is not a kind of noise"},
                                           {"typo,Cut", "\"Cut\" is not a kind of noise"},
                                           {"target", "\"target\" is not a kind of noise"},
                                           {"typo,none", "\"none\" is not a kind of noise"},
                                           {"typo,", "\"\" is not a kind of noise"},
                                           {"", "\"\" is not a kind of noise"},
                                           {"typo,cut,typo", "\"typo\" is named twice"}};
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
        Error err = {0};
        CorpusOptions o = {.out = folder, .pools_only = true, .noise = LISTS[i][0]};
        CHECK(!corpus_write(&o, &err), "--noise %s is taken", LISTS[i][0]);
        CHECK(err.status == STATUS_USAGE && strstr(err.text, LISTS[i][1]), "status %d, %s",
              err.status, err.text);
        for (int kind = 1; kind < ANNOTATOR_COUNT; kind++)
            CHECK(strstr(err.text, ANNOTATORS[kind].name), "%s is not offered: %s",
                  ANNOTATORS[kind].name, err.text);
        CHECK(access(folder, F_OK) != 0, "--noise %s left a folder", LISTS[i][0]);
    }
}

int main(void) {
    const char *tmp = getenv("TMPDIR");
    char folder[512];
    snprintf(folder, sizeof folder, "%s/test_corpus.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make %s\n", folder);
        return 1;
    }
    Facts *w = mem_new(1, sizeof *w);
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
        test_noise_aside(&c[0], out);
    }
    test_noise_kinds(w, out);
    test_noise_rates(w, out);
    test_noise_pairing(out);
    test_noise_refused(out);
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
