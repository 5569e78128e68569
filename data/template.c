#include "data/template.h"

#include "lib/file.h"
#include "lib/json.h"

#include <stdlib.h>
#include <string.h>

enum { STRINGS = 4 };
static const char *const KEYS[STRINGS] = {"bos", "prompt_prefix", "answer_prefix", "example_end"};

static char *new_string(Str s) {
    char *copy = mem_new(s.n + 1, 1);
    if (s.n) memcpy(copy, s.s, s.n);
    return copy;
}

/* Reads one of the strings. */
static bool read_string(const char **to, const Json *root, const char *key, const char *path,
                        Error *err) {
    const Json *value = json_get(root, key);
    bool valid = value && value->type == JSON_STRING;
    if (!valid || (value->string.n && memchr(value->string.s, 0, value->string.n)))
        return error_set(err, STATUS_DATA,
                         "%s: %s must be a string (without U+0000): a template has bos, "
                         "prompt_prefix, answer_prefix, example_end",
                         path, key);
    *to = new_string(value->string);
    return true;
}

static bool read_file(Template *template, const char *path, Error *err) {
    const char **const to[STRINGS] = {&template->bos, &template->prompt_prefix,
                                      &template->answer_prefix, &template->example_end};
    Arena arena = {0};
    Buf text = {0};
    const Json *root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    bool ok = root != NULL;
    for (int i = 0; ok && i < STRINGS; i++) ok = read_string(to[i], root, KEYS[i], path, err);
    if (ok && template->example_end[0] == 0)
        ok = error_set(err, STATUS_DATA,
                       "%s: example_end must not be empty: it marks where an answer stops", path);
    arena_free(&arena);
    buf_free(&text);
    return ok;
}

bool template_load(Template *template, const Tokenizer *t, const char *folder, Error *err) {
    static const char end[] = "<|endoftext|>";
    *template = (Template){0};
    char *path = path_join(folder, "template.json");
    bool ok = true;
    if (file_exists(path)) ok = read_file(template, path, err);
    else if (tokenizer_special(t, end) >= 0)
        *template = (Template){new_string(str("")), new_string(str("")), new_string(str("\n")),
                               new_string(str(end))};
    else
        ok = error_set(err, STATUS_DATA,
                       "%s: is not there, and the tokenizer has no <|endoftext|> to do without: "
                       "add a template.json with bos, prompt_prefix, answer_prefix, example_end",
                       path);
    Str unknown = ok ? template_unknown(template, t) : (Str){NULL, 0};
    Str shown = token_shown(unknown);
    if (unknown.n)
        ok = error_set(err, STATUS_DATA,
                       "%s: \"%.*s\" is no token of the vocabulary: correct its spelling, or add "
                       "the token to added_tokens.json",
                       path, STR_ARG(shown));
    if (!ok) template_free(template);
    free(path);
    return ok;
}

bool template_save(const Template *template, const char *folder, Error *err) {
    const char *const values[STRINGS] = {template->bos, template->prompt_prefix,
                                         template->answer_prefix, template->example_end};
    Buf text = {0};
    for (int i = 0; i < STRINGS; i++) {
        buf_printf(&text, "%s  \"%s\": ", i ? ",\n" : "{\n", KEYS[i]);
        json_put_string(&text, str(values[i]));
    }
    buf_puts(&text, "\n}\n");
    char *path = path_join(folder, "template.json");
    bool ok = file_write(path, text.s, text.n, err);
    free(path);
    buf_free(&text);
    return ok;
}

/* A Jinja string literal. */
static void put_literal(Buf *b, Str s) {
    buf_putc(b, '\'');
    for (size_t i = 0; i < s.n; i++) {
        char c = s.s[i];
        if (c == '\n') buf_puts(b, "\\n");
        else if (c == '\r') buf_puts(b, "\\r");
        else if (c == '\'' || c == '\\') buf_printf(b, "\\%c", c);
        else buf_putc(b, c);
    }
    buf_putc(b, '\'');
}

/* Literals, so that no white space of the template's own gets into the text. */
void template_chat(const Template *template, Buf *jinja) {
    Str answer_prefix = str(template->answer_prefix), blank = {"", 0};
    if (answer_prefix.n > 0 && answer_prefix.s[answer_prefix.n - 1] == ' ') {
        answer_prefix.n--; /* it goes with the answer */
        blank = str(" ");
    }
    buf_puts(jinja, "{{ ");
    put_literal(jinja, str(template->bos));
    buf_puts(jinja, " }}{% set ns = namespace(before='') %}{% for m in messages %}"
                    "{% if m['role'] == 'system' %}"
                    "{% set ns.before = m['content'] + '\\n' if m['content'] else '' %}"
                    "{% elif m['role'] == 'user' %}{{ ");
    put_literal(jinja, str(template->prompt_prefix));
    buf_puts(jinja, " + ns.before + m['content'] }}{% set ns.before = '' %}"
                    "{% if not loop.last or add_generation_prompt %}{{ ");
    put_literal(jinja, answer_prefix);
    buf_puts(jinja, " }}{% endif %}{% elif m['role'] == 'assistant' %}{{ ");
    put_literal(jinja, blank);
    buf_puts(jinja, " + m['content'] + ");
    put_literal(jinja, str(template->example_end));
    buf_puts(jinja, " }}{% else %}{{ raise_exception('roles are system, user, assistant') }}"
                    "{% endif %}{% endfor %}");
}

void template_free(Template *template) {
    free((char *)template->bos);
    free((char *)template->prompt_prefix);
    free((char *)template->answer_prefix);
    free((char *)template->example_end);
    *template = (Template){0};
}
