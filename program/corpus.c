/* corpus: writes the built-in instruction corpus. */
#include "data/corpus/corpus.h"
#include "program/commands.h"

bool command_corpus(const Settings *s, Error *err) {
    CorpusOptions o = {.out = s->out,
                       .size = s->size,
                       .control = s->control,
                       .seed = (uint64_t)s->seed,
                       .draw = (uint64_t)s->draw,
                       .pools_only = !s->pretrain};
    return corpus_write(&o, err);
}
