/* model: AdamW [E13], the table of tensors, their shapes and first values. */
#include "tests/reference/oracle.h"
#include "tests/unit/model_rows.h"

/* ---- AdamW ---- */

/* [E13] Against the oracle's, weight by weight. In float, 1 - beta2 is off by u / (1 - beta2) of
 * itself, the root by half of that; every other operation by a few u. */
static void test_optimizer(void) {
    enum { STEPS = 6 };
    const double b1 = 0.9, b2 = 0.98, decay = 0.1, scale = 0.7;
    Rng rng = rng_new(19, 0);
    Model *m = model_shaken(SMALL, 19);
    size_t n = m->parameters;
    Optimizer *o = optimizer_new(m, b1, b2, decay);
    CHECK(o->epsilon == 1e-8 && o->step == 0, "a new optimizer: epsilon %g, step %ld", o->epsilon,
          o->step);
    real *grad = grad_new(m);
    OracleWeight *x = mem_new(n, sizeof *x);
    double total = 0;
    for (size_t i = 0; i < n; i++) x[i].w = (double)m->w[i];
    for (int step = 1; step <= STEPS; step++) {
        OracleAdam how = {1e-2 / step, b1, b2, 1e-8, 0};
        for (size_t i = 0; i < n; i++) { /* of all sizes: none, about epsilon, about 1 */
            grad[i] = (real)(i % 5 == 0 ? 0 : rng_normal(&rng) * (i % 5 == 1 ? 1e-8 : 1));
            if (i == n - 1) grad[i] = 3;
        }
        total += how.learning_rate;
        optimizer_step(o, m, grad, scale, how.learning_rate);
        for (int i = 0; i < m->tensor_count; i++) {
            how.decay = m->tensors[i].rank == 2 ? decay : 0;
            for (size_t j = m->tensors[i].offset; j < m->tensors[i].offset + m->tensors[i].size;
                 j++)
                oracle_adamw(&how, &x[j], scale * (double)grad[j], step);
        }
    }
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double error = fabs((double)m->w[i] - x[i].w),
               bound = U * (total * (16 + 3 / (1 - b2)) + STEPS * (fabs(x[i].w) + total));
        if (!(error / bound <= worst)) worst = error / bound;
    }
    CHECK(worst <= 1, "AdamW: weights off by %.3g times the bound", worst);
    CHECK(o->step == STEPS, "AdamW: %ld steps", o->step);
    free(x);
    free(grad);
    optimizer_free(o);
    model_free(m);
}

static void test_norm(void) {
    const ModelConfig configs[2] = {
        {.layers = 1, .heads = 1, .channels = 3, .context = 4, .vocab = 5}, WIDE};
    for (int c = 0; c < 2; c++) {
        Model *m = model_shaken(configs[c], 20);
        double sum = 0;
        for (size_t i = 0; i < m->parameters; i++) sum += (double)m->w[i] * (double)m->w[i];
        double norm = gradient_norm(m, m->w);
        CHECK(fabs(norm - sqrt(sum)) <= 1e-12 * norm, "norm %.17g, should be %.17g", norm,
              sqrt(sum));
        m->w[m->parameters - 1] = 1e20f; /* the square is no float */
        norm = gradient_norm(m, m->w);
        CHECK(fabs(norm - 1e20) <= 1e14, "norm of a gradient of 1e20: %g", norm);
        model_free(m);
    }
}

/* ---- tables, copies, initialization ---- */

#define SHAPE(l, h, c, t, v)                                                                       \
    { .layers = l, .heads = h, .channels = c, .context = t, .vocab = v }

static void test_table(void) {
    Model *m = model_shaken(SMALL, 21);
    size_t at = 0, C = 24, expected = 61 * C + MOST * C + 2 * (12 * C * C + 13 * C) + 2 * C;
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        CHECK(t->offset == at && t->decay == (t->rank == 2), "%s: offset or decay", t->name);
        at += t->size;
    }
    CHECK(at == expected && m->parameters == expected, "%zu parameters, should be %zu",
          m->parameters, expected);
    Model *copy = model_copy(m);
    CHECK(copy->w != m->w && same(copy->w, m->w, m->parameters * sizeof(real)), "model_copy");
    model_free(copy);
    const ModelConfig bad[] = {
        SHAPE(0, 1, 4, 4, 4),       SHAPE(1, 0, 4, 4, 4),       SHAPE(1, 1, 0, 4, 4),
        SHAPE(1, 1, 4, 0, 4),       SHAPE(1, 1, 4, 4, 0),       SHAPE(1, 3, 4, 4, 4),
        SHAPE(1, 1, -4, 4, 4),      SHAPE(1 << 30, 1, 4, 4, 4), SHAPE(1, 1, 1, 1, 1 << 30),
        SHAPE(1, 1, 1 << 30, 4, 4), SHAPE(1, 1, 4, 1 << 30, 4)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Error err = {0};
        Model *none = model_new(bad[i], &err);
        CHECK(!none && (err.status == STATUS_DATA || err.status == STATUS_USAGE),
              "bad shape %zu was accepted", i);
    }
    /* the limits themselves: the largest is accepted (where memory allows to try), one more is
     * not */
    const ModelConfig largest_ones[] = {SHAPE(1000, 1, 1, 1, 1), SHAPE(1, 1, 1, 1 << 20, 1),
                                        SHAPE(1, 1, 1, 1, 1 << 24)};
    const ModelConfig beyond[] = {SHAPE(1001, 1, 1, 1, 1), SHAPE(1, 10001, 10001, 1, 1),
                                  SHAPE(1, 1, 100001, 1, 1), SHAPE(1, 1, 1, (1 << 20) + 1, 1),
                                  SHAPE(1, 1, 1, 1, (1 << 24) + 1)};
    for (size_t i = 0; i < sizeof largest_ones / sizeof *largest_ones; i++) {
        Error err = {0};
        Model *most = model_new(largest_ones[i], &err);
        CHECK(most && err.status == 0, "largest shape %zu: %s", i, err.text);
        model_free(most);
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        Error err = {0};
        CHECK(!model_new(beyond[i], &err) && err.status == STATUS_DATA,
              "shape %zu beyond the largest was accepted", i);
    }
    double layer = 2.0 * 12 * 24 * 24 + 4 * 24 * 5,
           qkv = 2.0 * 3 * 24 * 24; /* the last layer: qkv, and the rest of the scored */
    double flops = model_flops(m, 10, 9, 4),
           want = 10 * (layer + qkv) + 4 * (layer - qkv + 2 * 24 * 61.0);
    CHECK(flops == want, "%g operations, should be %g", flops, want);
    model_free(m);
    model_free(NULL);
    optimizer_free(NULL);
    prefix_free(NULL);
    workspace_free(NULL);
}

/* Names and shapes are those of a Hugging Face GPT-2, whose linear layers have [in][out]. */
static void test_shapes(void) {
    enum { C = 24, INSIDE = 12 }; /* SMALL's channels; tensors of a layer */
    typedef struct {
        const char *name;
        int rows, columns;
    } Shape; /* columns 0: a vector */
    static const Shape first[2] = {{"wte.weight", 61, C}, {"wpe.weight", MOST, C}};
    static const Shape last[2] = {{"ln_f.weight", C, 0}, {"ln_f.bias", C, 0}};
    static const Shape layer[INSIDE] = {{"ln_1.weight", C, 0},
                                        {"ln_1.bias", C, 0},
                                        {"attn.c_attn.weight", C, 3 * C},
                                        {"attn.c_attn.bias", 3 * C, 0},
                                        {"attn.c_proj.weight", C, C},
                                        {"attn.c_proj.bias", C, 0},
                                        {"ln_2.weight", C, 0},
                                        {"ln_2.bias", C, 0},
                                        {"mlp.c_fc.weight", C, 4 * C},
                                        {"mlp.c_fc.bias", 4 * C, 0},
                                        {"mlp.c_proj.weight", 4 * C, C},
                                        {"mlp.c_proj.bias", C, 0}};
    Error err = {0};
    Model *m = model_new(SMALL, &err);
    CHECK(m->tensor_count == 2 + 2 * INSIDE + 2, "%d tensors", m->tensor_count);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        int l = (i - 2) / INSIDE;
        const Shape *want = i < 2   ? &first[i]
                            : l < 2 ? &layer[(i - 2) % INSIDE]
                                    : &last[i - 2 - 2 * INSIDE];
        char name[48];
        if (i < 2 || l == 2) snprintf(name, sizeof name, "%s", want->name);
        else snprintf(name, sizeof name, "h.%d.%s", l, want->name);
        CHECK(strcmp(t->name, name) == 0 && t->rank == (want->columns ? 2 : 1) &&
                  t->shape[0] == want->rows && t->shape[1] == want->columns,
              "tensor %d: %s [%d][%d], should be %s [%d][%d]", i, t->name, t->shape[0], t->shape[1],
              name, want->rows, want->columns);
    }
    model_free(m);
}

static void test_initialize(void) {
    Error err = {0};
    Model *m = model_new(WIDE, &err), *other = model_new(WIDE, &err);
    model_initialize(m, 5);
    model_initialize(other, 5);
    CHECK(same(m->w, other->w, m->parameters * sizeof(real)), "the same seed gives other weights");
    model_initialize(other, 6);
    CHECK(!same(m->w, other->w, m->parameters * sizeof(real)),
          "another seed gives the same weights");
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        double sum = 0, squares = 0, size = (double)t->size;
        for (size_t j = 0; j < t->size; j++)
            sum += (double)m->w[t->offset + j], squares += pow((double)m->w[t->offset + j], 2);
        bool gain = t->rank == 1 && strstr(t->name, "ln_") && strstr(t->name, "weight");
        double std = t->rank == 1                ? 0
                     : strstr(t->name, "c_proj") ? 0.02 / sqrt(4)
                                                 : 0.02,
               found = sqrt(squares / size);
        if (t->rank == 1)
            CHECK(sum == (gain ? size : 0) && squares == sum, "%s is not all %d", t->name, gain);
        else /* five deviations of the estimates */
            CHECK(fabs(found - std) < 5 * std / sqrt(2 * size) &&
                      fabs(sum / size) < 5 * std / sqrt(size),
                  "%s: mean %g, deviation %g, should be %g", t->name, sum / size, found, std);
    }
    model_free(other);
    /* every tensor has numbers of its own, and another layer changes none that was there */
    ModelConfig deeper = WIDE;
    deeper.layers++;
    other = model_new(deeper, &err);
    model_initialize(m, 5);
    model_initialize(other, 5);
    int same_start = 0, moved = 0;
    for (int i = 0; i < m->tensor_count - 2; i++) { /* but ln_f */
        const ModelTensor *t = &m->tensors[i];
        for (int j = 0; j < i && t->rank == 2; j++)
            same_start += m->w[t->offset] == m->w[m->tensors[j].offset];
        bool residual =
            t->rank == 2 &&
            strstr(t->name, "c_proj"); /* its deviation falls with the number of layers */
        moved += !residual && !same(m->w + t->offset, other->w + t->offset, t->size * sizeof(real));
    }
    CHECK(same_start == 0 && moved == 0,
          "%d tensors begin with the same number, %d change with another layer", same_start, moved);
    model_free(m);
    model_free(other);
}

int main(void) {
    test_optimizer();
    test_norm();
    test_table();
    test_shapes();
    test_initialize();
    return check_report("test_parameters");
}
