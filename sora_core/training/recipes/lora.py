"""LoRA training: low-rank changes of the transformer's (and the text encoder's) linear layers, the rest frozen.

Each weight is seen through a parametrisation `W + up @ down`, so that training computes with exactly the weights that
merging makes (`loading.lora.apply_lora`). A new word is read as UNKNOWN; its embedding gets a change of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...errors import expect
from ...loading.checkpoint import ModelBundle, load_model
from ...loading.lora import PREFIXES, Change, LoRA, apply_lora, read_lora, save_lora
from ...model.dit import DiT
from ...model.text.concepts import UNKNOWN, TextEncoder
from .dit import Denoiser, DiTTrainer, DiTTraining
from .finetune import captions_of, new_words, prepare

_DELTA = "parametrizations.weight.0."


@dataclass(frozen=True)
class LoRATraining(DiTTraining):
    """init: the model to adapt. alpha: 0 means the rank, a scale of one. adapt_text: the text encoder's layers too."""

    init: str = "sora-mini"
    rank: int = 8
    alpha: float = 0.0
    adapt_text: bool = False
    place_weight: float = 0.0  # its head is the trainer's own, and frozen here


def train_lora(config: LoRATraining, folder: Path, caption: str = "") -> Path:
    """Train a LoRA of the model `config.init` on the videos of `folder` (see `finetune.prepare`); returns its file."""
    data = prepare(folder, Path(config.out), config.init, caption, config.device)
    trainer = LoRATrainer(replace(config, data=str(data)))
    if trainer.words:
        print(f"New words: {', '.join(trainer.words)}", flush=True)
    trainer.train()
    return trainer.file


class LowRank(nn.Module):
    """`W + scale * up @ down`; up starts at zero, so the model starts as it was."""

    def __init__(self, weight: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank))
        self.down = nn.Parameter(torch.randn(rank, weight.shape[1]) / weight.shape[1] ** 0.5)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.autocast(weight.device.type, enabled=False):  # as merging does it, in float32
            return weight + self.scale * self.up @ self.down


class NewRow(nn.Module):
    """An embedding whose row of UNKNOWN moves."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.row = nn.Parameter(torch.zeros(weight.shape[1]))

    def forward(self, weight: Tensor) -> Tensor:
        return weight.index_add(0, torch.tensor([UNKNOWN], device=weight.device), self.row[None])


class LoRATrainer(DiTTrainer):
    """The transformer's trainer with all but the changes frozen; exports a LoRA file.

    Both factors go to Muon: their updates then have one size whatever their shapes.
    """

    config: LoRATraining

    def build(self) -> nn.Module:
        cfg = self.config
        expect(1 <= cfg.rank <= 256, f"rank is {cfg.rank}: use 1 to 256.")
        self.base = load_model(cfg.init)
        self.words = new_words(self.base.text, captions_of(Path(cfg.data)))
        fresh = load_model(cfg.init)
        model = Denoiser(fresh.dit.train(), fresh.text.train(), cfg.classes + 1, cfg.label_block)
        model.requires_grad_(False)
        layers = dict(model.dit.blocks.named_modules(prefix="dit.blocks"))
        if cfg.adapt_text:
            layers |= dict(model.text.layers.named_modules(prefix="text.layers"))
        scale = (cfg.alpha or cfg.rank) / cfg.rank
        for layer in layers.values():
            if type(layer) is nn.Linear:
                parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, cfg.rank, scale))
        if self.words:
            embedding = model.text.embedding
            parametrize.register_parametrization(embedding, "weight", NewRow(embedding.weight))
        return model

    def changes(self) -> dict[str, Change]:
        """What has been learned, by the moving average, under the names of a LoRA file."""
        state, found = self.ema.state, {}
        scale = (self.config.alpha or self.config.rank) / self.config.rank
        for key, up in state.items():
            part, _, path = key.partition(".")
            if key.endswith(_DELTA + "up"):
                name = PREFIXES[part] + path.removesuffix("." + _DELTA + "up")
                found[name] = Change(up, state[key[:-2] + "down"], scale)
            elif key.endswith(_DELTA + "row"):
                one = torch.zeros(self.base.text.embedding.num_embeddings, 1, device=up.device)
                one[UNKNOWN] = 1
                found[PREFIXES[part] + path.removesuffix("." + _DELTA + "row")] = Change(one, up[None])
        return found

    def tuned(self) -> ModelBundle:
        """The base model with the changes merged."""
        return apply_lora(self.base, LoRA(self.out.name, self.changes(), self.words))

    def averaged(self) -> tuple[DiT, TextEncoder]:
        tuned = self.tuned()
        return tuned.dit.to(self.device), tuned.text.to(self.device)

    @property
    def file(self) -> Path:
        return self.out / "lora.safetensors"

    def export(self, path: Path) -> None:
        info = {"base": self.base.info.get("name", "model"), "step": self.step, "rank": self.config.rank}
        save_lora(self.file, self.changes(), self.words, info)


def mean_of(files: Sequence[str | Path], out: Path, rank: int | None = None) -> Path:
    """Write the mean of several LoRAs of one model to `out`, and return it: of students that were trained alike it is
    often better than each (model soups, arXiv 2203.05482). Its changes are cut to `rank` by their singular values (by
    default to the first file's). Raises SoraError for files of different layers, words or habits.
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
