/* gemm: matrix products at the machine's speed, and the element functions that the hot loops need.
 *
 *   gemm(m, n, k, x, k, 1, w, n, 1, y, n, bias, 0);        // y[m][n] = x[m][k] w[k][n] + bias[n]
 *   gemm(m, k, n, dy, n, 1, w, 1, n, dx, k, NULL, 0);      // dx[m][k] = dy[m][n] w^T          (swapped strides)
 *   gemm(k, n, m, x, 1, k, dy, n, 1, dw, n, NULL, 1);      // dw[k][n] += x^T dy
 *
 * One function serves every product: element (i, j) of A is a[i * a_row + j * a_column], likewise B; C has rows of stride
 * c_row and columns of stride 1. "Transposed" is swapped strides, not another routine.
 *
 * Bits: an element of C is ((start + a_0 b_0) + a_1 b_1) + ... in the order of k, each step one fused multiply-add where the
 * machine has one. It depends neither on m and n, nor on where the row stands, nor on the number of threads; terms in which
 * a or b is zero change nothing (the other being finite). So a row computed alone and in a batch, behind a cache and in one
 * piece, is the same.
 */
#ifndef GEMM_H
#define GEMM_H

#include "lib/util.h"

#include <math.h>
#include <string.h>

/* C = A B, + C if accumulate, else + bias[n] in every row if that is not NULL. C must not overlap A or B. Uses threads_now()
 * threads: inside of a parallel region the calling one. */
void gemm(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row, size_t b_column, real *c,
          size_t c_row, const real *bias, bool accumulate);
/* The twin in three plain loops: same signature and meaning; the two differ by at most 2 k eps sum |a||b| an element. */
void gemm_naive(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row, size_t b_column,
                real *c, size_t c_row, const real *bias, bool accumulate);
/* The same for one B of many products, packed once: into strips of columns, of which only gemm.c knows the width; it divides
 * GEMM_ALIGN. `rows` is the number of rows there is room for, so the memory is rows x (columns rounded up to GEMM_ALIGN).
 * gemm_pack puts b[k][n] at a row and a column (a multiple of GEMM_ALIGN) and zeros at its right up to a whole strip; gemm_packed
 * multiplies by the first k rows and n columns, on the calling thread. The bits are gemm's. */
enum { GEMM_ALIGN = 32 };
void gemm_pack(real *packed, int rows, int row, int column, int k, int n, const real *b, size_t b_row, size_t b_column);
void gemm_packed(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *packed, int rows, real *c,
                 size_t c_row, bool accumulate);
/* Floating-point operations a second that one thread reaches in a loop of independent multiply-adds in registers. */
double gemm_peak_flops(void);
/* The vector width that this build uses, for people: "16 x float". */
const char *gemm_description(void);

/* ---- element functions: plain C that compilers turn into vectors; libm's in double and naive builds ---- */

/* a b + c: one rounding where the machine has the instruction (a call of libm's fmaf would keep loops from becoming vectors). */
static inline real real_fma(real a, real b, real c) {
#if defined(REAL_DOUBLE) && (defined(__FMA__) || defined(__ARM_FEATURE_FMA))
    return __builtin_fma(a, b, c);
#elif defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

/* exp(x): relative error below 2e-7 for -87 < x < 88; below that 0, above it infinity; NaN stays NaN. */
static inline real real_exp(real x) {
#if defined(REAL_DOUBLE) || defined(NAIVE)
    return (real)exp((double)x);
#else
    /* exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2; ln 2 in two parts keeps r exact; the polynomial is Taylor's. */
    float shifted = real_fma(x, 1.44269504f, 12582912.0f); /* adding 1.5 * 2^23 rounds to an integer, in the last bits */
    float n = shifted - 12582912.0f;
    float r = real_fma(n, 2.12194440e-4f, real_fma(n, -0.693359375f, x));
    float high = real_fma(r, real_fma(r, real_fma(r, 1.98412698e-4f, 1.38888889e-3f), 8.33333333e-3f), 4.16666667e-2f);
    float p = real_fma(r, real_fma(r, real_fma(r, real_fma(r, high, 1.66666667e-1f), 0.5f), 1.0f), 1.0f);
    uint32_t bits; /* of 2^n; n from the low bits of `shifted` (the others fall out), because NaN has no integer value */
    memcpy(&bits, &shifted, 4);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    float y = p * scale; /* meaningless outside of these bounds */
    y = x > 88.0f ? INFINITY : y;
    return x < -87.3f ? 0.0f : y; /* below, the results would be denormal */
#endif
}

/* tanh(x): absolute error below 3e-7. */
static inline real real_tanh(real x) {
#if defined(REAL_DOUBLE) || defined(NAIVE)
    return (real)tanh((double)x);
#else
    return 1.0f - 2.0f / (real_exp(2.0f * x) + 1.0f); /* exp is 0 or infinity far out: -1 and 1 */
#endif
}

/* Sums in a fixed order: LANES partial sums, element i into lane i % LANES, then the lanes in order. Vectors without
 * reassociation by the compiler, so the bits are those of this source. */
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

static inline real real_sum(const real *x, int n) {
    real lane[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += x[i];
    return lanes_total(lane);
}

/* sum of exp(x_i - shift) */
static inline real real_sum_exp(const real *x, real shift, int n) {
    real lane[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += real_exp(x[i + l] - shift);
    for (int l = 0; i < n; i++, l++) lane[l] += real_exp(x[i] - shift);
    return lanes_total(lane);
}

/* x_i = exp(x_i scale - shift); returns their sum */
static inline real real_exp_in_place(real *x, real scale, real shift, int n) {
    real lane[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l] = real_exp(x[i + l] * scale - shift);
    for (int l = 0; i < n; i++, l++) lane[l] += x[i] = real_exp(x[i] * scale - shift);
    return lanes_total(lane);
}

static inline real real_dot(const real *x, const real *y, int n) {
    real lane[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += x[i + l] * y[i + l];
    for (int l = 0; i < n; i++, l++) lane[l] += x[i] * y[i];
    return lanes_total(lane);
}

static inline real real_max(const real *x, int n) { /* n >= 1; exact, so any order gives the same */
    real lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = x[0];
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma GCC unroll 1 /* gcc makes vectors of this loop, but not of its 16 lines */
        for (int l = 0; l < LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    }
    for (; i < n; i++) lane[0] = x[i] > lane[0] ? x[i] : lane[0];
    real best = lane[0];
    for (int l = 1; l < LANES; l++) best = lane[l] > best ? lane[l] : best;
    return best;
}

#endif
