/* corpus: writes the built-in instruction corpus. */
#include "data/corpus/corpus.h"

#include <stdlib.h>

#include "data/records.h"
#include "lib/file.h"
#include "program/commands.h"
#include "program/guard.h"

/* Tells how many records of a file differ: facts are drawn with replacement. */
static bool tell_file(const char *folder, const char *name, Error *err) {
    Dataset d;
    char *path = path_join(folder, name);
    bool ok = records_load(&d, path, err);
    if (ok) {
        fprintf(stderr, "%s: %d records, %d distinct\n", path, d.count, records_distinct(&d));
        records_free(&d);
    }
    free(path);
    return ok;
}

bool command_corpus(const Settings *s, Error *err) {
    CorpusOptions o = {.out = s->out,
                       .size = s->size,
                       .control = s->control,
                       .seed = (uint64_t)s->seed,
                       .draw = (uint64_t)s->draw,
                       .pools_only = !s->pretrain,
                       .noise = s->noise,
                       .noise_rate = s->noise_rate};
    const char *name, *id;
    bool ok = guard_outputs(s, err) && corpus_write(&o, err);
    for (int i = 0; ok && (name = corpus_file(&o, i, &id)); i++) ok = tell_file(o.out, name, err);
    return ok;
}
