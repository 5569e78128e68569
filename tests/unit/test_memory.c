/* What data/memory says before, against what is taken: models, adapters, training, passes. */
#include "data/memory.h"

#include <stdlib.h>

#include "lib/system.h"
#include "model.h"
#include "tests/unit/check.h"

static size_t taken;

static void *count_allocate(size_t bytes) {
    taken += bytes;
    return aligned_alloc(64, bytes);
}

/* Does what a step of training does, or a forward pass, and counts what it takes. */
static size_t really(const MemoryAsked *asked) {
    static const int row[] = {1, 5, 17, 42, 60, 9, 3, 8, 21};
    enum { ROWS = 16, TOKENS = 8 };
    Error err = {0};
    Batch batch = {0};
    double logp[ROWS], dlogp[ROWS];
    for (int r = 0; r < ROWS; r++) {
        batch_row(&batch, row, TOKENS + 1, 2, NULL);
        dlogp[r] = -1;
    }
    CHECK(batch.tokens == asked->tokens, "%d tokens", batch.tokens);
    SystemCalls real_calls = system_calls;
    system_calls.allocate = count_allocate;
    taken = 0;
    Model *base = model_shape(asked->shape, &err);
    if (asked->frozen) model_allocate_frozen(base);
    else model_allocate(base);
    Model *m = asked->lora ? model_lora(base, *asked->lora, &err) : base;
    Workspace *ws = workspace_new();
    workspace_recompute(ws, asked->recompute);
    if (asked->trains) {
        Optimizer *o = optimizer_new(m, 0.9, 0.999, 0);
        real *grad = mem_new(m->parameters, sizeof *grad);
        model_forward_backward(m, ws, &batch, dlogp, logp, grad, false);
        optimizer_free(o);
        free(grad);
    } else model_forward(m, ws, &batch, false, logp, NULL);
    system_calls = real_calls;
    workspace_free(ws);
    batch_free(&batch);
    if (m != base) model_free(m);
    model_free(base);
    return taken;
}

int main(void) {
    LoraConfig lora = {.rank = 3, .alpha = 6, .targets = 1u << ROLE_OUT_W};
    for (int kind = 0; kind < 5 * FAMILY_COUNT; kind++) {
        int what = kind / FAMILY_COUNT;
        MemoryAsked asked = {.shape = {.layers = 3,
                                       .heads = 4,
                                       .channels = 64,
                                       .context = 8, /* as long as a row: scratch is for that */
                                       .vocab = 3000,
                                       .family = (Family)(kind % FAMILY_COUNT)},
                             .tokens = 16 * 8};
        Error err = {0};
        CHECK(config_complete(&asked.shape, &err), "%s", err.text);
        asked.trains = what != 3;
        asked.recompute = what == 1;
        asked.lora = what == 2 || what == 4 ? &lora : NULL;
#ifndef NAIVE
        asked.frozen = what >= 3;
#endif
        Memory m = memory_of(&asked);
        double wrong = ((double)really(&asked) - (double)m.total) / (double)m.total;
        /* On top come lists of tensors and scratch of a few rows: less than 2 % of 2 MB. */
        CHECK(wrong >= 0 && wrong < 0.02, "case %d: %zu bytes said, %zu taken", kind, m.total,
              taken);
    }
    return check_report("test_memory");
}
