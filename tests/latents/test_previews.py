"""Previews: every frame of the estimate, shown in a loop."""

from __future__ import annotations

import threading

import torch

from sora_core.host.previews import PreviewLoop
from sora_core.latents.previews import Preview, latent_preview


def test_the_preview_loop_shows_every_frame():
    latent = torch.zeros(1, 16, 3, 2, 2)
    latent[:, 0] = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    preview = latent_preview(latent, [[1.0, 0.0, 0.0]] + [[0.0] * 3] * 15)
    assert preview.frames[:, 0, 0, 0].tolist() == [0, 127, 255]
    assert latent_preview(latent, None) is None
    seen, enough = [], threading.Event()

    def send(picture):
        seen.append(picture.getpixel((0, 0))[0])
        if len(seen) == 6:
            enough.set()

    loop = PreviewLoop(send)
    loop.show(Preview(preview.frames, fps=200))
    assert enough.wait(10)
    loop.close()
    count = len(seen)
    assert seen[:6] == [0, 127, 255] * 2
    loop._thread.join(1)
    assert len(seen) <= count + 1
