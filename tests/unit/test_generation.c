/* Generation: what is cached of the row before changes no token, what ends an answer, and who hears
 * of it. */
#include "data/generation.h"

#include <string.h>

#include "tests/unit/check.h"

enum { VOCAB = 12, CONTEXT = 20 };

static ModelFolder new_folder(void) {
    Error err = {0};
    ModelConfig shape = {
        .layers = 2, .heads = 2, .channels = 8, .context = CONTEXT, .vocab = VOCAB};
    ModelFolder f = {.model = model_new(shape, &err)};
    CHECK(f.model, "%s", err.text);
    model_initialize(f.model, 3);
    return f;
}

static const Sampling WARM = {1.2, 5, 0, 0.95};

static void random_row(Rng *rng, IntBuf *row) {
    row->n = 0;
    for (int n = 1 + rng_below(rng, CONTEXT - 1); row->n < n;) ints_put(row, rng_below(rng, VOCAB));
}

/* A generator that answered other rows answers as a new one does: rows that begin alike or not,
 * longer and shorter ones, and the row before once more. */
static void test_cache(void) {
    ModelFolder f = new_folder();
    Generator *used = generator_new(&f, "model", &WARM, 1);
    Rng rng = rng_new(7, 1);
    IntBuf row = {0};
    for (int i = 0; i < 200; i++) {
        Error err = {0};
        IntBuf a = {0}, b = {0};
        StopReason x, y;
        if (i % 3 == 0) random_row(&rng, &row);
        else if (i % 3 == 1) row.v[rng_below(&rng, row.n)] = rng_below(&rng, VOCAB);
        Generator *fresh = generator_new(&f, "model", &WARM, (uint64_t)i);
        generator_seed(used, (uint64_t)i);
        bool ok = generator_answer(used, &row, 6, NULL, NULL, &a, &x, &err) &&
                  generator_answer(fresh, &row, 6, NULL, NULL, &b, &y, &err);
        CHECK(ok && x == y && a.n == b.n && memcmp(a.v, b.v, (size_t)a.n * sizeof(int)) == 0,
              "row %d: %s %s, %d and %d tokens", i, STOP_REASONS[x], STOP_REASONS[y], a.n, b.n);
        generator_free(fresh);
        ints_free(&a);
        ints_free(&b);
    }
    generator_free(used);
    ints_free(&row);
    model_folder_free(&f);
}

/* Tokens that f's two places name: an id, a list, and what is no id of the model. */
static void test_ends(void) {
    static const struct {
        const char *config, *generation;
        int ends[2];
    } cases[] = {
        {NULL, NULL, {-1, -1}},
        {"5", NULL, {5, -1}},
        {"[5, 7]", NULL, {5, 7}},
        {"null", "{\"eos_token_id\": 7}", {7, -1}},
        {"5", "{\"eos_token_id\": [7, -1, 99, \"x\", 1.5]}", {5, 7}},
        {"12", "{}", {-1, -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelFolder f = new_folder();
        char config[32], generation[64];
        snprintf(config, sizeof config, "%s", cases[i].config ? cases[i].config : "");
        snprintf(generation, sizeof generation, "%s",
                 cases[i].generation ? cases[i].generation : "");
        if (cases[i].config) f.ids[1] = config;
        if (cases[i].generation) f.generation_config = generation;
        int ended = 0, wrong = 0;
        Generator *g = generator_new(&f, "model", &WARM, 1);
        for (int k = 0; k < 100; k++) {
            Error err = {0};
            IntBuf row = {0}, answer = {0};
            StopReason why;
            ints_put(&row, k % VOCAB);
            CHECK(generator_answer(g, &row, 8, NULL, NULL, &answer, &why, &err), "%s", err.text);
            ended += why == STOP_END;
            for (int j = 0; j < answer.n; j++)
                wrong += answer.v[j] == cases[i].ends[0] || answer.v[j] == cases[i].ends[1];
            CHECK(why != STOP_LENGTH || answer.n == 8, "length %d", answer.n);
            ints_free(&row);
            ints_free(&answer);
        }
        CHECK(wrong == 0, "case %zu: %d ends inside an answer", i, wrong);
        CHECK((ended > 0) == (cases[i].ends[0] >= 0), "case %zu: %d ended", i, ended);
        generator_free(g);
        f.ids[1] = f.generation_config = NULL;
        model_folder_free(&f);
    }
}

typedef struct {
    int calls, most;
} Ear;

static bool hear(void *whose, const IntBuf *answer, Error *err) {
    Ear *ear = whose;
    CHECK(answer->n == ++ear->calls, "call %d: %d tokens", ear->calls, answer->n);
    return ear->calls < ear->most || error_set(err, STATUS_IO, "enough");
}

/* A full context, and who hears of each token and may end it. */
static void test_limits(void) {
    ModelFolder f = new_folder();
    Generator *g = generator_new(&f, "model", &WARM, 1);
    for (int n = 1; n <= CONTEXT; n++) {
        Error err = {0};
        IntBuf row = {0}, answer = {0};
        StopReason why;
        Ear ear = {0, 1000};
        while (row.n < n) ints_put(&row, 1);
        CHECK(generator_answer(g, &row, 1000, hear, &ear, &answer, &why, &err) &&
                  why == STOP_CONTEXT && answer.n == CONTEXT + 1 - n && ear.calls == answer.n,
              "%d tokens of a row, %d of its answer, %d calls", n, answer.n, ear.calls);
        ints_free(&row);
        ints_free(&answer);
    }
    Error err = {0};
    IntBuf row = {0}, answer = {0};
    StopReason why;
    Ear ear = {0, 3};
    ints_put(&row, 1);
    CHECK(!generator_answer(g, &row, 1000, hear, &ear, &answer, &why, &err) && answer.n == 3 &&
              err.status == STATUS_IO,
          "%d tokens: %s", answer.n, err.text);
    ints_free(&row);
    ints_free(&answer);
    generator_free(g);
    model_folder_free(&f);
}

int main(void) {
    test_cache();
    test_ends();
    test_limits();
    return check_report("generation");
}
