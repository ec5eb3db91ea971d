"""A tiny random transformer, and its weights under diffusers' names."""

from __future__ import annotations

from dataclasses import replace

import torch

from sora_core.model.dit import DiT, DiTConfig

TINY = DiTConfig(dim=96, ffn_dim=160, num_heads=2, num_layers=3, in_dim=4, out_dim=4, text_dim=24, text_len=8)


def tiny(seed=0, **changes) -> DiT:
    torch.manual_seed(seed)
    dit = DiT(replace(TINY, **changes)).eval().requires_grad_(False)
    for p in dit.parameters():  # norms and biases too, so that no term hides behind a 0 or a 1
        p.add_(0.1 * torch.randn_like(p))
    return dit


def to_diffusers(state: dict) -> dict:
    """Our (Wan's) key names to those of diffusers."""
    pairs = [
        ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
        ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
        ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
        ("time_projection.1", "condition_embedder.time_proj"),
        ("head.modulation", "scale_shift_table"),
        ("head.head", "proj_out"),
        ("modulation", "scale_shift_table"),
        ("norm3", "norm2"),
        ("ffn.0", "ffn.net.0.proj"),
        ("ffn.2", "ffn.net.2"),
        ("self_attn", "attn1"),
        ("cross_attn", "attn2"),
        (".q.", ".to_q."),
        (".k.", ".to_k."),
        (".v.", ".to_v."),
        (".o.", ".to_out.0."),
    ]
    out = {}
    for key, value in state.items():
        for ours, theirs in pairs:
            if not (ours == "modulation" and "scale_shift" in key):
                key = key.replace(ours, theirs)
        out[key] = value
    return out
