/* The report: numbers in results.json, what the page shows and leaves out, hostile text, byte
 * stability, bad inputs. */
#define _POSIX_C_SOURCE 200809L
#include "program/report/gain.h"
#include "program/report/order.h"
#include "program/report/page.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/charts.h"
#include "lib/file.h"
#include "lib/html.h"
#include "lib/json.h"
#include "lib/stats.h"
#include "tests/unit/check.h"

/* ---- a temporary folder with small inputs ---- */

typedef struct {
    char folder[256];
    char *paths[80];
    int n_paths;
} Place;

static const char *place_path(Place *p, const char *name) {
    CHECK(p->n_paths < 80, "too many files");
    return p->paths[p->n_paths++] = path_join(p->folder, name);
}

static const char *place_write(Place *p, const char *name, const char *format, ...)
    PRINTF_LIKE(3, 4);
static const char *place_write(Place *p, const char *name, const char *format, ...) {
    const char *path = place_path(p, name);
    FILE *f = fopen(path, "wb");
    va_list args;
    va_start(args, format);
    if (f) vfprintf(f, format, args);
    va_end(args);
    CHECK(f && fclose(f) == 0, "cannot write %s", path);
    return path;
}

static void place_begin(Place *p) {
    const char *base = getenv("TMPDIR");
    p->n_paths = 0;
    snprintf(p->folder, sizeof p->folder, "%.200s/test_report.XXXXXX",
             base && *base ? base : "/tmp");
    CHECK(mkdtemp(p->folder) != NULL, "cannot make %s", p->folder);
}

/* Backwards, so that files go before the folders that hold them. */
static void place_end(Place *p) {
    for (int i = p->n_paths - 1; i >= 0; i--) {
        if (unlink(p->paths[i]) != 0) rmdir(p->paths[i]);
        free(p->paths[i]);
    }
    CHECK(rmdir(p->folder) == 0, "%s is not empty", p->folder);
}

static const char *place_folder(Place *p, const char *name) {
    const char *path = place_path(p, name);
    CHECK(mkdir(path, 0700) == 0, "cannot make %s", path);
    return path;
}

/* A run folder; extra holds further members of run.json, log the text of log.jsonl or NULL. */
static const char *place_run(Place *p, const char *name, const char *arm, int seed,
                             const char *extra, const char *log) {
    char file[100];
    const char *folder = place_folder(p, name);
    snprintf(file, sizeof file, "%s/run.json", name);
    place_write(p, file,
                "{\"version\":\"0.1.0\",\"command\":\"train\",\"group\":\"even50\",\"arm\":\"%s\","
                "\"objective\":\"sft\",\"seed\":%d,\"machine\":{\"cpu\":\"C\",\"cores\":2},"
                "\"threads\":1,%s}\n",
                arm, seed, extra);
    snprintf(file, sizeof file, "%s/log.jsonl", name);
    if (log) place_write(p, file, "%s", log);
    return folder;
}

static const char *place_sft(Place *p, const char *name, const char *arm, int seed, double nll,
                             double seconds) {
    char extra[400];
    snprintf(
        extra, sizeof extra,
        "\"options\":{\"k\":3},\"seconds\":{\"score\":0.25,\"reference\":0,\"train\":%g,\"eval\":9,"
        "\"total\":%g},\"tokens\":{\"train\":100},\"result\":{\"steps\":10,\"loss\":0.5,\"ess\":"
        "null,\"nll\":%g,"
        "\"p_sequence\":0.5,\"exact_match\":1}",
        seconds, seconds + 10, nll);
    return place_run(p, name, arm, seed, extra,
                     "{\"step\":1,\"loss\":2}\n{\"step\":2,\"loss\":1,\"eval_nll\":0.7}\n"
                     "{\"step\":3,\"loss\":0.5,\"eval_nll\":0.6,\"weight_clean\":0.9,\"weight_"
                     "corrupted\":0.1}\n");
}

static const char *place_pair(Place *p, const char *name, const char *arm, const char *objective,
                              double loss, double accuracy) {
    char extra[400];
    snprintf(extra, sizeof extra,
             "\"objective\":\"%s\",\"group\":\"pairs\",\"seconds\":{\"train\":1,\"total\":2},"
             "\"result\":{\"loss\":%g,\"reward_accuracy\":%g,\"margin\":0.5,\"ess\":7}",
             objective, loss, accuracy);
    return place_run(p, name, arm, 1, extra, NULL);
}

/* ---- looking at what was built ---- */

typedef struct {
    Buf text, results, html;
    Error err;
    bool ok;
} Built;

static Built build(int n, const char *const *inputs) {
    Built b = {.ok = false};
    ReportInputs in = {.count = n, .paths = inputs};
    b.ok = report_build(&in, &b.text, &b.results, &b.html, &b.err);
    return b;
}

static void built_free(Built *b) {
    buf_free(&b->text);
    buf_free(&b->results);
    buf_free(&b->html);
}

static bool has(const Buf *b, const char *text) { return b->s && strstr(b->s, text) != NULL; }

/* The value at a path of keys and array indices, as "sft/even50/uniform/nll/0"; NULL if there is
 * none. */
static const Json *at(const Json *v, const char *path) {
    char part[64];
    while (v && *path) {
        size_t n = strcspn(path, "/");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        if (v->type == JSON_ARRAY) v = atoi(part) < v->count ? &v->items[atoi(part)] : NULL;
        else v = json_get(v, part);
        path += n + (path[n] == '/');
    }
    return v;
}

static bool number_is(const Json *root, const char *path, double expected) {
    const Json *v = at(root, path);
    return v && v->type == JSON_NUMBER && fabs(v->number - expected) < 1e-12;
}

static bool null_is(const Json *root, const char *path) {
    const Json *v = at(root, path);
    return v && v->type == JSON_NULL;
}

/* Are all tags closed in order? Everything a user wrote must have been escaped for this to hold. */
static bool balanced(const Buf *html) {
    char open[64][16];
    int depth = 0;
    const char *s = strstr(html->s, "<html");
    while (s && (s = strchr(s, '<')) != NULL) {
        bool closing = s[1] == '/';
        char name[16];
        const char *end = strchr(s, '>');
        snprintf(name, sizeof name, "%.*s", (int)strcspn(s + 1 + closing, " />\n"),
                 s + 1 + closing);
        if (!end) return false;
        if (closing) {
            if (depth == 0 || strcmp(open[--depth], name) != 0) return false;
        } else if (end[-1] != '/' && strcmp(name, "meta") != 0 && strcmp(name, "br") != 0) {
            if (depth == 64) return false;
            snprintf(open[depth++], sizeof open[0], "%s", name);
        }
        s = end;
    }
    return depth == 0;
}

/* A number in a picture that is not one. */
static bool has_nan(const Buf *html) {
    return has(html, "nan") || has(html, "\"inf") || has(html, " inf") || has(html, "-inf");
}

/* ---- tests ---- */

static void test_text(void) {
    Buf b = {0};
    static const char odd[] = "<a href=\"x\">'&\0\x01\xff\xc3\xa9\xed\xa0\x80";
    html_text(&b, (Str){odd, sizeof odd - 1});
    CHECK(
        strcmp(b.s,
               "&lt;a href=&quot;x&quot;&gt;&#39;&amp;\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9"
               "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd") == 0,
        "%s", b.s);
    b.n = 0;
    html_clip(&b, str("ab\xc3\xa9z"), 3);
    CHECK(strcmp(b.s, "ab\xe2\x80\xa6") == 0, "%s", b.s);
    b.n = 0;
    text_wrap(&b, str("one two three\nfour"), 7);
    CHECK(strcmp(b.s, "one two\n  three\nfour\n") == 0, "%s", b.s);
    b.n = 0;
    text_wrap(&b, str("one two"), 6);
    CHECK(strcmp(b.s, "one\n  two\n") == 0, "%s", b.s);
    b.n = 0;
    Table t = {.title = "T"};
    table_head(&t, "name");
    table_head(&t, "v");
    table_put(&t, "a");
    table_mean(&t, 1.25, 0.5, 1, 10);
    table_put(&t, "b");
    table_mean(&t, NAN, NAN, 1, 1);
    table_text(&t, 80, &b);
    CHECK(strcmp(b.s, "T\nname         v\na     12.5\xc2\xb1"
                      "5.0\nb            -\n") == 0,
          "%s", b.s);
    table_free(&t);
    b.n = 0;
    t = (Table){.title = NULL};
    for (int i = 0; i < 3; i++) table_head(&t, i == 1 ? "gone" : "kept");
    for (int i = 0; i < 6; i++) table_put(&t, "%s", i % 3 == 1 || i == 5 ? "-" : "x");
    buf_puts(&t.more, "more\n");
    table_drop_empty(&t);
    table_text(&t, 80, &b);
    CHECK(strcmp(b.s, "kept  kept\nx        x\nx        -\nmore\n") == 0, "%s", b.s);
    table_free(&t);
    buf_free(&b);
}

static void test_statistics(void) {
    double mean, sd, area, x[6], y[6];
    const double v[] = {1, NAN, 3, 2};
    CHECK(mean_sd(v, 4, &mean, &sd) == 3 && mean == 2 && sd == 1, "%g %g", mean, sd);
    CHECK(mean_sd(v, 2, &mean, &sd) == 1 && mean == 1 && isnan(sd), "one value has no spread: %g",
          sd);
    const double score[] = {0.9, 0.5, 0.5, 0.1, NAN};
    const bool good[] = {true, true, false, false, true};
    int n = roc_curve(score, good, 5, x, y, &area);
    CHECK(n == 4 && area == 0.875 && x[1] == 0 && y[1] == 0.5 && x[2] == 0.5 && y[2] == 1,
          "%d points, area %g", n, area);
    CHECK(roc_curve(score, good, 2, x, y, &area) == 0 && isnan(area), "one class has no curve");
    Arena arena = {0};
    Point points[] = {{3, 1}, {1, 2}, {1, 4}, {2, 5}};
    Series s = series_mean(&arena, points, 4, 10);
    CHECK(s.n == 3 && s.x[0] == 1 && s.y[0] == 3 && s.y[1] == 5 && s.y[2] == 1, "%d: %g %g", s.n,
          s.y[0], s.y[1]);
    Point more[] = {{1, 1}, {2, 3}, {3, 5}};
    s = series_mean(&arena, more, 3, 2);
    CHECK(s.n == 2 && s.x[0] == 1.5 && s.y[0] == 2 && s.x[1] == 3 && s.y[1] == 5, "%d: %g %g", s.n,
          s.x[0], s.y[0]);
    arena_free(&arena);
    const double mine[] = {1, 2, NAN, 4}, theirs[] = {2, 2, 1, 5};
    Duel d = duel_of(mine, theirs, 4, false);
    CHECK(d.n == 3 && d.wins == 2 && d.ties == 1, "%d %d %d", d.n, d.wins, d.ties);
    d = duel_of(mine, theirs, 4, true);
    CHECK(d.wins == 0 && d.theirs == 3, "%d %g", d.wins, d.theirs);
}

/* Values that no axis can hold, and charts without values. */
static void test_charts(void) {
    const double x[] = {1, 2, 3, 4}, odd[] = {-1e308, 1e308, NAN, INFINITY}, same[] = {5, 5, 5, 5},
                 tiny[] = {0, 5e-324, 0, 0};
    const double log_y[] = {0.01, 10, -1, 0}, *const kinds[] = {odd, same, tiny, log_y};
    Chart c = {.title = "<t>", .about = "\"d\"", .x_label = "x", .y_label = "y"};
    Buf b = {0};
    buf_puts(&b, "<html>");
    for (int k = 0; k < 4; k++)
        for (int mode = 0; mode < 4; mode++) {
            c.end_names = mode & 1, c.log_y = mode > 1;
            Series s[2] = {{"a<b", 1, false, 4, x, kinds[k]}, {"c", 0, true, 1, x, kinds[k]}};
            Sample h[2] = {{"a<b", 1, 4, kinds[k]}, {"c", 2, 0, NULL}};
            Bar bars[2] = {{"a<b", 1, kinds[k][0], kinds[k][1]}, {"c", 2, kinds[k][2], NAN}};
            chart_lines(&b, &c, s, 2);
            chart_lines(&b, &c, s, 0);
            chart_points(&b, &c, s, 2);
            chart_points(&b, &c, s, 0);
            chart_histogram(&b, &c, h, 2, 7);
            chart_dots(&b, &c, h, 2);
            chart_bars(&b, &c, bars, 2);
        }
    buf_puts(&b, "</html>");
    CHECK(balanced(&b) && !has_nan(&b), "charts of extreme values are broken");
    CHECK(has(&b, "a&lt;b") && !has(&b, "a<b") && has(&b, "no values"), "labels, empty charts");
    b.n = 0;
    const double v[] = {0, 1, 1, 4};
    Sample h = {"all", 1, 4, v};
    chart_histogram(&b, &(Chart){.title = "t"}, &h, 1, 4);
    /* Bins of width 1 hold 1, 2, 0 and 1: the axis goes from 0 (at 198) to 2 (at 26), and x from
     * 0 (at 44) to 4 (at 338). */
    CHECK(has(&b, "M44.00 198.00V112.00H117.50V26.00H191.00V198.00H264.50V112.00H338.00V198.00Z"),
          "%s", b.s);
    b.n = 0;
    /* x from 0 to 4 as above, y from 0 (at 198) to 4 (at 26): 1 is at 155, the level 2 at 112. A
     * point that is not finite is no dot. */
    const double px[] = {0, 4, 2, NAN}, py[] = {0, 4, 1, 2};
    Series points = {"p", 2, false, 4, px, py};
    chart_points(&b, &(Chart){.title = "t", .level = 2}, &points, 1);
    CHECK(has(&b, "cx=\"191.00\" cy=\"155.00\"") && has(&b, "cx=\"338.00\" cy=\"26.00\""), "%s",
          b.s);
    CHECK(has(&b, "class=\"axis dash\" d=\"M44.00 112.00L338.00 112.00\""), "%s", b.s);
    b.n = 0;
    chart_points(&b, &(Chart){.title = "t", .level = 5}, &points, 1);
    CHECK(!has(&b, "axis dash"), "a level outside of the picture");
    b.n = 0;
    /* x from 0 to 4: a mark at 1 has its name to the right, one at 3 to the left; one at 9 is not
     * in the picture. Three grey lines have one place in the legend. */
    const double nought[] = {0, 1, 2, 4};
    Series grey[4] = {{"a", 1, false, 4, nought, v},
                      {"b", 0, false, 4, nought, v},
                      {"c", 0, false, 4, nought, v},
                      {"d", 0, false, 4, nought, v}};
    const Mark marks[] = {{1, "one"}, {3, "three"}, {9, "nine"}};
    chart_lines(&b, &(Chart){.title = "t", .marks = marks, .n_marks = 3}, grey, 4);
    CHECK(has(&b, "text-anchor=\"start\" x=\"121.50\" y=\"37.00\">one<") &&
              has(&b, "text-anchor=\"end\" x=\"260.50\" y=\"37.00\">three<") && !has(&b, "nine"),
          "%s", b.s);
    CHECK(has(&b, "</i>3 others</span>") && !has(&b, "</i>b<"), "%s", b.s);
    b.n = 0;
    Sample longest = {"a-name-of-thirty-characters-\xc3\xa9\xc3\xa9\xc3\xa9", 1, 4, v};
    chart_dots(&b, &(Chart){.title = "t"}, &longest, 1);
    CHECK(has(&b, ">a-name-of-thirty-chara\xe2\x80\xa6<"), "a cut name has a sign: %s", b.s);
    buf_free(&b);
}

static void check_sft(const Json *root, const Built *b) {
    CHECK(number_is(root, "sft/even50/uniform/nll/0", 0.4) &&
              number_is(root, "sft/even50/uniform/nll/1", 0.5),
          "uniform nll");
    CHECK(number_is(root, "sft/even50/ica:filter/gap/0", 0.5),
          "gap of seed 1: (0.4 - 0.25) / (0.4 - 0.1)");
    CHECK(number_is(root, "sft/even50/ica:filter/gap/1", 0.75),
          "gap of seed 2: (0.5 - 0.2) / (0.5 - 0.1)");
    CHECK(null_is(root, "sft/even50/uniform/gap/0") && null_is(root, "sft/even50/oracle/gap/1"),
          "the ends have no gap");
    CHECK(number_is(root, "sft/even50/rho:filter/nll/1", 0.15) &&
              null_is(root, "sft/even50/rho:filter/nll/0"),
          "missing seed");
    CHECK(null_is(root, "sft/even50/rho:filter/gap/0") &&
              null_is(root, "sft/even50/ica:filter/ess/0"),
          "nulls");
    CHECK(number_is(root, "sft/even50/ica:filter/seconds/1", 2.25),
          "seconds are scoring and training, not evaluation");
    const Json *arms = at(root, "sft/even50");
    static const char *const order[] = {"uniform", "ica:filter", "rho:filter", "holdout-only",
                                        "oracle"};
    CHECK(arms && arms->count == 5, "five arms");
    for (int i = 0; arms && i < 5; i++)
        CHECK(str_is(arms->keys[i], order[i]), "arm %d is %.*s", i, STR_ARG(arms->keys[i]));
    CHECK(has(&b->text, "ica:filter             0.2250\xc2\xb1"
                        "0.0354  0.500\xc2\xb1"
                        "0.000"),
          "%s", b->text.s);
    CHECK(has(&b->text, "62.5\xc2\xb1"
                        "17.7"),
          "the gap in per cent");
    CHECK(has(&b->text, "rho:filter (1 seed)           0.1500"), "one seed has no spread");
    CHECK(!has(&b->text, "Best ") && !has(&b->text, "best "), "the test set names no winner");
    CHECK(has(&b->text, "Mean and sample standard deviation (divisor n - 1) over seeds."), "+-");
    CHECK(has(&b->text, "\noracle *") && !has(&b->text, "uniform *"), "who knows the truth");
    CHECK(has(&b->text, "ICA against rho under the same map, filter: worse (0.2000 against 0.1500; "
                        "better in 0 of 1 seed)."),
          "a negative result must show");
    CHECK(has(&b->text,
              "ICA against uniform: ica:filter better (0.2250 against 0.4500; better in 2 of 2 "
              "seeds)."),
          "against uniform");
}

static void check_pairs(const Json *root) {
    CHECK(number_is(root, "dpo/ica:minmax/gap/0", 0.5) &&
              number_is(root, "dpo/ica:minmax/loss/0", 0.3),
          "dpo: gap");
    CHECK(number_is(root, "simpo/ica:minmax/gap/0", 0.25),
          "simpo: gap of the accuracy, (0.8 - 0.75) / (0.95 - 0.75)");
    CHECK(number_is(root, "simpo/ica:minmax/gap_loss/0", 0.5),
          "simpo: gap of the loss, (0.4 - 0.3) / (0.4 - 0.2)");
    CHECK(null_is(root, "dpo/ica:minmax/gap_reward_accuracy/0"),
          "dpo: uniform and oracle are equally accurate");
    CHECK(!at(root, "sft/even50/uniform/gap_loss"), "fine-tuning has one gap");
    CHECK(number_is(root, "simpo/oracle/margin/0", 0.5) && number_is(root, "dpo/uniform/ess/0", 7),
          "margin, ess");
    CHECK(number_is(root, "dpo/uniform/seconds/0", 1), "seconds of pairs");
}

static const char *score_json(Place *p, const char *name, const char *method, const char *draw,
                              double all, const char *rest) {
    return place_write(
        p, name,
        "{\"command\":\"score\",\"method\":\"%s\",\"group\":\"even50\",\"draw\":\"%s\","
        "\"objective\":\"sft\",\"auroc\":{\"weird\":0.5,\"careless\":0.25,\"all\":%g}%s}",
        method, draw, all, rest);
}

/* Runs of two seeds, pairs, scores of two draws, an evaluation, in no order. Returns how many. */
static int place_all(Place *p, const char **in) {
    int n = 0;
    in[n++] = place_sft(p, "o2", "oracle", 2, 0.1, 1);
    in[n++] = place_sft(p, "u2", "uniform", 2, 0.5, 1);
    in[n++] = place_sft(p, "u1", "uniform", 1, 0.4, 1);
    in[n++] = place_sft(p, "h1", "holdout-only", 1, 0.14, 1);
    in[n++] = place_sft(p, "r2", "rho:filter", 2, 0.15, 1);
    in[n++] = place_sft(p, "i1", "ica:filter", 1, 0.25, 1);
    in[n++] = place_sft(p, "i2", "ica:filter", 2, 0.2, 2);
    in[n++] = place_sft(p, "o1", "oracle", 1, 0.1, 1);
    in[n++] = place_pair(p, "d1", "uniform", "dpo", 0.4, 0.9);
    in[n++] = place_pair(p, "d2", "ica:minmax", "dpo", 0.3, 0.9);
    in[n++] = place_pair(p, "d3", "oracle", "dpo", 0.2, 0.9);
    in[n++] = place_pair(p, "s1", "uniform", "simpo", 0.4, 0.75);
    in[n++] = place_pair(p, "s2", "ica:minmax", "simpo", 0.3, 0.8);
    in[n++] = place_pair(p, "s3", "oracle", "simpo", 0.2, 0.95);
    in[n++] = score_json(p, "b.json", "rho", "2", 0.75, "");
    in[n++] = score_json(p, "c.json", "ica", "10", 0.5, "");
    in[n++] = score_json(p, "a.json", "ica", "2", 1, "");
    in[n++] = place_write(
        p, "e.json",
        "{\"command\":\"eval\",\"k\":3,\"nll\":0.1,\"p_sequence\":0.9,\"exact_match\":0.75}\n"
        "{\"command\":\"eval\",\"k\":0,\"nll\":0.5,\"p_sequence\":0.25}\n");
    return n;
}

static void check_others(const Json *root) {
    CHECK(number_is(root, "auroc/ica/all/0", 1) && number_is(root, "auroc/ica/all/1", 0.5),
          "draw 2 stands before draw 10");
    CHECK(number_is(root, "auroc/rho/all/0", 0.75) && null_is(root, "auroc/rho/all/1"),
          "a draw that is missing");
    const Json *kinds = at(root, "auroc/ica");
    CHECK(kinds && kinds->count == 3 && str_is(kinds->keys[0], "all") &&
              str_is(kinds->keys[2], "weird"),
          "order of kinds");
    CHECK(number_is(root, "in_context/0/k", 0) && number_is(root, "in_context/1/p_sequence", 0.9),
          "in context, by k");
    CHECK(number_is(root, "in_context/1/exact_match", 0.75) &&
              null_is(root, "in_context/0/exact_match"),
          "exact matches");
    CHECK(number_is(root, "seconds/total", 8 * 10 + 9 + 6 * 2) && number_is(root, "seconds/dpo", 6),
          "seconds");
    CHECK(at(root, "seconds/pretrain") == NULL && at(root, "machine/cores"),
          "no pretraining here; machine");
}

static void test_numbers(void) {
    Place p;
    place_begin(&p);
    const char *in[24];
    int n = place_all(&p, in);
    Built b = build(n, in);
    Arena arena = {0};
    JsonError where;
    const Json *root = b.ok ? json_parse(&arena, b.results.s, b.results.n, &where) : NULL;
    CHECK(root != NULL, "results.json: %s", b.err.text);
    if (root) {
        check_sft(root, &b);
        check_pairs(root);
        check_others(root);
    }
    CHECK(balanced(&b.html) && !has_nan(&b.html) && !has(&b.html, "<script"), "the page is broken");
    CHECK(has(&b.html, "Table of 3 arms, curves and cost") &&
              has(&b.html, "Weights over training") && !has(&b.html, "Highest and lowest"),
          "sections");
    /* What the page says of itself is computed: see check_sft for the numbers. */
    CHECK(
        has(&b.html, "Here 14 runs fine-tuned") &&
            has(&b.html, "3 demonstrations lower the loss of a right answer from 0.500 to 0.100") &&
            has(&b.html, "With ICA&#39;s weights the test NLL on even50 is 0.2250; with equal "
                         "weights it is 0.4500, with the good examples alone 0.1000."),
        "sentences");
    CHECK(has(&b.html, "1 of 1 ICA arm has a lower test NLL than uniform weights (0.4500)") &&
              has(&b.html, "1 of 1 ICA arm has a higher reward acc. than uniform weights (0.750)"),
          "titles");
    CHECK(has(&b.text, "0.750\xc2\xb1"
                       "0.354"),
          "AUROC of ica: mean and standard deviation of 1 and 0.5");
    CHECK(has(&b.html, "<dt>oracle</dt>") && !has(&b.html, "<dt>random-subset</dt>"),
          "the glossary has the words of the page");
    CHECK(has(&b.html, "EM: exact match"), "abbreviations are explained where they are");
    in[n++] = place_write(&p, "seconds.json", "{\"total\":77,\"pretrain\":5,\"more\":1}");
    Built with = build(n, in);
    CHECK(with.ok &&
              has(&with.results,
                  "{\"sft\":89,\"dpo\":6,\"simpo\":6,\"total\":77,\"pretrain\":5,\"more\":1}"),
          "seconds.json goes first: %.300s", with.results.s);
    Built again = build(n, in);
    CHECK(again.ok && again.html.n == with.html.n &&
              memcmp(again.html.s, with.html.s, with.html.n) == 0 &&
              again.results.n == with.results.n &&
              memcmp(again.results.s, with.results.s, with.results.n) == 0 &&
              again.text.n == with.text.n && memcmp(again.text.s, with.text.s, with.text.n) == 0,
          "same inputs, other bytes");
    arena_free(&arena);
    built_free(&b);
    built_free(&with);
    built_free(&again);
    place_end(&p);
}

/* Without ICA a chart's title has the lowest and the highest arm. Without the oracle there is no
 * gap, and nothing explains one. */
static void test_baselines(void) {
    Place p;
    place_begin(&p);
    const char *in[] = {place_sft(&p, "h1", "holdout-only", 1, 0.3, 1),
                        place_sft(&p, "u1", "uniform", 1, 0.4, 1),
                        place_sft(&p, "r1", "rho:filter", 1, 0.15, 1)};
    Built b = build(3, in);
    CHECK(b.ok && has(&b.html, "test NLL from 0.1500 (rho:filter) to 0.4000 (uniform)"),
          "title: %s", b.err.text);
    CHECK(!has(&b.html, "gap: share of the way") && has(&b.html, "METHOD:MAP"),
          "a gap is explained");
    built_free(&b);
    place_end(&p);
}

/* One run on a user's own hostile data, with its scores; truth: the pool says what is clean. */
static const char *place_own(Place *p, const char *truth) {
    char extra[2000];
    const char *pool =
        place_write(p, "pool.jsonl",
                    "{\"id\":\"a\",\"prompt\":\"<script>alert(1)</script>\",\"completion\":\"it's "
                    "\\\"x\\\" & y\"%s}\n"
                    "{\"id\":\"b\",\"prompt\":\"plain\",\"completion\":\"</td></table>\"%s}\n",
                    truth, *truth ? ",\"clean\":false" : "");
    const char *holdout =
        place_write(p, "holdout.jsonl",
                    "{\"id\":\"h<1>\",\"prompt\":\"<i>demo</i>\",\"completion\":\"<b>\"}\n");
    snprintf(
        extra, sizeof extra,
        "\"options\":{\"pool\":\"%s\",\"holdout\":\"%s\",\"weights\":\"ica\",\"<o>\":\"</table>\"},"
        "\"result\":{\"nll\":0.5}",
        pool, holdout);
    const char *run = place_run(p, "own", "ica:<top>", 1, extra, "{\"step\":1,\"loss\":2}\n");
    place_write(
        p, "own/scores.jsonl",
        "{\"id\":\"a\",\"score\":1.5,\"logp\":-3,\"logp_in_context\":-1.5,\"demos\":[\"h<1>\"]}\n"
        "{\"id\":\"b\",\"score\":-2,\"logp\":-3,\"logp_in_context\":-5,\"demos\":[\"gone<\"]}\n");
    return run;
}

static void test_own_data(void) {
    Place p;
    place_begin(&p);
    const char *in[1] = {place_own(&p, "")};
    Built b = build(1, in);
    CHECK(b.ok && balanced(&b.html) && !has(&b.html, "<script") && !has(&b.html, "<top>") &&
              !has(&b.html, "<i>demo"),
          "%s", b.err.text);
    CHECK(has(&b.html, "&lt;script&gt;alert(1)&lt;/script&gt;") &&
              has(&b.html, "it&#39;s &quot;x&quot; &amp; y"),
          "escapes");
    CHECK(has(&b.html, "read before: &lt;i&gt;demo&lt;/i&gt; \xe2\x86\x92 &lt;b&gt;</p>") &&
              has(&b.html, "read before: gone&lt;</p>"),
          "demos");
    CHECK(has(&b.html, "<b>+1.500</b> highest") && has(&b.html, "<b>-2.000</b> lowest"),
          "examples");
    CHECK(has(&b.html, "ICA gives 50 % of 2 records a score above 0") && !has(&b.html, "AUROC") &&
              !has(&b.html, "corrupted"),
          "one class only");
    CHECK(!has(&b.html, "gap closed") && !has(&b.html, ">-</td><td>-<"), "no column of dashes");
    CHECK(b.results.s && has(&b.results, "\"auroc\":{}") && has(&b.results, "\"dpo\":{}"),
          "empty parts of results.json");
    const char *pool = p.paths[0], *holdout = p.paths[1];
    unlink(holdout);
    Built no_holdout = build(1, in);
    CHECK(no_holdout.ok && has(&no_holdout.html, "read before: h&lt;1&gt;</p>") &&
              has(&no_holdout.text, "Note: The demo"),
          "ids");
    unlink(pool);
    Built no_pool = build(1, in);
    CHECK(no_pool.ok && !has(&no_pool.html, "ICA gives") && !has(&no_pool.html, ">Highest and"),
          "%s", no_pool.err.text);
    CHECK(has(&no_pool.html, ">Notes<") &&
              has(&no_pool.text, "Note: The charts of ica scores on even50 (seed 1) are left out: "
                                 "no pool"),
          "%s", no_pool.text.s);
    /* another record; one more record */
    static const char *const ids[2][3] = {{"a", "c", NULL}, {"a", "b", "c"}};
    for (int i = 0; i < 2; i++) {
        Buf lines = {0};
        for (int k = 0; k < 3 && ids[i][k]; k++)
            buf_printf(&lines, "{\"id\":\"%s\",\"prompt\":\"p\",\"completion\":\"c\"}\n",
                       ids[i][k]);
        place_write(&p, "pool.jsonl", "%s", lines.s);
        Built other = build(1, in);
        CHECK(other.ok && has(&other.text, "no longer the pool that was scored"), "%d: %s", i,
              other.text.s);
        built_free(&other);
        buf_free(&lines);
    }
    built_free(&b);
    built_free(&no_holdout);
    built_free(&no_pool);
    place_end(&p);
}

static void test_truth(void) {
    Place p;
    place_begin(&p);
    const char *in[1] = {place_own(&p, ",\"clean\":true,\"source\":\"<src>\"")};
    Built b = build(1, in);
    CHECK(b.ok && balanced(&b.html) &&
              has(&b.html, "ICA scores a clean record above a corrupted one in 100.0 % of cases") &&
              has(&b.html, ">ica 1.000<"),
          "%s", b.err.text);
    CHECK(has(&b.html, "highest of &lt;src&gt; <span class=\"soft\">clean, a<") &&
              has(&b.html, "highest of corrupted <span class=\"soft\">corrupted, b<"),
          "truth beside the examples");
    built_free(&b);
    place_end(&p);
}

/* A score file itself, with its pool and without. */
static void test_score_file(void) {
    Place p;
    place_begin(&p);
    place_own(&p, ",\"clean\":true,\"source\":\"s\"");
    const char *pool = p.paths[0], *scores = p.paths[p.n_paths - 1];
    ReportInputs in = {.count = 1, .paths = &scores, .pool = pool, .holdout = p.paths[1]};
    Built b = {.ok = false};
    b.ok = report_build(&in, &b.text, &b.results, &b.html, &b.err);
    CHECK(b.ok && balanced(&b.html) && has(&b.html, ">scores.js\xe2\x80\xa6 1.000<"), "%s",
          b.err.text);
    CHECK(has(&b.text, "Score files\n") && has(&b.text, "-0.2500  -2.0000   1.5000  1.0000"),
          "mean, lowest, highest, AUROC: %s", b.text.s);
    CHECK(has(&b.results, "\"records\":2,\"scored\":2,\"auroc\":1}]"), "%s", b.results.s);
    CHECK(has(&b.html, "<b>+1.500</b> highest of s") && has(&b.html, "read before: &lt;i&gt;demo"),
          "records with their texts");
    in.pool = in.holdout = NULL;
    Built bare = {.ok = false};
    bare.ok = report_build(&in, &bare.text, &bare.results, &bare.html, &bare.err);
    CHECK(bare.ok && has(&bare.html, "<b>+1.500</b> highest <span class=\"soft\">a<") &&
              !has(&bare.html, "AUROC") && has(&bare.results, "\"auroc\":null"),
          "without a pool: ids and no truth");
    in.pool = p.paths[1];
    Built other = {.ok = false};
    other.ok = report_build(&in, &other.text, &other.results, &other.html, &other.err);
    CHECK(!other.ok && other.err.status == STATUS_DATA && strstr(other.err.text, "--pool"),
          "another pool: %s", other.err.text);
    built_free(&b);
    built_free(&bare);
    built_free(&other);
    place_end(&p);
}

/* A conversation on a card: what is before its last prompt is told. */
static void test_conversation(void) {
    Place p;
    place_begin(&p);
    const char *pool = place_write(
        &p, "pool.jsonl",
        "{\"id\":\"a\",\"messages\":[{\"role\":\"system\",\"content\":\"be <kind>\"},{\"role\":"
        "\"user\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"two\"},{\"role\":"
        "\"user\",\"content\":\"three\"},{\"role\":\"assistant\",\"content\":\"four\"}]}\n");
    const char *scores = place_write(&p, "s.jsonl", "{\"id\":\"a\",\"score\":1,\"weight\":1}\n");
    ReportInputs in = {.count = 1, .paths = &scores, .pool = pool};
    Built b = {.ok = false};
    b.ok = report_build(&in, &b.text, &b.results, &b.html, &b.err);
    CHECK(b.ok && has(&b.html, "system: be &lt;kind&gt;</p>") &&
              has(&b.html, "after 1 earlier turn</p>") && has(&b.html, "<p>three</p><p><b>four"),
          "%s", b.err.text);
    built_free(&b);
    place_end(&p);
}

/* The loss of pretraining jumps; fine-tuning computes its scores three times. */
static void test_marks(void) {
    Place p;
    place_begin(&p);
    const char *in[2] = {
        place_run(&p, "base", "uniform", 1,
                  "\"command\":\"pretrain\",\"options\":{\"k\":2},\"result\":{\"steps\":40,"
                  "\"loss\":0.5}",
                  "{\"step\":10,\"loss\":1,\"icl_p_sequence\":0.25}\n{\"step\":20,\"loss\":0.2}\n"
                  "{\"step\":30,\"loss\":0.9}\n{\"step\":40,\"loss\":0.5,\"icl_p_sequence\":0.75}"
                  "\n"),
        place_run(&p, "tuned", "ica:filter", 1,
                  "\"options\":{\"refresh\":3},\"result\":{\"steps\":30,\"nll\":0.5}",
                  "{\"step\":10,\"loss\":2,\"weight_clean\":0.9,\"weight_corrupted\":0.4}\n"
                  "{\"step\":30,\"loss\":1,\"weight_clean\":0.8,\"weight_corrupted\":0.1}\n")};
    Built b = build(2, in);
    CHECK(b.ok && has(&b.html, ">jump at step 20 to 30<") &&
              has(&b.html, "Where the loss jumps from 0.20 to 0.90"),
          "%s", b.err.text);
    CHECK(has(&b.html, "After 2 demonstrations the whole right answer has probability 0.75"), "k");
    CHECK(has(&b.html, ">scores anew<"), "the steps at which scores are computed again");
    CHECK(has(&b.html, "The lead of good records in weight goes from 0.5 to 0.7"),
          "clean minus corrupted");
    CHECK(has(&b.html, "<td>0.850</td><td>0.250</td>"), "mean weights");
    built_free(&b);
    place_end(&p);
}

/* An oracle that is not better than uniform weights is no end to measure a gap with. */
static void test_no_gap(void) {
    Place p;
    place_begin(&p);
    const char *in[6] = {place_sft(&p, "u", "uniform", 1, 0.4, 1),
                         place_sft(&p, "o", "oracle", 1, 0.5, 1),
                         place_sft(&p, "i", "ica:filter", 1, 0.45, 1),
                         place_pair(&p, "su", "uniform", "simpo", 0.5, 0.8),
                         place_pair(&p, "so", "oracle", "simpo", 0.4, 0.7),
                         place_pair(&p, "si", "ica:filter", "simpo", 0.45, 0.75)};
    Built b = build(6, in);
    Arena arena = {0};
    const Json *root = b.ok ? json_parse(&arena, b.results.s, b.results.n, NULL) : NULL;
    CHECK(root && null_is(root, "sft/even50/ica:filter/gap/0"), "a loss: %s", b.err.text);
    CHECK(root && null_is(root, "simpo/ica:filter/gap/0"), "an accuracy");
    CHECK(root && number_is(root, "simpo/ica:filter/gap_loss/0", 0.5), "its loss is better");
    built_free(&b);
    arena_free(&arena);
    place_end(&p);
}

/* A run with a validation part, of which the log has the loss at three steps. */
static const char *place_validated(Place *p, Arena *arena, const char *name, const char *arm,
                                   double start, double second, double third) {
    return place_run(
        p, name, arm, 1,
        text_new(arena,
                 "\"before\":{\"validation_nll\":%g},\"options\":{\"load-best-model-at-end\":true}"
                 ",\"result\":{\"steps\":20,\"best_step\":10,\"validation_nll\":%g}",
                 start, second),
        text_new(arena,
                 "{\"step\":10,\"loss\":2,\"validation_nll\":%g}\n"
                 "{\"step\":20,\"loss\":1,\"validation_nll\":%g}\n",
                 second, third));
}

/* The chart of the validation loss says what it shows: one arm or two, and where the lowest point
 * is. */
static void test_validation(void) {
    static const struct {
        double start, second, third;
        const char *title;
    } one[] = {
        {3, 1, 1.5, "The validation loss is lowest at step 10, 1; it ends at 1.5"},
        {3, 2, 1.5, "The validation loss is lowest at the end, 1.5: more steps may help"},
        {1.25, 2, 1.5, "No step lowers the validation loss, which is 1.25 at the start"},
    };
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        Place p;
        place_begin(&p);
        Arena arena = {0};
        const char *in[2] = {
            place_validated(&p, &arena, "a", "uniform", one[i].start, one[i].second, one[i].third),
            NULL};
        Built b = build(1, in);
        CHECK(b.ok && has(&b.html, one[i].title) && balanced(&b.html), "%s: %s", one[i].title,
              b.err.text);
        CHECK(has(&b.html, ">validation</") && has(&b.html, ">training</"), "both lines");
        CHECK(has(&b.html, "a has the model of step 10, its best evaluation."), "what is kept");
        CHECK(has(&b.html, "it says when to stop"), "the word is explained");
        built_free(&b);
        in[1] = place_validated(&p, &arena, "b", "ica:filter", one[i].start, 0.5, 2);
        b = build(2, in);
        CHECK(b.ok && has(&b.html, "The lowest validation loss is 0.5, of ica:filter at step 10; "
                                   "of uniform it is 1"),
              "%s", b.err.text);
        CHECK(has(&b.html, "Each run has the model of its best evaluation."), "what is kept");
        built_free(&b);
        place_end(&p);
        arena_free(&arena);
    }
}

/* The table and results.json have the validation loss where a run has one, else no word of it. */
static void test_validation_column(void) {
    Place p;
    place_begin(&p);
    Arena arena = {0};
    const char *with[] = {place_validated(&p, &arena, "a", "uniform", 3, 1.25, 2),
                          place_validated(&p, &arena, "b", "ica:filter", 3, 0.5, 2)};
    const char *without[] = {place_sft(&p, "c", "uniform", 1, 0.5, 1)};
    Built b = build(2, with);
    CHECK(b.ok && has(&b.html, ">validation</th>"), "%s: no column", b.err.text);
    CHECK(has(&b.html, "validation: loss of the part of the pool"), "the column is not explained");
    CHECK(has(&b.text, "0.5000") && has(&b.text, "1.2500"), "values: %s", b.text.s);
    CHECK(has(&b.results, "\"validation_nll\":[0.5]"), "results: %s", b.results.s);
    built_free(&b);
    b = build(1, without);
    CHECK(b.ok && !has(&b.html, "validation") && !has(&b.text, "validation"), "a word too many");
    CHECK(!has(&b.results, "validation"), "results: %s", b.results.s);
    built_free(&b);
    place_end(&p);
    arena_free(&arena);
}

/* A run with a validation part has scores of the others alone: the pool without what was left out,
 * by run.json, is the pool that was scored. */
static void test_left_out(void) {
    static const char rows[] = "{\"id\":\"a\",\"score\":2}\n{\"id\":\"c\",\"score\":1}\n";
    for (int told = 0; told < 3; told++) { /* nothing, too little, all of it */
        Place p;
        Arena arena = {0};
        place_begin(&p);
        const char *pool = place_write(&p, "pool.jsonl",
                                       "{\"id\":\"a\",\"prompt\":\"p\",\"completion\":\"one\"}\n"
                                       "{\"id\":\"b\",\"prompt\":\"q\",\"completion\":\"two\"}\n"
                                       "{\"id\":\"c\",\"prompt\":\"r\",\"completion\":\"three\"}\n"
                                       "{\"id\":\"d\",\"prompt\":\"s\",\"completion\":\"four\"}\n");
        const char *in[1] = {place_run(
            &p, "run", "ica:filter", 1,
            text_new(&arena,
                     "\"options\":{\"weights\":\"ica\",\"pool\":\"%s\"},\"data\":[{\"path\":\"%s\","
                     "\"left_out\":{\"copies\":%d,\"validation\":%d}}],\"result\":{\"steps\":1}",
                     pool, pool, told > 1, told > 0),
            NULL)};
        place_write(&p, "run/scores.jsonl", "%s", rows);
        Built b = build(1, in);
        CHECK(b.ok && has(&b.html, "no longer the pool that was scored") == (told < 2), "%d: %s",
              told, b.err.text);
        CHECK(has(&b.html, "three") == (told == 2) && !has(&b.html, "two"), "%d: the texts", told);
        built_free(&b);
        place_end(&p);
        arena_free(&arena);
    }
}

static const char *place_model(Place *p) {
    const char *folder = place_folder(p, "m");
    place_path(p, "m/config.json");
    place_path(p, "m/generation_config.json");
    place_path(p, "m/model.safetensors");
    return folder;
}

/* Each token's gain, against the model's own log-likelihoods of the rows that end at it. */
static void test_gains(void) {
    Place p;
    place_begin(&p);
    Error err = {0};
    ModelFolder f = {
        .model = model_new(
            (ModelConfig){.layers = 1, .heads = 2, .channels = 8, .context = 8, .vocab = 12},
            &err)};
    model_initialize(f.model, 3);
    for (size_t i = 0; i < f.model->parameters; i++) f.model->w[i] *= 20; /* far from uniform */
    const char *model = place_model(&p);
    const char *pool = place_write(&p, "pool.jsonl",
                                   "{\"id\":\"a\",\"input_ids\":[1,2,3,4],"
                                   "\"labels\":[-100,-100,3,4]}\n"),
               *holdout = place_write(&p, "holdout.jsonl",
                                      "{\"id\":\"h\",\"input_ids\":[5,6,7],"
                                      "\"labels\":[-100,6,7]}\n");
    Gains *g = NULL;
    GainFiles files = {.model = model, .pool = pool, .holdout = holdout};
    CHECK(model_folder_save(&f, model, &err) && (g = gains_open(&files, &err)) != NULL, "%s",
          err.text);
    Arena arena = {0};
    TokenGains t = {0};
    int demo = g ? gains_demo(g, str("h")) : -1;
    CHECK(demo == 0 && gains_demo(g, str("x")) == -1, "the holdout's record");
    CHECK(g && gains_of(g, 0, false, &demo, 1, &arena, &t) && t.n == 2, "the answer's tokens");
    if (t.n == 2) {
        static const int rows[2][7] = {{1, 2, 3, 4}, {5, 6, 7, 1, 2, 3, 4}};
        double logp[2][2], sum[2];
        Workspace *ws = workspace_new();
        Batch b = {0};
        for (int c = 0; c < 2; c++)
            for (int i = 0; i < 2; i++) { /* the row up to token i of the answer, which it scores */
                int n = (c ? 5 : 2) + i + 1;
                batch_clear(&b);
                batch_row(&b, rows[c], n, n - 1, NULL);
                model_forward(f.model, ws, &b, false, &logp[c][i], NULL);
            }
        for (int c = 0; c < 2; c++) sum[c] = logp[c][0] + logp[c][1];
        /* Single precision: 1e-5 of log-likelihoods of some nats. */
        for (int i = 0; i < 2; i++)
            CHECK(fabs(t.gain[i] - (logp[1][i] - logp[0][i])) < 1e-4, "token %d: %g, want %g", i,
                  t.gain[i], logp[1][i] - logp[0][i]);
        CHECK(fabs(t.alone - sum[0]) < 1e-4 && fabs(t.in_context - sum[1]) < 1e-4, "sums");
        CHECK(fabs(t.gain[0]) > 0.01 && str_is(t.text[0], "#3"), "%g", t.gain[0]);
        batch_free(&b);
        workspace_free(ws);
    }
    int demos[3] = {0, 0, 0}; /* 3 + 3 + 3 + 4 tokens do not fit a context of 8 */
    CHECK(g && !gains_of(g, 0, false, demos, 3, &arena, &t), "a row that is too long");
    gains_close(g);
    arena_free(&arena);
    model_folder_free(&f);
    place_end(&p);
}

/* The page shows the gains if the model gives the numbers of the score file. A record that it gives
 * other numbers is told, and a model that gives none of them has not made them. */
static void test_strips(void) {
    Place p;
    place_begin(&p);
    Error err = {0};
    ModelFolder f = {
        .model = model_new(
            (ModelConfig){.layers = 1, .heads = 2, .channels = 8, .context = 8, .vocab = 12},
            &err)};
    model_initialize(f.model, 3);
    const char *model = place_model(&p);
    const char *pool = place_write(&p, "pool.jsonl",
                                   "{\"id\":\"a\",\"input_ids\":[1,2,3],"
                                   "\"labels\":[-100,-100,3]}\n"
                                   "{\"id\":\"b\",\"input_ids\":[1,2,3],"
                                   "\"labels\":[-100,-100,3]}\n"),
               *holdout = place_write(&p, "holdout.jsonl",
                                      "{\"id\":\"h\",\"input_ids\":[5,6,7],"
                                      "\"labels\":[-100,6,7]}\n");
    Arena arena = {0};
    TokenGains t = {0};
    int demo = 0;
    CHECK(model_folder_save(&f, model, &err), "%s", err.text);
    GainFiles files = {.model = model, .pool = pool, .holdout = holdout};
    Gains *g = gains_open(&files, &err);
    CHECK(g && gains_of(g, 0, false, &demo, 1, &arena, &t), "%s", err.text);
    gains_close(g);
    for (int other = 0; other < 3; other++) {
        const char *scores =
            place_write(&p, text_new(&arena, "scores%d.jsonl", other),
                        "{\"id\":\"a\",\"score\":1,\"logp\":%.17g,\"logp_in_context\":%.17g,"
                        "\"demos\":[\"h\"],\"tokens\":1}\n"
                        "{\"id\":\"b\",\"score\":0,\"logp\":%.17g,\"logp_in_context\":%.17g,"
                        "\"demos\":[\"h\"],\"tokens\":1}\n",
                        t.alone + (other > 1), t.in_context, t.alone + (other > 0), t.in_context);
        ReportInputs in = {
            .count = 1, .paths = &scores, .pool = pool, .holdout = holdout, .model = model};
        Built b = {.ok = false};
        b.ok = report_build(&in, &b.text, &b.results, &b.html, &b.err);
        CHECK(b.ok == (other < 2), "%d: %s", other, b.err.text);
        CHECK(!b.ok || (has(&b.html, ">#3<small>") && balanced(&b.html)), "%s", b.err.text);
        CHECK(!b.ok || has(&b.text, "1 answer without the tokens' gain") == (other == 1), "%s",
              b.text.s);
        CHECK(b.ok || (b.err.status == STATUS_DATA && strstr(b.err.text, "other log-likelihoods")),
              "%s", b.err.text);
        built_free(&b);
    }
    arena_free(&arena);
    model_folder_free(&f);
    place_end(&p);
}

static void expect_error(const char *input, int status, const char *part) {
    const char *in[1] = {input};
    Built b = build(1, in);
    CHECK(!b.ok && b.err.status == status, "%s: status %d", input, b.err.status);
    CHECK(strstr(b.err.text, input) && strstr(b.err.text, part), "%s lacks: %s", b.err.text, part);
    built_free(&b);
}

static void test_bad_inputs(void) {
    Place p;
    place_begin(&p);
    expect_error(place_folder(&p, "empty"), STATUS_DATA, "no run.json");
    const char *folder = place_folder(&p, "broken");
    place_write(&p, "broken/run.json", "{\"arm\":\n\"x\",,}");
    expect_error(folder, STATUS_DATA, "broken/run.json:2:");
    folder = place_run(&p, "log", "uniform", 1, "\"result\":{}", "{\"step\":1}\n\n{\"step\":2,\n");
    expect_error(folder, STATUS_DATA, "log/log.jsonl:3:");
    expect_error(place_write(&p, "array.json", "[1]"), STATUS_DATA, "must hold one JSON object");
    expect_error(place_write(&p, "other.json", "{\"command\":\"bench\"}"), STATUS_DATA,
                 "neither scores nor an eval");
    expect_error(place_write(&p, "void.json", "%s", ""), STATUS_DATA, "not valid JSON");
    expect_error("/nonexistent/thing", STATUS_IO, "thing");
    Built none = build(0, NULL);
    CHECK(!none.ok && none.err.status == STATUS_DATA && strstr(none.err.text, "nothing to report"),
          "%s", none.err.text);
    built_free(&none);
    unlink(p.paths[p.n_paths - 1]);
    folder = place_own(&p, "");
    place_write(&p, "own/scores.jsonl", "{\"id\":\"a\",\"score\":1}\nnonsense\n");
    expect_error(folder, STATUS_DATA, "own/scores.jsonl:2:");
    place_write(&p, "own/scores.jsonl", "{\"id\":\"a\"}\n");
    expect_error(folder, STATUS_DATA, "own/scores.jsonl:1: has no \"score\"");
    Error err = {0};
    const char *html = place_path(&p, "report.html"), *results = place_path(&p, "results.json");
    ReportInputs one = {.count = 1, .paths = &folder};
    int status = report_main(&one, html, results, false, &err);
    CHECK(status == STATUS_DATA && err.status == STATUS_DATA, "status %d", status);
    CHECK(!file_exists(html) && !file_exists(results), "a bad input must leave no output");
    place_end(&p);
}

/* A run with the options and files that decide its table. */
static const char *place_set(Place *p, const char *name, const char *arm, const char *eval,
                             const char *eval_print, const char *base, int steps) {
    char extra[600];
    snprintf(extra, sizeof extra,
             "\"options\":{\"eval\":\"%s\",\"model\":\"m\",\"pool\":\"p\"},\"inputs\":[{\"path\":"
             "\"p\",\"fingerprint\":\"77\"},{\"path\":\"%s\",\"fingerprint\":\"%s\"}],\"base\":{"
             "\"path\":\"m\",\"fingerprint\":\"%s\"},\"result\":{\"steps\":%d,\"nll\":0.5}",
             eval, eval, eval_print, base, steps);
    return place_run(p, name, arm, 1, extra, NULL);
}

/* Two runs share a table only if test, base and steps are the same. */
static void test_comparable(void) {
    Place p;
    place_begin(&p);
    const char *in[5] = {place_set(&p, "a", "uniform", "t1", "aaaa1111bbbb", "b1", 9),
                         place_set(&p, "b", "ica", "t2", "cccc2222dddd", "b1", 9)};
    Built two = build(2, in);
    CHECK(two.ok && has(&two.text, "1 seed: --eval t1 (aaaa1111)\n") &&
              has(&two.text, "1 seed: --eval t2 (cccc2222)\n") && !has(&two.text, "better"),
          "other --eval: %s", two.text.s);
    CHECK(has(&two.results, "\"even50, --eval t1 (aaaa1111)\":{\"uniform\"") &&
              has(&two.results, "\"even50, --eval t2 (cccc2222)\":{\"ica\""),
          "%s", two.results.s);
    /* The same file under another path is the same. */
    in[1] = place_set(&p, "c", "ica", "./t1", "aaaa1111bbbb", "b1", 9);
    Built same = build(2, in);
    CHECK(same.ok && has(&same.text, "on even50, 1 seed\n") &&
              has(&same.text, "ICA against uniform"),
          "one table: %s", same.text.s);
    in[1] = place_set(&p, "d", "ica", "t1", "aaaa1111bbbb", "b2", 9);
    in[2] = place_set(&p, "e", "rho", "t1", "aaaa1111bbbb", "b1", 8);
    Built three = build(3, in);
    CHECK(three.ok && has(&three.text, "1 seed: --model m (b1), 9 steps\n") &&
              has(&three.text, "1 seed: --model m (b2), 9 steps\n") &&
              has(&three.text, "1 seed: --model m (b1), 8 steps\n"),
          "base and steps: %s", three.text.s);
    /* The same seed on another pool is said. */
    in[1] = place_run(&p, "f", "ica", 1,
                      "\"options\":{\"eval\":\"t1\",\"model\":\"m\",\"pool\":\"q\"},\"inputs\":[{"
                      "\"path\":\"t1\",\"fingerprint\":\"aaaa1111bbbb\"}],\"base\":{"
                      "\"fingerprint\":\"b1\"},\"result\":{\"steps\":9,\"nll\":0.4}",
                      NULL);
    Built pools = build(2, in);
    CHECK(pools.ok && has(&pools.text, "same seed and other pools"), "%s", pools.text.s);
    built_free(&two);
    built_free(&same);
    built_free(&three);
    built_free(&pools);
    place_end(&p);
}

/* The arm `top` is marked if its share is that of the good records. */
static void test_known_share(void) {
    Place p;
    place_begin(&p);
    const char *pool = place_write(&p, "pool.jsonl",
                                   "{\"prompt\":\"a\",\"completion\":\"b\",\"clean\":true}\n"
                                   "{\"prompt\":\"c\",\"completion\":\"d\",\"clean\":false}\n");
    for (int i = 0; i < 2; i++) {
        char extra[600];
        snprintf(extra, sizeof extra,
                 "\"options\":{\"pool\":\"%s\",\"weights\":\"ica\",\"weight-map\":\"top\","
                 "\"share\":%s},\"result\":{\"nll\":0.4}",
                 pool, i ? "0.5" : "0.4");
        const char *in[1] = {place_run(&p, i ? "true" : "other", "ica:top", 1, extra, NULL)};
        Built b = build(1, in);
        CHECK(b.ok && has(&b.text, "ica:top *") == (i == 1), "share %d: %s", i, b.text.s);
        built_free(&b);
    }
    place_end(&p);
}

/* Runs report_main with stdout going to a file. */
static int main_into(const char *path, const char *input, const char *html, const char *results,
                     bool json, Error *err) {
    fflush(stdout);
    int kept = dup(1), to = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(to, 1);
    ReportInputs in = {.count = 1, .paths = &input};
    int status = report_main(&in, html, results, json, err);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    close(to);
    return status;
}

static void test_main(void) {
    Place p;
    place_begin(&p);
    const char *run = place_sft(&p, "one", "uniform", 1, 0.5, 1), *out = place_path(&p, "stdout");
    const char *html = place_path(&p, "report.html"), *results = place_path(&p, "results.json");
    Error err = {0};
    Buf shown = {0}, written = {0};
    CHECK(main_into(out, run, html, results, false, &err) == 0 && file_read(out, &shown, &err),
          "%s", err.text);
    CHECK(has(&shown, "Fine-tuning on even50, 1 seed\narm      test NLL") &&
              has(&shown, "uniform    0.5000"),
          "%s", shown.s);
    CHECK(!has(&shown, "\xc2\xb1") && !has(&shown, "deviation"),
          "one run: no spread and no comparison");
    CHECK(file_read(html, &written, &err) && has(&written, "<!DOCTYPE html>") && balanced(&written),
          "the page");
    CHECK(main_into(out, run, NULL, NULL, true, &err) == 0 && file_read(out, &shown, &err), "%s",
          err.text);
    CHECK(file_read(results, &written, &err) && shown.n == written.n &&
              memcmp(shown.s, written.s, shown.n) == 0,
          "--json prints results.json");
    CHECK(main_into(out, run, "/nonexistent/r.html", NULL, true, &err) == STATUS_IO,
          "no such folder: %s", err.text);
    buf_free(&shown);
    buf_free(&written);
    place_end(&p);
}

/* Every arm of ica.h's tables, in their order: an arm that sorts elsewhere, or a name that order.c
 * does not find in a table, swaps two of the list. */
static void test_order(void) {
    const char *sorted[] = {"uniform",        "random:minmax", "loss:minmax",  "ica:minmax",
                            "ica:rank",       "ica:softmax",   "ica:filter",   "ica",
                            "rho:minmax",     "oneshot:clip",  "nuggets:clip", "gradient:top",
                            "incontext:rank", "another:clip",  "another:zzz",  "holdout-only",
                            "oracle"};
    enum { ARMS = sizeof sorted / sizeof *sorted };
    const char *arms[ARMS];
    for (int i = 0; i < ARMS; i++) arms[i] = sorted[(i * 5 + 3) % ARMS];
    qsort(arms, ARMS, sizeof *arms, order_arms);
    for (int i = 0; i < ARMS; i++)
        CHECK(strcmp(arms[i], sorted[i]) == 0, "arm %d is %s, not %s", i, arms[i], sorted[i]);
    const char *ica_map[2] = {"ica:incontext", "ica:minmax"}; /* a method's name is not a map's */
    CHECK(order_arms(&ica_map[0], &ica_map[1]) > 0, "an unknown map comes last");
    CHECK(objective_pairs("dpo") && objective_pairs("simpo") && !objective_pairs("sft"), "pairs");
    CHECK(strcmp(objective_title("simpo"), "SimPO") == 0, "%s", objective_title("simpo"));
}

int main(void) {
    test_order();
    test_text();
    test_statistics();
    test_charts();
    test_numbers();
    test_baselines();
    test_own_data();
    test_truth();
    test_score_file();
    test_conversation();
    test_marks();
    test_gains();
    test_strips();
    test_no_gap();
    test_validation();
    test_validation_column();
    test_left_out();
    test_comparable();
    test_known_share();
    test_bad_inputs();
    test_main();
    return check_report("report");
}
