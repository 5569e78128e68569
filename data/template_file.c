/* template.json, and templates in Jinja: told by their marks, and written. */
#include "data/template_file.h"

#include <stdlib.h>
#include <string.h>

#include "data/tokenizer_json.h"

/* ---- template.json ---- */

enum { STRINGS = 8, NEEDED = 4 };
static const char *const KEYS[STRINGS] = {"bos",         "prompt_prefix", "answer_prefix",
                                          "example_end", "between",       "system_prefix",
                                          "system_end",  "system"};

static const char *new_string(Str s) {
    char *copy = mem_new(s.n + 1, 1);
    if (s.n) memcpy(copy, s.s, s.n);
    return copy;
}

/* Reads one of the strings. Those after the needed ones may be absent. */
static bool read_string(const char **to, const Json *root, const char *key, bool needed,
                        const char *path, Error *err) {
    const Json *value = json_get(root, key);
    if (!value && !needed) return true;
    bool valid = value && value->type == JSON_STRING;
    if (!valid || (value->string.n && memchr(value->string.s, 0, value->string.n)))
        return error_set(err, STATUS_DATA,
                         "%s: %s must be a string (without U+0000): a template has bos, "
                         "prompt_prefix, answer_prefix, example_end, or a name",
                         path, key);
    *to = new_string(value->string);
    return true;
}

/* Refuses a key that would be ignored: all of them change the rows. */
static bool check_keys(const Json *root, bool named, const char *path, Error *err) {
    for (int i = 0; i < root->count; i++) {
        Str key = root->keys[i], shown = token_shown(key);
        bool known = named ? str_is(key, "name") || str_is(key, "system") : false;
        for (int k = 0; k < STRINGS && !named; k++) known |= str_is(key, KEYS[k]);
        if (!known)
            return error_set(err, STATUS_DATA,
                             "%s: \"%.*s\" is no key of a template %s; correct or remove it", path,
                             STR_ARG(shown),
                             named ? "that has a name: that has \"system\" at most"
                                   : "of strings (bos, prompt_prefix, answer_prefix, example_end, "
                                     "between, system_prefix, system_end, system)");
    }
    return true;
}

static bool read_named(Template *template, const Tokenizer *t, const Json *root, const char *path,
                       Error *err) {
    const char *name = NULL, *system = NULL;
    Error why = {0};
    bool ok = check_keys(root, true, path, err) &&
              read_string(&name, root, "name", true, path, err) &&
              read_string(&system, root, "system", false, path, err);
    Str turn = system ? str(system) : (Str){NULL, 0};
    if (ok && !template_named(template, name, turn, t, &why))
        ok = error_set(err, why.status, "%s: %s", path, why.text);
    free((char *)name);
    free((char *)system);
    return ok;
}

static bool read_strings(Template *template, const Json *root, const char *path, Error *err) {
    const char **const to[STRINGS] = {&template->bos,           &template->prompt_prefix,
                                      &template->answer_prefix, &template->example_end,
                                      &template->between,       &template->system_prefix,
                                      &template->system_end,    &template->system};
    bool ok = check_keys(root, false, path, err);
    for (int i = 0; ok && i < STRINGS; i++)
        ok = read_string(to[i], root, KEYS[i], i < NEEDED, path, err);
    if (ok && template->example_end[0] == 0)
        return error_set(err, STATUS_DATA,
                         "%s: example_end must not be empty: it marks where an answer stops", path);
    bool turn = template->system_prefix && template->system_end;
    if (ok && !turn && (template->system_prefix || template->system_end || template->system))
        return error_set(err, STATUS_DATA,
                         "%s: a system turn needs both system_prefix and system_end", path);
    return ok;
}

static bool read_file(Template *template, const Tokenizer *t, const char *path, Error *err) {
    Arena arena = {0};
    Buf text = {0};
    *template = (Template){0};
    const Json *root = json_read_object(path, CONFIG_MOST, &arena, &text, err);
    bool ok = root && (json_get(root, "name") ? read_named(template, t, root, path, err)
                                              : read_strings(template, root, path, err));
    Str unknown = ok && !template->name ? template_unknown(template, t) : (Str){NULL, 0};
    Str shown = token_shown(unknown);
    if (unknown.n)
        ok = error_set(err, STATUS_DATA,
                       "%s: \"%.*s\" is no token of the vocabulary: correct its spelling, or add "
                       "the token to added_tokens.json",
                       path, STR_ARG(shown));
    if (!ok) template_free(template);
    arena_free(&arena);
    buf_free(&text);
    return ok;
}

bool template_save(const Template *template, const char *folder, Error *err) {
    const char *const values[STRINGS] = {
        template->bos,     template->prompt_prefix, template->answer_prefix, template->example_end,
        template->between, template->system_prefix, template->system_end,    template->system};
    Buf text = {0};
    buf_puts(&text, "{\n");
    if (template->name) buf_printf(&text, "  \"name\": \"%s\"", template->name);
    for (int i = template->name ? STRINGS - 1 : 0; i < STRINGS; i++) {
        if (!values[i]) continue;
        buf_printf(&text, "%s  \"%s\": ", text.n > 2 ? ",\n" : "", KEYS[i]);
        json_put_string(&text, str(values[i]));
    }
    buf_puts(&text, "\n}\n");
    char *path = path_join(folder, "template.json");
    bool ok = file_write(path, text.s, text.n, err);
    free(path);
    buf_free(&text);
    return ok;
}

/* ---- templates in Jinja, told by their marks ---- */

/* Writes a Jinja template so that spellings which mean the same look the same. Inside its tags
 * blanks go, double quotes become single ones, message['role'] becomes message.role, and
 * 'a' + 'b' becomes 'ab'. Inside quotes \n becomes a line break. What stands outside of tags is
 * kept. */
static void put_plain_jinja(Buf *b, Str s) {
    char quote = 0, tag = 0; /* tag: what follows its { */
    for (size_t i = 0; i < s.n; i++) {
        char c = s.s[i], next = i + 1 < s.n ? s.s[i + 1] : 0;
        if (c == '\r' && next == '\n') continue; /* Jinja reads it as a line break alone */
        if (quote) {
            bool escape = c == '\\' && next != 0;
            if (escape && next == 'n') buf_putc(b, '\n');
            else if (escape) buf_put(b, s.s + i, 2);
            else buf_putc(b, c == quote ? '\'' : c);
            i += escape;
            if (!escape && c == quote) quote = 0;
        } else if (!tag) {
            if (c == '{' && (next == '{' || next == '%' || next == '#')) tag = next;
            if (tag != '#') buf_putc(b, c);
        } else if (tag == '#') { /* a comment */
            if (c != '#' || next != '}') continue;
            tag = 0;
            i += i + 2 < s.n && s.s[i + 2] == '\n' ? 2 : 1; /* and its line break */
        } else if (c == '\'' || c == '"') {
            quote = c;
            if (b->n >= 2 && memcmp(b->s + b->n - 2, "'+", 2) == 0) b->n -= 2;
            else buf_putc(b, '\'');
        } else if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
            if (c == '}' && b->n > 0 && memchr("}%", b->s[b->n - 1], 2)) tag = 0;
            buf_putc(b, c);
        }
    }
}

/* Replaces ['word'] by .word. */
static void plain_members(Buf *b) {
    size_t to = 0;
    for (size_t i = 0; i < b->n; i++) {
        size_t end = i + 2;
        while (end < b->n && b->s[end] >= 'a' && b->s[end] <= 'z') end++;
        bool member = i + 2 < b->n && memcmp(b->s + i, "['", 2) == 0 && end > i + 2 &&
                      end + 1 < b->n && memcmp(b->s + end, "']", 2) == 0;
        if (!member) {
            b->s[to++] = b->s[i];
            continue;
        }
        b->s[to++] = '.';
        memmove(b->s + to, b->s + i + 2, end - i - 2);
        to += end - i - 2;
        i = end + 1;
    }
    b->n = to;
    if (b->s) b->s[to] = 0;
}

enum { LACKS = 4 };

/* Marks are spelled as put_plain_jinja does. All of `has` must be there, none of `lacks`. */
static const struct {
    const char *name;
    const char *has[4], *lacks[LACKS];
} MARKS[] = {
    {"qwen3",
     {"content+'<|im_end|>\n'",
      "'<|im_start|>'+message.role+'\n<think>\n'+reasoning_content.strip('\n')+'\n</think>\n\n'+"
      "content.lstrip('\n')",
      "'<|im_start|>assistant\n'", "'<think>\n\n</think>\n\n'"},
     {"assistant\n<think>\n'", "bos_token"}},
    {"chatml",
     {"'<|im_start|>'+message.role+'\n'+message.content+'<|im_end|>\n'",
      "'<|im_start|>assistant\n'"},
     {"<think>", "|trim", "strip(", "bos_token"}},
    {"chatml", /* Qwen3's without a thought */
     {"'<|im_start|>'+message.role+'\n'+content+'<|im_end|>\n'",
      "'<|im_start|>'+message.role+'\n'+content}}", "'<|im_start|>assistant\n'"},
     {"<think>", "|trim", "strip(", "bos_token"}},
    {"llama3.2",
     {"'<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content|trim+"
      "'<|eot_id|>'",
      "Cutting Knowledge Date: December 2023\n", "'Today Date: '", "bos_token"},
     {NULL}},
    {"llama3",
     {"'<|start_header_id|>'+message.role+'<|end_header_id|>\n\n'+message.content|trim+"
      "'<|eot_id|>'",
      "bos_token"},
     {"Cutting", "Today"}},
    {"zephyr",
     {"'<|user|>\n'+message.content+eos_token", "'<|system|>\n'+message.content+eos_token",
      "'<|assistant|>\n'+message.content+eos_token", "'<|assistant|>'"},
     {"|trim", "strip(", "bos_token"}}};

static bool contains(Str s, const char *what) {
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.s + i, what, n) == 0) return true;
    return false;
}

static bool fits_marks(size_t row, Str plain) {
    bool fits = true;
    for (int i = 0; i < 4 && MARKS[row].has[i]; i++) fits &= contains(plain, MARKS[row].has[i]);
    for (int i = 0; i < LACKS && MARKS[row].lacks[i]; i++)
        fits &= !contains(plain, MARKS[row].lacks[i]);
    return fits;
}

/* The system turn that ChatML has for conversations without one: a text between its marks that is
 * one string of the template. {NULL, 0} without one. False: there is only one that goes on after
 * the string, or has a quotation mark. */
static bool default_system(Str plain, Str *system) {
    static const char from[] = "<|im_start|>system\n", to[] = "<|im_end|>";
    bool ok = true;
    for (size_t i = 0; i + sizeof from - 1 <= plain.n; i++) {
        if (memcmp(plain.s + i, from, sizeof from - 1) != 0) continue;
        Str rest = {plain.s + i + sizeof from - 1, plain.n - i - (sizeof from - 1)};
        size_t n = 0;
        while (n < rest.n && !memchr("'\\{", rest.s[n], 3) &&
               (rest.n - n < sizeof to - 1 || memcmp(rest.s + n, to, sizeof to - 1) != 0))
            n++;
        if (n > 0 && n < rest.n && rest.s[n] == '<') {
            *system = (Str){rest.s, n};
            return true;
        }
        ok &= n == 0;
    }
    return ok;
}

/* ---- what a template writes beside its marks ---- */

/* A tag of a template, and the text before it as it is written. */
typedef struct {
    Str before, text;
    bool writes; /* {{ }}, not {% %} */
    bool cuts;   /* the white space after it */
} Tag;

/* What is written of the text between two tags, as transformers sets Jinja: the line break after
 * {% %} goes (trim_blocks), and blanks before it at the start of a line (lstrip_blocks); a dash
 * takes all white space on its side. Before the first tag *last is all zeros, and then it takes
 * nothing. */
static Str written(Str s, const Tag *last, bool starts_line, bool block, bool cut) {
    bool at_line = starts_line;
    if (last->cuts)
        while (s.n > 0 && memchr(" \t\n", s.s[0], 3)) s = (Str){s.s + 1, s.n - 1};
    else if (last->text.s && !last->writes && s.n > 0 && s.s[0] == '\n') {
        s = (Str){s.s + 1, s.n - 1};
        at_line = true;
    }
    size_t n = s.n;
    while (n > 0 && memchr(" \t", s.s[n - 1], 2)) n--;
    if (block && (n > 0 ? s.s[n - 1] == '\n' : at_line)) s.n = n;
    while (cut && s.n > 0 && memchr(" \t\n", s.s[s.n - 1], 3)) s.n--;
    return s;
}

/* The next tag from *at on, which moves behind it; false at the end, where `before` is the rest.
 * *tag is the one before, and at first all zeros. */
static bool next_tag(Str plain, size_t *at, Tag *tag) {
    size_t open = *at, n = plain.n;
    bool quoted = false;
    while (open + 1 < n && !(plain.s[open] == '{' && memchr("{%", plain.s[open + 1], 2))) open++;
    bool found = open + 1 < n;
    tag->before = written((Str){plain.s + *at, (found ? open : n) - *at}, tag, *at == 0,
                          found && plain.s[open + 1] == '%',
                          found && open + 2 < n && plain.s[open + 2] == '-');
    if (!found) return false;
    size_t end = open + 2;
    for (; end + 1 < n; end++) {
        if (plain.s[end] == '\'') quoted = !quoted;
        else if (!quoted && plain.s[end + 1] == '}' && memchr("}%", plain.s[end], 2)) break;
    }
    tag->writes = plain.s[open + 1] == '{';
    open += open + 2 < n && plain.s[open + 2] == '-' ? 3 : 2; /* {%- cuts the text before it */
    tag->text = (Str){plain.s + open, end > open ? end - open : 0};
    tag->cuts = end < n && end > open && plain.s[end - 1] == '-';
    *at = end + 2 < n ? end + 2 : n;
    return true;
}

static bool starts(Str s, const char *what) {
    size_t n = strlen(what);
    return s.n >= n && memcmp(s.s, what, n) == 0;
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.';
}

/* Does the variable stand in the text, as a word? */
static bool has_word(Str text, Str name) {
    for (size_t i = 0; i + name.n <= text.n; i++) {
        size_t end = i + name.n;
        if (memcmp(text.s + i, name.s, name.n) == 0 && (i == 0 || !is_name(text.s[i - 1])) &&
            (end == text.n || !is_name(text.s[end])))
            return true;
    }
    return false;
}

/* {% set NAME = 'a text' %}: the name, if that text is not empty. */
static Str set_to_text(const Tag *tag) {
    Str s = tag->text;
    if (tag->writes || !starts(s, "set")) return (Str){NULL, 0};
    Str name = {s.s + 3, 0};
    while (name.n + 3 < s.n && is_name(name.s[name.n])) name.n++;
    const char *rest = name.s + name.n, *end = s.s + s.n;
    while (end > rest && end[-1] == '-') end--;
    bool is = end - rest >= 4 && rest[0] == '=' && rest[1] == '\'' && end[-1] == '\'' &&
              !memchr(rest + 2, '\'', (size_t)(end - rest) - 3);
    return is ? name : (Str){NULL, 0};
}

/* Is that variable written? Llama 3.2's date is, and is known. */
static bool writes_variable(Str plain, Str name) {
    Tag tag = {0};
    for (size_t at = 0; next_tag(plain, &at, &tag);)
        if (tag.writes && has_word(tag.text, name) && !str_is(name, "date_string")) return true;
    return false;
}

/* Is text between tags written that should not be? ChatML's default system turn may be. Zephyr ends
 * its turns, and what comes before an answer, with a line break there. `last`: the tag before. */
static bool is_text(Str s, const Tag *last, bool zephyr) {
    const char *line = starts(last->text, "'<|assistant|>'") ? "'<|assistant|>'" : "eos_token";
    bool ends = zephyr && last->writes && contains(last->text, line);
    if (ends && !contains(last->text, "+'\n'")) return s.n != 1 || s.s[0] != '\n';
    return s.n > 0 && !starts(s, "<|im_start|>system\n");
}

/* Does something other than `wanted` follow `what`, somewhere in the text? */
static bool goes_on(Str plain, const char *what, const char *wanted) {
    size_t n = strlen(what);
    for (size_t i = 0; i + n <= plain.n; i++)
        if (memcmp(plain.s + i, what, n) == 0 &&
            !starts((Str){plain.s + i + n, plain.n - i - n}, wanted))
            return true;
    return false;
}

/* Are conversations with a system turn written without it? */
static bool drops_system(Str plain, bool has_default) {
    bool written = contains(plain, "<|im_start|>system\n") || contains(plain, "<|system|>\n") ||
                   contains(plain, "system<|end_header_id|>");
    if (contains(plain, "messages[1:]") && !written) return true;
    bool others = contains(plain, "else%}") || contains(plain, "else-%}");
    if (contains(plain, "message.role=='user'") && !contains(plain, "system") && !others)
        return true;
    return contains(plain, "message.role!='system'") && !has_default;
}

/* Does a template whose marks are those of `name` write what the marks do not show: another text, a
 * default system turn, a first token, no line breaks, no system turns? Then its rows are others. */
static bool writes_more(const char *name, Str plain, bool has_default) {
    const char *opens =
        strcmp(name, "chatml") == 0 || strcmp(name, "qwen3") == 0 ? "'<|im_start|>" : "'<|";
    bool zephyr = strcmp(name, "zephyr") == 0, first = true, more = true;
    bool plainest = strcmp(name, "chatml") == 0 && !contains(plain, "tool");
    size_t at = 0;
    Tag tag = {0};
    while (more) {
        Tag last = tag;
        more = next_tag(plain, &at, &tag);
        if (is_text(tag.before, &last, zephyr)) return true;
        if (!more) break;
        if (tag.writes && first && starts(tag.text, "'") && !starts(tag.text, opens)) return true;
        if (tag.writes && plainest && starts(tag.text, "'") && !starts(tag.text, "'<|im_"))
            return true;
        first &= !tag.writes;
        Str variable = set_to_text(&tag);
        if (variable.n > 0 && writes_variable(plain, variable)) return true;
    }
    return contains(plain, "'role':'system'") || contains(plain, "|default('") ||
           contains(plain, "messages[-1:]") || (!zephyr && contains(plain, "eos_token")) ||
           goes_on(plain, "system<|end_header_id|>\n\n", "'") ||
           goes_on(plain, "<|system|>\n", "'") || drops_system(plain, has_default);
}

/* Is it what template_chat writes of a named template? */
static bool is_our_own(const char *name, const Tokenizer *t, Str jinja) {
    Template own;
    Error none = {0};
    Buf ours = {0};
    if (!template_named(&own, name, (Str){NULL, 0}, t, &none)) return false;
    template_chat(&own, &ours);
    bool same = str_equal((Str){ours.s, ours.n}, jinja);
    template_free(&own);
    buf_free(&ours);
    return same;
}

bool template_recognize(Template *template, const Tokenizer *t, Str jinja, Error *err) {
    Buf plain = {0};
    const char *name = NULL;
    *template = (Template){0};
    buf_puts(&plain, "");
    put_plain_jinja(&plain, jinja);
    plain_members(&plain);
    Str text = {plain.s, plain.n}, system = {NULL, 0};
    for (size_t i = 0; i < sizeof MARKS / sizeof *MARKS && !name; i++)
        if (fits_marks(i, text)) name = MARKS[i].name;
    if (name && strcmp(name, "chatml") == 0 && !default_system(text, &system)) name = NULL;
    if (name && writes_more(name, text, system.n > 0)) name = NULL;
    for (int i = 0; i < TEMPLATE_COUNT && !name; i++)
        if (is_our_own(TEMPLATES[i].name, t, jinja)) name = TEMPLATES[i].name;
    bool ok = name ? template_named(template, name, system, t, err)
                   : error_set(err, STATUS_DATA,
                               "the chat template is none that is known (docs/formats.md, "
                               "Templates); say what it is with --template NAME or --template "
                               "FILE, or add a template.json");
    buf_free(&plain);
    return ok;
}

/* Takes a template in Jinja that stands at `where`, and notes what for. */
static bool take_jinja(Template *template, const Tokenizer *t, Str jinja, const char *where,
                       Buf *note, Error *err) {
    Error why = {0};
    if (!template_recognize(template, t, jinja, &why))
        return error_set(err, why.status, "%s: %s", where, why.text);
    if (note)
        buf_printf(note, "%s: taken for the template \"%s\"%s by its marks; it is not run", where,
                   template->name, template->system ? " with its system turn" : "");
    return true;
}

/* The text of a chat_template: a string, or the one that is named default of a list of {"name",
 * "template"} or of an object {name: template}. NULL: it has none. */
static const Json *chat_template_of(const Json *v) {
    const Json *found = json_get(v, "default");
    if (v->type == JSON_STRING) return v;
    for (int i = 0; v->type == JSON_ARRAY && i < v->count; i++) {
        const Json *name = json_get(&v->items[i], "name");
        const Json *text = json_get(&v->items[i], "template");
        if (name && name->type == JSON_STRING && str_is(name->string, "default") && text &&
            text->type == JSON_STRING)
            found = text;
    }
    return found && found->type == JSON_STRING ? found : NULL;
}

static bool read_jinja(Template *template, const Tokenizer *t, const char *path, Buf *note,
                       Error *err) {
    Buf text = {0};
    bool ok = file_read_most(path, CONFIG_MOST.bytes, &text, err) &&
              take_jinja(template, t, (Str){text.s, text.n}, path, note, err);
    buf_free(&text);
    return ok;
}

/* Takes the folder's chat template, if it has one. *found says whether. */
static bool read_chat(Template *template, const Tokenizer *t, const char *folder, bool *found,
                      Buf *note, Error *err) {
    Arena arena = {0};
    Buf text = {0}, where = {0};
    char *jinja = path_join(folder, "chat_template.jinja");
    char *config = path_join(folder, "tokenizer_config.json");
    bool ok = true, has_config = !file_exists(jinja) && file_exists(config);
    *found = file_exists(jinja);
    if (*found) ok = read_jinja(template, t, jinja, note, err);
    const Json *root =
        has_config ? json_read_object(config, TOKEN_LIST_MOST, &arena, &text, err) : NULL;
    if (has_config && !root) ok = false;
    const Json *v = json_get(root, "chat_template");
    if (v && v->type != JSON_NULL) {
        const Json *one = chat_template_of(v);
        *found = true;
        buf_printf(&where, "%s: chat_template", config);
        ok = one ? take_jinja(template, t, one->string, where.s, note, err)
                 : error_set(err, STATUS_DATA, "%s is no text, and none in it is named default; %s",
                             where.s, "give a template with --template FILE or NAME");
    }
    arena_free(&arena);
    buf_free(&text);
    buf_free(&where);
    free(jinja);
    free(config);
    return ok;
}

/* The template of a folder that says nothing of one. Its strings are saved, and not its name. */
static bool take_plain(Template *template, const Tokenizer *t, const char *path, Error *err) {
    static const char end[] = "<|endoftext|>";
    Error none = {0};
    if (tokenizer_special(t, end) >= 0) {
        *template = (Template){.bos = new_string(str("")),
                               .prompt_prefix = new_string(str("")),
                               .answer_prefix = new_string(str("\n")),
                               .example_end = new_string(str(end))};
        return true;
    }
    if (!template_named(template, "plain", (Str){NULL, 0}, t, &none))
        return error_set(
            err, STATUS_DATA,
            "%s: is not there, and the tokenizer has no <|endoftext|> and names no eos "
            "to do without: add a template.json with bos, prompt_prefix, "
            "answer_prefix, example_end, or say --template FILE or NAME",
            path);
    free((char *)template->name);
    template->name = NULL;
    return true;
}

bool template_load(Template *template, const Tokenizer *t, const char *folder, Buf *note,
                   Error *err) {
    *template = (Template){0};
    char *path = path_join(folder, "template.json");
    bool found = file_exists(path);
    bool ok = found ? read_file(template, t, path, err)
                    : read_chat(template, t, folder, &found, note, err);
    if (ok && !found) ok = take_plain(template, t, path, err);
    free(path);
    return ok;
}

bool template_choose(Template *template, const Tokenizer *t, const char *what, Buf *note,
                     Error *err) {
    size_t n = strlen(what);
    *template = (Template){0};
    for (int i = 0; i < TEMPLATE_COUNT; i++)
        if (strcmp(TEMPLATES[i].name, what) == 0)
            return template_named(template, what, (Str){NULL, 0}, t, err);
    if (!file_exists(what)) return template_named(template, what, (Str){NULL, 0}, t, err);
    if (n > 6 && strcmp(what + n - 6, ".jinja") == 0)
        return read_jinja(template, t, what, note, err);
    return read_file(template, t, what, err);
}

/* ---- writing Jinja ---- */

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

/* The system turn before all messages. */
static void put_system(Buf *b, const Template *template, const char *content) {
    buf_printf(b, "{%% if messages and messages[0]['role'] == 'system' %%}{{ ");
    put_literal(b, str(template->system_prefix));
    buf_printf(b, " + messages[0]%s + ", content);
    put_literal(b, str(template->system_end));
    buf_puts(b, " }}");
    if (template->system) {
        Buf turn = {0};
        buf_printf(&turn, "%s%s%s", template->system_prefix, template->system,
                   template->system_end);
        buf_puts(b, "{% else %}{{ ");
        put_literal(b, str(turn.s));
        buf_puts(b, " }}");
        buf_free(&turn);
    }
    buf_puts(b, "{% endif %}");
}

/* An answer of a template that thinks, and where the last turn begins. */
static const char LAST_TURN[] =
    "{% set ns = namespace(last=-1) %}{% for m in messages %}{% if m['role'] == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}";
static const char THINKING[] =
    "{% set c = m['content'] %}{% set r = '' %}{% if '</think>' in c %}"
    "{% set r = c.split('</think>')[0].rstrip('\\n').split('<think>')[-1].strip('\\n') %}"
    "{% set c = c.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "{% if loop.index0 > ns.last %}{{ '<think>\\n' + r + '\\n</think>\\n\\n' + c.lstrip('\\n') }}"
    "{% else %}{{ c }}{% endif %}{{ ";
static const char NOT_THINKING[] =
    "{% if loop.last and enable_thinking is defined and enable_thinking is false %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}";

/* The answer, and what follows it. */
static void put_answer(Buf *b, const Template *template, Str blank, const char *content) {
    Buf end = {0};
    buf_printf(&end, "%s%s", template->example_end, template->between ? template->between : "");
    if (template->thinks) buf_puts(b, THINKING);
    else {
        buf_puts(b, "{{ ");
        put_literal(b, blank);
        buf_printf(b, " + m%s + ", content);
    }
    put_literal(b, str(end.s));
    buf_puts(b, " }}{% else %}{{ raise_exception('");
    buf_puts(b, template->system_prefix ? "roles are user and assistant, after a system message"
                                        : "roles are system, user, assistant");
    buf_puts(b, "') }}{% endif %}{% endfor %}");
    buf_free(&end);
}

/* Literals, so that no white space of the template's own gets into the text. */
void template_chat(const Template *template, Buf *jinja) {
    Str answer_prefix = str(template->answer_prefix), blank = {"", 0};
    bool turn = template->system_prefix != NULL;
    const char *content = template->trims ? "['content'] | trim" : "['content']";
    if (answer_prefix.n > 0 && answer_prefix.s[answer_prefix.n - 1] == ' ') {
        answer_prefix.n--; /* it goes with the answer */
        blank = str(" ");
    }
    buf_puts(jinja, "{{ ");
    put_literal(jinja, str(template->bos));
    buf_puts(jinja, " }}");
    if (template->thinks) buf_puts(jinja, LAST_TURN);
    if (turn) put_system(jinja, template, content);
    buf_puts(jinja, turn ? "{% for m in messages %}{% if m['role'] == 'system' and loop.first %}"
                         : "{% set ns = namespace(before='') %}{% for m in messages %}"
                           "{% if m['role'] == 'system' %}"
                           "{% set ns.before = m['content'] + '\\n' if m['content'] else '' %}");
    buf_puts(jinja, "{% elif m['role'] == 'user' %}{{ ");
    put_literal(jinja, str(template->prompt_prefix));
    if (turn) buf_printf(jinja, " + m%s }}", content);
    else buf_puts(jinja, " + ns.before + m['content'] }}{% set ns.before = '' %}");
    buf_puts(jinja, "{% if not loop.last or add_generation_prompt %}{{ ");
    put_literal(jinja, answer_prefix);
    buf_puts(jinja, " }}");
    if (template->thinks) buf_puts(jinja, NOT_THINKING);
    buf_puts(jinja, "{% endif %}{% elif m['role'] == 'assistant' %}");
    put_answer(jinja, template, blank, content);
}
