/* Batches, prefixes and row maps. */
#include "lib/fast/rows.h"

#include <stdlib.h>
#include <string.h>

/* ---- prefixes ---- */

Prefix *prefix_make(int layers, int width, const Prefix *parent, int capacity) {
    Prefix *p = mem_new(1, sizeof *p);
    p->parent = parent;
    p->length = parent ? parent->length : 0;
    p->capacity = capacity;
    p->width = width;
    size_t positions = mem_mul((size_t)layers, (size_t)capacity);
    p->kv = mem_grow(NULL, mem_mul(positions, (size_t)width),
                     sizeof(real)); /* not zeroed: written before it is read */
    return p;
}

int prefix_start(const Prefix *p) { return p->parent ? p->parent->length : 0; }

void prefix_free(Prefix *p) {
    if (!p) return;
    free(p->kv);
    free(p);
}

real *prefix_own(const Prefix *p, int layer, int position) {
    size_t at = (size_t)layer * (size_t)p->capacity + (size_t)(position - prefix_start(p));
    return p->kv + at * (size_t)p->width;
}

const real *prefix_find(const Prefix *p, int layer, int position) {
    while (position < prefix_start(p)) p = p->parent;
    return prefix_own(p, layer, position);
}

/* ---- batches ---- */

static void batch_grow(Batch *b) {
    if (b->tokens > b->weight_capacity) {
        b->weight_capacity = b->tokens * 2;
        b->weight = mem_grow(b->weight, (size_t)b->weight_capacity, sizeof *b->weight);
    }
    if (b->rows > b->prefix_capacity) {
        b->prefix_capacity = b->rows * 2;
        b->prefix = mem_grow(b->prefix, (size_t)b->prefix_capacity, sizeof *b->prefix);
    }
}

/* Appends a row of n inputs, whose targets and weights the caller fills in. Returns its first
 * token. */
static int batch_add(Batch *b, const int *inputs, int n, Prefix *prefix) {
    int at = b->tokens;
    if (b->rows == 0) {
        b->start.n = 0;
        ints_put(&b->start, 0);
    }
    ints_append(&b->token, inputs, n);
    b->tokens += n;
    b->rows++;
    ints_put(&b->start, b->tokens);
    batch_grow(b);
    b->prefix[b->rows - 1] = prefix;
    return at;
}

void batch_row_weighted(Batch *b, const int *sequence, int n, const real *weight, Prefix *prefix) {
    int at = batch_add(b, sequence, n - 1, prefix);
    for (int i = 1; i < n; i++) {
        ints_put(&b->target, weight[i] != 0 ? sequence[i] : -1);
        b->weight[at + i - 1] = weight[i];
    }
}

void batch_row(Batch *b, const int *sequence, int n, int first, Prefix *prefix) {
    int at = batch_add(b, sequence, n - 1, prefix);
    for (int i = 1; i < n; i++) {
        ints_put(&b->target, i >= first ? sequence[i] : -1);
        b->weight[at + i - 1] = i >= first;
    }
}

void batch_row_inputs(Batch *b, const int *sequence, int n, Prefix *prefix) {
    int at = batch_add(b, sequence, n, prefix);
    for (int i = 0; i < n; i++) {
        ints_put(&b->target, -1);
        b->weight[at + i] = 0;
    }
}

void batch_clear(Batch *b) { b->rows = b->tokens = b->start.n = b->token.n = b->target.n = 0; }

void batch_free(Batch *b) {
    ints_free(&b->start);
    ints_free(&b->token);
    ints_free(&b->target);
    free(b->weight);
    free(b->prefix);
    *b = (Batch){0};
}

int batch_length(const Batch *b, int row) { return b->start.v[row + 1] - b->start.v[row]; }

int batch_past(const Batch *b, int row) { return b->prefix[row] ? b->prefix[row]->length : 0; }

int batch_longest(const Batch *b) {
    int longest = 0;
    for (int r = 0; r < b->rows; r++) {
        int n = batch_past(b, r) + batch_length(b, r);
        if (n > longest) longest = n;
    }
    return longest;
}

void batch_store(const Batch *b, int layer, const real *kv, size_t stride) {
    for (int r = 0; r < b->rows; r++) {
        Prefix *p = b->prefix[r];
        real *to = prefix_own(p, layer, p->length);
        for (int n = b->start.v[r]; n < b->start.v[r + 1]; n++, to += p->width)
            memcpy(to, kv + (size_t)n * stride, (size_t)p->width * sizeof(real));
    }
}

/* ---- the map ---- */

void rows_map(RowMap *map, const Batch *b, RowsLive live) {
    map->live = 0;
    for (int r = 0; r < b->rows; r++) {
        int begin = b->start.v[r], end = b->start.v[r + 1], before = map->live;
        for (int n = begin; n < end; n++) {
            map->row[n] = r;
            map->position[n] = batch_past(b, r) + n - begin;
            if (live == ROWS_ALL || (live == ROWS_LAST ? n == end - 1 : b->target.v[n] >= 0))
                map->token[map->live++] = n;
        }
        map->first[r] = (map->live > before ? map->token[before] : end) - begin;
    }
}

void rows_pick(const RowMap *map, real *to, const real *from, int width) {
    size_t W = (size_t)width;
    for (int i = 0; i < map->live; i++)
        memmove(to + (size_t)i * W, from + (size_t)map->token[i] * W, W * sizeof(real));
}

void rows_spread(const RowMap *map, real *x, int N, int width) {
    size_t W = (size_t)width;
    for (int n = N - 1, i = map->live - 1; n >= 0; n--) {
        bool live = i >= 0 && map->token[i] == n;
        if (live) memmove(x + (size_t)n * W, x + (size_t)(i--) * W, W * sizeof(real));
        else memset(x + (size_t)n * W, 0, W * sizeof(real));
    }
}

int rows_last(const RowMap *map, int row) {
    int i = map->live - 1;
    while (map->row[map->token[i]] != row) i--;
    return i;
}
