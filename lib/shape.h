/* shape: the sizes of a model. What its file says, and what follows from it.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig c = {.layers = 2, .heads = 4, .channels = 32, .context = 64, .vocab = 100,
 *                    .family = FAMILY_LLAMA, .kv_heads = 2};
 *   if (!config_complete(&c, &err)) return error_print(&err);
 *   LayerShape s = layer_shape(&c);     // c.head_size = 8, s.qkv = 64, c.inner = 88
 *   (void)s;
 */
#ifndef SHAPE_H
#define SHAPE_H

#include "lib/layers.h"
#include "lib/util.h"

/* The families of models differ in their layers' formulas and in the names of their tensors.
 * GPT-2: layer norm, learned positions, gelu, and biases. Llama: RMS norm, rotary positions, and
 * SwiGLU. Qwen2 is Llama with biases of queries, keys and values. Qwen3 is Llama with a norm of
 * each head's queries and keys. */
typedef enum { FAMILY_GPT2, FAMILY_LLAMA, FAMILY_QWEN2, FAMILY_QWEN3, FAMILY_COUNT } Family;
/* "gpt2", "llama", "qwen2", "qwen3": what Hugging Face calls a model_type. */
const char *family_name(Family family);

/* What a model file says. Five numbers make a GPT-2. The members below them may be 0, which means
 * what the comment says; Model.config has the meaning in place of the 0. */
typedef struct {
    int layers, heads, channels, context, vocab;
    Family family;
    int kv_heads;    /* heads of keys and values, each for heads / kv_heads queries; 0: heads */
    int head_size;   /* channels of a head; 0: channels / heads */
    int inner;       /* width inside the MLP; 0: 4 C, or with SwiGLU 8 C / 3 up to a whole 8 */
    double epsilon;  /* inside the norms' square root; 0: GPT-2's 1e-5, else 1e-6 */
    double theta;    /* base of the rotary frequencies; 0: 10,000. GPT-2 has none, and 0 */
    Scaling scaling; /* of these frequencies */
    bool qkv_bias;   /* of queries, keys and values; GPT-2 and Qwen2 always have it */
    bool out_bias;   /* of attention's output; GPT-2 always has it, Qwen2 never */
    bool mlp_bias;   /* of the MLP's products; GPT-2 always has it, Qwen2 and Qwen3 never */
    bool untied;     /* the head has a matrix of its own; else it is the embeddings' */
} ModelConfig;

/* Checks what the caller gives and puts what a 0 means in its place. Doing it twice changes
 * nothing. On false, status 3. */
bool config_complete(ModelConfig *c, Error *err);

/* Numbers that all layers share. */
typedef struct {
    int channels;  /* C, of the residual stream */
    int heads;     /* H, of queries */
    int kv_heads;  /* K, of keys and values: each is read by H / K heads of queries */
    int head_size; /* D */
    int queries;   /* width of a token's queries, H D, and of what attention gives */
    int keys;      /* width of a token's keys, and of its values: K D */
    int qkv;       /* the three together: (H + 2 K) D, in GPT-2 3 C */
    int inner;     /* F, width inside the MLP: in GPT-2 4 C */
    int fc;        /* width of the MLP's first product: F, with a gate 2 F */
    int turn;      /* rotary angles of a token: D; without, 0 */
    int heads_in;  /* width of what attention reads, if it is not qkv as it is; else 0 */
    int low;       /* width between the two matrices of an adapter, its rank; without, 0 */
} LayerShape;

/* Of a complete configuration. */
LayerShape layer_shape(const ModelConfig *c);

#endif
