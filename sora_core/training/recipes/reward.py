"""Learning from judged clips of one's own: a LoRA that moves the model towards what was right.

The world knows whether a clip shows what its prompt asks for, and most prompts are answered rightly by some noise and
wrongly by other. `rollouts` collects such clips; here the velocity that leads to each is moved towards or away from,
by how much better than its prompt's mean the clip is (`losses.reward`). The clips of a prompt get the same noise and
noise level, which leaves their difference.

Some steps are ordinary ones on the world's clips, so that what is not judged stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import expect
from ...loading.checkpoint import load_model
from ...model.compiling import compile_blocks
from ..data.batch import Batch
from ..data.latent_batches import shift_noise
from ..loop.draws import step_generator
from ..losses.flow import FlowLoss, FlowSettings
from ..losses.reward import JudgedClips, RewardLoss
from ..network import DiTWithHeads
from .adapter import AdapterTrainer, AdapterTraining
from .rollouts import advantages, read_rollouts


@dataclass(frozen=True)
class RewardTraining(AdapterTraining):
    """Settings of `sora train reward`."""

    rollouts: str = "rollouts"  # a folder of `rollouts`, made with `init`
    step_size: float = 1.0  # how far a standard deviation moves the target, above 0 to 10
    ordinary: float = 0.25  # share of the steps that are on the data
    # Share of the prompts' groups whose prompt is dropped and that are held to what the model did: guidance is the
    # difference of the two.
    silent: float = 0.1
    # In ordinary steps, as in `FlowSettings`.
    subject_weight: float = 2.0
    left_behind: float = 0.0


class RewardTrainer(AdapterTrainer):
    """Trains a LoRA on groups of judged clips, about `tokens` tokens a step, and on the data.

    Raises SoraError for settings that cannot be, without rollouts to learn from, and with more than one process.
    """

    config: RewardTraining

    def __init__(self, config: RewardTraining) -> None:
        expect(0 <= config.ordinary < 1, f"ordinary is {config.ordinary}: use 0 to less than 1.")
        expect(0 <= config.silent < 1, f"silent is {config.silent}: use 0 to less than 1.")
        expect(0 < config.step_size <= 10, f"step_size is {config.step_size}: use more than 0, at most 10.")
        self.groups = read_rollouts(Path(config.rollouts))
        super().__init__(config)
        expect(self.ranks.world_size == 1, "Rewards are learned from in one process: run it without torchrun.")
        base = load_model(config.init)
        old = DiTWithHeads(base.dit, base.text, 1, config.label_block).to(self.device).eval().requires_grad_(False)
        if config.compile:
            compile_blocks(old.dit)
        # The heads are frozen here, and nobody trained them.
        weights = FlowSettings(config.subject_weight, config.left_behind, label_weight=0.0, place_weight=0.0)
        flow = FlowLoss(self.model, weights, config.classes, self.autocast)
        self.objective = RewardLoss(self.model, old, flow, config.step_size, self.autocast)

    def draw(self, step: int) -> Batch | JudgedClips:
        """Draw judged clips, or for an ordinary step a batch of the data."""
        ordinary = np.random.default_rng([self.config.seed, step, 8]).random() < self.config.ordinary
        return self.batches.draw(step) if ordinary else self.draw_judged(step)

    def draw_judged(self, step: int) -> JudgedClips:
        """Draw whole groups of clips, about `tokens` tokens of them."""
        cfg, text = self.config, self.model.text
        rng = np.random.default_rng([cfg.seed, step, 7])
        # Seeds of its own: an ordinary step with the same number draws other noise.
        generator = step_generator(cfg.seed + 2, step)
        rows: list[tuple[Tensor, ...]] = []
        tokens = 0
        while tokens < cfg.tokens:
            group = self.groups[rng.integers(len(self.groups))]
            n, latents = len(group), torch.stack([latent for _, latent in group]).float()
            ids = torch.zeros(n, 1, text.config.length, dtype=torch.long)
            speaks = rng.random() >= cfg.silent
            if speaks:
                words = text.tokenizer.ids(group[0][0].prompt, ids.shape[2])
                ids[:, 0, : len(words)] = torch.tensor(words)
            better = advantages([row.reward for row, _ in group]) * float(speaks)
            level = shift_noise(torch.sigmoid(torch.randn((), generator=generator)), cfg.shift)
            noise = torch.randn(latents.shape[1:], generator=generator).expand_as(latents)
            rows.append((latents, ids, better, level.expand(n), noise))
            tokens += latents[:, 0].numel() // 4
        return JudgedClips(*(torch.cat(parts) for parts in zip(*rows, strict=True)))


def learn_from_rewards(config: RewardTraining) -> Path:
    """Train a LoRA of `config.init` on its judged clips; returns its file. `finetune.merge` makes a model of both."""
    trainer = RewardTrainer(config)
    trainer.train()
    return trainer.file
