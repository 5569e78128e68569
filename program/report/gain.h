/* gain: what each token of an answer gains through the demonstrations that it was scored with. A
 * score file has sums over the answer; the model that made it has the rest.
 *
 * Usage:
 *   Error err = {0};
 *   Arena arena = {0};
 *   GainFiles files = {.model = "out/base", .pool = "pool.jsonl", .holdout = "holdout.jsonl"};
 *   Gains *g = gains_open(&files, &err);
 *   const int demos[] = {4, 2};                 // records of the holdout, the nearest last
 *   TokenGains t;
 *   if (g && gains_of(g, 0, false, demos, 2, &arena, &t))
 *       for (int i = 0; i < t.n; i++) printf("%.*s %+.2f\n", STR_ARG(t.text[i]), t.gain[i]);
 *   gains_close(g);
 *   arena_free(&arena);
 */
#ifndef REPORT_GAIN_H
#define REPORT_GAIN_H

#include "data/examples.h"

typedef struct Gains Gains;

typedef struct {
    const char *model, *pool, *holdout;
    const char *template; /* NULL: the model folder's */
    DemosAs demos_as;
    bool pairs;
} GainFiles;

/* Loads the model and both files. NULL with err set if one cannot be read. */
Gains *gains_open(const GainFiles *in, Error *err);
void gains_close(Gains *g); /* NULL is fine */
/* The index of the pool's record with this id, and of the holdout's, or -1. */
int gains_record(const Gains *g, Str id);
int gains_demo(const Gains *g, Str id);

typedef struct {
    int n;                    /* tokens of the answer, its end included */
    Str *text;                /* [n] */
    double *gain;             /* [n] log p in context minus log p alone, in nats */
    double alone, in_context; /* their sums over the answer: E5's two terms */
} TokenGains;

/* The tokens of a record's answer, or of its rejected answer, in the arena. False if the row does
 * not fit the model's context, or a number is not finite. */
bool gains_of(Gains *g, int record, bool rejected, const int *demos, int n_demos, Arena *arena,
              TokenGains *out);

#endif
