/* The weighted objectives through the model: SFT [E10], DPO [E11] and SimPO [E12], reweighted [E9],
 * against central differences (double build); identities; the gradient rival [E14] against explicit
 * inner products; both pair scores [E7a] [E7b]. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ica.h"
#include "lib/stats.h"
#include "tests/unit/check.h"

#ifdef _OPENMP
#include <omp.h>
#endif

enum { PAIRS = 4, VOCAB = 37 };

#ifdef REAL_DOUBLE
static const double UNIT = 1.1e-16;
#else
static const double UNIT = 6e-8;
#endif

static Model *small_model(uint64_t seed) {
    Error err = {0};
    Model *m = model_new(
        (ModelConfig){.layers = 2, .heads = 2, .channels = 16, .context = 64, .vocab = VOCAB},
        &err);
    model_initialize(m, seed);
    for (size_t i = 0; i < m->parameters; i++)
        m->w[i] *= m->w[i] == 1 ? 1 : 8; /* not flat: softmax and losses have slopes */
    return m;
}

/* Pairs of different lengths; item 2 has a chosen answer longer than a block's tile. */
static Examples make_pairs(uint64_t seed) {
    Examples x = {.count = PAIRS};
    Rng rng = rng_new(seed, 7);
    const int prompt[PAIRS] = {3, 5, 2, 7}, chosen[PAIRS] = {4, 1, 19, 3},
              rejected[PAIRS] = {2, 6, 3, 5};
    int *bos = arena_new(&x.arena, 1, sizeof *bos);
    x.bos = bos;
    x.bos_n = 1;
    x.items = arena_new(&x.arena, PAIRS, sizeof *x.items);
    for (int i = 0; i < PAIRS; i++) {
        int n = prompt[i] + chosen[i] + rejected[i], *t = arena_new(&x.arena, (size_t)n, sizeof *t);
        for (int j = 0; j < n; j++) t[j] = rng_below(&rng, VOCAB);
        x.items[i] = (Example){.bare = t,
                               .prompt = t,
                               .answer = t + prompt[i],
                               .rejected = t + prompt[i] + chosen[i],
                               .bare_n = prompt[i],
                               .prompt_n = prompt[i],
                               .answer_n = chosen[i],
                               .rejected_n = rejected[i]};
    }
    return x;
}

typedef struct {
    Objective objective;
    PairOptions pair;
    double coefficient[PAIRS], reference[2][PAIRS];
} Loss;

/* The weighted loss of items [from, to), and into grad (if any) its gradient, the way training
 * computes it. */
static double weighted_loss(const Model *m, Workspace *ws, const Examples *x, const Loss *l,
                            int from, int to, real *grad) {
    bool pairs = l->objective != OBJECTIVE_SFT;
    int index[PAIRS] = {0};
    double logp[2 * PAIRS], dlogp[2 * PAIRS], loss = 0;
    Batch b = {0};
    for (int i = from; i < to; i++) index[i - from] = i;
    ica_batch(&b, x, index, to - from, pairs);
    model_forward(m, ws, &b, grad != NULL, logp, NULL);
    for (int i = from; i < to; i++) {
        int r = (i - from) * (1 + pairs);
        if (!pairs) {
            loss += l->coefficient[i] * objective_sft(logp[r], x->items[i].answer_n, &dlogp[r]);
            dlogp[r] *= l->coefficient[i];
            continue;
        }
        PairLogps p = {logp[r],
                       logp[r + 1],
                       l->reference[0][i],
                       l->reference[1][i],
                       x->items[i].answer_n,
                       x->items[i].rejected_n};
        PairGradient g;
        loss += l->coefficient[i] * objective_pair(l->objective, &l->pair, &p, &g);
        dlogp[r] = l->coefficient[i] * g.d_chosen;
        dlogp[r + 1] = l->coefficient[i] * g.d_rejected;
    }
    if (grad) model_backward(m, ws, &b, dlogp, grad, true);
    batch_free(&b);
    return loss;
}

static double largest_of(const real *x, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++) most = fabs((double)x[i]) > most ? fabs((double)x[i]) : most;
    return most;
}

/* Against central differences: error <= 1e-7 + 1e-6 of the tensor's largest, at 40 coordinates of
 * every tensor. */
static void test_differences(Model *m, Workspace *ws, const Examples *x, const Loss *l,
                             const char *name) {
#ifdef REAL_DOUBLE
    real *grad = mem_new(m->parameters, sizeof *grad);
    weighted_loss(m, ws, x, l, 0, PAIRS, grad);
    Rng rng = rng_new(5, 5);
    for (int t = 0; t < m->tensor_count; t++) {
        const ModelTensor *tensor = &m->tensors[t];
        double most = largest_of(grad + tensor->offset, tensor->size), worst = 0;
        for (int c = 0; c < 40; c++) {
            size_t i = tensor->offset;
            i += tensor->size <= 40 ? (size_t)c % tensor->size
                                    : (size_t)rng_below(&rng, (int)tensor->size);
            double w = m->w[i], h = 1e-5, up, down;
            m->w[i] = w + h;
            up = weighted_loss(m, ws, x, l, 0, PAIRS, NULL);
            m->w[i] = w - h;
            down = weighted_loss(m, ws, x, l, 0, PAIRS, NULL);
            m->w[i] = w;
            double error = fabs((up - down) / (2 * h) - grad[i]);
            worst = error > worst ? error : worst;
        }
        CHECK(worst <= 1e-7 + 1e-6 * most,
              "%s: %s: differs from central differences by %g, largest %g", name, tensor->name,
              worst, most);
    }
    free(grad);
#else
    (void)m, (void)ws, (void)x, (void)l, (void)name;
#endif
}

/* Pairs one at a time and together: sums in another order, 1e-6 of the largest in float (1e-14 in
 * double). */
static void test_micro(Model *m, Workspace *ws, const Examples *x, const Loss *l,
                       const char *name) {
    real *all = mem_new(m->parameters, sizeof *all), *one = mem_new(m->parameters, sizeof *one);
    weighted_loss(m, ws, x, l, 0, PAIRS, all);
    for (int i = 0; i < PAIRS; i++) weighted_loss(m, ws, x, l, i, i + 1, one);
    for (int t = 0; t < m->tensor_count; t++) {
        const ModelTensor *tensor = &m->tensors[t];
        double most = largest_of(all + tensor->offset, tensor->size), worst = 0;
        for (size_t i = tensor->offset; i < tensor->offset + tensor->size; i++)
            worst = fmax(worst, fabs((double)all[i] - (double)one[i]));
        /* a key bias has a true gradient of 0: what stands there is rounding of the neighbors' size
         */
        double scale = largest_of(all, m->parameters);
        CHECK(worst <= 16 * UNIT * most + UNIT * scale,
              "%s: %s: micro-batches differ by %g, largest %g", name, tensor->name, worst, most);
    }
#ifdef _OPENMP
    int most_threads = omp_get_max_threads();
    for (int threads = 1; threads <= 8; threads += threads == 3 ? 5 : 1) {
        omp_set_num_threads(threads);
        memset(one, 0, m->parameters * sizeof *one);
        weighted_loss(m, ws, x, l, 0, PAIRS, one);
        CHECK(memcmp(all, one, m->parameters * sizeof *one) == 0, "%s: %d threads give other bits",
              name, threads);
    }
    omp_set_num_threads(most_threads);
#endif
    free(all);
    free(one);
}

static void test_identities(void) {
    PairOptions o = {0.5, 0.3, 0};
    PairLogps p = {-7.25, -3.5, -7.25, -3.5, 5, 2}, swapped = {-3.5, -7.25, -3.5, -7.25, 2, 5};
    PairGradient g, h;
    /* at its reference DPO is log 2, rewards 0, derivatives -+ beta / 2 */
    CHECK(fabs(objective_dpo(&o, &p, &g) - log(2)) < 3e-16, "DPO at its reference is not log 2");
    CHECK(g.reward_chosen == 0 && g.reward_rejected == 0 && fabs(g.d_chosen + 0.25) < 1e-16 &&
              fabs(g.d_rejected - 0.25) < 1e-16,
          "DPO at its reference: rewards %g %g, derivatives %g %g", g.reward_chosen,
          g.reward_rejected, g.d_chosen, g.d_rejected);
    objective_dpo(&o, &swapped, &h);
    CHECK(g.d_chosen == -h.d_rejected && g.d_rejected == -h.d_chosen,
          "swapping at the reference does not negate the gradient");
    /* swapped with smoothing e = unswapped with 1 - e */
    p.chosen = -6.0;
    swapped = (PairLogps){p.rejected,         p.chosen,          p.rejected_reference,
                          p.chosen_reference, p.rejected_tokens, p.chosen_tokens};
    PairOptions e = {0.5, 0, 0.1}, rest = {0.5, 0, 0.9};
    for (int objective = OBJECTIVE_DPO; objective <= OBJECTIVE_SIMPO; objective++) {
        double a = objective_pair((Objective)objective, &e, &swapped, &g),
               b = objective_pair((Objective)objective, &rest, &p, &h);
        CHECK(fabs(a - b) < 1e-15 && fabs(g.d_chosen - h.d_rejected) < 1e-15 &&
                  fabs(g.d_rejected - h.d_chosen) < 1e-15,
              "objective %d: swapping is not 1 - e: %.17g against %.17g", objective, a, b);
    }
    /* SimPO in closed form */
    double z = 0.5 * p.chosen / 5 - 0.5 * p.rejected / 2 - 0.5 * 0.3,
           loss = objective_simpo(&o, &p, &g), s = 1 / (1 + exp(z));
    CHECK(fabs(loss - log(1 + exp(-z))) < 1e-15 && fabs(g.d_chosen + 0.1 * s) < 1e-15 &&
              fabs(g.d_rejected - 0.25 * s) < 1e-15,
          "SimPO differs from its closed form");
    /* far out */
    for (double far = -1e4; far <= 1e4; far += 2e4) {
        PairLogps q = {far, 0, 0, 0, 1, 1};
        PairOptions unit = {1, 0, 0};
        double l = objective_dpo(&unit, &q, &g);
        CHECK(isfinite(l) && fabs(l - (far < 0 ? 1e4 : 0)) < 1e-9 && g.d_chosen >= -1 &&
                  g.d_chosen <= 0,
              "DPO at z = %g: %g, %g", far, l, g.d_chosen);
    }
    int same[3] = {1, 2, 3}, other[3] = {1, 2, 4};
    Example equal = {.answer = same, .rejected = same, .answer_n = 3, .rejected_n = 3},
            unequal = equal;
    unequal.rejected = other;
    CHECK(same_answers(&equal) && !same_answers(&unequal), "same_answers");
}

/* [E14] through ica_score: the inner product of explicit gradients. */
static void test_gradient_rival(Model *m, Workspace *ws, const Examples *pool,
                                const Examples *holdout, Objective objective) {
    ScoreOptions how = {
        .method = METHOD_GRADIENT, .objective = objective, .pair = {0.3, 0.25, 0}, .k = 1};
    Loss l = {.objective = objective, .pair = how.pair};
    double reference[4][PAIRS];
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < PAIRS; i++) reference[r][i] = -10 - r - i;
    if (objective == OBJECTIVE_DPO) {
        how.pool_reference = (Logps){reference[0], reference[1]};
        how.holdout_reference = (Logps){reference[2], reference[3]};
    }
    Scores s = {0};
    ica_score(m, NULL, ws, pool, holdout, &how, &s);
    real *target = mem_new(m->parameters, sizeof *target),
         *own = mem_new(m->parameters, sizeof *own);
    for (int i = 0; i < PAIRS; i++) {
        l.coefficient[i] = 1.0 / PAIRS;
        for (int r = 0; r < 2; r++)
            l.reference[r][i] = objective == OBJECTIVE_DPO ? reference[2 + r][i] : 0;
    }
    weighted_loss(m, ws, holdout, &l, 0, PAIRS, target);
    for (int i = 0; i < PAIRS; i++) {
        l.coefficient[i] = 1;
        for (int r = 0; r < 2; r++)
            l.reference[r][i] = objective == OBJECTIVE_DPO ? reference[r][i] : 0;
    }
    for (int i = 0; i < PAIRS; i++) {
        memset(own, 0, m->parameters * sizeof *own);
        weighted_loss(m, ws, pool, &l, i, i + 1, own);
        double dot = 0, size = 0;
        for (size_t j = 0; j < m->parameters; j++) {
            dot += (double)own[j] * (double)target[j];
            size += fabs((double)own[j] * (double)target[j]);
        }
        /* both sides round each of their terms some 100 times on the way */
        CHECK(fabs(dot - s.score[i]) <= 256 * UNIT * size,
              "gradient, objective %d, item %d: %g against %g", objective, i, s.score[i], dot);
    }
    free(target);
    free(own);
    scores_free(&s);
}

/* At DPO's reference E7b = log 2 + log sigmoid(beta E7a): both rank alike. */
static void test_pair_scores(Model *m, Workspace *ws, const Examples *pool,
                             const Examples *holdout) {
    ScoreOptions how = {.method = METHOD_ICA,
                        .objective = OBJECTIVE_DPO,
                        .pair = {0.1, 0, 0},
                        .k = 1,
                        .reduce = REDUCE_SUM};
    double chosen[PAIRS], rejected[PAIRS];
    ica_answer_logps(m, ws, pool, (Logps){chosen, rejected}, NULL);
    how.pool_reference.chosen = chosen;
    how.pool_reference.rejected = rejected;
    Scores margin = {0}, loss = {0};
    ica_score(m, NULL, ws, pool, holdout, &how, &margin);
    how.pair_score = PAIR_LOSS;
    ica_score(m, NULL, ws, pool, holdout, &how, &loss);
    for (int i = 0; i < PAIRS; i++) {
        double z = 0.1 * margin.score[i], expected = log(2) - log1p(exp(-z));
        CHECK(fabs(loss.score[i] - expected) < 1e-12, "E7b %g, from E7a %g", loss.score[i],
              expected);
        double in_context = margin.in_context.chosen[i] - margin.in_context.rejected[i];
        CHECK(margin.score[i] == in_context - (margin.alone.chosen[i] - margin.alone.rejected[i]),
              "E7a is not the gain of the margin");
    }
    CHECK(rank_correlation(margin.score, loss.score, PAIRS) > 1 - 1e-12,
          "both pair scores rank differently at the reference");
    scores_free(&margin);
    scores_free(&loss);
}

int main(void) {
    Model *m = small_model(1), *start = small_model(2);
    Workspace *ws = workspace_new();
    Examples pool = make_pairs(1), holdout = make_pairs(2);
    const double weight[2][PAIRS] = {{1, 1, 1, 1}, {0.2, 1, 0.7, 0.05}};
    static const char *const names[3] = {"SFT", "DPO", "SimPO"};
    for (int objective = 0; objective < 3; objective++)
        for (int variant = 0; variant < (objective ? 4 : 2); variant++) {
            char name[64];
            Loss l = {.objective = (Objective)objective,
                      .pair = {objective == OBJECTIVE_DPO ? 0.1 : 2, 0.25, variant >= 2 ? 0.1 : 0}};
            loss_coefficients(NORMALIZE_BATCH, weight[variant % 2], NULL, PAIRS, PAIRS,
                              l.coefficient);
            if (objective == OBJECTIVE_DPO)
                ica_answer_logps(start, ws, &pool, (Logps){l.reference[0], l.reference[1]}, NULL);
            snprintf(name, sizeof name, "%s%s%s", names[objective], variant % 2 ? ", weighted" : "",
                     variant >= 2 ? ", smoothed" : "");
            test_differences(m, ws, &pool, &l, name);
            test_micro(m, ws, &pool, &l, name);
        }
    test_identities();
    for (int objective = 0; objective < 3; objective++)
        test_gradient_rival(m, ws, &pool, &holdout, (Objective)objective);
    test_pair_scores(m, ws, &pool, &holdout);
    arena_free(&pool.arena);
    arena_free(&holdout.arena);
    workspace_free(ws);
    model_free(m);
    model_free(start);
    return check_report("test_pairs");
}
