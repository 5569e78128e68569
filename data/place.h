/* place: the folder that a run is written to. It guards what lies there.
 *
 * The rules. One process at a time writes into a folder (run.lock). A file that no run wrote is
 * never replaced. A folder that holds a run is taken by a new one only if that is asked for, and
 * then the old run stays whole until the first state of the new one is safe: until then the new
 * run is written into RUN/next. place_settle gives that folder the name RUN/ready, which decides:
 * from then on the new run is the one that counts. The old files go, RUN/ready becomes RUN/moving,
 * and its files move up. Whoever opens the place after a kill finishes what the names tell.
 *
 * Usage:
 *   Error err = {0};
 *   RunPlace place;
 *   if (place_open(&place, "out/run", PLACE_NEW, &err) && place_begin(&place, &err))
 *       printf("%s\n", place.writes); // "out/run"
 *   place_close(&place);
 *
 * Errors: status 2 for a folder that may not be taken, 4 for one that another process writes to. */
#ifndef PLACE_H
#define PLACE_H

#include "lib/lock.h"

typedef enum {
    PLACE_NEW,     /* The folder must not hold a run. */
    PLACE_REPLACE, /* A run there is replaced. */
    PLACE_AGAIN,   /* A run there that has no state is begun once more. */
    PLACE_RESUME   /* The run there is continued. */
} PlaceUse;

typedef struct {
    char *folder; /* RUN */
    char *writes; /* where the run's files go now: RUN, or RUN/next until place_settle */
    PlaceUse use;
    FileLock lock;
} RunPlace;

/* Locks the folder if it exists, and checks what is there. Makes nothing. Close it in any case. */
bool place_open(RunPlace *p, const char *folder, PlaceUse use, Error *err);
/* Checks the same and touches nothing, not even the lock. */
bool place_check(const char *folder, PlaceUse use, Error *err);
/* Makes the folder, and decides where the run is written. */
bool place_begin(RunPlace *p, Error *err);
/* The first state is safe: the old run goes. Does nothing later. */
bool place_settle(RunPlace *p, Error *err);
/* Removes what a new run has written if it never got a state in place of the old one. */
void place_close(RunPlace *p);

/* Removes what a finished run would need to go on: the training states, the best parameters, RHO's
 * reference. */
void place_end_training(const char *folder);

/* Finishes in that folder what a killed process left between two runs. Does nothing if a process
 * writes there now. */
bool place_recover(const char *folder, Error *err);
/* The i-th name of a file that a run writes, or NULL. */
const char *place_file(int i);

#endif
