/* chat: a conversation on the terminal, or of the lines of a pipe. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/file.h"
#include "lib/text.h"
#include "lib/unicode.h"
#include "program/commands.h"
#include "program/talk.h"

/* The conversation so far. */
typedef struct {
    Talk talk;
    Turn *turns; /* [n] what was said, each string on the heap */
    int n, room;
    long line;                /* of the input */
    bool asks;                /* stdin and stdout are a terminal: someone is asked */
    const char *bold, *plain; /* escapes around what the program says itself, or "" */
} Chat;

static const char HELP[] =
    "(/reset begins anew, /quit or the end of the input ends. A message that "
    "begins with / has // there.)\n";

static void forget(Chat *c, int oldest) {
    for (int i = 0; i < oldest; i++) {
        free((char *)c->turns[i].prompt.s);
        free((char *)c->turns[i].completion.s);
    }
    c->n -= oldest;
    if (c->n > 0) memmove(c->turns, c->turns + oldest, (size_t)c->n * sizeof *c->turns);
}

static Str kept(Str s) {
    char *copy = mem_new(s.n + 1, 1);
    if (s.n) memcpy(copy, s.s, s.n);
    return (Str){copy, s.n};
}

static void remember(Chat *c, Str prompt, Str answer) {
    if (c->n == c->room) {
        c->room = c->room ? 2 * c->room : 16;
        c->turns = mem_grow(c->turns, (size_t)c->room, sizeof *c->turns);
    }
    c->turns[c->n++] = (Turn){.prompt = kept(prompt), .completion = kept(answer)};
}

/* The row of the conversation and a message. Where it leaves too little room for an answer, the
 * oldest turns are forgotten, and that is said. False if the message alone is too long. */
static bool fit_row(Chat *c, Str message, IntBuf *row) {
    const Settings *s = c->talk.s;
    int context = c->talk.f.model->config.context, oldest = 0;
    int room = s->max_new_tokens < context / 4 ? s->max_new_tokens : context / 4;
    Str system = s->system ? str(s->system) : (Str){NULL, 0};
    for (;; oldest++) {
        row->n = 0;
        talk_row(&c->talk, system, c->turns + oldest, c->n - oldest, message, row);
        if (context - row->n >= room || oldest == c->n) break;
    }
    if (row->n < 1 || row->n >= context) {
        fprintf(stderr,
                "(the message has %d tokens with its template, and the context holds %d: say it "
                "in fewer words)\n",
                row->n, context);
        return false;
    }
    if (oldest)
        fprintf(stderr, "(the context of %d tokens is full: the %d oldest turns are forgotten)\n",
                context, oldest);
    forget(c, oldest);
    return true;
}

/* A message that does not fit gets no answer, and in a pipe the empty line of one. */
static bool answer(Chat *c, Str message, Error *err) {
    IntBuf row = {0}, ids = {0};
    StopReason why = STOP_END;
    const Settings *s = c->talk.s;
    bool ok = true;
    if (fit_row(c, message, &row)) {
        ok = talk_answer(&c->talk, &row, c->asks, &ids, &why, err);
        Str text = talk_said(&c->talk);
        if (ok && !c->asks) ok = text_print(text.s, text.n, err);
        ok = ok && text_print("\n", 1, err);
        if (ok) remember(c, message, text);
        if (ok && why == STOP_LENGTH)
            fprintf(stderr, "(cut after --max-new-tokens %d)\n", s->max_new_tokens);
        if (ok && why == STOP_CONTEXT)
            fprintf(stderr, "(cut: the context of %d tokens is full)\n",
                    c->talk.f.model->config.context);
    } else if (!c->asks) ok = text_print("\n", 1, err);
    ints_free(&row);
    ints_free(&ids);
    return ok;
}

/* A line that is no text: someone who is asked may type another one, a pipe ends. */
static bool refuse_line(const Chat *c, Error *err) {
    if (c->asks) fprintf(stderr, "(the message is not valid UTF-8: write it anew)\n");
    return c->asks ||
           error_set(err, STATUS_DATA, "stdin:%ld: the line is not valid UTF-8", c->line);
}

/* Does one line. *quit: it was the last one. */
static bool take_line(Chat *c, Str line, bool *quit, Error *err) {
    c->line++;
    while (line.n > 0 && memchr("\r\n", line.s[line.n - 1], 2)) line.n--;
    if (line.n == 0) return true;
    if (!unicode_valid(line.s, line.n, NULL)) return refuse_line(c, err);
    if (line.s[0] != '/') return answer(c, line, err);
    if (line.n > 1 && line.s[1] == '/') return answer(c, (Str){line.s + 1, line.n - 1}, err);
    *quit = str_is(line, "/quit");
    if (str_is(line, "/reset")) {
        forget(c, c->n);
        generator_seed(c->talk.generator, (uint64_t)c->talk.s->seed);
        fprintf(stderr, "(the conversation begins anew)\n");
    } else if (!*quit) fputs(HELP, stderr);
    return true;
}

/* Are colors wanted (no-color.org), and does the terminal have them? */
static bool has_colors(void) {
    const char *off = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(off && off[0]) && terminal && strcmp(terminal, "dumb") != 0;
}

/* Reads a line, byte by byte: whoever types waits for the answer to it. *more: there was one. */
static bool read_line(FileInput *in, Buf *line, bool *more, Error *err) {
    bool ok = true;
    line->n = 0;
    while (ok && !in->ended && (line->n == 0 || line->s[line->n - 1] != '\n'))
        ok = input_read(in, 1, line, err);
    *more = ok && line->n > 0;
    return ok;
}

static bool converse(Chat *c, Error *err) {
    FileInput in;
    Buf line = {0};
    char mark[32];
    bool quit = false, more = true;
    bool ok = input_open(&in, "-", err);
    snprintf(mark, sizeof mark, "%syou:%s ", c->bold, c->plain);
    if (c->asks) fputs(HELP, stderr);
    while (ok && more && !quit) {
        if (c->asks) ok = file_print(mark, strlen(mark), err);
        ok = ok && read_line(&in, &line, &more, err);
        if (ok && more) ok = take_line(c, (Str){line.s, line.n}, &quit, err);
    }
    if (ok && c->asks && !more) ok = file_print("\n", 1, err);
    input_close(&in);
    buf_free(&line);
    return ok;
}

bool command_chat(const Settings *s, Error *err) {
    Chat c = {.asks = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO), .bold = "", .plain = ""};
    if (has_colors()) {
        c.bold = "\033[1m";
        c.plain = "\033[0m";
    }
    if (!talk_open(&c.talk, s, err)) return false;
    bool ok = converse(&c, err);
    forget(&c, c.n);
    free(c.turns);
    talk_close(&c.talk);
    return ok;
}
