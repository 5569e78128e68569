/* The exact half of the audit, the derivation: E2, E3 and E17 on models whose predictive
 * distribution is known in closed form, and E4 where conditioning IS a training step: attention
 * whose weights are built by hand. The equations that the program computes follow in
 * audit_product.c.
 *
 * Losses are negative log-likelihoods, token sums. D_t is what the model has seen, D_ho the
 * holdout, z = (x, y) the candidate. */
#include "tests/audit/audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tests/audit/audit_product.h"
#include "tests/audit/audit_training.h"

#ifndef REAL_DOUBLE
#error "the audit's tolerances are those of double precision: make audit-exact, or -DREAL_DOUBLE"
#endif

enum { DIM = 3, MOST = 40 };

/* ---- models that are exact: a coin and a line ----
 * Coin: theta ~ Beta(A, B), y ~ Bernoulli(theta). With x_tells the item's x[0] is one more throw of
 * the same coin. Then the prompt alone says something about the holdout.
 *
 * Line: w ~ N(0, S I), y ~ N(w.x, R), x given.
 *
 * keep < 1: before each new item all earlier evidence counts `keep` times as much. (The coin's
 * counts shrink, the line's covariance grows.) Such a model forgets, and is not exchangeable. */

typedef struct {
    double x[DIM], y;
    bool x_tells;
} Item;
typedef struct {
    Item v[MOST];
    int n;
} List;
typedef enum { COIN, LINE } ExactFamily;
typedef struct {
    ExactFamily family;
    double keep;
} Exact;

static const double A = 1.5, B = 0.8, S = 2, R = 0.5;

static List list_join(const List *a, const List *b) {
    List both = *a;
    for (int i = 0; i < b->n; i++) both.v[both.n++] = b->v[i];
    return both;
}

static List list_with(const List *a, const Item *z) {
    List longer = *a;
    longer.v[longer.n++] = *z;
    return longer;
}

/* ---- the first way: item after item. What is believed after some items; the surprise by the
 * next one; learning it. ---- */

typedef struct {
    double heads, tails, mean[DIM], cov[DIM][DIM];
} Belief;

static Belief belief_prior(void) {
    Belief b = {.heads = A, .tails = B};
    for (int i = 0; i < DIM; i++) b.cov[i][i] = S;
    return b;
}

static void coin_learn(Belief *b, double throw, double keep) {
    b->heads = A + keep * (b->heads - A) + throw;
    b->tails = B + keep * (b->tails - B) + 1 - throw;
}

/* The probability of heads in the next throw. */
static double coin_predict(const Belief *b, double keep) {
    double heads = A + keep * (b->heads - A), tails = B + keep * (b->tails - B);
    return heads / (heads + tails);
}

/* The prediction of y: its mean w.x, and its variance R + x' cov x. */
static void line_predict(const Belief *b, const Item *z, double keep, double *mean,
                         double *variance) {
    *mean = 0;
    *variance = R;
    for (int i = 0; i < DIM; i++) {
        *mean += b->mean[i] * z->x[i];
        for (int j = 0; j < DIM; j++) *variance += z->x[i] * b->cov[i][j] / keep * z->x[j];
    }
}

/* Kalman: gain = cov x / variance, mean += gain (y - prediction), cov -= gain x' cov. */
static void line_learn(Belief *b, const Item *z, double keep) {
    double mean, variance, cov_x[DIM] = {0};
    line_predict(b, z, keep, &mean, &variance);
    for (int i = 0; i < DIM; i++)
        for (int j = 0; j < DIM; j++) cov_x[i] += b->cov[i][j] / keep * z->x[j];
    for (int i = 0; i < DIM; i++) {
        b->mean[i] += cov_x[i] / variance * (z->y - mean);
        for (int j = 0; j < DIM; j++)
            b->cov[i][j] = b->cov[i][j] / keep - cov_x[i] * cov_x[j] / variance;
    }
}

static double normal_loss(double y, double mean, double variance) {
    return 0.5 * (log(2 * acos(-1) * variance) + (y - mean) * (y - mean) / variance);
}

/* l(y | x, everything believed) */
static double surprise(const Exact *m, const Belief *b, const Item *z) {
    if (m->family == COIN) {
        Belief after_x = *b;
        if (z->x_tells) coin_learn(&after_x, z->x[0], m->keep);
        double p = coin_predict(&after_x, m->keep);
        return -log(z->y > 0 ? p : 1 - p);
    }
    double mean, variance;
    line_predict(b, z, m->keep, &mean, &variance);
    return normal_loss(z->y, mean, variance);
}

static void learn(const Exact *m, Belief *b, const Item *z) {
    if (m->family == LINE) {
        line_learn(b, z, m->keep);
        return;
    }
    if (z->x_tells) coin_learn(b, z->x[0], m->keep);
    coin_learn(b, z->y, m->keep);
}

/* L(these | seen, these before): the loss of a list, each item after all before it; what it
 * holds is learned on the way. */
static double list_loss(const Exact *m, const List *seen, const List *these) {
    Belief b = belief_prior();
    double loss = 0;
    for (int i = 0; i < seen->n; i++) learn(m, &b, &seen->v[i]);
    for (int i = 0; i < these->n; i++) {
        loss += surprise(m, &b, &these->v[i]);
        learn(m, &b, &these->v[i]);
    }
    return loss;
}

static double item_loss(const Exact *m, const List *seen, const Item *z) {
    List one = {.v = {*z}, .n = 1};
    return list_loss(m, seen, &one);
}

/* ---- the second way: the probability of all items at once, in closed form (keep = 1) ---- */

/* -log B(A + heads, B + tails) / B(A, B) of all throws; `also_x` NULL, or an item of which only
 * x is counted. */
static double coin_joint(const List *d, const Item *also_x) {
    double heads = A, tails = B;
    for (int i = 0; i < d->n; i++) {
        if (d->v[i].x_tells) *(d->v[i].x[0] > 0 ? &heads : &tails) += 1;
        *(d->v[i].y > 0 ? &heads : &tails) += 1;
    }
    if (also_x && also_x->x_tells) *(also_x->x[0] > 0 ? &heads : &tails) += 1;
    return -(lgamma(heads) + lgamma(tails) - lgamma(heads + tails) - lgamma(A) - lgamma(B) +
             lgamma(A + B));
}

/* y ~ N(0, K), K_ij = S x_i.x_j + R (i = j): half of log det(2 pi K) + y' K^-1 y, by Cholesky K
 * = G G'. */
static double line_joint(const List *d) {
    double g[MOST][MOST], u[MOST], loss = 0;
    for (int i = 0; i < d->n; i++) {
        u[i] = d->v[i].y;
        for (int j = 0; j <= i; j++) {
            g[i][j] = i == j ? R : 0;
            for (int c = 0; c < DIM; c++) g[i][j] += S * d->v[i].x[c] * d->v[j].x[c];
            for (int c = 0; c < j; c++) g[i][j] -= g[i][c] * g[j][c];
            if (j < i) g[i][j] /= g[j][j];
        }
        g[i][i] = sqrt(g[i][i]);
        for (int j = 0; j < i; j++) u[i] -= g[i][j] * u[j];
        u[i] /= g[i][i];
        loss += log(g[i][i]) + 0.5 * log(2 * acos(-1)) + 0.5 * u[i] * u[i];
    }
    return loss;
}

static double joint_loss(const Exact *m, const List *d, const Item *also_x) {
    return m->family == COIN ? coin_joint(d, also_x) : line_joint(d);
}

/* l(y | x, seen) */
static double item_loss_closed(const Exact *m, const List *seen, const Item *z) {
    List all = list_with(seen, z);
    return joint_loss(m, &all, NULL) - joint_loss(m, seen, z);
}

/* ---- E2, E3 ---- */

/* [E2] -log p(D_ho | D_t, z) = l(y | x, D_t, D_ho) - l(y | x, D_t) + L(D_ho | D_t), the right
 * side. The paper prints a minus before the last term: sign = -1. */
static double bayes_holdout_loss(const Exact *m, const List *D_t, const List *D_ho, const Item *z,
                                 int sign) {
    List both = list_join(D_t, D_ho);
    double L = joint_loss(m, &both, NULL) - joint_loss(m, D_t, NULL);
    return item_loss_closed(m, &both, z) - item_loss_closed(m, D_t, z) + sign * L;
}

/* [E3] s_ho(z) = l(y | x; D_t) - l(y | x; D_t and D_ho) */
static double holdout_loss_score(const Exact *m, const List *D_t, const List *D_ho, const Item *z) {
    List both = list_join(D_t, D_ho);
    return item_loss_closed(m, D_t, z) - item_loss_closed(m, &both, z);
}

/* What E3 stands for: how much z lowers the holdout's loss, item after item. */
static double holdout_drop(const Exact *m, const List *D_t, const List *D_ho, const Item *z) {
    List with_z = list_with(D_t, z);
    return list_loss(m, D_t, D_ho) - list_loss(m, &with_z, D_ho);
}

static Item random_item(const Exact *m, Rng *rng, const double *w) {
    Item z = {.y = m->family == COIN ? rng_uniform(rng) < w[0] : sqrt(R) * rng_normal(rng)};
    for (int i = 0; i < DIM; i++) {
        z.x[i] = m->family == COIN ? rng_uniform(rng) < w[0] : rng_normal(rng);
        if (m->family == LINE) z.y += w[i] * z.x[i];
    }
    return z;
}

/* One world: its coin or its line is drawn, then D_t (maybe empty), D_ho (one item at least),
 * and a candidate. */
typedef struct {
    List D_t, D_ho;
    Item z;
} World;

static World random_world(const Exact *m, Rng *rng) {
    World world = {.D_t = {.n = rng_below(rng, 9)}, .D_ho = {.n = 1 + rng_below(rng, 6)}};
    double w[DIM] = {rng_uniform(rng)};
    for (int i = 0; i < DIM && m->family == LINE; i++) w[i] = sqrt(S) * rng_normal(rng);
    for (int i = 0; i < world.D_t.n; i++) world.D_t.v[i] = random_item(m, rng, w);
    for (int i = 0; i < world.D_ho.n; i++) world.D_ho.v[i] = random_item(m, rng, w);
    world.z = random_item(m, rng, w);
    return world;
}

enum { WORLDS = 400 };

static const char *const FAMILY[] = {"Beta-Bernoulli", "linear-Gaussian"};
static const Equation
    E2 = {"E2", "-log p(D_ho|D_t,z) = l(y|x,D_t,D_ho) - l(y|x,D_t) + L(D_ho|D_t)",
          "bayes_holdout_loss"},
    E3 = {"E3", "s_ho(z) = l(y|x;D_t) - l(y|x;D_t,D_ho)", "holdout_loss_score"},
    E4 = {"E4", "l(y|x;theta*(D_t,D_ho)) ~ l(y|x,C(x);theta_t)", "conditioned_and_trained"},
    E14 = {"E14", "s = eta <grad l(z), grad L(D_ho)> + O(eta^2)", "gradient_pass"},
    E17 = {"E17", "logp(y|C,x) - logp(y|x) = sum_i [logp(y_hi|z,h_<i,x_hi) - logp(y_hi|h_<i,x_hi)]",
           "gain_by_candidate"};

/* Both sides of an equation are sums of at most 17 log-likelihoods below 30 in size and, for the
 * coin, 12 lgammas below 60. The line's two ways invert matrices of condition 1 + S max|x|^2 n /
 * R < 1e3, which multiplies rounding by as much. */
static const double ROUNDING[] = {2e-13, 1e-11};
static const char *const ROUNDING_REASON[] = {
    "rounding: 30 terms below 60, each off by half a unit in the last place",
    "rounding times the covariance's condition number (below 1e3)"};

static void family_row(Audit *a, const Equation *e, ExactFamily family, const char *compared,
                       const Worst *w) {
    Arena arena = {0};
    audit_worst(a, e, text_new(&arena, "%s: %s", FAMILY[family], compared), w, ROUNDING[family],
                ROUNDING_REASON[family]);
    arena_free(&arena);
}

static void family_refuted(Audit *a, const Equation *e, ExactFamily family, const char *compared,
                           const Worst *w, const char *if_true, const Worst *holds) {
    Arena arena = {0};
    audit_refuted(a, e, text_new(&arena, "%s: %s", FAMILY[family], compared), w, if_true, holds,
                  ROUNDING[family], ROUNDING_REASON[family]);
    arena_free(&arena);
}

static void bayes_rows(Audit *a, ExactFamily family) {
    Exact m = {family, 1};
    Rng rng = rng_new(2, (uint64_t)family);
    Worst bayes = {0}, orders = {0}, minus = {0}, twice = {0}, drop = {0}, difference = {0};
    for (int t = 0; t < WORLDS; t++) {
        World w = random_world(&m, &rng);
        List with_z = list_with(&w.D_t, &w.z), with_ho = list_join(&w.D_t, &w.D_ho);
        Item other = random_item(&m, &rng, (const double[DIM]){0.5, 1, -1});
        double left = list_loss(&m, &with_z, &w.D_ho),
               score = holdout_loss_score(&m, &w.D_t, &w.D_ho, &w.z);
        List with_other = list_with(&w.D_t, &other);
        worst_add(&bayes, left, bayes_holdout_loss(&m, &w.D_t, &w.D_ho, &w.z, 1), 1);
        double printed = bayes_holdout_loss(&m, &w.D_t, &w.D_ho, &w.z, -1);
        worst_add(&minus, left, printed, 1);
        worst_add(&twice, left - printed, 2 * list_loss(&m, &w.D_t, &w.D_ho), 1);
        worst_add(&orders, item_loss(&m, &w.D_t, &w.z) + left,
                  list_loss(&m, &w.D_t, &w.D_ho) + item_loss(&m, &with_ho, &w.z), 1);
        worst_add(&drop, holdout_drop(&m, &w.D_t, &w.D_ho, &w.z), score, 1);
        worst_add(&difference, list_loss(&m, &with_other, &w.D_ho) - left,
                  score - holdout_loss_score(&m, &w.D_t, &w.D_ho, &other), 1);
    }
    family_row(a, &E2, family, "L(D_ho) after z, item by item, against closed forms", &bayes);
    family_row(a, &E2, family, "z and then D_ho, against D_ho and then z", &orders);
    family_refuted(a, &E2, family,
                   "the same with the minus that the paper prints before L(D_ho|D_t)", &minus,
                   "with a plus", &bayes);
    family_row(a, &E2, family,
               "how far that is off, against 2 L(D_ho|D_t), which no candidate changes", &twice);
    family_row(a, &E3, family, "the drop of L(D_ho) through z, against the score (x tells nothing)",
               &drop);
    family_row(a, &E3, family,
               "L(D_ho) after another candidate less after z, against the scores' difference",
               &difference);
}

/* The sum of losses under the posterior mean alone, as if it were the truth: what a trained
 * point estimate predicts. */
static double plug_in_loss(const Exact *m, const List *seen, const List *these) {
    Belief b = belief_prior();
    double loss = 0;
    for (int i = 0; i < seen->n; i++) learn(m, &b, &seen->v[i]);
    for (int i = 0; i < these->n; i++) {
        const Item *z = &these->v[i];
        double p = coin_predict(&b, 1), mean = 0;
        for (int c = 0; c < DIM; c++) mean += b.mean[c] * z->x[c];
        loss += m->family == COIN ? -log(z->y > 0 ? p : 1 - p) : normal_loss(z->y, mean, R);
    }
    return loss;
}

/* Where E3 is not the drop: x that tells something about the holdout, and a point estimate in
 * place of the predictive. */
static void not_the_drop_rows(Audit *a) {
    Exact coin = {COIN, 1};
    Rng rng = rng_new(3, 0);
    Worst fails = {0}, gap = {0}, corrected = {0}, plug_in[2] = {{0}}, predictive[2] = {{0}};
    for (int t = 0; t < WORLDS; t++) {
        World w = random_world(&coin, &rng);
        w.z.x_tells = true;
        double drop = holdout_drop(&coin, &w.D_t, &w.D_ho, &w.z),
               score = holdout_loss_score(&coin, &w.D_t, &w.D_ho, &w.z);
        List both = list_join(&w.D_t, &w.D_ho);
        Item x_alone = {.y = w.z.x[0]}; /* x is a throw like any other */
        double told =
            item_loss_closed(&coin, &w.D_t, &x_alone) - item_loss_closed(&coin, &both, &x_alone);
        worst_add(&fails, drop, score, 1);
        worst_add(&gap, drop - score, told, 1);
        worst_add(&corrected, drop, score + told, 1);
        for (int family = 0; family < 2; family++) {
            Exact m = {(ExactFamily)family, 1};
            World v = random_world(&m, &rng);
            List with_z = list_with(&v.D_t, &v.z), with_ho = list_join(&v.D_t, &v.D_ho),
                 z = {.v = {v.z}, .n = 1};
            worst_add(&plug_in[family],
                      plug_in_loss(&m, &v.D_t, &v.D_ho) - plug_in_loss(&m, &with_z, &v.D_ho),
                      plug_in_loss(&m, &v.D_t, &z) - plug_in_loss(&m, &with_ho, &z), 1);
            worst_add(&predictive[family], holdout_drop(&m, &v.D_t, &v.D_ho, &v.z),
                      item_loss(&m, &v.D_t, &v.z) - item_loss(&m, &with_ho, &v.z), 1);
        }
    }
    family_refuted(a, &E3, COIN,
                   "x is a throw too: the drop of L(D_ho) through (x, y), against the score",
                   &fails, "with what x says added to the score", &corrected);
    family_row(a, &E3, COIN, "that gap, against what x alone says: l(x|D_t) - l(x|D_t,D_ho)", &gap);
    for (int family = 0; family < 2; family++)
        family_refuted(
            a, &E3, (ExactFamily)family,
            "a point estimate (posterior mean) in place of the predictive: drop, against score",
            &plug_in[family], "the predictive, in the same worlds", &predictive[family]);
}

/* ---- E17: the candidate read after the demonstrations, or they after the candidate ---- */

/* E5 on an exact model: logp(y | D_t, C, x) - logp(y | D_t, x). */
static double score_in_context(const Exact *m, const List *D_t, const List *C, const Item *z) {
    List shown = list_join(D_t, C);
    return item_loss(m, D_t, z) - item_loss(m, &shown, z);
}

/* [E17] sum over i of logp(y_hi | z, h_<i, x_hi) - logp(y_hi | h_<i, x_hi): the right side; with
 * one demonstration it is E16's term. */
static double gain_by_candidate(const Exact *m, const List *D_t, const List *C, const Item *z) {
    List with_z = list_with(D_t, z);
    return list_loss(m, D_t, C) - list_loss(m, &with_z, C);
}

/* E16: the mean over h of what z does for each h alone. */
static double one_shot(const Exact *m, const List *D_t, const List *C, const Item *z) {
    double sum = 0;
    for (int i = 0; i < C->n; i++) {
        List one = {.v = {C->v[i]}, .n = 1};
        sum += gain_by_candidate(m, D_t, &one, z);
    }
    return sum / C->n;
}

static double mean_of_single_scores(const Exact *m, const List *D_t, const List *C, const Item *z) {
    double sum = 0;
    for (int i = 0; i < C->n; i++) {
        List one = {.v = {C->v[i]}, .n = 1};
        sum += score_in_context(m, D_t, &one, z);
    }
    return sum / C->n;
}

static void exchange_rows(Audit *a, ExactFamily family) {
    Exact m = {family, 1};
    Rng rng = rng_new(17, (uint64_t)family);
    Worst single = {0}, several = {0}, mean = {0}, confused = {0}, chain = {0};
    for (int t = 0; t < WORLDS; t++) {
        World w = random_world(&m, &rng);
        List one = {.v = {w.D_ho.v[0]}, .n = 1};
        worst_add(&single, score_in_context(&m, &w.D_t, &one, &w.z),
                  gain_by_candidate(&m, &w.D_t, &one, &w.z), 1);
        double score = score_in_context(&m, &w.D_t, &w.D_ho, &w.z),
               one_shot_score = one_shot(&m, &w.D_t, &w.D_ho, &w.z),
               gain = gain_by_candidate(&m, &w.D_t, &w.D_ho, &w.z);
        worst_add(&several, score, gain, 1);
        worst_add(&mean, one_shot_score, mean_of_single_scores(&m, &w.D_t, &w.D_ho, &w.z), 1);
        if (w.D_ho.n > 1) worst_add(&confused, score, one_shot_score, 1);
        if (w.D_ho.n > 1) worst_add(&chain, score, gain, 1);
    }
    family_row(a, &E17, family, "(a) E5 with one demonstration, against E16's term", &single);
    family_row(a, &E17, family, "(b) E5 with 1 to 6 demonstrations, against the sum of gains",
               &several);
    family_row(a, &E17, family, "E16, against the mean of E5s with one demonstration", &mean);
    family_refuted(a, &E17, family, "E5 with 2 to 6 demonstrations, against E16", &confused,
                   "against the chain of (b), whose terms see the earlier demonstrations", &chain);
}

/* Models that forget are not exchangeable: the gap of (b), as a root mean square over worlds,
 * for the coin and the line. */
static double exchange_gap(ExactFamily family, double keep, Worst *worst) {
    Exact m = {family, keep};
    Rng rng = rng_new(18, (uint64_t)family);
    double square = 0;
    for (int t = 0; t < WORLDS; t++) {
        World w = random_world(&m, &rng);
        double left = score_in_context(&m, &w.D_t, &w.D_ho, &w.z),
               right = gain_by_candidate(&m, &w.D_t, &w.D_ho, &w.z);
        worst_add(worst, left, right, 1);
        square += (left - right) * (left - right) / WORLDS;
    }
    return sqrt(square);
}

static void forgetting_rows(Audit *a) {
    static const double keeps[] = {1, 0.9999, 0.999, 0.99, 0.9, 0.5};
    Table table = {.title = "E17 (b) on models that forget: root mean square of the gap between "
                            "both orders, in nats"};
    table_head(&table, "evidence kept at each item");
    table_head(&table, FAMILY[COIN]);
    table_head(&table, FAMILY[LINE]);
    double lost[2][2], gap[2][2]; /* [family][two small losses] */
    Worst all_kept[2];
    for (int i = 0; i < 6; i++) {
        table_put(&table, "%g", keeps[i]);
        for (int family = 0; family < 2; family++) {
            Worst worst = {0};
            double g = exchange_gap((ExactFamily)family, keeps[i], &worst);
            table_put(&table, "%.2g", g);
            if (i == 1 || i == 2) {
                lost[family][i - 1] = 1 - keeps[i];
                gap[family][i - 1] = g;
            }
            if (keeps[i] == 1) all_kept[family] = worst;
            if (keeps[i] == 0.9)
                family_refuted(a, &E17, (ExactFamily)family,
                               "(b) where each item leaves 0.9 of the evidence: not exchangeable",
                               &worst, "the same worlds, all evidence kept", &all_kept[family]);
        }
    }
    for (int family = 0; family < 2; family++) {
        Arena arena = {0};
        Worst order = {0};
        worst_add(&order, order_of(lost[family], gap[family], 2), 1, 1);
        audit_worst(a, &E17,
                    text_new(&arena, "%s: order of that gap in what is forgotten", FAMILY[family]),
                    &order, 0.02, "the next term is of relative order 1e-3, times a few");
        arena_free(&arena);
    }
    audit_table(a, "Both orders of conditioning", &table);
    table_free(&table);
}

/* ---- E4: attention that trains ----
 * The task: least squares, l(y|x;w) = (y - w.x)^2 / 2 (a Gaussian's loss but for a constant).
 * One gradient step on the mean loss of the demonstrations turns w0 into w0 + eta/n sum_i (y_i -
 * w0.x_i) x_i. A linear self-attention layer says the same at the query: sum_i (V e_i) (K e_i .
 * Q e_q) with K e = Q e = x and V e = eta/n (y - w0.x) (von Oswald et al. 2023). */

typedef struct {
    double x[DIM], y;
} Point3;
enum { DEMOS_MOST = 64 };
typedef struct {
    Point3 demo[DEMOS_MOST], query;
    double w0[DIM], eta;
    int n;
} Task;

static double dot3(const double *a, const double *b) {
    double sum = 0;
    for (int i = 0; i < DIM; i++) sum += a[i] * b[i];
    return sum;
}

static Task random_task(Rng *rng, int n) {
    Task t = {.n = n, .eta = 0.3};
    double w[DIM];
    for (int i = 0; i < DIM; i++) {
        w[i] = 0.7 * rng_normal(rng);
        t.w0[i] = 0.5 * rng_normal(rng);
    }
    for (int i = 0; i <= n; i++) {
        Point3 *p = i < n ? &t.demo[i] : &t.query;
        for (int c = 0; c < DIM; c++) p->x[c] = 0.5 * rng_normal(rng);
        p->y = dot3(w, p->x) + 0.1 * rng_normal(rng);
    }
    return t;
}

static double square_loss(double y, double prediction) {
    return (y - prediction) * (y - prediction) / 2;
}

/* Training: the prediction at the query after some gradient steps on the demonstrations. */
static double trained_prediction(const Task *t, int steps) {
    double w[DIM];
    memcpy(w, t->w0, sizeof w);
    for (int s = 0; s < steps; s++) {
        double gradient[DIM] = {0};
        for (int i = 0; i < t->n; i++)
            for (int c = 0; c < DIM; c++)
                gradient[c] += (dot3(w, t->demo[i].x) - t->demo[i].y) * t->demo[i].x[c] / t->n;
        for (int c = 0; c < DIM; c++) w[c] -= t->eta * gradient[c];
    }
    return dot3(w, t->query.x);
}

/* Conditioning, in linear attention of some layers: every token (x_j, residual_j), the query's
 * residual being 0 minus its prediction, adds -eta/n sum_i residual_i x_i.x_j over the
 * demonstrations i, all of them or (causal) those up to itself. */
static double linear_attention(const Task *t, int layers, bool causal) {
    double residual[DEMOS_MOST + 1], next[DEMOS_MOST + 1];
    for (int j = 0; j <= t->n; j++) {
        const Point3 *p = j < t->n ? &t->demo[j] : &t->query;
        residual[j] = (j < t->n ? p->y : 0) - dot3(t->w0, p->x);
    }
    for (int l = 0; l < layers; l++) {
        for (int j = 0; j <= t->n; j++) {
            const Point3 *p = j < t->n ? &t->demo[j] : &t->query;
            next[j] = residual[j];
            for (int i = 0; i < t->n && (i <= j || !causal); i++)
                next[j] -= t->eta / t->n * residual[i] * dot3(t->demo[i].x, p->x);
        }
        memcpy(residual, next, (size_t)(t->n + 1) * sizeof *next);
    }
    return -residual[t->n];
}

/* ---- the same through the program's own model ----
 * A GPT of one layer with hand-made weights, and softmax attention. Three devices make it exact:
 *
 * 1. Softmax of small scores is linear attention: softmax(eps s)_j = (1 + eps (s_j - mean s) +
 *    O(eps^2)) / n. Each demonstration comes with its negative (-x, -y), which says the same about
 *    a linear map. So all means are 0, only odd orders are left, and one head is off by O(eps^2).
 *    A second head with 2 eps cancels that term: (4 head(eps) - head(2 eps)) / 3 is off by
 *    O(eps^4).
 *
 * 2. Each embedding (u, -u) has mean 0 and, by one free channel, variance 1 - 1e-5. Layer norm
 *    leaves it as it is.
 *
 * 3. The final layer norm scales the prediction and that free channel alike. The ratio of two
 *    logits undoes it. The MLP is zero. */

enum { KEY = 0, QUERY = DIM, VALUE = 2 * DIM, ANSWER, FREE, HALF = 16, CHANNELS = 2 * HALF };

/* A token's embedding from its half u, whose FREE channel is set here and returned. */
static double embed(real *row, double *u) {
    double square = 0;
    u[FREE] = 0;
    for (int c = 0; c < HALF; c++) square += u[c] * u[c];
    u[FREE] = sqrt(CHANNELS * (1 - 1e-5) / 2 - square);
    for (int c = 0; c < HALF; c++) {
        row[c] = (real)u[c];
        row[HALF + c] = (real)-u[c];
    }
    return u[FREE];
}

/* Head h: queries are eps_h x, keys x, its value y - w0.x goes to ANSWER times factor_h. */
static void wire_head(Model *m, const Task *t, int h, double epsilon, double factor) {
    Layer *w = &m->view.layer[0];
    int D = CHANNELS / m->config.heads, C = CHANNELS;
    for (int c = 0; c < DIM; c++) {
        /* attention divides by sqrt(D) */
        w->qkv.w[(QUERY + c) * 3 * C + h * D + c] = (real)(epsilon * sqrt(D));
        w->qkv.w[(KEY + c) * 3 * C + C + h * D + c] = 1;
        w->qkv.w[(KEY + c) * 3 * C + 2 * C + h * D] = (real)-t->w0[c];
    }
    w->qkv.w[VALUE * 3 * C + 2 * C + h * D] = 1;
    w->out.w[h * D * C + ANSWER] = (real)factor;
    w->out.w[h * D * C + HALF + ANSWER] = (real)-factor;
}

/* The tokens: demonstrations and their negatives in turn, the query, and two that only read the
 * final channels. */
static double wire_tokens(Model *m, const Task *t) {
    double free_channel = 0;
    for (int i = 0; i <= 2 * t->n; i++) {
        double u[HALF] = {0}, sign = i % 2 ? -1 : 1;
        if (i < 2 * t->n) {
            for (int c = 0; c < DIM; c++) u[KEY + c] = sign * t->demo[i / 2].x[c];
            u[VALUE] = sign * t->demo[i / 2].y;
        } else {
            for (int c = 0; c < DIM; c++) u[QUERY + c] = t->query.x[c];
            u[ANSWER] = dot3(t->w0, t->query.x);
        }
        free_channel = embed(m->view.wte + (size_t)i * CHANNELS, u);
    }
    m->view.wte[(size_t)(2 * t->n + 1) * CHANNELS + ANSWER] = 1;
    m->view.wte[(size_t)(2 * t->n + 2) * CHANNELS + FREE] = 1;
    return free_channel;
}

/* Conditioning in the program's model: one or two heads. */
static double model_prediction(const Task *t, int heads, double epsilon) {
    Error err = {0};
    int n = 2 * t->n + 1;
    Model *m = model_new(
        (ModelConfig){
            .layers = 1, .heads = heads, .channels = CHANNELS, .context = n, .vocab = n + 2},
        &err);
    for (int c = 0; c < CHANNELS; c++)
        m->view.lnf.g[c] = m->view.layer[0].ln1.g[c] = m->view.layer[0].ln2.g[c] = 1;
    double free_channel = wire_tokens(m, t);
    /* a head averages over 2n + 1 tokens: eps sum_i v_i s_i 2 / (2n + 1), of which eta / n is
     * wanted */
    double factor = t->eta * n / (2 * t->n * epsilon);
    wire_head(m, t, 0, epsilon, heads == 2 ? factor * 4 / 3 : factor);
    if (heads == 2) wire_head(m, t, 1, 2 * epsilon, -factor / 2 / 3);
    Workspace *ws = workspace_new();
    Prefix *prefix = prefix_new(m, n);
    Batch b = {0};
    int *tokens = mem_new((size_t)n, sizeof *tokens);
    real *logits = mem_new((size_t)n + 2, sizeof *logits);
    for (int i = 0; i < n; i++) tokens[i] = i;
    batch_row_inputs(&b, tokens, n, prefix);
    model_extend(m, ws, &b);
    model_logits(m, ws, 0, logits);
    double prediction = free_channel * (double)logits[n] / (double)logits[n + 1];
    free(tokens);
    free(logits);
    batch_free(&b);
    prefix_free(prefix);
    workspace_free(ws);
    model_free(m);
    return prediction;
}

enum { TASKS = 20 };

/* [E4] Both sides at one task: the loss of the query's answer after training on the
 * demonstrations, and with them in the context of the program's attention (heads 1 or 2) or of
 * plain linear attention (heads 0). */
static void conditioned_and_trained(const Task *t, int heads, double epsilon, double *conditioned,
                                    double *trained) {
    *trained = square_loss(t->query.y, trained_prediction(t, 1));
    *conditioned = square_loss(t->query.y, heads ? model_prediction(t, heads, epsilon)
                                                 : linear_attention(t, 1, true));
}

/* How far the context moves the prediction from where a step moves it: over tasks, relative to
 * the step, root mean squares. */
static double relative_error(int heads, double epsilon, int k) {
    Rng rng = rng_new(4, (uint64_t)k);
    double error = 0, step = 0;
    for (int i = 0; i < TASKS; i++) {
        Task t = random_task(&rng, k);
        double trained = trained_prediction(&t, 1), start = dot3(t.w0, t.query.x);
        error += pow(model_prediction(&t, heads, epsilon) - trained, 2);
        step += pow(trained - start, 2);
    }
    return sqrt(error / step);
}

static void attention_rows(Audit *a) {
    static const int ks[] = {1, 2, 8, 32};
    Worst layer = {0}, model = {0};
    for (int i = 0; i < 4; i++) {
        Rng rng = rng_new(4, (uint64_t)ks[i]);
        for (int j = 0; j < TASKS; j++) {
            Task t = random_task(&rng, ks[i]);
            double conditioned, trained;
            conditioned_and_trained(&t, 0, 0, &conditioned, &trained);
            worst_add(&layer, conditioned, trained, 1);
            conditioned_and_trained(&t, 2, 1e-3, &conditioned, &trained);
            worst_add(&model, conditioned, trained, 1);
        }
    }
    audit_worst(a, &E4,
                "a linear attention layer with demonstrations, against one gradient step on them",
                &layer, 1e-13, "rounding: 100 terms below 3");
    audit_worst(a, &E4,
                "the program's own GPT (two heads, softmax of 1e-3 x.x'), against that step",
                &model, 1e-10,
                "eps^4 = 1e-12 of softmax, and rounding 1e-16 / eps = 1e-13, each times some ten");
}

/* The order in eps at which one head, and two, become linear attention. */
static void limit_rows(Audit *a) {
    static const double epsilons[] = {0.1, 0.05, 0.025, 0.0125};
    for (int heads = 1; heads <= 2; heads++) {
        Arena arena = {0};
        double error[4];
        Worst order = {0};
        for (int i = 0; i < 4; i++) error[i] = relative_error(heads, epsilons[i], 8);
        worst_add(&order, order_of(epsilons, error, 4), 2 * heads, 1);
        const char *head = heads == 1 ? "one head" : "two heads";
        audit_worst(
            a, &E4, text_new(&arena, "%s: order in eps of softmax's distance from that step", head),
            &order, 0.1, "the next term is of relative order eps^2 <= 0.01, times some ten");
        arena_free(&arena);
    }
}

/* E14 where conditioning is a step: s_ICA of the linear layer, against eta <grad l(z), grad
 * L(D_ho)>. */
static void linearized_row(Audit *a) {
    double eta[5], rms[5] = {0};
    Worst order = {0};
    for (int e = 0; e < 5; e++) {
        Rng rng = rng_new(14, 0);
        eta[e] = 0.1 * pow(0.5, e);
        for (int i = 0; i < TASKS; i++) {
            Task t = random_task(&rng, 8);
            t.eta = eta[e];
            double start = dot3(t.w0, t.query.x), inner = 0;
            double score = square_loss(t.query.y, start) -
                           square_loss(t.query.y, linear_attention(&t, 1, true));
            for (int h = 0; h < t.n; h++) /* grad l = (w0.x - y) x */
                inner += (start - t.query.y) * (dot3(t.w0, t.demo[h].x) - t.demo[h].y) *
                         dot3(t.query.x, t.demo[h].x) / t.n;
            rms[e] += pow(score - eta[e] * inner, 2) / TASKS;
        }
        rms[e] = sqrt(rms[e]);
    }
    worst_add(&order, order_of(eta, rms, 5), 2, 1);
    audit_worst(a, &E14,
                "linear attention, where conditioning IS a step: order in eta of s_ICA less the "
                "inner product",
                &order, 1e-6,
                "a square loss has no third order: rounding alone, 1e-16 of a remainder of 1e-5");
}

static const char *const E4_SECTION = "Where conditioning stops being training";

static void softmax_table(Audit *a) {
    static const double epsilons[] = {1e-3, 0.03, 0.3, 1, 3, 10};
    static const int ks[] = {1, 4, 16, 64};
    Arena arena = {0};
    Table table = {.title = "The program's softmax attention against one gradient step: error "
                            "relative to the step"};
    table_head(&table, "scores (one head)");
    for (int j = 0; j < 4; j++) table_head(&table, text_new(&arena, "k = %d", ks[j]));
    for (int i = 0; i < 6; i++) {
        table_put(&table, "%g x.x'", epsilons[i]);
        for (int j = 0; j < 4; j++)
            table_put(&table, "%.2g", relative_error(1, epsilons[i], ks[j]));
    }
    audit_table(a, E4_SECTION, &table);
    table_free(&table);
    arena_free(&arena);
}

static void depth_rows(Audit *a) {
    static const int ks[] = {1, 4, 16, 64};
    Arena arena = {0};
    Table table = {.title = "Layers of causal linear attention against as many gradient steps: "
                            "error relative to the steps"};
    Worst bidirectional = {0};
    table_head(&table, "layers");
    for (int j = 0; j < 4; j++) table_head(&table, text_new(&arena, "k = %d", ks[j]));
    for (int layers = 1; layers <= 16; layers *= 2) {
        table_put(&table, "%d", layers);
        for (int j = 0; j < 4; j++) {
            Rng rng = rng_new(5, (uint64_t)ks[j]);
            double error = 0, step = 0;
            for (int i = 0; i < 5 * TASKS; i++) {
                Task t = random_task(&rng, ks[j]);
                double trained = trained_prediction(&t, layers);
                worst_add(&bidirectional, linear_attention(&t, layers, false), trained, 1);
                error += pow(linear_attention(&t, layers, true) - trained, 2);
                step += pow(trained - dot3(t.w0, t.query.x), 2);
            }
            table_put(&table, "%.2g", sqrt(error / step));
        }
    }
    audit_worst(a, &E4,
                "1 to 16 linear layers whose demonstrations see each other both ways, against as "
                "many steps",
                &bidirectional, 1e-12, "rounding: 16 layers of 100 terms below 3");
    audit_table(a, E4_SECTION, &table);
    table_free(&table);
    arena_free(&arena);
}

/* ---- all ---- */

static const char *const DERIVATION[] = {
    "E2 is Bayes' rule and holds to rounding on both exact models, in both orders, with a PLUS "
    "before L(D_ho|D_t). With the "
    "printed minus it is off by 2 L(D_ho|D_t); that is the same for every candidate, so no score "
    "changes.",
    "E3 is the drop of the holdout's loss exactly where x says nothing about the holdout and p is "
    "a Bayesian predictive. Where x "
    "itself is evidence, the score misses what x says; a point estimate in place of the predictive "
    "breaks the equality too."};

static const char *const ATTENTION[] = {
    "One layer of linear attention, its weights built by hand, predicts with demonstrations in its "
    "context exactly what one "
    "gradient step on them predicts. The program's softmax attention becomes that layer when its "
    "scores are small: one head to "
    "second order, two heads combined to fourth.",
    "With scores of ordinary size softmax weighs near demonstrations more than a gradient step "
    "does. Depth: layers are steps where "
    "demonstrations see each other; under a causal mask an early one does not see the later ones, "
    "and from the second layer on "
    "conditioning is no longer gradient descent."};

void audit_exact(Audit *a) {
    for (int family = 0; family < 2; family++) bayes_rows(a, (ExactFamily)family);
    not_the_drop_rows(a);
    for (int i = 0; i < 2; i++) audit_note(a, "The derivation on exact models", DERIVATION[i]);
    attention_rows(a);
    limit_rows(a);
    linearized_row(a);
    depth_rows(a);
    softmax_table(a);
    for (int i = 0; i < 2; i++) audit_note(a, E4_SECTION, ATTENTION[i]);
    for (int family = 0; family < 2; family++) exchange_rows(a, (ExactFamily)family);
    forgetting_rows(a);
    audit_product(a);
    audit_training(a);
}
