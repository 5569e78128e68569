/* idle: options that were given and that nothing reads, because of the others. A method without
 * demonstrations does not read --k. Each is told, so that nobody takes its value for the cause of a
 * result. Options that contradict each other are refused elsewhere (program/settings.c).
 *
 * Usage:
 *   static const Command commands[] = {{"score", NULL, NULL, "scores a pool"}, {0}};
 *   char *arguments[] = {"--model=m", "--pool=p", "--out=o", "--method=loss", "--k=2"};
 *   Settings s;
 *   OptionResult result;
 *   Arena arena = {0};
 *   Buf options = {0}, told = {0};
 *   Error err = {0};
 *   if (settings_parse(commands, 5, arguments, &s, &result, &arena, &options, &err))
 *       idle_put(&told, &s, &result); // "WARNING: --k has no effect here: ..."
 *   buf_free(&told);
 *   buf_free(&options);
 *   arena_free(&arena);
 */
#ifndef IDLE_H
#define IDLE_H

#include "program/settings.h"

/* Appends a line for each of them. */
void idle_put(Buf *b, const Settings *s, const OptionResult *result);

#endif
