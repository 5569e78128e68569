/* Templates: from turns of a conversation to token ids. */
#include "data/template.h"

#include <stdlib.h>
#include <string.h>

#include "lib/unicode.h"

/* ---- the templates that have a name ---- */

/* With the recipe's template, the prompt "low ?" and the answer "lower" are
 *
 *     <q>  low ?  <a>  | _lower  <e>
 *     ---- prompt ----   -- answer --       _ is the blank of answer_prefix, "<a> "
 */
#define RECIPE .bos = "<bos>", .prompt_prefix = "<q>", .answer_prefix = "<a> ", .example_end = "<e>"
#define CHATML                                                                                     \
    .bos = "", .prompt_prefix = "<|im_start|>user\n",                                              \
    .answer_prefix = "<|im_end|>\n<|im_start|>assistant\n", .example_end = "<|im_end|>",           \
    .between = "\n", .system_prefix = "<|im_start|>system\n", .system_end = "<|im_end|>\n"
#define HEADER(role) "<|start_header_id|>" role "<|end_header_id|>\n\n"
#define LLAMA3                                                                                     \
    .bos = "<|begin_of_text|>", .prompt_prefix = HEADER("user"),                                   \
    .answer_prefix = "<|eot_id|>" HEADER("assistant"), .example_end = "<|eot_id|>",                \
    .system_end = "<|eot_id|>", .trims = true

const Template TEMPLATE_RECIPE = {RECIPE};
const char *const TEMPLATE_RECIPE_SPECIALS[4] = {"<bos>", "<q>", "<a>", "<e>"};

/* llama3.2 has the date that Meta's template falls back on. Its own would be today's, so that a
 * score would change from day to day. */
const Template TEMPLATES[TEMPLATE_COUNT] = {
    {.name = "recipe", RECIPE},
    {.name = "plain",
     .bos = "{bos}",
     .prompt_prefix = "",
     .answer_prefix = "\n",
     .example_end = "{eos}"},
    {.name = "chatml", CHATML},
    {.name = "smollm2",
     CHATML,
     .system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"},
    {.name = "qwen2.5",
     CHATML,
     .system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."},
    {.name = "qwen3", CHATML, .thinks = true},
    {.name = "llama3", LLAMA3, .system_prefix = HEADER("system")},
    {.name = "llama3.2",
     LLAMA3,
     .system_prefix = HEADER("system") "Cutting Knowledge Date: December 2023\n"
                                       "Today Date: 26 Jul 2024\n\n",
     .system = ""},
    {.name = "zephyr",
     .bos = "{bos}",
     .prompt_prefix = "<|user|>\n",
     .answer_prefix = "{eos}\n<|assistant|>\n",
     .example_end = "{eos}",
     .between = "\n",
     .system_prefix = "<|system|>\n",
     .system_end = "{eos}\n"},
    {.name = "alpaca",
     .bos = "{bos}",
     .prompt_prefix = "### Instruction:\n",
     .answer_prefix = "\n\n### Response:\n",
     .example_end = "{eos}",
     .between = "\n\n",
     .system_prefix = "",
     .system_end = "\n\n",
     .system = "Below is an instruction that describes a task. Write a response that appropriately "
               "completes the request."}};

/* The name of a token, or "". */
static Str token_name(const TokenizerParts *p, int id) {
    for (int i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].id == id) return p->tokens[i].bytes;
    return str("");
}

/* A copy of one of a named template's strings, with names in the place of {bos} and {eos}. */
static const char *filled(const char *s, Str bos, Str eos) {
    Buf b = {0};
    if (!s) return NULL;
    buf_puts(&b, "");
    for (; *s; s++) {
        bool is_bos = strncmp(s, "{bos}", 5) == 0;
        Str name = is_bos ? bos : eos;
        if (!is_bos && strncmp(s, "{eos}", 5) != 0) buf_putc(&b, *s);
        else {
            buf_put(&b, name.s, name.n);
            s += 4;
        }
    }
    return b.s;
}

/* A field as a string; {NULL, 0} is NULL. */
static const char *copied(Str s) {
    if (!s.s) return NULL;
    char *copy = mem_new(s.n + 1, 1);
    memcpy(copy, s.s, s.n);
    return copy;
}

/* Fails with all names. */
static bool refuse_name(const char *name, Error *err) {
    Buf names = {0};
    for (int i = 0; i < TEMPLATE_COUNT; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", TEMPLATES[i].name);
    Str shown = token_shown(str(name));
    error_set(err, STATUS_DATA, "template \"%.*s\": there is none of this name; take one of %s",
              STR_ARG(shown), names.s);
    buf_free(&names);
    return false;
}

bool template_named(Template *template, const char *name, Str system, const Tokenizer *t,
                    Error *err) {
    const Template *from = NULL;
    *template = (Template){0};
    for (int i = 0; i < TEMPLATE_COUNT; i++)
        if (strcmp(TEMPLATES[i].name, name) == 0) from = &TEMPLATES[i];
    if (!from) return refuse_name(name, err);
    if (system.s && !from->system_prefix)
        return error_set(err, STATUS_DATA, "template %s: has no system turn: leave \"system\" out",
                         name);
    TokenizerParts p = tokenizer_parts(t);
    Str eos = token_name(&p, p.eos), bos = token_name(&p, tokenizer_opening(t));
    *template = (Template){filled(from->bos, bos, eos),
                           filled(from->prompt_prefix, bos, eos),
                           filled(from->answer_prefix, bos, eos),
                           filled(from->example_end, bos, eos),
                           filled(from->between, bos, eos),
                           filled(from->system_prefix, bos, eos),
                           filled(from->system_end, bos, eos),
                           copied(system.s || !from->system ? system : str(from->system)),
                           filled(from->name, bos, eos),
                           from->trims,
                           from->thinks};
    /* Llama 2's vocabulary spells zephyr's roles as ordinary text. */
    Str lacks =
        strstr(from->prompt_prefix, "<|user|>") ? (Str){NULL, 0} : template_unknown(template, t);
    if (lacks.n || template->example_end[0] == 0) {
        if (lacks.n == 0) lacks = str("eos");
        error_set(err, STATUS_DATA,
                  "template %s: needs the token %.*s, which the vocabulary lacks; give another "
                  "template with --template FILE or NAME",
                  name, STR_ARG(lacks));
        template_free(template);
        return false;
    }
    return true;
}

void template_free(Template *template) {
    free((char *)template->bos);
    free((char *)template->prompt_prefix);
    free((char *)template->answer_prefix);
    free((char *)template->example_end);
    free((char *)template->between);
    free((char *)template->system_prefix);
    free((char *)template->system_end);
    free((char *)template->system);
    free((char *)template->name);
    *template = (Template){0};
}

/* ---- fields ---- */

/* White space as Python's strip has it: White_Space and four separators. */
static bool is_space(uint32_t c) {
    return unicode_class(c) == UNICODE_SPACE || (c >= 0x1c && c <= 0x1f);
}

/* The field without white space at its ends. */
static Str trimmed(Str s) {
    uint32_t c;
    int length;
    while ((length = unicode_decode(s.s, s.n, &c)) > 0 && is_space(c))
        s = (Str){s.s + length, s.n - (size_t)length};
    for (bool more = true; more && s.n > 0;) {
        size_t last = s.n - 1; /* where the last character starts */
        while (last > 0 && s.n - last < 4 && ((unsigned char)s.s[last] & 0xc0) == 0x80) last--;
        length = unicode_decode(s.s + last, s.n - last, &c);
        more = length > 0 && (size_t)length == s.n - last && is_space(c);
        if (more) s.n = last;
    }
    return s;
}

static Str without_first_breaks(Str s) {
    while (s.n > 0 && s.s[0] == '\n') s = (Str){s.s + 1, s.n - 1};
    return s;
}

static Str without_last_breaks(Str s) {
    while (s.n > 0 && s.s[s.n - 1] == '\n') s.n--;
    return s;
}

static const char THINK[] = "<think>", THOUGHT[] = "</think>";

/* Where `what` first (or last) stands in s, or s.n. */
static size_t place_of(Str s, const char *what, bool last) {
    size_t n = strlen(what), found = s.n;
    for (size_t i = 0; i + n <= s.n; i++)
        if (memcmp(s.s + i, what, n) == 0) {
            found = i;
            if (!last) break;
        }
    return found;
}

static bool has_thought(Str s) { return place_of(s, THOUGHT, false) < s.n; }

/* What stands before the first </think>, after the last <think> before it. */
static Str thought_of(Str s) {
    s.n = has_thought(s) ? place_of(s, THOUGHT, false) : 0;
    s = without_last_breaks(s);
    size_t from = place_of(s, THINK, true);
    if (from < s.n) s = (Str){s.s + from + strlen(THINK), s.n - from - strlen(THINK)};
    return without_last_breaks(without_first_breaks(s));
}

/* What stands after the last </think>; without one the whole answer. */
static Str after_thought(Str s) {
    if (!has_thought(s)) return s;
    size_t at = place_of(s, THOUGHT, true) + strlen(THOUGHT);
    return without_first_breaks((Str){s.s + at, s.n - at});
}

TurnForm template_form(const Template *template, Str answer) {
    return template->thinks && has_thought(answer) ? TURN_THINKING : TURN_LAST;
}

/* ---- weaving ---- */

/* Weaves template text and fields into ids. Ordinary text collects in `open` until a special token
 * or the end closes it, so a field is encoded together with the text that touches it. */
typedef struct {
    Tokenizer *t;
    IntBuf *ids;
    Buf open;
    bool follows; /* the open text directly follows text that is encoded already */
} Weave;

/* Does the row end in ordinary text? */
static bool ends_in_text(const Tokenizer *t, const IntBuf *ids) {
    return ids->n > 0 && !tokenizer_is_special(t, ids->v[ids->n - 1]);
}

static Weave weave_new(Tokenizer *t, IntBuf *ids) {
    return (Weave){.t = t, .ids = ids, .follows = ends_in_text(t, ids)};
}

/* Encodes the open text. */
static void weave_close(Weave *w) {
    if (w->follows) tokenizer_encode_on(w->t, w->open.s, w->open.n, w->ids);
    else tokenizer_encode(w->t, w->open.s, w->open.n, w->ids);
    if (w->open.n) w->follows = false;
    w->open.n = 0;
}

/* Adds text of the template, in which names of special tokens become these tokens. */
static void weave_template(Weave *w, Str s) {
    for (size_t at = 0; at < s.n;) {
        const Token *special = tokenizer_special_at(w->t, (Str){s.s + at, s.n - at});
        if (special) {
            weave_close(w);
            w->follows = false;
            ints_put(w->ids, special->id);
        } else buf_putc(&w->open, s.s[at]);
        at += special ? special->bytes.n : 1;
    }
}

/* Adds a field as it is, so that it cannot spell a special token. */
static void weave_field(Weave *w, const Template *template, Str s) {
    if (template->trims) s = trimmed(s);
    buf_put(&w->open, s.s, s.n);
}

static void weave_end(Weave *w) {
    weave_close(w);
    buf_free(&w->open);
}

static bool ends_in_blank(Str s) { return s.n > 0 && s.s[s.n - 1] == ' '; }

void template_start(const Template *template, Tokenizer *t, Str system, IntBuf *ids) {
    Weave w = weave_new(t, ids);
    weave_template(&w, str(template->bos));
    if (!system.s && template->system) system = str(template->system);
    if (system.s && template->system_prefix) {
        weave_template(&w, str(template->system_prefix));
        weave_field(&w, template, system);
        weave_template(&w, str(template->system_end));
    }
    weave_end(&w);
}

/* Everything of a prompt's turn, or only what comes after its prefix. */
static void weave_prompt(const Template *template, Tokenizer *t, Str prefix, Str prompt,
                         TurnForm form, IntBuf *ids) {
    Weave w = weave_new(t, ids);
    Str answer_prefix = str(template->answer_prefix);
    if (ends_in_blank(answer_prefix)) answer_prefix.n--; /* it goes with the answer */
    weave_template(&w, prefix);
    weave_field(&w, template, prompt);
    weave_template(&w, answer_prefix);
    if (template->thinks && form == TURN_LAST) weave_template(&w, str("<think>\n\n</think>\n\n"));
    weave_end(&w);
}

void template_prompt(const Template *template, Tokenizer *t, Str prompt, TurnForm form,
                     IntBuf *ids) {
    weave_prompt(template, t, str(template->prompt_prefix), prompt, form, ids);
}

void template_asking(const Template *template, Tokenizer *t, Str prompt, TurnForm form,
                     IntBuf *ids) {
    weave_prompt(template, t, (Str){NULL, 0}, prompt, form, ids);
}

/* An answer of a template that thinks. */
static void weave_thinking(Weave *w, const Template *template, Str answer, TurnForm form) {
    if (form == TURN_THINKING) {
        weave_template(w, str("<think>\n"));
        weave_field(w, template, thought_of(answer));
        weave_template(w, str("\n</think>\n\n"));
    }
    answer = after_thought(answer);
    weave_field(w, template, form == TURN_EARLIER ? answer : without_first_breaks(answer));
}

void template_answer(const Template *template, Tokenizer *t, Str answer, TurnForm form,
                     IntBuf *ids) {
    Weave w = weave_new(t, ids);
    if (ends_in_blank(str(template->answer_prefix))) buf_putc(&w.open, ' ');
    if (template->thinks) weave_thinking(&w, template, answer, form);
    else weave_field(&w, template, answer);
    weave_template(&w, str(template->example_end));
    weave_end(&w);
}

/* Appends a string of the template by itself; NULL is nothing. */
static void weave_alone(const char *s, Tokenizer *t, IntBuf *ids) {
    Weave w = weave_new(t, ids);
    if (s) weave_template(&w, str(s));
    weave_end(&w);
}

void template_between(const Template *template, Tokenizer *t, IntBuf *ids) {
    weave_alone(template->between, t, ids);
}

void template_end(const Template *template, Tokenizer *t, IntBuf *ids) {
    weave_alone(template->example_end, t, ids);
}

void template_opening(const Template *template, Tokenizer *t, IntBuf *ids) {
    weave_alone(template->prompt_prefix, t, ids);
}

void template_turn(const Template *template, Tokenizer *t, Str prompt, Str answer, IntBuf *ids) {
    template_prompt(template, t, prompt, TURN_EARLIER, ids);
    template_answer(template, t, answer, TURN_EARLIER, ids);
    template_between(template, t, ids);
}

void template_bare_prompt(Tokenizer *t, Str prompt, IntBuf *ids) {
    tokenizer_encode(t, prompt.s, prompt.n, ids);
}

/* ---- what a template says ---- */

/* The length of a piece <...> at the start of s, or 0. It has a letter or a digit, no white space,
 * and no other angle bracket. */
static size_t bracket_length(Str s) {
    bool has_letter = false;
    for (size_t i = 1; i < s.n && s.s[0] == '<'; i++) {
        unsigned char c = (unsigned char)s.s[i];
        if (c == '>') return has_letter ? i + 1 : 0;
        if (c == '<' || c <= ' ') return 0;
        has_letter |= c >= 128 || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
    }
    return 0;
}

Str template_unknown(const Template *template, const Tokenizer *t) {
    const char *const texts[] = {
        template->bos,           template->prompt_prefix,
        template->answer_prefix, template->example_end,
        template->between,       template->system_prefix,
        template->system_end,    template->thinks ? "<think></think>" : NULL};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (Str s = str(texts[i] ? texts[i] : ""); s.n > 0;) {
            const Token *special = tokenizer_special_at(t, s);
            size_t unknown = special ? 0 : bracket_length(s), step = special ? special->bytes.n : 1;
            if (unknown) return (Str){s.s, unknown};
            s = (Str){s.s + step, s.n - step};
        }
    return (Str){NULL, 0};
}

static bool ends_with(Str s, Str end) {
    return end.n > 0 && s.n >= end.n && memcmp(s.s + s.n - end.n, end.s, end.n) == 0;
}

Str template_strip_end(const Template *template, const Tokenizer *t, Str answer) {
    Str end = str(template->example_end);
    const Token *special = tokenizer_special_at(t, end);
    if (!special) return answer; /* example_end is ordinary text, as an answer may have it */
    if (!ends_with(answer, end)) end = special->bytes;
    if (ends_with(answer, end)) answer.n -= end.n;
    return answer;
}
