/* Tests of RHO's references by folds, as a program: each is what a plain run makes of the records
 * of the other folds. From the environment: ICA, the program to test. */
#define _XOPEN_SOURCE 700
#include "tests/unit/lab.h"

enum { POOL = 8, HOLDOUT = 5 };
/* A log-likelihood sums some 100 products of floats a token. Another batch may add them in another
 * order: 100 * 2^-24 = 6e-6 of numbers of the size of a logit. */
#define FLOAT_ROUNDING 2e-5

static void make_world(Lab *l) {
    write_records(
        "pool.jsonl",
        "{'prompt':'name red','completion':'apple'}\n{'prompt':'name sky','completion':'blue'}\n"
        "{'prompt':'say two','completion':'bb'}\n{'prompt':'say six now','completion':'ffffff'}\n"
        "{'prompt':'add ab','completion':'ba'}\n{'prompt':'name sea','completion':'deep green'}\n"
        "{'prompt':'say one','completion':'a'}\n{'prompt':'add xyz','completion':'zyx'}\n");
    write_records(
        "hold.jsonl",
        "{'prompt':'name sun','completion':'yellow'}\n{'prompt':'say three','completion':'ccc'}\n"
        "{'prompt':'add pq','completion':'qp'}\n{'prompt':'name coal','completion':'black'}\n"
        "{'prompt':'say five','completion':'eeeee'}\n");
    WORKS(l, "tokenizer --data pool.jsonl --vocab-size 260 --out tok");
    WORKS(l, "pretrain --data pool.jsonl hold.jsonl --tokenizer tok --layers 1 --heads 2 "
             "--channels 16 --context 96 --batch-tokens 64 --max-steps 300 --warmup-steps 5 "
             "--learning-rate 1e-2 --out base");
}

/* The log-likelihoods and lengths of the answers of a file with n records, by a model. */
static void logps_of(Lab *l, const char *model, const char *file, int n, double *logp,
                     double *tokens) {
    WORKS(l, "eval --model %s --data %s --per-example each", model, file);
    for (int i = 0; i < n; i++) {
        logp[i] = number(line_of(l, "each", i), "logp");
        tokens[i] = number(line_of(l, "each", i), "tokens");
    }
}

/* A plain run on the records order[4] of hold.jsonl, in this order: the reference of the fold that
 * has none of them. */
static void train_on(Lab *l, const char *how, const int *order) {
    Buf b = {0};
    for (int i = 0; i < 4; i++) {
        const char *text = text_of(l, "hold.jsonl");
        for (int line = 0; line < order[i]; line++) text = strchr(text, '\n') + 1;
        buf_put(&b, text, strcspn(text, "\n") + 1);
    }
    write_text("four.jsonl", b.s);
    buf_free(&b);
    WORKS(l, "train %s --pool four.jsonl --seed 17 --max-steps 6 --out plain", how);
}

/* The next order of order[4] in the dictionary's sense. False after the last. */
static bool next_order(int *order) {
    int i = 2, j = 3;
    while (i >= 0 && order[i] > order[i + 1]) i--;
    if (i < 0) return false;
    while (order[j] < order[i]) j--;
    int was = order[i];
    order[i] = order[j], order[j] = was;
    for (int a = i + 1, b = 3; a < b; a++, b--) was = order[a], order[a] = order[b], order[b] = was;
    return true;
}

/* [E15] [E19] accept compares with references by folds. hold.jsonl has 5 prompts, so that record j
 * is alone in its fold, and is scored by what a plain run makes of the four others, in some order.
 * A candidate is scored by one of these five references. */
static void test_rho_folds(Lab *l) {
    const char *how = "--model base --batch-size 2 --learning-rate 3e-3 --warmup-ratio 0.5";
    double base[POOL], own[HOLDOUT], pool[POOL], tokens[POOL], unused[POOL];
    int references = 0, dealt[POOL] = {0};
    WORKS(l,
          "train %s --pool pool.jsonl --holdout hold.jsonl --seed 3 --weights rho "
          "--weight-map accept --reference-steps 6 --max-steps 2 --out run",
          how);
    logps_of(l, "base", "pool.jsonl", POOL, base, tokens);
    for (int j = 0; j < HOLDOUT; j++) {
        int order[4], n = 0;
        for (int i = 0; i < HOLDOUT; i++)
            if (i != j) order[n++] = i;
        double by = number(line_of(l, "run/scores.jsonl.holdout.jsonl", j), "logp_by_reference");
        bool found = false;
        do {
            train_on(l, how, order);
            logps_of(l, "plain", "hold.jsonl", HOLDOUT, own, unused);
            found = close_to(by, own[j], FLOAT_ROUNDING);
        } while (!found && next_order(order));
        references += found;
        logps_of(l, "plain", "pool.jsonl", POOL, pool, tokens);
        for (int i = 0; i < POOL; i++) {
            const Json *line = line_of(l, "run/scores.jsonl", i);
            double is = number(line, "logp_by_reference");
            if (!close_to(is, pool[i], FLOAT_ROUNDING)) continue;
            dealt[i]++;
            CHECK(close_to(number(line, "score"), (is - base[i]) / tokens[i], FLOAT_ROUNDING),
                  "record %d: %g", i, number(line, "score"));
        }
    }
    CHECK(references == HOLDOUT, "%d of 5 references are plain runs on the others", references);
    for (int i = 0; i < POOL; i++)
        CHECK(dealt[i] == 1, "record %d is scored by %d of the references", i, dealt[i]);
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/test_references.XXXXXX";
    Lab l = {0};
    if (lab_open(&l, argc > 0 ? argv[0] : "", folder)) {
        make_world(&l);
        test_rho_folds(&l);
        lab_close(&l, folder);
    }
    return check_report("test_references");
}
