/* same_bits: the helper of same_bits.sh. Prints a hash (64-bit FNV-1a, 16 hex digits) of
 *
 *   same_bits raw FILE               the file's bytes
 *   same_bits json FILE [WORD...]    its JSON values, one or more (JSONL), in a canonical form
 *   same_bits tensors FILE           each tensor of a safetensors file: name, type, shape, bytes
 *   same_bits libm                   results of the C library's functions that the program calls
 *
 * The canonical form has no white space and sorts each object's members by key. Numbers and
 * strings keep the spelling of the file. Members that name the clock, the machine or the build are
 * left out. A WORD +KEY keeps only the listed members of the outermost objects. A WORD -KEY leaves
 * this member out at any depth.
 *
 * The hash of a safetensors file ignores the order of its tensors and its metadata. It also ignores
 * the tensor "window", which holds the seconds since the last line of the log.
 *
 * This file includes nothing of the program: what it tests cannot mislead it. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const UNSTABLE[] = {"seconds",
                                       "score_seconds",
                                       "reference_seconds",
                                       "train_seconds",
                                       "eval_seconds",
                                       "tokens_per_second",
                                       "overhead_measured",
                                       "relative_cost_measured",
                                       "activation_bytes",
                                       "version",
                                       "machine",
                                       "compiler",
                                       "flags",
                                       "threads",
                                       "options",
                                       "arguments",
                                       NULL};

static _Noreturn void die(const char *what) {
    fprintf(stderr, "same_bits: %s\n", what);
    exit(1);
}

static void *need(void *memory) {
    if (!memory) die("out of memory");
    return memory;
}

static uint64_t hash(const void *bytes, size_t n, uint64_t h) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * UINT64_C(1099511628211);
    return h;
}

/* ---- text that grows ---- */

typedef struct {
    char *bytes; /* [n], and a NUL after them */
    size_t n, room;
} Text;

static void put(Text *t, const char *bytes, size_t n) {
    if (t->n + n + 1 > t->room) {
        t->room = 2 * (t->n + n + 1);
        t->bytes = need(realloc(t->bytes, t->room));
    }
    memcpy(t->bytes + t->n, bytes, n);
    t->n += n;
    t->bytes[t->n] = 0;
}

static Text read_file(const char *path) {
    Text t = {0};
    char part[1 << 16];
    FILE *f = fopen(path, "rb");
    if (!f) die(path);
    put(&t, "", 0);
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) put(&t, part, n);
    if (ferror(f)) die(path);
    fclose(f);
    return t;
}

/* ---- JSON in its canonical form ---- */

typedef struct {
    const char *at, *end;
    char *const *words; /* [n_words] of the command line */
    int n_words;
} Reader;

typedef struct {
    char *key; /* without quotes, as in the file */
    Text value;
} Member;

typedef struct {
    Member *members; /* [n], sorted by key */
    size_t n;
} Object;

static void skip_space(Reader *r) {
    while (r->at < r->end && strchr(" \t\r\n", *r->at)) r->at++;
}

/* The byte at the reader's position; there is one. */
static char peek(Reader *r) {
    skip_space(r);
    if (r->at >= r->end) die("JSON ends too soon");
    return *r->at;
}

static bool accept(Reader *r, char c) {
    if (peek(r) != c) return false;
    r->at++;
    return true;
}

static void expect(Reader *r, char c) {
    if (!accept(r, c)) die("this is not JSON");
}

/* A string with its quotes. */
static Text read_string(Reader *r) {
    Text t = {0};
    expect(r, '"');
    const char *from = r->at - 1;
    while (r->at < r->end && *r->at != '"') r->at += *r->at == '\\' ? 2 : 1;
    if (r->at >= r->end) die("a JSON string does not end");
    r->at++;
    put(&t, from, (size_t)(r->at - from));
    return t;
}

/* Does the command line hold this key with this sign? */
static bool has_word(const Reader *r, char sign, const char *key) {
    for (int i = 0; i < r->n_words; i++)
        if (r->words[i][0] == sign && strcmp(r->words[i] + 1, key) == 0) return true;
    return false;
}

static bool is_left_out(const Reader *r, const char *key, int depth) {
    for (int i = 0; UNSTABLE[i]; i++)
        if (strcmp(UNSTABLE[i], key) == 0) return true;
    bool chooses = false;
    for (int i = 0; i < r->n_words; i++) chooses |= r->words[i][0] == '+';
    return has_word(r, '-', key) || (depth == 0 && chooses && !has_word(r, '+', key));
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const Member *)a)->key, ((const Member *)b)->key);
}

static Text read_value(Reader *r, int depth);

static Object read_object(Reader *r, int depth) {
    Object o = {0};
    expect(r, '{');
    if (accept(r, '}')) return o;
    do {
        Text key = read_string(r);
        key.bytes[key.n - 1] = 0;
        expect(r, ':');
        Text value = read_value(r, depth + 1);
        if (is_left_out(r, key.bytes + 1, depth)) {
            free(value.bytes);
        } else {
            o.members = need(realloc(o.members, (o.n + 1) * sizeof *o.members));
            o.members[o.n].key = need(malloc(key.n));
            strcpy(o.members[o.n].key, key.bytes + 1);
            o.members[o.n++].value = value;
        }
        free(key.bytes);
    } while (accept(r, ','));
    expect(r, '}');
    if (o.n > 0) qsort(o.members, o.n, sizeof *o.members, by_key);
    return o;
}

static void free_object(Object *o) {
    for (size_t i = 0; i < o->n; i++) {
        free(o->members[i].key);
        free(o->members[i].value.bytes);
    }
    free(o->members);
}

static Text read_value(Reader *r, int depth) {
    Text t = {0};
    char first = peek(r);
    if (first == '"') return read_string(r);
    if (first == '{') {
        Object o = read_object(r, depth);
        put(&t, "{", 1);
        for (size_t i = 0; i < o.n; i++) {
            put(&t, i > 0 ? ",\"" : "\"", i > 0 ? 2 : 1);
            put(&t, o.members[i].key, strlen(o.members[i].key));
            put(&t, "\":", 2);
            put(&t, o.members[i].value.bytes, o.members[i].value.n);
        }
        put(&t, "}", 1);
        free_object(&o);
    } else if (first == '[') {
        expect(r, '[');
        put(&t, "[", 1);
        for (bool more = !accept(r, ']'); more;) {
            Text item = read_value(r, depth + 1);
            put(&t, item.bytes, item.n);
            free(item.bytes);
            if (accept(r, ',')) put(&t, ",", 1);
            else more = !accept(r, ']');
        }
        put(&t, "]", 1);
    } else {
        const char *from = r->at;
        while (r->at < r->end && !strchr(",]} \t\r\n", *r->at)) r->at++;
        if (r->at == from) die("a JSON value is missing");
        put(&t, from, (size_t)(r->at - from));
    }
    return t;
}

static uint64_t hash_json(const Text *file, char *const *words, int n_words, uint64_t h) {
    Reader r = {file->bytes, file->bytes + file->n, words, n_words};
    for (skip_space(&r); r.at < r.end; skip_space(&r)) {
        Text t = read_value(&r, 0);
        put(&t, "\n", 1);
        h = hash(t.bytes, t.n, h);
        free(t.bytes);
    }
    return h;
}

/* ---- safetensors: a length of 8 bytes, a JSON header, the tensors' bytes ---- */

static uint64_t hash_tensors(const Text *file, uint64_t h) {
    uint64_t length = 0;
    if (file->n < 8) die("this is not a safetensors file");
    for (int i = 7; i >= 0; i--) length = length << 8 | (unsigned char)file->bytes[i];
    if (length > file->n - 8) die("the safetensors header is longer than its file");
    const char *data = file->bytes + 8 + length;
    size_t n_data = file->n - 8 - (size_t)length;
    Reader r = {file->bytes + 8, data, NULL, 0};
    Object header = read_object(&r, 0);
    for (size_t i = 0; i < header.n; i++) {
        const Member *m = &header.members[i];
        if (strcmp(m->key, "__metadata__") == 0 || strcmp(m->key, "window") == 0) continue;
        size_t from, to; /* data_offsets is the first member in sorted order */
        if (sscanf(m->value.bytes, "{\"data_offsets\":[%zu,%zu]", &from, &to) != 2 || from > to ||
            to > n_data)
            die("a tensor has wrong offsets");
        const char *rest = strchr(m->value.bytes, ']');
        h = hash(m->key, strlen(m->key), h);
        h = hash(rest, strlen(rest), h);
        h = hash(data + from, to - from, h);
    }
    free_object(&header);
    return h;
}

/* ---- the C library ---- */

/* Its functions may differ in the last bit between libraries, and between processors with and
 * without FMA. 20,000 arguments find such a difference. The constants step through (0, 16). */
static uint64_t hash_libm(uint64_t h) {
    for (int i = 0; i < 20000; i++) {
        double x = fmod(i * 0.6180339887498949, 1.0) * 16 + 1e-9;
        double y[] = {exp(-x), exp(x), log(x), log1p(x), pow(x, 0.75), tanh(x), cos(x)};
        h = hash(y, sizeof y, h);
    }
    return h;
}

int main(int argc, char **argv) {
    uint64_t h = UINT64_C(14695981039346656037);
    const char *form = argc > 1 ? argv[1] : "";
    if (strcmp(form, "libm") == 0) {
        h = hash_libm(h);
    } else {
        if (argc < 3) die("usage: same_bits raw|json|tensors FILE [WORD...], or same_bits libm");
        Text file = read_file(argv[2]);
        if (strcmp(form, "raw") == 0) h = hash(file.bytes, file.n, h);
        else if (strcmp(form, "json") == 0) h = hash_json(&file, argv + 3, argc - 3, h);
        else if (strcmp(form, "tensors") == 0) h = hash_tensors(&file, h);
        else die("the form is not one of raw, json, tensors, libm");
        free(file.bytes);
    }
    printf("%016" PRIx64 "\n", h);
    return 0;
}
