/* Tests of scoring at speed: whatever is shared, cached, known before or clustered, every
 * log-likelihood has the bits of its row run whole (ica_logps_naive, itself compared with single
 * rows in test_ica). */
#include "ica.h"
#include "tests/unit/check.h"
#include "tests/unit/world.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

enum { CONTEXT = 120, K = 3 };

/* ---- shared prefixes ---- */

/* n queries: up to K demonstrations, each drawn from the first `choices` of the holdout, so that
 * lists branch early and late. */
static Query *queries_new(const World *w, int n, int choices, uint64_t seed, Demo *demos) {
    Query *queries = mem_new((size_t)n, sizeof *queries);
    Rng rng = rng_new(seed, 1);
    for (int i = 0; i < n; i++) {
        queries[i] =
            (Query){.demos = demos + i * K, .x = &w->pool.items[rng_below(&rng, w->pool.count)]};
        queries[i].rejected = rng_below(&rng, 2);
        queries[i].n_demos = rng_below(&rng, 8) ? K : rng_below(&rng, K);
        for (int d = 0; d < K; d++) {
            const Example *h = &w->holdout.items[rng_below(&rng, choices)];
            demos[i * K + d] = (Demo){h, h};
        }
    }
    return queries;
}

/* The row of a query, and how much of it stands before the token that predicts the answer. */
static int row_of(const Examples *form, const Query *j, int *row, int *before) {
    int n = 0;
    row[n++] = form->bos[0];
    for (int d = 0; d <= j->n_demos; d++) {
        bool last = d == j->n_demos;
        const Example *p = last ? j->x : j->demos[d].prompt_of,
                      *a = last ? j->x : j->demos[d].answer_of;
        for (int i = 0; i < p->prompt_n; i++) row[n++] = p->prompt[i];
        if (last) *before = n - 1;
        const int *answer = last && j->rejected ? a->rejected : a->answer;
        for (int i = 0, of = last && j->rejected ? a->rejected_n : a->answer_n; i < of; i++)
            row[n++] = answer[i];
    }
    return n;
}

/* The tokens that no method can avoid: what stands before the answers once for each different
 * beginning, and the rest. */
static int least_tokens(const Examples *form, const Query *queries, int n) {
    int(*row)[CONTEXT + 1] = mem_new((size_t)n, sizeof *row),
                        *before = mem_new((size_t)n, sizeof *before), tokens = 0;
    for (int i = 0; i < n; i++) {
        int length = row_of(form, &queries[i], row[i], &before[i]), seen = 0;
        for (int j = 0; j < i; j++) {
            int common = 0;
            while (common < before[i] && common < before[j] && row[i][common] == row[j][common])
                common++;
            seen = common > seen ? common : seen;
        }
        tokens += length - 1 - seen;
    }
    free(row);
    free(before);
    return tokens;
}

/* Trees of every shape, from nothing shared to one list for all, more than a window of cached
 * positions among them. */
static void test_cached_is_naive(const World *w) {
    static const struct {
        int queries, choices;
    } cases[] = {{1, 1}, {2, 1}, {300, 1}, {200, 40}, {400, 3}, {1500, 9}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int n = cases[c].queries, differ = 0;
        Demo *demos = mem_new((size_t)n * K, sizeof *demos);
        Query *queries = queries_new(w, n, cases[c].choices, c, demos),
              *naive = mem_new((size_t)n, sizeof *naive);
        Cost cost = {0}, whole = {0};
        memcpy(naive, queries, (size_t)n * sizeof *queries);
        ica_logps(w->m, w->ws, &w->pool, queries, n, &cost);
        ica_logps_naive(w->m, w->ws, &w->pool, naive, n, &whole);
        for (int i = 0; i < n; i++)
            differ += memcmp(&queries[i].logp, &naive[i].logp, sizeof(double)) != 0 ||
                      queries[i].hits != naive[i].hits;
        CHECK(differ == 0, "%d queries, %d demonstrations: %d have other bits than their rows", n,
              cases[c].choices, differ);
        int least = least_tokens(&w->pool, queries, n);
        CHECK(cost.forward >= least && cost.forward <= whole.forward,
              "%d queries: %.0f tokens, at least %d, at most %.0f", n, cost.forward, least,
              whole.forward);
        if (cases[c].choices < 10 &&
            n > 100) /* a prefix is left uncached only where it saves less than 16 tokens */
            CHECK(cost.forward <= least + (whole.forward - least) / 4,
                  "%d queries: %.0f tokens where %d would do, whole rows %.0f", n, cost.forward,
                  least, whole.forward);
        free(demos);
        free(queries);
        free(naive);
    }
}

/* A query's bits depend neither on where it stands, nor on who stands beside it, nor on the number
 * of threads. */
static void test_any_order(const World *w) {
    enum { N = 700, PARTS = 3 };
    Demo demos[N * K];
    int place[N], differ = 0;
    Query *queries = queries_new(w, N, 6, 77, demos), mixed[N];
    Rng rng = rng_new(8, 0);
    for (int i = 0; i < N; i++) place[i] = i;
    rng_shuffle(&rng, place, N);
    ica_logps(w->m, w->ws, &w->pool, queries, N, NULL);
    for (int threads = 1; threads <= 4; threads++) {
#ifdef _OPENMP
        omp_set_num_threads(threads);
#endif
        for (int i = 0; i < N; i++) mixed[i] = queries[place[i]];
        for (int i = 0; i < N; i++) mixed[i].logp = NAN;
        for (int p = 0; p < PARTS; p++) /* a part is another grouping */
            ica_logps(w->m, w->ws, &w->pool, mixed + p * N / PARTS,
                      (p + 1) * N / PARTS - p * N / PARTS, NULL);
        for (int i = 0; i < N; i++)
            differ += memcmp(&mixed[i].logp, &queries[place[i]].logp, sizeof(double)) != 0;
    }
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
    CHECK(differ == 0, "%d log-likelihoods depend on order, grouping or threads", differ);
    free(queries);
}

/* Both answers of a pair run their prompt once. */
static void test_pairs_share_prompts(const World *w) {
    Example x[2];
    int long_prompt[60];
    for (int i = 0; i < 60; i++) long_prompt[i] = WORD + i % 7;
    Query queries[4];
    for (int i = 0; i < 2; i++) {
        x[i] = w->pool.items[i];
        x[i].prompt = long_prompt + 20 * i;
        x[i].prompt_n = 40 - 3 * i; /* they begin with different words */
        for (int a = 0; a < 2; a++) queries[2 * i + a] = (Query){.x = &x[i], .rejected = a == 1};
    }
    Cost cost = {0};
    ica_logps(w->m, w->ws, &w->pool, queries, 4, &cost);
    int prompts = 0, answers = 0;
    for (int i = 0; i < 2; i++) {
        prompts += 1 + x[i].prompt_n - 1;
        answers += x[i].answer_n + x[i].rejected_n;
    }
    CHECK(cost.forward == prompts + answers,
          "two pairs: %.0f tokens, two prompts have %d and four answers %d", cost.forward, prompts,
          answers);
}

/* ---- what is known is not computed again ---- */

static void test_computed_earlier(const World *w) {
    enum { N = 60 };
    Examples pool = w->pool;
    pool.count = N;
    for (int pairs = 0; pairs < 2; pairs++)
        for (int rho = 0; rho < 2; rho++) {
            ScoreOptions how = {.method = rho ? METHOD_RHO : METHOD_ICA, .k = 2};
            how.objective = pairs ? OBJECTIVE_SIMPO : OBJECTIVE_SFT;
            Scores first = {0}, second = {0};
            ica_score(w->m, w->other, w->ws, &pool, &w->holdout, &how, &first);
            how.earlier_alone.chosen = first.alone.chosen;
            how.earlier_alone.rejected = first.alone.rejected;
            how.earlier_by_reference.chosen = first.by_reference.chosen;
            how.earlier_by_reference.rejected = first.by_reference.rejected;
            ica_score(w->m, w->other, w->ws, &pool, &w->holdout, &how, &second);
            CHECK(memcmp(first.score, second.score, N * sizeof(double)) == 0,
                  "known values change scores (pairs %d, rho %d)", pairs, rho);
            CHECK(memcmp(first.alone.chosen, second.alone.chosen, N * sizeof(double)) == 0,
                  "known log-likelihoods are not the ones reported");
            CHECK(second.cost.flops ==
                          first.cost.flops - (rho ? first.cost.flops : first.alone_flops) &&
                      second.alone_flops == 0,
                  "known, and computed: %.4g operations of %.4g", second.cost.flops,
                  first.cost.flops);
            if (pairs) { /* half of it known is nothing known */
                how.earlier_alone.rejected = how.earlier_by_reference.rejected = NULL;
                ica_score(w->m, w->other, w->ws, &pool, &w->holdout, &how, &second);
                CHECK(memcmp(first.score, second.score, N * sizeof(double)) == 0 &&
                          second.cost.flops == first.cost.flops,
                      "only the chosen answers known: other scores, or %.4g operations of %.4g",
                      second.cost.flops, first.cost.flops);
            }
            scores_free(&first);
            scores_free(&second);
        }
    double chosen[N], rejected[N]; /* DPO's reference pass is the base pass */
    ScoreOptions how = {.method = METHOD_ICA, .objective = OBJECTIVE_DPO, .k = 2};
    Scores s = {0};
    ica_answer_logps(w->m, w->ws, &pool, (Logps){chosen, rejected}, NULL);
    how.pool_reference.chosen = chosen;
    how.pool_reference.rejected = rejected;
    ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &s);
    CHECK(memcmp(s.alone.chosen, chosen, sizeof chosen) == 0 &&
              memcmp(s.alone.rejected, rejected, sizeof rejected) == 0,
          "DPO's reference log-likelihoods are not the base pass");
    scores_free(&s);
}

/* ---- shards ---- */

/* A shard's scores are those of the whole pool, also where demonstrations are drawn: as if those
 * before it had drawn theirs. */
static void test_shards(const World *w) {
    enum { SHARDS = 3, N = 100 };
    const DemoChoice choices[] = {DEMOS_NEAREST, DEMOS_RANDOM, DEMOS_SHUFFLED, DEMOS_FIXED};
    Examples pool = w->pool;
    Scores whole = {0}, part = {0};
    for (int c = 0; c < 4; c++)
        for (uint64_t seed = 0; seed < 3; seed++) {
            ScoreOptions how = {.method = METHOD_ICA, .k = K, .demos = choices[c], .seed = seed};
            pool.items = w->pool.items;
            pool.count = N;
            ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &whole);
            for (int shard = 0; shard < SHARDS; shard++) {
                how.first = N * shard / SHARDS;
                pool.items = w->pool.items + how.first;
                pool.count = N * (shard + 1) / SHARDS - how.first;
                ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &part);
                CHECK(memcmp(part.score, whole.score + how.first,
                             (size_t)pool.count * sizeof(double)) == 0,
                      "demonstrations %d, seed %d: shard %d of %d differs from the whole", c,
                      (int)seed, shard, SHARDS);
            }
        }
    scores_free(&whole);
    scores_free(&part);
}

/* ---- --contexts ---- */

static bool same_list(const Scores *s, int i, int j) {
    bool same = s->n_demos[i] == s->n_demos[j];
    for (int d = 0; same && d < s->n_demos[i]; d++)
        same = s->demos[i * s->k + d].prompt_of == s->demos[j * s->k + d].prompt_of;
    return same;
}

static int distinct_lists(const Scores *s) {
    int lists = 0;
    for (int i = 0; i < s->count; i++) {
        bool fresh = true;
        for (int j = 0; j < i && fresh; j++) fresh = !same_list(s, i, j);
        lists += fresh;
    }
    return lists;
}

static void test_contexts(const World *w) {
    ScoreOptions how = {.method = METHOD_INCONTEXT, .k = K, .seed = 5};
    Scores all = {0}, some = {0}, again = {0};
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &all);
    int before = 0;
    double tokens = 0;
    for (int contexts = 1; contexts <= 64; contexts *= 4) {
        how.contexts = contexts;
        ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &some);
        int lists = distinct_lists(&some), strangers = 0;
        CHECK(lists <= contexts && lists > before,
              "--contexts %d: %d lists, %d with a quarter of that", contexts, lists, before);
        for (int i = 0; i < some.count;
             i++) { /* every list is the nearest one of some candidate: the center */
            bool found = false;
            for (int j = 0; j < all.count && !found; j++) {
                found = some.n_demos[i] == all.n_demos[j];
                for (int d = 0; found && d < K; d++)
                    found = some.demos[i * K + d].prompt_of == all.demos[j * K + d].prompt_of;
            }
            strangers += !found;
        }
        CHECK(strangers == 0, "--contexts %d: %d lists are nobody's nearest", contexts, strangers);
        CHECK(some.cost.forward > tokens,
              "--contexts %d: %.0f tokens, with a quarter of the lists %.0f", contexts,
              some.cost.forward, tokens);
        before = lists;
        tokens = some.cost.forward;
    }
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &again);
    CHECK(memcmp(again.score, some.score, (size_t)some.count * sizeof(double)) == 0,
          "--contexts: not the same twice");
    how.contexts = w->pool.count;
    ica_score(w->m, NULL, w->ws, &w->pool, &w->holdout, &how, &some);
    CHECK(memcmp(all.score, some.score, (size_t)some.count * sizeof(double)) == 0,
          "a context for every prompt gives other scores");
    scores_free(&all);
    scores_free(&some);
    scores_free(&again);
}

/* Five prompts, each many times, five contexts: the clusters are the prompts, whatever is drawn
 * first, because there is no distance left in a prompt that has a center. Then every candidate is
 * shown its own nearest examples. */
static void test_contexts_are_clusters(const World *w) {
    enum { PROMPTS = 5, N = 60 };
    Example items[N];
    Examples pool = w->pool;
    pool.items = items;
    pool.count = N;
    for (int i = 0; i < N; i++) {
        const Example *like = &w->pool.items[i % PROMPTS];
        items[i] = w->pool.items[i];
        items[i].bare = like->bare;
        items[i].bare_n = like->bare_n;
    }
    Scores own = {0}, shared = {0};
    ScoreOptions how = {.method = METHOD_INCONTEXT, .k = K};
    for (how.seed = 0; how.seed < 10; how.seed++) {
        how.contexts = 0;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &own);
        how.contexts = PROMPTS;
        ica_score(w->m, NULL, w->ws, &pool, &w->holdout, &how, &shared);
        CHECK(memcmp(own.score, shared.score, N * sizeof(double)) == 0,
              "seed %d: a cluster is not a prompt", (int)how.seed);
    }
    scores_free(&own);
    scores_free(&shared);
}

/* A candidate of a cluster whose list holds its own prompt is shown another list. */
static void test_contexts_never_itself(const World *w) {
    Examples few = w->holdout;
    few.count = 12;
    Scores s = {0};
    for (int leak = 0; leak < 2; leak++) {
        ScoreOptions how = {
            .method = METHOD_INCONTEXT, .k = K, .contexts = 2, .allow_overlap = leak, .seed = 3};
        int itself = 0;
        ica_score(w->m, NULL, w->ws, &few, &few, &how, &s);
        for (int i = 0; i < few.count; i++) {
            CHECK(s.n_demos[i] == K, "%d demonstrations of %d", s.n_demos[i], K);
            for (int d = 0; d < s.n_demos[i]; d++)
                itself += s.demos[i * K + d].prompt_of == &few.items[i];
        }
        CHECK((itself > 0) == leak, "--contexts, leak %d: %d candidates see themselves", leak,
              itself);
    }
    scores_free(&s);
}

/* One fixed list for all: a candidate whose own prompt is in it is shown the rest of the list, and
 * nobody anything else. */
static void test_fixed_list(const World *w) {
    Scores s = {0};
    ScoreOptions how = {.method = METHOD_INCONTEXT, .k = K, .demos = DEMOS_FIXED, .seed = 4};
    const Example *list[K] = {NULL};
    int fewer = 0, strangers = 0;
    ica_score(w->m, NULL, w->ws, &w->holdout, &w->holdout, &how, &s);
    for (int i = 0; i < s.count; i++)
        for (int d = 0; s.n_demos[i] == K && d < K; d++) list[d] = s.demos[i * K + d].prompt_of;
    for (int i = 0; i < s.count; i++) {
        fewer += s.n_demos[i] == K - 1;
        for (int d = 0; d < s.n_demos[i]; d++) {
            bool known = false;
            for (int l = 0; l < K; l++) known = known || s.demos[i * K + d].prompt_of == list[l];
            strangers += !known || s.demos[i * K + d].prompt_of == &w->holdout.items[i];
        }
    }
    CHECK(fewer == K && strangers == 0,
          "a fixed list of %d: %d candidates see one less, %d see others", K, fewer, strangers);
    scores_free(&s);
}

int main(void) {
#ifdef _OPENMP
    omp_set_num_threads(1); /* small rows: waking threads would cost more than they save */
#endif
    World w = {
        .m = random_model(1, CONTEXT), .other = random_model(2, CONTEXT), .ws = workspace_new()};
    Rng rng = rng_new(3, 0);
    random_examples(&w.pool, &rng, 400, 30);
    random_examples(&w.holdout, &rng, 40, 30);
    for (int i = 0; i < 40; i += 5)
        w.pool.items[i].answer_n = w.holdout.items[i].answer_n = 1; /* answers of one token */
    test_cached_is_naive(&w);
    test_any_order(&w);
    test_pairs_share_prompts(&w);
    test_computed_earlier(&w);
    test_shards(&w);
    test_fixed_list(&w);
    test_contexts(&w);
    test_contexts_are_clusters(&w);
    test_contexts_never_itself(&w);
    world_free(&w);
    return check_report("test_scoring");
}
