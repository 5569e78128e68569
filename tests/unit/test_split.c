/* The rules that cut text into pieces, against the regular expressions of the tokenizers. */
#include "lib/split.h"

#include "lib/util.h"
#include "tests/unit/check.h"

/* A text and its pieces, joined by '|', by the rules of GPT-2, SmolLM2, Llama 3 and Qwen. Made by
 * the library tokenizers 0.23.3:
 *   from tokenizers import Regex, pre_tokenizers as p
 *   split = lambda rule: p.Split(Regex(rule), "isolated")          # the rules stand in lib/split.c
 *   '|'.join(piece for piece, place in split(LLAMA3).pre_tokenize_str(text))
 * SmolLM2's are those of p.Sequence([p.Digits(individual_digits=True), split(GPT2)]). */
static const struct {
    const char *text, *pieces[4];
} GOLDEN[] = {
    {"\nx\n\ry\tz\r",
     {"\n|x|\n|\r|y|\t|z|\r", "\n|x|\n|\r|y|\t|z|\r", "\n|x|\n\r|y|\tz|\r", "\n|x|\n\r|y|\tz|\r"}},
    {"it'\xc5\xbf '\xc5\xbfx '\xc5\xbf 1'\xc5\xbft",
     {"it|'|\xc5\xbf| '|\xc5\xbfx| '|\xc5\xbf| 1|'|\xc5\xbft",
      "it|'|\xc5\xbf| '|\xc5\xbfx| '|\xc5\xbf| |1|'|\xc5\xbft",
      "it|'\xc5\xbf| '|\xc5\xbfx| '|\xc5\xbf| |1|'\xc5\xbf|t",
      "it|'\xc5\xbf| '|\xc5\xbfx| '|\xc5\xbf| |1|'\xc5\xbf|t"}},
    {"it's 'S 're'Re 've 'm 'll 'LL 'd 'D",
     {"it|'s| '|S| '|re|'|Re| '|ve| '|m| '|ll| '|LL| '|d| '|D",
      "it|'s| '|S| '|re|'|Re| '|ve| '|m| '|ll| '|LL| '|d| '|D",
      "it|'s| '|S| '|re|'Re| '|ve| '|m| '|ll| '|LL| '|d| '|D",
      "it|'s| '|S| '|re|'Re| '|ve| '|m| '|ll| '|LL| '|d| '|D"}},
    {"'sx 'tis 'r 'v l'l '",
     {"'s|x| '|tis| '|r| '|v| l|'|l| '", "'s|x| '|tis| '|r| '|v| l|'|l| '",
      "'s|x| '|tis| '|r| '|v| l|'l| '", "'s|x| '|tis| '|r| '|v| l|'l| '"}},
    {"don't\xe2\x80\x99s",
     {"don|'t|\xe2\x80\x99|s", "don|'t|\xe2\x80\x99|s", "don|'t|\xe2\x80\x99s",
      "don|'t|\xe2\x80\x99s"}},
    {"x1y12z1234 12345 6",
     {"x|1|y|12|z|1234| 12345| 6", "x|1|y|1|2|z|1|2|3|4| |1|2|3|4|5| |6",
      "x|1|y|12|z|123|4| |123|45| |6", "x|1|y|1|2|z|1|2|3|4| |1|2|3|4|5| |6"}},
    {"\xd9\xa3\xc2\xbd\xe2\x85\xa7 \xd9\xa4",
     {"\xd9\xa3\xc2\xbd\xe2\x85\xa7| \xd9\xa4", "\xd9\xa3|\xc2\xbd|\xe2\x85\xa7| |\xd9\xa4",
      "\xd9\xa3\xc2\xbd\xe2\x85\xa7| |\xd9\xa4", "\xd9\xa3|\xc2\xbd|\xe2\x85\xa7| |\xd9\xa4"}},
    {"  two  blanks  ",
     {" | two| | blanks|  ", " | two| | blanks|  ", " | two| | blanks|  ", " | two| | blanks|  "}},
    {"a\n\nb \n c\r\n  d\t\n \n",
     {"a|\n|\n|b| \n| c|\r\n | d|\t\n \n", "a|\n|\n|b| \n| c|\r\n | d|\t\n \n",
      "a|\n\n|b| \n| c|\r\n| | d|\t\n \n", "a|\n\n|b| \n| c|\r\n| | d|\t\n \n"}},
    {"\n \n  x", {"\n \n | x", "\n \n | x", "\n \n| | x", "\n \n| | x"}},
    {" \t\xe3\x80\x80x \xc2\xa0!",
     {" \t|\xe3\x80\x80|x| |\xc2\xa0|!", " \t|\xe3\x80\x80|x| |\xc2\xa0|!",
      " \t|\xe3\x80\x80x| |\xc2\xa0|!", " \t|\xe3\x80\x80x| |\xc2\xa0|!"}},
    {"!?\n\n.\r\nx  ?!",
     {"!?|\n|\n|.|\r|\n|x| | ?!", "!?|\n|\n|.|\r|\n|x| | ?!", "!?\n\n|.\r\n|x| | ?!",
      "!?\n\n|.\r\n|x| | ?!"}},
    {"(word) \"quote\" -dash _x *b*",
     {"(|word|)| \"|quote|\"| -|dash| _|x| *|b|*", "(|word|)| \"|quote|\"| -|dash| _|x| *|b|*",
      "(word|)| \"|quote|\"| -|dash| _|x| *|b|*", "(word|)| \"|quote|\"| -|dash| _|x| *|b|*"}},
    {"\tint x;\n\t\treturn 1;\n",
     {"\t|int| x|;|\n\t|\t|return| 1|;|\n", "\t|int| x|;|\n\t|\t|return| |1|;|\n",
      "\tint| x|;\n|\t|\treturn| |1|;\n", "\tint| x|;\n|\t|\treturn| |1|;\n"}},
    {"e\xcc\x81 n\xcc\x83o \xcc\x81 x",
     {"e|\xcc\x81| n|\xcc\x83|o| \xcc\x81| x", "e|\xcc\x81| n|\xcc\x83|o| \xcc\x81| x",
      "e|\xcc\x81| n|\xcc\x83o| \xcc\x81| x", "e|\xcc\x81| n|\xcc\x83o| \xcc\x81| x"}},
    {"1  2 \n3   4",
     {"1| | 2| |\n|3|  | 4", "1|  |2| \n|3|   |4", "1| | |2| \n|3|  | |4", "1| | |2| \n|3|  | |4"}},
    {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x80\x81 \xf0\x9f\x98\x80 \xe0\xa4\x95\xe0\xa5\x80",
     {"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e|\xe3\x80\x81| \xf0\x9f\x98\x80| "
      "\xe0\xa4\x95|\xe0\xa5\x80",
      "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e|\xe3\x80\x81| \xf0\x9f\x98\x80| "
      "\xe0\xa4\x95|\xe0\xa5\x80",
      "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e|\xe3\x80\x81| \xf0\x9f\x98\x80| "
      "\xe0\xa4\x95|\xe0\xa5\x80",
      "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e|\xe3\x80\x81| \xf0\x9f\x98\x80| "
      "\xe0\xa4\x95|\xe0\xa5\x80"}},
    {"a\xc2\x85"
     "b\xe2\x80\xa8 c\xef\xbb\xbf"
     "d",
     {"a|\xc2\x85|b|\xe2\x80\xa8| c|\xef\xbb\xbf|d", "a|\xc2\x85|b|\xe2\x80\xa8| c|\xef\xbb\xbf|d",
      "a|\xc2\x85"
      "b|\xe2\x80\xa8| c|\xef\xbb\xbf"
      "d",
      "a|\xc2\x85"
      "b|\xe2\x80\xa8| c|\xef\xbb\xbf"
      "d"}},
    {" 's 'T 1's", {" '|s| '|T| 1|'s", " '|s| '|T| |1|'s", " '|s| '|T| |1|'s", " '|s| '|T| |1|'s"}},
    {"x  'll", {"x| | '|ll", "x| | '|ll", "x| | '|ll", "x| | '|ll"}},
    {"\r\r a\n", {"\r\r| a|\n", "\r\r| a|\n", "\r\r| a|\n", "\r\r| a|\n"}},
    {"  ", {"  ", "  ", "  ", "  "}},
    {" ", {" ", " ", " ", " "}},
    {"a ", {"a| ", "a| ", "a| ", "a| "}},
    {"\n", {"\n", "\n", "\n", "\n"}},
    {"7 ", {"7| ", "7| ", "7| ", "7| "}},
};

static void check_pieces(Splitter splitter, Str text, const char *want) {
    Buf got = {0};
    for (size_t at = 0, length; at < text.n; at += length) {
        if (at) buf_putc(&got, '|');
        length = split_piece(splitter, text.s + at, text.n - at);
        CHECK(length >= 1 && length <= text.n - at, "a piece of %zu bytes", length);
        buf_put(&got, text.s + at, length);
    }
    CHECK(str_is((Str){got.s, got.n}, want), "rule %d: got \"%.*s\", wanted \"%s\"", splitter,
          (int)got.n, got.s, want);
    buf_free(&got);
}

static void test_golden(void) {
    for (size_t i = 0; i < sizeof GOLDEN / sizeof *GOLDEN; i++)
        for (int rule = SPLIT_GPT2; rule <= SPLIT_QWEN; rule++)
            check_pieces((Splitter)rule, str(GOLDEN[i].text), GOLDEN[i].pieces[rule]);
}

/* A byte that is not UTF-8 is as punctuation. */
static void test_bytes(void) {
    check_pieces(SPLIT_GPT2, str("a\x80\xff b"), "a|\x80\xff| b");
    check_pieces(SPLIT_LLAMA3, str("a \x80\n\xc3 b\xc3x"), "a| \x80\n|\xc3| b|\xc3x");
    check_pieces(SPLIT_QWEN, str("a\x01z"), "a|\x01z");
}

/* Words with their blanks, U+2581 among them; and the entire text. */
static void test_words(void) {
    check_pieces(SPLIT_WORDS, str("  two  blanks  "), "  two|  blanks|  ");
    check_pieces(SPLIT_WORDS,
                 str("a\n b\xe2\x96\x81 \xe2\x96\x81"
                     "c\xe2\x96"),
                 "a\n| b|\xe2\x96\x81 \xe2\x96\x81"
                 "c\xe2\x96");
    check_pieces(SPLIT_NONE, str("a\n b "), "a\n b ");
}

int main(void) {
    test_golden();
    test_bytes();
    test_words();
    return check_report("split");
}
