/* model_config: config.json, which says what a model folder holds.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 2, .channels = 8, .context = 16, .vocab = 32};
 *   Buf text = {0};
 *   if (!config_complete(&shape, &err)) return error_print(&err);
 *   model_config_put(&text, &shape, NO_TOKENS);
 *   puts(text.s);                                  // the file's text
 *   if (!model_config_load(&shape, "base", &err)) error_print(&err); // of base/config.json
 *   buf_free(&text);
 *
 * The families gpt2, llama, qwen2 and qwen3 have their keys in one table, whose rows are members
 * of ModelConfig. A key that would change what the model computes is honoured or refused by name.
 * A key that is null counts as absent, and an absent one means what Hugging Face's class means by
 * it. Dropout is not read: the program trains without it. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "model.h"

/* Members of config.json for a model whose tokens have no special meaning. */
#define NO_TOKENS "\"bos_token_id\": null, \"eos_token_id\": null, \"pad_token_id\": null"

/* Reads the folder's config.json. Status 3 for what it says, also if the folder has none. */
bool model_config_load(ModelConfig *c, const char *folder, Error *err);
/* Appends the text of a config.json. token_keys: members with the ids of bos, eos and pad; without
 * them readers assume their own. */
void model_config_put(Buf *text, const ModelConfig *c, const char *token_keys);

#endif
