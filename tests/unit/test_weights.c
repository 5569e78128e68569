/* weights: every map against the oracle and by hand, and the factors of a batch's losses. A tag in
 * brackets names the equation that a test is about. */
#include "lib/weights.h"
#include "lib/stats.h"
#include "tests/reference/oracle.h"
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool close_to(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* Every value has a row with a name of its own, help, and a function. */
static void test_tables(void) {
    for (int m = 0; m < MAP_COUNT; m++) {
        CHECK(MAPS[m].name && MAPS[m].help && MAPS[m].weights, "map %d: its row is not complete",
              m);
        for (int other = 0; other < m && MAPS[m].name; other++)
            CHECK(strcmp(MAPS[m].name, MAPS[other].name) != 0, "two maps are called %s",
                  MAPS[m].name);
    }
    for (int n = 0; n < NORMALIZATION_COUNT; n++)
        CHECK(NORMALIZATIONS[n].name && NORMALIZATIONS[n].help, "normalization %d has no row", n);
    CHECK(strcmp(MAPS[MAP_SOFTMAX].name, "softmax") == 0 && MAPS[MAP_MINMAX_BATCH].of_batch &&
              strcmp(NORMALIZATIONS[NORMALIZE_MICRO].name, "micro") == 0,
          "a row stands at another value's place");
}

/* ---- [E8] weights ---- */

/* Scores of kind 0: spread; 1: many ties; 2: all equal; 3: one outlier. */
static void random_scores(Rng *rng, double *score, int n, int kind) {
    for (int i = 0; i < n; i++) {
        double x = rng_normal(rng);
        score[i] = kind == 1 ? floor(2 * x) / 2 : kind == 2 ? 0.1 : x;
    }
    if (kind == 3) score[rng_below(rng, n)] = 1e4;
}

static void test_maps_random(void) {
    static const int sizes[] = {1, 2, 3, 10, 41, 100};
    Rng rng = rng_new(8, 0);
    for (int map = 0; map < MAP_COUNT; map++)
        for (int t = 0; t < 24; t++) {
            double u = rng_uniform(&rng);
            double score[100], weight[100], likelihood[100], factor = 1, most = 0;
            MapOptions o = {.temperature = 0.3 + u, .share = u, .clip = 0.05 + 0.1 * u};
            o.threshold[0] = o.threshold[1] = u - 0.5;
            o.slope = t % 4 == 3 ? 0 : 2 * u; /* with the outlier the oracle would overflow */
            for (int i = 0; i < 100; i++) likelihood[i] = rng_normal(&rng);
            if (t % 2) o.likelihood = likelihood;
            int n = sizes[t / 4], bad = 0;
            random_scores(&rng, score, n, t % 4);
            map_weights((WeightMap)map, &o, score, n, weight);
            if (map == MAP_SOFTMAX) { /* up to a common factor; the largest weight is 1 */
                factor = weight[0] / oracle_weight(MAP_SOFTMAX, &o, score, n, 0);
                if (!(weight[0] > 1e-200)) continue; /* the outlier took all */
                for (int i = 0; i < n; i++) most = fmax(most, weight[i]);
                CHECK(most == 1, "softmax: the largest weight is %g", most);
            }
            for (int i = 0; i < n; i++)
                bad += !close_to(weight[i], factor * oracle_weight((WeightMap)map, &o, score, n, i),
                                 1e-11) ||
                       !(weight[i] >= 0);
            CHECK(bad == 0, "[E8] map %s, %d scores of kind %d: %d weights differ", MAPS[map].name,
                  n, t % 4, bad);
        }
}

static void test_minmax(void) {
    static const double score[4] = {3, 1, 5, 2}, equal[3] = {0.1, 0.1, 0.1};
    double w[4], batch[2];
    MapOptions o = {0};
    map_weights(MAP_MINMAX, &o, score, 4, w);
    CHECK(w[0] == 0.5 && w[1] == 0 && w[2] == 1 && w[3] == 0.25, "[E8] %g %g %g %g", w[0], w[1],
          w[2], w[3]);
    map_weights(MAP_MINMAX_BATCH, &o, score, 2, batch); /* over the two given, not over the pool */
    CHECK(batch[0] == 1 && batch[1] == 0, "[E8] batch %g %g", batch[0], batch[1]);
    for (int map = MAP_MINMAX; map <= MAP_CLIP; map++) {
        map_weights((WeightMap)map, &(MapOptions){.clip = 0.05}, equal, 3, w);
        CHECK(w[0] == 1 && w[1] == 1 && w[2] == 1, "[E8] map %d: equal scores weigh %g", map, w[0]);
        map_weights((WeightMap)map, &(MapOptions){.clip = 0.05}, score, 1, w);
        CHECK(w[0] == 1, "[E8] map %d: a single score weighs %g", map, w[0]);
    }
    map_weights(MAP_MINMAX, &o, score, 0, w); /* nothing to do, nothing read */
}

/* Trap 5: one outlier squeezes all other weights of E8; the effective sample size shows it,
 * clipping and ranks do not care. */
static void test_outlier(void) {
    double score[41], minmax[41], clip[41], rank[41];
    MapOptions o = {.clip = 0.05};
    for (int i = 0; i < 41; i++) score[i] = i < 40 ? i : -1e6;
    map_weights(MAP_MINMAX, &o, score, 41, minmax);
    map_weights(MAP_CLIP, &o, score, 41, clip);
    map_weights(MAP_RANK, &o, score, 41, rank);
    CHECK(minmax[0] > 0.99 && minmax[39] == 1 && minmax[40] == 0, "[E8] outlier: %g %g %g",
          minmax[0], minmax[39], minmax[40]);
    CHECK(effective_sample_size(minmax, 41) > 39.9, "[E18] squeezed together: %g",
          effective_sample_size(minmax, 41));
    /* the percentiles lie at the third value and the third from the end: 1 and 37 */
    CHECK(clip[40] == 0 && clip[0] == 0 && clip[1] == 0 && close_to(clip[2], 1.0 / 36, 1e-12) &&
              clip[37] == 1 && clip[39] == 1 && close_to(clip[36], 35.0 / 36, 1e-12),
          "clip: %g %g %g", clip[1], clip[2], clip[36]);
    CHECK(rank[40] == 0 && rank[0] == 1 / 40.0 && rank[39] == 1, "rank: %g %g", rank[0], rank[39]);
    for (int i = 0; i < 41; i++)
        score[i] = i == 3 ? -5 : i == 4 ? 7 : 0; /* both percentiles are 0 */
    map_weights(MAP_CLIP, &o, score, 41, clip);
    CHECK(clip[3] == 0 && clip[4] == 1 && clip[0] == 1, "clip with equal percentiles: %g %g %g",
          clip[3], clip[4], clip[0]);
}

static void test_other_maps(void) {
    static const double ties[5] = {2, 1, 2, 0, 2}, signs[4] = {-1, 0, 0.5, 2};
    double score[10], w[10], v[10];
    MapOptions o = {.temperature = 0.5, .share = 0.5};
    map_weights(MAP_RANK, &o, ties, 5, w);
    CHECK(w[0] == 0.75 && w[1] == 0.25 && w[2] == 0.75 && w[3] == 0, "rank with ties: %g %g %g %g",
          w[0], w[1], w[2], w[3]);
    map_weights(MAP_POSITIVE, &o, signs, 4, w);
    CHECK(w[0] == 0 && w[1] == 0 && w[2] == 0.5 && w[3] == 2, "positive: %g %g %g %g", w[0], w[1],
          w[2], w[3]);
    map_weights(MAP_FILTER, &o, signs, 4, w);
    CHECK(w[0] == 0 && w[1] == 0 && w[2] == 1 && w[3] == 1, "filter: %g %g %g %g", w[0], w[1], w[2],
          w[3]);
    for (int i = 0; i < 10; i++) score[i] = i % 3 == 0; /* four ones, six zeros */
    for (int keep = 0; keep <= 10; keep++) {
        double sum = 0;
        int wrong = 0, most = keep ? keep : 1;
        o.share = keep / 10.0;
        map_weights(MAP_TOP, &o, score, 10, w);
        for (int i = 0; i < 10; i++) {
            sum += w[i];
            wrong += w[i] != 0 && w[i] != 1;
            for (int j = 0; j < 10; j++)
                wrong += w[i] < w[j] && (score[i] > score[j] || (score[i] == score[j] && i < j));
        }
        CHECK(sum == most && wrong == 0, "top %d of 10: kept %g, %d out of order", keep, sum,
              wrong);
    }
    for (int i = 0; i < 10; i++) score[i] = i * i;
    map_weights(MAP_SOFTMAX, &o, score, 10, w);
    for (int i = 0; i < 10; i++) score[i] = 3 * score[i] + 1000;
    map_weights(MAP_SOFTMAX, &o, score, 10, v);
    for (int i = 0; i < 10; i++)
        CHECK(close_to(v[i], w[i], 1e-10), "softmax of standardized scores depends on their scale");
}

/* ---- [E9] coefficients ---- */

static void test_coefficients(void) {
    static const double w[8] = {0.5, 0, 2, 1, 0.25, 3, 0, 0.1};
    double c[8];
    int bad[5] = {0};
    double all = 0, in_micro[3] = {0};
    for (int i = 0; i < 8; i++) {
        all += w[i];
        in_micro[i / 3] += w[i];
    }
    CHECK(loss_coefficients(NORMALIZE_BATCH, w, NULL, 8, 3, c), "W > 0");
    for (int i = 0; i < 8; i++) bad[0] += !close_to(c[i], w[i] / all, 1e-15);
    CHECK(loss_coefficients(NORMALIZE_COUNT, w, NULL, 8, 3, c), "W > 0");
    for (int i = 0; i < 8; i++) bad[1] += c[i] != w[i] / 8;
    CHECK(loss_coefficients(NORMALIZE_NONE, w, NULL, 8, 3, c), "W > 0");
    for (int i = 0; i < 8; i++) bad[2] += c[i] != w[i];
    CHECK(loss_coefficients(NORMALIZE_MICRO, w, NULL, 8, 3, c),
          "W > 0"); /* micro-batches of 3, 3 and 2 */
    for (int i = 0; i < 8; i++)
        bad[3] += !close_to(c[i], w[i] / in_micro[i / 3] * (i < 6 ? 3 : 2) / 8, 1e-15);
    loss_coefficients(NORMALIZE_MICRO, w, NULL, 8, 100, c);
    for (int i = 0; i < 8; i++) bad[4] += !close_to(c[i], w[i] / all, 1e-15);
    CHECK(bad[0] + bad[1] + bad[2] + bad[3] + bad[4] == 0,
          "[E9] batch %d, count %d, none %d, micro %d, one micro-batch %d differ", bad[0], bad[1],
          bad[2], bad[3], bad[4]);
    /* Those of 0 go out, and the others keep their order. */
    int example[8] = {7, 6, 5, 4, 3, 2, 1, 0}, kept = weighted_first(example, c, 8);
    for (int i = 0, n = 0; i < 8; i++)
        if (w[i] > 0) bad[0] += example[n] != 7 - i || !close_to(c[n], w[i] / all, 1e-15), n++;
    CHECK(kept == 6 && bad[0] == 0, "%d of 6 have a weight", kept);
    CHECK(weighted_first(example, (double[2]){0}, 2) == 0, "none has");
}

/* The token mean: sum_i w_i (token sum of i's loss) / sum_i w_i n_i, whatever the micro-batches.
 * With weights of 1 it is Hugging Face's: all answers' losses over num_items_in_batch. */
static void test_token_mean(void) {
    static const double w[5] = {0.5, 0, 2, 1, 0.25}, ones[5] = {1, 1, 1, 1, 1};
    static const double sum[5] = {3, 50, 7, 0.5, 11}; /* token sums of losses */
    static const int tokens[5] = {2, 40, 3, 1, 8};
    double c[5], weighted = 0, plain = 0;
    for (int micro = 1; micro <= 5; micro++) {
        CHECK(loss_coefficients(NORMALIZE_TOKENS, w, tokens, 5, micro, c), "W > 0");
        weighted = 0;
        for (int i = 0; i < 5; i++) weighted += c[i] * (sum[i] / tokens[i]);
        double want = (0.5 * 3 + 2 * 7 + 0.5 + 0.25 * 11) / (0.5 * 2 + 2 * 3 + 1 + 0.25 * 8);
        CHECK(close_to(weighted, want, 1e-15), "[E9] tokens: a loss of %g, not %g", weighted, want);
    }
    loss_coefficients(NORMALIZE_TOKENS, ones, tokens, 5, 2, c);
    for (int i = 0; i < 5; i++) plain += c[i] * (sum[i] / tokens[i]);
    CHECK(close_to(plain, 71.5 / 54, 1e-15), "[E9] tokens: a mean of %g, not %g", plain, 71.5 / 54);
    c[0] = 9;
    CHECK(!loss_coefficients(NORMALIZE_TOKENS, (double[5]){0}, tokens, 5, 2, c) && c[0] == 0,
          "[E9] tokens: no weights");
}

/* Trap 1: at micro-batches of one the weights cancel. And weights of 1 are the plain mean, to the
 * bit. */
static void test_cancelling(void) {
    Rng rng = rng_new(1, 9);
    int not_mean = 0, not_ones = 0, differ = 0;
    double w[40], c[40];
    for (int n = 1; n <= 40; n++) {
        for (int i = 0; i < n; i++) w[i] = 0.01 + 3 * rng_uniform(&rng);
        loss_coefficients(NORMALIZE_MICRO, w, NULL, n, 1, c);
        for (int i = 0; i < n; i++) not_mean += c[i] != 1.0 / n;
        loss_coefficients(NORMALIZE_BATCH, w, NULL, n, 1, c);
        for (int i = 1; i < n; i++) differ += c[i] != c[0];
        for (int i = 0; i < n; i++) w[i] = 1;
        for (int micro = 1; micro <= n; micro++)
            for (int how = NORMALIZE_BATCH; how <= NORMALIZE_COUNT; how++) {
                loss_coefficients((Normalize)how, w, NULL, n, micro, c);
                for (int i = 0; i < n; i++) not_ones += c[i] != 1.0 / n;
            }
        loss_coefficients(NORMALIZE_NONE, w, NULL, n, 1, c);
        for (int i = 0; i < n; i++) not_ones += c[i] != 1;
    }
    CHECK(not_mean == 0, "[E9] micro-batches of one: %d coefficients are not 1/n", not_mean);
    CHECK(differ > 700, "[E9] over the batch weights must not cancel");
    CHECK(not_ones == 0, "[E9] weights of 1: %d coefficients are not the plain mean's", not_ones);
}

static void test_no_weight(void) {
    static const double none[4] = {0}, half[4] = {0, 0, 1, 3},
                        tiny[4] = {1e-300, 1e-300, 1e-300, 1e-300};
    double c[4];
    for (int how = NORMALIZE_BATCH; how <= NORMALIZE_NONE; how++) {
        c[0] = c[1] = c[2] = c[3] = 9;
        CHECK(!loss_coefficients((Normalize)how, none, NULL, 4, 2, c),
              "[E9] all weights 0: the step must be skipped (%d)", how);
        CHECK(c[0] == 0 && c[3] == 0, "[E9] all weights 0: coefficient %g", c[0]);
    }
    CHECK(loss_coefficients(NORMALIZE_MICRO, half, NULL, 4, 2, c),
          "[E9] one micro-batch without weight");
    CHECK(c[0] == 0 && c[1] == 0 && c[2] == 0.125 && c[3] == 0.375, "[E9] %g %g %g %g", c[0], c[1],
          c[2], c[3]);
    CHECK(loss_coefficients(NORMALIZE_BATCH, tiny, NULL, 4, 1, c) && c[0] == 0.25,
          "[E9] there is no epsilon: %g", c[0]);
}

/* Scores that are not known are seen by no map, and weigh as the mean of the others. */
static void test_unknown(void) {
    static const double score[6] = {NAN, 0.5, -0.25, NAN, 1, 0.125};
    const double known[4] = {0.5, -0.25, 1, 0.125}, none[2] = {NAN, NAN};
    static const int at[4] = {1, 2, 4, 5};
    MapOptions o = {.temperature = 0.5, .share = 0.5, .clip = 0.05};
    for (int map = 0; map < MAP_COUNT; map++) {
        double weight[6], alone[4], mean = 0;
        int wrong = 0;
        map_weights((WeightMap)map, &o, score, 6, weight);
        map_weights((WeightMap)map, &o, known, 4, alone);
        for (int i = 0; i < 4; i++) wrong += weight[at[i]] != alone[i];
        for (int i = 0; i < 4; i++) mean += alone[i];
        CHECK(wrong == 0 && weight[0] == mean / 4 && weight[3] == mean / 4,
              "%s: unknown scores weigh %g and %g, the others' mean is %g", MAPS[map].name,
              weight[0], weight[3], mean / 4);
        map_weights((WeightMap)map, &o, none, 2, weight);
        CHECK(weight[0] == 1 && weight[1] == 1, "%s: nothing is known and weights are %g, %g",
              MAPS[map].name, weight[0], weight[1]);
    }
}

/* ---- [E19] accept ---- */

static void shuffle(Rng *rng, double *x, double *y, int n) {
    for (int i = n - 1; i > 0; i--) {
        int j = rng_below(rng, i + 1);
        double a = x[i], b = y[i];
        x[i] = x[j], y[i] = y[j];
        x[j] = a, y[j] = b;
    }
}

/* [E19] The p-value against the oracle, with ties, and the threshold against the p-value: a number
 * reaches it exactly if p > r / (m + 1). */
static void test_p(void) {
    Rng rng = rng_new(19, 0);
    static const double levels[5] = {0.001, 0.05, 0.2, 0.9, 1};
    for (int t = 0; t < 200; t++) {
        int m = 1 + rng_below(&rng, 60), wrong = 0;
        double v[60], l[60], *sorted;
        for (int i = 0; i < m; i++) v[i] = floor(6 * rng_normal(&rng)) / 4;
        for (int i = 0; i < m; i++) l[i] = rng_normal(&rng);
        sorted = sorted_copy(v, m);
        for (int numbers = 1; numbers <= 2; numbers++) {
            AcceptLevels a;
            double level = levels[t % 5];
            CHECK(accept_levels(v, numbers == 2 ? l : NULL, m, level, &a), "%d records", m);
            double r = fmin(m, fmax(1, floor(level / numbers * (m + 1) + 1e-9)));
            CHECK(a.level == fmax(level, numbers / (m + 1.0)) && a.records == m &&
                      a.numbers == numbers,
                  "level %g of %d records", a.level, m);
            for (int i = -30; i < 30; i++) {
                double p = conformal_p(sorted, m, i / 8.0);
                wrong += p != oracle_p(v, m, i / 8.0);
                wrong += (i / 8.0 >= a.threshold[0]) != (p > r / (m + 1) + 1e-12);
            }
        }
        CHECK(wrong == 0, "[E19] %d of 240 p-values or thresholds of %d records", wrong, m);
        free(sorted);
    }
}

/* [E19] What is exactly at a threshold is kept, in either number. And 0.29 x 100 is a little below
 * 29 in floating point: of 99 records the 29th smallest is the threshold. */
static void test_at_threshold(void) {
    static const double gain[4] = {2, 2, 1.999, 3}, likelihood[4] = {-1, -1.001, -1, -1};
    double w[4], v[99];
    MapOptions o = {.threshold = {2, -1}, .likelihood = likelihood};
    map_weights(MAP_ACCEPT, &o, gain, 4, w);
    CHECK(w[0] == 1 && w[1] == 0 && w[2] == 0 && w[3] == 1, "[E19] weights %g %g %g %g", w[0], w[1],
          w[2], w[3]);
    o.likelihood = NULL;
    map_weights(MAP_ACCEPT, &o, gain, 4, w);
    CHECK(w[0] == 1 && w[1] == 1 && w[2] == 0 && w[3] == 1, "[E19] one number: %g %g %g %g", w[0],
          w[1], w[2], w[3]);
    AcceptLevels a;
    for (int i = 0; i < 99; i++) v[i] = 99 - i;
    CHECK(accept_levels(v, NULL, 99, 0.29, &a) && a.threshold[0] == 29, "[E19] threshold %g",
          a.threshold[0]);
    CHECK(accept_levels(v, v, 99, 0.58, &a) && a.threshold[0] == 29 && a.threshold[1] == 29,
          "[E19] thresholds %g and %g", a.threshold[0], a.threshold[1]);
}

/* [E19] Candidates that are exchangeable with the holdout: at most e = max(a, numbers / (m + 1))
 * of them are lost, in the mean over draws, and at least half of it even where both numbers say
 * the same. The mean of 200 draws has a standard deviation below .01. */
static void test_exchangeable(void) {
    static const int sizes[3] = {10, 50, 200};
    enum { DRAWS = 200, POOL = 200 };
    Rng rng = rng_new(19, 1);
    for (int kind = 0; kind < 3; kind++) /* independent, equal, one number */
        for (int s = 0; s < 3; s++) {
            int m = sizes[s];
            double kept = 0, share = 0, h[2][200], c[2][POOL], w[POOL];
            for (int draw = 0; draw < DRAWS; draw++) {
                AcceptLevels a;
                for (int i = 0; i < m; i++) h[0][i] = rng_normal(&rng);
                for (int i = 0; i < m; i++) h[1][i] = kind ? h[0][i] : rng_normal(&rng);
                for (int i = 0; i < POOL; i++) c[0][i] = rng_normal(&rng);
                for (int i = 0; i < POOL; i++) c[1][i] = kind ? c[0][i] : rng_normal(&rng);
                accept_levels(h[0], kind == 2 ? NULL : h[1], m, 0.05, &a);
                MapOptions o = {.threshold = {a.threshold[0], a.threshold[1]}};
                if (kind < 2) o.likelihood = c[1];
                map_weights(MAP_ACCEPT, &o, c[0], POOL, w);
                for (int i = 0; i < POOL; i++) kept += w[i] / POOL / DRAWS;
                share += accept_clean_share(&a, c[0], c[1], POOL) / DRAWS;
            }
            double e = fmax(0.05, (kind == 2 ? 1 : 2) / (m + 1.0));
            CHECK(kept >= 1 - e - 0.03 && kept <= 1 - e / 2 + 0.03,
                  "[E19] %d records, kind %d: %g are kept, e = %g", m, kind, kept, e);
            CHECK(share > (m < 50 ? 0.75 : 0.85) && share <= 1, "%d records: a clean share of %g",
                  m, share);
        }
}

/* [E19] Only the order of the numbers counts, and not the order of the holdout. */
static void test_invariance(void) {
    enum { M = 40, POOL = 100 };
    Rng rng = rng_new(19, 2);
    double h[2][M], c[2][POOL], w[POOL], v[POOL];
    AcceptLevels a, b;
    for (int i = 0; i < M; i++) h[0][i] = rng_normal(&rng), h[1][i] = rng_normal(&rng);
    for (int i = 0; i < POOL; i++) c[0][i] = rng_normal(&rng) - 1, c[1][i] = rng_normal(&rng);
    accept_levels(h[0], h[1], M, 0.2, &a);
    MapOptions o = {.threshold = {a.threshold[0], a.threshold[1]}, .likelihood = c[1]};
    map_weights(MAP_ACCEPT, &o, c[0], POOL, w);
    shuffle(&rng, h[0], h[1], M);
    accept_levels(h[0], h[1], M, 0.2, &b);
    CHECK(memcmp(&a, &b, sizeof a) == 0, "[E19] the order of the holdout changes thresholds");
    for (int i = 0; i < M; i++) h[0][i] = exp(h[0][i]), h[1][i] = pow(h[1][i], 3);
    for (int i = 0; i < POOL; i++) c[0][i] = exp(c[0][i]), c[1][i] = pow(c[1][i], 3);
    accept_levels(h[0], h[1], M, 0.2, &b);
    o.threshold[0] = b.threshold[0], o.threshold[1] = b.threshold[1];
    map_weights(MAP_ACCEPT, &o, c[0], POOL, v);
    CHECK(memcmp(w, v, sizeof w) == 0, "[E19] a monotone transform changes weights");
}

/* Half of the candidates are bad: below all of the holdout in one number. */
static void test_clean_share(void) {
    enum { M = 99, POOL = 1000 };
    double h[M], l[M], c[POOL], d[POOL];
    AcceptLevels a;
    for (int i = 0; i < M; i++) h[i] = l[i] = i;
    for (int i = 0; i < POOL; i++) c[i] = i % 2 ? -1 : M * (i / 1000.0), d[i] = i % M;
    accept_levels(h, l, M, 0.05, &a);
    double share = accept_clean_share(&a, c, d, POOL);
    CHECK(fabs(share - 0.5) < 0.02, "a clean share of %g, not one half", share);
    for (int i = 0; i < M; i++) l[i] = NAN, h[i] = i % 2 ? NAN : h[i];
    CHECK(accept_levels(h, l, M, 0.05, &a) && a.numbers == 1 && a.records == 50 &&
              a.threshold[0] == 2,
          "%g records are known, threshold %g", a.records, a.threshold[0]);
    for (int i = 0; i < M; i++) h[i] = NAN;
    CHECK(!accept_levels(h, NULL, M, 0.05, &a), "nothing is known");
}

static void test_numbers(void) {
    double gain, likelihood;
    accept_numbers(&(ScoredRecord){1, {-6, NAN}, {-3, NAN}, 3}, &gain, &likelihood);
    CHECK(gain == 1 && likelihood == -1, "of an answer: %g, %g", gain, likelihood);
    accept_numbers(&(ScoredRecord){9, {-6, -5}, {-3, -7}, 3}, &gain, &likelihood);
    CHECK(gain == 5 && likelihood == -1, "[E7a] of a pair: %g, %g", gain, likelihood);
    accept_numbers(&(ScoredRecord){9, {-6, NAN}, {NAN, NAN}, 3}, &gain, &likelihood);
    CHECK(gain == 9 && isnan(likelihood), "of another method: %g, %g", gain, likelihood);
    accept_numbers(&(ScoredRecord){NAN, {-6, NAN}, {-6, NAN}, 3}, &gain, &likelihood);
    CHECK(isnan(gain) && isnan(likelihood), "without demonstrations: %g, %g", gain, likelihood);
}

/* ---- [E20] mirror ---- */

/* With relabel a pair weighs |2 P - 1| by the oracle, and is swapped where P < 1/2: where the map
 * without it gives no weight. The first score is not known. */
static void test_relabel(double slope, double *score, int n) {
    double *all = mem_new((size_t)n, sizeof *all), *some = mem_new((size_t)n, sizeof *some);
    bool *swapped = mem_new((size_t)n, sizeof *swapped);
    double known = score[0];
    int wrong = 0;
    score[0] = NAN;
    MapOptions how = {.slope = slope};
    map_weights(MAP_MIRROR, &how, score, n, some);
    how.relabel = true;
    map_weights(MAP_MIRROR, &how, score, n, all);
    mirror_swapped(slope, score, n, swapped);
    for (int i = 1; i < n; i++) wrong += swapped[i] != (some[i] <= 0) || all[i] < some[i];
    CHECK(wrong == 0 && !swapped[0], "[E20] %d pairs are swapped that have a weight, or not",
          wrong);
    for (int i = 1; i < 20; i++) {
        double p = oracle_unflipped(slope, score + 1, n - 1, i - 1);
        CHECK(close_to(all[i], fabs(2 * p - 1), 1e-8), "[E20] |2 P - 1| = %g, not %g", all[i],
              fabs(2 * p - 1));
    }
    score[0] = known;
    free(all);
    free(some);
    free(swapped);
}

/* Scores of two normal classes, so that P is right with slope 1.5: the share comes back within
 * four standard errors of 4,000 pairs (.035), and the slope is where the derivative vanishes. */
static void test_mirror(void) {
    enum { M = 2000, POOL = 4000 };
    static double h[M], c[POOL];
    Rng rng = rng_new(20, 0);
    /* Normals of mean 3/4 and variance 1 have log odds 1.5 s. */
    for (int i = 0; i < M; i++) h[i] = 0.75 + rng_normal(&rng);
    double b = mirror_slope(h, M), mean, deviation, slope = 0;
    moments(h, M, &mean, &deviation);
    for (int i = 0; i < M; i++) slope -= 2 * h[i] / (1 + exp(b * h[i]));
    CHECK(fabs(slope + b * deviation * deviation / 100) < 1e-9, "the derivative is %g", slope);
    CHECK(fabs(b - 1.5) < 0.15, "[E20] slope %g, not 1.5", b);
    for (int rate = 1; rate <= 9; rate += 2) {
        for (int i = 0; i < POOL; i++) c[i] = (i % 10 < rate ? -1 : 1) * (0.75 + rng_normal(&rng));
        double share = mirror_share(b, c, POOL);
        CHECK(fabs(share - (1 - rate / 10.0)) < 0.035, "[E20] %d0 %% flips, a share of %g", rate,
              share);
        CHECK(close_to(mirror_probability(b, share, c[7]), oracle_unflipped(b, c, POOL, 7), 1e-8),
              "[E20] P = %g", mirror_probability(b, share, c[7]));
        test_relabel(b, c, POOL);
    }
    for (int i = 0; i < M; i++) h[i] = 1 + i % 3;
    b = mirror_slope(h, M);
    CHECK(isfinite(b) && b > 1, "[E20] scores all above 0: slope %g", b);
    for (int i = 0; i < M; i++) h[i] = -h[i];
    CHECK(mirror_slope(h, M) == 0, "[E20] scores all below 0 say nothing");
    CHECK(close_to(mirror_probability(2, 0.3, 0), 0.3, 1e-15), "a score of 0 leaves the share");
}

int main(void) {
    test_p();
    test_at_threshold();
    test_exchangeable();
    test_invariance();
    test_clean_share();
    test_numbers();
    test_mirror();
    test_tables();
    test_unknown();
    test_maps_random();
    test_minmax();
    test_outlier();
    test_other_maps();
    test_coefficients();
    test_token_mean();
    test_cancelling();
    test_no_weight();
    return check_report("test_weights");
}
