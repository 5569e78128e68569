/* power: records what the program does to the files below one folder, and builds every disk that a
 * power loss may leave at any instant of it.
 *
 * What a disk may keep. A file's bytes are safe once fsync of the file has returned. A name (a file
 * or folder made, renamed or removed) is safe once fsync of its folder has returned; one that moves
 * from folder to folder, once both have. Of what is not safe the disk keeps anything: of the names
 * any subset, also a rename before the bytes of its file; of the bytes all, none, the first half,
 * or zeros in their place. Calls return in order, so what is safe stays safe. Of more than
 * SUBSETS_WHOLE names that are not safe these subsets are tried: the first i, all but one, one.
 *
 *   tape_begin("/tmp/x/run");           // an absolute path, no link in it; the folder is empty
 *   ... the program writes ...
 *   tape_settle();                      // everything so far is safe
 *   Stretch part = {.from = 1, .to = 2};
 *   ... the program writes ...
 *   tape_stretch(&part);                // a disk of these calls holds what .from or .to tells
 *   tape.on = false;
 *   int disks = power_each(look);       // calls look for each disk that differs from all before
 *   tape_end();
 *
 * Global, since the calls that are replaced get no context. For one thread. */
#ifndef POWER_H
#define POWER_H

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/system.h"
#include "tests/unit/check.h"

enum {
    NODES_MOST = 300,
    OPS_MOST = 4000,
    FDS = 256,
    NAMES_MOST = 100,
    NAME_MOST = 64,
    PATH_MOST = 256,
    PENDING_MOST = 40,
    SUBSETS_WHOLE = 7,
    SUBSETS_MOST = 128,
    STRETCHES_MOST = 12,
    KNOWN_MOST = 1 << 16
};

/* A name: in which folder, and the file or folder that it leads to. Node 0 is the recorded folder.
 */
typedef struct {
    int folder, node; /* node -1: nothing */
    char text[NAME_MOST];
} Name;
typedef struct {
    Name v[NAMES_MOST];
    int n;
} Names;

typedef enum { OP_NAMES, OP_WRITE, OP_CUT, OP_SYNC, OP_SETTLE } OpKind;
typedef struct {
    OpKind kind;
    int node;      /* of all but OP_NAMES and OP_SETTLE */
    Name from, to; /* OP_NAMES: the name that goes, the name that comes */
    char *bytes;   /* OP_WRITE */
    size_t n;      /* OP_WRITE: how many; OP_CUT: the new size */
} Op;

/* A stretch of the recorded calls. */
typedef struct {
    int from, to; /* what a disk of it may hold, as the test numbers it; after its last call: to */
    int model[2]; /* the same for a model's folder: from this to that */
    int end;      /* the calls up to its end */
} Stretch;

static struct {
    SystemCalls real;
    const char *folder; /* whose files are recorded */
    Op ops[OPS_MOST];
    int n;
    bool is_folder[NODES_MOST];
    int nodes;
    int of_fd[FDS]; /* the node of an open descriptor, or -1 */
    Names names;    /* at the moment of recording */
    Stretch all[STRETCHES_MOST];
    int stretches;
    bool on;
} tape;

/* ---- names ---- */

static int names_find(const Names *f, int folder, const char *text) {
    for (int i = 0; i < f->n; i++)
        if (f->v[i].folder == folder && strcmp(f->v[i].text, text) == 0) return i;
    return -1;
}

static void names_apply(Names *f, const Op *op) {
    int from = op->from.node >= 0 ? names_find(f, op->from.folder, op->from.text) : -1;
    if (from >= 0 && f->v[from].node == op->from.node) f->v[from] = f->v[--f->n];
    if (op->to.node < 0) return;
    int to = names_find(f, op->to.folder, op->to.text);
    if (to < 0) to = f->n++;
    if (f->n > NAMES_MOST) abort();
    f->v[to] = op->to;
}

/* The name that a path has now. False if it is not below the recorded folder. */
static bool tape_name(const char *path, Name *name) {
    size_t n = strlen(tape.folder ? tape.folder : "");
    if (!tape.on || strncmp(path, tape.folder, n) != 0 || (path[n] && path[n] != '/')) return false;
    *name = (Name){.folder = -1};
    for (const char *p = path + n; *p; p += strcspn(p, "/")) {
        p += strspn(p, "/");
        if (!*p) break;
        name->folder = name->node;
        snprintf(name->text, sizeof name->text, "%.*s", (int)strcspn(p, "/"), p);
        int at = names_find(&tape.names, name->folder, name->text);
        name->node = at < 0 ? -1 : tape.names.v[at].node;
    }
    return true;
}

/* ---- the recorder ---- */

static Op *record(OpKind kind, int node) {
    if (tape.n == OPS_MOST) abort();
    Op *op = &tape.ops[tape.n++];
    *op = (Op){.kind = kind, .node = node, .from.node = -1, .to.node = -1};
    return op;
}

static void record_names(const Name *from, const Name *to) {
    Op *op = record(OP_NAMES, -1);
    if (from) op->from = *from;
    if (to) op->to = *to;
    names_apply(&tape.names, op);
}

static void record_new(Name *name, bool is_folder) {
    if (tape.nodes == NODES_MOST) abort();
    name->node = tape.nodes++;
    tape.is_folder[name->node] = is_folder;
    record_names(NULL, name);
}

static int record_open(const char *path, int flags, mode_t mode) {
    int fd = tape.real.open(path, flags, mode);
    Name name;
    if (fd < 0 || fd >= FDS) return fd;
    tape.of_fd[fd] = -1;
    if (!tape_name(path, &name)) return fd;
    if ((flags & O_ACCMODE) == O_RDONLY) {
        if (name.node >= 0 && tape.is_folder[name.node]) tape.of_fd[fd] = name.node;
        return fd;
    }
    if (name.node < 0) record_new(&name, false);
    else if (flags & O_TRUNC) record(OP_CUT, name.node);
    tape.of_fd[fd] = name.node;
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
    return 0;
}

static int record_rename(const char *from, const char *to) {
    Name a, b;
    if (tape_name(from, &a) && a.node >= 0 && tape_name(to, &b)) {
        b.node = a.node;
        record_names(&a, &b);
    }
    return tape.real.rename(from, to);
}

static int record_link(const char *path, const char *other) {
    Name a, b;
    int failed = tape.real.link(path, other);
    if (!failed && tape_name(path, &a) && tape_name(other, &b)) {
        b.node = a.node;
        record_names(NULL, &b);
    }
    return failed;
}

static int record_unlink(const char *path) {
    Name a;
    if (tape_name(path, &a) && a.node >= 0) record_names(&a, NULL);
    return tape.real.unlink(path);
}

/* What was in the folder goes with it, as far as its new names are not safe. */
static int record_rmdir(const char *path) {
    Name a;
    bool named = tape_name(path, &a) && a.node >= 0;
    int failed = tape.real.rmdir(path);
    if (!failed && named) record_names(&a, NULL);
    return failed;
}

static int record_mkdir(const char *path, mode_t mode) {
    Name a;
    int failed = tape.real.mkdir(path, mode);
    if (!failed && tape_name(path, &a)) record_new(&a, true);
    return failed;
}

static void tape_begin(const char *folder) {
    memset(&tape, 0, sizeof tape);
    tape.real = system_calls;
    tape.folder = folder;
    tape.is_folder[tape.nodes++] = true;
    system_calls.open = record_open;
    system_calls.write = record_write;
    system_calls.truncate = record_truncate;
    system_calls.fsync = record_fsync;
    system_calls.rename = record_rename;
    system_calls.link = record_link;
    system_calls.unlink = record_unlink;
    system_calls.mkdir = record_mkdir;
    system_calls.rmdir = record_rmdir;
    for (int i = 0; i < FDS; i++) tape.of_fd[i] = -1;
    tape.on = true;
}

static void tape_settle(void) { record(OP_SETTLE, -1); }

/* Ends a stretch: from the last one's end to the last call. */
static void tape_stretch(const Stretch *part) {
    if (tape.stretches == STRETCHES_MOST) abort();
    tape.all[tape.stretches] = *part;
    tape.all[tape.stretches++].end = tape.n;
}

static void tape_end(void) {
    tape.on = false;
    for (int i = 0; i < tape.n; i++) free(tape.ops[i].bytes);
    system_calls = tape.real;
}

/* ---- disks after a power loss ---- */

/* What becomes of bytes that are not safe. */
typedef enum { BYTES_ALL, BYTES_NONE, BYTES_HALF, BYTES_ZERO, BYTES_KINDS } Bytes;

/* The disk at an instant: the contents of each node, as the program sees them and as they are
 * safe; the names that are safe; and the changes of names since. */
typedef struct {
    struct {
        Buf now, safe;
    } node[NODES_MOST];
    Names safe;
    struct {
        const Op *op;
        bool from, to; /* its folders, as far as they have to be synced */
    } pending[PENDING_MOST];
    int n_pending;
} Disk;

/* One disk after a loss, as paths below the folder. */
typedef struct {
    const Disk *d;
    Bytes kind;
    struct {
        char path[PATH_MOST];
        int node;
    } entry[NAMES_MOST];
    int n;
} Loss;

static void copy(Buf *to, const Buf *from) {
    to->n = 0;
    buf_put(to, from->n ? from->s : "", from->n);
}

/* Folder `node` is safe; -1: all is. */
static void disk_sync(Disk *d, int node) {
    int left = 0;
    for (int i = 0; i < d->n_pending; i++) {
        const Op *op = d->pending[i].op;
        if (node < 0 || op->from.folder == node) d->pending[i].from = false;
        if (node < 0 || op->to.folder == node) d->pending[i].to = false;
        if (d->pending[i].from || d->pending[i].to) d->pending[left++] = d->pending[i];
        else names_apply(&d->safe, op);
    }
    d->n_pending = left;
}

static void disk_step(Disk *d, const Op *op) {
    Buf *now = op->node >= 0 ? &d->node[op->node].now : NULL;
    switch (op->kind) {
    case OP_WRITE: buf_put(now, op->bytes, op->n); break;
    case OP_CUT: now->n = now->n > op->n ? op->n : now->n; break;
    case OP_SYNC:
        if (tape.is_folder[op->node]) disk_sync(d, op->node);
        else copy(&d->node[op->node].safe, now);
        break;
    case OP_SETTLE:
        disk_sync(d, -1);
        for (int i = 0; i < tape.nodes; i++) copy(&d->node[i].safe, &d->node[i].now);
        break;
    case OP_NAMES:
        if (d->n_pending == PENDING_MOST) abort();
        d->pending[d->n_pending].op = op;
        d->pending[d->n_pending].from = op->from.node >= 0;
        d->pending[d->n_pending++].to = op->to.node >= 0;
    }
}

static void disk_free(Disk *d) {
    for (int i = 0; i < NODES_MOST; i++) {
        buf_free(&d->node[i].now);
        buf_free(&d->node[i].safe);
    }
    free(d);
}

/* Appends what a folder has, and what is below it. */
static void list_folder(Loss *loss, const Names *names, int folder, const char *path) {
    for (int i = 0; i < names->n; i++) {
        const Name *name = &names->v[i];
        if (name->folder != folder || loss->n == NAMES_MOST) continue;
        int at = loss->n++;
        int n = snprintf(loss->entry[at].path, PATH_MOST, "%s%s", path, name->text);
        loss->entry[at].node = name->node;
        if (n + 1 >= PATH_MOST) abort();
        if (!tape.is_folder[name->node]) continue;
        char below[PATH_MOST + 1];
        snprintf(below, sizeof below, "%s/", loss->entry[at].path);
        list_folder(loss, names, name->node, below);
    }
}

/* The disk that has of the pending names those whose bit is set. */
static void disk_lose(const Disk *d, uint64_t chosen, Bytes kind, Loss *loss) {
    Names names = d->safe;
    for (int i = 0; i < d->n_pending; i++)
        if (chosen >> i & 1) names_apply(&names, d->pending[i].op);
    loss->d = d;
    loss->kind = kind;
    loss->n = 0;
    list_folder(loss, &names, 0, "");
}

/* What a file holds after the loss. */
static void loss_bytes(const Loss *loss, int entry, Buf *out) {
    const Buf *now = &loss->d->node[loss->entry[entry].node].now,
              *safe = &loss->d->node[loss->entry[entry].node].safe;
    Bytes kind = loss->kind;
    copy(out, kind == BYTES_ALL || kind == BYTES_ZERO ? now : safe);
    size_t common = 0; /* as far as both agree nothing was lost */
    while (common < now->n && common < safe->n && now->s[common] == safe->s[common]) common++;
    if (kind == BYTES_ZERO && now->n > common) memset(out->s + common, 0, now->n - common);
    if (kind == BYTES_HALF) {
        out->n = 0;
        buf_put(out, now->n ? now->s : "", common + (now->n - common) / 2);
    }
}

static uint64_t loss_hash(const Loss *loss) {
    uint64_t sum = 0;
    Buf b = {0};
    for (int i = 0; i < loss->n; i++) {
        loss_bytes(loss, i, &b);
        uint64_t hash = hash64(loss->entry[i].path, strlen(loss->entry[i].path) + 1, HASH_START);
        sum += hash64(b.n ? b.s : "", b.n, hash);
    }
    buf_free(&b);
    return sum;
}

/* Removes all that a folder has. Not by system_calls: nothing of it is to be recorded. */
static void empty_folder(const char *path) {
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));) {
        struct stat s;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        char *entry = path_join(path, e->d_name);
        if (lstat(entry, &s) == 0 && S_ISDIR(s.st_mode)) {
            empty_folder(entry);
            rmdir(entry);
        } else unlink(entry);
        free(entry);
    }
    if (d) closedir(d);
}

/* Writes the disk into a folder, which is emptied first. */
static void loss_write(const Loss *loss, const char *folder) {
    Buf b = {0};
    empty_folder(folder);
    for (int i = 0; i < loss->n; i++) {
        char *path = path_join(folder, loss->entry[i].path);
        if (tape.is_folder[loss->entry[i].node]) CHECK(mkdir(path, 0777) == 0, "%s", path);
        else {
            FILE *f = fopen(path, "wb");
            loss_bytes(loss, i, &b);
            CHECK(f && fwrite(b.n ? b.s : "", 1, b.n, f) == b.n && fclose(f) == 0, "%s", path);
        }
        free(path);
    }
    buf_free(&b);
}

/* ---- all disks ---- */

static int subsets(int n, uint64_t *all) {
    int count = 0;
    uint64_t full = (UINT64_C(1) << n) - 1;
    if (n <= SUBSETS_WHOLE) {
        for (uint64_t chosen = 0; chosen <= full; chosen++) all[count++] = chosen;
        return count;
    }
    all[count++] = full;
    for (int i = 0; i < n; i++) {
        uint64_t one = UINT64_C(1) << i;
        all[count++] = one - 1;
        all[count++] = full ^ one;
        all[count++] = one;
    }
    return count;
}

/* Was it seen before? Notes it. */
static bool is_known(uint64_t *known, uint64_t hash) {
    uint64_t at = (hash += hash == 0) % KNOWN_MOST;
    while (known[at] && known[at] != hash) at = (at + 1) % KNOWN_MOST;
    bool was = known[at] == hash;
    known[at] = hash;
    return was;
}

/* `where` says after which call, with which names and bytes. */
typedef void (*PowerLook)(const Loss *loss, const Stretch *part, const char *where);

static int disk_each(const Disk *d, int ops, const Stretch *part, uint64_t *known, PowerLook look) {
    uint64_t all[SUBSETS_MOST];
    int n = subsets(d->n_pending, all), disks = 0;
    Loss *loss = mem_new(1, sizeof *loss);
    for (int i = 0; i < n; i++)
        for (int kind = 0; kind < BYTES_KINDS; kind++) {
            char where[100];
            disk_lose(d, all[i], (Bytes)kind, loss);
            uint64_t same = hash64(part, sizeof *part, HASH_START);
            if (is_known(known, loss_hash(loss) ^ same)) continue;
            disks++;
            snprintf(where, sizeof where, "after call %d, names %llx, bytes %d", ops,
                     (unsigned long long)all[i], kind);
            look(loss, part, where);
        }
    free(loss);
    return disks;
}

/* Loses the power after each call since the last tape_settle, or since the first, and once more at
 * the end of each stretch. Returns how many different disks there were. */
static int power_each(PowerLook look) {
    Disk *d = mem_new(1, sizeof *d);
    uint64_t *known = mem_new(KNOWN_MOST, sizeof *known);
    int disks = 0, settled = 0;
    for (int i = 0; i < tape.n; i++)
        if (tape.ops[i].kind == OP_SETTLE) settled = i;
    for (int i = 0, at = 0; i < tape.n; i++) {
        disk_step(d, &tape.ops[i]);
        while (at < tape.stretches - 1 && i + 1 > tape.all[at].end) at++;
        if (i < settled) continue;
        Stretch part = tape.all[at];
        disks += disk_each(d, i + 1, &part, known, look);
        if (i + 1 < part.end) continue;
        part.from = part.to;
        disks += disk_each(d, i + 1, &part, known, look);
    }
    free(known);
    disk_free(d);
    return disks;
}

#endif
