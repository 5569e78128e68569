/* Tests of data/scores: what a line of a score file says. tests/system/accept.sh and pools.sh have
 * whole files. */
#include "data/scores.h"

#include <math.h>
#include <string.h>

#include "tests/unit/check.h"

static ScoreLine read(Arena *arena, const char *text) {
    ScoreLine x = {.record = {.tokens = -1}};
    CHECK(scores_line(json_parse(arena, text, strlen(text), NULL), &x), "%s", text);
    return x;
}

static bool is(const ScoreLine *x, const double score, const double alone[2],
               const double in_context[2]) {
    const double got[5] = {x->record.score, x->record.alone[0], x->record.alone[1],
                           x->record.in_context[0], x->record.in_context[1]},
                 want[5] = {score, alone[0], alone[1], in_context[0], in_context[1]};
    for (int i = 0; i < 5; i++)
        if (isnan(want[i]) ? !isnan(got[i]) : got[i] != want[i]) return false;
    return true;
}

/* An answer or a pair, in context or by RHO's references. */
static void test_lines(void) {
    Arena arena = {0};
    const double answer[2] = {-4, NAN}, in[2] = {-3, NAN}, pair[2] = {-4, -5},
                 pair_in[2] = {-2, -6}, none[2] = {NAN, NAN};
    ScoreLine x = read(&arena, "{\"id\":\"1\",\"score\":1,\"logp\":-4,\"logp_in_context\":-3,"
                               "\"tokens\":3}");
    CHECK(is(&x, 1, answer, in) && x.record.tokens == 3 && x.rejected == 0, "an answer");
    x = read(&arena,
             "{\"id\":\"1\",\"score\":1,\"logp\":-4,\"logp_by_reference\":-3,\"tokens\":3}");
    CHECK(is(&x, 1, answer, in), "an answer by a reference");
    x = read(&arena, "{\"score\":4,\"logp_chosen\":-4,\"logp_rejected\":-5,"
                     "\"logp_chosen_in_context\":-2,\"logp_rejected_in_context\":-6,\"tokens\":3,"
                     "\"tokens_rejected\":2}");
    CHECK(is(&x, 4, pair, pair_in) && x.record.tokens == 3 && x.rejected == 2, "a pair");
    x = read(&arena, "{\"score\":4,\"logp_chosen\":-4,\"logp_rejected\":-5,"
                     "\"logp_chosen_by_reference\":-2,\"logp_rejected_by_reference\":-6,"
                     "\"tokens\":3,\"tokens_rejected\":2}");
    CHECK(is(&x, 4, pair, pair_in) && x.rejected == 2, "a pair by references");
    x = read(&arena, "{\"score\":null,\"tokens\":1}");
    CHECK(is(&x, NAN, none, none), "a record that has no score");
    static const char *const others[] = {"{\"tokens\":3}", "{\"score\":1}", "[]",
                                         "{\"score\":1,\"tokens\":0}",
                                         "{\"score\":1,\"tokens\":3e9}"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        CHECK(!scores_line(json_parse(&arena, others[i], strlen(others[i]), NULL), &x), "%s",
              others[i]);
    arena_free(&arena);
}

/* Is a line with that id and hash (or none) of a record "7" with hash 1, by its own id or not? */
static bool is_of(const char *id, const char *hash, bool named) {
    Arena arena = {0};
    char text[100];
    Record r = {.id = str("7"), .named = named, .hash = 1};
    snprintf(text, sizeof text, "{\"id\":\"%s\"%s%s\"}", id, *hash ? ",\"hash\":\"" : ",\"x\":\"",
             hash);
    bool is = scores_line_is_of(json_parse(&arena, text, strlen(text), NULL), &r);
    arena_free(&arena);
    return is;
}

/* By id and hash; by the hash alone where the record has no id of its own. */
static void test_owner(void) {
    const char *same = "0000000000000001", *other = "0000000000000002";
    for (int named = 0; named < 2; named++)
        CHECK(is_of("7", "", named) && is_of("7", same, named) && !is_of("7", other, named) &&
                  !is_of("8", "", named) && !is_of("8", other, named) &&
                  is_of("8", same, named) == !named,
              "a line of a record, named %d", named);
}

int main(void) {
    test_lines();
    test_owner();
    return check_report("test_scores");
}
