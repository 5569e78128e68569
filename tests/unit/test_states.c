/* The states that a run saves, and those that it does not. From the environment: ICA, the program
 * to test. */
#define _XOPEN_SOURCE 700
#include "lib/tensors.h"
#include "tests/unit/lab.h"

enum { CONTEXT = 96 };

static void make_world(Lab *l) {
    write_records("pool.jsonl",
                  "{'prompt':'name red','completion':'apple'}\n{'prompt':'name "
                  "sky','completion':'blue'}\n{'prompt':'say two','completion':'bb'}\n");
    WORKS(l, "tokenizer --data pool.jsonl --vocab-size 260 --out tok");
    WORKS(l,
          "pretrain --data pool.jsonl --tokenizer tok --layers 1 --heads 2 --channels 16 --context "
          "%d --batch-tokens 64 --max-steps 20 --out base",
          CONTEXT);
}

/* The step of a state; -1 if there is none. */
static double step_of(const char *path) {
    TensorFile state;
    Error err = {0};
    double step = -1;
    if (!tensors_open(&state, path, &err)) return step;
    const TensorInfo *t = tensors_find(&state, "step");
    if (t) step = tensors_value(t, 0);
    tensors_close(&state);
    return step;
}

/* A run whose first scores fail makes no step and saves nothing: every holdout example fills the
 * context, so none can be shown. */
static void test_failed_scores(Lab *l) {
    char letters[CONTEXT] = {0};
    Buf b = {0};
    memset(letters, 'a', CONTEXT - 12);
    for (int i = 0; i < 4; i++) buf_printf(&b, "{'prompt':'%d%s','completion':'b'}\n", i, letters);
    write_records("long.jsonl", b.s);
    buf_free(&b);
    int status = ica(l, "train --model base --pool pool.jsonl --holdout long.jsonl --weights ica "
                        "--k 1 --max-steps 3 --logging-steps 1 --out failed");
    CHECK(status == 3 && lines_of(l, "failed/log.jsonl") == 0, "status %d, %d steps: %s", status,
          lines_of(l, "failed/log.jsonl"), text_of(l, "err"));
    CHECK(step_of("failed/training_state.safetensors") == -1, "a state is saved");
}

/* The state before the newest is that of the save before: the last step is saved once. */
static void test_previous_state(Lab *l) {
    WORKS(l, "train --model base --pool pool.jsonl --max-steps 6 --save-steps 3 --out run");
    double newest = step_of("run/training_state.safetensors"),
           previous = step_of("run/training_state.previous.safetensors");
    CHECK(newest == 6 && previous == 3, "states of steps %g and %g", newest, previous);
}

/* Writes a state anew without what its bits depend on, as an older program left it. */
static void forget_depends(const char *path) {
    enum { MOST = 40 };
    TensorFile state;
    TensorOut out[MOST];
    Error err = {0};
    bool ok = tensors_open(&state, path, &err);
    CHECK(ok && state.count <= MOST, "%s", err.text);
    if (!ok || state.count > MOST) return;
    Arena arena = {0};
    const char *pairs[2] = {"run", str_copy(&arena, tensors_metadata(&state, "run")).s};
    for (int i = 0; i < state.count; i++) {
        const TensorInfo *t = &state.tensors[i];
        void *data = arena_new(&arena, t->size, 1);
        CHECK(tensors_bytes(t, 0, data, t->size, &err), "%s", err.text);
        out[i] = (TensorOut){
            .name = str_copy(&arena, t->name).s, .type = t->type, .rank = t->rank, .data = data};
        memcpy(out[i].shape, t->shape, sizeof out[i].shape);
    }
    CHECK(tensors_write(path, out, state.count, pairs, 1, &err), "%s", err.text);
    arena_free(&arena);
    tensors_close(&state);
}

/* A state of an older program tells only the fingerprints of the data. They are compared. */
static void test_older_state(Lab *l) {
    static const char path[] = "older/training_state.safetensors";
    const char *pool = text_of(l, "pool.jsonl");
    WORKS(l, "train --model base --pool pool.jsonl --max-steps 3 --out older");
    forget_depends(path);
    WORKS(l, "train --resume older");
    CHECK(strstr(text_of(l, "err"), "is older"), "it says: %s", text_of(l, "err"));
    write_records("pool.jsonl", "{'prompt':'name red','completion':'apple'}\n{'prompt':'name "
                                "sky','completion':'green'}\n");
    CHECK(ica(l, "train --resume older") == 3 && strstr(text_of(l, "err"), "pool, holdout"),
          "another pool: %s", text_of(l, "err"));
    write_text("pool.jsonl", pool);
}

/* A finished run that is resumed does nothing, and says so: its files stay as they are. */
static void test_complete(Lab *l) {
    WORKS(l, "train --model base --pool pool.jsonl --max-steps 3 --out whole");
    const char *before = text_of(l, "whole/run.json");
    WORKS(l, "train --resume whole");
    CHECK(strstr(text_of(l, "err"), "the run is complete"), "it says: %s", text_of(l, "err"));
    CHECK(strcmp(before, text_of(l, "whole/run.json")) == 0, "run.json is another");
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/test_states.XXXXXX";
    Lab l = {0};
    if (lab_open(&l, argc > 0 ? argv[0] : "", folder)) {
        make_world(&l);
        test_failed_scores(&l);
        test_previous_state(&l);
        test_complete(&l);
        test_older_state(&l);
        lab_close(&l, folder);
    }
    return check_report("test_states");
}
