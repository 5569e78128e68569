#define _POSIX_C_SOURCE 200809L
#include "program/report/read.h"

#include "data/examples.h"
#include "data/run.h"
#include "data/scores.h"
#include "lib/file.h"
#include "lib/unicode.h"
#include "program/report/order.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- JSON values and files ---- */

const char *report_text(Arena *arena, const Json *object, const char *key, const char *otherwise) {
    const Json *v = json_get(object, key);
    if (!v || (v->type != JSON_STRING && v->type != JSON_NUMBER) || v->string.n == 0)
        return otherwise;
    Buf shown = {0};
    text_show(&shown, v->string, "");
    const char *copy = str_copy(arena, (Str){shown.s, shown.n}).s;
    buf_free(&shown);
    return copy;
}

/* Parses a line of the file, one object. */
static const Json *parse_line(Arena *arena, Str text, const char *path, long line, Error *err) {
    JsonError where;
    const Json *root = json_parse(arena, text.s, text.n, &where);
    if (root && root->type == JSON_OBJECT) return root;
    if (root) error_set(err, STATUS_DATA, "%s:%ld: expected a JSON object", path, line);
    else
        error_set(err, STATUS_DATA, "%s:%ld: broken JSON at column %ld: %s; write this file again",
                  path, line, where.column, where.what);
    return NULL;
}

/* Reads a JSONL file of objects, which may be lines of a score file. Blank lines are skipped. */
static bool lines_load(Arena *arena, const char *path, bool of_scores, JsonLines *rows,
                       Error *err) {
    Buf text = {0};
    *rows = (JsonLines){0};
    if (!file_read_most(path, SIZE_MAX, &text, err)) return false;
    size_t lines = 1, at = unicode_mark(text.s, text.n);
    for (size_t i = 0; i < text.n; i++) lines += text.s[i] == '\n';
    rows->v = arena_new(arena, lines, sizeof *rows->v);
    Str line;
    bool ok = true;
    for (int number = 0; ok && text_line_full((Str){text.s, text.n}, &at, &line, &number);) {
        const Json *row = parse_line(arena, line, path, number, err);
        ok = row && (!of_scores || scores_line_check(path, number, row, true, arena, err));
        if (ok) rows->v[rows->n++] = row;
    }
    buf_free(&text);
    return ok;
}

/* Reads a file that is one object. */
static const Json *file_load(Arena *arena, const char *path, Error *err) {
    static const JsonLimits any = {.bytes = SIZE_MAX, .values = JSON_MAX_VALUES};
    Buf text = {0};
    const Json *root = json_read_object(path, any, arena, &text, err);
    buf_free(&text);
    return root;
}

/* ---- runs, scores and evaluations ---- */

/* Reads the columns of the run's log.jsonl. A run without a log has none. */
static bool log_load(FinishedRun *run, Arena *arena, Error *err) {
    char *path = path_join(run->folder, "log.jsonl");
    Arena scratch = {0};
    JsonLines rows = {0};
    bool ok = !file_exists(path) || lines_load(&scratch, path, false, &rows, err);
    run->n_log = ok ? rows.n : 0;
    for (int c = 0; c < LOG_COLUMNS; c++)
        run->log[c] = arena_new(arena, (size_t)run->n_log + 1, sizeof(double));
    for (int i = 0; i < run->n_log; i++) {
        LogLine line = log_line_read(rows.v[i]);
        /* Runs on pairs log a loss instead of an NLL. */
        double eval = isnan(line.eval_nll) ? line.eval_loss : line.eval_nll,
               held = isnan(line.validation_nll) ? line.validation_loss : line.validation_nll;
        const double value[LOG_COLUMNS] = {[LOG_STEP] = line.step,
                                           [LOG_LOSS] = line.loss,
                                           [LOG_EVAL] = eval,
                                           [LOG_VALIDATION] = held,
                                           [LOG_CLEAN] = line.weight_clean,
                                           [LOG_CORRUPTED] = line.weight_corrupted,
                                           [LOG_APART] = line.weight_clean - line.weight_corrupted,
                                           [LOG_ICL_P] = line.icl_p_sequence,
                                           [LOG_ICL_NLL] = line.icl_nll,
                                           [LOG_MARGIN] = line.reward_margin};
        for (int c = 0; c < LOG_COLUMNS; c++) run->log[c][i] = value[c];
    }
    arena_free(&scratch);
    free(path);
    return ok;
}

/* The fingerprint of the file that an option names: "" without a file, its path if run.json has no
 * fingerprint of it. */
static const char *input_key(Report *r, const Json *run, const char *option) {
    const char *path = report_text(&r->arena, json_get(run, "options"), option, "");
    const Json *inputs = json_get(run, "inputs");
    for (int i = 0; *path && inputs && inputs->type == JSON_ARRAY && i < inputs->count; i++)
        if (strcmp(report_text(&r->arena, &inputs->items[i], "path", ""), path) == 0)
            return report_text(&r->arena, &inputs->items[i], "fingerprint", path);
    return path;
}

/* A file as a setting: its key, and its path with the first digits of the key. */
static RunSetting file_setting(Report *r, const char *option, const char *path, const char *key) {
    if (!*path) return (RunSetting){"", text_new(&r->arena, "no --%s", option)};
    return (RunSetting){key, strcmp(key, path) == 0
                                 ? text_new(&r->arena, "--%s %s", option, path)
                                 : text_new(&r->arena, "--%s %s (%.8s)", option, path, key)};
}

/* Fills in what decides which table the run is in. */
static void settings_read(Report *r, FinishedRun *run) {
    static const char *const names[SETTING_COUNT] = {[SETTING_BETA] = "beta",
                                                     [SETTING_GAMMA] = "gamma-beta-ratio",
                                                     [SETTING_SMOOTHING] = "label-smoothing",
                                                     [SETTING_TRUNCATE] = "truncate"};
    const Json *options = json_get(run->json, "options"), *base = json_get(run->json, "base");
    const char *eval = report_text(&r->arena, options, "eval", ""),
               *model = report_text(&r->arena, options, "model", "");
    run->pool = input_key(r, run->json, "pool");
    run->settings[SETTING_EVAL] = file_setting(r, "eval", eval, input_key(r, run->json, "eval"));
    run->settings[SETTING_BASE] =
        file_setting(r, "model", model, report_text(&r->arena, base, "fingerprint", model));
    const Json *result = json_get(run->json, "result");
    const char *most = report_text(&r->arena, options, "max-steps", "");
    const char *steps = report_text(&r->arena, result, "steps", most);
    run->settings[SETTING_STEPS] = (RunSetting){steps, text_new(&r->arena, "%s steps", steps)};
    for (int i = SETTING_BETA; i < SETTING_COUNT; i++) {
        const Json *v = json_get(options, names[i]);
        bool flag = v && v->type == JSON_BOOL, of_pairs = i != SETTING_TRUNCATE;
        const char *key =
            flag ? (v->boolean ? "true" : "false") : report_text(&r->arena, options, names[i], "");
        /* Answers have no use for the options of pairs. */
        if (of_pairs && !objective_pairs(run->objective)) key = "";
        run->settings[i] = (RunSetting){key, text_new(&r->arena, "--%s %s", names[i], key)};
    }
}

bool run_comparable(const FinishedRun *a, const FinishedRun *b) {
    for (int i = 0; i < SETTING_COUNT; i++)
        if (strcmp(a->settings[i].key, b->settings[i].key) != 0) return false;
    return a->pretrain == b->pretrain && strcmp(a->objective, b->objective) == 0 &&
           strcmp(a->group, b->group) == 0;
}

bool run_knows_truth(const FinishedRun *run) {
    enum { TOLERANCE = 500 }; /* one record in 500: a share is given with some digits */
    Arena arena = {0};
    const Json *options = json_get(run->json, "options");
    bool knows = strcmp(run->arm, "oracle") == 0 ||
                 strcmp(report_text(&arena, options, "weights", ""), "oracle") == 0;
    bool top = strcmp(report_text(&arena, options, "weight-map", ""), "top") == 0;
    const char *path = report_text(&arena, options, "pool", "");
    Dataset pool;
    Error gone = {0};
    if (!knows && top && file_exists(path) && records_load(&pool, path, &gone)) {
        int clean = 0, known = 0;
        for (int i = 0; i < pool.count; i++) {
            clean += pool.records[i].clean == 1;
            known += pool.records[i].clean >= 0;
        }
        double off = json_number(options, "share") - (double)clean / pool.count;
        knows = known == pool.count && fabs(off) * TOLERANCE <= 1;
        records_free(&pool);
    }
    arena_free(&arena);
    return knows;
}

/* Returns the list with room for one more than n elements of `size` bytes. */
static void *list_grow(void *list, int *capacity, int n, size_t size) {
    if (n < *capacity) return list;
    *capacity = *capacity ? 2 * *capacity : 16;
    return mem_grow(list, (size_t)*capacity, size);
}

static bool run_add(Report *r, const char *folder, Error *err) {
    FinishedRun run = {.folder = str_copy(&r->arena, str(folder)).s};
    char *path = path_join(folder, "run.json");
    bool there = file_exists(path);
    if (!there)
        error_set(err, STATUS_DATA,
                  "%s: no run.json in this folder; name folders that pretrain or train finished",
                  folder);
    run.json = there ? file_load(&r->arena, path, err) : NULL;
    free(path);
    if (!run.json) return false;
    run.group = report_text(&r->arena, run.json, "group", "data");
    run.arm = report_text(&r->arena, run.json, "arm", "uniform");
    run.objective = report_text(&r->arena, run.json, "objective", "sft");
    run.pretrain = strcmp(report_text(&r->arena, run.json, "command", "train"), "pretrain") == 0;
    run.seed = json_number(run.json, "seed");
    if (!isfinite(run.seed)) run.seed = 0;
    const Json *result = json_get(run.json, "result");
    if (!result || result->count == 0)
        NOTE(r, "%s is not finished: ica %s --resume '%s' goes on.", run.folder,
             run.pretrain ? "pretrain" : "train", run.folder);
    settings_read(r, &run);
    if (!log_load(&run, &r->arena, err)) return false;
    r->runs = list_grow(r->runs, &r->capacity[0], r->n_runs, sizeof *r->runs);
    r->runs[r->n_runs++] = run;
    return true;
}

/* Adds one saved result. */
static bool object_add(Report *r, const char *path, const Json *json, Error *err) {
    const char *command = report_text(&r->arena, json, "command", "");
    if (strcmp(command, "score") == 0) {
        r->scores = list_grow(r->scores, &r->capacity[1], r->n_scores, sizeof *r->scores);
        r->scores[r->n_scores++] = (ScoreFile){str_copy(&r->arena, str(path)).s,
                                               json,
                                               report_text(&r->arena, json, "method", "ica"),
                                               report_text(&r->arena, json, "group", "data"),
                                               report_text(&r->arena, json, "objective", "sft"),
                                               report_text(&r->arena, json, "draw", "1")};
        return true;
    }
    if (strcmp(command, "eval") == 0) {
        r->evals = list_grow(r->evals, &r->capacity[2], r->n_evals, sizeof *r->evals);
        r->evals[r->n_evals++] = json;
        return true;
    }
    return error_set(err, STATUS_DATA,
                     "%s: neither scores nor an eval result; name run folders, score files and "
                     "what `ica score --json` or `ica eval --json` printed",
                     path);
}

/* Is it a line of scores.jsonl? */
static bool is_score(const Json *row) {
    return json_get(row, "id") && json_get(row, "score") && !json_get(row, "command");
}

/* Adds a file: one object, or one object a line. If neither parses, the error is that of the entire
 * file. */
static bool file_add(Report *r, const char *path, Error *err) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (strcmp(name, "seconds.json") == 0)
        return (r->seconds = file_load(&r->arena, path, err)) != NULL;
    if (strcmp(name, "run.json") == 0) {
        const char *folder =
            slash ? str_copy(&r->arena, (Str){path, (size_t)(slash - path)}).s : ".";
        return run_add(r, folder[0] ? folder : "/", err);
    }
    Error whole = {0}, lines = {0};
    const Json *json = file_load(&r->arena, path, &whole);
    if (json && !is_score(json)) return object_add(r, path, json, err);
    JsonLines rows;
    if (!lines_load(&r->arena, path, false, &rows, &lines) || rows.n == 0) {
        /* A file that begins with an object of its own is one of lines. So is a score by itself,
         * which stands in one line. */
        bool of_lines = json || lines.status == STATUS_IO || (rows.n > 0 && is_score(rows.v[0]));
        *err = of_lines ? lines : whole;
        return false;
    }
    if (is_score(rows.v[0])) {
        r->files = list_grow(r->files, &r->capacity[3], r->n_files, sizeof *r->files);
        r->files[r->n_files++] = str_copy(&r->arena, str(path)).s;
        return true;
    }
    for (int i = 0; i < rows.n; i++)
        if (!object_add(r, path, rows.v[i], err)) return false;
    return true;
}

bool report_read(Report *r, int n_inputs, const char *const *inputs, Error *err) {
    for (int i = 0; i < n_inputs; i++) {
        struct stat info;
        bool folder = stat(inputs[i], &info) == 0 && S_ISDIR(info.st_mode);
        if (!(folder ? run_add(r, inputs[i], err) : file_add(r, inputs[i], err))) return false;
    }
    if (r->n_runs + r->n_scores + r->n_evals + r->n_files > 0) return true;
    return error_set(err, STATUS_DATA,
                     "nothing to report; name run folders, score files, or the JSON that score or "
                     "eval printed");
}

void report_free(Report *r) {
    free(r->runs);
    free(r->scores);
    free(r->evals);
    free(r->files);
    arena_free(&r->arena);
}

const Json *report_value(const Report *r, const char *key) {
    for (int i = 0; i < r->n_runs; i++) {
        const Json *v = json_get(r->runs[i].json, key);
        if (v && v->type != JSON_NULL) return v;
    }
    return NULL;
}

/* Seconds that the run's arm cost: scores, references and training. NaN if none was noted. */
static double run_cost(const FinishedRun *run) {
    static const char *const parts[] = {"score", "reference", "train"};
    const Json *seconds = json_get(run->json, "seconds");
    double sum = NAN;
    for (int i = 0; i < 3; i++) {
        double part = json_number(seconds, parts[i]);
        if (isfinite(part)) sum = (isnan(sum) ? 0 : sum) + part;
    }
    return sum;
}

double run_metric(const FinishedRun *run, const char *key) {
    if (strcmp(key, "seconds") == 0) return run_cost(run);
    return json_number(json_get(run->json, "result"), key);
}

double run_total(const FinishedRun *run) {
    double total = json_number(json_get(run->json, "seconds"), "total");
    if (!isfinite(total)) total = run_cost(run);
    return isfinite(total) ? total : 0;
}

/* ---- scores with their truth ---- */

/* By objective, group and method. */
static int by_name(const ScoreSet *p, const ScoreSet *q) {
    int d = objective_rank(p->objective) - objective_rank(q->objective);
    if (d == 0) d = order_groups(&p->group, &q->group);
    return d ? d : order_methods(&p->method, &q->method);
}

/* Score files come before the scores in run folders. A run that refreshes its scores keeps the last
 * ones, and those are of a trained model. */
static int by_set(const void *a, const void *b) {
    const ScoreSet *p = a, *q = b;
    int d = by_name(p, q);
    if (d == 0) d = p->from_run - q->from_run;
    if (d == 0) d = order_draws(&p->order, &q->order);
    return d ? d : strcmp(p->scores, q->scores);
}

/* A number of records in a file that another program may have written. */
static int count_of(const Json *number) {
    bool is = number && number->type == JSON_NUMBER && number->number > 0 && number->number < 1e9;
    return is ? (int)number->number : 0;
}

/* How many records of its pool a run left out: what run.json says of the file. */
static int left_out_of(const Json *run, const char *pool) {
    const Json *data = json_get(run, "data");
    int sum = 0;
    for (int i = 0; pool && data && data->type == JSON_ARRAY && i < data->count; i++) {
        const Json *file = &data->items[i], *path = json_get(file, "path"),
                   *counts = json_get(file, "left_out");
        bool is_pool = path && path->type == JSON_STRING && str_is(path->string, pool);
        for (int k = 0; is_pool && counts && counts->type == JSON_OBJECT && k < counts->count; k++)
            sum += count_of(&counts->items[k]);
    }
    return sum;
}

/* What the options of a run, or what `ica score --json` printed, say of rows. A template's path
 * counts while it leads to a regular file. */
static RowText row_text(Report *r, const Json *said, const char *demos_key) {
    RowText text = {report_text(&r->arena, said, "template", NULL), -1};
    const char *as = report_text(&r->arena, said, demos_key, "");
    for (int i = 0; i < DEMOS_AS_COUNT; i++)
        if (strcmp(as, DEMOS_AS[i].name) == 0) text.demos_as = i;
    if (text.template && file_exists(text.template) && !file_is_regular(text.template))
        text.template = NULL;
    return text;
}

/* The run.json beside a score file. NULL without one, or if it is something else; with an error if
 * it cannot be read. */
static const Json *run_beside(Report *r, const char *scores, Error *err) {
    const char *slash = strrchr(scores, '/');
    const char *path =
        text_new(&r->arena, "%.*srun.json", slash ? (int)(slash + 1 - scores) : 0, scores);
    Error found = {0};
    const Json *run = file_is_regular(path) ? file_load(&r->arena, path, &found) : NULL;
    if (found.status == STATUS_IO) *err = found;
    return run;
}

/* A score file by itself: what is said of it is said by the run.json beside it. */
static ScoreSet file_set(Report *r, const char *path, Error *err) {
    const Json *run = run_beside(r, path, err), *options = json_get(run, "options");
    const char *pool = report_text(&r->arena, options, "pool", NULL);
    return (ScoreSet){.method = path,
                      .group = "Score files",
                      .objective = "sft", /* set_fill knows better */
                      .order = "",
                      .when = r->pool ? r->pool : "no --pool given",
                      .scores = path,
                      .pool = r->pool,
                      .holdout = r->holdout,
                      .text = row_text(r, options, "demos-as"),
                      .left_out = r->skip_unscored ? INT_MAX : left_out_of(run, pool),
                      .from_file = true};
}

/* Adds the scores that a run left in its folder. */
static void run_set(Report *r, const FinishedRun *run) {
    char *path = path_join(run->folder, "scores.jsonl");
    const Json *options = json_get(run->json, "options");
    if (file_exists(path) && !run->pretrain && options) {
        const char *seed = text_new(&r->arena, "%g", run->seed);
        const char *method = report_text(&r->arena, options, "weights", run->arm),
                   *pool = report_text(&r->arena, options, "pool", NULL);
        r->sets[r->n_sets++] =
            (ScoreSet){.method = str_copy(&r->arena, (Str){method, arm_method_length(method)}).s,
                       .group = run->group,
                       .objective = run->objective,
                       .order = seed,
                       .when = text_new(&r->arena, "seed %s", seed),
                       .scores = str_copy(&r->arena, str(path)).s,
                       .pool = pool,
                       .holdout = report_text(&r->arena, options, "holdout", NULL),
                       .comparison = json_get(json_get(run->json, "result"), "comparison"),
                       .text = row_text(r, options, "demos-as"),
                       .left_out = left_out_of(run->json, pool),
                       .from_run = true};
    }
    free(path);
}

static void sets_find(Report *r, Error *err) {
    size_t most = (size_t)(r->n_scores + r->n_runs + r->n_files) + 1;
    r->sets = arena_new(&r->arena, most, sizeof *r->sets);
    for (int i = 0; i < r->n_scores; i++) {
        const ScoreFile *f = &r->scores[i];
        r->sets[r->n_sets++] =
            (ScoreSet){.method = f->method,
                       .group = f->group,
                       .objective = f->objective,
                       .order = f->draw,
                       .when = text_new(&r->arena, "draw %s", f->draw),
                       .scores = report_text(&r->arena, f->json, "scores", ""),
                       .pool = report_text(&r->arena, f->json, "pool", NULL),
                       .holdout = report_text(&r->arena, f->json, "holdout", NULL),
                       .comparison = json_get(f->json, "comparison"),
                       .shard = report_text(&r->arena, f->json, "shard", NULL),
                       .text = row_text(r, f->json, "demos_as"),
                       .left_out = count_of(json_get(f->json, "left_out"))};
    }
    for (int i = 0; i < r->n_runs; i++) run_set(r, &r->runs[i]);
    for (int i = 0; i < r->n_files; i++) r->sets[r->n_sets++] = file_set(r, r->files[i], err);
    /* Keep the first of each method on each group. */
    int kept = 0;
    if (r->n_sets) qsort(r->sets, (size_t)r->n_sets, sizeof *r->sets, by_set);
    for (int i = 0; i < r->n_sets; i++)
        if (kept == 0 || by_name(&r->sets[kept - 1], &r->sets[i]) != 0)
            r->sets[kept++] = r->sets[i];
    r->n_sets = kept;
}

/* Does line i of the scores belong to record i of the pool, for all i? Records that have no line,
 * at most `left_out`, are first removed from the pool. */
static bool rows_match(const JsonLines *rows, Dataset *pool, int left_out) {
    int next = 0, kept = 0;
    if (pool->count - rows->n > left_out) return false;
    for (int i = 0; i < rows->n; i++)
        if (!scores_keep_next(rows->v[i], pool, &next, &kept)) return false;
    pool->gone = pool->count - kept;
    pool->count = kept;
    return true;
}

bool data_load(Dataset *d, const char *path, Error *err) {
    Buf nothing = {0};
    uint64_t size;
    bool is_file = file_read_start(path, 0, &nothing, &size, err);
    buf_free(&nothing);
    return is_file && records_load(d, path, err);
}

/* Opens the pool that the scores name. If it is not the one of their lines, a note says why. */
static bool named_pool(Report *r, const ScoreSet *s, const char *what, const JsonLines *rows,
                       Dataset *pool) {
    Error gone = {0};
    bool there = s->pool && data_load(pool, s->pool, &gone);
    if (there && rows_match(rows, pool, s->left_out)) return true;
    if (there && s->shard)
        NOTE(r,
             "The charts of %s are left out: they are of shard %s of %s: join the score files of "
             "all shards in their order, and give that file with --pool.",
             what, s->shard, s->pool);
    else if (there)
        NOTE(r, "The charts of %s are left out: %s is no longer the pool that was scored.", what,
             s->pool);
    else if (s->pool && strstr(s->pool, ", "))
        NOTE(r,
             "The charts of %s are left out: they are of several pools (%s): give the score file "
             "itself (%s), and with --pool the pools joined in that order.",
             what, s->pool, s->scores);
    else
        NOTE(r, "The charts of %s are left out: no pool (%s).", what,
             s->pool ? gone.text : "its path is not known");
    if (there) records_free(pool);
    return false;
}

bool set_open(Report *r, const ScoreSet *s, Arena *arena, JsonLines *rows, Dataset *pool,
              Error *err) {
    const char *what = text_new(&r->arena, "%s scores on %s (%s)", s->method, s->group, s->when);
    if (!file_exists(s->scores)) {
        NOTE(r, "The charts of %s are left out: the scores are gone (%s).", what,
             *s->scores ? s->scores : "no path");
        return false;
    }
    if (!lines_load(arena, s->scores, true, rows, err)) return false;
    *pool = (Dataset){0};
    if (s->from_file && !s->pool) return true;
    if (s->from_file && !records_load(pool, s->pool, err)) return false;
    if (s->from_file && !rows_match(rows, pool, s->left_out)) {
        records_free(pool);
        return error_set(err, STATUS_DATA,
                         "%s: has not the records of --pool %s, or others: name the pool that was "
                         "scored; if records were left out then (--skip-long and others), add "
                         "--skip-unscored",
                         s->scores, s->pool);
    }
    return s->from_file || named_pool(r, s, what, rows, pool);
}

static LineNumbers line_numbers(Arena *arena, const JsonLines *rows) {
    size_t n = (size_t)rows->n + 1;
    LineNumbers out = {rows->n, arena_new(arena, n, sizeof(double)),
                       arena_new(arena, n, sizeof(double))};
    for (int i = 0; i < rows->n; i++) {
        ScoreLine line;
        out.gain[i] = out.likelihood[i] = NAN;
        if (scores_line(rows->v[i], &line))
            accept_numbers(&line.record, &out.gain[i], &out.likelihood[i]);
    }
    return out;
}

/* Takes the numbers of both files, if the holdout's own scores lie beside the pool's. A file that
 * cannot be read is as good as none. */
static void set_compare(Report *r, ScoreSet *s, const JsonLines *rows) {
    char *beside = scores_holdout_path(s->scores);
    Arena scratch = {0};
    JsonLines own;
    Error unsaid = {0};
    if (file_is_regular(beside) && lines_load(&scratch, beside, true, &own, &unsaid)) {
        s->own = line_numbers(&r->arena, &own);
        s->pool_numbers = line_numbers(&r->arena, rows);
    }
    free(beside);
    arena_free(&scratch);
}

/* Takes scores and truth of the lines. */
static void set_fill(Report *r, ScoreSet *s, const JsonLines *rows, const Dataset *pool) {
    int known[2] = {0};
    s->n = rows->n;
    s->score = arena_new(&r->arena, (size_t)s->n + 1, sizeof *s->score);
    s->clean = arena_new(&r->arena, (size_t)s->n + 1, sizeof *s->clean);
    for (int i = 0; i < s->n; i++) {
        s->score[i] = json_number(rows->v[i], "score");
        s->clean[i] = pool->count > 0 && pool->records[i].clean == 1;
        if (pool->count > 0 && pool->records[i].clean >= 0) known[s->clean[i]]++;
        if (s->from_file && json_get(rows->v[i], "logp_chosen")) s->objective = "dpo";
    }
    s->truth = known[0] > 0 && known[1] > 0 && known[0] + known[1] == s->n;
    s->ready = true;
}

bool sets_read(Report *r, Error *err) {
    sets_find(r, err);
    for (int i = 0; i < r->n_sets && err->status == 0; i++) {
        Arena scratch = {0};
        JsonLines rows;
        Dataset pool;
        if (set_open(r, &r->sets[i], &scratch, &rows, &pool, err)) {
            if (pool.gone > 0)
                NOTE(r, "%d records of %s have no line in %s: they were left out when it was made.",
                     pool.gone, pool.path, r->sets[i].scores);
            set_fill(r, &r->sets[i], &rows, &pool);
            set_compare(r, &r->sets[i], &rows);
            records_free(&pool);
        }
        arena_free(&scratch);
    }
    return err->status == 0;
}
