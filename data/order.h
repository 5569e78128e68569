/* order: in which order training takes its data. Every function here depends on the seed and the
 * position alone, so that a resumed run continues where it was without a state of its own.
 *
 * Usage:
 *   ShuffledOrder order = {0};
 *   int seen[3] = {0};
 *   for (long i = 0; i < 6; i++) seen[shuffled_at(&order, 1, 3, i)]++;   // two epochs
 *   if (seen[0] != 2 || seen[1] != 2 || seen[2] != 2) return 1;
 *   int batch[2];
 *   for (long step = 0; step < 2; step++)                        // the same epoch by batches of 2
 *       printf("%d records\n", batch_at(&order, 1, 3, 2, step, batch));       // 2, then 1
 *   ints_free(&order.item);
 */
#ifndef ORDER_H
#define ORDER_H

#include "ica.h"

/* One shuffled epoch after another, without end. */
typedef struct {
    IntBuf item; /* the permutation of the epoch that was asked for last */
    long epoch;
} ShuffledOrder;

/* The item at a position, one of 0..n-1. n must be the same in every call. */
int shuffled_at(ShuffledOrder *order, uint64_t seed, int n, long position);

/* How many batches of `size` an epoch of n items has. The last one holds what is left. */
long epoch_batches(int n, int size);
/* How many batches that many epochs have, a part of a batch counted as one, and at least one. */
long batches_of_epochs(double epochs, long batches);
/* The items of a step's batch into item [size]. Returns how many: every item comes once in each
 * epoch, and the last batch of an epoch may be smaller. */
int batch_at(ShuffledOrder *order, uint64_t seed, int n, int size, long step, int *item);

/* The item of a step when n items keep their order. Several epochs must keep it too, so the items
 * are cut into parts, and each part is repeated once per epoch before the next part starts. After
 * whole epochs every item has come as often as there were epochs. (Good for one or two epochs. With
 * many, a model would learn part after part by heart.) */
int ordered_at(int n, long step, long steps);

enum { PIECE_TOKENS = 4096 }; /* of a piece of a batch, unless one record has more */
/* Where the piece of a batch ends that begins at entry `from` of record[B], which are indices into
 * the pool: after `micro` records, or (0) after as many as keep the activations small. */
int piece_end(const Examples *pool, const int *record, int from, int B, int micro);

#endif
