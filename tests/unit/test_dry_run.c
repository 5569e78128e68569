/* The memory that --dry-run tells, against what the program then takes: the peak that the system
 * counted for the process. From the environment: ICA, the program to test. */
#define _DEFAULT_SOURCE
#define _XOPEN_SOURCE 700
#include <sys/resource.h>
#include <sys/types.h>

#include "tests/unit/lab.h"

/* The most memory of one run, in bytes. */
static double peak_of(const Lab *l, const char *arguments) {
    Buf b = {0};
    int status;
    struct rusage used = {0};
    buf_printf(&b, "exec '%s' %s >out 2>err </dev/null", l->program, arguments);
    pid_t pid = fork();
    if (pid == 0) execl("/bin/sh", "sh", "-c", b.s, (char *)NULL);
    bool ok = pid > 0 && wait4(pid, &status, 0, &used) == pid;
    CHECK(ok && WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s", b.s);
    buf_free(&b);
#ifdef __APPLE__
    return (double)used.ru_maxrss;
#else
    return 1024.0 * (double)used.ru_maxrss;
#endif
}

/* What is told may be wrong by 15 %: the dry run does a few steps of a run, and the largest batch
 * of all may come later. RHO's references of folds are left out: with models as small as this one
 * the holes between them count. */
static void check_peak(Lab *l, const char *arguments) {
    double taken = peak_of(l, arguments);
    WORKS(l, "%s --dry-run%s", arguments, strncmp(arguments, "pre", 3) == 0 ? "" : " --json");
    double told = NAN;
    if (strncmp(arguments, "pre", 3) == 0) {
        const char *at = strstr(text_of(l, "out"), "memory: about ");
        CHECK(at && sscanf(at, "memory: about %lf MB at most", &told) == 1, "no memory is told");
        told *= 1e6;
    } else told = number(json_of(l, "out"), "peak_bytes");
    CHECK(fabs(told - taken) < 0.15 * taken, "%s: tells %.1f MB, takes %.1f MB", arguments,
          told * 1e-6, taken * 1e-6);
}

int main(int argc, char **argv) {
    Lab l = {0};
    char folder[] = "/tmp/test_dry_run.XXXXXX";
    (void)argc;
    if (!lab_open(&l, argv[0], folder)) return check_report("test_dry_run");
    WORKS(&l, "corpus --out c --no-pretrain");
    WORKS(&l, "tokenizer --data c/pool-even50.jsonl --vocab-size 500 --out t");
#define SHAPE "--data c/pool-even50.jsonl --tokenizer t --channels 128 --batch-tokens 1024"
    WORKS(&l, "pretrain " SHAPE " --layers 4 --heads 4 --max-steps 1 --out base");
#define FROM "--model base --pool c/pool-even50.jsonl --overwrite "
#define PAIRS "--model base --pool c/pairs-pool.jsonl --overwrite "
#define HOLDOUT "--holdout c/holdout.jsonl "
    static const char *const commands[] = {
        "pretrain " SHAPE " --layers 4 --heads 4 --max-steps 2 --out r --overwrite",
        "train " FROM "--max-steps 4 --out r",
        "train " FROM "--max-steps 4 --batch-size 64 --micro-batch-size 64 --out r",
        "train " FROM "--max-steps 4 --batch-size 64 --recompute --out r",
        "train " FROM "--max-steps 4 --lora-rank 8 --batch-size 64 --out r",
        "train " FROM "--max-steps 4 --eval c/test.jsonl --eval-steps 2 --out r",
        "train " FROM "--max-steps 4 " HOLDOUT "--weights ica --refresh 2 --out r",
        "train " FROM "--max-steps 4 " HOLDOUT "--weights rho --reference-steps 2 --out r",
        "train " PAIRS "--max-steps 4 --objective dpo --out r",
        "score " FROM HOLDOUT "--out s.jsonl",
        "score " FROM HOLDOUT "--method gradient --out s.jsonl",
        "score " FROM HOLDOUT "--method rho --reference-steps 2 --out s.jsonl",
        "eval --model base --data c/test.jsonl",
        "eval --model base --data c/test.jsonl " HOLDOUT "--k 3",
        "eval --model base --data c/pairs-test.jsonl --objective dpo --reference base"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) check_peak(&l, commands[i]);
    lab_close(&l, folder);
    return check_report("test_dry_run");
}
