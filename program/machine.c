/* What the program asks of the machine: signals, the processor's description, threads, memory. */
#define _POSIX_C_SOURCE 200809L
#include "program/machine.h"

#ifdef __linux__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/gemm.h"
#include "lib/json.h"
#include "lib/threads.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- signals ---- */

static volatile sig_atomic_t caught_signal;

static void on_signal(int number) {
    /* Asked twice, the program ends at once. Files are replaced atomically, so none is torn. */
    if (caught_signal) _exit(128 + number);
    caught_signal = number;
}

void machine_stop_on_signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int machine_stop_signal(void) { return caught_signal; }

/* ---- memory and threads ---- */

/* Cached prefixes and activations come and go, and fresh pages from the system can cost as much as
 * the arithmetic that fills them. So freed memory stays with the process. */
void machine_settle_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
#endif
}

/* Threads that wait in barriers should sleep soon, or two programs on one machine slow each other
 * down several times over. The OpenMP library reads its settings only when it is loaded, so the
 * program starts itself once more with them. */
void machine_settle_threads(char **argv) {
#if defined(_OPENMP) && defined(__linux__)
    if (getenv("ICA_SETTLED")) return;
    setenv("ICA_SETTLED", "1", 1);
    if (!getenv("GOMP_SPINCOUNT")) setenv("GOMP_SPINCOUNT", "10000", 1);
    if (!getenv("OMP_WAIT_POLICY")) setenv("OMP_WAIT_POLICY", "passive", 1);
    char self[4096]; /* the real path, so that the process keeps its name */
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        execv(self, argv); /* returns only on failure; then the program runs without the settings */
    }
#else
    (void)argv;
#endif
}

void machine_use_threads(int threads) {
#ifdef _OPENMP
    if (threads > 0) threads_use(threads);
    else threads_adapt();
    if (threads_most() > omp_get_num_procs())
        fprintf(stderr, "ica: %d threads on %d cores are slower than %d\n", threads_most(),
                omp_get_num_procs(), omp_get_num_procs());
#else
    if (threads > 1) fprintf(stderr, "ica: this build has no OpenMP and uses one thread\n");
#endif
}

/* ---- this machine ---- */

void machine_json(Buf *b) {
    Buf info = {0};
    Error ignored = {0};
    Str cpu = str("unknown");
    if (file_exists("/proc/cpuinfo") && file_read("/proc/cpuinfo", &info, &ignored)) {
        const char *at = strstr(info.s, "model name");
        const char *colon = at ? strchr(at, ':') : NULL, *end = colon ? strchr(colon, '\n') : NULL;
        if (end && end > colon + 2) cpu = (Str){colon + 2, (size_t)(end - colon - 2)};
    }
    buf_puts(b, "{\"cpu\":");
    json_put_string(b, cpu);
    buf_printf(b, ",\"cores\":%ld,\"threads\":%d,\"vectors\":\"%s\",\"peak_gflops\":%.1f}",
               sysconf(_SC_NPROCESSORS_ONLN), threads_most(), gemm_description(),
               gemm_peak_flops() * 1e-9);
    buf_free(&info);
}
