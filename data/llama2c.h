/* llama2c: the .bin files of llama2.c, which hold a Llama, and its tokenizer.
 *
 * Usage:
 *   Error err = {0};
 *   Model *m = llama2c_model("stories260K.bin", &err);
 *   Buf json = {0};
 *   if (!m) error_print(&err);
 *   else if (llama2c_tokenizer("tok512.bin", m->config.vocab, &json, &err)) puts(json.s);
 *   buf_free(&json);
 *   model_free(m);
 *
 * A model of version 0 is seven int32 (channels, width inside the MLP, layers, heads, heads of keys
 * and values, vocabulary, context; a negative vocabulary says that the head is untied), then
 * float32 tensors, each kind over all layers. Version 1 begins with "ak42" and pads its header to
 * 256 bytes. Rotary pairs are neighbors there, and halves of a head here, so the rows of the
 * query's and the key's matrices change places. A tokenizer is the length of the longest token,
 * then for each token a score, its length, and its bytes. */
#ifndef LLAMA2C_H
#define LLAMA2C_H

#include "model.h"

/* NULL with err set: status 3 for what the file says, 4 if it cannot be read. */
Model *llama2c_model(const char *path, Error *err);
/* Appends the text of a tokenizer.json: SentencePiece's BPE with byte fallback, as Hugging Face
 * writes it. The file must have `vocab` tokens. */
bool llama2c_tokenizer(const char *path, int vocab, Buf *json, Error *err);

#endif
