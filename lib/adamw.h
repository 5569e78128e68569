/* adamw: the optimizer (Loshchilov and Hutter 2019), over parts of a flat buffer.
 *
 * Usage:
 *   real w[2] = {1, 2}, grad[2] = {0.5f, -3};
 *   Optimizer *o = adamw_new(2, 0.9, 0.999, 0.01);
 *   o->step++;
 *   adamw_update(o, w, grad, 0, 2, o->weight_decay, 1, 1e-3); // about {0.999, 2.001}
 *   optimizer_free(o);
 *
 * A step has the size lr for each parameter, whatever the scale of its gradient: the mean of the
 * gradient is divided by the root of the mean of its square. g is the gradient, m and v are these
 * running means (`mean` and `square` in the code), t counts the steps. Both means start at 0; the
 * factors 1 / (1 - b^t) correct that. Weight decay bypasses the means ("decoupled"):
 *     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
 *     w -= lr ((m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon) + decay w) */
#ifndef ADAMW_H
#define ADAMW_H

#include "lib/util.h"

typedef struct {
    real *m, *v; /* [parameters] running means of the gradient and of its square */
    long step;
    double beta1, beta2, epsilon, weight_decay;
} Optimizer;

Optimizer *adamw_new(size_t parameters, double beta1, double beta2, double weight_decay);
void optimizer_free(Optimizer *o); /* NULL is fine */
/* Step o->step, from 1, of the n parameters from offset on, with the gradient times `scale`. */
void adamw_update(const Optimizer *o, real *w, const real *grad, size_t offset, size_t n,
                  double decay, double scale, double learning_rate);

#endif
