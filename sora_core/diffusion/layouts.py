"""When a run's places are planned before its first step, and by which prompt: see `model.layout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .prompts import Prompt

_PURE = 0.999  # the noise level from which on a run begins as noise alone, whatever its latent holds


@torch.no_grad()
def plan_layout(dit: Any, positive: Sequence[Prompt], noise: Tensor, sigma: float) -> Tensor | None:
    """Plan the layout `[B,T,...]` of a run of `dit` that keeps nothing of its latent; None where it plans nothing.

    noise: `[B,C,T,H,W]`, which the run begins with at `sigma`. One that begins with a picture in sight has its places
    already, as has one that keeps some of a latent.
    """
    plan = getattr(dit, "plan", None)
    if plan is None or sigma < _PURE:
        return None
    prompt = next((p for p in positive if p.active(min(sigma, 1.0))), None)
    if prompt is None or not bool(prompt.context.any()):
        return None
    shots = prompt.shots or (noise.shape[2],)
    contexts = prompt.context.unflatten(1, (len(shots), -1)).unbind(1)
    if len(prompt.context) not in (1, len(noise)) or sum(shots) != noise.shape[2]:
        return None
    layout: Tensor | None = plan(noise, contexts, shots)
    return layout
