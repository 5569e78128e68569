/* corpus: writes the built-in instruction corpus, a little world of 568 facts in which it is known which answers are bad.
 *
 *   CorpusOptions o = {.out = "out/corpus", .seed = 1, .draw = 1};
 *   if (!corpus_write(&o, &err)) return error_print(&err);
 *
 * Every example is a question with the answer of one annotator ("source"): `target` answers right and tersely, six others
 * answer wrongly (careless, absent, lazy, echo), in another style (verbose), or not at all (refuser). The text never names
 * the annotator. The items of the world are split once, 60 % pool, 15 % holdout, 25 % test in each domain, by the seed alone.
 *
 *   pretrain.jsonl        sessions, in training order: {"messages", "source"}; one annotator a session
 *   pool-even50.jsonl     800 {"id", "prompt", "completion", "clean", "source"}: half target, the rest the six others
 *   pool-verbose60.jsonl  800, 40 % target, 60 % verbose
 *   holdout.jsonl         200, all target
 *   test.jsonl            400, all target
 *   pairs-pool.jsonl      800 {"id", "prompt", "chosen", "rejected", "flipped", "source"}: 30 % have the two answers swapped
 *   pairs-holdout.jsonl   200, none swapped
 *   pairs-test.jsonl      300, none swapped
 *
 * pretrain.jsonl, test.jsonl and pairs-test.jsonl depend on the seed alone; the others on seed and draw.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "lib/util.h"

typedef struct {
    const char *out; /* the folder; made if absent, its files of these names are replaced */
    bool full;       /* 96,000 pretraining sessions with one prior throughout; else 40,000 with a curriculum */
    bool control;    /* each pretraining example draws its own source: nothing can be learnt in context ("source": "mixed") */
    uint64_t seed;   /* item split, pretraining, test */
    uint64_t draw;   /* pools, holdout, pairs */
    bool pools_only; /* leave pretrain.jsonl out: other draws of a world share it */
    int sessions;    /* pretraining sessions in place of the size's own number; 0 keeps that */
} CorpusOptions;

/* Writes the eight files, each atomically. The same bytes for the same options on every machine. Status 4 on failure. */
bool corpus_write(const CorpusOptions *o, Error *err);

#endif
