/* model_folder: a model on disk, as one folder in Hugging Face's GPT-2 form. This file reads and
 * writes all of it.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 2, .channels = 8, .context = 16, .vocab = 32};
 *   ModelFolder f = {.model = model_new(shape, &err)}, again;
 *   model_initialize(f.model, 1);
 *   if (!model_folder_save(&f, "example", &err)) return error_print(&err);
 *   if (!model_folder_load(&again, "example", &err)) return error_print(&err);
 *   model_folder_free(&again); // again.model has the bits of f.model
 *   model_folder_free(&f);
 *
 * | file                     | holds |
 * |---|---|
 * | config.json              | the shape of the model: ModelConfig |
 * | model.safetensors        | the weights, one tensor for each row of the model's table |
 * | vocab.json, merges.txt   | the tokenizer; if both are missing, data must carry input_ids |
 * | tokenizer_config.json    | the tokenizer's special tokens; the template as a chat_template |
 * | template.json            | the text around prompts and answers |
 * | generation_config.json   | for Hugging Face's generate: where an answer ends |
 *
 * A folder of adapters (data/adapter.h) has adapter_config.json and adapter_model.safetensors in
 * place of the first two, which its base has, in another folder. What else it lacks is the base's.
 *
 * A key of config.json that would change what the model computes is honoured or refused, never
 * ignored. Errors name the file: status 3 for what a file says, 4 if it cannot be read or
 * written. */
#ifndef MODEL_FOLDER_H
#define MODEL_FOLDER_H

#include "data/template.h"
#include "model.h"
#include "tokenizer.h"

/* A model with its tokenizer and template. */
typedef struct {
    Model *model;
    Model *base;          /* of the model's adapters; NULL: it has none */
    char *base_path;      /* the base's folder */
    Tokenizer *tokenizer; /* NULL if the folder has no vocabulary */
    Template template;    /* meaningless without a tokenizer, like bos */
    int *bos;             /* [bos_n] the tokens at the start of every row */
    int bos_n;
    char *note; /* what a template was taken for, and what the weights lack; NULL: nothing */
    /* What other programs want, carried from the folder to those that are saved. NULL: nothing. */
    char *generation_config; /* the text of generation_config.json */
    char *ids[3];            /* config.json's ids of bos, eos and pad as JSON; eos may be a list */
} ModelFolder;

/* Loads everything in the folder. On false nothing needs freeing. */
bool model_folder_load(ModelFolder *f, const char *path, Error *err);
/* The same, with another template than the folder's: what --template says. NULL: the folder's.
 * frozen: the matrices of the model, or of the base of adapters, stay bfloat16. */
bool model_folder_load_as(ModelFolder *f, const char *path, const char *template, bool frozen,
                          Error *err);
/* Loads only tokenizer and template, into an f that was zeroed. The caller adds the model. */
bool model_folder_load_tokenizer(ModelFolder *f, const char *path, const char *template,
                                 Error *err);
/* Writes everything that f has, each file atomically, and makes the folder if it is missing. The
 * weights come last, so a folder with model.safetensors is whole, and one of adapters with
 * adapter_model.safetensors. */
bool model_folder_save(const ModelFolder *f, const char *path, Error *err);
void model_folder_free(ModelFolder *f); /* also the model, its base and the tokenizer */

/* Puts new adapters beside the model, which becomes their base. `path` is its folder. What the
 * model computes stays the same bits. */
bool model_folder_adapt(ModelFolder *f, const char *path, const LoraConfig *lora, uint64_t seed,
                        Error *err);
/* Makes one model of the base and its adapters. */
void model_folder_merge(ModelFolder *f);

/* config.json and model.safetensors alone. model_load returns NULL with err set; model_save
 * needs an existing folder. */
Model *model_load(const char *path, Error *err);
bool model_save(const Model *m, const char *path, Error *err);
/* The same for a model like f's, such as a reference. Adapters stand beside f's base, and must be
 * its. A whole model may be read too. */
Model *model_load_like(const ModelFolder *f, const char *path, Error *err);
bool model_save_like(const ModelFolder *f, const Model *m, const char *path, Error *err);

#endif
