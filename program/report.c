/* report: tables, results.json and an HTML page from run folders and saved results. */
#include "lib/file.h"
#include "program/commands.h"
#include "program/guard.h"
#include "program/report/csv.h"
#include "program/report/page.h"

/* The logs of the runs as a table. */
static bool write_csv(const Settings *s, Error *err) {
    Buf b = {0};
    bool ok =
        csv_build(s->inputs.count, s->inputs.values, &b, err) && file_write(s->csv, b.s, b.n, err);
    buf_free(&b);
    return ok;
}

bool command_report(const Settings *s, Error *err) {
    if (!guard_outputs(s, err) || (s->csv && !write_csv(s, err))) return false;
    ReportInputs in = {.count = s->inputs.count,
                       .paths = s->inputs.values,
                       .pool = s->pool,
                       .holdout = s->holdout,
                       .skip_unscored = s->skip_unscored,
                       .model = s->model,
                       .text = {s->template, (int)s->demos_as}};
    return report_main(&in, s->out, s->results, s->json, err) == STATUS_OK;
}
