/* `make audit`: both halves on one page. Usage: audit OUT, where OUT has the base models of the
 * main job and of its control. */
#include "tests/audit/audit.h"

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: audit OUT\n");
        return STATUS_USAGE;
    }
    Error err = {0};
    Audit *a = audit_new(".");
    audit_exact(a);
    audit_trained(a, argv[1]);
    audit_print(a, stdout);
    bool written = audit_write(a, argv[1], &err), failed = audit_failed(a) > 0;
    if (written) fprintf(stderr, "audit: %s/audit.html and audit.json\n", argv[1]);
    audit_free(a);
    return written ? failed : error_print(&err);
}
