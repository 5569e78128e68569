/* The exact half of the audit, the runs: train.c's own loop, with its schedule, clipping, order,
 * weighted step, refreshes and references, against a second trainer in plain loops over the
 * oracle. The oracle goes its own way from the first step to the last: it scores, weighs and
 * differentiates with its own parameters. Both start from the same weights, and every weight is
 * compared at the end. */
#include "tests/audit/audit_training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/reference/oracle.h"
#include "tests/unit/world.h"
#include "train.h"

/* Batches of 4, 4 and 1 in each epoch, and two epochs and a half. */
enum { POOL = 9, HOLDOUT = 6, BATCH = 4, STEPS = 8, WARMUP = 3, REFERENCE_STEPS = 5, SHOWN = 2 };

static const double ADAM_EPSILON = 1e-8, RATE = 1e-3;

/* A gradient of size 1 is rounded by 1e-16. AdamW divides it by its own size plus epsilon, 1e-8. A
 * weight whose gradient is that small takes a step that is off by rate x 1e-16 / epsilon = 1e-11,
 * and there are 8 steps. */
static const double TOLERANCE = 1e-10;
static const char *const REASON = "rounding 1e-16 of a gradient, over epsilon 1e-8, times the rate "
                                  "1e-3, in 8 steps";

/* ---- the second trainer ---- */

typedef struct {
    Oracle *o;
    const Examples *pool, *holdout;
    const TrainOptions *how;
    const double *fixed;       /* [pool] weights that stay, or NULL: scores are computed */
    double reference[POOL][2]; /* DPO */
    double score[POOL];
    OracleWeight *adam; /* [parameters] */
    int updates;
} Trainer;

/* Hugging Face's schedules of these names, scaled to end at the lowest share of the peak. */
static double rate_of(const LoopOptions *o, long step) {
    double warm = (double)step / WARMUP,
           done = (double)(step - WARMUP) / (double)(o->steps - WARMUP);
    if (o->schedule == SCHEDULE_CONSTANT) return o->learning_rate;
    if (step < WARMUP) return o->learning_rate * warm;
    double share = o->schedule == SCHEDULE_COSINE   ? (1 + cos(acos(-1) * done)) / 2
                   : o->schedule == SCHEDULE_LINEAR ? 1 - done
                                                    : 1;
    return o->learning_rate * (o->min_lr_ratio + (1 - o->min_lr_ratio) * share);
}

/* The records of a step: each epoch's order by Fisher and Yates, cut into batches. */
static int records_of(uint64_t seed, int n, long step, int *record) {
    long batches = (n + BATCH - 1) / BATCH, epoch = step / batches;
    int from = (int)(step % batches) * BATCH, order[POOL];
    Rng rng = rng_new(seed + (uint64_t)epoch * 1000003u, RNG_ORDER);
    for (int i = 0; i < n; i++) order[i] = i;
    for (int last = n - 1; last > 0; last--) {
        int other = rng_below(&rng, last + 1), t = order[last];
        order[last] = order[other];
        order[other] = t;
    }
    int count = n - from < BATCH ? n - from : BATCH;
    memcpy(record, order + from, (size_t)count * sizeof *record);
    return count;
}

/* R times: at steps floor(j S / R). */
static bool scores_due(const Trainer *t, long step, long steps) {
    for (long j = 0; j < t->how->refresh; j++)
        if (j * steps / t->how->refresh == step) return true;
    return false;
}

static void compute_scores(Trainer *t) {
    bool mean = t->how->scoring.reduce == REDUCE_MEAN;
    for (int i = 0; i < t->pool->count; i++) {
        const Example *z = &t->pool->items[i];
        t->score[i] = t->how->objective == OBJECTIVE_SFT
                          ? oracle_ica(t->o, t->holdout, z, SHOWN, mean)
                          : oracle_margin(t->o, t->holdout, z, SHOWN);
    }
}

/* The weights of a batch: of the pool's map, or of a map over the batch alone. */
static void weights_of(const Trainer *t, const int *record, int n, double *weight) {
    double of_batch[BATCH];
    for (int i = 0; i < n; i++) of_batch[i] = t->score[record[i]];
    for (int i = 0; i < n; i++)
        weight[i] =
            t->fixed ? t->fixed[record[i]]
            : t->how->map == MAP_MINMAX_BATCH
                ? oracle_weight(MAP_MINMAX, &t->how->map_options, of_batch, n, i)
                : oracle_weight(t->how->map, &t->how->map_options, t->score, POOL, record[i]);
}

/* Clips the gradient and moves every weight; matrices decay. */
static void update(Trainer *t, const double *grad, double rate) {
    const LoopOptions *loop = &t->how->loop;
    const Model *m = t->o->model;
    double square = 0;
    for (size_t j = 0; j < m->parameters; j++) square += grad[j] * grad[j];
    double norm = sqrt(square), scale = loop->max_grad_norm > 0 ? loop->max_grad_norm / norm : 1;
    t->updates++;
    for (int i = 0; i < m->tensor_count; i++) {
        const ModelTensor *tensor = &m->tensors[i];
        OracleAdam adam = {rate, loop->beta1, loop->beta2, ADAM_EPSILON,
                           tensor->rank == 2 ? loop->weight_decay : 0};
        for (size_t j = tensor->offset; j < tensor->offset + tensor->size; j++) {
            t->adam[j].w = t->o->flat[j];
            oracle_adamw(&adam, &t->adam[j], grad[j] * fmin(1, scale), t->updates);
            t->o->flat[j] = t->adam[j].w;
        }
    }
}

static void oracle_step(Trainer *t, long step, double *grad) {
    const TrainOptions *how = t->how;
    int record[BATCH], n = records_of(how->loop.seed, t->pool->count, step, record), tokens[BATCH];
    int micro = how->micro_batch_size ? how->micro_batch_size : n;
    double weight[BATCH], sum = 0;
    if (!t->fixed && scores_due(t, step, how->loop.steps)) compute_scores(t);
    weights_of(t, record, n, weight);
    for (int i = 0; i < n; i++) tokens[i] = t->pool->items[record[i]].answer_n;
    memset(grad, 0, t->o->model->parameters * sizeof *grad);
    for (int i = 0; i < n; i++) {
        sum += weight[i];
        oracle_loss_gradient(t->o, t->pool, &t->pool->items[record[i]], how->objective, &how->pair,
                             t->reference[record[i]],
                             oracle_coefficient(how->normalize, weight, tokens, n, micro, i), grad);
    }
    if (sum > 0) update(t, grad, rate_of(&how->loop, step));
}

/* Trains the oracle as `how` asks for. */
static void oracle_train(Oracle *o, const Examples *pool, const Examples *holdout,
                         const TrainOptions *how, const double *fixed) {
    Trainer t = {.o = o, .pool = pool, .holdout = holdout, .how = how, .fixed = fixed};
    double *grad = mem_new(o->model->parameters, sizeof *grad);
    t.adam = mem_new(o->model->parameters, sizeof *t.adam);
    for (int i = 0; i < pool->count && how->objective == OBJECTIVE_DPO; i++)
        for (int rejected = 0; rejected < 2; rejected++)
            t.reference[i][rejected] =
                oracle_logp(o, pool, NULL, 0, &pool->items[i], rejected == 1);
    for (long step = 0; step < how->loop.steps; step++) oracle_step(&t, step, grad);
    free(grad);
    free(t.adam);
}

/* ---- the rows ---- */

static const double WEIGHT[POOL] = {1, 0.25, 0, 2, 0, 0.5, 0, 1.5, 0};

static World training_world(void) {
    World w = {.m = random_model(3, 64), .ws = workspace_new()};
    Rng rng = rng_new(21, 0);
    random_examples(&w.pool, &rng, POOL, 12);
    random_examples(&w.holdout, &rng, HOLDOUT, 12);
    return w;
}

static TrainOptions options(void) {
    return (TrainOptions){.loop = {.steps = STEPS,
                                   .schedule = SCHEDULE_LINEAR,
                                   .learning_rate = RATE,
                                   .warmup_steps = WARMUP,
                                   .beta1 = 0.9,
                                   .beta2 = 0.99,
                                   .weight_decay = 0.1,
                                   .max_grad_norm = 1,
                                   .logging_steps = 1,
                                   .seed = 5},
                          .pair = {.beta = 0.1, .gamma_beta_ratio = 0.5},
                          .batch_size = BATCH,
                          .normalize = NORMALIZE_BATCH,
                          .refresh = 1,
                          .reference_steps = REFERENCE_STEPS,
                          .scoring = {.method = METHOD_ICA, .k = SHOWN, .reduce = REDUCE_MEAN}};
}

/* One run by both trainers. fixed NULL: weights of scores. */
static void compare_runs(Worst *worst, const World *w, const TrainOptions *o, bool fixed) {
    Model *m = model_copy(w->m);
    Oracle *oracle = oracle_new(w->m);
    Splits data = {.pool.examples = w->pool, .holdout.examples = w->holdout};
    PoolWeights weights = pool_weights_new(POOL);
    TrainResult result;
    Error err = {0};
    if (fixed) memcpy(weights.weight, WEIGHT, sizeof WEIGHT);
    else weights.source = WEIGHTS_SCORED;
    bool ok = train(m, &data, o, &weights, NULL, &result, &err);
    oracle_train(oracle, &w->pool, &w->holdout, o, fixed ? WEIGHT : NULL);
    for (size_t j = 0; j < m->parameters; j++)
        worst_add(worst, ok ? (double)m->w[j] : NAN, oracle->flat[j], 1);
    pool_weights_free(&weights);
    oracle_free(oracle);
    model_free(m);
}

static void run_row(Audit *a, const Equation *e, const char *compared, const Worst *w) {
    audit_worst(a, e, compared, w, TOLERANCE, REASON);
}

/* [E13] Schedules, and clipping: the largest norm is such that some steps are clipped. */
static void schedule_rows(Audit *a, const World *w) {
    static const Equation e = {"E13", "AdamW by the run's schedule, clipped by the global norm",
                               "loop_step"};
    Arena arena = {0};
    for (int schedule = 0; schedule < SCHEDULE_COUNT; schedule++) {
        Worst worst = {0};
        TrainOptions o = options();
        o.loop.schedule = (Schedule)schedule;
        compare_runs(&worst, w, &o, true);
        o.loop.min_lr_ratio = 0.25;
        compare_runs(&worst, w, &o, true);
        run_row(a, &e,
                text_new(&arena,
                         "%s, min-lr-ratio 0 and 1/4: every weight after the run, "
                         "against the oracle's",
                         SCHEDULES[schedule].name),
                &worst);
    }
    for (int clip = 0; clip < 2; clip++) {
        Worst worst = {0};
        TrainOptions o = options();
        o.loop.max_grad_norm = clip ? 0.01 : 0;
        compare_runs(&worst, w, &o, true);
        run_row(a, &e, clip ? "every step clipped" : "no clipping", &worst);
    }
    arena_free(&arena);
}

/* [E9] Weights of which some are 0, up to a whole batch: its step is skipped. */
static void weighted_rows(Audit *a, const World *w) {
    static const Equation e = {"E9", "g = sum_i w_i grad l_i / W, step after step",
                               "tuning_gradient"};
    static const char *const compared[] = {"by the batch's weights, of which some are 0",
                                           "the same in micro-batches of 2",
                                           "in micro-batches of 2, divided by each one's weights",
                                           "divided by the count",
                                           "not divided",
                                           "by the batch's tokens, in micro-batches of 2"};
    static const Normalize how[] = {NORMALIZE_BATCH, NORMALIZE_BATCH, NORMALIZE_MICRO,
                                    NORMALIZE_COUNT, NORMALIZE_NONE,  NORMALIZE_TOKENS};
    for (int i = 0; i < 6; i++) {
        Worst worst = {0};
        TrainOptions o = options();
        o.normalize = how[i];
        o.micro_batch_size = i == 1 || i == 2 || i == 5 ? 2 : 0;
        compare_runs(&worst, w, &o, true);
        run_row(a, &e, compared[i], &worst);
    }
}

/* [E5] [E8] [E11] [E12] Scores by the model as it then is, R times in a run. */
static void refreshed_rows(Audit *a, const World *w) {
    static const Equation e[] = {
        {"E8", "w_i of s_ICA, computed anew R times in a run", "refresh_weights"},
        {"E11", "DPO: weighted steps, s_margin computed anew", "pair_loss"},
        {"E12", "SimPO: weighted steps, s_margin computed anew", "pair_loss"}};
    static const WeightMap maps[] = {MAP_MINMAX_BATCH, MAP_MINMAX, MAP_RANK};
    static const char *const names[] = {"minmax-batch", "minmax", "rank"};
    Arena arena = {0};
    for (int objective = OBJECTIVE_SFT; objective <= OBJECTIVE_SIMPO; objective++)
        for (int r = 1; r <= 3; r++) {
            Worst worst = {0};
            TrainOptions o = options();
            o.objective = (Objective)objective;
            o.refresh = r;
            o.map = maps[r - 1];
            o.micro_batch_size = objective == OBJECTIVE_SFT ? 0 : 2;
            if (objective != OBJECTIVE_SFT) o.scoring.reduce = REDUCE_SUM;
            compare_runs(&worst, w, &o, false);
            run_row(a, &e[objective],
                    text_new(&arena,
                             "R = %d, %s: every weight after the run, "
                             "against the oracle's",
                             r, names[r - 1]),
                    &worst);
        }
    arena_free(&arena);
}

/* [E15] The reference is trained on the holdout by the run's settings, in an order of its own. */
static void reference_row(Audit *a, const World *w) {
    static const Equation e = {"E15", "RHO-Loss, its reference trained by the program",
                               "rho_reference"};
    static const double ones[HOLDOUT] = {1, 1, 1, 1, 1, 1};
    TrainOptions o = options(), reference = o;
    Splits data = {.pool.examples = w->pool, .holdout.examples = w->holdout};
    Oracle *now = oracle_new(w->m), *trained = oracle_new(w->m);
    Worst worst = {0};
    Scores s = {0};
    ScoreNotes notes;
    ScoreShared shared = {0};
    Spent spent = {0};
    Error err = {0};
    o.scoring.method = METHOD_RHO;
    o.normalize = reference.normalize = NORMALIZE_TOKENS;
    o.loop.max_grad_norm = reference.loop.max_grad_norm = 0.5;
    bool ok = train_score(w->m, &data, &o, &shared, &s, &notes, &spent, &err);
    reference.loop.steps = REFERENCE_STEPS;
    reference.loop.seed += RNG_REFERENCE_SEED;
    oracle_train(trained, &w->holdout, &w->holdout, &reference, ones);
    for (int i = 0; i < POOL; i++)
        worst_add(&worst, ok ? s.score[i] : NAN,
                  oracle_rho(now, trained, &w->pool, &w->pool.items[i], true), 1);
    run_row(a, &e, "scores, against the oracle's with a reference that the oracle trained", &worst);
    score_shared_free(&shared);
    scores_free(&s);
    oracle_free(now);
    oracle_free(trained);
}

void audit_training(Audit *a) {
    World w = training_world();
    schedule_rows(a, &w);
    weighted_rows(a, &w);
    refreshed_rows(a, &w);
    reference_row(a, &w);
    world_free(&w);
}
