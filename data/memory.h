/* memory: what a model, its training and a pass take, from its sizes alone: before anything is read
 * or taken.
 *
 * Usage:
 *   Error err = {0};
 *   MemoryAsked asked = {.shape = {.layers = 12, .heads = 12, .channels = 768, .context = 1024,
 *                                  .vocab = 50257},
 *                        .trains = true, .tokens = 4 * 256};
 *   if (!config_complete(&asked.shape, &err)) return error_print(&err);
 *   Memory m = memory_of(&asked);   // m.weights 0.5 GB, m.gradients 0.5 GB, m.moments 1 GB
 *   printf("%.1f GB\n", 1e-9 * (double)m.total);
 *
 * The data comes on top: some tens of bytes a token. */
#ifndef MEMORY_H
#define MEMORY_H

#include "lib/fast/workspace.h"
#include "lib/table.h"

typedef struct {
    ModelConfig shape;      /* complete */
    const LoraConfig *lora; /* adapters; NULL: none */
    bool frozen;            /* the matrices of the model, or of the adapters' base, are bfloat16 */
    bool trains;            /* gradients and moments, and what a backward pass reads */
    int references;         /* further copies of what is trained */
    int tokens;             /* of the largest pass; 0: none */
    bool recompute;
} MemoryAsked;

/* In bytes. */
typedef struct {
    size_t weights; /* of model or base, and of adapters and references */
    size_t gradients, moments, activations, total;
} Memory;

Memory memory_of(const MemoryAsked *asked);

#endif
