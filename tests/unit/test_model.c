/* model: derivatives against differences and against the oracle, and bits that must not change.
 *
 * Where two computations may differ by rounding, the bound is ROUNDINGS x u of the largest
 * element of the tensor, u the unit roundoff. A pass forward and back through the 2-layer model
 * is 2 (8 L + 3) = 38 stages, each with sums of at most 160 terms (positions; 96 channels).
 * Independent roundings add up like a random walk: sqrt(38 x 160) = 78 u; three deviations and a
 * little: 256 u, that is 1.5e-5 for float and 2.8e-14 for double. The largest seen is some 80 u.
 * Without FMA there are twice as many roundings: three times sqrt(76 x 160) is 331 u, the bound is
 * 512, and the largest seen 339 (the keys' weights of a llama, a difference of large numbers).
 * A wrong term is larger by orders of magnitude. */
#include "model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/reference/oracle.h"
#include "tests/unit/model_rows.h"

#ifdef _OPENMP
#include <omp.h>
#endif

static void set_threads(int n) {
#ifdef _OPENMP
    omp_set_num_threads(n);
#else
    (void)n;
#endif
}

/* ---- against central differences: the loss sum_r w_r logp_r / n_r and its gradient ---- */

#ifdef REAL_DOUBLE
static const ModelConfig TINY = {
    .layers = 2, .heads = 2, .channels = 16, .context = MOST, .vocab = 61};

static double loss_of(const Model *m, Workspace *ws, const Load *load) {
    double logp[ROWS], loss = 0;
    model_forward(m, ws, &load->batch, false, logp, NULL);
    for (int r = 0; r < load->count; r++) loss += load->dlogp[r] * logp[r];
    return loss;
}

/* h = 1e-5: the error of the difference is h^2/6 f''' + u f/h, some 1e-10 each. Prefixes keep
 * the keys and values that the unchanged weights gave: they are constants. */
static void check_differences(ModelConfig config, const Row *rows, int count, const char *what) {
    enum { COORDINATES = 16 }; /* of a tensor */
    const double h = 1e-5;
    Model *m = model_shaken(config, 7);
    Workspace *ws = workspace_new();
    Load load = load_new(m, ws, rows, count);
    Rng rng = rng_new(11, 0);
    double logp[ROWS];
    real *grad = grad_new(m);
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad, true);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        bool all = t->size <= COORDINATES;
        double most = largest(grad + t->offset, t->size), worst = 0;
        for (int c = 0; c < (all ? (int)t->size : COORDINATES); c++) {
            size_t at = t->offset + (size_t)(all ? c : rng_below(&rng, (int)t->size));
            double w = m->w[at];
            m->w[at] = w + h;
            double up = loss_of(m, ws, &load);
            m->w[at] = w - h;
            double down = loss_of(m, ws, &load);
            m->w[at] = w;
            worst = fmax(worst, fabs((up - down) / (2 * h) - grad[at]));
        }
        CHECK(most > 1e-4, "%s: %s has a gradient of %.3g: too small to test", what, t->name, most);
        CHECK(worst <= 1e-7 + 1e-6 * most, "%s: %s is off by %.3g, its largest is %.3g", what,
              t->name, worst, most);
    }
    free(grad);
    load_free(&load);
    workspace_free(ws);
    model_free(m);
}

static void test_differences(ModelConfig config) {
    Rng rng = rng_new(1, 0);
    Model *m = model_shaken(config, 7);
    Row rows[4];
    const int lengths[4] = {2, 3, 64, 66};
    for (int r = 0; r < 4; r++) rows[r] = row_new(&rng, m, lengths[r], 0, false);
    check_differences(config, rows, 4, "differences, plain rows");
    const int behind[4][2] = {{130, 0}, {75, 70}, {9, 5}, {66, 1}}; /* length, of which prefix */
    for (int r = 0; r < 4; r++) rows[r] = row_new(&rng, m, behind[r][0], behind[r][1], true);
    check_differences(config, rows, 4, "differences, weighted rows behind prefixes");
    model_free(m);
}
#endif

/* ---- against the oracle ---- */

/* The row's logp, and grad += dlogp x its derivative; *scale: what the error of logp is measured
 * by. */
static double oracle_row(const Oracle *o, const Row *row, double *grad, double *scale, int *hits) {
    int n = row->n - 1, target[MOST];
    double factor[MOST], logp = 0;
    OracleRun *run = oracle_run(o, row->sequence, n);
    *scale = *hits = 0;
    for (int t = 0; t < n; t++) {
        double weight = (double)row->weight[t + 1];
        target[t] = weight != 0 ? row->sequence[t + 1] : -1;
        factor[t] = weight * row->dlogp;
        if (weight == 0) continue;
        logp += weight * run->logp[t * o->V + target[t]];
        *scale += fabs(weight) * largest(run->logits + t * o->V, (size_t)o->V);
        *hits += run->best[t] == target[t];
    }
    oracle_backward(o, run, row->P, target, factor, grad);
    oracle_run_free(run);
    return logp;
}

/* [embedding] [linear] [norm] [rotary] [attention] [gelu] [swiglu] [head] Log-likelihoods, hits,
 * and the derivative by every parameter. */
static void check_oracle(const Model *m, const Row *rows, int count, const char *what) {
    Oracle *o = oracle_new(m);
    Workspace *ws = workspace_new();
    Load load = load_new(m, ws, rows, count);
    double logp[ROWS], *expected = mem_new(m->parameters, sizeof *expected);
    int hits[ROWS];
    real *grad = grad_new(m);
    model_forward(m, ws, &load.batch, true, logp, hits);
    model_backward(m, ws, &load.batch, load.dlogp, grad, true);
    for (int r = 0; r < count; r++) {
        double scale, p;
        int expected_hits;
        p = oracle_row(o, &rows[r], expected, &scale, &expected_hits);
        CHECK(fabs(logp[r] - p) <= ROUNDINGS * U * scale,
              "%s: row %d of %d tokens: logp %.17g, the oracle says %.17g (%.0f u)", what, r,
              rows[r].n, logp[r], p, fabs(logp[r] - p) / scale / U);
        CHECK(hits[r] == expected_hits, "%s: row %d: %d hits, the oracle says %d", what, r, hits[r],
              expected_hits);
    }
    check_gradient(m, grad, expected, ROUNDINGS * U, what);
    free(grad);
    free(expected);
    load_free(&load);
    workspace_free(ws);
    oracle_free(o);
}

/* A model of each family. */
static void test_oracle_families(void) {
    const int behind[5][2] = {{70, 0}, {3, 1}, {66, 1}, {40, 33}, {75, 70}};
    for (int f = 0; f < FAMILY_MODELS; f++) {
        Rng rng = rng_new(2, (uint64_t)f);
        Row rows[5];
        Model *m = model_shaken(FAMILIES[f], 3);
        for (int r = 0; r < 5; r++)
            rows[r] = row_new(&rng, m, behind[r][0], behind[r][1], r % 2 == 1);
        check_oracle(m, rows, 5, family_name(m->config.family));
        model_free(m);
    }
}

static void test_oracle(void) {
    Rng rng = rng_new(2, 0);
    Row rows[9];
    Model *m = model_shaken(SMALL, 3);
    const int lengths[9] = {2, 3, 10, 63, 64, 65, 66, 70, 130};
    for (int r = 0; r < 9; r++) rows[r] = row_new(&rng, m, lengths[r], 0, r % 2 == 1);
    check_oracle(m, rows, 9, "ragged rows");
    const int behind[8][2] = {{3, 1},    {66, 1},  {12, 5},   {65, 63},
                              {129, 64}, {67, 65}, {161, 70}, {40, 0}};
    for (int r = 0; r < 8; r++) rows[r] = row_new(&rng, m, behind[r][0], behind[r][1], r % 2 == 0);
    check_oracle(m, rows, 8, "rows behind prefixes");
    model_free(m);
    ModelConfig odd = {.layers = 1, .heads = 1, .channels = 7, .context = 70, .vocab = 3};
    m = model_shaken(odd, 4);
    for (int r = 0; r < 3; r++) rows[r] = row_new(&rng, m, r == 0 ? 71 : 5 + r, r, r == 1);
    check_oracle(m, rows, 3, "a model of odd sizes");
    model_free(m);
    ModelConfig over = {.layers = 1,
                        .heads = 5,
                        .channels = 65,
                        .context = 20,
                        .vocab = 17}; /* one more than whole blocks */
    m = model_shaken(over, 6);
    for (int r = 0; r < 3; r++) rows[r] = row_new(&rng, m, 21 - 5 * r, r, r == 1);
    check_oracle(m, rows, 3, "a model of 65 channels");
    model_free(m);
    m = model_shaken(WIDE, 5);
    for (int r = 0; r < 4; r++) rows[r] = row_new(&rng, m, 75 + 3 * r, r * 20, r == 1);
    check_oracle(m, rows, 4, "a wider model");
    model_free(m);
}

/* Half of the tokens are the oracle's own choice, so that there are hits to count. */
static void test_hits(void) {
    enum { N = 40 };
    Rng rng = rng_new(3, 0);
    Model *m = model_shaken(SMALL, 3);
    Oracle *o = oracle_new(m);
    Row row = row_new(&rng, m, N, 0, false);
    int greedy = 0;
    row.first = 1;
    row.dlogp = -1;
    for (int i = 1; i < N; i++) {
        OracleRun *run = oracle_run(o, row.sequence, i);
        if (rng_below(&rng, 2)) row.sequence[i] = run->best[i - 1];
        row.weight[i] = 1;
        greedy += row.sequence[i] == run->best[i - 1];
        oracle_run_free(run);
    }
    CHECK(greedy > N / 4 && greedy < N - N / 4, "%d greedy tokens of %d are no test", greedy, N);
    check_oracle(m, &row, 1, "half greedy");
    oracle_free(o);
    model_free(m);
}

/* All weights zero: every token has probability 1/V, and of equal logits the first is the
 * model's choice. */
static void test_zero_model(void) {
    Error err = {0};
    Model *m = model_new(SMALL, &err);
    Workspace *ws = workspace_new();
    Batch b = {0};
    const int sequence[6] = {5, 0, 60, 0, 1, 0};
    double logp[1];
    int hits[1];
    batch_row(&b, sequence, 6, 1, NULL);
    model_forward(m, ws, &b, false, logp, hits);
    CHECK(fabs(logp[0] + 5 * log(61)) < 1e-5, "zero model: logp %.9g", logp[0]);
    CHECK(hits[0] == 3, "zero model: %d hits, 3 targets are token 0", hits[0]);
    batch_free(&b);
    workspace_free(ws);
    model_free(m);
}

/* A weight that is not a number must be seen: in logp, in the gradient, and no token counts as a
 * hit. */
static void test_nan_model(void) {
    Rng rng = rng_new(3, 1);
    Model *m = model_shaken(SMALL, 3);
    Workspace *ws = workspace_new();
    Row row = row_new(&rng, m, 12, 0, false);
    double logp[1], dlogp = -1;
    int hits[1];
    real *grad = grad_new(m);
    Batch b = {0};
    m->w[m->tensors[m->tensor_count - 1].offset] =
        NAN; /* ln_f's bias: every logit of every token */
    batch_row(&b, row.sequence, row.n, 1, NULL);
    model_forward(m, ws, &b, true, logp, hits);
    model_backward(m, ws, &b, &dlogp, grad, true);
    CHECK(isnan(logp[0]) && hits[0] == 0, "a model with NaN: logp %g, %d hits", logp[0], hits[0]);
    CHECK(isnan(gradient_norm(m, grad)), "a model with NaN: a gradient of norm %g",
          gradient_norm(m, grad));
    free(grad);
    batch_free(&b);
    workspace_free(ws);
    model_free(m);
}

/* ---- prefixes: the same bits however they came about ---- */

/* Prefix of the first P tokens, in one piece or in several. */
static Prefix *prefix_made(const Model *m, Workspace *ws, const int *tokens, int P, int way) {
    Prefix *p = prefix_new(m, m->config.context);
    if (way == 0) extend(m, ws, p, tokens, P);
    for (int at = 0, piece = 1; way == 1 && at < P; at += piece, piece = piece % 29 + 7)
        extend(m, ws, p, tokens + at, P - at < piece ? P - at : piece);
    CHECK(p->length == P, "a prefix of %d tokens has length %d", P, p->length);
    return p;
}

static bool same_keys(const Model *m, const Prefix *a, const Prefix *b) {
    size_t C2 = 2 * (size_t)m->shape.keys, bytes = (size_t)a->length * C2 * sizeof(real);
    if (a->length != b->length) return false;
    for (size_t l = 0; l < (size_t)m->config.layers; l++)
        if (!same(a->kv + l * (size_t)a->capacity * C2, b->kv + l * (size_t)b->capacity * C2,
                  bytes))
            return false;
    return true;
}

static void test_prefix_bits(ModelConfig config) {
    const int lengths[] = {1, 2, 5, 31, 63, 64, 65, 70, 127, 128, 129, 149};
    Rng rng = rng_new(4, 0);
    Model *m = model_shaken(config, 8);
    Workspace *ws = workspace_new();
    Row row = row_new(&rng, m, 151, 0, false);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        int P = lengths[i];
        Batch b = {0};
        batch_row(&b, row.sequence, row.n, P + 1, NULL);     /* every token behind P */
        batch_row(&b, row.sequence, row.n, row.n - 1, NULL); /* the last */
        double whole[2], behind[2];
        int hits_whole[2], hits_behind[2];
        model_forward(m, ws, &b, false, whole, hits_whole);
        Prefix *first = prefix_made(m, ws, row.sequence, P, 0);
        for (int way = 0; way < 2; way++) {
            Prefix *p = prefix_made(m, ws, row.sequence, P, way);
            CHECK(same_keys(m, first, p), "prefix of %d tokens: way %d gives other keys or values",
                  P, way);
            batch_clear(&b);
            batch_row(&b, row.sequence + P, row.n - P, 1, p);
            batch_row(&b, row.sequence + P, row.n - P, row.n - P - 1, p);
            model_forward(m, ws, &b, way == 1, behind, hits_behind);
            CHECK(same(whole, behind, sizeof whole),
                  "behind %d tokens, way %d: logp %.17g %.17g, in one piece %.17g %.17g", P, way,
                  behind[0], behind[1], whole[0], whole[1]);
            CHECK(same(hits_whole, hits_behind, sizeof hits_whole),
                  "behind %d tokens, way %d: other hits", P, way);
            prefix_free(p);
        }
        prefix_free(first);
        batch_free(&b);
    }
    workspace_free(ws);
    model_free(m);
}

/* A tree: rows behind pieces that begin where others end, two of them behind one parent. The
 * same bits as whole rows, forward, and as behind one prefix in one piece, backward: no gradient
 * flows into any piece. */
static void test_prefix_tree(ModelConfig config) {
    enum { TRUNK = 70, BRANCH = 33, TWIG = 5, REST = 30 };
    Rng rng = rng_new(14, 0);
    Model *m = model_shaken(config, 8);
    Workspace *ws = workspace_new();
    Batch whole = {0}, behind = {0}, one_piece = {0};
    Prefix *trunk = prefix_new(m, TRUNK), *branch[2], *twig[2], *one[2];
    Row row[2];
    for (int r = 0; r < 2; r++) {
        row[r] = row_new(&rng, m, TRUNK + BRANCH + TWIG + REST, 0, false);
        if (r) memcpy(row[1].sequence, row[0].sequence, TRUNK * sizeof(int));
        else extend(m, ws, trunk, row[0].sequence, TRUNK);
        branch[r] = prefix_after(m, trunk, BRANCH);
        extend(m, ws, branch[r], row[r].sequence + TRUNK, BRANCH);
        twig[r] = prefix_after(m, branch[r], TWIG);
        extend(m, ws, twig[r], row[r].sequence + TRUNK + BRANCH, TWIG);
        one[r] = prefix_new(m, MOST);
        extend(m, ws, one[r], row[r].sequence, TRUNK + BRANCH + TWIG);
        int before = TRUNK + BRANCH + TWIG;
        batch_row(&whole, row[r].sequence, row[r].n, before + 1, NULL);
        batch_row(&behind, row[r].sequence + before, row[r].n - before, 1, twig[r]);
        batch_row(&one_piece, row[r].sequence + before, row[r].n - before, 1, one[r]);
    }
    double logp[3][2], dlogp[2] = {0.5, -0.25};
    real *grad[2] = {mem_new(m->parameters, sizeof(real)), mem_new(m->parameters, sizeof(real))};
    model_forward(m, ws, &whole, false, logp[0], NULL);
    model_forward_backward(m, ws, &behind, dlogp, logp[1], grad[0], true);
    model_forward_backward(m, ws, &one_piece, dlogp, logp[2], grad[1], true);
    CHECK(same(logp[0], logp[1], sizeof logp[0]), "behind a tree: other bits than whole rows");
    CHECK(same(logp[0], logp[2], sizeof logp[0]), "behind one prefix: other bits than whole rows");
    CHECK(same(grad[0], grad[1], m->parameters * sizeof(real)),
          "behind a tree: another gradient than behind one prefix");
    for (int r = 0; r < 2; r++) {
        prefix_free(twig[r]);
        prefix_free(branch[r]);
        prefix_free(one[r]);
        free(grad[r]);
    }
    prefix_free(trunk);
    batch_free(&whole);
    batch_free(&behind);
    batch_free(&one_piece);
    workspace_free(ws);
    model_free(m);
}

/* Prefixes extended side by side in one batch, at different lengths, are those extended one by
 * one; then the logits. */
static void test_extend(ModelConfig config) {
    enum { COUNT = 3 };
    const int lengths[COUNT][2] = {
        {3, 64}, {70, 1}, {64, 65}}; /* before, and what the common batch adds */
    Rng rng = rng_new(5, 0);
    Model *m = model_shaken(config, 9);
    Oracle *o = oracle_new(m);
    Workspace *ws = workspace_new(), *alone = workspace_new();
    Batch b = {0};
    Prefix *p[COUNT];
    Row row[COUNT];
    int V = m->config.vocab;
    real logits[61], logits_alone[61]; /* V or more */
    for (int r = 0; r < COUNT; r++) {
        row[r] = row_new(&rng, m, lengths[r][0] + lengths[r][1], 0, false);
        p[r] = prefix_new(m, MOST);
        extend(m, ws, p[r], row[r].sequence, lengths[r][0]);
        batch_row_inputs(&b, row[r].sequence + lengths[r][0], lengths[r][1], p[r]);
    }
    model_extend(m, ws, &b);
    for (int r = 0; r < COUNT; r++) {
        Prefix *one = prefix_new(m, MOST);
        Batch single = {0};
        batch_row_inputs(&single, row[r].sequence, row[r].n, one);
        model_extend(m, alone, &single);
        CHECK(same_keys(m, one, p[r]),
              "prefix %d, extended in a batch, has other keys or values than alone", r);
        model_logits(m, ws, r, logits);
        model_logits(m, alone, 0, logits_alone);
        CHECK(same(logits, logits_alone, (size_t)V * sizeof *logits),
              "row %d: the logits of a batch differ from those of the row alone", r);
        OracleRun *run = oracle_run(o, row[r].sequence, row[r].n);
        const double *expected = run->logits + (row[r].n - 1) * V;
        double worst = 0, most = largest(expected, (size_t)V);
        for (int v = 0; v < V; v++) worst = fmax(worst, fabs((double)logits[v] - expected[v]));
        CHECK(worst <= ROUNDINGS * U * most, "row %d: logits off by %.3g of %.3g", r, worst, most);
        oracle_run_free(run);
        batch_free(&single);
        prefix_free(one);
        prefix_free(p[r]);
    }
    batch_free(&b);
    workspace_free(ws);
    workspace_free(alone);
    oracle_free(o);
    model_free(m);
}

/* ---- batches: neighbors, threads and passes change no bit ---- */

/* Rows of all kinds, in the lengths around the blocks. */
static int rows_mixed(Row *rows, const Model *m, uint64_t seed) {
    const int shapes[8][2] = {{2, 0},   {64, 0}, {66, 1},   {130, 0},
                              {80, 70}, {65, 0}, {135, 65}, {11, 5}};
    Rng rng = rng_new(seed, 0);
    for (int r = 0; r < 8; r++) rows[r] = row_new(&rng, m, shapes[r][0], shapes[r][1], r % 3 == 1);
    return 8;
}

static void test_batch_bits(ModelConfig config) {
    Model *m = model_shaken(config, 10);
    Row rows[ROWS], turned[ROWS];
    int count = rows_mixed(rows, m, 6);
    double alone[ROWS], logp[ROWS];
    real *grad = grad_new(m);
    for (int r = 0; r < count; r++) run_rows(m, &rows[r], 1, &alone[r], grad);
    for (int turn = 0; turn < count; turn++) {
        for (int r = 0; r < count; r++) turned[r] = rows[(r + turn) % count];
        run_rows(m, turned, count, logp, grad);
        for (int r = 0; r < count; r++)
            CHECK(same(&logp[r], &alone[(r + turn) % count], sizeof *logp),
                  "row %d at place %d: logp %.17g, alone %.17g", (r + turn) % count, r, logp[r],
                  alone[(r + turn) % count]);
    }
    free(grad);
    model_free(m);
}

/* Rows whose derivative is 0 add nothing: the gradient has the same bits without them, wherever
 * they stand. So training leaves out records of weight 0. */
static void test_weightless(ModelConfig config) {
    enum { EACH = 120 }; /* tokens of a row: the sums over all rows are of several k-blocks */
    Rng rng = rng_new(14, 0);
    Model *m = model_shaken(config, 14);
    Row rows[ROWS], some[ROWS];
    double logp[ROWS], logp_some[ROWS];
    real *grad = grad_new(m), *without = grad_new(m);
    for (int turn = 0; turn < 6; turn++) {
        int n = 0;
        for (int r = 0; r < ROWS; r++) {
            rows[r] = row_new(&rng, m, EACH + rng_below(&rng, MOST - EACH), 0, false);
            if (rng_below(&rng, 6) < turn) rows[r].dlogp = 0;
            else some[n++] = rows[r];
        }
        memset(grad, 0, m->parameters * sizeof(real));
        memset(without, 0, m->parameters * sizeof(real));
        run_rows(m, rows, ROWS, logp, grad);
        run_rows(m, some, n, logp_some, without);
        CHECK(same(grad, without, m->parameters * sizeof(real)),
              "%d of %d rows have a weight: other bits without the rest", n, ROWS);
    }
    free(grad);
    free(without);
    model_free(m);
}

/* A workspace that other models, sizes and passes went through gives the bits of a new one. */
static void test_workspace(void) {
    Model *m = model_shaken(SMALL, 12), *wide = model_shaken(WIDE, 12);
    Row rows[ROWS];
    int count = rows_mixed(rows, m, 8);
    double expected[ROWS], logp[ROWS];
    real *grad = grad_new(m), *expected_grad = grad_new(m), *grad_wide = grad_new(wide);
    run_rows(m, rows, count, expected, expected_grad);
    Workspace *ws = workspace_new();
    Load wide_load = load_new(wide, ws, rows, 2), load = load_new(m, ws, rows, count),
         two = load_new(m, ws, rows, 2);
    model_forward_backward(wide, ws, &wide_load.batch, wide_load.dlogp, logp, grad_wide, true);
    model_forward(m, ws, &two.batch, false, logp, NULL);
    model_forward(m, ws, &load.batch, false, logp, NULL);
    CHECK(same(logp, expected, (size_t)count * sizeof *logp),
          "a used workspace, scoring: other bits");
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad, true);
    CHECK(same(logp, expected, (size_t)count * sizeof *logp),
          "a used workspace: other bits of logp");
    CHECK(same(grad, expected_grad, m->parameters * sizeof(real)),
          "a used workspace: other bits of the gradient");
    size_t bytes = workspace_bytes(ws);
    model_forward(m, ws, &two.batch, false, logp,
                  NULL); /* the workspace keeps its size, and what it keeps for each layer */
    CHECK(same(logp, expected, 2 * sizeof *logp) && workspace_bytes(ws) == bytes && bytes > 0,
          "a workspace that is too large");
    memset(grad, 0, m->parameters * sizeof(real));
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad, true);
    CHECK(same(grad, expected_grad, m->parameters * sizeof(real)),
          "a workspace used again: other bits of the gradient");
    Workspace *small = workspace_new();
    model_forward_backward(m, small, &two.batch, two.dlogp, logp, grad, true);
    model_forward(m, small, &load.batch, false, logp, NULL);
    bytes = workspace_bytes(small);
    model_forward_backward(m, small, &two.batch, two.dlogp, logp, grad, true);
    CHECK(workspace_bytes(small) == bytes,
          "a workspace that grows gives up what it keeps for each layer");
    workspace_free(small);
    small = workspace_new();
    model_forward(m, small, &load.batch, false, logp, NULL);
    model_forward_backward(m, small, &two.batch, two.dlogp, logp, grad, true);
    bytes = workspace_bytes(small);
    model_forward(m, small, &load.batch, false, logp, NULL);
    CHECK(workspace_bytes(small) == bytes,
          "a workspace that begins to keep layers gives up its size");
    workspace_free(small);
    small = workspace_new();
    workspace_reserve(small, m, load.batch.tokens);
    bytes = workspace_bytes(small);
    model_forward(m, small, &load.batch, false, logp, NULL);
    CHECK(workspace_bytes(small) == bytes,
          "room for %d tokens: %zu bytes, and their pass takes %zu", load.batch.tokens, bytes,
          workspace_bytes(small));
    workspace_free(small);
    load_free(&wide_load);
    load_free(&load);
    load_free(&two);
    workspace_free(ws);
    free(grad);
    free(expected_grad);
    free(grad_wide);
    model_free(m);
    model_free(wide);
}

/* ---- the fast parts against their plain twins ---- */

static real *noise(Rng *rng, size_t n) {
    real *x = mem_new(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (real)rng_normal(rng);
    return x;
}

/* The bound is that of the whole model, although one part has fewer stages: see above. */
static void check_twins(const real *fast, const real *plain, size_t n, const char *what) {
    double off = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        off = fmax(off, fabs((double)fast[i] - (double)plain[i]));
        most = fmax(most, fabs((double)plain[i]));
    }
    CHECK(most > 0 && off <= ROUNDINGS * U * most, "%s: the twins differ by %.0f u", what,
          off / most / U);
}

/* Attention of rows of all kinds, with and without prefixes. */
static void test_attention_twins(int heads, int kv_heads, int D) {
    Rng rng = rng_new(31, 0);
    Model *m = model_shaken((ModelConfig){.layers = 2,
                                          .heads = heads,
                                          .kv_heads = kv_heads,
                                          .head_size = D,
                                          .channels = 24,
                                          .context = MOST,
                                          .vocab = 61,
                                          .family = FAMILY_LLAMA},
                            31);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    Load load = load_new(m, ws, rows, rows_mixed(rows, m, 31));
    size_t N = (size_t)load.batch.tokens, C = (size_t)(heads * D),
           row = (size_t)((heads + 2 * kv_heads) * D);
    real *qkv = noise(&rng, N * row), *dout = noise(&rng, N * C),
         *soft = mem_new(N, 2 * (size_t)heads * sizeof *soft);
    real *out[2], *dqkv[2];
    Attention a = {.batch = &load.batch,
                   .layer = 1,
                   .heads = heads,
                   .kv_heads = kv_heads,
                   .head_size = D,
                   .context = MOST,
                   .soft = soft};
    a.scratch_size = attention_scratch(MOST, D);
    a.scratch = mem_new((size_t)threads_most() * a.scratch_size, sizeof(real));
    for (int twin = 0; twin < 2; twin++) {
        out[twin] = mem_new(N * C, sizeof(real));
        dqkv[twin] = noise(&rng, N * row); /* overwritten */
    }
    attention_forward_fast(&a, out[0], qkv);
    attention_forward_plain(&a, out[1], qkv);
    attention_backward_fast(&a, dqkv[0], dout, qkv);
    attention_backward_plain(&a, dqkv[1], dout, qkv);
    check_twins(out[0], out[1], N * C, "attention");
    check_twins(dqkv[0], dqkv[1], N * row, "attention, backward");
    for (int twin = 0; twin < 2; twin++) {
        free(out[twin]);
        free(dqkv[twin]);
    }
    free(qkv);
    free(dout);
    free(soft);
    free(a.scratch);
    load_free(&load);
    workspace_free(ws);
    model_free(m);
}

/* What one of the twins of the head leaves. */
typedef struct {
    real *dh, *dwte;
    double term[ROWS * MOST];
    int hit[ROWS * MOST];
} HeadResult;

static void head_run(Logits x, bool plain, HeadResult *r) {
    GradientTarget to = {0};
    size_t live = (size_t)x.map->live, C = (size_t)x.C;
    r->dh = mem_new(live * C, sizeof(real));
    r->dwte = mem_new((size_t)x.V * C, sizeof(real));
    x.term = r->term, x.hit = r->hit, x.dh = r->dh, x.dw = r->dwte;
    x.softmax = mem_new(live, sizeof *x.softmax);
    x.logits = mem_new(logits_room(x.V, x.map->live, true), sizeof(real));
    if (plain) logits_pass_plain(&x, true, &to);
    else logits_pass_fast(&x, true, &to);
    free(x.softmax);
    free(x.logits);
}

/* The head over several blocks of the vocabulary. A map where all tokens are live gives a token
 * without a target nothing; the fast twin never sees such tokens. */
static void test_head_twins(void) {
    static HeadResult result[2];
    static int ints[4][ROWS * MOST];
    Rng rng = rng_new(32, 0);
    Model *m = model_shaken(WIDE, 32);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    Load load = load_new(m, ws, rows, rows_mixed(rows, m, 32));
    RowMap map = {.token = ints[0], .row = ints[1], .position = ints[2], .first = ints[3]};
    rows_map(&map, &load.batch, ROWS_SCORED);
    size_t live = (size_t)map.live, C = 96, V = 600;
    real *h = noise(&rng, (size_t)load.batch.tokens * C);
    Logits x = {.batch = &load.batch,
                .map = &map,
                .C = 96,
                .V = 600,
                .h = h,
                .w = m->view.head,
                .dlogp = load.dlogp};
    for (int plain = 0; plain < 2; plain++) head_run(x, plain, &result[plain]);
    check_twins(result[0].dh, result[1].dh, live * C, "head, dh");
    check_twins(result[0].dwte, result[1].dwte, V * C, "head, dwte");
    CHECK(same(result[0].hit, result[1].hit, live * sizeof(int)), "head: other hits");
    for (size_t i = 0; i < live; i++)
        CHECK(fabs(result[0].term[i] - result[1].term[i]) <=
                  ROUNDINGS * U * fmax(1, fabs(result[1].term[i])),
              "head: token %zu has log p %.9g and %.9g", i, result[0].term[i], result[1].term[i]);
    free(result[1].dh);
    free(result[1].dwte);
    rows_map(&map, &load.batch, ROWS_ALL);
    head_run(x, true, &result[1]);
    for (int i = 0; i < map.live; i++)
        if (load.batch.target.v[i] < 0)
            CHECK(result[1].term[i] == 0 && result[1].hit[i] == 0 &&
                      result[1].dh[(size_t)i * C] == 0,
                  "head: token %d is not scored, and has log p %g", i, result[1].term[i]);
    for (int plain = 0; plain < 2; plain++) {
        free(result[plain].dh);
        free(result[plain].dwte);
    }
    free(h);
    load_free(&load);
    workspace_free(ws);
    model_free(m);
}

/* Packed and spread back, a live row is where it was and the others are zero; plain, nothing
 * moves. */
static void test_row_maps(void) {
    static int ints[4][ROWS * MOST];
    Rng rng = rng_new(33, 0);
    Model *m = model_shaken(SMALL, 33);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    Load load = load_new(m, ws, rows, rows_mixed(rows, m, 33));
    RowMap map = {.token = ints[0], .row = ints[1], .position = ints[2], .first = ints[3]};
    int N = load.batch.tokens;
    real *x = noise(&rng, (size_t)N * 5), *y = mem_new((size_t)N * 5, sizeof *y);
    for (int live = ROWS_SCORED; live <= ROWS_ALL; live++) {
        rows_map(&map, &load.batch, (RowsLive)live);
        rows_pick(&map, y, x, 5);
        rows_spread(&map, y, N, 5);
        int wrong = 0;
        for (int n = 0; n < N; n++) {
            bool last = n == load.batch.start.v[map.row[n] + 1] - 1,
                 scored = load.batch.target.v[n] >= 0;
            bool kept = live == ROWS_ALL || (live == ROWS_LAST ? last : scored);
            for (int c = 0; c < 5; c++) wrong += y[n * 5 + c] != (kept ? x[n * 5 + c] : 0);
        }
        CHECK(wrong == 0, "rows, map %d: %d numbers are wrong", live, wrong);
        for (int r = 0; r < load.batch.rows && live != ROWS_SCORED; r++)
            CHECK(map.token[rows_last(&map, r)] == load.batch.start.v[r + 1] - 1,
                  "rows: the last token of row %d", r);
    }
    free(x);
    free(y);
    load_free(&load);
    workspace_free(ws);
    model_free(m);
}

/* Two steps of AdamW with the model's own gradients; logp and grad are the last step's. */
static Model *train(const Model *start, const Row *rows, int count, int threads, double *logp,
                    real *grad, double *norm) {
    set_threads(threads);
    Model *m = model_copy(start);
    Optimizer *o = optimizer_new(m, 0.9, 0.99, 0.1);
    for (int step = 0; step < 2; step++) {
        memset(grad, 0, m->parameters * sizeof(real));
        run_rows(m, rows, count, logp, grad);
        *norm = gradient_norm(m, grad);
        optimizer_step(o, m, grad, fmin(1, 1 / *norm), 1e-2);
    }
    optimizer_free(o);
    return m;
}

static void test_thread_bits(ModelConfig config) {
    const int threads[] = {2, 3, 5, 8};
    Model *m = model_shaken(config, 13);
    Row rows[ROWS];
    int count = rows_mixed(rows, m, 9);
    double logp[ROWS], logp_one[ROWS], norm, norm_one;
    real *grad = grad_new(m), *grad_one = grad_new(m);
    Model *one = train(m, rows, count, 1, logp_one, grad_one, &norm_one);
    CHECK(!same(one->w, m->w, m->parameters * sizeof(real)), "training changed nothing");
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        Model *other = train(m, rows, count, threads[i], logp, grad, &norm);
        CHECK(same(logp, logp_one, (size_t)count * sizeof *logp), "%d threads: other bits of logp",
              threads[i]);
        CHECK(same(grad, grad_one, m->parameters * sizeof(real)),
              "%d threads: other bits of the gradient", threads[i]);
        CHECK(same(&norm, &norm_one, sizeof norm), "%d threads: other bits of the gradient's norm",
              threads[i]);
        CHECK(same(other->w, one->w, m->parameters * sizeof(real)),
              "%d threads: other bits of the weights", threads[i]);
        model_free(other);
    }
    set_threads(1);
    free(grad);
    free(grad_one);
    model_free(one);
    model_free(m);
}

/* model_forward and model_backward are model_forward_backward; the gradient is added to what is
 * there. */
static void test_two_passes(ModelConfig config) {
    Model *m = model_shaken(config, 14);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    int count = rows_mixed(rows, m, 10);
    Load load = load_new(m, ws, rows, count);
    double logp[ROWS], logp_two[ROWS];
    real *grad = grad_new(m), *grad_two = grad_new(m);
    for (size_t i = 0; i < m->parameters; i++) grad[i] = grad_two[i] = (real)(i % 7) - 3;
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad, true);
    model_forward(m, ws, &load.batch, true, logp_two, NULL);
    model_backward(m, ws, &load.batch, load.dlogp, grad_two, true);
    CHECK(same(logp, logp_two, (size_t)count * sizeof *logp), "forward alone: other bits of logp");
    CHECK(same(grad, grad_two, m->parameters * sizeof(real)),
          "forward, then backward: other bits of the gradient");
    double *sum = mem_new(m->parameters, sizeof *sum);
    memset(grad_two, 0, m->parameters * sizeof(real));
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad_two, true);
    for (size_t i = 0; i < m->parameters; i++) sum[i] = (double)grad_two[i] + (double)(i % 7) - 3;
    check_gradient(m, grad, sum, ROUNDINGS * U, "added to a gradient");
    for (size_t i = 0; i < m->parameters; i++)
        grad[i] = (real)NAN; /* without `add` it does not matter what stood there */
    model_forward_backward(m, ws, &load.batch, load.dlogp, logp, grad, false);
    CHECK(same(grad, grad_two, m->parameters * sizeof(real)),
          "a gradient that is overwritten is not the one added to zeros");
    Batch silent = {0};
    batch_row_inputs(&silent, rows[0].sequence, rows[0].n - 1, NULL);
    model_forward_backward(m, ws, &silent, load.dlogp, logp, grad, false);
    for (size_t i = 0; i < m->parameters; i++) sum[i] = (double)grad[i];
    CHECK(largest(sum, m->parameters) == 0 && !isnan(sum[0]),
          "nothing is scored, and the gradient is not zero");
    batch_free(&silent);
    free(sum);
    free(grad);
    free(grad_two);
    load_free(&load);
    workspace_free(ws);
    model_free(m);
}

/* Keeping only the layers' inputs for the backward pass changes memory, and no bit; nor does a
 * workspace that is switched to it. */
static void test_recompute(ModelConfig config) {
    Model *m = model_shaken(config, 31);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    int count = rows_mixed(rows, m, 32);
    double logp[ROWS], again[ROWS];
    real *grad = grad_new(m), *grad_again = grad_new(m);
    for (int pass = 0; pass < 2; pass++) {
        Load load = load_new(m, ws, rows, count); /* with its prefixes */
        memset(pass ? grad_again : grad, 0, m->parameters * sizeof(real));
        model_forward(m, ws, &load.batch, true, pass ? again : logp, NULL);
        model_backward(m, ws, &load.batch, load.dlogp, pass ? grad_again : grad, true);
        model_forward_backward(m, ws, &load.batch, load.dlogp, pass ? again : logp,
                               pass ? grad_again : grad, true);
        load_free(&load);
        if (pass) break;
        size_t whole = workspace_bytes(ws);
        workspace_recompute(ws, true);
        Load small = load_new(m, ws, rows, count);
        model_forward(m, ws, &small.batch, true, again, NULL);
        CHECK(workspace_bytes(ws) < whole, "recomputing takes %zu bytes, keeping %zu",
              workspace_bytes(ws), whole);
        load_free(&small);
    }
    CHECK(same(logp, again, (size_t)count * sizeof *logp), "recomputing: other bits of logp");
    CHECK(same(grad, grad_again, m->parameters * sizeof(real)),
          "recomputing: other bits of the gradient");
    free(grad);
    free(grad_again);
    workspace_free(ws);
    model_free(m);
}

/* Inner products of each row's gradient with a direction, against the gradients themselves; a
 * row's is the same alone. The bound is four times wider: small elements of a gradient are off
 * by more than ROUNDINGS of themselves. */
static void test_gradient_dots(ModelConfig config) {
    Model *m = model_shaken(config, 23), *direction = model_shaken(config, 24);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    int count = rows_mixed(rows, m, 25);
    Load load = load_new(m, ws, rows, count);
    double logp[ROWS], dot[ROWS], dot_threads[ROWS], plain[ROWS], alone;
    real *grad = grad_new(m), *copy = grad_new(m);
    memcpy(copy, direction->w, m->parameters * sizeof(real));
    model_forward(m, ws, &load.batch, true, logp, NULL);
    model_gradient_dots(m, ws, &load.batch, load.dlogp, direction->w, dot);
    CHECK(same(copy, direction->w, m->parameters * sizeof(real)), "the direction was written to");
    model_gradient_dots_plain(m, ws, &load.batch, load.dlogp, direction->w, plain);
    for (int r = 0; r < count; r++) {
        memset(grad, 0, m->parameters * sizeof(real));
        run_rows(m, &rows[r], 1, logp, grad);
        double sum = 0, squares = 0;
        for (size_t i = 0; i < m->parameters; i++) {
            double term = (double)grad[i] * (double)direction->w[i];
            sum += term;
            squares += term * term;
        }
        CHECK(plain[r] == sum, "row %d: the plain dot is %.17g, should be %.17g", r, plain[r], sum);
        double off = fabs(dot[r] - sum) / sqrt(squares) / U;
        CHECK(off <= 4 * ROUNDINGS, "row %d: dot %.9g, should be %.9g (%.0f u)", r, dot[r], sum,
              off);
        Load one = load_new(m, ws, &rows[r], 1);
        model_forward(m, ws, &one.batch, true, logp, NULL);
        model_gradient_dots(m, ws, &one.batch, one.dlogp, direction->w, &alone);
        CHECK(same(&alone, &dot[r], sizeof alone), "row %d: dot %.17g, alone %.17g", r, dot[r],
              alone);
        load_free(&one);
    }
    set_threads(3);
    model_forward(m, ws, &load.batch, true, logp, NULL);
    model_gradient_dots(m, ws, &load.batch, load.dlogp, direction->w, dot_threads);
    CHECK(same(dot, dot_threads, (size_t)count * sizeof *dot),
          "3 threads: other bits of the inner products");
    set_threads(1);
    free(grad);
    free(copy);
    load_free(&load);
    workspace_free(ws);
    model_free(m);
    model_free(direction);
}

/* More scored tokens than the head handles at once: the inner products of a row alone, bit by
 * bit. */
static void test_gradient_dots_chunks(void) {
    Rng rng = rng_new(26, 0);
    Model *m = model_shaken(SMALL, 23), *direction = model_shaken(SMALL, 24);
    Workspace *ws = workspace_new();
    Row rows[ROWS];
    double logp[ROWS], dot[ROWS], alone;
    int scored = 0;
    for (int r = 0; r < ROWS; r++) {
        rows[r] = row_new(&rng, m, MOST, 0, false);
        scored += rows[r].scored;
    }
    CHECK(scored > 2 * 512, "%d scored tokens", scored);
    Load load = load_new(m, ws, rows, ROWS);
    model_forward(m, ws, &load.batch, true, logp, NULL);
    model_gradient_dots(m, ws, &load.batch, load.dlogp, direction->w, dot);
    for (int r = 0; r < ROWS; r++) {
        Load one = load_new(m, ws, &rows[r], 1);
        model_forward(m, ws, &one.batch, true, logp, NULL);
        model_gradient_dots(m, ws, &one.batch, one.dlogp, direction->w, &alone);
        CHECK(same(&alone, &dot[r], sizeof alone),
              "of %d scored tokens, row %d: dot %.17g, alone %.17g", scored, r, dot[r], alone);
        load_free(&one);
    }
    load_free(&load);
    workspace_free(ws);
    model_free(m);
    model_free(direction);
}

/* ---- weights of tokens ---- */

static void row_run(const Model *m, const Row *row, bool weighted, double factor, double *logp,
                    real *grad) {
    Row copy = *row;
    copy.weighted = weighted;
    copy.dlogp = row->dlogp * factor;
    memset(grad, 0, m->parameters * sizeof(real));
    run_rows(m, &copy, 1, logp, grad);
}

static void test_weights(void) {
    Rng rng = rng_new(15, 0);
    Model *m = model_shaken(SMALL, 15);
    size_t bytes = m->parameters * sizeof(real);
    real *grad = grad_new(m), *other = grad_new(m);
    double logp, logp_other;
    Row row = row_new(&rng, m, 80, 3, false), doubled = row;
    row_run(m, &row, false, 1, &logp, grad);
    row_run(m, &row, true, 1, &logp_other, other);
    CHECK(logp == logp_other && same(grad, other, bytes),
          "weights 1 are not the same as no weights");
    for (int i = 0; i < row.n; i++) doubled.weight[i] *= 2;
    row_run(m, &row, true, 2, &logp,
            grad); /* a factor of 2 rounds nothing: the same bits wherever it comes in */
    row_run(m, &doubled, true, 1, &logp_other, other);
    CHECK(logp_other == 2 * logp, "weights 2: logp %.17g, with weights 1 %.17g", logp_other, logp);
    CHECK(same(grad, other, bytes), "weights 2 and dlogp 2 give different gradients");
    row_run(m, &row, true, 1, &logp_other, other);
    for (size_t i = 0; i < m->parameters; i++) other[i] *= 2;
    CHECK(same(grad, other, bytes), "the gradient is not linear in dlogp");
    double parts = 0; /* the weighted sum of tokens scored one by one */
    Row weighted = row_new(&rng, m, 30, 0, true);
    row_run(m, &weighted, true, 1, &logp, grad);
    for (int i = 1; i < weighted.n; i++) {
        Row one = weighted;
        for (int j = 0; j < one.n; j++) one.weight[j] = j == i;
        row_run(m, &one, true, 1, &logp_other, other);
        parts += (double)weighted.weight[i] * logp_other;
    }
    CHECK(fabs(parts - logp) <= 1e-12 * fabs(logp),
          "weighted logp %.17g, the sum of its tokens %.17g", logp, parts);
    free(grad);
    free(other);
    model_free(m);
}

/* Of equal logits the first token counts as the most probable one, within a block of columns and
 * across blocks. */
static void test_ties(void) {
    Error never = {0};
    ModelConfig shape = SMALL;
    shape.vocab = 1100;                  /* more than two blocks */
    Model *m = model_new(shape, &never); /* without weights every logit is 0 */
    Workspace *ws = workspace_new();
    const int target[] = {0, 1, 511, 512, 1024, 1099};
    for (int i = 0; i < 6; i++) {
        Batch b = {0};
        double logp;
        int hits, sequence[] = {3, target[i]};
        batch_row(&b, sequence, 2, 1, NULL);
        model_forward(m, ws, &b, false, &logp, &hits);
        CHECK(hits == (target[i] == 0), "all logits equal: %d hits of token %d", hits, target[i]);
        CHECK(fabs(logp + log(1100)) <= 4 * U * log(1100), "all logits equal: logp %.17g", logp);
        batch_free(&b);
    }
    workspace_free(ws);
    model_free(m);
}

/* Time that belongs to no part. */
static void wait_a_little(void) {
    for (double until = seconds_now() + 0.02; seconds_now() < until;) continue;
}

/* Each part of some passes has taken time, and all of them no more than the clock says. A clock
 * that ticks every 10 ms sees a part that is a hundredth of a pass of 0.2 ms after 5000 passes, on
 * average: only a part that is never counted stays at 0 for 20 times as many. The sum of 10^6 times
 * is right to one part in 10^9. The time before a pass belongs to none. */
static void test_part_seconds(void) {
    enum { PASSES = 100000 };
    Rng rng = rng_new(17, 0);
    Model *m = model_shaken(SMALL, 17);
    Row row = row_new(&rng, m, 60, 0, false);
    Batch b = {0};
    double logp, before[MODEL_PARTS] = {0};
    real *grad = grad_new(m);
    Workspace *ws = workspace_new();
    batch_row(&b, row.sequence, row.n, row.first, NULL);
    for (int pass = 0; pass < 3; pass++) {
        wait_a_little();
        double dlogp = -1, sum = 0, start = seconds_now();
        int unseen = MODEL_PARTS;
        for (int again = 0; unseen > 0 && again < PASSES; again++) {
            if (pass < 2) model_forward(m, ws, &b, pass == 1, &logp, NULL);
            else model_backward(m, ws, &b, &dlogp, grad, false);
            unseen = 0;
            for (int p = 0; p < MODEL_PARTS; p++)
                unseen += workspace_seconds(ws, (ModelPart)p) <= before[p];
        }
        double all = seconds_now() - start;
        CHECK(unseen == 0, "pass %d: %d parts took no time", pass, unseen);
        for (int p = 0; p < MODEL_PARTS; p++) {
            double took = workspace_seconds(ws, (ModelPart)p) - before[p];
            before[p] += took;
            sum += took;
        }
        CHECK(sum <= all * (1 + 1e-9), "pass %d: its parts took %g s, the whole %g s", pass, sum,
              all);
    }
    workspace_free(ws);
    batch_free(&b);
    free(grad);
    model_free(m);
}

/* A row of which nothing is scored has logp 0 and leaves no trace in the others. */
static void test_unscored(void) {
    Rng rng = rng_new(16, 0);
    Model *m = model_shaken(SMALL, 16);
    Row rows[3] = {row_new(&rng, m, 20, 0, true), row_new(&rng, m, 70, 0, true),
                   row_new(&rng, m, 66, 0, false)};
    memset(rows[1].weight, 0, sizeof rows[1].weight);
    Row two[2] = {rows[0], rows[2]};
    double logp[3], logp_two[2];
    real *grad = grad_new(m), *grad_two = grad_new(m);
    run_rows(m, rows, 3, logp, grad);
    run_rows(m, two, 2, logp_two, grad_two);
    CHECK(logp[1] == 0, "an unscored row has logp %g", logp[1]);
    CHECK(logp[0] == logp_two[0] && logp[2] == logp_two[1],
          "an unscored row changes its neighbors' logp");
    CHECK(same(grad, grad_two, m->parameters * sizeof(real)),
          "an unscored row changes the gradient");
    Workspace *ws = workspace_new();
    Batch b = {0};
    int hits[2] = {9, 9};
    batch_row_inputs(&b, rows[0].sequence, 5, NULL);
    batch_row(&b, rows[2].sequence, rows[2].n, rows[2].first, NULL);
    CHECK(b.rows == 2 && b.tokens == 5 + rows[2].n - 1, "a batch of %d rows, %d tokens", b.rows,
          b.tokens);
    model_forward(m, ws, &b, false, logp, hits);
    CHECK(logp[0] == 0 && hits[0] == 0 && logp[1] == logp_two[1],
          "beside a scored row: logp %g, %d hits", logp[0], hits[0]);
    batch_free(&b);
    workspace_free(ws);
    free(grad);
    free(grad_two);
    model_free(m);
}

/* ---- micro-batches: the sum over batches of one row is the gradient of one batch ---- */

static void test_micro_batches(void) {
    const double bound =
        U > 1e-9 ? 1e-6
                 : 1e-14; /* only the order in which rows and their tokens are added differs */
    Rng rng = rng_new(17, 0);
    Model *m = model_shaken(SMALL, 17);
    Row rows[ROWS];
    for (int r = 0; r < ROWS; r++)
        rows[r] = row_new(&rng, m, 2 + rng_below(&rng, 12), 0, r % 2 == 0);
    double logp[ROWS], logp_one[ROWS], *sum = mem_new(m->parameters, sizeof *sum);
    real *grad = grad_new(m), *parts = grad_new(m);
    run_rows(m, rows, ROWS, logp, grad);
    for (int r = 0; r < ROWS; r++) run_rows(m, &rows[r], 1, &logp_one[r], parts);
    for (size_t i = 0; i < m->parameters; i++) sum[i] = (double)parts[i];
    CHECK(same(logp, logp_one, sizeof logp), "16 batches of a row: other bits of logp");
    check_gradient(m, grad, sum, bound, "16 batches of a row");
    free(sum);
    free(grad);
    free(parts);
    model_free(m);
}

/* A vocabulary so large that the logits of one batch do not fit at once: two chunks of 64
 * tokens, the second one short. */
static void test_chunks(void) {
    const ModelConfig config = {
        .layers = 1, .heads = 1, .channels = 3, .context = 64, .vocab = (1 << 19) + 1};
    Rng rng = rng_new(18, 0);
    Model *m = model_shaken(config, 18);
    Row rows[2] = {row_new(&rng, m, 65, 0, false), row_new(&rng, m, 60, 0, true)};
    rows[0].first = 20;
    for (int i = 20; i < 60; i++)
        rows[1].weight[i] = (real)(i % 5 + 1) / 4; /* 45 and at least 40 scored tokens */
    double logp[2], logp_one[2], *sum = mem_new(m->parameters, sizeof *sum);
    real *grad = grad_new(m), *parts = grad_new(m);
    run_rows(m, rows, 2, logp, grad);
    for (int r = 0; r < 2; r++) run_rows(m, &rows[r], 1, &logp_one[r], parts);
    for (size_t i = 0; i < m->parameters; i++) sum[i] = (double)parts[i];
    CHECK(same(logp, logp_one, sizeof logp), "logits in two chunks: other bits of logp");
    check_gradient(m, grad, sum, 16 * U, "logits in two chunks");
    free(sum);
    free(grad);
    free(parts);
    model_free(m);
}

/* What changes no bit, and sums that agree. */
static void test_identities(ModelConfig config) {
    test_prefix_bits(config);
    test_prefix_tree(config);
    test_extend(config);
    test_batch_bits(config);
    test_two_passes(config);
    test_gradient_dots(config);
}

int main(void) {
    set_threads(1); /* small models: waking threads costs more than it saves */
#ifdef REAL_DOUBLE
    test_differences(TINY);
    for (int f = 0; f < FAMILY_MODELS; f++) test_differences(FAMILIES[f]);
#endif
    test_oracle();
    test_oracle_families();
    test_hits();
    test_zero_model();
    test_nan_model();
    test_workspace();
    test_attention_twins(3, 3, 8);
    test_attention_twins(6, 2, 6);
    test_attention_twins(5, 1, 18);
    test_head_twins();
    test_row_maps();
    test_identities(SMALL);
    test_weightless(SMALL);
    test_weightless(WIDE);
    test_thread_bits(WIDE);
    test_recompute(WIDE);
    test_gradient_dots(WIDE);
    for (int f = 0; f < FAMILY_MODELS; f++) {
        test_identities(FAMILIES[f]);
        test_weightless(FAMILIES[f]);
        test_thread_bits(FAMILIES[f]);
        test_recompute(FAMILIES[f]);
    }
    test_gradient_dots_chunks();
    test_weights();
    test_unscored();
    test_ties();
    test_part_seconds();
    test_micro_batches();
    test_chunks();
    return check_report("test_model");
}
