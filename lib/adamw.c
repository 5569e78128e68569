/* AdamW. */
#include "lib/adamw.h"

#include <math.h>
#include <stdlib.h>

#include "lib/threads.h"

Optimizer *adamw_new(size_t parameters, double beta1, double beta2, double weight_decay) {
    Optimizer *o = mem_new(1, sizeof *o);
    o->m = mem_new(parameters, sizeof(real));
    o->v = mem_new(parameters, sizeof(real));
    o->beta1 = beta1, o->beta2 = beta2, o->epsilon = 1e-8, o->weight_decay = weight_decay;
    return o;
}

void optimizer_free(Optimizer *o) {
    if (!o) return;
    free(o->m);
    free(o->v);
    free(o);
}

/* What all parameters share in one step: the optimizer's settings, rest = 1 - b, correct = 1 / (1 -
 * b^t), and the scale of the gradient. */
typedef struct {
    real b1, b2, rest1, rest2, correct1, correct2, eps, lr, scale;
} StepFactors;

static StepFactors step_factors(const Optimizer *o, double scale, double learning_rate) {
    double t = (double)o->step;
    StepFactors f = {.eps = (real)o->epsilon, .lr = (real)learning_rate, .scale = (real)scale};
    f.b1 = (real)o->beta1, f.rest1 = (real)(1 - o->beta1);
    f.b2 = (real)o->beta2, f.rest2 = (real)(1 - o->beta2);
    f.correct1 = (real)(1 / (1 - pow(o->beta1, t)));
    f.correct2 = (real)(1 / (1 - pow(o->beta2, t)));
    return f;
}

/* [E13] Updates n parameters. `f` is passed by value so that the compiler knows a store to w
 * cannot change it. */
static void adamw(StepFactors f, real decay, real *w, real *mean, real *square, const real *grad,
                  size_t n) {
    for (size_t j = 0; j < n; j++) {
        real g = grad[j] * f.scale;
        mean[j] = f.b1 * mean[j] + f.rest1 * g;
        square[j] = f.b2 * square[j] + f.rest2 * g * g;
#ifdef REAL_DOUBLE
        real root = sqrt(square[j] * f.correct2);
#else
        real root = sqrtf(square[j] * f.correct2);
#endif
        w[j] -= f.lr * (mean[j] * f.correct1 / (root + f.eps) + decay * w[j]);
    }
}

void adamw_update(const Optimizer *o, real *w, const real *grad, size_t offset, size_t n,
                  double decay, double scale, double learning_rate) {
    enum { CHUNK = 2048, WORTH = PARALLEL_FROM / 4 }; /* roots and quotients take their time */
    StepFactors f = step_factors(o, scale, learning_rate);
    size_t chunks = (n + CHUNK - 1) / CHUNK;
#pragma omp parallel for if (n > WORTH)
    for (size_t c = 0; c < chunks; c++) {
        size_t from = c * CHUNK, size = n - from < CHUNK ? n - from : CHUNK, at = offset + from;
        adamw(f, (real)decay, w + at, o->m + at, o->v + at, grad + at, size);
    }
}
