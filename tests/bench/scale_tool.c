/* What tests/bench/scale.sh cannot do as a script: models of any shape with fresh weights, and
 * what a command takes.
 *
 *   scale_tool model LAYERS HEADS CHANNELS CONTEXT VOCABULARY FOLDER
 *       writes a model folder without a vocabulary
 *   scale_tool run FILE COMMAND...
 *       runs the command; FILE gets one line: wall seconds, and its largest resident set in bytes
 *
 * The status is 0, or that of what failed: 2 for a wrong command line, 1 for a command that did
 * not end with 0. */
#define _XOPEN_SOURCE 700 /* getrusage */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/util.h"
#include "data/model_folder.h"
#include "lib/file.h"

static int write_model(char **argument) {
    int n[5];
    for (int i = 0; i < 5; i++) n[i] = atoi(argument[i]);
    Error err = {0};
    Model *m = model_new(
        (ModelConfig){
            .layers = n[0], .heads = n[1], .channels = n[2], .context = n[3], .vocab = n[4]},
        &err);
    if (!m) return error_print(&err);
    model_initialize(m, 1);
    bool ok = folder_make(argument[5], &err) && model_save(m, argument[5], &err);
    model_free(m);
    return ok ? STATUS_OK : error_print(&err);
}

/* Of all children that ended, the largest: there is one. Linux counts in kilobytes, a Mac in
 * bytes. */
static double children_peak_bytes(void) {
    struct rusage used;
    if (getrusage(RUSAGE_CHILDREN, &used) != 0) return 0;
#ifdef __APPLE__
    return (double)used.ru_maxrss;
#else
    return 1024.0 * (double)used.ru_maxrss;
#endif
}

static int run(const char *path, char **command) {
    double start = seconds_now();
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        perror(command[0]);
        _exit(127);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return STATUS_FAILED;
    Error err = {0};
    Buf line = {0};
    buf_printf(&line, "%.3f %.0f\n", seconds_now() - start, children_peak_bytes());
    bool ok = file_write(path, line.s, line.n, &err);
    buf_free(&line);
    return ok ? STATUS_OK : error_print(&err);
}

int main(int argc, char **argv) {
    if (argc == 8 && strcmp(argv[1], "model") == 0) return write_model(argv + 2);
    if (argc > 3 && strcmp(argv[1], "run") == 0) return run(argv[2], argv + 3);
    fprintf(stderr, "usage: scale_tool model LAYERS HEADS CHANNELS CONTEXT VOCABULARY FOLDER | "
                    "scale_tool run FILE COMMAND...\n");
    return STATUS_USAGE;
}
