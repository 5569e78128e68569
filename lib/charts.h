/* charts: lines, points, histograms, dots and bars as inline SVG in an HTML page.
 *
 * Every function appends one <figure> to b. Numbers are borrowed arrays. A value that is not
 * finite is a gap in a line and is left out elsewhere. A chart without any value says so.
 * Coordinates have two decimals, so the same input gives the same bytes. Tone 0 is a thin grey
 * line; tones 1 to 6 are colors that color-blind readers can tell apart (styled in lib/html.c).
 * A chart is 350 units wide and its text 12 units high, so that on a telephone one unit is about
 * one pixel. The title is what the chart says; it may be as long as a sentence.
 *
 * Usage:
 *   const double step[3] = {0, 10, 20}, loss[3] = {2.5, 1.75, 1.5};
 *   Series s = {.name = "uniform", .tone = 1, .n = 3, .x = step, .y = loss};
 *   Chart c = {.title = "Training loss", .x_label = "step", .y_label = "loss"};
 *   Buf body = {0};
 *   chart_lines(&body, &c, &s, 1);
 *   buf_free(&body);
 */
#ifndef CHARTS_H
#define CHARTS_H

#include "lib/util.h"

enum { TONE_GREY = 0, TONE_COUNT = 7 };

/* A vertical line with a name, of lines and points. */
typedef struct {
    double x;
    const char *name;
} Mark;

typedef struct {
    const char *title, *about; /* about: the long description; may be NULL */
    const char *x_label, *y_label;
    double x_min, x_max, y_min, y_max; /* an axis covers at least this; min == max: only the data */
    bool log_y;                        /* lines only; values <= 0 become gaps */
    bool end_names;    /* lines only: names at the lines' ends instead of a legend above */
    const Mark *marks; /* [n_marks] */
    int n_marks;
    double level; /* points only: a horizontal line at this height; NaN: none */
} Chart;

typedef struct {
    const char *name;
    int tone;
    bool dashed;
    int n;
    const double *x, *y;
} Series; /* in a legend, several grey series are named by their number */
typedef struct {
    const char *name;
    int tone, n;
    const double *v;
} Sample;
typedef struct {
    const char *name;
    int tone;
    double value, error;
} Bar; /* error NaN: none */

/* The mean of the points with the same x, as a line of at most `most` points, neighbors being
 * averaged. Sorts the points; the line is in the arena. */
typedef struct {
    double x, y;
} Point;
Series series_mean(Arena *arena, Point *points, int n, int most);

/* One curve for each of n series. */
void chart_lines(Buf *b, const Chart *c, const Series *series, int n);
/* One dot for each point of n series. */
void chart_points(Buf *b, const Chart *c, const Series *series, int n);
/* Counts in equal bins that all samples share. */
void chart_histogram(Buf *b, const Chart *c, const Sample *samples, int n, int bins);
/* One line of dots for each sample, with its mean and, from two values on, its standard
 * deviation. The axis is x. */
void chart_dots(Buf *b, const Chart *c, const Sample *samples, int n);
/* One bar for each value, with its error as a line. */
void chart_bars(Buf *b, const Chart *c, const Bar *bars, int n);

#endif
