/* Adapters in PEFT's form: what is read, what is refused by its key or its tensor, what is
 * written. */
#define _POSIX_C_SOURCE 200809L
#include "data/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/tensors.h"
#include "tests/unit/check.h"

static char folder[512];

static void put_text(const char *name, const char *text) {
    Error err = {0};
    char *path = path_join(folder, name);
    if (!file_write(path, text, strlen(text), &err)) exit(error_print(&err));
    free(path);
}

static void drop(const char *name) {
    char *path = path_join(folder, name);
    unlink(path);
    free(path);
}

static ModelConfig shape_of(Family family) {
    ModelConfig c = {
        .layers = 2, .heads = 4, .channels = 16, .context = 32, .vocab = 50, .family = family};
    Error err = {0};
    if (family != FAMILY_GPT2) c.kv_heads = 2;
    CHECK(config_complete(&c, &err), "%s", err.text);
    return c;
}

#define BIT(role) (1u << (role))
#define ALL_LLAMA                                                                                  \
    (BIT(ROLE_Q_W) | BIT(ROLE_K_W) | BIT(ROLE_V_W) | BIT(ROLE_OUT_W) | BIT(ROLE_GATE_W) |          \
     BIT(ROLE_UP_W) | BIT(ROLE_PROJ_W))
#define ALL_GPT2 (BIT(ROLE_QKV_W) | BIT(ROLE_OUT_W) | BIT(ROLE_FC_W) | BIT(ROLE_PROJ_W))
#define START "{\"peft_type\":\"LORA\",\"base_model_name_or_path\":\"x\""

/* What is read is what PEFT 0.21 makes of the same keys. */
static void test_config(void) {
    static const struct {
        Family family;
        const char *text;
        LoraConfig want;
    } cases[] = {
        {FAMILY_LLAMA,
         START ",\"target_modules\":[\"q_proj\",\"v_proj\"]}",
         {8, 8, BIT(ROLE_Q_W) | BIT(ROLE_V_W), false}},
        {FAMILY_QWEN3,
         START
         ",\"r\":4,\"lora_alpha\":32.5,\"use_rslora\":true,\"target_modules\":\"all-linear\"}",
         {4, 32.5, ALL_LLAMA, true}},
        {FAMILY_LLAMA,
         START ",\"target_modules\":[\"self_attn.o_proj\"]}",
         {8, 8, BIT(ROLE_OUT_W), false}},
        {FAMILY_LLAMA,
         START ",\"target_modules\":[\"model.layers.0.mlp.up_proj\",\"layers.1.mlp.up_proj\"]}",
         {8, 8, BIT(ROLE_UP_W), false}},
        {FAMILY_LLAMA,
         START ",\"target_modules\":\".*\\\\.(q_proj|v_proj)$\"}",
         {8, 8, BIT(ROLE_Q_W) | BIT(ROLE_V_W), false}},
        {FAMILY_GPT2,
         START ",\"target_modules\":\"transformer\\\\.h\\\\.\\\\d+\\\\.mlp\\\\.c_.*\"}",
         {8, 8, BIT(ROLE_FC_W) | BIT(ROLE_PROJ_W), false}},
        {FAMILY_GPT2,
         START ",\"target_modules\":[\"c_proj\"],\"fan_in_fan_out\":true}",
         {8, 8, BIT(ROLE_OUT_W) | BIT(ROLE_PROJ_W), false}},
        {FAMILY_GPT2,
         START ",\"target_modules\":[\"mlp.c_proj\",\"c_attn\"]}",
         {8, 8, BIT(ROLE_QKV_W) | BIT(ROLE_PROJ_W), false}},
        {FAMILY_GPT2,
         START ",\"target_modules\":[\"transformer.h.0.attn.c_attn\","
               "\"transformer.h.1.attn.c_attn\"],\"bias\":\"none\",\"rank_pattern\":{},"
               "\"task_type\":\"CAUSAL_LM\",\"modules_to_save\":null,\"init_lora_weights\":"
               "\"gaussian\",\"lora_dropout\":0.1,\"peft_version\":\"0.21.2\",\"unheard\":false}",
         {8, 8, BIT(ROLE_QKV_W), false}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelConfig base = shape_of(cases[i].family);
        LoraConfig got = {0}, again = {0}, want = cases[i].want;
        Error err = {0};
        put_text("adapter_config.json", cases[i].text);
        CHECK(adapter_config_load(&got, &base, folder, &err), "%s: %s", cases[i].text, err.text);
        CHECK(got.rank == want.rank && got.alpha == want.alpha && got.targets == want.targets &&
                  got.rslora == want.rslora,
              "%s: rank %d, alpha %g, targets %x", cases[i].text, got.rank, got.alpha, got.targets);
        CHECK(adapter_config_save(&got, &base, "none/here", folder, &err) &&
                  adapter_config_load(&again, &base, folder, &err),
              "%s", err.text);
        CHECK(again.rank == want.rank && again.alpha == want.alpha &&
                  again.targets == want.targets && again.rslora == want.rslora,
              "%s is written otherwise", cases[i].text);
    }
}

static void test_refused(void) {
    static const struct {
        const char *more, *word;
    } cases[] = {
        {",\"peft_type\":\"LOHA\",\"target_modules\":[\"q_proj\"]", "peft_type"},
        {",\"task_type\":\"SEQ_CLS\",\"target_modules\":[\"q_proj\"]", "task_type"},
        {",\"bias\":\"all\",\"target_modules\":[\"q_proj\"]", "\"bias\" must be none"},
        {",\"use_dora\":true,\"target_modules\":[\"q_proj\"]", "use_dora"},
        {",\"use_rslora\":1,\"target_modules\":[\"q_proj\"]", "\"use_rslora\" must be true or"},
        {",\"use_rslora\":\"true\",\"target_modules\":[\"q_proj\"]", "use_rslora"},
        {",\"use_qalora\":true,\"target_modules\":[\"q_proj\"]", "use_qalora"},
        {",\"lora_bias\":true,\"target_modules\":[\"q_proj\"]", "lora_bias"},
        {",\"modules_to_save\":[\"lm_head\"],\"target_modules\":[\"q_proj\"]", "modules_to_save"},
        {",\"rank_pattern\":{\"q_proj\":4},\"target_modules\":[\"q_proj\"]", "rank_pattern"},
        {",\"alpha_pattern\":{\"q_proj\":4},\"target_modules\":[\"q_proj\"]", "alpha_pattern"},
        {",\"layers_to_transform\":[0],\"target_modules\":[\"q_proj\"]", "layers_to_transform"},
        {",\"layer_replication\":[[0,2]],\"target_modules\":[\"q_proj\"]", "layer_replication"},
        {",\"target_parameters\":[\"x\"],\"target_modules\":[\"q_proj\"]", "target_parameters"},
        {",\"trainable_token_indices\":[1],\"target_modules\":[\"q_proj\"]",
         "trainable_token_indices"},
        {",\"exclude_modules\":[\"x\"],\"target_modules\":[\"q_proj\"]", "exclude_modules"},
        {",\"init_lora_weights\":\"pissa\",\"target_modules\":[\"q_proj\"]", "init_lora_weights"},
        {",\"unheard\":7,\"target_modules\":[\"q_proj\"]", "unheard"},
        {",\"r\":0,\"target_modules\":[\"q_proj\"]", "rank 0"},
        {",\"r\":5000,\"target_modules\":[\"q_proj\"]", "rank 5000"},
        {",\"lora_alpha\":0,\"target_modules\":[\"q_proj\"]", "alpha 0"},
        {",\"r\":1e9,\"target_modules\":[\"q_proj\"]", "\"r\""},
        {",\"lora_alpha\":\"8\",\"target_modules\":[\"q_proj\"]", "lora_alpha"},
        {"", "target_modules"},
        {",\"target_modules\":[]", "target_modules"},
        {",\"target_modules\":7", "a list of names, a regular expression or all-linear"},
        {",\"target_modules\":\"q_proj\"", "the regular expression q_proj, which fits no linear"},
        {",\"target_modules\":\".*[01]\\\\.(?i:q_proj)\"", "begins with (? at character 11, "},
        {",\"target_modules\":\".*\\\\.0\\\\..*q_proj\"", "q_proj in 1 of 2 layers"},
        {",\"target_modules\":\"((.?){1000}){1000}\"", "counts in counts"},
        {",\"target_modules\":[7]", "target_modules"},
        {",\"target_modules\":[\"q_proj\",\"embed_tokens\"]", "embed_tokens, which is no linear"},
        {",\"target_modules\":[\"lm_head\"]", "lm_head"},
        {",\"target_modules\":[\"proj\"]", "proj"},
        {",\"target_modules\":[\"layers.0.self_attn.q_proj\"]", "q_proj in 1 of 2 layers"},
    };
    ModelConfig base = shape_of(FAMILY_LLAMA);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        LoraConfig got;
        Error err = {0};
        Buf b = {0};
        buf_printf(&b, START "%s}", cases[i].more);
        put_text("adapter_config.json", b.s);
        CHECK(!adapter_config_load(&got, &base, folder, &err) && err.status == STATUS_DATA,
              "was read: %s", b.s);
        CHECK(strstr(err.text, cases[i].word) && strstr(err.text, "adapter_config.json"), "%s: %s",
              b.s, err.text);
        buf_free(&b);
    }
}

static void test_targets(void) {
    static const struct {
        Family family;
        const char *list;
        unsigned want; /* 0: refused */
    } cases[] = {{FAMILY_LLAMA, "q_proj,v_proj", BIT(ROLE_Q_W) | BIT(ROLE_V_W)},
                 {FAMILY_QWEN2, "all-linear", ALL_LLAMA},
                 {FAMILY_GPT2, "all-linear", ALL_GPT2},
                 {FAMILY_GPT2, "attn.c_proj", BIT(ROLE_OUT_W)},
                 {FAMILY_GPT2, "q_proj", 0},
                 {FAMILY_LLAMA, "q_proj,", 0},
                 {FAMILY_LLAMA, "", 0},
                 {FAMILY_LLAMA, "q_proj v_proj", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelConfig base = shape_of(cases[i].family);
        unsigned targets;
        Error err = {0};
        bool ok = adapter_targets(&targets, &base, str(cases[i].list), &err);
        CHECK(ok == (cases[i].want != 0) && (!ok || targets == cases[i].want), "%s: %x, %s",
              cases[i].list, targets, err.text);
        CHECK(ok || (err.status == STATUS_USAGE && strstr(err.text, "it has ")), "%s", err.text);
    }
}

/* The base is found from the adapter's folder; what is written is absolute. */
static void test_base(void) {
    ModelConfig base = shape_of(FAMILY_LLAMA);
    LoraConfig lora = {4, 8, BIT(ROLE_Q_W), false};
    Error err = {0};
    put_text("adapter_config.json", "{\"base_model_name_or_path\":\"../nowhere\"}");
    char *path = adapter_base(folder, &err), *inside = path_join(folder, "inside");
    CHECK(!path && strstr(err.text, "../nowhere"), "%s", err.text);
    err = (Error){0};
    put_text("adapter_config.json", "{\"base_model_name_or_path\":null}");
    CHECK(!adapter_base(folder, &err) && strstr(err.text, "base_model_name_or_path"), "%s",
          err.text);
    err = (Error){0};
    CHECK(folder_make(inside, &err), "%s", err.text);
    put_text("adapter_config.json", "{\"base_model_name_or_path\":\"inside\"}");
    path = adapter_base(folder, &err);
    CHECK(path && file_same(path, inside), "%s: %s", path ? path : "none", err.text);
    free(path);
    CHECK(adapter_config_save(&lora, &base, inside, folder, &err), "%s", err.text);
    path = adapter_base(folder, &err);
    CHECK(path && path[0] == '/' && file_same(path, inside), "%s", path ? path : err.text);
    CHECK(adapter_is(folder) && !adapter_is(inside), "which folder is an adapter?");
    free(path);
    rmdir(inside);
    free(inside);
}

static void test_weights(void) {
    ModelConfig base = shape_of(FAMILY_GPT2);
    LoraConfig lora = {3, 8, BIT(ROLE_QKV_W) | BIT(ROLE_PROJ_W), false};
    int count;
    size_t n;
    ModelTensor *list = table_make(&base, &lora, &count, &n);
    real *w = mem_new(n, sizeof *w), *again = mem_new(n, sizeof *again);
    Error err = {0};
    char *path = path_join(folder, "adapter_model.safetensors");
    for (size_t i = 0; i < n; i++) w[i] = (real)i / 8;
    CHECK(adapter_weights_save(w, list, count, folder, &err) &&
              adapter_weights_load(again, list, count, folder, &err),
          "%s", err.text);
    CHECK(memcmp(w, again, n * sizeof *w) == 0, "other numbers");
    TensorFile file;
    CHECK(tensors_open(&file, path, &err), "%s", err.text);
    const TensorInfo *t =
        tensors_find(&file, "base_model.model.transformer.h.1.mlp.c_proj.lora_B.weight");
    CHECK(t && t->shape[0] == 16 && t->shape[1] == 3, "PEFT's name and shape");
    tensors_close(&file);
    CHECK(!adapter_weights_load(again, list, count - 1, folder, &err) &&
              strstr(err.text, "h.1.mlp.c_proj.lora_B.weight is no adapter"),
          "%s", err.text);
    err = (Error){0};
    CHECK(adapter_weights_save(w, list, count - 1, folder, &err), "%s", err.text);
    CHECK(!adapter_weights_load(again, list, count, folder, &err) &&
              strstr(err.text, "lora_B.weight is missing"),
          "%s", err.text);
    err = (Error){0};
    list[0].shape[0]++;
    CHECK(!adapter_weights_load(again, list, count - 1, folder, &err) &&
              strstr(err.text, "another shape"),
          "%s", err.text);
    list[0].shape[0]--;
    err = (Error){0};
    w[n / 2] = NAN;
    CHECK(adapter_weights_save(w, list, count, folder, &err) &&
              !adapter_weights_load(again, list, count, folder, &err) &&
              strstr(err.text, "not finite"),
          "%s", err.text);
    drop("adapter_model.safetensors");
    put_text("adapter_model.bin", "x");
    err = (Error){0};
    CHECK(!adapter_weights_load(again, list, count, folder, &err) && strstr(err.text, "pickled"),
          "%s", err.text);
    drop("adapter_model.bin");
    free(path);
    free(list);
    free(w);
    free(again);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_adapter.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    test_config();
    test_refused();
    test_targets();
    test_base();
    test_weights();
    drop("adapter_config.json");
    CHECK(rmdir(folder) == 0, "something is left in %s", folder);
    return check_report("test_adapter");
}
