/* talk: a model that answers, for the commands generate and chat.
 *
 * Usage:
 *   Settings s = {.model = "no-such-folder", .repetition_penalty = 1, .top_p = 1};
 *   Talk talk;
 *   Error err = {0};
 *   if (talk_open(&talk, &s, &err)) return 1;      // there is no such folder
 */
#ifndef TALK_H
#define TALK_H

#include "data/generation.h"
#include "data/records.h"
#include "program/settings.h"

typedef struct {
    const Settings *s;
    ModelFolder f;
    Sampling how;
    Generator *generator;
    TurnForm form;  /* of the turn that is answered: --think */
    Buf text;       /* the answer */
    size_t printed; /* of text, if it is printed while it is made */
} Talk;

/* Loads the model. False, with nothing to close: the folder has no vocabulary, or an option does
 * not fit its template. */
bool talk_open(Talk *talk, const Settings *s, Error *err);
void talk_close(Talk *talk);

/* Appends the tokens of a conversation up to the answer to `prompt`. `system` may be {NULL, 0}. */
void talk_row(Talk *talk, Str system, const Turn *turns, int n, Str prompt, IntBuf *row);
/* Answers a row. talk->text is the answer's text. With `stream` it is printed as it grows, whole
 * characters at a time. */
bool talk_answer(Talk *talk, const IntBuf *row, bool stream, IntBuf *answer, StopReason *why,
                 Error *err);
/* That text without the blank that the template puts before an answer. Borrowed from talk. */
Str talk_said(const Talk *talk);

#endif
