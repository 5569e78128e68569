/* Tests of lib/schedule against tables made with the real library, of the same name.
 *
 * The tables, by transformers 5.24.0 and torch 2.13.0, for each name, steps T, and warm-up W:
 *   p = torch.nn.Parameter(torch.zeros(1)); o = torch.optim.SGD([p], lr=1.0)
 *   s = transformers.get_scheduler(name, o, W, T)
 *   for i in range(T): print(repr(s.get_last_lr()[0])); o.step(); s.step()
 * The rows with 0.1 are the name cosine_with_min_lr with
 * scheduler_specific_kwargs={"min_lr_rate": 0.1}. */
#include "lib/schedule.h"

#include <math.h>

#include "tests/unit/check.h"

/* Every operation is the library's own, so both have the same bits where both use one cosine. Two
 * cosines may differ by a unit in the last place: 2^-53 of a number up to 1. */
#define COSINE_ROUNDING 2.3e-16

enum { MOST = 9 };

typedef struct {
    Schedule schedule;
    int steps, warmup;
    double low;
    double rate[MOST];
} Table;

/* clang-format off */
static const Table TABLES[] = {
    {SCHEDULE_LINEAR, 9, 0, 0,
     {1, 0.8888888888888888, 0.7777777777777778, 0.6666666666666666, 0.5555555555555556,
      0.4444444444444444, 0.3333333333333333, 0.2222222222222222, 0.1111111111111111}},
    {SCHEDULE_LINEAR, 9, 3, 0,
     {0, 0.3333333333333333, 0.6666666666666666, 1, 0.8333333333333334, 0.6666666666666666, 0.5,
      0.3333333333333333, 0.16666666666666666}},
    {SCHEDULE_LINEAR, 7, 1, 0,
     {0, 1, 0.8333333333333334, 0.6666666666666666, 0.5, 0.3333333333333333,
      0.16666666666666666}},
    {SCHEDULE_LINEAR, 4, 7, 0,
     {0, 0.14285714285714285, 0.2857142857142857, 0.42857142857142855}},
    {SCHEDULE_LINEAR, 1, 0, 0,
     {1}},
    {SCHEDULE_LINEAR, 1, 1, 0,
     {0}},
    {SCHEDULE_COSINE, 9, 0, 0,
     {1, 0.9698463103929542, 0.883022221559489, 0.75, 0.5868240888334653, 0.41317591116653485,
      0.2500000000000001, 0.11697777844051105, 0.03015368960704584}},
    {SCHEDULE_COSINE, 9, 3, 0,
     {0, 0.3333333333333333, 0.6666666666666666, 1, 0.9330127018922194, 0.75, 0.5,
      0.2500000000000001, 0.06698729810778065}},
    {SCHEDULE_COSINE, 7, 1, 0,
     {0, 1, 0.9330127018922194, 0.75, 0.5, 0.2500000000000001, 0.06698729810778065}},
    {SCHEDULE_COSINE, 4, 7, 0,
     {0, 0.14285714285714285, 0.2857142857142857, 0.42857142857142855}},
    {SCHEDULE_COSINE, 1, 0, 0,
     {1}},
    {SCHEDULE_COSINE, 1, 1, 0,
     {0}},
    {SCHEDULE_CONSTANT, 9, 0, 0,
     {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {SCHEDULE_CONSTANT, 9, 3, 0,
     {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {SCHEDULE_CONSTANT, 7, 1, 0,
     {1, 1, 1, 1, 1, 1, 1}},
    {SCHEDULE_CONSTANT, 4, 7, 0,
     {1, 1, 1, 1}},
    {SCHEDULE_CONSTANT, 1, 0, 0,
     {1}},
    {SCHEDULE_CONSTANT, 1, 1, 0,
     {1}},
    {SCHEDULE_CONSTANT_WITH_WARMUP, 9, 0, 0,
     {1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {SCHEDULE_CONSTANT_WITH_WARMUP, 9, 3, 0,
     {0, 0.3333333333333333, 0.6666666666666666, 1, 1, 1, 1, 1, 1}},
    {SCHEDULE_CONSTANT_WITH_WARMUP, 7, 1, 0,
     {0, 1, 1, 1, 1, 1, 1}},
    {SCHEDULE_CONSTANT_WITH_WARMUP, 4, 7, 0,
     {0, 0.14285714285714285, 0.2857142857142857, 0.42857142857142855}},
    {SCHEDULE_CONSTANT_WITH_WARMUP, 1, 0, 0,
     {1}},
    {SCHEDULE_CONSTANT_WITH_WARMUP, 1, 1, 0,
     {0}},
    {SCHEDULE_COSINE, 9, 0, 0.1,
     {1, 0.9728616793536587, 0.8947199994035401, 0.775, 0.6281416799501187, 0.4718583200498814,
      0.3250000000000001, 0.20528000059645996, 0.12713832064634126}},
    {SCHEDULE_COSINE, 9, 3, 0.1,
     {0, 0.3333333333333333, 0.6666666666666666, 1, 0.9397114317029974, 0.775, 0.55,
      0.3250000000000001, 0.16028856829700258}},
    {SCHEDULE_COSINE, 7, 1, 0.1,
     {0, 1, 0.9397114317029974, 0.775, 0.55, 0.3250000000000001, 0.16028856829700258}},
    {SCHEDULE_COSINE, 4, 7, 0.1,
     {0, 0.14285714285714285, 0.2857142857142857, 0.42857142857142855}},
    {SCHEDULE_COSINE, 1, 0, 0.1,
     {1}},
    {SCHEDULE_COSINE, 1, 1, 0.1,
     {0}},
};
/* clang-format on */

static void test_tables(void) {
    static const double peaks[] = {1, 3e-4};
    for (size_t i = 0; i < sizeof TABLES / sizeof *TABLES; i++)
        for (int p = 0; p < 2; p++)
            for (int step = 0; step < TABLES[i].steps; step++) {
                const Table *t = &TABLES[i];
                double want = peaks[p] * t->rate[step];
                double rate =
                    schedule_rate(t->schedule, peaks[p], step, t->steps, t->warmup, t->low);
                double allowed = t->schedule == SCHEDULE_COSINE ? peaks[p] * COSINE_ROUNDING : 0;
                CHECK(fabs(rate - want) <= allowed,
                      "%s, %d steps, warm-up %d, low %g, step %d: %.17g, not %.17g",
                      SCHEDULES[t->schedule].name, t->steps, t->warmup, t->low, step, rate, want);
            }
}

/* Where the library has no such rate: the step after the last one has 0, or what `low` says. */
static void test_end(void) {
    static const double end[SCHEDULE_COUNT][2] = {[SCHEDULE_COSINE] = {0, 0.25},
                                                  [SCHEDULE_LINEAR] = {0, 0.25},
                                                  [SCHEDULE_CONSTANT] = {1, 1},
                                                  [SCHEDULE_CONSTANT_WITH_WARMUP] = {1, 1}};
    for (int s = 0; s < SCHEDULE_COUNT; s++)
        for (int low = 0; low < 2; low++) {
            double rate = schedule_rate((Schedule)s, 1, 50, 50, 7, low ? 0.25 : 0);
            CHECK(fabs(rate - end[s][low]) <= COSINE_ROUNDING, "%s ends with %g, not %g",
                  SCHEDULES[s].name, rate, end[s][low]);
        }
    double middle = schedule_rate(SCHEDULE_LINEAR, 2, 5, 10, 0, 0.25);
    CHECK(middle == 2 * 0.625, "linear to a quarter has %g in the middle", middle);
}

int main(void) {
    test_tables();
    test_end();
    return check_report("test_schedule");
}
