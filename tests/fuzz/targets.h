/* targets: what is fuzzed. Each target hands any bytes to one reader, in this process, and ends the
 * program with abort() if what it read contradicts itself. tests/fuzz/fuzz.sh runs them under
 * libFuzzer, tests/fuzz/kept.c runs the inputs that are kept in tests/fuzz/corpus.
 *
 * Some readers read several files. Their input has one part for each, with the byte 0x1E in
 * between; the last part may hold that byte itself. */
#ifndef TARGETS_H
#define TARGETS_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0, as libFuzzer wants. */
typedef int FuzzTarget(const uint8_t *bytes, size_t n);

FuzzTarget fuzz_adapter, fuzz_codec, fuzz_examples, fuzz_generation, fuzz_json, fuzz_lines,
    fuzz_llama2c, fuzz_model, fuzz_options, fuzz_options_file, fuzz_partial, fuzz_pattern,
    fuzz_records, fuzz_report, fuzz_run, fuzz_scores, fuzz_select, fuzz_shards, fuzz_state,
    fuzz_template, fuzz_tensors, fuzz_tokens, fuzz_unicode, fuzz_words;

#endif
