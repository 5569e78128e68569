/* parts: which records of a file are used, and for what. Records that are in another file too, that
 * are copies, or that do not fit can be left out. A part of the pool can be held out for
 * validation.
 *
 * Usage:
 *   const char pool[] =
 *       "{\"input_ids\":[1,2,3]}\n{\"input_ids\":[1,2,3]}\n{\"input_ids\":[1,3]}\n";
 *   Error err = {0};
 *   ModelFolder f = {.model = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8,
 *                                                     .context = 4, .vocab = 5}, &err)};
 *   SplitFiles files = {.pool = "pool.jsonl", .drop_copies = true};
 *   Splits x;
 *   if (!file_write("pool.jsonl", pool, sizeof pool - 1, &err) ||
 *       !splits_read(&x, &f, &files, &err))
 *       return error_print(&err);
 *   if (x.pool.data.count != 2 || x.pool.data.records[1].gone != 1) return 1;   // a copy is gone
 *   splits_free(&x);
 *   model_folder_free(&f);
 *
 * Errors: status 3 if nothing would be left.
 */
#ifndef PARTS_H
#define PARTS_H

#include "data/examples.h"
#include "scoring/holdout.h"

/* Removes the records and examples with out[i] from the file in memory, and returns their number.
 * Those that stay know how many before them are gone: record i is number i + gone of the file. */
int examples_leave_out(ExampleFile *file, const bool *out);
/* Leaves out the records that are the same as an earlier one, and counts them in the summary. */
void examples_drop_copies(ExampleFile *file);
/* No example may be in both files: it would leak the holdout into training, or the test into
 * either. With `drop` such records leave `a`, of which nothing may be left, else the first one is
 * an error. */
bool examples_disjoint(ExampleFile *a, const ExampleFile *b, bool drop, Error *err);

/* The records that are not of this fold, in the order of folds_part. They borrow from the file, the
 * folds and the arena. */
ExampleFile examples_other_folds(const ExampleFile *file, Folds *folds, int fold, Arena *arena);

/* Moves records from the pool into x->validation, about this share, 0 < share < 1. Records of one
 * prompt stay together, so that no prompt is in both. Prompts are taken in an order that depends on
 * nothing but their text and the seed. */
bool splits_hold_out(Splits *x, double share, uint64_t seed, Error *err);

#endif
