/* Sampling: what stays after each step, against Hugging Face's logits processors; ties, limits, and
 * the draw. */
#include "lib/sampling.h"

#include <math.h>

#include "tests/unit/check.h"

enum { V = 8 };
static const real LOGITS[V] = {0.5f, 2, 1.5f, -1, 2, -0.25f, 0, 3};
static const int ROW[] = {7, 5, 3, 7};

/* Golden: Python, transformers 5.24.0 and torch 2.13, rounded to six places:
 *   s = torch.tensor([[0.5, 2.0, 1.5, -1.0, 2.0, -0.25, 0.0, 3.0]])
 *   row = torch.tensor([[7, 5, 3, 7]])
 *   s = RepetitionPenaltyLogitsProcessor(penalty)(row, s); s = TemperatureLogitsWarper(t)(row, s)
 *   s = TopKLogitsWarper(k)(row, s); s = TopPLogitsWarper(p)(row, s); torch.softmax(s.double(), -1)
 * each of them unless its value is 1 (k: 0). */
static const struct {
    Sampling how;
    double p[V];
} GOLDEN[] = {
    {{1, 1, 0, 1}, {0.038217, 0.171278, 0.103885, 0.008527, 0.171278, 0.018053, 0.02318, 0.465582}},
    {{1.5, 1, 0, 1},
     {0.054579, 0.244606, 0.148361, 0.007386, 0.244606, 0.022752, 0.033104, 0.244606}},
    {{1, 0.7, 0, 1},
     {0.017025, 0.145117, 0.071041, 0.001997, 0.145117, 0.005831, 0.008334, 0.605536}},
    {{1, 1, 3, 1}, {0, 0.211942, 0, 0, 0.211942, 0, 0, 0.576117}},
    {{1, 1, 0, 0.8}, {0, 0.211942, 0, 0, 0.211942, 0, 0, 0.576117}},
    {{1, 1, 0, 0.05}, {0, 0, 0, 0, 0, 0, 0, 1}},
    {{1.3, 0.8, 5, 0.7}, {0, 0.288263, 0, 0, 0.288263, 0, 0, 0.423473}},
    {{1, 2, 4, 0.9}, {0, 0.22586, 0.1759, 0, 0.22586, 0, 0, 0.37238}},
    {{0.5, 1, 0, 1},
     {0.003863, 0.017312, 0.0105, 0.001421, 0.017312, 0.002068, 0.002343, 0.945183}},
};

static void test_golden(void) {
    for (size_t i = 0; i < sizeof GOLDEN / sizeof *GOLDEN; i++) {
        Candidate list[V];
        double p[V] = {0}, sum = 0;
        int n = sampling_candidates(&GOLDEN[i].how, LOGITS, V, ROW, 4, list);
        for (int j = 0; j < n; j++) sum += list[j].p;
        for (int j = 0; j < n; j++) p[list[j].id] = list[j].p / sum;
        for (int v = 0; v < V; v++) /* six places were written down; torch rounds to float */
            CHECK(fabs(p[v] - GOLDEN[i].p[v]) < 1e-6, "%zu: token %d has %.7f, not %.6f", i, v,
                  p[v], GOLDEN[i].p[v]);
    }
}

/* The most probable come first, equal ones by id. */
static void test_order(void) {
    Candidate list[V];
    const int want[V] = {7, 1, 4, 2, 0, 6, 5, 3};
    Sampling all = {1, 1, 0, 1};
    CHECK(sampling_candidates(&all, LOGITS, V, NULL, 0, list) == V, "all stay");
    for (int i = 0; i < V; i++) CHECK(list[i].id == want[i], "place %d: %d", i, list[i].id);
    /* Hugging Face keeps all that are as probable as the last of the k: here it is exactly k. */
    CHECK(sampling_candidates(&(Sampling){1, 1, 2, 1}, LOGITS, V, NULL, 0, list) == 2, "k = 2");
    CHECK(list[1].id == 1, "of equal ones the smaller id");
    CHECK(sampling_candidates(&(Sampling){1, 1, 100, 1}, LOGITS, V, NULL, 0, list) == V, "k > V");
    /* 1 - 1e-17 is 1. */
    CHECK(sampling_candidates(&(Sampling){1, 1, 0, 1e-17}, LOGITS, V, NULL, 0, list) == 1,
          "a share of nothing");
}

/* A token is penalized once, however often it stands in the row. Ids that the model lacks are
 * passed over. */
static void test_penalty(void) {
    Candidate once[V], often[V];
    Sampling how = {3, 1, 0, 1};
    const int row[] = {7}, rows[] = {7, 7, 7, -1, V};
    sampling_candidates(&how, LOGITS, V, row, 1, once);
    sampling_candidates(&how, LOGITS, V, rows, 5, often);
    for (int i = 0; i < V; i++)
        CHECK(once[i].id == often[i].id && once[i].logit == often[i].logit, "place %d", i);
}

/* At temperature 0 the most probable one, after the penalty; one number of the stream is used in
 * any case, so that it stays in step. */
static void test_greedy(void) {
    Rng a = rng_new(1, RNG_GENERATE), b = a;
    Candidate list[V];
    CHECK(sampling_candidates(&(Sampling){1, 0, 0, 1}, LOGITS, V, ROW, 4, list) == 1, "one stays");
    CHECK(sampling_draw(&(Sampling){1, 0, 0, 1}, LOGITS, V, ROW, 4, &a) == 7, "greedy");
    CHECK(sampling_draw(&(Sampling){2, 0, 0, 1}, LOGITS, V, ROW, 4, &a) == 1, "3 / 2 is below 2");
    rng_uniform(&b);
    rng_uniform(&b);
    CHECK(rng_u64(&a) == rng_u64(&b), "the stream is in step");
}

/* 100,000 draws have the frequencies of the list: within 5 deviations of a binomial. */
static void test_draws(void) {
    enum { DRAWS = 100000 };
    Rng rng = rng_new(3, RNG_GENERATE);
    Sampling how = {1, 2, 4, 0.9};
    const double *p = GOLDEN[7].p;
    int count[V] = {0};
    for (int i = 0; i < DRAWS; i++) count[sampling_draw(&how, LOGITS, V, NULL, 0, &rng)]++;
    for (int v = 0; v < V; v++) {
        double bound = 5 * sqrt(DRAWS * p[v] * (1 - p[v]));
        CHECK(fabs(count[v] - DRAWS * p[v]) <= bound, "token %d: %d of %d draws", v, count[v],
              DRAWS);
    }
}

int main(void) {
    test_golden();
    test_order();
    test_penalty();
    test_greedy();
    test_draws();
    return check_report("sampling");
}
