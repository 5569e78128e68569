/* Tests of ica: retrieval, contexts and the score of E5 against a second computation in plain
 * loops. The log-likelihoods behind a score are computed one row at a time, nothing shared or
 * cached, and must have the same bits. A tag in brackets names the equation that a test is
 * about. */
#include "ica.h"
#include "lib/stats.h"
#include "tests/unit/check.h"
#include "tests/reference/oracle.h"
#include "tests/unit/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { CONTEXT = 96 };

static bool close_to(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (1 + fabs(b));
}

/* ---- one answer ---- */

/* [E10] logp(y|x) is the sum over y's own tokens, the end token among them, of the log-probability
 * of each after all before it.
 */
static void test_token_sum(const World *w) {
    const Example *x = &w->pool.items[0];
    IntBuf row = {0};
    Batch b = {0};
    double sum = 0, term, d;
    ints_put(&row, BOS);
    put_all(&row, x->prompt, x->prompt_n);
    for (int t = 0; t < x->answer_n; t++) {
        ints_put(&row, x->answer[t]);
        batch_clear(&b);
        batch_row(&b, row.v, row.n, row.n - 1, NULL);
        model_forward(w->m, w->ws, &b, false, &term, NULL);
        sum += term;
    }
    double logp = logp_alone(w->m, w->ws, x), loss = objective_sft(logp, x->answer_n, &d);
    CHECK(close_to(logp, sum, 1e-12), "logp of an answer is %.17g, its tokens' sum %.17g", logp,
          sum);
    CHECK(close_to(loss, -sum / x->answer_n, 1e-12), "SFT loss %.17g", loss);
    CHECK(d == -1.0 / x->answer_n, "SFT derivative %.17g", d);
    batch_free(&b);
    ints_free(&row);
}

/* ---- [E6] retrieval ---- */

static int retrieval_misses(HoldoutIndex *r, const Examples *holdout, const Example *x) {
    int ks[] = {0, 1, 3, 7, holdout->count + 5}, misses = 0;
    for (int i = 0; i < 10; i++) {
        int k = ks[i / 2], found[64], want[64];
        int n = holdout_nearest(r, x, k, i % 2, found),
            wanted = oracle_nearest(holdout, x, k, i % 2, want);
        misses += n != wanted || memcmp(found, want, (size_t)wanted * sizeof(int)) != 0;
    }
    return misses;
}

static void test_retrieval_random(void) {
    Rng rng = rng_new(6, 0);
    for (int trial = 0; trial < 24; trial++) {
        Examples holdout;
        int words = 3 + rng_below(&rng, 50), misses = 0;
        examples_begin(&holdout, 1 + rng_below(&rng, 30));
        for (int h = 0; h < holdout.count;
             h++) { /* few words and short prompts: equal prompts and equal cosines occur */
            int n = rng_below(&rng, 8);
            holdout.items[h] = random_example(&holdout.arena, &rng, n, words, 2, 0);
        }
        HoldoutIndex *r = holdout_index(&holdout, NULL);
        for (int q = 0; q < 6; q++) {
            int n = rng_below(&rng, 8); /* up to 20 words that the holdout does not have */
            Example x = q < 2 ? holdout.items[rng_below(&rng, holdout.count)]
                              : random_example(&holdout.arena, &rng, n, words + 20, 2, 0);
            misses += retrieval_misses(r, &holdout, &x);
        }
        CHECK(misses == 0, "[E6] trial %d: %d of 60 retrievals differ from the plain ones", trial,
              misses);
        holdout_index_free(r);
        arena_free(&holdout.arena);
    }
}

/* Prompts from one template that differ in one word each: all are equally near to a prompt with a
 * word of its own. In floating point their cosines differ by the order of the sums; the smaller
 * index must win all the same, and stand last. */
static void test_retrieval_ties(void) {
    Rng rng = rng_new(6, 1);
    Examples holdout;
    examples_begin(&holdout, 24);
    int order[24], nearest[24], expected = 0;
    for (int h = 0; h < 24; h++) order[h] = 1 + 3 * h;
    rng_shuffle(&rng, order, 24);
    for (int h = 0; h <= 24; h++) {
        int *bare = random_words(&holdout.arena, &rng, 6, 1);
        const int common[5] = {11, 27, 3, 35, 8};
        memcpy(bare, common, sizeof common);
        bare[5] = h < 24 ? order[h] : 199;
        Example e = example_of(&holdout.arena, &rng, bare, 6, 2, 0);
        if (h < 24) {
            holdout.items[h] = e;
            continue;
        }
        HoldoutIndex *r = holdout_index(&holdout, NULL);
        int n = holdout_nearest(r, &e, 10, false, nearest);
        for (int i = 0; i < n; i++) expected += nearest[i] == n - 1 - i;
        CHECK(n == 10 && expected == 10, "[E6] ties: nearest of 24 equal ones are ... %d %d %d",
              nearest[7], nearest[8], nearest[9]);
        holdout_index_free(r);
    }
    arena_free(&holdout.arena);
}

/* Five prompts worked out by eye: the rare word counts more than the common one, a repeated word
 * more than a single one. */
static void test_retrieval_by_eye(void) {
    static const int a[] = {10, 20}, b[] = {10, 30}, c[] = {10, 40}, d[] = {10, 50},
                     e[] = {10, 10, 10, 60}, q[] = {10, 30, 7}, s[] = {10};
    Example items[5] = {{.bare = a, .bare_n = 2},
                        {.bare = b, .bare_n = 2},
                        {.bare = c, .bare_n = 2},
                        {.bare = d, .bare_n = 2},
                        {.bare = e, .bare_n = 4}};
    Examples holdout = {.count = 5, .items = items};
    HoldoutIndex *r = holdout_index(&holdout, NULL);
    int n[5];
    CHECK(holdout_nearest(r, &(Example){.bare = q, .bare_n = 3}, 2, false, n) == 2 && n[1] == 1 &&
              n[0] == 4,
          "[E6] rare word: %d %d", n[0], n[1]);
    CHECK(holdout_nearest(r, &(Example){.bare = s, .bare_n = 1}, 2, false, n) == 2 && n[1] == 4 &&
              n[0] == 0,
          "[E6] repeated: %d %d", n[0], n[1]);
    CHECK(holdout_nearest(r, &(Example){.bare = b, .bare_n = 2}, 1, true, n) == 1 && n[0] == 1,
          "[E6] leak: itself is nearest");
    CHECK(holdout_nearest(r, &(Example){.bare = b, .bare_n = 2}, 5, false, n) == 4 && n[0] != 1 &&
              n[1] != 1 && n[2] != 1 && n[3] != 1,
          "[E6] its own prompt was shown");
    holdout_index_free(r);
}

/* ---- [E5] scores ---- */

/* [E5] The score and both log-likelihoods of every candidate, from the demonstrations that the
 * result names. */
static void check_ica(const World *w, const Examples *pool, const ScoreOptions *how,
                      const Scores *s, const char *what) {
    int bad_logp = 0, bad_inside = 0, bad_score = 0;
    for (int i = 0; i < pool->count; i++) {
        const Example *z = &pool->items[i];
        double logp = logp_alone(w->m, w->ws, z);
        double inside = logp_by_hand(w->m, w->ws, s->demos + (size_t)i * (size_t)s->k,
                                     s->n_demos[i], z, false, NULL);
        double score =
            reduced(how->reduce, inside, z->answer_n) - reduced(how->reduce, logp, z->answer_n);
        bad_logp += !same_bits(logp, s->alone.chosen[i]);
        bad_inside += !same_bits(inside, s->in_context.chosen[i]);
        bool none = how->k > 0 && s->n_demos[i] == 0; /* not known, whatever was computed */
        bad_score += none ? !isnan(s->score[i]) : !same_bits(score, s->score[i]);
    }
    CHECK(s->count == pool->count && s->k == how->k, "[E5] %s: count %d, k %d", what, s->count,
          s->k);
    CHECK(bad_logp == 0 && bad_inside == 0, "[E5] %s: of %d, %d logp and %d logp in context differ",
          what, pool->count, bad_logp, bad_inside);
    CHECK(bad_score == 0, "[E5] %s: %d of %d scores differ", what, bad_score, pool->count);
}

/* How many candidates have the same demonstrations as candidate i, itself included. */
static int sharers(const Scores *s, int i) {
    int count = 0;
    for (int j = 0; j < s->count; j++) {
        bool same = s->n_demos[i] == s->n_demos[j];
        for (int d = 0; same && d < s->n_demos[i]; d++) {
            const Demo *a = &s->demos[i * s->k + d], *b = &s->demos[j * s->k + d];
            same = a->prompt_of == b->prompt_of && a->answer_of == b->answer_of;
        }
        count += same;
    }
    return count;
}

/* Pools must hold what a test is about: contexts of one candidate, of two, and of three and more.
 */
static void check_sharing(const Scores *s, bool singles, bool groups, const char *what) {
    int one = 0, two = 0, more = 0;
    for (int i = 0; i < s->count; i++) {
        int n = sharers(s, i);
        one += n == 1;
        two += n == 2;
        more += n >= 3;
    }
    CHECK((one > 0) == singles && (more > 0) == groups,
          "%s: contexts shared by one %d, two %d, more %d", what, one, two, more);
}

/* The tokens that must go through the model if nothing is shared. */
static double whole_rows(const Examples *pool, const Scores *s) {
    double tokens = 0;
    for (int i = 0; i < pool->count; i++) {
        int row = pool->bos_n + pool->items[i].prompt_n + pool->items[i].answer_n - 1;
        tokens += 2 * row;
        for (int d = 0; d < s->n_demos[i]; d++)
            tokens += s->demos[i * s->k + d].prompt_of->prompt_n +
                      s->demos[i * s->k + d].answer_of->answer_n;
    }
    return tokens;
}

/* The tokens that must go through the model if contexts of three candidates and more are read once.
 */
static double shared_rows(const Examples *pool, const Scores *s) {
    double tokens = 0;
    for (int i = 0; i < pool->count; i++) {
        int context = pool->bos_n, own = pool->items[i].prompt_n + pool->items[i].answer_n - 1,
            n = sharers(s, i);
        for (int d = 0; d < s->n_demos[i]; d++)
            context += s->demos[i * s->k + d].prompt_of->prompt_n +
                       s->demos[i * s->k + d].answer_of->answer_n;
        tokens += pool->bos_n + own + own + (n < 3 ? context : (double)context / n);
    }
    return tokens;
}

static void test_ica_nearest(const World *w) {
    ScoreOptions how = {
        .method = METHOD_ICA, .k = 6, .demos = DEMOS_NEAREST, .reduce = REDUCE_MEAN};
    Scores s = {0};
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &s);
    int wrong = 0, nearest[6];
    for (int i = 0; i < s.count;
         i++) { /* [E6] the demonstrations are the nearest, in order, with their own answers */
        int n = oracle_nearest(&w->holdout, &w->pool.items[i], 6, false, nearest);
        wrong += s.n_demos[i] != n;
        for (int d = 0; d < n; d++) {
            const Example *h = &w->holdout.items[nearest[d]];
            wrong += s.demos[i * 6 + d].prompt_of != h || s.demos[i * 6 + d].answer_of != h;
        }
    }
    CHECK(wrong == 0 && s.dropped == 0, "[E6] %d demonstrations are not the nearest, %d dropped",
          wrong, s.dropped);
    check_sharing(&s, true, true, "nearest");
    check_ica(w, &w->pool, &how, &s, "nearest, shared contexts, mean");
    double whole = whole_rows(&w->pool, &s);
    double shared = shared_rows(&w->pool, &s);
    CHECK(s.cost.forward > whole / 3 && s.cost.forward < shared + 0.5 && shared < whole &&
              s.cost.backward == 0,
          "cost %.0f, at most %.0f, whole rows %.0f", s.cost.forward, shared, whole);
    how.reduce = REDUCE_SUM;
    how.k = 3;
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &s); /* into the same result */
    check_ica(w, &w->pool, &how, &s, "nearest, sum");
    scores_free(&s);
}

/* One random list for all candidates; a seed is a list. */
static void test_ica_fixed(const World *w) {
    ScoreOptions how = {
        .method = METHOD_ICA, .k = 3, .demos = DEMOS_FIXED, .reduce = REDUCE_SUM, .seed = 7};
    Scores s = {0}, again = {0};
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &s);
    CHECK(s.n_demos[0] == 3 && sharers(&s, 0) == s.count,
          "fixed: %d of %d candidates have the first one's list", sharers(&s, 0), s.count);
    CHECK(s.demos[0].prompt_of != s.demos[1].prompt_of &&
              s.demos[1].prompt_of != s.demos[2].prompt_of &&
              s.demos[2].prompt_of != s.demos[0].prompt_of,
          "fixed: one demonstration twice");
    check_ica(w, &w->pool, &how, &s, "fixed");
    int context = 0, rows = 0;
    for (int i = 0; i < s.count; i++)
        rows += w->pool.items[i].prompt_n + w->pool.items[i].answer_n - 1;
    for (int d = 0; d < 3; d++)
        context += s.demos[d].prompt_of->prompt_n + s.demos[d].answer_of->answer_n;
    CHECK(s.cost.forward > rows &&
              s.cost.forward <
                  2 * rows + s.count + 1 + context, /* prompts begin alike, too: test_scoring */
          "fixed: %.0f tokens, more than one context and two short passes of %d", s.cost.forward,
          rows);
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &again);
    CHECK(memcmp(s.score, again.score, (size_t)s.count * sizeof(double)) == 0,
          "fixed: the same seed gives other scores");
    how.seed = 8;
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &again);
    CHECK(memcmp(s.demos, again.demos, 3 * sizeof(Demo)) != 0,
          "fixed: another seed gives the same list");
    scores_free(&s);
    scores_free(&again);
    Examples few = first_of(&w->holdout, 2), some = first_of(&w->pool, 20);
    how.k = 50; /* far more than there are */
    ica_score(w->m, NULL, w->ws, &some, &few, &how, &s);
    CHECK(s.n_demos[0] == 2, "fixed: %d demonstrations from a holdout of 2", s.n_demos[0]);
    check_ica(w, &some, &how, &s, "fixed, k beyond the holdout");
    scores_free(&s);
}

static void test_ica_random(const World *w) {
    ScoreOptions how = {
        .method = METHOD_ICA, .k = 4, .demos = DEMOS_RANDOM, .reduce = REDUCE_MEAN, .seed = 7};
    Examples pool = first_of(&w->pool, 60);
    Scores s = {0}, other = {0};
    ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
    check_sharing(&s, true, false, "random");
    check_ica(w, &pool, &how, &s, "random, no context shared");
    int twice = 0, missing = 0, seen[40] = {0}, unseen = 0;
    for (int i = 0; i < s.count; i++) {
        missing += s.n_demos[i] != 4;
        for (int d = 0; d < s.n_demos[i]; d++) {
            seen[s.demos[i * 4 + d].prompt_of - w->holdout.items] = 1;
            missing += s.demos[i * 4 + d].prompt_of != s.demos[i * 4 + d].answer_of;
            for (int c = 0; c < d; c++)
                twice += s.demos[i * 4 + d].prompt_of == s.demos[i * 4 + c].prompt_of;
        }
    }
    for (int h = 0; h < 40; h++) unseen += !seen[h];
    CHECK(twice == 0 && missing == 0 && unseen == 0, "random: %d twice, %d missing, %d never",
          twice, missing, unseen);
    how.seed = 8;
    ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &other);
    CHECK(memcmp(s.demos, other.demos, (size_t)s.count * 4 * sizeof(Demo)) != 0,
          "random: another seed gives the same demonstrations");
    how.k = 40; /* all of them, each once */
    Examples three = first_of(&w->pool, 3), few = first_of(&w->holdout, 5);
    ica_score(w->m, NULL, w->ws, &three, &few, &how, &other);
    CHECK(other.n_demos[0] == 5 && other.n_demos[2] == 5,
          "random: %d of 5 demonstrations with k 40", other.n_demos[0]);
    scores_free(&s);
    scores_free(&other);
}

/* The control: the nearest prompts with answers of other examples. */
static void test_ica_shuffled(const World *w) {
    ScoreOptions how = {
        .method = METHOD_ICA, .k = 3, .demos = DEMOS_SHUFFLED, .reduce = REDUCE_MEAN, .seed = 7};
    Examples pool = first_of(&w->pool, 60);
    Scores s = {0};
    Examples small = first_of(&w->holdout, 4), one = first_of(&w->holdout, 1);
    int own = 0, moved = 0, nearest[3];
    ica_score(w->m, NULL, w->ws, &pool, &small, &how, &s);
    for (int i = 0; i < s.count; i++) {
        int n = oracle_nearest(&small, &pool.items[i], 3, false, nearest);
        for (int d = 0; d < n; d++) {
            moved += s.demos[i * 3 + d].prompt_of != &small.items[nearest[d]];
            own += s.demos[i * 3 + d].answer_of == s.demos[i * 3 + d].prompt_of;
        }
    }
    CHECK(moved == 0 && own == 0,
          "shuffled: %d prompts are not the nearest, %d have their own answer", moved, own);
    check_ica(w, &pool, &how, &s, "shuffled");
    ica_score(w->m, NULL, w->ws, &small, &small, &how,
              &s); /* trap 2: not even the answer of x's own prompt */
    int leaked = 0;
    for (int i = 0; i < s.count; i++)
        for (int d = 0; d < s.n_demos[i]; d++)
            leaked += s.demos[i * 3 + d].answer_of == &small.items[i];
    CHECK(leaked == 0, "shuffled: %d candidates see their own answer", leaked);
    ica_score(w->m, NULL, w->ws, &pool, &one, &how, &s);
    CHECK(s.n_demos[0] == 1 && s.demos[0].answer_of == &one.items[0],
          "shuffled: one example has no other answer than its own");
    scores_free(&s);
}

/* Twelve prompts with two answers among them: the answer of another prompt may be the own one,
 * which would be no control. Then another is drawn. */
static void test_shuffled_alike(const World *w) {
    ScoreOptions how = {.method = METHOD_ICA, .k = 4, .demos = DEMOS_SHUFFLED, .seed = 8};
    Examples pool = first_of(&w->pool, 20), holdout = {0};
    Rng rng = rng_new(31, 4);
    random_examples(&holdout, &rng, 12, 30);
    for (int h = 2; h < 12; h++) {
        holdout.items[h].answer = holdout.items[h % 2].answer;
        holdout.items[h].answer_n = holdout.items[h % 2].answer_n;
    }
    Scores s = {0};
    int alike = 0, shown = 0;
    ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
    for (int i = 0; i < s.count; i++)
        for (int d = 0; d < s.n_demos[i]; d++, shown++)
            alike += s.demos[i * 4 + d].answer_of->answer == s.demos[i * 4 + d].prompt_of->answer;
    CHECK(alike == 0 && shown == 80, "shuffled: %d of %d shown have the answer that is right",
          alike, shown);
    scores_free(&s);
    arena_free(&holdout.arena);
}

/* Bits depend neither on a candidate's place in the pool nor on the number of threads. */
static void test_order_and_threads(const World *w) {
    int n = w->pool.count, differ = 0;
    int *place = mem_new((size_t)n, sizeof *place);
    Rng rng = rng_new(5, 5);
    Examples permuted = first_of(&w->pool, n);
    permuted.items = mem_new((size_t)n, sizeof *permuted.items);
    for (int i = 0; i < n; i++) place[i] = i;
    rng_shuffle(&rng, place, n);
    for (int i = 0; i < n; i++) permuted.items[place[i]] = w->pool.items[i];
    Scores a = {0}, b = {0};
    for (int demos = 0; demos < 2; demos++) {
        ScoreOptions how = {
            .method = METHOD_ICA, .k = 3, .demos = demos ? DEMOS_FIXED : DEMOS_NEAREST, .seed = 3};
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &a);
        ica_score(w->m, NULL, w->ws, &permuted, &w->holdout, &how, &b);
        for (int i = 0; i < n; i++) differ += !same_bits(a.score[i], b.score[place[i]]);
        CHECK(differ == 0, "[E5] %d scores depend on the order of the pool", differ);
    }
#ifdef _OPENMP
    const int threads[] = {1, 2, 3, 8}, before = omp_get_max_threads();
    for (int t = 0; t < 4; t++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = 3, .demos = DEMOS_FIXED, .seed = 3};
        omp_set_num_threads(threads[t]);
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &b);
        CHECK(memcmp(a.score, b.score, (size_t)n * sizeof(double)) == 0,
              "[E5] other bits with %d threads", threads[t]);
    }
    omp_set_num_threads(before);
#endif
    scores_free(&a);
    scores_free(&b);
    free(place);
    free(permuted.items);
}

/* ---- queries ---- */

/* Both answers of pairs, prompts of no token, contexts shared or not: every query has the bits of
 * its row. */
static void test_queries(const World *w, bool contexts) {
    enum { N = 96, SET = N / 3 };
    Example x[N];
    Query queries[N];
    Demo demos[3];
    int bad = 0, hits_sum = 0, forward = 0;
    for (int d = 0; d < 3; d++) demos[d] = (Demo){&w->holdout.items[d], &w->holdout.items[d + 1]};
    for (int i = 0; i < N; i++) {
        x[i] = w->pool.items[i];
        if (i >= 2 * SET && i % 2) x[i].prompt_n = 0;
        int set = contexts ? 1 + i / SET
                           : 0; /* the first; the first two, the same and one more; the last two */
        queries[i] = (Query){.demos = demos + (set == 3),
                             .n_demos = set - (set == 3),
                             .x = &x[i],
                             .rejected = i % 3 == 1};
    }
    Cost cost = {.forward = 5};
    ica_logps(w->m, w->ws, &w->pool, queries, N, &cost);
    for (int i = 0; i < N; i++) {
        int hits;
        double logp = logp_by_hand(w->m, w->ws, queries[i].demos, queries[i].n_demos, &x[i],
                                   queries[i].rejected, &hits);
        bad += !same_bits(logp, queries[i].logp) || hits != queries[i].hits;
        hits_sum += hits;
        forward += x[i].prompt_n;
    }
    CHECK(bad == 0, "%d of %d queries differ from their rows, contexts %d", bad, N, contexts);
    CHECK(hits_sum > 0, "no answer token was the most probable one: hits are not tested");
    CHECK(cost.forward > 5 + forward, "cost is added: %.0f", cost.forward);
    ica_logps(w->m, w->ws, &w->pool, queries, N, NULL);
    ica_logps(w->m, w->ws, &w->pool, queries, 0, NULL);
}

/* More contexts than are cached at once, and more candidates behind one of them than are run at
 * once (both in tokens). */
static void test_many_contexts(const World *w) {
    enum { CONTEXTS = 60, EACH = 3, BEHIND_ONE = 300, N = CONTEXTS * EACH + BEHIND_ONE, K = 5 };
    Demo(*demos)[K] = mem_new(CONTEXTS, sizeof *demos);
    Query *queries = mem_new(N, sizeof *queries);
    int *place = mem_new(N, sizeof *place), bad = 0, context_tokens = 0;
    Rng rng = rng_new(31, 0);
    for (int c = 0; c < CONTEXTS; c++)
        for (int d = 0; d < K; d++) {
            const Example *h = &w->holdout.items[(c + d * (1 + c / 40)) % 40];
            demos[c][d] = (Demo){h, h};
            context_tokens += h->prompt_n + h->answer_n;
        }
    for (int i = 0; i < N; i++) place[i] = i;
    rng_shuffle(&rng, place, N);
    for (int i = 0; i < N; i++) {
        int c = i < CONTEXTS * EACH ? i / EACH : CONTEXTS / 2;
        queries[place[i]] =
            (Query){.demos = demos[c], .n_demos = K, .x = &w->pool.items[i % w->pool.count]};
    }
    Cost cost = {0};
    ica_logps(w->m, w->ws, &w->pool, queries, N, &cost);
    double own = 0;
    for (int i = 0; i < N; i++) {
        const Example *x = queries[i].x;
        int hits;
        bad += !same_bits(queries[i].logp,
                          logp_by_hand(w->m, w->ws, queries[i].demos, K, x, false, &hits)) ||
               queries[i].hits != hits;
        own += x->prompt_n + x->answer_n - 1;
    }
    CHECK(context_tokens > 2048 && own > 2048, "%d and %.0f tokens fit at once: nothing is tested",
          context_tokens, own);
    CHECK(bad == 0, "many contexts: %d of %d queries differ from their rows", bad, N);
    CHECK(cost.forward >= own && cost.forward <= CONTEXTS + context_tokens + own,
          "many contexts: %.0f tokens, should be %.0f", cost.forward,
          CONTEXTS + context_tokens + own);
    free(demos);
    free(queries);
    free(place);
}

/* A cost is what went through the model: tokens, and their operations, three times as many with a
 * backward pass. */
static void test_cost(const World *w) {
    static const int zero_in_it[] = {0, END}; /* token 0 counts as any other */
    Examples part[2] = {first_of(&w->pool, 20),
                        first_of(&w->holdout, 5)}; /* each fits into one batch */
    Example items[20];
    double tokens[2] = {0}, flops[2] = {0};
    memcpy(items, part[0].items, sizeof items);
    items[3].answer = zero_in_it;
    items[3].answer_n = 2;
    part[0].items = items;
    for (int p = 0; p < 2; p++) {
        for (int i = 0; i < part[p].count; i++) {
            int n = 1 + part[p].items[i].prompt_n + part[p].items[i].answer_n - 1;
            tokens[p] += n;
            flops[p] += model_flops(w->m, n, n, part[p].items[i].answer_n);
        }
    }
    Scores s = {0};
    ScoreOptions how = {.method = METHOD_LOSS};
    ica_score(w->m, NULL, w->ws, &part[0], &part[1], &how, &s);
    double whole = s.cost.forward / tokens[0]; /* rows that begin alike share their beginning */
    CHECK(whole <= 1 && whole > 0.5 && s.cost.backward == 0 && s.cost.flops <= flops[0] &&
              s.cost.flops > flops[0] / 2,
          "one pass costs %.0f + %.0f tokens, %g operations, should be at most %.0f and %g, and "
          "not far below",
          s.cost.forward, s.cost.backward, s.cost.flops, tokens[0], flops[0]);
    how.method = METHOD_GRADIENT;
    ica_score(w->m, NULL, w->ws, &part[0], &part[1], &how, &s);
    double both = tokens[0] + tokens[1];
    CHECK(s.cost.forward == both && s.cost.backward == both &&
              close_to(s.cost.flops, 3 * (flops[0] + flops[1]), 1e-12),
          "gradients cost %.0f + %.0f tokens, %g operations, should be %.0f each and %g",
          s.cost.forward, s.cost.backward, s.cost.flops, both, 3 * (flops[0] + flops[1]));
    scores_free(&s);
}

/* Rows of a batch: bos, prompt, answer; for pairs the rejected answer follows as a row of its own.
 */
static void test_batch(const World *w) {
    static const int index[3] = {4, 0, 2};
    for (int pairs = 0; pairs < 2; pairs++) {
        Batch b = {0};
        double logp[6];
        int bad = 0, rows = pairs ? 6 : 3;
        ica_batch(&b, &w->pool, index, 3, pairs);
        CHECK(b.rows == rows, "%d rows", b.rows);
        model_forward(w->m, w->ws, &b, false, logp, NULL);
        for (int r = 0; r < rows; r++)
            bad += !same_bits(logp[r], logp_by_hand(w->m, w->ws, NULL, 0,
                                                    &w->pool.items[index[pairs ? r / 2 : r]],
                                                    pairs && r % 2, NULL));
        batch_clear(&b);
        ica_batch(&b, &w->pool, NULL, 2, false);
        model_forward(w->m, w->ws, &b, false, logp, NULL);
        bad += b.rows != 2 || !same_bits(logp[1], logp_alone(w->m, w->ws, &w->pool.items[1]));
        CHECK(bad == 0, "%d rows of a batch differ", bad);
        batch_free(&b);
    }
}

static void test_evaluate(const World *w) {
    Examples data = first_of(&w->pool, 30);
    double logp[30];
    int hits[30], nearest[3];
    for (int k = 0; k <= 3; k += 3) {
        int dropped =
                ica_evaluate(w->m, w->ws, &data, &w->holdout, &(ScoreOptions){.k = k}, logp, hits),
            bad = 0;
        for (int i = 0; i < 30; i++) {
            Demo demos[3];
            int n = oracle_nearest(&w->holdout, &data.items[i], k, false, nearest), expected;
            for (int d = 0; d < n; d++)
                demos[d].prompt_of = demos[d].answer_of = &w->holdout.items[nearest[d]];
            double p = logp_by_hand(w->m, w->ws, demos, n, &data.items[i], false, &expected);
            bad += !same_bits(p, logp[i]) || expected != hits[i];
        }
        CHECK(bad == 0 && dropped == 0, "evaluation with k %d: %d of 30 differ, %d dropped", k, bad,
              dropped);
    }
    ica_evaluate(w->m, w->ws, &data, &w->holdout, &(ScoreOptions){.k = 3}, logp, NULL);
    ica_evaluate(w->m, w->ws, &data, NULL, NULL, logp, NULL);
    CHECK(same_bits(logp[0], logp_alone(w->m, w->ws, &data.items[0])), "k 0 needs no holdout");
}

/* ---- contexts that are empty, too long, or the candidate itself ---- */

/* Trap 4: both sides of E5 have the same template, so without demonstrations a score is 0, not
 * nearly 0. */
static void test_no_demos(const World *w) {
    Examples pool = first_of(&w->pool, 60);
    Scores s = {0};
    for (int r = 0; r < 2; r++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = 0, .reduce = r ? REDUCE_SUM : REDUCE_MEAN};
        int not_zero = 0;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
        for (int i = 0; i < s.count; i++)
            not_zero += !same_bits(s.score[i], 0.0) || s.n_demos[i] != 0;
        CHECK(not_zero == 0 && s.dropped == 0, "[E5] k = 0: %d scores are not 0", not_zero);
        check_ica(w, &pool, &how, &s, "k = 0");
    }
    scores_free(&s);
}

/* Holdout examples of 20 tokens each; candidates of a length that leaves room for 3, 2, 1 or 0 of
 * them, to the token. */
static void test_dropping(const World *w) {
    enum { N = 8, DEMO = 20, K = 3 };
    static const int length[N] = {36, 37, 56, 57, 76, 77, 90, 37},
                     kept[N] = {3, 2, 2, 1, 1, 0, 0, 2};
    Rng rng = rng_new(9, 9);
    Examples holdout, pool;
    examples_begin(&holdout, 6);
    examples_begin(&pool, N);
    for (int h = 0; h < 6; h++)
        holdout.items[h] = random_example(&holdout.arena, &rng, DEMO - 7, 12, 5, 0);
    for (int i = 0; i < N; i++) { /* the last one's rejected answer is the longer */
        int bare_n = length[i] - 2 - 6, answer_n = i == N - 1 ? 3 : 6,
            rejected_n = i == N - 1 ? 6
                         : i % 2    ? 2
                                    : 0;
        pool.items[i] = random_example(&pool.arena, &rng, bare_n, 12, answer_n, rejected_n);
    }
    ScoreOptions how = {.method = METHOD_ICA, .k = K};
    Scores s = {0};
    ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
    int dropped = 0, nearest[K];
    for (int i = 0; i < N; i++) {
        oracle_nearest(&holdout, &pool.items[i], K, false, nearest);
        CHECK(s.n_demos[i] == kept[i],
              "candidate of %d tokens: %d demonstrations of 20 fit, not %d", length[i],
              s.n_demos[i], kept[i]);
        for (int d = 0; d < kept[i]; d++) /* the nearest ones stay */
            CHECK(s.demos[i * K + d].prompt_of == &holdout.items[nearest[K - kept[i] + d]],
                  "candidate %d: not the farthest dropped", i);
        if (kept[i] == 0)
            CHECK(isnan(s.score[i]) && s.unshown[i], "[E5] none fits: score %g", s.score[i]);
        else CHECK(s.score[i] != 0, "[E5] a context without effect");
        dropped += K - kept[i];
    }
    CHECK(s.dropped == dropped && s.n_unshown == 2, "%d dropped, counted %d; %d have none", dropped,
          s.dropped, s.n_unshown);
    check_ica(w, &pool, &how, &s, "dropped demonstrations");
    double logp[N];
    CHECK(ica_evaluate(w->m, w->ws, &pool, &holdout, &how, logp, NULL) == dropped,
          "evaluation counts other drops");
    scores_free(&s);
    arena_free(&holdout.arena);
    arena_free(&pool.arena);
}

/* Trap 2: a candidate is never its own demonstration, whatever the choice; with leak it may be, and
 * then is the nearest. */
static void test_never_itself(const World *w) {
    Examples few = first_of(&w->holdout, 6);
    Scores s = {0};
    for (int demos = DEMOS_NEAREST; demos <= DEMOS_SHUFFLED; demos++)
        for (int leak = 0; leak < 2; leak++) {
            ScoreOptions how = {.method = METHOD_ICA,
                                .k = 5,
                                .demos = (DemoChoice)demos,
                                .allow_overlap = leak,
                                .seed = 1};
            int itself = 0, last = 0;
            ica_score(w->m, NULL, w->ws, &few, &few, &how, &s);
            for (int i = 0; i < 6; i++) {
                for (int d = 0; d < s.n_demos[i]; d++)
                    itself += s.demos[i * 5 + d].prompt_of == &few.items[i];
                last += s.n_demos[i] > 0 &&
                        s.demos[i * 5 + s.n_demos[i] - 1].prompt_of == &few.items[i];
                CHECK(s.n_demos[i] == 5 || (demos == DEMOS_FIXED && s.n_demos[i] == 4),
                      "demos %d: %d of 5", demos, s.n_demos[i]);
            }
            CHECK(leak ? itself > 0 : itself == 0,
                  "demos %d, leak %d: %d candidates see themselves", demos, leak, itself);
            if (leak && demos == DEMOS_NEAREST)
                CHECK(last == 6, "[E6] leak: %d of 6 are nearest to themselves", last);
        }
    scores_free(&s);
}

/* ---- distinct demonstrations, and one notion of the same prompt ---- */

/* Copies of the first `distinct` examples, in random order, each at least once. */
static Examples with_copies(const Examples *of, int distinct, int count, Rng *rng) {
    Examples e = {0};
    examples_begin(&e, count);
    for (int i = 0; i < count; i++)
        e.items[i] = of->items[i < distinct ? i : rng_below(rng, distinct)];
    for (int i = count - 1; i > 0; i--) {
        int j = rng_below(rng, i + 1);
        Example swapped = e.items[i];
        e.items[i] = e.items[j];
        e.items[j] = swapped;
    }
    return e;
}

/* How many demonstrations of candidate i are a copy of an earlier one in its list. */
static int copies_shown(const Scores *s, int i) {
    int copies = 0;
    const Demo *list = s->demos + (size_t)i * (size_t)s->k;
    for (int d = 0; d < s->n_demos[i]; d++) {
        bool copy = false;
        for (int e = 0; e < d; e++)
            copy |= same_prompt(list[d].prompt_of, list[e].prompt_of) &&
                    list[d].answer_of->answer == list[e].answer_of->answer;
        copies += copy;
    }
    return copies;
}

/* [E6] A holdout of 40 lines that are 9 examples: whatever chooses, no list has one twice, and all
 * lists are as long as they can be. */
static void test_distinct(const World *w) {
    Rng rng = rng_new(31, 0);
    Examples holdout = with_copies(&w->holdout, 9, 40, &rng), pool = first_of(&w->pool, 30);
    static const int k[] = {3, 12}, contexts[] = {0, 4};
    for (int t = 0; t < 4 * DEMO_COUNT; t++) {
        DemoChoice demos = (DemoChoice)(t / 4);
        ScoreOptions how = {.method = METHOD_ICA, .k = k[t % 2], .demos = demos, .seed = 5};
        how.contexts = demos == DEMOS_NEAREST ? contexts[t / 2 % 2] : 0;
        Scores s = {0};
        int copies = 0, wrong = 0, most = how.k < 9 ? how.k : 9;
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        for (int i = 0; i < s.count; i++) {
            copies += copies_shown(&s, i);
            wrong += s.dropped == 0 && s.n_demos[i] != most;
        }
        CHECK(copies == 0 && wrong == 0,
              "[E6] %s, k %d: %d copies shown, %d lists of another length",
              DEMO_CHOICES[demos].name, how.k, copies, wrong);
        scores_free(&s);
    }
    arena_free(&holdout.arena);
}

/* [E16] Anchors are distinct too: eight random ones of 9 examples in 40 lines have the mean of
 * eight different gains, so all 9 asked for from 40 lines are the 9. */
static void test_distinct_anchors(const World *w) {
    Rng rng = rng_new(31, 1);
    Examples distinct = first_of(&w->holdout, 9), pool = first_of(&w->pool, 6);
    Examples holdout = with_copies(&distinct, 9, 40, &rng);
    for (int random = 0; random < 2; random++) {
        ScoreOptions how = {.method = METHOD_ONESHOT,
                            .k = 20,
                            .anchors = random ? ANCHORS_RANDOM : ANCHORS_NEAREST,
                            .num_anchors = 20};
        Scores all = {0}, few = {0};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &all);
        ica_score(w->m, NULL, w->ws, &pool, &distinct, &how, &few);
        for (int i = 0; i < pool.count; i++)
            CHECK(close_to(all.score[i], few.score[i], 1e-12), "[E16] copies change %g to %g",
                  few.score[i], all.score[i]);
        scores_free(&all);
        scores_free(&few);
    }
    arena_free(&holdout.arena);
}

/* Two examples whose texts are the same are the same, whatever their tokens are: neither is shown
 * to the other, and a list has one of them. */
static void test_same_text(const World *w) {
    Examples pool = first_of(&w->pool, 1), holdout = {0};
    Rng rng = rng_new(31, 2);
    random_examples(&holdout, &rng, 6, 30);
    for (int h = 0; h < 6; h++) { /* 0, 1, 2 are the candidate's prompt; 3, 4 one example */
        static const char *const prompt[] = {"a", "a", "a", "b", "b", "b"}, *const answer[] = {
                                                                                "x", "y", "z",
                                                                                "u", "u", "v"};
        holdout.items[h].prompt_text = str(prompt[h]);
        holdout.items[h].answer_text = str(answer[h]);
    }
    Example z = pool.items[0], *kept = pool.items;
    z.prompt_text = str("a");
    z.answer_text = str("x");
    pool.items = &z;
    for (int demos = 0; demos < DEMO_COUNT; demos++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = 5, .demos = (DemoChoice)demos, .seed = 2};
        Scores s = {0};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        int own = 0, most = demos == DEMOS_FIXED ? 5 : 2; /* fixed: what is left of its five */
        for (int d = 0; d < s.n_demos[0]; d++) own += s.demos[d].prompt_of < &holdout.items[3];
        CHECK(own == 0 && s.n_demos[0] > 0 && s.n_demos[0] <= most && copies_shown(&s, 0) == 0,
              "[E6] %s: %d of %d shown have the candidate's own prompt", DEMO_CHOICES[demos].name,
              own, s.n_demos[0]);
        /* Without the others nothing may be shown, and nothing is known. */
        Examples first = first_of(&holdout, 3);
        ica_score(w->m, NULL, w->ws, &pool, &first, &how, &s);
        CHECK(s.n_unshown == 1 && s.unshown[0] && isnan(s.score[0]), "[E6] %s: a score of %g",
              DEMO_CHOICES[demos].name, s.score[0]);
        scores_free(&s);
    }
    pool.items = kept;
    arena_free(&holdout.arena);
}

/* Candidates of one cluster share what is near its center. If that is only the center's own
 * prompt, those with another prompt are shown what is near to them. */
static void test_center_alone(const World *w) {
    Examples holdout = first_of(&w->holdout, 1), pool = {0};
    Rng rng = rng_new(31, 3);
    random_examples(&pool, &rng, 3, 30);
    pool.items[0] = pool.items[1] = holdout.items[0];
    for (int seed = 0; seed < 6; seed++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = 2, .contexts = 1, .seed = (uint64_t)seed};
        Scores s = {0};
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        CHECK(s.n_unshown == 2 && s.n_demos[2] == 1, "seed %d: %d without, %d shown", seed,
              s.n_unshown, s.n_demos[2]);
        scores_free(&s);
    }
    arena_free(&pool.arena);
}

/* [E6] A cluster's list never has the prompt of its center, for whom it is made. Three candidates
 * in one cluster, each with its prompt in the holdout of six: the center is shown five, the others
 * lack their own prompt too. */
static void test_center_prompt(const World *w) {
    Examples pool = first_of(&w->holdout, 3), holdout = first_of(&w->holdout, 6);
    for (int seed = 0; seed < 6; seed++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = 6, .contexts = 1, .seed = (uint64_t)seed};
        Scores s = {0};
        int missing[3] = {3, 3, 3}, centers = 0, shown = 0;
        ica_score(w->m, NULL, w->ws, &pool, &holdout, &how, &s);
        for (int i = 0; i < 3; i++) {
            for (int d = 0; d < s.n_demos[i]; d++) {
                int h = (int)(s.demos[i * 6 + d].prompt_of - holdout.items);
                if (h < 3) missing[h]--;
            }
            shown += s.n_demos[i];
        }
        for (int h = 0; h < 3; h++) centers += missing[h] == 3;
        CHECK(centers == 1 && shown == 5 + 4 + 4 && s.dropped == 0,
              "[E6] seed %d: %d prompts are shown to nobody, %d shown in all", seed, centers,
              shown);
        scores_free(&s);
    }
}

int main(void) {
#ifdef _OPENMP
    /* Thousands of tiny rows: waking threads costs more than it saves. One test takes more. */
    omp_set_num_threads(1);
#endif
    World w = topic_world(1, CONTEXT);
    test_token_sum(&w);
    test_retrieval_random();
    test_retrieval_ties();
    test_retrieval_by_eye();
    test_ica_nearest(&w);
    test_ica_fixed(&w);
    test_ica_random(&w);
    test_ica_shuffled(&w);
    test_shuffled_alike(&w);
    test_order_and_threads(&w);
    test_queries(&w, true);
    test_queries(&w, false);
    test_many_contexts(&w);
    test_cost(&w);
    test_batch(&w);
    test_evaluate(&w);
    test_no_demos(&w);
    test_dropping(&w);
    test_never_itself(&w);
    test_distinct(&w);
    test_distinct_anchors(&w);
    test_same_text(&w);
    test_center_alone(&w);
    test_center_prompt(&w);
    world_free(&w);
    return check_report("test_ica");
}
