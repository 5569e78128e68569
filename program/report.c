/* report: tables, results.json and an HTML page from run folders and saved results. */
#include "program/commands.h"
#include "program/guard.h"
#include "program/report/page.h"

bool command_report(const Settings *s, Error *err) {
    if (!guard_outputs(s, err)) return false;
    ReportInputs in = {.count = s->inputs.count,
                       .paths = s->inputs.values,
                       .pool = s->pool,
                       .holdout = s->holdout,
                       .model = s->model};
    return report_main(&in, s->out, s->results, s->json, err) == STATUS_OK;
}
