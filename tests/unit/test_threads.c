/* Tests of lib/threads.c: the rule against machines made of numbers, then the passes of a model
 * whose threads follow a real one. Time here is a number that the test makes up; a clock runs in
 * the last two, of which no check depends on speed. */
#include "lib/threads.h"

#include <string.h>

#include "tests/unit/check.h"
#include "tests/unit/world.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- machines of numbers ---- */

enum { CORES = 8 };

/* Work a second, and seconds of all threads a second, with so many threads. */
typedef struct {
    double speed[CORES + 1], cpu[CORES + 1];
} Machine;

static const Machine QUIET = {{0, 1, 1.8}, {0, 1, 1.95}};
/* Another program on one of two cores: each thread waits half of the time. */
static const Machine BUSY = {{0, 1, 0.6}, {0, 1, 1.02}};
/* The same where the system does not see who takes the time. */
static const Machine HIDDEN = {{0, 1, 0.6}, {0, 1, 1.99}};

/* One piece of work of this size. Returns its seconds. */
static double piece(Pace *p, const Machine *machine, double work) {
    int n = pace_threads(p);
    double seconds = work / machine->speed[n];
    pace_add(p, work, seconds, seconds * machine->cpu[n]);
    return seconds;
}

/* Pieces of about `long_` seconds of one thread until `seconds` have passed; *at_one: the
 * seconds of them with one thread. Returns the work done. */
static double run(Pace *p, const Machine *machine, double seconds, double long_, double *at_one) {
    double done = 0, now = 0;
    *at_one = 0;
    while (now < seconds) {
        bool one = pace_threads(p) == 1;
        double took = piece(p, machine, long_);
        now += took;
        done += long_;
        if (one) *at_one += took;
    }
    return done;
}

static void test_choices(void) {
    static const int wanted[][1 + PACE_CHOICES] = {
        {1, 1},          {2, 2, 1},       {3, 3, 2, 1},       {4, 4, 3, 2, 1},
        {5, 5, 4, 2, 1}, {8, 8, 7, 4, 1}, {64, 64, 63, 32, 1}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        Pace p = pace_new(wanted[i][0]);
        int n = 0;
        while (n < PACE_CHOICES && wanted[i][1 + n]) n++;
        CHECK(p.choices == n && memcmp(p.threads, wanted[i] + 1, (size_t)n * sizeof(int)) == 0,
              "%d threads: other choices", wanted[i][0]);
        CHECK(pace_threads(&p) == wanted[i][0], "%d threads: begins with %d", wanted[i][0],
              pace_threads(&p));
    }
}

/* A machine of its own: fewer threads are tried once in 256 stretches, so what they lose is
 * below 2 stretches in 256. */
static void test_quiet(double long_) {
    Pace p = pace_new(2);
    double at_one, done = run(&p, &QUIET, 1000, long_, &at_one);
    CHECK(at_one > 0 && at_one < 1000 * 2.0 / 256,
          "quiet, pieces of %g s: %g of 1000 s with one thread", long_, at_one);
    CHECK(done > 1000 * 1.8 * (1 - 1.0 / 256), "quiet, pieces of %g s: %g of %g done", long_, done,
          1800.0);
}

/* Beside a neighbor from the beginning: what one thread would have done, less the trials, each
 * of a piece that is not counted and a stretch, after each 128 stretches; the first ones, after
 * 8, 16, 32 and 64, take less than a second more. */
static void test_busy(double long_) {
    Pace p = pace_new(2);
    double at_one, done = run(&p, &BUSY, 1000, long_, &at_one);
    double stretch = long_ < 0.05 ? 0.05 : long_,
           trial = long_ < 0.05 ? 0.05 + long_ / 0.6 : 2 * long_ / 0.6;
    double tried = trial / (128 * stretch); /* share of the time */
    CHECK(done > 1000 * (1 - 0.4 * tried) - 1, "busy, pieces of %g s: %g of 1000 done", long_,
          done);
    CHECK(at_one > 1000 * (1 - tried) - 1 && at_one < 1000,
          "busy, pieces of %g s: %g of 1000 s with one thread", long_, at_one);
}

/* The rule, piece by piece: how many of them run with 2, 1, 2, ... threads. A stretch is
 * `pieces` of them; a trial of more threads takes one piece longer. */
static void test_sequence(int pieces) {
    static const struct {
        const Machine *machine;
        int threads, stretches, settle;
    } rule[] = {{&BUSY, 2, 1, 0}, /* one thread is tried at once, and faster */
                {&BUSY, 1, 8, 0},
                {&BUSY, 2, 1, 1},
                {&BUSY, 1, 16, 0},
                {&BUSY, 2, 1, 1},
                {&BUSY, 1, 32, 0},
                {&BUSY, 2, 1, 1},
                {&BUSY, 1, 64, 0},
                {&BUSY, 2, 1, 1},
                {&BUSY, 1, 128, 0},
                {&BUSY, 2, 1, 1},
                {&BUSY, 1, 128, 0},
                {&QUIET, 2, 8, 1}, /* the trial, and home for seven more */
                /* pauses begin again */
                {&BUSY, 2, 1, 0},
                {&BUSY, 1, 8, 0},
                {&BUSY, 2, 1, 1},
                {&BUSY, 1, 16, 0},
                {&QUIET, 2, 256, 1},
                {&QUIET, 1, 1, 0},
                {&QUIET, 2, 256, 1},
                {&QUIET, 1, 1, 0}};
    Pace p = pace_new(2);
    for (size_t r = 0; r < sizeof rule / sizeof *rule; r++)
        for (int i = 0; i < rule[r].stretches * pieces + rule[r].settle; i++) {
            CHECK(pace_threads(&p) == rule[r].threads,
                  "pieces of 1/%d stretch, line %zu, piece %d: %d threads", pieces, r, i,
                  pace_threads(&p));
            double seconds = 0.0501 / pieces; /* all take as long: speed is in the work */
            pace_add(&p, rule[r].machine->speed[rule[r].threads], seconds,
                     seconds * rule[r].machine->cpu[rule[r].threads]);
        }
}

/* A neighbor comes and goes: after some stretches the number is right again. */
static void test_change(void) {
    Pace p = pace_new(2);
    double at_one;
    run(&p, &QUIET, 20, 0.1, &at_one);
    CHECK(pace_threads(&p) == 2, "quiet: %d threads", pace_threads(&p));
    run(&p, &BUSY, 0.5, 0.1, &at_one);
    CHECK(pace_threads(&p) == 1, "0.5 s after a neighbor came: %d threads", pace_threads(&p));
    run(&p, &BUSY, 60, 0.1, &at_one);
    run(&p, &QUIET, 0.1 * 131, 0.1, &at_one); /* at most 128 stretches, and those of the trial */
    CHECK(pace_threads(&p) == 2, "131 stretches after it left: %d threads", pace_threads(&p));
    run(&p, &QUIET, 2, 0.1, &at_one);
    run(&p, &BUSY, 1.5, 0.1, &at_one); /* no pause but the shortest */
    CHECK(pace_threads(&p) == 1, "1.5 s after it came again: %d threads", pace_threads(&p));
}

static void test_hidden(void) {
    Pace p = pace_new(2);
    double at_one;
    run(&p, &HIDDEN, 0.1 / 0.6 * 240, 0.1, &at_one);
    CHECK(at_one == 0, "nothing tells of the neighbor: one thread after %g s", at_one);
    run(&p, &HIDDEN, 0.1 / 0.6 * 12, 0.1, &at_one);
    CHECK(at_one > 0, "256 stretches, and one thread was not tried");
    run(&p, &HIDDEN, 10, 0.1, &at_one);
    CHECK(at_one > 8.5, "one thread was faster, and %g of 10 s had it", at_one);
}

/* Eight cores, one of them half another program's: seven threads are the best. Half of the
 * cores: four. And where all threads get one core's time, one is. */
static void test_many(void) {
    Machine m = {{0, 1, 2, 3, 4, 5, 6, 7, 4}, {0, 1, 2, 3, 4, 5, 6, 7, 4.5}};
    double at_one;
    Pace p = pace_new(8);
    run(&p, &m, 10, 0.5, &at_one);
    CHECK(p.threads[p.home] == 7, "one neighbor on 8 cores: %d threads", p.threads[p.home]);
    CHECK(at_one == 0, "one neighbor on 8 cores: one thread for %g s", at_one);
    m = (Machine){{0, 1, 2, 3, 3.9, 4, 3, 3.2, 3.5}, {0, 1, 2, 3, 4, 5, 4, 4, 4}};
    p = pace_new(8);
    run(&p, &m, 20, 0.5, &at_one);
    CHECK(p.threads[p.home] == 4, "four cores of eight: %d threads", p.threads[p.home]);
    m = (Machine){{0, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3}, {0, 1, 1, 1, 1, 1, 1, 1, 1}};
    p = pace_new(8);
    run(&p, &m, 20, 0.1, &at_one);
    CHECK(p.threads[p.home] == 1, "one core of eight: %d threads", p.threads[p.home]);
}

/* Not faster by a tenth: no change. And never a choice but the only one. */
static void test_margin(void) {
    Machine even = {{0, 1.05, 1}, {0, 1, 1.2}};
    double at_one;
    Pace p = pace_new(2);
    run(&p, &even, 100, 0.1, &at_one);
    CHECK(p.threads[p.home] == 2, "5 %% are noise, and the number changed");
    even.speed[1] = 1.15;
    run(&p, &even, 100, 0.1, &at_one);
    CHECK(p.threads[p.home] == 1, "15 %% are none, and the number stayed");
    p = pace_new(1);
    run(&p, &BUSY, 20, 0.1, &at_one);
    CHECK(pace_threads(&p) == 1 && p.choices == 1, "one thread became %d", pace_threads(&p));
}

/* Decisions depend on ratios of work, not on its unit, and fall at the ends of stretches only. */
static void test_units(void) {
    Pace small = pace_new(4), large = pace_new(4);
    Machine m = {{0, 1, 2, 1.5, 1}, {0, 1, 2, 2, 2}};
    for (int i = 0; i < 400; i++) {
        int n = pace_threads(&small);
        double seconds = 0.06 / m.speed[n];
        pace_add(&small, 0.06, seconds, seconds * m.cpu[n]);
        pace_add(&large, 6e13, seconds, seconds * m.cpu[n]);
        CHECK(pace_threads(&small) == pace_threads(&large),
              "piece %d: another unit, another number", i);
    }
    CHECK(small.threads[small.home] == 2, "two cores of four: %d threads",
          small.threads[small.home]);
    Pace p = pace_new(2);
    for (int i = 0; i < 49; i++) pace_add(&p, 1, 0.001, 0.001);
    CHECK(pace_threads(&p) == 2, "49 ms are no stretch");
    for (int i = 0; i < 2; i++) pace_add(&p, 1, 0.001, 0.001);
    CHECK(pace_threads(&p) == 1, "51 ms are one, half of whose time was waited");
}

/* ---- this process ---- */

#ifdef _OPENMP
/* Forward passes learn that one thread is the fastest, backward passes still have all: memory
 * must be for all. What is learned from is one thread's spinning, sold as 1000 times the work for
 * each thread less, so that no pause of this process can make fewer threads look slower. Of eight
 * most waited, so fewer are tried. */
static void test_memory(void) {
    enum { MOST = 8, LENGTH = 60, ROWS = 8 };
    threads_use(MOST);
    threads_adapt();
    for (int i = 0; i < 8; i++) { /* 8, 7, 4, 1, and at 1 from then on: more is tried after 8
                                   * stretches */
        threads_begin(WORK_FORWARD);
        double begin = seconds_now(), took = 0;
        while (took < 0.06) took = seconds_now() - begin;
        threads_end(WORK_FORWARD, took * pow(1000, MOST - threads_now()));
    }
    Model *m = random_model(1, LENGTH);
    Workspace *ws = workspace_new();
    Batch b = {0};
    Rng rng = rng_new(6, 0);
    double dlogp[ROWS], logp[ROWS];
    int sequence[LENGTH + 1];
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i <= LENGTH; i++) sequence[i] = rng_below(&rng, VOCAB);
        batch_row(&b, sequence, LENGTH + 1, 1, NULL);
        dlogp[r] = 1;
    }
    real *grad = mem_new(m->parameters, sizeof *grad);
    model_forward(m, ws, &b, true, logp, NULL);
    size_t bytes = workspace_bytes(ws);
    CHECK(threads_now() == 1 && threads_most() == MOST, "forward: %d of %d threads", threads_now(),
          threads_most());
    model_backward(m, ws, &b, dlogp, grad, false);
    CHECK(threads_now() == MOST, "backward: %d threads", threads_now());
    threads_use(MOST);
    workspace_free(ws);
    ws = workspace_new();
    model_forward(m, ws, &b, true, logp, NULL);
    CHECK(workspace_bytes(ws) == bytes, "%zu bytes when one thread began, %zu are needed by %d",
          bytes, workspace_bytes(ws), MOST);
    free(grad);
    batch_free(&b);
    workspace_free(ws);
    model_free(m);
}
#endif

/* With more threads than cores they wait for one another, so numbers change while this runs; the
 * bits must not. */
static void test_passes(void) {
    enum { ROWS = 24, LENGTH = 60, MOST = 8, PASSES = 60 };
    Model *m = random_model(1, LENGTH);
    Batch b = {0};
    Rng rng = rng_new(5, 0);
    double dlogp[ROWS], logp[2][ROWS];
    int sequence[LENGTH + 1];
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i <= LENGTH; i++) sequence[i] = rng_below(&rng, VOCAB);
        batch_row(&b, sequence, LENGTH + 1, 1, NULL);
        dlogp[r] = rng_normal(&rng);
    }
    real *grad[2] = {mem_new(m->parameters, sizeof(real)), mem_new(m->parameters, sizeof(real))};
    for (int way = 0; way < 2; way++) {
        threads_use(way ? MOST : 1);
        if (way) threads_adapt();
        Workspace *ws = workspace_new();
        for (int pass = 0; pass < (way ? PASSES : 1); pass++) {
            if (pass % 2) model_forward_backward(m, ws, &b, dlogp, logp[way], grad[way], false);
            else {
                model_forward(m, ws, &b, true, logp[way], NULL);
                model_backward(m, ws, &b, dlogp, grad[way], false);
            }
            bool same = memcmp(logp[way], logp[0], sizeof logp[0]) == 0 &&
                        memcmp(grad[way], grad[0], m->parameters * sizeof(real)) == 0;
            CHECK(same, "pass %d with up to %d threads: other bits", pass, MOST);
        }
        workspace_free(ws);
    }
#ifdef _OPENMP
    CHECK(threads_most() == MOST, "at most %d threads, not %d", MOST, threads_most());
    threads_use(2);
    threads_adapt();
    omp_set_num_threads(1);
    CHECK(threads_most() == 2 && threads_now() == 1, "at most 2 threads, now 1: %d, %d",
          threads_most(), threads_now());
    threads_begin(WORK_FORWARD);
    CHECK(threads_now() == 2, "work begins with %d threads", threads_now());
    threads_end(WORK_FORWARD, 1);
    threads_use(3);
    CHECK(threads_most() == 3 && threads_now() == 3, "exactly 3 threads: %d of %d", threads_now(),
          threads_most());
#endif
    for (int way = 0; way < 2; way++) free(grad[way]);
    batch_free(&b);
    model_free(m);
}

int main(void) {
    test_choices();
    test_quiet(0.1);
    test_quiet(0.001);
    test_busy(0.1);
    test_busy(0.001);
    test_sequence(1);
    test_sequence(3);
    test_change();
    test_hidden();
    test_many();
    test_margin();
    test_units();
#ifdef _OPENMP
    test_memory();
#endif
    test_passes();
    return check_report("threads");
}
