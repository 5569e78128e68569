/* stats: effective sample size [E18], AUROC, correlations, quantiles and ranks, against plain
 * loops. */
#include "lib/stats.h"
#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>

static bool close_to(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1 + fabs(b));
}

static void test_sample_size(void) {
    static const double w[4] = {1, 2, 3, 0}, one[3] = {0, 0.3, 0}, ones[5] = {1, 1, 1, 1, 1};
    CHECK(close_to(effective_sample_size(w, 4), 36.0 / 14, 1e-15), "[E18] %g",
          effective_sample_size(w, 4));
    CHECK(close_to(effective_sample_size(one, 3), 1, 1e-15), "[E18] one weight: %g",
          effective_sample_size(one, 3));
    static const double tiny[] = {1e-200, 2e-200, 3e-200, 0}, least[] = {4e-323, 4e-323};
    CHECK(close_to(effective_sample_size(tiny, 4), 36.0 / 14, 1e-15), "[E18] tiny weights: %g",
          effective_sample_size(tiny, 4));
    CHECK(effective_sample_size(least, 2) == 2, "[E18] the least weights: %g",
          effective_sample_size(least, 2));
    CHECK(effective_sample_size(ones, 5) == 5, "[E18] equal weights: %g",
          effective_sample_size(ones, 5));
    CHECK(effective_sample_size(one, 1) == 0 && effective_sample_size(one, 0) == 0,
          "[E18] no weight");
}

/* Groups against auroc with the other groups left out: the same bits. */
static void test_auroc_groups(void) {
    enum { N = 200, GROUPS = 5 };
    Rng rng = rng_new(3, 0);
    for (int round = 0; round < 20; round++) {
        double score[N], area[GROUPS];
        int group[N], label[N];
        for (int i = 0; i < N; i++) {
            score[i] = rng_below(&rng, 30) / 7.0; /* with ties */
            group[i] = rng_below(&rng, GROUPS + 1) - 2;
        }
        auroc_groups(score, group, N, GROUPS, area);
        for (int g = 0; g < GROUPS; g++) {
            for (int i = 0; i < N; i++)
                label[i] = group[i] == AUROC_POSITIVE ? 1 : group[i] == g ? 0 : -1;
            double alone = auroc(score, label, N);
            CHECK(area[g] == alone || (isnan(area[g]) && isnan(alone)),
                  "AUROC of group %d is %g, alone %g", g, area[g], alone);
        }
        CHECK(isnan(area[GROUPS - 1]), "a group without records has no AUROC");
    }
}

static void test_auroc(void) {
    Rng rng = rng_new(18, 0);
    for (int trial = 0; trial < 30; trial++) {
        double score[60], wins = 0, pairs = 0;
        int label[60], n = 2 + rng_below(&rng, 58);
        for (int i = 0; i < n; i++) { /* few values: many ties, also between the classes */
            label[i] = i < 2 ? i : rng_below(&rng, 3) - 1;
            score[i] = trial % 2 ? rng_normal(&rng) : rng_below(&rng, 4 + (label[i] > 0));
        }
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                if (label[i] == 1 && label[j] == 0) {
                    wins += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
                    pairs++;
                }
        CHECK(close_to(auroc(score, label, n), wins / pairs, 1e-14), "AUROC %g, by pairs %g",
              auroc(score, label, n), wins / pairs);
    }
    static const double score[4] = {1, 2, 3, 4};
    static const int positive[4] = {1, 1, -1, 1}, negative[4] = {0, -1, 0, 0}, up[4] = {0, 0, 1, 1},
                     down[4] = {1, -1, 1, 0};
    CHECK(isnan(auroc(score, positive, 4)) && isnan(auroc(score, negative, 4)) &&
              isnan(auroc(score, up, 0)),
          "AUROC of one class");
    CHECK(auroc(score, up, 4) == 1 && auroc(score, down, 4) == 0, "AUROC of perfect orders");
}

static double plain_correlation(const double *x, const double *y, int n) {
    double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    for (int i = 0; i < n; i++) {
        sx += x[i];
        sy += y[i];
        sxx += x[i] * x[i];
        syy += y[i] * y[i];
        sxy += x[i] * y[i];
    }
    return (n * sxy - sx * sy) / (sqrt(n * sxx - sx * sx) * sqrt(n * syy - sy * sy));
}

static void plain_ranks(const double *x, int n, double *rank) {
    for (int i = 0; i < n; i++) {
        rank[i] = 1;
        for (int j = 0; j < n; j++) rank[i] += x[j] < x[i] ? 1 : j != i && x[j] == x[i] ? 0.5 : 0;
    }
}

static void test_correlations(void) {
    Rng rng = rng_new(19, 0);
    double x[30], y[30], rx[30], ry[30];
    for (int trial = 0; trial < 20; trial++) {
        int n = 3 + rng_below(&rng, 27);
        for (int i = 0; i < n; i++) {
            x[i] = i < 2 ? i : trial % 2 ? rng_below(&rng, 4) : rng_normal(&rng);
            y[i] = i < 2 ? 2 * i
                         : x[i] * (trial - 10) +
                               3 * (trial % 2 ? rng_below(&rng, 4) : rng_normal(&rng));
        }
        plain_ranks(x, n, rx);
        plain_ranks(y, n, ry);
        CHECK(close_to(correlation(x, y, n), plain_correlation(x, y, n), 1e-9), "correlation %g",
              correlation(x, y, n));
        CHECK(close_to(rank_correlation(x, y, n), plain_correlation(rx, ry, n), 1e-9),
              "rank correlation %g", rank_correlation(x, y, n));
    }
    for (int n = 2; n <= 30;
         n++) { /* a constant whose mean is not exact must still count as constant */
        for (int i = 0; i < n; i++) {
            x[i] = 0.1;
            y[i] = i * i + 0.7;
            rx[i] = -exp(y[i] / 100);
        }
        CHECK(isnan(correlation(x, y, n)) && isnan(correlation(y, x, n)) &&
                  isnan(rank_correlation(x, y, n)),
              "%d constants correlate", n);
        CHECK(close_to(rank_correlation(rx, y, n), -1, 1e-12),
              "rank correlation of falling values: %g", rank_correlation(rx, y, n));
    }
}

/* Quantiles between neighbors, and ranks of ties, worked out by eye. */
static void test_order(void) {
    static const double x[5] = {4, 1, 2, 2, 8};
    double *sorted = sorted_copy(x, 5);
    CHECK(sorted[0] == 1 && sorted[1] == 2 && sorted[2] == 2 && sorted[3] == 4 && sorted[4] == 8,
          "sorted_copy");
    CHECK(quantile(sorted, 5, 0) == 1 && quantile(sorted, 5, 1) == 8 &&
              quantile(sorted, 5, 0.5) == 2,
          "quantiles");
    CHECK(quantile(sorted, 5, 0.875) == 6 && quantile(sorted, 1, 0.3) == 1, "quantile %g",
          quantile(sorted, 5, 0.875));
    CHECK(average_rank(sorted, 5, 1) == 0 && average_rank(sorted, 5, 2) == 1.5 &&
              average_rank(sorted, 5, 8) == 4,
          "ranks %g %g", average_rank(sorted, 5, 2), average_rank(sorted, 5, 8));
    free(sorted);
}

static void test_median(void) {
    double odd[9] = {7, -3, 2, 9, 0, 4, 4, -1, 100}, even[4] = {3, 1, 8, 5}, one[1] = {6};
    CHECK(median(odd, 9) == 4, "of nine: %g", median(odd, 9));
    CHECK(median(even, 4) == 4, "of four: %g", median(even, 4));
    CHECK(median(one, 1) == 6, "of one: %g", median(one, 1));
}

int main(void) {
    test_order();
    test_median();
    test_sample_size();
    test_auroc();
    test_auroc_groups();
    test_correlations();
    return check_report("test_stats");
}
