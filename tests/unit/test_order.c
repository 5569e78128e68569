/* Tests of data/order: what an epoch is. */
#include "data/order.h"

#include <string.h>

#include "tests/unit/check.h"

enum { MOST = 50 };

/* Every item comes once in an epoch, whatever the size of the batches. */
static void test_batches(void) {
    for (int n = 1; n <= 12; n++)
        for (int size = 1; size <= 14; size++) {
            ShuffledOrder order = {0};
            int batch[MOST], seen[MOST] = {0}, bad = 0;
            long batches = epoch_batches(n, size);
            for (long step = 0; step < 3 * batches; step++) {
                int count = batch_at(&order, 5, n, size, step, batch);
                bool last = step % batches == batches - 1;
                bad += count < 1 || count > size || (!last && count != size);
                for (int i = 0; i < count; i++) seen[batch[i]]++;
                for (int i = 0; last && i < n; i++) bad += seen[i] != step / batches + 1;
            }
            CHECK(bad == 0, "%d items in batches of %d: %d places are wrong", n, size, bad);
            ints_free(&order.item);
        }
}

/* A batch does not depend on the ones asked for before: a resumed run begins in the middle. */
static void test_any_step(void) {
    ShuffledOrder order = {0}, fresh = {0};
    int a[4], b[4];
    for (long step = 0; step < 9; step++) {
        int count = batch_at(&order, 1, 10, 4, step, a);
        ints_free(&fresh.item);
        fresh = (ShuffledOrder){0};
        int again = batch_at(&fresh, 1, 10, 4, step, b);
        CHECK(count == again && memcmp(a, b, (size_t)count * sizeof *a) == 0, "step %ld", step);
    }
    ints_free(&order.item);
    ints_free(&fresh.item);
}

/* Hugging Face's Trainer: ceil(epochs * batches of an epoch). */
static void test_steps(void) {
    static const struct {
        double epochs;
        long batches, steps;
    } cases[] = {{1, 3, 3}, {1.5, 3, 5}, {2.5, 2, 5}, {0.01, 10, 1}, {0.1, 30, 3}, {3, 25, 75}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK(batches_of_epochs(cases[i].epochs, cases[i].batches) == cases[i].steps,
              "%g epochs of %ld batches: %ld", cases[i].epochs, cases[i].batches,
              batches_of_epochs(cases[i].epochs, cases[i].batches));
}

/* Items in their own order: whole epochs have every item equally often, and parts follow. */
static void test_ordered(void) {
    for (int n = 1; n <= MOST; n++)
        for (int epochs = 1; epochs <= 3; epochs++) {
            int seen[MOST] = {0}, bad = 0;
            for (long step = 0; step < (long)epochs * n; step++) {
                int item = ordered_at(n, step, (long)epochs * n);
                bad += n >= 20 && labs(item - step / epochs) > n / 20 + 1; /* parts follow */
                seen[item]++;
            }
            for (int i = 0; i < n; i++) bad += seen[i] != epochs;
            CHECK(bad == 0, "%d items, %d epochs: %d are wrong", n, epochs, bad);
        }
}

/* Rows of 1000, 2000, 1096, 1, 5000, 3000 tokens: pieces of at most 4096, one record at least. Then
 * the same as pairs: a rejected row has 1000 more. */
static void test_pieces(void) {
    static int words[6000];
    static const int length[] = {1000, 2000, 1096, 1, 5000, 3000};
    static const int record[] = {0, 1, 2, 3, 4, 5};
    Example items[6];
    for (int pairs = 0; pairs < 2; pairs++) {
        for (int i = 0; i < 6; i++)
            items[i] = (Example){.prompt = words,
                                 .prompt_n = length[i] - 1,
                                 .answer = words,
                                 .answer_n = 1,
                                 .rejected = pairs ? words : NULL,
                                 .rejected_n = pairs ? 1001 : 0};
        const Examples pool = {.count = 6, .items = items};
        /* pairs: 3000, 5000, 3192, 1002, 11000, 7000 */
        static const int ends[2][6] = {{3, 4, 4, 4, 5, 6}, {1, 2, 3, 4, 5, 6}};
        for (int from = 0; from < 6; from++)
            CHECK(piece_end(&pool, record, from, 6, 0) == ends[pairs][from], "from %d: %d", from,
                  piece_end(&pool, record, from, 6, 0));
        for (int micro = 1; micro < 8; micro++)
            for (int from = 0; from < 6; from++) {
                int end = piece_end(&pool, record, from, 6, micro);
                CHECK(end == (from + micro < 6 ? from + micro : 6), "%d from %d: %d", micro, from,
                      end);
            }
    }
}

int main(void) {
    test_pieces();
    test_batches();
    test_any_step();
    test_steps();
    test_ordered();
    return check_report("test_order");
}
