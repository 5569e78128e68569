/* scores: the file of scores and weights, one JSON object a line for each record of a pool, written and read back; and how well
 * scores tell known good records from bad ones.
 *
 *   scores_write("scores.jsonl", &x.pool, &x.holdout, &scores, weight, &err);
 *   scores_read_weights("scores.jsonl", &x.pool.data, weight, &err);    // also from another trainer: only id and weight are read
 */
#ifndef SCORES_H
#define SCORES_H

#include "examples.h"

/* {"id", "score", "weight", log-probabilities that the method computed, "demos": ids of holdout records, "tokens"} a line.
 * weight [count]. */
bool scores_write(const char *path, const Loaded *pool, const Loaded *holdout, const Scores *s, const double *weight, Error *err);
/* weight [pool->count] from a file that `score` wrote: one record a line, matched to the pool by position and id (status 3). */
bool scores_read_weights(const char *path, const Dataset *pool, double *weight, Error *err);

/* How many records are known to be good. */
int scores_known_clean(const Dataset *d);
/* Appends ,"auroc":{"all": of clean against corrupted, SOURCE: of clean against this source's corrupted, ...}; {} without truth. */
void scores_put_auroc(Buf *b, const Dataset *d, const double *score);

#endif
