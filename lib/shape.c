/* The sizes of a model. */
#include "lib/shape.h"

const char *family_name(Family family) {
    static const char *const names[] = {[FAMILY_GPT2] = "gpt2",
                                        [FAMILY_LLAMA] = "llama",
                                        [FAMILY_QWEN2] = "qwen2",
                                        [FAMILY_QWEN3] = "qwen3"};
    _Static_assert(sizeof names / sizeof *names == FAMILY_COUNT, "each family has a name");
    return names[family];
}

/* Are the sizes that a caller gives within limits? Those that may be 0 are. */
static bool config_check(const ModelConfig *c, Error *err) {
    const struct {
        const char *name;
        int value, least, most;
    } limits[] = {{"layers", c->layers, 1, 1000},        {"heads", c->heads, 1, 10000},
                  {"channels", c->channels, 1, 100000},  {"context", c->context, 1, 1 << 20},
                  {"vocabulary", c->vocab, 1, 1 << 24},  {"key/value heads", c->kv_heads, 0, 10000},
                  {"head size", c->head_size, 0, 10000}, {"inner channels", c->inner, 0, 1000000}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        if (limits[i].value < limits[i].least || limits[i].value > limits[i].most)
            return error_set(err, STATUS_DATA, "%s is %d; it must be between %d and %d",
                             limits[i].name, limits[i].value, limits[i].least, limits[i].most);
    if (c->head_size == 0 && c->channels % c->heads != 0)
        return error_set(err, STATUS_DATA,
                         "%d channels cannot be split into %d heads; make channels a multiple of "
                         "heads",
                         c->channels, c->heads);
    return true;
}

/* Puts what a 0 means in its place. */
static void config_fill(ModelConfig *c) {
    bool gpt2 = c->family == FAMILY_GPT2;
    if (c->kv_heads == 0) c->kv_heads = c->heads;
    if (c->head_size == 0) c->head_size = c->channels / c->heads;
    if (c->inner == 0) c->inner = gpt2 ? 4 * c->channels : (8 * c->channels + 23) / 24 * 8;
    if (c->epsilon == 0) c->epsilon = gpt2 ? 1e-5 : 1e-6;
    if (c->theta == 0 && !gpt2) c->theta = 10000;
    if (gpt2 || c->family == FAMILY_QWEN2) c->qkv_bias = true;
    if (gpt2) c->out_bias = c->mlp_bias = true;
}

/* Do the sizes fit each other? */
static bool config_fits(const ModelConfig *c, Error *err) {
    if (c->heads % c->kv_heads != 0)
        return error_set(err, STATUS_DATA,
                         "%d heads cannot share %d heads of keys and values; make heads a multiple",
                         c->heads, c->kv_heads);
    if (c->family != FAMILY_GPT2 && c->head_size % 2 != 0)
        return error_set(err, STATUS_DATA,
                         "a head has %d channels; rotary positions turn pairs, so make it even",
                         c->head_size);
    if (c->family == FAMILY_GPT2 &&
        (c->kv_heads != c->heads || c->heads * c->head_size != c->channels))
        return error_set(err, STATUS_DATA,
                         "GPT-2 has a head of keys and values for each head, and heads x head size "
                         "is its channels; choose another family");
    return true;
}

bool config_complete(ModelConfig *c, Error *err) {
    if (!config_check(c, err)) return false;
    config_fill(c);
    return config_fits(c, err);
}

LayerShape layer_shape(const ModelConfig *c) {
    int queries = c->heads * c->head_size, keys = c->kv_heads * c->head_size;
    return (LayerShape){.channels = c->channels,
                        .heads = c->heads,
                        .kv_heads = c->kv_heads,
                        .head_size = c->head_size,
                        .queries = queries,
                        .keys = keys,
                        .qkv = queries + 2 * keys,
                        .inner = c->inner,
                        .fc = c->family == FAMILY_GPT2 ? c->inner : 2 * c->inner,
                        .turn = c->family == FAMILY_GPT2 ? 0 : c->head_size,
                        .heads_in = c->family == FAMILY_QWEN3 ? queries + 2 * keys : 0};
}
