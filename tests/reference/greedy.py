#!/usr/bin/env python3
"""Prints what Hugging Face's generate answers with the models of families.safetensors.

    python3 tests/reference/greedy.py tests/reference/families.safetensors

Each model continues its first three ids by 20 tokens, the most probable one each time. A margin is
how far the logit of a token is above all others, at least; it is far above rounding. The lines are
GREEDY in test_families.c. The library refuses the shape of llama-biases.
Made with Python 3.11, torch 2.13 (CPU), transformers 5.24 and safetensors 0.8.
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

ROTARY = {1: (LlamaConfig, LlamaForCausalLM), 2: (Qwen2Config, Qwen2ForCausalLM),
          3: (Qwen3Config, Qwen3ForCausalLM)}
NONE_OF = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)


def model_of(t, name):
    family, layers, heads, channels, context, vocab, kv, size, inner, qkv, out, mlp, untied, kind, \
        original = (int(x) for x in t[name + '/config'])
    epsilon, theta, factor, low, high = (float(x) for x in t[name + '/reals'])
    if family == 0:
        config = GPT2Config(n_layer=layers, n_head=heads, n_embd=channels, n_inner=inner,
                            n_positions=context, vocab_size=vocab, layer_norm_epsilon=epsilon,
                            tie_word_embeddings=not untied, **NONE_OF)
        return GPT2LMHeadModel(config), 'transformer.'
    rope = {'rope_type': ('default', 'linear', 'llama3')[kind], 'rope_theta': theta}
    if kind:
        rope['factor'] = factor
    if kind == 2:
        rope.update(low_freq_factor=low, high_freq_factor=high,
                    original_max_position_embeddings=original)
    more = {} if family == 2 else {'attention_bias': bool(qkv), 'head_dim': size}
    if family == 1:
        more['mlp_bias'] = bool(mlp)
    config = ROTARY[family][0](
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
        hidden_size=channels, intermediate_size=inner, max_position_embeddings=context,
        vocab_size=vocab, rms_norm_eps=epsilon, rope_parameters=rope,
        tie_word_embeddings=not untied, **more, **NONE_OF)
    return ROTARY[family][1](config), ''


def main(path):
    t = load_file(path)
    for name in sorted(k[:-len('/config')] for k in t if k.endswith('/config')):
        if name + '/lora' in t or name == 'llama-biases':  # whose channels its heads do not divide
            continue
        model, before = model_of(t, name)
        own = dict(model.named_parameters())
        for key, x in own.items():
            short = key if key.startswith('lm_head') else key[len(before):]
            x.data.copy_(t[name + '/' + short])
        model.eval()
        ids = t[name + '/ids'][:3].long()[None]
        out = model.generate(ids, max_new_tokens=20, do_sample=False, output_logits=True,
                             return_dict_in_generate=True)
        two = torch.stack(out.logits)[:, 0].topk(2).values
        answer = out.sequences[0, 3:].tolist()
        print('    {"%s", {%s}}, /* margin %.2g */' % (name, ', '.join(map(str, answer)),
                                                       (two[:, 0] - two[:, 1]).min()))


main(sys.argv[1])
