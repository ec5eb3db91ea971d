"""Muon for matrices, AdamW for the rest, and an exponential moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn


@torch.no_grad()
def orthogonalize(g: Tensor, steps: int = 5) -> Tensor:
    """Return the nearest semi-orthogonal matrices of `[K,m,n]`, m <= n, by the quintic Newton-Schulz iteration.

    K. Jordan et al., Muon, 2024, whose coefficients these are. In bfloat16: the iteration corrects its own rounding.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = a * x + (b * s + c * s @ s) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised; weights of any rank are seen as `[out, everything else]`.

    The update has RMS 0.2 as AdamW's does (Moonlight, arXiv 2502.16982, eq. 4), so one learning rate serves all
    shapes. Weight decay is decoupled.
    """

    def __init__(self, params: Iterable, lr: float, momentum: float = 0.95, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # ours takes no closure
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            # Matrices of one shape are orthogonalised together: one large product in place of many small ones.
            shapes: dict[tuple[int, ...], list[tuple[Tensor, Tensor, bool]]] = {}
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            grads, momenta = [p.grad for p in params], [self.state[p]["momentum"] for p in params]
            torch._foreach_lerp_(momenta, grads, 1 - group["momentum"])
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            for p, update in zip(params, torch._foreach_lerp(grads, momenta, group["momentum"]), strict=True):
                update = update.flatten(1)
                tall = update.shape[0] > update.shape[1]
                update = update.mT if tall else update
                shapes.setdefault(tuple(update.shape), []).append((p, update, tall))
            for shape, entries in shapes.items():
                scale = 0.2 * math.sqrt(max(shape))
                updates = orthogonalize(torch.stack([u for _, u, _ in entries]))
                for (p, _, tall), update in zip(entries, updates, strict=True):
                    update = (update.mT if tall else update).reshape(p.shape)
                    p.add_(update.to(p.dtype), alpha=-group["lr"] * scale)


def build_optimizers(
    model: nn.Module, lr: float, adam_lr: float, weight_decay: float, adam_names: tuple[str, ...] = ()
) -> list[torch.optim.Optimizer]:
    """Give hidden matrices and kernels to Muon; gains, biases, embeddings and the layers in `adam_names` to AdamW.

    First and last layers map to and from data, where all directions are not alike: they stay with AdamW.
    """
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (rest if p.ndim < 2 or any(n in name for n in adam_names) else matrices).append(p)
    # As groups: one of the two may be empty where most of a model is frozen.
    return [
        Muon([{"params": matrices}], lr, weight_decay=weight_decay),
        torch.optim.AdamW([{"params": rest}], adam_lr, betas=(0.9, 0.98), weight_decay=0.0),
    ]


class EMA:
    """Moving average of a model's floating-point state, in float32 under the state's names."""

    def __init__(self, model: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone().float() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model. The decay ramps up over the first steps, so that early weights do not linger."""
        decay = min(self.decay, (1 + step) / (10 + step))
        source = model.state_dict()
        torch._foreach_lerp_(list(self.state.values()), [source[k].float() for k in self.state], 1 - decay)
