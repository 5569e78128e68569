/* inner: where the gradient of the parameters goes. Into a buffer, or into inner products with a
 * direction.
 *
 * Usage:
 *   const real G[2] = {3, 4}, x[2] = {1, 2}, dy[2] = {10, 1}, zero[1] = {0};
 *   double inner[2] = {0};
 *   real product[2];
 *   GradientTarget to = {.inner = inner, .product = product};
 *   inner_linear(&to, G, 1, 1, zero, dy, 1, x, 2, 1, 1); // two tokens: inner = {30, 6}
 *
 * A layer's backward pass computes, for each token n, what this token adds to the gradient of
 * the layer's parameters. The chapter adds these up. That is the plain meaning of a
 * GradientTarget: `inner` is NULL, and the gradient is written, or with `add` added, to the
 * buffer that the layer is given.
 *
 * E14's scores need something else: for every row its inner product with one fixed direction G,
 * which has the layout of a gradient. The gradient of each row itself is not needed, and it is
 * as large as the model. Here is the trick. The layers are linear in their parameters: y_n =
 * f_n(parameters). So the inner product of token n's gradient with G is
 *
 *     <d (dy_n . f_n) / d parameters, G> = dy_n . f_n(G),
 *
 * the derivative by the output, times the layer's forward pass with G in place of its
 * parameters. For the linear layer, <x_n^T dy_n, G> = dy_n . (x_n G): one product of the same
 * size as the gradient's, for all rows in one backward pass.
 *
 * With `inner` set, each layer hands over to the function below that has its name, the buffer
 * that the layer is given holds G and is only read, and inner[n] grows by token n's share. The
 * caller sums inner over the tokens of a row.
 *
 * Plain twin: model_gradient_dots_plain in model.c, which computes the gradient of each row and
 * multiplies. */
#ifndef INNER_H
#define INNER_H

#include "lib/layers.h"
#include "lib/lora.h"

typedef struct {
    bool add;         /* add to the buffer; else overwrite it */
    double *inner;    /* NULL: plain. Else [tokens], and the buffer is a direction */
    real *product;    /* with inner: scratch for f_n(G), [tokens][the widest layer] */
    const int *token; /* with inner: which token each row of a layer is; NULL: row n is token n */
} GradientTarget;

/* The same target for a layer whose rows are these tokens. */
GradientTarget target_of_tokens(const GradientTarget *to, const int *token);

/* inner[token of row n] += dy_n . product_n; both [N][width], and from a dy_n to the next are
 * `stride` numbers. */
void inner_add(const GradientTarget *to, const real *dy, size_t stride, const real *product, int N,
               int width);
/* One for each kind of layer. The names, shapes and their order are those of the layer's
 * backward function in model.c. b and wpe may be NULL. From a row of w to the next, an input, are
 * step_in numbers; from an output to the next are step_out. From a token's dy to the next are
 * `stride` numbers. */
void inner_linear(const GradientTarget *to, const real *w, size_t step_in, size_t step_out,
                  const real *b, const real *dy, size_t stride, const real *x, int N, int in,
                  int out);
/* G's matrices are a and b of `g`; low [2][N][rank] is scratch. */
void inner_adapter(const GradientTarget *to, const Adapter *g, const real *dy, int wide,
                   const real *x, const Adapter *f, int in, int N, real *low);
void inner_norm(const GradientTarget *to, const Norm *f, const real *dy, const real *x,
                const real *stat, int N);
void inner_embed(const GradientTarget *to, const real *wte, const real *wpe, const real *dx,
                 const int *token, const int *position, int N, int C);

#endif
