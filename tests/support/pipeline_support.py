"""The Python pipeline on a tiny model with random weights."""

from __future__ import annotations

from nodes_support import tiny_parts

from sora_core.loading.checkpoint import ModelBundle
from sora_core.pipeline.pipeline import Pipeline


def tiny_pipeline() -> Pipeline:
    """A pipeline that makes clips of 17 frames, 32 x 32 pixels, at 8 frames a second."""
    parts = {name: part.eval().requires_grad_(False) for name, part in tiny_parts().items()}
    info = {"name": "tiny", "shift": 3.0, "fps": 8, "width": 32, "height": 32, "frames": 17}
    return Pipeline(ModelBundle(**parts, info=info))
