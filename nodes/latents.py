"""Empty latents, and latents as spacetime patches."""

from __future__ import annotations

from typing import Any

from .api import Patches, engine, essential, io, note, retold, said, ui
from .inputs import fps_input, side_inputs


class SoraEmptyLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        from sora_core.media.sizes import ASPECTS

        return io.Schema(
            "SoraEmptyLatent",
            display_name="Sora Empty Latent",
            category="Sora/latents",
            description="The canvas of a new video: how long, how large, in what shape. Says what it had to round.",
            search_aliases=["empty video latent", "duration", "seconds", "resolution", "aspect ratio", "size"],
            **essential("Video Generation"),
            inputs=[
                io.Float.Input(
                    "seconds",
                    default=2.0,
                    min=0.01,
                    max=3600.0,
                    step=0.25,
                    round=0.001,
                    tooltip="How long the video is. The nearest length that the model can make is used.",
                ),
                fps_input("Frames per second; sora-mini: 8."),
                *side_inputs(),
                io.Combo.Input(
                    "aspect",
                    options=list(ASPECTS),
                    default="as set",
                    tooltip="as set: width and height as they are. Otherwise their area in this shape.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="How many videos to make at once."),
                io.Model.Input(
                    "model", optional=True, tooltip="For a model other than sora-mini: makes a latent for it."
                ),
            ],
            outputs=[
                io.Latent.Output(display_name="latent", tooltip="Empty, for a sampler."),
                io.Float.Output(display_name="fps", tooltip="Frames per second, for Sora Save Video."),
                io.Int.Output(display_name="frames", tooltip="Number of frames."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, width: int | None = None, height: int | None = None) -> bool | str:
        from sora_core.media.sizes import check_side

        for name, side in (("width", width), ("height", height)):
            # The usual multiple: the model, which may ask for a larger one, is known only in the run.
            verdict = said(lambda name, side: check_side(name, int(side)), name, side)
            if verdict is not True:
                return verdict
        return True

    @classmethod
    def execute(
        cls, seconds: float, fps: float, width: int, height: int, aspect: str, batch_size: int, model: Any = None
    ) -> io.NodeOutput:
        from sora_core.media.sizes import plan_clip
        from sora_core.pipeline.make import empty_latent

        space = engine().latent_space(model=model)
        first, step = space.lengths
        size = plan_clip(seconds, fps, width, height, aspect, step, space.multiple, first)
        latent = empty_latent(space, size.frames, size.width, size.height, batch_size)
        text = f"{size.frames} frames of {size.width}x{size.height} at {size.fps:g} fps, {size.seconds:.2f} s"
        shown = note(cls, "\n".join([text, *size.notes]))
        return io.NodeOutput(latent, float(fps), size.frames, ui=shown)


class SoraPatchify(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraPatchify",
            display_name="Sora Patchify",
            category="Sora/latents",
            description="Cuts latents into spacetime patches, the tokens that the transformer works on. Shows the "
            "grid, the number of tokens and what they cost. Clips of different shapes can stand side by side.",
            search_aliases=["patches", "tokens", "spacetime patches", "pack", "NaViT", "grid"],
            **retold(),
            inputs=[
                io.Latent.Input(
                    "latent", tooltip="Of one video or a batch. Its noise mask says which patches are kept."
                ),
                Patches.Input("patches", optional=True, tooltip="Patches of other clips, to put this clip behind."),
                io.Model.Input("model", optional=True, tooltip="Gives the size of a patch and what a token costs."),
                io.Image.Input("frames", optional=True, tooltip="Frames of the first clip, to draw the grid over."),
            ],
            outputs=[
                Patches.Output(display_name="patches", tooltip="For Sora Sampler or Sora Unpatchify."),
                io.Int.Output(display_name="tokens", tooltip="Number of tokens, of all clips."),
                io.Image.Output(
                    display_name="grid", tooltip="The grid over the first clip's frames; kept patches blue."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, latent: Any, patches: Any = None, model: Any = None, frames: Any = None) -> io.NodeOutput:
        import torch

        from sora_core.errors import expect
        from sora_core.latents.patches import (
            describe,
            draw_grid,
            fit_to_grid,
            grid_facts,
            patchify_latents,
            unpatchify_latents,
        )

        space = engine().latent_space(model=model)
        expect(not space.pattern, f"model: {space.name} samples sound along, which has no patches. Sample the latent.")
        # Packed anew from the latents: each LATENT stays one of its own when it is unpacked.
        before = unpatchify_latents(patches) if patches is not None else []
        made = patchify_latents([*before, latent], space.patch_size, space.temporal_ratio)
        ratios = space.temporal_ratio, space.spatial_ratio
        text = describe(made, *ratios, engine().flops(model) if model is not None else None)
        grid = draw_grid(made, frames, *ratios)
        facts = grid_facts(made, space.temporal_ratio)
        if frames is not None:
            # Without the grid, which the extension draws over them and takes away again.
            each = torch.arange(0, grid.shape[0], facts["frames"])
            bare = ui.PreviewImage(fit_to_grid(made, frames, each, space.spatial_ratio), cls=cls).as_dict()
            facts["images"] = list(bare["images"])
        # One picture for each latent is shown: the frames within one have the same grid.
        shown = note(cls, text, grid[:: space.temporal_ratio], sora_patches=[facts])
        return io.NodeOutput(made, len(made), grid, ui=shown)


class SoraUnpatchify(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraUnpatchify",
            display_name="Sora Unpatchify",
            category="Sora/latents",
            description="Puts spacetime patches back together. What follows runs once for each latent that was packed.",
            search_aliases=["unpatch", "unpack", "patches to latent", "tokens"],
            inputs=[Patches.Input("patches", tooltip="From Sora Patchify or Sora Sampler.")],
            outputs=[
                io.Latent.Output(display_name="latents", is_output_list=True, tooltip="One for each that went in.")
            ],
        )

    @classmethod
    def execute(cls, patches: Any) -> io.NodeOutput:
        from sora_core.latents.patches import unpatchify_latents

        return io.NodeOutput(unpatchify_latents(patches))


NODES = [SoraEmptyLatent, SoraPatchify, SoraUnpatchify]
