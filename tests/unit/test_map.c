/* map: the hash map against an array, the set of strings, the heap against sorting. */
#include "lib/map.h"

#include <stdlib.h>

#include "tests/unit/check.h"

static void test_map(void) {
    enum { KEYS = 5000 };
    Map m = {0};
    CHECK(map_get(&m, 7) == -1, "an empty map has a key");
    for (int round = 0; round < 2; round++) /* the second round replaces the values */
        for (int i = 0; i < KEYS; i++) map_set(&m, map_pair(i % 70, i), i + round);
    int wrong = 0;
    for (int i = 0; i < KEYS; i++) wrong += map_get(&m, map_pair(i % 70, i)) != i + 1;
    for (int i = 0; i < KEYS; i++) wrong += map_get(&m, map_pair(i % 70, i + KEYS)) != -1;
    CHECK(wrong == 0, "%d of %d keys are wrong", wrong, 2 * KEYS);
    CHECK(m.used == KEYS, "%zu keys, not %d", m.used, KEYS);
    map_set(&m, 0, 3);
    map_set(&m, UINT64_MAX, 0);
    CHECK(map_get(&m, 0) == 3 && map_get(&m, UINT64_MAX) == 0, "the smallest or the largest key");
    CHECK(map_pair(1, 5) < map_pair(2, 0) && map_pair(2, 0) < map_pair(2, 1), "order of pairs");
    map_free(&m);
    CHECK(map_get(&m, 0) == -1, "a freed map has a key");
}

static void test_strings(void) {
    enum { STRINGS = 1000 };
    StrSet set = {0};
    Arena arena = {0};
    int wrong = 0;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < STRINGS; i++) {
            char text[16];
            int n = snprintf(text, sizeof text, "%d", i * i);
            wrong += strset_add(&set, str_copy(&arena, (Str){text, (size_t)n})) != i;
        }
    CHECK(wrong == 0 && set.n == STRINGS, "%d numbers are wrong, %d strings", wrong, set.n);
    CHECK(strset_find(&set, str("16")) == 4, "16 is number %d", strset_find(&set, str("16")));
    CHECK(strset_find(&set, str("2")) == -1, "2 is not a square");
    Str nul = {"1\0", 2}, empty = {NULL, 0};
    CHECK(strset_find(&set, nul) == -1 && strset_add(&set, nul) == STRINGS, "a string with a NUL");
    CHECK(strset_add(&set, empty) == STRINGS + 1 && strset_find(&set, str("")) == STRINGS + 1,
          "the empty string");
    strset_free(&set);
    arena_free(&arena);
}

static int by_both(const void *a, const void *b) {
    const HeapItem *p = a, *q = b;
    if (p->first != q->first) return p->first < q->first ? -1 : 1;
    return p->second < q->second ? -1 : p->second > q->second;
}

static void test_heap(void) {
    enum { ITEMS = 3000 };
    Heap h = {0};
    HeapItem *sorted = mem_new(ITEMS, sizeof *sorted);
    Rng rng = rng_new(1, 0);
    for (int i = 0; i < ITEMS; i++) {
        sorted[i] = (HeapItem){(uint64_t)rng_below(&rng, 50), rng_u64(&rng)};
        heap_push(&h, sorted[i]);
    }
    qsort(sorted, ITEMS, sizeof *sorted, by_both);
    int wrong = 0;
    for (int i = 0; i < ITEMS; i++) {
        HeapItem item = heap_pop(&h);
        wrong += by_both(&item, &sorted[i]) != 0;
    }
    CHECK(wrong == 0 && h.n == 0, "%d items came out of order, %zu are left", wrong, h.n);
    heap_free(&h);
    free(sorted);
}

int main(void) {
    test_map();
    test_strings();
    test_heap();
    return check_report("map");
}
