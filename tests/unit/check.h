/* check: the smallest test harness. A test program is a main() that calls CHECK and ends with
 * `return check_report("name");`. Each failed CHECK prints file, line and what was found; the
 * last line counts, and the exit status is 1 if any failed. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

static int check_passed, check_failed;

/* With -DCHECK_STOP the first failure ends the program: the mutation test needs no second one. */
#ifdef CHECK_STOP
#define CHECK_FAILED() exit(1)
#else
#define CHECK_FAILED() (void)0
#endif

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (condition) check_passed++;                                                             \
        else {                                                                                     \
            check_failed++;                                                                        \
            printf("%s:%d: FAILED: ", __FILE__, __LINE__);                                         \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
            fflush(stdout); /* the next line may crash */                                          \
            CHECK_FAILED();                                                                        \
        }                                                                                          \
    } while (0)

static int check_report(const char *name) {
    printf("%s: %d passed, %d failed\n", name, check_passed, check_failed);
    return check_failed != 0;
}

#endif
