/* tokenizer_folder: a tokenizer on disk, in Hugging Face's files.
 *
 * | file                    | holds |
 * |---|---|
 * | tokenizer.json          | the entire tokenizer (data/tokenizer_json.h); read, kept |
 * | vocab.json              | {"token": id, ...}; each token is spelled in symbols (tokenizer.h) |
 * | merges.txt              | a merge a line, "left right", the lowest rank first |
 * | tokenizer_config.json   | which tokens are special, and which of them is bos, eos, pad |
 * | added_tokens.json       | read, kept: more tokens, {"name": id} |
 * | special_tokens_map.json | read, kept: the special ones among them, and bos, eos, pad |
 * | chat_template.jinja     | kept |
 *
 * Usage:
 *   Error err = {0};
 *   Str text = str("low lower lowest");
 *   Tokenizer *t = tokenizer_train(&text, 1, 270, TEMPLATE_RECIPE_SPECIALS, 4, NULL, &err);
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

/* Reads the files of a folder. tokenizer.json is the tokenizer if it is there: it may be GPT-2's,
 * SmolLM2's, Llama's or Qwen's, or SentencePiece's of Llama 2. Beside it vocab.json and merges.txt
 * must say the same, but SentencePiece's are not read. Without it they are GPT-2's. encoder.json
 * and vocab.bpe are accepted as names of the two. Without a vocabulary the ids are bytes, merges,
 * then <|endoftext|>.
 *
 * A token is special if no merge makes it, or if a file declares it: under added_tokens_decoder or
 * in added_tokens.json (there also with an id that vocab.json lacks), under bos_token and its like,
 * or in a list of special tokens. Some are declared as not special, <think> for one. No text
 * becomes them either, and they are saved as they were. Files that contradict each other are
 * refused by name, as is a token that needs blanks around it (lstrip, rstrip, single_word).
 *
 * NULL with err set: status 3 for what a file says, 4 if it cannot be read. */
Tokenizer *tokenizer_load(const char *folder, Error *err);

/* Writes into an existing folder, each file atomically, and removes the other files of the table.
 * What came with tokenizer.json is written as it came: that file, those that are kept and
 * tokenizer_config.json byte for byte, and vocab.json and merges.txt if it had them. Any other
 * tokenizer becomes vocab.json, merges.txt and tokenizer_config.json, in which pad is eos without a
 * pad token.
 *
 * The template is written as the key chat_template of tokenizer_config.json, in place of any other
 * and of chat_template.jinja. With NULL, or if it is what the folder's own chat template was taken
 * for, they stay as they are. */
bool tokenizer_save(const Tokenizer *t, const Template *template, const char *folder, Error *err);

#endif
