#include "lib/schedule.h"

#include <math.h>

static double cosine_factor(double part, double low) {
    return low + (1 - low) * 0.5 * (1 + cos(3.14159265358979323846 * part));
}

static double linear_factor(double part, double low) { return 1 - (1 - low) * part; }

static double constant_factor(double part, double low) { return (void)part, (void)low, 1; }

const ScheduleInfo SCHEDULES[] = {
    [SCHEDULE_COSINE] = {"cosine", "half a cosine wave from the peak to the end", cosine_factor},
    [SCHEDULE_LINEAR] = {"linear", "a line from the peak to the end", linear_factor},
    [SCHEDULE_CONSTANT] = {"constant", "the peak", constant_factor},
};
_Static_assert(sizeof SCHEDULES / sizeof *SCHEDULES == SCHEDULE_COUNT, "a row for each schedule");

double schedule_rate(Schedule schedule, double peak, long step, long steps, long warmup,
                     double low) {
    if (step < warmup) return peak * (double)(step + 1) / (double)warmup;
    long falling = steps - 1 - warmup;
    double part = falling > 0 ? (double)(step - warmup) / (double)falling : 1;
    return peak * SCHEDULES[schedule].factor(part, low);
}
