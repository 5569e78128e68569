/* audit: what an auditor of the paper reads: every equation, the function that is it, and how
 * well its two sides agree.
 *
 *   Audit *a = audit_new(".");           // the folder in which model.c, ica.c and tests/ are
 *   audit_add(a, &(AuditRow){.tag = "E18",
 *                            .equation = "(sum w)^2 / sum w^2",
 *                            .function = "effective_sample_size",
 *                            .compared = "40 random weights against the oracle",
 *                            .left = l,
 *                            .right = r,
 *                            .error = fabs(l - r),
 *                            .tolerance = 1e-14,
 *                            .reason = "rounding of 40 sums",
 *                            .kind = AUDIT_EXACT});
 *   audit_print(a, stdout);              // the table; notes and small tables below it
 *   audit_write(a, "out", &err);         // out/audit.json and out/audit.html
 *   int status = audit_failed(a) > 0;
 *   audit_free(a);
 *
 * Three kinds of rows. A NaN is never ok, and a row whose function is nowhere fails.
 * - Exact: both sides are equal but for rounding. The row is ok if error <= tolerance.
 * - Refuted: a claim that does NOT hold, and by how much. The row is ok if error > tolerance, and
 *   if the same comparison where the claim does hold stays within the tolerance. Without that
 *   second comparison a broken one would refute anything.
 * - Measurement: a number for which no bound follows from anything. It has no verdict.
 */
#ifndef AUDIT_H
#define AUDIT_H

#include "lib/html.h"

typedef enum { AUDIT_EXACT, AUDIT_REFUTED, AUDIT_MEASUREMENT, AUDIT_KINDS } AuditKind;

typedef struct {
    const char *tag;      /* "E5", as in the README's table */
    const char *equation; /* in one line of text */
    const char *function; /* the C function that is the equation; its file and line are looked up
                           * in the sources */
    const char *compared; /* what the left and the right side are */
    double left, right;   /* at the place of the largest error, where many values are compared */
    double error, tolerance;
    const char *reason; /* why this tolerance; of a measurement, how it was taken */
    AuditKind kind;
    /* of refuted rows: where the claim holds, and the error of the same comparison there */
    const char *if_true;
    double error_if_true;
} AuditRow;

typedef struct Audit Audit;

/* Reads the C files in `root` and in root/tests, to find functions in. */
Audit *audit_new(const char *root);
void audit_free(Audit *a);

/* Adds a row, behind those of its tag; rows are ordered by tag. Strings are copied. */
void audit_add(Audit *a, const AuditRow *row);
/* What the rows from now on are about, say another model: it stands before what they compare. NULL:
 * nothing. Borrowed. */
void audit_about(Audit *a, const char *what);
/* A paragraph in the section of that heading (made when it is new; sections stand in the order
 * of their first use). Text is escaped on the page and printed; what begins with '<' is HTML
 * that the page shows as it is and that is not printed: a chart, say. */
void audit_note(Audit *a, const char *section, const char *html_or_text_paragraph);
/* A small table in a section, shown on the page and printed. The table stays the caller's. */
void audit_table(Audit *a, const char *section, const Table *t);

int audit_rows(const Audit *a);
/* Row i, in the order of tags. Valid until the next row is added. */
const AuditRow *audit_row(const Audit *a, int i);
int audit_failed(const Audit *a); /* how many rows are not ok */

void audit_print(const Audit *a, FILE *to);
void audit_json(const Audit *a, Buf *json);
void audit_html(const Audit *a, Buf *html);
/* audit.json and audit.html in an existing or new folder. */
bool audit_write(const Audit *a, const char *folder, Error *err);

/* ---- for both halves ---- */

/* The largest error among many comparisons, with the values there; a NaN is larger than any.
 * Zero-initialize. */
typedef struct {
    double left, right, error;
    int count;
} Worst;
/* error: |left - right| / scale */
void worst_add(Worst *w, double left, double right, double scale);
double worst_error(const Worst *w); /* NaN if nothing was compared */
/* An exact row from these. */
typedef struct {
    const char *tag, *equation, *function;
} Equation;
void audit_worst(Audit *a, const Equation *e, const char *compared, const Worst *w,
                 double tolerance, const char *reason);
/* A refuted row; `holds` is the same comparison where the claim is true, `if_true` says where. */
void audit_refuted(Audit *a, const Equation *e, const char *compared, const Worst *w,
                   const char *if_true, const Worst *holds, double tolerance, const char *reason);
/* The slope of log y over log x by least squares: the order of y in x. */
double order_of(const double *x, const double *y, int n);

/* ---- the two halves ---- */

/* On exact and on small seeded models: seconds, no files. Its tolerances are those of the double
 * build. */
void audit_exact(Audit *a);
/* On the models that the main job trained: out_folder has quick/ and control/ (base/ and corpus/
 * in each). */
void audit_trained(Audit *a, const char *out_folder);

#endif
