/* The fast product: loops around one micro-kernel (the BLIS idea). A strip of B, NR columns wide, is packed so that the kernel
 * reads it in order; a block of A is read where it lies, or packed if it stands across; a tile of MR x NR sums stays in registers
 * for the whole k-block. Threads own disjoint parts of C and pack for themselves. */
#include "gemm.h"

#include <stdlib.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* One source for every width: the widest vectors that the compiler was allowed to use. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define VEC_BYTES 64
enum { MR = 8 };
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VEC_BYTES 32
enum { MR = 6 };
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define VEC_BYTES 16
enum { MR = 8 };
#else
#define VEC_BYTES 16
enum { MR = 4 };
#endif

typedef real Vec __attribute__((vector_size(VEC_BYTES)));
typedef real VecUnaligned __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

enum {
    VEC = VEC_BYTES / (int)sizeof(real),
    NR = 2 * VEC,
    KC = 384,    /* k-block: a packed strip (KC x NR) is about the first-level cache */
    NC = 256,    /* columns of B packed at a time: KC x NC stays in the second-level cache */
    MC = 8 * MR  /* rows of A packed at a time where they must be: whole cache lines of a transposed matrix */
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

/* zip_low: a0 b0 a1 b1 ... of the first halves of two vectors; zip_high: of the second halves. */
#if VEC_BYTES == 64 && !defined(REAL_DOUBLE)
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VEC_BYTES == 64 || (VEC_BYTES == 32 && !defined(REAL_DOUBLE))
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif VEC_BYTES == 32 || !defined(REAL_DOUBLE)
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#else
#define LOW 0, 2
#define HIGH 1, 3
#endif
#if defined(__clang__)
static inline Vec zip_low(Vec a, Vec b) { return __builtin_shufflevector(a, b, LOW); }
static inline Vec zip_high(Vec a, Vec b) { return __builtin_shufflevector(a, b, HIGH); }
#else
#ifdef REAL_DOUBLE
typedef int64_t VecIndex __attribute__((vector_size(VEC_BYTES)));
#else
typedef int32_t VecIndex __attribute__((vector_size(VEC_BYTES)));
#endif
static inline Vec zip_low(Vec a, Vec b) { return __builtin_shuffle(a, b, (VecIndex){LOW}); }
static inline Vec zip_high(Vec a, Vec b) { return __builtin_shuffle(a, b, (VecIndex){HIGH}); }
#endif

/* c[MR][vectors of VEC] = start + a[MR][k] b[k][NR]: b packed; start and c have rows of stride start_row (0: one row for all)
 * and c_row. The sums stay in registers: everything is unrolled, because `vectors` is a constant where this is called. */
static inline __attribute__((always_inline)) void tile(int vectors, int k, const real *a, size_t a_row, size_t a_column,
                                                       const real *b, const real *start, size_t start_row, real *c, size_t c_row) {
    Vec sum[MR][2];
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        sum[i][0] = vec_load(start + (size_t)i * start_row);
        sum[i][1] = vec_load(start + (size_t)i * start_row + (size_t)(vectors - 1) * VEC); /* of one vector: never used */
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

/* A tile at the right edge: the same kernel on zero-padded copies; at the lower edge only `rows` rows are kept. */
static void tile_edge(int rows, int columns, int k, const real *a, size_t a_row, size_t a_column, const real *b, const real *start,
                      size_t start_row, real *c, size_t c_row) {
    real padded[MR * NR] = {0};
    for (int i = 0; i < rows; i++) memcpy(padded + i * NR, start + (size_t)i * start_row, (size_t)columns * sizeof(real));
    tile(columns > VEC ? 2 : 1, k, a, a_row, a_column, b, padded, NR, padded, NR);
    for (int i = 0; i < rows; i++) memcpy(c + (size_t)i * c_row, padded + i * NR, (size_t)columns * sizeof(real));
}

/* to[VEC][VEC] = the transpose of from[VEC][VEC], in registers: zipping the first half of the rows with the second, log2(VEC) times. */
static inline void transpose_block(real *to, size_t to_row, const real *from, size_t from_row) {
    Vec x[VEC], y[VEC];
#pragma GCC unroll 16
    for (int i = 0; i < VEC; i++) x[i] = vec_load(from + (size_t)i * from_row);
#pragma GCC unroll 4
    for (int round = 1; round < VEC; round *= 2) {
#pragma GCC unroll 16
        for (int i = 0; i < VEC / 2; i++) {
            y[2 * i] = zip_low(x[i], x[i + VEC / 2]);
            y[2 * i + 1] = zip_high(x[i], x[i + VEC / 2]);
        }
        memcpy(x, y, sizeof x);
    }
#pragma GCC unroll 16
    for (int i = 0; i < VEC; i++) vec_store(to + (size_t)i * to_row, x[i]);
}

/* b[k][n] into strips of `width` columns, each [k][width], zero-padded at the right. */
static void pack(int width, int k, int n, const real *b, size_t b_row, size_t b_column, real *packed) {
    for (int j = 0; j < n; j += width, packed += (size_t)k * (size_t)width) {
        int columns = n - j < width ? n - j : width, l = 0, whole = b_row == 1 ? k / VEC * VEC : 0;
        const real *from = b + (size_t)j * b_column;
        if (b_column == 1 && columns == width) {
            for (int p = 0; p < k; p++) memcpy(packed + (size_t)p * (size_t)width, from + (size_t)p * b_row, (size_t)width * sizeof(real));
            continue;
        }
        for (; whole && l + VEC <= columns; l += VEC) { /* a transposed matrix is read along its rows */
            for (int p = 0; p < whole; p += VEC)
                transpose_block(packed + p * width + l, (size_t)width, from + (size_t)l * b_column + p, b_column);
            for (int p = whole; p < k; p++)
                for (int i = l; i < l + VEC; i++) packed[p * width + i] = from[(size_t)i * b_column + (size_t)p];
        }
        for (int p = 0; p < k; p++)
            for (int i = l; i < width; i++)
                packed[p * width + i] = i < columns ? from[(size_t)i * b_column + (size_t)p * b_row] : 0;
    }
}

/* One thread's part of the product. */
static void gemm_part(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row,
                      size_t b_column, real *c, size_t c_row, const real *bias, bool accumulate) {
    static const real zeros[NC] = {0};
    static _Thread_local real strips[KC * NC] __attribute__((aligned(64))), panel[KC * MC] __attribute__((aligned(64)));
    for (int i = 0; i < m && accumulate && bias; i++)
        for (int j = 0; j < n; j++) c[(size_t)i * c_row + j] += bias[j];
    for (int jc = 0; jc < n; jc += NC) {
        int nc = n - jc < NC ? n - jc : NC;
        for (int pc = 0; pc == 0 || pc < k; pc += KC) { /* once even when k = 0: C is the start */
            int kc = k - pc < KC ? k - pc : KC;
            /* what the sums start from: C itself, or in the first k-block the bias, or zeros */
            bool fresh = pc == 0 && !accumulate;
            size_t start_row = fresh ? 0 : c_row;
            pack(NR, kc, nc, b + (size_t)pc * b_row + (size_t)jc * b_column, b_row, b_column, strips);
            for (int ic = 0; ic < m; ic += MC) {
                int mc = m - ic < MC ? m - ic : MC;
                const real *rows = a + (size_t)ic * a_row + (size_t)pc * a_column;
                bool copy = a_column != 1 || mc % MR; /* rows of A are read where they lie, columns and the lower edge from a copy */
                if (copy) pack(MR, kc, mc, rows, a_column, a_row, panel);
                for (int i = 0; i < mc; i += MR) {
                    const real *ai = copy ? panel + (size_t)i * (size_t)kc : rows + (size_t)i * a_row;
                    size_t ai_row = copy ? 1 : a_row, ai_column = copy ? MR : 1;
                    real *ci = c + (size_t)(ic + i) * c_row + jc;
                    const real *start = !fresh ? ci : bias ? bias + jc : zeros;
                    for (int j = 0; j < nc; j += NR) {
                        const real *strip = strips + (size_t)j * (size_t)kc;
                        if (mc - i >= MR && nc - j >= NR)
                            tile(2, kc, ai, ai_row, ai_column, strip, start + j, start_row, ci + j, c_row);
                        else if (mc - i >= MR && nc - j == VEC)
                            tile(1, kc, ai, ai_row, ai_column, strip, start + j, start_row, ci + j, c_row);
                        else
                            tile_edge(mc - i < MR ? mc - i : MR, nc - j < NR ? nc - j : NR, kc, ai, ai_row, ai_column, strip,
                                      start + j, start_row, ci + j, c_row);
                    }
                }
            }
        }
    }
}

void gemm(int m, int n, int k, const real *a, size_t a_row, size_t a_column, const real *b, size_t b_row, size_t b_column, real *c,
          size_t c_row, const real *bias, bool accumulate) {
#ifdef NAIVE
    gemm_naive(m, n, k, a, a_row, a_column, b, b_row, b_column, c, c_row, bias, accumulate);
    return;
#endif
#ifdef _OPENMP
    int threads = omp_in_parallel() || (double)m * n * k < 1e5 ? 1 : omp_get_max_threads();
    if (threads > 1) {
        /* Split rows in tiles, as the element functions do, so that a thread finds its rows in its own cache; columns in strips
         * where there are too few rows, and where A stands across, if that leaves the longest part shorter. */
        int strips = (n + NR - 1) / NR, tiles = (m + MR - 1) / MR;
        double by_columns = (double)((strips + threads - 1) / threads) * NR * (m + MR);
        double by_rows = ((double)((tiles + threads - 1) / threads) * MR + MR) * n;
        bool columns = (a_column != 1 || tiles < 4 * threads) && by_columns <= by_rows;
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
