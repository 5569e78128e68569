/* pretrain: next-token training of a new model, or of one that exists. */
#include <math.h>

#include "data/order.h"
#include "lib/json.h"
#include "lib/threads.h"
#include "program/commands.h"
#include "program/guard.h"
#include "program/machine.h"
#include "program/requests.h"

/* A new model for --tokenizer, the one of --model, or that of the run to resume. */
static bool load_folder(ModelFolder *f, const Settings *s, Error *err) {
    const char *from = s->resume ? s->resume : s->model;
    *f = (ModelFolder){0};
    if (from && !model_folder_load(f, from, err)) return false;
    if (from && !f->tokenizer) {
        model_folder_free(f);
        return error_set(err, STATUS_DATA,
                         "%s: pretraining needs a vocabulary (vocab.json, merges.txt)", from);
    }
    if (from) return true;
    if (!s->tokenizer)
        return error_set(err, STATUS_USAGE,
                         "pretrain: give --tokenizer DIR for a new model, or "
                         "--model DIR to continue from one");
    if (!model_folder_load_tokenizer(f, s->tokenizer, err)) return false;
    ModelConfig shape = {s->layers, s->heads, s->channels, s->context,
                         tokenizer_size(f->tokenizer)};
    f->model = model_new(shape, err);
    if (f->model) model_initialize(f->model, (uint64_t)s->seed);
    else model_folder_free(f);
    return f->model != NULL;
}

static void put_result(Buf *b, const LoopResult *x) {
    json_key_number(b, "steps", (double)x->steps);
    json_key_number(b, "loss", x->loss);
    json_key_number(b, "ess", NAN);
    json_key_number(b, "skipped_steps", x->skipped);
    json_key_number(b, "activation_bytes", (double)x->activation_bytes);
}

/* Trains on the sessions and ends the run. */
static bool pretrain_on(const Settings *s, const ModelFolder *f, const Sessions *sessions,
                        Splits *x, RunPlace *place, double start, Error *err) {
    Arena arena = {0};
    RunHeader header = request_run(s, &arena);
    header.place = place;
    Run run = run_new(&header, f);
    run.start = start;
    for (int i = 0; i < sessions->files; i++) {
        run_data(&run, &sessions->summary[i]);
        summary_tell(&run.opening, &sessions->summary[i], "data");
    }
    put_data(&run.opening, s, x, sessions->ended);
    run_inputs(&run, x);
    run_base(&run, s->model, f->model);
    long epoch = sessions_batches(sessions);
    long steps = s->max_steps > 0 ? s->max_steps : batches_of_epochs(s->num_train_epochs, epoch);
    PretrainOptions o = {.loop = request_loop(s, steps), .k = s->k};
    LoopResult result;
    buf_printf(&run.opening, "%zu parameters, %d rows, %d tokens an epoch, %ld steps, %d threads\n",
               f->model->parameters, sessions_rows(sessions), sessions->token.n, steps,
               threads_most());
    bool ok =
        request_depends(&run, s, x, sessions, err) && pretrain(sessions, x, &o, &run, &result, err);
    if (ok && !result.complete) put_result(&run.result, &result);
    if (ok && result.complete) tell_complete(s);
    run_end(&run, err);
    run_free(&run);
    arena_free(&arena);
    return err->status == 0;
}

bool command_pretrain(const Settings *s, Error *err) {
    double start = seconds_now();
    ModelFolder f;
    Splits x;
    Sessions sessions = {0};
    SplitFiles files = settings_files(s);
    SessionOptions o = {.prompt_loss_weight = s->prompt_loss_weight,
                        .batch_tokens = s->batch_tokens,
                        .shuffle = s->shuffle};
    RunPlace place = {0};
    if (!guard_outputs(s, err)) return false;
    if (request_place(s, &place, err) && load_folder(&f, s, err)) {
        if (sessions_read(&sessions, &f, s->data.values, s->data.count, &o, err) &&
            splits_read(&x, &f, &files, err)) {
            machine_stop_on_signals();
            pretrain_on(s, &f, &sessions, &x, &place, start, err);
            splits_free(&x);
        }
        sessions_free(&sessions);
        model_folder_free(&f);
    }
    place_close(&place);
    return err->status == 0;
}
