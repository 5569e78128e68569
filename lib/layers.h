/* layers: the formulas that work on each row of numbers alone: norms, activations, and rotary
 * positions.
 *
 * Usage:
 *   real gain[2] = {1, 2}, x[2] = {3, 4}, y[2], stat[2];
 *   Norm rms = {.g = gain, .channels = 2, .groups = 1, .stride = 2, .epsilon = 1e-6};
 *   norm_forward(y, stat, x, &rms, 1);          // y = {0.8485, 2.2627}: x / sqrt(12.5), gained
 *   real pair[2] = {1, 0}, turn[2], gated[1];
 *   const int position = 1;
 *   Rotary rotary = {.head_size = 2, .theta = 10000};
 *   rotary_table(turn, &position, 1, &rotary);  // cos 1, sin 1
 *   rotary_turn(pair, turn, 1, &rotary, 1, 2, false); // pair = {cos 1, sin 1}
 *   swiglu_forward(gated, pair, 1, 1);          // silu(cos 1) * sin 1
 *
 * Each function takes N rows; what it writes comes first. A backward function that gets dy leaves
 * dx: d followed by a name is the derivative of the loss by that quantity. Gradients of gains and
 * biases are sums over rows (lib/fast/sums.h). Every number is computed by one thread in one
 * order. */
#ifndef LAYERS_H
#define LAYERS_H

#include "lib/util.h"

/* ---- norm ----
 *     y = g * h + b,   h = (x - mean) * r,   r = 1 / sqrt(avg((x - mean)^2) + epsilon)
 * avg is the average over the channels. With b this is layer norm. Without b it is RMS norm: the
 * mean in the formula is 0 then, and so is avg(dh) below.
 *
 * backward: dh = dy * g, dx += r (dh - avg(dh) - h avg(dh * h)),
 *           dg += sum over n of dy * h, db += sum over n of dy
 * The two averages are there because mean and variance depend on every x of the group: moving all
 * x by the same amount, or scaling them, changes no h, so dx has no part in these two
 * directions.
 *
 * A row may hold several groups of channels side by side, the heads of a token, say. Each is
 * normalized by itself, with the same g. From a row to the next are `stride` numbers, in x, y, dx
 * and dy alike. */
typedef struct {
    real *g, *b;  /* [channels] each; b NULL: RMS norm */
    int channels; /* of a group */
    int groups;   /* of a row */
    size_t stride;
    real epsilon;
} Norm;

/* stat [N][groups][2] = mean, r. */
void norm_forward(real *y, real *stat, const real *x, const Norm *f, int N);
/* Recomputes the output from x and the saved statistics, so the backward pass need not store it. */
void norm_again(real *y, const real *stat, const real *x, const Norm *f, int N);
/* Adds to dx, because x also goes past the norm, along the residual stream. */
void norm_input_gradient(real *dx, const real *dy, const real *x, const real *stat, const Norm *f,
                         int N);

/* ---- gelu_new ----
 *     y = x/2 (1 + t),   t = tanh(u),   u = s (x + a x^3),   s = sqrt(2/pi), a = 0.044715
 * A smooth ramp: y is nearly x far above 0, and nearly 0 far below.
 * backward: dx = dy ((1 + t)/2 + x/2 (1 - t^2) s (1 + 3 a x^2))
 * x, y [count] */
void gelu_forward(real *y, const real *x, size_t count);
/* On entry y holds dy, on exit the output once more: one tanh serves both. */
void gelu_backward(real *y, real *dx, const real *x, size_t count);

/* ---- SwiGLU ----
 *     y = silu(gate) * up,   silu(g) = g z,   z = 1 / (1 + exp(-g))
 * A row of x [N][2 F] has F gates, then what they let through; y [N][F].
 * backward: dup = dy silu(gate), dgate = dy up z (1 + gate (1 - z)) */
void swiglu_forward(real *y, const real *x, int N, int F);
/* On entry y holds dy, on exit the output once more. */
void swiglu_backward(real *y, real *dx, const real *x, int N, int F);

/* ---- rotary positions ----
 * The channels d and d + D/2 of a head are a point in a plane, which turns by the angle position x
 * frequency_d. The product of a query and a key then depends on how far apart the two are:
 *     x_d' = x_d cos - x_(d+D/2) sin,   x_(d+D/2)' = x_(d+D/2) cos + x_d sin,
 *     frequency_d = theta^(-2 d / D),   d = 0 .. D/2 - 1
 * backward: a turn by the opposite angle. */

/* How the frequencies change for contexts longer than those of pretraining. LINEAR: all are
 * divided by the factor. LLAMA3: a frequency that turns often within the original context stays,
 * one that turns seldom is divided by the factor, and between them is a ramp:
 *     turns = original x frequency / (2 pi)
 *     turns > high: unchanged;   turns < low: / factor
 *     else, with m = (turns - low) / (high - low): (1 - m) frequency / factor + m frequency */
typedef enum { SCALING_NONE, SCALING_LINEAR, SCALING_LLAMA3 } ScalingKind;
typedef struct {
    ScalingKind kind;
    double factor;    /* of both kinds */
    double low, high; /* of LLAMA3 */
    int original;     /* of LLAMA3: the context of pretraining */
} Scaling;

typedef struct {
    int head_size; /* D, even */
    double theta;
    Scaling scaling;
} Rotary;

double rotary_frequency(const Rotary *f, int d);
/* table [N][D]: for each row D/2 cosines, then D/2 sines, of its position's angles. Positions are
 * absolute, so a token's numbers are the same however it is batched. */
void rotary_table(real *table, const int *position, int N, const Rotary *f);
/* Turns `heads` heads side by side at the start of each of N rows, in place. */
void rotary_turn(real *x, const real *table, int N, const Rotary *f, int heads, size_t stride,
                 bool back);

#endif
