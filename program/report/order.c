#include "program/report/order.h"

#include "ica.h"

#include <string.h>

#define COUNT(list) (int)(sizeof(list) / sizeof *(list))

static bool is_named(const char *name, const char *s, size_t length) {
    return strlen(name) == length && memcmp(name, s, length) == 0;
}

/* The place of s in a list of n names, or n. */
static int rank_in(const char *const *list, int n, const char *s) {
    int i = 0;
    while (i < n && strcmp(list[i], s) != 0) i++;
    return i;
}

static int method_rank(const char *s, size_t length) {
    int i = 0;
    while (i < METHOD_COUNT && !is_named(METHODS[i].name, s, length)) i++;
    return i;
}

static int map_rank(const char *s) {
    int i = 0;
    while (i < MAP_COUNT && strcmp(MAPS[i].name, s) != 0) i++;
    return i;
}

int objective_rank(const char *objective) {
    int i = 0;
    while (i < OBJECTIVE_COUNT && strcmp(OBJECTIVES[i].name, objective) != 0) i++;
    return i;
}

bool objective_pairs(const char *objective) {
    int i = objective_rank(objective);
    return i == OBJECTIVE_COUNT || OBJECTIVES[i].pairs;
}

const char *objective_title(const char *objective) {
    static const char *const titles[OBJECTIVE_COUNT] = {
        [OBJECTIVE_SFT] = "Fine-tuning", [OBJECTIVE_DPO] = "DPO", [OBJECTIVE_SIMPO] = "SimPO"};
    int i = objective_rank(objective);
    return titles[i < OBJECTIVE_COUNT ? i : OBJECTIVE_SFT];
}

size_t arm_method_length(const char *arm) { return strcspn(arm, ":"); }

/* Baselines first. METHODS ends with them, the simplest last, so they are taken from its end. */
static int arm_rank(const char *arm) {
    size_t length = arm_method_length(arm);
    if (is_named("uniform", arm, length)) return 0;
    int method = method_rank(arm, length);
    if (method < METHOD_COUNT && !METHODS[method].needs_holdout) return METHOD_COUNT - method;
    if (method < METHOD_COUNT) return METHOD_COUNT + 1 + method;
    /* Then names that no table has, then the two that use the holdout alone or the labels. */
    const char *const last[] = {"holdout-only", "oracle"};
    int known = rank_in(last, COUNT(last), arm);
    return 2 * METHOD_COUNT + 1 + (known < COUNT(last) ? known + 1 : 0);
}

/* By rank; names of the same rank by spelling. */
static int ranked(int p_rank, int q_rank, const char *p, const char *q) {
    return p_rank != q_rank ? p_rank - q_rank : strcmp(p, q);
}

int order_arms(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    int d = arm_rank(p) - arm_rank(q);
    if (d != 0) return d;
    size_t m = arm_method_length(p), n = arm_method_length(q);
    return ranked(map_rank(p + m + (p[m] == ':')), map_rank(q + n + (q[n] == ':')), p, q);
}

int order_methods(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(method_rank(p, strlen(p)), method_rank(q, strlen(q)), p, q);
}

int order_groups(const void *a, const void *b) {
    static const char *const groups[] = {"even50", "verbose60"};
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(rank_in(groups, COUNT(groups), p), rank_in(groups, COUNT(groups), q), p, q);
}

int order_kinds(const void *a, const void *b) {
    static const char *const kinds[] = {"all",  "careless", "echo",   "absent",
                                        "lazy", "verbose",  "refuser"};
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(rank_in(kinds, COUNT(kinds), p), rank_in(kinds, COUNT(kinds), q), p, q);
}

int order_draws(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    char *p_end, *q_end;
    double x = strtod(p, &p_end), y = strtod(q, &q_end);
    bool p_number = *p && !*p_end, q_number = *q && !*q_end;
    if (p_number != q_number) return p_number ? -1 : 1;
    if (p_number && x != y) return x < y ? -1 : 1;
    return strcmp(p, q);
}

const char *plural(int n) { return n == 1 ? "" : "s"; }
