/* What is shared. A score asks for logp(y | demonstrations, x) of hundreds of candidates. Many rows
 * begin with the same demonstrations, both answers of a pair follow the same prompt, and even
 * prompts begin alike. Keys and values of a common beginning are the same in every row, so they are
 * computed once, kept in a Prefix, and every row continues from there. Only the token that predicts
 * the answer's first token must run with its answer: it is the first whose output is scored. So a
 * row can share its tokens 0 .. first - 2.
 *
 * The tree. Rows are sorted like words in a dictionary by what they can share. Rows with a long
 * common beginning are then neighbors, and every group of rows with a common beginning is an
 * interval. Intervals nest, so they are a tree. A node stands for an interval and holds the tokens
 * that its rows share beyond those of its parent.
 *
 *   rows, sorted       shared with the row above     after planning: nodes [their rows] tokens
 *
 *   0  A B C D | x                                   node 0 [0..4] A B
 *   1  A B C E | y     A B C                           node 1 [0..2] C    rows 0 1 2 continue it
 *   2  A B C F | z     A B C                           node 2 [3..4] G H  rows 3 4 continue it
 *   3  A B G H | u     A B                           node 3 [5..6] K L M  rows 5 6 continue it
 *   4  A B G H | v     A B G H
 *   5  K L M   | w     nothing
 *   6  K L M   | t     K L M
 *
 * Row by row, 26 tokens before the bars go through the model. With the tree there are 8 in the
 * nodes and 3 left in the rows: D, E and F. A node is made only where it saves at least
 * WORTH_CACHING tokens, which is (rows - 1) times its own tokens. (The picture takes 1 for that
 * limit.) Smaller savings cost more in small batches than they save.
 *
 * The states of a node. It is planned (prefix NULL), then cached (prefix holds keys and values),
 * then freed (prefix NULL again). Memory is bounded by working through the sorted rows in windows.
 * A window ends with the row at which the nodes that begin in it hold CACHED_AT_ONCE tokens. For
 * each window:
 *
 *   1. cache the nodes that begin in it, level by level: parents before children
 *   2. run its rows in batches, each after its node's prefix
 *   3. free every node whose last row is in this window or an earlier one
 *
 *   window (limit 3)   cached before it   caches   frees
 *   rows 0..0          -                  0 1      -         rows 1 to 4 still need 0 and 1
 *   rows 1..5          0 1                2 3      0 1 2     row 6 still needs 3
 *   rows 6..6          3                  -        3
 *
 * The rule that keeps it right: a node is freed only after every row of its interval has run. A
 * child's interval is inside its parent's, so a parent outlives its children, and a Prefix never
 * loses the parent that it points to.
 *
 * Which nodes are made depends on token ids alone, never on time or threads, so a run is
 * repeatable. The results do not depend on the tree at all. */
#include "scoring/share.h"

#include <stdlib.h>

enum {
    CACHED_AT_ONCE = 2048, /* tokens that a window caches, beyond what its last row needs */
    WORTH_CACHING = 16     /* tokens that a node must save */
};

void cost_add(Cost *cost, const Model *m, const Batch *b, bool backward) {
    if (!cost) return;
    cost->flops += (backward ? 3 : 1) * batch_flops(m, b);
    cost->forward += b->tokens;
    if (backward) cost->backward += b->tokens;
}

/* Allocates the workspace for batches of these rows now, instead of growing it batch by batch, and
 * says how much work they are. */
static void rows_reserve(const Model *m, Workspace *ws, const TokenRow *rows, int n) {
    int total = 0, longest = 0;
    double all = 0;
    for (int i = 0; i < n; i++) all += rows[i].n;
    progress_begin(ws->progress, all);
    for (int i = 0; i < n; i++) {
        total = total < SHARE_TOKENS ? total + rows[i].n : total;
        longest = rows[i].n > longest ? rows[i].n : longest;
    }
    int batch = total < SHARE_TOKENS ? total : SHARE_TOKENS;
    workspace_reserve(ws, m, batch > longest ? batch : longest);
}

/* ---- the sorted rows ---- */

/* A row in sorted order, and the node whose prefix it continues, or -1. */
typedef struct {
    TokenRow *row;
    int node;
} Leaf;

/* How many of a row's tokens can be shared: those before the token that predicts the answer's
 * first. */
static int shareable(const TokenRow *r) { return r->first > 0 ? r->first - 1 : 0; }

/* How many tokens two rows can share with each other. */
static int common_length(const TokenRow *a, const TokenRow *b) {
    int most = shareable(a) < shareable(b) ? shareable(a) : shareable(b), n = 0;
    while (n < most && a->token[n] == b->token[n]) n++;
    return n;
}

/* Lexicographic order of the shareable tokens. Equal ones keep their order, so that sorting is
 * repeatable. */
static int compare_leaves(const void *a, const void *b) {
    const TokenRow *x = ((const Leaf *)a)->row, *y = ((const Leaf *)b)->row;
    int n = common_length(x, y), c = (n < shareable(x)) - (n < shareable(y));
    if (n < shareable(x) && n < shareable(y))
        c = (x->token[n] > y->token[n]) - (x->token[n] < y->token[n]);
    return c ? c : (x > y) - (x < y);
}

/* ---- the tree ---- */

/* Caches the tokens begin..end-1 of the rows from..to-1, after the prefix of its parent. */
typedef struct {
    int parent, level; /* index of the parent, or -1; the number of ancestors */
    int from, to, begin, end;
    Prefix *prefix; /* NULL unless cached */
} Node;

typedef struct {
    Leaf *leaf;  /* sorted */
    int *common; /* common[i]: what row i shares with row i + 1 */
    Node *node;  /* parents before children, and in the order of their first rows */
    int nodes, capacity;
} Tree;

static int add_node(Tree *t, Node node) {
    if (t->nodes == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->node = mem_grow(t->node, (size_t)t->capacity, sizeof *t->node);
    }
    t->node[t->nodes] = node;
    return t->nodes++;
}

/* Plans rows from..to-1 (at least two). `parent` is the longest prefix found for them so far. If
 * what all of them share beyond it saves enough, that becomes a new node. Each group that shares
 * still more is then planned recursively. */
static void plan_rows(Tree *t, int from, int to, int parent) {
    int shared = t->common[from], begin = parent < 0 ? 0 : t->node[parent].end;
    for (int i = from; i < to - 1; i++) shared = t->common[i] < shared ? t->common[i] : shared;
    if ((to - from - 1) * (shared - begin) >= WORTH_CACHING) {
        int level = parent < 0 ? 0 : t->node[parent].level + 1;
        parent = add_node(t, (Node){parent, level, from, to, begin, shared, NULL});
    }
    /* Cut the interval where neighbors share no more than all rows do. */
    for (int i = from, end; i < to; i = end) {
        for (end = i + 1; end < to && t->common[end - 1] > shared; end++) continue;
        if (end - i > 1) plan_rows(t, i, end, parent);
        else t->leaf[i].node = parent;
    }
}

static Tree tree_new(TokenRow *rows, int n) {
    Tree t = {.leaf = mem_new((size_t)n, sizeof *t.leaf),
              .common = mem_new((size_t)n, sizeof *t.common)};
    for (int i = 0; i < n; i++) t.leaf[i] = (Leaf){&rows[i], -1};
    qsort(t.leaf, (size_t)n, sizeof *t.leaf, compare_leaves);
    for (int i = 0; i + 1 < n; i++) t.common[i] = common_length(t.leaf[i].row, t.leaf[i + 1].row);
    if (n > 1) plan_rows(&t, 0, n, -1);
    return t;
}

static void tree_free(Tree *t) {
    free(t->leaf);
    free(t->common);
    free(t->node);
}

/* ---- batches ---- */

/* Rows that wait to be run in one batch. */
typedef struct {
    const Model *m;
    Workspace *ws;
    Batch batch;
    TokenRow **row; /* [batch.rows] */
    int capacity;
    Cost *cost;
} Queue;

/* Runs the waiting rows and hands out their results. */
static void queue_run(Queue *q) {
    if (q->batch.rows == 0) return;
    double *logp = mem_new((size_t)q->batch.rows, sizeof *logp);
    int *hits = mem_new((size_t)q->batch.rows, sizeof *hits);
    model_forward(q->m, q->ws, &q->batch, false, logp, hits);
    double tokens = 0;
    for (int i = 0; i < q->batch.rows; i++) {
        q->row[i]->logp = logp[i];
        q->row[i]->hits = hits[i];
        tokens += q->row[i]->n;
    }
    progress_add(q->ws->progress, tokens);
    cost_add(q->cost, q->m, &q->batch, false);
    free(logp);
    free(hits);
    batch_clear(&q->batch);
}

/* Runs waiting pieces of prefixes, which have no results of their own. */
static void queue_extend(Queue *q) {
    if (q->batch.rows == 0) return;
    cost_add(q->cost, q->m, &q->batch, false); /* first: model_extend makes the prefixes longer */
    model_extend(q->m, q->ws, &q->batch);
    batch_clear(&q->batch);
}

/* Adds the tokens of a row from `begin` on, which continue the prefix. */
static void queue_add(Queue *q, TokenRow *row, int begin, Prefix *prefix) {
    if (q->batch.tokens + row->n - 1 - begin > SHARE_TOKENS) queue_run(q);
    if (q->batch.rows == q->capacity) {
        q->capacity = q->capacity ? 2 * q->capacity : 64;
        q->row = mem_grow(q->row, (size_t)q->capacity, sizeof *q->row);
    }
    q->row[q->batch.rows] = row;
    batch_row(&q->batch, row->token + begin, row->n - begin, row->first - begin, prefix);
}

/* Caches nodes from..to-1. Their ancestors are among them or cached already. It goes level by
 * level, so that many short pieces make one batch. */
static void cache_nodes(Queue *q, Tree *t, int from, int to) {
    for (int level = 0, left = to - from; left > 0; level++) {
        for (int i = from; i < to; i++) {
            Node *n = &t->node[i];
            if (n->level != level) continue;
            if (q->batch.tokens + n->end - n->begin > SHARE_TOKENS) queue_extend(q);
            n->prefix = prefix_after(q->m, n->parent < 0 ? NULL : t->node[n->parent].prefix,
                                     n->end - n->begin);
            batch_row_inputs(&q->batch, t->leaf[n->from].row->token + n->begin, n->end - n->begin,
                             n->prefix);
            left--;
        }
        queue_extend(q);
    }
}

/* Works through the sorted rows in windows, so that one branch of the tree is in memory at a time.
 */
static void run_tree(Queue *q, Tree *t, int rows) {
    for (int from = 0, to, node = 0, next = 0; from < rows; from = to, node = next) {
        /* Extend the window row by row, with the nodes that begin at each row, until enough is
         * cached. */
        int cached = 0;
        for (to = from; to < rows && cached < CACHED_AT_ONCE; to++)
            for (; next < t->nodes && t->node[next].from == to; next++)
                cached += t->node[next].end - t->node[next].begin;

        /* Cache its nodes, then run its rows. */
        cache_nodes(q, t, node, next);
        for (int i = from; i < to; i++) {
            const Node *n = t->leaf[i].node < 0 ? NULL : &t->node[t->leaf[i].node];
            queue_add(q, t->leaf[i].row, n ? n->end : 0, n ? n->prefix : NULL);
        }
        queue_run(q);

        /* Free what no later row needs. */
        for (int i = 0; i < next; i++)
            if (t->node[i].to <= to) {
                prefix_free(t->node[i].prefix);
                t->node[i].prefix = NULL;
            }
    }
}

static void queue_free(Queue *q) {
    batch_free(&q->batch);
    free(q->row);
}

/* ---- the two twins ---- */

void share_logps(const Model *m, Workspace *ws, TokenRow *rows, int n, Cost *cost) {
    Queue q = {.m = m, .ws = ws, .cost = cost};
    Tree t = tree_new(rows, n);
    rows_reserve(m, ws, rows, n);
    run_tree(&q, &t, n);
    queue_free(&q);
    tree_free(&t);
}

void plain_logps(const Model *m, Workspace *ws, TokenRow *rows, int n, Cost *cost) {
    Queue q = {.m = m, .ws = ws, .cost = cost};
    rows_reserve(m, ws, rows, n);
    for (int i = 0; i < n; i++) queue_add(&q, &rows[i], 0, NULL);
    queue_run(&q);
    queue_free(&q);
}
