/* gemm: matrix products at the machine's speed, and the element functions of the hot loops.
 *
 * One function serves every product. Element (i, j) of A is a[i * a_row + j * a_column], likewise
 * of B; C has rows of stride c_row and columns of stride 1, all in elements. A transposed matrix
 * has its strides swapped:
 *
 *   y[m][n]  = x[m][k] w[k][n] + bias[n]    gemm(m, n, k, x, k, 1, w, n, 1, y, n, bias, false)
 *   dx[m][k] = dy[m][n] w^T                 gemm(m, k, n, dy, n, 1, w, 1, n, dx, k, NULL, false)
 *   dw[k][n] += x^T dy                      gemm(k, n, m, x, 1, k, dy, n, 1, dw, n, NULL, true)
 *
 * Bits: an element of C is ((start + a_0 b_0) + a_1 b_1) + ... in the order of k. Each step is one
 * fused multiply-add where the machine has it. The bits do not depend on m or n, on the place of
 * the row, or on the number of threads. Terms in which a or b is zero change nothing if the other
 * is finite. So a row has the same bits alone and in a batch, after a cached prefix and in one
 * piece.
 *
 * Usage:
 *   real x[2 * 3] = {1, 2, 3, 4, 5, 6}, w[3 * 2] = {1, 0, 0, 1, 1, 1}, bias[2] = {10, 20};
 *   real y[2 * 2];
 *   gemm(2, 2, 3, x, 3, 1, w, 2, 1, y, 2, bias, false);
 *   printf("%g %g\n", (double)y[0], (double)y[3]);          // 14 31
 */
#ifndef GEMM_H
#define GEMM_H

#include "lib/util.h"

#include <math.h>
#include <string.h>

/* C[m][n] = A[m][k] B[k][n], plus C if accumulate, else plus bias[n] in every row unless bias is
 * NULL. C must not overlap A or B. Runs on threads_now() threads: inside a parallel region that is
 * the calling one. */
void gemm(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b,
          size_t b_row, size_t b_column, real *c, size_t c_row, const real *bias, bool accumulate);
/* The same with B as real numbers, or if b is NULL as bfloat16 in `half`. Then b_row or b_column is
 * 1. The bits are those of B in real numbers: each strip of B becomes real as it is packed. */
void gemm_frozen(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b,
                 const uint16_t *half, size_t b_row, size_t b_column, real *c, size_t c_row,
                 const real *bias, bool accumulate);
/* The plain twin: three loops, the same signature and meaning. With eps the rounding unit, an
 * element of the two differs by at most 2 k eps sum |a||b|. */
void gemm_naive(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b,
                size_t b_row, size_t b_column, real *c, size_t c_row, const real *bias,
                bool accumulate);

/* For one B of many products. gemm_pack stores b[k][n] in `packed` at the given row and column (a
 * multiple of GEMM_ALIGN) and pads the last strip of columns with zeros. `packed` has room for
 * `rows` rows: rows * (columns rounded up to GEMM_ALIGN) elements. gemm_packed multiplies by its
 * first k rows and n columns, on the calling thread. The bits are gemm's. */
enum { GEMM_ALIGN = 32 }; /* a multiple of the strip's width, which only gemm.c knows */
void gemm_pack(real *packed, int rows, int row, int column, int k, int n, const real *b,
               size_t b_row, size_t b_column);
void gemm_packed(int m, int n, int k, const real *a, size_t a_row, size_t a_column,
                 const real *packed, int rows, real *c, size_t c_row, bool accumulate);

/* Operations a second that one thread reaches in a loop of independent multiply-adds in registers.
 * One multiply-add is two operations. Takes some milliseconds. */
double gemm_peak_flops(void);
/* The vectors of this build, for people: "16 x float". */
const char *gemm_description(void);

/* ---- bfloat16: the upper half of a float's bits ---- */

static inline real real_of_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return (real)x;
}

/* Copies n numbers from place `at` on, of w or if that is NULL of half. */
static inline void real_copy(real *to, const real *w, const uint16_t *half, size_t at, size_t n) {
    if (w) memcpy(to, w + at, n * sizeof *to);
    else
        for (size_t i = 0; i < n; i++) to[i] = real_of_bf16(half[at + i]);
}

/* ---- element functions ---- */

/* Plain C that compilers turn into vectors. Double and naive builds take those of libm. */

/* a b + c with one rounding where the machine has the instruction. Elsewhere with two: a call of
 * libm's fmaf would keep loops from becoming vectors. */
static inline real real_fma(real a, real b, real c) {
#if defined(REAL_DOUBLE) && (defined(__FMA__) || defined(__ARM_FEATURE_FMA))
    return __builtin_fma(a, b, c);
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* exp(x). The relative error is below 2e-7 for -87 < x < 88. Below that the result is 0, above it
 * infinity. NaN stays NaN. */
static inline real real_exp(real x) {
#if defined(REAL_DOUBLE) || defined(NAIVE)
    return (real)exp((double)x);
#else
    /* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. Adding 1.5 * 2^23 rounds to an
     * integer, which is then in the last bits of `shifted`. */
    float shifted = real_fma(x, 1.44269504f, 12582912.0f);
    float n = shifted - 12582912.0f;
    /* ln 2 in two parts keeps r exact. The polynomial is Taylor's. */
    float r = real_fma(n, 2.12194440e-4f, real_fma(n, -0.693359375f, x));
    float high =
        real_fma(r, real_fma(r, real_fma(r, 1.98412698e-4f, 1.38888889e-3f), 8.33333333e-3f),
                 4.16666667e-2f);
    float p =
        real_fma(r, real_fma(r, real_fma(r, real_fma(r, high, 1.66666667e-1f), 0.5f), 1.0f), 1.0f);
    /* Make 2^n from the low bits of `shifted`; the high ones are shifted out. Converting n would be
     * undefined for NaN. */
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    float y = p * scale; /* meaningless outside of the next two bounds */
    y = x > 88.0f ? INFINITY : y;
    return x < -87.3f ? 0.0f : y;                     /* below, results would be denormal */
#endif
}

/* tanh(x). The absolute error is below 3e-7. */
static inline real real_tanh(real x) {
#if defined(REAL_DOUBLE) || defined(NAIVE)
    return (real)tanh((double)x);
#else
    return 1.0f - 2.0f / (real_exp(2.0f * x) + 1.0f); /* far out exp is 0 or infinity: -1, 1 */
#endif
}

/* Sums have a fixed order: LANES partial sums, element i in lane i % LANES, then the lanes in
 * order. The compiler makes vectors of this without reordering anything, so the bits are those of
 * this source on every machine. */
#ifdef NAIVE
enum { LANES = 1 }; /* a plain loop */
#else
enum { LANES = 16 };
#endif

static inline real lanes_total(const real lane[LANES]) {
    real total = 0;
    for (int l = 0; l < LANES; l++) total += lane[l];
    return total;
}

/* Adds n elements to the partial sums. */
static inline void lanes_add(real lane[LANES], const real *x, int n) {
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += x[i];
}

/* Adds x_i y_i to them. */
static inline void lanes_add_products(real lane[LANES], const real *x, const real *y, int n) {
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l] * y[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += x[i] * y[i];
}

/* The sum of n elements. */
static inline real real_sum(const real *x, int n) {
    real lane[LANES] = {0};
    lanes_add(lane, x, n);
    return lanes_total(lane);
}

/* The sum of exp(x_i - shift). */
static inline real real_sum_exp(const real *x, real shift, int n) {
    real lane[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += real_exp(x[i + l] - shift);
    for (int l = 0; i < n; i++, l++) lane[l] += real_exp(x[i] - shift);
    return lanes_total(lane);
}

/* The sum of x_i y_i. */
static inline real real_dot(const real *x, const real *y, int n) {
    real lane[LANES] = {0};
    lanes_add_products(lane, x, y, n);
    return lanes_total(lane);
}

/* The largest of n >= 1 elements. Exact, so any order gives the same. */
static inline real real_max(const real *x, int n) {
    real lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = x[0];
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma GCC unroll 1 /* gcc makes vectors of the loop, but not of its 16 unrolled lines */
        for (int l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    }
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    real best = lane[0];
    for (int l = 1; l < LANES; l++) best = lane[l] > best ? lane[l] : best;
    return best;
}

#endif
