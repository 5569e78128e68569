/* generate: completes a prompt, or each prompt of a file. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/examples.h"
#include "data/prompts.h"
#include "lib/json.h"
#include "lib/text.h"
#include "lib/unicode.h"
#include "program/commands.h"
#include "program/talk.h"

/* A prompt must leave room for an answer. `where` names it. */
static bool check_room(const Talk *talk, const IntBuf *row, const char *where, Error *err) {
    int context = talk->f.model->config.context;
    return (row->n >= 1 && row->n < context) ||
           error_set(err, STATUS_DATA,
                     "%s: has %d tokens; it must have 1 to %d, so that an answer fits the "
                     "context of %d",
                     where, row->n, context - 1, context);
}

static void put_answer(Buf *out, Str prompt, Str completion, int tokens) {
    buf_puts(out, "\"prompt\":");
    json_put_string(out, prompt);
    buf_puts(out, ",\"completion\":");
    json_put_string(out, completion);
    buf_printf(out, ",\"tokens\":%d", tokens);
}

/* The answer to --prompt. On a terminal it is printed while it is made. */
static bool answer_one(Talk *talk, Error *err) {
    const Settings *s = talk->s;
    IntBuf row = {0}, answer = {0};
    Buf out = {0};
    StopReason why;
    bool stream = !s->json && isatty(STDOUT_FILENO);
    Str system = s->system ? str(s->system) : (Str){NULL, 0};
    talk_row(talk, system, NULL, 0, str(s->prompt), &row);
    if (check_room(talk, &row, "--prompt", err) &&
        talk_answer(talk, &row, stream, &answer, &why, err)) {
        Str text = {talk->text.s, talk->text.n};
        if (s->json) {
            buf_putc(&out, '{');
            put_answer(&out, str(s->prompt), text, answer.n);
            buf_putc(&out, '}');
        } else if (!stream) buf_put(&out, text.s, text.n);
        buf_putc(&out, '\n');
        text_print(out.s, out.n, err);
    }
    ints_free(&row);
    ints_free(&answer);
    buf_free(&out);
    return err->status == 0;
}

/* The tokens of a prompt of the file, checked. --system holds for those without a system turn. */
static bool prompt_row(Talk *talk, const Dataset *d, const Record *r, IntBuf *row, Error *err) {
    Str system = r->system.s || !talk->s->system ? r->system : str(talk->s->system);
    int earlier = r->n_turns - 1;
    char where[32];
    Error why = {0};
    if (!system_turn_fits(d, r, &talk->f, err)) return false;
    snprintf(where, sizeof where, "the prompt");
    talk_row(talk, system, r->turns, earlier, r->turns[earlier].prompt, row);
    return check_room(talk, row, where, &why) || record_refuse(d, r, err, "%s", why.text);
}

static bool print_line(const Record *r, Str completion, int tokens, StopReason why, Error *err) {
    Buf out = {0};
    buf_puts(&out, "{\"id\":");
    json_put_string(&out, r->id);
    buf_putc(&out, ',');
    put_answer(&out, r->turns[r->n_turns - 1].prompt, completion, tokens);
    buf_printf(&out, ",\"stopped\":\"%s\"}\n", STOP_REASONS[why]);
    bool ok = text_print(out.s, out.n, err);
    buf_free(&out);
    return ok;
}

/* Answers a prompt of the file, --samples times or once. Each sample has a seed of its own. A
 * single answer has the one that it would have alone. */
static bool answer_record(Talk *talk, const Dataset *d, const Record *r, Rng *seeds, IntBuf *row,
                          IntBuf *answer, Error *err) {
    int samples = talk->s->samples;
    StopReason why;
    row->n = 0;
    if (!prompt_row(talk, d, r, row, err)) return false;
    for (int i = 0; i < samples || i == 0; i++) {
        answer->n = 0;
        generator_seed(talk->generator, samples ? rng_u64(seeds) : (uint64_t)talk->s->seed);
        if (!talk_answer(talk, row, false, answer, &why, err) ||
            !print_line(r, (Str){talk->text.s, talk->text.n}, answer->n, why, err))
            return false;
    }
    return true;
}

/* A line of JSON for each answer to a prompt of the file. All prompts are checked before the first
 * is answered. */
static bool answer_file(Talk *talk, Error *err) {
    Dataset d;
    IntBuf row = {0}, answer = {0};
    Rng seeds = rng_new((uint64_t)talk->s->seed, RNG_SAMPLES);
    if (!prompts_load(&d, talk->s->prompt_file, err)) return false;
    for (int i = 0; i < d.count && err->status == 0; i++) {
        row.n = 0;
        prompt_row(talk, &d, &d.records[i], &row, err);
    }
    /* A terminal that gets the answers needs no progress between them. */
    Progress p = progress_new("answering", NULL), *line = isatty(STDOUT_FILENO) ? NULL : &p;
    progress_part(line, talk->s->prompt_file);
    progress_begin(line, d.count);
    for (int i = 0; i < d.count && err->status == 0; i++) {
        answer_record(talk, &d, &d.records[i], &seeds, &row, &answer, err);
        progress_add(line, 1);
    }
    progress_end(line);
    ints_free(&row);
    ints_free(&answer);
    records_free(&d);
    return err->status == 0;
}

bool command_generate(const Settings *s, Error *err) {
    Talk talk;
    if (!s->prompt == !s->prompt_file)
        return error_set(err, STATUS_USAGE,
                         "generate: give either --prompt TEXT or --prompt-file FILE");
    if (s->samples > 0 && s->prompt)
        return error_set(err, STATUS_USAGE,
                         "--samples: --prompt has one answer; put the prompt into a --prompt-file");
    if (s->prompt && !unicode_valid(s->prompt, strlen(s->prompt), NULL))
        return error_set(err, STATUS_USAGE, "--prompt: the text is not valid UTF-8");
    if (!talk_open(&talk, s, err)) return false;
    bool ok = s->prompt ? answer_one(&talk, err) : answer_file(&talk, err);
    talk_close(&talk);
    return ok;
}
