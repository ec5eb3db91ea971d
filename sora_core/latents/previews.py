"""Moving previews: every frame of a latent as small pictures, by a linear map from its channels to colour."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
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
        """Give frame `index`, counted round and round, as a PIL image, enlarged when it is tiny."""
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


class PreviewLoop:
    """Sends the frames of the latest preview in turn, from a thread, until closed.

    Frontends show a still picture per message; a message per frame makes it move. When `send(picture)` raises (the
    user interrupts, a connection is gone) the loop ends, and the next `show` raises the same.
    """

    def __init__(self, send: Callable[[Image.Image], None]) -> None:
        """Show with `send(picture)`, which gets one picture at a time, in the loop's own thread."""
        self.send = send
        self.latest: Preview | None = None
        self.error: BaseException | None = None
        self._changed, self._closed = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, preview: Preview | None) -> None:
        """Show a preview from now on; None leaves what is shown. Raises what `send` raised before."""
        if self.error is not None:
            raise self.error
        self.latest = preview if preview is not None else self.latest
        self._changed.set()
        if self._thread is None and preview is not None:
            # The host finds the running node through context variables, which a new thread does not inherit.
            context = copy_context()
            self._thread = threading.Thread(target=context.run, args=(self._run, preview), daemon=True)
            self._thread.start()

    def _run(self, preview: Preview) -> None:
        index = 0
        try:
            while not self._closed.is_set():
                preview = preview if self.latest is None else self.latest
                self.send(preview.picture(index))
                index += 1
                if len(preview) == 1:
                    self._changed.wait()
                    self._changed.clear()
                else:
                    self._closed.wait(1 / preview.fps)
        except BaseException as error:
            # An interrupt is told once, to whoever asks first: the run must hear of it too.
            self.error = error

    def close(self) -> None:
        """End the loop; wait for the picture that is being sent, but not for one that hangs."""
        self._closed.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=2)
