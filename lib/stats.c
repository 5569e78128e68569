#include "lib/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- order ---- */

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double *sorted_copy(const double *x, int n) {
    double *copy = mem_new((size_t)n, sizeof *copy);
    if (n) memcpy(copy, x, (size_t)n * sizeof *copy);
    qsort(copy, (size_t)n, sizeof *copy, compare_doubles);
    return copy;
}

double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, compare_doubles);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

double quantile(const double *sorted, int n, double p) {
    double at = p * (n - 1);
    int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

/* Counts the sorted values below x, and those up to x, by two binary searches. */
static void count_below(const double *sorted, int n, double x, int *below, int *upto) {
    *below = 0;
    for (int high = n; *below < high;) {
        int mid = (*below + high) / 2;
        if (sorted[mid] < x) *below = mid + 1;
        else high = mid;
    }
    *upto = *below;
    for (int high = n; *upto < high;) {
        int mid = (*upto + high) / 2;
        if (sorted[mid] <= x) *upto = mid + 1;
        else high = mid;
    }
}

double average_rank(const double *sorted, int n, double x) {
    int below, upto;
    count_below(sorted, n, x, &below, &upto);
    return (below + upto - 1) / 2.0; /* the ranks of the equal values are below .. upto - 1 */
}

typedef struct {
    double value;
    int index;
} Indexed;

static int compare_indexed(const void *a, const void *b) {
    const Indexed *x = a, *y = b;
    int c = (x->value < y->value) - (x->value > y->value);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

int largest(const double *value, int n, int k, int *index) {
    Indexed *item = mem_new((size_t)n, sizeof *item);
    int items = 0, found = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(value[i])) item[items++] = (Indexed){value[i], i};
    qsort(item, (size_t)items, sizeof *item, compare_indexed);
    for (; found < k && found < items; found++) index[found] = item[found].index;
    free(item);
    return found;
}

void moments(const double *x, int n, double *mean, double *deviation) {
    double variance = 0;
    *mean = 0;
    for (int i = 0; i < n; i++) *mean += x[i] / n;
    for (int i = 0; i < n; i++) variance += (x[i] - *mean) * (x[i] - *mean) / n;
    *deviation = sqrt(variance);
}

double log_sigmoid(double z) { return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z)); }

/* ---- how to judge ---- */

/* A sum of squares below this has lost bits to numbers that a double does not hold. */
#define SQUARE_LEAST 1e-280

/* [E18] (sum w)^2 / sum w^2: how many equally weighted examples would have this spread. */
double effective_sample_size(const double *weight, int n) {
    double sum = 0, square = 0, most = 0;
    for (int i = 0; i < n; i++) {
        sum += weight[i];
        square += weight[i] * weight[i];
        if (weight[i] > most) most = weight[i];
    }
    if (square >= SQUARE_LEAST) return sum * sum / square;
    /* The squares of tiny weights are 0, or few bits of them are left: as shares of the largest. */
    double shares = 0;
    square = 0;
    for (int i = 0; i < n && most > 0; i++) {
        double share = weight[i] / most;
        shares += share;
        square += share * share;
    }
    return square > 0 ? shares * shares / square : 0;
}

void auroc_groups(const double *score, const int *group, int n, int groups, double *area) {
    /* Sort the positives once. They are the same for every group. */
    double *positive = mem_new((size_t)n, sizeof *positive);
    int *negatives = mem_new((size_t)groups, sizeof *negatives), positives = 0;
    for (int i = 0; i < n; i++)
        if (group[i] == AUROC_POSITIVE) positive[positives++] = score[i];
    qsort(positive, (size_t)positives, sizeof *positive, compare_doubles);
    /* Each negative adds the positives above it, and half of the equal ones, to its group. */
    for (int g = 0; g < groups; g++) area[g] = 0;
    for (int i = 0; i < n; i++)
        if (group[i] >= 0) {
            int below, upto;
            count_below(positive, positives, score[i], &below, &upto);
            area[group[i]] += positives - (below + upto) / 2.0;
            negatives[group[i]]++;
        }
    /* Divide by the number of pairs. */
    for (int g = 0; g < groups; g++)
        area[g] = positives && negatives[g] ? area[g] / ((double)positives * negatives[g]) : NAN;
    free(positive);
    free(negatives);
}

double auroc(const double *score, const int *label, int n) {
    int *group = mem_new((size_t)n, sizeof *group);
    double area;
    for (int i = 0; i < n; i++)
        group[i] = label[i] == 1 ? AUROC_POSITIVE : label[i] == 0 ? 0 : AUROC_LEFT_OUT;
    auroc_groups(score, group, n, 1, &area);
    free(group);
    return area;
}

double correlation(const double *x, const double *y, int n) {
    double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
    /* Means are taken relative to the first value, so that the deviations of a constant are exactly
     * 0. */
    for (int i = 0; i < n; i++) {
        mx += (x[i] - x[0]) / n;
        my += (y[i] - y[0]) / n;
    }
    for (int i = 0; i < n; i++) {
        double dx = x[i] - x[0] - mx, dy = y[i] - y[0] - my;
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

/* The rank of every value; free() it. */
static double *ranks(const double *x, int n) {
    double *sorted = sorted_copy(x, n), *rank = mem_new((size_t)n, sizeof *rank);
    for (int i = 0; i < n; i++) rank[i] = average_rank(sorted, n, x[i]);
    free(sorted);
    return rank;
}

double rank_correlation(const double *x, const double *y, int n) {
    double *rx = ranks(x, n), *ry = ranks(y, n), r = correlation(rx, ry, n);
    free(rx);
    free(ry);
    return r;
}

/* ---- curves and repeated runs ---- */

typedef struct {
    double score;
    bool positive;
} Ranked;

static int by_score(const void *a, const void *b) {
    double p = ((const Ranked *)a)->score, q = ((const Ranked *)b)->score;
    return p > q ? -1 : p < q;
}

int roc_curve(const double *score, const bool *positive, int n, double *x, double *y,
              double *area) {
    Ranked *r = mem_new((size_t)n + 1, sizeof *r);
    double right = 0, wrong = 0, all_right = 0, all_wrong = 0, sum = 0;
    int used = 0, points = 0;
    for (int i = 0; i < n; i++) {
        if (!isfinite(score[i])) continue;
        r[used++] = (Ranked){score[i], positive[i]};
        if (positive[i]) all_right++;
        else all_wrong++;
    }
    qsort(r, (size_t)used, sizeof *r, by_score);
    *area = NAN;
    if (all_right > 0 && all_wrong > 0) {
        x[points] = 0, y[points++] = 0;
        for (int i = 0, j; i < used; i = j) {
            double right_before = right, wrong_before = wrong;
            for (j = i; j < used && r[j].score == r[i].score; j++) {
                if (r[j].positive) right++;
                else wrong++;
            }
            sum += (wrong - wrong_before) * (right + right_before) / 2;
            x[points] = wrong / all_wrong, y[points++] = right / all_right;
        }
        *area = sum / (all_right * all_wrong);
    }
    free(r);
    return points;
}

int mean_sd(const double *v, int n, double *mean, double *sd) {
    double sum = 0, squares = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (isfinite(v[i])) sum += v[i], count++;
    *mean = count ? sum / count : NAN;
    for (int i = 0; i < n; i++)
        if (isfinite(v[i])) squares += (v[i] - *mean) * (v[i] - *mean);
    *sd = count > 1 ? sqrt(squares / (count - 1)) : NAN;
    return count;
}

Duel duel_of(const double *mine, const double *theirs, int n, bool higher_is_better) {
    Duel d = {0};
    for (int i = 0; i < n; i++) {
        if (!isfinite(mine[i]) || !isfinite(theirs[i])) continue;
        d.n++;
        d.mine += mine[i];
        d.theirs += theirs[i];
        if (mine[i] == theirs[i]) d.ties++;
        else d.wins += (mine[i] > theirs[i]) == higher_is_better;
    }
    if (d.n) d.mine /= d.n, d.theirs /= d.n;
    return d;
}

void duel_text(Buf *b, const Duel *d, int decimals, const char *unit) {
    bool all = d->wins == d->n, none = d->wins + d->ties == 0;
    const char *verdict = d->ties == d->n ? "equal" : all ? "better" : none ? "worse" : "undecided";
    buf_printf(b, "%s (%.*f against %.*f; better in %d of %d %s%s)", verdict, decimals, d->mine,
               decimals, d->theirs, d->wins, d->n, unit, d->n == 1 ? "" : "s");
}
