/* Tests of training as a program. Each test runs ./ica on a tiny world and reads the files that it
 * leaves. What it expects comes from a few lines of arithmetic here, never from the program's own
 * functions.
 *
 * Expected values that today's program defines by choice stand in one small function each:
 * `rate_at` (the schedule), `order_of` and `batch_of` (which record comes when), `put_text` (how a
 * text becomes tokens). From the environment: ICA, the program to test. */
#define _XOPEN_SOURCE 700
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/tensors.h"
#include "tests/unit/lab.h"

/* Two ways to one number in double precision differ by some roundings of 1e-16 each; a hundred of
 * them are below this. */
#define DOUBLE_ROUNDING 1e-13
/* A log-likelihood sums some 100 products of floats a token. Another batch may add them in another
 * order: 100 * 2^-24 = 6e-6 of numbers of the size of a logit. */
#define FLOAT_ROUNDING 2e-5
/* Flops stand in run.json with four digits. */
#define FOUR_DIGITS 1e-3

enum { CONTEXT = 96, END = 3, POOL = 8, PAIRS = 6 };

/* ---- a step's dump ---- */

static bool dump_open(TensorFile *f, const char *path) {
    Error err = {0};
    bool ok = tensors_open(f, path, &err);
    CHECK(ok, "%s", err.text);
    if (!ok) *f = (TensorFile){0};
    return ok;
}

static double dumped(const TensorFile *f, const char *name, size_t i) {
    const TensorInfo *t = tensors_find(f, name);
    return t && i < t->elements ? tensors_value(t, i) : NAN;
}

/* The tensor NAME.ENDING; NULL if this file has none. */
static const TensorInfo *part_of(const TensorFile *f, Str name, const char *ending) {
    char full[200];
    snprintf(full, sizeof full, "%.*s%s", STR_ARG(name), ending);
    return tensors_find(f, full);
}

/* Is tensor i a parameter before the step: the one that has a gradient beside it? */
static bool is_parameter(const TensorFile *f, int i) {
    return part_of(f, f->tensors[i].name, ".grad") != NULL;
}

/* The records of the N-th step of a run over FILE in batches of B. Returns how many. */
static int rows_of(Lab *l, const char *file, int seed, int B, int step, int *row) {
    TensorFile f;
    int n = 0;
    WORKS(l,
          "train --model base --pool %s --seed %d --batch-size %d --max-steps %d --out run "
          "--dump-state dump",
          file, seed, B, step);
    if (!dump_open(&f, "dump")) return 0;
    for (; n < B && !isnan(dumped(&f, "row", (size_t)n)); n++)
        row[n] = (int)dumped(&f, "row", (size_t)n) - 1;
    tensors_close(&f);
    return n;
}

/* ---- the world ---- */

static void make_world(Lab *l) {
    write_records(
        "pool.jsonl",
        "{'prompt':'name red','completion':'apple','weight':1,'clean':true}\n"
        "{'prompt':'name sky','completion':'blue','weight':0.5,'clean':false}\n"
        "{'prompt':'say two','completion':'bb','weight':2,'clean':true}\n"
        "{'prompt':'please say six now','completion':'ffffff','weight':0.25,'clean':true}\n"
        "{'prompt':'add ab','completion':'ba','weight':3,'clean':false}\n"
        "{'prompt':'name sea','completion':'deep green','weight':1.5,'clean':true}\n"
        "{'prompt':'say one','completion':'a','weight':0.75,'clean':false}\n"
        "{'prompt':'add xyz','completion':'zyx','weight':1,'clean':true}\n");
    write_records(
        "hold.jsonl",
        "{'prompt':'name sun','completion':'yellow'}\n{'prompt':'say three','completion':'ccc'}\n"
        "{'prompt':'add pq','completion':'qp'}\n{'prompt':'name coal','completion':'black'}\n"
        "{'prompt':'say five','completion':'eeeee'}\n");
    write_records(
        "test.jsonl",
        "{'prompt':'name snow','completion':'white'}\n{'prompt':'say four','completion':'dddd'}\n"
        "{'prompt':'add mn','completion':'nm'}\n{'prompt':'name grass','completion':'green'}\n");
    write_records("pairs.jsonl",
                  "{'prompt':'name red','chosen':'apple','rejected':'no','weight':1}\n"
                  "{'prompt':'name sky','chosen':'blue','rejected':'a green one','weight':0.25}\n"
                  "{'prompt':'say two','chosen':'bb','rejected':'bbbbb','weight':2}\n"
                  "{'prompt':'say six','chosen':'ffffff','rejected':'f','weight':0.5}\n"
                  "{'prompt':'add ab','chosen':'ba','rejected':'ab','weight':0}\n"
                  "{'prompt':'name sea','chosen':'deep green','rejected':'dry','weight':3}\n");
    write_records("pairs-test.jsonl",
                  "{'prompt':'name snow','chosen':'white','rejected':'black'}\n"
                  "{'prompt':'say four','chosen':'dddd','rejected':'dd'}\n"
                  "{'prompt':'add mn','chosen':'nm','rejected':'nm'}\n"
                  "{'prompt':'add uv','chosen':'v','rejected':'vu and more'}\n");
    WORKS(l, "tokenizer --data pool.jsonl --vocab-size 260 --out tok");
    WORKS(l,
          "pretrain --data pool.jsonl hold.jsonl --tokenizer tok --layers 1 --heads 2 --channels "
          "16 --context %d --batch-tokens 64 --max-steps 300 --warmup-steps 5 --learning-rate 1e-2 "
          "--out base",
          CONTEXT);
}

/* ---- the schedule ---- */

/* The learning rate of a step (the first is 0) of `steps`, with `warm` of warm-up and the lowest
 * share `low`, as transformers.get_scheduler has it (tests/unit/test_schedule.c has its tables):
 * from 0 up to the peak, then down to the lowest rate at the step after the last one. */
static double rate_at(const char *kind, double peak, int step, int warm, int steps, double low) {
    if (strcmp(kind, "constant") == 0) return peak;
    if (step < warm) return peak * step / warm;
    if (strcmp(kind, "constant_with_warmup") == 0) return peak;
    double done = (double)(step - warm) / (steps - warm);
    if (strcmp(kind, "linear") == 0) return peak * (low + (1 - low) * (1 - done));
    return peak * (low + (1 - low) * (1 + cos(acos(-1) * done)) / 2);
}

enum { SCHEDULED = 9 };

static void check_schedule(Lab *l, const char *command, const char *kind, int warm, double low) {
    WORKS(l,
          "%s pool.jsonl --model base --max-steps %d --warmup-steps %d --lr-scheduler-type %s "
          "--learning-rate 1e-3 --logging-steps 1 --min-lr-ratio %g --out run",
          command, SCHEDULED, warm, kind, low);
    for (int i = 0; i < SCHEDULED; i++) {
        double rate = number(line_of(l, "run/log.jsonl", i), "learning_rate");
        double want = rate_at(kind, 1e-3, i, warm, SCHEDULED, low);
        CHECK(fabs(rate - want) <= 1e-3 * DOUBLE_ROUNDING,
              "%s %s, warm-up %d, low %g, step %d: %g, not %g", command, kind, warm, low, i + 1,
              rate, want);
    }
}

static void test_schedules(Lab *l) {
    static const char *const kinds[] = {"linear", "cosine", "constant", "constant_with_warmup"};
    static const char *const commands[] = {"train --batch-size 2 --pool", "pretrain --data"};
    for (int k = 0; k < 4; k++)
        for (int warm = 0; warm <= 3; warm += 3)
            for (int p = 0; p < 2; p++) {
                check_schedule(l, commands[p], kinds[k], warm, 0);
                if (k < 2) check_schedule(l, commands[p], kinds[k], warm, 0.1);
            }
    /* By default a cosine falls to 0. A share of the steps is rounded up: 0.3 of 9 gives 3. */
    WORKS(l,
          "train --model base --pool pool.jsonl --max-steps 9 --warmup-ratio 0.3 --learning-rate "
          "1e-3 --logging-steps 1 --out run --dump-state dump");
    CHECK(close_to(number(line_of(l, "run/log.jsonl", 1), "learning_rate") * 1e3, 1.0 / 3,
                   DOUBLE_ROUNDING),
          "warm-up's share");
    TensorFile f;
    if (!dump_open(&f, "dump")) return;
    double want = rate_at("cosine", 1e-3, 8, 3, 9, 0);
    CHECK(close_to(dumped(&f, "lr", 0) * 1e3, want * 1e3, DOUBLE_ROUNDING),
          "the dump's rate: %g, not %g", dumped(&f, "lr", 0), want);
    tensors_close(&f);
}

/* ---- the order of the data ---- */

/* The order of n records in an epoch, by Fisher and Yates. */
static void order_of(int seed, int epoch, int n, int *order) {
    Rng rng = rng_new((uint64_t)seed + (uint64_t)epoch * 1000003u, 11);
    for (int i = 0; i < n; i++) order[i] = i;
    for (int last = n - 1; last > 0; last--) {
        int other = rng_below(&rng, last + 1), t = order[last];
        order[last] = order[other];
        order[other] = t;
    }
}

/* The record at a position of all epochs, one after another. */
static int record_at(int seed, int n, long position) {
    int order[64];
    order_of(seed, (int)(position / n), n, order);
    return order[position % n];
}

static void test_epochs(Lab *l) {
    enum { EPOCHS = 6 };
    int row[EPOCHS][POOL], one_cycle = 0, changed = 0;
    for (int e = 0; e < EPOCHS; e++) {
        rows_of(l, "pool.jsonl", 7, POOL, e + 1, row[e]);
        int seen = 0, length = 1;
        for (int i = 0; i < POOL; i++) {
            seen |= 1 << row[e][i];
            changed += e > 0 && row[e][i] != row[e - 1][i];
            CHECK(row[e][i] == record_at(7, POOL, e * POOL + i), "epoch %d, place %d: record %d", e,
                  i, row[e][i]);
        }
        CHECK(seen == (1 << POOL) - 1, "epoch %d: not every record once", e);
        for (int at = row[e][0]; at != 0 && seen == (1 << POOL) - 1; at = row[e][at]) length++;
        one_cycle += length == POOL;
    }
    CHECK(changed > (EPOCHS - 1) * POOL / 2, "epochs have one order: %d of their places differ",
          changed);
    CHECK(one_cycle < EPOCHS / 2, "%d of %d orders are one cycle (of all orders, one in 8 is)",
          one_cycle, EPOCHS);
    int other[POOL];
    rows_of(l, "pool.jsonl", 8, POOL, 1, other);
    CHECK(memcmp(other, row[0], sizeof other) != 0, "another seed has the same order");
}

/* The records of a step in batches of B. Every epoch has each record once, so its last batch may
 * be smaller. Returns how many. */
static int batch_of(int seed, int n, int B, int step, int *record) {
    int order[64], batches = (n + B - 1) / B, from = step % batches * B;
    order_of(seed, step / batches, n, order);
    for (int i = from; i < from + B && i < n; i++) record[i - from] = order[i];
    return from + B < n ? B : n - from;
}

static void check_steps(Lab *l, const char *file, int B, const char *epochs, int want) {
    WORKS(l, "train --model base --pool %s --batch-size %d --num-train-epochs %s --out run", file,
          B, epochs);
    CHECK(result(l, "run", "steps") == want, "%s in batches of %d, %s epochs: %g steps, not %d",
          file, B, epochs, result(l, "run", "steps"), want);
}

static void test_last_batch(Lab *l) {
    enum { B = 3 };
    for (int step = 0; step < 7; step++) {
        int row[B], want[B], n = rows_of(l, "pool.jsonl", 3, B, step + 1, row);
        CHECK(n == batch_of(3, POOL, B, step, want), "step %d has %d records", step + 1, n);
        for (int i = 0; i < n; i++)
            CHECK(row[i] == want[i], "step %d, row %d: record %d", step + 1, i, row[i]);
    }
    /* Steps of an epoch are rounded up first, then those of all epochs. */
    check_steps(l, "pool.jsonl", 3, "1", 3);
    check_steps(l, "pool.jsonl", 3, "2", 6);
    check_steps(l, "pool.jsonl", 3, "1.5", 5);
    check_steps(l, "pool.jsonl", 4, "2.5", 5);
    check_steps(l, "pool.jsonl", 32, "2", 2);
    check_steps(l, "pool.jsonl", 32, "0.01", 1);
    /* A pool smaller than the batch: each of its records comes once. */
    int row[32];
    CHECK(rows_of(l, "hold.jsonl", 1, 32, 2, row) == 5, "a batch of 32 from 5 records");
}

/* ---- the step ---- */

/* Expects NAME.m, .v and .after of every parameter by AdamW [E13] at its t-th step from those of
 * the step before (NULL: none). */
static void check_adamw(const TensorFile *before, const TensorFile *f, int t, double scale,
                        double decay, const char *what) {
    double lr = dumped(f, "lr", 0), worst_m = 0, worst_v = 0, worst = 0;
    for (int i = 0; i < f->count; i++) {
        if (!is_parameter(f, i)) continue;
        const TensorInfo *w = &f->tensors[i], *g = part_of(f, w->name, ".grad"),
                         *after = part_of(f, w->name, ".after");
        const TensorInfo *m = part_of(f, w->name, ".m"), *v = part_of(f, w->name, ".v");
        const TensorInfo *m0 = before ? part_of(before, w->name, ".m") : NULL,
                         *v0 = before ? part_of(before, w->name, ".v") : NULL;
        double largest = 1e-30;
        for (size_t j = 0; j < w->elements; j++)
            largest = fmax(largest, fabs(scale * tensors_value(g, j)));
        for (size_t j = 0; j < w->elements; j++) {
            double x = scale * tensors_value(g, j), y = tensors_value(w, j);
            double want_m = 0.9 * (m0 ? tensors_value(m0, j) : 0) + 0.1 * x;
            double want_v = 0.999 * (v0 ? tensors_value(v0, j) : 0) + 0.001 * x * x;
            double step = want_m / (1 - pow(0.9, t)) / (sqrt(want_v / (1 - pow(0.999, t))) + 1e-8);
            double want = y - lr * (step + (w->rank == 2 ? decay : 0) * y);
            worst_m = fmax(worst_m, fabs(tensors_value(m, j) - want_m) / largest);
            worst_v = fmax(worst_v, fabs(tensors_value(v, j) - want_v) / (largest * largest));
            worst = fmax(worst, fabs(tensors_value(after, j) - want) / fmax(1, fabs(y)));
        }
    }
    /* Some ten roundings of 2^-24; a step is at most lr * 10 and starts from a rounded parameter.
     */
    CHECK(worst_m < 1e-6 && worst_v < 1e-6, "%s: moments differ by %g and %g", what, worst_m,
          worst_v);
    CHECK(worst < 1e-6 + lr * 1e-4, "%s: parameters differ by %g", what, worst);
}

static double norm_of(const TensorFile *f) {
    double square = 0;
    for (int i = 0; i < f->count; i++)
        if (is_parameter(f, i)) {
            const TensorInfo *g = part_of(f, f->tensors[i].name, ".grad");
            for (size_t j = 0; j < g->elements; j++)
                square += tensors_value(g, j) * tensors_value(g, j);
        }
    return sqrt(square);
}

/* Two steps whose gradients are clipped (0.01) or not (0: no clipping, 1e6: never reached). */
static void test_clipping(Lab *l) {
    static const double bounds[] = {0.01, 0, 1e6};
    for (int b = 0; b < 3; b++) {
        TensorFile f[2];
        double scale[2];
        for (int i = 0; i < 2; i++) {
            char name[20], what[60];
            snprintf(name, sizeof name, "dump%d", i);
            WORKS(l,
                  "train --model base --pool pool.jsonl --batch-size 3 --lr-scheduler-type "
                  "constant --warmup-steps 0 --learning-rate 1e-3 --weight-decay 0.1 "
                  "--max-grad-norm %g --max-steps %d --out run --dump-state %s",
                  bounds[b], i + 1, name);
            if (!dump_open(&f[i], name)) return;
            double norm = norm_of(&f[i]), said = dumped(&f[i], "grad_norm", 0);
            CHECK(close_to(norm, said, FLOAT_ROUNDING), "the norm is %g, not %g", said, norm);
            CHECK(norm > 0.02, "the world's gradient of %g is too small for this test", norm);
            scale[i] = b == 0 ? 0.01 / norm : 1;
            snprintf(what, sizeof what, "clipping at %g, step %d", bounds[b], i + 1);
            check_adamw(i ? &f[0] : NULL, &f[i], i + 1, scale[i], 0.1, what);
        }
        tensors_close(&f[0]);
        tensors_close(&f[1]);
    }
}

/* Batches whose weights are all 0: no step is made for them, and they are counted. */
static void test_skipped(Lab *l) {
    enum { B = 2, STEPS = 12, SEED = 5 };
    Buf b = {0};
    bool zero[POOL] = {0};
    TensorFile first, third, state;
    int skipped = 0;
    for (int i = B; i < 2 * B; i++) zero[record_at(SEED, POOL, i)] = true; /* the second batch */
    for (int i = 0; i < POOL; i++)
        buf_printf(&b, "{'prompt':'number %d','completion':'%d','weight':%d}\n", i, 3 * i,
                   zero[i] ? 0 : i + 1);
    write_records("zero.jsonl", b.s);
    buf_free(&b);
    const char *how =
        "train --model base --pool zero.jsonl --weights records --seed 5 --batch-size 2 "
        "--logging-steps 1 --lr-scheduler-type constant --warmup-steps 0 --learning-rate 1e-3 "
        "--max-grad-norm 0 --max-steps";
    WORKS(l, "%s %d --out run", how, STEPS);
    for (int s = 0; s < STEPS; s++) {
        bool none = zero[record_at(SEED, POOL, s * B)] && zero[record_at(SEED, POOL, s * B + 1)];
        double norm = number(line_of(l, "run/log.jsonl", s), "grad_norm");
        CHECK(none == (norm == 0), "step %d: a gradient of %g", s + 1, norm);
        skipped += none;
    }
    CHECK(skipped >= 1 && result(l, "run", "skipped_steps") == skipped, "%g steps skipped, not %d",
          result(l, "run", "skipped_steps"), skipped);
    if (!dump_open(&state, "run/training_state.safetensors")) return;
    CHECK(dumped(&state, "skipped", 0) == skipped && dumped(&state, "step", 0) == STEPS - skipped,
          "the state counts %g and %g", dumped(&state, "skipped", 0), dumped(&state, "step", 0));
    tensors_close(&state);
    WORKS(l, "%s 1 --out run --dump-state dump1", how);
    WORKS(l, "%s 3 --out run --dump-state dump3", how);
    CHECK(ica(l, "%s 2 --out run --dump-state dump2", how) == 1, "a skipped step cannot be dumped");
    if (!dump_open(&first, "dump1") || !dump_open(&third, "dump3")) return;
    check_adamw(&first, &third, 2, 1, 0,
                "the step after a skipped one"); /* AdamW's second step, not its third */
    tensors_close(&first);
    tensors_close(&third);
}

/* ---- coefficients and micro-batches ---- */

/* The factor of record i of a batch of n [E9]; tokens: the lengths of their answers. */
static double coefficient(const char *how, const double *w, const int *tokens, int n, int micro,
                          int i) {
    double sum = 0, words = 0;
    int from = 0, to = n;
    for (int j = 0; j < n; j++) words += w[j] * tokens[j];
    if (strcmp(how, "tokens") == 0) return w[i] * tokens[i] / words;
    if (strcmp(how, "none") == 0) return w[i];
    if (strcmp(how, "count") == 0) return w[i] / n;
    if (strcmp(how, "micro") == 0) {
        from = i - i % micro;
        to = from + micro < n ? from + micro : n;
    }
    for (int j = from; j < to; j++) sum += w[j];
    if (sum <= 0) return 0;
    return strcmp(how, "micro") == 0 ? w[i] / (sum / (to - from)) / n : w[i] / sum;
}

/* The largest part of the gradient by which f differs from sum_i c_i times that of single[row i],
 * for the gradient's norm. */
static double gradient_error(const TensorFile *f, const TensorFile *single, const double *c,
                             int n) {
    double error = 0, norm = 0;
    for (int i = 0; i < f->count; i++) {
        if (!is_parameter(f, i)) continue;
        const TensorInfo *g = part_of(f, f->tensors[i].name, ".grad");
        for (size_t j = 0; j < g->elements; j++) {
            double want = 0;
            for (int r = 0; r < n; r++)
                want += c[r] * tensors_value(part_of(&single[(int)dumped(f, "row", (size_t)r) - 1],
                                                     f->tensors[i].name, ".grad"),
                                             j);
            error += (tensors_value(g, j) - want) * (tensors_value(g, j) - want);
            norm += want * want;
        }
    }
    return sqrt(error / norm);
}

/* A gradient has at most 6 pairs of 2 rows of 30 positions, 360 products: 360 * 2^-24 = 2e-5 of the
 * sum of their sizes, which is at most some ten times the norm. A factor of another record moves it
 * by a tenth and more. */
#define GRADIENT_ROUNDING 3e-4

/* The gradient of each record alone. Its coefficient is then 1. */
static bool singles(Lab *l, const char *file, const char *objective, int n, TensorFile *single) {
    for (int i = 0; i < n; i++) {
        char name[30];
        const char *line = text_of(l, file);
        for (int skip = 0; skip < i; skip++) line = strchr(line, '\n') + 1;
        write_text("one.jsonl",
                   str_copy(&l->arena, (Str){line, (size_t)(strchr(line, '\n') + 1 - line)}).s);
        snprintf(name, sizeof name, "single%d", i);
        WORKS(l,
              "train --model base --pool one.jsonl --objective %s --batch-size 1 --max-steps 1 "
              "--out run --dump-state %s",
              objective, name);
        if (!dump_open(&single[i], name)) return false;
    }
    return true;
}

/* How many tokens of a dumped row are scored. */
static int labels_of(const TensorFile *f, int row) {
    const TensorInfo *t = tensors_find(f, "labels");
    size_t width = t ? (size_t)t->shape[1] : 0;
    int n = 0;
    for (size_t i = 0; i < width; i++) n += dumped(f, "labels", (size_t)row * width + i) != -100;
    return n;
}

/* The last of `steps` steps in batches of B, computed by micro-batches. Nothing has moved before
 * it, because the first step of a warm-up has the rate 0. */
static void check_micro(Lab *l, const char *file, const char *objective, const char *how, int B,
                        int micro, int steps, const TensorFile *single) {
    TensorFile f;
    double w[POOL], c[POOL], loss = 0;
    int n = 0, row[POOL], tokens[POOL] = {0};
    WORKS(l,
          "train --model base --pool %s --objective %s --weights records --normalize %s "
          "--batch-size %d --micro-batch-size %d --warmup-steps 1 --max-steps %d --out run "
          "--dump-state dump",
          file, objective, how, B, micro, steps);
    if (!dump_open(&f, "dump")) return;
    for (; n < B && !isnan(dumped(&f, "row", (size_t)n)); n++) {
        row[n] = (int)dumped(&f, "row", (size_t)n) - 1;
        w[n] = dumped(&f, "weight", (size_t)n);
        tokens[n] = labels_of(&f, n);
        CHECK(w[n] == number(line_of(l, file, row[n]), "weight"), "record %d has the weight %g",
              row[n], w[n]);
    }
    for (int i = 0; i < n; i++) {
        c[i] = coefficient(how, w, tokens, n, micro ? micro : n, i);
        loss += c[i] * dumped(&single[row[i]], "loss", 0);
    }
    double error = gradient_error(&f, single, c, n);
    CHECK(error < GRADIENT_ROUNDING,
          "%s, normalize %s, %d records in micro-batches of %d: the gradient differs by %g",
          objective, how, n, micro, error);
    CHECK(close_to(dumped(&f, "loss", 0), loss, FLOAT_ROUNDING),
          "%s, normalize %s, %d records in micro-batches of %d: a loss of %g, not %g", objective,
          how, n, micro, dumped(&f, "loss", 0), loss);
    tensors_close(&f);
}

/* Whole batches, and the smaller ones at the end of an epoch: 3 of 8 records in
 * batches of 5, 2 of 6 pairs in batches of 4. */
static void test_micro_batches(Lab *l) {
    static const struct {
        const char *file, *objective;
        int n, some;
    } worlds[] = {{"pool.jsonl", "sft", POOL, 5},
                  {"pairs.jsonl", "dpo", PAIRS, 4},
                  {"pairs.jsonl", "simpo", PAIRS, 4}};
    static const char *const hows[] = {"batch", "micro", "count", "none", "tokens"};
    for (int o = 0; o < 3; o++) {
        const char *file = worlds[o].file, *objective = worlds[o].objective;
        TensorFile single[POOL];
        int n = worlds[o].n, some = worlds[o].some;
        if (!singles(l, file, objective, n, single)) return;
        for (int micro = 0; micro <= 4; micro += micro == 0 ? 1 : 3)
            check_micro(l, file, objective, "batch", n, micro, 1, single);
        int count = o == 0 ? 5 : 4; /* a pair's loss has no tokens */
        for (int h = 1; h < count; h++) check_micro(l, file, objective, hows[h], n, 4, 1, single);
        for (int h = 0; h < count; h++)
            check_micro(l, file, objective, hows[h], some, 2, 2, single);
        for (int i = 0; i < n; i++) tensors_close(&single[i]);
    }
}

/* ---- metrics ---- */

typedef struct {
    double chosen, rejected;
    int n_chosen, n_rejected;
} Pair;

/* Log-likelihoods of the records of a file by a model. Pairs: both answers. */
static int per_example(Lab *l, const char *model, const char *file, bool pairs, Pair *p) {
    WORKS(l, "eval --model %s --data %s %s --per-example each", model, file,
          pairs ? "--objective simpo" : "");
    int n = lines_of(l, "each");
    for (int i = 0; i < n; i++) {
        const Json *r = line_of(l, "each", i);
        p[i] = (Pair){number(r, pairs ? "logp_chosen" : "logp"), number(r, "logp_rejected"),
                      (int)number(r, pairs ? "tokens_chosen" : "tokens"),
                      pairs ? (int)number(r, "tokens_rejected") : 0};
    }
    return n;
}

static double log_sigmoid(double z) { return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z)); }

/* A pair's rewards and loss [E11, E12] with the default constants; r: DPO's reference, else NULL.
 */
static double pair_loss(const Pair *p, const Pair *r, double smoothing, double reward[2]) {
    double z;
    if (r) {
        reward[0] = 0.1 * (p->chosen - r->chosen), reward[1] = 0.1 * (p->rejected - r->rejected);
        z = reward[0] - reward[1];
    } else {
        reward[0] = 2 * p->chosen / p->n_chosen, reward[1] = 2 * p->rejected / p->n_rejected;
        z = reward[0] - reward[1] - 2 * 0.25;
    }
    return -(1 - smoothing) * log_sigmoid(z) - smoothing * log_sigmoid(-z);
}

static void check_answer_metrics(Lab *l, const Json *found, const char *model, const char *file,
                                 double exact) {
    Pair p[POOL];
    int n = per_example(l, model, file, false, p);
    double nll = 0, likely = 0, total = 0, tokens = 0;
    for (int i = 0; i < n; i++) {
        nll -= p[i].chosen / p[i].n_chosen / n;
        likely += exp(p[i].chosen) / n;
        total += p[i].chosen, tokens += p[i].n_chosen;
    }
    CHECK(close_to(number(found, "nll"), nll, DOUBLE_ROUNDING), "nll %g, not %g",
          number(found, "nll"), nll);
    CHECK(close_to(number(found, "perplexity"), exp(-total / tokens), DOUBLE_ROUNDING),
          "perplexity");
    CHECK(close_to(number(found, "p_sequence"), likely, DOUBLE_ROUNDING), "p_sequence");
    CHECK(number(found, "exact_match") == exact, "exact_match %g, not %g",
          number(found, "exact_match"), exact);
    CHECK(number(found, "records") == n, "%g records", number(found, "records"));
}

/* The base answers "apple" by itself. An answer that ends one letter earlier has one token that is
 * not the most probable one, the end; it is no match. */
static void test_answer_metrics(Lab *l) {
    WORKS(l, "generate --model base --prompt 'name red' --json");
    const Json *r = json_of(l, "out");
    CHECK(json_get(r, "completion") && str_is(json_get(r, "completion")->string, " apple") &&
              number(r, "tokens") == 6,
          "generated: %s", text_of(l, "out"));
    write_records(
        "match.jsonl",
        "{'prompt':'name red','completion':'apple'}\n{'prompt':'name "
        "red','completion':'appl'}\n{'prompt':'name sun','completion':'wrong'}\n{'prompt':'name "
        "sun','completion':'yellow'}\n");
    WORKS(l, "eval --model base --data match.jsonl --json");
    double before = number(json_of(l, "out"), "nll");
    check_answer_metrics(l, json_of(l, "out"), "base", "match.jsonl", 0.5);
    WORKS(l,
          "train --model base --pool zero.jsonl --eval match.jsonl --eval-steps 2 --logging-steps "
          "1 --learning-rate 1e-9 --max-steps 4 --out run");
    check_answer_metrics(l, json_of(l, "run/metrics.json"), "run", "match.jsonl", 0.5);
    CHECK(number(line_of(l, "run/log.jsonl", 3), "eval_nll") ==
              number(json_of(l, "run/metrics.json"), "nll"),
          "the log's nll");
    double noted = number(json_get(json_of(l, "run/run.json"), "before"), "eval_nll");
    CHECK(close_to(noted, before, FLOAT_ROUNDING), "before the first step: %g, not %g", noted,
          before);
    CHECK(isnan(number(line_of(l, "run/log.jsonl", 2), "eval_nll")),
          "--eval-steps 2 evaluates after 3 steps");
}

static void check_pair_metrics(const Json *found, const Pair *p, const Pair *r, int n,
                               double smoothing, const char *what) {
    double loss = 0, right = 0, margin = 0, reward[2];
    for (int i = 0; i < n; i++) {
        loss += pair_loss(&p[i], r ? &r[i] : NULL, smoothing, reward) / n;
        margin += (reward[0] - reward[1]) / n;
        right += reward[0] > reward[1];
    }
    CHECK(close_to(number(found, "loss"), loss, DOUBLE_ROUNDING), "%s: loss %g, not %g", what,
          number(found, "loss"), loss);
    CHECK(close_to(number(found, "margin"), margin, DOUBLE_ROUNDING), "%s: margin %g", what,
          number(found, "margin"));
    CHECK(number(found, "reward_accuracy") == right / n, "%s: accuracy %g", what,
          number(found, "reward_accuracy"));
}

static void test_pair_metrics(Lab *l) {
    Pair p[POOL], r[POOL];
    const char *train =
        "train --model base --pool pairs.jsonl --eval pairs-test.jsonl --learning-rate 1e-2 "
        "--max-steps 5 --batch-size 3 --label-smoothing 0.1 --out";
    WORKS(l, "%s dpo --objective dpo", train);
    WORKS(l, "%s simpo --objective simpo", train);
    int n = per_example(l, "base", "pairs-test.jsonl", true, r);
    per_example(l, "dpo", "pairs-test.jsonl", true, p);
    check_pair_metrics(json_of(l, "dpo/metrics.json"), p, r, n, 0.1, "DPO");
    WORKS(l, "eval --model dpo --reference base --objective dpo --data pairs-test.jsonl --json");
    check_pair_metrics(json_of(l, "out"), p, r, n, 0, "eval, DPO");
    CHECK(p[0].chosen != r[0].chosen, "the model did not move");
    per_example(l, "simpo", "pairs-test.jsonl", true, p);
    check_pair_metrics(json_of(l, "simpo/metrics.json"), p, NULL, n, 0.1, "SimPO");
    CHECK(p[2].chosen == p[2].rejected, "equal answers have one log-likelihood");
}

/* DPO's loss in the third step, from the step's log-likelihoods and the base's. */
static void test_pair_step(Lab *l) {
    Pair r[POOL];
    TensorFile f;
    per_example(l, "base", "pairs.jsonl", true, r);
    WORKS(l,
          "train --model base --pool pairs.jsonl --objective dpo --weights records --batch-size 4 "
          "--micro-batch-size 1 --learning-rate 1e-2 --max-steps 3 --logging-steps 1 --out run "
          "--dump-state dump");
    if (!dump_open(&f, "dump")) return;
    double loss = 0, W = 0, reward[2], right = 0, margin = 0;
    for (size_t i = 0; i < 4; i++) W += dumped(&f, "weight", i);
    for (size_t i = 0; i < 4; i++) {
        Pair p = {.chosen = dumped(&f, "logp", i), .rejected = dumped(&f, "logp", 4 + i)};
        loss += dumped(&f, "weight", i) / W *
                pair_loss(&p, &r[(int)dumped(&f, "row", i) - 1], 0, reward);
        right += reward[0] > reward[1];
        margin += (reward[0] - reward[1]) / 4;
    }
    const Json *line = line_of(l, "run/log.jsonl", 2);
    CHECK(close_to(dumped(&f, "loss", 0), loss, DOUBLE_ROUNDING), "the loss is %g, not %g",
          dumped(&f, "loss", 0), loss);
    CHECK(close_to(number(line, "loss"), loss, DOUBLE_ROUNDING), "the log's loss is %g, not %g",
          number(line, "loss"), loss);
    CHECK(number(line, "rewards/accuracies") == right / 4, "the log's accuracy");
    CHECK(close_to(number(line, "rewards/margins"), margin, DOUBLE_ROUNDING), "the log's margin");
    CHECK(fabs(margin) > 1e-3, "the model did not move");
    tensors_close(&f);
}

/* A log line has the means over its steps. */
static void test_log_means(Lab *l) {
    const char *how =
        "train --model base --pool pool.jsonl --weights records --batch-size 3 --max-steps 7 "
        "--learning-rate 1e-3";
    WORKS(l, "%s --logging-steps 1 --out fine", how);
    CHECK(!strstr(text_of(l, "err"), "saved after step"), "it saves unasked");
    WORKS(l, "%s --logging-steps 3 --out coarse", how);
    CHECK(lines_of(l, "coarse/log.jsonl") == 3, "7 steps by threes have %d lines",
          lines_of(l, "coarse/log.jsonl"));
    for (int i = 0; i < 3; i++) {
        double loss = 0, ess = 0;
        int n = i < 2 ? 3 : 1;
        for (int j = 0; j < n; j++) {
            loss += number(line_of(l, "fine/log.jsonl", 3 * i + j), "loss") / n;
            ess += number(line_of(l, "fine/log.jsonl", 3 * i + j), "ess") / n;
        }
        const Json *line = line_of(l, "coarse/log.jsonl", i);
        CHECK(number(line, "step") == (i < 2 ? 3 * i + 3 : 7), "line %d is of step %g", i,
              number(line, "step"));
        CHECK(close_to(number(line, "loss"), loss, DOUBLE_ROUNDING), "line %d: loss %g", i,
              number(line, "loss"));
        CHECK(close_to(number(line, "ess"), ess, DOUBLE_ROUNDING), "line %d: ess %g", i,
              number(line, "ess"));
    }
}

/* ---- scores and weights in a run ---- */

/* SFT's or a pair objective's arguments. */
static const char *const WORLDS[3] = {"--pool pool.jsonl --holdout hold.jsonl",
                                      "--pool pairs.jsonl --holdout hold.jsonl --objective dpo",
                                      "--pool pairs.jsonl --holdout hold.jsonl --objective simpo"};

/* A run refreshes at steps floor(j S / R). With a constant rate runs of 1, 3 and 5 steps with R =
 * 1, 2 and 3 (at 0; 0, 1; 0, 1, 3) begin alike. So the last scores of one are those of the model
 * that the one before has left. */
static void test_refreshes(Lab *l) {
    for (int o = 0; o < 3; o++)
        for (int j = 1; j <= 3; j++) {
            char model[30], out[30], left[60];
            snprintf(model, sizeof model, j == 1 ? "base" : "refresh%d", j - 1);
            snprintf(out, sizeof out, "refresh%d", j);
            snprintf(left, sizeof left, "%s/scores.jsonl", out);
            WORKS(l,
                  "train --model base %s --weights ica --k 2 --refresh %d --max-steps %d "
                  "--lr-scheduler-type constant --warmup-steps 0 --learning-rate 3e-3 --batch-size "
                  "3 --out %s",
                  WORLDS[o], j, 2 * j - 1, out);
            WORKS(l, "score --model %s %s --method ica --k 2 --out scores", model, WORLDS[o]);
            CHECK(same_bytes(left, "scores"), "%s: %d refreshes: not the scores of %s", WORLDS[o],
                  j, model);
        }
}

/* A pair whose answers are the same tokens has a constant loss. Its gradient is 0 to the bit, or
 * else AdamW would make whole steps of the roundings. */
static void test_same_answers(Lab *l) {
    write_records("alike.jsonl", "{'prompt':'name red','chosen':'apple','rejected':'apple'}\n");
    for (int o = 1; o < 3; o++) {
        WORKS(l,
              "train --model base --pool alike.jsonl --objective %s --weight-decay 0 "
              "--learning-rate 1e-2 --max-steps 2 --batch-size 1 --out alike",
              o == 1 ? "dpo" : "simpo");
        CHECK(same_bytes("base/model.safetensors", "alike/model.safetensors"),
              "objective %d: a pair of the same answers moves the model", o);
    }
}

/* Each refresh has its own random numbers: scores that need no model are others at the second one.
 */
static void test_refresh_draws(Lab *l) {
    for (int times = 1; times <= 2; times++)
        WORKS(l,
              "train --model base --pool pool.jsonl --weights random --refresh %d --max-steps 2 "
              "--batch-size 3 --out draws%d",
              times, times);
    CHECK(lines_of(l, "draws1/scores.jsonl") > 2 &&
              !same_bytes("draws1/scores.jsonl", "draws2/scores.jsonl"),
          "the second refresh draws what the first one drew");
}

/* A refresh of DPO's scores by loss: the model's log-likelihoods are of now, the reference's are
 * the base's. */
static void test_dpo_refresh(Lab *l) {
    Pair r[POOL], now[POOL];
    const char *how =
        "--weights ica --pair-score loss --k 2 --lr-scheduler-type constant --warmup-steps 0 "
        "--learning-rate 3e-3 --batch-size 3";
    WORKS(l, "train --model base %s %s --max-steps 2 --out half", WORLDS[1], how);
    WORKS(l, "train --model base %s %s --max-steps 4 --refresh 2 --out run", WORLDS[1], how);
    int n = per_example(l, "base", "pairs.jsonl", true, r);
    per_example(l, "half", "pairs.jsonl", true, now);
    for (int i = 0; i < n; i++) {
        const Json *s = line_of(l, "run/scores.jsonl", i);
        Pair p = {.chosen = number(s, "logp_chosen"), .rejected = number(s, "logp_rejected")};
        Pair in = {.chosen = number(s, "logp_chosen_in_context"),
                   .rejected = number(s, "logp_rejected_in_context")};
        double unused[2], want = pair_loss(&p, &r[i], 0, unused) - pair_loss(&in, &r[i], 0, unused);
        CHECK(close_to(number(s, "score"), want, DOUBLE_ROUNDING), "pair %d: %g, not %g", i,
              number(s, "score"), want);
        CHECK(close_to(p.chosen, now[i].chosen, FLOAT_ROUNDING) &&
                  close_to(p.rejected, now[i].rejected, FLOAT_ROUNDING),
              "pair %d: log-likelihoods of another model", i);
    }
}

/* Batches of 3 of the minmax-batch map: the weights of the last step, and ESS and correlation of
 * each record's last weight. */
static void test_used_weights(Lab *l) {
    enum { B = 3, STEPS = 5 };
    double used[POOL], length[POOL], score[POOL], sum = 0, square = 0, mean = 0, xy = 0, xx = 0,
                                                  yy = 0;
    TensorFile f;
    WORKS(l,
          "train --model base %s --weights ica --k 2 --batch-size 3 --max-steps 5 --logging-steps "
          "1 --seed 2 --out run --dump-state dump",
          WORLDS[0]);
    for (int i = 0; i < POOL; i++) {
        const Json *s = line_of(l, "run/scores.jsonl", i);
        score[i] = number(s, "score"), used[i] = number(s, "weight"),
        length[i] = number(s, "tokens");
        mean += length[i] / POOL;
    }
    for (int step = 0; step < STEPS; step++) {
        double low = INFINITY, high = -INFINITY;
        int record[B], n = batch_of(2, POOL, B, step, record);
        for (int i = 0; i < n; i++) {
            low = fmin(low, score[record[i]]);
            high = fmax(high, score[record[i]]);
        }
        for (int i = 0; i < n; i++) used[record[i]] = (score[record[i]] - low) / (high - low);
    }
    for (int i = 0; i < POOL; i++) sum += used[i], square += used[i] * used[i];
    for (int i = 0; i < POOL; i++) {
        double x = used[i] - sum / POOL, y = length[i] - mean;
        xy += x * y, xx += x * x, yy += y * y;
    }
    CHECK(close_to(result(l, "run", "ess"), sum * sum / square, DOUBLE_ROUNDING), "ess %g, not %g",
          result(l, "run", "ess"), sum * sum / square);
    CHECK(close_to(result(l, "run", "weight_length_correlation"), xy / sqrt(xx * yy),
                   DOUBLE_ROUNDING),
          "correlation of weight and length %g, not %g",
          result(l, "run", "weight_length_correlation"), xy / sqrt(xx * yy));
    if (!dump_open(&f, "dump")) return;
    double total[2] = {0}, count[2] = {0};
    for (int i = 0; i < B; i++) {
        int row = (int)dumped(&f, "row", (size_t)i) - 1,
            clean = json_get(line_of(l, "pool.jsonl", row), "clean")->boolean;
        CHECK(close_to(dumped(&f, "weight", (size_t)i), used[row], DOUBLE_ROUNDING),
              "row %d: weight %g", i, dumped(&f, "weight", (size_t)i));
        CHECK(isnan(dumped(&f, "logp", (size_t)i)) == (used[row] == 0), "row %d", i);
        total[clean] += used[row], count[clean]++;
    }
    const Json *line = line_of(l, "run/log.jsonl", STEPS - 1);
    CHECK(count[1] > 0 &&
              close_to(number(line, "weight_clean"), total[1] / count[1], DOUBLE_ROUNDING),
          "weight_clean");
    CHECK(count[0] == 0 ||
              close_to(number(line, "weight_corrupted"), total[0] / count[0], DOUBLE_ROUNDING),
          "weight_corrupted");
    tensors_close(&f);
}

/* By operations: all refreshes together over all steps; r is one record's score over one record's
 * step. The least score of each batch has weight 0 (minmax-batch), and this record does not run. */
static void test_cost(Lab *l) {
    double once = 0, forward[4] = {0};
    for (int R = 1; R <= 3; R += 2) {
        WORKS(l,
              "train --model base %s --weights ica --k 2 --batch-size 4 --refresh %d --max-steps 9 "
              "--out run",
              WORLDS[0], R);
        const Json *flops = json_get(json_of(l, "run/run.json"), "flops");
        double score = number(flops, "score"), train = number(flops, "train");
        double check = number(
            json_get(json_get(json_of(l, "run/run.json"), "result"), "holdout_check"), "flops");
        double r = score / (POOL * R) / (train / (9 * (4 - 1)));
        forward[R] = number(json_get(json_of(l, "run/run.json"), "tokens"), "score_forward");
        if (R == 1) once = score - check;
        CHECK(check > 0 && close_to((score - check) / once, R, FOUR_DIGITS),
              "%d refreshes cost %g of one", R, (score - check) / once);
        CHECK(close_to(result(l, "run", "relative_cost") / r, 1, FOUR_DIGITS),
              "relative_cost %g, not %g", result(l, "run", "relative_cost"), r);
        CHECK(close_to(result(l, "run", "overhead_formula") * train / score, 1, FOUR_DIGITS),
              "R = %d: overhead_formula %g, not %g", R, result(l, "run", "overhead_formula"),
              score / train);
    }
    CHECK(forward[1] > (forward[3] - forward[1]) / 2, "the check has no tokens: %g, then %g",
          forward[1], forward[3]);
    /* More refreshes than steps: three scores of each record are computed, one before each step.
     * The steps have 3, 3 and 2 records, of which 2, 2 and 1 run. */
    WORKS(l,
          "train --model base %s --weights ica --k 2 --batch-size 3 --refresh 10 --max-steps 3 "
          "--out run",
          WORLDS[0]);
    const Json *flops = json_get(json_of(l, "run/run.json"), "flops");
    double score = number(flops, "score"), train = number(flops, "train");
    double check =
        number(json_get(json_get(json_of(l, "run/run.json"), "result"), "holdout_check"), "flops");
    CHECK(close_to((score - check) / once, 3, FOUR_DIGITS), "3 refreshes cost %g of one",
          (score - check) / once);
    double r = score / (POOL * 3) / (train / 5);
    CHECK(close_to(result(l, "run", "relative_cost") / r, 1, FOUR_DIGITS),
          "10 refreshes in 3 steps: relative_cost %g, not %g", result(l, "run", "relative_cost"),
          r);
}

/* ---- RHO ---- */

/* The reference is what a plain run on the holdout makes of the base, with the seed 14 further on.
 */
static void test_rho_reference(Lab *l) {
    const char *how = "--model base --batch-size 2 --learning-rate 3e-3 --warmup-ratio 0.5";
    Pair base[POOL], reference[POOL];
    WORKS(l, "train %s %s --seed 3 --weights rho --reference-steps 6 --max-steps 2 --out run", how,
          WORLDS[0]);
    WORKS(l, "train %s --pool hold.jsonl --seed 17 --max-steps 6 --out plain", how);
    CHECK(same_bytes("run/reference/model.safetensors", "plain/model.safetensors"),
          "the reference is another model");
    per_example(l, "base", "pool.jsonl", false, base);
    per_example(l, "plain", "pool.jsonl", false, reference);
    for (int i = 0; i < POOL; i++) {
        double score = number(line_of(l, "run/scores.jsonl", i), "score"), n = base[i].n_chosen;
        CHECK(close_to(score, (reference[i].chosen - base[i].chosen) / n, FLOAT_ROUNDING),
              "record %d: %g", i, score);
    }
}

/* The reference is clipped and normalized as the run says, in `score` too. */
static void test_rho_options(Lab *l) {
    static const char *const how[] = {"--max-grad-norm 1", "--max-grad-norm 0.05",
                                      "--normalize none", "--normalize tokens"};
    const char *common = "--model base --batch-size 2 --learning-rate 3e-3 --warmup-steps 0";
    for (int i = 0; i < 4; i++) {
        char out[20];
        WORKS(l,
              "train %s %s %s --seed 3 --weights rho --reference-steps 6 --max-steps 2 --out run",
              common, WORLDS[0], how[i]);
        WORKS(l, "train %s %s --pool hold.jsonl --seed 17 --max-steps 6 --out plain", common,
              how[i]);
        CHECK(same_bytes("run/reference/model.safetensors", "plain/model.safetensors"),
              "%s: the reference is another model", how[i]);
        snprintf(out, sizeof out, "scores%d", i);
        WORKS(l, "score %s %s %s --seed 3 --method rho --reference-steps 6 --out %s", common,
              WORLDS[0], how[i], out);
        double score = number(line_of(l, out, 0), "score"),
               in_run = number(line_of(l, "run/scores.jsonl", 0), "score");
        CHECK(score == in_run, "%s: score has %g, train %g", how[i], score, in_run);
        CHECK(i == 0 || !same_bytes("scores0", out), "%s changes nothing", how[i]);
    }
}

/* A gradient by token sums is as many times longer as the answer has tokens. */
static void test_gradient_reduce(Lab *l) {
    WORKS(l, "score --model base %s --method gradient --out means", WORLDS[0]);
    WORKS(l, "score --model base %s --method gradient --reduce sum --out sums", WORLDS[0]);
    for (int i = 0; i < POOL; i++) {
        double mean = number(line_of(l, "means", i), "score"),
               sum = number(line_of(l, "sums", i), "score"),
               tokens = number(line_of(l, "means", i), "tokens");
        CHECK(close_to(sum, tokens * mean, FLOAT_ROUNDING), "record %d: %g, not %g", i, sum,
              tokens * mean);
        CHECK(fabs(sum - mean) > 1e-3 * fabs(mean), "record %d: the sum is the mean", i);
    }
}

/* [E14] DPO's reference is the model itself here. So a pair's gradient is beta / 2 times that of
 * its difference, and an inner product of two grows with the square of beta. */
static void test_gradient_dpo(Lab *l) {
    const char *how =
        "score --model base --pool pairs.jsonl --holdout pairs-test.jsonl --objective dpo --method "
        "gradient";
    WORKS(l, "%s --beta 0.5 --out once", how);
    WORKS(l, "%s --beta 1 --out twice", how);
    for (int i = 0; i < PAIRS; i++) {
        double once = number(line_of(l, "once", i), "score"),
               twice = number(line_of(l, "twice", i), "score");
        CHECK(once != 0 && fabs(twice / once - 4) < 4 * FLOAT_ROUNDING, "pair %d: %g and %g", i,
              once, twice);
    }
}

static void test_rho_pairs(Lab *l) {
    static const char *const reduce[] = {"mean", "sum"};
    Pair base[POOL], reference[POOL];
    WORKS(l, "train --model base --learning-rate 3e-3 --pool hold.jsonl --seed 15 --max-steps 6 "
             "--out plain");
    per_example(l, "base", "pairs.jsonl", true, base);
    per_example(l, "plain", "pairs.jsonl", true, reference);
    for (int k = 0; k < 2; k++) {
        WORKS(l,
              "train --model base --learning-rate 3e-3 %s --weights rho --reduce %s "
              "--reference-steps 6 --max-steps 2 --out run",
              WORLDS[1], reduce[k]);
        CHECK(same_bytes("run/reference/model.safetensors", "plain/model.safetensors"),
              "pairs: the reference is another model");
        for (int i = 0; i < PAIRS; i++) {
            double score = number(line_of(l, "run/scores.jsonl", i), "score");
            double w = reference[i].chosen - base[i].chosen,
                   r = reference[i].rejected - base[i].rejected;
            double want = k == 0 ? w / base[i].n_chosen - r / base[i].n_rejected : w - r;
            CHECK(close_to(score, want, FLOAT_ROUNDING), "%s, pair %d: %g, not %g", reduce[k], i,
                  score, want);
        }
    }
}

/* ---- a run that is broken off ---- */

/* Starts a run, sends SIGTERM once its log has some lines, and waits. Returns its status. */
static int break_off(Lab *l, const char *arguments) {
    Buf command = {0};
    struct stat now;
    int status = 0;
    bool sent = false; /* a second signal would end it unsaved */
    remove("broken/log.jsonl");
    buf_printf(&command, "exec '%s' %s --out broken >out 2>err </dev/null", l->program, arguments);
    pid_t pid = fork();
    if (pid == 0) execl("/bin/sh", "sh", "-c", command.s, (char *)NULL);
    while (pid > 0 && waitpid(pid, &status, WNOHANG) == 0) {
        if (!sent && stat("broken/log.jsonl", &now) == 0 && now.st_size > 20000)
            sent = kill(pid, SIGTERM) == 0;
        nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
    }
    buf_free(&command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* How many of the first steps have a batch of two whose weights are all 0? */
static int zero_batches(Lab *l, const char *scores, int seed, long steps) {
    double weight[POOL];
    int n = 0;
    for (int i = 0; i < POOL; i++) weight[i] = number(line_of(l, scores, i), "weight");
    for (long s = 0; s < steps; s++)
        n += weight[record_at(seed, POOL, 2 * s)] == 0 &&
             weight[record_at(seed, POOL, 2 * s + 1)] == 0;
    return n;
}

/* Weights of the whole pool, half of them 0, and batches of two: a resumed run has both, and knows
 * how many it skipped. */
static void test_resume(Lab *l) {
    enum { STEPS = 6000 };
    char arguments[300];
    TensorFile state;
    snprintf(arguments, sizeof arguments,
             "train --model base %s --weights random --weight-map top --share 0.5 --batch-size 2 "
             "--max-steps %d --logging-steps 1",
             WORLDS[0], STEPS);
    WORKS(l, "%s --out whole", arguments);
    int status = 0;
    for (int attempt = 0; attempt < 100 && status != 143; attempt++)
        status = break_off(l, arguments); /* on a busy machine it may end before */
    CHECK(status == 143, "status %d", status);
    if (!dump_open(&state, "broken/training_state.safetensors")) return;
    double step = dumped(&state, "step", 0), skipped = dumped(&state, "skipped", 0);
    tensors_close(&state);
    int want = zero_batches(l, "broken/scores.jsonl", 1, (long)(step + skipped));
    CHECK(skipped == want && want > 0, "%g steps skipped of %g, not %d", skipped, step + skipped,
          want);
    WORKS(l, "train --resume broken");
    CHECK(same_bytes("whole/model.safetensors", "broken/model.safetensors"),
          "the resumed run left another model");
    CHECK(same_bytes("whole/scores.jsonl", "broken/scores.jsonl"),
          "the resumed run left other scores");
    want = zero_batches(l, "whole/scores.jsonl", 1, STEPS);
    CHECK(result(l, "whole", "skipped_steps") == want, "whole: %g skipped, not %d",
          result(l, "whole", "skipped_steps"), want);
    CHECK(result(l, "broken", "skipped_steps") == want, "resumed: %g skipped, not %d",
          result(l, "broken", "skipped_steps"), want);
    CHECK(lines_of(l, "broken/log.jsonl") == STEPS, "%d lines", lines_of(l, "broken/log.jsonl"));
    /* Its clock goes on where the first run's stopped. */
    static const char KEY[] = "\"seconds\":";
    double seconds = 0;
    for (const char *s = text_of(l, "broken/log.jsonl"); (s = strstr(s, KEY)) != NULL;) {
        double before = seconds;
        s += sizeof KEY - 1;
        seconds = strtod(s, NULL);
        CHECK(seconds >= before, "the clock goes back from %g s to %g s", before, seconds);
    }
    CHECK(seconds > 0, "the log has no time");
}

/* ---- pretraining on text ---- */

/* A text's bytes as the tokens of a vocabulary without merges (specials, the printable bytes, the
 * others), then the end token alone. */
static void put_text(IntBuf *ids, const char *text) {
    for (; *text; text++) ints_put(ids, *text == ' ' ? 224 : 4 + *text - '!');
    ints_put(ids, END);
}

/* The log-likelihood by the base of all tokens but the first of each row. Row r has ids [from[r] ..
 * from[r] + length[r] - 1]. */
static void rows_logp(Lab *l, const IntBuf *ids, const int *from, const int *length, int rows,
                      double *logp) {
    Buf b = {0};
    Pair p[16];
    for (int r = 0; r < rows; r++)
        for (int t = 0; t < length[r]; t++)
            buf_printf(&b, "%s%d%s", t ? "," : "{'input_ids':[", ids->v[from[r] + t],
                       t + 1 == length[r] ? "]}\n" : "");
    write_records("rows.jsonl", b.s);
    buf_free(&b);
    CHECK(per_example(l, "base", "rows.jsonl", false, p) == rows, "rows");
    for (int r = 0; r < rows; r++) {
        logp[r] = p[r].chosen;
        CHECK(p[r].n_chosen == length[r] - 1, "row %d: %d tokens are predicted", r, p[r].n_chosen);
    }
}

/* Texts become one stream. A row has CONTEXT + 1 tokens of it, and its last one is the first of the
 * next row: every token but the stream's first is predicted once. Here each row is a batch; a rate
 * of 1e-12 leaves the base as it is. */
static void test_packing(Lab *l) {
    enum { MOST = 16 };
    static const char *const texts[] = {
        "the first text is longer than one row of the model, so that its end stands in the "
        "second row, and it goes on and on and on, with red apples and a blue sky",
        "a short one",
        "the last one fills what is left of the third row and begins one more, "
        "which is not full: these letters stand in it, t u v w x y z"};
    IntBuf ids = {0};
    Buf b = {0};
    int from[MOST], length[MOST], rows = 0;
    double logp[MOST], total = 0;
    for (int i = 0; i < 3; i++) {
        put_text(&ids, texts[i]);
        buf_printf(&b, "{'text':'%s'}\n", texts[i]);
    }
    write_records("text.jsonl", b.s);
    buf_free(&b);
    for (int at = 0; at + 1 < ids.n; at += CONTEXT, rows++) {
        from[rows] = at;
        length[rows] = ids.n - at < CONTEXT + 1 ? ids.n - at : CONTEXT + 1;
    }
    CHECK(rows == 4 && length[3] > 2 && length[3] < CONTEXT, "%d rows, the last of %d tokens", rows,
          length[rows - 1]);
    rows_logp(l, &ids, from, length, rows, logp);
    const char *how =
        "pretrain --model base --data text.jsonl --learning-rate 1e-12 --weight-decay 0 "
        "--logging-steps 1 --out run";
    WORKS(l, "%s --batch-tokens 96 --num-train-epochs 2 --seed 4", how);
    CHECK(result(l, "run", "steps") == 2 * rows, "%g steps", result(l, "run", "steps"));
    for (int s = 0; s < 2 * rows; s++) {
        int row = record_at(4, rows, s);
        double loss = number(line_of(l, "run/log.jsonl", s), "loss"),
               want = -logp[row] / (length[row] - 1);
        CHECK(close_to(loss, want, FLOAT_ROUNDING), "step %d, row %d: a loss of %g, not %g", s, row,
              loss, want);
    }
    WORKS(l, "%s --batch-tokens 1000 --max-steps 1", how);
    for (int r = 0; r < rows; r++) total -= logp[r];
    CHECK(number(json_get(json_of(l, "run/run.json"), "tokens"), "train") == ids.n - 1,
          "not every token is predicted once");
    CHECK(close_to(number(line_of(l, "run/log.jsonl", 0), "loss"), total / (ids.n - 1),
                   FLOAT_ROUNDING),
          "all rows: loss");
    ints_free(&ids);
}

/* The last batch of an epoch is smaller: batches of at most 2 rows of the 3 sessions. */
static void test_pretraining_batches(Lab *l) {
    write_records("three.jsonl",
                  "{'prompt':'ab','completion':'c'}\n{'prompt':'de','completion':'f'}\n"
                  "{'prompt':'gh','completion':'i'}\n");
    /* A session's row is <bos> <q> 2 letters <a> blank letter <e>: 7 predictions, those of the
     * answer weigh 1, others 0. */
    WORKS(
        l,
        "pretrain --model base --data three.jsonl --batch-tokens 14 --prompt-loss-weight 0 "
        "--num-train-epochs 1 --learning-rate 1e-12 --weight-decay 0 --logging-steps 1 --out run");
    CHECK(strstr(text_of(l, "err"), " parameters, 3 rows, 24 tokens an epoch, 2 steps, "),
          "what it will do: %s", text_of(l, "err"));
    Pair p[3];
    per_example(l, "base", "three.jsonl", false, p);
    CHECK(result(l, "run", "steps") == 2, "%g steps", result(l, "run", "steps"));
    double first = -(p[0].chosen + p[1].chosen) / 6, second = -p[2].chosen / 3;
    CHECK(close_to(number(line_of(l, "run/log.jsonl", 0), "loss"), first, FLOAT_ROUNDING),
          "the first batch");
    CHECK(close_to(number(line_of(l, "run/log.jsonl", 1), "loss"), second, FLOAT_ROUNDING),
          "the last batch");
    CHECK(number(json_get(json_of(l, "run/run.json"), "tokens"), "train") == 21, "tokens");
}

/* ---- generation, overlaps ---- */

static void test_generate(Lab *l) {
    const char *letters = "abcdefghijklmnopqrstuvwxyz";
    for (int n = 1; n <= 6; n++) {
        WORKS(l, "generate --model base --prompt 'name red' --max-new-tokens %d --json", n);
        const Json *r = json_of(l, "out"), *text = json_get(r, "completion");
        CHECK(number(r, "tokens") == n, "--max-new-tokens %d gives %g", n, number(r, "tokens"));
        CHECK(text && text->string.n == (size_t)n &&
                  memcmp(text->string.s, " apple", (size_t)n) == 0,
              "%d tokens: %s", n, text ? text->string.s : "nothing");
    }
    /* Up to the end of the context: 90 tokens are <bos> <q> 87 letters <a>; the last new one is
     * only predicted. */
    WORKS(l, "generate --model base --prompt '%s%s%s%.9s' --temperature 50 --seed 1 --json",
          letters, letters, letters, letters);
    CHECK(number(json_of(l, "out"), "tokens") == CONTEXT - 90 + 1, "a full context gives %g",
          number(json_of(l, "out"), "tokens"));
}

/* A text and its beginning are two examples, in either file; the same example twice is an error,
 * also among others. */
static void test_overlap(Lab *l) {
    static const struct {
        const char *pool, *holdout;
        int status;
    } cases[] = {
        {"{'prompt':'ab','completion':'cd'}\n", "{'prompt':'ab','completion':'cde'}\n", 0},
        {"{'prompt':'ab','completion':'cde'}\n", "{'prompt':'ab','completion':'cd'}\n", 0},
        {"{'prompt':'ab','completion':'cd'}\n", "{'prompt':'abc','completion':'d'}\n", 0},
        {"{'input_ids':[10,11,12]}\n", "{'input_ids':[10,11,12,13]}\n", 0},
        {"{'prompt':'a','completion':'b'}\n{'prompt':'ab','completion':'cd'}\n",
         "{'prompt':'z','completion':'b'}\n{'prompt':'ab','completion':'cd'}\n", 3},
        {"{'prompt':'ab','completion':'cd'}\n", "{'prompt':'AB','completion':' cd'}\n", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_records("a.jsonl", cases[i].pool);
        write_records("b.jsonl", cases[i].holdout);
        int status =
            ica(l, "train --model base --pool a.jsonl --holdout b.jsonl --max-steps 1 --out run");
        CHECK(status == cases[i].status, "overlap %zu: status %d, not %d", i, status,
              cases[i].status);
    }
}

/* A run that diverges leaves the scores that it computed: they say with what it was trained. */
static void test_diverged_scores(Lab *l) {
    int status = ica(l, "train --model base --pool pool.jsonl --holdout hold.jsonl --weights ica "
                        "--k 1 --batch-size 4 --max-steps 60 --lr-scheduler-type constant "
                        "--learning-rate 10 --weight-decay 10 --out diverged");
    CHECK(status == 5, "status %d of a run that diverges: %s", status, text_of(l, "err"));
    CHECK(lines_of(l, "diverged/scores.jsonl") == POOL, "%d scores of a diverged run",
          lines_of(l, "diverged/scores.jsonl"));
}

int main(int argc, char **argv) {
    static void (*const tests[])(Lab *) = {
        test_schedules,     test_epochs,        test_last_batch,      test_clipping,
        test_skipped,       test_micro_batches, test_answer_metrics,  test_pair_metrics,
        test_pair_step,     test_log_means,     test_refreshes,       test_refresh_draws,
        test_same_answers,  test_dpo_refresh,   test_used_weights,    test_cost,
        test_rho_reference, test_rho_options,   test_gradient_reduce, test_gradient_dpo,
        test_rho_pairs,     test_resume,        test_packing,         test_pretraining_batches,
        test_generate,      test_overlap,       test_diverged_scores};
    char folder[] = "/tmp/test_train.XXXXXX";
    Lab l = {0};
    if (lab_open(&l, argc > 0 ? argv[0] : "", folder)) {
        make_world(&l);
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tests[i](&l);
        lab_close(&l, folder);
    }
    return check_report("test_train");
}
