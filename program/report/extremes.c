#include "program/report/extremes.h"

#include "program/report/gain.h"
#include "program/report/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CLIP = 300,     /* bytes of a text on a card */
    TOKENS = 40,    /* tokens of a strip */
    KINDS = 8,      /* kinds that get cards */
    MANY_KINDS = 3, /* from so many on, each gets one card an end */
    CARDS = 3       /* else so many */
};

const char *kind_name(bool pairs, bool clean) {
    if (pairs) return clean ? "unflipped" : "flipped";
    return clean ? "clean" : "corrupted";
}

/* What all cards of the section need. */
typedef struct {
    Report *r;
    const ScoreSet *set;
    const JsonLines *rows;
    const Dataset *pool, *holdout; /* the holdout may be empty */
    Gains *gains;                  /* NULL: no strips */
    bool pairs, more;              /* more: there are kinds without cards */
    int strips;                    /* answers whose strip is shown */
    int unlike, unfit; /* and not: its sums are not those of the file; its row cannot be made */
} Cards;

/* ---- one card ---- */

static Str record_prompt(const Record *rec) {
    if (rec->kind == RECORD_PAIR) return rec->prompt;
    if (rec->kind == RECORD_TURNS) return rec->turns[rec->n_turns - 1].prompt;
    return (Str){"", 0};
}

static Str record_answer(const Record *rec) {
    if (rec->kind == RECORD_PAIR) return rec->chosen;
    if (rec->kind == RECORD_TURNS) return rec->turns[rec->n_turns - 1].completion;
    if (rec->kind == RECORD_TEXT) return rec->text;
    return (Str){"", 0};
}

/* Prompt and answer of a demonstration if the holdout is still there and one record of it has the
 * id, else the id. */
static void put_demo(Buf *b, const Dataset *holdout, Str id) {
    int found = records_find(holdout, id);
    const Record *rec = found < 0 ? NULL : &holdout->records[found];
    if (!rec || (rec->kind != RECORD_PAIR && rec->kind != RECORD_TURNS)) {
        html_clip(b, id, CLIP);
        return;
    }
    html_clip(b, record_prompt(rec), CLIP);
    buf_puts(b, " \xe2\x86\x92 ");
    html_clip(b, record_answer(rec), CLIP);
}

static void put_demos(Buf *b, const Cards *c, const Json *demos) {
    int shown = 0;
    for (int i = 0; demos && demos->type == JSON_ARRAY && i < demos->count; i++) {
        if (demos->items[i].type != JSON_STRING && demos->items[i].type != JSON_NUMBER) continue;
        buf_puts(b, shown++ ? " <b>\xc2\xb7</b> " : "<p class=\"soft\">read before: ");
        put_demo(b, c->holdout, demos->items[i].string);
    }
    if (shown) buf_puts(b, "</p>");
}

/* One token, the darker the more it gains or loses: from 0.1, 0.7 and 2 nats on. */
static void put_token(Buf *b, Str text, double gain) {
    double size = fabs(gain);
    int level = size >= 2 ? 3 : size >= 0.7 ? 2 : size >= 0.1 ? 1 : 0;
    buf_puts(b, "<span class=\"tok");
    if (level) buf_printf(b, " %s%d", gain > 0 ? "up" : "down", level);
    buf_puts(b, "\">");
    html_text(b, text);
    if (size < 0.05) buf_puts(b, "<small>0</small></span>");
    else buf_printf(b, "<small>%+.1f</small></span>", gain);
}

static void put_strip(Buf *b, const TokenGains *t) {
    int shown = t->n < TOKENS ? t->n : TOKENS;
    double rest = 0;
    buf_puts(b, "<p class=\"strip\">");
    for (int i = 0; i < shown; i++) put_token(b, t->text[i], t->gain[i]);
    for (int i = shown; i < t->n; i++) rest += t->gain[i];
    if (shown < t->n)
        buf_printf(b, "<span class=\"tok\">\xe2\x80\xa6 %d more<small>%+.1f</small></span>",
                   t->n - shown, rest);
    buf_puts(b, "</p>");
}

/* Are the sums those that the file has, up to single precision on another machine? */
static bool sums_are(const Json *row, bool pairs, bool rejected, const TokenGains *t) {
    double alone = json_number(row, !pairs     ? "logp"
                                    : rejected ? "logp_rejected"
                                               : "logp_chosen"),
           context = json_number(row, !pairs     ? "logp_in_context"
                                      : rejected ? "logp_rejected_in_context"
                                                 : "logp_chosen_in_context");
    double most = 1e-3 * (1 + fabs(alone) + fabs(context));
    return fabs(alone - t->alone) <= most && fabs(context - t->in_context) <= most;
}

/* The answer as a strip. False if there is no model, or it does not give the file's numbers. */
static bool put_gains(Buf *b, Cards *c, int i, bool rejected) {
    const Json *row = c->rows->v[i], *demos = json_get(row, "demos");
    int n = demos && demos->type == JSON_ARRAY ? demos->count : 0;
    if (!c->gains || n == 0) return false;
    Arena arena = {0};
    TokenGains t;
    int *shown = arena_new(&arena, (size_t)n, sizeof *shown);
    int record = c->set->left_out ? gains_record(c->gains, c->pool->records[i].id) : i;
    bool ok = record >= 0;
    for (int k = 0; k < n; k++) {
        shown[k] = gains_demo(c->gains, demos->items[k].string);
        ok = ok && shown[k] >= 0;
    }
    ok = ok && gains_of(c->gains, record, rejected, shown, n, &arena, &t);
    bool like = ok && sums_are(row, c->pairs, rejected, &t);
    if (like) put_strip(b, &t);
    c->strips += like, c->unfit += !ok, c->unlike += ok && !like;
    arena_free(&arena);
    return like;
}

static void put_answer(Buf *b, Cards *c, int i, bool rejected, Str text) {
    if (put_gains(b, c, i, rejected)) return;
    buf_puts(b, "<p><b>");
    html_clip(b, text, CLIP);
    buf_puts(b, "</b></p>");
}

/* What the model reads of the record before its last prompt. */
static void put_before(Buf *b, const Record *rec) {
    int earlier = rec->kind == RECORD_TURNS  ? rec->n_turns - 1
                  : rec->kind == RECORD_PAIR ? rec->n_turns
                                             : 0;
    if (rec->system.n) {
        buf_puts(b, "<p class=\"soft\">system: ");
        html_clip(b, rec->system, CLIP);
        buf_puts(b, "</p>");
    }
    if (earlier > 0)
        buf_printf(b, "<p class=\"soft\">after %d earlier turn%s</p>", earlier, plural(earlier));
}

static void put_card(Buf *b, Cards *c, int i, const char *which, const char *kind) {
    const Json *row = c->rows->v[i];
    const Record *rec = c->pool->count ? &c->pool->records[i] : NULL;
    const Json *id = json_get(row, "id");
    buf_printf(b, "<article><p><b>%+.3f</b> %s", c->set->score[i], which);
    if (*kind) {
        buf_puts(b, " of ");
        html_clip(b, str(kind), CLIP);
    }
    buf_puts(b, " <span class=\"soft\">");
    if (rec && rec->clean >= 0) buf_printf(b, "%s, ", kind_name(c->pairs, rec->clean == 1));
    if (id) html_clip(b, id->string, CLIP); /* a file by hand may lack it */
    buf_puts(b, "</span></p>");
    if (rec) {
        put_before(b, rec);
        buf_puts(b, "<p>");
        html_clip(b, record_prompt(rec), CLIP);
        if (rec->kind == RECORD_IDS) html_printf(b, "%d token ids", rec->n_ids);
        buf_puts(b, "</p>");
        put_answer(b, c, i, false, record_answer(rec));
        if (rec->kind == RECORD_PAIR && c->pairs) {
            buf_puts(b, "<p class=\"soft\">rejected:</p>");
            put_answer(b, c, i, true, rec->rejected);
        }
        put_demos(b, c, json_get(row, "demos"));
    }
    buf_puts(b, "</article>\n");
}

/* ---- which records ---- */

/* The kind of a record: who wrote it, else what is known of it, else nothing. */
static const char *record_kind(const Cards *c, int i, Arena *arena) {
    if (!c->pool->count) return "";
    const Record *rec = &c->pool->records[i];
    if (rec->source.n) return str_copy(arena, rec->source).s;
    return rec->clean < 0 ? "" : kind_name(c->pairs, rec->clean == 1);
}

typedef struct {
    double score;
    int index;
} Place;

/* The larger score first, then the earlier record. */
static int by_place(const void *a, const void *b) {
    const Place *p = a, *q = b;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return p->index - q->index;
}

static bool same_text(const Cards *c, int i, int j) {
    if (!c->pool->count) return false;
    const Record *p = &c->pool->records[i], *q = &c->pool->records[j];
    return record_prompt(p).n && str_equal(record_prompt(p), record_prompt(q)) &&
           str_equal(record_answer(p), record_answer(q));
}

/* Cards of `count` distinct records from one end of place[n], whose first one is `from`. */
static int put_end(Buf *b, Cards *c, const Place *place, int n, bool high, int count,
                   const char *kind) {
    int shown[CARDS], done = 0;
    for (int k = 0; k < n && done < count; k++) {
        int i = place[high ? k : n - 1 - k].index;
        bool again = false;
        for (int j = 0; j < done; j++) again = again || same_text(c, i, shown[j]);
        if (again) continue;
        shown[done++] = i;
        put_card(b, c, i, high ? "highest" : "lowest", kind);
    }
    return done;
}

/* The two ends of each kind. Of a kind with one record the lowest is the highest. */
static void put_kinds(Page *p, Cards *c) {
    Arena arena = {0};
    Names kinds = {0};
    int n = c->set->n;
    const char **kind = arena_new(&arena, (size_t)n + 1, sizeof *kind);
    Place *place = arena_new(&arena, (size_t)n + 1, sizeof *place);
    for (int i = 0; i < n; i++) {
        kind[i] = record_kind(c, i, &arena);
        if (isfinite(c->set->score[i]) && kinds.n <= KINDS) names_add(&arena, &kinds, kind[i]);
    }
    c->more = kinds.n > KINDS;
    if (c->more) kinds.n = KINDS;
    names_sort(&kinds, order_kinds);
    int count = kinds.n >= MANY_KINDS ? 1 : CARDS;
    buf_puts(&p->body, "<div class=\"grid cards\">\n");
    for (int k = 0; k < kinds.n; k++) {
        int m = 0;
        for (int i = 0; i < n; i++)
            if (isfinite(c->set->score[i]) && strcmp(kind[i], kinds.v[k]) == 0)
                place[m++] = (Place){c->set->score[i], i};
        qsort(place, (size_t)m, sizeof *place, by_place);
        int most = (m + 1) / 2 < count ? (m + 1) / 2 : count;
        put_end(&p->body, c, place, m, true, most, kinds.v[k]);
        put_end(&p->body, c, place, m, false, m / 2 < count ? m / 2 : count, kinds.v[k]);
    }
    page_grid_end(p);
    arena_free(&arena);
}

/* ---- the section ---- */

static const ScoreSet *set_chosen(const Report *r) {
    const ScoreSet *first = NULL;
    for (int i = 0; i < r->n_sets; i++) {
        const ScoreSet *s = &r->sets[i];
        if (!s->ready || s->n == 0) continue;
        if (strcmp(s->method, "ica") == 0) return s;
        if (!first) first = s;
    }
    return first && first->from_file ? first : NULL;
}

/* Says why there are no strips, or what they are. */
static void put_legend(Page *p, const Cards *c) {
    if (c->strips)
        page_paragraph(p,
                       "Below each token of an answer is its gain in nats: log p(token) after the "
                       "demonstrations minus log p(token) alone. Blue gains, orange loses. The "
                       "score is their mean over the answer, or with --reduce sum their sum.");
    int without = c->unlike + c->unfit;
    if (without)
        NOTE(c->r,
             "%d answer%s without the tokens' gain: the numbers of --model %s are not those of "
             "the score file, or the row does not fit.",
             without, plural(without), c->r->model);
}

/* The files that the strips are made of. What the user says comes before what run.json says. */
static GainFiles gain_files(const Report *r, const ScoreSet *s, bool pairs) {
    int as = r->text.demos_as >= 0 ? r->text.demos_as : s->text.demos_as;
    return (GainFiles){.model = r->model,
                       .pool = s->pool,
                       .holdout = s->holdout,
                       .template = r->text.template ? r->text.template : s->text.template,
                       .demos_as = as >= 0 ? (DemosAs)as : DEMOS_AS_TURNS,
                       .pairs = pairs};
}

/* A model that gives none of the file's numbers has not made them, or not from this text. */
static bool check_made(const Cards *c, const GainFiles *made, Error *err) {
    if (c->strips || c->unfit || !c->unlike) return true;
    return error_set(err, STATUS_DATA,
                     "%s: --model %s with %s%s and --demos-as %s gives other log-likelihoods; name "
                     "the model, the --template and the --demos-as that the scores were made with",
                     c->set->scores, made->model, made->template ? "--template " : "its template",
                     made->template ? made->template : "", DEMOS_AS[made->demos_as].name);
}

static void put_section(Page *p, Cards *c) {
    const ScoreSet *s = c->set;
    Page cards = {0};
    put_kinds(&cards, c);
    page_section(p, "Highest and lowest scores");
    const char *name = strcmp(s->method, "ica") == 0 ? "ICA" : s->method;
    page_paragraph(p,
                   "%s%s%s, %s. A record scores high if the demonstrations make its answer more "
                   "probable.",
                   name, s->from_file ? "" : ": ", s->from_file ? "" : s->group, s->when);
    if (c->more) page_paragraph(p, "The first %d kinds of the pool are shown.", KINDS);
    put_legend(p, c);
    buf_put(&p->body, cards.body.s, cards.body.n);
    buf_free(&cards.body);
}

bool put_extremes(Page *p, Report *r, Error *err) {
    const ScoreSet *s = set_chosen(r);
    if (!s) return true;
    Arena scratch = {0};
    JsonLines rows;
    Dataset pool, holdout = {0};
    Error gone = {0};
    if (set_open(r, s, &scratch, &rows, &pool, err)) {
        bool demos = s->holdout && data_load(&holdout, s->holdout, &gone);
        Cards c = {.r = r, .set = s, .rows = &rows, .pool = &pool, .holdout = &holdout};
        c.pairs = objective_pairs(s->objective);
        if (!demos && pool.count)
            NOTE(r, "The demonstrations of the examples are shown by id (%s).",
                 s->holdout ? gone.text : "no holdout path");
        /* What the user named must be readable. What a file names may be gone. */
        if (s->from_file && s->holdout && !demos) *err = gone;
        GainFiles made = gain_files(r, s, c.pairs);
        if (r->model && demos && pool.count) c.gains = gains_open(&made, err);
        if (err->status == 0) put_section(p, &c);
        if (err->status == 0) check_made(&c, &made, err);
        gains_close(c.gains);
        records_free(&holdout);
        records_free(&pool);
    }
    arena_free(&scratch);
    return err->status == 0;
}
