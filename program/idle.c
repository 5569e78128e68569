#include "program/idle.h"

#include <string.h>

static bool is(const Settings *s, const char *command) { return strcmp(s->command, command) == 0; }

/* ---- what the command does ---- */

/* The method that makes scores, or NULL. */
static const MethodInfo *method_of(const Settings *s) {
    bool scores = is(s, "score") || s->weights_from == WEIGHTS_FROM_METHOD;
    return scores ? &METHODS[s->method] : NULL;
}

/* Does the map make weights? */
static bool maps(const Settings *s, WeightMap map) {
    return (is(s, "select") || method_of(s) || s->weights_from == WEIGHTS_FROM_FILE) &&
           s->weight_map == map;
}

static bool compares(const Settings *s) { return maps(s, MAP_ACCEPT) || maps(s, MAP_MIRROR); }

static bool has_pairs(const Settings *s) { return OBJECTIVES[s->objective].pairs; }

/* ---- what reads an option ---- */

static bool scores_ica_pairs(const Settings *s) {
    return method_of(s) && s->method == METHOD_ICA && has_pairs(s);
}

/* A score of pairs that is made of their loss. */
static bool scores_by_loss(const Settings *s) {
    return method_of(s) && (s->method == METHOD_GRADIENT ||
                            (s->method == METHOD_ICA && s->pair_score == PAIR_LOSS) ||
                            (s->method == METHOD_LOSS && s->objective == OBJECTIVE_SIMPO));
}

static bool has_pair_loss(const Settings *s) {
    return has_pairs(s) && (!is(s, "score") || scores_by_loss(s));
}

static bool has_simpo_loss(const Settings *s) {
    return has_pair_loss(s) && s->objective == OBJECTIVE_SIMPO;
}

static bool is_dpo(const Settings *s) { return OBJECTIVES[s->objective].needs_reference; }

static bool shows(const Settings *s) { return method_of(s) && method_of(s)->needs_k; }
static bool asks(const Settings *s) { return method_of(s) && method_of(s)->needs_anchors; }
static bool asks_random(const Settings *s) { return asks(s) && s->anchors == ANCHORS_RANDOM; }
static bool counts_k(const Settings *s) {
    return method_of(s) && method_needs_k(s->method, s->anchors);
}
static bool shows_any(const Settings *s) { return shows(s) || asks(s); }
/* Of demonstrations the check of the holdout shows nearest ones too, whatever --demos says. */
static bool compares_prompts(const Settings *s) {
    return shows(s) || (asks(s) && s->anchors == ANCHORS_NEAREST);
}
static bool shows_in_eval(const Settings *s) { return s->k > 0; }
static bool shows_in_pretraining(const Settings *s) { return s->holdout && s->eval; }

static bool reduces(const Settings *s) {
    return method_of(s) && s->method != METHOD_NUGGETS && s->method != METHOD_RANDOM;
}

static bool has_reference(const Settings *s) {
    return method_of(s) && method_of(s)->needs_reference;
}

static bool trusts(const Settings *s) {
    return (method_of(s) && method_of(s)->needs_holdout) || compares(s) || s->drop_overlap;
}

static bool has_weights_to_map(const Settings *s) {
    return method_of(s) || s->weights_from == WEIGHTS_FROM_FILE;
}
static bool has_method(const Settings *s) { return method_of(s); }

static bool is_softmax(const Settings *s) { return maps(s, MAP_SOFTMAX); }
static bool is_top(const Settings *s) { return maps(s, MAP_TOP); }
static bool is_clip(const Settings *s) { return maps(s, MAP_CLIP); }
static bool is_accept(const Settings *s) { return maps(s, MAP_ACCEPT); }
static bool trims(const Settings *s) { return method_of(s) && compares(s); }

static bool has_pool(const Settings *s) { return s->pool; }
static bool makes_rows(const Settings *s) { return s->model; }
static bool warms(const Settings *s) { return SCHEDULES[s->lr_scheduler_type].warms; }
static bool has_ratio(const Settings *s) { return s->warmup_steps < 0; }
static bool has_epochs(const Settings *s) { return s->max_steps <= 0; }
static bool evaluates(const Settings *s) { return s->eval || s->eval_share > 0; }
static bool draws(const Settings *s) { return s->sampling_temperature > 0; }
static bool writes_sessions(const Settings *s) { return s->pretrain; }

/* A row for each option that some values of others leave without a reader. An option may have
 * several, one after the other; the first that fits is told. */
typedef struct {
    const char *name, *commands; /* NULL: all that have it */
    bool (*reads)(const Settings *s);
    const char *who;
} Reader;

static const char WARMS[] = "--lr-scheduler-type constant has no warm-up",
                  RHO[] = "only rho trains, its reference",
                  SHOWN[] = "only ica and incontext show demonstrations to candidates";

static const Reader READERS[] = {
    {"beta", NULL, has_pair_loss, "only losses of pairs have it, and scores made of them"},
    {"label-smoothing", NULL, has_pair_loss,
     "only losses of pairs have it, and scores made of them"},
    {"gamma-beta-ratio", NULL, has_simpo_loss,
     "only --objective simpo has it, and scores made of its loss"},
    {"pair-score", NULL, scores_ica_pairs, "only scores of pairs by ica have it"},
    {"reference", "eval", is_dpo, "only --objective dpo has a reference"},
    {"weight-map", "train", has_weights_to_map,
     "only weights of a method or of a score file are made by a map"},
    {"temperature", "score select train", is_softmax, "only --weight-map softmax has it"},
    {"share", "score train", is_top, "only --weight-map top has it"},
    {"clip", NULL, is_clip, "only --weight-map clip has it"},
    {"accept-level", NULL, is_accept, "only --weight-map accept has it"},
    {"holdout-trim", NULL, trims,
     "only --weight-map accept and mirror have it, where a method scores the holdout"},
    {"k", "score train", counts_k,
     "only ica and incontext have it, and oneshot and nuggets with --anchors nearest"},
    {"k", "pretrain", shows_in_pretraining, "only evaluations with --holdout and --eval have it"},
    {"demos", NULL, shows, SHOWN},
    {"contexts", NULL, shows, SHOWN},
    {"embedding", "score train", compares_prompts,
     "only ica and incontext have it, and oneshot and nuggets with --anchors nearest"},
    {"embedding", "eval", shows_in_eval, "no demonstrations are shown without --k"},
    {"demos-as", "score train", shows_any, "only ica, incontext, oneshot and nuggets show any"},
    {"demos-as", "eval", shows_in_eval, "no demonstrations are shown without --k"},
    {"demos-as", "pretrain", shows_in_pretraining,
     "only evaluations with --holdout and --eval show demonstrations"},
    {"demos-as", "report", makes_rows, "only --model makes rows anew"},
    {"template", "report", makes_rows, "only --model makes rows anew"},
    {"skip-unscored", "report", has_pool, "no --pool is given"},
    {"reduce", NULL, reduces, "only scores of a log-likelihood or a gradient have it"},
    {"anchors", NULL, asks, "only oneshot and nuggets have it"},
    {"num-anchors", NULL, asks_random, "only oneshot and nuggets with --anchors random have it"},
    {"reference-steps", NULL, has_reference, "only rho has it"},
    {"refresh", NULL, has_method, "only a method computes scores in the run"},
    {"holdout", "score train", trusts,
     "no method or map here asks it; it is only kept apart from the other files"},
    {"holdout", "eval", shows_in_eval, "no demonstrations are shown without --k"},
    {"holdout", "pretrain", shows_in_pretraining, "its demonstrations are for --eval"},
    {"normalize", "score", has_reference, RHO},
    {"batch-size", "score", has_reference, RHO},
    {"micro-batch-size", "score", has_reference, RHO},
    {"learning-rate", "score", has_reference, RHO},
    {"lr-scheduler-type", "score", has_reference, RHO},
    {"min-lr-ratio", "score", has_reference, RHO},
    {"warmup-steps", "score", has_reference, RHO},
    {"warmup-steps", NULL, warms, WARMS},
    {"warmup-ratio", "score", has_reference, RHO},
    {"warmup-ratio", NULL, warms, WARMS},
    {"warmup-ratio", NULL, has_ratio, "--warmup-steps says how many they are"},
    {"weight-decay", "score", has_reference, RHO},
    {"adam-beta1", "score", has_reference, RHO},
    {"adam-beta2", "score", has_reference, RHO},
    {"max-grad-norm", "score", has_reference, RHO},
    {"num-train-epochs", NULL, has_epochs, "--max-steps says how long the run is"},
    {"eval-steps", NULL, evaluates, "there is nothing to evaluate on"},
    {"seed", "generate chat", draws, "at temperature 0 nothing is drawn"},
    {"size", NULL, writes_sessions, "--no-pretrain writes no sessions"},
    {"control", NULL, writes_sessions, "--no-pretrain writes no sessions"}};

static bool covers(const Reader *r, const Settings *s) {
    return !r->commands || options_list_has(r->commands, s->command);
}

enum { ROWS = sizeof READERS / sizeof *READERS };

void idle_put(Buf *b, const Settings *s, const OptionResult *result) {
    bool idle[ROWS];
    for (int i = 0; i < ROWS; i++) {
        const Reader *r = &READERS[i];
        bool told = false;
        for (int j = 0; j < i; j++) told |= idle[j] && strcmp(READERS[j].name, r->name) == 0;
        idle[i] = !told && covers(r, s) && options_given(result, r->name) && !r->reads(s);
    }
    for (int i = 0; i < ROWS; i++) {
        const char *who = READERS[i].who;
        int n = 0;
        for (int j = i; j < ROWS && idle[i]; j++) {
            if (!idle[j] || strcmp(READERS[j].who, who) != 0) continue;
            buf_printf(b, "%s--%s", n++ ? ", " : "WARNING: ", READERS[j].name);
            idle[j] = j == i; /* the outer loop asks for this one again */
        }
        if (n > 0) buf_printf(b, " %s no effect here: %s\n", n > 1 ? "have" : "has", who);
    }
}
