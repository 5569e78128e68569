#include "lib/weights.h"

#include <math.h>
#include <stdlib.h>

#include "lib/stats.h"

/* ---- maps: from scores to weights ---- */

/* What a map may look at: n scores, as they come and in increasing order. */
struct MapInput {
    const MapOptions *how;
    const double *score, *sorted;
    const double *likelihood; /* the second number, or NULL */
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

/* 1 if gain and likelihood reach their thresholds, else 0. */
static void weights_accept(const MapInput *in, double *weight) {
    const double *t = in->how->threshold;
    for (int i = 0; i < in->n; i++)
        weight[i] = in->score[i] >= t[0] && (!in->likelihood || in->likelihood[i] >= t[1]);
}

/* max(0, 2 P - 1): a pair that is as likely flipped as not teaches nothing. If the others are
 * swapped, |2 P - 1|. */
static void weights_mirror(const MapInput *in, double *weight) {
    double slope = in->how->slope, share = mirror_share(slope, in->score, in->n);
    for (int i = 0; i < in->n; i++) {
        double w = 2 * mirror_probability(slope, share, in->score[i]) - 1;
        weight[i] = in->how->relabel ? fabs(w) : fmax(0, w);
    }
}

/* clang-format off */
const MapInfo MAPS[] = {
    /* name, help; of a batch, of the holdout */
    [MAP_MINMAX] = {"minmax", "linear over the pool's scores", false, false, weights_minmax},
    [MAP_MINMAX_BATCH] = {"minmax-batch", "linear over the batch's scores", true, false,
                          weights_minmax},
    [MAP_CLIP] = {"clip", "linear between two percentiles", false, false, weights_clip},
    [MAP_RANK] = {"rank", "linear in the score's rank", false, false, weights_rank},
    [MAP_SOFTMAX] = {"softmax", "exponential in the standardized score", false, false,
                     weights_softmax},
    [MAP_TOP] = {"top", "1 for the best share, else 0", false, false, weights_top},
    [MAP_POSITIVE] = {"positive", "the score where it is above 0, else 0", false, false,
                      weights_positive},
    [MAP_FILTER] = {"filter", "1 where the score is above 0, else 0", false, false,
                    weights_filter},
    [MAP_ACCEPT] = {"accept", "1 unless nearly all of the holdout scores better, else 0", false,
                    true, weights_accept},
    [MAP_MIRROR] = {"mirror", "pairs: by the probability that both answers are not swapped", false,
                    true, weights_mirror},
};
/* clang-format on */
_Static_assert(sizeof MAPS / sizeof *MAPS == MAP_COUNT, "a row each");

/* No map sees a score that is not known. */
void map_weights(WeightMap map, const MapOptions *how, const double *score, int n, double *weight) {
    double *known = mem_new(2 * (size_t)n, sizeof *known), *likelihood = known + n, sum = 0;
    int m = 0;
    for (int i = 0; i < n; i++) {
        if (isnan(score[i])) continue;
        if (how->likelihood) likelihood[m] = how->likelihood[i];
        known[m++] = score[i];
    }
    if (!how->likelihood) likelihood = NULL;
    double *sorted = sorted_copy(known, m), *given = mem_new((size_t)m, sizeof *given);
    if (m) MAPS[map].weights(&(MapInput){how, known, sorted, likelihood, m}, given);
    for (int i = 0; i < m; i++) sum += given[i];
    /* Hand the weights out, and the mean where there is none. */
    for (int i = 0, at = 0; i < n; i++)
        weight[i] = !isnan(score[i]) ? given[at++] : m ? sum / m : 1;
    free(known);
    free(sorted);
    free(given);
}

/* ---- candidates against the holdout ----
 *
 * The holdout's own values come from folds, so no record of it has seen itself. If a candidate is
 * exchangeable with the holdout, its rank among these values is uniform, whatever the model and
 * whatever the noise. So a threshold at a low rank loses few good candidates. How many bad ones it
 * catches depends on how well the numbers tell them apart. */

void accept_numbers(const ScoredRecord *r, double *gain, double *likelihood) {
    const double *alone = r->alone, *in = r->in_context;
    *gain = r->score;
    *likelihood = NAN;
    if (isnan(r->score) || isnan(alone[0]) || isnan(in[0])) return;
    *likelihood = in[0] / r->tokens;
    *gain = *likelihood - alone[0] / r->tokens;
    if (!isnan(alone[1]) && !isnan(in[1])) *gain = (in[0] - in[1]) - (alone[0] - alone[1]);
}

/* [E19] p = (1 + #{j: v_j <= v}) / (m + 1): at most a with probability at most a, if v is
 * exchangeable with the v_j. */
double conformal_p(const double *other, int m, double value) {
    int reached = 0;
    for (int j = 0; j < m; j++) reached += other[j] <= value;
    return (1.0 + reached) / (m + 1.0);
}

/* The known of x[m] in increasing order, the caller's to free. */
static double *known_sorted(const double *x, int m, int *known) {
    double *v = mem_new((size_t)m, sizeof *v);
    *known = 0;
    for (int i = 0; i < m; i++)
        if (!isnan(x[i])) v[(*known)++] = x[i];
    double *sorted = sorted_copy(v, *known);
    free(v);
    return sorted;
}

/* Thresholds are the r-th smallest values, r = max(1, floor(level / numbers (m + 1))). A value
 * reaches its threshold exactly if p > r / (m + 1). The union of both events has at most twice the
 * probability of one, hence the division. */
bool accept_levels(const double *gain, const double *likelihood, int m, double level,
                   AcceptLevels *out) {
    const double *x[2] = {gain, likelihood};
    *out = (AcceptLevels){.level = level};
    for (int i = 0; i < m && likelihood && out->numbers < 2; i++)
        if (!isnan(likelihood[i])) out->numbers = 2;
    if (out->numbers < 2) out->numbers = 1;
    for (int number = 0; number < (int)out->numbers; number++) {
        int known;
        double *sorted = known_sorted(x[number], m, &known);
        int r = (int)floor(level / out->numbers * (known + 1.0) + 1e-9);
        if (r < 1) r = 1;
        if (r > known) r = known;
        out->records = known;
        if (known) out->threshold[number] = sorted[r - 1];
        if (known) out->clean[number] = sorted[(known - 1) / 2];
        free(sorted);
    }
    out->level = fmax(level, out->numbers / (out->records + 1));
    return out->records > 0;
}

double accept_clean_share(const AcceptLevels *levels, const double *gain, const double *likelihood,
                          int n) {
    const double *x[2] = {gain, likelihood};
    /* The median has this rank, so a good candidate reaches it with this probability. */
    double m = levels->records, rank = floor((m + 1) / 2), chance = (m + 1 - rank) / (m + 1);
    double least = 1;
    for (int number = 0; number < (int)levels->numbers; number++) {
        int known = 0, above = 0;
        for (int i = 0; i < n; i++) {
            known += !isnan(x[number][i]);
            above += x[number][i] >= levels->clean[number];
        }
        if (known) least = fmin(least, above / (known * chance));
    }
    return least;
}

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

/* Minimizes the logistic loss of (h, not flipped) and (-h, flipped), which both are -log
 * sigmoid(b h), plus b^2 / (2 t^2), t = 10 / sd(h). Without the penalty, scores that are all above
 * 0 have no finite slope. Newton's method starts at b = 0. From there to the minimum the loss is
 * convex and its curvature falls, so b grows towards the minimum and never passes it. */
double mirror_slope(const double *score, int m) {
    enum { STEPS = 200 };
    int n;
    double *h = known_sorted(score, m, &n), mean, deviation, b = 0;
    moments(h, n, &mean, &deviation);
    double penalty = deviation > 0 ? deviation * deviation / 100 : 0.01;
    for (int step = 0; step < STEPS; step++) {
        double fall = -penalty * b, curve = penalty;
        for (int i = 0; i < n; i++) {
            double p = sigmoid(b * h[i]);
            fall += 2 * (1 - p) * h[i];
            curve += 2 * p * (1 - p) * h[i] * h[i];
        }
        if (!(fall > 0)) break; /* at the minimum, or scores that are below 0 in sum */
        b += fall / curve;
    }
    free(h);
    return b;
}

/* [E20] P(not flipped | s) = sigmoid(b s + log(pi / (1 - pi))). b is the slope, pi the share. */
double mirror_probability(double slope, double share, double score) {
    if (share <= 0 || share >= 1) return share >= 1;
    return sigmoid(slope * score + log(share / (1 - share)));
}

double mirror_share(double slope, const double *score, int n) {
    enum { ROUNDS = 1000 };
    double share = 0.5;
    int known = 0;
    for (int i = 0; i < n; i++) known += !isnan(score[i]);
    if (known == 0) return NAN;
    for (int round = 0; round < ROUNDS; round++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            if (!isnan(score[i])) sum += mirror_probability(slope, share, score[i]);
        double change = fabs(sum / known - share);
        share = sum / known;
        if (change < 1e-10) break;
    }
    return share;
}

void mirror_swapped(double slope, const double *score, int n, bool *swapped) {
    double share = mirror_share(slope, score, n);
    for (int i = 0; i < n; i++)
        swapped[i] = !isnan(score[i]) && mirror_probability(slope, share, score[i]) < 0.5;
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

int weighted_first(int *example, double *coefficient, int n) {
    int kept = 0;
    for (int i = 0; i < n; i++) {
        if (coefficient[i] == 0) continue;
        example[kept] = example[i];
        coefficient[kept++] = coefficient[i];
    }
    return kept;
}
