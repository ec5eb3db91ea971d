"""What the transformer is built of: where its layers come from, and the norm of its heads."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .modulation import turned_heads


class Layers(Protocol):
    """Where layers with weights come from: `torch.nn`, or a host that casts and fetches weights as they are used."""

    def Linear(self, *args: Any, **kwargs: Any) -> nn.Linear:  # noqa: N802 (torch.nn's name)
        """Make a layer as `nn.Linear` does."""

    def LayerNorm(self, *args: Any, **kwargs: Any) -> nn.LayerNorm:  # noqa: N802 (torch.nn's name)
        """Make a layer as `nn.LayerNorm` does."""

    def Conv3d(self, *args: Any, **kwargs: Any) -> nn.Conv3d:  # noqa: N802 (torch.nn's name)
        """Make a layer as `nn.Conv3d` does."""


def is_compiled(module: nn.Module) -> bool:
    """Tell whether a module is handed to `torch.compile` when it is called, or is what that gave in its place."""
    return getattr(module, "_compiled_call_impl", None) is not None or "_orig_mod" in module._modules


class RMSNorm(nn.Module):
    """Division by the root mean square over the last axis, with a gain (arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def heads(self, x: Tensor, count: int, rope: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Normalise `[B,N,dim]` in float32 and turn its `count` heads: `[B,N,count,dim/count]`, times `scale`."""
        return turned_heads(x, self.weight, self.eps, count, rope, scale)
