/* generation: answers of a model, token by token.
 *
 * Usage:
 *   Error err = {0};
 *   ModelFolder f = {.model = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8,
 *                                                     .context = 4, .vocab = 5}, &err)};
 *   model_initialize(f.model, 1);
 *   Sampling greedy = {.penalty = 1, .top_p = 1};
 *   Generator *g = generator_new(&f, "model", &greedy, 1);
 *   IntBuf row = {0}, answer = {0};
 *   StopReason why;
 *   ints_put(&row, 3);
 *   if (!generator_answer(g, &row, 10, NULL, NULL, &answer, &why, &err)) return 1;
 *   if (answer.n != 4 || why != STOP_CONTEXT) return 1; // the context is full
 *   ints_free(&row);
 *   ints_free(&answer);
 *   generator_free(g);
 *   model_folder_free(&f);
 */
#ifndef GENERATION_H
#define GENERATION_H

#include "data/model_folder.h"
#include "lib/sampling.h"

/* Why an answer ended: with a token that ends answers, with --max-new-tokens, or because the
 * model's context was full. */
typedef enum { STOP_END, STOP_LENGTH, STOP_CONTEXT, STOP_COUNT } StopReason;
extern const char *const STOP_REASONS[]; /* "end", "length", "context" */

typedef struct Generator Generator;

/* The tokens that end an answer are the last one of the template's example_end, and those that
 * config.json or generation_config.json calls eos_token_id. Borrows folder, path (for messages) and
 * `how`. */
Generator *generator_new(const ModelFolder *f, const char *path, const Sampling *how,
                         uint64_t seed);
/* Starts the stream of random numbers again. */
void generator_seed(Generator *g, uint64_t seed);
void generator_free(Generator *g); /* NULL is fine */

/* Hears of every token: the answer so far. False ends the answer, with err set. */
typedef bool (*AnswerHeard)(void *whose, const IntBuf *answer, Error *err);

/* Appends to `answer` what follows row, at most `most` tokens, without the token that ends it. The
 * row has 1 to context tokens. Keys and values of a beginning that it shares with the row before
 * are not computed again; no bit depends on that. `heard` may be NULL. False: status 5, the
 * model's numbers are not finite, or what `heard` set. */
bool generator_answer(Generator *g, const IntBuf *row, int most, AnswerHeard heard, void *whose,
                      IntBuf *answer, StopReason *why, Error *err);

#endif
