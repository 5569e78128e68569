/* dataset: every form of record, what goes with it, the kinds of files, and one message for each
 * thing that can be wrong. */
#define _POSIX_C_SOURCE 200809L
#include "data/records.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/text.h"
#include "tests/unit/check.h"

static char folder[512], file[600]; /* a folder of our own, and the one file in it */

/* Writes the file and loads it; on failure err->text is shortened to what follows the folder. */
static bool load_bytes(Dataset *d, const char *bytes, size_t n, Error *err) {
    *err = (Error){0};
    Error io = {0};
    if (!file_write(file, bytes, n, &io)) {
        error_print(&io);
        exit(4);
    }
    if (records_load(d, file, err)) {
        CHECK(err->status == 0, "loaded, but with an error: %s", err->text);
        return true;
    }
    CHECK(!d->path && !d->records && !d->arena.last && d->count == 0,
          "a failed load leaves something behind");
    size_t skip = strlen(folder) + 1;
    if (strncmp(err->text, file, skip) == 0)
        memmove(err->text, err->text + skip, strlen(err->text + skip) + 1);
    return false;
}

static bool load(Dataset *d, const char *text) {
    Error err;
    bool ok = load_bytes(d, text, strlen(text), &err);
    CHECK(ok, "%.200s\n    %s", text, err.text);
    return ok;
}

/* ---- forms ---- */

#define SYSTEM(x) "{\"role\":\"system\",\"content\":\"" x "\"}"
#define USER(x) "{\"role\":\"user\",\"content\":\"" x "\"}"
#define ASSISTANT(x) "{\"role\":\"assistant\",\"content\":\"" x "\"}"

static void check_turn(const char *text, const char *prompt, const char *completion) {
    Dataset d;
    if (!load(&d, text)) return;
    const Record *r = &d.records[0];
    CHECK(d.count == 1 && r->kind == RECORD_TURNS && r->n_turns == 1 && r->line == 1 &&
              str_is(r->id, "1"),
          "not one turn: %s", text);
    if (r->n_turns > 0)
        CHECK(str_is(r->turns[0].prompt, prompt) && str_is(r->turns[0].completion, completion),
              "%s: [%s] [%s]", text, r->turns[0].prompt.s, r->turns[0].completion.s);
    CHECK(isnan(r->weight) && r->clean == -1 && !r->source.s && !r->labels,
          "%s: something out of nothing", text);
    records_free(&d);
}

static void test_turns(void) {
    check_turn("{\"prompt\":\"Q?\",\"completion\":\" A\"}", "Q?", " A");
    check_turn("{\"completion\":\" \\n\",\"prompt\":\" \",\"other\":{\"x\":[1]}}", " ",
               " \n"); /* white space is text */
    check_turn("{\"prompt\":\"\\u00e9\\ud83d\\ude00\",\"completion\":\"\xe2\x82\xac\"}",
               "\xc3\xa9\xf0\x9f\x98\x80", "\xe2\x82\xac");
    check_turn("{\"prompt\":[" USER("Q") "],\"completion\":[" ASSISTANT("A") "]}", "Q", "A");
    check_turn("{\"prompt\":[" SYSTEM("") "," USER("Q") "],\"completion\":\"A\"}", "Q", "A");
    check_turn("{\"messages\":[" USER("Q") "," ASSISTANT("A") "]}", "Q", "A");
    check_turn(
        "{\"messages\":[" SYSTEM("") ",{\"content\":\"Q\",\"role\":\"user\"}," ASSISTANT("A") "]}",
        "Q", "A");
    check_turn("{\"conversations\":[{\"from\":\"system\",\"value\":\"\"},{\"from\":\"human\","
               "\"value\":\"Q\"},"
               "{\"from\":\"gpt\",\"value\":\"A\"}]}",
               "Q", "A");
    check_turn("{\"instruction\":\"I\",\"input\":\"J\",\"output\":\"O\"}", "I\nJ", "O");
    check_turn("{\"instruction\":\"I\",\"input\":\"\",\"output\":\"O\"}", "I", "O");
    check_turn("{\"instruction\":\"I\",\"input\":null,\"output\":\"O\"}", "I", "O");
    check_turn(
        "{\"instruction\":\"I\",\"output\":\"O\",\"prompt\":\"all of it\",\"text\":\"and again\"}",
        "I", "O");
    check_turn("{\"question\":\"Q\",\"answer\":\"A\"}", "Q", "A");
}

static void test_many_turns(void) {
    Dataset d;
    if (!load(&d, "{\"messages\":[" SYSTEM("") "," USER("a") "," ASSISTANT("b") "," USER(
                      "c") "," ASSISTANT("d") "],\"source\":\"s\"}"))
        return;
    const Record *r = &d.records[0];
    CHECK(r->n_turns == 2 && str_is(r->turns[0].prompt, "a") &&
              str_is(r->turns[0].completion, "b") && str_is(r->turns[1].prompt, "c") &&
              str_is(r->turns[1].completion, "d"),
          "wrong turns (%d)", r->n_turns);
    CHECK(str_is(r->source, "s"), "wrong source");
    records_free(&d);
}

static void check_pair(const char *text, const char *prompt, const char *chosen,
                       const char *rejected) {
    Dataset d;
    if (!load(&d, text)) return;
    const Record *r = &d.records[0];
    CHECK(d.count == 1 && r->kind == RECORD_PAIR && r->n_turns == 0, "not a pair: %s", text);
    CHECK(str_is(r->prompt, prompt) && str_is(r->chosen, chosen) && str_is(r->rejected, rejected),
          "%s: [%s] [%s] [%s]", text, r->prompt.s, r->chosen.s, r->rejected.s);
    records_free(&d);
}

static void test_pairs(void) {
    check_pair("{\"prompt\":\"P\",\"chosen\":\"C\",\"rejected\":\"R\"}", "P", "C", "R");
    check_pair("{\"prompt\":\"P\",\"chosen\":\"C\",\"rejected\":\"C\",\"completion\":\"x\"}", "P",
               "C", "C");
    check_pair("{\"prompt\":[" USER("P") "],\"chosen\":[" ASSISTANT(
                   "C") "],\"rejected\":[" ASSISTANT("R") "]}",
               "P", "C", "R");
    check_pair("{\"prompt\":[" USER("P") "],\"chosen\":[" USER("P") "," ASSISTANT(
                   "C") "],\"rejected\":[" ASSISTANT("R") "]}",
               "P", "C", "R");
    check_pair(
        "{\"prompt\":\"P\",\"messages\":[" USER("P") "," ASSISTANT("C") "],\"chosen\":[" USER(
            "P") "," ASSISTANT("C") "],\"rejected\":[" USER("P") "," ASSISTANT("R") "]}",
        "P", "C", "R");
    check_pair("{\"instruction\":\"I\",\"input\":\"J\",\"output\":\"O\",\"rejected\":\"R\","
               "\"chosen\":\"C\"}",
               "I\nJ", "C", "R");
    check_pair("{\"question\":\"Q\",\"chosen\":\"C\",\"rejected\":\"R\"}", "Q", "C", "R");
    check_pair("{\"prompt\":\"P\",\"question\":\"Q\",\"instruction\":\"I\",\"chosen\":\"C\","
               "\"rejected\":\"R\"}",
               "P", "C", "R");
}

static void test_shared_prompts(void) {
    /* answers that start alike: the cut is behind the marker, not at the first difference */
    check_pair("{\"chosen\":\"\\n\\nHuman: H\\n\\nAssistant: I can help\","
               "\"rejected\":\"\\n\\nHuman: H\\n\\nAssistant: I cannot\"}",
               "\n\nHuman: H\n\nAssistant: ", "I can help", "I cannot");
    check_pair("{\"chosen\":\"\\n\\nHuman: H\\n\\nAssistant: A\\n\\nHuman: I\\n\\nAssistant: x\","
               "\"rejected\":\"\\n\\nHuman: H\\n\\nAssistant: A\\n\\nHuman: I\\n\\nAssistant: y\"}",
               "\n\nHuman: H\n\nAssistant: A\n\nHuman: I\n\nAssistant: ", "x", "y");
    check_pair("{\"chosen\":\"H\\n\\nAssistant: same\",\"rejected\":\"H\\n\\nAssistant: same\"}",
               "H\n\nAssistant: ", "same", "same");
    check_pair("{\"chosen\":\"one two three\",\"rejected\":\"one two thirty\"}", "one two ",
               "three", "thirty");
    check_pair("{\"chosen\":\"one\\ttwo\",\"rejected\":\"one\\ttwo three\"}", "one\t", "two",
               "two three");
    check_pair("{\"chosen\":\"one two \",\"rejected\":\"one two three\"}", "one ", "two ",
               "two three");
    check_pair("{\"chosen\":\"one two\",\"rejected\":\"one two\"}", "one ", "two", "two");
    check_pair("{\"chosen\":[" USER("P") "," ASSISTANT("C") "],\"rejected\":[" USER(
                   "P") "," ASSISTANT("R") "]}",
               "P", "C", "R");
    check_pair("{\"chosen\":[" USER("P") "," ASSISTANT("C") "],\"rejected\":[" USER(
                   "P") "," ASSISTANT("C") "]}",
               "P", "C", "C");
}

static void test_text_and_ids(void) {
    Dataset d;
    if (!load(&d,
              "{\"text\":\"T\"}\n{\"input_ids\":[5,0,2147483647],\"labels\":[-100,0,2147483647],"
              "\"text\":"
              "\"T\",\"prompt\":\"x\","
              "\"completion\":\"y\"}\n{\"input_ids\":[1]}\n{\"input_ids\":[1],\"labels\":null}\n"))
        return;
    const Record *r = d.records;
    CHECK(d.count == 4 && r[0].kind == RECORD_TEXT && str_is(r[0].text, "T"), "wrong text");
    CHECK(r[1].kind == RECORD_IDS && r[1].n_ids == 3 && r[1].input_ids[0] == 5 &&
              r[1].input_ids[2] == 2147483647,
          "wrong ids");
    CHECK(r[1].labels && r[1].labels[0] == -100 && r[1].labels[1] == 0 &&
              r[1].labels[2] == 2147483647,
          "wrong labels");
    CHECK(r[2].n_ids == 1 && !r[2].labels && !r[3].labels, "labels out of nothing");
    records_free(&d);
}

static void
test_precedence(void) { /* each line loses its strongest form; see the order in the header */
    static const char all[] = "\"input_ids\":[1],\0"
                              "\"chosen\":\"p c\",\"rejected\":\"p r\",\0"
                              "\"prompt\":\"P\",\"completion\":\"1\",\0"
                              "\"messages\":[" USER("q") "," ASSISTANT(
                                  "2") "],\0"
                                       "\"conversations\":[" USER("q") "," ASSISTANT(
                                           "3") "],\0"
                                                "\"instruction\":\"I\",\"output\":\"4\",\0"
                                                "\"question\":\"Q\",\"answer\":\"5\",\0"
                                                "\"text\":\"T\",\0";
    static const RecordKind kinds[] = {RECORD_IDS,   RECORD_PAIR,  RECORD_TURNS, RECORD_TURNS,
                                       RECORD_TURNS, RECORD_TURNS, RECORD_TURNS, RECORD_TEXT};
    const char *first = all;
    for (int i = 0; i < 8; i++, first += strlen(first) + 1) {
        Buf text = {0};
        Dataset d;
        buf_putc(&text, '{');
        for (const char *part = first; *part; part += strlen(part) + 1) buf_puts(&text, part);
        buf_puts(&text, "\"end\":0}");
        if (load(&d, text.s)) {
            const Record *r = &d.records[0];
            char answer[2] = {(char)('0' + i - 1), 0};
            CHECK(r->kind == kinds[i], "form %d read as kind %d", i, (int)r->kind);
            if (r->kind == RECORD_TURNS)
                CHECK(str_is(r->turns[0].completion, answer), "form %d: %s", i,
                      r->turns[0].completion.s);
            records_free(&d);
        }
        buf_free(&text);
    }
}

static void test_extras(void) {
    static const struct {
        const char *text;
        const char *id;
        double weight;
        int clean;
        const char *source;
    } cases[] = {
        {"{\"text\":\"x\",\"id\":\"a b\",\"weight\":0.25,\"clean\":true,\"source\":\"lazy\"}",
         "a b", .25, 1, "lazy"},
        {"{\"text\":\"x\",\"id\":12345678901234567890,\"weight\":0,\"clean\":false}",
         "12345678901234567890", 0, 0, NULL},
        {"{\"text\":\"x\",\"weight\":null,\"clean\":1}", "1", NAN, 1, NULL},
        {"{\"text\":\"x\",\"weight\":2,\"clean\":0}", "1", 2, 0, NULL},
        {"{\"text\":\"x\",\"id\":null,\"weight\":1e3,\"flipped\":true,\"source\":null}", "1", 1000,
         -1, NULL},
        {"{\"prompt\":\"p\",\"chosen\":\"x\",\"rejected\":\"y\",\"flipped\":true,\"source\":3}",
         "1", NAN, 0, "3"},
        {"{\"prompt\":\"p\",\"chosen\":\"x\",\"rejected\":\"y\",\"flipped\":false}", "1", NAN, 1,
         NULL},
        {"{\"prompt\":\"p\",\"chosen\":\"x\",\"rejected\":\"y\",\"clean\":true,\"source\":[1]}",
         "1", NAN, 1, NULL},
        {"{\"prompt\":\"p\",\"chosen\":\"x\",\"rejected\":\"y\",\"clean\":false,\"flipped\":true}",
         "1", NAN, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Dataset d;
        if (!load(&d, cases[i].text)) continue;
        const Record *r = &d.records[0];
        CHECK(str_is(r->id, cases[i].id), "%s: id %s", cases[i].text, r->id.s);
        CHECK(r->weight == cases[i].weight || (isnan(r->weight) && isnan(cases[i].weight)),
              "%s: weight %g", cases[i].text, r->weight);
        CHECK(r->clean == cases[i].clean, "%s: clean %d", cases[i].text, r->clean);
        CHECK(cases[i].source ? str_is(r->source, cases[i].source) : !r->source.s,
              "%s: wrong source", cases[i].text);
        records_free(&d);
    }
}

/* ---- files ---- */

static void check_lines(const char *text, int count, const long *lines, const char *ids) {
    Dataset d;
    if (!load(&d, text)) return;
    CHECK(d.count == count, "%s: %d records", text, d.count);
    for (int i = 0; i < d.count && i < count; i++) {
        const Record *r = &d.records[i];
        CHECK(r->line == lines[i] && r->id.n == 1 && r->id.s[0] == ids[i],
              "%s: record %d on line %ld, id %s", text, i, r->line, r->id.s);
        CHECK(r->text.n == 1 && r->text.s[0] == 'a' + i, "%s: record %d is %s", text, i, r->text.s);
    }
    CHECK(d.path && !strcmp(d.path, file), "wrong path");
    CHECK(d.fingerprint == hash64(text, strlen(text), HASH_START), "wrong fingerprint");
    records_free(&d);
}

static void test_files(void) {
    check_lines("{\"text\":\"a\"}", 1, (long[]){1}, "1");
    check_lines("{\"text\":\"a\"}\n{\"text\":\"b\"}\n", 2, (long[]){1, 2}, "12");
    check_lines(
        "\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n \t\n  {\"text\":\"b\"} \r\n\n{\"text\":\"c\"}", 3,
        (long[]){1, 4, 6}, "146");
    check_lines("\n\n{\"text\":\"a\"}\n\n\n", 1, (long[]){3}, "3");
    check_lines("[{\"text\":\"a\"},{\"text\":\"b\"}]", 2, (long[]){1, 1}, "12");
    check_lines("\xef\xbb\xbf\n[\n  {\n  \"text\": \"a\"\n  }\n,\n  {\"text\": \"b\"}, "
                "{\"text\":\n\"c\"}\n]\n\n",
                3, (long[]){3, 7, 7}, "123");
}

static void test_many_records(void) {
    enum { N = 3000 };
    Buf text = {0};
    Dataset d;
    char long_text[200];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    for (int array = 0; array < 2;
         array++) { /* enough for the scratch memory to be emptied several times */
        text.n = 0;
        buf_puts(&text, array ? "[" : "");
        for (int i = 0; i < N; i++)
            buf_printf(&text, "%s{\"prompt\":\"%s%d\",\"completion\":\"c%d\"}\n",
                       array && i ? "," : "", long_text, i, i);
        buf_puts(&text, array ? "]" : "");
        if (!load(&d, text.s)) continue;
        int wrong = d.count != N;
        for (int i = 0; i < N && i < d.count; i++) {
            char prompt[240], completion[16];
            snprintf(prompt, sizeof prompt, "%s%d", long_text, i);
            snprintf(completion, sizeof completion, "c%d", i);
            wrong += d.records[i].line != i + 1 || !str_is(d.records[i].turns[0].prompt, prompt) ||
                     !str_is(d.records[i].turns[0].completion, completion);
        }
        CHECK(wrong == 0, "%d of %d records are wrong", wrong, d.count);
        records_free(&d);
    }
    buf_free(&text);
}

static void test_long_lines(void) {
    static const struct {
        int excess;
        bool array;
        const char *error;
    } cases[] = {
        {0, false, NULL},
        {1, false, "data:2: the line is longer than 16777216 bytes; split the record"},
        {0, true, NULL},
        {1, true, "data:2: record 1: the record is longer than 16777216 bytes; split it"},
    };
    for (int i = 0; i < 4; i++) {
        Buf text = {0};
        Dataset d;
        Error err;
        size_t wrapping = strlen("{\"text\":\"\"}"),
               n = RECORD_MAX_LINE - wrapping + (size_t)cases[i].excess;
        char *x = mem_new(n, 1);
        memset(x, 'x', n);
        buf_puts(&text, cases[i].array ? "[\n{\"text\":\"" : "\n{\"text\":\"");
        buf_put(&text, x, n);
        buf_puts(&text, cases[i].array ? "\"}\n]" : "\"}\n");
        bool ok = load_bytes(&d, text.s, text.n, &err);
        CHECK(ok == !cases[i].error, "case %d: %s", i, ok ? "accepted" : err.text);
        if (ok) records_free(&d);
        else if (cases[i].error)
            CHECK(!strcmp(err.text, cases[i].error), "case %d: %s", i, err.text);
        free(x);
        buf_free(&text);
    }
}

/* ---- errors ---- */

static void check_error(const char *bytes, size_t n, const char *wanted) {
    Dataset d;
    Error err;
    bool ok = load_bytes(&d, bytes, n, &err);
    CHECK(!ok, "accepted: %.200s", bytes);
    if (ok) records_free(&d);
    else
        CHECK(err.status == STATUS_DATA && !strcmp(err.text, wanted), "%.200s\n    status %d: %s",
              bytes, err.status, err.text);
}

typedef struct {
    const char *text, *error;
} Wrong;

/* An id names the first record that has it; one that is only a line's number names none. */
static void test_ids(void) {
    Dataset d;
    if (!load(&d, "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":3,\"text\":\"y\"}\n{\"text\":\"y\"}\n"
                  "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":null,\"text\":\"x\"}"))
        return;
    const Record *r = d.records;
    CHECK(d.count == 5 && r[0].named && r[1].named && !r[2].named && !r[3].named && !r[4].named,
          "named");
    CHECK(d.same_ids == 2 && str_is(d.same_id, "3"), "%d, %s", d.same_ids, d.same_id.s);
    CHECK(r[0].hash == r[3].hash && r[1].hash == r[2].hash && r[0].hash != r[1].hash, "hashes");
    CHECK(records_find(&d, str("5")) == 4 && records_find(&d, str("a")) < 0 &&
              records_find(&d, str("b")) < 0,
          "one, two, none");
    records_free(&d);
}

static void check_errors(const Wrong *cases, size_t n) {
    for (size_t i = 0; i < n; i++)
        check_error(cases[i].text, strlen(cases[i].text), cases[i].error);
}

static void test_kinds_of_files(void) {
    static const char arrow[] =
        "data:1: the file is in Arrow form; write it as JSONL: python3 -c 'import datasets; "
        "datasets.Dataset.from_file(\"FILE\").to_json(\"FILE.jsonl\")'";
    const Wrong cases[] = {
        {"\x1f\x8b\x08",
         "data:1: the file is compressed (gzip); unpack it first: gunzip -c FILE >FILE.jsonl"},
        {"\xff\xfe{", "data:1: the text is UTF-16; save it as UTF-8"},
        {"\xfe\xff", "data:1: the text is UTF-16; save it as UTF-8"},
        {"PAR1",
         "data:1: the file is in Parquet form; write it as JSONL: python3 -c 'import pandas; "
         "pandas.read_parquet(\"FILE\").to_json(\"FILE.jsonl\", orient=\"records\", "
         "lines=True)'"},
        {"ARROW1", arrow},
        {"\xff\xff\xff\xff", arrow},
    };
    check_errors(cases, sizeof cases / sizeof *cases);
    static const char utf16[] = "data:1: the text is UTF-16; save it as UTF-8",
                      utf32[] = "data:1: the text is UTF-32; save it as UTF-8";
    check_error("\xff\xfe{\0}\0", 6, utf16);
    check_error("{\0}\0", 4, utf16);
    check_error("\0{\0}", 4, utf16);
    check_error("\xff\xfe\0\0{\0\0\0", 8, utf32);
    check_error("\0\0\xfe\xff\0\0\0{", 8, utf32);
    check_error("{\0\0\0}\0\0\0", 8, utf32);
    check_error("\0\0\0{\0\0\0}", 8, utf32);
    char table[620];
    snprintf(table, sizeof table, "%s.csv", file);
    Dataset d;
    Error err = {0};
    CHECK(file_write(table, "prompt,completion\n", 18, &err) && !records_load(&d, table, &err) &&
              err.status == STATUS_DATA && strstr(err.text, "csv.DictReader"),
          "a table: status %d, %s", err.status, err.text);
    unlink(table);
}

static void test_file_errors(void) {
    static const char none[] = "data:1: the file has no records; write one JSON object a line";
    static const char more[] =
        "each line must be one record {...}, or the file must be one array of them";
    char bom_bad[200], open[200];
    snprintf(bom_bad, sizeof bom_bad, "data:1: column 1: expected a value, found 'F'; %s", more);
    snprintf(open, sizeof open,
             "data:1: column 2: expected a key in double quotes, but the text ends here; %s", more);
    const Wrong cases[] = {
        {"", none},
        {"\n \r\n\t\n", none},
        {"[]", none},
        {"\xef\xbb\xbf", none},
        {"First Citizen:\nSpeak\n", bom_bad},
        {"{\n\"text\":\"a\"\n}\n", open},
        {"{\"text\":\"a\"}\n\n{\"text\":\"a\",}\n",
         "data:3: column 13: expected a key in double quotes, found '}'"},
        {"{\"text\":\"a\"} {\"text\":\"b\"}",
         "data:1: column 14: expected the end of the text, found '{'"},
        {"{\"text\":\"a\"}\n7\n", "data:2: the record is a number; it must be an object: {...}"},
        {"[{\"text\":\"a\"},\n null]",
         "data:2: record 2: the record is null; it must be an object: {...}"},
        {"{\"text\":\"a\"}\n{\"text\":\"\xc3\xa9"
         "a\xff\"}\n",
         "data:2: byte 13 of the line is not valid UTF-8; save the file as UTF-8"},
        {"\n\xff\n", "data:2: byte 1 of the line is not valid UTF-8; save the file as UTF-8"},
        {"[\n{\"text\":\"a\"}\n,]", "data:3: record 2: column 2: expected a value, found ']'"},
        {"[\n{\"text\":\"a\"}\n{\"text\":\"b\"}]",
         "data:3: expected ',' or ']' after record 1 of the array"},
        {"[{\"text\":\"a\"},\n{\"text\":\"b\"}\n",
         "data:3: expected ',' or ']' after record 2 of the array, but the file ends here"},
        {"[\n", "data:2: record 1: column 1: expected a value, but the text ends here"},
        {"[\n{\"text\":\n01}]", "data:3: record 1: column 1: a number must not start with 0"},
        {"[{\"text\":\"a\"}]\n{\"text\":\"b\"}\n",
         "data:2: there is more after the end of the array; a file is one array, or one record a "
         "line"},
        {"[]\n[", "data:2: there is more after the end of the array; a file is one array, or one "
                  "record a line"},
        {"[{\"text\":\"a\"},{\"text\":\"b\"},{\"text\":\"\"}]",
         "data:1: record 3: \"text\" is empty; fill it in or remove the record"},
    };
    check_errors(cases, sizeof cases / sizeof *cases);
    Dataset d;
    Error err = {0};
    CHECK(!records_load(&d, folder, &err) && err.status == STATUS_IO, "a folder: status %d, %s",
          err.status, err.text);
    unlink(file);
    err = (Error){0};
    CHECK(!records_load(&d, file, &err) && err.status == STATUS_IO &&
              strstr(err.text, "data: cannot open"),
          "no file: status %d, %s", err.status, err.text);
}

static void test_id_errors(void) {
    static const Wrong cases[] = {
        {"{\"input_ids\":\"1 2\"}",
         "data:1: \"input_ids\" is a string; it must be a list of integers"},
        {"{\"input_ids\":[]}", "data:1: \"input_ids\" is empty; fill it in or remove the record"},
        {"{\"input_ids\":[1,-100]}",
         "data:1: \"input_ids\", item 2: must be an integer of at least 0"},
        {"{\"input_ids\":[2147483648]}",
         "data:1: \"input_ids\", item 1: must be an integer of at least 0"},
        {"{\"input_ids\":[1.0]}",
         "data:1: \"input_ids\", item 1: must be an integer of at least 0"},
        {"{\"input_ids\":[\"1\"]}",
         "data:1: \"input_ids\", item 1: must be an integer of at least 0"},
        {"{\"input_ids\":[1],\"labels\":[-99]}", "data:1: \"labels\", item 1: must be an integer "
                                                 "of at least 0, or -100 for a token without loss"},
        {"{\"input_ids\":[1],\"labels\":[1,2]}",
         "data:1: \"labels\" has 2 items and \"input_ids\" 1; both need the same length"},
        {"{\"input_ids\":[1],\"labels\":1}",
         "data:1: \"labels\" is a number; it must be a list of integers"},
    };
    check_errors(cases, sizeof cases / sizeof *cases);
}

static void test_form_errors(void) {
    Arena arena = {0};
    const char *forms = RECORD_FORMS[0].name, *no_keys, *two_keys;
    for (int i = 1; i < FORM_COUNT; i++)
        forms = text_new(&arena, "%s%s%s", forms, i + 1 < FORM_COUNT ? ", " : " or ",
                         RECORD_FORMS[i].name);
    no_keys = text_new(&arena, "data:1: no known form of record (keys: none); use %s", forms);
    two_keys =
        text_new(&arena, "data:2: no known form of record (keys: prompt, chosen); use %s", forms);
    const Wrong cases[] = {
        {"{}", no_keys},
        {"\n{\"prompt\":\"p\",\"chosen\":\"c\"}", two_keys},
        {"{\"prompt\":\"\",\"completion\":\"c\"}",
         "data:1: \"prompt\" is empty; fill it in or remove the record"},
        {"{\"prompt\":\"p\",\"completion\":\"\"}",
         "data:1: \"completion\" is empty; fill it in or remove the record"},
        {"{\"prompt\":\"p\",\"completion\":1}",
         "data:1: \"completion\" is a number; it must be a string"},
        {"{\"prompt\":{},\"completion\":\"c\"}",
         "data:1: \"prompt\" is an object; it must be a string"},
        {"{\"prompt\":\"\",\"chosen\":\"c\",\"rejected\":\"r\"}",
         "data:1: \"prompt\" is empty; fill it in or remove the record"},
        {"{\"prompt\":\"p\",\"chosen\":\"\",\"rejected\":\"r\"}",
         "data:1: \"chosen\" is empty; fill it in or remove the record"},
        {"{\"prompt\":\"p\",\"chosen\":\"c\",\"rejected\":\"\"}",
         "data:1: \"rejected\" is empty; fill it in or remove the record"},
        {"{\"chosen\":\"ab\",\"rejected\":\"ac\"}",
         "data:1: \"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\""},
        {"{\"chosen\":\"one\",\"rejected\":\"two\"}",
         "data:1: \"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\""},
        {"{\"chosen\":\"\\n\\nAssistant: \",\"rejected\":\"\\n\\nAssistant: x\"}",
         "data:1: \"chosen\" has an empty answer after the prompt; fill it in or remove the "
         "record"},
        {"{\"chosen\":\"\\n\\nAssistant: x\",\"rejected\":\"\\n\\nAssistant: \"}",
         "data:1: \"rejected\" has an empty answer after the prompt; fill it in or remove the "
         "record"},
        {"{\"chosen\":\"a b\",\"rejected\":[" ASSISTANT("x") "]}",
         "data:1: \"chosen\" is a string; it must be a list of messages"},
        {"{\"instruction\":\"\",\"output\":\"o\"}",
         "data:1: \"instruction\" is empty; fill it in or remove the record"},
        {"{\"instruction\":\"i\",\"input\":[1],\"output\":\"o\"}",
         "data:1: \"input\" is a list; it must be a string"},
        {"{\"question\":\"q\",\"answer\":true}",
         "data:1: \"answer\" is true or false; it must be a string"},
        {"{\"text\":\"\"}", "data:1: \"text\" is empty; fill it in or remove the record"},
        {"{\"text\":null}", "data:1: \"text\" is null; fill it in or remove the record"},
        {"{\"prompt\":\"p\",\"completion\":null}",
         "data:1: \"completion\" is null; fill it in or remove the record"},
        {"{\"prompt\":\"p\",\"chosen\":null,\"rejected\":\"r\"}",
         "data:1: \"chosen\" is null; fill it in or remove the record"},
    };
    check_errors(cases, sizeof cases / sizeof *cases);
    arena_free(&arena);
}

static void test_message_errors(void) {
    static const char keys[] = "data:1: \"messages\", message 1: must be an object with the "
                               "strings \"role\" and \"content\"";
    static const char empty[] = "data:1: \"messages\", message 1: has no \"content\", or null; "
                                "fill it in or remove the record";
    static const char one[] =
        " must have one message from the assistant, with at most the prompt's messages before it";
    char chosen[160], completion[160];
    snprintf(chosen, sizeof chosen, "data:1: \"chosen\"%s", one);
    snprintf(completion, sizeof completion, "data:1: \"completion\"%s", one);
    const Wrong cases[] = {
        {"{\"messages\":\"hi\"}",
         "data:1: \"messages\" is a string; it must be a list of messages"},
        {"{\"messages\":[]}",
         "data:1: \"messages\" is an empty list; fill it in or remove the record"},
        {"{\"messages\":[1]}", keys},
        {"{\"messages\":[{\"role\":\"user\"}]}", empty},
        {"{\"messages\":[{\"role\":\"user\",\"content\":null}]}", empty},
        {"{\"messages\":[{\"role\":1,\"content\":\"x\"}]}", keys},
        {"{\"messages\":[{\"role\":\"user\",\"content\":7}]}",
         "data:1: \"messages\", message 1: \"content\" is a number; it must be a string"},
        {"{\"messages\":[{\"role\":\"tool\",\"content\":\"x\"}]}",
         "data:1: \"messages\", message 1: unknown role \"tool\"; use user or assistant"},
        {"{\"messages\":[" USER("a") "," ASSISTANT("") "]}",
         "data:1: \"messages\", message 2: is empty; fill it in or remove the record"},
        {"{\"messages\":[" ASSISTANT("a") "]}",
         "data:1: \"messages\", message 1: is from the assistant, not the user; "
         "user and assistant must alternate, the user first"},
        {"{\"messages\":[" USER("a") "," USER("b") "]}",
         "data:1: \"messages\", message 2: is from the user, "
         "not the assistant; user and assistant must alternate, the user first"},
        {"{\"conversations\":[" USER("a") "," ASSISTANT("b") "," USER("c") "]}",
         "data:1: \"conversations\" must end with a message from the assistant"},
        {"{\"messages\":[" SYSTEM("") "]}",
         "data:1: \"messages\" must end with a message from the assistant"},
        {"{\"prompt\":[" USER("a") "," ASSISTANT("b") "],\"completion\":\"c\"}",
         "data:1: \"prompt\" must end with a message from the user"},
        {"{\"prompt\":\"p\",\"completion\":[" USER("a") "]}", completion},
        {"{\"prompt\":\"p\",\"completion\":[" ASSISTANT("a") "," USER("b") "," ASSISTANT("c") "]}",
         completion},
        {"{\"prompt\":\"p\",\"chosen\":[" USER("other") "," ASSISTANT("a") "],\"rejected\":\"r\"}",
         chosen},
        {"{\"prompt\":\"p\",\"chosen\":[" USER("p") "],\"rejected\":\"r\"}", chosen},
        {"{\"chosen\":[" USER("a") "," ASSISTANT("b") "," USER("c") "," ASSISTANT(
             "d") "],\"rejected\":[" USER("a") "," ASSISTANT("e") "]}",
         chosen},
        {"{\"chosen\":[" USER("a") "," ASSISTANT("b") "],\"rejected\":[" USER("c") "," ASSISTANT(
             "d") "]}",
         "data:1: \"chosen\" and \"rejected\" share no prompt at their start; add a \"prompt\""},
        {"{\"chosen\":[" USER("a") "," ASSISTANT("b") "," USER("c") "],\"rejected\":[" USER(
             "a") "," ASSISTANT("b") "," USER("d") "]}",
         "data:1: \"chosen\" must end with a message from the user"},
    };
    check_errors(cases, sizeof cases / sizeof *cases);
}

static void test_extra_errors(void) {
    static const Wrong cases[] = {
        {"{\"text\":\"x\",\"weight\":\"1\"}",
         "data:1: \"weight\" is a string; it must be a number"},
        {"{\"text\":\"x\",\"weight\":-0.5}",
         "data:1: \"weight\" is negative; it must be 0 or more"},
        {"{\"text\":\"x\",\"weight\":1e999}",
         "data:1: column 22: the number is too large for a double (at most about 1.8e308)"},
        {"{\"text\":\"x\",\"clean\":2}", "data:1: \"clean\" is a number; it must be true or false"},
        {"{\"prompt\":\"p\",\"chosen\":\"x\",\"rejected\":\"y\",\"flipped\":\"odd\"}",
         "data:1: \"flipped\" is a string; it must be true or false"},
        {"{\"prompt\":\"p\",\"chosen\":\"x\",\"rejected\":\"y\",\"flipped\":true,\"clean\":true}",
         "data:1: \"clean\" and \"flipped\" contradict each other; keep one of them"},
        {"{\"text\":\"x\",\"id\":true}",
         "data:1: \"id\" is true or false; it must be a string or a number"},
    };
    check_errors(cases, sizeof cases / sizeof *cases);
}

/* ---- a file in parts ---- */

/* The same record in every respect but where its strings are in memory. */
static bool same_record(const Record *a, const Record *b) {
    return a->line == b->line && a->number == b->number && a->at == b->at && a->bytes == b->bytes &&
           str_equal(a->id, b->id) && a->form == b->form && record_hash(a) == record_hash(b);
}

/* Reads the text in parts of about `most` bytes. The parts must have the records of the whole, or
 * end with its error. */
static void check_parts(const char *text, size_t most) {
    Dataset whole, part;
    Error expected, err = {0};
    bool right = load_bytes(&whole, text, strlen(text), &expected), ok = true;
    RecordStream *s = records_open(file, &err);
    int at = 0;
    for (bool ended = !s; !ended && ok;) {
        ok = records_read(s, most, &part, &err);
        ended = !ok || records_ended(s);
        if (!ok) continue;
        CHECK(part.count > 0 || ended, "%zu: an empty part, and no end", most);
        for (int i = 0; right && i < part.count; i++, at++)
            CHECK(at < whole.count && same_record(&part.records[i], &whole.records[at]),
                  "%zu: record %d differs", most, at);
        if (ended && right) CHECK(part.fingerprint == whole.fingerprint, "%zu: the hash", most);
        records_free(&part);
    }
    CHECK(ok == right, "%zu: %s", most, err.text);
    if (right) CHECK(at == whole.count, "%zu: %d of %d records", most, at, whole.count);
    else CHECK(strstr(err.text, expected.text), "%zu: %s, not %s", most, err.text, expected.text);
    records_close(s);
    if (right) records_free(&whole);
}

static void test_parts(void) {
    static const char *const texts[] = {
        "{\"text\":\"a\"}\n{\"text\":\"\xc3\xa9\xc3\xa9\"}\n{\"text\":\"c\",\"id\":\"x\"}\n",
        "\xef\xbb\xbf{\"text\":\"a\"}\r\n\r\n\n{\"text\":\"b\"}\n   \n{\"text\":\"c\"}",
        "\n\n [ {\"text\":\"a\"} , {\"text\":\"b\"},\n{\"text\":\n\"c\"}\n]\n",
        "[{\"text\":\"a\"}]",
        "{\"text\":\"a\"}\n\n{\"text\":\"b\"}\n{\"text\":1}\n{\"text\":\"d\"}\n",
        "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"\xff\"}\n{\"text\":\"d\"}\n",
        "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\"",
        "[{\"text\":\"a\"},\n{\"text\":\"b\"},\n{\"text\":7}]",
        "[{\"text\":\"a\"},\n{\"text\":\"b\"}",
        "[{\"text\":\"a\"}]\n\n{}",
        "",
        " \n\n \n",
        "[]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t most = 1; most <= strlen(texts[i]) + 2; most++) check_parts(texts[i], most);
}

int main(void) {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/ica-dataset-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) {
        printf("cannot make a folder like %s\n", folder);
        return 1;
    }
    snprintf(file, sizeof file, "%s/data", folder);
    test_turns();
    test_many_turns();
    test_pairs();
    test_shared_prompts();
    test_text_and_ids();
    test_precedence();
    test_extras();
    test_ids();
    test_files();
    test_many_records();
    test_long_lines();
    test_form_errors();
    test_id_errors();
    test_message_errors();
    test_extra_errors();
    test_kinds_of_files();
    test_file_errors();
    test_parts();
    unlink(file);
    rmdir(folder);
    return check_report("test_records");
}
