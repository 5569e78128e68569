/* One target as libFuzzer calls it: -DTARGET=fuzz_json. */
#include "tests/fuzz/targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) { return TARGET(bytes, n); }
