/* examples: records of files as examples of token ids. Text, template and context length meet here
 * and nowhere else, so pretraining, scoring, training and evaluation agree about the form of a row.
 *
 * Usage:
 *   const char pool[] = "{\"input_ids\":[1,2,3],\"labels\":[-100,-100,3]}\n";
 *   Error err = {0};
 *   ModelFolder f = {.model = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8,
 *                                                     .context = 4, .vocab = 5}, &err)};
 *   SplitFiles files = {.pool = "pool.jsonl"};
 *   Splits x;
 *   if (!file_write("pool.jsonl", pool, sizeof pool - 1, &err) ||
 *       !splits_read(&x, &f, &files, &err))
 *       return error_print(&err);
 *   if (x.pool.examples.items[0].prompt_n != 2) return 1;   // what has no label is the prompt
 *   splits_free(&x);
 *   model_folder_free(&f);
 *
 * Errors: status 3 names file and line: a prompt longer than the context, an answer that does not
 * fit, a record in two of the files, and more. Status 4 if a file cannot be read.
 */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "data/model_folder.h"
#include "ica.h"
#include "data/records.h"
#include "data/summary.h"
#include "lib/file.h"

/* A file as examples: record i of the data is example i. Both are empty if there is no file. */
typedef struct {
    Dataset data;
    Examples examples;
    DataSummary summary;
    int ended; /* answers that ended in the end token's text */
} ExampleFile;

typedef struct {
    const char *pool, *holdout, *eval; /* paths, or NULL */
    bool truncate;                     /* Cut answers that do not fit the context. */
    bool allow_overlap;                /* Do not check that the three are disjoint. */
    /* Leave out, and count in the summary: records that do not fit the context; of the pool, copies
     * of earlier records; of the pool what is in holdout or test, of the holdout what is in the
     * test. */
    bool skip_long, drop_copies, drop_overlap;
    bool pairs; /* Pool and test must be preference pairs. Else a pair is its chosen answer. */
    bool holdout_pairs; /* So must the holdout. */
    DemosAs demos_as;   /* How demonstrations stand in the rows. */
} SplitFiles;

/* Pool, holdout and test of one command. All are read and checked before the command writes.
 * validation: a part of the pool's file that splits_hold_out took from it (data/parts.h). */
typedef struct {
    ExampleFile pool, holdout, eval, validation;
} Splits;

/* On false nothing needs freeing. */
bool splits_read(Splits *x, const ModelFolder *f, const SplitFiles *files, Error *err);
void splits_free(Splits *x);

/* ---- a part at a time (data/pool.h) ---- */

typedef struct {
    bool truncate, pairs; /* as in SplitFiles */
    bool ids;             /* The records have input_ids. No file mixes them with text. */
    bool skip_long;       /* Leave out, and count in the summary, records that do not fit. */
    DemosAs demos_as;
    Progress *progress; /* hears of the bytes of records; may be NULL */
} ExampleUse;

/* Makes the examples of the records in file->data, and counts them in *summary. On false nothing of
 * the file needs freeing. */
bool example_file_fill(ExampleFile *file, const ModelFolder *f, const ExampleUse *use,
                       DataSummary *summary, Error *err);
void example_file_free(ExampleFile *file);

/* Status 5 for example i, for which a model gave a number that is not finite. Returns false. */
bool example_broken(const ExampleFile *file, int i, Error *err);

/* Cuts the end token's text off the answers and texts of d that end in it, since the template adds
 * the token itself. pairs: off rejected answers too. Adds their number to *ended. False if nothing
 * is left of an answer. */
bool answers_strip_end(Dataset *d, const ModelFolder *f, bool pairs, int *ended, Error *err);

/* False, with an error that names the line, if the record has a system turn and the template has
 * none. */
bool system_turn_fits(const Dataset *d, const Record *r, const ModelFolder *f, Error *err);

#endif
