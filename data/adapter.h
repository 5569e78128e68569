/* adapter: a folder with LoRA's matrices, as PEFT writes and reads it.
 *
 * | file                      | holds |
 * |---|---|
 * | adapter_config.json       | rank, alpha, which matrices have an adapter, where the base is |
 * | adapter_model.safetensors | A and B of each of them |
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 2, .channels = 8, .context = 16, .vocab = 32};
 *   LoraConfig lora = {.rank = 4, .alpha = 8}, again;
 *   if (!config_complete(&shape, &err)) return error_print(&err);
 *   if (!adapter_targets(&lora.targets, &shape, str("c_attn,mlp.c_proj"), &err))
 *       return error_print(&err);
 *   if (!adapter_config_save(&lora, &shape, "base", ".", &err)) return error_print(&err);
 *   char *base = adapter_base(".", &err); // NULL if there is no such folder
 *   if (base && !adapter_config_load(&again, &shape, ".", &err)) error_print(&err);
 *   free(base);
 *
 * Keys of adapter_config.json that would change what the adapter computes are honoured or refused
 * by name. Only its dropout is not read: the program trains without. */
#ifndef ADAPTER_H
#define ADAPTER_H

#include "lib/table.h"

/* Has the folder an adapter_config.json? */
bool adapter_is(const char *folder);
/* The folder of the adapter's base: base_model_name_or_path as it is if absolute, else from the
 * adapter's folder, else from the current one. The caller frees it. NULL with err set: there is
 * none. */
char *adapter_base(const char *folder, Error *err);

/* The roles that a list of modules names, as "q_proj,v_proj", GPT-2's "mlp.c_proj", or all-linear,
 * every matrix of the blocks. A name that is none of the model's is refused: status 2. */
bool adapter_targets(unsigned *targets, const ModelConfig *base, Str list, Error *err);

/* Reads adapter_config.json for a base of this shape. */
bool adapter_config_load(LoraConfig *lora, const ModelConfig *base, const char *folder, Error *err);
/* Writes it. base_path becomes absolute, if there is such a folder. */
bool adapter_config_save(const LoraConfig *lora, const ModelConfig *base, const char *base_path,
                         const char *folder, Error *err);

/* The adapter's tensors, from or into a buffer with the layout of table_make. */
bool adapter_weights_load(real *w, const ModelTensor *list, int count, const char *folder,
                          Error *err);
bool adapter_weights_save(const real *w, const ModelTensor *list, int count, const char *folder,
                          Error *err);

#endif
