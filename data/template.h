/* template: template.json, the text around prompts and answers (tokenizer.h says what it means).
 *
 *   {"bos": "<bos>", "prompt_prefix": "<q>", "answer_prefix": "<a> ", "example_end": "<e>"}
 *
 * Usage:
 *   Error err = {0};
 *   Str text = str("low lower lowest");
 *   Tokenizer *t = tokenizer_train(&text, 1, 270, TEMPLATE_RECIPE_SPECIALS, 4, &err);
 *   Template template;
 *   if (folder_make("example-template", &err) &&
 *       template_save(&TEMPLATE_RECIPE, "example-template", &err) &&
 *       template_load(&template, t, "example-template", &err))
 *       template_free(&template);
 *   tokenizer_free(t);
 */
#ifndef TEMPLATE_H
#define TEMPLATE_H

#include "lib/file.h"
#include "lib/json.h"
#include "tokenizer.h"

/* Limits of template.json, config.json and generation_config.json. */
#define CONFIG_MOST ((JsonLimits){1 << 20, 1 << 14})

/* Reads the folder's template.json. All four keys are needed, and example_end must not be empty. A
 * piece of the form <...> must be a special token of t. Other keys are ignored. Without the file it
 * is GPT-2's plain text, "", "", "\n", "<|endoftext|>", if t has that token. On false (status 3 or
 * 4) there is nothing to free. */
bool template_load(Template *template, const Tokenizer *t, const char *folder, Error *err);
/* Writes the folder's template.json, atomically. */
bool template_save(const Template *template, const char *folder, Error *err);
/* Appends the template as a Jinja chat template, which Hugging Face's apply_chat_template renders:
 * the same text as a row of this program, for messages of system (joined to the user's text by a
 * line break), user and assistant. The prompt for an answer ends without answer_prefix's blank. */
void template_chat(const Template *template, Buf *jinja);
/* Frees the strings of a template that was loaded. */
void template_free(Template *template);

#endif
