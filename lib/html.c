#include "lib/html.h"

#include "lib/unicode.h"

#include <string.h>

/* ---- escaping ---- */

void html_text(Buf *b, Str s) {
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.s[i];
        uint32_t code;
        int length = unicode_decode(s.s + i, s.n - i, &code);
        if (c == '<') buf_puts(b, "&lt;");
        else if (c == '>') buf_puts(b, "&gt;");
        else if (c == '&') buf_puts(b, "&amp;");
        else if (c == '"') buf_puts(b, "&quot;");
        else if (c == '\'') buf_puts(b, "&#39;");
        else if (length == 0 || (c < 32 && c != '\n' && c != '\t') || c == 127)
            buf_puts(b, "\xef\xbf\xbd");
        else buf_put(b, s.s + i, (size_t)length);
        i += length ? (size_t)length : unicode_broken(s.s + i, s.n - i);
    }
}

void html_clip(Buf *b, Str s, size_t most) {
    if (s.n <= most) {
        html_text(b, s);
        return;
    }
    while (most > 0 && ((unsigned char)s.s[most] & 0xc0) == 0x80) most--;
    html_text(b, (Str){s.s, most});
    buf_puts(b, "\xe2\x80\xa6");
}

void html_printf(Buf *b, const char *format, ...) {
    Arena scratch = {0};
    va_list args;
    va_start(args, format);
    html_text(b, text_format(&scratch, format, args));
    va_end(args);
    arena_free(&scratch);
}

/* <tag>text</tag>. The tag may have attributes. */
static void put_element(Buf *b, const char *tag, Str text) {
    buf_printf(b, "<%s>", tag);
    html_text(b, text);
    buf_printf(b, "</%.*s>", (int)strcspn(tag, " "), tag);
}

/* ---- page ---- */

/* The tones are those of Okabe and Ito, darkened on white and lightened on black until text in them
 * can be read. */
static const char STYLE[] =
    ":root{color-scheme:light dark;--ink:#1b1f24;--soft:#57616b;--line:#d5dae0;--paper:#fff;"
    "--box:#f5f7f9;--up:0,121,190;--down:205,80,0;"
    "--t0:#9aa3ad;--t1:#0067b0;--t2:#c44900;--t3:#00795a;--t4:#a03d80;--t5:#8a6500;--t6:#2484ad}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e4e8ec;--soft:#a0aab4;--line:#3a424b;"
    "--paper:#14181c;--box:#1d2228;--up:60,150,230;--down:235,110,40;"
    "--t0:#78828c;--t1:#5bb0f5;--t2:#ff8f56;--t3:#35c99c;--t4:#e596c8;--t5:#e3b73c;"
    "--t6:#9fdcf7}}\n"
    "@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--box:#fff;"
    "--t0:#888;--t1:#0067b0;--t2:#c44900;--t3:#00795a;--t4:#a03d80;--t5:#8a6500;--t6:#2484ad}"
    "nav{display:none}figure,tr,article{break-inside:avoid}h2,h3{break-after:avoid}"
    ".scroll{overflow:visible!important}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
    "font:15px/1.45 system-ui,sans-serif;overflow-wrap:break-word}\n"
    "main{max-width:76rem;margin:0 auto;padding:1rem 1rem 2rem}"
    "h1{font-size:1.6rem;line-height:1.2;margin:0 0 .3rem}\n"
    "h2{font-size:1.2rem;margin:1.1rem 0 .4rem;padding-top:.4rem;"
    "border-top:1px solid var(--line)}\n"
    "h3{font-size:1.02rem;margin:.9rem 0 .3rem}\n"
    "p{margin:.35rem 0;max-width:56rem}.soft,figcaption small{color:var(--soft)}"
    "a{color:var(--t1)}\n"
    "nav{font-size:.9rem;margin:.8rem 0}nav a{margin-right:1rem;display:inline-block}\n"
    "dl.terms{columns:21rem;column-gap:2rem;margin:.5rem 0;font-size:.86rem;line-height:1.4}"
    "dl.terms div{break-inside:avoid;padding-bottom:.2rem}dl.terms dt{font-weight:600;"
    "display:inline}dl.terms dd{display:inline;margin:0 0 0 .4rem}\n"
    "details{margin:.4rem 0}summary{cursor:pointer;color:var(--t1)}\n"
    /* The shadows at the edges of a box say that there is more to the side. */
    ".scroll{overflow-x:auto;margin:.5rem 0 .6rem;background:"
    "linear-gradient(to right,var(--paper) 40%,transparent) 0 0/2rem 100% no-repeat local,"
    "linear-gradient(to left,var(--paper) 40%,transparent) 100% 0/2rem 100% no-repeat local,"
    "linear-gradient(to right,var(--soft),transparent) 0 0/.6rem 100% no-repeat scroll,"
    "linear-gradient(to left,var(--soft),transparent) 100% 0/.6rem 100% no-repeat scroll}"
    "table{border-collapse:collapse;font-size:.86rem;line-height:1.35;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.16rem .5rem;text-align:right;border-bottom:1px solid var(--line);"
    "white-space:nowrap;vertical-align:top}\n"
    "thead th{border-bottom:2px solid var(--soft);font-weight:600}"
    "th:first-child{text-align:left;padding-left:0}\n"
    "tbody th{font-weight:500;position:sticky;left:0;background:var(--paper)}"
    "tbody tr:hover>*{background:var(--box)}\n"
    "figure{margin:.7rem 0;max-width:32rem}"
    "figcaption{font-weight:600;font-size:.9rem;line-height:1.35}\n"
    ".grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,20rem),1fr));"
    "gap:.2rem 1.6rem}.grid figure{margin:.5rem 0;min-width:0}\n"
    ".keys{display:block}.key{font-weight:400;font-size:.82rem;margin-right:.9rem;display:inline-"
    "block}"
    ".key i{display:inline-block;width:1.1rem;border-top:3px solid;margin-right:.3rem;"
    "vertical-align:middle}.key i.dash{border-top-style:dashed}\n"
    "svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif}"
    "svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}\n"
    ".axis{stroke:var(--soft);stroke-width:1}.mesh{stroke:var(--line);stroke-width:1}"
    ".dash{stroke-dasharray:5 4}\n"
    ".curve{fill:none;stroke-width:2;stroke-linejoin:round}.thin{stroke-width:1}"
    ".lead{stroke-width:1;opacity:.6}\n"
    ".area{fill-opacity:.28;stroke-width:1.5}rect.bar{fill-opacity:.75;stroke:none}"
    ".dot{fill-opacity:.35}\n"
    ".t0{stroke:var(--t0);fill:var(--t0);color:var(--t0)}"
    ".t1{stroke:var(--t1);fill:var(--t1);color:var(--t1)}"
    ".t2{stroke:var(--t2);fill:var(--t2);color:var(--t2)}"
    ".t3{stroke:var(--t3);fill:var(--t3);color:var(--t3)}"
    ".t4{stroke:var(--t4);fill:var(--t4);color:var(--t4)}"
    ".t5{stroke:var(--t5);fill:var(--t5);color:var(--t5)}"
    ".t6{stroke:var(--t6);fill:var(--t6);color:var(--t6)}path.curve{fill:none}\n"
    "svg text.t1{fill:var(--t1)}svg text.t2{fill:var(--t2)}svg text.t3{fill:var(--t3)}"
    "svg text.t4{fill:var(--t4)}svg text.t5{fill:var(--t5)}svg text.t6{fill:var(--t6)}"
    "svg text.t0{fill:var(--soft)}svg text[class]{stroke:none}\n"
    /* Records with their tokens: what gains is blue, what loses orange. */
    "article{border:1px solid var(--line);border-radius:.4rem;padding:.35rem .6rem;min-width:0;"
    "font-size:.88rem;line-height:1.4}article p{margin:.15rem 0;overflow-wrap:anywhere}"
    "article .soft{font-size:.8rem}.cards{gap:.6rem}"
    ".strip{display:flex;flex-wrap:wrap;gap:2px}"
    ".tok{display:inline-flex;flex-direction:column;align-items:center;padding:0 .25rem;"
    "border-radius:.2rem;white-space:pre-wrap;background:var(--box);line-height:1.3}"
    ".tok small{font-size:11px;color:var(--ink);font-variant-numeric:tabular-nums}"
    ".up1{background:rgba(var(--up),.15)}.up2{background:rgba(var(--up),.3)}"
    ".up3{background:rgba(var(--up),.45)}.down1{background:rgba(var(--down),.15)}"
    ".down2{background:rgba(var(--down),.3)}.down3{background:rgba(var(--down),.45)}\n"
    "@media(max-width:40rem){tbody th{white-space:normal;min-width:7.5rem;max-width:9rem;"
    "overflow-wrap:break-word}"
    /* A telephone scrolls the glossary in its box and cards to the side: the page stays short. */
    "dl.terms{columns:auto;max-height:15rem;overflow-y:auto;border:1px solid "
    "var(--line);background:"
    "linear-gradient(to top,var(--paper) 40%,transparent) 0 100%/100% 2rem no-repeat local,"
    "linear-gradient(to top,var(--soft),transparent) 0 100%/100% .6rem no-repeat scroll;"
    "border-radius:.4rem;padding:.3rem .5rem}"
    ".grid.cards{display:flex;overflow-x:auto}.cards article{flex:0 0 84%}}\n";

void page_section(Page *p, const char *heading) {
    if (p->sections++) buf_puts(&p->body, "</section>\n");
    buf_printf(&p->body, "<section id=\"s%d\"><h2>", p->sections);
    html_text(&p->body, str(heading));
    buf_puts(&p->body, "</h2>\n");
    buf_printf(&p->contents, "<a href=\"#s%d\">", p->sections);
    html_text(&p->contents, str(heading));
    buf_puts(&p->contents, "</a>\n");
}

static void page_element(Page *p, const char *tag, const char *format, va_list args) {
    Arena scratch = {0};
    put_element(&p->body, tag, text_format(&scratch, format, args));
    buf_putc(&p->body, '\n');
    arena_free(&scratch);
}

void page_heading(Page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    page_element(p, "h3", format, args);
    va_end(args);
}

void page_paragraph(Page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    page_element(p, "p", format, args);
    va_end(args);
}

void page_grid(Page *p) { buf_puts(&p->body, "<div class=\"grid\">\n"); }

void page_grid_end(Page *p) { buf_puts(&p->body, "</div>\n"); }

void page_details(Page *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_puts(&p->body, "<details>");
    page_element(p, "summary", format, args);
    va_end(args);
}

void page_details_end(Page *p) { buf_puts(&p->body, "</details>\n"); }

void page_finish(Page *p, const char *title, const char *subtitle, Buf *html) {
    buf_puts(html,
             "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
             "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>");
    html_text(html, str(title));
    buf_printf(html, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>", STYLE);
    html_text(html, str(title));
    buf_puts(html, "</h1>\n<p class=\"soft\">");
    html_text(html, str(subtitle));
    buf_puts(html, "</p>\n");
    buf_put(html, p->head.s, p->head.n);
    buf_puts(html, "<nav aria-label=\"Contents\">\n");
    buf_put(html, p->contents.s, p->contents.n);
    buf_puts(html, "</nav>\n");
    buf_put(html, p->body.s, p->body.n);
    if (p->sections) buf_puts(html, "</section>\n");
    buf_puts(html, "</main>\n</body>\n</html>\n");
    buf_free(&p->head);
    buf_free(&p->body);
    buf_free(&p->contents);
    p->sections = 0;
}

/* ---- tables ---- */

static void put_lines(Buf *b, const Buf *lines) {
    size_t at = 0;
    for (Str line; text_line((Str){lines->s, lines->n}, &at, &line);) put_element(b, "p", line);
}

void table_html(const Table *t, Buf *b) {
    if (t->title) put_element(b, "h3", str(t->title));
    buf_puts(b, "\n<div class=\"scroll\" tabindex=\"0\"><table>");
    for (int i = 0; i < t->cells; i++) {
        int column = i % t->columns;
        if (column == 0) buf_puts(b, i == 0 ? "\n<thead><tr>" : "<tr>");
        put_element(b,
                    i < t->columns ? "th scope=\"col\""
                    : column == 0  ? "th scope=\"row\""
                                   : "td",
                    t->cell[i]);
        if (column == t->columns - 1 || i == t->cells - 1)
            buf_puts(b, i == t->columns - 1 ? "</tr></thead><tbody>\n" : "</tr>\n");
    }
    buf_puts(b, t->cells ? "</tbody></table></div>\n" : "</table></div>\n");
    if (t->caption) put_element(b, "p class=\"soft\"", str(t->caption));
    put_lines(b, &t->remarks);
    if (t->more.n == 0) return;
    buf_puts(b, "<details><summary>Comparisons</summary>");
    put_lines(b, &t->more);
    buf_puts(b, "</details>\n");
}
