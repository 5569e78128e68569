/* scores: the file of scores and weights, one JSON object a line for each record of a pool, written and read back; and what the
 * scores are worth, where the truth is known.
 *
 *   scores_write("scores.jsonl", &x.pool, &x.holdout, &scores, weight, &err);
 *   scores_read("scores.jsonl", &x.pool.data, score, weight, &bare, &print, &err);    // also from another program
 */
#ifndef SCORES_H
#define SCORES_H

#include "data/examples.h"

/* {"id", "score", "weight", log-probabilities that the method computed, "demos": ids of holdout records, "tokens"} a line.
 * weight [count]; NULL: a part of a pool, whose weights depend on the rest: without the key. */
bool scores_write(const char *path, const ExampleFile *pool, const ExampleFile *holdout, const Scores *s, const double *weight, Error *err);
/* One record a line, matched to the pool by position and id (else status 3). Lines with a weight fill weight [pool->count]; if no
 * line has one, *bare is set and score [pool->count] is filled: parts of one pool, one behind the other. *fingerprint: hash64 of
 * the file's bytes. */
bool scores_read(const char *path, const Dataset *pool, double *score, double *weight, bool *bare, uint64_t *fingerprint,
                 Error *err);

/* How many records are known to be good. */
int scores_known_clean(const Dataset *d);
/* Appends the scores' part of a result: "auroc" by kind of corruption ({} without known truth), "ess" and
 * "weight_length_correlation" (weight NULL: without), "dropped_demos" told[0], "margin_loss_rank_correlation" told[1] if finite. */
void scores_put_result(Buf *b, const ExampleFile *pool, const double *score, const double *weight, const double told[2]);

#endif
