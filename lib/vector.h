/* vector: vectors of the widest kind that the compiler may use: AVX-512, AVX2, NEON, or any 16
 * bytes.
 *
 * Everything that differs between machines is in this file. The product in gemm.c is one source for
 * all of them.
 *
 *   Vec sum = vec_load(c);                    // VEC elements from any address
 *   sum = vec_fma(vec_load(a), vec_load(b), sum);
 *   vec_store(c, sum);
 */
#ifndef VECTOR_H
#define VECTOR_H

#include "lib/util.h"

#include <string.h>

/* VEC_TILE_ROWS rows of two vectors of sums, with the factors that go into them, fill the
 * registers. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define VEC_BYTES 64
#define VEC_TILE_ROWS 8
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VEC_BYTES 32
#define VEC_TILE_ROWS 6
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define VEC_BYTES 16
#define VEC_TILE_ROWS 8
#else
#define VEC_BYTES 16
#define VEC_TILE_ROWS 4
#endif

typedef real Vec __attribute__((vector_size(VEC_BYTES)));
typedef real VecUnaligned __attribute__((vector_size(VEC_BYTES), aligned(sizeof(real)), may_alias));

enum { VEC = VEC_BYTES / (int)sizeof(real) }; /* elements of a vector */

/* a b + c with one rounding where the machine has the instruction. With -ffp-contract=off the
 * compiler never fuses by itself. */
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

/* zip_low is a0 b0 a1 b1 ... of the first halves of two vectors, zip_high of the second halves. */
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

#undef LOW
#undef HIGH

/* to[VEC][VEC] = the transpose of from[VEC][VEC], in registers. It zips the first half of the rows
 * with the second, log2(VEC) times. */
static inline void vec_transpose(real *to, size_t to_row, const real *from, size_t from_row) {
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

#endif
