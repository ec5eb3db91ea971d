"""Learning from judged clips of one's own: a LoRA that moves the model towards what was right.

The world knows whether a clip shows what its prompt asks for, and most prompts are answered rightly by some noise and
wrongly by other. `rollouts` collects such clips; here the velocity that leads to each is moved towards or away from,
by how much better than its prompt's mean the clip is:

    target = v_old + step_size * advantage * (v - v_old),   v = noise - clip

It is where the loss of DiffusionNFT (Zheng et al., arXiv 2509.16117; beta 1, its reward 0.5 + advantage / 2) has its
minimum for each clip, one regression in place of two: no likelihood, no gradient through the sampler or the judge,
and what all clips of a prompt share cancels, so that clips that were sampled with guidance can be used. The clips of a
prompt get the same noise and noise level, which leaves their difference.

Some steps are ordinary ones on the world's clips, so that what is not judged stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import expect
from ...loading.checkpoint import load_model
from ..loop.loop import step_generator
from .dit import Denoiser, shifted
from .lora import LoRATrainer, LoRATraining
from .rollouts import advantages, read_rollouts


@dataclass(frozen=True)
class RewardTraining(LoRATraining):
    """rollouts: a folder of `rollouts`, made with `init`. step_size: how far a standard deviation moves the target.
    ordinary: share of the steps that are on the data. silent: share of the prompts' groups whose prompt is dropped
    and that are held to what the model did: guidance is the difference of the two.
    """

    rollouts: str = "rollouts"
    step_size: float = 1.0
    ordinary: float = 0.25
    silent: float = 0.1


class RewardTrainer(LoRATrainer):
    config: RewardTraining

    def __init__(self, config: RewardTraining) -> None:
        expect(0 <= config.ordinary < 1, f"ordinary is {config.ordinary}: use 0 to less than 1.")
        expect(0 <= config.silent < 1, f"silent is {config.silent}: use 0 to less than 1.")
        expect(0 < config.step_size <= 10, f"step_size is {config.step_size}: use more than 0, at most 10.")
        self.groups = read_rollouts(Path(config.rollouts))
        super().__init__(config)
        expect(self.world_size == 1, "Rewards are learned from in one process: run it without torchrun.")
        base = load_model(config.init)
        self.old = Denoiser(base.dit, base.text, 1, config.label_block).to(self.device).eval().requires_grad_(False)
        if config.compile:
            for block in self.old.dit.blocks:
                block.compile(dynamic=False)

    def rewarded(self, step: int) -> dict[str, Tensor]:
        """Whole groups, about `tokens` tokens of them. latents `[B,C,T,h,w]`, ids `[B,1,L]`, advantage, sigma `[B]`,
        noise as the latents.
        """
        cfg = self.config
        rng = np.random.default_rng([cfg.seed, step, 7])
        generator = step_generator(cfg.seed + 2, step)
        rows: dict[str, list[Tensor]] = {key: [] for key in ("latents", "ids", "advantage", "sigma", "noise")}
        tokens = 0
        while tokens < cfg.tokens:
            group = self.groups[rng.integers(len(self.groups))]
            n, latents = len(group), torch.stack([latent for _, latent in group]).float()
            ids = torch.zeros(n, 1, self.model.text.config.length, dtype=torch.long)
            speaks = rng.random() >= cfg.silent
            if speaks:
                words = self.model.text.tokenizer.ids(group[0][0].prompt, ids.shape[2])
                ids[:, 0, : len(words)] = torch.tensor(words)
            better = advantages([row.reward for row, _ in group]) * float(speaks)
            level = shifted(torch.sigmoid(torch.randn((), generator=generator)), cfg.shift)
            noise = torch.randn(latents.shape[1:], generator=generator).expand_as(latents)
            parts = (latents, ids, better, level.expand(n), noise)
            for key, part in zip(rows, parts, strict=True):
                rows[key].append(part)
            tokens += latents[:, 0].numel() // 4
        return {key: torch.cat(parts).to(self.device) for key, parts in rows.items()}

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        cfg = self.config
        if np.random.default_rng([cfg.seed, step, 8]).random() < cfg.ordinary:
            return super().loss(step)
        b = self.rewarded(step)
        s = b["sigma"].view(-1, 1, 1, 1, 1)
        x, wanted = (1 - s) * b["latents"] + s * b["noise"], b["noise"] - b["latents"]
        frames = x.shape[2]
        t = (1000 * b["sigma"])[:, None].expand(-1, frames)
        shot = torch.zeros(len(x), frames, dtype=torch.long, device=self.device)
        with self.autocast():
            with torch.no_grad():
                old = self.old(x, t, b["ids"], shot)[0].float()
            v = self.model(x, t, b["ids"], shot)[0].float()
        far = (cfg.step_size * b["advantage"]).view(-1, 1, 1, 1, 1) * (wanted - old)
        moved = v - old
        # How much of the way is gone, and how much else: the first should grow faster than the second.
        along = float((moved * far).mean().detach() / far.square().mean().clamp_min(1e-12))
        loss = (moved - far).square().mean()
        return loss, {"along": along, "moved": float(moved.square().mean().detach())}


def learn_from_rewards(config: RewardTraining) -> Path:
    """Train a LoRA of `config.init` on its judged clips; returns its file. `finetune.merge` makes a model of both."""
    trainer = RewardTrainer(replace(config, label_weight=0.0))
    trainer.train()
    return trainer.file
