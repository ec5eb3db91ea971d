"""Few-step distillation: a LoRA with which the transformer makes in 4 calls, without guidance, what it makes in 32.

A teacher (the model itself with guidance) is followed from noise to picture once, and its state kept at the few noise
levels that the student will be called at: with fresh noise down to the last of them, as a small model finds better
shapes so, and from there by a second-order solver, so that the end follows from the state. From each of them the
student must name, in one call, the picture that the teacher's path ends in: a consistency model (Song et al. 2023,
arXiv 2303.01469) on the noise levels that are used, with guidance folded in (Meng et al. 2023, arXiv 2210.03142) and
the path's true end as the target in place of the student's own next guess. It is sampled as consistency models are:
the named picture is noised afresh to the next level (`lcm`), which lets later calls put right what earlier ones got
wrong.

Masks are drawn as in training, so that every task has its few-step form.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...diffusion.samplers import get_sampler
from ...diffusion.schedules import get_sigmas
from ...errors import expect
from ...loading.lora import save_lora
from ..data.batch import Batch
from .lora import LoRATrainer, LoRATraining


@dataclass(frozen=True)
class DistillTraining(LoRATraining):
    """few: model calls of the student. substeps: of the teacher between two of its stops. sampler, ending: the
    teacher's, to the last stop and after it. batches: trajectories to follow, in batches of `tokens`.
    """

    few: int = 4
    substeps: int = 4
    cfg: float = 4.0
    sampler: str = "euler_ancestral"
    ending: str = "dpmpp_2m"
    batches: int = 120
    text_drop: float = 0.0


class DistillTrainer(LoRATrainer):
    """Follows the teacher first (once, kept in the run's folder), then trains; both resume."""

    config: DistillTraining

    def __init__(self, config: DistillTraining) -> None:
        expect(config.few >= 1 and config.substeps >= 1, "few and substeps must be at least 1.")
        super().__init__(config)
        expect(self.world_size == 1, "A few-step LoRA is trained in one process: run it without torchrun.")
        shift = float(self.base.info.get("shift", 1.0))
        fine = get_sigmas("simple", config.few * config.substeps, shift=shift)
        self.fine, self.sigmas = fine, fine[:: config.substeps].tolist()

    # -- the teacher -----------------------------------------------------------------------------------------
    @torch.no_grad()
    def follow(self, b: Batch, seed: int = 0) -> Tensor:
        """The teacher's states at the student's noise levels `[few+1,B,C,T,H,W]`, from noise to picture."""
        generate = b.generate[:, None, :, None, None]
        empty = torch.zeros_like(b.ids)

        def denoised(x: Tensor, sigma: Tensor, **_) -> Tensor:
            level = float(sigma.flatten()[0])
            x = torch.where(generate, x, b.latents)
            t = (1000 * level * b.generate).repeat(2, 1)
            with self.autocast():
                v = self.model(x.repeat(2, 1, 1, 1, 1), t, torch.cat((b.ids, empty)), b.shot.repeat(2, 1))[0].float()
            cond, uncond = v.chunk(2)
            return torch.where(generate, x - level * (uncond + self.config.cfg * (cond - uncond)), b.latents)

        states = []

        def keep(state: dict) -> None:
            if state["i"] % self.config.substeps == 0:
                states.append(torch.where(generate, state["x"], b.latents))

        x, last = b.noise, len(self.fine) - 1 - self.config.substeps
        for name, sigmas in ((self.config.sampler, self.fine[: last + 1]), (self.config.ending, self.fine[last:])):
            if len(sigmas) > 1:
                x = get_sampler(name).fn(denoised, x, sigmas, {"seed": seed}, callback=keep, disable=True)
        return torch.stack([*states, torch.where(generate, x, b.latents)])

    def trajectories(self) -> list[Path]:
        """Follow the teacher on `batches` batches of the training data; returns their files."""
        folder = self.out / "trajectories"
        folder.mkdir(exist_ok=True)
        files = [folder / f"{i:04d}.safetensors" for i in range(self.config.batches)]
        changed = [m for m in self.model.modules() if hasattr(m, "parametrizations")]
        saved = [[(p, p[0].scale) for p in m.parametrizations.values() if hasattr(p[0], "scale")] for m in changed]
        for group in saved:  # the teacher is the model without its changes, also when training is resumed
            for p, _ in group:
                p[0].scale = 0.0
        for i, file in enumerate(files):
            if file.exists():
                continue
            # Batches of training steps that are never trained on: the end of a run draws the shapes that last.
            b = self.batch(self.config.steps - 1 + i)
            part = file.with_suffix(".part")
            save_file({"states": self.follow(b, i).half(), "ids": b.ids, "shot": b.shot, "generate": b.generate}, part)
            os.replace(part, file)
            if i % 10 == 0:
                print(f"teacher: {i} of {len(files)} batches", flush=True)
        for group in saved:
            for p, scale in group:
                p[0].scale = scale
        return files

    # -- the student -----------------------------------------------------------------------------------------
    def train(self) -> None:
        self.files = self.trajectories()
        super().train()

    def velocity(self, x: Tensor, level: float, data: dict[str, Tensor]) -> Tensor:
        with self.autocast():
            return self.model(x, 1000 * level * data["generate"], data["ids"], data["shot"])[0].float()

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed((self.config.seed * 1_000_003 + step) % 2**63)
        pick, k = (int(torch.randint(n, (), generator=generator)) for n in (len(self.files), self.config.few))
        data = {name: value.to(self.device) for name, value in load_file(self.files[pick]).items()}
        states, generate = data["states"].float(), data["generate"][:, None, :, None, None]
        level = self.sigmas[k]
        named = states[k] - level * self.velocity(states[k], level, data)
        error = (named - states[-1]).pow(2).mean(1, keepdim=True)
        share = generate.expand_as(error).float()
        loss = (error * share).sum() / share.sum()
        return loss, {f"from_{level:.2f}": float(loss.detach())}

    def export(self, path: Path) -> None:
        info = {"base": self.base.info.get("name", "model"), "step": self.step, "rank": self.config.rank}
        save_lora(self.file, self.changes(), (), info | {"steps": self.config.few, "cfg": 1.0, "sampler": "lcm"})

    def sheet(self, step: int) -> None:
        """Nothing: `sora generate --lora` shows what the student makes."""


def distill(config: DistillTraining) -> Path:
    """Train a few-step LoRA of `config.init` on the latents in `config.data`; returns its file."""
    trainer = DistillTrainer(replace(config, label_weight=0.0))
    trainer.train()
    return trainer.file
