#include "program/requests.h"

#include "program/machine.h"

/* ---- structs ---- */

RunHeader request_run(const Settings *s, Arena *arena) {
    Buf machine = {0};
    machine_json(&machine);
    RunHeader h = {.folder = s->out,
                   .resume = s->resume,
                   .command = s->command,
                   .group = str_copy(arena, settings_group(s)).s,
                   .arm = settings_arm(s, arena),
                   /* pretraining has no pool, and no objective of this kind */
                   .objective = s->pool ? OBJECTIVES[s->objective].name : NULL,
                   .seed = s->seed,
                   .options = s->options_json,
                   .argc = s->argc,
                   .argv = s->argv,
                   .machine = str_copy(arena, (Str){machine.s, machine.n}).s};
    buf_free(&machine);
    return h;
}

LoopOptions request_loop(const Settings *s, long steps) {
    return (LoopOptions){.steps = steps,
                         .schedule = s->lr_scheduler_type,
                         .learning_rate = s->learning_rate,
                         .min_lr_ratio = s->min_lr_ratio,
                         .warmup_ratio = s->warmup_ratio,
                         .warmup_steps = s->warmup_steps,
                         .beta1 = s->adam_beta1,
                         .beta2 = s->adam_beta2,
                         .weight_decay = s->weight_decay,
                         .max_grad_norm = s->max_grad_norm,
                         .logging_steps = s->logging_steps,
                         .eval_steps = s->eval_steps,
                         .save_steps = s->save_steps,
                         .recompute = s->recompute,
                         .seed = (uint64_t)s->seed,
                         .stop = machine_stop_signal};
}

TrainOptions request_train(const Settings *s, long steps) {
    ScoreOptions scoring = {.method = s->method,
                            .pair_score = s->pair_score,
                            .k = s->k,
                            .demos = s->demos,
                            .contexts = s->contexts,
                            .reduce = s->reduce,
                            .anchors = s->anchors,
                            .num_anchors = s->num_anchors,
                            .allow_overlap = s->allow_overlap};
    return (TrainOptions){
        .loop = request_loop(s, steps),
        .objective = s->objective,
        .pair = settings_pair(s),
        .batch_size = s->batch_size,
        .micro_batch_size = s->micro_batch_size,
        .normalize = s->normalize,
        .map = s->weight_map,
        .map_options = {.temperature = s->temperature, .share = s->share, .clip = s->clip},
        .comparing = {.level = s->accept_level, .trim = s->holdout_trim},
        .refresh = s->refresh,
        .reference_steps = s->reference_steps,
        .scoring = scoring,
        .check = true};
}

/* ---- checks ---- */

/* A map of the holdout needs scores of the holdout itself. */
static bool check_comparison(const Settings *s, Error *err) {
    const char *map = MAPS[s->weight_map].name, *method = METHODS[s->method].name;
    bool pairs = OBJECTIVES[s->objective].pairs, mirror = s->weight_map == MAP_MIRROR;
    if (!MAPS[s->weight_map].of_holdout) return true;
    if (s->method == METHOD_RANDOM)
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map %s compares scores with the holdout's: random numbers "
                         "have nothing to compare",
                         s->command, map);
    if (s->method == METHOD_RHO)
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map %s does not go with rho: its reference was trained on "
                         "the whole holdout, so the holdout's own scores say nothing",
                         s->command, map);
    if (pairs && s->method == METHOD_GRADIENT)
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map %s does not go with gradient on pairs; take ica",
                         s->command, map);
    if (mirror && (!pairs || (s->method != METHOD_ICA && s->method != METHOD_ONESHOT)))
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map mirror is for pairs (--objective dpo or simpo) and the "
                         "methods ica and oneshot, not for %s",
                         s->command, method);
    if (mirror && s->shard)
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map mirror looks at the entire pool and cannot go with "
                         "--shard",
                         s->command);
    if (!s->holdout)
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map %s needs --holdout FILE, a few trusted examples",
                         s->command, map);
    return true;
}

bool check_holdout(const Settings *s, const ExampleFile *holdout, Error *err) {
    const MethodInfo *info = &METHODS[s->method];
    if (!check_comparison(s, err)) return false;
    if (!info->needs_holdout) return true;
    if (s->contexts > 0 && s->shard)
        return error_set(err, STATUS_USAGE,
                         "%s: --contexts cannot go with --shard: its clusters are "
                         "of the entire pool",
                         s->command);
    if (s->contexts > 0 && s->demos != DEMOS_NEAREST)
        return error_set(err, STATUS_USAGE,
                         "%s: --contexts goes with --demos nearest: other lists "
                         "are not chosen by nearness",
                         s->command);
    if (!s->holdout)
        return error_set(err, STATUS_USAGE,
                         "%s: the method %s needs --holdout FILE, a few trusted "
                         "examples",
                         s->command, info->name);
    if (method_needs_k(s->method, s->anchors) && s->k > holdout->data.count)
        return error_set(err, STATUS_DATA,
                         "%s: has %d records and --k asks for %d demonstrations: "
                         "lower --k",
                         s->holdout, holdout->data.count, s->k);
    return true;
}

void tell_dropped(int demos) {
    if (demos)
        fprintf(stderr,
                "%d demonstrations did not fit the context and were dropped, farthest first\n",
                demos);
}

void put_data(Buf *b, const Settings *s, Splits *x, int ended) {
    bool weights = s->weights_from == WEIGHTS_FROM_RECORDS;
    if (!weights) summary_ignore_weights(&x->pool.summary, &x->pool.data);
    summary_ignore_weights(&x->holdout.summary, &x->holdout.data);
    summary_ignore_weights(&x->eval.summary, &x->eval.data);
    summary_tell(b, &x->pool.summary, "pool");
    summary_tell(b, &x->holdout.summary, "holdout");
    summary_tell(b, &x->eval.summary, "test");
    ended += x->pool.ended + x->holdout.ended + x->eval.ended;
    if (ended > 0)
        buf_printf(b, "%d answers end in the text of the end token: it is read as the end token\n",
                   ended);
}

void tell_data(const Settings *s, Splits *x) {
    Buf b = {0};
    put_data(&b, s, x, 0);
    if (b.n > 0) fputs(b.s, stderr);
    buf_free(&b);
}

void tell_notes(const ScoreNotes *notes) {
    tell_dropped((int)notes->dropped_demos);
    if (notes->unshown > 0)
        fprintf(stderr,
                "%.0f candidates have no demonstration: their score is null, and their weight is "
                "the mean of the others'\n",
                notes->unshown);
}

void tell_complete(const Settings *s) {
    fprintf(stderr, "%s: the run is complete, nothing is left to do\n", s->resume);
}
