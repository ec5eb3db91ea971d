"""Moving previews: every frame of a latent as small pictures, by a linear map from its channels to colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image

FPS = 6.0  # latent frames a second: near real time for video of 24 frames a second


@dataclass(frozen=True)
class Preview:
    """A small clip to be shown in a loop."""

    frames: Tensor  # `[T,h,w,3]` uint8
    fps: float = FPS

    def __len__(self) -> int:
        """Count the frames."""
        return self.frames.shape[0]

    def picture(self, index: int) -> Image.Image:
        """Return frame `index`, counted round and round, as a PIL image, enlarged when it is tiny."""
        from PIL import Image

        image = Image.fromarray(self.frames[index % len(self)].numpy())
        scale = max(1, 256 // max(image.size))
        return image.resize((image.width * scale, image.height * scale), Image.Resampling.BILINEAR)


def latent_preview(
    latent: Tensor, factors: Sequence[Sequence[float]] | None, bias: Sequence[float] | None = None
) -> Preview | None:
    """Preview the first clip of `[B,C,T,h,w]` or `[B,C,h,w]`.

    factors: C rows of (r, g, b), which with `bias` (r, g, b) give -1..1. None where there are none for C channels.
    """
    if factors is None or len(factors) != latent.shape[1]:
        return None
    clip = latent[0] if latent.ndim == 5 else latent[0].unsqueeze(1)
    rgb = torch.einsum("cthw,cr->thwr", clip.detach().float().cpu(), torch.tensor(factors, dtype=torch.float32))
    if bias is not None:
        rgb = rgb + torch.tensor(bias, dtype=torch.float32)
    # A preview must not stop the run: what is no number is told where it is sampled.
    return Preview(((rgb.nan_to_num() + 1) * 127.5).clamp(0, 255).to(torch.uint8))
