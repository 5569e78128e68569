/* requests: what the command line asks for, as the structs of numbers and enums that the rooms
 * below take.
 *
 * Usage:
 *   Settings s = {.lr_scheduler_type = SCHEDULE_LINEAR, .learning_rate = 1e-3, .adam_beta1 = 0.9};
 *   LoopOptions o = request_loop(&s, 100);
 *   if (o.schedule != SCHEDULE_LINEAR || o.steps != 100) return 1;
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "data/partial.h"
#include "data/pool.h"
#include "data/sessions.h"
#include "program/settings.h"
#include "train.h"

/* What run.json says about the run. Strings are the settings' or the arena's. */
RunHeader request_run(const Settings *s, Arena *arena);
/* Where a run goes: locked, and checked; of a dry run only checked. Close it in any case. */
bool request_place(const Settings *s, RunPlace *place, Error *err);
/* Notes what the bits depend on: options, files, the base model, and the data's tokens. sessions
 * may be NULL. */
bool request_depends(Run *run, const Settings *s, const Splits *x, const Sessions *sessions,
                     Error *err);
/* The results that grow beside the file `out`: those that were left before, or none yet. */
bool request_partial(const Settings *s, const Pool *pool, const ExampleFile *holdout,
                     const char *out, Partial *p, Error *err);
/* The prompt that the run asks at each evaluation. */
void request_sample(Run *run, const Settings *s, const Splits *x);
/* Puts the adapters of --lora-rank beside the model of a new run. */
bool request_adapters(const Settings *s, ModelFolder *f, Error *err);
LoopOptions request_loop(const Settings *s, long steps);
TrainOptions request_train(const Settings *s, long steps);

/* Says so if no step of a loop can move a parameter, as with a warm-up and a single step. */
void tell_still(const LoopOptions *o, long steps);

/* Is the run to resume complete, without a training state (--save-only-model)? Then says so. An
 * error (status 3) if another number of steps is asked for. */
bool request_over(const Settings *s, Error *err);
/* What --save-only-model asks for, once the run's result is written. */
void request_end(const Settings *s, const Error *err);

/* Checks that the holdout is what the method needs. */
bool check_holdout(const Settings *s, const ExampleFile *holdout, Error *err);
/* Has the holdout --k distinct records? No candidate is shown the same one twice. */
bool check_k(const Settings *s, const Dataset *holdout, Error *err);
/* Tells the user how many demonstrations were left out, if any were. */
void tell_dropped(int demos);
/* The same of scores, and how many candidates have none. */
void tell_notes(const ScoreNotes *notes);
/* Appends what was read of the files, for people, and notes the keys that this command does not
 * read. ended: answers of other files that ended in the end token's text. */
void put_data(Buf *b, const Settings *s, Splits *x, int ended);
/* Tells that the run to resume was complete. */
void tell_complete(const Settings *s);

#endif
