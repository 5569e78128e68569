/* options_file: `--options FILE`. The options of a JSON file become arguments, which come before
 * those of the command line, so that the latter win.
 *
 * The file is an object whose keys are names of options, or a run.json, whose member "options" is
 * such an object. A hyphen and an underscore in a name are the same. Options that name files or
 * folders are not taken, and said to be so: a run's paths are not those of the next run. Of a
 * run.json, values that are the default today are not taken either. A key that is not an option is
 * refused. So is one of another command, except in a run.json.
 *
 * Usage:
 *   const char text[] = "{\"learning_rate\": 1e-3, \"max-steps\": 20}";
 *   Error err = {0};
 *   if (!file_write("options.json", text, sizeof text - 1, &err)) return error_print(&err);
 *   const Command command = {.name = "train"};
 *   char *given[] = {"--options", "options.json", "--max-steps", "10"};
 *   argc = 4; // those of main
 *   argv = given;
 *   Arena arena = {0};
 *   const char *file;
 *   if (!options_file_expand(&command, &argc, &argv, &file, &arena, &err))
 *       return error_print(&err);
 *   // --learning-rate=0.001 --max-steps=20 --max-steps 10
 *   if (argc != 4 || strcmp(argv[0], "--learning-rate=0.001") != 0) return 1;
 *   arena_free(&arena);
 *
 * Errors: status 2 for two --options, 3 with the file and the key, 4 if it cannot be read.
 */
#ifndef OPTIONS_FILE_H
#define OPTIONS_FILE_H

#include <string.h>

#include "lib/file.h"
#include "lib/options.h"

/* Replaces `--options FILE` in argv[argc] by what the file says. *file: its path, or NULL. New
 * strings are the arena's. */
bool options_file_expand(const Command *command, int *argc, char ***argv, const char **file,
                         Arena *arena, Error *err);

#endif
