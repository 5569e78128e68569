/* The empirical half of the audit: what the paper's claims are worth on a model that was really
 * trained. Two bases of the main query: `quick`, whose pretraining sessions have one annotator
 * each, and `control`, whose sessions have none in common, so that nothing can be learned in
 * context. Five draws of pool and holdout; figures are means over draws with their standard
 * deviation.
 *
 * A measurement is a function of a base and a draw that fills in numbers and touches nothing
 * else, so all of them run side by side; what they mean stands in audit_claims.c, where rows and
 * tables are made. Scores are token means, but in E17. */
#include "tests/audit/audit_trained.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/stats.h"

enum { AT_ONCE = 32 /* rows of one backward pass */ };

/* ---- base models and draws ---- */

const char *const FRAME_NAMES[FRAMES] = {"a preamble before the demonstrations",
                                         "a word before each question"};
static const Template FRAME[FRAMES] = {{.bos = "<bos>here are some examples . ",
                                        .prompt_prefix = "<q>",
                                        .answer_prefix = "<a> ",
                                        .example_end = "<e>"},
                                       {.bos = "<bos>",
                                        .prompt_prefix = "<q>question : ",
                                        .answer_prefix = "<a> ",
                                        .example_end = "<e>"}};

static bool read_draw(const ModelFolder *f, const char *out, const char *name, int draw, Splits *x,
                      Error *err) {
    Arena arena = {0};
    SplitFiles files = {
        .pool = text_new(&arena, "%s/%s/corpus/%d/pool-even50.jsonl", out, name, draw + 1),
        .holdout = text_new(&arena, "%s/%s/corpus/%d/holdout.jsonl", out, name, draw + 1)};
    bool ok = splits_read(x, f, &files, err);
    arena_free(&arena);
    return ok;
}

static bool base_read(Base *b, const char *out, Error *err) {
    Arena arena = {0};
    bool ok = model_folder_load(&b->folder, text_new(&arena, "%s/%s/base", out, b->name), err);
    if (ok && !b->folder.tokenizer)
        ok = error_set(err, STATUS_DATA, "%s/%s/base: has no vocabulary", out, b->name);
    for (int d = 0; d < b->draws && ok; d++)
        ok = read_draw(&b->folder, out, b->name, d, &b->draw[d], err);
    for (int f = 0; f < b->frames && ok; f++) {
        IntBuf ids = {0};
        b->frame[f] = b->folder;
        b->frame[f].template = FRAME[f];
        template_start(&FRAME[f], b->folder.tokenizer, (Str){NULL, 0}, &ids);
        b->frame[f].bos = ids.v;
        b->frame[f].bos_n = ids.n;
        for (int d = 0; d < b->draws && ok; d++)
            ok = read_draw(&b->frame[f], out, b->name, d, &b->framed[f][d], err);
    }
    arena_free(&arena);
    return ok;
}

static void base_free(Base *b) {
    for (int d = 0; d < DRAWS; d++) {
        Facts *x = &b->facts[d];
        free(x->clean);
        free(x->careless);
        free(x->verbose);
        free(x->loss);
        free(x->rho);
        free(x->dot);
        scores_free(&x->ica);
        splits_free(&b->draw[d]);
        for (int f = 0; f < FRAMES; f++) splits_free(&b->framed[f][d]);
    }
    for (int f = 0; f < FRAMES; f++) free(b->frame[f].bos);
    model_folder_free(&b->folder);
}

/* 1 clean, 0 corrupted by that annotator (NULL: by any), -1 what does not enter. */
static int *labels_new(const Dataset *d, const char *source) {
    int *label = mem_new((size_t)d->count, sizeof *label);
    for (int i = 0; i < d->count; i++) {
        const Record *r = &d->records[i];
        label[i] = r->clean == 1                                             ? 1
                   : r->clean == 0 && (!source || str_is(r->source, source)) ? 0
                                                                             : -1;
    }
    return label;
}

/* ---- the holdout's loss, and training on it ---- */

/* A holdout without repeats: the mean over all its examples is the weighted sum over the
 * different ones. */
typedef struct {
    Examples examples;
    double *share;
} Holdout;

static bool same_tokens(const int *a, int a_n, const int *b, int b_n) {
    return a_n == b_n && memcmp(a, b, (size_t)a_n * sizeof *a) == 0;
}

/* Token for token, unlike same_example: only then is the loss the same. */
static bool same_row(const Example *a, const Example *b) {
    return same_tokens(a->prompt, a->prompt_n, b->prompt, b->prompt_n) &&
           same_tokens(a->answer, a->answer_n, b->answer, b->answer_n);
}

static Holdout holdout_new(const Examples *all) {
    Holdout h = {.examples = *all, .share = mem_new((size_t)all->count, sizeof *h.share)};
    h.examples.items = mem_new((size_t)all->count, sizeof *h.examples.items);
    h.examples.count = 0;
    for (int i = 0; i < all->count; i++) {
        int at = 0;
        while (at < h.examples.count && !same_row(&h.examples.items[at], &all->items[i])) at++;
        if (at == h.examples.count) h.examples.items[h.examples.count++] = all->items[i];
        h.share[at] += 1.0 / all->count;
    }
    return h;
}

static void holdout_free(Holdout *h) {
    free(h->examples.items);
    free(h->share);
}

/* logp of every example's answer without context, a mean over its tokens. */
static void mean_logps(const Model *m, Workspace *ws, const Examples *data, double *logp) {
    ica_evaluate(m, ws, data, data, NULL, logp, NULL);
    for (int i = 0; i < data->count; i++) logp[i] /= data->items[i].answer_n;
}

/* L: the mean of E10 over the holdout. */
static double holdout_loss(const Model *m, Workspace *ws, const Holdout *h) {
    double *logp = mem_new((size_t)h->examples.count, sizeof *logp), loss = 0;
    mean_logps(m, ws, &h->examples, logp);
    for (int i = 0; i < h->examples.count; i++) loss -= h->share[i] * logp[i];
    free(logp);
    return loss;
}

/* grad = the gradient of sum_i share_i E10_i over `data`. */
static void loss_gradient(const Model *m, Workspace *ws, const Examples *data, const double *share,
                          real *grad) {
    Batch b = {0};
    double dlogp[AT_ONCE], logp[AT_ONCE];
    memset(grad, 0, m->parameters * sizeof *grad);
    for (int from = 0, n; from < data->count; from += n) {
        Examples part = *data;
        part.items += from;
        n = data->count - from < AT_ONCE ? data->count - from : AT_ONCE;
        batch_clear(&b);
        ica_batch(&b, &part, NULL, n, false);
        for (int i = 0; i < n; i++) dlogp[i] = -share[from + i] / part.items[i].answer_n;
        model_forward_backward(m, ws, &b, dlogp, logp, grad, true);
    }
    batch_free(&b);
}

/* m = start - rate x grad. */
static void step_from(Model *m, const real *start, const real *grad, double rate) {
    for (size_t j = 0; j < m->parameters; j++) m->w[j] = start[j] - (real)rate * grad[j];
}

static ScoreOptions ask(Method method, int draw) {
    return (ScoreOptions){
        .method = method, .k = K, .reduce = REDUCE_MEAN, .seed = (uint64_t)draw + 1};
}

static double *score_new(const Base *b, int d, Workspace *ws, Method method) {
    ScoreOptions how = ask(method, d);
    Scores s = {0};
    int n = b->draw[d].pool.examples.count;
    double *score = mem_new((size_t)n, sizeof *score);
    ica_score(b->folder.model, NULL, ws, &b->draw[d].pool.examples, &b->draw[d].holdout.examples,
              &how, &s);
    memcpy(score, s.score, (size_t)n * sizeof *score);
    scores_free(&s);
    return score;
}

/* RHO-Loss as the main job computes it: the program trains the reference, 150 steps of 32 holdout
 * examples. */
static double *rho_new(const Base *b, int d) {
    TrainOptions o = {.loop = {.schedule = SCHEDULE_COSINE,
                               .learning_rate = 5e-4,
                               .warmup_steps = 20,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .max_grad_norm = 1,
                               .seed = (uint64_t)d + 1},
                      .batch_size = AT_ONCE,
                      .reference_steps = 150,
                      .scoring = ask(METHOD_RHO, d)};
    Error err = {0};
    Scores s = {0};
    ScoreNotes notes;
    ScoreShared shared = {0};
    Spent spent = {0};
    double *score = mem_new((size_t)b->draw[d].pool.examples.count, sizeof *score);
    if (train_score(b->folder.model, &b->draw[d], &o, &shared, &s, &notes, &spent, &err))
        memcpy(score, s.score, (size_t)s.count * sizeof *score);
    else score[0] = NAN; /* it diverged: no row is then ok */
    score_shared_free(&shared);
    scores_free(&s);
    return score;
}

static void find_facts(Base *b, int d) {
    Facts *x = &b->facts[d];
    const Splits *data = &b->draw[d];
    Workspace *ws = workspace_new();
    ScoreOptions how = ask(METHOD_ICA, d);
    x->n = data->pool.examples.count;
    x->clean = labels_new(&data->pool.data, NULL);
    x->careless = labels_new(&data->pool.data, "careless");
    x->verbose = labels_new(&data->pool.data, "verbose");
    ica_score(b->folder.model, NULL, ws, &data->pool.examples, &data->holdout.examples, &how,
              &x->ica);
    x->loss = score_new(b, d, ws, METHOD_LOSS);
    x->dot = score_new(b, d, ws, METHOD_GRADIENT);
    x->rho = rho_new(b, d);
    workspace_free(ws);
}

/* ---- small statistics ---- */

/* Mean of the values with this label. */
static double mean_where(const double *v, const int *label, int wanted, int n) {
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (label[i] == wanted) sum += v[i], count++;
    return sum / count;
}

/* Spearman's correlation over all, over the clean and over the corrupted: out[3]. */
static void ranks_of(const double *x, const double *y, const int *clean, int n, double *out) {
    double *px = mem_new((size_t)n, sizeof *px), *py = mem_new((size_t)n, sizeof *py);
    out[0] = rank_correlation(x, y, n);
    for (int c = 1; c >= 0; c--) {
        int m = 0;
        for (int i = 0; i < n; i++)
            if (clean[i] == c) px[m] = x[i], py[m++] = y[i];
        out[2 - c] = rank_correlation(px, py, m);
    }
    free(px);
    free(py);
}

/* The AUROC against all, against careless and against verbose corruption: out[3]. */
static void aurocs_of(const Facts *x, const double *score, double *out) {
    out[0] = auroc(score, x->clean, x->n);
    out[1] = auroc(score, x->careless, x->n);
    out[2] = auroc(score, x->verbose, x->n);
}

/* The factor by which x is nearest to y (least squares, no constant), over those with the label
 * (-1: all); and in *residual what is left: the root of sum (y - factor x)^2 / sum y^2. */
static double factor_of(const double *x, const double *y, const int *label, int wanted, int n,
                        double *residual) {
    double xx = 0, xy = 0, yy = 0;
    for (int i = 0; i < n; i++) {
        if (wanted >= 0 && label[i] != wanted) continue;
        xx += x[i] * x[i];
        xy += x[i] * y[i];
        yy += y[i] * y[i];
    }
    if (residual) *residual = sqrt(fmax(0, 1 - xy * xy / (xx * yy)));
    return xy / xx;
}

/* The slope of y's regression line on x. */
static double slope_of(const double *x, const double *y, int n) {
    double mx = 0, my = 0, xx = 0, xy = 0;
    for (int i = 0; i < n; i++) mx += x[i] / n, my += y[i] / n;
    for (int i = 0; i < n; i++) xx += (x[i] - mx) * (x[i] - mx), xy += (x[i] - mx) * (y[i] - my);
    return xy / xx;
}

/* ---- measurement: the scores, against known truth and against each other ---- */

static void measure_scores(const Base *b, int d, double *out) {
    const Facts *x = &b->facts[d];
    const double *by[SCORERS] = {x->ica.score, x->rho, x->dot, x->loss};
    for (int s = 0; s < SCORERS; s++) aurocs_of(x, by[s], out + SCORES_AUROC + 3 * s);
    ranks_of(x->ica.score, x->dot, x->clean, x->n, out + SCORES_ICA_DOT);
    ranks_of(x->ica.score, x->rho, x->clean, x->n, out + SCORES_ICA_RHO);
    ranks_of(x->rho, x->dot, x->clean, x->n, out + SCORES_RHO_DOT);
    out[SCORES_GAIN_CLEAN] = mean_where(x->ica.score, x->clean, 1, x->n);
    out[SCORES_GAIN_CORRUPTED] = mean_where(x->ica.score, x->clean, 0, x->n);
}

/* ---- measurement: reading the holdout against training on it (E3, E4) ---- */

const Training TRAINING[TRAININGS] = {{1, .01}, {1, .03}, {1, .1},  {1, .3},
                                      {3, .3},  {10, .3}, {30, .3}, {1, 1.0}};

static void step_figures(const Facts *x, const double *gain, double *out) {
    out[STEP_ALL] = factor_of(x->dot, gain, x->clean, -1, x->n, &out[STEP_LEFT]);
    out[STEP_CLEAN] = factor_of(x->dot, gain, x->clean, 1, x->n, NULL);
    out[STEP_CORRUPTED] = factor_of(x->dot, gain, x->clean, 0, x->n, NULL);
}

/* The gain in context, and the inner product, as multiples of the gain by one step of `rate`. The
 * second factor is 1 + <gain, rest> / <gain, gain>, where rest = rate x product - gain. By Cauchy
 * and Schwarz it is off 1 by at most |rest| / |gain|, which is the bound. */
static void one_step_figures(const Facts *x, const double *gain, double rate, double *out) {
    double rest = 0, size = 0;
    for (int i = 0; i < x->n; i++) {
        rest += pow(rate * x->dot[i] - gain[i], 2);
        size += gain[i] * gain[i];
    }
    out[TRAINED_AS_STEP] = factor_of(gain, x->ica.score, x->clean, -1, x->n, NULL);
    out[TRAINED_AS_PRODUCT] = rate * factor_of(gain, x->dot, x->clean, -1, x->n, NULL);
    out[TRAINED_AS_BOUND] = sqrt(rest / size);
}

static void gain_figures(const Facts *x, const double *gain, double *out) {
    out[GAIN_PEARSON] = correlation(x->ica.score, gain, x->n);
    ranks_of(x->ica.score, gain, x->clean, x->n, out + GAIN_RANK);
    out[GAIN_AUROC] = auroc(gain, x->clean, x->n);
    out[GAIN_SLOPE] = slope_of(gain, x->ica.score, x->n);
    out[GAIN_CLEAN] = mean_where(gain, x->clean, 1, x->n);
    out[GAIN_CORRUPTED] = mean_where(gain, x->clean, 0, x->n);
}

/* l(y|x; theta) - l(y|x; theta'), theta' trained on the holdout: what E4 says that conditioning
 * stands for. */
static void measure_training(const Base *b, int d, double *out) {
    const Facts *x = &b->facts[d];
    const Examples *pool = &b->draw[d].pool.examples;
    Workspace *ws = workspace_new();
    Model *m = model_copy(b->folder.model);
    Holdout h = holdout_new(&b->draw[d].holdout.examples);
    size_t P = m->parameters;
    real *first = mem_new(P, sizeof *first), *grad = mem_new(P, sizeof *grad);
    double *gain = mem_new((size_t)x->n, sizeof *gain);
    out[TRAINED_START] = holdout_loss(m, ws, &h);
    loss_gradient(m, ws, &h.examples, h.share, first);
    step_figures(x, x->ica.score, out + TRAINED_STEP_ICA);
    for (int t = 0, done = 0; t < TRAININGS; t++) {
        if (t == 0 || TRAINING[t].rate != TRAINING[t - 1].rate) {
            step_from(m, b->folder.model->w, first, TRAINING[t].rate);
            done = 1;
        }
        for (; done < TRAINING[t].steps; done++) {
            loss_gradient(m, ws, &h.examples, h.share, grad);
            step_from(m, m->w, grad, TRAINING[t].rate);
        }
        mean_logps(m, ws, pool, gain);
        for (int i = 0; i < x->n; i++) gain[i] -= x->loss[i];
        gain_figures(x, gain, out + t * GAIN_FIGURES);
        out[t * GAIN_FIGURES + GAIN_LOSS] = holdout_loss(m, ws, &h);
        if (t == 0) step_figures(x, gain, out + TRAINED_STEP_REAL);
        if (t == 0) one_step_figures(x, gain, TRAINING[t].rate, out);
        if (t == ONE_STEP) step_figures(x, gain, out + TRAINED_STEP_LONG);
    }
    free(gain);
    free(first);
    free(grad);
    holdout_free(&h);
    model_free(m);
    workspace_free(ws);
}

/* ---- measurement: one step on a candidate, and what that does to the holdout's loss (E3, E14)
 * ---- */

/* Everything about the candidates that are stepped on. */
typedef struct {
    const Base *b;
    const Facts *x;
    Workspace *ws;
    Model *m; /* the base, moved */
    Holdout h;
    real *grad, *toward; /* gradients of the candidate and of the holdout */
    Optimizer *adam;
    int n;
    int *index, *clean;
    double *oracle[ORACLES];
} Stepping;

static Stepping stepping_new(const Base *b, int d) {
    Stepping s = {
        .b = b, .x = &b->facts[d], .ws = workspace_new(), .m = model_copy(b->folder.model)};
    size_t P = s.m->parameters;
    s.h = holdout_new(&b->draw[d].holdout.examples);
    s.grad = mem_new(P, sizeof *s.grad);
    s.toward = mem_new(P, sizeof *s.toward);
    s.adam = optimizer_new(s.m, 0.9, 0.999, 0);
    s.index = mem_new((size_t)s.x->n, sizeof *s.index);
    s.clean = mem_new((size_t)s.x->n, sizeof *s.clean);
    for (int o = 0; o < ORACLES; o++) s.oracle[o] = mem_new((size_t)s.x->n, sizeof(double));
    for (int i = 0; i < s.x->n; i += EVERY) {
        s.index[s.n] = i;
        s.clean[s.n++] = s.x->clean[i];
    }
    loss_gradient(s.m, s.ws, &s.h.examples, s.h.share, s.toward);
    return s;
}

static void stepping_free(Stepping *s) {
    for (int o = 0; o < ORACLES; o++) free(s->oracle[o]);
    free(s->index);
    free(s->clean);
    free(s->grad);
    free(s->toward);
    optimizer_free(s->adam);
    holdout_free(&s->h);
    model_free(s->m);
    workspace_free(s->ws);
}

/* The inner product and the sum of its terms' sizes. */
static double product(const real *a, const real *b, size_t n, double *size) {
    double dot = 0;
    *size = 0;
    for (size_t j = 0; j < n; j++) {
        dot += (double)a[j] * (double)b[j];
        *size += fabs((double)a[j] * (double)b[j]);
    }
    return dot;
}

/* Drops of the holdout's loss by one step of each kind on candidate number c. */
static void step_on(Stepping *s, const Examples *pool, int c, double start, double *size) {
    const Model *base = s->b->folder.model;
    Examples one = *pool;
    double whole = 1;
    one.items += s->index[c];
    one.count = 1;
    loss_gradient(base, s->ws, &one, &whole, s->grad);
    s->oracle[ORACLE_DOT][c] = product(s->grad, s->toward, base->parameters, size);
    s->oracle[ORACLE_COSINE][c] =
        s->oracle[ORACLE_DOT][c] / gradient_norm(base, s->grad) / gradient_norm(base, s->toward);
    step_from(s->m, base->w, s->grad, 0.01);
    s->oracle[ORACLE_SGD][c] = start - holdout_loss(s->m, s->ws, &s->h);
    memcpy(s->m->w, base->w, base->parameters * sizeof(real));
    memset(s->adam->m, 0, base->parameters * sizeof(real));
    memset(s->adam->v, 0, base->parameters * sizeof(real));
    s->adam->step = 0;
    optimizer_step(s->adam, s->m, s->grad, 1, 3e-4);
    s->oracle[ORACLE_ADAM][c] = start - holdout_loss(s->m, s->ws, &s->h);
}

/* The slope of a loss along `direction` at the base, by central differences of steps h and 2h,
 * extrapolated to 0; *bound is the difference to the extrapolation from 2h and 4h (15 times the
 * next term), and the rounding of the loss divided by h. */
static double slope_along(Stepping *s, const Holdout *loss_of, const real *direction,
                          double *bound) {
    const Model *base = s->b->folder.model;
    double norm = gradient_norm(base, direction), difference[3], h = 2e-4;
    for (int i = 0; i < 3; i++) {
        double step = h * (1 << i) / norm, down, up;
        step_from(s->m, base->w, direction, step);
        down = holdout_loss(s->m, s->ws, loss_of);
        step_from(s->m, base->w, direction, -step);
        up = holdout_loss(s->m, s->ws, loss_of);
        difference[i] = (up - down) / (2 * step);
    }
    double fine = (4 * difference[0] - difference[1]) / 3,
           coarse = (4 * difference[1] - difference[2]) / 3;
    *bound = fabs(fine - coarse) + 1e-13 * norm / h;
    return fine;
}

/* E14's two directions: the holdout's loss along the candidate's gradient, and the candidate's
 * along the holdout's. */
static void slope_figures(Stepping *s, const Examples *pool, int c, double *out) {
    double whole = 1;
    Holdout one = {.examples = *pool, .share = &whole};
    one.examples.items += s->index[c];
    one.examples.count = 1;
    loss_gradient(s->b->folder.model, s->ws, &one.examples, &whole, s->grad);
    out[0] = slope_along(s, &s->h, s->grad, &out[1]);
    out[2] = slope_along(s, &one, s->toward, &out[3]);
}

static void measure_candidates(const Base *b, int d, double *out) {
    Stepping s = stepping_new(b, d);
    const Examples *pool = &b->draw[d].pool.examples;
    double start = holdout_loss(s.m, s.ws, &s.h), size, worst = -1;
    double *by[3];
    const double *all[3] = {s.x->ica.score, s.x->rho, s.x->loss};
    const int at[3] = {SINGLE_ICA, SINGLE_RHO, SINGLE_LOSS};
    for (int i = 0; i < 3; i++) {
        by[i] = mem_new((size_t)s.n, sizeof(double));
        for (int c = 0; c < s.n; c++) by[i][c] = all[i][s.index[c]];
    }
    for (int c = 0; c < s.n; c++) {
        step_on(&s, pool, c, start, &size);
        double mine = s.x->dot[s.index[c]], theirs = s.oracle[ORACLE_DOT][c],
               error = fabs(mine - theirs) / size;
        if (error > worst) {
            worst = error;
            out[SINGLE_PRODUCT] = mine;
            out[SINGLE_EXPLICIT] = theirs;
            out[SINGLE_BOUND] = 1e-12 * size;
        }
    }
    for (int o = 0; o < ORACLES; o++) {
        out[SINGLE_AUROC + o] = auroc(s.oracle[o], s.clean, s.n);
        for (int i = 0; i < 3; i++) ranks_of(by[i], s.oracle[o], s.clean, s.n, out + at[i] + 3 * o);
    }
    out[SINGLE_FACTOR] =
        factor_of(s.oracle[ORACLE_DOT], s.oracle[ORACLE_SGD], s.clean, -1, s.n, &out[SINGLE_LEFT]);
    int first = 0;
    while (s.clean[first] != 1) first++;
    out[SINGLE_FIRST_DOT] = s.x->dot[s.index[first]];
    slope_figures(&s, pool, first, out + SINGLE_SLOPE);
    for (int i = 0; i < 3; i++) free(by[i]);
    stepping_free(&s);
}

/* ---- measurement: both orders of conditioning (E17) ---- */

static void both_figures(const double *ica, const double *other, const int *clean, int n,
                         double *out) {
    out[BOTH_PEARSON] = correlation(ica, other, n);
    out[BOTH_RANK] = rank_correlation(ica, other, n);
    for (int i = 0; i < n; i++) {
        out[BOTH_GAP] += fabs(ica[i] - other[i]) / n;
        out[BOTH_SIZE] += fabs(ica[i]) / n;
    }
    out[BOTH_AUROC_ICA] = auroc(ica, clean, n);
    out[BOTH_AUROC_OTHER] = auroc(other, clean, n);
}

/* The queries of one candidate z with demonstrations h_1..h_K: z in its whole context and behind
 * h_K alone, then each h_i behind h_<i, with z before them and without; last h_K with z alone
 * before it. Token sums. */
enum { JOBS_Z = 2, JOBS_EACH = JOBS_Z + 2 * K + 1 };

static void exchange_queries(const Example *z, const Demo *h, Demo *with, Query *queries) {
    with[0] = (Demo){z, z};
    memcpy(with + 1, h, K * sizeof *h);
    queries[0] = (Query){.demos = h, .n_demos = K, .x = z};
    queries[1] = (Query){.demos = h + K - 1, .n_demos = 1, .x = z};
    for (int i = 0; i < K; i++) {
        queries[JOBS_Z + 2 * i] = (Query){.demos = with, .n_demos = i + 1, .x = h[i].prompt_of};
        queries[JOBS_Z + 2 * i + 1] = (Query){.demos = h, .n_demos = i, .x = h[i].prompt_of};
    }
    queries[JOBS_EACH - 1] = (Query){.demos = with, .n_demos = 1, .x = h[K - 1].prompt_of};
}

/* Do the candidate and all its demonstrations fit the context, in any order? */
static bool all_fit(const Model *m, const Examples *form, const Example *z, const Demo *h, int n) {
    int length = form->bos_n + z->prompt_n + z->answer_n;
    for (int i = 0; i < n; i++) length += h[i].prompt_of->prompt_n + h[i].answer_of->answer_n;
    return n == K && length - 1 <= m->config.context;
}

/* Both sides of (a), E5 with C = {h} against E16's term for h, and of (b), E5 with C = (h_1..h_K)
 * against the chain of what z does for each h_i. */
typedef struct {
    int n;      /* candidates */
    int *clean; /* [n] */
    double *score[2], *other[2];
} Sides;

static Sides sides_new(int most) {
    Sides s = {.clean = mem_new((size_t)most, sizeof *s.clean)};
    for (int i = 0; i < 2; i++) {
        s.score[i] = mem_new((size_t)most, sizeof(double));
        s.other[i] = mem_new((size_t)most, sizeof(double));
    }
    return s;
}

static void sides_free(Sides *s) {
    free(s->clean);
    for (int i = 0; i < 2; i++) free(s->score[i]), free(s->other[i]);
}

/* own: every demonstration is the candidate itself. Then z and h change places without any change,
 * and each side is the other one, whatever the model. */
static Sides exchange_sides(const Base *b, int d, bool own) {
    const Facts *x = &b->facts[d];
    const Examples *pool = &b->draw[d].pool.examples, *holdout = &b->draw[d].holdout.examples;
    int most = x->n / EVERY + 1, *index = mem_new((size_t)most, sizeof *index);
    Sides s = sides_new(most);
    Workspace *ws = workspace_new();
    Query *queries = mem_new((size_t)most * JOBS_EACH, sizeof *queries);
    Demo *shown = mem_new((size_t)most * K, sizeof *shown),
         *with = mem_new((size_t)most * (K + 1), sizeof *with);
    double *alone = mem_new((size_t)holdout->count, sizeof *alone);
    for (int i = 0; i < x->n; i += EVERY) {
        const Example *z = &pool->items[i];
        Demo *h = shown + (size_t)s.n * K;
        for (int j = 0; j < K; j++)
            h[j] = own ? (Demo){z, z} : x->ica.demos[(size_t)i * K + (size_t)j];
        if (!all_fit(b->folder.model, pool, z, h, own ? K : x->ica.n_demos[i])) continue;
        exchange_queries(z, h, with + (size_t)s.n * (K + 1), queries + (size_t)s.n * JOBS_EACH);
        index[s.n] = i;
        s.clean[s.n++] = x->clean[i];
    }
    ica_logps(b->folder.model, ws, pool, queries, s.n * JOBS_EACH, NULL);
    ica_evaluate(b->folder.model, ws, holdout, holdout, NULL, alone, NULL);
    for (int c = 0; c < s.n; c++) {
        const Query *j = queries + (size_t)c * JOBS_EACH, *last = &j[JOBS_EACH - 1];
        double before = x->ica.alone.chosen[index[c]];
        s.score[0][c] = j[1].logp - before;
        s.other[0][c] = last->logp - (own ? before : alone[last->x - holdout->items]);
        s.score[1][c] = j[0].logp - before;
        for (int i = 0; i < K; i++)
            s.other[1][c] += j[JOBS_Z + 2 * i].logp - j[JOBS_Z + 2 * i + 1].logp;
    }
    free(alone);
    free(index);
    free(shown);
    free(with);
    free(queries);
    workspace_free(ws);
    return s;
}

static void measure_exchange(const Base *b, int d, double *out) {
    Sides s = exchange_sides(b, d, false), own = exchange_sides(b, d, true);
    double same[BOTH_FIGURES];
    for (int i = 0; i < 2; i++) {
        both_figures(s.score[i], s.other[i], s.clean, s.n, out + i * CHAIN);
        memset(same, 0, sizeof same);
        both_figures(own.score[i], own.other[i], own.clean, own.n, same);
        out[EXCHANGE_OWN_GAP + i] = same[BOTH_GAP];
    }
    out[EXCHANGE_COUNT] = s.n;
    sides_free(&s);
    sides_free(&own);
}

/* ---- measurement: the order of the demonstrations ---- */

const int ORDER[ORDERS][K] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

static void order_scores(const Base *b, int d, Workspace *ws, int order, double *score) {
    const Facts *x = &b->facts[d];
    const Examples *pool = &b->draw[d].pool.examples;
    Demo *demos = mem_new((size_t)x->n * K, sizeof *demos);
    Query *queries = mem_new((size_t)x->n, sizeof *queries);
    for (int i = 0; i < x->n; i++) {
        Demo *mine = demos + (size_t)i * K;
        int k = x->ica.n_demos[i];
        for (int j = 0; j < k; j++)
            mine[j] = x->ica.demos[(size_t)i * K + (size_t)(k == K ? ORDER[order][j] : j)];
        queries[i] = (Query){.demos = mine, .n_demos = k, .x = &pool->items[i]};
    }
    ica_logps(b->folder.model, ws, pool, queries, x->n, NULL);
    for (int i = 0; i < x->n; i++)
        score[i] = (queries[i].logp - x->ica.alone.chosen[i]) / pool->items[i].answer_n;
    free(queries);
    free(demos);
}

static void measure_order(const Base *b, int d, double *out) {
    const Facts *x = &b->facts[d];
    Workspace *ws = workspace_new();
    double *score[ORDERS], *mean = mem_new((size_t)x->n, sizeof *mean), sd;
    for (int o = 0; o < ORDERS; o++) {
        score[o] = mem_new((size_t)x->n, sizeof(double));
        order_scores(b, d, ws, o, score[o]);
        aurocs_of(x, score[o], out + ORDER_AUROC + 3 * o);
    }
    for (int i = 0; i < x->n; i++) {
        for (int o = 0; o < ORDERS; o++) mean[i] += score[o][i] / ORDERS;
        for (int o = 0; o < ORDERS; o++) {
            double from_mean = score[o][i] - mean[i];
            out[ORDER_WITHIN] += from_mean * from_mean / (ORDERS - 1) / x->n;
        }
    }
    out[ORDER_WITHIN] = sqrt(out[ORDER_WITHIN]);
    mean_sd(mean, x->n, &sd, &out[ORDER_ACROSS]);
    out[ORDER_RATIO] = out[ORDER_WITHIN] / out[ORDER_ACROSS];
    out[ORDER_REVERSED] = rank_correlation(score[0], score[ORDERS - 1], x->n);
    for (int o = 0; o < ORDERS; o++) free(score[o]);
    free(mean);
    workspace_free(ws);
}

/* ---- measurement: other demonstrations, smaller and noisier holdouts ---- */

const Choosing CHOICE[CHOICES] = {{"nearest", DEMOS_NEAREST},
                                  {"random", DEMOS_RANDOM},
                                  {"one fixed list", DEMOS_FIXED},
                                  {"nearest, answers shuffled", DEMOS_SHUFFLED}};
const int SIZE[SIZES] = {20, 50, 100, 200 /* all */};
const int NOISE[NOISES] = {0, 10, 30, 50}; /* percent */

static void holdout_aurocs(const Base *b, int d, Workspace *ws, const Examples *holdout,
                           DemoChoice choice, double *out) {
    ScoreOptions how = ask(METHOD_ICA, d);
    Scores s = {0};
    how.demos = choice;
    ica_score(b->folder.model, NULL, ws, &b->draw[d].pool.examples, holdout, &how, &s);
    aurocs_of(&b->facts[d], s.score, out);
    scores_free(&s);
}

/* A share of the holdout gets the answer that the most similar question with another answer has:
 * what `careless` would say. */
static void spoil(Examples *holdout, int percent, uint64_t seed) {
    enum { LOOK = 32 };
    HoldoutIndex *r = holdout_index(holdout, NULL);
    Example *spoiled = mem_new((size_t)holdout->count, sizeof *spoiled);
    int *order = mem_new((size_t)holdout->count, sizeof *order), near[LOOK];
    Rng rng = rng_new(seed, 2);
    for (int i = 0; i < holdout->count; i++) order[i] = i;
    rng_shuffle(&rng, order, holdout->count);
    memcpy(spoiled, holdout->items, (size_t)holdout->count * sizeof *spoiled);
    for (int i = 0; i < holdout->count * percent / 100; i++) {
        Example *e = &spoiled[order[i]];
        for (int j = holdout_nearest(r, e, LOOK, false, near) - 1; j >= 0; j--) {
            const Example *other = &holdout->items[near[j]];
            if (same_tokens(e->answer, e->answer_n, other->answer, other->answer_n)) continue;
            e->answer = other->answer;
            e->answer_n = other->answer_n;
            break;
        }
    }
    memcpy(holdout->items, spoiled, (size_t)holdout->count * sizeof *spoiled);
    free(order);
    free(spoiled);
    holdout_index_free(r);
}

static void measure_holdout(const Base *b, int d, double *out) {
    const Examples *whole = &b->draw[d].holdout.examples;
    Workspace *ws = workspace_new();
    Examples other = *whole;
    other.items = mem_new((size_t)whole->count, sizeof *other.items);
    /* the default, in each of the three lists */
    aurocs_of(&b->facts[d], b->facts[d].ica.score, out + HOLDOUT_CHOICE);
    memcpy(out + HOLDOUT_SIZE + 3 * (SIZES - 1), out + HOLDOUT_CHOICE, 3 * sizeof *out);
    memcpy(out + HOLDOUT_NOISE, out + HOLDOUT_CHOICE, 3 * sizeof *out);
    for (int c = 1; c < CHOICES; c++)
        holdout_aurocs(b, d, ws, whole, CHOICE[c].choice, out + HOLDOUT_CHOICE + 3 * c);
    for (int s = 0; s + 1 < SIZES; s++) {
        other.count = SIZE[s] < whole->count ? SIZE[s] : whole->count;
        memcpy(other.items, whole->items, (size_t)other.count * sizeof *other.items);
        holdout_aurocs(b, d, ws, &other, DEMOS_NEAREST, out + HOLDOUT_SIZE + 3 * s);
    }
    for (int s = 1; s < NOISES; s++) {
        other.count = whole->count;
        memcpy(other.items, whole->items, (size_t)other.count * sizeof *other.items);
        spoil(&other, NOISE[s], (uint64_t)d + 1);
        holdout_aurocs(b, d, ws, &other, DEMOS_NEAREST, out + HOLDOUT_NOISE + 3 * s);
    }
    free(other.items);
    workspace_free(ws);
}

/* ---- measurement: what goes wrong in the public code, at the level of scores ---- */

/* A frame for conditioned prompts alone: the score with no demonstration at all, which must be
 * 0, with K demonstrations; and the frame for both passes, which shows that the mixing is at
 * fault and not the frame. */
static void measure_frame(const Base *b, int d, int frame, double *out) {
    const Facts *x = &b->facts[d];
    const Splits *framed = &b->framed[frame][d];
    Workspace *ws = workspace_new();
    ScoreOptions how = ask(METHOD_ICA, d);
    Scores s = {0};
    double *empty = mem_new((size_t)x->n, sizeof *empty),
           *mixed = mem_new((size_t)x->n, sizeof *mixed);
    ica_score(b->folder.model, NULL, ws, &framed->pool.examples, &framed->holdout.examples, &how,
              &s);
    for (int i = 0; i < x->n; i++) {
        empty[i] = s.alone.chosen[i] / framed->pool.examples.items[i].answer_n - x->loss[i];
        mixed[i] = s.in_context.chosen[i] / framed->pool.examples.items[i].answer_n - x->loss[i];
        out[FRAME_SIZE] += fabs(empty[i]) / x->n;
        out[FRAME_SIZE + 1] += fabs(mixed[i]) / x->n;
        out[FRAME_SIZE + 2] += fabs(s.score[i]) / x->n;
    }
    aurocs_of(x, empty, out + FRAME_EMPTY);
    aurocs_of(x, mixed, out + FRAME_MIXED);
    aurocs_of(x, s.score, out + FRAME_ALONE);
    free(empty);
    free(mixed);
    scores_free(&s);
    workspace_free(ws);
}

/* Mean score of the holdout's own examples as candidates, their own answer kept out of their
 * context and not; and the largest score of a candidate without demonstrations. */
static void measure_traps(const Base *b, int d, double *out) {
    const Examples *holdout = &b->draw[d].holdout.examples;
    Workspace *ws = workspace_new();
    Scores s = {0};
    for (int leak = 0; leak < 2; leak++) {
        ScoreOptions how = ask(METHOD_ICA, d);
        how.allow_overlap = leak;
        ica_score(b->folder.model, NULL, ws, holdout, holdout, &how, &s);
        for (int i = 0; i < holdout->count; i++)
            out[LEAK_CLOSED + leak] += s.score[i] / holdout->count;
    }
    ScoreOptions none = ask(METHOD_ICA, d);
    none.k = 0;
    ica_score(b->folder.model, NULL, ws, &b->draw[d].pool.examples, holdout, &none, &s);
    for (int i = 0; i < s.count; i++) out[TRAPS_NONE] = fmax(out[TRAPS_NONE], fabs(s.score[i]));
    scores_free(&s);
    workspace_free(ws);
    for (int f = 0; f < FRAMES; f++) measure_frame(b, d, f, out + TRAPS_FRAME + f * FRAME_FIGURES);
}

/* ---- all measurements ---- */

static void measure_all(Experiment *e) {
    int task[EXPERIMENTS * DRAWS][2], tasks = 0;
    for (int i = 0; i < EXPERIMENTS; i++) {
        e[i].out = mem_new((size_t)(e[i].draws * e[i].figures), sizeof *e[i].out);
        for (int d = 0; d < e[i].draws; d++, tasks++) task[tasks][0] = i, task[tasks][1] = d;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int t = 0; t < tasks; t++) {
        Experiment *mine = &e[task[t][0]];
        mine->measure(mine->base, task[t][1], mine->out + task[t][1] * mine->figures);
    }
}

/* ---- the whole half ---- */

static void measure_and_report(Audit *a, Base *base) {
    const Base *main = &base[0], *control = &base[1];
    Experiment e[EXPERIMENTS] = {
        [SCORES] = {measure_scores, main, DRAWS, SCORES_FIGURES, NULL},
        [SCORES_CONTROL] = {measure_scores, control, COSTLY, SCORES_FIGURES, NULL},
        [TRAINED] = {measure_training, main, COSTLY, TRAINED_FIGURES, NULL},
        [TRAINED_CONTROL] = {measure_training, control, COSTLY, TRAINED_FIGURES, NULL},
        [SINGLE] = {measure_candidates, main, COSTLY, SINGLE_FIGURES, NULL},
        [SINGLE_CONTROL] = {measure_candidates, control, COSTLY, SINGLE_FIGURES, NULL},
        [EXCHANGE] = {measure_exchange, main, COSTLY, EXCHANGE_FIGURES, NULL},
        [EXCHANGE_CONTROL] = {measure_exchange, control, COSTLY, EXCHANGE_FIGURES, NULL},
        [ORDERED] = {measure_order, main, DRAWS, ORDER_FIGURES, NULL},
        [HOLDOUTS] = {measure_holdout, main, DRAWS, HOLDOUT_FIGURES, NULL},
        [TRAPS] = {measure_traps, main, DRAWS, TRAPS_FIGURES, NULL}};
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < DRAWS + COSTLY; i++) find_facts(&base[i >= DRAWS], i % DRAWS);
    measure_all(e);
    audit_claims(a, e);
    for (int i = 0; i < EXPERIMENTS; i++) free(e[i].out);
}

void audit_trained(Audit *a, const char *out_folder) {
    Base base[2] = {{.name = "quick", .draws = DRAWS, .frames = FRAMES},
                    {.name = "control", .draws = COSTLY}};
    Error err = {0};
    if (base_read(&base[0], out_folder, &err) && base_read(&base[1], out_folder, &err))
        measure_and_report(a, base);
    else audit_claims_missing(a, err.text);
    base_free(&base[0]);
    base_free(&base[1]);
}
