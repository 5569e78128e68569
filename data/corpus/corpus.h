/* corpus: the built-in instruction corpus of 568 facts. It is known which of its answers are bad.
 *
 * Usage:
 *   CorpusOptions o = {.out = "example-corpus", .seed = 1, .draw = 1, .pools_only = true};
 *   Error err = {0};
 *   if (!corpus_write(&o, &err)) error_print(&err);
 *
 * Every example is a question with the answer of one annotator, its "source". `target` answers
 * right and tersely. Six others answer wrongly (careless, absent, lazy, echo), in another style
 * (verbose), or not at all (refuser). Kinds of noise that pretraining never shows are in
 * annotators.h. The text never names the annotator. The seed splits the items of each domain once:
 * 60 % pool, 15 % holdout, 25 % test.
 *
 * | file                 | records | source |
 * |---|---|---|
 * | pretrain.jsonl       | 40,000 or 96,000 sessions, in training order | one a session |
 * | pool-even50.jsonl    | 800 | half target, half the six others |
 * | pool-verbose60.jsonl | 800 | 40 % target, 60 % verbose |
 * | holdout.jsonl        | 200 | target |
 * | test.jsonl           | 400 | target |
 * | pairs-pool.jsonl     | 800 pairs, 30 % have their answers swapped | of the rejected answer |
 * | pairs-holdout.jsonl  | 200 pairs, none swapped | the same |
 * | pairs-test.jsonl     | 300 pairs, none swapped | the same |
 * | pool-noise.jsonl     | 800, if `noise` is set | target, and the kinds in equal shares |
 *
 * Sessions have the keys messages and source. Records have id, prompt, completion, clean and
 * source. Pairs have id, prompt, chosen, rejected, flipped and source. pretrain.jsonl, test.jsonl
 * and pairs-test.jsonl depend on the seed alone, the others on seed and draw. In pool-noise.jsonl a
 * clean record is the same for all kinds and rates, and the records that a rate corrupts are
 * corrupted at every higher rate too.
 */
#ifndef CORPUS_H
#define CORPUS_H

#include "lib/util.h"

typedef enum { CORPUS_QUICK, CORPUS_FULL, CORPUS_SIZE_COUNT } CorpusSize;

/* How much there is to pretrain on. */
typedef struct {
    const char *name, *help;
    int sessions;
    bool facts_first; /* a curriculum: the first sessions have reliable annotators only */
} CorpusSizeInfo;
extern const CorpusSizeInfo CORPUS_SIZES[]; /* [CORPUS_SIZE_COUNT] */

typedef struct {
    const char *out; /* the folder; made if it is missing, files of the names above are replaced */
    CorpusSize size;
    bool control;    /* each pretraining example draws its own source, so context teaches nothing */
    uint64_t seed;   /* item split, pretraining, test */
    uint64_t draw;   /* pools, holdout, pairs */
    bool pools_only; /* leave out pretrain.jsonl; other draws of the seed share it */
    int sessions;    /* pretraining sessions, instead of the size's number; 0: that number */
    const char *noise; /* kinds of noise "typo,cut", or "none"; NULL: no pool-noise.jsonl */
    double noise_rate; /* 0 to 1: the corrupted share of its records, rounded to the nearest */
} CorpusOptions;

/* Writes the files, each atomically. The same options give the same bytes on every machine. On
 * failure returns false: status 2 for an unknown kind of noise before anything is written, else
 * status 4. */
bool corpus_write(const CorpusOptions *o, Error *err);
/* The name of file i that these options write, or NULL after the last. *id: what the ids of its
 * records begin with, before "-0001"; NULL if they have none. */
const char *corpus_file(const CorpusOptions *o, int i, const char **id);

#endif
