/* sums: sums over all tokens or all parameters, in parallel, with the same bits for any number of
 * threads.
 *
 * Usage:
 *   const real x[2][3] = {{1, 2, 3}, {10, 20, 30}};
 *   real sum[3];
 *   sum_columns(sum, x[0], 2, 3, false); // sum = {11, 22, 33}
 *   double squares = sum_squares(sum, 3); // 1694
 *   (void)squares;
 *
 * Rounding makes a sum depend on its order. So each sum here has one fixed order: a thread owns
 * some columns and takes the tokens in order, or owns a chunk of fixed size whose sum it leaves
 * for the others to be added in order. The number of threads decides only who does what.
 *
 * The plain twins are the formulas beside the functions. They would give the same bits in all but
 * sum_squares, so the naive build runs these too.
 */
#ifndef SUMS_H
#define SUMS_H

#include "lib/layers.h"

/* A bias's gradient: to[j] = (to[j] +) sum over n of x[n][j]; x [N][columns]. */
void sum_columns(real *to, const real *x, int N, int columns, bool add);
/* A norm's gradients, over all groups of all rows: df->g[c] = (df->g[c] +) sum of dy[c] * h[c],
 * and df->b[c] = (df->b[c] +) sum of dy[c], where h = (x - mean) * r and stat [N][groups][2] =
 * mean, r. */
void sum_norm(const Norm *df, const real *dy, const real *x, const real *stat, int N, bool add);
/* The embeddings' gradients: dwte[token[n]] += dx[n], dwpe[position[n]] += dx[n]; dx [N][C]. dwpe
 * NULL: there is none. */
void sum_embeddings(real *dwte, real *dwpe, const real *dx, const int *token, const int *position,
                    int N, int C);
/* sum over i of x[i]^2, in double. */
double sum_squares(const real *x, size_t n);

#endif
