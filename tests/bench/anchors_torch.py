"""A GPT-2 training step in PyTorch, for tests/bench/anchors.sh.

anchors_torch.py CONFIG ROWS LENGTH eager|compiled  prints milliseconds, one a line.
"""
import os
import sys
import time

import torch
import torch.nn.functional as F

LAYERS, HEADS, CHANNELS, VOCAB = {"A": (6, 6, 384, 50304), "B": (12, 12, 768, 50257),
                                  "C": (4, 4, 128, 1024)}[sys.argv[1]]
ROWS, LENGTH = int(sys.argv[2]), int(sys.argv[3])


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = torch.nn.LayerNorm(CHANNELS), torch.nn.LayerNorm(CHANNELS)
        self.qkv = torch.nn.Linear(CHANNELS, 3 * CHANNELS)
        self.out = torch.nn.Linear(CHANNELS, CHANNELS)
        self.fc = torch.nn.Linear(CHANNELS, 4 * CHANNELS)
        self.proj = torch.nn.Linear(4 * CHANNELS, CHANNELS)

    def forward(self, x):
        split = [t.view(ROWS, LENGTH, HEADS, CHANNELS // HEADS).transpose(1, 2)
                 for t in self.qkv(self.ln_1(x)).chunk(3, -1)]
        heads = F.scaled_dot_product_attention(*split, is_causal=True)
        x = x + self.out(heads.transpose(1, 2).reshape(ROWS, LENGTH, CHANNELS))
        h = self.fc(self.ln_2(x))
        return x + self.proj(F.gelu(h, approximate="tanh"))


def main():
    threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    now = time.process_time if threads == 1 else time.perf_counter  # as anchors.c
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    wte, wpe = torch.nn.Embedding(VOCAB, CHANNELS), torch.nn.Embedding(LENGTH, CHANNELS)
    blocks, ln_f = torch.nn.ModuleList(Block() for _ in range(LAYERS)), torch.nn.LayerNorm(CHANNELS)
    parameters = [p for part in (wte, wpe, blocks, ln_f) for p in part.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    tokens = torch.randint(VOCAB, (ROWS, LENGTH + 1))

    def loss_of(tokens):
        x = wte(tokens[:, :-1]) + wpe(torch.arange(LENGTH))
        for block in blocks:
            x = block(x)
        logits = ln_f(x) @ wte.weight.T
        return F.cross_entropy(logits.view(-1, VOCAB), tokens[:, 1:].reshape(-1))

    if sys.argv[4] == "compiled":
        loss_of = torch.compile(loss_of)
    for run in range(5):
        start = now()
        loss = loss_of(tokens)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if run:  # the first one warms up
            print(f"{1e3 * (now() - start):.3f}", flush=True)


main()
