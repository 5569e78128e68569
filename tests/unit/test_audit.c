/* The frame of the audit, and the exact half of the audit as a test: each of its rows is one
 * check. */
#include "tests/audit/audit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "tests/unit/check.h"

/* ---- the frame: what is ok, what fails, what the files say ---- */

static const AuditRow GOOD = {.tag = "E5",
                              .equation = "a < b & \"c\"",
                              .function = "score_ica",
                              .compared = "this & that",
                              .left = 1,
                              .right = 1.5,
                              .error = 0.5,
                              .tolerance = 0.5,
                              .reason = "none",
                              .kind = AUDIT_EXACT};

static void check_verdict(AuditRow row, int failed, int missed, const char *what) {
    Audit *a = audit_new(".");
    audit_add(a, &row);
    CHECK(audit_failed(a) == failed && audit_missed(a) == missed, "%s: %d failed, %d missed", what,
          audit_failed(a), audit_missed(a));
    audit_free(a);
}

static void test_verdicts(void) {
    AuditRow row = GOOD;
    check_verdict(row, 0, 0, "error = tolerance");
    row.error = nextafter(0.5, 1);
    check_verdict(row, 1, 0, "an exact row beyond its tolerance");
    row.kind = AUDIT_APPROXIMATE;
    check_verdict(row, 0, 1, "an approximate row beyond its tolerance");
    row.kind = AUDIT_REFUTED;
    check_verdict(row, 0, 0, "a refuted row");
    row.kind = AUDIT_EXACT;
    row.error = NAN;
    check_verdict(row, 1, 0, "NaN");
    row = GOOD;
    row.function = "score_ic";
    check_verdict(row, 1, 0, "a function that is nowhere");
    row.function = "model_forward";
    check_verdict(row, 0, 0, "a function of another file");
    row.function = "memcpy";
    check_verdict(row, 1, 0, "a function that is only called");
    row.function = "note"; /* declared before it is defined */
    check_verdict(row, 0, 0, "a function that is declared above");
}

/* Rows stand in the order of their tags, and those of one tag in the order in which they came. */
static void test_order(void) {
    static const char *const tags[] = {"E10", "E7b", "E2", "E7a", "E10", "E2"};
    static const char *const sorted[] = {"E2", "E2", "E7a", "E7b", "E10", "E10"};
    static const double lefts[] = {2, 5, 3, 1, 0, 4};
    Audit *a = audit_new(".");
    Buf json = {0};
    Arena arena = {0};
    for (int i = 0; i < 6; i++) {
        AuditRow row = GOOD;
        row.tag = tags[i];
        row.left = i;
        audit_add(a, &row);
    }
    audit_json(a, &json);
    const Json *root = json_parse(&arena, json.s, json.n, NULL);
    for (int i = 0; i < 6; i++)
        CHECK(root && str_is(json_get(&root->items[i], "tag")->string, sorted[i]) &&
                  json_get(&root->items[i], "left")->number == lefts[i],
              "row %d is not %s", i, sorted[i]);
    buf_free(&json);
    arena_free(&arena);
    audit_free(a);
}

static void test_worst(void) {
    Worst w = {0};
    CHECK(isnan(worst_error(&w)), "nothing compared has an error of %g", worst_error(&w));
    worst_add(&w, 1, 1, 1);
    worst_add(&w, 5, 7, 4);
    worst_add(&w, 2, 2.25, 1);
    CHECK(w.left == 5 && w.right == 7 && worst_error(&w) == 0.5 && w.count == 3, "worst: %g %g %g",
          w.left, w.right, w.error);
    worst_add(&w, NAN, 1, 1);
    worst_add(&w, 0, 100, 1);
    CHECK(isnan(worst_error(&w)), "a NaN was forgotten: %g", worst_error(&w));
    static const double x[] = {1, 2, 4}, y[] = {3, 24, 192};
    CHECK(fabs(order_of(x, y, 3) - 3) < 1e-14, "the order of 3 x^3 is %g", order_of(x, y, 3));
}

static void test_files(void) {
    Audit *a = audit_new(".");
    AuditRow lost = GOOD;
    lost.kind = AUDIT_REFUTED;
    lost.right = NAN;
    lost.function = "nowhere";
    audit_add(a, &GOOD);
    audit_add(a, &lost);
    audit_note(a, "More", "one < two");
    audit_note(a, "More", "<b>three</b>");
    Buf json = {0}, html = {0};
    Arena arena = {0};
    audit_json(a, &json);
    audit_html(a, &html);
    const Json *root = json_parse(&arena, json.s, json.n, NULL);
    CHECK(root && root->type == JSON_ARRAY && root->count == 2, "audit.json is no array of two");
    if (root && root->count == 2) {
        const Json *first = &root->items[0], *second = &root->items[1];
        const Json *where = json_get(first, "where"), *left = json_get(first, "left"),
                   *equation = json_get(first, "equation");
        CHECK(first->count == 10, "%d keys", first->count);
        CHECK(where && where->string.n > 6 && memcmp(where->string.s, "ica.c:", 6) == 0, "where");
        CHECK(left && left->number == 1 && equation && str_is(equation->string, GOOD.equation),
              "left, equation");
        CHECK(json_get(first, "ok")->boolean && !json_get(second, "ok")->boolean, "ok");
        CHECK(str_is(json_get(second, "kind")->string, "refuted") &&
                  json_get(second, "right")->type == JSON_NULL,
              "kind, right");
    }
    CHECK(strstr(html.s, "a &lt; b &amp;") && strstr(html.s, "one &lt; two") &&
              strstr(html.s, "<b>three</b>"),
          "the page's texts");
    buf_free(&json);
    buf_free(&html);
    arena_free(&arena);
    audit_free(a);
}

int main(void) {
    test_verdicts();
    test_order();
    test_worst();
    test_files();
    Audit *a = audit_new(".");
    audit_exact(a);
    audit_print(a, stdout);
    check_failed += audit_failed(a);
    check_passed += audit_rows(a) - audit_failed(a);
    audit_free(a);
    return check_report("test_audit");
}
