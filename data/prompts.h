/* prompts: a file of what is to be answered, for `ica generate --prompt-file`.
 *
 * Each line that is not empty is a prompt. If the first of them begins with {, each is a record:
 * the forms of data/records.h, whose answers may be missing and are not read.
 *
 * Usage:
 *   Error err = {0};
 *   Dataset d;
 *   const char text[] = "what is low ?\n\nwhat is new ?\n";
 *   if (!file_write("prompts.txt", text, sizeof text - 1, &err) ||
 *       !prompts_load(&d, "prompts.txt", &err))
 *       return error_print(&err);
 *   if (d.count != 2 || d.records[1].line != 3) return 1;
 *   records_free(&d);
 */
#ifndef PROMPTS_H
#define PROMPTS_H

#include "data/records.h"
#include "lib/file.h"

/* Every record is RECORD_TURNS. The last of its turns is the prompt, with an empty completion.
 * Errors as records_load has them. */
bool prompts_load(Dataset *d, const char *path, Error *err);

#endif
