/* manual: the manual page and the completions of shells, made from the table of options.
 *
 * Usage:
 *   static const Option table[] = {
 *       {"k", OPTION_INT, 0, "score", "3", RANGE(0, 1000), .help = "demonstrations"}, {0}};
 *   static const Command commands[] = {{"score", NULL, NULL, "scores a pool"}, {0}};
 *   Manual m = {"ica", "0.1.0", "trains", "It trains.\n", table, commands};
 *   Buf page = {0};
 *   manual_page(&m, &page);                 // for man: troff with the macros of man(7)
 *   if (!manual_completion(&m, "zsh", &page)) return 1;
 *   buf_free(&page);
 */
#ifndef MANUAL_H
#define MANUAL_H

#include "lib/options.h"

typedef struct {
    const char *program, *version, *summary;
    const char *about; /* sections after the commands: troff */
    const Option *table;
    const Command *commands;
} Manual;

/* Appends the manual page, section 1. */
void manual_page(const Manual *m, Buf *out);
/* Appends the completions for a shell: "bash", "zsh" or "fish". False for another name. */
bool manual_completion(const Manual *m, const char *shell, Buf *out);

#endif
