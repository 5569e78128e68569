#include "lib/stats.h"

#include <math.h>
#include <stdlib.h>

typedef struct { double score; bool positive; } Ranked;

static int by_score(const void *a, const void *b) {
    double p = ((const Ranked *)a)->score, q = ((const Ranked *)b)->score;
    return p > q ? -1 : p < q;
}

int roc_curve(const double *score, const bool *positive, int n, double *x, double *y, double *area) {
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
    buf_printf(b, "%s (%.*f against %.*f; better in %d of %d %s%s)", verdict, decimals, d->mine, decimals, d->theirs, d->wins,
               d->n, unit, d->n == 1 ? "" : "s");
}
