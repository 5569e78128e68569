#include "program/report/plots.h"

#include "ica.h"
#include "lib/charts.h"
#include "lib/stats.h"
#include "program/report/extremes.h"
#include "program/report/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- arms ---- */

static bool is_ica(const Arm *arm) {
    return arm_method_length(arm->name) == 3 && memcmp(arm->name, "ica", 3) == 0;
}

/* How many ICA arms are better than uniform weights, else the range of all arms. */
static const char *arms_message(Report *r, const Block *b, int metric) {
    const Arm *uniform = block_arm(b, "uniform"), *low = NULL, *high = NULL;
    const Metric *m = &b->metrics[metric];
    bool more = metric != 0; /* The first metric is a loss. */
    int ica = 0, better = 0;
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *arm = &b->arms[a];
        double v = arm->mean[metric];
        if (!isfinite(v)) continue;
        if (!low || v < low->mean[metric]) low = arm;
        if (!high || v > high->mean[metric]) high = arm;
        if (!is_ica(arm) || !uniform || !isfinite(uniform->mean[metric])) continue;
        ica++;
        better += more ? v > uniform->mean[metric] : v < uniform->mean[metric];
    }
    if (ica)
        return text_new(&r->arena, "%d of %d ICA arm%s a %s %s than uniform weights (%.*f)", better,
                        ica, ica == 1 ? " has" : "s have", more ? "higher" : "lower", m->name,
                        m->decimals, uniform->mean[metric]);
    if (!low) return m->name;
    return text_new(&r->arena, "%s from %.*f (%s) to %.*f (%s)", m->name, m->decimals,
                    low->mean[metric], low->name, m->decimals, high->mean[metric], high->name);
}

void plot_arms(Page *p, Report *r, const Block *b, int metric) {
    Sample *samples = arena_new(&r->arena, (size_t)b->n_arms, sizeof *samples);
    int n = 0;
    for (int a = 0; a < b->n_arms; a++)
        if (isfinite(b->arms[a].mean[metric]))
            samples[n++] =
                (Sample){b->arms[a].name, b->arms[a].tone, b->n_seeds, b->arms[a].values[metric]};
    Chart c = {.title = arms_message(r, b, metric),
               .x_label = b->metrics[metric].name,
               .about = "Small dots are seeds, the large one is their mean, the line one "
                        "sample standard deviation to each side."};
    if (n > 1) chart_dots(&p->body, &c, samples, n);
}

/* ---- curves from the logs ---- */

enum { CURVE_POINTS = 200, MARKS = 12 };

/* Fills in the points of a column of a run's log (NULL: none), at most n_log. Returns how many. */
static int log_points(const FinishedRun *run, int column, Point *points) {
    int n = 0;
    for (int j = 0; run && j < run->n_log; j++) {
        Point at = {run->log[LOG_STEP][j], run->log[column][j]};
        if (isfinite(at.x) && isfinite(at.y)) points[n++] = at;
    }
    return n;
}

/* The mean over runs of a column of their logs at each step. */
static Series log_curve(Arena *arena, const FinishedRun *const *runs, int n_runs, int column) {
    int n = 0, most = 0;
    for (int i = 0; i < n_runs; i++)
        if (runs[i]) most += runs[i]->n_log;
    Point *points = arena_new(arena, (size_t)most + 1, sizeof *points);
    for (int i = 0; i < n_runs; i++) n += log_points(runs[i], column, points + n);
    return series_mean(arena, points, n, CURVE_POINTS);
}

/* The steps at which runs of the block computed their scores anew: floor(j S / R), j from 1 on, of
 * the first run that did. Returns how many. */
static int refreshes(const Block *b, Mark *marks) {
    for (int a = 0; a < b->n_arms; a++)
        for (int s = 0; s < b->n_seeds; s++) {
            const FinishedRun *run = b->arms[a].runs[s];
            double times = json_number(run ? json_get(run->json, "options") : NULL, "refresh"),
                   steps = run ? run_metric(run, "steps") : NAN;
            int n = 0;
            if (!(times > 1) || !isfinite(steps) || arm_method_length(b->arms[a].name) == 0)
                continue;
            for (int j = 1; j < times && n < MARKS; j++, n++)
                marks[n] = (Mark){floor(j * steps / times), n ? NULL : "scores anew"};
            return n;
        }
    return 0;
}

/* From where to where the lines end. */
static const char *ends_message(Report *r, const char *what, const Series *s, int n) {
    int low = -1, high = -1;
    for (int i = 0; i < n; i++) {
        double v = s[i].y[s[i].n - 1];
        if (low < 0 || v < s[low].y[s[low].n - 1]) low = i;
        if (high < 0 || v > s[high].y[s[high].n - 1]) high = i;
    }
    if (n == 1)
        return text_new(&r->arena, "%s goes from %.3g to %.3g", what, s[0].y[0],
                        s[0].y[s[0].n - 1]);
    return text_new(&r->arena, "%s ends between %.3g (%s) and %.3g (%s)", what,
                    s[low].y[s[low].n - 1], s[low].name, s[high].y[s[high].n - 1], s[high].name);
}

bool plot_log(Page *p, Report *r, const Block *b, int column, const char *what) {
    Series *curves = arena_new(&r->arena, (size_t)b->n_arms, sizeof *curves);
    Mark marks[MARKS];
    int n = 0;
    for (int a = 0; a < b->n_arms; a++) {
        Series s = log_curve(&r->arena, b->arms[a].runs, b->n_seeds, column);
        s.name = b->arms[a].name, s.tone = b->arms[a].tone;
        if (s.n >= 2) curves[n++] = s;
    }
    if (n == 0) return false;
    Chart c = {.title = ends_message(r, what, curves, n),
               .x_label = "step",
               .about = "One line for each arm, the mean over its seeds.",
               .marks = marks,
               .n_marks = refreshes(b, marks)};
    chart_lines(&p->body, &c, curves, n);
    return true;
}

/* The mean validation loss over runs at each step, from that of the starting model on. */
static Series validation_curve(Arena *arena, const FinishedRun *const *runs, int n_runs) {
    int n = 0, most = n_runs;
    for (int i = 0; i < n_runs; i++)
        if (runs[i]) most += runs[i]->n_log;
    Point *points = arena_new(arena, (size_t)most + 1, sizeof *points);
    for (int i = 0; i < n_runs; i++) {
        const Json *before = runs[i] ? json_get(runs[i]->json, "before") : NULL;
        double nll = json_number(before, "validation_nll"),
               start = isnan(nll) ? json_number(before, "validation_loss") : nll;
        if (isfinite(start)) points[n++] = (Point){0, start};
        n += log_points(runs[i], LOG_VALIDATION, points + n);
    }
    return series_mean(arena, points, n, CURVE_POINTS);
}

/* Where the lowest point of a line is. */
static int lowest(const Series *s) {
    int at = 0;
    for (int i = 1; i < s->n; i++)
        if (s->y[i] < s->y[at]) at = i;
    return at;
}

/* Which arm has the lowest validation loss and where, and what became of it. */
static const char *validation_message(Report *r, const Series *s, int n, int best) {
    int at = lowest(&s[best]), last = s[best].n - 1, worst = best;
    double low = s[best].y[at];
    for (int i = 0; i < n; i++)
        if (s[i].y[lowest(&s[i])] > s[worst].y[lowest(&s[worst])]) worst = i;
    if (s[best].x[at] == 0)
        return text_new(&r->arena, "No step lowers the validation loss, which is %.3g at the start",
                        low);
    if (worst != best)
        return text_new(
            &r->arena, "The lowest validation loss is %.3g, of %s at step %.0f; of %s it is %.3g",
            low, s[best].name, s[best].x[at], s[worst].name, s[worst].y[lowest(&s[worst])]);
    if (at == last)
        return text_new(&r->arena,
                        "The validation loss is lowest at the end, %.3g: more steps may help", low);
    return text_new(&r->arena, "The validation loss is lowest at step %.0f, %.3g; it ends at %.3g",
                    s[best].x[at], low, s[best].y[last]);
}

bool plot_validation(Page *p, Report *r, const Block *b) {
    Series *curves = arena_new(&r->arena, (size_t)b->n_arms + 1, sizeof *curves);
    int n = 0, best = 0;
    const Arm *only = NULL;
    for (int a = 0; a < b->n_arms; a++) {
        Series s = validation_curve(&r->arena, b->arms[a].runs, b->n_seeds);
        s.name = b->arms[a].name, s.tone = b->arms[a].tone;
        if (s.n < 2) continue;
        only = &b->arms[a];
        curves[n++] = s;
    }
    if (n == 0) return false;
    for (int i = 1; i < n; i++)
        if (curves[i].y[lowest(&curves[i])] < curves[best].y[lowest(&curves[best])]) best = i;
    Mark mark = {curves[best].x[lowest(&curves[best])], "lowest"};
    Chart c = {.title = validation_message(r, curves, n, best),
               .x_label = "step",
               .about = "The loss on the part of the pool that --eval-share holds out, one line "
                        "for each arm, the mean over its seeds.",
               .marks = &mark,
               .n_marks = 1};
    int lines = n;
    if (n == 1) { /* beside the loss of training it shows where overfitting begins */
        curves[0].name = "validation", curves[0].tone = 1;
        Series training = log_curve(&r->arena, only->runs, b->n_seeds, LOG_LOSS);
        training.name = "training", training.tone = 2, training.dashed = true;
        if (training.n >= 2) curves[lines++] = training;
    }
    chart_lines(&p->body, &c, curves, lines);
    return true;
}

/* ---- scores ---- */

/* "ICA" or the method, with the group. */
static const char *set_name(const ScoreSet *s) {
    return strcmp(s->method, "ica") == 0 ? "ICA" : s->method;
}

static const char *scores_message(Report *r, const ScoreSet *s) {
    int n[2] = {0}, above[2] = {0};
    bool pairs = objective_pairs(s->objective);
    for (int i = 0; i < s->n; i++) {
        if (!isfinite(s->score[i])) continue;
        int kind = s->truth && s->clean[i];
        n[kind]++, above[kind] += s->score[i] > 0;
    }
    if (n[0] + n[1] == 0) return text_new(&r->arena, "%s gives no record a score", set_name(s));
    if (!s->truth)
        return text_new(&r->arena, "%s gives %.0f %% of %d records a score above 0", set_name(s),
                        100.0 * above[0] / n[0], n[0]);
    return text_new(&r->arena, "%s gives %.0f %% of %s records a score above 0, and %.0f %% of %s",
                    set_name(s), n[1] ? 100.0 * above[1] / n[1] : 0, kind_name(pairs, true),
                    n[0] ? 100.0 * above[0] / n[0] : 0, kind_name(pairs, false));
}

void plot_scores(Page *p, Report *r, const ScoreSet *s) {
    double *split[2];
    int n[2] = {0};
    for (int k = 0; k < 2; k++) split[k] = arena_new(&r->arena, (size_t)s->n + 1, sizeof(double));
    for (int i = 0; i < s->n; i++) {
        int kind = s->truth && !s->clean[i];
        split[kind][n[kind]++] = s->score[i];
    }
    bool pairs = objective_pairs(s->objective);
    Sample samples[2] = {{kind_name(pairs, true), 1, n[0], split[0]},
                         {kind_name(pairs, false), 2, n[1], split[1]}};
    Chart c = {.title = scores_message(r, s),
               .x_label = text_new(&r->arena, "score, %s", s->when),
               .y_label = "records",
               .about = "Histogram of the scores, by kind where the truth is known."};
    chart_histogram(&p->body, &c, samples, s->truth ? 2 : 1, 30);
}

/* How many of the records, good and bad apart, reach both thresholds. */
static const char *numbers_message(Report *r, const ScoreSet *s, const double *threshold) {
    int n[2] = {0}, reach[2] = {0};
    bool pairs = objective_pairs(s->objective);
    const LineNumbers *of = &s->pool_numbers;
    for (int i = 0; i < of->n; i++) {
        int good = s->truth && s->clean[i];
        if (!isfinite(of->gain[i])) continue;
        n[good]++;
        reach[good] += of->gain[i] >= threshold[0] && of->likelihood[i] >= threshold[1];
    }
    if (!isfinite(threshold[0]))
        return text_new(&r->arena, "%d records and the holdout's own, by both numbers", of->n);
    if (!s->truth)
        return text_new(&r->arena, "%.0f %% of %d records reach both of the holdout's thresholds",
                        n[0] ? 100.0 * reach[0] / n[0] : 0, n[0]);
    return text_new(&r->arena,
                    "%.0f %% of %s records, and %.0f %% of %s, reach both of the holdout's "
                    "thresholds",
                    n[1] ? 100.0 * reach[1] / n[1] : 0, kind_name(pairs, true),
                    n[0] ? 100.0 * reach[0] / n[0] : 0, kind_name(pairs, false));
}

void plot_numbers(Page *p, Report *r, const ScoreSet *s) {
    const LineNumbers *of = &s->pool_numbers;
    double *x[2], *y[2],
        threshold[2] = {json_number(s->comparison, "gain_threshold"),
                        json_number(s->comparison, "likelihood_threshold")};
    int n[2] = {0}, known = 0;
    for (int k = 0; k < 2; k++) {
        x[k] = arena_new(&r->arena, (size_t)of->n + 1, sizeof(double));
        y[k] = arena_new(&r->arena, (size_t)of->n + 1, sizeof(double));
    }
    for (int i = 0; i < of->n; i++) {
        int kind = s->truth && !s->clean[i];
        known += isfinite(of->likelihood[i]);
        x[kind][n[kind]] = of->gain[i], y[kind][n[kind]++] = of->likelihood[i];
    }
    if (known == 0 || s->own.n == 0) return;
    bool pairs = objective_pairs(s->objective),
         by_reference = s->method && strcmp(s->method, METHODS[METHOD_RHO].name) == 0;
    Series series[3] = {
        {kind_name(pairs, false), 2, false, n[1], x[1], y[1]},
        {s->truth ? kind_name(pairs, true) : "candidate", 1, false, n[0], x[0], y[0]},
        {"holdout", 3, false, s->own.n, s->own.gain, s->own.likelihood}};
    Mark mark = {threshold[0], NULL};
    Chart c = {.title = numbers_message(r, s, threshold),
               .x_label = text_new(&r->arena, "gain, %s", s->when),
               .y_label = by_reference ? "log-likelihood by the reference of its fold"
                                       : "log-likelihood in context",
               .about = "Each candidate and each holdout record by both numbers that accept "
                        "compares. Dashed lines are the thresholds.",
               .marks = &mark,
               .n_marks = isfinite(threshold[0]),
               .level = threshold[1]};
    chart_points(&p->body, &c, s->truth ? series : series + 1, s->truth ? 3 : 2);
}

/* The share of bad records let through at which a curve keeps 95 % of the good ones. */
static double roc_knee(const Series *s) {
    for (int i = 0; i < s->n; i++)
        if (s->y[i] >= 0.95) return s->x[i];
    return 1;
}

/* How far to the right curves are drawn: twice as far as the best one needs to rise. */
static double roc_limit(const Series *s, int n) {
    static const double limits[] = {0.05, 0.1, 0.2, 0.5};
    double knee = 1;
    for (int i = 0; i < n; i++) knee = fmin(knee, roc_knee(&s[i]));
    for (int i = 0; i < 4; i++)
        if (2 * knee <= limits[i]) return limits[i];
    return 1;
}

/* Cuts a curve at x = limit. */
static void roc_cut(double *x, double *y, int *n, double limit) {
    int i = 1;
    while (i < *n && x[i] <= limit) i++;
    if (i == *n) return;
    y[i] = y[i - 1] + (y[i] - y[i - 1]) * (limit - x[i - 1]) / (x[i] - x[i - 1]);
    x[i] = limit;
    *n = i + 1;
}

enum { ROC_NAME = 9 }; /* bytes of a name beside its curve */

void plot_roc(Page *p, Report *r, const ScoreSet *s, int n) {
    Series *curves = arena_new(&r->arena, (size_t)n + 1, sizeof *curves);
    double first_area = NAN, chance[2] = {0, 1}, *xs[2];
    const ScoreSet *first = NULL;
    int count = 0;
    for (int i = 0; i < n; i++) {
        if (!s[i].ready || !s[i].truth) continue;
        size_t most = (size_t)s[i].n + 2;
        double area, *x = arena_new(&r->arena, most, sizeof *x),
                     *y = arena_new(&r->arena, most, sizeof *y);
        int points = roc_curve(s[i].score, s[i].clean, s[i].n, x, y, &area);
        const char *slash = strrchr(s[i].method, '/'), *base = slash ? slash + 1 : s[i].method;
        const char *name = text_new(&r->arena, "%.*s%s %.3f", ROC_NAME, base,
                                    strlen(base) > ROC_NAME ? "\xe2\x80\xa6" : "", area);
        if (!first) first = &s[i], first_area = area;
        curves[count] =
            (Series){name, count % (TONE_COUNT - 1) + 1, count >= TONE_COUNT - 1, points, x, y};
        count++;
    }
    if (count == 0) return;
    double limit = roc_limit(curves, count);
    for (int i = 0; i < count; i++)
        roc_cut((double *)curves[i].x, (double *)curves[i].y, &curves[i].n, limit);
    xs[0] = arena_new(&r->arena, 2, sizeof(double));
    xs[0][1] = chance[1] = limit;
    curves[count] = (Series){"chance 0.500", TONE_GREY, true, 2, xs[0], chance};
    bool pairs = objective_pairs(s->objective);
    Chart c = {
        .title = text_new(
            &r->arena, "%s scores a %s record above a %s one in %.1f %% of cases; chance: 50 %%",
            set_name(first), kind_name(pairs, true), kind_name(pairs, false), 100 * first_area),
        .x_label = text_new(&r->arena, "share of %s records let through", kind_name(pairs, false)),
        .y_label = text_new(&r->arena, "share of %s records kept", kind_name(pairs, true)),
        .y_max = 1,
        .end_names = true,
        .about = "Share of good records above a threshold of the score against the share of "
                 "bad ones."};
    chart_lines(&p->body, &c, curves, count + 1);
}

/* ---- pretraining ---- */

/* The largest rise of a curve from one point to the next, as a mark halfway. False if it is small:
 * less than a quarter of the loss. */
static bool jump_of(Report *r, const Series *s, Mark *mark, double *from, double *to) {
    int at = 0;
    for (int i = 1; i < s->n; i++)
        if (at == 0 || s->y[i] - s->y[i - 1] > s->y[at] - s->y[at - 1]) at = i;
    if (at == 0 || s->y[at] < 1.25 * s->y[at - 1]) return false;
    *from = s->y[at - 1], *to = s->y[at];
    *mark = (Mark){(s->x[at] + s->x[at - 1]) / 2,
                   text_new(&r->arena, "jump at step %.0f to %.0f", s->x[at - 1], s->x[at])};
    return true;
}

void plot_pretraining(Page *p, Report *r, const FinishedRun *run) {
    double from, to, k = json_number(json_get(run->json, "options"), "k");
    Mark mark;
    Series loss = log_curve(&r->arena, &run, 1, LOG_LOSS),
           eval = log_curve(&r->arena, &run, 1, LOG_EVAL), lines[2] = {loss, eval};
    lines[0].name = "training", lines[0].tone = 1;
    lines[1].name = "evaluation", lines[1].tone = 2;
    bool jump = jump_of(r, &loss, &mark, &from, &to);
    page_paragraph(p, "%s: %.0f steps, loss %.4f, %.1f seconds.", run->folder,
                   run_metric(run, "steps"), run_metric(run, "loss"), run_total(run));
    if (jump)
        page_paragraph(
            p,
            "Where the loss jumps from %.2f to %.2f, other data begin: a file's order "
            "is kept. In the built-in corpus (quick) the first 30 %% of the sessions are by "
            "the right and the verbose annotator alone; then come those who answer "
            "wrongly, whom only context tells apart.",
            from, to);
    page_grid(p);
    Chart c = {.title = ends_message(r, "The loss of a token", lines, 1),
               .x_label = "step",
               .y_label = "loss, nats a token",
               .about = "Mean loss of a token along pretraining.",
               .marks = &mark,
               .n_marks = jump};
    if (loss.n) chart_lines(&p->body, &c, lines, eval.n ? 2 : 1);
    Series meter = log_curve(&r->arena, &run, 1, LOG_ICL_P);
    meter.name = "in context", meter.tone = 3;
    Chart m = {.title = meter.n ? text_new(&r->arena,
                                           "After %g demonstrations the whole right answer has "
                                           "probability %.2f at the end",
                                           isfinite(k) ? k : 3, meter.y[meter.n - 1])
                                : "",
               .x_label = "step",
               .y_label = "probability of the whole right answer",
               .y_max = 1,
               .about = "Probability of the right answer after demonstrations.",
               .marks = &mark,
               .n_marks = jump};
    if (meter.n) chart_lines(&p->body, &m, &meter, 1);
    page_grid_end(p);
}

void plot_shots(Page *p, Report *r, const Shots *shots, int n) {
    Bar *bars = arena_new(&r->arena, (size_t)n, sizeof *bars);
    for (int i = 0; i < n; i++)
        bars[i] = (Bar){text_new(&r->arena, "%g", shots[i].k), 1, shots[i].nll, NAN};
    double none = shots[0].nll, most = shots[n - 1].nll;
    const char *title = "The loss of the right answer";
    if (n > 1)
        title = text_new(&r->arena,
                         "%g demonstrations %s the loss of a right answer from %.3f to "
                         "%.3f",
                         shots[n - 1].k, most < none ? "lower" : "do not lower", none, most);
    Chart c = {.title = title,
               .x_label = "demonstrations before the question",
               .y_label = "loss (NLL), nats a token",
               .about = "One bar for each number of demonstrations before the question."};
    chart_bars(&p->body, &c, bars, n);
}
