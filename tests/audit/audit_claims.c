/* What the measurements of audit_trained.c mean: rows and tables, of means over draws. */
#include "tests/audit/audit_trained.h"

#include <math.h>
#include <string.h>

#include "lib/stats.h"

/* ---- figures: means over draws ---- */

static double mean_of(const Experiment *e, int figure) {
    double sum = 0;
    for (int d = 0; d < e->draws; d++) sum += e->out[d * e->figures + figure];
    return sum / e->draws;
}

static void put(Table *t, const Experiment *e, int figure, int decimals) {
    double v[DRAWS], mean, sd;
    for (int d = 0; d < e->draws; d++) v[d] = e->out[d * e->figures + figure];
    mean_sd(v, e->draws, &mean, &sd);
    table_mean(t, mean, sd, decimals, 1);
}

static void put_many(Table *t, const Experiment *e, int figure, int n) {
    for (int i = 0; i < n; i++) put(t, e, figure + i, 3);
}

/* Heads are separated by bars. */
static Table table_of(const char *title, const char *heads) {
    Table t = {.title = title};
    while (*heads) {
        size_t n = strcspn(heads, "|");
        table_head(&t, str_copy(&t.arena, (Str){heads, n}).s);
        heads += n + (heads[n] == '|');
    }
    return t;
}

static void show(Audit *a, const char *section, Table *t) {
    audit_table(a, section, t);
    table_free(t);
}

/* An exact row. */
static void claim(Audit *a, const Equation *e, const char *compared, double left, double right,
                  double tolerance, const char *reason) {
    Worst w = {0};
    worst_add(&w, left, right, 1);
    audit_worst(a, e, compared, &w, tolerance, reason);
}

static void refuted(Audit *a, const Equation *e, const char *compared, double left, double right,
                    const char *if_true, double error_if_true, double tolerance,
                    const char *reason) {
    Worst w = {0}, holds = {0};
    worst_add(&w, left, right, 1);
    worst_add(&holds, error_if_true, 0, 1);
    audit_refuted(a, e, compared, &w, if_true, &holds, tolerance, reason);
}

/* The smallest (sign -1) or largest (sign 1) of the draws. */
static double extreme_of(const Experiment *e, int figure, int sign) {
    double most = -INFINITY;
    for (int d = 0; d < e->draws; d++) most = fmax(most, sign * e->out[d * e->figures + figure]);
    return sign * most;
}

/* "What reaches 1 there does so here too", refuted without a bar: not even the best draw here comes
 * as near to 1 as the worst draw there. */
static void refuted_by_draws(Audit *a, const Equation *e, const char *compared,
                             const Experiment *here, int figure, const Experiment *there,
                             int figure_there, const char *where) {
    Arena arena = {0};
    refuted(a, e, compared, extreme_of(here, figure, 1), 1,
            text_new(&arena, "%s, the mean of its draws", where), 1 - mean_of(there, figure_there),
            1 - extreme_of(there, figure_there, -1),
            text_new(&arena, "the worst draw of: %s; the left side is the best draw", where));
    arena_free(&arena);
}

/* A measurement: `right` is what it would be if the claim held entirely. */
static void measured(Audit *a, const Equation *e, const char *compared, const Experiment *x,
                     int figure, double right) {
    Arena arena = {0};
    double v[DRAWS], mean, sd;
    for (int d = 0; d < x->draws; d++) v[d] = x->out[d * x->figures + figure];
    mean_sd(v, x->draws, &mean, &sd);
    audit_add(
        a, &(AuditRow){.tag = e->tag,
                       .equation = e->equation,
                       .function = e->function,
                       .compared = compared,
                       .left = mean,
                       .right = right,
                       .error = fabs(mean - right),
                       .tolerance = NAN,
                       .reason = text_new(&arena, "mean of %d draws, deviation %.3f", x->draws, sd),
                       .kind = AUDIT_MEASUREMENT});
    arena_free(&arena);
}

static void note(Audit *a, const char *section, const char *format, ...) PRINTF_LIKE(3, 4);
static void note(Audit *a, const char *section, const char *format, ...) {
    char text[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    audit_note(a, section, text);
}

static const Equation
    E3 = {"E3", "s_ho(z) = l(y|x;D_t) - l(y|x;D_t,D_ho)", "measure_candidates"},
    E4 = {"E4", "l(y|x;theta*(D_t,D_ho)) ~ l(y|x,C(x);theta_t)", "measure_training"},
    E5 = {"E5", "s_ICA = logp(y|C(x),x) - logp(y|x)", "score_ica"},
    E6 = {"E6", "C(x): the k holdout examples of largest cosine, the nearest last", "nearest_to"},
    E14 = {"E14", "s = eta <grad l(z), grad L(D_ho)> + O(eta^2)", "gradient_pass"},
    E15 = {"E15", "RHO-Loss: s = l(y|x;theta_t) - l(y|x;theta_ref)", "score_rho"},
    E17 = {"E17", "logp(y|C,x) - logp(y|x) = sum_i [logp(y_hi|z,h_<i,x_hi) - logp(y_hi|h_<i,x_hi)]",
           "measure_exchange"};

/* ---- clean against corrupted, and the falsification ---- */

static const char DETECTION[] = "Trained models: clean against corrupted, and the control";

static void report_scores(Audit *a, const Experiment *e) {
    static const char *const names[SCORERS] = {"ICA (E5)", "RHO-Loss (E15)", "gradient (E14)",
                                               "low loss"};
    static const char *const pairs[3] = {"ICA and gradient", "ICA and RHO-Loss",
                                         "RHO-Loss and gradient"};
    const Experiment *x = &e[SCORES], *control = &e[SCORES_CONTROL];
    note(a, DETECTION,
         "Two bases of the main query, pretrained on the same facts by the same annotators. In the "
         "sessions of one all answers "
         "are by one annotator; in the control each is by another, so that nothing can be inferred "
         "from the context. Pool "
         "even50, %d draws of pool and holdout (control: %d); mean and standard deviation over "
         "draws.",
         DRAWS, COSTLY);
    Table t = table_of("AUROC of clean against corrupted",
                       "score|all|careless|verbose|control: all|careless|verbose");
    for (int s = 0; s < SCORERS; s++) {
        table_put(&t, "%s", names[s]);
        put_many(&t, x, SCORES_AUROC + 3 * s, 3);
        put_many(&t, control, SCORES_AUROC + 3 * s, 3);
    }
    show(a, DETECTION, &t);
    t = table_of("Rank agreement (Spearman)",
                 "scores|all|clean|corrupted|control: all|clean|corrupted");
    for (int i = 0; i < 3; i++) {
        table_put(&t, "%s", pairs[i]);
        put_many(&t, x, SCORES_ICA_DOT + 3 * i, 3);
        put_many(&t, control, SCORES_ICA_DOT + 3 * i, 3);
    }
    show(a, DETECTION, &t);
    note(a, DETECTION,
         "The control takes learning in context away and nothing else: what trains on the holdout "
         "must still tell clean from "
         "corrupted there, and ICA must not (ICA %.3f, RHO-Loss %.3f, the gradient %.3f, one step "
         "of Adam on the candidate "
         "%.3f). So what ICA reads is what the model learned to infer from its context, not a "
         "property of gradients.",
         mean_of(control, SCORES_AUROC + 3 * BY_ICA), mean_of(control, SCORES_AUROC + 3 * BY_RHO),
         mean_of(control, SCORES_AUROC + 3 * BY_DOT),
         mean_of(&e[SINGLE_CONTROL], SINGLE_AUROC + ORACLE_ADAM));
}

static void claim_scores(Audit *a, const Experiment *e) {
    const Experiment *x = &e[SCORES], *control = &e[SCORES_CONTROL];
    measured(a, &E5, "trained base: AUROC of clean against corrupted; 1: all found", x,
             SCORES_AUROC, 1);
    measured(a, &E5, "trained base: the same against careless, a right-looking wrong answer", x,
             SCORES_AUROC + 1, 1);
    measured(a, &E5, "control, nothing to infer from the context: AUROC; chance is 0.5", control,
             SCORES_AUROC, 0.5);
    measured(a, &E5, "control: the same against careless", control, SCORES_AUROC + 1, 0.5);
    measured(a, &E15, "control: AUROC of RHO-Loss, which trains on the holdout", control,
             SCORES_AUROC + 3 * BY_RHO, 1);
    measured(a, &E15, "trained base: Spearman of ICA and RHO-Loss", x, SCORES_ICA_RHO, 1);
    measured(a, &E14, "control: AUROC of the inner product", control, SCORES_AUROC + 3 * BY_DOT, 1);
    measured(a, &E14, "control: AUROC of the holdout's drop after one step of Adam",
             &e[SINGLE_CONTROL], SINGLE_AUROC + ORACLE_ADAM, 1);
    measured(a, &E14, "trained base: Spearman of ICA and the inner product", x, SCORES_ICA_DOT, 1);
    refuted_by_draws(
        a, &E14,
        "\"it follows from gradients\": the same on the control, where gradients are as telling",
        control, SCORES_ICA_DOT, x, SCORES_ICA_DOT, "the trained base");
}

/* ---- reading against training ---- */

static const char READING[] = "Trained models: reading the holdout against training on it (E3, E4)";

static void table_of_training(Audit *a, const Experiment *e, const Experiment *scores,
                              const char *title) {
    Table t = table_of(title, "steps x rate|Pearson|Spearman|clean|corrupted|AUROC|slope|holdout "
                              "loss|gain clean|gain corrupted");
    table_put(&t, "in context");
    for (int i = 0; i < 4; i++) table_put(&t, "-");
    put(&t, scores, SCORES_AUROC, 3);
    table_put(&t, "-");
    put(&t, e, TRAINED_START, 3);
    put_many(&t, scores, SCORES_GAIN_CLEAN, 2);
    for (int i = 0; i < TRAININGS; i++) {
        table_put(&t, "%d x %g", TRAINING[i].steps, TRAINING[i].rate);
        put_many(&t, e, i * GAIN_FIGURES, GAIN_FIGURES);
    }
    show(a, READING, &t);
}

static void report_training(Audit *a, const Experiment *e) {
    const Experiment *x = &e[TRAINED];
    note(
        a, READING,
        "The gain in context (E5, three nearest demonstrations) against the gain by really "
        "training on the holdout: plain "
        "SGD, the whole holdout in each step, the same trained model for all 800 candidates. "
        "Pearson and Spearman of the two "
        "gains, Spearman among the clean and among the corrupted; the AUROC of the gain by "
        "training; the slope of the gain in "
        "context over it; the holdout's loss after training; mean gains in nats a token. %d draws.",
        COSTLY);
    table_of_training(a, x, &e[SCORES],
                      "Gain in context against the gain by training on the holdout");
    table_of_training(a, &e[TRAINED_CONTROL], &e[SCORES_CONTROL], "The same on the control");
    note(a, READING,
         "The slope is %.0f after one step of .01 and %.2f after 30 steps of .3; where it is 1, "
         "both gains are of one size. So "
         "three demonstrations stand for as much training as that, not for one small step.",
         mean_of(x, GAIN_SLOPE), mean_of(x, LONGEST * GAIN_FIGURES + GAIN_SLOPE));
}

static void claim_training(Audit *a, const Experiment *e) {
    const Experiment *x = &e[TRAINED], *control = &e[TRAINED_CONTROL];
    int one = ONE_STEP * GAIN_FIGURES, ten = TEN_STEPS * GAIN_FIGURES,
        longest = LONGEST * GAIN_FIGURES;
    measured(a, &E4, "trained base: Spearman of the gains in context and by 1 step of .1", x,
             one + GAIN_RANK, 1);
    measured(a, &E4, "trained base: the same, 10 steps of .3", x, ten + GAIN_RANK, 1);
    measured(a, &E4, "trained base: Pearson, 30 steps of .3", x, longest + GAIN_PEARSON, 1);
    measured(a, &E4, "trained base: slope of the gain in context over that by 30 steps", x,
             longest + GAIN_SLOPE, 1);
    refuted(a, &E4,
            "\"as one small step\": the gain in context as a multiple of that by 1 step of .01",
            mean_of(x, TRAINED_AS_STEP), 1, ".01 times the inner product in place of the context",
            fabs(mean_of(x, TRAINED_AS_PRODUCT) - 1), mean_of(x, TRAINED_AS_BOUND),
            "the size of what the inner product leaves of the step's gain, by Cauchy and Schwarz");
    measured(a, &E4, "control: Spearman with 1 step of .1; 0: no relation", control,
             one + GAIN_RANK, 0);
    refuted_by_draws(a, &E4, "\"for any network\": the same on the control", control,
                     one + GAIN_RANK, x, one + GAIN_RANK, "the trained base");
}

/* ---- one step on a candidate ---- */

static const char STEPPED[] = "Trained models: one step on a candidate (E3, E14)";

static void table_of_steps(Audit *a, const Experiment *e, const char *title) {
    static const char *const oracles[ORACLES] = {"inner product", "its cosine",
                                                 "drop after a step of .01",
                                                 "drop after Adam's step of 3e-4"};
    static const char *const scores[3] = {"ICA", "RHO-Loss", "low loss"};
    static const int at[3] = {SINGLE_ICA, SINGLE_RHO, SINGLE_LOSS};
    Table t = table_of(title, "score and oracle|all|clean|corrupted|AUROC of the oracle");
    for (int o = 0; o < ORACLES; o++)
        for (int i = 0; i < 3; i++) {
            table_put(&t, "%s, %s", scores[i], oracles[o]);
            put_many(&t, e, at[i] + 3 * o, 3);
            put(&t, e, SINGLE_AUROC + o, 3);
        }
    show(a, STEPPED, &t);
}

static void report_steps(Audit *a, const Experiment *e) {
    note(a, STEPPED,
         "%d candidates a draw, %d draws. The model takes one step on the candidate alone, plain "
         "(.01) or Adam's first (3e-4), "
         "and the drop of the holdout's mean loss is measured; beside it E14's inner product of "
         "the two gradients, and its "
         "cosine. Spearman's correlation with scores, among all, the clean and the corrupted.",
         e[SINGLE].base->facts[0].n / EVERY, COSTLY);
    table_of_steps(a, &e[SINGLE], "Spearman with what a step on the candidate does");
    table_of_steps(a, &e[SINGLE_CONTROL], "The same on the control");
    Table t = table_of("A gain as a constant times the inner product",
                       "gain|constant|among the clean|among the corrupted|left over");
    for (int i = 0; i < 2; i++) {
        table_put(&t, i ? "by a real step of .01 on the holdout" : "in context (E5)");
        for (int f = 0; f < STEP_FIGURES; f++)
            put(&t, &e[TRAINED], (i ? TRAINED_STEP_REAL : TRAINED_STEP_ICA) + f, 4);
    }
    buf_puts(&t.remarks, "Left over: root of sum (gain - constant x product)^2 / sum gain^2.\n");
    show(a, STEPPED, &t);
    note(a, STEPPED,
         "Exact is the identity: one small step on either side changes the other side's loss by "
         "eta times the inner product. "
         "Refuted is that conditioning acts as such a step. It ranks as the product does, but no "
         "one eta fits: the gain of a "
         "clean example cannot exceed its own loss, that of a corrupted one has no floor. By the "
         "cosine and by Adam's step, "
         "which take the gradient's size away, the agreement is between the two classes and weak "
         "within them.");
}

static void claim_identity(Audit *a, const Experiment *x) {
    double worst = -1;
    const double *at = x->out;
    for (int d = 0; d < x->draws; d++) {
        const double *v = x->out + d * x->figures;
        double error = fabs(v[SINGLE_PRODUCT] - v[SINGLE_EXPLICIT]) / v[SINGLE_BOUND];
        if (error > worst) worst = error, at = v;
    }
    claim(a, &E14,
          "trained base: the program's product against the two whole gradients, multiplied out",
          at[SINGLE_PRODUCT], at[SINGLE_EXPLICIT], at[SINGLE_BOUND],
          "1e-12 of the sum of the terms' sizes: thousands of roundings in each gradient");
    claim(a, &E14, "trained base: slope of the holdout's loss along a candidate's gradient",
          x->out[SINGLE_SLOPE], x->out[SINGLE_FIRST_DOT], x->out[SINGLE_SLOPE + 1],
          "difference of extrapolations from h, 2h and from 2h, 4h (15 times the next term); "
          "rounding of the loss / h");
    claim(a, &E14, "trained base: slope of the candidate's loss along the holdout's gradient",
          x->out[SINGLE_SLOPE + 2], x->out[SINGLE_FIRST_DOT], x->out[SINGLE_SLOPE + 3],
          "difference of extrapolations from h, 2h and from 2h, 4h (15 times the next term); "
          "rounding of the loss / h");
}

/* How far the constants among the clean and among the corrupted are from one. */
static double apart(const Experiment *t, int figures) {
    return fabs(mean_of(t, figures + STEP_CORRUPTED) / mean_of(t, figures + STEP_CLEAN) - 1);
}

static void claim_steps(Audit *a, const Experiment *e) {
    const Experiment *x = &e[SINGLE], *t = &e[TRAINED];
    int adam = SINGLE_ICA + 3 * ORACLE_ADAM, cosine = SINGLE_ICA + 3 * ORACLE_COSINE;
    static const char long_step[] = "what a real step of .1 leaves, ten times as long";
    static const char real_step[] = "the gain by a real step of .01 on the holdout";
    measured(a, &E3,
             "trained base: Spearman of ICA and the holdout's drop after a step of .01 on z", x,
             SINGLE_ICA + 3 * ORACLE_SGD, 1);
    measured(a, &E3, "trained base: the same after Adam's step of 3e-4", x, adam, 1);
    refuted_by_draws(a, &E3, "\"ranks within a class\": the same among the clean alone", x,
                     adam + 1, x, adam, "clean and corrupted together");
    claim_identity(a, x);
    measured(a, &E14,
             "trained base: what a constant times the product leaves of the gain by a step of .01 "
             "on the holdout",
             t, TRAINED_STEP_REAL + STEP_LEFT, 0);
    measured(a, &E14,
             "trained base: the same of the holdout's drop by a step of .01 on a candidate", x,
             SINGLE_LEFT, 0);
    refuted(a, &E14, "\"conditioning acts as one step\": the same of the gain in context",
            mean_of(t, TRAINED_STEP_ICA + STEP_LEFT), 0, real_step,
            mean_of(t, TRAINED_STEP_REAL + STEP_LEFT), mean_of(t, TRAINED_STEP_LONG + STEP_LEFT),
            long_step);
    refuted(a, &E14,
            "\"of one size eta\": the constant among the corrupted, over that among the clean",
            1 + apart(t, TRAINED_STEP_ICA), 1, real_step, apart(t, TRAINED_STEP_REAL),
            apart(t, TRAINED_STEP_LONG), long_step);
    refuted_by_draws(
        a, &E14, "\"or as a step of one length\": Spearman of ICA and the cosine among the clean",
        x, cosine + 1, x, cosine, "clean and corrupted together");
}

/* ---- both orders, and the order of demonstrations ---- */

static const char EXCHANGED[] =
    "Trained models: both orders of conditioning, and the order of demonstrations (E17)";

static void report_exchange(Audit *a, const Experiment *e) {
    note(a, EXCHANGED,
         "For an exchangeable model the gain of z in the context of the holdout's examples equals "
         "what z in their context does "
         "for them. Left side: E5 with the nearest example, or with all %d; right side: E16's term "
         "for that example, or the "
         "chain of E17 (b). Token sums; about %.0f candidates a draw, %d draws. The gap measures "
         "how far the model is from "
         "exchangeable.",
         K, mean_of(&e[EXCHANGE], EXCHANGE_COUNT), COSTLY);
    Table t = table_of("z behind the holdout's examples against these behind z",
                       "base, demonstrations|Pearson|Spearman|mean gap|mean size of E5|AUROC of "
                       "E5|AUROC of the other side");
    for (int i = 0; i < 4; i++) {
        table_put(&t, i % 2 ? "%s, %d in a chain" : "%s, 1", i < 2 ? "sessions" : "control", K);
        put_many(&t, &e[i < 2 ? EXCHANGE : EXCHANGE_CONTROL], i % 2 ? CHAIN : 0, BOTH_FIGURES);
    }
    show(a, EXCHANGED, &t);
    t = table_of("Order of the three demonstrations (3: the nearest): AUROC of ICA",
                 "order|all|careless|verbose");
    for (int o = 0; o < ORDERS; o++) {
        table_put(&t, "%d %d %d", ORDER[o][0] + 1, ORDER[o][1] + 1, ORDER[o][2] + 1);
        put_many(&t, &e[ORDERED], ORDER_AUROC + 3 * o, 3);
    }
    buf_printf(&t.remarks,
               "A candidate's score deviates by %.3f over the six orders (root mean square), mean "
               "scores by %.3f over "
               "candidates; Spearman of nearest last and nearest first %.3f.\n",
               mean_of(&e[ORDERED], ORDER_WITHIN), mean_of(&e[ORDERED], ORDER_ACROSS),
               mean_of(&e[ORDERED], ORDER_REVERSED));
    show(a, EXCHANGED, &t);
}

static void claim_exchange(Audit *a, const Experiment *e) {
    const Experiment *x = &e[EXCHANGE], *o = &e[ORDERED];
    static const char own[] = "the candidate itself as its demonstration";
    static const char rounding[] = "rounding, as on the exact models";
    measured(a, &E17, "trained base: Pearson of both sides, one demonstration", x, BOTH_PEARSON, 1);
    measured(a, &E17, "trained base: Pearson of both sides, a chain of three", x,
             CHAIN + BOTH_PEARSON, 1);
    refuted(a, &E17, "\"the trained model is exchangeable\": mean gap, one demonstration, nats",
            mean_of(x, BOTH_GAP), 0, own, mean_of(x, EXCHANGE_OWN_GAP), 1e-9, rounding);
    refuted(a, &E17, "\"the trained model is exchangeable\": mean gap, a chain of three, nats",
            mean_of(x, CHAIN + BOTH_GAP), 0, own, mean_of(x, EXCHANGE_OWN_CHAIN), 1e-9, rounding);
    measured(a, &E6, "trained base: Spearman of ICA with the nearest demonstration last and first",
             o, ORDER_REVERSED, 1);
    measured(a, &E6, "trained base: deviation over the six orders / over candidates", o,
             ORDER_RATIO, 0);
}

/* ---- other demonstrations and holdouts ---- */

static const char HELD[] = "Trained models: other demonstrations, small and noisy holdouts";

static void report_holdouts(Audit *a, const Experiment *e) {
    Table t = table_of("AUROC of ICA", "holdout|all|careless|verbose");
    for (int i = 0; i < CHOICES + SIZES + NOISES; i++) {
        if (i < CHOICES) table_put(&t, "demonstrations: %s", CHOICE[i].name);
        else if (i < CHOICES + SIZES) table_put(&t, "%d examples", SIZE[i - CHOICES]);
        else table_put(&t, "%d %% of its answers wrong", NOISE[i - CHOICES - SIZES]);
        put_many(&t, &e[HOLDOUTS], HOLDOUT_CHOICE + 3 * i, 3);
    }
    show(a, HELD, &t);
    note(a, HELD,
         "Three demonstrations, %d draws; a smaller holdout is the first examples of the whole "
         "one. A wrong answer is that of "
         "the most similar other question: right-looking, what careless gives. Shuffled answers "
         "are the control of the "
         "demonstrations: the same questions, and the score turns round.",
         DRAWS);
}

static void claim_holdouts(Audit *a, const Experiment *e) {
    const Experiment *x = &e[HOLDOUTS];
    measured(a, &E5, "trained base: AUROC with random demonstrations", x, HOLDOUT_CHOICE + 3, 1);
    measured(a, &E5, "trained base: AUROC with a holdout of 20", x, HOLDOUT_SIZE, 1);
    measured(a, &E5, "trained base: AUROC with 10 % of the holdout's answers wrong", x,
             HOLDOUT_NOISE + 3, 1);
    measured(a, &E5,
             "trained base: AUROC against careless, demonstrations with the answers of others; 0: "
             "turned round",
             x, HOLDOUT_CHOICE + 3 * 3 + 1, 0);
}

/* ---- the public code's traps ---- */

static const char TRAPPED[] = "Trained models: the public code's traps, at the level of scores";

static void report_traps(Audit *a, const Experiment *e) {
    static const char *const what[3] = {"none", "three", "three, both passes in it"};
    Table t = table_of("Conditioned prompts in another template than unconditioned ones: AUROC",
                       "template, demonstrations|all|careless|verbose|mean absolute score");
    for (int f = 0; f < FRAMES; f++)
        for (int i = 0; i < 3; i++) {
            table_put(&t, "%s; %s", FRAME_NAMES[f], what[i]);
            put_many(&t, &e[TRAPS], TRAPS_FRAME + f * FRAME_FIGURES + 3 * i, 3);
            put(&t, &e[TRAPS], TRAPS_FRAME + f * FRAME_FIGURES + FRAME_SIZE + i, 3);
        }
    show(a, TRAPPED, &t);
    t = table_of("The holdout's own examples as candidates", "own answer|mean score");
    for (int leak = 0; leak < 2; leak++) {
        table_put(&t, leak ? "may stand in the context (--allow-overlap)" : "kept out");
        put(&t, &e[TRAPS], LEAK_CLOSED + leak, 3);
    }
    show(a, TRAPPED, &t);
    note(a, TRAPPED,
         "With one template the score without demonstrations is exactly 0; with two it is a score "
         "of the template, to which "
         "whatever the demonstrations say is added. A clean example's gain cannot exceed its own "
         "loss, so seeing its own answer "
         "adds little to it (%.3f in place of %.3f): what a leak gives a run is mostly the holdout "
         "as training data. Whole runs, "
         "one command each: tests/bench/traps.sh weights (weights that cancel, E9), "
         "tests/bench/traps.sh leak, tests/bench/traps.sh template; all "
         "three: make traps.",
         mean_of(&e[TRAPS], LEAK_OPEN), mean_of(&e[TRAPS], LEAK_CLOSED));
}

static void claim_traps(Audit *a, const Experiment *e) {
    const Experiment *x = &e[TRAPS];
    double none = 0;
    for (int d = 0; d < x->draws; d++) none = fmax(none, x->out[d * x->figures + TRAPS_NONE]);
    claim(a, &E5, "trained base: largest score without demonstrations, one template", none, 0, 0,
          "the same bits");
    refuted(
        a, &E5,
        "\"any template will do\": mean size of the score without demonstrations, a preamble in "
        "the conditioned prompt",
        mean_of(x, TRAPS_FRAME + FRAME_SIZE), 0, "one template", none, 0, "the same bits");
    refuted_by_draws(
        a, &E5,
        "\"any template will do\": AUROC against careless with three demonstrations and that "
        "preamble",
        x, TRAPS_FRAME + FRAME_MIXED + 1, x, TRAPS_FRAME + FRAME_ALONE + 1,
        "both passes with the preamble");
}

/* ---- all claims ---- */

void audit_claims(Audit *a, const Experiment *e) {
    report_scores(a, e);
    report_training(a, e);
    report_steps(a, e);
    report_exchange(a, e);
    report_holdouts(a, e);
    report_traps(a, e);
    claim_scores(a, e);
    claim_training(a, e);
    claim_steps(a, e);
    claim_exchange(a, e);
    claim_holdouts(a, e);
    claim_traps(a, e);
}

void audit_claims_missing(Audit *a, const char *why) {
    claim(a, &E4, "the base models of the main query and of its control", NAN, NAN, 0, why);
}
