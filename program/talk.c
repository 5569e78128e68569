#include "program/talk.h"

#include <string.h>

#include "lib/json.h"
#include "lib/text.h"
#include "lib/unicode.h"

/* Names the keys of generation_config.json that this program does not follow: what they ask for
 * are options here. Null, false and ids of tokens ask for nothing. */
static void tell_unread(const ModelFolder *f) {
    static const char *const known[] = {"_from_model_config", "transformers_version",
                                        "eos_token_id",       "bos_token_id",
                                        "pad_token_id",       "use_cache"};
    Arena arena = {0};
    Buf keys = {0};
    const char *text = f->generation_config;
    const Json *root = text ? json_parse(&arena, text, strlen(text), NULL) : NULL;
    for (int i = 0; root && i < root->count; i++) {
        const Json *v = &root->items[i];
        bool asks = v->type != JSON_NULL && (v->type != JSON_BOOL || v->boolean);
        for (size_t k = 0; asks && k < sizeof known / sizeof *known; k++)
            asks = !str_is(root->keys[i], known[k]);
        if (asks && keys.n) buf_puts(&keys, ", ");
        if (asks) text_show(&keys, root->keys[i], "");
    }
    if (keys.n)
        fprintf(stderr, "generation_config.json: not read: %s; options say how to choose tokens\n",
                keys.s);
    buf_free(&keys);
    arena_free(&arena);
}

bool talk_open(Talk *talk, const Settings *s, Error *err) {
    *talk = (Talk){.s = s, .form = s->think ? TURN_THINKING : TURN_LAST};
    if (s->system && !unicode_valid(s->system, strlen(s->system), NULL))
        return error_set(err, STATUS_USAGE, "--system: the text is not valid UTF-8");
    if (!settings_model(s, s->model, &talk->f, err)) return false;
    const Template *template = &talk->f.template;
    if (!talk->f.tokenizer)
        error_set(err, STATUS_DATA,
                  "%s: has no vocabulary; generating needs tokenizer.json, or vocab.json and "
                  "merges.txt there",
                  s->model);
    else if (s->think && !template->thinks)
        error_set(err, STATUS_USAGE,
                  "--think: the template of %s has no thoughts, only qwen3's has; leave it out",
                  s->model);
    else if (s->system && !template->system_prefix)
        error_set(err, STATUS_USAGE,
                  "--system: the template of %s has no system turn; leave it out, or take a "
                  "template that has one (--template)",
                  s->model);
    if (err->status) {
        model_folder_free(&talk->f);
        return false;
    }
    tell_unread(&talk->f);
    talk->how = (Sampling){.penalty = s->repetition_penalty,
                           .temperature = s->sampling_temperature,
                           .top_k = s->top_k,
                           .top_p = s->top_p};
    talk->generator = generator_new(&talk->f, s->model, &talk->how, (uint64_t)s->seed);
    return true;
}

void talk_close(Talk *talk) {
    generator_free(talk->generator);
    model_folder_free(&talk->f);
    buf_free(&talk->text);
}

void talk_row(Talk *talk, Str system, const Turn *turns, int n, Str prompt, IntBuf *row) {
    const Template *template = &talk->f.template;
    Tokenizer *t = talk->f.tokenizer;
    template_start(template, t, system, row);
    for (int i = 0; i < n; i++)
        template_turn(template, t, turns[i].prompt, turns[i].completion, row);
    template_prompt(template, t, prompt, talk->form, row);
}

/* The length of the text without a character at its end of which bytes may be to come. */
static size_t whole_characters(const Buf *text) {
    size_t n = text->n;
    uint32_t c;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char byte = (unsigned char)text->s[n - back];
        if (byte >= 0xc0) /* a first byte: of more than there are? */
            return unicode_decode(text->s + n - back, back, &c) > 0 ? n : n - back;
        if (byte < 0x80) break;
    }
    return n;
}

/* Decodes the whole answer, since SentencePiece's first token loses its blank only there, and
 * prints what is new. */
static bool print_more(void *whose, const IntBuf *answer, Error *err) {
    Talk *talk = whose;
    talk->text.n = 0;
    tokenizer_decode(talk->f.tokenizer, answer->v, answer->n, &talk->text);
    size_t to = whole_characters(&talk->text), from = talk->printed;
    if (to <= from) return true;
    talk->printed = to;
    return text_print(talk->text.s + from, to - from, err);
}

bool talk_answer(Talk *talk, const IntBuf *row, bool stream, IntBuf *answer, StopReason *why,
                 Error *err) {
    talk->printed = 0;
    if (!generator_answer(talk->generator, row, talk->s->max_new_tokens, stream ? print_more : NULL,
                          talk, answer, why, err))
        return false;
    talk->text.n = 0;
    buf_puts(&talk->text, "");
    tokenizer_decode(talk->f.tokenizer, answer->v, answer->n, &talk->text);
    size_t left = talk->text.n > talk->printed ? talk->text.n - talk->printed : 0;
    return !stream || text_print(talk->text.s + talk->text.n - left, left, err);
}

Str talk_said(const Talk *talk) {
    Str said = {talk->text.s, talk->text.n}, prefix = str(talk->f.template.answer_prefix);
    bool blank = prefix.n > 0 && prefix.s[prefix.n - 1] == ' ' && said.n > 0 && said.s[0] == ' ';
    return blank ? (Str){said.s + 1, said.n - 1} : said;
}
