/* gemm: against its naive twin, within a derived bound; bits that must not change; the element
 * functions against libm. */
#include "lib/gemm.h"

#include <stdlib.h>

#include "tests/unit/check.h"

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef REAL_DOUBLE
static const double U = 0x1p-53;
#else
static const double U = 0x1p-24;
#endif

static void set_threads(int n) {
#ifdef _OPENMP
    omp_set_num_threads(n);
#else
    (void)n;
#endif
}

/* ---- products ---- */

/* One call: sizes, how the matrices lie, what is added. */
typedef struct {
    int m, n, k;
    bool a_turned, b_turned; /* strides swapped: the matrix lies transposed */
    bool bias, accumulate;
    int gap; /* elements between the rows of each matrix that belong to nobody */
} Call;

typedef struct {
    real *a, *b, *c, *bias;
    size_t a_row, a_column, b_row, b_column, c_row;
} Operands;

static real *numbers(Rng *rng, size_t n) {
    real *x = mem_new(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (real)rng_normal(rng);
    return x;
}

/* The strides of a matrix whose rows (columns, if turned) lie one behind the other with gaps,
 * and its size with them. */
static size_t lay(int rows, int columns, bool turned, int gap, size_t *row, size_t *column) {
    size_t stride = (size_t)(turned ? rows : columns) + (size_t)gap;
    *row = turned ? 1 : stride;
    *column = turned ? stride : 1;
    return stride * (size_t)(turned ? columns : rows);
}

static Operands operands_new(Call call, Rng *rng) {
    Operands o;
    size_t one;
    o.a = numbers(rng, lay(call.m, call.k, call.a_turned, call.gap, &o.a_row, &o.a_column));
    o.b = numbers(rng, lay(call.k, call.n, call.b_turned, call.gap, &o.b_row, &o.b_column));
    o.c = numbers(rng, lay(call.m, call.n, false, call.gap, &o.c_row, &one));
    o.bias = numbers(rng, (size_t)call.n);
    return o;
}

static void operands_free(Operands *o) {
    free(o->a);
    free(o->b);
    free(o->c);
    free(o->bias);
}

static void fast(Call s, const Operands *o, real *c) {
    gemm(s.m, s.n, s.k, o->a, o->a_row, o->a_column, o->b, o->b_row, o->b_column, c, o->c_row,
         s.bias ? o->bias : NULL, s.accumulate);
}

static void naive(Call s, const Operands *o, real *c) {
    gemm_naive(s.m, s.n, s.k, o->a, o->a_row, o->a_column, o->b, o->b_row, o->b_column, c, o->c_row,
               s.bias ? o->bias : NULL, s.accumulate);
}

static real *copy_of(const real *x, size_t n) {
    real *copy = mem_new(n, sizeof *copy);
    memcpy(copy, x, n * sizeof *copy);
    return copy;
}

/* The exact element (i, j), nearly, and the sum of the sizes of all its terms. */
static double exact(Call s, const Operands *o, int i, int j, double *sizes) {
    double c = (double)o->c[(size_t)i * o->c_row + (size_t)j], bias = (double)o->bias[j];
    double sum = (s.accumulate ? c : 0) + (s.bias ? bias : 0);
    *sizes = (s.accumulate ? fabs(c) : 0) + (s.bias ? fabs(bias) : 0);
    for (int p = 0; p < s.k; p++) {
        double term = (double)o->a[(size_t)i * o->a_row + (size_t)p * o->a_column] *
                      (double)o->b[(size_t)p * o->b_row + (size_t)j * o->b_column];
        sum += term;
        *sizes += fabs(term);
    }
    return sum;
}

/* A sum of k products in any order is off by at most (k + 2) u sum |a||b|, so two of them differ
 * by twice that; k eps = 2 k u. Against the sum in double, which in the double build is a third
 * such sum. */
static void check_call(Call s, Rng *rng) {
    Operands o = operands_new(s, rng);
    size_t size = (size_t)s.m * o.c_row;
    real *c = copy_of(o.c, size), *twin = copy_of(o.c, size);
    fast(s, &o, c);
    naive(s, &o, twin);
    double worst_twin = 0, worst_exact = 0;
    bool outside = true;
    for (int i = 0; i < s.m; i++) {
        for (int j = 0; j < s.n; j++) {
            size_t at = (size_t)i * o.c_row + (size_t)j;
            double sizes, sum = exact(s, &o, i, j, &sizes),
                          unit = 2 * U * (s.k + 2) * sizes + 1e-300;
            double apart = fabs((double)c[at] - (double)twin[at]) / (2 * unit),
                   off = fabs((double)c[at] - sum) / unit;
            if (!(apart <= worst_twin)) worst_twin = apart; /* NaN counts */
            if (!(off <= worst_exact)) worst_exact = off;
        }
        size_t rest = (size_t)i * o.c_row + (size_t)s.n;
        outside = outside && memcmp(c + rest, o.c + rest, (size_t)s.gap * sizeof *c) == 0;
    }
    CHECK(worst_twin <= 1 && worst_exact <= 1,
          "%d x %d x %d, A %d, B %d, bias %d, accumulate %d: %.3g, %.3g of the bound", s.m, s.n,
          s.k, s.a_turned, s.b_turned, s.bias, s.accumulate, worst_twin, worst_exact);
    CHECK(outside, "%d x %d x %d: wrote between the rows of C", s.m, s.n, s.k);
    free(c);
    free(twin);
    operands_free(&o);
}

static Call call_of(int m, int n, int k, int variant) {
    return (Call){.m = m,
                  .n = n,
                  .k = k,
                  .a_turned = variant & 1,
                  .b_turned = variant & 2,
                  .bias = (variant & 12) == 4,
                  .accumulate = variant & 8,
                  .gap = variant % 3};
}

/* Around the sizes of vectors, tiles and blocks, in all sixteen variants, or in every step-th;
 * then many random shapes. */
static void test_shapes(int step) {
    const int small[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  12, 13,
                         15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 97};
    const int blocks[][3] = {
        {7, 255, 20},  {9, 256, 33},  {5, 257, 16},  {3, 513, 3},   {8, 32, 383},  {9, 33, 384},
        {13, 17, 385}, {2, 257, 385}, {17, 31, 769}, {1, 300, 400}, {130, 64, 64}, {70, 70, 200},
        {1, 1, 1000},  {200, 1, 100}, {1, 700, 1},   {1, 1, 1},     {96, 96, 96},  {100, 300, 7}};
    enum { SMALL = sizeof small / sizeof *small, BLOCKS = sizeof blocks / sizeof *blocks };
    Rng rng = rng_new(1, 0);
    for (int variant = 0; variant < 16; variant += step) {
        for (int i = 0; i < SMALL; i++) {
            check_call(call_of(small[i], small[rng_below(&rng, SMALL)],
                               small[rng_below(&rng, SMALL)], variant),
                       &rng);
            check_call(call_of(small[rng_below(&rng, SMALL)], small[i],
                               small[rng_below(&rng, SMALL)], variant),
                       &rng);
            check_call(call_of(small[rng_below(&rng, SMALL)], small[rng_below(&rng, SMALL)],
                               small[i], variant),
                       &rng);
        }
        for (int i = 0; i < BLOCKS; i++)
            check_call(call_of(blocks[i][0], blocks[i][1], blocks[i][2], variant), &rng);
        for (int i = 0; i < 60; i++)
            check_call(call_of(1 + rng_below(&rng, 100), 1 + rng_below(&rng, 100),
                               1 + rng_below(&rng, 100), variant),
                       &rng);
    }
}

/* Nothing to add up: C is the bias, or what it was; no rows or columns: nothing is touched. */
/* A B in bfloat16 gives the bits of the same numbers as reals: plain and transposed, in every
 * remainder of a strip, over several k-blocks, with one thread and with three. Naive builds have
 * none. */
static void test_frozen(void) {
#ifndef NAIVE
    static const int sizes[][3] = {{1, 1, 1},   {1, 33, 5},     {7, 31, 40},   {5, 64, 400},
                                   {9, 300, 3}, {40, 270, 800}, {70, 129, 385}};
    for (int call = 0; call < 4 * (int)(sizeof sizes / sizeof *sizes); call++) {
        int m = sizes[call / 4][0], n = sizes[call / 4][1], k = sizes[call / 4][2];
        bool turned = call & 1;
        set_threads(call & 2 ? 3 : 1);
        size_t M = (size_t)m, N = (size_t)n, K = (size_t)k;
        real *a = mem_new(M * K, sizeof *a), *b = mem_new(K * N, sizeof *b);
        real *want = mem_new(M * N, sizeof *want), *got = mem_new(M * N, sizeof *got);
        uint16_t *half = mem_new(K * N, sizeof *half);
        Rng rng = rng_new((uint64_t)call, 0);
        for (size_t i = 0; i < M * K; i++) a[i] = (real)rng_normal(&rng);
        for (size_t i = 0; i < K * N; i++) {
            float x = (float)rng_normal(&rng);
            uint32_t bits;
            memcpy(&bits, &x, sizeof bits);
            half[i] = (uint16_t)(bits >> 16);
            b[i] = real_of_bf16(half[i]);
        }
        size_t row = turned ? 1 : N, column = turned ? K : 1;
        gemm(m, n, k, a, K, 1, b, row, column, want, N, NULL, false);
        gemm_frozen(m, n, k, a, K, 1, NULL, half, row, column, got, N, NULL, false);
        CHECK(memcmp(want, got, M * N * sizeof *got) == 0, "%d x %d x %d, turned %d: other bits", m,
              n, k, turned);
        free(a), free(b), free(want), free(got), free(half);
    }
    set_threads(1);
#endif
}

static void test_empty(void) {
    Rng rng = rng_new(2, 0);
    for (int variant = 0; variant < 16; variant++) {
        Call s = call_of(5, 9, 0, variant);
        check_call(s, &rng);
        Operands o = operands_new(call_of(5, 9, 4, variant), &rng);
        real *c = copy_of(o.c, 5 * o.c_row);
        s.m = 0;
        s.k = 4;
        fast(s, &o, c);
        s.m = 5;
        s.n = 0;
        fast(s, &o, c);
        CHECK(memcmp(c, o.c, 5 * o.c_row * sizeof *c) == 0, "an empty product wrote something");
        free(c);
        operands_free(&o);
    }
}

/* ---- bits ---- */

/* Any number of rows or columns, at any place, gives the bits of the whole product. */
static void test_position_bits(void) {
    Rng rng = rng_new(3, 0);
    for (int variant = 0; variant < 16; variant++) {
        Call s = call_of(40, 300, 390, variant);
        Operands o = operands_new(s, &rng);
        real *whole = copy_of(o.c, (size_t)s.m * o.c_row),
             *part = copy_of(o.c, (size_t)s.m * o.c_row);
        fast(s, &o, whole);
        for (int trial = 0; trial < 12; trial++) {
            int m = 1 + rng_below(&rng, 17), n = trial % 2 ? s.n : 1 + rng_below(&rng, 70);
            int i = rng_below(&rng, s.m - m + 1), j = rng_below(&rng, s.n - n + 1);
            Operands at = o;
            at.a += (size_t)i * o.a_row;
            at.b += (size_t)j * o.b_column;
            at.bias += j;
            size_t c = (size_t)i * o.c_row + (size_t)j;
            memcpy(part, o.c, (size_t)s.m * o.c_row * sizeof *part);
            Call sub = s;
            sub.m = m;
            sub.n = n;
            fast(sub, &at, part + c);
            bool equal = true;
            for (size_t r = 0; r < (size_t)m; r++)
                equal = equal && memcmp(part + c + r * o.c_row, whole + c + r * o.c_row,
                                        (size_t)n * sizeof *part) == 0;
            CHECK(
                equal,
                "rows %d to %d, columns %d to %d, variant %d: other bits than in the whole product",
                i, i + m - 1, j, j + n - 1, variant);
        }
        free(whole);
        free(part);
        operands_free(&o);
    }
}

/* B packed once gives the bits of gemm: packed whole, or in pieces (the first rows or columns
 * before the others, as a cached prefix and what follows it), and multiplied whole or by its
 * first rows and columns only. */
static void test_packed(void) {
    const int shapes[][3] = {{1, 1, 1},    {9, 35, 20},   {32, 48, 16}, {33, 64, 32},
                             {5, 97, 385}, {16, 32, 64},  {7, 300, 40}, {64, 33, 400},
                             {6, 16, 90},  {70, 256, 769}};
    Rng rng = rng_new(8, 0);
    for (int i = 0; i < (int)(sizeof shapes / sizeof *shapes); i++)
        for (int variant = 0; variant < 16; variant++) {
            Call s = call_of(shapes[i][0], shapes[i][1], shapes[i][2], variant);
            s.bias = false;
            Operands o = operands_new(s, &rng);
            size_t size = (size_t)s.m * o.c_row;
            int room = s.k + 5, head = rng_below(&rng, s.k),
                left = rng_below(&rng, s.n / GEMM_ALIGN + 1) * GEMM_ALIGN;
            size_t memory =
                (size_t)room * (size_t)((s.n + GEMM_ALIGN - 1) / GEMM_ALIGN * GEMM_ALIGN);
            real *c = copy_of(o.c, size), *expected = copy_of(o.c, size),
                 *packed = mem_new(memory, sizeof *packed);
            /* what nobody packed must not be read */
            for (size_t j = 0; j < memory; j++) packed[j] = NAN;
            if (variant & 1) { /* rows in two pieces */
                gemm_pack(packed, room, 0, 0, head, s.n, o.b, o.b_row, o.b_column);
                gemm_pack(packed, room, head, 0, s.k - head, s.n, o.b + (size_t)head * o.b_row,
                          o.b_row, o.b_column);
            } else { /* columns in two pieces */
                gemm_pack(packed, room, 0, 0, s.k, left, o.b, o.b_row, o.b_column);
                gemm_pack(packed, room, 0, left, s.k, s.n - left, o.b + (size_t)left * o.b_column,
                          o.b_row, o.b_column);
            }
            fast(s, &o, expected);
            gemm_packed(s.m, s.n, s.k, o.a, o.a_row, o.a_column, packed, room, c, o.c_row,
                        s.accumulate);
            CHECK(memcmp(c, expected, size * sizeof *c) == 0,
                  "%d x %d x %d, variant %d: packed before, other bits", s.m, s.n, s.k, variant);
            s.n = 1 + rng_below(&rng, s.n);
            s.k = 1 + rng_below(&rng, s.k);
            memcpy(c, o.c, size * sizeof *c);
            memcpy(expected, o.c, size * sizeof *c);
            fast(s, &o, expected);
            gemm_packed(s.m, s.n, s.k, o.a, o.a_row, o.a_column, packed, room, c, o.c_row,
                        s.accumulate);
            CHECK(memcmp(c, expected, size * sizeof *c) == 0,
                  "%d x %d x %d, variant %d: a part of it, other bits", s.m, s.n, s.k, variant);
            free(c);
            free(expected);
            free(packed);
            operands_free(&o);
        }
}

static void test_thread_bits(void) {
    const int shapes[][3] = {{300, 20, 50},  {20, 300, 50}, {65, 65, 400},  {1, 1000, 120},
                             {1000, 1, 120}, {7, 33, 500},  {120, 130, 140}};
    const int threads[] = {2, 3, 5, 8};
    Rng rng = rng_new(4, 0);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int variant = 0; variant < 16; variant += 3) {
            Call s = call_of(shapes[i][0], shapes[i][1], shapes[i][2], variant);
            Operands o = operands_new(s, &rng);
            size_t size = (size_t)s.m * o.c_row;
            real *one = copy_of(o.c, size);
            set_threads(1);
            fast(s, &o, one);
            for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
                real *c = copy_of(o.c, size);
                set_threads(threads[t]);
                fast(s, &o, c);
                CHECK(memcmp(c, one, size * sizeof *c) == 0,
                      "%d x %d x %d, variant %d: other bits with %d threads", s.m, s.n, s.k,
                      variant, threads[t]);
                free(c);
            }
            free(one);
            operands_free(&o);
        }
    set_threads(1);
}

/* Terms in which a or b is zero change nothing: products over a longer k whose other terms are
 * zeros have the same bits. So has a product in two calls, the second one accumulating. */
static void test_zero_terms(void) {
    enum { M = 9, N = 35, SHORT = 70, LONG = 460, BEFORE = 37 };
    Rng rng = rng_new(5, 0);
    real *a = numbers(&rng, M * LONG), *b = numbers(&rng, LONG * N), *bias = numbers(&rng, N);
    real *c = mem_new(M * N, sizeof *c), *padded = mem_new(M * N, sizeof *c),
         *pieces = mem_new(M * N, sizeof *c);
    gemm(M, N, SHORT, a + BEFORE, LONG, 1, b + BEFORE * N, N, 1, c, N, bias, false);
    gemm(M, N, 29, a + BEFORE, LONG, 1, b + BEFORE * N, N, 1, pieces, N, bias, false);
    gemm(M, N, SHORT - 29, a + BEFORE + 29, LONG, 1, b + (BEFORE + 29) * N, N, 1, pieces, N, NULL,
         true);
    CHECK(memcmp(c, pieces, M * N * sizeof *c) == 0, "a product in two pieces has other bits");
    for (int zero_a = 0; zero_a < 2; zero_a++) {
        real *a0 = copy_of(a, M * LONG), *b0 = copy_of(b, LONG * N);
        for (int p = 0; p < LONG; p++) {
            if (p >= BEFORE && p < BEFORE + SHORT) continue;
            for (int i = 0; zero_a && i < M; i++) a0[i * LONG + p] = 0;
            for (int j = 0; !zero_a && j < N; j++) b0[p * N + j] = 0;
        }
        gemm(M, N, LONG, a0, LONG, 1, b0, N, 1, padded, N, bias, false);
        CHECK(memcmp(c, padded, M * N * sizeof *c) == 0, "zeros in %s change bits",
              zero_a ? "A" : "B");
        free(a0);
        free(b0);
    }
    free(a);
    free(b);
    free(bias);
    free(c);
    free(padded);
    free(pieces);
}

/* NaN and infinity reach exactly the elements that they belong to: padding at the edges must not
 * spread them. */
static void test_not_finite(void) {
    enum { M = 11, N = 37, K = 50 };
    Rng rng = rng_new(6, 0);
    real *a = numbers(&rng, M * K), *b = numbers(&rng, K * N), *c = mem_new(M * N, sizeof *c);
    a[10 * K + 3] = NAN;
    b[7 * N + 36] = INFINITY;
    gemm(M, N, K, a, K, 1, b, N, 1, c, N, NULL, false);
    int wrong = 0;
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            real x = c[i * N + j];
            wrong += i == 10 ? !isnan(x) : j == 36 ? !isinf(x) : !isfinite(x);
        }
    CHECK(wrong == 0, "%d elements have the wrong kind of value", wrong);
    free(a);
    free(b);
    free(c);
}

static void test_description(void) {
    double peak = gemm_peak_flops();
    CHECK(isfinite(peak) && peak > 1e6, "peak of %g operations a second", peak);
    CHECK(strstr(gemm_description(), sizeof(real) == 8 ? "double" : "float"), "%s",
          gemm_description());
}

/* ---- element functions ---- */

/* Relative error of exp over a grid and the neighborhoods of every multiple of ln 2 / 2, where
 * its reduction changes. */
static void test_exp(void) {
    const double bound = sizeof(real) == 8 ? 1e-15 : 2e-7;
    double worst = 0, at = 0;
    for (int i = 0; i <= 3000000; i++) {
        real x = i < 1750000 ? (real)(-87 + i * 1e-4)
                             : (real)(((i - 1750000) / 4 - 156250) * 0.000555 + (i % 4) * 1e-5);
        if (!(x > -87 && x < 88)) continue;
        double e = exp((double)x), error = fabs((double)real_exp(x) / e - 1);
        if (!(error <= worst)) worst = error, at = (double)x;
    }
    for (int i = -251; i <= 253; i++)
        for (int j = -50; j <= 50; j++) {
            real x = (real)(i * 0.34657359027997264 * (1 + j * U));
            double e = exp((double)x), error = fabs((double)real_exp(x) / e - 1);
            if (x > -87 && x < 88 && !(error <= worst)) worst = error, at = (double)x;
        }
    CHECK(worst < bound, "exp(%.9g) is off by %.3g of itself", at, worst);
    CHECK(real_exp(0) == 1 && real_exp((real)-0.0) == 1, "exp(0) is %.9g", (double)real_exp(0));
    CHECK(real_exp(-INFINITY) == 0 && real_exp(-1000) == 0,
          "exp(-infinity) or exp(-1000) is not 0");
    CHECK(real_exp(INFINITY) == INFINITY && real_exp(1000) == INFINITY,
          "exp(infinity) or exp(1000) is not infinite");
    CHECK(isnan(real_exp(NAN)), "exp(NaN) is %g", (double)real_exp(NAN));
#ifndef REAL_DOUBLE
    CHECK(real_exp(-88) == 0 && real_exp(-87.31f) == 0 && real_exp(-87.29f) > 0,
          "exp does not end at -87.3");
    CHECK(isinf(real_exp(88.73f)) && isinf(real_exp(3e38f)) && isfinite(real_exp(88)),
          "exp does not overflow where it should");
    float before = 0;
    int falls = 0; /* by more than its error */
    for (float x = -90; x < 90; x += 0.001f) {
        float e = real_exp(x);
        falls += e < before;
        before = e;
    }
    CHECK(falls == 0, "exp falls %d times", falls);
#endif
}

static void test_tanh(void) {
    const double bound = sizeof(real) == 8 ? 1e-15 : 3e-7;
    double worst = 0, at = 0;
    for (int i = -1200000; i <= 1200000; i++) {
        real x = (real)(i * 1e-5);
        double error = fabs((double)real_tanh(x) - tanh((double)x));
        if (!(error <= worst)) worst = error, at = (double)x;
    }
    CHECK(worst < bound, "tanh(%.9g) is off by %.3g", at, worst);
    CHECK(real_tanh(0) == 0 && real_tanh(INFINITY) == 1 && real_tanh(-INFINITY) == -1,
          "tanh(0) or tanh(infinity)");
    CHECK(real_tanh(1000) == 1 && real_tanh(-1000) == -1 && isnan(real_tanh(NAN)),
          "tanh of 1000 or NaN");
}

/* Sums of lanes: at most n + LANES roundings of the sum of sizes; the maximum is exact, wherever
 * it stands. */
static void test_sums(void) {
    enum { MOST = 300 };
    Rng rng = rng_new(7, 0);
    for (int n = 1; n <= MOST; n++) {
        /* exactly n: a sanitizer sees reads beyond */
        real *x = numbers(&rng, (size_t)n), *y = numbers(&rng, (size_t)n);
        double sum = 0, size = 0, dot = 0, dot_size = 0;
        for (int i = 0; i < n; i++) {
            sum += (double)x[i];
            size += fabs((double)x[i]);
            dot += (double)x[i] * (double)y[i];
            dot_size += fabs((double)x[i] * (double)y[i]);
        }
        double bound = (n + LANES) * 2 * U;
        double found = (double)real_sum(x, n), found_dot = (double)real_dot(x, y, n);
        CHECK(fabs(found - sum) <= bound * size, "sum of %d: %.9g, should be %.9g", n, found, sum);
        CHECK(fabs(found_dot - dot) <= bound * dot_size, "dot of %d: %.9g, should be %.9g", n,
              found_dot, dot);
        int at = rng_below(&rng, n);
        double exps = 0;
        real *e = copy_of(x, (size_t)n);
        e[at] = -INFINITY;
        for (int i = 0; i < n; i++) exps += i == at ? 0 : exp((double)(x[i] - (real)0.25));
        double found_exps = (double)real_sum_exp(e, (real)0.25, n);
        CHECK(fabs(found_exps - exps) <= (bound + 2e-7) * exps,
              "sum of %d exps: %.9g, should be %.9g", n, found_exps, exps);
        free(e);
        x[at] = 50;
        CHECK(real_max(x, n) == 50, "maximum of %d, at %d: %.9g", n, at, (double)real_max(x, n));
        for (int i = 0; i < n; i++) x[i] = -(real)fabs((double)x[i]) - 1;
        x[at] = (real)-0.5;
        CHECK(real_max(x, n) == (real)-0.5, "maximum of %d negative numbers, at %d: %.9g", n, at,
              (double)real_max(x, n));
        free(x);
        free(y);
    }
    CHECK(real_sum(NULL, 0) == 0 && real_dot(NULL, NULL, 0) == 0, "the sum of nothing");
}

/* With an argument the products alone, in every fifth variant: for a processor that is emulated. */
int main(int argc, char **argv) {
    (void)argv;
    set_threads(1);
    test_shapes(argc > 1 ? 5 : 1);
    test_packed();
    if (argc > 1) return check_report("test_gemm");
    test_frozen();
    test_empty();
    test_position_bits();
    test_thread_bits();
    test_zero_terms();
    test_not_finite();
    test_description();
    test_exp();
    test_tanh();
    test_sums();
    return check_report("test_gemm");
}
