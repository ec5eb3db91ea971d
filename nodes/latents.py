"""Empty latents, and latents as spacetime patches."""

from __future__ import annotations

from .api import Patches, backend, io, note


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
                io.Float.Input(
                    "fps", default=8.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second; sora-mini: 8."
                ),
                io.Int.Input("width", default=128, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16."),
                io.Int.Input("height", default=128, min=16, max=8192, step=16, tooltip="Pixels, a multiple of 16."),
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
    def validate_inputs(cls, width=None, height=None) -> bool | str:
        from sora_core.errors import SoraError
        from sora_core.media.sizes import check_side

        try:
            for name, side in (("width", width), ("height", height)):
                # A linked side is not known yet: `execute` looks at it.
                if side is not None:
                    check_side(name, int(side))
        except (SoraError, ValueError) as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, seconds, fps, width, height, aspect, batch_size, model=None) -> io.NodeOutput:
        import torch

        from sora_core.media.sizes import plan_clip

        family = backend().family(model=model)
        size = plan_clip(seconds, fps, width, height, aspect, family.temporal_ratio, family.multiple)
        ratio = family.spatial_ratio
        shape = (
            batch_size,
            family.channels,
            family.latent_frames(size.frames),
            size.height // ratio,
            size.width // ratio,
        )
        text = f"{size.frames} frames of {size.width}x{size.height} at {size.fps:g} fps, {size.seconds:.2f} s"
        shown = note(cls, "\n".join([text, *size.notes]))
        return io.NodeOutput({"samples": torch.zeros(shape)}, float(fps), size.frames, ui=shown)


class SoraPatchify(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraPatchify",
            display_name="Sora Patchify",
            category="Sora/latents",
            description="Cuts latents into spacetime patches, the tokens that the transformer works on. "
            "Shows the grid, "
            "the number of tokens and what they cost. Clips of different shapes can stand side by side.",
            search_aliases=["patches", "tokens", "spacetime patches", "pack", "NaViT", "grid"],
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
    def execute(cls, latent, patches=None, model=None, frames=None) -> io.NodeOutput:
        from sora_core.latents.patches import describe, draw_grid, patchify_latents, unpatchify_latents

        family = backend().family(model=model)
        before = unpatchify_latents(patches) if patches is not None else []
        made = patchify_latents([*before, latent], family.patch_size, family.temporal_ratio)
        ratios = family.temporal_ratio, family.spatial_ratio
        text = describe(made, *ratios, backend().flops(model) if model is not None else None)
        grid = draw_grid(made, frames, *ratios)
        return io.NodeOutput(made, len(made), grid, ui=note(cls, text, grid[:: family.temporal_ratio]))


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
    def execute(cls, patches) -> io.NodeOutput:
        from sora_core.latents.patches import unpatchify_latents

        return io.NodeOutput(unpatchify_latents(patches))


NODES = [SoraEmptyLatent, SoraPatchify, SoraUnpatchify]
