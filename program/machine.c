/* What the program asks of the machine: signals, the processor's description, threads, memory. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE 1 /* on macOS: sysconf's names of processors and memory, ru_maxrss */
#include "program/machine.h"

#ifdef __linux__
#include <malloc.h>
#endif
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/gemm.h"
#include "lib/json.h"
#include "lib/system.h"
#include "lib/threads.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- signals ---- */

static volatile sig_atomic_t caught_signal, save_asked;

/* Ends the program. Files are replaced atomically, so none is torn, and the temporaries go. The
 * signal itself ends it, once this handler returns: so a shell sees that its Ctrl-C was heard. */
static void on_end(int number) {
    system_discard();
    signal(number, SIG_DFL);
    raise(number);
}

static void on_stop(int number) {
    if (caught_signal) on_end(number); /* asked twice */
    caught_signal = number;
}

static void on_save(int number) {
    (void)number;
    save_asked = 1;
}

/* A signal that the caller has set to be ignored, as nohup does with SIGHUP, stays so unless
 * `always`. */
static void handle(int number, void (*handler)(int), bool always) {
    struct sigaction action = {.sa_handler = handler}, old;
    sigemptyset(&action.sa_mask);
    if (always || (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN))
        sigaction(number, &action, NULL);
}

void machine_end_on_signals(void) {
    handle(SIGINT, on_end, false);
    handle(SIGTERM, on_end, false);
    handle(SIGHUP, on_end, false);
    handle(SIGQUIT, on_end, false);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

/* A shell's background jobs ignore SIGINT and SIGQUIT, and yet somebody who sends one to a run
 * means it. */
void machine_stop_on_signals(void) {
    handle(SIGQUIT, on_end, true);
    handle(SIGINT, on_stop, true);
    handle(SIGTERM, on_stop, true);
    handle(SIGHUP, on_stop, false);
    handle(SIGUSR1, on_save, true);
}

bool machine_save_asked(void) {
    bool asked = save_asked != 0;
    save_asked = 0;
    return asked;
}

int machine_stop_signal(void) { return caught_signal; }

/* ---- files, memory and threads ---- */

/* /dev/null is opened the wrong way round: reading what was to be written fails, and so on. */
void machine_settle_files(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 &&
            system_calls.open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY, 0) < 0)
            return;
}

/* Cached prefixes and activations come and go, and fresh pages from the system can cost as much as
 * the arithmetic that fills them. So freed memory stays with the process. */
void machine_settle_memory(void) {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
#endif
}

/* Threads that wait in barriers should sleep soon, or two programs on one machine slow each other
 * down several times over. Activations should be on large pages where the system has them for the
 * asking: of small ones a step needs more than the processor keeps at hand. Both libraries read
 * their settings only when they are loaded, so the program starts itself once more with them. */
void machine_settle_libraries(char **argv) {
#if defined(_OPENMP) && defined(__linux__)
    if (getenv("ICA_SETTLED")) return;
    if (setenv("ICA_SETTLED", "1", 1) != 0) return; /* or it would start itself for ever */
    if (!getenv("GOMP_SPINCOUNT")) setenv("GOMP_SPINCOUNT", "10000", 1);
    if (!getenv("OMP_WAIT_POLICY")) setenv("OMP_WAIT_POLICY", "passive", 1);
    if (!getenv("GLIBC_TUNABLES")) setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1", 1);
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

size_t machine_peak_bytes(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
#ifdef __APPLE__
    return (size_t)usage.ru_maxrss;
#else
    return (size_t)usage.ru_maxrss << 10;
#endif
}

size_t machine_memory_bytes(void) {
#ifdef _SC_PHYS_PAGES
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
#else
    return 0;
#endif
}

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
