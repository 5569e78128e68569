/* Parallel sums in a fixed order. */
#include "lib/fast/sums.h"

#include <stdlib.h>

#include "lib/gemm.h"
#include "lib/threads.h"

enum {
    BLOCK = 64,        /* columns that a thread owns at once */
    SCATTER_BLOCK = 16 /* the same for embeddings: a block of a row is a cache line */
};

static int smaller(int a, int b) { return a < b ? a : b; }

/* Adds the columns of N rows of x. Always inline, so that `width` is a constant where a block is
 * entire: the sums then stay in registers. */
static inline __attribute__((always_inline)) void add_rows(real sum[BLOCK], const real *x, int N,
                                                           int columns, int width) {
    for (int n = 0; n < N; n++)
        for (int j = 0; j < width; j++) sum[j] += x[(size_t)n * (size_t)columns + (size_t)j];
}

void sum_columns(real *to, const real *x, int N, int columns, bool add) {
    int blocks = (columns + BLOCK - 1) / BLOCK;
#pragma omp parallel for if ((long)N * columns > PARALLEL_FROM)
    for (int block = 0; block < blocks; block++) {
        int from = block * BLOCK, width = smaller(columns - from, BLOCK);
        real sum[BLOCK] = {0};
        if (width == BLOCK) add_rows(sum, x + from, N, columns, BLOCK);
        else add_rows(sum, x + from, N, columns, width);
        for (int j = 0; j < width; j++) to[from + j] = (add ? to[from + j] : 0) + sum[j];
    }
}

void sum_norm(const Norm *df, const real *dy, const real *x, const real *stat, int N, bool add) {
    int blocks = (df->channels + BLOCK - 1) / BLOCK;
#pragma omp parallel for if ((long)N * df->groups * df->channels > PARALLEL_FROM)
    for (int block = 0; block < blocks; block++) {
        int from = block * BLOCK, width = smaller(df->channels - from, BLOCK);
        real dg_sum[BLOCK] = {0}, db_sum[BLOCK] = {0};
        for (int i = 0; i < N * df->groups; i++) {
            size_t at = (size_t)(i / df->groups) * df->stride +
                        (size_t)(i % df->groups) * (size_t)df->channels + (size_t)from;
            for (int j = 0; j < width; j++) {
                real h = (x[at + (size_t)j] - stat[2 * i]) * stat[2 * i + 1];
                dg_sum[j] += dy[at + (size_t)j] * h;
                db_sum[j] += dy[at + (size_t)j];
            }
        }
        for (int j = 0; j < width; j++) {
            df->g[from + j] = (add ? df->g[from + j] : 0) + dg_sum[j];
            if (df->b) df->b[from + j] = (add ? df->b[from + j] : 0) + db_sum[j];
        }
    }
}

void sum_embeddings(real *dwte, real *dwpe, const real *dx, const int *token, const int *position,
                    int N, int C) {
    int blocks = (C + SCATTER_BLOCK - 1) / SCATTER_BLOCK;
#pragma omp parallel for if ((long)N * C > PARALLEL_FROM)
    for (int block = 0; block < blocks; block++) {
        int from = block * SCATTER_BLOCK, end = smaller(from + SCATTER_BLOCK, C);
        for (int n = 0; n < N; n++) {
            real *te = dwte + (size_t)token[n] * (size_t)C;
            const real *d = dx + (size_t)n * (size_t)C;
            for (int c = from; c < end; c++) te[c] += d[c];
            if (!dwpe) continue;
            real *pe = dwpe + (size_t)position[n] * (size_t)C;
            for (int c = from; c < end; c++) pe[c] += d[c];
        }
    }
}

/* One chunk: element i goes into lane i % LANES, then the lanes are added in order. */
static double chunk_squares(const real *x, size_t n) {
    double lane[LANES] = {0}, total = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) lane[l] += (double)x[i + l] * (double)x[i + l];
    for (size_t l = 0; i < n; i++, l++) lane[l] += (double)x[i] * (double)x[i];
    for (int l = 0; l < LANES; l++) total += lane[l];
    return total;
}

double sum_squares(const real *x, size_t n) {
    enum { CHUNK = 4096 };
    size_t chunks = (n + CHUNK - 1) / CHUNK;
    double *part = mem_new(chunks, sizeof *part), total = 0;
#pragma omp parallel for if (n > PARALLEL_FROM)
    for (size_t i = 0; i < chunks; i++) {
        size_t from = i * CHUNK;
        part[i] = chunk_squares(x + from, n - from < CHUNK ? n - from : CHUNK);
    }
    for (size_t i = 0; i < chunks; i++) total += part[i];
    free(part);
    return total;
}
