/* hints: other trainers' names for options, and what is here instead.
 *
 * Usage:
 *   const char *hint = options_hint(HINTS, str("output_dir"));
 *   printf("%s\n", hint ? hint : "no trainer that is known here has this name");
 */
#ifndef HINTS_H
#define HINTS_H

#include "lib/options.h"

/* Names that Hugging Face's trainers, TRL, PEFT, LLaMA-Factory, axolotl, unsloth, nanoGPT and
 * llama.cpp take. Every option that a hint names is one of some command. */
extern const OptionHint HINTS[];

#endif
