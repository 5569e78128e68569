#include "lib/map.h"

#include <stdlib.h>

/* ---- map ---- */

/* The slot of a key, or the empty one where it belongs. Keys may be consecutive numbers packed in
 * pairs. The multiplication mixes all their bits into the high bits, which choose the slot. */
static MapSlot *map_slot(const Map *m, uint64_t key) {
    size_t mask = ((size_t)1 << m->bits) - 1;
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> (64 - m->bits));
    while (m->slots[i].value_plus_1 != 0 && m->slots[i].key != key) i = (i + 1) & mask;
    return &m->slots[i];
}

int map_get(const Map *m, uint64_t key) {
    return m->slots ? map_slot(m, key)->value_plus_1 - 1 : -1;
}

static void map_grow(Map *m) {
    Map larger = {.bits = m->slots ? m->bits + 1 : 8};
    larger.slots = mem_new((size_t)1 << larger.bits, sizeof *larger.slots);
    for (size_t i = 0; m->slots && i < (size_t)1 << m->bits; i++)
        if (m->slots[i].value_plus_1 != 0)
            map_set(&larger, m->slots[i].key, m->slots[i].value_plus_1 - 1);
    free(m->slots);
    *m = larger;
}

void map_set(Map *m, uint64_t key, int value) {
    if (!m->slots || m->used * 2 >= (size_t)1 << m->bits) map_grow(m);
    MapSlot *slot = map_slot(m, key);
    if (slot->value_plus_1 == 0) m->used++;
    *slot = (MapSlot){key, value + 1};
}

void map_free(Map *m) {
    free(m->slots);
    *m = (Map){0};
}

/* ---- set of strings ---- */

int strset_find(const StrSet *set, Str s) {
    int i = map_get(&set->by_hash, hash64(s.s, s.n, HASH_START));
    while (i >= 0 && !str_equal(set->v[i], s)) i = set->same_hash[i];
    return i;
}

int strset_add(StrSet *set, Str s) {
    int found = strset_find(set, s);
    if (found >= 0) return found;
    if (set->n == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 256;
        set->v = mem_grow(set->v, (size_t)set->capacity, sizeof *set->v);
        set->same_hash = mem_grow(set->same_hash, (size_t)set->capacity, sizeof *set->same_hash);
    }
    uint64_t hash = hash64(s.s, s.n, HASH_START);
    set->v[set->n] = s;
    set->same_hash[set->n] = map_get(&set->by_hash, hash);
    map_set(&set->by_hash, hash, set->n);
    return set->n++;
}

void strset_free(StrSet *set) {
    free(set->v);
    free(set->same_hash);
    map_free(&set->by_hash);
    *set = (StrSet){0};
}

/* ---- heap ---- */

static bool comes_before(HeapItem a, HeapItem b) {
    return a.first != b.first ? a.first < b.first : a.second < b.second;
}

void heap_push(Heap *h, HeapItem item) {
    if (h->n == h->capacity) {
        h->capacity = h->capacity ? h->capacity * 2 : 64;
        h->v = mem_grow(h->v, h->capacity, sizeof *h->v);
    }
    size_t i = h->n++;
    for (; i > 0 && comes_before(item, h->v[(i - 1) / 2]); i = (i - 1) / 2)
        h->v[i] = h->v[(i - 1) / 2];
    h->v[i] = item;
}

HeapItem heap_pop(Heap *h) {
    HeapItem top = h->v[0], last = h->v[--h->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && comes_before(h->v[child + 1], h->v[child])) child++;
        if (!comes_before(h->v[child], last)) break;
        h->v[i] = h->v[child];
    }
    h->v[i] = last;
    return top;
}

void heap_free(Heap *h) {
    free(h->v);
    *h = (Heap){0};
}
