/* Tests of program/settings: the table of options is sound, and names become the enums of the
 * tables that the rest of the program uses. */
#include "program/settings.h"

#include <string.h>

#include "lib/json.h"
#include "program/hints.h"
#include "tests/unit/check.h"

/* The commands of main.c. */
static const Command COMMANDS[] = {
    {"corpus", NULL, NULL, ""},    {"tokenizer", NULL, NULL, ""}, {"encode", NULL, NULL, ""},
    {"decode", NULL, NULL, ""},    {"pretrain", NULL, NULL, ""},  {"score", NULL, NULL, ""},
    {"train", NULL, NULL, ""},     {"eval", NULL, NULL, ""},      {"generate", NULL, NULL, ""},
    {"inspect", NULL, "FILE", ""}, {"diff", NULL, "A B", ""},     {"report", NULL, "RUN...", ""},
    {"bench", NULL, NULL, ""},     {"select", NULL, NULL, ""},    {"import", NULL, NULL, ""},
    {"merge", NULL, NULL, ""},     {"chat", NULL, NULL, ""},      {0}};

static void test_table(void) {
    Error err = {0};
    CHECK(options_check(OPTIONS, COMMANDS, &err), "%s", err.text);
}

/* Is there an option of this name, of any command, or of one that trains, scores or talks? */
static bool is_option(Str name, bool any) {
    for (const Option *row = OPTIONS; row->name; row++)
        if (str_is(name, row->name) && (any || strcmp(row->commands, "bench") != 0)) return true;
    return false;
}

/* Calls `check` for each of the table's names, which are words between blanks. */
static void for_each_hint(void (*check)(Str name, const OptionHint *row)) {
    for (const OptionHint *h = HINTS; h->names; h++)
        for (const char *p = h->names; *p; p += strspn(p, " ")) {
            Str name = {p, strcspn(p, " ")};
            check(name, h);
            p += name.n;
        }
}

/* A name is typed so, is no option that would hide it, and has one hint. */
static void check_hint_name(Str name, const OptionHint *row) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    CHECK(strspn(name.s, letters) == name.n, "%.*s is not in small letters", STR_ARG(name));
    CHECK(!is_option(name, false), "--%.*s is an option", STR_ARG(name));
    CHECK(options_hint(HINTS, name) == row->hint, "--%.*s has two hints", STR_ARG(name));
}

/* What a hint tells people to type exists. */
static void check_hint_options(const OptionHint *row) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    for (const char *at = strstr(row->hint, "--"); at; at = strstr(at + 2, "--")) {
        Str name = {at + 2, strspn(at + 2, letters)};
        bool of_program = str_is(name, "version") || str_is(name, "help");
        CHECK(of_program || is_option(name, true), "hint of %s: there is no --%.*s", row->names,
              STR_ARG(name));
    }
}

/* Parses `command --model m --pool p --holdout h --out o` and up to four more arguments. */
typedef struct {
    Settings s;
    Error err;
    Arena arena;
    Buf options;
    bool ok;
} Parsed;

static Parsed parse(const char *command, const char *a, const char *b, const char *c,
                    const char *d) {
    Parsed p = {0};
    const char *all[12] = {"--model", "m", "--pool", "p", "--holdout", "h",
                           "--out",   "o", a,        b,   c,           d};
    int n = 8;
    while (n < 12 && all[n]) n++;
    OptionResult result;
    const Command *found = options_command(COMMANDS, command, &p.err);
    p.ok = found &&
           settings_parse(found, n, (char **)all, &p.s, &result, &p.arena, &p.options, &p.err);
    return p;
}

static void parsed_free(Parsed *p) {
    arena_free(&p->arena);
    buf_free(&p->options);
}

/* What people type who come from TRL, PEFT, LLaMA-Factory, axolotl, unsloth and nanoGPT. */
static const char TYPED[] =
    "output_dir num_train_epoch lr per_device_train_batch_size gradient_accumulation_steps "
    "max_length max_seq_length cutoff_len sequence_len packing dataset_text_field "
    "dataset_name assistant_only_loss completion_only_loss train_on_inputs "
    "neftune_noise_alpha optim bf16 fp16 load_in_4bit gradient_checkpointing "
    "use_liger_kernel deepspeed fsdp devices device_map attn_implementation lora_r r "
    "lora_dropout lora_target_modules lora_target target_modules modules_to_save use_dora "
    "use_rslora finetuning_type n_layer n_head n_embd block_size max_iters grad_clip "
    "loss_type pref_beta simpo_gamma ref_model eval_strategy save_strategy logging_dir "
    "push_to_hub wandb_project chat_template val_set_size max_samples system_prompt "
    "max_tokens do_sample num_beams";

static void test_hints(void) {
    for (const OptionHint *h = HINTS; h->names; h++) check_hint_options(h);
    for_each_hint(check_hint_name);
    for (const char *at = TYPED; *at; at += strspn(at, " ")) {
        Str name = {at, strcspn(at, " ")};
        char option[80];
        snprintf(option, sizeof option, "--%.*s", STR_ARG(name));
        Parsed p = parse("train", option, "1", NULL, NULL);
        const char *hint = options_hint(HINTS, name);
        bool slip = str_is(name, "num_train_epoch");
        CHECK(!p.ok && p.err.status == STATUS_USAGE && (hint != NULL) == !slip, "%s", option);
        const char *wanted = slip ? "the nearest is --num-train-epochs" : hint;
        CHECK(wanted && strstr(p.err.text, wanted), "%s: %s", option, p.err.text);
        parsed_free(&p);
        at += name.n;
    }
}

/* `name` after `option` makes `field`, an int or an enum, this row; run.json keeps the name. */
#define CHECK_ROWS(command, option, field, TABLE, COUNT)                                           \
    for (int i = 0; i < (int)(COUNT); i++) {                                                       \
        Parsed p = parse(command, option, TABLE[i].name, NULL, NULL);                              \
        char kept[64];                                                                             \
        snprintf(kept, sizeof kept, "\"%s\":\"%s\"", (option) + 2, TABLE[i].name);                 \
        CHECK(p.ok && (int)p.s.field == i, "%s %s: %s", option, TABLE[i].name, p.err.text);        \
        CHECK(p.ok &&strstr(p.options.s, kept), "%s %s is not kept", option, TABLE[i].name);       \
        parsed_free(&p);                                                                           \
    }

static void test_rows(void) {
    CHECK_ROWS("score", "--method", method, METHODS, METHOD_COUNT)
    CHECK_ROWS("score", "--objective", objective, OBJECTIVES, OBJECTIVE_COUNT)
    CHECK_ROWS("score", "--demos", demos, DEMO_CHOICES, DEMO_COUNT)
    CHECK_ROWS("score", "--reduce", reduce, REDUCTIONS, REDUCE_COUNT)
    CHECK_ROWS("score", "--anchors", anchors, ANCHOR_CHOICES, ANCHORS_COUNT)
    CHECK_ROWS("score", "--pair-score", pair_score, PAIR_SCORES, PAIR_SCORE_COUNT)
    CHECK_ROWS("train", "--weight-map", weight_map, MAPS, MAP_COUNT)
    CHECK_ROWS("train", "--normalize", normalize, NORMALIZATIONS, NORMALIZATION_COUNT)
    CHECK_ROWS("train", "--lr-scheduler-type", lr_scheduler_type, SCHEDULES, SCHEDULE_COUNT)
}

/* A pool has no batches, so `ica score` lacks the maps of a batch. */
static void test_maps_of_a_pool(void) {
    for (int i = 0; i < MAP_COUNT; i++) {
        Parsed p = parse("score", "--weight-map", MAPS[i].name, NULL, NULL);
        CHECK(p.ok == !MAPS[i].of_batch, "%s", MAPS[i].name);
        CHECK(p.ok || p.err.status == STATUS_USAGE, "%s: status %d", MAPS[i].name, p.err.status);
        parsed_free(&p);
    }
}

static void test_weights(void) {
    static const struct {
        const char *text;
        WeightsFrom from;
    } plain[] = {{"uniform", WEIGHTS_FROM_NOTHING},
                 {"oracle", WEIGHTS_FROM_ORACLE},
                 {"records", WEIGHTS_FROM_RECORDS},
                 {"file:a:b", WEIGHTS_FROM_FILE}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        Parsed p = parse("train", "--weights", plain[i].text, NULL, NULL);
        CHECK(p.ok && p.s.weights_from == plain[i].from, "--weights %s", plain[i].text);
        CHECK(strcmp(settings_arm(&p.s, &p.arena), plain[i].text) == 0, "arm %s", plain[i].text);
        if (p.s.weights_from == WEIGHTS_FROM_FILE)
            CHECK(strcmp(p.s.weights_file, "a:b") == 0, "file %s", p.s.weights_file);
        parsed_free(&p);
    }
    for (int i = 0; i < METHOD_COUNT; i++) {
        Parsed p = parse("train", "--weights", METHODS[i].name, "--weight-map", "rank");
        char arm[64];
        snprintf(arm, sizeof arm, "%s:rank", METHODS[i].name);
        CHECK(p.ok && p.s.weights_from == WEIGHTS_FROM_METHOD && (int)p.s.method == i,
              "--weights %s", METHODS[i].name);
        CHECK(strcmp(settings_arm(&p.s, &p.arena), arm) == 0, "arm %s", arm);
        parsed_free(&p);
    }
    Parsed p = parse("train", "--weights", "icy", NULL, NULL);
    CHECK(!p.ok && p.err.status == STATUS_USAGE && strstr(p.err.text, "icy"), "%s", p.err.text);
    parsed_free(&p);
}

/* Defaults that depend on the objective give way to what the user says. */
static void test_defaults(void) {
    for (int i = 0; i < OBJECTIVE_COUNT; i++) {
        const ObjectiveInfo *o = &OBJECTIVES[i];
        Parsed p = parse("score", "--objective", o->name, NULL, NULL);
        CHECK(p.s.beta == o->beta && p.s.reduce == o->reduce, "%s: defaults", o->name);
        parsed_free(&p);
        p = parse("score", "--objective", o->name, "--beta=7", "--reduce=mean");
        CHECK(p.s.beta == 7 && p.s.reduce == REDUCE_MEAN, "%s: given", o->name);
        parsed_free(&p);
        p = parse("score", "--objective", o->name, "--beta=7", "--reduce=sum");
        CHECK(p.s.reduce == REDUCE_SUM, "%s: given", o->name);
        parsed_free(&p);
    }
}

/* An option that another one leaves without a meaning is refused, and named. */
static void test_together(void) {
    static const struct {
        const char *command, *a, *b, *c, *named; /* named NULL: they go together */
    } cases[] = {
        {"train", "--objective=dpo", "--normalize=tokens", NULL, "--normalize tokens"},
        {"train", "--objective=simpo", "--normalize=tokens", NULL, "--normalize tokens"},
        {"train", "--objective=sft", "--normalize=tokens", NULL, NULL},
        {"train", "--min-lr-ratio=0.1", "--lr-scheduler-type=constant", NULL, "--min-lr-ratio"},
        {"train", "--min-lr-ratio=0.1", "--lr-scheduler-type=constant_with_warmup", NULL,
         "--min-lr-ratio"},
        {"train", "--min-lr-ratio=0.1", "--lr-scheduler-type=linear", NULL, NULL},
        {"score", "--objective=dpo", "--method=gradient", "--reduce=mean", "--reduce mean"},
        {"score", "--objective=dpo", "--pair-score=loss", "--reduce=sum", "--reduce sum"},
        {"score", "--objective=simpo", "--method=loss", "--reduce=mean", "--reduce mean"},
        {"score", "--objective=dpo", "--method=loss", "--reduce=mean", NULL},
        {"score", "--objective=dpo", "--method=gradient", NULL, NULL},
        {"score", "--objective=sft", "--method=gradient", "--reduce=sum", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *named = cases[i].named;
        Parsed p = parse(cases[i].command, cases[i].a, cases[i].b, cases[i].c, NULL);
        CHECK(p.ok == !named, "%s %s: %s", cases[i].a, cases[i].b, p.err.text);
        CHECK(!named || (p.err.status == STATUS_USAGE && strstr(p.err.text, named)), "%s %s: %s",
              cases[i].a, cases[i].b, p.err.text);
        parsed_free(&p);
    }
}

int main(void) {
    test_table();
    test_hints();
    test_rows();
    test_maps_of_a_pool();
    test_weights();
    test_defaults();
    test_together();
    return check_report("settings");
}
