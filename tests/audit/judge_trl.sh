#!/bin/sh
# What `make judge-trl` runs: finds a Python that has TRL, peft, transformers and torch (without
# one: says so and ends well), and lets tests/audit/judge_trl.py train the same models by TRL's
# trainers and by the program. From the environment: PYTHON, the one to use. Else python3 and
# /usr/bin/python3 are tried.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python judge-trl TRL 'import torch, transformers, peft, trl'
HF_HUB_OFFLINE=1 "$python" "$root/tests/audit/judge_trl.py" "$ica" "$work"
