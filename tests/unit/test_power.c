/* The power fails in the middle of a save. Every call that a save makes is recorded. Then, for
 * every number of calls that were made, every state is built that the disk may then be in, and the
 * run is loaded from it: it must be the old state or the new one, whole. A second run continues
 * from its previous state after the newest was damaged.
 *
 * What a disk may keep. A file's bytes are safe once fsync of the file has returned. A name (a file
 * made, renamed or removed) is safe once fsync of its folder has returned. Of what is
 * not safe the disk keeps anything: of the names any subset, also a rename before the bytes of its
 * file; of the bytes all, none, the first half, or zeros in their place. Calls return in order, so
 * what is safe stays safe. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/run.h"
#include "lib/file.h"
#include "lib/system.h"
#include "tests/unit/check.h"

/* ---- the recorder ---- */

enum {
    FILES_MOST = 200,
    OPS_MOST = 2000,
    FDS = 256,
    NAMES_MOST = 40,
    NAME_MOST = 64,
    PENDING_MOST = 6,
    STRETCHES_MOST = 12
};

typedef enum {
    OP_MAKE,
    OP_WRITE,
    OP_CUT,
    OP_SYNC,
    OP_RENAME,
    OP_LINK,
    OP_UNLINK,
    OP_SYNC_FOLDER
} OpKind;

typedef struct {
    OpKind kind;
    int file;                /* which one of Disk.files */
    char name[2][NAME_MOST]; /* inside the run's folder: of OP_RENAME from, to */
    char *bytes;             /* OP_WRITE */
    size_t n;                /* OP_WRITE: how many; OP_CUT: the new size */
} Op;

/* The contents of a file, as the program sees them and as they are safe. */
typedef struct {
    Buf now, safe;
} Contents;

/* A folder: which file each name leads to. */
typedef struct {
    char name[NAMES_MOST][NAME_MOST];
    int file[NAMES_MOST];
    int n;
} Folder;

/* Global, since the calls that are replaced get no context. */
static struct {
    SystemCalls real;
    const char *folder; /* whose files are recorded */
    Op ops[OPS_MOST];
    int n;
    int files;      /* numbered so far */
    int of_fd[FDS]; /* the file of an open descriptor, -1: none, -2: the folder */
    Folder names;   /* at the moment of recording */
    bool on;
} tape;

/* The name inside the recorded folder, or NULL. */
static const char *inside(const char *path) {
    size_t n = strlen(tape.folder);
    return strncmp(path, tape.folder, n) == 0 && path[n] == '/' ? path + n + 1 : NULL;
}

static int folder_find(const Folder *f, const char *name) {
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->name[i], name) == 0) return i;
    return -1;
}

static void folder_put(Folder *f, const char *name, int file) {
    int i = folder_find(f, name);
    if (i < 0) i = f->n++;
    if (i >= NAMES_MOST || strlen(name) >= NAME_MOST) abort();
    strcpy(f->name[i], name);
    f->file[i] = file;
}

static void folder_drop(Folder *f, const char *name) {
    int i = folder_find(f, name);
    if (i < 0) return;
    f->n--;
    memmove(f->name[i], f->name[f->n], sizeof f->name[i]);
    f->file[i] = f->file[f->n];
}

static void apply_name(Folder *f, const Op *op) {
    if (op->kind == OP_MAKE) folder_put(f, op->name[0], op->file);
    if (op->kind == OP_UNLINK || op->kind == OP_RENAME) folder_drop(f, op->name[0]);
    if (op->kind == OP_RENAME || op->kind == OP_LINK) folder_put(f, op->name[1], op->file);
}

static Op *record(OpKind kind, int file) {
    if (tape.n == OPS_MOST) abort();
    Op *op = &tape.ops[tape.n++];
    *op = (Op){.kind = kind, .file = file};
    return op;
}

static int record_open(const char *path, int flags, mode_t mode) {
    int fd = tape.real.open(path, flags, mode);
    const char *name = tape.on ? inside(path) : NULL;
    if (fd < 0 || fd >= FDS) return fd;
    tape.of_fd[fd] = tape.on && strcmp(path, tape.folder) == 0 ? -2 : -1;
    if (!name || (flags & O_ACCMODE) == O_RDONLY) return fd;
    int at = folder_find(&tape.names, name);
    if (at < 0) {
        Op *op = record(OP_MAKE, tape.files++);
        snprintf(op->name[0], sizeof op->name[0], "%s", name);
        folder_put(&tape.names, name, op->file);
        at = folder_find(&tape.names, name);
    } else if (flags & O_TRUNC) record(OP_CUT, tape.names.file[at]);
    tape.of_fd[fd] = tape.names.file[at];
    return fd;
}

static ssize_t record_write(int fd, const void *bytes, size_t n) {
    ssize_t done = tape.real.write(fd, bytes, n);
    if (tape.on && fd < FDS && tape.of_fd[fd] >= 0 && done > 0) {
        Op *op = record(OP_WRITE, tape.of_fd[fd]);
        op->n = (size_t)done;
        op->bytes = malloc(op->n);
        memcpy(op->bytes, bytes, op->n);
    }
    return done;
}

static int record_truncate(int fd, off_t n) {
    if (tape.on && tape.of_fd[fd] >= 0) record(OP_CUT, tape.of_fd[fd])->n = (size_t)n;
    return tape.real.truncate(fd, n);
}

/* The disk itself need not be waited for here. */
static int record_fsync(int fd) {
    if (tape.on && tape.of_fd[fd] >= 0) record(OP_SYNC, tape.of_fd[fd]);
    if (tape.on && tape.of_fd[fd] == -2) record(OP_SYNC_FOLDER, -1);
    return 0;
}

/* Records a call that changes names. */
static void record_names(OpKind kind, const char *from, const char *to) {
    Op *op = record(kind, tape.names.file[folder_find(&tape.names, inside(from))]);
    snprintf(op->name[0], NAME_MOST, "%s", inside(from));
    snprintf(op->name[1], NAME_MOST, "%s", to ? inside(to) : "");
    apply_name(&tape.names, op);
}

static int record_rename(const char *from, const char *to) {
    if (tape.on && inside(from)) record_names(OP_RENAME, from, to);
    return tape.real.rename(from, to);
}

static int record_link(const char *path, const char *other) {
    if (tape.on && inside(path)) record_names(OP_LINK, path, other);
    return tape.real.link(path, other);
}

static int record_unlink(const char *path) {
    if (tape.on && inside(path) && folder_find(&tape.names, inside(path)) >= 0)
        record_names(OP_UNLINK, path, NULL);
    return tape.real.unlink(path);
}

static void tape_begin(const char *folder) {
    memset(&tape, 0, sizeof tape);
    tape.real = system_calls;
    tape.folder = folder;
    system_calls.open = record_open;
    system_calls.write = record_write;
    system_calls.truncate = record_truncate;
    system_calls.fsync = record_fsync;
    system_calls.rename = record_rename;
    system_calls.link = record_link;
    system_calls.unlink = record_unlink;
    for (int i = 0; i < FDS; i++) tape.of_fd[i] = -1;
    tape.on = true;
}

static void tape_end(void) {
    tape.on = false;
    for (int i = 0; i < tape.n; i++) free(tape.ops[i].bytes);
    system_calls = tape.real;
}

/* ---- disks after a power loss ---- */

/* What becomes of bytes that are not safe. */
typedef enum { BYTES_ALL, BYTES_NONE, BYTES_HALF, BYTES_ZERO, BYTES_KINDS } Bytes;

typedef struct {
    Contents file[FILES_MOST];
    Folder safe;                 /* names that are safe */
    const Op *pending[OPS_MOST]; /* changes of names since */
    int n_pending;
} Disk;

static void contents_write(Buf *b, const Op *op) {
    if (op->kind == OP_WRITE) buf_put(b, op->bytes, op->n);
    else if (b->n > op->n) b->n = op->n;
}

static void copy(Buf *to, const Buf *from) {
    to->n = 0;
    buf_put(to, from->n ? from->s : "", from->n);
}

static void disk_step(Disk *d, const Op *op) {
    Contents *c = &d->file[op->file >= 0 ? op->file : 0];
    switch (op->kind) {
    case OP_WRITE:
    case OP_CUT: contents_write(&c->now, op); break;
    case OP_SYNC: copy(&c->safe, &c->now); break;
    case OP_SYNC_FOLDER:
        for (int i = 0; i < d->n_pending; i++) apply_name(&d->safe, d->pending[i]);
        d->n_pending = 0;
        break;
    default: d->pending[d->n_pending++] = op;
    }
}

/* What a file holds after the loss. */
static void surviving(const Contents *c, Bytes kind, Buf *out) {
    copy(out, kind == BYTES_ALL || kind == BYTES_ZERO ? &c->now : &c->safe);
    size_t common = 0; /* as far as both agree nothing was lost */
    while (common < c->now.n && common < c->safe.n && c->now.s[common] == c->safe.s[common])
        common++;
    if (kind == BYTES_ZERO && c->now.n > common) memset(out->s + common, 0, c->now.n - common);
    if (kind == BYTES_HALF) {
        size_t half = common + (c->now.n - common) / 2;
        out->n = 0;
        buf_put(out, c->now.n ? c->now.s : "", half);
    }
}

static void put_file(const char *folder, const char *name, const Buf *b) {
    char *path = path_join(folder, name);
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(b->n ? b->s : "", 1, b->n, f) == b->n && fclose(f) == 0, "%s", path);
    free(path);
}

/* Writes a disk into an empty folder: of the pending names those whose bit is set, and the bytes as
 * `kind` says. Returns a hash of all. */
static uint64_t disk_write(const Disk *d, unsigned chosen, Bytes kind, const char *folder,
                           bool write) {
    Folder names = d->safe;
    uint64_t hash = HASH_START, sum = 0;
    for (int i = 0; i < d->n_pending; i++)
        if (chosen >> i & 1) apply_name(&names, d->pending[i]);
    for (int i = 0; i < names.n; i++) {
        Buf b = {0};
        surviving(&d->file[names.file[i]], kind, &b);
        hash = hash64(names.name[i], strlen(names.name[i]), HASH_START);
        sum += hash64(b.n ? b.s : "", b.n, hash);
        if (write) put_file(folder, names.name[i], &b);
        buf_free(&b);
    }
    return sum;
}

static void empty_folder(const char *path, const Disk *d, int ops) {
    (void)d;
    for (int i = 0; i < ops; i++)
        for (int k = 0; k < 2; k++) {
            char *file = path_join(path, tape.ops[i].name[k]);
            if (tape.ops[i].name[k][0]) unlink(file);
            free(file);
        }
}

/* ---- a run ---- */

enum { KEPT = 3 };

/* A tiny run whose state tells which save it is of. */
typedef struct {
    ModelFolder folder;
    Run run;
    RunState state;
    double kept[KEPT];
} Small;

static void small_new(Small *s, const char *path, const char *resume) {
    Error err = {0};
    ModelConfig shape = {.layers = 1, .heads = 1, .channels = 4, .context = 8, .vocab = 8};
    RunHeader header = {
        .folder = path, .resume = resume, .command = "train", .options = "{}", .machine = "{}"};
    *s = (Small){.folder = {.model = model_new(shape, &err)}};
    s->run = run_new(&header, &s->folder);
    s->state =
        (RunState){.run = &s->run, .optimizer = optimizer_new(s->folder.model, 0.9, 0.95, 0.1)};
    run_state_keep(&s->state, "kept", s->kept, KEPT);
}

static void small_free(Small *s) {
    run_free(&s->run);
    optimizer_free(s->state.optimizer);
    model_folder_free(&s->folder);
}

/* Sets every number of the state to one that tells the step. */
static void small_set(Small *s, int step) {
    const Model *m = s->folder.model;
    for (size_t i = 0; i < m->parameters; i++) {
        m->w[i] = (real)step + (real)i / 1024;
        s->state.optimizer->m[i] = (real)(2 * step);
        s->state.optimizer->v[i] = (real)(3 * step);
    }
    for (int i = 0; i < KEPT; i++) s->kept[i] = step + 0.25 * i;
    s->state.optimizer->step = step;
}

/* Is every number that of this step? */
static bool small_is(const Small *s, int step) {
    const Model *m = s->folder.model;
    bool same = s->state.optimizer->step == step;
    for (size_t i = 0; i < m->parameters; i++)
        same &= m->w[i] == (real)step + (real)i / 1024 &&
                s->state.optimizer->m[i] == (real)(2 * step) &&
                s->state.optimizer->v[i] == (real)(3 * step);
    for (int i = 0; i < KEPT; i++) same &= s->kept[i] == step + 0.25 * i;
    return same;
}

/* One step of the run: a log line, then a save. */
static void small_step(Small *s, int step) {
    Error err = {0};
    LogWindow window = {.sum = {.steps = 1, .loss = step}};
    LogLine line = log_line(&window, step);
    small_set(s, step);
    CHECK(run_log(&s->run, &line, &err) && run_state_save(&s->state, &err), "%s", err.text);
}

/* ---- the test ---- */

static struct {
    int disks, steps[5]; /* how many, and how many loaded each step; steps[0]: there is no state */
} seen;

/* Does the model folder hold the weights of a step between `from` and `to`? */
static bool model_is(const char *path, int from, int to) {
    Error err = {0};
    Model *m = model_load(path, &err);
    bool is = false;
    for (int step = from; m && step <= to; step++) {
        bool same = true;
        for (size_t i = 0; i < m->parameters; i++) same &= m->w[i] == (real)step + (real)i / 1024;
        is |= same;
    }
    model_free(m);
    return is;
}

/* Loads the run from a disk after a loss: it is the state of step `from` or `to`, and its log has
 * at least the lines up to there. from 0: there may be no state yet. */
static void load(const char *path, int from, int to, const char *where) {
    Small s;
    Error err = {0};
    Buf log = {0};
    seen.disks++;
    if (!run_state_exists(path)) {
        CHECK(from == 0, "%s: the state of step %d is gone", where, from);
        seen.steps[0]++;
        return;
    }
    small_new(&s, path, path);
    bool ok = run_state_load(&s.state, path, &err);
    int step = ok ? (int)s.state.optimizer->step : 0;
    CHECK(ok && (step == from || step == to) && small_is(&s, step), "%s: step %d: %s", where, step,
          err.text);
    if (ok) seen.steps[step]++;
    CHECK(model_is(path, from, to), "%s: the model folder is torn", where);
    /* The log reaches as far as the state says, and each of these lines is whole. */
    char *name = path_join(path, "log.jsonl");
    bool has = file_read(name, &log, &err) && (int64_t)log.n >= s.run.log_bytes;
    int lines = 0;
    for (int64_t i = 0; has && i < s.run.log_bytes; i++) lines += log.s[i] == '\n';
    CHECK(has && lines == step, "%s: %d lines of the log at step %d", where, lines, step);
    free(name);
    name = path_join(path, "run.json");
    Arena arena = {0};
    CHECK(file_read(name, &log, &err) && json_parse(&arena, log.s, log.n, NULL),
          "%s: run.json is torn", where);
    arena_free(&arena);
    free(name);
    buf_free(&log);
    small_free(&s);
}

/* Every disk after `ops` calls. */
static void lose(const Disk *d, int ops, int from, int to, const char *crashed) {
    uint64_t done[BYTES_KINDS << PENDING_MOST];
    int n_done = 0;
    CHECK(d->n_pending <= PENDING_MOST, "%d names are pending", d->n_pending);
    if (d->n_pending > PENDING_MOST) return;
    for (unsigned chosen = 0; chosen < 1u << d->n_pending; chosen++)
        for (int kind = 0; kind < BYTES_KINDS; kind++) {
            uint64_t hash = disk_write(d, chosen, (Bytes)kind, crashed, false);
            bool known = false;
            for (int i = 0; i < n_done; i++) known |= done[i] == hash;
            if (known) continue;
            done[n_done++] = hash;
            char where[100];
            snprintf(where, sizeof where, "after call %d, names %x, bytes %d", ops, chosen, kind);
            disk_write(d, chosen, (Bytes)kind, crashed, true);
            load(crashed, from, to, where);
            empty_folder(crashed, d, tape.n);
        }
}

/* A stretch of the recorded calls. A disk of it has the state of step `from` or `to`. */
typedef struct {
    int from, to, end; /* end: the calls up to its end */
} Stretch;

static void stretch(Stretch *all, int *n, int from, int to) {
    all[(*n)++] = (Stretch){from, to, tape.n};
}

/* A run of three saves. */
static int record_saves(const char *path, Stretch *all) {
    Error err = {0};
    Small s;
    int n = 0;
    small_new(&s, path, NULL);
    CHECK(run_begin(&s.run, &err), "%s", err.text);
    stretch(all, &n, 0, 0);
    for (int step = 1; step <= 3; step++) {
        small_step(&s, step);
        stretch(all, &n, step - 1, step);
    }
    small_free(&s);
    return n;
}

/* The newest state of that run is damaged. The run continues from the state before, and saves
 * twice: until the first of these saves is safe, the state before must stay. */
static int record_damage(const char *path, Stretch *all) {
    Error err = {0};
    Small s;
    int n = record_saves(path, all);
    char *state = path_join(path, "training_state.safetensors");
    CHECK(file_write(state, "damaged", 7, &err), "%s", err.text);
    stretch(all, &n, 2, 3);
    small_new(&s, path, path);
    CHECK(run_state_load(&s.state, path, &err) && small_is(&s, 2), "%s", err.text);
    CHECK(run_begin(&s.run, &err), "%s", err.text);
    stretch(all, &n, 2, 3); /* the model folder is still of step 3 */
    for (int step = 3; step <= 4; step++) {
        small_step(&s, step);
        stretch(all, &n, step - 1, step);
    }
    small_free(&s);
    free(state);
    return n;
}

/* Records a run and loses the power after each call. The run ends at step `last`. */
static void test_losses(const char *base, int (*run)(const char *, Stretch *), int last) {
    char *path = path_join(base, "run"), *crashed = path_join(base, "crashed");
    Error err = {0};
    Disk *d = mem_new(1, sizeof *d);
    Stretch all[STRETCHES_MOST];
    CHECK(folder_make(path, &err) && folder_make(crashed, &err), "%s", err.text);
    memset(&seen, 0, sizeof seen);
    tape_begin(path);
    int n = run(path, all);
    tape.on = false;
    for (int i = 0, at = 0; i < tape.n; i++) {
        disk_step(d, &tape.ops[i]);
        while (at < n - 1 && i + 1 > all[at].end) at++;
        lose(d, i + 1, all[at].from, all[at].to, crashed);
    }
    lose(d, tape.n, last, last, crashed);
    printf("%d calls, %d disks: %d without a state", tape.n, seen.disks, seen.steps[0]);
    for (int i = 1; i <= last; i++) printf(", %d of step %d", seen.steps[i], i);
    printf("\n");
    for (int i = 0; i <= last; i++) CHECK(seen.steps[i] > 0, "no disk has state %d", i);
    empty_folder(path, d, tape.n);
    for (int i = 0; i < FILES_MOST; i++) {
        buf_free(&d->file[i].now);
        buf_free(&d->file[i].safe);
    }
    CHECK(rmdir(path) == 0 && rmdir(crashed) == 0, "%s is not empty", base);
    tape_end();
    free(d);
    free(path);
    free(crashed);
}

int main(void) {
    char name[] = "/tmp/test_power.XXXXXX", *base = mkdtemp(name) ? realpath(name, NULL) : NULL;
    CHECK(base, "cannot make %s", name);
    if (base) test_losses(base, record_saves, 3);
    if (base) test_losses(base, record_damage, 4);
    CHECK(rmdir(name) == 0, "%s is not empty", name);
    free(base);
    return check_report("test_power");
}
