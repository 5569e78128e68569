/* tfidf: the weighting against its formula by hand, and the index against the twin that makes every
 * vector anew. */
#include "lib/tfidf.h"
#include "tests/unit/check.h"

#include <math.h>
#include <string.h>

/* Two documents worked out by hand: N = 2, df(10) = 2, df(20) = 1, so idf(10) = ln(3/3) + 1 and
 * idf(20) = ln(3/2) + 1. A token that no document holds has idf ln(3/1) + 1. */
static void test_by_hand(void) {
    static const int a[] = {20, 10, 10}, b[] = {10}, q[] = {20, 99};
    Document documents[] = {{a, 3}, {b, 1}};
    Tfidf *index = tfidf_new(documents, 2);
    Arena arena = {0};
    double rare = log(1.5) + 1, unseen = log(3.0) + 1, length = sqrt(4 + rare * rare), cosine[2];
    TfidfVector v = tfidf_vector(index, documents[0], &arena);
    CHECK(v.n == 2 && v.id[0] == 10 && v.id[1] == 20, "[E6] %d distinct ids", v.n);
    CHECK(fabs(v.value[0] - 2 / length) < 1e-15 && fabs(v.value[1] - rare / length) < 1e-15,
          "[E6] %g %g", v.value[0], v.value[1]);
    tfidf_cosines(index, (Document){q, 2}, cosine);
    double expected = rare * rare / length / sqrt(rare * rare + unseen * unseen);
    CHECK(fabs(cosine[0] - expected) < 1e-15 && cosine[1] == 0,
          "[E6] cosines %g and %g, by hand %g and 0", cosine[0], cosine[1], expected);
    arena_free(&arena);
    tfidf_free(index);
    tfidf_free(NULL);
}

/* Random documents, empty ones and queries with unknown tokens among them: the same bits both ways.
 */
static void test_index_is_plain(void) {
    enum { MOST = 30, TOKENS = 12 };
    Rng rng = rng_new(21, 0);
    for (int trial = 0; trial < 60; trial++) {
        int token[MOST + 1][TOKENS], count = rng_below(&rng, MOST), words = 2 + rng_below(&rng, 40),
                                     outside = 0;
        Document d[MOST + 1];
        double fast[MOST], plain[MOST];
        for (int i = 0; i <= count; i++) { /* the last one is the query */
            d[i] = (Document){token[i], rng_below(&rng, TOKENS + 1)};
            for (int t = 0; t < d[i].n; t++)
                token[i][t] = rng_below(&rng, i < count ? words : words + 9);
        }
        Tfidf *index = tfidf_new(d, count);
        memset(fast, 0xff, sizeof fast);
        tfidf_cosines(index, d[count], fast);
        tfidf_cosines_plain(index, d[count], plain);
        CHECK(memcmp(fast, plain, (size_t)count * sizeof *fast) == 0,
              "[E6] trial %d: the index gives other bits", trial);
        for (int i = 0; i < count; i++) outside += !(fast[i] >= 0 && fast[i] <= 1 + 1e-15);
        CHECK(outside == 0, "[E6] trial %d: %d cosines are not in [0, 1]", trial, outside);
        tfidf_free(index);
    }
}

int main(void) {
    test_by_hand();
    test_index_is_plain();
    return check_report("test_tfidf");
}
