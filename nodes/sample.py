"""Sampling: noise to latent, with any sampler."""

from __future__ import annotations

from typing import Any

from .api import desk, either, either_output, engine, essential, io
from .inputs import cfg_input, chosen, denoise_input, sampler_input, scheduler_input, seed_input, steps_input


class SoraSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraSampler",
            display_name="Sora Sampler",
            category="Sora/sample",
            description="Makes the video, as a latent or as patches. Works with every video model of the host. Of a "
            "storyboard that is sampled again with some shots changed, the other shots stay as they were.",
            search_aliases=["ksampler", "sampler", "denoise", "generate", "text to video"],
            **essential("Video Generation"),
            inputs=[
                io.Model.Input("model", tooltip="A video model."),
                io.Conditioning.Input("positive", tooltip="What the video should show."),
                either("latent", "An empty latent, or one to start from; or patches."),
                seed_input(),
                steps_input(),
                cfg_input("How closely to follow the prompt. 1 is no guidance, and twice as fast."),
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
                io.Noise.Input(
                    "noise",
                    optional=True,
                    tooltip="Used in place of the seed. Disable Noise goes on with what another sampler left off.",
                ),
            ],
            outputs=[either_output("latent", "The sampled latent, or patches if patches went in.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        latent: Any,
        seed: int,
        steps: int,
        cfg: float,
        scheduler: str,
        denoise: float,
        guidance_start: float,
        guidance_end: float,
        sampler: Any,
        negative: Any = None,
        custom_sampler: Any = None,
        custom_sigmas: Any = None,
        noise: Any = None,
    ) -> io.NodeOutput:
        from sora_core.pipeline.make import Sampling, sample_latent

        name, options = chosen(sampler)
        how = Sampling(seed, steps, cfg, name, scheduler, denoise, (guidance_start, guidance_end), options)
        notes: list[str] = []

        def note(text: str) -> None:
            # Each clip of patches may have the same to say.
            if text not in notes:
                notes.append(text)
                desk().show_text(cls.hidden.unique_id, "\n".join(notes))

        made = sample_latent(
            engine(),
            model,
            latent,
            positive,
            negative,
            how,
            sampler=custom_sampler,
            sigmas=custom_sigmas,
            noise=noise,
            note=note,
            reuse=True,
        )
        return io.NodeOutput(made, ui={"text": ("\n".join(notes),)} if notes else None)


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
    def execute(cls, sampler: Any) -> io.NodeOutput:
        return io.NodeOutput(engine().make_sampler(*chosen(sampler)))


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
    def execute(cls, model: Any, scheduler: str, steps: int, denoise: float) -> io.NodeOutput:
        return io.NodeOutput(engine().make_sigmas(model, scheduler, steps, denoise))


class SoraStepCache(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraStepCache",
            display_name="Sora Step Cache",
            category="Sora/sample",
            description="Saves time: leaves out model calls where little changes. Works in every sampler; the video "
            "differs a little from the one without it.",
            search_aliases=["easycache", "teacache", "first block cache", "speed up", "skip steps", "cfg cache"],
            inputs=[
                io.Model.Input("model", tooltip="A video model. Connect LoRAs and other patches before this node."),
                io.Float.Input(
                    "cache",
                    default=0.6,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.001,
                    tooltip="How much may be lost to save steps. 0 makes every step, 1 the fewest.",
                ),
                io.Float.Input(
                    "gate",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.001,
                    tooltip="How much may be lost to save calls for the negative prompt. 0 makes all of them.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The patched model, for any sampler.")],
        )

    @classmethod
    def execute(cls, model: Any, cache: float, gate: float) -> io.NodeOutput:
        return io.NodeOutput(engine().with_caching(model, cache, gate))


NODES = [SoraSampler, SoraSamplerSelect, SoraScheduler, SoraStepCache]
