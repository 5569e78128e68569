/* Logs as CSV. */
#include "program/report/csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/run.h"
#include "lib/text.h"

/* In double quotes; one inside is doubled. Line breaks and the like become blanks. */
static void put_quoted(Buf *b, const char *s) {
    buf_putc(b, '"');
    for (; *s; s++) {
        if (*s == '"') buf_putc(b, '"');
        buf_putc(b, (unsigned char)*s < 32 ? ' ' : *s);
    }
    buf_putc(b, '"');
}

static void put_member(Buf *b, const Json *root, const char *key) {
    const Json *v = json_get(root, key);
    put_quoted(b, v && v->type == JSON_STRING ? v->string.s : "");
}

/* Calls for each line of a run's log. */
typedef void LineUse(const char *folder, const Json *run, const LogLine *line, void *self);

static bool each_line(const char *folder, LineUse *use, void *self, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    Str line;
    char *path = path_join(folder, "log.jsonl");
    const Json *run = run_json(folder, &arena, err);
    bool ok = run && file_read(path, &text, err);
    for (size_t at = 0, n = 1; ok && text_line((Str){text.s, text.n}, &at, &line); n++) {
        JsonError where;
        const Json *object = json_parse(&arena, line.s, line.n, &where);
        if (!object || object->type != JSON_OBJECT) {
            ok = error_set(err, STATUS_DATA, "%s:%zu: is not a line of a log", path, n);
            break;
        }
        LogLine x = log_line_read(object);
        use(folder, run, &x, self);
    }
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return ok;
}

static void note_keys(const char *folder, const Json *run, const LogLine *line, void *self) {
    bool *used = self;
    (void)folder;
    (void)run;
    for (int i = 0; i < LOG_MEMBERS; i++) used[i] |= !isnan(log_value(line, i));
}

typedef struct {
    Buf *b;
    const bool *used; /* [LOG_MEMBERS] */
} Rows;

static void put_row(const char *folder, const Json *run, const LogLine *line, void *self) {
    const Rows *rows = self;
    put_quoted(rows->b, folder);
    buf_putc(rows->b, ',');
    put_member(rows->b, run, "group");
    buf_putc(rows->b, ',');
    put_member(rows->b, run, "arm");
    buf_putc(rows->b, ',');
    json_put_number(rows->b, json_number(run, "seed"));
    for (int i = 0; i < LOG_MEMBERS; i++) {
        if (!rows->used[i]) continue;
        buf_putc(rows->b, ',');
        if (!isnan(log_value(line, i))) json_put_number(rows->b, log_value(line, i));
    }
    buf_putc(rows->b, '\n');
}

/* Is it the folder of a run? */
static bool is_run(const char *path) {
    char *file = path_join(path, "run.json");
    bool is = file_exists(file);
    free(file);
    return is;
}

bool csv_build(int count, const char *const *inputs, Buf *b, Error *err) {
    bool used[LOG_MEMBERS] = {false};
    Rows rows = {b, used};
    for (int i = 0; i < count; i++)
        if (is_run(inputs[i]) && !each_line(inputs[i], note_keys, used, err)) return false;
    buf_puts(b, "\"run\",\"group\",\"arm\",\"seed\"");
    for (int i = 0; i < LOG_MEMBERS; i++)
        if (used[i]) buf_printf(b, ",\"%s\"", log_key(i));
    buf_putc(b, '\n');
    for (int i = 0; i < count; i++)
        if (is_run(inputs[i]) && !each_line(inputs[i], put_row, &rows, err)) return false;
    return true;
}
