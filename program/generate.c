/* generate: completes a prompt, token by token. */
#include <math.h>
#include <stdlib.h>

#include "data/model_folder.h"
#include "lib/json.h"
#include "lib/text.h"
#include "program/commands.h"

typedef struct {
    real logit;
    int id;
} NextToken;

/* Sorts by falling logit. On a tie the smaller id comes first. */
static int compare_logits(const void *a, const void *b) {
    const NextToken *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Returns the most probable token at temperature 0, else a draw from the top_k most probable ones
 * (0: from all). logits [vocab]. */
static int sample(const real *logits, int vocab, double temperature, int top_k, Rng *rng) {
    NextToken *c = mem_new((size_t)vocab, sizeof *c);
    for (int v = 0; v < vocab; v++) c[v] = (NextToken){logits[v], v};
    qsort(c, (size_t)vocab, sizeof *c, compare_logits);
    int n = temperature <= 0 ? 1 : top_k > 0 && top_k < vocab ? top_k : vocab, chosen = c[0].id;
    double total = 0, *p = mem_new((size_t)n, sizeof *p);
    for (int i = 0; i < n && temperature > 0; i++)
        total += p[i] = exp((double)(c[i].logit - c[0].logit) / temperature);
    double at = rng_uniform(rng) * total;
    for (int i = 0; i < n && temperature > 0; i++) {
        chosen = c[i].id;
        if ((at -= p[i]) < 0) break;
    }
    free(p);
    free(c);
    return chosen;
}

static bool all_finite(const real *x, int n) {
    bool finite = true;
    for (int i = 0; i < n; i++) finite &= isfinite(x[i]) != 0;
    return finite;
}

/* Appends the tokens of the answer to `prompt`, without the token `end` that ends it. */
static bool complete(const Settings *s, const Model *m, const IntBuf *prompt, int end,
                     IntBuf *answer, Error *err) {
    int context = m->config.context, vocab = m->config.vocab, next = 0;
    Rng rng = rng_new((uint64_t)s->seed, RNG_GENERATE);
    Prefix *past = prefix_new(m, context);
    Workspace *ws = workspace_new();
    Batch b = {0};
    real *logits = mem_new((size_t)vocab, sizeof *logits);
    const int *row = prompt->v;
    int n = prompt->n; /* the first pass runs the prompt, each later one the last token alone */
    for (int left = s->max_new_tokens; left > 0 && past->length + n <= context; left--) {
        batch_clear(&b);
        batch_row_inputs(&b, row, n, past);
        model_extend(m, ws, &b);
        model_logits(m, ws, 0, logits);
        if (!all_finite(logits, vocab)) {
            error_set(err, STATUS_DIVERGED,
                      "%s: token %d has no finite logits: the model's parameters are not usable, "
                      "as after a training that diverged",
                      s->model, answer->n + 1);
            break;
        }
        next = sample(logits, vocab, s->sampling_temperature, s->top_k, &rng);
        if (next == end) break;
        ints_put(answer, next);
        row = &next;
        n = 1;
    }
    free(logits);
    batch_free(&b);
    workspace_free(ws);
    prefix_free(past);
    return err->status == 0;
}

static bool print_answer(const Settings *s, const ModelFolder *f, const IntBuf *answer,
                         Error *err) {
    Buf text = {0}, out = {0};
    buf_puts(&text, "");
    tokenizer_decode(f->tokenizer, answer->v, answer->n, &text);
    if (s->json) {
        buf_puts(&out, "{\"prompt\":");
        json_put_string(&out, str(s->prompt));
        buf_puts(&out, ",\"completion\":");
        json_put_string(&out, (Str){text.s, text.n});
        buf_printf(&out, ",\"tokens\":%d}", answer->n);
    } else buf_put(&out, text.s, text.n);
    buf_putc(&out, '\n');
    bool ok = text_print(out.s, out.n, err);
    buf_free(&text);
    buf_free(&out);
    return ok;
}

bool command_generate(const Settings *s, Error *err) {
    ModelFolder f;
    if (!settings_model(s, s->model, &f, err)) return false;
    if (!f.tokenizer) {
        model_folder_free(&f);
        return error_set(err, STATUS_DATA,
                         "%s: has no vocabulary; generating needs tokenizer.json there", s->model);
    }
    IntBuf prompt = {0}, answer = {0}, end = {0};
    int context = f.model->config.context;
    template_start(&f.template, f.tokenizer, (Str){NULL, 0}, &prompt);
    template_prompt(&f.template, f.tokenizer, str(s->prompt), TURN_LAST, &prompt);
    template_end(&f.template, f.tokenizer, &end); /* its last token ends an answer */
    if (prompt.n < 1 || prompt.n >= context)
        error_set(err, STATUS_DATA,
                  "--prompt: has %d tokens; it must have 1 to %d, so that an answer fits the "
                  "context of %d",
                  prompt.n, context - 1, context);
    else if (complete(s, f.model, &prompt, end.v[end.n - 1], &answer, err))
        print_answer(s, &f, &answer, err);
    ints_free(&prompt);
    ints_free(&answer);
    ints_free(&end);
    model_folder_free(&f);
    return err->status == 0;
}
