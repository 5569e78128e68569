/* dump: one optimizer step of fine-tuning as a safetensors file, so that another framework can check it (train --dump-state).
 *
 *   Dump *d = dump_new("step.safetensors", &x.pool, pairs, batch_size);
 *   dump_begin(d, model);                                  // the weights before the step
 *   dump_batch(d, record, weight);  dump_rows(d, from, n, logp);  ...
 *   optimizer_step(optimizer, model, grad, scale, lr);
 *   ok = dump_write(d, model, grad, optimizer, loss, lr, norm, &err);
 *   dump_free(d);
 *
 * The file, for a batch of B records: every parameter under its Hugging Face name (before the update), NAME.grad (before clipping),
 * NAME.after, NAME.m and NAME.v (behind the update), in this build's precision; `weight` [B] (before E9 divides it) and `row` [B],
 * the record's line in the pool's file; `logp`, token sums, [B], or for pairs [2 B]: all chosen answers, then all rejected ones;
 * `input_ids` and `labels`, one row for each logp, as long as the longest: whole sequences, labels -100 where nothing is scored,
 * ids 0 behind the end; `loss` (weighted, as it is minimized), `lr`, `grad_norm` (before clipping), [1] each. Floating point of the
 * batch is F64, integers are I64.
 */
#ifndef DUMP_H
#define DUMP_H

#include "data/examples.h"

typedef struct Dump Dump;

/* Path and pool are borrowed. */
Dump *dump_new(const char *path, const ExampleFile *pool, bool pairs, int batch_size);
void dump_free(Dump *d); /* NULL is fine */

void dump_begin(Dump *d, const Model *m);
/* record, weight: [batch_size] */
void dump_batch(Dump *d, const int *record, const double *weight);
/* The log-likelihoods of batch entries from .. from + n - 1 in the order of ica_batch: [n], pairs [2 n] chosen, rejected, ... */
void dump_rows(Dump *d, int from, int n, const double *logp);
/* Everything since dump_begin. Status 4 if the file cannot be written. */
bool dump_write(const Dump *d, const Model *m, const real *grad, const Optimizer *o, double loss, double lr, double norm,
                Error *err);

#endif
