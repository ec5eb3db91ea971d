"""A stand-in of ComfyUI's nested tensor, which holds picture and sound in one LATENT."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class Nested:
    """As ComfyUI's nested tensor: tensors in a list, of which the first gives the shape."""

    is_nested = True

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = list(tensors)

    @property
    def shape(self) -> torch.Size:
        """Return the shape of the first stream."""
        return self.tensors[0].shape

    def unbind(self) -> list[Tensor]:
        """List the streams."""
        return self.tensors
