/* text: formatted strings, lines, and tables for people on a terminal.
 *
 * A Table collects cells row by row, the first row being the head. table_text prints it here;
 * table_html of lib/html.h makes the page's version of the same object. Strings that a function
 * returns are in the arena it was given. Nothing here fails but for want of memory (status 4).
 *
 * Usage:
 *   Table t = {.title = "Losses"};
 *   table_head(&t, "arm");
 *   table_head(&t, "loss");
 *   table_put(&t, "%s", "uniform");
 *   table_mean(&t, 0.5, 0.02, 3, 1);       // "0.500" and, as there is a spread, "+-0.020"
 *   Buf out = {0};
 *   table_text(&t, 80, &out);
 *   fputs(out.s, stdout);
 *   buf_free(&out);
 *   table_free(&t);
 */
#ifndef TEXT_H
#define TEXT_H

#include "lib/util.h"

/* ---- strings and lines ---- */

/* A formatted string of any length in the arena, with a NUL. text_format is the va_list form. */
const char *text_new(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
Str text_format(Arena *arena, const char *format, va_list args);
/* Steps through the lines of a text. *at is a byte offset, 0 for the first call. Sets *line to the
 * next line without its newline and returns true, or returns false at the end. */
bool text_line(Str text, size_t *at, Str *line);
/* The same for the next line that is not blank. *number, 0 for the first call, becomes its own. */
bool text_line_full(Str text, size_t *at, Str *line, int *number);
/* Appends the text with each line broken at blanks to at most `width` columns. What follows a
 * break is indented by two. A column is one UTF-8 character. */
void text_wrap(Buf *b, Str text, int width);

/* Appends a foreign text as it may be printed, see unicode_show. The characters in `keep` are left
 * as they are: "\n\t" for a text of several lines, "" for a name. */
void text_show(Buf *b, Str text, const char *keep);

/* Prints foreign text of several lines on stdout. A terminal gets it as text_show shows it; a file
 * or a pipe gets the bytes. */
bool text_print(const char *text, size_t n, Error *err);

/* Appends the text as it counts when two texts are compared: in form C (lib/nfc.h), in small
 * letters, those of full width in the usual one, without characters that nothing shows, each run of
 * white space as one blank, none at either end. The text is UTF-8. */
void text_fold(Buf *b, Str text);

/* Distinct names in order of arrival. The list is in the arena, the names are borrowed. */
typedef struct {
    const char **v;
    int n, capacity;
} Names;
void names_add(Arena *arena, Names *names, const char *name);
/* Sorts with a qsort comparison that gets pointers to const char *. */
void names_sort(Names *names, int (*compare)(const void *, const void *));

/* ---- tables ---- */

typedef struct {
    const char *title, *caption; /* borrowed, may be NULL; the caption is for a page alone */
    Buf remarks;                 /* sentences below the table, one a line */
    Buf more;                    /* further ones; a page shows them when asked */
    Arena arena;                 /* owns the cells' text */
    int columns, cells, capacity;
    Str *cell; /* [cells], row by row; the first `columns` cells are the head */
} Table;       /* zero-initialize */

/* Cells, title and remarks are shown as text_show shows them. */

/* Adds a column. All columns come before the first table_put. */
void table_head(Table *t, const char *name);
/* Adds the next cell, row by row. */
void table_put(Table *t, const char *format, ...) PRINTF_LIKE(2, 3);
/* Adds a cell with mean * scale, a plus-minus sign and sd * scale. Without the spread if sd is not
 * finite; "-" if mean is not. */
void table_mean(Table *t, double mean, double sd, int decimals, double scale);
/* Removes the columns in which every row has "-". The first column stays. */
void table_drop_empty(Table *t);
/* Appends title, rows and remarks. The first column is left aligned, the others right; remarks
 * are wrapped to `width` columns. */
void table_text(const Table *t, int width, Buf *b);
void table_free(Table *t);

#endif
