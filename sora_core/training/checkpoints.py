"""Parts of checkpoints by their class, with an error that says what a file lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from torch import nn

from ..errors import SoraError
from ..loading.checkpoint import load_parts
from ..model.dit import DiT
from ..model.text.concepts import TextEncoder
from ..model.vae.mini import VideoVAE

Part = TypeVar("Part", DiT, TextEncoder, VideoVAE)
# By class: its name in a checkpoint, what messages call it, and which run exports one.
_PARTS = {
    DiT: ("dit", "transformer", "DiT"),
    TextEncoder: ("text", "text encoder", "DiT"),
    VideoVAE: ("vae", "VAE", "VAE"),
}


def part_of(parts: Mapping[str, nn.Module], kind: type[Part], file: str | Path) -> Part:
    """Return the part of class `kind` among those of a checkpoint. Raises SoraError, naming the file, without one."""
    name, called, run = _PARTS[kind]
    part = parts.get(name)
    if not isinstance(part, kind):
        raise SoraError(f"{file} holds no {called}. Give a model, or model.safetensors of a {run} run.")
    return part


def load_part(file: str | Path, kind: type[Part], device: str = "cpu") -> Part:
    """Load one part of a checkpoint, a name or a file. Raises SoraError when it holds none of that class."""
    parts, _ = load_parts(file, device=device)
    return part_of(parts, kind, file)
