/* Tests of ica: every method of the table, the rivals and preference pairs, against plain loops
 * over rows that run alone. A tag in brackets names the equation that a test is about. */
#include "ica.h"
#include "tests/unit/check.h"
#include "tests/reference/oracle.h"
#include "tests/unit/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { CONTEXT = 96 };

static bool close_to(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* ---- the other methods ---- */

/* [E15] RHO, and the rivals that are one log-likelihood. */
static void test_rivals(const World *w) {
    Examples pool = first_of(&w->pool, 40), none = {.bos = BOS_ROW, .bos_n = 1};
    Scores rho = {0}, loss = {0}, in = {0};
    for (int r = 0; r < 2; r++) {
        ScoreOptions how = {.method = METHOD_RHO, .k = 3, .reduce = r ? REDUCE_SUM : REDUCE_MEAN};
        ica_score(w->m, w->other, w->ws, &pool, &w->holdout, &how, &rho);
        how.method = METHOD_LOSS;
        ica_score(w->m, NULL, w->ws, &pool, &none, &how, &loss);
        how.method = METHOD_INCONTEXT;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &in);
        int bad[3] = {0}, nearest[3];
        for (int i = 0; i < pool.count; i++) {
            const Example *z = &pool.items[i];
            Demo demos[3];
            oracle_nearest(&w->holdout, z, 3, false, nearest);
            for (int d = 0; d < 3; d++)
                demos[d].prompt_of = demos[d].answer_of = &w->holdout.items[nearest[d]];
            double theta_t = reduced(how.reduce, logp_alone(w->m, w->ws, z), z->answer_n);
            double theta_ref = reduced(how.reduce, logp_alone(w->other, w->ws, z), z->answer_n);
            double inside = reduced(how.reduce, logp_by_hand(w->m, w->ws, demos, 3, z, false, NULL),
                                    z->answer_n);
            bad[0] +=
                !same_bits(rho.score[i], -theta_t - -theta_ref) || !isnan(rho.in_context.chosen[i]);
            bad[1] += !same_bits(loss.score[i], theta_t) || !isnan(loss.in_context.chosen[i]);
            bad[2] += !same_bits(in.score[i], inside) || !isnan(in.alone.chosen[i]);
            bad[2] += !isnan(in.alone.rejected[i]) ||
                      !isnan(in.in_context.rejected[i]); /* there are no pairs */
        }
        CHECK(bad[0] == 0, "[E15] %d of 40 RHO scores differ, reduce %d", bad[0], r);
        CHECK(bad[1] == 0, "%d of 40 loss scores differ, reduce %d", bad[1], r);
        CHECK(bad[2] == 0, "%d of 40 in-context scores differ, reduce %d", bad[2], r);
    }
    scores_free(&rho);
    scores_free(&loss);
    scores_free(&in);
}

static void test_random_scores(const World *w) {
    Examples none = {.bos = BOS_ROW, .bos_n = 1};
    ScoreOptions how = {.method = METHOD_RANDOM, .k = 3, .seed = 5};
    Scores a = {0}, b = {0};
    double mean = 0;
    int outside = 0, n = w->pool.count;
    ica_score(w->m, NULL, w->ws, &w->pool, &none, &how, &a);
    ica_score(w->m, NULL, w->ws, &w->pool, &none, &how, &b);
    for (int i = 0; i < n; i++) {
        outside += !(a.score[i] >= 0 && a.score[i] < 1);
        mean += a.score[i] / n;
    }
    CHECK(outside == 0 && mean > 0.4 && mean < 0.6, "random scores: %d outside [0, 1), mean %g",
          outside, mean);
    CHECK(memcmp(a.score, b.score, (size_t)n * sizeof(double)) == 0,
          "random: the same seed gives other scores");
    CHECK(a.cost.forward == 0 && isnan(a.alone.chosen[0]), "random scores need no model");
    how.seed = 6;
    ica_score(w->m, NULL, w->ws, &w->pool, &none, &how, &b);
    CHECK(a.score[0] != b.score[0] && a.score[1] != b.score[1],
          "random: another seed gives the same scores");
    scores_free(&a);
    scores_free(&b);
}

/* [E16] One term: logp(y_h | z, x_h) - logp(y_h | x_h), the candidate shown with its answer or its
 * rejected one. */
static double gain_of(const World *w, const Example *z, const Example *h, bool rejected,
                      Reduce how) {
    Example shown = *z;
    if (rejected) shown.answer = z->rejected, shown.answer_n = z->rejected_n;
    Demo demo = {&shown, &shown};
    double with = logp_by_hand(w->m, w->ws, &demo, 1, h, false, NULL),
           without = logp_alone(w->m, w->ws, h);
    return reduced(how, with, h->answer_n) - reduced(how, without, h->answer_n);
}

static void test_oneshot_nearest(const World *w) {
    enum { K = 8 }; /* gains fill their memory to its last byte: one read too many is noticed */
    Examples pool = first_of(&w->pool, 25);
    Scores oneshot = {0}, nuggets = {0};
    for (int r = 0; r < 2; r++) {
        ScoreOptions how = {.method = METHOD_ONESHOT,
                            .k = K,
                            .reduce = r ? REDUCE_SUM : REDUCE_MEAN,
                            .num_anchors = 1};
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &oneshot);
        how.method = METHOD_NUGGETS;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &nuggets);
        int bad = 0, bad_share = 0, between = 0, nearest[K];
        for (int i = 0; i < pool.count; i++) {
            double mean = 0, share = 0;
            int n = oracle_nearest(&w->holdout, &pool.items[i], K, false, nearest);
            for (int a = 0; a < n; a++) {
                double gain =
                    gain_of(w, &pool.items[i], &w->holdout.items[nearest[a]], false, how.reduce);
                mean += gain / K;
                share += (gain > 0) / (double)K;
            }
            bad += !close_to(oneshot.score[i], mean, 1e-12);
            bad_share += nuggets.score[i] != share;
            between += share > 0 && share < 1;
        }
        CHECK(bad == 0, "[E16] %d of 25 one-shot scores differ, reduce %d", bad, r);
        CHECK(bad_share == 0 && between > 0, "nuggets: %d of 25 differ, %d between 0 and 1",
              bad_share, between);
    }
    scores_free(&oneshot);
    scores_free(&nuggets);
}

/* The subsets of m of the 6 holdout examples whose mean gain is the score of all 8 candidates, as a
 * bit mask; 0 if none, -1 if several. */
static int anchors_of(double gain[8][6], const double *score, int m) {
    int found = 0;
    for (int set = 1; set < 64; set++) {
        int members = 0, fits = 0;
        for (int h = 0; h < 6; h++) members += set >> h & 1;
        for (int i = 0; i < 8 && members == m; i++) {
            double mean = 0;
            for (int h = 0; h < 6; h++) mean += (set >> h & 1) * gain[i][h] / m;
            fits += close_to(score[i], mean, 1e-12);
        }
        if (fits == 8) found = found ? -1 : set;
    }
    return found;
}

/* [E16] Random anchors: the same ones for every candidate, as many as asked, others with another
 * seed. */
static void test_oneshot_random(const World *w) {
    Examples pool = first_of(&w->pool, 8), holdout = first_of(&w->holdout, 6);
    Scores s = {0};
    int differ = 0, first = 0;
    double gain[8][6];
    for (int i = 0; i < 8; i++)
        for (int h = 0; h < 6; h++)
            gain[i][h] = gain_of(w, &pool.items[i], &holdout.items[h], false, REDUCE_MEAN);
    for (int m = 1; m <= 6; m++) {
        ScoreOptions how = {.method = METHOD_ONESHOT,
                            .k = 2,
                            .anchors = ANCHORS_RANDOM,
                            .num_anchors = m < 6 ? m : 100,
                            .seed = 4};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        int set = anchors_of(gain, s.score, m);
        CHECK(set > 0, "[E16] no %d anchors have these scores", m);
    }
    for (int seed = 0; seed < 6; seed++) {
        ScoreOptions how = {.method = METHOD_ONESHOT,
                            .k = 2,
                            .anchors = ANCHORS_RANDOM,
                            .num_anchors = 3,
                            .seed = (uint64_t)seed};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        int set = anchors_of(gain, s.score, 3);
        if (seed == 0) first = set;
        differ += set != first;
    }
    CHECK(differ > 0, "[E16] six seeds, one set of anchors");
    scores_free(&s);
}

static int anchor_length(const Example *h) {
    return h->prompt_n + (h->answer_n > h->rejected_n ? h->answer_n : h->rejected_n);
}

/* [E16] An anchor with the candidate's own prompt, or that does not fit after it, is left out of
 * the mean. Without any anchor the score is not known; without any asked for it is 0. */
static void test_oneshot_edges(const World *w) {
    Rng rng = rng_new(2, 2);
    Examples holdout = first_of(&w->holdout, 4), pool;
    examples_begin(&pool, 2);
    pool.items[0] = holdout.items[1];
    int shortest = CONTEXT, fit = 0; /* the shortest anchor fits to the token */
    for (int h = 0; h < 4; h++)
        shortest = anchor_length(&holdout.items[h]) < shortest ? anchor_length(&holdout.items[h])
                                                               : shortest;
    pool.items[1] = random_example(&pool.arena, &rng, CONTEXT - shortest - 4, 40, 2, 0);
    double want[2][2] = {{0}}; /* [leak][candidate] */
    for (int h = 0; h < 4; h++) {
        const Example *e = &holdout.items[h];
        for (int leak = 0; leak < 2; leak++)
            if (leak || h != 1)
                want[leak][0] += gain_of(w, &pool.items[0], e, false, REDUCE_MEAN) / (leak ? 4 : 3);
        if (anchor_length(e) > shortest) continue;
        fit++;
        for (int leak = 0; leak < 2; leak++)
            want[leak][1] += gain_of(w, &pool.items[1], e, false, REDUCE_MEAN);
    }
    for (int leak = 0; leak < 2; leak++) want[leak][1] /= fit;
    CHECK(fit > 0 && fit < 4, "%d of 4 anchors fit: one case is not tested", fit);
    for (int t = 0; t < 4; t++) {
        ScoreOptions how = {.method = METHOD_ONESHOT,
                            .k = 4,
                            .allow_overlap = t % 2,
                            .anchors = t / 2 ? ANCHORS_RANDOM : ANCHORS_NEAREST,
                            .num_anchors = 4};
        Scores s = {0};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        CHECK(close_to(s.score[0], want[t % 2][0], 1e-12),
              "[E16] own prompt, leak %d: %.17g, not %.17g", t % 2, s.score[0], want[t % 2][0]);
        CHECK(close_to(s.score[1], want[t % 2][1], 1e-12) && s.dropped == 4 - fit,
              "[E16] too long: %.17g, %d dropped", s.score[1], s.dropped);
        scores_free(&s);
    }
    Scores s = {0};
    Examples one = first_of(&holdout, 1),
             itself = {.count = 1, .items = &holdout.items[1], .bos = BOS_ROW, .bos_n = 1};
    for (int method = METHOD_ONESHOT; method <= METHOD_NUGGETS; method++)
        for (int t = 0; t < 2; t++) { /* no anchors; one anchor, which is the candidate */
            ScoreOptions how = {.method = (Method)method,
                                .k = 0,
                                .anchors = t ? ANCHORS_RANDOM : ANCHORS_NEAREST,
                                .num_anchors = 1};
            ica_score(w->m, NULL, w->ws, &pool, t ? &itself : &one, &how, &s);
            CHECK(t ? isnan(s.score[0]) : s.score[0] == 0, "[E16] method %d, %d anchors: score %g",
                  method, t, s.score[0]);
        }
    scores_free(&s);
    arena_free(&pool.arena);
}

/* ---- the gradient rival ---- */

/* grad += d l(z) / d parameters times `factor`, rows one at a time, from the loss's definition. */
static void add_gradient(const World *w, const ScoreOptions *how, const Example *z, Logps reference,
                         int i, double factor, real *grad) {
    double d[2] = {-1.0 / z->answer_n, 0}, logp;
    bool pairs = how->objective != OBJECTIVE_SFT;
    if (pairs) {
        double logp_w = logp_alone(w->m, w->ws, z),
               logp_l = logp_by_hand(w->m, w->ws, NULL, 0, z, true, NULL);
        double by_w =
            how->objective == OBJECTIVE_DPO ? how->pair.beta : how->pair.beta / z->answer_n;
        double by_l =
            how->objective == OBJECTIVE_DPO ? how->pair.beta : how->pair.beta / z->rejected_n;
        double shift = how->objective == OBJECTIVE_DPO
                           ? how->pair.beta * (reference.rejected[i] - reference.chosen[i])
                           : -how->pair.beta * how->pair.gamma_beta_ratio;
        double dz = -1 / (1 + exp(by_w * logp_w - by_l * logp_l + shift)); /* of -log sigmoid(z) */
        d[0] = dz * by_w;
        d[1] = -dz * by_l;
    }
    for (int a = 0; a < 1 + pairs; a++) {
        Batch b = {0};
        IntBuf row = {0};
        ints_put(&row, BOS);
        put_all(&row, z->prompt, z->prompt_n);
        int first = row.n;
        put_all(&row, a ? z->rejected : z->answer, a ? z->rejected_n : z->answer_n);
        batch_row(&b, row.v, row.n, first, NULL);
        d[a] *= factor;
        model_forward_backward(w->m, w->ws, &b, &d[a], &logp, grad, true);
        batch_free(&b);
        ints_free(&row);
    }
}

/* [E14] <grad l(z), grad L(D_ho)>, with every gradient written out; more examples than the program
 * takes at once. */
static void test_gradient(const World *w, Objective objective) {
    Examples pool = first_of(&w->pool, 36);
    double *logp[4]; /* pool chosen, rejected, holdout chosen, rejected: by the other model */
    for (int i = 0; i < 4; i++) logp[i] = mem_new(64, sizeof(double));
    ica_answer_logps(w->other, w->ws, &pool, (Logps){logp[0], logp[1]}, NULL);
    ica_answer_logps(w->other, w->ws, &w->holdout, (Logps){logp[2], logp[3]}, NULL);
    ScoreOptions how = {.method = METHOD_GRADIENT,
                        .k = 3,
                        .objective = objective,
                        .pair = {.beta = 0.3, .gamma_beta_ratio = 0.5},
                        .pool_reference = {logp[0], logp[1]},
                        .holdout_reference = {logp[2], logp[3]}};
    size_t n = w->m->parameters;
    real *mean = mem_new(n, sizeof *mean), *own = mem_new(n, sizeof *own);
    Scores s = {0};
    ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
    for (int h = 0; h < w->holdout.count; h++)
        add_gradient(w, &how, &w->holdout.items[h], how.holdout_reference, h,
                     1.0 / w->holdout.count, mean);
    int bad = 0;
    for (int i = 0; i < pool.count; i++) {
        double dot = 0, aa = 0, bb = 0;
        memset(own, 0, n * sizeof *own);
        add_gradient(w, &how, &pool.items[i], how.pool_reference, i, 1, own);
        for (size_t j = 0; j < n; j++) {
            dot += (double)own[j] * (double)mean[j];
            aa += (double)own[j] * (double)own[j];
            bb += (double)mean[j] * (double)mean[j];
        }
        bad += !(fabs(s.score[i] - dot) <= (sizeof(real) == 4 ? 1e-5 : 1e-12) * sqrt(aa * bb));
    }
    CHECK(bad == 0, "[E14] objective %d: %d of 36 gradient products differ", (int)objective, bad);
    CHECK(s.cost.backward > 0 && s.cost.forward == s.cost.backward, "[E14] cost %g %g",
          s.cost.forward, s.cost.backward);
    scores_free(&s);
    free(mean);
    free(own);
    for (int i = 0; i < 4; i++) free(logp[i]);
}

/* [E14] A pair of two equal answers has no gradient: exactly none, so that a holdout of such pairs
 * gives scores of exactly 0.
 */
static void test_gradient_of_nothing(const World *w) {
    Examples pool = first_of(&w->pool, 5), holdout = first_of(&w->holdout, 5);
    Example same[5];
    Scores s = {0};
    for (int i = 0; i < 5; i++) {
        same[i] = holdout.items[i];
        same[i].rejected = same[i].answer;
        same[i].rejected_n = same[i].answer_n;
    }
    holdout.items = same;
    for (int objective = OBJECTIVE_DPO; objective <= OBJECTIVE_SIMPO; objective++) {
        ScoreOptions how = {.method = METHOD_GRADIENT,
                            .objective = (Objective)objective,
                            .pair = {.beta = 1, .gamma_beta_ratio = 0.5}};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        for (int i = 0; i < 5; i++)
            CHECK(s.score[i] == 0, "[E14] equal answers: a gradient product of %g", s.score[i]);
    }
    scores_free(&s);
}

/* ---- preference pairs ---- */

/* Everything about one pair by hand, token sums: [0] chosen, [1] rejected. */
typedef struct {
    double base[2], inside[2], reference[2];
} PairByHand;

static PairByHand pair_by_hand(const World *w, const Example *z, int k) {
    PairByHand p;
    Demo demos[3];
    int nearest[3], n = oracle_nearest(&w->holdout, z, k, false, nearest);
    for (int d = 0; d < n; d++)
        demos[d].prompt_of = demos[d].answer_of = &w->holdout.items[nearest[d]];
    for (int a = 0; a < 2; a++) {
        p.base[a] = logp_by_hand(w->m, w->ws, NULL, 0, z, a, NULL);
        p.inside[a] = logp_by_hand(w->m, w->ws, demos, n, z, a, NULL);
        p.reference[a] = logp_by_hand(w->other, w->ws, NULL, 0, z, a, NULL);
    }
    return p;
}

/* [E7a] [E15] and the rivals on pairs are differences of margins. */
static void test_pair_margins(const World *w) {
    Examples pool = first_of(&w->pool, 30);
    ScoreOptions how = {.k = 3,
                        .objective = OBJECTIVE_DPO,
                        .reduce = REDUCE_SUM,
                        .pair_score = PAIR_MARGIN,
                        .pair = {.beta = 0.1}};
    const Method methods[4] = {METHOD_ICA, METHOD_RHO, METHOD_INCONTEXT, METHOD_LOSS};
    static const char *const names[4] = {"[E7a] margin", "[E15] RHO on pairs",
                                         "in context on pairs", "loss on pairs"};
    for (int t = 0; t < 4; t++) {
        Scores s = {0};
        int bad = 0;
        how.method = methods[t];
        ica_score(w->m, w->other, w->ws, &pool, &w->holdout, &how, &s);
        for (int i = 0; i < pool.count; i++) {
            PairByHand p = pair_by_hand(w, &pool.items[i], 3);
            double margin = p.base[0] - p.base[1], inside = p.inside[0] - p.inside[1],
                   reference = p.reference[0] - p.reference[1];
            double want[4] = {inside - margin, reference - margin, inside, margin};
            bad += !close_to(s.score[i], want[t], 1e-12);
            if (t != 2)
                bad += !same_bits(s.alone.chosen[i], p.base[0]) ||
                       !same_bits(s.alone.rejected[i], p.base[1]);
            if (t % 2 == 0)
                bad += !same_bits(s.in_context.chosen[i], p.inside[0]) ||
                       !same_bits(s.in_context.rejected[i], p.inside[1]);
        }
        CHECK(bad == 0, "%s: %d values differ", names[t], bad);
        scores_free(&s);
    }
}

/* [E16] One-shot on pairs: the pair shown with its chosen answer minus shown with its rejected one.
 */
static void test_pair_oneshot(const World *w) {
    Examples pool = first_of(&w->pool, 10);
    ScoreOptions how = {
        .method = METHOD_ONESHOT, .k = 3, .objective = OBJECTIVE_SIMPO, .reduce = REDUCE_SUM};
    Scores s = {0};
    int bad = 0, nearest[3];
    ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
    for (int i = 0; i < pool.count; i++) {
        double want = 0;
        oracle_nearest(&w->holdout, &pool.items[i], 3, false, nearest);
        for (int a = 0; a < 3; a++)
            for (int rejected = 0; rejected < 2; rejected++)
                want += (rejected ? -1 : 1) *
                        gain_of(w, &pool.items[i], &w->holdout.items[nearest[a]], rejected,
                                REDUCE_SUM) /
                        3;
        bad += !close_to(s.score[i], want, 1e-9);
    }
    CHECK(bad == 0, "[E16] %d of 10 one-shot scores of pairs differ", bad);
    scores_free(&s);
}

/* -log sigmoid(z), for moderate z. */
static double plain_loss(double z) { return log(1 + exp(-z)); }

/* [E7b] The drop of the pair's loss. At DPO's start, where the model is its own reference, it is
 * log 2 + log sigmoid(beta margin). */
static void test_pair_loss_score(const World *w) {
    Examples pool = first_of(&w->pool, 30);
    double chosen[30], rejected[30], zero[30] = {0};
    ica_answer_logps(w->m, w->ws, &pool, (Logps){chosen, rejected}, NULL);
    for (int t = 0; t < 3; t++) { /* DPO at its start, DPO with another reference (0), SimPO */
        ScoreOptions how = {.method = METHOD_ICA,
                            .k = 3,
                            .objective = t < 2 ? OBJECTIVE_DPO : OBJECTIVE_SIMPO,
                            .pair_score = PAIR_LOSS,
                            .reduce = t == 1 ? REDUCE_MEAN : REDUCE_SUM,
                            .pair = {.beta = 0.1, .gamma_beta_ratio = 0.5},
                            .pool_reference = {t ? zero : chosen, t ? zero : rejected}};
        Scores s = {0};
        int bad = 0;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
        for (int i = 0; i < pool.count; i++) {
            const Example *z = &pool.items[i];
            PairByHand p = pair_by_hand(w, z, 3);
            double by_w = 0.1 / (t < 2 ? 1 : z->answer_n), by_l = 0.1 / (t < 2 ? 1 : z->rejected_n),
                   shift = t < 2 ? 0 : 0.05;
            double want = plain_loss(by_w * p.base[0] - by_l * p.base[1] - shift) -
                          plain_loss(by_w * p.inside[0] - by_l * p.inside[1] - shift);
            if (t == 0)
                want = log(2.0) -
                       plain_loss(0.1 * (p.inside[0] - p.inside[1] - (p.base[0] - p.base[1])));
            bad += !close_to(s.score[i], want, 1e-12);
        }
        CHECK(bad == 0, "[E7b] case %d: %d of 30 scores differ", t, bad);
        how.method = METHOD_LOSS; /* SimPO's rival: minus the loss itself */
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
        double simpo = plain_loss(0.1 * chosen[4] / pool.items[4].answer_n -
                                  0.1 * rejected[4] / pool.items[4].rejected_n - 0.05);
        if (t == 2)
            CHECK(close_to(s.score[4], -simpo, 1e-12), "loss on pairs, SimPO: %g, not %g",
                  s.score[4], -simpo);
        scores_free(&s);
    }
}

/* ---- objectives ---- */

/* [E11] [E12] Against the oracle, derivatives against central differences. */
static void test_pair_objectives(void) {
    Rng rng = rng_new(11, 12);
    for (int trial = 0; trial < 40; trial++) {
        Objective which = trial % 2 ? OBJECTIVE_SIMPO : OBJECTIVE_DPO;
        double u[6];
        for (int i = 0; i < 6; i++) u[i] = rng_uniform(&rng);
        PairOptions o = {.beta = 0.1 + u[0],
                         .gamma_beta_ratio = u[1],
                         .label_smoothing = trial % 4 < 2 ? 0 : 0.1};
        PairLogps p = {-20 * u[2], -20 * u[3],    -20 * u[4],
                       -20 * u[5], 1 + trial % 9, 1 + trial % 7};
        double w = o.beta * (p.chosen - p.chosen_reference),
               l = o.beta * (p.rejected - p.rejected_reference);
        if (which == OBJECTIVE_SIMPO) {
            w = o.beta / p.chosen_tokens * p.chosen;
            l = o.beta / p.rejected_tokens * p.rejected;
        }
        double h = 1e-5, want = oracle_pair(which, &o, &p).loss;
        PairGradient g;
        double loss = objective_pair(which, &o, &p, &g);
        CHECK(close_to(loss, want, 1e-12), "[E11] [E12] trial %d: loss %.17g, not %.17g", trial,
              loss, want);
        CHECK(loss == (which == OBJECTIVE_DPO ? objective_dpo(&o, &p, NULL)
                                              : objective_simpo(&o, &p, NULL)),
              "the pair's objective");
        CHECK(close_to(g.reward_chosen, w, 1e-12) && close_to(g.reward_rejected, l, 1e-12),
              "rewards %g %g", g.reward_chosen, g.reward_rejected);
        PairLogps up = p, down = p;
        up.chosen += h;
        down.chosen -= h;
        double d = (objective_pair(which, &o, &up, NULL) - objective_pair(which, &o, &down, NULL)) /
                   (2 * h);
        CHECK(fabs(d - g.d_chosen) < 1e-8, "[E11] [E12] trial %d: derivative %g, not %g", trial,
              g.d_chosen, d);
        up = down = p;
        up.rejected += h;
        down.rejected -= h;
        d = (objective_pair(which, &o, &up, NULL) - objective_pair(which, &o, &down, NULL)) /
            (2 * h);
        CHECK(fabs(d - g.d_rejected) < 1e-8, "[E11] [E12] trial %d: derivative %g, not %g", trial,
              g.d_rejected, d);
    }
}

/* Where exp overflows; DPO's first step; answers that are the same tokens. */
static void test_pair_edges(void) {
    PairOptions o = {.beta = 1};
    PairLogps far = {-1, -2000, 0, 0, 3, 3}, wrong = {-2000, -1, 0, 0, 3, 3},
              start = {-5, -7, -5, -7, 2, 3};
    PairGradient g;
    CHECK(objective_dpo(&o, &far, &g) == 0 && g.d_chosen == 0, "[E11] a certain pair has no loss");
    CHECK(close_to(objective_dpo(&o, &wrong, &g), 1999, 1e-12) && g.d_chosen == -1 &&
              g.d_rejected == 1,
          "[E11] a wrong pair's loss is linear");
    CHECK(close_to(objective_dpo(&o, &start, &g), log(2.0), 1e-15) && g.d_chosen == -0.5,
          "[E11] the first loss is log 2");
    static const int a[] = {5, 6, 3}, b[] = {5, 6, 3}, c[] = {5, 7, 3};
    CHECK(same_answers(&(Example){.answer = a, .answer_n = 3, .rejected = b, .rejected_n = 3}),
          "equal answers");
    CHECK(!same_answers(&(Example){.answer = a, .answer_n = 3, .rejected = c, .rejected_n = 3}) &&
              !same_answers(&(Example){.answer = a, .answer_n = 3, .rejected = b, .rejected_n = 2}),
          "different answers");
}

/* ---- every method of the table, by rows one at a time ---- */

/* What a method's score is, from rows run alone, demonstrations by the oracle, and explicit
 * gradients. A pair's sides are its chosen and its rejected answer. */
typedef struct {
    const World *w;
    const ScoreOptions *how;
    const Example *z;
    int index, sides;
} Case;

/* The reduced log-likelihood of one side by a model, after the k nearest holdout examples. */
static double side_logp(const Case *c, const Model *m, int k, int side) {
    Demo demos[8];
    int nearest[8], n = oracle_nearest(&c->w->holdout, c->z, k, false, nearest);
    for (int d = 0; d < n; d++)
        demos[d].prompt_of = demos[d].answer_of = &c->w->holdout.items[nearest[d]];
    double logp = logp_by_hand(m, c->w->ws, demos, n, c->z, side == 1, NULL);
    return reduced(c->how->reduce, logp, side ? c->z->rejected_n : c->z->answer_n);
}

/* Chosen minus rejected; of a single answer, the answer's. */
static double contrast(const Case *c, const Model *m, int k) {
    return side_logp(c, m, k, 0) - (c->sides == 2 ? side_logp(c, m, k, 1) : 0);
}

/* By how much the candidate helps its nearest anchors, and which share of them. */
static void anchor_gains(const Case *c, double *mean, double *share) {
    int nearest[8], n = oracle_nearest(&c->w->holdout, c->z, c->how->k, false, nearest);
    *mean = *share = 0;
    for (int a = 0; a < n; a++) {
        const Example *h = &c->w->holdout.items[nearest[a]];
        double gain = gain_of(c->w, c->z, h, false, c->how->reduce);
        if (c->sides == 2) gain -= gain_of(c->w, c->z, h, true, c->how->reduce);
        *mean += gain / n;
        *share += (gain > 0) / (double)n;
    }
}

static double plain_ica(const Case *c) {
    return contrast(c, c->w->m, c->how->k) - contrast(c, c->w->m, 0);
}
static double plain_rho(const Case *c) {
    return contrast(c, c->w->other, 0) - contrast(c, c->w->m, 0);
}
static double plain_oneshot(const Case *c) {
    double mean, share;
    anchor_gains(c, &mean, &share);
    return mean;
}
static double plain_nuggets(const Case *c) {
    double mean, share;
    anchor_gains(c, &mean, &share);
    return share;
}
static double plain_incontext(const Case *c) { return contrast(c, c->w->m, c->how->k); }
static double plain_low_loss(const Case *c) {
    const PairOptions *o = &c->how->pair;
    if (c->how->objective != OBJECTIVE_SIMPO) return contrast(c, c->w->m, 0);
    double w = logp_by_hand(c->w->m, c->w->ws, NULL, 0, c->z, false, NULL) / c->z->answer_n;
    double l = logp_by_hand(c->w->m, c->w->ws, NULL, 0, c->z, true, NULL) / c->z->rejected_n;
    return -plain_loss(o->beta * (w - l) - o->beta * o->gamma_beta_ratio);
}
static double plain_random(const Case *c) {
    Rng rng = rng_new(c->how->seed, RNG_RANDOM_SCORE);
    double x = 0;
    for (int i = 0; i <= c->index; i++) x = rng_uniform(&rng);
    return x;
}
static double plain_gradient(const Case *c) {
    size_t n = c->w->m->parameters;
    real *mean = mem_new(n, sizeof *mean), *own = mem_new(n, sizeof *own);
    double dot = 0;
    for (int h = 0; h < c->w->holdout.count; h++)
        add_gradient(c->w, c->how, &c->w->holdout.items[h], c->how->holdout_reference, h,
                     1.0 / c->w->holdout.count, mean);
    add_gradient(c->w, c->how, c->z, c->how->pool_reference, c->index, 1, own);
    for (size_t i = 0; i < n; i++) dot += (double)own[i] * (double)mean[i];
    free(mean);
    free(own);
    bool sum = c->how->reduce == REDUCE_SUM && c->how->objective == OBJECTIVE_SFT;
    return sum ? dot * c->z->answer_n : dot;
}

/* A new method needs its row here: its score in plain loops. */
static double (*const PLAIN[METHOD_COUNT])(const Case *c) = {
    [METHOD_ICA] = plain_ica,           [METHOD_RHO] = plain_rho,
    [METHOD_ONESHOT] = plain_oneshot,   [METHOD_NUGGETS] = plain_nuggets,
    [METHOD_GRADIENT] = plain_gradient, [METHOD_INCONTEXT] = plain_incontext,
    [METHOD_LOSS] = plain_low_loss,     [METHOD_RANDOM] = plain_random};

/* [E5] [E7a] [E14] [E15] [E16] Every method with every objective and reduction. Log-likelihoods
 * have the same bits on both sides, so only the order of a few sums differs: 1e-12. Gradients are
 * sums of some 30,000 products of the working precision: 1e-4 of the score in float, 1e-10 in
 * double. */
static void test_every_method(const World *world) {
    enum { N = 5, K = 3 };
    World w = *world;
    w.pool = first_of(&world->pool, N);
    w.holdout = first_of(&world->holdout, 12);
    double logp[4][12];
    ica_answer_logps(w.other, w.ws, &w.pool, (Logps){logp[0], logp[1]}, NULL);
    ica_answer_logps(w.other, w.ws, &w.holdout, (Logps){logp[2], logp[3]}, NULL);
    for (int m = 0; m < METHOD_COUNT; m++) {
        const MethodInfo *method = &METHODS[m];
        bool complete = method->name && method->help && method->answer && method->pair;
        CHECK(complete && PLAIN[m], "method %d (%s): its row in METHODS, or in PLAIN, is missing",
              m, complete ? method->name : "?");
        if (!complete || !PLAIN[m]) continue;
        for (int t = 0; t < (int)OBJECTIVE_COUNT * (int)REDUCE_COUNT; t++) {
            ScoreOptions how = {.method = (Method)m,
                                .objective = (Objective)(t / REDUCE_COUNT),
                                .reduce = (Reduce)(t % REDUCE_COUNT),
                                .k = K,
                                .seed = 11,
                                .pair = {.beta = 0.3, .gamma_beta_ratio = 0.5},
                                .pool_reference = {logp[0], logp[1]},
                                .holdout_reference = {logp[2], logp[3]}};
            Scores s = {0};
            int bad = 0;
            ica_score(w.m, w.other, w.ws, &w.pool, &w.holdout, &how, &s);
            for (int i = 0; i < N; i++) {
                Case c = {&w, &how, &w.pool.items[i], i, OBJECTIVES[how.objective].pairs ? 2 : 1};
                double tolerance = !method->needs_gradients ? 1e-12
                                   : sizeof(real) == 4      ? 1e-4
                                                            : 1e-10;
                bad += !close_to(s.score[i], PLAIN[m](&c), tolerance);
            }
            CHECK(bad == 0, "method %s, objective %s, reduction %s: %d of %d scores differ",
                  method->name, OBJECTIVES[how.objective].name, REDUCTIONS[how.reduce].name, bad,
                  N);
            scores_free(&s);
        }
    }
}

/* Every table of choices has a row of its own name for each value. */
static void check_names(const void *table, size_t stride, int count, const char *what) {
    for (int i = 0; i < count; i++) {
        const Choice *row =
            (const Choice *)(const void *)((const char *)table + (size_t)i * stride);
        CHECK(row->name && row->help, "%s %d has no row", what, i);
        for (int j = 0; j < i && row->name; j++) {
            const Choice *other =
                (const Choice *)(const void *)((const char *)table + (size_t)j * stride);
            CHECK(strcmp(row->name, other->name) != 0, "%s: two rows are called %s", what,
                  row->name);
        }
    }
}

static void test_tables(void) {
    check_names(METHODS, sizeof *METHODS, METHOD_COUNT, "method");
    check_names(OBJECTIVES, sizeof *OBJECTIVES, OBJECTIVE_COUNT, "objective");
    check_names(DEMO_CHOICES, sizeof *DEMO_CHOICES, DEMO_COUNT, "choice of demonstrations");
    check_names(REDUCTIONS, sizeof *REDUCTIONS, REDUCE_COUNT, "reduction");
    check_names(PAIR_SCORES, sizeof *PAIR_SCORES, PAIR_SCORE_COUNT, "pair score");
    check_names(ANCHOR_CHOICES, sizeof *ANCHOR_CHOICES, ANCHORS_COUNT, "choice of anchors");
    for (int d = 0; d < DEMO_COUNT; d++)
        CHECK(DEMO_CHOICES[d].choose, "demonstrations %d: no function", d);
    for (int o = 0; o < OBJECTIVE_COUNT; o++)
        CHECK(OBJECTIVES[o].pairs == (OBJECTIVES[o].pair != NULL), "objective %d: pairs and loss",
              o);
    CHECK(method_needs_k(METHOD_ICA, ANCHORS_RANDOM) &&
              method_needs_k(METHOD_ONESHOT, ANCHORS_NEAREST) &&
              !method_needs_k(METHOD_ONESHOT, ANCHORS_RANDOM) &&
              !method_needs_k(METHOD_RHO, ANCHORS_NEAREST),
          "which methods take k");
}

int main(void) {
#ifdef _OPENMP
    /* Thousands of tiny rows: waking threads costs more than it saves. One test takes more. */
    omp_set_num_threads(1);
#endif
    World w = topic_world(1, CONTEXT);
    test_tables();
    test_every_method(&w);
    test_rivals(&w);
    test_random_scores(&w);
    test_oneshot_nearest(&w);
    test_oneshot_random(&w);
    test_oneshot_edges(&w);
    for (int objective = OBJECTIVE_SFT; objective <= OBJECTIVE_SIMPO; objective++)
        test_gradient(&w, (Objective)objective);
    test_gradient_of_nothing(&w);
    test_pair_margins(&w);
    test_pair_oneshot(&w);
    test_pair_loss_score(&w);
    test_pair_objectives();
    test_pair_edges();
    world_free(&w);
    return check_report("test_methods");
}
