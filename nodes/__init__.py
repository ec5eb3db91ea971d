"""What artists see: one module per step of the pipeline, each node a schema and one call.

`sora_core.pipeline` does the work; `.api` decides once whose node API is used.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sora_core.host.current import desk, in_comfyui, stop_as_host_does

from .api import ComfyExtension, io

SAMPLES = Path(__file__).resolve().parents[1] / "workflows" / "inputs"


class SoraExtension(ComfyExtension):
    """The pack, as ComfyUI and the embedded host load it."""

    async def on_load(self) -> None:
        """Tell the host which nodes of ours take the place of nodes that are gone."""
        from .replacements import register

        await register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """List the nodes, in the order of a graph."""
        from . import condition, edit, latents, load, long, look, output, safety, sample, text, vae

        modules = (load, text, latents, sample, vae, edit, condition, long, look, safety, output)
        return [node for module in modules for node in module.NODES]


async def comfy_entrypoint() -> SoraExtension:
    """Return the pack, with the inputs of its workflows where ComfyUI looks for them."""
    # Here and not in `on_load`, which ComfyUI 0.3.64 never calls.
    if in_comfyui():
        stop_as_host_does()
        from sora_core.host.desk.samples import bring_samples

        problem = bring_samples(SAMPLES, desk().folders().input)
        if problem:
            logging.warning("Sora Nodes: %s", problem)
    return SoraExtension()
