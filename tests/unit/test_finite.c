/* Tests of what the program does when numbers are not finite, and of the two states of a run. Each
 * test runs ./ica on a tiny world. From the environment: ICA, the program to test. */
#define _XOPEN_SOURCE 700
#include <sys/stat.h>

#include "data/model_folder.h"
#include "lib/file.h"
#include "lib/tensors.h"
#include "tests/unit/lab.h"

/* What needs a model: the first record of pool.jsonl and hold.jsonl is on line 1. */
static void make_world(Lab *l) {
    write_records("pool.jsonl", "{'prompt':'name red','completion':'apple'}\n"
                                "{'prompt':'name sky','completion':'blue'}\n"
                                "{'prompt':'say two','completion':'bb'}\n"
                                "{'prompt':'add ab','completion':'ba'}\n");
    write_records("hold.jsonl", "{'prompt':'name sun','completion':'yellow'}\n"
                                "{'prompt':'say three','completion':'ccc'}\n"
                                "{'prompt':'add pq','completion':'qp'}\n");
    write_records("test.jsonl", "{'prompt':'name snow','completion':'white'}\n"
                                "{'prompt':'say four','completion':'dddd'}\n");
    write_records("pairs.jsonl", "{'prompt':'name red','chosen':'apple','rejected':'no'}\n"
                                 "{'prompt':'name sky','chosen':'blue','rejected':'a green one'}\n"
                                 "{'prompt':'say two','chosen':'bb','rejected':'bbbbb'}\n");
    WORKS(l, "tokenizer --data pool.jsonl --vocab-size 260 --out tok");
    WORKS(l,
          "pretrain --data pool.jsonl hold.jsonl --tokenizer tok --layers 1 --heads 2 --channels "
          "16 --context 96 --batch-tokens 64 --max-steps 50 --warmup-steps 5 --learning-rate "
          "1e-2 --out base");
}

/* A copy of the base whose embedding of a position is so large that the sum over its channels
 * overflows: a value in a file must be finite, but what is computed from it is not. Every row that
 * reaches the position has log-likelihoods that are no numbers. */
static void break_model(const char *folder, size_t position) {
    ModelFolder f;
    Error err = {0};
    CHECK(model_folder_load(&f, "base", &err), "%s", err.text);
    if (err.status) return;
    size_t C = (size_t)f.model->config.channels;
    for (int i = 0; i < f.model->tensor_count; i++)
        for (size_t c = 0; c < C && strcmp(f.model->tensors[i].name, "wpe.weight") == 0; c++)
            f.model->w[f.model->tensors[i].offset + position * C + c] = (real)3e38;
    CHECK(mkdir(folder, 0777) == 0 && model_folder_save(&f, folder, &err), "%s", err.text);
    model_folder_free(&f);
}

/* The command ends with status 5 and one line that has `names`, and leaves no file `out`. */
static void diverges(Lab *l, const char *arguments, const char *names, const char *out) {
    remove(out);
    int status = ica(l, "%s", arguments);
    const char *said = text_of(l, "err"), *last = said;
    for (const char *s = said; *s && s[1]; s++)
        if (*s == '\n') last = s + 1;
    CHECK(status == 5, "%s: status %d: %s", arguments, status, said);
    CHECK(strncmp(last, "ica: ", 5) == 0 && strstr(last, names), "%s: %s", arguments, last);
    CHECK(text_of(l, "out")[0] == 0, "%s prints %s", arguments, text_of(l, "out"));
    CHECK(access(out, F_OK) != 0, "%s leaves %s", arguments, out);
}

static void test_broken_model(Lab *l) {
    static const char *const methods[] = {"ica",      "rho",       "oneshot", "nuggets",
                                          "gradient", "incontext", "loss"};
    char text[500];
    break_model("broken", 0);
    for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
        bool rho = strcmp(methods[m], "rho") == 0; /* its reference already fails */
        snprintf(text, sizeof text,
                 "score --model broken --pool pool.jsonl --holdout hold.jsonl --method %s --k 2 "
                 "--reference-steps 2 --out scores",
                 methods[m]);
        diverges(l, text, rho ? "diverged" : "pool.jsonl:1: record", "scores");
        snprintf(text, sizeof text,
                 "train --model broken --pool pool.jsonl --holdout hold.jsonl --weights %s --k 2 "
                 "--reference-steps 2 --max-steps 2 --out run",
                 methods[m]);
        diverges(l, text, rho ? "diverged" : "pool.jsonl:1: record", "run/scores.jsonl");
    }
    diverges(l,
             "score --model broken --pool pool.jsonl --holdout hold.jsonl --shard 2/2 --out part",
             "pool.jsonl:3: record", "part");
    diverges(l, "train --model broken --pool pool.jsonl --max-steps 2 --out run", "diverged",
             "run/model.safetensors");
    diverges(l, "train --model broken --pool pairs.jsonl --objective dpo --max-steps 2 --out run",
             "pairs.jsonl:1: record", "run/model.safetensors");
    diverges(l, "eval --model broken --data test.jsonl --per-example each --json",
             "test.jsonl:1: record", "each");
    diverges(l, "eval --model broken --data test.jsonl --holdout hold.jsonl --k 2 --json",
             "test.jsonl:1: record", "each");
    diverges(l, "eval --model broken --data pairs.jsonl --objective simpo --per-example each",
             "pairs.jsonl:1: record", "each");
    diverges(l, "eval --model base --reference broken --data pairs.jsonl --objective dpo",
             "pairs.jsonl:1: record", "each");
    diverges(l, "generate --model broken --prompt 'name red' --json", "token 1 ", "each");
}

/* A gradient that overflows while the loss is finite: the step is not taken. Weights of 1e15 with
 * logits of some 1e26 make a loss of 1e41 at most, which is a double, and derivatives of 1e41 or
 * so, which are no floats. */
static void test_steep(Lab *l) {
    ModelFolder f;
    Error err = {0};
    Buf b = {0};
    CHECK(model_folder_load(&f, "base", &err), "%s", err.text);
    if (err.status) return;
    for (int i = 0; i < f.model->tensor_count; i++)
        for (size_t j = 0; j < f.model->tensors[i].size; j++)
            if (strcmp(f.model->tensors[i].name, "ln_f.weight") == 0)
                f.model->w[f.model->tensors[i].offset + j] *= (real)1e26;
    CHECK(mkdir("steep", 0777) == 0 && model_folder_save(&f, "steep", &err), "%s", err.text);
    model_folder_free(&f);
    for (int i = 1; i <= 4; i++) buf_printf(&b, "{'id':'%d','weight':1e15}\n", i);
    write_records("heavy.jsonl", b.s);
    buf_free(&b);
    diverges(l,
             "train --model steep --pool pool.jsonl --weights file:heavy.jsonl --normalize none "
             "--batch-size 4 --max-steps 3 --out run",
             "diverged at step 1 (loss ", "run/model.safetensors");
    CHECK(!strstr(text_of(l, "err"), "loss nan") && !strstr(text_of(l, "err"), "loss inf"),
          "the loss is not finite either: %s", text_of(l, "err"));
}

/* Records that do not reach the position are as they were. The first that does is named. */
static void test_first_record(Lab *l) {
    write_records("long.jsonl",
                  "{'prompt':'name red','completion':'apple'}\n"
                  "{'prompt':'name sky','completion':'blue'}\n"
                  "{'prompt':'a prompt that is longer than any other','completion':'x'}\n"
                  "{'prompt':'say two','completion':'bb'}\n");
    break_model("far", 30);
    diverges(l, "score --model far --pool long.jsonl --method loss --out scores",
             "long.jsonl:3: record", "scores");
    diverges(l, "eval --model far --data long.jsonl --per-example each", "long.jsonl:3: record",
             "each");
    WORKS(l, "eval --model far --data pool.jsonl");
}

/* A run that blows up: in its last step, and in the step after a save. The state of that save
 * stays, and a resumed run can go on with it at a lower rate. */
static void test_last_step(Lab *l) {
    const char *how =
        "--model base --pool pool.jsonl --lr-scheduler-type constant --warmup-steps 0 "
        "--batch-size 4 --max-grad-norm 0 --weight-decay 10 --learning-rate 10";
    int steps = 1;
    /* Find the step that makes a parameter infinite; each step multiplies them by -99. */
    for (; steps < 60 && ica(l, "train %s --max-steps %d --out run", how, steps) == 0; steps++) {
    }
    CHECK(steps > 1 && steps < 60, "%d steps", steps);
    CHECK(ica(l, "train %s --max-steps %d --save-steps 1 --dump-state step --out last", how,
              steps) == 5,
          "status");
    CHECK(access("step", F_OK) != 0, "a step that ends in no numbers is dumped");
    TensorFile f;
    Error err = {0};
    CHECK(tensors_open(&f, "last/training_state.safetensors", &err), "%s", err.text);
    if (err.status) return;
    const TensorInfo *step = tensors_find(&f, "step"), *w = tensors_find(&f, "parameters");
    int bad = 0;
    for (size_t i = 0; w && i < w->elements; i++) bad += !isfinite(tensors_value(w, i));
    CHECK(step && tensors_value(step, 0) == steps - 1, "the last good state is of step %g",
          step ? tensors_value(step, 0) : NAN);
    CHECK(w && bad == 0, "%d parameters of the state are not finite", bad);
    tensors_close(&f);
    CHECK(ica(l, "diff last/model.safetensors last/model.safetensors") == 0, "the model is whole");
}

/* ---- the last two states ---- */

static void damage(const char *path) {
    Buf b = {0};
    Error err = {0};
    CHECK(file_read(path, &b, &err) && b.n > 200, "%s", err.text);
    if (b.n > 200) b.s[b.n - 100] = (char)(b.s[b.n - 100] ^ 1);
    CHECK(file_write(path, b.s, b.n, &err), "%s", err.text);
    buf_free(&b);
}

static void test_two_states(Lab *l) {
    const char *how = "--model base --pool pool.jsonl --eval test.jsonl --learning-rate 1e-3 "
                      "--batch-size 2 --logging-steps 1 --save-steps 3 --max-steps";
    const char *newest = "cut/training_state.safetensors",
               *previous = "cut/training_state.previous.safetensors";
    WORKS(l, "train %s 10 --out whole", how);
    for (int missing = 0; missing < 2; missing++) {
        WORKS(l, "train %s 10 --out cut", how); /* saves after 3, 6, 9 and 10 steps */
        if (missing) remove(newest);
        else damage(newest);
        WORKS(l, "train --resume cut");
        CHECK(strstr(text_of(l, "err"), "continues from the state before, of step 9"), "%s",
              text_of(l, "err"));
        CHECK(same_bytes("whole/model.safetensors", "cut/model.safetensors"), "another model");
        CHECK(lines_of(l, "cut/log.jsonl") == 10, "%d lines", lines_of(l, "cut/log.jsonl"));
    }
    /* A run whose last step is one to save after saves it once: the other state is an older one. */
    WORKS(l, "train %s 9 --out cut", how);
    remove(newest);
    WORKS(l, "train --resume cut");
    CHECK(strstr(text_of(l, "err"), "continues from the state before, of step 6"), "%s",
          text_of(l, "err"));
    /* Both damaged: the newest is named, and nothing is touched. */
    damage(newest);
    damage(previous);
    CHECK(ica(l, "train --resume cut") == 3 && strstr(text_of(l, "err"), newest), "%s",
          text_of(l, "err"));
    /* A new run in the folder leaves no old state. */
    WORKS(l, "train %s 2 --out cut", how);
    CHECK(access(previous, F_OK) != 0, "the previous state of another run");
}

int main(int argc, char **argv) {
    static void (*const tests[])(Lab *) = {test_broken_model, test_steep, test_first_record,
                                           test_last_step, test_two_states};
    char folder[] = "/tmp/test_finite.XXXXXX";
    Lab l = {0};
    if (lab_open(&l, argc > 0 ? argv[0] : "", folder)) {
        make_world(&l);
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tests[i](&l);
        lab_close(&l, folder);
    }
    return check_report("test_finite");
}
