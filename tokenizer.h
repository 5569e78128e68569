/* tokenizer: byte-pair encoding.
 *
 * Trains a vocabulary as GPT-2 has it, encodes any bytes and decodes them exactly. tokenizer.c
 * explains how. Files are read and written by data/tokenizer_folder.h. They may be those of Llama,
 * Qwen or SmolLM2: TokenizerRules says what differs. An id is a number from 0 to
 * 16,000,000. Vocabularies that tokenizer_train makes have the special tokens first, then the 256
 * bytes in GPT-2's order, then one id for each merge. Others may have gaps.
 *
 * Usage:
 *   Error err = {0};
 *   Str texts[] = {str("low lower lowest"), str("new newer newest")};
 *   const char *const specials[] = {"<bos>", "<e>"};
 *   Tokenizer *t = tokenizer_train(texts, 2, 270, specials, 2, NULL, &err);
 *   IntBuf ids = {0};
 *   Buf text = {0};
 *   tokenizer_encode(t, "the newest", 10, &ids);
 *   tokenizer_decode(t, ids.v, ids.n, &text); // "the newest"
 *   buf_free(&text);
 *   ints_free(&ids);
 *   tokenizer_free(t);
 */
#ifndef TOKENIZER_H
#define TOKENIZER_H

#include "lib/progress.h"
#include "lib/split.h"
#include "lib/util.h"

typedef struct Tokenizer Tokenizer;

/* ---- training, encoding, decoding ---- */

/* Trains on texts until there are vocab_size tokens (specials + 256 bytes + merges), or until no
 * pair of tokens occurs twice. The order of the texts does not matter. Of equally frequent pairs
 * the one with the smaller ids is merged first, as in Hugging Face's trainer.
 *
 * `specials` are distinct UTF-8 names, none of them the spelling of a single byte. Inside the texts
 * they are ordinary text, and a merge that would spell one is passed over. If <bos> and <e> are
 * among them, they become the tokenizer's bos and eos.
 *
 * `progress` (or NULL) hears of the texts' bytes, then of merges.
 *
 * NULL with err set: status 2 for an impossible size or name, 3 for too much text (2 GB of distinct
 * pieces). */
Tokenizer *tokenizer_train(const Str *texts, int n_texts, int vocab_size,
                           const char *const *specials, int n_specials, Progress *progress,
                           Error *err);
void tokenizer_free(Tokenizer *t);

/* The largest id + 1, which is the least vocabulary that a model needs. */
int tokenizer_size(const Tokenizer *t);
/* Appends the ids of n bytes. Any bytes can be encoded. Text that spells a special token is
 * ordinary text. Not thread-safe: the tokenizer keeps a cache of pieces. */
void tokenizer_encode(Tokenizer *t, const char *text, size_t n, IntBuf *ids);
/* The same for text that directly follows other text, whose ids are there already. It differs for
 * SentencePiece alone, which puts a blank before each text and has none here. */
void tokenizer_encode_on(Tokenizer *t, const char *text, size_t n, IntBuf *ids);
/* The same for text of a template: the name of a special token in it stands for the token, of
 * several that start at one place the longest. Each stretch between them is a text of its own. Text
 * of a user must never come here: it could spell a token. */
void tokenizer_encode_template(Tokenizer *t, const char *text, size_t n, IntBuf *ids);
/* Appends the bytes of n ids. A special token gives its name. An id that does not exist gives
 * nothing and makes the result false. SentencePiece's blank before the text is taken off again. */
bool tokenizer_decode(const Tokenizer *t, const int *ids, int n, Buf *text);
/* The id of a special token by its name, or -1. Tokens that files declare as not special, such as
 * <think>, are among them: no text becomes one. */
int tokenizer_special(const Tokenizer *t, const char *name);
/* The token that the tokenizer's files put before a row, as Llama's <s>, or -1. No function here
 * adds it. A template whose text does not begin with it leaves the model without it. */
int tokenizer_opening(const Tokenizer *t);

/* ---- for readers and writers of tokenizer files ---- */

enum { TOKENIZER_MAX_ID = 16000000 }; /* above every known vocabulary, far below int overflow */

typedef struct {
    int id;
    bool special; /* no text becomes it */
    bool plain;   /* a special token that its files declare as "special": false, as <think> is */
    Str bytes;    /* what it decodes to; the name of a special token */
    bool byte;    /* SentencePiece's token of a single byte, <0x0A> */
} Token;

typedef struct {
    int left, right, result;
} Merge; /* ids */

/* Where SentencePiece puts a blank before a text, which decoding takes off again. */
typedef enum { BLANK_ALWAYS, BLANK_IF_NONE, BLANK_NEVER, BLANK_COUNT } BlankBefore;

/* What happens to text before the merges. All zero is GPT-2. */
typedef struct {
    Splitter splitter;
    bool nfc;          /* first the text gets Unicode's form NFC, as in Qwen: decoding gives that
                          form, so two texts may have the same ids */
    bool whole_pieces; /* a piece that is a token becomes it without merges ("ignore_merges") */
    bool pieces;       /* SentencePiece, as in Llama 2: tokens are made of characters. A blank is
                          U+2581, and a character without a token is spelled in bytes */
    BlankBefore blank; /* of `pieces` */
} TokenizerRules;

/* Files whose texts a tokenizer keeps: tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json, added_tokens.json, chat_template.jinja. */
enum { KEPT_JSON, KEPT_CONFIG, KEPT_MAP, KEPT_ADDED, KEPT_CHAT, KEPT_FILES };

/* Everything that makes a tokenizer. */
typedef struct {
    const Token *tokens; /* [n_tokens] distinct ids; a token for each single byte is among them */
    const Merge *merges; /* [n_merges] by rank, the first is applied first; distinct pairs */
    int n_tokens, n_merges;
    int bos, eos, pad; /* ids of the special tokens that files call so, or -1 */
    TokenizerRules rules;
    int opening;     /* the special token that the files put before each row, or -1 */
    bool json_alone; /* there is tokenizer.json, without vocab.json and merges.txt */
    /* The texts of files that are saved as they were read, with tokenizer.json. n 0: none. */
    Str files[KEPT_FILES];
} TokenizerParts;

/* Builds a tokenizer from copies of its parts. A merge whose result is special is kept, so that it
 * is written again, but never applied: text must not become a special token. */
Tokenizer *tokenizer_new(const TokenizerParts *parts);
/* The parts, tokens by increasing id. Borrowed from t. */
TokenizerParts tokenizer_parts(const Tokenizer *t);

/* GPT-2's files spell each byte as one visible character, a symbol. Appends symbols of bytes. */
void symbols_from_bytes(Buf *symbols, Str bytes);
/* Appends the bytes of symbols, unless `bytes` is NULL. False if a character is not a symbol. */
bool symbols_to_bytes(Str symbols, Buf *bytes);
/* The byte with rank 0 to 255 in GPT-2's vocabulary, which is in the order of the symbols. */
int symbols_byte_of_rank(int rank);

/* The special token with the longest name that s starts with, or NULL. Borrowed from t. */
const Token *tokenizer_special_at(const Tokenizer *t, Str s);
bool tokenizer_is_special(const Tokenizer *t, int id);

/* A name as messages show it: at most 60 bytes, cut between characters. */
Str token_shown(Str name);

#endif
