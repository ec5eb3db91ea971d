"""What makes a LoRA a few-step one: the noise levels of its calls, and what its file says of how it samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...diffusion.schedules import get_sigmas
from ...loading.lora import save_lora
from .adapter import AdapterTrainer


@dataclass(frozen=True)
class FewStepSettings:
    """The student's calls."""

    few: int = 4  # model calls of the student
    substeps: int = 4  # of the schedule between two of them


def fine_sigmas(settings: FewStepSettings, info: Mapping[str, Any]) -> Tensor:
    """Return the noise levels `[few * substeps + 1]` of a model's schedule, 1 to 0; info: of the model's file."""
    shift = float(info.get("shift", 1.0))
    return get_sigmas("simple", settings.few * settings.substeps, shift=shift)


def student_levels(settings: FewStepSettings, info: Mapping[str, Any]) -> list[float]:
    """Return the noise levels of the student's calls, and 0."""
    return fine_sigmas(settings, info)[:: settings.substeps].tolist()


def save_few_step_lora(trainer: AdapterTrainer, settings: FewStepSettings) -> None:
    """Write a trainer's LoRA with how a model with it samples best. It teaches no words: those are a tuned model's."""
    habits = {"steps": settings.few, "cfg": 1.0, "sampler": "lcm"}
    save_lora(trainer.file, trainer.changes(), (), trainer.info | habits)
