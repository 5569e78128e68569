#include "data/order.h"

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

int ordered_at(int n, long step, long steps) {
    enum { PARTS = 20 };
    long parts = n < PARTS || steps <= n ? 1 : PARTS, part = parts == 1 ? 0 : step * parts / steps;
    long first_step = (part * steps + parts - 1) / parts; /* of this part */
    long first = part * n / parts, size = (part + 1) * n / parts - first;
    return (int)(first + (step - first_step) % size);
}
