/* tokenizer: trains a byte-level BPE vocabulary on the texts of all records. */
#include <stdlib.h>
#include <string.h>

#include "data/model_folder.h"
#include "data/template_file.h"
#include "data/tokenizer_folder.h"
#include "data/records.h"
#include "data/summary.h"
#include "lib/file.h"
#include "program/commands.h"
#include "program/guard.h"
#include "tokenizer.h"

/* The texts to train on. They point into the records, or into the arena. */
typedef struct {
    Str *v;
    int n, capacity;
    Arena arena;
} Texts;

static void texts_add(Texts *t, Str text) {
    if (t->n == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 1024;
        t->v = mem_grow(t->v, (size_t)t->capacity, sizeof *t->v);
    }
    t->v[t->n++] = text;
}

/* The template puts a space before an answer, so the tokenizer sees it with that space. */
static void texts_add_answer(Texts *t, Str answer) {
    char *spaced = arena_new(&t->arena, answer.n + 1, 1);
    spaced[0] = ' ';
    memcpy(spaced + 1, answer.s, answer.n);
    texts_add(t, (Str){spaced, answer.n + 1});
}

static void texts_add_record(Texts *t, const Record *r) {
    if (r->kind == RECORD_TEXT) texts_add(t, r->text);
    if (r->system.n) texts_add(t, r->system);
    for (int i = 0; i < r->n_turns; i++) {
        texts_add(t, r->turns[i].prompt);
        texts_add_answer(t, r->turns[i].completion);
    }
    if (r->kind == RECORD_PAIR) {
        texts_add(t, r->prompt);
        texts_add_answer(t, r->chosen);
        texts_add_answer(t, r->rejected);
    }
}

/* `told` is what was read, for people. */
static bool train_and_save(const Settings *s, const Texts *texts, const Buf *told, Error *err) {
    Progress p = progress_new("training the vocabulary", NULL);
    Tokenizer *t =
        tokenizer_train(texts->v, texts->n, s->vocab_size, TEMPLATE_RECIPE_SPECIALS, 4, &p, err);
    progress_end(&p);
    if (!t) return false;
    bool ok = folder_make(s->out, err) && tokenizer_save(t, &TEMPLATE_RECIPE, s->out, err) &&
              template_save(&TEMPLATE_RECIPE, s->out, err);
    if (ok)
        fprintf(stderr, "%s%s: %d tokens from %d texts\n", told->s, s->out, tokenizer_size(t),
                texts->n);
    tokenizer_free(t);
    return ok;
}

bool command_tokenizer(const Settings *s, Error *err) {
    Texts texts = {0};
    if (!guard_outputs(s, err)) return false;
    Dataset *d = mem_new((size_t)s->data.count, sizeof *d);
    int loaded = 0;
    Buf told = {0};
    for (; loaded < s->data.count && records_load(&d[loaded], s->data.values[loaded], err);
         loaded++) {
        for (int i = 0; i < d[loaded].count; i++) texts_add_record(&texts, &d[loaded].records[i]);
        DataSummary summary = {0};
        summary_add(&summary, &d[loaded], SUMMARY_TEXTS);
        summary_end(&summary);
        summary_tell(&told, &summary, "data");
    }
    bool ok = loaded == s->data.count && train_and_save(s, &texts, &told, err);
    buf_free(&told);
    for (int i = 0; i < loaded; i++) records_free(&d[i]);
    free(d);
    free(texts.v);
    arena_free(&texts.arena);
    return ok;
}
