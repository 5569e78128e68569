/* progress: how far work is and how long it will take, for people who wait. A line on stderr.
 *
 * A terminal gets one line that changes in place, a few times a second. Anything else (a file, a
 * pipe, TERM=dumb) gets a new line every ten seconds. Work that is over sooner says nothing. There
 * are no colors, so NO_COLOR has nothing to switch off.
 *
 * Usage:
 *   Progress p = progress_new("scoring", NULL);       // the clock of lib/util.h
 *   progress_part(&p, "in context");
 *   progress_begin(&p, 800);
 *   for (int row = 0; row < 800; row++) progress_add(&p, 1);
 *   progress_end(&p);
 *   Buf b = {0};
 *   put_count(&b, 1234567);                           // "1,234,567"
 *   put_duration(&b, 185);                            // "3 min 5 s"
 *   buf_free(&b);
 *   // 10 steps took 20 s, and one evaluation 5 s. 90 steps and 9 evaluations are left.
 *   Tempo tempo = {.steps = {10, 20}, .evaluations = {1, 5}};
 *   if (tempo_left(&tempo, 90, 0, 9, 0) != 180 + 45) return 1;
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include "lib/util.h"

/* ---- numbers for people ---- */

void put_count(Buf *b, double n); /* "1,234"; n is rounded to a whole number */
/* BEFORE, a count and what is counted: ", 1 row", ", 1,234 rows" */
void put_amount(Buf *b, const char *before, double n, const char *what);
void put_duration(
    Buf *b, double seconds); /* "40 ms", "0.4 s", "45 s", "3 min 5 s", "2 h 10 min", "3 d 4 h" */

/* ---- the line ---- */

typedef struct {
    const char *what, *part; /* "scoring", "in context"; part may be NULL */
    double (*now)(void);     /* the clock, in seconds */
    double total, done;      /* work, in any unit that takes about the same time */
    double began, said;      /* when the part began, and when a line was printed */
    double every;            /* seconds between lines */
    bool terminal, shown;    /* shown: a line is there that may be replaced */
} Progress;

/* now NULL: seconds_now. */
Progress progress_new(const char *what, double (*now)(void));
/* All take NULL: nobody waits. */
void progress_part(Progress *p, const char *part); /* names the next part */
void progress_begin(Progress *p, double total);    /* begins it */
void progress_add(Progress *p, double work); /* work that was done; prints a line if it is due */
void progress_end(Progress *p);              /* removes the line from a terminal */
/* The seconds that the part will take still, if the rest goes as it went. NaN before any work. */
double progress_left(const Progress *p);
/* Is stderr a terminal on which a line can be replaced? */
bool progress_terminal(void);

/* ---- the time left of a run ---- */

/* Work of one kind: pieces that were done, and what they took. */
typedef struct {
    double done, seconds;
} Work;
void work_add(Work *w, double seconds); /* one more piece */

typedef struct {
    Work steps, scorings, evaluations;
    double records; /* trained in these steps */
} Tempo;

/* The seconds that are left: of each kind as many pieces as are left times what one took. Where
 * nothing was evaluated yet, an evaluation of `records` is taken to cost a third of training on
 * them: a forward pass alone. */
double tempo_left(const Tempo *p, double steps, double scorings, double evaluations,
                  double records);

#endif
