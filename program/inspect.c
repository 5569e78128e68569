/* inspect: the tensors of a safetensors file, with the range of their values. */
#include <math.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/tensors.h"
#include "lib/text.h"
#include "program/commands.h"

/* Smallest, largest and root mean square of the finite values. All three are NaN if there is no
 * finite value, or if the type has no numbers. */
typedef struct {
    double low, high, rms;
    size_t not_finite;
} ValueRange;

static ValueRange range_of(const TensorInfo *t) {
    ValueRange r = {INFINITY, -INFINITY, 0, 0};
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
        ValueRange r = range_of(t);
        buf_puts(b, i ? ",\n{\"name\":" : "\n{\"name\":");
        json_put_string(b, t->name);
        buf_puts(b, ",\"type\":");
        json_put_string(b, t->type_name);
        buf_puts(b, ",\"shape\":");
        tensors_put_shape(b, t);
        json_key_number(b, "min", r.low);
        json_key_number(b, "max", r.high);
        json_key_number(b, "rms", r.rms);
        json_key_number(b, "not_finite", (double)r.not_finite);
        buf_putc(b, '}');
    }
    buf_puts(b, "]}\n");
}

static void inspect_text(const TensorFile *file, Buf *b) {
    static const char *const heads[] = {"tensor", "type", "shape",     "min",
                                        "max",    "rms",  "not finite"};
    Table table = {0};
    Buf shape = {0};
    size_t elements = 0;
    for (int i = 0; i < 7; i++) table_head(&table, heads[i]);
    for (int i = 0; i < file->count; i++) {
        const TensorInfo *t = &file->tensors[i];
        ValueRange r = range_of(t);
        shape.n = 0;
        tensors_put_shape(&shape, t);
        table_put(&table, "%.*s", STR_ARG(t->name));
        table_put(&table, "%.*s", STR_ARG(t->type_name));
        table_put(&table, "%s", shape.s);
        table_put(&table, "%.4g", r.low);
        table_put(&table, "%.4g", r.high);
        table_put(&table, "%.4g", r.rms);
        table_put(&table, "%zu", r.not_finite);
        elements += t->elements;
    }
    table_text(&table, 100, b);
    table_free(&table);
    buf_printf(b, "%d tensors, %zu elements; checksums: %s\n", file->count, elements,
               tensors_metadata(file, "crc32c").s ? "there, and right" : "none");
    for (int i = 0; i < file->metadata_count; i++) {
        text_show(b, file->metadata_keys[i], "");
        buf_puts(b, ": ");
        text_show(b, file->metadata_values[i], "");
        buf_putc(b, '\n');
    }
    buf_free(&shape);
}

bool command_inspect(const Settings *s, Error *err) {
    TensorFile file;
    if (!tensors_open(&file, s->inputs.values[0], err)) return false;
    Buf b = {0};
    if (s->json) inspect_json(&file, &b);
    else inspect_text(&file, &b);
    bool ok = tensors_whole(&file, err) && file_print(b.s, b.n, err);
    buf_free(&b);
    tensors_close(&file);
    return ok;
}
