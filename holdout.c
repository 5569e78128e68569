/* The holdout against itself, by folds.
 *
 *   records    a  a'  b  c  d  d'  e  f        a' is another record with a's prompt
 *   prompts    sorted by hash:  d b f a c e
 *   folds      0: d e   1: b   2: f   3: a   4: c
 *
 * A record of fold 0 is scored with demonstrations from folds 1 to 4. No record ever sees its own
 * prompt, nor one that was dealt with it. */
#include "holdout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- folds ---- */

/* A record while it is sorted. */
typedef struct {
    uint64_t hash;
    const Example *x;
} Hashed;

/* By hash, then by what is hashed, then by tokens: not by place, as far as records differ. */
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
    Examples part = {.bos = holdout->bos, .bos_n = holdout->bos_n};
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

/* Copies the scores of one fold's records to their places in the whole. */
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
                (Demo){&holdout->items[shown_place[from[d].prompt_of - shown->items]],
                       &holdout->items[shown_place[from[d].answer_of - shown->items]]};
    }
    out->n_unshown += part->n_unshown;
    out->dropped += part->dropped;
    out->alone_flops += part->alone_flops;
    out->cost.forward += part->cost.forward;
    out->cost.backward += part->cost.backward;
    out->cost.flops += part->cost.flops;
}

void holdout_score(const Model *m, Workspace *ws, const Examples *holdout, Folds *folds,
                   const ScoreOptions *how, Scores *out) {
    size_t n = (size_t)holdout->count;
    int *place = mem_new(n, sizeof *place), *shown_place = mem_new(n, sizeof *shown_place);
    ScoreOptions each = *how;
    Scores part = {0};
    each.contexts = each.first = 0;
    scores_resize(out, holdout->count, how->k);
    for (int fold = 0; fold < folds->folds; fold++) {
        Examples asked = folds_part(folds, holdout, fold, false, place);
        Examples shown = folds_part(folds, holdout, fold, true, shown_place);
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

/* The mean of x over records and its standard error, where all records of a prompt are one draw. */
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
        if (each.demos == DEMOS_SHUFFLED) each.demos = DEMOS_NEAREST;
        holdout_score(m, ws, holdout, &folds, &each, &right);
        each.method = METHOD_INCONTEXT;
        each.demos = DEMOS_SHUFFLED;
        holdout_score(m, ws, holdout, &folds, &each, &wrong);
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
    }
    scores_free(&right);
    scores_free(&wrong);
    folds_free(&folds);
    return ok;
}
