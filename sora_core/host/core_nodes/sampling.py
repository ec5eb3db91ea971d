"""Noise schedules, samplers, and the nodes that run them on our own MODEL."""

from __future__ import annotations

from torch import Tensor

from ...diffusion.samplers import OTHER_NAMES, SAMPLERS
from ...diffusion.sampling import DiffusionModel
from ...diffusion.schedules import SCHEDULERS
from ...pipeline.engine import Conditioning, Latent
from ..api import io
from ..current import own_engine
from .guiding import Guider, cfg_input, seed_input


def _steps() -> io.Input:
    return io.Int.Input("steps", default=20, min=1, max=10000, tooltip="More steps take longer.")


def _choices() -> list[io.Input]:
    return [
        io.Combo.Input("sampler_name", options=[*SAMPLERS, *OTHER_NAMES]),
        io.Combo.Input("scheduler", options=list(SCHEDULERS)),
    ]


def _prompts_and_latent() -> list[io.Input]:
    return [io.Conditioning.Input("positive"), io.Conditioning.Input("negative"), io.Latent.Input("latent_image")]


class KSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "KSampler",
            display_name="KSampler",
            category="sampling",
            inputs=[
                io.Model.Input("model"),
                seed_input("seed"),
                _steps(),
                cfg_input(),
                *_choices(),
                *_prompts_and_latent(),
                io.Float.Input(
                    "denoise",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Below 1 keeps something of the latent.",
                ),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        denoise: float = 1.0,
    ) -> io.NodeOutput:
        sampler = own_engine().make_sampler(sampler_name, {})
        sigmas = own_engine().make_sigmas(model, scheduler, steps, denoise, sampler_name)
        made, _ = Guider(model, positive, negative, cfg).sample(latent_image, sampler, sigmas, seed)
        return io.NodeOutput(made)


class KSamplerAdvanced(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "KSamplerAdvanced",
            display_name="KSampler (Advanced)",
            category="sampling",
            inputs=[
                io.Model.Input("model"),
                io.Combo.Input("add_noise", options=["enable", "disable"]),
                seed_input("noise_seed"),
                _steps(),
                cfg_input(),
                *_choices(),
                *_prompts_and_latent(),
                io.Int.Input("start_at_step", default=0, min=0, max=10000),
                io.Int.Input("end_at_step", default=10000, min=0, max=10000),
                io.Combo.Input("return_with_leftover_noise", options=["disable", "enable"]),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        add_noise: str,
        noise_seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
    ) -> io.NodeOutput:
        sampler = own_engine().make_sampler(sampler_name, {})
        sigmas = own_engine().make_sigmas(model, scheduler, steps, 1.0, sampler_name).clone()
        if end_at_step < len(sigmas) - 1:
            sigmas = sigmas[: end_at_step + 1]
            if return_with_leftover_noise == "disable":
                sigmas[-1] = 0
        sigmas = sigmas[start_at_step:]
        if len(sigmas) < 2:
            return io.NodeOutput(model.space.fit_empty(latent_image, "the model"))
        guider = Guider(model, positive, negative, cfg)
        made, _ = guider.sample(latent_image, sampler, sigmas, noise_seed, add_noise=add_noise == "enable")
        return io.NodeOutput(made)


class KSamplerSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "KSamplerSelect",
            display_name="KSamplerSelect",
            category="sampling/custom_sampling/samplers",
            inputs=[io.Combo.Input("sampler_name", options=[*SAMPLERS, *OTHER_NAMES])],
            outputs=[io.Sampler.Output()],
        )

    @classmethod
    def execute(cls, sampler_name: str) -> io.NodeOutput:
        return io.NodeOutput(own_engine().make_sampler(sampler_name, {}))


class BasicScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "BasicScheduler",
            display_name="BasicScheduler",
            category="sampling/custom_sampling/schedulers",
            inputs=[
                io.Model.Input("model"),
                io.Combo.Input("scheduler", options=list(SCHEDULERS)),
                _steps(),
                io.Float.Input("denoise", default=1.0, min=0.0, max=1.0, step=0.01),
            ],
            outputs=[io.Sigmas.Output()],
        )

    @classmethod
    def execute(cls, model: DiffusionModel, scheduler: str, steps: int, denoise: float) -> io.NodeOutput:
        return io.NodeOutput(own_engine().make_sigmas(model, scheduler, steps, denoise))


class SplitSigmas(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SplitSigmas",
            display_name="SplitSigmas",
            category="sampling/custom_sampling/sigmas",
            inputs=[io.Sigmas.Input("sigmas"), io.Int.Input("step", default=0, min=0, max=10000)],
            outputs=[io.Sigmas.Output(display_name="high_sigmas"), io.Sigmas.Output(display_name="low_sigmas")],
        )

    @classmethod
    def execute(cls, sigmas: Tensor, step: int) -> io.NodeOutput:
        return io.NodeOutput(sigmas[: step + 1], sigmas[step:])


class ModelSamplingSD3(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "ModelSamplingSD3",
            display_name="ModelSamplingSD3",
            category="advanced/model",
            inputs=[
                io.Model.Input("model"),
                io.Float.Input(
                    "shift",
                    default=3.0,
                    min=0.0,
                    max=100.0,
                    step=0.01,
                    tooltip="Higher spends more of the steps at high noise.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model: DiffusionModel, shift: float) -> io.NodeOutput:
        return io.NodeOutput(model.with_shift(shift))


NODES = [KSampler, KSamplerAdvanced, KSamplerSelect, BasicScheduler, SplitSigmas, ModelSamplingSD3]
