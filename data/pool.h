/* pool: the records of one or more files as examples, a part at a time, for commands that ask each
 * record the same and need not hold all of them. A pool may be larger than memory: of each record
 * some 20 bytes stay (PoolFacts).
 *
 * pool_open reads all files once and checks every record, so that no work begins that a later
 * record would stop. If all of them have at most PoolUse.block bytes of text, their examples are
 * kept. Otherwise the files are read once more by pool_next, block by block. A pipe cannot be, and
 * is then refused by name. A file that is one array is held in memory as text.
 *
 * Usage:
 *   const char text[] = "{\"input_ids\":[1,2,3]}\n{\"input_ids\":[3,2]}\n";
 *   const char *path = "pool.jsonl";
 *   Error err = {0};
 *   ModelFolder f = {.model = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8,
 *                                                     .context = 4, .vocab = 5}, &err)};
 *   Pool pool;
 *   const ExampleFile *part;
 *   if (!file_write(path, text, sizeof text - 1, &err) ||
 *       !pool_open(&pool, &f, &(PoolUse){.paths = &path, .files = 1}, &err))
 *       return error_print(&err);
 *   int n = 0;
 *   while (pool_next(&pool, &part, &err) && part) n += part->examples.count;
 *   if (n != 2 || pool.facts.count != 2) return 1;
 *   pool_free(&pool);
 *   model_folder_free(&f);
 *
 * Errors: as of data/examples.h; status 2 for a pipe that cannot be read twice, 3 for a file that
 * is not the same the second time.
 */
#ifndef POOL_H
#define POOL_H

#include "data/examples.h"
#include "lib/map.h"

/* What is known of each record after it was read. */
typedef struct {
    int count;
    int *answer_n;      /* [count] tokens of the (chosen) answer */
    signed char *clean; /* [count] as Record.clean */
    int *source;        /* [count] of records known to be corrupted, the number of the source in
                         * `names`; else -1 */
    StrSet names;
    Arena arena; /* owns the names */
    int room;
} PoolFacts;

/* Those of examples that are in memory. facts_free them. */
PoolFacts facts_of(const ExampleFile *file);
/* Those of records first .. first + count - 1. They are borrowed. */
PoolFacts facts_part(const PoolFacts *facts, int first, int count);
void facts_free(PoolFacts *facts);

typedef struct {
    const char *const *paths; /* [files], borrowed */
    int files;
    SplitFiles how; /* but for its paths */
    bool whole;     /* All records are needed at once: keep them, whatever their size. */
    size_t block;   /* bytes of text; 0: 8 MiB */
    Splits *others; /* holdout and test of the same command; NULL: none */
    bool test;      /* These records are the test: of the holdout is left out what is in both. */
} PoolUse;

typedef struct {
    PoolFacts facts;
    DataSummary *summary; /* [files], of files with records */
    int ended;            /* answers that ended in the end token's text */
    int bos_n;            /* of the rows */
    uint64_t fingerprint; /* of all files */
    /* private */
    const ModelFolder *f;
    PoolUse use;
    ExampleUse kind;
    ExampleFile *kept; /* [parts] or NULL */
    int parts, at;     /* parts that are kept; the file or part that comes next */
    RecordStream *stream;
    Map seen; /* hashes of the records of this pass, where copies are left out */
    ExampleFile part;
} Pool;

/* On false nothing needs freeing. */
bool pool_open(Pool *p, const ModelFolder *f, const PoolUse *use, Error *err);
/* The next part, valid until the next call; NULL after the last. False with an error. */
bool pool_next(Pool *p, const ExampleFile **part, Error *err);
void pool_free(Pool *p);

#endif
