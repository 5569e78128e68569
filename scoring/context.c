/* What the model is shown: rows, and the context C(x) of a candidate x (E6).
 *
 * Two rules protect the method. An example with the candidate's own prompt may not be shown,
 * because the candidate's answer would then stand in its own context and every score would look
 * good. And no example is shown twice, because a copy of it says nothing new: a holdout may well
 * have the same line many times. Both rules look at texts with white space and case folded, so that
 * a blank more or less does not pass for another prompt. Only allow_overlap breaks the first one,
 * to measure how much the leak is worth. */
#include "scoring/context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/stats.h"

/* ---- the same example ---- */

/* The bytes that are compared: a text, or without one the token ids. */
static Str identity(Str text, const int *tokens, int n) {
    return text.s ? text : (Str){(const char *)tokens, (size_t)n * sizeof *tokens};
}

static int compare_bytes(Str a, Str b) {
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.s, b.s, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static Str prompt_identity(const Example *e) {
    return identity(e->prompt_text, e->bare, e->bare_n);
}

static Str answer_identity(const Example *e) {
    return identity(e->answer_text, e->answer, e->answer_n);
}

bool same_prompt(const Example *a, const Example *b) {
    return str_equal(prompt_identity(a), prompt_identity(b));
}

static bool same_answer(const Example *a, const Example *b) {
    return str_equal(answer_identity(a), answer_identity(b));
}

bool same_example(const Example *a, const Example *b) {
    return same_prompt(a, b) && same_answer(a, b);
}

int example_compare(const Example *a, const Example *b) {
    int c = compare_bytes(prompt_identity(a), prompt_identity(b));
    return c ? c : compare_bytes(answer_identity(a), answer_identity(b));
}

static Str tokens_of(const int *tokens, int n) { return identity((Str){0}, tokens, n); }

int example_compare_tokens(const Example *a, const Example *b) {
    int c = compare_bytes(tokens_of(a->prompt, a->prompt_n), tokens_of(b->prompt, b->prompt_n));
    return c ? c
             : compare_bytes(tokens_of(a->answer, a->answer_n), tokens_of(b->answer, b->answer_n));
}

uint64_t example_hash(const Example *e, uint64_t seed, bool answer) {
    Str x = prompt_identity(e), y = answer_identity(e);
    uint64_t hash = hash64(x.s, x.n, hash64(&seed, sizeof seed, HASH_START));
    return answer ? hash64(y.s, y.n, hash) : hash;
}

/* ---- rows ----
 *
 * What the model reads is a row of token ids. Prompts are inside the template, answers end with the
 * end token, and a demonstration looks exactly like the candidate after it:
 *
 *   bos | prompt 1 | answer 1 | ... | prompt k | answer k | prompt x | answer y
 *       '---- farthest -----'       '----- nearest -----'            '-- scored
 *
 * A chat model may be shown them as text in the user's own turn instead:
 *
 *   bos | opening of x's turn | text 1 | ... | text k | the rest of x's turn | answer y
 *
 * The system turn belongs to bos: it stands once, first, in both. It is the candidate's; a
 * demonstration's own is not shown. With no demonstrations either is the row of plain training. So
 * both sides of every difference in ica.c have the same template. These functions are the only ones
 * that know the order of a row. */

const DemosAsInfo DEMOS_AS[] = {
    [DEMOS_AS_TURNS] = {"turns", "earlier turns of the conversation"},
    [DEMOS_AS_TEXT] = {"text", "text in the user's turn, before the prompt"}};
_Static_assert(sizeof DEMOS_AS / sizeof *DEMOS_AS == DEMOS_AS_COUNT, "a row each");

/* How many of the answer's tokens are shown as text: all before its end. One that was cut has no
 * end. */
static int told_answer(const DemoFrame *f, const Example *a) {
    int n = a->answer_n - f->end_n;
    bool ended = n >= 0 && memcmp(a->answer + n, f->end, (size_t)f->end_n * sizeof *f->end) == 0;
    return ended ? n : a->answer_n;
}

static void put_demo(const DemoFrame *f, const Demo *d, IntBuf *tokens) {
    const Example *x = d->prompt_of, *a = d->answer_of;
    if (f->as == DEMOS_AS_TEXT) {
        ints_append(tokens, x->told, x->told_n);
        ints_append(tokens, f->gap, f->gap_n);
        ints_append(tokens, a->answer, told_answer(f, a));
    } else {
        ints_append(tokens, x->prompt, x->prompt_n);
        ints_append(tokens, a->answer, a->answer_n);
    }
    ints_append(tokens, f->after, f->after_n);
}

static int demo_length(const DemoFrame *f, const Demo *d) {
    const Example *x = d->prompt_of, *a = d->answer_of;
    if (f->as == DEMOS_AS_TEXT) return x->told_n + f->gap_n + told_answer(f, a) + f->after_n;
    return x->prompt_n + a->answer_n + f->after_n;
}

int query_row(const Examples *set, const Query *q, IntBuf *tokens) {
    const Example *x = q->x;
    int start = tokens->n;
    if (x->start) ints_append(tokens, x->start, x->start_n);
    else ints_append(tokens, set->bos, set->bos_n);
    ints_append(tokens, x->prompt, x->insert);
    for (int i = 0; i < q->n_demos; i++) put_demo(&set->frame, &q->demos[i], tokens);
    ints_append(tokens, x->prompt + x->insert, x->prompt_n - x->insert);
    int first = tokens->n - start;
    if (q->rejected) ints_append(tokens, x->rejected, x->rejected_n);
    else ints_append(tokens, x->answer, x->answer_n);
    return first;
}

int query_length(const Examples *set, const Query *q) {
    const Example *x = q->x;
    int length = (x->start ? x->start_n : set->bos_n) + x->prompt_n;
    for (int i = 0; i < q->n_demos; i++) length += demo_length(&set->frame, &q->demos[i]);
    return length + (q->rejected ? x->rejected_n : x->answer_n);
}

int query_fit(const Examples *set, int room, Query *q, Demo *demos) {
    /* `more` is what the longer answer adds. A row's last token is only predicted: no room. */
    int dropped = 0, own = q->rejected ? q->x->rejected_n : q->x->answer_n;
    int more = (q->x->answer_n > q->x->rejected_n ? q->x->answer_n : q->x->rejected_n) - own;
    for (; q->n_demos > 0 && query_length(set, q) + more - 1 > room; dropped++)
        memmove(demos, demos + 1, (size_t)--q->n_demos * sizeof *demos);
    return dropped;
}

/* ---- the index ----
 *
 * Retrieval compares prompts by their cosine. TF-IDF reads bare prompts: tokens without the
 * template, which all prompts have in common. A model makes vectors (scoring/embedding.c): those of
 * the holdout are kept, those of a pool are made a window at a time, because a pool may be larger
 * than memory. Copies of an example form a group, named by its first member, and a list takes at
 * most one of a group. */

/* The vectors of the examples from..to-1. */
typedef struct {
    const Example *from, *to;
    double *vector; /* [to - from][channels] */
} Window;

struct HoldoutIndex {
    const Examples *holdout;
    Embedder by;
    int channels;          /* of a vector; 0: TF-IDF */
    Tfidf *tfidf;          /* NULL with a model */
    int *group;            /* [holdout count] the first example that is the same as this one */
    Vectors *own;          /* what by.kept would be, if that is NULL */
    const double **shown;  /* [holdout count] each one's vector; NULL before it is asked for */
    const Examples *asked; /* the pool, or NULL */
    bool all;              /* the window is the entire pool */
    Window window;
};

static Document document_of(const Example *x) { return (Document){x->bare, x->bare_n}; }

static Prompt prompt_of(const Examples *set, const Example *x) {
    Document start = {x->start ? x->start : set->bos, x->start ? x->start_n : set->bos_n};
    return (Prompt){document_of(x), start, {x->prompt, x->prompt_n}};
}

/* The prompts of n examples; free() the list. */
static Prompt *prompts_of(const Examples *set, const Example *items, int n) {
    Prompt *prompt = mem_new((size_t)n, sizeof *prompt);
    for (int i = 0; i < n; i++) prompt[i] = prompt_of(set, &items[i]);
    return prompt;
}

Vectors *holdout_vectors(const Examples *holdout) {
    Prompt *prompt = prompts_of(holdout, holdout->items, holdout->count);
    Vectors *v = vectors_new(prompt, holdout->count);
    free(prompt);
    return v;
}

static Tfidf *tfidf_of(const Examples *set) {
    Document *d = mem_new((size_t)set->count, sizeof *d);
    for (int i = 0; i < set->count; i++) d[i] = document_of(&set->items[i]);
    Tfidf *index = tfidf_new(d, set->count);
    free(d);
    return index;
}

/* By example, then by place in the set. */
static int compare_places(const void *a, const void *b) {
    const Example *x = *(const Example *const *)a, *y = *(const Example *const *)b;
    int c = example_compare(x, y);
    return c ? c : (x > y) - (x < y);
}

HoldoutIndex *holdout_index(const Examples *holdout, const Embedder *by) {
    size_t n = (size_t)holdout->count;
    HoldoutIndex *index = mem_new(1, sizeof *index);
    *index = (HoldoutIndex){.holdout = holdout, .group = mem_new(n, sizeof(int))};
    if (by) index->by = *by;
    if (index->by.by == EMBEDDING_TFIDF) index->tfidf = tfidf_of(holdout);
    else index->channels = by->model->shape.channels;

    /* Sort the examples so that copies are neighbors, the first one in front. */
    const Example **sorted = mem_new(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++) sorted[i] = &holdout->items[i];
    qsort(sorted, n, sizeof *sorted, compare_places);
    for (size_t i = 0, from = 0; i < n; i++) {
        if (!same_example(sorted[i], sorted[from])) from = i;
        index->group[sorted[i] - holdout->items] = (int)(sorted[from] - holdout->items);
    }
    free(sorted);
    return index;
}

void holdout_index_free(HoldoutIndex *index) {
    if (!index) return;
    tfidf_free(index->tfidf);
    vectors_free(index->own);
    free(index->shown);
    free(index->window.vector);
    free(index->group);
    free(index);
}

void holdout_index_expect(HoldoutIndex *index, const Examples *pool, bool all) {
    index->asked = pool;
    index->all = all;
}

/* Moves the window to x and, if it is of the pool, to what follows it there: about a batch. */
static void window_move(HoldoutIndex *index, const Example *x) {
    const Examples *pool = index->asked;
    Window *w = &index->window;
    bool listed = pool && x >= pool->items && x < pool->items + pool->count;
    const Example *end = listed ? pool->items + pool->count : x + 1;
    w->from = listed && index->all ? pool->items : x;
    w->to = w->from + 1;
    for (int tokens = x->prompt_n; w->to < end && (index->all || tokens < SHARE_TOKENS); w->to++)
        tokens += w->to->prompt_n;
    int n = (int)(w->to - w->from);
    Prompt *prompt = prompts_of(index->holdout, w->from, n);
    free(w->vector);
    w->vector = mem_new(mem_mul((size_t)n, (size_t)index->channels), sizeof *w->vector);
    embed_prompts(&index->by, prompt, n, w->vector);
    free(prompt);
}

/* The vector of any example: one of the holdout, or in the window. */
static const double *vector_of(HoldoutIndex *index, const Example *x) {
    const Window *w = &index->window;
    Prompt prompt = prompt_of(index->holdout, x);
    const double *found = vectors_find(index->by.kept, &index->by, &prompt);
    if (found) return found;
    if (!w->vector || x < w->from || x >= w->to) window_move(index, x);
    return w->vector + (size_t)(x - w->from) * (size_t)index->channels;
}

/* Looks up the vectors of the holdout, which are made now unless they are kept. */
static void find_shown(HoldoutIndex *index) {
    const Examples *holdout = index->holdout;
    if (!index->by.kept) index->by.kept = index->own = holdout_vectors(holdout);
    index->shown = mem_new((size_t)holdout->count, sizeof *index->shown);
    for (int h = 0; h < holdout->count; h++) {
        Prompt prompt = prompt_of(holdout, &holdout->items[h]);
        index->shown[h] = vectors_find(index->by.kept, &index->by, &prompt);
    }
}

/* cosine[holdout count]: of x with each example. */
static void find_cosines(HoldoutIndex *index, const Example *x, double *cosine) {
    if (index->tfidf) {
        tfidf_cosines(index->tfidf, document_of(x), cosine);
        return;
    }
    if (!index->shown) find_shown(index);
    const double *asked = vector_of(index, x);
    int n = index->holdout->count, C = index->channels;
    for (int h = 0; h < n; h++) cosine[h] = vector_dot(asked, index->shown[h], C);
    if (index->by.cost) index->by.cost->flops += 2.0 * C * n;
}

/* [E6] C(x): the k examples of the holdout whose prompts have the largest cosine with x's prompt,
 * the nearest last. `like` stands for x: it is x, or the center of its cluster. On a tie the
 * smaller index is nearer. Without overlap neither x's prompt nor that of `like` is among them, and
 * of copies only the nearer one is. */
static int nearest_to(HoldoutIndex *index, const Example *like, const Example *x, int k,
                      bool allow_overlap, int *nearest) {
    int n = index->holdout->count, found;
    double *cosine = mem_new((size_t)n, sizeof *cosine);
    int *best = mem_new((size_t)n, sizeof *best); /* of each group, plus 1; 0: none */
    find_cosines(index, like, cosine);
    for (int h = 0; h < n; h++) {
        const Example *shown = &index->holdout->items[h];
        bool own = !allow_overlap && (same_prompt(shown, x) || same_prompt(shown, like));
        /* In float, cosines that are equal in exact arithmetic stay equal, whatever the order of
         * their sums. */
        cosine[h] = own ? NAN : (float)cosine[h];
        if (own) continue;
        /* Of the group, keep the nearer one of this example and the best so far. */
        int *kept = &best[index->group[h]], other = *kept - 1;
        bool nearer = other < 0 || cosine[h] > cosine[other];
        if (other >= 0) cosine[nearer ? other : h] = NAN;
        if (nearer) *kept = h + 1;
    }
    found = largest(cosine, n, k, nearest);
    for (int i = 0; i < found / 2; i++) {
        int swapped = nearest[i];
        nearest[i] = nearest[found - 1 - i];
        nearest[found - 1 - i] = swapped;
    }
    free(best);
    free(cosine);
    return found;
}

/* ---- clusters ---- */

static double tfidf_alike(const void *vectors, int a, int b) {
    const TfidfVector *v = vectors;
    return tfidf_cosine(&v[a], &v[b]);
}

/* The center of every candidate's cluster. */
static void find_centers(HoldoutIndex *index, const Examples *pool, const ContextOptions *how,
                         int *center) {
    Arena arena = {0};
    Rng rng = rng_new(how->seed, RNG_CENTERS);
    int n = pool->count;
    progress_part(how->progress, "clusters");
    if (index->tfidf) {
        TfidfVector *v = arena_new(&arena, (size_t)n, sizeof *v);
        for (int i = 0; i < n; i++)
            v[i] = tfidf_vector(index->tfidf, document_of(&pool->items[i]), &arena);
        centers_choose(n, tfidf_alike, v, how->clusters, &rng, center, how->progress);
    } else if (n > 0) {
        holdout_index_expect(index, pool, true);
        window_move(index, pool->items);
        VectorSet all = {index->window.vector, index->channels};
        centers_choose(n, vectors_cosine, &all, how->clusters, &rng, center, how->progress);
    }
    arena_free(&arena);
}

int holdout_nearest(HoldoutIndex *index, const Example *x, int k, bool allow_overlap,
                    int *nearest) {
    return nearest_to(index, x, x, k, allow_overlap, nearest);
}

int holdout_distinct(const HoldoutIndex *index, int *order, int k) {
    int n = index->holdout->count, found = 0;
    bool *seen = mem_new((size_t)n, sizeof *seen);
    for (int i = 0; i < n && found < k; i++) {
        bool *copy = &seen[index->group[order[i]]];
        if (!*copy) order[found++] = order[i];
        *copy = true;
    }
    free(seen);
    return found;
}

/* ---- demonstrations ----
 *
 * C(x) is a list of at most k holdout examples for the candidate x. The nearest comes last, next to
 * the candidate. */

/* What one way to choose demonstrations may look at. */
struct DemoChooser {
    const Examples *holdout;
    HoldoutIndex *index;
    const ContextOptions *how;
    const Example
        *like;  /* stands for the candidate in retrieval: itself, or its cluster's center */
    int *list;  /* [k] scratch */
    int *fixed; /* [n_fixed] distinct examples in one random order, the same for all candidates */
    int n_fixed;
    Rng rng;
};

/* May x be shown this example? */
static bool eligible(const DemoChooser *c, const Example *x, const Example *shown) {
    return c->how->allow_overlap || !same_prompt(x, shown);
}

/* Is the demonstration, prompt and answer, one of these? */
static bool shown_already(const Demo *demos, int n, Demo d) {
    for (int i = 0; i < n; i++)
        if (same_prompt(demos[i].prompt_of, d.prompt_of) &&
            same_answer(demos[i].answer_of, d.answer_of))
            return true;
    return false;
}

/* The k nearest, the nearest last: the method itself. If all that is near a cluster's center is the
 * center's own prompt, the candidate itself is asked. */
static int demos_nearest(DemoChooser *c, const Example *x, Demo *demos) {
    bool overlap = c->how->allow_overlap;
    int n = nearest_to(c->index, c->like, x, c->how->k, overlap, c->list);
    if (n == 0 && c->like != x) n = nearest_to(c->index, x, x, c->how->k, overlap, c->list);
    for (int i = 0; i < n; i++)
        demos[i].prompt_of = demos[i].answer_of = &c->holdout->items[c->list[i]];
    return n;
}

/* k distinct ones drawn for this candidate. A small holdout may have fewer, so tries are limited.
 */
static int demos_random(DemoChooser *c, const Example *x, Demo *demos) {
    int n = 0, k = c->how->k;
    for (int tries = 0; n < k && tries < 100 * (k + 1); tries++) {
        const Example *drawn = &c->holdout->items[rng_below(&c->rng, c->holdout->count)];
        Demo d = {drawn, drawn};
        if (eligible(c, x, drawn) && !shown_already(demos, n, d)) demos[n++] = d;
    }
    return n;
}

/* The first k of one random order. A candidate that would see its own prompt is shown the rest. */
static int demos_fixed(DemoChooser *c, const Example *x, Demo *demos) {
    int n = 0;
    for (int i = 0; i < c->n_fixed; i++) {
        const Example *listed = &c->holdout->items[c->fixed[i]];
        if (eligible(c, x, listed)) demos[n++] = (Demo){listed, listed};
    }
    return n;
}

/* The control: the nearest prompts, each with the answer to another prompt. Where all answers are
 * alike there is no other one, so tries are limited. */
static int demos_shuffled(DemoChooser *c, const Example *x, Demo *demos) {
    int n = demos_nearest(c, x, demos);
    for (int i = 0; i < n; i++)
        for (int tries = 0; tries < 100 && demos[i].answer_of == demos[i].prompt_of; tries++) {
            const Example *other = &c->holdout->items[rng_below(&c->rng, c->holdout->count)];
            Demo d = {demos[i].prompt_of, other};
            if (!same_prompt(other, d.prompt_of) && !same_answer(other, d.prompt_of) &&
                eligible(c, x, other) && !shown_already(demos, i, d))
                demos[i] = d;
        }
    return n;
}

/* clang-format off */
const DemoInfo DEMO_CHOICES[] = {
    /* name, help,                                                by_nearness, drawn, choose */
    [DEMOS_NEAREST] = {"nearest", "the k of most similar prompts", true, false, demos_nearest},
    [DEMOS_RANDOM] = {"random", "k drawn for each candidate", false, true, demos_random},
    [DEMOS_FIXED] = {"fixed", "the same k for all candidates", false, false, demos_fixed},
    [DEMOS_SHUFFLED] = {"shuffled", "those, with answers of others", false, true, demos_shuffled},
};
/* clang-format on */
_Static_assert(sizeof DEMO_CHOICES / sizeof *DEMO_CHOICES == DEMO_COUNT, "a row each");

int contexts_choose(const Examples *pool, const Examples *holdout, const ContextOptions *how,
                    Demo *demos, int *n_demos) {
    int n = pool->count, dropped = 0, *center = mem_new((size_t)n, sizeof *center);
    DemoChooser c = {.holdout = holdout, .index = holdout_index(holdout, &how->embed), .how = how};
    c.rng = rng_new(how->seed, RNG_DEMOS);
    c.list = mem_new((size_t)how->k + 1, sizeof *c.list);
    c.fixed = rng_order(&c.rng, holdout->count);
    c.n_fixed = holdout_distinct(c.index, c.fixed, how->k);

    /* With clusters, candidates of one share what is nearest to its center. */
    holdout_index_expect(c.index, pool, false);
    for (int i = 0; i < n; i++) center[i] = i;
    if (how->clusters > 0) find_centers(c.index, pool, how, center);

    /* Choose. If the pool is a part of a larger one, i starts below 0: the candidates before it
     * draw their random numbers, and what they draw is thrown away. */
    int start = DEMO_CHOICES[how->demos].drawn ? -how->first : 0;
    progress_part(how->progress, "the choice of demonstrations");
    progress_begin(how->progress, n - start);
    for (int i = start; i < n; i++, progress_add(how->progress, 1)) {
        Demo *mine = demos + (size_t)(i < 0 ? 0 : i) * (size_t)how->k;
        Query q = {.demos = mine, .x = &pool->items[i]};
        c.like = &pool->items[i < 0 ? i : center[i]];
        q.n_demos = DEMO_CHOICES[how->demos].choose(&c, q.x, mine);
        if (i < 0) continue;
        dropped += query_fit(pool, how->room, &q, mine);
        n_demos[i] = q.n_demos;
    }
    holdout_index_free(c.index);
    free(c.list);
    free(c.fixed);
    free(center);
    return dropped;
}
