/* pattern: does an entire name fit a regular expression? As Python's re.fullmatch says.
 *
 * PEFT's files choose a model's modules so. Known are characters, `.`, sets as [a-z] and [^a-z],
 * \d \w \s \b and their opposites, groups ( ) and (?: ), `|`, `^` and `$`, and the counts `*` `+`
 * `?` {n} {n,} {n,m}, also lazy. What Python has beside these (flags, looking ahead and back, what
 * a group matched) is refused.
 *
 * Usage:
 *   PatternError why;
 *   Str pattern = str(".*\\.(q_proj|v_proj)"), name = str("model.layers.0.self_attn.q_proj");
 *   int fits = pattern_fits(pattern, name, &why);                  // 1, or 0 if it does not
 *   if (fits < 0) printf("character %zu: %s\n", why.at, why.what);
 *
 * A match is a set of places in the name that the pattern's part so far can have reached. Each part
 * makes a set of a set, so there is no going back, and a repetition ends when its set grows no
 * more. */
#ifndef PATTERN_H
#define PATTERN_H

#include "lib/util.h"

#include <stdio.h>

enum { PATTERN_NAME = 127 }; /* bytes of the longest name */

typedef struct {
    size_t at; /* from 1 */
    const char *what;
} PatternError;

/* 1 if the name fits, 0 if not, and -1 with *why set if the pattern is wrong or not known here, if
 * counts in counts take too long, or the name is longer than PATTERN_NAME. Names are ASCII. */
int pattern_fits(Str pattern, Str name, PatternError *why);

#endif
