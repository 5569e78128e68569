/* report: building blocks of one self-contained HTML page: escaped text, tables, and charts as inline SVG. Knows nothing of
 * what it shows. No script and no external resource; light, dark and printed pages are styled; colors are told apart by
 * color-blind readers. Coordinates have two decimals and nothing depends on the clock: the same input gives the same bytes.
 *
 *   Page page = {0};
 *   page_section(&page, "Losses");
 *   Series s = {.name = "uniform", .tone = 1, .n = 3, .x = x, .y = y};
 *   chart_lines(&page.body, &(Chart){.title = "Training loss", .x_label = "step", .y_label = "loss"}, &s, 1);
 *   Buf html = {0};
 *   page_finish(&page, "My runs", "two cores", &html);          // the whole document; frees the page
 *
 * Names and texts are the caller's, may hold anything and are escaped here. Tone 0 is a thin grey line, tones 1 to 6 are
 * colors. A value that is not finite is a gap in a line and is left out elsewhere; a chart without any value says so.
 */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include "lib/util.h"

enum { TONE_GREY = 0, TONE_COUNT = 7 };

/* ---- text ---- */

const char *text_new(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3); /* a formatted string of any length */
/* The next line of text from *at, without its newline; false at the end. */
bool text_line(Str text, size_t *at, Str *line);
/* Appends text with its lines broken at blanks to at most `width` columns; what follows a break is indented. */
void text_wrap(Buf *b, Str text, int width);

/* A list of names without repeats; it lives in the arena, the names themselves are the caller's. */
typedef struct { const char **v; int n, capacity; } Names;
void names_add(Arena *arena, Names *names, const char *name);
void names_sort(Names *names, int (*compare)(const void *, const void *)); /* gets pointers to const char * */

/* Appends text that is safe between tags and in quoted attributes; control characters and invalid UTF-8 become U+FFFD. */
void html_text(Buf *b, Str s);
/* As html_text, for at most `most` bytes (cut between characters, with an ellipsis). */
void html_clip(Buf *b, Str s, size_t most);
void html_printf(Buf *b, const char *format, ...) PRINTF_LIKE(2, 3); /* formatted, then escaped */

/* ---- page ---- */

typedef struct { Buf body, contents; int sections; } Page; /* zero-initialize; append to body between the calls */
void page_section(Page *p, const char *heading); /* ends the last section; also enters the list of contents */
void page_heading(Page *p, const char *format, ...) PRINTF_LIKE(2, 3);
void page_paragraph(Page *p, const char *format, ...) PRINTF_LIKE(2, 3);
void page_grid(Page *p);     /* the figures up to page_grid_end stand side by side */
void page_grid_end(Page *p);
void page_finish(Page *p, const char *title, const char *subtitle, Buf *html);

/* ---- tables: one object gives plain text and HTML ---- */

typedef struct {
    const char *title, *caption; /* may be NULL */
    Buf remarks;                 /* sentences below the table, one a line */
    Arena arena;
    int columns, cells, capacity;
    Str *cell; /* [cells], row by row; the first row is the head */
} Table;
void table_head(Table *t, const char *name);                         /* adds a column; before the first table_put */
void table_put(Table *t, const char *format, ...) PRINTF_LIKE(2, 3); /* the next cell, row by row */
/* Mean, a plus-minus sign and the spread, times scale; without the spread when sd is not finite, "-" when mean is not. */
void table_mean(Table *t, double mean, double sd, int decimals, double scale);
/* First column left, the others right aligned; remarks are wrapped to the width. The caption is for the page alone. */
void table_text(const Table *t, int width, Buf *b);
void table_html(const Table *t, Buf *b); /* scrolls inside its box when it is wide */
void table_free(Table *t);

/* ---- charts ---- */

typedef struct {
    const char *title, *about;    /* about: the long description; may be NULL */
    const char *x_label, *y_label;
    double x_min, x_max, y_min, y_max; /* the range an axis must cover at least; min == max: from the data alone */
    bool log_y;                   /* lines only; values <= 0 become gaps */
    bool small;                   /* half the width, names in a legend above instead of beside the line ends */
} Chart;

typedef struct { const char *name; int tone; bool dashed; int n; const double *x, *y; } Series;
typedef struct { const char *name; int tone, n; const double *v; } Sample;
typedef struct { const char *name; int tone; double value, error; } Bar; /* error NaN: none */

/* The mean of the points with the same x, as a line of at most `most` points (neighbors averaged); sorts the points. */
typedef struct { double x, y; } Point;
Series series_mean(Arena *arena, Point *points, int n, int most);

void chart_lines(Buf *b, const Chart *c, const Series *series, int n);
/* Counts in equal bins that all samples share. */
void chart_histogram(Buf *b, const Chart *c, const Sample *samples, int n, int bins);
/* One line of dots for each sample, with its mean and, from two values on, its standard deviation; the axis is x. */
void chart_dots(Buf *b, const Chart *c, const Sample *samples, int n);
void chart_bars(Buf *b, const Chart *c, const Bar *bars, int n);

/* Points (false positive rate, true positive rate) of ranking by score, ties as one slanted piece: x and y have n + 1 places.
 * Returns how many points were written, and the area under the curve (NaN and 0 points when a class is empty). */
int roc_curve(const double *score, const bool *positive, int n, double *x, double *y, double *area);
/* Pair by pair, over the pairs with two finite values: how often mine is better, and both means. */
typedef struct { int wins, ties, n; double mine, theirs; } Duel;
Duel duel_of(const double *mine, const double *theirs, int n, bool higher_is_better);
/* "better (0.21 against 0.32; better in 3 of 3 seeds)"; better, worse and equal only if every pair says so. */
void duel_text(Buf *b, const Duel *d, int decimals, const char *unit);
/* Mean of the finite values and their sample standard deviation (NaN with fewer than two); returns how many were finite. */
int mean_sd(const double *v, int n, double *mean, double *sd);

#endif
