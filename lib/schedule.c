#include "lib/schedule.h"

#include <math.h>
#include <stdint.h>

static double cosine_factor(double done, double steps) {
    return 0.5 * (1 + cos(3.14159265358979323846 * (done / steps)));
}

static double linear_factor(double done, double steps) { return (steps - done) / steps; }

static double constant_factor(double done, double steps) { return (void)done, (void)steps, 1; }

const ScheduleInfo SCHEDULES[] = {
    [SCHEDULE_COSINE] = {"cosine", "warm-up, then half a cosine wave down to 0", true, true,
                         cosine_factor},
    [SCHEDULE_LINEAR] = {"linear", "warm-up, then a line down to 0", true, true, linear_factor},
    [SCHEDULE_CONSTANT] = {"constant", "the peak from the first step on", false, false,
                           constant_factor},
    [SCHEDULE_CONSTANT_WITH_WARMUP] = {"constant_with_warmup", "warm-up, then the peak", true,
                                       false, constant_factor},
};
_Static_assert(sizeof SCHEDULES / sizeof *SCHEDULES == SCHEDULE_COUNT, "a row for each schedule");

double schedule_rate(Schedule schedule, double peak, long step, long steps, long warmup,
                     double low) {
    const ScheduleInfo *info = &SCHEDULES[schedule];
    if (!info->warms) warmup = 0;
    if (step < warmup) return peak * ((double)step / (double)warmup);
    long falling = steps > warmup ? steps - warmup : 1;
    double factor = info->factor((double)(step - warmup), (double)falling);
    return peak * (info->falls ? factor * (1 - low) + low : factor);
}

long schedule_warmup(long count, double ratio, long steps) {
    return count >= 0 ? count : (long)ceil(ratio * (double)steps);
}

int refresh_at(int times, long step, long steps) {
    for (int j = 0; j < times; j++)
        if ((int64_t)j * steps / times == step) return j;
    return -1;
}

long refreshes_left(int times, long step, long steps) {
    if (times <= 0) return 0;
    if (times >= steps) return steps - step - 1;
    /* floor(j S / R) <= step holds for j up to ((step + 1) R - 1) / S. */
    return times - 1 - ((step + 1) * times - 1) / steps;
}

long multiples_left(int every, long step, long steps) {
    if (every <= 0 || step + 1 >= steps) return 0;
    return steps / every - (step + 1) / every + (steps % every != 0);
}
