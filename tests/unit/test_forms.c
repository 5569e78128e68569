/* forms: records as people have them. Each key that changes what is to be learned is read, with the
 * right value, or refused by name. Each other key is counted. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/records.h"
#include "lib/file.h"
#include "tests/unit/check.h"

static char folder[512], file[600]; /* a folder of our own, and the one file in it */

static bool load(Dataset *d, const char *text, Error *err) {
    Error io = {0};
    *err = (Error){0};
    if (file_write(file, text, strlen(text), &io)) return records_load(d, file, err);
    error_print(&io);
    exit(4);
}

static void put_part(Buf *b, const char *name, Str s) {
    if (s.n) buf_printf(b, "%s[%.*s]", name, STR_ARG(s));
}

/* What a record teaches: "S[..]" a system turn, "P[..]" context, "A[..]" an answer that is trained,
 * "a[..]" one that is not, "C[..]" and "R[..]" chosen and rejected, "T[..]" text; ids, with a mark
 * before one that has no loss. */
static void describe(const Record *r, Buf *b) {
    if (r->system.s) buf_printf(b, "S[%.*s]", STR_ARG(r->system));
    for (int t = 0; t < r->n_turns; t++) {
        put_part(b, "P", r->turns[t].prompt);
        put_part(b, r->turns[t].trained ? "A" : "a", r->turns[t].completion);
    }
    put_part(b, "P", r->prompt);
    put_part(b, "C", r->chosen);
    put_part(b, "R", r->rejected);
    put_part(b, "T", r->text);
    for (int i = 0; i < r->n_ids; i++)
        buf_printf(b, "%s%d ", r->labels && r->labels[i] == -100 ? "'" : "", r->input_ids[i]);
}

/* The ignored keys as "name count, ...". */
static void describe_ignored(const Dataset *d, Buf *b) {
    for (int i = 0; i < d->n_ignored; i++)
        buf_printf(b, "%s%s %d", i ? ", " : "", d->ignored[i].name, d->ignored[i].records);
}

typedef struct {
    const char *text;    /* a file */
    const char *teaches; /* its first record, as describe() says it */
    const char *ignored; /* as describe_ignored() says it; NULL: nothing is */
} Read;

static void check_read(const Read *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Dataset d;
        Error err;
        Buf teaches = {0}, ignored = {0};
        bool ok = load(&d, cases[i].text, &err);
        CHECK(ok, "%s\n    refused: %s", cases[i].text, err.text);
        if (!ok) continue;
        buf_puts(&teaches, "");
        buf_puts(&ignored, "");
        describe(&d.records[0], &teaches);
        describe_ignored(&d, &ignored);
        CHECK(strcmp(teaches.s, cases[i].teaches) == 0, "%s\n    teaches %s", cases[i].text,
              teaches.s);
        CHECK(strcmp(ignored.s, cases[i].ignored ? cases[i].ignored : "") == 0,
              "%s\n    ignored: %s", cases[i].text, ignored.s);
        buf_free(&teaches);
        buf_free(&ignored);
        records_free(&d);
    }
}

typedef struct {
    const char *text;
    const char *says; /* a part of the message */
} Refused;

static void check_refused(const Refused *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        Dataset d;
        Error err;
        bool ok = load(&d, cases[i].text, &err);
        CHECK(!ok, "accepted: %s", cases[i].text);
        if (ok) records_free(&d);
        else
            CHECK(err.status == STATUS_DATA && strstr(err.text, cases[i].says), "%s\n    %s",
                  cases[i].text, err.text);
    }
}

#define READ(cases) check_read(cases, sizeof(cases) / sizeof *(cases))
#define REFUSED(cases) check_refused(cases, sizeof(cases) / sizeof *(cases))
#define USER(x) "{\"role\":\"user\",\"content\":\"" x "\"}"
#define SAYS(x, more) "{\"role\":\"assistant\",\"content\":\"" x "\"" more "}"
#define CHAT(list) "{\"messages\":[" list "]}"
#define PAIR(c, r) "\"chosen\":" c ",\"rejected\":" r

/* ---- conversations ---- */

static void test_weights_of_messages(void) {
    static const Read read[] = {
        {CHAT(USER("q") "," SAYS("a", ",\"weight\":1")), "P[q]A[a]", NULL},
        {CHAT(USER("q") "," SAYS("bad", ",\"weight\":0") "," USER("r") "," SAYS("b", "")),
         "P[q]a[bad]P[r]A[b]", NULL},
        /* The last answer with a weight is the last thing to learn. */
        {CHAT(USER("q") "," SAYS("a", "") "," USER("r") "," SAYS("bad", ",\"weight\":0")),
         "P[q]A[a]", NULL},
        {CHAT(USER("q") "," SAYS("a", ",\"loss\":true")), "P[q]A[a]", NULL},
        {CHAT(USER("q") "," SAYS("a", ",\"loss\":false") "," USER("r") "," SAYS("b", "")),
         "P[q]a[a]P[r]A[b]", NULL},
        {CHAT("{\"role\":\"user\",\"content\":\"q\",\"weight\":0}," SAYS("a", ",\"weight\":null")),
         "P[q]A[a]", NULL},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"gpt\",\"value\":"
         "\"a\",\"weight\":0},{\"from\":\"human\",\"value\":\"r\"},{\"from\":\"gpt\",\"value\":"
         "\"b\",\"weight\":1}]}",
         "P[q]a[a]P[r]A[b]", NULL},
    };
    static const Refused refused[] = {
        {CHAT(USER("q") "," SAYS("BAD", ",\"weight\":0")), "no answer is left to train on"},
        {CHAT(USER("q") "," SAYS("BAD", ",\"train\":false")), "no answer is left to train on"},
        {CHAT(USER("q") "," SAYS("a", ",\"weight\":0.5")),
         "\"messages\", message 2: \"weight\" must be 0 or 1"},
        {CHAT("{\"role\":\"user\",\"content\":\"q\",\"weight\":1}," SAYS("a", "")),
         "message 1: \"weight\" is 1, but only the assistant's messages"},
        {"{\"prompt\":\"p\",\"completion\":[" SAYS("a", ",\"weight\":0") "]}", "no answer is left"},
        {"{\"prompt\":\"p\",\"rejected\":\"r\",\"chosen\":[" SAYS("a", ",\"weight\":0") "]}",
         "\"chosen\": no answer is left"},
    };
    READ(read);
    REFUSED(refused);
}

static void test_keys_of_messages(void) {
    static const Read read[] = {
        {CHAT("{\"role\":\"user\",\"content\":\"q\",\"name\":\"Ann\"}," SAYS(
             "a", ",\"name\":\"bot\",\"tool_calls\":[],\"refusal\":null,\"annotations\":[1]")),
         "P[q]A[a]", "messages[].name 1, messages[].annotations 1"},
        {CHAT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"},{\"type\":"
              "\"text\",\"text\":\"r\",\"cache\":1}]}," SAYS("a", "")),
         "P[qr]A[a]", "messages[].content[].cache 1"},
        {CHAT("{\"role\":\"system\",\"content\":\"\"}," USER("q") "," SAYS("a", "")), "S[]P[q]A[a]",
         NULL},
        {CHAT("{\"role\":\"developer\",\"content\":\"s\"}," USER("q") "," SAYS("a", "")),
         "S[s]P[q]A[a]", NULL},
        {"{\"conversations\":[" USER("q") "," SAYS("a", "") "],\"system\":\"s\"}", "S[s]P[q]A[a]",
         NULL},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," USER("q") "," SAYS(
             "a", "") "],\"system\":\"s\"}",
         "S[s]P[q]A[a]", NULL},
    };
    static const Refused refused[] = {
        {CHAT(USER("q") ",{\"role\":\"system\",\"content\":\"s\"}," SAYS("a", "")),
         "message 2: is a system turn after others; it must stand first"},
        {CHAT(USER("q") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":1}]}"),
         "message 2: \"tool_calls\" cannot be honoured"},
        {CHAT(USER("q") ",{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}}"),
         "message 2: \"function_call\" cannot be honoured"},
        {CHAT(USER("q") ",{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"}"),
         "\"refusal\" cannot be honoured; put it into \"content\""},
        {CHAT(USER("q") "," SAYS("a", ",\"reasoning_content\":\"hm\"")), "\"reasoning_content\""},
        {CHAT("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}," SAYS(
             "a", "")),
         "message 1: part 1 of the content is not text"},
        {CHAT(USER("q") ",{\"role\":\"tool\",\"content\":\"3\",\"tool_call_id\":\"x\"}"),
         "message 2: unknown role \"tool\""},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"q\"},{\"from\":\"function_call\","
         "\"value\":\"f\"},{\"from\":\"observation\",\"value\":\"3\"}]}",
         "message 2: unknown role \"function_call\""},
        {CHAT("{\"role\":\"user\",\"content\":\"q\",\"content\":\"r\"}," SAYS("a", "")),
         "message 1: \"content\" occurs twice"},
        {"{\"messages\":[" USER("q") "," SAYS("a", "") "],\"tools\":[{\"type\":\"function\"}]}",
         "\"tools\" cannot be honoured"},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"}," USER("q") "," SAYS(
             "a", "") "],\"system\":\"t\"}",
         "\"system\" is another system turn than before; keep one of them"},
        {"{\"messages\":[" USER("q") "," SAYS("a", "") "],\"kto_tag\":false}",
         "\"kto_tag\" cannot be honoured; the answer is an undesired one"},
    };
    READ(read);
    REFUSED(refused);
}

/* Keys that leave out what others would learn. */
static void test_left_out(void) {
    static const Refused refused[] = {
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"weights\":0}", "\"weights\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"train\":false}", "\"train\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"training\":0}", "\"training\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"loss\":false}", "\"loss\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"loss_mask\":[0]}", "\"loss_mask\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"train_on_inputs\":true}",
         "\"train_on_inputs\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"suffix\":\"s\"}", "\"suffix\" cannot"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\","
         "\"content\":\"a\",\"mask\":1}]}",
         "\"mask\" cannot"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"assistant\","
         "\"content\":\"a\",\"loss_mask\":0}]}",
         "no answer is left to train on"},
    };
    REFUSED(refused);
}

/* ---- a prompt and its answer ---- */

static void test_answers(void) {
    static const Read read[] = {
        {"{\"instruction\":\"i\",\"context\":\"c\",\"response\":\"r\",\"category\":\"qa\"}\n"
         "{\"instruction\":\"i\",\"context\":\"\",\"response\":\"r\",\"category\":\"qa\"}",
         "P[i\nc]A[r]", "category 2"},
        {"{\"instruction\":\"i\",\"input\":\"\",\"output\":\"o\",\"system\":\"\",\"history\":[]}",
         "P[i]A[o]", NULL},
        {"{\"instruction\":\"i\",\"input\":\"j\",\"output\":\"o\",\"text\":\"all\"}", "P[i\nj]A[o]",
         "text 1"},
        {"{\"prompt\":\"p\",\"response\":\"r\"}", "P[p]A[r]", NULL},
        {"{\"query\":\"p\",\"response\":\"r\"}", "P[p]A[r]", NULL},
        {"{\"question\":\"q\",\"response\":\"r\",\"system_prompt\":\"\"}", "P[q]A[r]", NULL},
        {"{\"question\":\"q\",\"response\":\"r\",\"system_prompt\":\"s\"}", "S[s]P[q]A[r]", NULL},
        {"{\"question\":\"q\",\"system\":\"s\"," PAIR("\"c\"", "\"r\"") "}", "S[s]P[q]C[c]R[r]",
         NULL},
        {"{" PAIR("[{\"role\":\"system\",\"content\":\"s\"}," USER("q") "," SAYS("c", "") "]",
                  "[{\"role\":\"system\",\"content\":\"s\"}," USER("q") "," SAYS("r", "") "]") "}",
         "S[s]P[q]C[c]R[r]", NULL},
        {"{\"input\":\"p\",\"output\":\"r\"}", "P[p]A[r]", NULL},
        {"{\"context\":\"c\",\"question\":\"q\",\"answer\":\"a\"}", "P[q\nc]A[a]", NULL},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":true}", "P[p]A[c]", "label 1"},
        {"{\"prompt\":[" USER("1") "," SAYS("2", "") "," USER("3") "],\"completion\":\"c\"}",
         "P[1]a[2]P[3]A[c]", NULL},
        {"{\"text\":\"t\",\"label\":0,\"meta\":{\"a\":1}}\n{\"text\":\"u\",\"label\":1}", "T[t]",
         "label 2, meta 1"},
    };
    static const Refused refused[] = {
        {"{\"instruction\":\"i\",\"output\":\"o\",\"system\":1}",
         "data:1: \"system\" is a number; it must be a string"},
        {"{\"instruction\":\"i\",\"output\":\"o\",\"history\":[[\"a\",\"b\"]]}",
         "\"history\" cannot be honoured"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"input\":\"x\"}",
         "\"input\" cannot be honoured; put it into the prompt"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"context\":\"x\"}",
         "\"context\" cannot be honoured"},
        {"{\"input\":\"p\",\"output\":\"c\",\"context\":\"x\"}", "\"context\" cannot be honoured"},
        {"{\"instruction\":\"i\",\"input\":\"x\",\"context\":\"y\",\"output\":\"o\"}",
         "has both \"input\" and \"context\""},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":false}",
         "\"label\" cannot be honoured; the answer is an undesired one"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"label\":0}", "\"label\" cannot be honoured"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"sample_weight\":2}",
         "\"sample_weight\" cannot be honoured; call it \"weight\""},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"images\":[\"x.png\"]}", "\"images\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"completion\":\"d\"}",
         "\"completion\" occurs twice; keep one of them"},
        {"{\"prompt\":\"p\",\"completion\":\"c\",\"prompt_ids\":[1]}", "\"prompt_ids\" cannot"},
    };
    READ(read);
    REFUSED(refused);
}

/* ---- pairs ---- */

#define HH "\"\\n\\nHuman: H\\n\\nAssistant:"

static void test_pairs(void) {
    static const Read read[] = {
        {"{\"prompt\":\"p\"," PAIR("\"c\"", "\"r\"") ",\"output\":\"o\",\"score_chosen\":9,"
                                                     "\"score_rejected\":2}",
         "P[p]C[c]R[r]", "output 1, score_chosen 1, score_rejected 1"},
        {"{\"prompt\":\"p\"," PAIR("\"c\"", "\"r\"") ",\"chosen_score\":4,\"rejected_score\":4,"
                                                     "\"score_chosen\":\"?\"}",
         "P[p]C[c]R[r]", "chosen_score 1, rejected_score 1, score_chosen 1"},
        {"{\"prompt\":\"p\",\"messages\":[" USER("p") "," SAYS("c", "") "]," PAIR(
             "[" USER("p") "," SAYS("c", "") "]", "[" USER("p") "," SAYS("r", "") "]") "}",
         "P[p]C[c]R[r]", "messages 1"},
        {"{\"conversations\":[{\"from\":\"human\",\"value\":\"1\"},{\"from\":\"gpt\",\"value\":"
         "\"2\"},{\"from\":\"human\",\"value\":\"3\"}]," PAIR(
             "{\"from\":\"gpt\",\"value\":\"c\"}", "{\"from\":\"gpt\",\"value\":\"r\"}") "}",
         "P[1]a[2]P[3]C[c]R[r]", NULL},
        {"{\"question\":\"q\",\"context\":\"x\"," PAIR("\"c\"", "\"r\"") "}", "P[q\nx]C[c]R[r]",
         NULL},
        {"{\"input\":\"q\"," PAIR("\"c\"", "\"r\"") "}", "P[q]C[c]R[r]", NULL},
        /* HH-RLHF: the cut is after the last mark, whatever follows it. */
        {"{" PAIR(HH "I can\"", HH " I can't\"") "}",
         "P[\n\nHuman: H\n\nAssistant:]C[I can]R[ I can't]", NULL},
        {"{" PAIR(HH " A\\n\\nHuman: I\\n\\nAssistant:yes\"",
                  HH " A\\n\\nHuman: I\\n\\nAssistant:no\"") "}",
         "P[\n\nHuman: H\n\nAssistant: A\n\nHuman: I\n\nAssistant:]C[yes]R[no]", NULL},
        {"{" PAIR(HH " yes\"", HH " no\"") "}", "P[\n\nHuman: H\n\nAssistant: ]C[yes]R[no]", NULL},
    };
    static const Refused refused[] = {
        {"{\"prompt\":\"p\"," PAIR("\"c\"", "\"r\"") ",\"score_chosen\":2,\"score_rejected\":2.5}",
         "\"score_chosen\" is 2 and \"score_rejected\" is 2.5, so the rejected answer is rated "
         "better"},
        {"{\"prompt\":\"p\"," PAIR("\"c\"", "\"r\"") ",\"rejected-rating\":5,\"chosen-rating\":-1}",
         "\"chosen-rating\" is -1 and"},
        {"{" PAIR(HH "\"", HH " no\"") "}", "\"chosen\" has an empty answer after the prompt"},
        {"{" PAIR(HH " no\"", HH " \\n\"") "}", "\"rejected\" has an empty answer"},
        {"{" PAIR(HH " a\\n\\nHuman: I\\n\\nAssistant: x\"",
                  HH " b\\n\\nHuman: I\\n\\nAssistant: y\"") "}",
         "\"chosen\" and \"rejected\" differ before their last answer"},
        {"{\"prompt\":\"p\"," PAIR("[" USER("other") "," SAYS("c", "") "]",
                                   "[" USER("other") "," SAYS("r", "") "]") "}",
         "\"chosen\" must have one message from the assistant, with at most the prompt's"},
        {"{" PAIR("[{\"role\":\"system\",\"content\":\"s\"}," USER("q") "," SAYS("c", "") "]",
                  "[{\"role\":\"system\",\"content\":\"t\"}," USER("q") "," SAYS("r", "") "]") "}",
         "\"rejected\", message 1: is another system turn than before"},
    };
    READ(read);
    REFUSED(refused);
}

/* ---- token ids ---- */

#define IDS "{\"input_ids\":[10,11,12,13]"

static void test_ids(void) {
    static const Read read[] = {
        {"{\"input_ids\":[10,11,12,50256,50256],\"attention_mask\":[1,1,1,0,0]}", "10 11 12 ",
         NULL},
        {IDS ",\"attention_mask\":[0,1,1,1],\"labels\":[-100,-100,12,13]}", "'11 12 13 ", NULL},
        {IDS ",\"attention_mask\":[1,1,1,1],\"labels\":[10,11,12,13]}", "10 11 12 13 ", NULL},
        {IDS ",\"completion_mask\":[0,0,1,1]}", "'10 '11 12 13 ", NULL},
        {IDS ",\"assistant_masks\":[0,0,0,1]}", "'10 '11 '12 13 ", NULL},
        {IDS ",\"loss_mask\":[0,0,1,1],\"labels\":[10,11,12,-100]}", "'10 '11 12 '13 ", NULL},
        {IDS ",\"token_type_ids\":[0,0,0,0],\"position_ids\":[0,1,2,3],\"length\":4}",
         "10 11 12 13 ", "token_type_ids 1, position_ids 1, length 1"},
    };
    static const Refused refused[] = {
        {IDS ",\"attention_mask\":[1,0,1,1]}", "\"attention_mask\", item 2: is 0 between tokens"},
        {IDS ",\"attention_mask\":[1,1,1]}", "\"attention_mask\" has 3 items"},
        {IDS ",\"attention_mask\":[0,0,0,0]}", "\"attention_mask\" leaves no token"},
        {IDS ",\"attention_mask\":[1,1,1,2]}", "\"attention_mask\", item 4: must be 0 or 1"},
        {IDS ",\"labels\":[-100,-100,12,99]}", "\"labels\", item 4: is 99, and input_ids has 13"},
        {IDS ",\"labels\":[-100,-100,-100,-100]}", "nothing is left to train on"},
        {IDS ",\"completion_mask\":[1,0,0,0]}", "nothing is left to train on"},
        {IDS ",\"token_type_ids\":[0,0,1,1]}", "\"token_type_ids\" cannot be honoured"},
        {IDS ",\"position_ids\":[0,1,0,1]}", "\"position_ids\" cannot be honoured"},
        {IDS ",\"seq_lengths\":[2,2]}", "\"seq_lengths\" cannot be honoured"},
        {IDS ",\"prompt_ids\":[10]}", "\"prompt_ids\" cannot be honoured"},
        {"{\"chosen_response\":\"a\",\"rejected_response\":\"b\"}", "call it \"chosen\""},
        {"{\"preferred_output\":[],\"non_preferred_output\":[]}", "call it \"chosen\""},
        {"{\"prompt_ids\":[1],\"completion_ids\":[2]}", "no known form of record"},
    };
    READ(read);
    REFUSED(refused);
}

/* ---- what is counted ---- */

/* Keys that nobody knows are counted in bounded room, and cannot steer a terminal. */
static void test_ignored(void) {
    Buf text = {0};
    Dataset d;
    Error err;
    buf_puts(&text, "{\"text\":\"t\",\"\\u001b[2J\\u009b\\u202e\xc3\xa9\":1}\n");
    for (int i = 0; i < 100; i++) buf_printf(&text, "{\"text\":\"t\",\"k%d\":1,\"j%d\":1}\n", i, i);
    if (load(&d, text.s, &err)) {
        CHECK(strcmp(d.ignored[0].name, "\\u001b[2J\\u009b\\u202e\xc3\xa9") == 0, "shown as %s",
              d.ignored[0].name);
        CHECK(d.n_ignored == RECORD_MAX_IGNORED, "%d rows", d.n_ignored);
        const IgnoredKey *others = &d.ignored[RECORD_MAX_IGNORED - 1];
        CHECK(strcmp(others->name, "(others)") == 0 && others->records == 85, "%s %d", others->name,
              others->records);
        records_free(&d);
    } else CHECK(false, "%s", err.text);
    buf_free(&text);
}

static void test_distinct(void) {
    static const char text[] = "{\"prompt\":\"a\",\"completion\":\"b\"}\n"
                               "{\"prompt\":\"a\",\"completion\":\"c\"}\n"
                               "{\"prompt\":\"a\",\"completion\":\"b\",\"id\":\"x\",\"weight\":2}\n"
                               "{\"prompt\":\"ab\",\"completion\":\"b\"}\n"
                               "{\"question\":\"a\",\"answer\":\"b\"}\n"
                               "{\"text\":\"a\"}\n{\"text\":\"a\"}\n"
                               "{\"input_ids\":[1,2]}\n{\"input_ids\":[1,2],\"labels\":[1,2]}\n"
                               "{\"input_ids\":[1,2],\"labels\":[-100,2]}\n";
    Dataset d;
    Error err;
    if (load(&d, text, &err)) {
        CHECK(records_distinct(&d) == 6, "%d distinct", records_distinct(&d));
        records_free(&d);
    } else CHECK(false, "%s", err.text);
}

/* ---- the table ---- */

/* Every row has a name of its own and a key. A prompt with an answer is read by its row alone. */
static void test_table(void) {
    for (int i = 0; i < FORM_COUNT; i++) {
        const RecordFormInfo *row = &RECORD_FORMS[i];
        CHECK(row->name && row->keys[0], "form %d has no row", i);
        for (int j = 0; j < i && row->name; j++)
            CHECK(strcmp(row->name, RECORD_FORMS[j].name) != 0, "two forms are %s", row->name);
        if (!row->keys[1] || i == FORM_PAIR) continue;
        char text[128];
        snprintf(text, sizeof text, "{\"%s\":\"q\",\"%s\":\"a\"}", row->keys[0], row->keys[1]);
        const Read read[] = {{text, "P[q]A[a]", NULL}};
        READ(read);
    }
}

/* ---- the same said in another way ---- */

static void test_truth_as_text(void) {
    static const Read read[] = {
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"label\":\"True\",\"train\":\"1\"}", "P[p]A[a]",
         "label 1, train 1"},
        {CHAT(USER("q") "," SAYS("bad", ",\"weight\":\"0\"") "," USER("r") "," SAYS("b", "")),
         "P[q]a[bad]P[r]A[b]", NULL},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"label\":\"sport\",\"loss\":0}", "P[p]A[a]",
         "label 1, loss 1"},
    };
    static const Refused refused[] = {
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"label\":\"False\"}", "\"label\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"label\":-1}", "\"label\" cannot"},
        {"{\"instruction\":\"p\",\"output\":\"a\",\"kto_tag\":\"0\"}", "\"kto_tag\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"train\":\"NO\"}", "\"train\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"loss\":\"false\"}", "\"loss\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"train_on_inputs\":\"true\"}",
         "\"train_on_inputs\" cannot"},
    };
    READ(read);
    REFUSED(refused);
}

static void test_other_names(void) {
    static const Read read[] = {
        {"{\"ID\":7,\"Source\":\"x\",\"prompt\":\"p\",\"completion\":\"a\"}", "P[p]A[a]",
         "ID 1, Source 1"},
        {"{\"prompt\":\"q A B\",\"completion\":\"A\",\"choices\":[\"A\",\"B\"],\"Tools\":[]}",
         "P[q A B]A[A]", "choices 1"},
        {"{\"question\":\"q\",\"answer\":\"A\",\"options\":[]}", "P[q]A[A]", NULL},
    };
    static const Refused refused[] = {
        {"{\"instruction\":\"q\",\"Input\":\"x\",\"output\":\"a\"}",
         "\"Input\" is not read; is \"input\" meant?"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"Weight\":0}", "is \"weight\" meant?"},
        {"{\"System\":\"s\",\"prompt\":\"p\",\"completion\":\"a\"}", "is \"system\" meant?"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"Tools\":[1]}", "is \"tools\" meant?"},
        {CHAT(USER("q") "," SAYS("a", ",\"Weight\":0")), "message 2: \"Weight\" is not read"},
        {"{\"question\":\"q\",\"answer\":\"A\",\"choices\":[\"x\",\"y\"]}", "\"choices\" cannot"},
        {"{\"instruction\":\"q\",\"output\":\"a\",\"knowledge\":\"k\"}", "\"knowledge\" cannot"},
        {"{\"system_instruction\":\"s\",\"prompt\":\"p\",\"completion\":\"a\"}",
         "call it \"system\""},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"labels\":[1,-100]}", "\"labels\" cannot"},
        {"{\"question\":\"q\",\"answer\":\"a\",\"reasoning\":\"r\"}", "\"reasoning\" cannot"},
        {"{\"prompt\":\"p\",\"completion\":\"a\",\"thinking\":\"t\"}",
         "\"thinking\" cannot be honoured; put it into the answer's text"},
        {"{\"input_ids\":[1,2,3],\"loss_weights\":[0,0.5,1]}", "\"loss_weights\" cannot"},
        {CHAT(USER("q") "," SAYS("a", ",\"ignore\":true")), "\"ignore\" cannot"},
        {CHAT(USER("q") "," SAYS("a", ",\"value\":\"b\"")), "has both \"content\" and \"value\""},
        {CHAT("{\"role\":\"user\",\"from\":\"gpt\",\"content\":\"q\"}," SAYS("a", "")),
         "has both \"role\" and \"from\""},
        {CHAT("{\"role\":\"user\",\"content\":[{\"text\":\"a\",\"text\":\"b\"}]}," SAYS("a", "")),
         "part 1 of the content has a key twice"},
    };
    READ(read);
    REFUSED(refused);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ica-forms-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make a folder like %s\n", folder);
        return 1;
    }
    snprintf(file, sizeof file, "%s/data", folder);
    test_table();
    test_weights_of_messages();
    test_keys_of_messages();
    test_left_out();
    test_answers();
    test_pairs();
    test_ids();
    test_ignored();
    test_distinct();
    test_truth_as_text();
    test_other_names();
    unlink(file);
    rmdir(folder);
    return check_report("test_forms");
}
