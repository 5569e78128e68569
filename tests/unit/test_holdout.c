/* Tests of holdout: folds, and scores of the holdout by itself against the same scores made by hand
 * of two sets. */
#include "scoring/holdout.h"
#include "tests/reference/oracle.h"
#include "tests/unit/check.h"
#include "tests/unit/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 24, CONTEXT = 96 };

/* 24 records of 11 prompts: some prompts twice with two answers, some records copied. */
static Examples some_holdout(Rng *rng) {
    Examples e;
    random_examples(&e, rng, COUNT, 30);
    for (int i = 11; i < COUNT; i++) {
        Example other = e.items[i];
        e.items[i] = e.items[rng_below(rng, 11)];
        if (i % 2) continue;
        e.items[i].answer = other.answer;
        e.items[i].answer_n = other.answer_n;
    }
    return e;
}

static void test_folds(void) {
    for (int seed = 0; seed < 8; seed++) {
        Rng rng = rng_new((uint64_t)seed, 0);
        Examples e = some_holdout(&rng);
        Folds f;
        int index[COUNT], size[FOLDS_MOST] = {0}, first[COUNT] = {0}, split = 0;
        CHECK(folds_new(&e, (uint64_t)seed, &f) && f.prompts == 11 && f.folds == 5,
              "%d prompts, %d folds", f.prompts, f.folds);
        for (int i = 0; i < COUNT; i++) {
            for (int j = 0; j < COUNT; j++)
                split += same_prompt(&e.items[i], &e.items[j]) && f.fold[i] != f.fold[j];
            if (!first[f.prompt[i]]++) size[f.fold[i]]++;
        }
        CHECK(split == 0, "%d pairs of records with one prompt are in two folds", split);
        for (int k = 0; k < f.folds; k++) {
            CHECK(size[k] == 2 + (k < 1), "fold %d has %d prompts", k, size[k]);
            Examples in = folds_part(&f, &e, k, false, index);
            Examples out = folds_part(&f, &e, k, true, index);
            CHECK(in.count + out.count == COUNT, "fold %d: %d and %d", k, in.count, out.count);
        }
        folds_free(&f);
        arena_free(&e.arena);
    }
}

static void test_few(void) {
    Rng rng = rng_new(3, 0);
    Examples e = some_holdout(&rng);
    for (int n = 1; n <= 4; n++) {
        Folds f;
        Examples few = {.count = n, .items = e.items, .bos = e.bos, .bos_n = e.bos_n};
        CHECK(folds_new(&few, 1, &f) == (n >= 3) && f.prompts == n && f.folds == n,
              "%d prompts: %d, %d folds", n, f.prompts, f.folds);
        folds_free(&f);
    }
    arena_free(&e.arena);
}

/* [E5] [E6] Each record's score is the oracle's, with the records of the other folds as the
 * holdout. The bound is that of test_ica: a float model against a double one. */
static void test_scores(Model *m, Workspace *ws) {
    Rng rng = rng_new(5, 0);
    Examples e = some_holdout(&rng);
    Oracle *o = oracle_new(m);
    ScoreOptions how = {.method = METHOD_ICA, .k = 3, .reduce = REDUCE_MEAN, .seed = 7};
    Scores s = {0};
    Folds f;
    int index[COUNT];
    folds_new(&e, how.seed, &f);
    holdout_score(m, ws, &e, &f, &how, &s);
    for (int k = 0; k < f.folds; k++) {
        Examples others = folds_part(&f, &e, k, true, index);
        for (int i = 0; i < COUNT; i++) {
            if (f.fold[i] != k) continue;
            double want = oracle_ica(o, &others, &e.items[i], 3, true);
            int seen = 0;
            for (int d = 0; d < s.n_demos[i]; d++)
                seen += f.fold[s.demos[i * 3 + d].prompt_of - e.items] == k;
            CHECK(fabs(s.score[i] - want) < 1e-4 && seen == 0 && s.n_demos[i] == 3,
                  "[E5] record %d: %.9g, not %.9g; %d of its own fold", i, s.score[i], want, seen);
        }
    }
    scores_free(&s);
    folds_free(&f);
    oracle_free(o);
    arena_free(&e.arena);
}

/* The order of the file changes nothing: every way to choose, scores and check. */
static void test_order(const Model *m, Workspace *ws) {
    Rng rng = rng_new(6, 0);
    Examples e = some_holdout(&rng), turned = e;
    Example items[COUNT];
    int place[COUNT];
    for (int i = 0; i < COUNT; i++) place[i] = i;
    rng_shuffle(&rng, place, COUNT);
    for (int i = 0; i < COUNT; i++) items[i] = e.items[place[i]];
    turned.items = items;
    for (int demos = 0; demos < DEMO_COUNT; demos++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = 2, .demos = (DemoChoice)demos, .seed = 3};
        Scores a = {0}, b = {0};
        Folds f, g;
        int wrong = 0;
        folds_new(&e, 3, &f);
        folds_new(&turned, 3, &g);
        holdout_score(m, ws, &e, &f, &how, &a);
        holdout_score(m, ws, &turned, &g, &how, &b);
        /* Copies of a record draw in turn, so of random choices only the sum over copies counts. */
        for (int i = 0; i < COUNT; i++) {
            double x = 0, y = 0;
            for (int j = 0; j < COUNT; j++) {
                if (same_example(&e.items[j], &e.items[place[i]])) x += a.score[j];
                if (same_example(&items[j], &items[i])) y += b.score[j];
            }
            wrong += !(fabs(x - y) <= 1e-12) || f.fold[place[i]] != g.fold[i];
        }
        CHECK(wrong == 0, "%s: %d records score otherwise in another order",
              DEMO_CHOICES[demos].name, wrong);
        HoldoutCheck c, d;
        holdout_check(m, ws, &e, &how, &c);
        holdout_check(m, ws, &turned, &how, &d);
        CHECK(fabs(c.in_context - d.in_context) < 1e-12 && fabs(c.shuffled - d.shuffled) < 1e-12 &&
                  fabs(c.gain_error - d.gain_error) < 1e-12,
              "%s: the check depends on the order", DEMO_CHOICES[demos].name);
        scores_free(&a);
        scores_free(&b);
        folds_free(&f);
        folds_free(&g);
    }
    arena_free(&e.arena);
}

/* The check's numbers from the scores, by hand: means, and the error over prompts. */
static void test_check(const Model *m, Workspace *ws) {
    Rng rng = rng_new(8, 0);
    Examples e = some_holdout(&rng);
    ScoreOptions how = {.method = METHOD_ICA, .k = 3, .reduce = REDUCE_MEAN, .seed = 9};
    HoldoutCheck c;
    Scores s = {0};
    Folds f;
    folds_new(&e, 9, &f);
    holdout_score(m, ws, &e, &f, &how, &s);
    double alone = 0, inside = 0, gain = 0, square = 0;
    for (int i = 0; i < COUNT; i++) {
        alone -= s.alone.chosen[i] / e.items[i].answer_n / COUNT;
        inside -= s.in_context.chosen[i] / e.items[i].answer_n / COUNT;
        gain += s.score[i] / COUNT;
    }
    for (int i = 0; i < 11; i++) { /* the first eleven are the prompts */
        double sum = 0;
        for (int j = 0; j < COUNT; j++)
            if (same_prompt(&e.items[i], &e.items[j])) sum += s.score[j] - gain;
        square += sum * sum;
    }
    CHECK(holdout_check(m, ws, &e, &how, &c) && c.records == COUNT && c.prompts == 11 && c.k == 3,
          "%g records, %g prompts", c.records, c.prompts);
    CHECK(fabs(c.loss - alone) < 1e-12 && fabs(c.in_context - inside) < 1e-12 &&
              fabs(c.gain - (alone - inside)) < 1e-12,
          "%.17g alone, %.17g in context, gain %.17g", c.loss, c.in_context, c.gain);
    CHECK(fabs(c.gain_error - sqrt(square * 11 / 10) / COUNT) < 1e-12, "standard error %.17g",
          c.gain_error);
    CHECK(c.shuffled != c.in_context && c.flops > 0, "the control is the same");
    /* It helps if the gain is clear and shuffled answers do worse. */
    HoldoutCheck helps = {.gain = 0.5, .gain_error = 0.2, .in_context = 1, .shuffled = 1.1};
    CHECK(holdout_helps(&helps), "a clear gain");
    helps.gain_error = 0.26;
    CHECK(!holdout_helps(&helps), "a gain within its error");
    helps.gain_error = 0.2;
    helps.shuffled = 1;
    CHECK(!holdout_helps(&helps), "shuffled answers do as well");
    Examples two = {.count = 2, .items = e.items, .bos = e.bos, .bos_n = e.bos_n};
    CHECK(!holdout_check(m, ws, &two, &how, &c) && c.records == 0, "two prompts are checked");
    scores_free(&s);
    folds_free(&f);
    arena_free(&e.arena);
}

int main(void) {
    Model *m = random_model(4, CONTEXT);
    Workspace *ws = workspace_new();
    test_folds();
    test_few();
    test_scores(m, ws);
    test_order(m, ws);
    test_check(m, ws);
    workspace_free(ws);
    model_free(m);
    return check_report("test_holdout");
}
