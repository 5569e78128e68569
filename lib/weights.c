#include "lib/weights.h"

#include <math.h>
#include <stdlib.h>

#include "lib/stats.h"

/* ---- maps: from scores to weights ---- */

/* What a map may look at: n scores, as they come and in increasing order. */
struct MapInput {
    const MapOptions *how;
    const double *score, *sorted;
    int n;
};

/* Linear from `low`, which weighs 0, to `high`, which weighs 1, and clamped beyond. If both are
 * equal, scores below get 0 and all others 1. */
static void weights_between(const MapInput *in, double low, double high, double *weight) {
    for (int i = 0; i < in->n; i++) {
        double s = in->score[i], w = high > low ? (s - low) / (high - low) : s >= low;
        weight[i] = w < 0 ? 0 : w > 1 ? 1 : w;
    }
}

/* [E8] w_i = (s_i - min) / (max - min). The public code takes minimum and maximum over the pool,
 * the paper over the batch: it depends on the scores that the caller passes. All equal: all weights
 * 1. */
static void weights_minmax(const MapInput *in, double *weight) {
    weights_between(in, in->sorted[0], in->sorted[in->n - 1], weight);
}

/* The same between two percentiles, so that an outlier does not squeeze all other weights together.
 */
static void weights_clip(const MapInput *in, double *weight) {
    double clip = in->how->clip, low = quantile(in->sorted, in->n, clip);
    weights_between(in, low, quantile(in->sorted, in->n, 1 - clip), weight);
}

/* r / (n - 1), where r is the rank from 0 and ties share their mean rank. A single score weighs 1.
 */
static void weights_rank(const MapInput *in, double *weight) {
    for (int i = 0; i < in->n; i++)
        weight[i] = in->n > 1 ? average_rank(in->sorted, in->n, in->score[i]) / (in->n - 1) : 1;
}

/* exp(z / temperature), where z is the standardized score, scaled so that the largest weight is 1
 * and nothing overflows. The scale cancels in E9 where W is a sum of weights. With NORMALIZE_COUNT
 * and NORMALIZE_NONE it sets the gradient's length. */
static void weights_softmax(const MapInput *in, double *weight) {
    double mean, deviation, most = in->sorted[in->n - 1];
    moments(in->score, in->n, &mean, &deviation);
    for (int i = 0; i < in->n; i++)
        weight[i] =
            deviation > 0 ? exp((in->score[i] - most) / (deviation * in->how->temperature)) : 1;
}

/* 1 for the best `share` of the scores, at least one, else 0. Of equal scores the smaller index
 * wins, so that the number is exact. */
static void weights_top(const MapInput *in, double *weight) {
    int *best = mem_new((size_t)in->n, sizeof *best), keep = (int)(in->how->share * in->n + 0.5);
    keep = largest(in->score, in->n, keep < 1 ? 1 : keep, best);
    for (int i = 0; i < in->n; i++) weight[i] = 0;
    for (int i = 0; i < keep; i++) weight[best[i]] = 1;
    free(best);
}

/* max(0, s): the score itself, in its own units. */
static void weights_positive(const MapInput *in, double *weight) {
    for (int i = 0; i < in->n; i++) weight[i] = in->score[i] > 0 ? in->score[i] : 0;
}

/* 1 if s > 0, else 0: what harms the holdout is left out. */
static void weights_filter(const MapInput *in, double *weight) {
    for (int i = 0; i < in->n; i++) weight[i] = in->score[i] > 0;
}

/* clang-format off */
const MapInfo MAPS[] = {
    [MAP_MINMAX] = {"minmax", "linear over the pool's scores", false, weights_minmax},
    [MAP_MINMAX_BATCH] = {"minmax-batch", "linear over the batch's scores", true, weights_minmax},
    [MAP_CLIP] = {"clip", "linear between two percentiles", false, weights_clip},
    [MAP_RANK] = {"rank", "linear in the score's rank", false, weights_rank},
    [MAP_SOFTMAX] = {"softmax", "exponential in the standardized score", false, weights_softmax},
    [MAP_TOP] = {"top", "1 for the best share, else 0", false, weights_top},
    [MAP_POSITIVE] = {"positive", "the score where it is above 0, else 0", false, weights_positive},
    [MAP_FILTER] = {"filter", "1 where the score is above 0, else 0", false, weights_filter},
};
/* clang-format on */
_Static_assert(sizeof MAPS / sizeof *MAPS == MAP_COUNT, "a row each");

/* No map sees a score that is not known. */
void map_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight) {
    double *known = mem_new((size_t)n, sizeof *known), sum = 0;
    int m = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(score[i])) known[m++] = score[i];
    double *sorted = sorted_copy(known, m), *given = mem_new((size_t)m, sizeof *given);
    if (m) MAPS[map].weights(&(MapInput){how, known, sorted, m}, given);
    for (int i = 0; i < m; i++) sum += given[i];
    /* Hand the weights out, and the mean where there is none. */
    for (int i = 0, at = 0; i < n; i++)
        weight[i] = !isnan(score[i]) ? given[at++] : m ? sum / m : 1;
    free(known);
    free(sorted);
    free(given);
}

/* ---- the weighted gradient ---- */

const Choice NORMALIZATIONS[] = {
    [NORMALIZE_BATCH] = {"batch", "the sum of the batch's weights"},
    [NORMALIZE_MICRO] = {"micro", "each micro-batch's sum: at one example the weights cancel"},
    [NORMALIZE_COUNT] = {"count", "the number of examples"},
    [NORMALIZE_NONE] = {"none", "nothing"},
    [NORMALIZE_TOKENS] = {"tokens", "the batch's answer tokens, each times its example's weight"},
};
_Static_assert(sizeof NORMALIZATIONS / sizeof *NORMALIZATIONS == NORMALIZATION_COUNT, "a row each");

/* [E9] g = (sum_i w_i grad l_i) / W: the factor w_i / W of each example. */
bool loss_coefficients(Normalize how, const double *weight, const int *tokens, int n, int micro,
                       double *coefficient) {
    double total = 0, all_tokens = 0;
    for (int i = 0; i < n; i++) total += weight[i];
    for (int i = 0; i < n && how == NORMALIZE_TOKENS; i++) all_tokens += weight[i] * tokens[i];
    for (int i = 0; i < n; i++) {
        double W = how == NORMALIZE_NONE ? 1 : how == NORMALIZE_COUNT ? n : total;
        if (how == NORMALIZE_MICRO) {
            /* The public code: with one example a micro-batch, w_i / W is 1, whatever the weight. W
             * is a mean, because gradient accumulation averages the micro-batches. Hence the n
             * below. */
            int from = i / micro * micro, to = from + micro < n ? from + micro : n;
            W = 0;
            for (int j = from; j < to; j++) W += weight[j];
            W /= to - from;
        }
        coefficient[i] = W > 0 ? weight[i] / W : 0;
        /* sum_i w_i grad(token sum of i) / sum_i w_i n_i, where l_i is i's token mean: with weights
         * of 1 the mean over all tokens. */
        if (how == NORMALIZE_TOKENS && total > 0)
            coefficient[i] = weight[i] * tokens[i] / all_tokens;
        if (how == NORMALIZE_MICRO)
            coefficient[i] /= n; /* apart, so that w_i = W leaves exactly 1/n */
    }
    return total > 0;
}
