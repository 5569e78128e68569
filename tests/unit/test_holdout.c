/* Tests of holdout: folds, scores of the holdout by itself against the same scores made by hand of
 * two sets, and what is left out before candidates are compared. */
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

/* Another seed deals the prompts otherwise: of 8 seeds no two give the same folds. Two random deals
 * of 11 prompts are the same once in 11! / (3! 2!^4) = 415,800. */
static void test_seeds(void) {
    enum { SEEDS = 8 };
    Rng rng = rng_new(4, 0);
    Examples e = some_holdout(&rng);
    Folds f[SEEDS];
    int same = 0;
    for (int s = 0; s < SEEDS; s++) {
        folds_new(&e, (uint64_t)s, &f[s]);
        for (int t = 0; t < s; t++)
            same += memcmp(f[s].fold, f[t].fold, COUNT * sizeof *f[s].fold) == 0;
    }
    CHECK(same == 0, "%d pairs of seeds deal the same folds", same);
    for (int s = 0; s < SEEDS; s++) folds_free(&f[s]);
    arena_free(&e.arena);
}

/* Records whose texts are the same and whose tokens are not: their order follows from the tokens,
 * not from the file. */
static void test_spellings(void) {
    enum { N = 12 };
    Rng rng = rng_new(4, 1);
    Examples e, turned;
    random_examples(&e, &rng, N, 30);
    Example items[N];
    int index[N], index_turned[N], wrong = 0;
    for (int i = 0; i < N; i++) {
        e.items[i].prompt_text = str(i % 4 == 0 ? "a" : i % 4 == 1 ? "b" : i % 4 == 2 ? "c" : "d");
        e.items[i].answer_text = str("x");
    }
    for (int i = 0; i < N; i++) items[i] = e.items[N - 1 - i];
    turned = e;
    turned.items = items;
    Folds f, g;
    folds_new(&e, 5, &f);
    folds_new(&turned, 5, &g);
    for (int k = 0; k < f.folds; k++) {
        Examples a = folds_part(&f, &e, k, true, index);
        Examples b = folds_part(&g, &turned, k, true, index_turned);
        for (int i = 0; i < a.count; i++)
            wrong += example_compare_tokens(&a.items[i], &b.items[i]) != 0;
    }
    CHECK(f.folds == 4 && wrong == 0, "%d folds; in another order of the file, %d records differ",
          f.folds, wrong);
    folds_free(&f);
    folds_free(&g);
    arena_free(&e.arena);
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
 * holdout: all of them, or what is kept. The bound is that of test_ica: a float model against a
 * double one. */
static void test_scores(Model *m, Workspace *ws, bool all) {
    Rng rng = rng_new(5, 0);
    Examples e = some_holdout(&rng);
    Oracle *o = oracle_new(m);
    ScoreOptions how = {.method = METHOD_ICA, .k = 3, .reduce = REDUCE_MEAN, .seed = 7};
    Scores s = {0};
    Folds f;
    int index[COUNT];
    double kept[COUNT];
    for (int i = 0; i < COUNT; i++) kept[i] = i % 3 > 0;
    folds_new(&e, how.seed, &f);
    holdout_score(m, ws, &e, &f, all ? NULL : kept, &how, &s);
    for (int k = 0; k < f.folds; k++) {
        Examples part = folds_part(&f, &e, k, true, index), others = part;
        Example shown[COUNT];
        others.count = 0;
        others.items = shown;
        for (int i = 0; i < part.count; i++)
            if (all || kept[index[i]] > 0) shown[others.count++] = part.items[i];
        for (int i = 0; i < COUNT; i++) {
            if (f.fold[i] != k) continue;
            double want = oracle_ica(o, &others, &e.items[i], 3, true);
            int seen = 0;
            for (int d = 0; d < s.n_demos[i]; d++) {
                int at = (int)(s.demos[i * 3 + d].prompt_of - e.items);
                seen += f.fold[at] == k || !(all || kept[at] > 0);
            }
            CHECK(fabs(s.score[i] - want) < 1e-4 && seen == 0 && s.n_demos[i] == 3,
                  "[E5] record %d: %.9g, not %.9g; %d of its own fold or not kept", i, s.score[i],
                  want, seen);
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
        holdout_score(m, ws, &e, &f, NULL, &how, &a);
        holdout_score(m, ws, &turned, &g, NULL, &how, &b);
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
    holdout_score(m, ws, &e, &f, NULL, &how, &s);
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
    /* A record that can be shown nothing gains nothing, and counts. */
    for (int i = 0; i < 3; i++) e.items[i] = random_example(&e.arena, &rng, CONTEXT - 8, 30, 4, 0);
    HoldoutCheck with;
    scores_free(&s);
    folds_free(&f);
    folds_new(&e, 9, &f);
    holdout_score(m, ws, &e, &f, NULL, &how, &s);
    gain = 0;
    int unshown = 0;
    for (int i = 0; i < COUNT; i++) gain += s.n_demos[i] > 0 ? s.score[i] / COUNT : 0;
    for (int i = 0; i < COUNT; i++) unshown += s.n_demos[i] == 0;
    CHECK(f.fold[0] != f.fold[1] || f.fold[0] != f.fold[2], "all three are in one fold");
    CHECK(holdout_check(m, ws, &e, &how, &with) && unshown >= 3 && s.n_unshown == unshown &&
              fabs(with.gain - gain) < 1e-12,
          "%d without demonstrations: a gain of %.17g, not %.17g", s.n_unshown, with.gain, gain);
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

/* ---- candidates against the holdout ---- */

/* Marks with 0 the `trimmed` records of smallest min(rank of gain, rank of likelihood). Of equal
 * ones the smaller hash goes first. What is not known stays. */
static void trim_by_hand(const Examples *e, const Scores *self, uint64_t seed, int trimmed,
                         double *kept) {
    double gain[100], likelihood[100], rank[100];
    for (int i = 0; i < e->count; i++) {
        gain[i] = likelihood[i] = NAN;
        if (self->n_demos[i] == 0) continue;
        likelihood[i] = self->in_context.chosen[i] / e->items[i].answer_n;
        gain[i] = likelihood[i] - self->alone.chosen[i] / e->items[i].answer_n;
    }
    for (int i = 0; i < e->count; i++) {
        int by_gain = 0, by_likelihood = 0;
        for (int j = 0; j < e->count; j++) {
            by_gain += gain[j] < gain[i];
            by_likelihood += likelihood[j] < likelihood[i];
        }
        rank[i] = by_gain < by_likelihood ? by_gain : by_likelihood;
        if (isnan(gain[i])) rank[i] = e->count;
        kept[i] = 1;
    }
    for (int t = 0; t < trimmed; t++) {
        int least = -1;
        for (int i = 0; i < e->count; i++) {
            if (kept[i] <= 0) continue;
            bool smaller = least < 0 || rank[i] < rank[least];
            if (!smaller && rank[i] <= rank[least])
                smaller = example_hash(&e->items[i], seed, true) <
                          example_hash(&e->items[least], seed, true);
            if (smaller) least = i;
        }
        kept[least] = 0;
    }
}

/* The same until nothing changes, each time with demonstrations from what is kept. Returns how
 * often it chose. */
static int trim_rounds(const Model *m, Workspace *ws, const Examples *e, const ScoreOptions *how,
                       int trimmed, double *kept) {
    double before[100];
    Scores s = {0};
    Folds f;
    int round = 0;
    bool changed = true;
    folds_new(e, how->seed, &f);
    for (int i = 0; i < e->count; i++) kept[i] = 1;
    for (; changed && round < TRIM_ROUNDS; round++) {
        memcpy(before, kept, sizeof before);
        holdout_score(m, ws, e, &f, kept, how, &s);
        trim_by_hand(e, &s, how->seed, trimmed, kept);
        changed = memcmp(before, kept, sizeof before) != 0;
    }
    scores_free(&s);
    folds_free(&f);
    return round;
}

/* Checks the pool's scores: as ica_score makes them of the kept records alone, plus the cost of the
 * holdout's own. */
static void check_kept(const Model *m, Workspace *ws, const Examples *pool, const Examples *e,
                       const ScoreOptions *how, const Comparison *c, const Scores *out) {
    Examples part = {.bos = e->bos, .bos_n = e->bos_n, .items = mem_new(100, sizeof(Example))};
    Scores s = {0};
    int wrong = 0, unknown = 0;
    for (int i = 0; i < e->count; i++) {
        if (c->kept[i] > 0) part.items[part.count++] = e->items[i];
        bool known = c->kept[i] > 0 && c->self.n_demos[i] > 0;
        unknown += isnan(c->self.score[i]) == known;
    }
    ica_score(m, NULL, ws, pool, &part, how, &s);
    for (int i = 0; i < pool->count; i++) {
        wrong += !same_bits(s.score[i], out->score[i]);
        for (int d = 0; d < out->n_demos[i]; d++) {
            const Demo *demo = &out->demos[i * out->k + d];
            wrong += !(c->kept[demo->prompt_of - e->items] > 0);
        }
    }
    CHECK(wrong == 0 && unknown == 0,
          "%d scores or demonstrations of the pool, %d scores of the holdout", wrong, unknown);
    CHECK(out->cost.flops == s.cost.flops + c->told.flops && c->told.flops > 0,
          "%.17g operations, not %.17g + %.17g", out->cost.flops, s.cost.flops, c->told.flops);
    Scores self = {0};
    Folds folds;
    if (folds_new(&part, how->seed, &folds)) holdout_score(m, ws, &part, &folds, NULL, how, &self);
    /* The first time the holdout is scored more than once. */
    double both = s.cost.forward + self.cost.forward;
    bool once = c->told.flops == self.cost.flops;
    CHECK(self.cost.forward > 0 && (once ? out->cost.forward == both : out->cost.forward > both),
          "%.0f tokens forward, not %.0f", out->cost.forward, both);
    folds_free(&folds);
    scores_free(&self);
    scores_free(&s);
    free(part.items);
}

/* [E19] Trimming against the same by hand. 0.29 x 100 is a little below 29 in floating point, and
 * 29 records go. One record is too long to be shown anything: it has no score, and stays. What was
 * left out once stays out, whatever the seed of later scores. */
static void test_trim(const Model *m, Workspace *ws) {
    enum { N = 100 };
    static const double share[] = {.29, .07, .5};
    static const int trimmed[] = {29, 7, 50};
    int rounds = 0;
    for (int t = 0; t < 3; t++) {
        Rng rng = rng_new(10, (uint64_t)t);
        Examples e, pool;
        random_examples(&e, &rng, N, 30);
        random_examples(&pool, &rng, 8, 30);
        e.items[t] = random_example(&e.arena, &rng, CONTEXT - 8, 30, 4, 0); /* no room for demos */
        ScoreOptions how = {.method = METHOD_ICA, .k = 1, .seed = 20 + (uint64_t)t};
        Comparison c = {0};
        Scores out = {0};
        Error err = {0};
        double kept[N];
        comparison_new(&c, MAP_ACCEPT, &(ComparisonOptions){.level = .05, .trim = share[t]}, 8, N);
        rounds += trim_rounds(m, ws, &e, &how, trimmed[t], kept);
        bool ok = holdout_compare(m, ws, &pool, &e, &how, &c, &out, &err);
        CHECK(ok && c.told.trimmed == trimmed[t] && memcmp(c.kept, kept, sizeof kept) == 0,
              "a share of %g: %g left out; they are others than by hand: %s", share[t],
              c.told.trimmed, err.text);
        check_kept(m, ws, &pool, &e, &how, &c, &out);
        how.seed += 100;
        ok = holdout_compare(m, ws, &pool, &e, &how, &c, &out, &err);
        CHECK(ok && memcmp(c.kept, kept, sizeof kept) == 0, "the second scores choose anew: %s",
              err.text);
        check_kept(m, ws, &pool, &e, &how, &c, &out);
        double flops = c.told.flops;
        ok = holdout_compare(m, ws, &pool, &e, &how, &c, &out, &err);
        CHECK(ok && c.told.flops == flops, "the same scores cost %.17g, then %.17g", flops,
              c.told.flops);
        scores_free(&out);
        comparison_free(&c);
        arena_free(&e.arena);
        arena_free(&pool.arena);
    }
    CHECK(rounds > 6, "three trimmings took %d rounds: none chose anew", rounds);
}

/* The numbers of one record by hand: how much more probable the reference r finds it, and how
 * probable. */
static void numbers_by_hand(const Model *m, const Model *r, Workspace *ws, const Example *x,
                            bool pairs, double *gain, double *likelihood) {
    double alone = logp_alone(m, ws, x), by = logp_alone(r, ws, x);
    *likelihood = by / x->answer_n;
    *gain = *likelihood - alone / x->answer_n;
    if (pairs)
        *gain = (by - logp_by_hand(r, ws, NULL, 0, x, true, NULL)) -
                (alone - logp_by_hand(m, ws, NULL, 0, x, true, NULL));
}

/* How many of both files' records have other numbers than those by the reference of their fold. */
static int wrong_numbers(const Model *m, Workspace *ws, const Examples *pool, const Examples *e,
                         const References *r, const Comparison *c, bool pairs, double *h,
                         double *hl) {
    int wrong = 0;
    for (int i = 0; i < e->count; i++) {
        const Model *by = r->model[r->folds.fold[i]];
        numbers_by_hand(m, by, ws, &e->items[i], pairs, &h[i], &hl[i]);
        wrong += !same_bits(c->self.by_reference.chosen[i] / e->items[i].answer_n, hl[i]);
    }
    for (int i = 0; i < pool->count; i++) {
        double gain, likelihood;
        const Model *by = r->model[references_fold(r, &pool->items[i])];
        numbers_by_hand(m, by, ws, &pool->items[i], pairs, &gain, &likelihood);
        wrong += !same_bits(c->gain[i], gain) + !same_bits(c->likelihood[i], likelihood);
    }
    return wrong;
}

/* [E15] [E19] RHO: every record is scored by the reference of its fold, and so is a candidate. Once
 * the references are gone, as after the first scores of a run, what they said stays. */
static void test_references(const Model *m, Workspace *ws, bool pairs) {
    enum { N = 40 };
    Rng rng = rng_new(12, pairs);
    Examples e = some_holdout(&rng), pool;
    random_examples(&pool, &rng, N, 30);
    ScoreOptions how = {.method = METHOD_RHO, .k = 3, .seed = 31, .reduce = REDUCE_SUM};
    how.objective = pairs ? OBJECTIVE_SIMPO : OBJECTIVE_SFT;
    how.pair = (PairOptions){.beta = 2, .gamma_beta_ratio = .25};
    ComparisonOptions options = {.level = .4, .by_reference = true, .pairs = pairs};
    Comparison c = {0};
    Scores out = {0};
    Error err = {0};
    double h[COUNT], hl[COUNT];
    comparison_new(&c, MAP_ACCEPT, &options, N, COUNT);
    CHECK(references_deal(&c.references, &e, 7, &err), "%s", err.text);
    for (int f = 0; f < FOLDS_MOST; f++)
        c.references.model[f] = random_model(40 + (uint64_t)f, CONTEXT);
    CHECK(holdout_compare(m, ws, &pool, &e, &how, &c, &out, &err), "%s", err.text);
    int wrong = wrong_numbers(m, ws, &pool, &e, &c.references, &c, pairs, h, hl);
    AcceptLevels want;
    accept_levels(h, hl, COUNT, .4, &want);
    CHECK(wrong == 0 && memcmp(&want, &c.told.levels, sizeof want) == 0 && want.numbers == 2,
          "%d numbers are not by the reference of their fold; thresholds %g and %g", wrong,
          c.told.levels.threshold[0], c.told.levels.threshold[1]);
    double clean = accept_clean_share(&c.told.levels, c.gain, c.likelihood, N);
    CHECK(clean > 0 && same_bits(comparison_clean(&c, MAP_ACCEPT, N), clean), "clean share %g",
          clean);
    /* Operations are those of every answer by the model and by one reference. Folds have fewer
     * words in common before their answers, so references may take more. */
    Cost once = {0}, by = {0};
    Logps unused = {mem_new(N, sizeof(double)), pairs ? mem_new(N, sizeof(double)) : NULL};
    ica_answer_logps(m, ws, &pool, unused, &once);
    references_logps(&c.references, ws, &pool, NULL, unused, &by);
    CHECK(out.cost.flops - c.told.flops == once.flops + by.flops && by.flops >= once.flops &&
              by.flops < 2 * once.flops && c.told.flops > 0,
          "%g operations, not %g and %g", out.cost.flops - c.told.flops, once.flops, by.flops);
    /* The second scores: the references are gone, and the seed is another. */
    double before = out.by_reference.chosen[0], level = c.told.levels.threshold[0];
    references_free(&c.references);
    how.seed++;
    CHECK(holdout_compare(m, ws, &pool, &e, &how, &c, &out, &err) &&
              same_bits(before, out.by_reference.chosen[0]) &&
              same_bits(level, c.told.levels.threshold[0]),
          "a refresh of the same model has other scores %s", err.text);
    CHECK(out.cost.flops - c.told.flops == once.flops, "a refresh runs references");
    free(unused.chosen);
    free(unused.rejected);
    scores_free(&out);
    comparison_free(&c);
    arena_free(&e.arena);
    arena_free(&pool.arena);
}

/* Candidates are dealt evenly: of 1,000 prompts each of five folds gets 200, give or take 5
 * standard deviations of 12.6. One prompt has one fold, and another seed deals otherwise. */
static void test_dealing(void) {
    enum { N = 1000 };
    Rng rng = rng_new(13, 0);
    Examples e = some_holdout(&rng), pool;
    References r = {0}, other = {0};
    Error err = {0};
    int size[FOLDS_MOST] = {0}, same = 0, split = 0;
    random_examples(&pool, &rng, N, 30);
    references_deal(&r, &e, 1, &err);
    references_deal(&other, &e, 2, &err);
    for (int i = 0; i < N; i++) {
        int fold = references_fold(&r, &pool.items[i]);
        size[fold]++;
        same += fold == references_fold(&other, &pool.items[i]);
        for (int j = 0; j < i; j++)
            split += same_prompt(&pool.items[i], &pool.items[j]) &&
                     fold != references_fold(&r, &pool.items[j]);
    }
    for (int f = 0; f < FOLDS_MOST; f++)
        CHECK(size[f] > 137 && size[f] < 263, "fold %d has %d of %d", f, size[f], N);
    CHECK(same < 300 && split == 0, "%d in the same fold by another seed, %d prompts in two", same,
          split);
    references_free(&r);
    references_free(&other);
    Examples few = {.count = 2, .items = e.items, .bos = e.bos, .bos_n = e.bos_n};
    CHECK(!references_deal(&r, &few, 1, &err) && err.status == STATUS_DATA, "two prompts: %s",
          err.text);
    references_free(&r);
    arena_free(&e.arena);
    arena_free(&pool.arena);
}

int main(void) {
    Model *m = random_model(4, CONTEXT);
    Workspace *ws = workspace_new();
    test_folds();
    test_seeds();
    test_spellings();
    test_few();
    test_scores(m, ws, true);
    test_scores(m, ws, false);
    test_order(m, ws);
    test_check(m, ws);
    test_trim(m, ws);
    test_references(m, ws, false);
    test_references(m, ws, true);
    test_dealing();
    workspace_free(ws);
    model_free(m);
    return check_report("test_holdout");
}
