/* import: a model of llama2.c as a model folder. */
#include <stdlib.h>

#include "data/llama2c.h"
#include "data/model_config.h"
#include "data/model_weights.h"
#include "lib/file.h"
#include "program/commands.h"
#include "program/guard.h"

/* Its tokens in their special meanings, which are the same in every such model. */
static const char TOKENS[] = "\"bos_token_id\": 1, \"eos_token_id\": 2, \"pad_token_id\": null";
static const char WORDS_CONFIG[] =
    "{\n  \"tokenizer_class\": \"LlamaTokenizer\",\n  \"bos_token\": \"<s>\",\n"
    "  \"eos_token\": \"</s>\",\n  \"unk_token\": \"<unk>\",\n  \"add_bos_token\": true,\n"
    "  \"add_eos_token\": false,\n  \"legacy\": true,\n"
    "  \"clean_up_tokenization_spaces\": false\n}\n";

static bool put(const char *folder, const char *name, const char *text, size_t n, Error *err) {
    char *path = path_join(folder, name);
    bool ok = file_write(path, text, n, err);
    free(path);
    return ok;
}

/* The weights come last, so a folder that has them is whole. */
static bool write_folder(const char *out, const Model *m, const Buf *words, Error *err) {
    Buf config = {0};
    model_config_put(&config, &m->config, words->n ? TOKENS : NO_TOKENS);
    bool ok = folder_make(out, err) &&
              (!words->n ||
               (put(out, "tokenizer.json", words->s, words->n, err) &&
                put(out, "tokenizer_config.json", WORDS_CONFIG, sizeof WORDS_CONFIG - 1, err))) &&
              put(out, "config.json", config.s, config.n, err) && model_weights_save(m, out, err);
    buf_free(&config);
    return ok;
}

bool command_import(const Settings *s, Error *err) {
    Buf words = {0};
    if (!guard_outputs(s, err)) return false;
    Model *m = llama2c_model(s->model, err);
    bool ok = m &&
              (!s->tokenizer || llama2c_tokenizer(s->tokenizer, m->config.vocab, &words, err)) &&
              write_folder(s->out, m, &words, err);
    if (ok)
        fprintf(stderr, "%s: a llama of %zu parameters, %d tokens%s\n", s->out, m->parameters,
                m->config.vocab,
                s->tokenizer ? "" : "; without a tokenizer, data must be input_ids");
    buf_free(&words);
    model_free(m);
    return ok;
}
