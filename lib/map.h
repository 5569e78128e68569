/* map: containers without pointers into them: a hash map of numbers, a set of strings, a heap.
 *
 * All three are zero-initialized, grow by doubling and are freed by the functions below. Running
 * out of memory ends the program (lib/util.h).
 *
 * Usage:
 *   Map ages = {0};
 *   map_set(&ages, 1815, 36);
 *   int age = map_get(&ages, 1815);            // 36
 *   int none = map_get(&ages, 1900);           // -1
 *   StrSet words = {0};
 *   strset_add(&words, str("low"));            // 0
 *   strset_add(&words, str("new"));            // 1
 *   int again = strset_add(&words, str("low"));// 0
 *   (void)age, (void)none, (void)again;
 *   map_free(&ages);
 *   strset_free(&words);
 */
#ifndef MAP_H
#define MAP_H

#include "lib/util.h"

/* ---- from 64-bit keys to ints >= 0 ---- */

/* Open addressing with linear probing, at most half full. */
typedef struct {
    uint64_t key;
    int value_plus_1;
} MapSlot; /* value_plus_1 0: empty */
typedef struct {
    MapSlot *slots;
    size_t used;
    int bits;
} Map; /* [2^bits] slots */

int map_get(const Map *m, uint64_t key); /* -1 if the key is absent */
void map_set(Map *m, uint64_t key, int value);
void map_free(Map *m);

/* The key of a pair of ints >= 0. Keys are in the order of the pairs. */
static inline uint64_t map_pair(int first, int second) {
    return (uint64_t)first << 32 | (uint32_t)second;
}

/* ---- distinct strings, numbered from 0 in order of arrival ---- */

typedef struct {
    Str *v;         /* [n] the strings; their bytes are borrowed */
    int *same_hash; /* [n] the previous string with the same hash, or -1 */
    int n, capacity;
    Map by_hash;
} StrSet;

int strset_find(const StrSet *set, Str s); /* its number, or -1 */
/* Its number. The string is new if that equals the n before the call. */
int strset_add(StrSet *set, Str s);
void strset_free(StrSet *set);

/* ---- a binary heap: the smallest pair (first, second) comes out first ---- */

typedef struct {
    uint64_t first, second;
} HeapItem;
typedef struct {
    HeapItem *v;
    size_t n, capacity;
} Heap;

void heap_push(Heap *h, HeapItem item); /* O(log n) */
HeapItem heap_pop(Heap *h);             /* O(log n); h->n >= 1 */
void heap_free(Heap *h);

#endif
