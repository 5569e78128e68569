/* order: which name comes first in a report, and what names are called for people.
 *
 * Methods, maps and objectives come in the order of ica.h's tables, so a new row needs no change
 * here. The functions order_* compare two pointers to strings (const char *const *), as qsort and
 * names_sort pass them. Names they do not know come last, by spelling.
 *
 * Usage:
 *   const char *arms[3] = {"oracle", "ica:top", "uniform"};
 *   qsort(arms, 3, sizeof *arms, order_arms);     // uniform, ica:top, oracle
 */
#ifndef REPORT_ORDER_H
#define REPORT_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* Arms: uniform, methods that see no holdout, the others, holdout-only and oracle last. Arms of one
 * method are ordered by map. */
int order_arms(const void *a, const void *b);
int order_methods(const void *a, const void *b);
/* Groups of runs ("even50") and kinds of corruption ("careless"): those of the built-in corpus
 * first. */
int order_groups(const void *a, const void *b);
int order_kinds(const void *a, const void *b);
/* Draws: numbers by value, before words. */
int order_draws(const void *a, const void *b);

/* The place of an objective in ica.h's OBJECTIVES, or OBJECTIVE_COUNT. */
int objective_rank(const char *objective);
/* Does it learn from pairs? An unknown objective counts as one that does. */
bool objective_pairs(const char *objective);
/* For headings: "Fine-tuning", "DPO", "SimPO". */
const char *objective_title(const char *objective);
/* The length of METHOD in the arm "METHOD:MAP". */
size_t arm_method_length(const char *arm);
/* The ending of a noun after the number n: "" or "s". */
const char *plural(int n);

#endif
