/* read: everything a report reads, from run folders, saved results, scores and data files.
 *
 * Inputs come in any mix and order: folders of runs (run.json; log.jsonl where there is one), files
 * with what `ica score --json` or `ica eval --json` printed (one object, or one a line), and at
 * most one seconds.json. The pool and the holdout that scores name are read again for the known
 * truth and for texts. If one is gone, what needs it is left out and a note says so. A score file
 * itself (scores.jsonl) names neither: its pool and holdout are those of the report, if it has any.
 *
 * What these files name is data: a path is opened for reading, if it leads to a regular file, and
 * nothing else is done with it.
 *
 * Everything lives in the report's arena. Errors: status 3 for bad input, 4 if a file cannot be
 * read; err names the file.
 *
 * Usage:
 *   Error err = {0};
 *   Report r = {0};
 *   const char *inputs[] = {"out/base", "out/runs/ica-1", "out/score/ica-1.json"};
 *   if (!report_read(&r, 3, inputs, &err)) error_print(&err);
 *   for (int i = 0; i < r.n_runs; i++) puts(r.runs[i].arm);
 *   report_free(&r);                                     // also after a failure
 */
#ifndef REPORT_READ_H
#define REPORT_READ_H

#include "data/records.h"
#include "lib/json.h"
#include "lib/text.h"

/* ---- runs, scores and evaluations ---- */

/* What is kept of each line of log.jsonl. */
typedef enum {
    LOG_STEP,
    LOG_LOSS,
    LOG_EVAL,
    LOG_VALIDATION, /* of the part that --eval-share holds out */
    LOG_CLEAN,
    LOG_CORRUPTED,
    LOG_APART, /* the mean weight of clean records minus that of corrupted ones */
    LOG_ICL_P,
    LOG_ICL_NLL,
    LOG_MARGIN,
    LOG_COLUMNS
} LogColumn;

/* What rows of one table must have in common, beside objective and group. */
typedef enum {
    SETTING_EVAL, /* the test file */
    SETTING_BASE, /* the parameters that training starts from */
    SETTING_STEPS,
    SETTING_BETA,
    SETTING_GAMMA,
    SETTING_SMOOTHING,
    SETTING_TRUNCATE,
    SETTING_COUNT
} SettingKind;

typedef struct {
    const char *key;  /* equal for equal settings: a fingerprint where there is one */
    const char *text; /* for people */
} RunSetting;

/* One finished run of `ica pretrain` or `ica train`. */
typedef struct {
    const char *folder;
    const Json *json; /* run.json */
    const char *group, *arm, *objective;
    double seed;
    bool pretrain;
    RunSetting settings[SETTING_COUNT];
    const char *pool; /* the fingerprint of what it trained on; "" if it is not known */
    int n_log;
    double *log[LOG_COLUMNS]; /* [n_log], NaN where a line has no such key */
} FinishedRun;

/* What `ica score --json` printed. The scores themselves are in another file; see ScoreSet. */
typedef struct {
    const char *path;
    const Json *json;
    const char *method, *group, *objective, *draw;
} ScoreFile;

/* What maps of the holdout compare, of the lines of a score file; NaN where it is not known. */
typedef struct {
    int n;
    double *gain, *likelihood; /* [n] */
} LineNumbers;

/* What the text of rows depends on beside the records and the model's folder. */
typedef struct {
    const char *template; /* a name or a file; NULL: not said, which is the folder's own */
    int demos_as;         /* a DemosAs; -1: not said, which is turns */
} RowText;

/* The scores of one method on one pool, those of the first draw or seed; or one score file. */
typedef struct {
    const char *method, *group, *objective, *order; /* order: the draw or the seed */
    const char *when;                               /* "draw 1" or "seed 1" */
    const char *scores, *pool, *holdout;            /* paths; NULL where unknown */
    const char *shard; /* "1/4": the part of the pool that was scored; NULL: all of it */
    RowText text;      /* what run.json says of their rows */
    int left_out;      /* at most so many records of the pool have no line: they were left out */
    bool from_run, from_file;
    int n;
    double *score;                 /* [n] */
    bool *clean;                   /* [n] the record's truth */
    LineNumbers pool_numbers, own; /* own: of the file beside, the holdout's; or empty */
    const Json *comparison;        /* what the result says of it, or NULL */
    bool truth;                    /* clean is known for all records, and both kinds are there */
    bool ready;                    /* read, and matched with its pool */
} ScoreSet;

typedef struct {
    Arena arena;
    const char *pool, *holdout; /* of score files; NULL: not given */
    bool skip_unscored;         /* That pool may have records without a line. */
    const char *model;          /* made the scores of the examples; NULL: not given */
    RowText text;               /* of its rows, given by the user; before what run.json says */
    FinishedRun *runs;
    ScoreFile *scores;
    const Json **evals; /* what `ica eval --json` printed */
    const char **files; /* score files */
    int n_runs, n_scores, n_evals, n_files, capacity[4];
    ScoreSet *sets; /* by sets_read; one a method, group and objective */
    int n_sets;
    const Json *seconds; /* the contents of seconds.json, or NULL */
    Names notes;         /* sentences for the reader of the report */
} Report;                /* zero-initialize; pool, holdout and model are the caller's */

/* Adds a note, formatted as by printf. */
#define NOTE(r, ...) names_add(&(r)->arena, &(r)->notes, text_new(&(r)->arena, __VA_ARGS__))

bool report_read(Report *r, int n_inputs, const char *const *inputs, Error *err);
void report_free(Report *r);

/* The value of a key in the first run.json that has it, or NULL. Runs of one report come from one
 * program on one machine; where they do not, the page's notes say so. */
const Json *report_value(const Report *r, const char *key);
/* A string, or a number as written. Control characters become '?', since the text may be printed on
 * a terminal. `otherwise` if there is none. */
const char *report_text(Arena *arena, const Json *object, const char *key, const char *otherwise);
/* A number of a run's result; "seconds": what the arm cost (scores, references and training). NaN
 * if it is not known. */
double run_metric(const FinishedRun *run, const char *key);
/* May two runs stand in one table? */
bool run_comparable(const FinishedRun *a, const FinishedRun *b);
/* Were the run's weights made with known truth: by the oracle, or by `top` at the share of good
 * records that its pool has? False if the pool is gone. */
bool run_knows_truth(const FinishedRun *run);
/* Seconds of the entire run; 0 if they were not noted. */
double run_total(const FinishedRun *run);

/* ---- scores with their truth ---- */

typedef struct {
    const Json **v;
    int n;
} JsonLines; /* the objects of a JSONL file */

/* records_load for a path that comes from a file: a regular file alone. A pipe would hang, and "-"
 * would read what the terminal types. */
bool data_load(Dataset *d, const char *path, Error *err);

/* Lists the score sets of all inputs and reads scores and truth. A missing or changed data file
 * leaves ready false and adds a note. Returns false for scores that cannot be parsed, and for a
 * score file that does not belong to the given pool. */
bool sets_read(Report *r, Error *err);
/* Opens the files of a set for a closer look: the lines go to the arena, the caller frees the pool,
 * which is empty for a score file without one. False, as sets_read says, with a note or with err.
 */
bool set_open(Report *r, const ScoreSet *s, Arena *arena, JsonLines *lines, Dataset *pool,
              Error *err);

#endif
