"""Distribution matching: a few-step student whose clips are as likely to the teacher as the teacher's own.

Distillation to the ends of the teacher's paths (`distill`) teaches the mean of what a state can end in, which is soft
and moves too little. Here the student makes clips by its own calls, and is moved where the teacher finds them more
likely than a critic of the student's clips does (`losses.matching`).

What four calls make so is still softer than the teacher's clips. With `adversarial`, a discriminator also says what
tells them from the world's (`losses.adversary`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch

from ...errors import SoraError, expect
from ...loading.lora import PREFIXES, Change, read_lora
from ...model.compiling import compile_blocks
from ..losses.adversary import Adversary, Discriminator
from ..losses.matching import MatchingLoss, MatchSettings
from ..network import DiTWithHeads
from .adapter import AdapterTrainer, AdapterTraining
from .deepen import deepened_name
from .few_steps import FewStepSettings, save_few_step_lora, student_levels
from .low_rank import LowRank, add_low_rank, low_rank_of


@dataclass(frozen=True)
class MatchTraining(FewStepSettings, MatchSettings, AdapterTraining):
    """Settings of `sora train match`."""

    text_drop: float = 0.0  # the student is called with a prompt
    start: str = ""  # the LoRA to go on from, of `rank` or a smaller one
    deepened: tuple[int, ...] = ()  # where the model was deepened since that was made, `after` of `deepen`
    # How far a clip goes where the discriminator finds it more like the world's, as a part of how far it goes along the
    # scores; 0: without one.
    adversarial: float = 0.0
    taps: tuple[int, ...] = (2, 4, 6)  # the blocks, from 1, after which that looks at the teacher's features
    # Rank of what it may change of a teacher of its own, to see what denoising has no need of; 0: nothing.
    judge_rank: int = 0


class MatchTrainer(AdapterTrainer):
    """Trains student and critic as parts of one module, so that one state holds both; the teacher is the base model.

    Raises SoraError for settings that cannot be, for a LoRA to start from that does not fit, and with more than one
    process.
    """

    config: MatchTraining
    objective: MatchingLoss
    adam_names: tuple[str, ...] = (*AdapterTrainer.adam_names, "discriminator")

    def __init__(self, config: MatchTraining) -> None:
        expect(config.few >= 1 and config.substeps >= 1, "few and substeps must be at least 1.")
        expect(config.ahead >= 1 and config.alone >= 0, "ahead must be at least 1 and alone at least 0.")
        expect(0 <= config.adversarial <= 10, f"adversarial is {config.adversarial}: use 0 to 10.")
        expect(0 < config.judged_noise <= 1, f"judged_noise is {config.judged_noise}: use 0 to 1, not 0.")
        expect(0 <= config.judge_rank <= 256, f"judge_rank is {config.judge_rank}: use 0 to 256.")
        super().__init__(config)
        expect(self.ranks.world_size == 1, "A few-step LoRA is trained in one process: run it without torchrun.")
        teacher = DiTWithHeads(self.base.dit, self.base.text, 1, config.label_block)
        teacher.to(self.device).eval().requires_grad_(False)
        adversary = None
        if self.discriminator is not None:
            strength = config.adversarial
            adversary = Adversary(self.discriminator, self.judge or teacher, config.taps, strength, self.autocast)
        self.objective = MatchingLoss(
            self.model,
            self.critic,
            teacher,
            student_levels(config, self.base.info),
            config,
            config.shift,
            config.seed,
            self.autocast,
            adversary,
        )

    def build(self) -> DiTWithHeads:
        """Make the student, which has the critic (and the discriminator) as parts."""
        cfg = self.config
        student = super().build()
        if cfg.start:
            self._start_from(student, cfg.start)
        self.critic = self._teacher_again()
        self.critic.dit.train().requires_grad_(True)
        student.add_module("critic", self.critic)
        self.discriminator = self._new_discriminator() if cfg.adversarial else None
        if self.discriminator is not None:
            student.add_module("discriminator", self.discriminator)
        self.judge = self._teacher_again() if cfg.adversarial and cfg.judge_rank else None
        if self.judge is not None:
            seen = self.judge.dit.blocks[: max(cfg.taps)]
            add_low_rank(dict(seen.named_modules()), cfg.judge_rank, 1.0)
            student.add_module("judge", self.judge)
        if cfg.compile:
            compile_blocks(self.base.dit)
            compile_blocks(self.critic.dit)
        return student

    def _teacher_again(self) -> DiTWithHeads:
        """Copy the base model, frozen."""
        parts = copy.deepcopy(self.base.dit), copy.deepcopy(self.base.text)
        return DiTWithHeads(*parts, 1, self.config.label_block).requires_grad_(False)

    def _new_discriminator(self) -> Discriminator:
        """Make a discriminator that finds all alike. Raises SoraError for taps that cannot be."""
        blocks, taps = len(self.base.dit.blocks), self.config.taps
        expect(
            bool(taps) and sorted({t for t in taps if 1 <= t <= blocks}) == list(taps),
            f"taps are {', '.join(map(str, taps))}: use numbers of blocks that rise, 1 to {blocks}.",
        )
        return Discriminator(self.base.dit.config.dim, len(taps))

    @torch.no_grad()
    def _start_from(self, student: DiTWithHeads, start: str) -> None:
        """Return the student the changes of the LoRA `start`. Raises SoraError where they do not fit."""
        lora = read_lora(start)
        layers = dict(student.named_modules())
        for name, change in lora.changes.items():
            part = next((p for p, prefix in PREFIXES.items() if name.startswith(prefix)), "")
            known = f"{part}.{name.removeprefix(PREFIXES.get(part, ''))}"
            low = low_rank_of(layers.get(deepened_name(known, self.config.deepened)))
            rank = change.down.shape[0]
            # The changes of an embedding (of a tuned model's new words) are no low-rank ones of ours.
            if low is None or not _fits(low, change):
                raise SoraError(
                    f"{start}: {name} is not what rank={self.config.rank} of {self.config.init} trains. "
                    f"Its rank is {rank}."
                )
            low.up[:, :rank] = change.up.float() * (change.scale / low.scale)  # what is further starts at zero
            low.down[:rank] = change.down.float()

    def export(self, path: Path) -> None:
        """Write the LoRA file."""
        save_few_step_lora(self, self.config)


def _fits(low: LowRank, change: Change) -> bool:
    """Tell whether a LoRA's change can be the beginning of one that is trained: of the same layer, and no larger."""
    (out, rank), (few, wide) = low.up.shape, change.down.shape
    return change.up.shape == (out, few) and few <= rank and low.down.shape[1] == wide


def match(config: MatchTraining) -> Path:
    """Train a few-step LoRA of `config.init`, best from one that `distill` made; returns its file."""
    trainer = MatchTrainer(config)
    trainer.train()
    return trainer.file
