#!/bin/sh
# What `make judge-adapters` runs: finds a Python that has peft, transformers and torch (without
# one: says so and ends well), and lets tests/audit/judge_adapters.py exchange adapters between the
# real library and the program. From the environment: PYTHON, the one to use. Else python3 and
# /usr/bin/python3 are tried.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python judge-adapters peft 'import torch, transformers, peft'
HF_HUB_OFFLINE=1 "$python" "$root/tests/audit/judge_adapters.py" "$ica" "$work"
