/* The page in its order: results, pretraining, answers with demonstrations, loss curves, scores,
 * weights over the steps, best and worst examples, margins of pairs, cost, settings, notes. A
 * section without data is left out. */
#define _POSIX_C_SOURCE 200809L
#include "program/report/page.h"

#include "lib/charts.h"
#include "lib/file.h"
#include "lib/html.h"
#include "lib/stats.h"
#include "program/report/numbers.h"
#include "program/report/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds a table and frees it. */
static void page_table(Page *p, Table t) {
    table_html(&t, &p->body);
    table_free(&t);
}

/* ---- scores ---- */

/* What records are called: [pairs][clean]. */
static const char *const KIND_NAMES[2][2] = {{"corrupted", "clean"}, {"flipped", "unflipped"}};

static bool set_pairs(const ScoreSet *s) { return objective_pairs(s->objective); }

/* The scores of one set, good and bad records apart where the truth is known. */
static void put_score_histogram(Page *p, Report *r, const ScoreSet *s) {
    double *split[2];
    int n[2] = {0};
    for (int k = 0; k < 2; k++) split[k] = arena_new(&r->arena, (size_t)s->n + 1, sizeof(double));
    for (int i = 0; i < s->n; i++) {
        int kind = s->truth && !s->clean[i];
        split[kind][n[kind]++] = s->score[i];
    }
    const char *const *names = KIND_NAMES[set_pairs(s)];
    Sample samples[2] = {{names[1], 1, n[0], split[0]}, {names[0], 2, n[1], split[1]}};
    Chart c = {.title = text_new(&r->arena, "%s, %s", s->method, s->when),
               .x_label = "score",
               .y_label = "records",
               .small = true,
               .about = "Histogram of the scores, by kind where the truth is known."};
    chart_histogram(&p->body, &c, samples, s->truth ? 2 : 1, 30);
}

/* The ROC curves of n score sets of one group. */
static void put_roc(Page *p, Report *r, const ScoreSet *s, int n) {
    Series *curves = arena_new(&r->arena, (size_t)n + 1, sizeof *curves);
    static const double corner[2] = {0, 1};
    int count = 0;
    for (int i = 0; i < n; i++) {
        if (!s[i].ready || !s[i].truth) continue;
        size_t most = (size_t)s[i].n + 1;
        double area, *x = arena_new(&r->arena, most, sizeof *x),
                     *y = arena_new(&r->arena, most, sizeof *y);
        int points = roc_curve(s[i].score, s[i].clean, s[i].n, x, y, &area);
        const char *name = text_new(&r->arena, "%s %.3f", s[i].method, area);
        curves[count] =
            (Series){name, count % (TONE_COUNT - 1) + 1, count >= TONE_COUNT - 1, points, x, y};
        count++;
    }
    if (count) {
        curves[count] = (Series){"chance 0.500", TONE_GREY, true, 2, corner, corner};
        Chart c = {
            .title = text_new(&r->arena, "ROC on %s, %s: area beside the name", s->group, s->when),
            .x_label = set_pairs(s) ? "flipped pairs let through" : "corrupted records let through",
            .y_label = set_pairs(s) ? "unflipped pairs kept" : "clean records kept",
            .about = "Share of good records above a threshold of the score against the share of "
                     "bad ones."};
        chart_lines(&p->body, &c, curves, count + 1);
    }
}

/* Reads all score sets, then adds histograms and ROC curves, group by group. */
static bool put_scores(Page *p, Report *r, ScoreSets *sets, Error *err) {
    bool any = false;
    for (int i = 0; i < sets->n; i++) {
        if (!set_read(r, &sets->v[i], err)) return false;
        any = any || sets->v[i].ready;
    }
    if (!any) return true;
    page_section(p, "Scores");
    for (int i = 0, j; i < sets->n; i = j) {
        /* Find the sets i to j - 1 of one group. */
        const ScoreSet *first = &sets->v[i];
        int ready = 0;
        for (j = i; j < sets->n && strcmp(sets->v[j].group, first->group) == 0 &&
                    objective_rank(sets->v[j].objective) == objective_rank(first->objective);
             j++)
            ready += sets->v[j].ready;
        if (ready == 0) continue;
        page_heading(p, "%s on %s", objective_title(first->objective), first->group);
        page_grid(p);
        for (int k = i; k < j; k++)
            if (sets->v[k].ready) put_score_histogram(p, r, &sets->v[k]);
        page_grid_end(p);
        put_roc(p, r, first, j - i);
    }
    return true;
}

/* ---- examples ---- */

enum { EXAMPLES = 10, CLIP = 600 };

/* The cells of a record: its prompt, then its answer or its two answers. */
static void put_record_cells(Buf *b, const Record *rec) {
    buf_puts(b, "<td>");
    for (int i = 0; rec->kind == RECORD_TURNS && i < rec->n_turns; i++) {
        if (i) buf_putc(b, '\n');
        html_clip(b, rec->turns[i].prompt, CLIP);
    }
    if (rec->kind == RECORD_PAIR) html_clip(b, rec->prompt, CLIP);
    buf_puts(b, "</td><td>");
    for (int i = 0; rec->kind == RECORD_TURNS && i < rec->n_turns; i++) {
        if (i) buf_putc(b, '\n');
        html_clip(b, rec->turns[i].completion, CLIP);
    }
    if (rec->kind == RECORD_PAIR) html_clip(b, rec->chosen, CLIP);
    if (rec->kind == RECORD_TEXT) html_clip(b, rec->text, CLIP);
    if (rec->kind == RECORD_IDS) html_printf(b, "%d token ids", rec->n_ids);
    if (rec->kind == RECORD_PAIR) {
        buf_puts(b, "</td><td>");
        html_clip(b, rec->rejected, CLIP);
    }
    buf_puts(b, "</td>");
}

/* One demonstration: prompt and answer if the holdout is still there, else its id. */
static void put_demo(Buf *b, const Dataset *holdout, Str id) {
    const Record *rec = NULL;
    for (int i = 0; holdout && !rec && i < holdout->count; i++)
        if (str_equal(holdout->records[i].id, id)) rec = &holdout->records[i];
    buf_puts(b, "<li>");
    if (!rec) html_clip(b, id, CLIP);
    else if (rec->kind == RECORD_PAIR) html_clip(b, rec->prompt, CLIP);
    else if (rec->kind == RECORD_TURNS) html_clip(b, rec->turns[0].prompt, CLIP);
    if (rec && (rec->kind == RECORD_PAIR || rec->kind == RECORD_TURNS)) {
        buf_puts(b, " \xe2\x86\x92 ");
        html_clip(b, rec->kind == RECORD_PAIR ? rec->chosen : rec->turns[0].completion, CLIP);
    } else if (rec) html_printf(b, "record %.*s", STR_ARG(id));
    buf_puts(b, "</li>");
}

static const char *const LOGP_KEYS[2][4] = {
    {"logp", "logp_in_context", NULL, NULL},
    {"logp_chosen", "logp_chosen_in_context", "logp_rejected", "logp_rejected_in_context"}};
static const char *const LOGP_NAMES[2][4] = {
    {"log p", "in context", NULL, NULL},
    {"log p chosen", "in context", "log p rejected", "in context"}};

/* One row of the table of examples. */
static void put_example(Buf *b, const Json *row, const Record *rec, const Dataset *holdout,
                        bool pairs) {
    const char *truth = rec->clean < 0 ? "" : KIND_NAMES[pairs][rec->clean];
    buf_printf(b, "<tr><th scope=\"row\">%.3f</th>", json_number(row, "score"));
    for (int i = 0; i < 4 && LOGP_KEYS[pairs][i]; i++) {
        double v = json_number(row, LOGP_KEYS[pairs][i]);
        if (isfinite(v)) buf_printf(b, "<td class=\"number\">%.3f</td>", v);
        else buf_puts(b, "<td class=\"number\">-</td>");
    }
    buf_printf(b, "<td class=\"number\">%s%s", truth, rec->source.n && *truth ? "<br>" : "");
    html_clip(b, rec->source, CLIP);
    buf_puts(b, "</td>");
    put_record_cells(b, rec);
    buf_puts(b, "<td><ul class=\"plain\">");
    const Json *demos = json_get(row, "demos");
    for (int i = 0; demos && demos->type == JSON_ARRAY && i < demos->count; i++)
        if (demos->items[i].type == JSON_STRING || demos->items[i].type == JSON_NUMBER)
            put_demo(b, holdout, demos->items[i].string);
    buf_puts(b, "</ul></td></tr>\n");
}

/* The n records order[i] of the pool, with their lines of scores.jsonl. */
static void put_examples_table(Buf *b, const JsonLines *rows, const int *order, int n,
                               const Dataset *pool, const Dataset *holdout, bool pairs) {
    buf_puts(b, "<div class=\"scroll\" tabindex=\"0\"><table class=\"words\">\n<thead><tr><th "
                "scope=\"col\">score</th>");
    for (int i = 0; i < 4 && LOGP_NAMES[pairs][i]; i++)
        buf_printf(b, "<th scope=\"col\">%s</th>", LOGP_NAMES[pairs][i]);
    buf_puts(b, "<th scope=\"col\">truth</th><th scope=\"col\">prompt</th>");
    buf_puts(b, pairs ? "<th scope=\"col\">chosen</th><th scope=\"col\">rejected</th>"
                      : "<th scope=\"col\">completion</th>");
    buf_puts(b, "<th scope=\"col\">demonstrations</th></tr></thead><tbody>\n");
    for (int i = 0; i < n; i++)
        put_example(b, rows->v[order[i]], &pool->records[order[i]], holdout, pairs);
    buf_puts(b, "</tbody></table></div>\n");
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

/* The records with the best scores, then with the worst: each at most EXAMPLES, at most half. */
typedef struct {
    int best, worst, index[2 * EXAMPLES];
} Extremes;

static Extremes set_extremes(const ScoreSet *s) {
    Place *place = mem_new((size_t)s->n, sizeof *place);
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (isfinite(s->score[i])) place[n++] = (Place){s->score[i], i};
    qsort(place, (size_t)n, sizeof *place, by_place);
    Extremes e = {.best = (n + 1) / 2 < EXAMPLES ? (n + 1) / 2 : EXAMPLES,
                  .worst = n / 2 < EXAMPLES ? n / 2 : EXAMPLES};
    for (int i = 0; i < e.best; i++) e.index[i] = place[i].index;
    for (int i = 0; i < e.worst; i++) e.index[e.best + i] = place[n - 1 - i].index;
    free(place);
    return e;
}

/* The best and worst examples of the first ICA scores. */
static bool put_examples(Page *p, Report *r, const ScoreSets *sets, Error *err) {
    const ScoreSet *s = NULL;
    for (int i = 0; i < sets->n && !s; i++)
        if (sets->v[i].ready && sets->v[i].n > 0 && strcmp(sets->v[i].method, "ica") == 0)
            s = &sets->v[i];
    if (!s) return true;
    Arena scratch = {0};
    JsonLines rows;
    Dataset pool, holdout;
    Error gone = {0};
    if (set_open(r, s, &scratch, &rows, &pool, err)) {
        bool demos = s->holdout && data_load(&holdout, s->holdout, &gone), pairs = set_pairs(s);
        if (!demos)
            NOTE(r, "The demonstrations of the examples are shown by id (%s).",
                 s->holdout ? gone.text : "no holdout path");
        Extremes e = set_extremes(s);
        page_section(p, "Best and worst examples");
        page_paragraph(p, "ICA scores on %s, %s; log p is that of the answer.", s->group, s->when);
        page_heading(p, "The %d highest scores", e.best);
        put_examples_table(&p->body, &rows, e.index, e.best, &pool, demos ? &holdout : NULL, pairs);
        page_heading(p, "The %d lowest scores", e.worst);
        put_examples_table(&p->body, &rows, e.index + e.best, e.worst, &pool,
                           demos ? &holdout : NULL, pairs);
        if (demos) records_free(&holdout);
        records_free(&pool);
    }
    arena_free(&scratch);
    return err->status == 0;
}

/* ---- curves from the logs ---- */

enum { CURVE_POINTS = 200 };

/* The mean over runs of a column of their logs at each step. */
static Series log_curve(Arena *arena, const FinishedRun *const *runs, int n_runs, int column) {
    int n = 0, most = 0;
    for (int i = 0; i < n_runs; i++)
        if (runs[i]) most += runs[i]->n_log;
    Point *points = arena_new(arena, (size_t)most + 1, sizeof *points);
    for (int i = 0; i < n_runs; i++)
        for (int j = 0; runs[i] && j < runs[i]->n_log; j++) {
            Point at = {runs[i]->log[LOG_STEP][j], runs[i]->log[column][j]};
            if (isfinite(at.x) && isfinite(at.y)) points[n++] = at;
        }
    return series_mean(arena, points, n, CURVE_POINTS);
}

/* The curves of the arms of a block that have at least `least` points. Returns how many. */
static int block_curves(Report *r, const Block *b, int column, int least, Series *out) {
    int count = 0;
    for (int a = 0; a < b->n_arms; a++) {
        Series s = log_curve(&r->arena, b->arms[a].runs, b->n_seeds, column);
        s.name = b->arms[a].name;
        s.tone = b->arms[a].tone;
        if (s.n >= least) out[count++] = s;
    }
    return count;
}

/* One column of the logs for all arms of a block. */
static void put_block_chart(Page *p, Report *r, const Block *b, int column, const char *title,
                            const char *y_label) {
    Series *curves = arena_new(&r->arena, (size_t)b->n_arms, sizeof *curves);
    int n = block_curves(r, b, column, 2, curves);
    Chart c = {.title = text_new(&r->arena, "%s: %s", block_title(&r->arena, b), title),
               .x_label = "step",
               .y_label = y_label,
               .about = "One line for each arm, the mean over its seeds."};
    if (n) chart_lines(&p->body, &c, curves, n);
}

/* Does any training run have a value in this column? */
static bool logs_have(const Report *r, int column) {
    for (int i = 0; i < r->n_runs; i++)
        for (int j = 0; !r->runs[i].pretrain && j < r->runs[i].n_log; j++)
            if (isfinite(r->runs[i].log[column][j])) return true;
    return false;
}

static void put_curves(Page *p, Report *r, const Blocks *blocks) {
    if (!logs_have(r, LOG_LOSS) && !logs_have(r, LOG_EVAL)) return;
    page_section(p, "Loss curves");
    page_paragraph(p, "An arm's training loss is weighted by its own weights: it shows progress, "
                      "not who is better. The loss on the evaluation file is the same measure for "
                      "all.");
    for (int i = 0; i < blocks->n; i++) {
        put_block_chart(p, r, &blocks->v[i], LOG_LOSS, "training loss", "loss");
        put_block_chart(p, r, &blocks->v[i], LOG_EVAL, "loss on the evaluation file", "loss");
    }
}

/* For each arm whose weights differ: mean weight of good and of bad records over the steps. */
static void put_weights(Page *p, Report *r, const Blocks *blocks) {
    if (!logs_have(r, LOG_CLEAN)) return;
    page_section(p, "Weights over training");
    page_paragraph(
        p, "Mean weight of records whose truth is known; no method but the oracle sees it.");
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        bool pairs = objective_pairs(b->objective), open = false;
        for (int a = 0; a < b->n_arms; a++) {
            Series lines[2] = {log_curve(&r->arena, b->arms[a].runs, b->n_seeds, LOG_CLEAN),
                               log_curve(&r->arena, b->arms[a].runs, b->n_seeds, LOG_CORRUPTED)};
            if (lines[0].n + lines[1].n == 0) continue;
            lines[0].name = KIND_NAMES[pairs][1], lines[0].tone = 1;
            lines[1].name = KIND_NAMES[pairs][0], lines[1].tone = 2, lines[1].dashed = true;
            if (!open) {
                page_heading(p, "%s", block_title(&r->arena, b));
                page_grid(p);
                open = true;
            }
            Chart c = {.title = b->arms[a].name,
                       .x_label = "step",
                       .y_label = "mean weight",
                       .y_max = 1,
                       .small = true,
                       .about = "Mean weight of good and of bad records at each step."};
            chart_lines(&p->body, &c, lines, 2);
        }
        if (open) page_grid_end(p);
    }
}

/* Each pretraining run: loss, and how well it answers after three demonstrations. */
static void put_pretraining(Page *p, Report *r) {
    bool open = false;
    for (int i = 0; i < r->n_runs; i++) {
        const FinishedRun *run = &r->runs[i];
        if (!run->pretrain) continue;
        if (!open) page_section(p, "Pretraining");
        open = true;
        page_paragraph(p, "%s: %.0f steps, loss %.4f, %.1f seconds.", run->folder,
                       run_metric(run, "steps"), run_metric(run, "loss"), run_total(run));
        Series lines[2] = {log_curve(&r->arena, &run, 1, LOG_LOSS),
                           log_curve(&r->arena, &run, 1, LOG_EVAL)};
        lines[0].name = "training", lines[0].tone = 1;
        lines[1].name = "evaluation", lines[1].tone = 2;
        Chart c = {.title = "Loss",
                   .x_label = "step",
                   .y_label = "loss",
                   .about = "Mean loss of a token along pretraining."};
        if (lines[0].n) chart_lines(&p->body, &c, lines, lines[1].n ? 2 : 1);
        Series meter = log_curve(&r->arena, &run, 1, LOG_ICL_P),
               nll = log_curve(&r->arena, &run, 1, LOG_ICL_NLL);
        if (meter.n + nll.n == 0) continue;
        meter.name = nll.name = "with 3 demonstrations", meter.tone = nll.tone = 3;
        page_grid(p);
        Chart m = {.title = "Learning to learn in context",
                   .x_label = "step",
                   .y_label = "P(seq), 3 demonstrations",
                   .y_max = 1,
                   .small = true,
                   .about = "Probability of the right answer after three demonstrations."};
        if (meter.n) chart_lines(&p->body, &m, &meter, 1);
        m.title = "The same as loss", m.y_max = 0, m.y_label = "NLL, 3 demonstrations";
        m.about = "Loss of the right answer after three demonstrations.";
        if (nll.n) chart_lines(&p->body, &m, &nll, 1);
        page_grid_end(p);
    }
}

/* The answers after k demonstrations, as a table and bars. */
static void put_in_context(Page *p, const Numbers *n) {
    if (n->n_shots == 0) return;
    page_section(p, "Learning in context");
    page_table(p, shots_table(n->shots, n->n_shots));
    page_grid(p);
    Bar *bars = mem_new((size_t)n->n_shots, sizeof *bars);
    char(*names)[16] = mem_new((size_t)n->n_shots, sizeof *names);
    for (int metric = 0; metric < 2; metric++) {
        for (int i = 0; i < n->n_shots; i++) {
            snprintf(names[i], sizeof names[i], "%g", n->shots[i].k);
            bars[i] =
                (Bar){names[i], metric ? 3 : 1, metric ? n->shots[i].p : n->shots[i].nll, NAN};
        }
        Chart c = {.title = metric ? "Probability of the right answer" : "Loss of the right answer",
                   .small = true,
                   .x_label = "demonstrations",
                   .y_label = metric ? "P(seq)" : "NLL",
                   .about = "One bar for each number of demonstrations before the question."};
        chart_bars(&p->body, &c, bars, n->n_shots);
    }
    free(bars);
    free(names);
    page_grid_end(p);
}

/* ---- results, margins, cost, settings ---- */

/* Each arm's seeds, mean and spread of one metric. */
static void put_metric_dots(Page *p, Report *r, const Block *b, int metric) {
    Sample *samples = arena_new(&r->arena, (size_t)b->n_arms, sizeof *samples);
    int n = 0;
    for (int a = 0; a < b->n_arms; a++)
        if (isfinite(b->arms[a].mean[metric]))
            samples[n++] =
                (Sample){b->arms[a].name, b->arms[a].tone, b->n_seeds, b->arms[a].values[metric]};
    Chart c = {
        .title = text_new(&r->arena, "%s: %s", block_title(&r->arena, b), b->metrics[metric].name),
        .x_label = b->metrics[metric].name,
        .about = "Small dots are seeds, the large one is their mean, the line one "
                 "sample standard deviation to each side."};
    if (n > 1) chart_dots(&p->body, &c, samples, n);
}

/* The tables of all blocks and AUROC values: what most readers want to see. */
static void put_headline(Page *p, Report *r, const Numbers *n) {
    if (n->blocks.n + n->aurocs.n == 0) return;
    page_section(p, "Results");
    for (int i = 0; i < n->blocks.n; i++) {
        page_table(p, block_table(r, &n->blocks.v[i]));
        put_metric_dots(p, r, &n->blocks.v[i], n->blocks.v[i].headline);
    }
    for (int i = 0; i < n->aurocs.n; i++) page_table(p, auroc_table(r, &n->aurocs.v[i]));
}

/* Blocks on pairs: margins after training and along it. */
static void put_margins(Page *p, Report *r, const Blocks *blocks) {
    bool open = false;
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        if (!objective_pairs(b->objective)) continue;
        if (!open) page_section(p, "Reward margins");
        open = true;
        put_metric_dots(p, r, b, 2);
        put_block_chart(p, r, b, LOG_MARGIN, "reward margin of the training batch", "margin");
    }
}

/* The token (and operation) counts that any run of the block noted, in the order of their first
 * appearance. */
static void cost_keys(Arena *arena, const Block *b, const char *part, Names *keys) {
    for (int a = 0; a < b->n_arms; a++)
        for (int s = 0; s < b->n_seeds; s++) {
            const FinishedRun *run = b->arms[a].runs[s];
            const Json *counts = run ? json_get(run->json, part) : NULL;
            for (int i = 0; counts && counts->type == JSON_OBJECT && i < counts->count; i++)
                names_add(arena, keys, str_copy(arena, counts->keys[i]).s);
        }
}

static void put_cost_cell(Table *t, const Block *b, const Arm *arm, const char *part,
                          const char *key) {
    double *v = mem_new((size_t)b->n_seeds, sizeof *v), mean, sd;
    for (int s = 0; s < b->n_seeds; s++) {
        v[s] = json_number(arm->runs[s] ? json_get(arm->runs[s]->json, part) : NULL, key);
    }
    mean_sd(v, b->n_seeds, &mean, &sd);
    free(v);
    if (!isfinite(mean)) table_put(t, "-");
    else if (strcmp(part, "seconds") == 0) table_put(t, "%.2f", mean);
    else if (fabs(mean) < 1e9) table_put(t, "%.0f", mean);
    else table_put(t, "%.3g", mean);
}

/* Seconds, tokens and operations of each arm, and the ratio to uniform. */
static void put_cost(Page *p, Report *r, const Blocks *blocks) {
    static const char *const parts[] = {"score", "reference", "train"}, *const counts[] = {"tokens",
                                                                                           "flops"};
    if (blocks->n) page_section(p, "Cost");
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        const Arm *uniform = block_arm(b, "uniform");
        Table t = {.title = block_title(&r->arena, b),
                   .caption = "Seconds and counts, means over seeds, without evaluation."};
        Names keys[2] = {{0}, {0}};
        table_head(&t, "arm");
        for (int k = 0; k < 3; k++) table_head(&t, parts[k]);
        table_head(&t, "sum");
        if (uniform) table_head(&t, "\xc3\x97 uniform");
        for (int c = 0; c < 2; c++) {
            cost_keys(&r->arena, b, counts[c], &keys[c]);
            for (int k = 0; k < keys[c].n; k++)
                table_head(&t, text_new(&r->arena, "%s: %s", counts[c], keys[c].v[k]));
        }
        for (int a = 0; a < b->n_arms; a++) {
            const Arm *arm = &b->arms[a];
            table_put(&t, "%s", arm->name);
            for (int k = 0; k < 3; k++) put_cost_cell(&t, b, arm, "seconds", parts[k]);
            table_mean(&t, arm->mean[SECONDS], NAN, 2, 1);
            if (uniform) table_mean(&t, arm->mean[SECONDS] / uniform->mean[SECONDS], NAN, 2, 1);
            for (int c = 0; c < 2; c++)
                for (int k = 0; k < keys[c].n; k++)
                    put_cost_cell(&t, b, arm, counts[c], keys[c].v[k]);
        }
        page_table(p, t);
    }
}

static void put_options(Page *p, const FinishedRun *run) {
    const Json *options = json_get(run->json, "options");
    if (!options || options->type != JSON_OBJECT || options->count == 0) return;
    Table t = {0};
    Buf value = {0};
    table_head(&t, "option");
    table_head(&t, "value");
    for (int i = 0; i < options->count; i++) {
        value.n = 0;
        if (options->items[i].type == JSON_STRING)
            buf_put(&value, options->items[i].string.s, options->items[i].string.n);
        else json_put_value(&value, &options->items[i]);
        table_put(&t, "%.*s", STR_ARG(options->keys[i]));
        table_put(&t, "%.*s", value.n ? (int)value.n : 0, value.n ? value.s : "");
    }
    buf_puts(&p->body, "<details><summary>Options of ");
    html_text(&p->body, str(run->folder));
    buf_puts(&p->body, "</summary>\n");
    page_table(p, t);
    buf_puts(&p->body, "</details>\n");
    buf_free(&value);
}

/* The options of the first run of each kind: the others differ in arm, group and seed, which their
 * tables name. */
static void put_settings(Page *p, Report *r) {
    Names kinds = {0};
    for (int i = 0; i < r->n_runs; i++) {
        const FinishedRun *run = &r->runs[i];
        int before = kinds.n;
        names_add(&r->arena, &kinds, run->pretrain ? "pretrain" : run->objective);
        if (kinds.n == before) continue;
        if (before == 0) page_section(p, "Settings");
        put_options(p, run);
    }
}

/* What ran where, for the line under the title. */
static const char *machine_line(Report *r) {
    const Json *machine = report_value(r, "machine"), *threads = report_value(r, "threads");
    const Json *first = r->n_runs ? r->runs[0].json : NULL;
    const char *compiler = report_text(&r->arena, first, "compiler", ""),
               *flags = report_text(&r->arena, first, "flags", "");
    const char *version = report_text(&r->arena, first, "version", ""),
               *cpu = report_text(&r->arena, machine, "cpu", "");
    double cores = json_number(machine, "cores"), peak = json_number(machine, "peak_gflops");
    Buf line = {0};
    if (*version) buf_printf(&line, "ica %s. ", version);
    if (*cpu) buf_printf(&line, "%s, ", cpu);
    if (isfinite(cores)) buf_printf(&line, "%g core%s, ", cores, cores == 1 ? "" : "s");
    if (threads && threads->type == JSON_NUMBER)
        buf_printf(&line, "%g thread%s, ", threads->number, threads->number == 1 ? "" : "s");
    if (isfinite(peak)) buf_printf(&line, "peak %.1f GFLOP/s, ", peak);
    if (*compiler) buf_printf(&line, "%s %s, ", compiler, flags);
    buf_printf(&line, "%d run%s, %d score file%s, %d evaluation%s.", r->n_runs, plural(r->n_runs),
               r->n_scores, plural(r->n_scores), r->n_evals, plural(r->n_evals));
    const char *kept = str_copy(&r->arena, (Str){line.s, line.n}).s;
    buf_free(&line);
    return kept;
}

static bool put_page(Report *r, const Numbers *n, Buf *html, Error *err) {
    Page page = {0};
    ScoreSets sets = sets_find(r);
    put_headline(&page, r, n);
    put_pretraining(&page, r);
    put_in_context(&page, n);
    put_curves(&page, r, &n->blocks);
    bool ok = put_scores(&page, r, &sets, err);
    put_weights(&page, r, &n->blocks);
    ok = ok && put_examples(&page, r, &sets, err);
    put_margins(&page, r, &n->blocks);
    put_cost(&page, r, &n->blocks);
    put_settings(&page, r);
    if (r->notes.n) page_section(&page, "Notes");
    for (int i = 0; i < r->notes.n; i++) page_paragraph(&page, "%s", r->notes.v[i]);
    page_finish(&page, "Fine-tuning weighted by in-context approximation", machine_line(r), html);
    return ok;
}

/* ---- the command ---- */

bool report_build(int n_inputs, const char *const *inputs, Buf *text, Buf *results, Buf *html,
                  Error *err) {
    Report r = {0};
    bool ok = report_read(&r, n_inputs, inputs, err);
    if (ok) {
        Numbers n = numbers_make(&r);
        ok = put_page(&r, &n, html, err); /* first: the text repeats the notes that this adds */
        numbers_put_results(&r, &n, results);
        numbers_put_text(&r, &n, text);
    }
    report_free(&r);
    return ok;
}

int report_main(int n_inputs, const char *const *inputs, const char *out_html,
                const char *out_results, bool json, Error *err) {
    Buf text = {0}, results = {0}, html = {0};
    bool ok = report_build(n_inputs, inputs, &text, &results, &html, err);
    if (ok && out_html) ok = file_write(out_html, html.s, html.n, err);
    if (ok && out_results) ok = file_write(out_results, results.s, results.n, err);
    const Buf *shown = json ? &results : &text;
    ok = ok && file_print(shown->s, shown->n, err);
    buf_free(&text);
    buf_free(&results);
    buf_free(&html);
    return ok ? STATUS_OK : err->status;
}
