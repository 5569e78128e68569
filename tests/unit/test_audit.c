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

static void check_verdict(AuditRow row, int failed, const char *what) {
    Audit *a = audit_new(".");
    audit_add(a, &row);
    CHECK(audit_failed(a) == failed, "%s: %d failed", what, audit_failed(a));
    audit_free(a);
}

static void test_exact(void) {
    AuditRow row = GOOD;
    check_verdict(row, 0, "error = tolerance");
    row.error = nextafter(0.5, 1);
    check_verdict(row, 1, "an exact row beyond its tolerance");
    row.error = NAN;
    check_verdict(row, 1, "NaN");
    row = GOOD;
    row.function = "score_ic";
    check_verdict(row, 1, "a function that is nowhere");
    row.function = "model_forward";
    check_verdict(row, 0, "a function of another file");
    row.function = "memcpy";
    check_verdict(row, 1, "a function that is only called");
    row.function = "note"; /* declared before it is defined */
    check_verdict(row, 0, "a function that is declared above");
}

static void test_refuted(void) {
    AuditRow row = GOOD;
    row.kind = AUDIT_REFUTED;
    row.if_true = "elsewhere";
    row.error_if_true = 0.5;
    check_verdict(row, 1, "a refuted row whose error is the tolerance");
    row.error = nextafter(0.5, 1);
    check_verdict(row, 0, "a refuted row beyond its tolerance");
    row.error_if_true = nextafter(0.5, 1);
    check_verdict(row, 1, "a comparison that refutes what is true, too");
    row.error_if_true = NAN;
    check_verdict(row, 1, "NaN where the claim is true");
    row.error_if_true = 0;
    row.error = NAN;
    check_verdict(row, 1, "a refuted row that compared nothing");
    row.error = 1;
    row.if_true = NULL;
    check_verdict(row, 1, "a refuted row that is nowhere true");
}

static void test_measurement(void) {
    AuditRow row = GOOD;
    row.kind = AUDIT_MEASUREMENT;
    row.tolerance = NAN;
    row.error = 100;
    check_verdict(row, 0, "a measurement");
    row.error = NAN;
    check_verdict(row, 1, "a measurement that is no number");
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
    lost.if_true = "here & there";
    lost.error_if_true = 0.25;
    lost.right = NAN;
    lost.function = "nowhere";
    AuditRow number = GOOD;
    number.kind = AUDIT_MEASUREMENT;
    number.tolerance = NAN;
    audit_add(a, &GOOD);
    audit_add(a, &lost);
    audit_add(a, &number);
    audit_note(a, "More", "one < two");
    audit_note(a, "More", "<b>three</b>");
    Buf json = {0}, html = {0};
    Arena arena = {0};
    audit_json(a, &json);
    audit_html(a, &html);
    const Json *root = json_parse(&arena, json.s, json.n, NULL);
    CHECK(root && root->type == JSON_ARRAY && root->count == 3, "audit.json is no array of three");
    if (root && root->count == 3) {
        const Json *first = &root->items[0], *second = &root->items[1], *third = &root->items[2];
        const Json *where = json_get(first, "where"), *left = json_get(first, "left"),
                   *equation = json_get(first, "equation");
        CHECK(first->count == 11, "%d keys", first->count);
        CHECK(where && where->string.n > 6 && memcmp(where->string.s, "ica.c:", 6) == 0, "where");
        CHECK(left && left->number == 1 && equation && str_is(equation->string, GOOD.equation),
              "left, equation");
        CHECK(json_get(first, "ok")->boolean && !json_get(second, "ok")->boolean, "ok");
        CHECK(str_is(json_get(second, "kind")->string, "refuted") &&
                  json_get(second, "right")->type == JSON_NULL,
              "kind, right");
        CHECK(json_get(first, "error_if_true")->type == JSON_NULL &&
                  json_get(second, "error_if_true")->number == 0.25,
              "error_if_true");
        CHECK(str_is(json_get(third, "kind")->string, "measurement") &&
                  json_get(third, "ok")->type == JSON_NULL &&
                  json_get(third, "tolerance")->type == JSON_NULL,
              "a measurement");
    }
    CHECK(strstr(html.s, "a &lt; b &amp;") && strstr(html.s, "one &lt; two") &&
              strstr(html.s, "0.25, here &amp; there") && strstr(html.s, "<b>three</b>"),
          "the page's texts");
    buf_free(&json);
    buf_free(&html);
    arena_free(&arena);
    audit_free(a);
}

/* Every refuted row turns red when it is fed with the side for which its claim is true. */
static void test_broken_rows(const Audit *a) {
    int refuted = 0;
    for (int i = 0; i < audit_rows(a); i++) {
        AuditRow row = *audit_row(a, i);
        if (row.kind != AUDIT_REFUTED) continue;
        refuted++;
        row.error = row.error_if_true;
        check_verdict(row, 1, row.compared);
    }
    CHECK(refuted == 12, "%d refuted rows", refuted);
}

int main(void) {
    test_exact();
    test_refuted();
    test_measurement();
    test_order();
    test_worst();
    test_files();
    Audit *a = audit_new(".");
    audit_exact(a);
    audit_print(a, stdout);
    check_failed += audit_failed(a);
    check_passed += audit_rows(a) - audit_failed(a);
    test_broken_rows(a);
    audit_free(a);
    return check_report("test_audit");
}
