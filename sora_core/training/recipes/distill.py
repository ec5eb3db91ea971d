"""Few-step distillation: a LoRA with which the transformer makes in 4 calls, without guidance, what it makes in 32.

A teacher (the model itself with guidance) is followed from noise to picture once, and its state kept at the few noise
levels that the student will be called at (`recipes.teacher`). From each of them the student must name, in one call, the
picture that the teacher's path ends in (`losses.distillation`). It is sampled as consistency models are: the named
picture is noised afresh to the next level (`lcm`), which lets later calls put right what earlier ones got wrong.

Masks are drawn as in training, so that every task has its few-step form.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from ...errors import expect
from ..loop.draws import step_generator
from ..losses.distillation import DistillationLoss, PathState
from .adapter import AdapterTrainer, AdapterTraining
from .few_steps import FewStepSettings, fine_sigmas, save_few_step_lora, student_levels
from .low_rank import without_changes
from .teacher import Teacher, TeacherSettings


@dataclass(frozen=True)
class DistillTraining(FewStepSettings, TeacherSettings, AdapterTraining):
    """Settings of `sora train distill`."""

    text_drop: float = 0.0  # the student is called with a prompt
    batches: int = 120  # paths of the teacher to follow, in batches of `tokens`


class DistillTrainer(AdapterTrainer):
    """Follows the teacher first (once, kept in the run's folder), then trains; both resume.

    Raises SoraError for settings that cannot be, and with more than one process.
    """

    config: DistillTraining

    def __init__(self, config: DistillTraining) -> None:
        expect(config.few >= 1 and config.substeps >= 1, "few and substeps must be at least 1.")
        super().__init__(config)
        expect(self.ranks.world_size == 1, "A few-step LoRA is trained in one process: run it without torchrun.")
        info = self.base.info
        self.sigmas = student_levels(config, info)
        self.teacher = Teacher(self.model, config, fine_sigmas(config, info), config.substeps, self.autocast)
        self.objective = DistillationLoss(self.model, self.autocast)
        self.paths: list[Path] = []  # files of the teacher's paths

    def follow_teacher(self) -> list[Path]:
        """Follow the teacher on `batches` batches of the training data; returns their files."""
        folder = self.out / "trajectories"
        folder.mkdir(exist_ok=True)
        files = [folder / f"{i:04d}.safetensors" for i in range(self.config.batches)]
        with without_changes(self.model):  # the teacher is the model as it was, also when training is resumed
            for i, file in enumerate(files):
                if file.exists():
                    continue
                # Batches of training steps that are never trained on: the end of a run draws the shapes that last.
                self.teacher.write_path(file, self.latent_batch(self.config.steps - 1 + i), seed=i)
                if i % 10 == 0:
                    print(f"teacher: {i} of {len(files)} batches", flush=True)
        return files

    def train(self) -> None:
        """Follow the teacher, then train."""
        self.paths = self.follow_teacher()
        super().train()

    def draw(self, step: int) -> PathState:
        """Draw one of the paths, and one of the student's noise levels on it."""
        generator = step_generator(self.config.seed, step)
        pick, k = (int(torch.randint(n, (), generator=generator)) for n in (len(self.paths), self.config.few))
        path = load_file(self.paths[pick])
        states = path["states"]
        return PathState(states[k], states[-1], path["ids"], path["shot"], path["generate"], self.sigmas[k])

    def export(self, path: Path) -> None:
        """Write the LoRA file."""
        save_few_step_lora(self, self.config)


def distill(config: DistillTraining) -> Path:
    """Train a few-step LoRA of `config.init` on the latents in `config.data`; returns its file."""
    trainer = DistillTrainer(config)
    trainer.train()
    return trainer.file
