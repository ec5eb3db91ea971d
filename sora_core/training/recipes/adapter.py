"""What the trainers of LoRAs share: a frozen model whose linear layers get low-rank changes, and the file of these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import expect
from ...loading.checkpoint import load_model
from ...loading.lora import Change, save_lora
from ..data.batch import Batch
from ..data.latent_batches import BatchSettings, LatentBatches, latent_buckets
from ..loop.config import LoopConfig
from ..loop.trainer import Trainer
from ..network import ADAM_NAMES, DiTWithHeads, HeadSettings
from .finetune import captions_of, new_words
from .low_rank import add_low_rank, add_unknown_row, learned_changes


@dataclass(frozen=True)
class AdapterTraining(HeadSettings, BatchSettings, LoopConfig):
    """Settings of every run that makes a LoRA."""

    init: str = "sora-mini"  # the model to adapt
    rank: int = 8  # of the changes, 1 to 256
    alpha: float = 0.0  # scale of the changes times rank; 0: a scale of one
    adapt_text: bool = False  # change the text encoder's layers too

    @property
    def scale(self) -> float:
        """What a change is multiplied by."""
        return (self.alpha or self.rank) / self.rank


class AdapterTrainer(Trainer[DiTWithHeads]):
    """Trains low-rank changes of a model's transformer, and exports them as a LoRA file.

    Both factors of a change go to Muon: their updates then have one size whatever their shapes. Raises SoraError
    without latents to learn from, and for a rank out of range.
    """

    adam_names: tuple[str, ...] = ADAM_NAMES
    config: AdapterTraining

    def __init__(self, config: AdapterTraining) -> None:
        buckets = latent_buckets(config.data)
        super().__init__(config)
        self.batches = LatentBatches(config, buckets, self.model.text, config.seed, config.steps, self.ranks)

    def build(self) -> DiTWithHeads:
        """Make the model with changes that change nothing yet, all else frozen."""
        cfg = self.config
        expect(1 <= cfg.rank <= 256, f"rank is {cfg.rank}: use 1 to 256.")
        self.base = load_model(cfg.init)
        self.words = new_words(self.base.text, captions_of(Path(cfg.data)))
        fresh = load_model(cfg.init)
        model = DiTWithHeads(fresh.dit.train(), fresh.text.train(), cfg.classes + 1, cfg.label_block)
        model.requires_grad_(False)
        layers: dict[str, nn.Module] = dict(model.dit.blocks.named_modules(prefix="dit.blocks"))
        if cfg.adapt_text:
            layers |= dict(model.text.layers.named_modules(prefix="text.layers"))
        add_low_rank(layers, cfg.rank, cfg.scale)
        if self.words:
            add_unknown_row(model.text.embedding)
        return model

    def draw(self, step: int) -> Any:
        """Draw a step's batch, see `LatentBatches`."""
        return self.batches.draw(step)

    def latent_batch(self, step: int) -> Batch:
        """Return a step's batch of latents on the device, whatever the run's own steps draw."""
        return self.batches.draw(step).to(self.device)

    def changes(self) -> dict[str, Change]:
        """Return what has been learned, by the moving average, under the names of a LoRA file."""
        return learned_changes(self.ema.state, self.config.scale, self.base.text.embedding.num_embeddings)

    @property
    def file(self) -> Path:
        """The LoRA file."""
        return self.out / "lora.safetensors"

    @property
    def info(self) -> dict[str, Any]:
        """What the LoRA file says of itself."""
        return {"base": self.base.info.get("name", "model"), "step": self.step, "rank": self.config.rank}

    def export(self, path: Path) -> None:
        """Write the LoRA file."""
        save_lora(self.file, self.changes(), self.words, self.info)
