/* tokenizer_folder: a tokenizer on disk, as the files of Hugging Face's GPT2Tokenizer.
 *
 * | file                    | holds |
 * |---|---|
 * | vocab.json              | {"token": id, ...}; each token is spelled in symbols (tokenizer.h) |
 * | merges.txt              | a merge a line, "left right", the lowest rank first |
 * | tokenizer_config.json   | which tokens are special, and which of them is bos, eos, pad |
 * | added_tokens.json       | read only: more tokens, {"name": id} |
 * | special_tokens_map.json | read only: the special ones among them, and bos, eos, pad |
 * | tokenizer.json          | read only: all of this in one file (data/tokenizer_json.h) |
 *
 * Usage:
 *   Error err = {0};
 *   Str text = str("low lower lowest");
 *   Tokenizer *t = tokenizer_train(&text, 1, 270, TEMPLATE_RECIPE_SPECIALS, 4, &err);
 *   if (folder_make("example-tokenizer", &err) &&
 *       tokenizer_save(t, NULL, "example-tokenizer", &err)) {
 *       Tokenizer *again = tokenizer_load("example-tokenizer", &err);   // encodes as t does
 *       tokenizer_free(again);
 *   }
 *   tokenizer_free(t);
 */
#ifndef TOKENIZER_FOLDER_H
#define TOKENIZER_FOLDER_H

#include "data/template.h"
#include "lib/file.h"
#include "tokenizer.h"

/* Reads the files of a folder. encoder.json and vocab.bpe are accepted as names of the first two.
 * Without a vocabulary the ids are bytes, merges, then <|endoftext|>. tokenizer.json may stand
 * alone. Beside vocab.json and merges.txt it must say the same.
 *
 * A token is special if no merge makes it, or if a file declares it: under added_tokens_decoder or
 * in added_tokens.json (there also with an id that vocab.json lacks), under bos_token and its like,
 * or in a list of special tokens. Some are declared as not special, <think> for one. No text
 * becomes them either, and they are saved as they were. Files that contradict each other are
 * refused by name, as is a token that needs blanks around it (lstrip, rstrip, single_word).
 *
 * NULL with err set: status 3 for what a file says, 4 if it cannot be read. */
Tokenizer *tokenizer_load(const char *folder, Error *err);

/* Writes the first three files into an existing folder, each atomically. Without a pad token it is
 * the eos token. The template, unless it is NULL, is written as the key chat_template. */
bool tokenizer_save(const Tokenizer *t, const Template *template, const char *folder, Error *err);

#endif
