#include "data/order.h"

#include <math.h>

int shuffled_at(ShuffledOrder *order, uint64_t seed, int n, long position) {
    long epoch = position / n;
    if (epoch != order->epoch || order->item.n == 0) {
        Rng rng = rng_new(seed + (uint64_t)epoch * 1000003u, RNG_ORDER);
        order->item.n = 0;
        for (int i = 0; i < n; i++) ints_put(&order->item, i);
        rng_shuffle(&rng, order->item.v, n);
        order->epoch = epoch;
    }
    return order->item.v[position % n];
}

long epoch_batches(int n, int size) { return n / size + (n % size > 0); }

long batches_of_epochs(double epochs, long batches) {
    long steps = (long)ceil(epochs * (double)batches);
    return steps > 0 ? steps : 1;
}

int batch_at(ShuffledOrder *order, uint64_t seed, int n, int size, long step, int *item) {
    long batches = epoch_batches(n, size), epoch = step / batches, first = step % batches * size;
    int count = n - first < size ? (int)(n - first) : size;
    for (int i = 0; i < count; i++) item[i] = shuffled_at(order, seed, n, epoch * n + first + i);
    return count;
}

int ordered_at(int n, long step, long steps) {
    enum { PARTS = 20 };
    int parts = n < PARTS || steps <= n ? 1 : PARTS, part = parts - 1, first = 0;
    long begins = 0; /* the step at which the part's first item comes */
    /* Find the last part that has begun. An item's first step is its share of all steps. */
    for (; part >= 0; part--) {
        first = (int)((int64_t)part * n / parts);
        begins = (long)(((int64_t)first * steps + n - 1) / n);
        if (begins <= step) break;
    }
    int after = (int)((int64_t)(part + 1) * n / parts);
    return first + (int)((step - begins) % (after - first));
}

int piece_end(const Examples *pool, const int *record, int from, int B, int micro) {
    int tokens = 0, to = from;
    if (micro > 0) return from + micro < B ? from + micro : B;
    for (; to < B; to++) {
        const Example *z = &pool->items[record[to]];
        tokens += query_length(pool, &(Query){.x = z});
        if (z->rejected) tokens += query_length(pool, &(Query){.x = z, .rejected = true});
        if (tokens > PIECE_TOKENS && to > from) break;
    }
    return to;
}
