/* chunks: a pool of which only parts are in memory, gone through a chunk of records at a time.
 *
 * Usage:
 *   const char text[] = "{\"input_ids\":[1,2,3]}\n{\"input_ids\":[3,2]}\n";
 *   const char *path = "pool.jsonl";
 *   Error err = {0};
 *   ModelFolder f = {.model = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8,
 *                                                     .context = 4, .vocab = 5}, &err)};
 *   Pool pool;
 *   if (!file_write(path, text, sizeof text - 1, &err) ||
 *       !pool_open(&pool, &f, &(PoolUse){.paths = &path, .files = 1}, &err))
 *       return error_print(&err);
 *   Settings s = {.chunk = 1};
 *   Chunks c = {.settings = &s, .model = f.model, .pool = &pool, .count = pool.facts.count};
 *   int first, n = 0;
 *   for (ExampleFile chunk; chunks_next(&c, &chunk, &first, &err);) n++;
 *   if (n != 2) return 1;                          // of one record each
 *   pool_free(&pool);
 *   model_folder_free(&f);
 */
#ifndef CHUNKS_H
#define CHUNKS_H

#include "data/partial.h"
#include "data/pool.h"
#include "program/settings.h"

typedef struct {
    const Settings *settings;
    const Model *model;
    Pool *pool;
    int first, count; /* the records of the pool that are wanted */
    Partial *partial; /* has the first ones already, and gets the others; NULL: nothing is kept */
    bool whole;       /* All records are one chunk. */
    double rows;      /* what a record costs: how often its row runs through the model, */
    double beside;    /* and how many tokens of other examples run with it */
    /* private */
    const ExampleFile *part;
    int part_first, done; /* the part's first record in the pool; records that are behind */
    int before;           /* records that were done before this process */
    double began, told;   /* when the work began, and when chunks_tell printed a line */
} Chunks;

/* The next chunk, some minutes of work or --chunk records: a view into the pool. *first is its
 * first record in the pool. It saves the chunk before, whose lines are in partial->lines: so the
 * last chunk is never saved. False at the end, or with an error. */
bool chunks_next(Chunks *c, ExampleFile *chunk, int *first, Error *err);

/* Says how many records are done, and how long the rest will take. Nothing after the last chunk. */
void chunks_tell(Chunks *c, const char *verb);

/* The mean tokens of an example with its answer. */
double mean_tokens(const Examples *x);
/* Appends a member that names the files. */
void put_names(Buf *b, const char *key, const OptionFiles *files);
/* Tells on stderr what was read of the pool's files and of the others. */
void tell_pool(const Settings *s, Pool *pool, const char *what, Splits *others);

#endif
