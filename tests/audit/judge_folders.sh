#!/bin/sh
# What `make judge-folders` runs: finds a Python that has transformers and torch (without one: says
# so and ends well), and lets tests/audit/judge_folders.py make folders of every family with the
# real library, train them with the program, and load the result again. From the environment:
# PYTHON, the one to use. Else python3 and /usr/bin/python3 are tried.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python judge-folders transformers 'import torch, transformers'
HF_HUB_OFFLINE=1 "$python" "$root/tests/audit/judge_folders.py" "$ica" "$work"
