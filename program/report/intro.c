#include "program/report/intro.h"

#include "lib/stats.h"
#include "program/report/order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- sentences ---- */

static void sentence(Buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
static void sentence(Buf *b, const char *format, ...) {
    Arena scratch = {0};
    va_list args;
    va_start(args, format);
    buf_puts(b, b->n ? " " : "<p>");
    html_text(b, text_format(&scratch, format, args));
    va_end(args);
    arena_free(&scratch);
}

static void tell_subject(Buf *b, const Report *r, const Numbers *n) {
    int runs = 0;
    for (int i = 0; i < r->n_runs; i++) runs += !r->runs[i].pretrain;
    if (n->blocks.n && runs == 1)
        sentence(b, "Here a language model was fine-tuned on data of mixed quality.");
    else if (n->blocks.n)
        sentence(b,
                 "Here %d runs fine-tuned a language model on data of mixed quality, each with "
                 "its own way to weigh the examples.",
                 runs);
    else sentence(b, "This page shows which training examples are worth learning from.");
    sentence(b, "ICA (in-context approximation) scores an example by how much more probable the "
                "model finds its answer after reading a few trusted examples.");
}

/* Does the model learn in context? */
static void tell_context(Buf *b, const Numbers *n) {
    if (n->n_shots < 2 || n->shots[0].k != 0) return;
    const Shots *none = &n->shots[0], *most = &n->shots[n->n_shots - 1];
    if (most->nll < none->nll)
        sentence(b,
                 "The model learns from such reading: %g demonstrations lower the loss of a right "
                 "answer from %.3f to %.3f nats a token.",
                 most->k, none->nll, most->nll);
    else
        sentence(b,
                 "This model does not learn from such reading (%g demonstrations: %.3f nats a "
                 "token, none: %.3f), so its scores say little.",
                 most->k, most->nll, none->nll);
}

/* How well the first ICA scores tell good from bad. */
static void tell_scores(Buf *b, const Report *r) {
    for (int i = 0; i < r->n_sets; i++) {
        const ScoreSet *s = &r->sets[i];
        if (!s->ready || !s->truth || strcmp(s->method, "ica") != 0) continue;
        double *x = mem_new((size_t)s->n + 1, sizeof *x), *y = mem_new((size_t)s->n + 1, sizeof *y),
               area;
        roc_curve(s->score, s->clean, s->n, x, y, &area);
        free(x);
        free(y);
        if (!isfinite(area)) continue;
        sentence(b,
                 "On %s (%s) a good example has a higher ICA score than a bad one in %.1f %% of "
                 "all cases, where chance is 50 %%.",
                 s->group, s->when, 100 * area);
        return;
    }
}

/* The first block's ICA arms between uniform weights and the oracle. */
static void tell_result(Buf *b, const Numbers *n) {
    if (n->blocks.n == 0) return;
    const Block *block = &n->blocks.v[0];
    const Arm *uniform = block_arm(block, "uniform"), *oracle = block_arm(block, "oracle");
    int m = block->headline, ica = 0;
    double low = INFINITY, high = -INFINITY;
    for (int a = 0; a < block->n_arms; a++) {
        double v = block->arms[a].mean[m];
        if (arm_method_length(block->arms[a].name) != 3 ||
            memcmp(block->arms[a].name, "ica", 3) != 0 || !isfinite(v))
            continue;
        ica++;
        low = fmin(low, v), high = fmax(high, v);
    }
    if (!ica || !uniform) return;
    const char *name = block->metrics[m].name;
    int d = block->metrics[m].decimals;
    Arena arena = {0};
    const char *range = ica == 1 ? text_new(&arena, "%.*f", d, low)
                                 : text_new(&arena,
                                            "between %.*f and %.*f, by the map from score to "
                                            "weight",
                                            d, low, d, high);
    const char *bound =
        oracle ? text_new(&arena, ", with the good examples alone %.*f", d, oracle->mean[m]) : "";
    sentence(b, "With ICA's weights the %s on %s is %s; with equal weights it is %.*f%s.", name,
             block->group, range, d, uniform->mean[m], bound);
    arena_free(&arena);
}

static void tell_care(Buf *b, const Numbers *n) {
    if (n->blocks.n == 0) return;
    int seeds = n->blocks.v[0].n_seeds;
    if (seeds > 1)
        sentence(
            b,
            "Every number with \xc2\xb1 is a mean over %d seeds with their deviation; all runs "
            "start from one model, so another model may give another order.",
            seeds);
    else sentence(b, "There is one seed: differences between arms may be chance.");
}

/* ---- glossary ---- */

typedef struct {
    const char *word, *found, *meaning; /* found: the body has it; NULL: the word */
} Term;

static const Term TERMS[] = {
    {"arm", NULL, "one way to weigh the examples, METHOD:MAP; a row of a table."},
    {"pool", NULL, "the examples to learn from, good and bad."},
    {"holdout", NULL, "a few examples that are trusted."},
    {"demonstration", NULL, "a holdout example that the model reads before a question."},
    {"score", NULL, "what a method thinks of an example; more is better."},
    {"map", NULL,
     "how a score becomes a weight: filter keeps scores above 0, top the best share, minmax scales "
     "to 0 to 1 (minmax-batch within each batch), accept what looks like the holdout."},
    {"uniform", NULL, "all examples count the same; the usual training."},
    {"oracle", NULL, "knows which examples are good and uses those: a bound, not a method."},
    {"holdout-only", NULL, "trains on the holdout alone, without the pool."},
    {"random-subset", NULL, "as many examples as ica:filter keeps, drawn at random."},
    {"rho", ">rho", "RHO-Loss: the gain through training a second model on the holdout."},
    {"oneshot, nuggets", "oneshot", "what showing the example does for holdout answers."},
    {"incontext, loss", "incontext", "log-probability with demonstrations, and without."},
    {"SFT", "Fine-tuning", "supervised fine-tuning, on answers."},
    {"DPO, SimPO", "DPO", "fine-tuning on pairs of a chosen and a rejected answer."},
    {"NLL, loss", "NLL", "minus the log-probability of a right answer, in nats a token."},
    {"validation", "alidation loss",
     "a part of the pool that a run is not trained on; it says when to stop."},
    {"nat", "nats", "unit of log-probability: one nat is a factor of 2.7."},
    {"AUROC", NULL, "share of good-bad pairs that a score orders rightly; 0.5 is chance."},
    {"ROC", "share of", "curve of records kept against records wrongly let through."},
    {"careless ... verbose", ">careless",
     "who answers wrongly in the built-in corpus, each in a manner of its own."},
    {"seed, draw", "seed", "one random choice of order, or of pool and holdout."},
    {NULL, NULL, NULL}};

static void put_terms(Buf *b, const Buf *body) {
    int count = 0;
    for (const Term *t = TERMS; t->word; t++) {
        if (!body->s || !strstr(body->s, t->found ? t->found : t->word)) continue;
        buf_puts(b, count++ ? "<div><dt>" : "<dl class=\"terms\"><div><dt>");
        html_text(b, str(t->word));
        buf_puts(b, "</dt><dd>");
        html_text(b, str(t->meaning));
        buf_puts(b, "</dd></div>\n");
    }
    if (count) buf_puts(b, "</dl>\n");
}

void put_intro(Page *p, Report *r, const Numbers *n) {
    Buf *b = &p->head;
    tell_subject(b, r, n);
    tell_context(b, n);
    tell_scores(b, r);
    tell_result(b, n);
    tell_care(b, n);
    buf_puts(b, "</p>\n");
    put_terms(b, &p->body);
}
