/* families: every family of models against PyTorch. tests/reference/families.py made the small
 * models, their logits, losses and gradients in float64, with autograd; weights are float32.
 *
 * Two computations may differ by rounding. The bound is that of test_model.c, 256 u of the largest
 * number, 1.5e-5 in float and 2.8e-14 in double; the largest seen is some half of it, in the plain
 * build. A wrong term is larger by orders of magnitude. An argument names another file of the same
 * form. What generates is compared with Hugging Face's library, token by token. */
#include "data/generation.h"
#include "lib/tensors.h"
#include "lib/threads.h"
#include "tests/unit/model_rows.h"

#define CLOSE (ROUNDINGS * U)

/* ---- the file ---- */

typedef struct {
    const TensorFile *file;
    Str name; /* of the case */
} Case;

/* The tensor CASE/PART NAME; NULL if the file has none. */
static const TensorInfo *part(const Case *c, const char *kind, const char *name) {
    char full[160];
    snprintf(full, sizeof full, "%.*s/%s%s", STR_ARG(c->name), kind, name);
    return tensors_find(c->file, full);
}

static double number(const Case *c, const char *name, size_t i) {
    const TensorInfo *t = part(c, "", name);
    CHECK(t && i < t->elements, "%.*s has no %s", STR_ARG(c->name), name);
    return t && i < t->elements ? tensors_value(t, i) : 0;
}

static ModelConfig config_of(const Case *c) {
    int v[15];
    for (size_t i = 0; i < 15; i++) v[i] = (int)number(c, "config", i);
    return (ModelConfig){.family = (Family)v[0],
                         .layers = v[1],
                         .heads = v[2],
                         .channels = v[3],
                         .context = v[4],
                         .vocab = v[5],
                         .kv_heads = v[6],
                         .head_size = v[7],
                         .inner = v[8],
                         .qkv_bias = v[9],
                         .out_bias = v[10],
                         .mlp_bias = v[11],
                         .untied = v[12],
                         .epsilon = number(c, "reals", 0),
                         .theta = number(c, "reals", 1),
                         .scaling = {.kind = (ScalingKind)v[13],
                                     .factor = number(c, "reals", 2),
                                     .low = number(c, "reals", 3),
                                     .high = number(c, "reals", 4),
                                     .original = v[14]}};
}

/* The file's adapters have their names without what PEFT puts before those of the model. */
static const char *short_name(const ModelTensor *t) {
    static const char *const before[] = {"base_model.model.transformer.", "base_model.model."};
    for (int i = 0; i < 2; i++)
        if (strncmp(t->name, before[i], strlen(before[i])) == 0) return t->name + strlen(before[i]);
    return t->name;
}

static void weights_read(const Case *c, Model *m) {
    Error err = {0};
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        const TensorInfo *info = part(c, "", short_name(t));
        bool fits = info && info->rank == t->rank && info->shape[0] == t->shape[0] &&
                    (t->rank == 1 || info->shape[1] == t->shape[1]);
        CHECK(fits, "%.*s: no tensor %s of this shape", STR_ARG(c->name), t->name);
        if (fits) CHECK(tensors_read(info, m->w + t->offset, &err), "%s", err.text);
    }
}

/* ---- the comparison ---- */

/* Is the file's tensor what the program computed? */
static void compare(const Case *c, const TensorInfo *want, const real *have, const char *what) {
    double most = 0, worst = 0;
    CHECK(want, "%.*s: the file has no %s", STR_ARG(c->name), what);
    for (size_t i = 0; want && i < want->elements; i++) {
        double value = tensors_value(want, i), off = fabs(value - (double)have[i]);
        most = fmax(most, fabs(value));
        if (!(off <= worst)) worst = off; /* NaN counts */
    }
    CHECK(most > 0 && worst <= CLOSE * most, "%.*s: %s is off by %.3g, its largest is %.3g",
          STR_ARG(c->name), what, worst, most);
}

/* The logits of every position: those that follow each beginning of the sequence. */
static void check_logits(const Case *c, const Model *m, const int *ids, int n) {
    size_t V = (size_t)m->config.vocab;
    Workspace *ws = workspace_new();
    real *logits = mem_new((size_t)n * V, sizeof *logits);
    for (int i = 0; i < n; i++) {
        Batch b = {0};
        Prefix *p = prefix_new(m, n);
        batch_row_inputs(&b, ids, i + 1, p);
        model_extend(m, ws, &b);
        model_logits(m, ws, 0, logits + (size_t)i * V);
        prefix_free(p);
        batch_free(&b);
    }
    compare(c, part(c, "", "logits"), logits, "logits");
    free(logits);
    workspace_free(ws);
}

static void check_gradients(const Case *c, const Model *m, const int *ids, int n) {
    Workspace *ws = workspace_new();
    Batch b = {0};
    double logp, dlogp = -1, dot, expected = 0, squares = 0;
    real *grad = grad_new(m), *direction = grad_new(m), loss;
    Rng rng = rng_new(1, 0);
    /* Targets are no next tokens here, so they are put in place. */
    batch_row_inputs(&b, ids, n, NULL);
    for (int i = 0; i < n; i++) {
        double weight = number(c, "weight", (size_t)i);
        b.weight[i] = (real)weight;
        b.target.v[i] = weight != 0 ? (int)number(c, "target", (size_t)i) : -1;
    }
    model_forward_backward(m, ws, &b, &dlogp, &logp, grad, false);
    loss = (real)-logp;
    compare(c, part(c, "", "loss"), &loss, "loss");
    for (int i = 0; i < m->tensor_count; i++)
        compare(c, part(c, "grad.", short_name(&m->tensors[i])), grad + m->tensors[i].offset,
                m->tensors[i].name);
    /* The inner product of the gradient with a direction. */
    for (size_t i = 0; i < m->parameters; i++) {
        direction[i] = (real)rng_normal(&rng);
        expected += (double)grad[i] * (double)direction[i];
        squares += pow((double)grad[i] * (double)direction[i], 2);
    }
    model_forward(m, ws, &b, true, &logp, NULL);
    model_gradient_dots(m, ws, &b, &dlogp, direction, &dot);
    CHECK(fabs(dot - expected) <= CLOSE * sqrt(squares), "%.*s: inner product %.9g, should be %.9g",
          STR_ARG(c->name), dot, expected);
    free(grad);
    free(direction);
    batch_free(&b);
    workspace_free(ws);
}

/* Adapters of the rank and beside the matrices that the file has. */
static Model *lora_of(const Case *c, const Model *base) {
    Error err = {0};
    LoraConfig lora = {.rank = (int)number(c, "lora", 0),
                       .alpha = number(c, "lora", 1),
                       .rslora = number(c, "lora", 2) != 0};
    for (int i = 0; i < base->tensor_count; i++) {
        char name[128];
        const char *of = base->tensors[i].name, *end = strstr(of, ".weight");
        snprintf(name, sizeof name, "%.*s.lora_A.weight", end ? (int)(end - of) : 0, of);
        if (part(c, "", name)) lora.targets |= 1u << base->tensors[i].role;
    }
    Model *m = model_lora(base, lora, &err);
    CHECK(m, "%.*s: %s", STR_ARG(c->name), err.text);
    return m;
}

/* Adapters: the base's logits while B is zero, and those of the file also when they are merged. */
static void check_lora(const Case *c, Model *base, const int *ids, int n) {
    Workspace *ws = workspace_new();
    Batch b = {0};
    double logp[2];
    Model *m = lora_of(c, base), *merged = model_copy(base);
    batch_row(&b, ids, n, 1, NULL);
    model_initialize(m, 3);
    model_forward(base, ws, &b, false, &logp[0], NULL);
    model_forward(m, ws, &b, false, &logp[1], NULL);
    CHECK(logp[0] == logp[1], "%.*s: new adapters change logp %.17g to %.17g", STR_ARG(c->name),
          logp[0], logp[1]);
    weights_read(c, m);
    check_logits(c, m, ids, n);
    check_gradients(c, m, ids, n);
    model_merge(m, merged);
    check_logits(c, merged, ids, n);
    model_free(merged);
    model_free(m);
    batch_free(&b);
    workspace_free(ws);
}

static void check_case(const Case *c) {
    Error err = {0};
    Model *m = model_new(config_of(c), &err);
    CHECK(m, "%.*s: %s", STR_ARG(c->name), err.text);
    if (!m) return;
    const TensorInfo *info = part(c, "", "ids");
    int n = (int)info->elements, *ids = mem_new(info->elements, sizeof *ids);
    for (size_t i = 0; i < info->elements; i++) ids[i] = (int)tensors_value(info, i);
    weights_read(c, m);
    if (part(c, "", "lora")) check_lora(c, m, ids, n);
    else {
        check_logits(c, m, ids, n);
        check_gradients(c, m, ids, n);
    }
    free(ids);
    model_free(m);
}

/* ---- adapters of larger models, in rows behind prefixes ---- */

static Model *adapted(const Model *base, uint64_t seed) {
    Error err = {0};
    LoraConfig lora = {.rank = 3, .alpha = 2, .targets = ~0u};
    Model *m = model_lora(base, lora, &err);
    CHECK(m, "%s", err.text);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        Rng rng = rng_new(seed, (uint64_t)i);
        for (size_t j = 0; j < t->size; j++)
            m->w[t->offset + j] = (real)(rng_normal(&rng) * 0.7 / sqrt(t->shape[1]));
    }
    return m;
}

/* dA = s B^T dW and dB = s dW A^T, where dW is the merged model's gradient, in double. */
static void chain(const Model *m, const Model *merged, const real *full, double *grad) {
    bool turned = m->config.family == FAMILY_GPT2;
    double s = lora_scale(&m->lora);
    for (int i = 0; i < m->tensor_count; i += 2) {
        const ModelTensor *a = &m->tensors[i], *b = &m->tensors[i + 1], *w = merged->tensors;
        size_t in = (size_t)a->shape[1], out = (size_t)b->shape[0], rank = (size_t)a->shape[0];
        while (w->role != a->role || w->layer != a->layer) w++;
        for (size_t r = 0; r < rank; r++)
            for (size_t o = 0; o < out; o++)
                for (size_t c = 0; c < in; c++) {
                    double dw = (double)full[w->offset + (turned ? c * out + o : o * in + c)];
                    size_t at_a = a->offset + r * in + c, at_b = b->offset + o * rank + r;
                    grad[at_a] += s * (double)m->w[at_b] * dw;
                    grad[at_b] += s * (double)m->w[at_a] * dw;
                }
    }
}

/* The gradient, and that recomputing and threads change no bit of it. The bound is twice the usual:
 * the merged matrices have roundings of their own. */
static void test_adapters(ModelConfig config) {
    const int behind[5][2] = {{40, 0}, {3, 1}, {66, 1}, {40, 33}, {75, 70}};
    Rng rng = rng_new(5, 0);
    Model *base = model_shaken(config, 41), *m = adapted(base, 42), *merged = model_copy(base);
    Row rows[5];
    for (int r = 0; r < 5; r++) rows[r] = row_new(&rng, m, behind[r][0], behind[r][1], r % 2 == 1);
    double logp[5], logp_merged[5], *expected = mem_new(m->parameters, sizeof *expected);
    real *grad = grad_new(m), *again = grad_new(m), *full = grad_new(merged);
    run_rows(m, rows, 5, logp, grad);
    model_merge(m, merged);
    run_rows(merged, rows, 5, logp_merged, full);
    chain(m, merged, full, expected);
    check_gradient(m, grad, expected, 2 * ROUNDINGS * U, family_name(config.family));
    for (int way = 0; way < 3; way++) {
        Workspace *ws = workspace_new();
        if (way == 2) workspace_recompute(ws, true);
        else threads_use(way ? 5 : 2);
        Load load = load_new(m, ws, rows, 5);
        model_forward_backward(m, ws, &load.batch, load.dlogp, logp_merged, again, false);
        CHECK(same(logp, logp_merged, sizeof logp) &&
                  same(grad, again, m->parameters * sizeof *grad),
              "%s, adapters: %s: other bits", family_name(config.family),
              way == 2 ? "recomputing" : "threads");
        load_free(&load);
        workspace_free(ws);
        threads_use(1);
    }
    CHECK(m->parameters < base->parameters, "adapters of %zu numbers", m->parameters);
    free(grad);
    free(again);
    free(full);
    free(expected);
    model_free(m);
    model_free(merged);
    model_free(base);
}

static void test_refusals(void) {
    Error never = {0};
    Model *base = model_shaken(FAMILIES[1], 1);
    const unsigned q = 1u << ROLE_Q_W;
    const LoraConfig bad[] = {{.rank = 0, .alpha = 1, .targets = q},
                              {.rank = 4097, .alpha = 1, .targets = q},
                              {.rank = 2, .alpha = 0, .targets = q},
                              {.rank = 2, .alpha = INFINITY, .targets = q},
                              {.rank = 2, .alpha = NAN, .targets = q},
                              {.rank = 2, .alpha = 1, .targets = 0},
                              {.rank = 2, .alpha = 1, .targets = 1u << ROLE_QKV_W}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Error err = {0};
        CHECK(!model_lora(base, bad[i], &err) && err.status == STATUS_DATA && err.text[0],
              "adapters %zu were accepted", i);
    }
    const ModelConfig shapes[] = {{.kv_heads = 4}, {.head_size = 5}, {.inner = -1}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        Error err = {0};
        ModelConfig c = {.layers = 1, .heads = 6, .channels = 12, .context = 8, .vocab = 9};
        c.family = FAMILY_LLAMA, c.kv_heads = shapes[i].kv_heads;
        c.head_size = shapes[i].head_size, c.inner = shapes[i].inner;
        CHECK(!model_new(c, &err) && err.status == STATUS_DATA, "shape %zu was accepted", i);
    }
    Model *usual = model_new((ModelConfig){.layers = 1,
                                           .heads = 4,
                                           .channels = 32,
                                           .context = 8,
                                           .vocab = 9,
                                           .family = FAMILY_LLAMA},
                             &never);
    CHECK(usual->config.kv_heads == 4 && usual->config.head_size == 8 &&
              usual->config.inner == 88 && usual->config.theta == 10000 &&
              usual->config.epsilon == 1e-6,
          "what 0 means");
    model_free(usual);
    model_free(base);
}

static void test_file(const char *path) {
    static const char config[] = "/config";
    TensorFile file;
    Error err = {0};
    int cases = 0;
    if (!tensors_open(&file, path, &err)) {
        CHECK(false, "%s", err.text);
        return;
    }
    for (int i = 0; i < file.count; i++) {
        Str name = file.tensors[i].name;
        size_t end = sizeof config - 1;
        if (name.n <= end || memcmp(name.s + name.n - end, config, end) != 0) continue;
        Case c = {.file = &file, .name = {name.s, name.n - end}};
        check_case(&c);
        cases++;
    }
    CHECK(cases >= 5, "%s has %d cases", path, cases);
    tensors_close(&file);
}

/* What Hugging Face's generate answers to a case's first three ids, the most probable token each
 * time. tests/reference/greedy.py printed it, and how far a token was above all others. */
static const struct {
    const char *name;
    int answer[20];
} GREEDY[] = {
    /* margins of logits: 0.1, 0.14, 0.012, 0.018, 0.016 */
    {"gpt2-untied", {0, 0, 5, 0, 5, 0, 2, 10, 0, 2, 8, 5, 0, 5, 2, 0, 6, 4, 2, 2}},
    {"llama-grouped", {9, 12, 12, 5, 2, 1, 2, 4, 1, 1, 1, 1, 1, 1, 9, 1, 1, 1, 1, 1}},
    {"llama-linear", {0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8}},
    {"qwen2", {1, 1, 1, 1, 4, 4, 4, 9, 4, 3, 1, 5, 3, 1, 4, 7, 3, 1, 5, 3}},
    {"qwen3", {0, 0, 0, 0, 0, 5, 5, 1, 9, 9, 9, 9, 4, 3, 5, 4, 3, 4, 3, 4}},
};
enum { GREEDY_COUNT = sizeof GREEDY / sizeof *GREEDY, ANSWER = 20 };

static void test_greedy(const char *path) {
    static const Sampling most_probable = {.penalty = 1, .top_p = 1};
    TensorFile file;
    Error err = {0};
    if (!tensors_open(&file, path, &err)) {
        CHECK(false, "%s", err.text);
        return;
    }
    for (int i = 0; i < GREEDY_COUNT; i++) {
        Case c = {.file = &file, .name = str(GREEDY[i].name)};
        ModelFolder f = {.model = model_new(config_of(&c), &err)};
        CHECK(f.model, "%s: %s", GREEDY[i].name, err.text);
        if (!f.model) break;
        weights_read(&c, f.model);
        Generator *g = generator_new(&f, "model", &most_probable, 1);
        IntBuf row = {0}, answer = {0};
        StopReason why;
        for (size_t k = 0; k < 3; k++) ints_put(&row, (int)number(&c, "ids", k));
        CHECK(generator_answer(g, &row, ANSWER, NULL, NULL, &answer, &why, &err), "%s", err.text);
        for (int k = 0; k < ANSWER; k++)
            CHECK(k < answer.n && answer.v[k] == GREEDY[i].answer[k], "%s: token %d", c.name.s, k);
        ints_free(&row);
        ints_free(&answer);
        generator_free(g);
        model_folder_free(&f);
    }
    tensors_close(&file);
}

int main(int argc, char **argv) {
    static const char file[] = "tests/reference/families.safetensors";
    test_file(argc > 1 ? argv[1] : file);
    test_greedy(file);
    threads_use(1);
    for (int f = 0; f < FAMILY_MODELS; f++) test_adapters(FAMILIES[f]);
    test_adapters(SMALL);
    test_refusals();
    return check_report("test_families");
}
