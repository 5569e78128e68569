/* examples: records of files as examples of token ids. This is where text, template and context length meet,
 * so that pretraining, scoring, training and evaluation cannot disagree about the form of a row.
 *
 *   ModelFolder f;
 *   Splits x;
 *   if (!model_folder_load(&f, "out/base", &err)) return error_print(&err);
 *   SplitFiles files = {.pool = "pool.jsonl", .holdout = "trusted.jsonl"};
 *   if (!splits_read(&x, &f, &files, &err)) return error_print(&err);     // also checks that nothing stands in two of them
 *   use(&x.pool.examples, &x.pool.data);
 *   splits_free(&x); model_folder_free(&f);
 */
#ifndef EXAMPLES_H
#define EXAMPLES_H

#include "data/model_folder.h"
#include "ica.h"
#include "data/records.h"
#include "model.h"
#include "tokenizer.h"

/* A file as examples; record i of the data is example i. Empty (count 0) when there is no file. */
typedef struct {
    Dataset data;
    Examples examples;
} ExampleFile;

typedef struct {
    const char *pool, *holdout, *eval; /* paths, or NULL */
    bool truncate;                     /* cut answers that do not fit the context, in place of an error */
    bool allow_overlap;                /* do not check that the three are disjoint */
    bool pairs;                        /* pool and test must be preference pairs; else a pair is its chosen answer alone */
    bool holdout_pairs;                /* the holdout too (else its chosen answers, or completions, are enough) */
} SplitFiles;

/* Pool, holdout and test of one command. Everything is read and checked here, before the command writes anything. Errors name file
 * and line: a prompt longer than the context, an answer that does not fit, a record in two of the files, ... (status 3). */
typedef struct { ExampleFile pool, holdout, eval; } Splits;

bool splits_read(Splits *x, const ModelFolder *f, const SplitFiles *files, Error *err); /* on false nothing needs freeing */
void splits_free(Splits *x);

#endif
