/* report: reads runs, scores and evaluations; makes the tables, results.json and the page. The three parts stand in this
 * order: reading, numbers (blocks of arms, AUROC, comparisons), page. */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/dataset.h"
#include "lib/json.h"
#include "lib/report.h"

/* ---- reading ---- */

enum { LOG_STEP, LOG_LOSS, LOG_EVAL, LOG_CLEAN, LOG_CORRUPTED, LOG_ICL_P, LOG_ICL_NLL, LOG_MARGIN, LOG_COLUMNS };

static const char *const LOG_KEYS[LOG_COLUMNS] = {"step", "loss", "eval_nll", "weight_clean", "weight_corrupted",
                                                  "icl_p_sequence", "icl_nll", "rewards/margins"};

typedef struct {
    const char *folder;
    const Json *json; /* run.json */
    const char *group, *arm, *objective;
    double seed;
    bool pretrain;
    int n_log;
    double *log[LOG_COLUMNS]; /* [n_log], NaN where a line has no such key */
} Run;

typedef struct {
    const char *path;
    const Json *json;
    const char *method, *group, *objective, *draw;
} ScoreFile;

typedef struct {
    Arena arena;
    Run *runs;
    ScoreFile *scores;
    const Json **evals;
    int n_runs, n_scores, n_evals, capacity[3];
    const Json *seconds; /* of seconds.json, or NULL */
    Names notes;
} Report;

/* Something the reader of the page should know. */
#define NOTE(r, ...) names_add(&(r)->arena, &(r)->notes, text_new(&(r)->arena, __VA_ARGS__))

/* NaN if there is no such number, or no such object. */
static double number_of(const Json *object, const char *key) {
    const Json *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : NAN;
}

/* A string, or a number as written, as a C string that is safe on a terminal: names from files end up in tables. */
static const char *text_of(Arena *arena, const Json *object, const char *key, const char *otherwise) {
    const Json *v = json_get(object, key);
    if (!v || (v->type != JSON_STRING && v->type != JSON_NUMBER) || v->string.n == 0) return otherwise;
    char *copy = arena_new(arena, v->string.n + 1, 1);
    for (size_t i = 0; i < v->string.n; i++) {
        unsigned char c = (unsigned char)v->string.s[i];
        copy[i] = c < 32 || c == 127 ? '?' : v->string.s[i];
    }
    return copy;
}

/* Parses one text; the error names the file, and the line counted from first_line. */
static const Json *parse_at(Arena *arena, Str text, const char *path, long first_line, Error *err) {
    JsonError where;
    const Json *root = json_parse(arena, text.s, text.n, &where);
    if (root && root->type == JSON_OBJECT) return root;
    if (root) error_set(err, STATUS_DATA, "%s:%ld: expected a JSON object", path, first_line);
    else
        error_set(err, STATUS_DATA, "%s:%ld: broken JSON at column %ld: %s; write this file again", path,
                  first_line + where.line - 1, where.column, where.what);
    return NULL;
}

static bool blank(Str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!strchr(" \t\r\n", s.s[i]) || s.s[i] == 0) return false;
    return true;
}

typedef struct { const Json **v; int n; } Rows;

/* Reads a JSONL file of objects; everything lives in the arena. */
static bool rows_load(Arena *arena, const char *path, Rows *rows, Error *err) {
    Buf text = {0};
    *rows = (Rows){0};
    if (!file_read(path, &text, err)) return false;
    size_t lines = 1, at = 0;
    for (size_t i = 0; i < text.n; i++) lines += text.s[i] == '\n';
    rows->v = arena_new(arena, lines, sizeof *rows->v);
    Str line;
    bool ok = true;
    for (long number = 1; ok && text_line((Str){text.s, text.n}, &at, &line); number++) {
        if (blank(line)) continue;
        const Json *row = parse_at(arena, line, path, number, err);
        if (row) rows->v[rows->n++] = row;
        else ok = false;
    }
    buf_free(&text);
    return ok;
}

static const Json *file_load(Arena *arena, const char *path, Error *err) {
    Buf text = {0};
    if (!file_read(path, &text, err)) return NULL;
    const Json *root = parse_at(arena, (Str){text.s, text.n}, path, 1, err);
    buf_free(&text);
    return root;
}

static bool log_load(Run *run, Arena *arena, Error *err) {
    char *path = path_join(run->folder, "log.jsonl");
    Arena scratch = {0};
    Rows rows = {0};
    bool ok = !file_exists(path) || rows_load(&scratch, path, &rows, err);
    run->n_log = ok ? rows.n : 0;
    for (int c = 0; c < LOG_COLUMNS; c++) {
        run->log[c] = arena_new(arena, (size_t)run->n_log + 1, sizeof(double));
        for (int i = 0; i < run->n_log; i++) run->log[c][i] = number_of(rows.v[i], LOG_KEYS[c]);
    }
    for (int i = 0; i < run->n_log; i++) /* pairs have a loss there */
        if (isnan(run->log[LOG_EVAL][i])) run->log[LOG_EVAL][i] = number_of(rows.v[i], "eval_loss");
    arena_free(&scratch);
    free(path);
    return ok;
}

/* One more place in a list of the report. */
static void *list_grow(void *list, int *capacity, int n, size_t size) {
    if (n < *capacity) return list;
    *capacity = *capacity ? 2 * *capacity : 16;
    return mem_grow(list, (size_t)*capacity, size);
}

static bool run_add(Report *r, const char *folder, Error *err) {
    Run run = {.folder = str_copy(&r->arena, str(folder)).s};
    char *path = path_join(folder, "run.json");
    bool there = file_exists(path);
    if (!there)
        error_set(err, STATUS_DATA, "%s: no run.json in this folder; name folders that pretrain or train finished", folder);
    run.json = there ? file_load(&r->arena, path, err) : NULL;
    free(path);
    if (!run.json) return false;
    run.group = text_of(&r->arena, run.json, "group", "data");
    run.arm = text_of(&r->arena, run.json, "arm", "uniform");
    run.objective = text_of(&r->arena, run.json, "objective", "sft");
    run.pretrain = strcmp(text_of(&r->arena, run.json, "command", "train"), "pretrain") == 0;
    run.seed = number_of(run.json, "seed");
    if (!isfinite(run.seed)) run.seed = 0;
    if (!log_load(&run, &r->arena, err)) return false;
    r->runs = list_grow(r->runs, &r->capacity[0], r->n_runs, sizeof *r->runs);
    r->runs[r->n_runs++] = run;
    return true;
}

static bool object_add(Report *r, const char *path, const Json *json, Error *err) {
    const char *command = text_of(&r->arena, json, "command", "");
    if (strcmp(command, "score") == 0) {
        r->scores = list_grow(r->scores, &r->capacity[1], r->n_scores, sizeof *r->scores);
        r->scores[r->n_scores++] = (ScoreFile){
            str_copy(&r->arena, str(path)).s, json, text_of(&r->arena, json, "method", "ica"),
            text_of(&r->arena, json, "group", "data"), text_of(&r->arena, json, "objective", "sft"),
            text_of(&r->arena, json, "draw", "1")};
        return true;
    }
    if (strcmp(command, "eval") == 0) {
        r->evals = list_grow(r->evals, &r->capacity[2], r->n_evals, sizeof *r->evals);
        r->evals[r->n_evals++] = json;
        return true;
    }
    return error_set(err, STATUS_DATA, "%s: neither a score nor an eval result; name run folders and what "
                     "`ica score --json` or `ica eval --json` printed", path);
}

/* A whole file as one object, or one object a line. */
static bool file_add(Report *r, const char *path, Error *err) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strcmp(name, "seconds.json") == 0) return (r->seconds = file_load(&r->arena, path, err)) != NULL;
    if (strcmp(name, "run.json") == 0) {
        const char *folder = slash ? str_copy(&r->arena, (Str){path, (size_t)(slash - path)}).s : ".";
        return run_add(r, folder[0] ? folder : "/", err);
    }
    Error whole = {0}, lines = {0};
    const Json *json = file_load(&r->arena, path, &whole);
    if (json) return object_add(r, path, json, err);
    Rows rows;
    if (!rows_load(&r->arena, path, &rows, &lines) || rows.n == 0) {
        *err = whole;
        return false;
    }
    for (int i = 0; i < rows.n; i++)
        if (!object_add(r, path, rows.v[i], err)) return false;
    return true;
}

static bool report_read(Report *r, int n_inputs, const char *const *inputs, Error *err) {
    for (int i = 0; i < n_inputs; i++) {
        struct stat info;
        bool folder = stat(inputs[i], &info) == 0 && S_ISDIR(info.st_mode);
        if (!(folder ? run_add(r, inputs[i], err) : file_add(r, inputs[i], err))) return false;
    }
    if (r->n_runs + r->n_scores + r->n_evals > 0) return true;
    return error_set(err, STATUS_DATA, "nothing to report; name run folders or the JSON that score or eval printed");
}

static void report_free(Report *r) {
    free(r->runs);
    free(r->scores);
    free(r->evals);
    arena_free(&r->arena);
}

/* ---- order ---- */

static int rank_in(const char *const *list, int n, const char *name, size_t length) {
    for (int i = 0; i < n; i++)
        if (strlen(list[i]) == length && memcmp(list[i], name, length) == 0) return i;
    return n;
}

#define RANK(list, name, length) rank_in(list, (int)(sizeof(list) / sizeof *(list)), name, length)

static const char *const GROUPS[] = {"even50", "verbose60"};
static const char *const OBJECTIVES[] = {"sft", "dpo", "simpo"};
static const char *const KINDS[] = {"all", "careless", "echo", "absent", "lazy", "verbose", "refuser"};
static const char *const METHODS[] = {"ica", "rho", "oneshot", "nuggets", "gradient", "incontext", "loss", "random"};
static const char *const MAPS[] = {"minmax", "minmax-batch", "clip", "rank", "softmax", "positive", "filter", "top"};

/* Baselines first, then ICA and its rivals, the two that use labels or the holdout alone last. */
static const char *const ARMS[] = {"uniform", "random", "loss", "ica", "rho", "oneshot", "nuggets", "gradient", "incontext"};

static size_t method_length(const char *arm) { return strcspn(arm, ":"); }

static int arm_rank(const char *arm) {
    if (strcmp(arm, "oracle") == 0) return 1000;
    if (strcmp(arm, "holdout-only") == 0) return 999;
    size_t length = method_length(arm);
    const char *map = arm + length + (arm[length] == ':');
    return 20 * RANK(ARMS, arm, length) + RANK(MAPS, map, strlen(map));
}

/* By rank, and names of the same rank by spelling. */
static int ranked(int p_rank, int q_rank, const char *p, const char *q) {
    return p_rank != q_rank ? p_rank - q_rank : strcmp(p, q);
}

static int by_arm(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(arm_rank(p), arm_rank(q), p, q);
}

static int by_group(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(RANK(GROUPS, p, strlen(p)), RANK(GROUPS, q, strlen(q)), p, q);
}

static int by_kind(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(RANK(KINDS, p, strlen(p)), RANK(KINDS, q, strlen(q)), p, q);
}

static int by_method(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    return ranked(RANK(METHODS, p, strlen(p)), RANK(METHODS, q, strlen(q)), p, q);
}

/* Numbers by value and before words. */
static int by_draw(const void *a, const void *b) {
    const char *p = *(const char *const *)a, *q = *(const char *const *)b;
    char *p_end, *q_end;
    double x = strtod(p, &p_end), y = strtod(q, &q_end);
    bool p_number = *p && !*p_end, q_number = *q && !*q_end;
    if (p_number != q_number) return p_number ? -1 : 1;
    if (p_number && x != y) return x < y ? -1 : 1;
    return strcmp(p, q);
}

static int by_number(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* ---- blocks: the arms of one objective on one group, over seeds ---- */

typedef struct { const char *key, *name; int decimals; double scale; } Metric;

enum { METRICS = 6, GAP = 4, SECONDS = 5 };
static const Metric SFT_METRICS[METRICS] = {{"nll", "test NLL", 4, 1},  {"p_sequence", "P(seq)", 3, 1},
                                            {"exact_match", "EM", 3, 1}, {"ess", "ESS", 1, 1},
                                            {"gap", "gap closed %", 1, 100}, {"seconds", "seconds", 2, 1}};
static const Metric PAIR_METRICS[METRICS] = {{"loss", "loss", 4, 1}, {"reward_accuracy", "reward acc.", 3, 1},
                                             {"margin", "margin", 3, 1}, {"ess", "ESS", 1, 1},
                                             {"gap", "gap closed %", 1, 100}, {"seconds", "seconds", 2, 1}};

typedef struct {
    const char *name;
    const Run **runs;        /* [seeds], NULL where this seed is missing */
    double *values[METRICS]; /* [seeds] */
    double mean[METRICS], sd[METRICS];
    int seeds; /* how many this arm has */
    int tone;  /* in the charts */
} Arm;

typedef struct {
    const char *objective, *group;
    const Metric *metrics;
    int headline; /* the metric that the gap is of */
    bool higher;  /* is more of it better? */
    int n_seeds, n_arms;
    double *seeds;
    Arm *arms;
} Block;

typedef struct { Block *v; int n; } Blocks;

/* What the run's arm cost: scores, references and training; NaN if none of them was noted. */
static double run_cost(const Run *run) {
    static const char *const parts[] = {"score", "reference", "train"};
    const Json *seconds = json_get(run->json, "seconds");
    double sum = NAN;
    for (int i = 0; i < 3; i++) {
        double part = number_of(seconds, parts[i]);
        if (isfinite(part)) sum = (isnan(sum) ? 0 : sum) + part;
    }
    return sum;
}

static double run_metric(const Run *run, const char *key) {
    if (strcmp(key, "seconds") == 0) return run_cost(run);
    return number_of(json_get(run->json, "result"), key);
}

static const Arm *block_arm(const Block *b, const char *name) {
    for (int i = 0; i < b->n_arms; i++)
        if (strcmp(b->arms[i].name, name) == 0) return &b->arms[i];
    return NULL;
}

/* The share of the way from uniform to oracle, per seed; undefined for these two and when one of them is missing. */
static void block_gaps(Block *b) {
    const Arm *uniform = block_arm(b, "uniform"), *oracle = block_arm(b, "oracle");
    for (int a = 0; a < b->n_arms; a++) {
        Arm *arm = &b->arms[a];
        for (int s = 0; s < b->n_seeds; s++) {
            double gap = NAN;
            if (uniform && oracle && arm != uniform && arm != oracle) {
                double from = uniform->values[b->headline][s];
                gap = (from - arm->values[b->headline][s]) / (from - oracle->values[b->headline][s]);
            }
            arm->values[GAP][s] = isfinite(gap) ? gap : NAN;
        }
    }
}

static bool run_belongs(const Run *run, const char *objective, const char *group) {
    return !run->pretrain && strcmp(run->objective, objective) == 0 && strcmp(run->group, group) == 0;
}

static void block_fill(Report *r, Block *b) {
    for (int i = 0; i < r->n_runs; i++) {
        const Run *run = &r->runs[i];
        if (!run_belongs(run, b->objective, b->group)) continue;
        Arm *arm = b->arms;
        while (strcmp(arm->name, run->arm) != 0) arm++;
        int s = 0;
        while (b->seeds[s] != run->seed) s++;
        if (arm->runs[s])
            NOTE(r, "%s and %s are the same arm, group and seed: the second one counts.",
                                             arm->runs[s]->folder, run->folder);
        else arm->seeds++;
        arm->runs[s] = run;
        for (int m = 0; m < METRICS; m++)
            if (m != GAP) arm->values[m][s] = run_metric(run, b->metrics[m].key);
    }
    block_gaps(b);
    for (int a = 0; a < b->n_arms; a++)
        for (int m = 0; m < METRICS; m++)
            mean_sd(b->arms[a].values[m], b->n_seeds, &b->arms[a].mean[m], &b->arms[a].sd[m]);
}

static Block block_make(Report *r, const char *objective, const char *group) {
    bool sft = strcmp(objective, "sft") == 0, simpo = strcmp(objective, "simpo") == 0;
    Block b = {.objective = objective, .group = group, .metrics = sft ? SFT_METRICS : PAIR_METRICS,
               .headline = simpo ? 1 : 0, .higher = simpo};
    Names arms = {0};
    b.seeds = arena_new(&r->arena, (size_t)r->n_runs, sizeof *b.seeds);
    for (int i = 0; i < r->n_runs; i++) {
        if (!run_belongs(&r->runs[i], objective, group)) continue;
        names_add(&r->arena, &arms, r->runs[i].arm);
        int s = 0;
        while (s < b.n_seeds && b.seeds[s] != r->runs[i].seed) s++;
        if (s == b.n_seeds) b.seeds[b.n_seeds++] = r->runs[i].seed;
    }
    qsort(b.seeds, (size_t)b.n_seeds, sizeof *b.seeds, by_number);
    names_sort(&arms, by_arm);
    b.n_arms = arms.n;
    b.arms = arena_new(&r->arena, (size_t)arms.n, sizeof *b.arms);
    for (int a = 0; a < arms.n; a++) {
        b.arms[a].name = arms.v[a];
        b.arms[a].runs = arena_new(&r->arena, (size_t)b.n_seeds, sizeof *b.arms[a].runs);
        for (int m = 0; m < METRICS; m++) {
            b.arms[a].values[m] = arena_new(&r->arena, (size_t)b.n_seeds, sizeof(double));
            for (int s = 0; s < b.n_seeds; s++) b.arms[a].values[m][s] = NAN;
        }
    }
    block_fill(r, &b);
    return b;
}

static bool no_truth(const Arm *arm) { return strcmp(arm->name, "oracle") != 0; }

static bool arm_is(const Arm *arm, const char *method) {
    size_t n = method_length(arm->name);
    return n == strlen(method) && memcmp(arm->name, method, n) == 0;
}

/* The best mean of the headline metric among the arms of one method (NULL: among all but the oracle). */
static const Arm *block_best(const Block *b, const char *method) {
    const Arm *best = NULL;
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *arm = &b->arms[a];
        double v = arm->mean[b->headline];
        if (isnan(v) || !(method ? arm_is(arm, method) : no_truth(arm))) continue;
        if (!best || (b->higher ? v > best->mean[b->headline] : v < best->mean[b->headline])) best = arm;
    }
    return best;
}

/* Colors for the lines to look at; the rest stays grey. */
static void block_tones(Block *b) {
    static const char *const shown[] = {"ica", "uniform", "oracle", "rho", "holdout-only"};
    for (int i = 0; i < 5; i++) {
        const Arm *best = block_best(b, shown[i]);
        for (int a = 0; a < b->n_arms; a++)
            if (&b->arms[a] == best) b->arms[a].tone = i + 1;
    }
    if (b->n_arms <= 4)
        for (int a = 0; a < b->n_arms; a++)
            if (b->arms[a].tone == TONE_GREY) b->arms[a].tone = 6;
}

static Blocks blocks_make(Report *r) {
    Blocks blocks = {arena_new(&r->arena, (size_t)r->n_runs + 1, sizeof(Block)), 0};
    for (int o = 0; o < 3; o++) {
        Names groups = {0};
        for (int i = 0; i < r->n_runs; i++)
            if (run_belongs(&r->runs[i], OBJECTIVES[o], r->runs[i].group)) names_add(&r->arena, &groups, r->runs[i].group);
        names_sort(&groups, by_group);
        for (int g = 0; g < groups.n; g++) {
            blocks.v[blocks.n] = block_make(r, OBJECTIVES[o], groups.v[g]);
            block_tones(&blocks.v[blocks.n++]);
        }
    }
    return blocks;
}

/* ---- comparisons: what the numbers say, also when they say no ---- */

/* ICA against one rival: under every map that both have. */
static void put_rival(const Block *b, const char *rival, Buf *out) {
    int m = b->headline, count = 0;
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *mine = &b->arms[a], *theirs = NULL;
        if (!arm_is(mine, "ica")) continue;
        const char *map = mine->name + strcspn(mine->name, ":");
        for (int i = 0; i < b->n_arms; i++)
            if (arm_is(&b->arms[i], rival) && strcmp(b->arms[i].name + strlen(rival), map) == 0) theirs = &b->arms[i];
        if (!theirs) continue;
        Duel d = duel_of(mine->values[m], theirs->values[m], b->n_seeds, b->higher);
        if (d.n == 0) continue;
        if (count++ == 0) buf_printf(out, "ICA against %s under the same map, ", rival);
        else buf_puts(out, "; ");
        buf_printf(out, "%s: ", *map ? map + 1 : "no map");
        duel_text(out, &d, b->metrics[m].decimals, "seed");
    }
    if (count) buf_puts(out, ".\n");
}

/* The best ICA map against an arm that has no map. */
static void put_against(const Block *b, const Arm *ica, const char *name, Buf *out) {
    const Arm *other = block_arm(b, name);
    if (!other || !ica) return;
    Duel d = duel_of(ica->values[b->headline], other->values[b->headline], b->n_seeds, b->higher);
    if (d.n == 0) return;
    buf_printf(out, "%s against %s: ", ica->name, name);
    duel_text(out, &d, b->metrics[b->headline].decimals, "seed");
    buf_puts(out, ".\n");
}

/* A sentence a line. */
static void block_remarks(const Block *b, Buf *out) {
    static const char *const rivals[] = {"rho", "oneshot", "nuggets", "gradient", "incontext", "loss", "random"};
    const Metric *metric = &b->metrics[b->headline];
    const Arm *best = block_best(b, NULL), *ica = block_best(b, "ica");
    if (!best || b->n_arms < 2) return;
    buf_printf(out, "Best arm without known truth, by %s (%s is better): %s, %.*f", metric->name, b->higher ? "more" : "less",
               best->name, metric->decimals, best->mean[b->headline]);
    if (ica && ica != best) buf_printf(out, "; best ICA map: %s, %.*f", ica->name, metric->decimals, ica->mean[b->headline]);
    buf_puts(out, ".\n");
    put_against(b, ica, "uniform", out);
    put_against(b, ica, "holdout-only", out);
    for (size_t i = 0; i < sizeof rivals / sizeof *rivals; i++) put_rival(b, rivals[i], out);
}

/* ---- AUROC: methods by kinds of corruption, over draws ---- */

typedef struct {
    const char *objective, *group;
    Names methods, draws, kinds;
} Auroc;

/* The last score file with this method and draw, or NULL. */
static const ScoreFile *score_file(const Report *r, const Auroc *a, const char *method, const char *draw) {
    for (int i = r->n_scores - 1; i >= 0; i--) {
        const ScoreFile *s = &r->scores[i];
        if (strcmp(s->objective, a->objective) == 0 && strcmp(s->group, a->group) == 0 && strcmp(s->method, method) == 0 &&
            strcmp(s->draw, draw) == 0)
            return s;
    }
    return NULL;
}

static void auroc_values(const Report *r, const Auroc *a, const char *method, const char *kind, double *out) {
    for (int d = 0; d < a->draws.n; d++) {
        const ScoreFile *s = score_file(r, a, method, a->draws.v[d]);
        out[d] = number_of(s ? json_get(s->json, "auroc") : NULL, kind);
    }
}

static Auroc auroc_make(Report *r, const char *objective, const char *group) {
    Auroc a = {.objective = objective, .group = group};
    for (int i = 0; i < r->n_scores; i++) {
        const ScoreFile *s = &r->scores[i];
        const Json *table = json_get(s->json, "auroc");
        if (strcmp(s->objective, objective) != 0 || strcmp(s->group, group) != 0) continue;
        if (!table || table->type != JSON_OBJECT || table->count == 0) continue; /* no known truth */
        if (score_file(r, &a, s->method, s->draw) != s)
            NOTE(r, "%s: another score file has the same method, group and draw: the last "
                                             "one counts.", s->path);
        names_add(&r->arena, &a.methods, s->method);
        names_add(&r->arena, &a.draws, s->draw);
        for (int k = 0; k < table->count; k++) names_add(&r->arena, &a.kinds, str_copy(&r->arena, table->keys[k]).s);
    }
    names_sort(&a.methods, by_method);
    names_sort(&a.draws, by_draw);
    names_sort(&a.kinds, by_kind);
    return a;
}

static void auroc_remarks(const Report *r, const Auroc *a, Buf *out) {
    double *mine = mem_new((size_t)a->draws.n, sizeof *mine), *theirs = mem_new((size_t)a->draws.n, sizeof *theirs);
    double best = -1, mean, sd;
    const char *best_name = NULL;
    for (int m = 0; m < a->methods.n; m++) {
        auroc_values(r, a, a->methods.v[m], "all", theirs);
        mean_sd(theirs, a->draws.n, &mean, &sd);
        if (mean > best) best = mean, best_name = a->methods.v[m];
    }
    if (best_name && a->methods.n > 1) buf_printf(out, "Best method by AUROC over all kinds: %s, %.3f.\n", best_name, best);
    auroc_values(r, a, "ica", "all", mine);
    int count = 0;
    for (int m = 0; m < a->methods.n; m++) {
        if (strcmp(a->methods.v[m], "ica") == 0) continue;
        auroc_values(r, a, a->methods.v[m], "all", theirs);
        Duel d = duel_of(mine, theirs, a->draws.n, true);
        if (d.n == 0) continue;
        buf_printf(out, "%s %s: ", count++ ? ";" : "ICA against", a->methods.v[m]);
        duel_text(out, &d, 3, "draw");
    }
    if (count) buf_puts(out, ".\n");
    free(mine);
    free(theirs);
}

typedef struct { Auroc *v; int n; } Aurocs;

static Aurocs aurocs_make(Report *r) {
    Aurocs all = {arena_new(&r->arena, (size_t)r->n_scores + 1, sizeof(Auroc)), 0};
    for (int o = 0; o < 3; o++) {
        Names groups = {0};
        for (int i = 0; i < r->n_scores; i++)
            if (strcmp(r->scores[i].objective, OBJECTIVES[o]) == 0) names_add(&r->arena, &groups, r->scores[i].group);
        names_sort(&groups, by_group);
        for (int g = 0; g < groups.n; g++) {
            Auroc a = auroc_make(r, OBJECTIVES[o], groups.v[g]);
            if (a.methods.n) all.v[all.n++] = a;
        }
    }
    return all;
}

/* ---- in-context evaluations and seconds ---- */

typedef struct { double k, nll, p, em; } Shots;

static int by_shots(const void *a, const void *b) { return by_number(&((const Shots *)a)->k, &((const Shots *)b)->k); }

/* The evaluations of answers, by the number of demonstrations. */
static int shots_make(Report *r, Shots **out) {
    int n = 0;
    *out = arena_new(&r->arena, (size_t)r->n_evals + 1, sizeof **out);
    for (int i = 0; i < r->n_evals; i++) {
        const Json *e = r->evals[i];
        double k = number_of(e, "k");
        Shots s = {isfinite(k) ? k : 0, number_of(e, "nll"), number_of(e, "p_sequence"), number_of(e, "exact_match")};
        bool twice = false;
        for (int j = 0; j < n; j++) twice = twice || (*out)[j].k == s.k;
        if (twice)
            NOTE(r, "Two evaluations with %g demonstrations: the first one counts.", s.k);
        else if (isfinite(s.nll)) (*out)[n++] = s;
    }
    if (n) qsort(*out, (size_t)n, sizeof **out, by_shots);
    return n;
}

static double run_total(const Run *run) {
    double total = number_of(json_get(run->json, "seconds"), "total");
    if (!isfinite(total)) total = run_cost(run);
    return isfinite(total) ? total : 0;
}

static void put_seconds(const Report *r, Buf *b) {
    static const char *const keys[] = {"total", "pretrain", "sft", "dpo", "simpo"};
    double sums[5] = {0};
    bool seen[5] = {true};
    for (int i = 0; i < r->n_runs; i++) {
        const Run *run = &r->runs[i];
        int part = run->pretrain ? 1 : 2 + RANK(OBJECTIVES, run->objective, strlen(run->objective));
        double spent = run_total(run);
        sums[0] += spent;
        if (part < 5) sums[part] += spent, seen[part] = true;
    }
    bool first = true;
    for (int i = 0; i < 5; i++) {
        if (!seen[i] || (r->seconds && json_get(r->seconds, keys[i]))) continue;
        buf_printf(b, "%s\"%s\":", first ? "" : ",", keys[i]);
        json_put_number(b, sums[i]);
        first = false;
    }
    for (int i = 0; r->seconds && i < r->seconds->count; i++) {
        if (!first) buf_putc(b, ',');
        json_put_string(b, r->seconds->keys[i]);
        buf_putc(b, ':');
        json_put_value(b, &r->seconds->items[i]);
        first = false;
    }
}

/* ---- results.json ---- */

static void put_numbers(Buf *b, const double *v, int n) {
    buf_putc(b, '[');
    for (int i = 0; i < n; i++) {
        if (i) buf_putc(b, ',');
        json_put_number(b, v[i]);
    }
    buf_putc(b, ']');
}

static void put_key(Buf *b, const char *key, bool first) {
    if (!first) buf_putc(b, ',');
    json_put_string(b, str(key));
    buf_putc(b, ':');
}

static void put_block(Buf *b, const Block *block) {
    buf_putc(b, '{');
    for (int a = 0; a < block->n_arms; a++) {
        put_key(b, block->arms[a].name, a == 0);
        buf_putc(b, '{');
        for (int m = 0; m < METRICS; m++) {
            put_key(b, block->metrics[m].key, m == 0);
            put_numbers(b, block->arms[a].values[m], block->n_seeds);
        }
        buf_putc(b, '}');
    }
    buf_putc(b, '}');
}

/* The contract has one AUROC table and one table each for dpo and simpo: the first group of each. */
static void put_auroc(Buf *b, const Report *r, const Aurocs *aurocs) {
    buf_putc(b, '{');
    const Auroc *a = aurocs->n && strcmp(aurocs->v[0].objective, "sft") == 0 ? &aurocs->v[0] : NULL;
    double *values = mem_new(a ? (size_t)a->draws.n : 1, sizeof *values);
    for (int m = 0; a && m < a->methods.n; m++) {
        put_key(b, a->methods.v[m], m == 0);
        buf_putc(b, '{');
        for (int k = 0; k < a->kinds.n; k++) {
            put_key(b, a->kinds.v[k], k == 0);
            auroc_values(r, a, a->methods.v[m], a->kinds.v[k], values);
            put_numbers(b, values, a->draws.n);
        }
        buf_putc(b, '}');
    }
    free(values);
    buf_putc(b, '}');
}

static void put_shots(Buf *b, const Shots *shots, int n) {
    static const char *const keys[] = {"k", "nll", "p_sequence"};
    for (int i = 0; i < n; i++) {
        const double values[] = {shots[i].k, shots[i].nll, shots[i].p};
        buf_puts(b, i ? ",{" : "{");
        for (int m = 0; m < 3; m++) {
            put_key(b, keys[m], m == 0);
            json_put_number(b, values[m]);
        }
        buf_putc(b, '}');
    }
}

/* The first run's value of a key: all runs of a report come from one program on one machine, or the page says which. */
static const Json *first_value(const Report *r, const char *key) {
    for (int i = 0; i < r->n_runs; i++) {
        const Json *v = json_get(r->runs[i].json, key);
        if (v && v->type != JSON_NULL) return v;
    }
    return NULL;
}

typedef struct { Blocks blocks; Aurocs aurocs; Shots *shots; int n_shots; } Numbers;

static void put_results(const Report *r, const Numbers *n, Buf *b) {
    const Json *version = first_value(r, "version"), *machine = first_value(r, "machine");
    buf_puts(b, "{\"version\":");
    if (version) json_put_value(b, version);
    else buf_puts(b, "null");
    buf_puts(b, ",\n\"machine\":");
    if (machine) json_put_value(b, machine);
    else buf_puts(b, "{}");
    buf_puts(b, ",\n\"seconds\":{");
    put_seconds(r, b);
    buf_puts(b, "},\n\"in_context\":[");
    put_shots(b, n->shots, n->n_shots);
    buf_puts(b, "],\n\"auroc\":");
    put_auroc(b, r, &n->aurocs);
    buf_puts(b, ",\n\"sft\":{");
    bool first = true;
    for (int i = 0; i < n->blocks.n; i++) {
        if (strcmp(n->blocks.v[i].objective, "sft") != 0) continue;
        put_key(b, n->blocks.v[i].group, first);
        put_block(b, &n->blocks.v[i]);
        first = false;
    }
    buf_putc(b, '}');
    for (int o = 1; o < 3; o++) {
        const Block *block = NULL;
        for (int i = n->blocks.n - 1; i >= 0; i--)
            if (strcmp(n->blocks.v[i].objective, OBJECTIVES[o]) == 0) block = &n->blocks.v[i];
        buf_printf(b, ",\n\"%s\":", OBJECTIVES[o]);
        if (block) put_block(b, block);
        else buf_puts(b, "{}");
    }
    buf_puts(b, "}\n");
}

/* ---- tables with what they say, for text and page alike ---- */

static const char *objective_name(const char *objective) {
    return strcmp(objective, "dpo") == 0 ? "DPO" : strcmp(objective, "simpo") == 0 ? "SimPO" : "Fine-tuning";
}

static const char *plural(int n) { return n == 1 ? "" : "s"; }

static const char *block_title(Arena *arena, const Block *b) {
    return text_new(arena, "%s on %s, %d seed%s", objective_name(b->objective), b->group, b->n_seeds, plural(b->n_seeds));
}

static Table block_table(Report *r, const Block *b) {
    Table t = {.title = block_title(&r->arena, b)};
    if (b->n_seeds > 1) t.caption = "Mean and standard deviation over seeds; the gap is that from uniform to oracle.";
    table_head(&t, "arm");
    for (int m = 0; m < METRICS; m++) table_head(&t, b->metrics[m].name);
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *arm = &b->arms[a];
        if (arm->seeds < b->n_seeds) table_put(&t, "%s (%d seed%s)", arm->name, arm->seeds, plural(arm->seeds));
        else table_put(&t, "%s", arm->name);
        for (int m = 0; m < METRICS; m++)
            table_mean(&t, arm->mean[m], arm->sd[m], b->metrics[m].decimals, b->metrics[m].scale);
    }
    block_remarks(b, &t.remarks);
    return t;
}

static Table auroc_table(Report *r, const Auroc *a) {
    bool sft = strcmp(a->objective, "sft") == 0;
    const char *kinds = sft ? "clean against corrupted" : "unflipped against flipped pairs";
    Table t = {.caption = "How well the score tells good from bad records, by kind of fault; 0.5 is chance."};
    t.title = text_new(&r->arena, "AUROC of %s on %s%s%s, %d draw%s", kinds, a->group, sft ? "" : " for ",
                       sft ? "" : objective_name(a->objective), a->draws.n, plural(a->draws.n));
    double *values = arena_new(&r->arena, (size_t)a->draws.n, sizeof *values), mean, sd;
    table_head(&t, "method");
    for (int k = 0; k < a->kinds.n; k++) table_head(&t, a->kinds.v[k]);
    for (int m = 0; m < a->methods.n; m++) {
        table_put(&t, "%s", a->methods.v[m]);
        for (int k = 0; k < a->kinds.n; k++) {
            auroc_values(r, a, a->methods.v[m], a->kinds.v[k], values);
            mean_sd(values, a->draws.n, &mean, &sd);
            table_mean(&t, mean, sd, 3, 1);
        }
    }
    auroc_remarks(r, a, &t.remarks);
    return t;
}

static Table shots_table(const Shots *shots, int n) {
    static const char *const heads[] = {"demonstrations", "NLL", "P(seq)", "EM"};
    Table t = {.title = "Answers with demonstrations in context"};
    for (int i = 0; i < 4; i++) table_head(&t, heads[i]);
    for (int i = 0; i < n; i++) {
        table_put(&t, "%g", shots[i].k);
        table_mean(&t, shots[i].nll, NAN, 4, 1);
        table_mean(&t, shots[i].p, NAN, 3, 1);
        table_mean(&t, shots[i].em, NAN, 3, 1);
    }
    return t;
}

enum { TEXT_WIDTH = 108 };

static void text_table(Buf *out, Table t) {
    if (out->n) buf_putc(out, '\n');
    table_text(&t, TEXT_WIDTH, out);
    table_free(&t);
}

static void page_table(Page *p, Table t) {
    table_html(&t, &p->body);
    table_free(&t);
}

static void put_text(Report *r, const Numbers *n, Buf *out) {
    for (int i = 0; i < r->n_runs; i++)
        if (r->runs[i].pretrain)
            buf_printf(out, "Pretraining %s: %.0f steps, loss %.4f, %.1f seconds\n", r->runs[i].folder,
                       run_metric(&r->runs[i], "steps"), run_metric(&r->runs[i], "loss"), run_total(&r->runs[i]));
    if (n->n_shots) text_table(out, shots_table(n->shots, n->n_shots));
    for (int i = 0; i < n->aurocs.n; i++) text_table(out, auroc_table(r, &n->aurocs.v[i]));
    for (int i = 0; i < n->blocks.n; i++) text_table(out, block_table(r, &n->blocks.v[i]));
    for (int i = 0; i < r->notes.n; i++) buf_printf(out, "%sNote: %s\n", i == 0 && out->n ? "\n" : "", r->notes.v[i]);
}

/* ---- page: score sets with their truth ---- */

/* The scores of one method on one pool: those of the first draw or seed. */
typedef struct {
    const char *method, *group, *objective, *order; /* order: the draw or the seed */
    const char *when;                               /* "draw 1" or "seed 1" */
    const char *scores, *pool, *holdout;            /* paths, NULL when unknown */
    bool from_run;
    int n;
    double *score;
    bool *clean;
    bool truth; /* is clean known, with both kinds there? */
    bool ready; /* read and matched with its pool */
} ScoreSet;

typedef struct { ScoreSet *v; int n; } ScoreSets;

static int set_rank(const ScoreSet *s) { return RANK(OBJECTIVES, s->objective, strlen(s->objective)); }

static int by_name(const ScoreSet *p, const ScoreSet *q) {
    int d = set_rank(p) - set_rank(q);
    if (d == 0) d = by_group(&p->group, &q->group);
    return d ? d : by_method(&p->method, &q->method);
}

/* Score files go before the scores that runs keep, which may be later ones of a refreshed run. */
static int by_set(const void *a, const void *b) {
    const ScoreSet *p = a, *q = b;
    int d = by_name(p, q);
    if (d == 0) d = p->from_run - q->from_run;
    if (d == 0) d = by_draw(&p->order, &q->order);
    return d ? d : strcmp(p->scores, q->scores);
}

static void run_set(Report *r, const Run *run, ScoreSets *sets) {
    char *path = path_join(run->folder, "scores.jsonl");
    const Json *options = json_get(run->json, "options");
    if (file_exists(path) && !run->pretrain && options) {
        const char *seed = text_new(&r->arena, "%g", run->seed), *method = text_of(&r->arena, options, "weights", run->arm);
        sets->v[sets->n++] = (ScoreSet){
            .method = str_copy(&r->arena, (Str){method, method_length(method)}).s, .group = run->group,
            .objective = run->objective, .order = seed, .when = text_new(&r->arena, "seed %s", seed),
            .scores = str_copy(&r->arena, str(path)).s, .pool = text_of(&r->arena, options, "pool", NULL),
            .holdout = text_of(&r->arena, options, "holdout", NULL), .from_run = true};
    }
    free(path);
}

static ScoreSets sets_find(Report *r) {
    ScoreSets sets = {arena_new(&r->arena, (size_t)(r->n_scores + r->n_runs) + 1, sizeof(ScoreSet)), 0};
    for (int i = 0; i < r->n_scores; i++) {
        const ScoreFile *f = &r->scores[i];
        sets.v[sets.n++] = (ScoreSet){
            .method = f->method, .group = f->group, .objective = f->objective, .order = f->draw,
            .when = text_new(&r->arena, "draw %s", f->draw), .scores = text_of(&r->arena, f->json, "scores", ""),
            .pool = text_of(&r->arena, f->json, "pool", NULL), .holdout = text_of(&r->arena, f->json, "holdout", NULL)};
    }
    for (int i = 0; i < r->n_runs; i++) run_set(r, &r->runs[i], &sets);
    int kept = 0;
    if (sets.n) qsort(sets.v, (size_t)sets.n, sizeof *sets.v, by_set);
    for (int i = 0; i < sets.n; i++)
        if (kept == 0 || by_name(&sets.v[kept - 1], &sets.v[i]) != 0) sets.v[kept++] = sets.v[i];
    sets.n = kept;
    return sets;
}

static bool id_is(const Json *row, Str id) {
    const Json *v = json_get(row, "id");
    return v && (v->type == JSON_STRING || v->type == JSON_NUMBER) && str_equal(v->string, id);
}

/* Does record i of the scores belong to record i of the pool, for all i? */
static bool rows_match(const Rows *rows, const Dataset *pool) {
    if (rows->n != pool->count) return false;
    for (int i = 0; i < rows->n; i++)
        if (!id_is(rows->v[i], pool->records[i].id)) return false;
    return true;
}

/* Opens the files of a score set. A missing or changed data file gives a note and false with no error; scores that cannot be
 * parsed are an error. On true the caller frees the pool. */
static bool set_open(Report *r, const ScoreSet *s, Arena *arena, Rows *rows, Dataset *pool, Error *err) {
    const char *what = text_new(&r->arena, "%s scores on %s (%s)", s->method, s->group, s->when);
    if (!file_exists(s->scores)) {
        NOTE(r, "The charts of %s are left out: the scores are gone (%s).", what, *s->scores ? s->scores : "no path");
        return false;
    }
    if (!rows_load(arena, s->scores, rows, err)) return false;
    Error gone = {0};
    if (!s->pool || !dataset_load(pool, s->pool, &gone)) {
        NOTE(r, "The charts of %s are left out: no pool (%s).", what, s->pool ? gone.text : "its path is not known");
        return false;
    }
    if (rows_match(rows, pool)) return true;
    NOTE(r, "The charts of %s are left out: %s is no longer the pool that was scored.", what, s->pool);
    dataset_free(pool);
    return false;
}

static bool set_read(Report *r, ScoreSet *s, Error *err) {
    Arena scratch = {0};
    Rows rows;
    Dataset pool;
    if (set_open(r, s, &scratch, &rows, &pool, err)) {
        int known[2] = {0};
        s->n = rows.n;
        s->score = arena_new(&r->arena, (size_t)s->n + 1, sizeof *s->score);
        s->clean = arena_new(&r->arena, (size_t)s->n + 1, sizeof *s->clean);
        for (int i = 0; i < s->n; i++) {
            s->score[i] = number_of(rows.v[i], "score");
            s->clean[i] = pool.records[i].clean == 1;
            if (pool.records[i].clean >= 0) known[s->clean[i]]++;
        }
        s->truth = known[0] > 0 && known[1] > 0 && known[0] + known[1] == s->n;
        s->ready = true;
        dataset_free(&pool);
    }
    arena_free(&scratch);
    return err->status == 0;
}

static const char *const KIND_NAMES[2][2] = {{"corrupted", "clean"}, {"flipped", "unflipped"}}; /* [pairs][clean] */

static bool set_pairs(const ScoreSet *s) { return strcmp(s->objective, "sft") != 0; }

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
    Chart c = {.title = text_new(&r->arena, "%s, %s", s->method, s->when), .x_label = "score", .y_label = "records",
               .small = true, .about = "Histogram of the scores, by kind where the truth is known."};
    chart_histogram(&p->body, &c, samples, s->truth ? 2 : 1, 30);
}

/* The ROC curves of n sets of one group. */
static void put_roc(Page *p, Report *r, const ScoreSet *s, int n) {
    Series *curves = arena_new(&r->arena, (size_t)n + 1, sizeof *curves);
    static const double corner[2] = {0, 1};
    int count = 0;
    for (int i = 0; i < n; i++) {
        if (!s[i].ready || !s[i].truth) continue;
        size_t most = (size_t)s[i].n + 1;
        double area, *x = arena_new(&r->arena, most, sizeof *x), *y = arena_new(&r->arena, most, sizeof *y);
        int points = roc_curve(s[i].score, s[i].clean, s[i].n, x, y, &area);
        const char *name = text_new(&r->arena, "%s %.3f", s[i].method, area);
        curves[count] = (Series){name, count % (TONE_COUNT - 1) + 1, count >= TONE_COUNT - 1, points, x, y};
        count++;
    }
    if (count) {
        curves[count] = (Series){"chance 0.500", TONE_GREY, true, 2, corner, corner};
        Chart c = {.title = text_new(&r->arena, "ROC on %s, %s: area beside the name", s->group, s->when),
                   .x_label = set_pairs(s) ? "flipped pairs let through" : "corrupted records let through",
                   .y_label = set_pairs(s) ? "unflipped pairs kept" : "clean records kept",
                   .about = "Share of good records above a threshold of the score against the share of bad ones."};
        chart_lines(&p->body, &c, curves, count + 1);
    }
}

static bool put_scores(Page *p, Report *r, ScoreSets *sets, Error *err) {
    bool any = false;
    for (int i = 0; i < sets->n; i++) {
        if (!set_read(r, &sets->v[i], err)) return false;
        any = any || sets->v[i].ready;
    }
    if (!any) return true;
    page_section(p, "Scores");
    for (int i = 0, j; i < sets->n; i = j) {
        const ScoreSet *first = &sets->v[i];
        int ready = 0;
        for (j = i; j < sets->n && strcmp(sets->v[j].group, first->group) == 0 && set_rank(&sets->v[j]) == set_rank(first); j++)
            ready += sets->v[j].ready;
        if (ready == 0) continue;
        page_heading(p, "%s on %s", objective_name(first->objective), first->group);
        page_grid(p);
        for (int k = i; k < j; k++)
            if (sets->v[k].ready) put_score_histogram(p, r, &sets->v[k]);
        page_grid_end(p);
        put_roc(p, r, first, j - i);
    }
    return true;
}

/* ---- page: examples ---- */

enum { EXAMPLES = 10, CLIP = 600 };

/* The answers side of a record: one cell, or two for pairs. */
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

/* One demonstration: prompt and answer when the holdout is still there, else its id. */
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

static void put_example(Buf *b, const Json *row, const Record *rec, const Dataset *holdout, bool pairs) {
    const char *truth = rec->clean < 0 ? "" : KIND_NAMES[pairs][rec->clean];
    buf_printf(b, "<tr><th scope=\"row\">%.3f</th>", number_of(row, "score"));
    for (int i = 0; i < 4 && LOGP_KEYS[pairs][i]; i++) {
        double v = number_of(row, LOGP_KEYS[pairs][i]);
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

static void put_examples_table(Buf *b, const Rows *rows, const int *order, int n, const Dataset *pool, const Dataset *holdout,
                               bool pairs) {
    buf_puts(b, "<div class=\"scroll\" tabindex=\"0\"><table class=\"words\">\n<thead><tr><th scope=\"col\">score</th>");
    for (int i = 0; i < 4 && LOGP_NAMES[pairs][i]; i++) buf_printf(b, "<th scope=\"col\">%s</th>", LOGP_NAMES[pairs][i]);
    buf_puts(b, "<th scope=\"col\">truth</th><th scope=\"col\">prompt</th>");
    buf_puts(b, pairs ? "<th scope=\"col\">chosen</th><th scope=\"col\">rejected</th>" : "<th scope=\"col\">completion</th>");
    buf_puts(b, "<th scope=\"col\">demonstrations</th></tr></thead><tbody>\n");
    for (int i = 0; i < n; i++) put_example(b, rows->v[order[i]], &pool->records[order[i]], holdout, pairs);
    buf_puts(b, "</tbody></table></div>\n");
}

typedef struct { double score; int index; } Place;

static int by_place(const void *a, const void *b) {
    const Place *p = a, *q = b;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return p->index - q->index;
}

/* The records of the best scores, then of the worst, each at most EXAMPLES and at most half of all. */
typedef struct { int best, worst, index[2 * EXAMPLES]; } Extremes;

static Extremes set_extremes(const ScoreSet *s) {
    Place *place = mem_new((size_t)s->n, sizeof *place);
    int n = 0;
    for (int i = 0; i < s->n; i++)
        if (isfinite(s->score[i])) place[n++] = (Place){s->score[i], i};
    qsort(place, (size_t)n, sizeof *place, by_place);
    Extremes e = {.best = (n + 1) / 2 < EXAMPLES ? (n + 1) / 2 : EXAMPLES, .worst = n / 2 < EXAMPLES ? n / 2 : EXAMPLES};
    for (int i = 0; i < e.best; i++) e.index[i] = place[i].index;
    for (int i = 0; i < e.worst; i++) e.index[e.best + i] = place[n - 1 - i].index;
    free(place);
    return e;
}

/* Of the first ICA scores. */
static bool put_examples(Page *p, Report *r, const ScoreSets *sets, Error *err) {
    const ScoreSet *s = NULL;
    for (int i = 0; i < sets->n && !s; i++)
        if (sets->v[i].ready && sets->v[i].n > 0 && strcmp(sets->v[i].method, "ica") == 0) s = &sets->v[i];
    if (!s) return true;
    Arena scratch = {0};
    Rows rows;
    Dataset pool, holdout;
    Error gone = {0};
    if (set_open(r, s, &scratch, &rows, &pool, err)) {
        bool demos = s->holdout && dataset_load(&holdout, s->holdout, &gone), pairs = set_pairs(s);
        if (!demos)
            NOTE(r, "The demonstrations of the examples are shown by id (%s).", s->holdout ? gone.text : "no holdout path");
        Extremes e = set_extremes(s);
        page_section(p, "Best and worst examples");
        page_paragraph(p, "ICA scores on %s, %s; log p is that of the answer.", s->group, s->when);
        page_heading(p, "The %d highest scores", e.best);
        put_examples_table(&p->body, &rows, e.index, e.best, &pool, demos ? &holdout : NULL, pairs);
        page_heading(p, "The %d lowest scores", e.worst);
        put_examples_table(&p->body, &rows, e.index + e.best, e.worst, &pool, demos ? &holdout : NULL, pairs);
        if (demos) dataset_free(&holdout);
        dataset_free(&pool);
    }
    arena_free(&scratch);
    return err->status == 0;
}

/* ---- page: curves from the logs ---- */

enum { CURVE_POINTS = 200 };

/* The mean over runs of a column of their logs at each step. */
static Series log_curve(Arena *arena, const Run *const *runs, int n_runs, int column) {
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

/* The curves of all arms of a block; returns how many have at least `least` points. */
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

static void put_block_chart(Page *p, Report *r, const Block *b, int column, const char *title, const char *y_label) {
    Series *curves = arena_new(&r->arena, (size_t)b->n_arms, sizeof *curves);
    int n = block_curves(r, b, column, 2, curves);
    Chart c = {.title = text_new(&r->arena, "%s: %s", block_title(&r->arena, b), title), .x_label = "step", .y_label = y_label,
               .about = "One line for each arm, the mean over its seeds."};
    if (n) chart_lines(&p->body, &c, curves, n);
}

static bool logs_have(const Report *r, int column) {
    for (int i = 0; i < r->n_runs; i++)
        for (int j = 0; !r->runs[i].pretrain && j < r->runs[i].n_log; j++)
            if (isfinite(r->runs[i].log[column][j])) return true;
    return false;
}

static void put_curves(Page *p, Report *r, const Blocks *blocks) {
    if (!logs_have(r, LOG_LOSS) && !logs_have(r, LOG_EVAL)) return;
    page_section(p, "Loss curves");
    page_paragraph(p, "An arm's training loss is weighted by its own weights: it shows progress, not who is better. The loss "
                      "on the evaluation file is the same measure for all.");
    for (int i = 0; i < blocks->n; i++) {
        put_block_chart(p, r, &blocks->v[i], LOG_LOSS, "training loss", "loss");
        put_block_chart(p, r, &blocks->v[i], LOG_EVAL, "loss on the evaluation file", "loss");
    }
}

/* For each arm whose weights differ: their mean for good and bad records along the training. */
static void put_weights(Page *p, Report *r, const Blocks *blocks) {
    if (!logs_have(r, LOG_CLEAN)) return;
    page_section(p, "Weights over training");
    page_paragraph(p, "Mean weight of records whose truth is known; no method but the oracle sees it.");
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        bool pairs = strcmp(b->objective, "sft") != 0, open = false;
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
            Chart c = {.title = b->arms[a].name, .x_label = "step", .y_label = "mean weight", .y_max = 1, .small = true,
                       .about = "Mean weight of good and of bad records at each step."};
            chart_lines(&p->body, &c, lines, 2);
        }
        if (open) page_grid_end(p);
    }
}

static void put_pretraining(Page *p, Report *r) {
    bool open = false;
    for (int i = 0; i < r->n_runs; i++) {
        const Run *run = &r->runs[i];
        if (!run->pretrain) continue;
        if (!open) page_section(p, "Pretraining");
        open = true;
        page_paragraph(p, "%s: %.0f steps, loss %.4f, %.1f seconds.", run->folder, run_metric(run, "steps"),
                       run_metric(run, "loss"), run_total(run));
        Series lines[2] = {log_curve(&r->arena, &run, 1, LOG_LOSS), log_curve(&r->arena, &run, 1, LOG_EVAL)};
        lines[0].name = "training", lines[0].tone = 1;
        lines[1].name = "evaluation", lines[1].tone = 2;
        Chart c = {.title = "Loss", .x_label = "step", .y_label = "loss", .about = "Mean loss of a token along pretraining."};
        if (lines[0].n) chart_lines(&p->body, &c, lines, lines[1].n ? 2 : 1);
        Series meter = log_curve(&r->arena, &run, 1, LOG_ICL_P), nll = log_curve(&r->arena, &run, 1, LOG_ICL_NLL);
        if (meter.n + nll.n == 0) continue;
        meter.name = nll.name = "with 3 demonstrations", meter.tone = nll.tone = 3;
        page_grid(p);
        Chart m = {.title = "Learning to learn in context", .x_label = "step", .y_label = "P(seq), 3 demonstrations",
                   .y_max = 1, .small = true, .about = "Probability of the right answer after three demonstrations."};
        if (meter.n) chart_lines(&p->body, &m, &meter, 1);
        m.title = "The same as loss", m.y_max = 0, m.y_label = "NLL, 3 demonstrations";
        m.about = "Loss of the right answer after three demonstrations.";
        if (nll.n) chart_lines(&p->body, &m, &nll, 1);
        page_grid_end(p);
    }
}

static void put_in_context(Page *p, const Numbers *n) {
    if (n->n_shots == 0) return;
    page_section(p, "Learning in context");
    page_table(p, shots_table(n->shots, n->n_shots));
    page_grid(p);
    Bar *bars = mem_new((size_t)n->n_shots, sizeof *bars);
    char (*names)[16] = mem_new((size_t)n->n_shots, sizeof *names);
    for (int metric = 0; metric < 2; metric++) {
        for (int i = 0; i < n->n_shots; i++) {
            snprintf(names[i], sizeof names[i], "%g", n->shots[i].k);
            bars[i] = (Bar){names[i], metric ? 3 : 1, metric ? n->shots[i].p : n->shots[i].nll, NAN};
        }
        Chart c = {.title = metric ? "Probability of the right answer" : "Loss of the right answer", .small = true,
                   .x_label = "demonstrations", .y_label = metric ? "P(seq)" : "NLL",
                   .about = "One bar for each number of demonstrations before the question."};
        chart_bars(&p->body, &c, bars, n->n_shots);
    }
    free(bars);
    free(names);
    page_grid_end(p);
}

/* ---- page: results, margins, cost, settings ---- */

/* Each arm's seeds, mean and spread of one metric. */
static void put_metric_dots(Page *p, Report *r, const Block *b, int metric) {
    Sample *samples = arena_new(&r->arena, (size_t)b->n_arms, sizeof *samples);
    int n = 0;
    for (int a = 0; a < b->n_arms; a++)
        if (isfinite(b->arms[a].mean[metric]))
            samples[n++] = (Sample){b->arms[a].name, b->arms[a].tone, b->n_seeds, b->arms[a].values[metric]};
    Chart c = {.title = text_new(&r->arena, "%s: %s", block_title(&r->arena, b), b->metrics[metric].name),
               .x_label = b->metrics[metric].name, .about = "Small dots are seeds, the large one is their mean, the line one "
               "standard deviation to each side."};
    if (n > 1) chart_dots(&p->body, &c, samples, n);
}

static void put_headline(Page *p, Report *r, const Numbers *n) {
    if (n->blocks.n + n->aurocs.n == 0) return;
    page_section(p, "Results");
    for (int i = 0; i < n->blocks.n; i++) {
        page_table(p, block_table(r, &n->blocks.v[i]));
        put_metric_dots(p, r, &n->blocks.v[i], n->blocks.v[i].headline);
    }
    for (int i = 0; i < n->aurocs.n; i++) page_table(p, auroc_table(r, &n->aurocs.v[i]));
}

static void put_margins(Page *p, Report *r, const Blocks *blocks) {
    bool open = false;
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        if (strcmp(b->objective, "sft") == 0) continue;
        if (!open) page_section(p, "Reward margins");
        open = true;
        put_metric_dots(p, r, b, 2);
        put_block_chart(p, r, b, LOG_MARGIN, "reward margin of the training batch", "margin");
    }
}

/* The token (and operation) counts that any run of the block noted, in the order of their first appearance. */
static void cost_keys(Arena *arena, const Block *b, const char *part, Names *keys) {
    for (int a = 0; a < b->n_arms; a++)
        for (int s = 0; s < b->n_seeds; s++) {
            const Run *run = b->arms[a].runs[s];
            const Json *counts = run ? json_get(run->json, part) : NULL;
            for (int i = 0; counts && counts->type == JSON_OBJECT && i < counts->count; i++)
                names_add(arena, keys, str_copy(arena, counts->keys[i]).s);
        }
}

static void put_cost_cell(Table *t, const Block *b, const Arm *arm, const char *part, const char *key) {
    double *v = mem_new((size_t)b->n_seeds, sizeof *v), mean, sd;
    for (int s = 0; s < b->n_seeds; s++) {
        v[s] = number_of(arm->runs[s] ? json_get(arm->runs[s]->json, part) : NULL, key);
    }
    mean_sd(v, b->n_seeds, &mean, &sd);
    free(v);
    if (!isfinite(mean)) table_put(t, "-");
    else if (strcmp(part, "seconds") == 0) table_put(t, "%.2f", mean);
    else if (fabs(mean) < 1e9) table_put(t, "%.0f", mean);
    else table_put(t, "%.3g", mean);
}

static void put_cost(Page *p, Report *r, const Blocks *blocks) {
    static const char *const parts[] = {"score", "reference", "train"}, *const counts[] = {"tokens", "flops"};
    if (blocks->n) page_section(p, "Cost");
    for (int i = 0; i < blocks->n; i++) {
        const Block *b = &blocks->v[i];
        const Arm *uniform = block_arm(b, "uniform");
        Table t = {.title = block_title(&r->arena, b), .caption = "Seconds and counts, means over seeds, without evaluation."};
        Names keys[2] = {{0}, {0}};
        table_head(&t, "arm");
        for (int k = 0; k < 3; k++) table_head(&t, parts[k]);
        table_head(&t, "sum");
        if (uniform) table_head(&t, "\xc3\x97 uniform");
        for (int c = 0; c < 2; c++) {
            cost_keys(&r->arena, b, counts[c], &keys[c]);
            for (int k = 0; k < keys[c].n; k++) table_head(&t, text_new(&r->arena, "%s: %s", counts[c], keys[c].v[k]));
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
        page_table(p, t);
    }
}

static void put_options(Page *p, const Run *run) {
    const Json *options = json_get(run->json, "options");
    if (!options || options->type != JSON_OBJECT || options->count == 0) return;
    Table t = {0};
    Buf value = {0};
    table_head(&t, "option");
    table_head(&t, "value");
    for (int i = 0; i < options->count; i++) {
        value.n = 0;
        if (options->items[i].type == JSON_STRING) buf_put(&value, options->items[i].string.s, options->items[i].string.n);
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

/* The options of the first run of each kind: the others differ in arm, group and seed, which their tables name. */
static void put_settings(Page *p, Report *r) {
    Names kinds = {0};
    for (int i = 0; i < r->n_runs; i++) {
        const Run *run = &r->runs[i];
        int before = kinds.n;
        names_add(&r->arena, &kinds, run->pretrain ? "pretrain" : run->objective);
        if (kinds.n == before) continue;
        if (before == 0) page_section(p, "Settings");
        put_options(p, run);
    }
}

static const char *machine_line(Report *r) {
    const Json *machine = first_value(r, "machine"), *threads = first_value(r, "threads");
    const Json *first = r->n_runs ? r->runs[0].json : NULL;
    const char *compiler = text_of(&r->arena, first, "compiler", ""), *flags = text_of(&r->arena, first, "flags", "");
    const char *version = text_of(&r->arena, first, "version", ""), *cpu = text_of(&r->arena, machine, "cpu", "");
    double cores = number_of(machine, "cores"), peak = number_of(machine, "peak_gflops");
    Buf line = {0};
    if (*version) buf_printf(&line, "ica %s. ", version);
    if (*cpu) buf_printf(&line, "%s, ", cpu);
    if (isfinite(cores)) buf_printf(&line, "%g core%s, ", cores, cores == 1 ? "" : "s");
    if (threads && threads->type == JSON_NUMBER)
        buf_printf(&line, "%g thread%s, ", threads->number, threads->number == 1 ? "" : "s");
    if (isfinite(peak)) buf_printf(&line, "peak %.1f GFLOP/s, ", peak);
    if (*compiler) buf_printf(&line, "%s %s, ", compiler, flags);
    buf_printf(&line, "%d run%s, %d score file%s, %d evaluation%s.", r->n_runs, plural(r->n_runs), r->n_scores,
               plural(r->n_scores), r->n_evals, plural(r->n_evals));
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

bool report_build(int n_inputs, const char *const *inputs, Buf *text, Buf *results, Buf *html, Error *err) {
    Report r = {0};
    bool ok = report_read(&r, n_inputs, inputs, err);
    if (ok) {
        Numbers n = {.blocks = blocks_make(&r), .aurocs = aurocs_make(&r)};
        n.n_shots = shots_make(&r, &n.shots);
        ok = put_page(&r, &n, html, err); /* before the text, which repeats its notes */
        put_results(&r, &n, results);
        put_text(&r, &n, text);
    }
    report_free(&r);
    return ok;
}

int report_main(int n_inputs, const char *const *inputs, const char *out_html, const char *out_results, bool json, Error *err) {
    Buf text = {0}, results = {0}, html = {0};
    bool ok = report_build(n_inputs, inputs, &text, &results, &html, err);
    if (ok && out_html) ok = file_write(out_html, html.s, html.n, err);
    if (ok && out_results) ok = file_write(out_results, results.s, results.n, err);
    const Buf *shown = json ? &results : &text;
    if (ok && shown->n && (fwrite(shown->s, 1, shown->n, stdout) != shown->n || fflush(stdout) != 0))
        ok = error_set(err, STATUS_IO, "cannot write to the standard output; is the disk full or the pipe closed?");
    buf_free(&text);
    buf_free(&results);
    buf_free(&html);
    return ok ? STATUS_OK : err->status;
}
