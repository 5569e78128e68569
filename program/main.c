/* The command line: one table of commands, one of options; the commands that need no training loop; and the dispatch. */
#include <stdlib.h>
#include <string.h>

#include "data/corpus.h"
#include "lib/dataset.h"
#include "lib/json.h"
#include "tokenizer.h"
#include "train.h"
#include "program/commands.h"
#include "program/report/page.h"

static const Command COMMANDS[] = {
    {"corpus", "writes the built-in instruction corpus, in which it is known which answers are bad", NULL},
    {"tokenizer", "trains a byte-level BPE vocabulary", NULL},
    {"encode", "text to token ids: one JSON array for each line of stdin", NULL},
    {"decode", "token ids to text: one JSON array a line on stdin", NULL},
    {"pretrain", "trains a model on sessions or text, from random weights or on from a model", NULL},
    {"score", "a score and a weight for each record of a pool", NULL},
    {"train", "weighted fine-tuning", NULL},
    {"eval", "how probable the right answers of a file are", NULL},
    {"generate", "completes a prompt", NULL},
    {"inspect", "the tensors of a safetensors file: type, shape, and the range of their values", "FILE"},
    {"diff", "two safetensors files tensor by tensor; ends with status 1 if they differ", "A B"},
    {"report", "tables, results.json and an HTML page from run folders and saved results", "RUN..."},
    {"bench", "how fast this machine runs matrix products and training steps", NULL},
    {0}};

static bool load_tokenizer(const Settings *s, Tokenizer **t, Error *err) {
    *t = tokenizer_load(s->tokenizer, err);
    return *t != NULL;
}

typedef bool LineWork(Tokenizer *t, const char *line, size_t n, long number, Buf *out, Error *err);

/* Works on each line of stdin; what they made of it goes to stdout, unless one of them is wrong. */
static bool each_line(const Settings *s, LineWork *work, Error *err) {
    Tokenizer *t;
    Buf text = {0}, out = {0};
    if (!load_tokenizer(s, &t, err)) return false;
    bool ok = file_read("-", &text, err);
    long number = 1;
    for (size_t at = 0; ok && at < text.n; number++) {
        const char *line = text.s + at, *end = memchr(line, '\n', text.n - at);
        size_t n = end ? (size_t)(end - line) : text.n - at;
        ok = work(t, line, n, number, &out, err);
        at += n + 1;
    }
    if (ok) fwrite(out.s ? out.s : "", 1, out.n, stdout);
    buf_free(&text);
    buf_free(&out);
    tokenizer_free(t);
    return ok;
}

static bool encode_line(Tokenizer *t, const char *line, size_t n, long number, Buf *out, Error *err) {
    (void)number, (void)err;
    IntBuf ids = {0};
    tokenizer_encode(t, line, n, &ids);
    buf_putc(out, '[');
    for (int i = 0; i < ids.n; i++) buf_printf(out, i ? ",%d" : "%d", ids.v[i]);
    buf_puts(out, "]\n");
    ints_free(&ids);
    return true;
}

static bool command_encode(const Settings *s, Error *err) { return each_line(s, encode_line, err); }

static bool ids_of(const Json *array, IntBuf *ids) {
    if (!array || array->type != JSON_ARRAY) return false;
    for (int i = 0; i < array->count; i++) {
        const Json *v = &array->items[i];
        if (v->type != JSON_NUMBER || !v->is_integer || v->number < 0 || v->number > 1 << 24) return false;
        ints_put(ids, (int)v->number);
    }
    return true;
}

static bool decode_line(Tokenizer *t, const char *line, size_t n, long number, Buf *out, Error *err) {
    if (n == 0) return true;
    Arena arena = {0};
    IntBuf ids = {0};
    JsonError where;
    bool ok = true;
    if (!ids_of(json_parse(&arena, line, n, &where), &ids))
        ok = error_set(err, STATUS_DATA, "stdin:%ld: not a JSON array of token ids", number);
    else if (!tokenizer_decode(t, ids.v, ids.n, out))
        ok = error_set(err, STATUS_DATA, "stdin:%ld: holds an id that the vocabulary does not have", number);
    buf_putc(out, '\n');
    ints_free(&ids);
    arena_free(&arena);
    return ok;
}

static bool command_decode(const Settings *s, Error *err) { return each_line(s, decode_line, err); }

/* ---- tokenizer ---- */

static bool command_tokenizer(const Settings *s, Error *err) {
    Arena arena = {0};
    Dataset *d = mem_new((size_t)s->data.count, sizeof *d);
    int loaded = 0, texts = 0, capacity = 0;
    Str *text = NULL;
    for (; loaded < s->data.count && dataset_load(&d[loaded], s->data.values[loaded], err); loaded++)
        for (int i = 0; i < d[loaded].count; i++) {
            const Record *r = &d[loaded].records[i];
            int more = 3 + 2 * (r->kind == RECORD_TURNS ? r->n_turns : 0);
            if (texts + more > capacity) text = mem_grow(text, (size_t)(capacity = 2 * (texts + more)), sizeof *text);
            if (r->kind == RECORD_TEXT) text[texts++] = r->text;
            else if (r->kind == RECORD_PAIR) text[texts++] = r->prompt;
            for (int p = 0; p < (r->kind == RECORD_TURNS ? 2 * r->n_turns : r->kind == RECORD_PAIR ? 2 : 0); p++) {
                Str part = r->kind == RECORD_PAIR ? (p ? r->rejected : r->chosen)
                           : p % 2                ? r->turns[p / 2].completion
                                                  : r->turns[p / 2].prompt;
                bool answer = r->kind == RECORD_PAIR || p % 2; /* in the template an answer stands behind a blank */
                char *spaced = arena_new(&arena, part.n + 2, 1);
                snprintf(spaced, 2, "%s", answer ? " " : "");
                memcpy(spaced + answer, part.s, part.n);
                text[texts++] = (Str){spaced, part.n + answer};
            }
        }
    Tokenizer *t = err->status == 0 ? tokenizer_train(text, texts, s->vocab_size, TEMPLATE_RECIPE_SPECIALS, 4, err) : NULL;
    if (t && folder_make(s->out, err) && tokenizer_save(t, s->out, err) && template_save(&TEMPLATE_RECIPE, s->out, err))
        fprintf(stderr, "%s: %d tokens from %d texts\n", s->out, tokenizer_size(t), texts);
    if (t) tokenizer_free(t);
    for (int i = 0; i < loaded; i++) dataset_free(&d[i]);
    free(d);
    free(text);
    arena_free(&arena);
    return err->status == 0;
}

/* ---- the other commands ---- */

static bool command_corpus(const Settings *s, Error *err) {
    CorpusOptions o = {.out = s->out, .full = strcmp(s->size, "full") == 0, .control = s->control, .seed = (uint64_t)s->seed,
                       .draw = (uint64_t)s->draw, .pools_only = !s->pretrain};
    return corpus_write(&o, err);
}

static bool command_report(const Settings *s, Error *err) {
    report_main(s->inputs.count, s->inputs.values, s->out, s->results, s->json, err);
    return err->status == 0;
}

static bool run_command(const Settings *s, Error *err) {
    const struct { const char *name; bool (*run)(const Settings *, Error *); } table[] = {
        {"corpus", command_corpus}, {"tokenizer", command_tokenizer}, {"encode", command_encode}, {"decode", command_decode},
        {"pretrain", command_pretrain}, {"score", command_score}, {"train", command_train}, {"eval", command_eval},
        {"generate", command_generate}, {"inspect", command_inspect}, {"diff", command_diff}, {"report", command_report},
        {"bench", command_bench}};
    size_t i = 0;
    while (strcmp(s->command, table[i].name) != 0) i++; /* the command stands in COMMANDS, and so here */
    return table[i].run(s, err);
}

/* Commands whose work can be broken off and resumed; a signal ends the others at once. */
static bool command_has_runs(const Command *command) {
    return strcmp(command->name, "pretrain") == 0 || strcmp(command->name, "train") == 0;
}

static int run_main(int argc, char **argv, Arena *arena, Buf *options) {
    Error err = {0};
    const char *name = argc > 1 ? argv[1] : "--help";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        options_help(OPTIONS, COMMANDS, NULL, stdout);
        return argc > 1 ? STATUS_OK : STATUS_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        puts("ica " ICA_VERSION);
        return STATUS_OK;
    }
    const Command *command = options_command(COMMANDS, name, &err);
    if (!command) return error_print(&err);
    Settings s = {0};
    OptionResult result;
    if (!settings_parse(command, argc - 2, argv + 2, &s, &result, arena, options, &err)) return error_print(&err);
    if (result.help) {
        options_help(OPTIONS, COMMANDS, command, stdout);
        return STATUS_OK;
    }
    if (s.resume && !run_state_exists(s.resume) && !run_has_result(s.resume)) {
        fprintf(stderr, "%s: the run was stopped before its first save: it begins again\n", s.resume);
        s.resume = NULL;
    }
    machine_use_threads(s.threads);
    if (command_has_runs(command)) machine_stop_on_signals();
    if (run_command(&s, &err)) return STATUS_OK;
    return error_print(&err);
}

int main(int argc, char **argv) {
    machine_settle_threads(argv);
    machine_settle_memory();
    Arena arena = {0};
    Buf options = {0};
    int status = run_main(argc, argv, &arena, &options);
    if (fflush(stdout) != 0 && status == STATUS_OK) {
        fprintf(stderr, "ica: cannot write to stdout\n");
        status = STATUS_IO;
    }
    arena_free(&arena);
    buf_free(&options);
    return status;
}
