#include "program/requests.h"

#include <stdlib.h>
#include <string.h>

#include "data/adapter.h"
#include "data/model_weights.h"
#include "data/run.h"
#include "lib/file.h"
#include "lib/json.h"
#include "lib/text.h"
#include "program/machine.h"

/* ---- structs ---- */

RunHeader request_run(const Settings *s, Arena *arena) {
    Buf machine = {0};
    machine_json(&machine);
    RunHeader h = {.folder = s->out,
                   .resume = s->resume,
                   .force = s->force_resume,
                   .one_state = s->save_total_limit == 1,
                   .tensorboard = s->report_to == REPORT_TO_TENSORBOARD,
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

bool request_place(const Settings *s, RunPlace *place, Error *err) {
    PlaceUse use = s->resume      ? PLACE_RESUME
                   : s->again     ? PLACE_AGAIN
                   : s->overwrite ? PLACE_REPLACE
                                  : PLACE_NEW;
    return s->dry_run ? place_check(s->out, use, err) : place_open(place, s->out, use, err);
}

/* Do the run's bits depend on this option? Where the best evaluation counts, they depend on when
 * the model is evaluated. */
static bool counts(const Settings *s, const Option *row) {
    bool judged = s->load_best || s->patience > 0;
    return !row->free || (judged && strcmp(row->name, "eval-steps") == 0);
}

/* The options that count, as text. Where a file has the weights, its content counts. */
static void depends_on_options(Buf *depends, const Settings *s) {
    Arena arena = {0};
    const Json *all = json_parse(&arena, s->options_json, strlen(s->options_json), NULL);
    const Command command = {.name = s->command};
    for (int i = 0; all && i < all->count; i++) {
        Buf name = {0}, value = {0};
        buf_printf(&name, "--%.*s", STR_ARG(all->keys[i]));
        const Option *row = options_argument(OPTIONS, &command, (Str){name.s, name.n});
        bool file = s->weights_file && strcmp(name.s, "--weights") == 0;
        if (file) buf_puts(&value, "file");
        else if (all->items[i].type == JSON_STRING) buf_puts(&value, all->items[i].string.s);
        else json_put_value(&value, &all->items[i]);
        if (row && counts(s, row)) depends_put(depends, name.s, value.s ? value.s : "");
        buf_free(&name);
        buf_free(&value);
    }
    arena_free(&arena);
}

/* Mixes the files of a list into *all. */
static bool hash_files(const char *folder, const char *const *names, uint64_t *all, Error *err) {
    uint64_t one;
    bool ok = true;
    for (int i = 0; names[i] && ok; i++) {
        char *path = path_join(folder, names[i]);
        if (file_exists(path)) {
            ok = file_fingerprint(path, &one, err);
            *all = hash64(&one, sizeof one, hash64(names[i], strlen(names[i]), *all));
        }
        free(path);
    }
    return ok;
}

/* Hashes the files that say what the model of a folder is, and if text is read with it, those that
 * say how. */
static bool hash_folder(const char *folder, bool reads, uint64_t *all, Error *err) {
    static const char *const shape[] = {"config.json", NULL},
                             *const rest[] = {"vocab.json",
                                              "merges.txt",
                                              "template.json",
                                              "tokenizer.json",
                                              "model.safetensors.index.json",
                                              "adapter_config.json",
                                              "adapter_model.safetensors",
                                              NULL},
                             *const text[] = {"tokenizer_config.json", "added_tokens.json",
                                              "special_tokens_map.json", "chat_template.jinja",
                                              NULL};
    return hash_files(folder, shape, all, err) && model_weights_fingerprint(folder, all, err) &&
           hash_files(folder, rest, all, err) && (!reads || hash_files(folder, text, all, err));
}

/* Model and vocabulary of a folder, and the base of its adapters. One that is gone is not compared:
 * a resumed run does not read it. Nor does it read text with it, as `score` does (`reads`). */
static bool depends_on_folder(Buf *depends, const char *option, const char *folder, bool reads,
                              Error *err) {
    uint64_t all = HASH_START;
    Error ignored = {0}; /* a base that is gone is told where it is read */
    bool ok = !folder || hash_folder(folder, reads, &all, err);
    char *base = folder && adapter_is(folder) ? adapter_base(folder, &ignored) : NULL;
    if (ok && base) ok = hash_folder(base, reads, &all, err);
    free(base);
    if (ok && all != HASH_START) depends_put_file(depends, option, all);
    return ok;
}

/* The file of --template. A template may also have a name. */
static bool depends_on_template(Buf *depends, const Settings *s, Error *err) {
    uint64_t own = 0;
    bool file = s->template && file_exists(s->template);
    if (file && !file_fingerprint(s->template, &own, err)) return false;
    depends_put_file(depends, "file of --template", own);
    return true;
}

static uint64_t hash_ints(const int *v, int n, uint64_t hash) {
    return hash64(v, (size_t)n * sizeof *v, hash64(&n, sizeof n, hash));
}

/* The token ids: they tell whether the run's own vocabulary and template are as they were. */
static uint64_t hash_examples(const Examples *x, uint64_t hash) {
    for (int i = 0; i < x->count; i++) {
        const Example *e = &x->items[i];
        if (e->start) hash = hash_ints(e->start, e->start_n, hash);
        hash = hash_ints(e->prompt, e->prompt_n, hash);
        hash = hash_ints(e->answer, e->answer_n, hash);
        if (e->rejected) hash = hash_ints(e->rejected, e->rejected_n, hash);
    }
    return x->count ? hash_ints(x->bos, x->bos_n, hash) : hash;
}

bool request_depends(Run *run, const Settings *s, const Splits *x, const Sessions *sessions,
                     Error *err) {
    depends_on_options(&run->depends, s);
    uint64_t data = sessions ? HASH_START : 0, tokens = HASH_START;
    for (int i = 0; sessions && i < sessions->files; i++)
        data = hash64(&sessions->summary[i].fingerprint, sizeof(uint64_t), data);
    if (sessions) tokens = hash_ints(sessions->token.v, sessions->token.n, tokens);
    run_depends_file(run, "--data", data);
    run_depends_file(run, "--pool", x->pool.data.fingerprint);
    run_depends_file(run, "--holdout", x->holdout.data.fingerprint);
    run_depends_file(run, "--eval", x->eval.data.fingerprint);
    tokens = hash_examples(&x->pool.examples, tokens);
    tokens = hash_examples(&x->holdout.examples, tokens);
    run_depends_file(run, "vocabulary or template", hash_examples(&x->eval.examples, tokens));
    return depends_on_folder(&run->depends, "--model", s->model, false, err) &&
           depends_on_folder(&run->depends, "--tokenizer", s->tokenizer, false, err);
}

bool request_partial(const Settings *s, const Pool *pool, const ExampleFile *holdout,
                     const char *out, Partial *p, Error *err) {
    Buf depends = {0};
    PartialUse use = s->proceed ? PARTIAL_RESUME : s->overwrite ? PARTIAL_AGAIN : PARTIAL_NEW;
    depends_put(&depends, "version", ICA_VERSION);
    depends_on_options(&depends, s);
    depends_put_file(&depends, s->pool ? "--pool" : "--data", pool->fingerprint);
    depends_put_file(&depends, "--holdout", holdout->data.fingerprint);
    uint64_t own = 0;
    bool ok = !s->holdout_scores || file_fingerprint(s->holdout_scores, &own, err);
    depends_put_file(&depends, "--holdout-scores", own);
    ok = ok && depends_on_template(&depends, s, err) &&
         depends_on_folder(&depends, "--model", s->model, true, err) &&
         depends_on_folder(&depends, "--reference", s->reference, true, err) &&
         partial_open(p, out, s->command, &depends, use, err);
    buf_free(&depends);
    return ok;
}

bool request_adapters(const Settings *s, ModelFolder *f, Error *err) {
    LoraConfig lora = {.rank = s->lora_rank,
                       .alpha = s->lora_alpha > 0 ? s->lora_alpha : s->lora_rank,
                       .rslora = s->lora_rs};
    if (s->resume || s->lora_rank == 0) return true;
    return adapter_targets(&lora.targets, &f->model->config, str(s->lora_targets), err) &&
           model_folder_adapt(f, s->model, &lora, (uint64_t)s->seed, err);
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
                         .keep = {.best = s->load_best, .patience = s->patience},
                         .recompute = s->recompute,
                         .seed = (uint64_t)s->seed,
                         .stop = machine_stop_signal,
                         .save_now = machine_save_asked};
}

TrainOptions request_train(const Settings *s, long steps) {
    ScoreOptions scoring = {.method = s->method,
                            .pair_score = s->pair_score,
                            .k = s->k,
                            .demos = s->demos,
                            .embedding = s->embedding,
                            .contexts = s->contexts,
                            .reduce = s->reduce,
                            .anchors = s->anchors,
                            .num_anchors = s->num_anchors,
                            .allow_overlap = s->allow_overlap};
    LoopOptions loop = request_loop(s, steps);
    if (s->weights_from == WEIGHTS_FROM_METHOD) loop.scorings = s->refresh;
    return (TrainOptions){
        .loop = loop,
        .objective = s->objective,
        .pair = settings_pair(s),
        .batch_size = s->batch_size,
        .micro_batch_size = s->micro_batch_size,
        .normalize = s->normalize,
        .map = s->weight_map,
        .map_options = {.temperature = s->temperature, .share = s->share, .clip = s->clip},
        .comparing = {.level = s->accept_level,
                      .trim = s->holdout_trim,
                      .relabel = s->relabel,
                      .by_reference = METHODS[s->method].needs_reference,
                      .pairs = OBJECTIVES[s->objective].pairs},
        .refresh = s->refresh,
        .reference_steps = s->reference_steps,
        .scoring = scoring,
        .check = true};
}

void tell_still(const LoopOptions *o, long steps) {
    long warmup = schedule_warmup(o->warmup_steps, o->warmup_ratio, steps);
    for (long step = 0; step < steps; step++)
        if (schedule_rate(o->schedule, o->learning_rate, step, steps, warmup, o->min_lr_ratio) != 0)
            return;
    fprintf(stderr,
            "WARNING: no parameter will move: the learning rate is 0 at each of the %ld steps; "
            "a warm-up begins at 0: take --warmup-steps 0, or more steps\n",
            steps);
}

/* What the samples answer, on one line. */
static void put_asked(Buf *b, Str prompt) {
    enum { MOST = 72 };
    size_t n = prompt.n < MOST ? prompt.n : MOST;
    while (n < prompt.n && n > 0 && ((unsigned char)prompt.s[n] & 0xc0) == 0x80) n--;
    buf_puts(b, "samples answer: ");
    text_show(b, (Str){prompt.s, n}, "");
    buf_puts(b, n < prompt.n ? " ...\n" : "\n");
}

/* The last question of a file's first record. */
static Str first_prompt(const ExampleFile *file) {
    const Record *r = &file->data.records[0];
    if (r->kind == RECORD_PAIR) return r->prompt;
    return r->kind == RECORD_TURNS && r->n_turns > 0 ? r->turns[r->n_turns - 1].prompt
                                                     : str("token ids");
}

static const ExampleFile *set_of(const Splits *x) {
    return x->eval.examples.count ? &x->eval : &x->validation;
}

void request_sample(Run *run, const Settings *s, const Splits *x) {
    run->sample = sample_new(run->model, s->sample_prompt, &set_of(x)->examples);
    if (run->sample.prompt.n > 0)
        put_asked(&run->opening,
                  s->sample_prompt ? str(s->sample_prompt) : first_prompt(set_of(x)));
    if (s->sample_prompt && run->sample.prompt.n == 0)
        fprintf(stderr,
                "WARNING: --sample-prompt is not asked: the model has no vocabulary, or the prompt "
                "fills its context\n");
}

/* ---- a run that is over ---- */

bool request_over(const Settings *s, Error *err) {
    static const char *const lengths[] = {"max-steps", "num-train-epochs"};
    if (!s->resume || run_state_exists(s->resume)) return false;
    Arena arena = {0};
    const Json *was = json_get(run_json(s->resume, &arena, err), "options"),
               *only = json_get(was, "save-only-model");
    const double now[] = {s->max_steps, s->num_train_epochs};
    bool same = true;
    for (int i = 0; i < 2; i++) same &= json_number(was, lengths[i]) == now[i];
    bool meant = only && only->type == JSON_BOOL && only->boolean;
    arena_free(&arena);
    if (err->status || !meant) return err->status != 0;
    if (!same)
        error_set(err, STATUS_DATA,
                  "%s: the run is complete and kept no training state (--save-only-model), so it "
                  "cannot go on: train its model in a new run, with --model %s",
                  s->resume, s->resume);
    else tell_complete(s);
    return true;
}

void request_end(const Settings *s, const Error *err) {
    if (s->save_only_model && err->status == 0) place_end_training(s->out);
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
    if (s->method == METHOD_RHO && s->holdout_trim > 0)
        return error_set(err, STATUS_USAGE,
                         "%s: --holdout-trim does not go with rho: each of its rounds would train "
                         "%d references anew; leave it out, or take --method ica",
                         s->command, FOLDS_MOST);
    if (pairs && s->method == METHOD_GRADIENT)
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map %s does not go with gradient on pairs; take ica",
                         s->command, map);
    bool signs = s->method == METHOD_ICA || s->method == METHOD_ONESHOT || s->method == METHOD_RHO;
    if (mirror && (!pairs || !signs))
        return error_set(err, STATUS_USAGE,
                         "%s: --weight-map mirror is for pairs (--objective dpo or simpo) and the "
                         "methods ica, oneshot and rho, not for %s",
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

bool check_k(const Settings *s, const Dataset *holdout, Error *err) {
    int distinct = records_distinct(holdout);
    return s->k <= distinct || error_set(err, STATUS_DATA,
                                         "%s: has %d distinct records and --k asks for %d "
                                         "demonstrations: lower --k",
                                         s->holdout, distinct, s->k);
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
    if (!method_needs_k(s->method, s->anchors)) return true;
    if (s->k == 0)
        fprintf(stderr,
                "WARNING: --k 0 shows no demonstration, so %s says nothing of the holdout\n",
                info->name);
    return check_k(s, &holdout->data, err);
}

void tell_dropped(int demos) {
    if (demos)
        fprintf(stderr,
                "%d demonstrations did not fit the context and were dropped, farthest first\n",
                demos);
}

void put_data(Buf *b, const Settings *s, Splits *x, int ended) {
    bool weights = s->weights_from == WEIGHTS_FROM_RECORDS;
    if (!weights) summary_ignore_weights(&x->pool.summary);
    summary_ignore_weights(&x->holdout.summary);
    summary_ignore_weights(&x->eval.summary);
    summary_tell(b, &x->pool.summary, "pool");
    summary_tell(b, &x->holdout.summary, "holdout");
    summary_tell(b, &x->eval.summary, "test");
    ended += x->pool.ended + x->holdout.ended + x->eval.ended;
    if (s->idle) buf_puts(b, s->idle);
    if (ended > 0)
        buf_printf(b, "%d answers end in the text of the end token: it is read as the end token\n",
                   ended);
}

void tell_notes(const ScoreNotes *notes) {
    tell_dropped((int)notes->dropped_demos);
    if (notes->unshown > 0)
        fprintf(stderr,
                "%.0f candidates have no demonstration: their score is null, and their weight is "
                "the mean of the others'\n",
                notes->unshown);
    if (notes->partly > 0)
        fprintf(
            stderr,
            "%.0f candidates have fewer demonstrations than --k: no more of the holdout fit, or "
            "had another prompt\n",
            notes->partly);
}

void tell_complete(const Settings *s) {
    fprintf(stderr, "%s: the run is complete, nothing is left to do\n", s->resume);
}
