/* Weights in several files: whole, in any order, and with every defect that an index can have. */
#define _POSIX_C_SOURCE 200809L
#include "data/model_weights.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/system.h"
#include "lib/tensors.h"
#include "tests/unit/check.h"

#ifdef NAIVE
enum { PLAIN_BUILD = 1 };
#else
enum { PLAIN_BUILD = 0 };
#endif
static const char INDEX[] = "model.safetensors.index.json";
static const char *const SHARDS[] = {"model-00001-of-00003.safetensors",
                                     "model-00002-of-00003.safetensors",
                                     "model-00003-of-00003.safetensors"};
enum { SHARD_COUNT = 3 };
static const ModelConfig LLAMA = {.layers = 2,
                                  .heads = 4,
                                  .channels = 24,
                                  .context = 32,
                                  .vocab = 61,
                                  .family = FAMILY_LLAMA,
                                  .kv_heads = 2};
static char folder[512];

/* ---- writing ---- */

static TensorOut tensor_out(const Model *m, int i) {
    const ModelTensor *t = &m->tensors[i];
    TensorOut out = {
        .name = t->name, .type = TENSOR_REAL, .rank = t->rank, .data = m->w + t->offset};
    out.shape[0] = t->shape[0];
    out.shape[1] = t->shape[1];
    return out;
}

/* Writes the tensors into three files in turn; `moved`, if there is such a name, into the third.
 * `more` is one more tensor, in the second. */
static void write_shards(const Model *m, const char *moved, const TensorOut *more) {
    Error err = {0};
    TensorOut *out = mem_new((size_t)m->tensor_count + 1, sizeof *out);
    for (int s = 0; s < SHARD_COUNT; s++) {
        int n = 0;
        for (int i = 0; i < m->tensor_count; i++) {
            bool here = moved && strcmp(moved, m->tensors[i].name) == 0 ? s == 2 : i % 3 == s;
            if (here) out[n++] = tensor_out(m, i);
        }
        if (more && s == 1) out[n++] = *more;
        char *path = path_join(folder, SHARDS[s]);
        if (!tensors_write(path, out, n, NULL, 0, &err)) exit(error_print(&err));
        free(path);
    }
    free(out);
}

/* The index of what write_shards writes; `left` is a name that it leaves out. `more` is text that
 * follows in its weight_map. */
static void write_index(const Model *m, const char *left, const char *more) {
    Error err = {0};
    Buf b = {0};
    buf_puts(&b, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (int i = 0, n = 0; i < m->tensor_count; i++) {
        if (left && strcmp(left, m->tensors[i].name) == 0) continue;
        buf_printf(&b, "%s\"%s\": \"%s\"", n++ ? ",\n" : "", m->tensors[i].name, SHARDS[i % 3]);
    }
    buf_printf(&b, "%s}}", more ? more : "");
    char *path = path_join(folder, INDEX);
    if (!file_write(path, b.s, b.n, &err)) exit(error_print(&err));
    free(path);
    buf_free(&b);
}

static void drop(const char *name) {
    char *path = path_join(folder, name);
    unlink(path);
    free(path);
}

/* Loads the folder: m's weights, or, with `word`, a refusal that says it. */
static void check_load(const Model *m, const char *word, const char *what) {
    Error err = {0};
    Model *loaded = model_weights_load(&m->config, folder, NULL, &err);
    if (word) {
        CHECK(!loaded && (err.status == STATUS_DATA || err.status == STATUS_IO), "%s: status %d",
              what, err.status);
        CHECK(strstr(err.text, word) && strstr(err.text, folder), "%s: %s", what, err.text);
    } else
        CHECK(loaded && memcmp(loaded->w, m->w, m->parameters * sizeof(real)) == 0, "%s: %s", what,
              err.text);
    model_free(loaded);
}

/* ---- tests ---- */

static uint64_t fingerprint(void) {
    Error err = {0};
    uint64_t hash = HASH_START;
    if (!model_weights_fingerprint(folder, &hash, &err)) exit(error_print(&err));
    return hash;
}

/* A bit of any shard makes another fingerprint. The index stays the same. */
static void test_fingerprint(const Model *m) {
    Model *other = model_copy(m);
    write_shards(m, NULL, NULL);
    write_index(m, NULL, NULL);
    uint64_t first = fingerprint();
    CHECK(first != HASH_START && fingerprint() == first, "three shards have a fingerprint");
    for (int s = 0; s < SHARD_COUNT; s++) {
        real *x = other->w + m->tensors[s].offset; /* tensor s is in shard s */
        x[0] += 1;
        write_shards(other, NULL, NULL);
        CHECK(fingerprint() != first, "a changed shard is noticed: %d", s);
        x[0] = m->w[m->tensors[s].offset];
    }
    write_shards(other, NULL, NULL);
    CHECK(fingerprint() == first, "the same numbers again");
    model_free(other);
}

static void test_index(const Model *m) {
    static const char first[] = "model.embed_tokens.weight", third[] = "model.norm.weight";
    const real x[2] = {1, 2};
    const TensorOut extra = {.name = "score.weight", .type = TENSOR_REAL, .rank = 1, {2}, x},
                    rotary = {.name = "model.layers.1.self_attn.rotary_emb.inv_freq",
                              .type = TENSOR_REAL,
                              .rank = 1,
                              .shape = {2},
                              .data = x};
    char more[200];
    write_shards(m, NULL, NULL);
    write_index(m, NULL, NULL);
    check_load(m, NULL, "three shards");
    write_index(m, third, NULL);
    check_load(m, third, "a tensor that the index leaves out");
    snprintf(more, sizeof more, ",\"lm_head.bias\": \"%s\"", SHARDS[1]);
    write_index(m, NULL, more);
    check_load(m, "lm_head.bias is missing", "a tensor that no file has");
    static const char *const names[] = {
        "../model.safetensors", "/etc/a.safetensors", ".hidden.safetensors",  "a\\\\b.safetensors",
        "weights.bin",          ".safetensors",       "a\\u0000.safetensors", ""};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(more, sizeof more, ",\"lm_head.bias\": \"%s\"", names[i]);
        write_index(m, NULL, more);
        check_load(m, "lm_head.bias must be a plain name", names[i]);
    }
    write_index(m, NULL, ",\"lm_head.bias\": 7");
    check_load(m, "must be a plain name", "a file that is a number");
    snprintf(more, sizeof more, ",\"%s\": \"%s\"", first, SHARDS[0]);
    write_index(m, NULL, more);
    check_load(m, "embed_tokens.weight is there twice", "a name twice");
    write_index(m, NULL, ",\"more\": \"model-00004-of-00004.safetensors\"");
    check_load(m, "model-00004-of-00004.safetensors", "a file that is not there");
    write_index(m, NULL, NULL);
    write_shards(m, first, NULL);
    check_load(m, "embed_tokens.weight", "a tensor in another file");
    write_shards(m, NULL, &extra);
    check_load(m, "score.weight, which model.safetensors.index.json does not say", "an extra one");
    snprintf(more, sizeof more, ",\"score.weight\": \"%s\"", SHARDS[1]);
    write_index(m, NULL, more);
    check_load(m, "score.weight is none of a llama model's", "an unknown tensor");
    write_shards(m, NULL, &rotary);
    snprintf(more, sizeof more, ",\"%s\": \"%s\"", rotary.name, SHARDS[1]);
    write_index(m, NULL, more);
    check_load(m, NULL, "rotary frequencies of old files");
    drop(SHARDS[2]);
    check_load(m, SHARDS[2], "a shard is missing");
    /* One file is the model, whatever an index says. */
    Error err = {0};
    CHECK(model_weights_save(m, folder, &err), "%s", err.text);
    check_load(m, NULL, "one file beside an index");
    drop("model.safetensors");
    drop(INDEX);
    check_load(m, "model.safetensors", "neither weights nor index");
    char *pickle = path_join(folder, "pytorch_model.bin");
    CHECK(file_write(pickle, "x", 1, &err), "%s", err.text);
    check_load(m, "pickled Python", "a pickle");
    unlink(pickle);
    free(pickle);
}

/* A tied model's head may be in any shard, also before the embeddings. */
static void test_head(const Model *m) {
    static const char first[] = "model.embed_tokens.weight";
    TensorOut head = tensor_out(m, 0);
    real *other = mem_new(m->tensors[0].size, sizeof *other);
    memcpy(other, m->w, m->tensors[0].size * sizeof *other);
    char more[200];
    snprintf(more, sizeof more, ",\"lm_head.weight\": \"%s\",\"%s\":\"%s\"", SHARDS[1], first,
             SHARDS[2]);
    head.name = "lm_head.weight";
    write_shards(m, first, &head);
    write_index(m, first, more);
    check_load(m, NULL, "a head before the embeddings");
    other[m->tensors[0].size - 1] += 1;
    head.data = other;
    write_shards(m, first, &head);
    check_load(m, "lm_head.weight differs from model.embed_tokens.weight", "another head");
    free(other);
}

/* Reads at a place of a file, and the one that fails; the first is 1. */
static int reads, broken_read;

static ssize_t breaking_read_at(int fd, void *bytes, size_t n, off_t at) {
    if (++reads != broken_read) return pread(fd, bytes, n, at);
    errno = EIO;
    return -1;
}

/* Whichever read fails, the load fails, and names a file. */
static void test_reads(const Model *m) {
    write_shards(m, NULL, NULL);
    write_index(m, NULL, NULL);
    SystemCalls real_calls = system_calls;
    system_calls.read_at = breaking_read_at;
    reads = broken_read = 0;
    check_load(m, NULL, "no read fails");
    int all = reads;
    CHECK(all > m->tensor_count, "%d reads", all);
    for (int i = 1; i <= all; i++) {
        reads = 0;
        broken_read = i;
        check_load(m, strerror(EIO), "a read fails");
    }
    system_calls = real_calls;
}

/* The most memory of the program at once, counted at its seam by the sizes asked for. */
static size_t largest;

static void *largest_allocate(size_t bytes) {
    if (bytes > largest) largest = bytes;
    return aligned_alloc(64, bytes);
}

/* Loading takes one block for the weights, and nothing else of a size that grows with them. */
static void test_memory(void) {
    ModelConfig shape = LLAMA;
    Error err = {0};
    shape.vocab = 20000;
    Model *m = model_new(shape, &err);
    write_shards(m, NULL, NULL);
    write_index(m, NULL, NULL);
    SystemCalls real_calls = system_calls;
    system_calls.allocate = largest_allocate;
    largest = 0;
    Model *loaded = model_weights_load(&shape, folder, NULL, &err);
    system_calls = real_calls;
    size_t bytes = (m->parameters * sizeof(real) + 63) / 64 * 64;
    CHECK(loaded && largest == bytes, "%zu bytes at once for %zu of weights: %s", largest, bytes,
          err.text);
    model_free(loaded);
    model_free(m);
}

/* ---- bfloat16 ---- */

/* Writes the model with its numbers cut to bfloat16, and cuts them in memory too. */
static void write_bf16(Model *m) {
    Error err = {0};
    uint16_t *bits = mem_new(m->parameters, sizeof *bits);
    TensorOut *out = mem_new((size_t)m->tensor_count, sizeof *out);
    for (size_t i = 0; i < m->parameters; i++) {
        float x = (float)m->w[i];
        uint32_t all;
        memcpy(&all, &x, sizeof all);
        bits[i] = (uint16_t)(all >> 16);
        all &= 0xFFFF0000;
        memcpy(&x, &all, sizeof x);
        m->w[i] = (real)x;
    }
    for (int i = 0; i < m->tensor_count; i++) {
        out[i] = tensor_out(m, i);
        out[i].type = TENSOR_BF16;
        out[i].data = bits + m->tensors[i].offset;
    }
    char *path = path_join(folder, "model.safetensors");
    if (!tensors_write(path, out, m->tensor_count, NULL, 0, &err)) exit(error_print(&err));
    free(path);
    free(bits);
    free(out);
}

/* The log-probability of a row, the logits after it, and with adapters their gradient. */
static double outcome(const Model *m, real *logits, real *grad) {
    static const int row[] = {1, 5, 17, 42, 60, 9, 3};
    Batch batch = {0};
    Workspace *ws = workspace_new();
    double logp, dlogp = -1;
    batch_row(&batch, row, 7, 2, NULL);
    if (grad) model_forward_backward(m, ws, &batch, &dlogp, &logp, grad, false);
    else model_forward(m, ws, &batch, false, &logp, NULL);
    batch_free(&batch);
    Prefix *prefix = prefix_new(m, 8);
    batch_row_inputs(&batch, row, 7, prefix);
    model_extend(m, ws, &batch);
    model_logits(m, ws, 0, logits);
    prefix_free(prefix);
    batch_free(&batch);
    workspace_free(ws);
    return logp;
}

/* A frozen model takes half the memory for its matrices, and computes the same bits: forward,
 * generating, and backward through it to adapters. */
static void test_frozen(Family family, bool untied) {
    ModelConfig shape = LLAMA;
    LoraConfig lora = {.rank = 3, .alpha = 6};
    for (int role = 0; role < ROLE_COUNT; role++)
        if (role_module(family, (TensorRole)role).s) lora.targets |= 1u << role;
    Error err = {0};
    shape.family = family;
    shape.untied = untied;
    if (family == FAMILY_GPT2) shape.kv_heads = 0;
    Model *m = model_new(shape, &err);
    model_initialize(m, 7);
    write_bf16(m);
    Model *frozen = model_weights_load_frozen(&shape, folder, NULL, &err);
    CHECK(frozen, "%s: %s", family_name(family), err.text);
    if (!frozen) return;
    real logits[2][61];
    double logp = outcome(m, logits[0], NULL);
    CHECK(logp == outcome(frozen, logits[1], NULL) &&
              memcmp(logits[0], logits[1], sizeof logits[0]) == 0,
          "%s: frozen matrices give other bits", family_name(family));
    Model *a = model_lora(m, lora, &err), *b = model_lora(frozen, lora, &err);
    CHECK(a && b, "%s", err.text);
    for (size_t i = 0; i < a->parameters; i++) a->w[i] = b->w[i] = (real)((int)(i % 13) - 6) / 32;
    real *grad = mem_new(2 * a->parameters, sizeof *grad);
    logp = outcome(a, logits[0], grad);
    CHECK(logp == outcome(b, logits[1], grad + a->parameters) &&
              memcmp(grad, grad + a->parameters, a->parameters * sizeof *grad) == 0,
          "%s: adapters of a frozen base have other bits", family_name(family));
    free(grad);
    model_free(a);
    model_free(b);
    model_free(frozen);
    /* Numbers that bfloat16 cannot hold are not rounded in silence. */
    m->w[3] = 1 + (real)0x1p-20;
    CHECK(model_weights_save(m, folder, &err), "%s", err.text);
    frozen = model_weights_load_frozen(&shape, folder, NULL, &err);
    CHECK(PLAIN_BUILD ? frozen != NULL : !frozen && strstr(err.text, "that bfloat16 cannot hold"),
          "%s", err.text);
    model_free(frozen);
    model_free(m);
    drop("model.safetensors");
}

/* Writes m's tensors but those of `role`: of all layers, or of the first alone. */
static void write_without(const Model *m, TensorRole role, bool all) {
    Error err = {0};
    TensorOut *out = mem_new((size_t)m->tensor_count, sizeof *out);
    int n = 0;
    for (int i = 0; i < m->tensor_count; i++)
        if (m->tensors[i].role != role || (!all && m->tensors[i].layer != 0))
            out[n++] = tensor_out(m, i);
    char *path = path_join(folder, "model.safetensors");
    if (!tensors_write(path, out, n, NULL, 0, &err)) exit(error_print(&err));
    free(path);
    free(out);
}

/* A bias of a GPT-2's products that no layer has is zeros, and is told. One that some layers have,
 * another tensor, and another family's bias are not. */
static void test_left_out(Family family) {
    static const TensorRole zeros[] = {ROLE_QKV_B, ROLE_OUT_B, ROLE_FC_B, ROLE_PROJ_B};
    ModelConfig shape = LLAMA;
    Error err = {0};
    shape.family = family;
    if (family == FAMILY_GPT2) shape.kv_heads = 0;
    Model *m = model_new(shape, &err);
    model_initialize(m, 7);
    for (size_t i = 0; i < m->parameters; i++) m->w[i] += 1; /* no tensor is zeros */
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        bool is_bias = false;
        for (int j = 0; j < 4; j++) is_bias |= family == FAMILY_GPT2 && t->role == zeros[j];
        if (t->layer > 0) continue;
        write_without(m, t->role, true);
        Buf note = {0};
        Model *loaded = model_weights_load(&shape, folder, &note, &err);
        CHECK(!!loaded == is_bias && (loaded || strstr(err.text, "missing") ||
                                      strstr(err.text, "has no lm_head.weight")),
              "%s: without %s: %s", family_name(family), t->name, err.text);
        err = (Error){0};
        for (int k = 0; loaded && k < m->tensor_count; k++)
            for (size_t c = 0; c < m->tensors[k].size; c++) {
                size_t at = m->tensors[k].offset + c;
                real want = m->tensors[k].role == t->role ? 0 : m->w[at];
                CHECK(loaded->w[at] == want, "%s: a number of %s", t->name, m->tensors[k].name);
            }
        CHECK(!loaded || (note.n > 0 && strstr(note.s, strstr(t->name, "0.") + 2)), "%s: told: %s",
              t->name, note.n > 0 ? note.s : "");
        model_free(loaded);
        buf_free(&note);
        if (!is_bias) continue;
        write_without(m, t->role, false);
        loaded = model_weights_load(&shape, folder, NULL, &err);
        CHECK(!loaded && strstr(err.text, "is missing"), "%s in one layer alone: %s", t->name,
              err.text);
        err = (Error){0};
        model_free(loaded);
    }
    model_free(m);
    drop("model.safetensors");
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/test_weights.XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        return 1;
    }
    Error err = {0};
    Model *m = model_new(LLAMA, &err);
    model_initialize(m, 5);
    test_fingerprint(m);
    test_index(m);
    test_head(m);
    test_reads(m);
    test_memory();
    test_frozen(FAMILY_GPT2, false);
    test_frozen(FAMILY_LLAMA, false);
    test_frozen(FAMILY_QWEN2, true);
    test_frozen(FAMILY_QWEN3, true);
    test_left_out(FAMILY_GPT2);
    test_left_out(FAMILY_QWEN2);
    drop(INDEX);
    for (int s = 0; s < SHARD_COUNT; s++) drop(SHARDS[s]);
    CHECK(rmdir(folder) == 0, "something is left in %s", folder);
    model_free(m);
    return check_report("test_model_weights");
}
