/* The holdout against itself, by folds. Then two uses of its scores: the check, whether the model
 * learns from demonstrations, and the comparison of candidates with the holdout (E19, E20).
 *
 *   records    a  a'  b  c  d  d'  e  f        a' is another record with a's prompt
 *   prompts    sorted by hash:  d b f a c e
 *   folds      0: d e   1: b   2: f   3: a   4: c
 *
 * A record of fold 0 is scored with demonstrations from folds 1 to 4. No record ever sees its own
 * prompt, nor one that was dealt with it. */
#include "scoring/holdout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- folds ---- */

/* A record while it is sorted. */
typedef struct {
    uint64_t hash;
    const Example *x;
} Hashed;

/* By hash, then by text, then by tokens. Places never decide between records that differ. */
static int compare_hashed(const void *a, const void *b) {
    const Hashed *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    int c = example_compare(x->x, y->x);
    return c ? c : example_compare_tokens(x->x, y->x);
}

/* The examples' places, sorted by a hash of prompt and seed, or with `answers` of prompt and
 * answer. */
static int *sorted_by_hash(const Examples *holdout, uint64_t seed, bool answers, Arena *arena) {
    size_t n = (size_t)holdout->count;
    Hashed *h = mem_new(n, sizeof *h);
    int *order = arena_new(arena, n, sizeof *order);
    for (size_t i = 0; i < n; i++)
        h[i] = (Hashed){example_hash(&holdout->items[i], seed, answers), &holdout->items[i]};
    qsort(h, n, sizeof *h, compare_hashed);
    for (size_t i = 0; i < n; i++) order[i] = (int)(h[i].x - holdout->items);
    free(h);
    return order;
}

bool folds_new(const Examples *holdout, uint64_t seed, Folds *folds) {
    int n = holdout->count;
    *folds = (Folds){.count = n};
    folds->order = sorted_by_hash(holdout, 0, true, &folds->arena);
    folds->fold = arena_new(&folds->arena, (size_t)n, sizeof *folds->fold);
    folds->prompt = arena_new(&folds->arena, (size_t)n, sizeof *folds->prompt);
    /* Number the distinct prompts in hash order. Records of one prompt are neighbors there. */
    int *sorted = sorted_by_hash(holdout, seed, false, &folds->arena);
    for (int i = 0; i < n; i++) {
        const Example *x = &holdout->items[sorted[i]];
        if (i == 0 || !same_prompt(x, &holdout->items[sorted[i - 1]])) folds->prompts++;
        folds->prompt[sorted[i]] = folds->prompts - 1;
    }
    /* Deal them. */
    folds->folds = folds->prompts < FOLDS_MOST ? folds->prompts : FOLDS_MOST;
    for (int i = 0; i < n; i++) folds->fold[i] = folds->prompt[i] % folds->folds;
    return folds->prompts >= FOLD_PROMPTS_LEAST;
}

void folds_free(Folds *folds) {
    arena_free(&folds->arena);
    *folds = (Folds){0};
}

Examples folds_part(Folds *folds, const Examples *holdout, int fold, bool others, int *index) {
    Examples part = {.bos = holdout->bos, .bos_n = holdout->bos_n, .frame = holdout->frame};
    part.items = arena_new(&folds->arena, (size_t)folds->count, sizeof *part.items);
    for (int i = 0; i < folds->count; i++) {
        int at = folds->order[i];
        if ((folds->fold[at] == fold) == others) continue;
        index[part.count] = at;
        part.items[part.count++] = holdout->items[at];
    }
    return part;
}

/* ---- scores ---- */

/* Item i of the part is place[i] of the whole: the same demonstration there. */
static Demo demo_of_whole(Demo d, const Examples *part, const int *place, const Examples *whole) {
    return (Demo){&whole->items[place[d.prompt_of - part->items]],
                  &whole->items[place[d.answer_of - part->items]]};
}

static void add_cost(Cost *sum, const Cost *cost) {
    sum->forward += cost->forward;
    sum->backward += cost->backward;
    sum->flops += cost->flops;
}

/* Copies the scores of a part of the holdout to their places in the whole, and adds the counts and
 * the cost. place[i]: where record i of the part stands in the holdout. shown: the set that its
 * demonstrations point into, whose items stand at shown_place[]. */
static void put_fold(const Scores *part, const Examples *shown, const int *place,
                     const int *shown_place, const Examples *holdout, Scores *out) {
    for (int i = 0; i < part->count; i++) {
        int at = place[i];
        out->score[at] = part->score[i];
        out->alone.chosen[at] = part->alone.chosen[i];
        out->alone.rejected[at] = part->alone.rejected[i];
        out->in_context.chosen[at] = part->in_context.chosen[i];
        out->in_context.rejected[at] = part->in_context.rejected[i];
        out->hits[at] = part->hits[i];
        out->n_demos[at] = part->n_demos[i];
        out->unshown[at] = part->unshown[i];
        const Demo *from = part->demos + (size_t)i * (size_t)part->k;
        for (int d = 0; d < part->n_demos[i]; d++)
            out->demos[(size_t)at * (size_t)out->k + (size_t)d] =
                demo_of_whole(from[d], shown, shown_place, holdout);
    }
    out->n_unshown += part->n_unshown;
    out->dropped += part->dropped;
    out->alone_flops += part->alone_flops;
    add_cost(&out->cost, &part->cost);
}

/* Leaves the records of a part that are not kept out of it. place: as above. */
static void drop_unkept(Examples *part, int *place, const double *kept) {
    int n = 0;
    for (int i = 0; i < part->count; i++) {
        if (kept[place[i]] <= 0) continue;
        part->items[n] = part->items[i];
        place[n++] = place[i];
    }
    part->count = n;
}

void holdout_score(const Model *m, Workspace *ws, const Examples *holdout, Folds *folds,
                   const double *kept, const ScoreOptions *how, Scores *out) {
    size_t n = (size_t)holdout->count;
    int *place = mem_new(n, sizeof *place), *shown_place = mem_new(n, sizeof *shown_place);
    ScoreOptions each = *how;
    Scores part = {0};
    each.contexts = each.first = 0;
    /* Contexts and parts are of pools. A pair's loss, and what the caller computed before, are by
     * the pool's places, and a fold has others. */
    each.pair_score = PAIR_MARGIN;
    each.pool_reference = each.holdout_reference = (Logps){NULL, NULL};
    each.earlier_alone = each.earlier_by_reference = (Logps){NULL, NULL};
    scores_resize(out, holdout->count, how->k);
    for (int fold = 0; fold < folds->folds; fold++) {
        Examples asked = folds_part(folds, holdout, fold, false, place);
        Examples shown = folds_part(folds, holdout, fold, true, shown_place);
        if (kept) drop_unkept(&shown, shown_place, kept);
        ica_score(m, NULL, ws, &asked, &shown, &each, &part);
        put_fold(&part, &shown, place, shown_place, holdout, out);
    }
    scores_free(&part);
    free(place);
    free(shown_place);
}

/* ---- the check ---- */

/* The mean over records of the answers' token means. */
static double mean_loss(const Examples *holdout, const double *logp) {
    double sum = 0, unused;
    for (int i = 0; i < holdout->count; i++)
        sum += objective_sft(logp[i], holdout->items[i].answer_n, &unused);
    return sum / holdout->count;
}

/* The mean of x over n records, and its standard error, where all records of a prompt are one draw:
 * sqrt(P / (P - 1) sum over the P prompts of (sum over its records of x_i - mean)^2) / n. */
static void clustered_mean(const Folds *folds, const double *x, double *mean, double *error) {
    int n = folds->count, prompts = folds->prompts;
    double *sum = mem_new((size_t)prompts, sizeof *sum), square = 0;
    *mean = 0;
    for (int i = 0; i < n; i++) *mean += x[i] / n;
    for (int i = 0; i < n; i++) sum[folds->prompt[i]] += x[i] - *mean;
    for (int p = 0; p < prompts; p++) square += sum[p] * sum[p];
    *error = sqrt(square * prompts / (prompts - 1)) / n;
    free(sum);
}

bool holdout_helps(const HoldoutCheck *c) {
    return c->gain > 2 * c->gain_error && c->in_context < c->shuffled;
}

bool holdout_check(const Model *m, Workspace *ws, const Examples *holdout, const ScoreOptions *how,
                   HoldoutCheck *out) {
    Folds folds;
    Scores right = {0}, wrong = {0};
    *out = (HoldoutCheck){.k = how->k};
    bool ok = folds_new(holdout, how->seed, &folds);
    if (ok) {
        /* Score with the user's demonstrations, and with shuffled answers. */
        ScoreOptions each = {.method = METHOD_ICA, .k = how->k, .demos = how->demos};
        each.reduce = REDUCE_MEAN;
        each.seed = how->seed;
        each.embedding = how->embedding;
        each.vectors = how->vectors;
        if (each.demos == DEMOS_SHUFFLED) each.demos = DEMOS_NEAREST;
        holdout_score(m, ws, holdout, &folds, NULL, &each, &right);
        each.method = METHOD_INCONTEXT;
        each.demos = DEMOS_SHUFFLED;
        holdout_score(m, ws, holdout, &folds, NULL, &each, &wrong);
        /* A record without demonstrations gains nothing. */
        for (int i = 0; i < holdout->count; i++)
            if (right.unshown[i]) right.score[i] = 0;
        clustered_mean(&folds, right.score, &out->gain, &out->gain_error);
        out->records = holdout->count;
        out->prompts = folds.prompts;
        out->folds = folds.folds;
        out->loss = mean_loss(holdout, right.alone.chosen);
        out->in_context = mean_loss(holdout, right.in_context.chosen);
        out->shuffled = mean_loss(holdout, wrong.in_context.chosen);
        out->flops = right.cost.flops + wrong.cost.flops;
        out->forward = right.cost.forward + wrong.cost.forward;
    }
    scores_free(&right);
    scores_free(&wrong);
    folds_free(&folds);
    return ok;
}

/* ---- a reference for each fold ---- */

static bool too_few_prompts(const Folds *folds, Error *err) {
    return error_set(err, STATUS_DATA,
                     "the holdout has %d distinct prompts to compare candidates with, and needs "
                     "%d: give more trusted examples, or another --weight-map",
                     folds->prompts, FOLD_PROMPTS_LEAST);
}

bool references_deal(References *r, const Examples *holdout, uint64_t seed, Error *err) {
    r->seed = seed;
    return folds_new(holdout, seed, &r->folds) || too_few_prompts(&r->folds, err);
}

int references_fold(const References *r, const Example *candidate) {
    return (int)(example_hash(candidate, r->seed, false) % (uint64_t)r->folds.folds);
}

void references_logps(const References *r, Workspace *ws, const Examples *data, const int *fold,
                      Logps out, Cost *cost) {
    Arena arena = {0};
    size_t n = (size_t)data->count;
    int *place = arena_new(&arena, n, sizeof *place);
    Examples part = *data;
    part.items = arena_new(&arena, n, sizeof *part.items);
    double *chosen = arena_new(&arena, n, sizeof *chosen),
           *rejected = out.rejected ? arena_new(&arena, n, sizeof *rejected) : NULL;
    for (int f = 0; f < r->folds.folds; f++) {
        part.count = 0;
        for (int i = 0; i < data->count; i++) {
            if ((fold ? fold[i] : references_fold(r, &data->items[i])) != f) continue;
            place[part.count] = i;
            part.items[part.count++] = data->items[i];
        }
        ica_answer_logps(r->model[f], ws, &part, (Logps){chosen, rejected}, cost);
        for (int i = 0; i < part.count; i++) out.chosen[place[i]] = chosen[i];
        for (int i = 0; i < part.count && rejected; i++) out.rejected[place[i]] = rejected[i];
    }
    arena_free(&arena);
}

void references_free(References *r) {
    for (int f = 0; f < FOLDS_MOST; f++) model_free(r->model[f]);
    folds_free(&r->folds);
    *r = (References){0};
}

int references_most(Method method, WeightMap map) {
    if (!METHODS[method].needs_reference) return 0;
    return MAPS[map].of_holdout ? FOLDS_MOST : 1;
}

/* ---- candidates against the holdout ---- */

static Logps room_for_logps(Comparison *c, int count) {
    size_t n = (size_t)count;
    Logps l = {arena_new(&c->arena, n, sizeof *l.chosen), NULL};
    if (c->how.pairs) l.rejected = arena_new(&c->arena, n, sizeof *l.rejected);
    return l;
}

/* Makes room for the numbers of so many candidates. */
static void comparison_room(Comparison *c, int pool) {
    if (c->gain && pool <= c->pool) return;
    c->pool = pool;
    c->gain = arena_new(&c->arena, (size_t)pool, sizeof *c->gain);
    c->likelihood = arena_new(&c->arena, (size_t)pool, sizeof *c->likelihood);
    if (c->how.by_reference) c->pool_by_reference = room_for_logps(c, pool);
}

void comparison_new(Comparison *c, WeightMap map, const ComparisonOptions *how, int pool,
                    int holdout) {
    if (!MAPS[map].of_holdout || c->gain) return;
    *c = (Comparison){.how = *how, .holdout = holdout};
    comparison_room(c, pool);
    c->kept = arena_new(&c->arena, (size_t)holdout, sizeof *c->kept);
    for (int i = 0; i < holdout; i++) c->kept[i] = 1;
    if (how->by_reference) c->holdout_by_reference = room_for_logps(c, holdout);
}

void comparison_free(Comparison *c) {
    scores_free(&c->self);
    references_free(&c->references);
    arena_free(&c->arena);
    *c = (Comparison){0};
}

/* The records that are kept, in the holdout's order. place[i]: where item i stands there. */
static Examples kept_part(const Examples *holdout, const double *kept, int *place, Arena *arena) {
    Examples part = {.bos = holdout->bos, .bos_n = holdout->bos_n, .frame = holdout->frame};
    part.items = arena_new(arena, (size_t)holdout->count, sizeof *part.items);
    for (int i = 0; i < holdout->count; i++) {
        if (kept[i] <= 0) continue;
        place[part.count] = i;
        part.items[part.count++] = holdout->items[i];
    }
    return part;
}

/* Lets the demonstrations point into the whole holdout instead of the part. */
static void demos_of_whole(const Examples *part, const int *place, const Examples *holdout,
                           Scores *s) {
    for (int i = 0; i < s->count; i++)
        for (int d = 0; d < s->n_demos[i]; d++) {
            Demo *demo = &s->demos[(size_t)i * (size_t)s->k + (size_t)d];
            *demo = demo_of_whole(*demo, part, place, holdout);
        }
}

/* The numbers of scored examples that maps of the holdout compare. */
static void scores_numbers(const Examples *e, const Scores *s, double *gain, double *likelihood) {
    const Logps *in = s->by_folds ? &s->by_reference : &s->in_context;
    for (int i = 0; i < e->count; i++) {
        ScoredRecord r = {s->score[i],
                          {s->alone.chosen[i], s->alone.rejected[i]},
                          {in->chosen[i], in->rejected[i]},
                          e->items[i].answer_n};
        accept_numbers(&r, &gain[i], &likelihood[i]);
    }
}

/* Scores the holdout into c->self, each record by the reference that was not trained on it, and
 * adds what that cost. */
static void score_by_references(const Model *m, Workspace *ws, const Examples *holdout,
                                const ScoreOptions *how, Comparison *c, Cost *cost) {
    const References *r = &c->references;
    ScoreOptions each = {.method = how->method, .objective = how->objective, .pair = how->pair};
    if (r->model[0]) references_logps(r, ws, holdout, r->folds.fold, c->holdout_by_reference, cost);
    each.reduce = how->reduce;
    each.earlier_by_reference = c->holdout_by_reference;
    ica_score(m, NULL, ws, holdout, holdout, &each, &c->self);
    c->self.by_folds = true;
    add_cost(cost, &c->self.cost);
}

/* Scores what is kept by folds into c->self, and adds what that cost. False if it has too few
 * prompts. */
static bool score_kept(const Model *m, Workspace *ws, const Examples *holdout,
                       const ScoreOptions *how, Comparison *c, Cost *cost, Error *err) {
    Arena arena = {0};
    int *place = arena_new(&arena, (size_t)holdout->count, sizeof *place);
    Examples part = kept_part(holdout, c->kept, place, &arena);
    Folds folds;
    bool ok = folds_new(&part, how->seed, &folds);
    if (ok) {
        Scores s = {0};
        holdout_score(m, ws, &part, &folds, NULL, how, &s);
        scores_resize(&c->self, holdout->count, how->k);
        /* The score of a record that is left out is not known. */
        for (int i = 0; i < holdout->count; i++) c->self.score[i] = NAN;
        put_fold(&s, &part, place, place, holdout, &c->self);
        add_cost(cost, &s.cost);
        scores_free(&s);
    } else too_few_prompts(&folds, err);
    folds_free(&folds);
    arena_free(&arena);
    return ok;
}

/* A record while the lowest are searched. */
typedef struct {
    double rank;
    uint64_t hash;
    int place;
} Ranked;

static int compare_ranked(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->rank < y->rank || x->rank > y->rank) return x->rank < y->rank ? -1 : 1;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->place - y->place;
}

/* How many of x[n] are smaller than x[i]. What is not known is never the lowest. */
static double rank_of(const double *x, int n, int i) {
    int smaller = 0;
    if (isnan(x[i])) return n;
    for (int j = 0; j < n; j++) smaller += x[j] < x[i];
    return smaller;
}

/* Leaves out the records of smallest min(rank of gain, rank of likelihood). False if these are the
 * ones that are left out already. */
static bool choose_trimmed(const Examples *holdout, uint64_t seed, const double *gain,
                           const double *likelihood, Comparison *c) {
    int n = holdout->count, changed = 0;
    Ranked *r = mem_new((size_t)n, sizeof *r);
    for (int i = 0; i < n; i++)
        r[i] = (Ranked){fmin(rank_of(gain, n, i), rank_of(likelihood, n, i)),
                        example_hash(&holdout->items[i], seed, true), i};
    qsort(r, (size_t)n, sizeof *r, compare_ranked);
    /* 1e-9, because 0.29 * 100 is a little below 29. */
    c->told.trimmed = floor(c->how.trim * n + 1e-9);
    for (int i = 0; i < n; i++) {
        double keep = i >= (int)c->told.trimmed;
        changed += c->kept[r[i].place] > keep;
        c->kept[r[i].place] = keep;
    }
    free(r);
    return changed > 0;
}

/* Chooses the records to leave out. Wrong demonstrations make wrong records look right, so each
 * choice is tried with demonstrations from the rest, until it stays the same. */
static bool trim_holdout(const Model *m, Workspace *ws, const Examples *holdout,
                         const ScoreOptions *how, Comparison *c, Cost *cost, Error *err) {
    Arena arena = {0};
    Scores s = {0};
    Folds folds;
    size_t n = (size_t)holdout->count;
    double *gain = arena_new(&arena, n, sizeof *gain);
    double *likelihood = arena_new(&arena, n, sizeof *likelihood);
    bool ok = folds_new(holdout, how->seed, &folds) || too_few_prompts(&folds, err);
    for (int round = 0; ok && round < TRIM_ROUNDS; round++) {
        holdout_score(m, ws, holdout, &folds, c->kept, how, &s);
        add_cost(cost, &s.cost);
        scores_numbers(holdout, &s, gain, likelihood);
        if (!choose_trimmed(holdout, how->seed, gain, likelihood, c)) break;
    }
    scores_free(&s);
    folds_free(&folds);
    arena_free(&arena);
    return ok;
}

bool comparison_levels(Comparison *c, const double *gain, const double *likelihood, int records) {
    c->told.slope = mirror_slope(gain, records);
    return accept_levels(gain, likelihood, records, c->how.level, &c->told.levels);
}

const double *comparison_map(const Comparison *c, MapOptions *how) {
    for (int i = 0; i < 2; i++) how->threshold[i] = c->told.levels.threshold[i];
    how->likelihood = c->told.levels.numbers > 1 ? c->likelihood : NULL;
    how->slope = c->told.slope;
    how->relabel = c->how.relabel;
    return c->gain;
}

void comparison_swapped(const Comparison *c, int n, bool *swapped) {
    for (int i = 0; i < n; i++) swapped[i] = false;
    if (c->how.relabel) mirror_swapped(c->told.slope, c->gain, n, swapped);
}

double comparison_clean(const Comparison *c, WeightMap map, int n) {
    if (map != MAP_MIRROR) return accept_clean_share(&c->told.levels, c->gain, c->likelihood, n);
    return mirror_share(c->told.slope, c->gain, n);
}

/* Scores the holdout and takes the thresholds from it. The first time it leaves out its lowest
 * records and scores the rest anew. */
static bool settle_holdout(const Model *m, Workspace *ws, const Examples *holdout,
                           const ScoreOptions *how, Comparison *c, Cost *cost, Error *err) {
    Arena arena = {0};
    size_t n = (size_t)holdout->count;
    double *gain = arena_new(&arena, n, sizeof *gain);
    double *likelihood = arena_new(&arena, n, sizeof *likelihood);
    bool first = c->told.levels.records <= 0;
    /* The first time, leave out the lowest records. Score what is left. */
    bool trims = first && c->how.trim > 0;
    bool ok = true;
    if (c->how.by_reference) score_by_references(m, ws, holdout, how, c, cost);
    else
        ok = (!trims || trim_holdout(m, ws, holdout, how, c, cost, err)) &&
             score_kept(m, ws, holdout, how, c, cost, err);
    c->told.flops = cost->flops;
    /* Take the thresholds from what is kept. */
    if (ok) {
        scores_numbers(holdout, &c->self, gain, likelihood);
        ok = comparison_levels(c, gain, likelihood, holdout->count) ||
             error_set(err, STATUS_DATA,
                       "no record of the holdout fits after demonstrations from the rest of it: "
                       "give shorter records, or another --weight-map");
    }
    arena_free(&arena);
    return ok;
}

bool holdout_compare(const Model *m, Workspace *ws, const Examples *pool, const Examples *holdout,
                     const ScoreOptions *how, Comparison *c, Scores *out, Error *err) {
    Arena arena = {0};
    Cost cost = {0};
    ScoreOptions each = *how;
    if (!c->settled && !settle_holdout(m, ws, holdout, how, c, &cost, err)) return false;
    comparison_room(c, pool->count);
    if (c->references.model[0])
        references_logps(&c->references, ws, pool, NULL, c->pool_by_reference, &cost);
    if (c->how.by_reference) each.earlier_by_reference = c->pool_by_reference;
    /* Score the pool, which is shown only what is kept. */
    int *place = arena_new(&arena, (size_t)holdout->count, sizeof *place);
    Examples part = kept_part(holdout, c->kept, place, &arena);
    ica_score(m, NULL, ws, pool, &part, &each, out);
    out->by_folds = c->how.by_reference;
    demos_of_whole(&part, place, holdout, out);
    scores_numbers(pool, out, c->gain, c->likelihood);
    add_cost(&out->cost, &cost);
    arena_free(&arena);
    return true;
}
