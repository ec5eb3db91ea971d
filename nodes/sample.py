"""Sampling: noise to latent, with any sampler."""

from __future__ import annotations

from typing import Any

from .api import backend, either, either_output, io

MAX_SEED = 2**64 - 1


def sampler_input() -> io.Input:
    """Our samplers, each with its own options where the host can show them, then those that only the
    host has.
    """
    from sora_core.diffusion.samplers import SAMPLERS

    names = [*SAMPLERS, *(name for name in backend().sampler_names() if name not in SAMPLERS)]
    tooltip = "How noise becomes the video. Changing it runs sampling and decoding again, nothing else."
    if not hasattr(io, "DynamicCombo"):
        return io.Combo.Input("sampler", options=names, default="euler", tooltip=tooltip)
    options = [
        io.DynamicCombo.Option(name, [option_input(o) for o in SAMPLERS[name].options] if name in SAMPLERS else [])
        for name in names
    ]
    return io.DynamicCombo.Input("sampler", options=options, tooltip=tooltip)


def option_input(option: Any) -> io.Input:
    """The widget of a `SamplerOption`. Optional, so that a workflow from before an option existed stays valid."""
    common = {"default": option.default, "tooltip": option.tooltip, "optional": True}
    if option.type is str:
        return io.Combo.Input(option.name, options=list(option.choices), **common)
    kind = io.Int if option.type is int else io.Float
    return kind.Input(option.name, min=option.min, max=option.max, step=option.step, **common)


def chosen(sampler: Any) -> tuple[str, dict]:
    """Name and options of what `sampler_input` gave."""
    if isinstance(sampler, str):
        return sampler, {}
    # ComfyUI passes what the workflow left out as None.
    return sampler["sampler"], {k: v for k, v in sampler.items() if k != "sampler" and v is not None}


def steps_input() -> io.Input:
    return io.Int.Input("steps", default=25, min=1, max=10000, tooltip="More steps are slower and more exact.")


def scheduler_input() -> io.Input:
    return io.Combo.Input(
        "scheduler",
        options=backend().scheduler_names(),
        default="simple",
        tooltip="How the steps are spread between noise and video.",
    )


def denoise_input() -> io.Input:
    return io.Float.Input(
        "denoise",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="1 makes everything new; less keeps that much less of the latent (restyle: about 0.6).",
    )


class SoraSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraSampler",
            display_name="Sora Sampler",
            category="Sora/sample",
            description="Makes the video, as a latent or as patches. Works with every video model of the host.",
            search_aliases=["ksampler", "sampler", "denoise", "generate", "text to video"],
            inputs=[
                io.Model.Input("model", tooltip="A video model."),
                io.Conditioning.Input("positive", tooltip="What the video should show."),
                either("latent", "An empty latent, or one to start from; or patches."),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MAX_SEED,
                    control_after_generate=True,
                    tooltip="Same seed and settings, same video.",
                ),
                steps_input(),
                io.Float.Input(
                    "cfg",
                    default=4.0,
                    min=0.0,
                    max=100.0,
                    step=0.1,
                    round=0.01,
                    tooltip="How closely to follow the prompt. 1 is no guidance, and twice as fast.",
                ),
                scheduler_input(),
                denoise_input(),
                io.Float.Input(
                    "guidance_start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Guide only from this part of the run on.",
                ),
                io.Float.Input(
                    "guidance_end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="Guide only up to this part of the run; what follows is twice as fast.",
                ),
                # Last, because it brings widgets of its own: those before it keep their places.
                sampler_input(),
                io.Conditioning.Input("negative", optional=True, tooltip="What the video should not show."),
                io.Sampler.Input("custom_sampler", optional=True, tooltip="Used in place of the sampler chosen here."),
                io.Sigmas.Input(
                    "custom_sigmas", optional=True, tooltip="Used in place of steps, scheduler and denoise."
                ),
            ],
            outputs=[either_output("latent", "The sampled latent, or patches if patches went in.")],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        latent,
        seed,
        steps,
        cfg,
        scheduler,
        denoise,
        guidance_start,
        guidance_end,
        sampler,
        negative=None,
        custom_sampler=None,
        custom_sigmas=None,
    ) -> io.NodeOutput:
        from sora_core.latents.patches import Patches, map_latents

        host = backend()
        name, options = chosen(sampler)
        run = custom_sampler if custom_sampler is not None else host.make_sampler(name, options)
        sigmas = custom_sigmas
        if sigmas is None:
            sigmas = host.make_sigmas(model, scheduler, steps, denoise, name if custom_sampler is None else None)

        def sample(one: dict) -> dict:
            return host.sample(
                model,
                one,
                positive,
                negative,
                sampler=run,
                sigmas=sigmas,
                seed=seed,
                cfg=cfg,
                interval=(guidance_start, guidance_end),
            )

        return io.NodeOutput(map_latents(latent, sample) if isinstance(latent, Patches) else sample(latent))


class SoraSamplerSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraSamplerSelect",
            display_name="Sora Sampler Select",
            category="Sora/sample",
            description="A sampler with its options, for SamplerCustomAdvanced or Sora Sampler.",
            search_aliases=["ksampler select", "sampler", "euler", "dpmpp", "uni_pc"],
            inputs=[sampler_input()],
            outputs=[io.Sampler.Output(display_name="sampler", tooltip="For a custom sampling node.")],
        )

    @classmethod
    def execute(cls, sampler) -> io.NodeOutput:
        return io.NodeOutput(backend().make_sampler(*chosen(sampler)))


class SoraScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraScheduler",
            display_name="Sora Scheduler",
            category="Sora/sample",
            description="The noise levels of a run, with the model's shift.",
            search_aliases=["basic scheduler", "sigmas", "noise schedule"],
            inputs=[
                io.Model.Input("model", tooltip="Its shift decides where the steps lie."),
                scheduler_input(),
                steps_input(),
                denoise_input(),
            ],
            outputs=[io.Sigmas.Output(display_name="sigmas", tooltip="From noise (1) down to the video (0).")],
        )

    @classmethod
    def execute(cls, model, scheduler, steps, denoise) -> io.NodeOutput:
        return io.NodeOutput(backend().make_sigmas(model, scheduler, steps, denoise))


NODES = [SoraSampler, SoraSamplerSelect, SoraScheduler]
