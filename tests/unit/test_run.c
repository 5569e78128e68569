/* Tests of data/run: what run.json says, what a resumed run keeps of it, and the sums of a step.
 * tests/unit/test_train.c has the training state. */
#define _XOPEN_SOURCE 700
#include "data/run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"
#include "tests/unit/check.h"
#include "tests/unit/world.h"

static char folder[] = "/tmp/test_run.XXXXXX";

/* ---- run.json ---- */

static const Json *written(Arena *arena) {
    Error err = {0};
    const Json *root = run_json(folder, arena, &err);
    CHECK(root, "%s", err.text);
    return root;
}

static bool has_text(const Json *root, const char *key, const char *text) {
    const Json *v = json_get(root, key);
    return v && v->type == JSON_STRING && str_is(v->string, text);
}

/* What all runs here say of themselves. */
static RunHeader header_of_all(void) {
    return (RunHeader){.folder = folder,
                       .command = "train",
                       .group = "pool",
                       .arm = "uniform",
                       .objective = "sft",
                       .options = "{\"seed\":7}",
                       .machine = "{\"cores\":1}"};
}

/* A run from its beginning to its result. `resume`: it goes on in the folder. */
static void one_run(const Model *m, const char *resume, double before, const char *result) {
    char option[] = "--seed", value[] = "7", *arguments[] = {option, value};
    RunHeader header = header_of_all();
    header.resume = resume;
    header.seed = 7;
    header.argc = 2;
    header.argv = arguments;
    Error err = {0};
    Run run = run_new(&header, NULL);
    run_input(&run, "pool.jsonl", 0x1234);
    CHECK(run_base(&run, "base", m, &err), "%s", err.text);
    run_before(&run, "eval_nll", before);
    CHECK(run_was_before(&run, "eval_nll") == 1.25, "before the first step: %g",
          run_was_before(&run, "eval_nll"));
    CHECK(isnan(run_was_before(&run, "eval_loss")), "a number that was not noted");
    CHECK(run_begin(&run, &err), "%s", err.text);
    buf_puts(&run.result, result);
    CHECK(run_end(&run, &err), "%s", err.text);
    run_free(&run);
}

static void check_header(const Json *root) {
    const Json *base = json_get(root, "base"), *arguments = json_get(root, "arguments");
    CHECK(has_text(root, "version", ICA_VERSION) && has_text(root, "command", "train") &&
              has_text(root, "group", "pool") && has_text(root, "arm", "uniform") &&
              has_text(root, "objective", "sft") && json_number(root, "seed") == 7,
          "what was asked for");
    CHECK(json_number(json_get(root, "options"), "seed") == 7, "options");
    CHECK(json_number(json_get(root, "machine"), "cores") == 1, "machine");
    CHECK(arguments && arguments->count == 2 && str_is(arguments->items[0].string, "--seed") &&
              str_is(arguments->items[1].string, "7"),
          "arguments");
    CHECK(has_text(base, "path", "base"), "the base's folder");
    CHECK(json_number(json_get(root, "before"), "eval_nll") == 1.25, "before the first step");
}

/* A resumed run has another base and other evaluations before its first step: it keeps what the
 * run noted when it began. */
static void test_header(void) {
    Arena arena = {0};
    Error err = {0};
    Model *m = random_model(1, 96), *later = random_model(2, 96);
    one_run(m, NULL, 1.25, "");
    const Json *root = written(&arena);
    check_header(root);
    const Json *print = json_get(json_get(root, "base"), "fingerprint");
    CHECK(!run_has_result(folder, &err) && err.status == 0, "a run without a result");
    one_run(later, folder, 2.5, "\"loss\":2.5");
    root = written(&arena);
    check_header(root);
    const Json *kept = json_get(json_get(root, "base"), "fingerprint");
    CHECK(print && kept && print->string.n == 16 && str_equal(print->string, kept->string),
          "the base's fingerprint");
    CHECK(json_number(json_get(root, "result"), "loss") == 2.5, "the result");
    CHECK(run_has_result(folder, &err), "a run with a result");
    /* A resumed run whose run.json cannot be read would lose what it noted. */
    Run lost =
        run_new(&(RunHeader){.folder = folder, .resume = "/dev/null", .command = "train"}, NULL);
    CHECK(!run_base(&lost, "base", m, &err) && err.status != 0, "run.json is gone: %s", err.text);
    run_free(&lost);
    model_free(m);
    model_free(later);
    arena_free(&arena);
}

/* ---- events ---- */

static bool holds(const Buf *b, const char *text) {
    size_t n = strlen(text);
    for (size_t i = 0; i + n <= b->n; i++)
        if (memcmp(b->s + i, text, n) == 0) return true;
    return false;
}

/* TensorBoard's file has each number of a line that is known, under its tag. */
static void test_events(void) {
    RunHeader header = header_of_all();
    header.tensorboard = true;
    LogWindow window = {.sum = {.steps = 2, .loss = 5, .tokens = 60}, .seconds = 2};
    LogLine line = log_line(&window, 2);
    line.eval_nll = 1.5;
    line.icl_p_sequence = 0.25;
    Error err = {0};
    Run run = run_new(&header, NULL);
    CHECK(run_begin(&run, &err) && run_log(&run, &line, &err), "%s", err.text);
    CHECK(run_end(&run, &err), "%s", err.text);
    run_free(&run);
    char path[64];
    Buf events = {0};
    snprintf(path, sizeof path, "%s/events.out.tfevents.ica", folder);
    CHECK(file_read(path, &events, &err), "%s", err.text);
    static const char *const known[] = {"train/loss", "train/tokens_per_second", "eval/nll",
                                        "icl/p_sequence"},
                             *const unknown[] = {"step", "ess", "learning_rate", "eval/loss"};
    for (int i = 0; i < 4; i++) {
        CHECK(holds(&events, known[i]), "no %s among the events", known[i]);
        CHECK(!holds(&events, unknown[i]), "%s is among the events", unknown[i]);
    }
    buf_free(&events);
}

/* ---- sums ---- */

/* Two steps, the first with a scoring of 4 of its 10 seconds. */
static void test_spend(void) {
    StepReport r = {.steps = 1, .loss = 2.5, .tokens = 60, .flops = 100, .trained = 4};
    LogWindow window = {0};
    Spent spent = {0};
    Tempo tempo = {0};
    step_spend(&r, 10, 4, &window, &spent, &tempo);
    step_spend(&r, 3, 0, &window, &spent, &tempo);
    CHECK(window.sum.steps == 2 && window.sum.loss == 5 && window.sum.trained == 8, "sums");
    CHECK(window.seconds == 13, "%g seconds", window.seconds);
    CHECK(spent.train_seconds == 9 && spent.score_seconds == 0, "training: %g s",
          spent.train_seconds);
    CHECK(spent.train_tokens == 120 && spent.train_flops == 200 && spent.trained == 8, "spent");
    CHECK(tempo.steps.done == 2 && tempo.steps.seconds == 9, "steps: %g in %g s", tempo.steps.done,
          tempo.steps.seconds);
    CHECK(tempo.scorings.done == 1 && tempo.scorings.seconds == 4, "scorings: %g in %g s",
          tempo.scorings.done, tempo.scorings.seconds);
    CHECK(tempo.records == 8, "%g records", tempo.records);
}

int main(void) {
    CHECK(mkdtemp(folder), "%s", folder);
    test_header();
    test_events();
    test_spend();
    static const char *const left[] = {"run.json", "log.jsonl", "events.out.tfevents.ica"};
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", folder, left[i]);
        remove(path);
    }
    CHECK(rmdir(folder) == 0, "%s: more is left", folder);
    return check_report("test_run");
}
