/* dump: one optimizer step of fine-tuning as a safetensors file, so that another framework can
 * check it (train --dump-state).
 *
 * | tensor                     | of a batch of B records (the last of an epoch may be smaller) |
 * |---|---|
 * | each parameter             | under its Hugging Face name, before the update |
 * | NAME.grad                  | its gradient, before clipping |
 * | NAME.after, NAME.m, NAME.v | the parameter and its moments after the update |
 * | weight [B], row [B]        | before E9 divides it; the record's line in the pool's file |
 * | logp [B], pairs [2 B]      | token sums; of pairs all chosen answers, then all rejected ones |
 * | input_ids, labels          | a whole row for each logp, padded with 0 and -100 |
 * | loss, lr, grad_norm [1]    | as minimized; the step's rate; before clipping |
 *
 * Parameters are in this build's precision, other reals are F64, integers are I64.
 *
 * Usage:
 *   static const int prompt[] = {1, 2}, answer[] = {3, 0};
 *   Example item = {.prompt = prompt, .prompt_n = 2, .answer = answer, .answer_n = 2};
 *   Record record = {.line = 1};
 *   ExampleFile pool = {.data = {.count = 1, .records = &record},
 *                       .examples = {.count = 1, .items = &item}};
 *   Error err = {0};
 *   Model *m = model_new((ModelConfig){.layers = 1, .heads = 1, .channels = 8, .context = 4,
 *                                      .vocab = 5}, &err);
 *   Optimizer *o = optimizer_new(m, 0.9, 0.999, 0);
 *   real *grad = mem_new(m->parameters, sizeof(real));
 *   Dump *d = dump_new("step.safetensors", &pool, false, 1);   // a batch of one record
 *   dump_begin(d, m);
 *   dump_batch(d, 1, (int[]){0}, (double[]){1});
 *   dump_rows(d, (int[]){0}, 1, (double[]){-3.2});
 *   optimizer_step(o, m, grad, 1, 1e-3);
 *   if (!dump_write(d, m, grad, o, 1.6, 1e-3, 0, &err)) return error_print(&err);
 *   dump_free(d);
 *   free(grad);
 *   optimizer_free(o);
 *   model_free(m);
 *
 * Errors: status 4 if the file cannot be written.
 */
#ifndef DUMP_H
#define DUMP_H

#include <stdlib.h>

#include "data/examples.h"

typedef struct Dump Dump;

/* Path and pool are borrowed. batch_size: of the largest batch. */
Dump *dump_new(const char *path, const ExampleFile *pool, bool pairs, int batch_size);
void dump_free(Dump *d); /* NULL is fine */

/* Keeps the parameters as they are before the step. */
void dump_begin(Dump *d, const Model *m);
/* Keeps the step's batch of n records: record, weight [n]. */
void dump_batch(Dump *d, int n, const int *record, const double *weight);
/* Keeps the log-likelihoods of n records of the batch, in its order: [n], or of pairs [2 n], chosen
 * and rejected in turn. Those of records that did not run stay NaN. */
void dump_rows(Dump *d, const int *record, int n, const double *logp);
/* Writes everything since dump_begin. */
bool dump_write(const Dump *d, const Model *m, const real *grad, const Optimizer *o, double loss,
                double lr, double norm, Error *err);

#endif
