/* table: the tensors of a model. What each is for, its names in files, its shape, and its place in
 * the flat buffer of parameters.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig c = {.layers = 1, .heads = 2, .channels = 8, .context = 16, .vocab = 32};
 *   if (!config_complete(&c, &err)) return error_print(&err);
 *   int count;
 *   size_t parameters;
 *   ModelTensor *list = table_make(&c, NULL, &count, &parameters);
 *   // list[0]: "wte.weight", 32 x 8, at 0; list[count - 1] ends at `parameters`
 *   free(list);
 *
 * Names and shapes are Hugging Face's. LoRA trains small matrices instead of the model's own: the
 * table of a LoraConfig lists those, under the names that PEFT gives them. */
#ifndef TABLE_H
#define TABLE_H

#include <stdlib.h> /* free */

#include "lib/lora.h"
#include "lib/shape.h"

/* What each tensor of the model is for. The order is that of the flat buffer; the layers repeat
 * the roles from ROLE_LAYER_FIRST to ROLE_LAYER_LAST. The table has a row for each role,
 * and says which models have it. */
typedef enum {
    ROLE_WTE,   /* embedding of each token; if tied, also the head's matrix */
    ROLE_WPE,   /* embedding of each position */
    ROLE_LN1_G, /* norm before attention: gain and bias */
    ROLE_LN1_B,
    ROLE_QKV_W, /* attention's queries, keys and values, in one tensor or in three */
    ROLE_Q_W,
    ROLE_K_W,
    ROLE_V_W,
    ROLE_QKV_B,
    ROLE_Q_B,
    ROLE_K_B,
    ROLE_V_B,
    ROLE_QN_G, /* norm of each head's queries, and of its keys */
    ROLE_KN_G,
    ROLE_OUT_W, /* attention's output */
    ROLE_OUT_B,
    ROLE_LN2_G, /* norm before the MLP */
    ROLE_LN2_B,
    ROLE_FC_W,   /* the MLP's first product, C to F ("fully connected") */
    ROLE_GATE_W, /* or two of them: the gate, and what it lets through */
    ROLE_UP_W,
    ROLE_FC_B,
    ROLE_GATE_B,
    ROLE_UP_B,
    ROLE_PROJ_W, /* the MLP's second product, F to C ("projection") */
    ROLE_PROJ_B,
    ROLE_LNF_G, /* norm before the head */
    ROLE_LNF_B,
    ROLE_HEAD_W, /* the head's own matrix */
    ROLE_COUNT,
    ROLE_LAYER_FIRST = ROLE_LN1_G,
    ROLE_LAYER_LAST = ROLE_PROJ_B
} TensorRole;

/* One tensor. Model.tensors lists them all. Whatever must know tensors apart walks this list: the
 * files' readers and writers, initialization, weight decay, tests, and dumps. */
typedef struct {
    char name[96]; /* Hugging Face's name; GPT-2's are without "transformer." */
    TensorRole role;
    char adapter; /* 0; of an adapter of this role's matrix 'A' or 'B' */
    int layer;    /* -1 outside of the layers */
    int rank;     /* 1 or 2 */
    int shape[2]; /* matrices of linear layers are [out, in]; GPT-2's are [in, out] (Conv1D) */
    size_t offset, size; /* in elements, inside the flat parameter buffer */
    /* Initialization: normal with deviation std; or if that is 0, uniform in +-bound; or if that is
     * 0, constant. */
    double std, bound, constant;
    bool decay; /* weight decay applies: matrices only */
} ModelTensor;

/* The tensors of a model of a complete configuration, or with `lora` of its adapters, in the order
 * of the flat buffer. The caller frees the list. */
ModelTensor *table_make(const ModelConfig *c, const LoraConfig *lora, int *count,
                        size_t *parameters);

/* Changes the places for a frozen model whose matrices are bfloat16 in a buffer of their own, of
 * `halves` numbers. Returns how many numbers stay real. */
size_t table_split(ModelTensor *list, int count, size_t *halves);
bool tensor_is_half(const ModelTensor *t); /* in such a model */

/* The module of a block's matrix, as "self_attn.q_proj". {NULL, 0}: the family has none of this
 * role, or it is none of a linear layer in a block. */
Str role_module(Family family, TensorRole role);
/* The roles, as bits 1u << role, whose module's last name this is: "q_proj", or GPT-2's "c_proj",
 * which are two. 0: none. */
unsigned roles_named(Family family, Str name);

#endif
