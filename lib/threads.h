/* threads: how many threads of OpenMP the work gets (one without OpenMP).
 *
 *   threads_adapt();
 *   threads_begin(WORK_FORWARD);           // sets the number
 *   ...                                    // parallel loops
 *   threads_end(WORK_FORWARD, operations); // and learns from what they took
 *
 * Where another program uses one of two cores, two threads are slower than one: each parallel loop ends with its slowest thread,
 * and that one runs half of the time. Results are the same bits for any number of threads, so the number can follow the machine.
 */
#ifndef THREADS_H
#define THREADS_H

#include <stdbool.h>

/* The threads that a loop may get, and those that it gets now: one inside of another loop's threads. Memory for each thread is made
 * for the former; thread_number is who asks, 0 to threads_most() - 1. */
int threads_most(void);
int threads_now(void);
int thread_number(void);
/* From now on exactly n. */
void threads_use(int n);
/* From now on as many as are fastest, at most those of now. */
void threads_adapt(void);

/* Work of different kinds is never compared: operations of one may take longer than those of another. What is begun must end before
 * another begins, and outside of parallel loops. Any unit of work will do. Without threads_adapt both do nothing. */
typedef enum { WORK_FORWARD, WORK_BACKWARD, WORK_KINDS } WorkKind;
void threads_begin(WorkKind kind);
void threads_end(WorkKind kind, double work);

/* ---- the rule by which the number follows ----
 * Work is judged by stretches of at least 50 ms. `home` is the number of threads that was the fastest so far. Another one is tried
 * for a stretch, and becomes home if it is 10 % faster:
 *   - fewer, if home's threads ran less than four fifths of the time: they waited for one another, so a core was not theirs;
 *     and every 256 stretches in any case, since a machine within a machine may not see who takes its time;
 *   - more, at any time.
 * After a trial of a number there is none of the same for 8 stretches; if it was in vain, for 16, 32, 64 and then always 128. */
enum { PACE_CHOICES = 4 };
typedef struct {
    int choices, threads[PACE_CHOICES]; /* all, all but one, half, one: falling, each once */
    int home, now;                      /* which choice */
    double work, seconds, cpu;          /* of the stretch so far */
    double speed;                       /* home's in its last stretch, work a second */
    int stretches[PACE_CHOICES];        /* since a choice was tried or was home */
    int pause[PACE_CHOICES];
    bool settle;                        /* the next work does not count: threads are being woken */
} Pace;

Pace pace_new(int most);
int pace_threads(const Pace *p); /* for the work to come */
/* That work took so many seconds, and `cpu` seconds of all threads together. */
void pace_add(Pace *p, double work, double seconds, double cpu);

#endif
