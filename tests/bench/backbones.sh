#!/bin/sh
# What `make bench-backbones` runs: training steps and ICA's scores at the sizes that people have,
# beside transformers and peft, in turn on this machine. From the environment: PYTHON, which has
# torch, transformers and peft (without one: says so and ends well); THREADS=2; DTYPES="float32
# bf16", the type of a frozen base in memory; COMPILE=1, beside torch.compile too;
# ONLY="SmolLM2-135M Qwen3-0.6B Llama-3.2-1B". It takes half an hour, 20 GB of memory and 4 GB
# of disk for models of random weights.
cd "$(dirname "$0")/../.." || exit 1
. tests/audit/python.sh
find_python bench-backbones transformers 'import torch, transformers, peft'
# shellcheck disable=SC2086 # words of ONLY
HF_HUB_OFFLINE=1 "$python" "$root/tests/bench/backbones.py" "$ica" "$work" ${ONLY:-}
