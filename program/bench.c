/* bench: how fast this machine runs matrix products, training steps and scores. Times are medians
 * of interleaved runs. On a shared machine compare ratios, not milliseconds. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

#include "lib/file.h"
#include "lib/gemm.h"
#include "lib/stats.h"
#include "lib/text.h"
#include "lib/threads.h"
#include "program/bench.h"
#include "program/commands.h"
#include "program/machine.h"

const BenchPart BENCH_PARTS[] = {
    [BENCH_GEMM] = {"gemm", "matrix products over the shapes of training"},
    [BENCH_STEP] = {"step", "training steps"},
    [BENCH_SCORE] = {"score", "scores with and without shared contexts"},
};
_Static_assert(sizeof BENCH_PARTS / sizeof *BENCH_PARTS == BENCH_PART_COUNT, "a row each");

const BenchConfig BENCH_CONFIGS[] = {
    {"A",
     "6 layers of 384 channels, vocabulary 50,304",
     {.layers = 6, .heads = 6, .channels = 384, .context = 256, .vocab = 50304},
     4,
     256},
    {"B",
     "GPT-2 124M",
     {.layers = 12, .heads = 12, .channels = 768, .context = 64, .vocab = 50257},
     4,
     64},
    {"C",
     "4 layers of 128 channels, vocabulary 1,024",
     {.layers = 4, .heads = 4, .channels = 128, .context = 128, .vocab = 1024},
     8,
     128},
    {"D",
     "6 layers of SmolLM2-135M's size, vocabulary 49,152",
     {.layers = 6,
      .heads = 9,
      .channels = 576,
      .context = 64,
      .vocab = 49152,
      .family = FAMILY_LLAMA,
      .kv_heads = 3,
      .inner = 1536},
     4,
     64},
    {"E",
     "./run.sh's base: 4 layers of 64 channels, vocabulary 512",
     {.layers = 4, .heads = 4, .channels = 64, .context = 128, .vocab = 512},
     5,
     128},
};
_Static_assert(sizeof BENCH_CONFIGS / sizeof *BENCH_CONFIGS == BENCH_CONFIG_COUNT, "a row each");

void bench_tell(BenchOut *out, const char *format, ...) {
    Arena arena = {0};
    va_list args;
    va_start(args, format);
    Str text = text_format(&arena, format, args);
    va_end(args);
    if (out->is_json) fputs(text.s, stderr);
    else if (out->err->status == 0) file_print(text.s, text.n, out->err);
    arena_free(&arena);
}

/* Uses this many threads from now on, and wakes them with a product. A core that slept for a second
 * can need 20 ms to wake, which a running program never pays. */
static void use_threads(int threads) {
    enum { SIZE = 64 };
    static const real zeros[SIZE * SIZE];
    real product[SIZE * SIZE];
    threads_use(threads);
    gemm(SIZE, SIZE, SIZE, zeros, SIZE, 1, zeros, SIZE, 1, product, SIZE, NULL, false);
}

/* ---- matrix products ---- */

static const char *const OPS[3] = {"xwt", "dyw", "dytx"};

/* One of the three products of a linear layer with m tokens, k inputs and n outputs. */
static void product(int op, int m, int n, int k, const real *x, const real *w, const real *y,
                    real *out) {
    size_t K = (size_t)k, N = (size_t)n;
    if (op == 0) gemm(m, n, k, x, K, 1, w, N, 1, out, N, NULL, false);
    else if (op == 1) gemm(m, k, n, y, N, 1, w, 1, N, out, K, NULL, false);
    else gemm(k, n, m, x, 1, K, y, N, 1, out, N, NULL, true);
}

static void bench_gemm(BenchOut *out, int threads) {
    static const int shapes[][3] = {{256, 768, 768},   {256, 3072, 768},  {256, 768, 3072},
                                    {1024, 1152, 384}, {1024, 1536, 384}, {1024, 384, 1536},
                                    {1024, 384, 128},  {1024, 512, 128},  {4096, 768, 768},
                                    {256, 50257, 768}};
    enum { SHAPES = sizeof shapes / sizeof *shapes, RUNS = 5 };
    double log_sum = 0;
    Buf *json = &out->json;
    bench_tell(out, "products, %d threads\n", threads);
    for (int s = 0; s < SHAPES; s++) {
        int m = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
        size_t most = (size_t)(m > k ? m : k) * (size_t)(n > k ? n : k);
        real *x = mem_new((size_t)m * (size_t)k, sizeof *x),
             *w = mem_new((size_t)k * (size_t)n, sizeof *w);
        real *y = mem_new((size_t)m * (size_t)n, sizeof *y), *made = mem_new(most, sizeof *made);
        for (int op = 0; op < 3; op++) {
            double seconds[RUNS];
            int repeat = 1 + (int)(1e8 / (2.0 * m * n * k));
            for (int r = 0; r < RUNS; r++) {
                double start = seconds_now();
                for (int i = 0; i < repeat; i++) product(op, m, n, k, x, w, y, made);
                seconds[r] = (seconds_now() - start) / repeat;
            }
            double gflops = 2e-9 * m * n * k / median(seconds, RUNS);
            log_sum += log(gflops);
            bench_tell(out, "  %5d x %5d x %5d  %-4s %7.1f GFLOP/s\n", m, n, k, OPS[op], gflops);
            buf_printf(
                json, "%s{\"m\":%d,\"n\":%d,\"k\":%d,\"op\":\"%s\",\"gflops\":%.2f,\"threads\":%d}",
                json->s[json->n - 1] == '[' ? "" : ",", m, n, k, OPS[op], gflops, threads);
        }
        free(x);
        free(w);
        free(y);
        free(made);
    }
    bench_tell(out, "  geometric mean %.1f GFLOP/s\n", exp(log_sum / (3 * SHAPES)));
}

/* ---- training steps ---- */

static void random_tokens(IntBuf *ids, Rng *rng, int n, int vocab) {
    ids->n = 0;
    for (int i = 0; i < n; i++) ints_put(ids, rng_below(rng, vocab));
}

static Model *bench_model(const BenchConfig *c) {
    Error never = {0};
    ModelConfig shape = c->shape;
    if (shape.context < c->length) shape.context = c->length;
    Model *m = model_new(shape, &never);
    model_initialize(m, 1);
    return m;
}

/* What one step needs. It is made once. */
typedef struct {
    const BenchConfig *config;
    Model *m;
    Workspace *ws;
    Optimizer *o;
    real *grad;
    double *dlogp, *logp; /* [rows] */
    Batch b;
} Step;

/* The model's parts, and what comes after its backward pass: clipping's norm and AdamW. */
enum { PART_ADAMW = MODEL_PARTS, STEP_PARTS };
static const char *const PART_NAMES[STEP_PARTS] = {
    "embedding", "norm", "matmul", "attention", "gelu", "cross_entropy", "adamw"};

static Step step_new(const BenchConfig *c) {
    Step x = {.config = c, .m = bench_model(c), .ws = workspace_new()};
    x.o = optimizer_new(x.m, 0.9, 0.999, 0.01);
    x.grad = mem_new(x.m->parameters, sizeof *x.grad);
    x.dlogp = mem_new((size_t)c->rows, sizeof *x.dlogp);
    x.logp = mem_new((size_t)c->rows, sizeof *x.logp);
    IntBuf ids = {0};
    Rng rng = rng_new(1, 1);
    for (int r = 0; r < c->rows; r++) {
        random_tokens(&ids, &rng, c->length + 1, c->shape.vocab);
        batch_row(&x.b, ids.v, ids.n, 1, NULL);
        x.dlogp[r] = -1.0 / (c->rows * c->length);
    }
    ints_free(&ids);
    return x;
}

static void step_free(Step *x) {
    batch_free(&x->b);
    free(x->grad);
    free(x->dlogp);
    free(x->logp);
    optimizer_free(x->o);
    workspace_free(x->ws);
    model_free(x->m);
}

/* Runs forward, backward, clipping and AdamW on one batch with every token scored. Returns the
 * seconds of all, and of each part. */
static double step_once(Step *x, double part[STEP_PARTS]) {
    for (int p = 0; p < MODEL_PARTS; p++) part[p] = -workspace_seconds(x->ws, (ModelPart)p);
    double start = seconds_now();
    model_forward_backward(x->m, x->ws, &x->b, x->dlogp, x->logp, x->grad, false);
    double passed = seconds_now();
    double norm = gradient_norm(x->m, x->grad);
    optimizer_step(x->o, x->m, x->grad, norm > 1 ? 1 / norm : 1, 1e-4);
    double end = seconds_now();
    for (int p = 0; p < MODEL_PARTS; p++) part[p] += workspace_seconds(x->ws, (ModelPart)p);
    part[PART_ADAMW] = end - passed;
    return end - start;
}

enum { RUNS = 7, MOST_WAYS = 2 };
static const double TURN = 0.25; /* seconds */

static void put_step(BenchOut *out, const Step *x, int threads, double seconds,
                     const double part[STEP_PARTS], double peak) {
    const BenchConfig *c = x->config;
    Buf *json = &out->json;
    double flops = 3 * model_flops(x->m, x->b.tokens, c->length, x->b.tokens),
           share = flops / seconds / (peak * threads);
    bench_tell(out,
               "  %s  %d thread%s  %8.1f ms  %8.0f tokens/s  %4.0f%% of peak  %.0f MB of "
               "activations\n     ",
               c->name, threads, threads == 1 ? " " : "s", 1e3 * seconds, x->b.tokens / seconds,
               100 * share, (double)workspace_bytes(x->ws) / 1e6);
    for (int p = 0; p < STEP_PARTS; p++) bench_tell(out, "%s %.1f  ", PART_NAMES[p], 1e3 * part[p]);
    bench_tell(out, "\n");
    buf_printf(json,
               "%s{\"config\":\"%s\",\"threads\":%d,\"ms\":%.3f,\"tokens_per_second\":%.1f,\"share_"
               "of_peak\":%.4f,",
               json->s[json->n - 1] == '[' ? "" : ",", c->name, threads, 1e3 * seconds,
               x->b.tokens / seconds, share);
    buf_printf(json, "\"activation_bytes\":%zu,\"parts_ms\":{", workspace_bytes(x->ws));
    for (int p = 0; p < STEP_PARTS; p++)
        buf_printf(json, "%s\"%s\":%.3f", p ? "," : "", PART_NAMES[p], 1e3 * part[p]);
    buf_puts(json, "}}");
}

/* Runs steps with one thread and with all in turn, so that both meet the same neighbors, and
 * reports the median of each figure. Only the last step of a turn counts: after a change of threads
 * caches are cold. */
static void bench_step(BenchOut *out, const BenchConfig *c, int most, double peak) {
    double seconds[MOST_WAYS][RUNS], part[MOST_WAYS][STEP_PARTS][RUNS], one[STEP_PARTS];
    int ways = most > 1 ? 2 : 1;
    Step x = step_new(c);
    for (int run = -1; run < RUNS; run++) /* the first one warms up */
        for (int way = 0; way < ways; way++) {
            use_threads(way ? most : 1);
            double time, begin = seconds_now();
            do time = step_once(&x, one);
            while (seconds_now() - begin < TURN);
            if (run < 0) continue;
            seconds[way][run] = time;
            for (int p = 0; p < STEP_PARTS; p++) part[way][p][run] = one[p];
        }
    double total[MOST_WAYS] = {0};
    for (int way = 0; way < ways; way++) {
        total[way] = median(seconds[way], RUNS);
        for (int p = 0; p < STEP_PARTS; p++) one[p] = median(part[way][p], RUNS);
        put_step(out, &x, way ? most : 1, total[way], one, peak);
    }
    if (ways > 1) bench_tell(out, "     %d threads against one: %.2f\n", most, total[0] / total[1]);
    step_free(&x);
}

/* Runs `part` unless --only names another one, and a model unless --config does; nothing after a
 * line that could not be written. */
static bool wanted(const BenchOut *out, int only, int part) {
    return out->err->status == 0 && (only < 0 || only == part);
}

/* One thread, then all of them. Returns 0 after the last. */
static int next_threads(int threads, int most) { return threads < most ? most : 0; }

static void bench_products(const Settings *s, BenchOut *out, int most) {
    for (int threads = 1; threads && wanted(out, s->only, BENCH_GEMM);
         threads = next_threads(threads, most)) {
        use_threads(threads);
        bench_gemm(out, threads);
    }
}

static void bench_steps(const Settings *s, BenchOut *out, int most, double peak) {
    if (!wanted(out, s->only, BENCH_STEP)) return;
    bench_tell(out, "training step\n");
    for (int c = 0; c < BENCH_CONFIG_COUNT; c++)
        if (wanted(out, s->config, c)) bench_step(out, &BENCH_CONFIGS[c], most, peak);
}

static void bench_scores(const Settings *s, BenchOut *out, int most) {
    if (!wanted(out, s->only, BENCH_SCORE)) return;
    bench_tell(out, "scores after 3 demonstrations, a candidate of 64 tokens\n");
    for (int c = 0; c < BENCH_CONFIG_COUNT; c++)
        for (int threads = 1; threads && wanted(out, s->config, c);
             threads = next_threads(threads, most)) {
            use_threads(threads);
            bench_score(out, &BENCH_CONFIGS[c], threads);
        }
}

bool command_bench(const Settings *s, Error *err) {
    BenchOut out = {.is_json = s->json, .err = err};
    Buf *json = &out.json;
    double peak = gemm_peak_flops();
    int most = threads_most();
    buf_puts(json, "{\"machine\":");
    machine_json(json);
    buf_printf(json, ",\"peak_gflops\":%.1f,\"gemm\":[", peak * 1e-9);
    bench_tell(&out, "peak of one thread: %.1f GFLOP/s (%s)\n", peak * 1e-9, gemm_description());
    bench_products(s, &out, most);
    buf_puts(json, "],\"step\":[");
    bench_steps(s, &out, most, peak);
    buf_puts(json, "],\"score\":[");
    bench_scores(s, &out, most);
    buf_puts(json, "]}\n");
    use_threads(most);
    if (s->json) file_print(json->s, json->n, err);
    buf_free(json);
    return err->status == 0;
}
