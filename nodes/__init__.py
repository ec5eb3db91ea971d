"""What artists see: one module per step of the pipeline, each node a schema and one call.

`sora_core.pipeline` does the work; `.api` decides once whose node API is used.
"""

from __future__ import annotations

from .api import ComfyExtension, io


class SoraExtension(ComfyExtension):
    """The pack, as ComfyUI and the embedded host load it."""

    async def on_load(self) -> None:
        """Tell the host which nodes of ours take the place of nodes that are gone."""
        from .replacements import register

        await register()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """List the nodes, in the order of a graph."""
        from . import condition, edit, latents, load, long, output, safety, sample, text, vae

        modules = (load, text, latents, sample, vae, edit, condition, long, safety, output)
        return [node for module in modules for node in module.NODES]


async def comfy_entrypoint() -> SoraExtension:
    """Return the pack."""
    return SoraExtension()
