/* Names and values, compared with those of an earlier time. */
#include "data/depends.h"

#include "lib/json.h"

void depends_put(Buf *b, const char *name, const char *value) {
    buf_puts(b, b->n ? "," : "{");
    json_put_string(b, str(name));
    buf_putc(b, ':');
    json_put_string(b, str(value));
}

void depends_put_file(Buf *b, const char *name, uint64_t fingerprint) {
    char text[40];
    if (fingerprint == 0) return;
    snprintf(text, sizeof text, "content %016llx", (unsigned long long)fingerprint);
    depends_put(b, name, text);
}

/* Appends one difference to a list for people. */
static void put_difference(Buf *b, Str name, Str was, Str is) {
    buf_printf(b, "%s%.*s was %.*s and is %.*s", b->n ? ", " : "", STR_ARG(name), STR_ARG(was),
               STR_ARG(is));
}

bool depends_compare(Buf *now, Str was, Buf *differences) {
    Arena arena = {0};
    Buf text = {0};
    buf_printf(&text, "%s}", now->n ? now->s : "{");
    const Json *then = was.s ? json_parse(&arena, was.s, was.n, NULL) : NULL,
               *is = json_parse(&arena, text.s, text.n, NULL);
    bool readable = then && then->type == JSON_OBJECT;
    for (int i = 0; readable && i < then->count; i++) {
        const Json *old = &then->items[i];
        const char *name = str_copy(&arena, then->keys[i]).s;
        const Json *new = json_get(is, name);
        if (old->type != JSON_STRING) continue;
        if (!new) depends_put(now, name, old->string.s);
        else if (!str_equal(old->string, new->string))
            put_difference(differences, then->keys[i], old->string, new->string);
    }
    buf_free(&text);
    arena_free(&arena);
    return readable;
}
