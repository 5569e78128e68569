/* One optimizer step, collected while it happens and written at its end. */
#include "data/dump.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/tensors.h"

struct Dump {
    const char *path;
    const ExampleFile *pool;
    int records, answers; /* of the step's batch; answers of a record: 1, pairs 2 */
    int *record;          /* [records] */
    double *weight;       /* [records] */
    double *logp;         /* [answers][records] */
    real *before;         /* [parameters] */
};

Dump *dump_new(const char *path, const ExampleFile *pool, bool pairs, int batch_size) {
    Dump *d = mem_new(1, sizeof *d);
    size_t n = (size_t)batch_size;
    *d = (Dump){.path = path,
                .pool = pool,
                .answers = pairs ? 2 : 1,
                .record = mem_new(n, sizeof(int)),
                .weight = mem_new(n, sizeof(double)),
                .logp = mem_new(2 * n, sizeof(double))};
    return d;
}

void dump_free(Dump *d) {
    if (!d) return;
    free(d->record);
    free(d->weight);
    free(d->logp);
    free(d->before);
    free(d);
}

void dump_begin(Dump *d, const Model *m) {
    if (!d->before) d->before = mem_new(m->parameters, sizeof(real));
    memcpy(d->before, m->w, m->parameters * sizeof(real));
}

void dump_batch(Dump *d, int n, const int *record, const double *weight) {
    d->records = n;
    memcpy(d->record, record, (size_t)d->records * sizeof *record);
    memcpy(d->weight, weight, (size_t)d->records * sizeof *weight);
    for (int row = 0; row < n * d->answers; row++) d->logp[row] = NAN;
}

void dump_rows(Dump *d, const int *record, int n, const double *logp) {
    for (int i = 0, at = 0; i < n; i++, at++) {
        while (d->record[at] != record[i]) at++;
        for (int a = 0; a < d->answers; a++)
            d->logp[a * d->records + at] = logp[i * d->answers + a];
    }
}

/* Rows 0..records-1 are the answers, or the chosen ones. After them come the rejected ones. */
static Query row_query(const Dump *d, int row) {
    return (Query){.x = &d->pool->examples.items[d->record[row % d->records]],
                   .rejected = row >= d->records};
}

static int row_length(const Dump *d, int row) {
    Query q = row_query(d, row);
    return query_length(&d->pool->examples, &q);
}

/* Puts a whole row into ids [width], and what is scored of it into labels [width]. */
static void put_sequence(const Dump *d, int row, int width, int64_t *ids, int64_t *labels) {
    Query q = row_query(d, row);
    IntBuf sequence = {0};
    int first = query_row(&d->pool->examples, &q, &sequence);
    for (int t = 0; t < width; t++) {
        ids[t] = t < sequence.n ? sequence.v[t] : 0;
        labels[t] = t >= first && t < sequence.n ? sequence.v[t] : -100;
    }
    ints_free(&sequence);
}

/* Lists five tensors for each parameter. Returns how many in all. */
static int put_parameters(const Dump *d, const Model *m, const real *grad, const Optimizer *o,
                          Arena *arena, TensorOut *out) {
    const struct {
        const char *ending;
        const real *values;
    } parts[5] = {{"", d->before}, {".grad", grad}, {".after", m->w}, {".m", o->m}, {".v", o->v}};
    int n = 0;
    for (int i = 0; i < m->tensor_count; i++)
        for (int p = 0; p < 5; p++) {
            const ModelTensor *t = &m->tensors[i];
            size_t size = strlen(t->name) + strlen(parts[p].ending) + 1;
            char *name = arena_new(arena, size, 1);
            snprintf(name, size, "%s%s", t->name, parts[p].ending);
            out[n++] = (TensorOut){.name = name,
                                   .type = TENSOR_REAL,
                                   .rank = t->rank,
                                   .shape = {t->shape[0], t->shape[1]},
                                   .data = parts[p].values + t->offset};
        }
    return n;
}

static TensorOut reals(const char *name, int n, const double *values) {
    return (TensorOut){.name = name, .type = TENSOR_F64, .rank = 1, .shape = {n}, .data = values};
}

bool dump_write(const Dump *d, const Model *m, const real *grad, const Optimizer *o, double loss,
                double lr, double norm, Error *err) {
    Arena arena = {0};
    int B = d->records, rows = B * d->answers, width = 0;
    for (int r = 0; r < rows; r++) width = row_length(d, r) > width ? row_length(d, r) : width;
    /* Lay out the batch: line numbers, and a row of ids and labels for each answer. */
    size_t size = mem_mul((size_t)rows, (size_t)width);
    int64_t *line = arena_new(&arena, (size_t)B, sizeof *line);
    int64_t *ids = arena_new(&arena, size, sizeof *ids);
    int64_t *labels = arena_new(&arena, size, sizeof *labels);
    for (int i = 0; i < B; i++) line[i] = d->pool->data.records[d->record[i]].line;
    for (int r = 0; r < rows; r++) {
        size_t at = (size_t)r * (size_t)width;
        put_sequence(d, r, width, ids + at, labels + at);
    }
    /* List the tensors and write them. */
    TensorOut out_of_ids = {
        .name = "input_ids", .type = TENSOR_I64, .rank = 2, .shape = {rows, width}, .data = ids};
    TensorOut out_of_labels = out_of_ids;
    out_of_labels.name = "labels";
    out_of_labels.data = labels;
    TensorOut *out = arena_new(&arena, 5 * (size_t)m->tensor_count + 8, sizeof *out);
    int n = put_parameters(d, m, grad, o, &arena, out);
    out[n++] = reals("logp", rows, d->logp);
    out[n++] = reals("weight", B, d->weight);
    out[n++] =
        (TensorOut){.name = "row", .type = TENSOR_I64, .rank = 1, .shape = {B}, .data = line};
    out[n++] = out_of_ids;
    out[n++] = out_of_labels;
    out[n++] = reals("loss", 1, &loss);
    out[n++] = reals("lr", 1, &lr);
    out[n++] = reals("grad_norm", 1, &norm);
    bool ok = tensors_write(d->path, out, n, NULL, 0, err);
    arena_free(&arena);
    return ok;
}
