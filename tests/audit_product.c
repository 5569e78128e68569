#include "audit_product.h"
void audit_product(Audit *a) { (void)a; }
