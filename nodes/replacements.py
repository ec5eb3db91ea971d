"""Nodes that workflows may hold and that are gone, and what of ours takes their place.

An id of ours never changes. Should one have to go, it is listed here, and the frozen file keeps it. ComfyUI offers
the replacement where it finds the old node missing; versions without that (before 2026) leave the node red.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Replacement:
    """A node that is gone, and how its values move to one of ours."""

    old: str  # node id
    new: str  # node id
    widgets: tuple[str, ...]  # the old node's, in their order
    inputs: dict[str, str]  # new input -> old input, of values that are always given
    outputs: dict[int, int]  # new output number -> old one


REPLACEMENTS = (
    # Core's node for OpenAI's service, which ended in September 2026. Ours asks for a model besides.
    Replacement(
        "OpenAIVideoSora2",
        "SoraLongVideo",
        ("model", "prompt", "size", "duration", "seed"),
        {"shots": "prompt", "seconds": "duration"},
        {0: 0},
    ),
)


async def register() -> None:
    """Tell ComfyUI, where it can be told."""
    try:
        from comfy_api.latest import ComfyAPI, io
    except ImportError:
        return
    known = getattr(ComfyAPI(), "node_replacement", None)
    if known is None or not hasattr(io, "NodeReplace"):
        return
    for entry in REPLACEMENTS:
        await known.register(
            io.NodeReplace(
                new_node_id=entry.new,
                old_node_id=entry.old,
                old_widget_ids=list(entry.widgets),
                input_mapping=[{"new_id": new, "old_id": old} for new, old in entry.inputs.items()],
                output_mapping=[{"new_idx": new, "old_idx": old} for new, old in entry.outputs.items()],
            )
        )
