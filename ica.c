/* In-Context Approximation. Read from top to bottom: which demonstrations; how log-likelihoods in contexts are computed; what a
 * score is; what weight it becomes; what loss it weighs; how to judge it. */
#include "ica.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- tables of choices ---- */

const MethodInfo METHODS[] = {
    [METHOD_ICA] = {.name = "ica", .help = "in-context approximation: the gain of the answer's log-likelihood by demonstrations",
                    .needs_holdout = true, .needs_alone = true, .needs_k = true},
    [METHOD_RHO] = {.name = "rho", .help = "RHO-Loss: its gain by training a reference model on the holdout",
                    .needs_holdout = true, .needs_alone = true, .needs_reference = true},
    [METHOD_ONESHOT] = {.name = "oneshot", .help = "the mean gain of holdout answers after the candidate", .needs_holdout = true,
                        .needs_anchors = true},
    [METHOD_NUGGETS] = {.name = "nuggets", .help = "the share of holdout answers that gain", .needs_holdout = true, .needs_anchors = true},
    [METHOD_GRADIENT] = {.name = "gradient", .help = "the inner product of the candidate's gradient and the holdout's", .needs_holdout = true,
                         .needs_gradients = true},
    [METHOD_INCONTEXT] = {.name = "incontext", .help = "the log-likelihood in context, nothing subtracted", .needs_holdout = true,
                          .needs_k = true},
    [METHOD_LOSS] = {.name = "loss", .help = "the log-likelihood alone: a low loss is kept", .needs_alone = true},
    [METHOD_RANDOM] = {.name = "random", .help = "a random number"},
};
_Static_assert(sizeof METHODS / sizeof *METHODS == METHOD_COUNT, "a row for each method");

const ObjectiveInfo OBJECTIVES[] = {
    [OBJECTIVE_SFT] = {.name = "sft", .help = "supervised fine-tuning on prompts with answers", .reduce = REDUCE_MEAN, .beta = 0.1},
    [OBJECTIVE_DPO] = {.name = "dpo", .help = "direct preference optimization on pairs, against the starting model", .pairs = true,
                       .needs_reference = true, .reduce = REDUCE_SUM, .beta = 0.1},
    [OBJECTIVE_SIMPO] = {.name = "simpo", .help = "simple preference optimization on pairs, without a reference", .pairs = true,
                         .token_means = true, .reduce = REDUCE_SUM, .beta = 2},
};
_Static_assert(sizeof OBJECTIVES / sizeof *OBJECTIVES == OBJECTIVE_COUNT, "a row for each objective");

const DemoInfo DEMO_CHOICES[] = {
    [DEMOS_NEAREST] = {.name = "nearest", .help = "the k holdout examples of most similar prompts", .by_nearness = true},
    [DEMOS_RANDOM] = {.name = "random", .help = "k drawn for each candidate", .drawn = true},
    [DEMOS_FIXED] = {.name = "fixed", .help = "the same k drawn for all candidates"},
    [DEMOS_SHUFFLED] = {.name = "shuffled", .help = "the nearest, with answers of others", .drawn = true},
};
_Static_assert(sizeof DEMO_CHOICES / sizeof *DEMO_CHOICES == DEMO_COUNT, "a row for each choice of demonstrations");

const Choice REDUCTIONS[] = {
    [REDUCE_MEAN] = {.name = "mean", .help = "log-likelihoods are divided by the answer's tokens"},
    [REDUCE_SUM] = {.name = "sum", .help = "log-likelihoods are sums over the answer's tokens"},
};
_Static_assert(sizeof REDUCTIONS / sizeof *REDUCTIONS == REDUCE_COUNT, "a row for each reduction");

const Choice PAIR_SCORES[] = {
    [PAIR_MARGIN] = {.name = "margin", .help = "the gain of the margin between both answers"},
    [PAIR_LOSS] = {.name = "loss", .help = "the drop of the pair's loss"},
};
_Static_assert(sizeof PAIR_SCORES / sizeof *PAIR_SCORES == PAIR_SCORE_COUNT, "a row for each pair score");

const Choice ANCHOR_CHOICES[] = {
    [ANCHORS_NEAREST] = {.name = "nearest", .help = "the k holdout examples nearest to the candidate"},
    [ANCHORS_RANDOM] = {.name = "random", .help = "the same random ones for all candidates"},
};
_Static_assert(sizeof ANCHOR_CHOICES / sizeof *ANCHOR_CHOICES == ANCHORS_COUNT, "a row for each choice of anchors");

const MapInfo MAPS[] = {
    [MAP_MINMAX] = {.name = "minmax", .help = "linear from the pool's smallest score to its largest"},
    [MAP_MINMAX_BATCH] = {.name = "minmax-batch", .help = "linear from the batch's smallest score to its largest", .of_batch = true},
    [MAP_CLIP] = {.name = "clip", .help = "linear between two percentiles"},
    [MAP_RANK] = {.name = "rank", .help = "linear in the score's rank"},
    [MAP_SOFTMAX] = {.name = "softmax", .help = "exponential in the standardized score"},
    [MAP_TOP] = {.name = "top", .help = "1 for the best share, else 0"},
    [MAP_POSITIVE] = {.name = "positive", .help = "the score itself where it is above 0, else 0"},
    [MAP_FILTER] = {.name = "filter", .help = "1 where the score is above 0, else 0"},
};
_Static_assert(sizeof MAPS / sizeof *MAPS == MAP_COUNT, "a row for each map");

const Choice NORMALIZATIONS[] = {
    [NORMALIZE_BATCH] = {.name = "batch", .help = "the sum of the batch's weights"},
    [NORMALIZE_MICRO] = {.name = "micro", .help = "the sum of each micro-batch's weights: at one example the weights cancel"},
    [NORMALIZE_COUNT] = {.name = "count", .help = "the number of examples"},
    [NORMALIZE_NONE] = {.name = "none", .help = "nothing"},
};
_Static_assert(sizeof NORMALIZATIONS / sizeof *NORMALIZATIONS == NORMALIZATION_COUNT, "a row for each normalization");

bool method_needs_k(Method method, Anchors anchors) {
    return METHODS[method].needs_k || (METHODS[method].needs_anchors && anchors == ANCHORS_NEAREST);
}

/* ---- retrieval ---- */

/* One prompt as a sparse vector: token ids in increasing order with their tf-idf, scaled to length 1. */
typedef struct { int n; int *id; double *value; } Sparse;

/* One entry of a token's list in the inverted index: a holdout prompt that has the token, with its tf-idf there. */
typedef struct { int holdout; double value; } Posting;

struct Retriever {
    const Examples *holdout;
    int n_ids;         /* distinct token ids in the holdout */
    int *id;           /* [n_ids], increasing */
    double *idf;       /* [n_ids] */
    double unseen_idf; /* of a token that no holdout prompt has */
    int *start;        /* [n_ids + 1] where a token's postings begin */
    Posting *posting;  /* a token's in increasing order of the holdout's index */
    Arena arena;
};

static int compare_ints(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* Token ids and their counts, in increasing order of id. */
static Sparse count_tokens(Arena *arena, const int *tokens, int n) {
    Sparse s = {0, arena_new(arena, (size_t)n + 1, sizeof(int)), arena_new(arena, (size_t)n + 1, sizeof(double))};
    int *sorted = mem_new((size_t)n, sizeof(int));
    if (n) memcpy(sorted, tokens, (size_t)n * sizeof(int));
    qsort(sorted, (size_t)n, sizeof(int), compare_ints);
    for (int i = 0; i < n; i++) {
        if (s.n == 0 || s.id[s.n - 1] != sorted[i]) s.id[s.n++] = sorted[i];
        s.value[s.n - 1]++;
    }
    free(sorted);
    return s;
}

static double inverse_document_frequency(int documents, int with_token) {
    return log((1.0 + documents) / (1.0 + with_token)) + 1.0;
}

/* The index of a token among the holdout's, or -1. */
static int find_id(const Retriever *r, int id) {
    const int *found = bsearch(&id, r->id, (size_t)r->n_ids, sizeof(int), compare_ints);
    return found ? (int)(found - r->id) : -1;
}

/* Counts become tf x idf, and the vector gets length 1, so that a dot product is the cosine. */
static void weigh(const Retriever *r, Sparse *s) {
    double square = 0;
    for (int i = 0; i < s->n; i++) {
        int found = find_id(r, s->id[i]);
        s->value[i] *= found >= 0 ? r->idf[found] : r->unseen_idf;
        square += s->value[i] * s->value[i];
    }
    for (int i = 0; i < s->n && square > 0; i++) s->value[i] /= sqrt(square);
}

static double cosine(const Sparse *a, const Sparse *b) {
    double dot = 0;
    for (int i = 0, j = 0; i < a->n && j < b->n;) {
        if (a->id[i] == b->id[j]) dot += a->value[i++] * b->value[j++];
        else if (a->id[i] < b->id[j]) i++;
        else j++;
    }
    return dot;
}

Retriever *retriever_new(const Examples *holdout) {
    Retriever *r = mem_new(1, sizeof *r);
    r->holdout = holdout;
    Sparse *vector = mem_new((size_t)holdout->count, sizeof *vector);
    IntBuf ids = {0}; /* every holdout prompt's distinct ids: the number of times one occurs is its document frequency */
    for (int h = 0; h < holdout->count; h++) {
        vector[h] = count_tokens(&r->arena, holdout->items[h].bare, holdout->items[h].bare_n);
        ints_append(&ids, vector[h].id, vector[h].n);
    }
    Sparse document_frequency = count_tokens(&r->arena, ids.v, ids.n);
    r->n_ids = document_frequency.n;
    r->id = document_frequency.id;
    r->idf = document_frequency.value;
    r->start = arena_new(&r->arena, (size_t)r->n_ids + 1, sizeof *r->start);
    r->posting = arena_new(&r->arena, (size_t)ids.n, sizeof *r->posting);
    for (int i = 0; i < r->n_ids; i++) r->start[i + 1] = r->start[i] + (int)r->idf[i];
    for (int i = 0; i < r->n_ids; i++) r->idf[i] = inverse_document_frequency(holdout->count, (int)r->idf[i]);
    r->unseen_idf = inverse_document_frequency(holdout->count, 0);
    int *filled = mem_new((size_t)r->n_ids, sizeof *filled);
    for (int h = 0; h < holdout->count; h++) {
        weigh(r, &vector[h]);
        for (int i = 0; i < vector[h].n; i++) {
            int at = find_id(r, vector[h].id[i]);
            r->posting[r->start[at] + filled[at]++] = (Posting){h, vector[h].value[i]};
        }
    }
    ints_free(&ids);
    free(filled);
    free(vector);
    return r;
}

void retriever_free(Retriever *r) {
    if (!r) return;
    arena_free(&r->arena);
    free(r);
}

static bool same_prompt(const Example *a, const Example *b) {
    return a->bare_n == b->bare_n && (a->bare_n == 0 || memcmp(a->bare, b->bare, (size_t)a->bare_n * sizeof(int)) == 0);
}

/* dot[holdout->count]: the cosine of every holdout prompt with x's, its terms in increasing order of token ids. */
static void similarities(const Retriever *r, const Example *x, double *dot) {
    Arena scratch = {0};
    Sparse query = count_tokens(&scratch, x->bare, x->bare_n);
    weigh(r, &query);
#ifdef NAIVE
    for (int h = 0; h < r->holdout->count; h++) {
        Sparse shown = count_tokens(&scratch, r->holdout->items[h].bare, r->holdout->items[h].bare_n);
        weigh(r, &shown);
        dot[h] = cosine(&query, &shown);
    }
    query.n = 0; /* nothing is left for the index */
#endif
    for (int i = 0; i < query.n; i++) {
        int at = find_id(r, query.id[i]);
        for (int p = at < 0 ? 0 : r->start[at], end = at < 0 ? 0 : r->start[at + 1]; p < end; p++)
            dot[r->posting[p].holdout] += query.value[i] * r->posting[p].value;
    }
    arena_free(&scratch);
}

/* [E6] C(x): the k holdout examples whose prompts have the largest cosine with that of `like` (x itself, or its cluster's center),
 * the nearest last; ties go to the smaller index; an example with x's own prompt is never shown, because its answer would stand in
 * the context. */
static int nearest_to(const Retriever *r, const Example *like, const Example *x, int k, bool leak, int *nearest) {
    double *dot = mem_new((size_t)r->holdout->count, sizeof *dot);
    float *best = mem_new((size_t)k + 1, sizeof *best);
    int *index = mem_new((size_t)k + 1, sizeof *index), found = 0;
    similarities(r, like, dot);
    for (int h = 0; h < r->holdout->count && k > 0; h++) {
        /* as a float: cosines that are equal in exact arithmetic stay equal, whatever the order of their sums */
        float similarity = (float)dot[h];
        const Example *shown = &r->holdout->items[h];
        if (found == k && best[k - 1] >= similarity) continue;
        if (!leak && (same_prompt(x, shown) || same_prompt(like, shown))) continue;
        int at = found; /* insertion into the k best so far, in falling order; an equal one stays behind its elder */
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
    free(dot);
    free(best);
    free(index);
    return found;
}

int retriever_nearest(const Retriever *r, const Example *x, int k, bool leak, int *nearest) {
    return nearest_to(r, x, x, k, leak, nearest);
}

/* --contexts: candidates in at most `contexts` clusters; center[i] is the candidate whose demonstrations candidate i is shown.
 * Centers are drawn one after another, each candidate with a probability proportional to its distance, 1 - cosine, from the nearest
 * center so far (as k-means++ begins); when no distance is left, every prompt is a center's. */
static void choose_centers(const Retriever *r, const Examples *data, int contexts, uint64_t seed, int *center) {
    int n = data->count;
    Arena arena = {0};
    Rng rng = rng_new(seed, 4);
    Sparse *vector = mem_new((size_t)n, sizeof *vector);
    double *distance = mem_new((size_t)n, sizeof *distance);
    for (int i = 0; i < n; i++) {
        vector[i] = count_tokens(&arena, data->items[i].bare, data->items[i].bare_n);
        weigh(r, &vector[i]);
        distance[i] = 2; /* farther than any: the first center is drawn uniformly, and becomes everyone's */
        center[i] = i;
    }
    for (int c = 0; c < contexts; c++) {
        double total = 0;
        for (int i = 0; i < n; i++) total += distance[i];
        double at = rng_uniform(&rng) * total;
        int drawn = -1;
        for (int i = 0; i < n && (drawn < 0 || at >= 0); i++) {
            if (distance[i] > 0) drawn = i;
            at -= distance[i];
        }
        if (drawn < 0) break;
        for (int i = 0; i < n; i++) {
            /* the cosine as a float: equal prompts have distance 0, exactly */
            double d = i == drawn ? 0 : 1 - (double)(float)cosine(&vector[i], &vector[drawn]);
            if (d >= distance[i]) continue;
            distance[i] = d;
            center[i] = drawn;
        }
    }
    free(vector);
    free(distance);
    arena_free(&arena);
}

/* For shuffled demonstrations: the answer of another example than the one shown, and never x's own. */
static const Example *other_answer(const Examples *holdout, const Example *shown, const Example *x, bool leak, Rng *rng) {
    for (int tries = 0; tries < 100; tries++) {
        const Example *other = &holdout->items[rng_below(rng, holdout->count)];
        if (other != shown && (leak || !same_prompt(x, other))) return other;
    }
    return shown; /* there is no other */
}

/* Fills in one candidate's demonstrations as --demos says, `like` standing for it in retrieval; returns how many. */
static int choose_demos(const Retriever *r, const Example *like, const Example *x, const ScoreOptions *how, Rng *rng,
                        const int *fixed, Demo *demos) {
    const Examples *holdout = r->holdout;
    int *index = mem_new((size_t)how->k + 1, sizeof *index), n = 0;
    if (how->demos == DEMOS_NEAREST || how->demos == DEMOS_SHUFFLED) n = nearest_to(r, like, x, how->k, how->leak, index);
    else
        for (int tries = 0; n < how->k && tries < 100 * (how->k + 1); tries++) {
            bool listed = tries < how->k && tries < holdout->count;
            int h = how->demos == DEMOS_FIXED ? (listed ? fixed[tries] : -1) : rng_below(rng, holdout->count);
            if (h < 0) break;
            bool used = !how->leak && same_prompt(x, &holdout->items[h]);
            for (int i = 0; i < n; i++) used |= index[i] == h;
            if (!used) index[n++] = h;
        }
    for (int i = 0; i < n; i++) {
        demos[i].prompt_of = demos[i].answer_of = &holdout->items[index[i]];
        if (how->demos == DEMOS_SHUFFLED) demos[i].answer_of = other_answer(holdout, demos[i].prompt_of, x, how->leak, rng);
    }
    free(index);
    return n;
}

/* Tokens of n demonstrations. */
static int demos_length(const Demo *demos, int n) {
    int length = 0;
    for (int i = 0; i < n; i++) length += demos[i].prompt_of->prompt_n + demos[i].answer_of->answer_n;
    return length;
}

/* Drops the farthest demonstrations (the first ones) until the row fits the context; returns how many were dropped. */
static int drop_demos(const Model *m, const Examples *form, const Example *x, Demo *demos, int *n) {
    int longest = x->answer_n > x->rejected_n ? x->answer_n : x->rejected_n, dropped = 0;
    while (*n > 0 && form->bos_n + demos_length(demos, *n) + x->prompt_n + longest - 1 > m->config.context) {
        memmove(demos, demos + 1, (size_t)(--*n) * sizeof *demos);
        dropped++;
    }
    return dropped;
}

/* ---- log-likelihoods of answers in contexts ---- */

enum {
    TOKENS_AT_ONCE = 2048, /* per batch: enough to keep the products busy, small enough for the caches */
    CACHED_AT_ONCE = 2048, /* positions cached for a window of rows, besides what its last row needs: bounds memory */
    WORTH_CACHING = 16     /* tokens that a cached prefix must save */
};

/* The tokens of one job: bos, demonstrations, prompt, answer. Rows can share what stands before the token that predicts the
 * answer's first one: that token must be run with the answer. */
typedef struct {
    Job *job;
    const int *token; /* [n] */
    int n, first;     /* the answer begins at `first` */
    int node;         /* the cached prefix it is run behind, or -1 */
} Row;

static int shareable(const Row *r) { return r->first > 0 ? r->first - 1 : 0; }

static void put_tokens(IntBuf *tokens, const Examples *form, const Job *job, int *first) {
    const Example *x = job->x;
    ints_append(tokens, form->bos, form->bos_n);
    for (int i = 0; i < job->n_demos; i++) {
        ints_append(tokens, job->demos[i].prompt_of->prompt, job->demos[i].prompt_of->prompt_n);
        ints_append(tokens, job->demos[i].answer_of->answer, job->demos[i].answer_of->answer_n);
    }
    ints_append(tokens, x->prompt, x->prompt_n);
    *first = tokens->n;
    if (job->rejected) ints_append(tokens, x->rejected, x->rejected_n);
    else ints_append(tokens, x->answer, x->answer_n);
}

/* How many tokens two rows can share. */
static int common_length(const Row *a, const Row *b) {
    int most = shareable(a) < shareable(b) ? shareable(a) : shareable(b), n = 0;
    while (n < most && a->token[n] == b->token[n]) n++;
    return n;
}

/* As words in a dictionary, by what can be shared: rows that share more stand closer together. */
static int compare_rows(const void *a, const void *b) {
    const Row *x = a, *y = b;
    int n = common_length(x, y), c = (n < shareable(x)) - (n < shareable(y));
    if (n < shareable(x) && n < shareable(y)) c = (x->token[n] > y->token[n]) - (x->token[n] < y->token[n]);
    return c ? c : (x->job > y->job) - (x->job < y->job);
}

/* ---- shared prefixes ----
 * Sorted rows are a tree of prefixes. A node caches tokens begin..end-1 of the rows from..to-1, behind its parent's. */

typedef struct {
    int parent, level; /* index, or -1; how many nodes stand above */
    int from, to, begin, end;
    Prefix *prefix;    /* NULL: not cached (yet, or any more) */
} Node;

typedef struct {
    Row *row;         /* sorted */
    int *common;      /* [rows] what a row shares with the next one */
    Node *node;       /* parents before children, and in the order of their rows */
    int nodes, capacity;
} Plan;

/* Plans the rows from..to-1, at least two, which are to be run behind `parent` unless they find something longer. What all of them
 * share becomes a node if that saves enough; then each part that shares more is planned in turn. */
static void plan_rows(Plan *p, int from, int to, int parent) {
    int shared = p->common[from], begin = parent < 0 ? 0 : p->node[parent].end;
    for (int i = from; i < to - 1; i++) shared = p->common[i] < shared ? p->common[i] : shared;
    if ((to - from - 1) * (shared - begin) >= WORTH_CACHING) {
        if (p->nodes == p->capacity) {
            p->capacity = p->capacity ? 2 * p->capacity : 64;
            p->node = mem_grow(p->node, (size_t)p->capacity, sizeof *p->node);
        }
        p->node[p->nodes] = (Node){parent, parent < 0 ? 0 : p->node[parent].level + 1, from, to, begin, shared, NULL};
        parent = p->nodes++;
    }
    for (int i = from, end; i < to; i = end) {
        for (end = i + 1; end < to && p->common[end - 1] > shared; end++) continue;
        if (end - i > 1) plan_rows(p, i, end, parent);
        else p->row[i].node = parent;
    }
}

/* Rows that wait to be run together. */
typedef struct {
    const Model *m;
    Workspace *ws;
    Batch batch;
    Job **jobs; /* [batch.rows] */
    int capacity;
    Cost *cost;
} Queue;

/* Counts one pass of a batch; forward and backward together (passes = 3) cost three times the forward pass. */
static void spend(Cost *cost, const Model *m, const Batch *b, int passes) {
    cost->flops += passes * batch_flops(m, b);
    cost->forward += b->tokens;
    if (passes > 1) cost->backward += b->tokens;
}

static void queue_run(Queue *q) {
    if (q->batch.rows == 0) return;
    double *logp = mem_new((size_t)q->batch.rows, sizeof *logp);
    int *hits = mem_new((size_t)q->batch.rows, sizeof *hits);
    model_forward(q->m, q->ws, &q->batch, false, logp, hits);
    for (int i = 0; i < q->batch.rows; i++) {
        q->jobs[i]->logp = logp[i];
        q->jobs[i]->hits = hits[i];
    }
    spend(q->cost, q->m, &q->batch, 1);
    free(logp);
    free(hits);
    batch_clear(&q->batch);
}

/* The same for rows that are pieces of prefixes. */
static void queue_extend(Queue *q) {
    if (q->batch.rows == 0) return;
    spend(q->cost, q->m, &q->batch, 1); /* before: afterwards the prefixes are longer */
    model_extend(q->m, q->ws, &q->batch);
    batch_clear(&q->batch);
}

/* Queues the tokens of a row from `begin` on, behind the prefix that holds those before. */
static void queue_add(Queue *q, const Row *row, int begin, Prefix *prefix) {
    if (q->batch.tokens + row->n - 1 - begin > TOKENS_AT_ONCE) queue_run(q);
    if (q->batch.rows == q->capacity) {
        q->capacity = q->capacity ? 2 * q->capacity : 64;
        q->jobs = mem_grow(q->jobs, (size_t)q->capacity, sizeof *q->jobs);
    }
    q->jobs[q->batch.rows] = row->job;
    batch_row(&q->batch, row->token + begin, row->n - begin, row->first - begin, prefix);
}

static void queue_free(Queue *q) {
    batch_free(&q->batch);
    free(q->jobs);
}

/* Caches nodes from..to-1, whose ancestors are among them or cached: level by level, so that many short pieces make one batch. */
static void cache_nodes(Queue *q, const Plan *p, int from, int to) {
    Batch *b = &q->batch;
    for (int level = 0, left = to - from; left > 0; level++) {
        for (int i = from; i < to; i++) {
            Node *n = &p->node[i];
            if (n->level != level) continue;
            if (b->tokens + n->end - n->begin > TOKENS_AT_ONCE) queue_extend(q);
            n->prefix = prefix_after(q->m, n->parent < 0 ? NULL : p->node[n->parent].prefix, n->end - n->begin);
            batch_row_inputs(b, p->row[n->from].token + n->begin, n->end - n->begin, n->prefix);
            left--;
        }
        queue_extend(q);
    }
}

/* Runs all rows, a window of neighbors at a time: their prefixes first, then they themselves; what the next window does not share
 * is forgotten. So the cached tree grows and shrinks, and what is above the first row of a window stays. */
static void run_plan(Queue *q, Plan *p, int rows) {
    for (int from = 0, to, node = 0, next = 0; from < rows; from = to, node = next) {
        int cached = 0;
        for (to = from; to < rows && cached < CACHED_AT_ONCE; to++)
            for (; next < p->nodes && p->node[next].from == to; next++) cached += p->node[next].end - p->node[next].begin;
        cache_nodes(q, p, node, next);
        for (int i = from; i < to; i++) {
            const Node *n = p->row[i].node < 0 ? NULL : &p->node[p->row[i].node];
            queue_add(q, &p->row[i], n ? n->end : 0, n ? n->prefix : NULL);
        }
        queue_run(q);
        for (int i = 0; i < next; i++)
            if (p->node[i].to <= to) {
                prefix_free(p->node[i].prefix);
                p->node[i].prefix = NULL;
            }
    }
}

/* The jobs' rows, their tokens in one buffer, and room for their batches. */
static Row *rows_new(const Queue *q, const Examples *form, Job *jobs, int n, IntBuf *tokens) {
    Row *row = mem_new((size_t)n, sizeof *row);
    int longest = 0;
    for (int i = 0, start = 0; i < n; i++, start = tokens->n) {
        put_tokens(tokens, form, &jobs[i], &row[i].first);
        row[i].first -= start;
        row[i].n = tokens->n - start;
        row[i].job = &jobs[i];
        row[i].node = -1;
        longest = row[i].n > longest ? row[i].n : longest;
    }
    int batch = tokens->n < TOKENS_AT_ONCE ? tokens->n : TOKENS_AT_ONCE;
    workspace_reserve(q->ws, q->m, batch > longest ? batch : longest);
    for (int i = 0, start = 0; i < n; start += row[i++].n) row[i].token = tokens->v + start; /* now they stay where they are */
    return row;
}

void ica_logps(const Model *m, Workspace *ws, const Examples *form, Job *jobs, int n, Cost *cost) {
#ifdef NAIVE
    ica_logps_naive(m, ws, form, jobs, n, cost);
    return;
#endif
    Cost ignored = {0};
    Queue q = {.m = m, .ws = ws, .cost = cost ? cost : &ignored};
    IntBuf tokens = {0};
    Plan p = {.row = rows_new(&q, form, jobs, n, &tokens), .common = mem_new((size_t)n, sizeof(int))};
    qsort(p.row, (size_t)n, sizeof *p.row, compare_rows);
    for (int i = 0; i + 1 < n; i++) p.common[i] = common_length(&p.row[i], &p.row[i + 1]);
    if (n > 1) plan_rows(&p, 0, n, -1);
    run_plan(&q, &p, n);
    queue_free(&q);
    ints_free(&tokens);
    free(p.row);
    free(p.common);
    free(p.node);
}

void ica_logps_naive(const Model *m, Workspace *ws, const Examples *form, Job *jobs, int n, Cost *cost) {
    Cost ignored = {0};
    Queue q = {.m = m, .ws = ws, .cost = cost ? cost : &ignored};
    IntBuf tokens = {0};
    Row *row = rows_new(&q, form, jobs, n, &tokens);
    for (int i = 0; i < n; i++) queue_add(&q, &row[i], 0, NULL);
    queue_run(&q);
    queue_free(&q);
    ints_free(&tokens);
    free(row);
}

void ica_batch(Batch *b, const Examples *data, const int *index, int n, bool pairs) {
    IntBuf row = {0};
    for (int i = 0; i < n; i++)
        for (int a = 0; a < 1 + pairs; a++) {
            const Example *e = &data->items[index ? index[i] : i];
            row.n = 0;
            ints_append(&row, data->bos, data->bos_n);
            ints_append(&row, e->prompt, e->prompt_n);
            int first = row.n;
            ints_append(&row, a ? e->rejected : e->answer, a ? e->rejected_n : e->answer_n);
            batch_row(b, row.v, row.n, first, NULL);
        }
    ints_free(&row);
}

/* ---- scores: each a difference of log-likelihoods, larger is better ---- */

/* [E5] s_ICA = l(y|x) - l(y|x,C) = logp(y|C,x) - logp(y|x): what showing the holdout does for the candidate's answer. */
static double score_ica(double logp, double logp_in_context) { return logp_in_context - logp; }

/* [E15] RHO-Loss: s = l(y|x; theta) - l(y|x; theta_ref): what training on the holdout does for it. */
static double score_rho(double logp, double logp_reference) { return logp_reference - logp; }

/* [E16] One-shot: s = mean over anchors h of logp(y_h|z,x_h) - logp(y_h|x_h): what showing the candidate does for the holdout. */
static double score_oneshot(const double *gain, int anchors) {
    double sum = 0;
    for (int a = 0; a < anchors; a++) sum += gain[a];
    return anchors ? sum / anchors : 0;
}

/* NUGGETS: the share of anchors that gain. */
static double score_nuggets(const double *gain, int anchors) {
    int better = 0;
    for (int a = 0; a < anchors; a++) better += gain[a] > 0;
    return anchors ? (double)better / anchors : 0;
}

/* [E7a] Pairs, margin: how much more the context favors the chosen answer over the rejected one. */
static double score_margin(double chosen, double rejected, double chosen_in_context, double rejected_in_context) {
    return (chosen_in_context - rejected_in_context) - (chosen - rejected);
}

/* [E7b] Pairs, loss: l_pair(theta) - l_pair(theta given C), both against the reference without C. */
static double score_pair_loss(double loss, double loss_in_context) { return loss - loss_in_context; }

/* A token sum, or the mean over the answer's tokens. */
static double reduced(const ScoreOptions *how, double logp, int tokens) {
    return how->reduce == REDUCE_MEAN ? logp / tokens : logp;
}

static void scores_resize(Scores *s, int count, int k) {
    scores_free(s);
    size_t n = (size_t)count;
    s->count = count;
    s->k = k;
    s->score = mem_new(n, sizeof(double));
    s->logp = mem_new(n, sizeof(double));
    s->logp_in_context = mem_new(n, sizeof(double));
    s->logp_rejected = mem_new(n, sizeof(double));
    s->logp_rejected_in_context = mem_new(n, sizeof(double));
    s->logp_by_reference = mem_new(n, sizeof(double));
    s->rejected_by_reference = mem_new(n, sizeof(double));
    s->demos = mem_new(mem_mul(n, (size_t)k), sizeof(Demo));
    s->n_demos = mem_new(n, sizeof(int));
    for (int i = 0; i < count; i++) {
        s->logp[i] = s->logp_in_context[i] = s->logp_rejected[i] = s->logp_rejected_in_context[i] = NAN;
        s->logp_by_reference[i] = s->rejected_by_reference[i] = NAN;
    }
}

void scores_free(Scores *s) {
    free(s->score);
    free(s->logp);
    free(s->logp_in_context);
    free(s->logp_rejected);
    free(s->logp_rejected_in_context);
    free(s->logp_by_reference);
    free(s->rejected_by_reference);
    free(s->demos);
    free(s->n_demos);
    *s = (Scores){0};
}

/* logp(y|x) of every candidate; for pairs (rejected != NULL) of both answers. */
static void base_pass(const Model *m, Workspace *ws, const Examples *data, double *logp, double *rejected, int *hits, Cost *cost) {
    int n = data->count, answers = rejected ? 2 : 1;
    Job *jobs = mem_new((size_t)n * (size_t)answers, sizeof *jobs);
    for (int i = 0; i < n * answers; i++) jobs[i] = (Job){.x = &data->items[i / answers], .rejected = i % answers == 1};
    ica_logps(m, ws, data, jobs, n * answers, cost);
    for (int i = 0; i < n; i++) {
        logp[i] = jobs[i * answers].logp;
        if (rejected) rejected[i] = jobs[i * answers + 1].logp;
        if (hits) hits[i] = jobs[i * answers].hits;
    }
    free(jobs);
}

/* What is known already is only copied: the same weights and the same rows give the same bits. */
static void base_pass_unless_known(const Model *m, Workspace *ws, const Examples *data, const double *const known[2],
                                   double *logp, double *rejected, Cost *cost) {
    size_t bytes = (size_t)data->count * sizeof *logp;
    if (!known[0] || (rejected && !known[1])) base_pass(m, ws, data, logp, rejected, NULL, cost);
    else {
        memcpy(logp, known[0], bytes);
        if (rejected) memcpy(rejected, known[1], bytes);
    }
}

void ica_pair_logps(const Model *m, Workspace *ws, const Examples *data, double *chosen, double *rejected, Cost *cost) {
    base_pass(m, ws, data, chosen, rejected, NULL, cost);
}

/* The contexts of every candidate, then logp(y|C,x). Returns how many demonstrations were dropped. */
static int context_pass(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout, const ScoreOptions *how,
                        Demo *demos, int *n_demos, double *logp, double *rejected, int *hits, Cost *cost) {
    Retriever *r = retriever_new(holdout);
    Rng rng = rng_new(how->seed, 1);
    int *fixed = mem_new((size_t)holdout->count, sizeof *fixed), dropped = 0, n = data->count, answers = rejected ? 2 : 1;
    for (int h = 0; h < holdout->count; h++) fixed[h] = h;
    rng_shuffle(&rng, fixed, holdout->count);
    int *center = mem_new((size_t)n, sizeof *center);
    for (int i = 0; i < n; i++) center[i] = i;
    if (how->contexts > 0) choose_centers(r, data, how->contexts, how->seed, center);
    Job *jobs = mem_new((size_t)n * (size_t)answers, sizeof *jobs);
    bool drawn = how->demos == DEMOS_RANDOM || how->demos == DEMOS_SHUFFLED;
    for (int i = -how->first; i < 0 && drawn; i++) choose_demos(r, &data->items[i], &data->items[i], how, &rng, fixed, demos);
    for (int i = 0; i < n; i++) {
        Demo *mine = demos + (size_t)i * (size_t)how->k;
        n_demos[i] = choose_demos(r, &data->items[center[i]], &data->items[i], how, &rng, fixed, mine);
        dropped += drop_demos(m, data, &data->items[i], mine, &n_demos[i]);
        for (int a = 0; a < answers; a++)
            jobs[i * answers + a] = (Job){.demos = mine, .n_demos = n_demos[i], .x = &data->items[i], .rejected = a == 1};
    }
    ica_logps(m, ws, data, jobs, n * answers, cost);
    for (int i = 0; i < n; i++) {
        logp[i] = jobs[i * answers].logp;
        if (rejected) rejected[i] = jobs[i * answers + 1].logp;
        if (hits) hits[i] = jobs[i * answers].hits;
    }
    free(jobs);
    free(fixed);
    free(center);
    retriever_free(r);
    return dropped;
}

int ica_evaluate(const Model *m, Workspace *ws, const Examples *data, const Examples *holdout, int k, double *logp, int *hits,
                 Cost *cost) {
    if (k == 0) {
        base_pass(m, ws, data, logp, NULL, hits, cost);
        return 0;
    }
    ScoreOptions how = {.k = k, .demos = DEMOS_NEAREST};
    Demo *demos = mem_new(mem_mul((size_t)data->count, (size_t)k), sizeof *demos);
    int *n_demos = mem_new((size_t)data->count, sizeof *n_demos);
    int dropped = context_pass(m, ws, data, holdout, &how, demos, n_demos, logp, NULL, hits, cost);
    free(demos);
    free(n_demos);
    return dropped;
}

/* The anchors of every candidate: [count][per] indices into the holdout; -1 where a candidate has fewer. */
static void choose_anchors(const Examples *pool, const Examples *holdout, const ScoreOptions *how, int per, int *anchor) {
    Retriever *r = retriever_new(holdout);
    Rng rng = rng_new(how->seed, 2);
    int *random = mem_new((size_t)holdout->count, sizeof *random);
    for (int h = 0; h < holdout->count; h++) random[h] = h;
    rng_shuffle(&rng, random, holdout->count); /* one random list of anchors for all candidates */
    for (int i = 0; i < pool->count; i++) {
        int *mine = anchor + (size_t)i * (size_t)per, n = per;
        if (how->anchors == ANCHORS_NEAREST) n = retriever_nearest(r, &pool->items[i], per, how->leak, mine);
        else memcpy(mine, random, (size_t)per * sizeof *mine);
        for (int a = n; a < per; a++) mine[a] = -1;
    }
    free(random);
    retriever_free(r);
}

/* logp(y_h | z, x_h) for every candidate and anchor, z being the candidate with its answer or (pairs) with its rejected one. An
 * anchor that does not fit behind z, or has z's prompt, is scored without z: no gain. */
static void anchor_jobs(const Model *m, Workspace *ws, const Examples *pool, const Examples *holdout, const ScoreOptions *how,
                        int per, const int *anchor, bool rejected, Job *jobs, Scores *out) {
    Example *shown =
        mem_new((size_t)pool->count, sizeof *shown); /* the candidates as demonstrations: their answer is what is shown */
    Demo *demos = mem_new((size_t)pool->count, sizeof *demos);
    for (int i = 0; i < pool->count; i++) {
        shown[i] = pool->items[i];
        if (rejected) {
            shown[i].answer = shown[i].rejected;
            shown[i].answer_n = shown[i].rejected_n;
        }
        demos[i] = (Demo){&shown[i], &shown[i]};
        for (int a = 0; a < per; a++) {
            size_t j = (size_t)i * (size_t)per + (size_t)a;
            const Example *h = &holdout->items[anchor[j] < 0 ? 0 : anchor[j]];
            Demo copy = demos[i];
            int fits = anchor[j] >= 0 && (how->leak || !same_prompt(h, &shown[i]));
            if (fits) out->dropped += drop_demos(m, pool, h, &copy, &fits);
            jobs[j] = (Job){.demos = &demos[i], .n_demos = fits, .x = h};
        }
    }
    ica_logps(m, ws, pool, jobs, pool->count * per, &out->cost);
    free(shown);
    free(demos);
}

/* One-shot and NUGGETS: candidates are shown, anchors are scored behind them. */
static void anchor_pass(const Model *m, Workspace *ws, const Examples *pool, const Examples *holdout, const ScoreOptions *how,
                        Scores *out) {
    int per = how->anchors == ANCHORS_NEAREST ? how->k : how->num_anchors;
    if (per > holdout->count) per = holdout->count;
    bool pairs = how->objective != OBJECTIVE_SFT;
    size_t total = mem_mul((size_t)pool->count, (size_t)per);
    int *anchor = mem_new(total, sizeof *anchor);
    double *alone = mem_new((size_t)holdout->count, sizeof *alone), *gain = mem_new((size_t)per, sizeof *gain);
    Job *jobs = mem_new(total, sizeof *jobs), *other = mem_new(pairs ? total : 0, sizeof *other);
    choose_anchors(pool, holdout, how, per, anchor);
    anchor_jobs(m, ws, pool, holdout, how, per, anchor, false, jobs, out);
    if (pairs) anchor_jobs(m, ws, pool, holdout, how, per, anchor, true, other, out);
    else base_pass(m, ws, holdout, alone, NULL, NULL, &out->cost);
    for (int i = 0; i < pool->count; i++) {
        for (int a = 0; a < per; a++) {
            size_t j = (size_t)i * (size_t)per + (size_t)a;
            const Example *h = jobs[j].x;
            /* of a pair: E16 with the chosen answer minus E16 with the rejected one; what h has without either cancels */
            double without = pairs ? other[j].logp : jobs[j].n_demos ? alone[h - holdout->items] : jobs[j].logp;
            gain[a] = reduced(how, jobs[j].logp, h->answer_n) - reduced(how, without, h->answer_n);
        }
        out->score[i] = how->method == METHOD_NUGGETS ? score_nuggets(gain, per) : score_oneshot(gain, per);
    }
    free(anchor);
    free(alone);
    free(gain);
    free(jobs);
    free(other);
}

/* ---- the gradient rival ---- */

static PairLogps pair_logps(const Example *e, double chosen, double rejected, const double *const reference[2], int i) {
    return (PairLogps){chosen,      rejected,     reference[0] ? reference[0][i] : 0, reference[1] ? reference[1][i] : 0,
                       e->answer_n, e->rejected_n};
}

/* The rows of items from..to-1 (a pair is two rows), run forward; dlogp[row] = d l / d logp[row]. */
static void loss_rows(const Model *m, Workspace *ws, const Examples *data, const ScoreOptions *how,
                      const double *const reference[2], int from, int to, Batch *b, double *dlogp, Cost *cost) {
    bool pairs = how->objective != OBJECTIVE_SFT;
    Examples part = *data;
    part.items += from;
    batch_clear(b);
    ica_batch(b, &part, NULL, to - from, pairs);
    double *logp = mem_new((size_t)b->rows, sizeof *logp);
    model_forward(m, ws, b, true, logp, NULL);
    for (int i = from, r = 0; i < to; i++, r += 1 + pairs) {
        const Example *e = &data->items[i];
        if (!pairs) {
            objective_sft(logp[r], e->answer_n, &dlogp[r]);
            continue;
        }
        PairLogps p = pair_logps(e, logp[r], logp[r + 1], reference, i);
        PairGradient g;
        objective_pair(how->objective, &how->pair, &p, &g);
        dlogp[r] = same_answers(e) ? 0 : g.d_chosen;
        dlogp[r + 1] = same_answers(e) ? 0 : g.d_rejected;
    }
    spend(cost, m, b, 3);
    free(logp);
}

/* [E14] s = <grad l(z), grad L(D_ho)>, L the mean of l over the holdout: the first-order drop of the holdout's loss, for each unit
 * of learning rate, by one step on z. Exact, for each example; no example's gradient is ever held in memory. */
static void gradient_pass(const Model *m, Workspace *ws, const Examples *pool, const Examples *holdout, const ScoreOptions *how,
                          Scores *out) {
    enum { AT_ONCE = 32 };
    Batch b = {0};
    double dlogp[2 * AT_ONCE], dot[2 * AT_ONCE];
    int answers = how->objective == OBJECTIVE_SFT ? 1 : 2;
    real *direction = mem_new(m->parameters, sizeof *direction);
    for (int from = 0, to; from < holdout->count; from = to) {
        to = from + AT_ONCE < holdout->count ? from + AT_ONCE : holdout->count;
        loss_rows(m, ws, holdout, how, how->holdout_reference, from, to, &b, dlogp, &out->cost);
        for (int r = 0; r < b.rows; r++) dlogp[r] /= holdout->count;
        model_backward(m, ws, &b, dlogp, direction, true);
    }
    for (int from = 0, to; from < pool->count; from = to) {
        to = from + AT_ONCE < pool->count ? from + AT_ONCE : pool->count;
        loss_rows(m, ws, pool, how, how->pool_reference, from, to, &b, dlogp, &out->cost);
        model_gradient_dots(m, ws, &b, dlogp, direction, dot);
        for (int i = from; i < to; i++) {
            out->score[i] = 0;
            for (int a = 0; a < answers; a++) out->score[i] += dot[(i - from) * answers + a];
        }
    }
    free(direction);
    batch_free(&b);
}

/* ---- all methods ---- */

/* From log-likelihoods (without context, in context, by the reference) to the score of candidate i. */
static double sft_score(const ScoreOptions *how, const Scores *s, const double *by_reference, const Example *e, int i) {
    double logp = reduced(how, s->logp[i], e->answer_n), inside = reduced(how, s->logp_in_context[i], e->answer_n);
    switch (how->method) {
    case METHOD_ICA: return score_ica(logp, inside);
    case METHOD_RHO: return score_rho(logp, reduced(how, by_reference[i], e->answer_n));
    case METHOD_INCONTEXT: return inside;
    default: return logp; /* METHOD_LOSS: a low loss is kept */
    }
}

/* The same of a pair: its log-likelihoods become margins, or (E7b) pair losses. */
static double pair_score(const ScoreOptions *how, const Scores *s, const double *const by_reference[2], const Example *e, int i) {
    double w = reduced(how, s->logp[i], e->answer_n), l = reduced(how, s->logp_rejected[i], e->rejected_n);
    double w_in = reduced(how, s->logp_in_context[i], e->answer_n),
           l_in = reduced(how, s->logp_rejected_in_context[i], e->rejected_n);
    PairLogps p = pair_logps(e, s->logp[i], s->logp_rejected[i], how->pool_reference, i);
    PairLogps in = pair_logps(e, s->logp_in_context[i], s->logp_rejected_in_context[i], how->pool_reference, i);
    switch (how->method) {
    case METHOD_ICA:
        if (how->pair_score == PAIR_MARGIN) return score_margin(w, l, w_in, l_in);
        return score_pair_loss(objective_pair(how->objective, &how->pair, &p, NULL),
                               objective_pair(how->objective, &how->pair, &in, NULL));
    case METHOD_RHO: /* margin by the reference minus margin: E15 of the chosen answer minus E15 of the rejected one */
        return score_rho(w, reduced(how, by_reference[0][i], e->answer_n)) -
               score_rho(l, reduced(how, by_reference[1][i], e->rejected_n));
    case METHOD_INCONTEXT: return w_in - l_in;
    default: return how->objective == OBJECTIVE_DPO ? w - l : -objective_pair(how->objective, &how->pair, &p, NULL);
    }
}

void ica_score(const Model *m, const Model *reference, Workspace *ws, const Examples *pool, const Examples *holdout,
               const ScoreOptions *how, Scores *out) {
    scores_resize(out, pool->count, how->k);
    Method method = how->method;
    bool pairs = how->objective != OBJECTIVE_SFT;
    double *rejected = pairs ? out->logp_rejected : NULL, *rejected_in = pairs ? out->logp_rejected_in_context : NULL;
    const double *const by_reference[2] = {out->logp_by_reference, out->rejected_by_reference};
    if (method == METHOD_ONESHOT || method == METHOD_NUGGETS) anchor_pass(m, ws, pool, holdout, how, out);
    if (method == METHOD_GRADIENT) gradient_pass(m, ws, pool, holdout, how, out);
    if (method == METHOD_ICA || method == METHOD_RHO || method == METHOD_LOSS) {
        base_pass_unless_known(m, ws, pool, how->known, out->logp, rejected, &out->cost);
        out->base_flops = out->cost.flops;
    }
    if (method == METHOD_ICA || method == METHOD_INCONTEXT)
        out->dropped = context_pass(m, ws, pool, holdout, how, out->demos, out->n_demos, out->logp_in_context, rejected_in,
                                    NULL, &out->cost);
    if (method == METHOD_RHO)
        base_pass_unless_known(reference, ws, pool, how->known_by_reference, out->logp_by_reference,
                               pairs ? out->rejected_by_reference : NULL, &out->cost);
    Rng rng = rng_new(how->seed, 3);
    for (int i = 0; i < how->first; i++) rng_uniform(&rng);
    for (int i = 0; i < pool->count; i++) {
        if (method == METHOD_RANDOM) out->score[i] = rng_uniform(&rng);
        else if (method != METHOD_ONESHOT && method != METHOD_NUGGETS && method != METHOD_GRADIENT)
            out->score[i] = pairs ? pair_score(how, out, by_reference, &pool->items[i], i)
                                  : sft_score(how, out, by_reference[0], &pool->items[i], i);
    }
}

/* ---- weights ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *sorted_copy(const double *x, int n) {
    double *copy = mem_new((size_t)n, sizeof *copy);
    memcpy(copy, x, (size_t)n * sizeof *copy);
    qsort(copy, (size_t)n, sizeof *copy, compare_doubles);
    return copy;
}

/* [E8] w_i = (s_i - min) / (max - min), clamped to [0, 1]; all scores equal: all weights 1. E8 itself has the scores' own minimum
 * and maximum, over the pool (the public code) or over the batch (the paper); `clip` passes percentiles instead: if these two are
 * equal, only what lies below them gets 0. */
static void weights_minmax(const double *score, int n, double low, double high, double *weight) {
    for (int i = 0; i < n; i++) {
        double w = high > low ? (score[i] - low) / (high - low) : score[i] >= low;
        weight[i] = w < 0 ? 0 : w > 1 ? 1 : w;
    }
}

/* The p-quantile of sorted values, linear between neighbors. */
static double quantile(const double *sorted, int n, double p) {
    double at = p * (n - 1);
    int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* How many sorted values are below x, equal ones counting half (less a half for x itself): the average rank of ties, from 0. */
static double average_rank(const double *sorted, int n, double x) {
    int below = 0, upto = n;
    for (int low = 0, high = n; low < high;) {
        int mid = (low + high) / 2;
        if (sorted[mid] < x) low = below = mid + 1;
        else high = mid;
    }
    for (int low = below, high = n; low < high;) {
        int mid = (low + high) / 2;
        if (sorted[mid] <= x) low = mid + 1;
        else high = upto = mid;
    }
    return (below + upto - 1) / 2.0;
}

static void weights_rank(const double *score, const double *sorted, int n, double *weight) {
    for (int i = 0; i < n; i++) weight[i] = n > 1 ? average_rank(sorted, n, score[i]) / (n - 1) : 1;
}

/* exp(z / temperature), z the standardized score, scaled so that the largest is 1: nothing overflows. The scale cancels in E9 where
 * W is the weights' own sum; divided by a count, or by nothing, it sets the gradient's length. */
static void weights_softmax(const double *score, int n, double temperature, double *weight) {
    double mean = 0, variance = 0, most = -INFINITY;
    for (int i = 0; i < n; i++) mean += score[i] / n;
    for (int i = 0; i < n; i++) variance += (score[i] - mean) * (score[i] - mean) / n;
    for (int i = 0; i < n; i++) most = score[i] > most ? score[i] : most;
    for (int i = 0; i < n; i++) weight[i] = variance > 0 ? exp((score[i] - most) / (sqrt(variance) * temperature)) : 1;
}

/* 1 for the best `share` of the scores, else 0; at the border the smaller index wins, so that the number is exact. */
static void weights_top(const double *score, const double *sorted, int n, double share, double *weight) {
    int keep = (int)(share * n + 0.5);
    if (keep < 1) keep = 1;
    if (keep > n) keep = n;
    double border = sorted[n - keep];
    for (int i = 0; i < n; i++) {
        weight[i] = score[i] > border;
        keep -= score[i] > border;
    }
    for (int i = 0; i < n && keep > 0; i++)
        if (score[i] == border) {
            weight[i] = 1;
            keep--;
        }
}

void ica_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight) {
    if (n == 0) return;
    double *sorted = sorted_copy(score, n);
    switch (map) {
    case MAP_MINMAX:
    case MAP_MINMAX_BATCH: weights_minmax(score, n, sorted[0], sorted[n - 1], weight); break;
    case MAP_CLIP: weights_minmax(score, n, quantile(sorted, n, how->clip), quantile(sorted, n, 1 - how->clip), weight); break;
    case MAP_RANK: weights_rank(score, sorted, n, weight); break;
    case MAP_SOFTMAX: weights_softmax(score, n, how->temperature, weight); break;
    case MAP_TOP: weights_top(score, sorted, n, how->share, weight); break;
    case MAP_POSITIVE:
        for (int i = 0; i < n; i++) weight[i] = score[i] > 0 ? score[i] : 0;
        break;
    case MAP_FILTER:
        for (int i = 0; i < n; i++) weight[i] = score[i] > 0;
        break;
    case MAP_COUNT: break;
    }
    free(sorted);
}

/* [E9] g = (sum_i w_i grad l_i) / W: the factor w_i / W of each example. */
bool ica_coefficients(Normalize how, const double *weight, int n, int micro, double *coefficient) {
    double total = 0;
    for (int i = 0; i < n; i++) total += weight[i];
    for (int i = 0; i < n; i++) {
        double W = how == NORMALIZE_NONE ? 1 : how == NORMALIZE_COUNT ? n : total;
        if (how == NORMALIZE_MICRO) { /* the public code: with one example a micro-batch w_i / W = 1, whatever the weight */
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

/* -(1 - e) log sigmoid(z) - e log sigmoid(-z), and its derivative sigmoid(z) - (1 - e); e: label smoothing. */
static double smoothed(double z, double e, double *derivative) {
    *derivative = exp(log_sigmoid(z)) - (1 - e);
    return -(1 - e) * log_sigmoid(z) - e * log_sigmoid(-z);
}

/* [E11] DPO: l = -log sigmoid(beta ([logp(y_w) - ref(y_w)] - [logp(y_l) - ref(y_l)])), token sums. */
double objective_dpo(const PairOptions *o, const PairLogps *p, PairGradient *g) {
    double chosen = o->beta * (p->chosen - p->chosen_reference), rejected = o->beta * (p->rejected - p->rejected_reference), dz;
    double loss = smoothed(chosen - rejected, o->label_smoothing, &dz);
    if (g) *g = (PairGradient){o->beta * dz, -o->beta * dz, chosen, rejected};
    return loss;
}

/* [E12] SimPO: l = -log sigmoid((beta / n_w) logp(y_w) - (beta / n_l) logp(y_l) - gamma), gamma = beta x gamma-beta-ratio. */
double objective_simpo(const PairOptions *o, const PairLogps *p, PairGradient *g) {
    double by_w = o->beta / p->chosen_tokens, by_l = o->beta / p->rejected_tokens, dz;
    double chosen = by_w * p->chosen, rejected = by_l * p->rejected;
    double loss = smoothed(chosen - rejected - o->beta * o->gamma_beta_ratio, o->label_smoothing, &dz);
    if (g) *g = (PairGradient){by_w * dz, -by_l * dz, chosen, rejected};
    return loss;
}

double objective_pair(Objective objective, const PairOptions *o, const PairLogps *p, PairGradient *g) {
    return objective == OBJECTIVE_DPO ? objective_dpo(o, p, g) : objective_simpo(o, p, g);
}

bool same_answers(const Example *e) {
    return e->answer_n == e->rejected_n && memcmp(e->answer, e->rejected, (size_t)e->answer_n * sizeof(int)) == 0;
}

/* ---- diagnostics ---- */

/* [E18] (sum w)^2 / sum w^2: how many equally weighted examples would have this spread. */
double effective_sample_size(const double *weight, int n) {
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++) {
        sum += weight[i];
        square += weight[i] * weight[i];
    }
    return square > 0 ? sum * sum / square : 0;
}

double auroc(const double *score, const int *label, int n) {
    double *negative = mem_new((size_t)n, sizeof *negative), wins = 0;
    int negatives = 0, positives = 0;
    for (int i = 0; i < n; i++)
        if (label[i] == 0) negative[negatives++] = score[i];
    qsort(negative, (size_t)negatives, sizeof *negative, compare_doubles);
    for (int i = 0; i < n && negatives; i++)
        if (label[i] == 1) {
            int below = 0, upto = 0;
            for (int high = negatives; below < high;) {
                int mid = (below + high) / 2;
                if (negative[mid] < score[i]) below = mid + 1;
                else high = mid;
            }
            upto = below;
            while (upto < negatives && negative[upto] == score[i]) upto++;
            wins += (below + upto) / 2.0;
            positives++;
        }
    free(negative);
    return positives && negatives ? wins / ((double)positives * negatives) : NAN;
}

double correlation(const double *x, const double *y, int n) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    for (int i = 0; i < n; i++) { /* from the first value on: so the deviations of a constant are exactly 0 */
        mx += (x[i] - x[0]) / n;
        my += (y[i] - y[0]) / n;
    }
    for (int i = 0; i < n; i++) {
        double dx = x[i] - x[0] - mx, dy = y[i] - y[0] - my;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

double rank_correlation(const double *x, const double *y, int n) {
    double *sx = sorted_copy(x, n), *sy = sorted_copy(y, n), *rx = mem_new((size_t)n, sizeof *rx),
           *ry = mem_new((size_t)n, sizeof *ry);
    for (int i = 0; i < n; i++) {
        rx[i] = average_rank(sx, n, x[i]);
        ry[i] = average_rank(sy, n, y[i]);
    }
    double r = correlation(rx, ry, n);
    free(sx);
    free(sy);
    free(rx);
    free(ry);
    return r;
}
