/* tokenizer_json: tokenizer.json, Hugging Face's one file for a whole tokenizer.
 *
 * The file names each step of its tokenizer, and other steps give other ids. Two kinds are read,
 * byte-pair encoding over bytes, and SentencePiece. docs/formats.md has a table of their parts, and
 * tokenizer_json.c their exact forms. Any other value, and any other key, is refused by name. Some
 * values change no id and may be any: truncation and padding, since no text is cut or padded here,
 * model.unk_token and fuse_unk, since every byte has a token, and trim_offsets.
 *
 * Usage:
 *   Error err = {0};
 *   Arena arena = {0};
 *   Buf text = {0};
 *   TokenizerJson parts;
 *   if (file_exists("example/tokenizer.json") &&
 *       !tokenizer_json_read(&parts, "example/tokenizer.json", &arena, &text, &err))
 *       return error_print(&err);
 *   buf_free(&text);
 *   arena_free(&arena);
 */
#ifndef TOKENIZER_JSON_H
#define TOKENIZER_JSON_H

#include "lib/file.h"
#include "lib/json.h"
#include "tokenizer.h"

/* Limits of the files of a tokenizer: a vocabulary (merges.txt has as many bytes), tokenizer.json,
 * and the lists of tokens beside them. Llama 3's tokenizer.json has 17 MB and 968,000 values. */
#define VOCABULARY_MOST ((JsonLimits){16 << 20, 1 << 19})
#define TOKENIZER_JSON_MOST ((JsonLimits){32 << 20, JSON_MAX_VALUES})
#define TOKEN_LIST_MOST ((JsonLimits){4 << 20, 1 << 17})

typedef struct {
    const Json *vocab;  /* {"token": id}, tokens in symbols (tokenizer.h) or as SentencePiece's */
    const Json *merges; /* ["left right"] or [["left", "right"]], by rank */
    const Json *added;  /* [{"id", "content", "special"}], or NULL */
    TokenizerRules rules;
    Str opening;    /* the token that post_processor puts before each text; n 0: none */
    int opening_id; /* the id that it says */
} TokenizerJson;

/* Reads a file into *text and checks its parts, but not the members of the three lists, which are
 * in the arena. False with err set: status 3 for a part that it does not know, 4 if it cannot be
 * read. */
bool tokenizer_json_read(TokenizerJson *parts, const char *path, Arena *arena, Buf *text,
                         Error *err);

#endif
