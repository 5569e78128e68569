/* Norms, activations, and rotary positions. */
#include "lib/layers.h"

#include <math.h>

#include "lib/gemm.h"
#include "lib/threads.h"

/* ---- norm ---- */

/* Where group i of all groups of all rows begins. */
static inline size_t group_at(const Norm *f, int i) {
    return (size_t)(i / f->groups) * f->stride + (size_t)(i % f->groups) * (size_t)f->channels;
}

/* y = x r g + b of centred or plain x; y may be x. */
static inline void norm_scale(real *y, const real *x, real mean, real r, const Norm *f) {
    if (f->b)
        for (int c = 0; c < f->channels; c++) y[c] = (x[c] - mean) * r * f->g[c] + f->b[c];
    else
        for (int c = 0; c < f->channels; c++) y[c] = x[c] * r * f->g[c];
}

/* Groups whose sums are taken at once: adding 16 lanes one after another takes long, but these
 * chains of additions run beside each other. */
enum { TOGETHER = 16 };

static void lanes_totals(real total[TOGETHER], const real lane[TOGETHER][LANES]) {
    for (int i = 0; i < TOGETHER; i++) total[i] = 0;
    for (int l = 0; l < LANES; l++)
        for (int i = 0; i < TOGETHER; i++) total[i] += lane[i][l];
}

/* Of `count` groups from `first` on, at most TOGETHER. */
static void norm_some(real *y, real *stat, const real *x, const Norm *f, int first, int count) {
    int C = f->channels;
    real lane[TOGETHER][LANES] = {{0}}, square[TOGETHER][LANES] = {{0}}, mean[TOGETHER],
         r[TOGETHER];
    for (int i = 0; i < count && f->b; i++) lanes_add(lane[i], x + group_at(f, first + i), C);
    lanes_totals(mean, lane);
    for (int i = 0; i < TOGETHER; i++) mean[i] /= (real)C;
    for (int i = 0; i < count; i++) {
        const real *x_i = x + group_at(f, first + i);
        real *y_i = y + group_at(f, first + i);
        for (int c = 0; c < C; c++) y_i[c] = x_i[c] - mean[i];
        lanes_add_products(square[i], y_i, y_i, C);
    }
    lanes_totals(r, square);
    for (int i = 0; i < TOGETHER; i++) r[i] = 1 / (real)sqrt(r[i] / (real)C + f->epsilon);
    for (int i = 0; i < count; i++) {
        real *y_i = y + group_at(f, first + i);
        norm_scale(y_i, y_i, 0, r[i], f);
        stat[2 * (first + i)] = mean[i];
        stat[2 * (first + i) + 1] = r[i];
    }
}

void norm_forward(real *y, real *stat, const real *x, const Norm *f, int N) {
    int groups = N * f->groups;
#pragma omp parallel for if ((long)N * f->groups * f->channels > PARALLEL_FROM)
    for (int i = 0; i < groups; i += TOGETHER)
        norm_some(y, stat, x, f, i, groups - i < TOGETHER ? groups - i : TOGETHER);
}

void norm_again(real *y, const real *stat, const real *x, const Norm *f, int N) {
#pragma omp parallel for if ((long)N * f->groups * f->channels > PARALLEL_FROM)
    for (int i = 0; i < N * f->groups; i++)
        norm_scale(y + group_at(f, i), x + group_at(f, i), stat[2 * i], stat[2 * i + 1], f);
}

/* The averages are sums in LANES parts, as in lib/gemm.h, which compilers turn into vectors. */
static void norm_some_gradient(real *dx, const real *dy, const real *x, const real *stat,
                               const Norm *f, int first, int count) {
    int C = f->channels;
    real dh_lane[TOGETHER][LANES] = {{0}}, dhh_lane[TOGETHER][LANES] = {{0}}, dh_avg[TOGETHER],
         dhh_avg[TOGETHER];
    for (int i = 0; i < count; i++) {
        const real *x_i = x + group_at(f, first + i), *dy_i = dy + group_at(f, first + i);
        real mean = stat[2 * (first + i)], r = stat[2 * (first + i) + 1];
        for (int c = 0; c < C; c += LANES)
            for (int l = 0, width = C - c < LANES ? C - c : LANES; l < width; l++) {
                real dh = dy_i[c + l] * f->g[c + l], h = (x_i[c + l] - mean) * r;
                dh_lane[i][l] += dh;
                dhh_lane[i][l] += dh * h;
            }
    }
    lanes_totals(dh_avg, dh_lane);
    lanes_totals(dhh_avg, dhh_lane);
    for (int i = 0; i < count; i++) {
        const real *x_i = x + group_at(f, first + i), *dy_i = dy + group_at(f, first + i);
        real *dx_i = dx + group_at(f, first + i);
        real mean = stat[2 * (first + i)], r = stat[2 * (first + i) + 1];
        real dh_mean = f->b ? dh_avg[i] / (real)C : 0, dhh_mean = dhh_avg[i] / (real)C;
        for (int c = 0; c < C; c++) {
            real dh = dy_i[c] * f->g[c], h = (x_i[c] - mean) * r;
            dx_i[c] += r * (dh - dh_mean - h * dhh_mean);
        }
    }
}

void norm_input_gradient(real *dx, const real *dy, const real *x, const real *stat, const Norm *f,
                         int N) {
    int groups = N * f->groups;
#pragma omp parallel for if ((long)N * f->groups * f->channels > PARALLEL_FROM)
    for (int i = 0; i < groups; i += TOGETHER)
        norm_some_gradient(dx, dy, x, stat, f, i, groups - i < TOGETHER ? groups - i : TOGETHER);
}

/* ---- activations ---- */

#define GELU_S ((real)0.7978845608028654)
#define GELU_A ((real)0.044715)

void gelu_forward(real *y, const real *x, size_t count) {
#pragma omp parallel for if (count > PARALLEL_FROM)
    for (size_t i = 0; i < count; i++)
        y[i] = (real)0.5 * x[i] * (1 + real_tanh(GELU_S * (x[i] + GELU_A * x[i] * x[i] * x[i])));
}

void gelu_backward(real *y, real *dx, const real *x, size_t count) {
#pragma omp parallel for if (count > PARALLEL_FROM)
    for (size_t i = 0; i < count; i++) {
        real v = x[i], t = real_tanh(GELU_S * (v + GELU_A * v * v * v));
        dx[i] = y[i] * ((real)0.5 * (1 + t) +
                        (real)0.5 * v * (1 - t * t) * GELU_S * (1 + 3 * GELU_A * v * v));
        y[i] = (real)0.5 * v * (1 + t);
    }
}

void swiglu_forward(real *y, const real *x, int N, int F) {
#pragma omp parallel for if ((long)N * F > PARALLEL_FROM)
    for (int n = 0; n < N; n++) {
        const real *gate = x + (size_t)n * 2 * (size_t)F, *up = gate + F;
        real *y_n = y + (size_t)n * (size_t)F;
        for (int j = 0; j < F; j++) y_n[j] = gate[j] / (1 + real_exp(-gate[j])) * up[j];
    }
}

void swiglu_backward(real *y, real *dx, const real *x, int N, int F) {
#pragma omp parallel for if ((long)N * F > PARALLEL_FROM)
    for (int n = 0; n < N; n++) {
        const real *gate = x + (size_t)n * 2 * (size_t)F, *up = gate + F;
        real *y_n = y + (size_t)n * (size_t)F, *dgate = dx + (size_t)n * 2 * (size_t)F,
             *dup = dgate + F;
        for (int j = 0; j < F; j++) {
            real g = gate[j], e = 1 + real_exp(-g), z = 1 / e, silu = g / e, dy = y_n[j];
            dgate[j] = dy * up[j] * z * (1 + g * (1 - z));
            dup[j] = dy * silu;
            y_n[j] = silu * up[j];
        }
    }
}

/* ---- rotary positions ---- */

double rotary_frequency(const Rotary *f, int d) {
    const Scaling *s = &f->scaling;
    double plain = pow(f->theta, -2.0 * d / f->head_size);
    if (s->kind == SCALING_NONE) return plain;
    double slow = plain / s->factor, turns = s->original * plain / (2 * acos(-1.0));
    if (s->kind == SCALING_LINEAR || turns < s->low) return slow;
    if (turns > s->high) return plain;
    double m = (turns - s->low) / (s->high - s->low);
    return (1 - m) * slow + m * plain;
}

void rotary_table(real *table, const int *position, int N, const Rotary *f) {
    int half = f->head_size / 2;
#pragma omp parallel for if ((long)N * half > PARALLEL_FROM / 8)
    for (int d = 0; d < half; d++) {
        double frequency = rotary_frequency(f, d);
        for (int n = 0; n < N; n++) {
            real *row = table + (size_t)n * (size_t)f->head_size;
            row[d] = (real)cos(position[n] * frequency);
            row[d + half] = (real)sin(position[n] * frequency);
        }
    }
}

void rotary_turn(real *x, const real *table, int N, const Rotary *f, int heads, size_t stride,
                 bool back) {
    int half = f->head_size / 2;
    real sign = back ? -1 : 1;
#pragma omp parallel for if ((long)N * heads * half > PARALLEL_FROM)
    for (int i = 0; i < N * heads; i++) {
        const real *cosine = table + (size_t)(i / heads) * (size_t)f->head_size,
                   *sine = cosine + half;
        real *a = x + (size_t)(i / heads) * stride + (size_t)(i % heads) * (size_t)f->head_size,
             *b = a + half;
        for (int d = 0; d < half; d++) {
            real first = a[d], second = b[d], s = sign * sine[d];
            a[d] = first * cosine[d] - second * s;
            b[d] = second * cosine[d] + first * s;
        }
    }
}
