"""What artists see: one module per step of the pipeline, each node a schema and one call.

`sora_core.pipeline.engine` does the work; `.api` decides once whose node API is used.
"""

from .api import ComfyExtension


class SoraExtension(ComfyExtension):
    async def on_load(self) -> None:
        from .replacements import register

        await register()

    async def get_node_list(self) -> list:
        from . import (
            caption,
            detect,
            edit,
            expand,
            frame_safety,
            join,
            latents,
            load,
            output,
            prompt_safety,
            sample,
            story,
            text,
            vae,
        )

        modules = (
            load,
            text,
            expand,
            prompt_safety,
            caption,
            latents,
            sample,
            vae,
            edit,
            join,
            story,
            frame_safety,
            output,
            detect,
        )
        return [node for module in modules for node in module.NODES]


async def comfy_entrypoint() -> SoraExtension:
    return SoraExtension()
