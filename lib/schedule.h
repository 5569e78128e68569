/* schedule: how a step size rises and falls over the steps of a run, as Hugging Face's
 * transformers.get_scheduler has it under the same name.
 *
 * Usage:
 *   // 10 steps, of which 2 warm up, then a line towards 0.
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 0, 10, 2, 0) != 0) return 1;
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 1, 10, 2, 0) != 0.5) return 1;
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 2, 10, 2, 0) != 1) return 1;
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 9, 10, 2, 0) != 0.125) return 1;
 *   // The name "constant" has no warm-up.
 *   if (schedule_rate(SCHEDULE_CONSTANT, 1, 0, 10, 2, 0) != 1) return 1;
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdbool.h>

typedef enum {
    SCHEDULE_COSINE,
    SCHEDULE_LINEAR,
    SCHEDULE_CONSTANT,
    SCHEDULE_CONSTANT_WITH_WARMUP,
    SCHEDULE_COUNT
} Schedule;

typedef struct {
    const char *name, *help;
    bool warms; /* begins with a warm-up */
    bool falls; /* may end at a rate above 0, see `low` */
    /* The share of the peak after `done` of the `steps` that follow the warm-up. */
    double (*factor)(double done, double steps);
} ScheduleInfo;
extern const ScheduleInfo SCHEDULES[]; /* [SCHEDULE_COUNT] */

/* The step size of a step, 0 <= step < steps. The first `warmup` steps rise as peak step / warmup,
 * so the first of them has 0. Then the rate falls towards peak `low`, which step number `steps`,
 * the first after the run, would have. low > 0 is no part of Hugging Face's linear; of its cosine
 * it is cosine_with_min_lr. */
double schedule_rate(Schedule schedule, double peak, long step, long steps, long warmup,
                     double low);

/* How many steps warm up: `count`, or if that is below 0 the share `ratio` of all steps, rounded
 * up. */
long schedule_warmup(long count, double ratio, long steps);

/* What is done R = `times` times in S = `steps` steps is done at the steps floor(j S / R) for j =
 * 0..R-1: with R > S at every step. Returns the j of this step, or -1. */
int refresh_at(int times, long step, long steps);
/* How many of them come after this step. */
long refreshes_left(int times, long step, long steps);
/* What is done after each `every` steps, and after the last one: how many times after this step?
 * `every` 0: never. */
long multiples_left(int every, long step, long steps);

#endif
