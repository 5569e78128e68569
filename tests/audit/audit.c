/* The frame of the audit: rows, where functions stand in the sources, the printed table,
 * audit.json and audit.html. */
#include "tests/audit/audit.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "lib/file.h"
#include "lib/json.h"

enum { WIDTH = 132, SOURCES = 14 };

static const char *const SOURCE[SOURCES] = {"model.c",
                                            "scoring/context.c",
                                            "ica.c",
                                            "train.c",
                                            "lib/stats.c",
                                            "lib/tfidf.c",
                                            "lib/weights.c",
                                            "lib/objectives.c",
                                            "tests/reference/oracle.c",
                                            "tests/audit/audit_exact.c",
                                            "tests/audit/audit_product.c",
                                            "tests/audit/audit_training.c",
                                            "tests/audit/audit_trained.c",
                                            "tests/audit/audit_claims.c"};

typedef struct {
    AuditRow row;
    const char *where; /* "ica.c:345"; NULL: found nowhere */
} Entry;

typedef struct {
    const char *heading;
    Buf text, html;
} Section;

struct Audit {
    Arena arena;         /* owns the strings of rows */
    Buf source[SOURCES]; /* empty if it could not be read */
    Entry *entry;
    Section *section;
    int entries, sections;
    const char *about; /* NULL, or what rows are about */
};

/* ---- where a function is ---- */

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* Behind the bracket that closes the one at `s`; NULL if none does. */
static const char *behind_brackets(const char *s) {
    int depth = 0;
    for (; *s; s++) {
        depth += (*s == '(') - (*s == ')');
        if (depth == 0) return s + 1;
    }
    return NULL;
}

/* The line of a function's definition, counted from 1; 0 if it is not defined in this text. A
 * definition begins at the left margin with its return type; NAME(...) is followed by a brace. */
static long definition_line(const char *text, const char *name) {
    long line = 1;
    size_t length = strlen(name);
    for (const char *start = text; start; line++) {
        const char *end = strchr(start, '\n'), *at = is_name(*start) ? strstr(start, name) : NULL;
        if (at && at > start && (!end || at < end) && !is_name(at[-1]) && at[length] == '(') {
            const char *behind = behind_brackets(at + length);
            while (behind && isspace((unsigned char)*behind)) behind++;
            if (behind && *behind == '{') return line;
        }
        start = end ? end + 1 : NULL;
    }
    return 0;
}

static const char *where_is(Audit *a, const char *function) {
    for (int i = 0; i < SOURCES; i++) {
        long line = a->source[i].s ? definition_line(a->source[i].s, function) : 0;
        if (line) return text_new(&a->arena, "%s:%ld", SOURCE[i], line);
    }
    return NULL;
}

/* ---- collecting ---- */

Audit *audit_new(const char *root) {
    Audit *a = mem_new(1, sizeof *a);
    for (int i = 0; i < SOURCES; i++) {
        Error ignored = {0}; /* a function that is then missing fails its row */
        char *path = path_join(root, SOURCE[i]);
        file_read(path, &a->source[i], &ignored);
        free(path);
    }
    return a;
}

void audit_free(Audit *a) {
    for (int i = 0; i < SOURCES; i++) buf_free(&a->source[i]);
    for (int i = 0; i < a->sections; i++) {
        buf_free(&a->section[i].text);
        buf_free(&a->section[i].html);
    }
    free(a->section);
    free(a->entry);
    arena_free(&a->arena);
    free(a);
}

/* E2 before E10, E7a before E7b. */
static int compare_tags(const char *x, const char *y) {
    char *after_x, *after_y;
    long a = strtol(x + 1, &after_x, 10), b = strtol(y + 1, &after_y, 10);
    return a != b ? (a > b) - (a < b) : strcmp(after_x, after_y);
}

void audit_add(Audit *a, const AuditRow *row) {
    a->entry = mem_grow(a->entry, (size_t)a->entries + 1, sizeof *a->entry);
    int at = a->entries++;
    for (; at > 0 && compare_tags(a->entry[at - 1].row.tag, row->tag) > 0; at--)
        a->entry[at] = a->entry[at - 1];
    Entry *e = &a->entry[at];
    *e = (Entry){.row = *row, .where = where_is(a, row->function)};
    e->row.tag = str_copy(&a->arena, str(row->tag)).s;
    e->row.equation = str_copy(&a->arena, str(row->equation)).s;
    e->row.function = str_copy(&a->arena, str(row->function)).s;
    e->row.compared = text_new(&a->arena, "%s%s%s", a->about ? a->about : "", a->about ? ": " : "",
                               row->compared);
    e->row.reason = str_copy(&a->arena, str(row->reason)).s;
    if (row->if_true) e->row.if_true = str_copy(&a->arena, str(row->if_true)).s;
}

static Section *section_of(Audit *a, const char *heading) {
    for (int i = 0; i < a->sections; i++)
        if (strcmp(a->section[i].heading, heading) == 0) return &a->section[i];
    a->section = mem_grow(a->section, (size_t)a->sections + 1, sizeof *a->section);
    Section *s = &a->section[a->sections++];
    *s = (Section){.heading = str_copy(&a->arena, str(heading)).s};
    return s;
}

void audit_about(Audit *a, const char *what) { a->about = what; }

void audit_note(Audit *a, const char *section, const char *html_or_text_paragraph) {
    Section *s = section_of(a, section);
    if (html_or_text_paragraph[0] == '<') {
        buf_puts(&s->html, html_or_text_paragraph);
        return;
    }
    if (s->text.n) buf_putc(&s->text, '\n');
    text_wrap(&s->text, str(html_or_text_paragraph), WIDTH);
    buf_puts(&s->html, "<p>");
    html_text(&s->html, str(html_or_text_paragraph));
    buf_puts(&s->html, "</p>\n");
}

void audit_table(Audit *a, const char *section, const Table *t) {
    Section *s = section_of(a, section);
    if (s->text.n) buf_putc(&s->text, '\n');
    table_text(t, WIDTH, &s->text);
    table_html(t, &s->html);
}

void worst_add(Worst *w, double left, double right, double scale) {
    double error = fabs(left - right) / scale;
    if (w->count == 0 || (!(error <= w->error) && !isnan(w->error))) {
        w->left = left;
        w->right = right;
        w->error = error;
    }
    w->count++;
}

double worst_error(const Worst *w) { return w->count ? w->error : NAN; }

static AuditRow row_of(const Equation *e, const char *compared, const Worst *w, double tolerance,
                       const char *reason) {
    return (AuditRow){.tag = e->tag,
                      .equation = e->equation,
                      .function = e->function,
                      .compared = compared,
                      .left = w->left,
                      .right = w->right,
                      .error = worst_error(w),
                      .tolerance = tolerance,
                      .reason = reason,
                      .kind = AUDIT_EXACT};
}

void audit_worst(Audit *a, const Equation *e, const char *compared, const Worst *w,
                 double tolerance, const char *reason) {
    AuditRow row = row_of(e, compared, w, tolerance, reason);
    audit_add(a, &row);
}

void audit_refuted(Audit *a, const Equation *e, const char *compared, const Worst *w,
                   const char *if_true, const Worst *holds, double tolerance, const char *reason) {
    AuditRow row = row_of(e, compared, w, tolerance, reason);
    row.kind = AUDIT_REFUTED;
    row.if_true = if_true;
    row.error_if_true = worst_error(holds);
    audit_add(a, &row);
}

double order_of(const double *x, const double *y, int n) {
    double mx = 0, my = 0, xx = 0, xy = 0;
    for (int i = 0; i < n; i++) {
        mx += log(x[i]) / n;
        my += log(y[i]) / n;
    }
    for (int i = 0; i < n; i++) {
        xx += (log(x[i]) - mx) * (log(x[i]) - mx);
        xy += (log(x[i]) - mx) * (log(y[i]) - my);
    }
    return xy / xx;
}

/* ---- judging ---- */

static bool entry_ok(const Entry *e) {
    const AuditRow *r = &e->row;
    if (!e->where) return false;
    switch (r->kind) {
    case AUDIT_REFUTED:
        return r->error > r->tolerance && r->if_true && r->error_if_true <= r->tolerance;
    case AUDIT_MEASUREMENT: return !isnan(r->error);
    default: return r->error <= r->tolerance;
    }
}

int audit_rows(const Audit *a) { return a->entries; }

const AuditRow *audit_row(const Audit *a, int i) { return &a->entry[i].row; }

int audit_failed(const Audit *a) {
    int failed = 0;
    for (int i = 0; i < a->entries; i++) failed += !entry_ok(&a->entry[i]);
    return failed;
}

static const char *const KIND_NAMES[AUDIT_KINDS] = {
    [AUDIT_EXACT] = "exact", [AUDIT_REFUTED] = "refuted", [AUDIT_MEASUREMENT] = "measurement"};

static const char *verdict(const Entry *e) {
    if (!entry_ok(e)) return "FAILED";
    return e->row.kind == AUDIT_MEASUREMENT ? "-" : "ok";
}

static const char *place(const Entry *e) { return e->where ? e->where : "not in the sources"; }

/* ---- the printed table ---- */

/* One table whose rows stand under a line for their equation: tag, equation, place. A row takes
 * two lines: its kind, whether it is ok, what is compared; then the numbers, and the reason of
 * the tolerance. */
static void print_row(const Entry *e, FILE *to) {
    const AuditRow *r = &e->row;
    fprintf(to, "      %-11s %-6s %s\n", KIND_NAMES[r->kind], verdict(e), r->compared);
    fprintf(to, "%19s %15.8g %15.8g %8.2g ", "", r->left, r->right, r->error);
    if (r->kind == AUDIT_MEASUREMENT) fprintf(to, "%8s  %s\n", "-", r->reason);
    else fprintf(to, "%8.2g  %s\n", r->tolerance, r->reason);
    if (r->if_true)
        fprintf(to, "%19s %31s %8.2g           where it is true: %s\n", "", "", r->error_if_true,
                r->if_true);
}

void audit_print(const Audit *a, FILE *to) {
    fprintf(to, "tag   equation; file:line and name of the function that is it\n");
    fprintf(to, "      %-11s %-6s %s\n", "kind", "ok", "compared");
    fprintf(to, "%19s %15s %15s %8s %8s  %s\n\n", "", "left side", "right side", "error", "at most",
            "the tolerance's reason");
    for (int i = 0; i < a->entries; i++) {
        const Entry *e = &a->entry[i], *last = i ? e - 1 : NULL;
        bool same_equation = last && strcmp(last->row.tag, e->row.tag) == 0 &&
                             strcmp(last->row.equation, e->row.equation) == 0 &&
                             strcmp(last->row.function, e->row.function) == 0;
        if (!same_equation)
            fprintf(to, "%-5s %s\n      %s %s\n", e->row.tag, e->row.equation, place(e),
                    e->row.function);
        print_row(e, to);
    }
    for (int i = 0; i < a->sections; i++)
        fprintf(to, "\n== %s ==\n%s", a->section[i].heading,
                a->section[i].text.n ? a->section[i].text.s : "");
    int of_kind[AUDIT_KINDS] = {0};
    for (int i = 0; i < a->entries; i++) of_kind[a->entry[i].row.kind]++;
    fprintf(to, "\n%d rows: %d exact, %d refuted, %d measurements; %d failed\n", a->entries,
            of_kind[AUDIT_EXACT], of_kind[AUDIT_REFUTED], of_kind[AUDIT_MEASUREMENT],
            audit_failed(a));
}

/* ---- files ---- */

static void put_member(Buf *b, const char *key, const char *text) {
    buf_printf(b, "\"%s\":", key);
    json_put_string(b, str(text));
    buf_putc(b, ',');
}

static void put_number(Buf *b, const char *key, double x) {
    buf_printf(b, "\"%s\":", key);
    json_put_number(b, x);
    buf_putc(b, ',');
}

void audit_json(const Audit *a, Buf *json) {
    buf_puts(json, "[");
    for (int i = 0; i < a->entries; i++) {
        const Entry *e = &a->entry[i];
        buf_puts(json, i ? ",\n{" : "\n{");
        put_member(json, "tag", e->row.tag);
        put_member(json, "equation", e->row.equation);
        put_member(json, "where", place(e));
        put_member(json, "compared", e->row.compared);
        put_number(json, "left", e->row.left);
        put_number(json, "right", e->row.right);
        put_number(json, "error", e->row.error);
        put_number(json, "tolerance", e->row.tolerance);
        put_member(json, "kind", KIND_NAMES[e->row.kind]);
        put_number(json, "error_if_true", e->row.if_true ? e->row.error_if_true : NAN);
        bool judged = e->row.kind != AUDIT_MEASUREMENT || !entry_ok(e);
        buf_printf(json, "\"ok\":%s}", !judged ? "null" : entry_ok(e) ? "true" : "false");
    }
    buf_puts(json, "\n]\n");
}

/* Cells of words wrap, cells of numbers (and the last, which would be wide) do not: lib/html.c's
 * style for a table of texts. */
static void put_cell(Buf *html, bool number, const char *format, ...) PRINTF_LIKE(3, 4);
static void put_cell(Buf *html, bool number, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    buf_puts(html, number ? "<td class=\"number\">" : "<td>");
    html_text(html, str(text));
    buf_puts(html, "</td>");
}

static void equations_table(const Audit *a, Buf *html) {
    static const char *const heads[] = {"tag",        "equation",   "where",         "compared",
                                        "left side",  "right side", "error",         "tolerance",
                                        "its reason", "kind",       "error if true", "ok"};
    buf_puts(html, "<div class=\"scroll\" tabindex=\"0\"><table class=\"words\">\n<thead><tr>");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        buf_printf(html, "<th scope=\"col\">%s</th>", heads[i]);
    buf_puts(html, "</tr></thead><tbody>\n");
    for (int i = 0; i < a->entries; i++) {
        const Entry *e = &a->entry[i];
        buf_printf(html, "<tr><th scope=\"row\">%s</th>", e->row.tag);
        put_cell(html, false, "%s", e->row.equation);
        put_cell(html, false, "%s %s", place(e), e->row.function);
        put_cell(html, false, "%s", e->row.compared);
        put_cell(html, true, "%.8g", e->row.left);
        put_cell(html, true, "%.8g", e->row.right);
        put_cell(html, true, "%.2g", e->row.error);
        if (e->row.kind == AUDIT_MEASUREMENT) put_cell(html, true, "-");
        else put_cell(html, true, "%.2g", e->row.tolerance);
        put_cell(html, false, "%s", e->row.reason);
        put_cell(html, true, "%s", KIND_NAMES[e->row.kind]);
        if (e->row.if_true) put_cell(html, false, "%.2g, %s", e->row.error_if_true, e->row.if_true);
        else put_cell(html, true, "-");
        put_cell(html, true, "%s", verdict(e));
        buf_puts(html, "</tr>\n");
    }
    buf_puts(html, "</tbody></table></div>\n");
}

void audit_html(const Audit *a, Buf *html) {
    Page page = {0};
    Arena arena = {0};
    page_section(&page, "Equations");
    page_paragraph(&page,
                   "Exact: the two sides are equal but for rounding. Refuted: a claim that does "
                   "not hold. Its error must exceed the tolerance, and the same comparison must "
                   "stay within it where the claim is true. Measurement: a number without a "
                   "verdict, because no bound follows from anything.");
    equations_table(a, &page.body);
    for (int i = 0; i < a->sections; i++) {
        page_section(&page, a->section[i].heading);
        buf_put(&page.body, a->section[i].html.s, a->section[i].html.n);
    }
    page_finish(&page, "The audit",
                text_new(&arena, "%d rows, %d failed", a->entries, audit_failed(a)), html);
    arena_free(&arena);
}

bool audit_write(const Audit *a, const char *folder, Error *err) {
    Buf json = {0}, html = {0};
    char *json_path = path_join(folder, "audit.json"), *html_path = path_join(folder, "audit.html");
    audit_json(a, &json);
    audit_html(a, &html);
    bool ok = folder_make(folder, err) && file_write(json_path, json.s, json.n, err) &&
              file_write(html_path, html.s, html.n, err);
    buf_free(&json);
    buf_free(&html);
    free(json_path);
    free(html_path);
    return ok;
}
