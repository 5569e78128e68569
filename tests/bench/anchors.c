/* anchors: this program's products and steps beside those of others, for `make bench-anchors`
 * (tests/bench/anchors.sh).
 *
 *   anchors gemm                       products against OpenBLAS, pair by pair, one thread; says so
 *                                      where there is none. Status 3: it has not the kernels for
 *                                      this machine, and a line says how to ask for them
 *   anchors step CONFIG ROWS LENGTH    milliseconds of a training step, one a line
 *   anchors files CONFIG FOLDER        what llm.c's train_gpt2 reads: random weights of that shape,
 *                                      random tokens
 *
 * OpenBLAS is looked for when the program runs (BLAS names the library), so that nothing has to
 * be linked. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/gemm.h"
#include "lib/file.h"
#include "lib/stats.h"
#include "lib/threads.h"
#include "model.h"

/* Of one thread the processor time counts, which other programs on the machine disturb less. */
static double seconds(void) {
    return threads_most() == 1 ? (double)clock() / (double)CLOCKS_PER_SEC : seconds_now();
}

typedef struct {
    const char *name;
    ModelConfig shape;
} Config;
static const Config CONFIGS[] = {
    {"A", {.layers = 6, .heads = 6, .channels = 384, .context = 1024, .vocab = 50304}},
    {"B", {.layers = 12, .heads = 12, .channels = 768, .context = 1024, .vocab = 50257}},
    {"C", {.layers = 4, .heads = 4, .channels = 128, .context = 1024, .vocab = 1024}}};

/* ---- products ---- */

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 }; /* CBLAS's constants */
typedef void Sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a,
                   int a_row, const float *b, int b_row, float beta, float *c, int c_row);

/* OpenBLAS takes its oldest kernels for a processor that it does not know, and a comparison with
 * those says nothing. This program's own vectors say what it should have. */
static void check_kernels(const char *core) {
#if defined __AVX512F__
    static const char *const fit[] = {"SkylakeX", "Cooperlake", "Sapphirerapids", NULL};
#elif defined __AVX2__
    static const char *const fit[] = {"Haswell", "Zen", NULL};
#else
    static const char *const fit[] = {NULL};
#endif
    bool fits = !fit[0];
    for (int i = 0; fit[i]; i++) fits = fits || strcmp(core, fit[i]) == 0;
    if (fits) return;
    fprintf(stderr,
            "anchors: OpenBLAS runs its kernels for %s, which lack this machine's vectors: set "
            "OPENBLAS_CORETYPE=%s\n",
            core, fit[0]);
    exit(3);
}

static Sgemm *blas_open(void) {
    const char *names[] = {getenv("BLAS"), "libopenblas.so.0", "libopenblas.so",
                           "libopenblas.dylib"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *library = names[i] ? dlopen(names[i], RTLD_NOW) : NULL,
             *sgemm = library ? dlsym(library, "cblas_sgemm") : NULL;
        Sgemm *found;
        memcpy(&found, &sgemm, sizeof found); /* a data pointer to a function pointer, as POSIX
                                               * has it */
        if (found) {
            char *(*core)(void);
            void *symbol = dlsym(library, "openblas_get_corename");
            memcpy(&core, &symbol, sizeof core);
            if (core) check_kernels(core());
            printf("%s, kernels for %s\n", names[i], core ? core() : "an unknown machine");
            return found;
        }
    }
    return NULL;
}

/* The products of a linear layer of m tokens, k inputs and n outputs: y = x W, y = x W^T, dx =
 * dy W^T, dW += x^T dy. */
static const char *const OPS[4] = {"xw", "xwt", "dyw", "dytx"};

static void ours(int op, int m, int n, int k, const real *x, const real *w, const real *y,
                 real *out) {
    size_t K = (size_t)k, N = (size_t)n;
    if (op == 0) gemm(m, n, k, x, K, 1, w, N, 1, out, N, NULL, false);
    else if (op == 1) gemm(m, n, k, x, K, 1, w, 1, K, out, N, NULL, false);
    else if (op == 2) gemm(m, k, n, y, N, 1, w, 1, N, out, K, NULL, false);
    else gemm(k, n, m, x, 1, K, y, N, 1, out, N, NULL, true);
}

static void theirs(Sgemm *sgemm, int op, int m, int n, int k, const real *x, const real *w,
                   const real *y, real *out) {
    if (op == 0) sgemm(ROW_MAJOR, PLAIN, PLAIN, m, n, k, 1, x, k, w, n, 0, out, n);
    else if (op == 1) sgemm(ROW_MAJOR, PLAIN, TRANSPOSED, m, n, k, 1, x, k, w, k, 0, out, n);
    else if (op == 2) sgemm(ROW_MAJOR, PLAIN, TRANSPOSED, m, k, n, 1, y, n, w, n, 0, out, k);
    else sgemm(ROW_MAJOR, TRANSPOSED, PLAIN, k, n, m, 1, x, k, y, n, 1, out, n);
}

static real *random_reals(size_t n) {
    Rng rng = rng_new(1, n);
    real *x = mem_new(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (real)(rng_uniform(&rng) - 0.5);
    return x;
}

static int compare_products(void) {
    enum { RUNS = 7 };
    static const int shapes[][3] = {{256, 768, 768},   {256, 3072, 768},  {256, 768, 3072},
                                    {256, 2304, 768},  {1024, 1152, 384}, {1024, 384, 384},
                                    {1024, 1536, 384}, {1024, 384, 1536}, {1024, 384, 128},
                                    {1024, 512, 128},  {1024, 128, 512},  {4096, 768, 768},
                                    {256, 50257, 768}, {1024, 50304, 384}};
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    Sgemm *sgemm = blas_open();
    double log_sum[4] = {0}, worst = INFINITY;
    if (!sgemm)
        puts("no OpenBLAS found (install it, or name it with BLAS=PATH): our figures alone");
    for (int s = 0; s < SHAPES; s++) {
        int m = shapes[s][0], n = shapes[s][1], k = shapes[s][2],
            repeat = 1 + (int)(1.5e8 / (2.0 * m * n * k));
        size_t M = (size_t)m, N = (size_t)n, K = (size_t)k,
               most = (M > K ? M : K) * (N > K ? N : K);
        real *x = random_reals(M * K), *w = random_reals(N * K), *y = random_reals(M * N),
             *out = mem_new(most, sizeof *out);
        for (int op = 0; op < 4; op++) {
            double a[RUNS], b[RUNS], ratio[RUNS];
            for (int run = 0; run < RUNS; run++) {
                double start = seconds();
                for (int i = 0; i < repeat; i++) ours(op, m, n, k, x, w, y, out);
                double between = seconds();
                for (int i = 0; i < repeat && sgemm; i++) theirs(sgemm, op, m, n, k, x, w, y, out);
                a[run] = between - start;
                b[run] = seconds() - between;
                ratio[run] = b[run] / a[run];
            }
            double flops = 2e-9 * m * n * k * repeat, r = median(ratio, RUNS);
            printf("%5d x %5d x %5d  %-4s %7.1f GFLOP/s", m, n, k, OPS[op],
                   flops / median(a, RUNS));
            if (sgemm) printf("  OpenBLAS %7.1f  ratio %.3f", flops / median(b, RUNS), r);
            putchar('\n');
            log_sum[op] += log(r);
            worst = r < worst ? r : worst;
        }
        free(x);
        free(w);
        free(y);
        free(out);
    }
    if (sgemm)
        printf("against OpenBLAS: geometric mean %.3f, worst shape %.3f; of x W %.3f, x W^T %.3f, "
               "dY W^T %.3f, X^T dY %.3f\n",
               exp((log_sum[0] + log_sum[1] + log_sum[2] + log_sum[3]) / (4 * (int)SHAPES)), worst,
               exp(log_sum[0] / (int)SHAPES), exp(log_sum[1] / (int)SHAPES),
               exp(log_sum[2] / (int)SHAPES), exp(log_sum[3] / (int)SHAPES));
    return 0;
}

/* ---- training steps ---- */

static Model *model_of(const char *name) {
    Error never = {0};
    for (size_t i = 0; i < sizeof CONFIGS / sizeof *CONFIGS; i++)
        if (strcmp(name, CONFIGS[i].name) == 0) {
            Model *m = model_new(CONFIGS[i].shape, &never);
            model_initialize(m, 1);
            return m;
        }
    fprintf(stderr, "anchors: no configuration %s: A, B and C exist\n", name);
    exit(2);
}

/* Forward, backward and AdamW of one batch in which every token is scored: what the others'
 * steps do. */
static int time_steps(const char *name, int rows, int length) {
    enum { RUNS = 4 };
    Model *m = model_of(name);
    Workspace *ws = workspace_new();
    Optimizer *o = optimizer_new(m, 0.9, 0.999, 0);
    real *grad = mem_new(m->parameters, sizeof *grad);
    double *dlogp = mem_new((size_t)rows, sizeof *dlogp),
           *logp = mem_new((size_t)rows, sizeof *logp);
    Batch b = {0};
    IntBuf ids = {0};
    Rng rng = rng_new(1, 1);
    for (int r = 0; r < rows; r++) {
        ids.n = 0;
        for (int i = 0; i <= length; i++) ints_put(&ids, rng_below(&rng, m->config.vocab));
        batch_row(&b, ids.v, ids.n, 1, NULL);
        dlogp[r] = -1.0 / (rows * length);
    }
    for (int run = -1; run < RUNS; run++) { /* the first one warms up */
        double start = seconds();
        model_forward_backward(m, ws, &b, dlogp, logp, grad, false);
        optimizer_step(o, m, grad, 1, 1e-4);
        if (run >= 0) printf("%.3f\n", 1e3 * (seconds() - start));
    }
    batch_free(&b);
    ints_free(&ids);
    free(grad);
    free(dlogp);
    free(logp);
    optimizer_free(o);
    workspace_free(ws);
    model_free(m);
    return 0;
}

/* ---- files for llm.c: headers of 256 int32, then float weights in its order; or uint16 tokens
 * ---- */

static bool put(const char *folder, const char *name, const int32_t *head, const void *body,
                size_t bytes) {
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(head, sizeof *head, 256, f) == 256 && fwrite(body, 1, bytes, f) == bytes;
    if (f) ok = fclose(f) == 0 && ok;
    if (!ok) fprintf(stderr, "anchors: %s cannot be written\n", path);
    free(path);
    return ok;
}

static int write_files(const char *name, const char *folder) {
    enum { TOKENS = 1 << 16 };
    Model *m = model_of(name);
    ModelConfig c = m->config;
    int padded = (c.vocab + 127) / 128 * 128;
    size_t count = m->parameters + (size_t)(padded - c.vocab) * (size_t)c.channels;
    int32_t model_head[256] = {20240326, 3,       c.context,  c.vocab,
                               c.layers, c.heads, c.channels, padded};
    int32_t data_head[256] = {20240520, 1, TOKENS};
    float *weights = mem_new(count, sizeof *weights); /* any small numbers: only time is asked
                                                       * for */
    uint16_t *tokens = mem_new(TOKENS, sizeof *tokens);
    Rng rng = rng_new(2, 2);
    for (size_t i = 0; i < count; i++) weights[i] = 0.02f * (float)rng_normal(&rng);
    for (int i = 0; i < TOKENS; i++) tokens[i] = (uint16_t)rng_below(&rng, c.vocab);
    bool ok = put(folder, "gpt2_124M.bin", model_head, weights, count * sizeof *weights) &&
              put(folder, "dev/data/tinyshakespeare/tiny_shakespeare_train.bin", data_head, tokens,
                  TOKENS * sizeof *tokens) &&
              put(folder, "dev/data/tinyshakespeare/tiny_shakespeare_val.bin", data_head, tokens,
                  TOKENS * sizeof *tokens);
    free(weights);
    free(tokens);
    model_free(m);
    return !ok;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "gemm") == 0) return compare_products();
    if (argc == 5 && strcmp(argv[1], "step") == 0)
        return time_steps(argv[2], atoi(argv[3]), atoi(argv[4]));
    if (argc == 4 && strcmp(argv[1], "files") == 0) return write_files(argv[2], argv[3]);
    fputs("usage: anchors gemm | step CONFIG ROWS LENGTH | files CONFIG FOLDER\n", stderr);
    return 2;
}
