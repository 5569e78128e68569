/* template_file: a template on disk. template.json has strings, or the name of a row of TEMPLATES.
 *
 *   {"bos": "<bos>", "prompt_prefix": "<q>", "answer_prefix": "<a> ", "example_end": "<e>"}
 *   {"name": "chatml", "system": "You are brief."}
 *
 * Usage:
 *   Error err = {0};
 *   Str text = str("low lower lowest");
 *   Tokenizer *t = tokenizer_train(&text, 1, 270, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err);
 *   Template template;
 *   if (folder_make("example-template", &err) &&
 *       template_save(&TEMPLATE_RECIPE, "example-template", &err) &&
 *       template_load(&template, t, "example-template", NULL, &err))
 *       template_free(&template);
 *   if (template_choose(&template, t, "recipe", NULL, &err)) template_free(&template);
 *   tokenizer_free(t);
 */
#ifndef TEMPLATE_FILE_H
#define TEMPLATE_FILE_H

#include "data/template.h"
#include "lib/file.h"
#include "lib/json.h"

/* Limits of template.json, config.json and generation_config.json. */
#define CONFIG_MOST ((JsonLimits){1 << 20, 1 << 14})

/* Reads the folder's template, from the first of these that is there:
 *   template.json
 *   chat_template.jinja, or chat_template in tokenizer_config.json: a template in Jinja, which is
 *   told by its marks and not run; one that has no known marks is refused
 *   else a row of "plain": "", "", "\n", and <|endoftext|> or the tokenizer's eos
 * Strings of template.json: bos, prompt_prefix, answer_prefix and example_end are needed, and
 * example_end must not be empty; between, system_prefix, system_end and system may be there. A
 * piece of the form <...> must be a special token of t. Any other key is refused.
 * Unless it is NULL, `note` gets a line about a template in Jinja: what it was taken for. On false
 * (status 3 or 4) there is nothing to free. */
bool template_load(Template *template, const Tokenizer *t, const char *folder, Buf *note,
                   Error *err);
/* The same for what --template says: a name of TEMPLATES, else a file, which is a template.json or,
 * if its name ends in .jinja, a template in Jinja. */
bool template_choose(Template *template, const Tokenizer *t, const char *what, Buf *note,
                     Error *err);
/* Writes the folder's template.json, atomically. */
bool template_save(const Template *template, const char *folder, Error *err);
/* Appends the template as a Jinja chat template, which Hugging Face's apply_chat_template renders:
 * the same text as a row of this program, then `between`, for messages of system, user and
 * assistant. If the template has no system turn, a system message is joined to the user's text by a
 * line break. The prompt for an answer ends without answer_prefix's blank. */
void template_chat(const Template *template, Buf *jinja);

/* Tells a template in Jinja by its marks. False: it has none that are known; nothing to free. */
bool template_recognize(Template *template, const Tokenizer *t, Str jinja, Error *err);

#endif
