/* naive: the twins of model.c's fast parts, each by its plain definition; `make naive` runs the whole program on them.
 *
 *   naive_attention_forward(m, b, layer, out, qkv);                 // in place of attention by blocks of queries
 *   naive_lm_forward(m, h, target, weight, &term, &hit);            // in place of logits by chunks and blocks of the vocabulary
 *
 * Model.c calls them where it is compiled with -DNAIVE. So do, without a function of their own here: lib/gemm.c (gemm_naive),
 * lib/gemm.h (libm's exp and tanh, sums in plain order) and ica.c (ica_logps_naive: every row whole, no prefix is cached; retrieval
 * that compares with every holdout prompt). What is plain already, layer norm, embeddings, AdamW, the files, has no twin.
 *
 * They keep nothing between the passes: probabilities and logits are computed again. One thread; sums in `real`, in order. The
 * letters are model.h's. Nothing fails; memory is freed before they return; all pointers are borrowed.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include "model.h"

/* out[N][C] = attention of every row's tokens over all before them, a prefix's too; qkv[N][3C] of this layer. */
void naive_attention_forward(const Model *m, const Batch *b, int layer, real *out, const real *qkv);
/* dqkv[N][3C], overwritten, from dout[N][C]; the prefix is a constant. */
void naive_attention_backward(const Model *m, const Batch *b, int layer, real *dqkv, const real *dout, const real *qkv);

/* One scored token with hidden state h[C]: term = weight x log p(target), hit = is it the first of the most probable tokens? */
void naive_lm_forward(const Model *m, const real *h, int target, double weight, double *term, int *hit);
/* dh[C], overwritten, and dwte[V][C] += for factor = d loss / d log p(target). */
void naive_lm_backward(const Model *m, const real *h, int target, real factor, real *dh, real *dwte);

/* [E14] as it is written: each row's whole gradient, and its inner product with the direction. */
void naive_gradient_dots(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, const real *direction, double *dot);

#endif
