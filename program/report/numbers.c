#include "program/report/numbers.h"

#include "ica.h"
#include "lib/charts.h"
#include "lib/stats.h"
#include "program/report/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_number(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* ---- blocks: the arms of one objective on one group, over seeds ---- */

#define ABOUT_ESS "ESS: effective sample size, how many records the weights amount to."
#define ABOUT_SECONDS "seconds: scoring, reference and training, without evaluation."
#define ABOUT_PAIRS "loss: of the test's pairs, less is better."
#define ABOUT_ACCURACY                                                                             \
    "reward acc.: share of test pairs whose chosen answer has the larger reward, which is what "   \
    "the "                                                                                         \
    "objective makes large."
#define ABOUT_MARGIN "margin: the chosen answer's reward minus the rejected one's."
#define ABOUT_VALIDATION                                                                           \
    "validation: loss of the part of the pool that a run held out, less is better."
#define ABOUT_GAP "gap: share of the way from uniform weights to the oracle, which knows the truth."

static const Metric SFT_METRICS[METRICS] = {
    {"nll", "test NLL", 4, 1,
     "test NLL: negative log-likelihood of the test's right answers, in nats a token, less is "
     "better."},
    {"p_sequence", "P(seq)", 3, 1, "P(seq): mean probability of the whole right answer."},
    {"exact_match", "EM", 3, 1,
     "EM: exact match, share of questions whose most probable tokens are the right answer."},
    {"validation_nll", "validation", 4, 1, ABOUT_VALIDATION},
    {"ess", "ESS", 1, 1, ABOUT_ESS},
    {"gap", "gap closed %", 1, 100, ABOUT_GAP},
    {NULL, NULL, 0, 0, NULL},
    {"seconds", "seconds", 2, 1, ABOUT_SECONDS}};
static const Metric DPO_METRICS[METRICS] = {
    {"loss", "loss", 4, 1, ABOUT_PAIRS},
    {"reward_accuracy", "reward acc.", 3, 1, ABOUT_ACCURACY},
    {"margin", "margin", 3, 1, ABOUT_MARGIN},
    {"validation_loss", "validation", 4, 1, ABOUT_VALIDATION},
    {"ess", "ESS", 1, 1, ABOUT_ESS},
    {"gap", "gap % (loss)", 1, 100, ABOUT_GAP},
    {"gap_reward_accuracy", "gap % (acc.)", 1, 100, NULL},
    {"seconds", "seconds", 2, 1, ABOUT_SECONDS}};
static const Metric SIMPO_METRICS[METRICS] = {
    {"loss", "loss", 4, 1, ABOUT_PAIRS},
    {"reward_accuracy", "reward acc.", 3, 1, ABOUT_ACCURACY},
    {"margin", "margin", 3, 1, ABOUT_MARGIN},
    {"validation_loss", "validation", 4, 1, ABOUT_VALIDATION},
    {"ess", "ESS", 1, 1, ABOUT_ESS},
    {"gap", "gap % (acc.)", 1, 100, ABOUT_GAP},
    {"gap_loss", "gap % (loss)", 1, 100, NULL},
    {"seconds", "seconds", 2, 1, ABOUT_SECONDS}};

const Arm *block_arm(const Block *b, const char *name) {
    for (int i = 0; i < b->n_arms; i++)
        if (strcmp(b->arms[i].name, name) == 0) return &b->arms[i];
    return NULL;
}

/* The share of the way from uniform to oracle by metric m, per seed, as metric `to`; undefined for
 * these two, when one of them is missing, and where the oracle is not the better one. */
static void block_gap(Block *b, int m, int to) {
    const Arm *uniform = block_arm(b, "uniform"), *oracle = block_arm(b, "oracle");
    for (int a = 0; a < b->n_arms; a++) {
        Arm *arm = &b->arms[a];
        for (int s = 0; s < b->n_seeds; s++) {
            double gap = NAN;
            if (uniform && oracle && arm != uniform && arm != oracle) {
                double from = uniform->values[m][s], way = from - oracle->values[m][s];
                bool better = m == 0 ? way > 0 : way < 0; /* The first metric is a loss. */
                if (better) gap = (from - arm->values[m][s]) / way;
            }
            arm->values[to][s] = isfinite(gap) ? gap : NAN;
        }
    }
}

/* Says so if two runs of one seed learn from other pools. Training on the holdout is meant to. */
static void tell_pools(Report *r, const Block *b) {
    for (int s = 0; s < b->n_seeds; s++) {
        const FinishedRun *first = NULL;
        for (int a = 0; a < b->n_arms; a++) {
            const FinishedRun *run = b->arms[a].runs[s];
            if (!run || strcmp(run->arm, "holdout-only") == 0) continue;
            if (!first) first = run;
            if (strcmp(first->pool, run->pool) == 0) continue;
            NOTE(r,
                 "%s and %s have the same seed and other pools: the pool is part of what their "
                 "rows compare.",
                 first->folder, run->folder);
            return;
        }
    }
}

/* What each of two runs was given for an option, as text. */
static const char *option_of(Arena *arena, const FinishedRun *run, const char *key) {
    return report_text(arena, json_get(run->json, "options"), key, "none");
}

/* Says so if runs of one table were trained in other ways. */
static void tell_training(Report *r, const Block *b) {
    /* Not the steps: tables are of one number of them, which can be said in several ways. */
    static const char *const keys[] = {"learning-rate", "lr-scheduler-type", "min-lr-ratio",
                                       "batch-size",    "weight-decay",      "adam-beta1",
                                       "adam-beta2",    "max-grad-norm",     "normalize",
                                       "lora-rank",     "lora-alpha",        "lora-targets"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const FinishedRun *first = NULL, *other = NULL;
        for (int i = 0; i < b->n_arms * b->n_seeds && !other; i++) {
            const FinishedRun *run = b->arms[i / b->n_seeds].runs[i % b->n_seeds];
            if (!run) continue;
            if (!first) first = run;
            if (strcmp(option_of(&r->arena, first, keys[k]), option_of(&r->arena, run, keys[k])))
                other = run;
        }
        if (other)
            NOTE(r, "%s and %s differ in --%s, too: %s and %s. The table compares both at once.",
                 first->folder, other->folder, keys[k], option_of(&r->arena, first, keys[k]),
                 option_of(&r->arena, other, keys[k]));
    }
}

/* Puts the values of the runs into their arms, then means and spreads. */
static void block_fill(Report *r, Block *b) {
    for (int i = 0; i < r->n_runs; i++) {
        const FinishedRun *run = &r->runs[i];
        if (!run_comparable(run, b->first)) continue;
        Arm *arm = b->arms;
        while (strcmp(arm->name, run->arm) != 0) arm++;
        int s = 0;
        while (b->seeds[s] != run->seed) s++;
        if (arm->runs[s])
            NOTE(r,
                 "%s and %s are the same arm, group and seed: the second one counts. --arm NAME "
                 "gives a run a row of its own.",
                 arm->runs[s]->folder, run->folder);
        else arm->seeds++;
        arm->runs[s] = run;
        arm->truth = arm->truth || run_knows_truth(run);
        for (int m = 0; m < METRICS; m++)
            if (m != GAP && m != OTHER_GAP) arm->values[m][s] = run_metric(run, b->metrics[m].key);
    }
    block_gap(b, b->headline, GAP);
    if (b->metrics[OTHER_GAP].key) block_gap(b, 1 - b->headline, OTHER_GAP);
    tell_pools(r, b);
    tell_training(r, b);
    for (int a = 0; a < b->n_arms; a++)
        for (int m = 0; m < METRICS; m++)
            mean_sd(b->arms[a].values[m], b->n_seeds, &b->arms[a].mean[m], &b->arms[a].sd[m]);
}

/* Lists the arms and seeds of a block, all values NaN, and fills them. */
static Block block_make(Report *r, const FinishedRun *first) {
    bool sft = strcmp(first->objective, "sft") == 0, simpo = strcmp(first->objective, "simpo") == 0;
    Block b = {.objective = first->objective,
               .group = first->group,
               .first = first,
               .metrics = sft     ? SFT_METRICS
                          : simpo ? SIMPO_METRICS
                                  : DPO_METRICS,
               .headline = simpo ? 1 : 0,
               .higher = simpo};
    Names arms = {0};
    b.seeds = arena_new(&r->arena, (size_t)r->n_runs, sizeof *b.seeds);
    for (int i = 0; i < r->n_runs; i++) {
        if (!run_comparable(&r->runs[i], first)) continue;
        names_add(&r->arena, &arms, r->runs[i].arm);
        int s = 0;
        while (s < b.n_seeds && b.seeds[s] != r->runs[i].seed) s++;
        if (s == b.n_seeds) b.seeds[b.n_seeds++] = r->runs[i].seed;
    }
    qsort(b.seeds, (size_t)b.n_seeds, sizeof *b.seeds, by_number);
    names_sort(&arms, order_arms);
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

/* Is it an arm of this method, under any map? */
static bool arm_is(const Arm *arm, const char *method) {
    size_t n = arm_method_length(arm->name);
    return n == strlen(method) && memcmp(arm->name, method, n) == 0;
}

/* Gives colors to the first arm of each of these methods; the others stay grey. */
static void block_tones(Block *b) {
    static const char *const shown[] = {"ica", "uniform", "oracle", "rho", "holdout-only"};
    for (int i = 0; i < 5; i++) {
        int a = 0;
        while (a < b->n_arms && !arm_is(&b->arms[a], shown[i])) a++;
        if (a < b->n_arms) b->arms[a].tone = i + 1;
    }
    if (b->n_arms <= 4)
        for (int a = 0; a < b->n_arms; a++)
            if (b->arms[a].tone == TONE_GREY) b->arms[a].tone = 6;
}

/* Names the settings in which the n blocks of one group differ, in each of them. */
static void blocks_settings(Report *r, Block *v, int n) {
    for (int i = 0; n > 1 && i < n; i++) {
        Buf text = {0};
        for (int k = 0; k < SETTING_COUNT; k++) {
            bool same = true;
            for (int j = 0; j < n; j++)
                same =
                    same && strcmp(v[j].first->settings[k].key, v[0].first->settings[k].key) == 0;
            if (!same) buf_printf(&text, "%s%s", text.n ? ", " : "", v[i].first->settings[k].text);
        }
        v[i].setting = str_copy(&r->arena, (Str){text.s, text.n}).s;
        buf_free(&text);
    }
}

/* The blocks of one objective and group: one for each set of comparable runs, in the order of their
 * first runs. */
static void blocks_add(Report *r, Blocks *blocks, const char *objective, const char *group) {
    Block *v = blocks->v + blocks->n;
    int n = 0;
    for (int i = 0; i < r->n_runs; i++) {
        const FinishedRun *run = &r->runs[i];
        if (run->pretrain || strcmp(run->objective, objective) != 0 ||
            strcmp(run->group, group) != 0)
            continue;
        int j = 0;
        while (j < n && !run_comparable(v[j].first, run)) j++;
        if (j < n) continue;
        v[n] = block_make(r, run);
        block_tones(&v[n++]);
    }
    blocks_settings(r, v, n);
    blocks->n += n;
}

/* The blocks of each objective and group that has runs, in their order. */
static Blocks blocks_make(Report *r) {
    Blocks blocks = {arena_new(&r->arena, (size_t)r->n_runs + 1, sizeof(Block)), 0};
    for (int o = 0; o < OBJECTIVE_COUNT; o++) {
        Names groups = {0};
        for (int i = 0; i < r->n_runs; i++)
            if (!r->runs[i].pretrain && strcmp(r->runs[i].objective, OBJECTIVES[o].name) == 0)
                names_add(&r->arena, &groups, r->runs[i].group);
        names_sort(&groups, order_groups);
        for (int g = 0; g < groups.n; g++) blocks_add(r, &blocks, OBJECTIVES[o].name, groups.v[g]);
    }
    for (int i = 0; i < blocks.n; i++)
        if (blocks.v[i].setting && objective_pairs(blocks.v[i].objective)) {
            NOTE(r, "results.json has the first table of each objective on pairs alone.");
            break;
        }
    return blocks;
}

/* ---- comparisons: what the numbers say, for or against ICA ---- */

/* ICA against one rival, under every map that both have. */
static void put_rival(const Block *b, const char *rival, Buf *out) {
    int m = b->headline, count = 0;
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *mine = &b->arms[a], *theirs = NULL;
        if (!arm_is(mine, "ica")) continue;
        const char *map = mine->name + strcspn(mine->name, ":");
        for (int i = 0; i < b->n_arms; i++)
            if (arm_is(&b->arms[i], rival) && strcmp(b->arms[i].name + strlen(rival), map) == 0)
                theirs = &b->arms[i];
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

/* ICA under each of its maps against an arm that has no map. */
static void put_against(const Block *b, const char *name, Buf *out) {
    const Arm *other = block_arm(b, name);
    int m = b->headline, count = 0;
    for (int a = 0; other && a < b->n_arms; a++) {
        const Arm *ica = &b->arms[a];
        Duel d = duel_of(ica->values[m], other->values[m], b->n_seeds, b->higher);
        if (!arm_is(ica, "ica") || d.n == 0) continue;
        if (count++ == 0) buf_printf(out, "ICA against %s: ", name);
        else buf_puts(out, "; ");
        buf_printf(out, "%s ", ica->name);
        duel_text(out, &d, b->metrics[m].decimals, "seed");
    }
    if (count) buf_puts(out, ".\n");
}

/* What a reader must know of the table, and what it says of ICA: one sentence a line. No arm is
 * named the best: that choice, made on the test, would be too good. */
static void block_remarks(const Block *b, Buf *out, Buf *more) {
    const Metric *metric = &b->metrics[b->headline];
    bool truth = false;
    for (int a = 0; a < b->n_arms; a++) truth = truth || b->arms[a].truth;
    if (b->setting)
        buf_printf(out,
                   "Only runs with %s are in this table. The group's others are not comparable, "
                   "and have tables of their own.\n",
                   b->setting);
    if (b->n_seeds > 1)
        buf_puts(out, "Mean and sample standard deviation (divisor n - 1) over seeds.\n");
    if (truth) buf_puts(out, "* knows which records are good, or how many: a bound, no choice.\n");
    if (b->n_arms < 2) return;
    buf_printf(more, "Comparisons are by %s (%s is better), on the test.\n", metric->name,
               b->higher ? "more" : "less");
    put_against(b, "uniform", more);
    put_against(b, "holdout-only", more);
    for (int m = 0; m < METHOD_COUNT; m++)
        if (m != METHOD_ICA) put_rival(b, METHODS[m].name, more);
}

/* ---- AUROC: methods by kinds of corruption, over draws ---- */

/* The last score file with this method and draw, or NULL. */
static const ScoreFile *score_file(const Report *r, const Auroc *a, const char *method,
                                   const char *draw) {
    for (int i = r->n_scores - 1; i >= 0; i--) {
        const ScoreFile *s = &r->scores[i];
        if (strcmp(s->objective, a->objective) == 0 && strcmp(s->group, a->group) == 0 &&
            strcmp(s->method, method) == 0 && strcmp(s->draw, draw) == 0)
            return s;
    }
    return NULL;
}

static void auroc_values(const Report *r, const Auroc *a, const char *method, const char *kind,
                         double *out) {
    for (int d = 0; d < a->draws.n; d++) {
        const ScoreFile *s = score_file(r, a, method, a->draws.v[d]);
        out[d] = json_number(s ? json_get(s->json, "auroc") : NULL, kind);
    }
}

/* Lists the methods, draws and kinds of corruption that score files have values for. */
static Auroc auroc_make(Report *r, const char *objective, const char *group) {
    Auroc a = {.objective = objective, .group = group};
    for (int i = 0; i < r->n_scores; i++) {
        const ScoreFile *s = &r->scores[i];
        const Json *table = json_get(s->json, "auroc");
        if (strcmp(s->objective, objective) != 0 || strcmp(s->group, group) != 0) continue;
        if (!table || table->type != JSON_OBJECT || table->count == 0)
            continue; /* no known truth */
        if (score_file(r, &a, s->method, s->draw) != s)
            NOTE(r,
                 "%s: another score file has the same method, group and draw: the last "
                 "one counts.",
                 s->path);
        names_add(&r->arena, &a.methods, s->method);
        names_add(&r->arena, &a.draws, s->draw);
        for (int k = 0; k < table->count; k++)
            names_add(&r->arena, &a.kinds, str_copy(&r->arena, table->keys[k]).s);
    }
    names_sort(&a.methods, order_methods);
    names_sort(&a.draws, order_draws);
    names_sort(&a.kinds, order_kinds);
    return a;
}

/* ICA against each other method. */
static void auroc_remarks(const Report *r, const Auroc *a, Buf *out) {
    double *mine = mem_new((size_t)a->draws.n, sizeof *mine),
           *theirs = mem_new((size_t)a->draws.n, sizeof *theirs);
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

static Aurocs aurocs_make(Report *r) {
    Aurocs all = {arena_new(&r->arena, (size_t)r->n_scores + 1, sizeof(Auroc)), 0};
    for (int o = 0; o < OBJECTIVE_COUNT; o++) {
        Names groups = {0};
        for (int i = 0; i < r->n_scores; i++)
            if (strcmp(r->scores[i].objective, OBJECTIVES[o].name) == 0)
                names_add(&r->arena, &groups, r->scores[i].group);
        names_sort(&groups, order_groups);
        for (int g = 0; g < groups.n; g++) {
            Auroc a = auroc_make(r, OBJECTIVES[o].name, groups.v[g]);
            if (a.methods.n) all.v[all.n++] = a;
        }
    }
    return all;
}

/* ---- in-context evaluations and seconds ---- */

static int by_shots(const void *a, const void *b) {
    return by_number(&((const Shots *)a)->k, &((const Shots *)b)->k);
}

/* The evaluations of answers, by the number of demonstrations. Returns how many. */
static int shots_make(Report *r, Shots **out) {
    int n = 0;
    *out = arena_new(&r->arena, (size_t)r->n_evals + 1, sizeof **out);
    for (int i = 0; i < r->n_evals; i++) {
        const Json *e = r->evals[i];
        double k = json_number(e, "k");
        Shots s = {isfinite(k) ? k : 0, json_number(e, "nll"), json_number(e, "p_sequence"),
                   json_number(e, "exact_match")};
        bool twice = false, other = false;
        static const char *const same[] = {"model", "data"};
        for (int j = 0; j < 2; j++) {
            const char *mine = report_text(&r->arena, e, same[j], ""),
                       *first = report_text(&r->arena, r->evals[0], same[j], "");
            if (strcmp(mine, first) == 0) continue;
            NOTE(r,
                 "An evaluation of --%s %s is left out: the table of answers with "
                 "demonstrations is of %s.",
                 same[j], mine, first);
            other = true;
            break;
        }
        if (other) continue;
        for (int j = 0; j < n; j++) twice = twice || (*out)[j].k == s.k;
        if (twice) NOTE(r, "Two evaluations with %g demonstrations: the first one counts.", s.k);
        else if (isfinite(s.nll)) (*out)[n++] = s;
    }
    if (n) qsort(*out, (size_t)n, sizeof **out, by_shots);
    return n;
}

/* The holdout's losses alone, in context, and with shuffled answers, summed over checks. */
typedef struct {
    int n, helps;
    double loss[3];
} Checks;

static void checks_add(Checks *c, const Json *result) {
    static const char *const keys[3] = {"nll", "nll_in_context", "nll_shuffled"};
    const Json *check = json_get(result, "holdout_check"), *helps = json_get(check, "helps");
    if (!check || !isfinite(json_number(check, keys[0]))) return;
    c->n++;
    c->helps += helps && helps->type == JSON_BOOL && helps->boolean;
    for (int i = 0; i < 3; i++) c->loss[i] += json_number(check, keys[i]);
}

/* One sentence about all checks of the holdout: does the model learn from demonstrations? */
static void note_checks(Report *r) {
    Checks c = {0};
    for (int i = 0; i < r->n_runs; i++) checks_add(&c, json_get(r->runs[i].json, "result"));
    for (int i = 0; i < r->n_scores; i++) checks_add(&c, r->scores[i].json);
    if (c.n == 0) return;
    NOTE(
        r,
        "The holdout against itself: demonstrations help in %d of %d checks; its mean loss is %.3f "
        "alone, %.3f with demonstrations, %.3f with their answers shuffled.%s",
        c.helps, c.n, c.loss[0] / c.n, c.loss[1] / c.n, c.loss[2] / c.n,
        c.helps < c.n ? " Where they do not help, scores by demonstrations say little." : "");
}

Numbers numbers_make(Report *r) {
    note_checks(r);
    Numbers n = {.blocks = blocks_make(r), .aurocs = aurocs_make(r)};
    n.n_shots = shots_make(r, &n.shots);
    return n;
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

/* A member's key, after a comma unless it is the first. */
static void put_key(Buf *b, const char *key, bool first) {
    if (!first) buf_putc(b, ',');
    json_put_string(b, str(key));
    buf_putc(b, ':');
}

/* The members of results.json's "seconds": sums over the runs, in total and by kind of run. A key
 * of seconds.json takes the place of the sum with its name; the others follow. */
static void put_seconds(const Report *r, Buf *b) {
    enum { TOTAL, PRETRAIN, FIRST_OBJECTIVE, PARTS = FIRST_OBJECTIVE + OBJECTIVE_COUNT };
    const char *keys[PARTS] = {[TOTAL] = "total", [PRETRAIN] = "pretrain"};
    double sums[PARTS] = {0};
    bool seen[PARTS] = {[TOTAL] = true};
    for (int o = 0; o < OBJECTIVE_COUNT; o++) keys[FIRST_OBJECTIVE + o] = OBJECTIVES[o].name;
    for (int i = 0; i < r->n_runs; i++) {
        const FinishedRun *run = &r->runs[i];
        int part = run->pretrain ? PRETRAIN : FIRST_OBJECTIVE + objective_rank(run->objective);
        double spent = run_total(run);
        sums[TOTAL] += spent;
        if (part < PARTS) sums[part] += spent, seen[part] = true;
    }
    bool first = true;
    for (int i = 0; i < PARTS; i++) {
        if (!seen[i] || (r->seconds && json_get(r->seconds, keys[i]))) continue;
        put_key(b, keys[i], first);
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

/* Has any arm a value of that metric? */
static bool block_has(const Block *b, int metric) {
    for (int a = 0; a < b->n_arms; a++)
        if (isfinite(b->arms[a].mean[metric])) return true;
    return false;
}

static void put_block(Buf *b, const Block *block) {
    buf_putc(b, '{');
    for (int a = 0; a < block->n_arms; a++) {
        put_key(b, block->arms[a].name, a == 0);
        buf_putc(b, '{');
        for (int m = 0; m < METRICS; m++) {
            if (!block->metrics[m].key || (m == VALIDATION && !block_has(block, m))) continue;
            put_key(b, block->metrics[m].key, m == 0);
            put_numbers(b, block->arms[a].values[m], block->n_seeds);
        }
        buf_putc(b, '}');
    }
    buf_putc(b, '}');
}

/* The key of a block: its group, and what sets it apart from the group's other blocks. */
static void put_block_key(Buf *b, const Block *block, bool first) {
    Buf key = {0};
    buf_puts(&key, block->group);
    if (block->setting) buf_printf(&key, ", %s", block->setting);
    put_key(b, key.s, first);
    buf_free(&key);
}

/* results.json has one AUROC table, one for dpo and one for simpo: the first group of each. */
static void put_auroc_values(Buf *b, const Report *r, const Aurocs *aurocs) {
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
    enum { KEYS = 4 };
    static const char *const keys[KEYS] = {"k", "nll", "p_sequence", "exact_match"};
    for (int i = 0; i < n; i++) {
        const double values[KEYS] = {shots[i].k, shots[i].nll, shots[i].p, shots[i].em};
        buf_puts(b, i ? ",{" : "{");
        for (int m = 0; m < KEYS; m++) {
            put_key(b, keys[m], m == 0);
            json_put_number(b, values[m]);
        }
        buf_putc(b, '}');
    }
}

/* The area under the curve of a set's scores, NaN where the truth is not known. */
static double set_area(const ScoreSet *s) {
    double area = NAN, *x = mem_new((size_t)s->n + 1, sizeof *x),
           *y = mem_new((size_t)s->n + 1, sizeof *y);
    if (s->truth) roc_curve(s->score, s->clean, s->n, x, y, &area);
    free(x);
    free(y);
    return area;
}

static int set_scored(const ScoreSet *s) {
    int scored = 0;
    for (int i = 0; i < s->n; i++) scored += isfinite(s->score[i]) != 0;
    return scored;
}

/* The elements of results.json's "score_files". */
static void put_files(Buf *b, const Report *r) {
    int count = 0;
    for (int i = 0; i < r->n_sets; i++) {
        const ScoreSet *s = &r->sets[i];
        if (!s->from_file || !s->ready) continue;
        buf_puts(b, count++ ? ",{\"path\":" : "{\"path\":");
        json_put_string(b, str(s->scores));
        json_key_number(b, "records", s->n);
        json_key_number(b, "scored", set_scored(s));
        json_key_number(b, "auroc", set_area(s));
        buf_putc(b, '}');
    }
}

Table files_table(const Report *r) {
    static const char *const heads[] = {"score file", "records", "scored", "mean",
                                        "lowest",     "highest", "AUROC"};
    Table t = {.title = "Score files"};
    for (int i = 0; i < 7; i++) table_head(&t, heads[i]);
    for (int i = 0; i < r->n_sets; i++) {
        const ScoreSet *s = &r->sets[i];
        if (!s->from_file || !s->ready) continue;
        double mean, sd, low = INFINITY, high = -INFINITY;
        mean_sd(s->score, s->n, &mean, &sd);
        for (int k = 0; k < s->n; k++)
            if (isfinite(s->score[k])) low = fmin(low, s->score[k]), high = fmax(high, s->score[k]);
        table_put(&t, "%s", s->scores);
        table_put(&t, "%d", s->n);
        table_put(&t, "%d", set_scored(s));
        table_mean(&t, mean, NAN, 4, 1);
        table_mean(&t, low, NAN, 4, 1);
        table_mean(&t, high, NAN, 4, 1);
        table_mean(&t, set_area(s), NAN, 4, 1);
    }
    table_drop_empty(&t);
    if (t.columns == 7)
        t.caption = "AUROC: the probability that a random good record has a higher score than a "
                    "random bad one; 0.5 is chance.";
    return t;
}

void numbers_put_results(const Report *r, const Numbers *n, Buf *b) {
    const Json *version = report_value(r, "version"), *machine = report_value(r, "machine");
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
    buf_puts(b, "],\n\"score_files\":[");
    put_files(b, r);
    buf_puts(b, "],\n\"auroc\":");
    put_auroc_values(b, r, &n->aurocs);
    buf_puts(b, ",\n\"sft\":{");
    bool first = true;
    for (int i = 0; i < n->blocks.n; i++) {
        if (strcmp(n->blocks.v[i].objective, "sft") != 0) continue;
        put_block_key(b, &n->blocks.v[i], first);
        put_block(b, &n->blocks.v[i]);
        first = false;
    }
    buf_putc(b, '}');
    for (int o = 1; o < OBJECTIVE_COUNT; o++) {
        const Block *block = NULL;
        for (int i = n->blocks.n - 1; i >= 0; i--)
            if (strcmp(n->blocks.v[i].objective, OBJECTIVES[o].name) == 0) block = &n->blocks.v[i];
        buf_printf(b, ",\n\"%s\":", OBJECTIVES[o].name);
        if (block) put_block(b, block);
        else buf_puts(b, "{}");
    }
    buf_puts(b, "}\n");
}

/* ---- tables with remarks, for text and page alike ---- */

const char *block_title(Arena *arena, const Block *b) {
    return text_new(arena, "%s on %s, %d seed%s%s%s", objective_title(b->objective), b->group,
                    b->n_seeds, plural(b->n_seeds), b->setting ? ": " : "",
                    b->setting ? b->setting : "");
}

/* What each column is: one sentence for each metric that any arm has. */
static const char *block_caption(Report *r, const Block *b) {
    Buf text = {0};
    buf_puts(&text, "An arm is METHOD:MAP, where its weights come from.");
    for (int m = 0; m < METRICS; m++)
        if (block_has(b, m) && b->metrics[m].about) buf_printf(&text, " %s", b->metrics[m].about);
    const char *kept = str_copy(&r->arena, (Str){text.s, text.n}).s;
    buf_free(&text);
    return kept;
}

Table block_table(Report *r, const Block *b) {
    Table t = {.title = block_title(&r->arena, b), .caption = block_caption(r, b)};
    table_head(&t, "arm");
    for (int m = 0; m < METRICS; m++)
        if (b->metrics[m].key) table_head(&t, b->metrics[m].name);
    for (int a = 0; a < b->n_arms; a++) {
        const Arm *arm = &b->arms[a];
        if (arm->seeds < b->n_seeds)
            table_put(&t, "%s%s (%d seed%s)", arm->name, arm->truth ? " *" : "", arm->seeds,
                      plural(arm->seeds));
        else table_put(&t, "%s%s", arm->name, arm->truth ? " *" : "");
        for (int m = 0; m < METRICS; m++)
            if (b->metrics[m].key)
                table_mean(&t, arm->mean[m], arm->sd[m], b->metrics[m].decimals,
                           b->metrics[m].scale);
    }
    table_drop_empty(&t);
    block_remarks(b, &t.remarks, &t.more);
    return t;
}

Table auroc_table(Report *r, const Auroc *a) {
    bool sft = !objective_pairs(a->objective);
    const char *kinds = sft ? "clean against corrupted" : "unflipped against flipped pairs";
    Table t = {
        .caption =
            "AUROC: the probability that a random good record has a higher score than a random bad "
            "one, by kind of fault; 0.5 is chance. Mean and sample standard deviation over draws "
            "of "
            "pool and holdout."};
    t.title =
        text_new(&r->arena, "AUROC of %s on %s%s%s, %d draw%s", kinds, a->group, sft ? "" : " for ",
                 sft ? "" : objective_title(a->objective), a->draws.n, plural(a->draws.n));
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
    auroc_remarks(r, a, &t.more);
    return t;
}

Table shots_table(const Shots *shots, int n) {
    static const char *const heads[] = {"demonstrations", "NLL", "P(seq)", "EM"};
    Table t = {.title = "Answers with demonstrations in context",
               .caption =
                   "NLL: negative log-likelihood in nats a token. P(seq): mean probability of "
                   "the whole answer. EM: exact match of the most probable tokens."};
    for (int i = 0; i < 4; i++) table_head(&t, heads[i]);
    for (int i = 0; i < n; i++) {
        table_put(&t, "%g", shots[i].k);
        table_mean(&t, shots[i].nll, NAN, 4, 1);
        table_mean(&t, shots[i].p, NAN, 3, 1);
        table_mean(&t, shots[i].em, NAN, 3, 1);
    }
    table_drop_empty(&t);
    return t;
}

enum { TEXT_WIDTH = 108 };

static void text_table(Buf *out, Table t) {
    if (out->n) buf_putc(out, '\n');
    table_text(&t, TEXT_WIDTH, out);
    table_free(&t);
}

void numbers_put_text(Report *r, const Numbers *n, Buf *out) {
    for (int i = 0; i < r->n_runs; i++)
        if (r->runs[i].pretrain)
            buf_printf(out, "Pretraining %s: %.0f steps, loss %.4f, %.1f seconds\n",
                       r->runs[i].folder, run_metric(&r->runs[i], "steps"),
                       run_metric(&r->runs[i], "loss"), run_total(&r->runs[i]));
    if (n->n_shots) text_table(out, shots_table(n->shots, n->n_shots));
    if (r->n_files) text_table(out, files_table(r));
    for (int i = 0; i < n->aurocs.n; i++) text_table(out, auroc_table(r, &n->aurocs.v[i]));
    for (int i = 0; i < n->blocks.n; i++) text_table(out, block_table(r, &n->blocks.v[i]));
    for (int i = 0; i < r->notes.n; i++)
        buf_printf(out, "%sNote: %s\n", i == 0 && out->n ? "\n" : "", r->notes.v[i]);
}
