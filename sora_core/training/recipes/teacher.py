"""The teacher of few-step distillation: the model with guidance, followed from noise to picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...diffusion.samplers import get_sampler
from ..data.batch import Batch
from ..loop.trainer import Autocast
from ..network import DiTWithHeads


@dataclass(frozen=True)
class TeacherSettings:
    """How the teacher samples."""

    cfg: float = 4.0  # guidance
    # With fresh noise down to the last of the student's levels, as a small model finds better shapes so, and from there
    # by a second-order solver, so that the end follows from the state.
    sampler: str = "euler_ancestral"
    ending: str = "dpmpp_2m"


class Teacher:
    """Follows the model's own paths."""

    def __init__(
        self,
        network: DiTWithHeads,
        settings: TeacherSettings,
        sigmas: Tensor,  # noise levels of its calls, and 0
        substeps: int,  # calls between two states that are kept
        autocast: Autocast,
    ) -> None:
        self.network, self.settings, self.autocast = network, settings, autocast
        self.sigmas, self.substeps = sigmas, substeps

    @torch.no_grad()
    def follow(self, b: Batch, seed: int = 0) -> Tensor:
        """Return the states at the student's noise levels `[few+1,B,C,T,H,W]`, from noise to picture.

        seed: of the fresh noise on the way.
        """
        empty = torch.zeros_like(b.ids)

        def denoise(x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
            level = float(sigma.flatten()[0])
            x = torch.where(b.generate_mask, x, b.latents)
            t = (1000 * level * b.generate).repeat(2, 1)
            prompts = torch.cat((b.ids, empty))
            with self.autocast():
                v = self.network(x.repeat(2, 1, 1, 1, 1), t, prompts, b.shot.repeat(2, 1))[0].float()
            cond, uncond = v.chunk(2)
            return torch.where(b.generate_mask, x - level * (uncond + self.settings.cfg * (cond - uncond)), b.latents)

        states = []

        def keep(state: dict[str, Any]) -> None:
            if state["i"] % self.substeps == 0:
                states.append(torch.where(b.generate_mask, state["x"], b.latents))

        x, last = b.noise, len(self.sigmas) - 1 - self.substeps
        parts = ((self.settings.sampler, self.sigmas[: last + 1]), (self.settings.ending, self.sigmas[last:]))
        for name, sigmas in parts:
            if len(sigmas) > 1:
                x = get_sampler(name).fn(denoise, x, sigmas, {"seed": seed}, callback=keep, disable=True)
        return torch.stack([*states, torch.where(b.generate_mask, x, b.latents)])

    def write_path(self, file: Path, b: Batch, seed: int) -> None:
        """Follow a batch and write its states in half precision, with what it was asked for."""
        states = self.follow(b, seed).half()
        part = file.with_suffix(".part")
        save_file({"states": states, "ids": b.ids, "shot": b.shot, "generate": b.generate}, part)
        os.replace(part, file)
