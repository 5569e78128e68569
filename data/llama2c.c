/* llama2.c's files, read into a model and into the text of a tokenizer.json. */
#include "data/llama2c.h"

#include <string.h>

#include "lib/file.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/unicode.h"

/* ---- numbers, little-endian ---- */

static uint32_t get32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int get_int(const unsigned char *p) {
    uint32_t bits = get32(p);
    return bits < 0x80000000u ? (int)bits : -(int)(0xFFFFFFFFu - bits) - 1;
}

static float get_float(const unsigned char *p) {
    uint32_t bits = get32(p);
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* ---- the model ---- */

/* The order of the file. A role of the layers stands for all of them. ROLE_COUNT: numbers of
 * rotary positions, which follow from the shape. The head is there if it is untied. */
static const TensorRole VERSION_0[] = {ROLE_WTE,   ROLE_LN1_G, ROLE_Q_W,    ROLE_K_W,    ROLE_V_W,
                                       ROLE_OUT_W, ROLE_LN2_G, ROLE_GATE_W, ROLE_PROJ_W, ROLE_UP_W,
                                       ROLE_LNF_G, ROLE_COUNT, ROLE_HEAD_W};
static const TensorRole VERSION_1[] = {ROLE_LN1_G,  ROLE_LN2_G,  ROLE_LNF_G, ROLE_WTE,
                                       ROLE_Q_W,    ROLE_K_W,    ROLE_V_W,   ROLE_OUT_W,
                                       ROLE_GATE_W, ROLE_PROJ_W, ROLE_UP_W,  ROLE_HEAD_W};

typedef struct {
    FileReader in;
    uint64_t at; /* of the next tensor */
    const TensorRole *order;
    int orders;
    ModelConfig shape;
} Reader;

static bool strange(const Reader *r, const char *what, Error *err) {
    return error_set(err, STATUS_DATA, "%s: %s; is this a model of llama2.c in float32?",
                     r->in.path, what);
}

/* Reads either header. */
static bool read_header(Reader *r, Error *err) {
    enum { NUMBERS = 7, MAGIC = 0x616b3432, HEADER_1 = 256 };
    unsigned char head[HEADER_1], *p = head;
    if (r->in.size < HEADER_1) return strange(r, "it is too short", err);
    if (!file_read_at(&r->in, 0, head, HEADER_1, err)) return false;
    bool version_1 = get32(head) == MAGIC;
    if (version_1 && get_int(head + 4) != 1) return strange(r, "its version is not 0 or 1", err);
    if (version_1) p += 8;
    r->at = version_1 ? HEADER_1 : 4 * NUMBERS;
    r->order = version_1 ? VERSION_1 : VERSION_0;
    r->orders = version_1 ? (int)(sizeof VERSION_1 / sizeof *VERSION_1)
                          : (int)(sizeof VERSION_0 / sizeof *VERSION_0);
    int vocab = get_int(p + 20);
    r->shape = (ModelConfig){.family = FAMILY_LLAMA,
                             .channels = get_int(p),
                             .inner = get_int(p + 4),
                             .layers = get_int(p + 8),
                             .heads = get_int(p + 12),
                             .kv_heads = get_int(p + 16),
                             .vocab = vocab < -(1 << 24) ? 0 : abs(vocab),
                             .context = get_int(p + 24),
                             .epsilon = 1e-5,
                             .untied = version_1 ? head[36] == 0 : vocab < 0};
    if (r->shape.inner < 1 || r->shape.kv_heads < 1)
        return strange(r, "a size is not above 0", err);
    return true;
}

/* The tensor of a role in a layer, or outside of them. */
static const ModelTensor *tensor_of(const Model *m, TensorRole role, int layer) {
    for (int i = 0; i < m->tensor_count; i++)
        if (m->tensors[i].role == role && m->tensors[i].layer == layer) return &m->tensors[i];
    return NULL;
}

static uint64_t rotary_bytes(const ModelConfig *c) {
    return (uint64_t)c->context * (uint64_t)c->head_size * sizeof(float);
}

/* Must the file have this many bytes? */
static uint64_t wanted_size(const Reader *r, const Model *m) {
    uint64_t rotary = r->order == VERSION_0 ? rotary_bytes(&m->config) : 0;
    return r->at + (uint64_t)m->parameters * sizeof(float) + rotary;
}

/* The row of the model for a row of the file. Pair d of a head is the rows 2d and 2d + 1 there, d
 * and D/2 + d here. */
static int row_of(const Model *m, const ModelTensor *t, int row) {
    if (t->role != ROLE_Q_W && t->role != ROLE_K_W) return row;
    int D = m->config.head_size, d = row % D;
    return row - d + d / 2 + d % 2 * (D / 2);
}

static bool read_tensor(Reader *r, Model *m, const ModelTensor *t, Error *err) {
    int rows = t->rank == 2 ? t->shape[0] : 1, columns = t->rank == 2 ? t->shape[1] : t->shape[0];
    size_t bytes = (size_t)columns * sizeof(float);
    unsigned char *row = mem_new(bytes, 1);
    bool ok = true;
    for (int i = 0; ok && i < rows; i++, r->at += bytes) {
        real *to = m->w + t->offset + (size_t)row_of(m, t, i) * (size_t)columns;
        ok = file_read_at(&r->in, r->at, row, bytes, err);
        for (int j = 0; ok && j < columns; j++) {
            to[j] = (real)get_float(row + sizeof(float) * (size_t)j);
            ok = isfinite(to[j]);
        }
    }
    if (!ok) error_set(err, STATUS_DATA, "%s: a weight is not finite", r->in.path);
    free(row);
    return ok;
}

static bool read_weights(Reader *r, Model *m, Error *err) {
    for (int i = 0; i < r->orders; i++) {
        TensorRole role = r->order[i];
        bool layers = role >= ROLE_LAYER_FIRST && role <= ROLE_LAYER_LAST;
        if (role == ROLE_COUNT) r->at += rotary_bytes(&m->config);
        for (int l = layers ? 0 : -1; role != ROLE_COUNT && l < (layers ? m->config.layers : 0);
             l++) {
            const ModelTensor *t = tensor_of(m, role, l);
            if (t && !read_tensor(r, m, t, err)) return false;
        }
    }
    return true;
}

Model *llama2c_model(const char *path, Error *err) {
    Reader r = {0};
    Error own = {0};
    Model *m = NULL;
    bool ok = file_open(&r.in, path, err) && read_header(&r, err);
    if (ok) m = model_shape(r.shape, &own);
    if (ok && !m) ok = strange(&r, own.text, err);
    if (ok && wanted_size(&r, m) != r.in.size)
        ok = strange(&r, "its size is not what its header says", err);
    if (ok) model_allocate(m);
    ok = ok && read_weights(&r, m, err);
    file_close(&r.in);
    if (ok) return m;
    model_free(m);
    return NULL;
}

/* ---- the tokenizer ---- */

enum { FIRST_BYTE = 3, FIRST_PIECE = FIRST_BYTE + 256, TOKEN_MOST = 1 << 12 };

typedef struct {
    Arena arena;
    int n;
    Str *text; /* [n] with U+2581 in place of blanks */
    float *score;
    StrSet set;
} Pieces;

/* The piece as Hugging Face writes it. */
static Str piece_text(Arena *arena, int id, const char *bytes, size_t n) {
    static const char *const special[] = {"<unk>", "<s>", "</s>"};
    Buf b = {0};
    if (id < FIRST_BYTE) return str(special[id]);
    if (id < FIRST_PIECE) buf_printf(&b, "<0x%02X>", (unsigned)(id - FIRST_BYTE));
    else
        for (size_t i = 0; i < n; i++)
            if (bytes[i] == ' ') buf_puts(&b, "\xe2\x96\x81");
            else buf_putc(&b, bytes[i]);
    Str text = str_copy(arena, (Str){b.s, b.n});
    buf_free(&b);
    return text;
}

/* Reads the tokens out of the file's bytes. */
static bool read_pieces(Pieces *p, const char *path, const Buf *file, Error *err) {
    const unsigned char *bytes = (const unsigned char *)file->s;
    size_t at = 4;
    for (int id = 0; id < p->n; id++) {
        int n = at + 8 <= file->n ? get_int(bytes + at + 4) : -1;
        if (n < 0 || n > TOKEN_MOST || (size_t)n > file->n - at - 8)
            return error_set(err, STATUS_DATA,
                             "%s: token %d is not whole; is this a tokenizer of llama2.c with %d "
                             "tokens?",
                             path, id, p->n);
        p->score[id] = get_float(bytes + at);
        p->text[id] = piece_text(&p->arena, id, file->s + at + 8, (size_t)n);
        at += 8 + (size_t)n;
        if (!isfinite(p->score[id]) || !unicode_valid(p->text[id].s, p->text[id].n, NULL) ||
            p->text[id].n == 0 || strset_add(&p->set, p->text[id]) != id)
            return error_set(err, STATUS_DATA,
                             "%s: token %d is empty, not UTF-8, there twice, or has no score", path,
                             id);
    }
    return at == file->n || error_set(err, STATUS_DATA,
                                      "%s: has more than the model's %d tokens; they do not belong "
                                      "together",
                                      path, p->n);
}

/* Two pieces that make a third. */
typedef struct {
    int left, right, made;
    float score;
} Merge;

/* The better score first; then in the order of ids. */
static int compare_merges(const void *a, const void *b) {
    const Merge *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->made != y->made) return x->made < y->made ? -1 : 1;
    return x->left != y->left ? (x->left < y->left ? -1 : 1) : x->right - y->right;
}

/* Every way to make a piece from two others. */
static Merge *find_merges(const Pieces *p, int *count) {
    Merge *merges = NULL;
    int capacity = 0;
    *count = 0;
    for (int id = FIRST_PIECE; id < p->n; id++) {
        Str whole = p->text[id];
        for (size_t cut = 1; cut < whole.n; cut++) {
            int left = strset_find(&p->set, (Str){whole.s, cut});
            int right = strset_find(&p->set, (Str){whole.s + cut, whole.n - cut});
            if (left < FIRST_PIECE || right < FIRST_PIECE) continue;
            if (*count == capacity) {
                capacity = capacity ? 2 * capacity : 1024;
                merges = mem_grow(merges, (size_t)capacity, sizeof *merges);
            }
            merges[(*count)++] = (Merge){left, right, id, p->score[id]};
        }
    }
    if (*count > 1) qsort(merges, (size_t)*count, sizeof *merges, compare_merges);
    return merges;
}

static void put_special(Buf *b) {
    static const char *const names[] = {"<unk>", "<s>", "</s>"};
    for (int i = 0; i < FIRST_BYTE; i++)
        buf_printf(b,
                   "%s\n  {\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
                   "\"rstrip\":false,\"normalized\":false,\"special\":true}",
                   i ? "," : "", i, names[i]);
}

/* Before the vocabulary: a blank is U+2581, and the text gets one at its start. Afterwards the
 * reverse. */
static const char NORMALIZER[] =
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
    "\"\xe2\x96\x81\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
    "\"\xe2\x96\x81\"}]},\n\"pre_tokenizer\":null,\n";
static const char PROCESSOR[] =
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
    "\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":["
    "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},"
    "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":1}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}]"
    ","
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},\n";
static const char DECODER[] =
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{"
    "\"String\":\"\xe2\x96\x81\"},\"content\":\" "
    "\"},{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},"
    "{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},\n";

static void put_json(Buf *b, const Pieces *p) {
    int count;
    Merge *merges = find_merges(p, &count);
    buf_puts(b, "{\"version\":\"1.0\",\n\"truncation\":null,\n\"padding\":null,\n"
                "\"added_tokens\":[");
    put_special(b);
    buf_puts(b, "],\n");
    buf_puts(b, NORMALIZER);
    buf_puts(b, PROCESSOR);
    buf_puts(b, DECODER);
    buf_puts(b, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":\"<unk>\","
                "\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                "\"fuse_unk\":true,\"byte_fallback\":true,\"ignore_merges\":false,\n\"vocab\":{");
    for (int id = 0; id < p->n; id++) {
        buf_puts(b, id ? ",\n" : "\n");
        json_put_string(b, p->text[id]);
        buf_printf(b, ":%d", id);
    }
    buf_puts(b, "},\n\"merges\":[");
    for (int i = 0; i < count; i++) {
        buf_puts(b, i ? ",\n[" : "\n[");
        json_put_string(b, p->text[merges[i].left]);
        buf_putc(b, ',');
        json_put_string(b, p->text[merges[i].right]);
        buf_putc(b, ']');
    }
    buf_puts(b, "]}}\n");
    free(merges);
}

bool llama2c_tokenizer(const char *path, int vocab, Buf *json, Error *err) {
    enum { FILE_MOST = 16 << 20 };
    Buf file = {0};
    if (vocab < FIRST_PIECE)
        return error_set(err, STATUS_DATA,
                         "%s: the model has %d tokens, fewer than the %d of bytes", path, vocab,
                         (int)FIRST_PIECE);
    if (!file_read_most(path, FILE_MOST, &file, err)) return false;
    Pieces p = {.n = vocab,
                .text = mem_new((size_t)vocab, sizeof *p.text),
                .score = mem_new((size_t)vocab, sizeof *p.score)};
    bool ok = read_pieces(&p, path, &file, err);
    if (ok) put_json(json, &p);
    strset_free(&p.set);
    arena_free(&p.arena);
    free(p.text);
    free(p.score);
    buf_free(&file);
    return ok;
}
