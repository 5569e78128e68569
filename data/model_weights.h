/* model_weights: the weights of a model folder, in one file or in several.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 2, .channels = 8, .context = 16, .vocab = 32};
 *   Model *m = model_new(shape, &err), *again;
 *   model_initialize(m, 1);
 *   if (!model_weights_save(m, ".", &err)) return error_print(&err); // ./model.safetensors
 *   again = model_weights_load(&shape, ".", NULL, &err);             // the bits of m
 *   if (!again) return error_print(&err);
 *   model_free(again);
 *   model_free(m);
 *
 * The weights are in model.safetensors. Large models come in several files, shards, with
 * model.safetensors.index.json, which names for each tensor the file that holds it. One file is
 * open at a time, and one tensor is read at a time, so the memory is that of the model.
 *
 * Every tensor of the model's table must be there once, in its shape, of a float type. A tensor
 * that the model has no use for is refused by name: whoever wrote it computes something else with
 * it. The biases of GPT-2's products may be left out, each kind in all layers: they are zeros, as
 * Hugging Face's transformers takes them. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "model.h"

/* A model of this shape with the weights of the folder. Everything is checked before memory is
 * taken for them. What was left out is appended to note, which may be NULL. NULL with err set:
 * status 3 for what a file says, 4 if it cannot be read. */
Model *model_weights_load(const ModelConfig *shape, const char *folder, Buf *note, Error *err);
/* The same with the matrices as bfloat16 (model_allocate_frozen). Refused unless each of their
 * numbers is one exactly. */
Model *model_weights_load_frozen(const ModelConfig *shape, const char *folder, Buf *note,
                                 Error *err);
/* Mixes names and bytes of the files with the weights, each once, into *hash. A folder without
 * any, and an index that is no good, add nothing: that is told where the model is loaded. */
bool model_weights_fingerprint(const char *folder, uint64_t *hash, Error *err);
/* Writes model.safetensors into an existing folder. */
bool model_weights_save(const Model *m, const char *folder, Error *err);

#endif
