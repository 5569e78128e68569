/* threads: how many OpenMP threads the work gets. Without OpenMP it is always one.
 *
 * If another program uses one of two cores, two threads are slower than one. Each parallel loop
 * ends with its slowest thread, and that one runs half of the time. Results are the same bits for
 * any number of threads, so the number can follow the machine.
 *
 * Usage:
 *   threads_adapt();
 *   for (int step = 0; step < 3; step++) {
 *       threads_begin(WORK_FORWARD);        // sets the number
 *       double operations = 1e6;            // parallel loops here
 *       threads_end(WORK_FORWARD, operations);   // learns from the time that they took
 *   }
 */
#ifndef THREADS_H
#define THREADS_H

#include <stdbool.h>

/* Number of elements below which waking the threads costs more than it saves. */
enum { PARALLEL_FROM = 20000 };

int threads_most(void);  /* upper bound; size per-thread buffers by it */
int threads_now(void);   /* what the next loop gets: 1 inside a parallel region */
int thread_number(void); /* the caller's index, 0 to threads_most() - 1 */

/* From now on exactly n threads. */
void threads_use(int n);
/* From now on as many as are fastest, at most the present number. */
void threads_adapt(void);

/* Work of different kinds is never compared, since an operation of one may take longer than one of
 * another. What has begun must end before something else begins, outside of parallel loops. Any
 * unit of work will do. Without threads_adapt both functions do nothing. */
typedef enum { WORK_FORWARD, WORK_BACKWARD, WORK_KINDS } WorkKind;
void threads_begin(WorkKind kind);
void threads_end(WorkKind kind, double work);

/* ---- the rule ---- */

/* Work is judged in stretches of at least 50 ms. `home` is the number of threads that was fastest
 * so far. Another number is tried for one stretch and becomes home if it is 10 % faster.
 *
 *   - Fewer threads are tried if home's threads ran less than four fifths of the time: they waited
 * for one another, so a core was not theirs. They are also tried every 256 stretches, because a
 *     virtual machine may not see who takes its time.
 *   - More threads are tried at any time.
 *
 * After a trial of a number the same is not tried for 8 stretches. If trials are in vain the pause
 * grows to 16, 32, 64 and 128 stretches. */
enum { PACE_CHOICES = 4 };
typedef struct {
    int choices, threads[PACE_CHOICES]; /* all, all but one, half, one; decreasing, distinct */
    int home, now;                      /* indices of choices */
    double work, seconds, cpu;          /* of the present stretch */
    double speed;                       /* of home in its last stretch, work a second */
    int stretches[PACE_CHOICES];        /* since a choice was last tried or home */
    int pause[PACE_CHOICES];            /* stretches before its next trial */
    bool settle;                        /* ignore the next work, because threads are being woken */
} Pace;

Pace pace_new(int most);
int pace_threads(const Pace *p); /* the number for the next work */
/* Reports work that took `seconds`, and `cpu` seconds of all threads together. */
void pace_add(Pace *p, double work, double seconds, double cpu);

#endif
