/* tensorboard: the event files that TensorBoard shows, written by hand.
 *
 * A file is a row of records. A record is the length of its data (8 bytes, little-endian), a
 * checksum of these bytes, the data, and a checksum of the data (4 bytes each). The checksum is
 * CRC-32C, rotated and shifted by a constant ("masked"). The data is an Event of TensorFlow's
 * event.proto: wall_time = 1 (double), step = 2 (varint), file_version = 3 (string, in the first
 * record alone), summary = 5, a list of values, each with tag = 1 and simple_value = 2 (float), or
 * for a text metadata = 9 and tensor = 8.
 *
 * Usage:
 *   Buf b = {0};
 *   tensorboard_begin(&b, 1e9);                             // seconds since 1970
 *   TensorboardScalar x[] = {{"train/loss", 0.5}, {"eval/nll", 0.25}};
 *   tensorboard_scalars(&b, 1e9 + 1, 10, x, 2);             // after step 10
 *   tensorboard_text(&b, 1e9 + 1, 10, "sample", str("paris"));
 *   Error err = {0};
 *   if (!file_write("events.out.tfevents.ica", b.s, b.n, &err)) error_print(&err);
 *   buf_free(&b);
 */
#ifndef TENSORBOARD_H
#define TENSORBOARD_H

#include "lib/file.h"

typedef struct {
    const char *tag;
    double value; /* stored as a float */
} TensorboardScalar;

/* Append one record each. The first record of a file is tensorboard_begin's. */
void tensorboard_begin(Buf *b, double wall_time);
void tensorboard_scalars(Buf *b, double wall_time, int64_t step, const TensorboardScalar *x, int n);
void tensorboard_text(Buf *b, double wall_time, int64_t step, const char *tag, Str text);

#endif
