/* The end of a run. */
#include "program/outcome.h"

#include <stdlib.h>
#include <string.h>

#include "data/run.h"
#include "lib/file.h"
#include "lib/progress.h"
#include "lib/text.h"

bool outcome_first_loss(const char *folder, double *loss, Error *err) {
    enum { MOST = 1 << 16 };
    Buf text = {0};
    Arena arena = {0};
    uint64_t size;
    size_t at = 0;
    Str line;
    char *path = path_join(folder, "log.jsonl");
    bool ok = !file_exists(path) || file_read_start(path, MOST, &text, &size, err);
    *loss = NAN;
    if (ok && text_line((Str){text.s, text.n}, &at, &line))
        *loss = json_number(json_parse(&arena, line.s, line.n, NULL), "loss");
    free(path);
    arena_free(&arena);
    buf_free(&text);
    return ok;
}

/* "loss on the test           2.3400 before, 2.2300 after 20 steps" */
static void put_loss(Buf *b, const char *what, const char *path, const double loss[2],
                     const Outcome *o) {
    Buf name = {0};
    if (isnan(loss[1])) return;
    buf_puts(&name, what);
    if (path) text_show(&name, str(path), "");
    buf_printf(b, "%-26s ", name.s);
    if (!isnan(loss[0])) buf_printf(b, "%.4f before, ", loss[0]);
    buf_printf(b, "%.4f after ", loss[1]);
    bool best = o->best_step > 0 && o->best_step < o->steps;
    put_count(b, best ? o->best_step : o->steps);
    buf_puts(b, (best ? o->best_step : o->steps) == 1 ? " step" : " steps");
    if (best) buf_puts(b, ", the best of ");
    if (best) put_count(b, o->steps);
    buf_putc(b, '\n');
    buf_free(&name);
}

/* A path as it can be typed. */
static void put_path(Buf *b, const char *path) {
    Buf name = {0};
    text_show(&name, str(path), "");
    const char *s = name.s ? name.s : "";
    bool plain = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789/._-+=:,@") == strlen(s);
    if (*s == '-') buf_puts(b, "./"); /* else it is an option */
    if (!plain) buf_putc(b, '\'');
    for (; *s; s++)
        if (*s == '\'') buf_puts(b, "'\\''");
        else buf_putc(b, *s);
    if (!plain) buf_putc(b, '\'');
    buf_free(&name);
}

/* A command that can be typed as it stands. */
static void put_next(Buf *b, const char *verb, const char *out, const char *more) {
    buf_printf(b, "%-26s ica %s ", "next", verb);
    put_path(b, out);
    buf_printf(b, "%s\n", more);
}

/* "next ica COMMAND FILE --pool POOL" */
static void put_next_of_pool(Buf *b, const char *command, const Settings *s, bool skips,
                             const char *more) {
    buf_printf(b, "%-26s ica %s ", "next", command);
    put_path(b, s->out);
    buf_puts(b, " --pool ");
    put_path(b, s->pools.values[0]);
    buf_printf(b, "%s%s\n", skips ? " --skip-unscored" : "", more);
}

void outcome_scores(Buf *b, const Settings *s, const double *score, const double *weight, int count,
                    bool skips) {
    bool one = s->pools.count == 1 && strcmp(s->pools.values[0], "-") != 0;
    int weighted = 0, positive = 0;
    for (int i = 0; weight && i < count; i++) weighted += weight[i] > 0;
    for (int i = 0; i < count; i++) positive += score[i] > 0;
    buf_printf(b, "%-26s ", "scores");
    text_show(b, str(s->out), "");
    buf_puts(b, ": ");
    if (weight) put_count(b, weighted);
    if (weight) buf_puts(b, " of ");
    put_count(b, count);
    buf_puts(b, weight ? " records have a weight\n" : " records, and no weights: a part\n");
    if (!weight || s->shard || !one) return; /* parts must be joined first, and so must pools */
    put_next_of_pool(b, "report", s, skips, "");
    if (weighted == 0 || s->relabel) return; /* nothing to choose, or pairs that are swapped */
    /* Weights of which none is 0, or a single one, choose nothing. */
    bool chooses = MAPS[s->weight_map].of_holdout || weighted < count - 1;
    bool filters = s->method == METHOD_ICA && positive > 0;
    const char *how = chooses ? "" : filters ? " --weight-map filter" : " --share 0.5";
    Buf more = {0};
    buf_printf(&more, "%s --out CHOSEN.jsonl", how);
    put_next_of_pool(b, "select --scores", s, skips, more.s);
    buf_free(&more);
}

void outcome_warn(const Outcome *o) {
    if (o->train[1] > o->train[0] + 1)
        fprintf(
            stderr,
            "WARNING: the training loss rose from %.4f to %.4f: nothing good was learned; lower "
            "--learning-rate\n",
            o->train[0], o->train[1]);
}

void outcome_put(Buf *b, const Settings *s, const Outcome *o) {
    bool train = s->pool != NULL;
    put_loss(b, "loss on ", s->eval, o->test, o);
    put_loss(b, "validation loss", NULL, o->validation, o);
    if (!isnan(o->train[0]) && !isnan(o->train[1])) {
        buf_printf(b, "%-26s %.4f", "training loss", o->train[0]);
        /* Both are means of a line of the log, and a short run has one line. */
        if (o->train[0] != o->train[1]) buf_printf(b, " at first, %.4f at last", o->train[1]);
        buf_putc(b, '\n');
    }
    buf_printf(b, "%-26s ", "model");
    text_show(b, str(s->out), "");
    buf_putc(b, '\n');
    put_next(b, "generate --model", s->out, " --prompt '...'");
    if (train) put_next(b, "report", s->out, "");
    else put_next(b, "train --model", s->out, " --pool POOL.jsonl --out RUN");
}
