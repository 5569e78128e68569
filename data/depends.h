/* depends: what the bits of a result depend on, as names with values: options, and fingerprints of
 * inputs. Work that is continued must find them as they were.
 *
 * Usage:
 *   Buf then = {0}, now = {0}, differences = {0};
 *   depends_put(&then, "--k", "3");
 *   depends_put_file(&then, "--pool", 0x1234);
 *   depends_put(&now, "--k", "2");
 *   buf_putc(&then, '}');                             // a JSON object
 *   depends_compare(&now, (Str){then.s, then.n}, &differences);
 *   if (strcmp(differences.s, "--k was 3 and is 2") != 0) return 1;   // of --pool nothing is known
 *   buf_free(&then);
 *   buf_free(&now);
 *   buf_free(&differences);
 */
#ifndef DEPENDS_H
#define DEPENDS_H

#include <string.h>

#include "lib/util.h"

/* Append a member to an object in JSON. Its closing brace is the caller's. */
void depends_put(Buf *b, const char *name, const char *value);
void depends_put_file(Buf *b, const char *name, uint64_t fingerprint); /* nothing if it is 0 */
/* Appends to *differences what differs between `was`, a whole object, and what is now, an object
 * without its brace. What only `was` has, such as the fingerprint of a base model that is gone, is
 * put into `now`. False if `was` is no object. */
bool depends_compare(Buf *now, Str was, Buf *differences);

#endif
