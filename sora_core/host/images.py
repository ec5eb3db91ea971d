"""Pictures in and out of the host's folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import expect
from ..files import written_beside
from ..media.origin import read_from, taken
from ..media.stills import read_layers
from ..safety.gate import check_frames
from .desk.desk import metadata_of
from .desk.folders import current
from .saving import saving_of, tell_saved


def save_pngs(
    images: torch.Tensor, prefix: str, kind: str, hidden: Any = None, compress_level: int = 4
) -> list[tuple[str, str]]:
    """Write `images` `[B,H,W,3 or 4]` float 0..1 as PNG files with the workflow inside.

    What goes to the output folder is marked and signed, as the policy says; previews are not.

    Returns `(file name, subfolder)` per image.
    """
    expect(
        images.ndim == 4 and images.shape[-1] in (1, 3, 4),
        f"Expected images of shape [B,H,W,3], got {list(images.shape)}.",
    )
    given, images = images, check_frames(images)
    saving = saving_of(hidden) if kind == "output" else None
    if saving is not None:
        if images.shape[-1] == 1 and (saving.mark or saving.labels.visible):
            # What marks and labels are drawn into has colours.
            given = taken(given.expand(-1, -1, -1, 3), (given, None))
            images = images.expand(-1, -1, -1, 3)
        saving.keep(given)
    saved = []
    for image in images:
        height, width = image.shape[:2]
        if saving is not None and image.shape[-1] >= 3:
            (image,) = next(saving.marked([image[None].float()]))
        info = PngInfo()
        for key, value in metadata_of(hidden).items():
            info.add_text(key, value)
        if saving is not None and (packet := saving.next_label()) is not None:
            info.add_itxt("XML:com.adobe.xmp", packet)
        path, subfolder = current().next_file(prefix, ".png", kind, width, height)
        pixels = (image.detach().float().cpu().clamp(0, 1).numpy() * 255).round().astype(np.uint8)
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        with written_beside(path) as part:
            picture.save(part, format="PNG", pnginfo=info, compress_level=compress_level)
            if saving is not None:
                saving.seal(part, path.name)
        saved.append((path.name, subfolder))
    if saving is not None:
        tell_saved(hidden, saving)
    return saved


def load_image(path: Path, own: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Read a picture as `[T,H,W,3]` float 0..1 and its mask `[T,H,W]`, 1 where it is transparent.

    T is 1, or the frames of a picture that moves. A picture that knows no transparency gets empty masks of 64x64, as in
    ComfyUI. own: whether it may be a user's, if it says nothing else. Raises SoraError for what is no picture, or too
    large a one.
    """
    colours, opacity = read_layers(path)
    mask = torch.zeros(colours.shape[0], 64, 64) if opacity is None else opacity.neg_().add_(1)
    return read_from(colours, path) if own else colours, mask
