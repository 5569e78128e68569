/* machine: what the program asks of the machine: signals, memory, threads, the processor's description.
 *
 *   machine_settle_threads(argv);
 *   machine_settle_memory();
 *   machine_use_threads(s.threads);
 *   machine_stop_on_signals();
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "lib/util.h"

/* Starts the program once more with settings that the OpenMP library reads only when it is loaded.
 * Returns in the second start, or where no second start is needed or possible. */
void machine_settle_threads(char **argv);
/* Keeps freed memory for the next use. */
void machine_settle_memory(void);
/* From now on this many threads; 0: as many as are fastest. Warns when that is more than the cores. */
void machine_use_threads(int threads);

/* After machine_stop_on_signals, SIGINT and SIGTERM only set what machine_stop_signal returns (else 0); a second one ends the process. */
void machine_stop_on_signals(void);
int machine_stop_signal(void);

/* {"cpu", "cores", "threads", "peak_gflops", "vectors"}: what this machine is, measured now. Appends. */
void machine_json(Buf *b);

#endif
