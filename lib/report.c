#define _POSIX_C_SOURCE 200809L
#include "lib/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

/* NUL-terminated, in the arena. */
static Str text_format(Arena *arena, const char *format, va_list args) {
    va_list copy;
    va_copy(copy, args);
    int n = vsnprintf(NULL, 0, format, copy);
    va_end(copy);
    size_t size = n < 0 ? 1 : (size_t)n + 1;
    char *text = arena_new(arena, size, 1);
    vsnprintf(text, size, format, args);
    return (Str){text, size - 1};
}

const char *text_new(Arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Str text = text_format(arena, format, args);
    va_end(args);
    return text.s;
}

bool text_line(Str text, size_t *at, Str *line) {
    if (*at >= text.n) return false;
    const char *start = text.s + *at, *end = memchr(start, '\n', text.n - *at);
    line->s = start;
    line->n = end ? (size_t)(end - start) : text.n - *at;
    *at += line->n + 1;
    return true;
}

/* How many columns a text takes on a terminal: its characters, each counted as one. */
static int text_width(Str s) {
    int width = 0;
    for (size_t i = 0; i < s.n; i++) width += ((unsigned char)s.s[i] & 0xc0) != 0x80;
    return width;
}

void text_wrap(Buf *b, Str text, int width) {
    size_t at = 0;
    Str line;
    while (text_line(text, &at, &line)) {
        int column = 0;
        for (size_t i = 0; i < line.n;) {
            const char *blank = memchr(line.s + i, ' ', line.n - i);
            Str word = {line.s + i, blank ? (size_t)(blank - line.s) - i : line.n - i};
            int wide = text_width(word);
            bool breaks = column > 0 && column + 1 + wide > width;
            buf_puts(b, breaks ? "\n  " : column ? " " : "");
            buf_put(b, word.s, word.n);
            column = (breaks ? 2 : column ? column + 1 : 0) + wide;
            i += word.n + 1;
        }
        buf_putc(b, '\n');
    }
}

void names_add(Arena *arena, Names *names, const char *name) {
    for (int i = 0; i < names->n; i++)
        if (strcmp(names->v[i], name) == 0) return;
    if (names->n == names->capacity) {
        const char **old = names->v;
        names->capacity = names->capacity ? 2 * names->capacity : 16;
        names->v = arena_new(arena, (size_t)names->capacity, sizeof *names->v);
        if (names->n) memcpy(names->v, old, (size_t)names->n * sizeof *old);
    }
    names->v[names->n++] = name;
}

void names_sort(Names *names, int (*compare)(const void *, const void *)) {
    if (names->n) qsort(names->v, (size_t)names->n, sizeof *names->v, compare);
}

/* The length of the UTF-8 character at s (at most n bytes), or 0 if there is none. */
static int utf8_length(const unsigned char *s, size_t n) {
    unsigned c = s[0];
    if (c < 0x80) return 1;
    int length = c >= 0xf0 && c <= 0xf4 ? 4 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xc2 && c < 0xe0 ? 2 : 0;
    if (length == 0 || (size_t)length > n) return 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80) return 0;
    /* Overlong forms, surrogates and values above U+10FFFF show in the second byte. */
    unsigned next = length > 1 ? s[1] : 0x80;
    bool low = (c == 0xe0 && next < 0xa0) || (c == 0xf0 && next < 0x90);
    bool high = (c == 0xed && next > 0x9f) || (c == 0xf4 && next > 0x8f);
    return low || high ? 0 : length;
}

void html_text(Buf *b, Str s) {
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.s[i];
        int length = utf8_length((const unsigned char *)s.s + i, s.n - i);
        if (c == '<') buf_puts(b, "&lt;");
        else if (c == '>') buf_puts(b, "&gt;");
        else if (c == '&') buf_puts(b, "&amp;");
        else if (c == '"') buf_puts(b, "&quot;");
        else if (c == '\'') buf_puts(b, "&#39;");
        else if (length == 0 || (c < 32 && c != '\n' && c != '\t') || c == 127) buf_puts(b, "\xef\xbf\xbd");
        else buf_put(b, s.s + i, (size_t)length);
        i += length ? (size_t)length : 1;
    }
}

void html_clip(Buf *b, Str s, size_t most) {
    if (s.n <= most) {
        html_text(b, s);
        return;
    }
    while (most > 0 && ((unsigned char)s.s[most] & 0xc0) == 0x80) most--;
    html_text(b, (Str){s.s, most});
    buf_puts(b, "\xe2\x80\xa6");
}

static void html_vprintf(Buf *b, const char *format, va_list args) {
    Arena scratch = {0};
    html_text(b, text_format(&scratch, format, args));
    arena_free(&scratch);
}

void html_printf(Buf *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    html_vprintf(b, format, args);
    va_end(args);
}

/* ---- page ---- */

/* Tones after Okabe and Ito, darkened on white and lightened on black until they can carry text. */
static const char STYLE[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d5dae0;--paper:#fff;--box:#f5f7f9;"
    "--t0:#9aa3ad;--t1:#0067b0;--t2:#c44900;--t3:#00795a;--t4:#a03d80;--t5:#8a6500;--t6:#2484ad}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#a0aab4;--line:#3a424b;--paper:#14181c;--box:#1d2228;"
    "--t0:#78828c;--t1:#5bb0f5;--t2:#ff8f56;--t3:#35c99c;--t4:#e596c8;--t5:#e3b73c;--t6:#9fdcf7}}\n"
    "@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--box:#fff;"
    "--t0:#888;--t1:#0067b0;--t2:#c44900;--t3:#00795a;--t4:#a03d80;--t5:#8a6500;--t6:#2484ad}"
    "nav{display:none}figure,tr{break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible!important}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\n"
    "main{max-width:60rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.7rem;line-height:1.2;margin:0 0 .3rem}\n"
    "h2{font-size:1.25rem;margin:2.6rem 0 .6rem;padding-top:.6rem;border-top:1px solid var(--line)}\n"
    "h3{font-size:1.02rem;margin:1.6rem 0 .4rem}\n"
    "p{margin:.4rem 0;max-width:52rem}.soft,figcaption small{color:var(--soft)}a{color:var(--t1)}\n"
    "nav{font-size:.9rem;margin:1rem 0}nav a{margin-right:1rem;display:inline-block}\n"
    ".scroll{overflow-x:auto;margin:.6rem 0 1rem}"
    "table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;color:var(--soft);padding-bottom:.3rem}\n"
    "th,td{padding:.22rem .55rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}\n"
    "thead th{border-bottom:2px solid var(--soft);font-weight:600}th:first-child{text-align:left}\n"
    "tbody th{font-weight:500;position:sticky;left:0;background:var(--paper)}tbody tr:hover>*{background:var(--box)}\n"
    ".words td,.words th{text-align:left}.words td{white-space:pre-wrap;overflow-wrap:anywhere;min-width:9rem}"
    ".words td:last-child{min-width:19rem}.words td.number{text-align:right;white-space:nowrap;min-width:0}\n"
    "ul.plain{margin:0;padding-left:1.1rem}figure{margin:1rem 0}figcaption{font-weight:600;font-size:.92rem}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(17.5rem,1fr));gap:.2rem 1.2rem}"
    ".grid figure{margin:.5rem 0}\n"
    ".keys{display:block}.key{font-weight:400;font-size:.82rem;margin-right:.9rem;white-space:nowrap}"
    ".key i{display:inline-block;width:1.1rem;border-top:3px solid;margin-right:.3rem;vertical-align:middle}"
    ".key i.dash{border-top-style:dashed}\n"
    "svg{display:block;width:100%;height:auto;font:11px system-ui,sans-serif}"
    "svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}\n"
    ".axis{stroke:var(--soft);stroke-width:1}.mesh{stroke:var(--line);stroke-width:1}.dash{stroke-dasharray:5 4}\n"
    ".curve{fill:none;stroke-width:2;stroke-linejoin:round}.thin{stroke-width:1}.lead{stroke-width:1;opacity:.6}\n"
    ".area{fill-opacity:.28;stroke-width:1.5}rect.bar{fill-opacity:.75;stroke:none}.dot{fill-opacity:.35}\n"
    ".t0{stroke:var(--t0);fill:var(--t0);color:var(--t0)}.t1{stroke:var(--t1);fill:var(--t1);color:var(--t1)}"
    ".t2{stroke:var(--t2);fill:var(--t2);color:var(--t2)}.t3{stroke:var(--t3);fill:var(--t3);color:var(--t3)}"
    ".t4{stroke:var(--t4);fill:var(--t4);color:var(--t4)}.t5{stroke:var(--t5);fill:var(--t5);color:var(--t5)}"
    ".t6{stroke:var(--t6);fill:var(--t6);color:var(--t6)}path.curve{fill:none}\n"
    "svg text.t1{fill:var(--t1)}svg text.t2{fill:var(--t2)}svg text.t3{fill:var(--t3)}svg text.t4{fill:var(--t4)}"
    "svg text.t5{fill:var(--t5)}svg text.t6{fill:var(--t6)}svg text.t0{fill:var(--soft)}svg text[class]{stroke:none}\n";

void page_section(Page *p, const char *heading) {
    if (p->sections++) buf_puts(&p->body, "</section>\n");
    buf_printf(&p->body, "<section id=\"s%d\"><h2>", p->sections);
    html_text(&p->body, str(heading));
    buf_puts(&p->body, "</h2>\n");
    buf_printf(&p->contents, "<a href=\"#s%d\">", p->sections);
    html_text(&p->contents, str(heading));
    buf_puts(&p->contents, "</a>\n");
}

void page_heading(Page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_puts(&p->body, "<h3>");
    html_vprintf(&p->body, format, args);
    buf_puts(&p->body, "</h3>\n");
    va_end(args);
}

void page_paragraph(Page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_puts(&p->body, "<p>");
    html_vprintf(&p->body, format, args);
    buf_puts(&p->body, "</p>\n");
    va_end(args);
}

void page_grid(Page *p) { buf_puts(&p->body, "<div class=\"grid\">\n"); }

void page_grid_end(Page *p) { buf_puts(&p->body, "</div>\n"); }

void page_finish(Page *p, const char *title, const char *subtitle, Buf *html) {
    buf_puts(html, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    html_text(html, str(title));
    buf_printf(html, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", STYLE);
    html_text(html, str(title));
    buf_puts(html, "</h1>\n<p class=\"soft\">");
    html_text(html, str(subtitle));
    buf_puts(html, "</p>\n<nav aria-label=\"Contents\">\n");
    buf_put(html, p->contents.s, p->contents.n);
    buf_puts(html, "</nav>\n");
    buf_put(html, p->body.s, p->body.n);
    if (p->sections) buf_puts(html, "</section>\n");
    buf_puts(html, "</main>\n</body>\n</html>\n");
    buf_free(&p->body);
    buf_free(&p->contents);
    p->sections = 0;
}

/* ---- tables ---- */

static void table_add(Table *t, Str s) {
    if (t->cells == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->cell = mem_grow(t->cell, (size_t)t->capacity, sizeof *t->cell);
    }
    t->cell[t->cells++] = s;
}

void table_head(Table *t, const char *name) {
    table_add(t, str_copy(&t->arena, str(name)));
    t->columns++;
}

void table_put(Table *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    table_add(t, text_format(&t->arena, format, args));
    va_end(args);
}

void table_mean(Table *t, double mean, double sd, int decimals, double scale) {
    if (!isfinite(mean)) table_put(t, "-");
    else if (isfinite(sd)) table_put(t, "%.*f\xc2\xb1%.*f", decimals, mean * scale, decimals, sd * scale);
    else table_put(t, "%.*f", decimals, mean * scale);
}

void table_text(const Table *t, int width, Buf *b) {
    int *widths = mem_new((size_t)t->columns + 1, sizeof *widths);
    if (t->title) buf_printf(b, "%s\n", t->title);
    for (int i = 0; i < t->cells; i++) {
        int w = text_width(t->cell[i]);
        if (w > widths[i % t->columns]) widths[i % t->columns] = w;
    }
    for (int i = 0; i < t->cells; i++) {
        int column = i % t->columns, pad = widths[column] - text_width(t->cell[i]);
        bool last = column == t->columns - 1 || i == t->cells - 1;
        if (column > 0) buf_printf(b, "  %*s", pad, "");
        buf_put(b, t->cell[i].s, t->cell[i].n);
        if (column == 0 && !last) buf_printf(b, "%*s", pad, "");
        if (last) buf_putc(b, '\n');
    }
    text_wrap(b, (Str){t->remarks.s, t->remarks.n}, width);
    free(widths);
}

static void put_element(Buf *b, const char *tag, Str text) {
    buf_printf(b, "<%s>", tag);
    html_text(b, text);
    buf_printf(b, "</%.*s>", (int)strcspn(tag, " "), tag);
}

void table_html(const Table *t, Buf *b) {
    if (t->title) put_element(b, "h3", str(t->title));
    buf_puts(b, "\n<div class=\"scroll\" tabindex=\"0\"><table>");
    if (t->caption) put_element(b, "caption", str(t->caption));
    for (int i = 0; i < t->cells; i++) {
        int column = i % t->columns;
        if (column == 0) buf_puts(b, i == 0 ? "\n<thead><tr>" : "<tr>");
        put_element(b, i < t->columns ? "th scope=\"col\"" : column == 0 ? "th scope=\"row\"" : "td", t->cell[i]);
        if (column == t->columns - 1 || i == t->cells - 1)
            buf_puts(b, i == t->columns - 1 ? "</tr></thead><tbody>\n" : "</tr>\n");
    }
    buf_puts(b, t->cells ? "</tbody></table></div>\n" : "</table></div>\n");
    size_t at = 0;
    for (Str line; text_line((Str){t->remarks.s, t->remarks.n}, &at, &line);) put_element(b, "p", line);
}

void table_free(Table *t) {
    arena_free(&t->arena);
    buf_free(&t->remarks);
    free(t->cell);
    *t = (Table){0};
}

/* ---- axes ---- */

typedef struct { double lo, hi, step, from, to; bool log; } Axis; /* from, to: where lo and hi stand in the picture */

/* 1, 2 or 5 times a power of ten, so that about `want` steps fill the span. */
static double nice_step(double span, int want) {
    double raw = span / want, power = pow(10, floor(log10(raw))), times = raw / power;
    return (times <= 1.0001 ? 1 : times <= 2.0001 ? 2 : times <= 5.0001 ? 5 : 10) * power;
}

/* Can this be drawn? Differences of larger numbers would overflow. */
static bool usable(double v) { return fabs(v) < 1e300; }

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

static void put_text(Buf *b, const char *class_name, const char *anchor, double x, double y, const char *text) {
    buf_printf(b, "<text class=\"%s\" text-anchor=\"%s\" x=\"", class_name, anchor);
    put_at(b, x);
    buf_puts(b, "\" y=\"");
    put_at(b, y);
    buf_puts(b, "\">");
    html_text(b, str(text));
    buf_puts(b, "</text>");
}

static void tick_label(char *out, size_t size, double v, double step) {
    double top = fmax(fabs(v), step);
    if (fabs(v) < step * 1e-6) snprintf(out, size, "0");
    else if (top >= 1e6 || step < 1e-5) snprintf(out, size, "%.3g", v);
    else snprintf(out, size, "%.*f", step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9), v);
}

/* One tick: a line through the plot and its label. */
static void put_tick(Buf *b, const Axis *a, const Axis *other, double v, double step, bool horizontal) {
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

typedef struct { int width, height, left, right, top, bottom; } Frame;

static Frame frame_of(const Chart *c, int right) {
    Frame wide = {760, 330, 62, right, 12, 46}, small = {300, 200, 50, 14, 10, 40};
    return c->small ? small : wide;
}

static void put_keys(Buf *b, const char *name, int tone, bool dashed) {
    buf_printf(b, "<span class=\"key\"><i class=\"t%d%s\"></i>", tone, dashed ? " dash" : "");
    html_text(b, str(name));
    buf_puts(b, "</span>");
}

/* Opens figure and caption; what the caller appends before chart_svg stands on a line of its own. */
static void chart_caption(Buf *b, const Chart *c) {
    buf_puts(b, "<figure><figcaption>");
    html_text(b, str(c->title));
    buf_puts(b, "<span class=\"keys\">");
}

static void chart_svg(Buf *b, const Chart *c, const Frame *f) {
    buf_printf(b, "</span></figcaption>\n<svg viewBox=\"0 0 %d %d\" role=\"img\"><title>", f->width, f->height);
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

static void put_labels(Buf *b, const Chart *c, const Frame *f) {
    double middle_x = (f->left + f->width - f->right) / 2.0, middle_y = (f->top + f->height - f->bottom) / 2.0;
    if (c->x_label) put_text(b, "", "middle", middle_x, f->height - 8, c->x_label);
    if (!c->y_label) return;
    buf_puts(b, "<text text-anchor=\"middle\" transform=\"translate(13 ");
    put_at(b, middle_y);
    buf_puts(b, ") rotate(-90)\">");
    html_text(b, str(c->y_label));
    buf_puts(b, "</text>");
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
    double *x = arena_new(arena, (size_t)n + 1, sizeof *x), *y = arena_new(arena, (size_t)n + 1, sizeof *y);
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


static bool shown(const Chart *c, double x, double y) { return usable(x) && usable(y) && (!c->log_y || y > 1e-290); }

static void put_curve(Buf *b, const Chart *c, const Series *s, const Axis *x, const Axis *y) {
    bool pen = false;
    buf_printf(b, "<path class=\"curve t%d%s%s\" d=\"", s->tone, s->tone == TONE_GREY ? " thin" : "", s->dashed ? " dash" : "");
    for (int i = 0; i < s->n; i++) {
        if (!shown(c, s->x[i], s->y[i])) {
            pen = false;
            continue;
        }
        bool alone = !pen && (i + 1 == s->n || !shown(c, s->x[i + 1], s->y[i + 1]));
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

typedef struct { int series; double x, y, at; } EndLabel; /* the line's end, and where its label stands */

static int by_height(const void *a, const void *b) {
    const EndLabel *p = a, *q = b;
    if (p->y != q->y) return p->y < q->y ? -1 : 1;
    return p->series < q->series ? -1 : 1;
}

/* Names beside the line ends: pushed down until they don't overlap, then up again from the bottom. */
static void put_end_labels(Buf *b, const Chart *c, const Series *s, int n, const Axis *x, const Axis *y) {
    EndLabel *labels = mem_new((size_t)n, sizeof *labels);
    int count = 0;
    const double apart = 13;
    for (int i = 0; i < n; i++) {
        int last = s[i].n - 1;
        while (last >= 0 && !shown(c, s[i].x[last], s[i].y[last])) last--;
        if (last < 0) continue;
        labels[count++] = (EndLabel){i, axis_at(x, s[i].x[last]), axis_at(y, s[i].y[last]), 0};
    }
    qsort(labels, (size_t)count, sizeof *labels, by_height);
    for (int i = 0; i < count; i++)
        labels[i].at = i && labels[i].y < labels[i - 1].at + apart ? labels[i - 1].at + apart : labels[i].y;
    double bottom = y->from + 4;
    for (int i = count - 1; i >= 0; i--, bottom -= apart)
        if (labels[i].at > bottom) labels[i].at = bottom;
    for (int i = 0; i < count; i++) {
        const Series *one = &s[labels[i].series];
        char class_name[32];
        snprintf(class_name, sizeof class_name, "lead t%d", one->tone);
        put_line(b, class_name, labels[i].x + 2, labels[i].y, x->to + 12, labels[i].at);
        snprintf(class_name, sizeof class_name, "t%d", one->tone);
        put_text(b, class_name, "start", x->to + 15, labels[i].at + 4, one->name);
    }
    free(labels);
}

void chart_lines(Buf *b, const Chart *c, const Series *series, int n) {
    double x_lo = INFINITY, x_hi = -INFINITY, y_lo = INFINITY, y_hi = -INFINITY;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < series[s].n; i++) {
            if (!shown(c, series[s].x[i], series[s].y[i])) continue;
            range_add(&x_lo, &x_hi, &series[s].x[i], 1);
            range_add(&y_lo, &y_hi, &series[s].y[i], 1);
        }
    if (!(x_lo <= x_hi)) {
        chart_empty(b, c);
        return;
    }
    range_cover(&x_lo, &x_hi, c->x_min, c->x_max);
    range_cover(&y_lo, &y_hi, c->y_min, c->y_max);
    Frame f = frame_of(c, 168);
    chart_caption(b, c);
    if (c->small && n > 1)
        for (int s = 0; s < n; s++) put_keys(b, series[s].name, series[s].tone, series[s].dashed);
    chart_svg(b, c, &f);
    if (x_lo > 0 && x_lo < 0.25 * x_hi) x_lo = 0;
    Axis x = axis_new(x_lo, x_hi, f.left, f.width - f.right, false, c->small ? 4 : 6);
    if (x_lo < x_hi && x.hi - x_hi > 0.04 * (x_hi - x_lo)) x.hi = x_hi; /* no empty space behind the line ends */
    Axis y = axis_new(y_lo, y_hi, f.height - f.bottom, f.top, c->log_y, c->small ? 4 : 6);
    put_frame(b, c, &f, &x, &y);
    /* Grey lines first, so that they never hide a colored one. */
    for (int grey = 1; grey >= 0; grey--)
        for (int s = 0; s < n; s++)
            if ((series[s].tone == TONE_GREY) == (grey == 1)) put_curve(b, c, &series[s], &x, &y);
    if (!c->small) put_end_labels(b, c, series, n, &x, &y);
    chart_close(b);
}

/* ---- histogram ---- */

static void put_steps(Buf *b, const Sample *s, const int *count, int bins, double lo, double width, const Axis *x,
                      const Axis *y) {
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
            int *place = &count[s * bins + (bin >= bins ? bins - 1 : bin)]; /* the largest value belongs to the last bin */
            if (++*place > most) most = *place;
        }
    Frame f = frame_of(c, 20);
    chart_caption(b, c);
    if (n > 1)
        for (int s = 0; s < n; s++) put_keys(b, samples[s].name, samples[s].tone, false);
    chart_svg(b, c, &f);
    Axis x = axis_new(lo, hi, f.left, f.width - f.right, false, c->small ? 5 : 8);
    Axis y = axis_new(0, most, f.height - f.bottom, f.top, false, 4);
    put_frame(b, c, &f, &x, &y);
    for (int s = 0; s < n; s++) put_steps(b, &samples[s], count + s * bins, bins, lo, width, &x, &y);
    if (x.lo < 0 && x.hi > 0) put_line(b, "axis dash", axis_at(&x, 0), y.from, axis_at(&x, 0), y.to);
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

static void put_dots(Buf *b, const Sample *s, const Axis *x, double at) {
    double mean, sd;
    int count = mean_sd(s->v, s->n, &mean, &sd);
    char class_name[32];
    snprintf(class_name, sizeof class_name, "t%d", s->tone);
    put_text(b, s->tone ? class_name : "", "end", x->from - 10, at + 4, s->name);
    if (count == 0 || !usable(mean)) return;
    snprintf(class_name, sizeof class_name, "curve t%d", s->tone);
    if (usable(sd)) put_line(b, class_name, axis_at(x, mean - sd), at, axis_at(x, mean + sd), at);
    for (int i = 0; i < s->n; i++)
        if (usable(s->v[i])) put_circle(b, "dot", s->tone, axis_at(x, s->v[i]), at, 3);
    put_circle(b, "mean", s->tone, axis_at(x, mean), at, 4.5);
    buf_putc(b, '\n');
}

void chart_dots(Buf *b, const Chart *c, const Sample *samples, int n) {
    double lo = INFINITY, hi = -INFINITY;
    for (int s = 0; s < n; s++) {
        double mean, sd;
        if (mean_sd(samples[s].v, samples[s].n, &mean, &sd) > 1) {
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
    Frame f = {760, 56 + 20 * n, 200, 24, 8, 48};
    chart_caption(b, c);
    chart_svg(b, c, &f);
    Axis x = axis_new(lo, hi, f.left, f.width - f.right, false, 8);
    Axis y = {0, 1, 1, f.height - f.bottom, f.top, false};
    put_ticks(b, &x, &y, true);
    put_line(b, "axis", x.from, y.from, x.to, y.from);
    if (c->x_label) put_text(b, "", "middle", (x.from + x.to) / 2, f.height - 8, c->x_label);
    buf_putc(b, '\n');
    for (int s = 0; s < n; s++) put_dots(b, &samples[s], &x, f.top + 10 + 20 * s);
    chart_close(b);
}

static void put_bar(Buf *b, const Bar *bar, const Axis *y, double center, double half) {
    char text[32];
    double zero = axis_at(y, 0), top = axis_at(y, bar->value), err = usable(bar->error) ? bar->error : 0;
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
    if (err > 0) put_line(b, "axis", center, axis_at(y, bar->value - err), center, axis_at(y, bar->value + err));
    snprintf(text, sizeof text, "%.3g", bar->value);
    put_text(b, "", "middle", center, axis_at(y, bar->value + (up ? err : -err)) + (up ? -5 : 13), text);
    buf_putc(b, '\n');
}

void chart_bars(Buf *b, const Chart *c, const Bar *bars, int n) {
    double lo = 0, hi = 0;
    bool any = false;
    for (int i = 0; i < n; i++) {
        double err = usable(bars[i].error) ? bars[i].error : 0, ends[2] = {bars[i].value - err, bars[i].value + err};
        range_add(&lo, &hi, ends, 2);
        any = any || usable(bars[i].value);
    }
    if (!any) {
        chart_empty(b, c);
        return;
    }
    range_cover(&lo, &hi, c->y_min, c->y_max);
    Frame f = frame_of(c, 20);
    f.top += 12; /* room for the number above a full bar */
    chart_caption(b, c);
    chart_svg(b, c, &f);
    Axis x = {0, n, 1, f.left, f.width - f.right, false}, y = axis_new(lo, hi, f.height - f.bottom, f.top, false, 4);
    put_ticks(b, &y, &x, false);
    put_labels(b, c, &f);
    buf_putc(b, '\n');
    double slot = (x.to - x.from) / n;
    for (int i = 0; i < n; i++) put_bar(b, &bars[i], &y, x.from + (i + 0.5) * slot, fmin(0.32 * slot, 40));
    put_line(b, "axis", x.from, axis_at(&y, 0), x.to, axis_at(&y, 0));
    chart_close(b);
}

/* ---- statistics ---- */

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
