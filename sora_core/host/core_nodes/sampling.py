"""Noise schedules, samplers, guiders, and the nodes that run them on our own MODEL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...diffusion.samplers import SAMPLERS, get_sampler
from ...diffusion.sampling import DiffusionModel, prepare_noise
from ...diffusion.schedules import SCHEDULERS, get_sigmas, ksampler_sigmas
from ...pipeline.engine import Conditioning, Latent
from ...pipeline.own import SamplerSocket, run_sampler
from ..api import io

MAX_SEED = 0xFFFFFFFFFFFFFFFF


@dataclass
class SeededNoise:
    """What a NOISE socket holds."""

    seed: int = 0  # also of samplers that draw noise as they go
    adds: bool = True

    def generate_noise(self, latent: Latent) -> Tensor:
        """Draw noise like the samples of a LATENT."""
        samples = latent["samples"]
        if not self.adds:
            return torch.zeros_like(samples)
        return prepare_noise(samples, self.seed, latent.get("batch_index"))


@dataclass
class Guider:
    """What a GUIDER socket holds."""

    model: DiffusionModel
    positive: Conditioning
    negative: Conditioning | None = None  # None: no guidance
    cfg: float = 1.0

    def sample(self, latent: Latent, sampler: Any, sigmas: Tensor, seed: int, **noise: Any) -> tuple[Latent, Latent]:
        """Sample a LATENT; returns it, and one of its last x0 estimate. noise: see `own.run_sampler`."""
        return run_sampler(
            self.model,
            latent,
            self.positive,
            self.negative,
            sampler=sampler,
            sigmas=sigmas,
            seed=seed,
            cfg=self.cfg,
            **noise,
        )


def _seed(name: str) -> io.Input:
    return io.Int.Input(
        name,
        default=0,
        min=0,
        max=MAX_SEED,
        control_after_generate=True,
        tooltip="Same seed and settings, same result.",
    )


def _steps() -> io.Input:
    return io.Int.Input("steps", default=20, min=1, max=10000, tooltip="More steps take longer.")


def _cfg() -> io.Input:
    return io.Float.Input(
        "cfg",
        default=8.0,
        min=0.0,
        max=100.0,
        step=0.1,
        round=0.01,
        tooltip="Guidance: how closely to follow the prompt. 1 is none.",
    )


def _choices() -> list[io.Input]:
    return [
        io.Combo.Input("sampler_name", options=list(SAMPLERS)),
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
                _seed("seed"),
                _steps(),
                _cfg(),
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
        spec = get_sampler(sampler_name)
        sigmas = ksampler_sigmas(
            scheduler, steps, discard_penultimate=spec.discard_penultimate, shift=model.shift, denoise=denoise
        )
        made, _ = Guider(model, positive, negative, cfg).sample(latent_image, spec, sigmas, seed)
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
                _seed("noise_seed"),
                _steps(),
                _cfg(),
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
        spec = get_sampler(sampler_name)
        sigmas = ksampler_sigmas(
            scheduler, steps, discard_penultimate=spec.discard_penultimate, shift=model.shift
        ).clone()
        if end_at_step < len(sigmas) - 1:
            sigmas = sigmas[: end_at_step + 1]
            if return_with_leftover_noise == "disable":
                sigmas[-1] = 0
        sigmas = sigmas[start_at_step:]
        if len(sigmas) < 2:
            return io.NodeOutput(model.space.fit_empty(latent_image, "the model"))
        guider = Guider(model, positive, negative, cfg)
        made, _ = guider.sample(latent_image, spec, sigmas, noise_seed, add_noise=add_noise == "enable")
        return io.NodeOutput(made)


class KSamplerSelect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "KSamplerSelect",
            display_name="KSamplerSelect",
            category="sampling/custom_sampling/samplers",
            inputs=[io.Combo.Input("sampler_name", options=list(SAMPLERS))],
            outputs=[io.Sampler.Output()],
        )

    @classmethod
    def execute(cls, sampler_name: str) -> io.NodeOutput:
        return io.NodeOutput(SamplerSocket(sampler_name, get_sampler(sampler_name).fn))


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
        return io.NodeOutput(get_sigmas(scheduler, steps, shift=model.shift, denoise=denoise))


class RandomNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "RandomNoise",
            display_name="RandomNoise",
            category="sampling/custom_sampling/noise",
            inputs=[_seed("noise_seed")],
            outputs=[io.Noise.Output()],
        )

    @classmethod
    def execute(cls, noise_seed: int) -> io.NodeOutput:
        return io.NodeOutput(SeededNoise(noise_seed))


class DisableNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "DisableNoise",
            display_name="DisableNoise",
            inputs=[],
            category="sampling/custom_sampling/noise",
            outputs=[io.Noise.Output()],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(SeededNoise(adds=False))


class CFGGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "CFGGuider",
            display_name="CFGGuider",
            category="sampling/custom_sampling/guiders",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                _cfg(),
            ],
            outputs=[io.Guider.Output()],
        )

    @classmethod
    def execute(
        cls, model: DiffusionModel, positive: Conditioning, negative: Conditioning, cfg: float
    ) -> io.NodeOutput:
        return io.NodeOutput(Guider(model, positive, negative, cfg))


class BasicGuider(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "BasicGuider",
            display_name="BasicGuider",
            category="sampling/custom_sampling/guiders",
            inputs=[io.Model.Input("model"), io.Conditioning.Input("conditioning")],
            outputs=[io.Guider.Output()],
        )

    @classmethod
    def execute(cls, model: DiffusionModel, conditioning: Conditioning) -> io.NodeOutput:
        return io.NodeOutput(Guider(model, conditioning))


def _two_latents() -> list[io.Output]:
    return [io.Latent.Output(display_name="output"), io.Latent.Output(display_name="denoised_output")]


class SamplerCustom(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SamplerCustom",
            display_name="SamplerCustom",
            category="sampling/custom_sampling",
            inputs=[
                io.Model.Input("model"),
                io.Boolean.Input("add_noise", default=True),
                _seed("noise_seed"),
                _cfg(),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Sampler.Input("sampler"),
                io.Sigmas.Input("sigmas"),
                io.Latent.Input("latent_image"),
            ],
            outputs=_two_latents(),
        )

    @classmethod
    def execute(
        cls,
        model: DiffusionModel,
        add_noise: bool,
        noise_seed: int,
        cfg: float,
        positive: Conditioning,
        negative: Conditioning,
        sampler: SamplerSocket,
        sigmas: Tensor,
        latent_image: Latent,
    ) -> io.NodeOutput:
        guider = Guider(model, positive, negative, cfg)
        return io.NodeOutput(*guider.sample(latent_image, sampler, sigmas, noise_seed, add_noise=add_noise))


class SamplerCustomAdvanced(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SamplerCustomAdvanced",
            display_name="SamplerCustomAdvanced",
            category="sampling/custom_sampling",
            inputs=[
                io.Noise.Input("noise"),
                io.Guider.Input("guider"),
                io.Sampler.Input("sampler"),
                io.Sigmas.Input("sigmas"),
                io.Latent.Input("latent_image"),
            ],
            outputs=_two_latents(),
        )

    @classmethod
    def execute(
        cls, noise: SeededNoise, guider: Guider, sampler: SamplerSocket, sigmas: Tensor, latent_image: Latent
    ) -> io.NodeOutput:
        latent_image = guider.model.space.fit_empty(latent_image, "the model")
        drawn = noise.generate_noise(latent_image)
        return io.NodeOutput(*guider.sample(latent_image, sampler, sigmas, noise.seed, noise=drawn))


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


NODES = [
    KSampler,
    KSamplerAdvanced,
    KSamplerSelect,
    BasicScheduler,
    RandomNoise,
    DisableNoise,
    CFGGuider,
    BasicGuider,
    SamplerCustom,
    SamplerCustomAdvanced,
    ModelSamplingSD3,
]
