/* Answers of a model that trains. */
#include "data/sample.h"

#include <math.h>
#include <stdlib.h>

#include "lib/text.h"

static int most_probable(const real *logits, int vocab) {
    int best = 0;
    for (int v = 1; v < vocab; v++)
        if (logits[v] > logits[best]) best = v;
    return best;
}

void sample_greedy(const Model *m, const int *prompt, int n, int end, int most, IntBuf *answer) {
    int context = m->config.context, vocab = m->config.vocab, next = end;
    Prefix *past = prefix_new(m, context);
    Workspace *ws = workspace_new();
    Batch b = {0};
    real *logits = mem_new((size_t)vocab, sizeof *logits);
    const int *row = prompt;
    for (int left = most; left > 0 && past->length + n <= context; left--) {
        batch_clear(&b);
        batch_row_inputs(&b, row, n, past);
        model_extend(m, ws, &b);
        model_logits(m, ws, 0, logits);
        next = most_probable(logits, vocab);
        if (next == end) break;
        ints_put(answer, next);
        row = &next;
        n = 1;
    }
    free(logits);
    batch_free(&b);
    workspace_free(ws);
    prefix_free(past);
}

Sample sample_new(const ModelFolder *f, const char *text, const Examples *set) {
    Sample s = {.folder = f};
    IntBuf end = {0};
    if (!f || !f->tokenizer || (!text && set->count == 0)) return s;
    if (text) {
        template_start(&f->template, f->tokenizer, (Str){NULL, 0}, &s.prompt);
        template_prompt(&f->template, f->tokenizer, str(text), TURN_LAST, &s.prompt);
    } else {
        Query q = {.x = &set->items[0]};
        s.prompt.n = query_row(set, &q, &s.prompt);
    }
    template_end(&f->template, f->tokenizer, &end); /* its last token ends an answer */
    s.end = end.n > 0 ? end.v[end.n - 1] : -1;
    if (s.prompt.n >= f->model->config.context) s.prompt.n = 0;
    ints_free(&end);
    return s;
}

void sample_free(Sample *s) { ints_free(&s->prompt); }

void sample_answer(const Sample *s, Buf *b) {
    enum { MOST = 32 };
    IntBuf answer = {0};
    Buf text = {0};
    if (s->prompt.n == 0) return;
    sample_greedy(s->folder->model, s->prompt.v, s->prompt.n, s->end, MOST, &answer);
    tokenizer_decode(s->folder->tokenizer, answer.v, answer.n, &text);
    text_show(b, (Str){text.s, text.n}, "");
    if (answer.n == MOST) buf_puts(b, " ...");
    buf_free(&text);
    ints_free(&answer);
}
