/* The weights of a model folder: model.safetensors, or its shards and their index. */
#include "data/model_weights.h"

#include <string.h>

#include "lib/file.h"
#include "lib/gemm.h"
#include "lib/json.h"
#include "lib/map.h"
#include "lib/progress.h"
#include "lib/tensors.h"
#include "tokenizer.h"

static const char WEIGHTS[] = "model.safetensors", INDEX[] = "model.safetensors.index.json",
                  HEAD[] = "lm_head.weight";
/* A model of 1,000 layers has some 10,000 tensors. */
static const JsonLimits INDEX_MOST = {8 << 20, 1 << 16};

/* The files of a folder. */
typedef struct {
    const char *folder;
    char *named;     /* the path that lists all tensors: the index, or the only file */
    StrSet shards;   /* names of the files */
    const Json *map; /* the index's weight_map; NULL: there is only one file */
    StrSet mapped;   /* its keys */
    Arena arena;
    Buf text;
    int open;        /* the shard that is open, or -1 */
    TensorFile file; /* this shard */
    int head;        /* the shard with the head's matrix, or -1 */
    Model *m;
    StrSet names; /* of the model's tensors, in their order */
    bool *found;  /* [m->tensor_count] */
} Weights;

static void weights_close(Weights *w) {
    if (w->open >= 0) tensors_close(&w->file);
    free(w->named);
    free(w->found);
    strset_free(&w->shards);
    strset_free(&w->mapped);
    strset_free(&w->names);
    arena_free(&w->arena);
    buf_free(&w->text);
}

/* ---- the index ---- */

/* May a file of the folder have this name? A path could lead anywhere. */
static bool is_plain(Str name) {
    static const char ending[] = ".safetensors";
    size_t n = sizeof ending - 1;
    if (name.n <= n || name.s[0] == '.' || memcmp(name.s + name.n - n, ending, n) != 0)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (name.s[i] == '/' || name.s[i] == '\\' || name.s[i] < ' ' || name.s[i] > '~')
            return false;
    return true;
}

static bool read_index(Weights *w, Error *err) {
    const Json *root = json_read_object(w->named, INDEX_MOST, &w->arena, &w->text, err);
    if (!root) return false;
    w->map = json_get(root, "weight_map");
    if (!w->map || w->map->type != JSON_OBJECT || w->map->count == 0)
        return error_set(err, STATUS_DATA,
                         "%s: \"weight_map\" is missing or names no tensor; get the file again",
                         w->named);
    for (int i = 0; i < w->map->count; i++) {
        Str key = w->map->keys[i], shown = token_shown(key);
        const Json *name = &w->map->items[i];
        if (strset_add(&w->mapped, key) != i)
            return error_set(err, STATUS_DATA, "%s: tensor %.*s is there twice; get the file again",
                             w->named, STR_ARG(shown));
        if (name->type != JSON_STRING || !is_plain(name->string))
            return error_set(err, STATUS_DATA,
                             "%s: the file of tensor %.*s must be a plain name of this folder that "
                             "ends in .safetensors",
                             w->named, STR_ARG(shown));
        strset_add(&w->shards, name->string);
    }
    return true;
}

/* Finds the files. */
static bool weights_find(Weights *w, const char *folder, Error *err) {
    *w = (Weights){.folder = folder, .named = path_join(folder, WEIGHTS), .open = -1, .head = -1};
    if (!file_exists(w->named)) {
        char *index = path_join(folder, INDEX), *pickle = path_join(folder, "pytorch_model.bin");
        bool sharded = file_exists(index), pickled = !sharded && file_exists(pickle);
        if (pickled)
            error_set(err, STATUS_DATA,
                      "%s: holds pickled Python, which is not read; save the model as %s "
                      "(save_pretrained of transformers)",
                      pickle, WEIGHTS);
        if (sharded) {
            free(w->named);
            w->named = index;
        } else free(index);
        free(pickle);
        if (pickled) return false;
        if (sharded) return read_index(w, err);
    }
    strset_add(&w->shards, str(WEIGHTS));
    return true;
}

bool model_weights_fingerprint(const char *folder, uint64_t *hash, Error *err) {
    Weights w;
    Error ignored = {0};
    int n = weights_find(&w, folder, &ignored) ? w.shards.n : 0;
    for (int i = 0; i < n && err->status == 0; i++) {
        Str name = str_copy(&w.arena, w.shards.v[i]);
        char *path = path_join(folder, name.s);
        uint64_t one;
        if (file_exists(path) && file_fingerprint(path, &one, err))
            *hash = hash64(&one, sizeof one, hash64(name.s, name.n, *hash));
        free(path);
    }
    weights_close(&w);
    return err->status == 0;
}

/* ---- names ---- */

static const char *layers_prefix(const Model *m) {
    return m->config.family == FAMILY_GPT2 ? "h." : "model.layers.";
}

/* The layer that a tensor's name belongs to, as "h.12.ln_1.weight", and what follows it in the
 * name. -1: to none. */
static int layer_of(const Model *m, const char *name, const char **rest) {
    const char *prefix = layers_prefix(m), *digits = name + strlen(prefix);
    if (strncmp(name, prefix, strlen(prefix)) != 0 || *digits < '0' || *digits > '9') return -1;
    char *end;
    long layer = strtol(digits, &end, 10);
    *rest = end + 1;
    return *end == '.' && layer < 1 << 24 ? (int)layer : -1;
}

/* Names without parameters, which old files have: GPT-2's causal mask, the number that it puts in
 * place of hidden scores, and rotary frequencies, which follow from config.json. */
static bool is_buffer(const Model *m, const char *rest) {
    if (m->config.family != FAMILY_GPT2) return strcmp(rest, "self_attn.rotary_emb.inv_freq") == 0;
    return strcmp(rest, "attn.bias") == 0 || strcmp(rest, "attn.masked_bias") == 0;
}

/* What a tensor of a file is: its place in the model's table, or one of these. */
enum { REFUSED = -1, BUFFER = -2, TIED_HEAD = -3 };

/* Files have GPT-2's names with or without "transformer." before them. */
static int tensor_place(const Weights *w, const TensorInfo *info, Error *err) {
    static const char prefix[] = "transformer.";
    const Model *m = w->m;
    const char *path = w->file.path, *name = info->name.s, *rest = "";
    Str shown = token_shown(info->name);
    bool whole = strlen(name) == info->name.n, is_gpt2 = m->config.family == FAMILY_GPT2;
    if (whole && strcmp(name, HEAD) == 0 && !m->config.untied) return TIED_HEAD;
    bool prefixed = is_gpt2 && strncmp(name, prefix, strlen(prefix)) == 0;
    if (prefixed) name += strlen(prefix);
    int layer = layer_of(m, name, &rest);
    if (layer >= m->config.layers) {
        error_set(
            err, STATUS_DATA,
            "%s: tensor %s belongs to layer %d, and config.json has %s %d; they do not belong "
            "together",
            path, name, layer, is_gpt2 ? "n_layer" : "num_hidden_layers", m->config.layers);
        return REFUSED;
    }
    if (whole && layer >= 0 && is_buffer(m, rest)) return BUFFER;
    int place = whole ? strset_find(&w->names, str(name)) : -1;
    if (place >= 0 && !(prefixed && strcmp(name, HEAD) == 0)) return place;
    error_set(err, STATUS_DATA,
              "%s: tensor %.*s is none of a %s model's: what computes with it is not supported",
              path, STR_ARG(shown), family_name(m->config.family));
    return REFUSED;
}

/* ---- checks ---- */

/* Opens a shard, unless it is open. */
static bool shard_open(Weights *w, int shard, Error *err) {
    if (w->open == shard) return true;
    if (w->open >= 0) tensors_close(&w->file);
    w->open = -1;
    Str name = str_copy(&w->arena, w->shards.v[shard]);
    char *path = path_join(w->folder, name.s);
    if (tensors_open(&w->file, path, err)) w->open = shard;
    free(path);
    return w->open == shard;
}

/* Has the open shard the tensors that the index says, and no others? */
static bool map_check(const Weights *w, Error *err) {
    const TensorFile *file = &w->file;
    int here = 0;
    for (int i = 0; i < file->count; i++) {
        Str name = file->tensors[i].name, shown = token_shown(name);
        int at = strset_find(&w->mapped, name);
        if (at < 0 || !str_equal(w->map->items[at].string, w->shards.v[w->open]))
            return error_set(err, STATUS_DATA,
                             "%s: holds tensor %.*s, which %s does not say; get both files again",
                             file->path, STR_ARG(shown), INDEX);
    }
    for (int i = 0; i < w->map->count; i++)
        here += str_equal(w->map->items[i].string, w->shards.v[w->open]);
    for (int i = 0; here != file->count && i < w->map->count; i++) {
        Str name = w->map->keys[i], shown = token_shown(name);
        bool found = !str_equal(w->map->items[i].string, w->shards.v[w->open]);
        for (int j = 0; !found && j < file->count; j++)
            found = str_equal(file->tensors[j].name, name);
        if (!found)
            return error_set(err, STATUS_DATA,
                             "%s: tensor %.*s is missing, and %s says that it is there; get both "
                             "files again",
                             file->path, STR_ARG(shown), INDEX);
    }
    return true;
}

static bool shape_check(const Weights *w, const TensorInfo *info, const ModelTensor *t,
                        Error *err) {
    if (tensors_is_float(info) && info->rank == t->rank && info->shape[0] == t->shape[0] &&
        (t->rank == 1 || info->shape[1] == t->shape[1]))
        return true;
    Buf shape = {0};
    tensors_put_shape(&shape, info);
    error_set(err, STATUS_DATA,
              "%s: tensor %s has type %.*s and shape %.40s, another shape or type than config.json "
              "says: %d%s%d numbers",
              w->file.path, t->name, STR_ARG(info->type_name), shape.s, t->shape[0],
              t->rank == 2 ? " x " : ", ", t->rank == 2 ? t->shape[1] : 1);
    buf_free(&shape);
    return false;
}

/* Checks the open shard's tensors, and notes which of the model's were found. */
static bool shard_check(Weights *w, Error *err) {
    if (w->map && !map_check(w, err)) return false;
    for (int i = 0; i < w->file.count; i++) {
        const TensorInfo *info = &w->file.tensors[i];
        int place = tensor_place(w, info, err);
        if (place == REFUSED) return false;
        if (place == TIED_HEAD) {
            if (!tensors_is_float(info) || info->elements != w->m->tensors[ROLE_WTE].size)
                return error_set(err, STATUS_DATA, "%s: %s has another shape than %s", w->file.path,
                                 HEAD, w->m->tensors[ROLE_WTE].name);
            w->head = w->open;
        }
        if (place < 0) continue;
        const ModelTensor *t = &w->m->tensors[place];
        if (w->found[place])
            return error_set(err, STATUS_DATA,
                             "%s: tensor %s is there twice, with and without \"transformer.\" "
                             "before it; remove one",
                             w->file.path, t->name);
        if (!shape_check(w, info, t, err)) return false;
        w->found[place] = true;
    }
    return true;
}

/* Some GPT-2's are trained without the bias of a product. Their files lack it in every layer, and
 * zeros compute the same. A bias that some layers have is lost in the others. */
static bool is_left_out(const Weights *w, TensorRole role) {
    const Model *m = w->m;
    if (m->config.family != FAMILY_GPT2) return false;
    if (role != ROLE_QKV_B && role != ROLE_OUT_B && role != ROLE_FC_B && role != ROLE_PROJ_B)
        return false;
    for (int i = 0; i < m->tensor_count; i++)
        if (m->tensors[i].role == role && w->found[i]) return false;
    return true;
}

/* Tells of it once, by the first layer's name. */
static void tell_left_out(const Weights *w, const ModelTensor *t, Buf *note) {
    const char *rest = t->name;
    if (note && layer_of(w->m, t->name, &rest) == 0)
        buf_printf(note, "%s%s: no layer has %s; it is taken as zeros, and trained like the others",
                   note->n > 0 ? "\n" : "", w->named, rest);
}

/* Do the files hold the tensors that config.json promises, and no other? */
static bool weights_check(Weights *w, Buf *note, Error *err) {
    const Model *m = w->m;
    for (int i = 0; i < w->shards.n; i++)
        if (!shard_open(w, i, err) || !shard_check(w, err)) return false;
    for (int i = 0; i < m->tensor_count; i++) {
        if (w->found[i]) continue;
        if (is_left_out(w, m->tensors[i].role)) {
            tell_left_out(w, &m->tensors[i], note);
            continue;
        }
        if (m->tensors[i].role == ROLE_HEAD_W)
            return error_set(err, STATUS_DATA,
                             "%s/config.json: tie_word_embeddings is not true, and %s has no %s; "
                             "add the tensor, or say true if the head is %s",
                             w->folder, w->named, HEAD, m->tensors[ROLE_WTE].name);
        return error_set(err, STATUS_DATA, "%s: tensor %s is missing", w->named,
                         m->tensors[i].name);
    }
    return true;
}

/* ---- reading ---- */

/* x - x is 0 only for finite x. */
static bool all_finite(const real *x, size_t n) {
    int bad = 0;
    for (size_t i = 0; i < n; i++) bad |= x[i] - x[i] != 0;
    return !bad;
}

/* Infinite or not a number: all bits of the exponent are set. */
static bool all_finite_bf16(const uint16_t *x, size_t n) {
    int bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (x[i] & 0x7F80) == 0x7F80;
    return !bad;
}

/* Reads a tensor to its place in the model. */
static bool tensor_read(Weights *w, const TensorInfo *info, const ModelTensor *t, Error *err) {
    Model *m = w->m;
    bool half = m->half && tensor_is_half(t), exact = true;
    if (half ? !tensors_read_bf16(info, m->half + t->offset, &exact, err)
             : !tensors_read(info, m->w + t->offset, err))
        return false;
    if (!exact)
        return error_set(err, STATUS_DATA,
                         "%s: tensor %s, of type %.*s, has numbers that bfloat16 cannot hold; "
                         "leave --dtype out",
                         w->file.path, t->name, STR_ARG(info->type_name));
    return (half ? all_finite_bf16(m->half + t->offset, t->size)
                 : all_finite(m->w + t->offset, t->size)) ||
           error_set(err, STATUS_DATA, "%s: tensor %s holds a value that is not finite",
                     w->file.path, t->name);
}

/* Reads every tensor of the open shard. It is checked again: it may have changed since. */
static bool shard_read(Weights *w, Progress *progress, Error *err) {
    if (!shard_check(w, err)) return false;
    for (int i = 0; i < w->file.count; i++) {
        const TensorInfo *info = &w->file.tensors[i];
        int place = tensor_place(w, info, err);
        if (place >= 0 && !tensor_read(w, info, &w->m->tensors[place], err)) return false;
        if (place >= 0) progress_add(progress, (double)info->elements);
    }
    return true;
}

/* A file may repeat the embeddings as the head's matrix of a tied model, but not have another
 * one. */
static bool head_check(Weights *w, Error *err) {
    if (w->head < 0) return true;
    if (!shard_open(w, w->head, err)) return false;
    const TensorInfo *head = tensors_find(&w->file, HEAD);
    const ModelTensor *wte = &w->m->tensors[ROLE_WTE];
    bool same = head && head->elements == wte->size;
    for (size_t i = 0; same && i < wte->size; i++) {
        size_t at = wte->offset + i;
        real x = w->m->half ? real_of_bf16(w->m->half[at]) : w->m->w[at];
        same = (real)tensors_value(head, i) == x;
    }
    if (!tensors_whole(&w->file, err)) return false;
    return same || error_set(err, STATUS_DATA,
                             "%s: %s differs from %s, and config.json says that the head is tied "
                             "to the embeddings; if it is not, \"tie_word_embeddings\" must be "
                             "false",
                             w->file.path, HEAD, wte->name);
}

static bool weights_read(Weights *w, Error *err) {
    memset(w->found, 0, (size_t)w->m->tensor_count * sizeof *w->found);
    Progress p = progress_new("reading", NULL);
    progress_part(&p, w->named);
    progress_begin(&p, (double)w->m->parameters);
    bool ok = true;
    for (int i = 0; ok && i < w->shards.n; i++)
        ok = shard_open(w, i, err) && shard_read(w, &p, err);
    progress_end(&p);
    return ok && head_check(w, err);
}

static Model *load(const ModelConfig *shape, const char *folder, bool frozen, Buf *note,
                   Error *err) {
    Weights w;
    Error own = {0};
    Model *m = model_shape(*shape, &own);
    if (!m) {
        error_set(err, own.status, "%s/config.json: %s", folder, own.text);
        return NULL;
    }
    bool ok = weights_find(&w, folder, err);
    w.m = m;
    w.found = mem_new((size_t)m->tensor_count, sizeof *w.found);
    for (int i = 0; i < m->tensor_count; i++) strset_add(&w.names, str(m->tensors[i].name));
    ok = ok && weights_check(&w, note, err);
    if (ok && frozen) model_allocate_frozen(m);
    else if (ok) model_allocate(m);
    ok = ok && weights_read(&w, err);
    weights_close(&w);
    if (ok) return m;
    model_free(m);
    return NULL;
}

Model *model_weights_load(const ModelConfig *shape, const char *folder, Buf *note, Error *err) {
    return load(shape, folder, false, note, err);
}

Model *model_weights_load_frozen(const ModelConfig *shape, const char *folder, Buf *note,
                                 Error *err) {
    return load(shape, folder, true, note, err);
}

/* ---- writing ---- */

bool model_weights_save(const Model *m, const char *folder, Error *err) {
    TensorOut *out = mem_new((size_t)m->tensor_count, sizeof *out);
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *t = &m->tensors[i];
        out[i] = (TensorOut){.name = t->name, .type = TENSOR_REAL, .rank = t->rank};
        out[i].shape[0] = t->shape[0];
        out[i].shape[1] = t->shape[1];
        out[i].data = m->w + t->offset;
    }
    char *path = path_join(folder, WEIGHTS);
    bool ok = tensors_write(path, out, m->tensor_count, NULL, 0, err);
    free(path);
    free(out);
    return ok;
}
