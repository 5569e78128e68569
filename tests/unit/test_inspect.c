/* Tests of `ica inspect`: the range of a tensor's numbers. From the environment: ICA, the program
 * to test. */
#define _XOPEN_SOURCE 700
#include "lib/tensors.h"
#include "tests/unit/lab.h"

/* Smallest, largest and root mean square are of the finite numbers, and null if there is none. The
 * file has its tensors in the order of their names. */
static void test_range(Lab *l) {
    double some[4] = {-2, 1, NAN, 5}, below[2] = {-3, -1}, none[2] = {NAN, INFINITY};
    const TensorOut tensors[3] = {
        {.name = "some", .type = TENSOR_F64, .rank = 2, .shape = {2, 2}, .data = some},
        {.name = "below", .type = TENSOR_F64, .rank = 1, .shape = {2}, .data = below},
        {.name = "none", .type = TENSOR_F64, .rank = 1, .shape = {2}, .data = none}};
    static const struct {
        const char *name;
        double min, max, mean_square;
        int not_finite;
    } want[3] = {{"below", -3, -1, 5, 0}, {"none", NAN, NAN, NAN, 2}, {"some", -2, 5, 10, 1}};
    Error err = {0};
    CHECK(tensors_write("t.safetensors", tensors, 3, NULL, 0, &err), "%s", err.text);
    WORKS(l, "inspect t.safetensors --json");
    const Json *list = json_get(json_of(l, "out"), "tensors");
    CHECK(list && list->count == 3, "three tensors");
    for (int i = 0; list && i < list->count && i < 3; i++) {
        const Json *t = &list->items[i], *name = json_get(t, "name");
        double min = number(t, "min"), max = number(t, "max"), rms = number(t, "rms");
        CHECK(name && str_is(name->string, want[i].name), "tensor %d has another name", i);
        CHECK(number(t, "not_finite") == want[i].not_finite, "%s: %g are not finite", want[i].name,
              number(t, "not_finite"));
        if (isnan(want[i].min)) CHECK(isnan(min) && isnan(max) && isnan(rms), "%g, %g", min, max);
        else
            CHECK(min == want[i].min && max == want[i].max &&
                      close_to(rms * rms, want[i].mean_square, 1e-15),
                  "%s: %g to %g, %g", want[i].name, min, max, rms);
    }
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/test_inspect.XXXXXX";
    Lab l = {0};
    if (lab_open(&l, argc > 0 ? argv[0] : "", folder)) {
        test_range(&l);
        lab_close(&l, folder);
    }
    return check_report("test_inspect");
}
