/* Records from the forms of JSON that people use. A form is a row of RECORD_FORMS. read_form names
 * its reader, unless it is a prompt with an answer. A reader takes keys. What it leaves is judged
 * by one table, REFUSALS. */
#include "data/forms.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "lib/unicode.h"

const RecordFormInfo RECORD_FORMS[] = {
    [FORM_IDS] = {"input_ids", {"input_ids", NULL}},
    [FORM_PAIR] = {"prompt/chosen/rejected", {"chosen", "rejected"}},
    [FORM_PROMPT_COMPLETION] = {"prompt/completion", {"prompt", "completion"}},
    [FORM_PROMPT_RESPONSE] = {"prompt/response", {"prompt", "response"}},
    [FORM_MESSAGES] = {"messages", {"messages", NULL}},
    [FORM_CONVERSATIONS] = {"conversations", {"conversations", NULL}},
    [FORM_INSTRUCTION_OUTPUT] = {"instruction/output", {"instruction", "output"}},
    [FORM_INSTRUCTION_RESPONSE] = {"instruction/response", {"instruction", "response"}},
    [FORM_QUESTION_ANSWER] = {"question/answer", {"question", "answer"}},
    [FORM_QUESTION_RESPONSE] = {"question/response", {"question", "response"}},
    [FORM_QUERY_RESPONSE] = {"query/response", {"query", "response"}},
    [FORM_INPUT_OUTPUT] = {"input/output", {"input", "output"}},
    [FORM_TEXT] = {"text", {"text", NULL}},
};
_Static_assert(sizeof RECORD_FORMS / sizeof *RECORD_FORMS == FORM_COUNT, "a row each");

typedef enum { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT } Role;
typedef struct {
    Role role;
    Str content;
    bool trained; /* false if a key such as weight says so */
    int number;   /* 1-based position in the record's list */
} Message;
typedef struct {
    Message *v;
    int n;
} Messages;

static const char *const ROLE_NAMES[] = {
    [ROLE_SYSTEM] = "system", [ROLE_USER] = "user", [ROLE_ASSISTANT] = "assistant"};

/* ---- errors and values ---- */

bool reader_refuse(const RecordReader *r, const char *format, ...) {
    char what[768], number[40] = "";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (r->number > 0) snprintf(number, sizeof number, "record %ld: ", r->number);
    return error_set(r->err, STATUS_DATA, "%s:%ld: %s%s", r->path, r->line, number, what);
}

const char *json_type_name(const Json *v) {
    static const char *const names[] = {"null",     "true or false", "a number",
                                        "a string", "a list",        "an object"};
    return names[v->type];
}

/* A member, or NULL if it is absent or null. Tables of several sources write null where a record
 * has no such column. */
static const Json *find(const Json *object, const char *key) {
    const Json *v = json_get(object, key);
    return v && v->type != JSON_NULL ? v : NULL;
}

/* The same, for a member that is read. */
static const Json *take(RecordReader *r, const Json *object, const char *key) {
    enum { ROOM = sizeof r->taken / sizeof *r->taken };
    if (r->n_taken < ROOM) r->taken[r->n_taken++] = key;
    return find(object, key);
}

/* Does the value say nothing: null, "", [] or {}? */
static bool is_empty(const Json *v) {
    return v->type == JSON_NULL || (v->type == JSON_STRING && v->string.n == 0) ||
           ((v->type == JSON_ARRAY || v->type == JSON_OBJECT) && v->count == 0);
}

/* Is the text the word, in any case? The word is in small letters. */
static bool is_word(Str text, const char *word) {
    bool same = text.n == strlen(word);
    for (size_t i = 0; same && i < text.n; i++)
        same = unicode_lower((unsigned char)text.s[i]) == (unsigned char)word[i];
    return same;
}

/* Reads true, false, 1 or 0, also as a text, as tables become JSON. -1: something else. */
static int truth_of(const Json *v) {
    static const char *const words[2][3] = {{"false", "0", "no"}, {"true", "1", "yes"}};
    if (v->type == JSON_BOOL) return v->boolean;
    if (v->type == JSON_NUMBER && (v->number == 0 || v->number == 1)) return (int)v->number;
    for (int i = 0; i < 6 && v->type == JSON_STRING; i++)
        if (is_word(v->string, words[i / 3][i % 3])) return i / 3;
    return -1;
}

static bool read_text(const RecordReader *r, const Json *v, const char *name, Str *out) {
    if (v->type != JSON_STRING)
        return reader_refuse(r, "\"%s\" is %s; it must be a string", name, json_type_name(v));
    if (v->string.n == 0)
        return reader_refuse(r, "\"%s\" is empty; fill it in or remove the record", name);
    *out = v->string;
    return true;
}

static Str keep(const RecordReader *r, Str s) { return str_copy(&r->d->arena, s); }

/* Joins a and b with a line break, unless one of them is empty. */
static Str join(Arena *arena, Str a, Str b, const char *between) {
    size_t gap = strlen(between);
    if (a.n == 0 || b.n == 0) return a.n ? a : b;
    char *s = arena_new(arena, a.n + gap + b.n + 1, 1);
    memcpy(s, a.s, a.n);
    memcpy(s + a.n, between, gap);
    memcpy(s + a.n + gap, b.s, b.n);
    return (Str){s, a.n + gap + b.n};
}

/* ---- the rule for keys ---- */

/* When a key changes what is to be learned. */
typedef enum {
    IF_NOT_EMPTY,
    IF_FALSE,       /* false or 0, or a number below it */
    IF_NO,          /* false: 0 may be a measured number */
    IF_TRUE,        /* true or 1 */
    IF_NOT_ZEROS,   /* a list with something else than 0 */
    IF_NOT_COUNTING /* a list other than 0, 1, 2, ... */
} RefusedWhen;

enum { /* where a key can stand: sets of forms, and a message */
       IN_IDS = 1 << FORM_IDS,
       IN_TEXT = 1 << FORM_TEXT,
       IN_LISTS = 1 << FORM_MESSAGES | 1 << FORM_CONVERSATIONS,
       IN_RECORDS = (1 << FORM_COUNT) - 1,
       IN_FIELDS = IN_RECORDS & ~(IN_IDS | IN_TEXT | IN_LISTS), /* a prompt by itself */
       IN_CHATS = IN_FIELDS | IN_LISTS,
       IN_PARTS = 1 << FORM_INSTRUCTION_OUTPUT | 1 << FORM_INSTRUCTION_RESPONSE | /* in parts */
                  1 << FORM_QUESTION_ANSWER | 1 << FORM_QUESTION_RESPONSE |
                  1 << FORM_QUERY_RESPONSE,
       IN_KTO = IN_LISTS | 1 << FORM_PROMPT_COMPLETION | 1 << FORM_PROMPT_RESPONSE,
       IN_MESSAGE = 1 << FORM_COUNT
};

#define IN_PROMPT "put it into the prompt, or remove it"
#define NO_TOOLS "the template has no tool calls: remove the record"
#define NO_MEDIA "only text can be learned: remove the record"
#define NO_THOUGHT "put it into the answer's text, or remove it"
#define NOT_ONE_ROW "several sequences in a row cannot be told apart: give each its own record"
#define AS_IDS "give the whole row as input_ids, with labels of -100 for the prompt"

#define AS_LABELS "masks are of input_ids: give the row as these, or as messages with \"weight\""
#define NOT_TRAINED "the answer is not to be learned: remove the record"

static const struct {
    const char *key;
    int where;
    RefusedWhen when;
    const char *advice;
} REFUSALS[] = {
    {"history", IN_CHATS, IF_NOT_EMPTY, "write all turns as \"messages\""},
    {"input", IN_FIELDS, IF_NOT_EMPTY, IN_PROMPT},
    {"context", IN_CHATS, IF_NOT_EMPTY, IN_PROMPT},
    {"documents", IN_CHATS, IF_NOT_EMPTY, "put them into the prompt, or remove them"},
    {"document", IN_PARTS, IF_NOT_EMPTY, IN_PROMPT},
    {"passage", IN_PARTS, IF_NOT_EMPTY, IN_PROMPT},
    {"knowledge", IN_PARTS, IF_NOT_EMPTY, IN_PROMPT},
    {"choices", IN_PARTS, IF_NOT_EMPTY, IN_PROMPT},
    {"options", IN_PARTS, IF_NOT_EMPTY, IN_PROMPT},
    {"inputs", IN_PARTS, IF_NOT_EMPTY, IN_PROMPT},
    {"system_instruction", IN_CHATS, IF_NOT_EMPTY, "call it \"system\""},
    {"system_role", IN_CHATS, IF_NOT_EMPTY, "call it \"system\""},
    {"tools", IN_CHATS, IF_NOT_EMPTY, NO_TOOLS},
    {"functions", IN_CHATS, IF_NOT_EMPTY, NO_TOOLS},
    {"chat_template_kwargs", IN_CHATS, IF_NOT_EMPTY, "template.json takes no arguments: remove it"},
    {"image", IN_RECORDS, IF_NOT_EMPTY, NO_MEDIA},
    {"images", IN_RECORDS | IN_MESSAGE, IF_NOT_EMPTY, NO_MEDIA},
    {"video", IN_RECORDS, IF_NOT_EMPTY, NO_MEDIA},
    {"videos", IN_RECORDS | IN_MESSAGE, IF_NOT_EMPTY, NO_MEDIA},
    {"audio", IN_RECORDS | IN_MESSAGE, IF_NOT_EMPTY, NO_MEDIA},
    {"audios", IN_RECORDS | IN_MESSAGE, IF_NOT_EMPTY, NO_MEDIA},
    {"label", IN_KTO, IF_FALSE, "the answer is an undesired one: remove the record"},
    {"kto_tag", IN_CHATS, IF_FALSE, "the answer is an undesired one: remove the record"},
    {"sample_weight", IN_RECORDS, IF_NOT_EMPTY, "call it \"weight\", for --weights records"},
    {"loss_weights", IN_RECORDS, IF_NOT_EMPTY, "a token has no weight of its own: remove it"},
    {"token_weights", IN_RECORDS, IF_NOT_EMPTY, "a token has no weight of its own: remove it"},
    {"loss_weight", IN_RECORDS, IF_NOT_EMPTY, "call it \"weight\", for --weights records"},
    {"weights", IN_RECORDS, IF_NOT_EMPTY, "call it \"weight\", for --weights records"},
    {"train", IN_RECORDS, IF_FALSE, NOT_TRAINED},
    {"training", IN_RECORDS, IF_FALSE, NOT_TRAINED},
    {"loss", IN_RECORDS, IF_NO, NOT_TRAINED},
    {"train_on_input", IN_CHATS, IF_TRUE, "prompts are not learned: remove it"},
    {"train_on_inputs", IN_CHATS, IF_TRUE, "prompts are not learned: remove it"},
    {"mask", IN_CHATS, IF_NOT_EMPTY, AS_LABELS},
    {"loss_mask", IN_CHATS, IF_NOT_EMPTY, AS_LABELS},
    {"completion_mask", IN_CHATS, IF_NOT_EMPTY, AS_LABELS},
    {"assistant_masks", IN_CHATS, IF_NOT_EMPTY, AS_LABELS},
    {"assistant_mask", IN_CHATS, IF_NOT_EMPTY, AS_LABELS},
    {"labels", IN_CHATS, IF_NOT_EMPTY, AS_LABELS},
    {"prefix", IN_CHATS, IF_NOT_EMPTY, IN_PROMPT},
    {"suffix", IN_CHATS, IF_NOT_EMPTY, IN_PROMPT},
    {"ignore", IN_MESSAGE, IF_TRUE, "say \"weight\": 0"},
    {"skip", IN_MESSAGE, IF_TRUE, "say \"weight\": 0"},
    {"mask", IN_MESSAGE, IF_NOT_EMPTY, "say \"weight\", 1 for an answer to learn, else 0"},
    {"token_type_ids", IN_IDS, IF_NOT_ZEROS, "GPT-2 has no token types: remove it"},
    {"position_ids", IN_IDS, IF_NOT_COUNTING, NOT_ONE_ROW},
    {"seq_lengths", IN_IDS, IF_NOT_EMPTY, NOT_ONE_ROW},
    {"cu_seqlens", IN_IDS, IF_NOT_EMPTY, NOT_ONE_ROW},
    {"prompt_ids", IN_RECORDS, IF_NOT_EMPTY, AS_IDS},
    {"completion_ids", IN_RECORDS, IF_NOT_EMPTY, AS_IDS},
    {"prompt_input_ids", IN_RECORDS, IF_NOT_EMPTY, AS_IDS},
    {"chosen_input_ids", IN_RECORDS, IF_NOT_EMPTY, "give the pair as text"},
    {"rejected_input_ids", IN_RECORDS, IF_NOT_EMPTY, "give the pair as text"},
    {"chosen_ids", IN_RECORDS, IF_NOT_EMPTY, "give the pair as text"},
    {"rejected_ids", IN_RECORDS, IF_NOT_EMPTY, "give the pair as text"},
    {"tool_calls", IN_MESSAGE, IF_NOT_EMPTY, NO_TOOLS},
    {"function_call", IN_MESSAGE, IF_NOT_EMPTY, NO_TOOLS},
    {"refusal", IN_MESSAGE, IF_NOT_EMPTY, "put it into \"content\", or remove it"},
    {"reasoning_content", IN_CHATS | IN_MESSAGE, IF_NOT_EMPTY, NO_THOUGHT},
    {"reasoning", IN_CHATS | IN_MESSAGE, IF_NOT_EMPTY, NO_THOUGHT},
    {"thinking", IN_CHATS | IN_MESSAGE, IF_NOT_EMPTY, NO_THOUGHT},
    {"train_detail", IN_MESSAGE, IF_NOT_EMPTY, "parts of an answer cannot be left out: remove it"},
};

/* Is the value a list of the same number, or of numbers that count? */
static bool is_row(const Json *v, double step) {
    if (v->type != JSON_ARRAY) return false;
    for (int i = 0; i < v->count; i++)
        if (v->items[i].type != JSON_NUMBER || v->items[i].number != i * step) return false;
    return true;
}

static bool matters(const Json *v, RefusedWhen when) {
    switch (when) {
    case IF_NOT_EMPTY: return !is_empty(v);
    case IF_FALSE: return truth_of(v) == 0 || (v->type == JSON_NUMBER && v->number < 0);
    case IF_NO: return v->type != JSON_NUMBER && truth_of(v) == 0;
    case IF_TRUE: return truth_of(v) == 1;
    case IF_NOT_ZEROS: return !is_row(v, 0);
    case IF_NOT_COUNTING: return !is_row(v, 1);
    }
    return false;
}

/* Writes a key as messages show it. What could steer a terminal is escaped. */
static void show_key(char *out, size_t room, const char *prefix, Str key) {
    size_t n = strlen(prefix);
    memcpy(out, prefix, n);
    char shown[UNICODE_SHOWN_MOST];
    int length;
    for (size_t i = 0; i < key.n;) {
        i += unicode_show(key.s + i, key.n - i, shown, &length);
        if (n + (size_t)length >= room) break;
        memcpy(out + n, shown, (size_t)length);
        n += (size_t)length;
    }
    out[n] = 0;
}

/* Counts a key that is not read. `prefix` is "messages[]." for a message's. */
static void count_ignored(RecordReader *r, const char *prefix, Str key) {
    Dataset *d = r->d;
    char name[sizeof d->ignored[0].name];
    show_key(name, sizeof name, prefix, key);
    int i = 0;
    while (i < d->n_ignored && strcmp(d->ignored[i].name, name) != 0) i++;
    if (i >= RECORD_MAX_IGNORED - 1) {
        i = RECORD_MAX_IGNORED - 1;
        strcpy(name, "(others)");
    }
    IgnoredKey *row = &d->ignored[i];
    if (i >= d->n_ignored) d->n_ignored = i + 1;
    memcpy(row->name, name, sizeof name);
    if (row->last != d->count + 1) row->records++;
    row->last = d->count + 1;
}

/* The key that is meant by one that differs from it in case alone, or NULL. Of those that are read,
 * or that would be refused, but not "id" and "source", which change nothing. */
static const char *key_meant(const RecordReader *r, Str key, const Json *v, int where) {
    for (int j = r->first_taken; j < r->n_taken; j++)
        if (is_word(key, r->taken[j]) && strcmp(r->taken[j], "id") != 0 &&
            strcmp(r->taken[j], "source") != 0)
            return r->taken[j];
    for (size_t j = 0; j < sizeof REFUSALS / sizeof *REFUSALS; j++)
        if (REFUSALS[j].where & where && is_word(key, REFUSALS[j].key) &&
            matters(v, REFUSALS[j].when))
            return REFUSALS[j].key;
    return NULL;
}

/* Judges what was not read of an object: a record, or a message whose description is `whose`. */
static bool check_rest(RecordReader *r, const Json *object, int where, const char *whose) {
    const Str *twice = json_duplicate_key(&r->scratch, object);
    if (twice)
        return reader_refuse(r, "%s\"%.40s\" occurs twice; keep one of them", whose, twice->s);
    for (int i = 0; i < object->count; i++) {
        const Json *v = &object->items[i];
        bool taken = is_empty(v);
        for (int j = r->first_taken; j < r->n_taken && !taken; j++)
            taken = str_is(object->keys[i], r->taken[j]);
        if (taken) continue;
        for (size_t j = 0; j < sizeof REFUSALS / sizeof *REFUSALS; j++)
            if (REFUSALS[j].where & where && str_is(object->keys[i], REFUSALS[j].key) &&
                matters(v, REFUSALS[j].when))
                return reader_refuse(r, "%s\"%s\" cannot be honoured; %s", whose, REFUSALS[j].key,
                                     REFUSALS[j].advice);
        const char *meant = key_meant(r, object->keys[i], v, where);
        if (meant)
            return reader_refuse(r, "%s\"%.40s\" is not read; is \"%s\" meant? Write it so", whose,
                                 object->keys[i].s, meant);
        count_ignored(r, where == IN_MESSAGE ? "messages[]." : "", object->keys[i]);
    }
    return true;
}

/* ---- messages ---- */

static bool read_role(Str name, Role *role) {
    if (str_is(name, "system") || str_is(name, "developer")) *role = ROLE_SYSTEM;
    else if (str_is(name, "user") || str_is(name, "human")) *role = ROLE_USER;
    else if (str_is(name, "assistant") || str_is(name, "gpt")) *role = ROLE_ASSISTANT;
    else return false;
    return true;
}

/* Reads a content, which may be a list of parts: {"type": "text", "text": ...}. */
static bool read_content(RecordReader *r, const Json *v, const char *whose, Str *out) {
    if (v && v->type == JSON_STRING) {
        *out = v->string;
        return true;
    }
    if (!v)
        return reader_refuse(r, "%shas no \"content\", or null; fill it in or remove the record",
                             whose);
    if (v->type != JSON_ARRAY)
        return reader_refuse(r, "%s\"content\" is %s; it must be a string", whose,
                             json_type_name(v));
    for (int i = 0; i < v->count; i++) {
        const Json *part = &v->items[i], *type = json_get(part, "type");
        const Json *text = part->type == JSON_STRING ? part : json_get(part, "text");
        if (json_duplicate_key(&r->scratch, part))
            return reader_refuse(r, "%spart %d of the content has a key twice; keep one of them",
                                 whose, i + 1);
        bool is_text = !type || (type->type == JSON_STRING && str_is(type->string, "text"));
        if (!is_text || !text || text->type != JSON_STRING)
            return reader_refuse(r, "%spart %d of the content is not text; " NO_MEDIA, whose,
                                 i + 1);
        *out = join(&r->scratch, *out, text->string, "");
        for (int j = 0; part->type == JSON_OBJECT && j < part->count; j++)
            if (&part->items[j] != type && &part->items[j] != text)
                count_ignored(r, "messages[].content[].", part->keys[j]);
    }
    return true;
}

/* Reads what says whether a message is an answer to learn: OpenAI's weight, and its other names. */
static bool read_trained(RecordReader *r, const Json *v, const char *whose, Message *out) {
    static const char *const keys[] = {"weight", "loss", "train", "training", "loss_mask"};
    out->trained = true;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const Json *flag = take(r, v, keys[i]);
        if (!flag) continue;
        int yes = truth_of(flag);
        if (yes < 0) return reader_refuse(r, "%s\"%s\" must be 0 or 1", whose, keys[i]);
        if (yes && out->role != ROLE_ASSISTANT)
            return reader_refuse(
                r, "%s\"%s\" is 1, but only the assistant's messages are trained on; remove it",
                whose, keys[i]);
        if (!yes) out->trained = false;
    }
    return true;
}

/* Takes a system turn. A record has one, which stands first: lists that repeat a prompt may repeat
 * it. */
static bool take_system(RecordReader *r, Str content, bool late, const char *whose) {
    if (late && content.n == 0) return true;
    if (late)
        return reader_refuse(r, "%sis a system turn after others; it must stand first", whose);
    if (r->system.s && !str_equal(r->system, content))
        return reader_refuse(r, "%sis another system turn than before; keep one of them", whose);
    r->system = content.s ? content : (Str){"", 0};
    return true;
}

/* Reads one message with the keys role and content, or from and value. `whose` is its description
 * in errors. */
static bool read_message(RecordReader *r, const Json *v, const char *whose, Message *out) {
    const Json *role = take(r, v, "role");
    const Json *content = take(r, v, "content");
    const Json *from = take(r, v, "from"), *value = take(r, v, "value");
    if ((role && from) || (content && value))
        return reader_refuse(r, "%shas both \"%s\" and \"%s\"; keep one of them", whose,
                             role && from ? "role" : "content", role && from ? "from" : "value");
    if (!role) role = from;
    if (!content) content = value;
    if (!role || role->type != JSON_STRING)
        return reader_refuse(r, "%smust be an object with the strings \"role\" and \"content\"",
                             whose);
    if (!read_role(role->string, &out->role))
        return reader_refuse(r, "%sunknown role \"%.40s\"; use user or assistant", whose,
                             role->string.s);
    if (!read_trained(r, v, whose, out) || !check_rest(r, v, IN_MESSAGE, whose) ||
        !read_content(r, content, whose, &out->content))
        return false;
    if (out->role == ROLE_SYSTEM) return take_system(r, out->content, out->number > 1, whose);
    if (out->content.n == 0)
        return reader_refuse(r, "%sis empty; fill it in or remove the record", whose);
    return true;
}

/* Reads a list of messages, or one message. A system message goes to r->system. */
static bool read_messages(RecordReader *r, const Json *v, const char *name, Messages *out) {
    bool one = v->type == JSON_OBJECT;
    if (v->type != JSON_ARRAY && !one)
        return reader_refuse(r, "\"%s\" is %s; it must be a list of messages", name,
                             json_type_name(v));
    if (!one && v->count == 0)
        return reader_refuse(r, "\"%s\" is an empty list; fill it in or remove the record", name);
    int n = one ? 1 : v->count;
    *out = (Messages){arena_new(&r->scratch, (size_t)n, sizeof *out->v), 0};
    for (int i = 0; i < n; i++) {
        char whose[80];
        Message m = {.number = i + 1};
        int of_record = r->n_taken; /* a message has keys of its own */
        r->first_taken = of_record;
        snprintf(whose, sizeof whose, "\"%s\", message %d: ", name, i + 1);
        if (!read_message(r, one ? v : &v->items[i], whose, &m)) return false;
        r->first_taken = 0;
        r->n_taken = of_record;
        if (m.role != ROLE_SYSTEM) out->v[out->n++] = m;
    }
    return true;
}

/* Checks that user and assistant speak in turn, the user first, up to `last`. */
static bool check_order(const RecordReader *r, Messages m, const char *name, Role last) {
    for (int i = 0; i < m.n; i++) {
        Role wanted = i % 2 == 0 ? ROLE_USER : ROLE_ASSISTANT;
        if (m.v[i].role != wanted)
            return reader_refuse(r,
                                 "\"%s\", message %d: is from the %s, not the %s; user and "
                                 "assistant must alternate, the user first",
                                 name, m.v[i].number, ROLE_NAMES[m.v[i].role], ROLE_NAMES[wanted]);
    }
    if (m.n == 0 || m.v[m.n - 1].role != last)
        return reader_refuse(r, "\"%s\" must end with a message from the %s", name,
                             ROLE_NAMES[last]);
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

/* ---- prompts and answers ---- */

/* Keeps the first n turns of the messages. */
static void put_turns(const RecordReader *r, Messages m, int n, Record *record) {
    record->n_turns = n;
    record->turns = arena_new(&r->d->arena, (size_t)n + 1, sizeof *record->turns);
    for (int i = 0; i < n; i++)
        record->turns[i] = (Turn){keep(r, m.v[2 * i].content), keep(r, m.v[2 * i + 1].content),
                                  m.v[2 * i + 1].trained};
}

/* Keeps a prompt whose last message is the user's. The turns before it are context. */
static Str put_prompt(const RecordReader *r, Messages prompt, Record *record) {
    put_turns(r, prompt, prompt.n / 2, record);
    for (int i = 0; i < record->n_turns; i++) record->turns[i].trained = false;
    return keep(r, prompt.v[prompt.n - 1].content);
}

/* Reads a conversation. It ends with the last answer that is trained: nothing after it matters. */
static bool read_turns(RecordReader *r, const Json *v, const char *name, Record *record) {
    Messages m = {0};
    if (!read_messages(r, v, name, &m) || !check_order(r, m, name, ROLE_ASSISTANT)) return false;
    while (m.n > 0 && !m.v[m.n - 1].trained) m.n -= 2;
    if (m.n == 0)
        return reader_refuse(r, "\"%s\": no answer is left to train on; remove the record", name);
    record->kind = RECORD_TURNS;
    put_turns(r, m, m.n / 2, record);
    return true;
}

/* Reads a prompt that is a text. An instruction or a question may have a second part. */
static bool read_prompt_text(RecordReader *r, const Json *object, const char *key, Str *out) {
    static const char *const parts[] = {"input", "context"};
    const char *name = NULL;
    if (!read_text(r, take(r, object, key), key, out)) return false;
    bool has_parts = strcmp(key, "instruction") == 0 || strcmp(key, "question") == 0;
    for (int i = 0; i < 2 && has_parts; i++) {
        const Json *part = take(r, object, parts[i]);
        if (!part || is_empty(part)) continue;
        if (part->type != JSON_STRING)
            return reader_refuse(r, "\"%s\" is %s; it must be a string", parts[i],
                                 json_type_name(part));
        if (name)
            return reader_refuse(r, "has both \"%s\" and \"%s\"; write them as one", name,
                                 parts[i]);
        name = parts[i];
        *out = join(&r->scratch, *out, part->string, "\n");
    }
    return true;
}

/* Reads the prompt of an answer as messages. A list must end with a message from the user. A text
 * is one message from the user. */
static bool read_prompt(RecordReader *r, const Json *object, const char *key, Messages *out) {
    const Json *prompt = find(object, key);
    if (prompt->type == JSON_ARRAY)
        return read_messages(r, take(r, object, key), key, out) &&
               check_order(r, *out, key, ROLE_USER);
    *out = (Messages){arena_new(&r->scratch, 1, sizeof *out->v), 1};
    out->v[0] = (Message){.role = ROLE_USER, .trained = true, .number = 1};
    return read_prompt_text(r, object, key, &out->v[0].content);
}

/* Reads the assistant's one message after the first `skip` messages. */
static bool last_answer(const RecordReader *r, Messages m, int skip, const char *name, Str *out) {
    if (m.n != skip + 1 || m.v[skip].role != ROLE_ASSISTANT)
        return reader_refuse(r,
                             "\"%s\" must have one message from the assistant, with at most the "
                             "prompt's messages before it",
                             name);
    if (!m.v[skip].trained)
        return reader_refuse(r, "\"%s\": no answer is left to train on; remove the record", name);
    *out = m.v[skip].content;
    return true;
}

static bool read_answer(RecordReader *r, const Json *v, const char *name, Messages prompt,
                        Str *out) {
    Messages m = {0};
    if (v->type != JSON_ARRAY && (v->type != JSON_OBJECT || strcmp(name, "completion") == 0))
        return read_text(r, v, name, out);
    if (!read_messages(r, v, name, &m)) return false;
    bool repeats = common_messages(m, prompt, prompt.n) == prompt.n;
    return last_answer(r, m, repeats ? prompt.n : 0, name, out);
}

/* Reads a prompt and its completion, which are under the given keys. */
static bool read_completion(RecordReader *r, const Json *object, const char *prompt_key,
                            const char *key, Record *record) {
    Messages prompt = {0};
    Str answer = {0};
    if (!read_prompt(r, object, prompt_key, &prompt) ||
        !read_answer(r, take(r, object, key), key, prompt, &answer))
        return false;
    record->kind = RECORD_TURNS;
    Str last = put_prompt(r, prompt, record);
    record->turns[record->n_turns++] = (Turn){last, keep(r, answer), true};
    return true;
}

/* ---- pairs ---- */

static const char USER_MARK[] = "\n\nHuman:", ANSWER_MARK[] = "\n\nAssistant:";

static const char *find_mark(Str s, const char *mark) {
    size_t n = strlen(mark);
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.s + i, mark, n) == 0) return s.s + i;
    return NULL;
}

/* The length of the prompt that two dialogues share. It ends after the last answer mark that both
 * have at the same place, with the blank that both have after it. Without a mark it ends after the
 * last white space that they share, if both continue from there. Cutting at the first difference
 * would cut inside the answers, which often start alike. */
static size_t shared_prompt(Str a, Str b) {
    const size_t m = sizeof ANSWER_MARK - 1;
    size_t shorter = a.n < b.n ? a.n : b.n, common = 0;
    while (common < shorter && a.s[common] == b.s[common]) common++;
    for (size_t end = common; end >= m; end--)
        if (memcmp(a.s + end - m, ANSWER_MARK, m) == 0)
            return end < common && a.s[end] == ' ' ? end + 1 : end;
    if (common == shorter && common > 0) common--;
    while (common > 0 && !memchr(" \t\r\n", a.s[common - 1], 4)) common--;
    return common;
}

static bool is_blank(Str s) {
    size_t n = 0;
    while (n < s.n && memchr(" \t\r\n", s.s[n], 4)) n++;
    return n == s.n;
}

static bool split_texts(const RecordReader *r, const Json *chosen, const Json *rejected,
                        Record *record) {
    Str a = {0}, b = {0};
    if (!read_text(r, chosen, "chosen", &a) || !read_text(r, rejected, "rejected", &b))
        return false;
    size_t cut = shared_prompt(a, b);
    if (cut == 0)
        return reader_refuse(
            r, "\"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\"");
    Str good = {a.s + cut, a.n - cut}, bad = {b.s + cut, b.n - cut};
    if (is_blank(good) || is_blank(bad))
        return reader_refuse(
            r, "\"%s\" has an empty answer after the prompt; fill it in or remove the record",
            is_blank(good) ? "chosen" : "rejected");
    if (find_mark(good, USER_MARK) || find_mark(bad, USER_MARK) || find_mark(good, ANSWER_MARK) ||
        find_mark(bad, ANSWER_MARK))
        return reader_refuse(r, "\"chosen\" and \"rejected\" differ before their last answer; add "
                                "a \"prompt\" or remove the record");
    record->prompt = keep(r, (Str){a.s, cut});
    record->chosen = keep(r, good);
    record->rejected = keep(r, bad);
    return true;
}

static bool split_messages(RecordReader *r, const Json *chosen, const Json *rejected,
                           Record *record) {
    Messages a = {0}, b = {0};
    Str good = {0}, bad = {0};
    if (!read_messages(r, chosen, "chosen", &a) || !read_messages(r, rejected, "rejected", &b))
        return false;
    /* Equal answers are still answers. */
    int n = common_messages(a, b, (a.n < b.n ? a.n : b.n) - 1);
    if (n <= 0)
        return reader_refuse(
            r, "\"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\"");
    Messages prompt = {a.v, n};
    if (!check_order(r, prompt, "chosen", ROLE_USER)) return false;
    if (!last_answer(r, a, n, "chosen", &good) || !last_answer(r, b, n, "rejected", &bad))
        return false;
    record->prompt = put_prompt(r, prompt, record);
    record->chosen = keep(r, good);
    record->rejected = keep(r, bad);
    return true;
}

/* The key of a pair's prompt, or NULL if both answers contain it. Messages beside answers that are
 * lists are a copy of one of them. */
static const char *pair_prompt(const Json *object, const Json *chosen) {
    static const char *const keys[] = {"prompt", "instruction",   "question", "query",
                                       "input",  "conversations", "messages"};
    int n = chosen->type == JSON_ARRAY ? 5 : 7;
    for (int i = 0; i < n; i++)
        if (find(object, keys[i])) return keys[i];
    return NULL;
}

/* Refuses a pair whose rejected answer has the better rating, under the names that data sets have
 * for the two. Such a record says two things about what is to be learned. */
static bool check_ratings(const RecordReader *r, const Json *object) {
    static const char *const names[][2] = {{"score_chosen", "score_rejected"},
                                           {"chosen_score", "rejected_score"},
                                           {"chosen-rating", "rejected-rating"},
                                           {"chosen_rating", "rejected_rating"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const Json *good = find(object, names[i][0]), *bad = find(object, names[i][1]);
        if (good && bad && good->type == JSON_NUMBER && bad->type == JSON_NUMBER &&
            good->number < bad->number)
            return reader_refuse(
                r,
                "\"%s\" is %g and \"%s\" is %g, so the rejected answer is rated "
                "better; exchange the answers, or remove the record or the ratings",
                names[i][0], good->number, names[i][1], bad->number);
    }
    return true;
}

static bool read_pair(RecordReader *r, const Json *object, Record *record) {
    const Json *chosen = take(r, object, "chosen"), *rejected = take(r, object, "rejected");
    const char *key = pair_prompt(object, chosen);
    Messages prompt = {0};
    Str good = {0}, bad = {0};
    record->kind = RECORD_PAIR;
    if (!check_ratings(r, object)) return false;
    if (!key && chosen->type == JSON_STRING && rejected->type == JSON_STRING)
        return split_texts(r, chosen, rejected, record);
    if (!key) return split_messages(r, chosen, rejected, record);
    if (!read_prompt(r, object, key, &prompt)) return false;
    if (!read_answer(r, chosen, "chosen", prompt, &good) ||
        !read_answer(r, rejected, "rejected", prompt, &bad))
        return false;
    record->prompt = put_prompt(r, prompt, record);
    record->chosen = keep(r, good);
    record->rejected = keep(r, bad);
    return true;
}

/* ---- token ids ---- */

/* Reads a list of integers from 0 to `most`, or -100 if unlabelled tokens are allowed. */
static bool read_ints(const RecordReader *r, const Json *v, const char *name, int most,
                      bool unlabelled, int **out) {
    if (v->type != JSON_ARRAY)
        return reader_refuse(r, "\"%s\" is %s; it must be a list of integers", name,
                             json_type_name(v));
    *out = arena_new(&r->d->arena, (size_t)v->count, sizeof **out);
    for (int i = 0; i < v->count; i++) {
        const Json *item = &v->items[i];
        bool fits = item->is_integer && item->number <= most &&
                    (item->number >= 0 || (unlabelled && item->number == -100));
        if (!fits && most == 1)
            return reader_refuse(r, "\"%s\", item %d: must be 0 or 1", name, i + 1);
        if (!fits)
            return reader_refuse(r, "\"%s\", item %d: must be an integer of at least 0%s", name,
                                 i + 1, unlabelled ? ", or -100 for a token without loss" : "");
        (*out)[i] = (int)item->number;
    }
    return true;
}

/* Reads a list beside input_ids. *out stays NULL if it is absent. */
static bool read_beside(RecordReader *r, const Json *object, const char *name, int most,
                        bool unlabelled, int n, int **out) {
    const Json *v = take(r, object, name);
    if (!v) return true;
    if (!read_ints(r, v, name, most, unlabelled, out)) return false;
    if (v->count != n)
        return reader_refuse(r,
                             "\"%s\" has %d items and \"input_ids\" %d; both need the same length",
                             name, v->count, n);
    return true;
}

/* Reads labels, and the masks that mean the same, as labels. */
static bool read_labels(RecordReader *r, const Json *object, Record *record) {
    static const char *const masks[] = {"completion_mask", "assistant_masks", "assistant_mask",
                                        "loss_mask"};
    int n = record->n_ids;
    if (!read_beside(r, object, "labels", INT_MAX, true, n, &record->labels)) return false;
    for (int i = 0; record->labels && i < n; i++)
        if (record->labels[i] != -100 && record->labels[i] != record->input_ids[i])
            return reader_refuse(
                r,
                "\"labels\", item %d: is %d, and input_ids has %d there; it must be that or -100",
                i + 1, record->labels[i], record->input_ids[i]);
    for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        int *mask = NULL;
        if (!read_beside(r, object, masks[m], 1, false, n, &mask)) return false;
        if (mask && !record->labels) {
            record->labels = arena_new(&r->d->arena, (size_t)n, sizeof *record->labels);
            memcpy(record->labels, record->input_ids, (size_t)n * sizeof *record->labels);
        }
        for (int i = 0; mask && i < n; i++)
            if (!mask[i]) record->labels[i] = -100;
    }
    return true;
}

/* Leaves out the tokens at either end that attention_mask calls padding. */
static bool read_padding(RecordReader *r, const Json *object, Record *record) {
    int *mask = NULL, from = 0, to = record->n_ids;
    if (!read_beside(r, object, "attention_mask", 1, false, to, &mask)) return false;
    if (!mask) return true;
    while (from < to && !mask[from]) from++;
    while (to > from && !mask[to - 1]) to--;
    if (from == to)
        return reader_refuse(r, "\"attention_mask\" leaves no token; remove the record");
    for (int i = from; i < to; i++)
        if (!mask[i])
            return reader_refuse(
                r,
                "\"attention_mask\", item %d: is 0 between tokens; only padding at the ends can "
                "be left out",
                i + 1);
    record->input_ids += from;
    if (record->labels) record->labels += from;
    record->n_ids = to - from;
    return true;
}

static bool read_ids(RecordReader *r, const Json *object, Record *record) {
    const Json *ids = take(r, object, "input_ids");
    record->kind = RECORD_IDS;
    if (!read_ints(r, ids, "input_ids", INT_MAX, false, &record->input_ids)) return false;
    if (ids->count == 0)
        return reader_refuse(r, "\"input_ids\" is empty; fill it in or remove the record");
    record->n_ids = ids->count;
    if (!read_labels(r, object, record) || !read_padding(r, object, record)) return false;
    bool trained = !record->labels;
    for (int i = 1; i < record->n_ids && !trained; i++) trained = record->labels[i] != -100;
    if (trained) return true;
    return reader_refuse(r, "no token after the first has a label: nothing is left to train on; "
                            "remove the record");
}

/* ---- records ---- */

static bool read_plain(RecordReader *r, const Json *object, Record *record) {
    Str text = {0};
    record->kind = RECORD_TEXT;
    if (!read_text(r, take(r, object, "text"), "text", &text)) return false;
    record->text = keep(r, text);
    return true;
}

/* The first key that is null where a form needs a value, of a form whose keys are all there. */
static const char *null_key(const Json *object) {
    for (int i = 0; i < FORM_COUNT; i++) {
        const char *const *keys = RECORD_FORMS[i].keys;
        if (!json_get(object, keys[0]) || (keys[1] && !json_get(object, keys[1]))) continue;
        return find(object, keys[0]) ? keys[1] : keys[0];
    }
    return NULL;
}

/* Pairs as some services and programs write them. */
static const struct {
    const char *key, *call;
} RENAMED[] = {{"preferred_output", "it \"chosen\", non_preferred_output \"rejected\", and the "
                                    "messages of \"input\" \"prompt\""},
               {"chosen_response", "it \"chosen\", and rejected_response \"rejected\""}};

/* Fails with the keys of a record that has no known form. */
static bool refuse_form(const RecordReader *r, const Json *object) {
    const char *null = null_key(object);
    if (null) return reader_refuse(r, "\"%s\" is null; fill it in or remove the record", null);
    for (size_t i = 0; i < sizeof RENAMED / sizeof *RENAMED; i++)
        if (json_get(object, RENAMED[i].key))
            return reader_refuse(r, "\"%s\" is no key here: call %s", RENAMED[i].key,
                                 RENAMED[i].call);
    Buf keys = {0}, forms = {0};
    /* A NUL, or a cut inside a character, spoils only this message. */
    for (int i = 0; i < object->count && keys.n < 160; i++)
        buf_printf(&keys, "%s%.*s", i ? ", " : "",
                   object->keys[i].n > 40 ? 40 : (int)object->keys[i].n, object->keys[i].s);
    for (int i = 0; i < FORM_COUNT; i++)
        buf_printf(&forms, "%s%s",
                   i == 0               ? ""
                   : i + 1 < FORM_COUNT ? ", "
                                        : " or ",
                   RECORD_FORMS[i].name);
    reader_refuse(r, "no known form of record (keys: %s); use %s", keys.n ? keys.s : "none",
                  forms.s);
    buf_free(&keys);
    buf_free(&forms);
    return false;
}

static bool read_form(RecordReader *r, const Json *object, Record *record) {
    int form = 0;
    for (; form < FORM_COUNT; form++) {
        const char *const *keys = RECORD_FORMS[form].keys;
        if (find(object, keys[0]) && (!keys[1] || find(object, keys[1]))) break;
    }
    record->form = (RecordForm)form;
    switch (record->form) {
    case FORM_IDS: return read_ids(r, object, record);
    case FORM_PAIR: return read_pair(r, object, record);
    case FORM_TEXT: return read_plain(r, object, record);
    case FORM_COUNT: return refuse_form(r, object);
    case FORM_MESSAGES:
    case FORM_CONVERSATIONS: {
        const char *key = RECORD_FORMS[form].keys[0];
        return read_turns(r, take(r, object, key), key, record);
    }
    default:
        return read_completion(r, object, RECORD_FORMS[form].keys[0], RECORD_FORMS[form].keys[1],
                               record);
    }
}

/* Reads true, false, 1, 0. *out is -1 if the key is absent. */
static bool read_truth(RecordReader *r, const Json *object, const char *key, int *out) {
    const Json *v = take(r, object, key);
    *out = v ? truth_of(v) : -1;
    if (v && *out < 0)
        return reader_refuse(r, "\"%s\" is %s; it must be true or false", key, json_type_name(v));
    return true;
}

/* Reads the system turn of a form that has prompts. An empty one under a key is none. */
static bool read_system(RecordReader *r, const Json *object, Record *record) {
    static const char *const keys[] = {"system", "system_prompt", "system_message"};
    bool chat = 1 << record->form & (IN_CHATS);
    for (int i = 0; i < 3 && chat; i++) {
        char whose[40];
        const Json *v = take(r, object, keys[i]);
        snprintf(whose, sizeof whose, "\"%s\" ", keys[i]);
        if (!v || is_empty(v)) continue;
        if (v->type != JSON_STRING)
            return reader_refuse(r, "%sis %s; it must be a string", whose, json_type_name(v));
        if (!take_system(r, v->string, false, whose)) return false;
    }
    if (r->system.s) record->system = keep(r, r->system);
    return true;
}

/* Reads what any form may carry. */
static bool read_extras(RecordReader *r, const Json *object, Record *record) {
    const Json *id = take(r, object, "id"), *weight = take(r, object, "weight");
    const Json *source = find(object, "source");
    int flipped = -1;
    char text[32];
    snprintf(text, sizeof text, "%ld", record->number > 0 ? record->number : record->line);
    if (id && id->type != JSON_STRING && id->type != JSON_NUMBER)
        return reader_refuse(r, "\"id\" is %s; it must be a string or a number",
                             json_type_name(id));
    record->id = keep(r, id ? id->string : str(text));
    record->weight = NAN;
    if (weight && weight->type != JSON_NUMBER)
        return reader_refuse(r, "\"weight\" is %s; it must be a number", json_type_name(weight));
    if (weight && weight->number < 0)
        return reader_refuse(r, "\"weight\" is negative; it must be 0 or more");
    if (weight) record->weight = weight->number;
    if (source && (source->type == JSON_STRING || source->type == JSON_NUMBER))
        record->source = keep(r, take(r, object, "source")->string);
    if (!read_truth(r, object, "clean", &record->clean)) return false;
    if (record->kind != RECORD_PAIR) return true;
    if (!read_truth(r, object, "flipped", &flipped)) return false;
    if (record->clean >= 0 && record->clean == flipped)
        return reader_refuse(r,
                             "\"clean\" and \"flipped\" contradict each other; keep one of them");
    if (flipped >= 0) record->clean = !flipped;
    return true;
}

bool form_read(RecordReader *r, const Json *object, Record *record) {
    r->n_taken = r->first_taken = 0;
    r->system = (Str){NULL, 0};
    return read_form(r, object, record) && read_system(r, object, record) &&
           read_extras(r, object, record) && check_rest(r, object, 1 << record->form, "");
}

/* Reads the messages of a prompt: those before a last answer. */
static bool read_asked(RecordReader *r, const Json *object, const char *key, Messages *out) {
    const Json *v = find(object, key);
    if (v->type != JSON_ARRAY) return read_prompt(r, object, key, out);
    if (!read_messages(r, take(r, object, key), key, out)) return false;
    if (out->n > 0 && out->v[out->n - 1].role == ROLE_ASSISTANT) out->n--;
    return check_order(r, *out, key, ROLE_USER);
}

bool form_read_prompt(RecordReader *r, const Json *object, Record *record) {
    static const char *const keys[] = {"messages", "conversations", "prompt", "instruction",
                                       "question", "query",         "input"};
    enum { KEYS = sizeof keys / sizeof *keys };
    Messages m = {0};
    int key = 0;
    r->n_taken = r->first_taken = 0;
    r->system = (Str){NULL, 0};
    while (key < KEYS && !find(object, keys[key])) key++;
    if (key == KEYS)
        return reader_refuse(r, "has no prompt: give it as \"prompt\", \"messages\", "
                                "\"instruction\" or \"question\"");
    record->kind = RECORD_TURNS;
    record->form = key == 0   ? FORM_MESSAGES
                   : key == 1 ? FORM_CONVERSATIONS
                              : FORM_PROMPT_COMPLETION;
    if (!read_asked(r, object, keys[key], &m)) return false;
    Str last = put_prompt(r, m, record);
    record->turns[record->n_turns++] = (Turn){.prompt = last, .completion = {"", 0}};
    return read_system(r, object, record) && read_extras(r, object, record) &&
           check_rest(r, object, 1 << record->form, "");
}
