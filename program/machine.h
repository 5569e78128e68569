/* machine: what the program asks of the machine. Signals, memory, threads, and what it is.
 *
 * Usage:
 *   Buf b = {0};
 *   machine_settle_files();
 *   machine_settle_memory();
 *   machine_use_threads(1);
 *   machine_end_on_signals();
 *   machine_stop_on_signals();
 *   machine_json(&b);
 *   puts(machine_stop_signal() ? "stopped" : b.s); // {"cpu":"...","cores":...}
 *   buf_free(&b);
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "lib/util.h"

/* Starts the program once more with settings that the libraries of OpenMP and C read only when they
 * are loaded. Returns in the second start, or where no second start is needed or possible. Call it
 * first. */
void machine_settle_libraries(char **argv);
/* Gives each standard stream that the caller closed a number, so that no file gets it and then
 * receives messages. Using the stream still fails. */
void machine_settle_files(void);
/* Keeps freed memory for the next use. */
void machine_settle_memory(void);
/* Uses this many threads from now on, or with 0 as many as are fastest. Warns if that is more than
 * there are cores. */
void machine_use_threads(int threads);

/* From now on SIGINT, SIGTERM and SIGHUP end the process at once and leave no temporary file. A
 * closed pipe (SIGPIPE) and a file above the size limit (SIGXFSZ) become failed writes. */
void machine_end_on_signals(void);
/* From now on the three only set what machine_stop_signal returns: there is something to save. A
 * second one ends the process at once. SIGUSR1 asks for a save. */
void machine_stop_on_signals(void);
/* Did SIGUSR1 ask for a save since the last call? */
bool machine_save_asked(void);
/* The signal that asked the program to stop, or 0. */
int machine_stop_signal(void);

/* The most memory that this process has had, in bytes; 0: not known. */
size_t machine_peak_bytes(void);
size_t machine_memory_bytes(void); /* of the machine; 0: not known */

/* Appends {"cpu", "cores", "threads", "vectors", "peak_gflops"}. The peak is measured now. */
void machine_json(Buf *b);

#endif
