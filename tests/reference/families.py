#!/usr/bin/env python3
"""Makes families.safetensors: small random models of every family with logits, loss and gradients.

    python3 tests/reference/families.py tests/reference/families.safetensors

PyTorch in float64: the formulas below are forward only, and autograd makes the gradients. Weights
are float32 numbers. The loss is the sum of weight x -log p(target) over one sequence. Tensors of a
case are named CASE/NAME; CASE/config and CASE/reals hold its ModelConfig, CASE/lora its rank, alpha
and rslora. test_families.c compares the program with this file.
Made with Python 3.11, torch 2.13 (CPU) and safetensors 0.8. The file is part of this project and
has its licence.
"""
import math
import sys

import torch
from safetensors.torch import save_file

torch.set_default_dtype(torch.float64)
GPT2, LLAMA, QWEN2, QWEN3 = range(4)
NONE, LINEAR, LLAMA3 = range(3)


def case(family, layers, heads, channels, vocab, n, **more):
    c = dict(family=family, layers=layers, heads=heads, channels=channels, context=32, vocab=vocab,
             n=n, kv_heads=heads, head_size=channels // heads, inner=4 * channels,
             qkv_bias=False, out_bias=False, mlp_bias=False, untied=False, epsilon=1e-5, theta=0.0,
             kind=NONE, factor=1.0, low=1.0, high=1.0, original=0, lora=None)
    c.update(more)
    return c


CASES = {
    'gpt2-untied': case(GPT2, 2, 2, 6, 11, 9, qkv_bias=True, out_bias=True, mlp_bias=True,
                        untied=True),
    'llama-grouped': case(LLAMA, 2, 6, 12, 13, 11, kv_heads=2, inner=10, theta=100.0),
    'llama-biases': case(LLAMA, 2, 4, 10, 9, 31, kv_heads=2, head_size=10, inner=7, theta=500.0,
                         qkv_bias=True, out_bias=True, mlp_bias=True, untied=True, kind=LLAMA3,
                         factor=8.0, low=1.0, high=4.0, original=32),
    'llama-linear': case(LLAMA, 1, 2, 8, 10, 12, inner=6, theta=1e4, kind=LINEAR, factor=3.0),
    'qwen2': case(QWEN2, 2, 3, 12, 12, 10, kv_heads=1, inner=9, epsilon=1e-6, theta=1e6,
                  qkv_bias=True),
    'qwen3': case(QWEN3, 2, 4, 6, 12, 12, kv_heads=2, head_size=8, inner=8, epsilon=1e-6,
                  theta=1e4, untied=True),
}
LINEARS = {GPT2: ('attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj')}
ALL = tuple('self_attn.%s_proj' % x for x in 'qkvo') + tuple(
    'mlp.%s_proj' % x for x in ('gate', 'up', 'down'))
CASES['gpt2-lora'] = dict(CASES['gpt2-untied'], lora=(2, 3.0, False, ('attn.c_attn', 'mlp.c_proj')))
CASES['llama-lora'] = dict(CASES['llama-grouped'], lora=(2, 4.0, False, ALL))
CASES['qwen3-lora'] = dict(CASES['qwen3'], lora=(3, 5.0, True, (ALL[0], ALL[2])))


def shapes(c):
    C, F, V = c['channels'], c['inner'], c['vocab']
    Q, K = c['heads'] * c['head_size'], c['kv_heads'] * c['head_size']
    if c['family'] == GPT2:
        s = {'wte.weight': (V, C), 'wpe.weight': (c['context'], C)}
        for l in range(c['layers']):
            p = 'h.%d.' % l
            for norm in ('ln_1', 'ln_2'):
                s[p + norm + '.weight'] = s[p + norm + '.bias'] = (C,)
            for name, i, o in (('attn.c_attn', C, 3 * C), ('attn.c_proj', C, C),
                               ('mlp.c_fc', C, F), ('mlp.c_proj', F, C)):
                s[p + name + '.weight'], s[p + name + '.bias'] = (i, o), (o,)
        s['ln_f.weight'] = s['ln_f.bias'] = (C,)
    else:
        s = {'model.embed_tokens.weight': (V, C), 'model.norm.weight': (C,)}
        for l in range(c['layers']):
            p = 'model.layers.%d.' % l
            s[p + 'input_layernorm.weight'] = s[p + 'post_attention_layernorm.weight'] = (C,)
            for name, i, o, bias in (('self_attn.q_proj', C, Q, 'qkv_bias'),
                                     ('self_attn.k_proj', C, K, 'qkv_bias'),
                                     ('self_attn.v_proj', C, K, 'qkv_bias'),
                                     ('self_attn.o_proj', Q, C, 'out_bias'),
                                     ('mlp.gate_proj', C, F, 'mlp_bias'),
                                     ('mlp.up_proj', C, F, 'mlp_bias'),
                                     ('mlp.down_proj', F, C, 'mlp_bias')):
                s[p + name + '.weight'] = (o, i)
                if c[bias]:
                    s[p + name + '.bias'] = (o,)
            if c['family'] == QWEN3:
                for x in 'qk':
                    s[p + 'self_attn.%s_norm.weight' % x] = (c['head_size'],)
    if c['untied']:
        s['lm_head.weight'] = (V, C)
    return s


def frequencies(c):
    D = c['head_size']
    f = c['theta'] ** (-torch.arange(0, D, 2) / D)
    if c['kind'] == LINEAR:
        return f / c['factor']
    if c['kind'] == LLAMA3:
        wave = 2 * math.pi / f
        ramp = (c['original'] / wave - c['low']) / (c['high'] - c['low'])
        mixed = (1 - ramp) * f / c['factor'] + ramp * f
        f = torch.where(wave > c['original'] / c['low'], f / c['factor'],
                        torch.where(wave < c['original'] / c['high'], f, mixed))
    return f


def logits(c, w, ids):
    """w: name to tensor. Adapters are in w under NAME.lora_A.weight and NAME.lora_B.weight."""
    gpt2, n, D = c['family'] == GPT2, len(ids), c['head_size']
    H, K = c['heads'], c['kv_heads']

    def norm(x, name):
        if gpt2:
            x = x - x.mean(-1, keepdim=True)
        y = x / torch.sqrt((x * x).mean(-1, keepdim=True) + c['epsilon']) * w[name + '.weight']
        return y + w[name + '.bias'] if gpt2 else y

    def linear(x, name):
        m = w[name + '.weight']
        y = x @ (m if gpt2 else m.T)
        if name + '.bias' in w:
            y = y + w[name + '.bias']
        if name + '.lora_A.weight' in w:
            r, alpha, rs, _ = c['lora']
            scale = alpha / (math.sqrt(r) if rs else r)
            y = y + scale * (x @ w[name + '.lora_A.weight'].T @ w[name + '.lora_B.weight'].T)
        return y

    def turn(x):
        angle = torch.arange(n)[:, None] * frequencies(c)
        cos, sin = torch.cos(angle)[:, None], torch.sin(angle)[:, None]
        a, b = x[..., :D // 2], x[..., D // 2:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    mask = torch.triu(torch.full((n, n), -math.inf), 1)
    x = w['wte.weight'][ids] + w['wpe.weight'][:n] if gpt2 else w['model.embed_tokens.weight'][ids]
    for l in range(c['layers']):
        p = ('h.%d.' if gpt2 else 'model.layers.%d.') % l
        h = norm(x, p + ('ln_1' if gpt2 else 'input_layernorm'))
        if gpt2:
            q, k, v = linear(h, p + 'attn.c_attn').split(H * D, -1)
        else:
            q, k, v = (linear(h, p + 'self_attn.%s_proj' % x) for x in 'qkv')
        q, k, v = q.view(n, H, D), k.view(n, K, D), v.view(n, K, D)
        if c['family'] == QWEN3:
            q, k = norm(q, p + 'self_attn.q_norm'), norm(k, p + 'self_attn.k_norm')
        if not gpt2:
            q, k = turn(q), turn(k)
        k, v = (t.repeat_interleave(H // K, 1) for t in (k, v))
        s = torch.softmax(torch.einsum('ihd,jhd->hij', q, k) / math.sqrt(D) + mask, -1)
        o = torch.einsum('hij,jhd->ihd', s, v).reshape(n, H * D)
        x = x + linear(o, p + ('attn.c_proj' if gpt2 else 'self_attn.o_proj'))
        h = norm(x, p + ('ln_2' if gpt2 else 'post_attention_layernorm'))
        if gpt2:
            h = torch.nn.functional.gelu(linear(h, p + 'mlp.c_fc'), approximate='tanh')
        else:
            gate, up = linear(h, p + 'mlp.gate_proj'), linear(h, p + 'mlp.up_proj')
            h = torch.nn.functional.silu(gate) * up
        x = x + linear(h, p + ('mlp.c_proj' if gpt2 else 'mlp.down_proj'))
    h = norm(x, 'ln_f' if gpt2 else 'model.norm')
    tied = 'wte.weight' if gpt2 else 'model.embed_tokens.weight'
    return h @ w['lm_head.weight' if c['untied'] else tied].T


def main(path):
    out, random = {}, torch.Generator().manual_seed(15)
    for name, c in CASES.items():
        w = {}
        for t, shape in shapes(c).items():
            x = torch.randn(shape, generator=random)
            gain = 'bias' not in t and len(shape) == 1
            w[t] = x * 0.5 if len(shape) == 2 else gain + 0.3 * x
        trained = dict(w)
        if c['lora']:
            r, trained = c['lora'][0], {}
            for t, m in w.items():
                module = t[:-len('.weight')]
                if t.endswith('.weight') and module.endswith(c['lora'][3]):
                    i, o = m.shape if c['family'] == GPT2 else m.shape[::-1]
                    a, b = (torch.randn(x, generator=random) for x in ((r, i), (o, r)))
                    trained[module + '.lora_A.weight'] = a / math.sqrt(i)
                    trained[module + '.lora_B.weight'] = b * 0.4
            out[name + '/lora'] = torch.tensor([float(x) for x in c['lora'][:3]])
        w.update(trained)
        w = {t: x.float().double() for t, x in w.items()}
        ids, target = (torch.randint(c['vocab'], (c['n'],), generator=random) for _ in range(2))
        weight = (torch.rand(c['n'], generator=random) * 2 - 0.5).float().double()
        weight[2] = 0
        for t in trained:
            w[t].requires_grad_(True)
        z = logits(c, w, ids)
        loss = -(weight * torch.log_softmax(z, -1)[torch.arange(c['n']), target]).sum()
        loss.backward()
        for t, x in w.items():
            out[name + '/' + t] = x.detach().float()
        for t in trained:
            out[name + '/grad.' + t] = w[t].grad
        out[name + '/ids'], out[name + '/target'], out[name + '/weight'] = ids, target, weight
        out[name + '/logits'], out[name + '/loss'] = z.detach(), loss.detach()[None]
        out[name + '/config'] = torch.tensor([int(c[k]) for k in (
            'family', 'layers', 'heads', 'channels', 'context', 'vocab', 'kv_heads', 'head_size',
            'inner', 'qkv_bias', 'out_bias', 'mlp_bias', 'untied', 'kind', 'original')])
        out[name + '/reals'] = torch.tensor([c[k] for k in (
            'epsilon', 'theta', 'factor', 'low', 'high')])
    save_file({t: x.contiguous() for t, x in out.items()}, path)


main(sys.argv[1])
