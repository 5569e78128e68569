#include "audit.h"
void audit_exact(Audit *a) { (void)a; }
