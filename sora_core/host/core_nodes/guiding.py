"""Noise, guiders, and the nodes that sample with them, on our own MODEL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...diffusion import MAX_SEED
from ...diffusion.sampling import DiffusionModel, prepare_noise
from ...pipeline.engine import Conditioning, Latent
from ...pipeline.own import SamplerSocket
from ..api import io
from ..current import own_engine


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
        """Sample a LATENT; returns it, and one of its last x0 estimate. noise: see `OwnEngine.run`."""
        return own_engine().run(
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


def seed_input(name: str) -> io.Input:
    """Ask for a seed, under the name that a node has for it."""
    return io.Int.Input(
        name,
        default=0,
        min=0,
        max=MAX_SEED,
        control_after_generate=True,
        tooltip="Same seed and settings, same result.",
    )


def cfg_input() -> io.Input:
    """Ask for the guidance."""
    return io.Float.Input(
        "cfg",
        default=8.0,
        min=0.0,
        max=100.0,
        step=0.1,
        round=0.01,
        tooltip="Guidance: how closely to follow the prompt. 1 is none.",
    )


def _two_latents() -> list[io.Output]:
    return [io.Latent.Output(display_name="output"), io.Latent.Output(display_name="denoised_output")]


class RandomNoise(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "RandomNoise",
            display_name="RandomNoise",
            category="sampling/custom_sampling/noise",
            inputs=[seed_input("noise_seed")],
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
                cfg_input(),
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
                seed_input("noise_seed"),
                cfg_input(),
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


NODES = [RandomNoise, DisableNoise, CFGGuider, BasicGuider, SamplerCustom, SamplerCustomAdvanced]
