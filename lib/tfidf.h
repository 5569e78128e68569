/* tfidf: an index of documents by their tokens, and the cosine of any document with all of them.
 *
 * Usage:
 *   int first[] = {10, 20}, second[] = {10, 30}, asked[] = {30, 7};
 *   Document documents[] = {{first, 2}, {second, 2}};
 *   Tfidf *index = tfidf_new(documents, 2);
 *   double cosine[2];
 *   tfidf_cosines(index, (Document){asked, 2}, cosine);   // the second shares token 30
 *   printf("%g %g\n", cosine[0], cosine[1]);
 *   tfidf_free(index);
 *
 * A document is a list of token ids. Its vector has one entry for each distinct id: the number of
 * its occurrences times idf(id) = ln((1 + N) / (1 + df)) + 1, where N documents are indexed and df
 * of them hold the id. The vector is then scaled to length 1, so a dot product is a cosine. This is
 * the weighting of equation E6 of the paper. Nothing fails. The documents' tokens are borrowed and
 * must outlive the index.
 */
#ifndef TFIDF_H
#define TFIDF_H

#include "lib/progress.h"
#include "lib/util.h"

typedef struct {
    const int *token;
    int n;
} Document; /* token[n], borrowed */

/* A document's vector without its zeros: n ids in increasing order, and the value of each. */
typedef struct {
    int n;
    int *id;
    double *value;
} TfidfVector;

typedef struct Tfidf Tfidf;
Tfidf *tfidf_new(const Document *documents, int count); /* copies the list, not the tokens */
void tfidf_free(Tfidf *index);                          /* NULL is fine */

/* The vector of any document, indexed or not, by the index's frequencies. Its memory belongs to the
 * arena. */
TfidfVector tfidf_vector(const Tfidf *index, Document d, Arena *arena);
double tfidf_cosine(const TfidfVector *a, const TfidfVector *b);
/* cosine[count]: of a document with each one in the index. */
void tfidf_cosines(const Tfidf *index, Document d, double *cosine);
/* The twin that makes every vector anew. The same bits: both add the same products in the order of
 * token ids. */
void tfidf_cosines_plain(const Tfidf *index, Document d, double *cosine);

/* The k indexed documents nearest to `like`, the nearest last. group[d] < 0 leaves document d out.
 * Of the documents of one group only the nearest is found. Groups are numbered from 0 to below the
 * number of documents. nearest has room for k. Returns how many there are. */
int tfidf_nearest(const Tfidf *index, Document like, const int *group, int k, int *nearest);

/* Groups documents[n] into at most `clusters` clusters. center[i] is the document at the center of
 * document i's cluster. Centers are drawn one after another, each with a probability proportional
 * to its distance 1 - cosine from the nearest center so far, as k-means++ begins. `progress` (or
 * NULL) hears of centers. */
void tfidf_centers(const Tfidf *index, const Document *documents, int n, int clusters, Rng *rng,
                   int *center, Progress *progress);

#endif
