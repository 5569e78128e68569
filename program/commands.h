/* commands: the functions of main.c's table, one file each. Each checks all its input before it
 * writes anything. On false, err has one line for the user and the status.
 *
 * Usage:
 *   Settings s = {.command = "corpus", .out = "corpus", .seed = 1, .draw = 1};
 *   Error err = {0};
 *   if (!command_corpus(&s, &err)) error_print(&err);
 */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "program/settings.h"

bool command_corpus(const Settings *s, Error *err);
bool command_tokenizer(const Settings *s, Error *err);
bool command_encode(const Settings *s, Error *err); /* codec.c */
bool command_decode(const Settings *s, Error *err); /* codec.c */
bool command_pretrain(const Settings *s, Error *err);
bool command_score(const Settings *s, Error *err);
bool command_select(const Settings *s, Error *err);
bool command_train(const Settings *s, Error *err);
bool command_eval(const Settings *s, Error *err); /* evaluate.c */
bool command_generate(const Settings *s, Error *err);
bool command_chat(const Settings *s, Error *err);
bool command_merge(const Settings *s, Error *err);
bool command_import(const Settings *s, Error *err);
bool command_inspect(const Settings *s, Error *err);
bool command_diff(const Settings *s, Error *err); /* files that differ: status 1 */
bool command_report(const Settings *s, Error *err);
bool command_bench(const Settings *s, Error *err);

#endif
