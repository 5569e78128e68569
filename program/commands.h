/* commands: the commands of program/ beside those of train.h. On false, err holds one line for the user and its status. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "data/run.h"

bool command_eval(const Settings *s, Error *err);     /* evaluate.c */
bool command_generate(const Settings *s, Error *err); /* evaluate.c */
bool command_inspect(const Settings *s, Error *err);  /* inspect.c */
bool command_diff(const Settings *s, Error *err);     /* inspect.c; files that differ: status 1 */
bool command_bench(const Settings *s, Error *err);    /* bench.c */

#endif
