/* Lines for people who wait. */
#define _POSIX_C_SOURCE 200809L
#include "lib/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/text.h"

/* ---- numbers for people ---- */

void put_count(Buf *b, double n) {
    char digits[64];
    int length = snprintf(digits, sizeof digits, "%.0f", n);
    for (int i = 0; i < length && i < (int)sizeof digits - 1; i++) {
        int after = length - i;
        bool comma = i > 0 && after % 3 == 0 && digits[i - 1] != '-' && isfinite(n);
        if (comma) buf_putc(b, ',');
        buf_putc(b, digits[i]);
    }
}

void put_amount(Buf *b, const char *before, double n, const char *what) {
    buf_puts(b, before);
    put_count(b, n);
    buf_printf(b, " %s%s", what, n == 1 ? "" : "s");
}

void put_duration(Buf *b, double seconds) {
    if (!(seconds >= 0) || !isfinite(seconds)) {
        buf_puts(b, "?");
        return;
    }
    double s = floor(seconds + 0.5), m = floor(s / 60), h = floor(m / 60), d = floor(h / 24);
    if (seconds < 0.0995) buf_printf(b, seconds < 0.00995 ? "%.1f ms" : "%.0f ms", 1000 * seconds);
    else if (seconds < 9.95) buf_printf(b, "%.1f s", seconds);
    else if (s < 60) buf_printf(b, "%.0f s", s);
    else if (m < 60) buf_printf(b, "%.0f min %.0f s", m, s - 60 * m);
    else if (h < 24) buf_printf(b, "%.0f h %.0f min", h, m - 60 * h);
    else buf_printf(b, "%.0f d %.0f h", d, h - 24 * d);
}

/* ---- the line ---- */

bool progress_terminal(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

Progress progress_new(const char *what, double (*now)(void)) {
    bool terminal = progress_terminal();
    Progress p = {.what = what,
                  .now = now ? now : seconds_now,
                  .every = terminal ? 0.3 : 10,
                  .terminal = terminal};
    p.said = p.now();
    return p;
}

void progress_part(Progress *p, const char *part) {
    if (p) p->part = part;
}

void progress_begin(Progress *p, double total) {
    if (!p) return;
    p->total = total;
    p->done = 0;
    p->began = p->now();
}

double progress_left(const Progress *p) {
    if (p->done <= 0) return NAN;
    return (p->now() - p->began) * (p->total - p->done) / p->done;
}

static void say(Progress *p) {
    Buf b = {0};
    double left = progress_left(p);
    buf_puts(&b, p->what);
    const char *slash = p->part ? strrchr(p->part, '/') : NULL; /* of a path the last name */
    if (p->part) buf_puts(&b, ", ");
    if (p->part) text_show(&b, str(slash ? slash + 1 : p->part), "");
    buf_printf(&b, ": %.0f %%", 100 * p->done / p->total);
    /* What less than a hundredth took says little of the rest. */
    if (p->done < p->total / 100) left = NAN;
    if (isfinite(left)) buf_puts(&b, ", ");
    if (isfinite(left)) put_duration(&b, left);
    if (isfinite(left)) buf_puts(&b, " left");
    /* What is after the text may be of a longer line before. */
    if (p->terminal) fprintf(stderr, "\r%-70s", b.s);
    else fprintf(stderr, "%s\n", b.s);
    if (p->terminal) fflush(stderr);
    p->shown = true;
    p->said = p->now();
    buf_free(&b);
}

void progress_add(Progress *p, double work) {
    if (!p) return;
    p->done += work;
    if (p->total > 0 && p->now() - p->said >= p->every) say(p);
}

void progress_end(Progress *p) {
    if (!p) return;
    if (p->shown && p->terminal) fprintf(stderr, "\r%70s\r", "");
    p->shown = false;
}

/* ---- the time left of a run ---- */

void work_add(Work *w, double seconds) {
    w->done++;
    w->seconds += seconds;
}

static double each(const Work *w) { return w->done > 0 ? w->seconds / w->done : 0; }

double tempo_left(const Tempo *p, double steps, double scorings, double evaluations,
                  double records) {
    double evaluation = each(&p->evaluations);
    if (p->evaluations.done <= 0 && p->records > 0)
        evaluation = p->steps.seconds / p->records * records / 3;
    return steps * each(&p->steps) + scorings * each(&p->scorings) + evaluations * evaluation;
}
