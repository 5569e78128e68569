/* The page in its order: results, scores, highest and lowest records, weights over the steps,
 * pretraining, settings, notes. A section without data is left out. The introduction comes last,
 * since its glossary has the words that the page uses. */
#define _POSIX_C_SOURCE 200809L
#include "program/report/page.h"

#include "lib/charts.h"
#include "lib/file.h"
#include "lib/html.h"
#include "lib/stats.h"
#include "program/report/extremes.h"
#include "program/report/intro.h"
#include "program/report/numbers.h"
#include "program/report/order.h"
#include "program/report/plots.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Adds a table and frees it. */
static void page_table(Page *p, Table t) {
    table_html(&t, &p->body);
    table_free(&t);
}

/* ---- scores ---- */

/* Histogram and ROC curves of the sets from..to - 1, which are of one group. */
static void put_group(Page *p, Report *r, int from, int to) {
    const ScoreSet *shown = NULL;
    for (int i = from; i < to; i++) {
        const ScoreSet *s = &r->sets[i];
        if (s->ready && (!shown || strcmp(s->method, "ica") == 0)) shown = s;
    }
    page_grid(p);
    bool truth = false;
    for (int i = from; i < to; i++) truth = truth || r->sets[i].truth;
    for (int i = from; i < to; i++)
        if (&r->sets[i] == shown || (r->sets[i].ready && r->sets[i].from_file))
            plot_scores(p, r, &r->sets[i]);
    for (int i = from; i < to; i++)
        if (r->sets[i].ready) plot_numbers(p, r, &r->sets[i]);
    plot_roc(p, r, &r->sets[from], to - from);
    page_grid_end(p);
    if (truth)
        page_paragraph(p,
                       "Beside each name is its AUROC, the area under its whole curve. Curves are "
                       "drawn as far as the best one needs to rise.");
}

/* The scores of all groups; those of the first group are open. */
static void put_scores(Page *p, Report *r) {
    int groups = 0;
    for (int i = 0, j; i < r->n_sets; i = j) {
        const ScoreSet *first = &r->sets[i];
        int ready = 0;
        for (j = i; j < r->n_sets && strcmp(r->sets[j].group, first->group) == 0 &&
                    objective_rank(r->sets[j].objective) == objective_rank(first->objective);
             j++)
            ready += r->sets[j].ready;
        if (ready == 0) continue;
        if (groups == 0) page_section(p, "Scores");
        const char *title =
            first->from_file
                ? first->group
                : text_new(&r->arena, "%s on %s", objective_title(first->objective), first->group);
        if (groups) page_details(p, "%s", title);
        else if (!first->from_file) page_heading(p, "%s", title);
        if (first->from_file) page_table(p, files_table(r));
        put_group(p, r, i, j);
        if (groups++) page_details_end(p);
    }
}

/* ---- weights over training ---- */

static bool has_column(const Block *b, LogColumn column) {
    for (int a = 0; a < b->n_arms; a++)
        for (int s = 0; s < b->n_seeds; s++) {
            const FinishedRun *run = b->arms[a].runs[s];
            for (int i = 0; run && i < run->n_log; i++)
                if (isfinite(run->log[column][i])) return true;
        }
    return false;
}

/* The mean of a column over all steps and seeds of an arm. */
static double column_mean(const Block *b, const Arm *arm, LogColumn column) {
    double sum = 0;
    int n = 0;
    for (int s = 0; s < b->n_seeds; s++)
        for (int i = 0; arm->runs[s] && i < arm->runs[s]->n_log; i++) {
            double v = arm->runs[s]->log[column][i];
            if (isfinite(v)) sum += v, n++;
        }
    return n ? sum / n : NAN;
}

static void put_mean_weights(Page *p, Report *r, const Block *b) {
    bool pairs = objective_pairs(b->objective);
    Table t = {.title = block_title(&r->arena, b)};
    table_head(&t, "arm");
    table_head(&t, text_new(&r->arena, "weight of %s", kind_name(pairs, true)));
    table_head(&t, text_new(&r->arena, "of %s", kind_name(pairs, false)));
    for (int a = 0; a < b->n_arms; a++) {
        double good = column_mean(b, &b->arms[a], LOG_CLEAN),
               bad = column_mean(b, &b->arms[a], LOG_CORRUPTED);
        if (!isfinite(good) && !isfinite(bad)) continue;
        table_put(&t, "%s", b->arms[a].name);
        table_mean(&t, good, NAN, 3, 1);
        table_mean(&t, bad, NAN, 3, 1);
    }
    page_table(p, t);
}

/* One plot, of the first block whose runs know the truth, and a table for each block. */
static void put_weights(Page *p, Report *r, const Blocks *blocks) {
    bool open = false;
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        if (!has_column(b, LOG_APART)) continue;
        if (!open) {
            page_section(p, "Weights over training");
            page_paragraph(p,
                           "%s: the mean weight of good records minus that of bad ones, in each "
                           "batch. 1 is a clean cut, 0 tells nothing. The truth is known here; no "
                           "method but the oracle sees it.",
                           block_title(&r->arena, b));
            page_grid(p);
            plot_log(p, r, b, LOG_APART, "The lead of good records in weight");
            page_grid_end(p);
            page_details(p, "Mean weights of all arms");
            open = true;
        }
        put_mean_weights(p, r, b);
    }
    if (open) page_details_end(p);
}

/* ---- pretraining ---- */

static void put_pretraining(Page *p, Report *r, const Numbers *n) {
    bool open = n->n_shots > 0;
    if (open) {
        page_section(p, "Learning in context");
        page_grid(p);
        plot_shots(p, r, n->shots, n->n_shots);
        page_grid_end(p);
        page_details(p, "The same as a table");
        page_table(p, shots_table(n->shots, n->n_shots));
        page_details_end(p);
    }
    for (int i = 0, runs = 0; i < r->n_runs; i++) {
        if (!r->runs[i].pretrain) continue;
        if (runs++ == 0) page_section(p, "Pretraining");
        plot_pretraining(p, r, &r->runs[i]);
    }
}

/* ---- results, cost, settings ---- */

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

/* What a count of run.json is called. */
static const char *cost_head(Arena *arena, const char *part, const char *key) {
    static const char *const names[][3] = {{"tokens", "train", "tokens trained on"},
                                           {"tokens", "score_forward", "tokens for scores"},
                                           {"flops", "train", "flops of training"},
                                           {"flops", "score", "flops of scores"},
                                           {"flops", "reference", "flops of references"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(part, names[i][0]) == 0 && strcmp(key, names[i][1]) == 0) return names[i][2];
    return text_new(arena, "%s: %s", part, key);
}

/* Seconds, tokens and operations of each arm, and the ratio to uniform. */
static void put_cost(Page *p, Report *r, const Block *b) {
    static const char *const parts[] = {"score", "reference", "train"}, *const counts[] = {"tokens",
                                                                                           "flops"};
    const Arm *uniform = block_arm(b, "uniform");
    Table t = {.title = "Cost",
               .caption = "Seconds and counts, means over seeds, without evaluation. flops: "
                          "floating-point operations."};
    Names keys[2] = {{0}, {0}};
    table_head(&t, "arm");
    for (int k = 0; k < 3; k++) table_head(&t, parts[k]);
    table_head(&t, "sum");
    if (uniform) table_head(&t, "\xc3\x97 uniform");
    for (int c = 0; c < 2; c++) {
        cost_keys(&r->arena, b, counts[c], &keys[c]);
        for (int k = 0; k < keys[c].n; k++)
            table_head(&t, cost_head(&r->arena, counts[c], keys[c].v[k]));
    }
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *arm = &b->arms[a];
        table_put(&t, "%s", arm->name);
        for (int k = 0; k < 3; k++) put_cost_cell(&t, b, arm, "seconds", parts[k]);
        table_mean(&t, arm->mean[SECONDS], NAN, 2, 1);
        if (uniform) table_mean(&t, arm->mean[SECONDS] / uniform->mean[SECONDS], NAN, 2, 1);
        for (int c = 0; c < 2; c++)
            for (int k = 0; k < keys[c].n; k++) put_cost_cell(&t, b, arm, counts[c], keys[c].v[k]);
    }
    table_drop_empty(&t);
    page_table(p, t);
}

static void put_more(Page *p, Report *r, const Block *b) {
    bool pairs = objective_pairs(b->objective);
    page_grid(p);
    if (pairs) plot_arms(p, r, b, 2);
    if (pairs) plot_log(p, r, b, LOG_MARGIN, "The reward margin of the pairs trained on");
    if (plot_log(p, r, b, LOG_LOSS, "The training loss"))
        page_paragraph(p, "An arm's training loss is weighted by its own weights: it shows "
                          "progress, not who is better.");
    page_grid_end(p);
    put_cost(p, r, b);
}

/* Says which evaluation's model the runs kept. */
static void put_kept(Page *p, const Block *b) {
    for (int a = 0; a < b->n_arms; a++)
        for (int s = 0; s < b->n_seeds; s++) {
            const FinishedRun *run = b->arms[a].runs[s];
            double step = run ? run_metric(run, "best_step") : NAN;
            const Json *loads =
                run ? json_get(json_get(run->json, "options"), "load-best-model-at-end") : NULL;
            if (!isfinite(step) || !loads || !loads->boolean) continue;
            if (b->n_arms * b->n_seeds == 1)
                page_paragraph(p, "%s has the model of step %.0f, its best evaluation.",
                               run->folder, step);
            else page_paragraph(p, "Each run has the model of its best evaluation.");
            return;
        }
}

/* The charts and the table of one block. Of all but the first a reader must open the table. */
static void put_block(Page *p, Report *r, const Block *b, bool first) {
    Table t = block_table(r, b);
    t.title = NULL; /* the heading has it */
    page_heading(p, "%s", block_title(&r->arena, b));
    page_grid(p);
    plot_arms(p, r, b, b->headline);
    if (!first) {
        page_grid_end(p);
        page_details(p, "Table of %d arm%s, curves and cost", b->n_arms, plural(b->n_arms));
        page_grid(p);
    }
    plot_log(p, r, b, LOG_EVAL, "The loss on the test");
    bool judged = plot_validation(p, r, b);
    page_grid_end(p);
    if (judged) put_kept(p, b);
    page_table(p, t);
    if (first) page_details(p, "Training loss and cost");
    put_more(p, r, b);
    page_details_end(p);
}

/* What most readers want to see. */
static void put_headline(Page *p, Report *r, const Numbers *n) {
    if (n->blocks.n + n->aurocs.n == 0) return;
    page_section(p, "Results");
    for (int i = 0; i < n->blocks.n; i++) put_block(p, r, &n->blocks.v[i], i == 0);
    for (int i = 0; i < n->aurocs.n; i++) page_table(p, auroc_table(r, &n->aurocs.v[i]));
}

static void put_options(Page *p, Report *r, const FinishedRun *run) {
    const Json *options = json_get(run->json, "options");
    if (!options || options->type != JSON_OBJECT || options->count == 0) return;
    Table t = {0};
    Buf value = {0};
    table_head(&t, "option");
    table_head(&t, "value");
    table_put(&t, "(compiler's)");
    table_put(&t, "%s", report_text(&r->arena, run->json, "flags", "-"));
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
        put_options(p, r, run);
    }
}

/* What ran where, for the line under the title. */
static const char *machine_line(Report *r) {
    const Json *machine = report_value(r, "machine"), *threads = report_value(r, "threads");
    const Json *first = r->n_runs ? r->runs[0].json : NULL;
    const char *compiler = report_text(&r->arena, first, "compiler", "");
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
    if (*compiler) buf_printf(&line, "%s, ", compiler);
    buf_printf(&line, "%d run%s, %d score file%s, %d evaluation%s.", r->n_runs, plural(r->n_runs),
               r->n_scores + r->n_files, plural(r->n_scores + r->n_files), r->n_evals,
               plural(r->n_evals));
    const char *kept = str_copy(&r->arena, (Str){line.s, line.n}).s;
    buf_free(&line);
    return kept;
}

static bool put_page(Report *r, const Numbers *n, Buf *html, Error *err) {
    Page page = {0};
    put_headline(&page, r, n);
    put_scores(&page, r);
    bool ok = put_extremes(&page, r, err);
    put_weights(&page, r, &n->blocks);
    put_pretraining(&page, r, n);
    put_settings(&page, r);
    if (r->notes.n) page_section(&page, "Notes");
    for (int i = 0; i < r->notes.n; i++) page_paragraph(&page, "%s", r->notes.v[i]);
    put_intro(&page, r, n);
    page_finish(&page, "Fine-tuning weighted by in-context approximation", machine_line(r), html);
    return ok;
}

/* ---- the command ---- */

/* Only score files ask for these options: runs and saved results name their own files. */
static void tell_idle(const Report *r) {
    const char *const names[] = {r->pool ? "--pool" : NULL, r->holdout ? "--holdout" : NULL,
                                 r->pool && r->skip_unscored ? "--skip-unscored" : NULL};
    Buf b = {0};
    int n = 0;
    for (int i = 0; i < 3 && r->n_files == 0; i++)
        if (names[i]) buf_printf(&b, "%s%s", n++ ? ", " : "WARNING: ", names[i]);
    if (n > 0)
        fprintf(stderr, "%s %s no effect here: no score file is among the inputs\n", b.s,
                n > 1 ? "have" : "has");
    buf_free(&b);
}

bool report_build(const ReportInputs *in, Buf *text, Buf *results, Buf *html, Error *err) {
    Report r = {.pool = in->pool,
                .holdout = in->holdout,
                .skip_unscored = in->skip_unscored,
                .model = in->model,
                .text = in->text};
    bool ok = report_read(&r, in->count, in->paths, err) && sets_read(&r, err);
    if (ok) {
        tell_idle(&r);
        Numbers n = numbers_make(&r);
        ok = put_page(&r, &n, html, err); /* first: the text repeats the notes that this adds */
        numbers_put_results(&r, &n, results);
        numbers_put_text(&r, &n, text);
    }
    report_free(&r);
    return ok;
}

int report_main(const ReportInputs *in, const char *out_html, const char *out_results, bool json,
                Error *err) {
    Buf text = {0}, results = {0}, html = {0};
    bool ok = report_build(in, &text, &results, &html, err);
    if (ok && out_html) ok = file_write(out_html, html.s, html.n, err);
    if (ok && out_results) ok = file_write(out_results, results.s, results.n, err);
    const Buf *shown = json ? &results : &text;
    ok = ok && file_print(shown->s, shown->n, err);
    buf_free(&text);
    buf_free(&results);
    buf_free(&html);
    return ok ? STATUS_OK : err->status;
}
