/* bench_score: what sharing demonstrations saves when candidates are scored, and what a score costs beside training. */
#ifndef BENCH_SCORE_H
#define BENCH_SCORE_H

#include "../lib/util.h"
#include "../model.h"

/* Appends to `json`, comma-separated, one object for each group size (1, 4, 16, 64 candidates behind one context of 3 demonstrations):
 * {"config", "group", "threads", "naive_ms", "cached_ms", "train_ms", "saving", "bound", "share_of_bound", "relative_cost",
 * "relative_bound", "cost_over_bound"}, milliseconds a candidate, and prints a table on stderr. `threads` is what OpenMP is set to. */
void bench_score(Buf *json, const char *config, ModelConfig shape, int train_rows, int threads);

#endif
