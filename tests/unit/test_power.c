/* The power fails in the middle of a save. Every call that a run makes is recorded. Then, for every
 * number of calls that were made, every disk is built that may then be left (tests/unit/power.h),
 * and the run is loaded from it: it must be the old state or the new one, whole. Runs: of three
 * saves; that keep one state; that continue from the state before because the newest is damaged;
 * that keep the best parameters, and put them back at the end; that write events for TensorBoard;
 * that take the place of another run. */
#define _XOPEN_SOURCE 700
#include "tests/unit/power.h"

#include <math.h>

#include "data/keep.h"
#include "data/run.h"

/* ---- a run ---- */

enum { KEPT = 3, STEPS = 6, NEW = 5 /* the first step of a run that replaces another */ };

/* What each step's evaluation says, and of which step the best one then is. */
static const double LOSS[STEPS + 1] = {NAN, 3, 2, 2.5, 1, NAN, NAN};
static const int BEST[STEPS + 1] = {0, 1, 2, 2, 4, 0, 0};

/* A tiny run whose state tells which save it is of. */
typedef struct {
    ModelFolder folder;
    Run run;
    RunState state;
    KeepOptions how;
    Keep keep;
    double kept[KEPT];
} Small;

static void small_new(Small *s, const RunHeader *header, bool best) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 4, .context = 8, .vocab = 8};
    RunHeader h = *header;
    h.command = "train";
    h.machine = "{}";
    if (!h.options) h.options = "{}";
    *s = (Small){.folder = {.model = model_new(shape, &err)}, .how.best = best};
    s->run = run_new(&h, &s->folder);
    s->state =
        (RunState){.run = &s->run, .optimizer = optimizer_new(s->folder.model, 0.9, 0.95, 0.1)};
    run_state_keep(&s->state, "kept", s->kept, KEPT);
    keep_new(&s->keep, &s->how, &s->state);
}

static void small_free(Small *s) {
    run_free(&s->run);
    optimizer_free(s->state.optimizer);
    model_folder_free(&s->folder);
}

/* Is it a parameter of that step? */
static bool is_of(const Model *m, int step) {
    bool same = true;
    for (size_t i = 0; i < m->parameters; i++) same &= m->w[i] == (real)step + (real)i / 1024;
    return same;
}

/* Sets every number of the state to one that tells the step. */
static void small_set(Small *s, int step) {
    const Model *m = s->folder.model;
    for (size_t i = 0; i < m->parameters; i++) {
        m->w[i] = (real)step + (real)i / 1024;
        s->state.optimizer->m[i] = (real)(2 * step);
        s->state.optimizer->v[i] = (real)(3 * step);
    }
    for (int i = 0; i < KEPT; i++) s->kept[i] = step + 0.25 * i;
    s->state.optimizer->step = step;
}

/* Is every number that of this step? */
static bool small_is(const Small *s, int step) {
    const Model *m = s->folder.model;
    bool same = s->state.optimizer->step == step && is_of(m, step);
    for (size_t i = 0; i < m->parameters; i++)
        same &= s->state.optimizer->m[i] == (real)(2 * step) &&
                s->state.optimizer->v[i] == (real)(3 * step);
    for (int i = 0; i < KEPT; i++) same &= s->kept[i] == step + 0.25 * i;
    return same;
}

/* One step of the run: an evaluation, a log line, a save. */
static void small_step(Small *s, int step) {
    Error err = {0};
    LogWindow window = {.sum = {.steps = 1, .loss = step}};
    LogLine line = log_line(&window, step);
    small_set(s, step);
    line.eval_nll = LOSS[step];
    CHECK(keep_judge(&s->keep, &line, s->folder.model, &err) && run_log(&s->run, &line, &err) &&
              run_state_save(&s->state, &err),
          "%s", err.text);
}

/* ---- what a disk must have ---- */

static struct {
    const char *crashed;  /* the folder that disks are written to */
    int steps[STEPS + 1]; /* how many disks loaded each step; steps[0]: there is no state */
    bool best, placed;    /* the run keeps its best parameters; it takes another's place */
    bool events;          /* it writes events for TensorBoard */
} seen;

/* Does the model folder hold the weights of a step between `from` and `to`? */
static bool model_is(const char *path, int from, int to) {
    Error err = {0};
    Model *m = model_load(path, &err);
    bool is = false;
    for (int step = from; m && step <= to; step++) is |= is_of(m, step);
    model_free(m);
    return is;
}

/* The log reaches as far as the state says, each of these lines is whole, and so is run.json. */
static void check_texts(const Small *s, int step, const char *where) {
    Error err = {0};
    Buf log = {0};
    Arena arena = {0};
    char *name = path_join(seen.crashed, "log.jsonl");
    bool has = file_read(name, &log, &err) && (int64_t)log.n >= s->run.log_bytes;
    int lines = 0, wanted = step >= NEW ? step - NEW + 1 : step;
    for (int64_t i = 0; has && i < s->run.log_bytes; i++) lines += log.s[i] == '\n';
    CHECK(has && lines == wanted, "%s: %d lines of the log at step %d", where, lines, step);
    free(name);
    name = path_join(seen.crashed, "run.json");
    CHECK(file_read(name, &log, &err) && json_parse(&arena, log.s, log.n, NULL),
          "%s: run.json is torn", where);
    arena_free(&arena);
    free(name);
    buf_free(&log);
}

static bool has(const char *name) {
    char *path = path_join(seen.crashed, name);
    bool is = file_exists(path);
    free(path);
    return is;
}

/* Loads the run, and returns its step, or 0. *damaged: the newest state could not be read. */
static int load_step(Small *s, bool *damaged, Error *err) {
    RunHeader header = {.folder = seen.crashed, .resume = seen.crashed, .tensorboard = seen.events};
    small_new(s, &header, seen.best);
    bool ok = run_state_load(&s->state, seen.crashed, err);
    *damaged = s->state.damaged;
    return ok ? (int)s->state.optimizer->step : 0;
}

/* The other state, if there is one, is whole, of the same run, and not newer. */
static void check_previous(int newest, const char *where) {
    Small s;
    Error err = {0};
    bool damaged;
    char *path = path_join(seen.crashed, "training_state.safetensors");
    unlink(path);
    free(path);
    if (!run_state_exists(seen.crashed)) return;
    int step = load_step(&s, &damaged, &err);
    CHECK(step > 0 && step <= newest && (step >= NEW) == (newest >= NEW) && small_is(&s, step),
          "%s: beside step %d there is step %d: %s", where, newest, step, err.text);
    small_free(&s);
}

/* The best parameters that the state tells of are there, and can be put back. */
static void check_best(Small *s, int step, const char *where) {
    Error err = {0};
    CHECK(keep_resumed(&s->keep, &err) && s->keep.told.step == BEST[step] &&
              keep_finish(&s->keep, -1, s->folder.model, &err) &&
              is_of(s->folder.model, BEST[step]),
          "%s: the best of step %d: %s", where, step, err.text);
}

/* The records of an event file, each of which begins with the length of its data and has two sums
 * of four bytes, or -1 if it ends within one. */
static int events_count(const Buf *b) {
    enum { LENGTH = 8, SUMS = 8 };
    uint64_t size;
    int n = 0;
    for (size_t at = 0; at < b->n; at += LENGTH + SUMS + (size_t)size, n++) {
        if (b->n - at < LENGTH + SUMS) return -1;
        memcpy(&size, b->s + at, LENGTH);
        if (size > b->n - at - LENGTH - SUMS) return -1;
    }
    return n;
}

/* Continued, the run has the event that begins a file and one for each step up to its state. */
static void check_events(Small *s, int step, const char *where) {
    Error err = {0};
    Buf events = {0};
    char *path = path_join(seen.crashed, "events.out.tfevents.ica");
    CHECK(run_begin(&s->run, &err) && run_end(&s->run, &err) && file_read(path, &events, &err) &&
              events_count(&events) == 1 + step,
          "%s: %d events at step %d: %s", where, events_count(&events), step, err.text);
    buf_free(&events);
    free(path);
}

/* Of the two runs one is there, and nothing of the other. The first has a metrics.json. */
static void check_place(int step, const char *where) {
    CHECK(!has("next") && !has("ready") && !has("moving"), "%s: a folder is left", where);
    CHECK(has("metrics.json") == (step < NEW), "%s: step %d and the metrics of another run", where,
          step);
}

/* Loads the run from a disk after a loss: it is the state of step `from` or `to`, and its log has
 * at least the lines up to there. from 0: there may be no state yet. */
static void load(const Stretch *part, const char *where) {
    Small s;
    Error err = {0};
    bool damaged;
    if (!run_state_exists(seen.crashed)) {
        CHECK(part->from == 0, "%s: the state of step %d is gone", where, part->from);
        seen.steps[0]++;
        return;
    }
    int step = load_step(&s, &damaged, &err);
    bool is = step > 0 && (step == part->from || step == part->to) && small_is(&s, step);
    CHECK(is, "%s: step %d: %s", where, step, err.text);
    if (is) {
        seen.steps[step]++;
        int least = seen.placed ? step : part->model[0];
        CHECK(model_is(seen.crashed, least, part->model[1]), "%s: the model folder is torn", where);
        check_texts(&s, step, where);
        if (seen.best) check_best(&s, step, where);
        if (seen.placed) check_place(step, where);
        if (seen.events) check_events(&s, step, where);
        if (!damaged) check_previous(step, where);
    }
    small_free(&s);
}

static void look(const Loss *loss, const Stretch *part, const char *where) {
    RunPlace place = {0};
    Error err = {0};
    loss_write(loss, seen.crashed);
    if (seen.placed)
        CHECK(place_open(&place, seen.crashed, PLACE_RESUME, &err), "%s: %s", where, err.text);
    load(part, where);
    if (seen.placed) place_close(&place);
}

/* ---- the runs ---- */

static void stretch(int from, int to, int model, int newest) {
    tape_stretch(&(Stretch){.from = from, .to = to, .model = {model, newest}});
}

/* Steps from..to, each with a save. `before`: the step of the state before the first. */
static void steps(Small *s, int before, int from, int to) {
    for (int step = from; step <= to; step++) {
        small_step(s, step);
        stretch(before, step, before, step);
        before = step;
    }
}

/* A run of so many saves. */
static void record_run(const char *path, bool best, bool one_state, int last) {
    Error err = {0};
    Small s;
    RunHeader header = {.folder = path, .one_state = one_state, .tensorboard = seen.events};
    small_new(&s, &header, best);
    CHECK(run_begin(&s.run, &err), "%s", err.text);
    stretch(0, 0, 0, 0);
    steps(&s, 0, 1, last);
    if (best) {
        CHECK(keep_finish(&s.keep, last, s.folder.model, &err), "%s", err.text);
        stretch(last, last, BEST[last], last);
    }
    small_free(&s);
}

static void record_saves(const char *path) { record_run(path, false, false, 3); }

static void record_events(const char *path) { record_run(path, false, false, 3); }

static void record_one_state(const char *path) { record_run(path, false, true, 3); }

/* The best of them are those of steps 1, 2 and 4; or those of steps 1 and 2, put back after step
 * 3. */
static void record_best(const char *path) { record_run(path, true, false, 4); }

static void record_put_back(const char *path) { record_run(path, true, true, 3); }

/* The newest state of a run of three saves is damaged. The run continues from the state before, and
 * saves twice: until the first of these saves is safe, the state before must stay. */
static void record_damage_of(const char *path, bool one_state) {
    Error err = {0};
    Small s;
    RunHeader header = {.folder = path, .resume = path, .one_state = one_state};
    record_saves(path);
    char *state = path_join(path, "training_state.safetensors");
    CHECK(file_write(state, "damaged", 7, &err), "%s", err.text);
    stretch(3, 2, 3, 3);
    small_new(&s, &header, false);
    CHECK(run_state_load(&s.state, path, &err) && small_is(&s, 2), "%s", err.text);
    CHECK(run_begin(&s.run, &err), "%s", err.text);
    stretch(2, 2, 3, 3); /* the model folder is still of step 3 */
    steps(&s, 2, 3, 4);
    small_free(&s);
    free(state);
}

static void record_damage(const char *path) { record_damage_of(path, false); }

static void record_damage_one_state(const char *path) { record_damage_of(path, true); }

/* A run of two saves has ended, and --overwrite puts another in its place. */
static void record_replace(const char *path) {
    Error err = {0};
    Small s;
    RunPlace place;
    RunHeader old = {.folder = path, .options = "{\"eval\":\"test.jsonl\"}"};
    char *metrics = path_join(path, "metrics.json");
    small_new(&s, &old, false);
    CHECK(run_begin(&s.run, &err), "%s", err.text);
    for (int step = 1; step <= 2; step++) small_step(&s, step);
    CHECK(run_end(&s.run, &err) && file_write(metrics, "{}\n", 3, &err), "%s", err.text);
    small_free(&s);
    free(metrics);
    tape_settle();
    stretch(2, 2, 2, 2);
    CHECK(place_open(&place, path, PLACE_REPLACE, &err), "%s", err.text);
    RunHeader header = {.folder = path, .place = &place};
    small_new(&s, &header, false);
    CHECK(run_begin(&s.run, &err), "%s", err.text);
    stretch(2, 2, 2, 2);
    steps(&s, 2, NEW, STEPS);
    place_close(&place);
    small_free(&s);
}

/* ---- the test ---- */

/* Records a run and loses the power after each call. The run ends at step `last`; a disk had each
 * step from `first` on. */
static void test_losses(const char *base, void (*run)(const char *), const char *name, int first,
                        int last) {
    char *path = path_join(base, "run");
    Error err = {0};
    CHECK(folder_make(path, &err) && folder_make(seen.crashed, &err), "%s", err.text);
    memset(seen.steps, 0, sizeof seen.steps);
    seen.best = run == record_best || run == record_put_back;
    seen.placed = run == record_replace;
    seen.events = run == record_events;
    tape_begin(path);
    run(path);
    tape.on = false;
    int disks = power_each(look);
    printf("%s: %d calls, %d disks", name, tape.n, disks);
    for (int i = first; i <= last; i++)
        if (seen.steps[i]) printf(", %d of step %d", seen.steps[i], i);
    printf("\n");
    for (int i = first; i <= last; i++)
        CHECK(seen.steps[i] > 0 || (seen.placed && i > 2 && i < NEW), "no disk has state %d", i);
    tape_end();
    empty_folder(path);
    empty_folder(seen.crashed);
    CHECK(rmdir(path) == 0 && rmdir(seen.crashed) == 0, "%s is not empty", base);
    free(path);
}

int main(void) {
    char name[] = "/tmp/test_power.XXXXXX", *base = mkdtemp(name) ? realpath(name, NULL) : NULL;
    CHECK(base, "cannot make %s", name);
    if (base) {
        char *crashed = path_join(base, "crashed");
        seen.crashed = crashed;
        test_losses(base, record_saves, "saves", 0, 3);
        test_losses(base, record_one_state, "one state", 0, 3);
        test_losses(base, record_damage, "a damaged state", 0, 4);
        test_losses(base, record_damage_one_state, "a damaged state, then one", 0, 4);
        test_losses(base, record_best, "the best parameters", 0, 4);
        test_losses(base, record_put_back, "the best parameters, put back", 0, 3);
        test_losses(base, record_events, "events for TensorBoard", 0, 3);
        test_losses(base, record_replace, "a run in place of another", 2, STEPS);
        free(crashed);
    }
    CHECK(rmdir(name) == 0, "%s is not empty", name);
    free(base);
    return check_report("test_power");
}
