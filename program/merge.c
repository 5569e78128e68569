/* merge: one model of adapters and their base. */
#include "data/model_folder.h"
#include "program/commands.h"
#include "program/guard.h"

bool command_merge(const Settings *s, Error *err) {
    ModelFolder f;
    if (!guard_outputs(s, err) || !model_folder_load(&f, s->model, err)) return false;
    if (!f.base)
        error_set(err, STATUS_DATA, "%s: has no adapters; it is one model already", s->model);
    else {
        size_t adapters = f.model->parameters;
        model_folder_merge(&f);
        if (model_folder_save(&f, s->out, err))
            fprintf(stderr, "%s: a %s of %zu parameters, with %zu of adapters merged into it\n",
                    s->out, family_name(f.model->config.family), f.model->parameters, adapters);
    }
    model_folder_free(&f);
    return err->status == 0;
}
