/* embedding: vectors of prompts against the oracle, for every family, and the demonstrations that
 * they choose against a choice in plain loops [E6]. Vectors and choices have the same bits alone
 * and together, in parts, with any number of threads. */
#include "ica.h"
#include "lib/gemm.h"
#include "lib/threads.h"
#include "tests/reference/oracle.h"
#include "tests/unit/model_rows.h"
#include "tests/unit/world.h"

enum { HOLDOUT = 20, POOL = 12, K = 3, WORDS = 20 };

/* The model's numbers against the oracle's: the bound of test_model.c, of the largest. */
#define CLOSE (ROUNDINGS * U)

static Prompt prompt_of(const Example *x) {
    return (Prompt){{x->bare, x->bare_n}, {BOS_ROW, 1}, {x->prompt, x->prompt_n}};
}

/* A holdout with copies and with prompts that are asked twice, and a pool with some of these. */
static void random_sets(Rng *rng, Examples *holdout, Examples *pool) {
    random_examples(holdout, rng, HOLDOUT, WORDS);
    random_examples(pool, rng, POOL, WORDS);
    holdout->items[7] = holdout->items[2];
    for (int i = 11; i < 13; i++) {
        const Example *x = &holdout->items[i - 8];
        holdout->items[i] = example_of(&holdout->arena, rng, x->bare, x->bare_n, 3, 0);
    }
    pool->items[4] = holdout->items[5];
}

/* ---- vectors ---- */

/* A vector by the oracle's numbers: the sum over tokens, scaled to length 1. */
static void plain_vector(const Oracle *o, Embedding by, const Prompt *p, double *vector) {
    double square = 0;
    IntBuf row = {0};
    for (int c = 0; c < o->C; c++) vector[c] = 0;
    if (by == EMBEDDING_TOKENS) {
        for (int t = 0; t < p->bare.n; t++)
            for (int c = 0; c < o->C; c++)
                vector[c] += o->w.wte[p->bare.token[t] * o->C + c] / p->bare.n;
    } else if (p->prompt.n > 0) {
        put_all(&row, p->start.token, p->start.n);
        put_all(&row, p->prompt.token, p->prompt.n);
        OracleRun *run = oracle_run(o, row.v, row.n);
        for (int t = p->start.n; t < row.n; t++)
            for (int c = 0; c < o->C; c++) vector[c] += run->normed[t * o->C + c] / p->prompt.n;
        oracle_run_free(run);
    }
    for (int c = 0; c < o->C; c++) square += vector[c] * vector[c];
    for (int c = 0; c < o->C && square > 0; c++) vector[c] /= sqrt(square);
    ints_free(&row);
}

/* Every hidden state of two rows in one batch: what the head would read. */
static void test_hidden(const Model *m, const char *what) {
    Rng rng = rng_new(31, 0);
    Oracle *o = oracle_new(m);
    Workspace *ws = workspace_new();
    Batch b = {0};
    int C = m->shape.channels, token[2][20];
    for (int r = 0; r < 2; r++) {
        for (int i = 0; i < 20; i++) token[r][i] = rng_below(&rng, m->config.vocab);
        batch_row_inputs(&b, token[r], 20 - 7 * r, NULL);
    }
    const real *hidden = model_hidden(m, ws, &b);
    double most = 0, worst = 0;
    for (int r = 0; r < 2; r++) {
        OracleRun *run = oracle_run(o, token[r], 20 - 7 * r);
        for (int i = 0; i < (20 - 7 * r) * C; i++) {
            double error = fabs((double)hidden[b.start.v[r] * C + i] - run->normed[i]);
            if (!(error <= worst)) worst = error;
            most = fmax(most, fabs(run->normed[i]));
        }
        oracle_run_free(run);
    }
    CHECK(worst <= CLOSE * most, "%s: hidden states off by %.3g of %.3g", what, worst, most);
    batch_free(&b);
    workspace_free(ws);
    oracle_free(o);
}

/* [E6] Both embeddings against the oracle, alone and together, and what they cost. A vector sums
 * numbers that are each off by at most CLOSE of the largest; the sum of C such errors over the
 * length bounds the vector's. Lengths are above a tenth of the largest number here. */
static void test_vectors(const Model *m, const char *what) {
    Rng rng = rng_new(32, 0);
    Examples holdout, pool;
    random_sets(&rng, &holdout, &pool);
    Oracle *o = oracle_new(m);
    Workspace *ws = workspace_new();
    int C = m->shape.channels;
    size_t bytes = (size_t)C * sizeof(double);
    Prompt p[HOLDOUT];
    double *all = mem_new(HOLDOUT, bytes), *one = mem_new(1, bytes), *plain = mem_new(1, bytes);
    for (int i = 0; i < HOLDOUT; i++) p[i] = prompt_of(&holdout.items[i]);
    p[6] = (Prompt){.start = p[6].start}; /* no tokens: zeros */
    for (Embedding by = EMBEDDING_TOKENS; by < EMBEDDING_COUNT; by++) {
        Cost cost = {0};
        double tokens = 0, worst = 0;
        int other = 0, length = 0;
        embed_prompts(&(Embedder){by, m, ws, &cost, NULL}, p, HOLDOUT, all);
        for (int i = 0; i < HOLDOUT; i++) {
            const double *v = all + i * C;
            embed_prompts(&(Embedder){by, m, ws, NULL, NULL}, &p[i], 1, one);
            plain_vector(o, by, &p[i], plain);
            other += memcmp(one, v, bytes) != 0;
            length += fabs(vector_dot(v, v, C) - (i != 6)) > 1e-14;
            for (int c = 0; c < C; c++)
                if (!(fabs(v[c] - plain[c]) <= worst)) worst = fabs(v[c] - plain[c]);
            if (i != 6) tokens += 1 + p[i].prompt.n;
        }
        CHECK(worst <= 10 * C * CLOSE, "[E6] %s: %s off by %.3g", what, EMBEDDINGS[by].name, worst);
        CHECK(other == 0, "%s: %d vectors have other bits alone", what, other);
        CHECK(length == 0, "%s: %d vectors are not of length 1", what, length);
        CHECK(cost.forward == (by == EMBEDDING_HIDDEN ? tokens : 0) && cost.flops > 0,
              "%s: %s costs %g tokens", what, EMBEDDINGS[by].name, cost.forward);
    }
    free(all);
    free(one);
    free(plain);
    workspace_free(ws);
    oracle_free(o);
    arena_free(&holdout.arena);
    arena_free(&pool.arena);
}

/* The cost of one row of n tokens, by hand: all layers for all tokens, and no head. A multiply-add
 * is two operations. */
static void test_cost(const Model *m) {
    int token[] = {0, 5, 6, 7, 1}, n = 5;
    const LayerShape *s = &m->shape;
    Workspace *ws = workspace_new();
    double *vector = mem_new((size_t)s->channels, sizeof *vector), flops = 0;
    Cost cost = {0};
    Prompt p = {.start = {token, 1}, .prompt = {token + 1, 4}};
    embed_prompts(&(Embedder){EMBEDDING_HIDDEN, m, ws, &cost, NULL}, &p, 1, vector);
    flops += 2. * s->channels * s->qkv + 2. * s->queries * s->channels;
    flops += 2. * s->channels * (s->fc + s->inner) + 4. * s->queries * (n + 1) / 2.;
    flops *= (double)n * m->config.layers;
    CHECK(cost.forward == n && fabs(cost.flops - flops) < 1e-6 * flops, "cost %g, by hand %g",
          cost.flops, flops);
    free(vector);
    workspace_free(ws);
}

/* ---- choices ---- */

/* The k nearest by vectors of the oracle, the nearest last. Of cosines that differ by less than
 * 1e-9, as those of the same prompt do, the smaller index is nearer. */
static int plain_nearest(const double *like, double vector[][64], int C, const Examples *holdout,
                         const Example *x, int *nearest) {
    bool out[HOLDOUT] = {false};
    int best[K], n = 0;
    for (int h = 0; h < holdout->count; h++) out[h] = same_prompt(x, &holdout->items[h]);
    for (; n < K; n++) {
        int found = -1;
        double most = -2;
        for (int h = 0; h < holdout->count; h++) {
            double cosine = 0;
            for (int c = 0; c < C; c++) cosine += like[c] * vector[h][c];
            if (out[h] || cosine < most + 1e-9) continue;
            found = h, most = cosine;
        }
        if (found < 0) break;
        best[n] = found;
        for (int h = 0; h < holdout->count; h++)
            out[h] |= same_example(&holdout->items[h], &holdout->items[found]);
    }
    for (int i = 0; i < n; i++) nearest[i] = best[n - 1 - i];
    return n;
}

/* [E6] The demonstrations of every candidate, by ica_score: with the holdout's vectors kept or not,
 * and in parts of the pool. */
static void test_choice(const Model *m, const char *what) {
    Rng rng = rng_new(33, 0);
    Examples holdout, pool;
    random_sets(&rng, &holdout, &pool);
    Oracle *o = oracle_new(m);
    Workspace *ws = workspace_new();
    static double vector[HOLDOUT][64];
    for (Embedding by = EMBEDDING_TOKENS; by < EMBEDDING_COUNT; by++) {
        Vectors *kept = holdout_vectors(&holdout);
        int misses = 0, again = 0;
        for (int h = 0; h < HOLDOUT; h++) {
            Prompt p = prompt_of(&holdout.items[h]);
            plain_vector(o, by, &p, vector[h]);
        }
        ScoreOptions how = {.method = METHOD_INCONTEXT, .k = K, .embedding = by};
        Scores s = {0}, part = {0};
        ica_score(m, NULL, ws, &pool, &holdout, &how, &s);
        for (int i = 0; i < POOL; i++) {
            double like[64];
            int nearest[K];
            Prompt p = prompt_of(&pool.items[i]);
            plain_vector(o, by, &p, like);
            int n = plain_nearest(like, vector, o->C, &holdout, &pool.items[i], nearest);
            misses += n != s.n_demos[i];
            for (int d = 0; d < n; d++)
                misses += s.demos[i * K + d].prompt_of != &holdout.items[nearest[d]];
        }
        CHECK(misses == 0, "[E6] %s, %s: %d of %d demonstrations are others", what,
              EMBEDDINGS[by].name, misses, POOL * K);
        how.vectors = kept;
        for (int from = 0; from < POOL; from += 5) {
            Examples some = first_of(&pool, from + 5 < POOL ? 5 : POOL - from);
            some.items += from;
            ica_score(m, NULL, ws, &some, &holdout, &how, &part);
            for (int i = 0; i < some.count; i++)
                again += !same_bits(part.score[i], s.score[from + i]);
        }
        CHECK(again == 0, "%s: %d scores are others in parts", what, again);
        vectors_free(kept);
        scores_free(&s);
        scores_free(&part);
    }
    workspace_free(ws);
    oracle_free(o);
    arena_free(&holdout.arena);
    arena_free(&pool.arena);
}

/* [E6] By hand. The embeddings of tokens 4 and 5 are at right angles, that of 6 is between them,
 * and that of 7 points away from 4. The prompt "4 4 5" is 26.6 degrees from 4, 63.4 from 5, 18.4
 * from 6 and from "5 4 4" nothing: a permutation is as near as can be. Cosines of 6 and of "4 5"
 * are the same, so the one that stands first is nearer. */
static void test_by_hand(void) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 2, .context = 16, .vocab = 8};
    Model *m = model_new(shape, &err);
    static const real direction[4][2] = {{1, 0}, {0, 3}, {5, 5}, {-2, 0}};
    static const int a[] = {4}, b[] = {5}, c[] = {6}, d[] = {7}, e[] = {4, 5}, f[] = {5, 4, 4},
                     q[] = {4, 4, 5};
    Example item[6] = {{.bare = a, .bare_n = 1}, {.bare = b, .bare_n = 1},
                       {.bare = c, .bare_n = 1}, {.bare = d, .bare_n = 1},
                       {.bare = e, .bare_n = 2}, {.bare = f, .bare_n = 3}};
    for (int t = 0; t < 4; t++) memcpy(m->view.wte + 2 * (4 + t), direction[t], sizeof *direction);
    m->view.wte[2 * 5 + 1] = 1;
    Examples holdout = {.count = 6, .items = item, .bos = BOS_ROW, .bos_n = 1};
    Embedder by = {.by = EMBEDDING_TOKENS, .model = m};
    HoldoutIndex *index = holdout_index(&holdout, &by);
    Example x = {.bare = q, .bare_n = 3};
    int near[6], n = holdout_nearest(index, &x, 6, false, near);
    static const int want[] = {3, 1, 0, 4, 2, 5};
    CHECK(n == 6 && memcmp(near, want, sizeof want) == 0, "[E6] %d: %d %d %d %d %d %d", n, near[0],
          near[1], near[2], near[3], near[4], near[5]);
    x = item[5];
    CHECK(holdout_nearest(index, &x, 6, false, near) == 5 && near[4] == 2, "its own prompt");
    CHECK(holdout_nearest(index, &x, 6, true, near) == 6 && near[5] == 5, "the leak");
    holdout_index_free(index);
    model_free(m);
}

/* Each record of a holdout is embedded once, whoever asks: its check, by folds, and the pool. */
static void test_once(const Model *m) {
    Rng rng = rng_new(34, 0);
    Examples holdout, pool;
    random_sets(&rng, &holdout, &pool);
    Workspace *ws = workspace_new();
    Cost cost = {0};
    Embedder by = {EMBEDDING_HIDDEN, m, ws, &cost, holdout_vectors(&holdout)};
    double own = 0, pools = 0;
    for (int i = 0; i < HOLDOUT; i++) own += 1 + holdout.items[i].prompt_n;
    for (int i = 0; i < POOL; i++) pools += i == 4 ? 0 : 1 + pool.items[i].prompt_n;
    HoldoutIndex *index = holdout_index(&holdout, &by);
    int near[K];
    holdout_index_expect(index, &pool, false);
    CHECK(cost.forward == 0, "%g tokens before anybody asks", cost.forward);
    for (int i = 0; i < HOLDOUT; i++) holdout_nearest(index, &holdout.items[i], K, false, near);
    CHECK(cost.forward == own, "%g tokens for the holdout, which has %g", cost.forward, own);
    for (int i = 0; i < POOL; i++) holdout_nearest(index, &pool.items[i], K, false, near);
    pools += 1 + pool.items[4].prompt_n; /* it stands in the window with the others */
    CHECK(cost.forward == own + pools, "%g tokens, and the pool has %g", cost.forward, pools);
    holdout_index_free(index);
    vectors_free(by.kept);
    vectors_free(NULL);
    workspace_free(ws);
    arena_free(&holdout.arena);
    arena_free(&pool.arena);
}

/* With one cluster all candidates have the list of one of them; with as many as candidates, their
 * own. Candidates with a prompt of the holdout have another one. */
static void test_clusters(const Model *m) {
    Rng rng = rng_new(35, 0);
    Examples holdout, pool;
    random_sets(&rng, &holdout, &pool);
    pool.items[4] = pool.items[3];
    Workspace *ws = workspace_new();
    for (Embedding by = EMBEDDING_TOKENS; by < EMBEDDING_COUNT; by++) {
        ScoreOptions how = {.method = METHOD_INCONTEXT, .k = K, .embedding = by};
        Scores own = {0}, s = {0};
        int other = 0, lists = 0;
        ica_score(m, NULL, ws, &pool, &holdout, &how, &own);
        how.contexts = 1;
        ica_score(m, NULL, ws, &pool, &holdout, &how, &s);
        for (int i = 0; i < POOL * K; i++)
            other += s.demos[i].prompt_of != s.demos[i % K].prompt_of;
        for (int i = 0; i < POOL; i++) {
            int alike = 0;
            for (int d = 0; d < K; d++)
                alike += s.demos[d].prompt_of == own.demos[i * K + d].prompt_of;
            lists += alike == K;
        }
        CHECK(other == 0 && lists > 0, "one cluster: %d other demonstrations, %d lists", other,
              lists);
        how.contexts = POOL;
        ica_score(m, NULL, ws, &pool, &holdout, &how, &s);
        for (int i = 0; i < POOL; i++) other += !same_bits(s.score[i], own.score[i]);
        CHECK(other == 0, "as many clusters as candidates: %d scores are others", other);
        scores_free(&own);
        scores_free(&s);
    }
    workspace_free(ws);
    arena_free(&holdout.arena);
    arena_free(&pool.arena);
}

/* Vectors of a model may point away from each other, which those of TF-IDF never do. They still
 * have the one center, whichever is drawn. */
static void test_opposite(void) {
    static const double vector[3][2] = {{1, 0}, {-1, 0}, {0, 1}};
    VectorSet set = {vector[0], 2};
    int center[3];
    for (uint64_t seed = 0; seed < 20; seed++) {
        Rng rng = rng_new(seed, 0);
        centers_choose(3, vectors_cosine, &set, 1, &rng, center, NULL);
        CHECK(center[0] == center[1] && center[1] == center[2], "one cluster: %d %d %d", center[0],
              center[1], center[2]);
    }
}

/* A model that gives no numbers is noticed by its scores, so demonstrations must not be lost. */
static void test_broken(void) {
    Rng rng = rng_new(36, 0);
    Examples holdout, pool;
    random_sets(&rng, &holdout, &pool);
    Model *m = random_model(5, 64);
    Workspace *ws = workspace_new();
    for (size_t i = 0; i < m->parameters; i++) m->w[i] = (real)NAN;
    for (Embedding by = EMBEDDING_TOKENS; by < EMBEDDING_COUNT; by++) {
        ScoreOptions how = {.method = METHOD_ICA, .k = K, .embedding = by};
        Scores s = {0};
        ica_score(m, NULL, ws, &pool, &holdout, &how, &s);
        CHECK(s.broken == 0 && s.n_unshown == 0 && s.demos[K - 1].prompt_of == holdout.items,
              "broken %d, %d without demonstrations", s.broken, s.n_unshown);
        scores_free(&s);
    }
    model_free(m);
    workspace_free(ws);
    arena_free(&holdout.arena);
    arena_free(&pool.arena);
}

/* ---- kinds of models ---- */

/* Adapters change what the model says: hidden states are those of the merged model, the token
 * embeddings those of the base. */
static void test_adapters(const Model *base) {
    Error err = {0};
    LoraConfig lora = {.rank = 2, .alpha = 4, .targets = ~0u};
    Model *m = model_lora(base, lora, &err), *merged = model_copy(base);
    CHECK(m, "%s", err.text);
    Rng rng = rng_new(37, 0);
    for (size_t i = 0; i < m->parameters; i++) m->w[i] = (real)(0.3 * rng_normal(&rng));
    model_merge(m, merged);
    int token[] = {0, 5, 6, 7, 1}, C = base->shape.channels;
    Prompt p = {{token + 1, 3}, {token, 1}, {token + 1, 4}};
    Workspace *ws = workspace_new();
    double v[3][64];
    for (Embedding by = EMBEDDING_TOKENS; by < EMBEDDING_COUNT; by++) {
        const Model *models[] = {m, merged, base};
        double apart = 0, moved = 0;
        for (int i = 0; i < 3; i++)
            embed_prompts(&(Embedder){by, models[i], ws, NULL, NULL}, &p, 1, v[i]);
        for (int c = 0; c < C; c++) {
            apart = fmax(apart, fabs(v[0][c] - v[1][c]));
            moved = fmax(moved, fabs(v[0][c] - v[2][c]));
        }
        CHECK(apart <= 10 * C * CLOSE, "adapters and merged: %s apart by %g", EMBEDDINGS[by].name,
              apart);
        CHECK(by == EMBEDDING_TOKENS ? moved == 0 : moved > 1e-3, "%s moved by %g",
              EMBEDDINGS[by].name, moved);
    }
    model_free(m);
    model_free(merged);
    workspace_free(ws);
}

/* A base in bfloat16 has the token embeddings of the same numbers as real ones. */
static void test_half(void) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 4, .context = 16, .vocab = 8};
    Model *half = model_shape(shape, &err), *real_one = model_new(shape, &err);
    model_allocate_frozen(half);
    uint16_t *to = (uint16_t *)half->view.wte_half;
    for (int i = 0; i < 8 * 4; i++) {
        uint16_t bits = (uint16_t)(0x3f80 + 37 * i); /* numbers from 1 on */
        if (to) to[i] = bits;
        else half->view.wte[i] = real_of_bf16(bits);
        real_one->view.wte[i] = real_of_bf16(bits);
    }
    int token[] = {5, 6, 7};
    Prompt p = {.bare = {token, 3}};
    double v[2][4];
    embed_prompts(&(Embedder){EMBEDDING_TOKENS, half, NULL, NULL, NULL}, &p, 1, v[0]);
    embed_prompts(&(Embedder){EMBEDDING_TOKENS, real_one, NULL, NULL, NULL}, &p, 1, v[1]);
    CHECK(same(v[0], v[1], sizeof v[0]) && v[0][0] != 0, "bfloat16: %g, real %g", v[0][0], v[1][0]);
    model_free(half);
    model_free(real_one);
}

/* ---- threads ---- */

/* The same bits for 1, 2 and 5 threads, of a model whose loops are long enough to be shared. */
static void test_threads(void) {
    enum { N = 80, LONG = 40 };
    static double v[3][N * 96];
    static int token[N][LONG];
    static const int threads[] = {1, 2, 5};
    Rng rng = rng_new(38, 0);
    Model *m = model_shaken(WIDE, 9);
    Workspace *ws = workspace_new();
    Prompt p[N];
    for (int i = 0; i < N; i++) {
        for (int t = 0; t < LONG; t++) token[i][t] = rng_below(&rng, WIDE.vocab);
        p[i] = (Prompt){{token[i] + 2, LONG - 2}, {token[i], 1}, {token[i] + 1, LONG - 1}};
    }
    for (int n = 0; n < 3; n++) {
        threads_use(threads[n]);
        embed_prompts(&(Embedder){EMBEDDING_HIDDEN, m, ws, NULL, NULL}, p, N, v[n]);
        CHECK(same(v[n], v[0], sizeof v[0]), "%d threads: other bits", threads[n]);
    }
    threads_use(1);
    model_free(m);
    workspace_free(ws);
}

int main(void) {
    static const char *const names[] = {"gpt2", "llama", "llama 3", "qwen2", "qwen3"};
    _Static_assert(sizeof names / sizeof *names == FAMILY_MODELS, "a name each");
    for (int i = 0; i < FAMILY_MODELS; i++) {
        Model *m = model_shaken(FAMILIES[i], 3);
        test_hidden(m, names[i]);
        test_vectors(m, names[i]);
        test_cost(m);
        test_choice(m, names[i]);
        test_adapters(m);
        test_clusters(m);
        model_free(m);
    }
    Model *m = random_model(4, 64);
    test_once(m);
    model_free(m);
    test_by_hand();
    test_opposite();
    test_broken();
    test_half();
    test_threads();
    return check_report("test_embedding");
}
