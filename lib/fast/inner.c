/* Inner products of gradients with a direction: each layer's forward pass on the direction,
 * times dy. */
#include "lib/fast/inner.h"

#include "lib/gemm.h"
#include "lib/threads.h"

GradientTarget target_of_tokens(const GradientTarget *to, const int *token) {
    GradientTarget some = *to;
    some.token = token;
    return some;
}

void inner_add(const GradientTarget *to, const real *dy, size_t stride, const real *product, int N,
               int width) {
    size_t W = (size_t)width;
#pragma omp parallel for if ((long)N * width > PARALLEL_FROM)
    for (int n = 0; n < N; n++) {
        int token = to->token ? to->token[n] : n;
        to->inner[token] +=
            (double)real_dot(dy + (size_t)n * stride, product + (size_t)n * W, width);
    }
}

void inner_linear(const GradientTarget *to, const real *w, size_t step_in, size_t step_out,
                  const real *b, const real *dy, size_t stride, const real *x, int N, int in,
                  int out) {
    gemm(N, out, in, x, (size_t)in, 1, w, step_in, step_out, to->product, (size_t)out, b, false);
    inner_add(to, dy, stride, to->product, N, out);
}

void inner_adapter(const GradientTarget *to, const Adapter *g, const real *dy, int wide,
                   const real *x, const Adapter *f, int in, int N, real *low) {
    size_t R = (size_t)f->rank;
    real *dlow = low + (size_t)N * R;
    adapter_low(low, x, f, in, N);
    inner_linear(to, g->b, 1, R, NULL, dy + f->from, (size_t)wide, low, N, f->rank, f->out);
    adapter_low_gradient(dlow, dy, wide, f, N);
    inner_linear(to, g->a, 1, (size_t)in, NULL, dlow, R, x, N, in, f->rank);
}

void inner_norm(const GradientTarget *to, const Norm *f, const real *dy, const real *x,
                const real *stat, int N) {
    int C = f->channels;
#pragma omp parallel for if ((long)N * f->groups * C > PARALLEL_FROM)
    for (int n = 0; n < N; n++)
        for (int group = 0; group < f->groups; group++) {
            int token = to->token ? to->token[n] : n;
            size_t at = (size_t)n * f->stride + (size_t)group * (size_t)C;
            const real *one = stat + 2 * ((size_t)n * (size_t)f->groups + (size_t)group);
            real *product = to->product + (size_t)n * (size_t)C;
            for (int c = 0; c < C; c++)
                product[c] = (x[at + (size_t)c] - one[0]) * one[1] * f->g[c] + (f->b ? f->b[c] : 0);
            to->inner[token] += (double)real_dot(dy + at, product, C);
        }
}

void inner_embed(const GradientTarget *to, const real *wte, const real *wpe, const real *dx,
                 const int *token, const int *position, int N, int C) {
    size_t W = (size_t)C;
    for (int n = 0; n < N; n++) {
        const real *te = wte + (size_t)token[n] * W,
                   *pe = wpe ? wpe + (size_t)position[n] * W : NULL;
        for (size_t c = 0; c < W; c++) to->product[(size_t)n * W + c] = pe ? te[c] + pe[c] : te[c];
    }
    inner_add(to, dx, W, to->product, N, C);
}
