/* Evaluations by hand: each member of Metrics and PairMetrics from log-likelihoods of one row at a
 * time, in parts and whole, and what a broken model is told. */
#define _POSIX_C_SOURCE 200809L
#include "data/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/check.h"
#include "tests/unit/world.h"

/* Sums of a few dozen doubles, in another order than the program's: some 1e-15 of them each. A
 * log-likelihood itself has the same bits. */
static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * (1 + fabs(b)); }

static World small_world(void) {
    Rng rng = rng_new(5, 1);
    World w = {.m = random_model(1, 96), .other = random_model(2, 96), .ws = workspace_new()};
    random_examples(&w.pool, &rng, 20, 12);
    random_examples(&w.holdout, &rng, 10, 12);
    return w;
}

static void test_answers(World *w) {
    double nll = 0, nats = 0, tokens = 0, p_sequence = 0, exact = 0, logp[20];
    for (int i = 0; i < 20; i++) {
        const Example *z = &w->pool.items[i];
        int hits;
        double own = logp_by_hand(w->m, w->ws, NULL, 0, z, false, &hits);
        nll -= own / z->answer_n / 20;
        nats -= own;
        tokens += z->answer_n;
        p_sequence += exp(own) / 20;
        exact += hits == z->answer_n;
    }
    Metrics x = evaluate_answers(w->m, w->ws, &w->pool, NULL, NULL, logp);
    CHECK(near(x.nll, nll), "nll %.17g, not %.17g", x.nll, nll);
    CHECK(near(x.perplexity, exp(nats / tokens)), "perplexity %.17g", x.perplexity);
    CHECK(near(x.p_sequence, p_sequence), "p_sequence %.17g, not %.17g", x.p_sequence, p_sequence);
    CHECK(near(x.exact_match, exact / 20), "exact_match %g, not %g", x.exact_match, exact / 20);
    CHECK(near(x.nats, nats) && near(x.tokens, tokens), "%g nats, %g tokens", x.nats, x.tokens);
    CHECK(x.broken == -1 && x.dropped == 0, "%d broken, %d dropped", x.broken, x.dropped);
    CHECK(same_bits(logp[7], logp_alone(w->m, w->ws, &w->pool.items[7])), "logp %g", logp[7]);
    /* Parts of 7, 7 and 6 have the bits of the whole. */
    Metrics parts = {.broken = -1};
    for (int from = 0; from < 20; from += 7) {
        Examples part = w->pool;
        part.items += from;
        part.count = from + 7 <= 20 ? 7 : 20 - from;
        evaluate_answers_part(w->m, w->ws, &part, NULL, NULL, 20, logp, &parts);
    }
    metrics_end(&parts, 20);
    CHECK(memcmp(&parts, &x, sizeof x) == 0, "in parts %.17g, whole %.17g", parts.nll, x.nll);
    Metrics again =
        evaluate_answers(w->m, w->ws, &w->pool, &w->holdout, &(ScoreOptions){.k = 3}, NULL);
    CHECK(isfinite(again.nll) && !same_bits(again.nll, x.nll), "demonstrations change nothing");
}

/* What the model itself answers is an exact match, whole. */
static void test_exact(World *w) {
    for (int i = 0; i < 3; i++) {
        Example *z = &w->pool.items[i];
        int *answer = arena_new(&w->pool.arena, 1, sizeof *answer), hits = 0;
        for (answer[0] = 0; answer[0] < VOCAB && !hits; answer[0]++) {
            z->answer = answer;
            z->answer_n = 1;
            logp_by_hand(w->m, w->ws, NULL, 0, z, false, &hits);
            if (hits) break;
        }
        CHECK(hits == 1, "one token is the most probable");
    }
    Examples three = first_of(&w->pool, 3);
    Metrics x = evaluate_answers(w->m, w->ws, &three, NULL, NULL, NULL);
    CHECK(near(x.exact_match, 1), "exact_match %g", x.exact_match);
    w->pool.items[1].answer = &BOS_ROW[0]; /* which it never says here */
    three = first_of(&w->pool, 3);
    int hits;
    logp_by_hand(w->m, w->ws, NULL, 0, &w->pool.items[1], false, &hits);
    x = evaluate_answers(w->m, w->ws, &three, NULL, NULL, NULL);
    CHECK(near(x.exact_match, (2. + hits) / 3), "exact_match %g", x.exact_match);
}

static void test_pairs(World *w) {
    enum { N = 20 };
    const PairOptions options = {.beta = 0.3};
    Logps reference = logps_new(N), own = logps_new(N);
    double loss = 0, margin = 0, right = 0;

    ica_answer_logps(w->other, w->ws, &w->pool, reference, NULL);
    for (int i = 0; i < N; i++) {
        const Example *z = &w->pool.items[i];
        double chosen = logp_by_hand(w->m, w->ws, NULL, 0, z, false, NULL) -
                        logp_by_hand(w->other, w->ws, NULL, 0, z, false, NULL);
        double rejected = logp_by_hand(w->m, w->ws, NULL, 0, z, true, NULL) -
                          logp_by_hand(w->other, w->ws, NULL, 0, z, true, NULL);
        double gap = 0.3 * (chosen - rejected);
        loss += log1p(exp(-gap)) / N;
        margin += gap / N;
        right += gap > 0;
    }
    PairMetrics x = evaluate_pairs(w->m, w->ws, &w->pool, OBJECTIVE_DPO, &options, reference, &own);
    /* Log-likelihoods by hand are of the same bits, and differences of them lose some digits. */
    CHECK(fabs(x.loss - loss) < 1e-9 && fabs(x.margin - margin) < 1e-9, "%g %g, not %g %g", x.loss,
          x.margin, loss, margin);
    CHECK(near(x.reward_accuracy, right / N) && x.broken == -1, "%g, not %g", x.reward_accuracy,
          right / N);
    CHECK(right > 0 && right < N, "%g of the pairs are right: all alike", right);
    PairMetrics parts = {.broken = -1};
    for (int from = 0; from < N; from += 6) {
        Examples part = w->pool;
        Logps of = {reference.chosen + from, reference.rejected + from};
        part.items += from;
        part.count = from + 6 <= N ? 6 : N - from;
        evaluate_pairs_part(w->m, w->ws, &part, OBJECTIVE_DPO, &options, of, N, own, &parts);
    }
    pair_metrics_end(&parts, N);
    CHECK(memcmp(&parts, &x, sizeof x) == 0, "in parts %.17g, whole %.17g", parts.loss, x.loss);
    x = evaluate_pairs(w->m, w->ws, &w->pool, OBJECTIVE_DPO, &options, reference, NULL);
    CHECK(memcmp(&parts, &x, sizeof x) == 0, "without a place for log-likelihoods");
    logps_free(&reference);
    logps_free(&own);
}

/* A model of NaN: each evaluation names the first record. */
static void test_broken(World *w) {
    char path[] = "t.jsonl";
    Record records[20];
    Error err = {0};
    Measured out;
    const PairOptions options = {.beta = 0.3};
    Logps logps = logps_new(20);
    ExampleFile file = {.data = {.path = path, .count = 20, .records = records},
                        .examples = w->pool};
    for (int i = 0; i < 20; i++) records[i] = (Record){.line = i + 11};
    CHECK(evaluate_file(w->m, w->ws, &file, OBJECTIVE_SFT, &options, (Logps){0}, &out, &err) &&
              out.records == 20 && isfinite(out.answers.nll) && isnan(out.pairs.loss),
          "%s", err.text);
    CHECK(evaluate_file(w->m, w->ws, &file, OBJECTIVE_SIMPO, &options, (Logps){0}, &out, &err) &&
              isnan(out.answers.nll) && isfinite(out.pairs.loss),
          "%s", err.text);
    CHECK(reference_logps(w->m, w->ws, &file, logps, NULL, &err), "%s", err.text);
    CHECK(same_bits(logps.chosen[3], logp_alone(w->m, w->ws, &w->pool.items[3])), "the third");
    for (size_t i = 0; i < w->m->parameters; i++) w->m->w[i] = NAN;
    for (int kind = 0; kind < 3; kind++) {
        err = (Error){0};
        bool ok = kind == 2
                      ? reference_logps(w->m, w->ws, &file, logps, NULL, &err)
                      : evaluate_file(w->m, w->ws, &file, kind ? OBJECTIVE_SIMPO : OBJECTIVE_SFT,
                                      &options, (Logps){0}, &out, &err);
        CHECK(!ok && err.status == STATUS_DIVERGED && strstr(err.text, "t.jsonl:11"), "%d: %s",
              kind, err.text);
    }
    err = (Error){0};
    file.examples.count = 0;
    CHECK(evaluate_file(w->m, w->ws, &file, OBJECTIVE_SFT, &options, (Logps){0}, &out, &err) &&
              out.records == 0 && isnan(out.answers.nll) && isnan(out.pairs.loss),
          "no records");
    logps_free(&logps);
}

static void test_file(void) {
    char folder[] = "/tmp/test_metrics.XXXXXX";
    Buf b = {0}, text = {0};
    Error err = {0};
    const Metrics x = {.nll = 0.5, .perplexity = 2, .p_sequence = 0.25, .exact_match = 0.125};
    const PairMetrics pairs = {.loss = 1.5, .reward_accuracy = 0.75, .margin = -3};
    static const char wanted[] = "\"nll\":0.5,\"perplexity\":2,\"p_sequence\":0.25,"
                                 "\"exact_match\":0.125,\"loss\":1.5,\"reward_accuracy\":0.75,"
                                 "\"margin\":-3";
    metrics_put(&b, &x);
    pair_metrics_put(&b, &pairs);
    CHECK(b.n == sizeof wanted - 1 && memcmp(b.s, wanted, b.n) == 0, "%.*s", (int)b.n, b.s);
    if (!mkdtemp(folder)) exit(1);
    char *path = path_join(folder, "metrics.json");
    CHECK(metrics_write(folder, &b, 7, &err) && file_read(path, &text, &err), "%s", err.text);
    CHECK(text.n == b.n + sizeof "{,\"records\":7}" && memcmp(text.s + 1, wanted, b.n) == 0 &&
              memcmp(text.s + 1 + b.n, ",\"records\":7}\n", 14) == 0,
          "%.*s", (int)text.n, text.s);
    unlink(path);
    rmdir(folder);
    free(path);
    buf_free(&b);
    buf_free(&text);
}

int main(void) {
    World w = small_world();
    test_answers(&w);
    test_pairs(&w);
    test_exact(&w);
    test_broken(&w);
    test_file();
    world_free(&w);
    return check_report("test_metrics");
}
