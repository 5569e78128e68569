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
 * the default embedding of equation E6. Nothing fails. The documents' tokens are borrowed and
 * must outlive the index.
 */
#ifndef TFIDF_H
#define TFIDF_H

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

#endif
