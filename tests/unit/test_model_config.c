/* config.json of the four families: what is read, in old and in new keys, what is refused by its
 * key, and what is written. */
#define _POSIX_C_SOURCE 200809L
#include "data/model_config.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/check.h"

static char folder[512];

static void put_config(const char *text) {
    Error err = {0};
    char *path = path_join(folder, "config.json");
    if (!file_write(path, text, strlen(text), &err)) exit(error_print(&err));
    free(path);
}

static bool read_config(const char *text, ModelConfig *c, Error *err) {
    *err = (Error){0};
    put_config(text);
    return model_config_load(c, folder, err);
}

/* A Llama of each key that it must have; the rest of the object follows. */
#define SIZES                                                                                      \
    "\"vocab_size\":50,\"hidden_size\":32,\"intermediate_size\":44,\"num_hidden_layers\":3,"       \
    "\"num_attention_heads\":4,\"max_position_embeddings\":256"
#define LLAMA "{\"model_type\":\"llama\"," SIZES
#define QWEN2 "{\"model_type\":\"qwen2\"," SIZES ",\"num_key_value_heads\":2"
#define QWEN3 "{\"model_type\":\"qwen3\"," SIZES ",\"num_key_value_heads\":2"
/* A GPT-2 of each key that it must have. Its class takes the names of Llama's for them too. */
#define GPT2                                                                                       \
    "{\"model_type\":\"gpt2\",\"vocab_size\":50,\"n_positions\":256,\"n_embd\":32,\"n_layer\":3,"  \
    "\"n_head\":4"
#define LLAMA3                                                                                     \
    "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"                             \
    "\"original_max_position_embeddings\":32"
#define SAID .layers = 3, .heads = 4, .channels = 32, .context = 256, .vocab = 50, .inner = 44

static bool same_config(const ModelConfig *a, const ModelConfig *b) {
    return a->layers == b->layers && a->heads == b->heads && a->channels == b->channels &&
           a->context == b->context && a->vocab == b->vocab && a->family == b->family &&
           a->kv_heads == b->kv_heads && a->head_size == b->head_size && a->inner == b->inner &&
           a->epsilon == b->epsilon && a->theta == b->theta && a->scaling.kind == b->scaling.kind &&
           a->scaling.factor == b->scaling.factor && a->scaling.low == b->scaling.low &&
           a->scaling.high == b->scaling.high && a->scaling.original == b->scaling.original &&
           a->qkv_bias == b->qkv_bias && a->out_bias == b->out_bias && a->mlp_bias == b->mlp_bias &&
           a->untied == b->untied;
}

/* What is read is what the class of transformers means by the same keys (its 5.24 and 4.57
 * sources: configuration_llama.py, configuration_qwen2.py, configuration_qwen3.py), and what is
 * written reads back as the same. */
static void test_read(void) {
    const Scaling llama3 = {SCALING_LLAMA3, 8, 1, 4, 32}, linear = {SCALING_LINEAR, 2, 0, 0, 0};
    const struct {
        const char *text;
        ModelConfig want;
    } cases[] = {
        {GPT2 ",\"num_attention_heads\":4,\"hidden_size\":32,\"num_hidden_layers\":null}",
         {.layers = 3, .heads = 4, .channels = 32, .context = 256, .vocab = 50}},
        {"{\"vocab_size\":50,\"hidden_size\":32,\"num_hidden_layers\":3,"
         "\"num_attention_heads\":4,\"max_position_embeddings\":256,\"n_ctx\":8}",
         {.layers = 3, .heads = 4, .channels = 32, .context = 256, .vocab = 50}},
        {"{\"vocab_size\":50,\"n_embd\":32,\"n_layer\":3,\"n_head\":4,\"n_ctx\":256}",
         {.layers = 3, .heads = 4, .channels = 32, .context = 256, .vocab = 50}},
        {"{\"model_type\":\"gpt2\",\"vocab_size\":50,\"n_embd\":32,\"n_layer\":3,\"n_head\":4,"
         "\"n_positions\":256,\"n_inner\":44,\"layer_norm_epsilon\":1e-6,"
         "\"tie_word_embeddings\":false}",
         {SAID, .epsilon = 1e-6, .untied = true}},
        {LLAMA "}", {SAID, .family = FAMILY_LLAMA, .untied = true}},
        {LLAMA ",\"tie_word_embeddings\":true,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-5,"
               "\"rope_theta\":500000.0,\"attention_bias\":true,\"mlp_bias\":true}",
         {SAID, .family = FAMILY_LLAMA, .kv_heads = 2, .epsilon = 1e-5, .theta = 500000,
          .qkv_bias = true, .out_bias = true, .mlp_bias = true}},
        {LLAMA ",\"num_key_value_heads\":null,\"head_dim\":null,\"rope_scaling\":null,"
               "\"quantization_config\":null,\"pretraining_tp\":2,\"rope_interleaved\":false}",
         {SAID, .family = FAMILY_LLAMA, .untied = true}},
        {LLAMA
         ",\"head_dim\":16,\"rope_theta\":500,\"rope_scaling\":{\"rope_type\":\"llama3\"," LLAMA3
         "}}",
         {SAID, .family = FAMILY_LLAMA, .head_size = 16, .theta = 500, .scaling = llama3,
          .untied = true}},
        {LLAMA ",\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":500," LLAMA3 "}}",
         {SAID, .family = FAMILY_LLAMA, .theta = 500, .scaling = llama3, .untied = true}},
        {LLAMA ",\"rope_theta\":500,\"rope_scaling\":{\"type\":\"llama3\"," LLAMA3
               "},\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":500.0," LLAMA3 "}}",
         {SAID, .family = FAMILY_LLAMA, .theta = 500, .scaling = llama3, .untied = true}},
        {LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}",
         {SAID, .family = FAMILY_LLAMA, .scaling = linear, .untied = true}},
        {QWEN2 ",\"rope_theta\":1e6,\"tie_word_embeddings\":true,\"use_sliding_window\":false,"
               "\"sliding_window\":32768,\"max_window_layers\":2}",
         {SAID, .family = FAMILY_QWEN2, .kv_heads = 2, .theta = 1e6}},
        {QWEN3 "}",
         {SAID, .family = FAMILY_QWEN3, .kv_heads = 2, .head_size = 128, .untied = true}},
        {QWEN3 ",\"head_dim\":16,\"attention_bias\":true,\"layer_types\":[\"full_attention\","
               "\"full_attention\",\"full_attention\"]}",
         {SAID, .family = FAMILY_QWEN3, .kv_heads = 2, .head_size = 16, .qkv_bias = true,
          .out_bias = true, .untied = true}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelConfig c, again, want = cases[i].want;
        Error err = {0};
        Buf text = {0};
        CHECK(config_complete(&want, &err), "%s", err.text);
        CHECK(read_config(cases[i].text, &c, &err), "%s: %s", cases[i].text, err.text);
        CHECK(same_config(&c, &want), "other than it says: %s", cases[i].text);
        model_config_put(&text, &c, NO_TOKENS);
        CHECK(read_config(text.s, &again, &err), "%s: %s", text.s, err.text);
        CHECK(same_config(&c, &again), "is written as %s", text.s);
        buf_free(&text);
    }
}

static void test_refused(void) {
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"{\"model_type\":\"mistral\"," SIZES "}", "\"model_type\" is mistral"},
        {"{\"model_type\":7," SIZES "}", "\"model_type\" is no text"},
        {LLAMA ",\"quantization_config\":{\"bits\":4}}", "quantization_config"},
        {LLAMA ",\"hidden_act\":\"gelu\"}", "hidden_act"},
        {LLAMA ",\"partial_rotary_factor\":0.5}", "partial_rotary_factor"},
        {LLAMA ",\"rope_interleaved\":true}", "rope_interleaved"},
        {LLAMA ",\"is_causal\":false}", "is_causal"},
        {GPT2 ",\"is_causal\":false}", "is_causal"},
        {GPT2 ",\"num_attention_heads\":2}", "\"num_attention_heads\" contradicts \"n_head\""},
        {GPT2 ",\"num_hidden_layers\":1}", "contradicts \"n_layer\""},
        {GPT2 ",\"hidden_size\":16}", "contradicts \"n_embd\""},
        {GPT2 ",\"max_position_embeddings\":\"256\"}", "contradicts \"n_positions\""},
        {LLAMA ",\"attention_bias\":1}", "\"attention_bias\" must be true or false"},
        {LLAMA ",\"tie_word_embeddings\":\"yes\"}", "tie_word_embeddings"},
        {LLAMA ",\"num_key_value_heads\":3}", "4 heads cannot share 3"},
        {LLAMA ",\"head_dim\":7}", "7 channels"},
        {LLAMA ",\"head_dim\":-8}", "head_dim"},
        {LLAMA ",\"rms_norm_eps\":0}", "rms_norm_eps"},
        {LLAMA ",\"rope_theta\":\"10000\"}", "rope_theta"},
        {LLAMA ",\"rope_scaling\":\"linear\"}", "rope_scaling"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4.0}}", "yarn"},
        {LLAMA ",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4.0}}", "dynamic"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"linear\",\"type\":\"llama3\",\"factor\":4}}",
         "linear"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"linear\"}}", "factor"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}", "low_freq_factor"},
        {LLAMA ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4,\"mscale\":2}}", "mscale"},
        {LLAMA ",\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1}}}", "full_attention"},
        {LLAMA ",\"rope_parameters\":{\"rope_theta\":1e4,\"partial_rotary_factor\":0.5}}",
         "partial_rotary_factor"},
        {LLAMA ",\"rope_theta\":1e4,\"rope_parameters\":{\"rope_theta\":1e6}}", "contradicts"},
        {LLAMA ",\"rope_scaling\":{\"type\":\"linear\",\"factor\":4},"
               "\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2}}",
         "contradicts"},
        {QWEN2 ",\"use_sliding_window\":true}", "use_sliding_window"},
        {QWEN3 ",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "layer_types"},
        {"{\"model_type\":\"qwen2\"," SIZES "}", "num_key_value_heads"},
        {"{\"model_type\":\"llama\",\"vocab_size\":50}", "max_position_embeddings"},
        {"{\"vocab_size\":50,\"n_embd\":32,\"n_layer\":3,\"n_head\":4,\"n_positions\":256,"
         "\"add_cross_attention\":true}",
         "add_cross_attention"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelConfig c;
        Error err = {0};
        bool read = read_config(cases[i].text, &c, &err);
        CHECK(!read && err.status == STATUS_DATA, "status %d: %s", err.status, cases[i].text);
        CHECK(strstr(err.text, cases[i].word) && strstr(err.text, "config.json"), "%s: %s",
              cases[i].text, err.text);
    }
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_config.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    test_read();
    test_refused();
    char *path = path_join(folder, "config.json");
    unlink(path);
    rmdir(folder);
    free(path);
    return check_report("test_model_config");
}
