/* The fast product: loops around one micro-kernel (the BLIS idea). A strip of B, NR columns wide, is packed so that the kernel
 * reads it in order; A is read where it lies; a tile of MR x NR sums stays in registers for the whole k-block. Threads own
 * disjoint parts of C and pack for themselves. */
#include "gemm.h"

#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* One source for every width: the widest vectors that the compiler was allowed to use. */
#if defined(__AVX512F__)
#include <immintrin.h>
enum { VEC_BYTES = 64, MR = 8 };
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
enum { VEC_BYTES = 32, MR = 6 };
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
enum { VEC_BYTES = 16, MR = 8 };
#else
enum { VEC_BYTES = 16, MR = 4 };
#endif

typedef real Vec __attribute__((vector_size(VEC_BYTES)));
typedef real VecUnaligned __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

enum {
    VEC = VEC_BYTES / (int)sizeof(real),
    NR = 2 * VEC,
    KC = 384, /* k-block: a packed strip (KC x NR) is about the first-level cache */
    NC = 256  /* columns packed at a time: KC x NC stays in the second-level cache, and on the stack */
};

/* a b + c with one rounding where the machine has the instruction; with -ffp-contract=off the compiler never fuses by itself. */
static inline Vec vec_fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__) && defined(REAL_DOUBLE)
    return (Vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX512F__)
    return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__AVX2__) && defined(__FMA__) && defined(REAL_DOUBLE)
    return (Vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(__AVX2__) && defined(__FMA__)
    return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__) && defined(__ARM_NEON) && defined(REAL_DOUBLE)
    return (Vec)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#elif defined(__aarch64__) && defined(__ARM_NEON)
    return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

static inline Vec vec_load(const real *p) { return (Vec)(*(const VecUnaligned *)p); }
static inline void vec_store(real *p, Vec v) { *(VecUnaligned *)p = (VecUnaligned)v; }

/* c[MR][vectors of VEC] = start + a[MR][k] b[k][NR]: b packed; start and c have rows of stride start_row (0: one row for all)
 * and c_row. The sums stay in registers: everything is unrolled, because `vectors` is a constant where this is called. */
static inline __attribute__((always_inline)) void tile(int vectors, int k, const real *a, size_t a_row, size_t a_column,
                                                       const real *b, const real *start, size_t start_row, real *c, size_t c_row) {
    Vec sum[MR][2];
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        sum[i][0] = vec_load(start + (size_t)i * start_row);
        if (vectors == 2) sum[i][1] = vec_load(start + (size_t)i * start_row + VEC);
    }
    for (int p = 0; p < k; p++, a += a_column, b += NR) {
        Vec b0 = vec_load(b), b1 = vec_load(b + (vectors - 1) * VEC);
#pragma GCC unroll 8
        for (int i = 0; i < MR; i++) {
            Vec ai = a[(size_t)i * a_row] - (Vec){0}; /* a broadcast: x - 0 is x, also for -0 (x + 0 is not) */
            sum[i][0] = vec_fma(ai, b0, sum[i][0]);
            if (vectors == 2) sum[i][1] = vec_fma(ai, b1, sum[i][1]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        vec_store(c + (size_t)i * c_row, sum[i][0]);
        if (vectors == 2) vec_store(c + (size_t)i * c_row + VEC, sum[i][1]);
    }
}

/* A tile at the lower or right edge: the same kernel on zero-padded copies. */
static void tile_edge(int rows, int columns, int k, const real *a, size_t a_row, size_t a_column, const real *b, const real *start,
                      size_t start_row, real *c, size_t c_row) {
    real padded[MR * NR] = {0}, a_copy[MR * KC];
    if (rows < MR) {
        for (int p = 0; p < k; p++)
            for (int i = 0; i < MR; i++) a_copy[p * MR + i] = i < rows ? a[(size_t)i * a_row + (size_t)p * a_column] : 0;
        a = a_copy;
        a_row = 1;
        a_column = MR;
    }
    for (int i = 0; i < rows; i++) memcpy(padded + i * NR, start + (size_t)i * start_row, (size_t)columns * sizeof(real));
    if (columns > VEC) tile(2, k, a, a_row, a_column, b, padded, NR, padded, NR);
    else tile(1, k, a, a_row, a_column, b, padded, NR, padded, NR);
    for (int i = 0; i < rows; i++) memcpy(c + (size_t)i * c_row, padded + i * NR, (size_t)columns * sizeof(real));
}

/* b[k][n] into strips of NR columns, each [k][NR], zero-padded at the right. */
static void pack(int k, int n, const real *b, size_t b_row, size_t b_column, real *packed) {
    for (int j = 0; j < n; j += NR, packed += (size_t)k * NR) {
        int columns = n - j < NR ? n - j : NR;
        const real *from = b + (size_t)j * b_column;
        if (b_column == 1) {
            for (int p = 0; p < k; p++, from += b_row) {
                real *to = packed + (size_t)p * NR;
                if (columns == NR) memcpy(to, from, NR * sizeof(real));
                else
                    for (int l = 0; l < NR; l++) to[l] = l < columns ? from[l] : 0;
            }
        } else { /* column by column, so that a transposed matrix is read along its rows */
            for (int l = 0; l < NR; l++)
                for (int p = 0; p < k; p++)
                    packed[(size_t)p * NR + l] = l < columns ? from[(size_t)l * b_column + (size_t)p * b_row] : 0;
        }
    }
}

/* One thread's part of the product. */
static void gemm_part(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row,
                      size_t b_column, real *c, size_t c_row, const real *bias, bool accumulate) {
    static const real zeros[NC] = {0};
    real packed[KC * NC] __attribute__((aligned(64)));
    for (int i = 0; i < m && accumulate && bias; i++)
        for (int j = 0; j < n; j++) c[(size_t)i * c_row + j] += bias[j];
    for (int jc = 0; jc < n; jc += NC) {
        int nc = n - jc < NC ? n - jc : NC;
        for (int pc = 0; pc == 0 || pc < k; pc += KC) { /* once even when k = 0: C is the start */
            int kc = k - pc < KC ? k - pc : KC;
            /* what the sums start from: C itself, or in the first k-block the bias, or zeros */
            bool fresh = pc == 0 && !accumulate;
            size_t start_row = fresh ? 0 : c_row;
            pack(kc, nc, b + (size_t)pc * b_row + (size_t)jc * b_column, b_row, b_column, packed);
            for (int i = 0; i < m; i += MR) {
                const real *ai = a + (size_t)i * a_row + (size_t)pc * a_column;
                real *ci = c + (size_t)i * c_row + jc;
                const real *start = !fresh ? ci : bias ? bias + jc : zeros;
                for (int j = 0; j < nc; j += NR) {
                    const real *strip = packed + (size_t)j * (size_t)kc;
                    if (m - i >= MR && nc - j >= NR) tile(2, kc, ai, a_row, a_column, strip, start + j, start_row, ci + j, c_row);
                    else if (m - i >= MR && nc - j == VEC) tile(1, kc, ai, a_row, a_column, strip, start + j, start_row, ci + j, c_row);
                    else
                        tile_edge(m - i < MR ? m - i : MR, nc - j < NR ? nc - j : NR, kc, ai, a_row, a_column, strip, start + j,
                                  start_row, ci + j, c_row);
                }
            }
        }
    }
}

#ifdef NAIVE
void gemm(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row, size_t b_column, real *c,
          size_t c_row, const real *bias, bool accumulate) {
    (void)gemm_part;
    gemm_naive(m, n, k, a, a_row, a_column, b, b_row, b_column, c, c_row, bias, accumulate);
}
#else
void gemm(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row, size_t b_column, real *c,
          size_t c_row, const real *bias, bool accumulate) {
#ifdef _OPENMP
    int threads = omp_in_parallel() || (double)m * n * k < 1e5 ? 1 : omp_get_max_threads();
    if (threads > 1) {
        /* Split columns in strips, or rows in tiles: whichever leaves the longest part shorter; packing counts as a few rows. */
        int strips = (n + NR - 1) / NR, tiles = (m + MR - 1) / MR;
        double by_columns = (double)((strips + threads - 1) / threads) * NR * (m + MR);
        double by_rows = ((double)((tiles + threads - 1) / threads) * MR + MR) * n;
        bool columns = by_columns <= by_rows;
        int units = columns ? strips : tiles, unit = columns ? NR : MR, all = columns ? n : m;
#pragma omp parallel num_threads(threads)
        {
            int t = omp_get_thread_num(), of = omp_get_num_threads();
            int from = (int)((long)units * t / of) * unit, to = (int)((long)units * (t + 1) / of) * unit;
            if (to > all) to = all;
            if (to > from && columns)
                gemm_part(m, to - from, k, a, a_row, a_column, b + (size_t)from * b_column, b_row, b_column, c + from, c_row,
                          bias ? bias + from : NULL, accumulate);
            else if (to > from)
                gemm_part(to - from, n, k, a + (size_t)from * a_row, a_row, a_column, b, b_row, b_column,
                          c + (size_t)from * c_row, c_row, bias, accumulate);
        }
        return;
    }
#endif
    gemm_part(m, n, k, a, a_row, a_column, b, b_row, b_column, c, c_row, bias, accumulate);
}
#endif

void gemm_naive(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row, size_t b_column,
                real *c, size_t c_row, const real *bias, bool accumulate) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            real sum = accumulate ? c[(size_t)i * c_row + j] : 0;
            if (bias) sum += bias[j];
            for (int p = 0; p < k; p++) sum += a[(size_t)i * a_row + (size_t)p * a_column] * b[(size_t)p * b_row + (size_t)j * b_column];
            c[(size_t)i * c_row + j] = sum;
        }
}

double gemm_peak_flops(void) {
    enum { CHAINS = 12, TURNS = 200000 };
    double best = 0;
    for (int trial = 0; trial < 5; trial++) {
        Vec sum[CHAINS], x = (Vec){0} + (real)0.999, y = (Vec){0} + (real)1e-3;
        for (int i = 0; i < CHAINS; i++) sum[i] = (Vec){0} + (real)i;
        double start = seconds_now();
        for (int turn = 0; turn < TURNS; turn++) {
#pragma GCC unroll 12
            for (int i = 0; i < CHAINS; i++) sum[i] = vec_fma(sum[i], x, y);
        }
        double seconds = seconds_now() - start;
        volatile real keep; /* the loop must not be optimized away */
        for (int i = 0; i < CHAINS; i++) keep = sum[i][0];
        (void)keep;
        double rate = 2.0 * CHAINS * VEC * TURNS / seconds;
        if (rate > best) best = rate;
    }
    return best;
}

const char *gemm_description(void) {
#ifdef REAL_DOUBLE
    return VEC == 8 ? "8 x double" : VEC == 4 ? "4 x double" : "2 x double";
#else
    return VEC == 16 ? "16 x float" : VEC == 8 ? "8 x float" : "4 x float";
#endif
}
