/* embedding: what makes two prompts near (E6): their tokens by TF-IDF (lib/tfidf.h), or a vector by
 * the model that scores.
 *
 * Usage:
 *   Error err = {0};
 *   ModelConfig shape = {.layers = 1, .heads = 1, .channels = 8, .context = 32, .vocab = 16};
 *   Model *model = model_new(shape, &err);
 *   model_initialize(model, 1);
 *   Workspace *ws = workspace_new();
 *   int t[] = {0, 1, 5, 6, 2};   // the start token, and "5 6" in a template
 *   Prompt x = {.bare = {t + 2, 2}, .start = {t, 1}, .prompt = {t + 1, 4}};
 *   Cost cost = {0};
 *   Embedder by = {EMBEDDING_HIDDEN, model, ws, &cost, NULL};
 *   double vector[8];
 *   embed_prompts(&by, &x, 1, vector);   // of length 1
 *   if (cost.forward != 5 || fabs(vector_dot(vector, vector, 8) - 1) > 1e-12) return 1;
 *   workspace_free(ws);
 *   model_free(model);
 *
 * A vector by the model is scaled to length 1, so that a dot product is a cosine. Where the model
 * gives a number that is not finite, or the prompt has no token, it is zeros. Its bits do not
 * depend on which prompts are embedded together, nor on the number of threads. The model may have
 * adapters: it embeds as it scores. Nothing fails: prompts must fit the model's context.
 */
#ifndef EMBEDDING_H
#define EMBEDDING_H

#include "lib/centers.h"
#include "lib/tfidf.h"
#include "lib/weights.h"
#include "model.h"
#include "scoring/share.h"

typedef enum { EMBEDDING_TFIDF, EMBEDDING_TOKENS, EMBEDDING_HIDDEN, EMBEDDING_COUNT } Embedding;
extern const Choice EMBEDDINGS[]; /* [EMBEDDING_COUNT] */

/* A prompt as it is embedded. Tokens are borrowed. */
typedef struct {
    Document bare;   /* its own tokens, without the template: what tfidf and tokens read */
    Document start;  /* what a row starts with, and ... */
    Document prompt; /* ... the prompt inside its template: what hidden reads */
} Prompt;

/* The vectors of some prompts that are asked for again and again: those of a holdout. They are made
 * when the first one is asked for, by the model as it is then. */
typedef struct Vectors Vectors;

/* How prompts are embedded. All borrowed. EMBEDDING_TFIDF, as of {0}, needs none of the rest. */
typedef struct {
    Embedding by;
    const Model *model;
    Workspace *ws;
    Cost *cost;    /* grows by what it costs; may be NULL */
    Vectors *kept; /* of the holdout, by this model, for as long as it does not change; NULL: they
                    * are made for each index of it */
} Embedder;

/* vector[n][channels]: of each prompt, by EMBEDDING_TOKENS or EMBEDDING_HIDDEN.
 * tokens: the mean of the token embeddings over the prompt's own tokens, without positions.
 * hidden: the mean of the last norm's output, which the head would read, over the prompt in its
 * template, in the row that scores its answer without demonstrations. */
void embed_prompts(const Embedder *e, const Prompt *prompt, int n, double *vector);

/* Copies the list, not the tokens, which must outlive the vectors. Nothing is embedded yet. */
Vectors *vectors_new(const Prompt *prompt, int n);
void vectors_free(Vectors *v); /* NULL is fine */
/* The vector of a prompt of the list: one with the same token arrays. NULL: it is not in the list.
 * v may be NULL. */
const double *vectors_find(Vectors *v, const Embedder *e, const Prompt *prompt);

#endif
