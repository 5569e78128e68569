/* The memory of a pass. */
#include "lib/fast/workspace.h"

#include <stdlib.h>
#include <string.h>

#include "lib/fast/attention.h"
#include "lib/threads.h"

Workspace *workspace_new(void) { return mem_new(1, sizeof(Workspace)); }

void workspace_free(Workspace *ws) {
    if (!ws) return;
    free(ws->memory);
    free(ws);
}

size_t workspace_bytes(const Workspace *ws) { return ws->bytes; }

void workspace_recompute(Workspace *ws, bool recompute) {
    free(ws->memory);
    *ws = (Workspace){.recompute = recompute, .progress = ws->progress};
}

/* ---- one allocation, one table ---- */

/* a + b; ends the program where that overflows, as mem_mul does. */
static size_t size_add(size_t a, size_t b) {
    return a > SIZE_MAX - b ? mem_mul(SIZE_MAX, 2) : a + b;
}

/* An array: `copies` times N tokens of `width` elements. */
typedef struct {
    void **slot;
    size_t copies, N, width, element;
} Carving;

static size_t carving_bytes(const Carving *c) {
    size_t bytes = mem_mul(mem_mul(mem_mul(c->copies, c->N), c->width), c->element);
    return size_add(bytes, 63) / 64 * 64;
}

/* Adds up the sizes, allocates once, and hands out the parts. Or only adds up. */
static void workspace_carve(Workspace *ws, const Carving *list, int count, bool only_sizes) {
    size_t at = 0;
    ws->bytes = 0;
    for (int i = 0; i < count; i++) ws->bytes = size_add(ws->bytes, carving_bytes(&list[i]));
    if (only_sizes) return;
    ws->memory = mem_new(ws->bytes, 1);
    for (int i = 0; i < count; at += carving_bytes(&list[i++])) *list[i].slot = ws->memory + at;
}

#define REALS(member, copies, N, width)                                                            \
    { (void **)&ws->member, copies, N, width, sizeof(real) }
#define EACH(member)                                                                               \
    { (void **)&ws->member, 1, N, 1, sizeof *ws->member }

/* The table, for the workspace's capacity. */
static void workspace_layout(Workspace *ws, bool only_sizes) {
    const LayerShape *s = &ws->shape.layer;
    size_t N = (size_t)ws->tokens, back = ws->keep ? N : 0, threads = (size_t)ws->threads;
    size_t C = (size_t)s->channels, Q = (size_t)s->queries, H = (size_t)s->heads;
    size_t layers = ws->keep ? (size_t)ws->shape.layers : 1, L = ws->recompute ? 1 : layers;
    ws->scratch_size = attention_scratch(ws->longest, s->head_size);
    const Carving list[] = {
        REALS(x, ws->keep ? layers + 1 : 1, N, C),
        REALS(stat1, L, N, 2),
        REALS(stat2, L, N, 2),
        REALS(qkv, L, N, (size_t)s->qkv),
        REALS(soft, L, N, 2 * H),
        REALS(att, L, N, Q),
        REALS(mid, L, N, C),
        REALS(fc, L, N, (size_t)s->fc),
        REALS(normed, 1, N, C),
        REALS(hidden, 1, N, (size_t)s->inner),
        REALS(turn, 1, N, (size_t)s->turn),
        REALS(heads, 1, N, (size_t)s->heads_in),
        REALS(stath, s->heads_in > 0, N, 2 * (H + (size_t)s->kv_heads)),
        REALS(low, 2, N, (size_t)s->low),
        REALS(dx, 1, back, C),
        REALS(da, 1, back, C > Q ? C : Q),
        REALS(dqkv, 1, back, (size_t)s->qkv),
        REALS(dhidden, 1, back, (size_t)s->fc),
        REALS(statf, 1, N, 2),
        REALS(h, 1, N, C),
        REALS(dh, 1, back, C),
        REALS(logits, 1, logits_room(ws->shape.vocab, ws->tokens, ws->keep), 1),
        REALS(scratch, threads, 1, ws->scratch_size),
        EACH(map.token),
        EACH(map.row),
        EACH(map.position),
        EACH(map.first),
        EACH(softmax),
        EACH(term),
        EACH(hit),
    };
    workspace_carve(ws, list, (int)(sizeof list / sizeof *list), only_sizes);
}

void workspace_fit(Workspace *ws, WorkspaceShape shape, int tokens, int longest, bool keep) {
    bool same = memcmp(&ws->shape, &shape, sizeof shape) == 0; /* ints alone, so without padding */
    bool fits = ws->tokens >= tokens && ws->longest >= longest && ws->threads >= threads_most();
    if (same && fits && ws->keep >= keep) return;
    /* Keep the larger of what there was and what is wanted. */
    if (same && ws->tokens > tokens) tokens = ws->tokens;
    if (same && ws->longest > longest) longest = ws->longest;
    if (same && ws->keep) keep = true;
    /* Start anew; only the clock runs on. */
    Workspace old = *ws;
    free(old.memory);
    *ws = (Workspace){.tokens = tokens,
                      .longest = longest,
                      .threads = threads_most(),
                      .keep = keep,
                      .recompute = old.recompute,
                      .progress = old.progress,
                      .shape = shape};
    memcpy(ws->part_seconds, old.part_seconds, sizeof ws->part_seconds);
    workspace_layout(ws, false);
}

size_t workspace_need(WorkspaceShape shape, int tokens, int longest, bool keep, bool recompute) {
    Workspace ws = {.tokens = tokens,
                    .longest = longest,
                    .threads = threads_most(),
                    .keep = keep,
                    .recompute = recompute,
                    .shape = shape};
    workspace_layout(&ws, true);
    return ws.bytes;
}

Kept workspace_kept(const Workspace *ws, int l) {
    const LayerShape *s = &ws->shape.layer;
    size_t N = (size_t)ws->tokens, C = (size_t)s->channels;
    size_t at = ws->keep ? (size_t)l : 0, i = ws->recompute ? 0 : at;
    return (Kept){.x = ws->x + at * N * C,
                  .stat1 = ws->stat1 + i * N * 2,
                  .qkv = ws->qkv + i * N * (size_t)s->qkv,
                  .soft = ws->soft + i * N * 2 * (size_t)s->heads,
                  .att = ws->att + i * N * (size_t)s->queries,
                  .mid = ws->mid + i * N * C,
                  .stat2 = ws->stat2 + i * N * 2,
                  .fc = ws->fc + i * N * (size_t)s->fc,
                  .next = ws->keep ? ws->x + (at + 1) * N * C : ws->x};
}

/* ---- the clock ---- */

double workspace_seconds(const Workspace *ws, ModelPart part) { return ws->part_seconds[part]; }

void clock_start(Workspace *ws) { ws->lap = seconds_now(); }

void clock_add(Workspace *ws, ModelPart part) {
    double now = seconds_now();
    ws->part_seconds[part] += now - ws->lap;
    ws->lap = now;
}
