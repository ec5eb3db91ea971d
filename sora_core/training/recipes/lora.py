"""LoRA training on a user's own videos, and the mean of several LoRAs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...errors import expect
from ...loading.lora import Change, LoRA, apply_lora, read_lora, save_lora
from ..losses.flow import FlowLoss, FlowSettings
from .adapter import AdapterTrainer, AdapterTraining
from .finetune import prepare
from .prompt_sheet import PromptSheet, SheetSettings


@dataclass(frozen=True)
class LoRATraining(FlowSettings, SheetSettings, AdapterTraining):
    """Settings of `sora train lora`."""

    place_weight: float = 0.0  # its head is the trainer's own, and frozen here


class LoRATrainer(AdapterTrainer):
    """Trains a LoRA on the velocity of clips, as the model was trained."""

    config: LoRATraining

    def __init__(self, config: LoRATraining) -> None:
        super().__init__(config)
        self.objective = FlowLoss(self.wrapped, config, config.classes, self.autocast)
        self.prompt_sheet = PromptSheet(config, config.seed, self.device, self.autocast)

    def sheet(self, step: int) -> None:
        """Write a sheet of what the base with the changes merged makes of fixed prompts, with a VAE to decode it."""
        if self.config.vae:
            tuned = apply_lora(self.base, LoRA(self.out.name, self.changes(), self.words))
            path = self.out / f"sheet_{step:06d}.png"
            self.prompt_sheet.write(path, tuned.dit.to(self.device), tuned.text.to(self.device))


def train_lora(config: LoRATraining, folder: Path, caption: str = "") -> Path:
    """Train a LoRA of the model `config.init` on the videos of `folder` (see `finetune.prepare`); returns its file."""
    data = prepare(folder, Path(config.out), config.init, caption, config.device)
    trainer = LoRATrainer(replace(config, data=str(data)))
    if trainer.words:
        print(f"New words: {', '.join(trainer.words)}", flush=True)
    trainer.train()
    return trainer.file


def mean_of(files: Sequence[str | Path], out: Path, rank: int | None = None) -> Path:
    """Write the mean of several LoRAs of one model to `out`, and return it.

    Of students that were trained alike it is often better than each (model soups, arXiv 2203.05482). Its changes are
    cut to `rank` by their singular values, by default to the first file's. Raises SoraError for fewer than two files,
    and for files of different layers, words or habits.
    """
    expect(len(files) >= 2, "A mean takes two LoRAs at least.")
    expect(rank is None or rank >= 1, f"rank is {rank}: use 1 or more.")
    loras = [read_lora(file) for file in files]
    first = loras[0]
    for other in loras[1:]:
        alike = set(other.changes) == set(first.changes)
        expect(
            alike and (other.words, other.habits) == (first.words, first.habits),
            f"{other.name} and {first.name} are not of one kind: their layers, words or sampling habits differ.",
        )
    changes = {}
    for name, change in first.changes.items():
        shape = torch.Size((change.up.shape[0], *change.down.shape[1:]))
        whole = torch.stack([lora.changes[name].delta(shape).flatten(1) for lora in loras]).mean(0)
        u, size, v = torch.linalg.svd(whole, full_matrices=False)
        n = min(rank or change.down.shape[0], len(size))
        root = size[:n].sqrt()
        changes[name] = Change(u[:, :n] * root, (root[:, None] * v[:n]).reshape(n, *shape[1:]))
    base = next((lora.base for lora in loras if lora.base), "")
    save_lora(out, changes, first.words, {**first.habits, "base": base, "mean_of": [lora.name for lora in loras]})
    return out
