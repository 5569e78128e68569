/* workspace: the memory of a pass, carved from one allocation by one table, and the clock of its
 * parts.
 *
 * Usage:
 *   WorkspaceShape shape = {.layers = 2, .vocab = 32,
 *                           .layer = {.channels = 8, .heads = 2, .kv_heads = 2,
 *                                     .head_size = 4, .queries = 8, .keys = 8,
 *                                     .qkv = 24, .inner = 32, .fc = 32}};
 *   Workspace *ws = workspace_new();
 *   workspace_fit(ws, shape, 100, 16, true);        // room for 100 tokens in sequences of 16
 *                                                   // positions, with a backward pass
 *   workspace_kept(ws, 1).qkv[99 * 24 + 23] = 1;    // the last number of layer 1's last token
 *   workspace_free(ws);
 *
 * A backward pass reads what the forward pass computed. A Workspace holds that, and the scratch
 * of both. It has no content that matters between calls; it saves allocating hundreds of
 * megabytes for every batch. One workspace serves one call at a time.
 *
 * There are three ways to use it, by how much the forward pass leaves for the backward pass:
 *
 *     scoring      one layer's arrays, which every layer overwrites: model_extend, model_forward
 *                  without keep
 *     keep         arrays for each layer: model_forward with keep, model_forward_backward
 *     recompute    x for each layer, and one layer's arrays for the rest: the same two, after
 *                  workspace_recompute; the backward pass runs each layer forward again
 *
 * The usual sequence of calls: workspace_new; passes of any model and size; workspace_free. Each
 * forward pass first calls workspace_fit, which allocates anew where the pass needs more: more
 * tokens, another model, the first keep, more threads. It never shrinks while the model stays
 * the same, so a run settles after its largest batch.
 *
 * Three rules keep it right:
 * - A backward pass follows the forward pass of the same batch, and nothing else runs in the
 *   workspace between them.
 * - Strides between layers are of the capacity (ws->tokens). Rows within an array are counted by
 *   the batch's N.
 * - After the last layer's attention, rows are those of the live tokens, packed at the front
 *   (lib/fast/rows.h). So in the last layer, mid, stat2, fc and the output hold map.live rows.
 *
 * To add an array, add a member here and a row to the table in workspace.c. */
#ifndef WORKSPACE_H
#define WORKSPACE_H

#include "lib/fast/logits.h"
#include "lib/fast/rows.h"
#include "lib/progress.h"
#include "lib/shape.h"

typedef struct {
    int layers, vocab;
    LayerShape layer;
} WorkspaceShape;

/* The parts of a pass that the clock tells apart. */
typedef enum {
    PART_EMBEDDING,
    PART_NORM,
    PART_MATMUL,
    PART_ATTENTION,
    PART_GELU,
    PART_CROSS_ENTROPY,
    MODEL_PARTS
} ModelPart;

typedef struct {
    double part_seconds[MODEL_PARTS],
        lap;                      /* time spent in each part; when the running part started */
    int tokens, longest, threads; /* capacity */
    bool keep, recompute;
    Progress *progress; /* hears of rows that were scored; NULL, or the caller's */
    WorkspaceShape shape;
    char *memory;
    size_t bytes;
    RowMap map; /* of the last forward pass's batch; [N] each of its arrays */
    /* One copy per layer with keep. */
    real *x;             /* [L+1][N][C] residual stream before the block; the last: after all */
    real *stat1, *stat2; /* [L][N][2] statistics of the two layer norms */
    real *qkv;           /* [L][N][Q+2KD] queries, keys, values */
    real *soft;          /* [L][N][H][2] softmax: maximum and 1 / sum */
    real *att;           /* [L][N][Q] attention's output, before its projection */
    real *mid;           /* [L][N][C] residual stream between attention and MLP */
    real *fc;            /* [L][N][F] MLP before the activation; with a gate [L][N][2F] */
    /* Shared by all layers. */
    real *normed;  /* [N][C] a layer norm's output */
    real *hidden;  /* [N][F] the activation's output */
    real *turn;    /* [N][D] cosines and sines of a token's rotary angles */
    real *heads;   /* [N][Q+2KD] qkv after the norms of heads; else none, as of the next */
    real *stath;   /* [N][H+K][2] statistics of these norms */
    real *low;     /* [2][N][rank] of an adapter */
    real *dx, *da; /* [N][C]; [N][the larger of C and Q] */
    real *dqkv;    /* [N][Q+2KD] */
    real *dhidden; /* [N][F] or [N][2F], like fc */
    /* The head; rows are live tokens. */
    real *statf;      /* [N][2] statistics of the last layer norm */
    real *h, *dh;     /* [N][C] the last layer norm's output */
    real *logits;     /* lib/fast/logits: some of the logits */
    Softmax *softmax; /* [N] */
    double *term;     /* [N] weight * log p */
    int *hit;         /* [N] is the target the most probable token? */
    real *scratch;    /* lib/fast/attention: [threads][scratch_size] */
    size_t scratch_size;
} Workspace;

Workspace *workspace_new(void);
void workspace_free(Workspace *ws); /* NULL is fine */
/* Makes the workspace large enough for a pass of so many tokens, of sequences of at most `longest`
 * positions. */
void workspace_fit(Workspace *ws, WorkspaceShape shape, int tokens, int longest, bool keep);
size_t workspace_bytes(const Workspace *ws);
/* The bytes that it would take, with the threads of now, without taking them. */
size_t workspace_need(WorkspaceShape shape, int tokens, int longest, bool keep, bool recompute);
/* Keep only each layer's input for the backward pass, which then runs the layers forward once
 * more. The bits are the same; it takes some 28 % of the activations (of GPT-2 124M) and 1.1 to
 * 1.2 times the time. Call it before the first pass. */
void workspace_recompute(Workspace *ws, bool recompute);

/* Layer l's arrays, and where its output goes. What is not kept for each layer is the same
 * memory for all. */
typedef struct {
    real *x, *stat1, *qkv, *soft, *att, *mid, *stat2, *fc, *next;
} Kept;
Kept workspace_kept(const Workspace *ws, int l);

/* Seconds that passes have spent in a part since the workspace was made: what `ica bench` shows. */
double workspace_seconds(const Workspace *ws, ModelPart part);
/* Starts the clock; adds the time since the last call of one of the two to a part. */
void clock_start(Workspace *ws);
void clock_add(Workspace *ws, ModelPart part);

#endif
