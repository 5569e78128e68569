/* What a model takes, by its table of tensors. */
#include "data/memory.h"

/* The bytes of the numbers of a table. */
static size_t bytes_of(const ModelConfig *c, const LoraConfig *lora, bool frozen) {
    int count;
    size_t numbers, halves = 0;
    ModelTensor *list = table_make(c, lora, &count, &numbers);
    for (int i = 0; frozen && i < count; i++)
        if (tensor_is_half(&list[i])) halves += list[i].size;
    free(list);
    return (numbers - halves) * sizeof(real) + halves * sizeof(uint16_t);
}

Memory memory_of(const MemoryAsked *asked) {
    const ModelConfig *c = &asked->shape;
    Memory m = {.weights = bytes_of(c, NULL, asked->frozen)};
    size_t trained = asked->lora ? bytes_of(c, asked->lora, false) : m.weights;
    WorkspaceShape pass = {c->layers, c->vocab, layer_shape(c)};
    int longest = asked->tokens < c->context ? asked->tokens : c->context;
    if (asked->lora) pass.layer.low = asked->lora->rank;
    m.weights += (size_t)asked->references * trained + (asked->lora ? trained : 0);
    if (asked->trains) m.gradients = trained, m.moments = 2 * trained;
    if (asked->tokens > 0)
        m.activations =
            workspace_need(pass, asked->tokens, longest, asked->trains, asked->recompute);
    m.total = m.weights + m.gradients + m.moments + m.activations;
    return m;
}
