#include "lib/tfidf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One entry of a token's list: a document that holds the token, and the token's value in its
 * vector. */
typedef struct {
    int document;
    double value;
} Posting;

/* An inverted index. From a token it leads to the documents that hold it, so a query touches only
 * the documents that share a token with it. It never changes once it is made.
 *
 *   id       10          20     30          40         distinct ids, increasing
 *   start     0           2      3           5     6   where lists begin, and the end
 *   posting  (0,.3)(1,.4) (0,.9) (1,.5)(2,.6) (2,.8)   in the order of documents
 */
struct Tfidf {
    int count;
    Document *documents; /* [count] */
    int n_ids;
    int *id;           /* [n_ids], increasing */
    double *idf;       /* [n_ids] */
    double unseen_idf; /* of a token that no document holds */
    int *start;        /* [n_ids + 1] */
    Posting *posting;  /* [start[n_ids]] */
    Arena arena;       /* owns all of the above */
};

static int compare_ints(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* The distinct tokens in increasing order, each with the number of its occurrences. */
static TfidfVector count_tokens(Arena *arena, const int *tokens, int n) {
    TfidfVector v = {0, arena_new(arena, (size_t)n + 1, sizeof(int)),
                     arena_new(arena, (size_t)n + 1, sizeof(double))};
    int *sorted = mem_new((size_t)n, sizeof(int));
    if (n) memcpy(sorted, tokens, (size_t)n * sizeof(int));
    qsort(sorted, (size_t)n, sizeof(int), compare_ints);
    for (int i = 0; i < n; i++) {
        if (v.n == 0 || v.id[v.n - 1] != sorted[i]) v.id[v.n++] = sorted[i];
        v.value[v.n - 1]++;
    }
    free(sorted);
    return v;
}

static double inverse_document_frequency(int documents, int with_token) {
    return log((1.0 + documents) / (1.0 + with_token)) + 1.0;
}

/* Where a token stands among the index's ids, or -1. */
static int find_id(const Tfidf *index, int id) {
    const int *found = bsearch(&id, index->id, (size_t)index->n_ids, sizeof(int), compare_ints);
    return found ? (int)(found - index->id) : -1;
}

/* Turns counts into tf x idf and scales the vector to length 1. */
static void weigh(const Tfidf *index, TfidfVector *v) {
    double square = 0;
    for (int i = 0; i < v->n; i++) {
        int found = find_id(index, v->id[i]);
        v->value[i] *= found >= 0 ? index->idf[found] : index->unseen_idf;
        square += v->value[i] * v->value[i];
    }
    for (int i = 0; i < v->n && square > 0; i++) v->value[i] /= sqrt(square);
}

TfidfVector tfidf_vector(const Tfidf *index, Document d, Arena *arena) {
    TfidfVector v = count_tokens(arena, d.token, d.n);
    weigh(index, &v);
    return v;
}

double tfidf_cosine(const TfidfVector *a, const TfidfVector *b) {
    double dot = 0;
    for (int i = 0, j = 0; i < a->n && j < b->n;) {
        if (a->id[i] == b->id[j]) dot += a->value[i++] * b->value[j++];
        else if (a->id[i] < b->id[j]) i++;
        else j++;
    }
    return dot;
}

/* Sets the ids, their idf, and where their lists begin. `ids` holds every document's distinct ids
 * one after another: the number of times an id occurs there is its document frequency. */
static void index_ids(Tfidf *index, const IntBuf *ids) {
    TfidfVector frequency = count_tokens(&index->arena, ids->v, ids->n);
    index->n_ids = frequency.n;
    index->id = frequency.id;
    index->idf = frequency.value;
    index->start = arena_new(&index->arena, (size_t)index->n_ids + 1, sizeof *index->start);
    for (int i = 0; i < index->n_ids; i++) {
        index->start[i + 1] = index->start[i] + (int)index->idf[i];
        index->idf[i] = inverse_document_frequency(index->count, (int)index->idf[i]);
    }
    index->unseen_idf = inverse_document_frequency(index->count, 0);
}

Tfidf *tfidf_new(const Document *documents, int count) {
    Tfidf *index = mem_new(1, sizeof *index);
    index->count = count;
    index->documents = arena_new(&index->arena, (size_t)count, sizeof *documents);
    if (count) memcpy(index->documents, documents, (size_t)count * sizeof *documents);

    /* Count the tokens of every document, then the documents of every token. */
    TfidfVector *vector = mem_new((size_t)count, sizeof *vector);
    IntBuf ids = {0};
    for (int d = 0; d < count; d++) {
        vector[d] = count_tokens(&index->arena, documents[d].token, documents[d].n);
        ints_append(&ids, vector[d].id, vector[d].n);
    }
    index_ids(index, &ids);

    /* Weigh each document's vector and spread its entries over the lists of its tokens. */
    index->posting = arena_new(&index->arena, (size_t)ids.n, sizeof *index->posting);
    int *filled = mem_new((size_t)index->n_ids, sizeof *filled);
    for (int d = 0; d < count; d++) {
        weigh(index, &vector[d]);
        for (int i = 0; i < vector[d].n; i++) {
            int at = find_id(index, vector[d].id[i]);
            index->posting[index->start[at] + filled[at]++] = (Posting){d, vector[d].value[i]};
        }
    }
    ints_free(&ids);
    free(filled);
    free(vector);
    return index;
}

void tfidf_free(Tfidf *index) {
    if (!index) return;
    arena_free(&index->arena);
    free(index);
}

void tfidf_cosines(const Tfidf *index, Document d, double *cosine) {
#ifdef NAIVE
    tfidf_cosines_plain(index, d, cosine);
    return;
#endif
    Arena scratch = {0};
    TfidfVector query = tfidf_vector(index, d, &scratch);
    for (int i = 0; i < index->count; i++) cosine[i] = 0;
    for (int i = 0; i < query.n; i++) {
        int at = find_id(index, query.id[i]);
        if (at < 0) continue;
        for (int p = index->start[at]; p < index->start[at + 1]; p++)
            cosine[index->posting[p].document] += query.value[i] * index->posting[p].value;
    }
    arena_free(&scratch);
}

void tfidf_cosines_plain(const Tfidf *index, Document d, double *cosine) {
    Arena scratch = {0};
    TfidfVector query = tfidf_vector(index, d, &scratch);
    for (int i = 0; i < index->count; i++) {
        TfidfVector shown = tfidf_vector(index, index->documents[i], &scratch);
        cosine[i] = tfidf_cosine(&query, &shown);
    }
    arena_free(&scratch);
}
