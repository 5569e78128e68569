/* diff: where two safetensors files differ, tensor by tensor. */
#include <math.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/tensors.h"
#include "lib/text.h"
#include "program/commands.h"

/* Appends the place of element i along each axis. The last axis is the fastest. */
static void put_place(Buf *b, const TensorInfo *t, size_t i) {
    size_t place[TENSOR_MAX_RANK];
    for (int axis = t->rank - 1; axis >= 0; axis--) {
        place[axis] = i % (size_t)t->shape[axis];
        i /= (size_t)t->shape[axis];
    }
    buf_putc(b, '[');
    for (int axis = 0; axis < t->rank; axis++) buf_printf(b, axis ? ",%zu" : "%zu", place[axis]);
    buf_putc(b, ']');
}

/* How two tensors of one name and shape differ. The largest distance is infinite if one of two
 * values is not a number, or if bytes of another type differ. */
typedef struct {
    double most;   /* the largest distance */
    size_t at;     /* the first element that is so far apart */
    size_t beyond; /* how many elements are farther apart than the tolerance */
} Difference;

/* How far apart are two elements whose bytes differ? */
static double distance(const TensorInfo *a, const TensorInfo *b, size_t i) {
    if (a->type == TENSOR_OTHER || b->type == TENSOR_OTHER) return INFINITY;
    double x = tensors_value(a, i), y = tensors_value(b, i);
    if (x == y || (isnan(x) && isnan(y))) return 0;
    double d = fabs(x - y);
    return isnan(d) ? INFINITY : d;
}

/* Compares the tensors piece by piece. What has the same bytes of the same type is no difference,
 * not even where it is not a number. */
static bool difference_of(const TensorInfo *a, const TensorInfo *b, double tolerance, Difference *d,
                          Error *err) {
    enum { PIECE = 1 << 12 };
    unsigned char x[PIECE], y[PIECE];
    bool one_type = str_equal(a->type_name, b->type_name);
    size_t size = a->elements ? a->size / a->elements : 1, step = PIECE / size;
    for (size_t from = 0; from < a->elements; from += step) {
        size_t n = a->elements - from < step ? a->elements - from : step;
        if (one_type && !(tensors_bytes(a, from * size, x, n * size, err) &&
                          tensors_bytes(b, from * size, y, n * size, err)))
            return false;
        for (size_t i = 0; i < n; i++) {
            bool same = one_type && memcmp(x + i * size, y + i * size, size) == 0;
            double apart = same ? 0 : distance(a, b, from + i);
            if (apart > tolerance) d->beyond++;
            if (apart > d->most) {
                d->most = apart;
                d->at = from + i;
            }
        }
    }
    return true;
}

static bool same_shape(const TensorInfo *a, const TensorInfo *b) {
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* The names of a file's tensors, which differ. The set numbers them as the file does. */
static StrSet names_of(const TensorFile *file) {
    StrSet names = {0};
    for (int i = 0; i < file->count; i++) strset_add(&names, file->tensors[i].name);
    return names;
}

/* Appends one tensor that differs, as a row of the table and as a JSON object. `what` says how it
 * differs, like "only in A". If it is NULL, values differ, and d says how. */
static void put_row(Table *table, Buf *json, const TensorInfo *a, const TensorInfo *b,
                    const char *what, const Difference *d) {
    const TensorInfo *one = a ? a : b;
    Buf shape = {0}, place = {0};
    if (a) tensors_put_shape(&shape, a);
    if (b && (!a || !same_shape(a, b))) {
        if (a) buf_puts(&shape, " / ");
        tensors_put_shape(&shape, b);
    }
    buf_puts(json, json->n ? ",\n{\"name\":" : "\n{\"name\":");
    json_put_string(json, one->name);
    buf_puts(json, ",\"shape\":");
    json_put_string(json, (Str){shape.s, shape.n});
    table_put(table, "%.*s", STR_ARG(one->name));
    table_put(table, "%s", shape.s);
    if (what) {
        json_key_string(json, "what", what);
        table_put(table, "%s", what);
        for (int i = 0; i < 4; i++) table_put(table, "%s", "");
    } else {
        put_place(&place, a, d->at);
        json_key_number(json, "max_abs_difference", d->most);
        buf_printf(json, ",\"at\":%s", place.s);
        json_key_number(json, "a", tensors_value(a, d->at));
        json_key_number(json, "b", tensors_value(b, d->at));
        json_key_number(json, "different", (double)d->beyond);
        table_put(table, "%.4g", d->most);
        table_put(table, "%s", place.s);
        table_put(table, "%.9g", tensors_value(a, d->at));
        table_put(table, "%.9g", tensors_value(b, d->at));
        table_put(table, "%zu of %zu", d->beyond, a->elements);
    }
    buf_putc(json, '}');
    buf_free(&shape);
    buf_free(&place);
}

/* Appends a row for every tensor that differs, and returns how many there are. */
static int diff_rows(const TensorFile *a, const TensorFile *b, double tolerance, Table *table,
                     Buf *json, Error *err) {
    StrSet in_a = names_of(a), in_b = names_of(b);
    int rows = 0;
    for (int i = 0; i < a->count; i++) {
        const TensorInfo *x = &a->tensors[i];
        int at = strset_find(&in_b, x->name);
        const TensorInfo *y = at >= 0 ? &b->tensors[at] : NULL;
        Difference d = {0};
        const char *what = !y ? "only in A" : !same_shape(x, y) ? "another shape" : NULL;
        if (!what && !difference_of(x, y, tolerance, &d, err)) break;
        if (!what && d.beyond == 0) continue;
        put_row(table, json, x, y, what, &d);
        rows++;
    }
    for (int i = 0; i < b->count; i++)
        if (strset_find(&in_a, b->tensors[i].name) < 0) {
            put_row(table, json, NULL, &b->tensors[i], "only in B", NULL);
            rows++;
        }
    strset_free(&in_a);
    strset_free(&in_b);
    return rows;
}

bool command_diff(const Settings *s, Error *err) {
    static const char *const heads[] = {"tensor", "shape", "max |A-B|", "at",
                                        "A",      "B",     "different"};
    TensorFile a, b;
    const char *const *path = s->inputs.values;
    if (!tensors_open(&a, path[0], err)) return false;
    if (!tensors_open(&b, path[1], err)) {
        tensors_close(&a);
        return false;
    }
    Table table = {0};
    Buf json = {0}, out = {0};
    for (int i = 0; i < 7; i++) table_head(&table, heads[i]);
    int rows = diff_rows(&a, &b, s->tolerance, &table, &json, err);
    bool whole = !err->status && tensors_whole(&a, err) && tensors_whole(&b, err);
    if (s->json) {
        buf_puts(&out, "{");
        json_key_string(&out, "a", path[0]);
        json_key_string(&out, "b", path[1]);
        json_key_number(&out, "tensors", a.count);
        json_key_number(&out, "different", rows);
        buf_printf(&out, ",\"differences\":[%s]}\n", json.n ? json.s : "");
    } else if (rows == 0) buf_printf(&out, "%d tensors, no difference\n", a.count);
    else table_text(&table, 100, &out);
    table_free(&table);
    if (whole && file_print(out.s, out.n, err) && rows)
        error_set(err, STATUS_FAILED, "%s and %s differ in %d of %d tensors", path[0], path[1],
                  rows, a.count);
    buf_free(&json);
    buf_free(&out);
    tensors_close(&a);
    tensors_close(&b);
    return err->status == 0;
}
