/* template: the text around prompts and answers, and the conversations that it makes.
 *
 *   row     = bos [system turn] example between example between ... prompt_prefix prompt
 *             answer_prefix | answer example_end
 *   example = prompt_prefix prompt answer_prefix answer example_end
 *
 * What is scored and learned stands after the bar: the answer up to and with example_end. `between`
 * belongs to what follows, so it is never scored. A row that ends in an answer ends without it.
 *
 * Usage:
 *   Error err = {0};
 *   Str text = str("low lower lowest");
 *   const char *const specials[] = {"<|im_start|>", "<|im_end|>"};
 *   Tokenizer *t = tokenizer_train(&text, 1, 270, specials, 2, NULL, &err);
 *   Template chat;
 *   IntBuf ids = {0};
 *   if (!template_named(&chat, "chatml", str("be brief"), t, &err)) return error_print(&err);
 *   template_start(&chat, t, (Str){NULL, 0}, &ids);             // <|im_start|>system ...
 *   template_prompt(&chat, t, str("low ?"), TURN_LAST, &ids);   // ... <|im_start|>assistant\n
 *   template_answer(&chat, t, str("lower"), TURN_LAST, &ids);   // lower<|im_end|>
 *   ints_free(&ids);
 *   template_free(&chat);
 *   tokenizer_free(t);
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "tokenizer.h"

/* Names of special tokens in these strings stand for the tokens, but for `system`, which is a
 * field. A BPE token carries its leading blank. So a blank at the end of answer_prefix is encoded
 * together with the answer, and everything before it belongs to the prompt. Other text of the
 * template is encoded together with the field it touches. */
typedef struct {
    const char *bos, *prompt_prefix, *answer_prefix, *example_end;
    const char *between;                    /* NULL: nothing */
    const char *system_prefix, *system_end; /* around a system turn; NULL: there is none */
    const char *system;                     /* of a row without its own; NULL: no system turn */
    const char *name;                       /* its row of TEMPLATES; NULL: strings of a file */
    bool trims;                             /* Fields lose the white space at both ends. */
    bool thinks;                            /* Qwen3's rule: TurnForm. */
} Template;

/* The template of vocabularies made here: "<bos>", "<q>", "<a> ", "<e>". Never free it. */
extern const Template TEMPLATE_RECIPE;
extern const char *const TEMPLATE_RECIPE_SPECIALS[4];

/* The templates that have a name. "{eos}" in their strings is the tokenizer's, and "{bos}"
 * the token that its files put before a row, or nothing. */
enum { TEMPLATE_COUNT = 10 };
extern const Template TEMPLATES[TEMPLATE_COUNT];

/* Sets *template to a named one, with `system` as its system turn unless that is {NULL, 0}. Fails
 * with status 3 if there is no such name, or if t lacks a token that it needs. On false there is
 * nothing to free. */
bool template_named(Template *template, const char *name, Str system, const Tokenizer *t,
                    Error *err);
/* Frees the strings of a template that was named or loaded. */
void template_free(Template *template);

/* What a turn is in its conversation. Only Qwen3's template tells them apart: its last answer is
 * preceded by what the model thought, which may be nothing, and earlier answers are not. An answer
 * has a thought if it has "</think>": the thought is what stands before, without "<think>". */
typedef enum {
    TURN_LAST,    /* the prompt ends in an empty thought */
    TURN_EARLIER, /* no thought: one in the answer is left out */
    TURN_THINKING /* the prompt ends where a thought begins; the answer has its thought */
} TurnForm;
/* The form of a last turn with this answer: TURN_THINKING if it has a thought, else TURN_LAST. */
TurnForm template_form(const Template *template, Str answer);

/* Each appends ids, to a row that they continue. (SentencePiece puts a blank before a text, but not
 * where it follows another.) A field is ordinary text, whatever it spells.
 *   start    `bos` and the system turn, of `system` or, if that is {NULL, 0}, of the template's own
 *   prompt   prompt_prefix, prompt and answer_prefix without a blank at its end
 *   answer   that blank, the answer and example_end
 *   between  what stands between an answer and the next prompt
 *   end      example_end alone
 *   opening  prompt_prefix alone
 *   asking   the prompt and answer_prefix: what template_prompt appends after the opening */
void template_start(const Template *template, Tokenizer *t, Str system, IntBuf *ids);
void template_prompt(const Template *template, Tokenizer *t, Str prompt, TurnForm form,
                     IntBuf *ids);
void template_answer(const Template *template, Tokenizer *t, Str answer, TurnForm form,
                     IntBuf *ids);
void template_between(const Template *template, Tokenizer *t, IntBuf *ids);
void template_end(const Template *template, Tokenizer *t, IntBuf *ids);
void template_opening(const Template *template, Tokenizer *t, IntBuf *ids);
void template_asking(const Template *template, Tokenizer *t, Str prompt, TurnForm form,
                     IntBuf *ids);
/* Appends a whole turn that others follow: prompt, answer, between. */
void template_turn(const Template *template, Tokenizer *t, Str prompt, Str answer, IntBuf *ids);
/* Appends the prompt's ids without any template. Retrieval compares these. */
void template_bare_prompt(Tokenizer *t, Str prompt, IntBuf *ids);

/* The first piece of the form <...> in the template that is no special token, as a misspelled name
 * of one would be. Without any it is {NULL, 0}. */
Str template_unknown(const Template *template, const Tokenizer *t);
/* The answer without the end token's text, if it ends in it: the text is example_end, or the
 * special token at its start. Text anywhere else is the answer's own. */
Str template_strip_end(const Template *template, const Tokenizer *t, Str answer);

#endif
