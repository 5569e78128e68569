/* numbers: what a report says: arms over seeds and their gaps, AUROC over draws, answers with
 * demonstrations, and the tables and results.json made of them.
 *
 * All of it lives in the report's arena. Nothing here fails.
 *
 * Usage:
 *   Error err = {0};
 *   Report r = {0};
 *   Buf text = {0};
 *   const char *inputs[] = {"out/runs/ica-1"};
 *   if (report_read(&r, 1, inputs, &err)) {
 *       Numbers n = numbers_make(&r);
 *       numbers_put_text(&r, &n, &text);
 *   }
 *   report_free(&r);
 *   buf_free(&text);
 */
#ifndef REPORT_NUMBERS_H
#define REPORT_NUMBERS_H

#include "program/report/read.h"

/* ---- blocks: the arms of one objective on one group, over seeds; all comparable ---- */

/* A measured quantity: its key in run.json's result, its name in tables, decimals, and the factor
 * for tables. Fine-tuning has no second gap: its key is NULL. */
typedef struct {
    const char *key, *name;
    int decimals;
    double scale;
    const char *about; /* what it is, one sentence */
} Metric;

/* How many, and the places of some. VALIDATION is of runs with --eval-share. GAP is computed by the
 * headline metric, OTHER_GAP by the other one of the first two. */
enum { METRICS = 8, VALIDATION = 3, GAP = 5, OTHER_GAP = 6, SECONDS = 7 };

typedef struct {
    const char *name;
    const FinishedRun **runs; /* [seeds of the block], NULL where this seed is missing */
    double *values[METRICS];  /* [seeds of the block] */
    double mean[METRICS], sd[METRICS];
    int seeds;  /* how many this arm has */
    int tone;   /* in the charts */
    bool truth; /* its weights know which records are good */
} Arm;

typedef struct {
    const char *objective, *group;
    const FinishedRun *first; /* any run of the block: all are comparable with it */
    const char *setting; /* what sets it apart from the blocks of its group; NULL: it is alone */
    const Metric *metrics;
    int headline; /* the metric that arms are compared by */
    bool higher;  /* is more of it better? */
    int n_seeds, n_arms;
    double *seeds;
    Arm *arms; /* in the order of order_arms */
} Block;

typedef struct {
    Block *v;
    int n;
} Blocks;

const Arm *block_arm(const Block *b, const char *name); /* NULL if it is not there */
const char *block_title(Arena *arena, const Block *b);

/* ---- AUROC: methods by kinds of corruption, over draws; in-context evaluations ---- */

typedef struct {
    const char *objective, *group;
    Names methods, draws, kinds;
} Auroc;

typedef struct {
    Auroc *v;
    int n;
} Aurocs;

/* Answers after k demonstrations: NLL in nats a token, P(sequence), exact match. */
typedef struct {
    double k, nll, p, em;
} Shots;

typedef struct {
    Blocks blocks;
    Aurocs aurocs;
    Shots *shots;
    int n_shots;
} Numbers;

Numbers numbers_make(Report *r);
/* Appends results.json. */
void numbers_put_results(const Report *r, const Numbers *n, Buf *b);
/* Appends all tables with their remarks and notes, for a terminal. */
void numbers_put_text(Report *r, const Numbers *n, Buf *out);

/* ---- tables, for text and page alike; the caller frees them ---- */

Table block_table(Report *r, const Block *b);
Table auroc_table(Report *r, const Auroc *a);
Table files_table(const Report *r); /* a row for each score file */
Table shots_table(const Shots *shots, int n);

#endif
