/* The world of the built-in corpus: its items, their questions, and the split into parts. */
#include "data/corpus/world.h"

#include <stdio.h>

#include "data/corpus/words.h"

enum { LETTERS = 8, NUMBERS = 48 };

/* For each domain two ways to ask, as the text before and after the subject. */
static const struct {
    const char *before, *after;
} WORDINGS[DOMAIN_COUNT][2] = {
    [DOMAIN_CAPITAL] = {{"what is the capital of ", " ?"}, {"name the capital city of ", " ."}},
    [DOMAIN_OPPOSITE] = {{"what is the opposite of ", " ?"},
                         {"give a word that means the opposite of ", " ."}},
    [DOMAIN_COLOR] = {{"what colour is ", " ?"}, {"tell me the colour of ", " ."}},
    [DOMAIN_GROUP] = {{"what kind of thing is a ", " ?"}, {"a ", " is a type of what ?"}},
    [DOMAIN_NEXT] = {{"which number comes after ", " ?"}, {"what follows ", " when you count ?"}},
    [DOMAIN_REVERSE] = {{"reverse the letters ", " ."}, {"write ", " backwards ."}},
};

static void item_add(World *w, int domain, const char *subject, const char *right,
                     const char *other) {
    Item *item = &w->items[domain][w->count[domain]++];
    snprintf(item->subject, MAX_WORD, "%s", subject);
    snprintf(item->right, MAX_WORD, "%s", right);
    snprintf(item->other, MAX_WORD, "%s", other);
}

static void facts_add(World *w, int domain, const Fact *facts, size_t n) {
    for (const Fact *f = facts; f < facts + n; f++)
        item_add(w, domain, f->subject, f->right, f->other);
}

static void opposites_add(World *w) {
    for (size_t i = 0; i < sizeof FACTS_OPPOSITE / sizeof *FACTS_OPPOSITE; i++) {
        const TwoWayFact *f = &FACTS_OPPOSITE[i];
        item_add(w, DOMAIN_OPPOSITE, f->subject, f->right, f->other);
        item_add(w, DOMAIN_OPPOSITE, f->right, f->subject, f->other_back);
    }
}

static void numbers_add(World *w) {
    for (int n = 1; n <= NUMBERS; n++) {
        char subject[MAX_WORD], right[MAX_WORD], other[MAX_WORD];
        snprintf(subject, sizeof subject, "%d", n);
        snprintf(right, sizeof right, "%d", n + 1);
        snprintf(other, sizeof other, "%d", n - 1);
        item_add(w, DOMAIN_NEXT, subject, right, other);
    }
}

/* "x y z" of letter numbers. */
static void letters_put(const int *letters, char *text) {
    for (int i = 0; i < 3; i++) {
        text[2 * i] = "abcdefgh"[letters[i]];
        text[2 * i + 1] = ' ';
    }
    text[5] = 0;
}

/* Ordered triples of three different letters. */
static void reversals_add(World *w) {
    for (int a = 0; a < LETTERS; a++)
        for (int b = 0; b < LETTERS; b++)
            for (int c = 0; c < LETTERS; c++) {
                if (a == b || b == c || a == c) continue;
                int low = a < b ? a : b, high = a < b ? b : a;
                if (c < low) low = c;
                if (c > high) high = c;
                char subject[MAX_WORD], right[MAX_WORD], sorted[MAX_WORD];
                letters_put((const int[]){a, b, c}, subject);
                letters_put((const int[]){c, b, a}, right);
                letters_put((const int[]){low, a + b + c - low - high, high}, sorted);
                item_add(w, DOMAIN_REVERSE, subject, right, sorted);
            }
}

#define FACTS_ADD(w, domain, facts) facts_add(w, domain, facts, sizeof(facts) / sizeof *(facts))

static void world_fill(World *w) {
    FACTS_ADD(w, DOMAIN_CAPITAL, FACTS_CAPITAL);
    opposites_add(w);
    FACTS_ADD(w, DOMAIN_COLOR, FACTS_COLOR);
    FACTS_ADD(w, DOMAIN_GROUP, FACTS_GROUP);
    numbers_add(w);
    reversals_add(w);
}

static void world_split(World *w, uint64_t seed) {
    Rng r = rng_new(seed, RNG_CORPUS_SPLIT);
    for (int d = 0; d < DOMAIN_COUNT; d++)
        for (int i = w->count[d] - 1; i > 0; i--) {
            int j = rng_below(&r, i + 1);
            Item t = w->items[d][i];
            w->items[d][i] = w->items[d][j];
            w->items[d][j] = t;
        }
}

World *world_new(uint64_t seed) {
    World *w = mem_new(1, sizeof *w);
    world_fill(w);
    world_split(w, seed);
    return w;
}

void part_range(const World *w, int domain, Part part, int *begin, int *end) {
    int n = w->count[domain], pool = n * 60 / 100, test = n * 25 / 100;
    *begin = part == PART_HOLDOUT ? pool : part == PART_TEST ? n - test : 0;
    *end = part == PART_POOL ? pool : part == PART_HOLDOUT ? n - test : n;
    if (part == PART_PRETRAIN && domain == DOMAIN_REVERSE) *end = n - test;
}

const Item *item_draw(const World *w, Rng *r, int domain, Part part) {
    int begin, end;
    part_range(w, domain, part, &begin, &end);
    return &w->items[domain][begin + rng_below(r, end - begin)];
}

void question_put(int domain, int wording, const Item *item, char *text) {
    snprintf(text, MAX_QUESTION, "%s%s%s", WORDINGS[domain][wording].before, item->subject,
             WORDINGS[domain][wording].after);
}
