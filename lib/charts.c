#define _POSIX_C_SOURCE 200809L
#include "lib/charts.h"

#include "lib/html.h"
#include "lib/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A chart is drawn in this order: the figure with its caption, the frame with the axes' ticks, then
 * the data. Places in the picture are in SVG units, from the upper left corner. */

/* ---- axes ---- */

typedef struct {
    double lo, hi, step, from, to;
    bool log;
} Axis; /* from, to: places of lo and hi */

/* 1, 2 or 5 times a power of ten, so that about `want` steps fill the span. */
static double nice_step(double span, int want) {
    double raw = span / want, power = pow(10, floor(log10(raw))), times = raw / power;
    return (times <= 1.0001 ? 1 : times <= 2.0001 ? 2 : times <= 5.0001 ? 5 : 10) * power;
}

/* Can this be drawn? The difference of two larger numbers would overflow. */
static bool usable(double v) { return fabs(v) < 1e300; }

/* An axis that covers lo to hi with about `want` steps, drawn between the places from and to. */
static Axis axis_new(double lo, double hi, double from, double to, bool logarithmic, int want) {
    if (logarithmic) {
        if (lo == hi) lo /= 2, hi *= 2;
        return (Axis){log10(lo), log10(hi), 1, from, to, true};
    }
    if (!(hi - lo > fmax(1e-290, 1e-12 * (fabs(lo) + fabs(hi))))) {
        double around = fabs(lo) < 1e-280 ? 1 : fabs(lo) * 0.1;
        lo -= around, hi += around;
    }
    Axis a = {lo, hi, nice_step(hi - lo, want), from, to, false};
    a.lo = floor(lo / a.step + 1e-9) * a.step;
    a.hi = ceil(hi / a.step - 1e-9) * a.step;
    return a;
}

/* The place of a value. */
static double axis_at(const Axis *a, double v) {
    double t = ((a->log ? log10(v) : v) - a->lo) / (a->hi - a->lo);
    return a->from + t * (a->to - a->from);
}

static void put_at(Buf *b, double v) { buf_printf(b, "%.2f", v); }

static void put_line(Buf *b, const char *class_name, double x1, double y1, double x2, double y2) {
    buf_printf(b, "<path class=\"%s\" d=\"M", class_name);
    put_at(b, x1);
    buf_putc(b, ' ');
    put_at(b, y1);
    buf_putc(b, 'L');
    put_at(b, x2);
    buf_putc(b, ' ');
    put_at(b, y2);
    buf_puts(b, "\"/>");
}

enum { LONGEST = 52 }; /* bytes of a text; a longer one ends in an ellipsis */

static void put_text(Buf *b, const char *class_name, const char *anchor, double x, double y,
                     const char *text) {
    buf_printf(b, "<text class=\"%s\" text-anchor=\"%s\" x=\"", class_name, anchor);
    put_at(b, x);
    buf_puts(b, "\" y=\"");
    put_at(b, y);
    buf_puts(b, "\">");
    html_clip(b, str(text), LONGEST);
    buf_puts(b, "</text>");
}

/* A number with as many decimals as tell the ticks apart. */
static void tick_label(char *out, size_t size, double v, double step) {
    double top = fmax(fabs(v), step);
    if (fabs(v) < step * 1e-6) snprintf(out, size, "0");
    else if (top >= 1e6 || step < 1e-5) snprintf(out, size, "%.3g", v);
    else snprintf(out, size, "%.*f", step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9), v);
}

/* One tick: a line through the plot and its label. */
static void put_tick(Buf *b, const Axis *a, const Axis *other, double v, double step,
                     bool horizontal) {
    char label[32];
    double at = axis_at(a, v);
    tick_label(label, sizeof label, v, step);
    if (horizontal) {
        put_line(b, "mesh", at, other->from, at, other->to);
        put_text(b, "soft", "middle", at, other->from + 16, label);
    } else {
        put_line(b, "mesh", other->from, at, other->to, at);
        put_text(b, "soft", "end", other->from - 6, at + 4, label);
    }
}

static void put_ticks(Buf *b, const Axis *a, const Axis *other, bool horizontal) {
    if (!a->log) {
        for (double i = ceil(a->lo / a->step - 1e-6); i <= a->hi / a->step + 1e-6; i++)
            put_tick(b, a, other, i * a->step, a->step, horizontal);
        return;
    }
    bool between = a->hi - a->lo < 3; /* 2 and 5 as well when there are few powers */
    for (int e = (int)floor(a->lo); e <= (int)ceil(a->hi); e++)
        for (int m = 1; m <= 5; m = m == 1 ? 2 : m + 3) {
            double v = m * pow(10, e), at = log10(v);
            if ((m > 1 && !between) || at < a->lo - 1e-9 || at > a->hi + 1e-9) continue;
            put_tick(b, a, other, v, pow(10, e), horizontal);
        }
}

typedef struct {
    int width, height, left, right, top, bottom;
} Frame;

static Frame frame_of(int right) { return (Frame){350, 236, 44, right, 26, 38}; }

static void put_keys(Buf *b, const char *name, int tone, bool dashed) {
    buf_printf(b, "<span class=\"key\"><i class=\"t%d%s\"></i>", tone, dashed ? " dash" : "");
    html_text(b, str(name));
    buf_puts(b, "</span>");
}

/* Opens figure and caption. What the caller appends before chart_svg gets its own line. */
static void chart_caption(Buf *b, const Chart *c) {
    buf_puts(b, "<figure><figcaption>");
    html_text(b, str(c->title));
    buf_puts(b, "<span class=\"keys\">");
}

static void chart_svg(Buf *b, const Chart *c, const Frame *f) {
    buf_printf(b, "</span></figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>", f->width,
               f->height);
    html_text(b, str(c->title));
    buf_puts(b, "</title>");
    if (c->about) {
        buf_puts(b, "<desc>");
        html_text(b, str(c->about));
        buf_puts(b, "</desc>");
    }
    buf_putc(b, '\n');
}

static void chart_close(Buf *b) { buf_puts(b, "</svg></figure>\n"); }

static void chart_empty(Buf *b, const Chart *c) {
    Frame f = {300, 60, 0, 0, 0, 0};
    chart_caption(b, c);
    chart_svg(b, c, &f);
    put_text(b, "soft", "middle", 150, 34, "no values");
    chart_close(b);
}

/* The y label is above the axis, where it needs no turned head. */
static void put_labels(Buf *b, const Chart *c, const Frame *f) {
    double middle_x = (f->left + f->width - f->right) / 2.0;
    if (c->x_label) put_text(b, "", "middle", middle_x, f->height - 6, c->x_label);
    if (c->y_label) put_text(b, "", "start", 2, 13, c->y_label);
}

static void put_frame(Buf *b, const Chart *c, const Frame *f, const Axis *x, const Axis *y) {
    put_ticks(b, x, y, true);
    put_ticks(b, y, x, false);
    put_line(b, "axis", x->from, y->from, x->to, y->from);
    put_labels(b, c, f);
    buf_putc(b, '\n');
}

/* Widens a range (at first INFINITY, -INFINITY) to the usable values; false while there is none. */
static bool range_add(double *lo, double *hi, const double *v, int n) {
    for (int i = 0; i < n; i++) {
        if (!usable(v[i])) continue;
        *lo = fmin(*lo, v[i]);
        *hi = fmax(*hi, v[i]);
    }
    return *lo <= *hi;
}

static void range_cover(double *lo, double *hi, double min, double max) {
    if (min == max) return;
    *lo = fmin(*lo, min);
    *hi = fmax(*hi, max);
}

/* ---- lines ---- */

static int by_x(const void *a, const void *b) {
    double p = ((const Point *)a)->x, q = ((const Point *)b)->x;
    return p < q ? -1 : p > q;
}

Series series_mean(Arena *arena, Point *points, int n, int most) {
    double *x = arena_new(arena, (size_t)n + 1, sizeof *x),
           *y = arena_new(arena, (size_t)n + 1, sizeof *y);
    int steps = 0, out = 0;
    if (n) qsort(points, (size_t)n, sizeof *points, by_x);
    for (int i = 0, j; i < n; i = j, steps++) {
        double sum = 0;
        for (j = i; j < n && points[j].x == points[i].x; j++) sum += points[j].y;
        x[steps] = points[i].x, y[steps] = sum / (j - i);
    }
    int bucket = (steps + most - 1) / most;
    for (int i = 0, j; i < steps; i = j, out++) {
        double sum_x = 0, sum_y = 0;
        for (j = i; j < steps && j < i + bucket; j++) sum_x += x[j], sum_y += y[j];
        x[out] = sum_x / (j - i), y[out] = sum_y / (j - i);
    }
    return (Series){.n = out, .x = x, .y = y};
}

static bool drawable(const Chart *c, double x, double y) {
    return usable(x) && usable(y) && (!c->log_y || y > 1e-290);
}

/* One line. A gap begins wherever a value cannot be drawable. */
static void put_curve(Buf *b, const Chart *c, const Series *s, const Axis *x, const Axis *y) {
    bool pen = false;
    buf_printf(b, "<path class=\"curve t%d%s%s\" d=\"", s->tone,
               s->tone == TONE_GREY ? " thin" : "", s->dashed ? " dash" : "");
    for (int i = 0; i < s->n; i++) {
        if (!drawable(c, s->x[i], s->y[i])) {
            pen = false;
            continue;
        }
        bool alone = !pen && (i + 1 == s->n || !drawable(c, s->x[i + 1], s->y[i + 1]));
        buf_putc(b, pen ? 'L' : 'M');
        put_at(b, axis_at(x, s->x[i]));
        buf_putc(b, ' ');
        put_at(b, axis_at(y, s->y[i]));
        if (alone) buf_puts(b, "h2.5"); /* a single point would be invisible */
        pen = true;
    }
    buf_puts(b, "\"><title>");
    html_text(b, str(s->name));
    buf_puts(b, "</title></path>\n");
}

typedef struct {
    int series;
    double x, y, at;
} EndLabel; /* end of the line; at: height of its label */

static int by_height(const void *a, const void *b) {
    const EndLabel *p = a, *q = b;
    if (p->y != q->y) return p->y < q->y ? -1 : 1;
    return p->series < q->series ? -1 : 1;
}

/* The names of all lines above the chart. Grey lines are the many that are not singled out. */
static void put_legend(Buf *b, const Series *s, int n) {
    int grey = 0;
    const char *name = NULL;
    for (int i = 0; i < n; i++) {
        if (s[i].tone != TONE_GREY) put_keys(b, s[i].name, s[i].tone, s[i].dashed);
        else if (grey++ == 0) name = s[i].name;
    }
    char others[32];
    snprintf(others, sizeof others, "%d others", grey);
    if (grey) put_keys(b, grey == 1 ? name : others, TONE_GREY, false);
}

static void put_marks(Buf *b, const Chart *c, const Axis *x, const Axis *y) {
    for (int i = 0; i < c->n_marks; i++) {
        double at = axis_at(x, c->marks[i].x);
        if (at < x->from || at > x->to) continue;
        bool left = at < (x->from + x->to) / 2;
        put_line(b, "axis dash", at, y->from, at, y->to);
        if (c->marks[i].name)
            put_text(b, "", left ? "start" : "end", at + (left ? 4 : -4), y->to + 11,
                     c->marks[i].name);
    }
}

/* At most `most` bytes of a name, with an ellipsis if that is not all of it. */
static void clip_copy(Buf *b, const char *name, size_t most) {
    size_t n = strlen(name);
    if (n > most)
        for (n = most; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;) n--;
    buf_put(b, name, n);
    buf_puts(b, name[n] ? "\xe2\x80\xa6" : "");
}

/* Names at the line ends, pushed down until they do not overlap, then up from the bottom. */
static void put_end_labels(Buf *b, const Chart *c, const Series *s, int n, const Axis *x,
                           const Axis *y) {
    EndLabel *labels = mem_new((size_t)n, sizeof *labels);
    int count = 0;
    const double apart = 14;
    for (int i = 0; i < n; i++) {
        int last = s[i].n - 1;
        while (last >= 0 && !drawable(c, s[i].x[last], s[i].y[last])) last--;
        if (last < 0) continue;
        labels[count++] = (EndLabel){i, axis_at(x, s[i].x[last]), axis_at(y, s[i].y[last]), 0};
    }
    qsort(labels, (size_t)count, sizeof *labels, by_height);
    for (int i = 0; i < count; i++)
        labels[i].at =
            i && labels[i].y < labels[i - 1].at + apart ? labels[i - 1].at + apart : labels[i].y;
    double bottom = y->from + 4;
    for (int i = count - 1; i >= 0; i--, bottom -= apart)
        if (labels[i].at > bottom) labels[i].at = bottom;
    for (int i = 0; i < count; i++) {
        const Series *one = &s[labels[i].series];
        char class_name[32];
        snprintf(class_name, sizeof class_name, "lead t%d", one->tone);
        put_line(b, class_name, labels[i].x + 2, labels[i].y, x->to + 12, labels[i].at);
        snprintf(class_name, sizeof class_name, "t%d", one->tone);
        Buf name = {0}; /* as long as the margin is wide */
        clip_copy(&name, one->name, 18);
        put_text(b, class_name, "start", x->to + 15, labels[i].at + 4, name.s);
        buf_free(&name);
    }
    free(labels);
}

void chart_lines(Buf *b, const Chart *c, const Series *series, int n) {
    double x_lo = INFINITY, x_hi = -INFINITY, y_lo = INFINITY, y_hi = -INFINITY;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < series[s].n; i++) {
            if (!drawable(c, series[s].x[i], series[s].y[i])) continue;
            range_add(&x_lo, &x_hi, &series[s].x[i], 1);
            range_add(&y_lo, &y_hi, &series[s].y[i], 1);
        }
    if (!(x_lo <= x_hi)) {
        chart_empty(b, c);
        return;
    }
    range_cover(&x_lo, &x_hi, c->x_min, c->x_max);
    range_cover(&y_lo, &y_hi, c->y_min, c->y_max);
    Frame f = frame_of(c->end_names ? 112 : 12);
    chart_caption(b, c);
    if (!c->end_names && n > 1) put_legend(b, series, n);
    chart_svg(b, c, &f);
    if (x_lo > 0 && x_lo < 0.25 * x_hi) x_lo = 0;
    Axis x = axis_new(x_lo, x_hi, f.left, f.width - f.right, false, c->end_names ? 3 : 5);
    /* Leave no empty space after the line ends. */
    if (x_lo < x_hi && x.hi - x_hi > 0.04 * (x_hi - x_lo)) x.hi = x_hi;
    Axis y = axis_new(y_lo, y_hi, f.height - f.bottom, f.top, c->log_y, 4);
    put_frame(b, c, &f, &x, &y);
    /* Grey lines first, so that they never hide a colored one. */
    for (int grey = 1; grey >= 0; grey--)
        for (int s = 0; s < n; s++)
            if ((series[s].tone == TONE_GREY) == (grey == 1)) put_curve(b, c, &series[s], &x, &y);
    put_marks(b, c, &x, &y);
    if (c->end_names) put_end_labels(b, c, series, n, &x, &y);
    chart_close(b);
}

/* ---- histogram ---- */

/* The outline of one sample's histogram. */
static void put_steps(Buf *b, const Sample *s, const int *count, int bins, double lo, double width,
                      const Axis *x, const Axis *y) {
    buf_printf(b, "<path class=\"area t%d\" d=\"M", s->tone);
    put_at(b, axis_at(x, lo));
    buf_putc(b, ' ');
    put_at(b, axis_at(y, 0));
    for (int i = 0; i < bins; i++) {
        buf_putc(b, 'V');
        put_at(b, axis_at(y, count[i]));
        buf_putc(b, 'H');
        put_at(b, axis_at(x, lo + (i + 1) * width));
    }
    buf_putc(b, 'V');
    put_at(b, axis_at(y, 0));
    buf_puts(b, "Z\"><title>");
    html_text(b, str(s->name));
    buf_puts(b, "</title></path>\n");
}

void chart_histogram(Buf *b, const Chart *c, const Sample *samples, int n, int bins) {
    double lo = INFINITY, hi = -INFINITY;
    for (int s = 0; s < n; s++) range_add(&lo, &hi, samples[s].v, samples[s].n);
    if (!(lo <= hi) || bins < 1) {
        chart_empty(b, c);
        return;
    }
    if (!(hi - lo > fmax(1e-290, 1e-12 * (fabs(lo) + fabs(hi))))) {
        double around = fmax(0.5, 1e-3 * fabs(lo));
        lo -= around, hi += around;
    }
    int *count = mem_new(mem_mul((size_t)n, (size_t)bins), sizeof *count), most = 0;
    double width = (hi - lo) / bins;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < samples[s].n; i++) {
            if (!usable(samples[s].v[i])) continue;
            int bin = (int)((samples[s].v[i] - lo) / width);
            if (bin >= bins) bin = bins - 1; /* the largest value belongs to the last bin */
            int *place = &count[s * bins + bin];
            if (++*place > most) most = *place;
        }
    Frame f = frame_of(12);
    chart_caption(b, c);
    if (n > 1)
        for (int s = 0; s < n; s++) put_keys(b, samples[s].name, samples[s].tone, false);
    chart_svg(b, c, &f);
    Axis x = axis_new(lo, hi, f.left, f.width - f.right, false, 5);
    Axis y = axis_new(0, most, f.height - f.bottom, f.top, false, 4);
    put_frame(b, c, &f, &x, &y);
    for (int s = 0; s < n; s++)
        put_steps(b, &samples[s], count + s * bins, bins, lo, width, &x, &y);
    if (x.lo < 0 && x.hi > 0)
        put_line(b, "axis dash", axis_at(&x, 0), y.from, axis_at(&x, 0), y.to);
    chart_close(b);
    free(count);
}

/* ---- dots and bars ---- */

static void put_circle(Buf *b, const char *kind, int tone, double x, double y, double radius) {
    buf_printf(b, "<circle class=\"%s t%d\" cx=\"", kind, tone);
    put_at(b, x);
    buf_puts(b, "\" cy=\"");
    put_at(b, y);
    buf_puts(b, "\" r=\"");
    put_at(b, radius);
    buf_puts(b, "\"/>");
}

/* One sample: its values as small dots, the mean as a large one, a line for the deviation. */
static void put_dots(Buf *b, const Sample *s, const Axis *x, double at) {
    double mean, sd;
    int count = mean_sd(s->v, s->n, &mean, &sd);
    char class_name[32];
    snprintf(class_name, sizeof class_name, "t%d", s->tone);
    Buf name = {0}; /* as long as the margin is wide */
    clip_copy(&name, s->name, 22);
    put_text(b, s->tone ? class_name : "", "end", x->from - 10, at + 4, name.s);
    buf_free(&name);
    if (count == 0 || !usable(mean)) return;
    snprintf(class_name, sizeof class_name, "curve t%d", s->tone);
    if (usable(sd)) put_line(b, class_name, axis_at(x, mean - sd), at, axis_at(x, mean + sd), at);
    for (int i = 0; i < s->n; i++)
        if (usable(s->v[i])) put_circle(b, "dot", s->tone, axis_at(x, s->v[i]), at, 3);
    put_circle(b, "mean", s->tone, axis_at(x, mean), at, 4.5);
    buf_putc(b, '\n');
}

void chart_dots(Buf *b, const Chart *c, const Sample *samples, int n) {
    bool spread = false;
    double lo = INFINITY, hi = -INFINITY;
    for (int s = 0; s < n; s++) {
        double mean, sd;
        if (mean_sd(samples[s].v, samples[s].n, &mean, &sd) > 1) {
            spread = true;
            double ends[2] = {mean - sd, mean + sd};
            range_add(&lo, &hi, ends, 2);
        }
        range_add(&lo, &hi, samples[s].v, samples[s].n);
    }
    if (!(lo <= hi)) {
        chart_empty(b, c);
        return;
    }
    range_cover(&lo, &hi, c->x_min, c->x_max);
    Frame f = {350, 52 + 20 * n, 168, 14, 6, 44};
    chart_caption(b, c);
    if (spread)
        buf_puts(b, "<span class=\"key\">small dots: values, large: mean, line: deviation</span>");
    chart_svg(b, c, &f);
    Axis x = axis_new(lo, hi, f.left, f.width - f.right, false, 4);
    Axis y = {0, 1, 1, f.height - f.bottom, f.top, false};
    put_ticks(b, &x, &y, true);
    put_line(b, "axis", x.from, y.from, x.to, y.from);
    if (c->x_label) put_text(b, "", "middle", (x.from + x.to) / 2, f.height - 6, c->x_label);
    buf_putc(b, '\n');
    for (int s = 0; s < n; s++) put_dots(b, &samples[s], &x, f.top + 10 + 20 * s);
    chart_close(b);
}

void chart_points(Buf *b, const Chart *c, const Series *series, int n) {
    double x_lo = INFINITY, x_hi = -INFINITY, y_lo = INFINITY, y_hi = -INFINITY;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < series[s].n; i++) {
            if (!drawable(c, series[s].x[i], series[s].y[i])) continue;
            range_add(&x_lo, &x_hi, &series[s].x[i], 1);
            range_add(&y_lo, &y_hi, &series[s].y[i], 1);
        }
    if (!(x_lo <= x_hi)) {
        chart_empty(b, c);
        return;
    }
    Frame f = frame_of(12);
    chart_caption(b, c);
    put_legend(b, series, n);
    chart_svg(b, c, &f);
    Axis x = axis_new(x_lo, x_hi, f.left, f.width - f.right, false, 5);
    Axis y = axis_new(y_lo, y_hi, f.height - f.bottom, f.top, false, 4);
    put_frame(b, c, &f, &x, &y);
    for (int s = 0; s < n; s++)
        for (int i = 0; i < series[s].n; i++)
            if (drawable(c, series[s].x[i], series[s].y[i]))
                put_circle(b, "dot", series[s].tone, axis_at(&x, series[s].x[i]),
                           axis_at(&y, series[s].y[i]), 2);
    put_marks(b, c, &x, &y);
    if (c->level >= y.lo && c->level <= y.hi)
        put_line(b, "axis dash", x.from, axis_at(&y, c->level), x.to, axis_at(&y, c->level));
    chart_close(b);
}

static void put_bar(Buf *b, const Bar *bar, const Axis *y, double center, double half) {
    char text[32];
    double zero = axis_at(y, 0), top = axis_at(y, bar->value),
           err = usable(bar->error) ? bar->error : 0;
    bool up = bar->value >= 0;
    put_text(b, "", "middle", center, y->from + 16, bar->name);
    if (!usable(bar->value)) return;
    buf_printf(b, "<rect class=\"bar t%d\" x=\"", bar->tone);
    put_at(b, center - half);
    buf_puts(b, "\" y=\"");
    put_at(b, fmin(zero, top));
    buf_puts(b, "\" width=\"");
    put_at(b, 2 * half);
    buf_puts(b, "\" height=\"");
    put_at(b, fabs(zero - top));
    buf_puts(b, "\"/>");
    if (err > 0)
        put_line(b, "axis", center, axis_at(y, bar->value - err), center,
                 axis_at(y, bar->value + err));
    snprintf(text, sizeof text, "%.3g", bar->value);
    put_text(b, "", "middle", center, axis_at(y, bar->value + (up ? err : -err)) + (up ? -5 : 13),
             text);
    buf_putc(b, '\n');
}

void chart_bars(Buf *b, const Chart *c, const Bar *bars, int n) {
    double lo = 0, hi = 0;
    bool any = false;
    for (int i = 0; i < n; i++) {
        double err = usable(bars[i].error) ? bars[i].error : 0,
               ends[2] = {bars[i].value - err, bars[i].value + err};
        range_add(&lo, &hi, ends, 2);
        any = any || usable(bars[i].value);
    }
    if (!any) {
        chart_empty(b, c);
        return;
    }
    range_cover(&lo, &hi, c->y_min, c->y_max);
    Frame f = frame_of(12);
    f.top += 12; /* room for the number above a full bar */
    chart_caption(b, c);
    chart_svg(b, c, &f);
    Axis x = {0, n, 1, f.left, f.width - f.right, false},
         y = axis_new(lo, hi, f.height - f.bottom, f.top, false, 4);
    put_ticks(b, &y, &x, false);
    put_labels(b, c, &f);
    buf_putc(b, '\n');
    double slot = (x.to - x.from) / n;
    for (int i = 0; i < n; i++)
        put_bar(b, &bars[i], &y, x.from + (i + 0.5) * slot, fmin(0.32 * slot, 40));
    put_line(b, "axis", x.from, axis_at(&y, 0), x.to, axis_at(&y, 0));
    chart_close(b);
}
