"""Training of the planner of layouts (`model.layout`) of a model whose transformer follows them already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ...errors import expect
from ...loading.checkpoint import load_parts, save
from ...model.dit import DiT
from ...model.layout import LayoutPlanner
from ...model.text.concepts import TextEncoder
from ..checkpoints import part_of
from ..data.plans import PlanBatch, PlanBatches, PlanSettings, told_worlds
from ..data.shards import open_buckets
from ..loop.config import LoopConfig
from ..loop.trainer import Trainer
from ..losses.plans import PlanLoss


@dataclass(frozen=True)
class PlannerTraining(PlanSettings, LoopConfig):
    """Settings of `sora train planner`. `data` holds shards of clips or of latents, whose facts are learned from."""

    init: str = "sora-mini"  # the model whose planner is trained, and the rest left as it is


class PlannerTrainer(Trainer[LayoutPlanner]):
    """Trains a planner on what the text encoder makes of prompts. Raises SoraError for a model without one."""

    adam_names = ("stem", "time", "head")
    config: PlannerTraining

    def __init__(self, config: PlannerTraining) -> None:
        super().__init__(config)
        clips = [bucket.facts for bucket in open_buckets(Path(config.data))] + told_worlds(config)
        text = self.text
        self.batches = PlanBatches(config, clips, text.tokenizer, text.config.length, config.seed, self.ranks)
        self.objective = PlanLoss(self.wrapped, text, self.autocast)

    def build(self) -> LayoutPlanner:
        """Take the planner of `init`."""
        self.parts, self.about = load_parts(self.config.init)
        dit = part_of(self.parts, DiT, self.config.init)
        self.text = part_of(self.parts, TextEncoder, self.config.init).to(self.device)
        expect(dit.layout is not None, f"{self.config.init} follows no layouts: train its DiT with planner=128 first.")
        assert dit.layout is not None
        return dit.layout.planner.train().requires_grad_(True)

    def draw(self, step: int) -> PlanBatch:
        """Draw a step's batch, see `PlanBatches`."""
        return self.batches.draw(step)

    def export(self, path: Path) -> None:
        """Write the whole of `init` with the planner's moving average, in half precision as `assemble` does."""
        dit = part_of(self.parts, DiT, self.config.init)
        assert dit.layout is not None
        live = {key: value.clone() for key, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.ema.state)
        parts: dict[str, nn.Module] = self.parts
        save(path, parts, {k: v for k, v in self.about.items() if k != "file"})
        self.model.load_state_dict(live)
