/* A pool, a chunk at a time. */
#include "program/chunks.h"

#include "lib/json.h"
#include "lib/progress.h"
#include "program/requests.h"

double mean_tokens(const Examples *x) {
    double tokens = 0;
    for (int i = 0; i < x->count; i++) tokens += x->items[i].prompt_n + x->items[i].answer_n;
    return x->count ? tokens / x->count : 0;
}

/* How many records from item `from` of the part make the next chunk. */
static int chunk_size(const Chunks *c, int from, int left) {
    enum { MOST = 1 << 15 };
    const double enough = 3e13; /* operations: some minutes of two cores */
    const Examples *x = &c->part->examples;
    double spent = 0;
    int n = 0;
    if (c->whole) return left;
    if (c->settings->chunk > 0) return left < c->settings->chunk ? left : c->settings->chunk;
    for (; n < left && n < MOST && spent < enough; n++) {
        const Example *e = &x->items[from + n];
        double own = x->bos_n + e->prompt_n + e->answer_n + e->rejected_n;
        double tokens = c->rows * own + c->beside;
        spent += model_flops(c->model, tokens, own + c->beside, e->answer_n + e->rejected_n);
    }
    return n;
}

void chunks_tell(Chunks *c, const char *verb) {
    enum { EVERY = 10 }; /* seconds between lines where nobody looks at a terminal */
    double now = seconds_now(), done = c->done - c->before;
    bool due = c->told == 0 || now - c->told >= EVERY || progress_terminal();
    if (c->done >= c->count || !due || done <= 0) return;
    Buf b = {0};
    buf_printf(&b, "%s ", verb);
    put_count(&b, c->done);
    buf_puts(&b, " of ");
    put_count(&b, c->count);
    buf_puts(&b, " records, ");
    put_duration(&b, (now - c->began) * (c->count - c->done) / done);
    fprintf(stderr, "%s left\n", b.s);
    c->told = now;
    buf_free(&b);
}

bool chunks_next(Chunks *c, ExampleFile *chunk, int *first, Error *err) {
    Partial *p = c->partial;
    if (c->done >= c->count) return false;
    if (c->done > 0 && p && c->done > p->done && !partial_save(p, c->done, err)) return false;
    if (p && p->done > c->done) c->done = c->before = p->done;
    if (c->began == 0) c->began = seconds_now();
    if (c->done >= c->count)
        return error_set(err, STATUS_DATA,
                         "%s: has %d records, and the work only %d: --overwrite begins again",
                         p->path, c->done, c->count);
    int at = c->first + c->done;
    while (!c->part || at >= c->part_first + c->part->data.count) {
        if (c->part) c->part_first += c->part->data.count;
        if (!pool_next(c->pool, &c->part, err)) return false;
    }
    int from = at - c->part_first, left = c->part->data.count - from;
    if (left > c->count - c->done) left = c->count - c->done;
    *first = at;
    *chunk = *c->part;
    chunk->data.records += from;
    chunk->examples.items += from;
    chunk->data.count = chunk->examples.count = chunk_size(c, from, left);
    c->done += chunk->data.count;
    return true;
}

void put_names(Buf *b, const char *key, const OptionFiles *files) {
    Buf names = {0};
    for (int i = 0; i < files->count; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", files->values[i]);
    json_key_string(b, key, names.s ? names.s : "");
    buf_free(&names);
}

void tell_pool(const Settings *s, Pool *pool, const char *what, Splits *others) {
    Buf b = {0};
    for (int i = 0; i < pool->use.files; i++) {
        summary_ignore_weights(&pool->summary[i]);
        summary_tell(&b, &pool->summary[i], what);
    }
    put_data(&b, s, others, pool->ended);
    if (b.n > 0) fputs(b.s, stderr);
    buf_free(&b);
}
