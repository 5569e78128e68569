/* The tensors of a model. */
#include "lib/table.h"

#include <math.h>
#include <string.h>

/* A row has the tensor's names in files of both kinds (NULL: those models have none), which models
 * have it, its dimensions (a vector has one; a matrix is [out, in], and GPT-2's layers turn that),
 * and its initialization. */

typedef enum { NONE, VOCAB, CONTEXT, CHANNELS, QUERIES, KEYS, QKV, HEAD, INNER, DIMS } Dim;
typedef enum { INIT_ZERO, INIT_ONE, INIT_NORMAL, INIT_RESIDUAL } Init;
typedef enum { ALWAYS, QKV_BIAS, OUT_BIAS, MLP_BIAS, HEAD_NORM, UNTIED, CASES } Case;

static const struct {
    const char *gpt2, *llama;
    Case only;
    Dim rows, columns;
    Init init;
} TABLE[] = {
    [ROLE_WTE] = {"wte.weight", "model.embed_tokens.weight", ALWAYS, VOCAB, CHANNELS, INIT_NORMAL},
    [ROLE_WPE] = {"wpe.weight", NULL, ALWAYS, CONTEXT, CHANNELS, INIT_NORMAL},
    [ROLE_LN1_G] = {"ln_1.weight", "input_layernorm.weight", ALWAYS, CHANNELS, NONE, INIT_ONE},
    [ROLE_LN1_B] = {"ln_1.bias", NULL, ALWAYS, CHANNELS, NONE, INIT_ZERO},
    [ROLE_QKV_W] = {"attn.c_attn.weight", NULL, ALWAYS, QKV, CHANNELS, INIT_NORMAL},
    [ROLE_Q_W] = {NULL, "self_attn.q_proj.weight", ALWAYS, QUERIES, CHANNELS, INIT_NORMAL},
    [ROLE_K_W] = {NULL, "self_attn.k_proj.weight", ALWAYS, KEYS, CHANNELS, INIT_NORMAL},
    [ROLE_V_W] = {NULL, "self_attn.v_proj.weight", ALWAYS, KEYS, CHANNELS, INIT_NORMAL},
    [ROLE_QKV_B] = {"attn.c_attn.bias", NULL, QKV_BIAS, QKV, NONE, INIT_ZERO},
    [ROLE_Q_B] = {NULL, "self_attn.q_proj.bias", QKV_BIAS, QUERIES, NONE, INIT_ZERO},
    [ROLE_K_B] = {NULL, "self_attn.k_proj.bias", QKV_BIAS, KEYS, NONE, INIT_ZERO},
    [ROLE_V_B] = {NULL, "self_attn.v_proj.bias", QKV_BIAS, KEYS, NONE, INIT_ZERO},
    [ROLE_QN_G] = {NULL, "self_attn.q_norm.weight", HEAD_NORM, HEAD, NONE, INIT_ONE},
    [ROLE_KN_G] = {NULL, "self_attn.k_norm.weight", HEAD_NORM, HEAD, NONE, INIT_ONE},
    [ROLE_OUT_W] = {"attn.c_proj.weight", "self_attn.o_proj.weight", ALWAYS, CHANNELS, QUERIES,
                    INIT_RESIDUAL},
    [ROLE_OUT_B] = {"attn.c_proj.bias", "self_attn.o_proj.bias", OUT_BIAS, CHANNELS, NONE,
                    INIT_ZERO},
    [ROLE_LN2_G] = {"ln_2.weight", "post_attention_layernorm.weight", ALWAYS, CHANNELS, NONE,
                    INIT_ONE},
    [ROLE_LN2_B] = {"ln_2.bias", NULL, ALWAYS, CHANNELS, NONE, INIT_ZERO},
    [ROLE_FC_W] = {"mlp.c_fc.weight", NULL, ALWAYS, INNER, CHANNELS, INIT_NORMAL},
    [ROLE_GATE_W] = {NULL, "mlp.gate_proj.weight", ALWAYS, INNER, CHANNELS, INIT_NORMAL},
    [ROLE_UP_W] = {NULL, "mlp.up_proj.weight", ALWAYS, INNER, CHANNELS, INIT_NORMAL},
    [ROLE_FC_B] = {"mlp.c_fc.bias", NULL, MLP_BIAS, INNER, NONE, INIT_ZERO},
    [ROLE_GATE_B] = {NULL, "mlp.gate_proj.bias", MLP_BIAS, INNER, NONE, INIT_ZERO},
    [ROLE_UP_B] = {NULL, "mlp.up_proj.bias", MLP_BIAS, INNER, NONE, INIT_ZERO},
    [ROLE_PROJ_W] = {"mlp.c_proj.weight", "mlp.down_proj.weight", ALWAYS, CHANNELS, INNER,
                     INIT_RESIDUAL},
    [ROLE_PROJ_B] = {"mlp.c_proj.bias", "mlp.down_proj.bias", MLP_BIAS, CHANNELS, NONE, INIT_ZERO},
    [ROLE_LNF_G] = {"ln_f.weight", "model.norm.weight", ALWAYS, CHANNELS, NONE, INIT_ONE},
    [ROLE_LNF_B] = {"ln_f.bias", NULL, ALWAYS, CHANNELS, NONE, INIT_ZERO},
    [ROLE_HEAD_W] = {"lm_head.weight", "lm_head.weight", UNTIED, VOCAB, CHANNELS, INIT_NORMAL},
};
_Static_assert(sizeof TABLE / sizeof *TABLE == ROLE_COUNT, "the table has a row for each role");
_Static_assert(ROLE_LAYER_FIRST < ROLE_LAYER_LAST && ROLE_LAYER_LAST < ROLE_COUNT,
               "the layers' roles follow each other");
_Static_assert(ROLE_COUNT <= 32, "a role is a bit of a mask");

static const char *name_of(Family family, TensorRole role) {
    return family == FAMILY_GPT2 ? TABLE[role].gpt2 : TABLE[role].llama;
}

/* ---- one tensor ---- */

/* The list as it grows. */
typedef struct {
    const ModelConfig *config;
    const LoraConfig *lora;
    LayerShape shape;
    ModelTensor *list;
    int count;
    size_t parameters;
} Table;

static int dim_size(const Table *x, Dim dim) {
    const LayerShape *s = &x->shape;
    const int size[DIMS] = {[VOCAB] = x->config->vocab, [CONTEXT] = x->config->context,
                            [CHANNELS] = s->channels,   [QUERIES] = s->queries,
                            [KEYS] = s->keys,           [QKV] = s->qkv,
                            [HEAD] = s->head_size,      [INNER] = s->inner};
    return size[dim];
}

/* Does the model have the tensor of this role? */
static bool has_role(const ModelConfig *c, TensorRole role) {
    const bool is[CASES] = {[ALWAYS] = true,
                            [QKV_BIAS] = c->qkv_bias,
                            [OUT_BIAS] = c->out_bias,
                            [MLP_BIAS] = c->mlp_bias,
                            [HEAD_NORM] = c->family == FAMILY_QWEN3,
                            [UNTIED] = c->untied};
    return name_of(c->family, role) && is[TABLE[role].only];
}

/* GPT-2's 2 L products that add to the residual stream begin smaller, by 1 / sqrt(2 L). This keeps
 * the stream's variance from growing with L. */
static double init_std(const ModelConfig *c, Init init) {
    if (init == INIT_RESIDUAL && c->family == FAMILY_GPT2) return 0.02 / sqrt(2.0 * c->layers);
    return init >= INIT_NORMAL ? 0.02 : 0;
}

/* Appends a tensor, which has its role, layer, name and shape. */
static ModelTensor *table_add(Table *x, ModelTensor t) {
    t.rank = t.shape[1] > 0 ? 2 : 1;
    t.size = mem_mul((size_t)t.shape[0], t.rank == 2 ? (size_t)t.shape[1] : 1);
    t.offset = x->parameters;
    t.decay = t.rank == 2;
    x->parameters += t.size;
    x->list[x->count] = t;
    return &x->list[x->count++];
}

/* Appends A [rank, in] and B [out, rank] of a matrix. A begins as PyTorch's linear layers do, and B
 * with zeros: the start is the base. */
static void add_adapter(Table *x, const ModelTensor *of, int in, int out) {
    ModelTensor a = {.role = of->role, .layer = of->layer, .adapter = 'A'}, b = a;
    int module = (int)(strlen(of->name) - strlen(".weight"));
    const char *start = x->config->family == FAMILY_GPT2 ? "transformer." : "";
    snprintf(a.name, sizeof a.name, "base_model.model.%s%.*s.lora_A.weight", start, module,
             of->name);
    snprintf(b.name, sizeof b.name, "base_model.model.%s%.*s.lora_B.weight", start, module,
             of->name);
    a.shape[0] = b.shape[1] = x->lora->rank;
    a.shape[1] = in, b.shape[0] = out;
    a.bound = 1 / sqrt((double)in);
    b.adapter = 'B';
    table_add(x, a);
    table_add(x, b);
}

/* Appends the tensor of a role, or its adapter, if the model has it; layer -1: outside of the
 * layers. */
static void add_role(Table *x, TensorRole role, int layer) {
    const ModelConfig *c = x->config;
    if (!has_role(c, role)) return;
    ModelTensor t = {.role = role, .layer = layer};
    const char *name = name_of(c->family, role),
               *layers = c->family == FAMILY_GPT2 ? "h" : "model.layers";
    if (layer < 0) snprintf(t.name, sizeof t.name, "%s", name);
    else snprintf(t.name, sizeof t.name, "%s.%d.%s", layers, layer, name);
    int rows = dim_size(x, TABLE[role].rows), columns = dim_size(x, TABLE[role].columns);
    bool turned = layer >= 0 && columns > 0 && c->family == FAMILY_GPT2;
    t.shape[turned] = rows;
    t.shape[!turned] = columns;
    t.std = init_std(c, TABLE[role].init);
    t.constant = TABLE[role].init == INIT_ONE;
    if (!x->lora) table_add(x, t);
    else if (role_module(c->family, role).s && x->lora->targets & 1u << role)
        add_adapter(x, &t, columns, rows);
}

/* ---- all of them ---- */

ModelTensor *table_make(const ModelConfig *c, const LoraConfig *lora, int *count,
                        size_t *parameters) {
    enum { IN_A_LAYER = ROLE_LAYER_LAST - ROLE_LAYER_FIRST + 1 };
    size_t most = (size_t)(ROLE_COUNT - IN_A_LAYER + IN_A_LAYER * c->layers);
    Table x = {.config = c, .lora = lora, .shape = layer_shape(c)};
    x.list = mem_new(lora ? 2 * most : most, sizeof *x.list);
    for (int role = 0; role < ROLE_LAYER_FIRST; role++) add_role(&x, (TensorRole)role, -1);
    for (int l = 0; l < c->layers; l++)
        for (int role = ROLE_LAYER_FIRST; role <= ROLE_LAYER_LAST; role++)
            add_role(&x, (TensorRole)role, l);
    for (int role = ROLE_LAYER_LAST + 1; role < ROLE_COUNT; role++)
        add_role(&x, (TensorRole)role, -1);
    *count = x.count;
    *parameters = x.parameters;
    return x.list;
}

/* Positions are added one by one, so they stay as they are. */
bool tensor_is_half(const ModelTensor *t) { return t->rank == 2 && t->role != ROLE_WPE; }

size_t table_split(ModelTensor *list, int count, size_t *halves) {
    size_t reals = 0;
    *halves = 0;
    for (int i = 0; i < count; i++) {
        size_t *at = tensor_is_half(&list[i]) ? halves : &reals;
        list[i].offset = *at;
        *at += list[i].size;
    }
    return reals;
}

/* ---- names of modules ---- */

Str role_module(Family family, TensorRole role) {
    const char *name = name_of(family, role);
    bool is_matrix =
        role >= ROLE_LAYER_FIRST && role <= ROLE_LAYER_LAST && TABLE[role].columns != NONE;
    if (!name || !is_matrix) return (Str){NULL, 0};
    return (Str){name, strlen(name) - strlen(".weight")};
}

unsigned roles_named(Family family, Str name) {
    unsigned roles = 0;
    for (int role = 0; role < ROLE_COUNT; role++) {
        Str module = role_module(family, (TensorRole)role);
        if (module.n > name.n && module.s[module.n - name.n - 1] == '.' &&
            memcmp(module.s + module.n - name.n, name.s, name.n) == 0)
            roles |= 1u << role;
    }
    return roles;
}
