"""When a run's places are planned before its first step, and by which prompt: see `model.layout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .prompts import Prompt

_PURE = 0.999  # the noise level from which on a run begins as noise alone, whatever its latent holds


@torch.no_grad()
def plan_layout(dit: Any, positive: Sequence[Prompt], noise: Tensor | None, sigma: float, kept: bool) -> Tensor | None:
    """Plan the layout `[B,T,...]` of a run of `dit` from `sigma` on; None where there is nothing to plan.

    noise: `[B,C,T,H,W]` that the run begins with; kept: whether some of the latent is kept. A run that begins with a
    picture in sight, or keeps one, has its places already.
    """
    plan = getattr(dit, "plan", None)
    if plan is None or noise is None or kept or sigma < _PURE:
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
