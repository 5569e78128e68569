/* html: one self-contained HTML page of text and tables, everything escaped.
 *
 * The page has no script and loads nothing. It is styled for light and dark screens and for
 * print. Nothing depends on the clock, so the same input gives the same bytes. Names and texts
 * may hold anything. Charts come from lib/charts.h, which appends to the page's body.
 *
 * Usage:
 *   Page page = {0};
 *   page_section(&page, "Losses");
 *   page_paragraph(&page, "%d runs, each of %d steps.", 3, 400);
 *   Buf html = {0};
 *   page_finish(&page, "My runs", "two cores", &html);   // the document; also frees the page
 *   buf_free(&html);
 */
#ifndef HTML_H
#define HTML_H

#include "lib/text.h"

/* ---- escaping ---- */

/* Appends text that is safe between tags and in quoted attributes. Control characters and bytes
 * that are not UTF-8 become U+FFFD. */
void html_text(Buf *b, Str s);
/* Like html_text for at most `most` bytes of s, cut between characters and ended by an ellipsis. */
void html_clip(Buf *b, Str s, size_t most);
/* Formats, then escapes the result. */
void html_printf(Buf *b, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- page ---- */

/* Zero-initialize. Between the calls below the caller may append HTML to `body`, and to `head`,
 * which goes above the contents. */
typedef struct {
    Buf head, body, contents;
    int sections;
} Page;

/* Ends the previous section and begins one, which also gets a line in the list of contents. */
void page_section(Page *p, const char *heading);
void page_heading(Page *p, const char *format, ...) PRINTF_LIKE(2, 3);
void page_paragraph(Page *p, const char *format, ...) PRINTF_LIKE(2, 3);
/* Figures between these two are laid out side by side where the screen is wide enough. */
void page_grid(Page *p);
void page_grid_end(Page *p);
/* What is between these two is shown when the reader opens the line. */
void page_details(Page *p, const char *format, ...) PRINTF_LIKE(2, 3);
void page_details_end(Page *p);
/* Appends the entire document to *html and empties the page. */
void page_finish(Page *p, const char *title, const char *subtitle, Buf *html);

/* ---- tables ---- */

/* Appends the table of lib/text.h as HTML. A wide one scrolls inside its box. */
void table_html(const Table *t, Buf *b);

#endif
