/* model: GPT-2's architecture, exactly, with hand-written forward and backward passes, and AdamW.
 *
 *   Model *m = model_load("out/base", &err);                 // data/model_folder.h, or model_new
 *   Workspace *ws = workspace_new();
 *   Batch batch = {0};
 *   batch_row(&batch, tokens, n, first, NULL);              // tokens[first..n-1] are the response: they are scored
 *   double logp, dlogp = -1.0 / (n - first);                // l = -logp / n_y, E10
 *   real *grad = mem_new(m->parameters, sizeof(real));
 *   model_forward_backward(m, ws, &batch, &dlogp, &logp, grad, false);  // grad = d l / d parameters
 *
 * The seam. Every objective and every score of this project is a scalar function of log-likelihoods of rows, so this room
 * offers one pair: the log-likelihood of each row's response, and its backward pass given d loss / d logp for each row.
 *
 * Rows are ragged: they lie end to end, without padding. The products see the total number of tokens N; attention sees where
 * rows begin. A row may attend to a Prefix: cached keys and values of tokens that come before it. The prefix is a constant: no
 * gradient flows into it. A row behind a prefix has the same bits as the whole row computed at once.
 *
 * Letters in this room: N tokens of the batch, C channels, H heads, D = C/H channels a head, T context, V vocabulary, L layers.
 * Matrices are row-major. Functions use the threads that lib/threads.h gives; results have the same bits for any number.
 */
#ifndef MODEL_H
#define MODEL_H

#include "lib/util.h"

/* ---- parameters ---- */

typedef struct { int layers, heads, channels, context, vocab; } ModelConfig;

/* One row of the tensor table: the single list from which files, initialization, weight decay, tests and dumps are made. */
typedef struct {
    char name[48];       /* Hugging Face's name without "transformer." */
    int rank;            /* 1 or 2 */
    int shape[2];        /* matrices of linear layers are [in, out], as Hugging Face's Conv1D has them */
    size_t offset, size; /* in elements, inside the flat parameter buffer */
    double std;          /* initialization: normal with this deviation; 0: all zero; -1: all one */
    bool decay;          /* weight decay applies: matrices only */
} ModelTensor;

/* Pointers into one flat buffer laid out by the table: the parameters, or their gradients. */
typedef struct { real *ln1w, *ln1b, *qkvw, *qkvb, *outw, *outb, *ln2w, *ln2b, *fcw, *fcb, *projw, *projb; } LayerView;
typedef struct { real *wte, *wpe, *lnfw, *lnfb; LayerView *layer; } ModelView;

typedef struct {
    ModelConfig config;
    int tensor_count;
    ModelTensor *tensors; /* [tensor_count] */
    size_t parameters;    /* number of scalars, all tensors together */
    real *w;              /* [parameters] */
    ModelView view;       /* of w */
} Model;

/* A model with zero weights. On a bad shape (status 2 or 3) NULL with err set. */
Model *model_new(ModelConfig config, Error *err);
/* The same in two steps, for who has to look at the table before memory is taken: its table of tensors, then its weights. */
Model *model_shape(ModelConfig config, Error *err);
void model_allocate(Model *m);
/* GPT-2's initialization: N(0, 0.02), residual outputs N(0, 0.02 / sqrt(2 L)), biases 0, layer-norm gains 1. */
void model_initialize(Model *m, uint64_t seed);
Model *model_copy(const Model *m);
void model_free(Model *m); /* NULL is fine */
/* The view of any flat buffer with the model's layout (a gradient, say); free it with model_view_free. */
ModelView model_view(const Model *m, real *flat);
void model_view_free(ModelView *v);

/* ---- prefixes ---- */

/* Keys and values of the first `length` positions of a sequence, for every layer. Made for one model's current weights. Prefixes
 * are a tree: one may begin where another ends, and holds only what it adds. */
typedef struct Prefix Prefix;
struct Prefix {
    const Prefix *parent; /* NULL, or what comes before: borrowed, and neither moved nor changed while this one lives */
    int length, capacity; /* positions, the parent's included; own positions at most */
    real *kv;             /* [L][capacity][2 C]: keys, then values */
};
Prefix *prefix_new(const Model *m, int capacity); /* capacity <= T */
Prefix *prefix_after(const Model *m, const Prefix *parent, int capacity); /* parent->length + capacity <= T; NULL: none */
void prefix_truncate(Prefix *p, int length); /* forget everything from position `length` on, if it is an own one */
void prefix_free(Prefix *p);                      /* NULL is fine */

/* ---- batches ---- */

typedef struct {
    int rows, tokens;
    IntBuf start;    /* [rows + 1] first token of each row */
    IntBuf token;    /* [tokens] inputs */
    IntBuf target;   /* [tokens] the token that follows, or -1 where nothing is scored */
    real *weight;    /* [tokens] factor of this target's log-probability in the row's logp */
    int weight_capacity;
    Prefix **prefix; /* [rows] NULL, or what comes before the row; borrowed */
    int prefix_capacity;
} Batch;

/* Appends a row: sequence[0..n-1], of which the tokens from `first` on are scored, each with weight 1. Behind a prefix, sequence
 * continues it. The last token is only a target, so n - 1 tokens are added: n >= 2, and first >= 1, because nothing predicts the
 * first token. Prefix and row together must fit the model's context. */
void batch_row(Batch *b, const int *sequence, int n, int first, Prefix *prefix);
/* The same with a weight for each token of the sequence; weight 0 is not scored. */
void batch_row_weighted(Batch *b, const int *sequence, int n, const real *weight, Prefix *prefix);
/* Appends a row of which nothing is scored: all n >= 1 tokens are inputs (to extend a prefix, or to generate). */
void batch_row_inputs(Batch *b, const int *sequence, int n, Prefix *prefix);
void batch_clear(Batch *b); /* empty again, memory kept */
void batch_free(Batch *b);

/* ---- forward and backward ---- */

/* Activations and scratch, grown on demand, reused from call to call. One workspace serves one call at a time. */
typedef struct Workspace Workspace;
Workspace *workspace_new(void);
void workspace_free(Workspace *ws);
/* Room for forward passes of so many tokens, at once in place of growing batch by batch. */
void workspace_reserve(Workspace *ws, const Model *m, int tokens);
size_t workspace_bytes(const Workspace *ws);
/* Keep only each layer's input for the backward pass, which then runs the layers forward once more: the same bits, some 28 % of
 * the activations (of GPT-2 124M), 1.1 to 1.2 times the time. Before the first pass, or between whole ones. */
void workspace_recompute(Workspace *ws, bool recompute);
/* Wall time that passes with this workspace have spent in a part since it was made: what `ica bench` shows. */
typedef enum { PART_EMBEDDING, PART_NORM, PART_MATMUL, PART_ATTENTION, PART_GELU, PART_CROSS_ENTROPY, MODEL_PARTS } ModelPart;
double workspace_seconds(const Workspace *ws, ModelPart part);

/* logp[rows]: the sum over a row's scored tokens of weight x log p(target | all before). hits[rows] (or NULL): how many of
 * them are the most probable token. With keep, one model_backward of the same batch may follow (threads_most() no larger). */
void model_forward(const Model *m, Workspace *ws, const Batch *b, bool keep, double *logp, int *hits);
/* grad[parameters] = sum over rows of dlogp[row] x d logp[row] / d parameters; with `add`, that is added to what stands there (the
 * second part of a batch). The logits are computed again. */
void model_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, real *grad, bool add);
/* Both at once, for losses whose dlogp does not depend on logp (E10): the logits are computed once. */
void model_forward_backward(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, double *logp, real *grad,
                            bool add);
/* The gradient of one row's term against a fixed direction, without that gradient: dot[row] = <dlogp[row] x
 * d logp[row] / d parameters, direction>, for every row in one backward pass. Follows a model_forward with keep, like
 * model_backward. direction [parameters] is only read. */
void model_gradient_dots(const Model *m, Workspace *ws, const Batch *b, const double *dlogp, real *direction, double *dot);
/* Runs the rows, none scored, and appends their keys and values to their own prefixes (none NULL, all different). */
void model_extend(const Model *m, Workspace *ws, const Batch *b);
/* After model_extend: the logits[V] that follow the last token of a row. */
void model_logits(const Model *m, Workspace *ws, int row, real *logits);
/* Floating-point operations of one forward pass of `tokens` tokens in rows of `length`, of which `scored` are scored: the others
 * end behind the last layer's keys and values. Forward and backward together are three times that. */
double model_flops(const Model *m, double tokens, double length, double scored);
double batch_flops(const Model *m, const Batch *b); /* of one forward pass of this batch, behind its prefixes */

/* ---- AdamW ---- */

typedef struct {
    real *m, *v; /* [parameters] running means of the gradient and of its square */
    long step;
    double beta1, beta2, epsilon, weight_decay;
} Optimizer;
Optimizer *optimizer_new(const Model *m, double beta1, double beta2, double weight_decay);
void optimizer_free(Optimizer *o);
/* The Euclidean norm of a flat gradient: fixed chunks in double, so the same bits for any number of threads. */
double gradient_norm(const Model *m, const real *grad);
/* One step with the gradient times `scale` (clipping: min(1, max_norm / norm)). */
void optimizer_step(Optimizer *o, Model *m, const real *grad, double scale, double learning_rate);

#endif
