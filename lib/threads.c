#include "lib/threads.h"

#include <time.h>

#include "lib/util.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { SOON = 8, LATE = 128, RARELY = 256 }; /* stretches */
static const double STRETCH = 0.05; /* seconds; some turns of a scheduler that shares a core */
static const double BETTER = 1.1;   /* a smaller ratio of speeds is noise */
static const double RUNNING = 0.8;  /* share of the time; waiting threads run less */

/* ---- the rule ---- */

Pace pace_new(int most) {
    const int all[PACE_CHOICES] = {most, most - 1, most / 2, 1};
    Pace p = {0};
    for (int i = 0; i < PACE_CHOICES; i++)
        if (all[i] > 0 && (i == 0 || all[i] < p.threads[p.choices - 1]))
            p.threads[p.choices++] = all[i];
    for (int i = 0; i < p.choices; i++)
        p.pause[i] = p.stretches[i] = SOON; /* no pause before the first */
    return p;
}

int pace_threads(const Pace *p) { return p->threads[p->now]; }

static void pace_choose(Pace *p, int choice) {
    p->settle = p->threads[choice] > pace_threads(p);
    p->now = choice;
}

/* Ends a trial. Returns true if the number tried is the new home; else home comes next. */
static bool pace_judge(Pace *p, double speed) {
    int tried = p->now;
    p->stretches[tried] = 0;
    if (speed <= BETTER * p->speed) {
        p->pause[tried] = p->pause[tried] < LATE ? 2 * p->pause[tried] : LATE;
        pace_choose(p, p->home);
        return false;
    }
    p->home = tried;
    for (int i = 0; i < p->choices; i++) p->pause[i] = SOON; /* the machine has changed */
    return true;
}

/* Is it time to try a choice? Never home itself: its count of stretches is 0. */
static bool worth_a_trial(const Pace *p, int choice, bool waiting) {
    bool more = p->threads[choice] > p->threads[p->home];
    return p->stretches[choice] >= (more || waiting ? p->pause[choice] : RARELY);
}

void pace_add(Pace *p, double work, double seconds, double cpu) {
    if (p->settle) {
        p->settle = false;
        return;
    }
    p->work += work;
    p->seconds += seconds;
    p->cpu += cpu;
    if (p->seconds < STRETCH) return;
    double speed = p->work / p->seconds;
    bool waiting = p->cpu < RUNNING * pace_threads(p) * p->seconds;
    p->work = p->seconds = p->cpu = 0;
    if (p->now != p->home && !pace_judge(p, speed)) return;
    p->speed = speed;
    for (int i = 0; i < p->choices; i++) p->stretches[i] = i == p->home ? 0 : p->stretches[i] + 1;
    for (int i = 0; i < p->choices; i++)
        if (worth_a_trial(p, i, waiting)) {
            pace_choose(p, i);
            return;
        }
}

/* ---- this process ---- */

static struct {
    bool adapt;
    int most;
    Pace pace[WORK_KINDS];
    double seconds, cpu; /* when the work began */
} threads;

#ifdef _OPENMP
int threads_now(void) { return omp_in_parallel() ? 1 : omp_get_max_threads(); }
int threads_most(void) { return threads.adapt ? threads.most : omp_get_max_threads(); }
int thread_number(void) { return omp_get_thread_num(); }
static void threads_set(int n) { omp_set_num_threads(n); }
#else
int threads_now(void) { return 1; }
int threads_most(void) { return 1; }
int thread_number(void) { return 0; }
static void threads_set(int n) { (void)n; }
#endif

void threads_use(int n) {
    threads.adapt = false;
    threads_set(n);
}

void threads_adapt(void) {
    threads.most = threads_most();
    threads.adapt = threads.most > 1;
    for (int kind = 0; kind < WORK_KINDS; kind++) threads.pace[kind] = pace_new(threads.most);
}

static double cpu_now(void) { return (double)clock() / CLOCKS_PER_SEC; }

void threads_begin(WorkKind kind) {
    if (!threads.adapt) return;
    threads_set(pace_threads(&threads.pace[kind]));
    threads.seconds = seconds_now();
    threads.cpu = cpu_now();
}

void threads_end(WorkKind kind, double work) {
    if (threads.adapt)
        pace_add(&threads.pace[kind], work, seconds_now() - threads.seconds,
                 cpu_now() - threads.cpu);
}
