/* What judge_tokenizers.py asks: texts that end in NUL on stdin, and for each a line of stdout with
 * its ids, a tab, and as a JSON string what the ids decode to.
 *
 * Usage: encode_tool FOLDER [template]
 *        encode_tool FOLDER time
 * `template` lets the names of special tokens stand for them. `time` prints no ids, but how many
 * million bytes a second of a processor one thread encodes, of the median of five times. */
#include "data/tokenizer_folder.h"
#include "lib/file.h"
#include "lib/json.h"
#include "tokenizer.h"

#include <string.h>
#include <time.h>

typedef void Encode(Tokenizer *t, const char *text, size_t n, IntBuf *ids);

static void put_answer(Tokenizer *t, Encode *encode, Str text, Buf *out) {
    IntBuf ids = {0};
    Buf again = {0};
    encode(t, text.s, text.n, &ids);
    tokenizer_decode(t, ids.v, ids.n, &again);
    for (int i = 0; i < ids.n; i++) buf_printf(out, i ? " %d" : "%d", ids.v[i]);
    buf_putc(out, '\t');
    json_put_string(out, (Str){again.s, again.n});
    buf_putc(out, '\n');
    ints_free(&ids);
    buf_free(&again);
}

static void time_text(Tokenizer *t, Str text) {
    double seconds[5];
    for (int i = 0; i < 5; i++) {
        IntBuf ids = {0};
        clock_t start = clock(); /* of this thread alone: the machine may be busy */
        tokenizer_encode(t, text.s, text.n, &ids);
        seconds[i] = (double)(clock() - start) / CLOCKS_PER_SEC;
        ints_free(&ids);
    }
    for (int i = 1; i < 5; i++)
        for (int j = i; j > 0 && seconds[j] < seconds[j - 1]; j--) {
            double swap = seconds[j];
            seconds[j] = seconds[j - 1];
            seconds[j - 1] = swap;
        }
    printf("%.1f\n", (double)text.n / 1e6 / seconds[2]);
}

int main(int argc, char **argv) {
    Error err = {0};
    Buf text = {0}, out = {0};
    Tokenizer *t = argc > 1 ? tokenizer_load(argv[1], &err) : NULL;
    bool is_template = argc > 2 && strcmp(argv[2], "template") == 0;
    if (argc < 2) error_set(&err, STATUS_USAGE, "usage: encode_tool FOLDER [template | time]");
    if (!t || !file_read("-", &text, &err)) return error_print(&err);
    if (argc > 2 && !is_template) time_text(t, (Str){text.s, text.n});
    else
        for (size_t at = 0; at < text.n; at += strlen(text.s + at) + 1)
            put_answer(t, is_template ? tokenizer_encode_template : tokenizer_encode,
                       str(text.s + at), &out);
    bool ok = file_print(out.s, out.n, &err);
    buf_free(&text);
    buf_free(&out);
    tokenizer_free(t);
    return ok ? 0 : error_print(&err);
}
