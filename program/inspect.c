/* inspect and diff: what stands in a safetensors file, and where two of them differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/tensors.h"
#include "lib/text.h"
#include "program/commands.h"

static void put_shape(Buf *b, const TensorInfo *t) {
    buf_putc(b, '[');
    for (int i = 0; i < t->rank; i++) buf_printf(b, i ? ",%lld" : "%lld", (long long)t->shape[i]);
    buf_putc(b, ']');
}

/* Element i's place along each axis, the last one fastest. */
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

static void put_key(Buf *b, const char *key, Str value) {
    buf_printf(b, ",\"%s\":", key);
    json_put_string(b, value);
}

static void print_table(Table *t) {
    Buf text = {0};
    table_text(t, 100, &text);
    fwrite(text.s, 1, text.n, stdout);
    buf_free(&text);
    table_free(t);
}

/* ---- inspect ---- */

/* Of the finite values; NaN in all three if there is none, or the type has no numbers. */
typedef struct { double low, high, rms; size_t not_finite; } Range;

static Range range_of(const TensorInfo *t) {
    Range r = {INFINITY, -INFINITY, 0, 0};
    size_t n = t->type == TENSOR_OTHER ? 0 : t->elements;
    for (size_t i = 0; i < n; i++) {
        double v = tensors_value(t, i);
        if (!isfinite(v)) {
            r.not_finite++;
            continue;
        }
        r.low = v < r.low ? v : r.low;
        r.high = v > r.high ? v : r.high;
        r.rms += v * v;
    }
    if (r.not_finite == n) r.low = r.high = r.rms = NAN;
    else r.rms = sqrt(r.rms / (double)(n - r.not_finite));
    return r;
}

static void inspect_json(const TensorFile *file, Buf *b) {
    buf_puts(b, "{\"file\":");
    json_put_string(b, str(file->path));
    buf_puts(b, ",\"metadata\":{");
    for (int i = 0; i < file->metadata_count; i++) {
        if (i) buf_putc(b, ',');
        json_put_string(b, file->metadata_keys[i]);
        buf_putc(b, ':');
        json_put_string(b, file->metadata_values[i]);
    }
    buf_puts(b, "},\"tensors\":[");
    for (int i = 0; i < file->count; i++) {
        const TensorInfo *t = &file->tensors[i];
        Range r = range_of(t);
        buf_puts(b, i ? ",\n{\"name\":" : "\n{\"name\":");
        json_put_string(b, t->name);
        put_key(b, "type", t->type_name);
        buf_puts(b, ",\"shape\":");
        put_shape(b, t);
        json_key_number(b, "min", r.low);
        json_key_number(b, "max", r.high);
        json_key_number(b, "rms", r.rms);
        json_key_number(b, "not_finite", (double)r.not_finite);
        buf_putc(b, '}');
    }
    buf_puts(b, "]}\n");
}

static void inspect_print(const TensorFile *file) {
    static const char *const heads[] = {"tensor", "type", "shape", "min", "max", "rms", "not finite"};
    Table table = {0};
    Buf shape = {0};
    size_t elements = 0;
    for (int i = 0; i < 7; i++) table_head(&table, heads[i]);
    for (int i = 0; i < file->count; i++) {
        const TensorInfo *t = &file->tensors[i];
        Range r = range_of(t);
        shape.n = 0;
        put_shape(&shape, t);
        table_put(&table, "%.*s", STR_ARG(t->name));
        table_put(&table, "%.*s", STR_ARG(t->type_name));
        table_put(&table, "%s", shape.s);
        table_put(&table, "%.4g", r.low);
        table_put(&table, "%.4g", r.high);
        table_put(&table, "%.4g", r.rms);
        table_put(&table, "%zu", r.not_finite);
        elements += t->elements;
    }
    print_table(&table);
    printf("%d tensors, %zu elements; checksums: %s\n", file->count, elements,
           tensors_metadata(file, "crc32c").s ? "there, and right" : "none");
    for (int i = 0; i < file->metadata_count; i++)
        printf("%.*s: %.*s\n", STR_ARG(file->metadata_keys[i]), STR_ARG(file->metadata_values[i]));
    buf_free(&shape);
}

bool command_inspect(const Settings *s, Error *err) {
    TensorFile file;
    if (!tensors_open(&file, s->inputs.values[0], err)) return false;
    Buf b = {0};
    if (s->json) inspect_json(&file, &b);
    if (s->json) fwrite(b.s, 1, b.n, stdout);
    else inspect_print(&file);
    buf_free(&b);
    tensors_close(&file);
    return true;
}

/* ---- diff ---- */

/* How two tensors of one name and shape differ. */
typedef struct {
    double most;   /* the largest distance; infinite where one value is no number, or bytes of another type differ */
    size_t at;     /* where it is first found */
    size_t beyond; /* elements that are farther apart than the tolerance */
} Difference;

static double distance(const TensorInfo *a, const TensorInfo *b, size_t i) {
    if (a->type == TENSOR_OTHER || b->type == TENSOR_OTHER) {
        size_t size = a->size / a->elements;
        bool same = str_equal(a->type_name, b->type_name) && memcmp(a->bytes + i * size, b->bytes + i * size, size) == 0;
        return same ? 0 : INFINITY;
    }
    double x = tensors_value(a, i), y = tensors_value(b, i);
    if (x == y || (isnan(x) && isnan(y))) return 0;
    double d = fabs(x - y);
    return isnan(d) ? INFINITY : d;
}

static Difference difference_of(const TensorInfo *a, const TensorInfo *b, double tolerance) {
    Difference d = {0};
    if (str_equal(a->type_name, b->type_name) && memcmp(a->bytes, b->bytes, a->size) == 0) return d;
    for (size_t i = 0; i < a->elements; i++) {
        double apart = distance(a, b, i);
        if (apart > tolerance) d.beyond++;
        if (apart > d.most) {
            d.most = apart;
            d.at = i;
        }
    }
    return d;
}

static bool same_shape(const TensorInfo *a, const TensorInfo *b) {
    return a->rank == b->rank && memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

static const TensorInfo *find(const TensorFile *file, Str name) {
    for (int i = 0; i < file->count; i++)
        if (str_equal(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

/* One tensor that differs, as a row of the table and as a JSON object. what: "only in A" and the like, NULL when values differ. */
static void put_row(Table *table, Buf *json, const TensorInfo *a, const TensorInfo *b, const char *what, const Difference *d) {
    const TensorInfo *one = a ? a : b;
    Buf shape = {0}, place = {0};
    if (a) put_shape(&shape, a);
    if (b && (!a || !same_shape(a, b))) {
        if (a) buf_puts(&shape, " / ");
        put_shape(&shape, b);
    }
    buf_puts(json, json->n ? ",\n{\"name\":" : "\n{\"name\":");
    json_put_string(json, one->name);
    put_key(json, "shape", (Str){shape.s, shape.n});
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

/* Rows for every tensor that differs; returns how many. */
static int diff_rows(const TensorFile *a, const TensorFile *b, double tolerance, Table *table, Buf *json) {
    int rows = 0;
    for (int i = 0; i < a->count; i++) {
        const TensorInfo *x = &a->tensors[i], *y = find(b, x->name);
        Difference d = {0};
        const char *what = !y ? "only in A" : !same_shape(x, y) ? "another shape" : NULL;
        if (!what) d = difference_of(x, y, tolerance);
        if (!what && d.beyond == 0) continue;
        put_row(table, json, x, y, what, &d);
        rows++;
    }
    for (int i = 0; i < b->count; i++)
        if (!find(a, b->tensors[i].name)) {
            put_row(table, json, NULL, &b->tensors[i], "only in B", NULL);
            rows++;
        }
    return rows;
}

bool command_diff(const Settings *s, Error *err) {
    static const char *const heads[] = {"tensor", "shape", "max |A-B|", "at", "A", "B", "different"};
    TensorFile a, b;
    const char *const *path = s->inputs.values;
    if (!tensors_open(&a, path[0], err)) return false;
    if (!tensors_open(&b, path[1], err)) {
        tensors_close(&a);
        return false;
    }
    Table table = {0};
    Buf json = {0};
    for (int i = 0; i < 7; i++) table_head(&table, heads[i]);
    int rows = diff_rows(&a, &b, s->tolerance, &table, &json);
    if (s->json) {
        Buf out = {0};
        buf_puts(&out, "{");
        json_key_string(&out, "a", path[0]);
        json_key_string(&out, "b", path[1]);
        json_key_number(&out, "tensors", a.count);
        json_key_number(&out, "different", rows);
        printf("%s,\"differences\":[%s]}\n", out.s, json.n ? json.s : "");
        buf_free(&out);
        table_free(&table);
    } else {
        if (rows == 0) printf("%d tensors, no difference\n", a.count);
        if (rows == 0) table_free(&table);
        else print_table(&table);
    }
    if (rows) error_set(err, STATUS_FAILED, "%s and %s differ in %d of %d tensors", path[0], path[1], rows, a.count);
    buf_free(&json);
    tensors_close(&a);
    tensors_close(&b);
    return rows == 0;
}
