"""The plan of memory for a graph: how large the pictures of nodes get, as far as that can be told before the run.

A batch that is put behind itself doubles; forty times are a file of a few KB and a terabyte of pictures. What nodes do
not tell counts as the least that it can be. Nodes check again what they make.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

from ...errors import SoraError
from ...media.sizes import check_pixels
from ..desk.folders import current
from ..graph.problems import blaming
from ..graph.validate import Plan, PlannedNode
from ..graph.workflow import Link


class Pictures(NamedTuple):
    """The least that an IMAGE can be."""

    frames: int = 1
    width: int = 1
    height: int = 1


def check_memory(plan: Plan) -> None:
    """Raise SoraError, naming the node, where the pictures that it will give cannot fit into memory."""
    known: dict[Link, Pictures] = {}
    for node_id, planned in plan.nodes.items():
        found = _given(planned, known)
        if found is None:
            continue
        with blaming(node_id, planned.node.type):
            try:
                check_pixels(*found)
            except SoraError as error:
                raise SoraError(f"{planned.node.heading}: {error}") from error
        known[Link(node_id, 0)] = found


def _given(planned: PlannedNode, known: dict[Link, Pictures]) -> Pictures | None:
    """Return the least that the first output of a node of ours can be; None where that tells nothing."""
    values = planned.inputs

    def linked(name: str) -> Pictures:
        link = values.get(name)
        return known.get(link, Pictures()) if isinstance(link, Link) else Pictures()

    match planned.node.type:
        case "LoadImage":
            return _size_of(values.get("image"))
        case "ImageBatch":
            first, second = linked("image1"), linked("image2")
            return first._replace(frames=first.frames + second.frames)
        case "ImageFromBatch":
            before, length = linked("image"), values.get("length")
            return before._replace(frames=min(before.frames, length) if isinstance(length, int) else 1)
        case "ImageScale":
            before = linked("image")
            width, height = (values.get(side) for side in ("width", "height"))
            if isinstance(width, int) and isinstance(height, int) and width and height:
                return before._replace(width=width, height=height)
            return Pictures(before.frames)
        case "PreviewImage" | "SaveImage":
            return linked("images")
    return None


def _size_of(name: Any) -> Pictures | None:
    """Read the size of a picture from its header; None where the node itself will say what is wrong with it."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(current().existing(name))
        with opened as picture:
            return Pictures(1, *picture.size)
    except Exception:  # whatever a broken file does to Pillow
        return None
