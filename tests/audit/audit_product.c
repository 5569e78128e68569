/* The exact half of the audit, the program: E5-E16 and E18-E20 as model.c and ica.c compute them,
 * against the oracle's plain loops and against closed forms, edge cases among them; and E14 as
 * the step goes to 0. */
#include "tests/audit/audit_product.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ica.h"
#include "lib/stats.h"
#include "scoring/holdout.h"
#include "tests/reference/oracle.h"

static const Equation
    E5 = {"E5", "s_ICA = logp(y|C(x),x) - logp(y|x)", "score_ica"},
    E6 = {"E6", "C(x): the k holdout examples of largest cosine, the nearest last", "nearest_to"},
    E7A = {"E7a", "s_margin = [logp(y_w|C,x) - logp(y_l|C,x)] - [logp(y_w|x) - logp(y_l|x)]",
           "score_margin"},
    E7B = {"E7b", "s_loss = l_pair(theta_t) - l_pair(theta_t given C)", "score_pair_loss"},
    E8 = {"E8", "w_i = (s_i - min s) / (max s - min s)", "weights_minmax"},
    E8_OTHERS = {"E8", "the other weight maps", "map_weights"},
    E9 = {"E9", "g = sum_i w_i grad l_i / W", "loss_coefficients"},
    E10 = {"E10", "SFT: l = -(1/n_y) logp(y|x)", "objective_sft"},
    E11 = {"E11", "DPO: l = -log sigmoid(beta ([logp - ref](y_w) - [logp - ref](y_l)))",
           "objective_dpo"},
    E12 = {"E12", "SimPO: l = -log sigmoid(beta/n_w logp(y_w) - beta/n_l logp(y_l) - gamma)",
           "objective_simpo"},
    E13 = {"E13",
           "AdamW: w -= lr (m_hat / (sqrt(v_hat) + eps) + decay w), clipped by the global norm",
           "optimizer_step"},
    E14 = {"E14", "s = eta <grad l(z), grad L(D_ho)> + O(eta^2)", "gradient_pass"},
    E15 = {"E15", "RHO-Loss: s = l(y|x;theta_t) - l(y|x;theta_ref)", "score_rho"},
    E16 = {"E16", "One-shot: s = mean over h of [logp(y_h|z,x_h) - logp(y_h|x_h)]",
           "score_oneshot"},
    E18 = {"E18", "effective sample size = (sum w)^2 / sum w^2", "effective_sample_size"},
    E19 = {"E19", "p = (1 + #{j : v_j <= v}) / (m + 1)", "conformal_p"},
    E19_MAP = {"E19", "accept: 1 where both numbers reach their thresholds", "accept_levels"},
    E20 = {"E20", "P(not flipped | s) = sigmoid(b s + log(pi / (1 - pi)))", "mirror_probability"},
    E20_SLOPE = {"E20", "b minimizes 2 sum -log sigmoid(b h) + b^2 / (2 t^2)", "mirror_slope"},
    E20_SHARE = {"E20", "pi = mean of P over the pool", "mirror_share"};

static const char *const EXACTLY = "equal to the bit: no rounding is between them";
/* A row's log-likelihood is some 10 terms; each comes from some 1e3 roundings of 1e-16 of values
 * that are 10 in size. */
static const char *const TWO_PASSES =
    "rounding of two forward passes: 1e3 operations of 1e-16, values up to 100";
static const double PASSES = 1e-11;
static const char *const FEW_OPERATIONS = "a few roundings of 1e-16";

/* ---- a small world: a model of large random weights (contexts matter), examples of random
 * words ---- */

enum {
    VOCAB = 41,
    BOS = 0,
    ASK = 1,
    REPLY = 2,
    END = 3,
    WORD = 4,
    CONTEXT = 64,
    POOL = 12,
    HOLDOUT = 7,
    K = 3
};

static const int BOS_ROW[] = {BOS};

typedef struct {
    Model *m, *other; /* the other: RHO's and DPO's reference */
    Oracle *o, *other_o;
    Workspace *ws;
    Examples pool, holdout;
    /* logp by the other model: chosen, rejected */
    double reference[2][POOL], holdout_reference[2][HOLDOUT];
} World;

static Model *random_model(Family family, uint64_t seed) {
    Error err = {0};
    ModelConfig shape = {
        .layers = 2, .heads = 2, .channels = 16, .context = CONTEXT, .vocab = VOCAB};
    shape.family = family;
    if (family != FAMILY_GPT2) shape.heads = 4, shape.kv_heads = 2, shape.head_size = 6;
    Model *m = model_new(shape, &err);
    Rng rng = rng_new(seed, 1000);
    model_initialize(m, seed);
    for (int i = 0; i < m->tensor_count; i++)
        for (size_t j = m->tensors[i].offset; j < m->tensors[i].offset + m->tensors[i].size; j++)
            m->w[j] =
                m->tensors[i].rank == 2 ? m->w[j] * 8 : m->w[j] + (real)(0.1 * rng_normal(&rng));
    return m;
}

/* ASK bare REPLY | answer END; few words, so that prompts have words in common. */
static Example random_example(Arena *arena, Rng *rng, int bare_n, int answer_n, int rejected_n) {
    int *t = arena_new(arena, (size_t)(bare_n + 2 + answer_n + rejected_n), sizeof *t);
    Example e = {.bare = t + 1,
                 .prompt = t,
                 .answer = t + bare_n + 2,
                 .rejected = t + bare_n + 2 + answer_n,
                 .bare_n = bare_n,
                 .prompt_n = bare_n + 2,
                 .answer_n = answer_n,
                 .rejected_n = rejected_n};
    for (int i = 0; i < bare_n + 2 + answer_n + rejected_n; i++)
        t[i] = WORD + rng_below(rng, i <= bare_n ? 12 : VOCAB - WORD);
    t[0] = ASK;
    t[bare_n + 1] = REPLY;
    t[bare_n + 1 + answer_n] = t[bare_n + 1 + answer_n + rejected_n] = END;
    return e;
}

static Examples random_examples(Rng *rng, int count) {
    Examples e = {.count = count, .bos = BOS_ROW, .bos_n = 1};
    e.items = arena_new(&e.arena, (size_t)count, sizeof *e.items);
    for (int i = 0; i < count; i++) {
        int bare_n = 2 + rng_below(rng, 5), answer_n = 2 + rng_below(rng, 4),
            rejected_n = 2 + rng_below(rng, 4);
        e.items[i] = random_example(&e.arena, rng, bare_n, answer_n, rejected_n);
    }
    return e;
}

/* The candidates: 0-3 have one prompt, hence one context, which the program caches; 4 has a
 * holdout example's prompt; 5 leaves room for one demonstration; 6 for none. */
static World world_new(Family family, uint64_t seed) {
    Rng rng = rng_new(seed, 0);
    World w = {.m = random_model(family, seed),
               .other = random_model(family, seed + 1),
               .ws = workspace_new()};
    w.o = oracle_new(w.m);
    w.other_o = oracle_new(w.other);
    w.pool = random_examples(&rng, POOL);
    w.holdout = random_examples(&rng, HOLDOUT);
    for (int i = 1; i <= 4; i++) {
        const Example *like = i < 4 ? &w.pool.items[0] : &w.holdout.items[2];
        Example *e = &w.pool.items[i];
        e->bare = like->bare, e->bare_n = like->bare_n;
        e->prompt = like->prompt, e->prompt_n = like->prompt_n;
    }
    w.pool.items[5] = random_example(&w.pool.arena, &rng, CONTEXT - 24, 4, 3);
    w.pool.items[6] = random_example(&w.pool.arena, &rng, CONTEXT - 8, 4, 3);
    ica_answer_logps(w.other, w.ws, &w.pool, (Logps){w.reference[0], w.reference[1]}, NULL);
    ica_answer_logps(w.other, w.ws, &w.holdout,
                     (Logps){w.holdout_reference[0], w.holdout_reference[1]}, NULL);
    return w;
}

static void world_free(World *w) {
    oracle_free(w->o);
    oracle_free(w->other_o);
    model_free(w->m);
    model_free(w->other);
    workspace_free(w->ws);
    arena_free(&w->pool.arena);
    arena_free(&w->holdout.arena);
}

static ScoreOptions options_of(const World *w, Method method, Objective objective) {
    return (ScoreOptions){
        .method = method,
        .objective = objective,
        .k = K,
        .reduce = method == METHOD_GRADIENT ? REDUCE_MEAN : REDUCE_SUM,
        .pair = {.beta = objective == OBJECTIVE_SIMPO ? 2 : 0.1, .gamma_beta_ratio = 0.25},
        .pool_reference = {(double *)w->reference[0], (double *)w->reference[1]},
        .holdout_reference = {(double *)w->holdout_reference[0],
                              (double *)w->holdout_reference[1]}};
}

static Examples first_of(const Examples *e, int n) {
    return (Examples){.count = n, .items = e->items, .bos = e->bos, .bos_n = e->bos_n};
}

/* ---- E5, E6, E15, E16: scores of answers ---- */

/* Is any demonstration shown to z? If none is, it has no score. */
static bool is_shown(const World *w, const Examples *holdout, const Example *z) {
    const Example *shown[K];
    return oracle_context(w->o, holdout, z, K, shown) > 0;
}

/* A score against the oracle's; of a candidate without demonstrations, against none. */
static void score_add(Worst *worst, const World *w, const Examples *holdout, const Example *z,
                      double mine, double theirs) {
    if (is_shown(w, holdout, z)) worst_add(worst, mine, theirs, 1);
    else worst_add(worst, isnan(mine), 1, 1);
}

/* [E5] */
static void ica_rows(Audit *a, const World *w) {
    static const char *const compared[2] = {
        "12 candidates, k = 3, token means: the program's scores, against the oracle's",
        "the same with token sums"};
    Scores s = {0};
    Worst none = {0}, alone = {0}, missing = {0};
    for (int mean = 1; mean >= 0; mean--) {
        Worst worst = {0};
        ScoreOptions how = options_of(w, METHOD_ICA, OBJECTIVE_SFT);
        how.reduce = mean ? REDUCE_MEAN : REDUCE_SUM;
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &s);
        for (int i = 0; i < POOL; i++)
            score_add(&worst, w, &w->holdout, &w->pool.items[i], s.score[i],
                      oracle_ica(w->o, &w->holdout, &w->pool.items[i], K, mean));
        worst_add(&missing, isnan(s.score[6]), 1, 1); /* no demonstration fits before it */
        audit_worst(a, &E5, compared[!mean], &worst, PASSES, TWO_PASSES);
        for (int i = 0; i < POOL; i++) { /* a pool of one candidate, a holdout of one example */
            Examples one = {.count = 1, .items = &w->pool.items[i], .bos = BOS_ROW, .bos_n = 1},
                     ho = first_of(&w->holdout, 1);
            ica_score(w->m, NULL, w->ws, &one, &ho, &how, &s);
            score_add(&alone, w, &ho, one.items, s.score[0],
                      oracle_ica(w->o, &ho, one.items, K, mean));
        }
        how.k = 0;
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &s);
        for (int i = 0; i < POOL; i++) worst_add(&none, s.score[i], 0, 1);
    }
    audit_worst(a, &E5, "a pool of one candidate, a holdout of one example: against the oracle",
                &alone, PASSES, TWO_PASSES);
    audit_worst(a, &E5, "an empty context (k = 0): the score, against 0", &none, 0, EXACTLY);
    audit_worst(a, &E5, "no demonstration fits: is there no score? against yes", &missing, 0,
                "a yes or no");
    scores_free(&s);
}

/* [E6] */
static void retrieval_rows(Audit *a) {
    Rng rng = rng_new(6, 0);
    double same = 0, own = 0, queries = 0;
    for (int trial = 0; trial < 60; trial++) {
        Examples holdout = random_examples(&rng, 1 + rng_below(&rng, 30)),
                 candidates = random_examples(&rng, 4);
        /* its own prompt must not be shown */
        candidates.items[0] = holdout.items[rng_below(&rng, holdout.count)];
        HoldoutIndex *r = holdout_index(&holdout, NULL);
        for (int i = 0; i < candidates.count; i++)
            for (int k = 0; k <= 32; k += k < 4 ? 1 : 28) {
                int found[32], want[32],
                    n = holdout_nearest(r, &candidates.items[i], k, false, found);
                int wanted = oracle_nearest(&holdout, &candidates.items[i], k, false, want);
                bool equal = n == wanted && memcmp(found, want, (size_t)n * sizeof(int)) == 0;
                same += equal;
                for (int d = 0; d < n && i == 0; d++)
                    own += holdout.items[found[d]].prompt == candidates.items[0].prompt;
                queries++;
            }
        holdout_index_free(r);
        arena_free(&holdout.arena);
        arena_free(&candidates.arena);
    }
    Worst lists = {0}, own_prompts = {0};
    worst_add(&lists, same, queries, 1);
    worst_add(&own_prompts, own, 0, 1);
    audit_worst(a, &E6,
                "lists equal to the oracle's, against queries (k = 0 to 32, own prompts, ties)",
                &lists, 0, "lists of indices");
    audit_worst(a, &E6, "demonstrations with the candidate's own prompt, against 0", &own_prompts,
                0, "a count");
}

/* [E15] */
static void rho_rows(Audit *a, const World *w) {
    Scores s = {0};
    Worst mean = {0}, sum = {0}, pairs = {0}, itself = {0};
    for (int reduce = REDUCE_MEAN; reduce <= REDUCE_SUM; reduce++) {
        ScoreOptions how = options_of(w, METHOD_RHO, OBJECTIVE_SFT);
        how.reduce = (Reduce)reduce;
        ica_score(w->m, w->other, w->ws, &w->pool, &w->holdout, &how, &s);
        for (int i = 0; i < POOL; i++)
            worst_add(
                reduce == REDUCE_MEAN ? &mean : &sum, s.score[i],
                oracle_rho(w->o, w->other_o, &w->pool, &w->pool.items[i], reduce == REDUCE_MEAN),
                1);
        ica_score(w->m, w->m, w->ws, &w->pool, &w->holdout, &how, &s);
        for (int i = 0; i < POOL; i++) worst_add(&itself, s.score[i], 0, 1);
    }
    ScoreOptions how = options_of(w, METHOD_RHO, OBJECTIVE_DPO);
    ica_score(w->m, w->other, w->ws, &w->pool, &w->holdout, &how, &s);
    for (int i = 0; i < POOL; i++) {
        double margin[2]; /* theta_t, theta_ref */
        for (int by = 0; by < 2; by++)
            margin[by] =
                oracle_logp(by ? w->other_o : w->o, &w->pool, NULL, 0, &w->pool.items[i], false) -
                oracle_logp(by ? w->other_o : w->o, &w->pool, NULL, 0, &w->pool.items[i], true);
        worst_add(&pairs, s.score[i], margin[1] - margin[0], 1);
    }
    audit_worst(a, &E15, "token means: the program's scores, against the oracle's", &mean, PASSES,
                TWO_PASSES);
    audit_worst(a, &E15, "token sums", &sum, PASSES, TWO_PASSES);
    audit_worst(a, &E15, "pairs: margin by the reference less margin", &pairs, PASSES, TWO_PASSES);
    audit_worst(a, &E15, "the model as its own reference: the score, against 0", &itself, 0,
                EXACTLY);
    scores_free(&s);
}

/* E16 of a pair: with its chosen answer less with its rejected one. */
static double oneshot_of_pair(const World *w, const Example *z, const int *anchor, int m) {
    Example swapped = *z;
    swapped.answer = z->rejected;
    swapped.answer_n = z->rejected_n;
    return oracle_oneshot(w->o, &w->holdout, z, anchor, m, false) -
           oracle_oneshot(w->o, &w->holdout, &swapped, anchor, m, false);
}

/* [E16] Candidates 4 to 6, whose anchors are theirs or do not fit, are tested in test_methods. */
static void oneshot_rows(Audit *a, const World *w) {
    Scores s = {0};
    Worst nearest = {0}, all = {0}, pairs = {0};
    Examples pool = first_of(&w->pool, 4);
    int everyone[HOLDOUT], anchor[K];
    for (int h = 0; h < HOLDOUT; h++) everyone[h] = h;
    for (int reduce = REDUCE_MEAN; reduce <= REDUCE_SUM; reduce++) {
        ScoreOptions how = options_of(w, METHOD_ONESHOT, OBJECTIVE_SFT);
        how.reduce = (Reduce)reduce;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
        for (int i = 0; i < pool.count; i++) {
            int m = oracle_nearest(&w->holdout, &pool.items[i], K, false, anchor);
            worst_add(
                &nearest, s.score[i],
                oracle_oneshot(w->o, &w->holdout, &pool.items[i], anchor, m, reduce == REDUCE_MEAN),
                1);
        }
        how.anchors = ANCHORS_RANDOM;
        how.num_anchors = HOLDOUT;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
        for (int i = 0; i < pool.count; i++)
            worst_add(&all, s.score[i],
                      oracle_oneshot(w->o, &w->holdout, &pool.items[i], everyone, HOLDOUT,
                                     reduce == REDUCE_MEAN),
                      1);
    }
    ScoreOptions how = options_of(w, METHOD_ONESHOT, OBJECTIVE_DPO);
    ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
    for (int i = 0; i < pool.count; i++) {
        int m = oracle_nearest(&w->holdout, &pool.items[i], K, false, anchor);
        worst_add(&pairs, s.score[i], oneshot_of_pair(w, &pool.items[i], anchor, m), 1);
    }
    audit_worst(a, &E16,
                "nearest anchors, means and sums: the program's scores, against the oracle's",
                &nearest, PASSES, TWO_PASSES);
    audit_worst(a, &E16, "the whole holdout as anchors", &all, PASSES, TWO_PASSES);
    audit_worst(a, &E16, "pairs: E16 with the chosen answer less E16 with the rejected one", &pairs,
                PASSES, TWO_PASSES);
    scores_free(&s);
}

/* ---- E7: scores of pairs ---- */

static double plain_log_sigmoid(double z) { return -log1p(exp(-z)); }

/* [E7a] [E7b] */
static void pair_score_rows(Audit *a, const World *w) {
    Scores margin = {0}, loss = {0};
    Worst margins = {0}, losses[2] = {{0}}, start = {0}, missing = {0};
    ScoreOptions how = options_of(w, METHOD_ICA, OBJECTIVE_DPO);
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &margin);
    for (int i = 0; i < POOL; i++)
        score_add(&margins, w, &w->holdout, &w->pool.items[i], margin.score[i],
                  oracle_margin(w->o, &w->holdout, &w->pool.items[i], K));
    for (int objective = OBJECTIVE_DPO; objective <= OBJECTIVE_SIMPO; objective++) {
        how = options_of(w, METHOD_ICA, (Objective)objective);
        how.pair_score = PAIR_LOSS;
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &loss);
        for (int i = 0; i < POOL; i++) {
            double reference[2] = {w->reference[0][i], w->reference[1][i]};
            score_add(&losses[objective - OBJECTIVE_DPO], w, &w->holdout, &w->pool.items[i],
                      loss.score[i],
                      oracle_pair_drop(w->o, &w->holdout, &w->pool.items[i], K, how.objective,
                                       &how.pair, reference));
        }
        worst_add(&missing, isnan(loss.score[6]), 1, 1);
    }
    double own[2][POOL]; /* at DPO's start the model is its own reference */
    ica_answer_logps(w->m, w->ws, &w->pool, (Logps){own[0], own[1]}, NULL);
    how = options_of(w, METHOD_ICA, OBJECTIVE_DPO);
    how.pair_score = PAIR_LOSS;
    how.pool_reference.chosen = own[0];
    how.pool_reference.rejected = own[1];
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &loss);
    for (int i = 0; i < POOL; i++)
        score_add(&start, w, &w->holdout, &w->pool.items[i], loss.score[i],
                  log(2) + plain_log_sigmoid(how.pair.beta * margin.score[i]));
    audit_worst(a, &E7A, "12 pairs, k = 3: the program's scores, against the oracle's", &margins,
                PASSES, TWO_PASSES);
    worst_add(&missing, isnan(margin.score[6]), 1, 1);
    audit_worst(a, &E7B,
                "DPO with another model as reference: the program's scores, against the oracle's",
                &losses[0], PASSES, TWO_PASSES);
    audit_worst(a, &E7B, "SimPO", &losses[1], PASSES, TWO_PASSES);
    audit_worst(a, &E7B, "DPO at its start: the score, against log 2 + log sigmoid(beta s_margin)",
                &start, 1e-13, "beta s_margin is rounded at 1e-16 of 10, in two ways");
    audit_worst(a, &E7B, "no demonstration fits before the pair: is there no score? against yes",
                &missing, 0, "a yes or no");
    scores_free(&margin);
    scores_free(&loss);
}

/* ---- E8, E18: weights ---- */

/* [E8] */
static void weight_rows(Audit *a) {
    enum { N = 41 };
    Rng rng = rng_new(8, 0);
    MapOptions how = {.temperature = 0.5, .share = 0.5, .clip = 0.05};
    Worst spread = {0}, equal = {0}, one = {0}, outlier = {0}, others = {0};
    double score[N], w[N];
    for (int trial = 0; trial < 50; trial++) {
        for (int i = 0; i < N; i++)
            score[i] = trial % 2 ? rng_below(&rng, 6) - 3 : rng_normal(&rng);
        for (int map = 0; map < MAP_COUNT; map++) {
            int n = 1 + rng_below(&rng, N);
            map_weights((WeightMap)map, &how, score, n, w);
            int best = 0; /* softmax is defined up to a factor: the largest weight is 1 */
            for (int i = 1; i < n; i++) best = score[i] > score[best] ? i : best;
            double factor =
                map == MAP_SOFTMAX ? oracle_weight((WeightMap)map, &how, score, n, best) : 1;
            for (int i = 0; i < n; i++)
                worst_add(map <= MAP_MINMAX_BATCH ? &spread : &others, w[i],
                          oracle_weight((WeightMap)map, &how, score, n, i) / factor, 1);
        }
    }
    for (int map = MAP_MINMAX; map <= MAP_MINMAX_BATCH; map++) {
        for (int i = 0; i < N; i++) score[i] = 0.1;
        map_weights((WeightMap)map, &how, score, N, w);
        for (int i = 0; i < N; i++) worst_add(&equal, w[i], 1, 1);
        map_weights((WeightMap)map, &how, score, 1, w);
        worst_add(&one, w[0], 1, 1);
        /* others then are (1e6 + i) / (1e6 + 39) */
        for (int i = 0; i < N; i++) score[i] = i + 1 < N ? i : -1e6;
        map_weights((WeightMap)map, &how, score, N, w);
        for (int i = 0; i < N; i++)
            worst_add(&outlier, w[i], i + 1 < N ? (1e6 + i) / (1e6 + N - 2) : 0, 1);
    }
    audit_worst(a, &E8, "1 to 41 scores, spread or tied: weights, against the oracle's", &spread,
                4e-16, FEW_OPERATIONS);
    audit_worst(a, &E8, "all scores equal: weights, against 1", &equal, 0, EXACTLY);
    audit_worst(a, &E8, "a single score: its weight, against 1", &one, 0, EXACTLY);
    audit_worst(a, &E8, "one outlier at -1e6: weights, against (1e6 + i) / (1e6 + 39)", &outlier,
                4e-16, FEW_OPERATIONS);
    audit_worst(a, &E8_OTHERS, "the other maps: weights, against the oracle's", &others, 1e-13,
                "rounding of sums of 41 terms");
}

/* [E18] */
static void sample_size_rows(Audit *a) {
    enum { N = 50 };
    Rng rng = rng_new(18, 0);
    Worst random = {0}, equal = {0}, one = {0}, none = {0};
    for (int n = 1; n <= N; n++) {
        double w[N], same[N], single[N] = {0}, zero[N] = {0};
        for (int i = 0; i < n; i++) {
            w[i] = rng_uniform(&rng);
            same[i] = 1;
        }
        single[n / 2] = 0.3;
        worst_add(&random, effective_sample_size(w, n), oracle_sample_size(w, n), n);
        worst_add(&equal, effective_sample_size(same, n), n, 1);
        worst_add(&one, effective_sample_size(single, n), 1, 1);
        worst_add(&none, effective_sample_size(zero, n), 0, 1);
    }
    audit_worst(a, &E18, "1 to 50 random weights, against the oracle's (relative to their number)",
                &random, 1e-14, "rounding of sums of 50 terms");
    audit_worst(a, &E18, "n weights of 1, against n", &equal, 0, EXACTLY);
    audit_worst(a, &E18, "one weight above 0, against 1", &one, 4e-16, FEW_OPERATIONS);
    audit_worst(a, &E18, "no weight above 0, against 0", &none, 0, EXACTLY);
}

/* ---- E19, E20: candidates against the holdout ---- */

enum { VALUES = 40 };

/* m values, spread or with ties. */
static void random_values(Rng *rng, bool ties, double *v, int m) {
    for (int i = 0; i < m; i++) v[i] = ties ? rng_below(rng, 7) : rng_normal(rng);
}

/* Value i of v[m + 1] plays the candidate, the others the holdout: others[m]. */
static double leave_out(const double *v, int m, int i, double *others) {
    for (int j = 0, at = 0; j <= m; j++)
        if (j != i) others[at++] = v[j];
    return v[i];
}

/* The theorem by enumeration: each of m + 1 values is the candidate once, as exchangeability makes
 * them equally likely. lost: how many of them have p <= level. */
static int lost_by_p(const double *v, int m, double level) {
    double others[VALUES];
    int lost = 0;
    for (int i = 0; i <= m; i++) {
        double candidate = leave_out(v, m, i, others);
        lost += conformal_p(others, m, candidate) <= level;
    }
    return lost;
}

/* The same for accept, with two numbers, or one (l NULL): how many candidates have no weight. */
static int lost_by_accept(const double *g, const double *l, int m, double level) {
    double gain[VALUES], likelihood[VALUES];
    int lost = 0;
    for (int i = 0; i <= m; i++) {
        double c[2] = {leave_out(g, m, i, gain), l ? leave_out(l, m, i, likelihood) : NAN};
        AcceptLevels a;
        accept_levels(gain, l ? likelihood : NULL, m, level, &a);
        lost += c[0] < a.threshold[0] || (l && c[1] < a.threshold[1]);
    }
    return lost;
}

/* [E19] */
static void accept_rows(Audit *a) {
    Rng rng = rng_new(19, 0);
    Worst p = {0}, map = {0}, one = {0}, two = {0}, by_p = {0}, shifted = {0}, exchangeable = {0};
    for (int trial = 0; trial < 400; trial++) {
        double v[VALUES], l[VALUES], level = 0.01 + 0.3 * rng_uniform(&rng);
        int m = 3 + rng_below(&rng, VALUES - 3);
        random_values(&rng, trial % 2, v, m + 1);
        random_values(&rng, trial % 3, l, m + 1);
        worst_add(&p, conformal_p(v, m, v[m]), oracle_p(v, m, v[m]), 1);
        /* The candidate is v[m], l[m]: the map against both p-values. */
        AcceptLevels t;
        accept_levels(v, l, m, level, &t);
        MapOptions how = {.threshold = {t.threshold[0], t.threshold[1]}, .likelihood = l + m};
        double weight, r = fmax(1, floor(level / 2 * (m + 1) + 1e-9)) / (m + 1);
        map_weights(MAP_ACCEPT, &how, v + m, 1, &weight);
        worst_add(&map, weight, oracle_p(v, m, v[m]) > r && oracle_p(l, m, l[m]) > r, 1);
        /* What is lost, at most floor(level (m + 1)) of the m + 1. */
        double most = floor(level * (m + 1) + 1e-9);
        worst_add(&by_p, fmax(most, lost_by_p(v, m, level)), most, 1);
        worst_add(&one, fmax(fmax(most, 1), lost_by_accept(v, NULL, m, level)), fmax(most, 1), 1);
        worst_add(&two, fmax(fmax(most, 2), lost_by_accept(v, l, m, level)), fmax(most, 2), 1);
        /* A candidate that is 1 below the holdout's kind: the bound does not hold for it. */
        int lost = 0;
        for (int i = 0; i < VALUES; i++) lost += conformal_p(v, m, rng_normal(&rng) - 1) <= 0.05;
        worst_add(trial % 2 || m < 30 ? &exchangeable : &shifted,
                  trial % 2 || m < 30 ? (double)lost_by_p(v, m, 0.05) / (m + 1)
                                      : (double)lost / VALUES,
                  0, 1);
    }
    audit_worst(a, &E19, "400 values, spread or tied, against the oracle's", &p, 0, EXACTLY);
    audit_worst(a, &E19,
                "each of m + 1 values the candidate once: how many have p <= a, above "
                "floor(a (m + 1))",
                &by_p, 0, "counts");
    audit_worst(a, &E19_MAP,
                "weights, against whether the oracle's p of both numbers exceeds "
                "r / (m + 1)",
                &map, 0, "a yes or no");
    audit_worst(a, &E19_MAP,
                "each of m + 1 the candidate once, one number: how many are lost, "
                "above max(floor(a (m + 1)), 1)",
                &one, 0, "counts");
    audit_worst(a, &E19_MAP, "the same with two numbers, above max(floor(a (m + 1)), 2)", &two, 0,
                "counts");
    audit_refuted(a, &E19,
                  "good candidates of another kind, 1 deviation lower, are lost with "
                  "probability at most 0.05",
                  &shifted, "each of the holdout's own values the candidate once", &exchangeable,
                  0.05, "the level");
}

/* A world in which a reference is what it was trained on: records are places on a line, of m + 1
 * prompts, and a value is minus the distance to the nearest record of its training. The holdout is
 * the first m, the candidate the last. whole: both are scored by a reference on the entire holdout.
 * Else by those of folds, which leave out one fold each. Is the candidate below the threshold? */
static bool lost_by_references(const Examples *e, const double *place, int m, bool whole,
                               uint64_t seed) {
    Examples holdout = *e;
    References r = {0};
    Error err = {0};
    AcceptLevels t;
    double value[VALUES + 1];
    holdout.count = m;
    references_deal(&r, &holdout, seed, &err);
    for (int i = 0; i <= m; i++) {
        int fold = i < m ? r.folds.fold[i] : references_fold(&r, &e->items[m]);
        double nearest = INFINITY;
        for (int j = 0; j < m; j++)
            if (whole || r.folds.fold[j] != fold)
                nearest = fmin(nearest, fabs(place[i] - place[j]));
        value[i] = -nearest;
    }
    accept_levels(value, NULL, m, 0.1, &t);
    references_free(&r);
    return value[m] < t.threshold[0];
}

/* [E19] RHO's references by folds. */
static void fold_rows(Audit *a) {
    enum { TRIALS = 4000, M = VALUES };
    Worst folds = {0}, whole = {0};
    double lost[2] = {0};
    Examples e = {.count = M + 1};
    Rng rng = rng_new(191, 0);
    e.items = arena_new(&e.arena, M + 1, sizeof *e.items);
    for (int trial = 0; trial < TRIALS; trial++) {
        int prompt[M + 1];
        double place[M + 1];
        for (int i = 0; i <= M; i++) {
            prompt[i] = trial * (M + 1) + i;
            place[i] = rng_normal(&rng);
            e.items[i] = (Example){.bare = &prompt[i],
                                   .bare_n = 1,
                                   .prompt = &prompt[i],
                                   .prompt_n = 1,
                                   .answer = &prompt[i],
                                   .answer_n = 1};
        }
        for (int k = 0; k < 2; k++)
            lost[k] += (double)lost_by_references(&e, place, M, k, (uint64_t)trial) / TRIALS;
    }
    worst_add(&folds, fmax(lost[0], 0.1), 0.1, 1);
    worst_add(&whole, fmax(lost[1], 0.1), 0.1, 1);
    audit_refuted(a, &E19_MAP,
                  "RHO: candidates of the holdout's kind that a reference on the entire holdout "
                  "loses, above 0.1",
                  &whole, "the same by references of folds", &folds, 0.019,
                  "4 standard deviations of 4,000 draws");
    arena_free(&e.arena);
}

/* The derivative of E20's penalized loss by b, in plain sums. */
static double slope_derivative(const double *h, int n, double b) {
    double mean = 0, variance = 0, sum = 0;
    for (int i = 0; i < n; i++) mean += h[i] / n;
    for (int i = 0; i < n; i++) variance += (h[i] - mean) * (h[i] - mean) / n;
    for (int i = 0; i < n; i++) sum -= 2 * h[i] / (1 + exp(b * h[i]));
    return sum + b * variance / 100;
}

/* E7a of pairs whose answers are swapped. */
static void swapped_scores(const World *w, const ScoreOptions *how, Scores *s) {
    Examples swapped = {.count = POOL, .bos = BOS_ROW, .bos_n = 1};
    Example item[POOL];
    for (int i = 0; i < POOL; i++) {
        const Example *z = &w->pool.items[i];
        item[i] = *z;
        item[i].answer = z->rejected, item[i].answer_n = z->rejected_n;
        item[i].rejected = z->answer, item[i].rejected_n = z->answer_n;
    }
    swapped.items = item;
    ica_score(w->m, NULL, w->ws, &swapped, &w->holdout, how, s);
}

/* [E20] */
static void mirror_rows(Audit *a, const World *w) {
    Rng rng = rng_new(20, 0);
    Worst turned = {0}, p = {0}, half = {0}, slope = {0}, share = {0};
    Scores own = {0}, other = {0};
    ScoreOptions how = options_of(w, METHOD_ICA, OBJECTIVE_DPO);
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &own);
    swapped_scores(w, &how, &other);
    for (int i = 0; i < POOL; i++)
        if (!isnan(own.score[i])) worst_add(&turned, other.score[i], -own.score[i], 1);
    for (int trial = 0; trial < 50; trial++) {
        double h[VALUES], s[VALUES];
        int m = 3 + rng_below(&rng, VALUES - 3);
        for (int i = 0; i < m; i++) h[i] = 1 + (trial % 3 + 1) / 3.0 * rng_normal(&rng);
        for (int i = 0; i < VALUES; i++) s[i] = rng_normal(&rng) + (i % 3 ? 2 : -2);
        double b = mirror_slope(h, m), pi = mirror_share(b, s, VALUES), mean = 0;
        worst_add(&slope, b > 0 ? slope_derivative(h, m, b) : 0, 0, m);
        for (int i = 0; i < VALUES; i++) {
            double known = mirror_probability(b, pi, s[i]);
            mean += known / VALUES;
            worst_add(&p, known, oracle_unflipped(b, s, VALUES, i), 1);
            worst_add(&half, known + mirror_probability(b, 1 - pi, -s[i]), 1, 1);
        }
        worst_add(&share, pi, mean, 1);
    }
    audit_worst(a, &E20, "12 pairs with their answers swapped: E7a, against minus their own",
                &turned, 0, EXACTLY);
    audit_worst(a, &E20, "50 pools: P, against the oracle's", &p, 1e-9,
                "one round more or less moves the share by less than 1e-10");
    audit_worst(a, &E20,
                "P of a pair and of the swapped one with the share 1 - pi: their sum, "
                "against 1",
                &half, 1e-14, FEW_OPERATIONS);
    audit_worst(a, &E20_SLOPE, "the loss's derivative at b, against 0 (relative to m)", &slope,
                1e-12, "Newton's method ends in the rounding of a sum of 40 terms");
    audit_worst(a, &E20_SHARE, "pi, against the mean of P", &share, 1e-10,
                "the share moves by less in a round when it stops");
    scores_free(&own);
    scores_free(&other);
}

/* ---- E9: what a weight does in the gradient ---- */

/* [E9] */
static void coefficient_rows(Audit *a) {
    enum { N = 24 };
    Rng rng = rng_new(9, 0);
    Worst all = {0}, cancel = {0}, differ = {0}, whole = {0}, skipped = {0}, ones = {0};
    for (int trial = 0; trial < 40; trial++) {
        int n = 1 + rng_below(&rng, N);
        double w[N], c[N], full[N], zero[N] = {0}, unit[N];
        int tokens[N];
        for (int i = 0; i < n; i++) {
            w[i] = rng_below(&rng, 4) ? 0.01 + rng_uniform(&rng) : 0;
            unit[i] = 1;
            tokens[i] = 1 + i * i % 11;
        }
        w[rng_below(&rng, n)] = 1;
        for (int how = 0; how < NORMALIZATION_COUNT; how++) {
            int micro = 1 + rng_below(&rng, n);
            loss_coefficients((Normalize)how, w, tokens, n, micro, c);
            for (int i = 0; i < n; i++)
                worst_add(&all, c[i], oracle_coefficient((Normalize)how, w, tokens, n, micro, i),
                          1);
            bool step = loss_coefficients((Normalize)how, zero, tokens, n, micro, c);
            worst_add(&skipped, step, 0, 1);
            for (int i = 0; i < n; i++) worst_add(&skipped, c[i], 0, 1);
        }
        loss_coefficients(NORMALIZE_BATCH, unit, NULL, n, 1, c);
        for (int i = 0; i < n; i++) worst_add(&ones, c[i], 1.0 / n, 1);
        loss_coefficients(NORMALIZE_MICRO, w, NULL, n, 1, c);
        loss_coefficients(NORMALIZE_BATCH, w, NULL, n, 1, full);
        for (int i = 0; i < n; i++) {
            if (w[i] > 0) worst_add(&cancel, c[i], 1.0 / n, 1);
            if (n > 1) worst_add(&differ, c[i], full[i], 1);
        }
        loss_coefficients(NORMALIZE_MICRO, w, NULL, n, n, c);
        for (int i = 0; i < n && n > 1; i++) worst_add(&whole, c[i], full[i], 1);
    }
    audit_worst(a, &E9,
                "batch, micro, count, none, tokens over 1 to 24 weights, against the oracle's",
                &all, 4e-15, "rounding of sums of 24 terms");
    audit_worst(a, &E9, "weights of 1: coefficients, against 1/n", &ones, 0, EXACTLY);
    audit_worst(a, &E9,
                "all weights 0: \"take this step\" and coefficients, against 0 (W = 0 is skipped)",
                &skipped, 0, EXACTLY);
    audit_worst(a, &E9, "micro-batches of one: coefficients, against 1/n (the weights cancel)",
                &cancel, 0, EXACTLY);
    audit_refuted(a, &E9,
                  "micro-batches of one, as in the public code, against w_i / sum w over the batch",
                  &differ, "one micro-batch that is the whole batch", &whole, 4e-15,
                  "rounding of sums of 24 terms");
}

/* ---- E10-E12: objectives, alone and through the model ---- */

/* [E10] [E11] [E12] */
static void objective_rows(Audit *a) {
    Rng rng = rng_new(11, 0);
    Worst sft = {0}, pair[2] = {{0}}, start = {0}, far = {0}, bare = {0};
    for (int trial = 0; trial < 200; trial++) {
        double u[4], d;
        for (int i = 0; i < 4; i++) u[i] = -20 * rng_uniform(&rng);
        int n_w = 1 + rng_below(&rng, 12), n_l = 1 + rng_below(&rng, 12);
        OracleLoss want = oracle_sft(u[0], n_w);
        worst_add(&sft, objective_sft(u[0], n_w, &d), want.loss, 1);
        worst_add(&sft, d, want.by_chosen, 1);
        PairOptions how = {.beta = 0.1 + rng_uniform(&rng),
                           .gamma_beta_ratio = rng_uniform(&rng),
                           .label_smoothing = trial % 3 * 0.1};
        for (int objective = OBJECTIVE_DPO; objective <= OBJECTIVE_SIMPO; objective++) {
            PairLogps p = {u[0], u[1], u[2], u[3], n_w, n_l};
            PairGradient g;
            Worst *worst = &pair[objective - OBJECTIVE_DPO];
            want = oracle_pair((Objective)objective, &how, &p);
            worst_add(worst, objective_pair((Objective)objective, &how, &p, &g), want.loss, 1);
            worst_add(worst, g.d_chosen, want.by_chosen, 1);
            worst_add(worst, g.d_rejected, want.by_rejected, 1);
        }
        PairOptions plain = {.beta = how.beta};
        PairGradient g;
        worst_add(&start, objective_dpo(&plain, &(PairLogps){u[0], u[1], u[0], u[1], n_w, n_l}, &g),
                  log(2), 1);
        /* z = -beta 1e4: exp(-z) is no number, the loss is -z */
        worst_add(&far, objective_dpo(&plain, &(PairLogps){-1e4, 0, 0, 0, n_w, n_l}, &g),
                  plain.beta * 1e4, 1e4);
        /* one token each, gamma 0: SimPO is DPO without a reference */
        PairLogps single = {u[0], u[1], 0, 0, 1, 1};
        worst_add(&bare, objective_simpo(&plain, &single, &g), objective_dpo(&plain, &single, &g),
                  1);
    }
    audit_worst(a, &E10, "loss and derivative, against the oracle's", &sft, 0, EXACTLY);
    audit_worst(a, &E11,
                "200 pairs, label smoothing 0 to 0.2: loss and derivatives, against the oracle's",
                &pair[0], 1e-13, "exp(-z) to 1e-16 of a z of 40");
    audit_worst(a, &E11, "the model as its own reference: the loss, against log 2", &start, 3e-16,
                FEW_OPERATIONS);
    audit_worst(a, &E11, "z = -beta 1e4, where exp overflows: the loss, against -z (relative)",
                &far, 4e-16, FEW_OPERATIONS);
    audit_worst(a, &E12,
                "200 pairs, label smoothing 0 to 0.2: loss and derivatives, against the oracle's",
                &pair[1], 1e-13, "exp(-z) to 1e-16 of a z of 40");
    audit_worst(a, &E12, "answers of one token and gamma 0: SimPO, against DPO without a reference",
                &bare, 0, EXACTLY);
}

/* The program's loss of example i, and grad += factor x its gradient (grad may be NULL): as
 * train.c puts it together. */
static double program_loss(const Model *m, Workspace *ws, const Examples *data, int i,
                           const ScoreOptions *how, Logps reference, double factor, real *grad) {
    const Example *e = &data->items[i];
    bool pairs = how->objective != OBJECTIVE_SFT;
    double logp[2], dlogp[2], loss;
    Batch b = {0};
    ica_batch(&b, data, &i, 1, pairs);
    model_forward(m, ws, &b, grad != NULL, logp, NULL);
    if (pairs) {
        PairGradient g;
        PairLogps p = {logp[0],     logp[1],      reference.chosen[i], reference.rejected[i],
                       e->answer_n, e->rejected_n};
        loss = objective_pair(how->objective, &how->pair, &p, &g);
        dlogp[0] = factor * g.d_chosen;
        dlogp[1] = factor * g.d_rejected;
    } else {
        loss = objective_sft(logp[0], e->answer_n, dlogp);
        dlogp[0] *= factor;
    }
    if (grad) model_backward(m, ws, &b, dlogp, grad, true);
    batch_free(&b);
    return loss;
}

static const Equation *const OBJECTIVE_EQUATION[] = {&E10, &E11, &E12};

/* [E8] [E9] [E10] [E11] [E12] The pool's losses, and the gradient of their weighted sum, with
 * weights from E8 through E9. */
static void model_rows(Audit *a, const World *w, Objective objective) {
    ScoreOptions how = options_of(w, METHOD_GRADIENT, objective);
    size_t n = w->m->parameters;
    real *grad = mem_new(n, sizeof *grad);
    double *want = mem_new(n, sizeof *want), score[POOL], weight[POOL], c[POOL], largest = 0;
    int length[POOL] = {0};
    Worst losses = {0}, gradients = {0};
    for (int i = 0; i < POOL; i++) score[i] = i * i % 7;
    map_weights(MAP_MINMAX, &(MapOptions){0}, score, POOL, weight);
    loss_coefficients(NORMALIZE_BATCH, weight, NULL, POOL, 4, c);
    for (int i = 0; i < POOL; i++) {
        double reference[2] = {w->reference[0][i], w->reference[1][i]};
        double loss = program_loss(w->m, w->ws, &w->pool, i, &how, how.pool_reference, c[i], grad);
        worst_add(
            &losses, loss,
            oracle_loss(w->o, &w->pool, &w->pool.items[i], objective, &how.pair, reference).loss,
            1);
        oracle_loss_gradient(w->o, &w->pool, &w->pool.items[i], objective, &how.pair, reference,
                             oracle_coefficient(NORMALIZE_BATCH, weight, length, POOL, 4, i), want);
    }
    for (size_t j = 0; j < n; j++) largest = fmax(largest, fabs(want[j]));
    for (size_t j = 0; j < n; j++) worst_add(&gradients, (double)grad[j], want[j], largest);
    audit_worst(a, OBJECTIVE_EQUATION[objective],
                "through the model: 12 losses, against the oracle's", &losses, PASSES, TWO_PASSES);
    audit_worst(
        a, OBJECTIVE_EQUATION[objective],
        "the weighted gradient of 12, every parameter, against the oracle's (of the largest)",
        &gradients, 1e-12, "rounding: 1e3 operations of 1e-16, some of them cancelling");
    free(grad);
    free(want);
}

/* ---- E13 ---- */

/* [E13] */
static void adamw_rows(Audit *a, const World *w) {
    enum { STEPS = 20 };
    const double max_norm = 1;
    Model *m = model_copy(w->m);
    size_t n = m->parameters;
    Optimizer *o = optimizer_new(m, 0.9, 0.999, 0.1);
    real *grad = mem_new(n, sizeof *grad);
    OracleWeight *x = mem_new(n, sizeof *x);
    Worst weights = {0}, first = {0}, norms = {0};
    Rng rng = rng_new(13, 0);
    for (size_t j = 0; j < n; j++) x[j].w = (double)m->w[j];
    for (int t = 1; t <= STEPS; t++) {
        OracleAdam how = {1e-2 / t, 0.9, 0.999, 1e-8, 0.1};
        double square = 0;
        for (size_t j = 0; j < n; j++) { /* some without gradient, some near epsilon; clipped at
                                          * odd steps */
            grad[j] = (real)(j % 5 == 0 ? 0
                                        : rng_normal(&rng) * (j % 5 == 1 ? 1e-8
                                                              : t % 2    ? 1
                                                                         : 1e-3));
            square += pow((double)grad[j], 2);
        }
        double norm = gradient_norm(m, grad), scale = fmin(1, max_norm / norm);
        worst_add(&norms, norm, sqrt(square), sqrt(square));
        optimizer_step(o, m, grad, scale, how.learning_rate);
        for (int i = 0; i < m->tensor_count; i++) {
            const ModelTensor *tensor = &m->tensors[i];
            how.decay = tensor->rank == 2 ? 0.1 : 0;
            for (size_t j = tensor->offset; j < tensor->offset + tensor->size; j++) {
                double before = x[j].w, g = (double)grad[j] * fmin(1, max_norm / sqrt(square));
                oracle_adamw(&how, &x[j], g, t);
                worst_add(&weights, (double)m->w[j], x[j].w, 1);
                /* at the first step m_hat = g and v_hat = g^2 */
                if (t == 1)
                    worst_add(&first, (double)m->w[j],
                              before - 1e-2 * (g / (fabs(g) + 1e-8) + how.decay * before), 1);
            }
        }
    }
    audit_worst(a, &E13, "20 steps, every weight, clipped or not, against the oracle's", &weights,
                1e-12,
                "rounding: 20 steps of some 10 operations; 1 - 0.999^t cancels three digits");
    audit_worst(a, &E13, "the first step, against -lr (g / (|g| + eps) + decay w)", &first, 1e-14,
                "a few roundings; 1 - 0.999 cancels three digits");
    audit_worst(a, &E13, "the gradient's norm, against a plain sum (relative)", &norms, 1e-13,
                "rounding: sums of 9e3 squares");
    free(grad);
    free(x);
    optimizer_free(o);
    model_free(m);
}

/* ---- E14: a step on the holdout and its effect on the candidate, a step on the candidate and
 * its effect on the holdout ---- */

static const char *const OBJECTIVE_NAME[] = {"SFT", "DPO", "SimPO"};

typedef struct {
    const World *w;
    ScoreOptions how;
    Model *moved;       /* scratch: the model after a step */
    real *holdout_grad; /* grad L(D_ho), the mean */
    real *own_grad;     /* grad l(z) */
    double *dots;       /* [POOL] METHOD_GRADIENT's scores */
} Steps;

static double mean_holdout_loss(const Steps *s, const Model *m) {
    double sum = 0;
    for (int h = 0; h < HOLDOUT; h++)
        sum += program_loss(m, s->w->ws, &s->w->holdout, h, &s->how, s->how.holdout_reference, 1,
                            NULL) /
               HOLDOUT;
    return sum;
}

static double candidate_loss(const Steps *s, const Model *m, int i) {
    return program_loss(m, s->w->ws, &s->w->pool, i, &s->how, s->how.pool_reference, 1, NULL);
}

static void move(const Steps *s, const real *direction, double eta) {
    for (size_t j = 0; j < s->w->m->parameters; j++)
        s->moved->w[j] = s->w->m->w[j] - (real)eta * direction[j];
}

/* What the step leaves of E14: the drop less eta x the inner product. On the holdout's step the
 * candidate's loss is measured, and the other way round. */
static double remainder_of(const Steps *s, int i, bool holdout_steps, double eta) {
    move(s, holdout_steps ? s->holdout_grad : s->own_grad, eta);
    double drop = holdout_steps ? candidate_loss(s, s->w->m, i) - candidate_loss(s, s->moved, i)
                                : mean_holdout_loss(s, s->w->m) - mean_holdout_loss(s, s->moved);
    return drop - eta * s->dots[i];
}

/* The predicted remainder: -eta^2/2 times the second derivative of the measured loss along the
 * step, by central differences of the first one. */
static double slope_at(const Steps *s, int i, bool holdout_steps, double eta) {
    size_t n = s->w->m->parameters;
    const real *direction = holdout_steps ? s->holdout_grad : s->own_grad;
    real *grad = mem_new(n, sizeof *grad);
    double slope = 0;
    move(s, direction, eta);
    if (holdout_steps)
        program_loss(s->moved, s->w->ws, &s->w->pool, i, &s->how, s->how.pool_reference, 1, grad);
    for (int h = 0; h < HOLDOUT && !holdout_steps; h++)
        program_loss(s->moved, s->w->ws, &s->w->holdout, h, &s->how, s->how.holdout_reference,
                     1.0 / HOLDOUT, grad);
    for (size_t j = 0; j < n; j++) slope += (double)grad[j] * (double)direction[j];
    free(grad);
    return slope;
}

enum { ETAS = 5, STEPPED = 4 };

/* Halves eta four times; the remainders' root mean square over candidates must fall at order 2,
 * and at the last eta each must have its predicted size. */
static void order_rows(Audit *a, Steps *s, bool holdout_steps, Table *table) {
    const char *name = OBJECTIVE_NAME[s->how.objective],
               *what = holdout_steps ? "a step on D_ho, the loss of z"
                                     : "a step on z, the loss of D_ho";
    double eta[ETAS], rms[ETAS] = {0}, last[STEPPED], predicted[STEPPED];
    for (int i = 0; i < STEPPED; i++) {
        memset(s->own_grad, 0, s->w->m->parameters * sizeof(real));
        program_loss(s->w->m, s->w->ws, &s->w->pool, i, &s->how, s->how.pool_reference, 1,
                     s->own_grad);
        for (int e = 0; e < ETAS; e++) {
            eta[e] = 1e-4 * pow(0.5, e);
            last[i] = remainder_of(s, i, holdout_steps, eta[e]);
            rms[e] += last[i] * last[i] / STEPPED;
        }
        double h = 1e-6,
               second =
                   (slope_at(s, i, holdout_steps, -h) - slope_at(s, i, holdout_steps, h)) / (2 * h);
        predicted[i] = -eta[ETAS - 1] * eta[ETAS - 1] / 2 * second;
    }
    Worst size = {0}, order = {0};
    Arena arena = {0};
    table_put(table, "%s: %s", name, what);
    for (int e = 0; e < ETAS; e++) {
        rms[e] = sqrt(rms[e]);
        table_put(table, "%.2g", rms[e]);
    }
    worst_add(&order, order_of(eta, rms, ETAS), 2, 1);
    for (int i = 0; i < STEPPED; i++) worst_add(&size, last[i], predicted[i], rms[ETAS - 1]);
    audit_worst(
        a, &E14,
        text_new(&arena, "%s, %s: order in eta of what the inner product leaves", name, what),
        &order, 0.02,
        "the next term is of order 3: eta <= 1e-4 times the curvature's change, some 100");
    audit_worst(
        a, &E14, text_new(&arena, "%s, %s: what it leaves, against -eta^2/2 g'Hg", name, what),
        &size, 0.01, "relative to the candidates' root mean square; eta = 6e-6 times some 100");
    arena_free(&arena);
}

/* [E14] METHOD_GRADIENT against the oracle's gradients, relative to the product of their
 * lengths. */
static void product_row(Audit *a, const Steps *s) {
    const World *w = s->w;
    size_t n = w->m->parameters;
    double *mean = mem_new(n, sizeof *mean), *own = mem_new(n, sizeof *own);
    Worst worst = {0};
    Arena arena = {0};
    for (int h = 0; h < HOLDOUT; h++) {
        double reference[2] = {w->holdout_reference[0][h], w->holdout_reference[1][h]};
        oracle_loss_gradient(w->o, &w->holdout, &w->holdout.items[h], s->how.objective,
                             &s->how.pair, reference, 1.0 / HOLDOUT, mean);
    }
    for (int i = 0; i < POOL; i++) {
        double reference[2] = {w->reference[0][i], w->reference[1][i]}, dot = 0, aa = 0, bb = 0;
        memset(own, 0, n * sizeof *own);
        oracle_loss_gradient(w->o, &w->pool, &w->pool.items[i], s->how.objective, &s->how.pair,
                             reference, 1, own);
        for (size_t j = 0; j < n; j++) {
            dot += own[j] * mean[j];
            aa += own[j] * own[j];
            bb += mean[j] * mean[j];
        }
        worst_add(&worst, s->dots[i], dot, sqrt(aa * bb));
    }
    const char *name = OBJECTIVE_NAME[s->how.objective];
    audit_worst(a, &E14,
                text_new(&arena,
                         "%s: 12 inner products, against the oracle's (of the gradients' lengths)",
                         name),
                &worst, 1e-13, "rounding: 1e3 operations of 1e-16");
    arena_free(&arena);
    free(mean);
    free(own);
}

static void gradient_rows(Audit *a, const World *w) {
    Table table = {.title = "E14: what eta x the inner product leaves of the true drop (root mean "
                            "square over candidates)"};
    Arena arena = {0};
    size_t n = w->m->parameters;
    table_head(&table, "eta");
    for (int e = 0; e < ETAS; e++) table_head(&table, text_new(&arena, "%.3g", 1e-4 * pow(0.5, e)));
    for (int objective = OBJECTIVE_SFT; objective <= OBJECTIVE_SIMPO; objective++) {
        Scores scores = {0};
        Steps s = {.w = w,
                   .how = options_of(w, METHOD_GRADIENT, (Objective)objective),
                   .moved = model_copy(w->m),
                   .holdout_grad = mem_new(n, sizeof(real)),
                   .own_grad = mem_new(n, sizeof(real))};
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &s.how, &scores);
        s.dots = scores.score;
        for (int h = 0; h < HOLDOUT; h++)
            program_loss(w->m, w->ws, &w->holdout, h, &s.how, s.how.holdout_reference,
                         1.0 / HOLDOUT, s.holdout_grad);
        product_row(a, &s);
        for (int holdout_steps = 1; holdout_steps >= 0; holdout_steps--)
            order_rows(a, &s, holdout_steps, &table);
        scores_free(&scores);
        model_free(s.moved);
        free(s.holdout_grad);
        free(s.own_grad);
    }
    audit_table(a, "A step's effect as its length goes to 0", &table);
    table_free(&table);
    arena_free(&arena);
}

/* [E14] The inner products alone. */
static void product_rows(Audit *a, const World *w) {
    for (int objective = OBJECTIVE_SFT; objective <= OBJECTIVE_SIMPO; objective++) {
        Scores scores = {0};
        Steps s = {.w = w, .how = options_of(w, METHOD_GRADIENT, (Objective)objective)};
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &s.how, &scores);
        s.dots = scores.score;
        product_row(a, &s);
        scores_free(&scores);
    }
}

/* What runs through a model, with one of another family: grouped heads, rotary positions, RMS
 * norms, and Qwen3's norms of heads. */
static void family_rows(Audit *a, Family family, const char *name) {
    World w = world_new(family, 1);
    audit_about(a, name);
    ica_rows(a, &w);
    pair_score_rows(a, &w);
    for (int objective = OBJECTIVE_SFT; objective <= OBJECTIVE_SIMPO; objective++)
        model_rows(a, &w, (Objective)objective);
    product_rows(a, &w);
    rho_rows(a, &w);
    oneshot_rows(a, &w);
    audit_about(a, NULL);
    world_free(&w);
}

void audit_product(Audit *a) {
    World w = world_new(FAMILY_GPT2, 1);
    ica_rows(a, &w);
    retrieval_rows(a);
    pair_score_rows(a, &w);
    weight_rows(a);
    coefficient_rows(a);
    objective_rows(a);
    for (int objective = OBJECTIVE_SFT; objective <= OBJECTIVE_SIMPO; objective++)
        model_rows(a, &w, (Objective)objective);
    adamw_rows(a, &w);
    gradient_rows(a, &w);
    rho_rows(a, &w);
    oneshot_rows(a, &w);
    sample_size_rows(a);
    accept_rows(a);
    fold_rows(a);
    mirror_rows(a, &w);
    world_free(&w);
    family_rows(a, FAMILY_LLAMA, "Llama");
    family_rows(a, FAMILY_QWEN3, "Qwen3");
}
