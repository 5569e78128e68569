/* progress: numbers for people, and the time that is left by a clock that the test gives. */
#define _POSIX_C_SOURCE 200809L
#include "lib/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/records.h"
#include "lib/schedule.h"
#include "tests/unit/check.h"
#include "tests/unit/world.h"
#include "tokenizer.h"

static void check_text(Buf *b, const char *wanted) {
    CHECK(strcmp(b->s, wanted) == 0, "%s, not %s", b->s, wanted);
    b->n = 0;
}

static void test_numbers(void) {
    static const struct {
        double n;
        const char *text;
    } counts[] = {{0, "0"},
                  {7, "7"},
                  {999, "999"},
                  {1000, "1,000"},
                  {-1000, "-1,000"},
                  {-999, "-999"},
                  {12345, "12,345"},
                  {999999.7, "1,000,000"},
                  {1e9, "1,000,000,000"}},
      durations[] = {{0, "0.0 ms"},        {0.0042, "4.2 ms"},
                     {0.042, "42 ms"},     {0.44, "0.4 s"},
                     {9.94, "9.9 s"},      {9.96, "10 s"},
                     {59.4, "59 s"},       {59.6, "1 min 0 s"},
                     {185, "3 min 5 s"},   {3599.6, "1 h 0 min"},
                     {7840, "2 h 10 min"}, {86400, "1 d 0 h"},
                     {273600, "3 d 4 h"},  {NAN, "?"},
                     {INFINITY, "?"},      {-1, "?"}};
    Buf b = {0};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        put_count(&b, counts[i].n);
        check_text(&b, counts[i].text);
    }
    for (size_t i = 0; i < sizeof durations / sizeof *durations; i++) {
        put_duration(&b, durations[i].n);
        check_text(&b, durations[i].text);
    }
    buf_free(&b);
}

/* A clock that stands until the test moves it. */
static double clock_seconds;
static double test_clock(void) { return clock_seconds; }

/* Work in uneven pieces: after a tenth, the time that is left is at most 20 % from the truth. Piece
 * i takes seconds in proportion to its work, give or take `noise`. */
static void check_part(int pieces, double noise) {
    Progress p = progress_new("test", test_clock);
    Rng rng = rng_new(1, 0);
    double *work = mem_new((size_t)pieces, sizeof *work),
           *took = mem_new((size_t)pieces, sizeof *took);
    double total = 0, seconds = 0, spent = 0;
    p.every = INFINITY; /* nothing is printed */
    clock_seconds = 1000;
    for (int i = 0; i < pieces; i++) {
        work[i] = 1 + 9 * rng_uniform(&rng);
        took[i] = work[i] * (1 + noise * (2 * rng_uniform(&rng) - 1));
        total += work[i];
        seconds += took[i];
    }
    progress_begin(&p, total);
    CHECK(isnan(progress_left(&p)), "before any work it knows the time");
    for (int i = 0; i < pieces; i++) {
        progress_add(&p, work[i]);
        clock_seconds += took[i];
        spent += took[i];
        double left = progress_left(&p), truth = seconds - spent;
        /* Of the last hundredth rounding is what is left. */
        if (p.done < total / 10 || truth < seconds / 100) continue;
        CHECK(fabs(left - truth) <= 0.2 * truth, "after %.0f %%: %g s, in truth %g s",
              100 * p.done / total, left, truth);
    }
    free(work);
    free(took);
}

/* A run of S steps that scores R times, evaluates each E steps and at the end: after a tenth, the
 * time that is left is at most 20 % from the truth. */
static void check_run(long S, int R, int E, double step, double scoring, double evaluation) {
    Tempo tempo = {0};
    double records = 40; /* of an evaluation; a step trains 8 */
    double total = (double)S * step + (double)(R < S ? R : S) * scoring + evaluation, spent = 0;
    for (long i = 0; i < S; i++)
        total += E > 0 && ((i + 1) % E == 0 || i + 1 == S) ? evaluation : 0;
    for (long i = 0; i < S; i++) {
        if (refresh_at(R, i, S) >= 0) {
            work_add(&tempo.scorings, scoring);
            spent += scoring;
        }
        work_add(&tempo.steps, step);
        tempo.records += 8;
        spent += step;
        if (E > 0 && ((i + 1) % E == 0 || i + 1 == S)) {
            work_add(&tempo.evaluations, evaluation);
            spent += evaluation;
        }
        double left = tempo_left(&tempo, (double)(S - i - 1), (double)refreshes_left(R, i, S),
                                 (double)multiples_left(E, i, S) + 1, records);
        if (i + 1 < S / 10) continue;
        CHECK(fabs(left - (total - spent)) <= 0.2 * (total - spent),
              "S %ld R %d E %d, after step %ld: %g s, in truth %g s", S, R, E, i + 1, left,
              total - spent);
    }
}

static void test_left(void) {
    check_part(200, 0.3);
    check_part(1000, 0.5);
    /* An evaluation of 40 records costs about a third of training on them: 40 / 8 / 3 steps. */
    for (int R = 0; R <= 7; R++)
        for (int E = 0; E <= 60; E += 12) check_run(100, R, E, 2, 31, 40.0 / 8 / 3 * 2);
    check_run(10, 20, 3, 1, 5, 2);
}

/* Where nobody looks at a terminal: nothing for ten seconds, then a line, and the next one after
 * ten more. */
static void test_lines(void) {
    Progress p = progress_new("test", test_clock);
    p.terminal = false;
    p.every = 10;
    clock_seconds = 500;
    p.said = 500;
    progress_begin(&p, 100);
    clock_seconds = 509.9;
    progress_add(&p, 10);
    CHECK(!p.shown, "a line after 9.9 s");
    clock_seconds = 510;
    progress_add(&p, 10);
    CHECK(p.shown && p.said == 510, "no line after 10 s");
    clock_seconds = 519.9;
    progress_add(&p, 10);
    CHECK(p.said == 510, "a second line after 9.9 s more");
    clock_seconds = 520;
    progress_add(&p, 10);
    CHECK(p.said == 520, "no second line");
    progress_end(&p);
    CHECK(!p.shown, "it is not over");
    progress_add(NULL, 1); /* nobody waits */
    progress_begin(NULL, 1);
    progress_part(NULL, "x");
    progress_end(NULL);
}

/* The closed forms against counting. */
static void test_counts(void) {
    for (long S = 1; S <= 30; S++)
        for (int n = 0; n <= 35; n++)
            for (long step = 0; step < S; step++) {
                long refreshes = 0, multiples = 0;
                for (long i = step + 1; i < S; i++) {
                    refreshes += n > 0 && refresh_at(n, i, S) >= 0;
                    multiples += n > 0 && ((i + 1) % n == 0 || i + 1 == S);
                }
                CHECK(refreshes_left(n, step, S) == refreshes, "R %d, S %ld, step %ld", n, S, step);
                CHECK(multiples_left(n, step, S) == multiples, "E %d, S %ld, step %ld", n, S, step);
            }
}

/* ---- every phase ----
 *
 * A phase tells its work before it begins, and does exactly that. Each call of progress_begin and
 * progress_add asks for the time, so this clock sees both. */

static struct {
    const Progress *p;
    double total, done;
    int parts, steps, unfinished;
    char names[200]; /* of the parts, each with a semicolon behind it */
} seen;

static double watching_clock(void) {
    const Progress *p = seen.p;
    if (p->done <= 0 && p->total > 0 && seen.done > 0) { /* a new part has begun */
        seen.unfinished += fabs(seen.done - seen.total) > 1e-9 * seen.total;
        seen.parts++;
    }
    if (p->total > 0 && p->done <= 0) { /* begins */
        size_t n = strlen(seen.names);
        snprintf(seen.names + n, sizeof seen.names - n, "%s;", p->part ? p->part : "");
    }
    seen.steps += p->done > seen.done;
    seen.total = p->total;
    seen.done = p->done;
    return 0;
}

/* Begins to watch. */
static Progress watched(const Progress *p) {
    static const Progress none;
    seen.p = &none;
    seen.total = seen.done = seen.parts = seen.steps = seen.unfinished = 0;
    *seen.names = 0;
    Progress made = progress_new("test", watching_clock);
    made.every = INFINITY;
    seen.p = p;
    return made;
}

/* It had so many parts of these names, each done from its beginning to its end, in at least so many
 * steps. */
static void check_phases(const char *what, const char *names, int parts, int steps) {
    CHECK(strcmp(seen.names, names) == 0, "%s: the parts are %s and not %s", what, seen.names,
          names);
    seen.parts += seen.done > 0;
    seen.unfinished += fabs(seen.done - seen.total) > 1e-9 * seen.total;
    CHECK(seen.parts == parts && seen.unfinished == 0, "%s: %d parts, %d not to their end", what,
          seen.parts, seen.unfinished);
    CHECK(seen.steps >= steps, "%s: %d steps, at least %d", what, seen.steps, steps);
}

static void test_tokenizer(void) {
    enum { TEXTS = 50, MERGES = 40 };
    Str texts[TEXTS];
    Arena arena = {0};
    Error err = {0};
    Rng rng = rng_new(3, 0);
    for (int i = 0; i < TEXTS; i++) {
        char *s = arena_new(&arena, 200, 1);
        for (int j = 0; j < 200; j++) s[j] = (char)("abcdefg "[rng_below(&rng, 8)]);
        texts[i] = (Str){s, 200};
    }
    Progress p = {0};
    p = watched(&p);
    Tokenizer *t = tokenizer_train(texts, TEXTS, 256 + MERGES, NULL, 0, &p, &err);
    CHECK(t && tokenizer_size(t) == 256 + MERGES, "%s", err.text);
    check_phases("a vocabulary", "words;merges;", 2, TEXTS + MERGES);
    tokenizer_free(t);
    arena_free(&arena);
}

/* Scores of every method, and of clusters. */
static void test_scores(void) {
    World w = topic_world(1, 96);
#define ALONE "answers alone;"
#define SHOWN "the choice of demonstrations;answers in context;"
    /* Anchors are asked behind the candidates, then without them. */
#define ANCHORS "the choice of anchors;answers after the candidates;answers after the candidates;"
    static const char *const names[METHOD_COUNT + 1] = {[METHOD_ICA] = ALONE SHOWN,
                                                        [METHOD_RHO] =
                                                            ALONE "answers by the reference;",
                                                        [METHOD_ONESHOT] = ANCHORS,
                                                        [METHOD_NUGGETS] = ANCHORS,
                                                        [METHOD_GRADIENT] = "gradients;",
                                                        [METHOD_INCONTEXT] = SHOWN,
                                                        [METHOD_LOSS] = ALONE,
                                                        [METHOD_RANDOM] = "",
                                                        [METHOD_COUNT] = ALONE "clusters;" SHOWN};
    for (int i = 0; i < METHOD_COUNT + 1; i++) {
        ScoreOptions how = {.method = i < METHOD_COUNT ? (Method)i : METHOD_ICA,
                            .k = 3,
                            .contexts = i < METHOD_COUNT ? 0 : 7,
                            .num_anchors = 4,
                            .seed = 1};
        Scores scores = {0};
        Progress p = {0};
        p = watched(&p);
        w.ws->progress = &p;
        ica_score(w.m, w.other, w.ws, &w.pool, &w.holdout, &how, &scores);
        w.ws->progress = NULL;
        const MethodInfo *m = &METHODS[how.method];
        /* Demonstrations and anchors are chosen, then shown. Anchors are asked alone too. */
        int parts = m->needs_alone + 2 * m->needs_k + m->needs_reference + 3 * m->needs_anchors +
                    m->needs_gradients + (how.contexts > 0);
        check_phases(m->name, names[i], parts, parts);
        scores_free(&scores);
    }
    world_free(&w);
}

/* Files of records, lines and an array, in one piece. */
static void test_records(void) {
    for (int array = 0; array < 2; array++) {
        Buf b = {0};
        for (int i = 0; i < 300; i++)
            buf_printf(&b, "%s{\"prompt\":\"%d\",\"completion\":\"%d\"}\n",
                       array ? (i ? "," : "[") : "", i, i);
        if (array) buf_puts(&b, "]");
        char path[] = "/tmp/test_progress.XXXXXX";
        int fd = mkstemp(path);
        CHECK(fd >= 0 && write(fd, b.s, b.n) == (ssize_t)b.n && close(fd) == 0, "%s", path);
        Error err = {0};
        Dataset d;
        Progress p = {0};
        p = watched(&p);
        RecordStream *s = records_open(path, &err);
        records_watch(s, &p);
        CHECK(records_read(s, SIZE_MAX, &d, &err) && d.count == 300, "%s", err.text);
        records_close(s);
        /* Of an array the brackets and commas are no record's: less than one byte in ten. */
        CHECK(p.total == (double)b.n && p.done <= p.total && p.done > 0.9 * p.total,
              "%g of %g bytes", p.done, p.total);
        CHECK(seen.steps == 300, "%d steps", seen.steps);
        remove(path);
        records_free(&d);
        buf_free(&b);
    }
}

int main(void) {
    test_numbers();
    test_tokenizer();
    test_scores();
    test_records();
    test_left();
    test_lines();
    test_counts();
    return check_report("test_progress");
}
