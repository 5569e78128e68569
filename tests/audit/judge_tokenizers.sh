#!/bin/sh
# What `make judge-tokenizers` runs: finds a Python that has the library tokenizers (without one:
# says so and ends well), and lets tests/audit/judge_tokenizers.py compare ids. From the
# environment: PYTHON, the one to use, else python3 and /usr/bin/python3 are tried. STRINGS, how
# many random strings (200,000). TOKENIZERS, more folders with a tokenizer.json. TEXTS, files that
# are encoded whole.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python judge-tokenizers tokenizers 'import tokenizers'
"$python" tests/audit/judge_tokenizers.py build/float/tests/audit/encode_tool "$work"
