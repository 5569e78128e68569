/* bench: the parts and the models of `ica bench`, and the part that measures scores.
 *
 * Usage:
 *   static const BenchConfig tiny = {"tiny", "one layer", {.layers = 1, .heads = 1, .channels = 8,
 *       .context = 8, .vocab = 16}, 1, 8};
 *   Error err = {0};
 *   BenchOut out = {.err = &err};
 *   buf_putc(&out.json, '[');
 *   bench_score(&out, &tiny, 1);
 *   buf_putc(&out.json, ']');
 *   buf_free(&out.json);
 */
#ifndef BENCH_H
#define BENCH_H

#include "lib/util.h"
#include "model.h"

enum { BENCH_GEMM, BENCH_STEP, BENCH_SCORE, BENCH_PART_COUNT };
typedef struct {
    const char *name, *help;
} BenchPart;
extern const BenchPart BENCH_PARTS[]; /* [BENCH_PART_COUNT] */

typedef struct {
    const char *name, *help;
    ModelConfig shape;
    int rows, length; /* of a training batch, in rows and tokens a row */
} BenchConfig;
enum { BENCH_CONFIG_COUNT = 5 };
extern const BenchConfig BENCH_CONFIGS[]; /* [BENCH_CONFIG_COUNT] */

/* Where the figures go. */
typedef struct {
    Buf json;     /* the result of --json */
    bool is_json; /* the lines for people are progress, on stderr; else the result, on stdout */
    Error *err;   /* of the first line that could not be written */
} BenchOut;

/* Prints a part of a line for people. */
void bench_tell(BenchOut *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* Measures what sharing demonstrations saves when candidates are scored, and what a score costs
 * beside training. Prints a table. Appends one JSON object for each group size: 1, 4, 16
 * or 64 candidates after one context of 3 demonstrations, 64 tokens each. Its keys are
 *
 *   config, group, threads          what was measured; `threads` is what OpenMP is set to
 *   naive_ms, cached_ms, train_ms   milliseconds a candidate, medians
 *   saving                          naive over cached
 *   bound                           (k s + b + h) / (u s + b + h)
 *   share_of_bound                  saving over bound
 *   share_by_operations             the same with the operations of attention counted too
 *   relative_cost                   cached over train
 *   relative_bound                  (u s + b + h) / (3 (b + h))
 *   cost_over_bound, cost_by_operations
 *
 * with b = 2 x the weights of all blocks' matrices (of GPT-2 24 L C^2), h = 2 V C, u = k / group. s
 * is b without the matrices of the last block but its queries, keys and values, since nothing
 * reads a demonstration's last layer after its keys and values. */
void bench_score(BenchOut *out, const BenchConfig *config, int threads);

#endif
