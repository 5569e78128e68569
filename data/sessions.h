/* sessions: what pretraining reads. Files become rows of tokens, and rows become batches.
 *
 * | record                  | rows |
 * |---|---|
 * | prompts with answers    | one: the template's form of every turn, cut at the context |
 * | text                    | all texts are one stream, cut into rows of the context |
 * | input_ids, labels       | one, cut at the context; tokens with the label -100 weigh 0 |
 *
 * Usage:
 *   Sessions s = {0};                      // one row by hand; files: sessions_read
 *   for (int i = 0; i < 4; i++) sessions_add(&s, i + 1, 1);
 *   sessions_end_row(&s, 8);
 *   sessions_make_batches(&s, 1024);
 *   Batch b = {0};
 *   double tokens = sessions_batch(&s, 0, &b);   // 3: the first token is predicted by nothing
 *   if (tokens != 3 || sessions_batches(&s) != 1) return 1;
 *   batch_free(&b);
 *   sessions_free(&s);
 *
 * Errors: status 3 with the file's line, 4 if a file cannot be read.
 */
#ifndef SESSIONS_H
#define SESSIONS_H

#include "data/model_folder.h"
#include "data/summary.h"
#include "lib/util.h"

typedef struct {
    double prompt_loss_weight; /* of the tokens of prompts; those of answers weigh 1 */
    int batch_tokens;          /* most inputs of a batch; a longer row is a batch by itself */
    bool shuffle;              /* Take sessions in random order instead of the files' order. */
    bool skip_long;            /* Leave out sessions that do not fit, instead of cutting them. */
    bool drop_copies;          /* Leave out records that are copies of earlier ones of the file. */
} SessionOptions;

typedef struct {
    IntBuf token, start;  /* row r is token[start[r]..start[r+1]-1] */
    Buf weight;           /* a real for each token */
    IntBuf batch;         /* batch b is rows batch[b]..batch[b+1]-1 */
    bool shuffle;         /* Batches go in random order, new in every epoch. Text always does. */
    int ended;            /* answers that ended in the end token's text */
    int files;            /* that were read */
    DataSummary *summary; /* [files] */
} Sessions;

/* Reads the files [n] into a zeroed s. After a failure too, free it with sessions_free. */
bool sessions_read(Sessions *s, const ModelFolder *f, const char *const *files, int n,
                   const SessionOptions *o, Error *err);
void sessions_free(Sessions *s);

int sessions_rows(const Sessions *s);
int sessions_batches(const Sessions *s);
/* Puts the rows of one batch into *out. Returns the sum of the weights of the predicted tokens. */
double sessions_batch(const Sessions *s, int batch, Batch *out);

/* What sessions_read is made of. A row begins where the last one ended; it is cut after `longest`
 * tokens, and dropped if it has fewer than two. */
void sessions_add(Sessions *s, int token, double weight);
void sessions_end_row(Sessions *s, int longest);
void sessions_make_batches(Sessions *s, int batch_tokens);

#endif
