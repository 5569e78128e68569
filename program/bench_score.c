/* Scores with and without shared contexts. One round measures everything once, so that all figures
 * of a round see the same machine. Results are medians over rounds. */
#include "program/bench.h"

#include <stdlib.h>
#include <string.h>

#include "ica.h"
#include "lib/stats.h"

enum {
    DEMOS = 3,   /* k */
    LENGTH = 64, /* tokens of a demonstration; inputs of a candidate, which are all scored */
    MOST = 64,   /* how many candidates are made */
    LEAST = 16,  /* how many run at once, unless the group is larger; it hardly changes the cost */
    GROUPS = 4
};
static const int GROUP[GROUPS] = {1, 4, 16, 64};

/* Random candidates and demonstrations, and what is measured on them. */
typedef struct {
    Model *m;
    Workspace *ws;
    Examples form; /* no start token: a row is exactly (k + 1) LENGTH inputs */
    Example *candidates, *shown;
    Demo *demos; /* [MOST][DEMOS]: context c is demos[c * DEMOS ..] */
    int *token;  /* of all examples */
} Bench;

static Bench bench_new(ModelConfig shape) {
    Error never = {0};
    enum { EXAMPLES = MOST * (DEMOS + 1) };
    if (shape.context < (DEMOS + 1) * LENGTH) shape.context = (DEMOS + 1) * LENGTH;
    Bench b = {.m = model_new(shape, &never), .ws = workspace_new()};
    model_initialize(b.m, 1);
    b.candidates = mem_new(MOST, sizeof *b.candidates);
    b.shown = mem_new(MOST * DEMOS, sizeof *b.shown);
    b.demos = mem_new(MOST * DEMOS, sizeof *b.demos);
    b.token = mem_new(EXAMPLES * (LENGTH + 1), sizeof *b.token);
    Rng rng = rng_new(1, 1);
    for (int i = 0; i < EXAMPLES * (LENGTH + 1); i++) b.token[i] = rng_below(&rng, shape.vocab);
    for (int i = 0; i < MOST;
         i++) { /* a prompt of one token: the one that predicts the answer's first */
        int *own = b.token + i * (LENGTH + 1);
        b.candidates[i] = (Example){.bare = own,
                                    .prompt = own,
                                    .answer = own + 1,
                                    .bare_n = 1,
                                    .prompt_n = 1,
                                    .answer_n = LENGTH};
    }
    for (int i = 0; i < MOST * DEMOS; i++) {
        int *own = b.token + (MOST + i) * (LENGTH + 1);
        b.shown[i] = (Example){.bare = own,
                               .prompt = own,
                               .answer = own + LENGTH / 2,
                               .bare_n = LENGTH / 2,
                               .prompt_n = LENGTH / 2,
                               .answer_n = LENGTH / 2};
        b.demos[i] = (Demo){&b.shown[i], &b.shown[i]};
    }
    return b;
}

static void bench_free(Bench *b) {
    model_free(b->m);
    workspace_free(b->ws);
    free(b->candidates);
    free(b->shown);
    free(b->demos);
    free(b->token);
}

/* Seconds and operations a candidate, in groups of `group` that share one context. */
static double score_seconds(Bench *b, int group, bool naive, double *flops) {
    int n = group > LEAST ? group : LEAST;
    Query queries[MOST];
    Cost cost = {0};
    for (int i = 0; i < n; i++)
        queries[i] = (Query){
            .demos = b->demos + i / group * DEMOS, .n_demos = DEMOS, .x = &b->candidates[i]};
    double start = seconds_now();
    if (naive) ica_logps_naive(b->m, b->ws, &b->form, queries, n, &cost);
    else ica_logps(b->m, b->ws, &b->form, queries, n, &cost);
    *flops = cost.flops / n;
    return (seconds_now() - start) / n;
}

/* Seconds of training on one candidate without context: forward and backward in batches of `rows`,
 * without AdamW. */
static double train_seconds(Bench *b, int rows, real *grad) {
    Batch batch = {0};
    double *dlogp = mem_new((size_t)rows, sizeof *dlogp),
           *logp = mem_new((size_t)rows, sizeof *logp);
    for (int r = 0; r < rows; r++) {
        batch_row(&batch, b->token + r * (LENGTH + 1), LENGTH + 1, 1, NULL);
        dlogp[r] = -1.0 / LENGTH;
    }
    double start = seconds_now();
    model_forward_backward(b->m, b->ws, &batch, dlogp, logp, grad, false);
    double seconds = (seconds_now() - start) / rows;
    batch_free(&batch);
    free(dlogp);
    free(logp);
    return seconds;
}

/* Prints a line of the table and appends an object. There are two bounds. One is by weights alone:
 * b of a scored token in the layers, `shown` of a demonstration's token, whose last layer ends with
 * keys and values, and h in the head. The other is by counted operations, attention included. */
static void put_group(BenchOut *out, const char *config, const Model *m, int threads, int group,
                      const double ms[3], const double flops[3]) {
    const LayerShape *x = &m->shape;
    Buf *json = &out->json;
    double C = x->channels, u = (double)DEMOS / group;
    double rest = 2 * C * ((double)x->queries + x->fc + x->inner), h = 2 * C * m->config.vocab;
    double b = m->config.layers * (2 * C * x->qkv + rest), shown = b - rest;
    double naive = ms[0], cached = ms[1], train = ms[2];
    double saving = naive / cached, bound = (DEMOS * shown + b + h) / (u * shown + b + h);
    double r = cached / train, r_bound = (u * shown + b + h) / (3 * (b + h));
    double by_operations = saving / (flops[0] / flops[1]);
    double r_by_operations = r / (flops[1] / flops[2]);
    bench_tell(
        out,
        "  %s %d thread%s %2d a context %8.2f ms naive %8.2f cached  %4.2f x, %3.0f%% of %4.2f "
        "(%3.0f%% by operations)",
        config, threads, threads > 1 ? "s" : " ", group, naive, cached, saving,
        100 * saving / bound, bound, 100 * by_operations);
    bench_tell(out, "  r %.2f of %.2f (%.2f by operations)\n", r, r_bound, flops[1] / flops[2]);
    buf_printf(json,
               "%s{\"config\":\"%s\",\"group\":%d,\"threads\":%d,\"naive_ms\":%.4f,\"cached_ms\":%."
               "4f,\"train_ms\":%.4f",
               json->s[json->n - 1] == '[' ? "" : ",", config, group, threads, naive, cached,
               train);
    buf_printf(
        json,
        ",\"saving\":%.4f,\"bound\":%.4f,\"share_of_bound\":%.4f,\"share_by_operations\":%.4f",
        saving, bound, saving / bound, by_operations);
    buf_printf(json,
               ",\"relative_cost\":%.4f,\"relative_bound\":%.4f,\"cost_over_bound\":%.4f,\"cost_by_"
               "operations\":%.4f}",
               r, r_bound, r / r_bound, r_by_operations);
}

void bench_score(BenchOut *out, const BenchConfig *config, int threads) {
    enum { ROUNDS = 5 };
    int train_rows = config->rows * config->length / LENGTH;
    Bench b = bench_new(config->shape);
    real *grad = mem_new(b.m->parameters, sizeof *grad);
    double train[ROUNDS], naive[ROUNDS], cached[GROUPS][ROUNDS], flops[3], cached_flops[GROUPS];
    if (train_rows > MOST) train_rows = MOST;
    for (int round = -1; round < ROUNDS; round++) { /* the first one warms up */
        int at = round < 0 ? 0 : round;
        train[at] = 1e3 * train_seconds(&b, train_rows, grad);
        naive[at] = 1e3 * score_seconds(&b, 1, true, &flops[0]);
        for (int g = 0; g < GROUPS; g++)
            cached[g][at] = 1e3 * score_seconds(&b, GROUP[g], false, &cached_flops[g]);
    }
    flops[2] = 3 * model_flops(b.m, LENGTH, LENGTH, LENGTH);
    double ms[3] = {median(naive, ROUNDS), 0, median(train, ROUNDS)};
    for (int g = 0; g < GROUPS; g++) {
        ms[1] = median(cached[g], ROUNDS);
        flops[1] = cached_flops[g];
        put_group(out, config->name, b.m, threads, GROUP[g], ms, flops);
    }
    free(grad);
    bench_free(&b);
}
