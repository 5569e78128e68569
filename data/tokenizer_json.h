/* tokenizer_json: tokenizer.json, Hugging Face's one file for a whole tokenizer.
 *
 * The file names each step of its tokenizer, and other steps give other ids. So every part must be
 * as GPT-2's byte-level BPE has it:
 *
 * | part                                 | accepted |
 * |---|---|
 * | model.type                           | BPE, or absent |
 * | model.dropout                        | null, 0 |
 * | model.continuing_subword_prefix      | null, "" |
 * | model.end_of_word_suffix             | null, "" |
 * | model.byte_fallback, .ignore_merges  | false, absent |
 * | normalizer                           | null |
 * | pre_tokenizer                        | ByteLevel, add_prefix_space false, use_regex true |
 * | decoder                              | ByteLevel |
 * | post_processor                       | null, ByteLevel, a TemplateProcessing without tokens |
 *
 * Usage:
 *   Error err = {0};
 *   Arena arena = {0};
 *   TokenizerJson parts;
 *   if (file_exists("example/tokenizer.json") &&
 *       !tokenizer_json_read(&parts, "example/tokenizer.json", &arena, &err))
 *       return error_print(&err);
 *   arena_free(&arena);
 */
#ifndef TOKENIZER_JSON_H
#define TOKENIZER_JSON_H

#include "lib/file.h"
#include "lib/json.h"

/* Limits of the files of a tokenizer: its vocabulary (merges.txt has as many bytes), and the lists
 * of tokens beside it. */
#define TOKENIZER_MOST ((JsonLimits){16 << 20, 1 << 19})
#define TOKEN_LIST_MOST ((JsonLimits){4 << 20, 1 << 17})

typedef struct {
    const Json *vocab;  /* {"token": id}, tokens in symbols (tokenizer.h) */
    const Json *merges; /* ["left right"] or [["left", "right"]], by rank */
    const Json *added;  /* [{"id", "content", "special"}], or NULL */
} TokenizerJson;

/* Reads a file and checks its parts, but not the members of the three. They are in the arena. False
 * with err set: status 3 for a part that is not GPT-2's, which it names, 4 if it cannot be read. */
bool tokenizer_json_read(TokenizerJson *parts, const char *path, Arena *arena, Error *err);

#endif
