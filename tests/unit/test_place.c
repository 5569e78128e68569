/* The folder of a run: what may be written there, what goes and what stays, and what is left after
 * a kill between two runs. */
#define _XOPEN_SOURCE 700
#include "data/place.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "tests/unit/check.h"

static char folder[64], run[80]; /* run: the folder R in it */

#define RUN_JSON(options) "{\"command\":\"train\",\"arguments\":[],\"options\":{" options "}}"
static const char SCORED[] = RUN_JSON("\"weights\":\"ica\",\"eval\":\"t.jsonl\"");
static const char UNIFORM[] = RUN_JSON("\"weights\":\"uniform\",\"eval\":null");

/* The names below R that a list has, apart by blanks, and those of folders in it. */
static void list_names(const char *path, const char *before, Buf *b) {
    char *names[64];
    int n = 0;
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d)) && n < 64;) {
        if (e->d_name[0] == '.' || strcmp(e->d_name, "run.lock") == 0) continue;
        names[n] = mem_new(strlen(e->d_name) + 1, 1);
        strcpy(names[n++], e->d_name);
    }
    if (d) closedir(d);
    for (int i = 0; i < n; i++) /* the smallest of those left */
        for (int j = i + 1; j < n; j++)
            if (strcmp(names[j], names[i]) < 0) {
                char *kept = names[i];
                names[i] = names[j];
                names[j] = kept;
            }
    for (int i = 0; i < n; i++) {
        char *entry = path_join(path, names[i]), inner[128];
        struct stat s;
        buf_printf(b, "%s%s ", before, names[i]);
        snprintf(inner, sizeof inner, "%s%s/", before, names[i]);
        if (stat(entry, &s) == 0 && S_ISDIR(s.st_mode)) list_names(entry, inner, b);
        free(entry);
        free(names[i]);
    }
}

static void check_names(const char *what, const char *wanted) {
    Buf b = {0};
    list_names(run, "", &b);
    const char *got = b.n ? b.s : "";
    CHECK(strncmp(got, wanted, strlen(wanted)) == 0 && strlen(got) <= strlen(wanted) + 1,
          "%s: %s, not %s", what, got, wanted);
    buf_free(&b);
}

static void check_text(const char *name, const char *wanted) {
    char *path = path_join(run, name);
    Buf b = {0};
    Error err = {0};
    CHECK(file_read(path, &b, &err) && b.n == strlen(wanted) && memcmp(b.s, wanted, b.n) == 0,
          "%s: %.*s, not %s", name, (int)b.n, b.n ? b.s : "", wanted);
    buf_free(&b);
    free(path);
}

/* Writes a file below R, and makes the folders that it needs. */
static void put(const char *name, const char *text) {
    Error err = {0};
    char *path = path_join(run, name), *slash = strrchr(path, '/');
    *slash = 0;
    bool made = folder_make(path, &err);
    *slash = '/';
    CHECK(made && file_write(path, text, strlen(text), &err), "%s", err.text);
    free(path);
}

static void clear(const char *path) {
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char *entry = path_join(path, e->d_name);
        if (unlink(entry) != 0) clear(entry);
        free(entry);
    }
    if (d) closedir(d);
    rmdir(path);
}

static void test_new(void) {
    RunPlace p;
    Error err = {0};
    clear(run);
    CHECK(place_open(&p, run, PLACE_NEW, &err) && !file_exists(run), "open makes nothing");
    CHECK(place_begin(&p, &err) && file_exists(run) && strcmp(p.writes, run) == 0, "%s", err.text);
    put("run.json", UNIFORM);
    CHECK(place_settle(&p, &err), "%s", err.text);
    place_close(&p);
    CHECK(!p.folder && !p.writes, "closed");
    check_names("a new run", "run.json");
}

/* What lies in the folder, and what the message has; NULL: a run may be written there. */
static void test_refused(void) {
    static const struct {
        const char *name, *run;
        PlaceUse use;
        const char *message;
    } cases[] = {
        {"notes.txt", NULL, PLACE_NEW, NULL},
        {"notes.txt", UNIFORM, PLACE_NEW, "R: holds a run: --resume"},
        {"notes.txt", UNIFORM, PLACE_REPLACE, NULL},
        {"config.json", NULL, PLACE_NEW, "R/config.json: no run wrote this file"},
        {"config.json", NULL, PLACE_REPLACE, "R/config.json: no run wrote this file"},
        {"config.json", UNIFORM, PLACE_REPLACE, NULL},
        {"scores.jsonl", SCORED, PLACE_REPLACE, NULL},
        {"scores.jsonl.holdout.jsonl", SCORED, PLACE_REPLACE, NULL},
        {"metrics.json", SCORED, PLACE_REPLACE, NULL},
        {"scores.jsonl", UNIFORM, PLACE_REPLACE, "R/scores.jsonl: no run wrote this file"},
        {"scores.jsonl.holdout.jsonl", UNIFORM, PLACE_REPLACE, ".holdout.jsonl: no run wrote"},
        {"metrics.json", UNIFORM, PLACE_REPLACE, "R/metrics.json: no run wrote this file"},
        {"scores.jsonl", RUN_JSON("\"weights\":\"file:s\""), PLACE_REPLACE, "no run wrote"},
        {"scores.jsonl", RUN_JSON("\"weights\":\"oracle\""), PLACE_REPLACE, "no run wrote"},
        {"scores.jsonl", RUN_JSON("\"weights\":\"records\""), PLACE_REPLACE, "no run wrote"},
        {"scores.jsonl", RUN_JSON("\"weights\":1"), PLACE_REPLACE, "no run wrote"},
        {"scores.jsonl", UNIFORM, PLACE_RESUME, NULL},
        {"scores.jsonl", UNIFORM, PLACE_AGAIN, NULL},
        {"notes.txt", "{\"command\":\"train\"}", PLACE_NEW, "R/run.json: no run wrote"},
        {"notes.txt", "{\"command\":\"eval\",\"arguments\":[]}", PLACE_NEW, "run.json: no run"},
        {"notes.txt", "{\"command\":\"pretrain\",\"arguments\":[]}", PLACE_NEW, "holds a run"},
        {"notes.txt", "{", PLACE_REPLACE, "R/run.json: no run wrote this file"},
        {"reference/model.safetensors", NULL, PLACE_NEW, "R/reference: no run made this folder"},
        {"reference/model.safetensors", UNIFORM, PLACE_REPLACE, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        RunPlace p;
        Error err = {0};
        clear(run);
        put(cases[i].name, "x");
        if (cases[i].run) put("run.json", cases[i].run);
        const char *message = cases[i].message;
        bool ok = place_open(&p, run, cases[i].use, &err);
        CHECK(ok == !message && (ok || (strstr(err.text, message) && err.status == STATUS_USAGE)),
              "%s, run %s: %s", cases[i].name, cases[i].run, err.text);
        place_close(&p);
        check_text(cases[i].name, "x");
    }
}

/* A run is replaced: it is whole until the new one has its first state. */
static void test_replace(bool settles) {
    RunPlace p;
    Error err = {0};
    clear(run);
    put("run.json", UNIFORM);
    put("model.safetensors", "old");
    put("best.safetensors", "old");
    put("reference/config.json", "old");
    put("run.json.7.part", "torn");
    put("reference/config.json.7.part", "torn");
    put("notes.txt.7.part", "mine");
    put("notes.txt", "mine");
    CHECK(place_open(&p, run, PLACE_REPLACE, &err) && place_begin(&p, &err), "%s", err.text);
    char *next = path_join(run, "next");
    CHECK(strcmp(p.writes, next) == 0, "it is written to %s", p.writes);
    check_names("temporaries go", "best.safetensors model.safetensors next notes.txt "
                                  "notes.txt.7.part reference reference/config.json run.json");
    put("next/run.json", SCORED);
    put("next/model.safetensors", "new");
    put("next/log.jsonl", "new");
    put("next/reference/model.safetensors", "new");
    check_text("model.safetensors", "old");
    if (settles) {
        CHECK(place_settle(&p, &err) && strcmp(p.writes, run) == 0, "%s", err.text);
        CHECK(place_settle(&p, &err), "settled already");
    }
    place_close(&p);
    check_names("the run that counts",
                settles ? "log.jsonl model.safetensors notes.txt notes.txt.7.part reference "
                          "reference/model.safetensors run.json"
                        : "best.safetensors model.safetensors notes.txt notes.txt.7.part reference "
                          "reference/config.json run.json");
    check_text("model.safetensors", settles ? "new" : "old");
    check_text("run.json", settles ? SCORED : UNIFORM);
    free(next);
}

/* A run was killed in the midst of its first file. Only that can be its own. */
static void test_first_file(void) {
    RunPlace p;
    Error err = {0};
    clear(run);
    put("run.json.7.part", "torn");
    put("config.json.7.part", "mine");
    CHECK(place_open(&p, run, PLACE_NEW, &err) && place_begin(&p, &err), "%s", err.text);
    place_close(&p);
    check_names("the first file's temporary goes", "config.json.7.part");
}

/* A kill left R/ready, R/moving, or R/next: what the next process makes of it. */
static void test_recover(void) {
    Error err = {0};
    RunPlace p;
    clear(run);
    put("run.json", SCORED);
    put("scores.jsonl", "old");
    put("best.safetensors", "old");
    put("notes.txt", "mine");
    put("ready/run.json", UNIFORM);
    put("ready/model.safetensors", "new");
    CHECK(place_recover(run, &err), "%s", err.text);
    check_names("ready", "model.safetensors notes.txt run.json");
    check_text("run.json", UNIFORM);

    /* All of the old run had gone, and some of the new one has moved. */
    clear(run);
    put("model.safetensors", "new");
    put("moving/run.json", UNIFORM);
    put("moving/log.jsonl", "new");
    put("moving/reference/config.json", "new");
    CHECK(place_open(&p, run, PLACE_RESUME, &err), "%s", err.text);
    place_close(&p);
    check_names("moving", "log.jsonl model.safetensors reference reference/config.json run.json");

    /* A new run without a state is nothing, beside an old one. */
    clear(run);
    put("run.json", UNIFORM);
    put("next/run.json", SCORED);
    put("next/scores.jsonl", "new");
    put("next/log.jsonl", "new");
    put("next/model.safetensors.12.part", "torn");
    CHECK(place_recover(run, &err), "%s", err.text);
    check_names("next waits", "next next/log.jsonl next/model.safetensors.12.part next/run.json "
                              "next/scores.jsonl run.json");
    CHECK(place_open(&p, run, PLACE_RESUME, &err), "%s", err.text);
    place_close(&p);
    check_names("next goes", "run.json");
    clear(run);
    CHECK(place_recover(run, &err), "nothing is there");
}

/* A run without a state begins once more: what it wrote goes. */
static void test_again(void) {
    RunPlace p;
    Error err = {0};
    clear(run);
    put("run.json", UNIFORM);
    put("log.jsonl", "old");
    put("scores.jsonl", "mine");
    CHECK(place_open(&p, run, PLACE_AGAIN, &err) && place_begin(&p, &err), "%s", err.text);
    CHECK(strcmp(p.writes, run) == 0, "%s", p.writes);
    place_close(&p);
    check_names("again", "scores.jsonl");
}

static void test_end_training(void) {
    clear(run);
    for (int i = 0; place_file(i); i++) put(place_file(i), "x");
    put("reference/model.safetensors", "x");
    put("reference/adapter_config.json", "x");
    place_end_training(run);
    int left = 0, states = 0;
    for (int i = 0; place_file(i); i++) {
        char *path = path_join(run, place_file(i));
        bool state = strstr(place_file(i), "training_state") || strstr(place_file(i), "best.");
        CHECK(file_exists(path) == !state, "%s", place_file(i));
        left += file_exists(path);
        states += state;
        free(path);
    }
    char *reference = path_join(run, "reference");
    CHECK(states == 4 && left == 19 && !file_exists(reference), "%d states, %d left", states, left);
    free(reference);
}

int main(void) {
    strcpy(folder, "/tmp/test_place.XXXXXX");
    if (!mkdtemp(folder)) return 1;
    snprintf(run, sizeof run, "%s/R", folder);
    test_new();
    test_refused();
    test_replace(true);
    test_replace(false);
    test_first_file();
    test_recover();
    test_again();
    test_end_training();
    clear(folder);
    return check_report("test_place");
}
