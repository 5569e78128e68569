/* bench_score: what sharing demonstrations saves when candidates are scored, and what a score costs beside training. */
#ifndef BENCH_SCORE_H
#define BENCH_SCORE_H

#include "lib/util.h"
#include "model.h"

/* Appends to `json`, comma-separated, one object for each group size (1, 4, 16, 64 candidates behind one context of 3
 * demonstrations, 64 tokens each): {"config", "group", "threads", "naive_ms", "cached_ms", "train_ms" (a candidate, medians),
 * "saving", "bound" ((k s + b + h) / (u s + b + h), b = 24 L C^2, s = b - 18 C^2 as nobody reads a demonstration's last layer behind
 * its keys and values, h = 2 V C, u = k / group), "share_of_bound", "share_by_operations" (attention counted, too), "relative_cost"
 * (over training), "relative_bound" ((u s + b + h) / (3 (b + h))),
 * "cost_over_bound", "cost_by_operations"}; prints a table on stderr. `threads` is what OpenMP is set to. */
void bench_score(Buf *json, const char *config, ModelConfig shape, int train_rows, int threads);

#endif
