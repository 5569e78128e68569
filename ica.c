/* In-Context Approximation, in the order of the method. A candidate z = (x, y) is shown with the k holdout examples that
 * are nearest to its prompt: the context C(x). Its score is what the context does for the answer's log-likelihood. The
 * score becomes a weight, and the weight multiplies the candidate's loss in the gradient.
 *
 *   pool ----> candidate x, y ---------------------------> logp(y|x) -----+
 *                  |                                                      |
 *                  v                                                      v
 *   holdout -> C(x) (E6) -> demonstrations, x, y -> logp(y|C,x) ----> score (E5) -> weight (E8) -> gradient (E9)
 *
 * The chapter: rows, contexts, log-likelihoods, scores, scores of pairs, all methods, weights, objectives. How to judge
 * scores and weights (E18) is in lib/stats.c, the index of prompts in lib/tfidf.c, and the computation of common
 * beginnings once in lib/fast/share.c. */
#include "ica.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/stats.h"
#include "lib/tfidf.h"

/* ---- rows: start token, demonstrations, prompt, answer ---- */

int query_row(const Examples *set, const Query *q, IntBuf *tokens) {
    const Example *x = q->x;
    int start = tokens->n;
    ints_append(tokens, set->bos, set->bos_n);
    for (int i = 0; i < q->n_demos; i++) {
        const Example *prompt_of = q->demos[i].prompt_of, *answer_of = q->demos[i].answer_of;
        ints_append(tokens, prompt_of->prompt, prompt_of->prompt_n);
        ints_append(tokens, answer_of->answer, answer_of->answer_n);
    }
    ints_append(tokens, x->prompt, x->prompt_n);
    int first = tokens->n - start;
    if (q->rejected) ints_append(tokens, x->rejected, x->rejected_n);
    else ints_append(tokens, x->answer, x->answer_n);
    return first;
}

int query_length(const Examples *set, const Query *q) {
    int length = set->bos_n + q->x->prompt_n + (q->rejected ? q->x->rejected_n : q->x->answer_n);
    for (int i = 0; i < q->n_demos; i++)
        length += q->demos[i].prompt_of->prompt_n + q->demos[i].answer_of->answer_n;
    return length;
}

void ica_batch(Batch *b, const Examples *data, const int *index, int n, bool pairs) {
    IntBuf row = {0};
    for (int i = 0; i < n; i++)
        for (int a = 0; a < 1 + pairs; a++) {
            Query q = {.x = &data->items[index ? index[i] : i], .rejected = a == 1};
            row.n = 0;
            int first = query_row(data, &q, &row);
            batch_row(b, row.v, row.n, first, NULL);
        }
    ints_free(&row);
}

/* ---- contexts ---- */

struct Retriever {
    const Examples *holdout;
    Tfidf *index; /* of the holdout's bare prompts */
};

static Document prompt_of(const Example *x) { return (Document){x->bare, x->bare_n}; }

Retriever *retriever_new(const Examples *holdout) {
    Retriever *r = mem_new(1, sizeof *r);
    Document *prompts = mem_new((size_t)holdout->count, sizeof *prompts);
    for (int h = 0; h < holdout->count; h++) prompts[h] = prompt_of(&holdout->items[h]);
    *r = (Retriever){holdout, tfidf_new(prompts, holdout->count)};
    free(prompts);
    return r;
}

void retriever_free(Retriever *r) {
    if (!r) return;
    tfidf_free(r->index);
    free(r);
}

static bool same_prompt(const Example *a, const Example *b) {
    return a->bare_n == b->bare_n &&
           (a->bare_n == 0 || memcmp(a->bare, b->bare, (size_t)a->bare_n * sizeof(int)) == 0);
}

/* [E6] C(x): the k holdout examples whose prompts have the largest cosine with the prompt of `like`, the nearest last.
 * `like` is x itself, or the center of its cluster. On a tie the smaller index is nearer. An example with x's own
 * prompt is never shown, because its answer would be in the context. */
static int nearest_to(const Retriever *r, const Example *like, const Example *x, int k, bool allow_overlap,
                      int *nearest) {
    double *cosine = mem_new((size_t)r->holdout->count, sizeof *cosine);
    float *best = mem_new((size_t)k + 1, sizeof *best); /* [found], descending */
    int *index = mem_new((size_t)k + 1, sizeof *index), found = 0;
    tfidf_cosines(r->index, prompt_of(like), cosine);
    for (int h = 0; h < r->holdout->count && k > 0; h++) {
        /* In float, cosines that are equal in exact arithmetic stay equal, whatever the order of their sums. */
        float similarity = (float)cosine[h];
        const Example *shown = &r->holdout->items[h];
        if (found == k && best[k - 1] >= similarity) continue;
        if (!allow_overlap && (same_prompt(x, shown) || same_prompt(like, shown))) continue;

        /* Insert into the k best so far. On a tie the earlier example stays ahead. */
        int at = found;
        while (at > 0 && best[at - 1] < similarity) at--;
        int last = found < k ? found++ : k - 1;
        for (int i = last; i > at; i--) {
            best[i] = best[i - 1];
            index[i] = index[i - 1];
        }
        best[at] = similarity;
        index[at] = h;
    }
    for (int i = 0; i < found; i++) nearest[i] = index[found - 1 - i];
    free(cosine);
    free(best);
    free(index);
    return found;
}

int retriever_nearest(const Retriever *r, const Example *x, int k, bool allow_overlap, int *nearest) {
    return nearest_to(r, x, x, k, allow_overlap, nearest);
}

/* The index of a candidate drawn with a probability proportional to its distance, or -1 if no distance is left. */
static int draw_center(const double *distance, int n, Rng *rng) {
    double total = 0;
    for (int i = 0; i < n; i++) total += distance[i];
    double at = rng_uniform(rng) * total;
    int drawn = -1;
    for (int i = 0; i < n && (drawn < 0 || at >= 0); i++) {
        if (distance[i] > 0) drawn = i;
        at -= distance[i];
    }
    return drawn;
}

/* --contexts: groups candidates into at most `contexts` clusters, whose candidates are shown the same demonstrations.
 * center[i] is the candidate that stands for candidate i in retrieval. Centers are drawn one after another, far from
 * those before (as k-means++ begins), where distance is 1 - cosine from the nearest center so far. */
static void choose_centers(const Retriever *r, const Examples *data, int contexts, uint64_t seed, int *center) {
    int n = data->count;
    Arena arena = {0};
    Rng rng = rng_new(seed, RNG_CENTERS);
    TfidfVector *vector = mem_new((size_t)n, sizeof *vector);
    double *distance = mem_new((size_t)n, sizeof *distance);
    for (int i = 0; i < n; i++) {
        vector[i] = tfidf_vector(r->index, prompt_of(&data->items[i]), &arena);
        distance[i] = 2; /* above any distance: the first center is drawn uniformly and becomes everyone's */
        center[i] = i;
    }
    for (int c = 0; c < contexts; c++) {
        int drawn = draw_center(distance, n, &rng);
        if (drawn < 0) break; /* every prompt is a center's */
        for (int i = 0; i < n; i++) {
            /* In float, equal prompts have distance 0 exactly. */
            double d = i == drawn ? 0 : 1 - (double)(float)tfidf_cosine(&vector[i], &vector[drawn]);
            if (d >= distance[i]) continue;
            distance[i] = d;
            center[i] = drawn;
        }
    }
    free(vector);
    free(distance);
    arena_free(&arena);
}

/* What one way to choose demonstrations may look at. */
struct DemoChooser {
    const Retriever *r;
    const ScoreOptions *how;
    const Example *like; /* stands for the candidate in retrieval */
    const int *fixed;    /* [holdout count] one random order of the holdout, the same for all candidates */
    Rng rng;
};

static bool eligible(const DemoChooser *c, const Example *x, const Example *shown) {
    return c->how->allow_overlap || !same_prompt(x, shown);
}

static int demos_nearest(DemoChooser *c, const Example *x, Demo *demos) {
    int *index = mem_new((size_t)c->how->k + 1, sizeof *index);
    int n = nearest_to(c->r, c->like, x, c->how->k, c->how->allow_overlap, index);
    for (int i = 0; i < n; i++) demos[i].prompt_of = demos[i].answer_of = &c->r->holdout->items[index[i]];
    free(index);
    return n;
}

static int demos_random(DemoChooser *c, const Example *x, Demo *demos) {
    const Examples *holdout = c->r->holdout;
    int n = 0, k = c->how->k;
    for (int tries = 0; n < k && tries < 100 * (k + 1); tries++) { /* a small holdout may not have k */
        const Example *drawn = &holdout->items[rng_below(&c->rng, holdout->count)];
        bool used = !eligible(c, x, drawn);
        for (int i = 0; i < n; i++) used |= demos[i].prompt_of == drawn;
        if (!used) demos[n++] = (Demo){drawn, drawn};
    }
    return n;
}

static int demos_fixed(DemoChooser *c, const Example *x, Demo *demos) {
    int n = 0;
    for (int i = 0; i < c->how->k && i < c->r->holdout->count; i++) {
        const Example *listed = &c->r->holdout->items[c->fixed[i]];
        if (eligible(c, x, listed)) demos[n++] = (Demo){listed, listed};
    }
    return n;
}

/* The control: the nearest prompts, each with the answer of another example, never of x's own prompt. */
static int demos_shuffled(DemoChooser *c, const Example *x, Demo *demos) {
    const Examples *holdout = c->r->holdout;
    int n = demos_nearest(c, x, demos);
    for (int i = 0; i < n; i++)
        for (int tries = 0; tries < 100; tries++) { /* a holdout of one example has no other answer */
            const Example *other = &holdout->items[rng_below(&c->rng, holdout->count)];
            if (other == demos[i].prompt_of || !eligible(c, x, other)) continue;
            demos[i].answer_of = other;
            break;
        }
    return n;
}

const DemoInfo DEMO_CHOICES[] = {
    [DEMOS_NEAREST] = {.name = "nearest", .help = "the k holdout examples with the most similar prompts",
                       .by_nearness = true, .choose = demos_nearest},
    [DEMOS_RANDOM] = {.name = "random", .help = "k drawn for each candidate", .drawn = true, .choose = demos_random},
    [DEMOS_FIXED] = {.name = "fixed", .help = "the same k drawn for all candidates", .choose = demos_fixed},
    [DEMOS_SHUFFLED] = {.name = "shuffled", .help = "the nearest, with answers of others", .drawn = true,
                        .choose = demos_shuffled},
};
_Static_assert(sizeof DEMO_CHOICES / sizeof *DEMO_CHOICES == DEMO_COUNT, "a row for each choice of demonstrations");

/* Drops the farthest demonstrations, which are the first ones, until both of the query's possible rows fit the context.
 * Changes q's list in place. Returns how many were dropped. */
static int drop_demos(const Model *m, const Examples *set, Query *q, Demo *demos) {
    int dropped = 0, longest = q->x->answer_n > q->x->rejected_n ? q->x->answer_n : q->x->rejected_n;
    int more = longest - (q->rejected ? q->x->rejected_n : q->x->answer_n);
    for (; q->n_demos > 0 && query_length(set, q) + more - 1 > m->config.context; dropped++)
        memmove(demos, demos + 1, (size_t)--q->n_demos * sizeof *demos);
    return dropped;
}

/* ---- log-likelihoods of answers in contexts ---- */

void ica_rows_plain(const Model *m, Workspace *ws, TokenRow *rows, int n, Cost *cost) {
    Batch b = {0};
    double *logp = mem_new((size_t)n, sizeof *logp);
    int *hits = mem_new((size_t)n, sizeof *hits);
    rows_reserve(m, ws, rows, n);
    for (int from = 0, to; from < n; from = to) {
        /* Fill a batch, run it, and hand out its results. */
        batch_clear(&b);
        for (to = from; to < n && (to == from || b.tokens + rows[to].n - 1 <= ROW_TOKENS_AT_ONCE); to++)
            batch_row(&b, rows[to].token, rows[to].n, rows[to].first, NULL);
        model_forward(m, ws, &b, false, logp, hits);
        cost_add(cost, m, &b, false);
        for (int i = from; i < to; i++) {
            rows[i].logp = logp[i - from];
            rows[i].hits = hits[i - from];
        }
    }
    batch_free(&b);
    free(logp);
    free(hits);
}

/* The queries' rows through `run`: plain, or with common beginnings computed once. */
static void run_queries(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n, Cost *cost,
                        void (*run)(const Model *, Workspace *, TokenRow *, int, Cost *)) {
    Cost ignored = {0};
    IntBuf tokens = {0};
    TokenRow *row = mem_new((size_t)n, sizeof *row);
    for (int i = 0, start = 0; i < n; start = tokens.n, i++) {
        row[i].first = query_row(set, &queries[i], &tokens);
        row[i].n = tokens.n - start;
    }
    /* All tokens are in the buffer now, so it no longer moves. */
    for (int i = 0, start = 0; i < n; start += row[i++].n) row[i].token = tokens.v + start;
    run(m, ws, row, n, cost ? cost : &ignored);
    for (int i = 0; i < n; i++) {
        queries[i].logp = row[i].logp;
        queries[i].hits = row[i].hits;
    }
    ints_free(&tokens);
    free(row);
}

void ica_logps(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n, Cost *cost) {
#ifdef NAIVE
    ica_logps_naive(m, ws, set, queries, n, cost);
    return;
#endif
    run_queries(m, ws, set, queries, n, cost, share_logps);
}

void ica_logps_naive(const Model *m, Workspace *ws, const Examples *set, Query *queries, int n, Cost *cost) {
    run_queries(m, ws, set, queries, n, cost, ica_rows_plain);
}

/* Every item's answer after its own demonstrations, and for pairs (out.rejected not NULL) its rejected answer.
 * demos[count][k] of which n_demos[i] count; NULL: no demonstrations. hits may be NULL. */
static void answer_pass(const Model *m, Workspace *ws, const Examples *data, const Demo *demos, const int *n_demos,
                        int k, Logps out, int *hits, Cost *cost) {
    int n = data->count, answers = out.rejected ? 2 : 1;
    Query *queries = mem_new((size_t)n * (size_t)answers, sizeof *queries);
    for (int i = 0; i < n * answers; i++) {
        int item = i / answers;
        queries[i] = (Query){.x = &data->items[item], .rejected = i % answers == 1};
        if (!demos) continue;
        queries[i].demos = demos + (size_t)item * (size_t)k;
        queries[i].n_demos = n_demos[item];
    }
    ica_logps(m, ws, data, queries, n * answers, cost);
    for (int i = 0; i < n; i++) {
        out.chosen[i] = queries[i * answers].logp;
        if (out.rejected) out.rejected[i] = queries[i * answers + 1].logp;
        if (hits) hits[i] = queries[i * answers].hits;
    }
    free(queries);
}

void ica_answer_logps(const Model *m, Workspace *ws, const Examples *data, Logps out, Cost *cost) {
    answer_pass(m, ws, data, NULL, NULL, 0, out, NULL, cost);
}

/* Chooses the demonstrations of every item into demos[count][k] and n_demos[count]. Returns how many were dropped. */
static int choose_contexts(const Model *m, const Examples *data, const Examples *holdout, const ScoreOptions *how,
                           Demo *demos, int *n_demos) {
    const DemoInfo *choice = &DEMO_CHOICES[how->demos];
    Retriever *r = retriever_new(holdout);
    int *fixed = mem_new((size_t)holdout->count, sizeof *fixed), dropped = 0, n = data->count;
    int *center = mem_new((size_t)n, sizeof *center);
    DemoChooser c = {.r = r, .how = how, .fixed = fixed, .rng = rng_new(how->seed, RNG_DEMOS)};
    for (int h = 0; h < holdout->count; h++) fixed[h] = h;
    rng_shuffle(&c.rng, fixed, holdout->count);
    for (int i = 0; i < n; i++) center[i] = i;
    if (how->contexts > 0) choose_centers(r, data, how->contexts, how->seed, center);

    /* Let the candidates before this part of the pool draw their random numbers. */
    for (int i = -how->first; i < 0 && choice->drawn; i++) {
        c.like = &data->items[i];
        choice->choose(&c, &data->items[i], demos);
    }
    for (int i = 0; i < n; i++) {
        Demo *mine = demos + (size_t)i * (size_t)how->k;
        Query q = {.demos = mine, .x = &data->items[i]};
        c.like = &data->items[center[i]];
        q.n_demos = choice->choose(&c, q.x, mine);
        dropped += drop_demos(m, data, &q, mine);
        n_demos[i] = q.n_demos;
    }
    free(fixed);
    free(center);
    retriever_free(r);
    return dropped;
}

int ica_evaluate(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout, int k, double *logp,
                 int *hits, Cost *cost) {
    Logps out = {logp, NULL};
    if (k == 0) {
        answer_pass(m, ws, data, NULL, NULL, 0, out, hits, cost);
        return 0;
    }
    ScoreOptions how = {.k = k, .demos = DEMOS_NEAREST};
    Demo *demos = mem_new(mem_mul((size_t)data->count, (size_t)k), sizeof *demos);
    int *n_demos = mem_new((size_t)data->count, sizeof *n_demos);
    int dropped = choose_contexts(m, data, holdout, &how, demos, n_demos);
    answer_pass(m, ws, data, demos, n_demos, k, out, hits, cost);
    free(demos);
    free(n_demos);
    return dropped;
}

/* ---- scores: each a scalar function of log-likelihoods, larger is better ---- */

static double token_mean(double logp, int tokens) { return logp / tokens; }

static double token_sum(double logp, int tokens) {
    (void)tokens;
    return logp;
}

const ReduceInfo REDUCTIONS[] = {
    [REDUCE_MEAN] = {.name = "mean", .help = "log-likelihoods divided by the answer's tokens", .reduce = token_mean},
    [REDUCE_SUM] = {.name = "sum", .help = "log-likelihoods summed over the answer's tokens", .reduce = token_sum},
};
_Static_assert(sizeof REDUCTIONS / sizeof *REDUCTIONS == REDUCE_COUNT, "a row for each reduction");

/* The log-likelihoods of one answer, reduced as --reduce says. NaN where the method does not compute them. */
typedef struct { double alone, in_context, by_reference; } Reduced;

/* What is known of one candidate when its score is computed. */
struct Evidence {
    const ScoreOptions *how;
    Reduced answer, rejected;    /* rejected: of a pair, whose chosen answer is `answer` */
    PairLogps alone, in_context; /* of a pair: token sums, both against the reference without C */
    const double *gain;          /* [anchors] gains of the anchors, reduced; NULL unless the method needs_anchors */
    int anchors;
    double inner_product;        /* of gradients; 0 unless the method needs_gradients */
    Rng *rng;                    /* candidates are scored in the order of the pool, so each has its own number */
};

/* [E5] s_ICA = l(y|x) - l(y|x,C) = logp(y|C,x) - logp(y|x): what showing the holdout does for the answer. */
static double score_ica(const Evidence *z) { return z->answer.in_context - z->answer.alone; }

/* [E15] RHO-Loss: s = l(y|x; theta) - l(y|x; theta_ref): what training on the holdout does for an answer. */
static double score_rho(const Reduced *y) { return y->by_reference - y->alone; }
static double answer_rho(const Evidence *z) { return score_rho(&z->answer); }

/* [E16] One-shot: s = mean over anchors h of logp(y_h|z,x_h) - logp(y_h|x_h): what showing the candidate does for the
 * holdout. */
static double score_oneshot(const Evidence *z) {
    double sum = 0;
    for (int a = 0; a < z->anchors; a++) sum += z->gain[a];
    return z->anchors ? sum / z->anchors : 0;
}

/* NUGGETS: the share of anchors that gain. */
static double score_nuggets(const Evidence *z) {
    int better = 0;
    for (int a = 0; a < z->anchors; a++) better += z->gain[a] > 0;
    return z->anchors ? (double)better / z->anchors : 0;
}

static double score_gradient(const Evidence *z) { return z->inner_product; }
static double score_incontext(const Evidence *z) { return z->answer.in_context; }
static double score_loss(const Evidence *z) { return z->answer.alone; }
static double score_random(const Evidence *z) { return rng_uniform(z->rng); }

/* ---- scores of preference pairs: log-likelihoods become margins, chosen minus rejected ---- */

/* [E7a] s_margin: how much more the context favors the chosen answer over the rejected one. */
static double score_margin(const Evidence *z) {
    return (z->answer.in_context - z->rejected.in_context) - (z->answer.alone - z->rejected.alone);
}

/* [E7b] s_loss = l_pair(theta) - l_pair(theta given C): the drop of the pair's loss by the context. */
static double score_pair_loss(const Evidence *z) {
    double loss = objective_pair(z->how->objective, &z->how->pair, &z->alone, NULL);
    return loss - objective_pair(z->how->objective, &z->how->pair, &z->in_context, NULL);
}

const PairScoreInfo PAIR_SCORES[] = {
    [PAIR_MARGIN] = {.name = "margin", .help = "the gain of the margin between both answers", .score = score_margin},
    [PAIR_LOSS] = {.name = "loss", .help = "the drop of the pair's loss", .score = score_pair_loss},
};
_Static_assert(sizeof PAIR_SCORES / sizeof *PAIR_SCORES == PAIR_SCORE_COUNT, "a row for each pair score");

static double pair_ica(const Evidence *z) { return PAIR_SCORES[z->how->pair_score].score(z); }

/* The reference's margin minus the margin: E15 of the chosen answer minus E15 of the rejected one. */
static double pair_rho(const Evidence *z) { return score_rho(&z->answer) - score_rho(&z->rejected); }

static double pair_incontext(const Evidence *z) { return z->answer.in_context - z->rejected.in_context; }

/* A low loss is kept. DPO's loss begins at log 2 for every pair, so there the margin stands for it. */
static double pair_loss(const Evidence *z) {
    if (z->how->objective == OBJECTIVE_DPO) return z->answer.alone - z->rejected.alone;
    return -objective_pair(z->how->objective, &z->how->pair, &z->alone, NULL);
}

/* ---- what One-shot and NUGGETS need: anchors after the candidate ---- */

const Choice ANCHOR_CHOICES[] = {
    [ANCHORS_NEAREST] = {.name = "nearest", .help = "the k holdout examples nearest to the candidate"},
    [ANCHORS_RANDOM] = {.name = "random", .help = "the same random ones for all candidates"},
};
_Static_assert(sizeof ANCHOR_CHOICES / sizeof *ANCHOR_CHOICES == ANCHORS_COUNT, "a row for each choice of anchors");

/* One call of ica_score. */
typedef struct {
    const Model *m, *reference;
    Workspace *ws;
    const Examples *pool, *holdout;
    const ScoreOptions *how;
    bool pairs;
    Scores *out;
    double *gain;          /* [pool][anchors], or NULL */
    int anchors;           /* for each candidate */
    double *inner_product; /* [pool], or NULL */
} Scoring;

static int anchor_count(const ScoreOptions *how, const Examples *holdout) {
    int count = how->anchors == ANCHORS_NEAREST ? how->k : how->num_anchors;
    return count < holdout->count ? count : holdout->count;
}

/* The anchors of every candidate: anchor[pool][anchors], indices into the holdout. -1 where a candidate has fewer. */
static void choose_anchors(const Scoring *s, int *anchor) {
    Retriever *r = retriever_new(s->holdout);
    Rng rng = rng_new(s->how->seed, RNG_ANCHORS);
    int *random = mem_new((size_t)s->holdout->count, sizeof *random);
    for (int h = 0; h < s->holdout->count; h++) random[h] = h;
    rng_shuffle(&rng, random, s->holdout->count);
    for (int i = 0; i < s->pool->count; i++) {
        int *mine = anchor + (size_t)i * (size_t)s->anchors, n = s->anchors;
        if (s->how->anchors == ANCHORS_NEAREST)
            n = retriever_nearest(r, &s->pool->items[i], n, s->how->allow_overlap, mine);
        else memcpy(mine, random, (size_t)n * sizeof *mine);
        for (int a = n; a < s->anchors; a++) mine[a] = -1;
    }
    free(random);
    retriever_free(r);
}

/* logp(y_h | z, x_h) for every candidate z and anchor h. z is shown with its answer, or of a pair with the rejected one.
 * An anchor that does not fit after z, or has z's prompt, is scored without z and so has no gain. */
static void anchor_queries(const Scoring *s, const int *anchor, bool rejected, Query *queries) {
    Example *shown = mem_new((size_t)s->pool->count, sizeof *shown);
    Demo *demos = mem_new((size_t)s->pool->count, sizeof *demos);
    for (int i = 0; i < s->pool->count; i++) {
        /* Make a demonstration of the candidate. A demonstration shows its `answer`. */
        shown[i] = s->pool->items[i];
        if (rejected) {
            shown[i].answer = shown[i].rejected;
            shown[i].answer_n = shown[i].rejected_n;
        }
        demos[i] = (Demo){&shown[i], &shown[i]};
        for (int a = 0; a < s->anchors; a++) {
            size_t at = (size_t)i * (size_t)s->anchors + (size_t)a;
            const Example *h = &s->holdout->items[anchor[at] < 0 ? 0 : anchor[at]];
            bool shows = anchor[at] >= 0 && (s->how->allow_overlap || !same_prompt(h, &shown[i]));
            Demo copy = demos[i];
            queries[at] = (Query){.demos = &demos[i], .n_demos = shows, .x = h};
            s->out->dropped += drop_demos(s->m, s->pool, &queries[at], &copy);
        }
    }
    ica_logps(s->m, s->ws, s->pool, queries, s->pool->count * s->anchors, &s->out->cost);
    free(shown);
    free(demos);
}

/* The gain of every anchor by every candidate. Of a pair it is the gain by the chosen answer minus the gain by the
 * rejected one, in which the anchor's log-likelihood without either cancels. */
static void anchor_pass(Scoring *s) {
    s->anchors = anchor_count(s->how, s->holdout);
    size_t total = mem_mul((size_t)s->pool->count, (size_t)s->anchors);
    int *anchor = mem_new(total, sizeof *anchor);
    double *alone = mem_new((size_t)s->holdout->count, sizeof *alone);
    Query *with = mem_new(total, sizeof *with), *other = mem_new(s->pairs ? total : 0, sizeof *other);
    choose_anchors(s, anchor);
    anchor_queries(s, anchor, false, with);
    if (s->pairs) anchor_queries(s, anchor, true, other);
    else ica_answer_logps(s->m, s->ws, s->holdout, (Logps){alone, NULL}, &s->out->cost);

    s->gain = mem_new(total, sizeof *s->gain);
    for (size_t at = 0; at < total; at++) {
        const Example *h = with[at].x;
        double without = s->pairs ? other[at].logp : with[at].n_demos ? alone[h - s->holdout->items] : with[at].logp;
        double (*reduce)(double, int) = REDUCTIONS[s->how->reduce].reduce;
        s->gain[at] = reduce(with[at].logp, h->answer_n) - reduce(without, h->answer_n);
    }
    free(anchor);
    free(alone);
    free(with);
    free(other);
}

/* ---- what the gradient rival needs ---- */

/* Runs the rows of items from..to-1 forward (a pair has two). dlogp[row] = d l / d logp[row]. */
static void loss_rows(const Scoring *s, const Examples *data, Logps reference, int from, int to, Batch *b,
                      double *dlogp) {
    Examples part = *data;
    part.items += from;
    batch_clear(b);
    ica_batch(b, &part, NULL, to - from, s->pairs);
    double *logp = mem_new((size_t)b->rows, sizeof *logp);
    model_forward(s->m, s->ws, b, true, logp, NULL);
    for (int i = from, r = 0; i < to; i++, r += 1 + s->pairs) {
        const Example *e = &data->items[i];
        if (!s->pairs) {
            objective_sft(logp[r], e->answer_n, &dlogp[r]);
            continue;
        }
        PairLogps p = pair_logps(e, logp[r], logp[r + 1], reference, i);
        PairGradient g;
        objective_pair(s->how->objective, &s->how->pair, &p, &g);
        dlogp[r] = same_answers(e) ? 0 : g.d_chosen;
        dlogp[r + 1] = same_answers(e) ? 0 : g.d_rejected;
    }
    cost_add(&s->out->cost, s->m, b, true);
    free(logp);
}

/* [E14] s = <grad l(z), grad L(D_ho)>, where L is the mean of l over the holdout. This is the first-order drop of the
 * holdout's loss by one step on z, per unit of learning rate. It is exact for each example, and no example's gradient is
 * ever held in memory. */
static void gradient_pass(Scoring *s) {
    enum { AT_ONCE = 32 };
    Batch b = {0};
    double dlogp[2 * AT_ONCE], dot[2 * AT_ONCE];
    int answers = 1 + s->pairs, holdout = s->holdout->count, pool = s->pool->count;
    real *direction = mem_new(s->m->parameters, sizeof *direction);

    /* The holdout's mean gradient is the direction. */
    for (int from = 0, to; from < holdout; from = to) {
        to = from + AT_ONCE < holdout ? from + AT_ONCE : holdout;
        loss_rows(s, s->holdout, s->how->holdout_reference, from, to, &b, dlogp);
        for (int r = 0; r < b.rows; r++) dlogp[r] /= holdout;
        model_backward(s->m, s->ws, &b, dlogp, direction, true);
    }

    /* Each row's product with it; a pair's is the sum of both rows'. */
    s->inner_product = mem_new((size_t)pool, sizeof *s->inner_product);
    for (int from = 0, to; from < pool; from = to) {
        to = from + AT_ONCE < pool ? from + AT_ONCE : pool;
        loss_rows(s, s->pool, s->how->pool_reference, from, to, &b, dlogp);
        model_gradient_dots(s->m, s->ws, &b, dlogp, direction, dot);
        for (int i = from; i < to; i++)
            for (int a = 0; a < answers; a++) s->inner_product[i] += dot[(i - from) * answers + a];
    }
    free(direction);
    batch_free(&b);
}

/* ---- all methods ---- */

const MethodInfo METHODS[] = {
    [METHOD_ICA] = {.name = "ica", .help = "gain of the answer's log-likelihood by demonstrations",
                    .needs_holdout = true, .needs_alone = true, .needs_k = true,
                    .answer = score_ica, .pair = pair_ica},
    [METHOD_RHO] = {.name = "rho", .help = "RHO-Loss: its gain by training a reference on the holdout",
                    .needs_holdout = true, .needs_alone = true, .needs_reference = true,
                    .answer = answer_rho, .pair = pair_rho},
    [METHOD_ONESHOT] = {.name = "oneshot", .help = "mean gain of holdout answers after the candidate",
                        .needs_holdout = true, .needs_anchors = true,
                        .answer = score_oneshot, .pair = score_oneshot},
    [METHOD_NUGGETS] = {.name = "nuggets", .help = "share of holdout answers that gain",
                        .needs_holdout = true, .needs_anchors = true,
                        .answer = score_nuggets, .pair = score_nuggets},
    [METHOD_GRADIENT] = {.name = "gradient", .help = "inner product of its gradient and the holdout's",
                         .needs_holdout = true, .needs_gradients = true,
                         .answer = score_gradient, .pair = score_gradient},
    [METHOD_INCONTEXT] = {.name = "incontext", .help = "log-likelihood in context, nothing subtracted",
                          .needs_holdout = true, .needs_k = true,
                          .answer = score_incontext, .pair = pair_incontext},
    [METHOD_LOSS] = {.name = "loss", .help = "log-likelihood alone: a low loss is kept",
                     .needs_alone = true, .answer = score_loss, .pair = pair_loss},
    [METHOD_RANDOM] = {.name = "random", .help = "a random number", .answer = score_random, .pair = score_random},
};
_Static_assert(sizeof METHODS / sizeof *METHODS == METHOD_COUNT, "a row for each method");

bool method_needs_k(Method method, Anchors anchors) {
    return METHODS[method].needs_k || (METHODS[method].needs_anchors && anchors == ANCHORS_NEAREST);
}

static Logps logps_new(int count) {
    size_t n = (size_t)count;
    Logps l = {mem_new(n, sizeof *l.chosen), mem_new(n, sizeof *l.rejected)};
    for (int i = 0; i < count; i++) l.chosen[i] = l.rejected[i] = NAN;
    return l;
}

static void scores_resize(Scores *s, int count, int k) {
    scores_free(s);
    size_t n = (size_t)count;
    *s = (Scores){.count = count, .k = k, .score = mem_new(n, sizeof *s->score), .alone = logps_new(count),
                  .in_context = logps_new(count), .by_reference = logps_new(count),
                  .demos = mem_new(mem_mul(n, (size_t)k), sizeof *s->demos),
                  .n_demos = mem_new(n, sizeof *s->n_demos)};
}

void scores_free(Scores *s) {
    Logps *all[] = {&s->alone, &s->in_context, &s->by_reference};
    for (int i = 0; i < 3; i++) {
        free(all[i]->chosen);
        free(all[i]->rejected);
    }
    free(s->score);
    free(s->demos);
    free(s->n_demos);
    *s = (Scores){0};
}

/* logp(y|x) by a model. What the caller computed earlier is only copied: the same weights give the same bits. */
static void alone_pass(const Scoring *s, const Model *m, Logps earlier, Logps out) {
    size_t bytes = (size_t)s->pool->count * sizeof *out.chosen;
    if (!s->pairs) out.rejected = NULL;
    if (!earlier.chosen || (s->pairs && !earlier.rejected)) {
        ica_answer_logps(m, s->ws, s->pool, out, &s->out->cost);
        return;
    }
    memcpy(out.chosen, earlier.chosen, bytes);
    if (s->pairs) memcpy(out.rejected, earlier.rejected, bytes);
}

/* Collects what is known of candidate i. A pair's loss in context is against the reference without C. */
static Evidence candidate_of(const ScoreOptions *how, const Examples *pool, const Scores *s, int i) {
    const Example *e = &pool->items[i];
    double (*reduce)(double, int) = REDUCTIONS[how->reduce].reduce;
    Evidence z = {.how = how};
    z.answer = (Reduced){reduce(s->alone.chosen[i], e->answer_n), reduce(s->in_context.chosen[i], e->answer_n),
                         reduce(s->by_reference.chosen[i], e->answer_n)};
    if (!OBJECTIVES[how->objective].pairs) return z;
    z.rejected = (Reduced){reduce(s->alone.rejected[i], e->rejected_n), reduce(s->in_context.rejected[i], e->rejected_n),
                           reduce(s->by_reference.rejected[i], e->rejected_n)};
    z.alone = pair_logps(e, s->alone.chosen[i], s->alone.rejected[i], how->pool_reference, i);
    z.in_context = pair_logps(e, s->in_context.chosen[i], s->in_context.rejected[i], how->pool_reference, i);
    return z;
}

void ica_score(const Model *m, const Model *reference, Workspace *ws, const Examples *pool, const Examples *holdout,
               const ScoreOptions *how, Scores *out) {
    const MethodInfo *method = &METHODS[how->method];
    Scoring s = {m, reference, ws, pool, holdout, how, OBJECTIVES[how->objective].pairs, out, NULL, 0, NULL};
    scores_resize(out, pool->count, how->k);

    /* Compute what the method needs. */
    if (method->needs_anchors) anchor_pass(&s);
    if (method->needs_gradients) gradient_pass(&s);
    if (method->needs_alone) {
        alone_pass(&s, m, how->earlier_alone, out->alone);
        out->alone_flops = out->cost.flops;
    }
    if (method->needs_k) {
        Logps in_context = {out->in_context.chosen, s.pairs ? out->in_context.rejected : NULL};
        out->dropped = choose_contexts(m, pool, holdout, how, out->demos, out->n_demos);
        answer_pass(m, ws, pool, out->demos, out->n_demos, how->k, in_context, NULL, &out->cost);
    }
    if (method->needs_reference) alone_pass(&s, reference, how->earlier_by_reference, out->by_reference);

    /* Ask it for every candidate's score. Candidates before this part of the pool have drawn their numbers. */
    Rng rng = rng_new(how->seed, RNG_RANDOM_SCORE);
    for (int i = 0; i < how->first; i++) rng_uniform(&rng);
    for (int i = 0; i < pool->count; i++) {
        Evidence z = candidate_of(how, pool, out, i);
        z.rng = &rng;
        z.anchors = s.anchors;
        if (s.gain) z.gain = s.gain + (size_t)i * (size_t)s.anchors;
        if (s.inner_product) z.inner_product = s.inner_product[i];
        out->score[i] = s.pairs ? method->pair(&z) : method->answer(&z);
    }
    free(s.gain);
    free(s.inner_product);
}

double ica_pair_agreement(const ScoreOptions *how, const Examples *pool, const Scores *s) {
    if (!OBJECTIVES[how->objective].pairs || s->count == 0) return NAN;
    if (!isfinite(s->alone.rejected[0]) || !isfinite(s->in_context.rejected[0])) return NAN;
    int n = s->count;
    ScoreOptions sums = *how;
    sums.reduce = REDUCE_SUM;
    double *margin = mem_new((size_t)n, sizeof *margin), *loss = mem_new((size_t)n, sizeof *loss);
    for (int i = 0; i < n; i++) {
        Evidence z = candidate_of(&sums, pool, s, i);
        margin[i] = score_margin(&z);
        loss[i] = score_pair_loss(&z);
    }
    double r = rank_correlation(margin, loss, n);
    free(margin);
    free(loss);
    return r;
}

/* ---- weights ---- */

/* What a map may look at: n scores, as they come and in increasing order. */
struct MapInput {
    const MapOptions *how;
    const double *score, *sorted;
    int n;
};

/* Linear from `low`, which weighs 0, to `high`, which weighs 1, and clamped beyond. If both are equal, scores below get
 * 0 and all others 1. */
static void weights_between(const MapInput *in, double low, double high, double *weight) {
    for (int i = 0; i < in->n; i++) {
        double s = in->score[i], w = high > low ? (s - low) / (high - low) : s >= low;
        weight[i] = w < 0 ? 0 : w > 1 ? 1 : w;
    }
}

/* [E8] w_i = (s_i - min) / (max - min). The public code takes the pool's minimum and maximum, the paper the batch's:
 * that is who calls with which scores. All scores equal: all weights 1. */
static void weights_minmax(const MapInput *in, double *weight) {
    weights_between(in, in->sorted[0], in->sorted[in->n - 1], weight);
}

/* E8 between percentiles, so that single outliers do not squeeze the other weights together. */
static void weights_clip(const MapInput *in, double *weight) {
    double low = quantile(in->sorted, in->n, in->how->clip), high = quantile(in->sorted, in->n, 1 - in->how->clip);
    weights_between(in, low, high, weight);
}

/* r / (n - 1), where r is the rank from 0 and ties share their mean rank. A single score weighs 1. */
static void weights_rank(const MapInput *in, double *weight) {
    int n = in->n;
    for (int i = 0; i < n; i++) weight[i] = n > 1 ? average_rank(in->sorted, n, in->score[i]) / (n - 1) : 1;
}

/* exp(z / temperature), where z is the standardized score, scaled so that the largest weight is 1 and nothing overflows.
 * The scale cancels in E9 where W is a sum of weights. With NORMALIZE_COUNT and NORMALIZE_NONE it sets the gradient's
 * length. */
static void weights_softmax(const MapInput *in, double *weight) {
    const double *score = in->score;
    int n = in->n;
    double mean = 0, variance = 0, most = -INFINITY;
    for (int i = 0; i < n; i++) mean += score[i] / n;
    for (int i = 0; i < n; i++) variance += (score[i] - mean) * (score[i] - mean) / n;
    for (int i = 0; i < n; i++) most = score[i] > most ? score[i] : most;
    for (int i = 0; i < n; i++)
        weight[i] = variance > 0 ? exp((score[i] - most) / (sqrt(variance) * in->how->temperature)) : 1;
}

/* 1 for the best `share` of the scores, else 0. At the border the smaller index wins, so that the number is exact. */
static void weights_top(const MapInput *in, double *weight) {
    int n = in->n, keep = (int)(in->how->share * n + 0.5);
    if (keep < 1) keep = 1;
    if (keep > n) keep = n;
    double border = in->sorted[n - keep];
    for (int i = 0; i < n; i++) {
        weight[i] = in->score[i] > border;
        keep -= in->score[i] > border;
    }
    for (int i = 0; i < n && keep > 0; i++)
        if (in->score[i] == border) {
            weight[i] = 1;
            keep--;
        }
}

static void weights_positive(const MapInput *in, double *weight) {
    for (int i = 0; i < in->n; i++) weight[i] = in->score[i] > 0 ? in->score[i] : 0;
}

static void weights_filter(const MapInput *in, double *weight) {
    for (int i = 0; i < in->n; i++) weight[i] = in->score[i] > 0;
}

const MapInfo MAPS[] = {
    [MAP_MINMAX] = {.name = "minmax", .help = "linear from the pool's smallest score to its largest",
                    .weights = weights_minmax},
    [MAP_MINMAX_BATCH] = {.name = "minmax-batch", .help = "linear from the batch's smallest score to its largest",
                          .of_batch = true, .weights = weights_minmax},
    [MAP_CLIP] = {.name = "clip", .help = "linear between two percentiles", .weights = weights_clip},
    [MAP_RANK] = {.name = "rank", .help = "linear in the score's rank", .weights = weights_rank},
    [MAP_SOFTMAX] = {.name = "softmax", .help = "exponential in the standardized score", .weights = weights_softmax},
    [MAP_TOP] = {.name = "top", .help = "1 for the best share, else 0", .weights = weights_top},
    [MAP_POSITIVE] = {.name = "positive", .help = "the score where it is above 0, else 0",
                      .weights = weights_positive},
    [MAP_FILTER] = {.name = "filter", .help = "1 where the score is above 0, else 0", .weights = weights_filter},
};
_Static_assert(sizeof MAPS / sizeof *MAPS == MAP_COUNT, "a row for each map");

void ica_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight) {
    if (n == 0) return;
    double *sorted = sorted_copy(score, n);
    MAPS[map].weights(&(MapInput){how, score, sorted, n}, weight);
    free(sorted);
}

/* ---- the weighted gradient ---- */

const Choice NORMALIZATIONS[] = {
    [NORMALIZE_BATCH] = {.name = "batch", .help = "the sum of the batch's weights"},
    [NORMALIZE_MICRO] = {.name = "micro", .help = "each micro-batch's sum: at one example the weights cancel"},
    [NORMALIZE_COUNT] = {.name = "count", .help = "the number of examples"},
    [NORMALIZE_NONE] = {.name = "none", .help = "nothing"},
};
_Static_assert(sizeof NORMALIZATIONS / sizeof *NORMALIZATIONS == NORMALIZATION_COUNT, "a row for each normalization");

/* [E9] g = (sum_i w_i grad l_i) / W: the factor w_i / W of each example. */
bool ica_coefficients(Normalize how, const double *weight, int n, int micro, double *coefficient) {
    double total = 0;
    for (int i = 0; i < n; i++) total += weight[i];
    for (int i = 0; i < n; i++) {
        double W = how == NORMALIZE_NONE ? 1 : how == NORMALIZE_COUNT ? n : total;
        if (how == NORMALIZE_MICRO) {
            /* The public code: with one example a micro-batch, w_i / W is 1, whatever the weight. */
            int from = i / micro * micro, to = from + micro < n ? from + micro : n;
            W = 0;
            for (int j = from; j < to; j++) W += weight[j];
            W /= to - from; /* the mean: gradient accumulation averages the micro-batches, hence the n below */
        }
        coefficient[i] = W > 0 ? weight[i] / W : 0;
        if (how == NORMALIZE_MICRO) coefficient[i] /= n; /* apart, so that w_i = W leaves exactly 1 / n */
    }
    return total > 0;
}

/* ---- objectives ---- */

/* [E10] SFT: l = -(1/n_y) logp(y|x). */
double objective_sft(double logp, int tokens, double *dlogp) {
    *dlogp = -1.0 / tokens;
    return -logp / tokens;
}

/* log sigmoid(z), stable for any z. */
static double log_sigmoid(double z) { return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z)); }

/* -(1 - e) log sigmoid(z) - e log sigmoid(-z), where e is the label smoothing. Its derivative is sigmoid(z) - (1 - e). */
static double smoothed(double z, double e, double *derivative) {
    *derivative = exp(log_sigmoid(z)) - (1 - e);
    return -(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z);
}

/* [E11] DPO: l = -log sigmoid(beta ([logp(y_w) - ref(y_w)] - [logp(y_l) - ref(y_l)])), token sums. */
double objective_dpo(const PairOptions *o, const PairLogps *p, PairGradient *g) {
    double chosen = o->beta * (p->chosen - p->chosen_reference);
    double rejected = o->beta * (p->rejected - p->rejected_reference), dz;
    double loss = smoothed(chosen - rejected, o->label_smoothing, &dz);
    if (g) *g = (PairGradient){o->beta * dz, -o->beta * dz, chosen, rejected};
    return loss;
}

/* [E12] SimPO: l = -log sigmoid((beta / n_w) logp(y_w) - (beta / n_l) logp(y_l) - gamma), gamma = beta x
 * gamma-beta-ratio. */
double objective_simpo(const PairOptions *o, const PairLogps *p, PairGradient *g) {
    double by_w = o->beta / p->chosen_tokens, by_l = o->beta / p->rejected_tokens, dz;
    double chosen = by_w * p->chosen, rejected = by_l * p->rejected;
    double loss = smoothed(chosen - rejected - o->beta * o->gamma_beta_ratio, o->label_smoothing, &dz);
    if (g) *g = (PairGradient){by_w * dz, -by_l * dz, chosen, rejected};
    return loss;
}

const ObjectiveInfo OBJECTIVES[] = {
    [OBJECTIVE_SFT] = {.name = "sft", .help = "supervised fine-tuning on prompts with answers", .reduce = REDUCE_MEAN,
                       .beta = 0.1},
    [OBJECTIVE_DPO] = {.name = "dpo", .help = "direct preference optimization of pairs, against the starting model",
                       .pairs = true, .needs_reference = true, .reduce = REDUCE_SUM, .beta = 0.1,
                       .pair = objective_dpo},
    [OBJECTIVE_SIMPO] = {.name = "simpo", .help = "simple preference optimization of pairs, without a reference",
                         .pairs = true, .token_means = true, .reduce = REDUCE_SUM, .beta = 2, .pair = objective_simpo},
};
_Static_assert(sizeof OBJECTIVES / sizeof *OBJECTIVES == OBJECTIVE_COUNT, "a row for each objective");

double objective_pair(Objective objective, const PairOptions *o, const PairLogps *p, PairGradient *g) {
    return OBJECTIVES[objective].pair(o, p, g);
}

PairLogps pair_logps(const Example *e, double chosen, double rejected, Logps reference, int i) {
    return (PairLogps){.chosen = chosen, .rejected = rejected,
                       .chosen_reference = reference.chosen ? reference.chosen[i] : 0,
                       .rejected_reference = reference.rejected ? reference.rejected[i] : 0,
                       .chosen_tokens = e->answer_n, .rejected_tokens = e->rejected_n};
}

bool same_answers(const Example *e) {
    return e->answer_n == e->rejected_n && memcmp(e->answer, e->rejected, (size_t)e->answer_n * sizeof(int)) == 0;
}
