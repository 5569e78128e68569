/* schedule: how a step size falls over the steps of a run.
 *
 * Usage:
 *   // 10 steps, of which 2 warm up, then a line down to a tenth.
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 0, 10, 2, 0.1) != 0.5) return 1;
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 1, 10, 2, 0.1) != 1) return 1;
 *   if (schedule_rate(SCHEDULE_LINEAR, 1, 9, 10, 2, 0.1) > 0.1 + 1e-15) return 1;
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

typedef enum { SCHEDULE_COSINE, SCHEDULE_LINEAR, SCHEDULE_CONSTANT, SCHEDULE_COUNT } Schedule;

typedef struct {
    const char *name, *help;
    /* The share of the peak at `part` of the way from the warm-up's end (0) to the last step (1).
     * `low` is the share at the last step. */
    double (*factor)(double part, double low);
} ScheduleInfo;
extern const ScheduleInfo SCHEDULES[SCHEDULE_COUNT];

/* The step size of a step, 0 <= step < steps. It rises as peak (step + 1) / warmup, then follows
 * the schedule down to peak times `low`. */
double schedule_rate(Schedule schedule, double peak, long step, long steps, long warmup,
                     double low);

#endif
