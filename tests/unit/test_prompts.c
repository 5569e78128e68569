/* Files of prompts: what is a prompt, what a record, and what is refused where. */
#define _POSIX_C_SOURCE 200809L
#include "data/prompts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/check.h"

typedef struct {
    const char *text;
    const char *prompts; /* the last prompt of each record, each ended by |; or the message */
    const char *ids;     /* of all records, each ended by | */
    int turns;           /* of the last record */
} Case;

static const Case CASES[] = {
    {"low ?\nnew\n", "low ?|new|", "1|2|", 1},
    /* Blanks around a line, empty lines, a byte-order mark, and no line break at the end. */
    {"\xEF\xBB\xBF \t low  ? \r\n\n  \nnew", "low  ?|new|", "1|4|", 1},
    {"[1]\n{\"a\":1}\n", "[1]|{\"a\":1}|", "1|2|", 1},
    {"{\"prompt\":\"a\"}\n\n {\"id\":7,\"prompt\":\"b\"} \n", "a|b|", "1|7|", 1},
    {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
     "\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}\n",
     "c|", "1|", 2},
    {"", ":1: the file has no prompts; write one a line", NULL, 0},
    {" \n\t\n", ":1: the file has no prompts", NULL, 0},
    {"{\"prompt\":\"a\"}\nb\n", ":2: column 1", NULL, 0},
    {"{\"prompt\":\"a\"}\n[1]\n", ":2: the record is a list; it must be an object", NULL, 0},
    {"{\"prompt\":\"a\"}\n{}\n", ":2: ", NULL, 0},
    {"a\n\xFF\n", ":2: the line is not valid UTF-8", NULL, 0},
};

static void check_prompts(const char *path, const Case *c) {
    Dataset d;
    Error err = {0};
    Buf prompts = {0}, ids = {0};
    CHECK(file_write(path, c->text, strlen(c->text), &err), "%s", err.text);
    bool ok = prompts_load(&d, path, &err);
    CHECK(ok == (c->ids != NULL), "%s: %s", c->text, err.text);
    for (int i = 0; ok && i < d.count; i++) {
        const Record *r = &d.records[i];
        Str prompt = r->turns[r->n_turns - 1].prompt;
        buf_printf(&prompts, "%.*s|", STR_ARG(prompt));
        buf_printf(&ids, "%.*s|", STR_ARG(r->id));
    }
    if (ok && c->ids) {
        CHECK(strcmp(prompts.s, c->prompts) == 0 && strcmp(ids.s, c->ids) == 0, "%s: %s %s",
              c->text, prompts.s, ids.s);
        CHECK(d.records[d.count - 1].n_turns == c->turns && strcmp(d.path, path) == 0, "%s: %d",
              c->text, d.records[d.count - 1].n_turns);
    }
    if (!ok)
        CHECK(err.status == STATUS_DATA && strstr(err.text, c->prompts), "%s: %s", c->text,
              err.text);
    if (ok) records_free(&d);
    buf_free(&prompts);
    buf_free(&ids);
}

/* More records than the first room holds. */
static void check_many(const char *path) {
    Dataset d;
    Error err = {0};
    Buf b = {0};
    for (int i = 0; i < 300; i++) buf_printf(&b, "prompt %d\n", i);
    CHECK(file_write(path, b.s, b.n, &err) && prompts_load(&d, path, &err) && d.count == 300, "%s",
          err.text);
    for (int i = 0; i < d.count; i++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, "prompt %d", i);
        CHECK(str_is(d.records[i].turns[0].prompt, wanted) && d.records[i].line == i + 1,
              "record %d", i);
    }
    records_free(&d);
    buf_free(&b);
}

int main(void) {
    char path[] = "/tmp/test_prompts.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) check_prompts(path, &CASES[i]);
    check_many(path);
    unlink(path);
    Dataset d;
    Error err = {0};
    CHECK(!prompts_load(&d, path, &err) && err.status == STATUS_IO, "no file: %s", err.text);
    return check_report("test_prompts");
}
