/* model: GPT-2's architecture, exactly, with forward and backward passes written by hand, and
 * AdamW.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 2, .heads = 2, .channels = 16, .context = 32, .vocab = 100};
 *   Model *m = model_new(shape, &err);
 *   model_initialize(m, 1);
 *   const int sequence[] = {5, 17, 42, 7, 99};
 *   Batch batch = {0};
 *   batch_row(&batch, sequence, 5, 2, NULL);          // tokens 2, 3 and 4 are the response
 *   Workspace *ws = workspace_new();
 *   real *grad = mem_new(m->parameters, sizeof(real));
 *   double logp, dlogp = -1.0 / 3;                    // of the loss l = -logp / n_y, E10
 *   model_forward_backward(m, ws, &batch, &dlogp, &logp, grad, false);
 *   Optimizer *o = optimizer_new(m, 0.9, 0.999, 0.01);
 *   optimizer_step(o, m, grad, fmin(1, 1 / gradient_norm(m, grad)), 1e-3);
 *   optimizer_free(o);
 *   free(grad);
 *   workspace_free(ws);
 *   batch_free(&batch);
 *   model_free(m);
 *
 * A row is one sequence of tokens, and a Batch is a list of rows that run together. The tokens of
 * a row whose probability counts are scored; here they are the response. Rows differ in length
 * and may start after a cached Prefix (lib/fast/rows.h). A Workspace is the memory of a pass
 * (lib/fast/workspace.h).
 *
 * The seam. Every objective and every score of this project is a scalar function of the
 * log-likelihoods of rows. So this file offers one pair: the log-likelihood of each row's
 * response, and its backward pass given d loss / d logp for each row. E10, E13 and E14 are
 * equations of README.md.
 *
 * Letters: N tokens of the batch, C channels, H heads, D = C / H channels of a head, F = 4 C
 * channels inside the MLP, T context (the most positions of a row), V vocabulary, L layers.
 * Matrices are row-major. `real` is float; builds with -DREAL_DOUBLE make it double. Functions
 * use the threads that lib/threads.h gives. Results have the same bits for any number of
 * threads. The caller owns, and frees, what a function named _new, _after or _copy returns. Other
 * pointers are borrowed. */
#ifndef MODEL_H
#define MODEL_H

#include <math.h>
#include <stdlib.h>

#include "lib/fast/attention.h"
#include "lib/fast/inner.h"
#include "lib/fast/logits.h"
#include "lib/fast/rows.h"
#include "lib/fast/workspace.h"
#include "lib/adamw.h"
#include "lib/table.h"
#include "lib/util.h"

/* ---- parameters ---- */

/* A layer is data: pointers and sizes. The pointers go into one flat buffer with the table's
 * layout. It holds the parameters, their gradients, or a direction in the parameters' space, with
 * which model_gradient_dots multiplies gradients. */
typedef struct {
    real *w;
    const uint16_t *half; /* w in bfloat16, of a frozen model; then w is NULL */
    real *b;              /* NULL: none */
    int in, out;
    size_t step_in, step_out;  /* in w: from an input to the next, and from an output to the next */
    Adapter adapter[ADAPTERS]; /* beside w (lib/lora.h); a NULL: none */
} Linear;                      /* y = x w + b; w [out][in], or of GPT-2 [in][out]; b [out] */

typedef struct {
    Norm ln1;
    Linear qkv, out; /* attention's two products */
    Norm qn, kn;     /* of each head's queries and keys; without one, g is NULL */
    Norm ln2;
    Linear fc, proj; /* the MLP's two products */
} Layer;

typedef struct {
    real *wte; /* [V][C] token embeddings */
    const uint16_t *wte_half;
    real *wpe;    /* [T][C] position embeddings; with rotary ones, NULL */
    Layer *layer; /* [L] */
    Norm lnf;
    real *head; /* [V][C] the head's matrix; if tied, wte */
    const uint16_t *head_half;
} ModelView;

/* What can be trained is `tensors`, with their numbers in `w`. That is all of the model, or with a
 * base the adapters alone. The matrices beside which they stand are the base's, which stays as it
 * is. Gradients and the optimizer's means have the layout of w in both cases. */
typedef struct Model Model;
struct Model {
    ModelConfig config; /* what a model file says */
    LayerShape shape;   /* what follows from it: the sizes of every layer */
    int tensor_count;
    ModelTensor *tensors; /* [tensor_count] */
    size_t parameters;    /* number of scalars, all tensors together */
    real *w;              /* [parameters] */
    uint16_t *half;       /* NULL, or [halves] of them as bfloat16; then w has the others */
    size_t halves;
    ModelView view;    /* of w, and of the base's */
    const Model *base; /* NULL, or the model that the adapters change; borrowed */
    LoraConfig lora;   /* with a base */
};

/* A model with zero weights. On a bad shape (status 3) NULL with err set. */
Model *model_new(ModelConfig config, Error *err);
/* The same in two steps, for a caller that must check the table of tensors before the weights take
 * memory. model_shape makes a model without weights, model_allocate adds them. */
Model *model_shape(ModelConfig config, Error *err);
void model_allocate(Model *m);
/* The same for a model that is never trained itself: its matrices are bfloat16, in half the memory.
 * What it computes has the bits of the same numbers as real ones. It has no gradient of its own,
 * but may be the base of adapters. In naive builds the matrices stay real numbers. */
void model_allocate_frozen(Model *m);
/* GPT-2's initialization: N(0, 0.02), residual outputs N(0, 0.02 / sqrt(2 L)), biases 0, gains
 * 1. */
void model_initialize(Model *m, uint64_t seed);
Model *model_copy(const Model *m); /* of adapters: beside the same base */
void model_free(Model *m);         /* NULL is fine */
/* The view of any flat buffer with the model's layout (a gradient, say); free it with
 * model_view_free. */
ModelView model_view(const Model *m, real *flat);
void model_view_free(ModelView *v);

/* Adapters beside the matrices of a base that has none itself (lib/lora.h). The base outlives them
 * and is not changed; it is also the model with its adapters switched off. All numbers are 0:
 * model_initialize makes them a start that computes what the base does, bit for bit. On a bad
 * configuration, or without a target, NULL with status 3. */
Model *model_lora(const Model *base, LoraConfig config, Error *err);
/* Adds the adapters' products s B A to the matrices of `into`: the base or a copy of it. */
void model_merge(const Model *m, Model *into);

/* An empty prefix for this model's current weights, with room for `capacity` positions of its
 * own; capacity <= T. */
Prefix *prefix_new(const Model *m, int capacity);
/* The same for positions that follow those of a parent (NULL: none). parent->length + capacity
 * <= T. */
Prefix *prefix_after(const Model *m, const Prefix *parent, int capacity);

/* ---- forward and backward ---- */

/* Allocates now for forward passes of up to `tokens` tokens, instead of growing step by step. The
 * other functions of a Workspace are in lib/fast/workspace.h. */
void workspace_reserve(Workspace *ws, const Model *m, int tokens);

/* logp[rows]: the sum over a row's scored tokens of weight x log p(target | all before).
 * hits[rows] (or NULL): for how many of them the target is the most probable token. With keep,
 * model_backward or model_gradient_dots of the same batch may follow, if threads_most() has not
 * grown since. */
void model_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, double *logp,
                   int *hits);
/* grad[parameters] = sum over rows of dlogp[row] x d logp[row] / d parameters. With `add`, it is
 * added to what grad holds, as for the second part of a batch. The logits take too much memory to
 * be kept, so they are computed again. */
void model_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, real *grad,
                    bool add);
/* Both at once, for losses whose dlogp does not depend on logp (E10): the logits are computed
 * once. */
void model_forward_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                            double *logp, real *grad, bool add);
/* dot[row] = <dlogp[row] x d logp[row] / d parameters, direction>, for every row in one backward
 * pass, without a row's gradient in memory (lib/fast/inner.h). Follows a model_forward with
 * keep, like model_backward. direction [parameters] is only read; it is not const because
 * model_view takes buffers of either kind. */
void model_gradient_dots(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                         real *direction, double *dot);
/* Runs the rows, none scored, and appends their keys and values to their own prefixes (none
 * NULL, all different). */
void model_extend(const Model *m, Workspace *ws, const Batch *b);
/* [tokens][C]: what the head would read of every token, the output of the last norm. It belongs to
 * the workspace and is valid until its next pass. */
const real *model_hidden(const Model *m, Workspace *ws, const Batch *b);
/* After model_extend: the logits[V] that follow the last token of a row. */
void model_logits(const Model *m, Workspace *ws, int row, real *logits);
/* Floating-point operations of one forward pass of `tokens` tokens in rows of `length`, of which
 * `scored` are scored. Forward and backward together take three times that. */
double model_flops(const Model *m, double tokens, double length, double scored);
double batch_flops(const Model *m,
                   const Batch *b); /* of one forward pass of this batch, after its prefixes */

/* ---- the plain twins ---- */

/* lib/fast/ has faster versions of these functions, their twins, with the same signatures and the
 * same meaning. The plain ones are the chapter's text. `make naive` runs the entire program on
 * them. Every build has both, so that tests can compare them. */
void attention_forward_plain(const Attention *a, real *out, const real *qkv);
void attention_backward_plain(const Attention *a, real *dqkv, const real *dout, const real *qkv);
void logits_pass_plain(Logits *x, bool forward, const GradientTarget *to);
void model_gradient_dots_plain(const Model *m, Workspace *ws, const Batch *b, const double *dlogp,
                               const real *direction, double *dot);

/* ---- AdamW ---- */

Optimizer *optimizer_new(const Model *m, double beta1, double beta2, double weight_decay);
/* The Euclidean norm of a flat gradient: fixed chunks in double, so the same bits for any number
 * of threads. */
double gradient_norm(const Model *m, const real *grad);
/* One step with the gradient times `scale` (clipping: min(1, max_norm / norm)). */
void optimizer_step(Optimizer *o, Model *m, const real *grad, double scale, double learning_rate);

#endif
