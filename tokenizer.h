/* tokenizer: byte-level byte-pair encoding as GPT-2 has it: trains, saves, loads, encodes and decodes any bytes exactly;
 * and the template that turns a prompt and a completion into tokens.
 *
 *   Tokenizer *t = tokenizer_load("out/base", &err);              // vocab.json, merges.txt, tokenizer_config.json
 *   IntBuf ids = {0};
 *   tokenizer_encode(t, "hello world", 11, &ids);                 // appends
 *   Buf text = {0};
 *   tokenizer_decode(t, ids.v, ids.n, &text);                     // appends the same 11 bytes
 *   Template form;
 *   template_load(&form, t, "out/base", &err);                    // template.json, or GPT-2's plain text
 *   template_prompt(&form, t, str("what colour is grass ?"), &ids);   // <q> ... <a>
 *   template_answer(&form, t, str("green"), &ids);                    // " green" <e>
 *   template_free(&form); tokenizer_free(t);
 *
 * Ids are those of vocab.json. In the files that tokenizer_train makes: special tokens first, then the 256 bytes in GPT-2's
 * order, then one id for each merge.
 *
 * Text is first split into pieces by GPT-2's rule, with the letters, numbers and white space of Unicode 15.0; no token
 * crosses from one piece into the next. A byte that is no UTF-8 counts as punctuation.
 */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "lib/util.h"

typedef struct Tokenizer Tokenizer;

/* Reads vocab.json and merges.txt (vocab.bpe is accepted in its place; without vocab.json the ids are bytes, merges, then
 * <|endoftext|>) and, if there, tokenizer_config.json for the special tokens. NULL with err set (status 3 or 4).
 * encoder.json is accepted in place of vocab.json. Special is what no merge makes, and what tokenizer_config.json declares:
 * added_tokens_decoder (also ids that vocab.json lacks), bos_token and its like, additional_special_tokens. A merge into a
 * declared special token is never applied. Ids go up to 16,000,000 and may have gaps. */
Tokenizer *tokenizer_load(const char *folder, Error *err);
/* Trains on texts until vocab_size tokens exist (specials + 256 + merges) or no pair occurs twice. Ties: the pair with the
 * smaller ids, as Hugging Face's trainer has it. NULL with err set when vocab_size < n_specials + 256. The order of the texts
 * does not matter. Specials are different UTF-8 names, none spelled as a single byte is; in the texts they are ordinary, and
 * a merge that would spell one is passed over. <bos> and <e> among them are saved as bos_token and eos_token. */
Tokenizer *tokenizer_train(const Str *texts, int n_texts, int vocab_size, const char *const *specials, int n_specials,
                           Error *err);
/* Writes vocab.json, merges.txt and tokenizer_config.json into an existing folder, each atomically, in the form that Hugging
 * Face's GPT2Tokenizer reads. */
bool tokenizer_save(const Tokenizer *t, const char *folder, Error *err);
void tokenizer_free(Tokenizer *t);

/* The number of ids, 1 + the largest: what a model's vocabulary must reach. */
int tokenizer_size(const Tokenizer *t);
/* Appends the ids of any bytes. Text that spells a special token is ordinary text. Not thread-safe: it keeps a cache. */
void tokenizer_encode(Tokenizer *t, const char *text, size_t n, IntBuf *ids);
/* Appends the bytes of the ids; a special token gives its name; an id that does not exist gives nothing and returns false. */
bool tokenizer_decode(const Tokenizer *t, const int *ids, int n, Buf *text);
/* The id of a special token by its name, or -1. */
int tokenizer_special(const Tokenizer *t, const char *name);

/* ---- the template ---- */

/* Four strings, in which the names of special tokens stand for the tokens:
 *   row     = bos example example ... prompt_prefix x answer_prefix | y example_end
 *   example = prompt_prefix prompt answer_prefix completion example_end
 * A blank at the end of answer_prefix is encoded together with the completion, because a BPE token carries its leading blank;
 * everything before it belongs to the prompt. Other text of the template is encoded together with the field it touches. */
typedef struct { char *bos, *prompt_prefix, *answer_prefix, *example_end; } Template;

/* The recipe's form: "<bos>", "<q>", "<a> ", "<e>". */
extern const Template TEMPLATE_RECIPE;
extern const char *const TEMPLATE_RECIPE_SPECIALS[4];
/* Reads template.json: the four strings, example_end not empty; other keys are ignored. Without the file, GPT-2's form: "", "",
 * "\n", "<|endoftext|>", if t has that token. On failure there is nothing to free. */
bool template_load(Template *form, const Tokenizer *t, const char *folder, Error *err);
bool template_save(const Template *form, const char *folder, Error *err);
void template_free(Template *form); /* never call it on TEMPLATE_RECIPE */

/* Each appends to ids: `bos`; prompt_prefix, prompt and answer_prefix without a blank at its end; that blank, completion and
 * example_end. Prompt and completion are ordinary text, whatever they spell. */
void template_bos(const Template *form, Tokenizer *t, IntBuf *ids);
void template_prompt(const Template *form, Tokenizer *t, Str prompt, IntBuf *ids);
void template_answer(const Template *form, Tokenizer *t, Str completion, IntBuf *ids);
/* The prompt by itself, encoded without the template: what retrieval reads. */
void template_bare_prompt(Tokenizer *t, Str prompt, IntBuf *ids);

#endif
