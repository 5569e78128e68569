/* Records from the forms of JSON that people use. A form is one row of FORMS and its reader. */
#include "data/records.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/unicode.h"

/* What one load works with. Parsed JSON lives in `scratch`, which is emptied now and then. What a
 * record keeps is copied into the dataset's arena. */
typedef struct {
    const char *path;
    long line; /* where the current record starts */
    Dataset *d;
    int room; /* how many records d->records has room for */
    Arena scratch;
    size_t scratch_text; /* bytes of text parsed into it */
    Error *err;
} RecordReader;

typedef enum { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT } Role;
typedef struct {
    Role role;
    Str content;
} Message;
typedef struct {
    Message *v;
    int n;
} Messages;

static const char *const ROLE_NAMES[] = {
    [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant"};

/* Fails with a message about the current record. */

static bool refuse(const RecordReader *r, const char *format, ...) PRINTF_LIKE(2, 3);
static bool refuse(const RecordReader *r, const char *format, ...) {
    char what[768];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_set(r->err, STATUS_DATA, "%s:%ld: %s", r->path, r->line, what);
}

/* ---- values ---- */

/* A member, or NULL if it is absent or null. Tables of several sources write null where a record
 * has no such column. */
static const Json *find(const Json *object, const char *key) {
    const Json *v = json_get(object, key);
    return v && v->type != JSON_NULL ? v : NULL;
}

static const char *type_name(const Json *v) {
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "a list",        "an object"};
    return names[v->type];
}

static bool read_text(const RecordReader *r, const Json *v, const char *name, Str *out) {
    if (v->type != JSON_STRING)
        return refuse(r, "\"%s\" is %s; it must be a string", name, type_name(v));
    if (v->string.n == 0)
        return refuse(r, "\"%s\" is empty; fill it in or remove the record", name);
    *out = v->string;
    return true;
}

static Str keep(const RecordReader *r, Str s) { return str_copy(&r->d->arena, s); }

/* Joins a and b with a line break. */
static Str join(Arena *arena, Str a, Str b) {
    char *s = arena_new(arena, a.n + b.n + 2, 1);
    memcpy(s, a.s, a.n);
    s[a.n] = '\n';
    memcpy(s + a.n + 1, b.s, b.n);
    return (Str){s, a.n + b.n + 1};
}

/* ---- messages ---- */

static bool read_role(Str name, Role *role) {
    if (str_is(name, "system")) *role = ROLE_SYSTEM;
    else if (str_is(name, "user") || str_is(name, "human")) *role = ROLE_USER;
    else if (str_is(name, "assistant") || str_is(name, "gpt")) *role = ROLE_ASSISTANT;
    else return false;
    return true;
}

/* Reads one message with the keys role and content, or from and value. */
static bool read_message(const RecordReader *r, const Json *v, const char *name, int number,
                         Message *out) {
    const Json *role = find(v, "role"), *content = find(v, "content");
    if (!role) role = find(v, "from");
    if (!content) content = find(v, "value");
    if (!role || role->type != JSON_STRING || !content || content->type != JSON_STRING)
        return refuse(
            r, "\"%s\", message %d: must be an object with the strings \"role\" and \"content\"",
            name, number);
    if (!read_role(role->string, &out->role))
        return refuse(r,
                      "\"%s\", message %d: unknown role \"%.40s\"; use system, user or assistant",
                      name, number, role->string.s);
    if (content->string.n == 0 && out->role != ROLE_SYSTEM)
        return refuse(r, "\"%s\", message %d: is empty; fill it in or remove the record", name,
                      number);
    out->content = content->string;
    return true;
}

static bool read_messages(RecordReader *r, const Json *v, const char *name, Messages *out) {
    if (v->type != JSON_ARRAY)
        return refuse(r, "\"%s\" is %s; it must be a list of messages", name, type_name(v));
    if (v->count == 0)
        return refuse(r, "\"%s\" is an empty list; fill it in or remove the record", name);
    out->n = v->count;
    out->v = arena_new(&r->scratch, (size_t)v->count, sizeof *out->v);
    for (int i = 0; i < v->count; i++)
        if (!read_message(r, &v->items[i], name, i + 1, &out->v[i])) return false;
    return true;
}

/* Checks that an optional system message comes first, then user and assistant in turn, up to
 * `last`. */
static bool check_order(const RecordReader *r, Messages m, const char *name, Role last) {
    int first = m.n > 0 && m.v[0].role == ROLE_SYSTEM ? 1 : 0;
    for (int i = first; i < m.n; i++) {
        Role wanted = (i - first) % 2 == 0 ? ROLE_USER : ROLE_ASSISTANT;
        if (m.v[i].role != wanted)
            return refuse(r,
                          "\"%s\", message %d: is from the %s, not the %s; after an optional "
                          "system message, user and "
                          "assistant must alternate",
                          name, i + 1, ROLE_NAMES[m.v[i].role], ROLE_NAMES[wanted]);
    }
    if (m.n == first || m.v[m.n - 1].role != last)
        return refuse(r, "\"%s\" must end with a message from the %s", name, ROLE_NAMES[last]);
    return true;
}

static bool same_message(const Message *a, const Message *b) {
    return a->role == b->role && str_equal(a->content, b->content);
}

/* The number of messages that two lists share at their start, at most `limit`. */
static int common_messages(Messages a, Messages b, int limit) {
    int n = 0;
    while (n < limit && n < a.n && n < b.n && same_message(&a.v[n], &b.v[n])) n++;
    return n;
}

/* Makes one prompt of several messages, with a line break between them. */
static Str flatten(RecordReader *r, Messages m) {
    Str text = {0};
    for (int i = 0; i < m.n; i++) {
        if (m.v[i].content.n == 0) continue; /* only a system message may be empty */
        text = text.n ? join(&r->scratch, text, m.v[i].content) : m.v[i].content;
    }
    return text;
}

/* ---- the forms ---- */

static bool read_turns(RecordReader *r, const Json *v, const char *name, Record *record) {
    Messages m = {0};
    if (!read_messages(r, v, name, &m) || !check_order(r, m, name, ROLE_ASSISTANT)) return false;
    int first = m.n % 2; /* an odd number of messages starts with a system message */
    record->kind = RECORD_TURNS;
    record->n_turns = m.n / 2;
    record->turns = arena_new(&r->d->arena, (size_t)record->n_turns, sizeof *record->turns);
    for (int i = 0; i < record->n_turns; i++) {
        Str prompt = m.v[first + 2 * i].content;
        if (i == 0) prompt = flatten(r, (Messages){m.v, first + 1});
        record->turns[i] = (Turn){keep(r, prompt), keep(r, m.v[first + 2 * i + 1].content)};
    }
    return true;
}

/* Reads Alpaca's prompt: the instruction, and the input, if any, on the next line. */
static bool read_instruction(RecordReader *r, const Json *object, Str *out) {
    const Json *input = find(object, "input");
    if (!read_text(r, find(object, "instruction"), "instruction", out)) return false;
    if (!input) return true;
    if (input->type != JSON_STRING)
        return refuse(r, "\"input\" is %s; it must be a string", type_name(input));
    if (input->string.n > 0) *out = join(&r->scratch, *out, input->string);
    return true;
}

/* Reads the prompt of an answer as messages. A list must end with a message from the user. A text
 * is one message from the user. */
static bool read_prompt(RecordReader *r, const Json *object, const char *key, Messages *out) {
    const Json *prompt = find(object, key);
    if (strcmp(key, "prompt") == 0 && prompt->type == JSON_ARRAY)
        return read_messages(r, prompt, key, out) && check_order(r, *out, key, ROLE_USER);
    *out = (Messages){arena_new(&r->scratch, 1, sizeof *out->v), 1};
    out->v[0].role = ROLE_USER;
    if (strcmp(key, "instruction") == 0) return read_instruction(r, object, &out->v[0].content);
    return read_text(r, prompt, key, &out->v[0].content);
}

/* Reads the assistant's one message after the first `skip` messages. */
static bool last_answer(const RecordReader *r, Messages m, int skip, const char *name, Str *out) {
    if (m.n != skip + 1 || m.v[skip].role != ROLE_ASSISTANT)
        return refuse(r,
                      "\"%s\" must have one message from the assistant, with at most the prompt's "
                      "messages before it",
                      name);
    *out = m.v[skip].content;
    return true;
}

static bool read_answer(RecordReader *r, const Json *v, const char *name, Messages prompt,
                        Str *out) {
    Messages m = {0};
    if (v->type != JSON_ARRAY) return read_text(r, v, name, out);
    if (!read_messages(r, v, name, &m)) return false;
    bool repeats = common_messages(m, prompt, prompt.n) == prompt.n;
    return last_answer(r, m, repeats ? prompt.n : 0, name, out);
}

/* The length of the prompt that two dialogues share. It ends after the last answer marker that both
 * have at the same place, else after the last white space that they share, if both continue from
 * there. Cutting at the first difference would cut inside the answers, which often start alike. */
static size_t shared_prompt(Str a, Str b) {
    static const char marker[] = "\n\nAssistant: ";
    const size_t m = sizeof marker - 1;
    size_t shorter = a.n < b.n ? a.n : b.n, common = 0;
    while (common < shorter && a.s[common] == b.s[common]) common++;
    for (size_t end = common; end >= m; end--)
        if (memcmp(a.s + end - m, marker, m) == 0) return end;
    if (common == shorter) common--;
    while (common > 0 && !memchr(" \t\r\n", a.s[common - 1], 4)) common--;
    return common;
}

static bool split_texts(const RecordReader *r, const Json *chosen, const Json *rejected,
                        Record *record) {
    Str a = {0}, b = {0};
    if (!read_text(r, chosen, "chosen", &a) || !read_text(r, rejected, "rejected", &b))
        return false;
    size_t cut = shared_prompt(a, b);
    if (cut == 0)
        return refuse(
            r, "\"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\"");
    if (cut == a.n || cut == b.n)
        return refuse(
            r, "\"%s\" has an empty answer after the prompt; fill it in or remove the record",
            cut == a.n ? "chosen" : "rejected");
    record->prompt = keep(r, (Str){a.s, cut});
    record->chosen = keep(r, (Str){a.s + cut, a.n - cut});
    record->rejected = keep(r, (Str){b.s + cut, b.n - cut});
    return true;
}

static bool split_messages(RecordReader *r, const Json *chosen, const Json *rejected,
                           Record *record) {
    Messages a = {0}, b = {0};
    Str good = {0}, bad = {0};
    if (!read_messages(r, chosen, "chosen", &a) || !read_messages(r, rejected, "rejected", &b))
        return false;
    int n =
        common_messages(a, b, (a.n < b.n ? a.n : b.n) - 1); /* equal answers are still answers */
    if (n == 0)
        return refuse(
            r, "\"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\"");
    if (!check_order(r, (Messages){a.v, n}, "chosen", ROLE_USER)) return false;
    if (!last_answer(r, a, n, "chosen", &good) || !last_answer(r, b, n, "rejected", &bad))
        return false;
    record->prompt = keep(r, flatten(r, (Messages){a.v, n}));
    record->chosen = keep(r, good);
    record->rejected = keep(r, bad);
    return true;
}

static bool read_pair(RecordReader *r, const Json *object, Record *record) {
    const Json *chosen = find(object, "chosen"), *rejected = find(object, "rejected");
    const char *key = find(object, "prompt")        ? "prompt"
                      : find(object, "instruction") ? "instruction"
                                                    : "question";
    Messages prompt = {0};
    Str good = {0}, bad = {0};
    record->kind = RECORD_PAIR;
    if (!find(object, key)) { /* both answers contain the prompt */
        if (chosen->type != JSON_ARRAY && rejected->type != JSON_ARRAY)
            return split_texts(r, chosen, rejected, record);
        return split_messages(r, chosen, rejected, record);
    }
    if (!read_prompt(r, object, key, &prompt)) return false;
    if (!read_answer(r, chosen, "chosen", prompt, &good) ||
        !read_answer(r, rejected, "rejected", prompt, &bad))
        return false;
    record->prompt = keep(r, flatten(r, prompt));
    record->chosen = keep(r, good);
    record->rejected = keep(r, bad);
    return true;
}

/* Reads a prompt and its completion, which are under the given keys. */
static bool read_completion(RecordReader *r, const Json *object, const char *prompt_key,
                            const char *key, Record *record) {
    Messages prompt = {0};
    Str answer = {0};
    if (!read_prompt(r, object, prompt_key, &prompt) ||
        !read_answer(r, find(object, key), key, prompt, &answer))
        return false;
    record->kind = RECORD_TURNS;
    record->n_turns = 1;
    record->turns = arena_new(&r->d->arena, 1, sizeof *record->turns);
    record->turns[0] = (Turn){keep(r, flatten(r, prompt)), keep(r, answer)};
    return true;
}

static bool read_ints(const RecordReader *r, const Json *v, const char *name, int ignored,
                      int **out) {
    if (v->type != JSON_ARRAY)
        return refuse(r, "\"%s\" is %s; it must be a list of integers", name, type_name(v));
    *out = arena_new(&r->d->arena, (size_t)v->count, sizeof **out);
    for (int i = 0; i < v->count; i++) {
        const Json *item = &v->items[i];
        bool fits = item->is_integer && item->number <= INT_MAX &&
                    (item->number >= 0 || item->number == ignored);
        if (!fits)
            return refuse(r, "\"%s\", item %d: must be an integer of at least 0%s", name, i + 1,
                          ignored < 0 ? ", or -100 for a token without loss" : "");
        (*out)[i] = (int)item->number;
    }
    return true;
}

static bool read_ids(RecordReader *r, const Json *object, Record *record) {
    const Json *ids = find(object, "input_ids"), *labels = find(object, "labels");
    record->kind = RECORD_IDS;
    if (!read_ints(r, ids, "input_ids", 0, &record->input_ids)) return false;
    if (ids->count == 0)
        return refuse(r, "\"input_ids\" is empty; fill it in or remove the record");
    record->n_ids = ids->count;
    if (!labels) return true;
    if (!read_ints(r, labels, "labels", -100, &record->labels)) return false;
    if (labels->count != ids->count)
        return refuse(r, "\"labels\" has %d items and \"input_ids\" %d; both need the same length",
                      labels->count, ids->count);
    return true;
}

static bool read_prompt_completion(RecordReader *r, const Json *o, Record *record) {
    return read_completion(r, o, "prompt", "completion", record);
}

static bool read_alpaca(RecordReader *r, const Json *o, Record *record) {
    return read_completion(r, o, "instruction", "output", record);
}

static bool read_question(RecordReader *r, const Json *o, Record *record) {
    return read_completion(r, o, "question", "answer", record);
}

static bool read_chat(RecordReader *r, const Json *o, Record *record) {
    return read_turns(r, find(o, "messages"), "messages", record);
}

static bool read_sharegpt(RecordReader *r, const Json *o, Record *record) {
    return read_turns(r, find(o, "conversations"), "conversations", record);
}

static bool read_plain(RecordReader *r, const Json *o, Record *record) {
    Str text = {0};
    record->kind = RECORD_TEXT;
    if (!read_text(r, find(o, "text"), "text", &text)) return false;
    record->text = keep(r, text);
    return true;
}

/* The forms. If a record has the keys of several, the first row wins, so the most explicit ones are
 * first: a dataset of pairs may carry messages as well. */
static const struct {
    const char *keys[2]; /* both must be there; the second may be NULL */
    bool (*read)(RecordReader *r, const Json *object, Record *record);
    const char *name; /* in messages */
} FORMS[] = {
    {{"input_ids", NULL}, read_ids, "input_ids"},
    {{"chosen", "rejected"}, read_pair, "prompt/chosen/rejected"},
    {{"prompt", "completion"}, read_prompt_completion, "prompt/completion"},
    {{"messages", NULL}, read_chat, "messages"},
    {{"conversations", NULL}, read_sharegpt, "conversations"},
    {{"instruction", "output"}, read_alpaca, "instruction/output"},
    {{"question", "answer"}, read_question, "question/answer"},
    {{"text", NULL}, read_plain, "text"},
};
enum { FORM_COUNT = sizeof FORMS / sizeof *FORMS };

/* Fails with the keys of a record that has no known form. */
static bool refuse_form(const RecordReader *r, const Json *object) {
    Buf keys = {0}, forms = {0};
    /* A NUL, or a cut inside a character, spoils only this message. */
    for (int i = 0; i < object->count && keys.n < 160; i++)
        buf_printf(&keys, "%s%.*s", i ? ", " : "",
                   object->keys[i].n > 40 ? 40 : (int)object->keys[i].n, object->keys[i].s);
    for (int i = 0; i < FORM_COUNT; i++)
        buf_printf(&forms, "%s%s", i == 0 ? "" : i + 1 < FORM_COUNT ? ", " : " or ", FORMS[i].name);
    refuse(r, "no known form of record (keys: %s); use %s", keys.n ? keys.s : "none", forms.s);
    buf_free(&keys);
    buf_free(&forms);
    return false;
}

static bool read_form(RecordReader *r, const Json *o, Record *record) {
    for (int i = 0; i < FORM_COUNT; i++)
        if (find(o, FORMS[i].keys[0]) && (!FORMS[i].keys[1] || find(o, FORMS[i].keys[1])))
            return FORMS[i].read(r, o, record);
    return refuse_form(r, o);
}

/* ---- what any form may carry ---- */

static bool read_truth(const RecordReader *r, const Json *object, Record *record) {
    const Json *clean = json_get(object, "clean"), *flipped = json_get(object, "flipped");
    if (record->kind != RECORD_PAIR) flipped = NULL;
    if (clean && clean->type != JSON_BOOL)
        return refuse(r, "\"clean\" is %s; it must be true or false", type_name(clean));
    if (flipped && flipped->type != JSON_BOOL)
        return refuse(r, "\"flipped\" is %s; it must be true or false", type_name(flipped));
    if (clean && flipped && clean->boolean == flipped->boolean)
        return refuse(r, "\"clean\" and \"flipped\" contradict each other; keep one of them");
    record->clean = clean ? clean->boolean : flipped ? !flipped->boolean : -1;
    return true;
}

static bool read_extras(const RecordReader *r, const Json *object, long number, Record *record) {
    const Json *id = find(object, "id"), *weight = json_get(object, "weight"),
               *source = find(object, "source");
    char text[32];
    snprintf(text, sizeof text, "%ld", number);
    if (id && id->type != JSON_STRING && id->type != JSON_NUMBER)
        return refuse(r, "\"id\" is %s; it must be a string or a number", type_name(id));
    record->id = keep(r, id ? id->string : str(text));
    record->weight = NAN;
    if (weight && weight->type != JSON_NUMBER)
        return refuse(r, "\"weight\" is %s; it must be a number", type_name(weight));
    if (weight && weight->number < 0)
        return refuse(r, "\"weight\" is negative; it must be 0 or more");
    if (weight) record->weight = weight->number;
    if (source && (source->type == JSON_STRING || source->type == JSON_NUMBER))
        record->source = keep(r, source->string);
    return read_truth(r, object, record);
}

/* ---- files ---- */

static bool add_record(RecordReader *r, const Json *object, long number) {
    Dataset *d = r->d;
    if (object->type != JSON_OBJECT)
        return refuse(r, "the record is %s; it must be an object: {...}", type_name(object));
    if (d->count == INT_MAX / 2) return refuse(r, "too many records; split the file");
    if (d->count == r->room) {
        r->room = r->room ? 2 * r->room : 256;
        d->records = mem_grow(d->records, (size_t)r->room, sizeof *d->records);
    }
    Record record = {.line = r->line};
    if (!read_form(r, object, &record) || !read_extras(r, object, number, &record)) return false;
    d->records[d->count++] = record;
    return true;
}

/* Empties the scratch arena after many records, since emptying costs more than a short record. */
static void recycle(RecordReader *r, size_t parsed) {
    r->scratch_text += parsed;
    if (r->scratch_text < 1 << 16) return;
    arena_free(&r->scratch);
    r->scratch_text = 0;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static bool load_lines(RecordReader *r, const char *s, size_t n) {
    JsonError where;
    for (size_t at = 0, next; at < n; at = next) {
        const char *line = s + at, *newline = memchr(line, '\n', n - at);
        size_t length = newline ? (size_t)(newline - line) : n - at;
        next = at + length + 1;
        r->line++;
        if (length > RECORD_MAX_LINE)
            return refuse(r, "the line is longer than %d bytes; split the record",
                          (int)RECORD_MAX_LINE);
        while (length > 0 && is_space(line[length - 1])) length--;
        if (length == 0) continue;
        const Json *object = json_parse(&r->scratch, line, length, &where);
        if (!object)
            return refuse(r, "column %ld: %s%s", where.column, where.what,
                          where.offset > 0 && where.offset < length
                              ? ""
                              : "; each line must be one record {...}, or the file must be one "
                                "array of them");
        if (!add_record(r, object, r->line)) return false;
        recycle(r, length);
    }
    return true;
}

static size_t skip_space(const char *s, size_t n, size_t at, long *line) {
    for (; at < n && is_space(s[at]); at++) *line += s[at] == '\n';
    return at;
}

/* Reads one record of the array, at s[*at]. */
static bool load_element(RecordReader *r, const char *s, size_t n, size_t *at, long number) {
    JsonError where;
    size_t start = *at, end = n - start > RECORD_MAX_LINE ? start + RECORD_MAX_LINE : n;
    const Json *object = json_parse_at(&r->scratch, s, end, at, &where);
    if (!object) {
        /* An error within 16 bytes of an artificial end comes from the cut: no token is named
         * further back. */
        if (end < n && end - where.offset <= 16)
            return refuse(r, "the record is longer than %d bytes; split it", (int)RECORD_MAX_LINE);
        r->line = where.line;
        return refuse(r, "column %ld: %s", where.column, where.what);
    }
    if (!add_record(r, object, number)) return false;
    for (size_t i = start; i < *at; i++) r->line += s[i] == '\n';
    recycle(r, *at - start);
    return true;
}

/* Reads a text that is one array. s[at] is its bracket, and r->line the line of the bracket. */
static bool load_array(RecordReader *r, const char *s, size_t n, size_t at) {
    at = skip_space(s, n, at + 1, &r->line);
    bool closed = at < n && s[at] == ']';
    if (closed) at++;
    for (long number = 1; !closed; number++) {
        if (!load_element(r, s, n, &at, number)) return false;
        at = skip_space(s, n, at, &r->line);
        closed = at < n && s[at] == ']';
        if (!closed && (at == n || s[at] != ','))
            return refuse(r, "expected ',' or ']' after record %ld of the array%s", number,
                          at == n ? ", but the file ends here" : "");
        at = skip_space(s, n, at + 1, &r->line);
    }
    if (skip_space(s, n, at, &r->line) < n)
        return refuse(
            r,
            "there is more after the end of the array; a file is one array, or one record a line");
    return true;
}

/* Refuses files that are often given by mistake. Their first bytes tell. */
static bool check_kind_of_file(const RecordReader *r, const char *s, size_t n) {
    static const struct {
        const char *magic;
        size_t n;
        const char *what;
    } kinds[] = {
        {"\x1f\x8b", 2, "the file is compressed (gzip); unpack it first: gunzip FILE"},
        {"\x28\xb5\x2f\xfd", 4, "the file is compressed (zstd); unpack it first: unzstd FILE"},
        {"PK\x03\x04", 4, "the file is a zip archive; unpack it first"},
        {"PAR1", 4, "the file is in Parquet form; export it as JSONL first"},
        {"\xff\xfe", 2, "the text is UTF-16; save it as UTF-8"},
        {"\xfe\xff", 2, "the text is UTF-16; save it as UTF-8"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].n && memcmp(s, kinds[i].magic, kinds[i].n) == 0)
            return refuse(r, "%s", kinds[i].what);
    return true;
}

static bool check_utf8(RecordReader *r, const char *s, size_t n) {
    size_t bad, start = 0;
    if (unicode_valid(s, n, &bad)) return true;
    for (size_t i = 0; i < bad; i++) {
        if (s[i] != '\n') continue;
        start = i + 1;
        r->line++;
    }
    return refuse(r, "byte %zu of the line is not valid UTF-8; save the file as UTF-8",
                  bad - start + 1);
}

static bool load(RecordReader *r, const char *s, size_t n) {
    r->line = 1;
    if (!check_kind_of_file(r, s, n) || !check_utf8(r, s, n)) return false;
    if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0) { /* a byte-order mark */
        s += 3;
        n -= 3;
    }
    size_t start = skip_space(s, n, 0, &r->line);
    if (start < n && s[start] == '[') {
        if (!load_array(r, s, n, start)) return false;
    } else {
        r->line = 0; /* load_lines counts each line when it reaches it */
        if (!load_lines(r, s, n)) return false;
    }
    if (r->d->count > 0) return true;
    r->line = 1;
    return refuse(r, "the file has no records; write one JSON object a line");
}

bool records_load(Dataset *d, const char *path, Error *err) {
    Buf text = {0};
    *d = (Dataset){0};
    RecordReader r = {.path = path, .d = d, .err = err};
    bool ok = file_read(path, &text, err);
    if (ok) {
        d->path = mem_new(strlen(path) + 1, 1);
        strcpy(d->path, path);
        d->fingerprint = hash64(text.s, text.n, HASH_START);
        ok = load(&r, text.s, text.n);
    }
    arena_free(&r.scratch);
    buf_free(&text);
    if (!ok) records_free(d);
    return ok;
}

void records_free(Dataset *d) {
    free(d->path);
    free(d->records);
    arena_free(&d->arena);
    *d = (Dataset){0};
}
