/* keys: which keys a file of the program has, one a line, for tests/system/formats.sh:
 *
 *   keys log.jsonl run.json training_state.safetensors
 *
 * A key inside of an object has the object's before it: "seconds.train". Elements of a list
 * count as one: "inputs.path". Only what holds a value is named, not the objects and lists
 * around it. Of safetensors: the keys of __metadata__, and the tensors. A key may come several
 * times. */
#include <stdio.h>
#include <string.h>

#include "lib/json.h"
#include "lib/file.h"

static void put_keys(const Json *v, const char *path) {
    bool nested = v->type == JSON_OBJECT || v->type == JSON_ARRAY;
    if (!nested || v->count == 0) {
        if (path[0]) puts(path);
        return;
    }
    for (int i = 0; i < v->count; i++) {
        char deeper[1024];
        const char *dot = path[0] ? "." : "";
        if (v->type == JSON_ARRAY) snprintf(deeper, sizeof deeper, "%s", path);
        else snprintf(deeper, sizeof deeper, "%s%s%.*s", path, dot, STR_ARG(v->keys[i]));
        put_keys(&v->items[i], deeper);
    }
}

/* Of a header: __metadata__ whole, of each other member the name alone. */
static void put_header(const Json *header) {
    for (int i = 0; i < header->count; i++)
        if (str_is(header->keys[i], "__metadata__")) put_keys(&header->items[i], "__metadata__");
        else printf("%.*s\n", STR_ARG(header->keys[i]));
}

static bool put_file(const char *path, Error *err) {
    Buf text = {0};
    Arena arena = {0};
    JsonError where;
    if (!file_read(path, &text, err)) return false;
    bool tensors = text.n > 8 && text.s[8] == '{' && text.s[0] != '{', ok = true;
    size_t at = tensors ? 8 : 0;
    do {
        const Json *v = json_parse_at(&arena, text.s, text.n, &at, &where);
        if (!v) ok = error_set(err, STATUS_DATA, "%s:%ld: %s", path, where.line, where.what);
        else if (tensors) put_header(v);
        else put_keys(v, "");
        while (at < text.n && strchr(" \t\r\n", text.s[at])) at++;
    } while (ok && !tensors && at < text.n);
    arena_free(&arena);
    buf_free(&text);
    return ok;
}

int main(int argc, char **argv) {
    Error err = {0};
    for (int i = 1; i < argc; i++)
        if (!put_file(argv[i], &err)) return error_print(&err);
    return 0;
}
