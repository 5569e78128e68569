/* Adapters: products with a few columns. */
#include "lib/lora.h"

#include <math.h>

#include "lib/gemm.h"

bool lora_check(const LoraConfig *c, Error *err) {
    enum { MOST = 4096 };
    if (c->rank < 1 || c->rank > MOST)
        return error_set(err, STATUS_DATA, "an adapter of rank %d; it must be between 1 and %d",
                         c->rank, MOST);
    if (!(c->alpha > 0) || isinf(c->alpha))
        return error_set(err, STATUS_DATA, "an adapter of alpha %g; it must be positive", c->alpha);
    return true;
}

double lora_scale(const LoraConfig *c) {
    return c->alpha / (c->rslora ? sqrt((double)c->rank) : (double)c->rank);
}

void adapter_low(real *low, const real *x, const Adapter *f, int in, int N) {
    size_t I = (size_t)in, R = (size_t)f->rank;
    gemm(N, f->rank, in, x, I, 1, f->a, 1, I, low, R, NULL, false);
    for (size_t i = 0; i < (size_t)N * R; i++) low[i] *= f->scale;
}

void adapter_low_gradient(real *dlow, const real *dy, int wide, const Adapter *f, int N) {
    size_t R = (size_t)f->rank;
    gemm(N, f->rank, f->out, dy + f->from, (size_t)wide, 1, f->b, R, 1, dlow, R, NULL, false);
    for (size_t i = 0; i < (size_t)N * R; i++) dlow[i] *= f->scale;
}

void adapter_forward(real *y, int wide, const real *x, const Adapter *f, int in, int N, real *low) {
    size_t R = (size_t)f->rank;
    adapter_low(low, x, f, in, N);
    gemm(N, f->out, f->rank, low, R, 1, f->b, 1, R, y + f->from, (size_t)wide, NULL, true);
}

void adapter_input_gradient(real *dx, const real *dy, int wide, const Adapter *f, int in, int N,
                            real *low) {
    size_t I = (size_t)in, R = (size_t)f->rank;
    adapter_low_gradient(low, dy, wide, f, N);
    gemm(N, in, f->rank, low, R, 1, f->a, I, 1, dx, I, NULL, true);
}

void adapter_weight_gradient(const Adapter *df, const real *dy, int wide, const real *x,
                             const Adapter *f, int in, int N, bool add, real *low) {
    size_t I = (size_t)in, R = (size_t)f->rank;
    real *du = low + (size_t)N * R;
    adapter_low(low, x, f, in, N);
    gemm(f->out, f->rank, N, dy + f->from, 1, (size_t)wide, low, R, 1, df->b, R, NULL, add);
    adapter_low_gradient(du, dy, wide, f, N);
    gemm(f->rank, in, N, du, 1, R, x, I, 1, df->a, I, NULL, add);
}
