/* In-Context Approximation, in the order of the method. A candidate z = (x, y) of the pool is a
 * prompt with an answer. It is shown together with the k examples of a small trusted holdout whose
 * prompts are nearest to x: the context C(x). What the context does for the answer's log-likelihood
 * is the candidate's score. The score becomes a weight, and the weight multiplies its loss in the
 * gradient.
 *
 *   pool ----> x, y ------------------------> logp(y|x) ----+
 *               |                                           |
 *               v                                           v
 *   holdout -> C(x) -> C(x), x, y ------> logp(y|C,x) -> score -> weight -> gradient of the batch
 *               E6                                         E5       E8        E9 of E10, E11, E12
 *
 * The chapter: log-likelihoods, scores, scores of pairs, what the methods need, all methods. It
 * begins in scoring/context.c: what the model is shown, rows and C(x). It ends in
 * scoring/holdout.c, which scores the holdout like candidates and compares. A method is a row of a
 * table and a function above that table. Outside of its row, no code here asks which method it
 * runs.
 *
 * What is only numbers is in lib: from scores to weights (E8, E9, E19, E20) in weights.c, the
 * losses (E10 to E12) in objectives.c, how to judge scores and weights (E18) in stats.c. How rows
 * share the computation of their common beginnings is in fast/share.c. */
#include "ica.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/stats.h"

/* ---- log-likelihoods ----
 *
 * Everything that follows asks one question: how probable is this answer in this context? A Query
 * is such a question. Thousands are asked at once, in any order, and each gets the bits that its
 * row would get alone. So nothing below depends on batches, on what rows share, or on the number of
 * threads. */

void ica_batch(Batch *b, const Examples *data, const int *index, int n, bool pairs) {
    IntBuf row = {0};
    for (int r = 0; r < n * (1 + pairs); r++) {
        int i = r / (1 + pairs);
        Query q = {.x = &data->items[index ? index[i] : i], .rejected = pairs && r % 2 == 1};
        row.n = 0;
        int first = query_row(data, &q, &row);
        batch_row(b, row.v, row.n, first, NULL);
    }
    ints_free(&row);
}

/* Runs the queries' rows, with common beginnings computed once or plainly, and collects what comes
 * out. */
static void run_queries(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
                        Cost *cost, bool plain) {
    IntBuf tokens = {0};
    TokenRow *row = mem_new((size_t)n, sizeof *row);
    /* Write all rows into one buffer. */
    for (int i = 0, start = 0; i < n; start = tokens.n, i++) {
        row[i].first = query_row(set, &queries[i], &tokens);
        row[i].n = tokens.n - start;
    }
    /* The buffer no longer moves, so the rows may point into it. Each starts where the one before
     * ends. */
    for (int i = 0, start = 0; i < n; start += row[i++].n) row[i].token = tokens.v + start;
    /* Run them and hand out the results. */
    (plain ? plain_logps : share_logps)(m, ws, row, n, cost);
    for (int i = 0; i < n; i++) {
        queries[i].logp = row[i].logp;
        queries[i].hits = row[i].hits;
    }
    ints_free(&tokens);
    free(row);
}

void ica_logps(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
               Cost *cost) {
#ifdef NAIVE
    run_queries(m, ws, set, queries, n, cost, true);
#else
    run_queries(m, ws, set, queries, n, cost, false);
#endif
}

void ica_logps_naive(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n,
                     Cost *cost) {
    run_queries(m, ws, set, queries, n, cost, true);
}

/* The log-likelihoods of every item's answers after its own demonstrations. Item i's are
 * demos[i * k .. i * k + n_demos[i] - 1]. demos NULL: no demonstrations. out.rejected NULL: only
 * the (chosen) answers. hits NULL: not asked for. */
static void answer_pass(const Model *m, Workspace *ws, const Examples *data, const Demo *demos,
                        const int *n_demos, int k, Logps out, int *hits, Cost *cost) {
    int answers = out.rejected ? 2 : 1, n = data->count * answers;
    Query *q = mem_new((size_t)n, sizeof *q);
    for (int r = 0; r < n; r++) {
        int i = r / answers;
        q[r] = (Query){.x = &data->items[i], .rejected = r % answers == 1};
        if (demos) q[r].demos = demos + (size_t)i * (size_t)k;
        if (demos) q[r].n_demos = n_demos[i];
    }
    ica_logps(m, ws, data, q, n, cost);
    for (int r = 0; r < n; r++) {
        (q[r].rejected ? out.rejected : out.chosen)[r / answers] = q[r].logp;
        if (hits && !q[r].rejected) hits[r / answers] = q[r].hits;
    }
    free(q);
}

void ica_answer_logps(const Model *m, Workspace *ws, const Examples *data, Logps out, Cost *cost) {
    answer_pass(m, ws, data, NULL, NULL, 0, out, NULL, cost);
}

/* ---- scores ----
 *
 * A score is a scalar function of what is known of a candidate, mostly of log-likelihoods. Larger
 * is better. ICA asks what the holdout does for the candidate (E5). RHO-Loss asks the same of
 * training on the holdout (E15), One-shot asks what the candidate does for the holdout (E16), and
 * the gradient is what both approximate to first order (E14). The rest are controls. */

/* The log-likelihoods of one answer, reduced as --reduce says: logp(y|x), logp(y|C,x), and
 * logp(y|x) by RHO's reference. NaN where the method has none. */
typedef struct {
    double alone, in_context, by_reference;
} Reduced;

/* What is known of one candidate when its score is computed. */
struct Evidence {
    const ScoreOptions *how;
    Reduced answer, rejected;    /* rejected: of a pair, whose chosen answer is `answer` */
    PairLogps alone, in_context; /* of a pair: token sums. DPO's reference never sees C. */
    const double *gain;          /* [anchors] what the candidate does for each anchor, reduced; NaN:
                                  * it cannot be shown before it */
    int anchors;
    double inner_product; /* of the candidate's gradient and the holdout's */
    Rng *rng; /* candidates are scored in the pool's order, so each has its own number */
};

/* [E5] s_ICA = l(y|x) - l(y|x,C) = logp(y|C,x) - logp(y|x): what showing the holdout does for the
 * candidate's answer. */
static double score_ica(const Evidence *z) { return z->answer.in_context - z->answer.alone; }

/* [E15] RHO-Loss: s = l(y|x; theta) - l(y|x; theta_ref): what training on the holdout does for the
 * answer. Of one answer, since a pair needs it twice. */
static double score_rho(const Reduced *y) { return y->by_reference - y->alone; }

/* The same of the candidate's only answer. */
static double answer_rho(const Evidence *z) { return score_rho(&z->answer); }

/* [E16] One-shot: s = mean over anchors h of logp(y_h|z,x_h) - logp(y_h|x_h): what showing the
 * candidate does for the holdout. Of a pair, the gains are those of anchor_pass. */
static double score_oneshot(const Evidence *z) {
    double sum = 0;
    int n = 0;
    for (int a = 0; a < z->anchors; a++)
        if (!isnan(z->gain[a])) sum += z->gain[a], n++;
    return n ? sum / n : 0;
}

/* NUGGETS: the share of anchors that gain. */
static double score_nuggets(const Evidence *z) {
    int better = 0, n = 0;
    for (int a = 0; a < z->anchors; a++) {
        better += z->gain[a] > 0;
        n += !isnan(z->gain[a]);
    }
    return n ? (double)better / n : 0;
}

/* E14's inner product, from gradient_pass. */
static double score_gradient(const Evidence *z) { return z->inner_product; }

/* E5 without the subtraction: an easy answer scores high, shown or not. */
static double score_incontext(const Evidence *z) { return z->answer.in_context; }

/* A low loss is kept. Nothing is asked of the holdout. */
static double score_loss(const Evidence *z) { return z->answer.alone; }

/* The control that knows nothing. */
static double score_random(const Evidence *z) { return rng_uniform(z->rng); }

/* ---- scores of preference pairs ----
 *
 * A pair is a prompt with a chosen answer y_w and a rejected one y_l. Its margin is the
 * log-likelihood of the chosen answer minus that of the rejected one. Where a score above reads an
 * answer's log-likelihood, a pair's score reads the margin. Demonstrations show the chosen answer
 * only. The paper describes ICA's score of a pair as a drop of the loss (E7b). Its code computes a
 * gain of the margin (E7a). At DPO's start both rank alike. For SimPO, and later, they do not. */

PairLogps pair_logps(const Example *e, double chosen, double rejected, Logps reference, int i) {
    double w = reference.chosen ? reference.chosen[i] : 0;
    double l = reference.rejected ? reference.rejected[i] : 0;
    return (PairLogps){chosen, rejected, w, l, e->answer_n, e->rejected_n};
}

bool same_answers(const Example *e) {
    return e->answer_n == e->rejected_n &&
           memcmp(e->answer, e->rejected, (size_t)e->answer_n * sizeof *e->answer) == 0;
}

/* [E7a] s_margin = [logp(y_w|C,x) - logp(y_l|C,x)] - [logp(y_w|x) - logp(y_l|x)], reduced: how much
 * more the context favors the chosen answer over the rejected one. */
static double score_margin(const Evidence *z) {
    double inside = z->answer.in_context - z->rejected.in_context;
    return inside - (z->answer.alone - z->rejected.alone);
}

/* [E7b] s_loss = l_pair(theta) - l_pair(theta given C): the drop of the pair's loss by the context,
 * from token sums whatever --reduce says. */
static double score_pair_loss(const Evidence *z) {
    double loss = objective_pair(z->how->objective, &z->how->pair, &z->alone, NULL);
    return loss - objective_pair(z->how->objective, &z->how->pair, &z->in_context, NULL);
}

const PairScoreInfo PAIR_SCORES[] = {
    [PAIR_MARGIN] = {"margin", "the gain of the margin between both answers", score_margin},
    [PAIR_LOSS] = {"loss", "the drop of the pair's loss", score_pair_loss},
};
_Static_assert(sizeof PAIR_SCORES / sizeof *PAIR_SCORES == PAIR_SCORE_COUNT, "a row each");

/* E7a or E7b, as --pair-score says. */
static double pair_ica(const Evidence *z) { return PAIR_SCORES[z->how->pair_score].score(z); }

/* The reference's margin minus the margin: E15 of the chosen answer minus E15 of the rejected one.
 */
static double pair_rho(const Evidence *z) {
    return score_rho(&z->answer) - score_rho(&z->rejected);
}

/* The margin in context, nothing subtracted. */
static double pair_context(const Evidence *z) {
    return z->answer.in_context - z->rejected.in_context;
}

/* A low loss is kept. DPO's loss begins at log 2 for every pair, so there the margin stands for it.
 */
static double pair_loss(const Evidence *z) {
    if (z->how->objective == OBJECTIVE_DPO) return z->answer.alone - z->rejected.alone;
    return -objective_pair(z->how->objective, &z->how->pair, &z->alone, NULL);
}

/* ---- what the methods need ----
 *
 * Each pass computes one kind of evidence for the entire pool: contexts, anchors, gradients, and
 * log-likelihoods. ica_score runs the passes that the method's row asks for. */

/* One call of ica_score, and what its passes compute besides log-likelihoods. */
typedef struct {
    const Model *m;
    Workspace *ws;
    const Examples *pool, *holdout;
    const ScoreOptions *how;
    bool pairs;
    Scores *out;
    int anchors;           /* of each candidate */
    double *gain;          /* [pool][anchors], or NULL */
    double *inner_product; /* [pool], or NULL */
} Scoring;

/* What makes prompts near. Its cost is the scores'. */
static Embedder embedder_of(const Scoring *s) {
    return (Embedder){s->how->embedding, s->m, s->ws, &s->out->cost, s->how->vectors};
}

/* Chooses the demonstrations of every candidate, C(x), with the functions of scoring/context.c. A
 * candidate that can be shown none has a score that is not known. That is not the same as a score
 * of 0, which says that the context changes nothing. */
static void context_pass(const Scoring *s) {
    const ScoreOptions *how = s->how;
    Scores *out = s->out;
    ContextOptions wanted = {.demos = how->demos,
                             .k = how->k,
                             .embed = embedder_of(s),
                             .clusters = how->contexts,
                             .allow_overlap = how->allow_overlap,
                             .seed = how->seed,
                             .first = how->first,
                             .room = s->m->config.context,
                             .progress = s->ws->progress};
    out->dropped += contexts_choose(s->pool, s->holdout, &wanted, out->demos, out->n_demos);
    for (int i = 0; i < out->count; i++) out->unshown[i] = how->k > 0 && out->n_demos[i] == 0;
}

const Choice ANCHOR_CHOICES[] = {
    [ANCHORS_NEAREST] = {"nearest", "the k holdout examples nearest to the candidate"},
    [ANCHORS_RANDOM] = {"random", "the same random ones for all candidates"},
};
_Static_assert(sizeof ANCHOR_CHOICES / sizeof *ANCHOR_CHOICES == ANCHORS_COUNT, "a row each");

/* One-shot turns E5 round: the candidate is the demonstration, and its anchors, which are holdout
 * examples, are asked. The rules of contexts hold for anchors too: they are distinct, and none has
 * the candidate's own prompt.
 *
 * Fills queries[pool][anchors]. Each asks for the answer of one anchor. n_demos is 1 where the
 * candidate may be shown before the anchor, and anchor_queries then shows it. Where fewer than
 * `anchors` are found, the first holdout example fills the place with n_demos 0. */
static void choose_anchors(const Scoring *s, HoldoutIndex *index, const int *random,
                           Query *queries) {
    int k = s->anchors, *nearest = mem_new((size_t)k + 1, sizeof *nearest);
    bool overlap = s->how->allow_overlap;
    holdout_index_expect(index, s->pool, false);
    progress_part(s->ws->progress, "the choice of anchors");
    progress_begin(s->ws->progress, s->pool->count);
    for (int i = 0; i < s->pool->count; i++, progress_add(s->ws->progress, 1)) {
        const Example *z = &s->pool->items[i];
        const int *chosen = s->how->anchors == ANCHORS_NEAREST ? nearest : random;
        int found = chosen == random ? k : holdout_nearest(index, z, k, overlap, nearest);
        for (int a = 0; a < k; a++) {
            const Example *h = &s->holdout->items[a < found ? chosen[a] : 0];
            bool shows = a < found && (overlap || !same_prompt(h, z));
            queries[(size_t)i * (size_t)k + (size_t)a] = (Query){.n_demos = shows, .x = h};
        }
    }
    free(nearest);
}

/* Notes that the model gave candidate i a number that is not finite. */
static void note_broken(Scores *s, int i) {
    if (s->broken < 0 || i < s->broken) s->broken = i;
}

/* Runs the anchors' queries. The demonstration is the candidate, with its answer or, if `rejected`,
 * with its rejected one. Where both do not fit the context, the anchor is asked without it. */
static void anchor_queries(const Scoring *s, bool rejected, Query *queries) {
    Example *shown = mem_new((size_t)s->pool->count, sizeof *shown);
    Demo *demo = mem_new((size_t)s->pool->count, sizeof *demo);
    for (int i = 0; i < s->pool->count; i++) {
        /* A demonstration shows its `answer`. */
        shown[i] = s->pool->items[i];
        if (rejected) shown[i].answer = shown[i].rejected;
        if (rejected) shown[i].answer_n = shown[i].rejected_n;
        demo[i] = (Demo){&shown[i], &shown[i]};
        for (int a = 0; a < s->anchors; a++) {
            Query *q = &queries[(size_t)i * (size_t)s->anchors + (size_t)a];
            Demo copy = demo[i]; /* the list that query_fit may change */
            q->demos = &demo[i];
            s->out->dropped += query_fit(s->pool, s->m->config.context, q, &copy);
        }
    }
    ica_logps(s->m, s->ws, s->pool, queries, s->pool->count * s->anchors, &s->out->cost);
    free(shown);
    free(demo);
}

/* How many anchors a candidate has at most: k, or --num-anchors, if there are so many distinct
 * examples. Orders the random ones, distinct, in random[]. */
static int count_anchors(const Scoring *s, const HoldoutIndex *index, int *random) {
    bool nearest = s->how->anchors == ANCHORS_NEAREST;
    return holdout_distinct(index, random, nearest ? s->how->k : s->how->num_anchors);
}

/* The gain of every anchor by every candidate, NaN where the anchor cannot follow it. Of a pair it
 * is the gain by the chosen answer minus the gain by the rejected one, in which the anchor's
 * log-likelihood without either cancels. */
static void anchor_pass(Scoring *s) {
    Rng rng = rng_new(s->how->seed, RNG_ANCHORS);
    int *random = rng_order(&rng, s->holdout->count);
    Embedder by = embedder_of(s);
    HoldoutIndex *index = holdout_index(s->holdout, &by);
    s->anchors = count_anchors(s, index, random);
    size_t total = mem_mul((size_t)s->pool->count, (size_t)s->anchors);
    Query *with = mem_new(total, sizeof *with), *other = mem_new(total, sizeof *other);
    double *alone = mem_new((size_t)s->holdout->count, sizeof *alone);

    /* Ask with the candidate in front, then without it or with the rejected answer. */
    choose_anchors(s, index, random, with);
    progress_part(s->ws->progress, "answers after the candidates");
    if (total) memcpy(other, with, total * sizeof *other);
    anchor_queries(s, false, with);
    if (s->pairs) anchor_queries(s, true, other);
    else ica_answer_logps(s->m, s->ws, s->holdout, (Logps){alone, NULL}, &s->out->cost);

    /* The gain is the difference, reduced. A candidate without any anchor has no score. */
    s->gain = mem_new(total, sizeof *s->gain);
    for (int i = 0; i < s->pool->count; i++) s->out->unshown[i] = s->anchors > 0;
    for (size_t i = 0; i < total; i++) {
        const Example *h = with[i].x;
        double (*reduce)(double, int) = REDUCTIONS[s->how->reduce].reduce;
        double without = s->pairs ? other[i].logp : alone[h - s->holdout->items];
        bool known = with[i].n_demos && (!s->pairs || other[i].n_demos);
        s->gain[i] = reduce(with[i].logp, h->answer_n) - reduce(without, h->answer_n);
        if (known) s->out->unshown[i / (size_t)s->anchors] = false;
        if (known && !isfinite(s->gain[i])) note_broken(s->out, (int)(i / (size_t)s->anchors));
        if (!known) s->gain[i] = NAN;
    }
    holdout_index_free(index);
    free(random);
    free(with);
    free(other);
    free(alone);
}

/* Runs the rows of items from..to-1 forward (a pair has two). dlogp[row] = d l / d logp[row], where
 * l is an answer's token mean or sum, or a pair's loss. */
static void loss_rows(const Scoring *s, const Examples *data, Logps reference, int from, int to,
                      Reduce reduce, Batch *b, double *dlogp) {
    Examples part = *data;
    part.items += from;
    batch_clear(b);
    ica_batch(b, &part, NULL, to - from, s->pairs);
    double *logp = mem_new((size_t)b->rows, sizeof *logp);
    model_forward(s->m, s->ws, b, true, logp, NULL);
    for (int i = from, r = 0; i < to; i++, r += 1 + s->pairs) {
        const Example *e = &data->items[i];
        if (!s->pairs) objective_sft(logp[r], reduce == REDUCE_SUM ? 1 : e->answer_n, &dlogp[r]);
        if (!s->pairs) continue;
        PairLogps p = pair_logps(e, logp[r], logp[r + 1], reference, i);
        PairGradient g;
        objective_pair(s->how->objective, &s->how->pair, &p, &g);
        dlogp[r] = same_answers(e) ? 0 : g.d_chosen;
        dlogp[r + 1] = same_answers(e) ? 0 : g.d_rejected;
    }
    cost_add(&s->out->cost, s->m, b, true);
    free(logp);
}

/* [E14] s = <grad l(z), grad L(D_ho)>, where l is the objective's loss (E10 is a token mean; with
 * REDUCE_SUM the candidate's is the token sum) and L the mean of l over the holdout, always by
 * token means: to first order, how much one step on z lowers the holdout's loss, per unit of
 * learning rate. Each inner product is exact, and yet no candidate's gradient is ever in memory
 * (model_gradient_dots). */
static void gradient_pass(Scoring *s) {
    enum { AT_ONCE = 32 };
    Batch b = {0};
    double dlogp[2 * AT_ONCE], dot[2 * AT_ONCE];
    int holdout = s->holdout->count, pool = s->pool->count;
    real *direction = mem_new(s->m->parameters, sizeof *direction);

    /* The holdout's mean gradient is the direction; it grows from 0. */
    progress_part(s->ws->progress, "gradients");
    progress_begin(s->ws->progress, holdout + pool);
    for (int from = 0, to; from < holdout; from = to) {
        to = from + AT_ONCE < holdout ? from + AT_ONCE : holdout;
        loss_rows(s, s->holdout, s->how->holdout_reference, from, to, REDUCE_MEAN, &b, dlogp);
        for (int r = 0; r < b.rows; r++) dlogp[r] /= holdout;
        model_backward(s->m, s->ws, &b, dlogp, direction, true);
        progress_add(s->ws->progress, to - from);
    }

    /* Each row's product with it. A pair's is the sum over its two rows. */
    s->inner_product = mem_new((size_t)pool, sizeof *s->inner_product);
    for (int from = 0, to; from < pool; from = to) {
        to = from + AT_ONCE < pool ? from + AT_ONCE : pool;
        loss_rows(s, s->pool, s->how->pool_reference, from, to, s->how->reduce, &b, dlogp);
        model_gradient_dots(s->m, s->ws, &b, dlogp, direction, dot);
        for (int r = 0; r < b.rows; r++) s->inner_product[from + r / (1 + s->pairs)] += dot[r];
        progress_add(s->ws->progress, to - from);
    }
    free(direction);
    batch_free(&b);
}

/* logp(y|x) by a model. What the caller computed earlier is copied: the same weights, the same
 * bits. */
static void alone_pass(const Scoring *s, const Model *m, Logps earlier, Logps out) {
    size_t bytes = (size_t)s->pool->count * sizeof *out.chosen;
    bool known = earlier.chosen && (!s->pairs || earlier.rejected);
    if (!s->pairs) out.rejected = NULL;
    progress_part(s->ws->progress, m == s->m ? "answers alone" : "answers by the reference");
    if (!known) ica_answer_logps(m, s->ws, s->pool, out, &s->out->cost);
    if (known) memcpy(out.chosen, earlier.chosen, bytes);
    if (known && s->pairs) memcpy(out.rejected, earlier.rejected, bytes);
}

/* ---- all methods ----
 *
 * A new method is a value of Method in ica.h, a row here, and the function or two above that the
 * row names. tests/unit/test_methods.c walks this table, so it will ask for the formula in plain
 * loops. Options, help, messages and the order of reports follow from the row. */

/* clang-format off */
const MethodInfo METHODS[] = {
    /* name, help; what it needs; the score of an answer, of a pair
     *              hold-  alone  k      refer- an-    gradi-
     *              out                  ence   chors  ents */
    [METHOD_ICA] = {"ica", "gain of the answer's log-likelihood by demonstrations",
                    true,  true,  true,  false, false, false, score_ica, pair_ica},
    [METHOD_RHO] = {"rho", "RHO-Loss: its gain by training a reference on the holdout",
                    true,  true,  false, true,  false, false, answer_rho, pair_rho},
    [METHOD_ONESHOT] = {"oneshot", "mean gain of holdout answers after the candidate",
                    true,  false, false, false, true,  false, score_oneshot, score_oneshot},
    [METHOD_NUGGETS] = {"nuggets", "share of holdout answers that gain",
                    true,  false, false, false, true,  false, score_nuggets, score_nuggets},
    [METHOD_GRADIENT] = {"gradient", "inner product of its gradient and the holdout's",
                    true,  false, false, false, false, true,  score_gradient, score_gradient},
    [METHOD_INCONTEXT] = {"incontext", "log-likelihood in context, nothing subtracted",
                    true,  false, true,  false, false, false, score_incontext, pair_context},
    [METHOD_LOSS] = {"loss", "log-likelihood alone: a low loss is kept",
                    false, true,  false, false, false, false, score_loss, pair_loss},
    [METHOD_RANDOM] = {"random", "a random number",
                    false, false, false, false, false, false, score_random, score_random},
};
/* clang-format on */
_Static_assert(sizeof METHODS / sizeof *METHODS == METHOD_COUNT, "a row each");

bool method_needs_k(Method method, Anchors anchors) {
    return METHODS[method].needs_k || (METHODS[method].needs_anchors && anchors == ANCHORS_NEAREST);
}

/* Both arrays, NaN until a pass fills them. */
static Logps logps_new(Arena *arena, int count) {
    size_t n = (size_t)count;
    Logps l = {arena_new(arena, n, sizeof *l.chosen), arena_new(arena, n, sizeof *l.rejected)};
    for (int i = 0; i < count; i++) l.chosen[i] = l.rejected[i] = NAN;
    return l;
}

void scores_resize(Scores *s, int count, int k) {
    size_t n = (size_t)count;
    scores_free(s);
    *s = (Scores){.count = count, .k = k, .broken = -1};
    s->score = arena_new(&s->arena, n, sizeof *s->score);
    s->alone = logps_new(&s->arena, count);
    s->in_context = logps_new(&s->arena, count);
    s->by_reference = logps_new(&s->arena, count);
    s->demos = arena_new(&s->arena, mem_mul(n, (size_t)k), sizeof *s->demos);
    s->n_demos = arena_new(&s->arena, n, sizeof *s->n_demos);
    s->hits = arena_new(&s->arena, n, sizeof *s->hits);
    s->unshown = arena_new(&s->arena, n, sizeof *s->unshown);
}

void scores_free(Scores *s) {
    arena_free(&s->arena);
    *s = (Scores){0};
}

/* Collects what the log-likelihoods say about candidate i. */
static Evidence evidence_of(const ScoreOptions *how, const Examples *pool, const Scores *s, int i) {
    const Example *e = &pool->items[i];
    const Logps *alone = &s->alone, *in = &s->in_context, *by = &s->by_reference;
    double (*reduce)(double, int) = REDUCTIONS[how->reduce].reduce;
    int w = e->answer_n, l = e->rejected_n; /* lengths of y_w and y_l */
    Evidence z = {.how = how};
    z.answer =
        (Reduced){reduce(alone->chosen[i], w), reduce(in->chosen[i], w), reduce(by->chosen[i], w)};
    if (!OBJECTIVES[how->objective].pairs) return z;
    z.rejected = (Reduced){reduce(alone->rejected[i], l), reduce(in->rejected[i], l),
                           reduce(by->rejected[i], l)};
    z.alone = pair_logps(e, alone->chosen[i], alone->rejected[i], how->pool_reference, i);
    z.in_context = pair_logps(e, in->chosen[i], in->rejected[i], how->pool_reference, i);
    return z;
}

void ica_score(const Model *m, const Model *reference, Workspace *ws, const Examples *pool,
               const Examples *holdout, const ScoreOptions *how, Scores *out) {
    const MethodInfo *method = &METHODS[how->method];
    Scoring s = {.m = m, .ws = ws, .pool = pool, .holdout = holdout, .how = how, .out = out};
    s.pairs = OBJECTIVES[how->objective].pairs;
    scores_resize(out, pool->count, how->k);

    /* Compute what the method needs. */
    if (method->needs_anchors) anchor_pass(&s);
    if (method->needs_gradients) gradient_pass(&s);
    if (method->needs_alone) alone_pass(&s, m, how->earlier_alone, out->alone);
    out->alone_flops = method->needs_alone ? out->cost.flops : 0;
    if (method->needs_k) {
        Logps inside = {out->in_context.chosen, s.pairs ? out->in_context.rejected : NULL};
        context_pass(&s);
        progress_part(ws->progress, "answers in context");
        answer_pass(m, ws, pool, out->demos, out->n_demos, how->k, inside, out->hits, &out->cost);
    }
    if (method->needs_reference)
        alone_pass(&s, reference, how->earlier_by_reference, out->by_reference);

    /* Ask it for every score. The candidates of a larger pool before this part draw first. */
    Rng rng = rng_new(how->seed, RNG_RANDOM_SCORE);
    for (int i = 0; i < how->first; i++) rng_uniform(&rng);
    for (int i = 0; i < pool->count; i++) {
        Evidence z = evidence_of(how, pool, out, i);
        z.rng = &rng;
        z.anchors = s.anchors;
        if (s.gain) z.gain = s.gain + (size_t)i * (size_t)s.anchors;
        if (s.inner_product) z.inner_product = s.inner_product[i];
        out->score[i] = s.pairs ? method->pair(&z) : method->answer(&z);
        if (!isfinite(out->score[i]) && !out->unshown[i]) note_broken(out, i);
        if (out->unshown[i]) out->score[i] = NAN; /* nothing was asked of the holdout */
        out->n_unshown += out->unshown[i];
    }
    free(s.gain);
    free(s.inner_product);
}

/* Evaluation is the method `incontext` on test data, without weights. */
int ica_evaluate(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout,
                 const ScoreOptions *how, double *logp, int *hits) {
    ScoreOptions each = {.method = METHOD_INCONTEXT};
    Scores s = {0};
    if (how) each.k = how->k, each.embedding = how->embedding, each.vectors = how->vectors;
    if (each.k > 0) ica_score(m, NULL, ws, data, holdout, &each, &s);
    else answer_pass(m, ws, data, NULL, NULL, 0, (Logps){logp, NULL}, hits, NULL);
    for (int i = 0; i < s.count; i++) logp[i] = s.in_context.chosen[i];
    for (int i = 0; i < s.count && hits; i++) hits[i] = s.hits[i];
    int dropped = s.dropped;
    scores_free(&s);
    return dropped;
}

double ica_pair_agreement(const ScoreOptions *how, const Examples *pool, const Scores *s) {
    bool pairs = OBJECTIVES[how->objective].pairs && s->count > 0;
    if (!pairs || !isfinite(s->alone.rejected[0]) || !isfinite(s->in_context.rejected[0]))
        return NAN;

    /* Both scores take token sums here, whatever --reduce says. */
    ScoreOptions sums = *how;
    sums.reduce = REDUCE_SUM;
    double *margin = mem_new(2 * (size_t)s->count, sizeof *margin), *loss = margin + s->count;
    int n = 0;
    for (int i = 0; i < s->count; i++) {
        if (s->unshown[i]) continue;
        Evidence z = evidence_of(&sums, pool, s, i);
        margin[n] = score_margin(&z);
        loss[n++] = score_pair_loss(&z);
    }
    double r = rank_correlation(margin, loss, n);
    free(margin);
    return r;
}
