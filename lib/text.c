#define _POSIX_C_SOURCE 200809L
#include "lib/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/nfc.h"
#include "lib/unicode.h"

/* ---- strings and lines ---- */

Str text_format(Arena *arena, const char *format, va_list args) {
    va_list copy;
    va_copy(copy, args);
    int n = vsnprintf(NULL, 0, format, copy);
    va_end(copy);
    size_t size = n < 0 ? 1 : (size_t)n + 1;
    char *text = arena_new(arena, size, 1);
    vsnprintf(text, size, format, args);
    return (Str){text, size - 1};
}

const char *text_new(Arena *arena, const char *format, ...) {
    va_list args;
    va_start(args, format);
    Str text = text_format(arena, format, args);
    va_end(args);
    return text.s;
}

bool text_line(Str text, size_t *at, Str *line) {
    if (*at >= text.n) return false;
    const char *start = text.s + *at, *end = memchr(start, '\n', text.n - *at);
    line->s = start;
    line->n = end ? (size_t)(end - start) : text.n - *at;
    *at += line->n + 1;
    return true;
}

static bool is_blank(Str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(" \t\r", s.s[i], 3)) return false;
    return true;
}

bool text_line_full(Str text, size_t *at, Str *line, int *number) {
    bool found;
    do {
        found = text_line(text, at, line);
        *number += found;
    } while (found && is_blank(*line));
    return found;
}

void text_show(Buf *b, Str text, const char *keep) {
    char shown[UNICODE_SHOWN_MOST];
    int length;
    for (size_t i = 0; i < text.n;) {
        if (text.s[i] && strchr(keep, text.s[i])) {
            buf_putc(b, text.s[i++]);
            continue;
        }
        i += unicode_show(text.s + i, text.n - i, shown, &length);
        buf_put(b, shown, (size_t)length);
    }
}

bool text_print(const char *text, size_t n, Error *err) {
    Buf shown = {0};
    if (isatty(STDOUT_FILENO)) text_show(&shown, (Str){text, n}, "\n\t");
    else buf_put(&shown, text, n);
    bool ok = file_print(shown.s, shown.n, err);
    buf_free(&shown);
    return ok;
}

/* Characters that nothing shows: soft hyphen, joiners, marks of direction, variation selectors,
 * byte-order mark. */
static bool is_unseen(uint32_t c) {
    return c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
           (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff;
}

/* The character as it counts: small, in its usual width, and sigma as inside of a word. */
static uint32_t fold_character(uint32_t c) {
    if (c >= 0xff01 && c <= 0xff5e) c -= 0xfee0;
    c = unicode_lower(c);
    return c == 0x3c2 ? 0x3c3 : c;
}

/* Appends the text in form C, each character folded and without those that are not seen. */
static void put_folded(Buf *b, Str text) {
    Buf composed = {0};
    if (!nfc_is(text.s, text.n)) {
        nfc_put(&composed, text.s, text.n);
        text = (Str){composed.s, composed.n};
    }
    for (size_t i = 0; i < text.n;) {
        uint32_t c = (unsigned char)text.s[i];
        char small[4];
        int n = unicode_decode(text.s + i, text.n - i, &c);
        i += n > 0 ? (size_t)n : 1;
        if (!is_unseen(c)) buf_put(b, small, (size_t)unicode_encode(small, fold_character(c)));
    }
    buf_free(&composed);
}

void text_fold(Buf *b, Str text) {
    size_t from = b->n;
    bool blank = false; /* white space waits for a character after it */
    Buf folded = {0}, composed = {0};
    put_folded(&folded, text);
    /* A small letter may be one with its mark where the capital is none. */
    bool whole = nfc_is(folded.s, folded.n);
    if (!whole) nfc_put(&composed, folded.s, folded.n);
    const Buf *all = whole ? &folded : &composed;
    for (size_t i = 0; i < all->n;) {
        uint32_t c = ' ';
        size_t n = (size_t)unicode_decode(all->s + i, all->n - i, &c);
        bool space = unicode_class(c) == UNICODE_SPACE;
        if (!space && blank && b->n > from) buf_putc(b, ' ');
        if (!space) buf_put(b, all->s + i, n);
        blank = space;
        i += n;
    }
    buf_free(&folded);
    buf_free(&composed);
}

/* The columns of a text on a terminal, one for each character. */
static int text_width(Str s) {
    int width = 0;
    for (size_t i = 0; i < s.n; i++) width += ((unsigned char)s.s[i] & 0xc0) != 0x80;
    return width;
}

void text_wrap(Buf *b, Str text, int width) {
    size_t at = 0;
    Str line;
    while (text_line(text, &at, &line)) {
        int column = 0;
        for (size_t i = 0; i < line.n;) {
            const char *blank = memchr(line.s + i, ' ', line.n - i);
            Str word = {line.s + i, blank ? (size_t)(blank - line.s) - i : line.n - i};
            int wide = text_width(word);
            bool breaks = column > 0 && column + 1 + wide > width;
            buf_puts(b, breaks ? "\n  " : column ? " " : "");
            buf_put(b, word.s, word.n);
            column = (breaks ? 2 : column ? column + 1 : 0) + wide;
            i += word.n + 1;
        }
        buf_putc(b, '\n');
    }
}

void names_add(Arena *arena, Names *names, const char *name) {
    for (int i = 0; i < names->n; i++)
        if (strcmp(names->v[i], name) == 0) return;
    if (names->n == names->capacity) {
        const char **old = names->v;
        names->capacity = names->capacity ? 2 * names->capacity : 16;
        names->v = arena_new(arena, (size_t)names->capacity, sizeof *names->v);
        if (names->n) memcpy(names->v, old, (size_t)names->n * sizeof *old);
    }
    names->v[names->n++] = name;
}

void names_sort(Names *names, int (*compare)(const void *, const void *)) {
    if (names->n) qsort(names->v, (size_t)names->n, sizeof *names->v, compare);
}

/* ---- tables ---- */

static void add_cell(Table *t, Str s) {
    Buf shown = {0};
    text_show(&shown, s, "");
    if (t->cells == t->capacity) {
        t->capacity = t->capacity ? 2 * t->capacity : 64;
        t->cell = mem_grow(t->cell, (size_t)t->capacity, sizeof *t->cell);
    }
    t->cell[t->cells++] = str_copy(&t->arena, (Str){shown.s, shown.n});
    buf_free(&shown);
}

void table_head(Table *t, const char *name) {
    add_cell(t, str(name));
    t->columns++;
}

void table_put(Table *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_cell(t, text_format(&t->arena, format, args));
    va_end(args);
}

void table_mean(Table *t, double mean, double sd, int decimals, double scale) {
    if (!isfinite(mean)) table_put(t, "-");
    else if (isfinite(sd))
        table_put(t, "%.*f\xc2\xb1%.*f", decimals, mean * scale, decimals, sd * scale);
    else table_put(t, "%.*f", decimals, mean * scale);
}

void table_drop_empty(Table *t) {
    int columns = 0, cells = 0;
    if (t->cells <= t->columns) return;
    bool *kept = mem_new((size_t)t->columns + 1, sizeof *kept);
    for (int i = 0; i < t->cells; i++) {
        bool head = i < t->columns, first = i % t->columns == 0;
        if (first || (!head && !str_is(t->cell[i], "-"))) kept[i % t->columns] = true;
    }
    for (int i = 0; i < t->cells; i++)
        if (kept[i % t->columns]) t->cell[cells++] = t->cell[i];
    for (int i = 0; i < t->columns; i++) columns += kept[i];
    t->columns = columns, t->cells = cells;
    free(kept);
}

void table_text(const Table *t, int width, Buf *b) {
    int *widths = mem_new((size_t)t->columns + 1, sizeof *widths);
    Buf remarks = {0};
    text_show(&remarks, (Str){t->remarks.s, t->remarks.n}, "\n");
    text_show(&remarks, (Str){t->more.s, t->more.n}, "\n");
    if (t->title) {
        text_show(b, str(t->title), "");
        buf_putc(b, '\n');
    }
    for (int i = 0; i < t->cells; i++) {
        int w = text_width(t->cell[i]);
        if (w > widths[i % t->columns]) widths[i % t->columns] = w;
    }
    for (int i = 0; i < t->cells; i++) {
        int column = i % t->columns, pad = widths[column] - text_width(t->cell[i]);
        bool last = column == t->columns - 1 || i == t->cells - 1;
        if (column > 0) buf_printf(b, "  %*s", pad, "");
        buf_put(b, t->cell[i].s, t->cell[i].n);
        if (column == 0 && !last) buf_printf(b, "%*s", pad, "");
        if (last) buf_putc(b, '\n');
    }
    text_wrap(b, (Str){remarks.s, remarks.n}, width);
    buf_free(&remarks);
    free(widths);
}

void table_free(Table *t) {
    arena_free(&t->arena);
    buf_free(&t->remarks);
    buf_free(&t->more);
    free(t->cell);
    *t = (Table){0};
}
