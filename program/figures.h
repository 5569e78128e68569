/* figures: what a report says, before it is a page: runs, scores and evaluations read from files; arms over seeds with their gaps,
 * AUROC over draws, answers with demonstrations; the tables and results.json. report.c makes the page of the same figures.
 *
 *   Report r = {0};
 *   if (!report_read(&r, n, inputs, &err)) { report_free(&r); return error_print(&err); }
 *   Numbers numbers = figures_make(&r);
 *   figures_put_text(&r, &numbers, &text);
 *   report_free(&r);
 *
 * Everything lives in the report's arena. Errors: status 3 for bad input, 4 if a file cannot be read; err names the file.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "lib/json.h"
#include "lib/charts.h"
#include "lib/stats.h"
#include "lib/text.h"

/* ---- reading ---- */

enum { LOG_STEP, LOG_LOSS, LOG_EVAL, LOG_CLEAN, LOG_CORRUPTED, LOG_ICL_P, LOG_ICL_NLL, LOG_MARGIN, LOG_COLUMNS };

typedef struct {
    const char *folder;
    const Json *json; /* run.json */
    const char *group, *arm, *objective;
    double seed;
    bool pretrain;
    int n_log;
    double *log[LOG_COLUMNS]; /* [n_log], NaN where a line has no such key */
} Run;

typedef struct {
    const char *path;
    const Json *json;
    const char *method, *group, *objective, *draw;
} ScoreFile;

typedef struct {
    Arena arena;
    Run *runs;
    ScoreFile *scores;
    const Json **evals;
    int n_runs, n_scores, n_evals, capacity[3];
    const Json *seconds; /* of seconds.json, or NULL */
    Names notes;
} Report;

/* Something the reader of the page should know. */
#define NOTE(r, ...) names_add(&(r)->arena, &(r)->notes, text_new(&(r)->arena, __VA_ARGS__))

/* Adds every input, in any order; report_free also after a failure. */
bool report_read(Report *r, int n_inputs, const char *const *inputs, Error *err);
void report_free(Report *r);
/* The first run's value of a key of run.json: all runs of a report come from one program on one machine, or the page says which. */
const Json *report_value(const Report *r, const char *key);

/* NaN if there is no such number, or no such object. */
double figures_number(const Json *object, const char *key);
/* A string, or a number as written, as a C string that is safe on a terminal: names from files end up in tables. */
const char *figures_text(Arena *arena, const Json *object, const char *key, const char *otherwise);

typedef struct { const Json **v; int n; } Rows;

/* Reads a JSONL file of objects; everything lives in the arena. */
bool rows_load(Arena *arena, const char *path, Rows *rows, Error *err);

/* ---- order: of strings (const char *const *), for qsort and names_sort ---- */

int figures_by_group(const void *a, const void *b);
int figures_by_method(const void *a, const void *b);
int figures_by_draw(const void *a, const void *b); /* numbers by value and before words */
int figures_objective_rank(const char *objective);
size_t figures_method_length(const char *arm); /* of METHOD in "METHOD:MAP" */

/* ---- blocks: the arms of one objective on one group, over seeds ---- */

typedef struct { const char *key, *name; int decimals; double scale; } Metric;

enum { METRICS = 6, GAP = 4, SECONDS = 5 };

typedef struct {
    const char *name;
    const Run **runs;        /* [seeds], NULL where this seed is missing */
    double *values[METRICS]; /* [seeds] */
    double mean[METRICS], sd[METRICS];
    int seeds; /* how many this arm has */
    int tone;  /* in the charts */
} Arm;

typedef struct {
    const char *objective, *group;
    const Metric *metrics;
    int headline; /* the metric that the gap is of */
    bool higher;  /* is more of it better? */
    int n_seeds, n_arms;
    double *seeds;
    Arm *arms;
} Block;

typedef struct { Block *v; int n; } Blocks;

const Arm *block_arm(const Block *b, const char *name); /* NULL: not there */
double run_metric(const Run *run, const char *key);      /* of run.json's result; "seconds": what the arm cost; NaN: unknown */
double run_total(const Run *run);                        /* seconds, 0 if they were not noted */

/* ---- AUROC: methods by kinds of corruption, over draws; in-context evaluations ---- */

typedef struct {
    const char *objective, *group;
    Names methods, draws, kinds;
} Auroc;

typedef struct { Auroc *v; int n; } Aurocs;

typedef struct { double k, nll, p, em; } Shots;

typedef struct { Blocks blocks; Aurocs aurocs; Shots *shots; int n_shots; } Numbers;

Numbers figures_make(Report *r);
void figures_put_results(const Report *r, const Numbers *n, Buf *b); /* results.json */

/* ---- tables with what they say, for text and page alike; the caller frees them ---- */

Table block_table(Report *r, const Block *b);
Table auroc_table(Report *r, const Auroc *a);
Table shots_table(const Shots *shots, int n);
void figures_put_text(Report *r, const Numbers *n, Buf *out); /* all of them */
const char *block_title(Arena *arena, const Block *b);
const char *figures_objective(const char *objective); /* its name for people */
const char *figures_plural(int n);                    /* "" or "s" */

#endif
