#define _POSIX_C_SOURCE 200809L
#include "data/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/system.h"

/* ---- what a run writes ---- */

static const char *const FILES[] = {"run.json",
                                    "config.json",
                                    "adapter_config.json",
                                    "vocab.json",
                                    "merges.txt",
                                    "template.json",
                                    "generation_config.json",
                                    "tokenizer_config.json",
                                    "tokenizer.json",
                                    "special_tokens_map.json",
                                    "added_tokens.json",
                                    "chat_template.jinja",
                                    "model.safetensors",
                                    "adapter_model.safetensors",
                                    "log.jsonl",
                                    "scores.jsonl",
                                    "scores.jsonl.holdout.jsonl",
                                    "metrics.json",
                                    "training_state.safetensors",
                                    "training_state.previous.safetensors",
                                    "best.safetensors",
                                    "best.previous.safetensors",
                                    "events.out.tfevents.ica"};
/* Of these, what only a run needs that goes on. */
static const char *const TRAINING[] = {"training_state.safetensors",
                                       "training_state.previous.safetensors", "best.safetensors",
                                       "best.previous.safetensors"};
enum { FILE_COUNT = sizeof FILES / sizeof *FILES };
static const char REFERENCE[] = "reference"; /* a folder with a model, or with adapters */
static const char NEXT[] = "next", READY[] = "ready", MOVING[] = "moving"; /* see place.h */

const char *place_file(int i) { return i < FILE_COUNT ? FILES[i] : NULL; }

static char *text_copy(const char *text) {
    char *copy = mem_new(strlen(text) + 1, 1);
    return strcpy(copy, text);
}

/* Is there an entry of that name, be it a link that leads nowhere? */
static bool there(const char *folder, const char *name) {
    struct stat s;
    char *path = path_join(folder, name);
    bool is = lstat(path, &s) == 0;
    free(path);
    return is;
}

/* ---- the run that is there ---- */

typedef struct {
    bool is;                /* RUN/run.json is a run's */
    bool scored, evaluated; /* it wrote scores.jsonl, metrics.json */
} OldRun;

static OldRun old_run(const char *folder) {
    enum { MOST = 4 << 20 };
    static const char *const unscored[] = {"uniform", "oracle", "records"};
    OldRun old = {0};
    Arena arena = {0};
    Buf text = {0};
    Error ignored = {0};
    char *path = path_join(folder, "run.json");
    const Json *root = file_exists(path) && file_read_most(path, MOST, &text, &ignored)
                           ? json_parse(&arena, text.s, text.n, NULL)
                           : NULL;
    const Json *arguments = json_get(root, "arguments"), *command = json_get(root, "command");
    const Json *options = json_get(root, "options"), *weights = json_get(options, "weights"),
               *eval = json_get(options, "eval");
    old.is = arguments && arguments->type == JSON_ARRAY && command &&
             (str_is(command->string, "train") || str_is(command->string, "pretrain"));
    old.evaluated = eval && eval->type == JSON_STRING;
    old.scored = weights && weights->type == JSON_STRING &&
                 strncmp(weights->string.s, "file:", strlen("file:")) != 0;
    for (int i = 0; old.scored && i < 3; i++) old.scored = !str_is(weights->string, unscored[i]);
    free(path);
    buf_free(&text);
    arena_free(&arena);
    return old;
}

static bool wrote(const OldRun *old, const char *name) {
    if (strncmp(name, "scores.jsonl", strlen("scores.jsonl")) == 0) return old->is && old->scored;
    if (strcmp(name, "metrics.json") == 0) return old->is && old->evaluated;
    return old->is;
}

/* May a new run be written here? */
static bool check(const RunPlace *p, Error *err) {
    OldRun old = old_run(p->folder);
    if (old.is && p->use == PLACE_NEW)
        return error_set(err, STATUS_USAGE,
                         "%s: holds a run: --resume %s continues it, --overwrite replaces it; or "
                         "choose another --out",
                         p->folder, p->folder);
    for (int i = 0; i < FILE_COUNT; i++)
        if (there(p->folder, FILES[i]) && !wrote(&old, FILES[i]))
            return error_set(err, STATUS_USAGE,
                             "%s/%s: no run wrote this file, and a run would replace it: choose "
                             "another --out, or move the file away",
                             p->folder, FILES[i]);
    if (!old.is && there(p->folder, REFERENCE))
        return error_set(err, STATUS_USAGE, "%s/%s: no run made this folder: choose another --out",
                         p->folder, REFERENCE);
    return true;
}

/* ---- moving files ---- */

static void remove_in(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    file_remove(path);
    free(path);
}

/* Removes a folder if nothing is left in it. */
static void remove_empty(const char *folder, const char *name) {
    char *path = path_join(folder, name);
    system_calls.rmdir(path);
    free(path);
}

/* Removes RHO's reference, if a run made it. */
static void remove_reference(const char *folder) {
    char *reference = path_join(folder, REFERENCE);
    remove_in(reference, "model.safetensors");
    remove_in(reference, "adapter_model.safetensors");
    remove_in(reference, "config.json");
    remove_in(reference, "adapter_config.json");
    remove_empty(folder, REFERENCE);
    free(reference);
}

/* Removes the files of the run in that folder, run.json last, so that a kill or a power loss leaves
 * a run. */
static bool remove_run(const char *folder, Error *err) {
    OldRun old = old_run(folder);
    if (!old.is) return true;
    remove_reference(folder);
    for (int i = FILE_COUNT - 1; i > 0; i--)
        if (wrote(&old, FILES[i])) remove_in(folder, FILES[i]);
    if (!folder_settle(folder, err)) return false;
    remove_in(folder, FILES[0]);
    return true;
}

void place_end_training(const char *folder) {
    for (size_t i = 0; i < sizeof TRAINING / sizeof *TRAINING; i++) remove_in(folder, TRAINING[i]);
    remove_reference(folder);
}

static bool move(const char *from, const char *from_name, const char *to, const char *to_name,
                 Error *err) {
    char *a = path_join(from, from_name), *b = path_join(to, to_name);
    bool ok = system_calls.rename(a, b) == 0 || errno == ENOENT ||
              error_set(err, STATUS_IO, "%s: cannot rename to %s: %s", a, b, strerror(errno));
    free(a);
    free(b);
    return ok;
}

/* RUN/ready is there, or RUN/moving: finishes the change to the new run. Each step is on the disk
 * before the next one. */
static bool finish_change(const char *folder, Error *err) {
    if (there(folder, READY) &&
        (!remove_run(folder, err) || !move(folder, READY, folder, MOVING, err) ||
         !folder_settle(folder, err)))
        return false;
    if (!there(folder, MOVING)) return true;
    char *moving = path_join(folder, MOVING);
    bool ok = move(moving, REFERENCE, folder, REFERENCE, err);
    for (int i = FILE_COUNT - 1; i >= 0 && ok; i--)
        ok = move(moving, FILES[i], folder, FILES[i], err);
    ok = ok && folder_settle(moving, err) && folder_settle(folder, err);
    remove_empty(folder, MOVING);
    free(moving);
    return ok;
}

/* Removes a new run that never got its first state. What cannot be removed stays. */
static void drop_next(const char *folder) {
    Error ignored = {0};
    char *next = path_join(folder, NEXT);
    if (there(folder, NEXT)) {
        folder_sweep(next, FILES, FILE_COUNT);
        remove_run(next, &ignored);
        remove_in(next, "log.jsonl");
        remove_empty(folder, NEXT);
    }
    free(next);
}

/* ---- a place ---- */

static bool lock_and_recover(RunPlace *p, Error *err) {
    char *path = path_join(p->folder, "run.lock");
    bool ok = lock_take(&p->lock, path, err) && finish_change(p->folder, err);
    free(path);
    if (ok && old_run(p->folder).is) drop_next(p->folder);
    return ok;
}

bool place_check(const char *folder, PlaceUse use, Error *err) {
    RunPlace p = {.folder = text_copy(folder), .use = use};
    /* Between two runs the folder is a run's, and names tell which. */
    bool changing = there(folder, READY) || there(folder, MOVING);
    bool ok = use == PLACE_RESUME || use == PLACE_AGAIN || changing || check(&p, err);
    free(p.folder);
    return ok;
}

bool place_open(RunPlace *p, const char *folder, PlaceUse use, Error *err) {
    struct stat s;
    *p = (RunPlace){.folder = text_copy(folder), .writes = text_copy(folder), .use = use};
    if (stat(folder, &s) != 0 || !S_ISDIR(s.st_mode)) return true;
    if (!lock_and_recover(p, err)) return false;
    return use == PLACE_RESUME || use == PLACE_AGAIN || check(p, err);
}

/* Removes the temporaries that a killed run left here and in its reference's folder. */
static void sweep(const char *folder) {
    char *reference = path_join(folder, REFERENCE);
    folder_sweep(folder, FILES, FILE_COUNT);
    folder_sweep(reference, FILES, FILE_COUNT);
    free(reference);
}

bool place_begin(RunPlace *p, Error *err) {
    if (!folder_make(p->folder, err)) return false;
    if (!p->lock.path) {
        /* Another run may have come first. */
        if (!lock_and_recover(p, err)) return false;
        if (p->use != PLACE_RESUME && p->use != PLACE_AGAIN && !check(p, err)) return false;
    }
    bool old = old_run(p->folder).is;
    if (old) sweep(p->folder);
    else folder_sweep(p->folder, FILES, 1); /* a run that was killed before it had its run.json */
    if (old && p->use == PLACE_AGAIN && !remove_run(p->folder, err)) return false;
    if (!old || p->use != PLACE_REPLACE) return true;
    free(p->writes);
    p->writes = path_join(p->folder, NEXT);
    return folder_make(p->writes, err);
}

bool place_settle(RunPlace *p, Error *err) {
    if (strcmp(p->writes, p->folder) == 0) return true;
    if (!move(p->folder, NEXT, p->folder, READY, err) || !folder_settle(p->folder, err))
        return false;
    strcpy(p->writes, p->folder);
    return finish_change(p->folder, err);
}

void place_close(RunPlace *p) {
    if (p->lock.path && strcmp(p->writes, p->folder) != 0) drop_next(p->folder);
    lock_free(&p->lock);
    free(p->folder);
    free(p->writes);
    *p = (RunPlace){0};
}

bool place_recover(const char *folder, Error *err) {
    RunPlace p;
    bool ok = true;
    if (there(folder, READY) || there(folder, MOVING)) {
        ok = place_open(&p, folder, PLACE_RESUME, err);
        place_close(&p);
    }
    return ok;
}
