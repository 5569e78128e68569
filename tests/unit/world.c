/* Random models and examples. */
#include "tests/unit/world.h"

#include <string.h>

const int BOS_ROW[1] = {BOS};

void world_free(World *w) {
    model_free(w->m);
    model_free(w->other);
    workspace_free(w->ws);
    arena_free(&w->pool.arena);
    arena_free(&w->holdout.arena);
}

Model *random_model(uint64_t seed, int context) {
    Error never = {0};
    Model *m = model_new(
        (ModelConfig){.layers = 2, .heads = 2, .channels = 32, .context = context, .vocab = VOCAB},
        &never);
    model_initialize(m, seed);
    Rng rng = rng_new(seed, 1000);
    for (int i = 0; i < m->tensor_count; i++)
        for (size_t j = 0; j < m->tensors[i].size; j++) {
            real *w = &m->w[m->tensors[i].offset + j];
            *w = m->tensors[i].rank == 2 ? *w * 8 : *w + (real)(0.1 * rng_normal(&rng));
        }
    return m;
}

void examples_begin(Examples *e, int count) {
    *e = (Examples){.count = count, .bos = BOS_ROW, .bos_n = 1};
    e->items = arena_new(&e->arena, (size_t)count, sizeof *e->items);
}

int *random_words(Arena *arena, Rng *rng, int n, int words) {
    int *v = arena_new(arena, (size_t)n, sizeof *v);
    for (int i = 0; i < n; i++) v[i] = WORD + rng_below(rng, words);
    return v;
}

static const int *random_answer(Arena *arena, Rng *rng, int n) {
    int *v = random_words(arena, rng, n, VOCAB - WORD);
    v[n - 1] = END;
    return v;
}

Example example_of(Arena *arena, Rng *rng, const int *bare, int bare_n, int answer_n,
                   int rejected_n) {
    int *prompt = arena_new(arena, (size_t)bare_n + 2, sizeof *prompt);
    prompt[0] = ASK;
    memcpy(prompt + 1, bare, (size_t)bare_n * sizeof *prompt);
    prompt[1 + bare_n] = REPLY;
    const int *answer = random_answer(arena, rng, answer_n),
              *rejected = rejected_n ? random_answer(arena, rng, rejected_n) : NULL;
    return (Example){.bare = bare,
                     .bare_n = bare_n,
                     .prompt = prompt,
                     .prompt_n = bare_n + 2,
                     .answer = answer,
                     .answer_n = answer_n,
                     .rejected = rejected,
                     .rejected_n = rejected_n};
}

Example random_example(Arena *arena, Rng *rng, int bare_n, int words, int answer_n,
                       int rejected_n) {
    const int *bare = random_words(arena, rng, bare_n, words);
    return example_of(arena, rng, bare, bare_n, answer_n, rejected_n);
}

void random_examples(Examples *e, Rng *rng, int count, int words) {
    examples_begin(e, count);
    for (int i = 0; i < count; i++) {
        int n = 2 + rng_below(rng, 5), answer_n = 2 + rng_below(rng, 4),
            rejected_n = 2 + rng_below(rng, 4);
        e->items[i] = random_example(&e->arena, rng, n, words, answer_n, rejected_n);
    }
}

/* Candidates about topics: those of one topic have the same prompt, hence the same nearest
 * demonstrations. One to five a topic.
 */
static void topic_examples(Examples *e, Rng *rng, int topics) {
    static const int members[6] = {1, 2, 3, 3, 4, 5};
    int count = 0, at = 0;
    for (int t = 0; t < topics; t++) count += members[t % 6];
    examples_begin(e, count);
    int *place = arena_new(&e->arena, (size_t)count, sizeof *place);
    for (int i = 0; i < count; i++) place[i] = i;
    rng_shuffle(rng, place, count);
    for (int t = 0; t < topics; t++) {
        int n = 2 + rng_below(rng, 5);
        const int *bare = random_words(&e->arena, rng, n, VOCAB - WORD);
        for (int i = 0; i < members[t % 6]; i++) {
            int answer_n = 2 + rng_below(rng, 4), rejected_n = 2 + rng_below(rng, 4);
            e->items[place[at++]] = example_of(&e->arena, rng, bare, n, answer_n, rejected_n);
        }
    }
}

World topic_world(uint64_t seed, int context) {
    World w = {.m = random_model(seed, context),
               .other = random_model(seed + 1, context),
               .ws = workspace_new()};
    Rng rng = rng_new(seed, 0);
    topic_examples(&w.pool, &rng, 56);
    random_examples(&w.holdout, &rng, 40, VOCAB - WORD);
    return w;
}

Examples first_of(const Examples *e, int n) {
    return (Examples){.count = n, .items = e->items, .bos = e->bos, .bos_n = e->bos_n};
}

/* ---- log-likelihoods by hand ---- */

void put_all(IntBuf *row, const int *v, int n) {
    for (int i = 0; i < n; i++) ints_put(row, v[i]);
}

double logp_by_hand(const Model *m, Workspace *ws, const Demo *demos, int n_demos, const Example *x,
                    bool rejected, int *hits) {
    IntBuf row = {0};
    Batch b = {0};
    double logp;
    int own_hits;
    ints_put(&row, BOS);
    for (int d = 0; d < n_demos; d++) {
        put_all(&row, demos[d].prompt_of->prompt, demos[d].prompt_of->prompt_n);
        put_all(&row, demos[d].answer_of->answer, demos[d].answer_of->answer_n);
    }
    put_all(&row, x->prompt, x->prompt_n);
    int first = row.n;
    put_all(&row, rejected ? x->rejected : x->answer, rejected ? x->rejected_n : x->answer_n);
    batch_row(&b, row.v, row.n, first, NULL);
    model_forward(m, ws, &b, false, &logp, hits ? hits : &own_hits);
    batch_free(&b);
    ints_free(&row);
    return logp;
}

double logp_alone(const Model *m, Workspace *ws, const Example *x) {
    return logp_by_hand(m, ws, NULL, 0, x, false, NULL);
}

double reduced(Reduce how, double logp, int tokens) {
    return how == REDUCE_MEAN ? logp / tokens : logp;
}

bool same_bits(double a, double b) { return memcmp(&a, &b, sizeof a) == 0; }
