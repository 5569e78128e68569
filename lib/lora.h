/* lora: small matrices beside frozen ones (Hu et al. 2021).
 *
 * Usage:
 *   real w[2] = {1, 1}, a[2] = {1, 2}, b[2] = {3, 4}, x[2] = {1, 1}, y[2] = {0}, low[2];
 *   Adapter one = {.a = a, .b = b, .rank = 1, .from = 0, .out = 2, .scale = 0.5f};
 *   adapter_forward(y, 2, x, &one, 2, 1, low);   // y += 0.5 b (a x) = {4.5, 6}
 *   (void)w;
 *
 * A linear layer y = W x gets a second path,
 *     y = W x + s B (A x),   s = alpha / rank, or with rank-stabilized LoRA alpha / sqrt(rank)
 * with A [rank, in] and B [out, rank]. W stays as it is; A and B are trained. They have
 * rank (in + out) numbers in place of in x out, and so have the gradient and the optimizer. */
#ifndef LORA_H
#define LORA_H

#include "lib/util.h"

typedef struct {
    int rank;
    double alpha;
    unsigned targets; /* which matrices of the blocks: bits 1u << TensorRole (lib/table.h) */
    bool rslora;
} LoraConfig;

/* Rank and alpha must be in range; status 3. */
bool lora_check(const LoraConfig *c, Error *err);
double lora_scale(const LoraConfig *c);

/* An adapter of the outputs from..from+out-1 of a linear layer. a NULL: there is none. */
typedef struct {
    real *a, *b; /* [rank][in], [out][rank] */
    int rank, from, out;
    real scale;
} Adapter;

enum { ADAPTERS = 3 }; /* of one linear layer: queries, keys and values are one product */

/* low [N][rank] = s A x, and its derivative s B^T dy, of which lib/fast/inner.h makes use. */
void adapter_low(real *low, const real *x, const Adapter *f, int in, int N);
void adapter_low_gradient(real *dlow, const real *dy, int wide, const Adapter *f, int N);
/* y += s B (A x), where y is N rows of `wide` numbers and x [N][in]. low [N][rank] is left with
 * s A x. */
void adapter_forward(real *y, int wide, const real *x, const Adapter *f, int in, int N, real *low);
/* dx [N][in] += A^T du, du = s B^T dy. low [N][rank] is left with du. */
void adapter_input_gradient(real *dx, const real *dy, int wide, const Adapter *f, int in, int N,
                            real *low);
/* dB = (dB +) dy^T (s A x), dA = (dA +) du^T x. low [2][N][rank] is scratch. */
void adapter_weight_gradient(const Adapter *df, const real *dy, int wide, const real *x,
                             const Adapter *f, int in, int N, bool add, real *low);

#endif
